"""Labelled rows for retraining: what the endpoint saw and answered, joined with what came true.

Captured rows and ground truth meet by event id. The steps of a retraining exchange them as CSV.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.text import looks_like_text
from driftgauge.columns import Column, RowBatch, TypeCounts
from driftgauge.errors import TrainingError
from driftgauge.windows import Window

if TYPE_CHECKING:
    from driftgauge.capture.ground_truth import GroundTruth
    from driftgauge.capture.table import Table
    from driftgauge.settings import FeatureSettings

TIME_COLUMN = "inference_time"
_LABEL_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedRows:
    """Rows an endpoint served, by column, in order of inference time.

    Attributes
    ----------
    columns : mapping of str to Column
        The input columns, in order.
    labels : ndarray of float64, shape (rows,)
        What came true, 0 or 1; NaN where it is not known (yet).
    scores : ndarray of float64, shape (rows,)
        What the model in service answered: the champion's scores.
    times : ndarray of int64, shape (rows,)
        Inference time, seconds since 1970-01-01T00:00:00Z.
    """

    columns: Mapping[str, Column]
    labels: NDArray[np.float64]
    scores: NDArray[np.float64]
    times: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.times.shape[0])

    @property
    def labelled(self) -> int:
        """Number of rows whose label is known."""
        return int((~np.isnan(self.labels)).sum())

    @property
    def positives(self) -> int:
        """Number of rows whose label is 1."""
        return int((self.labels == 1.0).sum())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input columns, in order."""
        return tuple(self.columns)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> ServedRows:
        """Return some of the rows, in the order of the index."""
        return ServedRows(
            columns={name: column.take(index) for name, column in self.columns.items()},
            labels=self.labels[index],
            scores=self.scores[index],
            times=self.times[index],
        )


@dataclass(frozen=True, kw_only=True)
class JoinCounts:
    """What a join found, so that nothing is dropped in silence.

    Attributes
    ----------
    rows : int
        Captured rows inside the window that carry a usable score.
    labelled, unlabelled : int
        Of these, with and without a label; ``labelled + unlabelled == rows``.
    unusable_labels : int
        Unlabelled rows whose ground truth is there but is no 0/1 label, or not one per row.
    unusable_scores : int
        Captured rows inside the window that were left out because their prediction is no number.
    ground_truths : int
        Ground-truth records read.
    duplicate_labels : int
        Records that replaced an earlier one of the same event id.
    unmatched_labels : int
        Event ids with ground truth but without a captured row inside the window.
    """

    rows: int
    labelled: int
    unlabelled: int
    unusable_labels: int
    unusable_scores: int
    ground_truths: int
    duplicate_labels: int
    unmatched_labels: int

    @property
    def coverage(self) -> float:
        """Share of the rows whose label is known, between 0 and 1; 0 without rows."""
        return self.labelled / self.rows if self.rows else 0.0


@dataclass(frozen=True, kw_only=True)
class Split:
    """Labelled rows to learn from, and later ones to compare models on."""

    train: ServedRows
    holdout: ServedRows


