"""Attributes that select features and predictions, and target models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from driftgauge.capture.positions import excluded_columns
from driftgauge.capture.settings import CaptureSettings
from driftgauge.columns import Rejects, RowBatch
from driftgauge.config import MonitorConfig
from tests.unit.sources_world import read_all, values_of

FEATURES = tuple(f"f{i}" for i in range(14))
COLUMNS = ("predicted_label", *FEATURES)


def record(given: Any, returned: Any, encoding: str = "JSON", **metadata: Any) -> bytes:
    def side(data: Any) -> dict[str, Any]:
        return {"data": data if isinstance(data, str) else json.dumps(data), "encoding": encoding}

    return (
        json.dumps(
            {
                "captureData": {"endpointInput": side(given), "endpointOutput": side(returned)},
                "eventMetadata": {
                    "eventId": "e",
                    "inferenceTime": "2026-03-02T10:00:00Z",
                    **metadata,
                },
            }
        ).encode()
        + b"\n"
    )


def selected(
    data: bytes, select: dict[str, Any], inputs: list[str] | None = None, **options: Any
) -> RowBatch:
    capture = {"select": select, "inputs": inputs}
    (batch,) = read_all(data, capture=capture, **options).values()
    return batch


@pytest.fixture
def cut(shared: Path) -> Path:
    return shared / "data/amazon-sagemaker-examples/extracted_from_notebooks"


def test_jmespath_selects_from_json_documents(cut: Path) -> None:
    batch = selected(
        (cut / "bias_endpoint_json.capture.jsonl").read_bytes(),
        {"features": "instances[*].features", "probability": "predictions[*].score"},
        columns=COLUMNS,
        outputs=COLUMNS[:1],
    )
    assert values_of(batch, "f2") == [133937, 133937, 72338]
    assert values_of(batch, "predicted_label") == [1, 1, 1]


def test_jmespath_selects_from_each_line_of_json_lines(cut: Path) -> None:
    batch = selected(
        (cut / "explain_endpoint_jsonl.capture.jsonl").read_bytes(),
        {"features": "features", "inference": "predicted_label"},
        columns=COLUMNS,
        outputs=COLUMNS[:1],
    )
    assert values_of(batch, "f2") == [133937, 133937, 72338]
    assert list(batch.columns) == list(COLUMNS)


@pytest.mark.parametrize("prefix", ["", "SageMakerOutput."])
def test_paths_into_a_transforms_output_may_name_its_key_or_not(cut: Path, prefix: str) -> None:
    manifest = cut / "bias_batch_json.capture_output_manifest.json"
    first, name = json.loads(manifest.read_text())
    output = (cut / "bias_batch_json.transform_output.json.out").read_bytes()
    (batch,) = read_all(
        manifest.read_bytes(),
        capture={
            "format": "batch-transform",
            "select": {
                "features": "instances[*].features",
                "inference": f"{prefix}predictions[*].predicted_label",
            },
        },
        columns=COLUMNS,
        outputs=COLUMNS[:1],
        bucket={first["prefix"] + name: output},
    ).values()
    assert batch.rows == 334
    assert values_of(batch, "predicted_label")[:3] == [1, 1, 0]
    assert batch.event_ids == ("94bcc22a-0462-4bd1-92c9-b46a5aaec1aa",)


def test_an_index_selects_a_csv_column() -> None:
    batch = selected(
        record("1,31\n2,40", "0.5,x\n0.51,y", "CSV"),
        {"features": "1", "probability": "0"},
        columns=("predicted_label", "score", "age"),
        outputs=("score", "predicted_label"),
    )
    assert values_of(batch, "age") == [31, 40]
    assert values_of(batch, "score") == [0.5, 0.51]
    assert values_of(batch, "predicted_label") == [0, 1]


@pytest.mark.parametrize(("threshold", "labels"), [(0.5, [0, 0, 1, None]), (0.2, [1, 1, 1, None])])
def test_a_probability_must_be_above_the_threshold(threshold: float, labels: list[Any]) -> None:
    batch = selected(
        record([[1], [2], [3], [4]], {"p": [0.4, 0.5, 0.6, None]}),
        {"probability": "p", "threshold": threshold},
        columns=("predicted_label", "p", "x"),
        outputs=("predicted_label", "p"),
    )
    assert values_of(batch, "predicted_label") == labels


def test_a_label_that_the_baseline_does_not_know_is_left_out() -> None:
    batch = selected(
        record([[1]], {"p": 0.9}), {"probability": "p"}, columns=("p", "x"), outputs=("p",)
    )
    assert list(batch.columns) == ["p", "x"]


def test_an_attribute_that_finds_nothing_costs_its_record_only() -> None:
    rejects = Rejects()
    data = record([[1]], {"p": 0.9}) + record([[1]], {"q": 0.9}) + record([[1]], {"p": {"a": 1}})
    batch = selected(
        data,
        {"probability": "p"},
        columns=("p", "x"),
        outputs=("p",),
        rejects=rejects,
    )
    assert batch.rows == 1
    assert rejects.counts == {
        "selection finds nothing": 1,
        "selection finds not one value a row": 1,
    }
    assert [sample.line for sample in rejects.samples] == [2, 3]


def test_excluded_columns_are_dropped_or_not_judged() -> None:
    data = record({"age": 31, "note": "x"}, {"score": 0.5})
    batch = selected(data, {"exclude": ["note"]}, columns=("score", "age"), outputs=("score",))
    assert list(batch.columns) == ["score", "age"]
    config = MonitorConfig.model_validate(
        {
            "name": "m",
            "endpoint": {"name": "e"},
            "capture": {"select": {"exclude": ["note"]}},
            "features": {"prompt": {"kind": "text", "min_effect": 0.5}},
        }
    )
    settings = config.column_settings(("score", "note"), outputs=("score",))
    assert settings["note"].ignore
    assert settings["prompt.length"].min_effect == 0.5


@pytest.mark.parametrize(
    ("exclude", "meant"),
    [
        ([0], {"score"}),
        (["1-2"], {"age", "plan"}),
        (["1 - 1", 3], {"age", "3-4"}),
        (["3-4"], {"3-4"}),
        (["plan", "4"], {"plan", "a.b"}),
        (["features[0]", "instances[*].features[3]"], {"age", "a.b"}),
        (["instances[*].a.b", 'instances[*]."age"'], {"a.b", "age"}),
        (["9-10", "gone", "features[9]"], {"_c9", "_c10", "gone", "features[9]"}),
    ],
)
def test_excluded_columns_are_named_counted_or_found_by_path(
    exclude: list[Any], meant: set[str]
) -> None:
    capture = CaptureSettings.model_validate({"select": {"exclude": exclude}, "outputs": ["score"]})
    columns = ("age", "score", "plan", "3-4", "a.b")
    assert set(excluded_columns(capture, columns=columns, outputs=())) == meant


@pytest.mark.parametrize(
    ("order", "roles", "meant"),
    [
        ("output-first", (), "a"),
        ("input-first", (), "a"),
        ("output-first", ("c",), "c"),
        ("input-first", ("c",), "a"),
    ],
)
def test_indices_count_in_the_order_of_the_captured_columns(
    order: str, roles: tuple[str, ...], meant: str
) -> None:
    capture = CaptureSettings.model_validate({"order": order, "select": {"exclude": [0]}})
    assert excluded_columns(capture, columns=("a", "b", "c"), outputs=roles) == (meant,)


def test_a_counted_column_is_dropped_from_captures_if_the_baseline_does_not_know_it() -> None:
    data = record("31,x", "0.5", "CSV")
    batch = selected(
        data,
        {"exclude": [2]},
        columns=("score", "age"),
        outputs=("score",),
        inputs=["age", "note"],
    )
    assert list(batch.columns) == ["score", "age"]


@pytest.mark.parametrize("wrong", [True, -1, 10_000, "", 1.5])
def test_an_exclusion_is_a_text_or_an_index(wrong: Any) -> None:
    with pytest.raises(ValidationError, match=r"select\.exclude"):
        CaptureSettings.model_validate({"select": {"exclude": [wrong]}})


@pytest.mark.parametrize("path", ["eventMetadata.targetModel", "targetModel"])
def test_target_models_are_kept_apart(path: str) -> None:
    rejects = Rejects()
    lines = []
    for model in ("a.tar.gz", "/eu/b.tar.gz", "c.tar.gz"):
        line = json.loads(record("1,2", "0.5", "CSV"))
        if path == "targetModel":
            line["targetModel"] = model
        else:
            line["eventMetadata"]["targetModel"] = model
        lines.append(json.dumps(line).encode())
    found = read_all(
        b"\n".join(lines),
        capture={"target_model": path},
        variants=("AllTraffic--a", "AllTraffic--eu-b"),
        rejects=rejects,
    )
    assert {name: batch.rows for name, batch in found.items()} == {
        "AllTraffic--a": 1,
        "AllTraffic--eu-b": 1,
    }
    assert rejects.counts == {"unknown variant": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"select": {"features": "instances[*"}}, "JMESPath"),
        ({"mapping": {"time": "t"}}, "format: predictions"),
        ({"format": "predictions", "select": {"features": "x"}}, "mapping.columns"),
        ({"data": ["s3://b/x"]}, "batch-transform"),
        ({"format": "batch-transform", "data": ["b/x"]}, "s3://bucket/prefix"),
        ({"format": "predictions", "target_model": "x"}, "sagemaker or merged"),
        ({"hooks": {"preprocess": "../x.py"}}, "below the folder"),
        ({"hooks": {"preprocess": "s3://bucket"}}, "s3://bucket/key"),
        ({"hooks": {"preprocess": "x.py"}, "select": {"features": "x"}}, "already selects"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CaptureSettings.model_validate(settings)


def test_endpoint_alarms_are_off_where_sagemaker_hosts_nothing() -> None:
    document: dict[str, Any] = {
        "name": "m",
        "endpoint": {"name": "e"},
        "capture": {"format": "predictions"},
    }
    config = MonitorConfig.model_validate(document)
    assert not config.endpoint.alarms
    assert MonitorConfig.model_validate_json(config.model_dump_json()) == config
    document["endpoint"]["alarms"] = True
    with pytest.raises(ValidationError, match="set it to false"):
        MonitorConfig.model_validate(document)
    document["endpoint"] = {"name": "e", "variants": ["a", "b"]}
    with pytest.raises(ValidationError, match=r"mapping\.variant"):
        MonitorConfig.model_validate(document)
    document["endpoint"] = {"name": "e"}
    document |= {"retraining": {"enabled": True}, "prediction": "p", "label": "l"}
    with pytest.raises(ValidationError, match="plain captures"):
        MonitorConfig.model_validate(document)
