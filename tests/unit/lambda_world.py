"""A deployment in miniature for tests of the functions: buckets, monitors, events, a clock."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3
import moto.s3.urls
import numpy as np
import pytest
from moto import mock_aws
from moto.s3.models import S3Backend

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.store import MonitorStore, S3Objects

STORE = "store-bucket"
CAPTURES = "capture-bucket"
HOUR = datetime(2026, 3, 2, 10, tzinfo=UTC)
VARIANT = "AllTraffic"


class Context:
    """What Powertools reads of the Lambda context."""

    function_name = "function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id = "request"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 60_000


def monitor(**changes: Any) -> MonitorConfig:
    """A monitor of hourly windows with two inputs and a score."""
    document = {
        "name": "loans",
        "endpoint": {"name": "loans-endpoint"},
        "capture": {"prefix": "captures"},
        "prediction": "score",
        "label": "late",
        "window": "1h",
        "evaluate": "on_arrival",
        "debounce": "60s",
        **changes,
    }
    return MonitorConfig.model_validate(document)


@dataclass(kw_only=True)
class World:
    """The deployment under test."""

    monkeypatch: pytest.MonkeyPatch
    monitors: MonitorSet
    captured: pytest.CaptureFixture[str]

    @cached_property
    def s3(self) -> Any:
        return self.function("runtime").runtime().s3

    @property
    def store(self) -> MonitorStore:
        return MonitorStore(
            objects=S3Objects(bucket=STORE, client=self.s3), monitor=self.monitors.monitors[0].name
        )

    def function(self, verb: str) -> Any:
        return importlib.import_module(f"lambdas.{verb}")

    def call(self, verb: str, event: dict[str, Any]) -> Any:
        return self.function(verb).handler(event, Context())

    def set_clock(self, moment: datetime) -> None:
        for name, module in list(sys.modules.items()):
            if name.startswith("lambdas.") and hasattr(module, "now"):
                self.monkeypatch.setattr(module, "now", lambda: moment)

    def put(self, bucket: str, key: str, body: bytes) -> dict[str, Any]:
        """Put an object and return the EventBridge event that S3 sends for it."""
        tag = self.s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"].strip('"')
        return created(bucket, key, tag)

    def keys(self, prefix: str = "", bucket: str = STORE) -> list[str]:
        return [info.key for info in S3Objects(bucket=bucket, client=self.s3).list(prefix)]

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        return {key: self.store.objects.read(key) for key in self.keys(prefix)}

    def add_baseline(self, rows: int = 2000, seed: int = 1) -> str:
        """Drop training data and let the function make a baseline of it."""
        event = self.put(STORE, "loans/training-data/train.csv", training_csv(rows, seed=seed))
        assert self.call("baseline", batch(event)) == {"batchItemFailures": []}
        return self.store.read_current()[0].baseline

    def capture(
        self, rows: int = 200, *, hour: datetime = HOUR, name: str = "a", **options: Any
    ) -> dict[str, Any]:
        """Put a capture object, and return its event."""
        key = f"captures/loans-endpoint/{VARIANT}/{hour:%Y/%m/%d/%H}/{name}.jsonl"
        return self.put(CAPTURES, key, capture_lines(rows, hour=hour, **options))

    def profile(self, *events: dict[str, Any]) -> Any:
        return self.call("profile", batch(*events))

    def profile_events(self, prefix: str = "loans/profiles/") -> list[dict[str, Any]]:
        """The events of all stored profiles."""
        return [
            created(STORE, info.key, info.tag)
            for info in self.store.objects.list(prefix)
            if info.key.endswith(".profile")
        ]

    def metrics(self) -> list[dict[str, Any]]:
        """The EMF documents printed since the last call."""
        return [line for line in self.printed() if "_aws" in line]

    def printed(self) -> list[dict[str, Any]]:
        lines = self.captured.readouterr().out.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def created(bucket: str, key: str, tag: str) -> dict[str, Any]:
    """EventBridge's event of a new S3 object."""
    return {
        "version": "0",
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-03-02T10:30:00Z",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "etag": tag}},
    }


def batch(*events: dict[str, Any] | str) -> dict[str, Any]:
    """The event of an SQS batch."""
    return {
        "Records": [
            {
                "messageId": f"message-{i}",
                "receiptHandle": "handle",
                "body": event if isinstance(event, str) else json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
                "awsRegion": "us-east-1",
            }
            for i, event in enumerate(events)
        ]
    }


