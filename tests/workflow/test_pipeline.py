"""A SageMaker pipeline trains the challenger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.sagemaker_world import IMAGE, ROLE
from tests.workflow.rollout_paths import PATHS
from tests.workflow.rollout_scene import Scene


def with_pipeline(seen: Scene, *, image: str = IMAGE) -> None:
    """Make the pipeline that the monitor names: one training step."""

    def channel(name: str, parameter: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": {"Get": f"Parameters.{parameter}"}}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    step = {
        "Name": "Fit",
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "HyperParameters": {"label": "late", "prediction": "score"},
            "InputDataConfig": [channel("train", "TrainUri"), channel("scoring", "ScoringUri")],
            "OutputDataConfig": {"S3OutputPath": {"Get": "Parameters.OutputUri"}},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }
    names = ("TrainUri", "ScoringUri", "OutputUri", "Team")
    definition = {
        "Version": "2020-12-01",
        "Parameters": [{"Name": name, "Type": "String"} for name in names],
        "Steps": [step],
    }
    seen.served.sagemaker.create_pipeline(
        PipelineName="Retrain",
        RoleArn=ROLE,
        PipelineDefinition=json.dumps(definition),
        ClientRequestToken="p" * 32,
    )


PIPELINE_TRAINER = {"pipeline": "Retrain", "parameters": {"Team": "risk"}}


def test_a_pipeline_trains_a_challenger_that_is_rolled_out(scene: Callable[..., Any]) -> None:
    with scene("direct", trainer=PIPELINE_TRAINER, image=IMAGE) as seen:
        with_pipeline(seen)
        assert seen.run()[1] == PATHS["pipeline"]
        seen.assert_promoted()
        assert seen.served.calls.count("start_pipeline_execution") == 1


def test_a_pipeline_that_fails_says_why(scene: Callable[..., Any]) -> None:
    with scene("direct", trainer=PIPELINE_TRAINER, image=IMAGE) as seen:
        with_pipeline(seen, image="absent:1")
        ended, path = seen.run()
        assert path == PATHS["pipeline fails"]
        assert "PipelineFailed" in ended["cause"]
        assert "Step failure" in seen.inbox.read()[-1]["text"]
        seen.assert_as_before("failed")


def test_a_pipeline_that_takes_too_long_is_stopped(scene: Callable[..., Any]) -> None:
    limited = {**PIPELINE_TRAINER, "max_runtime": "120s"}
    with scene("direct", trainer=limited, image=IMAGE) as seen:
        with_pipeline(seen)

        def never(real: Any, **arguments: Any) -> Any:
            return {**real(**arguments), "PipelineExecutionStatus": "Executing"}

        seen.served.replaced["describe_pipeline_execution"] = never
        ended, path = seen.run()
        assert path == PATHS["pipeline takes too long"]
        assert "within 120 s" in ended["cause"]
        assert seen.served.calls.count("describe_pipeline_execution") == 2
        seen.assert_as_before("failed")
