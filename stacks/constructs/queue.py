"""A queue with what fills and reads it, and the queue for what could not be processed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.constructs.acknowledgements import acknowledge

RECEIVES = 3
# As long as SQS allows: somebody has to find time to look and to redrive.
DEAD_LETTER_DAYS = 14


class DeadLetterQueue(Construct):
    """Where messages end that nobody could process, with an alarm that says so."""

    def __init__(
        self, scope: Construct, construct_id: str, *, name: str, holds: str, topic: sns.ITopic
    ) -> None:
        super().__init__(scope, construct_id)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(DEAD_LETTER_DAYS),
        )
        acknowledge(self.queue, "AwsSolutions-SQS3", "This is a dead-letter queue itself.")
        let_rules_send(self.queue)
        # As rules refer to it: see as_target.
        self.target = as_target(self, "Target", self.queue)
        self.alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_name=f"{name}-dead-letters",
            alarm_description=(
                f"Messages could not be processed: {holds}. Read the messages and the function's "
                "log, repair the cause, then start a redrive of the queue "
                f"{self.queue.queue_name} in the SQS console. They are deleted "
                f"{DEAD_LETTER_DAYS} days after they were first sent."
            ),
            metric=self.queue.metric_approximate_number_of_messages_visible(
                statistic=cloudwatch.Stats.MAXIMUM, period=cdk.Duration.minutes(1)
            ),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            threshold=0,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))


def queue_with_dead_letters(
    scope: Construct,
    construct_id: str,
    *,
    dead_letters: DeadLetterQueue,
    visibility: cdk.Duration,
    delay: cdk.Duration | None = None,
) -> sqs.Queue:
    """Make a queue that a function reads; what it fails on three times becomes a dead letter."""
    queue = sqs.Queue(
        scope,
        construct_id,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        delivery_delay=delay,
        visibility_timeout=visibility,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters.queue, max_receive_count=RECEIVES),
    )
    let_rules_send(queue)
    return queue


def visibility_for(timeout: cdk.Duration) -> cdk.Duration:
    """Return how long a message stays hidden from other readers: six times the timeout.

    AWS asks for that, so that a throttled function is not given the same batch twice.
    """
    return cdk.Duration.seconds(6 * timeout.to_seconds())


def let_rules_send(queue: sqs.Queue) -> None:
    """Let EventBridge rules of this account and region send to a queue.

    One statement for all rules: the CDK adds one for each, and SQS takes twenty.
    """
    rules = cdk.Stack.of(queue).format_arn(service="events", resource="rule", resource_name="*")
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="RulesOfThisAccountMaySend",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"ArnLike": {"aws:SourceArn": rules}},
        )
    )


def as_target(scope: Construct, construct_id: str, queue: sqs.IQueue) -> sqs.IQueue:
    """Return the queue as a rule's target that gets no further statement in its policy."""
    return sqs.Queue.from_queue_arn(scope, construct_id, queue.queue_arn)


def queue_objects(
    scope: Construct,
    construct_id: str,
    *,
    bucket: str,
    keys: Sequence[dict[str, str]],
    queue: sqs.IQueue,
    dead_letters: DeadLetterQueue,
    description: str,
) -> None:
    """Send the events of a bucket's new objects to a queue.

    ``keys`` are EventBridge's matchers, such as ``{"prefix": "captures/"}``; one has to match.
    """
    events.Rule(
        scope,
        construct_id,
        description=description,
        event_pattern=events.EventPattern(
            source=["aws.s3"],
            detail_type=["Object Created"],
            detail={"bucket": {"name": [bucket]}, "object": {"key": list(keys)}},
        ),
        targets=[targets.SqsQueue(queue, dead_letter_queue=dead_letters.target)],
    )


def read_queue(function: lambda_.IFunction, queue: sqs.IQueue, **settings: Any) -> None:
    """Let a function read a queue; it says which messages of a batch failed."""
    function.add_event_source(
        event_sources.SqsEventSource(queue, report_batch_item_failures=True, **settings)
    )
