"""State machines of the embedded AWS: how they wait, end, time out and take task tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import EmbeddedAws
from tests.end_to_end.test_embedded_aws import archive, eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

ROLE = "arn:aws:iam::123456789012:role/any"
UNREADY = """
class NotReadyError(Exception):
    pass

def handler(event, context):
    raise NotReadyError(event["token"])
"""


def token_task(**more: Any) -> dict[str, Any]:
    """A task that waits for the token that it sends to the queue."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Arguments": {
            "QueueUrl": "{% $states.input.queue %}",
            "MessageBody": {"token": "{% $states.context.Task.Token %}"},
        },
        "End": True,
    } | more


class Machines:
    """State machines, a queue for their tokens, and one that hears how executions end."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.states = aws.client("stepfunctions")
        self.sqs = aws.client("sqs")
        self.tokens = self.sqs.create_queue(QueueName="tokens")["QueueUrl"]
        self.heard = self.sqs.create_queue(QueueName="heard")["QueueUrl"]
        self.events: list[dict[str, Any]] = []
        events = aws.client("events")
        pattern = {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {"status": ["ABORTED", "TIMED_OUT", "FAILED"]},
        }
        events.put_rule(Name="ends", EventPattern=json.dumps(pattern))
        arn = "arn:aws:sqs:us-east-1:123456789012:heard"
        events.put_targets(Rule="ends", Targets=[{"Id": "heard", "Arn": arn}])

    def start(self, states: dict[str, Any], given: Any = None, **more: Any) -> str:
        """Start a machine of some states, the first one first; return the execution."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        machine = self.states.create_state_machine(
            name=f"machine-{time.monotonic_ns()}",
            definition=json.dumps(definition | more),
            roleArn=ROLE,
        )["stateMachineArn"]
        body = json.dumps({"queue": self.tokens} | (given or {}))
        started: str = self.states.start_execution(stateMachineArn=machine, input=body)[
            "executionArn"
        ]
        return started

    def ended(self, execution: str, *, seconds: float = 15) -> dict[str, Any]:
        """Wait for the end of an execution."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.states.describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else found

        return eventually(look, seconds=seconds)

    def output(self, states: dict[str, Any], given: Any = None) -> Any:
        """Run some states and return their output."""
        done = self.ended(self.start(states, given))
        assert done["status"] == "SUCCEEDED", done
        return json.loads(done["output"])

    def token(self) -> str:
        """Wait for the next token."""

        def look() -> str | None:
            for message in self._received(self.tokens):
                return str(message["token"])
            return None

        return eventually(look)

    def told(self, execution: str) -> dict[str, Any]:
        """Wait for the event of an execution's end; return its detail."""

        def look() -> dict[str, Any] | None:
            self.events += self._received(self.heard)
            return next(
                (e["detail"] for e in self.events if e["detail"]["executionArn"] == execution), None
            )

        return eventually(look)

    def _received(self, url: str) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def entered(self, execution: str, state: str) -> list[str]:
        """Wait until a state is entered; return the kinds of events until now."""

        def look() -> list[str] | None:
            events = self.states.get_execution_history(executionArn=execution)["events"]
            names = [event.get("stateEnteredEventDetails", {}).get("name") for event in events]
            return [event["type"] for event in events] if state in names else None

        return eventually(look)

    def succeed(self, token: str, output: str = "{}") -> None:
        self.states.send_task_success(taskToken=token, output=output)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with EmbeddedAws(folder=tmp_path_factory.mktemp("aws")) as aws:
        yield Machines(aws)


