from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from stacks.constructs.schedule import evaluation_times
from tests.infrastructure.policies import object_created, targets_of
from tests.infrastructure.synthesized import Synthesized, monitor

STORE = "<Store1D2A845B>"
CAPTURES = "<CapturesDE857D5D>"
HOUR = "2026/07/01/13"


def queue_arn(stacks: Synthesized, start: str) -> str:
    return f"<{stacks.logical_id('AWS::SQS::Queue', start)}.Arn>"


def test_captures_of_the_endpoint_are_profiled(default: Synthesized) -> None:
    event = object_created(CAPTURES, f"captures/flight-delays/AllTraffic/{HOUR}/05-22-1.jsonl")
    assert targets_of(default, event) == [queue_arn(default, "Captured")]


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        (CAPTURES, f"captures/flight-delays-v2/AllTraffic/{HOUR}/05-22-1.jsonl"),
        (CAPTURES, f"ground-truth/{HOUR}/labels.jsonl"),
        (STORE, f"captures/flight-delays/AllTraffic/{HOUR}/05-22-1.jsonl"),
        (STORE, "flight-delays/reports/AllTraffic/2026/07/01/00/report.html"),
        (STORE, "flight-delays/retraining/run-1/baseline.csv"),
        (STORE, "flight-delays/current.json"),
    ],
)
def test_no_other_object_starts_anything(default: Synthesized, bucket: str, key: str) -> None:
    assert targets_of(default, object_created(bucket, key)) == []


def test_two_monitors_of_one_endpoint_share_its_captures(varied: Synthesized) -> None:
    key = f"prod/capture/churn/blue/{HOUR}/05-22-1.jsonl"
    expected = [queue_arn(varied, "Captured")]
    assert targets_of(varied, object_created("existing-captures", key)) == expected


def test_captures_may_lie_at_the_top_of_a_bucket(varied: Synthesized) -> None:
    event = object_created("other-captures", f"fraud/AllTraffic/{HOUR}/05-22-1.jsonl")
    assert targets_of(varied, event) == [queue_arn(varied, "Captured")]


def test_new_profiles_reach_the_queue_of_their_own_monitor(varied: Synthesized) -> None:
    profile = "profiles/v1/blue/2026/07/01/13/00/0123.profile"
    expected = [queue_arn(varied, "Arrivalschurnbyregion")]
    event = object_created(STORE, f"churn-by-region/{profile}")
    assert targets_of(varied, event) == expected


def test_training_data_reaches_the_baseline_function(varied: Synthesized) -> None:
    event = object_created(STORE, "fraud/training-data/2026-06.csv.gz")
    assert targets_of(varied, event) == [queue_arn(varied, "TrainingData")]


