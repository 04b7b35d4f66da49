"""Pictures of labelled outcomes: confusion matrix, curves, reliability, errors by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from driftgauge.quality.curves import Curve
from driftgauge.quality.pictures import ErrorBin, QualityPictures, ReliabilityBin
from driftgauge.quality.verdict import QualityVerdict
from driftgauge.report.columns import LEGEND
from driftgauge.report.markup import escape, shorten
from driftgauge.report.svg import figure, nice_ticks, number
from driftgauge.report.wording import count, plural, quantity, share

_WIDTH: Final = 440.0
_SIDE: Final = 300.0
_LEFT, _TOP, _BOTTOM = 52.0, 8.0, 44.0
_TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST_CLASSES: Final = 12
_LONGEST: Final = 14
# The darkest cell still lets its text be read.
_DARKEST: Final = 0.55
_MOST_DOT: Final = 9.0


def pictures_section(quality: QualityVerdict) -> str:
    """Return a card for each picture; empty without labels."""
    now, before = quality.pictures, quality.baseline_pictures
    if now is None:
        return ""
    old = before or QualityPictures()
    cards = []
    if now.confusion:
        cards.append(_card("Confusion matrix", confusion_chart(now, old), _confusion_note(now)))
    if now.reliability:
        cards.append(
            _card(
                "Reliability of the scores",
                LEGEND + reliability_chart(now.reliability, old.reliability),
                "What scores promise against what labels show, in ten bins; larger dots hold more "
                "rows. On the diagonal scores are probabilities.",
            )
        )
    if now.roc.x:
        cards.append(
            _card(
                "ROC curve",
                LEGEND
                + curve_chart(
                    now.roc, old.roc, key="roc", title="ROC curve", diagonal=True,
                    axes=("false positive rate", "true positive rate"),
                ),
                "On the diagonal scores say nothing of labels.",
            )
        )  # fmt: skip
    if now.precision_recall.x:
        cards.append(
            _card(
                "Precision and recall",
                LEGEND
                + curve_chart(
                    now.precision_recall, old.precision_recall, key="prc",
                    title="Precision-recall curve", diagonal=False, axes=("recall", "precision"),
                ),
                "Over all thresholds of the score.",
            )
        )  # fmt: skip
    if now.errors:
        cards.append(
            _card(
                "Error by size of the prediction",
                LEGEND + error_chart(now.errors, old.errors),
                "Mean absolute error of the predictions between two bounds, in the labels' unit.",
            )
        )
    if not cards:
        return ""
    return f'<div class="pairs outcomes">{"".join(cards)}</div>'


def _card(heading: str, chart: str, caption: str) -> str:
    return (
        f'<article class="card"><header><h3>{heading}</h3></header>{chart}'
        f'<p class="caption">{caption}</p></article>'
    )


def _confusion_note(pictures: QualityPictures) -> str:
    note = "Rows are labels, columns predictions: share of the label's rows"
    note += ", baseline below" if len(pictures.classes) <= 4 else ""
    if len(pictures.classes) > _MOST_CLASSES:
        note += f". The {_MOST_CLASSES} classes with most labels, of {len(pictures.classes):,}"
    return f"{note}."


def confusion_chart(pictures: QualityPictures, baseline: QualityPictures) -> str:
    """Draw a confusion matrix: darker cells hold a larger share of the label's rows."""
    totals = [sum(row) for row in pictures.confusion]
    order = sorted(range(len(totals)), key=lambda i: -totals[i])[:_MOST_CLASSES]
    shown = sorted(order)
    names = [shorten(pictures.classes[i], _LONGEST) for i in shown]
    left = min(124.0, 22.0 + max(len(name) for name in names) * 7.4)
    cell = (_WIDTH - left - 4) / len(shown)
    tall = min(cell, 120.0 if len(shown) == 2 else 74.0 if len(shown) <= 4 else 44.0)
    head = 42.0
    parts = [
        f'<text class="tick" x="{number(left + (_WIDTH - left) / 2)}" y="11" '
        'text-anchor="middle">predicted</text>',
    ]
    for column, name in enumerate(names):
        fitting = shorten(name, max(2, int(cell / 7.0)))
        parts.append(
            f'<text class="label" x="{number(left + (column + 0.5) * cell)}" y="30" '
            f'text-anchor="middle">{escape(fitting)}</text>'
        )
    for line, i in enumerate(shown):
        y = head + line * tall
        parts.append(
            f'<text class="label" x="{number(left - 10)}" y="{number(y + tall / 2 + 4)}" '
            f'text-anchor="end">{escape(names[line])}</text>'
        )
        parts += [
            _cell(pictures, baseline, i, j, x=left + column * cell, y=y, size=(cell, tall))
            for column, j in enumerate(shown)
        ]
    return figure(
        key="confusion",
        width=_WIDTH,
        height=head + len(shown) * tall + 4,
        title="Confusion matrix",
        description="Rows by label and prediction. "
        + "; ".join(
            f"{pictures.classes[i]} predicted as {pictures.classes[j]}: "
            f"{count(pictures.confusion[i][j])}"
            for i in shown[:4]
            for j in shown[:4]
        ),
        body="".join(parts),
        style="chart",
    )


