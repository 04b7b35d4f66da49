"""Which objects of a bucket are captures of a monitor, and what their keys say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from driftgauge.capture.keys import parse_capture_key
from driftgauge.capture.settings import Format
from driftgauge.capture.table import TableFormat, table_format_of
from driftgauge.errors import BaselineError

_HOUR = [4, 2, 2, 2]
_SIDES = ("input", "output")


@dataclass(frozen=True, kw_only=True)
class Location:
    """What a capture object's key says.

    Attributes
    ----------
    variant : str or None
        Where the traffic went; None if the key does not say.
    hour : datetime or None
        The hour, or the day, of the folder; None if the key does not say.
    """

    variant: str | None = None
    hour: datetime | None = None


def locate(
    key: str, *, format: Format, prefix: str, endpoint: str, manifests: str = "output"
) -> Location | None:
    """Read a key; None if the object is not one of the monitor's.

    Parameters
    ----------
    key : str
        Of the object.
    format, prefix, manifests : str
        ``capture.format``, ``capture.prefix`` and ``capture.manifests`` of the monitor.
    endpoint : str
        ``endpoint.name`` of the monitor.

    Examples
    --------
    >>> locate(
    ...     "scored/2026/03/02/a.csv", format="predictions", prefix="scored", endpoint="e"
    ... ).hour.day
    2
    """
    folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    if not key.startswith(folder):
        return None
    rest = key.removeprefix(folder)
    if format == "predictions":
        return Location(hour=date_of_key(rest)) if is_table(rest) else None
    if format == "batch-transform":
        side = rest.partition("/")[0]
        hour = date_of_key(rest)
        found = side in _SIDES and side == manifests and hour is not None
        return Location(hour=hour) if found and rest.endswith(".json") else None
    parsed = parse_capture_key(key, prefix=prefix)
    if parsed is not None and parsed.endpoint == endpoint:
        return Location(variant=parsed.variant, hour=parsed.hour)
    if format == "merged":
        # The merge job of a batch transform: {schedule}/yyyy/mm/dd/hh/.
        name, _, inside = rest.partition("/")
        hour = date_of_key(inside)
        flat = inside.count("/") == len(_HOUR)
        if name == endpoint and flat and hour and inside.endswith((".jsonl", ".jsonl.gz")):
            return Location(hour=hour)
    return None


def is_manifest(key: str, *, prefix: str) -> bool:
    """Tell whether a key is that of a manifest, of whichever side."""
    return any(
        locate(key, format="batch-transform", prefix=prefix, endpoint="", manifests=side)
        for side in _SIDES
    )


def is_table(key: str) -> bool:
    """Tell whether a key ends like a file of predictions."""
    try:
        table_format_of(key)
    except BaselineError:
        return False
    return not key.rpartition("/")[2].startswith(("_", "."))


def form_of(key: str) -> TableFormat:
    """Return the format of a file of predictions."""
    return table_format_of(key)


def date_of_key(key: str) -> datetime | None:
    """Return the hour or day (UTC) that the folders of a key name; None if they name none.

    Examples
    --------
    >>> date_of_key("scored/2026/03/02/10/part-0.jsonl").hour
    10
    >>> date_of_key("scored/2026/03/02/part-0.jsonl").hour
    0
    """
    folders = key.split("/")[:-1]
    for lengths in (_HOUR, _HOUR[:3]):
        digits = folders[-len(lengths) :]
        if [len(part) for part in digits] == lengths and "".join(digits).isdecimal():
            year, month, day, hour = [*map(int, digits), 0][:4]
            try:
                return datetime(year, month, day, hour, tzinfo=UTC)
            except ValueError:
                return None
    return None
