"""SageMaker in the embedded AWS: its path of a state machine, events, metrics and alarms."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from driftgauge.training.logistic import encode_model
from local.aws import EmbeddedAws
from tests.end_to_end.test_embedded_aws import eventually
from tests.unit.sagemaker_world import (
    CAPTURE,
    IMAGE,
    REGISTRY,
    ROLE,
    a_model,
    archive,
    variant,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

# What a roll-out does: train, register, deploy behind an alarm, look how it went.
ROLL_OUT: dict[str, Any] = {
    "QueryLanguage": "JSONata",
    "StartAt": "Train",
    "States": {
        "Train": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
            "Arguments": {
                "TrainingJobName": "{% $states.input.version %}",
                "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
                "RoleArn": ROLE,
                "HyperParameters": {"label": "late", "prediction": "score"},
                "InputDataConfig": [
                    {
                        "ChannelName": "train",
                        "DataSource": {
                            "S3DataSource": {
                                "S3DataType": "S3Prefix",
                                "S3Uri": "{% $states.input.train %}",
                            }
                        },
                    }
                ],
                "OutputDataConfig": {"S3OutputPath": "s3://store/models"},
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 1,
                },
                "StoppingCondition": {"MaxRuntimeInSeconds": "{% $states.input.limit %}"},
            },
            "TimeoutSeconds": "{% $states.input.limit + 60 %}",
            "Assign": {
                "version": "{% $states.input.version %}",
                "artifact": "{% $states.result.ModelArtifacts.S3ModelArtifacts %}",
            },
            "Catch": [
                {
                    "ErrorEquals": ["States.TaskFailed"],
                    "Output": {"cause": "{% $parse($states.errorOutput.Cause).FailureReason %}"},
                    "Next": "Failed",
                }
            ],
            "Next": "Register",
        },
        "Register": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:createModelPackage",
            "Arguments": {
                "ModelPackageGroupName": "flights",
                "InferenceSpecification": {
                    "Containers": [{"Image": IMAGE, "ModelDataUrl": "{% $artifact %}"}],
                    "SupportedContentTypes": ["text/csv"],
                    "SupportedResponseMIMETypes": ["text/csv"],
                },
            },
            "Assign": {"package": "{% $states.result.ModelPackageArn %}"},
            "Next": "Approve",
        },
        "Approve": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:updateModelPackage",
            "Arguments": {"ModelPackageArn": "{% $package %}", "ModelApprovalStatus": "Approved"},
            "Next": "Model",
        },
        "Model": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createModel",
            "Arguments": {
                "ModelName": "{% $version %}",
                "ExecutionRoleArn": ROLE,
                "Containers": [{"ModelPackageName": "{% $package %}"}],
            },
            "Next": "Configure",
        },
        "Configure": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createEndpointConfig",
            "Arguments": {
                "EndpointConfigName": "{% $version %}",
                "ProductionVariants": [variant("champion", 1.0) | {"ModelName": "{% $version %}"}],
                "DataCaptureConfig": CAPTURE,
            },
            "Next": "Deploy",
        },
        "Deploy": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:updateEndpoint",
            "Arguments": {
                "EndpointName": "flights",
                "EndpointConfigName": "{% $version %}",
                "DeploymentConfig": {
                    "BlueGreenUpdatePolicy": {
                        "TrafficRoutingConfiguration": {
                            "Type": "CANARY",
                            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                            "WaitIntervalInSeconds": 60,
                        },
                        "TerminationWaitInSeconds": 0,
                    },
                    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "flights-errors"}]},
                },
            },
            "Catch": [
                {
                    "ErrorEquals": ["SageMaker.AmazonSageMakerException"],
                    "Output": {"cause": "{% $states.errorOutput.Cause %}"},
                    "Next": "Failed",
                }
            ],
            "Next": "Wait",
        },
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Look"},
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
            "Arguments": {"EndpointName": "flights"},
            "Output": "{% $states.result %}",
            "Next": "Done",
        },
        "Done": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input.EndpointStatus = 'InService' %}", "Next": "Served"}
            ],
            "Default": "Wait",
        },
        "Served": {
            "Type": "Succeed",
            "Output": {"config": "{% $states.input.EndpointConfigName %}"},
        },
        "Failed": {"Type": "Succeed"},
    },
}


class Account:
    """An endpoint with a champion, its buckets, an alarm on its errors, and the machine."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.s3 = aws.client("s3")
        self.sagemaker = aws.client("sagemaker")
        self.runtime = aws.client("sagemaker-runtime")
        self.sqs = aws.client("sqs")
        self.states = aws.client("stepfunctions")
        for bucket in ("store", "captures"):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_bucket_notification_configuration(
            Bucket="captures", NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self.heard = self._listen()
        self._put_training_data()
        model = {
            "model.json": encode_model(a_model()),
            "features.json": json.dumps(["x", "word"]).encode(),
        }
        self.s3.put_object(Bucket="store", Key="champion.tar.gz", Body=archive(model))
        self.sagemaker.create_model(
            ModelName="champion",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://store/champion.tar.gz"},
        )
        self.sagemaker.create_endpoint_config(
            EndpointConfigName="champion",
            ProductionVariants=[variant("champion", 1.0)],
            DataCaptureConfig=CAPTURE,
        )
        self.sagemaker.create_endpoint(EndpointName="flights", EndpointConfigName="champion")
        self.settled()
        aws.client("cloudwatch").put_metric_alarm(
            AlarmName="flights-errors",
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[
                {"Name": "EndpointName", "Value": "flights"},
                {"Name": "VariantName", "Value": "champion"},
            ],
            Statistic="Sum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
        template = {
            "Resources": {
                "Versions": {
                    "Type": "AWS::SageMaker::ModelPackageGroup",
                    "Properties": {"ModelPackageGroupName": "flights"},
                }
            },
            "Outputs": {"Arn": {"Value": {"Ref": "Versions"}}},
        }
        cloudformation = aws.client("cloudformation")
        cloudformation.create_stack(StackName="registry", TemplateBody=json.dumps(template))
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="registry", WaiterConfig={"Delay": 1}
        )
        self.machine = self.states.create_state_machine(
            name="roll-out", definition=json.dumps(ROLL_OUT), roleArn=ROLE
        )["stateMachineArn"]

    def _listen(self) -> str:
        """Return the URL of a queue that hears of captures and of SageMaker's own events."""
        url: str = self.sqs.create_queue(QueueName="heard")["QueueUrl"]
        events = self.aws.client("events")
        for name, source in (("captures", "aws.s3"), ("sagemaker", "aws.sagemaker")):
            events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))
            arn = "arn:aws:sqs:us-east-1:123456789012:heard"
            events.put_targets(Rule=name, Targets=[{"Id": "heard", "Arn": arn}])
        return url

    def _put_training_data(self) -> None:
        numbers = np.linspace(-2, 2, 100)
        lines = ["x,word,score,late,inference_time"]
        lines += [f"{x},{'ab'[i % 2]},0.5,{int(x > 0.1)},{i}" for i, x in enumerate(numbers)]
        self.s3.put_object(Bucket="store", Key="train.csv", Body="\n".join(lines))
        self.s3.put_object(Bucket="store", Key="useless.csv", Body="\n".join(lines[:10]))

    def received(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=self.heard, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.heard, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def hear(self, kind: str, **detail: Any) -> dict[str, Any]:
        """Wait for an event whose detail has some members."""
        return eventually(
            lambda: next(
                (
                    event
                    for event in self.received()
                    if event["detail-type"] == kind
                    and all(event["detail"].get(k) == v for k, v in detail.items())
                ),
                None,
            )
        )

    def settled(self) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName="flights")
            return found if found["EndpointStatus"] == "InService" else None

        return eventually(look)

    def invoke(self, body: str = "1.5,a", **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.runtime.invoke_endpoint(
            EndpointName="flights", Body=body, ContentType="text/csv", **more
        )
        return answer

    def roll_out(self, version: str, *, train: str = "train.csv") -> dict[str, Any]:
        """Run the state machine to its end and return its output."""
        started = self.states.start_execution(
            stateMachineArn=self.machine,
            input=json.dumps({"version": version, "train": f"s3://store/{train}", "limit": 120}),
        )["executionArn"]

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.states.describe_execution(executionArn=started)
            return None if found["status"] == "RUNNING" else found

        done = eventually(look, seconds=60)
        assert done["status"] == "SUCCEEDED", done
        output: dict[str, Any] = json.loads(done["output"])
        return output


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_AWS_IMAGES", json.dumps({"odd": "tests.unit.sagemaker_images"}))
        patch.setenv("EMBEDDED_AWS_HASTE", "30")
        with EmbeddedAws(folder=tmp_path_factory.mktemp("aws")) as aws:
            yield Account(aws)


def test_a_captured_file_is_an_event_as_any_object_is(account: Account) -> None:
    answer = account.invoke("1.5,a\n0.5,b", InferenceId="row-1")
    assert len(answer["Body"].read().splitlines()) == 2

    event = account.hear("Object Created")

    key = event["detail"]["object"]["key"]
    assert key.startswith("live/flights/champion/")
    content = account.s3.get_object(Bucket="captures", Key=key)["Body"].read()
    assert json.loads(content.splitlines()[0])["eventMetadata"]["inferenceId"] == "row-1"


def test_errors_come_to_boto3_as_those_of_aws(account: Account) -> None:
    with pytest.raises(account.runtime.exceptions.ModelError, match=r"client error \(400\)"):
        account.invoke("1,2,3,4")
    with pytest.raises(account.runtime.exceptions.ValidationError, match="Variant x not found"):
        account.invoke(TargetVariant="x")
    with pytest.raises(ClientError) as error:
        account.sagemaker.describe_endpoint(EndpointName="nobody")
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_state_machine_trains_registers_and_deploys(account: Account) -> None:
    assert account.roll_out("v2") == {"config": "v2"}

    group = account.sagemaker.list_model_packages(
        ModelPackageGroupName="flights", ModelApprovalStatus="Approved"
    )
    assert [p["ModelPackageVersion"] for p in group["ModelPackageSummaryList"]] == [1]
    event = account.hear("SageMaker Endpoint State Change", EndpointConfigName="v2")
    assert event["detail"]["EndpointStatus"] == "IN_SERVICE"
    assert float(account.invoke("2,a")["Body"].read()) > 0.9


def test_a_training_that_fails_is_caught_with_its_reason(account: Account) -> None:
    before = account.settled()["EndpointConfigName"]
    output = account.roll_out("v3", train="useless.csv")
    assert "all 9 labels are the same" in output["cause"]
    assert account.settled()["EndpointConfigName"] == before


def test_a_task_that_sagemaker_refuses_is_caught_by_the_name_of_the_error(
    account: Account,
) -> None:
    machine = account.states.create_state_machine(
        name="refused",
        definition=json.dumps(
            {
                "QueryLanguage": "JSONata",
                "StartAt": "Describe",
                "States": {
                    "Describe": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeModel",
                        "Arguments": {"ModelName": "nobody"},
                        "Catch": [
                            {"ErrorEquals": ["SageMaker.SageMakerException"], "Next": "Create"}
                        ],
                        "End": True,
                    },
                    "Create": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::sagemaker:createModel",
                        "Arguments": {"ModelName": "m", "Unknown": 1},
                        "End": True,
                    },
                },
            }
        ),
        roleArn=ROLE,
    )["stateMachineArn"]
    started = account.states.start_execution(stateMachineArn=machine)["executionArn"]

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = account.states.describe_execution(executionArn=started)
        return None if found["status"] == "RUNNING" else found

    done = eventually(look)
    assert (done["status"], done["error"]) == ("FAILED", "SageMaker.AmazonSageMakerException")
    assert 'Unknown parameter in input: "Unknown"' in done["cause"]


def test_errors_of_a_canary_ring_the_alarm_that_rolls_it_back(account: Account) -> None:
    before = account.settled()["EndpointConfigName"]
    account.sagemaker.create_model(
        ModelName="broken",
        PrimaryContainer={"Image": f"{REGISTRY}/odd:1", "Environment": {"RAISE": "out of memory"}},
    )
    account.sagemaker.create_endpoint_config(
        EndpointConfigName="broken",
        ProductionVariants=[variant("champion", 1.0) | {"ModelName": "broken"}],
    )
    deployment = dict(ROLL_OUT["States"]["Deploy"]["Arguments"]["DeploymentConfig"])
    deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] = (
        1800
    )
    account.sagemaker.update_endpoint(
        EndpointName="flights", EndpointConfigName="broken", DeploymentConfig=deployment
    )

    def look() -> bool:
        with contextlib.suppress(account.runtime.exceptions.ModelError):
            account.invoke()
        found = account.sagemaker.describe_endpoint(EndpointName="flights")
        return bool(found["EndpointStatus"] in ("RollingBack", "InService"))

    eventually(look, seconds=30)

    assert account.settled()["EndpointConfigName"] == before
    assert all(float(account.invoke("2,a")["Body"].read()) > 0.9 for _ in range(10))
