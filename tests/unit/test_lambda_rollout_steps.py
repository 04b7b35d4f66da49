"""What comes next in a roll-out, decided from descriptions alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftgauge.errors import ConfigError
from driftgauge.rollout_settings import TrafficSettings
from lambdas.retraining import (
    Champion,
    Plan,
    RetrainingFiles,
    RollOutPlan,
    SageMakerJob,
)
from lambdas.rollout_record import RollOut, Serving
from lambdas.rollout_refusals import refusal
from lambdas.rollout_requests import config_name, deployment_config, stage_config
from lambdas.rollout_steps import Aim, Seen, guarding_alarms, next_step
from tests.unit.rollout_world import CHALLENGER, CHAMPION, rolling

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
VERSION = "20260701T000000Z-0a1b2c3d"
STAGES = ("shadow", "canary", "withdraw", "full")
VARIANT = {
    "VariantName": CHAMPION,
    "ModelName": "m1",
    "InstanceType": "ml.m5.large",
    "InitialInstanceCount": 2,
    "InitialVariantWeight": 1.0,
    "ModelDataDownloadTimeoutInSeconds": 600,
}
BEFORE: dict[str, Any] = {
    "EndpointConfigName": "before",
    "EndpointConfigArn": "arn",
    "CreationTime": NOW,
    "ProductionVariants": [VARIANT],
    "DataCaptureConfig": {"EnableCapture": True, "InitialSamplingPercentage": 100},
    "ExecutionRoleArn": "role",
    "EnableNetworkIsolation": True,
    "ResponseMetadata": {},
}

MODEL: dict[str, Any] = {"ModelName": "m1", "PrimaryContainer": {"Image": "image"}}


def plan(stages: tuple[str, ...] = STAGES) -> Plan:
    files = RetrainingFiles(
        **dict.fromkeys(
            (
                *("train", "holdout", "served", "scoring", "model", "predictions", "comparison"),
                *("baseline", "outcomes"),
            ),
            "",
        )
    )
    return Plan(
        go=True,
        notify=True,
        reason="",
        monitor="loans",
        variant=CHAMPION,
        execution="mine",
        execution_arn="arn:mine",
        started=NOW,
        version=VERSION,
        drift_since=NOW,
        until=NOW,
        bucket="store",
        files=files,
        trainer="sagemaker",
        trainer_function_arn="",
        sagemaker=SageMakerJob(),
        rollout=RollOutPlan(
            endpoint="flights", champion=CHAMPION, stages=stages, model="m2", stage_limit=7200
        ),
        approval=False,
        approval_timeout=1,
    )


def aim(stage: Any, **changes: Any) -> Aim:
    return Aim(
        **{
            "plan": plan(),
            "stage": stage,
            "settings": rolling().rollout,
            "champion": Champion(baseline="v1", model="m1"),
            "model_uri": "s3://store/m2.tar.gz",
            "package": "",
            "composite": "all",
            "alarms": ("errors", "latency"),
            "moment": NOW,
            **changes,
        }
    )


def seen(
    config: str = "before",
    status: str = "InService",
    weights: dict[str, float] | None = None,
    *,
    configs: tuple[str, ...] = ("before",),
    models: dict[str, Any] | None = None,
    alarms: dict[str, str] | None = None,
    modified: datetime = NOW,
    **more: Any,
) -> Seen:
    shown = [
        {"VariantName": name, "CurrentWeight": weight, "CurrentInstanceCount": 3}
        for name, weight in (weights or {CHAMPION: 3.0}).items()
    ]
    endpoint = {
        "EndpointName": "flights",
        "EndpointConfigName": config,
        "EndpointStatus": status,
        "ProductionVariants": shown,
        "LastModifiedTime": modified,
        **more,
    }
    return Seen(
        endpoint=endpoint,
        configs=dict.fromkeys(configs, BEFORE),
        models={"m1": MODEL, "m2": MODEL} if models is None else models,
        alarms=alarms or {"all": "OK"},
    )


def record(stage: Any, **changes: Any) -> RollOut:
    return RollOut(
        **{
            "execution": "arn:mine",
            "challenger": VERSION,
            "endpoint": "flights",
            "champion": Champion(baseline="v1", model="m1"),
            "before": Serving(config="before", weights={CHAMPION: 3.0}),
            "stage": stage,
            **changes,
        }
    )


CANARY = config_name("loans", VERSION, "canary")
FULL = config_name("loans", VERSION, "full")
BOTH = {CHAMPION: 0.8, CHALLENGER: 0.2}
FRESH = {CHAMPION: 3.0, CHALLENGER: 0.0}


@pytest.mark.parametrize(
    ("stage", "known", "found", "action", "then"),
    [
        ("shadow", None, seen(), "create", ""),
        ("shadow", None, seen(models={"m1": MODEL}), "model", ""),
        ("shadow", None, seen(models={}), "failed", ""),
        ("shadow", None, seen(status="Updating"), "wait", ""),
        ("shadow", None, seen(status="SystemUpdating"), "wait", ""),
        ("shadow", None, seen(status="Failed"), "failed", ""),
        ("shadow", None, seen(status="UpdateRollbackFailed"), "failed", ""),
        ("shadow", record("full", execution="arn:old", status="promoted"), seen(), "create", ""),
        ("canary", None, seen(), "failed", ""),
        ("canary", record("shadow"), seen(configs=("before", CANARY)), "update", ""),
        ("canary", record("canary"), seen(CANARY, "Updating"), "wait", ""),
        ("canary", record("canary"), seen(CANARY, "RollingBack"), "wait", ""),
        ("canary", record("canary"), seen(CANARY, weights=FRESH), "weigh", ""),
        ("canary", record("canary"), seen(CANARY, weights=BOTH), "reached", "compare"),
        (
            "canary",
            record("canary"),
            seen(CANARY, weights={CHAMPION: 7.9999995, CHALLENGER: 2.0000001}),
            "reached",
            "compare",
        ),
        ("withdraw", record("canary"), seen(CANARY, weights=BOTH), "update", ""),
        ("withdraw", record("withdraw"), seen(weights={CHAMPION: 1.0}), "weigh", ""),
        ("withdraw", record("withdraw"), seen(), "reached", "next"),
        ("withdraw", record("canary"), seen(CANARY, models={}), "update", ""),
        ("full", record("withdraw"), seen(), "create", ""),
        ("full", record("withdraw"), seen(models={"m2": MODEL}), "create", ""),
        ("full", record("withdraw"), seen(models={"m1": MODEL}), "model", ""),
        ("full", record("full"), seen(FULL, models={}), "reached", "promote"),
        ("full", record("full"), seen(FULL), "reached", "promote"),
        ("full", record("full"), seen(FULL, configs=()), "reached", "promote"),
        ("full", record("full"), seen(configs=()), "failed", ""),
        ("restore", None, seen(), "reached", "restored"),
        ("restore", record("canary", status="restored"), seen(CANARY), "reached", "restored"),
        ("restore", record("canary", execution="arn:a"), seen(CANARY), "reached", "restored"),
        ("restore", record("canary"), seen(CANARY, weights=BOTH), "weigh", ""),
        ("restore", record("canary"), seen(CANARY, weights=FRESH), "update", ""),
        ("restore", record("canary"), seen(CANARY, "Updating"), "wait", ""),
        ("restore", record("canary"), seen(CANARY, "Failed"), "failed", ""),
        ("restore", record("canary"), seen(CANARY, configs=()), "failed", ""),
        ("restore", record("canary"), seen(weights={CHAMPION: 1.0}), "weigh", ""),
        ("restore", record("canary"), seen(), "reached", "restored"),
        ("restore", record("full", status="promoted"), seen(FULL), "update", ""),
        ("restore", record("full"), seen("someone-elses"), "failed", ""),
        ("restore", record("canary"), seen("someone-elses", weights=BOTH), "failed", ""),
    ],
)
def test_the_next_step_follows_from_what_there_is(
    stage: str, known: RollOut | None, found: Seen, action: str, then: str
) -> None:
    step, after = next_step(aim(stage), known, found)
    assert (step.action, step.then) == (action, then), step.reason
    assert (step.request == {}) is (action in ("wait", "reached", "failed"))
    assert step.reason
    # Asked again before anything has changed, the answer is the same.
    again, _ = next_step(aim(stage), after, found)
    assert again == step


def test_weights_are_kept_apart_even_if_no_other_variant_could_take_the_traffic() -> None:
    found = seen(CANARY, weights={CHAMPION: 0.0, CHALLENGER: 1.0})
    step, _ = next_step(aim("restore"), record("canary"), found)
    assert step.action == "update"


def test_an_update_that_reached_the_endpoint_and_left_it_as_it_was_has_been_rolled_back() -> None:
    known = record("full", deploying=FULL, modified=NOW, asked={f"update {FULL}": 1})
    both = ("before", FULL)
    untouched = seen(configs=both)
    assert next_step(aim("full"), known, untouched)[0].action == "update"
    later = NOW + timedelta(minutes=9)
    for alarms, said in (
        ({"all": "ALARM", "latency": "ALARM"}, "these alarms ring: all, latency"),
        ({"all": "OK"}, "no alarm rings now"),
    ):
        changed = seen(configs=both, modified=later, alarms=alarms)
        step, after = next_step(aim("full"), known, changed)
        assert (step.action, after) == ("failed", known)
        assert said in step.reason
    said_by_aws = seen(configs=both, modified=later, FailureReason="no capacity")
    assert "SageMaker says: no capacity" in next_step(aim("full"), known, said_by_aws)[0].reason


def test_bringing_back_is_tried_again_after_a_roll_back_by_sagemaker() -> None:
    known: RollOut | None = record("restore")
    for attempt in range(3):
        found = seen(CANARY, weights=FRESH, modified=NOW + timedelta(hours=attempt))
        step, known = next_step(aim("restore"), known, found)
        assert step.action == "update"
    step, _ = next_step(aim("restore"), known, seen(CANARY, weights=FRESH, FailureReason="why"))
    assert step.action == "failed"
    assert "SageMaker says: why" in step.reason


def test_weights_that_are_not_taken_do_not_keep_the_configuration_from_coming_back() -> None:
    known: RollOut | None = record("canary")
    found = seen(CANARY, weights=BOTH)
    for _ in range(3):
        step, known = next_step(aim("restore"), known, found)
        assert step.action == "weigh"
    step, known = next_step(aim("restore"), known, found)
    assert (step.action, step.request["EndpointConfigName"]) == ("update", "before")


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (seen("someone-elses"), "failed"),
        (seen(FULL, configs=()), "failed"),
        (seen(FULL, "Failed"), "failed"),
        (seen(FULL, "Updating"), "wait"),
    ],
)
def test_a_promotion_that_cannot_be_taken_back_stays_one(found: Seen, action: str) -> None:
    promoted = record("full", execution="arn:old", status="promoted")
    by_hand = aim("restore", plan=replace(plan(), action="restore"))
    step, after = next_step(by_hand, promoted, found)
    assert (step.action, after) == (action, promoted)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"Containers": [{"Image": "a"}, {"Image": "b"}]}, "a pipeline of 2 containers"),
        ({"PrimaryContainer": {"Image": "a", "Mode": "MultiModel"}}, "a container of many models"),
    ],
)
def test_a_champions_model_that_cannot_be_copied_is_refused(
    model: dict[str, Any], said: str
) -> None:
    step, _ = next_step(aim("shadow"), None, seen(models={"m1": model}))
    assert step.action == "failed"
    assert f"model m1 is {said}" in step.reason


@pytest.mark.parametrize("action", ["model", "create", "weigh"])
def test_what_has_no_effect_is_not_asked_for_without_end(action: str) -> None:
    known: RollOut | None = record("canary")
    found = {
        "model": seen(models={"m1": MODEL}),
        "create": seen(),
        "weigh": seen(CANARY, weights=FRESH),
    }[action]
    for _ in range(3):
        step, known = next_step(aim("canary"), known, found)
        assert step.action == action
    assert next_step(aim("canary"), known, found)[0].action == "failed"


def test_an_update_that_was_asked_for_as_an_execution_was_stopped_is_waited_for() -> None:
    found = seen(configs=("before", CANARY))
    step, known = next_step(aim("canary"), record("shadow"), found)
    assert step.action == "update"
    recovery = aim("restore", plan=replace(plan(), action="restore", execution_arn="arn:other"))
    step, known = next_step(recovery, known, found)
    assert (step.action, step.reason) == ("wait", f"the update to {CANARY} may be on its way")
    assert next_step(recovery, known, found)[0].then == "restored"
    late = seen(CANARY, weights=FRESH, modified=NOW + timedelta(minutes=1))
    assert next_step(recovery, known, late)[0].action == "update"


def test_a_new_stage_forgets_what_the_old_one_waited_for() -> None:
    known = record(
        "shadow", experiment="old", since=NOW, token="t", deploying="x", asked={"update x": 3}
    )
    _, after = next_step(aim("canary"), known, seen(status="InService"))
    assert after is not None
    assert (after.experiment, after.since, after.token, after.deploying) == ("", None, "", "")
    assert after.asked == {f"create {CANARY}": 1}


def test_settings_that_were_taken_away_end_a_roll_out_but_not_the_way_back() -> None:
    step, _ = next_step(aim("canary", settings=None), record("shadow"), seen())
    assert (step.action, step.reason) == (
        "failed",
        "monitor loans has no `retraining.rollout` any more",
    )
    direct = rolling("direct", rollout={"canary": None}).rollout
    found = seen(CANARY, weights=FRESH)
    step, _ = next_step(aim("canary", settings=direct), record("canary"), found)
    assert "has no `retraining.rollout.canary` any more" in step.reason
    step, _ = next_step(aim("restore", settings=None), record("canary"), found)
    assert step.action == "update"


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="'ab' is none of this roll-out's stages"):
        next_step(aim("ab"), record("shadow"), seen())


def test_a_stage_that_is_nearly_over_waits_for_what_is_left() -> None:
    known = record(
        "canary",
        experiment=f"{VERSION.lower()}-canary",
        since=NOW - timedelta(seconds=7000),
    )
    step, after = next_step(aim("canary"), known, seen(CANARY, weights=BOTH))
    assert (step.seconds, after) == (200, known)
    over = replace(known, since=NOW - timedelta(days=1))
    assert next_step(aim("canary"), over, seen(CANARY, weights=BOTH))[0].seconds == 1


def test_alarms_that_ring_already_do_not_watch() -> None:
    cases: list[tuple[dict[str, str], tuple[str, ...]]] = [
        ({"all": "OK", "errors": "OK"}, ("all",)),
        ({"all": "INSUFFICIENT_DATA"}, ("all",)),
        ({"all": "ALARM", "errors": "OK", "latency": "ALARM"}, ("errors",)),
        ({"errors": "OK", "latency": "INSUFFICIENT_DATA"}, ("errors", "latency")),
        ({"all": "ALARM", "errors": "ALARM"}, ()),
        ({}, ()),
    ]
    for states, watching in cases:
        found = Seen(endpoint=None, configs={}, models={}, alarms=states)
        assert guarding_alarms(aim("full"), found, refused=False) == watching


def test_after_a_refusal_metric_alarms_watch_instead_of_the_composite_one() -> None:
    cases: list[tuple[dict[str, str], tuple[str, ...]]] = [
        ({"all": "OK", "errors": "OK", "latency": "ALARM"}, ("errors",)),
        ({"all": "OK"}, ("all",)),
    ]
    for states, watching in cases:
        found = Seen(endpoint=None, configs={}, models={}, alarms=states)
        assert guarding_alarms(aim("full"), found, refused=True) == watching


def test_names_are_short_enough_for_sagemaker() -> None:
    for stage in ("shadow", "canary", "ab", "full"):
        assert len(config_name("a" * 63, VERSION, stage)) <= 63


def test_a_direct_roll_out_leaves_other_variants_as_they_are() -> None:
    other = VARIANT | {"VariantName": "other"}
    settings = rolling("direct").rollout
    assert settings is not None
    request = stage_config(
        BEFORE | {"ProductionVariants": [other, VARIANT]},
        name="new",
        stage="full",
        champion=CHAMPION,
        model="m2",
        settings=settings,
        weights={CHAMPION: 3.0, "other": 1.0},
        instances={CHAMPION: 5},
    )
    assert request == {
        "EndpointConfigName": "new",
        "ProductionVariants": [
            other,
            VARIANT | {"ModelName": "m2", "InitialVariantWeight": 3.0, "InitialInstanceCount": 5},
        ],
        "DataCaptureConfig": BEFORE["DataCaptureConfig"],
        "EnableNetworkIsolation": True,
    }


@pytest.mark.parametrize(
    ("settings", "routing", "limit"),
    [
        ({"shift": "all_at_once", "bake": "1m"}, {"Type": "ALL_AT_ONCE"}, 3660),
        (
            {"shift": "linear", "percent": 30, "wait": "10m", "bake": "1h"},
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 600,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 30},
            },
            3 * 600 + 3600 + 3600,
        ),
        (
            {"shift": "canary", "percent": 5, "wait": "1h", "bake": "1h"},
            {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 3600,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 5},
            },
            3 * 3600,
        ),
    ],
)
def test_traffic_is_shifted_as_the_settings_say(
    settings: dict[str, Any], routing: dict[str, Any], limit: int
) -> None:
    traffic = TrafficSettings(**settings)
    policy = deployment_config(traffic, (), instances=2)["BlueGreenUpdatePolicy"]
    found = policy["TrafficRoutingConfiguration"]
    assert {name: found[name] for name in routing} == routing
    assert policy["MaximumExecutionTimeoutInSeconds"] == limit


@pytest.mark.parametrize("shift", ["canary", "linear"])
def test_one_instance_takes_all_traffic_at_once_and_is_watched(shift: str) -> None:
    traffic = TrafficSettings(shift=shift, bake="30m")
    policy = deployment_config(traffic, (), instances=1)["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    assert policy["TerminationWaitInSeconds"] == 1800


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"AsyncInferenceConfig": {"OutputConfig": {}}}, "asynchronous"),
        ({"ProductionVariants": [VARIANT | {"ServerlessConfig": {}}]}, "serverless"),
        (
            {"ProductionVariants": [{"VariantName": CHAMPION, "InstanceType": "x"}]},
            "inference components",
        ),
        (
            {
                "ProductionVariants": [
                    VARIANT | {"InstancePools": [{"InstanceType": "x", "ModelNameOverride": "m0"}]}
                ]
            },
            "instance pools with models of their own",
        ),
        ({"ProductionVariants": [VARIANT | {"VariantName": "blue"}]}, "has no variant AllTraffic"),
        (
            {"ProductionVariants": [VARIANT, VARIANT | {"VariantName": "blue"}]},
            "production variants AllTraffic, blue",
        ),
        ({"DataCaptureConfig": {"EnableCapture": False}}, "captures nothing"),
        ({"ShadowProductionVariants": [VARIANT]}, "shadow variant already"),
    ],
)
def test_an_endpoint_that_does_not_fit_is_refused_with_what_to_do(
    changes: dict[str, Any], said: str
) -> None:
    found = refusal(plan().rollout, {}, BEFORE | changes, "shadow")
    assert said in found
    assert bool(found) is bool(said)


def test_without_a_comparison_neither_capture_nor_other_variants_matter() -> None:
    two = BEFORE | {"ProductionVariants": [VARIANT, VARIANT | {"VariantName": "blue"}]}
    two.pop("DataCaptureConfig")
    assert refusal(plan(("full",)).rollout, {}, two, "full") == ""
    gone = refusal(plan(("full",)).rollout, {"EndpointConfigName": "before"}, None, "full")
    assert "endpoint configuration before of endpoint flights does not exist any more" in gone
