"""Two-sample tests on ordered cells: location, scale and shape of the ranks.

They condition on the pooled counts: which rows are the window's is as good as drawn by lot, however
many values tie.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.significance import Significance
from driftgauge.drift.special import (
    chi_squared_sf,
    normal_isf,
    normal_pdf,
    weighted_chi_squared_sf,
)

# Components of the Anderson-Darling statistic; those left out weigh 1/9 of it together.
_COMPONENTS = 8
_MOST_GROUPS = 64
# Rows of the smaller sample that a merged cell expects. So few, that the tails keep their scores;
# the saddle point keeps the law right where a score hangs on few rows.
_EXPECTED = 1.5
_STEPS = 25
# Of the way to the largest statistic there can be, where the saddle point lies at infinity.
_INSIDE = 0.995


def order_tests(
    baseline: NDArray[np.int64], window: NDArray[np.int64], *, dispersion: float = 1.0
) -> tuple[Significance, Significance] | None:
    r"""Test ordered cells by the Anderson-Darling test's components, and for scale alone.

    .. math:: T = \sum_{k=1}^{8} \frac{Z_k^2}{k (k + 1)}

    Z_k contrasts the samples' means of a score of the pooled rank. For the Legendre polynomials
    of degree k the infinite sum *is* the Anderson-Darling statistic of continuous data. Here the
    first score is van der Waerden's normal score instead, which finds shifts of bell-shaped
    columns with fewer rows, and the others are made orthonormal to it and to each other with
    respect to the pooled shares of the cells. So each Z_k has mean 0 and variance 1, and they are
    uncorrelated, under permutation of the rows: T has one null law for all columns. Z_2 is Mood's
    test for scale, which weighs too little in T to be found there: it is a test of its own.

    Each Z_k enters as the normal quantile of its permutation law, by its saddle point: exact
    enough far out and for skewed scores.

    Parameters
    ----------
    baseline, window : ndarray of int64, shape (B,)
        Counts in increasing order of value, at least one each. Adjacent cells are merged until
        each expects enough rows of the smaller sample, and to at most 64.
    dispersion : float, default 1.0
        How many times the variance of independent rows: the statistics are divided by it.

    Returns
    -------
    pair of Significance, or None
        Anderson-Darling and Mood. None if fewer than three cells remain: there is no order to
        speak of.

    References
    ----------
    .. [1] Pettitt, A. N. (1976), A two-sample Anderson-Darling rank statistic, Biometrika.
    .. [2] Durbin, J. and Knott, M. (1972), Components of Cramer-von Mises statistics, JRSS B.
    .. [3] Mood, A. M. (1954), On the asymptotic efficiency of certain nonparametric two-sample
       tests, Annals of Mathematical Statistics.
    .. [4] Robinson, J. (1982), Saddlepoint approximations for permutation tests, JRSS B.
    .. [5] Rao, J. N. K. and Scott, A. J. (1981), The analysis of categorical data from complex
       sample surveys, JASA.

    Examples
    --------
    >>> same, _ = order_tests(np.full(10, 100), np.full(10, 10))
    >>> round(same.statistic, 12), round(same.p_value, 12)
    (0.0, 1.0)
    >>> order_tests(np.full(10, 100), np.arange(0, 20, 2))[0].p_value < 1e-5
    True
    """
    b, a = merge_adjacent(baseline, window, expected=_EXPECTED * dispersion)
    groups = a.shape[0]
    if groups < 3:
        return None
    components = min(_COMPONENTS, (groups - 1) // 2 * 2)
    pooled = a + b
    scores = _scores(pooled / pooled.sum(), components)
    z = _permutation_quantiles(pooled, a, scores)
    weights = tuple(1.0 / (k * (k + 1.0)) for k in range(1, components + 1))
    statistic = float((z * z) @ np.array(weights)) / dispersion
    scale = float(z[1] * z[1]) / dispersion
    return (
        Significance(
            test="anderson_darling",
            statistic=statistic,
            p_value=weighted_chi_squared_sf(statistic, weights),
        ),
        Significance(test="mood", statistic=scale, p_value=chi_squared_sf(scale, 1)),
    )


def merge_adjacent(
    baseline: NDArray[np.int64], window: NDArray[np.int64], *, expected: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge neighbors until each cell expects enough rows of the smaller sample.

    Parameters
    ----------
    baseline, window : ndarray of int64, shape (B,)
        Counts in increasing order of value.
    expected : float
        How many rows are enough.

    Returns
    -------
    baseline, window : ndarray of float64, shape (G,)
        At most 64 merged cells.

    Examples
    --------
    >>> merge_adjacent(np.full(6, 100), np.full(6, 3), expected=5.0)[1].tolist()
    [6.0, 6.0, 6.0]
    """
    pooled = baseline + window
    total = int(pooled.sum())
    smaller = min(int(baseline.sum()), int(window.sum()))
    need = max(expected * total / smaller, total / _MOST_GROUPS)
    starts, filled = [0], 0
    for cell, count in enumerate(pooled.tolist()):
        if filled >= need:
            starts.append(cell)
            filled = 0
        filled += count
    if filled < need and len(starts) > 1:
        starts.pop()
    return (
        np.add.reduceat(baseline, starts).astype(np.float64),
        np.add.reduceat(window, starts).astype(np.float64),
    )


