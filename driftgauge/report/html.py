"""The report of one window: a self-contained HTML page that also prints.

Everything is in the one file: style, charts as SVG, no script, nothing loaded. Column names,
categories and reasons come from untrusted payloads and only reach the page escaped; a content
security policy in the page forbids scripts and requests besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from driftgauge.drift.verdict import WindowVerdict
from driftgauge.report import figures
from driftgauge.report.checks import rejected_section, violations_section
from driftgauge.report.columns import (
    Sides,
    calm_section,
    drifted_section,
    rest_section,
    table_section,
)
from driftgauge.report.history import history_chart, parts_of, windows_to_draw
from driftgauge.report.joint import joint_section
from driftgauge.report.lasting import lasting_section
from driftgauge.report.markup import escape
from driftgauge.report.predictions import predictions_section
from driftgauge.report.references import references_section
from driftgauge.report.root_cause import cause_section
from driftgauge.report.style import STYLE
from driftgauge.report.summary import STATE_WORDS, summarize, worst_first
from driftgauge.report.wording import count, moment, plural, share, span
from driftgauge.settings import DecisionSettings

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.profile.profile import Profile

_IN_FRONT = 40  # rows of the table before the charts; the rest follows at the end


def render_report(
    *,
    verdict: WindowVerdict,
    baseline: Baseline,
    profile: Profile,
    history: Sequence[WindowVerdict],
    generated_at: datetime,
    decision: DecisionSettings | None = None,
) -> str:
    """Write the report of one window as one HTML page.

    Parameters
    ----------
    verdict : WindowVerdict
        What was decided.
    baseline : Baseline
        What the window was compared with; its profile is drawn beside the window's.
    profile : Profile
        The window's rows, counted in the baseline's cells.
    history : sequence of WindowVerdict
        Verdicts of other windows of the same variant, in any order, for the chart over time. If
        several of them lie inside the reported window, they are drawn in its place.
    generated_at : datetime
        When the page is made.
    decision : DecisionSettings, optional
        The monitor's settings, for the threshold line of the chart and what the words say of
        them; without them the defaults. In strict mode the line is the constraints' threshold.

    Returns
    -------
    str
        A whole HTML document, to be written as UTF-8.
    """
    features = worst_first(verdict.features)
    decision = decision or DecisionSettings()
    limit = decision.min_effect
    if verdict.mode == "strict":
        limit = baseline.constraints.settings.comparison_threshold
    sides = Sides(baseline=baseline, profile=profile, verdict=verdict, limit=limit)
    predicted = frozenset(shift.name for shift in verdict.predictions)
    learning = decision.persistence.learning_windows
    front, rest = features[:_IN_FRONT], features[_IN_FRONT:]
    name = escape(verdict.monitor)
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(STATE_WORDS[summarize(verdict).state])}: {name}, "
            f"{escape(moment(verdict.window_start))} UTC</title>",
            f"<style>{STYLE}</style></head><body>",
            _header(verdict, baseline),
            "<main>",
            _opening(verdict, history),
            cause_section(verdict),
            table_section(sides, front, rest=len(rest)),
            drifted_section(sides, features),
            predictions_section(verdict),
            _history_section(verdict, history, limit),
            lasting_section(verdict, history, learning_windows=learning),
            joint_section(verdict),
            references_section(verdict),
            violations_section(verdict),
            rejected_section(verdict),
            calm_section(sides, features, drawn=predicted),
            rest_section(sides, rest),
            "</main>",
            _footer(verdict, generated_at, limit, decision),
            "</body></html>\n",
        )
    )


def _header(verdict: WindowVerdict, baseline: Baseline) -> str:
    state = summarize(verdict).state
    return (
        '<header class="top"><p class="eyebrow">driftgauge report</p>'
        f'<div class="title"><h1><bdi>{escape(verdict.monitor)}</bdi></h1>'
        f'<span class="badge big {state}">{STATE_WORDS[state]}</span></div>'
        f'<p class="meta"><span>variant <bdi>{escape(verdict.variant)}</bdi></span>'
        f"<span>{escape(moment(verdict.window_start))} to {escape(moment(verdict.window_end))} "
        f"UTC ({escape(span(verdict.window_start, verdict.window_end))})</span>"
        f"<span>baseline <bdi>{escape(verdict.baseline_version)}</bdi>, "
        f"{plural(baseline.profile.rows, 'row')}</span>"
        f"{'<span>strict mode</span>' if verdict.mode == 'strict' else ''}</p></header>"
    )


def _opening(verdict: WindowVerdict, history: Sequence[WindowVerdict]) -> str:
    summary = summarize(verdict)
    lines = list(summary.advice)
    parts = parts_of(verdict, history)
    alarmed = sum(part.alarm for part in parts)
    if alarmed and not verdict.alarm:
        lines.insert(
            0,
            f"{count(alarmed)} of the {plural(len(parts), 'shorter window')} within this one "
            "would have alarmed on their own: see drift over time.",
        )
    advice = "".join(f"<li>{escape(line)}</li>" for line in lines)
    checks = len(verdict.quality_violations)
    drifted = sum(f.verdict == "drift" for f in verdict.features)
    judged = sum(f.verdict != "insufficient_data" for f in verdict.features)
    unjudged = len(verdict.features) - judged
    of_judged = f"of {judged:,} judged" + (f", {unjudged:,} not judged" if unjudged else "")
    tiles = (
        _tile("Rows", count(verdict.rows), "predictions in this window"),
        _tile("Records", count(verdict.records), "calls of the endpoint"),
        _tile(
            "Rejected input",
            share(verdict.rejected_share),
            f"{count(verdict.rejected_total)} records or rows",
            hot=verdict.rejected_total > 0,
        ),
        _tile("Features drifted", count(drifted), of_judged, hot=drifted > 0),
        _tile(
            "Violations",
            count(len(verdict.violations)),
            f"{count(checks)} of data quality, {count(len(verdict.violations) - checks)} of drift",
            hot=bool(verdict.violations),
        ),
    )
    return (
        f'<p class="lead">{escape(summary.headline)}</p>'
        + (f'<ul class="advice">{advice}</ul>' if advice else "")
        + f'<dl class="tiles">{"".join(tiles)}</dl>'
    )


def _tile(label: str, value: str, note: str, *, hot: bool = False) -> str:
    return (
        f"<div{' class=hot' if hot else ''}><dt>{label}</dt>"
        f"<dd>{escape(value)}<small>{note}</small></dd></div>"
    )


def _history_section(verdict: WindowVerdict, history: Sequence[WindowVerdict], limit: float) -> str:
    windows = windows_to_draw(verdict, history)
    if len(windows) < 2:
        return ""
    chart = history_chart(verdict, windows, limit=limit)
    if not chart:
        return ""
    alarms = sum(window.alarm for window in windows)
    scale = figures.history_note(verdict.features, verdict.mode)
    return (
        '<h2>Drift over time</h2><p class="note">'
        f"{figures.MEASURES[verdict.mode].capitalize()} of the worst features over "
        f"{plural(len(windows), 'window')}{scale}. Triangles and shading mark the "
        f"{plural(alarms, 'window')} with an alarm.</p>"
        f'<div class="scroll">{chart}</div>'
    )


def _footer(
    verdict: WindowVerdict, generated_at: datetime, limit: float, decision: DecisionSettings
) -> str:
    corrections = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg"}
    terms = figures.terms(verdict.mode, limit, correction=corrections[decision.correction])
    inner = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in terms)
    return (
        f"<footer><div><h2>How to read this</h2><dl>{inner}</dl>"
        f"<p>Evaluated {escape(moment(verdict.evaluated_at))} UTC, page made "
        f"{escape(moment(generated_at))} UTC. All times are UTC.</p></div></footer>"
    )
