"""Many CSV cells at once: regular text to columns without a Python object a cell.

Columns of numbers are parsed together as one JSON array; other columns are reduced to their
distinct cells, which are read one by one with the rules of ``types``. Text that is not regular is
left to the tolerant reader: ``decode`` returns None and has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.grid import (
    COMMA,
    PADDING,
    SPACE,
    Bytes,
    Grid,
    Index,
    blanks,
    grid_of_text,
    is_even,
    kept,
    pieces,
    rounded,
)
from driftgauge.capture.types import Cell, column_of_codes, read_text
from driftgauge.columns import Column, TypeCounts

simdjson: Any
try:
    import simdjson
except ImportError:  # no wheel for this platform: slower, same result
    simdjson = None

_FRACTION_MARKS: Final = b".eE"
# JSON would skip or nest these, so that a cell with one of them could pass for a number.
_STRANGE: Final = b" \t\r[]{}"
_JSON_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
# Cells longer than this are told apart as Python objects.
_LONGEST_KEY: Final = PADDING - 8
_TABLE_BITS = 14
_MIXERS = tuple(
    np.array([(seed + 2 * i) * 0x9E3779B97F4A7C15 % 2**64 | 1 for i in range(8)], dtype=np.uint64)
    for seed in (1, 0x5851F42D4C957F2D, 0x14057B7EF767814F)
)
# All ones above so many bytes: no byte of UTF-8 is all ones.
_HIGH_BYTES = np.array([2**64 - (1 << (8 * n)) for n in range(9)], dtype=np.uint64)
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
        self._known: dict[bytes, Cell] = {}

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
        """Read the columns of a grid; its separators are overwritten."""
        wordy = _strange_columns(grid)
        wordy |= {column for column in range(grid.width) if self._starts_with_word(grid, column)}
        numbers = self._numbers(grid, wordy)
        if numbers is None:
            mixed = {c for c in range(grid.width) if c not in wordy and not _is_numeric(grid, c)}
            wordy |= mixed
            self._mixed |= mixed
            numbers = self._numbers(grid, wordy)
            if numbers is None:
                # A number JSON cannot hold, such as 1e400.
                numbers, wordy = {}, set(range(grid.width))
        found = {**numbers, **self._words(grid, sorted(wordy))}
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

    def _numbers(self, grid: Grid, wordy: set[int]) -> dict[int, Column] | None:
        """Parse all columns but ``wordy`` as numbers; None if one of them holds anything else."""
        chosen = [column for column in range(grid.width) if column not in wordy]
        if not chosen:
            return {}
        grid.view[grid.ends[:, -1]] = COMMA
        empty = grid.empty(chosen) if self._holes else None
        array = _json_array(grid, chosen, empty)
        values = self._parse(array)
        if values is None and not self._holes:
            # Perhaps because of empty cells: two commas in a row are no JSON.
            empty = grid.empty(chosen)
            if empty is not None:
                array = _json_array(grid, chosen, empty)
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
        fractional = _fractional(table, empty, array)
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
            if 8 * keys > _LONGEST_KEY:
                coded = [_distinct_objects(grid.cells(columns[i])) for i in chosen]
            elif len(chosen) == len(columns):
                coded = distinct_pieces(grid.data, starts, lengths)
            else:
                coded = distinct_pieces(grid.data, starts[:, chosen], lengths[:, chosen])
            for i, (codes, firsts) in zip(chosen, coded, strict=True):
                first_starts = starts[firsts, i]
                cells = self._read(grid.data, first_starts, first_starts + lengths[firsts, i])
                found[columns[i]] = column_of_codes(codes, cells)
        return found

    def _read(self, data: bytearray, starts: Index, ends: Index) -> list[Cell]:
        """Read some cells one by one, and remember them."""
        if len(self._known) > _MOST_KNOWN_CELLS:
            self._known.clear()
        known = self._known
        cells = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            raw = bytes(data[start:end])
            cell = known.get(raw)
            if cell is None:
                cell = known[raw] = read_text(_text_of(raw))
            cells.append(cell)
        return cells

    def _parse(self, array: bytearray) -> NDArray[np.float64] | None:
        """Parse a JSON array of numbers; None if it holds anything else."""
        try:
            if self._parser is None:
                return np.array(msgspec.json.decode(array, type=list[float]), dtype=np.float64)
            parsed = self._parser.parse(array)
            return np.frombuffer(parsed.as_buffer(of_type="d"), dtype=np.float64)
        except (ValueError, TypeError, RuntimeError):  # the last for integers beyond 64 bits
            return None


def _json_array(grid: Grid, columns: list[int], empty: NDArray[np.bool_] | None) -> bytearray:
    """Write cells as a JSON array, row by row; a last element, 0, closes it.

    Neighbours are copied together, with the separators behind them. A table of them has room for
    the longest in each row; the rest is blank.
    """
    if empty is not None:
        # Without its separator an empty cell is no element of the array.
        grid.view[grid.ends[:, columns][empty]] = SPACE
    runs = [(grid.starts(first), grid.ends[:, last] + 1) for first, last in _runs(columns)]
    lengths = [ends - starts for starts, ends in runs]
    longest = [rounded(int(some.max())) for some in lengths]
    if not all(map(is_even, longest, lengths)):
        return _uneven_array(grid, runs)
    array = bytearray(grid.rows * sum(longest) + 3)
    array[0], array[-2], array[-1] = b"[0]"
    table = np.frombuffer(array, dtype=np.uint8)[1:-2].reshape(grid.rows, -1)
    at = 0
    for (starts, _), some, room in zip(runs, lengths, longest, strict=True):
        part = table[:, at : at + room]
        copied = pieces(grid.data, starts, room)
        copied &= kept(some, room)
        np.bitwise_or(copied, blanks(some, room), out=part)
        at += room
    return array


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


def _uneven_array(grid: Grid, runs: Sequence[tuple[Index, Index]]) -> bytearray:
    """Write cells as a JSON array piece by piece."""
    data = bytes(grid.data)
    bounds = zip(*(bound.tolist() for run in runs for bound in run), strict=True)
    array = bytearray(b"[")
    for row in bounds:
        for start, end in zip(row[::2], row[1::2], strict=True):
            array += data[start:end]
    array += b"0]"
    return array


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
    table: NDArray[np.float64], empty: NDArray[np.bool_] | None, array: bytearray
) -> list[int]:
    """Count the numbers that are written as fractions (``1.0``, ``1e3``), by column.

    Parameters
    ----------
    table : ndarray, shape (columns, rows)
        The numbers; NaN where there is none.
    empty : ndarray of bool, shape (rows, columns), or None
        Where there is none.
    array : bytearray
        The JSON array that the numbers were read from.
    """
    found = bytes(mark for mark in _FRACTION_MARKS if mark in array)
    if not found:
        return [0] * table.shape[0]
    view = np.frombuffer(array, dtype=np.uint8)
    marked = _any_of(view, found)
    # An empty cell is not a number, and NaN differs from everything.
    counts = np.count_nonzero(table != np.floor(table), axis=1)
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


def _distinct_objects(cells: list[bytes]) -> tuple[Index, Index]:
    seen: dict[bytes, int] = {}
    codes = np.array([seen.setdefault(cell, len(seen)) for cell in cells], dtype=np.intp)
    _, firsts = np.unique(codes, return_index=True)
    return codes, firsts


def distinct_pieces(data: bytearray, starts: Index, lengths: Index) -> list[tuple[Index, Index]]:
    """Give each distinct piece of a column a number, in order of first appearance.

    Each piece becomes a key of 64-bit words. A key is looked up in a table by its hash; the table
    holds the first piece of each hash, and the keys of that piece and of the others are compared,
    so that two pieces with one hash are noticed.

    Parameters
    ----------
    data : bytearray
        UTF-8, with ``PADDING`` bytes behind the last piece.
    starts, lengths : ndarray of int, shape (rows, columns)
        Where the pieces are; none is longer than ``PADDING - 8`` bytes.

    Returns
    -------
    list of tuple of ndarray
        For each column the number of each piece, shape (rows,), and the row where each number
        appears first, shape (distinct pieces,).
    """
    # Any eight bytes of the data as a number, at any offset.
    sliding: NDArray[np.uint64] = np.ndarray(
        (len(data) - 7,), dtype="<u8", buffer=data, strides=(1,)
    )
    columns = starts.shape[1]
    starts, lengths = starts.ravel(), lengths.ravel()
    longest = int(lengths.max())
    keys = [sliding[starts] | _HIGH_BYTES[lengths if longest <= 8 else np.minimum(lengths, 8)]]
    for offset in range(8, longest, 8):
        keys.append(sliding[starts + offset] | _HIGH_BYTES[np.clip(lengths - offset, 0, 8)])
    places = np.arange(starts.shape[0])
    first = _first_places(keys, places, columns)
    if first is None:
        return [
            _distinct_objects(
                [bytes(data[start : start + length]) for start, length in zip(*column, strict=True)]
            )
            for column in zip(
                starts.reshape(-1, columns).T.tolist(),
                lengths.reshape(-1, columns).T.tolist(),
                strict=True,
            )
        ]
    firsts = np.flatnonzero(first == places)
    numbers = np.zeros(starts.shape[0], dtype=np.intp)
    found = []
    for column in range(columns):
        own = firsts[firsts % columns == column]
        numbers[own] = np.arange(own.shape[0])
        found.append((numbers[first[column::columns]], own // columns))
    return found


def _first_places(keys: list[NDArray[np.uint64]], places: Index, columns: int) -> Index | None:
    """Return for each key where it is first in its column; None if the hashes do not tell.

    Parameters
    ----------
    keys : list of ndarray of uint64, shape (rows * columns,)
        The words of the keys, row by row.
    places : ndarray of int, shape (rows * columns,)
        0, 1, 2, ...
    """
    table = np.empty(columns << _TABLE_BITS, dtype=np.intp)
    own_part = (np.arange(columns) << _TABLE_BITS).astype(np.uint64)
    for mixers in _MIXERS:
        mixed = np.zeros_like(keys[0])
        for key, mixer in zip(keys, mixers, strict=False):
            mixed ^= (key ^ (key >> np.uint64(29))) * mixer
        mixed >>= np.uint64(64 - _TABLE_BITS)
        slots = (mixed.reshape(-1, columns) | own_part).ravel().astype(np.intp)
        table[slots[::-1]] = places[::-1]  # the last assignment wins: the first place
        first: Index = table[slots]
        if all(bool((key[first] == key).all()) for key in keys):
            return first
    return None
