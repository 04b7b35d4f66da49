"""Two-sample tests on counts: how often a difference is so large if nothing changed.

Both samples are counted in the same cells and both are random; every test here conditions on the
pooled counts, so ties, sparse cells and cells that were chosen from the pooled counts do not make
it invalid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.distances import chi_squared
from driftgauge.drift.special import (
    chi_squared_sf,
    hypergeometric_sf,
    normal_isf,
    weighted_chi_squared_sf,
)

# Expected count from which a cell's share of the chi-squared statistic is close to its limit law.
_ADEQUATE = 5.0
# Components of the Anderson-Darling statistic; those left out weigh 1/9 of it together.
_COMPONENTS = 8
_MOST_GROUPS = 64
# A p-value of 0 has no quantile; nothing downstream distinguishes smaller ones.
_SMALLEST_P = 1e-300
# Of the error probability of an ordered column, what the Anderson-Darling test gets. The rest pays
# for chi-squared, which sees what leaves the order alone, such as a spike at the median.
_ORDERED_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Significance:
    """The outcome of a test."""

    test: Literal["anderson_darling", "chi_squared"]
    statistic: float
    p_value: float


def anderson_darling(baseline: NDArray[np.int64], window: NDArray[np.int64]) -> Significance | None:
    r"""Two-sample Anderson-Darling test on ordered cells, by its components.

    .. math:: T = \sum_{k=1}^{8} \frac{Z_k^2}{k (k + 1)}

    Z_k contrasts the samples' means of the k-th Legendre polynomial of the pooled rank; Z_1 is
    Wilcoxon's test for location, Z_2 tests for scale. For continuous data the infinite sum *is* the
    Anderson-Darling statistic. Here the polynomials are made orthonormal with respect to the
    pooled shares of the cells, so each Z_k has mean 0 and variance 1, and they are uncorrelated,
    under permutation of the rows however the values tie: T has one null distribution for all
    columns.

    Parameters
    ----------
    baseline, window : ndarray of int64, shape (B,)
        Counts in increasing order of value, at least one each. Adjacent cells are merged until
        each expects at least 5 rows of the smaller sample, and to at most 64.

    Returns
    -------
    Significance or None
        None if fewer than three cells remain: there is no order to speak of.

    References
    ----------
    .. [1] Pettitt, A. N. (1976), A two-sample Anderson-Darling rank statistic, Biometrika.
    .. [2] Durbin, J. and Knott, M. (1972), Components of Cramer-von Mises statistics, JRSS B.

    Examples
    --------
    >>> same = anderson_darling(np.full(10, 100), np.full(10, 10))
    >>> round(same.statistic, 12), round(same.p_value, 12)
    (0.0, 1.0)
    >>> anderson_darling(np.full(10, 100), np.arange(0, 20, 2)).p_value < 1e-5
    True
    """
    b, a = merge_adjacent(baseline, window)
    groups = a.shape[0]
    if groups < 3:
        return None
    n, m = float(a.sum()), float(b.sum())
    total = n + m
    pooled = (a + b) / total
    components = min(_COMPONENTS, (groups - 1) // 2 * 2)
    rank = 2.0 * np.cumsum(pooled) - pooled - 1.0
    root = np.sqrt(pooled)
    # Made orthonormal in this order, powers of the rank become the polynomials, up to the sign.
    powers = rank[:, None] ** np.arange(components + 1)
    orthonormal, _ = np.linalg.qr(powers * root[:, None])
    contrast = (a / n - b / m) / root
    z = contrast @ orthonormal[:, 1:] * math.sqrt(n * m * (total - 1.0)) / total
    weights = tuple(1.0 / (k * (k + 1.0)) for k in range(1, components + 1))
    statistic = float((z * z) @ np.array(weights))
    return Significance(
        test="anderson_darling",
        statistic=statistic,
        p_value=weighted_chi_squared_sf(statistic, weights),
    )


def merge_adjacent(
    baseline: NDArray[np.int64], window: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge neighbors until each cell expects enough rows of the smaller sample.

    Parameters
    ----------
    baseline, window : ndarray of int64, shape (B,)
        Counts in increasing order of value.

    Returns
    -------
    baseline, window : ndarray of float64, shape (G,)
        At most 64 merged cells.

    Examples
    --------
    >>> merge_adjacent(np.full(6, 100), np.full(6, 3))[1].tolist()
    [6.0, 6.0, 6.0]
    """
    pooled = baseline + window
    total = int(pooled.sum())
    smaller = min(int(baseline.sum()), int(window.sum()))
    need = max(_ADEQUATE * total / smaller, total / _MOST_GROUPS)
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


