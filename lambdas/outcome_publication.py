"""What is published about a window's outcomes: metrics, Model Monitor's metrics, a log line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

from driftgauge.attribution.files import attribution_metrics
from driftgauge.config import MonitorConfig
from driftgauge.fairness.files import bias_metric_points
from driftgauge.outcome_assessment import WindowOutcomes, bias_analysis
from driftgauge.outcome_verdict import OutcomesVerdict
from driftgauge.quality.metrics import CALIBRATION, measure
from driftgauge.quality.verdict import QualityVerdict
from driftgauge.report.compatible_metrics import MetricPoint, MonitorType, model_quality_points
from driftgauge.windows import format_time
from lambdas.outcome_evaluation import JudgedOutcomes
from lambdas.publication import OLDEST_METRIC, is_compatible, publisher_of, put_points
from lambdas.runtime import Measure, Runtime, logger, now, publish_metrics
from lambdas.state import VariantState, change_state, read_state


def publish_outcomes(
    run: Runtime,
    config: MonitorConfig,
    judged: JudgedOutcomes,
    *,
    is_current: bool,
    is_newly_explained: bool,
) -> None:
    """Publish the metrics of a verdict on outcomes, and its line in the log.

    Alarms look at the present: the metrics of the newest window that was judged with labels carry
    the present time, and so do the attributions of the newest window that was explained. Others
    carry the end of their window, if CloudWatch still takes it, as do all windows of a baseline
    that is no longer in force: they say nothing of the present model.

    Parameters
    ----------
    run : Runtime
    config : MonitorConfig
    judged : JudgedOutcomes
    is_current : bool
        Whether the window was judged against the baseline in force.
    is_newly_explained : bool
        Whether its attributions are others than those that were published last.
    """
    verdict = judged.verdict
    store = run.store(config.name)
    state = read_state(store, verdict.variant)
    change_state(store, verdict.variant, partial(_advanced, verdict=verdict, is_current=is_current))
    newest_judged = is_judged(verdict) and is_current and _is_newest(state.judged_end, verdict)
    newest_explained = is_current and _is_newest(state.explained_end, verdict)
    moment = _publish(config, verdict, outcome_measures(verdict), is_newest=newest_judged)
    if is_current and not is_judged(verdict) and _is_new_baseline(state, verdict):
        # Labels will say nothing of the new model for long; what they said of the old one is over.
        publish_metrics(config=config, variant=verdict.variant, measures=silence(config))
    explained = moment
    if is_newly_explained:
        measures = attribution_measures(verdict)
        explained = _publish(config, verdict, measures, is_newest=newest_explained)
    if is_compatible(config, verdict.variant) and verdict.window_end <= now():
        outcomes = judged.window if is_newly_explained else replace(judged.window, sums=None)
        for kind, points in compatible_points(config, verdict, outcomes):
            at = explained if kind == "explainability" else moment
            publisher = publisher_of(config)
            if publisher is not None:
                put_points(run, config, publisher, kind, points, variant=verdict.variant, moment=at)
    logger.info("outcomes evaluated", extra={"newest": newest_judged, **describe_outcomes(verdict)})


def is_judged(verdict: OutcomesVerdict) -> bool:
    """Tell whether labels said something of the window.

    That is of its quality; of its bias where the baseline has nothing to compare quality with,
    such as one that was made of Clarify's analysis alone.
    """
    if verdict.quality is not None:
        return verdict.quality.verdict in ("ok", "decay")
    return verdict.bias is not None and verdict.bias.verdict != "insufficient_data"


def _is_newest(end: datetime | None, verdict: OutcomesVerdict) -> bool:
    return end is None or verdict.window_end >= end


def _is_new_baseline(state: VariantState, verdict: OutcomesVerdict) -> bool:
    """Tell whether a window is the first of a baseline that took the place of another."""
    return state.judged_baseline not in (None, verdict.baseline_version)


def silence(config: MonitorConfig) -> Iterator[Measure]:
    """Return the metrics by which the alarms on labelled outcomes fall silent."""
    yield Measure("QualityDecay", 0)
    if config.estimates_quality:
        yield Measure("ConceptDrift", 0.0)
    if config.bias is not None:
        yield Measure("BiasDrift", 0)


def _advanced(state: VariantState, *, verdict: OutcomesVerdict, is_current: bool) -> VariantState:
    judged = is_judged(verdict)
    if judged and _is_newest(state.judged_end, verdict):
        state = replace(state, judged_end=verdict.window_end)
    if is_current and (judged or _is_new_baseline(state, verdict)):
        state = replace(state, judged_baseline=verdict.baseline_version)
    if verdict.attributions and _is_newest(state.explained_end, verdict):
        state = replace(state, explained_end=verdict.window_end)
    return state


def _publish(
    config: MonitorConfig,
    verdict: OutcomesVerdict,
    measures: Iterable[Measure],
    *,
    is_newest: bool,
) -> datetime:
    """Publish measures at the present or at the end of their window; return that time."""
    present = now()
    moment = present if is_newest else min(verdict.window_end, present)
    if present - moment < OLDEST_METRIC:
        publish_metrics(
            config=config,
            variant=verdict.variant,
            measures=measures,
            moment=None if moment == present else moment,
        )
    return moment


def outcome_measures(verdict: OutcomesVerdict) -> Iterator[Measure]:
    """Return the metrics of labels, quality and bias.

    As long as labels do not say enough, those that alarms look at stay away, and the alarms keep
    their state.
    """
    labels, quality, bias = verdict.labels, verdict.quality, verdict.bias
    if labels.counts.rows:
        yield Measure("LabelCoverage", 100.0 * labels.coverage, "Percent")
    if labels.median_delay_seconds is not None:
        yield Measure("LabelDelay", labels.median_delay_seconds, "Seconds")
    if quality is not None:
        estimate = quality.estimates.get(verdict.primary or "")
        if estimate is not None:
            yield Measure("EstimatedQuality", estimate.value, "None")
    if not is_judged(verdict):
        return
    if quality is not None:
        yield from _quality_measures(quality, verdict.primary)
    if bias is not None and bias.verdict != "insufficient_data":
        yield Measure("BiasDrift", len(bias.drifted))


def _quality_measures(quality: QualityVerdict, name: str | None) -> Iterator[Measure]:
    """Return the metrics of a window's quality; ``name`` is that of the primary measure."""
    primary = next((m for m in quality.metrics if m.name == name), None)
    if primary is not None and primary.value is not None:
        yield Measure("RealisedQuality", primary.value, "None")
    gap = next((one.gap for one in quality.gaps if one.name == name), None)
    if gap is not None:
        yield Measure("QualityGap", gap, "None")
    segments = [m for one in quality.segments for m in one.metrics if m.verdict == "decay"]
    yield Measure("QualityDecay", len(quality.decayed) + len(segments))
    if any(one.verdict != "insufficient_data" for one in quality.gaps):
        yield Measure("ConceptDrift", float(quality.concept_drift))


