"""What is measured: the metrics that the functions and the endpoint publish.

The functions publish few metrics, with the dimensions Monitor and Variant only; every feature of
a window is one value of the metric FeatureDistance.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from driftgauge.config import MonitorConfig

NAMESPACE = "driftgauge"
_ENDPOINT_NAMESPACE = "AWS/SageMaker"


def monitor_metric(
    name: str,
    *,
    monitor: str,
    variant: str,
    statistic: str = cloudwatch.Stats.MAXIMUM,
    period: cdk.Duration,
    label: str | None = None,
) -> cloudwatch.Metric:
    """Return a metric that the functions publish for one variant of a monitor."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"Monitor": monitor, "Variant": variant},
        statistic=statistic,
        period=period,
        label=label,
    )


def endpoint_metric(
    name: str,
    *,
    endpoint: str,
    variant: str,
    statistic: str,
    period: cdk.Duration,
    label: str | None = None,
) -> cloudwatch.Metric:
    """Return a metric that SageMaker publishes for one variant of an endpoint.

    Latencies are in microseconds. Invocation4XXErrors and Invocation5XXErrors are 0 or 1 per
    invocation, so their average is a rate.
    """
    return cloudwatch.Metric(
        namespace=_ENDPOINT_NAMESPACE,
        metric_name=name,
        dimensions_map={"EndpointName": endpoint, "VariantName": variant},
        statistic=statistic,
        period=period,
        label=label,
    )


def graph_period(monitor: MonitorConfig) -> cdk.Duration:
    """Return a period that dashboards can draw: points of seconds live for three hours only."""
    return cdk.Duration.seconds(max(60, int(monitor.alarm_period.total_seconds())))


def line_label(monitor: MonitorConfig, variant: str, words: str) -> str:
    """Return the label of a line in a graph; it names the variant where there are several."""
    return words if len(monitor.endpoint.variants) == 1 else f"{variant}: {words}"
