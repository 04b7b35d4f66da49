"""Quality in the report: with labels, without them, and how far the labels have come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from driftgauge.quality.metrics import LOWER_IS_BETTER
from driftgauge.quality.verdict import MetricVerdict, QualityOutcome, QualityVerdict, SegmentVerdict
from driftgauge.report.markup import escape, shorten
from driftgauge.report.outcome_chart import is_immature, outcome_windows, quality_chart
from driftgauge.report.outcome_labels import labels_card, legend
from driftgauge.report.outcome_pictures import pictures_section
from driftgauge.report.outcome_words import (
    between_text,
    change_text,
    concept_gap,
    figure_text,
    gap_words,
    measure_heading,
    measure_name,
    primary_of,
    since_words,
)
from driftgauge.report.whisker import Whisker
from driftgauge.report.wording import DASH, count, p_value, plural

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

_SEGMENTS: Final = 20
_VERDICT_WORDS: dict[QualityOutcome, str] = {
    "decay": "decay",
    "ok": "as before",
    "insufficient_data": "insufficient data",
    "labels_immature": "labels immature",
}
_BADGES: dict[QualityOutcome, str] = {
    "decay": "drift",
    "ok": "ok",
    "insufficient_data": "insufficient",
    "labels_immature": "insufficient",
}
_LEGEND: Final = (
    ("with labels", '<path class="line realised" d="M0 5H14"/>'),
    ("95% band", '<rect class="band-realised" width="14" height="10"/>'),
    ("estimated without labels", '<path class="line estimated" d="M0 5H14"/>'),
    ("band of the estimate", '<rect class="band-estimated" width="14" height="10"/>'),
    ("baseline", '<path class="base-level" d="M0 5H14"/>'),
    ("decay", '<path class="alarm-mark" d="M7 9.5l-5-8.5h10z"/>'),
    ("concept drift", '<path class="concept-mark" d="M7 0l5 5-5 5-5-5z"/>'),
    ("labels do not suffice", '<circle class="outcome-dot hollow" cx="7" cy="5" r="3.6"/>'),
    ("new baseline", '<path class="promotion" d="M7 0V10"/>'),
)


def quality_badge(outcome: QualityOutcome, reason: str = "") -> str:
    """Return a verdict on quality as a badge; its title is the reason."""
    title = f' title="{escape(reason)}"' if reason else ""
    return f'<span class="badge {_BADGES[outcome]}"{title}>{_VERDICT_WORDS[outcome]}</span>'


def quality_section(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    """Return the section about quality as labels show it."""
    quality = verdict.quality
    if quality is None:
        said = escape(verdict.reason or "Quality is not judged.")
        return f'<h2>Model quality</h2><p class="note">{said}</p>{labels_card(verdict, history)}'
    return (
        f"<h2>Model quality {quality_badge(quality.verdict, quality.reason)}</h2>"
        f'<p class="note">{escape(_standing(verdict, quality, history))}</p>'
        + _over_time(verdict, history)
        + _metrics_table(quality)
        + _segments_table(quality)
        + pictures_section(quality)
        + labels_card(verdict, history)
    )


def _standing(
    verdict: OutcomesVerdict, quality: QualityVerdict, history: Sequence[OutcomesVerdict]
) -> str:
    """Say what was judged, and since when it has decayed; or why nothing was judged."""
    if quality.verdict == "labels_immature":
        return (
            f"Not judged yet. {quality.reason} Labels that come early are often not like those "
            "that come late, so nothing is judged and no alarm changes until enough have arrived. "
            "The figures below are of the labels so far."
        )
    if quality.verdict == "insufficient_data":
        return f"Not judged. {quality.reason}"
    labelled = f"{plural(quality.labelled, 'labelled row')} of {count(quality.rows)}"
    judged = [m for m in quality.metrics if m.verdict in ("ok", "decay")]
    segments = [s for s in quality.segments if s.verdict == "decay"]
    text = f"{labelled}: {len(quality.decayed):,} of {plural(len(judged), 'measure')} decayed"
    if quality.segments:
        text += f", and {len(segments):,} of {plural(len(quality.segments), 'segment')}"
    since = since_words(verdict, history)
    return f"{text}. Decayed since {since}." if since else f"{text}."


def _over_time(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    primary = primary_of(verdict)
    chart = quality_chart(verdict, history, name=primary.name) if primary is not None else ""
    if not chart or primary is None:
        return ""
    windows = outcome_windows(verdict, history)
    better = "lower is better" if primary.name in LOWER_IS_BETTER else "higher is better"
    return (
        f'<p class="sub">{escape(measure_heading(primary.name))} over '
        f"{plural(len(windows), 'window')} ({better})</p>{legend(_shown(windows))}"
        f'<div class="scroll">{chart}</div>'
    )


def _shown(windows: Sequence[OutcomesVerdict]) -> list[tuple[str, str]]:
    """Return the entries of the legend that the chart has."""
    estimated = any(w.quality is not None and w.quality.estimates for w in windows)
    there = {
        "estimated without labels": estimated,
        "band of the estimate": estimated,
        "decay": any(w.quality_decay for w in windows),
        "concept drift": any(w.concept_drift for w in windows),
        "labels do not suffice": any(is_immature(w) for w in windows),
        "new baseline": len({w.baseline_version for w in windows}) > 1,
    }
    return [entry for entry in _LEGEND if there.get(entry[0], True)]


def _metric_picture(metric: MetricVerdict) -> str:
    """Draw a measure beside the baseline's; a smaller change than the tolerance is shaded."""
    if metric.value is None or metric.baseline is None:
        return ""
    tolerance = metric.tolerance or 0.0
    lower = metric.name in LOWER_IS_BETTER
    limit = metric.baseline + (tolerance if lower else -tolerance)
    interval = None
    if metric.low is not None and metric.high is not None:
        interval = (metric.low, metric.high)
    known = [metric.value, metric.baseline, limit, *(interval or ())]
    # No picture makes a tiny change look large.
    margin = max(0.12 * (max(known) - min(known)), 0.5 * tolerance, 1e-9)
    return Whisker(
        value=metric.value,
        interval=interval,
        baseline=metric.baseline,
        allowed=(None, limit) if lower else (limit, None),
        hot=metric.verdict == "decay",
    ).picture(
        min(known) - margin,
        max(known) + margin,
        f"{measure_name(metric.name)} {figure_text(metric.name, metric.value)}, baseline "
        f"{figure_text(metric.name, metric.baseline)}",
    )


