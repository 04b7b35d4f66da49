"""Sets of labels merge in any order, and join as dictionaries would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.labels.codec import (
    decode_labels,
    decode_predictions,
    decode_sampled_rows,
    encode_labels,
    encode_predictions,
    encode_sampled_rows,
)
from driftgauge.labels.identity import ids_of
from driftgauge.labels.join import join_labels
from driftgauge.labels.predictions import merge_predictions
from driftgauge.labels.sample import SampledRows, sample_of
from driftgauge.labels.truth import Labels, labels_of, merge_labels
from tests.unit.labels.world import (
    EPOCH,
    Entry,
    Record,
    batch_of,
    counted,
    naive_join,
    predicted,
    values_of,
)

NAMES = st.sampled_from([f"id-{i}" for i in range(6)])
VALUES = st.lists(
    st.sampled_from([0.0, 1.0, 2.5, "yes", "true", "no"]), min_size=1, max_size=3
).map(tuple)
RECORDS = st.lists(
    st.builds(
        Record,
        name=NAMES,
        time=st.integers(0, 20_000),
        scores=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=3).map(tuple),
    ),
    max_size=12,
)


@st.composite
def objects(draw: Any) -> list[tuple[int, int, str, list[tuple[str, tuple[str | float, ...]]]]]:
    """Ground-truth objects: collected, modified, digest and lines."""
    return [
        (
            draw(st.sampled_from([0, 3600, 7200])),
            draw(st.sampled_from([5000, 9000])),
            f"{number:032x}",
            draw(st.lists(st.tuples(NAMES, VALUES), max_size=8)),
        )
        for number in draw(st.permutations(range(draw(st.integers(0, 4)))))
    ]


def labels_of_objects(found: list[Any]) -> list[Labels]:
    return [
        labels_of(
            [GroundTruth(event_id=name, labels=values) for name, values in lines],
            collected=EPOCH + timedelta(seconds=collected),
            modified=EPOCH + timedelta(seconds=modified),
            digest=digest,
        )
        for collected, modified, digest, lines in found
    ]


def entries_of(found: list[Any]) -> list[Entry]:
    return [
        Entry(name, values, collected, modified * 1000, digest, line)
        for collected, modified, digest, lines in found
        for line, (name, values) in enumerate(lines)
    ]


def subsets(draw: Any, labels: Sequence[Labels]) -> Labels:
    """Return some entries of some objects."""
    names = [f"id-{i}" for i in range(6)]
    parts = []
    for part in labels:
        if draw(st.booleans()):
            kept = ids_of(draw(st.lists(st.sampled_from(names), unique=True)))
            parts.append(part.matching(np.sort(kept)))
    return merge_labels(parts)


def same(one: Labels, other: Labels) -> bool:
    return encode_labels(one) == encode_labels(other)


@settings(max_examples=150, deadline=None)
@given(records=RECORDS, found=objects(), data=st.data())
def test_a_join_says_what_dictionaries_say(
    records: list[Record], found: list[Any], data: Any
) -> None:
    labels = labels_of_objects(found)
    stored = [*labels, *data.draw(st.lists(st.sampled_from(labels)) if labels else st.just([]))]
    split = data.draw(st.integers(0, len(records)))
    predictions = merge_predictions([predicted(records[split:]), predicted(records[:split])])
    joined = join_labels(predictions, merge_labels(stored))
    naive = naive_join(records, entries_of(found))
    for name, value in counted(naive).items():
        assert getattr(joined.counts, name) == value, name
    assert joined.counts.records == len(records)
    name_of = dict(
        zip(ids_of(r.name for r in records).tolist(), (r.name for r in records), strict=True)
    )
    keys = [
        (name_of[key], size, row)
        for key, size, row in zip(
            predictions.ids.tolist(),
            predictions.size.tolist(),
            predictions.row.tolist(),
            strict=True,
        )
    ]
    assert values_of(joined.label) == [naive.labels.get(key) for key in keys]


@settings(max_examples=100, deadline=None)
@given(found=objects(), data=st.data())
def test_merging_labels_is_associative_commutative_and_idempotent(
    found: list[Any], data: Any
) -> None:
    labels = labels_of_objects(found)
    a, b, c = (subsets(data.draw, labels) for _ in range(3))
    whole = merge_labels([a, b, c])
    assert same(merge_labels([merge_labels([a, b]), c]), whole)
    assert same(merge_labels([a, merge_labels([b, c])]), whole)
    assert same(merge_labels([c, b, a]), whole)
    assert same(merge_labels([whole, whole]), whole)
    assert same(merge_labels([whole, b]), whole)


@settings(max_examples=60, deadline=None)
@given(found=objects(), names=st.lists(NAMES, unique=True))
def test_matching_and_the_rest_make_the_whole(found: list[Any], names: list[str]) -> None:
    whole = merge_labels(labels_of_objects(found))
    ids = np.sort(ids_of(names))
    matched, rest = whole.matching(ids), whole.without(ids)
    assert matched.records + rest.records == whole.records
    assert same(merge_labels([rest, matched]), whole)
    assert same(matched.matching(ids), matched)
    assert matched.without(ids).records == 0


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, found=objects(), cut=st.integers(0, 6))
def test_counts_of_separate_predictions_add_up(
    records: list[Record], found: list[Any], cut: int
) -> None:
    labels = merge_labels(labels_of_objects(found))
    left = [record for record in records if int(record.name[3:]) < cut]
    right = [record for record in records if int(record.name[3:]) >= cut]
    whole = join_labels(predicted(records), labels).counts
    parts = (join_labels(predicted(part), labels).counts for part in (left, right))
    assert next(parts) + next(parts) == whole


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, found=objects())
def test_files_change_nothing(records: list[Record], found: list[Any]) -> None:
    labels, predictions = merge_labels(labels_of_objects(found)), predicted(records)
    stored = decode_labels(encode_labels(labels))
    again = decode_predictions(encode_predictions(predictions))
    one, other = join_labels(predictions, labels), join_labels(again, stored)
    assert one.counts == other.counts
    assert values_of(one.label) == values_of(other.label)
    assert one.label.types == other.label.types


@settings(max_examples=80, deadline=None)
@given(records=RECORDS, most=st.integers(1, 8), cuts=st.tuples(*[st.integers(0, 12)] * 2))
def test_samples_add_up_to_the_sample_of_the_whole(
    records: list[Record], most: int, cuts: tuple[int, int]
) -> None:
    low, high = sorted(cuts)
    a, b, c = (
        sample_of(batch_of(part), ["p"], most=most)
        for part in (records[:low], records[low:high], records[high:])
    )
    whole = content(sample_of(batch_of(records), ["p"], most=most))
    for sample in ((a + b) + c, a + (b + c), c + a + b):
        assert content(sample) == whole
        assert content(decode_sampled_rows(encode_sampled_rows(sample))) == whole


def content(sample: SampledRows) -> tuple[object, ...]:
    """Return what a sample says; rows of one hash are in no order."""
    rows = zip(sample.keys.tolist(), sample.columns["p"].numbers.tolist(), strict=True)
    others = (getattr(sample, field.name) for field in fields(sample))
    kept = tuple(value for value in others if isinstance(value, int | None))
    return (*kept, *sorted(rows))