def attribution_measures(verdict: OutcomesVerdict) -> Iterator[Measure]:
    """Return the metrics of attributions: the outputs that drifted, and the lowest NDCG."""
    scores = [one.ndcg for one in verdict.attributions if one.ndcg is not None]
    if scores:
        yield Measure("AttributionNdcg", min(scores), "None")
    if any(one.verdict != "insufficient_data" for one in verdict.attributions):
        drifted = [one for one in verdict.attributions if one.verdict == "drift"]
        yield Measure("AttributionDrift", len(drifted))


def compatible_points(
    config: MonitorConfig, verdict: OutcomesVerdict, outcomes: WindowOutcomes
) -> Iterator[tuple[MonitorType, tuple[MetricPoint, ...]]]:
    """Return what Model Monitor would publish of a closed window, by type of monitor."""
    publisher = publisher_of(config)
    if publisher is None:
        return
    if is_judged(verdict) and verdict.quality is not None and outcomes.counts is not None:
        values = {
            name: metric.value
            for name, metric in measure(outcomes.counts).items()
            if name not in CALIBRATION
        }
        yield "model", model_quality_points(publisher, values)
    analysis = bias_analysis(outcomes)
    if is_judged(verdict) and analysis is not None:
        yield "bias", bias_metric_points(publisher, analysis)
    if outcomes.sums is not None:
        yield "explainability", attribution_metrics(publisher, outcomes.sums)


def describe_outcomes(verdict: OutcomesVerdict) -> dict[str, object]:
    """Return the fields of the log line: numbers, and no values of the payload."""
    labels, quality, bias = verdict.labels, verdict.quality, verdict.bias
    return {
        "monitor": verdict.monitor,
        "variant": verdict.variant,
        "window_start": format_time(verdict.window_start),
        "window_end": format_time(verdict.window_end),
        "baseline": verdict.baseline_version,
        "design_effect": verdict.design_effect,
        "labels": {
            "rows": labels.counts.rows,
            "labelled": labels.counts.labelled,
            "usual_coverage": labels.usual_coverage,
            "median_delay": labels.median_delay_seconds,
            "duplicates": labels.counts.duplicates,
            "corrected": labels.counts.corrected,
            "mismatched": labels.counts.mismatched,
        },
        "quality": None
        if quality is None
        else {
            "verdict": quality.verdict,
            "unusable": quality.unusable,
            "measures": [
                {
                    "name": m.name,
                    "verdict": m.verdict,
                    "value": m.value,
                    "baseline": m.baseline,
                    "p_value": m.adjusted_p_value,
                }
                for m in quality.metrics
            ],
            "gaps": [
                {"name": g.name, "verdict": g.verdict, "gap": g.gap, "p_value": g.adjusted_p_value}
                for g in quality.gaps
            ],
        },
        # Facets are values of the payload; their columns are not.
        "bias": None
        if bias is None
        else {
            "verdict": bias.verdict,
            "drifted": [{"facet": f.facet, "metric": m.name} for f, m in bias.drifted],
        },
        "attributions": [
            {"verdict": a.verdict, "rows": a.rows, "ndcg": a.ndcg, "distance": a.distance}
            for a in verdict.attributions
        ],
    }
