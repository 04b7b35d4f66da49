"""Drift over time: the effect (in strict mode the distance) of the worst columns by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.report.markup import escape, shorten
from driftgauge.report.summary import worst_first
from driftgauge.report.svg import figure, gaps_of, number, spread
from driftgauge.report.wording import distance, moment, plural

# Charts over time have the same left and right ends, so that their windows stand in line.
WIDTH, LEFT, RIGHT = 960.0, 46.0, 190.0
_HEIGHT, _TOP, _BOTTOM = 306.0, 26.0, 46.0
_LINES = 5
_EFFECT_TICKS = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_DISTANCE_TICKS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Spanned(Protocol):
    """Anything about a window."""

    @property
    def window_start(self) -> datetime:
        """Its first moment."""
        ...

    @property
    def window_end(self) -> datetime:
        """The moment after its last."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Line:
    name: str
    effects: list[float | None]
    drifted: list[bool]
    drifts_now: bool


def parts_of(verdict: WindowVerdict, history: Sequence[WindowVerdict]) -> list[WindowVerdict]:
    """Return the windows that lie inside the reported one, if they are several."""
    parts = [
        window
        for window in history
        if window.window_start < verdict.window_end and window.window_end > verdict.window_start
    ]
    return parts if len(parts) > 1 else []


def windows_to_draw(
    verdict: WindowVerdict, history: Sequence[WindowVerdict]
) -> list[WindowVerdict]:
    """Return the windows of the chart in time order, the reported one among them.

    The report of one long window may come with the verdicts of its parts; then the parts are
    drawn and the whole is not. Windows judged in another mode have other figures and are left out.
    """
    history = [window for window in history if window.mode == verdict.mode]
    at = {w.window_start: w for w in history if w.window_start != verdict.window_start}
    parts = parts_of(verdict, history)
    at |= {part.window_start: part for part in parts}
    if not parts:
        at[verdict.window_start] = verdict
    return [at[start] for start in sorted(at)]


def time_ticks(start: datetime, end: datetime, *, limit: int = 8) -> list[tuple[datetime, str]]:
    """Return round moments in UTC inside an interval, at most ``limit``, and their labels.

    Examples
    --------
    >>> [label for _, label in time_ticks(datetime(2015, 4, 1, tzinfo=UTC),
    ...                                   datetime(2015, 8, 1, tzinfo=UTC))]
    ['Apr 2015', 'May', 'Jun', 'Jul', 'Aug']
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    minutes = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400)
    for step in (timedelta(minutes=m) for m in minutes):
        if (end - start) / step <= limit:
            return _regular_ticks(start, end, step)
    for months in (1, 2, 3, 6, 12, 24, 60, 120):
        ticks = _month_ticks(start, end, months)
        if len(ticks) <= limit:
            return ticks
    return [(start, f"{start:%Y}"), (end, f"{end:%Y}")]


def _regular_ticks(start: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, str]]:
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    at = day + -(-(start - day) // step) * step
    ticks: list[tuple[datetime, str]] = []
    while at <= end:
        new_day = not ticks or ticks[-1][0].date() != at.date()
        date = f"{at.day} {at:%b}"
        if not ticks:
            date = f"{date} {at:%Y}"
        if step >= timedelta(days=1):
            label = date
        else:
            label = f"{date}, {at:%H:%M}" if new_day else f"{at:%H:%M}"
        ticks.append((at, label))
        at += step
    return ticks


def _month_ticks(start: datetime, end: datetime, months: int) -> list[tuple[datetime, str]]:
    ticks: list[tuple[datetime, str]] = []
    index = start.year * 12 + start.month - 1
    index = -(-index // months) * months
    while True:
        at = datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)
        if at > end:
            return ticks
        if at >= start:
            new_year = not ticks or ticks[-1][0].year != at.year
            label = f"{at:%Y}" if months >= 12 else f"{at:%b %Y}" if new_year else f"{at:%b}"
            ticks.append((at, label))
        index += months


def _lines(verdict: WindowVerdict, windows: Sequence[WindowVerdict]) -> list[_Line]:
    """Choose the columns to draw: the worst of the window, then those that ever drifted most."""
    by_name = [{feature.name: feature for feature in window.features} for window in windows]
    peak: dict[str, float] = {}
    for window in windows:
        for feature in window.features:
            if feature.verdict == "drift":
                peak[feature.name] = max(peak.get(feature.name, 0.0), feature.size or 0.0)
    now = worst_first(verdict.features)
    drifting = [feature.name for feature in now if feature.verdict == "drift"]
    once = sorted(peak, key=lambda name: -peak[name])
    rest = [feature.name for feature in now if feature.size is not None]
    names = list(dict.fromkeys([*drifting, *once, *rest]))[:_LINES]
    lines = []
    for name in names:
        found: list[FeatureVerdict | None] = [features.get(name) for features in by_name]
        lines.append(
            _Line(
                name=name,
                effects=[_level(feature) if feature else None for feature in found],
                drifted=[bool(feature and feature.verdict == "drift") for feature in found],
                drifts_now=name in drifting or name in peak,
            )
        )
    return [line for line in lines if any(effect is not None for effect in line.effects)]


def _level(feature: FeatureVerdict) -> float | None:
    """Return the height of a column's dot; a p-value has none on an axis of distances."""
    if feature.effect is not None:
        return feature.effect
    return None if feature.test == "chi_squared" else feature.distance


