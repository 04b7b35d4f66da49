"""Latencies of production and shadow side by side in the experiment page."""

from __future__ import annotations

from typing import Final

from driftgauge.experiments.latency import latency_edges
from driftgauge.experiments.shadow_verdict import LatencyFigures, LatencyVerdict, ShadowVerdict
from driftgauge.report.experiment_words import badge, milliseconds
from driftgauge.report.outcome_labels import legend
from driftgauge.report.svg import figure, nice_ticks, number
from driftgauge.report.wording import DASH, count

# Of the charts of distributions.
WIDTH: Final = 520.0
HEIGHT: Final = 230.0
LEFT: Final = 46.0
RIGHT: Final = 10.0
TOP: Final = 10.0
BOTTOM: Final = 40.0
_LATENCY_TICKS: Final = (1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)


def latency_section(verdict: ShadowVerdict) -> str:
    """Return both latencies side by side; empty if they were not measured."""
    found = verdict.latency
    if found is None:
        return ""
    state = badge("drift", "too slow") if found.slower else ""
    if not found.slower and found.ratio is not None and found.limit is not None:
        state = badge("ok", "fast enough") if found.ratio <= found.limit else ""
    limit = "" if found.limit is None else f" The limit of the ratio at 90% is {found.limit:g}."
    return (
        f'<h2>Latency {state}</h2><p class="note">How long the two take for a request.{limit}</p>'
        f'<article class="card"><div class="split even"><div>{_latency_table(found)}</div>'
        f"<div>{_latency_chart(found)}</div></div></article>"
    )


def _latency_table(found: LatencyVerdict) -> str:
    rows = []
    for words, name in (
        ("Half of the requests", "p50"),
        ("90%", "p90"),
        ("99%", "p99"),
        ("Mean", "mean"),
        ("Longest", "maximum"),
    ):
        sides = [
            None if side is None else float(getattr(side, name))
            for side in (found.production, found.shadow)
        ]
        ratio = DASH
        if sides[0] and sides[1] is not None:
            ratio = f"{sides[1] / sides[0]:.2f}"
        cells = "".join(
            f'<td class="n">{DASH if side is None else milliseconds(side)}</td>' for side in sides
        )
        hot = " strong hot" if name == "p90" and found.slower else ""
        rows.append(f'<tr><th scope="row">{words}</th>{cells}<td class="n{hot}">{ratio}</td></tr>')
    requests = "".join(
        f'<td class="n">{count(0 if side is None else side.requests)}</td>'
        for side in (found.production, found.shadow)
    )
    return (
        '<table class="plain latency"><thead><tr><th scope="col">Within</th>'
        '<th scope="col" class="n">Production</th><th scope="col" class="n">Shadow</th>'
        '<th scope="col" class="n">Ratio</th></tr></thead>'
        f'<tbody>{"".join(rows)}<tr><th scope="row">Requests</th>{requests}<td></td></tr>'
        "</tbody></table>"
    )


def _latency_chart(found: LatencyVerdict) -> str:
    """Draw the distributions as steps on a logarithmic axis."""
    sides = [side for side in (found.production, found.shadow) if side is not None]
    if not sides:
        return '<p class="caption">No requests yet.</p>'
    used = [i for side in sides for i, rows in enumerate(side.counts) if rows]
    first, last = max(0, min(used) - 1), min(len(latency_edges()), max(used) + 1)
    pitch = (WIDTH - LEFT - RIGHT) / (last - first + 1)
    top = max(max(side.counts) / side.requests for side in sides)
    bottom = HEIGHT - BOTTOM
    scale = (bottom - TOP) / (top * 1.04)
    entries, drawn = [], ""
    for words, style, side in (
        ("production", "base", found.production),
        ("shadow", "window", found.shadow),
    ):
        if side is not None:
            path = _steps(side, first, last, pitch, bottom, scale)
            drawn += (
                f'<path class="{style}-fill" d="{path}"/><path class="{style}-line" d="{path}"/>'
            )
            entries.append((words, f'<path class="{style}-line" d="M0 5H14"/>'))
    edges = latency_edges()
    ticks = "".join(
        f'<line class="axis" x1="{number(x)}" x2="{number(x)}" y1="{number(bottom)}" '
        f'y2="{number(bottom + 4)}"/><text class="tick" x="{number(x)}" '
        f'y="{number(bottom + 17)}" text-anchor="middle">'
        f"{milliseconds(float(f'{edges[at]:.1g}'))}</text>"
        for at in _tick_cells(first, last)
        for x in [LEFT + (at + 1 - first) * pitch]
    )
    axis = (
        f'<line class="axis" x1="{number(LEFT)}" x2="{number(WIDTH - RIGHT)}" '
        f'y1="{number(bottom)}" y2="{number(bottom)}"/>'
    )
    return legend(entries) + figure(
        key="latency",
        width=WIDTH,
        height=HEIGHT - 16.0,
        title="Latencies of production and shadow",
        description="; ".join(
            f"{words}: half within {milliseconds(side.p50)}, 90% within {milliseconds(side.p90)}"
            for words, side in (("production", found.production), ("shadow", found.shadow))
            if side is not None
        ),
        body=share_grid(top, bottom, scale) + drawn + axis + ticks,
        style="chart",
    )


def _tick_cells(first: int, last: int) -> list[int]:
    """Return the cells whose upper edges are labelled: 1, 2 and 5 of each decade."""
    edges = latency_edges()
    wanted = {decade * factor for decade in _LATENCY_TICKS for factor in (1, 2, 5)}
    found = [
        at
        for at in range(first, min(last, len(edges)))
        if any(abs(edges[at] - value) < 0.01 * value for value in wanted)
    ]
    if len(found) > 8:
        found = [at for at in found if edges[at] in _LATENCY_TICKS]
    return found


def _steps(
    side: LatencyFigures, first: int, last: int, pitch: float, bottom: float, scale: float
) -> str:
    path = f"M{number(LEFT)} {number(bottom)}"
    for place in range(first, last + 1):
        y = bottom - side.counts[place] / side.requests * scale
        path += f"V{number(y)}H{number(LEFT + (place - first + 1) * pitch)}"
    return f"{path}V{number(bottom)}"


def share_grid(top: float, bottom: float, scale: float) -> str:
    """Draw grid lines at round shares (markup)."""
    return "".join(
        f'<line class="grid" x1="{number(LEFT)}" x2="{number(WIDTH - RIGHT)}" '
        f'y1="{number(bottom - tick * scale)}" y2="{number(bottom - tick * scale)}"/>'
        f'<text class="tick" x="{number(LEFT - 7)}" y="{number(bottom - tick * scale + 3.5)}" '
        f'text-anchor="end">{tick * 100:.4g}%</text>'
        for tick in nice_ticks(0, top, 4)
    )
