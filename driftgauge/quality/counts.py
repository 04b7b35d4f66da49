"""Outcomes as counts that add up: all that any measure of quality needs of a window.

Classification is counted by label and predicted class, scores by fixed bins for each label;
errors are summed exactly. The counts of a union of rows are the sum of the counts, to the last
bit, in any order and grouping.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import QualityError
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.scores import (
    BINS,
    EVENT,
    OTHER,
    RELIABILITY_BINS,
    UNKNOWN,
    bins_of,
)
from driftgauge.quality.spec import OutcomeSpec, category_index
from driftgauge.quality.sums import grouped_sums

# Fourth powers of larger errors would leave the range of float64.
LARGEST_NUMBER = 1e70
# Probabilities are clipped so far from 0 and 1 in the logarithmic loss.
_SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
_ROUNDING = 1e-6
_UNUSABLE, _UNSCORED, _CORE = range(3)
# Exact sums of a classification, behind one sum of scores for each reliability bin.
_LOSSES = ("squared", "squared_2", "log", "log_2")
# Exact sums of a regression over all rows, behind those of each bin; d is label - center.
_MOMENTS = ("error", "d", "d2", "d3", "d4", "e2d", "e2d2", "prediction")
# Exact sums of a regression in each bin of the prediction.
_POWERS = 3


class Losses(NamedTuple):
    """Exact sums over labelled rows with scores, in units of 2**-1074.

    The squared loss is the Brier score's, the logarithmic one is in nats; ``_2``: of squares.
    """

    squared: int
    squared_2: int
    log: int
    log_2: int


class Moments(NamedTuple):
    """Exact sums over labelled rows, in units of 2**-1074; d: label less the center, e: error."""

    error: int
    d: int
    d2: int
    d3: int
    d4: int
    e2d: int
    e2d2: int
    prediction: int


@dataclass(frozen=True, kw_only=True, eq=False)
class OutcomeCounts:
    """Counts and exact sums of some outcomes. ``a + b`` is exact.

    Attributes
    ----------
    spec : OutcomeSpec
        What is counted.
    tallies : ndarray of int64, shape (1 + segments, cells)
        One line for all rows, then one for each segment.
    sums : tuple of tuple of int
        Exact sums in units of 2**-1074, in the same lines.
    histogram : ndarray of int64, shape (scores, 3, 2, BINS)
        Rows by score: label is another class, is the score's class, is unknown; the score's class
        is not predicted, is predicted; bin. One score for binary, one a class for multiclass,
        none for regression and for a segment.
    """

    spec: OutcomeSpec
    tallies: NDArray[np.int64]
    sums: tuple[tuple[int, ...], ...]
    histogram: NDArray[np.int64]

    @classmethod
    def empty(cls, spec: OutcomeSpec) -> OutcomeCounts:
        """Return the counts of no rows."""
        cells, sums, scores = shape_of(spec)
        lines = 1 + len(spec.segment_names)
        return cls(
            spec=spec,
            tallies=np.zeros((lines, cells), dtype=np.int64),
            sums=((0,) * sums,) * lines,
            histogram=np.zeros((scores, 3, 2, BINS), dtype=np.int64),
        )

    def __add__(self, other: OutcomeCounts) -> OutcomeCounts:
        if self.spec.digest != other.spec.digest:
            raise QualityError(
                "these counts were made by two baselines and cannot be added: count the older "
                "outcomes again"
            )
        return OutcomeCounts(
            spec=self.spec,
            tallies=self.tallies + other.tallies,
            sums=tuple(
                tuple(a + b for a, b in zip(mine, theirs, strict=True))
                for mine, theirs in zip(self.sums, other.sums, strict=True)
            ),
            histogram=self.histogram + other.histogram,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OutcomeCounts):
            return NotImplemented
        return (
            self.spec.digest == other.spec.digest
            and self.sums == other.sums
            and np.array_equal(self.tallies, other.tallies)
            and np.array_equal(self.histogram, other.histogram)
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @property
    def unusable(self) -> int:
        """Rows without a usable prediction, or with a label that is none of the classes."""
        return int(self.tallies[0, _UNUSABLE])

    @property
    def unscored(self) -> int:
        """Usable rows of a classification without probabilities between 0 and 1."""
        return int(self.tallies[0, _UNSCORED])

    @property
    def rows(self) -> int:
        """Usable rows, whether labelled or not."""
        if self.spec.problem == "regression":
            return int(self.bins.sum())
        return int(self._by_label.sum())

    @property
    def labelled(self) -> int:
        """Usable rows with a label."""
        if self.spec.problem == "regression":
            return int(self.bins[1].sum())
        return int(self.confusion.sum())

    @property
    def coverage(self) -> float:
        """Share of the usable rows that have a label; 0 without rows."""
        return self.labelled / self.rows if self.rows else 0.0

    @property
    def _by_label(self) -> NDArray[np.int64]:
        k = len(self.spec.classes)
        return self.tallies[0, _CORE : _CORE + (k + 1) * k].reshape(k + 1, k)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Labelled rows by label and predicted class, shape (classes, classes)."""
        counts: NDArray[np.int64] = self._by_label[:-1]
        return counts

    @property
    def unlabelled(self) -> NDArray[np.int64]:
        """Rows without a label by predicted class, shape (classes,)."""
        counts: NDArray[np.int64] = self._by_label[-1]
        return counts

    @property
    def reliability(self) -> NDArray[np.int64]:
        """Labelled rows with scores in ten equal bins: all, and those with the event.

        Binary: the score and event of the positive class; multiclass: the probability of the
        predicted class, and whether it was right. Shape (2, 10).
        """
        k = len(self.spec.classes)
        start = _CORE + (k + 1) * k
        return self.tallies[0, start:].reshape(2, RELIABILITY_BINS)

    @property
    def score_sums(self) -> tuple[int, ...]:
        """Exact sums of the scores of ``reliability`` in each bin."""
        return self.sums[0][:RELIABILITY_BINS]

    @property
    def losses(self) -> Losses:
        """Exact sums of the losses of the labelled rows that have scores."""
        return Losses(*self.sums[0][RELIABILITY_BINS:])

    @property
    def bins(self) -> NDArray[np.int64]:
        """Regression: rows by bin of the prediction, without and with a label, shape (2, bins)."""
        return self.tallies[0, _CORE:].reshape(2, -1)

    @property
    def powers(self) -> tuple[tuple[int, ...], ...]:
        """Regression: exact sums of abs(e), e^2 and e^4 of each bin of the prediction."""
        width = len(self.spec.cuts) + 1
        return tuple(self.sums[0][i * width : (i + 1) * width] for i in range(_POWERS))

    @property
    def moments(self) -> Moments:
        """Regression: exact sums over all labelled rows."""
        return Moments(*self.sums[0][_POWERS * (len(self.spec.cuts) + 1) :])

    @property
    def has_scores(self) -> bool:
        """Whether any row is in the histogram of scores."""
        return bool(self.histogram.any())

    @cached_property
    def segments(self) -> dict[tuple[str, str], OutcomeCounts]:
        """The counts of each segment, by column and category, without histograms of scores."""
        none = np.zeros((0, 3, 2, BINS), dtype=np.int64)
        return {
            name: OutcomeCounts(
                spec=self.spec.whole,
                tallies=self.tallies[line : line + 1],
                sums=self.sums[line : line + 1],
                histogram=none,
            )
            for line, name in enumerate(self.spec.segment_names, 1)
        }


