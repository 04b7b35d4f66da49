"""What is deployed where variants are compared, and only there."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.costs import PRICES, estimate_deployment
from tests.infrastructure.policies import may, object_created, targets_of
from tests.infrastructure.synthesized import ROOT, Synthesized, monitor, synthesize
from tests.infrastructure.test_checks import findings
from tests.infrastructure.test_costs import billed, estimated
from tests.infrastructure.test_permissions import ROOMS
from tests.infrastructure.test_wiring import queue_arn

STORE_NAME = "<Store1D2A845B>"
STORE = f"arn:aws:s3:::{STORE_NAME}"
KEYS = {
    **ROOMS,
    "inputs": "m/reports/blue/2026/07/01/13/inputs.json",
    "outcomes": "m/rollups/v1/blue/2026/07/01/13/00.outcomes",
    "merged": "m/predictions/v1/blue/2026/07/01/13/00/_merged.predictions",
    "blocks": "m/experiments/june/blocks",
    "decision": "m/experiments/june/decision.json",
}
AB: dict[str, Any] = {
    "name": "june",
    "kind": "ab",
    "champion": "blue",
    "challenger": "green",
    "since": "2026-06-01T00:00:00Z",
    "primary": {"name": "accuracy"},
}
SHADOW: dict[str, Any] = {
    "name": "shade",
    "kind": "shadow",
    "champion": "blue",
    "challenger": "grey",
    "since": "2026-06-01T00:00:00Z",
}


def compared(name: str, *experiments: dict[str, Any], **settings: Any) -> MonitorConfig:
    return monitor(
        name,
        **{
            "endpoint": {"name": name, "variants": ["blue", "green", "grey"]},
            "prediction": "score",
            "outcomes": {},
            "experiments": list(experiments),
            **settings,
        },
    )


MONITORS = (
    compared("churn", AB, SHADOW, debounce="30s"),
    compared("plain"),
    compared("seconds", AB, alarms={"period": "10s"}, window="1h"),
)


@pytest.fixture(scope="module")
def stacks() -> Synthesized:
    """A deployment of two monitors with experiments, and one without."""
    return synthesize(*MONITORS, deployment="staging")


def grants(stacks: Synthesized, verb: str, action: str) -> set[str]:
    return {room for room, key in KEYS.items() if may(stacks, verb, action, f"{STORE}/{key}")}


def test_the_function_reads_and_writes_the_rooms_of_its_step_only(stacks: Synthesized) -> None:
    assert grants(stacks, "experiment", "s3:GetObject") == {
        *("current", "baseline", "reference", "inputs", "outcomes", "predictions", "merged"),
        *("matched", "blocks", "decision"),
    }
    assert grants(stacks, "experiment", "s3:PutObject") == {"blocks", "decision", "merged"}
    assert may(stacks, "experiment", "s3:ListBucket", STORE)
    assert may(stacks, "experiment", "cloudwatch:GetMetricData", "*")
    # The weights are the user's: they are looked up.
    endpoint = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/"
    for name, seen in (("churn", True), ("seconds", True), ("plain", False)):
        allowed = may(stacks, "experiment", "sagemaker:DescribeEndpoint", endpoint + name)
        assert allowed == seen
    for action in ("sagemaker:InvokeEndpoint", "sns:Publish", "cloudwatch:PutMetricData"):
        assert not may(stacks, "experiment", action, "*")
    assert not may(stacks, "experiment", "s3:GetObject", f"{STORE}/m/rollout.json")


def test_each_kind_of_experiment_brings_its_own_rooms_only() -> None:
    endpoint = {"name": "Churn-EU", "variants": ["blue", "green"]}
    of_test = synthesize(compared("churn", AB, endpoint=endpoint))
    assert not grants(of_test, "experiment", "s3:GetObject") & {"predictions", "matched"}
    assert grants(of_test, "experiment", "s3:PutObject") == {"blocks", "decision"}
    # SageMaker writes names in lower case in ARNs.
    described = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn-eu"
    assert may(of_test, "experiment", "sagemaker:DescribeEndpoint", described)
    assert not may(of_test, "experiment", "cloudwatch:GetMetricData", "*")
    of_shadow = synthesize(compared("churn", SHADOW))
    assert not may(of_shadow, "experiment", "sagemaker:DescribeEndpoint", described)
    assert not grants(of_shadow, "experiment", "s3:GetObject") & {"inputs", "outcomes"}


def test_evaluated_windows_of_the_compared_variants_are_judged(stacks: Synthesized) -> None:
    def targets(name: str, variant: str, file: str = "inputs.json") -> list[str]:
        key = f"{name}/reports/{variant}/2026/07/01/13/{file}"
        return targets_of(stacks, object_created(STORE_NAME, key))

    for variant in ("blue", "green", "grey"):
        assert targets("churn", variant) == [queue_arn(stacks, "Comparedchurn")]
        assert targets("churn", variant, "outcomes.json") == []
        assert targets("plain", variant) == []
    assert targets("seconds", "green") == [queue_arn(stacks, "Comparedseconds")]
    assert targets("seconds", "grey") == []
    queue = next(
        one.properties
        for one in stacks.all("AWS::SQS::Queue")
        if f"<{one.logical_id}.Arn>" == queue_arn(stacks, "Comparedchurn")
    )
    assert queue["DelaySeconds"] == 30
    assert queue["VisibilityTimeout"] > stacks.function("experiment").properties["Timeout"]


def test_a_decision_tells_people_and_nothing_else_of_an_experiment_does(
    stacks: Synthesized,
) -> None:
    notify = f"<{stacks.function('notify').logical_id}.Arn>"
    for name, told in (("churn", [notify]), ("seconds", [notify]), ("plain", [])):
        key = f"{name}/experiments/june/decision.json"
        assert targets_of(stacks, object_created(STORE_NAME, key)) == told
    for file in ("experiment.json", "blocks", "report.html", "plan.json"):
        event = object_created(STORE_NAME, f"churn/experiments/june/{file}")
        assert targets_of(stacks, event) == []
    read = grants(stacks, "notify", "s3:GetObject")
    assert "decision" in read
    assert "blocks" not in read


def test_the_handler_exists(stacks: Synthesized) -> None:
    source = (ROOT / "lambdas" / "experiment.py").read_text(encoding="utf-8")
    defined = {one.name for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)}
    assert stacks.function("experiment").properties["Handler"] == "lambdas.experiment.handler"
    assert "handler" in defined


def test_what_fails_becomes_a_dead_letter_that_rings(stacks: Synthesized) -> None:
    assert stacks.alarm("staging-experiment-errors")["MetricName"] == "Errors"
    (dimension,) = stacks.alarm("staging-experiment-dead-letters")["Dimensions"]
    dead = stacks.logical_id("AWS::SQS::Queue", "ExperimentDeadLetters")
    assert dimension["Value"] == f"<{dead}.QueueName>"


@pytest.mark.parametrize(
    ("variant", "kinds"),
    [
        (
            "churn-green",
            {"experiment-harm": "ExperimentHarm", "sample-ratio": "SampleRatioMismatch"},
        ),
        ("churn-grey", {"experiment-harm": "ExperimentHarm"}),
        ("churn-blue", {}),
        ("plain-green", {}),
    ],
)
def test_harm_and_a_wrong_share_ring_for_the_challenger_in_the_monitors_alarm(
    stacks: Synthesized, variant: str, kinds: dict[str, str]
) -> None:
    names = {str(one.properties["AlarmName"]) for one in stacks.all("AWS::CloudWatch::Alarm")}
    found = {
        kind for kind in ("experiment-harm", "sample-ratio") if f"staging-{variant}-{kind}" in names
    }
    assert found == set(kinds)
    composite = stacks.one(
        "AWS::CloudWatch::CompositeAlarm", AlarmName=f"staging-{variant.partition('-')[0]}"
    )
    for kind, metric in kinds.items():
        alarm = stacks.alarm(f"staging-{variant}-{kind}")
        assert (alarm["Namespace"], alarm["MetricName"]) == ("driftgauge", metric)
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1)
        assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (1, 1)
        # A decision stands until the experiment is taken out of the file.
        assert alarm["TreatMissingData"] == "ignore"
        assert 80 < len(alarm["AlarmDescription"]) <= 1024
        assert f'ALARM("staging-{variant}-{kind}")' in composite.properties["AlarmRule"]


def test_the_dashboard_has_a_row_for_each_experiment(stacks: Synthesized) -> None:
    (board,) = stacks.all("AWS::CloudWatch::Dashboard")
    widgets = json.loads(board.properties["DashboardBody"])["widgets"]
    rows: dict[int, list[str]] = {}
    for one in widgets:
        title = one["properties"].get("title", "")
        if title.startswith("Experiment "):
            rows.setdefault(one["y"], []).append(title)
    assert list(rows.values()) == [
        ["Experiment june: gain of accuracy", "Experiment june: decision (1: yes)"],
        ["Experiment shade: pairs, percent", "Experiment shade: decision (1: yes)"],
        ["Experiment june: gain of accuracy", "Experiment june: decision (1: yes)"],
    ]
    drawn = json.dumps(widgets)
    for metric in ("ExperimentGain", "SampleRatioMismatch", "ShadowAgreement", "UnpairedShare"):
        assert metric in drawn


def test_decisions_are_kept_and_what_earlier_looks_wrote_is_not(stacks: Synthesized) -> None:
    store = stacks.templates["Storage"]["Resources"]["Store1D2A845B"]["Properties"]
    rules = {
        rule["Prefix"]: rule
        for rule in store["LifecycleConfiguration"]["Rules"]
        if "Prefix" in rule
    }
    for name in ("churn", "seconds"):
        rule = rules[f"{name}/experiments/"]
        assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
        assert "ExpirationInDays" not in rule
    assert "plain/experiments/" not in rules


def test_the_estimate_counts_alarms_and_queues_of_experiments(stacks: Synthesized) -> None:
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


def test_without_experiments_nothing_of_this_is_deployed(
    varied: Synthesized, default: Synthesized, judged: Synthesized
) -> None:
    for found in (varied, default, judged):
        handlers = {one.properties["Handler"] for one in found.all("AWS::Lambda::Function")}
        assert "lambdas.experiment.handler" not in handlers
        templates = json.dumps(found.templates)
        for word in ("experiment", "Compared", "ExperimentHarm", "SampleRatio", "decision.json"):
            assert word not in templates
