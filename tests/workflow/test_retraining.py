from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import msgspec
import numpy as np
import pytest

from driftgauge.columns import Column, TypeCounts
from driftgauge.config import MonitorConfig
from driftgauge.errors import StoreError, TrainingError
from driftgauge.store import Current
from driftgauge.training.logistic import decode_model
from driftgauge.windows import Window, format_time
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    VARIANT,
    World,
    capture_lines,
    deployed,
    ground_truth_lines,
    monitor,
    values,
)
from tests.workflow.machine import DEFINITION, OWN_FUNCTION, Inbox, Machine, machine, substituted

ROWS = 600
BEGIN = ["Start", "Guard", "MayRetrain"]
PREPARED = [*BEGIN, "TellStarted", "Prepare", "EnoughRows", "ChooseTrainer"]
WON = ["Compare", "ChallengerWins", "BuildBaseline", "ToBeRegistered", "NeedsApproval"]
PROMOTED = ["RollsOut", "Promote", "WasRegistered", "TellPromoted", "Promoted"]
KEPT = ["KeepChampion", "TellKept", "Kept"]
# What each scenario below walks through; with those of the roll-outs they visit every state.
PATHS = {
    "promoted": [*PREPARED, "Train", *WON, *PROMOTED],
    "kept": [*PREPARED, "Train", "Compare", "ChallengerWins", *KEPT],
    "refused": [*BEGIN, "Refused"],
    "cooling down": [*BEGIN, "TellSkipped", "Skipped"],
    "too few rows": [*BEGIN, "TellStarted", "Prepare", "EnoughRows", "TellSkipped", "Skipped"],
    "guard fails": ["Start", "Guard", "TellFailure", "Failed"],
    "train fails": [*PREPARED, "Train", "RecordFailure", "TellFailure", "Failed"],
    "own function": [*PREPARED, "TrainWithOwnFunction", *WON, *PROMOTED],
    "sagemaker": [*PREPARED, "TrainOnSageMaker", *WON, *PROMOTED],
    "approved": [*PREPARED, "Train", *WON, "AskApproval", *PROMOTED],
    "not approved": [*PREPARED, "Train", *WON, "AskApproval", "DropChallenger", *KEPT],
    "promotion fails": [
        *PREPARED,
        "Train",
        *WON,
        *("RollsOut", "Promote", "PromotionFailed", "RecordFailure", "TellFailure", "Failed"),
    ],
    "record fails": [
        *PREPARED,
        *("Train", "RecordFailure", "FailureNotRecorded", "TellFailure", "Failed"),
    ],
}


def settings(*, besides: dict[str, Any] | None = None, **changes: Any) -> MonitorConfig:
    retraining = {
        "enabled": True,
        "lookback": "1d",
        "min_rows": 300,
        "cooldown": "1h",
        **changes,
    }
    return monitor(retraining=retraining, **(besides or {}))


@contextmanager
def drifted(
    monkeypatch: pytest.MonkeyPatch,
    captured: pytest.CaptureFixture[str],
    folder: Path,
    *,
    champion_is_bad: bool = True,
    labels: int = ROWS,
    **changes: Any,
) -> Iterator[tuple[World, Inbox]]:
    """A monitor whose newest window drifted, with labels for it."""
    with deployed(monkeypatch, captured, folder, settings(**changes)) as world:
        inbox = Inbox(monkeypatch)
        world.function("runtime").runtime.cache_clear()
        world.add_baseline()
        amounts, _ = values(ROWS, seed=7, shift=40.0)
        odds = (np.array(amounts) - 140.0) / 5.0
        chances = 1.0 / (1.0 + np.exp(-odds))
        late = (np.random.default_rng(3).random(ROWS) < chances).astype(int)
        scores = [0.5] * ROWS if champion_is_bad else chances.round(6).tolist()
        key = f"captures/loans-endpoint/{VARIANT}/{HOUR:%Y/%m/%d/%H}/a.jsonl"
        body = capture_lines(ROWS, seed=7, shift=40.0, scores=scores)
        world.profile(world.put(CAPTURES, key, body))
        truth = ground_truth_lines(late.tolist()[:labels])
        world.put(CAPTURES, f"ground-truth/{HOUR:%Y/%m/%d/%H}/labels.jsonl", truth)
        world.call("evaluate", {"monitor": "loans", "window_start": format_time(HOUR)})
        yield world, inbox


