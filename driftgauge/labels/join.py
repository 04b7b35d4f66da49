"""Predictions and their labels side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.labels.identity import run_starts
from driftgauge.labels.predictions import Predictions
from driftgauge.labels.standing import LabelCounts, delay_bins
from driftgauge.labels.truth import Labels, places_of_values


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """The labels of some predictions.

    Attributes
    ----------
    label : Column
        One value for each predicted row, in the order of the predictions; missing where no label
        is known.
    counts : LabelCounts
        What was found.
    """

    label: Column
    counts: LabelCounts


def join_labels(predictions: Predictions, labels: Labels) -> Joined:
    """Find the label of each predicted row.

    The last entry of an id is its label: that of the latest collection, of that the one written
    last, of that the last line. It labels every record that has this id, if it has as many values
    as the record has rows. Each entry before it is compared with the next one: a duplicate if the
    two say the same, else corrected. Entries of other ids are left aside.

    Parameters
    ----------
    predictions : Predictions
    labels : Labels
        Of any objects, merged.

    Returns
    -------
    Joined
        The delay of a label is that of the first entry that has as many values as the last one.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from driftgauge.capture.ground_truth import GroundTruth
    >>> from driftgauge.labels.identity import ids_of
    >>> from driftgauge.labels.truth import labels_of
    >>> ones = np.ones(1, dtype=np.uint32)
    >>> predictions = Predictions(
    ...     ids=ids_of(["a"]), row=0 * ones, size=ones, times=np.zeros(1, np.int64), columns={}
    ... )
    >>> truths = [GroundTruth(event_id="a", labels=(value,)) for value in (0.0, 1.0)]
    >>> hour = datetime(1970, 1, 1, 1, tzinfo=UTC)
    >>> labels = labels_of(truths, collected=hour, modified=hour, digest="0" * 32)
    >>> joined = join_labels(predictions, labels)
    >>> joined.label.numbers.tolist(), joined.counts.corrected
    ([1.0], 1)
    """
    found = labels.matching(predictions.ids)
    starts = run_starts(found.ids)
    duplicates, superseded = _superseded(found, starts)
    last = np.append(starts[1:], found.records) - 1 if starts.size else starts
    run, known = _runs_of_rows(predictions.ids, found.ids[starts])
    fits = known.copy()
    fits[known] = found.size[last[run[known]]] == predictions.size[known]
    of_row = run[fits]
    places = found.starts[last[of_row]] + predictions.row[fits]
    delays = _first_collected(found, starts, last)[of_row] - predictions.times[fits]
    labelled = int(fits.sum())
    return Joined(
        label=_spread(found.values.take(places), fits),
        counts=LabelCounts(
            rows=predictions.rows,
            records=predictions.records,
            repeated=predictions.repeated,
            labelled=labelled,
            mismatched=int(known.sum()) - labelled,
            duplicates=duplicates,
            corrected=superseded - duplicates,
            delays=delay_bins(delays),
        ),
    )


def _runs_of_rows(
    ids: NDArray[np.bytes_], among: NDArray[np.bytes_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return each id's place among distinct sorted ones, and whether it is there."""
    place = np.searchsorted(among, ids)
    if not among.size:
        return place, np.zeros(ids.shape[0], dtype=np.bool_)
    place[place == among.shape[0]] = 0
    return place, among[place] == ids


def _superseded(found: Labels, starts: NDArray[np.intp]) -> tuple[int, int]:
    """Return how many entries the next one of their id repeats, and how many have a next one."""
    follows = np.ones(found.records, dtype=np.bool_)
    follows[starts] = False
    second = np.flatnonzero(follows)
    alike = second[found.size[second] == found.size[second - 1]]
    size = found.size[alike]
    later = places_of_values(found.starts[alike], size)
    earlier = places_of_values(found.starts[alike - 1], size)
    differs = ~_same_values(found.values, earlier, later)
    changed = np.bincount(np.repeat(np.arange(alike.shape[0]), size)[differs]) > 0
    return alike.shape[0] - int(changed.sum()), second.shape[0]


def _same_values(
    values: Column, one: NDArray[np.intp], other: NDArray[np.intp]
) -> NDArray[np.bool_]:
    a, b = values.numbers[one], values.numbers[other]
    same: NDArray[np.bool_] = (a == b) | (np.isnan(a) & np.isnan(b))
    if values.codes is not None:
        same &= values.codes[one] == values.codes[other]
    return same


def _first_collected(
    found: Labels, starts: NDArray[np.intp], last: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return when the first entry of each id was collected that fits the last one's size."""
    size = found.size[np.repeat(last, np.diff(starts, append=found.records))]
    fitting = np.flatnonzero(found.size == size)
    # The last entry fits itself, so there is one at or behind each start.
    first = fitting[np.searchsorted(fitting, starts)]
    return found.collected[first]


def _spread(values: Column, places: NDArray[np.bool_]) -> Column:
    """Return a column that holds the values at some places, and nothing elsewhere."""
    numbers = np.full(places.shape[0], np.nan)
    numbers[places] = values.numbers
    codes = None
    if values.codes is not None:
        codes = np.full(places.shape[0], -1, dtype=np.int32)
        codes[places] = values.codes
    return Column(
        numbers=numbers,
        types=values.types,
        codes=codes,
        words=values.words,
        missing=None if places.all() else ~places,
    )
