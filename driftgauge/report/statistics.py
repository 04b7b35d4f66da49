"""Reads Model Monitor's ``statistics.json``, that of this program and of its jobs alike.

``driftgauge.report.model_monitor`` writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import BaselineError

# Deequ's sketches of 2**63 rows have some 60 levels; items above could not be weighed.
_MOST_LEVELS = 62
_MOST_ROWS = 2.0**48
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")

# Java writes "NaN" and the like as texts.
_Number = float | str | None


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Numbers between two bounds; the last bucket of a column holds its upper bound too."""

    lower: float
    upper: float
    count: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberStatistics:
    """What is known about a column of numbers; None: not written, or not finite.

    Attributes
    ----------
    mean, sum, std_dev, minimum, maximum : float or None
        Of the numbers; the standard deviation is that of the population.
    buckets : tuple of Bucket
        In increasing order; empty if there are none.
    levels : tuple of ndarray of float64
        The KLL sketch: an item of level i stands for 2**i numbers. Empty if there is none.
    """

    mean: float | None = None
    sum: float | None = None
    std_dev: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    buckets: tuple[Bucket, ...] = ()
    levels: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True, kw_only=True)
class WordStatistics:
    """What is known about a column of texts; None: not written."""

    distinct_count: float | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStatistics:
    """What is known about a column.

    Attributes
    ----------
    name, inferred_type : str
        As in the file.
    present, missing : int
        Rows with and without a value.
    numbers, words : NumberStatistics, WordStatistics or None
        Whichever of the two the file has.
    """

    name: str
    inferred_type: str
    present: int
    missing: int
    numbers: NumberStatistics | None = None
    words: WordStatistics | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """The content of ``statistics.json``."""

    item_count: int
    features: tuple[FeatureStatistics, ...]

    def __getitem__(self, name: str) -> FeatureStatistics:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)


class _Common(msgspec.Struct):
    num_present: float = 0.0
    num_missing: float = 0.0


class _Bucket(msgspec.Struct):
    lower_bound: float
    upper_bound: float
    count: float


class _Sketch(msgspec.Struct):
    data: list[list[float]] = []


class _Kll(msgspec.Struct):
    buckets: list[_Bucket] | None = None
    sketch: _Sketch | None = None


class _NumberDistribution(msgspec.Struct):
    kll: _Kll | None = None


class _Numbers(msgspec.Struct):
    common: _Common
    mean: _Number = None
    sum: _Number = None
    std_dev: _Number = None
    min: _Number = None
    max: _Number = None
    distribution: _NumberDistribution | None = None


class _WordBucket(msgspec.Struct):
    value: str
    count: float


class _Categorical(msgspec.Struct):
    buckets: list[_WordBucket] = []


class _WordDistribution(msgspec.Struct):
    categorical: _Categorical | None = None


class _Words(msgspec.Struct):
    common: _Common
    distinct_count: float | None = None
    distribution: _WordDistribution | None = None


class _Feature(msgspec.Struct):
    name: str
    inferred_type: str = "Unknown"
    numerical_statistics: _Numbers | None = None
    string_statistics: _Words | None = None


class _Dataset(msgspec.Struct):
    item_count: float | None = None


class _File(msgspec.Struct):
    features: list[_Feature]
    dataset: _Dataset | None = None


def decode_statistics(data: bytes) -> Statistics:
    """Read ``statistics.json``. Keys that are not known are passed over.

    A file without ``dataset.item_count`` has as many rows as its longest column.

    Raises
    ------
    BaselineError
        With the place in the file and what is wrong there.

    Examples
    --------
    >>> common = '{"num_present": 2, "num_missing": 0}'
    >>> column = '{"name": "x", "string_statistics": {"common": %s}}' % common
    >>> decode_statistics(b'{"features": [%s]}' % column.encode()).item_count
    2
    """
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or not isinstance(document.get("features"), list):
            raise BaselineError(
                "statistics.json has no list `features`: is it the data-quality file? (Model "
                "quality has a file of the same name.)"
            )
        file = msgspec.convert(document, type=_File)
    except (ValueError, RecursionError, OverflowError) as error:
        raise BaselineError(f"statistics.json cannot be read: {error}") from error
    features = tuple(_feature(item, f"features[{i}]") for i, item in enumerate(file.features))
    _check_names(features)
    counted = None if file.dataset is None else file.dataset.item_count
    rows = max((feature.present + feature.missing for feature in features), default=0)
    if counted is not None:
        rows = _count(counted, "dataset.item_count")
    for feature in features:
        if feature.present > rows:
            raise _wrong(
                repr(feature.name), f"{feature.present} values in {rows} rows (`item_count`)"
            )
    return Statistics(item_count=rows, features=features)


