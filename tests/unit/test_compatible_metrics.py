"""Metrics under Model Monitor's names: their data model, and what evaluate publishes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.stub import Stubber

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.constraints import Constraints, MonitoringSettings
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import parse_monitor
from driftgauge.errors import ConfigError, StoreError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.report.compatible_metrics import (
    LARGEST_VALUE,
    BiasMetric,
    MetricPoint,
    Publisher,
    Statistics,
    attribution_points,
    bias_points,
    data_quality_points,
    model_quality_points,
)
from driftgauge.store.services import put_metric_data
from tests.unit.lambda_world import HOUR, VARIANT, World, deployed, monitor

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PUBLISHER = Publisher(schedule="loans-hourly", endpoint="loans")
BATCH = Publisher(schedule="loans-nightly", endpoint=None)


def numbers(values: list[float]) -> Column:
    array = np.array(values)
    return Column(
        numbers=array,
        types=TypeCounts(fractional=int(np.isfinite(array).sum())),
        missing=np.isnan(array) if np.isnan(array).any() else None,
    )


def words(values: list[str]) -> Column:
    known = tuple(sorted(set(values)))
    return Column(
        numbers=np.full(len(values), np.nan),
        codes=np.array([known.index(value) for value in values], dtype=np.int32),
        words=known,
        types=TypeCounts(text=len(values)),
    )


def columns(shift: float = 0.0, plan: str = "basic") -> dict[str, Column]:
    amounts = [float(i % 100) + shift + 0.5 for i in range(1000)]
    return {"amount": numbers(amounts), "plan": words(["basic"] * 500 + [plan] * 500)}


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = Table(rows=1000, columns=columns(plan="gold"))
    return build_baseline([table], version="v1", created=NOW)


def window(baseline: Baseline, **changes: Any) -> Profile:
    return profile_columns(baseline.spec, columns(**changes), rows=1000)


def points(
    baseline: Baseline, profile: Profile, constraints: Constraints | None = None
) -> dict[str, float | Statistics]:
    found = data_quality_points(
        PUBLISHER,
        profile=profile,
        baseline=baseline.profile,
        constraints=constraints or baseline.constraints,
    )
    assert {point.dimensions for point in found} <= {PUBLISHER.dimensions}
    return {point.name: point.value for point in found}


@pytest.mark.parametrize(
    ("kind", "namespace"),
    [
        ("data", "data-metrics"),
        ("model", "model-metrics"),
        ("bias", "bias-metrics"),
        ("explainability", "explainability-metrics"),
    ],
)
def test_every_type_of_monitor_has_a_namespace_for_endpoints_and_one_for_batches(
    kind: Any, namespace: str
) -> None:
    assert PUBLISHER.namespace_of(kind) == f"aws/sagemaker/Endpoints/{namespace}"
    assert BATCH.namespace_of(kind) == f"aws/sagemaker/ModelMonitoring/{namespace}"
    assert replace(PUBLISHER, namespace="ours").namespace_of(kind) == "ours"


def test_batches_have_the_schedule_as_their_only_dimension() -> None:
    assert PUBLISHER.dimensions == (
        ("Endpoint", "loans"),
        ("MonitoringSchedule", "loans-hourly"),
    )
    assert BATCH.dimensions == (("MonitoringSchedule", "loans-nightly"),)


def test_a_numeric_column_has_statistics_completeness_and_drift(baseline: Baseline) -> None:
    found = points(baseline, window(baseline, plan="gold"))
    assert found["feature_data_amount"] == Statistics(
        count=1000, total=50_000.0, minimum=0.5, maximum=99.5
    )
    assert found["feature_non_null_amount"] == 1.0
    assert found["feature_baseline_drift_amount"] == 0.0


def test_a_text_column_has_no_statistics(baseline: Baseline) -> None:
    found = points(baseline, window(baseline))
    assert {name for name in found if name.endswith("plan")} == {
        "feature_non_null_plan",
        "feature_baseline_drift_plan",
    }
    # All basic against half of it: 0.5, less 1.8 sqrt(2000 / 1000000).
    assert found["feature_baseline_drift_plan"] == pytest.approx(0.5 - 1.8 * math.sqrt(0.002))


def test_completeness_is_the_share_of_rows_with_a_value(baseline: Baseline) -> None:
    some = numbers([1.5, math.nan, math.nan, 4.5])
    profile = profile_columns(baseline.spec, {"amount": some}, rows=4)
    found = points(baseline, profile)
    assert found["feature_non_null_amount"] == 0.5
    assert found["feature_non_null_plan"] == 0.0
    assert found["feature_data_amount"] == Statistics(count=2, total=6.0, minimum=1.5, maximum=4.5)
    assert "feature_baseline_drift_plan" not in found


def test_drift_is_model_monitors_distance_by_the_method_of_the_constraints(
    baseline: Baseline,
) -> None:
    profile = window(baseline, shift=30.0)
    simple = replace(baseline.constraints, settings=MonitoringSettings(comparison_method="Simple"))
    found = points(baseline, profile, simple)["feature_baseline_drift_amount"]
    assert found == pytest.approx(0.3)
    robust = points(baseline, profile)["feature_baseline_drift_amount"]
    assert robust == pytest.approx(0.3 - 1.8 * math.sqrt(0.002))


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (MonitoringSettings(emit_metrics=False), 0),
        (MonitoringSettings(perform_comparison=False), 3),
        (MonitoringSettings(), 5),
    ],
)
def test_the_constraints_switch_metrics_and_comparison_off(
    baseline: Baseline, settings: MonitoringSettings, left: int
) -> None:
    constraints = replace(baseline.constraints, settings=settings)
    assert len(points(baseline, window(baseline), constraints)) == left


def test_a_column_may_switch_its_own_metrics_off(baseline: Baseline) -> None:
    features = tuple(
        replace(one, overrides={"emit_metrics": "Disabled"}) if one.name == "plan" else one
        for one in baseline.constraints.features
    )
    constraints = replace(baseline.constraints, features=features)
    assert {
        name.rpartition("_")[2] for name in points(baseline, window(baseline), constraints)
    } == {"amount"}


def test_a_window_without_rows_has_no_metrics(baseline: Baseline) -> None:
    assert points(baseline, Profile.empty(baseline.spec)) == {}


def test_numbers_beyond_what_cloudwatch_takes_are_its_limits(baseline: Baseline) -> None:
    huge = numbers([1e300, -1e300, 1e300])
    profile = profile_columns(baseline.spec, {"amount": huge}, rows=3)
    assert points(baseline, profile)["feature_data_amount"] == Statistics(
        count=3, total=LARGEST_VALUE, minimum=-LARGEST_VALUE, maximum=LARGEST_VALUE
    )


def test_model_quality_metrics_are_called_by_their_keys() -> None:
    found = model_quality_points(BATCH, {"f2": 0.625, "auc": math.nan, "r2": None, "rmse": 3.5})
    assert [(point.name, point.value) for point in found] == [("f2", 0.625), ("rmse", 3.5)]
    assert {point.dimensions for point in found} == {BATCH.dimensions}


def test_bias_metrics_say_what_they_are_about() -> None:
    about: dict[str, Any] = {
        "stage": "Post-Training",
        "label": "Target",
        "label_value": "1",
        "facet": "Sex",
        "facet_value": "0",
    }
    values = {"DI": math.inf, "TE": -math.inf, "AD": -0.25, "FT": None, "GE": math.nan}
    found = bias_points(
        PUBLISHER, [BiasMetric(name=name, value=value, **about) for name, value in values.items()]
    )
    assert {point.name: point.value for point in found} == {
        "bias_metric_DI": 2.0**360,
        "bias_metric_TE": -(2.0**360),
        "bias_metric_AD": -0.25,
    }
    assert dict(found[0].dimensions) == {
        "Endpoint": "loans",
        "MonitoringSchedule": "loans-hourly",
        "BiasStage": "Post-Training",
        "Label": "Target",
        "LabelValue": "1",
        "Facet": "Sex",
        "FacetValue": "0",
    }
    # The documented number, to its seven digits.
    assert f"{LARGEST_VALUE:.6e}" == "2.348543e+108"


def test_attributions_and_their_expected_value_have_types_of_their_own() -> None:
    found = attribution_points(
        PUBLISHER, label="label0", global_shap_values={"Age": 0.5, "Sex": None}, expected_value=0.25
    )
    assert [(point.name, point.value) for point in found] == [
        ("feature_Age", 0.5),
        ("ExpectedValue", 0.25),
    ]
    assert dict(found[0].dimensions) == {
        "Endpoint": "loans",
        "MonitoringSchedule": "loans-hourly",
        "ExplainabilityMethod": "KernelShap",
        "Label": "label0",
        "ValueType": "GlobalShapValues",
    }
    assert dict(found[1].dimensions)["ValueType"] == "ExpectedValue"


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("feature_data_age", "x", True),
        ("feature_data_größe", "x", False),
        ("f" * 256, "x", False),
        ("feature_data_age", "", False),
        ("feature_data_age", ":x", False),
        ("feature_data_\n", "x", False),
    ],
)
def test_names_that_cloudwatch_refuses_are_known_before(name: str, value: str, good: bool) -> None:
    point = MetricPoint(name=name, dimensions=(("Facet", value),), value=1.0)
    assert point.acceptable is good


# Publishing


def test_statistics_are_sent_as_statistic_sets_of_the_api() -> None:
    client = boto3.client(
        "cloudwatch", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    statistics = Statistics(count=3, total=6.0, minimum=1.0, maximum=3.0)
    dimensions = [
        {"Name": "Endpoint", "Value": "loans"},
        {"Name": "MonitoringSchedule", "Value": "loans-hourly"},
    ]
    usual = {"Dimensions": dimensions, "Timestamp": NOW, "Unit": "None"}
    with Stubber(client) as stubbed:
        stubbed.add_response(
            "put_metric_data",
            {},
            {
                "Namespace": "aws/sagemaker/Endpoints/data-metrics",
                "MetricData": [
                    {
                        "MetricName": "feature_data_a",
                        "StatisticValues": {
                            "SampleCount": 3,
                            "Sum": 6.0,
                            "Minimum": 1.0,
                            "Maximum": 3.0,
                        },
                        **usual,
                    },
                    {"MetricName": "feature_non_null_a", "Value": 1.0, **usual},
                ],
            },
        )
        put_metric_data(
            namespace=PUBLISHER.namespace_of("data"),
            points=[
                MetricPoint(
                    name="feature_data_a", dimensions=PUBLISHER.dimensions, value=statistics
                ),
                MetricPoint(name="feature_non_null_a", dimensions=PUBLISHER.dimensions, value=1.0),
            ],
            moment=NOW,
            client=client,
        )
        stubbed.assert_no_pending_responses()


def test_many_metrics_are_sent_in_several_requests_and_none_in_no_request() -> None:
    sizes = []

    class Client:
        def put_metric_data(self, *, Namespace: str, MetricData: list[Any]) -> None:  # noqa: N803
            sizes.append(len(MetricData))

    client: Any = Client()
    point = MetricPoint(name="f", dimensions=(), value=1.0)
    put_metric_data(namespace="n", points=[point] * 1201, moment=NOW, client=client)
    put_metric_data(namespace="n", points=[], moment=NOW, client=client)
    assert sizes == [500, 500, 201]


def test_a_refused_request_names_the_namespace() -> None:
    client = boto3.client(
        "cloudwatch", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    with Stubber(client) as stubbed:
        stubbed.add_client_error("put_metric_data", "AccessDenied", expected_params=None)
        point = MetricPoint(name="f", dimensions=(), value=1.0)
        with pytest.raises(StoreError, match=r"'aws/sagemaker/x' are refused.*AccessDenied"):
            put_metric_data(namespace="aws/sagemaker/x", points=[point], moment=NOW, client=client)


# In the function


SCHEDULED = {
    "evaluate": "on_schedule",
    "delay": "20m",
    "model_monitor_metrics": {"schedule": "loans-hourly"},
}


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path, monitor(**SCHEDULED)) as world:
        world.add_baseline()
        world.profile(world.capture(rows=300))
        yield world


def close(world: World, moment: datetime) -> None:
    world.function("evaluate")
    world.set_clock(moment)
    world.call("evaluate", {"monitor": "loans", "schedule": True})


def published(namespace: str = "aws/sagemaker/Endpoints/data-metrics") -> list[dict[str, Any]]:
    client = boto3.client("cloudwatch", region_name="us-east-1")
    return [dict(metric) for metric in client.list_metrics(Namespace=namespace)["Metrics"]]


def test_a_closed_window_is_published_under_model_monitors_names(world: World) -> None:
    close(world, HOUR + timedelta(hours=1, minutes=25))
    names = {metric["MetricName"] for metric in published()}
    assert names == {
        "feature_data_amount",
        "feature_data_score",
        *(f"feature_non_null_{name}" for name in ("amount", "region", "score")),
        *(f"feature_baseline_drift_{name}" for name in ("amount", "region", "score")),
    }
    assert published()[0]["Dimensions"] == [
        {"Name": "Endpoint", "Value": "loans-endpoint"},
        {"Name": "MonitoringSchedule", "Value": "loans-hourly"},
    ]


def test_a_window_is_published_by_the_schedule_alone(world: World) -> None:
    world.function("evaluate")
    world.set_clock(HOUR + timedelta(hours=1, minutes=5))
    event = {"monitor": "loans", "window_start": "2026-03-02T10:00:00Z"}
    world.call("evaluate", event)
    assert published() == []
    # Nothing is new since, and it is published all the same: a job of Model Monitor runs once.
    close(world, HOUR + timedelta(hours=1, minutes=25))
    first = world.function("publication")
    assert published() != []
    calls: list[str] = []
    world.monkeypatch.setattr(first, "put_metric_data", lambda **more: calls.append("again"))
    close(world, HOUR + timedelta(hours=1, minutes=40))
    assert calls == []


def test_a_refusal_is_counted_and_does_not_stop_the_evaluation(world: World) -> None:
    def refuse(**more: Any) -> None:
        raise StoreError("metrics of namespace 'aws/sagemaker' are refused")

    publication = world.function("publication")
    world.monkeypatch.setattr(publication, "put_metric_data", refuse)
    world.printed()
    close(world, HOUR + timedelta(hours=1, minutes=25))
    lines = world.printed()
    failures = [line["EvaluationFailures"] for line in lines if "EvaluationFailures" in line]
    assert failures == [[0.0], [1.0]]
    assert [line for line in lines if "not published" in str(line.get("message"))]
    assert [key for key in world.keys("loans/reports/") if key.endswith("inputs.json")]


def test_only_the_chosen_variant_is_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = {
        **SCHEDULED,
        "endpoint": {"name": "loans-endpoint", "variants": ["other", VARIANT]},
        "model_monitor_metrics": {
            "schedule": "loans",
            "variant": "other",
            "namespace": "ours",
            "batch": True,
        },
    }
    with deployed(monkeypatch, capsys, tmp_path, monitor(**settings)) as world:
        world.add_baseline()
        world.profile(world.capture(rows=300))
        close(world, HOUR + timedelta(hours=1, minutes=25))
        assert published("ours") == []
        settings["model_monitor_metrics"]["variant"] = VARIANT  # type: ignore[index]
    with deployed(monkeypatch, capsys, tmp_path, monitor(**settings)) as world:
        world.add_baseline()
        world.profile(world.capture(rows=300))
        close(world, HOUR + timedelta(hours=1, minutes=25))
        assert published("ours")[0]["Dimensions"] == [
            {"Name": "MonitoringSchedule", "Value": "loans"}
        ]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"schedule": "s", "variant": "x"}, "none of endpoint.variants: AllTraffic"),
        ({"schedule": "s", "namespace": "AWS/SageMaker"}, "for itself"),
        ({"schedule": "not a name"}, "pattern"),
        ({}, "Field required"),
    ],
)
def test_settings_that_cannot_be_published_are_explained(
    settings: dict[str, Any], advice: str
) -> None:
    document = {
        "name": "loans",
        "endpoint": {"name": "loans"},
        "model_monitor_metrics": settings,
    }
    with pytest.raises(ConfigError, match=advice):
        parse_monitor(document, "loans.yaml")
