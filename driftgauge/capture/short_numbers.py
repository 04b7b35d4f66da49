"""Short decimal numbers, parsed many at once: each cell's bytes as one 64-bit word.

A number of at most eight bytes fits a word. The digits of a word are put together by three
multiplications (Lemire, "Quickly parsing eight digits", 2018), and the result is divided by a
power of ten. Both are whole numbers that a float64 holds exactly, so the quotient is the float64
nearest to the decimal, as IEEE 754 division rounds correctly: the one that any parser returns.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.grid import Grid, Index

Words = NDArray[np.uint64]

LONGEST: Final = 8
# Cells in one piece of work: its arrays are made once.
_CELLS_AT_ONCE: Final = 1 << 16
_EACH: Final = 0x0101010101010101
_ZEROS = np.uint64(ord("0") * _EACH)
# After the exclusive or with "0", digits are 0 to 9, and of what else a number holds this bit is
# set: "." is 0x1E, "-" is 0x1D, and the comma behind an empty cell is 0x1C.
_MARK: Final = 0x10
_MARKS = np.uint64(_MARK * _EACH)
_MINUS: Final = np.uint64(ord("-") ^ ord("0"))
# Added to a byte above 9, this sets the highest bit.
_ABOVE_NINE = np.uint64((0x80 - 10) * _EACH)
_HIGHEST_BITS: Final = 0x80 * _EACH
# A word with one bit set, that of a dot in byte k, times this has 8 - k in its highest four bits.
_SHIFTS = np.uint64(sum((LONGEST - k) << (60 - 8 * k) for k in range(LONGEST)))
_POWERS = 10.0 ** np.arange(16)
_PAIRS = (
    (np.uint64(10 * 2**8 + 1), np.uint64(8), np.uint64(0x00FF00FF00FF00FF)),
    (np.uint64(100 * 2**16 + 1), np.uint64(16), np.uint64(0x0000FFFF0000FFFF)),
    (np.uint64(10_000 * 2**32 + 1), np.uint64(32), np.uint64(0x00000000FFFFFFFF)),
)


class ShortNumbers:
    """Parser of cells of at most eight bytes; keep one per stream, it reuses its arrays."""

    def __init__(self) -> None:
        self._arrays = np.empty((5, 0), dtype=np.uint64)

    def read(self, grid: Grid, columns: list[int]) -> tuple[NDArray[np.float64], list[int]] | None:
        r"""Parse the cells of some columns.

        Parameters
        ----------
        grid : Grid
            Every cell is followed by a comma.
        columns : list of int
            At least one, in order.

        Returns
        -------
        tuple of ndarray and list of int, or None
            The numbers, shape (columns, rows), and how many of each column have a decimal point;
            None if a cell is anything but digits, perhaps with a sign before and a point between
            them, in eight bytes.

        Examples
        --------
        >>> from driftgauge.capture.grid import grid_of_text
        >>> grid = grid_of_text([b"1,2.50,", b"-3,4,"], width=3)
        >>> table, fractional = ShortNumbers().read(grid, [0, 1])
        >>> table.tolist(), fractional
        ([[1.0, -3.0], [2.5, 4.0]], [0, 1])
        """
        width = len(columns)
        step = max(1, _CELLS_AT_ONCE // width)
        if self._arrays.shape[1] < step * width:
            self._arrays = np.empty((5, step * width), dtype=np.uint64)
        table = np.empty((width, grid.rows))
        fractional = np.zeros(width, dtype=np.intp)
        for start in range(0, grid.rows, step):
            part = slice(start, min(grid.rows, start + step))
            rows = part.stop - start
            arrays = self._arrays[:, : rows * width].reshape(5, rows, width)
            points = _read_part(grid, columns, part, arrays, out=table[:, part])
            if points is None:
                return None
            fractional += points.astype(np.intp)
        return table, fractional.tolist()


def _read_part(
    grid: Grid, columns: list[int], part: slice, arrays: Words, *, out: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Parse some rows, see ``ShortNumbers.read``; ``out`` has shape (columns, rows)."""
    words, shifts, points, bits, work = arrays
    if not _find(grid, columns, part, words.view(np.intp), shifts.view(np.intp)):
        return None
    _load(grid.data, words, arrays[2:])
    np.bitwise_xor(words, _ZEROS, out=words)
    signed = None
    if _any_bits(words) & _MARK:
        signed = _without_sign(words, bits)
        if signed is None:
            return None
    # The last byte of the cell becomes the word's highest one; before the first come zeros.
    np.left_shift(words, shifts, out=words)
    if not _close_gaps(words, points, bits, work):
        return None
    for factor, shift, mask in _PAIRS:
        np.multiply(words, factor, out=words)
        np.right_shift(words, shift, out=words)
        np.bitwise_and(words, mask, out=words)
    np.multiply(points, _SHIFTS, out=points)
    np.right_shift(points, np.uint64(60), out=points)
    powers = _POWERS.take(points.view(np.intp), mode="clip", out=work.view(np.float64))
    numbers = bits.view(np.float64)
    np.copyto(numbers, words.view(np.int64))
    np.divide(numbers, powers, out=numbers)
    if signed is not None:
        np.negative(numbers, out=numbers, where=signed)
        # Adding zero turns -0.0 into 0.0.
        np.add(numbers, 0.0, out=numbers)
    np.copyto(out, numbers.T)
    # A matrix product counts faster than a sum over rows does; these are few enough for float32.
    counts: NDArray[np.float32] = np.ones(len(points), dtype=np.float32) @ (points != 0).astype(
        np.float32
    )
    return counts


