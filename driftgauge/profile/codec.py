"""Profiles as bytes, and merging many of them.

Layout of format version 3: ``b"DGPR"``, the version as one byte, then a zlib stream of

- 8 bytes: digest of the specification the profile was counted against;
- integers (see below): rows, records, first and last time as offsets from
  1970-01-01T00:00:00Z (absent: -2**63), then the tallies;
- integers: the counts of all cells, in the order of ``ProfileLayout.stored``;
- minimum and maximum of each numeric column, little-endian float64;
- the sums of each numeric column, two each: an exponent (int16), a length in bytes (uint16), and
  then all mantissas, signed, little-endian; value = mantissa * 2**exponent units;
- integers: the sums over whole rows, with their signs as last bits;
- MessagePack: rejected, extra columns, unseen words of each categorical column;

and, unless there are too many rows for it, a second zlib stream with the pieces that cells are in,
see ``driftgauge.profile.detail``: the level of each numeric column, one byte each, then integers:

- for each cell that holds a value and is cut: values less pieces;
- for each piece: how many stretches it is from the cell's start, or from the piece before less 1;
- for each piece but a cell's last: values less 1.

Version 2 has no second stream, and is read as a profile whose values are known by cell.

Integers are one byte for the width (1, 2, 4 or 8), then the low bytes of all, the second bytes of
all, and so on: bytes of one significance compress better together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ProfileError
from driftgauge.profile.detail import (
    LAST,
    MOST_PIECES,
    MOST_ROWS,
    Detail,
    DetailGrid,
    DetailSource,
)
from driftgauge.profile.joint import LARGEST_TERM
from driftgauge.profile.layout import ProfileLayout, layout_of
from driftgauge.profile.profile import TALLIES, Profile, ProfileSum, no_extremes
from driftgauge.profile.spec import ProfileSpec
from driftgauge.profile.words import LONGEST_WORD, SAMPLE_SIZE

_MAGIC = b"DGPR"
_VERSION = 3
_WITHOUT_DETAIL = 2
_DIGEST_BYTES = 8
_NO_TIME = -(2**63)
_SCOPE = 4
_MOST_REASONS = 200
# Larger sums than this many bytes come from no number of float64 values that fits on earth.
_LONGEST_SUM = 512
_MOST_STEPS = 2**62
_LONGEST_WORDS = 4 * LONGEST_WORD + 16
_COMPRESSION = 6
# Small blocks follow changes in the counts; repeated strings are rare among them.
_MEMORY = 5
_STRATEGY = zlib.Z_FILTERED
# Far above any real window, and low enough for sums of many profiles to fit 64 bits.
_MOST_ROWS = 2**48


class _Words(msgspec.Struct, array_like=True, gc=False):
    rejected: dict[str, int]
    extra: dict[str, int]
    unseen: list[dict[str, int]]


_WORDS_ENCODER = msgspec.msgpack.Encoder()
_WORDS_DECODER = msgspec.msgpack.Decoder(_Words)


def encode_profile(profile: Profile) -> bytes:
    """Write a profile. Equal profiles give equal bytes.

    A profile of 100 normally distributed columns takes 90 kB at 1,000 rows, 48 kB at 20,000, and
    without pieces, beyond 32,768 rows, 35 kB at 100,000 and 48 kB at 1,000,000.
    """
    layout = layout_of(profile.spec)
    scope = [
        profile.rows,
        profile.records,
        _NO_TIME if profile.first_time is None else profile.first_time,
        _NO_TIME if profile.last_time is None else profile.last_time,
    ]
    numeric = list(layout.numeric)
    if len(profile.rejected) > _MOST_REASONS:
        raise ProfileError(
            f"{len(profile.rejected)} reasons of rejection; at most {_MOST_REASONS} can be stored: "
            "a reason is a constant and holds no values"
        )
    words = _Words(
        rejected=dict(sorted(profile.rejected.items())),
        extra=profile.extra_columns,
        unseen=[profile.unseen[i] for i in layout.worded],
    )
    payload = b"".join(
        [
            layout.digest,
            np.array(scope, dtype="<i8").tobytes(),
            _pack(profile.tallies.ravel()),
            _pack(profile.counts[layout.stored]),
            profile.extremes[numeric].astype("<f8").tobytes(),
            _pack_sums([s for i in numeric for s in profile.sums[2 * i : 2 * i + 2]]),
            _pack((profile.joint << 1) ^ (profile.joint >> 63)),
            _WORDS_ENCODER.encode(words),
        ]
    )
    detail = b""
    if profile.detail is not None:
        detail = _deflate(_pack_detail(profile.detail.get(), layout.detail_grid, profile.counts))
    return _MAGIC + bytes([_VERSION]) + _deflate(payload) + detail


def decode_profile(data: bytes, spec: ProfileSpec) -> Profile:
    """Read a profile.

    Raises
    ------
    ProfileError
        If the bytes are not a profile of a format this version reads, are damaged, or were
        counted against another specification than ``spec``.
    """
    return merge_encoded((data,), spec)


def merge_encoded(parts: Iterable[bytes], spec: ProfileSpec) -> Profile:
    """Read profiles and add them; the sum of none is the empty profile.

    Raises
    ------
    ProfileError
        As ``decode_profile``; the message says which of the parts.
    """
    total = ProfileSum(spec)
    layout = layout_of(spec)
    sums = [0] * (2 * len(layout.numeric))
    for position, data in enumerate(parts):
        try:
            _add_encoded(data, layout, total, sums)
        except (ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise ProfileError(
                f"profile {position}: the stored bytes are damaged ({error}): delete the object "
                "and profile its capture again"
            ) from error
        except ProfileError as error:
            raise ProfileError(f"profile {position}: {error}") from error
    for at, i in enumerate(layout.numeric):
        total.sums[2 * i : 2 * i + 2] = sums[2 * at : 2 * at + 2]
    return total.result()


def _add_encoded(data: bytes, layout: ProfileLayout, total: ProfileSum, sums: list[int]) -> None:
    payload, rest = _payload(data, layout)
    reader = _Reader(payload)
    if reader.take(_DIGEST_BYTES) != layout.digest:
        raise ProfileError(
            f"it was counted against another baseline than {layout.spec.version!r}: read it with "
            "that baseline, or profile its capture again"
        )
    rows, records, first_time, last_time = np.frombuffer(reader.take(8 * _SCOPE), "<i8").tolist()
    if not (0 <= rows <= _MOST_ROWS and 0 <= records <= _MOST_ROWS):
        raise ValueError("an impossible number of rows")
    tallies = _unpack(reader, total.tallies.size, rows)
    counts = _unpack(reader, layout.cells, rows)
    numeric = len(layout.numeric)
    extremes = np.frombuffer(reader.take(16 * numeric), "<f8").reshape(numeric, 2)
    if np.isnan(extremes).any():
        raise ValueError("an extreme that is not a number")
    parts = list(_unpack_sums(reader, 2 * numeric))
    joint = _unpack(reader, layout.joint, 2 * LARGEST_TERM * rows)
    words = _read_words(reader.rest(), layout, rows)
    detail = None
    if rest and total.detail.open(rows):
        everywhere = np.zeros(layout.cells, dtype=np.int64)
        everywhere[layout.stored] = counts
        detail = _unpack_detail(rest, layout.detail_grid, everywhere)

    total.add_scope(
        rows=rows,
        records=records,
        first_time=None if first_time == _NO_TIME else first_time,
        last_time=None if last_time == _NO_TIME else last_time,
    )
    total.tallies += tallies.reshape(total.tallies.shape)
    total.counts[layout.stored] += counts
    total.joint += (joint >> 1) ^ -(joint & 1)
    all_extremes = no_extremes(len(layout.spec.features))
    all_extremes[layout.numeric, :] = extremes
    total.add_extremes(all_extremes)
    for at, part in enumerate(parts):
        sums[at] += part
    total.detail.add(detail, rows=rows)
    total.add_rejected(words.rejected)
    total.add_extra(words.extra)
    for i, sample in zip(layout.worded, words.unseen, strict=True):
        total.add_unseen(i, sample)


def _payload(data: bytes, layout: ProfileLayout) -> tuple[bytes, bytes]:
    head = len(_MAGIC)
    if data[:head] != _MAGIC or len(data) <= head:
        raise ProfileError("it does not start as a profile does: is this the right object?")
    if data[head] not in (_VERSION, _WITHOUT_DETAIL):
        raise ProfileError(
            f"its format is version {data[head]}, this driftgauge reads versions {_WITHOUT_DETAIL} "
            f"and {_VERSION}: install the driftgauge that wrote it, or profile its capture again"
        )
    numeric, worded = len(layout.numeric), len(layout.worded)
    longest = (
        1024
        + 8 * (layout.cells + layout.joint + TALLIES * len(layout.spec.features))
        + numeric * (16 + 2 * (4 + _LONGEST_SUM))
        + (_MOST_REASONS + SAMPLE_SIZE * (1 + worded)) * _LONGEST_WORDS
    )
    payload, rest = _inflate(data[head + 1 :], longest)
    if rest and data[head] == _WITHOUT_DETAIL:
        raise ValueError("it goes on after its end")
    return payload, rest


def _deflate(payload: bytes) -> bytes:
    deflater = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, _STRATEGY)
    return deflater.compress(payload) + deflater.flush()


def _inflate(data: bytes, longest: int) -> tuple[bytes, bytes]:
    """Return what a zlib stream holds, and the bytes after it."""
    inflater = zlib.decompressobj()
    try:
        payload = inflater.decompress(data, longest)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflater.eof:
        raise ValueError("it is cut off, or goes on after its end")
    return payload, inflater.unused_data


def _pack_detail(detail: Detail, grid: DetailGrid, counts: NDArray[np.int64]) -> bytes:
    cells, stretches = detail.cells, detail.stretches
    cut = grid.cut(detail.levels, counts)
    pieces = np.diff(np.searchsorted(cells, np.append(cut, counts.shape[0])))
    ends = np.cumsum(pieces)
    steps = np.diff(stretches, prepend=0) - 1
    shifts = grid.shift(detail.levels)[grid.column[cut]]
    starts = ends - pieces
    steps[starts] = stretches[starts] - (grid.lowest[cut] >> shifts)
    others = np.ones(cells.shape[0], dtype=np.bool_)
    others[ends - 1] = False
    return b"".join(
        [
            detail.levels.astype(np.uint8).tobytes(),
            _pack(counts[cut] - pieces),
            _pack(steps),
            _pack(detail.counts[others] - 1),
        ]
    )


def _unpack_detail(data: bytes, grid: DetailGrid, counts: NDArray[np.int64]) -> DetailSource:
    longest = grid.columns * (1 + 3 * 8 * MOST_PIECES) + 3
    payload, rest = _inflate(data, longest)
    if rest:
        raise ValueError("it goes on after its end")
    reader = _Reader(payload)
    levels = np.frombuffer(reader.take(grid.columns), np.uint8).astype(np.int64)
    if (levels > LAST).any():
        raise ValueError("an impossible level of pieces")
    cut = grid.cut(levels, counts)
    held = counts[cut]
    pieces = held - _unpack(reader, cut.shape[0], MOST_ROWS)
    if (pieces < 1).any() or (held > MOST_ROWS).any():
        raise ValueError("a cell that is cut in no pieces")
    size = int(pieces.sum())
    steps = _unpack(reader, size, _MOST_STEPS)
    ends = np.cumsum(pieces)
    starts = ends - pieces
    others = np.ones(size, dtype=np.bool_)
    others[ends - 1] = False
    numbers = np.zeros(size, dtype=np.int64)
    numbers[others] = _unpack(reader, size - cut.shape[0], MOST_ROWS) + 1
    if reader.rest():
        raise ValueError("it goes on after its end")
    shifts = grid.shift(levels)[grid.column[cut]]
    first, last = grid.lowest[cut] >> shifts, grid.highest[cut] >> shifts
    within = np.ones(size, dtype=np.int64)
    within[starts] = 0
    run = np.cumsum(steps + within)
    stretches = run + np.repeat(first - run[starts] + steps[starts], pieces)
    inside = (stretches <= np.repeat(last, pieces)) & (stretches >= np.repeat(first, pieces))
    if cut.shape[0]:
        numbers[ends - 1] = held - np.add.reduceat(numbers, starts)
    if not inside.all() or (numbers < 1).any():
        raise ValueError("impossible pieces of a cell")
    cells = np.repeat(cut, pieces).astype(np.int64)
    rising = (stretches[1:] > stretches[:-1]) | (cells[1:] > cells[:-1])
    if not rising.all() or (np.bincount(grid.column[cells], minlength=1) > MOST_PIECES).any():
        raise ValueError("impossible pieces of a cell")
    detail = Detail(levels=levels, cells=cells, stretches=stretches, counts=numbers)
    return DetailSource(grid, detail=detail)


class _Reader:
    """Takes bytes from the front of a payload."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise ValueError("it is too short")
        self._at += size
        return part

    def rest(self) -> bytes:
        return self._data[self._at :]


