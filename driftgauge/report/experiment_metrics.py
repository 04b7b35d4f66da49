"""The metrics of an experiment in its page: primary, guardrails, traffic, segments."""

from __future__ import annotations

from typing import Final

from driftgauge.experiments.verdict import (
    ExperimentVerdict,
    MetricVerdict,
    MismatchVerdict,
    SegmentVerdict,
)
from driftgauge.report.experiment_chart import looks_chart, looks_picture
from driftgauge.report.experiment_words import (
    bdi,
    bounds_of,
    change_of,
    figure_of,
    outcome_badge,
)
from driftgauge.report.markup import escape, shorten
from driftgauge.report.outcome_labels import legend
from driftgauge.report.outcome_words import measure_heading
from driftgauge.report.svg import number
from driftgauge.report.whisker import Whisker
from driftgauge.report.wording import DASH, count, p_value, plural, share

_SEGMENTS: Final = 40
_PLAIN: Final = 1.05


def facts_list(facts: list[tuple[str, str]]) -> str:
    """Return terms and figures (markup)."""
    inner = "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in facts)
    return f'<dl class="facts">{inner}</dl>'


def primary_section(verdict: ExperimentVerdict) -> str:
    """Return the metric that decides: its difference over time, and the evidence."""
    metric = verdict.primary
    chart = looks_chart(metric, key="primary")
    entries = [
        (
            "difference with its confidence sequence",
            '<path class="band-realised" d="M0 0H14V10H0z"/><path class="line realised" '
            'd="M0 5H14"/>',
        ),
        ("no difference", '<path class="base-level" d="M0 5H14"/>'),
    ]
    if metric.effect is not None:
        entries.append(("smallest effect worth finding", '<path class="effect-line" d="M0 5H14"/>'))
    picture = (
        f'{legend(entries)}<div class="scroll">{chart}</div>'
        if chart
        else '<p class="caption">A picture needs two looks.</p>'
    )
    return (
        f"<h2>{escape(measure_heading(metric.name))} {outcome_badge(metric.outcome)}</h2>"
        f'<p class="note">The primary metric; {metric.better} is better. The confidence sequence '
        "holds the true difference at all looks together, so that looking often does no harm.</p>"
        f'{picture}<div class="pairs"><article class="card">{_means(verdict)}</article>'
        f'<article class="card">{_evidence(metric)}</article></div>'
    )


def _means(verdict: ExperimentVerdict) -> str:
    metric = verdict.primary
    return facts_list(
        [
            (
                f'<span class="key champion"></span>{bdi(verdict.champion)}, champion',
                f'<span class="strong">{figure_of(metric.champion)}</span> of '
                f"{plural(metric.champion_rows, 'row')}",
            ),
            (
                f'<span class="key challenger"></span>{bdi(verdict.challenger)}, challenger',
                f'<span class="strong">{figure_of(metric.challenger)}</span> of '
                f"{plural(metric.challenger_rows, 'row')}",
            ),
            (
                "Difference within blocks of time",
                f'<span class="strong">{change_of(metric.difference)}</span>',
            ),
            ("Confidence sequence", bounds_of(metric.low, metric.high)),
        ]
    )


def _evidence(metric: MetricVerdict) -> str:
    facts = [
        (
            "p, not better",
            f"{escape(p_value(metric.p_better))} (limit {metric.alpha_better:.3g})",
        ),
        ("p, not worse", f"{escape(p_value(metric.p_worse))} (limit {metric.alpha_worse:.3g})"),
    ]
    if metric.effect is not None:
        facts.append(
            (
                "p, gains the effect",
                f"{escape(p_value(metric.p_no_gain))} (limit {metric.alpha_no_gain:.3g})",
            )
        )
        facts.append(("Smallest effect worth finding", figure_of(metric.effect)))
    if metric.dispersion > _PLAIN:
        facts.append(
            ("Variance between blocks", f"{metric.dispersion:.2f} times that of independent rows")
        )
    return facts_list(facts)


