"""Training jobs and the model registry of the local SageMaker."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.unit.sagemaker_world import IMAGE, REGISTRY, ROLE, World, eventually


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
    world.account.objects["s3://store/one/train.csv"] = "\n".join(lines).encode()
    world.account.objects["s3://store/one/scoring.csv"] = b"x,word\n-3,a\n3,b\n"
    return world


def job(name: str = "job-1", **more: Any) -> dict[str, Any]:
    def channel(channel_name: str) -> dict[str, Any]:
        source = {
            "S3DataType": "S3Prefix",
            "S3DataDistributionType": "FullyReplicated",
            "S3Uri": f"s3://store/one/{channel_name}.csv",
        }
        return {
            "ChannelName": channel_name,
            "ContentType": "text/csv",
            "DataSource": {"S3DataSource": source},
        }

    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"label": "late", "prediction": "score"},
        "InputDataConfig": [channel("train"), channel("scoring")],
        "OutputDataConfig": {"S3OutputPath": "s3://store/models/v2"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    } | more


def finished(world: World, name: str = "job-1") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = world.sagemaker.describe_training_job(TrainingJobName=name)
        return None if found["TrainingJobStatus"] == "InProgress" else found

    return eventually(look, seconds=60)


def endless(**more: Any) -> dict[str, Any]:
    algorithm = {"TrainingImage": f"{REGISTRY}/endless:1", "TrainingInputMode": "File"}
    return job(AlgorithmSpecification=algorithm, **more)


def test_a_job_trains_scores_and_leaves_a_model_that_can_be_deployed(world: World) -> None:
    created = world.sagemaker.create_training_job(**job())
    assert created["TrainingJobArn"].endswith(":training-job/job-1")

    done = finished(world)

    assert done["TrainingJobStatus"] == "Completed", done
    artifacts = done["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifacts == "s3://store/models/v2/job-1/output/model.tar.gz"
    steps = [step["Status"] for step in done["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    packed = world.account.objects["s3://store/models/v2/job-1/output/output.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(packed)) as members:
        content = members.extractfile("predictions.csv")
        assert content is not None
        header, low, high = content.read().decode().split()
    assert header == "score"
    assert float(low) < 0.2 < 0.8 < float(high)
    [log] = world.account.logs.values()
    assert "log loss of training" in log
    world.sagemaker.create_model(
        ModelName="challenger", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifacts}
    )
    world.create_config("first", {"challenger": 1.0})
    world.create_endpoint("first")
    assert float(world.invoke("3,b")["Body"].read()) == float(high)
    kind, detail = next(event for event in reversed(world.account.events) if "Job" in event[0])
    assert kind == "SageMaker Training Job State Change"
    assert detail["TrainingJobStatus"] == "Completed"
    assert detail["CreationTime"] > 1e12  # milliseconds


def test_a_training_that_raises_fails_the_job_with_its_words(world: World) -> None:
    world.account.objects["s3://store/one/train.csv"] = (
        b"x,score,late,inference_time\n1,0.5,1,0\n2,0.5,1,1\n"
    )
    world.sagemaker.create_training_job(**job())
    done = finished(world)
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"] == (
        "AlgorithmError: TrainingError: all 2 labels are the same: nothing to learn, exit code: 1"
    )
    assert "ModelArtifacts" not in done
    assert not [uri for uri in world.account.objects if "models/v2" in uri]


def test_a_channel_without_objects_and_an_unknown_image_fail_the_job(world: World) -> None:
    del world.account.objects["s3://store/one/scoring.csv"]
    world.sagemaker.create_training_job(**job())
    assert "No S3 objects found under S3 URL" in finished(world)["FailureReason"]
    algorithm = {"TrainingImage": f"{REGISTRY}/nothing:1", "TrainingInputMode": "File"}
    world.sagemaker.create_training_job(**job("job-2", AlgorithmSpecification=algorithm))
    assert "nothing:1 does not exist here" in finished(world, "job-2")["FailureReason"]


def test_a_job_can_be_stopped(world: World) -> None:
    world.sagemaker.create_training_job(**endless())
    with pytest.raises(world.sagemaker.exceptions.ResourceInUse, match="must be unique"):
        world.sagemaker.create_training_job(**job())
    world.sagemaker.stop_training_job(TrainingJobName="job-1")
    done = finished(world)
    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Stopped", "Stopped")
    with pytest.raises(ClientError, match="is in status Stopped"):
        world.sagemaker.stop_training_job(TrainingJobName="job-1")


def test_a_job_ends_at_its_time_limit(world: World) -> None:
    world.sagemaker.create_training_job(**endless(StoppingCondition={"MaxRuntimeInSeconds": 1}))
    done = finished(world)
    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_job_that_is_not_there_cannot_be_described(world: World) -> None:
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        world.sagemaker.describe_training_job(TrainingJobName="nobody")


def specification(world: World) -> dict[str, Any]:
    world.put_model("s3://store/m.tar.gz")
    return {
        "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://store/m.tar.gz"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }


def test_versions_of_a_model_wait_for_approval(world: World) -> None:
    sagemaker = world.sagemaker
    sagemaker.create_model_package_group(ModelPackageGroupName="flights")
    with pytest.raises(ClientError, match="Model Package Group already exists"):
        sagemaker.create_model_package_group(ModelPackageGroupName="flights")
    arns = [
        sagemaker.create_model_package(
            ModelPackageGroupName="flights",
            InferenceSpecification=specification(world),
            CustomerMetadataProperties={"monitor": "flights"},
        )["ModelPackageArn"]
        for _ in range(2)
    ]
    assert arns[1].endswith(":model-package/flights/2")
    found = sagemaker.describe_model_package(ModelPackageName=arns[1])
    assert found["ModelPackageVersion"] == 2
    assert found["ModelApprovalStatus"] == "PendingManualApproval"

    sagemaker.update_model_package(
        ModelPackageArn=arns[1],
        ModelApprovalStatus="Approved",
        ApprovalDescription="better by .02",
        CustomerMetadataProperties={"experiment": "7"},
    )

    found = sagemaker.describe_model_package(ModelPackageName=arns[1])
    assert found["ModelApprovalStatus"] == "Approved"
    assert found["ApprovalDescription"] == "better by .02"
    assert found["CustomerMetadataProperties"] == {"monitor": "flights", "experiment": "7"}
    approved = sagemaker.list_model_packages(
        ModelPackageGroupName="flights", ModelApprovalStatus="Approved"
    )["ModelPackageSummaryList"]
    assert [one["ModelPackageArn"] for one in approved] == [arns[1]]
    kind, detail = world.account.events[-1]
    assert kind == "SageMaker Model Package State Change"
    assert detail["ModelApprovalStatus"] == "Approved"
    with pytest.raises(ClientError, match="it has model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName="flights")
    for arn in arns:
        sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName="flights")
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package(ModelPackageName=arns[0])


def test_a_model_can_be_made_from_a_package(world: World) -> None:
    world.sagemaker.create_model_package_group(ModelPackageGroupName="flights")
    arn = world.sagemaker.create_model_package(
        ModelPackageGroupName="flights", InferenceSpecification=specification(world)
    )["ModelPackageArn"]
    world.sagemaker.create_model(
        ModelName="champion", ExecutionRoleArn=ROLE, Containers=[{"ModelPackageName": arn}]
    )
    world.create_config("first", {"champion": 1.0})
    world.create_endpoint("first")
    assert 0 < float(world.invoke()["Body"].read()) < 1
