"""Clarify's analysis.json."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.checks.clarify_analysis import (
    BiasMetric,
    BiasStage,
    ClarifyAnalysis,
    Explanation,
    Facet,
    decode_analysis,
    encode_analysis,
)
from driftgauge.errors import BaselineError

STAGE = BiasStage(
    label="Target",
    label_value_or_threshold="1",
    facets=(
        Facet(
            name="Sex",
            value_or_threshold="0",
            metrics=(
                BiasMetric(name="DI", description="Disparate Impact (DI)", value=0.5),
                BiasMetric(name="TE", description="Treatment Equality (TE)", value=-math.inf),
                BiasMetric(name="FT", value=None, error="too few rows"),
            ),
        ),
        Facet(name="Age", value_or_threshold="(40, 90]", metrics=()),
        Facet(name="Sex", value_or_threshold="1", metrics=()),
    ),
)
EXPLANATIONS = (
    Explanation(
        method="kernel_shap", label="label0", global_values={"age": 0.5}, expected_value=0.25
    ),
    Explanation(method="kernel_shap", label="label1", global_values={"age": 0.1}),
)


def test_an_analysis_is_written_and_read_back() -> None:
    stage = replace(STAGE, facets=(STAGE.facets[0], STAGE.facets[2], STAGE.facets[1]))
    analysis = ClarifyAnalysis(pre_training=stage, post_training=stage, explanations=EXPLANATIONS)
    data = encode_analysis(analysis)
    assert decode_analysis(data) == analysis
    metrics = json.loads(data)["pre_training_bias_metrics"]["facets"]["Sex"][0]["metrics"]
    assert metrics[1]["value"] == "-Infinity"
    assert stage.facets[0]["DI"].value == 0.5


def test_every_real_file_is_written_back_as_it_was(shared: Path) -> None:
    found = [
        *shared.joinpath("data").rglob("*analysis.json"),
        *shared.joinpath("data").rglob("evaluation_metrics/clarify_*.json"),
    ]
    assert len(found) >= 10
    for path in found:
        analysis = decode_analysis(path.read_bytes())
        assert json.loads(encode_analysis(analysis)) == json.loads(path.read_bytes())
        # And without the memory of what was read, the same values.
        fresh = replace(analysis, written={})
        assert decode_analysis(encode_analysis(fresh)) == analysis


def test_a_changed_part_is_written_and_others_stay_as_they_were() -> None:
    document = {
        "version": "1.0",
        "new": [1],
        "pre_training_bias_metrics": {"label": "y", "label_value_or_threshold": 1, "facets": {}},
        "explanations": {"pdp": [{"feature_name": "age"}]},
    }
    analysis = decode_analysis(json.dumps(document).encode())
    assert analysis.pre_training is not None
    assert analysis.pre_training.label_value_or_threshold == "1"
    assert analysis.explanations == ()
    changed = json.loads(encode_analysis(replace(analysis, pre_training=None)))
    assert changed == {key: document[key] for key in ("version", "new", "explanations")}
    explained = json.loads(encode_analysis(replace(analysis, explanations=EXPLANATIONS)))
    assert explained["explanations"]["kernel_shap"]["label0"]["expected_value"] == 0.25


def bias(metric: Any) -> Any:
    facets = {"Sex": [{"value_or_threshold": "0", "metrics": [metric]}]}
    stage = {"label": "y", "label_value_or_threshold": "1", "facets": facets}
    return {"pre_training_bias_metrics": stage}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the file: expected an object"),
        ({}, "is it Clarify's"),
        ({"pre_training_bias_metrics": 1}, "pre_training_bias_metrics: expected an object"),
        ({"pre_training_bias_metrics": {"facets": {}}}, "label: expected a text"),
        ({"pre_training_bias_metrics": {"facets": {"Sex": {}}}}, r"facets\.Sex: expected a list"),
        (bias({"name": "CI", "value": "?"}), r"Sex\[0\]\.metrics\[0\]\.value: expected a number"),
        (bias({"name": "CI", "value": True}), "expected a number"),
        (bias({"value": 1}), "name: expected a text"),
        ({"explanations": {"kernel_shap": {"label0": 1}}}, r"kernel_shap\.label0: expected"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(document: Any, message: str) -> None:
    with pytest.raises(BaselineError, match=message):
        decode_analysis(json.dumps(document).encode())


def test_what_is_not_json_is_refused() -> None:
    for data in (b"", b"\xff", b"[" * 100_000):
        with pytest.raises(BaselineError, match="not JSON"):
            decode_analysis(data)


def test_a_number_beyond_all_floats_is_infinite() -> None:
    analysis = decode_analysis(json.dumps(bias({"name": "TE", "value": -(10**400)})).encode())
    assert analysis.pre_training is not None
    assert analysis.pre_training.facets[0]["TE"].value == -math.inf


def test_numbers_that_json_cannot_hold_are_read_and_written_as_texts() -> None:
    data = json.dumps(bias({"name": "TE", "value": float("inf")})).encode()
    assert json.loads(encode_analysis(decode_analysis(data))) == bias(
        {"name": "TE", "value": "Infinity"}
    )
    again = decode_analysis(data.replace(b"Infinity", b"-1e999"))
    assert again.pre_training is not None
    assert again.pre_training.facets[0]["TE"].value == -math.inf
