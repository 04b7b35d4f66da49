"""Runs the retraining state machine on moto, with the real functions behind its tasks.

moto executes the language but lacks a JSONata engine, Lambda functions without Docker, SageMaker's
`.sync`, and most of SageMaker's endpoints; this file supplies the first two, rewrites the third,
and takes a client of the local SageMaker for the last.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import jsonata
import pytest
from moto.stepfunctions.parser.asl.parse import asl_parser, preprocessor

from tests.unit.lambda_world import Context

DEFINITION = Path(__file__).resolve().parents[2] / "stacks/statemachines/retraining.asl.json"
ACCOUNT = "123456789012"
VERBS = (
    *("guard", "prepare", "train", "compare", "baseline", "promote", "notify"),
    *("rollout", "verdict"),
)
# What a minute's pause of the state machine is here, in seconds.
PAUSE = 0.05
OWN_FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:own-trainer"
Handler = Callable[[dict[str, Any]], Any]
_PARSE = asl_parser.AmazonStateLanguageParser.parse


def substituted() -> dict[str, Any]:
    """The definition as the stack deploys it."""
    text = DEFINITION.read_text(encoding="utf-8")
    for verb in VERBS:
        arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{verb}"
        text = text.replace(f"${{{verb.title()}FunctionArn}}", arn)
    assert "${" not in text
    definition: dict[str, Any] = json.loads(text)
    return definition


class Machine:
    """One state machine, and the functions it invokes by name."""

    def __init__(self, functions: dict[str, Handler]) -> None:
        self.functions = functions
        self._client: Any = boto3.client("stepfunctions")
        definition = substituted()
        # moto has no `.sync` for SageMaker; its plain API call checks the arguments.
        job = definition["States"]["TrainOnSageMaker"]
        job["Resource"] = "arn:aws:states:::aws-sdk:sagemaker:createTrainingJob"
        for state in definition["States"].values():
            for retrier in state.get("Retry", []):
                retrier["IntervalSeconds"] = 1
                retrier.pop("JitterStrategy", None)
        self.arn: str = self._client.create_state_machine(
            name="driftgauge-loans-retraining",
            definition=json.dumps(definition),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine",
        )["stateMachineArn"]

    def start(self, name: str = "one", **event: Any) -> str:
        """Start an execution and return its ARN."""
        arn: str = self._client.start_execution(
            stateMachineArn=self.arn, name=name, input=json.dumps({"monitor": "loans", **event})
        )["executionArn"]
        return arn

    def finish(self, execution: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait for an execution's end and return its description."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            found: dict[str, Any] = self._client.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.02)
        raise TimeoutError(f"{execution} is in {self.path(execution)}")

    def path(self, execution: str) -> list[str]:
        """The names of the states that an execution entered, in order."""
        pages = self._client.get_paginator("get_execution_history")
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages.paginate(executionArn=execution, maxResults=1000)
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]

    def stop(self, execution: str, *, token: str) -> None:
        """Abort an execution that waits for a token; moto sees it once the token is answered."""
        self._client.stop_execution(executionArn=execution)
        self._client.send_task_success(taskToken=token, output="{}")

    def invoke(self, parameters: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Answer Lambda's Invoke as the service does."""
        name = parameters["FunctionName"].rpartition(":")[2]
        try:
            answer = self.functions[name](json.loads(parameters["Payload"]))
        except Exception as error:
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": failure}
        return {"StatusCode": 200, "Payload": json.loads(json.dumps(answer))}


def real_functions() -> dict[str, Handler]:
    """The deployed functions by verb."""

    def call(verb: str) -> Handler:
        handler = importlib.import_module(f"lambdas.{verb}").handler
        return lambda event: handler(event, Context())

    return {verb: call(verb) for verb in VERBS}


def parsed(definition: str) -> tuple[Any, Any]:
    """Return moto's program and syntax tree of a definition."""
    tree = syntax_tree(definition)
    return preprocessor.Preprocessor().visit(tree), tree


@cache
def syntax_tree(definition: str) -> Any:
    """Return a definition's syntax tree: moto takes half a second, and all tests have the same."""
    return _PARSE(definition)[1]


@contextmanager
def machine(patch: pytest.MonkeyPatch, **replaced: Handler) -> Iterator[Machine]:
    """Yield the machine with real functions, some of them replaced."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
    from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata

    def shortened(self: Any, env: Any, wait_seconds: int) -> None:
        env.program_state_event.wait(PAUSE)

    patch.setattr(wait_function.WaitFunction, "_wait_interval", shortened)
    patch.setattr(asl_parser.AmazonStateLanguageParser, "parse", staticmethod(parsed))
    patch.setattr(moto_jsonata, "_eval_jsonata", lambda text: jsonata.Jsonata(text).evaluate(None))
    made = Machine({**real_functions(), **replaced})
    patch.setattr(
        lambda_eval_utils,
        "_invoke_lambda_function",
        lambda parameters, region, state_credentials: made.invoke(parameters),
    )
    yield made


class Inbox:
    """An e-mail subscriber of the alert topic."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        topic = boto3.client("sns").create_topic(Name="alerts")["TopicArn"]
        self._sqs: Any = boto3.client("sqs")
        self._queue = self._sqs.create_queue(QueueName="inbox")["QueueUrl"]
        boto3.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:inbox"
        )
        patch.setenv("ALERT_TOPIC_ARN", topic)

    def read(self) -> list[dict[str, str]]:
        """Return subject and text of the messages that came since the last call."""
        found = []
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10
        ).get("Messages"):
            for message in messages:
                body = json.loads(message["Body"])
                found.append({"subject": body["Subject"], "text": body["Message"]})
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return found

    def wait_for_token(self, timeout: float = 30.0) -> str:
        """Return the task token of the approval request once it has come."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            for message in self.read():
                token = re.search(r"--task-token '([^']+)'", message["text"])
                if token:
                    return token[1]
            time.sleep(0.02)
        raise TimeoutError("nobody was asked for approval")
