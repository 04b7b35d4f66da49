"""What the estimate counts is what the templates hold, and `cdk synth` says what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from driftgauge.config import MonitorConfig, MonitorSet, load_monitors
from driftgauge.costs import KEPT_MARGIN_DAYS, PRICES, Item, estimate_deployment, summary_line
from stacks.storage import OUTCOME_MARGIN_DAYS
from tests.infrastructure.policies import may
from tests.infrastructure.synthesized import Synthesized, monitor, synthesize
from tests.infrastructure.test_checks import findings, synth

ENDPOINTS = "aws/sagemaker/Endpoints/data-metrics"
BATCHES = "aws/sagemaker/ModelMonitoring/data-metrics"


@pytest.fixture(scope="module")
def opted() -> Synthesized:
    """A deployment with metrics under Model Monitor's names, and one monitor without."""
    return synthesize(
        monitor("churn", model_monitor_metrics={"schedule": "churn-hourly"}),
        monitor("churn-batch", model_monitor_metrics={"schedule": "nightly", "batch": True}),
        monitor("fraud"),
    )


def billed(stacks: Synthesized) -> Counter[str]:
    """Count the alarms of the templates by what they are billed as."""
    counted: Counter[str] = Counter()
    for alarm in stacks.all("AWS::CloudWatch::Alarm"):
        if "ThresholdMetricId" in alarm.properties:
            counted["anomaly alarm"] += 1
        elif alarm.properties["Period"] < 60:
            counted["high-resolution alarm"] += 1
        else:
            counted["standard alarm"] += 1
    counted["composite alarm"] = len(stacks.all("AWS::CloudWatch::CompositeAlarm"))
    counted["dashboard"] = len(stacks.all("AWS::CloudWatch::Dashboard"))
    return +counted


def estimated(items: Sequence[Item], names: Sequence[str]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for item in items:
        for name in names:
            if item.price is PRICES[name]:
                counted[name] += int(item.quantity)
    return +counted


@pytest.mark.parametrize("which", ["default", "varied", "opted", "judged"])
def test_the_estimate_counts_the_alarms_and_dashboards_of_the_templates(
    which: str, request: pytest.FixtureRequest
) -> None:
    stacks: Synthesized = request.getfixturevalue(which)
    estimate = estimate_deployment(MonitorSet(monitors=tuple(deployed(stacks))))
    items = [*estimate.shared, *(item for one in estimate.monitors for item in one.items)]
    names = [
        "standard alarm",
        "high-resolution alarm",
        "anomaly alarm",
        "composite alarm",
        "dashboard",
    ]
    assert estimated(items, names) == billed(stacks)


def deployed(stacks: Synthesized) -> list[MonitorConfig]:
    """Return the monitors that a deployment was synthesized from."""
    found: list[Any] = [
        child for child in stacks.app.node.find_all() if type(child).__name__ == "MonitoringStack"
    ]
    return list(found[0]._deployment)


@pytest.mark.parametrize(
    # One more queue for all labels, and one for each monitor whose windows are explained.
    ("which", "polled"),
    [("varied", 2 + 3), ("judged", 3 + 4 + 2)],
)
def test_two_queues_are_polled_for_all_monitors_and_one_for_each(
    which: str, polled: int, request: pytest.FixtureRequest
) -> None:
    stacks: Synthesized = request.getfixturevalue(which)
    assert len(stacks.all("AWS::Lambda::EventSourceMapping")) == polled
    estimate = estimate_deployment(MonitorSet(monitors=tuple(deployed(stacks))))
    items = [*estimate.shared, *(item for one in estimate.monitors for item in one.items)]
    requests = sum(item.quantity for item in items if "polling" in item.what)
    # Five pollers that wait 20 seconds each, and what the capture files make of it.
    files = 60 * 730 * 4 * len(estimate.monitors)
    assert requests == pytest.approx(polled * 5 * 730 * 3600 / 20 + files)


def test_the_estimate_keeps_predictions_as_long_as_the_store_does() -> None:
    assert KEPT_MARGIN_DAYS == OUTCOME_MARGIN_DAYS


def test_metrics_of_outcomes_have_the_namespaces_of_model_monitors_other_jobs() -> None:
    stacks = synthesize(
        monitor(
            "churn",
            prediction="score",
            outcomes={},
            attribution={},
            model_monitor_metrics={"schedule": "churn-hourly"},
        )
    )
    role = stacks.function("evaluate").properties["Role"].strip("<>").removesuffix(".Arn")
    (statement,) = [
        one for one in stacks.statements(role) if one["Action"] == "cloudwatch:PutMetricData"
    ]
    assert statement["Condition"]["StringEquals"]["cloudwatch:namespace"] == [
        f"aws/sagemaker/Endpoints/{kind}-metrics" for kind in ("data", "explainability", "model")
    ]


def test_evaluate_may_publish_in_the_namespaces_of_monitors_that_opt_in(
    opted: Synthesized,
) -> None:
    role = opted.function("evaluate").properties["Role"].strip("<>").removesuffix(".Arn")
    (statement,) = [
        one for one in opted.statements(role) if one["Action"] == "cloudwatch:PutMetricData"
    ]
    assert statement["Resource"] == "*"
    assert statement["Condition"] == {
        "StringEquals": {"cloudwatch:namespace": [ENDPOINTS, BATCHES]}
    }
    for verb in ("profile", "baseline", "notify"):
        assert not may(opted, verb, "cloudwatch:PutMetricData", "*")
    assert findings(opted.app) == set()


def test_without_the_option_nobody_may_publish(varied: Synthesized, default: Synthesized) -> None:
    for stacks in (varied, default):
        for verb in ("profile", "evaluate", "baseline", "notify"):
            assert not may(stacks, verb, "cloudwatch:PutMetricData", "*")


def test_the_synth_says_in_a_line_what_each_monitor_costs(tmp_path: Path) -> None:
    folder = tmp_path / "monitors"
    folder.mkdir()
    for name, more in (
        ("churn", ""),
        ("loans", "window: 1h\nmodel_monitor_metrics: {schedule: loans}\n"),
    ):
        text = f"name: {name}\nendpoint: {{name: {name}}}\n{more}"
        (folder / f"{name}.yaml").write_text(text)
    done = synth(tmp_path / "out", monitors=str(folder))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("cost: ")]
    estimate = estimate_deployment(load_monitors(folder))
    assert lines == [f"cost: {summary_line(one)} (driftgauge cost)" for one in estimate.monitors]
    assert "of it for model_monitor_metrics" in lines[1]
    assert "cost:" not in done.stdout
