"""The dashboard's graphs of a monitor's experiments, if it has any."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch

from driftgauge.config import MonitorConfig
from stacks.constructs.metrics import graph_period, monitor_metric
from stacks.constructs.outcome_widgets import HEIGHT, WIDTH

# Of one experiment by kind: title, metrics with their words.
_GRAPHS: dict[str, tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = {
    "ab": (
        ("gain of {primary}", (("ExperimentGain", "challenger's gain"),)),
        (
            "decision (1: yes)",
            (
                ("ExperimentDecided", "decided"),
                ("ExperimentHarm", "harm"),
                ("SampleRatioMismatch", "sample-ratio mismatch"),
            ),
        ),
    ),
    "shadow": (
        (
            "pairs, percent",
            (("ShadowAgreement", "agree"), ("UnpairedShare", "are missing")),
        ),
        (
            "decision (1: yes)",
            (("ExperimentDecided", "decided"), ("ExperimentHarm", "stopped")),
        ),
    ),
}


def experiment_widgets(monitor: MonitorConfig) -> list[list[cloudwatch.GraphWidget]]:
    """Return a row of graphs for each experiment."""
    rows = []
    for one in monitor.experiments:
        graphs = _GRAPHS[one.kind]
        primary = one.primary.name if one.kind == "ab" else ""
        rows.append(
            [
                cloudwatch.GraphWidget(
                    title=f"Experiment {one.name}: {title.format(primary=primary)}",
                    left=_lines(monitor, one.challenger, metrics),
                    left_y_axis=cloudwatch.YAxisProps(show_units=False),
                    width=WIDTH // len(graphs),
                    height=HEIGHT,
                )
                for title, metrics in graphs
            ]
        )
    return rows


def _lines(
    monitor: MonitorConfig, variant: str, metrics: Sequence[tuple[str, str]]
) -> list[cloudwatch.IMetric]:
    return [
        monitor_metric(
            name,
            monitor=monitor.name,
            variant=variant,
            period=graph_period(monitor),
            label=words,
        )
        for name, words in metrics
    ]
