"""Where the cells of many rows are: the bounds of all of them, found at once.

The rows of CSV text are looked at as an array of bytes. The positions of all separators give the
bounds of all cells. Text that is not regular (a row of another width, a stray quote) has no grid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
Bytes = NDArray[np.uint8]

COMMA: Final = ord(",")
NEWLINE: Final = b"\n"
# White space to JSON, and to be told from a space that somebody wrote.
BLANK: Final = ord(NEWLINE)
# A newline within a JSON string that was not decoded.
ESCAPED_NEWLINE: Final = b"\\n"
# Behind the cells, so that some bytes can be read from the start of any of them.
PADDING: Final = 72
_LEAD: Final = 16
_QUOTE: Final = ord('"')
_LOWEST_PRINTED: Final = 32
# The csv module's limit: it has the last word on longer cells.
_LONGEST_QUOTED = 131_072
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
# Pieces longer than this are put together one by one.
_LONGEST_PIECE = 1024
# So many times their own bytes may pieces of different lengths take when put in one table.
_MOST_BLOAT = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The cells of a text.

    Attributes
    ----------
    data : bytearray
        The rows in order, each cell followed by one separator. Between rows there may be ``BLANK``
        bytes, before them is at least one byte, and behind them are ``PADDING`` bytes.
    row_starts : ndarray of int, shape (rows,)
        Where each row starts.
    ends : ndarray of int, shape (rows, width)
        Where each cell ends. All cells but the first of a row start one byte after the one before.
    """

    data: bytearray
    row_starts: Index
    ends: Index

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.ends.shape[0])

    @property
    def width(self) -> int:
        """Number of cells in a row."""
        return int(self.ends.shape[1])

    @property
    def view(self) -> Bytes:
        """The data as an array that can be written to."""
        return np.frombuffer(self.data, dtype=np.uint8)

    def starts(self, column: int) -> Index:
        """Return where the cells of a column start."""
        return self.row_starts if column == 0 else self.ends[:, column - 1] + 1

    def bounds(self, columns: list[int]) -> tuple[Index, Index]:
        """Return starts and lengths of the cells of some columns, both of shape (rows, columns).

        The columns are in order.
        """
        first, last = columns[0], columns[-1]
        if first and last - first == len(columns) - 1:
            starts: Index = self.ends[:, first - 1 : last] + 1
            return starts, self.ends[:, first : last + 1] - starts
        starts = self.ends[:, [column - 1 for column in columns]] + 1
        if first == 0:
            starts[:, 0] = self.row_starts
        return starts, self.ends[:, columns] - starts

    def cell(self, row: int, column: int) -> bytes:
        """Return the bytes of one cell."""
        start = self.ends[row, column - 1] + 1 if column else self.row_starts[row]
        return bytes(self.data[int(start) : int(self.ends[row, column])])

    def cells(self, column: int) -> list[bytes]:
        """Return the bytes of all cells of a column."""
        bounds = zip(self.starts(column).tolist(), self.ends[:, column].tolist(), strict=True)
        data = bytes(self.data)
        return [data[start:end] for start, end in bounds]

    def columns_with(self, positions: Index) -> set[int]:
        """Return the columns that bytes belong to."""
        cells = np.searchsorted(self.ends.ravel(), positions)
        return set(np.unique(cells % self.width).tolist())

    def empty(self, columns: list[int]) -> NDArray[np.bool_] | None:
        """Tell which cells of some columns are empty, shape (rows, columns); None if none is."""
        lengths = np.empty((len(columns), self.rows), dtype=np.intp)
        for row, column in zip(lengths, columns, strict=True):
            np.subtract(self.ends[:, column], self.starts(column), out=row)
        return lengths.T == 0 if not lengths.all() else None


