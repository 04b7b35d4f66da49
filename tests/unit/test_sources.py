"""Real files of every kind that Model Monitor reads, and what stands in them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from driftgauge.capture.ground_truth import read_ground_truth
from driftgauge.capture.locations import Location, locate
from driftgauge.capture.table import read_table, table_format_of
from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import CaptureError
from tests.unit.sources_world import HOUR, read_all, values_of

FEATURES = tuple(f"f{i}" for i in range(14))
COLUMNS = ("predicted_label", "score", *FEATURES)
OUTPUTS = COLUMNS[:2]
FIRST_ROW = [28, 2, 133937, 9, 13, 2, 0, 0, 4, 1, 15024, 0, 55, 37]


@pytest.fixture
def examples(shared: Path) -> Path:
    return shared / "data/amazon-sagemaker-examples"


@pytest.fixture
def cut(examples: Path) -> Path:
    return examples / "extracted_from_notebooks"


def only(found: dict[str, RowBatch]) -> RowBatch:
    (batch,) = found.values()
    return batch


def first_features(batch: RowBatch) -> list[Any]:
    return [values_of(batch, name)[0] for name in FEATURES]


@pytest.mark.parametrize(
    "name", ["bias_endpoint_json.capture.jsonl", "explain_endpoint_jsonl.capture.jsonl"]
)
def test_endpoint_captures_of_json_and_json_lines_are_read(cut: Path, name: str) -> None:
    rejects = Rejects()
    data = (cut / name).read_bytes()
    batch = only(read_all(data, columns=COLUMNS, outputs=OUTPUTS, rejects=rejects))
    assert (batch.rows, batch.records, rejects.total) == (3, 2, 0)
    assert first_features(batch) == FIRST_ROW
    assert values_of(batch, "predicted_label") == [1, 1, 1]
    assert values_of(batch, "score")[0] == pytest.approx(0.98997736)


def test_headerless_csv_takes_its_names_from_a_baseline_without_roles(
    cut: Path, examples: Path
) -> None:
    header = (examples / "churn_intro/training-dataset-with-header.csv").open().readline()
    names = tuple(header.strip().split(","))
    data = (cut / "dataquality_intro.capture_first2000chars.jsonl").read_bytes()
    batch = only(read_all(data, columns=names))
    assert tuple(batch.columns) == names
    assert values_of(batch, "Churn")[0] == pytest.approx(0.0363977253)
    assert values_of(batch, "Account Length") == [132, 130, 85]


def test_without_any_names_outputs_are_numbered_first_or_last(cut: Path) -> None:
    data = (cut / "dataquality_intro.capture_first2000chars.jsonl").read_bytes()
    first = only(read_all(data))
    last = only(read_all(data, capture={"order": "input-first"}))
    assert values_of(first, "_c0")[0] == values_of(last, "_c69")[0] == pytest.approx(0.03639772)
    assert values_of(first, "_c1") == values_of(last, "_c0") == [132, 130, 85]


def test_a_baseline_that_lists_inputs_first_names_both_sides(cut: Path) -> None:
    names = (*(f"x{i}" for i in range(69)), "churn")
    data = (cut / "dataquality_intro.capture_first2000chars.jsonl").read_bytes()
    batch = only(read_all(data, capture={"order": "input-first"}, columns=names))
    assert values_of(batch, "x0") == [132, 130, 85]
    assert values_of(batch, "churn")[2] == pytest.approx(0.017852725)


def test_rows_that_fit_no_reading_of_the_baseline_are_rejected_and_not_shifted(cut: Path) -> None:
    rejects = Rejects()
    data = (cut / "dataquality_intro.capture_first2000chars.jsonl").read_bytes()
    assert read_all(data, columns=[f"x{i}" for i in range(68)], rejects=rejects) == {}
    assert rejects.counts == {"wrong number of columns": 3}


def test_predictions_that_the_baseline_does_not_know_are_left_out(cut: Path) -> None:
    names = tuple(f"x{i}" for i in range(69))
    data = (cut / "dataquality_intro.capture_first2000chars.jsonl").read_bytes()
    assert tuple(only(read_all(data, columns=names)).columns) == names


def test_merged_records_of_an_endpoint_keep_their_time_and_id(cut: Path) -> None:
    data = (cut / "bias_endpoint_json.merged_record.jsonl").read_bytes()
    batch = only(read_all(data, capture={"format": "merged"}, columns=COLUMNS, outputs=OUTPUTS))
    assert (batch.rows, batch.event_ids) == (334, ("7",))
    assert batch.inference_time[0] == 1705694768
    assert first_features(batch) == FIRST_ROW


@pytest.mark.parametrize(
    ("name", "rows"),
    [("bias_batch_json.merged_record.jsonl", 334), ("bias_batch_jsonl.merged_record.jsonl", 1)],
)
def test_merged_records_of_a_batch_transform_count_in_the_hour_of_their_key(
    cut: Path, name: str, rows: int
) -> None:
    rejects = Rejects()
    batch = only(
        read_all(
            (cut / name).read_bytes(),
            capture={"format": "merged"},
            columns=COLUMNS,
            outputs=OUTPUTS,
            rejects=rejects,
        )
    )
    assert (batch.rows, rejects.total) == (rows, 0)
    assert set(batch.inference_time.tolist()) == {int(HOUR.timestamp())}
    assert first_features(batch) == FIRST_ROW
    assert values_of(batch, "predicted_label")[0] == 1


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("bias_endpoint_json.merged_record.jsonl", 334),
        ("bias_batch_json.merged_record.jsonl", 334),
        ("bias_batch_jsonl.merged_record.jsonl", 1),
    ],
)
def test_merged_records_hold_one_label_a_row(cut: Path, name: str, rows: int) -> None:
    stream = io.BytesIO((cut / name).read_bytes())
    (truth,) = read_ground_truth(stream, source=name, rejects=Rejects())
    assert len(truth.labels) == rows
    assert set(truth.labels) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("manifest", "output", "rows", "first_id", "moment"),
    [
        (
            "bias_batch_json.capture_output_manifest.json",
            "bias_batch_json.transform_output.json.out",
            334,
            "94bcc22a-0462-4bd1-92c9-b46a5aaec1aa",
            1705692334,
        ),
        (
            "bias_batch_jsonl.capture_output_manifest.json",
            "bias_batch_jsonl.transform_output_tail5.jsonl.out",
            5,
            "89180035-821a-41d9-87b2-67a22490de94",
            1674264544,
        ),
    ],
)
def test_manifests_lead_to_what_the_transform_wrote(
    cut: Path, manifest: str, output: str, rows: int, first_id: str, moment: int
) -> None:
    prefix, name = json.loads((cut / manifest).read_text())
    rejects = Rejects()
    batch = only(
        read_all(
            (cut / manifest).read_bytes(),
            capture={"format": "batch-transform"},
            columns=COLUMNS,
            outputs=OUTPUTS,
            bucket={prefix["prefix"] + name: (cut / output).read_bytes()},
            rejects=rejects,
        )
    )
    assert (batch.rows, rejects.total) == (rows, 0)
    assert (batch.event_ids[0], batch.inference_time[0]) == (first_id, moment)
    assert set(batch.columns) == set(COLUMNS)


@pytest.mark.parametrize(
    "data", ["adult_bias_jsonl/test-dataset.jsonl", "adult_bias_json/test-dataset.json"]
)
def test_a_manifest_of_one_object_leads_to_what_the_transform_was_given(
    cut: Path, examples: Path, data: str
) -> None:
    manifest = cut / "explain_batch_jsonl.capture_input_manifest.json"
    uri = json.loads(manifest.read_text())[0]["prefix"]
    batch = only(
        read_all(
            manifest.read_bytes(),
            capture={"format": "batch-transform", "manifests": "input"},
            columns=COLUMNS,
            outputs=OUTPUTS,
            bucket={uri: (examples / data).read_bytes()},
        )
    )
    assert batch.rows == 334
    assert first_features(batch) == FIRST_ROW
    assert batch.inference_time[0] == int(HOUR.timestamp())


def test_capture_and_labels_of_the_sdk_join_44_of_44(shared: Path) -> None:
    folder = shared / "data/sagemaker-python-sdk@v2.257.6/tests/data/monitor"
    moment = b"2022-04-18T00:21:48Z"
    capture = (folder / "capture.jsonl").read_bytes().replace(b"{%s}", moment)
    batch = only(read_all(capture))
    actuals = io.BytesIO((folder / "actuals.jsonl").read_bytes().replace(b"{%s}", moment))
    truths = {
        truth.event_id: truth.labels
        for truth in read_ground_truth(actuals, source="actuals", rejects=Rejects())
    }
    assert batch.rows == 44
    assert sum(len(truths[event]) == 1 for event in batch.event_ids) == 44
    captured = only(read_all((folder / "captured-data.jsonl").read_bytes()))
    assert values_of(captured, "_c0")[:3] == [3.5, 4, 5.5]
    assert values_of(captured, "_c1")[:3] == [1, 2, 5]


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("churn_intro/training-dataset-with-header.csv", 2333, 70),
        ("churn_intro/test-dataset.csv", 334, 70),
        ("churn_intro/test-dataset-input-cols.csv", 334, 69),
        ("churn_intro/validation.csv", 666, 70),
        ("batch_model_quality/training-dataset-with-inf-and-header.csv", 2333, 70),
        ("batch_model_quality/test-dataset-gt-col.csv", 334, 1),
        ("model_quality/validation.csv", 666, 70),
        ("model_quality/validation_with_predictions.csv", 201, 3),
        ("adult_bias_json/validation-dataset.json", 666, 15),
        ("adult_bias_json/test-dataset.json", 334, 14),
        ("adult_bias_jsonl/validation-dataset.jsonl", 666, 15),
        ("adult_bias_jsonl/test-dataset.jsonl", 334, 14),
    ],
)
def test_data_sets_are_read(examples: Path, name: str, rows: int, columns: int) -> None:
    with (examples / name).open("rb") as stream:
        tables = list(read_table(stream, source=name, format=table_format_of(name)))
    assert sum(table.rows for table in tables) == rows
    assert {len(table.columns) for table in tables} == {columns}


def test_the_example_of_the_capture_schema_is_a_capture(examples: Path) -> None:
    schema = json.loads((examples / "schema/jsonl-capture-data.schema").read_text())
    sides = schema["properties"]["captureData"]["properties"]
    assert set(sides) == {"endpointInput", "endpointOutput"}
    # The schema has null as the content type of an output.
    side = {"observedContentType": None, "mode": "OUTPUT", "data": "0.5", "encoding": "CSV"}
    record = {
        "captureData": {"endpointInput": {**side, "data": "1,2"}, "endpointOutput": side},
        "eventMetadata": {"eventId": "e", "inferenceTime": "2026-03-02T10:00:00Z"},
        "eventVersion": "0",
    }
    assert only(read_all(json.dumps(record).encode())).rows == 1


MANIFEST = b'[{"prefix": "s3://data/out/"}, "a.csv.out"]'


def transformed(data: bytes, **options: Any) -> dict[str, RowBatch]:
    settings = {"format": "batch-transform", **options.pop("capture", {})}
    return read_all(MANIFEST, capture=settings, bucket={"s3://data/out/a.csv.out": data}, **options)


def test_csv_output_with_generated_ids_is_read_with_its_times() -> None:
    data = b"0.5,id-1,2026-03-02T09:59:59Z\n0.25,007,2026-03-02T10:00:01Z\n"
    batch = only(transformed(data, columns=("score", "age"), outputs=("score",)))
    assert list(batch.columns) == ["score"]
    assert values_of(batch, "score") == [0.5, 0.25]
    assert batch.event_ids == ("id-1", "007")
    assert batch.inference_time[1] - batch.inference_time[0] == 2


def test_csv_output_without_ids_counts_in_the_manifests_hour() -> None:
    data = b"0.5\n0.25\n"
    batch = only(transformed(data, columns=("score", "age"), outputs=("score",)))
    assert set(batch.inference_time.tolist()) == {int(HOUR.timestamp())}
    assert batch.event_ids == ("", "")


def test_csv_output_joined_with_its_input_names_both() -> None:
    data = b'31,"gold, old",0.5,id-1,2026-03-02T10:00:00Z\n40,free,0.1,id-2,2026-03-02T10:00:00Z\n'
    batch = only(transformed(data, columns=("score", "age", "plan"), outputs=("score",)))
    assert values_of(batch, "plan") == ["gold, old", "free"]
    assert values_of(batch, "score") == [0.5, 0.1]


def test_bad_rows_of_a_csv_output_are_counted_and_the_others_read() -> None:
    rejects = Rejects()
    data = b"0.5,a,2026-03-02T10:00:00Z\n0.5\n\n0.7,b,never\n\xff,c,2026-03-02T10:00:00Z\n"
    batch = only(transformed(data, columns=("score", "age"), outputs=("score",), rejects=rejects))
    assert batch.rows == 1
    assert rejects.counts == {
        "wrong number of columns": 1,
        "no inference time": 1,
        "not utf-8": 1,
    }


def test_csv_output_of_unknown_width_is_an_error_that_says_where_to_name_columns() -> None:
    with pytest.raises(CaptureError, match=r"capture\.inputs"):
        transformed(b"1,2,3,4,5\n", columns=("score", "age"), outputs=("score",))


def test_json_output_over_several_lines_is_one_document() -> None:
    document = {"predictions": [{"score": 0.5}, {"score": 0.7}]}
    batch = only(transformed(json.dumps(document, indent=2).encode()))
    assert values_of(batch, "score") == [0.5, 0.7]


def test_input_without_keys_is_below_its_own_key() -> None:
    data = b'{"SageMakerInput": [31, "gold"], "SageMakerOutput": {"score": 0.5}}\n'
    batch = only(transformed(data, columns=("score", "age", "plan"), outputs=("score",)))
    assert values_of(batch, "plan") == ["gold"]


@pytest.mark.parametrize(
    "manifest",
    [b"", b"{}", b"[]", b'["a"]', b'[{"prefix": "/etc/"}, "passwd"]', b'[{"prefix": "s3://b/"}]'],
)
def test_what_is_no_manifest_is_an_error_that_says_so(manifest: bytes) -> None:
    with pytest.raises(CaptureError, match="not a manifest"):
        read_all(manifest, capture={"format": "batch-transform"})


def test_sides_of_different_encodings_are_read() -> None:
    def record(given: dict[str, str], returned: dict[str, str]) -> bytes:
        return json.dumps(
            {
                "captureData": {"endpointInput": given, "endpointOutput": returned},
                "eventMetadata": {"eventId": "e", "inferenceTime": "2026-03-02T10:00:00Z"},
            }
        ).encode()

    csv_side = {"data": "31,gold", "encoding": "CSV"}
    json_side = {"data": '{"score": 0.5}', "encoding": "JSON"}
    hidden = {"data": base64.b64encode(b"31,gold").decode(), "encoding": "BASE64"}
    lines = b"\n".join([record(csv_side, json_side), record(hidden, json_side)])
    batch = only(read_all(lines, columns=("score", "age", "plan"), outputs=("score",)))
    assert values_of(batch, "age") == [31, 31]
    assert values_of(batch, "score") == [0.5, 0.5]


@pytest.mark.parametrize(
    ("format_", "key", "expected"),
    [
        ("sagemaker", "p/e/v/2026/03/02/10/a.jsonl", Location(variant="v", hour=HOUR)),
        ("sagemaker", "p/other/v/2026/03/02/10/a.jsonl", None),
        ("merged", "p/e/v/2026/03/02/10/part-00000-x.c000.jsonl", Location(variant="v", hour=HOUR)),
        ("merged", "p/e/2026/03/02/10/part-00000-x.c000.jsonl", Location(hour=HOUR)),
        ("batch-transform", "p/output/2026/03/02/10/x.json", Location(hour=HOUR)),
        ("batch-transform", "p/input/2026/03/02/10/x.json", None),
        ("predictions", "p/any/thing.csv.gz", Location()),
        ("predictions", "p/2026/03/02/10/x.parquet", Location(hour=HOUR)),
        ("predictions", "p/_SUCCESS", None),
        ("predictions", "elsewhere/x.csv", None),
    ],
)
def test_keys_say_where_and_when(format_: Any, key: str, expected: Location | None) -> None:
    assert locate(key, format=format_, prefix="p", endpoint="e") == expected
