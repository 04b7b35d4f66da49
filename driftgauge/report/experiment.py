"""The page of an experiment: an A/B test, a shadow test, or both.

One self-contained HTML file in the style of the window's report, with the same protection: names
and categories from payloads reach it escaped, and its policy forbids scripts and requests.
"""

from __future__ import annotations

from datetime import datetime

from driftgauge.errors import ExperimentError
from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.experiments.verdict import ExperimentVerdict
from driftgauge.report.experiment_metrics import (
    guardrails_section,
    primary_section,
    segments_section,
    traffic_section,
)
from driftgauge.report.experiment_shadow import (
    percent,
    shadow_sections,
    share_bounds,
    won_word,
)
from driftgauge.report.experiment_style import EXPERIMENT_STYLE
from driftgauge.report.experiment_words import (
    DECISION_STYLES,
    DECISION_WORDS,
    METHOD_WORDS,
    SHADOW_STYLES,
    SHADOW_WORDS,
    bdi,
    bounds_of,
    change_of,
    headline,
    milliseconds,
    shadow_headline,
)
from driftgauge.report.markup import escape
from driftgauge.report.style import STYLE
from driftgauge.report.wording import DASH, count, moment, share, span


def render_experiment(
    *,
    verdict: ExperimentVerdict | None = None,
    shadow: ShadowVerdict | None = None,
    generated_at: datetime,
) -> str:
    """Write the page of an experiment as one HTML document.

    Parameters
    ----------
    verdict : ExperimentVerdict, optional
        What was decided on a challenger that receives its own requests.
    shadow : ShadowVerdict, optional
        What was decided on the same model as a shadow.
    generated_at : datetime
        When the page is made.

    Returns
    -------
    str
        A whole HTML document, to be written as UTF-8.

    Raises
    ------
    ExperimentError
        If neither verdict is given.
    """
    found = verdict or shadow
    if found is None:
        raise ExperimentError("the page of an experiment needs a verdict: on a test or a shadow")
    words = _state_words(verdict, shadow)
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(words)}: {escape(found.experiment)}</title>",
            f"<style>{STYLE}{EXPERIMENT_STYLE}</style></head><body>",
            _header(verdict, shadow),
            "<main>",
            _test(verdict) if verdict is not None else "",
            _shadow(shadow, after_test=verdict is not None) if shadow is not None else "",
            "</main>",
            _footer(verdict, shadow, generated_at),
            "</body></html>\n",
        )
    )


def _state_words(verdict: ExperimentVerdict | None, shadow: ShadowVerdict | None) -> str:
    if verdict is not None:
        return DECISION_WORDS[verdict.decision]
    return SHADOW_WORDS[shadow.decision] if shadow is not None else ""


def _header(verdict: ExperimentVerdict | None, shadow: ShadowVerdict | None) -> str:
    badges = ""
    name, meta = "", ""
    if shadow is not None:
        name = shadow.experiment
        badges = _big(SHADOW_STYLES[shadow.decision], SHADOW_WORDS[shadow.decision])
        meta = (
            f'<span><span class="key champion"></span>production {bdi(shadow.production)}</span>'
            f'<span><span class="key challenger"></span>shadow {bdi(shadow.shadow)}</span>'
            f"{_period(shadow.started, shadow.evaluated_at)}"
        )
    if verdict is not None:
        name = verdict.experiment
        badges = _big(DECISION_STYLES[verdict.decision], DECISION_WORDS[verdict.decision])
        meta = (
            f'<span><span class="key champion"></span>champion {bdi(verdict.champion)}</span>'
            f'<span><span class="key challenger"></span>challenger {bdi(verdict.challenger)}'
            f"</span>{_period(verdict.started, verdict.evaluated_at)}"
            f"<span>{escape(METHOD_WORDS[verdict.method])}</span>"
        )
    return (
        '<header class="top"><p class="eyebrow">driftgauge experiment</p>'
        f'<div class="title"><h1><bdi>{escape(name)}</bdi></h1>'
        f'<span class="badges">{badges}</span></div><p class="meta">{meta}</p></header>'
    )


def _period(started: datetime, evaluated: datetime) -> str:
    return (
        f"<span>{escape(moment(started))} to {escape(moment(evaluated))} UTC "
        f"({escape(span(started, evaluated))})</span>"
    )


def _big(style: str, words: str) -> str:
    return f'<span class="badge big {style}">{escape(words)}</span>'