def _check_names(features: Iterable[FeatureStatistics]) -> None:
    seen = set()
    for feature in features:
        if feature.name in seen:
            raise _wrong("features", f"two are named {feature.name!r}")
        seen.add(feature.name)


def _feature(item: _Feature, place: str) -> FeatureStatistics:
    place = f"{place} ({item.name!r})"
    numbers, words = item.numerical_statistics, item.string_statistics
    both = numbers or words
    common = _Common() if both is None else both.common
    return FeatureStatistics(
        name=item.name,
        inferred_type=item.inferred_type,
        present=_count(common.num_present, f"{place}.num_present"),
        missing=_count(common.num_missing, f"{place}.num_missing"),
        numbers=None if numbers is None else _numbers(numbers, place),
        words=None if words is None or numbers is not None else _words(words, place),
    )


def _numbers(item: _Numbers, place: str) -> NumberStatistics:
    kll = item.distribution.kll if item.distribution else None
    low, high = _finite(item.min, f"{place}.min"), _finite(item.max, f"{place}.max")
    std_dev = _finite(item.std_dev, f"{place}.std_dev")
    if low is not None and high is not None and low > high:
        raise _wrong(place, f"`min` {low} is above `max` {high}")
    if std_dev is not None and std_dev < 0:
        raise _wrong(place, f"`std_dev` {std_dev} is negative")
    return NumberStatistics(
        mean=_finite(item.mean, f"{place}.mean"),
        sum=_finite(item.sum, f"{place}.sum"),
        std_dev=std_dev,
        minimum=low,
        maximum=high,
        buckets=_buckets(kll.buckets or [], place) if kll else (),
        levels=_levels(kll.sketch.data, place) if kll and kll.sketch else (),
    )


def _buckets(items: list[_Bucket], place: str) -> tuple[Bucket, ...]:
    buckets = tuple(
        Bucket(
            lower=_known(item.lower_bound, f"{place}.buckets"),
            upper=_known(item.upper_bound, f"{place}.buckets"),
            count=item.count,
        )
        for item in items
    )
    for bucket in buckets:
        _count(bucket.count, f"{place}.buckets")
    bounds = [bound for bucket in buckets for bound in (bucket.lower, bucket.upper)]
    if bounds != sorted(bounds):
        raise _wrong(f"{place}.buckets", "the bounds are not in order")
    return buckets


def _levels(items: list[list[float]], place: str) -> tuple[NDArray[np.float64], ...]:
    if len(items) > _MOST_LEVELS:
        raise _wrong(f"{place}.sketch", f"{len(items)} levels; at most {_MOST_LEVELS} are possible")
    levels = tuple(np.array(level, dtype=np.float64) for level in items)
    if not all(np.isfinite(level).all() for level in levels):
        raise _wrong(f"{place}.sketch", "an item is not a finite number")
    if sum(level.shape[0] * 2.0**i for i, level in enumerate(levels)) > _MOST_ROWS:
        raise _wrong(f"{place}.sketch", "it stands for an impossible number of rows")
    # Adding zero turns -0.0 into 0.0, as everywhere else.
    return tuple(level + 0.0 for level in levels) if any(map(len, levels)) else ()


def _words(item: _Words, place: str) -> WordStatistics:
    categorical = item.distribution.categorical if item.distribution else None
    counts: dict[str, int] | None = None
    if categorical is not None:
        counts = {}
        for bucket in categorical.buckets:
            count = _count(bucket.count, f"{place}.buckets")
            counts[bucket.value] = counts.get(bucket.value, 0) + count
    distinct = item.distinct_count
    if distinct is not None:
        _count(distinct, f"{place}.distinct_count")
    return WordStatistics(distinct_count=distinct, counts=counts)


def _count(value: float, place: str) -> int:
    if not 0 <= value <= _MOST_ROWS:
        raise _wrong(place, f"expected a number between 0 and 2**48, found {value}")
    return round(value)


def _known(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise _wrong(place, f"expected a finite number, found {value}")
    return value + 0.0


def _finite(value: _Number, place: str) -> float | None:
    if isinstance(value, str):
        if value not in _NOT_FINITE:
            raise _wrong(place, "expected a number")
        return None
    if value is None or not math.isfinite(value):
        return None
    return value + 0.0


def _wrong(place: str, problem: str) -> BaselineError:
    return BaselineError(f"statistics.json: {place}: {problem}")