def time_scale(
    windows: Sequence[Spanned],
) -> tuple[datetime, datetime, Callable[[datetime], float]]:
    """Return start and end of a chart over time, and where a moment stands in it."""
    start, end = windows[0].window_start, max(w.window_end for w in windows)
    seconds = max(1.0, (end - start).total_seconds())

    def x(at: datetime) -> float:
        return LEFT + (at - start).total_seconds() / seconds * (WIDTH - LEFT - RIGHT)

    return start, end, x


def history_chart(verdict: WindowVerdict, windows: Sequence[WindowVerdict], *, limit: float) -> str:
    """Draw effects over time with the alarm threshold; empty if there is nothing to draw.

    The effect axis is a square-root scale: for a shifted normal column the PSI grows with the
    square of the shift, so equal steps on the page are equal shifts. Strict mode's distances grow
    with the shift and have an ordinary axis.
    """
    strict = verdict.mode == "strict"
    lines = _lines(verdict, windows)
    if not lines:
        return ""
    start, end, x = time_scale(windows)
    highest = max([limit * 2, *(e for line in lines for e in line.effects if e is not None)])
    top = highest * 1.08
    bottom = _HEIGHT - _BOTTOM

    def y(effect: float) -> float:
        part = max(0.0, effect) / top if top else 0.0
        return bottom - (part if strict else math.sqrt(part)) * (bottom - _TOP)

    body = (
        _alarm_bands(windows, x, bottom)
        + _effect_axis(top, limit, y, strict=strict)
        + time_axis(start, end, x, bottom)
        + _draw_lines(lines, windows, x, y)
        + reported_window(verdict, windows, x, bottom)
    )
    alarms = sum(window.alarm for window in windows)
    return figure(
        key="history",
        width=WIDTH,
        height=_HEIGHT,
        title=f"{'Distance' if strict else 'Effect'} over time",
        description=(
            f"{plural(len(windows), 'window')} from {moment(start)} to {moment(end)} UTC, "
            f"{plural(alarms, 'window')} with an alarm. Newest "
            f"{'distances' if strict else 'effects'}: "
            + "; ".join(f"{line.name} {distance(line.effects[-1])}" for line in lines)
        ),
        body=body,
        style="history",
    )


def _alarm_bands(
    windows: Sequence[WindowVerdict], x: Callable[[datetime], float], bottom: float
) -> str:
    parts = []
    for window in windows:
        if not window.alarm:
            continue
        left, right = x(window.window_start), x(window.window_end)
        middle = (left + right) / 2
        parts.append(
            f"<g><title>Alarm: {escape(moment(window.window_start))} UTC</title>"
            f'<rect class="alarm-band" x="{number(left)}" y="{number(_TOP)}" '
            f'width="{number(max(1.0, right - left))}" height="{number(bottom - _TOP)}"/>'
            f'<path class="alarm-mark" d="M{number(middle)} {number(_TOP - 3)}l-5-8.5h10z"/></g>'
        )
    return "".join(parts)


def _effect_axis(top: float, limit: float, y: Callable[[float], float], *, strict: bool) -> str:
    right = WIDTH - RIGHT
    threshold = y(limit)
    ticks = _DISTANCE_TICKS if strict else _EFFECT_TICKS
    words = f"threshold: {limit:g}" if strict else f"worth an alarm: {limit:g} PSI"
    parts = []
    for tick in ticks:
        at = y(tick)
        if tick > top or (tick != limit and abs(at - threshold) < 12):
            continue
        parts.append(
            f'<line class="{"axis" if tick == 0 else "grid"}" x1="{number(LEFT)}" '
            f'x2="{number(right)}" y1="{number(at)}" y2="{number(at)}"/>'
            f'<text class="tick" x="{number(LEFT - 7)}" y="{number(at + 3.5)}" '
            f'text-anchor="end">{tick:g}</text>'
        )
    parts.append(
        f'<line class="threshold" x1="{number(LEFT)}" x2="{number(right)}" '
        f'y1="{number(threshold)}" y2="{number(threshold)}"/>'
        f'<text class="tick" x="{number(LEFT + 6)}" y="{number(threshold - 5)}">'
        f"{words}</text>"
    )
    if limit not in ticks:
        parts.append(
            f'<text class="tick" x="{number(LEFT - 7)}" y="{number(threshold + 3.5)}" '
            f'text-anchor="end">{limit:g}</text>'
        )
    return "".join(parts)


