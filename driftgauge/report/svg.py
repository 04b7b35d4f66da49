"""Charts as inline SVG: no script, no external resource, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from driftgauge.report.bars import Bar
from driftgauge.report.markup import escape, shorten
from driftgauge.report.wording import quantity, share

_WIDTH, _HEIGHT = 520, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 40
_TAIL_GAP = 7.0


def number(value: float) -> str:
    """Write a coordinate with one decimal at most."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def figure(
    *, key: str, width: float, height: float, title: str, description: str, body: str, style: str
) -> str:
    """Wrap a chart's body: an image with a name and a description for those who do not see it."""
    return (
        f'<svg class="{style}" viewBox="0 0 {number(width)} {number(height)}" role="img" '
        f'aria-labelledby="{key}-t {key}-d"><title id="{key}-t">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(description)}</desc>{body}</svg>'
    )


def nice_ticks(low: float, high: float, target: int) -> list[float]:
    """Return about ``target`` round numbers inside ``[low, high]``.

    Examples
    --------
    >>> nice_ticks(0, 0.27, 4)
    [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
    >>> nice_ticks(3, 1040, 5)
    [200.0, 400.0, 600.0, 800.0, 1000.0]
    """
    if not high > low:
        return [low]
    raw = (high - low) / target
    scale = 10.0 ** math.floor(math.log10(raw))
    step = min((m * scale for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / raw)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _describe(bars: Sequence[Bar]) -> str:
    moved = sorted(bars, key=lambda bar: -bar.shift)[:5]
    return "Share of values, baseline to window. " + "; ".join(
        f"{bar.label}: {share(bar.baseline)} to {share(bar.window)}" for bar in moved
    )


def _share_axis(top: float, *, bottom: float, per_unit: float) -> str:
    """Draw horizontal grid lines and their percentages."""
    parts = []
    for tick in nice_ticks(0, top, 4):
        y = bottom - tick * per_unit
        label = f"{tick * 100:.4g}%"
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{number(y)}" '
            f'y2="{number(y)}"/><text class="tick" x="{_LEFT - 7}" y="{number(y + 3.5)}" '
            f'text-anchor="end">{label}</text>'
        )
    return "".join(parts)


def _slots(bars: Sequence[Bar], width: float) -> list[tuple[float, float]]:
    """Return left and right of each bar from 0 to ``width``; open ends are one bar wide.

    Bars between are to scale. An open end is set apart by a gap.
    """
    inner = [bar for bar in bars if bar.lower is not None and bar.upper is not None]
    tails = len(bars) - len(inner)
    if not inner:
        each = (width - _TAIL_GAP * (len(bars) - 1)) / len(bars)
        return [(i * (each + _TAIL_GAP), i * (each + _TAIL_GAP) + each) for i in range(len(bars))]
    tail = (width - _TAIL_GAP * tails) / (len(inner) + tails)
    left = tail + _TAIL_GAP if bars[0].lower is None else 0.0
    right = width - (tail + _TAIL_GAP if bars[-1].upper is None else 0.0)
    low, high = inner[0].lower or 0.0, inner[-1].upper or 0.0
    per_unit = (right - left) / (high - low)
    slots = []
    for bar in bars:
        if bar.lower is None:
            slots.append((0.0, tail))
        elif bar.upper is None:
            slots.append((width - tail, width))
        else:
            slots.append((left + (bar.lower - low) * per_unit, left + (bar.upper - low) * per_unit))
    return slots