def independence(
    baseline: NDArray[np.int64], window: NDArray[np.int64], novel: NDArray[np.bool_]
) -> Significance:
    """Two-sample chi-squared test on cells without an order, valid when cells are sparse.

    Cells that expect at least 5 rows of either sample enter Pearson's statistic. The others
    are pooled: the novel ones (values the baseline hardly has) and the rare ones. A pool
    that expects enough is a cell like any other. One that does not is tested exactly (upper tail of
    the hypergeometric distribution), and the p-value's chi-squared quantile with one degree of
    freedom is added to the statistic. The same is done when two cells are all there is.
    Pools are tested one after the other, each against what is left, so the parts are independent
    and the sum is at most chi-squared in distribution.

    Parameters
    ----------
    baseline, window : ndarray of int64, shape (B,)
        Counts, cells in any order.
    novel : ndarray of bool, shape (B,)
        Which cells are pooled as novel.

    Returns
    -------
    Significance
        With p-value 1 if only one cell is occupied.

    Examples
    --------
    Twenty of a hundred rows hold a value that ten thousand baseline rows never had.

    >>> novel = np.array([False, False, True])
    >>> independence(np.array([5000, 5000, 0]), np.array([40, 40, 20]), novel).p_value < 1e-30
    True
    """
    b, a, exact, freedom = _settle_pools(baseline, window, novel)
    if a.shape[0] == 2:
        statistic, degrees = _two_cells(int(b[0]), int(b[1]), int(a[0]), int(a[1])), 1
    elif a.shape[0] > 2 and a.any() and b.any():
        statistic, degrees = chi_squared(b, a)
    else:
        statistic, degrees = 0.0, 0
    statistic, degrees = statistic + exact, degrees + freedom
    return Significance(
        test="chi_squared",
        statistic=statistic,
        p_value=chi_squared_sf(statistic, degrees) if degrees else 1.0,
    )


def _settle_pools(
    baseline: NDArray[np.int64], window: NDArray[np.int64], novel: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], float, int]:
    """Return the cells that remain, and statistic and freedom of the pools tested exactly."""
    n, m = int(window.sum()), int(baseline.sum())
    total = n + m
    pooled = baseline + window
    need = _ADEQUATE * total / min(n, m)
    adequate = (pooled >= need) & ~novel
    cells_b, cells_a = [baseline[adequate]], [window[adequate]]
    exact, freedom = 0.0, 0
    for pool in (novel, ~adequate & ~novel):
        there, here = int(baseline[pool].sum()), int(window[pool].sum())
        both = there + here
        if both >= need:
            cells_b.append(np.array([there]))
            cells_a.append(np.array([here]))
        elif both:
            exact += _quantile(hypergeometric_sf(here, both, n, total))
            freedom += 1
            n, total = n - here, total - both
    return np.concatenate(cells_b), np.concatenate(cells_a), exact, freedom


def _two_cells(b0: int, b1: int, a0: int, a1: int) -> float:
    """Return the chi-squared quantile of the two-sided exact p-value of a 2 x 2 table."""
    drawn, total = a0 + a1, a0 + a1 + b0 + b1
    upper = hypergeometric_sf(a0, a0 + b0, drawn, total)
    lower = hypergeometric_sf(a1, a1 + b1, drawn, total)
    return _quantile(2.0 * min(upper, lower))


def _quantile(p_value: float) -> float:
    """Return the value a chi-squared variable of one degree of freedom exceeds so rarely."""
    if p_value >= 1.0:
        return 0.0
    return normal_isf(max(p_value, _SMALLEST_P) / 2.0) ** 2


def combine(ordered: Significance | None, cells: Significance) -> Significance:
    """Decide between the tests of one column: the one with the stronger evidence speaks.

    Bonferroni's inequality with unequal shares: the p-value of the Anderson-Darling test is
    divided by 0.9, that of the chi-squared test by 0.1, and the smaller is valid.

    Examples
    --------
    >>> ordered = Significance(test="anderson_darling", statistic=6.0, p_value=0.0009)
    >>> cells = Significance(test="chi_squared", statistic=9.0, p_value=0.5)
    >>> combine(ordered, cells).p_value
    0.001
    """
    if ordered is None:
        return cells
    candidates = (
        (ordered.p_value / _ORDERED_SHARE, ordered),
        (cells.p_value / (1.0 - _ORDERED_SHARE), cells),
    )
    p_value, chosen = min(candidates, key=lambda candidate: candidate[0])
    return Significance(test=chosen.test, statistic=chosen.statistic, p_value=min(1.0, p_value))
