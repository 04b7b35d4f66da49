from __future__ import annotations

import re
from typing import Any

import pytest

from driftgauge.config import MonitorSet
from driftgauge.errors import ConfigError
from stacks.buckets import Buckets
from stacks.constructs.alarms import MonitorAlarms
from stacks.deployment import Deployment
from tests.infrastructure.policies import alarm_changed, targets_of
from tests.infrastructure.synthesized import Synthesized, monitor, new_app, synthesize

WINDOW_KINDS = {
    "feature-drift": ("DriftedFeatures", "GreaterThanOrEqualToThreshold", 1),
    "prediction-drift": ("DriftedPredictions", "GreaterThanOrEqualToThreshold", 1),
    "data-quality": ("Violations", "GreaterThanOrEqualToThreshold", 1),
    "rejected-rows": ("RejectedShare", "GreaterThanThreshold", 1),
    "joint-drift": ("JointDrift", "GreaterThanOrEqualToThreshold", 1),
}
ENDPOINT_KINDS: dict[str, dict[str, Any]] = {
    # SageMaker's latencies are in microseconds; the settings are in milliseconds.
    "model-latency": {
        "MetricName": "ModelLatency",
        "ExtendedStatistic": "p99",
        "Threshold": 1_000_000,
    },
    "overhead-latency": {
        "MetricName": "OverheadLatency",
        "ExtendedStatistic": "p99",
        "Threshold": 500_000,
    },
    "errors-4xx": {
        "MetricName": "Invocation4XXErrors",
        "Statistic": "Average",
        "Threshold": 0.05,
    },
    "errors-5xx": {
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",
        "Threshold": 0.01,
    },
}
ALL_KINDS = {
    *WINDOW_KINDS,
    *ENDPOINT_KINDS,
    "persistent-drift",
    "silence",
    "evaluation-failures",
    "invocations",
}


def dimensions(alarm: dict[str, Any]) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in alarm["Dimensions"]}


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_windows_verdict_rings_until_another_window_has_one(
    varied: Synthesized, kind: str
) -> None:
    metric, comparison, threshold = WINDOW_KINDS[kind]
    alarm = varied.alarm(f"staging-churn-AllTraffic-{kind}")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("driftgauge", metric)
    assert dimensions(alarm) == {"Monitor": "churn", "Variant": "AllTraffic"}
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (comparison, threshold)
    assert alarm["Statistic"] == "Maximum"
    assert alarm["TreatMissingData"] == "ignore"
    # Two of three windows of an hour, as the monitor says.
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)
    assert alarm["Period"] == 3600


def test_evidence_over_time_rings_at_once_because_all_windows_are_in_it(
    varied: Synthesized,
) -> None:
    alarm = varied.alarm("staging-churn-AllTraffic-persistent-drift")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("PersistentDrift", "Maximum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "GreaterThanOrEqualToThreshold",
        1,
    )
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (1, 1)
    assert alarm["TreatMissingData"] == "ignore"
    assert "once in 365d on average at most" in alarm["AlarmDescription"]


@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        ({"mode": "strict"}, {"persistent-drift", "joint-drift"}),
        ({"decision": {"persistence": {"enabled": False}}}, {"persistent-drift"}),
        ({"decision": {"joint": {"enabled": False}}}, {"joint-drift"}),
    ],
)
def test_what_is_not_decided_has_no_alarm(settings: dict[str, Any], absent: set[str]) -> None:
    stacks = synthesize(monitor("churn", **settings))
    kinds = {
        alarm.properties["AlarmName"].removeprefix("driftgauge-churn-AllTraffic-")
        for alarm in stacks.all("AWS::CloudWatch::Alarm")
        if alarm.properties["AlarmName"].startswith("driftgauge-churn-AllTraffic-")
    }
    assert kinds == ALL_KINDS - absent
    (composite,) = stacks.all("AWS::CloudWatch::CompositeAlarm")
    for kind in absent:
        assert kind not in composite.properties["AlarmRule"]


