"""The local SageMaker on moto's S3 and CloudWatch: what roll-outs change and look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.models import botocore_stubber

from local.sagemaker import Pace, SageMaker
from local.sagemaker.surroundings import Location
from tests.unit import sagemaker_world
from tests.unit.sagemaker_world import IMAGE, ROLE, SESSION, MemoryAccount, archive, variant

NAME = "loans-endpoint"
CHAMPION = "AllTraffic"
CHALLENGER = "challenger"
BEFORE = "as-before"
GROUP = "loans"
Call = Callable[..., Any]


class MotoAccount(MemoryAccount):
    """The account that moto is: S3 and alarms."""

    def __init__(self) -> None:
        super().__init__()
        self._s3: Any = boto3.client("s3")
        self._cloudwatch: Any = boto3.client("cloudwatch")

    def read(self, place: Location) -> bytes:
        if place.uri in self.objects:
            return self.objects[place.uri]
        try:
            found: bytes = self._s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        except ClientError as error:
            raise KeyError(place.uri) from error
        return found

    def keys(self, prefix: Location) -> Iterator[str]:
        yield from super().keys(prefix)
        pages = self._s3.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
                yield from (one["Key"] for one in page.get("Contents", []))
        except self._s3.exceptions.NoSuchBucket:
            return

    def write(self, place: Location, data: bytes, *, content_type: str) -> None:
        self._s3.put_object(Bucket=place.bucket, Key=place.key, Body=data, ContentType=content_type)

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        found = self._cloudwatch.describe_alarms(AlarmNames=list(names))
        alarms = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}


class Serving(sagemaker_world.World):
    """An endpoint that serves the champion, and what the state machine's tasks call.

    Attributes
    ----------
    calls : list of str
        Operations that the state machine called, in order.
    replaced : dict of str to callable
        What answers an operation instead, by its name in boto3; it gets the operation and its
        arguments.
    """

    def __init__(self) -> None:
        self.account = MotoAccount()
        pace = Pace(haste=6000, provisioning=0.01, polling=0.005, shortest_baking=0.3)
        self.service = SageMaker(around=self.account, pace=pace)
        self.sagemaker = self._client("sagemaker")
        self.runtime = self._client("sagemaker-runtime")
        self.calls: list[str] = []
        self.replaced: dict[str, Call] = {}
        self.create_model("champion")
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=BEFORE,
            ProductionVariants=[variant(f"champion as {CHAMPION}", 1.0)],
            DataCaptureConfig=sagemaker_world.CAPTURE,
        )
        self.sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=BEFORE)
        self.wait("InService")
        self.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)

    def _client(self, name: str) -> Any:
        client: Any = SESSION.client(
            name,  # type: ignore[call-overload]
            config=Config(retries={"max_attempts": 0}),
        )
        # moto answers as well, with what it does not have.
        client.meta.events.unregister("before-send", botocore_stubber)
        client.meta.events.register("before-send", self._answer)
        return client

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=NAME)
        return found

    def weights(self) -> dict[str, float]:
        """The weight of every production variant."""
        return {
            one["VariantName"]: one["CurrentWeight"]
            for one in self.describe()["ProductionVariants"]
        }

    def serves_as_before(self) -> bool:
        """Whether configuration, weights and status are those from before all roll-outs."""
        found = self.describe()
        return (
            found["EndpointConfigName"] == BEFORE
            and found["EndpointStatus"] == "InService"
            and self.weights() == {CHAMPION: 1.0}
        )

    def packages(self) -> list[dict[str, Any]]:
        """The model packages in the group, as they are described."""
        found = self.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)
        return [
            self.sagemaker.describe_model_package(ModelPackageName=one["ModelPackageArn"])
            for one in found["ModelPackageSummaryList"]
        ]


class Tasks:
    """What tasks of the state machine have for a client of SageMaker: plain JSON comes back."""

    def __init__(self, served: Serving) -> None:
        self._served = served

    def __getattr__(self, operation: str) -> Call:
        served = self._served

        def call(**arguments: Any) -> Any:
            served.calls.append(operation)
            real = getattr(served.sagemaker, operation)
            try:
                if operation in served.replaced:
                    answer = served.replaced[operation](real, **arguments)
                else:
                    answer = real(**arguments)
            except ClientError as error:
                # moto looks for it.
                error.response["ResponseMetadata"]["RequestId"] = "request"
                raise
            return json.loads(json.dumps(answer, default=str))

        return call


@contextmanager
def serving(patch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Yield an endpoint; tasks and functions call its SageMaker in place of moto's."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_aws_sdk,
    )

    served = Serving()
    client_of = boto3.client
    task_client_of: Any = vars(state_task_service_aws_sdk)["boto_client_for"]

    def client(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "sagemaker":
            return served.sagemaker
        return client_of(name, *arguments, **options)  # type: ignore[call-overload]

    def task_client(region: str, service: str, state_credentials: Any = None) -> Any:
        if service == "sagemaker":
            return Tasks(served)
        return task_client_of(region=region, service=service, state_credentials=state_credentials)

    patch.setattr(boto3, "client", client)
    patch.setattr(state_task_service_aws_sdk, "boto_client_for", task_client)
    yield served


def model_archive(model: bytes) -> bytes:
    """Pack a model that the built-in trainer wrote, as a training job leaves it."""
    return archive({"model.json": model, "features.json": b'["amount", "region"]'})


TRAINER: dict[str, Any] = {
    "image": IMAGE,
    "role_arn": ROLE,
    "hyperparameters": {"label": "late", "prediction": "score"},
}
