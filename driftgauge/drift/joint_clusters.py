"""How much more joint distributions differ between blocks of training data than by chance.

Correlations of clustered rows vary: a week of one weather has other correlations than two months.
The training data, cut into blocks in the order of their rows, show by how much, for blocks of
several sizes; a window is judged by what blocks of its size do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.dispersion import LARGEST_RATIO, MEDIAN_OF_CHI_SQUARED
from driftgauge.drift.joint_moments import (
    LEAST_VARIANCE,
    correlation_matrix,
    residual,
    wave_distance,
)
from driftgauge.profile.joint import JointMoments, JointSpec, joint_moments
from driftgauge.profile.joint_choice import JointChance, distance_cumulants
from driftgauge.profile.packing import pack_floats, unpack_floats

Floats = NDArray[np.float64]

_SPANS: Final = (1, 2, 4, 8)
_FEWEST_BLOCKS: Final = 6
# Pairs of blocks' worth of belief in what all correlations have in common.
_PRIOR_PAIRS: Final = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class JointClusters:
    """Dispersions by size of block, for K components.

    Attributes
    ----------
    rows : ndarray of float64, shape (spans,)
        Rows of a block, increasing.
    association : ndarray of float64, shape (spans, K, K)
        Of each correlation (Fisher's transformation); at least 1.
    reconstruction, mmd : ndarray of float64, shape (spans,)
        Of the reconstruction error and of the squared distance of the waves; at least 1.
    """

    rows: Floats
    association: Floats
    reconstruction: Floats
    mmd: Floats

    def at(self, rows: int) -> tuple[Floats, float, float]:
        """Return the dispersions for a window of so many rows, between the sizes known."""
        place = np.interp(np.log(max(1, rows)), np.log(self.rows), np.arange(self.rows.size))
        low = int(place)
        high = min(low + 1, self.rows.size - 1)
        part = float(place) - low
        association = (1.0 - part) * self.association[low] + part * self.association[high]
        reconstruction = (1.0 - part) * self.reconstruction[low] + part * self.reconstruction[high]
        mmd = (1.0 - part) * self.mmd[low] + part * self.mmd[high]
        return association, float(reconstruction), float(mmd)


def learn_clusters(
    spec: JointSpec, chance: JointChance, whole: JointMoments, blocks: Sequence[NDArray[np.int64]]
) -> JointClusters | None:
    """Compare neighboring blocks, single ones and joined ones.

    Parameters
    ----------
    spec : JointSpec
        How rows were counted.
    chance : JointChance
        What independent rows would do.
    whole : JointMoments
        The sums of the whole training data.
    blocks : sequence of ndarray of int64, each shape (spec.size,)
        The sums of blocks, in the order of the training data.

    Returns
    -------
    JointClusters or None
        None if there are fewer than six blocks.
    """
    packed = np.stack(blocks) if blocks else np.zeros((0, 0), dtype=np.int64)
    rows, association, reconstruction, mmd = [], [], [], []
    for span in _SPANS:
        count = packed.shape[0] // span
        if count < _FEWEST_BLOCKS:
            break
        joined = packed[: count * span].reshape(count, span, -1).sum(axis=1)
        parts = [joint_moments(spec, one) for one in joined]
        rows.append(float(np.mean([part.rows for part in parts])))
        association.append(_association(chance, whole, parts))
        reconstruction.append(_reconstruction(chance, whole, parts))
        mmd.append(_mmd(chance, parts))
    if not rows:
        return None
    return JointClusters(
        rows=np.array(rows),
        association=np.stack(association),
        reconstruction=np.array(reconstruction),
        mmd=np.array(mmd),
    )


def _between(parts: Sequence[JointMoments], lost: int) -> Floats:
    """Return the variance of neighbors' difference for a row's of one, shape (parts - 1,)."""
    inverse = np.array([1.0 / max(1, part.rows - lost) for part in parts])
    return np.asarray(inverse[1:] + inverse[:-1])


def _shrunk(ratios: Floats, common: float | None = None) -> Floats:
    """Return mean ratios over the first axis, bounded, drawn to what is common, at least 1."""
    typical = np.maximum(1.0, np.median(ratios, axis=0) / MEDIAN_OF_CHI_SQUARED)
    means = np.minimum(ratios, LARGEST_RATIO * typical).mean(axis=0)
    count = ratios.shape[0]
    prior = float(np.median(means)) if common is None else common
    drawn = (_PRIOR_PAIRS * prior + count * means) / (_PRIOR_PAIRS + count)
    return np.asarray(np.maximum(1.0, drawn))


def _association(chance: JointChance, whole: JointMoments, parts: Sequence[JointMoments]) -> Floats:
    found = np.arctanh(np.stack([correlation_matrix(part) for part in parts]))
    influence = np.maximum(chance.variances, LEAST_VARIANCE)
    influence = influence / (1.0 - correlation_matrix(whole) ** 2) ** 2
    variance = influence * _between(parts, 3)[:, None, None]
    return _shrunk(np.diff(found, axis=0) ** 2 / variance)


def _reconstruction(
    chance: JointChance, whole: JointMoments, parts: Sequence[JointMoments]
) -> float:
    row_variance = float(chance.residual[2])
    if row_variance <= 0:
        return 1.0
    found = np.array([residual(chance, whole, part) for part in parts])
    ratios = np.diff(found) ** 2 / (row_variance * _between(parts, 0))
    return float(_shrunk(ratios, common=1.0))


def _mmd(chance: JointChance, parts: Sequence[JointMoments]) -> float:
    between = _between(parts, 0)
    ratios = []
    for before, now, variance in zip(parts[:-1], parts[1:], between.tolist(), strict=True):
        mean = distance_cumulants(chance.wave_moments, min(before.rows, now.rows))[0]
        if mean > 0:
            ratios.append(wave_distance(chance, before, now) / (variance * mean))
    return max(1.0, float(np.mean(ratios))) if ratios else 1.0


def encode_clusters(clusters: JointClusters) -> dict[str, str]:
    """Write dispersions for a JSON document: little-endian float32 as base64."""
    upper = np.triu_indices(clusters.association.shape[1])
    arrays = {
        "rows": clusters.rows,
        "association": clusters.association[:, upper[0], upper[1]],
        "reconstruction": clusters.reconstruction,
        "mmd": clusters.mmd,
    }
    return {name: pack_floats(array) for name, array in arrays.items()}


def decode_clusters(document: Mapping[str, str], spec: JointSpec) -> JointClusters:
    """Read dispersions.

    Raises
    ------
    ValueError
        If they do not fit the specification.
    """
    names = ("rows", "association", "reconstruction", "mmd")
    if set(document) != set(names):
        raise ValueError("the joint dispersions' parts are not those of a baseline")
    rows, upper, reconstruction, mmd = (unpack_floats(document[name]) for name in names)
    size = len(spec.components)
    first, second = np.triu_indices(size)
    fits = reconstruction.size == mmd.size == rows.size and upper.size == rows.size * first.size
    if not rows.size or not fits or (np.diff(rows) <= 0).any() or rows[0] <= 0:
        raise ValueError("the joint dispersions are of another size than the components")
    if not all((values >= 1.0).all() for values in (upper, reconstruction, mmd)):
        raise ValueError("a joint dispersion is below 1")
    association = np.ones((rows.size, size, size))
    association[:, first, second] = upper.reshape(rows.size, first.size)
    association[:, second, first] = association[:, first, second]
    return JointClusters(rows=rows, association=association, reconstruction=reconstruction, mmd=mmd)
