"""Statistics of the values within a range: ``TC(:100)``, ``TS``, ``TM`` and ``PR``.

AWS documentation: "Statistics definitions" in the Amazon CloudWatch User Guide: trimmed count,
trimmed sum, trimmed mean, percentile rank. A range of values leaves its lower end out and has its
upper end in it. ministack takes an unknown statistic for the average.

Left out: ranges of percentiles (``TM(10%:90%)``, ``tm90``), winsorized mean, interquartile mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ministack.services import cloudwatch

_RANGE = re.compile(r"(?P<kind>TC|TS|TM|PR)\((?P<low>[\d.]*):(?P<high>[\d.]*)\)")


def install() -> None:
    """Make GetMetricData, GetMetricStatistics and alarms know these statistics."""
    value_of = cloudwatch._stat_value
    is_percentile = cloudwatch._is_percentile_stat

    def value_of_any(stats: dict[str, float], name: str, points: Any = None) -> float | None:
        if is_range(name):
            return range_statistic(points or [], name)
        found: float | None = value_of(stats, name, points)
        return found

    cloudwatch._stat_value = value_of_any
    # What GetMetricStatistics answers as an extended statistic.
    cloudwatch._is_percentile_stat = lambda name: is_range(name) or is_percentile(name)


def is_range(name: str) -> bool:
    """Tell whether a statistic is one of values within a range.

    Examples
    --------
    >>> [is_range(name) for name in ("TC(:100)", "PR(0.5:)", "TM(10%:90%)", "p90")]
    [True, True, False, False]
    """
    return _RANGE.fullmatch(name) is not None


def range_statistic(points: Sequence[dict[str, Any]], name: str) -> float | None:
    """Return a statistic of the points of one period.

    Parameters
    ----------
    points : sequence of dict
        As ministack keeps them: a value with its count, or a statistic set.
    name : str
        One for which ``is_range`` is true.

    Returns
    -------
    float or None
        None if there is none: no points, a negative value, a statistic set of unequal values, or
        the mean of nothing.

    Examples
    --------
    >>> points = [{"Value": value} for value in (100.0, 200.0, 300.0, 400.0)]
    >>> names = ("TC(:200)", "TC(200:)", "TS(100:300)", "TM(100:300)", "PR(:300)", "TC(500:)")
    >>> [range_statistic(points, name) for name in names]
    [2.0, 2.0, 500.0, 250.0, 75.0, 0.0]
    """
    found = _RANGE.fullmatch(name)
    samples = cloudwatch._percentile_samples(points)
    if found is None or not samples:
        return None
    low = float(found["low"] or "-inf")
    high = float(found["high"] or "inf")
    inside = [(value, weight) for value, weight in samples if low < value <= high]
    count = float(sum(weight for _, weight in inside))
    total = float(sum(value * weight for value, weight in inside))
    if found["kind"] == "TM":
        return total / count if count else None
    if found["kind"] == "PR":
        return 100.0 * count / float(sum(weight for _, weight in samples))
    return count if found["kind"] == "TC" else total
