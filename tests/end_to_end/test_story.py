"""The deployed stacks on the embedded AWS, from a capture file to a promoted model.

The templates are those of ``cdk deploy``; nothing here calls a handler. The tests are chapters of
one story and run in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from driftgauge.capture.keys import capture_key
from driftgauge.config import MonitorConfig, load_monitors
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.store import parse_profile_key
from driftgauge.training.dataset import encode_baseline_rows
from driftgauge.training.logistic import decode_model, encode_model
from driftgauge.windows import Window
from local.aws import EmbeddedAws
from local.deploy import deploy
from local.observation import AlarmReading, Execution, Observer, Resources, wait_for
from local.toolchain import ROOT, synthesize
from tests.end_to_end.orders import (
    FIRST_DAY,
    Orders,
    capture_lines,
    first_champion,
    ground_truth_lines,
    orders_of_day,
)

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

DEPLOYMENT = "story"
QUIET_DAYS = 12
ROWS = 150
DRIFT_DAY = QUIET_DAYS
DRIFT_ROWS = 400
PATIENCE = 90.0


@dataclass(frozen=True, kw_only=True)
class World:
    """One deployment, and the hands that feed it."""

    observer: Observer
    sqs: SQSClient
    functions: LambdaClient

    @property
    def config(self) -> MonitorConfig:
        return self.observer.config

    def window(self, day: int) -> Window:
        return self.config.grid.window_of(FIRST_DAY + timedelta(days=day))

    def capture_key(self, moment: datetime, unique: str) -> str:
        return capture_key(
            prefix=self.config.capture.prefix,
            endpoint=self.config.endpoint.name,
            variant=self.observer.variant,
            moment=moment,
            unique=unique,
        )

    def put(self, key: str, data: bytes) -> None:
        self.observer.s3.put_object(
            Bucket=self.observer.resources.capture_bucket, Key=key, Body=data
        )

    def serve(self, day: int, orders: Orders) -> str:
        """Score a day's orders with the champion, capture them, and collect their labels."""
        current, _ = self.observer.store.read_current()
        assert current.model is not None
        store = self.observer.store
        model = decode_model(store.objects.read(store.model_key(current.model)))
        key = self.capture_key(self.window(day).end - timedelta(minutes=1), f"day-{day}")
        self.put(key, capture_lines(orders, model))
        collected = self.window(day).end
        folder = f"{self.config.capture.ground_truth_prefix}/{collected:%Y/%m/%d/%H}"
        self.put(f"{folder}/day-{day}.jsonl", ground_truth_lines(orders))
        return key

    def verdict(self, day: int, rows: int) -> WindowVerdict:
        return wait_for(
            f"the verdict on day {day}",
            lambda: self.observer.verdict(self.window(day), rows=rows),
            seconds=PATIENCE,
        )

    def alarm(self, kind: str | None, state: str) -> AlarmReading:
        def probe() -> AlarmReading | None:
            reading = self.observer.alarm(kind)
            return reading if reading.state == state else None

        return wait_for(f"alarm {kind or 'of the monitor'} in {state}", probe, seconds=PATIENCE)

    def url(self, queue_arn: str) -> str:
        return self.sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"]

    @property
    def profile_queue(self) -> str:
        """URL of the queue that the profile function reads."""
        mappings = self.functions.list_event_source_mappings(FunctionName=f"{DEPLOYMENT}-profile")
        [mapping] = mappings["EventSourceMappings"]
        return self.url(mapping["EventSourceArn"])

    @property
    def profile_dead_letters(self) -> str:
        """URL of the queue in which that one's dead letters end."""
        answer = self.sqs.get_queue_attributes(
            QueueUrl=self.profile_queue, AttributeNames=["RedrivePolicy"]
        )
        return self.url(json.loads(answer["Attributes"]["RedrivePolicy"])["deadLetterTargetArn"])

    def profiles(self) -> dict[str, bytes]:
        objects = self.observer.store.objects
        prefix = f"{self.config.name}/profiles/"
        return {info.key: objects.read(info.key) for info in objects.list(prefix)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("story")
    monitors = Path(__file__).parent / "monitors"
    assembly = synthesize(
        ROOT,
        assembly=folder / "cdk.out",
        context={"deployment": DEPLOYMENT, "monitors": str(monitors)},
        log=folder / "cdk-synth.log",
    )
    config = load_monitors(monitors)["orders"]
    with EmbeddedAws(folder=folder / "aws") as aws:
        outputs = deploy(assembly, aws)
        observer = Observer(
            aws=aws,
            resources=Resources.from_outputs(outputs, config),
            config=config,
            deployment=DEPLOYMENT,
        )
        yield World(observer=observer, sqs=aws.client("sqs"), functions=aws.client("lambda"))


def test_training_data_becomes_the_baseline_and_its_model_the_champion(world: World) -> None:
    store = world.observer.store
    model, rows = first_champion()
    key = f"{store.training_data_prefix()}orders.csv"
    store.objects.write(f"{key}.model.json", encode_model(model))
    store.objects.write(key, encode_baseline_rows(rows, prediction="score", scores=rows.scores))
    current = wait_for("the first baseline", world.observer.current, seconds=PATIENCE)
    assert current.model is not None
    for name in ("baseline.json", "statistics.json", "constraints.json"):
        assert store.objects.read(store.baseline_key(current.baseline, name))


def test_quiet_days_are_judged_ok_and_the_alarms_stay_silent(world: World) -> None:
    for day in range(QUIET_DAYS):
        world.serve(day, orders_of_day(day, rows=ROWS))
    for day in range(QUIET_DAYS):
        verdict = world.verdict(day, ROWS)
        assert not verdict.alarm, verdict
        assert {feature.verdict for feature in verdict.features} == {"ok"}
    world.alarm("silence", "OK")
    assert world.alarm(None, "OK").state == "OK"
    assert world.observer.executions() == []


def test_an_event_that_is_delivered_again_changes_nothing(world: World) -> None:
    key = world.capture_key(world.window(0).end - timedelta(minutes=1), "day-0")
    bucket = world.observer.resources.capture_bucket
    head = world.observer.s3.head_object(Bucket=bucket, Key=key)
    before = world.profiles()
    queue = world.profile_queue
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "etag": head["ETag"]}},
    }
    for _ in range(3):
        world.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))

    def drained() -> bool | None:
        answer = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
        waiting = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return all(answer["Attributes"][name] == "0" for name in waiting) or None  # type: ignore[index]

    wait_for("the profile queue to be empty", drained, seconds=PATIENCE)
    assert world.profiles() == before
    assert world.verdict(0, ROWS).rows == ROWS