def join_labels(
    batches: Iterable[RowBatch],
    truths: Iterable[GroundTruth],
    *,
    inputs: tuple[str, ...],
    prediction: str,
    window: Window,
) -> tuple[ServedRows, JoinCounts]:
    """Join captured rows with their labels by event id.

    Parameters
    ----------
    batches : iterable of RowBatch
        Captured rows, in any order.
    truths : iterable of GroundTruth
        Labels in the order in which they were collected: the last of an event id wins, because
        a later label is a correction.
    inputs : tuple of str
        Input columns of the result; one that a batch lacks is missing in its rows.
    prediction : str
        The output column that is the champion's score.
    window : Window
        Rows whose inference time lies outside are left out.

    Returns
    -------
    rows : ServedRows
        Every row of the window with a usable score, labelled or not, sorted by inference time.
    counts : JoinCounts
        What was found and what was not.
    """
    labels_of, ground_truths, duplicates = collect_labels(truths)
    first, last = window.start.timestamp(), window.end.timestamp()
    parts: list[RowBatch] = []
    labels: list[NDArray[np.float64]] = []
    scores: list[NDArray[np.float64]] = []
    unusable_labels = unusable_scores = 0
    matched: set[str] = set()
    for whole in batches:
        values, unusable, found = labels_of_rows(whole, labels_of)
        inside = (whole.inference_time >= first) & (whole.inference_time < last)
        matched.update(found[i] for i in np.unique(whole.record_of_row[inside]) if i in found)
        score = scores_of_rows(whole, prediction)
        keep = inside & np.isfinite(score)
        unusable_scores += int((inside & ~keep).sum())
        unusable_labels += int((unusable & keep).sum())
        parts.append(whole.take(keep))
        labels.append(values[keep])
        scores.append(score[keep])
    rows = _assemble(parts, labels, scores, inputs)
    counts = JoinCounts(
        rows=rows.rows,
        labelled=rows.labelled,
        unlabelled=rows.rows - rows.labelled,
        unusable_labels=unusable_labels,
        unusable_scores=unusable_scores,
        ground_truths=ground_truths,
        duplicate_labels=duplicates,
        unmatched_labels=len(labels_of) - len(matched),
    )
    return rows, counts


def collect_labels(
    truths: Iterable[GroundTruth],
) -> tuple[dict[str, tuple[float, ...]], int, int]:
    """Return the labels of each event id, how many records there were, and how many replaced one.

    The last record of an event id wins. A label is 0.0 or 1.0, or NaN if it is neither.
    """
    labels_of: dict[str, tuple[float, ...]] = {}
    total = 0
    for truth in truths:
        total += 1
        labels_of[truth.event_id] = tuple(_binary(label) for label in truth.labels)
    return labels_of, total, total - len(labels_of)


def _binary(label: str | float) -> float:
    """Return 0.0 or 1.0, or NaN for anything that is not a binary label."""
    text = str(label).strip().lower()
    if text in _LABEL_WORDS:
        return _LABEL_WORDS[text]
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if value in (0.0, 1.0) else np.nan


def labels_of_rows(
    batch: RowBatch, labels_of: Mapping[str, tuple[float, ...]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], dict[int, str]]:
    """Return each row's label (NaN without), whether it was unusable, and the matched records.

    Unusable is a label that is no 0/1 label, or not one for each row of its record. The matched
    records come with their event ids.
    """
    values = np.full(batch.rows, np.nan)
    unusable = np.zeros(batch.rows, dtype=bool)
    found: dict[int, str] = {}
    # Rows of one record are contiguous, so a record is a slice.
    cuts = np.flatnonzero(np.diff(batch.record_of_row)) + 1
    starts = np.concatenate(([0], cuts)) if batch.rows else cuts
    stops = np.append(cuts, batch.rows) if batch.rows else cuts
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        record = int(batch.record_of_row[start])
        labels = labels_of.get(batch.event_ids[record])
        if labels is None:
            continue
        found[record] = batch.event_ids[record]
        if len(labels) == stop - start:
            values[start:stop] = labels
            unusable[start:stop] = np.isnan(values[start:stop])
        else:
            unusable[start:stop] = True
    return values, unusable, found


def scores_of_rows(batch: RowBatch, prediction: str) -> NDArray[np.float64]:
    """Return each row's score; NaN where there is no number."""
    column = batch.columns.get(prediction)
    return np.full(batch.rows, np.nan) if column is None else column.numbers


def _assemble(
    parts: list[RowBatch],
    labels: list[NDArray[np.float64]],
    scores: list[NDArray[np.float64]],
    inputs: tuple[str, ...],
) -> ServedRows:
    sizes = [part.rows for part in parts]
    columns = {
        name: concatenate_columns([part.columns.get(name) for part in parts], sizes=sizes)
        for name in inputs
    }
    no_rows: list[NDArray[np.float64]] = [np.zeros(0)]
    no_times: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    rows = ServedRows(
        columns=columns,
        labels=np.concatenate(no_rows + labels),
        scores=np.concatenate(no_rows + scores),
        times=np.concatenate(no_times + [part.inference_time for part in parts]),
    )
    return rows.take(np.argsort(rows.times, kind="stable"))


