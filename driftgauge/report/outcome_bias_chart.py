"""A bias metric of one facet over time, against what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from driftgauge.fairness.verdict import BiasOutcome, FacetVerdict, MetricVerdict, Value
from driftgauge.report.history import time_ticks
from driftgauge.report.markup import escape
from driftgauge.report.outcome_chart import outcome_windows
from driftgauge.report.svg import figure, gaps_of, nice_ticks, number
from driftgauge.report.wording import distance, moment, quantity

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

WORDS: dict[BiasOutcome, str] = {
    "drift": "drift",
    "ok": "no drift",
    "insufficient_data": "insufficient data",
}
_DOTS: dict[BiasOutcome, str] = {"drift": "hot", "ok": "calm", "insufficient_data": "hollow"}
_WIDTH, _HEIGHT = 960.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 20.0, 12.0, 30.0
# Beyond this many windows intervals would touch each other.
_FEW: Final = 40


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Where a moment and a value stand in the chart."""

    start: datetime
    end: datetime
    low: float
    high: float

    @property
    def bottom(self) -> float:
        return _HEIGHT - _BOTTOM

    def x(self, at: datetime) -> float:
        seconds = max(1.0, (self.end - self.start).total_seconds())
        return _LEFT + (at - self.start).total_seconds() / seconds * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        part = (min(self.high, max(self.low, value)) - self.low) / (self.high - self.low)
        return self.bottom - part * (self.bottom - _TOP)

    def middle(self, window: OutcomesVerdict) -> float:
        return self.x(window.window_start + (window.window_end - window.window_start) / 2)


def finite(value: Value) -> float | None:
    """Return a metric's value if it is a number."""
    return None if isinstance(value, str) else value


def bias_chart(
    verdict: OutcomesVerdict,
    history: Sequence[OutcomesVerdict],
    facet: FacetVerdict,
    name: str,
    *,
    key: str,
) -> str:
    """Draw a metric of a facet over time; empty if fewer than two windows have it.

    Parameters
    ----------
    verdict : OutcomesVerdict
        The reported window.
    history : sequence of OutcomesVerdict
        Other windows, in any order.
    facet : FacetVerdict
        Of the reported window.
    name : str
        The metric.
    key : str
        Of the chart, unique in the page.
    """
    windows = outcome_windows(verdict, history)
    metrics = [_found(window, facet, name) for window in windows]
    values = [None if metric is None else finite(metric.value) for metric in metrics]
    if sum(value is not None for value in values) < 2:
        return ""
    axes = _axes(windows, metrics)
    pairs = list(zip(windows, metrics, strict=True))
    few = len(windows) <= _FEW
    body = (
        "".join(_allowed(window, metric, axes) for window, metric in pairs)
        + _ticks(axes)
        + _line(windows, values, axes)
        + "".join(_point(window, metric, axes, few=few) for window, metric in pairs)
    )
    return figure(
        key=key,
        width=_WIDTH,
        height=_HEIGHT,
        title=f"{name} of {facet.facet} {facet.facet_value} over time",
        description="; ".join(
            f"{moment(window.window_start)}: {distance(value)}"
            for window, value in list(zip(windows, values, strict=True))[-5:]
        ),
        body=body,
        style="history",
    )


def _found(window: OutcomesVerdict, facet: FacetVerdict, name: str) -> MetricVerdict | None:
    """Return a metric of the same facet in another window."""
    facets = window.bias.facets if window.bias is not None else ()
    same = (facet.stage, facet.facet, facet.facet_value)
    return next(
        (
            metric
            for other in facets
            if (other.stage, other.facet, other.facet_value) == same
            for metric in other.metrics
            if metric.name == name
        ),
        None,
    )


def _axes(windows: Sequence[OutcomesVerdict], metrics: Sequence[MetricVerdict | None]) -> _Axes:
    known = [
        value
        for m in metrics
        if m is not None
        for value in (
            *(finite(m.value), finite(m.baseline)),
            *(m.allowed_low, m.allowed_high, m.low, m.high),
        )
        if value is not None
    ]
    margin = 0.06 * (max(known) - min(known)) or 0.05
    return _Axes(
        start=windows[0].window_start,
        end=max(window.window_end for window in windows),
        low=min(known) - margin,
        high=max(known) + margin,
    )


def _ticks(axes: _Axes) -> str:
    right = number(_WIDTH - _RIGHT)
    parts = []
    for tick in nice_ticks(axes.low, axes.high, 4):
        at = axes.y(tick)
        parts.append(
            f'<line class="grid" x1="{number(_LEFT)}" x2="{right}" y1="{number(at)}" '
            f'y2="{number(at)}"/><text class="tick" x="{number(_LEFT - 7)}" '
            f'y="{number(at + 3.5)}" text-anchor="end">{quantity(tick)}</text>'
        )
    for moment_, label in time_ticks(axes.start, axes.end):
        place = axes.x(moment_)
        anchor = "start" if place < _LEFT + 30 else "end" if place > _WIDTH - 60 else "middle"
        parts.append(
            f'<text class="tick" x="{number(place)}" y="{number(axes.bottom + 18)}" '
            f'text-anchor="{anchor}">{label}</text>'
        )
    return "".join(parts)


def _allowed(window: OutcomesVerdict, metric: MetricVerdict | None, axes: _Axes) -> str:
    """Shade what is allowed in a window, and mark the baseline's value."""
    if metric is None:
        return ""
    left, right = number(axes.x(window.window_start)), number(axes.x(window.window_end))
    parts = []
    if metric.allowed_high is not None:
        top = axes.y(metric.allowed_high)
        under = axes.y(axes.low if metric.allowed_low is None else metric.allowed_low)
        parts.append(
            f'<path class="allowed" d="M{left} {number(top)}H{right}V{number(under)}H{left}z"/>'
        )
    baseline = finite(metric.baseline)
    if baseline is not None:
        parts.append(f'<path class="base-level" d="M{left} {number(axes.y(baseline))}H{right}"/>')
    return "".join(parts)


def _line(windows: Sequence[OutcomesVerdict], values: Sequence[float | None], axes: _Axes) -> str:
    parts = []
    for first, last in gaps_of(values):
        points = [
            f"{number(axes.middle(windows[i]))} {number(axes.y(value))}"
            for i in range(first, last)
            if (value := values[i]) is not None
        ]
        parts.append(f'<path class="line realised" d="M{"L".join(points)}"/>')
    return "".join(parts)


def _point(window: OutcomesVerdict, metric: MetricVerdict | None, axes: _Axes, *, few: bool) -> str:
    value = None if metric is None else finite(metric.value)
    if metric is None or value is None:
        return ""
    at, style = number(axes.middle(window)), _DOTS[metric.verdict]
    whisker = ""
    if few and metric.low is not None and metric.high is not None:
        ends = f"{number(axes.y(metric.low))}V{number(axes.y(metric.high))}"
        whisker = f'<path class="reach" d="M{at} {ends}"/>'
    return (
        f'{whisker}<circle class="outcome-dot {style}" cx="{at}" cy="{number(axes.y(value))}" '
        f'r="{"3" if style == "calm" else "4"}"><title>{escape(moment(window.window_start))} UTC: '
        f"{escape(metric.name)} {distance(value)}, {WORDS[metric.verdict]}</title></circle>"
    )
