r"""Bounds of a share and of a mean that hold however often one looks.

For h hits in n trials the evidence against a share p is the likelihood ratio of all other shares,
mixed uniformly, to p:

.. math:: E(p) = \frac{B(h + 1, n - h + 1)}{p^h (1 - p)^{n - h}}

If p is the share, the chance that E(p) ever reaches 1 / alpha is at most alpha (Ville's
inequality): exact, for any number of trials.
"""

from __future__ import annotations

import math

from driftgauge.profile.exact import UNIT_BITS, ratio_to_float

_HALVINGS = 60


def log_evidence(hits: int, trials: int, share: float) -> float:
    """Return log E, the evidence against a share.

    Examples
    --------
    >>> round(log_evidence(70, 100, 0.5), 3)
    6.058
    """
    misses = trials - hits
    if (hits and share <= 0.0) or (misses and share >= 1.0):
        return math.inf
    likely = (hits * math.log(share) if hits else 0.0) + (
        misses * math.log1p(-share) if misses else 0.0
    )
    return (
        math.lgamma(hits + 1.0) + math.lgamma(misses + 1.0) - math.lgamma(trials + 2.0)
    ) - likely


def proportion_bounds(hits: int, trials: int, alpha: float) -> tuple[float, float]:
    """Return a confidence sequence of a share at one look, two-sided.

    Examples
    --------
    >>> low, high = proportion_bounds(950, 1000, 0.05)
    >>> round(low, 4), round(high, 4)
    (0.9198, 0.9718)
    >>> proportion_bounds(0, 0, 0.05)
    (0.0, 1.0)
    """
    threshold = -math.log(alpha)
    center = hits / trials if trials else 0.5

    def bound(end: float) -> float:
        inside, outside = center, end
        if log_evidence(hits, trials, end) < threshold:
            return end
        for _ in range(_HALVINGS):
            middle = 0.5 * (inside + outside)
            if log_evidence(hits, trials, middle) < threshold:
                inside = middle
            else:
                outside = middle
        return outside

    return bound(0.0), bound(1.0)


def mean_bounds(
    *, total: int, squares: int, rows: int, alpha: float, tuned_for: int
) -> tuple[float, float] | None:
    r"""Return an asymptotic confidence sequence of a mean at one look, two-sided.

    .. math:: \hat\mu \pm \hat\sigma
        \sqrt{\frac{2 (n \rho^2 + 1)}{n^2 \rho^2} \log \frac{\sqrt{n \rho^2 + 1}}{\alpha}}

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and
    asymptotic confidence sequences", Annals of Statistics 52(6), 2024, theorem 2.2, with rho as in
    its equation (7).

    Parameters
    ----------
    total, squares : int
        Sums of the values and of their squares, in units of 2**-1074.
    rows : int
        Number of values.
    tuned_for : int
        Number of values for which the bounds are narrowest.

    Returns
    -------
    tuple of float, or None
        None below two rows.

    Examples
    --------
    >>> one = 1 << UNIT_BITS
    >>> low, high = mean_bounds(total=0, squares=10_000 * one, rows=10_000, alpha=0.05,
    ...                         tuned_for=10_000)
    >>> round(low, 4), round(high, 4)
    (-0.0304, 0.0304)
    """
    if rows < 2:
        return None
    mean = ratio_to_float(total, rows << UNIT_BITS)
    exact = (rows * squares << UNIT_BITS) - total * total
    variance = ratio_to_float(max(0, exact), (rows * (rows - 1)) << (2 * UNIT_BITS))
    width = math.sqrt(variance) * _mixture_width(rows, alpha, tuned_for)
    return mean - width, mean + width


def _mixture_width(rows: int, alpha: float, tuned_for: int) -> float:
    """Return the half width of the confidence sequence, in standard deviations."""
    surprise = -2.0 * math.log(alpha)
    rho2 = (surprise + math.log(surprise + 1.0)) / tuned_for
    grown = rows * rho2 + 1.0
    return math.sqrt(2.0 * grown / (rows * rows * rho2) * (0.5 * math.log(grown) - math.log(alpha)))
