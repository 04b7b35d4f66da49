"""What a roll-out may do, and what starts, ends and recovers it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from driftgauge.config import MonitorConfig
from driftgauge.rollout_settings import HARM_ALARMS
from lambdas.verdict import alarms_of
from tests.infrastructure.policies import (
    alarm_changed,
    allows,
    matches,
    may,
    object_created,
    targets_of,
)
from tests.infrastructure.synthesized import (
    RETRAINED,
    SAGEMAKER,
    Synthesized,
    monitor,
    synthesize,
)
from tests.infrastructure.test_checks import findings
from tests.infrastructure.test_retraining import machine, statements

ACCOUNT = "eu-west-1:123456789012"
OURS = f"arn:aws:sagemaker:{ACCOUNT}"
STORE_NAME = "<Store1D2A845B>"
RECORD = f"arn:aws:s3:::{STORE_NAME}/m/rollout.json"
DECISION = f"arn:aws:s3:::{STORE_NAME}/m/experiments/v-ab/decision.json"
SERVING = "arn:aws:iam::123456789012:role/serving"
ACCURACY = {"primary": {"name": "accuracy"}}
PIPELINE = {"pipeline": "Retrain-Churn"}


def rolled_out(name: str, strategy: str, *, trainer: Any = SAGEMAKER, **rollout: Any) -> Any:
    """Return a monitor of the endpoint ``Name-Prod`` whose challengers are rolled out."""
    judged = {"direct": {}, "ab": {"ab": ACCURACY}, "shadow_canary": {"canary": ACCURACY}}
    return monitor(
        name,
        **{
            **RETRAINED,
            "endpoint": {
                "name": f"{name.capitalize()}-Prod",
                "variants": ["blue"] if strategy == "direct" else ["blue", "challenger"],
            },
            "retraining": {
                "enabled": True,
                "trainer": trainer,
                "rollout": {
                    "strategy": strategy,
                    "role_arn": SERVING,
                    **judged[strategy],
                    **rollout,
                },
            },
            "outcomes": {},
        },
    )


MONITORS: tuple[MonitorConfig, ...] = (
    rolled_out("churn", "shadow_canary", model_package_group="Churn-Models"),
    rolled_out("fraud", "direct", trainer=PIPELINE, image=SAGEMAKER["image"]),
    monitor("plain", **RETRAINED),
)


@pytest.fixture(scope="module")
def stacks() -> Synthesized:
    """A deployment of three retrained monitors, one of which rolls nothing out."""
    return synthesize(*MONITORS, deployment="staging")


def granted(stacks: Synthesized, name: str, action: str, resource: str) -> bool:
    return allows(statements(stacks, name), action, resource)


def ended(stacks: Synthesized, name: str, status: str) -> dict[str, Any]:
    """Return Step Functions' event of an execution's change of status."""
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "stateMachineArn": f"<{machine(stacks, name).logical_id}>",
            "status": status,
        },
    }


def test_a_machine_makes_models_and_configurations_of_its_monitor_only(
    stacks: Synthesized,
) -> None:
    for action, resource in {
        "sagemaker:CreateModel": "model",
        "sagemaker:CreateEndpointConfig": "endpoint-config",
    }.items():
        place = f"{OURS}:{resource}"
        assert granted(stacks, "churn", action, f"{place}/driftgauge-churn-20260701T000000Z-ab")
        assert not granted(stacks, "churn", action, f"{place}/driftgauge-fraud-20260701T000000Z")
        assert not granted(stacks, "churn", action, f"{place}/of-somebody-else")


def test_a_machine_changes_the_endpoint_of_its_monitor_only(stacks: Synthesized) -> None:
    for action in ("UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"):
        for spelling in ("Churn-Prod", "churn-prod"):
            place = f"{OURS}:endpoint/{spelling}"
            assert granted(stacks, "churn", f"sagemaker:{action}", place)
            assert not granted(stacks, "fraud", f"sagemaker:{action}", place)
    before = f"{OURS}:endpoint-config/any-name"
    assert granted(stacks, "churn", "sagemaker:UpdateEndpoint", before)
    assert granted(stacks, "churn", "cloudwatch:DescribeAlarms", "*")
    for action in ("CreateEndpoint", "DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"):
        assert not granted(stacks, "churn", f"sagemaker:{action}", f"{OURS}:endpoint/churn-prod")


def test_only_the_role_that_serves_is_passed_and_only_to_sagemaker(stacks: Synthesized) -> None:
    passed = [one for one in statements(stacks, "fraud") if one["Action"] == "iam:PassRole"]
    assert [one["Resource"] for one in passed] == [SERVING]
    assert passed[0]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


def test_a_machine_registers_models_in_the_named_group_only(stacks: Synthesized) -> None:
    for action in ("CreateModelPackage", "UpdateModelPackage"):
        for group in ("Churn-Models", "churn-models"):
            place = f"{OURS}:model-package/{group}/7"
            assert granted(stacks, "churn", f"sagemaker:{action}", place)
            assert not granted(stacks, "fraud", f"sagemaker:{action}", place)
        other = f"{OURS}:model-package/others/7"
        assert not granted(stacks, "churn", f"sagemaker:{action}", other)
    group = f"{OURS}:model-package-group/churn-models"
    assert granted(stacks, "churn", "sagemaker:CreateModelPackage", group)
    assert not granted(stacks, "churn", "sagemaker:UpdateModelPackage", group)


def test_a_machine_sees_the_models_and_the_image_that_it_registers(stacks: Synthesized) -> None:
    repository = "arn:aws:ecr:eu-west-1:123456789012:repository/"
    for name, sees in (("churn", True), ("fraud", False)):
        assert granted(stacks, name, "ecr:BatchGetImage", f"{repository}churn") is sees
    assert not granted(stacks, "churn", "ecr:BatchGetImage", f"{repository}other")
    (read,) = [one for one in statements(stacks, "churn") if one["Action"] == "s3:GetObject"]
    assert read["Resource"].endswith("/churn/models/*")
    assert all(one["Action"] != "s3:GetObject" for one in statements(stacks, "fraud"))


def test_keys_of_volumes_are_used_through_sagemaker_only(stacks: Synthesized) -> None:
    through = {"kms:ViaService": "sagemaker.eu-west-1.amazonaws.com"}
    keys = [one for one in statements(stacks, "fraud") if str(one["Action"]).startswith("kms:")]
    conditions = {one["Action"]: one["Condition"] for one in keys}
    assert conditions["kms:DescribeKey"] == {"StringEquals": through}
    assert conditions["kms:CreateGrant"] == {
        "StringEquals": through,
        "Bool": {"kms:GrantIsForAWSResource": "true"},
    }
    assert not any("kms:" in str(one["Action"]) for one in statements(stacks, "plain"))


def test_a_machine_runs_the_named_pipeline_only(stacks: Synthesized) -> None:
    for name in ("Retrain-Churn", "retrain-churn"):
        pipeline = f"{OURS}:pipeline/{name}"
        assert granted(stacks, "fraud", "sagemaker:StartPipelineExecution", pipeline)
        assert not granted(stacks, "churn", "sagemaker:StartPipelineExecution", pipeline)
        for action in ("DescribePipelineExecution", "StopPipelineExecution"):
            run = f"{pipeline}/execution/abcdef"
            assert granted(stacks, "fraud", f"sagemaker:{action}", run)
            assert not granted(stacks, "churn", f"sagemaker:{action}", run)
    other = f"{OURS}:pipeline/another"
    assert not granted(stacks, "fraud", "sagemaker:StartPipelineExecution", other)
    train = f"<{stacks.function('train').logical_id}.Arn>"
    assert not granted(stacks, "fraud", "lambda:InvokeFunction", train)


def test_a_machine_calls_the_functions_that_its_roll_out_needs(stacks: Synthesized) -> None:
    called = {
        name: {
            verb
            for verb in ("rollout", "verdict")
            if granted(
                stacks,
                name,
                "lambda:InvokeFunction",
                f"<{stacks.function(verb).logical_id}.Arn>",
            )
        }
        for name in ("churn", "fraud", "plain")
    }
    assert called == {"churn": {"rollout", "verdict"}, "fraud": {"rollout"}, "plain": set()}


def test_a_monitor_without_a_roll_out_gets_nothing_of_it(stacks: Synthesized) -> None:
    text = json.dumps(statements(stacks, "plain"))
    assert "sagemaker" not in text
    assert "iam:PassRole" not in text
    assert targets_of(stacks, ended(stacks, "plain", "ABORTED")) == []


def test_the_reconciler_only_looks(stacks: Synthesized) -> None:
    for name in ("churn-prod", "Fraud-Prod"):
        assert may(stacks, "rollout", "sagemaker:DescribeEndpoint", f"{OURS}:endpoint/{name}")
    assert not may(stacks, "rollout", "sagemaker:DescribeEndpoint", f"{OURS}:endpoint/plain")
    configs = f"{OURS}:endpoint-config/any"
    assert may(stacks, "rollout", "sagemaker:DescribeEndpointConfig", configs)
    assert may(stacks, "rollout", "sagemaker:DescribeModel", f"{OURS}:model/any")
    assert may(stacks, "rollout", "cloudwatch:DescribeAlarms", "*")
    for action in ("UpdateEndpoint", "CreateEndpointConfig", "UpdateEndpointWeightsAndCapacities"):
        assert not may(stacks, "rollout", f"sagemaker:{action}", f"{OURS}:endpoint/churn-prod")
    assert not may(stacks, "rollout", "sagemaker:CreateModel", f"{OURS}:model/driftgauge-churn-1")


def test_the_record_of_a_roll_out_is_written_by_those_who_change_it(stacks: Synthesized) -> None:
    verbs = ("guard", "prepare", "train", "compare", "promote", "rollout", "verdict")
    writers = {verb for verb in verbs if may(stacks, verb, "s3:PutObject", RECORD)}
    readers = {verb for verb in verbs if may(stacks, verb, "s3:GetObject", RECORD)}
    assert writers == readers == {"guard", "promote", "rollout", "verdict"}


def test_the_verdict_reads_decisions_and_ends_waits_of_machines_that_wait(
    stacks: Synthesized,
) -> None:
    assert may(stacks, "verdict", "s3:GetObject", DECISION)
    assert not may(stacks, "verdict", "s3:PutObject", DECISION)
    assert may(stacks, "verdict", "cloudwatch:DescribeAlarms", "*")
    place = f"arn:aws:states:{ACCOUNT}:stateMachine:staging"
    assert may(stacks, "verdict", "states:SendTaskSuccess", f"{place}-churn-retraining")
    assert not may(stacks, "verdict", "states:SendTaskSuccess", f"{place}-plain-retraining")
    for action in ("states:SendTaskFailure", "states:StartExecution", "states:StopExecution"):
        assert not may(stacks, "verdict", action, f"{place}-churn-retraining")


def test_the_guard_sees_whether_an_execution_still_runs(stacks: Synthesized) -> None:
    place = f"arn:aws:states:{ACCOUNT}:execution:staging"
    assert may(stacks, "guard", "states:DescribeExecution", f"{place}-churn-retraining:one")
    assert not may(stacks, "guard", "states:DescribeExecution", f"{place}-other-retraining:one")


def test_decisions_on_stages_reach_the_verdict_and_others_do_not(stacks: Synthesized) -> None:
    verdict = f"<{stacks.function('verdict').logical_id}.Arn>"

    def told(monitor: str, experiment: str) -> bool:
        key = f"{monitor}/experiments/{experiment}/decision.json"
        return verdict in targets_of(stacks, object_created(STORE_NAME, key))

    assert told("churn", "20260701t000000z-0a1b2c3d-shadow")
    assert told("churn", "20260701t000000z-0a1b2c3d-canary")
    assert not told("churn", "june")
    assert not told("fraud", "20260701t000000z-0a1b2c3d-canary")


@pytest.mark.parametrize("kind", HARM_ALARMS)
def test_alarms_of_a_challenger_reach_the_verdict(stacks: Synthesized, kind: str) -> None:
    verdict = f"<{stacks.function('verdict').logical_id}.Arn>"
    name = f"staging-churn-challenger-{kind}"
    assert targets_of(stacks, alarm_changed(name, "ALARM", "OK")) == [verdict]
    assert targets_of(stacks, alarm_changed(name, "OK", "ALARM")) == []
    of_champion = f"staging-churn-blue-{kind}"
    assert verdict not in targets_of(stacks, alarm_changed(of_champion, "ALARM", "OK"))


def test_rule_and_function_mean_the_same_alarms(stacks: Synthesized) -> None:
    run: Any = SimpleNamespace(settings=SimpleNamespace(DEPLOYMENT="staging"))
    names = alarms_of(run, MONITORS[0])
    patterns = [
        rule.properties["EventPattern"]["detail"].get("alarmName", [])
        for rule in stacks.all("AWS::Events::Rule", room="Retraining")
    ]
    assert len(names) == len(HARM_ALARMS)
    assert [set(one) for one in patterns if names[0] in one] == [set(names)]


def test_what_does_not_reach_the_verdict_becomes_a_dead_letter(stacks: Synthesized) -> None:
    queue = f"<{stacks.logical_id('AWS::SQS::Queue', 'VerdictDeadLetters')}.Arn>"
    verdict = stacks.function("verdict")
    assert verdict.properties["DeadLetterConfig"] == {"TargetArn": queue}
    arn = f"<{verdict.logical_id}.Arn>"
    letters = [
        target["DeadLetterConfig"]
        for rule in stacks.all("AWS::Events::Rule")
        for target in rule.properties["Targets"]
        if target["Arn"] == arn
    ]
    assert letters == [{"Arn": queue}] * 2


@pytest.mark.parametrize("name", ["churn", "fraud"])
def test_an_interrupted_execution_is_recovered_from(stacks: Synthesized, name: str) -> None:
    arn = f"<{machine(stacks, name).logical_id}>"
    for status in ("ABORTED", "TIMED_OUT"):
        event = ended(stacks, name, status)
        assert targets_of(stacks, event) == [arn]
        (rule,) = [
            rule
            for rule in stacks.all("AWS::Events::Rule", room="Retraining")
            if matches(rule.properties["EventPattern"], event)
        ]
        (target,) = rule.properties["Targets"]
        assert json.loads(target["Input"]) == {"monitor": name, "recover": True}
        assert "DeadLetterConfig" in target
    # One that failed has put everything back; starting it again would go on for ever.
    for status in ("FAILED", "SUCCEEDED", "RUNNING"):
        assert targets_of(stacks, ended(stacks, name, status)) == []


def test_a_deployment_of_direct_roll_outs_waits_for_no_verdict() -> None:
    stacks = synthesize(rolled_out("churn", "direct"))
    handlers = {one.properties.get("Handler") for one in stacks.all("AWS::Lambda::Function")}
    assert "lambdas.rollout.handler" in handlers
    assert "lambdas.verdict.handler" not in handlers


def test_the_checks_have_no_findings(stacks: Synthesized) -> None:
    assert findings(stacks.app) == set()
