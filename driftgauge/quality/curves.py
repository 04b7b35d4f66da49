"""Curves over all thresholds of a score, from counts by bin, and the areas under them.

Rows of one bin are ties: the area gives half for each pair of them, and its ``bin_error`` is the
most it can be off by because of that. Counts may be fractions: then they are expected counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MOST_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Area:
    """The area under a receiver operating characteristic curve.

    Attributes
    ----------
    value : float
        Probability that a positive row has a higher score than a negative one, half for ties.
    standard_error : float
        Of independent rows; DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988.
    bin_error : float
        The value from the scores themselves is at most this far away.
    """

    value: float
    standard_error: float
    bin_error: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a curve: first the threshold above all scores, at most 200 of them."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def roc_area(negatives: ArrayLike, positives: ArrayLike) -> Area:
    r"""Return the area under the ROC curve.

    .. math:: A = \frac{1}{PN} \sum_b p_b \left(\sum_{c<b} n_c + \tfrac12 n_b\right)

    Parameters
    ----------
    negatives, positives : array_like, shape (bins,)
        Rows of either class by bin of the score, lowest first.

    Returns
    -------
    Area
        NaN without rows of both classes.

    Examples
    --------
    >>> roc_area([2, 1], [1, 2]).value
    0.6666666666666666
    """
    n, p = np.asarray(negatives, dtype=np.float64), np.asarray(positives, dtype=np.float64)
    total_n, total_p = float(n.sum()), float(p.sum())
    if not (total_n > 0 and total_p > 0):
        return Area(value=math.nan, standard_error=math.nan, bin_error=math.nan)
    above, below = placements(n, p)
    value = float(p @ below) / total_p
    variance_p = max(0.0, float(p @ (below - value) ** 2)) / max(total_p - 1, 1)
    variance_n = max(0.0, float(n @ (above - value) ** 2)) / max(total_n - 1, 1)
    return Area(
        value=value,
        standard_error=math.sqrt(variance_p / total_p + variance_n / total_n),
        bin_error=float(n @ p) / (2 * total_n * total_p),
    )


def placements(
    negatives: NDArray[np.float64], positives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of positives above and of negatives below each bin; half of its own."""
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    above = 1.0 - (np.cumsum(positives) - positives / 2) / positives.sum()
    return above, below


def average_precision(negatives: ArrayLike, positives: ArrayLike) -> float:
    r"""Return the average precision: the precision at each threshold, weighted by gained recall.

    .. math:: \sum_b (R_b - R_{b+1}) P_b

    Parameters
    ----------
    negatives, positives : array_like, shape (bins,)
        Rows of either class by bin of the score, lowest first.

    Examples
    --------
    >>> average_precision([1, 0, 1], [0, 1, 1])
    0.5833333333333333
    """
    n = np.asarray(negatives, dtype=np.float64)[::-1]
    p = np.asarray(positives, dtype=np.float64)[::-1]
    total = float(p.sum())
    if total <= 0:
        return math.nan
    hits, rows = np.cumsum(p), np.cumsum(n + p)
    some = p > 0
    return float((p[some] * hits[some] / rows[some]).sum() / total)


def expected_average_precision(negatives: ArrayLike, positives: ArrayLike) -> float:
    r"""Return the average precision of expected counts, with ties in random order.

    In a bin of m rows of which each is positive with probability v, behind n rows with T
    positives, the sum over its rows is

    .. math:: \sum_{j=1}^{m} v \frac{T + jv}{n + j} = m v^2 + v (T - nv) (H_{n+m} - H_n)

    with harmonic numbers H. That is what a threshold between any two rows gives, as NannyML has
    it; ``average_precision`` puts none between ties.

    Parameters
    ----------
    negatives, positives : array_like, shape (bins,)
        Expected rows of either class by bin, lowest first; whole numbers together.

    Examples
    --------
    >>> round(expected_average_precision([1, 1], [1, 1]), 12)
    0.5
    """
    n = np.asarray(negatives, dtype=np.float64)[::-1]
    p = np.asarray(positives, dtype=np.float64)[::-1]
    rows = n + p
    some = rows > 0
    p, rows = p[some], rows[some]
    total = float(p.sum())
    if total <= 0:
        return math.nan
    before, hits = np.cumsum(rows) - rows, np.cumsum(p) - p
    share = p / rows
    steps = _harmonic(before + rows) - _harmonic(before)
    return float((p * share + share * (hits - before * share) * steps).sum() / total)


def _harmonic(n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the harmonic numbers; Euler-Maclaurin, error below 1e-15 from 32 on."""
    small = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, 33))])
    x = np.maximum(n, 32.0)
    large = np.log(x) + np.euler_gamma + 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4)
    values: NDArray[np.float64] = np.where(
        n > 32, large, small[np.minimum(n, 32).round().astype(int)]
    )
    return values


def roc_curve(negatives: ArrayLike, positives: ArrayLike) -> Curve:
    """Return the ROC curve: x the false positive rate, y the true positive rate.

    Examples
    --------
    >>> roc_curve([1, 0], [0, 1])
    Curve(x=(0.0, 0.0, 1.0), y=(0.0, 1.0, 1.0))
    """
    false, true = _cumulated(negatives, positives)
    if not (false[-1] > 0 and true[-1] > 0):
        return Curve(x=(), y=())
    return _thinned(false / false[-1], true / true[-1])


def precision_recall_curve(negatives: ArrayLike, positives: ArrayLike) -> Curve:
    """Return the precision-recall curve: x the recall, y the precision, 1 at a recall of 0.

    Examples
    --------
    >>> precision_recall_curve([1, 0], [0, 1])
    Curve(x=(0.0, 1.0, 1.0), y=(1.0, 1.0, 0.5))
    """
    false, true = _cumulated(negatives, positives)
    if not true[-1] > 0:
        return Curve(x=(), y=())
    precision = np.concatenate([[1.0], true[1:] / (true[1:] + false[1:])])
    return _thinned(true / true[-1], precision)


def _cumulated(
    negatives: ArrayLike, positives: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many rows of either class are above each threshold, from 0 on."""
    n = np.asarray(negatives, dtype=np.float64)[::-1]
    p = np.asarray(positives, dtype=np.float64)[::-1]
    some = (n + p) > 0
    zero = np.zeros(1)
    return np.concatenate([zero, np.cumsum(n[some])]), np.concatenate([zero, np.cumsum(p[some])])


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    """Keep both ends and points at equal steps along the curve."""
    if x.shape[0] > _MOST_POINTS:
        way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        wanted = np.linspace(0.0, way[-1], _MOST_POINTS)
        kept = np.unique(np.searchsorted(way, wanted, side="left"))
        kept = np.unique(np.concatenate([[0], kept, [x.shape[0] - 1]]))[:_MOST_POINTS]
        kept[-1] = x.shape[0] - 1
        x, y = x[kept], y[kept]
    return Curve(x=tuple(x.tolist()), y=tuple(y.tolist()))
