"""Executions end when they are stopped or their time is up, and so do the tasks in them.

AWS documentation: ``StopExecution`` and ``SendTaskSuccess`` in the AWS Step Functions API
Reference; "State machine structure" (``TimeoutSeconds``), "Wait for a Callback with Task Token"
and "Automating Step Functions event delivery with EventBridge" in its Developer Guide.

In ministack a stopped execution waits on inside of its state, takes further tokens, and may fail or
go on in its history after its end; a state machine's own ``TimeoutSeconds`` counts for nothing.
Here a wait ends with the execution, a machine's time limit makes it ``TIMED_OUT``, and nothing
happens to an execution after its end. Of task tokens:

- each attempt at a task has its own;
- one whose task is over (done, timed out, or its execution stopped) answers ``TaskTimedOut``, one
  that never was ``InvalidToken``;
- a function that fails to take the token fails the task. (ministack waits for the token.)

Time limits are never shortened. Left out: heartbeats.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

from ministack.core.responses import error_response_json, new_uuid, now_iso
from ministack.services import stepfunctions

Record = dict[str, Any]
_POLL_SECONDS = 0.1
_CALLBACK = ".waitForTaskToken"
_NO_LIMIT = 99_999_999
_ENDS = frozenset(
    {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"}
)
_under_way: ContextVar[Record | None] = ContextVar("execution", default=None)
# Tokens whose task is over; they are few, and the process is short-lived.
_closed: set[str] = set()


class ExecutionEndedError(SystemExit):
    """The execution of this thread is over.

    No ``Retry`` and no ``Catch`` sees it, and a branch's thread ends by it without a word.
    """


def install() -> None:
    """Put the rules in place."""
    _end_runs()
    _end_with_limits()
    _give_out_tokens()
    _take_tokens()


def pause(seconds: float) -> None:
    """Wait, but no longer than the execution of this thread runs.

    Raises
    ------
    ExecutionEndedError
    """
    _wait_for(threading.Event().wait, seconds)


def _wait_for(happens: Callable[[float], bool], seconds: float) -> bool:
    """Tell whether something happens in time; the execution's end ends the wait."""
    end = time.monotonic() + seconds
    while True:
        execution = _under_way.get()
        if execution is not None and execution["status"] != "RUNNING":
            raise ExecutionEndedError(execution["status"])
        left = end - time.monotonic()
        if left <= 0:
            return False
        if happens(min(left, _POLL_SECONDS)):
            return True


def _end_runs() -> None:
    run = stepfunctions._run_execution
    fail = stepfunctions._fail_execution
    add_event = stepfunctions._add_event

    def run_to_its_end(arn: str) -> None:
        execution = stepfunctions._executions.get(arn)
        outer = _under_way.set(execution)
        timer = None if execution is None else _limit_of(execution)
        try:
            run(arn)
        except ExecutionEndedError:
            pass
        finally:
            if timer is not None:
                timer.cancel()
            _under_way.reset(outer)  # a nested execution runs in the thread of its task

    def fail_once(execution: Record, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    def add_event_before_the_end(execution: Record, kind: str, details: Any = None) -> Any:
        events = execution["events"]
        over = execution["status"] != "RUNNING" and kind not in _ENDS
        return events[-1] if over else add_event(execution, kind, details)

    stepfunctions._run_execution = run_to_its_end
    stepfunctions._fail_execution = fail_once
    stepfunctions._add_event = add_event_before_the_end


def _limit_of(execution: Record) -> threading.Timer | None:
    """Start the time limit that the state machine has; None if it has none."""
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
    limit = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None
    if limit is None:
        return None
    timer = threading.Timer(limit, copy_context().run, args=(_time_out, execution))
    timer.daemon = True
    timer.start()
    return timer


def _time_out(execution: Record) -> None:
    if execution["status"] != "RUNNING":
        return
    execution["status"] = "TIMED_OUT"
    execution["stopDate"] = now_iso()
    stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    stepfunctions._emit_execution_status_event(execution)


def _end_with_limits() -> None:
    """End the wait for a task with a time limit; its thread ends when it waits itself."""

    def invoke_with_limit(resource: str, arguments: Any, limit: float) -> Any:
        done = threading.Event()
        outcome: list[tuple[bool, Any]] = []

        def work() -> None:
            try:
                outcome.append((True, stepfunctions._invoke_resource(resource, arguments)))
            except BaseException as error:
                outcome.append((False, error))
            done.set()

        context = copy_context()
        threading.Thread(target=context.run, args=(work,), daemon=True).start()
        if not _wait_for(done.wait, limit):
            raise stepfunctions._ExecutionError(
                "States.Timeout", f"Task timed out after {limit} seconds"
            )
        [(succeeded, result)] = outcome
        if not succeeded:
            raise result
        return result

    stepfunctions._invoke_resource_with_timeout = invoke_with_limit


def _give_out_tokens() -> None:
    arguments_of = stepfunctions._apply_jsonata_arguments

    def arguments_with_token(definition: Record, raw_input: Any, context: Any = None) -> Any:
        if _CALLBACK in definition.get("Resource", "") and context is not None:
            context["Task"] = {"Token": new_uuid()}
        return arguments_of(definition, raw_input, context)

    stepfunctions._apply_jsonata_arguments = arguments_with_token
    stepfunctions._invoke_with_callback = _wait_for_token


def _wait_for_token(resource: str, arguments: Any, token: str, definition: Record) -> Any:
    limit = definition.get("TimeoutSeconds", _NO_LIMIT)
    end = time.monotonic() + limit
    info: Record = {
        "event": threading.Event(),
        "result": None,
        "error": None,
        "heartbeat": None,
        "execution": _under_way.get(),
    }
    stepfunctions._task_tokens[token] = info
    try:
        stepfunctions._invoke_resource_with_timeout(
            resource.replace(_CALLBACK, ""), arguments, limit
        )
        if not _wait_for(info["event"].wait, end - time.monotonic()):
            raise stepfunctions._ExecutionError(
                "States.Timeout", f"Task timed out after {limit} seconds"
            )
    finally:
        _closed.add(token)
        stepfunctions._task_tokens.pop(token, None)
    if info["error"]:
        raise stepfunctions._ExecutionError(info["error"]["Error"], info["error"]["Cause"])
    return json.loads(info["result"])


def _take_tokens() -> None:
    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        setattr(stepfunctions, name, _only_open(getattr(stepfunctions, name)))


def _only_open(send: Callable[[Record], Any]) -> Callable[[Record], Any]:
    def send_if_open(request: Record) -> Any:
        token = request.get("taskToken")
        info = stepfunctions._task_tokens.get(token)
        if token in _closed or (info is not None and _is_over(info)):
            return error_response_json(
                "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400
            )
        if info is None:
            return error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)
        problem = _problem_of(request.get("output"))
        if problem is not None:
            return error_response_json("InvalidOutput", f"Invalid Output: '{problem}'", 400)
        return send(request)

    return send_if_open


def _is_over(info: Record) -> bool:
    execution = info.get("execution")  # an activity's token has none
    stopped = execution is not None and execution["status"] != "RUNNING"
    return stopped or bool(info["event"].is_set())


def _problem_of(output: str | None) -> str | None:
    """Return why an output is not JSON; None if it is, or there is none."""
    try:
        json.loads(output if output is not None else "{}")
    except ValueError as error:
        return str(error)
    return None
