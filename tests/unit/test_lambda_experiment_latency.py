"""Latencies of a shadow test, read from CloudWatch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import ANY, Stubber

from driftgauge.errors import StoreError
from driftgauge.experiments.latency import LatencySummary, latency_edges, latency_of
from driftgauge.experiments.shadow_verdict import decode_shadow_verdict
from lambdas.experiment_latency import latency_of_statistics, read_latencies
from tests.unit.experiment_store import (
    CHALLENGER,
    CHAMPION,
    NOTHING_FAILED,
    capture_variant,
    compared,
    evaluated,
    judge,
)
from tests.unit.lambda_world import World, deployed
from tests.unit.outcome_store import HOUR, LATER, add_baseline

EDGES = latency_edges()


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    """A shadow test since HOUR."""
    with deployed(monkeypatch, capsys, tmp_path, compared("shadow", min_pairs=500)) as world:
        yield world


def drawn(*, slowdown: float = 1.0, requests: int = 800, seed: int = 5) -> Any:
    """Latencies around 8 ms, in microseconds."""
    rng = np.random.default_rng(seed)
    return np.rint(rng.lognormal(np.log(8_000.0 * slowdown), 0.4, requests))


def statistics(*periods: Any) -> dict[str, list[float]]:
    """What CloudWatch says of the values of some periods."""
    found: dict[str, list[float]] = {
        f"TC(:{edge})": [float((values <= edge).sum()) for values in periods] for edge in EDGES
    }
    found["SampleCount"] = [float(values.size) for values in periods]
    found["Sum"] = [float(values.sum()) for values in periods]
    found["Minimum"] = [float(values.min()) for values in periods]
    found["Maximum"] = [float(values.max()) for values in periods]
    return found


class CloudWatch:
    """GetMetricData of given values, in pages."""

    def __init__(self, world: World, values: dict[str, dict[str, list[float]]]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self._values = values
        run = world.function("runtime").runtime()
        world.monkeypatch.setattr(run, "cloudwatch", self, raising=False)

    def get_paginator(self, operation: str) -> CloudWatch:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        results = []
        for query in request["MetricDataQueries"]:
            stat = query["MetricStat"]
            variant = stat["Metric"]["Dimensions"][1]["Value"]
            values = self._values.get(variant, {}).get(stat["Stat"], [])
            results.append({"Id": query["Id"], "Values": values})
        # One value of each metric, then the others.
        yield {"MetricDataResults": [one | {"Values": one["Values"][:1]} for one in results]}
        yield {"MetricDataResults": [one | {"Values": one["Values"][1:]} for one in results]}


def read(world: World, until: datetime = LATER) -> Any:
    config = world.monitors.monitors[0]
    run = world.function("runtime").runtime()
    return read_latencies(run, config, config.experiments[0], until=until)  # type: ignore[arg-type]


def test_statistics_say_the_same_as_the_values() -> None:
    first, second = drawn(), drawn(seed=6)
    assert latency_of_statistics(statistics(first, second)) == latency_of(
        np.concatenate([first, second])
    )


def test_no_requests_are_an_empty_summary() -> None:
    assert latency_of_statistics({}) == LatencySummary()


def test_counts_that_cloudwatch_rounds_stay_cumulative_and_fit() -> None:
    values = drawn(requests=10_000)
    found = statistics(values)
    rng = np.random.default_rng(1)
    for edge in EDGES:
        found[f"TC(:{edge})"][0] += float(rng.uniform(-60, 60))
    summary = latency_of_statistics(found)
    assert summary is not None
    exact = latency_of(values)
    assert summary.requests == 10_000
    for part in (0.5, 0.9, 0.99):
        ours, theirs = summary.quantile(part), exact.quantile(part)
        assert ours is not None
        assert theirs is not None
        assert abs(math.log(ours / theirs)) < 0.25


@pytest.mark.parametrize("name", ["Sum", "Minimum", "Maximum", "TC(:100000000)", "all counts"])
def test_statistics_that_are_missing_make_no_summary(name: str) -> None:
    found = statistics(drawn())
    for one in found if name == "all counts" else [name]:
        if one.startswith("TC") or one == name:
            found[one] = []
    # Beyond the longest latency the counts are known anyway.
    assert (latency_of_statistics(found) is None) is (name != "TC(:100000000)")


def test_more_counted_than_requests_makes_no_summary() -> None:
    found = statistics(drawn())
    found["SampleCount"] = [400.0]
    assert latency_of_statistics(found) is None


def test_latencies_beyond_the_last_cell_are_counted_in_it() -> None:
    values = np.array([5_000.0, 250_000_000.0])
    assert latency_of_statistics(statistics(values)) == latency_of(values)
    only = np.array([250_000_000.0])
    assert latency_of_statistics(statistics(only)) == latency_of(only)


def test_both_variants_are_asked_at_once(world: World) -> None:
    production, shadow = drawn(), drawn(slowdown=2.0)
    service = CloudWatch(
        world,
        {CHAMPION: statistics(production[:300], production[300:]), CHALLENGER: statistics(shadow)},
    )
    found = read(world)
    assert found.production == latency_of(production)
    assert found.shadow == latency_of(shadow)
    (request,) = service.requests
    queries = request["MetricDataQueries"]
    assert len(queries) == 2 * (len(EDGES) + 4)
    assert len({query["Id"] for query in queries}) == len(queries)
    assert queries[0]["MetricStat"]["Metric"] == {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ModelLatency",
        "Dimensions": [
            {"Name": "EndpointName", "Value": "loans-endpoint"},
            {"Name": "VariantName", "Value": CHAMPION},
        ],
    }


def test_the_request_is_one_that_cloudwatch_takes(world: World) -> None:
    client = boto3.client("cloudwatch", region_name="us-east-1")
    run = world.function("runtime").runtime()
    world.monkeypatch.setattr(run, "cloudwatch", client, raising=False)
    with Stubber(client) as stub:
        expected = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY}
        stub.add_response("get_metric_data", {"MetricDataResults": []}, expected)
        assert read(world) is None
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("after", "period", "first", "periods"),
    [
        (timedelta(minutes=20), 60, "10:05", 20),
        (timedelta(hours=3), 60, "10:05", 180),
        (timedelta(hours=12), 300, "10:10", 144),
        (timedelta(days=1), 900, "10:15", 96),
        (timedelta(days=7), 3_600, "11:00", 168),
        (timedelta(days=30), 21_600, "12:00", 120),
        (timedelta(days=300), 86_400, "00:00", 300),
    ],
    ids=str,
)
def test_periods_are_whole_and_few(
    after: timedelta, period: int, first: str, periods: int, world: World
) -> None:
    config = world.monitors.monitors[0]
    since = datetime(2026, 3, 2, 10, 5, 30, tzinfo=UTC)
    settings = config.experiments[0].model_copy(update={"since": since})
    service = CloudWatch(world, {})
    run = world.function("runtime").runtime()
    read_latencies(run, config, settings, until=since + after)  # type: ignore[arg-type]
    (request,) = service.requests
    assert {one["MetricStat"]["Period"] for one in request["MetricDataQueries"]} == {period}
    assert f"{request['StartTime']:%H:%M}" == first
    assert request["StartTime"].timestamp() % period == 0
    assert request["EndTime"] >= since + after
    length = (request["EndTime"] - request["StartTime"]).total_seconds() / period
    assert abs(length - periods) <= 1


def test_metrics_of_nothing_are_no_latency(world: World) -> None:
    CloudWatch(world, {})
    assert read(world) is None


def test_an_early_look_asks_for_nothing(world: World) -> None:
    service = CloudWatch(world, {})
    assert read(world, until=HOUR) is None
    assert service.requests == []


def test_counts_that_do_not_add_up_are_told_in_the_log(world: World) -> None:
    found = statistics(drawn()) | {"SampleCount": [1.0]}
    CloudWatch(world, {CHAMPION: found, CHALLENGER: statistics(drawn())})
    world.printed()
    assert read(world) is None
    (line,) = world.printed()
    assert (line["level"], line["message"]) == ("WARNING", "latency not measured")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetMetricData")


def test_without_permission_the_verdict_goes_on_and_the_log_says_so(world: World) -> None:
    CloudWatch(world, {}).failure = refused("AccessDenied")
    world.printed()
    assert read(world) is None
    assert world.printed()[0]["message"] == "latency not measured"


@pytest.mark.parametrize(
    "failure",
    [refused("Throttling"), EndpointConnectionError(endpoint_url="https://monitoring")],
    ids=["throttled", "unreachable"],
)
def test_a_passing_failure_is_an_error_to_try_again(failure: Exception, world: World) -> None:
    CloudWatch(world, {}).failure = failure
    with pytest.raises(StoreError, match="latencies"):
        read(world)


def test_captures_from_elsewhere_have_no_latency(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = compared("shadow")
    foreign = config.model_copy(
        update={"capture": config.capture.model_copy(update={"format": "predictions"})}
    )
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        service = CloudWatch(world, {})
        run = world.function("runtime").runtime()
        settings: Any = config.experiments[0]
        assert read_latencies(run, foreign, settings, until=LATER) is None
        assert service.requests == []


def looked_at(world: World, scores: Sequence[float]) -> Any:
    add_baseline(world)
    for number in (0, 1):
        for variant in (CHAMPION, CHALLENGER):
            capture_variant(world, variant, number, scores=scores)
    assert judge(world, evaluated(world, CHALLENGER, 1)) == NOTHING_FAILED
    return decode_shadow_verdict(world.store.objects.read("loans/experiments/june/shadow.json"))


def test_a_shadow_that_is_too_slow_is_stopped(world: World) -> None:
    many = {"requests": 10_000}
    slow = statistics(drawn(slowdown=2.0, **many))
    CloudWatch(world, {CHAMPION: statistics(drawn(**many)), CHALLENGER: slow})
    found = looked_at(world, [0.9, 0.2] * 200)
    assert found.decision == "stop"
    assert found.latency.ratio == pytest.approx(2.0, rel=0.1)
    page = world.store.objects.read("loans/experiments/june/report.html").decode()
    assert "too slow" in page


def test_without_latencies_the_page_says_that_they_are_not_measured(world: World) -> None:
    CloudWatch(world, {})
    assert looked_at(world, [0.9, 0.2] * 200).decision == "advance"
    page = world.store.objects.read("loans/experiments/june/report.html").decode()
    assert "not measured" in page
