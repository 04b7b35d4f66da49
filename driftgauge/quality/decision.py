"""The decision on quality: whether the model became worse, and whether that is worth an alarm.

Sound mode: a measure decays when it is significantly worse than the baseline's after Holm's
correction, and by more than a tolerance. Both samples are taken as random. Strict mode compares
with the thresholds of ``constraints.json`` as Model Monitor does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from driftgauge.drift.multiplicity import holm
from driftgauge.drift.special import hypergeometric_sf, normal_isf, normal_sf
from driftgauge.errors import QualityError
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.estimation import Estimator, estimate_quality, judge_gap
from driftgauge.quality.files import (
    Limit,
    QualityConstraints,
    QualityViolation,
    check_limits,
    describe_violation,
    operator_of,
)
from driftgauge.quality.metrics import LOWER_IS_BETTER, Metric, measure
from driftgauge.quality.outcomes import Problem
from driftgauge.quality.pictures import picture_quality
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.verdict import (
    MetricVerdict,
    QualityOutcome,
    QualityVerdict,
    SegmentVerdict,
)

# Not every measure is judged: many say the same, and each costs power.
JUDGED: dict[Problem, tuple[str, ...]] = {
    "regression": ("mae", "rmse", "r2"),
    "binary": (
        *("accuracy", "recall", "precision", "true_negative_rate", "f1", "auc", "brier_score"),
    ),
    "multiclass": ("accuracy", "weighted_precision", "weighted_f1", "brier_score"),
}
JUDGED_IN_SEGMENTS: dict[Problem, tuple[str, ...]] = {
    "regression": ("mae",),
    "binary": ("accuracy", "recall", "precision"),
    "multiclass": ("accuracy",),
}
_BOUNDED = frozenset({"mae", "mse", "rmse", "brier_score", "log_loss"})
_NORMAL_975 = normal_isf(0.025)
# A share of fewer rows is not judged.
_LEAST_DENOMINATOR = 10


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """One measure of the window beside the baseline's, and how surprising it is."""

    name: str
    here: Metric
    there: Metric
    p_value: float


def judge_quality(
    counts: OutcomeCounts,
    baseline: OutcomeCounts | QualityConstraints,
    *,
    settings: QualitySettings | None = None,
    estimator: Estimator | None = None,
) -> QualityVerdict:
    """Judge the quality of a window soundly.

    Parameters
    ----------
    counts : OutcomeCounts
        Of the window, with all labels that have arrived.
    baseline : OutcomeCounts or QualityConstraints
        Of the baseline. Where only its ``constraints.json`` is left, its thresholds are taken as
        the true values, and segments are not judged.
    settings : QualitySettings, optional
    estimator : Estimator, optional
        Made from the baseline: then quality is estimated without labels as well, and the gap
        between both is judged.

    Returns
    -------
    QualityVerdict
        ``alpha`` is the chance of any decay by chance: all of it for the measures of all rows if
        there are no segments, else half of it, and half for the segments. The gaps have their own.

    Raises
    ------
    QualityError
        If the baseline is of another problem or was counted by another specification.
    """
    settings = settings or QualitySettings()
    spec = counts.spec
    _check_baseline(counts, baseline)
    if isinstance(baseline, QualityConstraints):
        known, parts = _fixed(baseline.limits), None
    else:
        known, parts = measure(baseline), baseline
    immature = _immaturity(counts, parts, settings)
    outcome, reason = _standing(counts.labelled, immature, settings)
    segmented = parts is not None and bool(spec.segment_names) and outcome == "ok"
    alpha = settings.alpha / 2 if segmented else settings.alpha
    metrics = _judge(
        measure(counts),
        known,
        JUDGED[spec.problem],
        replace(settings, alpha=alpha),
        outcome,
        reason,
    )
    segments: tuple[SegmentVerdict, ...] = ()
    if parts is not None and segmented:
        segments = _judge_segments(counts, parts, replace(settings, alpha=alpha))
    if outcome == "ok":
        outcome, reason = _overall(metrics, segments)
    return QualityVerdict(
        problem=spec.problem,
        mode="sound",
        verdict=outcome,
        reason=reason,
        rows=counts.rows,
        labelled=counts.labelled,
        unusable=counts.unusable,
        metrics=metrics,
        segments=segments,
        violations=_violations(metrics, measure(counts), counts.labelled),
        estimates=estimate_quality(counts, estimator, design_effect=settings.design_effect)
        if estimator
        else {},
        gaps=judge_gap(counts, estimator, settings) if estimator and not immature else (),
        pictures=picture_quality(counts),
        baseline_pictures=picture_quality(parts) if parts is not None else None,
    )


