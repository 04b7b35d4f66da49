"""Confidence intervals of distances between populations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from driftgauge.drift.distances import psi, shares
from driftgauge.drift.special import noncentrality_for


def psi_interval(
    baseline: ArrayLike,
    window: ArrayLike,
    *,
    baseline_rows: float,
    window_rows: float,
    dispersion: float = 1.0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    r"""Return a confidence interval of the populations' stability index, in nats.

    The index of two samples, divided by its unit :math:`c = D (1/n + 1/m)`, is about
    noncentral chi-squared with B - 1 degrees of freedom and noncentrality PSI / c, PSI being that
    of the populations. The interval holds every PSI that does not make the observed index one of
    the 2.5 % smallest or largest. Far from the baseline the index varies more than this law:
    there the unit grows until the variance is that of the delta method.

    Parameters
    ----------
    baseline, window : array_like, shape (B,)
        Counts; half a count is added to each.
    baseline_rows, window_rows : float
        Sample sizes m and n.
    dispersion : float, default 1.0
        D: how many times the variance of independent rows.
    confidence : float, default 0.95
        How often such intervals hold the truth.

    Returns
    -------
    low, high : float
        ``low`` is 0 where the samples might stem from one population. With a single cell both
        are 0.

    References
    ----------
    .. [1] Yurdakul, B. (2018), Statistical properties of population stability index,
       dissertation 3208, Western Michigan University.

    Examples
    --------
    >>> low, high = psi_interval([500, 500], [60, 40], baseline_rows=1000, window_rows=100)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.164)
    """
    p = shares(np.asarray(baseline, dtype=np.float64) + 0.5)
    q = shares(np.asarray(window, dtype=np.float64) + 0.5)
    degrees = p.shape[0] - 1
    if degrees < 1:
        return 0.0, 0.0
    distance = psi(baseline, window)
    unit = dispersion * (1.0 / window_rows + 1.0 / baseline_rows)
    if distance > 0.0:
        # How the index changes with each share of the window, and of the baseline.
        log_ratio = np.log(q / p)
        by_window, by_baseline = log_ratio - p / q, log_ratio + q / p
        variance = float(q @ by_window**2 - (q @ by_window) ** 2) / window_rows
        variance += float(p @ by_baseline**2 - (p @ by_baseline) ** 2) / baseline_rows
        unit = max(unit, dispersion * variance / (4.0 * distance))
    tail = (1.0 - confidence) / 2.0
    return (
        unit * noncentrality_for(distance / unit, degrees, tail),
        unit * noncentrality_for(distance / unit, degrees, 1.0 - tail),
    )
