"""Deployments of the local SageMaker: canary, linear, rolling, and what rolls them back."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import ApiError, Pace
from local.sagemaker.deployment import plan_of
from tests.unit.sagemaker_world import World, eventually

BRISK = Pace(haste=60, provisioning=0.01, polling=0.005, shortest_baking=0)


def guardrails(
    routing: dict[str, Any] | None = None,
    *,
    wait: int = 60,
    termination: int = 0,
    alarms: tuple[str, ...] = (),
) -> dict[str, Any]:
    canary = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
        "WaitIntervalInSeconds": wait,
    }
    found: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing or canary,
            "TerminationWaitInSeconds": termination,
        }
    }
    if alarms:
        found["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return found


@pytest.fixture
def world() -> World:
    """An endpoint with a champion, and a configuration with a challenger; a minute is a second."""
    world = World(pace=BRISK)
    world.create_model("champion")
    world.create_model("challenger", direction=-1.0)
    world.create_config("first", {"champion": 1.0})
    world.create_config("second", {"challenger as champion": 1.0})
    world.create_endpoint("first")
    world.account.alarms["flights"] = "OK"
    return world


def update(world: World, config: str = "second", **more: Any) -> None:
    world.sagemaker.update_endpoint(EndpointName="flights", EndpointConfigName=config, **more)


def baking(world: World) -> dict[str, Any]:
    """Wait until a part of the traffic is on the new fleet."""

    def look() -> dict[str, Any] | None:
        pending = world.describe().get("PendingDeploymentSummary", {})
        variants = pending.get("ProductionVariants", [{}])
        return pending if variants[0].get("VariantStatus") else None

    return eventually(look)


def rolled_back(world: World) -> dict[str, Any]:
    """Wait until a deployment has been rolled back."""

    def look() -> bool:
        return any(detail.get("EndpointStatus") == "ROLLING_BACK" for _, detail in events(world))

    eventually(look)
    return world.wait("InService")


def events(world: World) -> list[tuple[str, dict[str, Any]]]:
    return list(world.account.events)


def test_a_canary_is_looked_after_and_then_gets_everything(world: World) -> None:
    deployment = guardrails(wait=30, alarms=("flights",))
    update(world, DeploymentConfig=deployment)

    settled = world.wait("InService")

    assert settled["EndpointConfigName"] == "second"
    assert "PendingDeploymentSummary" not in settled
    assert settled["LastDeploymentConfig"] == deployment
    assert set(world.directions(20)) == {"down"}


def test_an_alarm_rolls_the_canary_back_and_leaves_everything_as_it_was(world: World) -> None:
    before = world.describe()
    update(world, DeploymentConfig=guardrails(wait=3600, alarms=("flights",)))
    pending = baking(world)
    assert pending["EndpointConfigName"] == "second"
    [status] = pending["ProductionVariants"][0]["VariantStatus"]
    assert status["Status"] == "Baking"
    assert "3600 seconds (WaitIntervalInSeconds)" in status["StatusMessage"]
    assert 0.15 < Counter(world.directions(300))["down"] / 300 < 0.35
    assert world.describe()["EndpointConfigName"] == "first"

    world.account.alarms["flights"] = "ALARM"

    after = rolled_back(world)
    assert set(world.directions(50)) == {"up"}
    assert after["EndpointConfigName"] == "first"
    for variants in (before, after):
        assert variants["ProductionVariants"][0]["VariantName"] == "champion"
        assert variants["ProductionVariants"][0]["CurrentWeight"] == 1.0
    statuses = [
        detail["EndpointStatus"]
        for kind, detail in world.account.events
        if kind == "SageMaker Endpoint State Change"
    ]
    assert statuses == ["CREATING", "IN_SERVICE", "UPDATING", "ROLLING_BACK", "IN_SERVICE"]


def test_an_alarm_in_the_last_baking_period_rolls_back_too(world: World) -> None:
    at_once = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    guarded = guardrails(at_once, termination=3600, alarms=("flights",))
    update(world, DeploymentConfig=guarded)
    baking(world)
    assert set(world.directions(20)) == {"down"}
    world.account.alarms["flights"] = "ALARM"
    assert rolled_back(world)["EndpointConfigName"] == "first"


def test_an_alarm_that_rings_already_lets_nothing_be_deployed(world: World) -> None:
    world.account.alarms["flights"] = "ALARM"
    update(world, DeploymentConfig=guardrails(alarms=("flights",)))
    assert rolled_back(world)["EndpointConfigName"] == "first"


def test_an_alarm_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(ClientError, match=r"do not exist: \['nobody'\]"):
        update(world, DeploymentConfig=guardrails(alarms=("nobody",)))


def test_a_deployment_that_takes_too_long_is_rolled_back(world: World) -> None:
    config = guardrails()
    config["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    routing = config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    routing["WaitIntervalInSeconds"] = 3600
    world = World(pace=Pace(haste=3000, provisioning=0.01, polling=0.005, shortest_baking=0))
    world.create_model("champion")
    world.create_config("first", {"champion": 1.0})
    world.create_config("second", {"champion": 1.0})
    world.create_endpoint("first")
    update(world, DeploymentConfig=config)
    assert rolled_back(world)["EndpointConfigName"] == "first"


def test_guardrails_want_the_same_variant_names_on_both_sides(world: World) -> None:
    world.create_config("other", {"challenger": 1.0})
    world.create_config("ab", {"champion": 1.0, "challenger": 0.0})
    for config in ("other", "ab"):
        with pytest.raises(ClientError, match="must have the same variant names") as error:
            update(world, config, DeploymentConfig=guardrails())
        assert error.value.response["Error"]["Code"] == "ValidationException"
    assert world.describe()["EndpointStatus"] == "InService"
    update(world, "ab")
    world.wait("InService")
    assert set(world.answering(20)) == {"champion"}
    with pytest.raises(ClientError, match=r"\['challenger', 'champion'\] are to become"):
        update(world, "first", DeploymentConfig=guardrails())


def test_a_variant_with_no_weight_waits_for_its_share_of_the_traffic(world: World) -> None:
    world.create_config("ab", {"champion": 1.0, "challenger": 0.0})
    update(world, "ab")
    before = world.wait("InService")["ProductionVariants"]
    weights = [(one["CurrentWeight"], one["DesiredWeight"]) for one in before]
    assert weights == [(1.0, 1.0), (0.0, 0.0)]
    shares = {"champion": 0.75, "challenger": 0.25}
    world.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="flights",
        DesiredWeightsAndCapacities=[
            {"VariantName": name, "DesiredWeight": weight} for name, weight in shares.items()
        ],
    )
    after = world.wait("InService")["ProductionVariants"]
    assert {one["VariantName"]: one["CurrentWeight"] for one in after} == shares
    assert 0.15 < Counter(world.answering(300))["challenger"] / 300 < 0.35


def test_a_shadow_is_described_and_its_share_can_be_changed(world: World) -> None:
    world.create_config("shadowed", {"champion": 1.0}, shadow="challenger")
    update(world, "shadowed")
    [shadow] = world.wait("InService")["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["CurrentWeight"]) == ("challenger", 1.0)
    assert shadow["CurrentInstanceCount"] == 1
    world.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="flights",
        DesiredWeightsAndCapacities=[{"VariantName": "challenger", "DesiredWeight": 0.0}],
    )
    [shadow] = world.wait("InService")["ShadowProductionVariants"]
    assert (shadow["CurrentWeight"], shadow["DesiredWeight"]) == (0.0, 0.0)
    assert set(world.answering(20)) == {"champion"}
    world.service.settle()
    assert world.account.measured("Invocations", "challenger") == []


def test_a_baking_period_is_long_enough_for_an_alarm() -> None:
    world = World(pace=Pace(haste=6000, provisioning=0.01, polling=0.005, shortest_baking=0.3))
    world.create_model("champion")
    world.create_config("first", {"champion": 1.0})
    world.create_config("second", {"champion": 1.0})
    world.create_endpoint("first")
    config = guardrails(wait=60, termination=60)
    config["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    began = time.monotonic()
    update(world, DeploymentConfig=config)
    assert world.wait("InService")["EndpointConfigName"] == "second"
    assert time.monotonic() - began >= 0.6


def test_a_model_that_cannot_be_loaded_is_never_given_traffic(world: World) -> None:
    world.account.objects["s3://store/challenger/model.tar.gz"] = b"broken in the meantime"
    update(world)
    assert rolled_back(world)["EndpointConfigName"] == "first"
    assert set(world.directions(20)) == {"up"}


def test_one_deployment_at_a_time(world: World) -> None:
    update(world, DeploymentConfig=guardrails())
    for operation in (
        lambda: update(world),
        lambda: world.sagemaker.delete_endpoint(EndpointName="flights"),
        lambda: world.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="flights",
            DesiredWeightsAndCapacities=[{"VariantName": "champion", "DesiredWeight": 1.0}],
        ),
    ):
        with pytest.raises(ClientError, match='Cannot update in-progress endpoint "arn:'):
            operation()
    world.wait("InService")


def test_a_configuration_that_is_deleted_cannot_be_left(world: World) -> None:
    world.sagemaker.delete_endpoint_config(EndpointConfigName="first")
    with pytest.raises(ClientError, match=r"Could not find endpoint configuration .*first"):
        update(world)
    assert set(world.directions(5)) == {"up"}


def test_weights_are_retained_where_the_request_says_so(world: World) -> None:
    for name in ("ab", "ab-again"):
        world.create_config(name, {"champion": 1.0, "challenger": 1.0}, DataCaptureConfig=_off())
    update(world, "ab")
    world.wait("InService")
    world.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="flights",
        DesiredWeightsAndCapacities=[{"VariantName": "champion", "DesiredWeight": 9.0}],
    )
    world.wait("InService")
    update(world, "ab-again", RetainAllVariantProperties=True)
    found = world.wait("InService")
    assert found["EndpointConfigName"] == "ab-again"
    assert [v["CurrentWeight"] for v in found["ProductionVariants"]] == [9.0, 1.0]
    update(
        world,
        "ab",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    found = world.wait("InService")
    assert [v["CurrentWeight"] for v in found["ProductionVariants"]] == [1.0, 1.0]


def _off() -> dict[str, Any]:
    return {
        "EnableCapture": False,
        "InitialSamplingPercentage": 0,
        "DestinationS3Uri": "s3://captures/live",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }


def test_the_deployment_configuration_of_before_can_be_kept(world: World) -> None:
    update(world, DeploymentConfig=guardrails(alarms=("flights",)))
    world.wait("InService")
    world.account.alarms["flights"] = "ALARM"
    update(world, "first", RetainDeploymentConfig=True)
    assert rolled_back(world)["EndpointConfigName"] == "second"


def test_each_shift_of_traffic_is_an_event(world: World) -> None:
    linear = {
        "Type": "LINEAR",
        "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 6,
    }
    began = time.monotonic()
    update(world, DeploymentConfig=guardrails(linear, termination=6))
    world.wait("InService")
    assert time.monotonic() - began >= 0.2
    shifts = [
        detail["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]
        for kind, detail in world.account.events
        if kind == "SageMaker Endpoint Deployment State Change"
    ]
    assert [shift["Status"] for shift in shifts] == ["Baking", "Baking"]
    assert "50% of the capacity" in shifts[0]["StatusMessage"]
    assert "full capacity" in shifts[1]["StatusMessage"]


def test_plans_follow_the_policies() -> None:
    percent = {"Type": "CAPACITY_PERCENT", "Value": 40}
    linear = {"Type": "LINEAR", "LinearStepSize": percent, "WaitIntervalInSeconds": 30}
    plan = plan_of(guardrails(linear, termination=90), instances=4)
    assert [(step.share, step.seconds) for step in plan.steps] == [(0.4, 30), (0.8, 30), (1.0, 90)]
    rolling = {
        "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 60,
        "MaximumExecutionTimeoutInSeconds": 1200,
    }
    plan = plan_of({"RollingUpdatePolicy": rolling}, instances=3)
    assert [step.share for step in plan.steps] == pytest.approx([1 / 3, 2 / 3, 1.0], abs=1e-6)
    assert plan.limit == 1200
    assert [step.share for step in plan_of(None, instances=1).steps] == [1.0]


@pytest.mark.parametrize(
    ("routing", "words"),
    [
        ({"Type": "CANARY", "WaitIntervalInSeconds": 0}, "needs CanarySize"),
        ({"Type": "LINEAR", "WaitIntervalInSeconds": 0}, "needs LinearStepSize"),
        (
            {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 51}},
            "at most 50 %",
        ),
        (
            {"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 9}},
            "at least 10 %",
        ),
    ],
)
def test_sizes_that_sagemaker_does_not_allow_are_refused(
    routing: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApiError, match=words):
        plan_of(guardrails(routing), instances=2)