def shape_of(spec: OutcomeSpec) -> tuple[int, int, int]:
    """Return how many tallies and sums a line has, and how many scores have a histogram."""
    if spec.problem == "regression":
        bins = len(spec.cuts) + 1
        return _CORE + 2 * bins, _POWERS * bins + len(_MOMENTS), 0
    k = len(spec.classes)
    cells = _CORE + (k + 1) * k + 2 * RELIABILITY_BINS
    return cells, RELIABILITY_BINS + len(_LOSSES), 1 if spec.problem == "binary" else k


def count_outcomes(spec: OutcomeSpec, outcomes: Outcomes) -> OutcomeCounts:
    """Count outcomes.

    Parameters
    ----------
    spec : OutcomeSpec
        The baseline's.
    outcomes : Outcomes
        Rows of any number. A segment column that they lack has no rows in any segment.

    Raises
    ------
    QualityError
        If the outcomes are of another problem or of other classes.

    Examples
    --------
    >>> outcomes = Outcomes(
    ...     problem="binary", classes=("no", "yes"), labels=np.array([0.0, 1.0, np.nan]),
    ...     predictions=np.array([0.0, 0.0, 1.0]), probabilities=None, segments={},
    ... )
    >>> counts = count_outcomes(OutcomeSpec(problem="binary", classes=("no", "yes")), outcomes)
    >>> counts.confusion.tolist(), counts.unlabelled.tolist(), counts.rows
    ([[1, 0], [1, 0]], [0, 1], 3)
    """
    if (outcomes.problem, outcomes.classes) != (spec.problem, spec.classes):
        raise QualityError(
            f"outcomes of {outcomes.problem} with classes {outcomes.classes}, but the baseline is "
            f"of {spec.problem} with classes {spec.classes}"
        )
    slices = [(np.zeros(outcomes.rows, dtype=np.intp), 1)]
    for name, words in spec.segments.items():
        column = outcomes.segments.get(name)
        index = np.full(outcomes.rows, -1) if column is None else category_index(column, words)
        slices.append((index, len(words)))
    counting = _count_regression if spec.problem == "regression" else _count_classes
    return counting(spec, outcomes, slices)


