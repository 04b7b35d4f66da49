from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infrastructure.synthesized import Synthesized, monitor, synthesize


@pytest.fixture(scope="module")
def widgets(varied: Synthesized) -> list[dict[str, Any]]:
    board = varied.one("AWS::CloudWatch::Dashboard", DashboardName="staging")
    loaded: list[dict[str, Any]] = json.loads(board.properties["DashboardBody"])["widgets"]
    return loaded


def test_a_deployment_has_one_dashboard_and_names_it(varied: Synthesized) -> None:
    assert len(varied.all("AWS::CloudWatch::Dashboard")) == 1
    outputs = varied.templates["Monitoring"]["Outputs"]
    assert outputs["DashboardName"]["Value"] == {
        "Ref": varied.logical_id("AWS::CloudWatch::Dashboard", "Board")
    }


def test_every_monitor_has_a_row(widgets: list[dict[str, Any]]) -> None:
    headers = [one["properties"]["markdown"] for one in widgets if one["type"] == "text"]
    assert [text.split("\n")[0] for text in headers] == [
        "## churn",
        "## churn-by-region",
        "## fraud",
    ]
    assert "s3://<Store1D2A845B>/fraud/reports/" in headers[2]


def test_no_two_widgets_overlap(widgets: list[dict[str, Any]]) -> None:
    cells: set[tuple[int, int]] = set()
    for widget in widgets:
        own = {
            (widget["x"] + column, widget["y"] + row)
            for column in range(widget["width"])
            for row in range(widget["height"])
        }
        assert not cells & own
        assert widget["x"] + widget["width"] <= 24
        cells |= own


def test_the_row_shows_every_alarm_of_the_monitor(
    varied: Synthesized, widgets: list[dict[str, Any]]
) -> None:
    shown = {
        arn for one in widgets if one["type"] == "alarm" for arn in one["properties"]["alarms"]
    }
    monitors = {
        f"<{alarm.logical_id}.Arn>"
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for alarm in varied.all(kind)
        if alarm.logical_id.startswith("Alarms")
    }
    assert shown == monitors


def test_the_drift_graph_marks_the_smallest_effect_worth_an_alarm(
    widgets: list[dict[str, Any]],
) -> None:
    drift = [one for one in widgets if "PSI" in one["properties"].get("title", "")]
    assert len(drift) == 3
    for widget in drift:
        (line,) = widget["properties"]["annotations"]["horizontal"]
        assert line["value"] == 0.025
        named = json.dumps(widget["properties"]["metrics"])
        assert "FeatureDistance" in named
        assert "PredictionDistance" in named


def test_the_evidence_graph_marks_where_it_rings(widgets: list[dict[str, Any]]) -> None:
    graphs = [one for one in widgets if "Evidence" in one["properties"].get("title", "")]
    assert len(graphs) == 3
    for widget in graphs:
        (line,) = widget["properties"]["annotations"]["horizontal"]
        assert line["value"] == 1


def test_strict_mode_has_no_evidence_to_draw() -> None:
    stacks = synthesize(monitor("churn", mode="strict"))
    (board,) = stacks.all("AWS::CloudWatch::Dashboard")
    body = board.properties["DashboardBody"]
    assert "Evidence" not in body and "JointDrift" not in body


def test_the_worst_features_come_from_the_log_of_evaluate(
    widgets: list[dict[str, Any]],
) -> None:
    queries = [one["properties"]["query"] for one in widgets if one["type"] == "log"]
    assert len(queries) == 3
    assert queries[2].startswith("SOURCE '/aws/lambda/staging-evaluate' | ")
    assert 'filter message = "window evaluated" and monitor = "fraud"' in queries[2]
    for n in range(3):
        assert f"features.{n}.name" in queries[2]
        assert f"features.{n}.effect" in queries[2]


def test_graphs_show_only_metrics_that_somebody_publishes(
    widgets: list[dict[str, Any]],
) -> None:
    published = {
        "driftgauge": {
            "FeatureDistance",
            "PredictionDistance",
            "PersistentDrift",
            "JointDrift",
            "CapturedRows",
            "RejectedShare",
        },
        "AWS/SageMaker": {
            "Invocations",
            "ModelLatency",
            "OverheadLatency",
            "Invocation4XXErrors",
            "Invocation5XXErrors",
        },
    }
    shown: dict[str, set[str]] = {}
    for widget in widgets:
        for namespace, name, *_ in widget["properties"].get("metrics", []):
            shown.setdefault(namespace, set()).add(name)
    assert shown == published
