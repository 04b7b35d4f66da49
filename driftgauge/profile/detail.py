"""Where the values of a small window lie within the cells: what makes its quantiles exact.

How the values of one cell fall within it is chance, and shows in the quantiles of a window of few
rows. A profile of up to ``MOST_ROWS`` rows therefore says for each column where they lie, on a
lattice: of the column's unit where its numbers are whole or rounded ones, of a power of two far
below its scale elsewhere. A *piece* is what a stretch of 2**s points of the lattice and a cell
have in common; a cell narrower than two stretches is not cut.

Pieces add up because ``s`` depends on nothing but the values. Stretches of larger ``s`` are made
of those of smaller ones, so a column is in at most as many pieces at ``s + 1`` as at ``s``, and
each level of ``_LEVELS`` has room for so many. A profile is at the first level that has room for
its pieces. Let A and B be two sets of rows, and A at level k: there is no room for the pieces of
A at any level before k, and A + B has no fewer, so A + B is not at a level before k, nor before
that of B. The pieces of A and of B tell those of A + B at any later level, hence which is the
first with room. So the sum is what counting A + B gives, in any order and grouping; and so is the
absence of pieces, which is a matter of the number of rows.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.resolution import Resolution

# From so many rows on chance shows less than a sketch of k = 2048 errs; counting costs most there.
MOST_ROWS = 1 << 15
# How often a line's distance (see ``Resolution``) is halved, and room for so many pieces then:
# values one by one if there are few, rows one by one up to the size of a sketch, then what tells
# a moved window's quantiles, and whatever fits for one that is far away. The last has no pieces.
_LEVELS = (
    (24, 64),
    (8, 1088),
    (7, 1408),
    (6, 1664),
    (5, 1664),
    (4, 1344),
    (3, 600),
    (2, 1536),
    (1, 1536),
    (0, 1536),
    (-3, 1024),
    (-8, 1024),
    (-16, 1024),
)
LAST = len(_LEVELS)
# Up to this level a stretch holds a few rows at most, unless a value repeats; at the first, one
# number.
_FINE = 4
MOST_PIECES = max(room for _, room in _LEVELS)
_ROOMS = np.array([*(room for _, room in _LEVELS), 0], dtype=np.int64)
# More than any cell is wide: none is cut.
_NEVER = 63
# Multiples beyond are all the same; sums and differences of them stay in 64 bits.
_FARTHEST = 2.0**61
_APART = 2**63 - 1
_SMALLEST_UNIT = -1000
# More values than this are first tried on a part of them, and counted without being sorted.
_MANY = 4096
_WIDEST = 1 << 16
_PARTS_AT_ONCE = 64
_MOST_WAITING = 1 << 21
_MOST_SOURCES = 1 << 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Detail:
    """The pieces of all numeric columns of a profile.

    Attributes
    ----------
    levels : ndarray of int64, shape (numeric columns,)
        Positions in ``_LEVELS``; ``LAST`` for a column without pieces.
    cells, stretches, counts : ndarray of int64, shape (pieces,)
        Position of the cell in the profile's counts, number of the stretch, and how many values
        there are; by cell and stretch. Only cells that are cut at the column's level are here.
    """

    levels: NDArray[np.int64]
    cells: NDArray[np.int64]
    stretches: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pieces:
    """Where the values of one column lie, in increasing order.

    Attributes
    ----------
    lower, upper : ndarray of float64
        Bounds; not decreasing.
    counts : ndarray of int64
        Values between them, at least one.
    fine : bool
        Whether pieces are so narrow that in one with many more values than beside it all are alike.
    narrow : bool
        Whether the values of any piece are alike.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    counts: NDArray[np.int64]
    fine: bool = False
    narrow: bool = False


class _Lattice(NamedTuple):
    """Multiples of unit / parts; natural if all numbers of the baseline are."""

    unit: float
    parts: float
    natural: bool


class _Column(NamedTuple):
    """The pieces of one column, see ``Detail``."""

    level: int
    cells: NDArray[np.int64]
    stretches: NDArray[np.int64]
    counts: NDArray[np.int64]


