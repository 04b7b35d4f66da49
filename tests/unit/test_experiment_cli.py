"""``driftgauge experiment``: figures, tables or captures in; a plan or a decision out."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from driftgauge.cli import main
from driftgauge.experiments.plan import decode_plan
from driftgauge.experiments.verdict import ExperimentVerdict, decode_experiment_verdict

START = datetime(2026, 6, 1, tzinfo=UTC)
BINARY = ("--problem", "binary", "--label", "late", "--probability", "score", "--time", "at")
PRIMARY = ("--primary", "accuracy=0.05")


def draw(
    rows: int, *, right: float, seed: int, hours: float = 48, start: datetime = START
) -> list[dict[str, str | float]]:
    """Draw rows of a model that is right in such a share of them."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, int(hours * 3600), rows)).tolist()
    truth = rng.integers(0, 2, rows)
    said = np.where(rng.random(rows) < right, truth, 1 - truth)
    latency = rng.normal(80, 10, rows)
    return [
        {
            "at": (start + timedelta(seconds=at)).isoformat(),
            "late": ("no", "yes")[int(truth[i])],
            "score": 0.2 + 0.6 * float(said[i]),
            "carrier": ("AA", "UA")[i % 2],
            "latency": round(float(latency[i]), 3),
        }
        for i, at in enumerate(seconds)
    ]


