"""Model Monitor's files of model quality: statistics, constraints and violations.

Names, layout and wording are those of real files. What Model Monitor never had, the measures of
calibration, is written under the key ``calibration_metrics``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from driftgauge.errors import QualityError
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.curves import precision_recall_curve, roc_curve
from driftgauge.quality.metrics import CALIBRATION, LOWER_IS_BETTER, Metric, measure
from driftgauge.quality.outcomes import Problem
from driftgauge.quality.scores import EVENT, OTHER, RELIABILITY_BINS
from driftgauge.quality.sums import mean_of
from driftgauge.windows import format_time

Operator = Literal["GreaterThanThreshold", "LessThanThreshold"]

_LEAST_FOR_DEVIATION = 200
_ROUNDING = 1e-12
_PREFIXES: dict[Problem, str] = {
    "regression": "regression",
    "binary": "binary_classification",
    "multiclass": "multiclass_classification",
}
# The measures that Model Monitor suggests a constraint for.
_CONSTRAINED: dict[Problem, tuple[str, ...]] = {
    "regression": ("mae", "mse", "rmse", "r2"),
    "binary": (
        *("recall", "precision", "accuracy", "true_positive_rate", "true_negative_rate"),
        *("false_positive_rate", "false_negative_rate", "auc", "f0_5", "f1", "f2"),
    ),
    "multiclass": (
        *("accuracy", "weighted_recall", "weighted_precision"),
        *("weighted_f0_5", "weighted_f1", "weighted_f2"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The value beyond which a measure violates; equality, but for rounding, does not."""

    threshold: float
    operator: Operator

    def violated(self, value: float) -> bool:
        """Whether a value is on the wrong side; NaN is on none.

        Examples
        --------
        >>> Limit(threshold=0.8, operator="LessThanThreshold").violated(0.8)
        False
        """
        # A baseline's own value must not violate because sums were rounded in another order.
        if math.isclose(value, self.threshold, rel_tol=_ROUNDING, abs_tol=0.0):
            return False
        if self.operator == "LessThanThreshold":
            return value < self.threshold
        return value > self.threshold


@dataclass(frozen=True, kw_only=True)
class QualityConstraints:
    """The content of ``constraints.json`` of model quality."""

    problem: Problem
    limits: Mapping[str, Limit]


@dataclass(frozen=True, kw_only=True)
class QualityViolation:
    """A failed check, in the words of ``constraint_violations.json``."""

    constraint_check_type: Operator
    metric_name: str
    description: str


def suggest_quality_constraints(
    problem: Problem, metrics: Mapping[str, Metric]
) -> QualityConstraints:
    """Suggest the baseline's own values as limits, exactly, as Model Monitor does."""
    limits = {
        name: Limit(threshold=metrics[name].value, operator=operator_of(name))
        for name in _CONSTRAINED[problem]
        if name in metrics and math.isfinite(metrics[name].value)
    }
    return QualityConstraints(problem=problem, limits=limits)


def operator_of(name: str) -> Operator:
    """Return the comparison with which a measure violates."""
    return "GreaterThanThreshold" if name in LOWER_IS_BETTER else "LessThanThreshold"


def check_limits(
    metrics: Mapping[str, Metric], limits: Mapping[str, Limit], *, rows: int
) -> tuple[QualityViolation, ...]:
    """Check measures against limits; a measure that is not defined is not checked.

    Parameters
    ----------
    metrics : mapping of str to Metric
    limits : mapping of str to Limit
    rows : int
        Labelled rows: below 200 Model Monitor knows no standard deviation.
    """
    return tuple(
        describe_violation(name, metrics[name], limit, rows=rows)
        for name, limit in limits.items()
        if name in metrics and limit.violated(metrics[name].value)
    )


def describe_violation(name: str, metric: Metric, limit: Limit, *, rows: int) -> QualityViolation:
    """Describe a violation in Model Monitor's words.

    Examples
    --------
    >>> limit = Limit(threshold=0.8, operator="LessThanThreshold")
    >>> metric = Metric(value=0.73, standard_error=0.02)
    >>> describe_violation("recall", metric, limit, rows=500).description
    "Metric recall with 0.73 +/- 0.01 was LessThanThreshold '0.8'"
    """
    deviation = _deviation(metric, rows)
    return QualityViolation(
        constraint_check_type=limit.operator,
        metric_name=name,
        description=(
            f"Metric {name} with {metric.value} +/- {deviation} was {limit.operator} "
            f"'{limit.threshold}'"
        ),
    )


