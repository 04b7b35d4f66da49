"""Keys of capture objects, as SageMaker's data capture writes them.

``{prefix}/{endpoint}/{variant}/yyyy/mm/dd/hh/{mm}-{ss}-{mmm}-{uuid}.jsonl``, in UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_KEY = re.compile(
    r"(?P<endpoint>[^/]+)/(?P<variant>[^/]+)/"
    r"(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2})/(?P<hour>[0-9]{2})/"
    r"[^/]+\.jsonl(?:\.gz)?"
)


@dataclass(frozen=True, kw_only=True)
class CaptureKey:
    """What a capture object's key says.

    Attributes
    ----------
    endpoint, variant : str
        Where the traffic went.
    hour : datetime
        Start of the hour of the folder. Rows may be from the hour before: windows go by
        inference time.
    """

    endpoint: str
    variant: str
    hour: datetime


def parse_capture_key(key: str, *, prefix: str) -> CaptureKey | None:
    """Read a key; None if it is not that of a capture object under the prefix.

    Examples
    --------
    >>> key = "captures/churn/AllTraffic/2022/04/18/00/20-48-871-0b7bfd33.jsonl"
    >>> parse_capture_key(key, prefix="captures").variant
    'AllTraffic'
    >>> parse_capture_key("captures/readme.txt", prefix="captures") is None
    True
    """
    folder = _folder(prefix)
    match = _KEY.fullmatch(key.removeprefix(folder)) if key.startswith(folder) else None
    if match is None:
        return None
    try:
        hour = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            int(match["hour"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return CaptureKey(endpoint=match["endpoint"], variant=match["variant"], hour=hour)


def capture_key(*, prefix: str, endpoint: str, variant: str, moment: datetime, unique: str) -> str:
    """Make the key of a capture object that is written at a moment.

    Parameters
    ----------
    prefix, endpoint, variant : str
        Where the traffic went and where captures go.
    moment : datetime
        With a time zone.
    unique : str
        Tells objects of one millisecond apart; SageMaker uses a UUID.

    Examples
    --------
    >>> moment = datetime(2022, 4, 18, 0, 20, 48, 871_000, tzinfo=UTC)
    >>> capture_key(prefix="c", endpoint="e", variant="v", moment=moment, unique="0b7b")
    'c/e/v/2022/04/18/00/20-48-871-0b7b.jsonl'
    """
    moment = moment.astimezone(UTC)
    return (
        f"{_folder(prefix)}{endpoint}/{variant}/{moment:%Y/%m/%d/%H/%M-%S}-"
        f"{moment.microsecond // 1000:03d}-{unique}.jsonl"
    )


def _folder(prefix: str) -> str:
    prefix = prefix.strip("/")
    return f"{prefix}/" if prefix else ""
