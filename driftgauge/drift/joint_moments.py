"""What is read off the sums over whole rows: correlations, residuals, distances of waves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.joint import JointMoments
from driftgauge.profile.joint_choice import JointChance

# A correlation of one has no Fisher transformation.
HIGHEST_CORRELATION = 0.999
# Below it a correlation's variance is a matter of rounding.
LEAST_VARIANCE = 1e-4


def correlation_matrix(moments: JointMoments) -> NDArray[np.float64]:
    """Return the correlations of all components, bounded away from one, shape (K, K)."""
    deviations = moments.deviations
    found = moments.covariance / (deviations[:, None] * deviations)
    bounded: NDArray[np.float64] = np.clip(found, -HIGHEST_CORRELATION, HIGHEST_CORRELATION)
    return bounded


def residual(chance: JointChance, before: JointMoments, now: JointMoments) -> float:
    """Return the mean squared distance from the baseline's principal plane: tr((I - A'A) M)."""
    base = chance.axes.any(axis=0)
    apart = now.means - before.means
    second = now.covariance + apart[:, None] * apart
    second /= before.deviations[:, None] * before.deviations
    explained = np.einsum("ij,jk,ik->", chance.axes, second, chance.axes, optimize=True)
    return float(np.diag(second)[base].sum() - explained)


def wave_distance(chance: JointChance, before: JointMoments, now: JointMoments) -> float:
    """Return the squared distance of the means of the waves in units of their variance."""
    apart = now.waves / now.rows - before.waves / before.rows
    return float(apart @ chance.wave_weights @ apart)
