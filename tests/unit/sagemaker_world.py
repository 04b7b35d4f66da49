"""The local SageMaker behind boto3 clients, without a network; its account is in memory."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import numpy as np
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from driftgauge.columns import Column, TypeCounts
from driftgauge.training.logistic import LogisticModel, encode_model, train_logistic
from local.sagemaker import Pace, SageMaker
from local.sagemaker.surroundings import Location, MetricValues

Found = TypeVar("Found")

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
IMAGE = f"{REGISTRY}/driftgauge-logistic:1"
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://captures/live",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {
        "CsvContentTypes": ["text/csv"],
        "JsonContentTypes": ["application/json"],
    },
}


# One session for all clients: it reads SageMaker's large API model once.
SESSION = boto3.Session(
    aws_access_key_id="123456789012",
    aws_secret_access_key="embedded",
    region_name="us-east-1",
)


class MemoryAccount:
    """S3, alarms, metrics and events that a test looks at."""

    account = "123456789012"
    region = "us-east-1"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.alarms: dict[str, str] = {}
        self.metrics: list[MetricValues] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.logs: dict[str, str] = {}

    def read(self, place: Location) -> bytes:
        return self.objects[place.uri]

    def keys(self, prefix: Location) -> Iterator[str]:
        bucket = Location(prefix.bucket, "").uri
        yield from (uri.removeprefix(bucket) for uri in self.objects if uri.startswith(prefix.uri))

    def write(self, place: Location, data: bytes, *, content_type: str) -> None:
        self.objects[place.uri] = data

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.alarms[name] for name in names if name in self.alarms}

    def publish(self, metrics: Sequence[MetricValues]) -> None:
        self.metrics.extend(metrics)

    def send_event(self, *, kind: str, resources: Sequence[str], detail: dict[str, Any]) -> None:
        self.events.append((kind, json.loads(json.dumps(detail))))

    def log(self, *, group: str, stream: str, text: str) -> None:
        self.logs[f"{group}:{stream}"] = text

    def captured(self, prefix: str = "s3://captures/") -> list[dict[str, Any]]:
        """Every captured record below a prefix."""
        return [
            json.loads(line)
            for uri, data in self.objects.items()
            if uri.startswith(prefix)
            for line in data.splitlines()
        ]

    def measured(self, name: str, variant: str) -> list[float]:
        """The values of a metric of a variant, over all endpoint configurations."""
        return [
            value
            for metric in self.metrics
            if metric.name == name
            and dict(metric.dimensions).get("VariantName") == variant
            and len(metric.dimensions) == 2
            for value in metric.values
        ]


class Content(io.BytesIO):
    """The body of an HTTP response, as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class World:
    """The service with its clients, and a little model that scores by one number."""

    def __init__(self, **settings: Any) -> None:
        self.account = MemoryAccount()
        pace = Pace(haste=6000, provisioning=0.01, polling=0.005, shortest_baking=0)
        self.service = SageMaker(around=self.account, **({"pace": pace} | settings))
        self.sagemaker = self._client("sagemaker")
        self.runtime = self._client("sagemaker-runtime")

    def _client(self, name: str) -> Any:
        client: Any = SESSION.client(
            name,  # type: ignore[call-overload]
            config=Config(retries={"max_attempts": 0}),
        )
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        headers = {}
        for header, value in request.headers.items():
            headers[header.lower()] = value.decode() if isinstance(value, bytes) else value
        body = request.body or b""
        status, answered, content = self.service.respond(
            request.method,
            urlsplit(request.url).path,
            headers,
            body.encode() if isinstance(body, str) else body,
        )
        answer_headers = HTTPHeaders.from_dict(answered)
        return AWSResponse(request.url, status, answer_headers, Content(content))

    def post(self, operation: str, request: Any) -> tuple[int, dict[str, Any]]:
        """Send a request as it is, without what boto3 would check or leave out."""
        target = {"x-amz-target": f"SageMaker.{operation}"}
        status, _, body = self.service.respond("POST", "/", target, json.dumps(request).encode())
        return status, json.loads(body)

    def put_model(self, uri: str, *, direction: float = 1.0) -> LogisticModel:
        """Put the archive of a model with the inputs ``x`` and ``word`` into S3."""
        model = a_model(direction)
        files = {
            "model.json": encode_model(model),
            "features.json": json.dumps(["x", "word"]).encode(),
        }
        self.account.objects[uri] = archive(files)
        return model

    def create_model(self, name: str, *, direction: float = 1.0) -> LogisticModel:
        """Make a model of the built-in image."""
        uri = f"s3://store/{name}/model.tar.gz"
        model = self.put_model(uri, direction=direction)
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": uri},
        )
        return model

    def create_config(
        self, name: str, weights: dict[str, float], *, shadow: str | None = None, **more: Any
    ) -> None:
        """Make an endpoint configuration of models by weight.

        A variant has the name of its model; ``challenger as champion`` is a model with the name of
        another one's variant.
        """
        shadows = {} if shadow is None else {"ShadowProductionVariants": [variant(shadow, 1.0)]}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[variant(model, weight) for model, weight in weights.items()],
            **({"DataCaptureConfig": CAPTURE} | shadows | more),
        )

    def create_endpoint(self, config: str, **more: Any) -> None:
        """Make the endpoint ``flights`` and wait until it is in service."""
        self.sagemaker.create_endpoint(EndpointName="flights", EndpointConfigName=config, **more)
        self.wait("InService")

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName="flights")
        return found

    def wait(self, status: str) -> dict[str, Any]:
        """Wait until the endpoint has a status."""
        return eventually(
            lambda: found if (found := self.describe())["EndpointStatus"] == status else None
        )

    def invoke(self, body: str | bytes = "1.5,a", **more: Any) -> dict[str, Any]:
        """Ask the endpoint for the scores of CSV rows."""
        answer: dict[str, Any] = self.runtime.invoke_endpoint(
            EndpointName="flights", Body=body, **({"ContentType": "text/csv"} | more)
        )
        return answer

    def answering(self, calls: int) -> list[str]:
        """The variants that answer a number of calls."""
        return [self.invoke()["InvokedProductionVariant"] for _ in range(calls)]

    def directions(self, calls: int) -> list[str]:
        """Which way the models look that answer a number of calls."""
        scores = (float(self.invoke("1.5,a")["Body"].read()) for _ in range(calls))
        return ["up" if score > 0.5 else "down" for score in scores]


def variant(model: str, weight: float) -> dict[str, Any]:
    model, _, name = model.partition(" as ")
    return {
        "VariantName": name or model,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": weight,
    }


def a_model(direction: float = 1.0) -> LogisticModel:
    numbers = np.linspace(-2.0, 2.0, 40)
    words = np.arange(40, dtype=np.int32) % 2
    columns = {
        "x": Column(numbers=direction * numbers, types=TypeCounts(fractional=40)),
        "word": Column(
            numbers=np.full(40, np.nan), types=TypeCounts(text=40), codes=words, words=("a", "b")
        ),
    }
    labels = (numbers + 0.5 * words > 0.3).astype(np.float64)
    return train_logistic(
        columns,
        labels,
        version=f"v{direction:g}",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        min_category_rows=1,
    )


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            members.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def eventually(look: Callable[[], Found | None], *, seconds: float = 20) -> Found:
    """Return the first thing ``look`` finds; fail if it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
