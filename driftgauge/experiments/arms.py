"""What one variant did in some stretch of traffic: exact sums of metrics, which add up.

Every metric is a mean of numbers, one for each row that it rests on: rates of zeros and ones,
losses of any numbers. Rows, sum and sum of squares are all that a comparison of means needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ExperimentError
from driftgauge.profile.exact import UNIT_BITS, exact_sum, ratio_to_float, to_units
from driftgauge.profile.profile import FeatureProfile
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.metrics import measure

# Squares of larger numbers leave the range of float64.
LARGEST_NUMBER = 1e150
# Splits a float64 into two halves whose products are exact.
_SPLITTER = 2.0**27 + 1.0
# Measures of quality that are shares of rows.
_RATES = (
    *("accuracy", "recall", "precision", "true_negative_rate"),
    *("false_positive_rate", "false_negative_rate"),
)
Segment = tuple[str, str]
_Key = TypeVar("_Key")


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Rows, sum and sum of squares of one metric. ``a + b`` is exact.

    Attributes
    ----------
    rows : int
        Rows that the metric rests on.
    total, squares : int
        Sums of the values and of their squares, in units of 2**-1074.
    """

    rows: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            rows=self.rows + other.rows,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    @property
    def mean(self) -> float | None:
        """Correctly rounded mean; None without rows."""
        return ratio_to_float(self.total, self.rows << UNIT_BITS) if self.rows else None

    @property
    def variance(self) -> float | None:
        """Unbiased variance of a row, correctly rounded; None below two rows.

        Examples
        --------
        >>> sums_of_values(np.array([1.0, 3.0])).variance
        2.0
        """
        if self.rows < 2:
            return None
        exact = (self.rows * self.squares << UNIT_BITS) - self.total * self.total
        # The squares were rounded: equal values may leave less than nothing.
        return ratio_to_float(max(0, exact), (self.rows * (self.rows - 1)) << (2 * UNIT_BITS))

    def about(self, center: float) -> tuple[float, float]:
        """Return the sums of (value - center) and of its square."""
        unit = to_units(center)
        first = self.total - self.rows * unit
        second = (self.squares << UNIT_BITS) - 2 * unit * self.total + self.rows * unit * unit
        return (
            ratio_to_float(first, 1 << UNIT_BITS),
            ratio_to_float(max(0, second), 1 << (2 * UNIT_BITS)),
        )


def sums_of_rate(hits: int, trials: int) -> Sums:
    """Return the sums of a rate: zeros and ones.

    Raises
    ------
    ExperimentError
        If there are fewer trials than hits.

    Examples
    --------
    >>> sums_of_rate(3, 12).mean
    0.25
    """
    if not 0 <= hits <= trials:
        raise ExperimentError(f"{hits} hits in {trials} trials: a rate is at most one")
    return Sums(rows=trials, total=hits << UNIT_BITS, squares=hits << UNIT_BITS)


def sums_of_values(values: NDArray[np.float64]) -> Sums:
    """Return the sums of values, shape (n,), such as a loss or a latency for each row.

    Values that are not finite, or that exceed 1e150 in magnitude, are left out.

    Examples
    --------
    >>> sums = sums_of_values(np.array([0.5, 1.5, np.nan]))
    >>> sums.rows, sums.mean
    (2, 1.0)
    """
    with np.errstate(invalid="ignore"):
        kept = values[np.abs(values) <= LARGEST_NUMBER]
    squares = kept * kept
    return Sums(
        rows=kept.shape[0],
        total=exact_sum(kept),
        squares=exact_sum(squares) + exact_sum(_lost(kept, squares)),
    )