def values(rows: int, *, seed: int, shift: float = 0.0) -> tuple[list[float], list[str]]:
    """An amount and a region per row."""
    chance = np.random.default_rng(seed)
    amounts = (chance.normal(100.0 + shift, 15.0, rows)).round(2)
    regions = chance.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2])
    return amounts.tolist(), regions.tolist()


def scores_of(amounts: list[float]) -> list[float]:
    return [round(1.0 / (1.0 + np.exp(-(amount - 100.0) / 30.0)), 6) for amount in amounts]


def training_csv(rows: int, *, seed: int = 1) -> bytes:
    amounts, regions = values(rows, seed=seed)
    lines = ["late,score,amount,region"]
    for amount, region, score in zip(amounts, regions, scores_of(amounts), strict=True):
        lines.append(f"{int(score > 0.5)},{score},{amount},{region}")
    return ("\n".join(lines) + "\n").encode()


def ground_truth_lines(labels: list[int], *, prefix: str = "e") -> bytes:
    """Labels as SageMaker Model Monitor expects them, one per record."""
    lines = [
        json.dumps(
            {
                "groundTruthData": {"data": str(label), "encoding": "CSV"},
                "eventMetadata": {"eventId": f"{prefix}-{i}"},
                "eventVersion": "0",
            }
        )
        for i, label in enumerate(labels)
    ]
    return ("\n".join(lines) + "\n").encode()


def capture_lines(
    rows: int,
    *,
    hour: datetime = HOUR,
    seed: int = 7,
    shift: float = 0.0,
    prefix: str = "e",
    scores: list[float] | None = None,
) -> bytes:
    """One-row records as SageMaker writes them, spread over the hour."""
    amounts, regions = values(rows, seed=seed, shift=shift)
    lines = []
    for i, (amount, region, score) in enumerate(
        zip(amounts, regions, scores or scores_of(amounts), strict=True)
    ):
        moment = hour + timedelta(seconds=3599 * i // max(rows, 1))
        output = base64.b64encode(str(score).encode()).decode() if i % 7 == 0 else str(score)
        record = {
            "captureData": {
                "endpointInput": {
                    "observedContentType": "text/csv",
                    "mode": "INPUT",
                    "data": f"{amount},{region}",
                    "encoding": "CSV",
                },
                "endpointOutput": {
                    "observedContentType": "text/csv",
                    "mode": "OUTPUT",
                    "data": output,
                    "encoding": "BASE64" if i % 7 == 0 else "CSV",
                },
            },
            "eventMetadata": {
                "eventId": f"{prefix}-{i}",
                "inferenceTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "eventVersion": "0",
        }
        lines.append(json.dumps(record))
    return ("\n".join(lines) + "\n").encode()


class _PresentStdout:
    """Standard output as it is when written to: pytest changes it between set-up and test."""

    @staticmethod
    def write(text: str) -> int:
        return sys.stdout.write(text)

    @staticmethod
    def flush() -> None:
        sys.stdout.flush()


@cache
def session() -> boto3.Session:
    """Return the session of all tests: a new one reads the services' descriptions anew."""
    return boto3.Session()


@contextmanager
def deployed(
    monkeypatch: pytest.MonkeyPatch,
    captured: pytest.CaptureFixture[str],
    folder: Path,
    *monitors: MonitorConfig,
) -> Iterator[World]:
    """Set up buckets, environment and code asset on moto."""
    chosen = MonitorSet(monitors=monitors or (monitor(),))
    (folder / "monitors.json").write_text(chosen.model_dump_json(), encoding="utf-8")
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "STORE_BUCKET": STORE,
        "CAPTURE_BUCKET": CAPTURES,
        "DEPLOYMENT": "driftgauge",
        "LAMBDA_TASK_ROOT": str(folder),
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "driftgauge",
    }.items():
        monkeypatch.setenv(name, value)
    # moto reads this module anew at every request, in case that the environment has changed.
    monkeypatch.setattr(S3Backend, "_url_module", moto.s3.urls)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", session())
        for bucket in (STORE, CAPTURES):
            boto3.client("s3").create_bucket(Bucket=bucket)
        module = importlib.import_module("lambdas.runtime")
        for handler in module.logger.handlers:
            monkeypatch.setattr(handler, "stream", _PresentStdout())
        runtime = module.runtime
        runtime.cache_clear()
        yield World(monkeypatch=monkeypatch, monitors=chosen, captured=captured)
        runtime.cache_clear()
