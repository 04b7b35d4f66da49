"""The roll-out's function, driven against the local SageMaker as the state machine does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.errors import ConflictError
from lambdas.rollout_record import Serving, change_rollout, read_rollout
from tests.unit.rollout_world import (
    CHALLENGER,
    CHAMPION,
    COMPOSITE,
    ENDPOINT,
    IMAGE,
    MODEL_URI,
    PACKAGE,
    ROLE,
    STARTED,
    RollOuts,
    execution,
    rolled_out,
    rolling,
)
from tests.unit.sagemaker_world import CAPTURE, eventually

BEFORE = Serving(config="before", weights={CHAMPION: 3.0})


@pytest.fixture
def rolls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[RollOuts]:
    with rolled_out(monkeypatch, capsys, tmp_path) as rolls:
        rolls.ring(COMPOSITE, "OK")
        yield rolls


def begun(rolls: RollOuts) -> dict[str, Any]:
    plan = rolls.plan()
    rolls.model(plan)
    return plan


def through(rolls: RollOuts, plan: dict[str, Any], *stages: str) -> None:
    for stage in stages:
        step = rolls.drive(plan, stage)
        assert step.action == "reached", step.reason


def test_a_challenger_goes_from_shadow_to_canary_to_full(rolls: RollOuts) -> None:
    plan = begun(rolls)
    rolls.world.set_clock(STARTED)
    step = rolls.drive(plan, "shadow")
    assert (step.action, step.then, step.next) == ("reached", "compare", "canary")
    assert step.seconds == 2 * 86_400
    assert step.experiment == f"{plan['version'].lower()}-shadow"
    assert rolls.serving == Serving(config=rolls.name_of(plan, "shadow"), weights={CHAMPION: 3.0})
    (shadow,) = rolls.local.describe()["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["CurrentWeight"]) == (CHALLENGER, 3.0)
    assert rolls.record.before == BEFORE
    assert (rolls.record.experiment, rolls.record.since) == (step.experiment, STARTED)

    step = rolls.drive(plan, "canary")
    assert (step.then, step.next) == ("compare", "withdraw")
    assert rolls.serving.weights == {CHAMPION: 0.8, CHALLENGER: 0.2}
    assert rolls.record.experiment.endswith("-canary")

    step = rolls.drive(plan, "withdraw")
    assert (step.then, step.next) == ("next", "full")
    assert rolls.serving == BEFORE
    assert (rolls.record.experiment, rolls.record.since) == ("", None)
    assert rolls.local.directions(5) == ["up"] * 5

    step = rolls.drive(plan, "full")
    assert (step.then, step.next) == ("promote", "")
    assert rolls.serving == Serving(config=rolls.name_of(plan, "full"), weights={CHAMPION: 3.0})
    assert rolls.local.directions(5) == ["down"] * 5
    assert rolls.actions == [
        *("create", "update"),
        *("create", "update", "weigh"),
        *("update", "weigh"),
        *("create", "update"),
    ]


def test_an_ab_test_gives_equal_shares(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with rolled_out(monkeypatch, capsys, tmp_path, rolling("ab")) as rolls:
        plan = begun(rolls)
        assert plan["rollout"]["stages"] == ["ab", "withdraw", "full"]
        assert rolls.drive(plan, "ab").next == "withdraw"
        assert rolls.serving.weights == {CHAMPION: 0.5, CHALLENGER: 0.5}
        through(rolls, plan, "withdraw", "full")


def test_new_configurations_keep_what_the_old_one_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    more: dict[str, Any] = {
        "KmsKeyId": "alias/serving",
        "VpcConfig": {"SecurityGroupIds": ["sg-12345678"], "Subnets": ["subnet-12345678"]},
    }
    with rolled_out(monkeypatch, capsys, tmp_path, **more) as rolls:
        plan = begun(rolls)
        through(rolls, plan, "shadow", "canary", "withdraw", "full")
        created = [request for action, request in rolls.asked if action == "create"]
        assert len(created) == 3
        for request in created:
            assert {name: request[name] for name in more} == more
            assert request["DataCaptureConfig"] == CAPTURE
            # Four instances, which scaling has made of one.
            assert {v["InitialInstanceCount"] for v in request["ProductionVariants"]} == {4}
            assert len(request["EndpointConfigName"]) <= 63
        counts = {
            v["VariantName"]: v["CurrentInstanceCount"]
            for v in rolls.local.describe()["ProductionVariants"]
        }
        assert counts == {CHAMPION: 4}


def test_the_challengers_model_is_made_like_the_champions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = rolling("direct", rollout={"environment": {"LEVEL": "2"}})
    with rolled_out(monkeypatch, capsys, tmp_path, config) as rolls:
        network = {"SecurityGroupIds": ["sg-12345678"], "Subnets": ["subnet-12345678"]}
        rolls.local.sagemaker.delete_model(ModelName="m1")
        rolls.local.sagemaker.create_model(
            ModelName="m1",
            ExecutionRoleArn=ROLE,
            Containers=[
                {
                    "Image": IMAGE,
                    "ModelDataUrl": "s3://store/m1/model.tar.gz",
                    "Environment": {"LEVEL": "1", "TZ": "UTC"},
                }
            ],
            VpcConfig=network,
            EnableNetworkIsolation=True,
        )
        rolls.local.put_model(MODEL_URI, direction=-1.0)
        plan = rolls.plan()
        step = rolls.look(plan, "full")
        assert (step.action, step.request) == (
            "model",
            {
                "ModelName": plan["rollout"]["model"],
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "ModelDataUrl": MODEL_URI,
                    "Environment": {"LEVEL": "2", "TZ": "UTC"},
                },
                "VpcConfig": network,
                "EnableNetworkIsolation": True,
            },
        )
        # The answer got lost: there is no model yet.
        assert rolls.look(plan, "full") == step
        assert rolls.drive(plan, "full").then == "promote"
        assert rolls.actions == ["model", "create", "update"]
        assert rolls.local.directions(3) == ["down"] * 3


def test_without_the_champions_model_the_endpoint_is_left_alone(rolls: RollOuts) -> None:
    plan = rolls.plan()
    rolls.local.sagemaker.delete_model(ModelName="m1")
    step = rolls.look(plan, "shadow")
    assert step.action == "failed"
    assert "model m1, which the champion serves from, does not exist any more" in step.reason
    assert rolls.drive(plan, "restore").then == "restored"
    assert (rolls.serving, rolls.actions) == (BEFORE, [])


def test_the_record_knows_the_challengers_model_package(rolls: RollOuts) -> None:
    plan = begun(rolls)
    rolls.look(plan, "shadow")
    assert rolls.record.package == PACKAGE
    rolls.drive(plan, "restore")
    assert rolls.record.package == PACKAGE


def test_a_stage_that_is_reached_stays_reached_since_the_first_time(rolls: RollOuts) -> None:
    plan = begun(rolls)
    rolls.world.set_clock(STARTED)
    first = rolls.drive(plan, "shadow")
    rolls.world.set_clock(STARTED.replace(hour=12))
    again = rolls.look(plan, "shadow")
    assert again == replace(first, seconds=first.seconds - 12 * 3600)
    assert rolls.record.since == STARTED


def test_a_step_that_was_decided_twice_is_done_once(rolls: RollOuts) -> None:
    plan = begun(rolls)
    create = rolls.look(plan, "shadow")
    assert rolls.look(plan, "shadow") == create
    rolls.do(create)
    update = rolls.look(plan, "shadow")
    # The answer got lost: the endpoint has not been asked.
    assert rolls.look(plan, "shadow") == update
    rolls.do(update)
    assert rolls.look(plan, "shadow").action in ("wait", "reached")
    rolls.settle()
    assert rolls.look(plan, "shadow").action == "reached"


def test_the_record_knows_what_served_before_anything_is_changed(rolls: RollOuts) -> None:
    plan = begun(rolls)
    assert rolls.look(plan, "shadow").action == "create"
    assert (rolls.record.before, rolls.record.status) == (BEFORE, "running")
    assert rolls.record.champion.baseline == "v1"


def test_a_stage_does_not_follow_on_a_later_one(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow", "canary")
    with pytest.raises(ConflictError, match="at canary"):
        rolls.look(plan, "shadow")
    rolls.drive(plan, "restore")
    with pytest.raises(ConflictError, match="does not go back"):
        rolls.look(plan, "full")


def test_the_roll_out_of_another_execution_is_not_touched(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow")
    other = plan | {"execution_arn": execution("other")}
    before = rolls.record
    with pytest.raises(ConflictError, match=r"execution mine is not finished"):
        rolls.look(other, "shadow")
    # Nor does its roll-back take anything away from the one that goes on.
    assert rolls.look(other, "restore").then == "restored"
    assert rolls.record == before


@pytest.mark.parametrize("stage", ["shadow", "canary", "withdraw", "full"])
@pytest.mark.parametrize("position", ["create", "update", "updating", "weigh", "reached"])
def test_a_roll_out_is_taken_back_from_wherever_it_is(
    rolls: RollOuts, stage: str, position: str
) -> None:
    plan = begun(rolls)
    stages = plan["rollout"]["stages"]
    through(rolls, plan, *stages[: stages.index(stage)])
    if position == "updating":
        step = rolls.drive(plan, stage, until="update")
        if step.action == "update":
            rolls.do(step)
    else:
        rolls.drive(plan, stage, until=position)
    step = rolls.drive(plan, "restore")
    assert (step.action, step.then) == ("reached", "restored"), step.reason
    assert rolls.serving == BEFORE
    assert rolls.local.directions(3) == ["up"] * 3
    assert "ShadowProductionVariants" not in rolls.local.describe()
    assert rolls.look(plan, "restore") == step


def test_harm_ends_within_one_change_of_weights(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow", "canary")
    rolls.asked.clear()
    rolls.drive(plan, "restore")
    (_, first), *_ = rolls.asked
    assert first["DesiredWeightsAndCapacities"] == [
        {"VariantName": CHALLENGER, "DesiredWeight": 0.0}
    ]
    assert rolls.actions == ["weigh", "update", "weigh"]


def test_nothing_is_put_back_where_nothing_was_changed(rolls: RollOuts) -> None:
    plan = rolls.plan()
    step = rolls.look(plan, "restore")
    assert (step.action, step.then) == ("reached", "restored")
    assert read_rollout(rolls.world.store) is None


def test_an_alarm_rolls_the_last_stage_back(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow", "canary", "withdraw")
    step = rolls.drive(plan, "full", until="update")
    assert step.request["DeploymentConfig"] == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 60,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            },
            "TerminationWaitInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": 3780,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": COMPOSITE}]},
    }
    rolls.ring(COMPOSITE)
    rolls.do(step)
    rolls.settle()
    step = rolls.look(plan, "full")
    assert step.action == "failed"
    assert "rolled endpoint flights back" in step.reason
    assert f"these alarms ring: {COMPOSITE}" in step.reason
    assert rolls.drive(plan, "restore").then == "restored"
    assert rolls.serving == BEFORE


def test_an_alarm_that_rings_already_does_not_watch_the_last_stage(rolls: RollOuts) -> None:
    rolls.ring(COMPOSITE)
    rolls.ring(f"driftgauge-loans-{CHAMPION}-data-quality", "OK")
    rolls.ring(f"driftgauge-loans-{CHAMPION}-errors-5xx", "OK")
    rolls.ring(f"driftgauge-loans-{CHAMPION}-errors-4xx")
    plan = begun(rolls)
    through(rolls, plan, "shadow", "canary", "withdraw")
    step = rolls.drive(plan, "full", until="update")
    assert step.request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"] == [
        {"AlarmName": f"driftgauge-loans-{CHAMPION}-errors-5xx"},
        {"AlarmName": f"driftgauge-loans-{CHAMPION}-data-quality"},
    ]
    assert rolls.drive(plan, "full").then == "promote"


def test_without_any_alarm_the_last_stage_says_that_nothing_watches_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with rolled_out(monkeypatch, capsys, tmp_path, rolling("direct")) as rolls:
        plan = begun(rolls)
        step = rolls.drive(plan, "full", until="update")
        assert "not watched" in step.reason
        assert "AutoRollbackConfiguration" not in step.request["DeploymentConfig"]
        assert rolls.drive(plan, "full").then == "promote"


def test_a_promoted_roll_out_is_taken_back_by_hand(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, *plan["rollout"]["stages"])
    change_rollout(rolls.world.store, lambda found: found and replace(found, status="promoted"))
    by_hand = rolls.plan("by-hand") | {"action": "restore"}
    assert rolls.drive(by_hand, "restore").then == "restored"
    assert rolls.serving == BEFORE
    record = rolls.record
    assert (record.execution, record.status) == (execution("by-hand"), "running")


def test_a_roll_back_that_did_not_work_is_tried_anew_by_the_next_execution(
    rolls: RollOuts,
) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow")
    for _ in range(3):
        assert rolls.look(plan, "restore").action == "update"
    step = rolls.look(plan, "restore")
    assert (step.action, rolls.record.status) == ("failed", "running")
    assert "asked 3 times without effect to update before" in step.reason
    other = rolls.plan("other") | {"action": "restore"}
    assert rolls.drive(other, "restore").then == "restored"


def test_what_someone_else_has_deployed_is_left_alone(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow")
    rolls.local.create_config("by-hand", {f"m1 as {CHAMPION}": 1.0})
    rolls.local.sagemaker.update_endpoint(EndpointName=ENDPOINT, EndpointConfigName="by-hand")
    rolls.settle()
    for stage in ("canary", "restore"):
        step = rolls.look(plan, stage)
        assert step.action == "failed"
        assert "serves by-hand, which is not part of the roll-out" in step.reason
    assert rolls.serving.config == "by-hand"


def test_a_configuration_that_was_deleted_meanwhile_is_asked_for(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow")
    rolls.local.sagemaker.delete_endpoint_config(EndpointConfigName="before")
    for stage in ("restore", "restore"):
        step = rolls.drive(plan, stage)
        assert step.action == "failed"
        assert "endpoint configuration before, which served before" in step.reason


def test_an_endpoint_that_is_gone_is_no_place_to_go_back_to(rolls: RollOuts) -> None:
    plan = begun(rolls)
    through(rolls, plan, "shadow")
    rolls.local.sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    step = eventually(
        lambda: found if "not exist" in (found := rolls.look(plan, "restore")).reason else None
    )
    assert step.action == "failed"
    assert rolls.record.status == "running"


@pytest.mark.parametrize(
    ("strategy", "endpoint", "said"),
    [
        ("shadow_canary", {"DataCaptureConfig": CAPTURE | {"EnableCapture": False}}, "captures no"),
        (
            "shadow_canary",
            {"DataCaptureConfig": CAPTURE | {"InitialSamplingPercentage": 50}},
            "captures 50 %",
        ),
        ("ab", {"DataCaptureConfig": CAPTURE | {"EnableCapture": False}}, "captures nothing"),
        ("shadow_canary", {"shadow": "m1"}, "has a shadow variant already"),
    ],
)
def test_an_endpoint_that_cannot_be_compared_on_is_refused_before_it_is_changed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    strategy: str,
    endpoint: dict[str, Any],
    said: str,
) -> None:
    with rolled_out(monkeypatch, capsys, tmp_path, rolling(strategy), **endpoint) as rolls:
        plan = begun(rolls)
        step = rolls.look(plan, plan["rollout"]["stages"][0])
        assert step.action == "failed"
        assert said in step.reason
        assert read_rollout(rolls.world.store) is None


def test_an_endpoint_of_another_name_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with rolled_out(monkeypatch, capsys, tmp_path) as rolls:
        plan = rolls.plan()
        plan["rollout"]["endpoint"] = "elsewhere"
        step = rolls.look(plan, "shadow")
        assert (step.action, step.reason[:35]) == ("failed", "endpoint elsewhere does not exist: ")


def test_other_errors_of_sagemaker_are_no_absence(rolls: RollOuts) -> None:
    from botocore.exceptions import ClientError

    plan = begun(rolls)
    plan["rollout"]["endpoint"] = "not_a_name!"
    with pytest.raises(ClientError):
        rolls.look(plan, "shadow")
