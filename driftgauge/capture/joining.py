"""Columns and batches end to end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, RowBatch, TypeCounts


def join_columns(parts: Sequence[tuple[Column | None, int]]) -> Column:
    """Put columns end to end.

    Parameters
    ----------
    parts : sequence of (Column or None, int)
        Each part and its rows; None stands for a part that lacks the column: all missing.

    Examples
    --------
    >>> one = Column(numbers=np.array([1.0]), types=TypeCounts(integral=1))
    >>> both = join_columns([(one, 1), (None, 2)])
    >>> both.numbers.tolist(), both.missing.tolist()
    ([1.0, nan, nan], [False, True, True])
    """
    if len(parts) == 1 and parts[0][0] is not None:
        return parts[0][0]
    numbers = [np.full(n, np.nan) if part is None else part.numbers for part, n in parts]
    types = sum((part.types for part, _ in parts if part is not None), TypeCounts())
    missing = None
    if any(part is None or part.missing is not None for part, _ in parts):
        missing = np.concatenate([_missing(part, n) for part, n in parts])
    words: dict[str, int] = {}
    codes = None
    if any(part is not None and part.codes is not None for part, _ in parts):
        codes = np.concatenate([_codes(part, n, words) for part, n in parts])
    return Column(
        numbers=np.concatenate(numbers),
        types=types,
        codes=codes,
        words=tuple(words),
        missing=missing,
    )


def _missing(part: Column | None, rows: int) -> NDArray[np.bool_]:
    if part is None:
        return np.ones(rows, dtype=np.bool_)
    return np.zeros(rows, dtype=np.bool_) if part.missing is None else part.missing


def _codes(part: Column | None, rows: int, words: dict[str, int]) -> NDArray[np.int32]:
    if part is None or part.codes is None:
        return np.full(rows, -1, dtype=np.int32)
    index = [words.setdefault(word, len(words)) for word in part.words]
    # The extra last place is where code -1 points.
    return np.array([*index, -1], dtype=np.int32)[part.codes]


def join_batches(batches: Sequence[RowBatch], *, first: Sequence[str] = ()) -> RowBatch:
    """Put batches end to end; there must be at least one.

    The columns ``first`` come first, the others in the order in which they first appear.
    """
    if len(batches) == 1:
        return batches[0]
    names = dict.fromkeys([*first, *(name for batch in batches for name in batch.columns)])
    offsets = np.cumsum([0, *(len(batch.event_ids) for batch in batches[:-1])])
    shifted = [
        batch.record_of_row + np.int32(offset)
        for batch, offset in zip(batches, offsets, strict=True)
    ]
    return RowBatch(
        rows=sum(batch.rows for batch in batches),
        records=sum(batch.records for batch in batches),
        columns={
            name: join_columns([(batch.columns.get(name), batch.rows) for batch in batches])
            for name in names
        },
        inference_time=np.concatenate([batch.inference_time for batch in batches]),
        event_ids=tuple(event for batch in batches for event in batch.event_ids),
        record_of_row=np.concatenate(shifted),
    )


def interleave(batch: RowBatch, places: NDArray[np.intp]) -> RowBatch:
    """Put the records of a batch into another order.

    Parameters
    ----------
    batch : RowBatch
    places : ndarray of int, shape (records,)
        For each record a number, all different; records are sorted by it.
    """
    records = np.argsort(places, kind="stable")
    rank = np.empty_like(records)
    rank[records] = np.arange(records.shape[0])
    record_of_row = rank[batch.record_of_row].astype(np.int32)
    rows = np.argsort(record_of_row, kind="stable")
    return RowBatch(
        rows=batch.rows,
        records=batch.records,
        columns={name: _reorder(column, rows) for name, column in batch.columns.items()},
        inference_time=batch.inference_time[rows],
        event_ids=tuple(batch.event_ids[int(record)] for record in records),
        record_of_row=record_of_row[rows],
    )


def _reorder(column: Column, rows: NDArray[np.intp]) -> Column:
    """Permute a column; unlike ``Column.take`` this keeps the exact type counts."""
    codes = None
    words = column.words
    if column.codes is not None:
        moved = column.codes[rows]
        used, first = np.unique(moved, return_index=True)
        order = [int(code) for code in used[np.argsort(first)] if code >= 0]
        index = np.full(len(words) + 1, -1, dtype=np.int32)
        index[order] = np.arange(len(order), dtype=np.int32)
        codes = index[moved]
        words = tuple(words[code] for code in order)
    return Column(
        numbers=column.numbers[rows],
        types=column.types,
        codes=codes,
        words=words,
        missing=None if column.missing is None else column.missing[rows],
    )
