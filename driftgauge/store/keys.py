"""What the keys of stored parts say: whose rows of which grain, against which baseline.

A part is what one capture object contributes to one grain of inference time: a profile, a file
of predictions, a sample of rows. Labels are stored as they were received, and again by the grain
of the predictions they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from driftgauge.errors import StoreError
from driftgauge.store.objects import ObjectInfo

PartKind = Literal["profiles", "predictions", "samples", "attributions"]
# Stands where the digest of a capture object does in the key of the sum of several.
MERGED = "_merged"
_ENDINGS: dict[str, str] = {
    "profiles": ".profile",
    "predictions": ".predictions",
    "samples": ".sample",
    "attributions": ".sums",
}
_LABELS = ".labels"


@dataclass(frozen=True, kw_only=True)
class StoredPart:
    """One stored part: its key, and what the key says.

    Attributes
    ----------
    kind : str
        ``"profiles"``, ``"predictions"``, ``"samples"``, or ``"attributions"``, which are of a
        whole window: their ``grain_start`` is its start.
    digest : str
        What it was made of; ``"_merged"`` for the sum of a grain's parts, empty for attributions.
    """

    key: str
    baseline: str
    variant: str
    grain_start: datetime
    modified: datetime
    tag: str
    kind: PartKind = "profiles"
    digest: str = ""
    size: int = 0

    @property
    def is_merged(self) -> bool:
        """Whether it is the sum of other parts of its grain."""
        return self.digest == MERGED


StoredProfile = StoredPart


@dataclass(frozen=True, kw_only=True)
class StoredLabels:
    """One stored file of labels: its key, and what the key says.

    Attributes
    ----------
    variant : str or None
        Whose predictions the labels belong to; None for labels as they were received.
    grain_start : datetime
        Start of the grain of those predictions; the hour of collection for labels as they were
        received.
    digest : str
        Stands for the version of the ground-truth object the labels come from.
    """

    key: str
    variant: str | None
    grain_start: datetime
    modified: datetime
    tag: str
    digest: str
    size: int = 0


def parse_part_key(info: ObjectInfo) -> StoredPart:
    """Read back what the key of a part says, of whichever kind it is.

    Raises
    ------
    StoreError
        If the key is not one that ``MonitorStore`` makes for parts.
    """
    try:
        monitor, room, baseline, variant, *moment, name = info.key.split("/")
        ending = _ENDINGS[room]
        stem = name.removesuffix(ending)
        if not monitor or stem == name:
            raise ValueError("not a part")
        of_window = room == "attributions"
        start = _moment((*moment, stem) if of_window else moment)
    except (ValueError, KeyError) as error:
        raise StoreError(
            f"{info.key} is not the key of a profile, predictions, a sample or attributions"
        ) from error
    return StoredPart(
        key=info.key,
        baseline=baseline,
        variant=variant,
        grain_start=start,
        modified=info.modified,
        tag=info.tag,
        kind=room,  # type: ignore[arg-type]  # a key of _ENDINGS
        digest="" if of_window else stem,
        size=info.size,
    )


def parse_profile_key(info: ObjectInfo) -> StoredProfile:
    """Read back what a profile's key says.

    Raises
    ------
    StoreError
        If the key is not one that ``MonitorStore.profile_key`` makes.
    """
    try:
        stored = parse_part_key(info)
    except StoreError as error:
        raise StoreError(f"{info.key} is not the key of a profile") from error
    if stored.kind != "profiles":
        raise StoreError(f"{info.key} is not the key of a profile")
    return stored


def parse_label_key(info: ObjectInfo) -> StoredLabels:
    """Read back what the key of a file of labels says, received or matched.

    Raises
    ------
    StoreError
        If the key is not one that ``MonitorStore`` makes for labels.
    """
    try:
        monitor, room, place, *middle, name = info.key.split("/")
        digest = name.removesuffix(_LABELS)
        if not monitor or room != "labels" or digest == name:
            raise ValueError("not labels")
        if place == "received":
            variant, start = None, _moment((*middle, "00"))
        elif place == "matched":
            variant, start = middle[0], _moment(middle[1:])
        else:
            raise ValueError("not labels")
    except (ValueError, IndexError) as error:
        raise StoreError(f"{info.key} is not the key of labels") from error
    return StoredLabels(
        key=info.key,
        variant=variant,
        grain_start=start,
        modified=info.modified,
        tag=info.tag,
        digest=digest,
        size=info.size,
    )


def _moment(parts: tuple[str, ...] | list[str]) -> datetime:
    year, month, day, hour, minute = (int(part) for part in parts)
    return datetime(year, month, day, hour, minute, tzinfo=UTC)
