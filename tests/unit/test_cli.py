"""The commands from end to end, on small captures in a folder and in a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from driftgauge.checks.constraints import decode_constraints
from driftgauge.cli import main
from tests.unit.churn_files import START, make_world, record, write_captures, write_training_data


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def replay_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["replay", *arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_baseline_is_three_files_in_the_documented_formats(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.name for path in (world / "baseline").iterdir()}
    assert names == {"baseline.json", "statistics.json", "constraints.json"}
    statistics = json.loads((world / "baseline/statistics.json").read_text())
    assert [f["name"] for f in statistics["features"]] == ["score", "age", "plan"]
    assert statistics["dataset"]["item_count"] == 4000
    baseline = json.loads((world / "baseline/baseline.json").read_text())
    assert set(baseline["importances"]) == {"age", "plan"}


def test_a_baseline_of_data_without_a_header_numbers_the_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_training_data(tmp_path / "train.csv", header=False)
    arguments = ["--data", str(train), "--no-header", "--exclude", "_c0,_c1"]
    assert main(["baseline", *arguments, "--out", str(tmp_path / "b")]) == 0
    assert "2 inputs, 0 outputs (1 categorical, 1 numeric)" in capsys.readouterr().out
    captures = write_captures(tmp_path / "c", days=1, rows=300)
    arguments = ["--capture", str(captures), "--baseline", str(tmp_path / "b")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r")]) == 0


def test_stationary_captures_exit_with_0_and_leave_five_files(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--capture", str(world / "quiet"), "--baseline", str(world / "baseline")]
    assert main(["analyze", *arguments, "--out", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "statistics.json",
        "constraints.json",
        "constraint_violations.json",
        "verdicts.json",
        "report.html",
    }
    suggested = decode_constraints((tmp_path / "constraints.json").read_bytes())
    assert {feature.completeness for feature in suggested.features} == {1.0}
    assert json.loads((tmp_path / "constraint_violations.json").read_text()) == {"violations": []}
    out, err = capsys.readouterr()
    assert "No feature drifted" in out
    assert err == ""


def test_shifted_captures_exit_with_1_and_name_the_feature(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "baseline")]
    assert main(["analyze", *arguments, "--out", str(tmp_path)]) == 1
    assert "The feature plan drifted" in capsys.readouterr().out
    verdict = json.loads((tmp_path / "verdicts.json").read_text())
    assert verdict["monitor"] == "churn"
    assert verdict["variant"] == "AllTraffic"
    assert verdict["window_start"] == "2026-03-01T00:00:00Z"
    assert verdict["window_end"] == "2026-03-06T03:19:01Z"
    assert verdict["rows"] == 1200
    assert {f["name"]: f["verdict"] for f in verdict["features"]} == {
        "score": "ok",
        "age": "ok",
        "plan": "drift",
    }
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Drift over time" in report
    violations = json.loads((tmp_path / "constraint_violations.json").read_text())["violations"]
    assert [v["feature_name"] for v in violations] == ["plan"]


def test_predictions_unknown_to_the_baseline_are_no_violation(world: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(world / "train.csv"), "--exclude", "label,score"]
    assert main(["baseline", *arguments, "--out", str(tmp_path / "b")]) == 0
    arguments = ["--capture", str(world / "quiet"), "--baseline", str(tmp_path / "b")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r")]) == 0
    verdict = json.loads((tmp_path / "r/verdicts.json").read_text())
    assert [feature["name"] for feature in verdict["features"]] == ["age", "plan"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--capture", "{world}/nowhere", "--baseline", "{world}/baseline"], "does not exist"),
        (["--capture", "{world}/quiet", "--baseline", "{world}/quiet"], "does not exist"),
        (
            ["--capture", "{world}/train.csv", "--baseline", "{world}/baseline"],
            "not a single line is JSON",
        ),
        (["--capture", "s3://", "--baseline", "{world}/baseline"], "names no bucket"),
    ],
)
def test_what_cannot_be_read_is_one_line_on_standard_error_and_exit_2(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    filled = [argument.format(world=world) for argument in arguments]
    assert main(["analyze", *filled, "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("driftgauge: error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_folder_without_captures_is_an_error_that_says_what_is_looked_for(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no capture")
    arguments = ["--capture", str(tmp_path), "--baseline", str(world / "baseline")]
    assert main(["replay", *arguments, "--window", "1d"]) == 2
    assert ".jsonl" in capsys.readouterr().err


def test_captures_without_a_usable_row_are_an_error(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text('{"unrelated": 1}\n')
    arguments = ["--capture", str(tmp_path), "--baseline", str(world / "baseline")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r")]) == 2
    err = capsys.readouterr().err
    assert "1 record or row rejected (100% of what arrived)" in err
    assert "nothing to judge" in err


def test_rejected_rows_are_reported_and_the_analysis_goes_on(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captures = write_captures(tmp_path / "c", days=1, rows=300)
    file = next(captures.rglob("*.jsonl"))
    file.write_text(file.read_text() + "\nsecret payload that is not json\n")
    arguments = ["--capture", str(captures), "--baseline", str(world / "baseline")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r")]) == 0
    err = capsys.readouterr().err
    assert "1 record or row rejected (0.3% of what arrived)" in err
    assert "line 301" in err
    assert "secret" not in err
    verdict = json.loads((tmp_path / "r/verdicts.json").read_text())
    assert verdict["rows"] == 300
    assert sum(verdict["rejected"].values()) == 1


def test_replay_prints_one_json_object_a_window_and_nothing_else(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = replay_json(
        capsys,
        *("--capture", str(world / "moved"), "--baseline", str(world / "baseline")),
        *("--window", "1d"),
    )
    assert [w["window_start"] for w in windows] == [f"2026-03-0{d}T00:00:00Z" for d in range(1, 7)]
    assert windows[0]["window_end"] == "2026-03-02T00:00:00Z"
    assert [w["alarm"] for w in windows] == [False] * 3 + [True] * 3
    assert {w["rows"] for w in windows} == {200}
    assert all(w["complete"] for w in windows)
    for window in windows:
        assert isinstance(window["violations"], list)
        assert [feature["name"] for feature in window["features"]] == ["score", "age", "plan"]
        for feature in window["features"]:
            assert {"role", "reason", "moved", "detectable_shift", "dispersion"} < set(feature)
            assert feature["verdict"] in ("ok", "drift", "insufficient_data")
            assert 0 <= feature["p_value"] <= feature["adjusted_p_value"] <= 1
            assert feature["effect"] < feature["distance"]
        assert window["joint"]["verdict"] in ("ok", "drift")
        assert window["persistent"]["windows"] >= 1
        assert window["predictions"][0]["name"] == "score"
    assert windows[4]["features"][2]["verdict"] == "drift"


def test_windows_with_too_few_rows_are_insufficient_on_their_own_but_not_together(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = replay_json(
        capsys,
        *("--capture", str(world / "moved"), "--baseline", str(world / "baseline")),
        *("--window", "15m"),
    )
    assert {feature["verdict"] for w in windows for feature in w["features"]} == {
        "insufficient_data"
    }
    assert windows[0]["features"][0]["effect"] is None
    # Three quiet days and three drifted ones: all windows of 50 rows or less add up.
    rings = [w["window_start"] for w in windows if w["alarm"]]
    assert "2026-03-04T00:00:00Z" <= rings[0] < "2026-03-05T00:00:00Z"
    for window in windows:
        assert window["alarm"] == (window["persistent"]["verdict"] == "drift")


def test_windows_of_rows_cut_the_captures_in_time_order(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((world / "moved").rglob("*.jsonl*"), reverse=True)
    windows = replay_json(
        capsys,
        *("--capture", *map(str, files), "--baseline", str(world / "baseline")),
        *("--window", "500rows"),
    )
    assert [w["rows"] for w in windows] == [500, 500, 200]
    assert [w["complete"] for w in windows] == [True, True, False]
    assert windows[0]["window_start"] == "2026-03-01T00:00:00Z"
    assert windows[0]["window_end"] == windows[1]["window_start"] == "2026-03-03T01:40:00Z"
    assert windows[2]["window_end"] == "2026-03-06T03:19:01Z"
    assert [w["alarm"] for w in windows] == [False, True, True]


def test_replay_shows_a_table_and_sums_it_up(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "baseline")]
    assert main(["replay", *arguments, "--window", "1d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Windows of 1d, times in UTC")
    assert sum("no drift" in line for line in lines) == 3
    assert sum("plan" in line and " drift" in line for line in lines) >= 3
    assert lines[-1].startswith(
        "6 windows, 1,200 rows: 3 would have alarmed, the first from 4 Mar 2026, 00:00 UTC (plan"
    )


def test_replay_judges_a_window_by_its_references(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "churn.yaml"
    config.write_text(
        "name: churn-monitor\nendpoint: {name: churn}\nwindow: 1d\n"
        "references: [{kind: trailing, windows: 1}]\n"
    )
    arguments = ("--capture", str(world / "moved"), "--baseline", str(world / "baseline"))
    windows = replay_json(capsys, *arguments, "--config", str(config))
    assert [w["references"][0]["rows"] for w in windows] == [0] + [200] * 5
    drifted = [
        [f["name"] for f in w["references"][0]["features"] if f["verdict"] == "drift"]
        for w in windows
    ]
    # The fourth day differs from the third; the fifth is like the fourth.
    assert drifted == [[], [], [], ["plan"], [], []]
    by_rows = replay_json(capsys, *arguments, "--config", str(config), "--window", "200rows")
    assert [w["references"][0]["rows"] for w in by_rows] == [0] + [200] * 5


def test_a_monitor_file_sets_limits_names_and_the_window(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "churn.yaml"
    config.write_text(
        "name: churn-monitor\nendpoint: {name: churn}\nwindow: 2d\n"
        "window_anchor: 2026-03-01T00:00:00Z\nfeatures: {plan: {ignore: true}}\n"
    )
    windows = replay_json(
        capsys,
        *("--capture", str(world / "moved"), "--baseline", str(world / "baseline")),
        *("--config", str(config)),
    )
    assert [w["rows"] for w in windows] == [400, 400, 400]
    assert [w["alarm"] for w in windows] == [False, False, False]
    assert {f["name"] for w in windows for f in w["features"]} == {"score", "age"}


def test_a_wrong_monitor_file_is_an_error_with_the_path_of_the_key(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "churn.yaml"
    config.write_text("name: churn\nendpoint: {name: churn}\ndecision: {alpha: 7}\n")
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "baseline")]
    assert main(["replay", *arguments, "--config", str(config)]) == 2
    assert "decision.alpha" in capsys.readouterr().err


def test_two_variants_judged_together_are_pointed_out(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_captures(tmp_path / "c", days=1, rows=200)
    (tmp_path / "c/churn/AllTraffic").rename(tmp_path / "c/churn/Blue")
    write_captures(tmp_path / "d", days=1, rows=200)
    arguments = ["--capture", str(tmp_path), "--baseline", str(world / "baseline")]
    assert main(["replay", *arguments, "--window", "1d", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "AllTraffic and Blue are judged together" in err
    assert json.loads(out)["rows"] == 400


def test_a_file_given_twice_counts_once(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = str(world / "quiet")
    windows = replay_json(
        capsys,
        *("--capture", quiet, quiet, "--baseline", str(world / "baseline")),
        *("--window", "1d"),
    )
    assert {w["rows"] for w in windows} == {200}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        yield client


def test_everything_works_on_s3_uris(
    world: Path, bucket: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (world / "moved").rglob("*.jsonl*"):
        key = f"captures/{path.relative_to(world / 'moved').as_posix()}"
        bucket.upload_file(str(path), "data", key)
        bucket.upload_file(str(path), "data", f"captures-old/{path.name}")
    bucket.upload_file(str(world / "train.csv"), "data", "train/train.csv")
    arguments = ["--data", "s3://data/train/train.csv", "--label", "label", "--outputs", "score"]
    assert main(["baseline", *arguments, "--out", "s3://data/baseline"]) == 0
    arguments = ["--capture", "s3://data/captures", "--baseline", "s3://data/baseline/"]
    assert main(["analyze", *arguments, "--out", "s3://data/report"]) == 1
    assert "wrote s3://data/report/report.html" in capsys.readouterr().out
    verdict = json.loads(
        bucket.get_object(Bucket="data", Key="report/verdicts.json")["Body"].read()
    )
    assert (verdict["monitor"], verdict["rows"]) == ("churn", 1200)
    assert main(["replay", *arguments, "--window", "2000rows", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1200


def test_a_bucket_that_does_not_exist_is_one_line_and_exit_2(
    world: Path, bucket: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--capture", "s3://nowhere/x", "--baseline", str(world / "baseline")]
    assert main(["replay", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "s3://nowhere/" in line


def test_real_churn_captures_do_not_drift_from_the_churn_training_data(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "data/amazon-sagemaker-examples"
    train = folder / "churn_intro/training-dataset-with-header.csv"
    arguments = ["--data", str(train), "--label", "Churn", "--out", str(tmp_path / "b")]
    assert main(["baseline", *arguments]) == 0
    assert "2,333 rows, 69 inputs" in capsys.readouterr().out

    real = folder / "extracted_from_notebooks/dataquality_intro.capture_first2000chars.jsonl"
    arguments = ["--capture", str(real), "--baseline", str(tmp_path / "b")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r")]) == 0
    verdict = json.loads((tmp_path / "r/verdicts.json").read_text())
    assert verdict["rows"] == 3
    assert {f["verdict"] for f in verdict["features"]} == {"insufficient_data"}

    requests = (folder / "churn_intro/test-dataset-input-cols.csv").read_text().splitlines()
    lines = []
    for i, request in enumerate(requests):
        one = record(START + timedelta(minutes=i), "0", "0", 0.1)
        one["captureData"]["endpointInput"]["data"] = request
        lines.append(json.dumps(one))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    arguments = ["--capture", str(tmp_path / "a.jsonl"), "--baseline", str(tmp_path / "b")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r2")]) == 0
    verdict = json.loads((tmp_path / "r2/verdicts.json").read_text())
    assert verdict["rows"] == 334
    assert {f["verdict"] for f in verdict["features"]} == {"ok"}
