"""Capture objects of every kind an endpoint writes."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from driftgauge.capture import lines as lines_module
from driftgauge.capture.cells import CellDecoder
from driftgauge.capture.joining import join_batches
from driftgauge.capture.reader import read_capture
from driftgauge.capture.records import RecordReader
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Column, Rejects, RowBatch
from driftgauge.errors import CaptureError

TIME = "2022-04-18T00:21:48Z"
SECONDS = 1_650_241_308
AB = CaptureSchema(inputs=("a", "b"), outputs=("p",))
LLM_FILE = "34-30-683-55126149-826d-415a-967b-33fa7f4666f3.jsonl"


def record(
    given: object = None,
    returned: object = None,
    *,
    encoding: str | None = "CSV",
    output_encoding: str | None = None,
    **metadata: object,
) -> bytes:
    data: dict[str, Any] = {}
    if given is not None:
        data["endpointInput"] = {"mode": "INPUT", "data": given, "encoding": encoding}
    if returned is not None:
        name = output_encoding or encoding
        data["endpointOutput"] = {"mode": "OUTPUT", "data": returned, "encoding": name}
    event = {"eventId": "e1", "inferenceTime": TIME, **metadata}
    line = {"captureData": data, "eventMetadata": event, "eventVersion": "0"}
    return json.dumps(line).encode() + b"\n"


def read(data: bytes, schema: CaptureSchema = AB) -> tuple[RowBatch | None, Rejects]:
    rejects = Rejects()
    stream = io.BytesIO(data)
    batches = list(read_capture(stream, schema=schema, source="key", rejects=rejects))
    return (join_batches(batches) if batches else None), rejects


def rows(data: bytes, schema: CaptureSchema = AB) -> RowBatch:
    batch, rejects = read(data, schema)
    assert rejects.counts == {}
    assert batch is not None
    return batch


def values(columns: Mapping[str, Column]) -> dict[str, list[float | str | None]]:
    return {
        name: [value_of(column, i) for i in range(column.rows)] for name, column in columns.items()
    }


def value_of(column: Column, row: int) -> float | str | None:
    if column.missing is not None and column.missing[row]:
        return None
    if column.codes is not None and column.codes[row] >= 0:
        return column.words[int(column.codes[row])]
    return float(column.numbers[row])


def test_a_csv_record_becomes_a_row_with_outputs_first() -> None:
    batch = rows(record("1,red", "0.5\n"))
    assert list(batch.columns) == ["p", "a", "b"]
    assert values(batch.columns) == {"p": [0.5], "a": [1.0], "b": ["red"]}
    assert batch.inference_time.tolist() == [SECONDS]
    assert batch.event_ids == ("e1",)


def test_the_callers_inference_id_wins_over_the_event_id() -> None:
    assert rows(record("1,2", "3", inferenceId="mine")).event_ids == ("mine",)
    assert rows(record("1,2", "3", inferenceId="")).event_ids == ("e1",)


def test_a_record_of_many_rows_keeps_them_together() -> None:
    batch = rows(record("1,2\n3,4\n", "0.1\n0.2\n") + record("5,6", "0.3", eventId="e2"))
    assert batch.records == 2
    assert batch.record_of_row.tolist() == [0, 0, 1]
    assert batch.event_ids == ("e1", "e2")
    assert values(batch.columns)["a"] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize(
    "moment",
    [
        TIME,
        "2022-04-18T00:21:48.999Z",
        "2022-04-18T00:21:48",
        "2022-04-18T02:21:48+02:00",
        "20220418T002148Z",
        f" {TIME} ",
    ],
)
def test_any_iso_time_is_understood(moment: str) -> None:
    assert rows(record("1,2", "3", inferenceTime=moment)).inference_time.tolist() == [SECONDS]


@pytest.mark.parametrize("moment", [None, "", "{%s}", "soon", 5, ["x"], "2022-13-01T00:00:00Z"])
def test_a_record_without_a_usable_time_is_rejected(moment: object) -> None:
    batch, rejects = read(record("1,2", "3", inferenceTime=moment))
    assert batch is None
    assert rejects.counts == {"no inference time": 1}


def test_a_missing_side_leaves_its_columns_out() -> None:
    assert list(rows(record("1,2")).columns) == ["a", "b"]
    assert list(rows(record(None, "3")).columns) == ["p"]
    both = rows(record("1,2") + record("3,4", "0.5"))
    assert values(both.columns)["p"] == [None, 0.5]
    assert list(both.columns) == ["p", "a", "b"]


def test_a_record_without_any_payload_is_rejected() -> None:
    assert read(record())[1].counts == {"no payload": 1}


def test_empty_cells_are_missing() -> None:
    batch = rows(record("1,\n,x\n,", "1\n2\n3"))
    assert values(batch.columns) == {
        "p": [1.0, 2.0, 3.0],
        "a": [1.0, None, None],
        "b": [None, "x", None],
    }


def test_types_are_counted_by_how_a_value_is_written() -> None:
    batch = rows(record("1,true\n1.0,2\n1e3,x", "1.5\n2.0\n3"))
    a, b, p = (batch.columns[name].types for name in ("a", "b", "p"))
    assert (a.integral, a.fractional) == (1, 2)
    assert (b.boolean, b.integral, b.text) == (1, 1, 1)
    assert (p.integral, p.fractional) == (1, 2)


def test_windows_line_ends_and_blank_lines_are_no_rows() -> None:
    batch = rows(b"\r\n" + record("1,2\r\n\r\n3,4\r\n", "5\r\n6").replace(b"\n", b"\r\n") + b"\n\n")
    assert values(batch.columns) == {"p": [5.0, 6.0], "a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_quoted_cells_may_hold_commas_quotes_and_newlines() -> None:
    batch = rows(record('1,"New York, NY"\n2,"say ""hi"""\n3,"two\nlines"', "1\n2\n3"))
    assert values(batch.columns)["b"] == ["New York, NY", 'say "hi"', "two\nlines"]


