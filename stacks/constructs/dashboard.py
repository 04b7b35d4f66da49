"""One dashboard per deployment, one row of widgets per monitor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from driftgauge.config import MonitorConfig
from stacks.constructs.alarms import MICROSECONDS, MonitorAlarms
from stacks.constructs.experiment_widgets import experiment_widgets
from stacks.constructs.metrics import endpoint_metric, graph_period, line_label, monitor_metric
from stacks.constructs.outcome_widgets import HEIGHT, WIDTH, outcome_widgets
from stacks.deployment import Deployment

_WORST_FEATURES = 3
# What evaluate writes once per judged window, and where its features are listed worst first.
_LOG_MESSAGE = "window evaluated"


class DeploymentDashboard(Construct):
    """The dashboard of a deployment: per monitor its alarms, drift, volume and worst features."""

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: Deployment, store: str
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment = deployment
        self._store = store
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=deployment.name,
            default_interval=cdk.Duration.days(14),
            period_override=cloudwatch.PeriodOverride.INHERIT,
        )

    def add_monitor(self, monitor: MonitorConfig, alarms: MonitorAlarms) -> None:
        """Add the row of one monitor."""
        self.dashboard.add_widgets(self._header(monitor))
        self.dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(
                title="Alarms",
                alarms=[alarms.composite, *alarms.children, *alarms.retraining],
                width=6,
                height=HEIGHT,
            ),
            _drift(monitor, width=6),
            *_evidence(monitor, width=4),
            _rows(monitor, width=4 if monitor.mode == "sound" else 6),
            _rejected(monitor, width=4 if monitor.mode == "sound" else 6),
        )
        self.dashboard.add_widgets(
            _latency(monitor, width=6),
            _errors(monitor, width=6),
            self._worst_features(monitor, width=12),
        )
        if widgets := outcome_widgets(monitor):
            self.dashboard.add_widgets(*widgets)
        for graphs in experiment_widgets(monitor):
            self.dashboard.add_widgets(*graphs)

    def _header(self, monitor: MonitorConfig) -> cloudwatch.TextWidget:
        variants = ", ".join(monitor.endpoint.variants)
        about = f"{monitor.description}. " if monitor.description else ""
        return cloudwatch.TextWidget(
            markdown=(
                f"## {monitor.name}\n{about}Endpoint `{monitor.endpoint.name}` ({variants}). "
                f"Reports: `s3://{self._store}/{monitor.name}/reports/`"
            ),
            width=WIDTH,
            height=2,
        )

    def _worst_features(self, monitor: MonitorConfig, *, width: int) -> cloudwatch.LogQueryWidget:
        features = [
            f"features.{n}.{key}"
            for n in range(_WORST_FEATURES)
            for key in ("name", "verdict", "effect")
        ]
        return cloudwatch.LogQueryWidget(
            title="Worst features of the last windows",
            log_group_names=[self._deployment.log_group_name("evaluate")],
            query_lines=[
                f"fields window_start, variant, {', '.join(features)}",
                f'filter message = "{_LOG_MESSAGE}" and monitor = "{monitor.name}"',
                "sort @timestamp desc",
                "limit 20",
            ],
            width=width,
            height=HEIGHT,
        )


def _drift(monitor: MonitorConfig, *, width: int) -> cloudwatch.GraphWidget:
    period = graph_period(monitor)
    lines = []
    for variant in monitor.lasting_variants:
        for statistic, word in (
            (cloudwatch.Stats.MAXIMUM, "worst feature"),
            (cloudwatch.Stats.percentile(90), "p90 of the features"),
        ):
            lines.append(
                monitor_metric(
                    "FeatureDistance",
                    monitor=monitor.name,
                    variant=variant,
                    statistic=statistic,
                    period=period,
                    label=line_label(monitor, variant, word),
                )
            )
        lines.append(
            monitor_metric(
                "PredictionDistance",
                monitor=monitor.name,
                variant=variant,
                period=period,
                label=line_label(monitor, variant, "predictions"),
            )
        )
    return cloudwatch.GraphWidget(
        title="Distance from the baseline (PSI)",
        left=lines,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        left_annotations=[
            cloudwatch.HorizontalAnnotation(
                value=monitor.decision.min_effect,
                label="smallest effect worth an alarm",
                color=cloudwatch.Color.RED,
            )
        ],
        width=width,
        height=HEIGHT,
    )


def _evidence(monitor: MonitorConfig, *, width: int) -> Iterator[cloudwatch.GraphWidget]:
    """Draw what sound mode decides beyond single windows and columns; nothing in strict mode."""
    alarms = monitor.window_alarms
    lines = [
        monitor_metric(
            metric,
            monitor=monitor.name,
            variant=variant,
            period=graph_period(monitor),
            label=line_label(monitor, variant, words),
        )
        for variant in monitor.lasting_variants
        for kind, metric, words in (
            ("persistent-drift", "PersistentDrift", "lasting shift"),
            ("joint-drift", "JointDrift", "columns together"),
        )
        if kind in alarms
    ]
    if lines:
        yield cloudwatch.GraphWidget(
            title="Evidence over time (1: alarm)",
            left=lines,
            left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            left_annotations=[
                cloudwatch.HorizontalAnnotation(value=1, label="alarm", color=cloudwatch.Color.RED)
            ],
            width=width,
            height=HEIGHT,
        )


def _rows(monitor: MonitorConfig, *, width: int) -> cloudwatch.GraphWidget:
    hour = cdk.Duration.hours(1)
    left: list[cloudwatch.IMetric] = []
    for variant in monitor.endpoint.variants:
        left.append(
            monitor_metric(
                "CapturedRows",
                monitor=monitor.name,
                variant=variant,
                statistic=cloudwatch.Stats.SUM,
                period=hour,
                label=line_label(monitor, variant, "rows captured an hour"),
            )
        )
        left.append(
            endpoint_metric(
                "Invocations",
                endpoint=monitor.endpoint.name,
                variant=variant,
                statistic=cloudwatch.Stats.SUM,
                period=hour,
                label=line_label(monitor, variant, "invocations an hour"),
            )
        )
    return _graph("Volume", left, width=width)


def _rejected(monitor: MonitorConfig, *, width: int) -> cloudwatch.GraphWidget:
    share = [
        monitor_metric(
            "RejectedShare",
            monitor=monitor.name,
            variant=variant,
            period=graph_period(monitor),
            label=line_label(monitor, variant, "rejected, percent of a window"),
        )
        for variant in monitor.endpoint.variants
    ]
    return cloudwatch.GraphWidget(
        title="Rejected input",
        left=share,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        left_annotations=[
            cloudwatch.HorizontalAnnotation(
                value=monitor.alarms.rejected_share * 100,
                label="alarm above",
                color=cloudwatch.Color.RED,
            )
        ],
        width=width,
        height=HEIGHT,
    )


def _latency(monitor: MonitorConfig, *, width: int) -> cloudwatch.GraphWidget:
    lines = [
        endpoint_metric(
            name,
            endpoint=monitor.endpoint.name,
            variant=variant,
            statistic=cloudwatch.Stats.percentile(99),
            period=cdk.Duration.minutes(5),
            label=line_label(monitor, variant, f"{name} p99"),
        )
        for variant in monitor.endpoint.variants
        for name in ("ModelLatency", "OverheadLatency")
    ]
    return cloudwatch.GraphWidget(
        title="Latency (microseconds)",
        left=lines,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        left_annotations=[
            cloudwatch.HorizontalAnnotation(
                value=monitor.endpoint.latency_p99 * MICROSECONDS, label="model: alarm above"
            ),
            cloudwatch.HorizontalAnnotation(
                value=monitor.endpoint.overhead_p99 * MICROSECONDS, label="overhead: alarm above"
            ),
        ],
        width=width,
        height=HEIGHT,
    )


def _errors(monitor: MonitorConfig, *, width: int) -> cloudwatch.GraphWidget:
    lines = [
        endpoint_metric(
            name,
            endpoint=monitor.endpoint.name,
            variant=variant,
            statistic=cloudwatch.Stats.AVERAGE,
            period=cdk.Duration.minutes(5),
            label=line_label(monitor, variant, f"{name[10:13]} rate"),
        )
        for variant in monitor.endpoint.variants
        for name in ("Invocation4XXErrors", "Invocation5XXErrors")
    ]
    return _graph("Errors of the endpoint", lines, width=width)


def _graph(
    title: str, lines: Sequence[cloudwatch.IMetric], *, width: int
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(lines),
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=width,
        height=HEIGHT,
    )
