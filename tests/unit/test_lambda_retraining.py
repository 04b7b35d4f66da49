from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from driftgauge.errors import ConfigError, TrainingError
from driftgauge.windows import Window, format_time
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    STORE,
    VARIANT,
    World,
    batch,
    capture_lines,
    deployed,
    ground_truth_lines,
    monitor,
    training_csv,
)

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:driftgauge-loans-retraining"
EXECUTION = MACHINE.replace("stateMachine", "execution") + ":mine"
STARTED = HOUR + timedelta(hours=1)


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    config = monitor(
        endpoint={"name": "loans-endpoint", "variants": [VARIANT, "blue-green"]},
        retraining={"enabled": True, "lookback": "2d", "min_rows": 100, "min_label_coverage": 0.1},
    )
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        world.add_baseline()
        yield world


def running(
    monkeypatch: pytest.MonkeyPatch, *executions: tuple[str, datetime], mine: datetime | None
) -> None:
    """Let Step Functions list these running executions."""
    listed = [{"executionArn": EXECUTION, "startDate": mine}] if mine else []
    listed += [
        {"executionArn": EXECUTION.replace("mine", name), "startDate": start}
        for name, start in executions
    ]

    class Pages:
        def paginate(self, **arguments: Any) -> Any:
            assert arguments == {"stateMachineArn": MACHINE, "statusFilter": "RUNNING"}
            return iter([{"executions": listed}])

    class StepFunctions:
        def get_paginator(self, name: str) -> Pages:
            return Pages()

        def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803
            assert executionArn in [one["executionArn"] for one in listed]
            return {"status": "RUNNING"}

    real = boto3.client
    monkeypatch.setattr(
        boto3,
        "client",
        lambda name, **more: StepFunctions() if name == "stepfunctions" else real(name, **more),
    )


def guard(world: World, **changes: Any) -> dict[str, Any]:
    event = {
        "monitor": "loans",
        "alarm": "",
        "force": False,
        "execution": EXECUTION,
        "name": "mine",
        "started": format_time(STARTED),
        "state_machine": MACHINE,
        **changes,
    }
    plan: dict[str, Any] = world.call("guard", event)
    return plan


def evaluated(world: World, hours: dict[int, float]) -> None:
    """Evaluate windows relative to HOUR, each with a shift."""
    for hour, shift in hours.items():
        start = HOUR + timedelta(hours=hour)
        name = f"w{hour}"
        world.profile(
            world.capture(rows=150, hour=start, name=name, prefix=name, shift=shift, seed=hour + 50)
        )
        world.call("evaluate", {"monitor": "loans", "window_start": format_time(start)})


