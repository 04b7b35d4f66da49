"""Who is told, and how: a topic, its subscribers, and the function that writes the alerts."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_chatbot as chatbot
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.approvals import add_approval_links, asking
from stacks.buckets import Buckets
from stacks.constructs.function import Function, FunctionDefaults
from stacks.constructs.queue import DeadLetterQueue
from stacks.deployment import Deployment
from stacks.experiments import compared, decisions
from stacks.limits import check_size

# The message attribute by which a subscriber of some monitors is spared the others' alerts.
MONITOR_ATTRIBUTE = "monitor"


class AlertsStack(cdk.Stack):
    """From a monitor's composite alarm to people: alarm, event, function, topic, subscribers."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        buckets: Buckets,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=deployment.stack_name("alerts"),
            description="driftgauge: e-mail and Slack when a monitored model is unwell",
            **kwargs,
        )
        self.topic = self._topic()
        self._subscribe_emails(deployment)
        self._chat_topic = self._subscribe_slack(deployment)
        self.notify = self._notify(deployment, buckets)
        cdk.CfnOutput(self, "AlertTopicArn", value=self.topic.topic_arn)
        check_size(self, monitors=len(deployment.monitors.monitors))

    def _topic(self) -> sns.Topic:
        # Not encrypted with a key of KMS: CloudWatch cannot publish to a topic under the AWS
        # managed key, and the alerts hold names and numbers, never rows.
        topic = sns.Topic(self, "Topic", enforce_ssl=True)
        # The policy that enforce_ssl makes replaces the topic's default one, and only denies:
        # without these two statements the topic would drop every alarm in silence.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccountMayPublish",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="RulesMayPublish",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
            )
        )
        return topic

    def _subscribe_emails(self, deployment: Deployment) -> None:
        monitors_of: dict[str, list[str]] = {}
        for monitor in deployment:
            for email in dict.fromkeys(monitor.alerts.emails):
                monitors_of.setdefault(email, []).append(monitor.name)
        for email, names in monitors_of.items():
            everything = len(names) == len(deployment.monitors.monitors)
            self.topic.add_subscription(
                subscriptions.EmailSubscription(
                    email, filter_policy=None if everything else _only(names)
                )
            )

    def _subscribe_slack(self, deployment: Deployment) -> sns.ITopic | None:
        """Join the configured channels to two topics; return the one for the monitors' alerts.

        Slack shows a notification of CloudWatch with its graph, and of all else only what is in
        its own format: so it gets the alerts on a topic of its own, and the alarms on failing
        functions and dead letters from the topic that people with e-mail read.
        """
        channels = {
            (monitor.alerts.slack_workspace_id, monitor.alerts.slack_channel_id)
            for monitor in deployment
            if monitor.alerts.slack_workspace_id and monitor.alerts.slack_channel_id
        }
        if not channels:
            return None
        topic = sns.Topic(self, "ChatTopic", enforce_ssl=True)
        for workspace, channel in sorted(channels):
            chatbot.SlackChannelConfiguration(
                self,
                f"Slack{channel}",
                slack_channel_configuration_name=f"{deployment.name}-{channel}",
                slack_workspace_id=str(workspace),
                slack_channel_id=str(channel),
                notification_topics=[self.topic, topic],
                # Without guardrails people in the channel get what administrators get.
                guardrail_policies=[
                    iam.ManagedPolicy.from_aws_managed_policy_name("CloudWatchReadOnlyAccess")
                ],
            )
        return topic

    def _notify(self, deployment: Deployment, buckets: Buckets) -> lambda_.IFunction:
        undelivered = DeadLetterQueue(
            self,
            "NotifyDeadLetters",
            name=deployment.function_name("notify"),
            holds="alarm events that nobody was told about",
            topic=self.topic,
        )
        defaults = FunctionDefaults.prepare(
            self, deployment=deployment, buckets=buckets, topic=self.topic
        )
        notify = Function(
            self,
            "Notify",
            verb="notify",
            description="Writes an alert when a monitor's alarm changes, or a retraining ends",
            defaults=defaults,
            memory_mb=512,
            timeout=cdk.Duration.minutes(1),
            environment={
                "ALERT_TOPIC_ARN": self.topic.topic_arn,
                "DASHBOARD_NAME": deployment.name,
                "EVALUATE_LOG_GROUP": deployment.log_group_name("evaluate"),
            },
            dead_letters=undelivered.queue,
        )
        notify.read_store("reports/*", "state/*")
        if compared(deployment):
            notify.read_store("experiments/*/decision.json")
        if any(monitor.rollout for monitor in deployment):
            notify.read_store("rollout.json")
        if asking(deployment):
            add_approval_links(notify, defaults=defaults)
        self.topic.grant_publish(notify.role)
        if self._chat_topic is not None:
            self._chat_topic.grant_publish(notify.role)
            notify.function.add_environment("CHAT_TOPIC_ARN", self._chat_topic.topic_arn)
        secrets = {monitor.alerts.slack_webhook_secret for monitor in deployment} - {None}
        for name in sorted(str(secret) for secret in secrets):
            secretsmanager.Secret.from_secret_name_v2(self, f"Secret{name}", name).grant_read(
                notify.role
            )
        for monitor in deployment:
            events.Rule(
                self,
                f"Alarm-{monitor.name}",
                description=f"Monitor {monitor.name} rings, or stops ringing: notify",
                event_pattern=_changed(deployment.monitor_alarm_name(monitor.name)),
                targets=[
                    targets.LambdaFunction(notify.function, dead_letter_queue=undelivered.target)
                ],
            )
        for monitor in compared(deployment):
            events.Rule(
                self,
                f"Decision-{monitor.name}",
                description=f"An experiment of monitor {monitor.name} has ended: notify",
                event_pattern=events.EventPattern(
                    source=["aws.s3"],
                    detail_type=["Object Created"],
                    detail={
                        "bucket": {"name": [buckets.store]},
                        "object": {"key": [decisions(monitor)]},
                    },
                ),
                targets=[
                    targets.LambdaFunction(notify.function, dead_letter_queue=undelivered.target)
                ],
            )
        return notify.function


def _changed(alarm: str) -> events.EventPattern:
    """Match an alarm that starts to ring, or stops; not one that has just been made."""
    return events.EventPattern(
        source=["aws.cloudwatch"],
        detail_type=["CloudWatch Alarm State Change"],
        detail={
            "alarmName": [alarm],
            "$or": [
                {"state": {"value": ["ALARM"]}},
                {"state": {"value": ["OK"]}, "previousState": {"value": ["ALARM"]}},
            ],
        },
    )


def _only(monitors: list[str]) -> dict[str, sns.SubscriptionFilter]:
    """Let alerts of these monitors pass, and what is not about a monitor: failing functions."""
    allowed: list[Any] = [*monitors, {"exists": False}]
    return {MONITOR_ATTRIBUTE: sns.SubscriptionFilter(allowed)}
