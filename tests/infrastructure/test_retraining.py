from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stacks.retraining import DEFINITION
from tests.infrastructure.policies import alarm_changed, allows, matches, targets_of
from tests.infrastructure.synthesized import (
    OWN_TRAINER,
    SAGEMAKER,
    Resource,
    Synthesized,
    monitor,
    synthesize,
)

STEPS = ("guard", "prepare", "train", "compare", "promote", "baseline", "notify")


def machine(stacks: Synthesized, monitor: str) -> Resource:
    name = f"{'driftgauge' if monitor == 'flight-delays' else 'staging'}-{monitor}-retraining"
    return stacks.one("AWS::StepFunctions::StateMachine", StateMachineName=name)


def statements(stacks: Synthesized, monitor: str) -> list[dict[str, Any]]:
    role = machine(stacks, monitor).properties["RoleArn"]
    return stacks.statements(role.strip("<>").removesuffix(".Arn"))


def test_every_placeholder_of_the_definition_is_filled_and_no_other_is_given(
    default: Synthesized,
) -> None:
    given = machine(default, "flight-delays").properties["DefinitionSubstitutions"]
    text = DEFINITION.read_text(encoding="utf-8")
    assert set(given) == set(re.findall(r"\$\{(\w+)\}", text))
    filled = re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], text)
    assert json.loads(filled)["QueryLanguage"] == "JSONata"


def test_each_step_is_the_function_of_its_verb(default: Synthesized) -> None:
    given = machine(default, "flight-delays").properties["DefinitionSubstitutions"]
    assert len(given) == 9
    for verb in STEPS:
        arn = f"<{default.function(verb).logical_id}.Arn>"
        assert given[f"{verb.capitalize()}FunctionArn"] == arn


def test_the_steps_of_roll_outs_are_named_but_not_there_where_nothing_is_rolled_out(
    default: Synthesized,
) -> None:
    given = machine(default, "flight-delays").properties["DefinitionSubstitutions"]
    handlers = {one.properties.get("Handler") for one in default.all("AWS::Lambda::Function")}
    for verb in ("rollout", "verdict"):
        arn = f"arn:aws:lambda:eu-west-1:123456789012:function:driftgauge-{verb}"
        assert given[f"{verb.capitalize()}FunctionArn"] == arn
        assert f"lambdas.{verb}.handler" not in handlers
        assert not allows(statements(default, "flight-delays"), "lambda:InvokeFunction", arn)


def test_the_machine_may_call_its_steps(default: Synthesized) -> None:
    for verb in STEPS:
        arn = f"<{default.function(verb).logical_id}.Arn>"
        assert allows(statements(default, "flight-delays"), "lambda:InvokeFunction", arn)
    profile = f"<{default.function('profile').logical_id}.Arn>"
    assert not allows(statements(default, "flight-delays"), "lambda:InvokeFunction", profile)


def test_a_trigger_starts_the_monitors_machine(default: Synthesized) -> None:
    name = "driftgauge-flight-delays-AllTraffic-feature-drift"
    started = [f"<{machine(default, 'flight-delays').logical_id}>"]
    assert targets_of(default, alarm_changed(name, "ALARM", "OK")) == started
    assert targets_of(default, alarm_changed(name, "OK", "ALARM")) == []


def test_only_the_configured_triggers_start_a_retraining(varied: Synthesized) -> None:
    quality = alarm_changed("staging-fraud-AllTraffic-data-quality", "ALARM", "OK")
    drift = alarm_changed("staging-fraud-AllTraffic-feature-drift", "ALARM", "OK")
    assert targets_of(varied, quality) == [f"<{machine(varied, 'fraud').logical_id}>"]
    assert targets_of(varied, drift) == []


def test_a_monitor_that_is_not_retrained_has_no_machine(varied: Synthesized) -> None:
    names = {
        one.properties["StateMachineName"] for one in varied.all("AWS::StepFunctions::StateMachine")
    }
    assert names == {"staging-churn-retraining", "staging-fraud-retraining"}