def test_the_alarms_of_a_monitor_look_as_often_as_it_says(
    default: Synthesized, varied: Synthesized
) -> None:
    assert default.alarm("driftgauge-flight-delays-AllTraffic-feature-drift")["Period"] == 10
    # Windows of six hours and of a day.
    assert varied.alarm("staging-churn-by-region-blue-feature-drift")["Period"] == 6 * 3600
    assert varied.alarm("staging-fraud-AllTraffic-feature-drift")["Period"] == 24 * 3600


def test_silence_rings_when_no_row_comes_for_the_configured_hours(varied: Synthesized) -> None:
    alarm = varied.alarm("staging-churn-AllTraffic-silence")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("CapturedRows", "Sum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (3600, 6)
    assert alarm["DatapointsToAlarm"] == 6
    assert alarm["TreatMissingData"] == "breaching"


def test_one_failed_evaluation_rings_and_no_evaluation_does_not(varied: Synthesized) -> None:
    alarm = varied.alarm("staging-churn-AllTraffic-evaluation-failures")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("EvaluationFailures", "Maximum")
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (1, 1)
    assert alarm["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("kind", ENDPOINT_KINDS)
def test_the_endpoints_own_alarms_look_at_sagemakers_metrics(
    varied: Synthesized, kind: str
) -> None:
    alarm = varied.alarm(f"staging-churn-AllTraffic-{kind}")
    assert alarm["Namespace"] == "AWS/SageMaker"
    assert dimensions(alarm) == {"EndpointName": "churn", "VariantName": "AllTraffic"}
    assert alarm.items() >= ENDPOINT_KINDS[kind].items()
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["TreatMissingData"] == "notBreaching"


def test_volume_is_compared_with_a_band_around_what_is_usual(varied: Synthesized) -> None:
    alarm = varied.alarm("staging-churn-AllTraffic-invocations")
    band, metric = sorted(alarm["Metrics"], key=lambda one: "MetricStat" in one)
    assert band["Expression"] == f"ANOMALY_DETECTION_BAND({metric['Id']}, 3)"
    assert alarm["ThresholdMetricId"] == band["Id"]
    assert metric["MetricStat"]["Metric"]["MetricName"] == "Invocations"
    assert metric["MetricStat"]["Stat"] == "Sum"
    assert alarm["ComparisonOperator"] == "LessThanLowerOrGreaterThanUpperThreshold"


def test_a_monitor_may_leave_the_endpoints_own_alarms_to_others(varied: Synthesized) -> None:
    kinds = {
        alarm.properties["AlarmName"].removeprefix("staging-churn-by-region-blue-")
        for alarm in varied.all("AWS::CloudWatch::Alarm")
        if alarm.properties["AlarmName"].startswith("staging-churn-by-region-blue-")
    }
    assert kinds == ALL_KINDS - ENDPOINT_KINDS.keys() - {"invocations"}


def test_the_composite_alarm_stands_for_every_alarm_of_its_monitor(varied: Synthesized) -> None:
    composites = {
        one.properties["AlarmName"]: one for one in varied.all("AWS::CloudWatch::CompositeAlarm")
    }
    # The other one starts a retraining, and stands for nothing.
    composites.pop("staging-churn-AllTraffic-retraining")
    assert set(composites) == {"staging-churn", "staging-churn-by-region", "staging-fraud"}
    expected = {
        "staging-churn": {f"staging-churn-AllTraffic-{kind}" for kind in ALL_KINDS},
        "staging-churn-by-region": {
            f"staging-churn-by-region-{variant}-{kind}"
            for variant in ("blue", "green")
            for kind in ALL_KINDS - ENDPOINT_KINDS.keys() - {"invocations"}
        },
        "staging-fraud": {f"staging-fraud-AllTraffic-{kind}" for kind in ALL_KINDS},
    }
    for name, composite in composites.items():
        terms = composite.properties["AlarmRule"].split(" OR ")
        children = {re.fullmatch(r'ALARM\("(.+)"\)', term)[1] for term in terms}  # type: ignore[index]
        assert children == expected[name]
        # The rule names them, so CloudFormation has to be told to make them first.
        before = [
            varied.templates["Monitoring"]["Resources"][one]["Properties"]["AlarmName"]
            for one in composite.attributes["DependsOn"]
        ]
        assert set(before) == children


def test_no_alarm_rings_unheard(varied: Synthesized) -> None:
    topic = f"<{varied.logical_id('AWS::SNS::Topic', 'Topic')}>"
    composites = [
        one
        for one in varied.all("AWS::CloudWatch::CompositeAlarm")
        if not one.properties["AlarmName"].endswith("-retraining")
    ]
    rules = [one.properties["AlarmRule"] for one in composites]
    for alarm in varied.all("AWS::CloudWatch::Alarm"):
        heard = alarm.properties.get("AlarmActions") == [topic]
        inside = [rule for rule in rules if f'"{alarm.properties["AlarmName"]}"' in rule]
        assert heard or len(inside) == 1, alarm.properties["AlarmName"]
        assert not (heard and inside), alarm.properties["AlarmName"]
    notify = f"<{varied.function('notify').logical_id}.Arn>"
    for composite in composites:
        event = alarm_changed(composite.properties["AlarmName"], "ALARM", "OK")
        assert targets_of(varied, event) == [notify]


def test_every_alarm_has_a_name_of_its_own_and_says_what_to_do(varied: Synthesized) -> None:
    alarms = [
        *varied.all("AWS::CloudWatch::Alarm"),
        *varied.all("AWS::CloudWatch::CompositeAlarm"),
    ]
    names = [alarm.properties["AlarmName"] for alarm in alarms]
    assert len(set(names)) == len(names)
    for alarm in alarms:
        text = alarm.properties["AlarmDescription"]
        assert 80 < len(text) <= 1024, alarm.properties["AlarmName"]
        assert alarm.properties["AlarmName"].startswith("staging-")


def test_every_alarm_says_what_missing_data_means(varied: Synthesized) -> None:
    for alarm in varied.all("AWS::CloudWatch::Alarm"):
        assert alarm.properties["TreatMissingData"] in ("ignore", "notBreaching", "breaching")


@pytest.mark.parametrize("verb", ["profile", "evaluate", "baseline", "notify", "train"])
def test_a_function_that_keeps_failing_rings(default: Synthesized, verb: str) -> None:
    alarm = default.alarm(f"driftgauge-{verb}-errors")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    assert dimensions(alarm) == {"FunctionName": f"<{default.function(verb).logical_id}>"}
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)


@pytest.mark.parametrize("verb", ["profile", "evaluate", "baseline", "notify", "retraining"])
def test_a_dead_letter_rings(default: Synthesized, verb: str) -> None:
    alarm = default.alarm(f"driftgauge-{verb}-dead-letters")
    (queue,) = dimensions(alarm).values()
    kept = {
        f"<{one.logical_id}.QueueName>"
        for one in default.all("AWS::SQS::Queue")
        if "RedrivePolicy" not in one.properties
    }
    assert queue in kept
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["EvaluationPeriods"] == 1


def test_more_variants_than_a_composite_alarm_holds_are_refused_with_a_way_out() -> None:
    variants = [f"variant-{number}" for number in range(10)]
    crowded = monitor(endpoint={"name": "churn", "variants": variants})
    with pytest.raises(ConfigError, match=r"130 alarms.*endpoint\.alarms: false"):
        synthesize(crowded)


def test_long_names_are_refused_before_the_rule_of_the_composite_is_too_long() -> None:
    import aws_cdk as cdk

    variants = [f"{number}{'v' * 62}" for number in range(7)]
    long = monitor("m" * 50, endpoint={"name": "churn", "variants": variants})
    stack = cdk.Stack(new_app(), "Crowded")
    deployment = Deployment(name="driftgauge", monitors=MonitorSet(monitors=(long,)))
    with pytest.raises(ConfigError, match="91 alarms"):
        MonitorAlarms(
            stack,
            "Alarms",
            deployment=deployment,
            monitor=long,
            store=Buckets(deployment=deployment).store,
        )
