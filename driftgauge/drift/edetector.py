r"""E-detectors: how much evidence of a lasting change a sequence of windows holds.

For each window k there is an e-process M_k: its expectation is at most 1 as long as nothing
changes, whenever one looks, and it grows once the windows after k have another mean than the
baseline and the windows up to k. Their sum is the Shiryaev-Roberts e-detector [1]_:

.. math:: SR_t = \sum_{k < t} M_k(t), \qquad E[SR_t | past] \le SR_{t-1} + 1

so SR_t - t is a supermartingale and E[SR_T] <= E[T] for every stopping time T. An alarm at the
first SR_T >= N therefore comes after at least N windows on average. Averages of e-detectors are
e-detectors, however they depend on each other: that is how aspects and columns go together.

The mean before the change is not known, only estimated by n0 rows. With a flat prior on it, the
likelihood ratio of a shift by d for n1 later rows depends on the data through the difference D of
the means alone, and is

.. math:: \exp(V (d D - d^2 / 2)), \qquad V = \frac{n_0 n_1}{(n_0 + n_1) \sigma^2}

which is a martingale in the differences between rows, whatever the true mean is (the flat prior is
the right Haar measure of translation [2]_): the baseline's error is paid for exactly, and cannot
add up to an alarm. The alternative's d is a mixture over a grid of sizes.

References
----------
.. [1] Shin, J., Ramdas, A. and Rinaldo, A. (2022), E-detectors: a nonparametric framework for
   sequential change detection, arXiv:2203.03532.
.. [2] Hendriksen, A., de Heide, R. and Gruenwald, P. (2021), Optional stopping with Bayes factors,
   Bayesian Analysis.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.scores import ScoreLayout

Floats = NDArray[np.float64]

# Sizes of the shift beyond the tolerated one, in standard deviations, a factor of 1.5 apart,
# and what each weighs: one window shows the large ones anyway.
_SIZES = 0.02 * 1.5 ** np.arange(12)
_WEIGHTS = 0.8 ** np.arange(12)
# Counts added to a share, so that what never happened yet is not impossible.
_PSEUDO_COUNT = 0.5


def pooled_deviation(layout: ScoreLayout, sums: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return standard deviation and skewness of each aspect's score, each of shape (A,).

    Scores of ordered columns have deviation 1 by construction. That of a share follows from the
    baseline and all windows together, with half a count added.
    """
    aspects = len(layout.aspects)
    vectors = np.vstack([layout.baseline, sums])
    counts = layout.denominators(vectors, np.append(layout.baseline_rows, rows)).sum(axis=0)
    # Sums are rounded to float32, so that a large one may exceed its count.
    hits = np.clip(vectors[:, :aspects].sum(axis=0), 0.0, counts)
    share = (hits + _PSEUDO_COUNT) / (counts + 2 * _PSEUDO_COUNT)
    share = np.where(layout.share, share, 0.5)
    deviation = np.sqrt(share * (1.0 - share))
    return (
        np.where(layout.share, deviation, 1.0),
        np.where(layout.share, (1.0 - 2.0 * share) / deviation, layout.skewness),
    )


def differences(layout: ScoreLayout, sums: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Compare the means before and after each possible change.

    Parameters
    ----------
    layout : ScoreLayout
        Of the sums.
    sums : ndarray of float64, shape (E, S)
        Vectors of E entries (windows, or blocks of them) in order of time.
    rows : ndarray of float64, shape (E,)
        Their rows.

    Returns
    -------
    shift : ndarray of float64, shape (E, A)
        Mean over the entries from k on, less that of the baseline and the entries before k.
    precision : ndarray of float64, shape (E, A)
        n0 n1 / (n0 + n1); 0 where there is nothing to compare.
    """
    aspects = len(layout.aspects)
    counts = layout.denominators(sums, rows)
    start = layout.denominators(layout.baseline[None], np.array([float(layout.baseline_rows)]))[0]
    values = sums[:, :aspects]
    total = start + counts.sum(axis=0)
    later = np.cumsum(counts[::-1], axis=0)[::-1]
    earlier = total - later
    value_later = np.cumsum(values[::-1], axis=0)[::-1]
    value_earlier = layout.baseline[:aspects] + values.sum(axis=0) - value_later
    shift = value_later / np.maximum(later, 1.0) - value_earlier / np.maximum(earlier, 1.0)
    return shift, np.where(start > 0, earlier * later / np.maximum(total, 1.0), 0.0)


def log_processes(
    shift: Floats,
    precision: Floats,
    skewness: Floats,
    *,
    freedom: Floats,
    min_shift: float,
) -> Floats:
    r"""Return the logarithm of each M_k.

    Against the alternative that the mean moved by ``min_shift`` + d, for each d of a grid and
    either direction, stands the hypothesis that it moved by at most ``min_shift``. Instead of the
    normal likelihood ratio that of a Poisson count of the same skewness g is taken,

    .. math:: \exp(V ((1/g + x) \log(1 + g d) / g - d / g)), \qquad x = |D| - min\_shift

    (towards the normal one, as g goes to 0): it is a supermartingale for rare events too, whose
    counts in small windows have a far heavier upper tail than the normal law. In the direction of
    the lighter tail the normal one is safe.

    Parameters
    ----------
    shift : ndarray of float64, shape (E, A)
        Differences in standard deviations.
    precision : ndarray of float64, shape (E, A)
        1 / variance of the differences.
    skewness : ndarray of float64, shape (A,)
        Of the scores.
    freedom : ndarray of float64, shape (A,)
        Degrees of freedom of the estimated variance: a difference counts as the normal one that
        has the same likelihood ratio as a difference in a Student t distribution.
    min_shift : float
        The tolerated shift, in standard deviations.
    """
    # An expectation of at most 1 is kept by taking only the side on which the difference lies:
    # with weight 1/2 it is less than the mixture of both.
    beyond = np.abs(shift) - min_shift
    strength = precision * beyond**2
    with np.errstate(invalid="ignore", divide="ignore"):
        reduction = np.sqrt(freedom * np.log1p(strength / freedom) / strength)
    beyond = beyond * np.where(strength > 0, reduction, 1.0)
    result = np.full(shift.shape, -np.inf)
    heavy = np.where(shift > 0, skewness, -skewness).clip(0.0)
    for size, weight in zip(
        _SIZES.tolist(), np.log(_WEIGHTS / _WEIGHTS.sum()).tolist(), strict=True
    ):
        bent = heavy * size
        slope = np.where(bent > 1e-6, np.log1p(bent) / np.where(bent > 1e-6, heavy, 1.0), size)
        # size / g - log1p(g size) / g^2, by its series where that would cancel.
        safe = np.where(bent > 1e-3, heavy, 1.0)
        offset = np.where(
            bent > 1e-3,
            (size - slope) / safe,
            size * size * (0.5 - bent / 3.0 + bent * bent / 4.0),
        )
        result = np.logaddexp(result, weight + precision * (slope * beyond - offset))
    return np.asarray(result - math.log(2.0), dtype=np.float64)


def log_sum(values: Floats, weights: Floats | None = None) -> Floats:
    """Return log(sum of weights * exp(values)) over the first axis."""
    top = values.max(axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    scaled = np.exp(values - top)
    total = scaled.sum(axis=0) if weights is None else np.tensordot(weights, scaled, axes=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(total) + top, dtype=np.float64)