def sum_counts(spec: OutcomeSpec, parts: Iterable[OutcomeCounts]) -> OutcomeCounts:
    """Add counts; the sum of none is empty."""
    total = OutcomeCounts.empty(spec)
    for part in parts:
        total += part
    return total


_Slices = list[tuple[NDArray[np.intp], int]]


def _tally(keys: NDArray[np.intp], slices: _Slices, width: int) -> NDArray[np.int64]:
    """Count keys in every line; a negative key is not counted."""
    lines = []
    for index, count in slices:
        inside = (index >= 0) & (keys >= 0)
        flat = np.bincount(index[inside] * width + keys[inside], minlength=count * width)
        lines.append(flat.reshape(count, width))
    return np.concatenate(lines)


def _sum(
    values: NDArray[np.float64], keys: NDArray[np.intp], slices: _Slices, width: int
) -> list[list[int]]:
    """Sum values by key in every line; values with a negative key are left out."""
    lines = []
    for index, count in slices:
        groups = np.where((index >= 0) & (keys >= 0), index * width + keys, -1)
        flat = grouped_sums(values, groups, count * width)
        lines += [flat[i * width : (i + 1) * width] for i in range(count)]
    return lines


def _join(parts: list[list[list[int]]]) -> tuple[tuple[int, ...], ...]:
    """Put the sums of each line together."""
    return tuple(tuple(v for one in line for v in one) for line in zip(*parts, strict=True))


