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


class CellLookup(Protocol):
    """Counts the values of some columns in their cells."""

    @property
    def columns(self) -> Sequence[CellEdges]:
        """The columns, in the order of the rows of ``values``."""

    def count(
        self, values: NDArray[np.float64], offsets: NDArray[np.float64], counts: NDArray[np.int64]
    ) -> None:
        """Add values to the flat counts.

        Parameters
        ----------
        values : ndarray of float64, shape (columns, rows)
            Finite.
        offsets : ndarray of float64, shape (columns, rows)
            ``values`` less the centers.
        counts : ndarray of int64, shape (cells of the profile,)
            Changed in place.
        """


class SortedLookup:
    """Counts one column of any shape: sorts its values and looks the edges up in them."""

    def __init__(self, column: CellEdges) -> None:
        self.columns = (column,)

    def count(
        self, values: NDArray[np.float64], offsets: NDArray[np.float64], counts: NDArray[np.int64]
    ) -> None:
        """Add values to the flat counts, see ``CellLookup``."""
        column = self.columns[0]
        below = np.searchsorted(np.sort(values[0]), column.edges, side="left")
        cells = np.diff(below, prepend=0, append=values.shape[1])
        counts[column.start : column.start + cells.shape[0]] += cells


class GridLookup:
    """Counts several columns at once through grids; ``grid_rounds`` tells for which it pays.

    Attributes
    ----------
    rounds : int
        Largest number of edges in one slot of the grid: how often values are compared. The first
        and the last slot may hold more; values there are looked up one by one.
    """

    def __init__(self, columns: Sequence[CellEdges]) -> None:
        self.columns = tuple(columns)
        self._base = np.arange(len(columns), dtype=np.float64)[:, None] * _SLOTS
        scales = [_best_scale(column) for column in columns]
        if any(scale is None for scale in scales):
            raise ValueError("a column does not fit a grid: see grid_rounds")
        self._slope = np.array([scale.slope for scale in scales if scale])[:, None]
        self._shift = np.array([scale.shift for scale in scales if scale])[:, None] + self._base
        self._first = np.empty(len(columns) * _SLOTS, dtype=np.intp)
        uppers = []
        where = []
        self.rounds = 0
        local = 0
        crowded = []
        for i, (column, scale) in enumerate(zip(columns, scales, strict=True)):
            cells = column.edges.shape[0] + 1
            slots = self._edge_slots(i, column)
            rounds = scale.rounds if scale else 0
            self.rounds = max(self.rounds, rounds)
            held = np.bincount(slots, minlength=_SLOTS)
            crowded += [i * _SLOTS + end for end in (0, _SLOTS - 1) if held[end] > rounds]
            # An edge in a lower slot than a value's is not above that value; one in the same
            # slot may be, and `count` compares with those.
            first = np.searchsorted(slots, np.arange(_SLOTS), side="left") + local
            self._first[i * _SLOTS : (i + 1) * _SLOTS] = first
            uppers.append(np.append(column.edges, np.inf))
            where.append(np.arange(column.start, column.start + cells))
            local += cells
        # One more cell for the values in crowded slots: no edge is above it.
        self._first[crowded] = local
        self._upper = np.concatenate([*uppers, [np.inf]])
        self._where = np.concatenate(where)

    def count(
        self, values: NDArray[np.float64], offsets: NDArray[np.float64], counts: NDArray[np.int64]
    ) -> None:
        """Add values to the flat counts, see ``CellLookup``."""
        cell = self._first.take(self._slots(offsets), mode="clip")
        for _ in range(self.rounds):
            cell += values >= self._upper.take(cell, mode="clip")
        cells = self._where.shape[0]
        found = np.bincount(cell.ravel(), minlength=cells + 1)
        counts[self._where] += found[:cells]
        if found[cells]:
            self._count_far(values, np.flatnonzero(cell == cells), counts)

    def _count_far(
        self, values: NDArray[np.float64], far: NDArray[np.intp], counts: NDArray[np.int64]
    ) -> None:
        """Count values in crowded slots, given by their positions in row order."""
        bounds = np.searchsorted(far, np.arange(len(self.columns) + 1) * values.shape[1])
        chosen = values.ravel()[far]
        for i, column in enumerate(self.columns):
            some = chosen[bounds[i] : bounds[i + 1]]
            if some.size:
                found = np.bincount(np.searchsorted(column.edges, some, side="right"))
                counts[column.start : column.start + found.shape[0]] += found

    def _slots(self, offsets: NDArray[np.float64]) -> NDArray[np.intp]:
        with np.errstate(over="ignore"):
            position = offsets * self._slope
        position += self._shift
        np.clip(position, self._base, self._base + (_SLOTS - 1), out=position)
        slots: NDArray[np.intp] = position.astype(np.intp)
        return slots

    def _edge_slots(self, i: int, column: CellEdges) -> NDArray[np.intp]:
        offsets = np.zeros((len(self.columns), column.edges.shape[0]))
        with np.errstate(over="ignore"):
            offsets[i] = column.edges - column.center
        slots: NDArray[np.intp] = self._slots(offsets)[i] - i * _SLOTS
        return slots


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
