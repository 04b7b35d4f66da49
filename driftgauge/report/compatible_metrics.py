"""CloudWatch metrics as SageMaker Model Monitor named them, for its four types of monitor.

Names, namespaces and dimensions are those that its containers publish, so that dashboards and
alarms made for them go on working. Nothing here talks to AWS: ``aws.put_metric_data`` does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from driftgauge.checks.constraints import Constraints, MonitoringSettings
from driftgauge.checks.strict_distance import model_monitor_distance
from driftgauge.profile.profile import FeatureProfile, Profile

MonitorType = Literal["data", "model", "bias", "explainability"]
BiasStage = Literal["Pre-training", "Post-Training"]

# CloudWatch takes values from -2**360 to 2**360. To seven digits that is the 2.348543e108 that
# Model Monitor's documentation gives for an infinite bias metric.
LARGEST_VALUE = math.ldexp(1.0, 360)
_LONGEST_NAME = 255
_LONGEST_DIMENSION = 1024
_ASCII = re.compile(r"[ -~]+")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A statistic set: what CloudWatch needs of many values for Max, Min, Sum and Average."""

    count: int
    total: float
    minimum: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class MetricPoint:
    """One value, or statistic set, of one metric.

    Attributes
    ----------
    name : str
        The metric's name.
    dimensions : tuple of (str, str)
        Names and values; CloudWatch does not mind their order.
    value : float or Statistics
        Finite.
    """

    name: str
    dimensions: tuple[tuple[str, str], ...]
    value: float | Statistics

    @property
    def acceptable(self) -> bool:
        """Whether CloudWatch takes the names: printable ASCII of limited length."""
        return _fits(self.name, _LONGEST_NAME) and all(
            _fits(value, _LONGEST_DIMENSION) and not value.startswith(":")
            for _, value in self.dimensions
        )


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """In whose name metrics are published: a monitoring schedule on an endpoint, or on batches.

    Attributes
    ----------
    schedule : str
        Name of the monitoring schedule.
    endpoint : str or None
        Name of the endpoint; None: the schedule watches batch transforms.
    namespace : str or None
        Replaces Model Monitor's namespace.

    Examples
    --------
    >>> Publisher(schedule="churn-hourly", endpoint="churn").namespace_of("data")
    'aws/sagemaker/Endpoints/data-metrics'
    >>> Publisher(schedule="churn-nightly", endpoint=None).dimensions
    (('MonitoringSchedule', 'churn-nightly'),)
    """

    schedule: str
    endpoint: str | None
    namespace: str | None = None

    def namespace_of(self, kind: MonitorType) -> str:
        """Return the namespace of one type of monitor."""
        if self.namespace is not None:
            return self.namespace
        room = "ModelMonitoring" if self.endpoint is None else "Endpoints"
        return f"aws/sagemaker/{room}/{kind}-metrics"

    @property
    def dimensions(self) -> tuple[tuple[str, str], ...]:
        """The dimensions that all metrics of the schedule have."""
        schedule = ("MonitoringSchedule", self.schedule)
        return (schedule,) if self.endpoint is None else (("Endpoint", self.endpoint), schedule)


@dataclass(frozen=True, kw_only=True)
class BiasMetric:
    """One bias metric of one facet, as ``analysis.json`` holds it; ``value`` None: an error."""

    name: str
    value: float | None
    stage: BiasStage
    label: str
    label_value: str
    facet: str
    facet_value: str


def publishable(value: float | None) -> float | None:
    """Return a value as CloudWatch takes it; None if it is not published at all.

    Infinities and what is beyond the range become its ends; a missing value and NaN are left out.

    Examples
    --------
    >>> publishable(math.inf) == LARGEST_VALUE == -publishable(-math.inf)
    True
    >>> publishable(math.nan) is None, publishable(0.25)
    (True, 0.25)
    """
    if value is None or math.isnan(value):
        return None
    return min(max(float(value), -LARGEST_VALUE), LARGEST_VALUE)