@pytest.fixture
def scenario(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Any]:
    def start(**options: Any) -> Any:
        return drifted(monkeypatch, capsys, tmp_path, **options)

    return start


def columns(rows: int, *, seed: int) -> dict[str, Column]:
    """The inputs of captured rows as a model reads them."""
    amounts, regions = values(rows, seed=seed, shift=40.0)
    words = tuple(dict.fromkeys(regions))
    return {
        "amount": Column(numbers=np.array(amounts), types=TypeCounts(fractional=rows)),
        "region": Column(
            numbers=np.full(rows, np.nan),
            codes=np.array([words.index(region) for region in regions], dtype=np.int32),
            words=words,
            types=TypeCounts(text=rows),
        ),
    }


def run(made: Machine, name: str = "one", **event: Any) -> tuple[dict[str, Any], list[str]]:
    execution = made.start(name, **event)
    return made.finish(execution), made.path(execution)


def current(world: World) -> Current:
    return world.store.read_current()[0]


def last(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        world.store.objects.read("loans/retraining/last.json").decode()
    )
    return found


def test_a_better_challenger_is_promoted_with_a_baseline_of_its_own(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario() as (world, inbox), machine(monkeypatch) as made:
        before = current(world)
        ended, path = run(made, alarm=f"driftgauge-loans-{VARIANT}-feature-drift")
        assert path == PATHS["promoted"]
        after = current(world)
        assert json.loads(ended["output"])["version"] == after.model == after.baseline
        assert after.history[-1].baseline == before.baseline
        baseline = world.function("runtime").runtime().baseline(world.store, after.baseline)
        assert baseline.spec.outputs == ("score",)
        assert baseline.profile.rows == ROWS
        assert last(world)["outcome"] == "promoted"
        assert [message["subject"] for message in inbox.read()] == [
            "INFO: loans: retraining started",
            "INFO: loans: new model promoted",
        ]
        # The window after it looks like the one before, and no longer drifts.
        later = HOUR + timedelta(hours=1)
        key = f"captures/loans-endpoint/{VARIANT}/{later:%Y/%m/%d/%H}/b.jsonl"
        champion = decode_model(world.store.objects.read(world.store.model_key(str(after.model))))
        scores = champion.score(columns(300, seed=8), rows=300).tolist()
        body = capture_lines(300, seed=8, shift=40.0, hour=later, prefix="n", scores=scores)
        world.profile(world.put(CAPTURES, key, body))
        world.call("evaluate", {"monitor": "loans", "window_start": format_time(later)})
        verdict = world.store.read_verdict(
            variant=VARIANT, window=Window(later, later + timedelta(hours=1))
        )
        assert (verdict.baseline_version, verdict.rows) == (after.baseline, 300)
        assert not verdict.alarm


def test_a_challenger_that_is_no_better_leaves_everything_as_it_was(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(champion_is_bad=False) as (world, inbox), machine(monkeypatch) as made:
        before = current(world)
        ended, path = run(made)
        assert path == PATHS["kept"]
        assert json.loads(ended["output"])["outcome"] == "kept"
        assert current(world) == before
        assert len(world.keys("loans/baseline/")) == 3
        assert last(world)["outcome"] == "kept"
        assert inbox.read()[-1]["subject"] == "INFO: loans: champion kept"


def test_a_second_retraining_waits_for_the_cool_down_unless_it_is_forced(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(champion_is_bad=False) as (world, inbox), machine(monkeypatch) as made:
        run(made)
        inbox.read()
        ended, path = run(made, "two")
        assert path == PATHS["cooling down"]
        assert "cool-down is 1h" in json.loads(ended["output"])["reason"]
        assert inbox.read()[0]["subject"] == "INFO: loans: retraining skipped"
        assert run(made, "three", force=True)[1] == PATHS["kept"]
        world.set_clock(datetime.now(UTC) + timedelta(hours=2))
        assert run(made, "four")[1] == PATHS["kept"]


def test_while_one_execution_runs_another_is_refused_without_a_word(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    with scenario() as (_, inbox), machine(monkeypatch) as made:
        train = made.functions["train"]

        def start_another(event: dict[str, Any]) -> Any:
            seen.append(run(made, "two", force=True)[1])
            return train(event)

        made.functions["train"] = start_another
        assert run(made)[1] == PATHS["promoted"]
        assert seen == [PATHS["refused"]]
        assert len(inbox.read()) == 2


def test_too_few_labels_end_a_retraining_that_says_so(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(labels=250) as (world, inbox), machine(monkeypatch) as made:
        before = current(world)
        ended, path = run(made)
        assert path == PATHS["too few rows"]
        assert "250 labelled rows of 600" in json.loads(ended["output"])["reason"]
        assert "250 labelled rows of 600" in inbox.read()[-1]["text"]
        assert current(world) == before
        # No cool-down: the labels may be there in an hour.
        assert world.keys("loans/retraining/last.json") == []


def test_too_low_a_coverage_of_labels_ends_a_retraining(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(labels=320, min_label_coverage=0.9) as (_, inbox), machine(monkeypatch) as made:
        assert run(made)[1] == PATHS["too few rows"]
        assert "labels for 53% of 600 rows" in inbox.read()[-1]["text"]


def test_an_unknown_monitor_fails_and_is_told(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario() as (_, inbox), machine(monkeypatch) as made:
        ended, path = run(made, monitor="other")
        assert path == PATHS["guard fails"]
        assert ended["status"] == "FAILED"
        (message,) = inbox.read()
        assert message["subject"] == "FAILED: other: retraining failed"
        assert "there is no monitor named 'other'" in message["text"]


@pytest.mark.parametrize("step", ["prepare", "train", "compare", "baseline", "promote"])
def test_a_failing_step_leaves_champion_and_baseline_as_they_were(
    step: str, scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: dict[str, Any]) -> Any:
        if event.get("outcome") == "failed":
            return {}
        raise TrainingError(f"{step} broke on <b>'quoted' \"text\"</b>")

    with scenario() as (world, inbox), machine(monkeypatch, **{step: fail}) as made:
        before = current(world)
        ended, path = run(made)
        assert ended["status"] == "FAILED"
        assert ended["error"] == "RetrainingFailed"
        assert path[-3:] == PATHS["train fails"][-3:]
        assert current(world) == before
        message = inbox.read()[-1]
        assert message["subject"] == "FAILED: loans: retraining failed"
        assert f"TrainingError: {step} broke" in message["text"]
        if step == "train":
            assert path == PATHS["train fails"]
            assert last(world)["outcome"] == "failed"
        if step == "promote":
            assert path == PATHS["promotion fails"]


def test_a_failure_that_cannot_be_recorded_is_told_all_the_same(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: dict[str, Any]) -> Any:
        raise TrainingError("no luck")

    with scenario() as (_, inbox), machine(monkeypatch, train=fail, promote=fail) as made:
        assert run(made)[1] == PATHS["record fails"]
        assert inbox.read()[-1]["subject"] == "FAILED: loans: retraining failed"


def test_a_transient_error_is_tried_again(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario() as (_, _inbox), machine(monkeypatch) as made:
        train, calls = made.functions["train"], []

        def flaky(event: dict[str, Any]) -> Any:
            calls.append(event)
            if len(calls) == 1:
                raise StoreError("the bucket is busy")
            return train(event)

        made.functions["train"] = flaky
        ended, _path = run(made)
        assert (ended["status"], len(calls)) == ("SUCCEEDED", 2)


def test_a_champion_that_changed_meanwhile_is_not_overwritten(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario() as (world, inbox), machine(monkeypatch) as made:
        train = made.functions["train"]

        def promote_by_hand(event: dict[str, Any]) -> Any:
            pointer, tag = world.store.read_current()
            by_hand = pointer.promoted(baseline=pointer.baseline, model="by-hand", since=HOUR)
            world.store.write_current(by_hand, if_tag=tag)
            return train(event)

        made.functions["train"] = promote_by_hand
        ended, _ = run(made)
        assert ended["status"] == "FAILED"
        assert current(world).model == "by-hand"
        assert "changed while the retraining ran" in " ".join(inbox.read()[-1]["text"].split())


def test_notifications_that_fail_do_not_stop_a_retraining(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: dict[str, Any]) -> Any:
        raise RuntimeError("no topic")

    with scenario() as (world, _), machine(monkeypatch, notify=fail) as made:
        assert run(made)[1] == PATHS["promoted"]
        assert current(world).model is not None


def test_an_approved_challenger_is_promoted(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(approval=True) as (world, inbox), machine(monkeypatch) as made:
        execution = made.start()
        token = inbox.wait_for_token()
        assert current(world).model is None
        boto3.client("stepfunctions").send_task_success(taskToken=token, output="{}")
        assert made.finish(execution)["status"] == "SUCCEEDED"
        assert made.path(execution) == PATHS["approved"]
        assert current(world).model is not None


def test_a_rejected_challenger_is_not_promoted(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(approval=True) as (world, inbox), machine(monkeypatch) as made:
        execution = made.start()
        boto3.client("stepfunctions").send_task_failure(
            taskToken=inbox.wait_for_token(), error="Rejected", cause="too early in the quarter"
        )
        ended = made.finish(execution)
        # moto drops the cause that Step Functions hands on.
        assert "The challenger was rejected" in json.loads(ended["output"])["reason"]
        assert made.path(execution) == PATHS["not approved"]
        assert current(world).model is None


def test_a_challenger_that_nobody_approves_in_time_is_not_promoted(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"approval": True, "approval_timeout": "1s"}
    with scenario(**options) as (world, inbox), machine(monkeypatch) as made:
        before = current(world)
        ended, path = run(made)
        assert path == PATHS["not approved"]
        assert "Nobody approved" in json.loads(ended["output"])["reason"]
        assert current(world) == before
        assert inbox.read()[-1]["subject"] == "INFO: loans: champion kept"


def test_a_function_of_ones_own_trains(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(trainer_function_arn=OWN_FUNCTION) as (world, _), machine(monkeypatch) as made:
        calls = []

        def own(event: dict[str, Any]) -> Any:
            calls.append(event)
            return made.functions["train"](event)

        made.functions["own-trainer"] = own
        assert run(made)[1] == PATHS["own function"]
        assert len(calls) == 1
        assert current(world).model is not None


SAGEMAKER = {
    "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1",
    "role_arn": "arn:aws:iam::123456789012:role/training",
    "hyperparameters": {"depth": "3"},
    "max_runtime": "30m",
}


def job_output(world: World, plan: dict[str, Any], *, name: str = "./predictions.csv") -> None:
    """Write what a SageMaker job leaves: the built-in trainer's predictions in an archive."""
    world.call("train", {"plan": plan})
    data = world.store.objects.read(plan["files"]["predictions"])
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    job = plan["sagemaker"]
    key = f"{job['output_uri'].split('/', 3)[3]}/{job['name']}/output/output.tar.gz"
    world.store.objects.write(key, stream.getvalue())


def test_a_sagemaker_job_trains(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(trainer=SAGEMAKER) as (world, _), machine(monkeypatch) as made:
        compare = made.functions["compare"]

        def after_the_job(event: dict[str, Any]) -> Any:
            job_output(world, event["plan"])
            return compare(event)

        made.functions["compare"] = after_the_job
        assert run(made)[1] == PATHS["sagemaker"]
        client = boto3.client("sagemaker")
        (summary,) = client.list_training_jobs()["TrainingJobSummaries"]
        job = client.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        assert job["HyperParameters"] == {"depth": "3"}
        assert job["StoppingCondition"]["MaxRuntimeInSeconds"] == 1800
        channels = {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in job["InputDataConfig"]
        }
        assert channels["train"] == "s3://store-bucket/loans/retraining/one/train.csv"
        assert world.keys(channels["scoring"].removeprefix("s3://store-bucket/"))
        pointer = current(world)
        model = msgspec.json.decode(
            world.store.objects.read(world.store.model_key(str(pointer.model)))
        )
        assert model["artifact"].endswith(f"{summary['TrainingJobName']}/output/model.tar.gz")


def test_a_sagemaker_job_without_predictions_fails_with_the_contract(
    scenario: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scenario(trainer=SAGEMAKER) as (world, inbox), machine(monkeypatch) as made:
        compare = made.functions["compare"]

        def after_the_job(event: dict[str, Any]) -> Any:
            job_output(world, event["plan"], name="../predictions.csv")
            return compare(event)

        made.functions["compare"] = after_the_job
        assert run(made)[0]["status"] == "FAILED"
        assert "/opt/ml/output/data/predictions.csv" in inbox.read()[-1]["text"]
        assert current(world).model is None


def test_the_definition_passes_the_validator(tmp_path: Path) -> None:
    root = DEFINITION.parents[2]
    validator = root / "node_modules" / ".bin" / "asl-validator"
    if not validator.exists() or shutil.which("node") is None:
        pytest.skip("asl-validator is not installed in node_modules")
    path = tmp_path / "retraining.asl.json"
    path.write_text(json.dumps(substituted()), encoding="utf-8")
    done = subprocess.run(  # noqa: S603  (our own file, our own tool)
        [str(validator), "--json-path", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
