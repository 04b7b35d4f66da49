"""What is published about a window's drift: metrics, Model Monitor's metrics, a line in the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from driftgauge.baseline import Baseline
from driftgauge.config import MonitorConfig
from driftgauge.drift.verdict import JointVerdict, PersistentDrift, WindowVerdict
from driftgauge.errors import StoreError
from driftgauge.profile.profile import Profile
from driftgauge.report.compatible_metrics import (
    MetricPoint,
    MonitorType,
    Publisher,
    data_quality_points,
)
from driftgauge.store.services import put_metric_data
from driftgauge.windows import format_time
from lambdas.runtime import Measure, Runtime, logger, now, publish_metrics

# CloudWatch takes no datapoint that is older.
OLDEST_METRIC = timedelta(days=14)
# Metrics with alarms that a model's predictions are part of.
_OF_PREDICTIONS = frozenset({"DriftedPredictions", "PersistentDrift", "JointDrift"})
# Evidence grows without bound; a graph should still show where it rings, which is at 1.
_MOST_EVIDENCE = 10.0


def publish_verdict(
    config: MonitorConfig, verdict: WindowVerdict, *, is_newest: bool, is_replaced: bool = False
) -> None:
    """Publish a verdict's metrics and its line in the log.

    The newest window's metrics carry the present time, because alarms look at the present. An
    older window that late data changed carries its own end, if CloudWatch still takes it.

    While the variant's model ``is_replaced`` by another, whose baseline is not in force yet, what
    the baseline says of predictions is left out: it would roll the new model back for being one.
    """
    line = describe_verdict(verdict)
    published = [
        measure
        for measure in measures(verdict)
        if not (is_replaced and measure.name in _OF_PREDICTIONS)
    ]
    if is_newest:
        publish_metrics(config=config, variant=verdict.variant, measures=published)
    elif now() - verdict.window_end < OLDEST_METRIC:
        publish_metrics(
            config=config,
            variant=verdict.variant,
            measures=published,
            moment=verdict.window_end,
        )
    logger.info("window evaluated", extra={"newest": is_newest, **line})


def is_compatible(config: MonitorConfig, variant: str) -> bool:
    """Return whether a variant's windows are published under Model Monitor's names too."""
    settings = config.model_monitor_metrics
    return settings is not None and variant == (settings.variant or config.endpoint.variants[0])


def publish_compatible(
    run: Runtime,
    config: MonitorConfig,
    baseline: Baseline,
    profile: Profile,
    *,
    variant: str,
    moment: datetime,
) -> None:
    """Publish a closed window under Model Monitor's names, if the monitor asks for it.

    A refusal does not undo the evaluation, which has been written: it is logged, and counted as
    a failed evaluation so that an alarm rings.
    """
    publisher = publisher_of(config)
    if publisher is None:
        return
    points = data_quality_points(
        publisher, profile=profile, baseline=baseline.profile, constraints=baseline.constraints
    )
    put_points(run, config, publisher, "data", points, variant=variant, moment=moment)


def publisher_of(config: MonitorConfig) -> Publisher | None:
    """Return in whose name Model Monitor's metrics are published; None: they are not."""
    settings = config.model_monitor_metrics
    if settings is None:
        return None
    return Publisher(
        schedule=settings.schedule,
        endpoint=None if settings.batch else config.endpoint.name,
        namespace=settings.namespace,
    )


def put_points(
    run: Runtime,
    config: MonitorConfig,
    publisher: Publisher,
    kind: MonitorType,
    points: Sequence[MetricPoint],
    *,
    variant: str,
    moment: datetime,
) -> None:
    """Publish metrics under Model Monitor's names, unless they are too old for CloudWatch."""
    if now() - moment >= OLDEST_METRIC:
        return
    refused = [point.name for point in points if not point.acceptable]
    if refused:
        logger.warning("metrics without a name CloudWatch takes", count=len(refused))
    try:
        put_metric_data(
            namespace=publisher.namespace_of(kind),
            points=[point for point in points if point.acceptable],
            moment=moment,
            client=run.cloudwatch,
        )
    except StoreError as error:
        publish_metrics(config=config, variant=variant, measures=[Measure("EvaluationFailures", 1)])
        logger.error("Model Monitor metrics not published", monitor=config.name, reason=str(error))


