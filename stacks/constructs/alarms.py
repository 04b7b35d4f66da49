"""From limits to alarms: what rings for one monitor, and the one alarm that stands for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConfigError
from driftgauge.windows import format_duration
from stacks.constructs.experiment_verdicts import experiment_verdicts
from stacks.constructs.metrics import endpoint_metric, monitor_metric
from stacks.constructs.retraining_alarm import (
    RULE_CHARACTERS,
    needs_retraining_alarm,
    retraining_alarm,
)
from stacks.deployment import Deployment

# CloudWatch's limit on a composite alarm, besides that on the length of its rule.
CHILDREN = 100

ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD

# A window's verdict stands until the next window has one.
HOLD = cloudwatch.TreatMissingData.IGNORE
GOOD = cloudwatch.TreatMissingData.NOT_BREACHING
BAD = cloudwatch.TreatMissingData.BREACHING

# The endpoint's own alarms look every five minutes and want three breaches of the last three. Where
# models are rolled out it is every minute: a new fleet is watched for some minutes only.
ENDPOINT_PERIOD = cdk.Duration.minutes(5)
ROLL_OUT_PERIOD = cdk.Duration.minutes(1)
ENDPOINT_PERIODS = 3
# Volume is compared with a band around what the same hour of the week brings. It is wide, and four
# quarter-hours of five must leave it: silence has its own alarm, this one is for steps and surges.
VOLUME_PERIOD = cdk.Duration.minutes(15)
VOLUME_DEVIATIONS = 3
VOLUME_BREACHES, VOLUME_PERIODS = 4, 5
MICROSECONDS = 1000

# What is decided once labels come, or predictions are explained: kind, metric, whether one window
# is enough, meaning. Windows whose labels are not complete enough yet say nothing, so the alarm
# keeps its state.
OUTCOME_VERDICTS = (
    (
        "quality-decay",
        "QualityDecay",
        False,
        "labels have come, and by them the model's predictions are worse than in its baseline, of "
        "all rows or of a segment, beyond chance and tolerance. The report names the measures and "
        "says since when; whether the inputs moved too tells a broken source from another world.",
    ),
    (
        "concept-drift",
        "ConceptDrift",
        False,
        "labels contradict the quality that was estimated without them: the same inputs lead to "
        "other outcomes than when the model was trained. No repair of the inputs helps, a model "
        "trained on recent labels may.",
    ),
    (
        "bias-drift",
        "BiasDrift",
        False,
        "groups are treated more unequally than in the baseline, beyond chance and tolerance. The "
        "report names groups and metrics; bias/constraint_violations.json beside it lists them.",
    ),
    (
        "attribution-drift",
        "AttributionDrift",
        False,
        "the model rests on other features than in its baseline. The report shows whose part grew: "
        "have inputs moved to where the model uses them otherwise, or was it replaced?",
    ),
)

# What rings about a variant that a roll-out compares. It serves for hours or days, and a better
# model may well predict otherwise than the champion's baseline: neither silence nor drift is news.
_OF_CHALLENGER = frozenset(
    {
        *("rejected-rows", "evaluation-failures", "experiment-harm", "sample-ratio"),
        *("model-latency", "overhead-latency", "errors-4xx", "errors-5xx"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """When one metric of one variant rings."""

    kind: str
    metric: cloudwatch.Metric
    comparison: cloudwatch.ComparisonOperator
    threshold: float
    datapoints: int
    periods: int
    missing: cloudwatch.TreatMissingData
    meaning: str


class MonitorAlarms(Construct):
    """All alarms of one monitor.

    The children have no actions: they colour the dashboard and, some of them, start a retraining.
    People are told by the composite alarm, once for whatever rings together. Where a retraining
    takes several alarms at once, each variant has a composite for that as well.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        monitor: MonitorConfig,
        store: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.children: list[cloudwatch.AlarmBase] = []
        self.retraining: list[cloudwatch.CompositeAlarm] = []
        names: list[str] = []
        for variant in monitor.endpoint.variants:
            where = f"Monitor {monitor.name}, variant {variant}: "
            look = (
                f" Reports: s3://{store}/{monitor.name}/reports/{variant}/. Log group: "
                f"{deployment.log_group_name('evaluate')}."
            )
            folder = Construct(self, variant)
            own = len(self.children)
            for limit, hint in _limits(monitor, variant, look=look):
                name = deployment.alarm_name(monitor.name, variant, limit.kind)
                names.append(name)
                self.children.append(
                    _alarm(folder, limit, name=name, description=where + limit.meaning + hint)
                )
            if variant == monitor.rolled_out:
                continue
            if monitor.endpoint.alarms:
                name = deployment.alarm_name(monitor.name, variant, "invocations")
                names.append(name)
                self.children.append(
                    _volume_alarm(folder, monitor, variant, name=name, where=where)
                )
            if needs_retraining_alarm(monitor):
                self.retraining.append(
                    retraining_alarm(
                        folder,
                        deployment=deployment,
                        monitor=monitor,
                        variant=variant,
                        children=self.children[own:],
                    )
                )
        self.composite = self._composite(deployment, monitor, names)

    def _composite(
        self, deployment: Deployment, monitor: MonitorConfig, names: list[str]
    ) -> cloudwatch.CompositeAlarm:
        # By name: a rule of ARNs is twice as long, and its length is limited.
        rule = " OR ".join(f'ALARM("{name}")' for name in names)
        if len(names) > CHILDREN or len(rule) > RULE_CHARACTERS:
            raise ConfigError(
                f"monitor {monitor.name!r}: {len(monitor.endpoint.variants)} variants have "
                f"{len(names)} alarms, more than one composite alarm holds: split the variants "
                "over two monitors, or set endpoint.alarms: false"
            )
        composite = cloudwatch.CompositeAlarm(
            self,
            "Monitor",
            composite_alarm_name=deployment.monitor_alarm_name(monitor.name),
            alarm_description=(
                f"Something is wrong with {monitor.endpoint.name}"
                f"{f' ({monitor.description})' if monitor.description else ''}: at least one "
                f"alarm of monitor {monitor.name} rings. The alert names it; so does the "
                f"monitor's row on the dashboard {deployment.name}. Hand this alarm to whatever "
                "should stop when the model is unwell, such as a deployment's auto-rollback."
            )[:1024],
            alarm_rule=cloudwatch.AlarmRule.from_string(rule),
        )
        composite.node.add_dependency(*self.children)
        return composite


