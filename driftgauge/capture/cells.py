"""Many CSV cells at once: regular text to columns without a Python object a cell.

The text is looked at as an array of bytes. A table of character classes finds every separator,
which gives the bounds of all cells as a (rows, width) grid. Columns of numbers are parsed
together as one JSON array; other columns are reduced to their distinct cells, which are read one
by one with the rules of ``types``. Text that is not regular (a quote, a row of another width) is
left to the tolerant reader: ``decode`` returns None and has no effect.
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

_COMMA: Final = 1
_NEWLINE: Final = 2
_MARKER: Final = 3  # makes a number fractional
_STRANGE: Final = 4  # JSON would ignore or nest it, so it must not be in a number
_QUOTE: Final = 5


def _character_classes() -> bytes:
    table = bytearray(256)
    table[ord(",")] = _COMMA
    table[ord("\n")] = _NEWLINE
    for marker in b".eE":
        table[marker] = _MARKER
    for strange in b" \t\r[]{}":
        table[strange] = _STRANGE
    table[ord('"')] = _QUOTE
    return bytes(table)


_CLASSES = _character_classes()
_JSON_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
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
    """The cells of a text: byte bounds and what was seen in them, all of shape (rows, width)."""

    data: bytes
    starts: _Index
    lengths: _Index
    fractional: NDArray[np.bool_]
    strange: NDArray[np.bool_]  # shape (width,)

    def cell(self, row: int, column: int) -> bytes:
        start = int(self.starts[row, column])
        return self.data[start : start + int(self.lengths[row, column])]


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
            The rows, separated by ``"\n"``, without a newline at the end.
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
        wordy = {column for column in range(width) if self._starts_with_word(grid, column)}
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
        if grid.strange[column] or column in self._mixed:
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
        ends = grid.starts + grid.lengths
        view[ends[:, -1]] = ord(",")
        if wordy:
            _blank(view, grid, sorted(wordy))
        lengths = grid.lengths[:, chosen] if wordy else grid.lengths
        empty = lengths == 0
        holes = bool(empty.any())
        if holes:
            # Without its separator an empty cell is no element of the array.
            view[(ends[:, chosen] if wordy else ends)[empty]] = ord(" ")
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
        fractional = grid.fractional.sum(axis=0)
        absent = empty.sum(axis=0)
        return {
            column: Column(
                numbers=table[i],
                types=TypeCounts(
                    integral=rows - int(absent[i]) - int(fractional[column]),
                    fractional=int(fractional[column]),
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
    classes = np.frombuffer(data.translate(_CLASSES), dtype=np.uint8)[: -len(_PADDING) - 2]
    special = np.flatnonzero(classes[1:] != 0) + 1
    kinds = classes[special]
    is_separator = kinds <= _NEWLINE
    ends = special[is_separator]
    if ends.shape[0] != rows * width or (kinds == _QUOTE).any():
        return None
    newlines = kinds[is_separator].reshape(rows, width) == _NEWLINE
    if not newlines[:, -1].all() or np.count_nonzero(newlines) != rows:
        return None
    starts = np.empty_like(ends)
    starts[0] = 1
    starts[1:] = ends[:-1] + 1
    others = ~is_separator
    cell_of = np.cumsum(is_separator)[others]
    other_kinds = kinds[others]
    fractional = np.zeros(rows * width, dtype=np.bool_)
    fractional[cell_of[other_kinds == _MARKER]] = True
    strange = np.zeros(width, dtype=np.bool_)
    strange[cell_of[other_kinds == _STRANGE] % width] = True
    return _Grid(
        data=data,
        starts=starts.reshape(rows, width),
        lengths=(ends - starts).reshape(rows, width),
        fractional=fractional.reshape(rows, width),
        strange=strange,
    )


def _blank(view: NDArray[np.uint8], grid: _Grid, columns: list[int]) -> None:
    """Overwrite the cells of some columns, separators included, with spaces."""
    lengths = grid.lengths[:, columns].ravel() + 1
    starts = grid.starts[:, columns].ravel()
    before = np.cumsum(lengths) - lengths
    view[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))] = ord(" ")


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
    texts = (grid.cell(int(row), column).decode("utf-8") for row in firsts)
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
