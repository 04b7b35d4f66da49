"""The attributions of a window as they are stored, with what they were made of.

Layout of format version 1: ``b"DGWA"``, the version as one byte, 16 bytes that stand for the row
sample and the model, the window's start (seconds since 1970, int64, little-endian), and the sums
as ``driftgauge.attribution.sums`` encodes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from driftgauge.attribution.sums import AttributionSums, decode_sums, encode_sums
from driftgauge.errors import AttributionError, ObjectNotFoundError
from driftgauge.store import MonitorStore

# Of a baseline without attributions: those of the first window that was explained under it.
REFERENCE_FILE = "explainability/reference.sums"
_MAGIC = b"DGWA"
_VERSION = 1
_SOURCE_BYTES = 16
_TIME_BYTES = 8
_HEAD = len(_MAGIC) + 1


@dataclass(frozen=True, kw_only=True)
class StoredSums:
    """Attributions of a window.

    Attributes
    ----------
    sums : AttributionSums
    source : bytes
        16 bytes that stand for the row sample, the model and the settings they were made with.
    window_start : datetime
    """

    sums: AttributionSums
    source: bytes
    window_start: datetime


def encode_stored_sums(stored: StoredSums) -> bytes:
    """Write attributions of a window. Equal ones give equal bytes."""
    seconds = int(stored.window_start.timestamp())
    start = seconds.to_bytes(_TIME_BYTES, "little", signed=True)
    return b"".join((_MAGIC, bytes([_VERSION]), stored.source, start, encode_sums(stored.sums)))


def decode_stored_sums(data: bytes) -> StoredSums:
    """Read attributions of a window.

    Raises
    ------
    AttributionError
        If the bytes are none that this version reads, or are damaged.
    """
    if data[:_HEAD] != _MAGIC + bytes([_VERSION]):
        raise AttributionError("these bytes are no attributions of a window in a known format")
    times = _HEAD + _SOURCE_BYTES
    seconds = int.from_bytes(data[times : times + _TIME_BYTES], "little", signed=True)
    try:
        start = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise AttributionError("damaged attributions: they are of no time") from error
    return StoredSums(
        sums=decode_sums(data[times + _TIME_BYTES :]),
        source=data[_HEAD:times],
        window_start=start,
    )


def read_stored_sums(store: MonitorStore, key: str) -> StoredSums | None:
    """Read attributions from the store; None if there are none.

    Raises
    ------
    AttributionError
        If they cannot be read.
    """
    try:
        data = store.objects.read(key)
    except ObjectNotFoundError:
        return None
    try:
        return decode_stored_sums(data)
    except AttributionError as error:
        raise AttributionError(
            f"{store.objects.uri}{key}: {error}; delete it, and evaluate the window again"
        ) from error
