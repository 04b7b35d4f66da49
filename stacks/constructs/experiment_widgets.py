"""The dashboard's graphs of what a monitor compares: its experiments, the stages of a roll-out."""

from __future__ import annotations

from collections.abc import Iterator

from aws_cdk import aws_cloudwatch as cloudwatch

from driftgauge.config import MonitorConfig
from driftgauge.rollout_settings import COMPARED_KINDS, ComparedKind, RollOutSettings
from stacks.constructs.metrics import graph_period, monitor_metric
from stacks.constructs.outcome_widgets import HEIGHT, WIDTH

# Title, and metrics with their words.
_Graph = tuple[str, dict[str, str]]

_PAIRS = {"ShadowAgreement": "agree", "UnpairedShare": "are missing"}
_GAIN = {"ExperimentGain": "challenger's gain"}
_DECISION = {"ExperimentDecided": "decided", "ExperimentHarm": "harm"}
_MISMATCH = {"SampleRatioMismatch": "sample-ratio mismatch"}


def experiment_widgets(monitor: MonitorConfig) -> list[list[cloudwatch.GraphWidget]]:
    """Return a row of graphs for each experiment, and one for the stages of a roll-out."""
    rows: list[tuple[str, list[_Graph]]] = []
    for one in monitor.experiments:
        name = f"Experiment {one.name}"
        primary = one.primary.name if one.kind == "ab" else ""
        graphs = [_measured(name, one.kind, primary), _decision(name, {one.kind})]
        rows.append((one.challenger, graphs))
    if monitor.rollout is not None and monitor.rolled_out is not None:
        rows.append((monitor.rolled_out, list(_rollout(monitor.rollout))))
    return [[_widget(monitor, variant, *one, len(row)) for one in row] for variant, row in rows]


def _rollout(rollout: RollOutSettings) -> Iterator[_Graph]:
    """Yield a graph for each stage that compares, and one of what was decided."""
    judged = {"canary": rollout.canary, "ab": rollout.ab}
    for stage in rollout.compared:
        settings = judged.get(stage)
        primary = settings.primary.name if settings else ""
        yield _measured(f"Roll-out, {stage}", COMPARED_KINDS[stage], primary)
    yield _decision("Roll-out", set(rollout.kinds))


def _measured(name: str, kind: ComparedKind, primary: str) -> _Graph:
    if kind == "shadow":
        return f"{name}: pairs, percent", _PAIRS
    return f"{name}: gain of {primary}", _GAIN


def _decision(name: str, kinds: set[ComparedKind]) -> _Graph:
    return f"{name}: decision (1: yes)", _DECISION | (_MISMATCH if "ab" in kinds else {})


def _widget(
    monitor: MonitorConfig, variant: str, title: str, metrics: dict[str, str], graphs: int
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=[
            monitor_metric(
                metric,
                monitor=monitor.name,
                variant=variant,
                period=graph_period(monitor),
                label=words,
            )
            for metric, words in metrics.items()
        ],
        left_y_axis=cloudwatch.YAxisProps(show_units=False),
        width=WIDTH // graphs,
        height=HEIGHT,
    )
