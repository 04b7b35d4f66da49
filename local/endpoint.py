"""The stand-in endpoint of the demo: scores rows and writes what SageMaker would capture.

It stands for a SageMaker real-time endpoint with data capture: it serves the model that the
monitor's pointer names, writes capture files in SageMaker's format and key layout, and later drops
ground truth the way Model Monitor reads it. Nothing downstream can tell the difference.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.keys import capture_key
from driftgauge.config import MonitorConfig
from driftgauge.errors import ObjectNotFoundError
from driftgauge.store import MonitorStore, S3Objects
from driftgauge.training.logistic import LogisticModel, decode_model
from driftgauge.windows import format_time
from local.traffic import Traffic

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_s3 import S3Client

# SageMaker flushes about once a minute; a sample of some hundred rows a day needs fewer files.
FILE_LENGTH = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What one call of ``Endpoint.serve`` did.

    ``seconds`` is the time spent in the model; ``last_written`` is when the last file was there.
    """

    model: str
    rows: int
    files: tuple[str, ...]
    seconds: float
    last_written: datetime


class Endpoint:
    """One endpoint with one variant and data capture, in front of the champion."""

    def __init__(
        self,
        *,
        config: MonitorConfig,
        s3: S3Client,
        store_bucket: str,
        capture_bucket: str,
        cloudwatch: CloudWatchClient | None = None,
    ) -> None:
        self._config = config
        self._s3 = s3
        self._capture_bucket = capture_bucket
        self._cloudwatch = cloudwatch
        self._variant = config.endpoint.variants[0]
        self._store = MonitorStore(
            objects=S3Objects(bucket=store_bucket, client=s3), monitor=config.name
        )
        self._served: tuple[str, LogisticModel] | None = None
        self._unlabelled: list[Traffic] = []

    def load_model(self) -> tuple[str, LogisticModel]:
        """Return the champion's version and model, read again if the pointer names another.

        Raises
        ------
        ObjectNotFoundError
            If nothing was promoted yet.
        """
        current, _ = self._store.read_current()
        if current.model is None:
            raise ObjectNotFoundError(
                f"{self._store.current_key} names no model: put one beside the training data"
            )
        if self._served is None or self._served[0] != current.model:
            data = self._store.objects.read(self._store.model_key(current.model))
            self._served = (current.model, decode_model(data))
        return self._served

    def serve(self, traffic: Traffic) -> Serving:
        """Score rows and write one capture file for each six hours of them."""
        version, model = self.load_model()
        seconds = 0.0
        files = []
        for part in _parts(traffic, traffic.times):
            begin = time.perf_counter()
            scores = model.score(part.columns(), rows=part.rows)
            seconds += time.perf_counter() - begin
            flushed = datetime.fromtimestamp(int(part.times[-1]), UTC)
            key = capture_key(
                prefix=self._config.capture.prefix,
                endpoint=self._config.endpoint.name,
                variant=self._variant,
                moment=flushed,
                unique=_unique("capture", part),
            )
            self._put(key, capture_lines(part, scores))
            files.append(key)
        self._unlabelled.append(traffic)
        self._publish(rows=traffic.rows, seconds=seconds)
        return Serving(
            model=version,
            rows=traffic.rows,
            files=tuple(files),
            seconds=seconds,
            last_written=datetime.now(UTC),
        )

    def drop_labels(self, until: datetime) -> int:
        """Write the ground truth that was collected before a moment; return how many labels.

        Each label lies under the hour in which it was collected, in a file of six hours.
        """
        waiting = self._unlabelled
        self._unlabelled = []
        written = 0
        for traffic in waiting:
            known = traffic.labelled_at() < until.timestamp()
            if not known.all():
                self._unlabelled.append(traffic.take(~known))
            labelled = traffic.take(known)
            for part in _parts(labelled, labelled.labelled_at()):
                collected = datetime.fromtimestamp(int(part.labelled_at().max()), UTC)
                folder = f"{self._config.capture.ground_truth_prefix}/{collected:%Y/%m/%d/%H}"
                self._put(f"{folder}/{_unique('labels', part)}.jsonl", ground_truth_lines(part))
                written += part.rows
        return written

    def _put(self, key: str, data: bytes) -> None:
        self._s3.put_object(
            Bucket=self._capture_bucket,
            Key=key,
            Body=data,
            ContentType="application/jsonlines",
        )

    def _publish(self, *, rows: int, seconds: float) -> None:
        """Publish what SageMaker would say of these invocations; latency is in microseconds."""
        if self._cloudwatch is None or not rows:
            return
        dimensions = [
            {"Name": "EndpointName", "Value": self._config.endpoint.name},
            {"Name": "VariantName", "Value": self._variant},
        ]
        self._cloudwatch.put_metric_data(
            Namespace="AWS/SageMaker",
            MetricData=[
                {
                    "MetricName": "Invocations",
                    "Dimensions": dimensions,  # type: ignore[typeddict-item]  # of the stubs
                    "Value": float(rows),
                    "Unit": "Count",
                },
                {
                    "MetricName": "ModelLatency",
                    "Dimensions": dimensions,  # type: ignore[typeddict-item]
                    "Value": seconds / rows * 1e6,
                    "Unit": "Microseconds",
                },
            ],
        )


def _parts(traffic: Traffic, times: NDArray[np.int64]) -> Iterator[Traffic]:
    """Yield rows by what of ``FILE_LENGTH`` their times fall into, in order, without empty ones."""
    slot = times // int(FILE_LENGTH.total_seconds())
    for value in np.unique(slot):
        yield traffic.take(slot == value)


def _unique(kind: str, traffic: Traffic) -> str:
    """Return a UUID that is the same for the same rows, so that a run can be repeated."""
    ids = traffic.inference_ids()
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{ids[0]}-{ids[-1]}"))


def capture_lines(traffic: Traffic, scores: NDArray[np.float64]) -> bytes:
    """Return rows as a SageMaker capture file: one invocation a line, CSV in, CSV out."""
    lines = []
    for inference_id, moment, payload, score in zip(
        traffic.inference_ids(),
        traffic.times.tolist(),
        traffic.payloads(),
        scores.tolist(),
        strict=True,
    ):
        record = {
            "captureData": {
                "endpointInput": {
                    "observedContentType": "text/csv",
                    "mode": "INPUT",
                    "data": payload,
                    "encoding": "CSV",
                },
                "endpointOutput": {
                    "observedContentType": "text/csv; charset=utf-8",
                    "mode": "OUTPUT",
                    "data": repr(score),
                    "encoding": "CSV",
                },
            },
            "eventMetadata": {
                "eventId": str(uuid.uuid5(uuid.NAMESPACE_URL, inference_id)),
                "inferenceId": inference_id,
                "inferenceTime": format_time(datetime.fromtimestamp(moment, UTC)),
            },
            "eventVersion": "0",
        }
        lines.append(json.dumps(record, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()


def ground_truth_lines(traffic: Traffic) -> bytes:
    """Return the labels of rows as a ground-truth file of Model Monitor."""
    lines = []
    for inference_id, late in zip(traffic.inference_ids(), traffic.late.tolist(), strict=True):
        record = {
            "groundTruthData": {"data": str(int(late)), "encoding": "CSV"},
            "eventMetadata": {"eventId": inference_id},
            "eventVersion": "0",
        }
        lines.append(json.dumps(record, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()
