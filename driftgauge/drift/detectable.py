"""The smallest shift that a window of some size can show."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from driftgauge.drift.special import (
    chi_squared_sf,
    noncentrality_for,
    normal_isf,
    normal_pdf,
    weighted_chi_squared_sf,
)

# How often the shift is to be found.
_POWER = 0.9
# The weights of ``ordered.order_tests``.
_WEIGHTS = tuple(1.0 / (k * (k + 1.0)) for k in range(1, 9))


@lru_cache(maxsize=4096)
def detectable_shift(
    *,
    baseline_rows: int,
    window_rows: int,
    cells: int,
    ordered: bool,
    level: float,
    min_effect: float,
    dispersion: float = 1.0,
) -> float:
    r"""Return the shift of the mean, in standard deviations, that nine of ten windows show.

    Both conditions of a drift have to hold. For the test of an ordered column, a shift of d
    moves the first component to :math:`d / \sqrt c`, with :math:`c = D (1/n + 1/m)`; the
    others add their mean to the statistic. The test of a column without an order is noncentral
    chi-squared with :math:`\lambda = w^2 / c`, and so is the effect with :math:`\lambda = PSI / c`.

    Parameters
    ----------
    baseline_rows, window_rows : int
        Sample sizes m and n, at least one each.
    cells : int
        Cells of the effect, and of the test without an order.
    ordered : bool
        Whether the column is tested for order.
    level : float
        Largest p-value, before correction, that is significant.
    min_effect : float
        Smallest effect that is worth an alarm, in nats.
    dispersion : float, default 1.0
        D: how many times the variance of independent rows.

    Returns
    -------
    float
        For an ordered column as if it were normal. For other columns Cohen's w: the shift of
        the mean of that score of the categories which moves furthest, in the baseline's standard
        deviations of the score. (Of a yes or no, the change of the share over
        sqrt(p (1 - p)).)

    References
    ----------
    .. [1] Cohen, J. (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 7.

    Examples
    --------
    >>> round(detectable_shift(
    ...     baseline_rows=10_000, window_rows=100, cells=10, ordered=True, level=0.01 / 20,
    ...     min_effect=0.02,
    ... ), 2)
    0.48
    """
    unit = dispersion * (1.0 / window_rows + 1.0 / baseline_rows)
    degrees = max(1, cells - 1)
    # The effect is the index less (B - 1) c.
    needed = noncentrality_for(min_effect / unit + degrees, degrees, _POWER) * unit
    if ordered:
        limit = _quantile(level, lambda x: weighted_chi_squared_sf(x, _WEIGHTS))
        rest = sum(_WEIGHTS[1:])
        first = math.sqrt(max(0.0, (limit - rest) / _WEIGHTS[0]))
        significant = (first + normal_isf(1.0 - _POWER)) * math.sqrt(unit)
        return max(significant, math.sqrt(needed / _information(degrees + 1)))
    limit = _quantile(level, lambda x: chi_squared_sf(x, degrees))
    significant = math.sqrt(noncentrality_for(limit, degrees, _POWER) * unit)
    return max(significant, math.sqrt(needed))


def _quantile(level: float, survival: Callable[[float], float]) -> float:
    """Return where a falling function reaches a level."""
    low, high = 0.0, 1.0
    while survival(high) > level:
        low, high = high, 2.0 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2.0
        low, high = (middle, high) if survival(middle) > level else (low, middle)
    return high


def _information(cells: int) -> float:
    """Return what cells of equal share keep of a normal column's information on its mean.

    It is the index of a small shift, over that shift's square: 0.957 for ten cells.
    """
    heights = [0.0, *(normal_pdf(normal_isf(k / cells)) for k in range(1, cells)), 0.0]
    return cells * sum((b - a) ** 2 for a, b in pairwise(heights))
