"""Predictions as labels are joined to them: an id, a place in the record, a time, a few columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.joining import join_columns
from driftgauge.columns import Column, RowBatch, TypeCounts
from driftgauge.labels.identity import ID_TYPE, ids_of, run_starts


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Some rows that a model predicted, sorted by id and place in the record.

    Attributes
    ----------
    ids : ndarray of S16, shape (rows,)
        Digest of the record's id (``driftgauge.labels.identity``). Rows of one record share it.
    row : ndarray of uint32, shape (rows,)
        Place of the row in its record, from 0.
    size : ndarray of uint32, shape (rows,)
        Rows of the record that the row belongs to.
    times : ndarray of int64, shape (rows,)
        Inference time, seconds since 1970-01-01T00:00:00Z.
    columns : mapping of str to Column
        What was predicted, and what the rows are sliced by.
    """

    ids: NDArray[np.bytes_]
    row: NDArray[np.uint32]
    size: NDArray[np.uint32]
    times: NDArray[np.int64]
    columns: Mapping[str, Column]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.ids.shape[0])

    @property
    def records(self) -> int:
        """Number of records; those that repeat an id count too."""
        return int((self.row == 0).sum())

    @property
    def repeated(self) -> int:
        """Number of records whose id another record has already: retries of one client."""
        return self.records - int(run_starts(self.ids).shape[0])

    def column(self, name: str) -> Column:
        """Return a column; one that is not kept is missing in every row."""
        return _column(self.columns.get(name), self.rows)


def predictions_of(batch: RowBatch, names: Sequence[str]) -> Predictions:
    """Return what labels are joined to.

    Parameters
    ----------
    batch : RowBatch
        Captured rows; all rows of a record are in one batch.
    names : sequence of str
        The columns to keep. One that the batch lacks is missing in every row.

    Examples
    --------
    >>> batch = RowBatch(
    ...     rows=2,
    ...     records=1,
    ...     columns={"p": Column(numbers=np.array([0.1, 0.9]), types=TypeCounts(fractional=2))},
    ...     inference_time=np.array([60, 60]),
    ...     event_ids=("a",),
    ...     record_of_row=np.array([0, 0], dtype=np.int32),
    ... )
    >>> found = predictions_of(batch, ["p"])
    >>> found.row.tolist(), found.size.tolist(), found.columns["p"].numbers.tolist()
    ([0, 1], [2, 2], [0.1, 0.9])
    """
    starts = _record_starts(batch.record_of_row)
    lengths = np.diff(starts, append=batch.rows)
    records = batch.record_of_row[starts].tolist()
    found = Predictions(
        ids=np.repeat(ids_of(batch.event_ids[record] for record in records), lengths),
        row=(np.arange(batch.rows) - np.repeat(starts, lengths)).astype(np.uint32),
        size=np.repeat(lengths, lengths).astype(np.uint32),
        times=batch.inference_time.astype(np.int64, copy=False),
        columns={name: _column(batch.columns.get(name), batch.rows) for name in names},
    )
    return _sorted(found)


def merge_predictions(parts: Iterable[Predictions]) -> Predictions:
    """Put predictions together; the sum of none has no rows and no columns.

    The result does not depend on the order of the parts, but for the order of rows that have the
    same id, place and time. A column that a part lacks is missing in its rows.
    """
    found = list(parts)
    if len(found) == 1:
        return found[0]
    names = dict.fromkeys(name for part in found for name in part.columns)
    return _sorted(
        Predictions(
            ids=np.concatenate([np.zeros(0, dtype=ID_TYPE), *(part.ids for part in found)]),
            row=np.concatenate([np.zeros(0, dtype=np.uint32), *(part.row for part in found)]),
            size=np.concatenate([np.zeros(0, dtype=np.uint32), *(part.size for part in found)]),
            times=np.concatenate([np.zeros(0, dtype=np.int64), *(part.times for part in found)]),
            columns={
                name: join_columns([(part.columns.get(name), part.rows) for part in found])
                for name in names
            },
        )
    )


def _record_starts(record_of_row: NDArray[np.int32]) -> NDArray[np.intp]:
    if not record_of_row.size:
        return np.zeros(0, dtype=np.intp)
    changes = np.flatnonzero(record_of_row[1:] != record_of_row[:-1]) + 1
    return np.concatenate((np.zeros(1, dtype=np.intp), changes))


def _column(column: Column | None, rows: int) -> Column:
    if column is not None:
        return column
    return Column(
        numbers=np.full(rows, np.nan), types=TypeCounts(), missing=np.ones(rows, dtype=np.bool_)
    )


def _sorted(found: Predictions) -> Predictions:
    order = np.argsort(found.ids, kind="stable")
    ids = found.ids[order]
    if (ids[1:] == ids[:-1]).any():
        order = np.lexsort((found.times, found.size, found.row, found.ids))
    return Predictions(
        ids=ids,
        row=found.row[order],
        size=found.size[order],
        times=found.times[order],
        # Another order leaves the counts of types as they are.
        columns={
            name: replace(column.take(order), types=column.types)
            for name, column in found.columns.items()
        },
    )
