"""How the numbers of a column are spread, as far as ``statistics.json`` tells.

Exact: all numbers of a column whose sketch never was compressed, and whole numbers so few that
each bucket can only hold one. Beyond, the weights of the compressed sketch are adjusted so that
the ten buckets hold what they are said to hold; without a sketch only the buckets are known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import BaselineError
from driftgauge.profile.exact import UNIT_BITS, ratio_to_float, to_units
from driftgauge.profile.layout import fine_edges
from driftgauge.profile.spec import FeatureSpec
from driftgauge.report.statistics import Bucket, NumberStatistics

# A sketch of k = 2048 is wrong by a fraction of this. Buckets further off are not of its data.
_LARGEST_DISAGREEMENT = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread:
    """Distinct numbers in increasing order, and how often each occurs (at least once)."""

    values: NDArray[np.float64]
    counts: NDArray[np.int64]


def number_of_values(numbers: NumberStatistics, present: int) -> int:
    """Return how many finite numbers a column has, of all its values that are present."""
    total = sum(bucket.count for bucket in numbers.buckets)
    total = total or sum(level.shape[0] * 2.0**i for i, level in enumerate(numbers.levels))
    if not total and (numbers.mean is not None or numbers.minimum is not None):
        return present
    return min(round(total), present)


def is_compressed(numbers: NumberStatistics) -> bool:
    """Return whether a column's sketch is not simply all its numbers."""
    return any(level.shape[0] for level in numbers.levels[1:])


def spread_of_values(numbers: NumberStatistics, n: int, *, integral: bool) -> Spread | None:
    """Return the numbers as far as they are known one by one; None if only buckets are.

    Parameters
    ----------
    numbers : NumberStatistics
        The column.
    n : int
        How many numbers there are.
    integral : bool
        Whether all are whole.
    """
    if numbers.levels:
        weights = [np.full(level.shape[0], 2.0**i) for i, level in enumerate(numbers.levels)]
        values, index = np.unique(np.concatenate(numbers.levels), return_inverse=True)
        mass = _add_up(index, np.concatenate(weights), values.shape[0])
        if is_compressed(numbers):
            values, mass = _add_extremes(values, mass, numbers)
            values, mass = _adjust(values, mass, numbers, integral=integral)
        return _apportion(values, mass, n)
    return _whole_numbers(numbers, n) if integral else None


def _whole_numbers(numbers: NumberStatistics, n: int) -> Spread | None:
    """Return the numbers of a column of whole ones, if each bucket has room for only one."""
    if not numbers.buckets or numbers.minimum == numbers.maximum:
        return None
    wholes = [_only_whole_number(bucket.lower, bucket.upper) for bucket in numbers.buckets]
    # The last bucket holds its upper bound, which is the largest value.
    wholes[-1] = numbers.maximum if wholes[-1] is None else None
    filled = [i for i, bucket in enumerate(numbers.buckets) if bucket.count]
    found = [whole for i in filled if (whole := wholes[i]) is not None]
    if len(found) < len(filled) or sorted(set(found)) != found:
        return None
    mass = np.array([numbers.buckets[i].count for i in filled])
    return _apportion(np.array(found), mass, n)


def _only_whole_number(lower: float, upper: float) -> float | None:
    """Return the one whole number in ``[lower, upper)``; None if there is none or more."""
    first = float(np.ceil(lower))
    return first if first < upper <= first + 1 else None