def _alarm(scope: Construct, limit: Limit, *, name: str, description: str) -> cloudwatch.Alarm:
    return cloudwatch.Alarm(
        scope,
        limit.kind,
        alarm_name=name,
        alarm_description=description,
        metric=limit.metric,
        comparison_operator=limit.comparison,
        threshold=limit.threshold,
        datapoints_to_alarm=limit.datapoints,
        evaluation_periods=limit.periods,
        treat_missing_data=limit.missing,
    )


def _volume_alarm(
    scope: Construct, monitor: MonitorConfig, variant: str, *, name: str, where: str
) -> cloudwatch.AnomalyDetectionAlarm:
    return cloudwatch.AnomalyDetectionAlarm(
        scope,
        "invocations",
        alarm_name=name,
        alarm_description=(
            f"{where}the number of invocations is far from what this time of the week usually "
            "brings. Look at the callers and at recent deployments; a lasting change becomes the "
            "new normal within two weeks, and the alarm falls silent by itself."
        ),
        metric=endpoint_metric(
            "Invocations",
            endpoint=monitor.endpoint.name,
            variant=variant,
            statistic=cloudwatch.Stats.SUM,
            period=VOLUME_PERIOD,
        ),
        std_devs=VOLUME_DEVIATIONS,
        comparison_operator=(
            cloudwatch.ComparisonOperator.LESS_THAN_LOWER_OR_GREATER_THAN_UPPER_THRESHOLD
        ),
        datapoints_to_alarm=VOLUME_BREACHES,
        evaluation_periods=VOLUME_PERIODS,
        treat_missing_data=GOOD,
    )


