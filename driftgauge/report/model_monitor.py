"""The files SageMaker Model Monitor writes: statistics.json and constraint_violations.json.

Field names, the meaning of each number and the ten equal buckets are those of real files. A
baseline's numbers come from its values; a window's come from its profile, where the buckets are
interpolated between the pieces of cells, and so are the items of the sketch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.verdict import Violation
from driftgauge.profile.cells import infer_type
from driftgauge.profile.profile import FeatureProfile, Profile
from driftgauge.report.interpolation import CellValues

_BUCKETS = 10
_SKETCH_SIZE = 2048
_SHRINKING_FACTOR = 0.64
# The profiler of awslabs/deequ lists the values of a column up to this many.
MOST_LISTED_VALUES = 120


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
        JSON. The type of a column is that of its values in this profile: String for numbers among
        which there is a text, too, and for whatever is counted as words. Standard deviations are
        those of the population. A number that JSON cannot hold is the string ``"Infinity"``,
        ``"-Infinity"`` or ``"NaN"``.
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
        "inferred_type": infer_type(feature.types),
        "numerical_statistics": statistics,
    }


def _distribution(
    feature: FeatureProfile, values: NDArray[np.float64] | None, low: float, high: float
) -> dict[str, Any]:
    edges = _bucket_edges(low, high)
    if values is None:
        known = CellValues(feature, low, high)
        # Whole counts: rounding what is below an edge, not each bucket, keeps their sum.
        below = [float(round(known.below(edge))) for edge in edges[1:-1]]
        levels = _window_sketch(feature, known)
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


def _window_sketch(feature: FeatureProfile, values: CellValues) -> list[list[float]]:
    """Return levels of items whose weights add up to the number of values.

    Discrete values are all listed with their exact counts. Other numbers are listed at equal steps
    in rank, as many as a sketch of this size has room for: beyond 2,050 values, a rank is wrong by
    half a step, at most 0.02 %, and by what the values of one piece differ from the curve that is
    assumed: less than the piece's share of the rows. Up to 2,050 values an item is one value, and
    exact in rank where no other is in its piece.
    """
    if feature.spec.kind == "discrete":
        at, counts = values.at_rank(np.cumsum(values.counts) - values.counts / 2), values.counts
        levels = int(counts.max()).bit_length()
        return [at[(counts >> i) & 1 == 1].tolist() for i in range(levels)]
    total = int(values.counts.sum())
    top, room = 0, _level_capacity(0)
    while (total >> top) + top > room:
        top += 1
        room += _level_capacity(top)
    sizes = [(total >> i) & 1 for i in range(top)] + [total >> top]
    weights = np.repeat(2.0 ** np.arange(top + 1), sizes)
    # An item stands in the middle of its values, but for the last of them if all are listed: where
    # a value is the only one of its piece, so is the item, and has its rank.
    items = values.at_rank(np.cumsum(weights) - (weights / 2 if top else 0.0))
    return [level.tolist() for level in np.split(items, np.cumsum(sizes)[:-1])]


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
        "inferred_type": "String" if feature.present else "Unknown",
        "string_statistics": statistics,
    }


def _number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
