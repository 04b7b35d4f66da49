"""Plain prediction files of models that SageMaker does not host."""

from __future__ import annotations

import gzip
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import CaptureError
from tests.unit.sources_world import HOUR, read_all, values_of

START = int(HOUR.timestamp())


def read(
    data: bytes, mapping: dict[str, Any] | None = None, *, key: str = "a.csv", **options: Any
) -> dict[str, RowBatch]:
    capture = {"format": "predictions", "mapping": mapping or {}}
    return read_all(data, capture=capture, key=key, columns=("score", "age", "plan"), **options)


def only(found: dict[str, RowBatch]) -> RowBatch:
    (batch,) = found.values()
    return batch


@pytest.mark.parametrize(
    "time", ["2026-03-02T10:00:07Z", "2026-03-02 11:00:07+01:00", START + 7, START * 1000 + 7500]
)
def test_times_are_iso_seconds_or_milliseconds_in_every_format(time: Any) -> None:
    mapping = {"time": "ts", "id": "request"}
    csv = f"ts,request,score,age\n{time},007,0.5,31\n".encode()
    line = json.dumps({"ts": time, "request": "007", "score": 0.5, "age": 31}).encode()
    for data, key in ((csv, "a.csv"), (gzip.compress(csv), "a.csv.gz"), (line, "a.jsonl")):
        batch = only(read(data, mapping, key=key))
        assert batch.inference_time.tolist() == [START + 7]
        assert batch.event_ids == ("007",)
        assert list(batch.columns) == ["score", "age"]


def test_columns_are_chosen_and_renamed() -> None:
    mapping = {"time": "ts", "columns": {"p": "score", "input.age": "age"}}
    line = {"ts": START, "p": 0.5, "input": {"age": 31, "zip": "x"}, "agent": "curl"}
    batch = only(read(json.dumps(line).encode(), mapping, key="a.json"))
    assert {name: values_of(batch, name) for name in batch.columns} == {
        "score": [0.5],
        "age": [31],
    }


def test_variants_are_kept_apart_and_unknown_ones_counted() -> None:
    rejects = Rejects()
    data = b"ts,id,model,score\n" + b"".join(
        f"{START + i},r{i},{model},0.{i}\n".encode() for i, model in enumerate(("a", "b", "a", "x"))
    )
    found = read(
        data,
        {"time": "ts", "id": "id", "variant": "model"},
        variants=("a", "b"),
        rejects=rejects,
    )
    assert found["a"].event_ids == ("r0", "r2")
    assert values_of(found["a"], "score") == [0.0, 0.2]
    assert found["a"].inference_time.tolist() == [START, START + 2]
    assert (found["b"].rows, found["b"].records) == (1, 1)
    assert rejects.counts == {"unknown variant": 1}
    assert rejects.samples[0].line == 5


def test_without_a_time_column_the_folder_of_the_key_counts() -> None:
    assert only(read(b"score,age\n0.5,31\n")).inference_time.tolist() == [START]


def test_rows_without_a_usable_time_are_counted() -> None:
    rejects = Rejects()
    data = f"ts,score\nsoon,1\n,2\n{START},3\n1e99,4\n".encode()
    assert only(read(data, {"time": "ts"}, rejects=rejects)).rows == 1
    assert rejects.counts == {"no inference time": 3}


def test_names_stand_in_for_a_header_and_for_the_keys_of_arrays() -> None:
    mapping = {"time": "ts", "names": ["ts", "score", "age"]}
    for data, key in ((b"%d,0.5,31\n", "a.csv"), (b"[%d, 0.5, 31]\n", "a.jsonl")):
        batch = only(read(data % START, mapping, key=key))
        assert values_of(batch, "age") == [31]


def test_bad_rows_cost_themselves_only() -> None:
    rejects = Rejects()
    data = b"score,age,plan\n1,2,x\n1,2\n\xff,2,x\n3,4,y\r\n"
    batch = only(read(data, rejects=rejects))
    assert values_of(batch, "plan") == ["x", "y"]
    assert rejects.counts == {"wrong number of columns": 1, "not utf-8": 1}
    rejects = Rejects()
    lines = b'{"score": 1}\nnope\n{}\n{"score": 2}\n'
    assert values_of(only(read(lines, key="a.jsonl", rejects=rejects)), "score") == [1, 2]
    assert rejects.counts == {"not json": 1, "no values": 1}


def test_quoted_cells_may_hold_commas_and_line_ends() -> None:
    rejects = Rejects()
    data = b'ts,score,plan\n%d,1,"a ""b"", c\nd"\n%d,2,plain\n%d,3\n' % (START, START, START)
    batch = only(read(data, {"time": "ts"}, rejects=rejects))
    assert values_of(batch, "plan") == ['a "b", c\nd', "plain"]
    assert rejects.counts == {"wrong number of columns": 1}
    assert rejects.samples[0].line == 5


@pytest.mark.parametrize(
    ("data", "key", "message"),
    [
        (b"a,a\n1,2\n", "a.csv", "names 'a' twice"),
        (b"a,b\n1,2\n", "a.csv", "first line has no column 'ts'"),
        (b"nope\nneither\n", "a.jsonl", "nothing in it is JSON"),
        (b"PAR1", "a.parquet", "Parquet"),
        (b"\x1f\x8b\x08broken", "a.csv.gz", "gzip"),
    ],
)
def test_files_that_cannot_be_read_are_errors(data: bytes, key: str, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        read(data, {"time": "ts"}, key=key)


def test_a_large_file_is_the_same_in_any_cut() -> None:
    rows = 20_000
    text = "".join(f"{START + i % 60},{i},{i / 8},w{i % 3}\n" for i in range(rows))
    found = read(f"ts,age,score,plan\n{text}".encode(), {"time": "ts"})
    batch = only(found)
    assert values_of(batch, "age") == list(range(rows))
    assert values_of(batch, "plan")[:4] == ["w0", "w1", "w2", "w0"]
    assert batch.columns["score"].types.present == rows


def test_parquet_is_read_where_a_reader_is_installed() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    moment = HOUR + timedelta(seconds=7)
    table = arrow.table(
        {
            "ts": [moment, None, moment],
            "id": ["007", "8", "9"],
            "score": [0.5, 0.6, 0.7],
            "age": [31, 32, None],
            "plan": ["gold", "free", "gold"],
        }
    )
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    rejects = Rejects()
    mapping = {"time": "ts", "id": "id"}
    batch = only(read(stream.getvalue(), mapping, key="a.parquet", rejects=rejects))
    assert batch.inference_time.tolist() == [START + 7, START + 7]
    assert batch.event_ids == ("007", "9")
    assert values_of(batch, "age") == [31, None]
    assert values_of(batch, "plan") == ["gold", "gold"]
    assert rejects.counts == {"no inference time": 1}
