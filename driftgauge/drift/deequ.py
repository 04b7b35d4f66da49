"""Deequ's distances, which Model Monitor decides with.

For comparing with what it reported; driftgauge's own verdicts use ``decision``.
Facts about the algorithms are from awslabs/deequ, ``Distance.scala`` and its test suite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from driftgauge.drift.special import chi_squared_sf

# Deequ's constant, which stands for alpha = 0.003 in Knuth's table of the KS distribution.
_ROBUST_FACTOR = 1.8


def robust(distance: float, n: float, m: float, *, alpha: float | None = None) -> float:
    """Take off a distance what two samples of one distribution may differ by.

    max(0, D - c sqrt((n + m) / (n m))) with c = 1.8, or c = sqrt(-ln(alpha / 2) / 2).

    Parameters
    ----------
    distance : float
        A simple distance between 0 and 1.
    n, m : float
        Sample sizes.
    alpha : float, optional
        Error probability that replaces the constant 1.8.

    Examples
    --------
    >>> robust(0.3, 100, 100) > 0, robust(0.25, 100, 100)
    (True, 0.0)
    """
    factor = _ROBUST_FACTOR if alpha is None else math.sqrt(-math.log(alpha / 2.0) / 2.0)
    return max(0.0, distance - factor * math.sqrt((n + m) / (n * m)))


def numeric_distance(baseline: Sequence[float], window: Sequence[float]) -> float:
    """Return the largest gap between the distribution functions of two sets of distinct values.

    Deequ ranks the items of its sketches in a map keyed by value, so a value that occurs many
    times counts once: on integers it compares supports, not distributions. Reproduced as it is.

    Parameters
    ----------
    baseline, window : sequence of float
        The values, in any order; at least one each.

    Examples
    --------
    >>> numeric_distance([1, 2, 3, 4], [2, 3, 4, 5])
    0.25
    >>> numeric_distance([0] * 9 + [1], [0] + [1] * 9)
    0.0
    """
    first, second = sorted(set(baseline)), sorted(set(window))
    largest, i, j = 0.0, 0, 0
    for value in sorted({*first, *second}):
        while i < len(first) and first[i] <= value:
            i += 1
        while j < len(second) and second[j] <= value:
            j += 1
        largest = max(largest, abs(i / len(first) - j / len(second)))
    return largest


def categorical_distance(
    baseline: Mapping[str, float],
    window: Mapping[str, float],
    *,
    baseline_rows: float | None = None,
    window_rows: float | None = None,
) -> float:
    """Return the largest difference of a category's share, which is 0 where it is absent.

    Parameters
    ----------
    baseline, window : mapping of str to float
        Counts of the categories. Two empty sides have distance 0.
    baseline_rows, window_rows : float, optional
        Sums of all counts, where the mappings hold only some categories.

    Examples
    --------
    >>> categorical_distance({"a": 1, "b": 1}, {"a": 3, "b": 1})
    0.25
    """
    m = (sum(baseline.values()) if baseline_rows is None else baseline_rows) or 1.0
    n = (sum(window.values()) if window_rows is None else window_rows) or 1.0
    categories = {*baseline, *window}
    gaps = (abs(baseline.get(c, 0.0) / m - window.get(c, 0.0) / n) for c in categories)
    return max(gaps, default=0.0)


def chi_squared_test(
    sample: Mapping[str, float], expected: Mapping[str, float]
) -> tuple[float, float]:
    """Run the one-sample chi-squared test after Deequ's regrouping of light categories.

    Categories the expectation does not know are ignored. The expected counts are scaled to the
    sample's size; then the lightest category joins the second lightest until, of two, both expect
    at least 10, or, of more, at most a fifth expect fewer than 5.

    Parameters
    ----------
    sample, expected : mapping of str to float
        Counts of the categories in the window and in the baseline.

    Returns
    -------
    statistic, p_value : float
        NaN where fewer than two categories remain, or sample and expectation share none.

    Examples
    --------
    >>> statistic, p_value = chi_squared_test({"a": 30}, {"a": 20, "b": 20})
    >>> statistic, f"{p_value:.4e}"
    (30.0, '4.3205e-08')
    """
    known = sum(sample.get(category, 0.0) for category in expected)
    total = sum(expected.values())
    if known <= 0.0 or total <= 0.0:
        return math.nan, math.nan
    groups = sorted(
        (count * known / total, sample.get(category, 0.0)) for category, count in expected.items()
    )
    while len(groups) >= 2 and not _heavy_enough([group[0] for group in groups]):
        (first_expected, first), (second_expected, second), *others = groups
        groups = sorted([(first_expected + second_expected, first + second), *others])
    if len(groups) < 2:
        return math.nan, math.nan
    statistic = sum((observed - count) ** 2 / count for count, observed in groups)
    return statistic, chi_squared_sf(statistic, len(groups) - 1)


def _heavy_enough(expected: list[float]) -> bool:
    if len(expected) == 2:
        return min(expected) >= 10.0
    return sum(count < 5.0 for count in expected) <= int(0.2 * len(expected))