def _limits(monitor: MonitorConfig, variant: str, *, look: str) -> Iterator[tuple[Limit, str]]:
    """Yield what rings for a variant, each with where to look."""
    every = (
        *((limit, look) for limit in _window_limits(monitor, variant)),
        *((limit, "") for limit in _endpoint_limits(monitor, variant)),
    )
    for limit, hint in every:
        if variant != monitor.rolled_out:
            yield limit, hint
        elif limit.kind in _OF_CHALLENGER:
            # Once the challenger is gone nothing is published: the alarm must not hold its state.
            yield replace(limit, missing=GOOD), hint


def _window_limits(monitor: MonitorConfig, variant: str) -> Iterator[Limit]:
    settings = monitor.alarms
    limit = (
        "by more than the thresholds of constraints.json"
        if monitor.mode == "strict"
        else "beyond chance and by more than decision.min_effect"
    )
    for kind, metric, comparison, threshold, meaning in (
        (
            "feature-drift",
            "DriftedFeatures",
            AT_LEAST,
            1.0,
            f"inputs of the model are distributed otherwise than in its baseline, {limit}. The "
            "report names the features, worst first: has an upstream source changed, or the world?",
        ),
        (
            "prediction-drift",
            "DriftedPredictions",
            AT_LEAST,
            1.0,
            "the model's predictions are distributed otherwise than in its baseline. Together "
            "with feature drift: other inputs. Alone: another model, or another code around it.",
        ),
        (
            "data-quality",
            "Violations",
            AT_LEAST,
            1.0,
            "checks of the baseline's constraints fail (types, missing values, columns, unseen "
            "categories). constraint_violations.json beside the report lists them.",
        ),
        (
            "rejected-rows",
            "RejectedShare",
            ABOVE,
            settings.rejected_share * 100,
            f"more than {settings.rejected_share:.1%} of what was captured cannot be read, and is "
            f"missing from every verdict. Samples with the reasons are below {monitor.name}/"
            f"quarantine/{variant}/ in the same bucket.",
        ),
    ):
        yield Limit(
            kind=kind,
            metric=monitor_metric(
                metric, monitor=monitor.name, variant=variant, period=_period(monitor.alarm_period)
            ),
            comparison=comparison,
            threshold=threshold,
            datapoints=settings.datapoints,
            periods=settings.evaluation_periods,
            missing=HOLD,
            meaning=meaning,
        )
    yield from _verdict_limits(monitor, variant)
    yield from _experiment_limits(monitor, variant)
    hours = int(settings.silence / timedelta(hours=1))
    yield Limit(
        kind="silence",
        metric=monitor_metric(
            "CapturedRows",
            monitor=monitor.name,
            variant=variant,
            statistic=cloudwatch.Stats.SUM,
            period=cdk.Duration.hours(1),
        ),
        comparison=BELOW,
        threshold=1,
        datapoints=hours,
        periods=hours,
        missing=BAD,
        meaning=(
            f"no captured row has arrived for {hours} hours. Is the endpoint still called, is "
            "data capture still on, does the bucket still send events to EventBridge? A monitor "
            "that has never seen a capture rings too."
        ),
    )
    yield Limit(
        kind="evaluation-failures",
        metric=monitor_metric(
            "EvaluationFailures",
            monitor=monitor.name,
            variant=variant,
            period=_period(monitor.alarm_period),
        ),
        comparison=AT_LEAST,
        threshold=1,
        datapoints=1,
        periods=1,
        missing=GOOD,
        meaning="a window could not be judged, so drift would go unnoticed.",
    )


def _verdict_limits(monitor: MonitorConfig, variant: str) -> Iterator[Limit]:
    """Yield the limits on what only some monitors decide, as their window alarms say."""
    settings = monitor.alarms
    for kind, metric, once, meaning in (*_sound_verdicts(monitor), *OUTCOME_VERDICTS):
        if kind not in monitor.window_alarms:
            continue
        yield Limit(
            kind=kind,
            metric=monitor_metric(
                metric, monitor=monitor.name, variant=variant, period=_period(monitor.alarm_period)
            ),
            comparison=AT_LEAST,
            threshold=1.0,
            datapoints=1 if once else settings.datapoints,
            periods=1 if once else settings.evaluation_periods,
            missing=HOLD,
            meaning=meaning,
        )


