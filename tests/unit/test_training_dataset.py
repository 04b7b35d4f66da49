"""Joining captured rows with labels, splitting them, and their CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.capture.table import read_table
from driftgauge.columns import Column, RowBatch, TypeCounts
from driftgauge.errors import TrainingError
from driftgauge.training.dataset import (
    ServedRows,
    decode_rows,
    encode_baseline_rows,
    encode_rows,
    join_labels,
    rows_since,
    split_by_time,
)
from driftgauge.windows import Window

DAY = Window(datetime(2015, 7, 1, tzinfo=UTC), datetime(2015, 7, 2, tzinfo=UTC))
START = int(DAY.start.timestamp())


def numbers(*values: float | None, fractional: bool = False) -> Column:
    known = [value for value in values if value is not None]
    count = TypeCounts(fractional=len(known)) if fractional else TypeCounts(integral=len(known))
    absent = np.array([value is None for value in values])
    return Column(
        numbers=np.array([np.nan if value is None else value for value in values], dtype=float),
        types=count,
        missing=absent if absent.any() else None,
    )


def words(*values: str) -> Column:
    distinct = tuple(dict.fromkeys(values))
    return Column(
        numbers=np.full(len(values), np.nan),
        types=TypeCounts(text=len(values)),
        codes=np.array([distinct.index(value) for value in values], dtype=np.int32),
        words=distinct,
    )


def batch(ids: Sequence[str], records: Sequence[int], **columns: Column) -> RowBatch:
    """Make a batch whose i-th row was served i seconds into the day."""
    return RowBatch(
        rows=len(records),
        records=len(ids),
        columns=columns,
        inference_time=START + np.arange(len(records), dtype=np.int64),
        event_ids=tuple(ids),
        record_of_row=np.array(records, dtype=np.int32),
    )


def truth(event_id: str, *labels: str | float) -> GroundTruth:
    return GroundTruth(event_id=event_id, labels=labels)


def join(batches: Sequence[RowBatch], truths: Sequence[Any], window: Window = DAY) -> Any:
    return join_labels(batches, truths, inputs=("x", "c"), prediction="p", window=window)


def served(labels: Sequence[float], times: Sequence[int] | None = None) -> ServedRows:
    rows = len(labels)
    return ServedRows(
        columns={"x": numbers(*range(rows)), "c": words(*("ab"[i % 2] for i in range(rows)))},
        labels=np.array(labels, dtype=float),
        scores=np.linspace(0.1, 0.9, rows),
        times=np.array(times if times is not None else range(rows), dtype=np.int64),
    )


def test_rows_and_labels_meet_by_event_id() -> None:
    part = batch(
        ["a", "b", "c"],
        [0, 1, 2],
        p=numbers(0.1, 0.2, 0.3),
        x=numbers(1, 2, 3),
        c=words("u", "v", "u"),
    )
    rows, counts = join([part], [truth("c", "1"), truth("a", 0.0), truth("elsewhere", "1")])
    assert np.array_equal(rows.labels, [0.0, np.nan, 1.0], equal_nan=True)
    assert rows.scores.tolist() == [0.1, 0.2, 0.3]
    assert rows.columns["x"].numbers.tolist() == [1, 2, 3]
    assert [rows.columns["c"].words[i] for i in rows.columns["c"].codes] == ["u", "v", "u"]
    assert (counts.rows, counts.labelled, counts.unlabelled) == (3, 2, 1)
    assert counts.coverage == pytest.approx(2 / 3)
    assert (counts.ground_truths, counts.duplicate_labels, counts.unmatched_labels) == (3, 0, 1)


def test_the_last_label_of_an_event_wins_and_duplicates_are_counted() -> None:
    part = batch(["a"], [0], p=numbers(0.5))
    rows, counts = join([part], [truth("a", "0"), truth("a", "1"), truth("a", "true")])
    assert rows.labels.tolist() == [1.0]
    assert counts.duplicate_labels == 2


def test_a_record_of_several_rows_takes_its_labels_in_row_order() -> None:
    part = batch(["a", "b"], [0, 0, 1, 1], p=numbers(0.1, 0.2, 0.3, 0.4))
    rows, counts = join([part], [truth("a", "1", "0"), truth("b", "1")])
    assert np.array_equal(rows.labels, [1.0, 0.0, np.nan, np.nan], equal_nan=True)
    assert counts.unusable_labels == 2
    assert counts.unmatched_labels == 0


@pytest.mark.parametrize("label", ["2", "late", "", 0.5, "nan"])
def test_a_label_that_is_not_binary_is_unusable_and_counted(label: str | float) -> None:
    rows, counts = join([batch(["a"], [0], p=numbers(0.5))], [truth("a", label)])
    assert np.isnan(rows.labels).all()
    assert (counts.rows, counts.labelled, counts.unusable_labels) == (1, 0, 1)


def test_a_row_without_a_usable_score_is_left_out_and_counted() -> None:
    part = batch(["a", "b"], [0, 1], p=numbers(0.5, None))
    rows, counts = join([part, batch(["c"], [0])], [truth("a", "1")])
    assert rows.rows == 1
    assert counts.unusable_scores == 2


def test_rows_outside_the_window_are_left_out_and_their_labels_unmatched() -> None:
    part = batch(["a", "b"], [0, 1], p=numbers(0.1, 0.2))
    window = Window(datetime.fromtimestamp(START + 1, UTC), DAY.end)
    rows, counts = join([part], [truth("a", "1"), truth("b", "0")], window)
    assert rows.scores.tolist() == [0.2]
    assert counts.unmatched_labels == 1


def test_rows_of_several_batches_are_sorted_by_time_and_absent_columns_are_missing() -> None:
    late = batch(["a"], [0], p=numbers(0.1), x=numbers(7), c=words("v"))
    late = RowBatch(**{**late.__dict__, "inference_time": late.inference_time + 60})
    early = batch(["b"], [0], p=numbers(0.2), c=words("u"))
    rows, _ = join([late, early], [])
    assert rows.scores.tolist() == [0.2, 0.1]
    x = rows.columns["x"]
    assert x.missing is not None
    assert x.missing.tolist() == [True, False]
    assert [rows.columns["c"].words[i] for i in rows.columns["c"].codes] == ["u", "v"]


def test_nothing_captured_gives_no_rows_and_no_coverage() -> None:
    rows, counts = join([], [truth("a", "1")])
    assert (rows.rows, counts.rows, counts.coverage, counts.unmatched_labels) == (0, 0, 0.0, 1)
    assert rows.inputs == ("x", "c")


def test_the_newest_labelled_rows_are_held_back() -> None:
    split = split_by_time(served([0, 1, np.nan, 0, 1, 0, 1, 0, 1, np.nan, 0]), holdout_share=1 / 3)
    assert split.train.times.tolist() == [0, 1, 3, 4, 5, 6]
    assert split.holdout.times.tolist() == [7, 8, 10]


def test_rows_of_the_same_second_are_on_the_same_side() -> None:
    split = split_by_time(served([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 2]), holdout_share=0.5)
    assert split.train.times.tolist() == [0, 0]
    assert split.holdout.times.tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize("labels", [[], [1], [0, 0, 0, 0], [0, 1, 1, 1], [np.nan] * 4])
def test_a_side_without_both_labels_cannot_be_split(labels: list[float]) -> None:
    with pytest.raises(TrainingError, match="do not hold both labels"):
        split_by_time(served(labels), holdout_share=0.5)


def test_rows_since_a_moment_include_it() -> None:
    assert rows_since(served([0, 1, np.nan]), datetime.fromtimestamp(1, UTC)).rows == 2


def test_rows_survive_their_csv() -> None:
    rows = ServedRows(
        columns={
            "x": numbers(1, None, -3),
            "y": numbers(0.1, 2.0, 1e-17, fractional=True),
            "c": words('a "quoted", word', "b", "b"),
        },
        labels=np.array([1.0, 0.0, np.nan]),
        scores=np.array([1 / 3, 0.5, 0.25]),
        times=np.array([START, START + 1, START + 2]),
    )
    data = encode_rows(rows, prediction="p", label="late")
    tables = read_table(io.BytesIO(data), source="rows.csv", format="csv", header=True)
    back = decode_rows(tables, prediction="p", label="late")
    assert back.inputs == ("x", "y", "c")
    assert np.array_equal(back.labels, rows.labels, equal_nan=True)
    assert back.scores.tolist() == rows.scores.tolist()
    assert back.times.tolist() == rows.times.tolist()
    for name in ("x", "y"):
        ours, theirs = rows.columns[name], back.columns[name]
        assert np.array_equal(ours.numbers, theirs.numbers, equal_nan=True)
        assert ours.types == theirs.types
    texts = [back.columns["c"].words[i] for i in back.columns["c"].codes]  # type: ignore[union-attr]
    assert texts == ['a "quoted", word', "b", "b"]


def test_a_baseline_is_written_with_the_scores_of_the_model_it_belongs_to() -> None:
    data = encode_baseline_rows(served([0, 1]), prediction="p", scores=np.array([0.25, 0.75]))
    table = list(csv.reader(io.StringIO(data.decode())))
    assert table == [["p", "x", "c"], ["0.25", "0", "a"], ["0.75", "1", "b"]]


def test_an_input_may_not_take_the_name_of_the_label() -> None:
    with pytest.raises(TrainingError, match="used twice"):
        encode_rows(served([0, 1]), prediction="p", label="x")


@dataclass(frozen=True)
class ReadTable:
    rows: int
    columns: dict[str, Column]


def test_rows_without_their_label_column_cannot_be_read() -> None:
    table: Any = ReadTable(1, {"p": numbers(0.5), "inference_time": numbers(1)})
    with pytest.raises(TrainingError, match="lack the column late"):
        decode_rows([table], prediction="p", label="late")


def test_rows_whose_score_is_a_word_cannot_be_read() -> None:
    table: Any = ReadTable(
        1, {"p": words("high"), "inference_time": numbers(1), "late": numbers(1)}
    )
    with pytest.raises(TrainingError, match="column p of a retraining"):
        decode_rows([table], prediction="p", label="late")
