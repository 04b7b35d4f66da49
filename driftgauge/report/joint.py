"""How columns go together: the tests, and the pairs whose correlation changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from driftgauge.drift.verdict import JointTest, PairShift, WindowVerdict
from driftgauge.report.cause import joint_names
from driftgauge.report.columns import LEGEND, verdict_badge
from driftgauge.report.markup import escape, shorten
from driftgauge.report.svg import figure, number
from driftgauge.report.wording import distance, p_value, signed

_TEST_WORDS = {
    "association": ("Correlations of pairs", "largest change"),
    "reconstruction": ("Distance from the principal plane", "growth"),
    "mmd": ("Joint distribution as a whole (MMD)", "squared distance in sd"),
}
_WIDTH, _LEFT, _FIGURES, _PITCH = 520.0, 214.0, 104.0, 27.0
_LABEL = 15
_WORTH_SHOWING = 0.25


def joint_section(verdict: WindowVerdict) -> str:
    """Return the tests of the joint distribution as a table, and the changed pairs drawn."""
    joint = verdict.joint
    if joint is None:
        return ""
    head = (
        f"<h2>How columns go together {verdict_badge(joint.verdict)}</h2>"
        f'<p class="note">{escape(joint.reason)}</p>'
    )
    if not joint.tests:
        return head
    rows = "".join(_row(test) for test in joint.tests)
    table = (
        '<table class="plain"><thead><tr><th scope="col">Test</th>'
        '<th scope="col" class="n">Effect</th><th scope="col" class="n">Corrected p</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )
    # Without a surely changed pair, the largest changes are what chance makes of many.
    if joint_names(verdict) is None:
        return f"{head}{table}"
    return (
        f'{head}<div class="split even"><div>{table}</div><div>{LEGEND}'
        f"{pair_chart(_clear(joint.pairs), key='pairs')}"
        '<p class="caption">Correlations about the means of each side; the largest change of each '
        "two columns.</p></div></div>"
    )


def _clear(pairs: Sequence[PairShift]) -> list[PairShift]:
    """Leave out pairs whose change is small beside the largest."""
    largest = max(abs(pair.window - pair.baseline) for pair in pairs)
    return [p for p in pairs if abs(p.window - p.baseline) >= _WORTH_SHOWING * largest]


def _row(test: JointTest) -> str:
    name, unit = _TEST_WORDS[test.name]
    effect = (
        f"{signed(test.effect * 100, digits=0)}%"
        if test.name == "reconstruction"
        else distance(test.effect)
    )
    return (
        f'<tr><th scope="row">{name}</th><td class="n strong">{effect}<small>{unit}</small></td>'
        f'<td class="n">{escape(p_value(test.adjusted_p_value))}</td></tr>'
    )


def pair_chart(pairs: Sequence[PairShift], *, key: str) -> str:
    """Draw each pair's correlation in baseline and window as two dots on one line."""
    room = _WIDTH - _LEFT - _FIGURES
    height = len(pairs) * _PITCH + 24.0
    bottom = height - 20.0

    def x(value: float) -> float:
        return _LEFT + (value + 1.0) / 2.0 * room

    parts = [
        f'<line class="{"axis" if tick == 0 else "grid"}" x1="{number(x(tick))}" '
        f'x2="{number(x(tick))}" y1="0" y2="{number(bottom)}"/><text class="tick" '
        f'x="{number(x(tick))}" y="{number(bottom + 15)}" text-anchor="middle">'
        f"{signed(tick, digits=0)}</text>"
        for tick in (-1.0, 0.0, 1.0)
    ]
    parts += [_pair(pair, y=index * _PITCH + 14.0, x=x) for index, pair in enumerate(pairs)]
    return figure(
        key=key,
        width=_WIDTH,
        height=height,
        title="Changed correlations",
        description="; ".join(
            f"{shorten(p.first, 60)} and {shorten(p.second, 60)}: {signed(p.baseline)} to "
            f"{signed(p.window)}"
            for p in pairs
        ),
        body="".join(parts),
        style="chart",
    )


def _pair(pair: PairShift, *, y: float, x: Callable[[float], float]) -> str:
    before, now = number(x(pair.baseline)), number(x(pair.window))
    label = f"{shorten(pair.first, _LABEL)}, {shorten(pair.second, _LABEL)}"
    return (
        f"<g><title>{escape(pair.first)}, {escape(pair.second)}</title>"
        f'<text class="label" x="{number(_LEFT - 12)}" y="{number(y + 4)}" text-anchor="end">'
        f"{escape(label)}</text>"
        f'<line class="from-to" x1="{before}" x2="{now}" y1="{number(y)}" y2="{number(y)}"/>'
        f'<circle class="base-dot" cx="{before}" cy="{number(y)}" r="5"/>'
        f'<circle class="window-dot" cx="{now}" cy="{number(y)}" r="5"/>'
        f'<text class="value" x="{number(_WIDTH - 2)}" y="{number(y + 4)}" text-anchor="end">'
        f'{signed(pair.baseline)} → <tspan class="strong">{signed(pair.window)}</tspan></text></g>'
    )
