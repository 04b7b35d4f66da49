"""Where SageMaker has put what it trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.errors import TrainingError
from driftgauge.store import LocalObjects, MonitorStore
from lambdas.retraining import PipelineRun, Plan, SageMakerJob
from lambdas.training_output import model_uri, read_predictions_file
from tests.unit.sagemaker_world import archive
from tests.unit.test_lambda_rollout_steps import VERSION
from tests.unit.test_lambda_rollout_steps import plan as a_plan

FOLDER = f"loans/models/{VERSION}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MonitorStore]:
    yield MonitorStore(objects=LocalObjects(tmp_path), monitor="loans")


def by(trainer: Any) -> Plan:
    job = SageMakerJob(name="job", output_uri=f"s3://store/{FOLDER}")
    return replace(a_plan(), trainer=trainer, sagemaker=job, pipeline=PipelineRun(name="churn"))


def put(store: MonitorStore, *files: str) -> None:
    """Write files below the output folder; an archive holds what its name has after a bang."""
    for name in files:
        place, _, inside = name.partition("!")
        data = archive({inside: b"0.5\n"}) if place.endswith(".tar.gz") else b"0.25\n"
        store.objects.write(f"{FOLDER}/{place}", data)


def test_a_training_job_says_itself_where_its_files_are(store: MonitorStore) -> None:
    put(store, "job/output/output.tar.gz!predictions.csv", "other/output/model.tar.gz!x")
    assert model_uri(store, by("sagemaker")) == f"s3://store/{FOLDER}/job/output/model.tar.gz"
    assert read_predictions_file(store, by("sagemaker"))[1] == b"0.5\n"


def test_a_training_job_without_predictions_is_told_where_to_write_them(
    store: MonitorStore,
) -> None:
    put(store, "job/output/output.tar.gz!else.csv")
    with pytest.raises(TrainingError, match=r"/opt/ml/output/data/predictions\.csv"):
        read_predictions_file(store, by("sagemaker"))


@pytest.mark.parametrize(
    ("files", "scores"),
    [
        (("predictions.csv",), b"0.25\n"),
        (("deep/down/predictions.csv",), b"0.25\n"),
        (("train/output/output.tar.gz!./predictions.csv",), b"0.5\n"),
        (
            ("a/output/output.tar.gz!predictions.csv", "b/output/output.tar.gz!metrics.json"),
            b"0.5\n",
        ),
        (("x/predictions.csv", "x/output.tar.gz!metrics.json", "old-predictions.csv"), b"0.25\n"),
    ],
)
def test_the_predictions_of_a_pipeline_are_found(
    store: MonitorStore, files: tuple[str, ...], scores: bytes
) -> None:
    put(store, *files)
    assert read_predictions_file(store, by("pipeline"))[1] == scores


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "there is none"),
        (("output.tar.gz!else",), "there is none"),
        (("a/predictions.csv", "b/predictions.csv"), r"there are 2: .*a/pred.*, .*b/pred"),
        (("a/predictions.csv", "b/output.tar.gz!predictions.csv"), "there are 2"),
    ],
)
def test_predictions_of_a_pipeline_that_are_not_there_once_are_refused(
    store: MonitorStore, files: tuple[str, ...], said: str
) -> None:
    put(store, *files)
    with pytest.raises(TrainingError, match=said):
        read_predictions_file(store, by("pipeline"))


def test_the_model_of_a_pipeline_is_found(store: MonitorStore) -> None:
    put(store, "train-1/output/model.tar.gz!x", "model.json", "old-model.tar.gz!x")
    assert model_uri(store, by("pipeline")) == (f"s3://store/{FOLDER}/train-1/output/model.tar.gz")


def test_a_model_of_a_pipeline_that_is_not_there_once_is_refused(store: MonitorStore) -> None:
    with pytest.raises(TrainingError, match=r"pipeline churn: .* but there is none"):
        model_uri(store, by("pipeline"))
    put(store, "a/model.tar.gz!x", "b/model.tar.gz!x")
    with pytest.raises(TrainingError, match="there are 2"):
        model_uri(store, by("pipeline"))


def test_an_archive_that_cannot_be_read_is_named(store: MonitorStore) -> None:
    for broken in (b"no archive", archive({"predictions.csv": b"0.5\n" * 5000})[:60]):
        store.objects.write(f"{FOLDER}/output.tar.gz", broken)
        with pytest.raises(TrainingError, match=r"output\.tar\.gz is no archive"):
            read_predictions_file(store, by("pipeline"))