def _pack(values: NDArray[np.int64]) -> bytes:
    largest = int(values.max(initial=0))
    width = next(size for size in (1, 2, 4, 8) if largest < 1 << (8 * size))
    planes = values.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T
    return bytes([width]) + planes.tobytes()


def _unpack(reader: _Reader, size: int, largest: int) -> NDArray[np.int64]:
    width = reader.take(1)[0]
    if width not in (1, 2, 4, 8):
        raise ValueError("an impossible width of integers")
    planes = np.frombuffer(reader.take(size * width), np.uint8)
    if width == 1:
        values = planes.astype(np.int64)
    else:
        joined = np.ascontiguousarray(planes.reshape(width, size).T)
        values = joined.view(f"<u{width}").ravel().astype(np.int64)
    if size and (values.max() > largest or values.min() < 0):
        raise ValueError("a count that exceeds the number of rows")
    return values


def _pack_sums(sums: list[int]) -> bytes:
    exponents, mantissas = [], []
    for value in sums:
        exponent = (value & -value).bit_length() - 1 if value else 0
        mantissa = value >> exponent
        exponents.append(exponent)
        size = (mantissa.bit_length() + 8) // 8 if value else 0
        mantissas.append(mantissa.to_bytes(size, "little", signed=True))
    lengths = [len(mantissa) for mantissa in mantissas]
    return (
        np.array(exponents, dtype="<i2").tobytes()
        + np.array(lengths, dtype="<u2").tobytes()
        + b"".join(mantissas)
    )


def _unpack_sums(reader: _Reader, size: int) -> Iterator[int]:
    exponents = np.frombuffer(reader.take(2 * size), "<i2").tolist()
    lengths = np.frombuffer(reader.take(2 * size), "<u2").tolist()
    mantissas = reader.take(sum(lengths))
    at = 0
    for exponent, length in zip(exponents, lengths, strict=True):
        if exponent < 0 or length > _LONGEST_SUM:
            raise ValueError("an impossible sum")
        yield int.from_bytes(mantissas[at : at + length], "little", signed=True) << exponent
        at += length


def _read_words(data: bytes, layout: ProfileLayout, rows: int) -> _Words:
    words = _WORDS_DECODER.decode(data)
    if len(words.unseen) != len(layout.worded):
        raise ValueError("a sample of unseen words for another number of columns")
    if any(not 0 <= count <= _MOST_ROWS for count in words.rejected.values()):
        raise ValueError("an impossible number of rejected rows")
    for sample in (words.extra, *words.unseen):
        if len(sample) > SAMPLE_SIZE or any(not 0 < n <= rows for n in sample.values()):
            raise ValueError("an impossible sample of words")
    return words
