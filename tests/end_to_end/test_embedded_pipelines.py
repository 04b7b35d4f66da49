"""Pipelines of SageMaker in state machines, requests that are one expression, latencies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftgauge.experiments.latency import LatencySummary, latency_edges
from driftgauge.training.logistic import encode_model
from local.aws import EmbeddedAws
from tests.end_to_end.test_embedded_aws import eventually
from tests.unit.sagemaker_world import IMAGE, REGISTRY, ROLE, a_model, archive, variant
from tests.unit.test_local_sagemaker_pipelines import definition, training

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

# Step Functions does not wait for a pipeline by itself: it has to look.
TRAIN: dict[str, Any] = {
    "Start": {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sagemaker:startPipelineExecution",
        "Arguments": {
            "PipelineName": "Retraining",
            "ClientRequestToken": "{% $hash($states.context.Execution.Id, 'SHA-256') %}",
            "PipelineParameters": [{"Name": "Train", "Value": "{% $states.input.train %}"}],
        },
        "Assign": {"execution": "{% $states.result.PipelineExecutionArn %}"},
        "Next": "Wait",
    },
    "Wait": {"Type": "Wait", "Seconds": 30, "Next": "Look"},
    "Look": {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sagemaker:describePipelineExecution",
        "Arguments": {"PipelineExecutionArn": "{% $execution %}"},
        "Output": "{% $states.result %}",
        "Next": "Ended",
    },
    "Ended": {
        "Type": "Choice",
        "Choices": [
            {
                "Condition": "{% $states.input.PipelineExecutionStatus = 'Executing' %}",
                "Next": "Wait",
            },
            {
                "Condition": "{% $states.input.PipelineExecutionStatus = 'Succeeded' %}",
                "Next": "Steps",
            },
        ],
        "Default": "Failed",
    },
    "Steps": {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sagemaker:listPipelineExecutionSteps",
        "Arguments": {"PipelineExecutionArn": "{% $execution %}"},
        "Output": "{% $states.result.PipelineExecutionSteps[0].Metadata.TrainingJob.Arn %}",
        "End": True,
    },
    "Failed": {
        "Type": "Fail",
        "Error": "PipelineFailed",
        "Cause": "{% $states.input.FailureReason %}",
    },
}


def request_task(resource: str, following: str | None) -> dict[str, Any]:
    """A task whose whole request is in the next one of the steps that are its input."""
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}",
        "Arguments": "{% $states.input.request %}",
        "Assign": {"answer": "{% $states.result %}"},
        "Output": "{% $states.context.Execution.Input.then %}",
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {"error": "{% $states.errorOutput.Error %}"},
                "Output": {"cause": "{% $states.errorOutput.Cause %}"},
                "Next": "Refused",
            }
        ],
    } | ({"Next": following} if following else {"End": True})


class Account:
    """An endpoint, data to train on, a pipeline, and a queue that hears of it."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.sagemaker = aws.client("sagemaker")
        self.runtime = aws.client("sagemaker-runtime")
        self.states = aws.client("stepfunctions")
        self.s3 = aws.client("s3")
        self.s3.create_bucket(Bucket="store")
        numbers = np.linspace(-2, 2, 100)
        lines = ["x,word,score,late,inference_time"]
        lines += [f"{x},{'ab'[i % 2]},0.5,{int(x > 0.1)},{i}" for i, x in enumerate(numbers)]
        self.s3.put_object(Bucket="store", Key="train.csv", Body="\n".join(lines))
        self.s3.put_object(Bucket="store", Key="useless.csv", Body="\n".join(lines[:10]))
        model = {
            "model.json": encode_model(a_model()),
            "features.json": json.dumps(["x", "word"]).encode(),
        }
        self.s3.put_object(Bucket="store", Key="model.tar.gz", Body=archive(model))
        for name in ("champion", "challenger"):
            self.sagemaker.create_model(
                ModelName=name,
                ExecutionRoleArn=ROLE,
                PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://store/model.tar.gz"},
            )
        self.sagemaker.create_endpoint_config(
            EndpointConfigName="first", ProductionVariants=[variant("champion", 1.0)]
        )
        self.sagemaker.create_endpoint(EndpointName="flights", EndpointConfigName="first")
        self.sagemaker.create_pipeline(
            PipelineName="Retraining", RoleArn=ROLE, PipelineDefinition=definition(training())
        )
        self.settled()

    def settled(self) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName="flights")
            return found if found["EndpointStatus"] == "InService" else None

        return eventually(look)

    def start(self, states: dict[str, Any], given: Any) -> str:
        body = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        machine = self.states.create_state_machine(
            name=f"machine-{time.monotonic_ns()}", definition=json.dumps(body), roleArn=ROLE
        )["stateMachineArn"]
        started: str = self.states.start_execution(
            stateMachineArn=machine, input=json.dumps(given)
        )["executionArn"]
        return started

    def run(self, states: dict[str, Any], given: Any) -> dict[str, Any]:
        started = self.start(states, given)

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.states.describe_execution(executionArn=started)
            return None if found["status"] == "RUNNING" else found

        return eventually(look, seconds=60)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_AWS_IMAGES", json.dumps({"endless": "tests.unit.sagemaker_images"}))
        with EmbeddedAws(folder=tmp_path_factory.mktemp("aws")) as aws:
            yield Account(aws)