def time_axis(start: datetime, end: datetime, x: Callable[[datetime], float], bottom: float) -> str:
    """Draw round moments in UTC below a chart; ``x`` places a moment."""
    parts = []
    for at, label in time_ticks(start, end):
        place = x(at)
        anchor = "start" if place < LEFT + 30 else "middle"
        parts.append(
            f'<line class="axis" x1="{number(place)}" x2="{number(place)}" y1="{number(bottom)}" '
            f'y2="{number(bottom + 4)}"/><text class="tick" x="{number(place)}" '
            f'y="{number(bottom + 17)}" text-anchor="{anchor}">{label}</text>'
        )
    parts.append(
        f'<text class="tick open" x="{number(WIDTH - RIGHT + 32)}" y="{number(bottom + 17)}">'
        "UTC</text>"
    )
    return "".join(parts)


def reported_window(
    verdict: Spanned,
    windows: Sequence[Spanned],
    x: Callable[[datetime], float],
    bottom: float,
) -> str:
    """Mark the window that the report is about, below the time axis."""
    if len(windows) < 2 or verdict not in windows:
        return ""
    left, right = x(verdict.window_start), x(verdict.window_end)
    return (
        f'<path class="reported" d="M{number(left + 1)} {number(bottom + 25)}v4H'
        f'{number(right - 1)}v-4"/><text class="tick" x="{number((left + right) / 2)}" '
        f'y="{number(bottom + 43)}" text-anchor="middle">this window</text>'
    )


def _draw_lines(
    lines: Sequence[_Line],
    windows: Sequence[WindowVerdict],
    x: Callable[[datetime], float],
    y: Callable[[float], float],
) -> str:
    middles = [x(w.window_start + (w.window_end - w.window_start) / 2) for w in windows]
    parts, ends = [], []
    colour = {line.name: i for i, line in enumerate(li for li in lines if li.drifts_now)}
    for line in reversed(lines):
        style = f"s{colour[line.name]}" if line.name in colour else "quiet"
        for start, stop in gaps_of(line.effects):
            points = [
                (middles[i], y(effect))
                for i in range(start, stop)
                if (effect := line.effects[i]) is not None
            ]
            path = "L".join(f"{number(a)} {number(b)}" for a, b in points)
            parts.append(f'<path class="line {style}" d="M{path}"/>')
        parts += _dots(line, style, windows, middles, y)
        last = max(i for i, effect in enumerate(line.effects) if effect is not None)
        ends.append((line, style, middles[last], y(line.effects[last] or 0.0)))
    places = spread([end[3] for end in ends], gap=16.0, low=_TOP, high=_HEIGHT - _BOTTOM - 2)
    edge = WIDTH - RIGHT
    for (line, style, at, level), place in zip(ends, places, strict=True):
        newest = next(e for e in reversed(line.effects) if e is not None)
        parts.append(
            f'<path class="leader" d="M{number(at + 5)} {number(level)}L{number(edge + 4)} '
            f'{number(level)}L{number(edge + 11)} {number(place)}"/>'
            f'<text class="label {style}" x="{number(edge + 15)}" y="{number(place + 4)}">'
            f'{escape(shorten(line.name, 17))} <tspan class="strong">{distance(newest)}</tspan>'
            "</text>"
        )
    return "".join(parts)


def _dots(
    line: _Line,
    style: str,
    windows: Sequence[WindowVerdict],
    middles: Sequence[float],
    y: Callable[[float], float],
) -> list[str]:
    """Draw a dot for each drifted window, and for every window while they are few."""
    parts = []
    for index, effect in enumerate(line.effects):
        drifted = line.drifted[index]
        if effect is None or not (drifted or len(windows) <= 40):
            continue
        parts.append(
            f'<circle class="dot {style}{"" if drifted else " calm"}" '
            f'cx="{number(middles[index])}" cy="{number(y(effect))}" '
            f'r="{"4" if drifted else "2.2"}"><title>{escape(line.name)}, '
            f"{escape(moment(windows[index].window_start))} UTC: "
            f"{'distance' if windows[index].mode == 'strict' else 'effect'} {distance(effect)}"
            f"{', drift' if drifted else ''}</title></circle>"
        )
    return parts
