"""Production and shadow predictions of the same requests, side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ExperimentError
from driftgauge.labels.identity import run_starts
from driftgauge.labels.join import join_labels
from driftgauge.labels.predictions import Predictions
from driftgauge.labels.truth import Labels, places_of_values
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table
from driftgauge.windows import Window


@dataclass(frozen=True, kw_only=True)
class PairCounts:
    """Records of two variants by what became of their pairing. ``a + b`` is exact.

    Attributes
    ----------
    rows : int
        Rows that have a partner.
    paired : int
        Records that have a partner with as many rows, counted once.
    mismatched : int
        Records that have a partner with another number of rows, counted once.
    production_alone, shadow_alone : int
        Records without a partner.
    production_ambiguous, shadow_ambiguous : int
        Records of an id that both variants have, and one of them more than once: nothing tells
        which belongs to which.
    """

    rows: int = 0
    paired: int = 0
    mismatched: int = 0
    production_alone: int = 0
    shadow_alone: int = 0
    production_ambiguous: int = 0
    shadow_ambiguous: int = 0

    def __add__(self, other: PairCounts) -> PairCounts:
        return PairCounts(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in fields(self)
            }
        )

    @property
    def production_records(self) -> int:
        """All records of production."""
        return self.paired + self.mismatched + self.production_alone + self.production_ambiguous

    @property
    def shadow_records(self) -> int:
        """All records of the shadow."""
        return self.paired + self.mismatched + self.shadow_alone + self.shadow_ambiguous

    def expected(self, sampling: float) -> int:
        """Return how many pairs there should be.

        Parameters
        ----------
        sampling : float
            Share of production's requests that are copied to the shadow.

        Raises
        ------
        ExperimentError
            If the share is not above 0 and at most 1.

        Examples
        --------
        >>> PairCounts(paired=90, production_alone=110, shadow_alone=5).expected(0.5)
        100
        """
        if not 0.0 < sampling <= 1.0:
            raise ExperimentError(
                f"a shadow receives a share of production's requests above 0 and at most 1, "
                f"not {sampling}"
            )
        # More than sampled may reach the shadow by chance: what reached it should have a partner.
        return max(round(self.production_records * sampling), self.shadow_records)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Rows that two variants predicted for the same requests.

    Attributes
    ----------
    production, shadow : Predictions
        Row i of one belongs to row i of the other; sorted by id and place in the record.
    counts : PairCounts
        What became of all records.
    """

    production: Predictions
    shadow: Predictions
    counts: PairCounts


def pair_predictions(
    production: Predictions, shadow: Predictions, *, window: Window | None = None
) -> Pairs:
    """Pair records by id, and their rows by place in the record.

    Both variants must receive the same id for a request: SageMaker gives captures of production
    and of a shadow the ``inferenceId`` of the caller; their event ids differ.

    Parameters
    ----------
    production, shadow : Predictions
        With a window: also of some time before and after it, since the two variants may answer on
        different sides of its ends.
    window : Window, optional
        Pairs belong to it by production's time, records without a partner by their own: counts of
        adjoining windows add up to those of all. None: everything.

    Examples
    --------
    >>> from driftgauge.labels.identity import ids_of
    >>> def predicted(*names):
    ...     ids = np.sort(ids_of(names))
    ...     ones = np.ones(len(names), dtype=np.uint32)
    ...     return Predictions(
    ...         ids=ids, row=0 * ones, size=ones, times=np.zeros(len(names), np.int64), columns={}
    ...     )
    >>> pairs = pair_predictions(predicted("a", "b", "c"), predicted("b", "d"))
    >>> pairs.production.rows, pairs.counts.production_alone, pairs.counts.shadow_alone
    (1, 2, 1)
    """
    ours, theirs = _records_of(production, window), _records_of(shadow, window)
    here, there = _places_of_common(ours.ids, theirs.ids)
    # The pairs of an id that repeats are not known, on whichever side it does.
    sole = ours.sole[here] & theirs.sole[there]
    one, other = here[sole], there[sole]
    fits = _same_places(production, shadow, ours, theirs, one, other)
    inside = ours.inside[one]
    chosen, matching = one[fits & inside], other[fits & inside]
    return Pairs(
        production=_take(production, ours, chosen),
        shadow=_take(shadow, theirs, matching),
        counts=PairCounts(
            rows=int(ours.lengths[chosen].sum()),
            paired=int(chosen.shape[0]),
            mismatched=int((~fits & inside).sum()),
            production_alone=_alone(ours, here),
            shadow_alone=_alone(theirs, there),
            production_ambiguous=int(ours.records[here[~sole]].sum()),
            shadow_ambiguous=int(theirs.records[there[~sole]].sum()),
        ),
    )


