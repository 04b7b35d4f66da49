"""Predictions: how their own distribution moved, without any label."""

from __future__ import annotations

from collections.abc import Sequence

from driftgauge.drift.verdict import ClassShare, PredictionShift, WindowVerdict
from driftgauge.report.columns import LEGEND, badge
from driftgauge.report.markup import escape, shorten
from driftgauge.report.svg import figure, number
from driftgauge.report.wording import quantity, share

_WIDTH, _FIGURES, _PITCH = 520.0, 122.0, 26.0
_LONGEST = 22


def predictions_section(verdict: WindowVerdict) -> str:
    """Return a card for each prediction: shares of classes or score bands, and the mean."""
    if not verdict.predictions:
        return ""
    several = len(verdict.predictions) > 1
    cards = "".join(
        _card(shift, verdict, key=f"p{i}", wide=not several)
        for i, shift in enumerate(verdict.predictions)
    )
    return (
        '<h2>Predictions</h2><p class="note">What the model answers, whatever the truth is. '
        "Whiskers hold all shares of a column together in 95 of 100 windows.</p>"
        + (f'<div class="pairs">{cards}</div>' if several else cards)
    )


def _card(shift: PredictionShift, verdict: WindowVerdict, *, key: str, wide: bool) -> str:
    feature = next((f for f in verdict.features if f.name == shift.name), None)
    inner = "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in _facts(shift))
    facts = f'<dl class="facts">{inner}</dl>'
    chart = f"{LEGEND}{share_chart(shift.classes, key=key, name=shift.name)}"
    body = (
        f'<div class="split"><div>{chart}</div><div>{facts}</div></div>'
        if wide
        else f"{facts}{chart}"
    )
    return (
        f'<article class="card"><header><h3><bdi>{escape(shorten(shift.name, 120))}</bdi></h3>'
        f"{badge(feature) if feature else ''}</header>{body}</article>"
    )


def _facts(shift: PredictionShift) -> list[tuple[str, str]]:
    facts = []
    if shift.mean_baseline is not None and shift.mean_window is not None:
        facts.append(
            (
                "Mean",
                f'{quantity(shift.mean_baseline)} → <span class="strong">'
                f"{quantity(shift.mean_window)}</span>",
            )
        )
        if shift.mean_interval is not None:
            low, high = shift.mean_interval
            facts.append(("95% interval of the mean", f"{quantity(low)} to {quantity(high)}"))
    facts.append(
        (
            "Share that moved (by chance alone)",
            f'<span class="strong">{escape(share(shift.total_variation))}</span> '
            f"({escape(share(shift.expected_variation))})",
        )
    )
    return facts


def share_chart(classes: Sequence[ClassShare], *, key: str, name: str) -> str:
    """Draw shares as pairs of bars, the window's with its interval."""
    if not classes:
        return ""
    longest = max(len(shorten(one.label, _LONGEST)) for one in classes)
    left = min(172.0, 16.0 + longest * 7.2)
    top = max(max(one.baseline, one.high) for one in classes) or 1.0
    scale = (_WIDTH - left - _FIGURES) / top
    height = len(classes) * _PITCH + 2.0
    rows = [
        _bars(one, y=index * _PITCH + 3.0, left=left, scale=scale)
        for index, one in enumerate(classes)
    ]
    rows.append(
        f'<line class="axis" x1="{number(left)}" x2="{number(left)}" y1="0" y2="{number(height)}"/>'
    )
    moved = sorted(classes, key=lambda one: -abs(one.window - one.baseline))[:5]
    return figure(
        key=key,
        width=_WIDTH,
        height=height,
        title=f"{shorten(name, 120)}: shares of the predictions, baseline and window",
        description="; ".join(
            f"{one.label}: {share(one.baseline)} to {share(one.window)} "
            f"({share(one.low)} to {share(one.high)})"
            for one in moved
        ),
        body="".join(rows),
        style="chart",
    )


def _bars(one: ClassShare, *, y: float, left: float, scale: float) -> str:
    low, high = number(left + one.low * scale), number(left + one.high * scale)
    return (
        f"<g><title>{escape(one.label)}: baseline {escape(share(one.baseline))}, window "
        f"{escape(share(one.window))}, 95% interval {escape(share(one.low))} to "
        f"{escape(share(one.high))}</title>"
        f'<text class="label" x="{number(left - 10)}" y="{number(y + 13)}" text-anchor="end">'
        f"{escape(shorten(one.label, _LONGEST))}</text>"
        f'<rect class="base-bar" x="{number(left)}" y="{number(y)}" '
        f'width="{number(one.baseline * scale)}" height="8.5"/>'
        f'<rect class="window-bar" x="{number(left)}" y="{number(y + 9.5)}" '
        f'width="{number(one.window * scale)}" height="8.5"/>'
        f'<path class="interval" d="M{low} {number(y + 10.5)}v6.5m0-3.25H{high}m0-3.25v6.5"/>'
        f'<text class="value" x="{number(_WIDTH - 2)}" y="{number(y + 13)}" text-anchor="end">'
        f'{escape(share(one.baseline))} → <tspan class="strong">{escape(share(one.window))}'
        "</tspan></text></g>"
    )
