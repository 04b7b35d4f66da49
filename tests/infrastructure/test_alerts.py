from __future__ import annotations

import json

import pytest

from tests.infrastructure.policies import alarm_changed, matches, may, targets_of
from tests.infrastructure.synthesized import Synthesized

NOTIFY = "<NotifyFunction3392CA4F.Arn>"


@pytest.mark.parametrize("service", ["cloudwatch.amazonaws.com", "events.amazonaws.com"])
def test_alarms_and_rules_may_publish_to_the_topic(default: Synthesized, service: str) -> None:
    topic = default.logical_id("AWS::SNS::Topic", "Topic")
    policy = default.one("AWS::SNS::TopicPolicy", Topics=[f"<{topic}>"])
    statements = policy.properties["PolicyDocument"]["Statement"]
    granted = [
        statement
        for statement in statements
        if statement["Effect"] == "Allow" and statement["Principal"] == {"Service": service}
    ]
    assert [(one["Action"], one["Resource"]) for one in granted] == [("sns:Publish", f"<{topic}>")]


def test_nobody_publishes_without_tls(varied: Synthesized) -> None:
    policies = varied.all("AWS::SNS::TopicPolicy")
    assert len(policies) == 2
    for policy in policies:
        assert any(
            statement["Effect"] == "Deny"
            and statement["Principal"] == "*"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in policy.properties["PolicyDocument"]["Statement"]
        )


@pytest.mark.parametrize(
    ("state", "before", "told"),
    [
        ("ALARM", "OK", True),
        ("ALARM", "INSUFFICIENT_DATA", True),
        ("OK", "ALARM", True),
        ("OK", "INSUFFICIENT_DATA", False),
        ("INSUFFICIENT_DATA", "ALARM", False),
    ],
)
def test_people_are_told_when_a_monitor_starts_and_stops_ringing(
    default: Synthesized, state: str, before: str, told: bool
) -> None:
    event = alarm_changed("driftgauge-flight-delays", state, before)
    assert targets_of(default, event) == ([NOTIFY] if told else [])


def test_a_single_alarm_of_a_monitor_tells_nobody_by_itself(default: Synthesized) -> None:
    name = "driftgauge-flight-delays-AllTraffic-silence"
    assert targets_of(default, alarm_changed(name, "ALARM", "OK")) == []


def test_a_monitor_whose_name_begins_like_anothers_is_not_confused_with_it(
    varied: Synthesized,
) -> None:
    event = alarm_changed("staging-churn-by-region", "ALARM", "OK")
    rules = [
        rule.properties["Description"]
        for rule in varied.all("AWS::Events::Rule")
        if matches(rule.properties["EventPattern"], event)
    ]
    assert len(rules) == 1
    assert "churn-by-region" in rules[0]


def test_an_alert_that_fails_ends_in_a_dead_letter_queue(default: Synthesized) -> None:
    queue = default.logical_id("AWS::SQS::Queue", "NotifyDeadLetters")
    notify = default.function("notify").properties
    assert notify["DeadLetterConfig"] == {"TargetArn": f"<{queue}.Arn>"}
    assert may(default, "notify", "sqs:SendMessage", f"<{queue}.Arn>")
    for rule in default.all("AWS::Events::Rule", room="Alerts"):
        for target in rule.properties["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": f"<{queue}.Arn>"}


def test_each_address_hears_of_its_own_monitors_and_of_failing_functions(
    varied: Synthesized,
) -> None:
    subscriptions = {
        subscription.properties["Endpoint"]: subscription.properties
        for subscription in varied.all("AWS::SNS::Subscription")
    }
    assert {one["Protocol"] for one in subscriptions.values()} == {"email"}
    assert "FilterPolicy" not in subscriptions["all@example.com"]
    assert subscriptions["churn@example.com"]["FilterPolicy"] == {
        "monitor": ["churn", {"exists": False}]
    }


def test_slack_channels_get_alerts_and_alarms_and_may_only_read(varied: Synthesized) -> None:
    (channel,) = varied.all("AWS::Chatbot::SlackChannelConfiguration")
    assert channel.properties["SlackWorkspaceId"] == "T0123ABCD"
    assert channel.properties["SlackChannelId"] == "C0123ABCD"
    topics = {f"<{topic.logical_id}>" for topic in varied.all("AWS::SNS::Topic")}
    assert set(channel.properties["SnsTopicArns"]) == topics
    assert len(topics) == 2
    assert channel.properties["GuardrailPolicies"] == [
        "arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"
    ]
    chat = varied.function("notify").properties["Environment"]["Variables"]["CHAT_TOPIC_ARN"]
    assert may(varied, "notify", "sns:Publish", chat)


def test_without_slack_there_is_neither_a_channel_nor_its_topic(default: Synthesized) -> None:
    assert default.all("AWS::Chatbot::SlackChannelConfiguration") == []
    assert len(default.all("AWS::SNS::Topic")) == 1
    variables = default.function("notify").properties["Environment"]["Variables"]
    assert "CHAT_TOPIC_ARN" not in variables


def test_notify_reads_the_configured_webhook_secret_and_no_other(
    default: Synthesized, varied: Synthesized
) -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
    # Secrets Manager adds six characters to a secret's name.
    assert may(varied, "notify", "secretsmanager:GetSecretValue", f"{secret}slack/webhook-??????")
    assert not may(varied, "notify", "secretsmanager:GetSecretValue", f"{secret}database-??????")
    assert "secretsmanager" not in json.dumps(default.templates)