def test_a_state_machine_trains_by_a_pipeline_and_finds_its_model(account: Account) -> None:
    sqs, events = account.aws.client("sqs"), account.aws.client("events")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    pattern = {
        "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
        "detail": {"currentPipelineExecutionStatus": ["Succeeded"]},
    }
    events.put_rule(Name="trained", EventPattern=json.dumps(pattern))
    arn = "arn:aws:sqs:us-east-1:123456789012:heard"
    events.put_targets(Rule="trained", Targets=[{"Id": "heard", "Arn": arn}])

    done = account.run(TRAIN, {"train": "s3://store/train.csv"})

    assert done["status"] == "SUCCEEDED", done
    job = json.loads(done["output"]).rpartition("/")[2]
    keys = account.s3.list_objects_v2(Bucket="store", Prefix="models/")["Contents"]
    assert any(job in found["Key"].lower() for found in keys)
    [message] = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    event = json.loads(message["Body"])
    assert event["source"] == "aws.sagemaker"
    assert event["resources"] == [
        event["detail"]["pipelineArn"],
        event["detail"]["pipelineExecutionArn"],
    ]


def test_a_pipeline_that_fails_is_seen_by_the_state_machine(account: Account) -> None:
    done = account.run(TRAIN, {"train": "s3://store/useless.csv"})
    assert (done["status"], done["error"]) == ("FAILED", "PipelineFailed")
    assert done["cause"] == "Step failure: One or multiple steps failed."


def test_a_stopped_execution_stops_the_training_job_that_it_waits_for(account: Account) -> None:
    arguments = training()["Arguments"] | {
        "TrainingJobName": "endless",
        "AlgorithmSpecification": {
            "TrainingImage": f"{REGISTRY}/endless:1",
            "TrainingInputMode": "File",
        },
        "OutputDataConfig": {"S3OutputPath": "s3://store/models"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        },
    }
    del arguments["InputDataConfig"]
    train = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "Arguments": "{% $states.input %}",
        "TimeoutSeconds": 600,
        "End": True,
    }
    execution = account.start({"Train": train}, arguments)

    def status() -> str | None:
        try:
            found = account.sagemaker.describe_training_job(TrainingJobName="endless")
        except account.sagemaker.exceptions.ClientError:
            return None
        return str(found["TrainingJobStatus"])

    eventually(lambda: status() == "InProgress")
    account.states.stop_execution(executionArn=execution)
    eventually(lambda: status() == "Stopped")


