"""Two models' predictions of the same requests as counts that add up.

Whether they agree, how far apart their scores are, and, where a label has arrived, which of them
was right. The counts of a union of pairs are the sum of the counts, to the last bit, in any order
and grouping.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ExperimentError
from driftgauge.experiments.pairs import PairCounts
from driftgauge.experiments.shadow_spec import DIFFERENCE_BINS, ShadowSpec
from driftgauge.quality.counts import LARGEST_NUMBER
from driftgauge.quality.outcomes import Outcomes, Problem
from driftgauge.quality.spec import category_index
from driftgauge.quality.sums import grouped_sums, mean_of

# What is known of a pair: no label; the label and who is right or, of numbers, closer to it.
UNLABELLED, PRODUCTION, SHADOW, BOTH, NEITHER = range(5)
_STATES: Final = 5
_ROUNDING: Final = 1e-6
_SUMS: Final = (
    *("difference", "difference_2", "distance", "production_loss", "shadow_loss"),
    *("excess", "excess_2"),
)
SUMS: Final = len(_SUMS)
# Unusable pairs; differing and agreeing pairs by state; pairs with scores; with scores and a label.
CELLS: Final = 1 + 2 * _STATES + 2


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedRows:
    """The counts of all pairs, or of those of one segment.

    Attributes
    ----------
    unusable : int
        Pairs in which a prediction is missing or strange.
    differing, agreeing : tuple of int
        Pairs by state: ``UNLABELLED``, ``PRODUCTION``, ``SHADOW``, ``BOTH``, ``NEITHER``.
    scored : int
        Pairs that both have scores.
    compared : int
        Of these, those with a label.
    sums : tuple of int
        Exact sums in units of 2**-1074: of the difference, shadow less production, of its square
        and of its size over scored pairs; of the losses of production and of the shadow, of the
        excess of the latter and of its square over compared pairs. The loss is the squared error
        of the probabilities, or the absolute error.
    """

    unusable: int
    differing: tuple[int, ...]
    agreeing: tuple[int, ...]
    scored: int
    compared: int
    sums: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Pairs of usable predictions."""
        return sum(self.differing) + sum(self.agreeing)

    @property
    def agreed(self) -> int:
        """Pairs that agree."""
        return sum(self.agreeing)

    @property
    def labelled(self) -> int:
        """Pairs with a label."""
        return self.rows - self.differing[UNLABELLED] - self.agreeing[UNLABELLED]

    @property
    def labelled_differing(self) -> int:
        """Pairs with a label that do not agree."""
        return sum(self.differing) - self.differing[UNLABELLED]

    def won_by(self, state: int) -> int:
        """Return the pairs in one state, agreeing or not."""
        return self.differing[state] + self.agreeing[state]

    def mean(self, name: str) -> float | None:
        """Return the mean of one of the sums; None without rows.

        Parameters
        ----------
        name : str
            ``difference``, ``distance``, ``production_loss``, ``shadow_loss`` or ``excess``.
        """
        place = _SUMS.index(name)
        rows = self.scored if place < _SUMS.index("production_loss") else self.compared
        return mean_of(self.sums[place], rows) if rows else None

    def moments(self, name: str) -> tuple[int, int, int]:
        """Return the rows, sum and sum of squares of ``difference`` or ``excess``."""
        place = _SUMS.index(name)
        rows = self.scored if name == "difference" else self.compared
        return rows, self.sums[place], self.sums[_SUMS.index(f"{name}_2")]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadowCounts:
    """Counts and exact sums of some pairs. ``a + b`` is exact.

    Attributes
    ----------
    spec : ShadowSpec
        What is counted.
    pairing : PairCounts
        What became of the records.
    tallies : ndarray of int64, shape (1 + segments, CELLS)
        One line for all pairs, then one for each segment.
    sums : tuple of tuple of int
        Exact sums in units of 2**-1074, in the same lines.
    histogram : ndarray of int64, shape (2, DIFFERENCE_BINS)
        Pairs by difference of the scores, shadow less production: those that differ, those that
        agree.
    transitions : ndarray of int64, shape (5, classes, classes)
        Pairs by state, production's class and the shadow's; no classes for regression.
    """

    spec: ShadowSpec
    pairing: PairCounts
    tallies: NDArray[np.int64]
    sums: tuple[tuple[int, ...], ...]
    histogram: NDArray[np.int64]
    transitions: NDArray[np.int64]

    @classmethod
    def empty(cls, spec: ShadowSpec) -> ShadowCounts:
        """Return the counts of no pairs."""
        lines, k = 1 + len(spec.segment_names), len(spec.classes)
        return cls(
            spec=spec,
            pairing=PairCounts(),
            tallies=np.zeros((lines, CELLS), dtype=np.int64),
            sums=((0,) * SUMS,) * lines,
            histogram=np.zeros((2, DIFFERENCE_BINS), dtype=np.int64),
            transitions=np.zeros((_STATES, k, k), dtype=np.int64),
        )

    def __add__(self, other: ShadowCounts) -> ShadowCounts:
        if self.spec.digest != other.spec.digest:
            raise ExperimentError(
                "these pairs were counted by other classes, segments or tolerances and cannot be "
                "added: count the older ones again"
            )
        return ShadowCounts(
            spec=self.spec,
            pairing=self.pairing + other.pairing,
            tallies=self.tallies + other.tallies,
            sums=tuple(
                tuple(a + b for a, b in zip(mine, theirs, strict=True))
                for mine, theirs in zip(self.sums, other.sums, strict=True)
            ),
            histogram=self.histogram + other.histogram,
            transitions=self.transitions + other.transitions,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShadowCounts):
            return NotImplemented
        return (
            self.spec.digest == other.spec.digest
            and self.pairing == other.pairing
            and np.array_equal(self.tallies, other.tallies)
            and self.sums == other.sums
            and np.array_equal(self.histogram, other.histogram)
            and np.array_equal(self.transitions, other.transitions)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def whole(self) -> PairedRows:
        """All pairs."""
        return self._line(0)

    @cached_property
    def segments(self) -> dict[tuple[str, str], PairedRows]:
        """The pairs of each segment, by column and category."""
        return {name: self._line(i) for i, name in enumerate(self.spec.segment_names, 1)}

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond that of chance, 1 at most.

        None for regression, without pairs, and if both predict a single class. Cohen, "A
        coefficient of agreement for nominal scales", Educational and Psychological Measurement
        20(1), 1960.
        """
        table = self.transitions.sum(axis=0)
        rows = int(table.sum())
        by_chance = int(table.sum(axis=0) @ table.sum(axis=1))
        if not rows or by_chance == rows * rows:
            return None
        return (rows * int(np.trace(table)) - by_chance) / (rows * rows - by_chance)

    def _line(self, line: int) -> PairedRows:
        cells = self.tallies[line].tolist()
        return PairedRows(
            unusable=cells[0],
            differing=tuple(cells[1 : 1 + _STATES]),
            agreeing=tuple(cells[1 + _STATES : 1 + 2 * _STATES]),
            scored=cells[-2],
            compared=cells[-1],
            sums=self.sums[line],
        )


def count_pairs(
    spec: ShadowSpec, production: Outcomes, shadow: Outcomes, *, pairing: PairCounts
) -> ShadowCounts:
    """Count pairs of predictions.

    Parameters
    ----------
    spec : ShadowSpec
    production : Outcomes
        Production's predictions, with the labels and the columns to slice by. A label that is
        none of the classes, or no number, counts as not there.
    shadow : Outcomes
        The shadow's predictions of the same rows; its labels and columns are not used.
    pairing : PairCounts
        Of the same pairs.

    Raises
    ------
    ExperimentError
        If the two do not have the same rows, problem and classes as the specification.

    Examples
    --------
    >>> def predicted(*scores):
    ...     p = np.array(scores)
    ...     return Outcomes(
    ...         problem="binary", classes=("no", "yes"), labels=np.array([0.0, 1.0, np.nan]),
    ...         predictions=(p >= 0.5).astype(float), probabilities=p, segments={},
    ...     )
    >>> counts = count_pairs(
    ...     ShadowSpec(problem="binary", classes=("no", "yes")),
    ...     predicted(0.1, 0.4, 0.9), predicted(0.2, 0.7, 0.8),
    ...     pairing=PairCounts(rows=3, paired=3),
    ... )
    >>> counts.whole.agreed, counts.whole.won_by(SHADOW), round(counts.whole.mean("difference"), 4)
    (2, 1, 0.1)
    """
    for side in (production, shadow):
        if (side.problem, side.classes) != (spec.problem, spec.classes):
            raise ExperimentError(
                f"predictions of {side.problem} with classes {side.classes} are to be compared as "
                f"{spec.problem} with classes {spec.classes}"
            )
    if not production.rows == shadow.rows == pairing.rows:
        raise ExperimentError(
            f"{production.rows} rows of production, {shadow.rows} of the shadow and "
            f"{pairing.rows} pairs: they are not those of the same pairs"
        )
    known = _numbers(spec, production, shadow) if spec.tolerance else _classes(production, shadow)
    slices = [(np.zeros(production.rows, dtype=np.intp), 1)]
    for name, words in spec.segments.items():
        column = production.segments.get(name)
        index = np.full(production.rows, -1) if column is None else category_index(column, words)
        slices.append((index, len(words)))
    return ShadowCounts(
        spec=spec,
        pairing=pairing,
        tallies=np.concatenate([_tally(known, index, count) for index, count in slices]),
        sums=tuple(line for index, count in slices for line in _sum(known, index, count)),
        histogram=_histogram(spec, known),
        transitions=_transitions(spec, production, shadow, known),
    )


def sum_shadow_counts(spec: ShadowSpec, parts: Iterable[ShadowCounts]) -> ShadowCounts:
    """Add counts; the sum of none is empty."""
    total = ShadowCounts.empty(spec)
    for part in parts:
        total += part
    return total


@dataclass(frozen=True, kw_only=True, eq=False)
class _Known:
    """What is known of each pair: arrays of shape (rows,)."""

    usable: NDArray[np.bool_]
    agree: NDArray[np.bool_]
    state: NDArray[np.intp]
    scored: NDArray[np.bool_]
    compared: NDArray[np.bool_]
    values: tuple[NDArray[np.float64], ...]


def _numbers(spec: ShadowSpec, production: Outcomes, shadow: Outcomes) -> _Known:
    p, s, label = production.predictions, shadow.predictions, production.labels
    with np.errstate(invalid="ignore"):
        usable = (np.abs(p) <= LARGEST_NUMBER) & (np.abs(s) <= LARGEST_NUMBER)
        labelled = usable & (np.abs(label) <= LARGEST_NUMBER)
    difference = np.where(usable, s, 0.0) - np.where(usable, p, 0.0)
    truth = np.where(labelled, label, 0.0)
    ours = np.where(labelled, np.abs(np.where(labelled, p, 0.0) - truth), 0.0)
    theirs = np.where(labelled, np.abs(np.where(labelled, s, 0.0) - truth), 0.0)
    state = np.where(ours < theirs, PRODUCTION, np.where(theirs < ours, SHADOW, BOTH))
    return _Known(
        usable=usable,
        agree=usable & (np.abs(difference) <= (spec.tolerance or 0.0)),
        state=np.where(labelled, state, UNLABELLED),
        scored=usable,
        compared=labelled,
        values=_values(difference, ours, theirs),
    )


def _classes(production: Outcomes, shadow: Outcomes) -> _Known:
    k = len(production.classes)
    p, s, label = production.predictions, shadow.predictions, production.labels
    usable = _is_class(p, k) & _is_class(s, k)
    labelled = usable & _is_class(label, k)
    ours, theirs = labelled & (p == label), labelled & (s == label)
    state = np.select(
        [~labelled, ours & theirs, ours, theirs], [UNLABELLED, BOTH, PRODUCTION, SHADOW], NEITHER
    )
    mine, has_mine = _scores(production)
    other, has_other = _scores(shadow)
    scored = usable & has_mine & has_other
    compared = scored & labelled
    rows = np.arange(production.rows)
    # Binary: the positive class. More classes: the one that production predicts.
    column = np.ones(production.rows, dtype=np.intp)
    if k > 2 or production.problem == "multiclass":
        column = np.where(usable, p, 0.0).astype(np.intp)
    difference = np.where(scored, other[rows, column] - mine[rows, column], 0.0)
    truth = np.zeros((production.rows, k))
    truth[rows, np.where(labelled, label, 0.0).astype(np.intp)] = 1.0
    losses = [
        np.where(compared, _squared(scores - truth, production.problem), 0.0)
        for scores in (mine, other)
    ]
    return _Known(
        usable=usable,
        agree=usable & (p == s),
        state=state,
        scored=scored,
        compared=compared,
        values=_values(difference, *losses),
    )


def _squared(errors: NDArray[np.float64], problem: Problem) -> NDArray[np.float64]:
    """Return the Brier score of each row, as ``driftgauge.quality`` has it."""
    if problem == "binary":
        return np.square(errors[:, 1])
    total: NDArray[np.float64] = np.square(errors).sum(axis=1)
    return total


def _values(
    difference: NDArray[np.float64], ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    excess = theirs - ours
    return (
        *(difference, np.square(difference), np.abs(difference)),
        *(ours, theirs, excess, np.square(excess)),
    )


def _is_class(values: NDArray[np.float64], classes: int) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (values >= 0) & (values < classes) & (values == np.floor(values))
    return found


def _scores(outcomes: Outcomes) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return probabilities, shape (rows, classes), and which rows have them all."""
    given, k = outcomes.probabilities, len(outcomes.classes)
    if given is None:
        return np.zeros((outcomes.rows, k)), np.zeros(outcomes.rows, dtype=np.bool_)
    each = given if given.ndim == 2 else np.stack([1.0 - given, given], axis=1)
    with np.errstate(invalid="ignore"):
        inside = (each >= -_ROUNDING) & (each <= 1.0 + _ROUNDING)
    valid: NDArray[np.bool_] = np.all(inside, axis=1)
    return np.clip(np.where(valid[:, None], each, 0.0), 0.0, 1.0), valid


def _tally(known: _Known, index: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """Count pairs in the lines of one slicing."""
    tallied = np.zeros((count, CELLS), dtype=np.int64)

    def add(where: NDArray[np.bool_], cell: NDArray[np.intp] | int) -> None:
        chosen = where & (index >= 0)
        flat = (index * CELLS + cell)[chosen]
        tallied.ravel()[:] += np.bincount(flat, minlength=count * CELLS)

    add(~known.usable, 0)
    add(known.usable, 1 + known.state + _STATES * known.agree.astype(np.intp))
    add(known.scored, CELLS - 2)
    add(known.compared, CELLS - 1)
    return tallied


def _sum(known: _Known, index: NDArray[np.intp], count: int) -> list[tuple[int, ...]]:
    """Sum the values of pairs in the lines of one slicing."""
    # Values are 0 where they are not known.
    columns = [grouped_sums(values, index, count) for values in known.values]
    return list(zip(*columns, strict=True))


def _histogram(spec: ShadowSpec, known: _Known) -> NDArray[np.int64]:
    bins = np.searchsorted(spec.edges, known.values[0][known.scored], side="right")
    keys = known.agree[known.scored].astype(np.intp) * DIFFERENCE_BINS + bins
    return np.bincount(keys, minlength=2 * DIFFERENCE_BINS).reshape(2, DIFFERENCE_BINS)


def _transitions(
    spec: ShadowSpec, production: Outcomes, shadow: Outcomes, known: _Known
) -> NDArray[np.int64]:
    k = len(spec.classes)
    if not k:
        return np.zeros((_STATES, 0, 0), dtype=np.int64)
    usable = known.usable
    p, s = (
        production.predictions[usable].astype(np.intp),
        shadow.predictions[usable].astype(np.intp),
    )
    keys = (known.state[usable] * k + p) * k + s
    return np.bincount(keys, minlength=_STATES * k * k).reshape(_STATES, k, k)
