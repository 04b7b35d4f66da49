"""Scripts of the user: what they are given, what they may return, how they may fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driftgauge.capture.hooks import (
    EventMetadata,
    HookRecordError,
    InferenceRecord,
    Preprocessor,
    RecordSide,
    run_postprocess,
)
from driftgauge.capture.payload import PayloadError
from driftgauge.columns import Rejects
from driftgauge.errors import HookError
from tests.unit.sources_world import HOUR, read_all, values_of

AS_DOCUMENTED = """
def preprocess_handler(inference_record):
    input_data = inference_record.endpoint_input.data
    output_data = inference_record.endpoint_output.data.rstrip("\\n")
    data = output_data + "," + input_data
    return {str(i).zfill(20): d for i, d in enumerate(data.split(","))}
"""
SAMPLING = """
import json

def preprocess_handler(inference_record, logger):
    metadata = inference_record.event_metadata
    if metadata.custom_attribute is not None:
        attributes = json.loads(metadata.custom_attribute[0])
        if attributes.get("testIndicator") == "true":
            logger.info("left out")
            return []
    return {"age": float(inference_record.endpoint_input.data), "score": 1}
"""


def capture(given: str = "31,gold", returned: str = "0.5\n", **metadata: Any) -> bytes:
    return json.dumps(
        {
            "captureData": {
                "endpointInput": {
                    "data": given,
                    "encoding": "CSV",
                    "observedContentType": "text/csv",
                    "mode": "INPUT",
                },
                "endpointOutput": {"data": returned, "encoding": "CSV"},
            },
            "eventMetadata": {
                "eventId": "event-1",
                "inferenceTime": "2026-03-02T10:00:00Z",
                **metadata,
            },
            "eventVersion": "0",
        }
    ).encode()


def read(data: bytes, script: str, **options: Any) -> Any:
    found = read_all(
        data,
        columns=("score", "age", "plan"),
        outputs=("score",),
        preprocess=script,
        **options,
    )
    return found.get("AllTraffic")


def test_the_documented_script_maps_numbered_keys_to_the_baselines_columns() -> None:
    batch = read(capture() + b"\n" + capture(), AS_DOCUMENTED)
    assert list(batch.columns) == ["score", "age", "plan"]
    assert values_of(batch, "plan") == ["gold", "gold"]
    assert batch.columns["age"].types.integral == 2
    assert batch.event_ids == ("event-1", "event-1")
    assert batch.inference_time[0] == int(HOUR.timestamp())


def test_it_works_on_a_real_capture(shared: Path) -> None:
    folder = shared / "data/amazon-sagemaker-examples/extracted_from_notebooks"
    data = (folder / "dataquality_intro.capture_first2000chars.jsonl").read_bytes()
    names = ("Churn", *(f"x{i}" for i in range(69)))
    (batch,) = read_all(data, columns=names, preprocess=AS_DOCUMENTED).values()
    (plain,) = read_all(data, columns=names).values()
    assert list(batch.columns) == list(plain.columns) == list(names)
    for name in names:
        assert values_of(batch, name) == values_of(plain, name)


def test_a_dropped_record_is_counted_as_dropped_and_not_as_rejected() -> None:
    rejects = Rejects()
    lines = [
        capture("31", customAttributes=['{"testIndicator": "true"}']),
        capture("40", customAttributes=['{"testIndicator": "false"}']),
        capture("50"),
    ]
    batch = read(b"\n".join(lines), SAMPLING, rejects=rejects)
    assert values_of(batch, "age") == [40, 50]
    assert (rejects.total, rejects.dropped) == (0, 1)


def test_a_list_of_dicts_is_a_row_each() -> None:
    script = """
def preprocess_handler(record):
    return [{"age": int(line)} for line in record.endpoint_input.data.split()]
"""
    batch = read(capture("1\n2\n3"), script)
    assert (batch.rows, batch.records, values_of(batch, "age")) == (3, 1, [1, 2, 3])


def test_an_exception_costs_its_record_and_says_which_and_where() -> None:
    rejects = Rejects()
    script = """
def preprocess_handler(record):
    return {"age": float(record.endpoint_input.data)}
"""
    data = capture("31") + b"\n" + capture("old", inferenceId="call-7") + b"\n" + capture("32")
    options = {"capture": {"hooks": {"preprocess": "hooks/mine.py"}}, "rejects": rejects}
    assert values_of(read(data, script, **options), "age") == [31, 32]
    assert rejects.counts == {"preprocess hook failed": 1}
    (sample,) = rejects.samples
    assert sample.line == 2
    assert sample.excerpt == (
        "record call-7: ValueError: could not convert string to float: 'old' (line 3)"
    )


def test_a_script_that_exits_or_recurses_costs_a_record_only() -> None:
    rejects = Rejects()
    script = """
import sys