def test_a_monitor_without_any_evaluated_window_is_not_retrained(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(monkeypatch, mine=STARTED)
    plan = guard(world)
    assert (plan["go"], plan["notify"]) == (False, True)
    assert "no window of variant AllTraffic has been evaluated" in plan["reason"]


def test_of_executions_at_once_exactly_the_earliest_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(world, {0: 0.0})
    second = timedelta(seconds=1)
    cases: list[tuple[tuple[tuple[str, datetime], ...], datetime | None, bool]] = [
        ((), STARTED, True),
        ((("later", STARTED + second),), STARTED, True),
        ((("earlier", STARTED - second),), STARTED, False),
        ((("a-tie", STARTED),), STARTED, False),
        ((("z-tie", STARTED),), STARTED, True),
        # Step Functions may not list an execution yet that has just begun.
        ((("earlier", STARTED - second),), None, False),
        ((("later", STARTED + second),), None, True),
    ]
    for others, mine, goes in cases:
        with monkeypatch.context() as patch:
            running(patch, *others, mine=mine)
            plan = guard(world, force=True)
            assert plan["go"] is goes
            assert plan["notify"] is goes


def test_a_plan_is_the_same_for_the_same_execution_and_holds_no_null(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(world, {0: 0.0})
    running(monkeypatch, mine=STARTED)
    plan = guard(world)
    assert guard(world) == plan
    assert "null" not in json.dumps(plan)
    assert plan["version"].startswith("20260302T110000Z-")
    assert plan["files"]["train"] == "loans/retraining/mine/train.csv"
    assert plan["trainer"] == "builtin"


def test_the_alarm_says_which_variant_is_meant(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(monkeypatch, mine=STARTED)
    alarms = {
        "driftgauge-loans-blue-green-prediction-drift": "blue-green",
        f"driftgauge-loans-{VARIANT}-feature-drift": VARIANT,
        "driftgauge-loans-green-feature-drift": VARIANT,
        "something else": VARIANT,
    }
    assert {alarm: guard(world, alarm=alarm)["variant"] for alarm in alarms} == alarms


def test_the_drift_began_with_the_first_of_the_alarming_windows_in_a_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(world, {-4: 40.0, -3: 0.0, -2: 40.0, -1: 40.0, 0: 40.0})
    running(monkeypatch, mine=STARTED)
    plan = guard(world)
    assert plan["drift_since"] == format_time(HOUR - timedelta(hours=2))
    assert plan["until"] == format_time(HOUR + timedelta(hours=1))


def traffic(world: World, monkeypatch: pytest.MonkeyPatch, hours: dict[int, int]) -> dict[str, Any]:
    """Captures and labels in some hours, so many rows each; returns the plan."""
    for hour, rows in hours.items():
        start = HOUR + timedelta(hours=hour)
        name = f"w{hour}"
        world.profile(world.capture(rows=rows, hour=start, name=name, prefix=name))
        labels = ground_truth_lines([i % 2 for i in range(rows)], prefix=name)
        world.put(CAPTURES, f"ground-truth/{start:%Y/%m/%d/%H}/{name}.jsonl", labels)
    world.call("evaluate", {"monitor": "loans", "window_start": format_time(HOUR)})
    running(monkeypatch, mine=STARTED)
    return guard(world)


def rows_of(world: World, key: str) -> int:
    return len(world.store.objects.read(key).splitlines()) - 1


def test_the_new_baseline_has_the_minimum_of_rows_even_if_the_drift_is_younger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traffic(world, monkeypatch, {-20: 90, -2: 60, 0: 30})
    prepared = world.call("prepare", {"plan": plan})
    assert (prepared["enough"], prepared["rows"]) == (True, 180)
    files = plan["files"]
    assert rows_of(world, files["served"]) == 100
    assert rows_of(world, files["train"]) + rows_of(world, files["holdout"]) == 180
    assert rows_of(world, files["scoring"]) == rows_of(world, files["holdout"]) + 100
    header = world.store.objects.read(files["scoring"]).splitlines()[0].decode()
    assert "late" not in header.split(",")


def test_labels_and_captures_outside_the_lookback_are_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traffic(world, monkeypatch, {-72: 400, -30: 150, 0: 50})
    assert world.call("prepare", {"plan": plan})["rows"] == 200


def test_where_a_roll_out_could_compare_nothing_no_challenger_is_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    role = "arn:aws:iam::123456789012:role/serving"
    rollout = {"strategy": "ab", "role_arn": role, "ab": {"primary": {"name": "accuracy"}}}
    trainer = {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/t:1", "role_arn": role}
    config = monitor(
        endpoint={"name": "loans-endpoint", "variants": [VARIANT, "challenger"]},
        outcomes={},
        retraining={
            **{"enabled": True, "trainer": trainer, "rollout": rollout},
            **{"lookback": "2d", "min_rows": 100, "min_label_coverage": 0.1},
        },
    )
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        lines = training_csv(2000).decode().splitlines()
        unlabelled = "\n".join(line.partition(",")[2] for line in lines).encode()
        event = world.put(STORE, "loans/training-data/served.csv", unlabelled)
        world.call("baseline", batch(event))
        plan = traffic(world, monkeypatch, {-1: 100, 0: 100})
        prepared = world.call("prepare", {"plan": plan})
        assert (prepared["enough"], prepared["labelled"]) == (False, 200)
        assert "knows no outcomes" in prepared["reason"]
        assert "has the columns score and late" in prepared["reason"]
        world.add_baseline()
        assert world.call("prepare", {"plan": plan})["enough"]


def test_a_correction_of_a_label_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = traffic(world, monkeypatch, {0: 120})
    later = HOUR + timedelta(days=40)
    corrected = [int(i % 3 == 0) for i in range(120)]
    body = ground_truth_lines(corrected, prefix="w0")
    world.put(CAPTURES, f"ground-truth/{later:%Y/%m/%d/%H}/fix.jsonl", body)
    world.call("prepare", {"plan": plan})
    train = world.store.objects.read(plan["files"]["train"]).decode().splitlines()
    label = train[0].split(",").index("late")
    found = [int(line.split(",")[label]) for line in train[1:]]
    assert found == corrected[: len(found)]


def test_predictions_that_do_not_fit_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traffic(world, monkeypatch, {-1: 100, 0: 100})
    world.call("prepare", {"plan": plan})
    world.call("train", {"plan": plan})
    key = plan["files"]["predictions"]
    good = world.store.objects.read(key)
    lines = good.decode().splitlines()
    for bad, said in (
        ("\n".join(lines[:-1]), "scores for the"),
        ("\n".join([*lines[:-1], "1.5"]), "between 0 and 1"),
        ("\n".join([*lines[:-1], "oops"]), "between 0 and 1"),
        ("\n".join(f"{line},1" for line in lines), "one column"),
    ):
        world.store.objects.write(key, (bad + "\n").encode())
        with pytest.raises(TrainingError, match=said):
            world.call("compare", {"plan": plan})
    # Without a header it is the same column.
    world.store.objects.write(key, ("\n".join(lines[1:]) + "\n").encode())
    assert world.call("compare", {"plan": plan})["rows"] == rows_of(world, plan["files"]["holdout"])


def test_a_promotion_that_is_tried_again_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traffic(world, monkeypatch, {-1: 100, 0: 100})
    prepared = world.call("prepare", {"plan": plan})
    world.call("train", {"plan": plan})
    event = {
        "plan": plan,
        "outcome": "promoted",
        "reason": "better",
        "champion": prepared["champion"],
    }
    world.call("promote", event)
    once = world.store.read_current()
    world.call("promote", event)
    assert world.store.read_current() == once
    assert once[0].model == plan["version"]


def test_a_monitor_without_any_capture_bucket_says_which_setting_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traffic(world, monkeypatch, {0: 100})
    monkeypatch.delenv("CAPTURE_BUCKET")
    world.function("runtime").runtime.cache_clear()
    with pytest.raises(ConfigError, match=r"capture\.bucket"):
        world.call("prepare", {"plan": plan})


def test_months_and_days_cover_both_ends(world: World) -> None:
    prepare = world.function("prepare")
    first, last = datetime(2015, 11, 30, 23, tzinfo=UTC), datetime(2016, 2, 1, tzinfo=UTC)
    assert [f"{m:%Y-%m}" for m in prepare.months(first, last)] == [
        "2015-11",
        "2015-12",
        "2016-01",
        "2016-02",
    ]
    assert [f"{d:%m-%d}" for d in prepare.days(first, first + timedelta(hours=1))] == [
        "11-30",
        "12-01",
    ]


def test_captures_of_a_day_in_another_folder_are_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traffic(world, monkeypatch, {0: 120})
    other = f"captures/loans-endpoint/blue-green/{HOUR:%Y/%m/%d/%H}/x.jsonl"
    world.put(CAPTURES, other, capture_lines(50, prefix="x"))
    assert world.call("prepare", {"plan": plan})["rows"] == 120
    window = Window(HOUR, HOUR + timedelta(hours=1))
    assert world.store.read_verdict(variant=VARIANT, window=window).rows == 120
