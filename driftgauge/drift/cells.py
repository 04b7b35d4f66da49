"""Cells of one column: coarse ones for the effect, readable ones for people.

Tests look at fine cells. The population stability index needs coarse ones, or its sampling noise
would hide what it measures; and a person wants to read "[120, 180)", not cell 97.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.verdict import CellShift
from driftgauge.profile.profile import FeatureProfile
from driftgauge.profile.spec import FeatureSpec

# Coarse cells of an ordered column; of a categorical one, since each has a name worth showing.
_ORDERED_GROUPS = 10
_CATEGORIES = 20
# Rows of the window (and of the baseline) that a coarse cell should expect.
_ROWS_PER_GROUP = 10
_SHOWN = 5
_LONGEST_LABEL = 80


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The counts of one column on both sides, in cells that are complete.

    Attributes
    ----------
    spec : FeatureSpec
        How the column is counted.
    baseline, window : ndarray of int64, shape (C,)
        Counts. Categorical and boolean columns have one more cell at the end: unseen values.
    novel : ndarray of bool, shape (C,)
        Cells for values that the baseline does not have: unseen categories, gaps between discrete
        values, numbers outside the baseline's range.
    left_out : ndarray of int64, shape (C,)
        The baseline as it would count its own values had it not known them beforehand: a value it
        has only once, its smallest number and its largest number would be novel then. As many
        are to be expected in the window (Good-Turing, leave-one-out), so that new values
        alone are no evidence of drift. Only as many are left out as the window has novel ones:
        a window of training rows, which has none, is no evidence either.
    novel_once_left_out : int
        How many rows of the baseline would be novel, each against all others.
    unseen : mapping of str to int
        A sample of the window's unseen words.
    """

    spec: FeatureSpec
    baseline: NDArray[np.int64]
    window: NDArray[np.int64]
    novel: NDArray[np.bool_]
    left_out: NDArray[np.int64]
    novel_once_left_out: int
    unseen: Mapping[str, int]

    @property
    def baseline_rows(self) -> int:
        """Values counted in the baseline."""
        return int(self.baseline.sum())

    @property
    def window_rows(self) -> int:
        """Values counted in the window."""
        return int(self.window.sum())


def compare(baseline: FeatureProfile, window: FeatureProfile) -> Comparison:
    """Put the cells of both sides next to each other."""
    spec = window.spec
    there, here = baseline.counts, window.counts
    novel = np.zeros(spec.cells, dtype=np.bool_)
    if spec.kind == "numeric":
        novel[[0, -1]] = there[[0, -1]] == 0
        left_out = _leave_out_extremes(there, here, novel)
        # The smallest and the largest number; both may be one row.
        singles = min(int(novel[[0, -1]].sum()), int(there.sum()))
    elif spec.kind == "discrete":
        novel[0::2] = True
        left_out = _leave_out_single(there, here, novel)
        singles = int(((there == 1) & ~novel).sum())
    else:
        there = np.append(there, baseline.unseen_rows)
        here = np.append(here, window.unseen_rows)
        novel = np.append(novel, True)
        left_out = _leave_out_single(there, here, novel)
        singles = int(((there == 1) & ~novel).sum())
    return Comparison(
        spec=spec,
        baseline=there,
        window=here,
        novel=novel,
        left_out=left_out,
        novel_once_left_out=int(there[novel].sum()) + singles,
        unseen=window.unseen,
    )


def _leave_out_extremes(
    there: NDArray[np.int64], here: NDArray[np.int64], novel: NDArray[np.bool_]
) -> NDArray[np.int64]:
    left_out = there.copy()
    occupied = np.flatnonzero(there)
    for end in (0, -1):
        if novel[end] and here[end] and occupied.shape[0]:
            left_out[occupied[end]] -= 1
            left_out[end] += 1
    return left_out


def _leave_out_single(
    there: NDArray[np.int64], here: NDArray[np.int64], novel: NDArray[np.bool_]
) -> NDArray[np.int64]:
    left_out = there.copy()
    ratio = int(there.sum()) / max(1, int(here.sum()))
    wanted = math.ceil(int(here[novel].sum()) * ratio) - int(there[novel].sum())
    single = np.flatnonzero((there == 1) & ~novel)
    # Those that the window does not have first: they are the ones it may have replaced.
    single = single[np.argsort(here[single], kind="stable")][: max(0, wanted)]
    left_out[single] = 0
    left_out[np.flatnonzero(novel)[-1]] += single.shape[0]
    return left_out