def judge_quality_strictly(
    counts: OutcomeCounts, constraints: QualityConstraints
) -> QualityVerdict:
    """Judge as Model Monitor does: each measure against its threshold, whatever the rows.

    Raises
    ------
    QualityError
        If the constraints are of another problem.
    """
    _check_baseline(counts, constraints)
    known = measure(counts)
    violations = check_limits(known, constraints.limits, rows=counts.labelled)
    violated = {violation.metric_name for violation in violations}
    metrics = tuple(
        _strict_metric(name, known.get(name, Metric(value=math.nan)), limit, name in violated)
        for name, limit in constraints.limits.items()
    )
    outcome: QualityOutcome = "decay" if violations else "ok"
    reason = f"{len(violations)} of {len(metrics)} measures violate their threshold."
    if not counts.labelled:
        outcome, reason = "insufficient_data", "No row has a label."
    return QualityVerdict(
        problem=counts.spec.problem,
        mode="strict",
        verdict=outcome,
        reason=reason,
        rows=counts.rows,
        labelled=counts.labelled,
        unusable=counts.unusable,
        metrics=metrics,
        violations=violations,
        pictures=picture_quality(counts),
    )


def _check_baseline(counts: OutcomeCounts, baseline: OutcomeCounts | QualityConstraints) -> None:
    if isinstance(baseline, QualityConstraints):
        if baseline.problem != counts.spec.problem:
            raise QualityError(
                f"the constraints are of {baseline.problem}, the outcomes of {counts.spec.problem}"
            )
    elif baseline.spec.digest != counts.spec.digest:
        raise QualityError("the counts of the window were made by another baseline")


def _fixed(limits: Mapping[str, Limit]) -> dict[str, Metric]:
    return {
        name: Metric(value=limit.threshold, standard_error=0.0) for name, limit in limits.items()
    }


def _immaturity(
    counts: OutcomeCounts, baseline: OutcomeCounts | None, settings: QualitySettings
) -> str | None:
    """Say why the labels that have arrived may not stand for those to come; None if they may."""
    if not counts.labelled:
        return None
    usual = settings.usual_coverage
    if usual is not None and counts.coverage < settings.coverage_slack * usual:
        return (
            f"{counts.coverage:.1%} of the rows have a label; at this age {usual:.1%} usually have."
        )
    if settings.min_coverage is not None and counts.coverage < settings.min_coverage:
        return (
            f"{counts.coverage:.1%} of the rows have a label; at least "
            f"{settings.min_coverage:.1%} are needed."
        )
    if counts.spec.problem == "regression":
        return None
    arrived = np.count_nonzero(counts.confusion.sum(axis=1))
    expected = 2 if baseline is None else np.count_nonzero(baseline.confusion.sum(axis=1))
    if arrived == 1 and expected > 1:
        return "Labels of only one class have arrived."
    return None


def _standing(
    labelled: int, immature: str | None, settings: QualitySettings
) -> tuple[QualityOutcome, str]:
    if immature is not None:
        return "labels_immature", immature
    if labelled < settings.min_rows:
        return (
            "insufficient_data",
            f"{labelled} rows have a label; at least {settings.min_rows} are needed.",
        )
    return "ok", ""


def _judge(
    here: Mapping[str, Metric],
    there: Mapping[str, Metric],
    names: tuple[str, ...],
    settings: QualitySettings,
    outcome: QualityOutcome,
    reason: str,
) -> tuple[MetricVerdict, ...]:
    """Judge measures as one family; with any outcome but ``ok`` only list them.

    The primary measure gets half of the error probability: what people look at must not pay for
    how many others are judged beside it.
    """
    shared = [name for name in names if name in here and name in there]
    if outcome != "ok":
        return tuple(
            _unjudged(name, here[name], there[name], outcome, reason, settings) for name in shared
        )
    compared = _compare(here, there, shared, settings)
    primary = settings.primary or names[0]
    others = sum(one.name != primary for one in compared)
    weights = [float(max(1, others)) if one.name == primary else 1.0 for one in compared]
    p_values = np.array([one.p_value for one in compared])
    adjusted = holm(p_values, weights=np.array(weights)).tolist()
    judged = {
        one.name: _decide(one, p, settings) for one, p in zip(compared, adjusted, strict=True)
    }
    reason = "Too few labelled rows are of the kind that this measure is about."
    return tuple(
        judged[name]
        if name in judged
        else _unjudged(name, here[name], there[name], "insufficient_data", reason, settings)
        for name in shared
    )


