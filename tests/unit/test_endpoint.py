"""The stand-in endpoint of the demo, against S3 as moto plays it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from moto import mock_aws

from driftgauge.capture.ground_truth import read_ground_truth
from driftgauge.capture.keys import parse_capture_key
from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Rejects
from driftgauge.config import MonitorConfig, parse_monitor
from driftgauge.store import Current, MonitorStore, S3Objects
from driftgauge.training.dataset import join_labels
from driftgauge.training.logistic import LogisticModel, encode_model, train_logistic
from driftgauge.windows import Window
from local.endpoint import Endpoint
from local.flights import INPUTS, Flights, utc

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SCHEMA = CaptureSchema(inputs=INPUTS, outputs=("late_probability",))


def some_flights(rows: int = 96) -> Flights:
    """Make two days of flights, evenly spaced."""
    random = np.random.default_rng(0)
    schedule = np.tile(np.arange(rows // 2) / (rows // 2), 2)
    day = np.repeat([0, 1], rows // 2)
    start = int(utc(2015, 7, 1).timestamp())
    air_time = random.integers(40, 200, rows).astype(float)
    air_time[5] = np.nan
    return Flights(
        numbers=np.arange(rows, dtype=np.int64) + 1000,
        times=(start + day * 86_400 + schedule * 86_400).astype(np.int64),
        carrier=random.choice(["AA", "UA"], rows),
        weekday=np.where(day == 0, "Wed", "Thu"),
        distance=random.integers(100, 2000, rows),
        air_time=air_time,
        schedule=schedule,
        late=random.random(rows) < 0.3,
    )


def a_model(version: str, flights: Flights) -> LogisticModel:
    return train_logistic(
        flights.columns(),
        flights.late.astype(float),
        version=version,
        created=datetime(2015, 4, 1, tzinfo=UTC),
    )


class Account:
    """An endpoint with its buckets, and what lies in them."""

    def __init__(self, config: MonitorConfig) -> None:
        self.s3: S3Client = boto3.client("s3", region_name="us-east-1")
        self.cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
        for bucket in ("store", "captures"):
            self.s3.create_bucket(Bucket=bucket)
        self.store = MonitorStore(
            objects=S3Objects(bucket="store", client=self.s3), monitor=config.name
        )
        self.endpoint = Endpoint(
            config=config,
            s3=self.s3,
            store_bucket="store",
            capture_bucket="captures",
            cloudwatch=self.cloudwatch,
        )

    def promote(self, model: LogisticModel) -> None:
        self.store.objects.write(self.store.model_key(model.version), encode_model(model))
        current = Current(baseline="b", model=model.version, since=utc(2015, 4, 1))
        try:
            _, tag = self.store.read_current()
        except Exception:
            tag = None
        self.store.write_current(current, if_tag=tag)

    def objects(self, prefix: str) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket="captures", Prefix=prefix).get("Contents", [])
        return {
            entry["Key"]: self.s3.get_object(Bucket="captures", Key=entry["Key"])["Body"].read()
            for entry in listed
        }


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    config = parse_monitor(
        {
            "name": "flights",
            "endpoint": {"name": "flight-delays"},
            "prediction": "late_probability",
            "label": "late",
        },
        "test",
    )
    with mock_aws():
        yield Account(config)


def captured(account: Account) -> list[Any]:
    batches: list[Any] = []
    rejects = Rejects()
    for key, data in account.objects("captures/").items():
        batches += read_capture(io.BytesIO(data), schema=SCHEMA, source=key, rejects=rejects)
    assert rejects.total == 0
    return batches


def test_captures_lie_under_the_hour_in_which_they_were_flushed(account: Account) -> None:
    flights = some_flights()
    account.promote(a_model("v1", flights))
    serving = account.endpoint.serve(flights)
    keys = [parse_capture_key(key, prefix="captures") for key in serving.files]
    assert all(key is not None and key.endpoint == "flight-delays" for key in keys)
    assert [key.hour.hour for key in keys if key is not None] == [5, 11, 17, 23] * 2
    assert sorted(account.objects("captures/")) == sorted(serving.files)


def test_the_reader_gets_back_the_flights_and_the_champions_scores(account: Account) -> None:
    flights = some_flights()
    model = a_model("v1", flights)
    account.promote(model)
    assert account.endpoint.serve(flights).rows == flights.rows
    batches = captured(account)
    assert sum(batch.rows for batch in batches) == flights.rows
    scores = np.concatenate([batch.columns["late_probability"].numbers for batch in batches])
    assert np.array_equal(scores, model.score(flights.columns(), rows=flights.rows))
    times = np.concatenate([batch.inference_time for batch in batches])
    assert np.array_equal(times, flights.times)
    first = json.loads(next(iter(account.objects("captures/").values())).splitlines()[0])
    assert first["eventMetadata"]["inferenceTime"] == "2015-07-01T00:00:00Z"
    assert first["eventMetadata"]["inferenceId"] == "flight-2015-1000"
    assert first["eventVersion"] == "0"


def test_a_promotion_takes_effect_with_the_next_call(account: Account) -> None:
    flights = some_flights()
    account.promote(a_model("v1", flights))
    assert account.endpoint.serve(flights).model == "v1"
    account.promote(a_model("v2", flights.take(flights.numbers % 2 == 0)))
    assert account.endpoint.serve(flights).model == "v2"


def test_labels_come_a_day_late_and_join_what_was_captured(account: Account) -> None:
    flights = some_flights()
    account.promote(a_model("v1", flights))
    account.endpoint.serve(flights)
    assert account.endpoint.drop_labels(utc(2015, 7, 2)) == 0
    assert account.endpoint.drop_labels(utc(2015, 7, 3)) == flights.rows // 2
    assert account.endpoint.drop_labels(utc(2015, 7, 3)) == 0
    drops = account.objects("ground-truth/")
    assert next(iter(drops)).split("/")[1:5] == ["2015", "07", "02", "05"]
    rejects = Rejects()
    truths = [
        truth
        for key, data in drops.items()
        for truth in read_ground_truth(io.BytesIO(data), source=key, rejects=rejects)
    ]
    rows, counts = join_labels(
        captured(account),
        truths,
        inputs=INPUTS,
        prediction="late_probability",
        window=Window(utc(2015, 7, 1), utc(2015, 7, 3)),
    )
    assert (counts.rows, counts.labelled, counts.unmatched_labels) == (96, 48, 0)
    assert rows.labels[:48].tolist() == flights.late[:48].astype(float).tolist()


def test_invocations_and_latency_are_published_as_sagemaker_does(account: Account) -> None:
    flights = some_flights()
    account.promote(a_model("v1", flights))
    account.endpoint.serve(flights)
    metrics = account.cloudwatch.list_metrics(Namespace="AWS/SageMaker")["Metrics"]
    assert {metric["MetricName"] for metric in metrics} == {"Invocations", "ModelLatency"}