def _heights(
    bars: Sequence[Bar], slots: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return the bars' heights, such that area, not height, is proportional to share."""
    widths = [right - left for left, right in slots]
    nominal = sum(widths) / len(widths)
    return [
        (bar.baseline * nominal / width, bar.window * nominal / width)
        for bar, width in zip(bars, widths, strict=True)
    ]


def _steps(
    slots: Sequence[tuple[float, float]], heights: Sequence[float], *, x: float, y: float
) -> str:
    """Return the path of a step line along the tops of the bars, down to zero at gaps."""
    path, at = "", None
    for (left, right), height in zip(slots, heights, strict=True):
        top = number(y - height)
        if at is None or left - at > 1:
            path += ("" if at is None else f"V{number(y)}") + f"M{number(x + left)} {number(y)}"
        path += f"V{top}H{number(x + right)}"
        at = right
    return f"{path}V{number(y)}"


def interval_chart(bars: Sequence[Bar], *, key: str, title: str) -> str:
    """Draw a numeric column: baseline as filled steps, window as a line over them."""
    width = _WIDTH - _LEFT - _RIGHT
    slots = _slots(bars, width)
    heights = _heights(bars, slots)
    top = max((max(pair) for pair in heights), default=0.0) or 1.0
    bottom = _HEIGHT - _BOTTOM
    per_unit = (bottom - _TOP) / (top * 1.04)
    old = _steps(slots, [h[0] * per_unit for h in heights], x=_LEFT, y=bottom)
    new = _steps(slots, [h[1] * per_unit for h in heights], x=_LEFT, y=bottom)
    hover = "".join(
        f'<rect class="hover" x="{number(_LEFT + left)}" y="{_TOP}" width="{number(right - left)}" '
        f'height="{bottom - _TOP}"><title>{escape(bar.label)}: baseline {share(bar.baseline)}, '
        f"window {share(bar.window)}</title></rect>"
        for bar, (left, right) in zip(bars, slots, strict=True)
    )
    body = (
        _share_axis(top, bottom=bottom, per_unit=per_unit)
        + f'<path class="base-fill" d="{old}"/><path class="window-fill" d="{new}"/>'
        + f'<path class="base-line" d="{old}"/><path class="window-line" d="{new}"/>'
        + _interval_axis(bars, slots, bottom)
        + hover
    )
    return figure(
        key=key,
        width=_WIDTH,
        height=_HEIGHT,
        title=title,
        description=_describe(bars),
        body=body,
        style="chart",
    )


def _interval_axis(bars: Sequence[Bar], slots: Sequence[tuple[float, float]], bottom: float) -> str:
    parts = [
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    ]
    inner = [
        (bar.lower, bar.upper, slot)
        for bar, slot in zip(bars, slots, strict=True)
        if bar.lower is not None and bar.upper is not None
    ]
    if inner:
        low, high = inner[0][0] or 0.0, inner[-1][1] or 0.0
        start, stop = inner[0][2][0], inner[-1][2][1]
        for tick in nice_ticks(low, high, 5):
            x = _LEFT + start + (tick - low) / (high - low) * (stop - start)
            parts.append(
                f'<line class="axis" x1="{number(x)}" x2="{number(x)}" y1="{bottom}" '
                f'y2="{bottom + 4}"/><text class="tick" x="{number(x)}" y="{bottom + 16}" '
                f'text-anchor="middle">{quantity(tick)}</text>'
            )
    # The open ends are labelled a line below, outward, so that they never meet the scale's labels.
    ends = ((0, "start", _LEFT), (-1, "end", _WIDTH - _RIGHT))
    for index, anchor, x in ends:
        bar = bars[index]
        if bar.lower is None or bar.upper is None:
            parts.append(
                f'<text class="tick open" x="{x}" y="{bottom + 33}" text-anchor="{anchor}">'
                f"{escape(bar.label)}</text>"
            )
    return "".join(parts)


def value_chart(bars: Sequence[Bar], *, key: str, title: str) -> str:
    """Draw a discrete column: for each value a pair of upright bars."""
    width = _WIDTH - _LEFT - _RIGHT
    slot = width / max(1, len(bars))
    top = max((max(bar.baseline, bar.window) for bar in bars), default=0.0) or 1.0
    bottom = _HEIGHT - _BOTTOM
    per_unit = (bottom - _TOP) / (top * 1.04)
    thick = min(26.0, slot * 0.36)
    every = math.ceil(max((len(bar.label) for bar in bars), default=1) * 7.5 / slot)
    parts = [_share_axis(top, bottom=bottom, per_unit=per_unit)]
    for index, bar in enumerate(bars):
        middle = _LEFT + (index + 0.5) * slot
        parts.append(
            f"<g><title>{escape(bar.label)}: baseline {share(bar.baseline)}, window "
            f"{share(bar.window)}</title>"
            + _upright("base-bar", middle - thick - 0.5, bar.baseline * per_unit, thick, bottom)
            + _upright("window-bar", middle + 0.5, bar.window * per_unit, thick, bottom)
            + "</g>"
        )
        if index % every == 0 or bar.novel:
            parts.append(
                f'<text class="tick" x="{number(middle)}" y="{bottom + 16}" '
                f'text-anchor="middle">{escape(bar.label)}</text>'
            )
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    )
    return figure(
        key=key,
        width=_WIDTH,
        height=_HEIGHT - 16,
        title=title,
        description=_describe(bars),
        body="".join(parts),
        style="chart",
    )


def _upright(style: str, x: float, height: float, width: float, bottom: float) -> str:
    return (
        f'<rect class="{style}" x="{number(x)}" y="{number(bottom - height)}" '
        f'width="{number(width)}" height="{number(height)}"/>'
    )


