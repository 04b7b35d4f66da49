"""The dashboard's graphs of what came of a monitor's predictions, as far as it is monitored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from driftgauge.config import MonitorConfig
from stacks.constructs.metrics import graph_period, line_label, monitor_metric

WIDTH = 24
HEIGHT = 6


def outcome_widgets(monitor: MonitorConfig) -> list[cloudwatch.GraphWidget]:
    """Return one row of graphs: quality, labels, bias, attributions; those that are configured."""
    graphs = list(_graphs(monitor))
    width = WIDTH // len(graphs) if graphs else WIDTH
    return [cloudwatch.GraphWidget(**graph, width=width, height=HEIGHT) for graph in graphs]


def _graphs(monitor: MonitorConfig) -> Iterator[dict[str, Any]]:
    if monitor.outcomes is not None:
        yield _quality(monitor)
        yield _label_standing(monitor)
        yield _label_arrival(monitor)
    if monitor.bias is not None:
        yield {
            "title": "Bias beyond the baseline's (1 or more: alarm)",
            "left": _lines(monitor, [("BiasDrift", "drifted bias metrics")]),
            "left_y_axis": _axis(min=0),
            "left_annotations": [_rings_at(1, "alarm")],
        }
    if monitor.attribution is not None:
        yield _attribution(monitor, ndcg_limit=monitor.attribution.ndcg_limit)


def _quality(monitor: MonitorConfig) -> dict[str, Any]:
    """Draw quality by labels and without them on the left, what lies between on the right."""
    estimated = monitor.estimates_quality
    graph = {
        "title": f"Quality: {monitor.primary_measure}",
        "left": _lines(
            monitor,
            [
                ("RealisedQuality", "by labels"),
                *([("EstimatedQuality", "estimated without labels")] if estimated else []),
            ],
        ),
        "left_y_axis": _axis(),
    }
    if estimated:
        graph["right"] = _lines(monitor, [("QualityGap", "gap")])
        graph["right_y_axis"] = _axis(label="gap")
    return graph


def _label_standing(monitor: MonitorConfig) -> dict[str, Any]:
    return {
        "title": "Labels of a window",
        "left": _lines(monitor, [("LabelCoverage", "rows with a label, percent")]),
        "left_y_axis": _axis(min=0, max=100),
        "right": _lines(monitor, [("LabelDelay", "median delay, seconds")]),
        "right_y_axis": _axis(min=0, label="seconds"),
    }


def _label_arrival(monitor: MonitorConfig) -> dict[str, Any]:
    hour = cdk.Duration.hours(1)
    first, *_ = monitor.endpoint.variants
    return {
        "title": "Labels arriving, an hour",
        "left": [
            monitor_metric(
                name,
                monitor=monitor.name,
                variant=variant,
                statistic=cloudwatch.Stats.SUM,
                period=hour,
                label=line_label(monitor, variant, words),
            )
            for name, words, variants in (
                ("MatchedLabels", "matched", monitor.endpoint.variants),
                # Of no known prediction, so of no known variant.
                ("UnmatchedLabels", "without a prediction", (first,)),
                ("RejectedLabels", "unreadable", (first,)),
            )
            for variant in variants
        ],
        "left_y_axis": _axis(min=0),
    }


def _attribution(monitor: MonitorConfig, *, ndcg_limit: float) -> dict[str, Any]:
    return {
        "title": "Attributions: likeness to the baseline's",
        "left": _lines(monitor, [("AttributionNdcg", "NDCG")]),
        "left_y_axis": _axis(max=1),
        # In sound mode the distance of the shares decides, and the limit is for orientation.
        "left_annotations": [_rings_at(ndcg_limit, "strict mode: alarm below")],
        "right": _lines(monitor, [("AttributionDrift", "outputs with drift")]),
        "right_y_axis": _axis(min=0),
    }


def _lines(monitor: MonitorConfig, names: Sequence[tuple[str, str]]) -> list[cloudwatch.IMetric]:
    return [
        monitor_metric(
            name,
            monitor=monitor.name,
            variant=variant,
            period=graph_period(monitor),
            label=line_label(monitor, variant, words),
        )
        for variant in monitor.lasting_variants
        for name, words in names
    ]


def _axis(**bounds: Any) -> cloudwatch.YAxisProps:
    return cloudwatch.YAxisProps(show_units=False, **bounds)


def _rings_at(value: float, label: str) -> cloudwatch.HorizontalAnnotation:
    return cloudwatch.HorizontalAnnotation(value=value, label=label, color=cloudwatch.Color.RED)