def test_a_minute_of_waiting_is_a_second_and_a_short_wait_is_still_one(machines: Machines) -> None:
    for seconds, least, most in ((60, 1.0, 4.0), (1, 0.2, 3.0)):
        began = time.monotonic()
        machines.output({"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}})
        assert least <= time.monotonic() - began < most


def test_a_stopped_execution_ends_in_its_wait(machines: Machines) -> None:
    states = {
        "Wait": {"Type": "Wait", "Seconds": 120, "Next": "After"},
        "After": {"Type": "Pass", "End": True},
    }
    execution = machines.start(states, {"monitor": "flights"})
    machines.entered(execution, "Wait")

    machines.states.stop_execution(executionArn=execution, error="Stop", cause="by hand")

    detail = machines.told(execution)
    assert (detail["status"], json.loads(detail["input"])["monitor"]) == ("ABORTED", "flights")
    assert detail["stateMachineArn"].rpartition(":")[2] == execution.split(":")[-2]
    assert detail["name"] == execution.rpartition(":")[2]
    assert detail["stopDate"] > detail["startDate"] > 1e12
    time.sleep(2.5)  # the wait would be over
    done = machines.states.describe_execution(executionArn=execution)
    assert (done["status"], done["error"], done["cause"]) == ("ABORTED", "Stop", "by hand")
    history = machines.states.get_execution_history(executionArn=execution)["events"]
    assert [e["type"] for e in history][-2:] == ["WaitStateEntered", "ExecutionAborted"]


def test_a_stopped_execution_closes_its_token(machines: Machines) -> None:
    caught = {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]}
    states = {"Ask": token_task(**caught), "Caught": {"Type": "Succeed"}}
    execution = machines.start(states)
    token = machines.token()
    machines.states.stop_execution(executionArn=execution)
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.succeed(token)
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.states.send_task_failure(taskToken=token, error="Late")
    assert machines.told(execution)["status"] == "ABORTED"
    time.sleep(0.3)
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.states.send_task_heartbeat(taskToken=token)
    history = machines.states.get_execution_history(executionArn=execution)["events"]
    assert history[-1]["type"] == "ExecutionAborted"


def test_a_token_counts_once_and_must_be_one(machines: Machines) -> None:
    execution = machines.start({"Ask": token_task()})
    token = machines.token()
    with pytest.raises(machines.states.exceptions.InvalidOutput):
        machines.succeed(token, "not JSON")
    machines.succeed(token, '{"decision": "advance"}')
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.succeed(token)
    assert json.loads(machines.ended(execution)["output"]) == {"decision": "advance"}
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.succeed(token)
    with pytest.raises(machines.states.exceptions.InvalidToken):
        machines.succeed("nobody-has-ever-seen-this-token")


def test_the_time_limit_of_a_token_is_an_expression_and_is_not_shortened(
    machines: Machines,
) -> None:
    ask = token_task(
        TimeoutSeconds="{% $states.input.seconds %}",
        Catch=[
            {
                "ErrorEquals": ["States.Timeout"],
                "Assign": {
                    "ending": {"reason": "too late", "error": "{% $states.errorOutput.Error %}"}
                },
                "Output": {"why": "{% $states.errorOutput.Error %}"},
                "Next": "Late",
            }
        ],
    )
    states = {
        "Ask": ask,
        "Late": {
            "Type": "Succeed",
            "Output": {"ending": "{% $ending %}", "input": "{% $states.input %}"},
        },
    }
    began = time.monotonic()
    output = machines.output(states, {"seconds": 2})
    assert time.monotonic() - began >= 2
    assert output == {
        "ending": {"reason": "too late", "error": "States.Timeout"},
        "input": {"why": "States.Timeout"},
    }
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.succeed(machines.token())


def test_a_machine_has_a_time_limit_of_its_own(machines: Machines) -> None:
    execution = machines.start({"Ask": token_task()}, TimeoutSeconds=1)
    token = machines.token()
    detail = machines.told(execution)
    assert detail["status"] == "TIMED_OUT"
    assert machines.ended(execution)["status"] == "TIMED_OUT"
    time.sleep(0.3)
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.succeed(token)


def test_a_failed_execution_is_an_event_with_its_cause(machines: Machines) -> None:
    execution = machines.start({"Fail": {"Type": "Fail", "Error": "Broken", "Cause": "by design"}})
    detail = machines.told(execution)
    assert (detail["status"], detail["error"], detail["cause"]) == ("FAILED", "Broken", "by design")


def test_a_function_that_does_not_take_the_token_fails_the_task_and_a_retry_has_another(
    machines: Machines,
) -> None:
    functions = machines.aws.client("lambda")
    functions.create_function(
        FunctionName="unready",
        Runtime="python3.13",
        Handler="index.handler",
        Role=ROLE,
        Code={"ZipFile": archive({"index.py": UNREADY})},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="unready")
    states = {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Arguments": {
                "FunctionName": "unready",
                "Payload": {"token": "{% $states.context.Task.Token %}"},
            },
            "TimeoutSeconds": 600,
            "Retry": [{"ErrorEquals": ["NotReadyError"], "IntervalSeconds": 5, "MaxAttempts": 1}],
            "Catch": [
                {
                    "ErrorEquals": ["NotReadyError"],
                    "Output": "{% $parse($states.errorOutput.Cause).errorMessage %}",
                    "Next": "Caught",
                }
            ],
            "End": True,
        },
        "Caught": {"Type": "Succeed"},
    }
    execution = machines.start(states)
    last = json.loads(machines.ended(execution)["output"])
    history = machines.states.get_execution_history(executionArn=execution)["events"]
    failures = [
        json.loads(event["taskFailedEventDetails"]["cause"])["errorMessage"]
        for event in history
        if event["type"] == "TaskFailed"
    ]
    assert len(set(failures)) == 2
    assert failures[-1] == last
    with pytest.raises(machines.states.exceptions.TaskTimedOut):
        machines.succeed(last)


