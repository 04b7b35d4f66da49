"""Training data."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from driftgauge.capture import table as table_module
from driftgauge.capture.joining import join_columns
from driftgauge.capture.table import TableFormat, read_table, table_format_of
from driftgauge.columns import Column
from driftgauge.errors import BaselineError


def read(data: bytes, format: TableFormat = "csv", **options: Any) -> tuple[int, dict[str, Column]]:
    tables = list(read_table(io.BytesIO(data), source="train", format=format, **options))
    names = dict.fromkeys(name for table in tables for name in table.columns)
    columns = {
        name: join_columns([(table.columns.get(name), table.rows) for table in tables])
        for name in names
    }
    return sum(table.rows for table in tables), columns


def test_a_first_row_without_numbers_is_a_header() -> None:
    count, columns = read(b"age,plan\n31,gold\n,none\n")
    assert (count, list(columns)) == (2, ["age", "plan"])
    assert columns["age"].numbers[0] == 31.0
    assert columns["plan"].words == ("gold", "none")


def test_a_first_row_with_a_number_is_data() -> None:
    count, columns = read(b"1,gold\n2,none\n")
    assert (count, list(columns)) == (2, ["_c0", "_c1"])


def test_a_file_of_words_has_no_header_unless_told() -> None:
    assert read(b"plan\ngold\n")[0] == 2
    assert read(b"plan\ngold\n", header=True)[0] == 1
    assert list(read(b"plan,2015\n1,2\n", header=True)[1]) == ["plan", "2015"]


def test_given_names_win_over_a_header() -> None:
    count, columns = read(b"age,plan\n31,gold\n", names=("x", "y"))
    assert (count, list(columns)) == (1, ["x", "y"])


def test_quoted_cells_and_quoted_headers_work() -> None:
    data = b'"age, years","city"\r\n31,"New York, NY"\r\n32,"two\nlines"\r\n33,x\r\n'
    count, columns = read(data)
    assert (count, list(columns)) == (3, ["age, years", "city"])
    assert columns["city"].words == ("New York, NY", "two\nlines", "x")
    assert columns["age, years"].types.integral == 3


def test_a_header_without_names_is_filled_and_a_double_one_refused() -> None:
    assert list(read(b"a,\n1,2\n")[1]) == ["a", "_c1"]
    with pytest.raises(BaselineError, match="'a' twice"):
        read(b"a,a\n1,2\n")


@pytest.mark.parametrize("data", [b"1,2\n3\n4,5\n", b'1,2\n"3"\n4,5\n'])
def test_a_row_of_another_width_is_named(data: bytes) -> None:
    with pytest.raises(BaselineError, match="line 2 has 1 columns instead of 2"):
        read(data)


def test_many_chunks_are_one_table() -> None:
    lines = [f"{i},{'ab'[i % 2]},{i / 7!r}" for i in range(5000)]
    data = ("id,word,value\n" + "\n".join(lines)).encode()
    quoted = ('"id","word","value"\n' + '"0","a",0.0\n' + "\n".join(lines[1:])).encode()
    with (
        patch.object(table_module, "_CHUNK_BYTES", 1000),
        patch.object(table_module, "_TABLE_ROWS", 99),
    ):
        for source in (data, quoted, gzip.compress(data)):
            count, columns = read(source)
            assert count == 5000
            assert columns["id"].numbers.tolist() == list(range(5000))
            assert columns["value"].numbers.tolist() == [i / 7 for i in range(5000)]
            assert columns["word"].words == ("a", "b")


def test_json_lines_and_documents_are_rows() -> None:
    objects = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}, {"b": "x"}]
    text = [
        "\n".join(map(json.dumps, objects)),
        json.dumps(objects),
        json.dumps({"instances": objects}, indent=1),
        json.dumps(objects, indent=2),
    ]
    for data in text:
        count, columns = read(data.encode(), "jsonl")
        assert count == 3
        assert columns["b"].words == ("x", "y")
        assert columns["a"].types.integral == 1


def test_features_arrays_are_named_by_position() -> None:
    data = b'{"features": [1, 2], "label": 0}\n{"features": [3, 4], "label": 1}\n'
    assert list(read(data, "jsonl")[1]) == ["_c0", "_c1", "label"]
    assert list(read(data, "jsonl", names=("a", "b"))[1]) == ["a", "b", "label"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\noops\n', "line 2: payload is not json"),
        (b"oops", "payload is not json"),
        (b"[1, 2]\n[3]\n", "has 1 columns instead of 2"),
        (b'{"a": "\xff"}', "utf-8"),
        (b"\x1f\x8bjunk", "corrupt gzip"),
    ],
)
def test_bad_json_is_an_error_that_names_the_source(data: bytes, message: str) -> None:
    with pytest.raises(BaselineError, match=message) as caught:
        read(data, "jsonl")
    assert str(caught.value).startswith("train: ")


def test_no_rows_is_no_table() -> None:
    assert read(b"") == (0, {})
    assert read(b"\n\n", "jsonl") == (0, {})


def test_the_format_is_told_by_the_name() -> None:
    names = ["a.CSV", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"]
    assert [table_format_of(name) for name in names] == ["csv", "csv", *["jsonl"] * 3, "parquet"]
    with pytest.raises(BaselineError, match="unknown kind"):
        table_format_of("a.txt")


def test_parquet_without_its_reader_is_a_clear_error() -> None:
    with (
        patch.dict("sys.modules", {"pyarrow": None}),
        pytest.raises(BaselineError, match="needs the package pyarrow"),
    ):
        read(b"PAR1", "parquet")


def test_parquet_is_read_where_its_reader_is_installed() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    data = {
        "i": [1, None, 3],
        "f": [1.0, 2.5, None],
        "s": ["x", None, "x"],
        "b": [True, None, False],
    }
    buffer = io.BytesIO()
    parquet.write_table(arrow.table(data), buffer)
    count, columns = read(buffer.getvalue(), "parquet")
    assert count == 3
    assert (columns["i"].types.integral, columns["f"].types.fractional) == (2, 2)
    assert (columns["s"].words, columns["b"].words) == (("x",), ("true", "false"))
    assert all(column.missing is not None for column in columns.values())


def test_real_training_data_is_read(shared: Path) -> None:
    folder = shared / "data/amazon-sagemaker-examples"
    for name, rows, width, first in (
        ("churn_intro/training-dataset-with-header.csv", 2333, 70, "Churn"),
        ("churn_intro/test-dataset.csv", 334, 70, "_c0"),
        ("model_quality/validation_with_predictions.csv", 201, 3, "probability"),
        ("adult_bias_json/validation-dataset.json", 666, 15, "_c0"),
        ("adult_bias_jsonl/validation-dataset.jsonl", 666, 15, "_c0"),
    ):
        data = (folder / name).read_bytes()
        count, columns = read(data, table_format_of(name))
        assert (count, len(columns), next(iter(columns))) == (rows, width, first)
        assert all(column.types.present == rows for column in columns.values())