def _add_extremes(
    values: NDArray[np.float64], mass: NDArray[np.float64], numbers: NumberStatistics
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put the smallest and the largest number back, which compression may have dropped."""
    if numbers.minimum is not None and numbers.minimum < values[0]:
        values, mass = np.append(numbers.minimum, values), np.append(1.0, mass)
    if numbers.maximum is not None and numbers.maximum > values[-1]:
        values, mass = np.append(values, numbers.maximum), np.append(mass, 1.0)
    return values, mass


def _adjust(
    values: NDArray[np.float64],
    mass: NDArray[np.float64],
    numbers: NumberStatistics,
    *,
    integral: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale the weights in each bucket to the bucket's count, which is exact."""
    wanted = np.array([bucket.count for bucket in numbers.buckets])
    if not wanted.sum():
        return values, mass
    lower = np.array([bucket.lower for bucket in numbers.buckets])
    held = _per_bucket(values, mass, lower)[1]
    apart = np.abs(held / held.sum() - wanted / wanted.sum())
    if apart.max() > _LARGEST_DISAGREEMENT:
        return values, mass
    lost = np.flatnonzero((wanted > 0) & (held == 0))
    if lost.size:
        upper = np.array([bucket.upper for bucket in numbers.buckets])[lost]
        middle = lower[lost] / 2 + upper / 2
        whole = np.floor(middle)
        # So few that compression dropped them all; where exactly they are is not known.
        middle = np.where(integral & (whole >= lower[lost]), whole, middle)
        order = np.argsort(np.append(values, middle), kind="stable")
        values = np.append(values, middle)[order]
        mass = np.append(mass, wanted[lost])[order]
    bucket, held = _per_bucket(values, mass, lower)
    scale = np.divide(wanted, held, out=np.zeros_like(wanted), where=held > 0)
    mass = mass * scale[bucket]
    return values[mass > 0], mass[mass > 0]


def _per_bucket(
    values: NDArray[np.float64], mass: NDArray[np.float64], lower: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    bucket = np.maximum(np.searchsorted(lower, values, side="right") - 1, 0)
    return bucket, _add_up(bucket, mass, lower.shape[0])


def _add_up(index: NDArray[np.intp], mass: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.bincount(index, mass, minlength=size).astype(np.float64)


def _apportion(values: NDArray[np.float64], mass: NDArray[np.float64], n: int) -> Spread | None:
    """Turn weights into whole counts that add up to n, off by less than 1 in every rank."""
    if not n or not mass.sum():
        return None
    below = np.rint(np.cumsum(mass) * (n / mass.sum())).astype(np.int64)
    below[-1] = n
    counts = np.diff(below, prepend=0)
    return Spread(values=values[counts > 0], counts=counts[counts > 0])


def spread_of_buckets(numbers: NumberStatistics, n: int) -> Spread:
    """Return the middles of the buckets, or of the whole range, as if they were the numbers."""
    filled = [bucket for bucket in numbers.buckets if bucket.count]
    if filled:
        middles = np.array([_middle(bucket.lower, bucket.upper) for bucket in filled])
        found = _apportion(middles, np.array([bucket.count for bucket in filled]), n)
    elif n and numbers.minimum is not None and numbers.maximum is not None:
        middle = np.array([_middle(numbers.minimum, numbers.maximum)])
        found = Spread(values=middle, counts=np.array([n]))
    else:
        found = None
    return found or Spread(values=np.empty(0), counts=np.empty(0, dtype=np.int64))


def _middle(lower: float, upper: float) -> float:
    # Half of each, so that the largest numbers do not overflow; the smallest have no half.
    return min(max(lower / 2 + upper / 2, lower), upper)


def count_in_cells(spec: FeatureSpec, spread: Spread) -> NDArray[np.int64]:
    """Count numbers in the cells of a column, cut as they are for counting."""
    edges, _ = fine_edges(spec)
    counts = np.zeros(edges.shape[0] + 1, dtype=np.int64)
    cells = np.searchsorted(edges, spread.values, side="right")
    np.add.at(counts, cells, spread.counts)
    return counts


def bucket_edges(numbers: NumberStatistics, low: float, high: float) -> tuple[float, ...]:
    """Return edges that make each bucket a cell, or the range if there are no buckets."""
    if low > high:
        return ()
    top = math.nextafter(high, math.inf)
    inner = (bucket.lower for bucket in numbers.buckets if low < bucket.lower <= high)
    return tuple(sorted({low, *inner} | ({top} if math.isfinite(top) else set())))


def extremes_of(name: str, numbers: NumberStatistics, spread: Spread) -> tuple[float, float]:
    """Return the smallest and the largest number; infinities the wrong way round if unknown.

    Raises
    ------
    BaselineError
        If the distribution reaches further.
    """
    if not spread.values.shape[0]:
        return np.inf, -np.inf
    low, high = numbers.minimum, numbers.maximum
    first, last = float(spread.values[0]), float(spread.values[-1])
    low, high = first if low is None else low, last if high is None else high
    if not low <= first <= last <= high:
        raise BaselineError(
            f"statistics.json: {name!r}: its distribution reaches beyond its `min` {low} and "
            f"`max` {high}: write the file again from the training data"
        )
    return low, high


def count_negative(numbers: NumberStatistics, spread: Spread, n: int) -> int:
    """Return how many of n numbers are below zero; interpolated in the bucket around zero."""
    if numbers.levels or not numbers.buckets:
        below = float(spread.counts[spread.values < 0].sum())
    else:
        below = sum(_negative_in(bucket) for bucket in numbers.buckets)
    least = 1 if numbers.minimum is not None and numbers.minimum < 0 else 0
    return min(n, max(least, round(below)))


def _negative_in(bucket: Bucket) -> float:
    width = bucket.upper - bucket.lower
    share = -bucket.lower / width if 0 < width < math.inf else float(bucket.lower < 0)
    return bucket.count * min(1.0, max(0.0, share))


def exact_sums(numbers: NumberStatistics, spread: Spread, n: int) -> tuple[tuple[int, int], float]:
    """Return the sum, the sum of squared offsets from the center, and the center.

    Chosen so that sum, mean and standard deviation come out as they were written.
    """
    if not n:
        return (0, 0), 0.0
    weights = list(zip(spread.values.tolist(), spread.counts.tolist(), strict=True))
    sum_units = _sum_between(numbers, n)
    if sum_units is None:
        sum_units = sum(to_units(value) * count for value, count in weights)
    mean = Fraction(sum_units, n << UNIT_BITS)
    center = numbers.mean
    if center is None:
        center = ratio_to_float(mean.numerator, mean.denominator)
    if numbers.std_dev is None:
        middle = to_units(center)
        squares = sum((to_units(v) - middle) ** 2 * count for v, count in weights) >> UNIT_BITS
    else:
        variance = Fraction(numbers.std_dev) ** 2 + (mean - Fraction(center)) ** 2
        squares = round(variance * (n << UNIT_BITS))
    return (sum_units, squares), center


def _sum_between(numbers: NumberStatistics, n: int) -> int | None:
    """Return a sum that rounds to the written one and whose mean rounds to the written one."""
    by_mean = None if numbers.mean is None else _rounding_to(numbers.mean)
    by_sum = None if numbers.sum is None else _rounding_to(numbers.sum)
    if by_mean is None and by_sum is None:
        return None
    if by_sum is None or by_mean is None:
        value = Fraction(numbers.sum or 0.0) if by_mean is None else Fraction(numbers.mean or 0) * n
        return round(value * (1 << UNIT_BITS))
    low, high = max(by_sum[0], by_mean[0] * n), min(by_sum[1], by_mean[1] * n)
    middle = (low + high) / 2 if low <= high else Fraction(numbers.sum or 0.0)
    return round(middle * (1 << UNIT_BITS))


def _rounding_to(value: float) -> tuple[Fraction, Fraction]:
    """Return an interval of exact numbers of which ``value`` is the nearest float."""
    exact = Fraction(value)
    below, above = math.nextafter(value, -math.inf), math.nextafter(value, math.inf)
    return (
        exact - (exact - Fraction(below)) / 2 if math.isfinite(below) else exact,
        exact + (Fraction(above) - exact) / 2 if math.isfinite(above) else exact,
    )
