"""Everything that is said about a window's outcomes, in one function of what was counted.

Sound mode asks for evidence: significance, effect and mature labels, with variances as much
larger as windows have been seen to vary. Strict mode is what Model Monitor and Clarify would say.
The engine reads nothing: the caller hands in counts and the verdicts on earlier windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from driftgauge.attribution.drift import judge_attribution
from driftgauge.attribution.files import (
    encode_attribution_violations,
    encode_explanations,
    explanations_of,
    match_labels,
)
from driftgauge.attribution.sums import AttributionSums
from driftgauge.attribution.verdict import AttributionVerdict
from driftgauge.checks.clarify_analysis import ClarifyAnalysis, encode_analysis
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import MonitorConfig
from driftgauge.drift.assessment import Occasion
from driftgauge.drift.special import normal_isf
from driftgauge.errors import FairnessError
from driftgauge.fairness.counts import BiasCounts, outcome_marks
from driftgauge.fairness.decision import Flips, judge_bias, judge_bias_strictly
from driftgauge.fairness.files import analysis_of, encode_bias_violations
from driftgauge.fairness.flips import FlipTest, flip_test_of_columns
from driftgauge.fairness.verdict import BiasVerdict
from driftgauge.outcome_baseline import OutcomeBaseline
from driftgauge.outcome_verdict import LabelStanding, OutcomesVerdict
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.decision import judge_quality, judge_quality_strictly
from driftgauge.quality.estimation import Estimator, fit_estimator
from driftgauge.quality.files import (
    encode_quality_constraints,
    encode_quality_statistics,
    encode_quality_violations,
    suggest_quality_constraints,
)
from driftgauge.quality.metrics import measure
from driftgauge.quality.tables import outcomes_of_table
from driftgauge.quality.verdict import QualityVerdict
from driftgauge.windows import Window

# Windows that must have been judged before how much they vary says anything, and how many such
# windows of independent rows the estimate is held back by.
_LEAST_WINDOWS = 4
_PRIOR_WINDOWS = 4.0
_NORMAL_975 = normal_isf(0.025)


@dataclass(frozen=True, kw_only=True)
class WindowOutcomes:
    """What was counted of a window.

    Attributes
    ----------
    labels : LabelStanding
        How far the labels have come.
    counts : OutcomeCounts or None
        Predictions beside their labels; None without an outcome baseline to count by.
    bias : BiasCounts or None
        The same by facet.
    flips : sequence of FlipTest, str or None
        The flip test of each facet, or why there is none.
    sums : AttributionSums or None
        Attributions of the window's row sample; None before it has been explained.
    """

    labels: LabelStanding
    counts: OutcomeCounts | None = None
    bias: BiasCounts | None = None
    flips: Flips = ()
    sums: AttributionSums | None = None


@dataclass(frozen=True, kw_only=True)
class AttributionReference:
    """What a window's attributions are compared with, if not with the baseline's own.

    Attributes
    ----------
    sums : AttributionSums
        Those of the first window that was explained under the baseline.
    note : str
        Says so, in the verdict's reason.
    """

    sums: AttributionSums
    note: str


def assess_outcomes(
    *,
    config: MonitorConfig,
    baseline: OutcomeBaseline | None,
    baseline_version: str,
    window: WindowOutcomes,
    occasion: Occasion,
    design_effect: float = 1.0,
    reference: AttributionReference | None = None,
) -> OutcomesVerdict:
    """Judge a window's quality, bias and attributions.

    Parameters
    ----------
    config : MonitorConfig
        The monitor's settings.
    baseline : OutcomeBaseline or None
        Of the same version as the baseline of the window's profiles; None if it has none.
    baseline_version : str
        That version.
    window : WindowOutcomes
        What was counted.
    occasion : Occasion
        Which window, and when.
    design_effect : float
        What earlier windows teach, see ``learnt_design_effect``; the baseline's is used if it is
        larger.
    reference : AttributionReference or None
        Replaces the attributions of the baseline, if it has none.

    Raises
    ------
    QualityError, FairnessError, AttributionError
        If the counts do not fit the baseline.
    """
    effect = max(1.0, design_effect, baseline.design_effect if baseline is not None else 1.0)
    quality = _quality(config, baseline, window, effect)
    return OutcomesVerdict(
        monitor=occasion.monitor,
        variant=occasion.variant,
        window_start=occasion.window.start,
        window_end=occasion.window.end,
        evaluated_at=occasion.evaluated_at,
        baseline_version=baseline_version,
        labels=window.labels,
        quality=quality,
        bias=_bias(config, baseline, window, quality, effect),
        attributions=_attributions(config, baseline, window.sums, reference, effect),
        design_effect=effect,
        primary=primary_of(config),
        reason=_why_nothing(config, baseline),
    )


def primary_of(config: MonitorConfig) -> str | None:
    """Return the measure that the dashboard shows; None if outcomes are not monitored."""
    return config.primary_measure if config.outcomes is not None else None


def learnt_design_effect(
    earlier: Sequence[OutcomesVerdict], *, primary: str | None, baseline_version: str
) -> float:
    """Learn from earlier windows how much more they vary than independent rows would.

    The variance of the primary measure between windows, each in units of its own standard error:
    ``Q = sum (x_i - x)^2 / s_i^2 / (k - 1)``, where x is the mean weighted by 1 / s_i^2. It is held
    back towards 1 as if four more windows had varied as independent rows do.

    Parameters
    ----------
    earlier : sequence of OutcomesVerdict
        Of earlier windows; those whose quality decayed, or could not be judged, do not count.
    primary : str or None
        Name of the measure.
    baseline_version : str
        Windows of other baselines do not count.

    Returns
    -------
    float
        At least 1; 1 with less than four windows.
    """
    found = [
        (metric.value, (metric.high - metric.low) / (2 * _NORMAL_975 * math.sqrt(v.design_effect)))
        for v in earlier
        if v.quality is not None and v.quality.verdict == "ok"
        if v.baseline_version == baseline_version
        for metric in v.quality.metrics
        if metric.name == primary
        if metric.value is not None and metric.low is not None and metric.high is not None
    ]
    known = np.array([pair for pair in found if pair[1] > 0.0])
    if len(known) < _LEAST_WINDOWS:
        return 1.0
    values, errors = known.T
    weights = 1.0 / errors**2
    mean = float(weights @ values / weights.sum())
    excess = float(weights @ (values - mean) ** 2)
    freedom = len(known) - 1
    return max(1.0, (excess + _PRIOR_WINDOWS) / (freedom + _PRIOR_WINDOWS))


def flip_tests(
    config: MonitorConfig, columns: Mapping[str, Column], *, outputs: Sequence[str]
) -> Flips:
    """Run the flip test of each facet on a window's row sample.

    Parameters
    ----------
    config : MonitorConfig
        With settings of outcomes and bias.
    columns : mapping of str to Column
        The sampled rows.
    outputs : sequence of str
        Columns that the model returns: no features.

    Returns
    -------
    sequence of FlipTest or str
        For each facet the test, or why there is none.
    """
    if config.bias is None or config.outcomes is None or not columns:
        return ()
    where, spec = config.outcome_columns, config.bias.spec
    rows = next(iter(columns.values())).rows
    nothing = Column(
        numbers=np.full(rows, np.nan), types=TypeCounts(), missing=np.ones(rows, dtype=np.bool_)
    )
    lacking = [name for name in (*where.names[1:], *spec.columns) if name not in columns]
    if lacking:
        return tuple(f"The row sample has no column {lacking[0]}" for _ in spec.facets)
    outcomes = outcomes_of_table(where, {**columns, where.label: nothing})
    predictions = outcome_marks(spec, where.classes, outcomes.predictions)
    other = {*where.names, *outputs}
    found: list[FlipTest | str] = []
    for facet in spec.facets:
        features = {
            name: column
            for name, column in columns.items()
            if name not in other and name != facet.column
        }
        try:
            found.append(
                flip_test_of_columns(
                    features,
                    sensitive=facet.sensitive.marks(columns[facet.column]),
                    predictions=predictions,
                )
            )
        except FairnessError as error:
            found.append(str(error).capitalize())
    return tuple(found)


def quality_files(
    window: WindowOutcomes, verdict: OutcomesVerdict, occasion: Occasion
) -> dict[str, bytes]:
    """Return Model Monitor's files of model quality: none without a label."""
    counts = window.counts
    if counts is None or not counts.labelled or verdict.quality is None:
        return {}
    span: Window = occasion.window
    return {
        "statistics.json": encode_quality_statistics(
            counts, start=span.start, end=span.end, evaluated_at=occasion.evaluated_at
        ),
        "constraints.json": encode_quality_constraints(
            suggest_quality_constraints(counts.spec.problem, measure(counts))
        ),
        "constraint_violations.json": encode_quality_violations(verdict.quality.violations),
    }


