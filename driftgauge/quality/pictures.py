"""What is drawn of a window's outcomes: confusion matrix, curves, reliability, errors by size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.curves import Curve, precision_recall_curve, roc_curve
from driftgauge.quality.scores import EVENT, OTHER, RELIABILITY_BINS
from driftgauge.quality.sums import mean_of

# Enough for a picture; a verdict is kept for every window.
_MOST_POINTS = 60
_DIGITS = 4
_EMPTY = Curve(x=(), y=())


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Labelled rows with scores between two bounds.

    Attributes
    ----------
    mean_score : float
        What the scores promise.
    event_share : float
        What labels show: binary, the share of positives; multiclass, that of right predictions.
    """

    low: float
    high: float
    rows: int
    mean_score: float
    event_share: float


@dataclass(frozen=True, kw_only=True)
class ErrorBin:
    """Labelled rows of a regression whose predictions are between two bounds; None: no bound."""

    low: float | None
    high: float | None
    rows: int
    mean_absolute_error: float


@dataclass(frozen=True, kw_only=True)
class QualityPictures:
    """What can be drawn of labelled outcomes.

    Attributes
    ----------
    confusion : tuple of tuple of int
        Rows are labels, columns predictions; empty for regression.
    roc, precision_recall : Curve
        At most 60 points; empty but for binary outcomes with scores.
    reliability : tuple of ReliabilityBin
        Of bins with rows; empty without scores.
    errors : tuple of ErrorBin
        Of bins with rows; only for regression.
    """

    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: Curve = _EMPTY
    precision_recall: Curve = _EMPTY
    reliability: tuple[ReliabilityBin, ...] = ()
    errors: tuple[ErrorBin, ...] = ()


def picture_quality(counts: OutcomeCounts) -> QualityPictures | None:
    """Return what can be drawn of labelled outcomes; None without any.

    Examples
    --------
    >>> from driftgauge.quality.counts import count_outcomes
    >>> from driftgauge.quality.outcomes import Outcomes
    >>> from driftgauge.quality.spec import OutcomeSpec
    >>> outcomes = Outcomes(
    ...     problem="binary", classes=("no", "yes"), labels=np.array([0.0, 1.0]),
    ...     predictions=np.array([0.0, 0.0]), probabilities=None, segments={},
    ... )
    >>> counts = count_outcomes(OutcomeSpec(problem="binary", classes=("no", "yes")), outcomes)
    >>> picture_quality(counts).confusion
    ((1, 0), (1, 0))
    """
    if not counts.labelled:
        return None
    if counts.spec.problem == "regression":
        return QualityPictures(errors=_errors(counts))
    roc = precision_recall = _EMPTY
    if counts.spec.problem == "binary" and counts.has_scores:
        histogram = counts.histogram[0].sum(axis=1)
        roc = _sketch(roc_curve(histogram[OTHER], histogram[EVENT]))
        precision_recall = _sketch(precision_recall_curve(histogram[OTHER], histogram[EVENT]))
    return QualityPictures(
        classes=counts.spec.classes,
        confusion=tuple(tuple(row) for row in counts.confusion.tolist()),
        roc=roc,
        precision_recall=precision_recall,
        reliability=_reliability(counts),
    )


def _sketch(curve: Curve) -> Curve:
    """Keep some points of a curve, whose points are at equal steps already, and both ends."""
    points = len(curve.x)
    kept = np.unique(np.linspace(0, max(0, points - 1), min(points, _MOST_POINTS)).round())
    chosen = kept.astype(int).tolist()
    return Curve(
        x=tuple(round(curve.x[i], _DIGITS) for i in chosen),
        y=tuple(round(curve.y[i], _DIGITS) for i in chosen),
    )


def _reliability(counts: OutcomeCounts) -> tuple[ReliabilityBin, ...]:
    rows, events = counts.reliability.tolist()
    return tuple(
        ReliabilityBin(
            low=i / RELIABILITY_BINS,
            high=(i + 1) / RELIABILITY_BINS,
            rows=rows[i],
            mean_score=mean_of(counts.score_sums[i], rows[i]),
            event_share=events[i] / rows[i],
        )
        for i in range(RELIABILITY_BINS)
        if rows[i]
    )


def _errors(counts: OutcomeCounts) -> tuple[ErrorBin, ...]:
    bounds = (None, *counts.spec.cuts, None)
    rows, absolute = counts.bins[1].tolist(), counts.powers[0]
    return tuple(
        ErrorBin(
            low=bounds[i],
            high=bounds[i + 1],
            rows=n,
            mean_absolute_error=mean_of(absolute[i], n),
        )
        for i, n in enumerate(rows)
        if n
    )