def _flag(where: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.where(where, 0, -1)


def _count_regression(spec: OutcomeSpec, outcomes: Outcomes, slices: _Slices) -> OutcomeCounts:
    labels, predictions = outcomes.labels, outcomes.predictions
    arrived = ~np.isnan(labels)
    with np.errstate(invalid="ignore"):
        usable = (np.abs(predictions) <= LARGEST_NUMBER) & (
            ~arrived | (np.abs(labels) <= LARGEST_NUMBER)
        )
    known = usable & arrived
    bins = len(spec.cuts) + 1
    cell = np.searchsorted(np.array(spec.cuts), predictions, side="right")
    shown = np.where(usable, cell + bins * arrived, -1)
    tallies = np.concatenate(
        [
            _tally(_flag(~usable), slices, 1),
            np.zeros((1 + len(spec.segment_names), 1), dtype=np.int64),
            _tally(shown, slices, 2 * bins),
        ],
        axis=1,
    )
    y, p = np.where(known, labels, 0.0), np.where(known, predictions, 0.0)
    e, d = y - p, np.where(known, y - spec.center, 0.0)
    e2, d2 = e * e, d * d
    within, overall = np.where(known, cell, -1), _flag(known)
    moments = (e, d, d2, d2 * d, d2 * d2, e2 * d, e2 * d2, p)
    return OutcomeCounts(
        spec=spec,
        tallies=tallies,
        sums=_join(
            [
                *(_sum(v, within, slices, bins) for v in (np.abs(e), e2, e2 * e2)),
                *(_sum(v, overall, slices, 1) for v in moments),
            ]
        ),
        histogram=np.zeros((0, 3, 2, BINS), dtype=np.int64),
    )


def _count_classes(spec: OutcomeSpec, outcomes: Outcomes, slices: _Slices) -> OutcomeCounts:
    k = len(spec.classes)
    label, label_ok = _class_index(outcomes.labels, k)
    predicted, predicted_ok = _class_index(outcomes.predictions, k)
    arrived = ~np.isnan(outcomes.labels)
    usable = predicted_ok & (label_ok | ~arrived)
    known = usable & arrived
    scores, valid = _scores(outcomes)
    scored = usable & valid
    rows = np.where(arrived, label, k)
    score, event, squared, log = _row_losses(outcomes, scores, label, predicted, scored & known)
    coarse = np.minimum((score * RELIABILITY_BINS).astype(np.intp), RELIABILITY_BINS - 1)
    judged = np.where(scored & known, coarse, -1)
    tallies = np.concatenate(
        [
            _tally(_flag(~usable), slices, 1),
            _tally(_flag(usable & ~scored), slices, 1),
            _tally(np.where(usable, rows * k + predicted, -1), slices, (k + 1) * k),
            _tally(judged, slices, RELIABILITY_BINS),
            _tally(np.where(event, judged, -1), slices, RELIABILITY_BINS),
        ],
        axis=1,
    )
    overall = _flag(scored & known)
    losses = (squared, squared * squared, log, log * log)
    return OutcomeCounts(
        spec=spec,
        tallies=tallies,
        sums=_join(
            [
                _sum(score, judged, slices, RELIABILITY_BINS),
                *(_sum(v, overall, slices, 1) for v in losses),
            ]
        ),
        histogram=_histogram(spec, scores, rows, predicted, scored),
    )


def _class_index(
    values: NDArray[np.float64], classes: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the classes, 0 where there is none, and where there is one."""
    with np.errstate(invalid="ignore"):
        valid = (values >= 0) & (values < classes) & (values == np.floor(values))
    return np.where(valid, values, 0.0).astype(np.intp), valid


def _scores(outcomes: Outcomes) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return probabilities, shape (rows, classes), and which rows have them all."""
    given = outcomes.probabilities
    rows, k = outcomes.rows, len(outcomes.classes)
    if given is None:
        return np.zeros((rows, k)), np.zeros(rows, dtype=np.bool_)
    each = given if given.ndim == 2 else np.stack([1.0 - given, given], axis=1)
    with np.errstate(invalid="ignore"):
        inside = (each >= -_ROUNDING) & (each <= 1.0 + _ROUNDING)
    valid: NDArray[np.bool_] = np.all(inside, axis=1)
    return np.clip(np.where(valid[:, None], each, 0.0), 0.0, 1.0), valid


def _row_losses(
    outcomes: Outcomes,
    scores: NDArray[np.float64],
    label: NDArray[np.intp],
    predicted: NDArray[np.intp],
    judged: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Return each row's score, whether its event happened, its squared and logarithmic loss."""
    rows = np.arange(outcomes.rows)
    if outcomes.problem == "binary":
        score, event = scores[:, 1], label == 1
        squared = (score - event) ** 2
    else:
        score, event = scores[rows, predicted], label == predicted
        truth = np.zeros_like(scores)
        truth[rows, label] = 1.0
        squared = ((scores - truth) ** 2).sum(axis=1)
    log = -np.log(np.clip(scores[rows, label], _SMALLEST_PROBABILITY, 1.0))
    return score, event & judged, np.where(judged, squared, 0.0), np.where(judged, log, 0.0)


def _histogram(
    spec: OutcomeSpec,
    scores: NDArray[np.float64],
    rows: NDArray[np.intp],
    predicted: NDArray[np.intp],
    scored: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Count scores; ``rows`` holds the label, or the number of classes where there is none."""
    classes = (1,) if spec.problem == "binary" else range(len(spec.classes))
    counted = np.zeros((len(classes), 3, 2, BINS), dtype=np.int64)
    label, chosen, given = rows[scored], predicted[scored], scores[scored]
    for i, k in enumerate(classes):
        state = np.where(label == len(spec.classes), UNKNOWN, np.where(label == k, EVENT, OTHER))
        keys = (state * 2 + (chosen == k)) * BINS + bins_of(given[:, k])
        counted[i] = np.bincount(keys, minlength=6 * BINS).reshape(3, 2, BINS)
    return counted