def test_assigned_variables_see_the_values_of_before(machines: Machines) -> None:
    states = {
        "First": {
            "Type": "Pass",
            "Assign": {"a": 1, "b": "{% $states.input.nothing %}"},
            "Next": "Swap",
        },
        "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "Show"},
        "Show": {"Type": "Succeed", "Output": {"a": "{% $a %}", "b": "{% $b %}"}},
    }
    assert machines.output(states, {"nothing": None}) == {"a": None, "b": 1}


def test_an_absent_field_cannot_be_assigned_and_a_task_can_catch_that(machines: Machines) -> None:
    absent = {"known": "{% 1 %}", "field": "{% $states.input.absent %}"}
    alone = {"First": {"Type": "Pass", "Assign": absent, "End": True}}
    done = machines.ended(machines.start(alone))
    assert (done["status"], done["error"]) == ("FAILED", "States.QueryEvaluationError")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": "{% $states.input.queue %}", "MessageBody": {"token": "none"}},
        "Assign": absent,
        "Catch": [
            {
                "ErrorEquals": ["States.QueryEvaluationError"],
                "Assign": {"failure": "{% $exists($known) ? 'half' : $states.errorOutput.Error %}"},
                "Next": "Caught",
            }
        ],
        "End": True,
    }
    states = {"Send": task, "Caught": {"Type": "Succeed", "Output": "{% $failure %}"}}
    assert machines.output(states) == "States.QueryEvaluationError"
    assert machines.token() == "none"


def test_an_execution_goes_on_after_one_that_it_has_waited_for(machines: Machines) -> None:
    inner = {"Wait": {"Type": "Wait", "Seconds": 30, "End": True}}
    definition = json.dumps({"StartAt": "Wait", "QueryLanguage": "JSONata", "States": inner})
    nested = machines.states.create_state_machine(
        name="nested", definition=definition, roleArn=ROLE
    )["stateMachineArn"]
    states = {
        "Nested": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Arguments": {"StateMachineArn": nested, "Input": {}},
            "Next": "Wait",
        },
        "Wait": {"Type": "Wait", "Seconds": 6, "Output": "done", "End": True},
    }
    assert machines.output(states) == "done"