def coarse_groups(comparison: Comparison, dispersion: float = 1.0) -> NDArray[np.intp]:
    """Assign each cell to a coarse one.

    Ordered columns: neighbors with about a tenth of the baseline each, fewer and larger ones
    where a tenth would expect less than ten rows; a value heavier than that stands alone.
    Categorical columns: each of the at most 20 heaviest categories that expect ten rows, and one
    cell for all others. Novel values never share a coarse cell with known ones; numbers below the
    baseline's range have another one than numbers above it.

    Parameters
    ----------
    comparison : Comparison
        Both sides.
    dispersion : float, default 1.0
        How many times more windows vary than independent rows would: cells expect so many times
        the rows.

    Returns
    -------
    ndarray of intp, shape (C,)
        Numbers from 0 without a gap.
    """
    known = np.where(comparison.novel, 0, comparison.left_out)
    total = max(1, int(known.sum()))
    smaller = int(min(comparison.baseline_rows, comparison.window_rows) / dispersion)
    if comparison.spec.kind in ("numeric", "discrete"):
        count = min(_ORDERED_GROUPS, max(2, smaller // _ROWS_PER_GROUP))
        # A cell belongs where the middle of its mass lies.
        middle = np.cumsum(known) - known / 2.0
        groups = np.minimum((middle * count / total).astype(np.intp), count - 1)
    else:
        groups = _heaviest(known, total=total, smaller=smaller)
    after = int(groups.max(initial=0)) + 1
    groups = np.where(comparison.novel, after, groups)
    if comparison.spec.kind == "numeric" and comparison.novel[-1]:
        groups[-1] = after + 1
    return np.unique(groups, return_inverse=True)[1]


def _heaviest(known: NDArray[np.int64], *, total: int, smaller: int) -> NDArray[np.intp]:
    order = np.argsort(-known, kind="stable")[:_CATEGORIES]
    kept = order[known[order] * (smaller / total) >= _ROWS_PER_GROUP]
    groups = np.zeros(known.shape[0], dtype=np.intp)
    groups[kept] = np.arange(1, kept.shape[0] + 1)
    return groups


def merge(counts: NDArray[np.int64], groups: NDArray[np.intp]) -> NDArray[np.int64]:
    """Add up the counts of each group.

    Examples
    --------
    >>> merge(np.array([1, 2, 3]), np.array([0, 1, 0])).tolist()
    [4, 2]
    """
    size = int(groups.max(initial=-1)) + 1
    return np.bincount(groups, weights=counts, minlength=size).astype(np.int64)


def moved_cells(comparison: Comparison, groups: NDArray[np.intp]) -> tuple[CellShift, ...]:
    """Return the bins or categories whose share moved furthest, at most five.

    Numeric columns are shown in their coarse bins, all others value by value. Shares are of the
    values that are present and countable.
    """
    numeric = comparison.spec.kind == "numeric"
    there, here = comparison.baseline, comparison.window
    if numeric:
        there, here = merge(there, groups), merge(here, groups)
    before = there / max(1, int(there.sum()))
    now = here / max(1, int(here.sum()))
    apart = np.abs(now - before)
    order = np.argsort(-apart, kind="stable")[:_SHOWN]
    return tuple(
        CellShift(
            label=_group_label(comparison, np.flatnonzero(groups == i))
            if numeric
            else _cell_label(comparison, int(i)),
            baseline_share=float(before[i]),
            window_share=float(now[i]),
        )
        for i in order.tolist()
        if apart[i] > 0.0
    )


def _group_label(comparison: Comparison, cells: NDArray[np.intp]) -> str:
    edges, first, last = comparison.spec.edges, int(cells[0]), int(cells[-1])
    low = f"{edges[first - 1]:.6g}" if first > 0 else None
    high = f"{edges[last]:.6g}" if last < len(edges) else None
    if low is None:
        return "all values" if high is None else f"below {high}"
    # The last edge lies just above the largest number of the baseline.
    if high is None:
        return f"above {low}" if comparison.novel[-1] else f"{low} and above"
    return f"[{low}, {high}{']' if last == len(edges) - 1 and comparison.novel[-1] else ')'}"


def _cell_label(comparison: Comparison, cell: int) -> str:
    spec = comparison.spec
    if spec.kind == "discrete":
        return _value_label(spec.edges, cell)
    if cell < len(spec.categories):
        return _shorten(spec.categories[cell])
    if not comparison.unseen:
        return "unseen"
    word = min(comparison.unseen, key=lambda seen: (-comparison.unseen[seen], seen))
    more = "" if len(comparison.unseen) == 1 else " and others"
    return _shorten(f"unseen: {word}") + more


def _value_label(values: tuple[float, ...], cell: int) -> str:
    if cell % 2:
        return f"{values[cell // 2]:.6g}"
    if not values:
        return "all values"
    if cell == 0:
        return f"below {values[0]:.6g}"
    if cell == 2 * len(values):
        return f"above {values[-1]:.6g}"
    return f"between {values[cell // 2 - 1]:.6g} and {values[cell // 2]:.6g}"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
