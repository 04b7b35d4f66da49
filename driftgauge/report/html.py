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
from driftgauge.report.history import history_chart, windows_to_draw
from driftgauge.report.joint import joint_section
from driftgauge.report.lasting import lasting_section
from driftgauge.report.markup import escape
from driftgauge.report.opening import header, opening, page_title
from driftgauge.report.outcomes import outcome_sections, outcome_terms
from driftgauge.report.predictions import predictions_section
from driftgauge.report.references import references_section
from driftgauge.report.root_cause import cause_section
from driftgauge.report.style import STYLE
from driftgauge.report.summary import worst_first
from driftgauge.report.wording import moment, plural
from driftgauge.settings import DecisionSettings

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.outcome_verdict import OutcomesVerdict
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
    outcomes: OutcomesVerdict | None = None,
    outcome_history: Sequence[OutcomesVerdict] = (),
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
    outcomes : OutcomesVerdict, optional
        What labels, and estimates without them, say of the window: quality, bias, attributions.
    outcome_history : sequence of OutcomesVerdict
        The same of other windows of the variant, in any order, of any baseline.

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
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{page_title(verdict, outcomes)}</title>",
            f"<style>{STYLE}</style></head><body>",
            header(verdict, baseline, outcomes),
            "<main>",
            opening(verdict, history, outcomes, outcome_history),
            cause_section(verdict),
            outcome_sections(outcomes, outcome_history) if outcomes is not None else "",
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
            _footer(verdict, generated_at, limit, decision, outcomes),
            "</body></html>\n",
        )
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
    verdict: WindowVerdict,
    generated_at: datetime,
    limit: float,
    decision: DecisionSettings,
    outcomes: OutcomesVerdict | None,
) -> str:
    corrections = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg"}
    terms = figures.terms(verdict.mode, limit, correction=corrections[decision.correction])
    if outcomes is not None:
        terms = (*terms, *outcome_terms(outcomes))
    inner = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in terms)
    return (
        f"<footer><div><h2>How to read this</h2><dl>{inner}</dl>"
        f"<p>Evaluated {escape(moment(verdict.evaluated_at))} UTC, page made "
        f"{escape(moment(generated_at))} UTC. All times are UTC.</p></div></footer>"
    )
