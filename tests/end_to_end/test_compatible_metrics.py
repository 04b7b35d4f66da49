"""An alarm made for Model Monitor's metrics rings on the embedded AWS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from driftgauge.report.compatible_metrics import MetricPoint, Publisher, Statistics
from driftgauge.store.services import put_metric_data
from local.aws import EmbeddedAws

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

PUBLISHER = Publisher(schedule="churn-hourly", endpoint="churn")
NAMESPACE = PUBLISHER.namespace_of("data")
DIMENSIONS = [{"Name": name, "Value": value} for name, value in PUBLISHER.dimensions]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws(folder=tmp_path_factory.mktemp("embedded-aws")) as aws:
        yield aws


def test_an_existing_alarm_on_a_features_drift_rings(aws: EmbeddedAws) -> None:
    client = aws.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName="age-drifts",
        Namespace=NAMESPACE,
        MetricName="feature_baseline_drift_age",
        Dimensions=DIMENSIONS,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.1,
        ComparisonOperator="GreaterThanThreshold",
    )
    # Enough for two requests, the larger of which the client compresses.
    statistics = Statistics(count=3, total=6.0, minimum=1.0, maximum=3.0)
    values: dict[str, float | Statistics] = {f"feature_data_{n}": statistics for n in range(600)}
    values["feature_baseline_drift_age"] = 0.25
    points = [
        MetricPoint(name=name, dimensions=PUBLISHER.dimensions, value=value)
        for name, value in values.items()
    ]
    now = datetime.now(UTC)
    put_metric_data(namespace=NAMESPACE, points=points, moment=now, client=client)
    (found,) = client.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName="feature_data_599",
        Dimensions=DIMENSIONS,
        StartTime=now.replace(minute=0, second=0, microsecond=0),
        EndTime=datetime.fromtimestamp(now.timestamp() + 3600, UTC),
        Period=3600,
        Statistics=["Average", "Sum", "Minimum", "Maximum", "SampleCount"],
    )["Datapoints"]
    assert (found["Average"], found["Sum"], found["SampleCount"]) == (2.0, 6.0, 3.0)
    assert (found["Minimum"], found["Maximum"]) == (1.0, 3.0)
    assert _state(aws, "age-drifts") == "ALARM"


def _state(aws: EmbeddedAws, name: str) -> str:
    deadline = time.monotonic() + 20
    state = ""
    while state != "ALARM" and time.monotonic() < deadline:
        alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        state = str(alarms[0]["StateValue"])
        time.sleep(0.1)
    return state
