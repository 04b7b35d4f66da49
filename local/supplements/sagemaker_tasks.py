"""Tasks of a state machine call SageMaker, and wait for training jobs with ``.sync``.

AWS documentation: "Create and manage Amazon SageMaker AI jobs with Step Functions" and
"Learning to use AWS service SDK integrations in Step Functions" in the AWS Step Functions
Developer Guide. ministack's Step Functions knows neither the optimized integration
``arn:aws:states:::sagemaker:…`` nor ``arn:aws:states:::aws-sdk:sagemaker:…``.

A job that ends as ``Failed`` or ``Stopped`` fails its task with ``States.TaskFailed`` and the job's
description as the cause. Errors have the names that Step Functions gives them: an error that
SageMaker's API model does not name (such as ValidationException) is
``SageMaker.AmazonSageMakerException`` here and ``SageMaker.SageMakerException`` in an SDK
integration. A job whose execution is stopped is stopped, too.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from ministack.services import stepfunctions

from local.supplements.execution_endings import ExecutionEndedError, pause
from local.supplements.sagemaker import service

_PREFIX = "arn:aws:states:::sagemaker:"
_OPERATIONS = frozenset(
    {"createTrainingJob", "createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint"}
)
_NAMED = frozenset({"ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound"})
_POLL_SECONDS = 0.1


def install() -> None:
    """Register both kinds of integrations."""
    stepfunctions._SERVICE_DISPATCH[_PREFIX] = _integrate
    stepfunctions._AWS_SDK_SERVICE_MAP["sagemaker"] = {
        "target_prefix": "SageMaker",
        "protocol": "json",
    }
    stepfunctions._AWS_SDK_ERROR_PREFIX["sagemaker"] = "SageMaker"
    stepfunctions._AWS_SDK_ERROR_CODE_OVERRIDES["sagemaker"] = {
        "ValidationException": "SageMakerException",
        **{code: f"{code}Exception" for code in _NAMED},
    }


def _integrate(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    operation, _, pattern = resource.removeprefix(_PREFIX).partition(".")
    waits = pattern == "sync" and operation == "createTrainingJob"
    if operation not in _OPERATIONS or (pattern and not waits):
        raise stepfunctions._ExecutionError(
            "States.Runtime", f"{resource} is not there in the embedded AWS"
        )
    created = _call(operation[0].upper() + operation[1:], arguments)
    return _finished_job(arguments["TrainingJobName"]) if waits else created


def _call(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    from local.sagemaker import ApiError

    try:
        answer: dict[str, Any] = json.loads(service().call(operation, arguments) or b"{}")
    except ApiError as error:
        name = f"{error.code}Exception" if error.code in _NAMED else "AmazonSageMakerException"
        raise stepfunctions._ExecutionError(f"SageMaker.{name}", error.message) from error
    return answer


def _finished_job(name: str) -> dict[str, Any]:
    """Wait for a training job's end; moments are milliseconds, as in its events."""
    while True:
        job = _call("DescribeTrainingJob", {"TrainingJobName": name})
        if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            break
        try:
            pause(_POLL_SECONDS)
        except ExecutionEndedError:
            with contextlib.suppress(stepfunctions._ExecutionError):  # it may have ended
                _call("StopTrainingJob", {"TrainingJobName": name})
            raise
    shown = {
        member: int(value * 1000) if member.endswith("Time") else value
        for member, value in job.items()
    }
    if job["TrainingJobStatus"] != "Completed":
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(shown))
    return shown
