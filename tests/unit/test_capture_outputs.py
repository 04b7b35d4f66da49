"""What an endpoint returned, where the baseline knows nothing of it."""

from __future__ import annotations

import io
import json

import pytest

from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Rejects


@pytest.mark.parametrize("answer", ["0.25", "0.25,1", "0.25,1,x"])
def test_outputs_that_are_not_wanted_are_left_out(answer: str) -> None:
    line = {
        "captureData": {
            "endpointInput": {"data": "1,a", "encoding": "CSV"},
            "endpointOutput": {"data": answer, "encoding": "CSV"},
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": "2022-04-18T00:21:48Z"},
    }
    rejects = Rejects()
    [batch] = read_capture(
        io.BytesIO(json.dumps(line).encode()),
        schema=CaptureSchema(inputs=("age", "plan"), outputs=()),
        source="s",
        rejects=rejects,
    )
    assert list(batch.columns) == ["age", "plan"]
    assert rejects.total == 0