class _Records(NamedTuple):
    """Runs of rows with the same id.

    Attributes
    ----------
    ids : ndarray of S16, shape (runs,)
        Sorted, each once.
    starts, lengths : ndarray of int, shape (runs,)
        Rows.
    sole : ndarray of bool, shape (runs,)
        Whether it is one record.
    inside : ndarray of bool, shape (runs,)
        Whether the first row is in the window.
    records : ndarray of int, shape (runs,)
        Records in the window.
    """

    ids: NDArray[np.bytes_]
    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]
    sole: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    records: NDArray[np.int64]


def _records_of(predictions: Predictions, window: Window | None) -> _Records:
    starts = run_starts(predictions.ids)
    rows = predictions.rows
    within = np.ones(rows, dtype=np.bool_)
    if window is not None:
        first, last = window.start.timestamp(), window.end.timestamp()
        within = (predictions.times >= first) & (predictions.times < last)
    run = np.zeros(rows, dtype=np.intp)
    run[starts[1:]] = 1
    run = np.cumsum(run)
    # Rows are sorted by place: that of another record with the same id stands beside it.
    twice = np.zeros(rows, dtype=np.bool_)
    twice[1:] = (predictions.row[1:] == predictions.row[:-1]) & (run[1:] == run[:-1])
    count = starts.shape[0]
    return _Records(
        ids=predictions.ids[starts],
        starts=starts,
        lengths=np.diff(starts, append=rows),
        sole=np.bincount(run[twice], minlength=count) == 0,
        inside=within[starts],
        records=np.bincount(run[within & (predictions.row == 0)], minlength=count),
    )


def _places_of_common(
    ours: NDArray[np.bytes_], theirs: NDArray[np.bytes_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the ids stand that both sorted arrays have."""
    if not theirs.size:
        none = np.zeros(0, dtype=np.intp)
        return none, none
    place = np.minimum(np.searchsorted(theirs, ours), theirs.shape[0] - 1)
    here = np.flatnonzero(theirs[place] == ours)
    return here, place[here]


def _same_places(
    production: Predictions,
    shadow: Predictions,
    ours: _Records,
    theirs: _Records,
    one: NDArray[np.intp],
    other: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Say which records have rows at the same places of as many."""
    fits: NDArray[np.bool_] = ours.lengths[one] == theirs.lengths[other]
    fits &= production.size[ours.starts[one]] == shadow.size[theirs.starts[other]]
    lengths = ours.lengths[one[fits]].astype(np.uint32)
    left = production.row[places_of_values(ours.starts[one[fits]], lengths)]
    right = shadow.row[places_of_values(theirs.starts[other[fits]], lengths)]
    record = np.repeat(np.flatnonzero(fits), lengths)
    fits[record[left != right]] = False
    return fits


def _take(predictions: Predictions, records: _Records, chosen: NDArray[np.intp]) -> Predictions:
    lengths = records.lengths[chosen].astype(np.uint32)
    index = places_of_values(records.starts[chosen], lengths)
    return Predictions(
        ids=predictions.ids[index],
        row=predictions.row[index],
        size=predictions.size[index],
        times=predictions.times[index],
        columns={name: column.take(index) for name, column in predictions.columns.items()},
    )


def _alone(records: _Records, common: NDArray[np.intp]) -> int:
    """Count the records without a partner."""
    return int(records.records.sum() - records.records[common].sum())


def outcomes_of_pairs(
    pairs: Pairs, columns: OutcomeColumns, labels: Labels
) -> tuple[Outcomes, Outcomes]:
    """Return the outcomes of production and of the shadow, row by row of the pairs.

    Parameters
    ----------
    pairs : Pairs
    columns : OutcomeColumns
        Where both variants hold their predictions; ``columns.label`` is what the labels are
        called. Columns to slice by are production's.
    labels : Labels
        As far as they have arrived.

    Raises
    ------
    QualityError
        If a column is missing.
    """
    # A pair has one id, hence one label: that of production's record.
    label = join_labels(pairs.production, labels).label
    sliced = outcomes_of_table(columns, {**pairs.production.columns, columns.label: label})
    bare = replace(columns, segments=())
    return sliced, outcomes_of_table(bare, {**pairs.shadow.columns, columns.label: label})