def bias_files(window: WindowOutcomes, verdict: OutcomesVerdict) -> dict[str, bytes]:
    """Return Clarify's files of a bias monitor: none without rows."""
    analysis = bias_analysis(window)
    if analysis is None or verdict.bias is None:
        return {}
    return {
        "analysis.json": encode_analysis(analysis),
        "constraint_violations.json": encode_bias_violations(verdict.bias.violations),
    }


def bias_analysis(window: WindowOutcomes) -> ClarifyAnalysis | None:
    """Return all bias metrics of a window; None if nothing was counted."""
    if window.bias is None or not window.bias.rows:
        return None
    return analysis_of(window.bias, flips=window.flips)


def explainability_files(window: WindowOutcomes, verdict: OutcomesVerdict) -> dict[str, bytes]:
    """Return Clarify's files of an explainability monitor: none before rows are explained."""
    if window.sums is None or not window.sums.rows:
        return {}
    violations = [one for found in verdict.attributions for one in found.violations]
    return {
        "analysis.json": encode_explanations(explanations_of(window.sums)),
        "constraint_violations.json": encode_attribution_violations(violations),
    }


def _quality(
    config: MonitorConfig, baseline: OutcomeBaseline | None, window: WindowOutcomes, effect: float
) -> QualityVerdict | None:
    counts = window.counts
    if counts is None or baseline is None:
        return None
    ours = config.quality
    if config.mode == "strict":
        if baseline.constraints is None:
            return None
        verdict = judge_quality_strictly(counts, baseline.constraints)
        needed = ours.min_coverage
        if needed is None or not counts.labelled or counts.coverage >= needed:
            return verdict
        return _held_quality(verdict, counts.coverage, needed)
    there = baseline.counts or baseline.constraints
    if there is None:
        return None
    settings = ours.decision(design_effect=effect, usual_coverage=window.labels.usual_coverage)
    estimator = _estimator(baseline.counts) if config.estimates_quality else None
    return judge_quality(counts, there, settings=settings, estimator=estimator)


