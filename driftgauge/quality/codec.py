"""Counts of outcomes as bytes: only what is not zero, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import QualityError
from driftgauge.quality.counts import OutcomeCounts, shape_of, sum_counts
from driftgauge.quality.scores import BINS
from driftgauge.quality.spec import OutcomeSpec, decode_spec, encode_spec

_MAGIC = b"DGQC"
_VERSION = 1
_COMPRESSION = 6
# Larger sums come from no number of rows that fits on earth.
_LONGEST_SUM = 512
_MOST_SHIFT = 4096
_MOST_ROWS = 2**48
_MOST_BYTES = 1 << 28


class _Stored(msgspec.Struct, array_like=True, gc=False):
    digest: bytes
    tally_cells: bytes
    tally_counts: bytes
    score_cells: bytes
    score_counts: bytes
    sum_cells: bytes
    sums: list[tuple[int, bytes]]
    spec: bytes = b""


_DECODER = msgspec.msgpack.Decoder(_Stored)


def encode_counts(counts: OutcomeCounts, *, with_spec: bool = False) -> bytes:
    """Write counts. Equal counts give equal bytes.

    Parameters
    ----------
    counts : OutcomeCounts
    with_spec : bool
        Whether the specification is written as well: a baseline's counts need nothing else.
    """
    flat = [value for line in counts.sums for value in line]
    some = [i for i, value in enumerate(flat) if value]
    tally_cells, tally_counts = _sparse(counts.tallies)
    score_cells, score_counts = _sparse(counts.histogram)
    stored = _Stored(
        digest=counts.spec.digest,
        tally_cells=tally_cells,
        tally_counts=tally_counts,
        score_cells=score_cells,
        score_counts=score_counts,
        sum_cells=np.array(some, dtype="<u4").tobytes(),
        sums=[_pack_integer(flat[i]) for i in some],
        spec=encode_spec(counts.spec) if with_spec else b"",
    )
    payload = zlib.compress(msgspec.msgpack.encode(stored), _COMPRESSION)
    return _MAGIC + bytes([_VERSION]) + payload


def decode_counts(data: bytes, spec: OutcomeSpec | None = None) -> OutcomeCounts:
    """Read counts.

    Parameters
    ----------
    data : bytes
    spec : OutcomeSpec or None
        What they were counted by; None: it is written with them.

    Raises
    ------
    QualityError
        If the bytes are no counts that this version reads, are damaged, or were counted by
        another specification.
    """
    stored = _read(data)
    if spec is None:
        if not stored.spec:
            raise QualityError("these counts are a window's: reading them needs the baseline's")
        spec = decode_spec(stored.spec)
    if stored.digest != spec.digest:
        raise QualityError("these counts of outcomes were made by another baseline")
    cells, width, scores = shape_of(spec)
    lines = 1 + len(spec.segment_names)
    flat = [0] * (lines * width)
    places = np.frombuffer(stored.sum_cells, dtype="<u4").tolist()
    if len(places) != len(stored.sums) or any(place >= len(flat) for place in places):
        raise QualityError("damaged counts of outcomes: the sums do not fit the specification")
    for place, (shift, mantissa) in zip(places, stored.sums, strict=True):
        flat[place] = _unpack_integer(shift, mantissa)
    return OutcomeCounts(
        spec=spec,
        tallies=_dense(stored.tally_cells, stored.tally_counts, (lines, cells)),
        sums=tuple(tuple(flat[i * width : (i + 1) * width]) for i in range(lines)),
        histogram=_dense(stored.score_cells, stored.score_counts, (scores, 3, 2, BINS)),
    )


def merge_encoded_counts(parts: Iterable[bytes], spec: OutcomeSpec) -> OutcomeCounts:
    """Read counts and add them; the sum of none is empty.

    Raises
    ------
    QualityError
        As ``decode_counts``.
    """
    return sum_counts(spec, (decode_counts(part, spec) for part in parts))


def _read(data: bytes) -> _Stored:
    if data[:4] != _MAGIC:
        raise QualityError("these bytes are no counts of outcomes")
    if data[4:5] != bytes([_VERSION]):
        raise QualityError(
            f"counts of outcomes in another format than {_VERSION}: this driftgauge cannot read it"
        )
    inflate = zlib.decompressobj()
    try:
        payload = inflate.decompress(data[5:], _MOST_BYTES)
        if not inflate.eof:
            raise QualityError("damaged counts of outcomes: they are cut off or too long")
        return _DECODER.decode(payload)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise QualityError(f"damaged counts of outcomes: {error}") from error


def _sparse(counts: NDArray[np.int64]) -> tuple[bytes, bytes]:
    flat = counts.ravel()
    cells = np.flatnonzero(flat)
    # Distances between cells are small numbers, which compress better than positions.
    return np.diff(cells, prepend=0).astype("<u4").tobytes(), flat[cells].astype("<i8").tobytes()


def _dense(cells: bytes, counts: bytes, shape: tuple[int, ...]) -> NDArray[np.int64]:
    flat = np.zeros(int(np.prod(shape)), dtype=np.int64)
    try:
        places = np.cumsum(np.frombuffer(cells, dtype="<u4"), dtype=np.int64)
        flat[places] = np.frombuffer(counts, dtype="<i8")
    except (ValueError, IndexError) as error:
        raise QualityError(
            "damaged counts of outcomes: they do not fit the specification"
        ) from error
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) <= _MOST_ROWS:
        raise QualityError("damaged counts of outcomes: a count is negative or too large")
    return flat.reshape(shape)


def _pack_integer(value: int) -> tuple[int, bytes]:
    """Return an integer that is not zero as a power of two and the rest, little-endian."""
    shift = (value & -value).bit_length() - 1
    rest = value >> shift
    return shift, rest.to_bytes((rest.bit_length() + 8) // 8, "little", signed=True)


def _unpack_integer(shift: int, rest: bytes) -> int:
    if not (0 <= shift <= _MOST_SHIFT and len(rest) <= _LONGEST_SUM):
        raise QualityError("damaged counts of outcomes: a sum is out of range")
    return int.from_bytes(rest, "little", signed=True) << shift