def concatenate_columns(parts: list[Column | None], *, sizes: list[int]) -> Column:
    """Return columns one below the other; a part that is None is missing in all its rows.

    Examples
    --------
    >>> one = Column(numbers=np.array([1.0]), types=TypeCounts(integral=1))
    >>> both = concatenate_columns([one, None], sizes=[1, 2])
    >>> both.numbers.tolist(), both.missing.tolist()
    ([1.0, nan, nan], [False, True, True])
    """
    total = sum(sizes)
    numbers = np.full(total, np.nan)
    codes = np.full(total, -1, dtype=np.int32)
    missing = np.zeros(total, dtype=bool)
    types = TypeCounts()
    words: dict[str, int] = {}
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        stop = start + size
        if part is None:
            missing[start:stop] = True
        else:
            numbers[start:stop] = part.numbers
            types = types + part.types
            if part.missing is not None:
                missing[start:stop] = part.missing
            if part.codes is not None and part.words:
                new = [words.setdefault(word, len(words)) for word in part.words]
                renamed = np.array(new, dtype=np.int32)[np.maximum(part.codes, 0)]
                codes[start:stop] = np.where(part.codes >= 0, renamed, -1)
        start = stop
    return Column(
        numbers=numbers,
        types=types,
        codes=codes if words else None,
        words=tuple(words),
        missing=missing if missing.any() else None,
    )


def split_by_time(rows: ServedRows, *, holdout_share: float) -> Split:
    """Hold back the newest labelled rows; the older ones are to learn from.

    Split by time and not at random, because labels of neighbouring rows move together: a model
    that has seen half of a stormy day knows the other half, and a random split would credit it
    with that. The question a promotion answers is how the challenger does on rows that come after
    those it learned from. Rows without a label are on neither side; rows of the same second are
    never separated.

    Parameters
    ----------
    rows : ServedRows
        In order of inference time, as ``join_labels`` returns them.
    holdout_share : float
        Share of the labelled rows to hold back, in (0, 1).

    Raises
    ------
    TrainingError
        If one side would be without rows of either label.
    """
    known = rows.take(~np.isnan(rows.labels))
    wanted = round(known.rows * (1.0 - holdout_share))
    cut = wanted
    if 0 < wanted < known.rows:
        cut = int(np.searchsorted(known.times, known.times[wanted], side="left"))
    position = np.arange(known.rows)
    split = Split(train=known.take(position[:cut]), holdout=known.take(position[cut:]))
    for side, part in (("to train on", split.train), ("held back", split.holdout)):
        if not 0 < part.positives < part.rows:
            raise TrainingError(
                f"the {part.rows} labelled rows {side} ({part.positives} of them positive) do not "
                f"hold both labels: {known.rows} labelled rows with holdout_share "
                f"{holdout_share:g} are too few; lengthen retraining.lookback or wait for labels"
            )
    return split


def rows_since(rows: ServedRows, moment: datetime) -> ServedRows:
    """Return the rows from a moment on, labelled or not."""
    return rows.take(rows.times >= moment.timestamp())


def text_columns(
    columns: Mapping[str, Column], settings: Mapping[str, FeatureSettings]
) -> tuple[str, ...]:
    """Return the columns of free text: what the user says, else what looks like it.

    A category of its own for each text is nothing to learn from.

    Examples
    --------
    >>> from driftgauge.settings import FeatureSettings
    >>> prompt = Column(numbers=np.full(1, np.nan), types=TypeCounts(text=1),
    ...                 codes=np.zeros(1, dtype=np.int32), words=("hello",))
    >>> text_columns({"prompt": prompt}, {"prompt": FeatureSettings(kind="text")})
    ('prompt',)
    """
    kinds = {name: one.kind for name, one in settings.items() if one.kind is not None}
    return tuple(
        name
        for name, column in columns.items()
        if (kinds[name] == "text" if name in kinds else looks_like_text(column))
    )


