"""Many CSV cells at once: regular text to columns without a Python object a cell.

Columns of numbers are parsed together as one JSON array; other columns are reduced to their
distinct cells, which are read one by one with the rules of ``types``. Text that is not regular is
left to the tolerant reader: ``decode`` returns None and has no effect.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.distinct import (
    LONGEST_KEY,
    KnownCells,
    keys_of,
    number_keys,
    number_objects,
)
from driftgauge.capture.grid import (
    BLANK,
    COMMA,
    Bytes,
    Grid,
    Index,
    blank_out,
    grid_of_text,
)
from driftgauge.capture.short_numbers import ShortNumbers
from driftgauge.capture.types import Cell, column_of_codes, read_text
from driftgauge.columns import Column, TypeCounts

simdjson: Any
try:
    import simdjson
except ImportError:  # no wheel for this platform: slower, same result
    simdjson = None

# JSON would skip or nest these, so that a cell with one of them could pass for a number.
_STRANGE: Final = b" \t\r[]{}"
_JSON_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
# Texts that are not tried as short numbers after one that was none.
_TEXTS_UNTRIED: Final = 15
_MOST_KNOWN_CELLS = 10_000


class CellDecoder:
    """Decoder of regular CSV text; keep one per stream, it reuses its buffers."""

    def __init__(self) -> None:
        self._parser = simdjson.Parser() if simdjson is not None else None
        # Columns that recently held something else than numbers; a hint that changes the speed
        # and never the result.
        self._mixed: set[int] = set()
        # Whether cells were empty recently: another hint.
        self._holes = False
        # How many more texts are not tried as short numbers, since one was none: another hint.
        self._untried = 0
        self._short = ShortNumbers()
        self._known: dict[bytes, Cell] = {}
        self._known_columns: dict[int, KnownCells] = {}

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
        grid = grid_of_text([text.encode("utf-8")], width=width)
        return None if grid is None or grid.rows != rows else self.read(grid)

    def read(self, grid: Grid) -> list[Column]:
        """Read the columns of a grid; its data is overwritten."""
        wordy = _strange_columns(grid)
        wordy |= {column for column in range(grid.width) if self._starts_with_word(grid, column)}
        grid.view[grid.ends[:, -1]] = COMMA
        found = self._words(grid, sorted(wordy))
        chosen = [c for c in range(grid.width) if c not in found]
        numbers = self._short_numbers(grid, chosen)
        if numbers is None:
            _blank_out(grid, sorted(wordy))
            numbers = self._numbers(grid, chosen)
        if numbers is None:
            mixed = [c for c in chosen if not _is_numeric(grid, c)]
            self._mixed.update(mixed)
            found.update(self._words(grid, mixed))
            _blank_out(grid, mixed)
            chosen = [c for c in chosen if c not in found]
            numbers = self._numbers(grid, chosen)
        if numbers is None:
            # A number JSON cannot hold, such as 1e400.
            numbers = self._words(grid, chosen)
        found.update(numbers)
        columns = [found[column] for column in range(grid.width)]
        self._mixed -= {column for column in self._mixed if not columns[column].words}
        return columns

    def _starts_with_word(self, grid: Grid, column: int) -> bool:
        if column in self._mixed:
            return True
        cell = grid.cell(0, column)
        if not cell:
            cell = grid.cell(int(np.argmax(grid.ends[:, column] > grid.starts(column))), column)
        return bool(cell) and _JSON_NUMBER.fullmatch(cell) is None

    def _short_numbers(self, grid: Grid, chosen: list[int]) -> dict[int, Column] | None:
        """Parse columns of numbers of few digits; None if one of them holds anything else."""
        if self._untried:
            self._untried -= 1
            return None
        read = self._short.read(grid, chosen) if chosen else None
        if read is None:
            self._untried = _TEXTS_UNTRIED
            return None
        table, fractional = read
        return {
            column: Column(
                numbers=numbers,
                types=TypeCounts(integral=grid.rows - points, fractional=points),
            )
            for column, numbers, points in zip(chosen, table, fractional, strict=True)
        }

    def _numbers(self, grid: Grid, chosen: list[int]) -> dict[int, Column] | None:
        """Parse columns as numbers; None if one of them holds anything else.

        What is left of the grid's data must be these columns.
        """
        if not chosen:
            return {}
        empty = _without_empty(grid, chosen) if self._holes else None
        array = _json_array(grid)
        values = self._parse(array)
        if values is None and not self._holes:
            # Perhaps because of empty cells: two commas in a row are no JSON.
            empty = _without_empty(grid, chosen)
            if empty is not None:
                values = self._parse(array)
        self._holes = empty is not None
        holes = 0 if empty is None else int(np.count_nonzero(empty))
        if values is None or values.shape[0] != grid.rows * len(chosen) - holes + 1:
            return None
        # Adding zero turns -0.0 into 0.0, as in the tolerant reader.
        table = np.empty((len(chosen), grid.rows), dtype=np.float64)
        if empty is None:
            np.add(values[:-1].reshape(grid.rows, len(chosen)).T, 0.0, out=table)
        else:
            table.fill(np.nan)
            table.T[~empty] = values[:-1] + 0.0
        fractional = _fractional(table, empty, grid)
        absent = [0] * len(chosen) if empty is None else empty.sum(axis=0).tolist()
        return {
            column: Column(
                numbers=table[i],
                types=TypeCounts(
                    integral=grid.rows - absent[i] - fractional[i],
                    fractional=fractional[i],
                ),
                missing=np.ascontiguousarray(empty[:, i])
                if empty is not None and absent[i]
                else None,
            )
            for i, column in enumerate(chosen)
        }

    def _words(self, grid: Grid, columns: list[int]) -> dict[int, Column]:
        """Read columns through their distinct cells."""
        if not columns:
            return {}
        starts, lengths = grid.bounds(columns)
        # Columns whose cells need equally many keys are looked at together.
        groups: dict[int, list[int]] = {0: [*range(len(columns))]}
        if lengths.max() > 8:
            longest = lengths.max(axis=0).tolist()
            groups = {}
            for i, length in enumerate(longest):
                groups.setdefault((length + 7) // 8, []).append(i)
        found: dict[int, Column] = {}
        for keys, chosen in groups.items():
            own = [columns[i] for i in chosen]
            some = [starts, lengths]
            if len(chosen) < len(columns):
                some = [starts[:, chosen], lengths[:, chosen]]
            if 8 * keys > LONGEST_KEY:
                found.update(self._long_words(grid, own, *some))
            else:
                found.update(self._short_words(grid, own, *some))
        return found

    def _short_words(
        self, grid: Grid, columns: list[int], starts: Index, lengths: Index
    ) -> dict[int, Column]:
        keys = keys_of(grid.data, starts, lengths)
        found: dict[int, Column] = {}
        new = []
        for i, column in enumerate(columns):
            known = self._known_columns.setdefault(column, KnownCells())
            numbered = known.number([key[:, i] for key in keys])
            if numbered is None:
                new.append(i)
            else:
                found[column] = column_of_codes(*numbered)
        if not new:
            return found
        coded = number_keys([key[:, new] for key in keys])
        if coded is None:
            rest = [columns[i] for i in new]
            found.update(self._long_words(grid, rest, starts[:, new], lengths[:, new]))
            return found
        for i, (codes, firsts) in zip(new, coded, strict=True):
            cells = self._read(grid.data, starts[firsts, i], lengths[firsts, i])
            self._known_columns[columns[i]].learn([key[firsts, i] for key in keys], cells)
            found[columns[i]] = column_of_codes(codes, cells)
        return found

    def _long_words(
        self, grid: Grid, columns: list[int], starts: Index, lengths: Index
    ) -> dict[int, Column]:
        found = {}
        for i, column in enumerate(columns):
            codes, firsts = number_objects(grid.cells(column))
            cells = self._read(grid.data, starts[firsts, i], lengths[firsts, i])
            found[column] = column_of_codes(codes, cells)
        return found

    def _read(self, data: bytearray, starts: Index, lengths: Index) -> list[Cell]:
        """Read some cells one by one, and remember them."""
        if len(self._known) > _MOST_KNOWN_CELLS:
            self._known.clear()
        known = self._known
        cells = []
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            raw = bytes(data[start : start + length])
            cell = known.get(raw)
            if cell is None:
                cell = known[raw] = read_text(_text_of(raw))
            cells.append(cell)
        return cells

    def _parse(self, array: memoryview) -> NDArray[np.float64] | None:
        """Parse a JSON array of numbers; None if it holds anything else."""
        try:
            if self._parser is None:
                return np.array(msgspec.json.decode(array, type=list[float]), dtype=np.float64)
            parsed = self._parser.parse(array)
            return np.frombuffer(parsed.as_buffer(of_type="d"), dtype=np.float64)
        except (ValueError, TypeError, RuntimeError):  # the last for integers beyond 64 bits
            return None


def _json_array(grid: Grid) -> memoryview:
    """Make a grid's data a JSON array of what is left of it, and a last element, 0."""
    start, end = int(grid.row_starts[0]) - 1, int(grid.ends[-1, -1])
    grid.data[start] = ord("[")
    grid.data[end + 1 : end + 3] = b"0]"
    return memoryview(grid.data)[start : end + 3]