def grid_of_text(
    texts: Iterable[bytes | memoryview], *, width: int, newline: bytes = NEWLINE
) -> Grid | None:
    r"""Find the cells of rows that stand one after the other.

    Parameters
    ----------
    texts : iterable of bytes
        Each of one row or more, with ``newline`` between them and not at the end.
    width : int
        Number of cells in a row.
    newline : bytes
        ``NEWLINE``: cells may be quoted. ``ESCAPED_NEWLINE``: text with a quote, a control
        character, or a backslash that is not a part of it has no grid.

    Examples
    --------
    >>> grid = grid_of_text([b"1,a\n2.5,b", b"3,c"], width=2)
    >>> grid.cell(1, 0), grid_of_text([b"1,a\n2.5"], width=2) is None
    (b'2.5', True)
    """
    data = bytearray(newline).join((b"", *texts, bytes(PADDING)))
    view = np.frombuffer(data, dtype=np.uint8)
    if newline == ESCAPED_NEWLINE and view[:-PADDING].min() < _LOWEST_PRINTED:
        return None
    between = view == newline[0]
    rows = int(np.count_nonzero(between)) - 1
    between |= view == COMMA
    # The first of them stands before the first row.
    ends: Index = np.flatnonzero(between)[1:]
    if b'"' in data:
        found = _outside_quotes(data, ends) if newline == NEWLINE else None
        if found is None:
            return None
        ends = found
        rows = int(np.count_nonzero(view[ends] == newline[0]))
    if ends.shape[0] != rows * width:
        return None
    ends = ends.reshape(rows, width)
    row_ends = ends[:, -1]
    if not (view[row_ends] == newline[0]).all():
        return None
    row_starts = np.empty(rows, dtype=np.intp)
    row_starts[0] = len(newline)
    np.add(row_ends[:-1], len(newline), out=row_starts[1:])
    if len(newline) > 1:
        if not (view[row_starts - 1] == newline[1]).all():
            return None
        view[row_starts - 1] = BLANK
    return Grid(data=data, row_starts=row_starts, ends=ends)


def _outside_quotes(data: bytearray, ends: Index) -> Index | None:
    """Drop separators inside quoted cells; None if quotes do not enclose whole cells.

    There is one byte before the first cell.
    """
    quotes = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _QUOTE)
    # A separator after an odd number of quotes is inside a quoted cell.
    before = np.searchsorted(quotes, ends)
    outside = before % 2 == 0
    ends = ends[outside]
    longest = int(np.diff(ends, prepend=0).max(initial=0))
    if longest > _LONGEST_QUOTED:
        return None
    for cell in np.flatnonzero(np.diff(before[outside], prepend=0)).tolist():
        start = 1 if cell == 0 else int(ends[cell - 1]) + 1
        if _QUOTED.fullmatch(data, start, int(ends[cell])) is None:
            return None
    return ends


def grid_of_spans(source: bytes, starts: Index, ends: Index, *, width: int) -> Grid | None:
    """Find the cells of rows that stand anywhere.

    Parameters
    ----------
    source : bytes
        ASCII or UTF-8. A row with a quote, a backslash or a control character has no grid.
    starts, ends : ndarray of int, shape (rows,)
        Where each row is in the source.
    width : int
        Number of cells in a row.

    Examples
    --------
    >>> source = b"data: 1,a; data: 2.5,b;"
    >>> grid = grid_of_spans(source, np.array([6, 17]), np.array([9, 22]), width=2)
    >>> grid.cell(1, 0)
    b'2.5'
    """
    lengths = ends - starts
    longest = rounded(int(lengths.max()) + 1)
    if not is_even(longest, lengths):
        texts = slices(source, starts, ends)
        grid = grid_of_text(texts, width=width, newline=ESCAPED_NEWLINE)
        return grid if grid is not None and grid.rows == len(texts) else None
    rows_at = np.arange(lengths.shape[0]) * longest + _LEAD
    ends_at = rows_at + lengths
    data = bytearray(_LEAD + lengths.shape[0] * longest + PADDING)
    view = np.frombuffer(data, dtype=np.uint8)
    table = view[_LEAD:-PADDING].reshape(-1, longest)
    found = pieces(source, starts, longest)
    found &= kept(lengths, longest)
    np.bitwise_or(found, blanks(lengths, longest), out=table)
    unprinted = int(np.count_nonzero(table < _LOWEST_PRINTED))
    if unprinted != table.size - int(lengths.sum()) or b'"' in data or b"\\" in data:
        return None
    view[ends_at] = COMMA
    separators: Index = np.flatnonzero(view == COMMA)
    if separators.shape[0] != lengths.shape[0] * width:
        return None
    separators = separators.reshape(-1, width)
    if not np.array_equal(separators[:, -1], ends_at):
        return None
    return Grid(data=data, row_starts=rows_at, ends=separators)