def category_chart(bars: Sequence[Bar], *, key: str, title: str) -> str:
    """Draw categories as pairs of level bars with their shares, the furthest moved on top."""
    longest = max((len(shorten(bar.label, 24)) for bar in bars), default=1)
    left = min(170.0, 16 + longest * 7.4)
    figures = 128.0
    room = _WIDTH - left - figures
    pitch = 29.0
    top = max((max(bar.baseline, bar.window) for bar in bars), default=0.0) or 1.0
    parts = []
    for index, bar in enumerate(bars):
        y = index * pitch + 4
        note = " (not in the baseline)" if bar.novel else ""
        parts.append(
            f"<g><title>{escape(bar.label)}{note}: baseline {share(bar.baseline)}, window "
            f"{share(bar.window)}</title>"
            f'<text class="label{" novel" if bar.novel else ""}" x="{number(left - 10)}" '
            f'y="{number(y + 14)}" text-anchor="end">{escape(shorten(bar.label, 24))}</text>'
            f'<rect class="base-bar" x="{number(left)}" y="{number(y)}" '
            f'width="{number(bar.baseline / top * room)}" height="9.5"/>'
            f'<rect class="window-bar" x="{number(left)}" y="{number(y + 10.5)}" '
            f'width="{number(bar.window / top * room)}" height="9.5"/>'
            f'<text class="value" x="{_WIDTH - 2}" y="{number(y + 14)}" text-anchor="end">'
            f'{escape(share(bar.baseline))} → <tspan class="strong">{escape(share(bar.window))}'
            "</tspan></text></g>"
        )
    height = len(bars) * pitch + 2
    parts.append(
        f'<line class="axis" x1="{number(left)}" x2="{number(left)}" y1="0" y2="{number(height)}"/>'
    )
    return figure(
        key=key,
        width=_WIDTH,
        height=height,
        title=title,
        description=_describe(bars),
        body="".join(parts),
        style="chart",
    )


def sparkline(bars: Sequence[Bar], *, title: str) -> str:
    """Draw a column's distribution small enough for a table row."""
    width, height = 132.0, 30.0
    if not bars:
        return ""
    intervals = bars[0].lower is None and bars[0].upper is not None
    if intervals:
        slots = _slots(bars, width)
        heights = _heights(bars, slots)
    else:
        each = width / len(bars)
        slots = [(i * each + 1, (i + 1) * each - 1) for i in range(len(bars))]
        heights = [(bar.baseline, bar.window) for bar in bars]
    top = max(max(pair) for pair in heights) or 1.0
    scaled = [(old / top * (height - 2), new / top * (height - 2)) for old, new in heights]
    if intervals:
        old, new = (_steps(slots, [pair[i] for pair in scaled], x=0, y=height) for i in (0, 1))
        body = f'<path class="base-fill" d="{old}"/><path class="window-line" d="{new}"/>'
    else:
        old, new = "", ""
        for (left, right), (before, now) in zip(slots, scaled, strict=True):
            half = number((right - left) / 2)
            old += f"M{number(left)} {number(height)}v-{number(before)}h{half}V{number(height)}z"
            middle = number((left + right) / 2)
            new += f"M{middle} {number(height)}v-{number(now)}h{half}V{number(height)}z"
        body = f'<path class="base-bar" d="{old}"/><path class="window-bar" d="{new}"/>'
    return (
        f'<svg class="spark" viewBox="0 0 {number(width)} {number(height)}" role="img" '
        f"><title>{escape(title)}</title>{body}"
        f'<line class="axis" x1="0" x2="{number(width)}" y1="{number(height)}" '
        f'y2="{number(height)}"/></svg>'
    )


def spread(positions: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart until neighbours are ``gap`` apart, within ``[low, high]``.

    Examples
    --------
    >>> spread([10.0, 11.0, 40.0], gap=10.0, low=0.0, high=100.0)
    [10.0, 20.0, 40.0]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [0.0] * len(positions)
    at = low - gap
    for index in order:
        at = max(positions[index], at + gap)
        placed[index] = at
    limit = high
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


def gaps_of(values: Sequence[float | None]) -> list[tuple[int, int]]:
    """Return the half-open index ranges in which there are values.

    Examples
    --------
    >>> gaps_of([1.0, None, 2.0, 3.0])
    [(0, 1), (2, 4)]
    """
    known = [-1, *(i for i, value in enumerate(values) if value is None), len(values)]
    return [(a + 1, b) for a, b in pairwise(known) if b - a > 1]
