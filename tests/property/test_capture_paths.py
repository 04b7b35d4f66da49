"""The vectorised reader and the tolerant reader agree on every file."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftgauge.capture import reader
from driftgauge.capture.cells import CellDecoder
from driftgauge.capture.joining import join_batches
from driftgauge.capture.reader import read_capture
from driftgauge.capture.regular import RegularReader
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.types import column_of_values
from driftgauge.columns import Column, Rejects, RowBatch
from driftgauge.errors import CaptureError

NAMED = CaptureSchema(inputs=("a", "b", "c"), outputs=("p",))
ODD_CELLS = [
    *["-0", "-0.0", "+5", " 5", "5 ", "- 5", "01", ".5", "5.", "1e400", "1e-400", "[1", "2]", "[]"],
    *["NaN", "inf", "true", "false", "null", "18-25", "2015-07-01", "a b", "\t1", "é", "\x00", "{"],
    *[
        "9" * 40,
        "18446744073709551616",
        "9007199254740993",
        "0.1e+5",
        "1E5",
        "x" * 70,
        "x" * 63,
        "abcdefgh",
    ],
    *["abcdefghi", "abcdefgi", "-", "e", "1-2", "__proto__", "<script>", "1_000", "\u0661"],
]
QUOTED = ["x", "1", '"1"', '"x"', '""', '"x,y"', '"x""y"', '"x\ny"', '"x\n\ny"', 'x"y', '"x', 'x"']
cells = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["red", "green", "blue", ""]),
    st.sampled_from(ODD_CELLS),
)
plain_cells = st.one_of(st.integers(0, 99).map(str), st.sampled_from(["1.5", "2.0", "1e3"]))


@st.composite
def sides(draw: st.DrawFn, width: int, rows: int) -> dict[str, object]:
    mood = draw(st.sampled_from(["plain", "plain", "cells", "wrong", "quoted", "json", "junk"]))
    drawn = cells if mood != "plain" else plain_cells
    table = [[draw(drawn) for _ in range(width)] for _ in range(rows)]
    if mood == "wrong":
        draw(st.sampled_from(table)).append("7")
    if mood == "quoted":
        for row in table:
            row[0] = draw(st.sampled_from(QUOTED))
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n"]))
    data = end.join(",".join(row) for row in table) + draw(st.sampled_from(["", "", end]))
    if mood == "json":
        return {"data": json.dumps({"instances": table}), "encoding": "JSON"}
    if mood == "junk":
        junk = st.sampled_from([None, 5, "", "\n", {f"x{width}": 1}, [1, 2, 3], "{", "1,2,3"])
        return {"data": draw(junk), "encoding": draw(st.sampled_from(["CSV", None, "BASE64"]))}
    if draw(st.integers(0, 3)) == 0:
        return {"data": base64.b64encode(data.encode()).decode(), "encoding": "BASE64"}
    return {"data": data, "encoding": "CSV", "observedContentType": draw(st.none())}


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    rows = draw(st.sampled_from([1, 1, 1, 2, 3]))
    data = {}
    if draw(st.integers(0, 9)):
        data["endpointInput"] = draw(sides(3, rows))
    if draw(st.integers(0, 9)):
        data["endpointOutput"] = draw(sides(1, draw(st.sampled_from([rows, rows, rows, 1, 2]))))
    time = draw(st.sampled_from(["2022-04-18T00:21:48Z"] * 6 + ["2022-04-18T02:21:48+02:00", "x"]))
    metadata: dict[str, object] = {"eventId": "e", "inferenceTime": time}
    metadata.update(draw(st.sampled_from([{}, {}, {"inferenceId": "i"}, {"inferenceId": 5}])))
    record = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
    line = json.dumps(record, ensure_ascii=draw(st.booleans())).encode()
    if not draw(st.integers(0, 19)):
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.binary(max_size=3)) + line[at + draw(st.integers(0, 3)) :]
    return line


files = st.lists(lines(), min_size=1, max_size=12).map(b"\n".join)


@st.composite
def records_alike(draw: st.DrawFn) -> bytes:
    """A file of records that one container writes, with up to two odd ones and an odd byte."""
    count = draw(st.integers(1, 12))
    keys = draw(st.permutations(["captureData", "eventMetadata", "eventVersion"]))
    sides = draw(st.sampled_from([["endpointInput", "endpointOutput"]] * 3 + [["endpointInput"]]))
    ids = draw(st.sampled_from([["eventId"], ["eventId", "inferenceId"], [], ["inferenceId"]]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    end = draw(st.sampled_from(["", "", "\n", "\n\n"]))
    mood = draw(st.sampled_from(["plain", "cells", "long"]))
    drawn = {
        "plain": plain_cells,
        "cells": cells,
        "long": st.integers(0, 3).map(lambda n: "x" * 9**n),
    }[mood]
    found = []
    for i in range(count):
        rows = draw(st.sampled_from([1, 1, 1, 2, 3]) if end != "" else st.just(1))
        data = {}
        for side in draw(st.permutations(sides)) if not draw(st.integers(0, 19)) else sides:
            width = 3 if side == "endpointInput" else 1
            table = [",".join(draw(drawn) for _ in range(width)) for _ in range(rows)]
            data[side] = {
                "observedContentType": "text/csv",
                "data": "\n".join(table) + end,
                "encoding": "CSV",
            }
        time = draw(st.sampled_from(["2022-04-18T00:21:48Z"] * 9 + ["2022-04-19T23:59:59Z", "é"]))
        metadata = {
            name: draw(st.sampled_from([f"{name}-{i}", f"{name}-{i}"] * 9 + ["data", "", "{", "é"]))
            for name in ids
        }
        record = {
            "captureData": data,
            "eventMetadata": {**metadata, "inferenceTime": time},
            "eventVersion": "0",
        }
        record = {key: record[key] for key in keys}
        line = json.dumps(record, ensure_ascii=False, separators=separators)
        found.append(line.encode())
    lines = b"\n".join(found)
    if not draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(lines)))
        odd = st.sampled_from(
            [b"", b"{", b'"', b"\\", b"\\n", b",", b"\n", b"\0", b"\xff", b" ", b"1"]
        )
        lines = lines[:at] + draw(odd) + lines[at + draw(st.integers(0, 2)) :]
    return lines


@st.composite
def records_mostly_alike(draw: st.DrawFn) -> bytes:
    """A file of records that one container writes, with any lines between them."""
    found = draw(records_alike()).split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        odd = draw(st.one_of(lines(), st.sampled_from([b"", b"{", b"\xff", b"[{}]", found[0]])))
        found.insert(draw(st.integers(0, len(found))), odd)
    return b"\n".join(found)


@contextmanager
def only_the_tolerant_reader() -> Iterator[None]:
    with (
        patch.object(RegularReader, "read", lambda *_: None),
        patch.object(RegularReader, "read_match", lambda *_: None),
        patch.object(RegularReader, "flags", lambda _, records, __: [False] * len(records)),
    ):
        yield


def read(
    data: bytes, schema: CaptureSchema, *, chunk_bytes: int = 1 << 18
) -> tuple[RowBatch | None, Rejects, str | None]:
    rejects = Rejects()
    error = None
    batches = []
    stream = io.BytesIO(data)
    try:
        for batch in read_capture(
            stream, schema=schema, source="s", rejects=rejects, chunk_bytes=chunk_bytes
        ):
            batches.append(batch)
    except CaptureError as raised:
        error = str(raised)
    return (join_batches(batches) if batches else None), rejects, error


def assert_same_column(left: Column, right: Column) -> None:
    np.testing.assert_array_equal(left.numbers, right.numbers)
    assert not np.signbit(left.numbers[left.numbers == 0]).any()
    assert left.types == right.types
    assert left.words == right.words
    for one, other in ((left.codes, right.codes), (left.missing, right.missing)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)


def assert_same_batch(left: RowBatch | None, right: RowBatch | None) -> None:
    assert (left is None) == (right is None)
    if left is None or right is None:
        return
    assert (left.rows, left.records, left.event_ids) == (right.rows, right.records, right.event_ids)
    np.testing.assert_array_equal(left.inference_time, right.inference_time)
    np.testing.assert_array_equal(left.record_of_row, right.record_of_row)
    assert left.columns.keys() == right.columns.keys()
    for name, column in left.columns.items():
        assert_same_column(column, right.columns[name])


@settings(max_examples=150, deadline=None)
@given(data=files, schema=st.sampled_from([NAMED, NAMED, CaptureSchema()]))
def test_both_readers_read_the_same_from_any_file(data: bytes, schema: CaptureSchema) -> None:
    with patch("driftgauge.capture.regular._PIECE_CHARACTERS", 40):
        batch, rejects, error = read(data, schema)
    with only_the_tolerant_reader():
        expected, expected_rejects, expected_error = read(data, schema)
    assert_same_batch(batch, expected)
    assert rejects == expected_rejects
    assert error == expected_error


@settings(max_examples=150, deadline=None)
@given(
    data=records_alike(),
    schema=st.sampled_from([NAMED, NAMED, NAMED, CaptureSchema()]),
    chunk_bytes=st.sampled_from([1 << 18, 1 << 18, 1000]),
)
def test_records_that_are_alike_are_read_as_if_one_by_one(
    data: bytes, schema: CaptureSchema, chunk_bytes: int
) -> None:
    if schema is not NAMED:
        chunk_bytes = 1 << 18  # which columns there are is learned from the first batch
    batch, rejects, error = read(data, schema, chunk_bytes=chunk_bytes)
    with only_the_tolerant_reader():
        expected, expected_rejects, expected_error = read(data, schema, chunk_bytes=chunk_bytes)
    assert_same_batch(batch, expected)
    assert rejects.counts == expected_rejects.counts
    assert error == expected_error


@settings(max_examples=150, deadline=None)
@given(data=records_mostly_alike(), least=st.sampled_from([0.0, 0.5]))
def test_odd_lines_between_lines_that_are_alike_change_nothing(data: bytes, least: float) -> None:
    with patch.object(reader, "_LEAST_ALIKE", least):
        batch, rejects, error = read(data, NAMED)
    with only_the_tolerant_reader():
        expected, expected_rejects, expected_error = read(data, NAMED)
    assert_same_batch(batch, expected)
    # Samples of bad lines come before those of bad records of the same batch.
    assert rejects.counts == expected_rejects.counts
    assert sorted(map(str, rejects.samples)) == sorted(map(str, expected_rejects.samples))
    assert error == expected_error


@settings(max_examples=60, deadline=None)
@given(data=files, chunk_bytes=st.integers(1, 400), compressed=st.booleans())
def test_the_size_of_chunks_and_compression_change_nothing(
    data: bytes, chunk_bytes: int, compressed: bool
) -> None:
    expected = read(data, NAMED)
    with patch.object(reader, "_BATCH_BYTES", 1):
        found = read(gzip.compress(data, 1) if compressed else data, NAMED, chunk_bytes=chunk_bytes)
    assert_same_batch(found[0], expected[0])
    # Samples of bad lines come before those of bad records of the same batch.
    assert found[1].counts == expected[1].counts
    assert sorted(map(str, found[1].samples)) == sorted(map(str, expected[1].samples))
    assert found[2] == expected[2]


tables = st.lists(st.tuples(cells, cells), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(tables, min_size=1, max_size=4), short=st.booleans())
@example(parts=[[("[1", "2]")]], short=True)
@example(parts=[[("1", ""), ("", "")]], short=True)
@example(
    parts=[[("1", "a"), ("2", "b")], [("3", "b"), ("4", "a")], [("5", "c"), ("6", "7")]],
    short=False,
)
@example(parts=[[("1", "a" * 9)], [("1", "a")], [("1", "a" * 9)], [("1", "a" * 70)]], short=False)
@example(parts=[[("1", "2.5")] * 3, [("1", "a")], [("0.123456789", "a")]] * 2, short=True)
# More rows than are looked at first for the words of a column.
@example(
    parts=[[("1", "a"), ("2", "b"), ("3", "c")], [("1", "b")] * 5000 + [("1", "a")]], short=True
)
def test_the_cell_decoder_reads_each_cell_by_the_rules(
    parts: list[list[tuple[str, str]]], short: bool
) -> None:
    decoder = CellDecoder()
    if not short:
        # All numbers are left to the parser of JSON.
        decoder._untried = len(parts)
    for table in parts:
        text = "\n".join(",".join(row) for row in table)
        columns = decoder.decode(text, rows=len(table), width=2)
        assert columns is not None
        for column, values in zip(columns, zip(*table, strict=True), strict=True):
            assert_same_column(column, column_of_values(list(values)))