def write(path: Path, rows: list[dict[str, str | float]]) -> str:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def write_capture(folder: Path, variant: str, rows: list[dict[str, str | float]]) -> list[str]:
    """Write rows as SageMaker captures them; return lines of ground truth."""
    truths = []
    files: dict[Path, list[str]] = {}
    for i, row in enumerate(rows):
        at = datetime.fromisoformat(str(row["at"]))
        event = f"{variant}-{i}"
        payload = {"observedContentType": "text/csv", "encoding": "CSV"}
        record = {
            "captureData": {
                "endpointInput": payload | {"mode": "INPUT", "data": str(row["carrier"])},
                "endpointOutput": payload | {"mode": "OUTPUT", "data": str(row["score"])},
            },
            "eventMetadata": {"eventId": event, "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
            "eventVersion": "0",
        }
        place = folder / f"flights/{variant}/{at:%Y/%m/%d/%H}"
        files.setdefault(place, []).append(json.dumps(record))
        truth = {"data": str(row["late"]), "encoding": "CSV"}
        truths.append(json.dumps({"groundTruthData": truth, "eventMetadata": {"eventId": event}}))
    for place, lines in files.items():
        place.mkdir(parents=True)
        (place / "00-00-000-a.jsonl").write_text("\n".join(lines))
    return truths


def verdict_of(folder: Path) -> ExperimentVerdict:
    return decode_experiment_verdict((folder / "experiment.json").read_bytes())


def compare(
    tmp_path: Path,
    champion: list[dict[str, str | float]],
    challenger: list[dict[str, str | float]],
    *more: str,
) -> int:
    arms = ["--champion", write(tmp_path / "blue.csv", champion)]
    arms += ["--challenger", write(tmp_path / "green.csv", challenger)]
    return main(["experiment", "compare", *arms, *BINARY, "--out", str(tmp_path / "o"), *more])


def test_figures_make_the_plan_that_the_engine_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--primary", "accuracy=0.02", "--mean", "accuracy=0.9"]
    arguments += ["--requests-per-day", "1000", "--out", str(tmp_path)]
    assert main(["experiment", "plan", *arguments]) == 0
    plan = decode_plan((tmp_path / "plan.json").read_bytes())
    assert plan.primary.deviation == pytest.approx(0.3)
    # What docs/experiments.md says of msprt.
    assert plan.requests == pytest.approx(15_126, rel=1e-3)
    assert plan.days == pytest.approx(15.1, rel=1e-2)
    assert "15.1 days" in capsys.readouterr().out


def test_a_metric_of_few_requests_takes_longer(tmp_path: Path) -> None:
    requests = []
    for share in ("", "@0.1"):
        arguments = ["--primary", "recall=0.02", "--mean", f"recall=0.7{share}"]
        arguments += ["--requests-per-day", "1e6", "--out", str(tmp_path)]
        assert main(["experiment", "plan", *arguments]) == 0
        requests.append(decode_plan((tmp_path / "plan.json").read_bytes()).requests)
    assert requests[1] == pytest.approx(10 * requests[0], rel=1e-3)


def test_a_table_of_the_past_makes_a_plan_with_its_traffic_and_segments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "may.csv", draw(4800, right=0.8, seed=1))
    arguments = ["experiment", "plan", "--data", data, *BINARY, "--segment", "carrier"]
    arguments += ["--primary", "accuracy=10%", "--guardrail", "mean of latency=5%"]
    arguments += ["--lower", "mean of latency"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    plan = decode_plan((tmp_path / "plan.json").read_bytes())
    assert plan.primary.effect == pytest.approx(0.08, rel=0.05)
    assert plan.rules[1].margin == pytest.approx(4.0, rel=0.01)
    assert plan.rules[1].better == "lower"
    # 2,400 a day.
    assert plan.days == pytest.approx(plan.requests / 2400, rel=1e-3)
    assert {one.category for one in plan.requirements} == {None, "AA", "UA"}
    assert "carrier = UA" in capsys.readouterr().out


def test_a_plan_that_is_too_short_says_which_power_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--primary", "accuracy=0.01", "--mean", "accuracy=0.9"]
    arguments += ["--requests-per-day", "1000", "--max-duration", "7d"]
    assert main(["experiment", "plan", *arguments]) == 0
    assert "the longest duration leaves a power of" in capsys.readouterr().out


def test_a_better_challenger_is_promoted_with_status_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champion, challenger = draw(3000, right=0.8, seed=1), draw(3000, right=0.9, seed=2)
    assert compare(tmp_path, champion, challenger, *PRIMARY, "--segment", "carrier") == 0
    verdict = verdict_of(tmp_path / "o")
    assert verdict.decision == "promote"
    assert (verdict.champion, verdict.challenger) == ("blue", "green")
    assert verdict.started == START
    assert verdict.evaluated_at == START + timedelta(days=2)
    assert verdict.primary.champion_rows == 3000
    assert len(verdict.primary.looks) == 48
    assert {(s.column, s.category) for s in verdict.segments} == {
        ("carrier", "AA"),
        ("carrier", "UA"),
    }
    page = (tmp_path / "o/report.html").read_text(encoding="utf-8")
    assert "accuracy" in page and "carrier" in page
    out, err = capsys.readouterr()
    assert "Promote. accuracy is surely better" in out
    assert "accuracy in carrier = AA" in out
    assert "planned from the champion's rows of the test itself" in err


def test_a_harmful_challenger_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champion, challenger = draw(3000, right=0.8, seed=1), draw(3000, right=0.7, seed=2)
    assert compare(tmp_path, champion, challenger, *PRIMARY) == 1
    assert verdict_of(tmp_path / "o").decision == "stop: harm"
    assert "Stop: harm. accuracy is surely worse" in capsys.readouterr().out


def test_a_broken_guardrail_of_a_column_stops_a_better_challenger(tmp_path: Path) -> None:
    champion, challenger = draw(3000, right=0.8, seed=1), draw(3000, right=0.9, seed=2)
    for row in challenger:
        row["latency"] = float(row["latency"]) + 10
    guardrail = ("--guardrail", "mean of latency=5%", "--lower", "mean of latency")
    assert compare(tmp_path, champion, challenger, *PRIMARY, *guardrail) == 1
    verdict = verdict_of(tmp_path / "o")
    assert [metric.outcome for metric in verdict.metrics] == ["better", "harm"]
    assert verdict.guardrails[0].difference == pytest.approx(10, abs=1)


def test_an_equal_challenger_is_kept_out_with_status_0(tmp_path: Path) -> None:
    champion, challenger = draw(6000, right=0.8, seed=3), draw(6000, right=0.8, seed=4)
    assert compare(tmp_path, champion, challenger, *PRIMARY) == 0
    assert verdict_of(tmp_path / "o").decision == "keep"


def test_few_rows_go_on_with_status_0(tmp_path: Path) -> None:
    champion, challenger = draw(300, right=0.8, seed=1), draw(300, right=0.82, seed=2)
    assert compare(tmp_path, champion, challenger, *PRIMARY) == 0
    assert verdict_of(tmp_path / "o").decision == "continue"


def test_a_sample_ratio_mismatch_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champion, challenger = draw(3000, right=0.8, seed=1), draw(2000, right=0.9, seed=2)
    assert compare(tmp_path, champion, challenger, *PRIMARY) == 1
    verdict = verdict_of(tmp_path / "o")
    assert verdict.mismatch.mismatch
    assert verdict.decision == "keep"
    assert "Sample-ratio mismatch. The challenger received 40.00 %" in capsys.readouterr().out
    assert compare(tmp_path, champion, challenger, *PRIMARY, "--share", "0.4") == 0


def test_weights_that_change_end_a_block(tmp_path: Path) -> None:
    later = START + timedelta(hours=30, minutes=30)
    champion = draw(2745, right=0.8, seed=1, hours=30.5)
    champion += draw(787, right=0.8, seed=2, hours=17.5, start=later)
    challenger = draw(305, right=0.8, seed=3, hours=30.5)
    challenger += draw(787, right=0.8, seed=4, hours=17.5, start=later)
    more = (*PRIMARY, "--share", "0.1")
    assert compare(tmp_path, champion, challenger, *more) == 1
    assert verdict_of(tmp_path / "o").mismatch.mismatch
    changed = f"{later:%Y-%m-%dT%H:%M}=0.5"
    assert compare(tmp_path, champion, challenger, *more, "--share-since", changed) == 0
    verdict = verdict_of(tmp_path / "o")
    assert not verdict.mismatch.mismatch
    assert len(verdict.primary.looks) == 49


def test_rows_before_the_start_are_the_past_and_no_part_of_the_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = draw(2400, right=0.8, seed=5, hours=24, start=START - timedelta(days=1))
    champion, challenger = draw(3000, right=0.8, seed=1), draw(3000, right=0.9, seed=2)
    more = (*PRIMARY, "--since", "2026-06-01")
    assert compare(tmp_path, before + champion, challenger, *more) == 0
    verdict = verdict_of(tmp_path / "o")
    assert verdict.decision == "promote"
    assert verdict.primary.champion_rows == 3000
    plan = decode_plan((tmp_path / "o/plan.json").read_bytes())
    # 2,400 requests in a day.
    assert plan.requests / plan.days == pytest.approx(2400, rel=1e-3)
    assert "planned from" not in capsys.readouterr().err


def test_a_plan_made_before_is_what_is_judged_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*PRIMARY, "--mean", "accuracy=0.8", "--requests-per-day", "1500"]
    arguments += ["--min-duration", "7d", "--out", str(tmp_path / "plan")]
    assert main(["experiment", "plan", *arguments]) == 0
    champion, challenger = draw(3000, right=0.8, seed=1), draw(3000, right=0.9, seed=2)
    by = ("--plan", str(tmp_path / "plan/plan.json"))
    assert compare(tmp_path, champion, challenger, *by) == 0
    verdict = verdict_of(tmp_path / "o")
    assert verdict.decision == "continue"
    assert "shortest duration is not over" in verdict.reason
    written = (tmp_path / "o/plan.json").read_bytes()
    assert decode_plan(written) == decode_plan((tmp_path / "plan/plan.json").read_bytes())
    assert compare(tmp_path, champion, challenger, *by, *PRIMARY) == 2
    assert "--plan fixes what --primary would change" in capsys.readouterr().err


