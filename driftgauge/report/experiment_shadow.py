"""A shadow beside production in the experiment page: agreement, who was right, latency."""

from __future__ import annotations

from typing import Final

from driftgauge.experiments.shadow_verdict import (
    ScoreDifference,
    ShadowSegment,
    ShadowVerdict,
    Share,
    Transition,
    WhoWasRight,
)
from driftgauge.report.experiment_latency import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    latency_section,
    share_grid,
)
from driftgauge.report.experiment_metrics import facts_list
from driftgauge.report.experiment_words import (
    badge,
    bdi,
    bounds_of,
    change_of,
    figure_of,
)
from driftgauge.report.markup import escape, shorten
from driftgauge.report.outcome_labels import legend
from driftgauge.report.outcome_words import measure_heading
from driftgauge.report.svg import figure, nice_ticks, number
from driftgauge.report.whisker import Whisker
from driftgauge.report.wording import DASH, count, p_value, plural, quantity, share

_FEWEST_BINS: Final = 11
_SEGMENTS: Final = 40


def shadow_sections(verdict: ShadowVerdict) -> str:
    """Return everything about a shadow, as HTML."""
    return (
        agreement_section(verdict)
        + right_section(verdict)
        + segments_section(verdict)
        + latency_section(verdict)
        + pairing_section(verdict)
    )


def percent(value: float | None) -> str:
    """Write a share; a dash if it is not known."""
    return DASH if value is None else share(value)


def share_bounds(found: Share) -> str:
    """Write the confidence sequence of a share; a dash without trials."""
    return f"{share(found.low)} to {share(found.high)}" if found.trials else DASH


def won_word(verdict: ShadowVerdict) -> str:
    """Return what the better of two predictions is: of numbers hardly any is right."""
    return "closer" if verdict.problem == "regression" else "right"


def agreement_section(verdict: ShadowVerdict) -> str:
    """Return how often the predictions agree, and how far apart the scores are."""
    found = verdict.agreement
    low = verdict.min_agreement
    state = ("insufficient", "open")
    if found.low >= low:
        state = ("ok", "as alike as asked")
    elif found.high < low:
        state = ("drift", "too different")
    rule = (
        f"Numbers agree that differ by at most {quantity(verdict.tolerance)}."
        if verdict.tolerance is not None
        else "Predictions agree that name the same class."
    )
    facts = [
        ("Pairs", count(found.trials)),
        ("Agreement", f'<span class="strong">{escape(percent(found.value))}</span>'),
        ("Confidence sequence", escape(share_bounds(found))),
        ("Least that is asked", escape(share(low))),
    ]
    if verdict.kappa is not None:
        facts.append(("Cohen's kappa", f"{verdict.kappa:.3f}"))
    if verdict.difference is not None:
        facts += _difference_facts(verdict.difference)
    if verdict.unusable:
        facts.append(("Pairs with unusable predictions", count(verdict.unusable)))
    chart = (
        difference_chart(verdict.difference)
        if verdict.difference is not None
        else '<p class="caption">No scores to compare.</p>'
    )
    return (
        f'<h2>Agreement {badge(*state)}</h2><p class="note">{escape(rule)} Both models saw the '
        "same requests, so that every difference is one of the models.</p>"
        f'<article class="card"><div class="split"><div>{chart}</div><div>{facts_list(facts)}'
        f"</div></div></article>{_transitions(verdict)}"
    )


def _difference_facts(found: ScoreDifference) -> list[tuple[str, str]]:
    facts = [("Mean difference of the scores", change_of(found.mean))]
    if found.low is not None:
        facts.append(("Its confidence sequence", bounds_of(found.low, found.high)))
    facts.append(("Mean size of the difference", figure_of(found.distance)))
    return facts