def preprocess_handler(record):
    if record.endpoint_input.data == "1":
        sys.exit("enough")
    if record.endpoint_input.data == "2":
        return preprocess_handler(record)
    return {"age": 3}
"""
    data = b"\n".join(capture(text) for text in "123")
    assert values_of(read(data, script, rejects=rejects), "age") == [3]
    assert rejects.counts == {"preprocess hook failed": 2}


@pytest.mark.parametrize("returned", ["5", "'text'", "[1, 2]", "({'a': 1},)"])
def test_anything_but_rows_is_rejected(returned: str) -> None:
    hook = Preprocessor(f"def preprocess_handler(r): return {returned}".encode(), name="h")
    with pytest.raises(PayloadError, match="no columns"):
        hook.rows(InferenceRecord())


@pytest.mark.parametrize("returned", ["[]", "{}", "None"])
def test_nothing_drops_the_record(returned: str) -> None:
    hook = Preprocessor(f"def preprocess_handler(r): return {returned}".encode(), name="h")
    assert hook.rows(InferenceRecord()) == []


def test_numbered_keys_that_fit_no_columns_are_rejected() -> None:
    code = b"def preprocess_handler(r): return {'0': 1, '1': 2}"
    assert Preprocessor(code, name="h", columns=[("a", "b")]).rows(InferenceRecord()) == [
        {"a": 1, "b": 2}
    ]
    with pytest.raises(PayloadError, match="wrong number of columns"):
        Preprocessor(code, name="h", columns=[("a",)]).rows(InferenceRecord())


def test_numbers_of_numpy_are_numbers() -> None:
    code = b"import numpy as np\ndef preprocess_handler(r): return {'age': np.int64(4)}"
    assert Preprocessor(code, name="h").rows(InferenceRecord()) == [{"age": 4}]


def test_the_record_has_the_attributes_that_scripts_use() -> None:
    script = """
def preprocess_handler(record, logger=None):
    side = record.endpoint_input
    return {
        "sides": f"{side.encoding} {side.observed_content_type} {side.mode}",
        "ids": f"{record.event_id} {record.event_metadata.event_id} "
               f"{record.event_metadata.inference_id} {record.event_metadata.inference_time}",
        "custom": f"{record.custom_attributes} {record.event_metadata.custom_attributes}",
        "absent": str(record.batch_transform_output),
        "version": record.event_version,
    }
"""
    (batch,) = read_all(
        capture(inferenceId="call", customAttributes=["a"]), preprocess=script
    ).values()
    assert {name: values_of(batch, name)[0] for name in batch.columns} == {
        "sides": "CSV text/csv INPUT",
        "ids": "event-1 event-1 call 2026-03-02T10:00:00Z",
        "custom": "['a'] ['a']",
        "absent": "None",
        "version": 0,
    }


def test_rows_of_a_batch_transform_come_one_at_a_time() -> None:
    script = """
def preprocess_handler(record):
    return {"score": record.batch_transform_output.data, "age": len(record.event_id)}
"""
    (batch,) = read_all(
        b'[{"prefix": "s3://b/o/"}, "x.out"]',
        capture={"format": "batch-transform"},
        columns=("score", "age"),
        bucket={"s3://b/o/x.out": b"0.5,id-1,2026-03-02T10:00:00Z\n0.7,id-22,2026-03-02T10:00:01Z"},
        preprocess=script,
    ).values()
    assert values_of(batch, "score") == [0.5, 0.7]
    assert values_of(batch, "age") == [4, 5]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def preprocess_handler(:", "cannot be loaded: SyntaxError"),
        ("import no_such_package", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit"),
        ("def other(): pass", r"no function preprocess_handler\(\)"),
        ("preprocess_handler = 3", r"no function preprocess_handler\(\)"),
        ("\x00", "cannot be loaded"),
    ],
)
def test_a_script_that_cannot_be_loaded_is_a_clear_error(script: str, message: str) -> None:
    with pytest.raises(HookError, match=message):
        Preprocessor(script.encode(), name="hooks/mine.py")


def test_errors_of_a_hook_name_their_line() -> None:
    hook = Preprocessor(b"def preprocess_handler(r):\n    return r.nothing", name="h")
    with pytest.raises(HookRecordError, match=r"AttributeError: .*nothing.* \(line 2\)"):
        hook.rows(
            InferenceRecord(
                endpoint_input=RecordSide(data="1"), event_metadata=EventMetadata(event_id="e")
            )
        )


def test_a_postprocess_script_is_called_and_its_exception_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "done"
    code = f"from pathlib import Path\ndef postprocess_handler(): Path({str(place)!r}).touch()"
    run_postprocess(code.encode(), name="h")
    assert place.exists()
    with pytest.raises(HookError, match=r"postprocess_handler failed: ZeroDivisionError.*line 1"):
        run_postprocess(b"def postprocess_handler(): 1 / 0", name="h")
