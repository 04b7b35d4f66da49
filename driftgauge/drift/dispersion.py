"""Dispersion: how many times more windows vary than independent rows would.

Traffic comes in clusters (a customer's calls, a day's weather), and windows may be alike for a
while. Both make the mean of some windows vary more than its rows say. How much more is learnt from
differences between neighbors: of single windows, and of the means of 2, 4 and 8 windows in a row,
which differ more per row if windows do not vary independently. A lasting shift takes part in
one such difference, which is bounded, and left out when that very shift is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.scores import ScoreLayout

Floats = NDArray[np.float64]

SPANS: Final = (1, 2, 4, 8)
# Pairs' worth of belief in what all aspects have in common: their dispersion, and its growth.
_PRIOR_PAIRS: Final = 4.0
_COMMON_PAIRS: Final = 16.0
# A squared difference counts at most so many times its expectation: a change is no noise.
LARGEST_RATIO: Final = 9.0
MEDIAN_OF_CHI_SQUARED: Final = 0.4549364231195724
# Pairs from which a median says something.
_FEW: Final = 4
# Expected rows and counter-rows of a share in a window, from which its variance is typical.
_DENSE: Final = 5.0
# Degrees of freedom that aspects lend each other at most, and at most twice their own: columns
# go together, so that many alike ones may say little more than one.
_MOST_LENT: Final = 48.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """What is remembered of windows that are no longer known one by one.

    Attributes
    ----------
    ratios : ndarray of float64, shape (spans, A)
        Sums of squared differences of neighbors over their variance for independent rows.
    pairs : ndarray of float64, shape (spans, A)
        How many they are.
    """

    ratios: Floats
    pairs: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Dispersion:
    """Estimates by possible change and aspect, shape (K, A).

    Attributes
    ----------
    factor : ndarray of float64
        For means over many windows, at least 1.
    freedom : ndarray of float64
        Degrees of freedom of the estimate.
    single : ndarray of float64
        For single windows, by neighbors, times how much more windows eight apart differ than
        neighbors do in common; may be below 1.
    """

    factor: Floats
    freedom: Floats
    single: Floats


def neighbor_ratios(
    layout: ScoreLayout,
    sums: Floats,
    rows: Floats,
    deviation: Floats,
    *,
    span: int = 1,
    lag: int = 1,
) -> Floats:
    """Return squared differences of neighboring means over their variance.

    Parameters
    ----------
    layout : ScoreLayout
        Of the sums.
    sums, rows : ndarray of float64, shapes (E, S) and (E,)
        Windows in order of time.
    deviation : ndarray of float64, shape (A,)
        Standard deviation of a score.
    span : int
        Each mean is over so many windows, without overlap.
    lag : int
        How many means further the neighbor is.

    Returns
    -------
    ndarray of float64, shape (E // span - lag, A)
        Expected to be the dispersion. Not a number where a mean has no value.
    """
    groups = rows.shape[0] // span
    used = groups * span
    sums = sums[:used].reshape(groups, span, sums.shape[1]).sum(axis=1)
    counts = layout.denominators(sums, rows[:used].reshape(groups, span).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums[:, : counts.shape[1]] / counts
        variance = (1.0 / counts[lag:] + 1.0 / counts[:-lag]) * deviation**2
        return np.asarray((means[lag:] - means[:-lag]) ** 2 / variance, dtype=np.float64)


def estimate_dispersion(
    layout: ScoreLayout,
    sums: Floats,
    rows: Floats,
    deviation: Floats,
    *,
    past: Past,
    changes: NDArray[np.intp],
) -> Dispersion:
    """Estimate the dispersion of each aspect, for each possible change.

    Each aspect's own pairs are added to a prior: at span 1 what all aspects have in common, at
    longer spans its own estimate of the shorter span, times the growth that all have in common.
    The largest estimate holds, times what the common growth promises beyond the longest span.

    Parameters
    ----------
    layout : ScoreLayout
        Of the sums.
    sums, rows : ndarray of float64, shapes (E, S) and (E,)
        Individually known windows in order of time.
    deviation : ndarray of float64, shape (A,)
        Standard deviation of a score.
    past : Past
        Older windows.
    changes : ndarray of intp, shape (K,)
        Positions among the windows before which there may be a change; pairs on both sides of it
        are left out. Zero or less: none is.
    """
    dense = _dense(layout, sums, rows, deviation)
    estimate = np.ones((changes.shape[0], len(layout.aspects)))
    factor = single = freedom = estimate
    common, growth = 1.0, 1.0
    commons = []
    for level, span in enumerate(SPANS):
        ratios = neighbor_ratios(layout, sums, rows, deviation, span=span)
        expected = common * growth
        ratios = np.minimum(ratios, LARGEST_RATIO * np.maximum(_typical(ratios), expected))
        before = common
        common = _common(ratios, dense, past.ratios[level], past.pairs[level], prior=expected)
        growth = common / before if level else 1.0
        commons.append(common)
        begin = np.arange(ratios.shape[0]) * span
        within = ((changes[:, None] <= begin) | (changes[:, None] >= begin + 2 * span)).astype(
            np.float64
        )
        total = within @ np.nan_to_num(ratios) + past.ratios[level]
        pairs = within @ (~np.isnan(ratios)).astype(np.float64) + past.pairs[level]
        weight = _PRIOR_PAIRS if level == 0 else _COMMON_PAIRS
        prior = estimate * (common if level == 0 else growth)
        estimate = (weight * prior + total) / (weight + pairs)
        if level == 0:
            # Neighboring differences share a window: three of them are worth two.
            own = _PRIOR_PAIRS + pairs * 2.0 / 3.0
            freedom = own + _lent(estimate, own, dense)
            single = factor = estimate
        factor = np.maximum(factor, estimate)
    # Means over ever more windows approach their limit as 1 / span.
    beyond = max(1.0, 2.0 - commons[-2] / commons[-1])
    distant = neighbor_ratios(layout, sums, rows, deviation, lag=SPANS[-1])
    distant = np.minimum(distant, LARGEST_RATIO * np.maximum(_typical(distant), commons[0]))
    nothing = np.zeros(len(layout.aspects))
    apart = _common(distant, dense, nothing, nothing, prior=commons[0]) / commons[0]
    return Dispersion(
        factor=np.maximum(1.0, factor * beyond),
        freedom=freedom,
        single=single * max(1.0, apart),
    )


def cautious(factors: Floats, freedom: Floats) -> Floats:
    """Return dispersions that are safe to divide a statistic by as if they were known.

    A deviate over an estimated standard deviation follows Student's t law. What exceeds 1 is
    enlarged by the square of how much farther out that law has its quantile of 0.001 than the
    normal law.

    Parameters
    ----------
    factors, freedom : ndarray of float64, shape (A,)
        Estimates and their degrees of freedom.

    References
    ----------
    .. [1] Fisher, R. A. and Cornish, E. A. (1960), The percentile points of distributions having
       known cumulants, Technometrics.

    Examples
    --------
    With 12 degrees of freedom the quantile is 4.32 instead of 3.29.

    >>> float(np.round(cautious(np.array([1.0, 101.0]), np.array([12.0, 12.0])), 0)[1])
    170.0
    """
    z = 3.2905267314919255
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    ratio = 1.0 + (first / freedom + second / freedom**2) / z
    excess = np.maximum(0.0, factors - 1.0)
    return np.asarray(factors + excess * (ratio**2 - 1.0), dtype=np.float64)


def _dense(layout: ScoreLayout, sums: Floats, rows: Floats, deviation: Floats) -> NDArray[np.bool_]:
    """Tell which aspects have enough rows of either kind in a typical window."""
    if rows.shape[0] == 0:
        return np.zeros(len(layout.aspects), dtype=np.bool_)
    counts = layout.denominators(sums, rows).mean(axis=0)
    return np.asarray(~layout.share | (counts * deviation**2 >= _DENSE), dtype=np.bool_)


def _typical(ratios: Floats) -> Floats:
    """Return the typical size of ratios by their median, at least 1, shape (A,)."""
    if ratios.shape[0] < _FEW:
        return np.ones(ratios.shape[1])
    middle = np.median(np.nan_to_num(ratios), axis=0)
    return np.asarray(np.maximum(1.0, middle / MEDIAN_OF_CHI_SQUARED), dtype=np.float64)


def _common(
    ratios: Floats, dense: NDArray[np.bool_], past: Floats, past_pairs: Floats, *, prior: float
) -> float:
    """Return what the aspects have in common: the median of their means.

    One aspect that differs from all others, such as the weekday's in windows of a day, moves no
    median. That of chi-squared means lies below their mean (Wilson and Hilferty 1931).
    """
    if not dense.any():
        return prior
    now = ratios[:, dense]
    total = np.nansum(now, axis=0) + past[dense]
    pairs = np.count_nonzero(~np.isnan(now), axis=0) + past_pairs[dense]
    known = float(pairs.mean())
    if not known:
        return prior
    middle = float(np.median(total / np.maximum(1.0, pairs)))
    # Neighboring differences share a window: three of them are worth two.
    middle /= (1.0 - 2.0 / (9.0 * max(1.0, known * 2.0 / 3.0))) ** 3
    return (prior + known * middle) / (1.0 + known)


def _lent(estimate: Floats, own: Floats, dense: NDArray[np.bool_]) -> Floats:
    """Return the degrees of freedom that alike aspects lend each other, shape (K, A).

    If their estimates differ by no more than chance, they have one dispersion, known from all
    together; see Smyth (2004), Linear models and empirical Bayes methods.
    """
    if np.count_nonzero(dense) < _FEW:
        return np.zeros_like(own)
    logarithms = np.log(np.maximum(estimate[:, dense], 1e-3))
    freedom = own[:, dense]
    chance = (2.0 / freedom + 2.0 / freedom**2).mean(axis=1)
    excess = logarithms.var(axis=1, ddof=1) - chance
    lent = 2.0 / np.maximum(excess, 2.0 / _MOST_LENT)
    return np.asarray(np.minimum(lent[:, None], 2.0 * own), dtype=np.float64)
