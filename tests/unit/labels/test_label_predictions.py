"""What is kept of predictions for the labels to come."""

from __future__ import annotations

import numpy as np

from driftgauge.labels.identity import ids_of, known_among, run_starts
from driftgauge.labels.predictions import merge_predictions, predictions_of
from tests.unit.labels.world import Record, batch_of, predicted, values_of


def test_ids_are_sixteen_bytes_and_sorted() -> None:
    found = predicted([Record(f"id-{i}", 0, (0.5,)) for i in range(200)])
    assert found.ids.dtype.itemsize == 16
    assert (found.ids[1:] > found.ids[:-1]).all()


def test_ids_whose_digest_ends_in_nul_bytes_stay_apart() -> None:
    ids = np.frombuffer(b"a" + bytes(15) + b"a\x01" + bytes(14) + b"b" * 16, dtype="S16")
    assert run_starts(ids).tolist() == [0, 1, 2]
    assert known_among(ids, ids[:1]).tolist() == [True, False, False]


def test_ids_that_are_no_valid_text_have_a_digest() -> None:
    assert len(set(ids_of(["\ud800", "\udfff", ""]).tolist())) == 3


def test_rows_know_their_place_in_a_record_of_several() -> None:
    found = predicted([Record("a", 10, (0.1, 0.2, 0.3)), Record("b", 20, (0.9,))])
    rows = zip(found.row.tolist(), found.size.tolist(), values_of(found.columns["p"]), strict=True)
    assert sorted(rows) == [(0, 1, 0.9), (0, 3, 0.1), (1, 3, 0.2), (2, 3, 0.3)]


def test_a_retry_with_the_same_id_is_a_repeated_record() -> None:
    found = predicted([Record("a", 10, (0.1, 0.2)), Record("a", 11, (0.1, 0.2))])
    assert (found.rows, found.records, found.repeated) == (4, 2, 1)
    assert found.row.tolist() == [0, 0, 1, 1]


def test_a_column_that_the_capture_lacks_is_missing() -> None:
    found = predictions_of(batch_of([Record("a", 0, (0.5,))]), ["p", "group"])
    assert values_of(found.columns["group"]) == [None]


def test_predictions_without_rows_merge() -> None:
    nothing = merge_predictions([])
    assert (nothing.rows, nothing.records, nothing.repeated) == (0, 0, 0)
    assert merge_predictions([nothing, predicted([])]).rows == 0


def test_merged_predictions_are_those_of_the_whole() -> None:
    records = [Record(f"id-{i}", i, (i / 100, i / 50)) for i in range(40)]
    whole = predicted(records)
    merged = merge_predictions([predicted(records[25:]), predicted(records[:25])])
    assert merged.ids.tobytes() == whole.ids.tobytes()
    assert merged.row.tolist() == whole.row.tolist()
    assert merged.times.tolist() == whole.times.tolist()
    assert values_of(merged.columns["p"]) == values_of(whole.columns["p"])
    assert merged.columns["p"].types == whole.columns["p"].types


def test_the_same_event_of_a_batch_that_was_cut_keeps_its_id() -> None:
    batch = batch_of([Record("a", 0, (0.5,)), Record("b", 7, (0.6,))])
    found = predictions_of(batch.take(np.array([1])), ["p"])
    assert (found.ids == ids_of(["b"])).all()
    assert found.times.tolist() == [7]