def test_the_machine_is_told_which_alarm_rang_and_when(default: Synthesized) -> None:
    event = alarm_changed("driftgauge-flight-delays-AllTraffic-feature-drift", "ALARM", "OK")
    (rule,) = [
        rule
        for rule in default.all("AWS::Events::Rule", room="Retraining")
        if matches(rule.properties["EventPattern"], event)
    ]
    (target,) = rule.properties["Targets"]
    values = {"<detail-alarmName>": event["detail"]["alarmName"], "<time>": event["time"]}
    paths = target["InputTransformer"]["InputPathsMap"]
    assert paths == {"detail-alarmName": "$.detail.alarmName", "time": "$.time"}
    filled = re.sub(
        r"<[\w-]+>", lambda m: json.dumps(values[m[0]]), target["InputTransformer"]["InputTemplate"]
    )
    assert json.loads(filled) == {
        "monitor": "flight-delays",
        "variant": "AllTraffic",
        "alarm": "driftgauge-flight-delays-AllTraffic-feature-drift",
        "time": "2026-07-01T00:00:00Z",
    }


def test_an_alarm_event_that_starts_nothing_becomes_a_dead_letter(varied: Synthesized) -> None:
    queue = varied.logical_id("AWS::SQS::Queue", "DeadLetters")
    rules = varied.all("AWS::Events::Rule", room="Retraining")
    assert len(rules) == 2
    for rule in rules:
        for target in rule.properties["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": f"<{queue}.Arn>"}


def test_a_training_job_of_sagemaker_may_be_run_and_followed_where_configured(
    varied: Synthesized,
) -> None:
    granted = statements(varied, "churn")
    job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/"
    for action in ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags"):
        assert allows(granted, f"sagemaker:{action}", f"{job}driftgauge-churn-20260701T000000Z-ab")
        assert not allows(granted, f"sagemaker:{action}", f"{job}another-job")
    rule = "StepFunctionsGetEventsForSageMakerTrainingJobsRule"
    for action in ("PutTargets", "PutRule", "DescribeRule"):
        arn = f"arn:aws:events:eu-west-1:123456789012:rule/{rule}"
        assert allows(granted, f"events:{action}", arn)
    (passed,) = [one for one in granted if one["Action"] == "iam:PassRole"]
    assert passed["Resource"] == SAGEMAKER["role_arn"]
    assert passed["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


@pytest.mark.parametrize("name", ["flight-delays", "fraud"])
def test_without_a_training_job_there_is_no_permission_for_one(
    default: Synthesized, varied: Synthesized, name: str
) -> None:
    text = json.dumps(statements(default if name == "flight-delays" else varied, name))
    assert "sagemaker" not in text
    assert "iam:PassRole" not in text


def test_a_function_of_ones_own_may_be_called_instead_of_the_built_in_trainer(
    varied: Synthesized,
) -> None:
    granted = statements(varied, "fraud")
    train = f"<{varied.function('train').logical_id}.Arn>"
    assert allows(granted, "lambda:InvokeFunction", OWN_TRAINER)
    assert not allows(granted, "lambda:InvokeFunction", train)
    assert not allows(statements(varied, "churn"), "lambda:InvokeFunction", OWN_TRAINER)


def test_the_machine_logs_its_steps_but_not_what_passes_between_them(
    varied: Synthesized,
) -> None:
    for one in varied.all("AWS::StepFunctions::StateMachine"):
        logging = one.properties["LoggingConfiguration"]
        assert logging["Level"] == "ALL"
        assert logging["IncludeExecutionData"] is False


def test_a_failed_execution_rings(varied: Synthesized) -> None:
    alarm = varied.alarm("staging-fraud-retraining-failed")
    assert alarm["MetricName"] == "ExecutionsFailed"
    assert alarm["Dimensions"] == [
        {"Name": "StateMachineArn", "Value": f"<{machine(varied, 'fraud').logical_id}>"}
    ]
    assert alarm["AlarmActions"] == [f"<{varied.logical_id('AWS::SNS::Topic', 'Topic')}>"]


def test_each_machine_is_named_in_the_outputs(varied: Synthesized) -> None:
    outputs = varied.templates["Retraining"]["Outputs"]
    named = {name: varied.resolve(one["Value"]) for name, one in outputs.items()}
    assert named == {
        "RetrainingArnChurn": f"<{machine(varied, 'churn').logical_id}>",
        "RetrainingArnFraud": f"<{machine(varied, 'fraud').logical_id}>",
    }


def test_where_nothing_is_retrained_there_is_no_stack_for_it() -> None:
    assert set(synthesize(monitor()).stacks) == {"Storage", "Alerts", "Monitoring"}