@pytest.mark.parametrize(
    ("verb", "queue"),
    [("profile", "Captured"), ("baseline", "TrainingData"), ("evaluate", "Arrivalsflightdelays")],
)
def test_each_queue_is_read_by_its_function_which_reports_failures_one_by_one(
    default: Synthesized, verb: str, queue: str
) -> None:
    mapping = default.one(
        "AWS::Lambda::EventSourceMapping", EventSourceArn=queue_arn(default, queue)
    )
    assert mapping.properties["FunctionName"] == f"<{default.function(verb).logical_id}>"
    assert mapping.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping.properties["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_no_message_returns_to_its_queue_while_it_is_being_processed(varied: Synthesized) -> None:
    queues = {f"<{queue.logical_id}.Arn>": queue for queue in varied.all("AWS::SQS::Queue")}
    functions = {f"<{one.logical_id}>": one for one in varied.all("AWS::Lambda::Function")}
    mappings = varied.all("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == 5
    for mapping in mappings:
        queue = queues[mapping.properties["EventSourceArn"]]
        function = functions[mapping.properties["FunctionName"]]
        assert queue.properties["VisibilityTimeout"] > function.properties["Timeout"]


def test_an_arrival_waits_for_the_monitors_debounce(
    default: Synthesized, varied: Synthesized
) -> None:
    delays = {
        queue.logical_id.removeprefix("Arrivals")[:12]: queue.properties["DelaySeconds"]
        for stacks in (default, varied)
        for queue in stacks.all("AWS::SQS::Queue")
        if queue.logical_id.startswith("Arrivals")
    }
    assert sorted(delays.values()) == [3, 60, 60, 60]


def test_every_queue_has_dead_letters_after_three_receives(varied: Synthesized) -> None:
    queues = varied.all("AWS::SQS::Queue")
    dead = {f"<{q.logical_id}.Arn>" for q in queues if "RedrivePolicy" not in q.properties}
    for queue in queues:
        if "RedrivePolicy" in queue.properties:
            assert queue.properties["RedrivePolicy"]["deadLetterTargetArn"] in dead
            assert queue.properties["RedrivePolicy"]["maxReceiveCount"] == 3
        assert queue.properties["SqsManagedSseEnabled"] is True


def test_rules_may_send_to_their_queues_by_one_statement_each(varied: Synthesized) -> None:
    # SQS takes no policy of more than twenty statements, however many monitors there are.
    allowed = set()
    for policy in varied.all("AWS::SQS::QueuePolicy"):
        statements = policy.properties["PolicyDocument"]["Statement"]
        assert len(statements) == 2
        allowed |= {
            statement["Resource"]
            for statement in statements
            if statement["Effect"] == "Allow"
            and statement["Principal"] == {"Service": "events.amazonaws.com"}
            and statement["Action"] == "sqs:SendMessage"
            and statement["Condition"]
            == {"ArnLike": {"aws:SourceArn": "arn:aws:events:eu-west-1:123456789012:rule/*"}}
        }
    for rule in varied.all("AWS::Events::Rule"):
        for target in rule.properties["Targets"]:
            assert target["DeadLetterConfig"]["Arn"] in allowed
            if target["Arn"].startswith(("<Captured", "<Arrivals", "<TrainingData")):
                assert target["Arn"] in allowed


def test_every_monitor_is_evaluated_on_a_schedule(varied: Synthesized) -> None:
    schedules = {
        json.loads(one.properties["Target"]["Input"])["monitor"]: one.properties
        for one in varied.all("AWS::Scheduler::Schedule")
    }
    assert {name: one["ScheduleExpression"] for name, one in schedules.items()} == {
        "churn": "cron(20 * * * ? *)",
        "churn-by-region": "cron(20 0,6,12,18 * * ? *)",
        "fraud": "cron(20 0 * * ? *)",
    }
    evaluate = varied.function("evaluate").logical_id
    for name, schedule in schedules.items():
        assert schedule["ScheduleExpressionTimezone"] == "UTC"
        assert schedule["Target"]["Arn"] == f"<{evaluate}.Arn>"
        assert json.loads(schedule["Target"]["Input"]) == {"monitor": name, "schedule": True}
        assert schedule["Target"]["DeadLetterConfig"]["Arn"].startswith("<EvaluateDeadLetters")


@pytest.mark.parametrize("window", ["5m", "15m", "45m", "90m", "1h", "7h", "12h", "1d", "2d", "1w"])
@pytest.mark.parametrize("delay", ["1m", "20m", "3h"])
@pytest.mark.parametrize("anchor", ["1970-01-05T00:00:00Z", "2026-03-04T05:10:00Z"])
def test_the_schedule_fires_after_the_end_of_every_window(
    window: str, delay: str, anchor: str
) -> None:
    config = monitor(window=window, delay=delay, window_anchor=anchor)
    expression = evaluation_times(config)
    found = re.fullmatch(r"cron\(([\d,]+) ([\d,]+|\*) \* \* \? \*\)", expression)
    assert found, expression
    minutes = {int(minute) for minute in found[1].split(",")}
    hours = set(range(24)) if found[2] == "*" else {int(hour) for hour in found[2].split(",")}
    start = datetime(2026, 7, 1, tzinfo=UTC)
    for closed in config.grid.between(start, start + timedelta(days=15)):
        due = closed.end + config.delay
        assert due.minute in minutes, (expression, closed)
        assert due.hour in hours, (expression, closed)
