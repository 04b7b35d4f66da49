"""The opening of the report: whose window it is, and what its verdict comes down to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from driftgauge.drift.verdict import WindowVerdict
from driftgauge.report.history import parts_of
from driftgauge.report.markup import escape
from driftgauge.report.outcome_words import (
    FINDING_WORDS,
    figure_text,
    findings_of,
    judged_with_labels,
    measure_heading,
    primary_of,
    summarize_outcomes,
)
from driftgauge.report.summary import STATE_WORDS, summarize
from driftgauge.report.wording import DASH, count, moment, plural, share, span

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.outcome_verdict import OutcomesVerdict


def state_badges(
    verdict: WindowVerdict, outcomes: OutcomesVerdict | None
) -> tuple[tuple[str, str], ...]:
    """Return the states of a window, the most pressing first: style and words of each.

    That nothing drifted is not said of a window whose outcomes are worse.
    """
    found = [("drift", FINDING_WORDS[finding]) for finding in findings_of(outcomes)]
    state = summarize(verdict).state
    if not found or state in ("drift", "violations"):
        found.append((state, STATE_WORDS[state]))
    return tuple(found)


def page_title(verdict: WindowVerdict, outcomes: OutcomesVerdict | None) -> str:
    """Return the title of the page (markup)."""
    states = ", ".join(words for _, words in state_badges(verdict, outcomes))
    return (
        f"{escape(states)}: {escape(verdict.monitor)}, {escape(moment(verdict.window_start))} UTC"
    )


def header(verdict: WindowVerdict, baseline: Baseline, outcomes: OutcomesVerdict | None) -> str:
    """Return the head of the page: monitor, states, window and baseline."""
    badges = "".join(
        f'<span class="badge big {style}">{words}</span>'
        for style, words in state_badges(verdict, outcomes)
    )
    return (
        '<header class="top"><p class="eyebrow">driftgauge report</p>'
        f'<div class="title"><h1><bdi>{escape(verdict.monitor)}</bdi></h1>'
        f'<span class="badges">{badges}</span></div>'
        f'<p class="meta"><span>variant <bdi>{escape(verdict.variant)}</bdi></span>'
        f"<span>{escape(moment(verdict.window_start))} to {escape(moment(verdict.window_end))} "
        f"UTC ({escape(span(verdict.window_start, verdict.window_end))})</span>"
        f"<span>baseline <bdi>{escape(verdict.baseline_version)}</bdi>, "
        f"{plural(baseline.profile.rows, 'row')}</span>"
        f"{'<span>strict mode</span>' if verdict.mode == 'strict' else ''}</p></header>"
    )


def opening(
    verdict: WindowVerdict,
    history: Sequence[WindowVerdict],
    outcomes: OutcomesVerdict | None,
    outcome_history: Sequence[OutcomesVerdict],
) -> str:
    """Return what the verdict comes down to: sentences, advice and figures."""
    labelled = outcomes is not None and judged_with_labels(outcomes)
    summary = summarize(verdict, labelled=labelled)
    headlines, lines = [summary.headline], list(summary.advice)
    if outcomes is not None:
        known = summarize_outcomes(outcomes, outcome_history)
        # What is wrong comes before what is not.
        headlines.insert(0 if known.findings else 1, known.headline)
        lines = [*known.advice, *lines]
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
    more = _outcome_tiles(outcomes) if outcomes is not None else ""
    return (
        "".join(f'<p class="lead">{escape(text)}</p>' for text in headlines if text)
        + (f'<ul class="advice">{advice}</ul>' if advice else "")
        + f'<dl class="tiles">{"".join(tiles)}</dl>'
        + (f'<dl class="tiles more">{more}</dl>' if more else "")
    )


def _outcome_tiles(outcomes: OutcomesVerdict) -> str:
    """Return the figures of the outcomes."""
    labels, metric = outcomes.labels, primary_of(outcomes)
    usual = "" if labels.usual_coverage is None else f", {share(labels.usual_coverage)} usual"
    tiles = [
        _tile("Labelled", share(labels.coverage), f"of the predictions{escape(usual)}"),
    ]
    if metric is not None:
        estimate = outcomes.quality.estimates.get(metric.name) if outcomes.quality else None
        tiles.append(
            _tile(
                escape(measure_heading(metric.name)),
                figure_text(metric.name, metric.value),
                f"with labels; baseline {figure_text(metric.name, metric.baseline)}",
                hot=metric.verdict == "decay",
            )
        )
        tiles.append(
            _tile(
                "Estimated",
                figure_text(metric.name, estimate.value if estimate else None),
                "without labels, all rows" if estimate else "no estimate",
                hot=outcomes.concept_drift,
            )
        )
    tiles.append(_bias_tile(outcomes))
    tiles.append(_attribution_tile(outcomes))
    return "".join(tiles)


def _bias_tile(outcomes: OutcomesVerdict) -> str:
    if outcomes.bias is None:
        return ""
    drifted = len(outcomes.bias.drifted)
    judged = sum(m.verdict != "insufficient_data" for f in outcomes.bias.facets for m in f.metrics)
    return _tile("Bias metrics drifted", count(drifted), f"of {judged:,} judged", hot=drifted > 0)


def _attribution_tile(outcomes: OutcomesVerdict) -> str:
    known = [one for one in outcomes.attributions if one.distance is not None]
    if not outcomes.attributions:
        return ""
    furthest = max((one.distance or 0.0 for one in known), default=None)
    return _tile(
        "Attribution moved",
        DASH if furthest is None else share(furthest),
        "to other features",
        hot=outcomes.attribution_drift,
    )


def _tile(label: str, value: str, note: str, *, hot: bool = False) -> str:
    return (
        f"<div{' class=hot' if hot else ''}><dt>{label}</dt>"
        f"<dd>{escape(value)}<small>{note}</small></dd></div>"
    )
