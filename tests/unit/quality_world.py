"""Outcomes for the tests of model quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts
from driftgauge.quality.outcomes import Outcomes

Floats = NDArray[np.float64]


def words(values: list[str]) -> Column:
    """Return a column of words."""
    known = sorted(set(values))
    return Column(
        numbers=np.full(len(values), np.nan),
        types=TypeCounts(text=len(values)),
        codes=np.array([known.index(value) for value in values], dtype=np.int32),
        words=tuple(known),
    )


def binary(
    rows: int,
    *,
    seed: int,
    bias: float = 0.0,
    shift: float = 0.0,
    segment: bool = False,
    segment_bias: float = 0.0,
) -> Outcomes:
    """Return calibrated scores and labels; ``bias`` moves the labels' log odds off the scores'.

    ``shift`` moves the scores; ``segment_bias`` is the bias of the segment ``b`` alone.
    """
    rng = np.random.default_rng(seed)
    odds = rng.normal(shift, 2.0, rows)
    score = 1 / (1 + np.exp(-odds))
    plan = rng.choice(["a", "b", "c"], rows)
    off = bias + np.where(plan == "b", segment_bias, 0.0)
    label = (rng.random(rows) < 1 / (1 + np.exp(-odds - off))).astype(np.float64)
    return Outcomes(
        problem="binary",
        classes=("no", "yes"),
        labels=label,
        predictions=(score >= 0.5).astype(np.float64),
        probabilities=score,
        segments={"plan": words(plan.tolist())} if segment else {},
    )


def multiclass(rows: int, *, seed: int, noise: float = 0.0) -> Outcomes:
    """Return calibrated probabilities of three classes; a share of the labels is random."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0.0, 1.5, (rows, 3)) + np.array([0.5, 0.0, -0.5])
    scores = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    label = (rng.random(rows)[:, None] > np.cumsum(scores, axis=1)).sum(axis=1)
    label = np.where(rng.random(rows) < noise, rng.integers(0, 3, rows), label)
    return Outcomes(
        problem="multiclass",
        classes=("x", "y", "z"),
        labels=label.astype(np.float64),
        predictions=scores.argmax(axis=1).astype(np.float64),
        probabilities=scores,
        segments={},
    )


def regression(
    rows: int, *, seed: int, scale: float = 1.0, offset: float = 0.0, center: float = 0.0
) -> Outcomes:
    """Return predictions whose error grows with their size; ``scale`` makes all errors larger."""
    rng = np.random.default_rng(seed)
    prediction = rng.gamma(4.0, 1.0, rows) + offset
    error = rng.normal(0.0, 0.2 * prediction * scale)
    return Outcomes(
        problem="regression",
        classes=(),
        labels=prediction + error + center,
        predictions=prediction + center,
        probabilities=None,
        segments={},
    )


def without_labels(outcomes: Outcomes, *, keep: int = 0) -> Outcomes:
    """Return the outcomes with the labels of the first ``keep`` rows only."""
    labels = outcomes.labels.copy()
    labels[keep:] = np.nan
    return Outcomes(
        problem=outcomes.problem,
        classes=outcomes.classes,
        labels=labels,
        predictions=outcomes.predictions,
        probabilities=outcomes.probabilities,
        segments=outcomes.segments,
    )