def _test(verdict: ExperimentVerdict) -> str:
    primary = verdict.primary
    harmed = sum(metric.outcome == "harm" for metric in verdict.metrics)
    undecided = sum(metric.outcome in ("open", "insufficient_data") for metric in verdict.metrics)
    tiles = (
        _tile(
            "Difference",
            change_of(primary.difference),
            f"{escape(bounds_of(primary.low, primary.high))}",
        ),
        _tile(
            "Metrics harmed",
            count(harmed),
            f"of {len(verdict.metrics):,}, {undecided:,} not decided",
            hot=harmed > 0,
        ),
        _tile(
            "Champion's rows",
            count(primary.champion_rows),
            f"of {count(verdict.planned_champion_rows)} planned",
        ),
        _tile(
            "Challenger's rows",
            count(primary.challenger_rows),
            f"of {count(verdict.planned_challenger_rows)} planned",
        ),
        _tile(
            "Challenger's traffic",
            DASH if verdict.mismatch.share is None else share(verdict.mismatch.share),
            "not as planned" if verdict.mismatch.mismatch else "as planned",
            hot=verdict.mismatch.mismatch,
        ),
    )
    return (
        f'<p class="lead">{headline(verdict)}</p>'
        f'<p class="lead why">{escape(verdict.reason)}</p>'
        f'<dl class="tiles">{"".join(tiles)}</dl>'
        + primary_section(verdict)
        + guardrails_section(verdict)
        + traffic_section(verdict)
        + segments_section(verdict)
    )


def _shadow(verdict: ShadowVerdict, *, after_test: bool) -> str:
    right = verdict.right
    tiles = [
        _tile("Pairs", count(verdict.agreement.trials), "predictions of the same requests"),
        _tile(
            "Agreement", percent(verdict.agreement.value), escape(share_bounds(verdict.agreement))
        ),
        _tile(
            "Missing pairs",
            percent(verdict.unpaired.value),
            f"at most {escape(share(verdict.max_unpaired))} tolerated",
            hot=verdict.unpaired.low > verdict.max_unpaired,
        ),
        _tile(
            f"Shadow {won_word(verdict)}",
            DASH if right is None else count(right.shadow_right),
            "no labels yet" if right is None else f"production {count(right.production_right)}",
            hot=right is not None and right.outcome == "worse",
        ),
    ]
    latency = verdict.latency
    ratio = None if latency is None else latency.ratio
    note = "not measured"
    if latency is not None and latency.production is not None and latency.shadow is not None:
        note = f"{milliseconds(latency.production.p90)} → {milliseconds(latency.shadow.p90)}"
    tiles.append(
        _tile(
            "90% latency",
            DASH if ratio is None else f"{ratio:.2f} times",
            note,
            hot=latency is not None and latency.slower,
        )
    )
    opening = (
        f"<h2>As a shadow {_big(SHADOW_STYLES[verdict.decision], SHADOW_WORDS[verdict.decision])}"
        f'</h2><p class="meta"><span>{bdi(verdict.shadow)} beside {bdi(verdict.production)}</span>'
        f"{_period(verdict.started, verdict.evaluated_at)}</p>"
        if after_test
        else ""
    )
    return (
        f'{opening}<p class="lead">{shadow_headline(verdict)}</p>'
        f'<p class="lead why">{escape(verdict.reason)}</p>'
        f'<dl class="tiles">{"".join(tiles)}</dl>{shadow_sections(verdict)}'
    )


def _tile(label: str, value: str, note: str, *, hot: bool = False) -> str:
    return (
        f"<div{' class=hot' if hot else ''}><dt>{label}</dt>"
        f"<dd>{escape(value)}<small>{note}</small></dd></div>"
    )


def _footer(
    verdict: ExperimentVerdict | None, shadow: ShadowVerdict | None, generated_at: datetime
) -> str:
    terms: list[tuple[str, str]] = []
    if verdict is not None:
        terms += [
            (
                "Confidence sequence",
                "Bounds that hold the true difference at all looks together, not only at the "
                "last. They may be looked at, and acted on, at any time.",
            ),
            (
                "Difference",
                "Challenger less champion, compared within blocks of time, so that what changes "
                "with time is no difference of the two.",
            ),
            (
                "Promote",
                "The primary metric is surely better, every guardrail surely within its margin, "
                "and no segment surely harmed.",
            ),
            (
                "Harm",
                "A metric is surely worse, and its loss so far exceeds the margin.",
            ),
            (
                "Chance of error",
                f"{share(verdict.alpha)} for any wrong promotion or stop of a challenger that is "
                "like the champion.",
            ),
        ]
    if shadow is not None:
        terms += [
            (
                "Agreement",
                "Share of the pairs in which both predict the same class, or numbers within the "
                "tolerance. Cohen's kappa is agreement beyond that of chance: 1 is perfect.",
            ),
            (
                "Who was right",
                "Of the labelled pairs in which just one is right, how many are the shadow's; "
                "half of them if the two are as good as each other.",
            ),
            (
                "Bounds of a shadow",
                f"Hold at all looks together, but for a chance of {share(shadow.alpha)}; pairs "
                "are taken as independent of each other.",
            ),
        ]
    inner = "".join(f"<dt>{term}</dt><dd>{escape(text)}</dd>" for term, text in terms)
    return (
        f"<footer><div><h2>How to read this</h2><dl>{inner}</dl>"
        f"<p>Page made {escape(moment(generated_at))} UTC. All times are UTC.</p></div></footer>"
    )
