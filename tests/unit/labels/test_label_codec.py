"""Files of predictions, labels, samples and counts."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

import msgspec
import numpy as np
import pytest

from driftgauge.columns import Column
from driftgauge.errors import LabelError
from driftgauge.labels.codec import (
    decode_label_counts,
    decode_labels,
    decode_parts,
    decode_predictions,
    decode_sampled_rows,
    encode_label_counts,
    encode_labels,
    encode_predictions,
    encode_sampled_rows,
)
from driftgauge.labels.join import join_labels
from driftgauge.labels.sample import sample_of
from driftgauge.labels.truth import merge_labels
from driftgauge.profile.words import count_words
from tests.columns import column_of
from tests.unit.labels.world import Record, batch_of, labels_from, predicted, values_of

RECORDS = [
    Record(f"id-{i}", 1_700_000_000 + i, (i / 7, 1e300, -0.0)[: 1 + i % 3]) for i in range(50)
]
PREDICTIONS = predicted(RECORDS)
LABELS = merge_labels(
    [
        labels_from([("a", ("yes", 1.0)), ("b", (2.5,)), ("a", ("no", "no"))]),
        labels_from([("a", (0.0,))], collected=-5, digest="ab" * 16),
    ]
)
SAMPLE = sample_of(batch_of(RECORDS), ["p", "carrier"], most=20)
COUNTS = join_labels(PREDICTIONS, labels_from([("id-0", (1.0,))])).counts
FILES: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "predictions": (encode_predictions(PREDICTIONS, parts=["0f" * 16]), decode_predictions),
    "parts": (encode_predictions(PREDICTIONS, parts=["0f" * 16]), decode_parts),
    "labels": (encode_labels(LABELS), decode_labels),
    "sample": (encode_sampled_rows(SAMPLE), decode_sampled_rows),
    "counts": (encode_label_counts(COUNTS), decode_label_counts),
}


def same_column(one: Column, other: Column) -> bool:
    bits = one.numbers.tobytes() == other.numbers.tobytes()
    return bits and values_of(one) == values_of(other) and one.types == other.types


def test_predictions_come_back() -> None:
    again = decode_predictions(encode_predictions(PREDICTIONS))
    for name in ("ids", "row", "size", "times"):
        one, other = getattr(PREDICTIONS, name), getattr(again, name)
        assert one.tobytes() == other.tobytes()
        assert one.dtype == other.dtype
    assert list(again.columns) == ["p", "carrier"]
    assert all(
        same_column(PREDICTIONS.columns[name], again.columns[name]) for name in again.columns
    )


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, None],
        [0.1, -0.0, 0.0, 1e-320, float("inf")],
        [True, False, None, "text", 7],
        [None, None],
        ["z", "a", "z", "ü", "\U0001f600", "\\ud800"],
        [0.25] * 40 + [0.5] * 40,
        [0.1] * 40 + [-0.0] * 40 + [0.0] * 40,
        [2.0**24 + i for i in range(30)],
    ],
)
def test_columns_of_any_kind_come_back(values: list[float | int | bool | str | None]) -> None:
    records = [Record(f"id-{i}", 0, (0.0,)) for i in range(len(values))]
    column = column_of(values)
    stored = replace(predicted(records), columns={"x": column})
    assert same_column(decode_predictions(encode_predictions(stored)).columns["x"], column)


def test_words_that_do_not_occur_are_not_stored() -> None:
    column = column_of(["secret", "a"]).take(np.array([1]))
    stored = replace(predicted([Record("a", 0, (0.0,))]), columns={"x": column})
    assert decode_predictions(encode_predictions(stored)).columns["x"].words == ("a",)


def test_texts_are_stored_as_they_are_counted() -> None:
    column = column_of(["\ud800", "x" * 5000])
    stored = replace(
        predicted([Record("a", 0, (0.0,)), Record("b", 0, (0.0,))]), columns={"x": column}
    )
    again = decode_predictions(encode_predictions(stored)).columns["x"]
    assert count_words(again) == count_words(column)


def test_predictions_name_what_they_are_the_sum_of() -> None:
    parts = ["ab" * 16, "00" * 16]
    assert decode_parts(encode_predictions(PREDICTIONS, parts=parts)) == set(parts)
    assert decode_parts(encode_predictions(PREDICTIONS)) == frozenset()


def test_equal_predictions_are_equal_bytes() -> None:
    backwards = predicted(RECORDS[::-1])
    parts = ["ab" * 16, "00" * 16]
    assert encode_predictions(PREDICTIONS, parts=parts) == encode_predictions(
        backwards, parts=[*parts[::-1], *parts]
    )


def test_labels_come_back() -> None:
    again = decode_labels(encode_labels(LABELS))
    for name in ("ids", "size", "source", "line", "collected"):
        one, other = getattr(LABELS, name), getattr(again, name)
        assert one.tobytes() == other.tobytes()
        assert one.dtype == other.dtype
    assert again.sources == LABELS.sources
    assert same_column(again.values, LABELS.values)


def test_samples_and_counts_come_back() -> None:
    again = decode_sampled_rows(encode_sampled_rows(SAMPLE))
    assert again.keys.tolist() == SAMPLE.keys.tolist()
    assert (again.population, again.most) == (SAMPLE.population, SAMPLE.most)
    assert again.threshold == SAMPLE.threshold
    assert all(same_column(SAMPLE.columns[name], again.columns[name]) for name in ("p", "carrier"))
    assert decode_label_counts(encode_label_counts(COUNTS)) == COUNTS


def test_nothing_comes_back_as_nothing() -> None:
    assert decode_predictions(encode_predictions(predicted([]))).rows == 0
    assert decode_labels(encode_labels(labels_from([]))).records == 0
    empty = sample_of(batch_of([]), ["p"], most=3)
    assert decode_sampled_rows(encode_sampled_rows(empty)).rows == 0


@pytest.mark.parametrize("kind", FILES)
def test_bytes_with_one_flipped_bit_are_rejected(kind: str) -> None:
    data, decode = FILES[kind]
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        with pytest.raises(LabelError):
            decode(bytes(damaged))


@pytest.mark.parametrize("kind", FILES)
def test_bytes_that_are_cut_off_or_go_on_are_rejected(kind: str) -> None:
    data, decode = FILES[kind]
    for size in (0, 3, 5, 12, 13, len(data) // 2, len(data) - 1):
        with pytest.raises(LabelError):
            decode(data[:size])
    with pytest.raises(LabelError, match="damaged"):
        decode(data + b"\x00")


@pytest.mark.parametrize("kind", FILES)
def test_a_later_format_says_what_to_install(kind: str) -> None:
    data, decode = FILES[kind]
    with pytest.raises(LabelError, match="install the driftgauge that wrote it"):
        decode(data[:4] + b"\x09" + data[5:])


def test_damage_says_what_to_do() -> None:
    data, _ = FILES["labels"]
    with pytest.raises(LabelError, match="upload its ground truth again"):
        decode_labels(data[:-1])


def forged(kind: str, change: Callable[[list[object]], None]) -> bytes:
    """Return a file whose checksum is right and whose content is not."""
    data, _ = FILES[kind]
    body, ids, parts = msgspec.msgpack.decode(data[13:])
    content = msgspec.msgpack.decode(zlib.decompress(body))
    change(content)
    packed = zlib.compress(msgspec.msgpack.encode(content))
    rest = msgspec.msgpack.encode([packed, ids, parts])
    return data[:5] + blake2b(rest, digest_size=8).digest() + rest


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("predictions", 0, b"\x01" + b"\xff" * 50),
        ("predictions", 0, b"\x01" + b"\x00" * 50),
        ("predictions", 0, b"\x05"),
        ("predictions", 0, b"\x08" + b"\xff" * 400),
        ("predictions", 1, b"\x01" + b"\x09" * 99),
        ("predictions", 3, 2**63),
        ("labels", 2, b"\x01\x07\x07\x07\x07"),
        ("labels", 3, b"\x01\x00\x00\x00\x00"),
        ("labels", 1, b"\x04" + b"\xff" * 16),
        ("labels", 5, [[2**60, 0, "a"], [2**61, 0, "b"]]),
        ("labels", 5, [[2, 0, "a"], [1, 0, "b"]]),
        ("sample", 0, 2**40),
        ("sample", 1, b"\xff" * 160),
        ("sample", 1, b"\x00"),
        ("sample", 4, 1),
        ("counts", 0, [1]),
        ("counts", 0, [-1] * 7),
        ("counts", 1, []),
    ],
)
def test_content_that_cannot_be_is_rejected(kind: str, place: int, value: object) -> None:
    def change(content: list[object]) -> None:
        assert content[place] != value
        content[place] = value

    _, decode = FILES[kind]
    with pytest.raises(LabelError, match="damaged"):
        decode(forged(kind, change))
