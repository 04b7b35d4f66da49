"""Small multiples of rules by false alarms and delay, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log, sqrt

_WIDTH, _HEIGHT, _LEFT, _TOP = 300, 220, 52, 34
_PLOT_W, _PLOT_H = 232, 140
_LONGEST = 61
_COLORS = ("#0b6e4f", "#c2571a", "#4c5fd7", "#a8327f", "#6b7280", "#b08900")
_TICKS = (1, 2, 5, 10, 30, 60)


@dataclass(frozen=True)
class Dot:
    """One rule: share of unchanged windows with an alarm, median windows to detection."""

    name: str
    false_share: float
    delay: float


@dataclass(frozen=True)
class Panel:
    """One situation."""

    title: str
    dots: tuple[Dot, ...]


def _x(share: float) -> float:
    # The square root spreads small shares and keeps zero.
    return _LEFT + _PLOT_W * sqrt(share)


def _y(delay: float) -> float:
    return _TOP + _PLOT_H * log(min(delay, _LONGEST)) / log(_LONGEST)


def _panel(panel: Panel, colors: dict[str, str], x: int, y: int) -> str:
    parts = [f'<g transform="translate({x},{y})">']
    parts.append(f'<text class="title" x="{_LEFT}" y="20">{escape(panel.title)}</text>')
    for tick in _TICKS:
        at = _y(tick)
        label = f"{tick}" if tick < 60 else "> 60"
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PLOT_W}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_LEFT - 6}" y="{at + 3:.1f}" text-anchor="end">{label}</text>'
        )
    for share in (0.0, 0.01, 0.1, 0.5, 1.0):
        at = _x(share)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_TOP + _PLOT_H}"/>'
        )
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{_TOP + _PLOT_H + 14}" text-anchor="middle">'
            f"{100 * share:g}</text>"
        )
    for dot in sorted(panel.dots, key=lambda dot: dot.name == "driftgauge"):
        ours = dot.name == "driftgauge"
        parts.append(
            f'<circle cx="{_x(dot.false_share):.1f}" cy="{_y(dot.delay):.1f}" '
            f'r="{7 if ours else 5}" fill="{colors[dot.name]}" opacity="{1 if ours else 0.75}" '
            'stroke="#ffffff"/>'
        )
    parts.append("</g>")
    return "".join(parts)


def draw_panels(panels: Sequence[Panel], *, columns: int) -> str:
    """Return the picture of all panels, row by row, with one legend."""
    names = [dot.name for dot in panels[0].dots]
    colors = dict(zip(names, _COLORS, strict=False))
    rows = -(-len(panels) // columns)
    width, height = columns * _WIDTH, rows * _HEIGHT + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        "<title>False alarms and windows to detection, by rule</title>",
        "<style>text{font:12px system-ui,sans-serif;fill:#1f2937}.title{font-weight:600}"
        ".tick{font-size:10px;fill:#6b7280}.grid{stroke:#e5e7eb}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for at, name in enumerate(names):
        x = 16 + at * (width - 20) // len(names)
        parts.append(f'<circle cx="{x}" cy="18" r="6" fill="{colors[name]}"/>')
        parts.append(f'<text x="{x + 11}" y="22">{escape(name)}</text>')
    parts.append(
        f'<text class="tick" x="16" y="{height - 10}">Across: unchanged windows with an alarm, % '
        "(square-root scale). Down: median windows until the moved column is named (top is best)."
        "</text>"
    )
    for at, panel in enumerate(panels):
        parts.append(_panel(panel, colors, (at % columns) * _WIDTH, 34 + at // columns * _HEIGHT))
    return "".join([*parts, "</svg>\n"])
