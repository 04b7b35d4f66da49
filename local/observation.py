"""Reading back what the deployment did: whatever the demo shows passes through here.

Nothing is passed on inside this process. Verdicts, alarms, messages and executions are asked of
the embedded AWS through the same calls that a user of a real account would make.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from driftgauge.config import MonitorConfig
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import DriftgaugeError, ObjectNotFoundError
from driftgauge.outcome_verdict import OutcomesVerdict, decode_outcomes_verdict
from driftgauge.store import Current, MonitorStore, S3Objects
from driftgauge.windows import Window
from local.aws import EmbeddedAws

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

_POLL_SECONDS = 0.2
_ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")

Found = TypeVar("Found")


class DemoError(DriftgaugeError):
    """Something that the demo waited for did not happen."""


def wait_for(
    what: str, probe: Callable[[], Found | None], *, seconds: float, look: str = ""
) -> Found:
    """Poll until the probe returns something.

    Raises
    ------
    DemoError
        If it returned None for that long, saying what was waited for and where to look.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise DemoError(f"waited {seconds:g} s for {what}, in vain. {look}".rstrip())
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the stacks' outputs name."""

    store_bucket: str
    capture_bucket: str
    topic: str
    dashboard: str
    state_machine: str

    @classmethod
    def from_outputs(
        cls, outputs: Mapping[str, Mapping[str, str]], config: MonitorConfig
    ) -> Resources:
        """Find the outputs of a deployment's stacks.

        Raises
        ------
        DemoError
            If one is missing.
        """
        by_name = {name: value for stack in outputs.values() for name, value in stack.items()}
        machine = "RetrainingArn" + "".join(part.title() for part in config.name.split("-"))
        try:
            return cls(
                store_bucket=by_name["StoreBucketName"],
                capture_bucket=config.capture.bucket or by_name["CaptureBucketName"],
                topic=by_name["AlertTopicArn"],
                dashboard=by_name["DashboardName"],
                state_machine=by_name[machine],
            )
        except KeyError as error:
            raise DemoError(
                f"the deployed stacks have no output {error}; they have {', '.join(by_name)}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class AlarmReading:
    """The state of one alarm and since when, by CloudWatch's clock."""

    name: str
    state: str
    since: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message that SNS delivered to the queue that listens in."""

    subject: str
    text: str
    received: datetime


@dataclass(frozen=True, kw_only=True)
class Step:
    """A state that an execution entered; ``seconds`` since the execution's start."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of the retraining state machine."""

    arn: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None
    output: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.status in _ENDED


class Observer:
    """Asks one deployment what happened."""

    def __init__(
        self,
        *,
        aws: EmbeddedAws,
        resources: Resources,
        config: MonitorConfig,
        deployment: str,
    ) -> None:
        self.config = config
        self.deployment = deployment
        self.resources = resources
        self.variant = config.endpoint.variants[0]
        self.s3: S3Client = aws.client("s3")
        self.cloudwatch: CloudWatchClient = aws.client("cloudwatch")
        self._sqs: SQSClient = aws.client("sqs")
        self._sfn: SFNClient = aws.client("stepfunctions")
        self.store = MonitorStore(
            objects=S3Objects(bucket=resources.store_bucket, client=self.s3), monitor=config.name
        )
        self._queue = self._listen_in(aws)

    def _listen_in(self, aws: EmbeddedAws) -> str:
        """Subscribe a queue to the alert topic, as one would an e-mail address."""
        name = f"{self.config.name}-demo-inbox"
        url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        sns = aws.client("sns")
        sns.subscribe(
            TopicArn=self.resources.topic,
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
        )
        return url

    def current(self) -> Current | None:
        """Return the pointer to baseline and champion; None before the first."""
        try:
            return self.store.read_current()[0]
        except ObjectNotFoundError:
            return None

    def verdict(self, window: Window, *, rows: int) -> WindowVerdict | None:
        """Return a window's verdict once it covers that many rows."""
        try:
            verdict = self.store.read_verdict(variant=self.variant, window=window)
        except ObjectNotFoundError:
            return None
        arrived = verdict.rows + verdict.rejected_total + verdict.other_baseline_rows
        return verdict if arrived >= rows else None

    def outcomes(self, window: Window, *, labelled: int) -> OutcomesVerdict | None:
        """Return what is said about a window's outcomes once that many rows have a label."""
        key = self.store.report_key(variant=self.variant, window=window, name="outcomes.json")
        try:
            verdict = decode_outcomes_verdict(self.store.objects.read(key))
        except ObjectNotFoundError:
            return None
        return verdict if verdict.labels.counts.labelled >= labelled else None

    def report(self, window: Window) -> bytes | None:
        """Return a window's HTML report once it is written."""
        key = self.store.report_key(variant=self.variant, window=window, name="report.html")
        try:
            return self.store.objects.read(key)
        except ObjectNotFoundError:
            return None

    def alarms(self) -> dict[str, AlarmReading]:
        """Return every alarm of the deployment, by name, composite alarms included."""
        pages = self.cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        found = {}
        for page in pages:
            for alarm in (*page["MetricAlarms"], *page["CompositeAlarms"]):
                changed = alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]
                found[alarm["AlarmName"]] = AlarmReading(
                    name=alarm["AlarmName"],
                    state=alarm["StateValue"],
                    since=changed.astimezone(UTC),
                    reason=alarm.get("StateReason", ""),
                )
        return found

    def alarm(self, kind: str | None = None) -> AlarmReading:
        """Return one of the monitor's alarms, or the composite one that stands for all.

        Raises
        ------
        DemoError
            If it was not deployed.
        """
        name = f"{self.deployment}-{self.config.name}"
        if kind is not None:
            name = f"{name}-{self.variant}-{kind}"
        found = self.alarms().get(name)
        if found is None:
            raise DemoError(f"there is no alarm named {name}")
        return found

    def let_period_pass(self, kind: str) -> None:
        """Wait until the period of the datapoint that made an alarm ring is over.

        An alarm takes the worst datapoint of a period: in a demo that plays a week in seconds, a
        quiet window within the drifted one's period would not be seen, on AWS neither.
        """
        over = self.alarm(kind).since + self.config.alarm_period
        wait_for(
            f"the period of alarm {kind} to end",
            lambda: True if datetime.now(UTC) >= over else None,
            seconds=self.config.alarm_period.total_seconds() + 5.0,
        )

    def messages(self) -> Iterator[Message]:
        """Yield the messages that arrived since the last call, and take them off the queue."""
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
            received = answer.get("Messages", [])
            for message in received:
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
                body = json.loads(message["Body"])
                yield Message(
                    subject=body.get("Subject") or "",
                    text=body.get("Message", ""),
                    received=datetime.now(UTC),
                )
            if not received:
                return

    def executions(self) -> list[Execution]:
        """Return the executions of the retraining state machine, oldest first."""
        answer = self._sfn.list_executions(stateMachineArn=self.resources.state_machine)
        listed = [self._execution(entry["executionArn"]) for entry in answer["executions"]]
        return sorted(listed, key=lambda execution: execution.started)

    def _execution(self, arn: str) -> Execution:
        answer = self._sfn.describe_execution(executionArn=arn)
        stopped = answer.get("stopDate")
        return Execution(
            arn=arn,
            name=answer["name"],
            status=answer["status"],
            started=answer["startDate"].astimezone(UTC),
            stopped=None if stopped is None else stopped.astimezone(UTC),
            output=json.loads(answer.get("output") or "{}"),
            error=f"{answer.get('error') or ''} {answer.get('cause') or ''}".strip(),
        )

    def refresh(self, execution: Execution) -> Execution:
        """Return the execution as it is now."""
        return self._execution(execution.arn)

    def steps(self, execution: Execution) -> list[Step]:
        """Return the states that an execution has entered so far, in order."""
        steps = []
        for page in self._sfn.get_paginator("get_execution_history").paginate(
            executionArn=execution.arn
        ):
            for event in page["events"]:
                entered = event.get("stateEnteredEventDetails")
                if entered is not None:
                    passed = event["timestamp"].astimezone(UTC) - execution.started
                    steps.append(Step(name=entered["name"], seconds=passed.total_seconds()))
        return steps
