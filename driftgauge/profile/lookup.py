"""From numbers to cells: exact with respect to the edges, and fast.

A regular grid over a column's edges gives the lowest cell a value can be in; comparing the value
with the next edges finishes the job. The grid position is a monotone function of the value,
computed by the same floating-point operations for edges and for values, so the result is that of
a binary search whatever the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_SLOTS = 8192
# With more edges than this in one slot of the grid, sorting the values is faster.
_MOST_ROUNDS = 4
# So many edges at either end may lie beyond the grid, where few values of a column are.
_FAR_EDGES = 42
# So many values are set aside to be looked up together.
_MOST_WAITING = 1 << 12


@dataclass(frozen=True, kw_only=True, eq=False)
class CellEdges:
    """One column to be counted.

    Attributes
    ----------
    feature : int
        The column's position in the specification.
    edges : ndarray of float64, shape (cells - 1,)
        Lower bounds of all cells but the first, not decreasing.
    center : float
        What is subtracted from values before they are given to a lookup.
    start : int
        The column's first cell in the flat counts of the profile.
    """

    feature: int
    edges: NDArray[np.float64]
    center: float
    start: int


class CellTally(Protocol):
    """Counts of the cells of some columns while they are being filled."""

    def count(
        self,
        values: NDArray[np.float64],
        offsets: NDArray[np.float64],
        work: NDArray[np.float64],
    ) -> None:
        """Count values in their cells.

        Parameters
        ----------
        values : ndarray of float64, shape (columns, rows)
            Finite; not more than the tally was made for.
        offsets : ndarray of float64, shape (columns, rows)
            ``values`` less the centers.
        work : ndarray of float64, shape (columns, rows)
            Overwritten.
        """

    def add_to(self, counts: NDArray[np.int64]) -> None:
        """Add what was counted to the flat counts of a profile."""


class CellLookup(Protocol):
    """Finds the cells of the values of some columns."""

    @property
    def columns(self) -> Sequence[CellEdges]:
        """The columns, in the order of the rows of ``values``."""

    def tally(self, size: int) -> CellTally:
        """Return a tally that counts at most so many values at a time, of all columns."""


class SortedLookup:
    """Counts one column of any shape: sorts its values and looks the edges up in them."""

    def __init__(self, column: CellEdges) -> None:
        self.columns = (column,)

    def tally(self, size: int) -> CellTally:
        """Return a tally of the column, see ``CellLookup``; of any ``size``."""
        return _SortedTally(self.columns[0])


class _SortedTally:
    def __init__(self, column: CellEdges) -> None:
        self._column = column
        self._found = np.zeros(column.edges.shape[0] + 1, dtype=np.int64)

    def count(
        self,
        values: NDArray[np.float64],
        offsets: NDArray[np.float64],
        work: NDArray[np.float64],
    ) -> None:
        """Count values in their cells, see ``CellTally``."""
        below = np.searchsorted(np.sort(values[0]), self._column.edges, side="left")
        self._found += np.diff(below, prepend=0, append=values.shape[1])

    def add_to(self, counts: NDArray[np.int64]) -> None:
        """Add what was counted to the flat counts of a profile."""
        counts[self._column.start :][: self._found.shape[0]] += self._found


class GridLookup:
    """Counts several columns at once through grids; ``grid_rounds`` tells for which it pays.

    Attributes
    ----------
    rounds : int
        Largest number of edges in one slot of the grid: how often values are compared. The first
        and the last slot may hold more; values there are looked up one by one.
    local : tuple of int
        First cell of each column among the cells of all of them; one more entry for the end.
    where : ndarray of intp, shape (cells,)
        Position of each of these cells in the flat counts.
    base, slope, shift : ndarray of float32 or float64, shape (columns, 1)
        First slot of each column; the slot of an offset is offset * slope + shift, cut to the
        column's slots.
    first : ndarray of intp, shape (columns * slots,)
        The lowest cell of each slot.
    upper : ndarray of float64, shape (cells + 1,)
        Where each cell ends.
    """

    def __init__(self, columns: Sequence[CellEdges]) -> None:
        self.columns = tuple(columns)
        scales = [_best_scale(column) for column in columns]
        if any(scale is None for scale in scales):
            raise ValueError("a column does not fit a grid: see grid_rounds")
        self.base = np.arange(len(columns), dtype=np.float32)[:, None] * np.float32(_SLOTS)
        self.slope = np.array([scale.slope for scale in scales if scale])[:, None]
        shift = np.array([scale.shift for scale in scales if scale])[:, None]
        self.shift = shift + self.base
        ends = np.cumsum([column.edges.shape[0] + 1 for column in columns]).tolist()
        self.local = (0, *ends)
        held = [self._edge_slots(i, column) for i, column in enumerate(columns)]
        crowds = [np.bincount(slots, minlength=_SLOTS) for slots in held]
        # By another rounding, an edge may be in another slot than its scale was chosen for.
        inner = [int(crowd[1:-1].max()) for crowd in crowds]
        self.rounds = max(*inner, *(scale.rounds for scale in scales if scale))
        # An edge in a lower slot than a value's is not above that value; one in the same slot
        # may be, and a tally compares with those.
        self.first = np.concatenate(
            [
                np.searchsorted(slots, np.arange(_SLOTS), side="left") + start
                for slots, start in zip(held, self.local, strict=False)
            ]
        )
        # One more cell for the values in crowded slots: no edge is above it.
        ends_held = np.array([crowd[[0, -1]] for crowd in crowds])
        crowded = np.arange(len(columns))[:, None] * _SLOTS + [0, _SLOTS - 1]
        self.first[crowded[ends_held > self.rounds]] = self.local[-1]
        uppers = [np.append(column.edges, np.inf) for column in columns]
        self.upper = np.concatenate([*uppers, [np.inf]])
        self.where = np.concatenate(
            [
                np.arange(column.start, column.start + column.edges.shape[0] + 1)
                for column in columns
            ]
        )

    def tally(self, size: int) -> CellTally:
        """Return a tally of the columns, see ``CellLookup``."""
        return _GridTally(self, size)

    def slots(
        self,
        offsets: NDArray[np.float64],
        *,
        work: NDArray[np.float64],
        position: NDArray[np.float32],
        whole: NDArray[np.int32],
        slots: NDArray[np.intp],
    ) -> None:
        """Write the slots of values to ``slots``; all arrays are of one shape.

        Every step keeps the order of values; that float32 is less precise does not matter.
        """
        with np.errstate(over="ignore"):
            np.multiply(offsets, self.slope, out=work)
            np.add(work, self.shift, out=work)
            np.copyto(position, work, casting="same_kind")
        np.clip(position, self.base, self.base + np.float32(_SLOTS - 1), out=position)
        # In two steps: processors have no quick way from float32 to int64.
        np.copyto(whole, position, casting="unsafe")
        np.copyto(slots, whole)

    def _edge_slots(self, i: int, column: CellEdges) -> NDArray[np.intp]:
        shape = (len(self.columns), column.edges.shape[0])
        offsets = np.zeros(shape)
        with np.errstate(over="ignore"):
            offsets[i] = column.edges - column.center
        found = np.empty(shape, dtype=np.intp)
        position, whole = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int32)
        self.slots(offsets, work=offsets, position=position, whole=whole, slots=found)
        slots: NDArray[np.intp] = found[i] - i * _SLOTS
        return slots


class _GridTally:
    """Counts by a grid, in arrays that are made once."""

    def __init__(self, lookup: GridLookup, size: int) -> None:
        self._lookup = lookup
        self._found = np.zeros(lookup.local[-1] + 1, dtype=np.int64)
        self._slots = np.empty(size, dtype=np.intp)
        self._cells = np.empty(size, dtype=np.intp)
        self._position = np.empty(size, dtype=np.float32)
        self._whole = np.empty(size, dtype=np.int32)
        self._above = np.empty(size, dtype=np.bool_)
        # Values in crowded slots, and the columns that they are of; there are few in most blocks.
        self._far: list[tuple[NDArray[np.float64], NDArray[np.intp]]] = []
        self._waiting = 0

    def count(
        self,
        values: NDArray[np.float64],
        offsets: NDArray[np.float64],
        work: NDArray[np.float64],
    ) -> None:
        """Count values in their cells, see ``CellTally``."""
        lookup, size, shape = self._lookup, values.size, values.shape
        slots, cells = self._slots[:size].reshape(shape), self._cells[:size].reshape(shape)
        above = self._above[:size].reshape(shape)
        position, whole = self._position[:size].reshape(shape), self._whole[:size].reshape(shape)
        lookup.slots(offsets, work=work, position=position, whole=whole, slots=slots)
        # No index is beyond the end; only with "clip" is the result written where it belongs.
        lookup.first.take(slots, mode="clip", out=cells)
        for _ in range(lookup.rounds):
            lookup.upper.take(cells, mode="clip", out=work)
            np.greater_equal(values, work, out=above)
            # In two steps, which is faster than one that converts on its way.
            np.copyto(slots, above)
            np.add(cells, slots, out=cells)
        found = np.bincount(self._cells[:size], minlength=self._found.shape[0])
        self._found += found
        if found[-1]:
            np.equal(cells, lookup.local[-1], out=above)
            far = np.flatnonzero(self._above[:size])
            self._far.append((values.ravel()[far], far // shape[1]))
            self._waiting += far.shape[0]
            if self._waiting > _MOST_WAITING:
                self._count_far()

    def add_to(self, counts: NDArray[np.int64]) -> None:
        """Add what was counted to the flat counts of a profile."""
        if self._far:
            self._count_far()
        counts[self._lookup.where] += self._found[:-1]

    def _count_far(self) -> None:
        """Count the values in crowded slots one by one."""
        values, rows = (np.concatenate(arrays) for arrays in zip(*self._far, strict=True))
        self._far.clear()
        self._waiting = 0
        for row in set(rows.tolist()):
            edges, start = self._lookup.columns[row].edges, self._lookup.local[row]
            found = np.bincount(np.searchsorted(edges, values[rows == row], side="right"))
            self._found[start : start + found.shape[0]] += found


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Takes offsets to slots of the grid: offset * slope + shift, cut to the grid's ends."""

    slope: float
    shift: float
    rounds: int


