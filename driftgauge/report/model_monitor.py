"""The files SageMaker Model Monitor writes: statistics.json and constraint_violations.json.

Field names, the meaning of each number and the ten equal buckets are those of real files. A
baseline's numbers come from its values; a window's come from its profile, where the buckets are
interpolated between the cells, and so are the items of the sketch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.verdict import Violation
from driftgauge.profile.profile import FeatureProfile, Profile

_BUCKETS = 10
_SKETCH_SIZE = 2048
_SHRINKING_FACTOR = 0.64
# The profiler of awslabs/deequ lists the values of a column up to this many.
MOST_LISTED_VALUES = 120
# Values that a cell needs before its density says anything about the next cell's.
_LEAST_TO_EXTRAPOLATE = 16
# Logarithm of the largest ratio of densities that is believed.
_STEEPEST = 12.0


def encode_statistics(
    profile: Profile, *, values: Mapping[str, NDArray[np.float64]] | None = None
) -> bytes:
    """Write ``statistics.json``.

    Parameters
    ----------
    profile : Profile
        Of the training data, or of a window.
    values : mapping of str to ndarray of float64, optional
        The finite numbers of numeric columns in row order, where they are at hand: then buckets
        and sketch are those of the values themselves.

    Returns
    -------
    bytes
        JSON; standard deviations are those of the population. A number that JSON cannot hold is
        the string ``"Infinity"``, ``"-Infinity"`` or ``"NaN"``.
    """
    features = []
    for feature in profile.features:
        if feature.spec.kind in ("numeric", "discrete"):
            known = None if values is None else values.get(feature.spec.name)
            features.append(_numerical(feature, known))
        else:
            features.append(_string(feature))
    # A line for each column: indented, a sketch would take a line for every value.
    lines = ",\n".join(json.dumps(feature, allow_nan=False) for feature in features)
    head = f'{{"version": 0.0, "dataset": {{"item_count": {profile.rows}}}, "features": ['
    return f"{head}\n{lines}\n]}}\n".encode("ascii")


def encode_violations(violations: tuple[Violation, ...]) -> bytes:
    """Write ``constraint_violations.json``.

    Examples
    --------
    >>> json.loads(encode_violations(()))
    {'violations': []}
    """
    listed = [
        {
            "feature_name": violation.feature_name,
            "constraint_check_type": violation.constraint_check_type,
            "description": violation.description,
        }
        for violation in violations
    ]
    return (json.dumps({"violations": listed}, indent=2) + "\n").encode("ascii")


def sketch_values(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Sketch values as Deequ does; an item of level i stands for 2**i values.

    Up to 2,050 values are kept as they are. Beyond, the first full level is sorted and every
    second item moves up, starting alternately with the first and the second, so the result is
    the same in every run. Source: Karnin, Lang, Liberty, "Optimal quantile approximation in
    streams", FOCS 2016; order of operations after awslabs/deequ (Apache-2.0),
    QuantileNonSample.scala, with its coin fixed to start at the first item.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite.

    Returns
    -------
    list of ndarray of float64
        The levels, at least one.

    Examples
    --------
    >>> [level.tolist() for level in sketch_values(np.array([3.0, 1.0]))]
    [[3.0, 1.0]]
    """
    levels = [np.empty(0)]
    compactions = [0]
    capacity = [_level_capacity(0)]
    held = at = 0
    while at < values.shape[0]:
        # Nothing happens before the sketch holds one item more than it has room for.
        part = values[at : at + sum(capacity) + 1 - held]
        at += part.shape[0]
        levels[0] = np.concatenate([levels[0], part])
        held += part.shape[0]
        if held <= sum(capacity):
            break
        full = next(i for i, level in enumerate(levels) if level.shape[0] >= capacity[i])
        if full + 1 == len(levels):
            levels.append(np.empty(0))
            compactions.append(0)
            capacity.append(_level_capacity(full + 1))
        even = levels[full].shape[0] // 2 * 2
        # Two compactions share a start before it flips: 0, 1, 1, 0, 0, 1, 1, ...
        start = (compactions[full] + 1) // 2 % 2
        promoted = np.sort(levels[full][:even])[start::2]
        levels[full] = levels[full][even:]
        levels[full + 1] = np.concatenate([levels[full + 1], promoted])
        compactions[full] += 1
        held -= even - promoted.shape[0]
    return levels


