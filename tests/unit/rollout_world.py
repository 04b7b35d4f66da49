"""A deployment in miniature with a roll-out: its functions, and an endpoint that they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from moto.core.models import botocore_stubber

from driftgauge.config import MonitorConfig
from driftgauge.rollout_settings import Stage
from driftgauge.store import Current
from lambdas.retraining import Step
from lambdas.rollout_record import RollOut, Serving, read_rollout
from lambdas.rollout_requests import config_name
from tests.unit.lambda_world import World, deployed, monitor
from tests.unit.sagemaker_world import World as LocalSageMaker

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:driftgauge-loans-retraining"
ROLE = "arn:aws:iam::123456789012:role/serving"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/driftgauge-logistic:1"
STARTED = datetime(2026, 7, 1, tzinfo=UTC)
CHAMPION, CHALLENGER = "AllTraffic", "challenger"
COMPOSITE = "driftgauge-loans"
ENDPOINT = "flights"
IN_FORCE = {"baseline": "v1", "model": "m1"}
# Of the challenger.
MODEL_URI = "s3://store/trained/model.tar.gz"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/loans/7"


def execution(name: str) -> str:
    """The ARN of an execution of the monitor's state machine."""
    return MACHINE.replace("stateMachine", "execution") + f":{name}"


def rolling(strategy: str = "shadow_canary", **changes: Any) -> MonitorConfig:
    """A monitor whose challengers are rolled out."""
    judged = {"primary": {"name": "accuracy", "effect": 0.05}, "min_duration": "1h"}
    rollout = {
        "strategy": strategy,
        "role_arn": ROLE,
        "shadow": {"min_duration": "1h"},
        "canary": judged | {"share": 0.2},
        "ab": judged,
        "stage_limit": "2d",
        "traffic": {"shift": "canary", "percent": 50, "wait": "1m", "bake": "2m"},
        **changes.pop("rollout", {}),
    }
    retraining = {
        "enabled": True,
        "trainer": {"image": IMAGE, "role_arn": ROLE},
        "rollout": rollout,
        **changes.pop("retraining", {}),
    }
    variants = [CHAMPION] if strategy == "direct" else [CHAMPION, CHALLENGER]
    document: dict[str, Any] = {
        "endpoint": {"name": ENDPOINT, "variants": variants},
        "outcomes": {"problem": "binary", "classes": ["0", "1"]},
        "retraining": retraining,
        **changes,
    }
    return monitor(**document)