class DetailGrid:
    """The lattices of a specification's numeric columns.

    Parameters
    ----------
    resolutions : sequence of Resolution or None
        One for each numeric column; pieces of a column without are its cells.
    edges : sequence of ndarray of float64
        Lower bounds of the cells 1, 2, ... of each.
    starts : sequence of int
        The first cell of each in the profile's counts.
    cells : int
        Number of the profile's counts.

    Attributes
    ----------
    shifts : ndarray of int64, shape (levels + 1, numeric columns)
        Stretches are of 2**shift points.
    column : ndarray of int64, shape (cells,)
        Which numeric column a cell is of, -1 for words.
    lowest, highest, widest : ndarray of int64, shape (cells,)
        Points at the bounds of a cell, and the largest shift at which it is cut, -1 for none.
    """

    def __init__(
        self,
        *,
        resolutions: Sequence[Resolution | None],
        edges: Sequence[NDArray[np.float64]],
        starts: Sequence[int],
        cells: int,
    ) -> None:
        self.columns = len(resolutions)
        self._edges, self._starts = tuple(edges), tuple(starts)
        self._units = [_lattice(resolution) for resolution in resolutions]
        self.shifts = np.full((LAST + 1, self.columns), _NEVER, dtype=np.int64)
        self.column = np.full(cells, -1, dtype=np.int64)
        self.lowest = np.zeros(cells, dtype=np.int64)
        self.highest = np.zeros(cells, dtype=np.int64)
        self.widest = np.full(cells, -1, dtype=np.int64)
        for i, resolution in enumerate(resolutions):
            part = self.part(i)
            self.column[part] = i
            if resolution is None:
                continue
            bounds = self.points(i, np.concatenate([[-np.inf], edges[i], [np.inf]]))
            self.lowest[part], self.highest[part] = bounds[:-1], bounds[1:]
            # The largest shift that leaves at least two.
            self.widest[part] = np.frexp(np.diff(bounds) / 2)[1] - 1
            self.shifts[:-1, i] = _shifts(resolution, self._units[i])

    def part(self, i: int) -> slice:
        """Return which of a profile's counts are those of a numeric column."""
        return slice(self._starts[i], self._starts[i] + self._edges[i].shape[0] + 1)

    def points(self, i: int, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the last point of a column's lattice that is not above each value."""
        unit, parts, _ = self._units[i]
        with np.errstate(over="ignore"):
            nearest = np.rint(values * parts / unit)
            nearest -= nearest * unit / parts > values
        found: NDArray[np.int64] = np.clip(nearest, -_FARTHEST, _FARTHEST).astype(np.int64)
        return found

    def numbers(self, i: int, points: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the points of a column's lattice as numbers."""
        unit, parts, _ = self._units[i]
        with np.errstate(over="ignore"):
            found: NDArray[np.float64] = points.astype(np.float64) * unit / parts
        found[points > _FARTHEST] = np.inf
        found[points <= -_FARTHEST] = -np.inf
        return found

    def cut(self, levels: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the cells that hold a value and are cut at their column's level."""
        some = np.flatnonzero(counts)
        some = some[self.widest[some] >= 0]
        return some[self.widest[some] >= self.shift(levels)[self.column[some]]]

    def shift(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the shift of each column."""
        return self.shifts[levels, np.arange(self.columns)]

    def empty(self) -> Detail:
        """Return the pieces of no values."""
        none = np.zeros(0, dtype=np.int64)
        levels = np.zeros(self.columns, dtype=np.int64)
        return Detail(levels=levels, cells=none, stretches=none, counts=none)

    def count(self, values: Sequence[NDArray[np.float64]], counts: NDArray[np.int64]) -> Detail:
        """Count values in pieces.

        Parameters
        ----------
        values : sequence of ndarray of float64
            For each numeric column; what is not finite is passed over.
        counts : ndarray of int64, shape (cells,)
            How many of them each cell holds.
        """
        columns = []
        for i, some in enumerate(values):
            here = counts[self.part(i)]
            finite = some if int(here.sum()) == some.shape[0] else some[np.isfinite(some)]
            if finite.shape[0] > _MANY:
                columns.append(self._count_many(i, finite, here))
            else:
                columns.append(self._count_few(i, np.sort(finite), here))
        return _joined(columns)

    def merge(self, details: Iterable[Detail]) -> Detail:
        """Add pieces of several profiles."""
        some = tuple(details)
        if not some:
            return self.empty()
        levels = np.max([one.levels for one in some], axis=0)
        cells = np.concatenate([one.cells for one in some])
        shifts = [self.shift(one.levels)[self.column[one.cells]] for one in some]
        points = np.concatenate(
            [one.stretches << shift for one, shift in zip(some, shifts, strict=True)]
        )
        order = np.lexsort((points, cells))
        cells, points = cells[order], points[order]
        counts = np.concatenate([one.counts for one in some])[order]
        cuts = np.searchsorted(cells, self._starts)
        columns = []
        for i, level in enumerate(levels.tolist()):
            part = slice(cuts[i], cuts[i + 1] if i + 1 < self.columns else None)
            columns.append(self._settle(i, level, cells[part], points[part], counts[part]))
        return _joined(columns)

    def _count_few(self, i: int, ordered: NDArray[np.float64], here: NDArray[np.int64]) -> _Column:
        # The order of cells is that of the values.
        cells = np.repeat(np.arange(here.shape[0]), here) + self._starts[i]
        ones = np.ones(cells.shape[0], dtype=np.int64)
        return self._settle(i, 0, cells, self.points(i, ordered), ones)

    def _count_many(self, i: int, values: NDArray[np.float64], here: NDArray[np.int64]) -> _Column:
        """Count without sorting, at a level that some of the values already have no room before."""
        some = np.sort(values[:: values.shape[0] // _MANY + 1])
        below = np.searchsorted(some, self._edges[i], side="left")
        held = np.diff(below, prepend=0, append=some.shape[0])
        level = self._count_few(i, some, held).level
        shift = int(self.shifts[level, i])
        stretches, found = _tally(self.points(i, values) >> shift)
        # A piece ends where a cell or a stretch does.
        filled = np.flatnonzero(here)
        ends_of_cells, ends = np.cumsum(here[filled]), np.cumsum(found)
        last = np.union1d(ends_of_cells, ends)
        cells = filled[np.searchsorted(ends_of_cells, last)] + self._starts[i]
        points = stretches[np.searchsorted(ends, last)] << shift
        return self._settle(i, level, cells, points, np.diff(last, prepend=0))

    def _settle(
        self,
        i: int,
        level: int,
        cells: NDArray[np.int64],
        points: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> _Column:
        """Return a column at the first level from ``level`` with room for its pieces.

        Cells and points are in order; points may be any of their stretch.
        """
        widest = self.widest[cells]
        # Two points are in one stretch if they differ in no bit above the shift.
        apart = np.full(cells.shape[0], _APART, dtype=np.int64)
        if cells.shape[0]:
            differ = points[1:] ^ points[:-1]
            apart[1:] = np.where((cells[1:] == cells[:-1]) & (differ >= 0), differ, _APART)
        while level < LAST:
            shift = int(self.shifts[level, i])
            first = (apart >> shift != 0) & (widest >= shift)
            if np.count_nonzero(first) <= _ROOMS[level]:
                break
            level += 1
        if level == LAST:
            first = np.zeros(cells.shape[0], dtype=np.bool_)
            shift = 0
        at = np.flatnonzero(first)
        kept = np.where(widest >= shift, counts, 0)
        number = np.add.reduceat(kept, at) if at.shape[0] else kept[:0]
        return _Column(level, cells[at], points[at] >> shift, number)

    def pieces(self, detail: Detail | None, i: int, counts: NDArray[np.int64]) -> Pieces:
        """Return where the values of a numeric column lie.

        Parameters
        ----------
        detail : Detail or None
            Of the profile, if it has any.
        i : int
            Which numeric column.
        counts : ndarray of int64
            Of the column's cells.
        """
        edges, start = self._edges[i], self._starts[i]
        lower, upper = np.append(-np.inf, edges), np.append(edges, np.inf)
        some = np.flatnonzero(counts)
        if detail is None or detail.levels[i] == LAST:
            return Pieces(lower=lower[some], upper=upper[some], counts=counts[some])
        level = int(detail.levels[i])
        shift = int(self.shifts[level, i])
        first, last = np.searchsorted(detail.cells, (start, start + counts.shape[0]))
        cells, stretches = detail.cells[first:last] - start, detail.stretches[first:last]
        uncut = some[self.widest[start + some] < shift]
        order = np.argsort(np.concatenate([cells, uncut]), kind="stable")
        lows = np.maximum(self.numbers(i, stretches << shift), lower[cells])
        highs = np.minimum(self.numbers(i, (stretches + 1) << shift), upper[cells])
        return Pieces(
            lower=np.concatenate([lows, lower[uncut]])[order],
            upper=np.concatenate([np.maximum(lows, highs), upper[uncut]])[order],
            counts=np.concatenate([detail.counts[first:last], counts[uncut]])[order],
            fine=level <= _FINE and not self._units[i].natural,
            narrow=level == 0 and not self._units[i].natural,
        )


def _joined(columns: Sequence[_Column]) -> Detail:
    none = np.zeros(0, dtype=np.int64)
    return Detail(
        levels=np.array([column.level for column in columns], dtype=np.int64),
        cells=np.concatenate([none, *(column.cells for column in columns)]),
        stretches=np.concatenate([none, *(column.stretches for column in columns)]),
        counts=np.concatenate([none, *(column.counts for column in columns)]),
    )


class DetailSource:
    """Pieces that are counted when they are asked for: most are added to many rows before.

    Parameters
    ----------
    grid : DetailGrid
        Of the specification.
    detail : Detail, optional
        The pieces, where they are known.
    values, counts
        What to count otherwise, see ``DetailGrid.count``.
    """

    def __init__(
        self,
        grid: DetailGrid,
        *,
        detail: Detail | None = None,
        values: Sequence[NDArray[np.float64]] = (),
        counts: NDArray[np.int64] | None = None,
    ) -> None:
        self._grid, self._detail = grid, detail
        self._values, self._counts = tuple(values), counts
        if detail is None:
            _WAITING.add(self, sum(some.shape[0] for some in values))

    def get(self) -> Detail:
        """Return the pieces."""
        if self._detail is None:
            counts = np.zeros(0, dtype=np.int64) if self._counts is None else self._counts
            self._detail = self._grid.count(self._values, counts)
            self._values, self._counts = (), None
        return self._detail


class _Waiting:
    """Values that wait to be counted: so many at most, of however many profiles."""

    def __init__(self) -> None:
        self._sources: deque[tuple[ReferenceType[DetailSource], int]] = deque()
        self._size = 0

    def add(self, source: DetailSource, size: int) -> None:
        """Add a profile's values; count those that waited longest if there are too many."""
        self._sources.append((ref(source), size))
        self._size += size
        while self._size > _MOST_WAITING or len(self._sources) > _MOST_SOURCES:
            oldest, held = self._sources.popleft()
            self._size -= held
            known = oldest()
            if known is not None:
                known.get()


_WAITING = _Waiting()


class DetailSum:
    """Adds pieces of profiles in place."""

    def __init__(self, grid: DetailGrid) -> None:
        self._grid = grid
        self._rows = 0
        self._parts: list[DetailSource] | None = []

    def open(self, rows: int) -> bool:
        """Return whether pieces of so many more rows would be kept."""
        return self._parts is not None and self._rows + rows <= MOST_ROWS

    def add(self, source: DetailSource | None, *, rows: int) -> None:
        """Add the pieces of so many rows; None: they are not known."""
        self._rows += rows
        if self._rows > MOST_ROWS or (source is None and rows):
            self._parts = None
        if self._parts is None or source is None:
            return
        self._parts.append(source)
        if len(self._parts) >= _PARTS_AT_ONCE:
            self._parts = [DetailSource(self._grid, detail=self._merged(self._parts))]

    def result(self) -> DetailSource | None:
        """Return the sum; None if it is of too many rows."""
        if self._parts is None or len(self._parts) == 1:
            return self._parts[0] if self._parts else None
        return DetailSource(self._grid, detail=self._merged(self._parts))

    def _merged(self, parts: Sequence[DetailSource]) -> Detail:
        return self._grid.merge(part.get() for part in parts)


def _lattice(resolution: Resolution | None) -> _Lattice:
    if resolution is None:
        return _Lattice(1.0, 1.0, natural=True)
    if resolution.unit:
        return _Lattice(float(resolution.unit), float(resolution.parts), natural=True)
    finest = _LEVELS[0][0]
    exponent = max(_nearest_power(_line(resolution)) - finest, _SMALLEST_UNIT)
    return _Lattice(1.0, math.ldexp(1.0, -exponent), natural=False)


def _line(resolution: Resolution) -> float:
    return min((side for side in (resolution.below, resolution.above) if side > 0), default=1.0)


def _nearest_power(value: float) -> int:
    mantissa, exponent = math.frexp(value)
    return exponent if mantissa * mantissa >= 0.5 else exponent - 1


def _shifts(resolution: Resolution, lattice: _Lattice) -> NDArray[np.int64]:
    """Return the shift of each level but the last."""
    whole = _nearest_power(_line(resolution) * lattice.parts / lattice.unit)
    halved = np.array([times for times, _ in _LEVELS])
    shifts: NDArray[np.int64] = np.clip(whole - halved, 0, _NEVER - 1)
    return shifts


def _tally(points: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct points in increasing order, and how often each occurs."""
    low, high = int(points.min()), int(points.max())
    if points.shape[0] <= _MANY or high - low >= _WIDEST:
        found, counts = np.unique(points, return_counts=True)
        return found, counts.astype(np.int64)
    tally = np.bincount(points - low)
    some = np.flatnonzero(tally)
    return some + low, tally[some]