def test_settings_of_a_file_give_way_to_options(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        "primary: {name: accuracy, effect: 0.02}\nmethod: pocock\nstages: 3\nmin_rows: 200\n"
    )
    arguments = ["--mean", "accuracy=0.8", "--requests-per-day", "1500", "--settings", str(file)]
    assert main(["experiment", "plan", *arguments, *PRIMARY, "--out", str(tmp_path)]) == 0
    plan = decode_plan((tmp_path / "plan.json").read_bytes())
    assert (plan.method, plan.stages, plan.min_rows, plan.primary.effect) == (
        "pocock",
        3,
        200,
        0.05,
    )


def test_metrics_of_columns_need_no_labels(tmp_path: Path) -> None:
    champion, challenger = draw(3000, right=0.8, seed=1), draw(3000, right=0.8, seed=2)
    for row in challenger[::10]:
        row["score"] = ""
    arms = ["--champion", write(tmp_path / "a.csv", champion)]
    arms += ["--challenger", write(tmp_path / "b.csv", challenger), "--time", "at"]
    arguments = ["--primary", "mean of latency=5", "--lower", "mean of latency"]
    arguments += ["--segment", "carrier", "--out", str(tmp_path / "o")]
    assert main(["experiment", "compare", *arms, *arguments]) == 0
    verdict = verdict_of(tmp_path / "o")
    assert verdict.primary.champion == pytest.approx(80, abs=1)
    assert [s.metric.champion_rows for s in verdict.segments] == [1500, 1500]
    (tmp_path / "s.yaml").write_text(
        "primary: {name: mean of latency, better: lower, effect: 5}\n"
        "guardrails: [{name: missing score, better: lower, margin: 0.02}]\n"
    )
    plan = ["--mean", "mean of latency=80/10", "--mean", "missing score=0.01"]
    plan += ["--requests-per-day", "3000", "--settings", str(tmp_path / "s.yaml")]
    assert main(["experiment", "plan", *plan, "--out", str(tmp_path)]) == 0
    missing = ["--plan", str(tmp_path / "plan.json"), "--out", str(tmp_path / "o")]
    assert main(["experiment", "compare", *arms, *missing]) == 1
    found = verdict_of(tmp_path / "o").guardrails[0]
    assert found.outcome == "harm"
    assert found.challenger == pytest.approx(0.1)


