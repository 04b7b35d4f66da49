"""Lasting drift: the evidence of all windows together, over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from driftgauge.drift.verdict import FeatureEvidence, PersistentDrift, WindowVerdict
from driftgauge.report.cause import aspect_text, lasting
from driftgauge.report.history import (
    LEFT,
    RIGHT,
    WIDTH,
    reported_window,
    time_axis,
    time_scale,
    windows_to_draw,
)
from driftgauge.report.markup import escape, shorten
from driftgauge.report.svg import figure, gaps_of, number
from driftgauge.report.wording import moment, plural, quantity

_HEIGHT, _TOP, _BOTTOM = 216.0, 20.0, 46.0
# The axis ends so many times above the threshold; what is beyond is drawn at its end.
_HEADROOM: Final = 1e4
_FLOOR: Final = 0.1
_MOST_WORDS: Final = 1e6
_TICKS: Final = 6
# What a label beside a line takes.
_ROOM: Final = 76


def lasting_section(
    verdict: WindowVerdict, history: Sequence[WindowVerdict], *, learning_windows: int
) -> str:
    """Return the evidence over time as a chart and its leading columns as a table.

    Parameters
    ----------
    verdict : WindowVerdict
        What was decided.
    history : sequence of WindowVerdict
        Other windows, in any order.
    learning_windows : int
        How many windows only teach.
    """
    found = verdict.persistent
    if found is None:
        return ""
    windows = [w for w in windows_to_draw(verdict, history) if w.persistent is not None]
    chart = _chart(verdict, windows, found) if len(windows) > 1 else ""
    learning = found.verdict == "insufficient_data"
    return (
        f'<h2>Lasting drift</h2><p class="note">{_state(found, learning_windows)}</p>'
        + (f'<div class="scroll">{chart}</div>' if chart else "")
        + ("" if learning else _table(verdict))
    )


def _state(found: PersistentDrift, learning_windows: int) -> str:
    if found.verdict == "insufficient_data":
        return (
            f"Learning: {min(found.windows, learning_windows):,} of {learning_windows:,} windows. "
            "They teach how much windows differ without any drift; until then nothing rings."
        )
    limit = quantity(round(found.threshold))
    rare = plural(round(found.threshold), "window")
    text = (
        f"The evidence of {plural(found.windows, 'window')} together is {_windows(found.value)}, "
        f"the alarm rings from {limit}: unchanged traffic gets there once in "
        f"{rare} at most."
    )
    if found.verdict == "seasonal":
        return f"{text} Beyond it are only columns that move as in the same season before."
    return text


def _windows(value: float) -> str:
    return "over a million" if value > _MOST_WORDS else f"{quantity(float(f'{value:.2g}'))}"


def _table(verdict: WindowVerdict) -> str:
    """Return the columns whose evidence is what rings, or nothing."""
    by_name = {feature.name: feature for feature in verdict.features}
    rows = "".join(
        _row(one, verdict, aspect_text(one, by_name.get(one.name))) for one in lasting(verdict)
    )
    if not rows:
        return ""
    return (
        '<table class="plain"><thead><tr><th scope="col">Feature</th>'
        '<th scope="col">What changed</th><th scope="col">Most likely since (UTC)</th>'
        f'<th scope="col" class="n">Evidence</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(one: FeatureEvidence, verdict: WindowVerdict, what: str) -> str:
    here = " (this window)" if one.since >= verdict.window_start else ""
    return (
        f'<tr><th scope="row"><bdi>{escape(shorten(one.name, 80))}</bdi></th>'
        f"<td>{escape(what)}</td><td>{escape(moment(one.since))}{here}</td>"
        f'<td class="n strong">{_windows(one.value)}</td></tr>'
    )


def _chart(verdict: WindowVerdict, windows: Sequence[WindowVerdict], found: PersistentDrift) -> str:
    """Draw the evidence on a logarithmic axis, with the threshold."""
    start, end, x = time_scale(windows)
    states = [w.persistent for w in windows]
    values = [max(_FLOOR, s.value) if s is not None else None for s in states]
    known = [value for value in values if value is not None]
    low = min(1.0, *known)
    top = min(max(3.0 * found.threshold, *known), _HEADROOM * found.threshold)
    bottom = _HEIGHT - _BOTTOM

    def y(value: float) -> float:
        part = math.log(min(top, value) / low) / math.log(top / low)
        return bottom - part * (bottom - _TOP)

    body = (
        _axis(low, top, found.threshold, y)
        + _learning(windows, x, bottom)
        + time_axis(start, end, x, bottom)
        + _beginning(verdict, windows, x, bottom)
        + _line(windows, values, top, x, y)
        + reported_window(verdict, windows, x, bottom)
    )
    above = sum(s is not None and s.verdict == "drift" for s in states)
    return figure(
        key="lasting",
        width=WIDTH,
        height=_HEIGHT,
        title="Evidence of lasting drift over time",
        description=(
            f"{plural(len(windows), 'window')} from {moment(start)} to {moment(end)} UTC. The "
            f"newest value is {_windows(found.value)}, the threshold "
            f"{quantity(round(found.threshold))}; {plural(above, 'window')} with an alarm."
        ),
        body=body,
        style="history",
    )


def _axis(low: float, top: float, threshold: float, y: Callable[[float], float]) -> str:
    right = WIDTH - RIGHT
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(top) + 1e-9)
    step = max(1, -(-(last - first) // _TICKS))
    parts = []
    limit = y(threshold)
    for power in range(first, last + 1, step):
        at = y(10.0**power)
        if abs(at - limit) < 12:
            continue
        parts.append(
            f'<line class="grid" x1="{number(LEFT)}" x2="{number(right)}" y1="{number(at)}" '
            f'y2="{number(at)}"/><text class="tick" x="{number(LEFT - 7)}" '
            f'y="{number(at + 3.5)}" text-anchor="end">{_tick(power)}</text>'
        )
    bottom = y(low)
    parts.append(
        f'<line class="axis" x1="{number(LEFT)}" x2="{number(right)}" y1="{number(bottom)}" '
        f'y2="{number(bottom)}"/>'
        f'<line class="threshold" x1="{number(LEFT)}" x2="{number(right)}" '
        f'y1="{number(limit)}" y2="{number(limit)}"/>'
        f'<text class="tick" x="{number(LEFT + 6)}" y="{number(limit - 5)}">rings from '
        f"{quantity(round(threshold))}</text>"
    )
    return "".join(parts)


def _tick(power: int) -> str:
    if -1 <= power <= 4:
        return f"{10.0**power:,g}" if power < 0 else f"{10**power:,}"
    return f"1e{power}"


def _learning(windows: Sequence[WindowVerdict], x: Callable[..., float], bottom: float) -> str:
    """Shade the windows that only taught."""
    taught = [w for w in windows if w.persistent and w.persistent.verdict == "insufficient_data"]
    if not taught:
        return ""
    left, right = x(taught[0].window_start), x(taught[-1].window_end)
    label = (
        f'<text class="tick" x="{number((left + right) / 2)}" y="{number(_TOP + 14)}" '
        'text-anchor="middle">learning</text>'
        if right - left > _ROOM
        else ""
    )
    return (
        f'<rect class="learning" x="{number(left)}" y="{number(_TOP)}" '
        f'width="{number(right - left)}" height="{number(bottom - _TOP)}">'
        f"<title>Learning: nothing rings</title></rect>{label}"
    )


def _beginning(
    verdict: WindowVerdict,
    windows: Sequence[WindowVerdict],
    x: Callable[..., float],
    bottom: float,
) -> str:
    """Mark since when the strongest shift lasts, unless that is the reported window itself."""
    found = lasting(verdict)
    if not found or not windows[0].window_start <= found[0].since < verdict.window_start:
        return ""
    at = x(found[0].since)
    # The evidence rises to the right of it.
    side, anchor = (-5, "end") if at - LEFT > _ROOM else (5, "start")
    return (
        f'<line class="since" x1="{number(at)}" x2="{number(at)}" y1="{number(_TOP)}" '
        f'y2="{number(bottom)}"/><text class="tick" x="{number(at + side)}" '
        f'y="{number(_TOP + 9)}" text-anchor="{anchor}">since {found[0].since.day} '
        f"{found[0].since:%b}</text>"
    )


def _line(
    windows: Sequence[WindowVerdict],
    values: Sequence[float | None],
    top: float,
    x: Callable[..., float],
    y: Callable[[float], float],
) -> str:
    middles = [x(w.window_start + (w.window_end - w.window_start) / 2) for w in windows]
    parts = []
    for start, stop in gaps_of(values):
        path = "L".join(
            f"{number(middles[i])} {number(y(value))}"
            for i in range(start, stop)
            if (value := values[i]) is not None
        )
        parts.append(f'<path class="line s0" d="M{path}"/>')
    for window, value, at in zip(windows, values, middles, strict=True):
        rings = window.persistent is not None and window.persistent.verdict == "drift"
        if value is None or not (rings or len(windows) <= 40):
            continue
        beyond = " (beyond the axis)" if value > top else ""
        parts.append(
            f'<circle class="dot s0{"" if rings else " calm"}" cx="{number(at)}" '
            f'cy="{number(y(value))}" r="{"4" if rings else "2.2"}"><title>'
            f"{escape(moment(window.window_start))} UTC: {_windows(value)}{beyond}</title></circle>"
        )
    newest = next((v for v in reversed(values) if v is not None), None)
    if newest is not None:
        parts.append(
            f'<text class="label s0" x="{number(WIDTH - RIGHT + 15)}" '
            f'y="{number(y(newest) + 4)}"><tspan class="strong">{_windows(newest)}</tspan></text>'
        )
    return "".join(parts)
