"""A monitor with a roll-out, its endpoint, and the machine that retrains it."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest

from driftgauge.experiments.blocks import Blocks
from driftgauge.experiments.shadow_verdict import encode_shadow_verdict
from driftgauge.experiments.verdict import encode_experiment_verdict
from driftgauge.store import Current
from lambdas.rollout_record import RollOut, read_rollout
from tests.unit import shadow_world
from tests.unit.experiment_world import judged, plan
from tests.unit.lambda_world import STORE, World, created
from tests.workflow.endpoint import (
    CHALLENGER,
    CHAMPION,
    NAME,
    TRAINER,
    Serving,
    model_archive,
    serving,
)
from tests.workflow.machine import Inbox, Machine, machine
from tests.workflow.rollout_paths import told_once
from tests.workflow.test_retraining import current, drifted, last

ALARM = f"driftgauge-loans-{CHALLENGER}-errors-5xx"
GUARDING = f"driftgauge-loans-{CHAMPION}-errors-5xx"


@dataclass(kw_only=True)
class Scene:
    """A drifted monitor with an endpoint, and the machine that retrains it."""

    world: World
    inbox: Inbox
    made: Machine
    served: Serving
    before: Current

    def run(self, name: str = "one", **event: Any) -> tuple[dict[str, Any], list[str]]:
        """Run an execution to its end; return its description and path."""
        execution = self.made.start(name, **event)
        return self.made.finish(execution), told_once(self.made.path(execution))

    @property
    def record(self) -> RollOut:
        found = read_rollout(self.world.store)
        assert found is not None
        return found

    def decide(self, stage: str, decision: str) -> dict[str, Any]:
        """Write the decision on the comparison that runs, and return S3's event."""
        name = self.record.experiment
        key = self.world.store.experiment_key(name, "decision.json")
        reason = f"it is to {decision}"
        if stage == "shadow":
            shadow = shadow_world.judged(shadow_world.counted(200))
            data = encode_shadow_verdict(
                replace(shadow, experiment=name, decision=decision, reason=reason)  # type: ignore[arg-type]
            )
        else:
            verdict = judged(Blocks(), plan())
            data = encode_experiment_verdict(
                replace(verdict, experiment=name, decision=decision, reason=reason)  # type: ignore[arg-type]
            )
        self.world.store.objects.write(key, data)
        return created(STORE, key, "tag")

    def judge(self, **decisions: str) -> None:
        """Decide each stage before the state machine waits for it."""
        verdict = self.made.functions["verdict"]

        def decided(event: dict[str, Any]) -> Any:
            self.decide(event["stage"], decisions[event["stage"]])
            return verdict(event)

        self.made.functions["verdict"] = decided

    def wait_for_token(self, execution: str) -> None:
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            found = read_rollout(self.world.store)
            if found is not None and found.token:
                return
            time.sleep(0.02)
        raise TimeoutError(f"{execution} is in {self.made.path(execution)}")

    def assert_as_before(self, outcome: str) -> None:
        """Endpoint, weights and pointer are those from before, and it is on record."""
        assert self.served.serves_as_before()
        now = current(self.world)
        assert (now.baseline, now.model) == (self.before.baseline, self.before.model)
        assert last(self.world)["outcome"] == outcome
        found = read_rollout(self.world.store)
        assert found is None or found.status == "restored"

    def assert_promoted(self) -> None:
        found = self.served.describe()
        version = current(self.world).model
        assert version == current(self.world).baseline == self.record.challenger
        assert found["EndpointConfigName"] == f"driftgauge-loans-{version}-full"
        assert found["EndpointStatus"] == "InService"
        assert self.served.weights() == {CHAMPION: 1.0}
        assert (self.record.status, last(self.world)["outcome"]) == ("promoted", "promoted")


def leave_output(world: World, plan: dict[str, Any]) -> None:
    """Write what a training job leaves: a model and predictions, here of the built-in trainer."""
    world.call("train", {"plan": plan})
    objects = world.store.objects
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        data = objects.read(plan["files"]["predictions"])
        member = tarfile.TarInfo("predictions.csv")
        member.size = len(data)
        packed.addfile(member, io.BytesIO(data))
    job = plan["sagemaker"]
    place = f"{job['output_uri'].split('/', 3)[3]}/{job['name']}/output"
    objects.write(f"{place}/output.tar.gz", stream.getvalue())
    objects.write(f"{place}/model.tar.gz", model_archive(objects.read(plan["files"]["model"])))


@contextmanager
def scenery(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    strategy: str,
    *,
    trainer: dict[str, Any] = TRAINER,
    retraining: Mapping[str, Any] | None = None,
    **rollout: Any,
) -> Iterator[Scene]:
    """A drifted monitor whose challengers are rolled out by a strategy."""
    accuracy = {"primary": {"name": "accuracy"}, "min_duration": "1s"}
    judged_by: dict[str, dict[str, Any]] = {
        "direct": {},
        "ab": {"ab": accuracy},
        "shadow_canary": {"canary": {**accuracy, "share": 0.1}},
    }
    settings = {
        "trainer": trainer,
        "rollout": {
            "strategy": strategy,
            "role_arn": "arn:aws:iam::123456789012:role/serving",
            **judged_by[strategy],
            **rollout,
        },
        **(retraining or {}),
    }
    besides = {
        "endpoint": {"name": NAME, "variants": [CHAMPION, CHALLENGER], "alarms": False},
        "outcomes": {},
    }
    with (
        drifted(monkeypatch, capsys, tmp_path, besides=besides, **settings) as (world, inbox),
        machine(monkeypatch) as made,
        serving(monkeypatch) as served,
    ):
        compare = made.functions["compare"]

        def after_the_job(event: dict[str, Any]) -> Any:
            if event["plan"]["trainer"] == "sagemaker":
                leave_output(world, event["plan"])
            return compare(event)

        made.functions["compare"] = after_the_job
        served.replaced["create_training_job"] = lambda real, **_: {}
        yield Scene(world=world, inbox=inbox, made=made, served=served, before=current(world))


def ring(name: str, state: Literal["ALARM", "OK"]) -> dict[str, Any]:
    """Put an alarm into a state, and return the event of its change."""
    client = boto3.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="5 errors")
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "detail": {"alarmName": name, "state": {"value": state, "reason": "5 errors"}},
    }
