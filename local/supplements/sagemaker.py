"""SageMaker: models, endpoints, deployments, training jobs, data capture.

AWS documentation: "Amazon SageMaker Service" and "Amazon SageMaker Runtime" in the Amazon
SageMaker AI API Reference. ministack has no SageMaker at all. ``local.sagemaker`` is one; here it
is put behind the same endpoint URL as everything else and connected with the account's S3,
CloudWatch and EventBridge. It knows the embedded AWS's one account and region.

Two variables of the environment change it: ``EMBEDDED_AWS_HASTE``, what the waits of deployments
are divided by (60 by default), and ``EMBEDDED_AWS_IMAGES``, a JSON object of further images,
modules by name of the repository.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.core import router
from ministack.core.concurrency import run_reentrant
from ministack.core.responses import request_scope
from ministack.services import cloudwatch, eventbridge

from local.supplements.alarm_evaluation import request_evaluation

if TYPE_CHECKING:
    from local.sagemaker import SageMaker
    from local.sagemaker.surroundings import Location, MetricValues

_lock = threading.Lock()
_service: SageMaker | None = None


def install() -> None:
    """Route SageMaker's requests, of the control plane and the runtime, to this one."""
    router.SERVICE_PATTERNS["sagemaker"] = {
        "target_prefixes": ["SageMaker."],
        "host_patterns": [r"api\.sagemaker\.", r"runtime\.sagemaker\."],
    }
    app.SERVICE_HANDLERS["sagemaker"] = _handle


def service() -> SageMaker:
    """Return the service; the first call starts it, since it takes a second to import."""
    global _service  # noqa: PLW0603 - one service for the process
    with _lock:
        if _service is None:
            from local.sagemaker import Pace, SageMaker

            _service = SageMaker(
                around=EmbeddedSurroundings(),
                pace=Pace(haste=float(os.environ.get("EMBEDDED_AWS_HASTE", "60"))),
                images=json.loads(os.environ.get("EMBEDDED_AWS_IMAGES", "{}")),
            )
            _service.start()
        return _service


async def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes | str, _query: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    content = body.encode() if isinstance(body, str) else body

    def respond() -> tuple[int, dict[str, str], bytes]:
        return service().respond(method, path, headers, content)

    # It reads and writes S3 through this very server, so it must not keep its loop.
    answer: tuple[int, dict[str, str], bytes] = await run_reentrant(respond)
    return answer


class EmbeddedSurroundings:
    """The account of the embedded AWS; S3 and logs as any client sees them."""

    def __init__(self) -> None:
        import boto3
        from botocore.config import Config

        self.account = os.environ["MINISTACK_ACCOUNT_ID"]
        self.region = os.environ["MINISTACK_REGION"]
        config = Config(s3={"addressing_style": "path"}, proxies={}, retries={"max_attempts": 2})
        session = boto3.Session(region_name=self.region)
        self._s3: Any = session.client("s3", config=config)
        self._logs: Any = session.client("logs", config=config)
        # Events leave in order, and without whoever reports them having to wait for targets.
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._send_forever, name="sagemaker-events", daemon=True).start()

    def read(self, place: Location) -> bytes:
        """Return an object's bytes; KeyError if there is no such object or bucket."""
        missing = self._s3.exceptions
        try:
            answer = self._s3.get_object(Bucket=place.bucket, Key=place.key)
        except (missing.NoSuchKey, missing.NoSuchBucket):
            raise KeyError(place.uri) from None
        content: bytes = answer["Body"].read()
        return content

    def keys(self, prefix: Location) -> Iterator[str]:
        """Return the keys that begin with a prefix; KeyError if there is no such bucket."""
        pages = self._s3.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
                yield from (found["Key"] for found in page.get("Contents", []))
        except self._s3.exceptions.NoSuchBucket:
            raise KeyError(prefix.uri) from None

    def write(self, place: Location, data: bytes, *, content_type: str) -> None:
        """Write an object, as any client of S3 does."""
        self._s3.put_object(Bucket=place.bucket, Key=place.key, Body=data, ContentType=content_type)

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        """Return the states of alarms by name, metric and composite ones, without unknown ones."""
        states = {}
        with request_scope(self.account, self.region):
            for name in names:
                alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name)
                if alarm is not None:
                    states[name] = str(alarm["StateValue"])
        return states

    def publish(self, metrics: Sequence[MetricValues]) -> None:
        """Publish metrics in the namespace ``AWS/SageMaker``."""
        with request_scope(self.account, self.region):
            for metric in metrics:
                for value in metric.values:
                    cloudwatch.record_metric(
                        "AWS/SageMaker", metric.name, value, metric.unit, dict(metric.dimensions)
                    )
        request_evaluation()

    def send_event(self, *, kind: str, resources: Sequence[str], detail: dict[str, Any]) -> None:
        """Send an event with the source ``aws.sagemaker`` to the default bus."""
        self._events.put(
            {
                "Source": "aws.sagemaker",
                "DetailType": kind,
                "Resources": list(resources),
                "Detail": json.dumps(detail),
                "EventBusName": "default",
            }
        )

    def _send_forever(self) -> None:
        while True:
            entry = self._events.get()
            with request_scope(self.account, self.region):
                eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    def log(self, *, group: str, stream: str, text: str) -> None:
        """Append lines to a log stream, which is made if missing."""
        there = self._logs.exceptions.ResourceAlreadyExistsException
        with contextlib.suppress(there):
            self._logs.create_log_group(logGroupName=group)
        with contextlib.suppress(there):
            self._logs.create_log_stream(logGroupName=group, logStreamName=stream)
        moment = int(time.time() * 1000)
        lines = [{"timestamp": moment, "message": line} for line in text.splitlines() if line]
        if lines:
            self._logs.put_log_events(
                logGroupName=group, logStreamName=stream, logEvents=lines[-1000:]
            )
