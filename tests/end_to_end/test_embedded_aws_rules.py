"""The rules that the supplements of the embedded AWS follow, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.supplements.embedded_metrics import InvalidDocumentError, extract
from local.supplements.metric_math import ExpressionError, evaluate_expression
from local.supplements.missing_data import judge

MARKS = {"X": True, "0": False, "-": None}
STATES = {"OK": "OK", "ALARM": "ALARM", "RETAIN": None, "NO DATA": "INSUFFICIENT_DATA"}


# The two tables of "Configuring how CloudWatch alarms treat missing data": three evaluation
# periods, five datapoints looked at; what happens for missing, ignore, breaching, notBreaching.
@pytest.mark.parametrize(
    ("datapoints", "to_alarm", "expected"),
    [
        ("0-X-X", 3, ["OK", "OK", "OK", "OK"]),
        ("----0", 3, ["OK", "OK", "OK", "OK"]),
        ("-----", 3, ["NO DATA", "RETAIN", "ALARM", "OK"]),
        ("0XX-X", 3, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("--X--", 3, ["ALARM", "RETAIN", "ALARM", "OK"]),
        ("0-X-X", 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("00X0X", 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("0-X--", 2, ["OK", "OK", "ALARM", "OK"]),
        ("----0", 2, ["OK", "OK", "ALARM", "OK"]),
        ("---X-", 2, ["ALARM", "RETAIN", "ALARM", "OK"]),
    ],
)
def test_missing_datapoints_are_treated_as_the_user_guide_says(
    datapoints: str, to_alarm: int, expected: list[str]
) -> None:
    breaching = [MARKS[mark] for mark in datapoints]
    for treatment, state in zip(
        ("missing", "ignore", "breaching", "notBreaching"), expected, strict=True
    ):
        judged = judge(breaching, periods=3, to_alarm=to_alarm, missing=treatment)
        assert judged == STATES[state], treatment


def test_an_alarm_does_not_ring_early_when_the_newest_datapoint_is_the_only_one() -> None:
    assert judge([None, None, None, None, True], periods=3, to_alarm=3, missing="missing") is None


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ("(e4 + e5) / n", {"e4": 1.0, "e5": 2.0, "n": 60.0}, 0.05),
        ("IF(n >= 10, -e / n, 0)", {"e": 1.0, "n": 10.0}, -0.1),
        ("FILL(e, 0) / n", {"e": None, "n": 10.0}, 0.0),
        ("e / n", {"e": 1.0, "n": 0.0}, None),
        ("e / n", {"e": None, "n": 1.0}, None),
        ("MAX([a, b])", {"a": 1.0, "b": None}, 1.0),
        ("MIN(a, b)", {"a": None, "b": None}, None),
    ],
)
def test_metric_math_computes_one_period(
    expression: str, values: dict[str, float | None], expected: float | None
) -> None:
    assert evaluate_expression(expression, values) == expected


@pytest.mark.parametrize(
    "expression", ["ANOMALY_DETECTION_BAND(m, 2)", "m ** (", "unknown", "m.real", "'text'"]
)
def test_other_metric_math_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate_expression(expression, {"m": 1.0})


def document(**changes: Any) -> str:
    metadata: dict[str, Any] = {
        "Timestamp": 1_000_000,
        "CloudWatchMetrics": [
            {
                "Namespace": "driftgauge",
                "Dimensions": [["Monitor"]],
                "Metrics": [{"Name": "WindowRows", "Unit": "Count"}],
            }
        ],
    }
    whole = {"_aws": metadata, "Monitor": "flights", "WindowRows": 7}
    for name, value in changes.items():
        target = metadata if name in metadata else whole
        target[name] = value
    return json.dumps(whole)


def test_a_log_line_in_embedded_metric_format_carries_a_metric() -> None:
    [datum] = extract(document(), now=1000.0)
    assert datum.namespace == "driftgauge"
    assert datum.name == "WindowRows"
    assert datum.unit == "Count"
    assert datum.dimensions == {"Monitor": "flights"}
    assert datum.values == [7.0]
    assert datum.timestamp == 1000.0


@pytest.mark.parametrize(
    "line", ["plain text", '{"level": "INFO"}', "[1]", '"_aws"', '{"_aws": 1}']
)
def test_any_other_log_line_carries_none(line: str) -> None:
    assert list(extract(line)) == []


@pytest.mark.parametrize(
    "broken",
    [
        document(Timestamp="now"),
        document(Timestamp=1_000_000 - 15 * 24 * 3_600_000),
        document(Timestamp=1_000_000 + 3 * 3_600_000),
        document(CloudWatchMetrics={}),
        document(CloudWatchMetrics=[{"Metrics": []}]),
        document(Monitor=5),
        document(WindowRows="many"),
        document(WindowRows=[True]),
        document(WindowRows=float("nan")),
        document(WindowRows=list(range(101))),
    ],
)
def test_a_document_against_the_specification_is_refused(broken: str) -> None:
    with pytest.raises(InvalidDocumentError):
        list(extract(broken, now=1000.0))
