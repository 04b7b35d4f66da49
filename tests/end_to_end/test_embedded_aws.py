"""The embedded AWS does what its supplements say, on a small template of its own."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import pytest

from local.aws import EmbeddedAws

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

Found = TypeVar("Found")

MEASURE = """
import json, time
def handler(event, context):
    print(json.dumps({
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [{
                "Namespace": "probe",
                "Dimensions": [["Monitor", "Variant"], ["Monitor"]],
                "Metrics": [{"Name": "Drifted", "Unit": "Count", "StorageResolution": 1}],
            }],
        },
        "Monitor": "flights", "Variant": "all", "Drifted": event["values"],
    }))
"""

FAIL = """
class ProbeError(Exception):
    pass
def handler(event, context):
    raise ProbeError("this function\\nalways fails")
"""

# What the retraining uses of Step Functions: JSONata, substitutions, errors by name.
MACHINE = """{
  "QueryLanguage": "JSONata",
  "StartAt": "Try",
  "States": {
    "Try": {
      "Type": "Task",
      "Resource": "arn:aws:states:::lambda:invoke",
      "Arguments": {"FunctionName": "${Function}", "Payload": "{% $states.input %}"},
      "Catch": [
        {
          "ErrorEquals": ["ProbeError"],
          "Output": {"machine": "{% $states.context.StateMachine.Id %}"},
          "Next": "Caught"
        }
      ],
      "End": true
    },
    "Caught": {"Type": "Succeed"}
  }
}"""

REFUSE = """
def handler(event, context):
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in event["Records"]]}
"""

ECHO = """
import base64, json
def handler(event, context):
    assert event["version"] == "2.0", event
    body = event.get("body") or ""
    if event["isBase64Encoded"]:
        body = base64.b64decode(body).decode()
    return {
        "statusCode": 410 if body else 200,
        "headers": {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"},
        "body": json.dumps([
            event["requestContext"]["http"]["method"],
            event["rawPath"],
            event["rawQueryString"],
            body,
        ]),
    }
"""

IMPORT = """
import numpy, portable
def handler(event, context):
    return {"numpy": numpy.__version__, "portable": portable.NAME}
"""


def function(code: str, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Architectures": ["arm64"],
            "Handler": "index.handler",
            "Role": "arn:aws:iam::123456789012:role/any",
            "Timeout": 60,
            "Code": {"ZipFile": code},
            **properties,
        },
    }


def alarm(name: str, metric: str, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": name,
            "Namespace": "probe",
            "MetricName": metric,
            "Dimensions": [
                {"Name": "Monitor", "Value": "flights"},
                {"Name": "Variant", "Value": "all"},
            ],
            "Statistic": "Maximum",
            "Period": 10,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "ignore",
            **properties,
        },
    }


def template(rule: str = "ALARM(probe-quiet)") -> dict[str, Any]:
    return {
        "Resources": {
            "Measure": function(MEASURE),
            "Fail": function(
                FAIL, DeadLetterConfig={"TargetArn": {"Fn::GetAtt": ["Undelivered", "Arn"]}}
            ),
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/any",
                    "DefinitionString": MACHINE,
                    "DefinitionSubstitutions": {"Function": {"Fn::GetAtt": ["Fail", "Arn"]}},
                },
            },
            "Undelivered": {"Type": "AWS::SQS::Queue"},
            "FailOnce": {
                "Type": "AWS::Lambda::EventInvokeConfig",
                "Properties": {
                    "FunctionName": {"Ref": "Fail"},
                    "Qualifier": "$LATEST",
                    "MaximumRetryAttempts": 0,
                },
            },
            "Refuse": function(REFUSE),
            "Echo": function(ECHO),
            "EchoUrl": {
                "Type": "AWS::Lambda::Url",
                "Properties": {
                    "AuthType": "NONE",
                    "TargetFunctionArn": {"Fn::GetAtt": ["Echo", "Arn"]},
                },
            },
            "Objects": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "NotificationConfiguration": {
                        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
                    },
                },
            },
            "Written": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "EventPattern": {"source": ["aws.s3"], "detail-type": ["Object Created"]},
                    "Targets": [{"Id": "work", "Arn": {"Fn::GetAtt": ["Work", "Arn"]}}],
                },
            },
            "Work": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "VisibilityTimeout": 360,
                    "DelaySeconds": 1,
                    "RedrivePolicy": {
                        "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]},
                        "maxReceiveCount": 3,
                    },
                },
            },
            "DeadLetters": {"Type": "AWS::SQS::Queue"},
            "WorkToRefuse": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "EventSourceArn": {"Fn::GetAtt": ["Work", "Arn"]},
                    "FunctionName": {"Ref": "Refuse"},
                    "FunctionResponseTypes": ["ReportBatchItemFailures"],
                    "ScalingConfig": {"MaximumConcurrency": 2},
                },
            },
            "Drift": alarm("probe-drift", "Drifted"),
            "Quiet": alarm("probe-quiet", "Nothing"),
            "Silence": alarm("probe-silence", "Rows", TreatMissingData="breaching"),
            "Errors": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "AlarmName": "probe-errors",
                    "Metrics": [
                        {"Id": "share", "Expression": "errors / calls", "ReturnData": True},
                        *(
                            {
                                "Id": name.lower(),
                                "ReturnData": False,
                                "MetricStat": {
                                    "Metric": {"Namespace": "probe", "MetricName": name},
                                    "Period": 60,
                                    "Stat": "Sum",
                                },
                            }
                            for name in ("Errors", "Calls")
                        ),
                    ],
                    "EvaluationPeriods": 1,
                    "Threshold": 0.05,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                },
            },
            "Health": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": {"AlarmName": "probe", "AlarmRule": rule},
                "DependsOn": ["Quiet"],
            },
            "Heard": {"Type": "AWS::SQS::Queue"},
            "Changed": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "EventPattern": {
                        "source": ["aws.cloudwatch"],
                        "detail-type": ["CloudWatch Alarm State Change"],
                        "detail": {
                            "alarmName": [{"prefix": "probe"}],
                            "state": {"value": ["ALARM"]},
                        },
                    },
                    "Targets": [
                        {"Id": "heard", "Arn": {"Fn::GetAtt": ["Heard", "Arn"]}},
                        {"Id": "fail", "Arn": {"Fn::GetAtt": ["Fail", "Arn"]}},
                    ],
                },
            },
        },
        "Outputs": {
            name: {"Value": {"Ref": name}}
            for name in (
                "Measure",
                "Heard",
                "Undelivered",
                "Objects",
                "DeadLetters",
                "Machine",
                "Echo",
            )
        }
        | {"EchoUrl": {"Value": {"Fn::GetAtt": ["EchoUrl", "FunctionUrl"]}}},
    }


def eventually(look: Callable[[], Found | None], *, seconds: float = 15) -> Found:
    """Return the first thing ``look`` finds; fail if it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for name, text in files.items():
            target.writestr(name, text)
    return content.getvalue()


class Probe:
    """The deployed template."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.cloudformation = aws.client("cloudformation")
        self.cloudwatch = aws.client("cloudwatch")
        self.sqs = aws.client("sqs")
        self.cloudformation.create_stack(StackName="probe", TemplateBody=json.dumps(template()))
        stack = self.settled("CREATE_COMPLETE")
        self.outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}

    def settled(self, status: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            [stack] = self.cloudformation.describe_stacks(StackName="probe")["Stacks"]
            assert "ROLLBACK" not in stack["StackStatus"], stack.get("StackStatusReason")
            return dict(stack) if stack["StackStatus"] == status else None

        return eventually(look)

    def state(self, name: str) -> str | None:
        found = self.cloudwatch.describe_alarms(
            AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        alarms = found["MetricAlarms"] + found["CompositeAlarms"]
        return str(alarms[0]["StateValue"]) if alarms else None

    def set_state(self, name: str, state: str) -> None:
        self.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")

    def received(self, queue: str) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.outputs[queue], MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        for message in answer.get("Messages", []):
            self.sqs.delete_message(
                QueueUrl=self.outputs[queue], ReceiptHandle=message["ReceiptHandle"]
            )
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def heard(self, name: str) -> dict[str, Any]:
        return eventually(
            lambda: next(
                (e for e in self.received("Heard") if e["detail"]["alarmName"] == name), None
            )
        )

    def measure(self, *values: float) -> None:
        answer = self.aws.client("lambda").invoke(
            FunctionName=self.outputs["Measure"], Payload=json.dumps({"values": values})
        )
        assert "FunctionError" not in answer, answer["Payload"].read()


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    with EmbeddedAws(folder=tmp_path_factory.mktemp("aws")) as aws:
        yield Probe(aws)


def test_a_metric_that_a_function_prints_raises_an_alarm_and_an_event(probe: Probe) -> None:
    assert probe.state("probe-drift") == "INSUFFICIENT_DATA"

    probe.measure(0, 0, 3)

    event = probe.heard("probe-drift")
    assert event["source"] == "aws.cloudwatch"
    assert event["resources"] == ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:probe-drift"]
    detail = event["detail"]
    assert detail["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert detail["state"]["value"] == "ALARM"
    assert "greater than or equal to the threshold (1.0)" in detail["state"]["reason"]
    assert json.loads(detail["state"]["reasonData"])["recentDatapoints"] == [3.0]
    [metric] = detail["configuration"]["metrics"]
    assert metric["returnData"] is True
    assert metric["metricStat"] == {
        "metric": {
            "namespace": "probe",
            "name": "Drifted",
            "dimensions": {"Monitor": "flights", "Variant": "all"},
        },
        "period": 10,
        "stat": "Maximum",
    }


def test_every_dimension_set_and_value_of_an_embedded_metric_is_kept(probe: Probe) -> None:
    probe.measure(5, 6, 7)
    now = datetime.now(UTC)
    for dimensions in ({"Monitor": "flights"}, {"Monitor": "flights", "Variant": "all"}):
        [point] = probe.cloudwatch.get_metric_statistics(
            Namespace="probe",
            MetricName="Drifted",
            Dimensions=[{"Name": n, "Value": v} for n, v in dimensions.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=86400,
            Statistics=["SampleCount", "Maximum"],
        )["Datapoints"]
        assert point["SampleCount"] >= 3
        assert point["Maximum"] == 7.0


def test_a_composite_alarm_of_a_template_follows_its_children(probe: Probe) -> None:
    probe.set_state("probe-quiet", "OK")
    assert probe.state("probe") == "OK"

    probe.set_state("probe-quiet", "ALARM")

    assert probe.state("probe") == "ALARM"
    detail = probe.heard("probe")["detail"]
    assert detail["configuration"] == {"alarmRule": "ALARM(probe-quiet)"}
    assert detail["previousState"]["value"] == "OK"
    [child] = json.loads(detail["state"]["reasonData"])["triggeringAlarms"]
    assert child["arn"].endswith(":alarm:probe-quiet")


def test_missing_data_breaches_only_where_the_alarm_says_so(probe: Probe) -> None:
    eventually(lambda: probe.state("probe-silence") == "ALARM")
    eventually(lambda: probe.state("probe-errors") == "OK")


def test_an_alarm_on_metric_math_compares_the_expression(probe: Probe) -> None:
    probe.cloudwatch.put_metric_data(
        Namespace="probe",
        MetricData=[{"MetricName": "Errors", "Value": 3}, {"MetricName": "Calls", "Value": 30}],
    )
    eventually(lambda: probe.state("probe-errors") == "ALARM")


def test_a_function_that_a_rule_cannot_invoke_leaves_the_event_in_its_dead_letter_queue(
    probe: Probe,
) -> None:
    probe.set_state("probe-quiet", "OK")
    probe.set_state("probe-quiet", "ALARM")
    left = eventually(lambda: probe.received("Undelivered"))
    assert left[0]["requestPayload"]["detail-type"] == "CloudWatch Alarm State Change"


def test_a_message_that_is_always_refused_soon_reaches_the_dead_letter_queue(
    probe: Probe,
) -> None:
    written = probe.aws.client("s3").put_object(
        Bucket=probe.outputs["Objects"], Key="captures/poison.jsonl", Body=b"poison"
    )
    started = time.monotonic()

    [event] = eventually(lambda: probe.received("DeadLetters"))

    assert time.monotonic() - started > 2  # a delay of 1 s and two retries of 1 s each
    assert event["detail"]["object"]["key"] == "captures/poison.jsonl"
    assert event["detail"]["object"]["version-id"] == written["VersionId"]


def test_a_layer_with_machine_code_gives_way_to_the_virtual_environment(probe: Probe) -> None:
    functions = probe.aws.client("lambda")
    layers = [
        functions.publish_layer_version(
            LayerName=name, Content={"ZipFile": archive(files)}, CompatibleArchitectures=["arm64"]
        )["LayerVersionArn"]
        for name, files in {
            "compiled": {
                "python/numpy/__init__.py": "raise ImportError('compiled for another machine')",
                "python/numpy/core.cpython-313-aarch64-linux-gnu.so": "",
            },
            "portable": {"python/portable.py": "NAME = 'from the layer'"},
        }.items()
    ]
    functions.create_function(
        FunctionName="import",
        Runtime="python3.13",
        Handler="index.handler",
        Role="arn:aws:iam::123456789012:role/any",
        Timeout=60,
        Layers=layers,
        Code={"ZipFile": archive({"index.py": IMPORT})},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="import")

    answer = json.loads(functions.invoke(FunctionName="import")["Payload"].read())

    assert answer == {"numpy": np.__version__, "portable": "from the layer"}


def test_a_state_machine_catches_a_function_error_by_its_name(probe: Probe) -> None:
    machines = probe.aws.client("stepfunctions")
    machine = probe.outputs["Machine"]
    started = machines.start_execution(stateMachineArn=machine, input="{}")["executionArn"]

    def ended() -> dict[str, Any] | None:
        described = dict(machines.describe_execution(executionArn=started))
        return None if described["status"] == "RUNNING" else described

    execution = eventually(ended)

    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"]) == {"machine": machine}
    [listed] = machines.list_executions(stateMachineArn=machine)["executions"]
    assert listed["executionArn"] == started


def test_a_browser_on_this_machine_reaches_a_function_by_its_url(probe: Probe) -> None:
    url = probe.outputs["EchoUrl"]
    assert url.startswith(f"{probe.aws.endpoint_url}/")
    config = probe.aws.client("lambda").get_function_url_config(FunctionName=probe.outputs["Echo"])
    assert config["FunctionUrl"] == url
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    with direct.open(f"{url}?monitor=flights&answer=approve", timeout=30) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert json.load(answer) == ["GET", "/", "monitor=flights&answer=approve", ""]

    with pytest.raises(urllib.error.HTTPError) as caught:
        direct.open(f"{url}?", data=b"id=a_-1&answer=approve", timeout=30)
    with caught.value as refused:
        assert refused.code == 410
        assert json.load(refused) == ["POST", "/", "", "id=a_-1&answer=approve"]


def test_a_stack_update_changes_a_composite_alarm_and_its_deletion_removes_it(
    probe: Probe,
) -> None:
    changed = template(rule="NOT ALARM(probe-quiet)")
    probe.cloudformation.update_stack(StackName="probe", TemplateBody=json.dumps(changed))
    probe.settled("UPDATE_COMPLETE")
    probe.set_state("probe-quiet", "OK")
    assert probe.state("probe") == "ALARM"

    probe.cloudformation.delete_stack(StackName="probe")
    eventually(lambda: probe.state("probe-quiet") is None)
    assert probe.state("probe") is None
