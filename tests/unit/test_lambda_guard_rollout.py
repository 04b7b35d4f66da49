"""What an execution is there for: a new model, or to put back what served before a roll-out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from driftgauge.errors import StoreError
from driftgauge.store import MonitorStore
from lambdas.retraining import Champion, LastRetraining, last_key
from lambdas.rollout_record import RollOut, Serving, change_rollout
from tests.unit.lambda_world import deployed
from tests.unit.rollout_world import (
    CHAMPION,
    ENDPOINT,
    IMAGE,
    PACKAGE,
    ROLE,
    STARTED,
    RollOuts,
    execution,
    rolled_out,
    rolling,
)

OLD = "20260601T000000Z-00000000"


@pytest.fixture
def rolls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[RollOuts]:
    with rolled_out(monkeypatch, capsys, tmp_path) as rolls:
        rolls.machine.run("old", STARTED - timedelta(days=30), "FAILED")
        rolls.world.set_clock(STARTED)
        evaluated(rolls)
        yield rolls


def evaluated(rolls: RollOuts) -> None:
    """Let one window have been evaluated."""
    state = rolls.world.function("state")
    start = STARTED - timedelta(hours=1)
    state.change_state(
        rolls.world.store,
        CHAMPION,
        lambda found: replace(found, newest_start=start, newest_end=STARTED),
    )


def recorded(rolls: RollOuts, **changes: Any) -> None:
    """Let there be the record of a roll-out by the execution ``old``."""
    known = RollOut(
        **{
            "execution": execution("old"),
            "challenger": OLD,
            "endpoint": ENDPOINT,
            "champion": Champion(baseline="v1", model="m1"),
            "before": Serving(config="before", weights={CHAMPION: 3.0}),
            "stage": "canary",
            **changes,
        }
    )
    change_rollout(rolls.world.store, lambda _: known)


def promoted(store: MonitorStore, version: str) -> None:
    current, tag = store.read_current()
    store.write_current(
        current.promoted(baseline=version, model=version, since=STARTED), if_tag=tag
    )


def decided(plan: dict[str, Any]) -> tuple[bool, str, bool]:
    return plan["go"], plan["action"], plan["notify"]


def test_without_a_roll_out_before_a_new_model_is_trained(rolls: RollOuts) -> None:
    plan = rolls.plan()
    assert decided(plan) == (True, "retrain", True)
    assert plan["rollout"] == {
        "endpoint": ENDPOINT,
        "champion": CHAMPION,
        "stages": ["shadow", "canary", "withdraw", "full"],
        "model": f"driftgauge-loans-{plan['version']}",
        "image": IMAGE,
        "role_arn": ROLE,
        "environment": {},
        "group": "",
        "package": "",
        "stage_limit": 2 * 86_400,
    }


@pytest.mark.parametrize("status", ["promoted", "restored"])
def test_a_roll_out_that_has_come_to_its_end_is_no_hindrance(rolls: RollOuts, status: str) -> None:
    recorded(rolls, status=status)
    assert decided(rolls.plan()) == (True, "retrain", True)


@pytest.mark.parametrize("event", [{}, {"rollback": True}, {"recover": True}, {"force": True}])
@pytest.mark.parametrize("state", ["FAILED", "ABORTED", "TIMED_OUT", "unknown"])
def test_a_roll_out_that_ended_half_way_is_put_back_first(
    rolls: RollOuts, event: dict[str, Any], state: str
) -> None:
    recorded(rolls)
    if state == "unknown":
        rolls.machine.states.pop(execution("old"))
    else:
        rolls.machine.states[execution("old")] = state
    plan = rolls.plan(**event)
    assert decided(plan) == (False, "restore", True)
    assert plan["reason"] == f"the roll-out of {OLD} by execution old ended half-way"


def test_a_roll_out_that_goes_on_is_left_alone(rolls: RollOuts) -> None:
    # It was started later, as Step Functions says, and yet it rolls out.
    recorded(rolls, execution=execution("later"))
    rolls.machine.run("later", STARTED + timedelta(hours=1))
    plan = rolls.plan(rollback=True)
    assert decided(plan) == (False, "retrain", False)
    assert "execution later still rolls" in plan["reason"]


@pytest.mark.parametrize(
    ("event", "tells"), [({}, False), ({"recover": True}, False), ({"rollback": True}, True)]
)
def test_an_earlier_execution_that_runs_comes_first(
    rolls: RollOuts, event: dict[str, Any], tells: bool
) -> None:
    recorded(rolls)
    rolls.machine.states[execution("old")] = "RUNNING"
    plan = rolls.plan(**event)
    assert decided(plan) == (False, "retrain", tells)
    assert "execution old was started earlier" in plan["reason"]


def test_a_crash_between_the_writes_of_a_promotion_is_made_good(rolls: RollOuts) -> None:
    recorded(rolls, stage="full")
    promoted(rolls.world.store, OLD)
    assert decided(rolls.plan()) == (True, "retrain", True)
    assert rolls.record.status == "promoted"
    assert rolls.in_force == (OLD, OLD)


def test_after_such_a_crash_it_can_be_taken_back_by_hand(rolls: RollOuts) -> None:
    recorded(rolls, stage="full")
    promoted(rolls.world.store, OLD)
    plan = rolls.plan(rollback=True)
    assert decided(plan) == (False, "restore", True)
    assert "is taken back by hand" in plan["reason"]


def test_after_such_a_crash_there_is_nothing_to_recover(rolls: RollOuts) -> None:
    recorded(rolls, stage="full")
    promoted(rolls.world.store, OLD)
    assert decided(rolls.plan(recover=True)) == (False, "retrain", False)


@pytest.mark.parametrize("package", ["", PACKAGE])
def test_the_log_says_which_model_package_is_left_pending_by_such_a_crash(
    rolls: RollOuts, package: str
) -> None:
    recorded(rolls, stage="full", package=package)
    promoted(rolls.world.store, OLD)
    rolls.world.printed()
    assert rolls.plan()["rollout"]["package"] == ""
    warnings = [one for one in rolls.world.printed() if one.get("level") == "WARNING"]
    assert [one["package"] for one in warnings] == ([package] if package else [])


@pytest.mark.parametrize("status", ["running", "promoted"])
def test_the_plan_of_a_roll_back_names_the_model_package(rolls: RollOuts, status: str) -> None:
    recorded(rolls, stage="full", status=status, package=PACKAGE)
    if status == "promoted":
        promoted(rolls.world.store, OLD)
    plan = rolls.plan(rollback=True)
    assert (plan["action"], plan["rollout"]["package"]) == ("restore", PACKAGE)


def test_a_crash_before_the_pointer_moved_is_no_promotion(rolls: RollOuts) -> None:
    recorded(rolls, stage="full")
    assert decided(rolls.plan()) == (False, "restore", True)


def test_a_roll_back_that_ended_half_way_is_finished_not_undone(rolls: RollOuts) -> None:
    recorded(rolls, stage="restore")
    promoted(rolls.world.store, OLD)
    assert decided(rolls.plan()) == (False, "restore", True)
    assert rolls.record.status == "running"


def test_a_promoted_roll_out_can_be_taken_back_while_it_is_in_force(rolls: RollOuts) -> None:
    recorded(rolls, stage="full", status="promoted")
    promoted(rolls.world.store, OLD)
    assert decided(rolls.plan(rollback=True)) == (False, "restore", True)


def test_a_later_baseline_is_not_rolled_back(rolls: RollOuts) -> None:
    recorded(rolls, stage="full", status="promoted")
    promoted(rolls.world.store, OLD)
    promoted(rolls.world.store, "v3")
    plan = rolls.plan(rollback=True)
    assert decided(plan) == (False, "retrain", True)
    assert plan["reason"] == (
        f"the roll-out of {OLD} is not the newest promotion: baseline v3 is in force since "
        "2026-07-01 00:00 UTC"
    )


@pytest.mark.parametrize("status", [None, "restored"])
def test_where_nothing_was_promoted_there_is_nothing_to_take_back(
    rolls: RollOuts, status: str | None
) -> None:
    if status:
        recorded(rolls, status=status)
    plan = rolls.plan(rollback=True)
    assert decided(plan) == (False, "retrain", True)
    assert plan["reason"] == "there is no promoted roll-out to take back"


def test_a_recovery_that_finds_everything_in_order_is_silent(rolls: RollOuts) -> None:
    assert decided(rolls.plan(recover=True)) == (False, "retrain", False)


def test_an_execution_that_was_just_aborted_does_not_hinder_its_recovery(rolls: RollOuts) -> None:
    recorded(rolls)
    # It is listed as running for a while yet.
    rolls.machine.states[execution("old")] = "ABORTED"
    assert decided(rolls.plan(recover=True)) == (False, "restore", True)


@pytest.mark.parametrize("asked", ["paginate", "describe_execution"])
def test_a_recovery_that_step_functions_throttles_is_tried_again(
    asked: str, rolls: RollOuts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, asked)

    recorded(rolls)
    with monkeypatch.context() as patch:
        patch.setattr(rolls.machine, asked, throttled)
        # The error that the state machine tries again.
        with pytest.raises(StoreError, match="Throttling"):
            rolls.plan(recover=True)
    assert decided(rolls.plan(recover=True)) == (False, "restore", True)


def test_the_cool_down_does_not_hold_up_a_roll_back(rolls: RollOuts) -> None:
    store = rolls.world.store
    last = LastRetraining(execution="x", outcome="kept", reason="", finished=STARTED)
    store.objects.write(last_key(store), msgspec.json.encode(last))
    assert "cool-down" in rolls.plan()["reason"]
    recorded(rolls)
    assert decided(rolls.plan()) == (False, "restore", True)


def test_a_roll_back_needs_the_settings_of_the_roll_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    without = rolling("direct").model_dump(mode="json")
    without["retraining"]["rollout"] = None
    config = type(rolling()).model_validate(without)
    with rolled_out(monkeypatch, capsys, tmp_path, config) as rolls:
        assert rolls.plan()["rollout"]["stages"] == []
        recorded(rolls)
        plan = rolls.plan()
        assert decided(plan) == (False, "retrain", True)
        assert "put it back and start this again" in plan["reason"]
        assert "delete s3://store-bucket/loans/rollout.json" in plan["reason"]


def test_a_pipeline_gets_its_parameters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trainer = {"pipeline": "churn", "parameters": {"Depth": "3"}, "max_runtime": "2h"}
    config = rolling(retraining={"trainer": trainer}, rollout={"image": IMAGE})
    with rolled_out(monkeypatch, capsys, tmp_path, config) as rolls:
        plan = rolls.plan()
        assert (plan["trainer"], plan["sagemaker"]["name"]) == ("pipeline", "")
        assert plan["pipeline"] == {
            "name": "churn",
            "parameters": [
                {
                    "Name": "TrainUri",
                    "Value": "s3://store-bucket/loans/retraining/mine/train.csv",
                },
                {
                    "Name": "ScoringUri",
                    "Value": "s3://store-bucket/loans/retraining/mine/scoring.csv",
                },
                {
                    "Name": "OutputUri",
                    "Value": f"s3://store-bucket/loans/models/{plan['version']}",
                },
                {"Name": "Depth", "Value": "3"},
            ],
            "max_runtime": 7200,
        }


def test_a_monitor_whose_users_serve_has_no_roll_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        config = world.monitors.monitors[0]
        guard = world.function("guard")
        assert guard.rollout_plan(config, version="v").endpoint == ""
        assert guard.trainer_of(config) == "builtin"
