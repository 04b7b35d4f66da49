"""Labels beside predictions."""

from __future__ import annotations

import pytest

from driftgauge.columns import TypeCounts
from driftgauge.labels.identity import ids_of
from driftgauge.labels.join import join_labels
from driftgauge.labels.truth import merge_labels
from tests.unit.labels.world import Record, labels_from, predicted, values_of

ONE = [Record("a", 0, (0.5,))]


def test_a_row_without_a_label_is_missing() -> None:
    joined = join_labels(predicted(ONE), labels_from([("b", (1.0,))]))
    assert values_of(joined.label) == [None]
    assert (joined.counts.rows, joined.counts.labelled) == (1, 0)


def test_labels_that_nobody_predicted_count_for_nothing() -> None:
    joined = join_labels(predicted(ONE), labels_from([("a", (1.0,)), ("b", (1.0,)), ("b", (0.0,))]))
    assert values_of(joined.label) == [1.0]
    assert (joined.counts.duplicates, joined.counts.corrected) == (0, 0)


def test_the_later_collection_wins_whatever_comes_first() -> None:
    early = labels_from([("a", (0.0,))], collected=3600, modified=9000, digest="ff" * 16)
    late = labels_from([("a", (1.0,))], collected=7200, modified=8000, digest="00" * 16)
    for parts in ([early, late], [late, early]):
        assert values_of(join_labels(predicted(ONE), merge_labels(parts)).label) == [1.0]


def test_of_one_collection_the_object_written_last_wins() -> None:
    first = labels_from([("a", (0.0,))], modified=8000, digest="ff" * 16)
    second = labels_from([("a", (1.0,))], modified=9000, digest="00" * 16)
    assert values_of(join_labels(predicted(ONE), merge_labels([second, first])).label) == [1.0]


def test_of_one_object_the_last_line_wins() -> None:
    joined = join_labels(predicted(ONE), labels_from([("a", (1.0,)), ("a", (0.0,))]))
    assert values_of(joined.label) == [0.0]
    assert (joined.counts.duplicates, joined.counts.corrected) == (0, 1)


def test_the_same_label_again_is_a_duplicate_and_another_a_correction() -> None:
    truths = [("a", (value,)) for value in (1.0, 1.0, 0.0, 1.0, 1.0, 1.0)]
    counts = join_labels(predicted(ONE), labels_from(truths)).counts
    assert (counts.labelled, counts.duplicates, counts.corrected) == (1, 3, 2)


def test_a_text_and_a_number_are_different_labels() -> None:
    counts = join_labels(predicted(ONE), labels_from([("a", ("yes",)), ("a", (1.0,))])).counts
    assert (counts.duplicates, counts.corrected) == (0, 1)


def test_a_retry_gets_the_label_in_both_records() -> None:
    records = [Record("a", 0, (0.1, 0.2)), Record("a", 5, (0.1, 0.2))]
    joined = join_labels(predicted(records), labels_from([("a", ("no", "yes"))]))
    assert values_of(joined.label) == ["no", "no", "yes", "yes"]
    assert (joined.counts.labelled, joined.counts.repeated) == (4, 1)


def test_a_record_needs_as_many_labels_as_rows() -> None:
    records = [Record("a", 0, (0.1, 0.2)), Record("b", 0, (0.3,))]
    joined = join_labels(predicted(records), labels_from([("a", (1.0,)), ("b", (1.0,))]))
    assert sorted(map(str, values_of(joined.label))) == ["1.0", "None", "None"]
    assert (joined.counts.labelled, joined.counts.mismatched) == (1, 2)


def test_of_two_records_of_one_id_only_the_fitting_one_is_labelled() -> None:
    records = [Record("a", 0, (0.1, 0.2)), Record("a", 0, (0.3, 0.4, 0.5))]
    predictions = predicted(records)
    joined = join_labels(predictions, labels_from([("a", (7.0, 8.0, 9.0))]))
    found = dict(zip(values_of(predictions.columns["p"]), values_of(joined.label), strict=True))
    assert found == {0.1: None, 0.2: None, 0.3: 7.0, 0.4: 8.0, 0.5: 9.0}
    assert (joined.counts.labelled, joined.counts.mismatched) == (3, 2)


def test_the_delay_is_that_of_the_first_label_not_of_its_correction() -> None:
    first = labels_from([("a", (0.0,))], collected=3600, digest="00" * 16)
    second = labels_from([("a", (1.0,))], collected=90_000, digest="11" * 16)
    counts = join_labels(predicted(ONE), merge_labels([second, first])).counts
    assert counts.coverage_at(4000) == pytest.approx(1.0)
    assert counts.median_delay == pytest.approx(3600, rel=0.1)


def test_labels_keep_their_types() -> None:
    records = [Record(name, 0, (0.5,)) for name in "abc"]
    labels = labels_from([("a", ("true",)), ("b", ("late",)), ("c", (2.5,))])
    assert join_labels(predicted(records), labels).label.types == TypeCounts(
        fractional=1, boolean=1, text=1
    )


def test_no_predictions_and_no_labels_join() -> None:
    nothing = join_labels(predicted([]), labels_from([]))
    assert nothing.label.rows == 0
    assert nothing.counts.coverage is None
    assert join_labels(predicted([]), labels_from([("a", (1.0,))])).counts.rows == 0
    assert join_labels(predicted(ONE), labels_from([])).counts.coverage == 0.0


def test_matching_and_the_rest_are_all_labels() -> None:
    labels = labels_from([("a", (1.0, 2.0)), ("b", ("x",)), ("a", (3.0, 4.0)), ("c", (5.0,))])
    ids = predicted([Record("a", 0, (0.1,)), Record("z", 0, (0.1,))]).ids
    matched, rest = labels.matching(ids), labels.without(ids)
    assert (matched.records, matched.distinct, rest.records) == (2, 1, 2)
    assert values_of(matched.values) == [1.0, 2.0, 3.0, 4.0]
    again = merge_labels([rest, matched])
    assert again.ids.tobytes() == labels.ids.tobytes()
    assert values_of(again.values) == values_of(labels.values)
    assert labels.without(ids_of([])).records == 4


def test_a_source_without_entries_is_forgotten() -> None:
    both = merge_labels(
        [
            labels_from([("a", (1.0,))], digest="00" * 16),
            labels_from([("b", (1.0,))], digest="11" * 16),
        ]
    )
    assert [source.digest for source in both.matching(ids_of(["b"])).sources] == ["11" * 16]


def test_an_object_that_is_read_twice_counts_once() -> None:
    first = labels_from([("a", (1.0,))], modified=5000)
    again = labels_from([("a", (1.0,))], modified=6000)
    both = merge_labels([again, first])
    assert both.records == 1
    assert both.sources == first.sources
