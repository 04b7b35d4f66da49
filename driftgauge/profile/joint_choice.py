"""Choosing the joint specification of a baseline, and what its sums do by chance alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.profile.joint import (
    HIGHEST,
    MOST_COMPONENTS,
    MOST_WAVES,
    STEPS,
    TURN,
    Component,
    JointCounter,
    JointMoments,
    JointSpec,
)
from driftgauge.profile.packing import pack_floats, unpack_floats
from driftgauge.profile.words import count_words

if TYPE_CHECKING:
    from driftgauge.profile.spec import FeatureSpec

# Of a categorical column, so many of its heaviest categories, each with at least this share.
_CATEGORIES = 3
_LEAST_SHARE = 0.02
# A column with a score on so few levels has a spread that is a function of its score.
_LEVELS_WITH_SPREAD = 5
# Of a normal distribution, between the quantiles of 5 % and 95 %, in standard deviations.
_CENTRAL_RANGE = 3.29
# Work per row is what is shared: the more components, the fewer waves.
_WORK = 900
_FEWEST_WAVES = 24
# The bandwidth as a share of the median distance of two rows of the baseline.
_BANDWIDTH = 0.5
# Rare categories would dominate the distance of two rows at their full standardised size.
_LEAST_DEVIATION = 0.3
_PAIRS = 2000
# Added to the waves' variances, as a share of their mean: directions that hardly vary in the
# baseline are no evidence at any size.
_RIDGE = 0.1
# Rows of the baseline that chance is learnt from, evenly spaced.
_SAMPLED_ROWS = 20_000
# Share of the variance that the leading principal components hold, as NannyML chooses them.
EXPLAINED: Final = 0.65


@dataclass(frozen=True, kw_only=True, eq=False)
class JointChance:
    """What sums over rows of the baseline do by chance, for K components and D waves.

    Attributes
    ----------
    rarity : ndarray of float64, shape (K,)
        Share of the rows whose component is not at its commonest value.
    variances, skewnesses : ndarray of float64, shape (K, K)
        Of one row's influence on the correlation of two components: with standardised x and y,
        x y - r (x^2 + y^2) / 2. Its variance over n is that of a correlation of n rows.
    axes : ndarray of float64, shape (q, K)
        Leading principal axes of the standardised scores and categories, 65 % of the variance;
        zero for spreads.
    residual : ndarray of float64, shape (4,)
        Rows that the axes were not chosen from; mean, variance and skewness of their squared
        distance from the plane of the axes.
    wave_weights : ndarray of float64, shape (D, D)
        Inverse of the waves' covariance with a ridge: the weights A of the squared distance
        d' A d between two means of waves.
    wave_moments : ndarray of float64, shape (8,)
        What the distribution of that distance depends on, see ``distance_cumulants``.
    """

    rarity: NDArray[np.float64]
    variances: NDArray[np.float64]
    skewnesses: NDArray[np.float64]
    axes: NDArray[np.float64]
    residual: NDArray[np.float64]
    wave_weights: NDArray[np.float64]
    wave_moments: NDArray[np.float64]


def choose_joint(
    features: Sequence[FeatureSpec],
    columns: Mapping[str, Column],
    *,
    rows: int,
    ignored: Collection[str] = (),
    importances: Mapping[str, float] | None = None,
) -> JointSpec | None:
    """Choose the components and waves of a baseline.

    Outputs come before inputs, and columns go by importance, else in their order: first the score
    or the heaviest category of each, then the second and third categories, while there is room.
    Spreads are added if there is room for all of them.

    Parameters
    ----------
    features : sequence of FeatureSpec
        The columns of the baseline.
    columns : mapping of str to Column
        Their values in the training data.
    rows : int
        How many rows.
    ignored : collection of str
        Columns to leave out.
    importances : mapping of str to float, optional
        Weights of columns; others weigh nothing.

    Returns
    -------
    JointSpec or None
        None if fewer than two columns vary.
    """
    used = [f for f in features if f.name not in ignored and f.name in columns]
    weights = importances or {}
    used.sort(key=lambda f: (f.role != "output", -weights.get(f.name, 0.0)))
    scores = {}
    categories: dict[str, list[Component]] = {}
    for feature in used:
        if feature.kind in ("numeric", "discrete"):
            score = _score_of(feature, columns[feature.name])
            if score is not None:
                scores[feature.name] = score
        else:
            categories[feature.name] = _categories_of(feature.name, columns[feature.name], rows)
    chosen = _ranked(used, scores, categories)[:MOST_COMPONENTS]
    if len({component.column for component in chosen}) < 2:
        return None
    chosen.sort(key=lambda component: component.kind == "category")
    spec = JointSpec(components=tuple(chosen), waves=())
    varied = _varied(spec, columns, rows)
    if varied is None:
        return None
    return replace(varied, waves=_choose_waves(varied, columns, rows))


def _ranked(
    used: Iterable[FeatureSpec],
    scores: Mapping[str, Component],
    categories: Mapping[str, list[Component]],
) -> list[Component]:
    ranked = []
    for turn in range(_CATEGORIES):
        for feature in used:
            if turn == 0 and feature.name in scores:
                ranked.append(scores[feature.name])
            ranked += categories.get(feature.name, [])[turn : turn + 1]
    return ranked


def _score_of(feature: FeatureSpec, column: Column) -> Component | None:
    values = column.numbers[np.isfinite(column.numbers)]
    if values.shape[0] == 0:
        return None
    with np.errstate(over="ignore"):
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
        spread = (high - low) / _CENTRAL_RANGE
    if not (math.isfinite(middle) and math.isfinite(spread)):
        return None
    spread = spread if spread > 0 else feature.scale
    return Component(column=feature.name, kind="score", middle=middle, spread=spread)


def _categories_of(name: str, column: Column, rows: int) -> list[Component]:
    words = count_words(column)
    heaviest = sorted(words, key=lambda word: (-words[word], word))[:_CATEGORIES]
    if sum(words.values()) == rows and len(words) <= len(heaviest):
        # The last one is what the others leave.
        heaviest = heaviest[:-1]
    return [
        Component(column=name, kind="category", category=word)
        for word in heaviest
        if _LEAST_SHARE * rows <= words[word] <= (1 - _LEAST_SHARE) * rows
    ]


def sample_joint(
    spec: JointSpec, columns: Mapping[str, Column], rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return components and waves of at most 20,000 evenly spaced rows.

    Returns
    -------
    components : ndarray of float64, shape (K, n)
    waves : ndarray of float64, shape (n, D)
    """
    counter = JointCounter(spec)
    step = max(1, -(-rows // _SAMPLED_ROWS))
    vectors, waves = [], []
    for block in counter.blocks(columns, rows, step):
        vectors.append(np.delete(block, spec.base, axis=0).astype(np.float64))
        waves.append(counter.waves(block).T.astype(np.float64))
    return np.concatenate(vectors, axis=1), np.concatenate(waves)


def _rarity(vector: NDArray[np.float64]) -> tuple[float, int]:
    """Return the share of rows that are not at the commonest value, and the number of values."""
    counts = np.bincount((vector + HIGHEST).astype(np.intp))
    return 1.0 - float(counts.max()) / vector.shape[0], int(np.count_nonzero(counts))


def _varied(spec: JointSpec, columns: Mapping[str, Column], rows: int) -> JointSpec | None:
    """Leave out components that hardly vary, and add spreads if all of them find room."""
    vectors, _ = sample_joint(spec, columns, rows)
    kept, spreads = [], []
    for component, vector in zip(spec.components, vectors, strict=True):
        rare, levels = _rarity(vector)
        if rare < _LEAST_SHARE:
            continue
        kept.append(component)
        folds = component.kind == "score" and levels >= _LEVELS_WITH_SPREAD
        if folds and _rarity(np.abs(vector))[0] >= _LEAST_SHARE:
            spreads.append(replace(component, kind="spread"))
    if len({component.column for component in kept}) < 2:
        return None
    if len(kept) + len(spreads) <= MOST_COMPONENTS:
        kept += spreads
    return JointSpec(components=tuple(kept), waves=())


def _choose_waves(
    spec: JointSpec, columns: Mapping[str, Column], rows: int
) -> tuple[tuple[int, ...], ...]:
    """Draw frequencies of a Gaussian kernel; the seed is a function of the components."""
    seed = blake2b(msgspec.msgpack.encode(spec.components), digest_size=8).digest()
    generator = np.random.default_rng(int.from_bytes(seed, "little"))
    vectors, _ = sample_joint(spec, columns, rows)
    vectors = vectors[: spec.base]
    least = np.array(
        [
            _LEAST_DEVIATION * (1 if component.kind == "category" else STEPS)
            for component in spec.components[: spec.base]
        ]
    )
    deviations = np.maximum(vectors.std(axis=1), least)
    first, second = generator.integers(0, vectors.shape[1], (2, _PAIRS))
    apart = (vectors[:, first] - vectors[:, second]) / deviations[:, None]
    distances = np.sqrt((apart**2).sum(axis=0))
    typical = float(np.median(distances)) or float(distances.mean()) or 1.0
    count = int(np.clip(_WORK // (spec.base + 1) // 8 * 8, _FEWEST_WAVES, MOST_WAVES))
    radians = generator.standard_normal((count, spec.base)) / (_BANDWIDTH * typical)
    turns = np.rint(radians / deviations / (2 * math.pi) * TURN)
    phases = generator.integers(0, TURN, count)
    return tuple(
        (*map(int, wave), phase)
        for wave, phase in zip(turns.tolist(), phases.tolist(), strict=True)
    )


def learn_chance(
    spec: JointSpec, columns: Mapping[str, Column], rows: int, moments: JointMoments
) -> JointChance:
    """Learn from the baseline's rows how its sums differ between samples of it.

    Parameters
    ----------
    spec : JointSpec
        How rows are counted.
    columns : mapping of str to Column
        The training data.
    rows : int
        How many rows, at least 1.
    moments : JointMoments
        The sums of all those rows.
    """
    vectors, waves = sample_joint(spec, columns, rows)
    standardised = (vectors - moments.means[:, None]) / moments.deviations[:, None]
    variances, skewnesses = _influences(standardised)
    # What is chosen from some rows fits them better than any others: chance is learnt from those.
    chosen = np.arange(vectors.shape[1]) % 3 == 0
    others = ~chosen if vectors.shape[1] > 1 else chosen
    axes = _leading_axes(standardised[: spec.base, chosen])
    residual = _residual_moments(axes, standardised[: spec.base, others])
    padding = len(spec.components) - spec.base
    weights = _wave_weights(waves[chosen])
    return JointChance(
        rarity=np.array([_rarity(vector)[0] for vector in vectors]),
        variances=variances,
        skewnesses=skewnesses,
        axes=np.pad(axes, ((0, 0), (0, padding))),
        residual=residual,
        wave_weights=weights,
        wave_moments=_wave_moments(waves[others] - waves[others].mean(axis=0), weights),
    )


def _influences(
    standardised: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return variance and skewness of each row's influence on each correlation."""
    size, rows = standardised.shape
    variances, skewnesses = np.zeros((size, size)), np.zeros((size, size))
    squares = standardised**2
    for i in range(size):
        products = standardised[i] * standardised[i:]
        correlations = products.mean(axis=1, keepdims=True)
        influence = products - correlations / 2 * (squares[i] + squares[i:])
        influence -= influence.mean(axis=1, keepdims=True)
        square = influence**2
        variance = square.mean(axis=1)
        third = np.einsum("ij,ij->i", square, influence) / rows
        spread = np.where(variance > 0, variance, 1.0) ** 1.5
        variances[i, i:] = variances[i:, i] = variance
        skewnesses[i, i:] = skewnesses[i:, i] = third / spread
    return variances, skewnesses


def _residual_moments(
    axes: NDArray[np.float64], standardised: NDArray[np.float64]
) -> NDArray[np.float64]:
    residual = (standardised**2).sum(axis=0) - ((axes @ standardised) ** 2).sum(axis=0)
    mean, variance = float(residual.mean()), float(residual.var())
    third = float(((residual - mean) ** 3).mean())
    skewness = third / variance**1.5 if variance > 0 else 0.0
    return np.array([residual.shape[0], mean, variance, skewness])


def _leading_axes(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the principal axes that hold ``EXPLAINED`` of the variance, shape (q, K)."""
    products = standardised @ standardised.T / standardised.shape[1]
    values, vectors = np.linalg.eigh(products)
    values, vectors = values[::-1], vectors[:, ::-1]
    held = np.cumsum(values) / values.sum()
    count = int(np.searchsorted(held, EXPLAINED)) + 1
    # One dimension at least is left to be a residual.
    return vectors[:, : min(count, standardised.shape[0] - 1)].T.copy()


def _wave_weights(waves: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = np.cov(waves, rowvar=False, bias=True).reshape(waves.shape[1], -1)
    ridge = _RIDGE * float(np.diag(covariance).mean())
    if ridge <= 0:
        return np.zeros_like(covariance)
    inverse = np.linalg.inv(covariance + ridge * np.eye(covariance.shape[0]))
    return np.asarray(inverse, dtype=np.float64)


def _wave_moments(
    centered: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the moments that ``distance_cumulants`` needs, of rows f with weights A."""
    rows = centered.shape[0]
    weighted = weights @ (centered.T @ centered / rows)
    squared = weighted @ weighted
    turned = centered @ weights
    lengths = np.einsum("ij,ij->i", turned, centered)
    apart = lengths - lengths.mean()
    third = apart @ centered / rows
    twice = np.einsum("ij,jk,ik->i", turned, weighted.T, centered, optimize=True)
    first, second = centered[:_PAIRS], turned[-_PAIRS:]
    between = first @ second.T
    if rows < 2 * _PAIRS:
        # No row is paired with itself.
        between = between[: rows // 2, -(rows // 2) :] if rows > 1 else np.zeros((1, 1))
    return np.array(
        [
            np.trace(weighted),
            np.trace(squared),
            np.trace(squared @ weighted),
            (apart**2).mean(),
            (apart**3).mean(),
            third @ weights @ third,
            (apart * twice).mean(),
            (between**3).mean(),
        ]
    )


def distance_cumulants(moments: NDArray[np.float64], rows: int) -> tuple[float, float, float]:
    r"""Return mean, variance and third cumulant of n d' A d, for the mean d of n centered rows.

    With q = f' A f of one row, h = f' A g of two, S the covariance, exactly:

    .. math:: \kappa_1 = \mathrm{tr}\, AS, \quad
              \kappa_2 = \mathrm{var}(q) / n + 2 (1 - 1/n)\, \mathrm{tr}\, (AS)^2

    .. math:: \kappa_3 = \mu_3(q) / n^2 + rac{n - 1}{n^2} [6\, v' A v
              + 12\, \mathrm{cov}(q, f' A S A f) + 4\, E h^3 + 8 (n - 2)\, \mathrm{tr}\, (AS)^3]

    with v = cov(q, f). For many rows they are those of a weighted sum of squared normal variables;
    rare rows make the tails of small samples heavier.

    Parameters
    ----------
    moments : ndarray of float64, shape (8,)
        ``JointChance.wave_moments``.
    rows : int
        n, at least 1.
    """
    trace, square, cube, spread, third, crossed, covariance, between = moments.tolist()
    n = float(rows)
    variance = spread / n + 2.0 * (1.0 - 1.0 / n) * square
    pairs = 6.0 * crossed + 12.0 * covariance + 4.0 * between + 8.0 * (n - 2.0) * cube
    return trace, variance, third / n**2 + (n - 1.0) / n**2 * pairs


def encode_chance(chance: JointChance) -> dict[str, str]:
    """Write what chance does as base64 texts of little-endian float32 arrays.

    Of symmetric matrices the upper triangle is written, by rows.
    """
    upper = np.triu_indices(chance.rarity.shape[0])
    waves = np.triu_indices(chance.wave_weights.shape[0])
    arrays = {
        "rarity": chance.rarity,
        "variances": chance.variances[upper],
        "skewnesses": chance.skewnesses[upper],
        "axes": chance.axes,
        "residual": chance.residual,
        "wave_weights": chance.wave_weights[waves],
        "wave_moments": chance.wave_moments,
    }
    return {name: pack_floats(array) for name, array in arrays.items()}


def decode_chance(texts: Mapping[str, str], spec: JointSpec) -> JointChance:
    """Read what ``encode_chance`` wrote.

    Raises
    ------
    ValueError
        If the texts do not fit the specification.
    """
    size, waves = len(spec.components), len(spec.waves)
    lengths = {
        "rarity": size,
        "variances": size * (size + 1) // 2,
        "skewnesses": size * (size + 1) // 2,
        "residual": 4,
        "wave_weights": waves * (waves + 1) // 2,
        "wave_moments": 8,
    }
    if set(texts) != {*lengths, "axes"}:
        raise ValueError("the joint distribution's parts are not those of a baseline")
    arrays = {name: unpack_floats(text) for name, text in texts.items()}
    if any(arrays[name].shape[0] != length for name, length in lengths.items()):
        raise ValueError("the joint distribution is of another size than its components")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("the joint distribution has a number that is not finite")
    return JointChance(
        rarity=arrays["rarity"],
        variances=_symmetric(arrays["variances"], size),
        skewnesses=_symmetric(arrays["skewnesses"], size),
        axes=arrays["axes"].reshape(-1, size),
        residual=arrays["residual"],
        wave_weights=_symmetric(arrays["wave_weights"], waves),
        wave_moments=arrays["wave_moments"],
    )


def _symmetric(upper: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    square = np.zeros((size, size))
    square[np.triu_indices(size)] = upper
    return square + np.triu(square, 1).T