def blank_out(grid: Grid, first: int, last: int) -> None:
    """Overwrite the cells of neighbouring columns, and the separators behind them."""
    starts, ends = grid.starts(first), grid.ends[:, last] + 1
    lengths = ends - starts
    room = rounded(int(lengths.max()))
    inside = int(starts[-1]) + room <= len(grid.data)
    if room > _LONGEST_PIECE or not inside or not (starts[1:] - starts[:-1] >= room).all():
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            grid.data[start:end] = bytes([BLANK]) * (end - start)
        return
    items = _items(grid.data, room)
    found = items[starts].view(np.uint8).reshape(-1, room)
    # What comes behind a cell is written back as it was.
    mask = kept(lengths, room)
    found &= ~mask
    found |= mask & np.uint8(BLANK)
    items[starts] = found.view(items.dtype).ravel()


def is_plain(text: bytes) -> bool:
    """Tell whether a text that is not empty is free of quotes and control characters."""
    smallest = np.frombuffer(text, dtype=np.uint8).min(initial=_LOWEST_PRINTED)
    return b'"' not in text and bool(smallest >= _LOWEST_PRINTED)


def is_even(longest: int, lengths: Index) -> bool:
    """Tell whether a table of pieces, each as wide as the longest, is not much larger than they."""
    table = longest * lengths.shape[0]
    return longest <= _LONGEST_PIECE and table <= _MOST_BLOAT * int(lengths.sum()) + _LONGEST_PIECE


def slices(source: bytes, starts: Index, ends: Index) -> list[memoryview]:
    """Return pieces of the source, not copied."""
    view = memoryview(source)
    return [view[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def rounded(length: int) -> int:
    """Round the length of pieces up, so that few different ones occur."""
    return -(-length // 16) * 16


def pieces(source: bytes | bytearray, starts: Index, length: int) -> Bytes:
    """Return copies of pieces of the source, shape (pieces, length); beyond its end is zero."""
    if int(starts.max(initial=0)) + length > len(source):
        source = bytes(source) + bytes(length)
    return _items(source, length)[starts].view(np.uint8).reshape(-1, length)


def _items(source: bytes | bytearray, length: int) -> NDArray[np.void]:
    """Return an item for each position; they overlap."""
    return np.ndarray((len(source) - length + 1,), dtype=f"V{length}", buffer=source, strides=(1,))


def kept(lengths: Index, longest: int) -> Bytes:
    """Return masks that keep so many bytes of a piece, shape (pieces, longest)."""
    return _masks(longest)[lengths].view(np.uint8).reshape(-1, longest)


def blanks(lengths: Index, longest: int) -> Bytes:
    """Return ``BLANK`` bytes after so many zeros, shape (pieces, longest)."""
    return _blanks(longest)[lengths].view(np.uint8).reshape(-1, longest)


@lru_cache(maxsize=8)
def _masks(longest: int) -> NDArray[np.void]:
    masks = np.tri(longest + 1, longest, -1, dtype=np.uint8) * np.uint8(255)
    return masks.view(f"V{longest}").ravel()


@lru_cache(maxsize=8)
def _blanks(longest: int) -> NDArray[np.void]:
    blank = (1 - np.tri(longest + 1, longest, -1, dtype=np.uint8)) * np.uint8(BLANK)
    return blank.view(f"V{longest}").ravel()
