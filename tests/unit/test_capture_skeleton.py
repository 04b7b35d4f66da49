"""Records that differ in nothing but their texts are read without being parsed."""

from __future__ import annotations

import io
import json
from unittest.mock import patch

import numpy as np
import pytest

from driftgauge.capture.cells import CellDecoder
from driftgauge.capture.envelope import Envelopes, Moments
from driftgauge.capture.joining import join_batches
from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.skeleton import FixedTexts
from driftgauge.columns import Rejects, RowBatch

AB = CaptureSchema(inputs=("a", "b"), outputs=("p",))


def line(given: str, returned: str, *, spaced: bool = False, **metadata: str) -> bytes:
    record = {
        "captureData": {
            "endpointInput": {"mode": "INPUT", "data": given, "encoding": "CSV"},
            "endpointOutput": {"mode": "OUTPUT", "data": returned, "encoding": "CSV"},
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": "2022-04-18T00:21:48Z", **metadata},
        "eventVersion": "0",
    }
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(record, separators=separators, ensure_ascii=False).encode()


def read(lines: list[bytes], schema: CaptureSchema = AB) -> RowBatch:
    rejects = Rejects()
    stream = io.BytesIO(b"\n".join(lines))
    batches = list(read_capture(stream, schema=schema, source="s", rejects=rejects))
    assert rejects.counts == {}
    return join_batches(batches)


def read_without_parsing(lines: list[bytes]) -> RowBatch:
    with patch.object(Envelopes, "decode", side_effect=AssertionError("parsed")):
        return read(lines)


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("end", ["", "\n"])
def test_records_alike_are_not_parsed(spaced: bool, end: str) -> None:
    batch = read_without_parsing(
        [
            line(f"{i},w{i % 2}{end}", f"0.{i}{end}", spaced=spaced, eventId=f"e{i:03d}")
            for i in range(100)
        ]
    )
    assert (batch.rows, batch.records) == (100, 100)
    assert batch.event_ids == tuple(f"e{i:03d}" for i in range(100))
    assert batch.columns["a"].numbers.tolist() == list(range(100))
    assert batch.columns["b"].words == ("w0", "w1")
    assert list(batch.columns) == ["p", "a", "b"]


def test_records_alike_may_have_different_numbers_of_rows() -> None:
    batch = read_without_parsing(
        [line("1,x\n2,y\n", "1\n2\n"), line("3,z", "3"), line("4,x\n5,x\n6,x", "4\n5\n6")]
    )
    assert batch.record_of_row.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.columns["p"].numbers.tolist() == [1, 2, 3, 4, 5, 6]


def test_the_callers_id_counts_whatever_its_length() -> None:
    batch = read_without_parsing([line("1,2", "3", inferenceId="x" * (i + 1)) for i in range(4)])
    assert batch.event_ids == ("x", "xx", "xxx", "xxxx")


def test_texts_that_look_like_one_another_are_told_apart() -> None:
    batch = read_without_parsing(
        [line("data,INPUT", "data", eventId="data"), line("e,INPUT", "e", eventId="data")]
    )
    assert batch.columns["a"].words == ("data", "e")
    assert batch.columns["p"].words == ("data", "e")
    assert batch.event_ids == ("data", "data")


def test_cells_of_very_different_lengths_are_read_alike() -> None:
    long = "x" * 900
    batch = read_without_parsing([line(f"1,{long}", "1")] + [line("2,y", "2")] * 200)
    assert batch.columns["b"].words == (long, "y")
    assert batch.columns["a"].numbers.tolist() == [1.0] + [2.0] * 200
    assert read([line("1," + "x" * 5000, "1"), line("2,é", "2")]).columns["b"].words[1] == "é"


@pytest.mark.parametrize(
    "odd",
    [
        line("1,2", "3", inferenceTime="2022-04-18T00:21:48.5Z"),
        line('1,"2"', "3"),
        line("1,\\n", "3"),
        line("1,\t", "3"),
        line("1,\u20ac", "3", eventId="{"),
        line("1,2", "3").replace(b'"CSV"', b'"csv"'),
        line("1,2", "3").replace(b'"mode":"INPUT",', b""),
        line("1,2", "3").replace(b'"data":"1,2"', b'"data":"1,2","data":"1,7"'),
        line("1,2", "3") + b" ",
    ],
)
def test_an_odd_record_is_read_as_it_would_be_alone(odd: bytes) -> None:
    alone = read([odd])
    batch = read([line("8,9", "1"), odd, line("8,9", "1")])
    assert batch.records == 3
    for name, column in batch.columns.items():
        single = alone.columns[name]
        assert column.numbers[1] == single.numbers[0] or np.isnan(single.numbers[0])
        assert set(single.words) <= set(column.words)
    assert batch.event_ids[1] == alone.event_ids[0]


def test_only_the_odd_lines_of_a_block_are_parsed() -> None:
    lines = [line(f"{i},w{i % 2}", "0.5", eventId=f"e{i:04d}") for i in range(1000)]
    lines[300] = line("300,w0", "0.5", eventId="e0300", inferenceTime="2022-04-18T00:21:48+00:00")
    lines[700] = b"{"
    rejects = Rejects()
    parsed = []
    decode = Envelopes.decode

    def watched(self: Envelopes[object], some: list[bytes], first: int) -> object:
        parsed.extend(some)
        return decode(self, some, first)

    with patch.object(Envelopes, "decode", watched):
        stream = io.BytesIO(b"\n".join(lines) + b"\n")
        [batch] = read_capture(stream, schema=AB, source="s", rejects=rejects)
    assert parsed == [lines[300], lines[700]]
    assert (rejects.counts, rejects.samples[0].line) == ({"not json": 1}, 701)
    numbers = [i for i in range(1000) if i != 700]
    assert batch.columns["a"].numbers.tolist() == numbers
    assert list(batch.event_ids) == [f"e{i:04d}" for i in numbers]


def test_words_of_a_column_are_told_apart_from_block_to_block() -> None:
    decoder = CellDecoder()
    for first in (0, 3, 0, 2000, 1):
        words = [f"w{i % 1500}" for i in range(first, first + 10)] + ["w0", f"long word {first}"]
        columns = decoder.decode("\n".join(words), rows=12, width=1)
        assert columns is not None
        [column] = columns
        assert column.words == tuple(dict.fromkeys(words))
        assert column.codes is not None
        assert [column.words[code] for code in column.codes] == words


def test_a_record_of_another_width_is_still_rejected() -> None:
    rejects = Rejects()
    data = b"\n".join([line("1,2", "3"), line("1,2,3", "3"), line("1,2", "")])
    [batch] = read_capture(io.BytesIO(data), schema=AB, source="s", rejects=rejects)
    assert batch.records == 1
    assert rejects.counts == {
        "wrong number of columns": 1,
        "input and output disagree on rows": 1,
    }
    assert [sample.line for sample in rejects.samples] == [2, 3]


def test_line_numbers_go_on_after_records_that_are_alike() -> None:
    rejects = Rejects()
    data = b"\n".join([*[line("1,2", "3")] * 50, b"oops"])
    batches = list(
        read_capture(io.BytesIO(data), schema=AB, source="s", rejects=rejects, chunk_bytes=2000)
    )
    assert sum(batch.records for batch in batches) == 50
    assert [sample.line for sample in rejects.samples] == [51]


def test_times_are_read_together_as_one_by_one() -> None:
    good = ["2022-04-18T00:21:48Z", "2022-04-18T23:59:59Z", "2022-04-18T00:00:00Z"]
    for texts in (good, [*good, "2022-04-19T00:00:01Z"], ["2022-04-18 05:00:00Z"] * 2):
        table = np.array([list(text.encode()) for text in texts], dtype=np.uint8)
        found = Moments().read_all(table)
        assert found is not None
        assert found.tolist() == [Moments().read(text) for text in texts]


@pytest.mark.parametrize("clock", ["24:00:00Z", "00:60:00Z", "00:00:61Z", "00:0a:00Z", "00-00:00Z"])
def test_one_unusable_time_makes_all_of_them_unusable(clock: str) -> None:
    texts = ["2022-04-18T00:21:48Z", f"2022-04-18T{clock}"]
    table = np.array([list(text.encode()) for text in texts], dtype=np.uint8)
    assert Moments().read_all(table) is None


def test_texts_of_one_length_are_a_sequence() -> None:
    texts = FixedTexts(b"a1b2c3", length=2)
    assert list(texts) == ["a1", "b2", "c3"]
    assert (texts[-1], texts[::2]) == ("c3", ("a1", "c3"))
    assert texts == ("a1", "b2", "c3")
    assert hash(texts) == hash(FixedTexts(b"a1b2c3", length=2))
    assert texts != ["a1", "b2", "c3"]
    with pytest.raises(IndexError):
        texts[3]


def test_an_integer_beyond_64_bits_is_a_number() -> None:
    columns = CellDecoder().decode("1\n" + "9" * 40, rows=2, width=1)
    assert columns is not None
    assert columns[0].numbers.tolist() == [1.0, 1e40]
    assert columns[0].types.integral == 2