class StepFunctions:
    """Executions with their states, and the tokens of tasks that wait."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.starts: dict[str, datetime] = {}
        self.sent: list[tuple[str, str]] = []
        self.refusal = ""

    def run(self, name: str, start: datetime = STARTED, state: str = "RUNNING") -> None:
        self.states[execution(name)] = state
        self.starts[execution(name)] = start

    def get_paginator(self, name: str) -> StepFunctions:
        assert name == "list_executions"
        return self

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        assert arguments == {"stateMachineArn": MACHINE, "statusFilter": "RUNNING"}
        # With its delay, Step Functions may list some that have ended already.
        listed = [arn for arn, state in self.states.items() if state in ("RUNNING", "ABORTED")]
        yield {
            "executions": [{"executionArn": arn, "startDate": self.starts[arn]} for arn in listed]
        }

    def describe_execution(self, **arguments: Any) -> dict[str, str]:
        arn = arguments["executionArn"]
        if arn not in self.states:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
        return {"status": self.states[arn]}

    def send_task_success(self, **arguments: Any) -> None:
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, "SendTaskSuccess")
        self.sent.append((arguments["taskToken"], arguments["output"]))


class RollOuts:
    """The functions of a roll-out against an endpoint of the local SageMaker."""

    def __init__(self, world: World, sagemaker: LocalSageMaker, machine: StepFunctions) -> None:
        self.world = world
        self.local = sagemaker
        self.machine = machine
        self.asked: list[tuple[str, dict[str, Any]]] = []

    # The state machine's part

    def plan(self, name: str = "mine", **event: Any) -> dict[str, Any]:
        """Let the guard plan an execution, which runs."""
        arn = execution(name)
        if arn not in self.machine.states:
            self.machine.run(name, STARTED + timedelta(minutes=len(self.machine.states)))
        return self.call(
            "guard",
            {
                "monitor": "loans",
                "alarm": "",
                "execution": arn,
                "name": name,
                "started": self.machine.starts[arn].isoformat(),
                "state_machine": MACHINE,
                **event,
            },
        )

    def call(self, verb: str, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke a function; what goes in and comes out is JSON without any null."""
        answer = json.dumps(self.world.call(verb, json.loads(json.dumps(event))))
        assert "null" not in answer
        found: dict[str, Any] = json.loads(answer)
        return found

    def look(self, plan: dict[str, Any], stage: str) -> Step:
        """Ask for the next step."""
        event = {
            "plan": plan,
            "stage": stage,
            "champion": IN_FORCE,
            "model_uri": MODEL_URI,
            "package": PACKAGE,
        }
        return msgspec.convert(self.call("rollout", event), type=Step)

    def do(self, step: Step) -> None:
        """Do a step; none of those that wait is waited for."""
        client = self.local.sagemaker
        if step.request:
            self.asked.append((step.action, step.request))
        if step.action == "model":
            client.create_model(**step.request)
        elif step.action == "create":
            client.create_endpoint_config(**step.request)
        elif step.action == "update":
            client.update_endpoint(**step.request)
        elif step.action == "weigh":
            client.update_endpoint_weights_and_capacities(**step.request)

    def drive(self, plan: dict[str, Any], stage: str, *, until: str = "") -> Step:
        """Go on until a stage is reached or cannot be, or before an action is done."""
        for _ in range(60):
            step = self.look(plan, stage)
            if step.action in ("reached", "failed", until):
                return step
            self.do(step)
            self.settle()
        raise AssertionError(f"{stage} is not reached: {step}")

    def settle(self) -> dict[str, Any]:
        """Wait until the endpoint stands still."""
        return self.local.wait("InService")

    # What there is

    @property
    def record(self) -> RollOut:
        record = read_rollout(self.world.store)
        assert record is not None
        return record

    @property
    def serving(self) -> Serving:
        """How the endpoint serves."""
        found = self.local.describe()
        weights = {v["VariantName"]: v["CurrentWeight"] for v in found["ProductionVariants"]}
        return Serving(config=found["EndpointConfigName"], weights=weights)

    @property
    def in_force(self) -> tuple[str, str | None]:
        """What the pointer names."""
        current, _ = self.world.store.read_current()
        return current.baseline, current.model

    @property
    def actions(self) -> list[str]:
        return [action for action, _ in self.asked]

    def model(self, plan: dict[str, Any]) -> None:
        """Make the challenger's model."""
        self.local.create_model(plan["rollout"]["model"], direction=-1.0)

    def ring(
        self, alarm: str, state: Literal["ALARM", "INSUFFICIENT_DATA", "OK"] = "ALARM"
    ) -> None:
        """Let an alarm of CloudWatch have a state, which SageMaker sees as well."""
        cloudwatch = boto3.client("cloudwatch")
        if not cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]:
            cloudwatch.put_metric_alarm(
                AlarmName=alarm,
                MetricName="m",
                Namespace="n",
                Period=60,
                EvaluationPeriods=1,
                Threshold=1.0,
                ComparisonOperator="GreaterThanThreshold",
                Statistic="Sum",
            )
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue=state, StateReason=f"{state} it is")
        self.local.account.alarms[alarm] = state

    def name_of(self, plan: dict[str, Any], stage: Stage) -> str:
        """The name of a stage's endpoint configuration."""
        return config_name("loans", plan["version"], stage)


@contextmanager
def rolled_out(
    monkeypatch: pytest.MonkeyPatch,
    captured: pytest.CaptureFixture[str],
    folder: Path,
    config: MonitorConfig | None = None,
    **endpoint: Any,
) -> Iterator[RollOuts]:
    """Set up the deployment, with an endpoint that serves ``before`` with the weight 3."""
    with deployed(monkeypatch, captured, folder, config or rolling()) as world:
        local = LocalSageMaker()
        # The local SageMaker answers here; moto stands for all other services.
        for client in (local.sagemaker, local.runtime):
            client.meta.events.unregister("before-send", botocore_stubber)
        machine = StepFunctions()
        real = boto3.client
        clients = {"sagemaker": local.sagemaker, "stepfunctions": machine}
        monkeypatch.setattr(
            boto3, "client", lambda name, **more: clients.get(name) or real(name, **more)
        )
        local.create_model("m1")
        local.create_config("before", {f"m1 as {CHAMPION}": 1.0}, **endpoint)
        local.create_endpoint("before")
        local.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=ENDPOINT,
            DesiredWeightsAndCapacities=[
                {"VariantName": CHAMPION, "DesiredWeight": 3.0, "DesiredInstanceCount": 4}
            ],
        )
        local.wait("InService")
        world.store.write_current(
            Current(baseline="v1", model="m1", since=STARTED - timedelta(days=30)), if_tag=None
        )
        yield RollOuts(world, local, machine)