def measures(verdict: WindowVerdict) -> Iterator[Measure]:
    """Return the metrics of a verdict.

    A window with too few rows says nothing about drift, so those metrics stay away and the
    alarms keep their state.
    """
    for feature in verdict.features:
        # The distance that strict mode's chi-squared has is a p-value: larger is nearer.
        comparable = feature.effect is not None or feature.test != "chi_squared"
        if feature.distance is not None and comparable:
            name = "FeatureDistance" if feature.role == "input" else "PredictionDistance"
            yield Measure(name, feature.distance, "None")
    if not verdict.insufficient:
        yield Measure("DriftedFeatures", len(verdict.drifted_inputs))
        yield Measure("DriftedPredictions", len(verdict.drifted_outputs))
    persistent, joint = verdict.persistent, verdict.joint
    if persistent is not None:
        # A new baseline's evidence starts with nothing, and what rang before it must fall silent.
        learning = persistent.verdict == "insufficient_data"
        ratio = 0.0 if learning else persistent.value / persistent.threshold
        yield Measure("PersistentDrift", min(ratio, _MOST_EVIDENCE), "None")
    if joint is not None and joint.verdict != "insufficient_data":
        yield Measure("JointDrift", float(joint.verdict == "drift"))
    if verdict.quality_violations or not verdict.insufficient:
        yield Measure("Violations", len(verdict.quality_violations))
    yield Measure("WindowRows", verdict.rows)
    if verdict.rows or verdict.rejected_total:
        yield Measure("RejectedShare", 100.0 * verdict.rejected_share, "Percent")
    yield Measure("EvaluationFailures", 0)


def describe_verdict(verdict: WindowVerdict) -> dict[str, object]:
    """Return the fields of the log line: the numbers of every column, and no payload values."""
    return {
        "monitor": verdict.monitor,
        "variant": verdict.variant,
        "window_start": format_time(verdict.window_start),
        "window_end": format_time(verdict.window_end),
        "baseline": verdict.baseline_version,
        "rows": verdict.rows,
        "other_baseline_rows": verdict.other_baseline_rows,
        "rejected": verdict.rejected,
        "alarm": verdict.alarm,
        "violations": len(verdict.violations),
        "seasonal": [f.name for f in verdict.features if f.verdict == "seasonal"],
        "persistent": _describe_persistent(verdict.persistent),
        "joint": _describe_joint(verdict.joint),
        "references": [
            {"name": one.name, "rows": one.rows, "drifted": one.drifted}
            for one in verdict.references
        ],
        "features": [
            {
                "name": f.name,
                "role": f.role,
                "verdict": f.verdict,
                "rows": f.rows,
                "distance": f.distance,
                "effect": f.effect,
                "p_value": f.adjusted_p_value,
            }
            for f in verdict.features
        ],
    }


def _describe_persistent(persistent: PersistentDrift | None) -> dict[str, object] | None:
    if persistent is None:
        return None
    # Aspects may be categories, which are values of the payload.
    return {
        "verdict": persistent.verdict,
        "value": persistent.value,
        "threshold": persistent.threshold,
        "windows": persistent.windows,
        "features": [
            {"name": one.name, "value": one.value, "since": format_time(one.since)}
            for one in persistent.features
        ],
    }


def _describe_joint(joint: JointVerdict | None) -> dict[str, object] | None:
    if joint is None:
        return None
    return {
        "verdict": joint.verdict,
        "tests": [
            {"name": one.name, "effect": one.effect, "p_value": one.adjusted_p_value}
            for one in joint.tests
        ],
    }
