"""What people see of a strict run: command line, report, alerts, metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from driftgauge.cli import main
from driftgauge.drift.verdict import WindowVerdict, decode_verdict
from driftgauge.report.alert import describe_feature
from driftgauge.report.history import history_chart, windows_to_draw
from driftgauge.report.summary import summarize
from lambdas.publication import measures
from tests.unit.churn_files import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("strict"))


def analyzed(world: Path, *extra: str, captures: str = "moved") -> tuple[int, Path]:
    out = world / "report"
    arguments = ["--capture", str(world / captures), "--baseline", str(world / "baseline")]
    return main(["analyze", *arguments, "--out", str(out), *extra]), out


@pytest.fixture
def verdict(world: Path) -> WindowVerdict:
    _, out = analyzed(world, "--mode", "strict")
    return decode_verdict((out / "verdicts.json").read_bytes())


def monitor_file(folder: Path, mode: str) -> Path:
    path = folder / f"{mode}.yaml"
    path.write_text(f"name: churn\nendpoint:\n  name: churn\nmode: {mode}\n", encoding="utf-8")
    return path


def test_analyze_judges_strictly_when_told_so(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = analyzed(world, "--mode", "strict")
    assert status == 1
    assert "The feature plan drifted (Robust distance 0." in capsys.readouterr().out
    violations = json.loads((out / "constraint_violations.json").read_text())["violations"]
    assert [v["constraint_check_type"] for v in violations] == ["baseline_drift_check"]
    assert decode_verdict((out / "verdicts.json").read_bytes()).mode == "strict"


def test_the_flag_wins_over_the_monitor_file(world: Path, tmp_path: Path) -> None:
    config = str(monitor_file(tmp_path, "strict"))
    for extra, expected in (
        (["--config", config], "strict"),
        (["--config", config, "--mode", "sound"], "sound"),
        ([], "sound"),
    ):
        _, out = analyzed(world, *extra)
        assert decode_verdict((out / "verdicts.json").read_bytes()).mode == expected


def test_replay_shows_distances(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "baseline")]
    assert main(["replay", *arguments, "--mode", "strict"]) == 0
    shown = capsys.readouterr().out
    assert "Distance" in shown and "Effect" not in shown
    assert "(plan, Robust distance 0." in shown
    assert main(["replay", *arguments, "--mode", "strict", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    plan = next(feature for feature in last["features"] if feature["name"] == "plan")
    assert plan["verdict"] == "drift" and plan["effect"] is None
    assert plan["distance"] > plan["threshold"] == 0.1


def test_the_report_speaks_of_distances_and_thresholds(world: Path) -> None:
    _, out = analyzed(world, "--mode", "strict")
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("strict mode", ">Distance</th>", ">Threshold</th>", "threshold: 0.1", "Robust"):
        assert words in page
    for words in ("PSI", "Corrected p", "Effect", "square-root"):
        assert words not in page


def test_the_report_shows_the_p_value_of_chi_squared(world: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline"
    baseline.mkdir()
    for source in (world / "baseline").iterdir():
        (baseline / source.name).write_bytes(source.read_bytes())
    constraints = json.loads((baseline / "constraints.json").read_text())
    comparison = constraints["monitoring_config"]["distribution_constraints"]
    comparison["categorical_drift_method"] = "ChiSquared"
    (baseline / "constraints.json").write_text(json.dumps(constraints))
    out = tmp_path / "out"
    arguments = ["--capture", str(world / "moved"), "--baseline", str(baseline)]
    main(["analyze", *arguments, "--out", str(out), "--mode", "strict"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Chi-squared p &lt; 0.0001, threshold 0.1" in page
    assert "have a p-value, which is no distance" in page
    found = decode_verdict((out / "verdicts.json").read_bytes())
    assert found.drifted_inputs[0].test == "chi_squared"
    distances = [m.value for m in measures(found) if m.name == "FeatureDistance"]
    assert distances == [f.distance for f in found.features if f.name == "age"]


def test_a_calm_window_names_the_column_that_is_closest(world: Path) -> None:
    status, out = analyzed(world, "--mode", "strict", captures="quiet")
    assert status == 0
    headline = summarize(decode_verdict((out / "verdicts.json").read_bytes())).headline
    assert headline.startswith("No feature drifted and no check failed over 3 judged features.")
    assert "Closest is " in headline and "threshold 0.1" in headline


def test_an_alert_gives_the_distance_and_its_threshold(verdict: WindowVerdict) -> None:
    line = describe_feature(verdict.drifted_inputs[0])
    assert line.startswith("plan (input): Robust distance 0.")
    assert "threshold 0.1" in line and "PSI" not in line


def test_distances_are_published_as_metrics(verdict: WindowVerdict) -> None:
    published = {m.name: m.value for m in measures(verdict)}
    assert published["DriftedFeatures"] == 1
    assert published["PredictionDistance"] == pytest.approx(0.0)


def test_windows_judged_otherwise_are_not_drawn_together(verdict: WindowVerdict) -> None:
    earlier = replace(verdict, window_start=verdict.window_start.replace(year=2025), mode="sound")
    assert windows_to_draw(verdict, [earlier]) == [verdict]
    strict = replace(earlier, mode="strict")
    drawn = windows_to_draw(verdict, [strict])
    assert drawn == [strict, verdict]
    assert "threshold: 0.1" in history_chart(verdict, drawn, limit=0.1)
