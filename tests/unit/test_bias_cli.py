"""The command ``bias``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driftgauge.cli import main
from driftgauge.fairness.verdict import decode_bias_verdict

BASE = ["--label", "y", "--positive", "1", "--facet", "sex=F"]


def write_table(path: Path, cells: dict[tuple[str, int, int], int]) -> str:
    lines = ["sex,age,y,predicted,score"]
    for (sex, label, predicted), rows in cells.items():
        lines += [
            f"{sex},{20 + i % 50},{label},{predicted},{0.9 if predicted else 0.1}"
            for i in range(rows)
        ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def fair(tmp_path: Path) -> str:
    cells = {(sex, y, p): 80 if y == p else 20 for sex in "MF" for y in (0, 1) for p in (0, 1)}
    return write_table(tmp_path / "fair.csv", cells)


@pytest.fixture
def unfair(tmp_path: Path) -> str:
    cells = {("M", y, p): 80 if y == p else 20 for y in (0, 1) for p in (0, 1)}
    cells |= {("F", 0, 0): 98, ("F", 0, 1): 2, ("F", 1, 0): 80, ("F", 1, 1): 20}
    return write_table(tmp_path / "unfair.csv", cells)


def run(data: str, out: Path, *more: str) -> int:
    return main(["bias", "--data", data, "--out", str(out), *BASE, *more])


def analysis(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "analysis.json").read_bytes())
    return found


def test_labels_alone_are_measured_before_training(
    fair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fair, tmp_path / "out") == 0
    assert list(analysis(tmp_path / "out")) == ["version", "pre_training_bias_metrics"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["analysis.json"]
    assert "Class Imbalance (CI)" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["sound", "strict"])
def test_a_biased_window_is_told_from_a_fair_baseline(
    fair: str, unfair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    predicted = ["--prediction", "predicted"]
    assert run(fair, base, *predicted) == 0
    against = [*predicted, "--baseline", str(base / "analysis.json"), "--mode", mode]
    assert run(fair, tmp_path / "same", *against) == 0
    assert run(unfair, out, *against) == 1
    verdict = decode_bias_verdict((out / "bias.json").read_bytes())
    assert verdict.mode == mode
    drifted = {metric.name for _, metric in verdict.drifted}
    assert {"RD", "DPPL", "GE"} <= drifted
    # A falling ratio is closer to 0: strictly, that is no drift.
    assert ("DI" in drifted) == (mode == "sound")
    violations = json.loads((out / "constraint_violations.json").read_bytes())["violations"]
    assert {v["metric_name"] for v in violations} == drifted
    assert "More biased" in capsys.readouterr().out


def test_a_probability_is_positive_above_the_threshold(fair: str, tmp_path: Path) -> None:
    run(fair, tmp_path / "a", "--prediction", "predicted")
    run(fair, tmp_path / "b", "--probability", "score", "--threshold", "0.5")
    before, after = (analysis(tmp_path / name)["post_training_bias_metrics"] for name in "ab")
    for key in ("DPPL", "AD", "DI"):
        values = [
            metric["value"]
            for stage in (before, after)
            for metric in stage["facets"]["sex"][0]["metrics"]
            if metric["name"] == key
        ]
        assert values[0] == values[1]


def test_thresholds_make_intervals(fair: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--label", "score", "--positive", ">0.5", "--facet", "age>40"]
    assert main(["bias", "--data", fair, "--out", str(out), *arguments]) == 0
    stage = analysis(out)["pre_training_bias_metrics"]
    assert stage["label_value_or_threshold"] == "(0.5, 0.9]"
    assert stage["facets"]["age"][0]["value_or_threshold"] == "(40, 69]"


def test_merged_records_are_read_with_what_cannot_be_used_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def record(truth: str, given: str, returned: str) -> str:
        sides = {
            "endpointInput": {"data": given, "encoding": "CSV"},
            "endpointOutput": {"data": returned, "encoding": "CSV"},
        }
        return json.dumps(
            {
                "eventMetadata": {"eventId": "e", "inferenceTime": "2024-01-19T20:06:08Z"},
                "groundTruthData": {"data": truth, "encoding": "CSV"},
                "captureData": sides,
            }
        )

    lines = [record("1\n0", "F,30\nM,40", "0.9\n0.2"), record("1", "F,1\nM,2", "0.1\n0.2"), "[]"]
    data = tmp_path / "merged.jsonl"
    data.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    status = run(
        str(data), out, "--merged", "--probability", "0", "--columns", "sex,age", "--group", "age"
    )
    assert status == 0
    captured = capsys.readouterr()
    assert "labels and predictions disagree on rows 1" in captured.err
    assert "not a merged record 1" in captured.err
    metrics = analysis(out)["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"]
    assert next(m["value"] for m in metrics if m["name"] == "DPPL") == -1.0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--facet", "sex"], "neither NAME=VALUE"),
        (["--facet", "age>old"], "not a threshold"),
        (["--facet", "town=x"], "no column 'town'"),
        (["--group", "town"], "no column 'town'"),
        (["--prediction", "guess"], "no column 'guess'"),
        (["--prediction", "predicted", "--probability", "score"], "either"),
        (["--merged"], "merged records need"),
        (["--merged", "--prediction", "a[", "--features", "x"], "JMESPath"),
        (["--baseline", "nowhere.json"], "does not exist"),
    ],
)
def test_what_is_wrong_is_said(
    fair: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert run(fair, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
