"""Labels in the report: how many have arrived, and how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Final

from driftgauge.report.markup import escape
from driftgauge.report.outcome_words import coverage_words, delay_text
from driftgauge.report.svg import figure, number
from driftgauge.report.wording import DASH, count, share

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

_WIDTH: Final = 440.0
_HEIGHT: Final = 190.0
_LEFT: Final = 46.0
_RIGHT: Final = 14.0
# Fewer windows say nothing of what is usual.
_FEWEST: Final = 3
_AGES: Final = (
    ("1 min", 60.0),
    ("10 min", 600.0),
    ("1 h", 3_600.0),
    ("6 h", 21_600.0),
    ("1 d", 86_400.0),
    ("3 d", 259_200.0),
    ("7 d", 604_800.0),
    ("14 d", 1_209_600.0),
    ("30 d", 2_592_000.0),
    ("90 d", 7_776_000.0),
)


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return a legend: words, each after a small picture (markup)."""
    items = "".join(
        '<span><svg viewBox="0 0 14 10" style="display:inline-block" aria-hidden="true">'
        f"{picture}</svg>{words}</span>"
        for words, picture in entries
    )
    return f'<p class="legend">{items}</p>'


def labels_card(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    """Return how far the labels have come: facts, and the share labelled by age."""
    labels = verdict.labels
    counts = labels.counts
    usual = DASH if labels.usual_coverage is None else escape(share(labels.usual_coverage))
    facts = [
        ("Predictions", count(counts.rows)),
        ("With a label", f"{count(counts.labelled)} ({escape(share(labels.coverage))})"),
        ("Usual at this age", usual),
        ("Age of the window", delay_text(labels.age_seconds)),
        ("Median delay of a label", delay_text(labels.median_delay_seconds)),
    ]
    for words, number_of in (
        ("Sent twice", counts.duplicates),
        ("Corrected later", counts.corrected),
        ("Labels do not fit the rows", counts.mismatched),
    ):
        if number_of:
            facts.append((words, count(number_of)))
    inner = "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in facts)
    return (
        '<article class="card labels"><header><h3>Labels</h3>'
        f'<span class="kind">{escape(coverage_words(labels))}</span></header>'
        f'<div class="split"><div>{_coverage_chart(verdict, history)}</div>'
        f'<div><dl class="facts">{inner}</dl></div></div></article>'
    )


def _shown_ages(verdict: OutcomesVerdict) -> tuple[tuple[str, float], ...]:
    """Return ages up to that of the window's oldest predictions."""
    length = (verdict.window_end - verdict.window_start) / timedelta(seconds=1)
    oldest = verdict.labels.age_seconds + length
    shown = 1 + sum(age < oldest for _, age in _AGES)
    return _AGES[: max(2, shown)]


def _usual(
    verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict], age: float
) -> float | None:
    """Return the share that earlier windows had labelled at an age; None if too few tell."""
    earlier = [
        w.labels.counts.coverage_at(age)
        for w in history
        if w.window_end <= verdict.window_start and w.labels.age_seconds >= age
    ]
    known = [part for part in earlier if part is not None]
    return median(known) if len(known) >= _FEWEST else None


def _coverage_chart(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    """Draw the share labelled by age of the prediction, with that of earlier windows."""
    ages = _shown_ages(verdict)
    here = [verdict.labels.counts.coverage_at(age) for _, age in ages]
    usual = [_usual(verdict, history, age) for _, age in ages]
    step = (_WIDTH - _LEFT - _RIGHT) / (len(ages) - 1)
    bottom = _HEIGHT - 40.0

    def point(index: int, part: float) -> str:
        return f"{number(_LEFT + index * step)} {number(_y(part, bottom))}"

    entries, lines = [], ""
    for style, words, values in (
        ("base-line", "median of the windows before", usual),
        ("window-line", "this window", here),
    ):
        points = [point(i, part) for i, part in enumerate(values) if part is not None]
        if len(points) > 1:
            entries.append((words, f'<path class="{style}" d="M0 5H14"/>'))
            lines += f'<path class="{style}" d="M{"L".join(points)}"/>'
    return legend(entries) + figure(
        key="coverage",
        width=_WIDTH,
        height=_HEIGHT,
        title="Share of the predictions with a label by time since the prediction",
        description="; ".join(
            f"{words}: {share(part)}"
            for (words, _), part in zip(ages, here, strict=True)
            if part is not None
        ),
        body=_coverage_axes(ages, step, bottom) + lines,
        style="chart",
    )


def _y(part: float, bottom: float) -> float:
    return bottom - part * (bottom - 10.0)


def _coverage_axes(ages: Sequence[tuple[str, float]], step: float, bottom: float) -> str:
    parts = []
    for tick in (0.0, 0.5, 1.0):
        at = _y(tick, bottom)
        parts.append(
            f'<line class="{"grid" if tick else "axis"}" x1="{number(_LEFT)}" '
            f'x2="{number(_WIDTH - _RIGHT)}" y1="{number(at)}" y2="{number(at)}"/>'
            f'<text class="tick" x="{number(_LEFT - 7)}" y="{number(at + 3.5)}" '
            f'text-anchor="end">{tick:.0%}</text>'
        )
    parts += [
        f'<text class="tick" x="{number(_LEFT + i * step)}" y="{number(bottom + 18)}" '
        f'text-anchor="middle">{words}</text>'
        for i, (words, _) in enumerate(ages)
    ]
    parts.append(
        f'<text class="tick" x="{number((_LEFT + _WIDTH - _RIGHT) / 2)}" '
        f'y="{number(_HEIGHT - 6)}" text-anchor="middle">time since the prediction</text>'
    )
    return "".join(parts)