def guardrails_section(verdict: ExperimentVerdict) -> str:
    """Return the metrics that must not become worse; empty without any."""
    if not verdict.guardrails:
        return ""
    rows = "".join(_guardrail_row(metric) for metric in verdict.guardrails)
    return (
        '<h2>Guardrails</h2><p class="note">What must not become worse by more than its margin. '
        "Dot and whisker: difference and confidence sequence; bar: no difference; shaded: "
        "tolerated.</p>"
        '<div class="scroll"><table class="features"><thead><tr><th scope="col">Metric</th>'
        '<th scope="col">Verdict</th><th scope="col" class="n">Champion</th>'
        '<th scope="col" class="n">Challenger</th><th scope="col" class="n">Difference</th>'
        '<th scope="col">Confidence sequence</th><th scope="col" class="n">Margin</th>'
        '<th scope="col" class="n">p, not worse<small>beyond the margin</small></th>'
        '<th scope="col">Over time</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _guardrail_row(metric: MetricVerdict) -> str:
    return (
        f'<tr><th scope="row">{escape(measure_heading(metric.name))}<small>{metric.better} is '
        f"better</small></th><td>{outcome_badge(metric.outcome)}</td>"
        f'<td class="n">{figure_of(metric.champion)}<small>{count(metric.champion_rows)} rows'
        f'</small></td><td class="n">{figure_of(metric.challenger)}<small>'
        f"{count(metric.challenger_rows)} rows</small></td>"
        f'<td class="n strong">{change_of(metric.difference)}</td>'
        f"<td>{_whisker(metric, _reach(metric))}"
        f'<small class="under">{bounds_of(metric.low, metric.high)}</small></td>'
        f'<td class="n">{figure_of(metric.margin)}</td>'
        f'<td class="n">{escape(p_value(metric.p_worse))}<small>{escape(p_value(metric.p_safe))}'
        f"</small></td><td>{looks_picture(metric)}</td></tr>"
    )


def _reach(metric: MetricVerdict) -> float:
    """Return how far from no difference a metric's axis reaches."""
    known = [metric.difference, metric.low, metric.high, 1.6 * metric.margin, metric.effect]
    return max((abs(value) for value in known if value is not None), default=0.0) * 1.06 or 1.0


def _whisker(metric: MetricVerdict, reach: float) -> str:
    if metric.difference is None:
        return DASH
    interval = None
    if metric.low is not None or metric.high is not None:
        interval = (
            -reach if metric.low is None else metric.low,
            reach if metric.high is None else metric.high,
        )
    limit = metric.margin
    allowed = (-limit, None) if metric.better == "higher" else (None, limit)
    return Whisker(
        value=metric.difference,
        interval=interval,
        baseline=0.0,
        allowed=allowed,
        hot=metric.outcome == "harm",
    ).picture(
        -reach,
        reach,
        f"{measure_heading(metric.name)}: {change_of(metric.difference)} "
        f"({bounds_of(metric.low, metric.high)})",
    )


def traffic_section(verdict: ExperimentVerdict) -> str:
    """Return whether both variants received the shares of the traffic that they should have."""
    found = verdict.mismatch
    state = (
        '<span class="badge drift">mismatch</span>'
        if found.mismatch
        else '<span class="badge ok">as planned</span>'
    )
    return (
        f'<h2>Shares of the traffic {state}</h2><p class="note">If requests do not arrive as the '
        "weights say, something else than chance assigns them, and the variants cannot be "
        "compared.</p>"
        f'<article class="card"><div class="split"><div>{_share_bar(found)}</div>'
        f"<div>{_traffic_facts(verdict)}</div></div></article>"
    )


def _share_bar(found: MismatchVerdict) -> str:
    if found.share is None or found.expected_share is None:
        return '<p class="caption">No requests yet.</p>'
    width = 520.0
    cut = width * (1.0 - found.share)
    planned = number(width * (1.0 - found.expected_share))
    entries = [
        ("champion", '<rect class="base-bar" width="14" height="10"/>'),
        ("challenger", '<rect class="window-bar" width="14" height="10"/>'),
        ("planned", '<path class="expected-mark" d="M7 0V10"/>'),
    ]
    return (
        f'{legend(entries)}<svg class="share-bar" viewBox="0 0 520 22" preserveAspectRatio="none" '
        f'role="img"><title>Challenger {escape(share(found.share))} of the requests, planned '
        f"{escape(share(found.expected_share))}</title>"
        f'<rect class="base-bar" x="0" y="2" width="{number(cut)}" height="18"/>'
        f'<rect class="window-bar" x="{number(cut)}" y="2" width="{number(width - cut)}" '
        f'height="18"/><path class="expected-mark" d="M{planned} 0V22"/></svg>'
    )


def _traffic_facts(verdict: ExperimentVerdict) -> str:
    found = verdict.mismatch
    received = DASH if found.share is None else f"{100 * found.share:.2f}%"
    planned = DASH if found.expected_share is None else f"{100 * found.expected_share:.2f}%"
    return facts_list(
        [
            (bdi(verdict.champion), plural(found.champion_requests, "request")),
            (bdi(verdict.challenger), plural(found.challenger_requests, "request")),
            ("Challenger's share (planned)", f"{received} ({planned})"),
            (
                "p, valid at any look",
                f"{escape(p_value(found.p_value))} (limit {found.alpha:.3g})",
            ),
        ]
    )


def segments_section(verdict: ExperimentVerdict) -> str:
    """Return the primary metric in each segment, the worst first; empty without segments."""
    segments = verdict.segments
    if not segments:
        return ""
    shown = segments[:_SEGMENTS]
    harmed = sum(one.metric.outcome == "harm" for one in segments)
    judged = [one.metric for one in shown if one.metric.outcome != "insufficient_data"]
    reach = max(map(_reach, judged), default=1.0)
    rows = "".join(_segment_row(one, reach) for one in shown)
    more = f", the first {_SEGMENTS:,}" if len(shown) < len(segments) else ""
    return (
        f'<h2>Segments</h2><p class="note">{escape(measure_heading(verdict.primary.name))} in '
        f"{plural(len(segments), 'segment')}, worst first{more}; {harmed:,} surely harmed. All "
        "share one chance of error. A challenger that harms a segment is not promoted.</p>"
        '<div class="scroll"><table class="features"><thead><tr><th scope="col">Segment</th>'
        '<th scope="col">Verdict</th><th scope="col" class="n">Champion</th>'
        '<th scope="col" class="n">Challenger</th><th scope="col" class="n">Difference</th>'
        '<th scope="col">Confidence sequence</th><th scope="col" class="n">p, not worse</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _segment_row(segment: SegmentVerdict, reach: float) -> str:
    metric = segment.metric
    return (
        f'<tr><th scope="row"><bdi>{escape(shorten(segment.category, 60))}</bdi>'
        f"<small>{bdi(segment.column)}</small></th><td>{outcome_badge(metric.outcome)}</td>"
        f'<td class="n">{figure_of(metric.champion)}<small>{count(metric.champion_rows)} rows'
        f'</small></td><td class="n">{figure_of(metric.challenger)}<small>'
        f"{count(metric.challenger_rows)} rows</small></td>"
        f'<td class="n strong">{change_of(metric.difference)}</td>'
        f'<td>{_whisker(metric, reach)}<small class="under">'
        f"{bounds_of(metric.low, metric.high)}</small></td>"
        f'<td class="n">{escape(p_value(metric.p_worse))}</td></tr>'
    )
