"""What a window's outcomes come down to, in a few plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from driftgauge.quality.estimation import Estimate, QualityGap
from driftgauge.quality.metrics import LOWER_IS_BETTER
from driftgauge.quality.verdict import MetricVerdict, QualityVerdict, SegmentVerdict
from driftgauge.report.markup import shorten
from driftgauge.report.wording import DASH, MINUS, distance, moment, quantity, share, span

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import LabelStanding, OutcomesVerdict

Finding = Literal["decay", "concept", "bias", "attribution"]

FINDING_WORDS: dict[Finding, str] = {
    "decay": "Quality decay",
    "concept": "Concept drift",
    "bias": "Bias drift",
    "attribution": "Attribution drift",
}
_MEASURES = {
    "auc": "AUC",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "f0_5": "F0.5",
    "f1": "F1",
    "f2": "F2",
    "weighted_f0_5": "weighted F0.5",
    "weighted_f1": "weighted F1",
    "weighted_f2": "weighted F2",
    "brier_score": "Brier score",
}
# Errors have the unit of the labels.
_ERRORS = frozenset({"mae", "mse", "rmse"})
_NAME_LENGTH = 60
# What is told of a facet and drawn over time: the first of these that is judged.
MAIN_BIAS_METRICS = ("DPPL", "DI", "DPL")
_DELAY_UNITS = (
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
)


def measure_name(name: str) -> str:
    """Write the name of a measure.

    Examples
    --------
    >>> measure_name("auc"), measure_name("true_negative_rate")
    ('AUC', 'true negative rate')
    """
    return _MEASURES.get(name) or shorten(name.replace("_", " "), _NAME_LENGTH)


def measure_heading(name: str) -> str:
    """Write the name of a measure at the beginning of a line.

    Examples
    --------
    >>> measure_heading("true_negative_rate"), measure_heading("auc")
    ('True negative rate', 'AUC')
    """
    text = measure_name(name)
    return text[:1].upper() + text[1:]


def figure_text(name: str, value: float | None) -> str:
    """Write a value of a measure: a share with three decimals, an error with four digits.

    Examples
    --------
    >>> figure_text("accuracy", 0.68123), figure_text("rmse", 1234.5)
    ('0.681', '1,234')
    """
    if value is None:
        return DASH
    return quantity(value) if name in _ERRORS else distance(value)


def between_text(name: str, low: float | None, high: float | None) -> str:
    """Write an interval of a measure; a dash if it is not known.

    Examples
    --------
    >>> between_text("recall", 0.5, 0.75)
    '0.500 to 0.750'
    """
    if low is None or high is None:
        return DASH
    return f"{figure_text(name, low)} to {figure_text(name, high)}"


def change_text(name: str, value: float, baseline: float) -> str:
    """Write a change of a measure with its sign.

    Examples
    --------
    >>> change_text("accuracy", 0.6812, 0.7806) == MINUS + "0.099"
    True
    """
    change = value - baseline
    text = figure_text(name, abs(change))
    if not text.strip("0."):
        return text
    return f"{'+' if change > 0 else MINUS}{text}"


def delay_text(seconds: float | None) -> str:
    """Write a delay in a unit that suits it.

    Examples
    --------
    >>> delay_text(9_000.0), delay_text(86_400.0), delay_text(1.0), delay_text(None) == DASH
    ('2.5 hours', '1 day', '1 second', True)
    """
    if seconds is None:
        return DASH
    for unit, size in _DELAY_UNITS:
        amount = seconds / size.total_seconds()
        if amount >= 1 or unit == "second":
            text = quantity(float(f"{amount:.2g}"))
            return f"{text} {unit}{'' if text == '1' else 's'}"
    raise AssertionError("the last unit takes every delay")


def primary_metric(
    quality: QualityVerdict | None, primary: str | None = None
) -> MetricVerdict | None:
    """Return the measure that stands for quality: the one named, else the first judged."""
    metrics = quality.metrics if quality is not None else ()
    named = next((m for m in metrics if m.name == primary), None)
    return named or next(iter(metrics), None)


def primary_of(verdict: OutcomesVerdict) -> MetricVerdict | None:
    """Return the measure that stands for a window's quality."""
    return primary_metric(verdict.quality, verdict.primary)


def estimate_of(verdict: OutcomesVerdict, name: str) -> Estimate | None:
    """Return what a measure was estimated to be without labels."""
    return verdict.quality.estimates.get(name) if verdict.quality is not None else None


def judged_with_labels(verdict: OutcomesVerdict) -> bool:
    """Whether there were labels enough to judge quality."""
    return verdict.quality is not None and verdict.quality.verdict in ("ok", "decay")


def findings_of(verdict: OutcomesVerdict | None) -> tuple[Finding, ...]:
    """Return what is wrong with a window's outcomes, the most pressing first."""
    if verdict is None:
        return ()
    found: dict[Finding, bool] = {
        "decay": verdict.quality_decay,
        "concept": verdict.concept_drift,
        "bias": verdict.bias_drift,
        "attribution": verdict.attribution_drift,
    }
    return tuple(finding for finding, true in found.items() if true)