def _level_capacity(level: int) -> int:
    return 2 * (math.ceil(_SKETCH_SIZE * _SHRINKING_FACTOR**level / 2) + 1)


def _numerical(feature: FeatureProfile, values: NDArray[np.float64] | None) -> dict[str, Any]:
    statistics: dict[str, Any] = {
        "common": {"num_present": feature.present, "num_missing": feature.missing}
    }
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None:
        statistics |= {
            "mean": _number(feature.mean),
            "sum": _number(feature.sum),
            "std_dev": _number(feature.std_dev),
            "min": low,
            "max": high,
            "distribution": {"kll": _distribution(feature, values, low, high)},
        }
    return {
        "name": feature.spec.name,
        "inferred_type": feature.spec.inferred_type,
        "numerical_statistics": statistics,
    }


def _distribution(
    feature: FeatureProfile, values: NDArray[np.float64] | None, low: float, high: float
) -> dict[str, Any]:
    edges = _bucket_edges(low, high)
    if values is None:
        support = _Support(feature, low, high)
        # Whole counts: rounding what is below an edge, not each bucket, keeps their sum.
        below = [float(round(support.below(edge))) for edge in edges[1:-1]]
        levels = support.sketch()
        total = float(feature.counts.sum())
    else:
        ordered = np.sort(values)
        below = np.searchsorted(ordered, edges[1:-1], side="left").astype(float).tolist()
        levels = [level.tolist() for level in sketch_values(values)]
        total = float(values.shape[0])
    counts = np.diff([0.0, *below, total]).tolist()
    return {
        "buckets": [
            {"lower_bound": edges[i], "upper_bound": edges[i + 1], "count": counts[i]}
            for i in range(_BUCKETS)
        ],
        "sketch": {
            "parameters": {"c": _SHRINKING_FACTOR, "k": float(_SKETCH_SIZE)},
            "data": levels,
        },
    }


def _bucket_edges(low: float, high: float) -> list[float]:
    if (high / _BUCKETS - low / _BUCKETS) * _BUCKETS**2 < math.inf:
        return [low + (high - low) * i / _BUCKETS for i in range(_BUCKETS + 1)]
    # The way real files are computed would overflow.
    return [low * ((_BUCKETS - i) / _BUCKETS) + high * (i / _BUCKETS) for i in range(_BUCKETS + 1)]


