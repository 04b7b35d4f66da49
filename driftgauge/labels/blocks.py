"""Arrays and columns as few bytes: what ``driftgauge.labels.codec`` puts into its files."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts
from driftgauge.profile.words import canonical_word

# Of one file; a window of that many predictions exceeds any function's memory.
MOST_ROWS = 1 << 26
# A table of distinct numbers is worth its bytes up to this share of the numbers.
_TABLE_SHARE = 4
_MOST_DISTINCT = 1 << 16


class Damaged(ValueError):  # noqa: N818 - the codec turns it into an error with a remedy
    """Stored bytes do not say what they should."""


class PackedColumn(msgspec.Struct, array_like=True, gc=False):
    """A column as bytes.

    Attributes
    ----------
    types : tuple of int
        Integral, fractional, boolean, text.
    missing : bytes
        One bit a row; empty if nothing is missing.
    codes : bytes
        Index into ``words`` plus 1 of each row, 0 for a number; empty without words.
    words : list of str
        Those that occur, sorted.
    table : bytes
        Distinct numbers, if ``numbers`` are indices into them.
    numbers : bytes
        Of the rows that hold a number: indices or the numbers.
    width : int
        Bytes of each stored number, 4 or 8.
    """

    types: tuple[int, int, int, int]
    missing: bytes
    codes: bytes
    words: list[str]
    table: bytes
    numbers: bytes
    width: int


def pack_integers(
    values: NDArray[np.int64] | NDArray[np.intp] | NDArray[np.uint32] | NDArray[np.int32],
) -> bytes:
    """Write integers of 0 to 2**63 - 1, one plane for each byte they need.

    Examples
    --------
    >>> pack_integers(np.array([1, 257])).hex()
    '0201010001'
    """
    largest = int(values.max(initial=0))
    width = next(size for size in (1, 2, 4, 8) if largest < 1 << (8 * size))
    return bytes([width]) + _planes(values.astype(f"<u{width}"), width)


def unpack_integers(data: bytes, count: int) -> NDArray[np.int64]:
    """Read what ``pack_integers`` wrote.

    Raises
    ------
    Damaged
        If these are not so many integers.
    """
    width = data[0] if data else 0
    if width not in (1, 2, 4, 8) or len(data) - 1 != width * count:
        raise Damaged("another number of values")
    values = _unplanes(data[1:], width).view(f"<u{width}").astype(np.int64)
    if width == 8 and (values < 0).any():
        raise Damaged("a value out of range")
    return values


def _planes(values: NDArray[np.generic], width: int) -> bytes:
    return values.view(np.uint8).reshape(-1, width).T.tobytes()


def _unplanes(data: bytes, width: int) -> NDArray[np.uint8]:
    planes = np.frombuffer(data, dtype=np.uint8).reshape(width, -1)
    return np.ascontiguousarray(planes.T).ravel()


def pack_column(column: Column) -> PackedColumn:
    """Write a column, its words in order and without those that do not occur."""
    codes, words = _used_words(column)
    holds = np.ones(column.rows, dtype=np.bool_)
    missing = b""
    if column.missing is not None and column.missing.any():
        holds &= ~column.missing
        missing = np.packbits(column.missing).tobytes()
    if words:
        holds &= codes == 0
    table, numbers, width = _pack_numbers(column.numbers[holds])
    types = column.types
    return PackedColumn(
        types=(types.integral, types.fractional, types.boolean, types.text),
        missing=missing,
        codes=pack_integers(codes) if words else b"",
        words=words,
        table=table,
        numbers=numbers,
        width=width,
    )


def unpack_column(packed: PackedColumn, rows: int) -> Column:
    """Read what ``pack_column`` wrote.

    Raises
    ------
    Damaged
        If it is no column of so many rows.
    """
    holds = np.ones(rows, dtype=np.bool_)
    missing = None
    if packed.missing:
        bits = np.frombuffer(packed.missing, dtype=np.uint8)
        if bits.shape[0] != (rows + 7) // 8:
            raise Damaged("another number of rows")
        missing = np.unpackbits(bits, count=rows).astype(np.bool_)
        holds &= ~missing
    codes = None
    if packed.words:
        index = unpack_integers(packed.codes, rows)
        if (index > len(packed.words)).any():
            raise Damaged("a word that is not there")
        codes = (index - 1).astype(np.int32)
        holds &= codes < 0
    numbers = np.full(rows, np.nan)
    numbers[holds] = _unpack_numbers(packed, int(holds.sum()))
    types = TypeCounts(
        integral=packed.types[0],
        fractional=packed.types[1],
        boolean=packed.types[2],
        text=packed.types[3],
    )
    if min(packed.types) < 0:
        raise Damaged("a count below zero")
    return Column(
        numbers=numbers, types=types, codes=codes, words=tuple(packed.words), missing=missing
    )


def _used_words(column: Column) -> tuple[NDArray[np.int64], list[str]]:
    """Return each row's place among the words that occur, plus 1, and these words in order."""
    if column.codes is None:
        return np.zeros(0, dtype=np.int64), []
    used = np.flatnonzero(np.bincount(column.codes + 1, minlength=len(column.words) + 1)[1:])
    # Everything that counts or compares words does so under their canonical text.
    texts = {code: canonical_word(column.words[code]) for code in used.tolist()}
    words = sorted(set(texts.values()))
    place = {word: at + 1 for at, word in enumerate(words)}
    # The extra last place is where code -1 points.
    index = np.zeros(len(column.words) + 1, dtype=np.int64)
    for code, text in texts.items():
        index[code] = place[text]
    return index[column.codes], words


def _pack_numbers(numbers: NDArray[np.float64]) -> tuple[bytes, bytes, int]:
    """Return a table of distinct numbers (or nothing), the numbers, and the bytes of each."""
    # As bits, so that zeros of both signs stay what they are.
    bits = numbers.view(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        short = numbers.astype("<f4")
    width = 4 if (short.astype(np.float64).view(np.int64) == bits).all() else 8
    distinct, index = np.unique(bits, return_inverse=True)
    if 0 < distinct.shape[0] <= min(_MOST_DISTINCT, numbers.shape[0] // _TABLE_SHARE):
        table = distinct.view(np.float64).astype(f"<f{width}")
        return table.tobytes(), pack_integers(index), width
    return b"", _planes(short if width == 4 else numbers.astype("<f8"), width), width


def _unpack_numbers(packed: PackedColumn, count: int) -> NDArray[np.float64]:
    width = packed.width
    if width not in (4, 8):
        raise Damaged("numbers of an impossible width")
    if packed.table:
        if len(packed.table) % width:
            raise Damaged("no whole number of numbers")
        table = np.frombuffer(packed.table, dtype=f"<f{width}").astype(np.float64)
        index = unpack_integers(packed.numbers, count)
        if (index >= table.shape[0]).any():
            raise Damaged("a number that is not there")
        return table[index]
    if len(packed.numbers) != width * count:
        raise Damaged("another number of numbers")
    return _unplanes(packed.numbers, width).view(f"<f{width}").astype(np.float64)