def worst_metric(verdict: OutcomesVerdict) -> MetricVerdict | None:
    """Return the decayed measure to tell of: the primary one if it decayed, else the surest."""
    if verdict.quality is None:
        return None
    decayed = verdict.quality.decayed
    primary = primary_of(verdict)
    if primary is not None and primary.verdict == "decay":
        return primary
    return min(decayed, key=_surely, default=None)


def _surely(metric: MetricVerdict) -> float:
    return 1.0 if metric.adjusted_p_value is None else metric.adjusted_p_value


def decayed_segments(verdict: OutcomesVerdict) -> tuple[SegmentVerdict, ...]:
    """Return the segments that decayed, worst first."""
    segments = verdict.quality.segments if verdict.quality is not None else ()
    return tuple(segment for segment in segments if segment.verdict == "decay")


def segment_metric(segment: SegmentVerdict) -> MetricVerdict | None:
    """Return the measure to tell of a segment: the surest of those that decayed, else its first."""
    decayed = [m for m in segment.metrics if m.verdict == "decay"]
    return min(decayed, key=_surely, default=next(iter(segment.metrics), None))


def metric_text(metric: MetricVerdict, *, with_interval: bool = True) -> str:
    """Say what a measure is beside the baseline's."""
    text = f"{measure_name(metric.name)} {figure_text(metric.name, metric.value)}"
    if metric.baseline is not None:
        text += f" instead of {figure_text(metric.name, metric.baseline)}"
    if with_interval and metric.low is not None and metric.high is not None:
        text += f" (95% interval {between_text(metric.name, metric.low, metric.high)})"
    return text


def segment_words(segment: SegmentVerdict) -> str:
    """Say in a line how good predictions are in a segment."""
    name = f"{shorten(segment.column, 40)} = {shorten(segment.category, 40)}"
    metric = segment_metric(segment)
    if metric is None:
        return name
    return f"{name}: {metric_text(metric)}, {segment.labelled:,} labelled rows"


def decay_since(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> datetime | None:
    """Return the start of the first window of the decay that still lasts; None without a decay.

    Windows whose labels do not suffice neither end nor begin it; another baseline ends it.
    """
    if not verdict.quality_decay:
        return None
    since = verdict.window_start
    earlier = sorted(
        (w for w in history if w.window_end <= verdict.window_start),
        key=lambda w: w.window_start,
        reverse=True,
    )
    for window in earlier:
        if window.baseline_version != verdict.baseline_version:
            break
        if window.quality_decay:
            since = window.window_start
        elif judged_with_labels(window):
            break
    return since


def since_words(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    """Say since when quality has decayed; empty without a decay."""
    since = decay_since(verdict, history)
    if since is None:
        return ""
    text = f"{moment(since)} UTC"
    if since >= verdict.window_start:
        return f"{text}: this window is the first"
    return f"{text}, {span(since, verdict.window_end)} before the end of this window"


def concept_gap(verdict: OutcomesVerdict) -> QualityGap | None:
    """Return the gap to tell of: that of the primary measure if it drifted, else the surest."""
    gaps = verdict.quality.gaps if verdict.quality is not None else ()
    drifted = [gap for gap in gaps if gap.verdict == "concept_drift"]
    primary = primary_of(verdict)
    named = [gap for gap in drifted if primary is not None and gap.name == primary.name]
    return next(iter(named), None) or min(
        drifted,
        key=lambda gap: 1.0 if gap.adjusted_p_value is None else gap.adjusted_p_value,
        default=None,
    )


def gap_words(gap: QualityGap) -> str:
    """Say how far labels contradict an estimate."""
    if gap.estimated is None or gap.realised is None:
        return gap.reason
    worse = (gap.realised > gap.estimated) == (gap.name in LOWER_IS_BETTER)
    return (
        f"labels show {measure_name(gap.name)} {figure_text(gap.name, gap.realised)}, the scores "
        f"promise {figure_text(gap.name, gap.estimated)}: "
        f"{'worse' if worse else 'better'} by {figure_text(gap.name, abs(gap.gap or 0.0))}"
    )


def coverage_words(labels: LabelStanding) -> str:
    """Say how many labels there are, as part of a sentence."""
    text = f"{share(labels.coverage)} of the predictions have a label"
    if labels.usual_coverage is not None:
        text += f" ({share(labels.usual_coverage)} usually have at this age)"
    return text


@dataclass(frozen=True, kw_only=True)
class OutcomeSummary:
    """The outcomes in words.

    Attributes
    ----------
    headline : str
        What is wrong, or that nothing is; empty if there is nothing to say.
    advice : tuple of str
        What to look at, the most pressing first.
    """

    findings: tuple[Finding, ...]
    headline: str
    advice: tuple[str, ...]


def summarize_outcomes(
    verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict] = ()
) -> OutcomeSummary:
    """Say what a window's outcomes come down to."""
    findings = findings_of(verdict)
    sentences = [quality_sentence(verdict, history)]
    if "bias" in findings:
        sentences.append(bias_sentence(verdict))
    if "attribution" in findings:
        sentences.append(attribution_sentence(verdict))
    return OutcomeSummary(
        findings=findings,
        headline=" ".join(sentence for sentence in sentences if sentence),
        advice=tuple(_advice(verdict, findings)),
    )


def quality_sentence(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict] = ()) -> str:
    """Say how good the predictions are, as far as labels tell."""
    quality = verdict.quality
    if quality is None:
        return verdict.reason
    if quality.verdict == "labels_immature":
        return f"Quality is not judged yet: {coverage_words(verdict.labels)}."
    if quality.verdict == "insufficient_data":
        return f"Quality is not judged: {quality.reason}"
    concept = _concept_sentence(verdict)
    if quality.verdict == "ok":
        primary = primary_of(verdict)
        told = f": {metric_text(primary, with_interval=False)}" if primary is not None else ""
        told = told.replace(" instead of ", ", baseline ")
        calm = (
            f"Predictions are as good as in the baseline{told} "
            f"({share(verdict.labels.coverage)} labelled)."
        )
        return f"{concept} {calm}".strip()
    return f"{_decay_sentence(verdict, history)} {concept}".strip()