def _cell(
    now: QualityPictures,
    before: QualityPictures,
    label: int,
    predicted: int,
    *,
    x: float,
    y: float,
    size: tuple[float, float],
) -> str:
    width, height = size
    rows = now.confusion[label][predicted]
    part = _part(now, label, predicted)
    old = _part(before, label, predicted)
    names = (escape(shorten(now.classes[k], 80)) for k in (label, predicted))
    said = "label {}, predicted {}".format(*names)
    was = "" if old is None else f", baseline {escape(share(old))}"
    middle = x + width / 2
    texts = [(share(part) if part is not None else "", "strong")]
    if len(now.classes) <= 4:
        texts.append((plural(rows, "row"), "cell-note"))
        if old is not None:
            texts.append((f"baseline {share(old)}", "cell-note"))
    first = y + height / 2 + 4 - 8 * (len(texts) - 1)
    lines = "".join(
        f'<text class="{style}" x="{number(middle)}" y="{number(first + 16 * i)}" '
        f'text-anchor="middle">{escape(text)}</text>'
        for i, (text, style) in enumerate(texts)
        if width >= 38
    )
    right = "hit" if label == predicted else "miss"
    return (
        f"<g><title>{said}: {count(rows)} rows, {escape(share(part or 0.0))} of the label{was}"
        f'</title><rect class="cell {right}" x="{number(x + 1)}" y="{number(y + 1)}" '
        f'width="{number(width - 2)}" height="{number(height - 2)}" rx="3" '
        f'fill-opacity="{0.04 + (part or 0.0) * _DARKEST:.2f}"/>{lines}</g>'
    )


def _part(pictures: QualityPictures, label: int, predicted: int) -> float | None:
    """Return which share of a label's rows has a prediction; None without rows."""
    if label >= len(pictures.confusion):
        return None
    row = pictures.confusion[label]
    return row[predicted] / sum(row) if sum(row) else None


def _x(value: float) -> float:
    return _LEFT + value * (_WIDTH - _LEFT - 10)


def _y(value: float) -> float:
    return _SIDE - _BOTTOM - value * (_SIDE - _BOTTOM - _TOP)


def _unit_axes(axes: tuple[str, str]) -> str:
    parts = []
    for tick in _TICKS:
        style = "axis" if tick == 0 else "grid"
        parts.append(
            f'<line class="{style}" x1="{number(_x(0))}" x2="{number(_x(1))}" '
            f'y1="{number(_y(tick))}" y2="{number(_y(tick))}"/>'
            f'<text class="tick" x="{number(_LEFT - 7)}" y="{number(_y(tick) + 3.5)}" '
            f'text-anchor="end">{tick:g}</text>'
            f'<text class="tick" x="{number(_x(tick))}" y="{number(_SIDE - _BOTTOM + 16)}" '
            f'text-anchor="middle">{tick:g}</text>'
        )
    return "".join(parts) + _axis_names(axes)


def _axis_names(axes: tuple[str, str]) -> str:
    middle = (_y(0) + _y(1)) / 2
    return (
        f'<text class="tick" x="{number((_x(0) + _x(1)) / 2)}" y="{number(_SIDE - 10)}" '
        f'text-anchor="middle">{axes[0]}</text>'
        f'<text class="tick" x="12" y="{number(middle)}" text-anchor="middle" '
        f'transform="rotate(-90 12 {number(middle)})">{axes[1]}</text>'
    )


def _diagonal() -> str:
    return (
        f'<path class="since" d="M{number(_x(0))} {number(_y(0))}'
        f'L{number(_x(1))} {number(_y(1))}"/>'
    )


def curve_chart(
    window: Curve,
    baseline: Curve,
    *,
    key: str,
    title: str,
    diagonal: bool,
    axes: tuple[str, str],
) -> str:
    """Draw a curve in the unit square, the baseline's beside it if it is known."""
    body = _unit_axes(axes)
    if diagonal:
        body += _diagonal()
    for style, curve in (("base-line", baseline), ("window-line", window)):
        if curve.x:
            points = "L".join(
                f"{number(_x(a))} {number(_y(b))}" for a, b in zip(curve.x, curve.y, strict=True)
            )
            body += f'<path class="{style}" d="M{points}"/>'
    return figure(
        key=key,
        width=_WIDTH,
        height=_SIDE,
        title=f"{title}, baseline and window",
        description=f"{len(window.x)} points; x is the {axes[0]}, y the {axes[1]}",
        body=body,
        style="chart",
    )