def _without_empty(grid: Grid, columns: list[int]) -> NDArray[np.bool_] | None:
    """Blank out the separators of empty cells: without it such a cell is no element of the array.

    Returns
    -------
    ndarray of bool, shape (rows, columns), or None
        Which cells are empty; None if none is.
    """
    empty = grid.empty(columns)
    if empty is not None:
        grid.view[grid.ends[:, columns][empty]] = BLANK
    return empty


def _blank_out(grid: Grid, columns: list[int]) -> None:
    for first, last in _runs(columns):
        blank_out(grid, first, last)


def _runs(columns: list[int]) -> list[tuple[int, int]]:
    """Return the first and the last of columns that are next to each other.

    Examples
    --------
    >>> _runs([0, 1, 2, 5, 7, 8])
    [(0, 2), (5, 5), (7, 8)]
    """
    groups = groupby(enumerate(columns), key=lambda item: item[1] - item[0])
    runs = [[column for _, column in group] for _, group in groups]
    return [(run[0], run[-1]) for run in runs]


def _strange_columns(grid: Grid) -> set[int]:
    """Return the columns with a cell that JSON might take for a number by mistake."""
    found = bytes(mark for mark in _STRANGE if mark in grid.data)
    if not found:
        return set()
    return grid.columns_with(np.flatnonzero(_any_of(grid.view, found)))