def encode_quality_statistics(
    counts: OutcomeCounts,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    evaluated_at: datetime | None = None,
) -> bytes:
    """Write ``statistics.json``.

    Standard deviations are Model Monitor's, from counts instead of random subsamples: see
    ``Metric.standard_deviation``.

    Parameters
    ----------
    counts : OutcomeCounts
        Only labelled rows count.
    start, end, evaluated_at : datetime, optional
        Of the window.
    """
    problem = counts.spec.problem
    dataset: dict[str, Any] = {"item_count": counts.labelled}
    times = {"start_time": start, "end_time": end, "evaluation_time": evaluated_at}
    dataset |= {key: format_time(at) for key, at in times.items() if at is not None}
    metrics = measure(counts)
    ours = [name for name in CALIBRATION if name in metrics]
    listed: dict[str, Any] = {}
    if problem != "regression":
        listed["confusion_matrix"] = _confusion(counts)
    for name, metric in metrics.items():
        if name == "auc":
            listed |= _curves(counts)
        if name not in ours:
            listed[name] = _entry(metric, counts.labelled)
    document = {"version": 0.0, "dataset": dataset, f"{_PREFIXES[problem]}_metrics": listed}
    if ours:
        calibration: dict[str, Any] = {
            name: _entry(metrics[name], counts.labelled) for name in ours
        }
        calibration["reliability"] = _reliability(counts)
        document["calibration_metrics"] = calibration
    return _json(document)


def encode_quality_constraints(constraints: QualityConstraints) -> bytes:
    """Write ``constraints.json``."""
    limits = {
        name: {"threshold": limit.threshold, "comparison_operator": limit.operator}
        for name, limit in constraints.limits.items()
    }
    return _json({"version": 0.0, f"{_PREFIXES[constraints.problem]}_constraints": limits})


def decode_quality_constraints(data: bytes) -> QualityConstraints:
    """Read ``constraints.json`` of model quality, this program's or Model Monitor's.

    Raises
    ------
    QualityError
        With what is wrong in the file.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise QualityError(f"constraints.json is not JSON: {error}") from error
    known = document if isinstance(document, dict) else {}
    for problem, prefix in _PREFIXES.items():
        found = known.get(f"{prefix}_constraints")
        if isinstance(found, dict):
            limits = {str(name): _limit(name, item) for name, item in found.items()}
            return QualityConstraints(problem=problem, limits=limits)
    raise QualityError(
        "constraints.json has none of "
        + ", ".join(f"{prefix}_constraints" for prefix in _PREFIXES.values())
        + ": is it the file of model quality? (Data quality, bias and explainability have files of "
        "the same name.)"
    )


def encode_quality_violations(violations: tuple[QualityViolation, ...]) -> bytes:
    """Write ``constraint_violations.json``.

    Examples
    --------
    >>> json.loads(encode_quality_violations(()))
    {'violations': []}
    """
    listed = [
        {
            "constraint_check_type": violation.constraint_check_type,
            "description": violation.description,
            "metric_name": violation.metric_name,
        }
        for violation in violations
    ]
    return _json({"violations": listed})


def _limit(name: str, item: object) -> Limit:
    threshold = item.get("threshold") if isinstance(item, dict) else None
    operator = item.get("comparison_operator") if isinstance(item, dict) else None
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, str)):
        raise QualityError(f"constraints.json: {name} has no threshold that is a number")
    try:
        value = float(threshold)
    except (ValueError, OverflowError):
        raise QualityError(f"constraints.json: the threshold of {name} is no number") from None
    if operator == "LessThanThreshold":
        return Limit(threshold=value, operator="LessThanThreshold")
    if operator == "GreaterThanThreshold":
        return Limit(threshold=value, operator="GreaterThanThreshold")
    raise QualityError(
        f"constraints.json: the comparison_operator of {name} must be LessThanThreshold or "
        "GreaterThanThreshold"
    )


def _confusion(counts: OutcomeCounts) -> dict[str, dict[str, int]]:
    classes = counts.spec.classes
    return {
        label: dict(zip(classes, row, strict=True))
        for label, row in zip(classes, counts.confusion.tolist(), strict=True)
    }


def _curves(counts: OutcomeCounts) -> dict[str, Any]:
    histogram = counts.histogram[0].sum(axis=1)
    roc = roc_curve(histogram[OTHER], histogram[EVENT])
    pr = precision_recall_curve(histogram[OTHER], histogram[EVENT])
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": roc.x,
            "true_positive_rates": roc.y,
        },
        "precision_recall_curve": {"precisions": pr.y, "recalls": pr.x},
    }


def _reliability(counts: OutcomeCounts) -> list[dict[str, Any]]:
    """Ten equal bins of the score: rows, mean score, share of events."""
    rows, events = counts.reliability.tolist()
    return [
        {
            "lower_bound": i / RELIABILITY_BINS,
            "upper_bound": (i + 1) / RELIABILITY_BINS,
            "count": rows[i],
            "mean_score": mean_of(counts.score_sums[i], rows[i]),
            "event_share": events[i] / rows[i],
        }
        for i in range(RELIABILITY_BINS)
        if rows[i]
    ]


def _entry(metric: Metric, rows: int) -> dict[str, float | str]:
    value = metric.value if math.isfinite(metric.value) else _word(metric.value)
    return {"value": value, "standard_deviation": _deviation(metric, rows)}


def _deviation(metric: Metric, rows: int) -> float | str:
    deviation = metric.standard_deviation
    return deviation if rows >= _LEAST_FOR_DEVIATION and math.isfinite(deviation) else "NaN"


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode("ascii")