def test_captures_are_joined_with_ground_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blue = draw(1500, right=0.75, seed=1, hours=30)
    green = draw(1500, right=0.92, seed=2, hours=30)
    truths = write_capture(tmp_path, "blue", blue)[100:] + write_capture(tmp_path, "green", green)
    (tmp_path / "truth.jsonl").write_text("\n".join(truths))
    arguments = ["experiment", "compare", "--captures"]
    arguments += ["--champion", str(tmp_path / "flights/blue")]
    arguments += ["--challenger", str(tmp_path / "flights/green")]
    arguments += ["--outputs", "score", "--features", "carrier", "--problem", "binary"]
    arguments += ["--probability", "score", "--segment", "carrier", *PRIMARY]
    arguments += ["--out", str(tmp_path / "o")]
    assert main(arguments) == 2
    assert "give them with --ground-truth" in capsys.readouterr().err
    assert main([*arguments, "--ground-truth", str(tmp_path / "truth.jsonl")]) == 0
    verdict = verdict_of(tmp_path / "o")
    assert verdict.decision == "promote"
    assert verdict.primary.champion_rows == 1400
    assert verdict.mismatch.champion_requests == 1500
    right = np.mean([(float(row["score"]) >= 0.5) == (row["late"] == "yes") for row in green])
    assert verdict.primary.challenger == pytest.approx(float(right))
    assert "1,400 labels for 1,500 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the metric that has to become better with --primary"),
        (["--primary", "accuracy=x"], "'x' is not a number"),
        (["--primary", "churn=2%"], "is a higher or a lower 'churn' better?"),
        (["--primary", "accuracy"], "either --data, or --mean"),
        (["--primary", "accuracy", "--mean", "accuracy=0.9"], "needs --requests-per-day"),
        (["--primary", "log_loss", "--mean", "log_loss=0.4"], "standard deviation is needed"),
        (["--primary", "accuracy", "--mean", "accuracy"], "write NAME=MEAN"),
        (["--primary", "accuracy", "--mean", "accuracy=0.9@2"], "at most 1"),
        (
            ["--primary", "accuracy", "--mean", "recall=0.9"],
            "no row has accuracy; there are recall",
        ),
        (["--primary", "accuracy", "--settings", "none.yaml"], "none.yaml"),
        (["--primary", "accuracy", "--data", "x.csv"], "Give --time, or --period"),
    ],
)
def test_wrong_figures_are_errors_that_say_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    if "--mean" in arguments and "needs --requests-per-day" not in message:
        arguments = [*arguments, "--requests-per-day", "1000"]
    assert main(["experiment", "plan", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "at"], "say what the models predict"),
        (["--problem", "binary", "--label", "late"], "name the column of the time"),
        (["--problem", "binary", "--time", "at"], "name the column of the truth"),
        ([*BINARY[:-1], "when"], "the first line has no column 'when'"),
        ([*BINARY, "--segment", "town"], "no column town"),
        ([*BINARY, "--outputs", "score"], "add --captures"),
        ([*BINARY, "--captures"], "leave out --time"),
        ([*BINARY, "--since", "2027-01-01"], "check --since"),
        ([*BINARY, "--classes", "no,maybe"], "there are"),
    ],
)
def test_arms_that_cannot_be_compared_are_errors_that_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    arms = ["--champion", write(tmp_path / "a.csv", draw(60, right=0.8, seed=1))]
    arms += ["--challenger", write(tmp_path / "b.csv", draw(60, right=0.8, seed=2))]
    base = ["experiment", "compare", *arms, "--primary", "recall", "--out", str(tmp_path / "o")]
    assert main([*base, *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "compare"])
def test_the_help_has_examples_and_the_status(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["experiment", command, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert f"  driftgauge experiment {command} " in out.split("examples:")[1]
    assert "exit status: 0 if" in out