def _lost(values: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what rounding took from the squares (Dekker 1971, Numerische Mathematik 18)."""
    raised = _SPLITTER * values
    high = raised - (raised - values)
    low = values - high
    lost: NDArray[np.float64] = ((high * high - squares) + 2.0 * high * low) + low * low
    return lost


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What one variant did. ``a + b`` is exact, in any order and grouping.

    Attributes
    ----------
    requests : int
        Requests that the variant received, labelled or not: what the share of traffic is of.
    metrics : mapping of str to Sums
        Sums over all rows.
    segments : mapping of (column, category) to mapping of str to Sums
        Sums over the rows with one category of one column.
    """

    requests: int = 0
    metrics: Mapping[str, Sums] = field(default_factory=lambda: MappingProxyType({}))
    segments: Mapping[Segment, Mapping[str, Sums]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __add__(self, other: Arm) -> Arm:
        names = dict.fromkeys([*self.segments, *other.segments])
        return Arm(
            requests=self.requests + other.requests,
            metrics=_add(self.metrics, other.metrics),
            segments={
                name: _add(self.segments.get(name, {}), other.segments.get(name, {}))
                for name in names
            },
        )

    def of(self, metric: str, segment: Segment | None = None) -> Sums:
        """Return the sums of a metric; without rows if there are none."""
        metrics = self.metrics if segment is None else self.segments.get(segment, {})
        return metrics.get(metric, Sums())


def _add(mine: Mapping[_Key, Sums], theirs: Mapping[_Key, Sums]) -> dict[_Key, Sums]:
    none = Sums()
    return {
        name: mine.get(name, none) + theirs.get(name, none)
        for name in dict.fromkeys([*mine, *theirs])
    }


def arm_of_outcomes(
    counts: OutcomeCounts, *, requests: int, others: Mapping[str, Sums] | None = None
) -> Arm:
    """Return what labelled outcomes say of a variant, of all rows and of each segment.

    Parameters
    ----------
    counts : OutcomeCounts
        The variant's predictions with the labels that have arrived.
    requests : int
        Requests that the variant received.
    others : mapping of str to Sums, optional
        Further metrics of all rows, such as errors and latency.

    Examples
    --------
    >>> from driftgauge.quality.counts import count_outcomes
    >>> from driftgauge.quality.outcomes import Outcomes
    >>> from driftgauge.quality.spec import OutcomeSpec
    >>> outcomes = Outcomes(
    ...     problem="binary", classes=("no", "yes"), labels=np.array([0.0, 1.0]),
    ...     predictions=np.array([0.0, 0.0]), probabilities=None, segments={},
    ... )
    >>> counts = count_outcomes(OutcomeSpec(problem="binary", classes=("no", "yes")), outcomes)
    >>> arm = arm_of_outcomes(counts, requests=2)
    >>> arm.of("accuracy").mean, arm.of("recall").mean, arm.of("precision").rows
    (0.5, 0.0, 0)
    """
    return Arm(
        requests=requests,
        metrics={**sums_of_outcomes(counts), **(others or {})},
        segments={name: sums_of_outcomes(part) for name, part in counts.segments.items()},
    )


def sums_of_outcomes(counts: OutcomeCounts) -> dict[str, Sums]:
    """Return the measures of quality that are means over rows.

    Regression: mae, mse. Classification: accuracy and, binary, the rates of the confusion matrix,
    each a mean over the rows of its denominator, and ``positive_rate``, the share of positive
    predictions among all rows, labelled or not; with scores brier_score and log_loss. Measures of
    all rows together, such as auc, f1 and r2, are no such means and cannot be compared so.
    """
    if counts.spec.problem == "regression":
        rows = counts.labelled
        absolute, squares, fourths = (sum(power) for power in counts.powers)
        return {
            "mae": Sums(rows=rows, total=absolute, squares=squares),
            "mse": Sums(rows=rows, total=squares, squares=fourths),
        }
    known = measure(counts) if counts.labelled else {}
    sums = {
        name: sums_of_rate(known[name].hits or 0, known[name].rows)
        for name in _RATES
        if name in known and known[name].hits is not None
    }
    if counts.spec.problem == "binary":
        positive = int(counts.confusion[:, 1].sum() + counts.unlabelled[1])
        sums["positive_rate"] = sums_of_rate(positive, counts.rows)
    if scored := int(counts.reliability[0].sum()):
        losses = counts.losses
        sums["brier_score"] = Sums(rows=scored, total=losses.squared, squares=losses.squared_2)
        sums["log_loss"] = Sums(rows=scored, total=losses.log, squares=losses.log_2)
    return sums


def sums_of_feature(feature: FeatureProfile) -> dict[str, Sums]:
    """Return what a profile says of a column: its mean and the share of missing values.

    Names are ``mean of`` and ``missing``, followed by the column. These need no labels: the mean
    score of two variants, say.
    """
    name = feature.spec.name
    sums = {f"missing {name}": sums_of_rate(feature.missing, feature.rows)}
    if feature.minimum is not None and feature.maximum is not None:
        rows = int(feature.counts.sum())
        center = to_units(feature.spec.center)
        # The profile's squares are about the center.
        squares = feature.square_units
        squares += (2 * center * feature.sum_units - rows * center * center) >> UNIT_BITS
        most = max(abs(feature.minimum), abs(feature.maximum))
        if most <= LARGEST_NUMBER and math.isfinite(feature.spec.center):
            sums[f"mean of {name}"] = Sums(rows=rows, total=feature.sum_units, squares=squares)
    return sums
