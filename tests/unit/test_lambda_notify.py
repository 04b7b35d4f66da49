from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

import boto3
import pytest

from driftgauge.errors import ConfigError
from driftgauge.outcome_verdict import OutcomesVerdict, encode_outcomes_verdict
from driftgauge.windows import Window, format_time
from tests.unit.lambda_world import HOUR, VARIANT, World, deployed, monitor
from tests.unit.outcome_weeks import judged_attributions, season, week_of
from tests.workflow.machine import ACCOUNT, Inbox

WEBHOOK = "https://hooks.slack.example/services/T000/B000/secret-part"


class Slack:
    """What the webhook got, in place of the network."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.failure: Exception | None = None

    def __call__(self, *handlers: Any) -> Slack:
        return self

    def open(self, request: Request, timeout: float) -> Any:
        assert timeout <= 10
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        return io.BytesIO(b"ok")

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(request.data) for request in self.requests]  # type: ignore[arg-type]


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Slack:
    stub = Slack()
    monkeypatch.setattr("lambdas.delivery.build_opener", stub)
    return stub


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    slack: Slack,
) -> Iterator[World]:
    alerts = {"slack_webhook_secret": "slack-webhook"}
    other = monitor(name="loans-two")
    with deployed(monkeypatch, capsys, tmp_path, monitor(alerts=alerts), other) as world:
        boto3.client("secretsmanager").create_secret(Name="slack-webhook", SecretString=WEBHOOK)
        world.function("delivery").webhook_url.cache_clear()
        yield world


@pytest.fixture
def inbox(world: World, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    made = Inbox(monkeypatch)
    world.function("runtime").runtime.cache_clear()
    return made


def state_change(
    alarm: str = "driftgauge-loans", *, to: str = "ALARM", since: str = "OK"
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "22222222-2222-3333-4444-555555555555",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "time": "2026-03-02T11:00:30Z",
        "detail": {
            "alarmName": alarm,
            "state": {"value": to, "reason": "1 of 9 children <rings> & shouts"},
            "previousState": {"value": since, "reason": "-"},
        },
    }


def drift(world: World) -> None:
    world.add_baseline()
    world.profile(world.capture(rows=300, shift=25.0))
    world.call("evaluate", {"monitor": "loans", "window_start": format_time(HOUR)})


def test_an_alarm_is_told_by_mail_and_slack_with_its_evidence(
    world: World, inbox: Inbox, slack: Slack
) -> None:
    drift(world)
    assert world.call("notify", state_change())["sent"] is True
    (mail,) = inbox.read()
    assert mail["subject"].startswith("ALARM: loans: drift in amount, score")
    for text in (
        f"Variant {VARIANT}",
        "amount (input): PSI",
        f"s3://store-bucket/loans/reports/{VARIANT}/2026/03/02/10/report.html",
        "window evaluated",
    ):
        assert text in mail["text"]
    (message,) = slack.messages
    assert "ALARM: loans" in message["text"]
    assert "&lt;rings&gt; &amp; shouts" in json.dumps(message)


def test_a_recovery_is_told(world: World, inbox: Inbox) -> None:
    drift(world)
    world.call("notify", state_change(to="OK", since="ALARM"))
    assert inbox.read()[0]["subject"] == "OK: loans: back to normal"


def store_outcomes(world: World, *weeks: OutcomesVerdict) -> None:
    for week in weeks:
        window = Window(week.window_start, week.window_end)
        key = world.store.report_key(variant=VARIANT, window=window, name="outcomes.json")
        world.store.objects.write(
            key, encode_outcomes_verdict(week), content_type="application/json"
        )


def test_an_alarm_on_quality_is_told_by_the_newest_window_that_labels_have_judged(
    world: World, inbox: Inbox, slack: Slack
) -> None:
    hour = timedelta(hours=1)
    weeks = [
        replace(
            week,
            variant=VARIANT,
            window_start=HOUR - (3 - i) * hour,
            window_end=HOUR - (2 - i) * hour,
        )
        for i, week in enumerate(season(HOUR, decays=(0.0, 0.9, 0.9), rows=2_000))
    ]
    explained = replace(
        week_of(HOUR - hour, None),
        window_end=HOUR,
        variant=VARIANT,
        attributions=(judged_attributions(0.3, 0.6, 1.2, 0.3, 0.2, 0.1),),
    )
    judged = replace(weeks[1], quality=weeks[2].quality)
    store_outcomes(world, weeks[0], judged, explained)
    state = world.function("state")
    state.change_state(
        world.store,
        VARIANT,
        lambda old: replace(old, judged_end=HOUR - hour, explained_end=HOUR),
    )
    world.call("notify", state_change(f"driftgauge-loans-{VARIANT}-quality-decay"))
    (mail,) = inbox.read()
    assert mail["subject"].startswith("ALARM: loans: accuracy decayed from 0.79")
    for text in (
        "window 2 Mar 2026, 08:00 to 2 Mar 2026, 09:00 UTC (1 hour)",
        "2 Mar 2026, 08:00 UTC: this window is the first",
        "93.0% of the predictions have a label",
        "Attribution drift, variant",
        f"Report of {VARIANT}, 2 Mar 2026, 08:00 UTC: "
        f"s3://store-bucket/loans/reports/{VARIANT}/2026/03/02/08/report.html",
    ):
        assert text in mail["text"], text
    assert "decayed since" in json.dumps(slack.messages)


def test_outcomes_that_cannot_be_read_do_not_keep_an_alarm_from_being_told(
    world: World, inbox: Inbox
) -> None:
    window = Window(HOUR, HOUR + timedelta(hours=1))
    key = world.store.report_key(variant=VARIANT, window=window, name="outcomes.json")
    world.store.objects.write(key, b"{", content_type="application/json")
    state = world.function("state")
    state.change_state(world.store, VARIANT, lambda old: replace(old, judged_end=window.end))
    assert world.call("notify", state_change())["sent"] is True
    assert inbox.read()[0]["subject"] == "ALARM: loans: an alarm rings"


@pytest.mark.parametrize(
    ("to", "since"),
    [("OK", "INSUFFICIENT_DATA"), ("INSUFFICIENT_DATA", "OK"), ("INSUFFICIENT_DATA", "ALARM")],
)
def test_the_birth_of_an_alarm_is_no_news(
    to: str, since: str, world: World, inbox: Inbox, slack: Slack
) -> None:
    assert world.call("notify", state_change(to=to, since=since)) == {"sent": False}
    assert (inbox.read(), slack.requests) == ([], [])


def test_an_alarm_before_any_window_was_evaluated_is_told_all_the_same(
    world: World, inbox: Inbox
) -> None:
    world.call("notify", state_change(f"driftgauge-loans-{VARIANT}-silence"))
    assert inbox.read()[0]["subject"] == "ALARM: loans: an alarm rings"


def test_the_longest_monitor_name_that_fits_an_alarm_is_meant(
    world: World, inbox: Inbox, slack: Slack
) -> None:
    world.call("notify", state_change(f"driftgauge-loans-two-{VARIANT}-feature-drift"))
    assert inbox.read()[0]["subject"].startswith("ALARM: loans-two:")
    # The webhook is the other monitor's.
    assert slack.requests == []


def test_an_alarm_of_something_else_is_an_error(world: World, inbox: Inbox) -> None:
    with pytest.raises(ConfigError, match="belongs to no monitor"):
        world.call("notify", state_change("billing"))


def test_mail_and_default_text_are_separate_parts_of_the_publication(
    world: World, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []

    class Topic:
        def publish(self, **arguments: Any) -> None:
            published.append(arguments)

    real = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda name, **more: Topic() if name == "sns" else real(name, **more)
    )
    monkeypatch.setenv("CHAT_TOPIC_ARN", f"arn:aws:sns:us-east-1:{ACCOUNT}:chat")
    world.function("runtime").runtime.cache_clear()
    world.call("notify", {"retraining": retraining("started")})
    (mail,) = published
    assert mail["MessageStructure"] == "json"
    assert set(json.loads(mail["Message"])) == {"default", "email"}
    world.call("notify", {"retraining": retraining("started", monitor="unknown")})
    chat = published[-1]
    assert chat["TopicArn"].endswith(":chat")
    assert json.loads(chat["Message"])["source"] == "custom"
    assert "MessageStructure" not in chat


def retraining(stage: str, **more: Any) -> dict[str, Any]:
    return {
        "stage": stage,
        "monitor": "loans",
        "alarm": "",
        "execution": f"arn:aws:states:us-east-1:{ACCOUNT}:execution:driftgauge-loans-retraining:x",
        "reason": "because",
        **more,
    }


COMPARISON = {
    "challenger_wins": True,
    "reason": "better",
    "rows": 1234,
    "champion_log_loss": 0.7,
    "challenger_log_loss": 0.5,
    "improvement": 0.2,
    "low": 0.1,
    "high": 0.3,
}


@pytest.mark.parametrize(
    "stage",
    [
        "started",
        "skipped",
        "approval",
        "rollout",
        "promoted",
        "kept",
        "failed",
        "restored",
        "stuck",
    ],
)
def test_every_stage_of_a_retraining_is_told(stage: str, world: World, inbox: Inbox) -> None:
    message = retraining(stage, comparison=COMPARISON, version="v2", token="a-token")
    assert world.call("notify", {"retraining": message})["sent"] is True
    (mail,) = inbox.read()
    assert "loans" in mail["subject"]
    assert "0.5000" in mail["text"]
    assert "because" in mail["text"]
    assert ("a-token" in mail["text"]) is (stage == "approval")
    assert "executions/details/arn:aws:states" in mail["text"]


def test_the_reason_of_a_failed_function_is_read_from_its_json(world: World, inbox: Inbox) -> None:
    cause = json.dumps({"errorType": "TrainingError", "errorMessage": "no rows", "trace": ["x"]})
    world.call("notify", {"retraining": retraining("failed", reason=cause)})
    text = inbox.read()[0]["text"]
    assert "TrainingError: no rows" in text
    assert "trace" not in text


@pytest.mark.parametrize(
    "failure",
    [
        HTTPError(WEBHOOK, 410, "gone", {}, None),  # type: ignore[arg-type]
        URLError("no route"),
        TimeoutError("slow"),
    ],
    ids=["gone", "unreachable", "slow"],
)
def test_a_webhook_that_fails_does_not_keep_the_mail_back_and_never_shows_its_address(
    failure: Exception, world: World, inbox: Inbox, slack: Slack
) -> None:
    slack.failure = failure
    module = world.function("delivery")
    with pytest.raises(module.DeliveryError, match="Slack webhook") as caught:
        world.call("notify", state_change())
    assert len(inbox.read()) == 1
    assert "secret-part" not in str(caught.value)
    assert "secret-part" not in json.dumps(world.printed())


@pytest.mark.parametrize("secret", ["http://hooks.slack.example/x", "file:///etc/passwd", "", "x"])
def test_a_webhook_that_is_not_https_is_refused(
    secret: str, world: World, inbox: Inbox, slack: Slack
) -> None:
    boto3.client("secretsmanager").put_secret_value(
        SecretId="slack-webhook", SecretString=secret or " "
    )
    with pytest.raises(world.function("delivery").DeliveryError):
        world.call("notify", state_change())
    assert slack.requests == []


def test_the_webhook_secret_is_read_once(world: World, inbox: Inbox, slack: Slack) -> None:
    world.call("notify", state_change())
    boto3.client("secretsmanager").delete_secret(
        SecretId="slack-webhook", ForceDeleteWithoutRecovery=True
    )
    world.call("notify", state_change())
    assert [request.full_url for request in slack.requests] == [WEBHOOK] * 2


def test_a_webhook_is_not_followed_elsewhere(world: World) -> None:
    handler = world.function("delivery")._NoRedirect()
    answer = handler.redirect_request(
        Request(WEBHOOK),
        io.BytesIO(),
        302,
        "found",
        {},
        "http://169.254.169.254/",
    )
    assert answer is None


def test_a_missing_topic_is_named(world: World) -> None:
    with pytest.raises(world.function("delivery").DeliveryError, match="topic"):
        world.call("notify", {"retraining": retraining("started", monitor="loans-two")})
    assert "ALERT_TOPIC_ARN" in json.dumps(world.printed())