def encode_rows(rows: ServedRows, *, prediction: str, label: str) -> bytes:
    """Write rows as CSV with a header: inputs, the champion's score, label, inference time.

    An empty cell is a missing value; an empty label is one that is not known. A number that is
    not finite becomes a missing value.

    Raises
    ------
    TrainingError
        If an input column has the name of one of the three others.
    """
    others = {
        prediction: [repr(score) for score in rows.scores.tolist()],
        label: _label_cells(rows),
        TIME_COLUMN: [str(time) for time in rows.times.tolist()],
    }
    taken = sorted(set(rows.columns) & set(others))
    if taken or len(others) != 3:
        raise TrainingError(
            f"the column names {', '.join(taken) or sorted(others)} are used twice: prediction, "
            f"label and {TIME_COLUMN} need names of their own"
        )
    return _write_csv({**_input_cells(rows), **others})


def encode_baseline_rows(
    rows: ServedRows, *, prediction: str, scores: NDArray[np.float64], label: str | None = None
) -> bytes:
    """Write rows as CSV with a header, in the form a baseline is built from.

    The output column holds the scores of the model that the baseline will belong to.

    Parameters
    ----------
    rows : ServedRows
        Rows the model is expected to see.
    prediction : str
        Name of the output column; it comes first, as outputs do in a capture.
    scores : ndarray of float64, shape (rows,)
        The model's scores of these rows.
    label : str, optional
        Name of the column of labels: the baseline's quality is then measured on these rows.
    """
    labels = {} if label is None else {label: _label_cells(rows)}
    scored = {prediction: [repr(s) for s in scores.tolist()]}
    return _write_csv(scored | _input_cells(rows) | labels)


def _input_cells(rows: ServedRows) -> dict[str, list[str]]:
    return {name: column_cells(column) for name, column in rows.columns.items()}


def _label_cells(rows: ServedRows) -> list[str]:
    return ["" if value != value else str(int(value)) for value in rows.labels.tolist()]


def _write_csv(cells: Mapping[str, list[str]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(cells)
    writer.writerows(zip(*cells.values(), strict=True))
    return stream.getvalue().encode()


def column_cells(column: Column) -> list[str]:
    """Return a column's values as text, empty where there is none.

    Numbers of a column that holds whole numbers only are written without a decimal point, so
    that reading them back infers the same type.

    Examples
    --------
    >>> column_cells(Column(numbers=np.array([7.0, np.nan]), types=TypeCounts(integral=1),
    ...                     missing=np.array([False, True])))
    ['7', '']
    """
    whole = column.types.fractional == 0
    cells = [
        "" if not np.isfinite(number) else (str(int(number)) if whole else repr(number))
        for number in column.numbers.tolist()
    ]
    if column.codes is not None:
        for i in np.flatnonzero(column.codes >= 0).tolist():
            cells[i] = column.words[column.codes[i]]
    return cells


def decode_rows(tables: Iterable[Table], *, prediction: str, label: str) -> ServedRows:
    """Read back what ``encode_rows`` wrote, through ``driftgauge.capture.table.read_table``.

    Raises
    ------
    TrainingError
        If one of the three columns is absent or holds something it cannot hold.
    """
    own = (prediction, label, TIME_COLUMN)
    parts = list(tables)
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    absent = [name for name in own if name not in names]
    if absent:
        raise TrainingError(
            f"the rows of a retraining lack the column {', '.join(absent)}; "
            f"found: {', '.join(names) or 'no column'}"
        )
    sizes = [part.rows for part in parts]
    columns = {
        name: concatenate_columns([part.columns.get(name) for part in parts], sizes=sizes)
        for name in names
    }
    for name, optional in zip(own, (False, True, False), strict=True):
        column = columns[name]
        empty = 0 if column.missing is None else int(column.missing.sum())
        if int(np.isfinite(column.numbers).sum()) + (empty if optional else 0) != column.rows:
            raise TrainingError(f"the column {name} of a retraining's rows holds more than numbers")
    return ServedRows(
        columns={name: column for name, column in columns.items() if name not in own},
        labels=columns[label].numbers,
        scores=columns[prediction].numbers,
        times=columns[TIME_COLUMN].numbers.astype(np.int64),
    )
