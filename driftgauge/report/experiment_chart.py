"""An experiment's difference and its confidence sequence over the looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from driftgauge.experiments.verdict import Look, MetricVerdict
from driftgauge.report.experiment_words import bounds_of, change_of
from driftgauge.report.history import LEFT, RIGHT, WIDTH, time_ticks
from driftgauge.report.markup import escape
from driftgauge.report.outcome_words import measure_heading
from driftgauge.report.svg import figure, gaps_of, nice_ticks, number, spread
from driftgauge.report.wording import moment, plural

_HEIGHT: Final = 316.0
_TOP: Final = 30.0
_BOTTOM: Final = 40.0
# Wider bounds than this many times the range of the estimates would squeeze them.
_ROOM: Final = 2.0
_SMALL: Final = (132.0, 34.0)

_Place = Callable[[float], float]


def lines_of(metric: MetricVerdict) -> tuple[tuple[str, str, float], ...]:
    """Return style, words and height of the lines that the difference is compared with."""
    sign = 1.0 if metric.better == "higher" else -1.0
    found = []
    if metric.effect is not None:
        found.append(("effect", f"effect {change_of(sign * metric.effect)}", sign * metric.effect))
    if metric.margin:
        found.append(
            ("margin", f"margin {change_of(-sign * metric.margin)}", -sign * metric.margin)
        )
    return tuple(found)


def looks_chart(metric: MetricVerdict, *, key: str) -> str:
    """Draw the way to the last look; empty below two looks with a difference.

    Parameters
    ----------
    metric : MetricVerdict
    key : str
        Unique in the page.
    """
    looks = metric.looks
    if sum(look.difference is not None for look in looks) < 2:
        return ""
    low, high = _range(metric, looks)
    bottom = _HEIGHT - _BOTTOM
    start, end = looks[0].time, max(looks[-1].time, looks[0].time + timedelta(seconds=1))
    width = (end - start).total_seconds()

    def x(at: datetime) -> float:
        return LEFT + (at - start).total_seconds() / width * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return bottom - (min(high, max(low, value)) - low) / (high - low) * (bottom - _TOP)

    places = [x(look.time) for look in looks]
    body = (
        _axis(metric, low, high, y)
        + _time_axis(start, end, x, bottom)
        + _band(looks, places, y, (low, high))
        + f'<path class="base-level" d="M{number(LEFT)} {number(y(0.0))}H{number(WIDTH - RIGHT)}"/>'
        + _limits(metric, low, high, y)
        + _curve(looks, places, y)
        + _dots(looks, places, y)
        + _labels(metric, places[-1], y)
    )
    return figure(
        key=key,
        width=WIDTH,
        height=_HEIGHT,
        title=f"{measure_heading(metric.name)}: challenger less champion over time",
        description=(
            f"{plural(len(looks), 'look')} from {moment(start)} to {moment(end)} UTC. Newest: "
            f"{change_of(metric.difference)} ({bounds_of(metric.low, metric.high)})"
        ),
        body=body,
        style="history",
    )


def looks_picture(metric: MetricVerdict) -> str:
    """Draw the same small enough for a table row; empty below two looks with a difference."""
    looks = metric.looks
    if sum(look.difference is not None for look in looks) < 2:
        return ""
    width, height = _SMALL
    low, high = _range(metric, looks)

    def y(value: float) -> float:
        return height - 2 - (min(high, max(low, value)) - low) / (high - low) * (height - 4)

    places = [index / (len(looks) - 1) * width for index in range(len(looks))]
    limits = "".join(
        f'<path class="{style}-line" d="M0 {number(y(value))}H{number(width)}"/>'
        for style, _, value in lines_of(metric)
        if low <= value <= high
    )
    return (
        f'<svg class="look" viewBox="0 0 {number(width)} {number(height)}" role="img"><title>'
        f"{escape(measure_heading(metric.name))} over {plural(len(looks), 'look')}: "
        f"{change_of(metric.difference)}</title>"
        + _band(looks, places, y, (low, high))
        + f'<path class="base-level" d="M0 {number(y(0.0))}H{number(width)}"/>'
        + limits
        + _curve(looks, places, y)
        + "</svg>"
    )


def _range(metric: MetricVerdict, looks: Sequence[Look]) -> tuple[float, float]:
    """Return the ends of the axis: the newest bounds and all limits, wider ones cut off."""
    settled = looks[len(looks) // 4 :]
    known = [0.0, *(value for *_, value in lines_of(metric))]
    known += [v for look in settled for v in (look.difference,) if v is not None]
    known += [v for v in (metric.low, metric.high) if v is not None]
    low, high = min(known), max(known)
    room = _ROOM * (high - low) or 1.0
    bounds = [v for look in looks for v in (look.low, look.high) if v is not None]
    middle = 0.5 * (low + high)
    low = min(low, max(min([low, *bounds]), middle - 0.5 * room))
    high = max(high, min(max([high, *bounds]), middle + 0.5 * room))
    margin = 0.06 * (high - low) or 0.05
    return low - margin, high + margin


def _axis(metric: MetricVerdict, low: float, high: float, y: _Place) -> str:
    right = number(WIDTH - RIGHT)
    parts = [
        f'<text class="tick" x="0" y="12">{escape(measure_heading(metric.name))}, challenger '
        f"less champion ({metric.better} is better)</text>",
        f'<line class="axis" x1="{number(LEFT)}" x2="{right}" y1="{number(y(low))}" '
        f'y2="{number(y(low))}"/>',
    ]
    for tick in nice_ticks(low, high, 5):
        at = y(tick)
        parts.append(
            f'<line class="grid" x1="{number(LEFT)}" x2="{right}" y1="{number(at)}" '
            f'y2="{number(at)}"/><text class="tick" x="{number(LEFT - 7)}" '
            f'y="{number(at + 3.5)}" text-anchor="end">{change_of(tick)}</text>'
        )
    return "".join(parts)


def _band(
    looks: Sequence[Look], places: Sequence[float], y: _Place, ends: tuple[float, float]
) -> str:
    """Draw the confidence sequence; a side that is not bounded reaches to the end of the axis."""
    known = [None if look.low is None and look.high is None else look.difference for look in looks]
    parts = []
    for start, stop in gaps_of(known):
        low = [ends[0] if (v := looks[i].low) is None else v for i in range(start, stop)]
        high = [ends[1] if (v := looks[i].high) is None else v for i in range(start, stop)]
        at = places[start:stop]
        if stop - start == 1:
            parts.append(
                f'<path class="band-realised lone" d="M{number(at[0])} {number(y(high[0]))}'
                f'V{number(y(low[0]))}"/>'
            )
            continue
        top = [f"{number(a)} {number(y(v))}" for a, v in zip(at, high, strict=True)]
        under = [f"{number(a)} {number(y(v))}" for a, v in zip(at, low, strict=True)]
        parts.append(f'<path class="band-realised" d="M{"L".join([*top, *reversed(under)])}z"/>')
    return "".join(parts)


def _limits(metric: MetricVerdict, low: float, high: float, y: _Place) -> str:
    parts = []
    for style, words, value in lines_of(metric):
        if low <= value <= high:
            at = y(value)
            parts.append(
                f'<path class="{style}-line" d="M{number(LEFT)} {number(at)}'
                f'H{number(WIDTH - RIGHT)}"/><text class="{style}-word" '
                f'x="{number(WIDTH - RIGHT - 4)}" y="{number(at - 5)}" text-anchor="end">'
                f"{words}</text>"
            )
    return "".join(parts)


def _curve(looks: Sequence[Look], places: Sequence[float], y: _Place) -> str:
    """Draw the differences; dotted where there are too few rows for bounds."""
    bounded = [
        look.difference if look.low is not None or look.high is not None else None for look in looks
    ]
    return _line("unsettled", [look.difference for look in looks], places, y) + _line(
        "realised", bounded, places, y
    )


def _line(style: str, values: Sequence[float | None], places: Sequence[float], y: _Place) -> str:
    parts = []
    for start, stop in gaps_of(values):
        points = [
            f"{number(places[i])} {number(y(value))}"
            for i in range(start, stop)
            if (value := values[i]) is not None
        ]
        parts.append(f'<path class="line {style}" d="M{"L".join(points)}"/>')
    return "".join(parts)


def _time_axis(
    start: datetime, end: datetime, x: Callable[[datetime], float], bottom: float
) -> str:
    parts = []
    for at, label in time_ticks(start, end, limit=6):
        place = x(at)
        anchor = "start" if place < LEFT + 50 else "middle"
        parts.append(
            f'<line class="axis" x1="{number(place)}" x2="{number(place)}" y1="{number(bottom)}" '
            f'y2="{number(bottom + 4)}"/><text class="tick" x="{number(place)}" '
            f'y="{number(bottom + 17)}" text-anchor="{anchor}">{label}</text>'
        )
    parts.append(
        f'<text class="tick" x="{number(WIDTH - RIGHT + 32)}" y="{number(bottom + 17)}">UTC</text>'
    )
    return "".join(parts)


def _dots(looks: Sequence[Look], places: Sequence[float], y: _Place) -> str:
    """Tell each look's figures where the pointer is."""
    return "".join(
        f'<circle class="hover" cx="{number(at)}" cy="{number(y(look.difference))}" r="6"><title>'
        f"{escape(moment(look.time))} UTC: {change_of(look.difference)} "
        f"({bounds_of(look.low, look.high)}), {look.champion_rows:,} and "
        f"{look.challenger_rows:,} rows</title></circle>"
        for look, at in zip(looks, places, strict=True)
        if look.difference is not None
    )


def _labels(metric: MetricVerdict, last: float, y: _Place) -> str:
    """Write the newest figures at the right end."""
    ends = [
        (words, value)
        for words, value in (
            ("upper bound", metric.high),
            ("difference", metric.difference),
            ("lower bound", metric.low),
        )
        if value is not None
    ]
    places = spread([y(value) for _, value in ends], gap=17.0, low=_TOP, high=_HEIGHT - _BOTTOM - 2)
    edge = WIDTH - RIGHT
    return "".join(
        f'<path class="leader" d="M{number(last + 2)} {number(y(value))}L{number(edge + 4)} '
        f'{number(y(value))}L{number(edge + 11)} {number(place)}"/>'
        f'<text class="label{" realised" if words == "difference" else " quiet"}" '
        f'x="{number(edge + 15)}" y="{number(place + 4)}">{words} '
        f'<tspan class="strong">{change_of(value)}</tspan></text>'
        for (words, value), place in zip(ends, places, strict=True)
    )
