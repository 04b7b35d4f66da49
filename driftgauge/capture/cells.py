"""Many CSV cells at once: regular text to columns without a Python object a cell.

The text is looked at as an array of bytes. The positions of all separators give the bounds of all
cells as a (rows, width) grid. Columns of numbers are parsed
together as one JSON array; other columns are reduced to their distinct cells, which are read one
by one with the rules of ``types``. Text that is not regular (a row of another width, a stray quote)
is left to the tolerant reader: ``decode`` returns None and has no effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.types import column_of_codes, read_text
from driftgauge.columns import Column, TypeCounts

simdjson: Any
try:
    import simdjson
except ImportError:  # no wheel for this platform: slower, same result
    simdjson = None

_COMMA: Final = ord(",")
_NEWLINE: Final = ord("\n")
_QUOTE: Final = ord('"')
_SPACE: Final = ord(" ")
_FRACTION_MARKS: Final = b".eE"
# JSON would skip or nest these, so that a cell with one of them could pass for a number.
_STRANGE: Final = b" \t\r[]{}"
_JSON_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
# The csv module's limit: it has the last word on longer cells.
_LONGEST_QUOTED = 131_072
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
# Cells longer than this are told apart as Python objects.
_LONGEST_KEY = 64
_PADDING = b" " * (_LONGEST_KEY + 8)
_TABLE_BITS = 14
_MIXERS = tuple(
    np.array([(seed + 2 * i) * 0x9E3779B97F4A7C15 % 2**64 | 1 for i in range(9)], dtype=np.uint64)
    for seed in (1, 0x5851F42D4C957F2D, 0x14057B7EF767814F)
)
_LOW_BYTES = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)

_Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """The cells of a text: the bounds of their bytes, of shape (rows, width)."""

    data: bytes
    starts: _Index
    lengths: _Index
    ends: _Index

    def cell(self, row: int, column: int) -> bytes:
        start = int(self.starts[row, column])
        return self.data[start : start + int(self.lengths[row, column])]

    def columns_with(self, positions: _Index) -> set[int]:
        """Return the columns that bytes belong to."""
        cells = np.searchsorted(self.ends.ravel(), positions)
        return set(np.unique(cells % self.ends.shape[1]).tolist())


class CellDecoder:
    """Decoder of regular CSV text; keep one per stream, it reuses its buffers."""

    def __init__(self) -> None:
        self._parser = simdjson.Parser() if simdjson is not None else None
        # Columns that recently held something else than numbers; a hint that changes the speed
        # and never the result.
        self._mixed: set[int] = set()

    def decode(self, text: str, *, rows: int, width: int) -> list[Column] | None:
        r"""Decode rows of comma-separated cells.

        Parameters
        ----------
        text : str
            The rows, separated by ``"\n"``, without a newline at the end. Cells may be quoted.
        rows, width : int
            The number of rows and of cells in each, both at least 1.

        Returns
        -------
        list of Column or None
            One per cell of a row; None if the text is not ``rows`` times ``width`` plain cells.

        Examples
        --------
        >>> columns = CellDecoder().decode("1,a\n2.5,b", rows=2, width=2)
        >>> columns[0].numbers.tolist(), columns[1].words
        ([1.0, 2.5], ('a', 'b'))
        """
        grid = _grid_of(text, rows=rows, width=width)
        if grid is None:
            return None
        wordy = _strange_columns(grid)
        wordy |= {column for column in range(width) if self._starts_with_word(grid, column)}
        numbers = self._numbers(grid, wordy)
        if numbers is None:
            mixed = {c for c in range(width) if c not in wordy and not _is_numeric(grid, c)}
            wordy |= mixed
            self._mixed |= mixed
            numbers = self._numbers(grid, wordy)
            if numbers is None:
                # A number JSON cannot hold, such as 1e400.
                numbers, wordy = {}, set(range(width))
        columns = [
            numbers[column] if column in numbers else _dictionary_column(grid, column)
            for column in range(width)
        ]
        self._mixed -= {column for column in self._mixed if not columns[column].words}
        return columns

    def _starts_with_word(self, grid: _Grid, column: int) -> bool:
        if column in self._mixed:
            return True
        row = 0
        if not grid.lengths[0, column]:
            row = int(np.argmax(grid.lengths[:, column] > 0))
        cell = grid.cell(row, column)
        return bool(cell) and _JSON_NUMBER.fullmatch(cell) is None

    def _numbers(self, grid: _Grid, wordy: set[int]) -> dict[int, Column] | None:
        """Parse all columns but ``wordy`` as numbers; None if one of them holds anything else."""
        rows, width = grid.starts.shape
        chosen = [column for column in range(width) if column not in wordy]
        if not chosen:
            return {}
        buffer = bytearray(grid.data)
        view = np.frombuffer(buffer, dtype=np.uint8)
        ends = grid.ends
        view[ends[:, -1]] = _COMMA
        if wordy:
            _blank(view, grid, sorted(wordy))
        lengths = grid.lengths[:, chosen] if wordy else grid.lengths
        empty = lengths == 0
        holes = bool(empty.any())
        if holes:
            # Without its separator an empty cell is no element of the array.
            view[(ends[:, chosen] if wordy else ends)[empty]] = _SPACE
        values = self._parse(buffer)
        if values is None or values.shape[0] != rows * len(chosen) - int(empty.sum()) + 1:
            return None
        table = np.empty((len(chosen), rows), dtype=np.float64)
        if holes:
            table.fill(np.nan)
            table.T[~empty] = values[:-1]
        else:
            table[...] = values[:-1].reshape(rows, len(chosen)).T
        table += 0.0  # -0.0 becomes 0.0, as in the tolerant reader
        fractional = _fractional(table, grid, chosen, view)
        absent = empty.sum(axis=0)
        return {
            column: Column(
                numbers=table[i],
                types=TypeCounts(
                    integral=rows - int(absent[i]) - int(fractional[i]),
                    fractional=int(fractional[i]),
                ),
                missing=np.ascontiguousarray(empty[:, i]) if absent[i] else None,
            )
            for i, column in enumerate(chosen)
        }

    def _parse(self, buffer: bytearray) -> NDArray[np.float64] | None:
        """Parse a JSON array of numbers; None if it holds anything else."""
        try:
            if self._parser is None:
                return np.array(msgspec.json.decode(buffer, type=list[float]), dtype=np.float64)
            array = self._parser.parse(buffer)
            return np.frombuffer(array.as_buffer(of_type="d"), dtype=np.float64)
        except (ValueError, TypeError):
            return None


def _grid_of(text: str, *, rows: int, width: int) -> _Grid | None:
    # A JSON array once the newlines are commas. The last element closes the last cell.
    data = b"[" + text.encode("utf-8") + b"\n0]" + _PADDING
    view = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero((view == _COMMA) | (view == _NEWLINE))
    if b'"' in data:
        # A separator after an odd number of quotes is inside a quoted cell.
        quotes = np.flatnonzero(view == _QUOTE)
        before = np.searchsorted(quotes, ends)
        outside = before % 2 == 0
        ends = ends[outside]
        longest = int(np.diff(ends, prepend=0).max(initial=0))
        if longest > _LONGEST_QUOTED or not _well_quoted(
            data, ends, np.diff(before[outside], prepend=0)
        ):
            return None
    if ends.shape[0] != rows * width:
        return None
    newlines = view[ends].reshape(rows, width) == _NEWLINE
    if not newlines[:, -1].all() or np.count_nonzero(newlines) != rows:
        return None
    starts = np.empty_like(ends)
    starts[0] = 1
    starts[1:] = ends[:-1] + 1
    return _Grid(
        data=data,
        starts=starts.reshape(rows, width),
        lengths=(ends - starts).reshape(rows, width),
        ends=ends.reshape(rows, width),
    )


def _well_quoted(data: bytes, ends: _Index, quotes: _Index) -> bool:
    """Tell whether quotes enclose whole cells, so that counting them finds the separators.

    Parameters
    ----------
    data : bytes
    ends, quotes : ndarray of int, shape (cells,)
        Where each cell ends, and how many quotes it holds.
    """
    for cell in np.flatnonzero(quotes):
        start = 1 if cell == 0 else int(ends[cell - 1]) + 1
        if _QUOTED.fullmatch(data, start, int(ends[cell])) is None:
            return False
    return True


def _text_of(cell: bytes) -> str:
    text = cell.decode("utf-8")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _strange_columns(grid: _Grid) -> set[int]:
    """Return the columns with a cell that JSON might take for a number by mistake."""
    inside = grid.data[1 : int(grid.ends[-1, -1])]
    found = bytes(mark for mark in _STRANGE if mark in inside)
    if not found:
        return set()
    positions = _positions(np.frombuffer(inside, dtype=np.uint8), found) + 1
    return grid.columns_with(positions)


def _positions(view: NDArray[np.uint8], marks: bytes) -> _Index:
    mask = view == marks[0]
    for mark in marks[1:]:
        mask |= view == mark
    return np.flatnonzero(mask)


def _fractional(
    table: NDArray[np.float64], grid: _Grid, chosen: list[int], view: NDArray[np.uint8]
) -> list[int]:
    """Count the numbers that are written as fractions (``1.0``, ``1e3``), by column.

    Parameters
    ----------
    table : ndarray, shape (columns, rows)
        The numbers of the columns ``chosen``; NaN where there is none.
    view : ndarray of uint8
        The text with all cells but those of ``chosen`` blanked.
    """
    broken = (table != np.floor(table)) & (table == table)
    marks = sum(int(np.count_nonzero(view == mark)) for mark in _FRACTION_MARKS)
    counts = np.count_nonzero(broken, axis=1)
    # A number with a fractional part has at least one mark. If there are no more marks than such
    # numbers, no other number has one.
    if marks == int(counts.sum()):
        return [int(count) for count in counts]
    marked = np.zeros(grid.ends.size, dtype=np.bool_)
    marked[np.searchsorted(grid.ends.ravel(), _positions(view, _FRACTION_MARKS))] = True
    by_column = np.count_nonzero(marked.reshape(grid.ends.shape), axis=0)
    return [int(by_column[column]) for column in chosen]


def _blank(view: NDArray[np.uint8], grid: _Grid, columns: list[int]) -> None:
    """Overwrite the cells of some columns, separators included, with spaces."""
    lengths = grid.lengths[:, columns].ravel() + 1
    starts = grid.starts[:, columns].ravel()
    before = np.cumsum(lengths) - lengths
    view[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))] = _SPACE


def _is_numeric(grid: _Grid, column: int) -> bool:
    matches = _JSON_NUMBER.fullmatch
    return all(not cell or matches(cell) is not None for cell in _cells(grid, column))


def _cells(grid: _Grid, column: int) -> list[bytes]:
    starts = grid.starts[:, column]
    bounds = zip(starts.tolist(), (starts + grid.lengths[:, column]).tolist(), strict=True)
    data = grid.data
    return [data[start:end] for start, end in bounds]


def _dictionary_column(grid: _Grid, column: int) -> Column:
    """Read a column through its distinct cells."""
    lengths = grid.lengths[:, column]
    if int(lengths.max()) > _LONGEST_KEY:
        codes, firsts = _distinct_objects(_cells(grid, column))
    else:
        codes, firsts = _distinct_keys(grid, column)
    texts = (_text_of(grid.cell(int(row), column)) for row in firsts)
    return column_of_codes(codes, [read_text(text) for text in texts])


def _distinct_objects(cells: list[bytes]) -> tuple[_Index, list[int]]:
    seen: dict[bytes, int] = {}
    codes = np.array([seen.setdefault(cell, len(seen)) for cell in cells], dtype=np.intp)
    _, firsts = np.unique(codes, return_index=True)
    return codes, firsts.tolist()


def _distinct_keys(grid: _Grid, column: int) -> tuple[_Index, list[int]]:
    """Give each distinct cell of a column a number, in order of first appearance.

    Each cell becomes a key of 64-bit words. A key is looked up in a table by its hash; the table
    holds the first row of each hash, and the keys of that row and of the cell are compared, so
    that two cells with one hash are noticed.
    """
    # Any eight bytes of the data as a number, at any offset.
    sliding: NDArray[np.uint64] = np.ndarray(
        (len(grid.data) - 7,), dtype="<u8", buffer=grid.data, strides=(1,)
    )
    starts = np.ascontiguousarray(grid.starts[:, column])
    lengths = np.ascontiguousarray(grid.lengths[:, column])
    keys = [lengths.astype(np.uint64)]
    for offset in range(0, int(lengths.max()), 8):
        keys.append(sliding[starts + offset] & _LOW_BYTES[np.clip(lengths - offset, 0, 8)])
    rows = np.arange(starts.shape[0])
    table = np.empty(1 << _TABLE_BITS, dtype=np.intp)
    for mixers in _MIXERS:
        mixed = keys[0] * mixers[0]
        for key, mixer in zip(keys[1:], mixers[1:], strict=False):
            mixed ^= (key ^ (key >> np.uint64(29))) * mixer
        slots = (mixed >> np.uint64(64 - _TABLE_BITS)).astype(np.intp)
        table[slots[::-1]] = rows[::-1]  # the last assignment wins: the first row
        first = table[slots]
        if all(bool((key[first] == key).all()) for key in keys):
            is_first = first == rows
            return (np.cumsum(is_first) - 1)[first], np.flatnonzero(is_first).tolist()
    return _distinct_objects(_cells(grid, column))
