"""Ground truth."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from driftgauge.capture.ground_truth import GroundTruth, read_ground_truth
from driftgauge.columns import Rejects
from driftgauge.errors import CaptureError


def line(data: object, encoding: str = "CSV", event_id: object = "e") -> bytes:
    truth = {
        "groundTruthData": {"data": data, "encoding": encoding},
        "eventMetadata": {"eventId": event_id},
        "eventVersion": "0",
    }
    return json.dumps(truth).encode() + b"\n"


def read(data: bytes) -> tuple[list[GroundTruth], Rejects]:
    rejects = Rejects()
    return list(read_ground_truth(io.BytesIO(data), source="key", rejects=rejects)), rejects


@pytest.mark.parametrize(
    ("data", "encoding", "labels"),
    [
        ("1", "CSV", (1.0,)),
        ("1\n0\n1\n", "CSV", (1.0, 0.0, 1.0)),
        ("late", "CSV", ("late",)),
        ('{"instances": [{"label": 0}, {"label": 1}]}', "JSON", (0.0, 1.0)),
        ('{"label": 1}\n{"label": 0}\n', "JSON", (1.0, 0.0)),
        ('{"features": [1, 2], "label": true}', "JSON", ("true",)),
        ("[0, 1]", "JSON", None),
        ("1,2", "CSV", None),
        ("", "CSV", None),
        ('{"label": null}', "JSON", None),
    ],
)
def test_labels_are_read_one_a_row(
    data: str, encoding: str, labels: tuple[str | float, ...] | None
) -> None:
    truths, rejects = read(line(data, encoding))
    assert truths == ([] if labels is None else [GroundTruth(event_id="e", labels=labels)])
    assert rejects.total == (labels is None)


def test_bad_lines_are_counted_by_reason() -> None:
    bad = line("1", event_id=None) + b"{}\n" + b"oops\n" + b"[1]\n" + b"\n"
    truths, rejects = read(bad + line("1"))
    assert len(truths) == 1
    assert rejects.counts == {"no event id": 1, "not ground truth": 2, "not json": 1}


def test_an_object_without_a_line_of_json_is_an_error() -> None:
    with pytest.raises(CaptureError, match=r"^key: not a single line is JSON"):
        read(b"id,label\n")


def test_real_labels_of_the_sdk_are_read(shared: Path) -> None:
    folder = shared / "data/sagemaker-python-sdk@v2.257.6/tests/data/monitor"
    truths, rejects = read((folder / "actuals.jsonl").read_bytes())
    assert len(truths) == 44
    assert rejects.total == 0
    assert truths[0].event_id == "74b0dd56-e7c8-368e-94b1-14a138a96000"


def test_real_merged_records_of_the_notebooks_carry_labels(shared: Path) -> None:
    folder = shared / "data/amazon-sagemaker-examples/extracted_from_notebooks"
    truths, rejects = read((folder / "bias_endpoint_json.merged_record.jsonl").read_bytes())
    assert truths
    assert rejects.total == 0
    assert {label for truth in truths for label in truth.labels} <= {0.0, 1.0}
