"""The service: operations by name, and the two protocols that clients speak.

The control plane speaks JSON 1.1 (``X-Amz-Target: SageMaker.CreateModel``), the runtime REST
with the payload as the body (``POST /endpoints/{name}/invocations``).
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel

from driftgauge.windows import parse_time
from local.sagemaker.capturing import Captures
from local.sagemaker.catalogue import Catalogue
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import ApiError, invalid, refused_invocation
from local.sagemaker.images import BUILT_IN, Images
from local.sagemaker.invocation import Invocations
from local.sagemaker.metering import Meter
from local.sagemaker.pace import Pace
from local.sagemaker.packages import Registry
from local.sagemaker.pipelines import Pipelines
from local.sagemaker.replaying import TIME_HEADER
from local.sagemaker.shapes import answer_of, checked_request, service_model
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.training import TrainingJobs

_logger = logging.getLogger("sagemaker")
_TARGET = "SageMaker."
_INVOCATION = re.compile(r"/endpoints/(?P<name>[^/]+)/invocations")
_PUBLISH_SECONDS = 1.0
_CAPTURE_SECONDS = 60.0

Answer = tuple[int, dict[str, str], bytes]
Operation = Callable[[dict[str, Any]], Mapping[str, Any]]


class SageMaker:
    """SageMaker of one account and region.

    Parameters
    ----------
    around : Surroundings
        The rest of the account.
    pace : Pace, optional
    images : mapping of str to str, optional
        Modules by name of the repository, besides the built-in ones.
    seed : int, optional
        Of the dice that choose variants and samples: the same requests in the same order get the
        same variants.
    """

    def __init__(
        self,
        *,
        around: Surroundings,
        pace: Pace | None = None,
        images: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        self._pace = pace or Pace()
        known = Images({**BUILT_IN, **(images or {})})
        self._registry = Registry(around=around)
        catalogue = Catalogue(around=around, containers_of=self._registry.containers)
        endpoints = Endpoints(catalogue=catalogue, images=known, around=around, pace=self._pace)
        jobs = TrainingJobs(images=known, around=around, pace=self._pace)
        pipelines = Pipelines(jobs=jobs, around=around, pace=self._pace)
        dice = random.Random(seed)  # noqa: S311 - a share of the traffic is no secret
        self._captures = Captures(around=around, dice=dice)
        self._meter = Meter(around=around)
        self._invocations = Invocations(
            endpoints=endpoints,
            names=catalogue.names,
            captures=self._captures,
            meter=self._meter,
            dice=dice,
        )
        self._operations: dict[str, Operation] = {
            "CreateModel": catalogue.create_model,
            "DescribeModel": catalogue.describe_model,
            "DeleteModel": catalogue.delete_model,
            "CreateEndpointConfig": catalogue.create_config,
            "DescribeEndpointConfig": catalogue.describe_config,
            "DeleteEndpointConfig": catalogue.delete_config,
            "CreateEndpoint": endpoints.create,
            "DescribeEndpoint": endpoints.describe,
            "UpdateEndpoint": endpoints.update,
            "UpdateEndpointWeightsAndCapacities": endpoints.update_weights,
            "DeleteEndpoint": endpoints.delete,
            "CreateTrainingJob": jobs.create,
            "DescribeTrainingJob": jobs.describe,
            "StopTrainingJob": jobs.stop,
            "CreatePipeline": pipelines.create,
            "DescribePipeline": pipelines.describe,
            "DeletePipeline": pipelines.delete,
            "StartPipelineExecution": pipelines.start,
            "DescribePipelineExecution": pipelines.describe_execution,
            "StopPipelineExecution": pipelines.stop,
            "ListPipelineExecutionSteps": pipelines.list_steps,
            "CreateModelPackageGroup": self._registry.create_group,
            "DescribeModelPackageGroup": self._registry.describe_group,
            "DeleteModelPackageGroup": self._registry.delete_group,
            "CreateModelPackage": self._registry.create,
            "DescribeModelPackage": self._registry.describe,
            "UpdateModelPackage": self._registry.update,
            "ListModelPackages": self._registry.list_packages,
            "DeleteModelPackage": self._registry.delete,
        }

    def start(self) -> None:
        """Publish metrics every second, and write captures every minute of ``Pace``."""
        for work, seconds in (
            (self._meter.publish, _PUBLISH_SECONDS),
            (self._captures.write, self._pace.shortened(_CAPTURE_SECONDS)),
        ):
            threading.Thread(target=_every, args=(seconds, work), daemon=True).start()

    def settle(self) -> None:
        """Wait for shadows that are under way; publish and write what has been collected."""
        self._invocations.settle()
        self._captures.write()
        self._meter.publish()

    def call(self, operation: str, request: Any) -> bytes:
        """Check a request to the control plane, and answer it as JSON.

        Raises
        ------
        ApiError
        """
        model = service_model("sagemaker")
        if operation not in model.operation_names:
            raise ApiError("UnknownOperationException", f"there is no operation {operation}")
        if operation not in self._operations:
            raise ApiError(
                "NotImplemented", f"{operation} is not there in the embedded AWS", status=501
            )
        shape = model.operation_model(operation)
        answer = self._operations[operation](checked_request(shape, request))
        return answer_of(shape, answer)

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer an HTTP request of either protocol.

        Parameters
        ----------
        method, path : str
        headers : mapping of str to str
            Names in lower case.
        body : bytes

        Returns
        -------
        status, headers, body
        """
        invocation = _INVOCATION.fullmatch(path)
        try:
            if invocation and method == "POST":
                return self._invoke(unquote(invocation["name"]), headers, body)
            target = headers.get("x-amz-target", "")
            if not target.startswith(_TARGET):
                raise ApiError("UnknownOperationException", f"no operation at {method} {path}")
            answer = self.call(target.removeprefix(_TARGET), _parsed(body))
        except ApiError as error:
            return _refusal(error)
        except Exception:
            _logger.exception("%s %s %s", method, path, headers.get("x-amz-target", ""))
            return _refusal(ApiError("InternalFailure", "see the log", status=500))
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, answer

    def _invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
        shape = service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
        request = {"EndpointName": name, **_members(shape, headers)}
        try:
            # The body's own limit counts as well; its bytes are the payload, not JSON.
            checked_request(shape, request | {"Body": body})
        except ApiError as error:
            raise refused_invocation(error.message) from error
        invoked = self._invocations.invoke(
            request | {"Body": body}, moment=_moment(headers.get(TIME_HEADER))
        )
        answer = {
            "Content-Type": invoked.reply.content_type,
            "x-Amzn-Invoked-Production-Variant": invoked.variant,
        }
        return 200, answer, invoked.reply.body


def _members(shape: OperationModel, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the members of an input shape that stand in headers."""
    members: dict[str, str] = {}
    inputs = shape.input_shape
    for name, member in inputs.members.items() if inputs else ():
        place = member.serialization
        if place.get("location") == "header" and place["name"].lower() in headers:
            members[name] = headers[place["name"].lower()]
    return members


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"the request is not JSON: {error}") from error


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise invalid(f"{TIME_HEADER}: {error}") from error


def _refusal(error: ApiError) -> Answer:
    text = {"__type": error.code, "message": error.message, "Message": error.message}
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-ErrorType": error.code,
    }
    return error.status, headers, json.dumps(text | error.members).encode()


def _every(seconds: float, work: Callable[[], None]) -> None:
    pause = threading.Event()
    while not pause.wait(seconds):
        work()