def test_a_row_of_the_wrong_width_is_rejected_alone() -> None:
    batch, rejects = read(record("1,2\n3\n5,6", "0.1\n0.2\n0.3") + record("1,2,3", "4"))
    assert batch is not None
    assert values(batch.columns) == {"p": [0.1, 0.3], "a": [1.0, 5.0], "b": [2.0, 6.0]}
    assert batch.record_of_row.tolist() == [0, 0]
    assert rejects.counts == {"wrong number of columns": 2}
    assert [sample.line for sample in rejects.samples] == [1, 2]


def test_irregular_records_keep_their_place_among_regular_ones() -> None:
    middle = record(
        '{"instances": [[7, "x"]]}', '{"predictions": [0.7]}', encoding="JSON", eventId="m"
    )
    batch = rows(record("1,u") * 3 + middle + record("2,v", "0.2") + record("3,u"))
    assert values(batch.columns)["a"] == [1.0, 1.0, 1.0, 7.0, 2.0, 3.0]
    assert values(batch.columns)["b"] == ["u", "u", "u", "x", "v", "u"]
    assert batch.columns["b"].words == ("u", "x", "v")
    assert batch.event_ids[3] == "m"
    assert next(iter(batch.columns)) == "p"


def test_input_and_output_must_agree_on_rows() -> None:
    assert read(record("1,2\n3,4", "5\n6\n7"))[1].counts == {"input and output disagree on rows": 1}


def test_one_line_of_scores_answers_as_many_rows() -> None:
    assert values(rows(record("1,2\n3,4", "0.1,0.2")).columns)["p"] == [0.1, 0.2]
    array = record("1,2\n3,4", "[0.1, 0.2]", output_encoding="JSON")
    assert values(rows(array).columns)["p"] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        ('{"instances": [{"features": [1, "x"]}]}', '{"predictions": [{"p": 0.5}]}'),
        ('{"instances": [{"a": 1, "b": "x"}]}', '{"predictions": [0.5]}'),
        ('{"instances": [[1, "x"]]}', '{"predictions": [[0.5]]}'),
        ('{"a": 1, "b": "x"}', '{"p": 0.5}'),
        ('[1, "x"]', "0.5"),
        ('[[1, "x"]]', "[[0.5]]"),
        ('[{"a": 1, "b": "x"}]', '[{"p": 0.5}]'),
        ('{"features": [1, "x"]}', '{"p": 0.5}\n'),
        ('{"features": {"a": 1, "b": "x"}}', "[0.5]"),
    ],
)
def test_json_payloads_of_many_shapes_are_the_same_row(given: str, returned: str) -> None:
    batch = rows(record(given, returned, encoding="JSON"))
    assert values(batch.columns) == {"p": [0.5], "a": [1.0], "b": ["x"]}