def _decay_sentence(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    metric, segments = worst_metric(verdict), decayed_segments(verdict)
    since = decay_since(verdict, history)
    lasting = ""
    if since is not None and since < verdict.window_start:
        lasting = f", since {moment(since)} UTC"
    if metric is not None:
        text = f"Predictions became worse{lasting}: {metric_text(metric)}"
        judged = verdict.quality.segments if verdict.quality is not None else ()
        if 0 < len(segments) < len(judged):
            first = segments[0]
            text += f", most in {shorten(first.column, 40)} = {shorten(first.category, 40)}"
        return f"{text}."
    if segments:
        more = f" and {len(segments) - 1} more" if len(segments) > 1 else ""
        return (
            f"Predictions became worse in a segment{lasting}: {segment_words(segments[0])}{more}."
        )
    return f"Predictions became worse{lasting}. {verdict.quality.reason if verdict.quality else ''}"


def _concept_sentence(verdict: OutcomesVerdict) -> str:
    gap = concept_gap(verdict)
    if gap is None:
        return ""
    return f"Labels contradict the scores (concept drift): {gap_words(gap)}."


def bias_sentence(verdict: OutcomesVerdict) -> str:
    """Say which facet is treated less equally than in the baseline; empty if none is."""
    drifted = verdict.bias.drifted if verdict.bias is not None else ()
    if not drifted:
        return ""
    facet, metric = next(
        (one for name in MAIN_BIAS_METRICS for one in drifted if one[1].name == name), drifted[0]
    )
    more = f" and {len(drifted) - 1} more" if len(drifted) > 1 else ""
    return (
        f"Bias grew for {shorten(facet.facet, 40)} {shorten(facet.facet_value, 40)}: "
        f"{metric.name} {value_text(metric.value)}, baseline {value_text(metric.baseline)}{more}."
    )


def attribution_sentence(verdict: OutcomesVerdict) -> str:
    """Say that features matter otherwise than in the baseline; empty if they do not."""
    drifted = [one for one in verdict.attributions if one.verdict == "drift"]
    if not drifted:
        return ""
    moved = sorted(drifted[0].features, key=lambda f: -f.moved)[:2]
    told = ", ".join(
        f"{shorten(f.name, _NAME_LENGTH)} from {share(f.baseline_share)} to {share(f.window_share)}"
        for f in moved
    )
    return f"Features matter otherwise than in the baseline: {told} of the attribution."


def value_text(value: float | str | None) -> str:
    """Write a bias metric's value.

    Examples
    --------
    >>> value_text("-Infinity") == MINUS + "∞", value_text(0.25)
    (True, '0.250')
    """
    if isinstance(value, str):
        return f"{MINUS if value.startswith('-') else ''}∞"
    return distance(value)


def _advice(verdict: OutcomesVerdict, findings: tuple[Finding, ...]) -> list[str]:
    advice = []
    if "decay" in findings and "concept" in findings:
        advice.append(
            "The scores do not show the decay, so it is the relation of features and labels that "
            "changed: retrain with labels from after the change; watching features is not enough."
        )
    elif "decay" in findings and verdict.quality is not None and verdict.quality.estimates:
        advice.append(
            "Labels agree with the estimate made without them: the model is as good as its scores "
            "say, but the rows are harder than the baseline's. See which features drifted."
        )
    elif "concept" in findings:
        advice.append(
            "Scores no longer say how likely an outcome is: thresholds and expected numbers that "
            "rest on them are off. Calibrate anew or retrain with recent labels."
        )
    if decayed_segments(verdict):
        advice.append(
            "Some segments decayed: compare their rows with the others before retraining on all."
        )
    if "bias" in findings:
        advice.append(
            "Bias metrics left their allowed range: compare outcomes of the groups before relying "
            "on these predictions."
        )
    if "attribution" in findings:
        advice.append(
            "The model relies on other features than in training: look at what moved in them, and "
            "whether the model itself was replaced."
        )
    return advice
