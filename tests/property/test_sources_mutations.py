"""Damaged captures of every format: counted or refused, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftgauge.columns import Rejects
from driftgauge.errors import CaptureError
from tests.unit.sources_world import read_all

HOOK = """
def preprocess_handler(record):
    if record.event_id == "drop":
        return []
    return {"score": record.endpoint_output.data, "age": record.endpoint_input.data.split(",")[0]}
"""


def endpoint_record(number: int) -> bytes:
    return json.dumps(
        {
            "captureData": {
                "endpointInput": {"data": f"{number},gold", "encoding": "CSV"},
                "endpointOutput": {"data": '{"score": 0.5}', "encoding": "JSON"},
            },
            "eventMetadata": {"eventId": f"e{number}", "inferenceTime": "2026-03-02T10:00:00Z"},
        }
    ).encode()


def batch_record(number: int) -> bytes:
    inner = {"SageMakerOutput": {"score": 0.5}, "features": [number, "gold"]}
    return json.dumps(
        {
            "captureData": {
                "batchTransformOutput": {"data": json.dumps(inner), "encoding": "JSON"}
            },
            "eventMetadata": {"eventId": f"e{number}"},
        }
    ).encode()


def prediction(number: int) -> bytes:
    return json.dumps({"ts": 1772445600 + number, "score": 0.5, "age": 31, "plan": "x"}).encode()


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "hook": (endpoint_record, {"preprocess": HOOK}),
    "selection": (
        endpoint_record,
        {"capture": {"select": {"features": "1", "probability": "score"}}},
    ),
    "target model": (
        endpoint_record,
        {"capture": {"target_model": "eventMetadata.model"}},
    ),
    "merged": (batch_record, {"capture": {"format": "merged"}}),
    "predictions": (
        prediction,
        {"capture": {"format": "predictions", "mapping": {"time": "ts"}}},
    ),
}

# Line ends would change how many lines there are.
BYTES = st.integers(0, 255).filter(lambda byte: byte not in (10, 13))


@pytest.mark.parametrize("kind", KINDS)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 400), st.sampled_from("dri"), BYTES), max_size=8
    )
)
def test_each_line_is_used_rejected_or_dropped(
    kind: str, edits: list[tuple[int, int, str, int]]
) -> None:
    make, options = KINDS[kind]
    lines = [bytearray(make(number)) for number in range(5)]
    for line, place, edit, byte in edits:
        data = lines[line]
        at = place % max(len(data), 1)
        if edit == "i":
            data.insert(at, byte)
        elif data and edit == "d":
            del data[at]
        elif data:
            data[at] = byte
    rejects = Rejects()
    try:
        found = read_all(
            b"\n".join(lines),
            columns=("score", "age", "plan"),
            outputs=("score",),
            rejects=rejects,
            **options,
        )
    except CaptureError:
        return
    rows = sum(batch.rows for batch in found.values())
    blank = sum(not bytes(line).strip() for line in lines)
    assert rows + rejects.total + rejects.dropped == len(lines) - blank