def _any_of(view: Bytes, marks: bytes) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = view == marks[0]
    for mark in marks[1:]:
        mask |= view == mark
    return mask


def _fractional(
    table: NDArray[np.float64], empty: NDArray[np.bool_] | None, grid: Grid
) -> list[int]:
    """Count the numbers that are written as fractions (``1.0``, ``1e3``), by column.

    Parameters
    ----------
    table : ndarray, shape (columns, rows)
        The numbers; NaN where there is none.
    empty : ndarray of bool, shape (rows, columns), or None
        Where there is none.
    grid : Grid
        What the numbers were read from; its data holds nothing else.
    """
    view = grid.view[int(grid.row_starts[0]) : int(grid.ends[-1, -1]) + 1]
    exponents = b"eE" if int(view.max()) >= ord("E") else b""
    found = bytes(mark for mark in b"." + exponents if mark in grid.data)
    if not found:
        return [0] * table.shape[0]
    marked = _any_of(view, found)
    # An empty cell is not a number, and NaN differs from everything.
    floor = np.empty(table.shape[1])
    counts = np.array([np.count_nonzero(row != np.floor(row, out=floor)) for row in table])
    if empty is not None:
        counts -= empty.sum(axis=0)
    # A number with a fractional part has at least one mark. If there are no more marks than such
    # numbers, no other number has one.
    if int(np.count_nonzero(marked)) != int(counts.sum()):
        marks = view[np.flatnonzero(marked | (view == COMMA))]
        # A number has a mark if what comes before its comma is one and not another comma.
        closing = np.flatnonzero(marks == COMMA)
        has_mark = np.append(np.uint8(COMMA), marks)[closing] != COMMA
        fractions = np.ones(table.shape[::-1], dtype=np.bool_) if empty is None else ~empty
        fractions[fractions] = has_mark
        counts = np.count_nonzero(fractions, axis=0)
    return [int(count) for count in counts]


def _is_numeric(grid: Grid, column: int) -> bool:
    matches = _JSON_NUMBER.fullmatch
    return all(not cell or matches(cell) is not None for cell in grid.cells(column))


def _text_of(cell: bytes) -> str:
    text = cell.decode("utf-8")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
