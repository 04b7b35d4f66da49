"""Columns and batches."""

from __future__ import annotations

import numpy as np
import pytest

from driftgauge.capture.types import Scalar, column_of_values
from driftgauge.columns import Column, Rejects, RowBatch, TypeCounts

MIXED = Column(
    numbers=np.array([1.0, np.nan, 2.5, np.nan, np.nan]),
    types=TypeCounts(integral=1, fractional=1, boolean=1, text=1),
    codes=np.array([-1, 0, -1, 1, -1], dtype=np.int32),
    words=("x", "true"),
    missing=np.array([False, False, False, False, True]),
)


def test_taking_all_rows_recounts_the_same_types() -> None:
    assert MIXED.take(np.arange(5)).types == MIXED.types


def test_taking_some_rows_counts_only_those() -> None:
    part = MIXED.take(np.array([1, 4]))
    assert part.types == TypeCounts(text=1)
    assert part.rows == 2


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2.5", "7", "-0.5", "a", "true", None],
        ["1", "2", "true", "b", ""],
        ["1.0", "2.0", "3e2"],
        [1, 2.5, 3, True],
    ],
)
def test_a_part_has_the_types_of_its_own_values(values: list[Scalar]) -> None:
    column = column_of_values(values)
    for cut in range(len(values) + 1):
        assert column.take(slice(0, cut)).types == column_of_values(values[:cut]).types
        assert column.take(slice(cut, None)).types == column_of_values(values[cut:]).types


def test_whole_numbers_of_a_part_are_integral_where_1_and_1_0_stand_in_one_column() -> None:
    column = column_of_values(["1", "1.0", "2.5", "9" * 400])
    assert column.types == TypeCounts(integral=2, fractional=2)
    part = column.take(slice(0, 4))
    assert part.types == TypeCounts(integral=2, fractional=2)
    assert column.take(slice(0, 2)).types == TypeCounts(integral=2)
    assert column.take(slice(3, 4)).types == TypeCounts(fractional=1)


def test_a_batch_keeps_the_records_of_the_rows_that_remain() -> None:
    batch = RowBatch(
        rows=5,
        records=2,
        columns={"x": MIXED},
        inference_time=np.arange(5, dtype=np.int64),
        event_ids=("a", "b"),
        record_of_row=np.array([0, 0, 1, 1, 1], dtype=np.int32),
    )
    part = batch.take(np.array([False, False, True, False, True]))
    assert (part.rows, part.records, part.event_ids) == (2, 1, ("a", "b"))
    assert part.inference_time.tolist() == [2, 4]


def test_every_rejection_is_counted_and_only_some_are_kept() -> None:
    rejects = Rejects(max_samples=2)
    for line in range(5):
        rejects.add(reason="not json", source="f", line=line, excerpt="x" * 2000)
    assert rejects.total == 5
    assert [sample.line for sample in rejects.samples] == [0, 1]
    assert len(rejects.samples[0].excerpt) == 500
