"""``driftgauge quality``: tables in, Model Monitor's files and a verdict out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from driftgauge.cli import main
from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import QualityError
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table, with_classes
from driftgauge.quality.verdict import decode_quality_verdict
from tests.unit.quality_world import binary, multiclass, regression, words

BINARY = ("--problem", "binary", "--label", "label", "--probability", "score")
FILES = {"statistics.json", "constraints.json", "constraint_violations.json", "quality.json"}


def write(path: Path, outcomes: Outcomes, *, unlabelled: int = 0) -> str:
    """Write outcomes as CSV, classes by name; the last rows lack their label."""
    columns: dict[str, list[object]] = {}
    for name, values in (("label", outcomes.labels), ("predicted", outcomes.predictions)):
        named = [outcomes.classes[int(v)] for v in values] if outcomes.classes else values.tolist()
        columns[name] = [*named]
    if unlabelled:
        columns["label"][-unlabelled:] = [""] * unlabelled
    if outcomes.probabilities is not None:
        scores = outcomes.probabilities
        if scores.ndim == 1:
            columns["score"] = scores.tolist()
        else:
            columns |= {f"p_{c}": scores[:, i].tolist() for i, c in enumerate(outcomes.classes)}
    for name, column in outcomes.segments.items():
        assert column.codes is not None
        columns[name] = [column.words[code] for code in column.codes.tolist()]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def test_a_first_run_writes_statistics_and_constraints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "a.csv", binary(300, seed=1))
    assert main(["quality", "--data", data, *BINARY, "--out", str(tmp_path / "o")]) == 0
    assert {path.name for path in (tmp_path / "o").iterdir()} == FILES - {
        "constraint_violations.json",
        "quality.json",
    }
    out = capsys.readouterr().out
    assert "f0_5_best_constant_classifier" in out
    assert "Verdict" not in out


def test_worse_quality_exits_with_1_and_writes_all_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = write(tmp_path / "a.csv", binary(3000, seed=1, segment=True))
    here = write(tmp_path / "b.csv", binary(900, seed=2, bias=-1.5, segment=True), unlabelled=100)
    arguments = ["quality", "--data", here, "--baseline", there, *BINARY, "--segment", "plan"]
    assert main([*arguments, "--out", str(tmp_path / "o")]) == 1
    assert {path.name for path in (tmp_path / "o").iterdir()} == FILES
    verdict = decode_quality_verdict((tmp_path / "o/quality.json").read_bytes())
    assert (verdict.rows, verdict.labelled) == (900, 800)
    assert verdict.verdict == "decay"
    assert verdict.concept_drift
    assert len(verdict.segments) == 3
    violations = json.loads((tmp_path / "o/constraint_violations.json").read_text())["violations"]
    assert {v["metric_name"] for v in violations} == {m.name for m in verdict.decayed}
    out = capsys.readouterr().out
    assert "concept drift" in out
    assert "800 labels for 900 rows (88.9%)" in out


def test_equal_quality_exits_with_0(tmp_path: Path) -> None:
    there = write(tmp_path / "a.csv", binary(3000, seed=1))
    here = write(tmp_path / "b.csv", binary(500, seed=4))
    arguments = ["quality", "--data", here, "--baseline", there, *BINARY]
    assert main([*arguments, "--out", str(tmp_path / "o")]) == 0


def test_strict_mode_judges_by_the_constraints_of_an_earlier_run(tmp_path: Path) -> None:
    problem = ["--problem", "regression", "--label", "label", "--prediction", "predicted"]
    there = write(tmp_path / "a.csv", regression(400, seed=1))
    here = write(tmp_path / "b.csv", regression(400, seed=2, scale=1.01))
    assert main(["quality", "--data", there, *problem, "--out", str(tmp_path / "a")]) == 0
    arguments = ["quality", *problem, "--constraints", str(tmp_path / "a/constraints.json")]
    arguments += ["--out", str(tmp_path / "b")]
    assert main([*arguments, "--data", there, "--mode", "strict"]) == 0
    assert main([*arguments, "--data", here, "--mode", "strict"]) == 1
    assert main([*arguments, "--data", here]) == 0


def test_a_multiclass_problem_takes_a_probability_for_each_class(tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", multiclass(400, seed=1))
    arguments = ["quality", "--data", data, "--problem", "multiclass", "--label", "label"]
    arguments += ["--probability", "p_x,p_y,p_z", "--out", str(tmp_path / "o")]
    assert main(arguments) == 2
    assert main([*arguments, "--classes", "x,y,z"]) == 0
    statistics = json.loads((tmp_path / "o/statistics.json").read_text())
    assert list(statistics["multiclass_classification_metrics"]["confusion_matrix"]) == list("xyz")
    assert "log_loss" in statistics["calibration_metrics"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "lable", "--probability", "score"], "no column lable"),
        (["--label", "label"], "name the column of the predictions"),
        (["--label", "label", "--probability", "a,b"], "one probability"),
        (["--label", "label", "--prediction", "score"], "two classes, but"),
    ],
)
def test_wrong_arguments_are_errors_that_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    data = write(tmp_path / "a.csv", binary(60, seed=1))
    base = ["quality", "--data", data, "--problem", "binary", "--out", str(tmp_path / "o")]
    assert main([*base, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_labels_that_never_arrived_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "a.csv", binary(60, seed=1), unlabelled=60)
    arguments = ["quality", "--data", data, *BINARY, "--classes", "no,yes"]
    assert main([*arguments, "--out", str(tmp_path / "o")]) == 2
    assert "none of 60 rows has a label" in capsys.readouterr().err


def test_classes_that_are_not_those_of_the_labels_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "a.csv", binary(60, seed=1))
    arguments = ["quality", "--data", data, *BINARY, "--classes", "0,1"]
    assert main([*arguments, "--out", str(tmp_path / "o")]) == 2
    assert "no row can be used of 60 rows" in capsys.readouterr().err


def test_predictions_that_no_column_holds_follow_from_the_probabilities() -> None:
    where = OutcomeColumns(
        problem="multiclass", label="y", probabilities=("a", "b"), classes=("a", "b")
    )
    table = {
        "y": words(["a", "b", "c"]),
        "a": _column([0.2, 0.5, np.nan]),
        "b": _column([0.8, 0.5, 0.5]),
    }
    outcomes = outcomes_of_table(where, table)
    assert outcomes.predictions[:2].tolist() == [1.0, 0.0]
    assert np.isnan(outcomes.predictions[2])
    assert outcomes.labels.tolist() == [0.0, 1.0, -1.0]


def test_classes_are_found_in_the_order_of_their_text() -> None:
    where = OutcomeColumns(problem="binary", label="y", probabilities=("p",))
    found = with_classes(where, [{"y": words(["yes", "no"])}, {"y": words(["no"])}])
    assert found.classes == ("no", "yes")
    with pytest.raises(QualityError, match="hold 3"):
        with_classes(where, [{"y": words(["a", "b", "c"])}])


def _column(values: list[float]) -> Column:
    return Column(numbers=np.array(values), types=TypeCounts(fractional=len(values)))