def _experiment_limits(monitor: MonitorConfig, variant: str) -> Iterator[Limit]:
    """Yield the limits on a challenger: all looks so far are in its values.

    What an experiment decided rings until it is taken out of the monitor's file.
    """
    for kind, metric, meaning in experiment_verdicts(monitor, variant):
        yield Limit(
            kind=kind,
            metric=monitor_metric(
                metric, monitor=monitor.name, variant=variant, period=_period(monitor.alarm_period)
            ),
            comparison=AT_LEAST,
            threshold=1.0,
            datapoints=1,
            periods=1,
            missing=HOLD,
            meaning=meaning,
        )


def _sound_verdicts(monitor: MonitorConfig) -> Iterator[tuple[str, str, bool, str]]:
    """Yield what only sound mode decides: lasting shifts, and how columns go together."""
    every = format_duration(monitor.decision.persistence.false_alarm_every)
    yield (
        "persistent-drift",
        "PersistentDrift",
        # All windows so far are in its value: nothing is gained by waiting for more of them.
        True,
        "all windows together hold evidence of a shift that lasts, maybe too small for any "
        f"single window to show. Unchanged traffic rings once in {every} on average at most. "
        "The report names the columns, by how much they moved, and since when.",
    )
    yield (
        "joint-drift",
        "JointDrift",
        False,
        "columns go together otherwise than in the baseline, as a correlation that appears or "
        "is gone. The report names the pairs: is a join wrong, a column shifted against its "
        "rows, or has the population changed?",
    )


def _endpoint_limits(monitor: MonitorConfig, variant: str) -> Iterator[Limit]:
    endpoint = monitor.endpoint
    if not endpoint.alarms:
        return
    p99, average = cloudwatch.Stats.percentile(99), cloudwatch.Stats.AVERAGE
    looks = ENDPOINT_PERIOD if monitor.rollout is None else ROLL_OUT_PERIOD
    for kind, metric, statistic, threshold, meaning in (
        (
            "model-latency",
            "ModelLatency",
            p99,
            endpoint.latency_p99 * MICROSECONDS,
            f"1 of 100 answers of the model takes more than {endpoint.latency_p99:g} ms. Look at "
            "the container's log, its CPU and memory, and at the size of the requests.",
        ),
        (
            "overhead-latency",
            "OverheadLatency",
            p99,
            endpoint.overhead_p99 * MICROSECONDS,
            f"SageMaker itself adds more than {endpoint.overhead_p99:g} ms to 1 of 100 answers. "
            "Look at the number of instances and at the size of the payloads.",
        ),
        (
            "errors-4xx",
            "Invocation4XXErrors",
            average,
            endpoint.error_rate_4xx,
            f"more than {endpoint.error_rate_4xx:.1%} of the invocations are refused (4XX). Look "
            "at what changed on the callers' side.",
        ),
        (
            "errors-5xx",
            "Invocation5XXErrors",
            average,
            endpoint.error_rate_5xx,
            f"more than {endpoint.error_rate_5xx:.1%} of the invocations fail (5XX). Look at the "
            "container's log and at its memory.",
        ),
    ):
        yield Limit(
            kind=kind,
            metric=endpoint_metric(
                metric,
                endpoint=endpoint.name,
                variant=variant,
                statistic=statistic,
                period=looks,
            ),
            comparison=ABOVE,
            threshold=threshold,
            datapoints=ENDPOINT_PERIODS,
            periods=ENDPOINT_PERIODS,
            missing=GOOD,
            meaning=meaning,
        )


def _period(period: timedelta) -> cdk.Duration:
    return cdk.Duration.seconds(int(period.total_seconds()))