def test_json_lines_are_rows() -> None:
    given = '{"features": [1, 2]}\n[3, 4]\n\n{"a": 5, "b": null}\n'
    batch = rows(record(given, "0.1\n0.2\n0.3", encoding="JSON"))
    assert values(batch.columns) == {
        "p": [0.1, 0.2, 0.3],
        "a": [1.0, 3.0, 5.0],
        "b": [2.0, 4.0, None],
    }


def test_base64_payloads_are_told_by_their_looks() -> None:
    def encode(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    data = record(encode("1,2"), encode('{"p": 0.5}'), encoding="BASE64")
    assert values(rows(data).columns) == {"p": [0.5], "a": [1.0], "b": [2.0]}
    bad = record("%%%", encoding="BASE64") + record(
        base64.b64encode(b"\xff").decode(), encoding="BASE64"
    )
    assert read(bad)[1].counts == {"payload cannot be decoded": 2}


def test_input_and_output_may_have_different_encodings() -> None:
    data = record("1,2", '{"predictions": [{"score": 0.5}]}', output_encoding="JSON")
    assert values(rows(data).columns) == {"score": [0.5], "a": [1.0], "b": [2.0]}


def test_an_unknown_encoding_is_told_by_the_looks_of_the_payload() -> None:
    for encoding in (None, "csv", "TEXT"):
        assert values(rows(record("1,2", "3", encoding=encoding)).columns)["b"] == [2.0]


def test_without_names_columns_are_numbered_from_the_outputs_on() -> None:
    batch = rows(record("1,2", "0.1,0.9"), CaptureSchema())
    assert list(batch.columns) == ["_c0", "_c1", "_c2", "_c3"]
    named = rows(record("[1, 2]", '{"score": 0.1}', encoding="JSON"), CaptureSchema())
    assert list(named.columns) == ["score", "_c0", "_c1"]


def test_an_input_and_an_output_of_one_name_are_kept_apart() -> None:
    data = record('{"a": 1, "p": 9}', '{"a": 2, "p": 0.5}', encoding="JSON")
    assert values(rows(data).columns) == {
        "output.a": [2.0],
        "p": [0.5],
        "a": [1.0],
        "input.p": [9.0],
    }
    unnamed = record('{"a": 1}', '{"a": 2}', encoding="JSON")
    assert values(rows(unnamed, CaptureSchema()).columns) == {"a": [2.0], "input.a": [1.0]}


def test_a_schema_names_each_column_once() -> None:
    with pytest.raises(CaptureError, match="'a' are named twice"):
        CaptureSchema(inputs=("a", "b"), outputs=("a",))


def test_nested_objects_become_dotted_names() -> None:
    data = record(
        '{"inputs": "hi", "parameters": {"top_p": 0.9, "stop": ["a", "b"]}}', encoding="JSON"
    )
    assert values(rows(data).columns) == {
        "inputs": ["hi"],
        "parameters.top_p": [0.9],
        "parameters.stop.0": ["a"],
        "parameters.stop.1": ["b"],
    }


def test_python_spellings_of_numbers_are_numbers_in_json() -> None:
    batch = rows(record('{"a": NaN, "b": -Infinity}', encoding="JSON"))
    assert batch.columns["a"].types.fractional == 1
    assert batch.columns["b"].numbers.tolist() == [-np.inf]


def test_json_is_bad_when_it_does_not_parse_or_holds_nothing() -> None:
    bad = ["{", '{"a": "\\ud800", "b": NaN}', "[" * 10_000, "[]", "{}", "", '{"instances": []}']
    rejects = read(b"".join(record(text, encoding="JSON") for text in bad))[1]
    assert rejects.counts == {
        "payload is not json": 3,
        "payload is nested too deep": 1,
        "no rows": 2,
        "no values": 1,
    }


def test_strange_names_are_only_names() -> None:
    data = record('{"__proto__": 1, "<script>alert(1)</script>": 2}', encoding="JSON")
    assert list(rows(data).columns) == ["__proto__", "<script>alert(1)</script>"]


def test_a_row_with_thousands_of_columns_is_rejected() -> None:
    wide = json.dumps({f"c{i}": i for i in range(5000)})
    assert read(record(wide, encoding="JSON"))[1].counts == {"too many columns": 1}


def test_rows_that_share_no_column_cannot_exhaust_memory() -> None:
    lines = "\n".join(f'{{"c{i}": 1}}' for i in range(10_000))
    rejects = read(record(lines, encoding="JSON"), CaptureSchema())[1]
    assert rejects.counts["too many columns"] > 1000


def test_bad_lines_are_counted_and_their_neighbours_survive() -> None:
    good = record("1,2", "3")
    bad = [
        b"not json\n",
        good[:50] + b"\n",
        b"5\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b'{"captureData": 1}\n',
    ]
    bad.append(good.replace(b"1,2", b"\xff\xfe"))
    bad.append(good.replace(b"1,2", b"\\ud800"))
    batch, rejects = read(good + good.join(bad) + good)
    assert batch is not None
    assert batch.rows == 1 + len(bad)
    assert rejects.counts == {
        "not json": 3,
        "not a capture record": 3,
        "nested too deep": 1,
        "not utf-8": 1,
    }
    assert [sample.line for sample in rejects.samples[:3]] == [2, 4, 6]


def test_gzip_and_a_byte_order_mark_are_seen_through() -> None:
    data = record("1,2", "3")
    assert rows(gzip.compress(data) + gzip.compress(data)).rows == 2
    assert rows(b"\xef\xbb\xbf" + data).rows == 1


def test_an_object_without_a_line_of_json_is_an_error() -> None:
    for junk in (b"a,b\n1,2\n", bytes(range(256)) * 10, b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(CaptureError, match=r"^key: not a single line is JSON"):
            read(junk)


def test_an_empty_object_is_no_rows() -> None:
    assert read(b"")[0] is None
    assert read(b"\n\n")[0] is None


def test_corrupt_gzip_is_an_error() -> None:
    data = gzip.compress(record("1,2", "3") * 1000)
    for broken in (data[:-10], data[:12] + b"\x00" * 10 + data[22:], b"\x1f\x8bjunk"):
        with pytest.raises(CaptureError, match=r"^key: corrupt gzip"):
            read(broken)


def test_a_gzip_bomb_is_an_error() -> None:
    bomb = gzip.compress(b" " * 3_000_000)
    with (
        patch.object(lines_module, "RATIO_FREE_BYTES", 1_000_000),
        pytest.raises(CaptureError, match="expands more than"),
    ):
        read(bomb)


def test_a_line_that_is_too_long_is_skipped() -> None:
    long = b'{"captureData": "' + b"x" * 5000 + b'"}\n'
    good = record("1,2", "3")
    with patch.object(lines_module, "MAX_LINE_BYTES", 1000):
        for data in (
            good + long + good,
            long + good + good,
            good + good + long,
            good + good + long[:-1],
        ):
            for chunk_bytes in (100, 1500, 100_000):
                rejects = Rejects()
                batches = list(
                    read_capture(
                        io.BytesIO(data),
                        schema=AB,
                        source="k",
                        rejects=rejects,
                        chunk_bytes=chunk_bytes,
                    )
                )
                assert sum(batch.rows for batch in batches) == 2
                assert rejects.counts == {"line too long": 1}
                assert len(rejects.samples[0].excerpt) <= 500


def test_plain_csv_never_reaches_the_tolerant_reader() -> None:
    data = record("1,red\n,blue", "0.5\n0.25") * 50 + record("3,18-25\n4,", "1\n2")
    with patch.object(RecordReader, "read", side_effect=AssertionError):
        assert rows(data).rows == 102


def test_well_quoted_csv_never_reaches_the_tolerant_reader() -> None:
    data = record('1,"New York, NY"\n"2",""', "0.5\n0.25\n") * 20 + record('3,"say ""hi"""', '"1"')
    with patch.object(RecordReader, "read", side_effect=AssertionError):
        batch = rows(data)
    assert batch.columns["b"].words == ("New York, NY", 'say "hi"')
    assert batch.columns["a"].types.integral == 41
    assert batch.columns["b"].missing is not None


def test_a_huge_record_is_read_in_pieces() -> None:
    text = "\n".join(f"{i},{'uv'[i % 2]}" for i in range(1000))
    quoted = text.replace("u", '"u,u"')
    with (
        patch("driftgauge.capture.regular._PIECE_CHARACTERS", 50),
        patch.object(RecordReader, "read", side_effect=AssertionError),
    ):
        assert values(rows(record(text)).columns)["a"] == list(range(1000))
        assert rows(record(quoted)).columns["b"].words == ("u,u", "v")


def test_an_object_that_is_one_endless_line_is_an_error() -> None:
    with (
        patch.object(lines_module, "MAX_LINE_BYTES", 1000),
        pytest.raises(CaptureError, match="not a single line is JSON"),
    ):
        read(b"x" * 5000)


def test_an_open_quote_spoils_its_own_record_only() -> None:
    batch, rejects = read(
        record("1,2", "3") + record('1,"x', "3") + record('1,2",3', "3") + record("4,5", "6")
    )
    assert batch is not None
    assert values(batch.columns)["b"] == [2.0, "x", 5.0]
    assert rejects.counts == {"wrong number of columns": 1}


def test_without_simdjson_the_result_is_the_same() -> None:
    text = (
        "\n".join(f"{i}.5,{i},c{i % 3}" for i in range(100))
        + "\n-0,,c1\n1e400,18446744073709551616,"
    )
    with patch("driftgauge.capture.cells.simdjson", None):
        slow = CellDecoder().decode(text, rows=102, width=3)
    fast = CellDecoder().decode(text, rows=102, width=3)
    assert slow is not None
    assert fast is not None
    for left, right in zip(slow, fast, strict=True):
        np.testing.assert_array_equal(left.numbers, right.numbers)
        assert (left.types, left.words) == (right.types, right.words)


def test_high_cardinality_words_keep_their_order() -> None:
    words = [f"id-{i * 7919 % 5000}" for i in range(6000)]
    columns = CellDecoder().decode("\n".join(words), rows=6000, width=1)
    assert columns is not None
    assert columns[0].words == tuple(dict.fromkeys(words))
    assert [columns[0].words[code] for code in columns[0].codes] == words  # type: ignore[union-attr]


def test_real_captures_of_the_sdk_are_read(shared: Path) -> None:
    folder = shared / "data/sagemaker-python-sdk@v2.257.6/tests/data/monitor"
    batch = rows((folder / "captured-data.jsonl").read_bytes(), CaptureSchema())
    assert (batch.rows, batch.records) == (6, 2)
    assert values(batch.columns)["_c0"] == [3.5, 4.0, 5.5] * 2
    template = (folder / "capture.jsonl").read_bytes()
    assert read(template)[1].counts == {"no inference time": template.count(b"\n") + 1}
    filled = rows(template.replace(b"{%s}", TIME.encode()), CaptureSchema())
    assert filled.rows == template.count(b"\n") + 1
    assert list(filled.columns) == [f"_c{i}" for i in range(8)]


def test_real_captures_of_the_notebooks_are_read(shared: Path) -> None:
    folder = shared / "data/amazon-sagemaker-examples/extracted_from_notebooks"
    for name, records, width in (
        ("bias_endpoint_json.capture.jsonl", 2, 16),
        ("explain_endpoint_jsonl.capture.jsonl", 2, 16),
        ("dataquality_intro.capture_first2000chars.jsonl", 3, 70),
    ):
        batch = rows((folder / name).read_bytes(), CaptureSchema())
        assert (batch.records, len(batch.columns)) == (records, width)
        assert all(column.missing is None for column in batch.columns.values())


def test_a_real_capture_of_a_language_model_is_read(shared: Path) -> None:
    folder = shared / "data/sample-aiops-on-amazon-sagemakerai"
    batch = rows((folder / LLM_FILE).read_bytes())
    assert batch.rows == 3
    assert batch.columns["generated_text"].types.text == 3
    assert values(batch.columns)["parameters.max_new_tokens"] == [512.0] * 3
