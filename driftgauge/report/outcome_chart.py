"""Quality over time: what labels show beside what was estimated without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from driftgauge.quality.verdict import MetricVerdict
from driftgauge.report.history import (
    LEFT,
    RIGHT,
    WIDTH,
    reported_window,
    time_axis,
    time_scale,
)
from driftgauge.report.markup import escape, shorten
from driftgauge.report.outcome_words import (
    estimate_of,
    figure_text,
    measure_heading,
    measure_name,
    primary_metric,
)
from driftgauge.report.svg import figure, gaps_of, nice_ticks, number, spread
from driftgauge.report.wording import moment, plural, quantity, share

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

_HEIGHT: Final = 316.0
_TOP: Final = 34.0
_BOTTOM: Final = 46.0
# Beyond this many windows only those with something to tell have a dot.
_FEW: Final = 40
_MARGIN: Final = 0.08
# Wider bands than this share of the values' own range would squeeze the curves.
_BAND_ROOM: Final = 1.5

_Place = Callable[[float], float]
_Bounds = tuple[float | None, float | None]


def outcome_windows(
    verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]
) -> list[OutcomesVerdict]:
    """Return the windows up to and after the reported one in time order, each once."""
    at = {w.window_start: w for w in history}
    at[verdict.window_start] = verdict
    return [at[start] for start in sorted(at)]


def metric_in(window: OutcomesVerdict, name: str) -> MetricVerdict | None:
    """Return one measure of a window."""
    found = primary_metric(window.quality, name)
    return found if found is not None and found.name == name else None


def is_immature(window: OutcomesVerdict) -> bool:
    """Whether a window's labels do not suffice to judge it."""
    return window.quality is not None and window.quality.verdict not in ("ok", "decay")


def quality_chart(
    verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict], *, name: str
) -> str:
    """Draw a measure over time as labels show it and as it was estimated; empty for one window.

    Parameters
    ----------
    verdict : OutcomesVerdict
        The reported window.
    history : sequence of OutcomesVerdict
        Other windows, in any order, of any baseline.
    name : str
        The measure.
    """
    windows = outcome_windows(verdict, history)
    metrics = [metric_in(window, name) for window in windows]
    realised = [metric.value if metric else None for metric in metrics]
    estimates = [estimate_of(window, name) for window in windows]
    estimated = [estimate.value if estimate else None for estimate in estimates]
    if len(windows) < 2 or not any(value is not None for value in (*realised, *estimated)):
        return ""
    start, end, x = time_scale(windows)
    middles = [x(w.window_start + (w.window_end - w.window_start) / 2) for w in windows]
    # What labels do not suffice for is not part of the curve.
    settled = [
        None if is_immature(window) else value
        for window, value in zip(windows, realised, strict=True)
    ]
    bands = (
        [(m.low, m.high) if m else (None, None) for m in metrics],
        [(e.low, e.high) if e else (None, None) for e in estimates],
    )
    low, high = _range(
        [value for value in (*realised, *estimated) if value is not None],
        [v for band in bands for pair in band for v in pair if v is not None],
        [m.baseline for m in metrics if m is not None and m.baseline is not None],
    )
    bottom = _HEIGHT - _BOTTOM

    def y(value: float) -> float:
        return bottom - (min(high, max(low, value)) - low) / (high - low) * (bottom - _TOP)

    body = (
        _decay_bands(windows, x, bottom)
        + _axis(name, low, high, y)
        + time_axis(start, end, x, bottom)
        + _promotions(windows, x, bottom)
        + _baseline(windows, metrics, x, y)
        + _band("band-estimated", bands[1], middles, y)
        + _band("band-realised", _only(bands[0], settled), middles, y)
        + _whiskers(windows, bands[0], middles, y)
        + _curve("estimated", estimated, middles, y)
        + _curve("unsettled", realised, middles, y)
        + _curve("realised", settled, middles, y)
        + _dots(windows, name, metrics, middles, y)
        + _concept_marks(windows, realised, middles, y)
        + _labels(name, realised, estimated, middles, y)
        + reported_window(verdict, windows, x, bottom)
    )
    decayed = sum(window.quality_decay for window in windows)
    concept = sum(window.concept_drift for window in windows)
    return figure(
        key="quality",
        width=WIDTH,
        height=_HEIGHT,
        title=f"{measure_heading(name)} over time, realised and estimated",
        description=(
            f"{plural(len(windows), 'window')} from {moment(start)} to {moment(end)} UTC, "
            f"{plural(decayed, 'window')} with decay, {concept:,} with concept drift. Newest: "
            f"realised {figure_text(name, _newest(realised))}, "
            f"estimated {figure_text(name, _newest(estimated))}"
        ),
        body=body,
        style="history",
    )


