"""What a monitor with a roll-out adds to the stacks besides its state machine, and only there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.costs import PRICES, estimate_deployment
from stacks.experiments import compared
from tests.infrastructure.policies import alarm_changed, may, object_created, targets_of
from tests.infrastructure.synthesized import (
    RETRAINED,
    SAGEMAKER,
    Properties,
    Synthesized,
    monitor,
    synthesize,
)
from tests.infrastructure.test_checks import findings
from tests.infrastructure.test_costs import billed, estimated
from tests.infrastructure.test_experiments import KEYS, STORE, STORE_NAME
from tests.infrastructure.test_wiring import queue_arn

ENDPOINTS = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint"
ACCURACY = {"primary": {"name": "accuracy"}}
OF_CHALLENGER = {
    "rejected-rows",
    "evaluation-failures",
    "experiment-harm",
    "sample-ratio",
    "model-latency",
    "overhead-latency",
    "errors-4xx",
    "errors-5xx",
}
ROOMS = {**KEYS, "rollout": "m/rollout.json"}


def rolled_out(name: str, strategy: str, **settings: Any) -> MonitorConfig:
    stage = {"shadow_canary": "canary", "ab": "ab"}.get(strategy)
    rollout = {"strategy": strategy, "role_arn": SAGEMAKER["role_arn"]}
    if stage is not None:
        rollout[stage] = ACCURACY
    document = {
        **RETRAINED,
        "endpoint": {"name": name, "variants": ["blue", *(["green"] if stage else [])]},
        "outcomes": {},
        "retraining": {
            "enabled": True,
            "trainer": SAGEMAKER,
            "rollout": {**rollout, "challenger": "green"},
        },
    }
    return monitor(name, **{**document, **settings})


MONITORS = (
    rolled_out("churn", "shadow_canary", window="1h", attribution={}),
    rolled_out(
        "tested",
        "ab",
        endpoint={"name": "Tested", "variants": ["blue", "green"], "alarms": False},
    ),
    rolled_out("direct", "direct"),
)


@pytest.fixture(scope="module")
def stacks() -> Synthesized:
    """A deployment of one monitor for each strategy."""
    return synthesize(*MONITORS, deployment="staging")


def alarms(stacks: Synthesized, variant: str) -> dict[str, Properties]:
    """Return the alarms of a variant, such as ``churn-green``, by kind."""
    start = f"staging-{variant}-"
    return {
        str(alarm.properties["AlarmName"]).removeprefix(start): alarm.properties
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for alarm in stacks.all(kind)
        if str(alarm.properties["AlarmName"]).startswith(start)
    }


def granted(stacks: Synthesized, verb: str, action: str) -> set[str]:
    return {room for room, key in ROOMS.items() if may(stacks, verb, action, f"{STORE}/{key}")}


def test_a_challenger_has_few_alarms(stacks: Synthesized) -> None:
    assert set(alarms(stacks, "churn-green")) == OF_CHALLENGER
    assert set(alarms(stacks, "tested-green")) == {
        *("rejected-rows", "evaluation-failures", "experiment-harm", "sample-ratio")
    }
    assert alarms(stacks, "direct-green") == {}


def test_errors_and_latency_ring_before_a_new_fleet_is_alone(stacks: Synthesized) -> None:
    for variant in ("churn-blue", "churn-green", "direct-blue"):
        for kind in ("errors-5xx", "errors-4xx", "model-latency", "overhead-latency"):
            alarm = alarms(stacks, variant)[kind]
            assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 3)


def test_no_experiment_rings_for_a_champion_and_nothing_of_it_is_missing(
    stacks: Synthesized,
) -> None:
    champion = set(alarms(stacks, "churn-blue"))
    assert champion >= {"silence", "feature-drift", "quality-decay", "invocations", "retraining"}
    assert not champion & {"experiment-harm", "sample-ratio"}
    # No attributions there.
    assert set(alarms(stacks, "direct-blue")) == champion - {"attribution-drift"}


def test_what_rang_for_a_challenger_falls_silent_once_nothing_is_published(
    stacks: Synthesized,
) -> None:
    for name in ("churn-green", "tested-green"):
        for kind, alarm in alarms(stacks, name).items():
            assert alarm["TreatMissingData"] == "notBreaching", kind
            assert len(alarm["AlarmDescription"]) <= 1024
    harm = alarms(stacks, "churn-green")["experiment-harm"]
    assert (harm["MetricName"], harm["Statistic"], harm["Threshold"]) == (
        "ExperimentHarm",
        "Maximum",
        1,
    )
    assert "churn/experiments/*/report.html" in harm["AlarmDescription"]
    assert alarms(stacks, "churn-blue")["feature-drift"]["TreatMissingData"] == "ignore"


def test_the_challengers_alarms_are_in_the_monitors_alarm(stacks: Synthesized) -> None:
    rule = stacks.one("AWS::CloudWatch::CompositeAlarm", AlarmName="staging-churn").properties[
        "AlarmRule"
    ]
    for kind in OF_CHALLENGER:
        assert f'ALARM("staging-churn-green-{kind}")' in rule
    assert rule.count("staging-churn-green-") == len(OF_CHALLENGER)


def test_no_alarm_of_a_challenger_starts_a_retraining(stacks: Synthesized) -> None:
    def machines(variant: str, kind: str) -> list[str]:
        found = targets_of(stacks, alarm_changed(f"staging-{variant}-{kind}", "ALARM", "OK"))
        return [arn for arn in found if "Machine" in arn]

    assert len(machines("churn-blue", "retraining")) == 1
    for kind in (*OF_CHALLENGER, "retraining", "quality-decay", "prediction-drift"):
        assert machines("churn-green", kind) == []
    assert set(alarms(stacks, "churn-green")).isdisjoint({"retraining"})


def test_the_stages_are_judged_after_windows_of_champion_and_challenger(
    stacks: Synthesized,
) -> None:
    def targets(name: str, variant: str) -> set[str]:
        key = f"{name}/reports/{variant}/2026/07/01/13/inputs.json"
        return set(targets_of(stacks, object_created(STORE_NAME, key)))

    explains = queue_arn(stacks, "Evaluatedchurn")
    judges = queue_arn(stacks, "Comparedchurn")
    assert targets("churn", "blue") == {judges, explains}
    # The model's file is the champion's: a challenger is not explained by it.
    assert targets("churn", "green") == {judges}
    assert targets("tested", "green") == {queue_arn(stacks, "Comparedtested")}
    assert targets("direct", "blue") == set()


def test_the_function_that_judges_reads_what_its_stages_need(stacks: Synthesized) -> None:
    assert granted(stacks, "experiment", "s3:GetObject") == {
        *("current", "baseline", "reference", "inputs", "outcomes", "predictions", "merged"),
        *("matched", "blocks", "decision", "rollout"),
    }
    assert granted(stacks, "experiment", "s3:PutObject") == {"blocks", "decision", "merged"}
    assert may(stacks, "experiment", "cloudwatch:GetMetricData", "*")
    # The share is what the roll-out sets: the endpoint is not asked for it.
    assert not may(stacks, "experiment", "sagemaker:DescribeEndpoint", f"{ENDPOINTS}/churn")
    for action in (
        "sagemaker:UpdateEndpoint",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
        "cloudwatch:PutMetricData",
        "states:SendTaskSuccess",
    ):
        assert not may(stacks, "experiment", action, "*")


def test_decisions_of_stages_are_told(stacks: Synthesized) -> None:
    notify = f"<{stacks.function('notify').logical_id}.Arn>"
    for name, told in (("churn", True), ("tested", True), ("direct", False)):
        key = f"{name}/experiments/20260701t000000z-0a1b2c3d-canary/decision.json"
        assert (notify in targets_of(stacks, object_created(STORE_NAME, key))) == told
    assert {"decision", "rollout"} <= granted(stacks, "notify", "s3:GetObject")


def test_replaced_looks_of_stages_are_not_kept(stacks: Synthesized) -> None:
    store = stacks.templates["Storage"]["Resources"]["Store1D2A845B"]["Properties"]
    prefixes = {rule.get("Prefix") for rule in store["LifecycleConfiguration"]["Rules"]}
    assert {"churn/experiments/", "tested/experiments/"} <= prefixes
    assert "direct/experiments/" not in prefixes


def test_the_dashboard_has_a_row_for_the_stages(stacks: Synthesized) -> None:
    (board,) = stacks.all("AWS::CloudWatch::Dashboard")
    widgets = json.loads(board.properties["DashboardBody"])["widgets"]
    rows: dict[int, list[dict[str, Any]]] = {}
    for one in widgets:
        if one["properties"].get("title", "").startswith("Roll-out"):
            rows.setdefault(one["y"], []).append(one)
    assert [[one["properties"]["title"] for one in row] for row in rows.values()] == [
        [
            "Roll-out, shadow: pairs, percent",
            "Roll-out, canary: gain of accuracy",
            "Roll-out: decision (1: yes)",
        ],
        ["Roll-out, ab: gain of accuracy", "Roll-out: decision (1: yes)"],
    ]
    for row in rows.values():
        assert sum(one["width"] for one in row) == 24
        for one in row:
            for metric in one["properties"]["metrics"]:
                assert metric[metric.index("Variant") + 1] == "green"


def test_graphs_of_what_the_baseline_judges_leave_the_challenger_out(stacks: Synthesized) -> None:
    (board,) = stacks.all("AWS::CloudWatch::Dashboard")
    titles: dict[bool, set[str]] = {True: set(), False: set()}
    for one in json.loads(board.properties["DashboardBody"])["widgets"]:
        shown = json.dumps(one["properties"].get("metrics", []))
        if '"churn"' in shown:
            titles['"green"' in shown].add(one["properties"]["title"].partition(":")[0])
    assert titles[False] == {
        "Distance from the baseline (PSI)",
        "Evidence over time (1",
        "Quality",
        "Labels of a window",
        "Attributions",
    }
    assert titles[True] == {
        *("Volume", "Rejected input", "Latency (microseconds)", "Errors of the endpoint"),
        *("Labels arriving, an hour", "Roll-out", "Roll-out, shadow", "Roll-out, canary"),
    }


def test_the_estimate_counts_alarms_and_queues_of_roll_outs(stacks: Synthesized) -> None:
    estimate = estimate_deployment(MonitorSet(monitors=MONITORS))
    items = [*estimate.shared, *(item for one in estimate.monitors for item in one.items)]
    names = [name for name in PRICES if name.endswith("alarm") or name == "dashboard"]
    assert estimated(items, names) == billed(stacks)
    polled = len(stacks.all("AWS::Lambda::EventSourceMapping"))
    requests = sum(item.quantity for item in items if "polling" in item.what)
    files = 60 * 730 * 4 * len(MONITORS)
    assert requests == pytest.approx(polled * 5 * 730 * 3600 / 20 + files)


def test_the_stacks_pass_the_checks(stacks: Synthesized) -> None:
    assert findings(stacks.app) == set()


def test_a_direct_roll_out_compares_nothing() -> None:
    *_, direct = MONITORS
    assert [one.name for one in compared(MONITORS)] == ["churn", "tested"]
    assert compared([direct]) == []


def test_without_a_roll_out_nothing_of_it_is_deployed(
    varied: Synthesized, default: Synthesized, judged: Synthesized
) -> None:
    for found in (varied, default, judged):
        for room in ("Monitoring", "Alerts", "Storage"):
            text = json.dumps(found.templates[room])
            for word in ("rollout.json", "Roll-out", "GetMetricData", "sagemaker:Describe"):
                assert word not in text