def _compare(
    here: Mapping[str, Metric],
    there: Mapping[str, Metric],
    names: list[str],
    settings: QualitySettings,
) -> list[_Comparison]:
    return [
        _Comparison(
            name=name,
            here=here[name],
            there=there[name],
            p_value=p_of_decay(name, here[name], there[name], settings.design_effect),
        )
        for name in names
        if _comparable(here[name], settings) and math.isfinite(there[name].value)
    ]


def _comparable(metric: Metric, settings: QualitySettings) -> bool:
    enough = metric.rows >= _LEAST_DENOMINATOR * settings.design_effect
    return enough and math.isfinite(metric.value) and math.isfinite(metric.standard_error)


def p_of_decay(name: str, here: Metric, there: Metric, design_effect: float) -> float:
    """Return how often a measure is so much worse than the baseline's by chance.

    Shares of rows: Fisher's exact test, on counts divided by the design effect. Against a fixed
    value, and of other measures: the normal approximation.

    Parameters
    ----------
    name : str
        Says which direction is worse.
    here, there : Metric
        Of window and baseline; a standard error of 0 says that ``there`` is a fixed value.
    design_effect : float
        How many times larger variances are than independent rows would give.

    Examples
    --------
    >>> window = Metric(value=0.7, standard_error=0.0458, rows=100, hits=70)
    >>> baseline = Metric(value=0.8, standard_error=0.0126, rows=1000, hits=800)
    >>> round(p_of_decay("recall", window, baseline, 1.0), 4)
    0.0158
    """
    lower = name in LOWER_IS_BETTER
    if here.hits is not None and there.hits is not None:
        n, m = (max(1, round(metric.rows / design_effect)) for metric in (here, there))
        x, y = round(here.value * n), round(there.value * m)
        if not lower:
            x, y = n - x, m - y
        return hypergeometric_sf(x, x + y, n, n + m)
    error = math.hypot(here.standard_error, there.standard_error)
    if here.hits is not None and there.rows == 0:
        # Against a fixed share: its own variance, not that of what happened to be seen.
        share = (there.value * here.rows + 0.5) / (here.rows + 1)
        error = math.sqrt(max(0.0, share * (1 - share)) / here.rows)
    worse = here.value - there.value if lower else there.value - here.value
    if not error > 0:
        return 0.0 if worse > 0 else 1.0
    return normal_sf(worse / (error * math.sqrt(design_effect)))


def interval_of(name: str, metric: Metric, design_effect: float) -> tuple[float, float] | None:
    """Return the 95 % interval of a measure: Wilson's for a share, else the normal one.

    Examples
    --------
    >>> low, high = interval_of("recall", Metric(value=1.0, rows=10, hits=10), 1.0)
    >>> round(low, 4), high
    (0.7225, 1.0)
    """
    value, z = metric.value, _NORMAL_975
    if not math.isfinite(value):
        return None
    if metric.hits is not None and metric.rows:
        n = metric.rows / design_effect
        middle = (value + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)
    if not math.isfinite(metric.standard_error):
        return None
    half = z * metric.standard_error * math.sqrt(design_effect)
    if name == "r2":
        return value - half, min(1.0, value + half)
    return max(0.0, value - half), value + half if name in _BOUNDED else min(1.0, value + half)


def _decide(one: _Comparison, adjusted: float, settings: QualitySettings) -> MetricVerdict:
    lower = one.name in LOWER_IS_BETTER
    change = one.here.value - one.there.value
    worse = change if lower else -change
    tolerance = settings.tolerance_of(one.name, one.there.value)
    significant, large = adjusted <= settings.alpha, worse > tolerance
    if significant and large:
        reason = "Significantly worse than the baseline, by more than the tolerance."
    elif significant:
        reason = "Worse than the baseline, but too little for an alarm."
    elif large:
        reason = "Looks worse than the baseline, but chance may do that with so few labels."
    else:
        reason = "As good as the baseline."
    verdict = _unjudged(
        one.name,
        one.here,
        one.there,
        "decay" if significant and large else "ok",
        reason,
        settings,
    )
    return replace(verdict, p_value=one.p_value, adjusted_p_value=adjusted, tolerance=tolerance)