def test_the_whole_request_of_a_task_may_be_one_expression(account: Account) -> None:
    states = {
        "Configure": request_task("sagemaker:createEndpointConfig", "Update"),
        "Update": request_task("sagemaker:updateEndpoint", "Wait"),
        "Wait": {
            "Type": "Wait",
            "Seconds": 120,
            "Output": "{% $states.context.Execution.Input.last %}",
            "Next": "Weigh",
        },
        "Weigh": request_task("aws-sdk:sagemaker:updateEndpointWeightsAndCapacities", None),
        "Refused": {
            "Type": "Fail",
            "Error": "{% $error %}",
            "Cause": "{% $states.input.cause %}",
        },
    }
    weights = {"champion": 0.75, "challenger": 0.25}
    given = {
        "request": {
            "EndpointConfigName": "ab",
            "ProductionVariants": [variant("champion", 1.0), variant("challenger", 0.0)],
        },
        "then": {"request": {"EndpointName": "flights", "EndpointConfigName": "ab"}},
        "last": {
            "request": {
                "EndpointName": "flights",
                "DesiredWeightsAndCapacities": [
                    {"VariantName": name, "DesiredWeight": weight}
                    for name, weight in weights.items()
                ],
            }
        },
    }
    done = account.run(states, given)
    assert done["status"] == "SUCCEEDED", done
    found = account.settled()
    assert found["EndpointConfigName"] == "ab"
    shown = {one["VariantName"]: one["CurrentWeight"] for one in found["ProductionVariants"]}
    assert shown == weights

    again = account.run(states, given)  # the configuration is there already

    assert (again["status"], again["error"]) == ("FAILED", "SageMaker.AmazonSageMakerException")
    assert again["cause"].startswith("Cannot create already existing endpoint configuration")


def test_latencies_of_each_variant_can_be_counted_by_cell(account: Account) -> None:
    account.settled()
    calls = 40
    names = [v["VariantName"] for v in account.settled()["ProductionVariants"]]
    for name in names:
        for _ in range(calls):
            account.runtime.invoke_endpoint(
                EndpointName="flights", TargetVariant=name, Body="1.5,a", ContentType="text/csv"
            )
    cloudwatch = account.aws.client("cloudwatch")
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    span = {"StartTime": start, "EndTime": start + timedelta(hours=2)}

    def measured(name: str, statistics: dict[str, str]) -> dict[str, list[float]]:
        dimensions = [
            {"Name": "EndpointName", "Value": "flights"},
            {"Name": "VariantName", "Value": name},
        ]
        metric = {
            "Namespace": "AWS/SageMaker",
            "MetricName": "ModelLatency",
            "Dimensions": dimensions,
        }
        queries = [
            {"Id": key, "MetricStat": {"Metric": metric, "Period": 7200, "Stat": statistic}}
            for key, statistic in statistics.items()
        ]
        results = cloudwatch.get_metric_data(MetricDataQueries=queries, **span)
        return {r["Id"]: r["Values"] for r in results["MetricDataResults"]}

    def complete() -> bool:
        return all(sum(measured(name, {"n": "SampleCount"})["n"]) >= calls for name in names)

    eventually(complete)
    for name in names:
        statistics = {f"c{edge}": f"TC(:{edge})" for edge in latency_edges()}
        plain = {"n": "SampleCount", "sum": "Sum", "low": "Minimum", "high": "Maximum"}
        found = {key: sum(v) for key, v in measured(name, statistics | plain).items()}
        reached = [found[f"c{edge}"] for edge in latency_edges()]
        assert reached == sorted(reached)
        assert reached[-1] == found["n"] >= calls
        summary = LatencySummary(
            counts=tuple(int(n) for n in np.diff([0.0, *reached, found["n"]])),
            total=round(found["sum"]),
            minimum=int(found["low"]),
            maximum=round(found["high"]) + 1,
        )
        assert summary.requests == found["n"]
        middle = measured(name, {"m": "p50"})["m"][0]
        quantile = summary.quantile(0.5)
        assert quantile is not None
        assert 0.7 < quantile / middle < 1.4
        [point] = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="ModelLatency",
            Dimensions=[
                {"Name": "EndpointName", "Value": "flights"},
                {"Name": "VariantName", "Value": name},
            ],
            Period=7200,
            ExtendedStatistics=["TC(:100000000)", "PR(:100000000)", "p90"],
            **span,
        )["Datapoints"]
        assert point["ExtendedStatistics"]["TC(:100000000)"] == found["n"]
        assert point["ExtendedStatistics"]["PR(:100000000)"] == 100.0