def grid_rounds(column: CellEdges) -> int | None:
    """Return how many comparisons a grid needs for the column; None: sorting is faster."""
    scale = _best_scale(column)
    return None if scale is None or scale.rounds > _MOST_ROUNDS else scale.rounds


def _best_scale(column: CellEdges) -> _Scale | None:
    """Choose how far the grid reaches: the long tails of a column may share its last slots."""
    n = column.edges.shape[0]
    if n == 0:
        return _Scale(slope=1.0, shift=0.0, rounds=0)
    with np.errstate(over="ignore", invalid="ignore"):
        offsets = column.edges - column.center
    trims = [*range(min(_MOST_ROUNDS, (n + 1) // 2))]
    if n >= 4 * _FAR_EDGES:
        trims.append(_FAR_EDGES)
    scales = [_scale(offsets, trim) for trim in trims]
    return min((s for s in scales if s is not None), key=lambda s: s.rounds, default=None)


def _scale(offsets: NDArray[np.float64], trim: int) -> _Scale | None:
    low, high = float(offsets[trim]), float(offsets[-1 - trim])
    width = high - low
    slope = (_SLOTS - 1) / width if width > 0 else 1.0
    shift = -low * slope
    if not (0 < slope < np.inf and np.isfinite(shift)):
        return None
    with np.errstate(over="ignore"):
        slots = np.clip(offsets * slope + shift, 0, _SLOTS - 1).astype(np.intp)
    held = np.bincount(slots, minlength=_SLOTS)
    if trim == _FAR_EDGES:
        # A slot with more than what was trimmed is not the end of a tail.
        held[[0, -1]] = np.maximum(held[[0, -1]] - trim, 0)
    return _Scale(slope=slope, shift=shift, rounds=int(held.max()))
