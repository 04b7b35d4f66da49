"""Counts of pairs as bytes: only what is not zero, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import astuple, fields

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import DriftgaugeError, ExperimentError
from driftgauge.experiments.pairs import PairCounts
from driftgauge.experiments.shadow import (
    CELLS,
    SUMS,
    ShadowCounts,
    sum_shadow_counts,
)
from driftgauge.experiments.shadow_spec import (
    DIFFERENCE_BINS,
    ShadowSpec,
)

_MAGIC = b"DGSC"
_VERSION = 1
_COMPRESSION = 6
_STATES = 5
# Larger sums come from no number of rows that fits on earth.
_LONGEST_SUM = 512
_MOST_SHIFT = 4096
_MOST_ROWS = 2**48
_MOST_LINES = 1 << 16
_MOST_BYTES = 1 << 28


class _Stored(msgspec.Struct, array_like=True, gc=False):
    spec: bytes
    pairing: list[int]
    cells: bytes
    counts: bytes
    sum_cells: bytes
    sums: list[tuple[int, bytes]]


_DECODER = msgspec.msgpack.Decoder(_Stored)


def encode_shadow_counts(counts: ShadowCounts) -> bytes:
    """Write counts, with their specification. Equal counts give equal bytes."""
    flat = np.concatenate(
        [counts.tallies.ravel(), counts.histogram.ravel(), counts.transitions.ravel()]
    )
    cells = np.flatnonzero(flat)
    sums = [value for line in counts.sums for value in line]
    some = [i for i, value in enumerate(sums) if value]
    stored = _Stored(
        spec=msgspec.msgpack.encode(counts.spec),
        pairing=list(astuple(counts.pairing)),
        # Distances between cells are small numbers, which compress better than positions.
        cells=np.diff(cells, prepend=0).astype("<u4").tobytes(),
        counts=flat[cells].astype("<i8").tobytes(),
        sum_cells=np.array(some, dtype="<u4").tobytes(),
        sums=[_pack_integer(sums[i]) for i in some],
    )
    payload = zlib.compress(msgspec.msgpack.encode(stored), _COMPRESSION)
    return _MAGIC + bytes([_VERSION]) + payload


def decode_shadow_counts(data: bytes) -> ShadowCounts:
    """Read counts.

    Raises
    ------
    ExperimentError
        If the bytes are no counts that this version reads, or are damaged.
    """
    stored = _read(data)
    spec = _read_spec(stored.spec)
    lines, k = 1 + len(spec.segment_names), len(spec.classes)
    if lines > _MOST_LINES:
        raise _damaged("too many segments")
    ends = np.cumsum([lines * CELLS, 2 * DIFFERENCE_BINS, _STATES * k * k])
    flat = _dense(stored.cells, stored.counts, int(ends[-1]))
    tallies, histogram, transitions = np.split(flat, ends[:-1])
    pairing = _read_pairing(stored.pairing)
    counts = ShadowCounts(
        spec=spec,
        pairing=pairing,
        tallies=tallies.reshape(lines, CELLS),
        sums=_read_sums(stored, lines),
        histogram=histogram.reshape(2, DIFFERENCE_BINS),
        transitions=transitions.reshape(_STATES, k, k),
    )
    if counts.whole.rows + counts.whole.unusable != pairing.rows:
        raise _damaged("the rows are not those of the pairs")
    return counts


def merge_encoded_shadow_counts(parts: Iterable[bytes], spec: ShadowSpec) -> ShadowCounts:
    """Read counts and add them; the sum of none is empty.

    Raises
    ------
    ExperimentError
        As ``decode_shadow_counts``, and if some were counted by another specification.
    """
    return sum_shadow_counts(spec, (decode_shadow_counts(part) for part in parts))


def _damaged(what: object) -> ExperimentError:
    return ExperimentError(
        f"damaged counts of a shadow's pairs ({what}): delete the object and pair its window again"
    )


def _read(data: bytes) -> _Stored:
    if data[:4] != _MAGIC or data[4:5] != bytes([_VERSION]):
        raise ExperimentError(
            "these bytes are no counts of a shadow's pairs that this version reads"
        )
    inflating = zlib.decompressobj()
    try:
        payload = inflating.decompress(data[5:], _MOST_BYTES)
        if not inflating.eof:
            raise _damaged("cut off, or far too large")
        return _DECODER.decode(payload)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(error) from error


def _read_spec(data: bytes) -> ShadowSpec:
    try:
        return msgspec.msgpack.decode(data, type=ShadowSpec)
    except (msgspec.DecodeError, UnicodeDecodeError, DriftgaugeError) as error:
        raise _damaged(error) from error


def _read_pairing(numbers: list[int]) -> PairCounts:
    names = [one.name for one in fields(PairCounts)]
    if len(numbers) != len(names) or not all(0 <= value <= _MOST_ROWS for value in numbers):
        raise _damaged("impossible numbers of records")
    return PairCounts(**dict(zip(names, numbers, strict=True)))


def _read_sums(stored: _Stored, lines: int) -> tuple[tuple[int, ...], ...]:
    flat = [0] * (lines * SUMS)
    if len(stored.sum_cells) != 4 * len(stored.sums):
        raise _damaged("another number of sums")
    places = np.frombuffer(stored.sum_cells, dtype="<u4").tolist()
    if any(place >= len(flat) for place in places):
        raise _damaged("a sum that is not there")
    for place, (shift, mantissa) in zip(places, stored.sums, strict=True):
        if not 0 <= shift <= _MOST_SHIFT or len(mantissa) > _LONGEST_SUM:
            raise _damaged("a sum is out of range")
        flat[place] = int.from_bytes(mantissa, "little", signed=True) << shift
    return tuple(tuple(flat[i * SUMS : (i + 1) * SUMS]) for i in range(lines))


def _dense(cells: bytes, counts: bytes, size: int) -> NDArray[np.int64]:
    flat = np.zeros(size, dtype=np.int64)
    try:
        places = np.cumsum(np.frombuffer(cells, dtype="<u4"), dtype=np.int64)
        flat[places] = np.frombuffer(counts, dtype="<i8")
    except (ValueError, IndexError) as error:
        raise _damaged("counts that do not fit the specification") from error
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) <= _MOST_ROWS:
        raise _damaged("a count is negative or too large")
    return flat


def _pack_integer(value: int) -> tuple[int, bytes]:
    """Return an integer that is not zero as a power of two and the rest, little-endian."""
    shift = (value & -value).bit_length() - 1
    rest = value >> shift
    return shift, rest.to_bytes((rest.bit_length() + 8) // 8, "little", signed=True)