def _find(grid: Grid, columns: list[int], part: slice, starts: Index, shifts: Index) -> bool:
    """Write where the cells of some rows start, and how many bits of a word they leave free.

    False if one is too long.
    """
    ends = grid.ends[part]
    first, last = columns[0], columns[-1]
    if last - first == len(columns) - 1:
        if first:
            np.add(ends[:, first - 1 : last], 1, out=starts)
        else:
            np.add(ends[:, :last], 1, out=starts[:, 1:])
        own = ends[:, first : last + 1]
    else:
        np.add(ends[:, [column - 1 for column in columns]], 1, out=starts)
        own = ends[:, columns]
    if not first:
        starts[:, 0] = grid.row_starts[part]
    np.subtract(own, starts, out=shifts)
    if shifts.max() > LONGEST:
        return False
    np.multiply(shifts, -8, out=shifts)
    np.add(shifts, 64, out=shifts)
    return True


def _load(data: bytearray, words: Words, arrays: Words) -> None:
    """Replace places in the data by the eight bytes from there on, as a number.

    Each is put together from two aligned words, which can be taken several times faster than
    words at any place.
    """
    aligned = np.frombuffer(data, dtype="<u8", count=len(data) // 8)
    low, high, work = arrays
    places = work.view(np.intp)
    np.right_shift(words, np.uint64(3), out=work)
    aligned.take(places, mode="clip", out=low)
    np.add(places, 1, out=places)
    aligned.take(places, mode="clip", out=high)
    np.bitwise_and(words, np.uint64(7), out=words)
    np.left_shift(words, np.uint64(3), out=words)
    np.right_shift(low, words, out=low)
    np.subtract(np.uint64(64), words, out=words)
    # A shift by 64 bits leaves nothing.
    np.left_shift(high, words, out=high)
    np.bitwise_or(low, high, out=words)


def _without_sign(words: Words, work: Words) -> NDArray[np.bool_] | None:
    """Turn a minus at the start of cells into "0", and tell where one was.

    None if a cell starts with neither a minus nor a digit, or no digit follows the minus.
    """
    np.bitwise_and(words, np.uint64(0xFF), out=work)
    signed: NDArray[np.bool_] = work == _MINUS
    np.multiply(signed, _MINUS, out=work)
    np.bitwise_xor(words, work, out=words)
    if _any_bits(words) & _MARK:
        return None
    np.multiply(words, signed, out=work)
    return None if _any_bits(work) & (_MARK << 8) else signed


def _close_gaps(words: Words, points: Words, bits: Words, work: Words) -> bool:
    """Take the decimal points out of words; False if a cell is no number.

    The digits behind a point move into its place, and ``points`` is left with the lowest bit of
    the byte where it was.
    """
    np.bitwise_and(words, _MARKS, out=bits)
    np.right_shift(bits, np.uint64(4), out=points)
    # 0x0F in each byte that is marked, and twice that is a point.
    np.subtract(bits, points, out=bits)
    np.left_shift(bits, np.uint64(1), out=work)
    np.bitwise_xor(words, work, out=words)
    # All bytes are digits, or zero where a point was.
    np.add(words, _ABOVE_NINE, out=work)
    np.bitwise_or(work, words, out=work)
    np.bitwise_and(bits, words, out=bits)
    if _any_bits(work) & _HIGHEST_BITS or _any_bits(bits):
        return False
    # No point is the last byte, and there is at most one.
    np.subtract(points, np.uint64(1), out=work)
    np.bitwise_and(points, work, out=bits)
    if _any_bits(points) >> 56 or _any_bits(bits):
        return False
    # What is before the point stays, and so does the whole of what has none.
    np.bitwise_and(words, work, out=work)
    np.bitwise_xor(words, work, out=words)
    np.right_shift(words, np.uint64(8), out=words)
    np.bitwise_or(words, work, out=words)
    return True


def _any_bits(words: Words) -> int:
    """Return the bits that are set in any of the words."""
    return int(np.bitwise_or.reduce(words, axis=None))
