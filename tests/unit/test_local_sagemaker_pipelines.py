"""Pipelines of the local SageMaker."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import ApiError
from local.sagemaker.pipeline_definition import read_definition
from tests.unit.sagemaker_world import IMAGE, REGISTRY, ROLE, World, eventually

PARAMETERS = [
    {"Name": "Train", "Type": "String"},
    {"Name": "Output", "Type": "String", "DefaultValue": "s3://store/models"},
    {"Name": "Volume", "Type": "Integer", "DefaultValue": 1},
]


def get(path: str) -> dict[str, str]:
    return {"Get": path}


def training(name: str = "Fit", *, image: str = IMAGE, **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": get("Parameters.Train")}
    arguments: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"label": "late", "prediction": "score"},
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": source}},
        ],
        "OutputDataConfig": {
            "S3OutputPath": {
                "Std:Join": {
                    "On": "/",
                    "Values": [get("Parameters.Output"), get("Execution.PipelineExecutionId")],
                }
            }
        },
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": get("Parameters.Volume"),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    return {"Name": name, "Type": "Training", "Arguments": arguments} | more


def definition(*steps: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": PARAMETERS, "Steps": steps} | more)


@pytest.fixture
def world() -> World:
    world = World(images={"endless": "tests.unit.sagemaker_images"})
    random = np.random.default_rng(1)
    numbers = random.normal(size=200)
    labels = numbers + random.normal(size=200) > 0
    lines = ["x,word,score,late,inference_time"]
    lines += [
        f"{x},{'ab'[row % 2]},0.5,{int(label)},{1_435_708_800 + row}"
        for row, (x, label) in enumerate(zip(numbers.tolist(), labels.tolist(), strict=True))
    ]
    world.account.objects["s3://store/train.csv"] = "\n".join(lines).encode()
    world.account.objects["s3://store/short.csv"] = "\n".join(lines[:1]).encode()
    return world


def create(world: World, *steps: dict[str, Any]) -> str:
    arn: str = world.sagemaker.create_pipeline(
        PipelineName="Retraining",
        RoleArn=ROLE,
        PipelineDefinition=definition(*(steps or (training(),))),
    )["PipelineArn"]
    return arn


def start(world: World, *, train: str = "s3://store/train.csv", **more: Any) -> str:
    arn: str = world.sagemaker.start_pipeline_execution(
        PipelineName="Retraining",
        PipelineParameters=[{"Name": "Train", "Value": train}],
        **more,
    )["PipelineExecutionArn"]
    return arn


def ended(world: World, arn: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = world.sagemaker.describe_pipeline_execution(
            PipelineExecutionArn=arn
        )
        running = found["PipelineExecutionStatus"] in ("Executing", "Stopping")
        return None if running else found

    return eventually(look, seconds=60)


def steps_of(world: World, arn: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.sagemaker.list_pipeline_execution_steps(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )["PipelineExecutionSteps"]
    return found


def job_of(world: World, step: dict[str, Any]) -> dict[str, Any]:
    """The job of a step; ARNs are in lower case, names are not."""
    arn = step["Metadata"]["TrainingJob"]["Arn"]
    names = {
        detail["TrainingJobName"]
        for _, detail in world.account.events
        if detail.get("TrainingJobArn") == arn
    }
    found: dict[str, Any] = world.sagemaker.describe_training_job(TrainingJobName=names.pop())
    return found


def test_an_execution_trains_with_its_parameters_under_a_name_of_its_own(world: World) -> None:
    arn = create(world)
    assert arn.endswith(":pipeline/retraining")

    execution = start(world, PipelineExecutionDisplayName="from-an-alarm")

    done = ended(world, execution)
    assert done["PipelineExecutionStatus"] == "Succeeded", steps_of(world, execution)
    assert done["PipelineExecutionDisplayName"] == "from-an-alarm"
    assert "FailureReason" not in done
    [step] = steps_of(world, execution)
    assert (step["StepName"], step["StepStatus"]) == ("Fit", "Succeeded")
    job = job_of(world, step)
    identifier = execution.rpartition("/")[2]
    assert job["TrainingJobName"].startswith(f"pipelines-{identifier}-Fit-")
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == (
        f"s3://store/models/{identifier}/{job['TrainingJobName']}/output/model.tar.gz"
    )
    assert job["ModelArtifacts"]["S3ModelArtifacts"] in world.account.objects
    assert job["ResourceConfig"]["VolumeSizeInGB"] == 1
    events = [d for kind, d in world.account.events if "Pipeline Execution Status" in kind]
    assert [event["currentPipelineExecutionStatus"] for event in events] == [
        "Executing",
        "Succeeded",
    ]
    assert events[1]["previousPipelineExecutionStatus"] == "Executing"
    assert events[1]["pipelineExecutionArn"] == execution
    assert events[1]["pipelineArn"] == arn


def test_steps_run_in_the_order_of_what_they_refer_to(world: World) -> None:
    second = training("Again")
    second["Arguments"]["InputDataConfig"].append(
        {
            "ChannelName": "before",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": get("Steps.Fit.ModelArtifacts.S3ModelArtifacts"),
                }
            },
        }
    )
    create(world, second, training())
    execution = start(world)
    assert ended(world, execution)["PipelineExecutionStatus"] == "Succeeded"
    assert [step["StepName"] for step in steps_of(world, execution)] == ["Fit", "Again"]
    first, again = (job_of(world, step) for step in steps_of(world, execution))
    channel = again["InputDataConfig"][1]["DataSource"]["S3DataSource"]
    assert channel["S3Uri"] == first["ModelArtifacts"]["S3ModelArtifacts"]


def test_a_step_that_fails_fails_the_execution_and_the_rest_does_not_run(world: World) -> None:
    create(world, training(), training("Again", DependsOn=["Fit"]))
    execution = start(world, train="s3://store/short.csv")
    done = ended(world, execution)
    assert done["PipelineExecutionStatus"] == "Failed"
    assert done["FailureReason"] == "Step failure: One or multiple steps failed."
    [step] = steps_of(world, execution)
    assert step["StepStatus"] == "Failed"
    assert step["FailureReason"].startswith("AlgorithmError: ")


def test_a_request_that_sagemaker_refuses_fails_its_step(world: World) -> None:
    step = training()
    del step["Arguments"]["OutputDataConfig"]
    create(world, step)
    execution = start(world)
    assert ended(world, execution)["PipelineExecutionStatus"] == "Failed"
    assert "OutputDataConfig" in steps_of(world, execution)[0]["FailureReason"]


def test_a_stopped_execution_stops_its_job(world: World) -> None:
    create(world, training(image=f"{REGISTRY}/endless:1"), training("Again", DependsOn=["Fit"]))
    execution = start(world)
    eventually(lambda: any("Metadata" in step for step in steps_of(world, execution)))
    with pytest.raises(ClientError, match="is running") as error:
        world.sagemaker.delete_pipeline(PipelineName="Retraining")
    assert error.value.response["Error"]["Code"] == "ConflictException"

    world.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)

    assert ended(world, execution)["PipelineExecutionStatus"] == "Stopped"
    [step] = steps_of(world, execution)
    assert step["StepStatus"] == "Stopped"
    assert job_of(world, step)["TrainingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="it is Stopped"):
        world.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    world.sagemaker.delete_pipeline(PipelineName="Retraining")
    with pytest.raises(world.sagemaker.exceptions.ResourceNotFound, match="does not exist"):
        world.sagemaker.describe_pipeline(PipelineName="Retraining")


def test_a_repeated_token_starts_nothing_new(world: World) -> None:
    create(world, training(image=f"{REGISTRY}/endless:1"))
    token = "one-and-the-same-execution-of-a-machine"
    executions = {start(world, ClientRequestToken=token) for _ in range(3)}
    assert len(executions) == 1
    world.sagemaker.stop_pipeline_execution(PipelineExecutionArn=executions.pop())


def test_parameters_have_to_be_those_of_the_definition(world: World) -> None:
    create(world)
    for parameters, words in (
        ([], r"Parameter \[Train\] has no value"),
        ([{"Name": "Trian", "Value": "x"}], r"\['Trian'\] are not in the pipeline definition"),
        (
            [{"Name": "Train", "Value": "x"}, {"Name": "Volume", "Value": "much"}],
            r"\[much\] of \[Volume\] is not of the type \[Integer\]",
        ),
        ([{"Name": "Train", "Value": "x"}] * 2, "is given twice"),
    ):
        with pytest.raises(ClientError, match=words) as error:
            world.sagemaker.start_pipeline_execution(
                PipelineName="Retraining", PipelineParameters=parameters
            )
        assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_pipeline_is_described_and_its_name_is_taken(world: World) -> None:
    arn = create(world)
    for name in ("Retraining", arn):
        found = world.sagemaker.describe_pipeline(PipelineName=name)
        assert (found["PipelineName"], found["PipelineStatus"]) == ("Retraining", "Active")
        assert json.loads(found["PipelineDefinition"])["Steps"][0]["Name"] == "Fit"
    with pytest.raises(ClientError, match="names must be unique"):
        create(world)


def test_a_definition_may_be_in_s3(world: World) -> None:
    world.account.objects["s3://store/pipeline.json"] = definition(training()).encode()
    place = {"Bucket": "store", "ObjectKey": "pipeline.json"}
    world.sagemaker.create_pipeline(
        PipelineName="Retraining", RoleArn=ROLE, PipelineDefinitionS3Location=place
    )
    with pytest.raises(ClientError, match="There is no pipeline definition at s3://store/other"):
        world.sagemaker.create_pipeline(
            PipelineName="Other",
            RoleArn=ROLE,
            PipelineDefinitionS3Location=place | {"ObjectKey": "other"},
        )
    with pytest.raises(ClientError, match="Exactly one of PipelineDefinition and"):
        world.sagemaker.create_pipeline(PipelineName="Other", RoleArn=ROLE)


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("no JSON", "Unable to parse pipeline definition", "ValidationException"),
        ('{"Steps": []}', "needs the Version 2020-12-01", "ValidationException"),
        (definition(), "has no steps", "ValidationException"),
        (definition(training(), training()), "each of them once", "ValidationException"),
        (
            definition({"Name": "Check", "Type": "Condition", "Arguments": {}}),
            "only Training is there, not Condition",
            "NotImplemented",
        ),
        (definition(training(CacheConfig={})), "CacheConfig", "NotImplemented"),
        (
            definition(training(DependsOn=["Nobody"])),
            r"steps that are not there: \['Nobody'\]",
            "ValidationException",
        ),
        (
            definition(training("A", DependsOn=["B"]), training("B", DependsOn=["A"])),
            "depend on each other",
            "ValidationException",
        ),
        (
            definition(training(), Parameters=[]),
            r"\[Parameters.Train\], which is not there",
            "ValidationException",
        ),
        (
            definition({"Name": "A", "Type": "Training", "Arguments": {"x": {"Std:Sum": [1]}}}),
            "Std:Sum is not there",
            "NotImplemented",
        ),
        (
            definition(training(), Parameters=[{"Name": "Train", "Type": "Map"}]),
            "needs one of the types",
            "ValidationException",
        ),
    ],
)
def test_definitions_that_are_wrong_or_too_much_are_refused(
    text: str, words: str, code: str
) -> None:
    with pytest.raises(ApiError, match=words) as error:
        read_definition(text)
    assert error.value.code == code