def _metrics_table(quality: QualityVerdict) -> str:
    if not quality.metrics:
        return ""
    sound = quality.mode == "sound"
    rows = "".join(_metric_row(metric, sound=sound) for metric in quality.metrics)
    note = (
        "Dot and whisker: value and 95% interval; bar: the baseline's value; shaded: no alarm."
        if sound
        else "Strict mode: each measure against its threshold in constraints.json."
    )
    return (
        '<div class="scroll"><table class="features"><thead><tr><th scope="col">Measure</th>'
        '<th scope="col">Verdict</th><th scope="col" class="n">Value</th>'
        '<th scope="col">95% interval</th><th scope="col" class="n">'
        f"{'Baseline' if sound else 'Threshold'}</th>"
        '<th scope="col" class="n">Change</th>'
        + (
            '<th scope="col" class="n">Tolerance</th><th scope="col" class="n">Corrected p</th>'
            if sound
            else ""
        )
        + '<th scope="col" class="n">Labelled rows</th></tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="caption">{note}</p>'
    )


def _metric_row(metric: MetricVerdict, *, sound: bool) -> str:
    name = metric.name
    change = DASH
    if metric.value is not None and metric.baseline is not None:
        change = change_text(name, metric.value, metric.baseline)
    judged = (
        f'<td class="n">{figure_text(name, metric.tolerance)}</td>'
        f'<td class="n">{escape(p_value(metric.adjusted_p_value))}</td>'
        if sound
        else ""
    )
    direction = "lower is better" if name in LOWER_IS_BETTER else "higher is better"
    return (
        f'<tr><th scope="row">{escape(measure_heading(name))}<small>{direction}</small></th>'
        f"<td>{quality_badge(metric.verdict, metric.reason)}</td>"
        f'<td class="n strong">{figure_text(name, metric.value)}</td>'
        f'<td>{_metric_picture(metric)}<small class="under">'
        f"{between_text(name, metric.low, metric.high)}</small></td>"
        f'<td class="n">{figure_text(name, metric.baseline)}</td><td class="n">{change}</td>'
        f'{judged}<td class="n">{count(metric.rows)}</td></tr>'
    )


