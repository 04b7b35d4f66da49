"""Free text as numeric columns, in training data and in captures alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.capture.text import looks_like_text, measure_column, measure_text
from driftgauge.capture.text_names import TEXT_PARTS, captured_names, text_names, text_parts
from driftgauge.capture.types import column_of_values
from driftgauge.cli import main
from driftgauge.config import FeatureSettings
from driftgauge.errors import BaselineError
from tests.unit.sources_world import read_all, values_of

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "watching", "42")


def sentences(rows: int, *, seed: int = 1) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice(WORDS, 12)) for _ in range(rows)]


def baseline_of(columns: dict[str, list[Any]], **options: Any) -> Baseline:
    table = Table(
        rows=len(next(iter(columns.values()))),
        columns={name: column_of_values(values) for name, values in columns.items()},
    )
    return build_baseline([table], version="1", created=datetime(2026, 1, 1, tzinfo=UTC), **options)


def test_measures_of_a_text() -> None:
    measured = dict(zip(TEXT_PARTS, measure_text("Ab 12, Ab ü"), strict=True))
    assert measured == {
        "length": 11,
        "words": 4,
        "letters_share": 4 / 11,
        "digits_share": 2 / 11,
        "punctuation_share": 1 / 11,
        "other_share": 1 / 11,
        "unique_words_share": 3 / 4,
    }


@given(st.text())
def test_shares_of_any_text_lie_between_0_and_1(text: str) -> None:
    length, words, *shares = measure_text(text)
    assert length == len(text)
    assert 0 <= words <= length
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares[:4]) <= 1 + 1e-12


@given(st.lists(st.one_of(st.none(), st.text(), st.floats(), st.booleans())))
def test_any_column_can_be_measured(values: list[Any]) -> None:
    column = column_of_values(values)
    for measured in measure_column("x", column).values():
        assert measured.rows == len(values)
        assert measured.types.present == column.types.present
        assert np.isnan(measured.numbers).sum() == len(values) - column.types.present


def test_what_is_missing_stays_missing_and_numbers_are_measured_as_text() -> None:
    measured = measure_column("x", column_of_values(["ab", None, 125, 1.5]))
    lengths = measured["x.length"]
    assert lengths.numbers[[0, 2, 3]].tolist() == [2, 3, 3]
    assert lengths.missing is not None
    assert lengths.missing.tolist() == [False, True, False, False]


def test_long_values_that_hardly_repeat_are_text() -> None:
    assert looks_like_text(column_of_values(list(sentences(50))))
    assert not looks_like_text(column_of_values(list(sentences(5))))
    assert not looks_like_text(column_of_values([*sentences(5)] * 10))
    assert not looks_like_text(column_of_values([f"city {i}" for i in range(50)]))
    assert not looks_like_text(column_of_values([float(i) for i in range(50)]))


def test_names_of_texts_go_back_and_forth() -> None:
    names = ("age", *text_parts("prompt"), "score")
    assert text_names(names) == ("prompt",)
    assert captured_names(names) == ("age", "prompt", "score")
    assert captured_names(("a.length", "b")) == ("a.length", "b")


def test_a_baseline_measures_texts_it_finds_or_is_told_of() -> None:
    columns: dict[str, list[Any]] = {
        "prompt": sentences(60),
        "answer": ["yes", "no"] * 30,
        "age": list(range(60)),
    }
    baseline = baseline_of(columns, outputs=("answer",))
    assert baseline.spec.inputs == (*text_parts("prompt"), "age")
    assert baseline.spec["prompt.length"].kind == "numeric"
    told = baseline_of(
        columns, outputs=("answer",), overrides={"answer": FeatureSettings(kind="text")}
    )
    assert told.spec.outputs == text_parts("answer")
    kept = baseline_of(columns, overrides={"prompt": FeatureSettings(kind="categorical")})
    assert kept.spec["prompt"].kind == "categorical"
    finer = baseline_of(columns, overrides={"prompt.words": FeatureSettings(kind="discrete")})
    assert finer.spec["prompt.words"].kind == "discrete"
    with pytest.raises(BaselineError, match="'nothing'"):
        baseline_of(columns, overrides={"nothing": FeatureSettings(kind="text")})


def test_captures_are_measured_as_the_baseline_is(shared: Path) -> None:
    texts = sentences(60)
    baseline = baseline_of({"prompt": texts, "age": list(range(60))})
    lines = [
        {
            "captureData": {
                "endpointInput": {"data": f'"{text}",{age}', "encoding": "CSV"},
            },
            "eventMetadata": {"eventId": "e", "inferenceTime": "2026-03-02T10:00:00Z"},
        }
        for age, text in enumerate(texts)
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    names = tuple(feature.name for feature in baseline.spec.features)
    (batch,) = read_all(data, columns=names).values()
    assert tuple(batch.columns) == names
    assert values_of(batch, "prompt.length") == [len(text) for text in texts]


def test_a_real_llm_capture_is_analyzed_from_end_to_end(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (capture,) = (shared / "data/sample-aiops-on-amazon-sagemakerai").glob("*.jsonl")
    rows = []
    for line in capture.read_text(encoding="utf-8").splitlines():
        sides = json.loads(line)["captureData"]
        given = json.loads(sides["endpointInput"]["data"])
        parameters = {f"parameters.{k}": v for k, v in given["parameters"].items()}
        answer = json.loads(sides["endpointOutput"]["data"])
        rows.append({**answer, "inputs": given["inputs"], **parameters})
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows * 5)), encoding="utf-8")
    (tmp_path / "monitor.yaml").write_text(
        "name: llm\n"
        "endpoint: {name: llm}\n"
        "capture: {outputs: [generated_text]}\n"
        "features: {inputs: {kind: text}, generated_text: {kind: text}}\n",
        encoding="utf-8",
    )
    config = ["--config", str(tmp_path / "monitor.yaml")]
    arguments = ["--data", str(tmp_path / "train.jsonl"), "--out", str(tmp_path / "baseline")]
    assert main(["baseline", *arguments, *config]) == 0
    arguments = ["--capture", str(capture), "--baseline", str(tmp_path / "baseline")]
    assert main(["analyze", *arguments, *config, "--out", str(tmp_path / "report")]) == 0
    verdict = json.loads((tmp_path / "report/verdicts.json").read_text())
    assert verdict["rows"] == 3
    judged = {feature["name"]: feature["role"] for feature in verdict["features"]}
    assert {name: judged.get(name) for name in text_parts("generated_text")} == dict.fromkeys(
        text_parts("generated_text"), "output"
    )
    assert set(text_parts("inputs")) <= set(judged)
    assert verdict["violations"] == []
    statistics = json.loads((tmp_path / "report/statistics.json").read_text())
    (length,) = [f for f in statistics["features"] if f["name"] == "inputs.length"]
    prompts = [len(row["inputs"]) for row in rows]
    assert length["numerical_statistics"]["min"] == min(prompts)
    assert length["numerical_statistics"]["max"] == max(prompts)


def test_an_llm_capture_without_a_fitting_baseline_crashes_nothing(shared: Path) -> None:
    (capture,) = (shared / "data/sample-aiops-on-amazon-sagemakerai").glob("*.jsonl")
    (batch,) = read_all(capture.read_bytes(), columns=("age",)).values()
    assert batch.rows == 3