def test_a_file_that_cannot_be_read_becomes_a_dead_letter_with_its_key(world: World) -> None:
    key = world.capture_key(world.window(0).start, "poison")
    world.put(key, b"\x00\x01\x02 this is no capture file")
    queue = world.profile_dead_letters

    def letter() -> str | None:
        answer = world.sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
        return next((message["Body"] for message in answer.get("Messages", [])), None)

    body = wait_for("the dead letter", letter, seconds=PATIENCE)
    assert json.loads(body)["detail"]["object"]["key"] == key
    assert world.verdict(0, ROWS).rows == ROWS


def test_bad_lines_are_counted_and_quarantined_and_their_neighbors_judged(world: World) -> None:
    day = 1
    moment = world.window(day).start
    orders = orders_of_day(day, rows=30)
    current, _ = world.observer.store.read_current()
    assert current.model is not None
    store = world.observer.store
    model = decode_model(store.objects.read(store.model_key(current.model)))
    world.put(
        world.capture_key(moment, "late-file"),
        b'{"not": "a capture"}\n' + capture_lines(orders, model) + b"{broken\n",
    )
    verdict = world.verdict(day, ROWS + 30)
    assert verdict.rows == ROWS + 30
    assert verdict.rejected == {"not a capture record": 1, "not json": 1}
    [quarantined] = store.objects.list("orders/quarantine/")
    samples = [json.loads(line) for line in store.objects.read(quarantined.key).splitlines()]
    assert sorted(sample["line"] for sample in samples) == [1, 32]


def test_drift_rings_the_alarm_and_people_are_told_what_moved(world: World) -> None:
    list(world.observer.messages())
    world.serve(DRIFT_DAY, orders_of_day(DRIFT_DAY, rows=DRIFT_ROWS, larger=1.0))
    verdict = world.verdict(DRIFT_DAY, DRIFT_ROWS)
    assert [feature.name for feature in verdict.drifted_inputs] == ["amount"]
    world.alarm("feature-drift", "ALARM")
    world.alarm(None, "ALARM")
    assert world.observer.alarm("data-quality").state != "ALARM"

    def told() -> str | None:
        texts = [m.text for m in world.observer.messages() if m.subject.startswith("ALARM: orders")]
        return texts[0] if texts else None

    text = wait_for("the message on the SNS topic", told, seconds=PATIENCE)
    assert "amount (input): PSI" in text
    assert "2026" in text
    assert "report.html" in text


def test_the_alarm_starts_a_retraining_that_promotes_model_and_baseline(world: World) -> None:
    def ended() -> list[Execution] | None:
        executions = world.observer.executions()
        return executions if executions and all(e.ended for e in executions) else None

    executions = wait_for("the retraining to end", ended, seconds=PATIENCE)
    assert {e.status for e in executions} == {"SUCCEEDED"}, [e.error for e in executions]
    # The score drifts with the amounts, so two alarms ring: one execution trains, one steps back.
    endings = sorted(world.observer.steps(execution)[-1].name for execution in executions)
    assert endings == ["Promoted", *["Refused"] * (len(executions) - 1)]
    current, _ = world.observer.store.read_current()
    [first] = current.history
    assert current.model not in (None, first.model)
    assert current.baseline != first.baseline


def test_the_next_day_is_judged_by_the_new_baseline_and_the_alarm_falls_silent(
    world: World,
) -> None:
    current, _ = world.observer.store.read_current()
    world.observer.let_period_pass("feature-drift")
    day = DRIFT_DAY + 1
    world.serve(day, orders_of_day(day, rows=DRIFT_ROWS, larger=1.0))
    verdict = world.verdict(day, DRIFT_ROWS)
    assert verdict.baseline_version == current.baseline
    assert not verdict.alarm, verdict
    world.alarm("feature-drift", "OK")
    world.alarm(None, "OK")
    stored = [
        parse_profile_key(info)
        for info in world.observer.store.objects.list(f"orders/profiles/{current.baseline}/")
    ]
    assert {profile.grain_start.date() for profile in stored} == {world.window(day).start.date()}
