"""From a profile's cells to the bars a reader can take in.

A profile counts a numeric column in up to 256 cells of equal baseline mass. The bars here are
unions of such cells, so every bar is an exact count, nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftgauge.report.wording import quantity

if TYPE_CHECKING:
    from driftgauge.profile.profile import FeatureProfile

# How many inter-quartile ranges beyond the quartiles are still drawn to scale.
_REACH = 4.0


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One interval or category with its share of the baseline's and of the window's values.

    ``lower`` and ``upper`` are None for categories and on the open side of the outermost interval.
    ``novel`` marks a category that the baseline does not have.
    """

    label: str
    baseline: float
    window: float
    lower: float | None = None
    upper: float | None = None
    novel: bool = False

    @property
    def shift(self) -> float:
        """How far the share moved, without sign."""
        return abs(self.window - self.baseline)


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    total = int(counts.sum())
    return counts / total if total else np.zeros(counts.shape[0])


def _range_to_scale(edges: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the range drawn to scale: the far tails of the baseline are one bar each."""
    low, high = float(edges[0]), float(edges[-1])
    if not counts.sum():
        return low, high
    reached = np.cumsum(counts) / counts.sum()
    last = len(edges) - 1
    first_quartile = float(edges[min(int(np.searchsorted(reached, 0.25)), last)])
    third_quartile = float(edges[min(int(np.searchsorted(reached, 0.75)), last)])
    reach = _REACH * (third_quartile - first_quartile)
    if reach <= 0:
        return low, high
    return max(low, first_quartile - reach), min(high, third_quartile + reach)


def _thin(edges: NDArray[np.float64], low: float, high: float, limit: int) -> list[float]:
    """Return edges from ``low`` to ``high`` at least a bar's width apart, about ``limit`` bars."""
    inside = [float(edge) for edge in edges if low <= edge <= high]
    if len(inside) < 2:
        return [float(edges[0]), float(edges[-1])]
    step = (inside[-1] - inside[0]) / limit
    kept = [inside[0]]
    for edge in inside[1:]:
        if edge - kept[-1] >= step * 0.98:
            kept.append(edge)
    if kept[-1] < inside[-1]:
        # A sliver at the end would be drawn far too high: widen its neighbour instead.
        if inside[-1] - kept[-1] < step / 2 and len(kept) > 1:
            kept[-1] = inside[-1]
        else:
            kept.append(inside[-1])
    return kept


def interval_bars(
    *,
    edges: Sequence[float],
    baseline: NDArray[np.int64],
    window: NDArray[np.int64],
    limit: int = 28,
) -> list[Bar]:
    """Return bars of similar width over a numeric column, an open one at either end.

    Parameters
    ----------
    edges : sequence of float, length K
    baseline, window : ndarray of int64, shape (K + 1,)
        Counts of the cells ``(-inf, e0)``, ``[e0, e1)``, ... and ``[eK-1, inf)``.
    limit : int
        About how many bars to make.

    Examples
    --------
    >>> bars = interval_bars(edges=(0.0, 1.0, 2.0), baseline=np.array([1, 4, 4, 1]),
    ...                      window=np.array([0, 4, 4, 2]))
    >>> [(bar.label, bar.baseline, bar.window) for bar in bars]
    [('< 0', 0.1, 0.0), ('0 to 1', 0.4, 0.4), ('1 to 2', 0.4, 0.4), ('≥ 2', 0.1, 0.2)]
    """
    cuts = np.asarray(edges, dtype=np.float64)
    if not len(cuts):
        return []
    kept = _thin(cuts, *_range_to_scale(cuts, baseline), limit) if len(cuts) > 1 else [*cuts]
    # Cell i + 1 begins at edge i, so everything before kept edge k is cells 0..index(k).
    stops = [int(np.searchsorted(cuts, edge)) + 1 for edge in kept]
    bounds = [0, *stops, len(cuts) + 1]
    before, now = _shares(baseline), _shares(window)
    bars = []
    for position, (start, stop) in enumerate(pairwise(bounds)):
        lower = kept[position - 1] if position else None
        upper = kept[position] if position < len(kept) else None
        bars.append(
            Bar(
                label=_interval_label(lower, upper),
                baseline=float(before[start:stop].sum()),
                window=float(now[start:stop].sum()),
                lower=lower,
                upper=upper,
            )
        )
    return bars


def _interval_label(lower: float | None, upper: float | None) -> str:
    if lower is None:
        return f"< {quantity(upper or 0.0)}"
    if upper is None:
        return f"≥ {quantity(lower)}"
    return f"{quantity(lower)} to {quantity(upper)}"


def value_bars(
    *,
    values: Sequence[float],
    baseline: NDArray[np.int64],
    window: NDArray[np.int64],
    limit: int = 16,
) -> list[Bar]:
    """Return a bar for each value of a discrete column, neighbours joined beyond ``limit``.

    Parameters
    ----------
    values : sequence of float, length K
    baseline, window : ndarray of int64, shape (2K + 1,)
        Counts of the values at odd positions, of the gaps around them at even positions.

    Examples
    --------
    >>> bars = value_bars(values=(0.0, 1.0), baseline=np.array([0, 6, 0, 2, 0]),
    ...                   window=np.array([0, 2, 0, 2, 4]))
    >>> [(bar.label, bar.baseline, bar.window) for bar in bars]
    [('0', 0.75, 0.25), ('1', 0.25, 0.25), ('other', 0.0, 0.5)]
    """
    before, now = _shares(baseline), _shares(window)
    group = -(-len(values) // limit) if values else 1
    bars = []
    for start in range(0, len(values), group):
        stop = min(start + group, len(values))
        cells = slice(2 * start + 1, 2 * stop, 2)
        label = quantity(values[start])
        if stop - start > 1:
            label = f"{label} to {quantity(values[stop - 1])}"
        bars.append(
            Bar(
                label=label,
                baseline=float(before[cells].sum()),
                window=float(now[cells].sum()),
                lower=values[start],
                upper=values[stop - 1],
            )
        )
    elsewhere = Bar(
        label="other", baseline=float(before[::2].sum()), window=float(now[::2].sum()), novel=True
    )
    return [*bars, elsewhere] if elsewhere.baseline or elsewhere.window else bars


def category_bars(
    baseline: FeatureProfile, window: FeatureProfile, *, limit: int = 12
) -> list[Bar]:
    """Return a bar for each category, the one that moved furthest first, the rest in one bar.

    Categories that the baseline does not have come from the window's sample of unseen words.
    """
    names = window.spec.categories
    totals = [max(1, int(p.counts.sum()) + p.unseen_rows) for p in (baseline, window)]
    bars = [
        Bar(label=name, baseline=int(old) / totals[0], window=int(new) / totals[1])
        for name, old, new in zip(names, baseline.counts, window.counts, strict=True)
    ]
    bars += [
        Bar(label=word, baseline=0.0, window=rows / totals[1], novel=True)
        for word, rows in window.unseen.items()
    ]
    sampled = sum(window.unseen.values())
    bars.sort(key=lambda bar: (-bar.shift, -bar.baseline, bar.label))
    if len(bars) <= limit and window.unseen_rows == sampled:
        return bars
    top, rest = bars[: limit - 1], bars[limit - 1 :]
    joined = f"{len(rest)} other" + (" and more unseen" if window.unseen_rows > sampled else "")
    return [
        *top,
        Bar(
            label=joined,
            baseline=1 - sum(bar.baseline for bar in top),
            window=1 - sum(bar.window for bar in top) if window.counted else 0.0,
        ),
    ]


def bars_of(baseline: FeatureProfile, window: FeatureProfile, *, fine: bool) -> list[Bar]:
    """Return the bars of any column; ``fine`` for a chart, else for a picture in a table row."""
    spec = window.spec
    if spec.kind == "numeric":
        return interval_bars(
            edges=spec.edges,
            baseline=baseline.counts,
            window=window.counts,
            limit=28 if fine else 18,
        )
    if spec.kind == "discrete":
        return value_bars(
            values=spec.edges,
            baseline=baseline.counts,
            window=window.counts,
            limit=16 if fine else 10,
        )
    return category_bars(baseline, window, limit=12 if fine else 8)