def _newest(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _range(
    values: Sequence[float], bounds: Sequence[float], baselines: Sequence[float]
) -> tuple[float, float]:
    """Return the ends of the axis: all values, and bands as far as they do not squeeze them."""
    known = [*values, *baselines]
    low, high = min(known), max(known)
    room = _BAND_ROOM * (high - low) or abs(high) * 0.1 or 1.0
    low = max(min([low, *bounds]), low - room)
    high = min(max([high, *bounds]), high + room)
    margin = _MARGIN * (high - low) or 0.05
    return low - margin, high + margin


def _axis(name: str, low: float, high: float, y: _Place) -> str:
    right = number(WIDTH - RIGHT)
    parts = [
        f'<text class="tick" x="0" y="12">{escape(measure_heading(name))}</text>',
        f'<line class="axis" x1="{number(LEFT)}" x2="{right}" y1="{number(y(low))}" '
        f'y2="{number(y(low))}"/>',
    ]
    for tick in nice_ticks(low, high, 5):
        at = y(tick)
        parts.append(
            f'<line class="grid" x1="{number(LEFT)}" x2="{right}" y1="{number(at)}" '
            f'y2="{number(at)}"/><text class="tick" x="{number(LEFT - 7)}" '
            f'y="{number(at + 3.5)}" text-anchor="end">{quantity(tick)}</text>'
        )
    return "".join(parts)


def _decay_bands(windows: Sequence[OutcomesVerdict], x: Callable[..., float], bottom: float) -> str:
    parts = []
    for window in windows:
        if not window.quality_decay:
            continue
        left, right = x(window.window_start), x(window.window_end)
        middle = (left + right) / 2
        parts.append(
            f"<g><title>Quality decay: {escape(moment(window.window_start))} UTC</title>"
            f'<rect class="alarm-band" x="{number(left)}" y="{number(_TOP)}" '
            f'width="{number(max(1.0, right - left))}" height="{number(bottom - _TOP)}"/>'
            f'<path class="alarm-mark" d="M{number(middle)} {number(_TOP - 3)}l-5-8.5h10z"/></g>'
        )
    return "".join(parts)


def _promotions(windows: Sequence[OutcomesVerdict], x: Callable[..., float], bottom: float) -> str:
    """Draw a line where the baseline is another one."""
    parts, free = [], 0.0
    for before, after in pairwise(windows):
        if before.baseline_version == after.baseline_version:
            continue
        at = x(after.window_start)
        version = shorten(after.baseline_version, 16)
        label = ""
        if at >= free:
            anchor = "start" if at < WIDTH - RIGHT - 130 else "end"
            label = (
                f'<text class="tick" x="{number(at + (4 if anchor == "start" else -4))}" '
                f'y="{number(bottom - 7)}" text-anchor="{anchor}">baseline '
                f"{escape(version)}</text>"
            )
            free = at + 62 + 6.5 * len(version)
        parts.append(
            f"<g><title>New baseline {escape(shorten(after.baseline_version, 80))} from "
            f"{escape(moment(after.window_start))} UTC</title>"
            f'<line class="promotion" x1="{number(at)}" x2="{number(at)}" y1="{number(_TOP)}" '
            f'y2="{number(bottom)}"/></g>{label}'
        )
    return "".join(parts)


def _baseline(
    windows: Sequence[OutcomesVerdict],
    metrics: Sequence[MetricVerdict | None],
    x: Callable[..., float],
    y: _Place,
) -> str:
    """Draw the baseline's value as steps, one step a baseline."""
    steps: list[tuple[str, float, float, float]] = []
    for window, metric in zip(windows, metrics, strict=True):
        if metric is None or metric.baseline is None:
            continue
        left, right = x(window.window_start), x(window.window_end)
        if steps and steps[-1][0] == window.baseline_version and steps[-1][1] == metric.baseline:
            left = steps.pop()[2]
        steps.append((window.baseline_version, metric.baseline, left, right))
    return "".join(
        f'<path class="base-level" d="M{number(left)} {number(y(value))}H{number(right)}"/>'
        for _, value, left, right in steps
    )


def _band(
    style: str,
    bounds: Sequence[_Bounds],
    middles: Sequence[float],
    y: _Place,
) -> str:
    parts = []
    known = [low if high is not None else None for low, high in bounds]
    for start, stop in gaps_of(known):
        inside = [(middles[i], *bounds[i]) for i in range(start, stop) if bounds[i][0] is not None]
        top = [f"{number(at)} {number(y(high))}" for at, _, high in inside if high is not None]
        under = [f"{number(at)} {number(y(low))}" for at, low, _ in inside if low is not None]
        if len(inside) == 1:
            parts.append(f'<path class="{style} lone" d="M{top[0]}L{under[0]}"/>')
        else:
            parts.append(f'<path class="{style}" d="M{"L".join([*top, *reversed(under)])}z"/>')
    return "".join(parts)


def _only(bounds: Sequence[_Bounds], values: Sequence[float | None]) -> list[_Bounds]:
    return [
        (None, None) if value is None else pair for pair, value in zip(bounds, values, strict=True)
    ]


def _whiskers(
    windows: Sequence[OutcomesVerdict],
    bounds: Sequence[_Bounds],
    middles: Sequence[float],
    y: _Place,
) -> str:
    """Draw the intervals of windows that are not part of the curve."""
    return "".join(
        f'<path class="reach hot" d="M{number(at)} {number(y(low))}V{number(y(high))}"/>'
        for window, (low, high), at in zip(windows, bounds, middles, strict=True)
        if is_immature(window) and low is not None and high is not None
    )


def _curve(style: str, values: Sequence[float | None], middles: Sequence[float], y: _Place) -> str:
    parts = []
    for start, stop in gaps_of(values):
        points = [
            f"{number(middles[i])} {number(y(value))}"
            for i in range(start, stop)
            if (value := values[i]) is not None
        ]
        parts.append(f'<path class="line {style}" d="M{"L".join(points)}"/>')
    return "".join(parts)


def _dots(
    windows: Sequence[OutcomesVerdict],
    name: str,
    metrics: Sequence[MetricVerdict | None],
    middles: Sequence[float],
    y: _Place,
) -> str:
    parts = []
    for window, metric, at in zip(windows, metrics, middles, strict=True):
        if metric is None or metric.value is None:
            continue
        immature, decayed = is_immature(window), window.quality_decay
        if not (immature or decayed or len(windows) <= _FEW):
            continue
        style = "hollow" if immature else "hot" if decayed else "calm"
        word = ", labels do not suffice" if immature else ", decay" if decayed else ""
        parts.append(
            f'<circle class="outcome-dot {style}" cx="{number(at)}" cy="{number(y(metric.value))}" '
            f'r="{"4" if style != "calm" else "2.4"}"><title>'
            f"{escape(moment(window.window_start))} UTC: {escape(measure_name(name))} "
            f"{figure_text(name, metric.value)}, {share(window.labels.coverage)} labelled{word}"
            "</title></circle>"
        )
    return "".join(parts)


def _concept_marks(
    windows: Sequence[OutcomesVerdict],
    values: Sequence[float | None],
    middles: Sequence[float],
    y: _Place,
) -> str:
    """Draw a diamond below the dot of each window whose labels contradict the estimate."""
    parts = []
    for window, value, at in zip(windows, values, middles, strict=True):
        if not window.concept_drift or value is None:
            continue
        middle = min(y(value) + 15, _HEIGHT - _BOTTOM - 7)
        parts.append(
            f"<g><title>Concept drift: {escape(moment(window.window_start))} UTC</title>"
            f'<path class="concept-mark" d="M{number(at)} {number(middle - 5.5)}l5.5 5.5-5.5 5.5'
            '-5.5-5.5z"/></g>'
        )
    return "".join(parts)


def _labels(
    name: str,
    realised: Sequence[float | None],
    estimated: Sequence[float | None],
    middles: Sequence[float],
    y: _Place,
) -> str:
    """Name the curves at their right ends, with their newest values."""
    ends = []
    for style, words, values in (
        ("realised", "with labels", realised),
        ("estimated", "estimated", estimated),
    ):
        value = _newest(values)
        if value is not None:
            last = max(i for i, v in enumerate(values) if v is not None)
            ends.append((style, words, middles[last], value))
    places = spread(
        [y(value) for *_, value in ends], gap=17.0, low=_TOP, high=_HEIGHT - _BOTTOM - 2
    )
    edge = WIDTH - RIGHT
    return "".join(
        f'<path class="leader" d="M{number(at + 6)} {number(y(value))}L{number(edge + 4)} '
        f'{number(y(value))}L{number(edge + 11)} {number(place)}"/>'
        f'<text class="label {style}" x="{number(edge + 15)}" y="{number(place + 4)}">{words} '
        f'<tspan class="strong">{figure_text(name, value)}</tspan></text>'
        for (style, words, at, value), place in zip(ends, places, strict=True)
    )
