"""Replay with ground truth: rows joined with labels, windows watched by detectors."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws

from driftgauge.cli import main
from driftgauge.columns import Column, RowBatch, TypeCounts
from driftgauge.drift.outcome_stream import DETECTOR_NAMES, learn_design_effect, watch_outcomes
from driftgauge.training.comparison import log_losses
from driftgauge.training.outcomes import OutcomeCounts, WindowOutcomes
from driftgauge.windows import Window, WindowGrid
from tests.unit.churn_files import START, make_world, record

DAY = timedelta(days=1)


def truth(event: str, *labels: object) -> dict[str, Any]:
    data = "\n".join(str(label) for label in labels)
    return {
        "groundTruthData": {"data": data, "encoding": "CSV"},
        "eventMetadata": {"eventId": event},
        "eventVersion": "0",
    }


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return path


def write_served(folder: Path, *, days: int, rows: int, wrong: Sequence[float]) -> None:
    """Write captures and ground truth whose error rate is ``wrong`` of each day."""
    source = random.Random(4)  # noqa: S311
    for day in range(days):
        at = START + day * DAY
        calls, truths = [], []
        for i in range(rows):
            age = source.gauss(40, 10)
            plan = source.choices(["basic", "plus", "pro"], [5, 3, 2])[0]
            event, predicted = f"{day}-{i}", age / 100 >= 0.4
            moment = at + timedelta(seconds=60 * i)
            calls.append(record(moment, f"{age:.2f}", plan, age / 100, event=event))
            label = predicted != (source.random() < wrong[day])
            truths.append(truth(event, int(label)))
        place = f"churn/AllTraffic/{at:%Y/%m/%d/%H}"
        write_lines(folder / f"captures/{place}/00-00-000-a.jsonl", calls)
        # A label comes two days late, and lies where it was collected.
        write_lines(folder / f"truth/{at + 2 * DAY:%Y/%m/%d/%H}/labels.jsonl", truths)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_world(tmp_path_factory.mktemp("world"))
    jump = [0.2] * 14 + [0.4] * 4
    write_served(folder / "jump", days=18, rows=200, wrong=jump)
    write_served(folder / "calm", days=18, rows=200, wrong=[0.2] * 18)
    return folder


def four_calls(folder: Path) -> Path:
    """Write four calls of one day, the scores .1, .4, .6 and .9."""
    calls = [
        record(START + timedelta(hours=i), "40.00", "pro", score, event=f"e{i}")
        for i, score in enumerate((0.1, 0.4, 0.6, 0.9))
    ]
    return write_lines(folder / "calls.jsonl", calls)


def replay(world: Path, captures: Path, truths: Path, *more: str) -> int:
    options = ["--window", "1d", "--threshold", "0.4", *more]
    baseline = ["--capture", str(captures), "--baseline", str(world / "baseline")]
    return main(["replay", *baseline, "--ground-truth", str(truths), *options])


def outcomes_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line)["outcomes"] for line in lines]


def test_rows_meet_their_labels_and_the_last_label_wins(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # e3 has no label yet, e1 is corrected from 0 to 1, and nobody called e9.
    labels = [truth("e0", 0), truth("e1", 0), truth("e2", "false"), truth("e9", 1), truth("e1", 1)]
    truths = write_lines(tmp_path / "truth.jsonl", labels)
    assert replay(world, four_calls(tmp_path), truths, "--threshold", "0.5", "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    found = document["outcomes"]
    assert document["rows"] == 4
    assert (found["labelled"], found["coverage"], found["errors"]) == (3, 0.75, 2)
    assert found["error_rate"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.4]).mean())
    assert found["ground_truth"] == {"records": 5, "replaced": 1, "unmatched": 1, "rejected": {}}
    assert (found["learning"], found["fired"], found["design_effect"]) == (True, {}, None)
    assert "1 label replaced by later ones, 1 event id without a captured row" in err


def test_a_label_collected_later_counts_in_the_window_of_its_call(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = [record(START + day * DAY, "40.00", "pro", 0.9, event=f"day{day}") for day in range(2)]
    captures = write_lines(tmp_path / "calls.jsonl", calls)
    write_lines(tmp_path / "truth/2026/03/09/00/late.jsonl", [truth("day0", 0)])
    assert replay(world, captures, tmp_path / "truth", "--json") == 0
    first, second = outcomes_of(capsys)
    assert (first["labelled"], first["errors"]) == (1, 1)
    assert (second["labelled"], second["error_rate"], second["log_loss"]) == (0, None, None)


def test_a_jump_of_the_error_rate_fires_in_its_window(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(world, world / "jump/captures", world / "jump/truth", "--json") == 0
    found = outcomes_of(capsys)
    assert [one["learning"] for one in found] == [True] * 8 + [False] * 10
    fired = [(i, name) for i, one in enumerate(found) for name in one["fired"]]
    assert {i for i, _ in fired} <= set(range(14, 18))
    first = {name: i for i, name in reversed(fired)}
    assert first["hddm_a"] == first["hddm_w"] == 14
    assert first["page_hinkley"] == first["adwin"] == 15
    assert all(way == "rise" for one in found for way in one["fired"].values())
    assert found[0]["design_effect"]["used"] >= 1.0


def test_a_quiet_run_fires_nowhere_and_the_table_says_so(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(world, world / "calm/captures", world / "calm/truth") == 0
    out, err = capsys.readouterr()
    assert "No detector fires." in out
    assert "The first 8 windows with labels teach: error rate" in out
    outcomes = out[out.index("Outcomes") :]
    assert outcomes.count("learns") == 8
    assert err == ""


def test_the_table_names_the_detectors_and_the_first_window_of_each(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(world, world / "jump/captures", world / "jump/truth") == 0
    out = capsys.readouterr().out
    assert "Detectors fire, first in the window: " in out
    assert "15 Mar 2026" in out
    line = next(line for line in out.splitlines() if "2026-03-15" in line and "100%" in line)
    assert line.split()[-2:] == ["HDDM_A,", "HDDM_W"]


def test_too_few_windows_to_learn_from_are_said_so(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = write_lines(tmp_path / "truth.jsonl", [truth("e0", 0)])
    assert replay(world, four_calls(tmp_path), truths) == 0
    assert "1 window with labels, fewer than the 8 that teach" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([truth("x", 1)], [], "none of the 1 event ids .* must name the call's inferenceId"),
        ([truth("e0", 3), truth("e1", "yes")], [], "labels must be 0 or 1, true or false"),
        ([truth("e0", 1, 0)], [], r"one for each row of the call"),
        ([{"other": 1}], [], "holds no label that could be read"),
        ([truth("e0", 1)], ["--prediction", "plan"], "number in the column plan: .*score"),
        ([truth("e0", 1)], ["--window", "2rows"], "needs windows by time.*--window 1d"),
        ([truth("e0", 1)], ["--threshold", "nan"], "not a finite number"),
    ],
)
def test_an_error_says_what_to_do(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: list[dict[str, Any]],
    options: list[str],
    message: str,
) -> None:
    truths = write_lines(tmp_path / "truth.jsonl", labels)
    assert replay(world, four_calls(tmp_path), truths, *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(message, err), err


def test_without_any_output_the_score_must_be_named(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = ["--data", str(world / "train.csv"), "--exclude", "label,score"]
    assert main(["baseline", *baseline, "--out", str(tmp_path / "b")]) == 0
    truths = write_lines(tmp_path / "truth.jsonl", [truth("e0", 1)])
    arguments = ["--capture", str(four_calls(tmp_path)), "--baseline", str(tmp_path / "b")]
    assert main(["replay", *arguments, "--ground-truth", str(truths)]) == 2
    assert "name it with --prediction" in capsys.readouterr().err
    assert main(["replay", *arguments, "--threshold", "0.5"]) == 2
    assert "say how --ground-truth is used" in capsys.readouterr().err


def test_the_monitor_file_names_the_score_and_how_many_windows_teach(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = world / "churn.yaml"
    config.write_text(
        "name: churn\nendpoint: {name: churn}\nprediction: score\nwindow: 1d\n"
        "decision: {persistence: {learning_windows: 3}}\n",
        encoding="utf-8",
    )
    options = ["--config", str(config), "--json"]
    assert replay(world, world / "calm/captures", world / "calm/truth", *options) == 0
    assert [one["learning"] for one in outcomes_of(capsys)][:4] == [True, True, True, False]


def test_ground_truth_is_read_from_a_bucket(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        for hour, label in (("10", 0), ("09", 1)):
            body = gzip.compress(json.dumps(truth("e0", label)).encode())
            client.put_object(Bucket="data", Key=f"truth/2026/03/02/{hour}/a.jsonl.gz", Body=body)
        options = ["--ground-truth", "s3://data/truth", "--window", "1d", "--json"]
        arguments = ["--capture", str(four_calls(tmp_path)), "--baseline", str(world / "baseline")]
        assert main(["replay", *arguments, *options]) == 0
    [found] = outcomes_of(capsys)
    # The file of the later hour holds the last label.
    assert (found["labelled"], found["errors"], found["ground_truth"]["replaced"]) == (1, 0, 1)


def batch(scores: list[float], *, times: list[int], events: list[str]) -> RowBatch:
    numbers = np.array(scores)
    return RowBatch(
        rows=len(scores),
        records=len(events),
        columns={"score": Column(numbers=numbers, types=TypeCounts(fractional=len(scores)))},
        inference_time=np.array(times),
        event_ids=events,
        record_of_row=np.arange(len(events), dtype=np.int32),
    )


def test_outcomes_add_up_over_batches_in_any_order() -> None:
    counts = OutcomeCounts(
        labels={"a": (1.0,), "b": (0.0,), "c": (1.0,), "d": (np.nan,)},
        prediction="score",
        threshold=0.5,
        grid=WindowGrid(DAY),
    )
    counts.add(batch([0.9, 0.9, 0.9], times=[86_400, 10, 20], events=["c", "b", "d"]))
    counts.add(batch([1.5, np.nan], times=[5, 6], events=["a", "a"]))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, second = counts.by_window().items()
    assert first[0] == Window(epoch, epoch + DAY)
    assert first[1] == WindowOutcomes(
        rows=4,
        labelled=2,
        unusable_labels=1,
        unusable_scores=1,
        errors=1,
        outside=1,
        losses=float(log_losses(np.array([0.0]), np.array([0.9]))[0]),
    )
    # A score that is no probability has no log loss, so the window has none.
    assert first[1].log_loss is None
    assert second[1].error_rate == 0.0
    assert counts.matched == 4


def test_a_drop_of_the_error_rate_is_a_fall_that_only_adwin_sees() -> None:
    watch = watch_outcomes([(0.4, 500)] * 20 + [(0.1, 500)] * 10, learning_windows=8)
    fired = {(name, way) for one in watch.fired for name, way in one.items()}
    assert fired == {("adwin", "fall")}


def test_windows_without_labels_are_passed_over_and_do_not_teach() -> None:
    stream = [(0.0, 0), (0.2, 400), (0.2, 400), (0.0, 0), (0.2, 400), (0.6, 400)]
    watch = watch_outcomes(stream, learning_windows=3)
    assert watch.learning == (True,) * 5 + (False,)
    assert watch.fired[:5] == ({},) * 5
    assert "adwin" in watch.fired[5]


def test_the_bound_of_the_design_effect_holds_nine_times_in_ten() -> None:
    rng = np.random.default_rng(8)
    effect = 10.0
    trials = 1000
    # Rows alike in groups of ten make windows' rates vary ten times as much.
    rates = rng.binomial(1000, 0.2, size=(trials, 8)) / 1000
    learnt = [learn_design_effect([(rate, 10_000) for rate in row]) for row in rates.tolist()]
    held = sum(one.used >= effect for one in learnt) / trials
    assert 0.87 <= held <= 0.93
    assert np.mean([one.measured for one in learnt]) == pytest.approx(effect, rel=0.1)


def test_an_error_rate_of_nothing_teaches_too() -> None:
    watch = watch_outcomes([(0.0, 300)] * 10 + [(0.3, 300)] * 3, learning_windows=8)
    assert watch.design_effect is not None
    assert watch.design_effect.used == 1.0
    assert watch.fired[:10] == ({},) * 10
    assert "adwin" in watch.fired[10]


def test_a_quiet_year_of_clustered_days_fires_rarely() -> None:
    rng = np.random.default_rng(21)
    years = 40
    fired = dict.fromkeys(DETECTOR_NAMES, 0)
    for _ in range(years):
        rates = rng.binomial(80, 0.2, size=365) / 80
        watch = watch_outcomes([(rate, 2000) for rate in rates.tolist()], learning_windows=8)
        for name in {name for one in watch.fired for name in one}:
            fired[name] += 1
    assert max(fired.values()) <= 4