class _Support:
    """Where the values of a profile's cells lie.

    Each cell's values are spread evenly over its width, except in the first and the last cell of
    the baseline's range, which are wide: there the density falls off outwards as a power, from
    what the two cells beside let expect at the inner edge.
    """

    def __init__(self, feature: FeatureProfile, low: float, high: float) -> None:
        self.discrete = feature.spec.kind == "discrete"
        # A gap, a value, a gap, ...: a discrete value is a cell without width.
        edges = np.repeat(np.array(feature.spec.edges), 2 if self.discrete else 1)
        lower, upper = np.append(-np.inf, edges), np.append(edges, np.inf)
        single = self.discrete & (np.arange(lower.shape[0]) % 2 == 1)
        self.integral = feature.spec.inferred_type == "Integral"
        some = feature.counts > 0
        self.counts = feature.counts[some]
        self.lower, self.upper = np.maximum(lower[some], low), np.minimum(upper[some], high)
        if self.integral:
            # A whole number k has the unit [k, k + 1) to itself.
            self.lower = np.ceil(self.lower)
            open_end = np.where(upper[some] > high, np.floor(high) + 1, np.ceil(upper[some]))
            self.upper = np.where(single[some], self.lower + 1, open_end)
        self.upper = np.maximum(self.upper, self.lower)
        self.fall = np.zeros(self.counts.shape[0])
        if not self.discrete:
            cells = np.flatnonzero(some).tolist()
            self._let_fall(cells, (1, 2, 3), -1.0)
            last = feature.counts.shape[0] - 2
            self._let_fall(cells, (last, last - 1, last - 2), 1.0)

    def _let_fall(self, cells: list[int], wanted: tuple[int, int, int], sign: float) -> None:
        """Set how the first of three neighboring cells falls off away from the other two."""
        if wanted[0] == wanted[-1] or any(cell not in cells for cell in wanted):
            return
        here, *inner = (cells.index(cell) for cell in wanted)
        counts = self.counts[[here, *inner]].astype(np.float64)
        widths = (self.upper / 2 - self.lower / 2)[[here, *inner]]
        if counts[1:].min() < _LEAST_TO_EXTRAPOLATE or widths.min() <= 0:
            return
        density = np.log(counts) - np.log(widths)
        # As a share of both widths, because the slope itself may overflow.
        at_edge = density[1] + (density[1] - density[2]) * (widths[1] / (widths[1] + widths[2]))
        # A power of exponent q has q + 1 times the cell's mean density at the edge.
        steep = math.exp(min(at_edge - density[0], _STEEPEST)) - 1
        self.fall[here] = sign * max(0.0, steep)

    def _share_below(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of each cell's values in a part of its width, from its lower bound."""
        steep = np.abs(self.fall) + 1
        rising: NDArray[np.float64] = np.where(self.fall > 0, 1 - (1 - part) ** steep, part**steep)
        return rising

    def below(self, value: float) -> float:
        """Return how many values are below a value."""
        bound = math.ceil(value) if self.integral else value
        # Half of each, so that no difference of the largest numbers overflows.
        lower, half_width = self.lower / 2, self.upper / 2 - self.lower / 2
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = (bound / 2 - lower) / half_width
        share = np.where(half_width > 0, share, self.lower < bound)
        return float((self._share_below(np.clip(share, 0.0, 1.0)) * self.counts).sum())

    def sketch(self) -> list[list[float]]:
        """Levels of items whose weights add up to the number of values.

        Discrete values are all listed with their exact counts. Other numbers are listed at equal
        steps in rank, up to 2,050 of them, so a rank is wrong by half a step (at most 0.05 %) and
        by what the values of one cell differ from the spread that is assumed: less than the
        cell's share of the rows.
        """
        if self.discrete:
            levels = int(self.counts.max()).bit_length()
            return [self.lower[(self.counts >> i) & 1 == 1].tolist() for i in range(levels)]
        total = int(self.counts.sum())
        # The lowest level at which the items find room in a sketch of this size.
        top = (total // (_level_capacity(0) + 1)).bit_length()
        sizes = [(total >> i) & 1 for i in range(top)] + [total >> top]
        weights = np.repeat(2.0 ** np.arange(top + 1), sizes)
        values = self._at_rank(np.cumsum(weights) - weights / 2)
        return [level.tolist() for level in np.split(values, np.cumsum(sizes)[:-1])]

    def _at_rank(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the numbers that so many others are below."""
        after = np.cumsum(self.counts)
        cell = np.searchsorted(after, ranks, side="right")
        share = (ranks - (after - self.counts)[cell]) / self.counts[cell]
        inverse = 1 / (np.abs(self.fall[cell]) + 1)
        falling = 1 - (1 - share) ** inverse
        part = np.where(self.fall[cell] > 0, falling, share**inverse)
        lower, upper = self.lower[cell], self.upper[cell]
        values = lower * (1 - part) + upper * part
        if self.integral:
            values, upper = np.floor(values), upper - 1
        inside: NDArray[np.float64] = np.clip(values, lower, np.maximum(lower, upper))
        return inside


def _string(feature: FeatureProfile) -> dict[str, Any]:
    spec = feature.spec
    named = {
        word: count
        for word, count in zip(spec.categories, feature.counts.tolist(), strict=True)
        if count
    }
    distinct = len(named) + feature.unseen_distinct
    statistics: dict[str, Any] = {
        "common": {"num_present": feature.present, "num_missing": feature.missing},
        "distinct_count": float(distinct),
    }
    words = named | dict(feature.unseen)
    if distinct == len(words) <= MOST_LISTED_VALUES:
        listed = sorted(words.items(), key=lambda item: (-item[1], item[0]))
        buckets = [{"value": word, "count": count} for word, count in listed]
        statistics["distribution"] = {"categorical": {"buckets": buckets}}
    return {
        "name": spec.name,
        "inferred_type": "Unknown" if spec.inferred_type == "Unknown" else "String",
        "string_statistics": statistics,
    }


def _number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
