"""What an alert says of outcomes: what decayed, by how much, since when, where, with which labels.

Plain text; column names and categories in it come from untrusted payloads, see ``report.alert``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from driftgauge.report.markup import shorten
from driftgauge.report.outcome_words import (
    attribution_sentence,
    coverage_words,
    decayed_segments,
    delay_text,
    figure_text,
    findings_of,
    gap_words,
    judged_with_labels,
    measure_heading,
    measure_name,
    metric_text,
    primary_of,
    segment_words,
    since_words,
    value_text,
    worst_metric,
)
from driftgauge.report.wording import distance, moment, plural, share, span

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

_LINES = 5
_NAME_LENGTH = 40

# Heading, facts and lines of a section.
Part = tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]


def outcome_findings(verdicts: Sequence[OutcomesVerdict]) -> list[str]:
    """Say in a few words each what is wrong with outcomes; empty if nothing is."""
    parts = []
    for verdict in verdicts:
        findings = findings_of(verdict)
        if "decay" in findings:
            parts.append(_decay_phrase(verdict))
        if "concept" in findings:
            parts.append("concept drift")
        if "bias" in findings and verdict.bias is not None:
            facets = [f for f in verdict.bias.facets if f.verdict == "drift"]
            named = dict.fromkeys(
                f"{shorten(f.facet, _NAME_LENGTH)} {shorten(f.facet_value, _NAME_LENGTH)}"
                for f in facets
            )
            parts.append(f"bias drift of {', '.join(list(named)[:2])}")
        if "attribution" in findings:
            parts.append("attribution drift")
    return list(dict.fromkeys(parts))


def _decay_phrase(verdict: OutcomesVerdict) -> str:
    metric = worst_metric(verdict)
    if metric is not None:
        was = figure_text(metric.name, metric.baseline)
        now = figure_text(metric.name, metric.value)
        return f"{measure_name(metric.name)} decayed from {was} to {now}"
    segments = decayed_segments(verdict)
    if segments:
        first = segments[0]
        return (
            f"quality decay where {shorten(first.column, _NAME_LENGTH)} is "
            f"{shorten(first.category, _NAME_LENGTH)}"
        )
    return "quality decay"


def outcome_parts(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict] = ()) -> list[Part]:
    """Return what an alert says of the outcomes of one window.

    Parameters
    ----------
    verdict : OutcomesVerdict
        A window that was judged by labels, or by its attributions.
    history : sequence of OutcomesVerdict
        Earlier windows of the same variant, to date the decay.
    """
    parts = [_quality_part(verdict, history)] if judged_with_labels(verdict) else []
    lists = (
        ("Segments that decayed", _segment_lines(verdict)),
        ("Concept drift: labels contradict the scores", _concept_lines(verdict)),
        ("Bias drift", _bias_lines(verdict)),
        (f"Attribution drift, {_window(verdict)}", _attribution_lines(verdict)),
    )
    return parts + [(heading, (), tuple(lines)) for heading, lines in lists if lines]


def _window(verdict: OutcomesVerdict) -> str:
    return (
        f"variant {verdict.variant}, window {moment(verdict.window_start)} to "
        f"{moment(verdict.window_end)} UTC ({span(verdict.window_start, verdict.window_end)})"
    )


def _quality_part(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> Part:
    facts = [
        ("labels", coverage_words(verdict.labels)),
        ("median delay of a label", delay_text(verdict.labels.median_delay_seconds)),
        ("baseline", verdict.baseline_version),
    ]
    since = since_words(verdict, history)
    if since:
        facts.append(("decayed since", since))
    primary = primary_of(verdict)
    decayed = verdict.quality.decayed if verdict.quality is not None else ()
    if primary is not None and verdict.quality is not None:
        estimate = verdict.quality.estimates.get(primary.name)
        if estimate is not None:
            told = f"{measure_name(primary.name)} {figure_text(primary.name, estimate.value)}"
            facts.append(("estimated without labels", told))
        if not decayed:
            facts.append(("quality", metric_text(primary).replace(" instead of ", ", baseline ")))
    lines = [_upper(metric_text(metric)) for metric in decayed[:_LINES]]
    lines += _more(len(decayed) - _LINES, "decayed measure")
    return f"Quality with labels, {_window(verdict)}", tuple(facts), tuple(lines)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _segment_lines(verdict: OutcomesVerdict) -> list[str]:
    segments = decayed_segments(verdict)
    lines = [segment_words(segment) for segment in segments[:_LINES]]
    return lines + _more(len(segments) - _LINES, "segment")


def _concept_lines(verdict: OutcomesVerdict) -> list[str]:
    gaps = verdict.quality.gaps if verdict.quality is not None else ()
    return [
        f"{measure_heading(gap.name)}: {gap_words(gap)}"
        for gap in gaps
        if gap.verdict == "concept_drift"
    ][:_LINES]


def _bias_lines(verdict: OutcomesVerdict) -> list[str]:
    drifted = verdict.bias.drifted if verdict.bias is not None else ()
    lines = []
    for facet, metric in drifted[:_LINES]:
        line = (
            f"{shorten(facet.facet, _NAME_LENGTH)} {shorten(facet.facet_value, _NAME_LENGTH)}: "
            f"{metric.name} {value_text(metric.value)}, baseline {value_text(metric.baseline)}"
        )
        if metric.allowed_low is not None and metric.allowed_high is not None:
            line += f", allowed {distance(metric.allowed_low)} to {distance(metric.allowed_high)}"
        lines.append(line)
    return lines + _more(len(drifted) - _LINES, "bias metric")


def _attribution_lines(verdict: OutcomesVerdict) -> list[str]:
    drifted = [one for one in verdict.attributions if one.verdict == "drift"]
    if not drifted:
        return []
    lines = [attribution_sentence(verdict)]
    for one in drifted[:_LINES]:
        moved = "" if one.distance is None else f", {share(one.distance)} of it moved"
        lines.append(
            f"{shorten(one.label, _NAME_LENGTH)}: NDCG {distance(one.ndcg)}{moved}, "
            f"{plural(one.rows, 'explained row')}"
        )
    return lines


def _more(number: int, noun: str) -> list[str]:
    return [f"and {plural(number, noun)} more"] if number > 0 else []