def _scores(shares: NDArray[np.float64], components: int) -> NDArray[np.float64]:
    """Return orthonormal scores of the cells, shape (cells, components), mean 0."""
    inner = np.cumsum(shares)[:-1].tolist()
    # Mean normal score of a cell: the drop of the density across it over its share.
    heights = np.array([0.0, *(normal_pdf(normal_isf(above)) for above in inner), 0.0])
    rank = 2.0 * np.cumsum(shares) - shares - 1.0
    columns = rank[:, None] ** np.arange(components + 1)
    columns[:, 1] = -np.diff(heights) / shares
    root = np.sqrt(shares)[:, None]
    orthonormal, _ = np.linalg.qr(columns * root)
    return np.asarray(orthonormal[:, 1:] / root, dtype=np.float64)


def _permutation_quantiles(
    pooled: NDArray[np.float64], window: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the normal quantiles of sums of scores over rows drawn without replacement.

    The signed root of the double saddle point with Barndorff-Nielsen's adjustment: rows are drawn
    independently, given how many are drawn.

    Parameters
    ----------
    pooled, window : ndarray of float64, shape (G,)
        Rows with each score, and those of them in the window.
    scores : ndarray of float64, shape (G, K)
        Of mean 0 and mean square 1 over the pooled rows.

    Returns
    -------
    ndarray of float64, shape (K,)
    """
    total, drawn = float(pooled.sum()), float(window.sum())
    rate = drawn / total
    spread = total * rate * (1.0 - rate)
    sums = window @ scores
    sums = np.clip(sums, *_reach(pooled, scores, drawn))
    tilt, shift = _saddle_point(pooled, scores, sums, rate)
    odds = math.log(rate) - math.log1p(-rate)
    share = 1.0 / (1.0 + np.exp(-(scores * tilt + shift + odds)))
    divergence = rate * _divergence((share - rate) / rate)
    divergence += (1.0 - rate) * _divergence((rate - share) / (1.0 - rate))
    root = np.sign(tilt) * np.sqrt(2.0 * (pooled @ divergence))
    weights = pooled[:, None] * share * (1.0 - share)
    by_tilt, both = (weights * scores**2).sum(axis=0), (weights * scores).sum(axis=0)
    determinant = np.maximum(1e-300, by_tilt * weights.sum(axis=0) - both**2)
    # Near the mean the two roots agree and their ratio is rounding noise.
    inner = np.abs(root) < 0.05
    safe = np.where(inner, 1.0, root)
    ratio = np.where(inner, 1.0, tilt * np.sqrt(determinant / spread) / safe)
    adjusted = root + np.log(np.maximum(ratio, 1e-300)) / safe
    plain = sums / math.sqrt(spread * total / (total - 1.0))
    return np.asarray(np.where(inner, plain, adjusted), dtype=np.float64)


def _divergence(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (1 + x) log(1 + x) - x, for x of -1 or more; never negative."""
    exact = (1.0 + change) * np.log1p(np.maximum(change, -1.0 + 2.0**-53)) - change
    small = change * change * (0.5 - change * (1.0 / 6.0 - change / 12.0))
    return np.asarray(np.where(np.abs(change) < 1e-4, small, np.maximum(0.0, exact)))


def _reach(
    pooled: NDArray[np.float64], scores: NDArray[np.float64], drawn: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how small and how large the sums of scores can be, less a little."""
    ends = []
    for order in (np.argsort(scores, axis=0), np.argsort(-scores, axis=0)):
        filled = np.minimum(np.cumsum(pooled[order], axis=0), drawn)
        taken = np.diff(filled, axis=0, prepend=0.0)
        ends.append(_INSIDE * (taken * np.take_along_axis(scores, order, axis=0)).sum(axis=0))
    return ends[0], ends[1]


def _saddle_point(
    pooled: NDArray[np.float64],
    scores: NDArray[np.float64],
    sums: NDArray[np.float64],
    rate: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tilt the draw so that it expects these sums, by damped Newton steps for all scores at once.

    Returns
    -------
    tilt, shift : ndarray of float64, shape (K,)
        Logits of the rows' rates are ``tilt * score + shift + logit(rate)``.
    """
    total = float(pooled.sum())
    odds = math.log(rate) - math.log1p(-rate)
    drawn = rate * total
    tilt = sums / (drawn * (1.0 - rate))
    largest = np.abs(scores).max(axis=0)
    tilt = np.clip(tilt, -1.0 / largest, 1.0 / largest)
    shift = np.zeros_like(tilt)
    for _ in range(_STEPS):
        share = 1.0 / (1.0 + np.exp(-(scores * tilt + shift + odds)))
        expected = pooled[:, None] * share
        weights = expected * (1.0 - share)
        miss = sums - (expected * scores).sum(axis=0)
        excess = drawn - expected.sum(axis=0)
        by_tilt, by_shift = (weights * scores**2).sum(axis=0), weights.sum(axis=0)
        both = (weights * scores).sum(axis=0)
        determinant = np.maximum(1e-300, by_tilt * by_shift - both**2)
        step = (by_shift * miss - both * excess) / determinant
        move = (by_tilt * excess - both * miss) / determinant
        # No logit moves by more than two at a time.
        damp = np.minimum(1.0, 2.0 / np.maximum(1e-300, np.abs(step) * largest + np.abs(move)))
        tilt, shift = tilt + damp * step, shift + damp * move
        if float(np.abs(step * largest).max() + np.abs(move).max()) < 1e-7:
            break
    return tilt, shift
