"""What SageMaker has trained: where the model lies, and the scores that come with it.

A training job writes to a place that its name gives. Where the steps of a pipeline write below its
parameter ``OutputUri`` is the pipeline's own business: both files are looked for.
"""

from __future__ import annotations

import io
import tarfile

from driftgauge.errors import TrainingError
from driftgauge.store import MonitorStore
from lambdas.retraining import Plan

_LARGEST_PREDICTIONS = 256 * 1024 * 1024
_MODEL = "model.tar.gz"
_PREDICTIONS = "predictions.csv"
_ARCHIVE = "output.tar.gz"


def output_folder(store: MonitorStore, version: str) -> str:
    """Return the key below which SageMaker writes what it has trained.

    With the models, which are kept: what a retraining works on expires.
    """
    return store.model_key(version).rpartition("/")[0]


def trained_by_sagemaker(plan: Plan) -> bool:
    """Tell whether a training job or a pipeline trains."""
    return plan.trainer in ("sagemaker", "pipeline")


def model_uri(store: MonitorStore, plan: Plan) -> str:
    """Return where SageMaker put the challenger's ``model.tar.gz``.

    Raises
    ------
    TrainingError
        If there is none below ``OutputUri``, or more than one.
    """
    if plan.trainer == "sagemaker":
        return f"{plan.sagemaker.output_uri}/{plan.sagemaker.name}/output/{_MODEL}"
    found = _below(store, plan, _MODEL)
    return f"s3://{plan.bucket}/{_only(store, plan, found, _MODEL)}"


def read_predictions_file(store: MonitorStore, plan: Plan) -> tuple[str, bytes]:
    """Return the challenger's scores as CSV, and the key they were read from.

    Raises
    ------
    TrainingError
        If SageMaker wrote none, or more than one file of them.
    """
    if not trained_by_sagemaker(plan):
        return plan.files.predictions, store.objects.read(plan.files.predictions)
    if plan.trainer == "sagemaker":
        folder = output_folder(store, plan.version)
        key = f"{folder}/{plan.sagemaker.name}/output/{_ARCHIVE}"
        data = _packed(store, key)
        if data is None:
            raise TrainingError(
                f"{key} holds no {_PREDICTIONS}: the training job must write its score of every "
                f"row of the channel `scoring` to /opt/ml/output/data/{_PREDICTIONS}"
            )
        return key, data
    plain = _below(store, plan, _PREDICTIONS)
    packed = {key: _packed(store, key) for key in _below(store, plan, _ARCHIVE)}
    found = [*plain, *(key for key, data in packed.items() if data is not None)]
    key = _only(store, plan, found, _PREDICTIONS)
    data = packed.get(key)
    return key, store.objects.read(key) if data is None else data


def _below(store: MonitorStore, plan: Plan, name: str) -> list[str]:
    folder = f"{output_folder(store, plan.version)}/"
    return [info.key for info in store.objects.list(folder) if info.key.endswith(f"/{name}")]


def _only(store: MonitorStore, plan: Plan, found: list[str], name: str) -> str:
    if len(found) == 1:
        return found[0]
    place = f"{store.objects.uri}{output_folder(store, plan.version)}/"
    plain_or_packed = f", also inside of an {_ARCHIVE}" if name == _PREDICTIONS else ""
    what = f"pipeline {plan.pipeline.name}: {place} has to hold one {name}{plain_or_packed}"
    if not found:
        raise TrainingError(
            f"{what}, but there is none: let the step that trains write below the parameter "
            "OutputUri"
        )
    raise TrainingError(
        f"{what}, but there are {len(found)}: {', '.join(sorted(found)[:5])}. Let other steps "
        "write elsewhere"
    )


def _packed(store: MonitorStore, key: str) -> bytes | None:
    """Return ``predictions.csv`` out of an archive; None if it is not in there."""
    try:
        with tarfile.open(fileobj=io.BytesIO(store.objects.read(key)), mode="r:gz") as members:
            for member in members:
                if member.name.removeprefix("./") != _PREDICTIONS or not member.isfile():
                    continue
                if member.size > _LARGEST_PREDICTIONS:
                    raise TrainingError(f"{key}: {_PREDICTIONS} is larger than 256 MiB")
                content = members.extractfile(member)
                return None if content is None else content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TrainingError(f"{key} is no archive that can be read: {error}") from error
    return None
