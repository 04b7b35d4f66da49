"""Two-sample tests on counts: how often a difference is so large if nothing changed.

Both samples are counted in the same cells and both are random; every test here conditions on the
pooled counts, so sparse cells and cells that were chosen from the pooled counts do not make it
invalid. Tests on ordered cells are in ``driftgauge.drift.ordered``.

Where rows come in clusters, statistics are divided by the *dispersion*, the factor by which
the variance between windows exceeds that of independent rows (Rao and Scott's first-order
correction). An exact p-value is turned into the chi-squared quantile of one degree of freedom
before, which treats clusters as single rows: for rare rows, too, the exponent of the chance is
divided by their size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.distances import chi_squared
from driftgauge.drift.special import (
    chi_squared_sf,
    fisher_p_value,
    hypergeometric_pmf,
    hypergeometric_sf,
    normal_isf,
)

# Expected count from which a cell is tested by itself.
_ADEQUATE = 5.0
# Expected count from which a cell's share of the chi-squared statistic is close to its limit law
# far out in the tail; below it a cell is tested exactly.
_PLENTY = 10.0
# A p-value of 0 has no quantile; nothing downstream distinguishes smaller ones.
_SMALLEST_P = 1e-300
# Where a p-value is closer to one, its Cauchy quantile would outweigh everything else.
_LARGEST_P = 0.99


@dataclass(frozen=True, kw_only=True)
class Significance:
    """The outcome of a test."""

    test: Literal["anderson_darling", "mood", "chi_squared", "novelty"]
    statistic: float
    p_value: float


def independence(
    baseline: NDArray[np.int64],
    window: NDArray[np.int64],
    novel: NDArray[np.bool_],
    *,
    dispersion: float = 1.0,
) -> Significance:
    """Two-sample chi-squared test on cells without an order, valid when cells are sparse.

    Cells that expect at least 5 rows of either sample are tested by themselves. The others are
    pooled: the novel ones (values the baseline hardly has) and the rare ones. Pools, and cells
    that expect fewer than 10 rows, are tested exactly (hypergeometric distribution, two-sided
    mid-p; a pool that expects fewer than 5 rows by its upper tail), one after the other and
    each against what is left, so that the tests are independent. The chi-squared quantile of each
    p-value, with one degree of freedom, is added to Pearson's statistic of the other cells. The
    last two cells are tested exactly, too.

    Parameters
    ----------
    baseline, window : ndarray of int64, shape (B,)
        Counts, cells in any order.
    novel : ndarray of bool, shape (B,)
        Which cells are pooled as novel.
    dispersion : float, default 1.0
        How many times the variance of independent rows: the statistic is divided by it, and cells
        must expect so many times the rows.

    Returns
    -------
    Significance
        With p-value 1 if only one cell is occupied.

    References
    ----------
    .. [1] Lancaster, H. O. (1949), The derivation and partition of chi-squared in certain
       discrete distributions, Biometrika.

    Examples
    --------
    Twenty of a hundred rows hold a value that ten thousand baseline rows never had.

    >>> novel = np.array([False, False, True])
    >>> independence(np.array([5000, 5000, 0]), np.array([40, 40, 20]), novel).p_value < 1e-30
    True
    """
    b, a, exact, freedom = _settle_sparse(baseline, window, novel, dispersion)
    if a.shape[0] == 2:
        both = int(a[0] + b[0])
        statistic = _quantile(fisher_p_value(int(a[0]), both, int(a.sum()), int((a + b).sum())))
        degrees = 1
    elif a.shape[0] > 2 and a.any() and b.any():
        statistic, degrees = chi_squared(b, a)
    else:
        statistic, degrees = 0.0, 0
    statistic, degrees = (statistic + exact) / dispersion, degrees + freedom
    return Significance(
        test="chi_squared",
        statistic=statistic,
        p_value=chi_squared_sf(statistic, degrees) if degrees else 1.0,
    )


def _settle_sparse(
    baseline: NDArray[np.int64],
    window: NDArray[np.int64],
    novel: NDArray[np.bool_],
    dispersion: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], float, int]:
    """Return the cells that remain, and statistic and freedom of those tested exactly."""
    n, m = int(window.sum()), int(baseline.sum())
    total = n + m
    pooled = baseline + window
    unit = dispersion * total / min(n, m)
    adequate = (pooled >= _ADEQUATE * unit) & ~novel
    cells = list(zip(baseline[adequate].tolist(), window[adequate].tolist(), strict=True))
    exact, freedom = 0.0, 0
    for pool in (novel, ~adequate & ~novel):
        there, here = int(baseline[pool].sum()), int(window[pool].sum())
        both = there + here
        if both >= _ADEQUATE * unit:
            cells.append((there, here))
        elif both:
            exact += _quantile(hypergeometric_sf(here, both, n, total))
            freedom += 1
            n, total = n - here, total - both
    cells.sort(key=sum)
    while len(cells) > 2 and sum(cells[0]) < _PLENTY * unit:
        there, here = cells.pop(0)
        both = there + here
        exact += _quantile(_mid_p(here, both, n, total))
        freedom += 1
        n, total = n - here, total - both
    kept = np.array(cells, dtype=np.int64).reshape(-1, 2)
    return kept[:, 0], kept[:, 1], exact, freedom


def _mid_p(k: int, marked: int, drawn: int, total: int) -> float:
    """Return the two-sided mid-p-value: of its own chance, the observed outcome counts half."""
    half = hypergeometric_pmf(k, marked, drawn, total) / 2.0
    upper = hypergeometric_sf(k, marked, drawn, total) - half
    lower = hypergeometric_sf(drawn - k, total - marked, drawn, total) - half
    return min(1.0, 2.0 * min(upper, lower))


def novelty(
    baseline: NDArray[np.int64],
    window: NDArray[np.int64],
    novel: NDArray[np.bool_],
    *,
    dispersion: float = 1.0,
) -> Significance | None:
    """Test exactly whether the window has more values than expected that the baseline lacks.

    They are part of ``independence``, too, where all other cells dilute them.

    Parameters
    ----------
    baseline, window, novel, dispersion
        As in :func:`independence`.

    Returns
    -------
    Significance or None
        The statistic is the chi-squared quantile of the p-value. None if no row of the window is
        novel.

    Examples
    --------
    >>> novel = np.array([False, True])
    >>> found = novelty(np.array([9999, 1]), np.array([97, 3]), novel)
    >>> f"{found.p_value:.1e}"
    '3.7e-06'
    """
    here, there = int(window[novel].sum()), int(baseline[novel].sum())
    if here == 0:
        return None
    n, m = int(window.sum()), int(baseline.sum())
    statistic = _quantile(hypergeometric_sf(here, here + there, n, n + m)) / dispersion
    return Significance(test="novelty", statistic=statistic, p_value=chi_squared_sf(statistic, 1))


def share_p_value(
    here: int, rows: int, there: int, baseline_rows: int, *, dispersion: float = 1.0
) -> float:
    """Return how often two shares differ so much by chance: two-sided, exact.

    Parameters
    ----------
    here, rows : int
        Such rows of the window, of all its rows.
    there, baseline_rows : int
        The same of the baseline.
    dispersion : float, default 1.0
        How many times the variance of independent rows.

    Examples
    --------
    >>> round(share_p_value(8, 100, 300, 10_000), 4)
    0.0112
    """
    p_value = fisher_p_value(here, here + there, rows, rows + baseline_rows)
    if dispersion == 1.0:
        return p_value
    return chi_squared_sf(_quantile(p_value) / dispersion, 1)


def _quantile(p_value: float) -> float:
    """Return the value a chi-squared variable of one degree of freedom exceeds so rarely."""
    if p_value >= 1.0:
        return 0.0
    return normal_isf(max(p_value, _SMALLEST_P) / 2.0) ** 2


def combine(tests: Sequence[tuple[float, Significance]]) -> Significance:
    r"""Make one p-value of the tests of one column; the one with the strongest evidence speaks.

    Cauchy's combination: for shares :math:`w_i` that add up to 1 (to less, if a test could find
    nothing),

    .. math:: p = \tfrac12 - \tfrac1\pi \arctan \sum_i w_i \cot(\pi p_i)

    Its tail is that of one test however the tests depend on each other; where tests agree, it
    is smaller than Bonferroni's :math:`\min p_i / w_i`.

    Parameters
    ----------
    tests : sequence of (float, Significance)
        Each with its share of the error probability; one at least.

    References
    ----------
    .. [1] Liu, Y. and Xie, J. (2020), Cauchy combination test, JASA.

    Examples
    --------
    >>> order = Significance(test="anderson_darling", statistic=6.0, p_value=0.0009)
    >>> cells = Significance(test="chi_squared", statistic=9.0, p_value=0.5)
    >>> found = combine([(0.9, order), (0.1, cells)])
    >>> found.test, round(found.p_value, 6)
    ('anderson_darling', 0.001)
    """
    share, chosen = min(tests, key=lambda test: test[1].p_value / test[0])
    if len(tests) == 1:
        p_value = min(1.0, chosen.p_value / share)
    elif all(found.p_value >= _LARGEST_P for _, found in tests):
        p_value = max(found.p_value for _, found in tests)
    else:
        p_value = _cauchy([(share, found.p_value) for share, found in tests])
    return Significance(test=chosen.test, statistic=chosen.statistic, p_value=p_value)


def _cauchy(tests: Sequence[tuple[float, float]]) -> float:
    total = sum(
        share / math.tan(math.pi * min(max(p_value, _SMALLEST_P), _LARGEST_P))
        for share, p_value in tests
    )
    return math.atan2(1.0, total) / math.pi