def _segments_table(quality: QualityVerdict) -> str:
    if not quality.segments:
        return ""
    shown = quality.segments[:_SEGMENTS]
    decayed = sum(segment.verdict == "decay" for segment in quality.segments)
    note = (
        f"{decayed:,} of {plural(len(quality.segments), 'judged segment')} decayed; all of them "
        "share one false-alarm budget. Worst first"
        + (f", the first {_SEGMENTS:,}." if len(shown) < len(quality.segments) else ".")
    )
    names = list(dict.fromkeys(m.name for segment in shown for m in segment.metrics))
    heads = "".join(
        f'<th scope="col" class="n">{escape(measure_heading(name))}<small>baseline</small></th>'
        for name in names
    )
    rows = "".join(_segment_row(segment, names) for segment in shown)
    return (
        f'<p class="sub">Segments</p><p class="caption">{note}</p><div class="scroll">'
        '<table class="features segments"><thead><tr><th scope="col">Segment</th>'
        f'<th scope="col">Verdict</th>{heads}<th scope="col" class="n">Labelled'
        f"<small>of rows</small></th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _segment_row(segment: SegmentVerdict, names: Sequence[str]) -> str:
    by_name = {metric.name: metric for metric in segment.metrics}
    cells = "".join(_segment_cell(by_name.get(name)) for name in names)
    return (
        f'<tr><th scope="row"><bdi>{escape(shorten(segment.category, 60))}</bdi>'
        f"<small><bdi>{escape(shorten(segment.column, 60))}</bdi></small></th>"
        f"<td>{quality_badge(segment.verdict)}</td>{cells}"
        f'<td class="n">{count(segment.labelled)}<small>{count(segment.rows)}</small></td></tr>'
    )


def _segment_cell(metric: MetricVerdict | None) -> str:
    if metric is None:
        return f'<td class="n">{DASH}</td>'
    style = "n strong hot" if metric.verdict == "decay" else "n"
    return (
        f'<td class="{style}" title="{escape(metric.reason)}">'
        f"{figure_text(metric.name, metric.value)}"
        f"<small>{figure_text(metric.name, metric.baseline)}</small></td>"
    )


def estimate_section(verdict: OutcomesVerdict) -> str:
    """Return the section about quality without labels; empty if it is not estimated."""
    quality = verdict.quality
    if quality is None or not quality.estimates:
        return ""
    names = [metric.name for metric in quality.metrics if metric.name in quality.estimates]
    names = names or list(quality.estimates)[:5]
    concept = concept_gap(verdict)
    state = ""
    if quality.gaps:
        words = "concept drift" if concept is not None else "agrees with labels"
        state = f' <span class="badge {"drift" if concept is not None else "ok"}">{words}</span>'
    gaps = {gap.name: gap for gap in quality.gaps}
    rows = ""
    for name in names:
        estimate, gap = quality.estimates[name], gaps.get(name)
        told = (
            f'<td class="n">{figure_text(name, gap.realised if gap else None)}</td>'
            f'<td class="n{" strong hot" if gap and gap.verdict == "concept_drift" else ""}"'
            f"{f' title={chr(34)}{escape(gap.reason)}{chr(34)}' if gap else ''}>"
            + (
                change_text(name, gap.realised, gap.estimated)
                if gap and gap.realised is not None and gap.estimated is not None
                else DASH
            )
            + f'</td><td class="n">{escape(p_value(gap.adjusted_p_value if gap else None))}</td>'
            if gaps
            else ""
        )
        rows += (
            f'<tr><th scope="row">{escape(measure_heading(name))}</th>'
            f'<td class="n strong">{figure_text(name, estimate.value)}</td>'
            f"<td>{between_text(name, estimate.low, estimate.high)}</td>{told}</tr>"
        )
    heads = (
        '<th scope="col" class="n">With labels</th><th scope="col" class="n">Gap</th>'
        '<th scope="col" class="n">Corrected p</th>'
        if gaps
        else ""
    )
    return (
        f'<h2>Without labels{state}</h2><p class="note">{_estimate_note(verdict)}</p>'
        '<div class="scroll"><table class="plain"><thead><tr><th scope="col">Measure</th>'
        '<th scope="col" class="n">Estimated</th><th scope="col">95% band</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _estimate_note(verdict: OutcomesVerdict) -> str:
    quality, concept = verdict.quality, concept_gap(verdict)
    basis = (
        "predictions of this size had in the baseline"
        if quality is not None and quality.problem == "regression"
        else "scores like these had in the baseline"
    )
    text = (
        f"What quality to expect of all {plural(quality.rows if quality else 0, 'row')}, from the "
        f"outcomes that {basis}. It follows drift of the inputs at once and needs no label, but "
        "cannot see that the same inputs lead to other outcomes. "
    )
    if concept is not None:
        return text + escape(
            f"That is what happened: {gap_words(concept)}. The relation of inputs and outcomes is "
            "not the baseline's any more (concept drift)."
        )
    if quality is not None and any(gap.verdict == "ok" for gap in quality.gaps):
        return text + "The labels that have arrived agree with it."
    return text + "Too few labels have arrived to compare it with."
