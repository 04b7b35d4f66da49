"""What the demo reads back and how it says it, without the embedded AWS."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from driftgauge.config import MonitorConfig, parse_monitor
from driftgauge.windows import Window
from local.aws import EmbeddedAws
from local.flights import utc
from local.observation import DemoError, Observer, Resources, wait_for
from local.screen import Screen
from local.story import COLUMNS

OUTPUTS = {
    "driftgauge-storage": {"StoreBucketName": "store", "CaptureBucketName": "captures"},
    "driftgauge-alerts": {"AlertTopicArn": "topic"},
    "driftgauge-monitoring": {"DashboardName": "driftgauge"},
    "driftgauge-retraining": {"RetrainingArnFlightDelays": "machine"},
}


@pytest.fixture
def config() -> MonitorConfig:
    return parse_monitor({"name": "flight-delays", "endpoint": {"name": "flight-delays"}}, "test")


class Account:
    """Gives out moto's clients where the demo expects the embedded AWS."""

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]


@pytest.fixture
def observer(config: MonitorConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Observer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        account = Account()
        account.client("s3").create_bucket(Bucket="store")
        topic = account.client("sns").create_topic(Name="alerts")["TopicArn"]
        resources = Resources(
            store_bucket="store",
            capture_bucket="captures",
            topic=topic,
            dashboard="driftgauge",
            state_machine="none",
        )
        yield Observer(
            aws=cast("EmbeddedAws", account),
            resources=resources,
            config=config,
            deployment="driftgauge",
        )


def test_the_outputs_of_all_stacks_name_what_was_made(config: MonitorConfig) -> None:
    resources = Resources.from_outputs(OUTPUTS, config)
    assert (resources.store_bucket, resources.capture_bucket) == ("store", "captures")
    assert (resources.topic, resources.state_machine) == ("topic", "machine")


def test_a_missing_output_is_named(config: MonitorConfig) -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if "retraining" not in name}
    with pytest.raises(DemoError, match="RetrainingArnFlightDelays"):
        Resources.from_outputs(outputs, config)


def test_waiting_ends_with_what_was_found() -> None:
    answers = iter([None, None, "there"])
    assert wait_for("it", lambda: next(answers), seconds=10) == "there"


def test_waiting_in_vain_says_for_what_and_where_to_look() -> None:
    with pytest.raises(DemoError, match=r"waited 0 s for a verdict, in vain\. Look at the log\."):
        wait_for("a verdict", lambda: None, seconds=0, look="Look at the log.")


def test_messages_of_the_topic_are_read_once(observer: Observer) -> None:
    sns = boto3.client("sns", region_name="us-east-1")
    sns.publish(TopicArn=observer.resources.topic, Subject="ALARM: drift", Message="all of it")
    assert [(m.subject, m.text) for m in observer.messages()] == [("ALARM: drift", "all of it")]
    assert list(observer.messages()) == []


def test_an_alarm_is_read_by_its_kind(observer: Observer) -> None:
    name = "driftgauge-flight-delays-AllTraffic-feature-drift"
    observer.cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName="DriftedFeatures",
        Namespace="driftgauge",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Maximum",
        Threshold=1.0,
    )
    observer.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="drift")
    reading = observer.alarm("feature-drift")
    assert (reading.name, reading.state) == (name, "ALARM")
    with pytest.raises(DemoError, match=r"no alarm named driftgauge-flight-delays$"):
        observer.alarm()


def test_there_is_no_verdict_and_no_pointer_before_the_first(observer: Observer) -> None:
    window = Window(utc(2015, 7, 1), utc(2015, 7, 8))
    assert observer.verdict(window, rows=1) is None
    assert observer.current() is None


def week(start: datetime, verdict: str) -> tuple[str, ...]:
    return (
        f"{start:%Y-%m-%d}",
        "1,980",
        "late_probability",
        "0.4270",
        "2.7e-44",
        verdict,
        "ALARM",
        "f62fc174",
        "5.9 s",
    )


def test_without_a_terminal_each_week_is_a_line_that_fits_80_columns() -> None:
    stream = io.StringIO()
    screen = Screen(Console(file=stream, width=80))
    table = screen.weeks(2, COLUMNS)
    with table.showing():
        table.doing("week 1")
        table.add(week(utc(2015, 7, 1), "drift"))
        table.add(week(utc(2015, 7, 8), "ok"))
    header, first, second = stream.getvalue().splitlines()
    assert header.startswith("week from")
    assert first.split() == [
        *("2015-07-01", "1,980", "late_probability", "0.4270", "2.7e-44"),
        *("drift", "ALARM", "f62fc174", "5.9", "s"),
    ]
    assert second.startswith("2015-07-08")
    assert max(map(len, (header, first, second))) <= 80


def test_on_a_terminal_the_table_and_its_last_column_are_shown() -> None:
    stream = io.StringIO()
    screen = Screen(Console(file=stream, width=80, height=20, force_terminal=True))
    table = screen.weeks(1, COLUMNS)
    with table.showing():
        table.add(week(utc(2015, 7, 1), "drift"))
    assert "5.9 s" in stream.getvalue()
    assert "1/1" in stream.getvalue()


def test_what_was_received_is_shown_literally() -> None:
    stream = io.StringIO()
    Screen(Console(file=stream, width=80)).verbatim("mail", "[bold]not markup[/bold] :smile:")
    assert "[bold]not markup[/bold] :smile:" in stream.getvalue()