def _unjudged(
    name: str,
    here: Metric,
    there: Metric,
    outcome: QualityOutcome,
    reason: str,
    settings: QualitySettings,
) -> MetricVerdict:
    interval = interval_of(name, here, settings.design_effect)
    return MetricVerdict(
        name=name,
        verdict=outcome,
        reason=reason,
        value=_known(here.value),
        baseline=_known(there.value),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        rows=here.rows,
    )


def _strict_metric(name: str, metric: Metric, limit: Limit, violated: bool) -> MetricVerdict:
    value = _known(metric.value)
    interval = interval_of(name, metric, 1.0)
    if value is None:
        reason = "Not defined for these labels, so it is not checked."
    else:
        reason = f"{limit.operator} {limit.threshold}" if violated else "Within its threshold."
    return MetricVerdict(
        name=name,
        verdict="insufficient_data" if value is None else "decay" if violated else "ok",
        reason=reason,
        value=value,
        baseline=limit.threshold,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        rows=metric.rows,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _judge_segments(
    counts: OutcomeCounts, baseline: OutcomeCounts, settings: QualitySettings
) -> tuple[SegmentVerdict, ...]:
    """Judge every segment with enough labels; all their measures are one family."""
    names = JUDGED_IN_SEGMENTS[counts.spec.problem]
    there = baseline.segments
    measured = {
        segment: (measure(part), measure(there[segment]))
        for segment, part in counts.segments.items()
        if min(part.labelled, there[segment].labelled) >= settings.min_rows
    }
    family = [
        (segment, one)
        for segment, (here, known) in measured.items()
        for one in _compare(here, known, [n for n in names if n in here], settings)
    ]
    adjusted = holm(np.array([one.p_value for _, one in family])).tolist()
    decided: dict[tuple[str, str], list[MetricVerdict]] = {segment: [] for segment in measured}
    for (segment, one), p in zip(family, adjusted, strict=True):
        decided[segment].append(_decide(one, p, settings))
    verdicts = [
        SegmentVerdict(
            column=segment[0],
            category=segment[1],
            verdict="decay" if any(m.verdict == "decay" for m in metrics) else "ok",
            rows=counts.segments[segment].rows,
            labelled=counts.segments[segment].labelled,
            metrics=tuple(metrics),
        )
        for segment, metrics in decided.items()
    ]
    return tuple(sorted(verdicts, key=_smallest_p))


def _smallest_p(segment: SegmentVerdict) -> float:
    return min((m.p_value for m in segment.metrics if m.p_value is not None), default=1.0)


def _overall(
    metrics: tuple[MetricVerdict, ...], segments: tuple[SegmentVerdict, ...]
) -> tuple[QualityOutcome, str]:
    worse = [m.name for m in metrics if m.verdict == "decay"]
    parts = [f"{s.column} = {s.category}" for s in segments if s.verdict == "decay"]
    if worse:
        return "decay", f"Worse than the baseline: {', '.join(worse)}."
    if parts:
        return "decay", f"Worse than the baseline where {'; '.join(parts[:3])}."
    if not metrics or all(m.verdict == "insufficient_data" for m in metrics):
        return "insufficient_data", "No measure could be compared with the baseline."
    return "ok", "As good as the baseline."


def _violations(
    metrics: tuple[MetricVerdict, ...], here: Mapping[str, Metric], rows: int
) -> tuple[QualityViolation, ...]:
    """Describe decayed measures as violations of the baseline's value with its tolerance."""
    violations = []
    for metric in metrics:
        if metric.verdict == "decay" and metric.baseline is not None:
            margin = metric.tolerance or 0.0
            sign = 1.0 if metric.name in LOWER_IS_BETTER else -1.0
            limit = Limit(
                threshold=metric.baseline + sign * margin, operator=operator_of(metric.name)
            )
            violations.append(describe_violation(metric.name, here[metric.name], limit, rows=rows))
    return tuple(violations)