def reliability_chart(window: Sequence[ReliabilityBin], baseline: Sequence[ReliabilityBin]) -> str:
    """Draw what labels show against what scores promise."""
    parts = [
        _unit_axes(("mean score", "share of events")),
        _diagonal(),
    ]
    for style, dot, bins in (
        ("base-line", "base-dot", baseline),
        ("window-line", "window-dot", window),
    ):
        if not bins:
            continue
        most = max(one.rows for one in bins)
        points = "L".join(
            f"{number(_x(one.mean_score))} {number(_y(one.event_share))}" for one in bins
        )
        parts.append(f'<path class="{style}" d="M{points}"/>')
        parts += [
            f'<circle class="{dot}" cx="{number(_x(one.mean_score))}" '
            f'cy="{number(_y(one.event_share))}" '
            f'r="{number(2.0 + (_MOST_DOT - 2.0) * (one.rows / most) ** 0.5 * 0.7)}"><title>'
            f"{'window' if dot == 'window-dot' else 'baseline'}: scores {one.low:.1f} to "
            f"{one.high:.1f}, {plural(one.rows, 'row')}, mean score {one.mean_score:.3f}, events "
            f"{escape(share(one.event_share))}</title></circle>"
            for one in bins
        ]
    return figure(
        key="reliability",
        width=_WIDTH,
        height=_SIDE,
        title="Reliability of the scores, baseline and window",
        description="; ".join(
            f"mean score {one.mean_score:.2f}: events {share(one.event_share)}" for one in window
        ),
        body="".join(parts),
        style="chart",
    )


def error_chart(window: Sequence[ErrorBin], baseline: Sequence[ErrorBin]) -> str:
    """Draw the mean absolute error of predictions by their size, as pairs of upright bars."""
    before = {one.low: one.mean_absolute_error for one in baseline}
    top = max([1e-300, *(one.mean_absolute_error for one in (*window, *baseline))]) * 1.05
    slot = (_x(1) - _x(0)) / len(window)
    thick = min(24.0, slot * 0.38)
    unit = (_SIDE - _BOTTOM - _TOP) / top
    parts = []
    for tick in nice_ticks(0.0, top, 4):
        at = number(_y(0) - tick * unit)
        parts.append(
            f'<line class="{"axis" if tick == 0 else "grid"}" x1="{number(_x(0))}" '
            f'x2="{number(_x(1))}" y1="{at}" y2="{at}"/><text class="tick" '
            f'x="{number(_LEFT - 7)}" y="{number(_y(0) - tick * unit + 3.5)}" '
            f'text-anchor="end">{quantity(tick)}</text>'
        )
    every = max(1, -(-len(window) // 6))
    for index, one in enumerate(window):
        middle = _x(0) + (index + 0.5) * slot
        bars = [("window-bar", middle + 0.5, one.mean_absolute_error)]
        if one.low in before:
            bars.append(("base-bar", middle - thick - 0.5, before[one.low]))
        drawn = "".join(
            f'<rect class="{style}" x="{number(at)}" y="{number(_y(0) - value * unit)}" '
            f'width="{number(thick)}" height="{number(value * unit)}"/>'
            for style, at, value in bars
        )
        was = f", baseline {quantity(before[one.low])}" if one.low in before else ""
        parts.append(
            f"<g><title>predictions {_bounds(one)}: {quantity(one.mean_absolute_error)}{was}, "
            f"{plural(one.rows, 'row')}</title>{drawn}</g>"
        )
        if index and index % every == 0 and one.low is not None:
            parts.append(
                f'<text class="tick" x="{number(middle - slot / 2)}" '
                f'y="{number(_SIDE - _BOTTOM + 16)}" text-anchor="middle">'
                f"{quantity(float(f'{one.low:.3g}'))}</text>"
            )
    return figure(
        key="errors",
        width=_WIDTH,
        height=_SIDE,
        title="Mean absolute error by size of the prediction, baseline and window",
        description="; ".join(
            f"{_bounds(one)}: {quantity(one.mean_absolute_error)}" for one in window
        ),
        body="".join(parts) + _axis_names(("prediction", "mean absolute error")),
        style="chart",
    )


def _bounds(one: ErrorBin) -> str:
    if one.low is None:
        return "of any size" if one.high is None else f"below {quantity(one.high)}"
    if one.high is None:
        return f"from {quantity(one.low)}"
    return f"{quantity(one.low)} to {quantity(one.high)}"
