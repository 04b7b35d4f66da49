"""Attributions in the report: which features matter, in the baseline and in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from driftgauge.attribution.verdict import (
    AttributionOutcome,
    AttributionVerdict,
    FeatureAttribution,
)
from driftgauge.report.columns import LEGEND
from driftgauge.report.markup import escape, shorten
from driftgauge.report.svg import figure, number
from driftgauge.report.wording import count, distance, p_value, plural, quantity, share

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

_WORDS: dict[AttributionOutcome, str] = {
    "drift": "drift",
    "ok": "no drift",
    "insufficient_data": "insufficient data",
}
_BADGES: dict[AttributionOutcome, str] = {
    "drift": "drift",
    "ok": "ok",
    "insufficient_data": "insufficient",
}
_MOST: Final = 14
_OUTPUTS: Final = 6
_WIDTH, _PITCH, _FIGURES = 560.0, 29.0, 176.0
_LONGEST: Final = 22


def attributions_section(verdict: OutcomesVerdict) -> str:
    """Return a card for each output of the model; empty if nothing was explained."""
    if not verdict.attributions:
        return ""
    rank = {"drift": 0, "ok": 1, "insufficient_data": 2}
    found = sorted(verdict.attributions, key=lambda one: rank[one.verdict])
    more = len(found) - _OUTPUTS
    cards = "".join(_card(one, key=f"a{i}") for i, one in enumerate(found[:_OUTPUTS]))
    rest = f" The first {_OUTPUTS:,} of {len(found):,} outputs." if more > 0 else ""
    return (
        f"<h2>Attributions {_badge(found[0])}</h2>"
        '<p class="note">How much each feature contributes to the predictions: its share of the '
        f"mean absolute SHAP values, of explained rows.{rest}</p>{cards}"
    )


def _badge(one: AttributionVerdict) -> str:
    return (
        f'<span class="badge {_BADGES[one.verdict]}" title="{escape(one.reason)}">'
        f"{_WORDS[one.verdict]}</span>"
    )


def _card(one: AttributionVerdict, *, key: str) -> str:
    inner = "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in _facts(one))
    chart = (
        f"{LEGEND}{attribution_chart(one, key=key)}"
        '<p class="caption">Right: share of the attribution, baseline to window, and rank if it '
        "changed.</p>"
        if one.rows
        else ""
    )
    return (
        f'<article class="card"><header><h3><bdi>{escape(shorten(one.label, 80))}</bdi></h3>'
        f'{_badge(one)}</header><p class="reason">{escape(one.reason)}</p>'
        f'<div class="split"><div>{chart}</div><div><dl class="facts">{inner}</dl></div></div>'
        "</article>"
    )


def _facts(one: AttributionVerdict) -> list[tuple[str, str]]:
    strong = '<span class="strong">{}</span>'
    facts = [("Explained rows", count(one.rows))]
    if one.distance is not None:
        facts.append(("Attribution that moved", strong.format(escape(share(one.distance)))))
        if one.low is not None and one.high is not None:
            between = f"{share(one.low)} to {share(one.high)}"
            facts.append(("95% interval", escape(between)))
        if one.min_distance is not None:
            facts.append(("Worth an alarm", f"from {escape(share(one.min_distance))}"))
    facts.append(("NDCG of the ranking", strong.format(distance(one.ndcg))))
    alarm = "alarm below" if one.mode == "strict" else "Clarify's limit"
    facts.append((f"NDCG, {alarm}", f"{one.ndcg_limit:g}"))
    if one.features and one.rows:
        surest = min(one.features, key=lambda f: (f.adjusted_p_value, -f.moved))
        facts.append(
            (
                "Surest change",
                f"<bdi>{escape(shorten(surest.name, 40))}</bdi>, corrected p "
                f"{escape(p_value(surest.adjusted_p_value))}",
            )
        )
    if one.expected_value is not None:
        facts.append(("Expected output", quantity(one.expected_value)))
    return facts


def attribution_chart(one: AttributionVerdict, *, key: str) -> str:
    """Draw the shares of the features as pairs of bars, the most important first."""
    ordered = sorted(one.features, key=lambda f: -max(f.baseline_share, f.window_share))
    shown, rest = ordered[:_MOST], ordered[_MOST:]
    longest = max((len(shorten(f.name, _LONGEST)) for f in shown), default=4)
    left = min(172.0, 16.0 + max(longest, 8 if rest else 0) * 7.2)
    top = max((max(f.baseline_share, f.window_share) for f in shown), default=0.0) or 1.0
    scale = (_WIDTH - left - _FIGURES) / top
    parts = [_bars(f, y=i * _PITCH + 4.0, left=left, scale=scale) for i, f in enumerate(shown)]
    if rest:
        before, now = (
            sum(getattr(f, side) for f in rest) for side in ("baseline_share", "window_share")
        )
        parts.append(
            f'<text class="tick" x="{number(left - 10)}" '
            f'y="{number(len(shown) * _PITCH + 18)}" text-anchor="end">{len(rest)} other</text>'
            f'<text class="value" x="{number(_WIDTH - 46)}" '
            f'y="{number(len(shown) * _PITCH + 18)}" text-anchor="end">{escape(share(before))} → '
            f"{escape(share(now))}</text>"
        )
    height = (len(shown) + bool(rest)) * _PITCH + 2
    parts.append(
        f'<line class="axis" x1="{number(left)}" x2="{number(left)}" y1="0" '
        f'y2="{number(len(shown) * _PITCH + 2)}"/>'
    )
    return figure(
        key=key,
        width=_WIDTH,
        height=height,
        title=f"{shorten(one.label, 80)}: share of the attribution by feature, baseline and window",
        description=f"{plural(len(one.features), 'feature')}. "
        + "; ".join(
            f"{f.name}: {share(f.baseline_share)} to {share(f.window_share)}" for f in shown[:5]
        ),
        body="".join(parts),
        style="chart",
    )


def _bars(feature: FeatureAttribution, *, y: float, left: float, scale: float) -> str:
    ranks = f"rank {feature.baseline_rank} to {feature.window_rank}"
    change = ""
    if feature.baseline_rank != feature.window_rank:
        rose = feature.window_rank < feature.baseline_rank
        change = (
            f'<text class="rank {"rose" if rose else "fell"}" x="{number(_WIDTH - 2)}" '
            f'y="{number(y + 14)}" text-anchor="end">{feature.baseline_rank}→'
            f"{feature.window_rank} {'▲' if rose else '▼'}</text>"
        )
    return (
        f"<g><title>{escape(shorten(feature.name, 120))}: {escape(share(feature.baseline_share))} "
        f"to {escape(share(feature.window_share))}, {ranks}, corrected p "
        f"{escape(p_value(feature.adjusted_p_value))}</title>"
        f'<text class="label" x="{number(left - 10)}" y="{number(y + 14)}" text-anchor="end">'
        f"{escape(shorten(feature.name, _LONGEST))}</text>"
        f'<rect class="base-bar" x="{number(left)}" y="{number(y)}" '
        f'width="{number(feature.baseline_share * scale)}" height="9.5"/>'
        f'<rect class="window-bar" x="{number(left)}" y="{number(y + 10.5)}" '
        f'width="{number(feature.window_share * scale)}" height="9.5"/>'
        f'<text class="value" x="{number(_WIDTH - 56)}" y="{number(y + 14)}" text-anchor="end">'
        f"{escape(share(feature.baseline_share))} → "
        f'<tspan class="strong">{escape(share(feature.window_share))}</tspan></text>{change}</g>'
    )