def difference_chart(found: ScoreDifference) -> str:
    """Draw the differences of the scores: bars of pairs that agree and that do not."""
    bins = [a + d for a, d in zip(found.agreeing, found.differing, strict=True)]
    half = len(bins) // 2
    used = [abs(i - half) for i, rows in enumerate(bins) if rows]
    reach = min(half, max([_FEWEST_BINS // 2, *used]) + 1)
    first, last = half - reach, half + reach
    top = max(bins) / found.rows
    bottom = HEIGHT - BOTTOM
    pitch = (WIDTH - LEFT - RIGHT) / (last - first + 1)
    step = found.edges[1] - found.edges[0]
    scale = (bottom - TOP) / (top * 1.04)
    parts = [share_grid(top, bottom, scale)]
    for place in range(first, last + 1):
        x = LEFT + (place - first) * pitch
        parts.append(_difference_bar(found, place, x=x, pitch=pitch, bottom=bottom, scale=scale))
    parts.append(_difference_axis(first - half, last - half, step, pitch, bottom))
    entries = [
        ("agree", '<rect class="pair-agree" width="14" height="10"/>'),
        ("do not", '<rect class="pair-differ" width="14" height="10"/>'),
    ]
    return legend(entries) + figure(
        key="difference",
        width=WIDTH,
        height=HEIGHT,
        title="Differences of the scores, shadow less production",
        description=(
            f"{plural(found.rows, 'pair')}, mean {change_of(found.mean)}, mean size "
            f"{figure_of(found.distance)}"
        ),
        body="".join(parts),
        style="chart",
    )


def _difference_bar(
    found: ScoreDifference, place: int, *, x: float, pitch: float, bottom: float, scale: float
) -> str:
    agree, differ = found.agreeing[place], found.differing[place]
    if not agree + differ:
        return ""
    label = _bin_label(found, place)
    gap = min(1.0, pitch * 0.15)
    drawn = ""
    base = bottom
    for style, rows in (("pair-agree", agree), ("pair-differ", differ)):
        height = rows / found.rows * scale
        if rows:
            drawn += (
                f'<rect class="{style}" x="{number(x + gap / 2)}" y="{number(base - height)}" '
                f'width="{number(pitch - gap)}" height="{number(max(height, 0.4))}"/>'
            )
        base -= height
    return f"<g><title>{escape(label)}: {agree:,} agree, {differ:,} do not</title>{drawn}</g>"


def _bin_label(found: ScoreDifference, place: int) -> str:
    if place == 0:
        return f"below {change_of(found.edges[0])}"
    if place == len(found.edges):
        return f"{change_of(found.edges[-1])} and more"
    return f"{change_of(found.edges[place - 1])} to {change_of(found.edges[place])}"


def _difference_axis(first: int, last: int, step: float, pitch: float, bottom: float) -> str:
    parts = [
        f'<line class="axis" x1="{number(LEFT)}" x2="{number(WIDTH - RIGHT)}" '
        f'y1="{number(bottom)}" y2="{number(bottom)}"/>'
    ]
    for tick in nice_ticks(first * step, last * step, 6):
        x = LEFT + (tick / step - first + 0.5) * pitch
        parts.append(
            f'<line class="axis" x1="{number(x)}" x2="{number(x)}" y1="{number(bottom)}" '
            f'y2="{number(bottom + 4)}"/><text class="tick" x="{number(x)}" '
            f'y="{number(bottom + 17)}" text-anchor="middle">{change_of(tick)}</text>'
        )
    parts.append(
        f'<text class="tick" x="{number((LEFT + WIDTH - RIGHT) / 2)}" '
        f'y="{number(HEIGHT - 6)}" text-anchor="middle">score of the shadow less production\'s'
        "</text>"
    )
    return "".join(parts)


def _transitions(verdict: ShadowVerdict) -> str:
    if not verdict.transitions:
        return ""
    pairs = verdict.agreement.trials
    rows = "".join(_transition_row(one, pairs) for one in verdict.transitions)
    return (
        '<p class="sub">Most frequent disagreements</p><div class="scroll">'
        '<table class="plain transitions"><thead><tr><th scope="col">Production</th>'
        '<th scope="col">Shadow</th><th scope="col" class="n">Pairs</th>'
        '<th scope="col" class="n">With a label</th><th scope="col" class="n">Production right'
        '</th><th scope="col" class="n">Shadow right</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _transition_row(one: Transition, pairs: int) -> str:
    return (
        f'<tr><th scope="row">{bdi(one.production)}</th><td>{bdi(one.shadow)}</td>'
        f'<td class="n">{count(one.rows)}<small>{escape(share(one.rows / pairs))}</small></td>'
        f'<td class="n">{count(one.labelled)}</td><td class="n">{count(one.production_right)}</td>'
        f'<td class="n">{count(one.shadow_right)}</td></tr>'
    )


def right_section(verdict: ShadowVerdict) -> str:
    """Return what labels say of the disagreements."""
    found = verdict.right
    if found is None:
        return '<h2>Who was right</h2><p class="note">No label of these pairs has arrived yet.</p>'
    state = {
        "better": ("ok", "shadow better"),
        "worse": ("drift", "shadow worse"),
        "open": ("insufficient", "open"),
    }[found.outcome]
    numbers = found.error_production is None
    note = (
        "Which prediction was closer to the label."
        if numbers
        else "Where the two disagree, at most one is right: what the disagreements cost."
    )
    return (
        f'<h2>Who was right {badge(*state)}</h2><p class="note">'
        f"{plural(found.labelled, 'pair')} with a label, {found.differing:,} of them "
        f"disagreements. {note}</p>"
        f'<article class="card"><div class="split"><div>{_right_chart(found, numbers=numbers)}'
        f"</div><div>{_right_facts(found)}</div></div></article>"
    )


def _right_chart(found: WhoWasRight, *, numbers: bool) -> str:
    """Draw the labelled pairs by who is right."""
    rows = (
        [
            ("production closer", "base-bar", found.production_right),
            ("the shadow closer", "window-bar", found.shadow_right),
            ("both alike", "won-both", found.both),
        ]
        if numbers
        else [
            ("only production right", "base-bar", found.production_right),
            ("only the shadow right", "window-bar", found.shadow_right),
            ("both right", "won-both", found.both),
            ("neither right", "won-neither", found.neither),
        ]
    )
    left, figures, pitch = 158.0, 112.0, 30.0
    top = max(value for *_, value in rows) or 1
    parts = []
    for index, (words, style, value) in enumerate(rows):
        y = index * pitch + 4.0
        width = value / top * (WIDTH - left - figures)
        parts.append(
            f'<text class="label" x="{number(left - 10)}" y="{number(y + 14)}" '
            f'text-anchor="end">{words}</text><rect class="{style}" x="{number(left)}" '
            f'y="{number(y)}" width="{number(max(width, 0.6 if value else 0.0))}" height="19"/>'
            f'<text class="value" x="{number(WIDTH - 2)}" y="{number(y + 14)}" '
            f'text-anchor="end"><tspan class="strong">{value:,}</tspan> '
            f"{escape(share(value / found.labelled))}</text>"
        )
    height = len(rows) * pitch + 2.0
    parts.append(
        f'<line class="axis" x1="{number(left)}" x2="{number(left)}" y1="0" y2="{number(height)}"/>'
    )
    return figure(
        key="right",
        width=WIDTH,
        height=height,
        title="Labelled pairs by who was right",
        description="; ".join(f"{words}: {value:,}" for words, _, value in rows),
        body="".join(parts),
        style="chart",
    )


def _right_facts(found: WhoWasRight) -> str:
    facts = []
    if found.error_production is not None and found.error_shadow is not None:
        change = change_of(found.error_shadow - found.error_production)
        facts += [
            ("Error rate of production", figure_of(found.error_production)),
            ("Error rate of the shadow", f"{figure_of(found.error_shadow)} ({change})"),
        ]
    facts += [
        (
            "Won by the shadow, of those decided",
            f'<span class="strong">{escape(percent(found.wins.value))}</span>',
        ),
        ("Confidence sequence", escape(share_bounds(found.wins))),
        ("p, each as often", escape(p_value(found.p_value))),
    ]
    loss = found.loss
    if loss is not None:
        change = change_of(loss.shadow - loss.production)
        facts += [
            (f"{escape(measure_heading(loss.name))} of production", figure_of(loss.production)),
            (
                f"{escape(measure_heading(loss.name))} of the shadow",
                f"{figure_of(loss.shadow)} ({change})",
            ),
        ]
        if loss.low is not None:
            facts.append(("Confidence sequence", bounds_of(loss.low, loss.high)))
    return facts_list(facts)


def segments_section(verdict: ShadowVerdict) -> str:
    """Return agreement in each segment, the least first; empty without segments."""
    segments = verdict.segments
    if not segments:
        return ""
    shown = segments[:_SEGMENTS]
    apart = sum(one.apart for one in segments)
    low = min([one.agreement.low for one in shown if one.agreement.trials >= 20] or [0.0])
    low = min(low, verdict.agreement.value or 0.0)
    rows = "".join(_segment_row(one, verdict.agreement.value, low) for one in shown)
    more = f", the first {_SEGMENTS:,}" if len(shown) < len(segments) else ""
    won = won_word(verdict)
    return (
        f'<h2>Disagreement by segment</h2><p class="note">{plural(len(segments), "segment")}, '
        f"least agreement first{more}; {apart:,} surely agree less often than all pairs together. "
        "Dot and whisker: agreement and confidence sequence; bar: all pairs.</p>"
        '<div class="scroll"><table class="features"><thead><tr><th scope="col">Segment</th>'
        '<th scope="col">Agreement</th><th scope="col" class="n">Pairs</th>'
        '<th scope="col" class="n">Disagreements</th>'
        '<th scope="col" class="n">Score difference</th>'
        f'<th scope="col" class="n">Production {won}</th>'
        f'<th scope="col" class="n">Shadow {won}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _segment_row(one: ShadowSegment, overall: float | None, low: float) -> str:
    found = one.agreement
    picture = DASH
    if found.value is not None:
        picture = Whisker(
            value=found.value,
            interval=(found.low, found.high),
            baseline=overall,
            allowed=(0.0, 0.0),
            hot=one.apart,
        ).picture(low, 1.0, f"{share(found.value)} ({share_bounds(found)})")
    apart = f" {badge('drift', 'less alike')}" if one.apart else ""
    return (
        f'<tr><th scope="row"><bdi>{escape(shorten(one.category, 60))}</bdi>{apart}'
        f"<small>{bdi(one.column)}</small></th>"
        f'<td>{picture}<small class="under">{escape(percent(found.value))}, '
        f"{escape(share_bounds(found))}</small></td>"
        f'<td class="n">{count(found.trials)}</td>'
        f'<td class="n{" strong hot" if one.apart else ""}">{count(found.trials - found.hits)}</td>'
        f'<td class="n">{change_of(one.mean_difference)}</td>'
        f'<td class="n">{count(one.production_right)}</td>'
        f'<td class="n">{count(one.shadow_right)}</td></tr>'
    )


def pairing_section(verdict: ShadowVerdict) -> str:
    """Return what became of all records: paired, alone, ambiguous."""
    found, unpaired = verdict.pairing, verdict.unpaired
    state = ("insufficient", "open")
    if unpaired.trials and unpaired.high <= verdict.max_unpaired:
        state = ("ok", "complete")
    elif unpaired.low > verdict.max_unpaired:
        state = ("drift", "pairs missing")
    facts = [
        ("Paired records", count(found.paired)),
        ("Expected pairs", count(unpaired.trials)),
        (
            "Missing",
            f'<span class="strong">{count(unpaired.hits)}</span> '
            f"({escape(percent(unpaired.value))})",
        ),
        ("Confidence sequence", escape(share_bounds(unpaired))),
        ("Largest share that is tolerated", escape(share(verdict.max_unpaired))),
    ]
    others = [
        ("Of production without a partner", count(found.production_alone)),
        ("Of the shadow without a partner", count(found.shadow_alone)),
        ("With another number of rows", count(found.mismatched)),
        (
            "With an id that repeats",
            f"{count(found.production_ambiguous)} and {count(found.shadow_ambiguous)}",
        ),
    ]
    return (
        f'<h2>Pairs {badge(*state)}</h2><p class="note">Captures of both are paired by the '
        "caller's inference id. Pairs are missing where the shadow failed or was not captured, "
        "and where requests come without an id or share one.</p>"
        f'<div class="pairs"><article class="card">{facts_list(facts)}</article>'
        f'<article class="card">{facts_list(others)}</article></div>'
    )