def data_quality_points(
    publisher: Publisher, *, profile: Profile, baseline: Profile, constraints: Constraints
) -> tuple[MetricPoint, ...]:
    """Return the metrics of a data-quality window: none without rows.

    For every column ``feature_non_null_{f}``, the share of rows with a value, and
    ``feature_baseline_drift_{f}``, the distance that Model Monitor judges by (see
    ``baseline_drift``); for numeric columns also the statistic set ``feature_data_{f}``. Where
    the constraints switch off ``emit_metrics``, of the file or of a column, there are none.

    Parameters
    ----------
    publisher : Publisher
        The schedule.
    profile, baseline : Profile
        Of the window and of the training data.
    constraints : Constraints
        The baseline's, for ``emit_metrics`` and the method of comparison.
    """
    if not profile.rows or not constraints.settings.emit_metrics:
        return ()
    points = []
    for there, here in zip(baseline.features, profile.features, strict=True):
        name = here.spec.name
        settings = constraints.settings_for(name)
        if settings.emit_metrics:
            values: list[tuple[str, float | Statistics | None]] = [
                (f"feature_data_{name}", _statistics(here)),
                (f"feature_non_null_{name}", here.present / here.rows),
                (f"feature_baseline_drift_{name}", baseline_drift(there, here, settings)),
            ]
            points += [
                MetricPoint(name=metric, dimensions=publisher.dimensions, value=value)
                for metric, value in values
                if value is not None
            ]
    return tuple(points)


def baseline_drift(
    baseline: FeatureProfile, window: FeatureProfile, settings: MonitoringSettings
) -> float | None:
    """Return the number that Model Monitor compares with a column's threshold.

    That is its distance, or the p-value with ``ChiSquared``; in either mode of the monitor, since
    alarms on the metric have thresholds that were chosen for it.

    Returns
    -------
    float or None
        None if nothing is compared: switched off, no values, or more different words than Model
        Monitor compares.
    """
    if not settings.perform_comparison:
        return None
    distance = model_monitor_distance(baseline, window, settings)
    return None if isinstance(distance, str) else publishable(distance.value)


def model_quality_points(
    publisher: Publisher, metrics: Mapping[str, float | None]
) -> tuple[MetricPoint, ...]:
    """Return the metrics of a model-quality window: ``f2``, ``auc``, ``rmse``, ... by their keys.

    Examples
    --------
    >>> publisher = Publisher(schedule="quality", endpoint="churn")
    >>> [(p.name, p.value) for p in model_quality_points(publisher, {"f2": 0.8, "auc": None})]
    [('f2', 0.8)]
    """
    return _points(publisher.dimensions, metrics)


def bias_points(publisher: Publisher, metrics: Iterable[BiasMetric]) -> tuple[MetricPoint, ...]:
    """Return the metrics of a bias window: ``bias_metric_{CI}``, ... with what they are about."""
    points: list[MetricPoint] = []
    for metric in metrics:
        about = (
            ("BiasStage", metric.stage),
            ("Label", metric.label),
            ("LabelValue", metric.label_value),
            ("Facet", metric.facet),
            ("FacetValue", metric.facet_value),
        )
        named = {f"bias_metric_{metric.name}": metric.value}
        points += _points((*publisher.dimensions, *about), named)
    return tuple(points)


def attribution_points(
    publisher: Publisher,
    *,
    label: str,
    global_shap_values: Mapping[str, float | None],
    expected_value: float | None,
) -> tuple[MetricPoint, ...]:
    """Return the metrics of an explainability window, for one label.

    ``feature_{X}`` for every feature's global SHAP value, and ``ExpectedValue``.
    """

    def about(value_type: str) -> tuple[tuple[str, str], ...]:
        return (
            *publisher.dimensions,
            ("ExplainabilityMethod", "KernelShap"),
            ("Label", label),
            ("ValueType", value_type),
        )

    features = {f"feature_{name}": value for name, value in global_shap_values.items()}
    return (
        *_points(about("GlobalShapValues"), features),
        *_points(about("ExpectedValue"), {"ExpectedValue": expected_value}),
    )


def _points(
    dimensions: tuple[tuple[str, str], ...], values: Mapping[str, float | None]
) -> tuple[MetricPoint, ...]:
    return tuple(
        MetricPoint(name=name, dimensions=dimensions, value=number)
        for name, value in values.items()
        if (number := publishable(value)) is not None
    )


def _statistics(feature: FeatureProfile) -> Statistics | None:
    if feature.spec.kind not in ("numeric", "discrete"):
        return None
    total = publishable(feature.sum)
    low, high = publishable(feature.minimum), publishable(feature.maximum)
    if total is None or low is None or high is None:
        return None
    return Statistics(count=int(feature.counts.sum()), total=total, minimum=low, maximum=high)


def _fits(text: str, longest: int) -> bool:
    return len(text) <= longest and _ASCII.fullmatch(text) is not None