def _held_quality(verdict: QualityVerdict, coverage: float, needed: float) -> QualityVerdict:
    """Return a strict verdict whose labels are too few to say anything."""
    reason = f"{coverage:.1%} of the rows have a label; at least {needed:.1%} are needed."
    return replace(
        verdict,
        verdict="labels_immature",
        reason=reason,
        metrics=tuple(
            replace(metric, verdict="labels_immature", reason=reason) for metric in verdict.metrics
        ),
        violations=(),
    )


def _estimator(counts: OutcomeCounts | None) -> Estimator | None:
    if counts is None or not counts.labelled:
        return None
    if counts.spec.problem != "regression" and not counts.has_scores:
        return None
    return fit_estimator(counts)


def _bias(
    config: MonitorConfig,
    baseline: OutcomeBaseline | None,
    window: WindowOutcomes,
    quality: QualityVerdict | None,
    effect: float,
) -> BiasVerdict | None:
    counts, ours = window.bias, config.bias
    if counts is None or ours is None or baseline is None:
        return None
    if config.mode == "strict":
        if baseline.analysis is None:
            return None
        verdict = judge_bias_strictly(counts, baseline.analysis, flips=window.flips)
    else:
        there = baseline.bias or baseline.analysis
        if there is None or (isinstance(there, BiasCounts) and there.spec != counts.spec):
            return None
        settings = ours.decision(design_effect=effect)
        verdict = judge_bias(counts, there, settings=settings, flips=window.flips)
    if quality is not None and quality.verdict == "labels_immature":
        return _held_bias(verdict, quality.reason)
    return verdict


def _held_bias(verdict: BiasVerdict, reason: str) -> BiasVerdict:
    """Return a verdict that decides nothing: the labels that are there may be special ones."""
    return replace(
        verdict,
        verdict="insufficient_data",
        reason=reason,
        facets=tuple(
            replace(
                facet,
                verdict="insufficient_data",
                metrics=tuple(
                    replace(metric, verdict="insufficient_data", reason=reason)
                    for metric in facet.metrics
                ),
            )
            for facet in verdict.facets
        ),
        violations=(),
    )


def _attributions(
    config: MonitorConfig,
    baseline: OutcomeBaseline | None,
    sums: AttributionSums | None,
    reference: AttributionReference | None,
    effect: float,
) -> tuple[AttributionVerdict, ...]:
    ours = config.attribution
    if ours is None or sums is None:
        return ()
    there: AttributionSums | Mapping[str, Mapping[str, float]] | None = None
    note = ""
    if baseline is not None:
        there = baseline.sums or baseline.explanations
    if there is None and reference is not None:
        there, note = reference.sums, reference.note
    if there is None:
        return ()
    settings = ours.decision(design_effect=effect)
    labels = there.labels if isinstance(there, AttributionSums) else tuple(there)
    verdicts = (
        judge_attribution(
            there if isinstance(there, AttributionSums) else there[known],
            sums,
            label=label,
            baseline_label=known,
            mode=config.mode,
            settings=settings,
        )
        for label, known in match_labels(labels, sums.labels).items()
    )
    return tuple(replace(one, reason=f"{one.reason} {note}") if note else one for one in verdicts)


def _why_nothing(config: MonitorConfig, baseline: OutcomeBaseline | None) -> str:
    """Say why something that the monitor asks for is not judged at all."""
    if baseline is None:
        wanted = config.outcomes is not None
        return "The baseline was made without outcomes: there is no comparison." if wanted else ""
    reasons = list(baseline.notes)
    known = baseline.bias
    if config.bias is not None and known is not None and known.spec != config.bias.spec:
        reasons.append("The baseline counts other groups than `bias` names now.")
    return " ".join(reasons)
