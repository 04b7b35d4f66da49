"""What ends the wait for a comparison, in every order in which it may come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftgauge.errors import ConflictError, StoreError
from driftgauge.experiments.shadow_verdict import encode_shadow_verdict
from driftgauge.experiments.verdict import encode_experiment_verdict
from lambdas.rollout_record import change_rollout
from tests.unit import experiment_world, shadow_world
from tests.unit.lambda_world import STORE, created, deployed
from tests.unit.rollout_world import (
    CHALLENGER,
    CHAMPION,
    RollOuts,
    rolled_out,
)

HARM = f"driftgauge-loans-{CHALLENGER}-experiment-harm"
ERRORS = f"driftgauge-loans-{CHALLENGER}-errors-5xx"
TOKEN = "a-secret-token"
ARM = experiment_world.arm(200, {"accuracy": 0.5})
BLOCKS = experiment_world.blocks(1, champion=ARM, challenger=ARM)


@pytest.fixture
def rolls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[RollOuts]:
    with rolled_out(monkeypatch, capsys, tmp_path) as rolls:
        yield rolls


def at(rolls: RollOuts, stage: str) -> tuple[dict[str, Any], str]:
    """Bring a roll-out to a stage; its plan, and the name of what is compared."""
    plan = rolls.plan()
    rolls.model(plan)
    for one in plan["rollout"]["stages"]:
        step = rolls.drive(plan, one)
        if one == stage:
            return plan, step.experiment
    raise AssertionError(f"{stage} is no stage")


def wait(
    rolls: RollOuts, plan: dict[str, Any], stage: str, experiment: str, token: str = TOKEN
) -> bool:
    event = {"plan": plan, "stage": stage, "experiment": experiment, "token": token}
    return bool(rolls.call("verdict", event)["sent"])


def write_decision(rolls: RollOuts, experiment: str, decision: str) -> dict[str, Any]:
    """Write the decision on an experiment; the event of it."""
    if experiment.endswith("-shadow"):
        agreed = shadow_world.judged(shadow_world.counted(50))
        data = encode_shadow_verdict(
            replace(agreed, experiment=experiment, decision=decision, reason="so it is")  # type: ignore[arg-type]
        )
    else:
        compared = experiment_world.judged(BLOCKS, experiment_world.plan())
        data = encode_experiment_verdict(
            replace(compared, experiment=experiment, decision=decision, reason="so it is")  # type: ignore[arg-type]
        )
    key = rolls.world.store.experiment_key(experiment, "decision.json")
    return rolls.world.put(STORE, key, data)


def alarm_event(name: str, state: str = "ALARM") -> dict[str, Any]:
    return {
        "detail-type": "CloudWatch Alarm State Change",
        "detail": {
            "alarmName": name,
            "state": {"value": state, "reason": "Threshold Crossed: 3 datapoints"},
        },
    }


def sent(rolls: RollOuts) -> list[tuple[str, str, str]]:
    answers = [(token, json.loads(output)) for token, output in rolls.machine.sent]
    return [(token, one["decision"], one["reason"]) for token, one in answers]


@pytest.mark.parametrize(
    ("stage", "decision"),
    [
        ("shadow", "advance"),
        ("shadow", "stop"),
        ("canary", "promote"),
        ("canary", "keep"),
        ("canary", "stop: harm"),
    ],
)
@pytest.mark.parametrize("first", ["token", "decision"])
def test_a_decision_ends_the_wait_whichever_comes_first(
    rolls: RollOuts, stage: str, decision: str, first: str
) -> None:
    plan, experiment = at(rolls, stage)
    if first == "token":
        assert not wait(rolls, plan, stage, experiment)
        event = write_decision(rolls, experiment, decision)
        assert rolls.call("verdict", event) == {"sent": True}
    else:
        event = write_decision(rolls, experiment, decision)
        assert rolls.call("verdict", event) == {"sent": False}
        assert wait(rolls, plan, stage, experiment)
    assert sent(rolls) == [(TOKEN, decision, "so it is")]
    # A second delivery finds that nobody waits.
    assert rolls.call("verdict", event) == {"sent": False}
    assert (rolls.record.token, len(rolls.machine.sent)) == ("", 1)
    assert rolls.record.experiment == experiment


@pytest.mark.parametrize("name", [HARM, ERRORS])
@pytest.mark.parametrize("first", ["token", "alarm"])
def test_an_alarm_of_the_challenger_ends_the_wait(rolls: RollOuts, name: str, first: str) -> None:
    plan, experiment = at(rolls, "canary")
    if first == "token":
        assert not wait(rolls, plan, "canary", experiment)
        assert rolls.call("verdict", alarm_event(name)) == {"sent": True}
        reason = "Threshold Crossed: 3 datapoints"
    else:
        assert rolls.call("verdict", alarm_event(name)) == {"sent": False}
        rolls.ring(name)
        assert wait(rolls, plan, "canary", experiment)
        reason = "ALARM it is"
    assert sent(rolls) == [(TOKEN, "alarm", f"the alarm {name} rings: {reason}")]
    assert rolls.call("verdict", alarm_event(name)) == {"sent": False}


def test_what_was_decided_comes_before_what_rings(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    rolls.ring(ERRORS)
    write_decision(rolls, experiment, "keep")
    assert wait(rolls, plan, "canary", experiment)
    assert [decision for _, decision, _ in sent(rolls)] == ["keep"]


def test_harm_that_an_earlier_challenger_did_does_not_end_a_comparison(rolls: RollOuts) -> None:
    rolls.ring(HARM)
    rolls.ring(f"driftgauge-loans-{CHAMPION}-errors-5xx")
    rolls.world.set_clock(datetime.now(UTC) + timedelta(seconds=5))
    plan, experiment = at(rolls, "shadow")
    assert not wait(rolls, plan, "shadow", experiment)
    # Errors are about the traffic of this very moment.
    rolls.ring(ERRORS)
    assert wait(rolls, plan, "shadow", experiment, "second")


@pytest.mark.parametrize(
    "name",
    [
        f"driftgauge-loans-{CHAMPION}-errors-5xx",
        f"driftgauge-loans-{CHALLENGER}-feature-drift",
        "driftgauge-loans",
        "driftgauge-other-challenger-errors-5xx",
        f"other-loans-{CHALLENGER}-errors-5xx",
    ],
)
def test_other_alarms_do_not_end_the_wait(rolls: RollOuts, name: str) -> None:
    plan, experiment = at(rolls, "canary")
    rolls.ring(name)
    assert not wait(rolls, plan, "canary", experiment)
    assert rolls.call("verdict", alarm_event(name)) == {"sent": False}
    assert rolls.call("verdict", alarm_event(ERRORS, "OK")) == {"sent": False}
    assert (sent(rolls), rolls.record.token) == ([], TOKEN)


def test_decisions_on_other_experiments_do_not_end_the_wait(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    assert not wait(rolls, plan, "canary", experiment)
    for other in (experiment.replace("-canary", "-shadow"), "a-test-of-ones-own-shadow"):
        event = write_decision(rolls, other, "advance")
        assert rolls.call("verdict", event) == {"sent": False}
    assert rolls.record.token == TOKEN


def test_a_monitor_without_a_roll_out_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        event = created(STORE, "loans/experiments/june/decision.json", "tag")
        assert world.call("verdict", event) == {"sent": False}
        assert world.call("verdict", alarm_event(ERRORS)) == {"sent": False}


@pytest.mark.parametrize("refusal", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_machine_that_waits_no_longer_is_left_alone(rolls: RollOuts, refusal: str) -> None:
    plan, experiment = at(rolls, "canary")
    wait(rolls, plan, "canary", experiment)
    rolls.machine.refusal = refusal
    event = write_decision(rolls, experiment, "promote")
    assert rolls.call("verdict", event) == {"sent": False}
    assert rolls.record.token == ""


def test_a_verdict_that_cannot_be_passed_on_is_tried_again(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    wait(rolls, plan, "canary", experiment)
    rolls.machine.refusal = "ThrottlingException"
    event = write_decision(rolls, experiment, "promote")
    # The state machine tries again what fails with this error.
    with pytest.raises(StoreError, match="ThrottlingException"):
        rolls.call("verdict", event)
    assert rolls.record.token == TOKEN
    rolls.machine.refusal = ""
    assert rolls.call("verdict", event) == {"sent": True}


def test_alarms_that_cannot_be_asked_for_now_are_asked_for_again(
    rolls: RollOuts, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, experiment = at(rolls, "shadow")

    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeAlarms")

    cloudwatch = rolls.world.function("runtime").runtime().cloudwatch
    with monkeypatch.context() as patch:
        patch.setattr(cloudwatch, "describe_alarms", throttled)
        with pytest.raises(StoreError, match="which alarms ring"):
            wait(rolls, plan, "shadow", experiment)
    assert not wait(rolls, plan, "shadow", experiment, "second")
    assert rolls.record.token == "second"


def test_the_newest_token_is_the_one_that_is_used(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    wait(rolls, plan, "canary", experiment, "first")
    wait(rolls, plan, "canary", experiment, "second")
    rolls.call("verdict", write_decision(rolls, experiment, "promote"))
    assert [token for token, *_ in sent(rolls)] == ["second"]


def test_a_token_that_came_meanwhile_is_not_forgotten(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    wait(rolls, plan, "canary", experiment, "first")
    known = rolls.record
    wait(rolls, plan, "canary", experiment, "second")
    verdict = rolls.world.function("verdict")
    ending = verdict.Ending(decision="promote", reason="")
    assert verdict.tell(rolls.world.store, known, ending)
    assert rolls.record.token == "second"


def test_only_the_comparison_that_runs_can_be_waited_for(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    for changed in (
        {"stage": "shadow"},
        {"experiment": "another"},
        {"plan": plan | {"execution_arn": "arn:other"}},
    ):
        event = {
            "plan": plan,
            "stage": "canary",
            "experiment": experiment,
            "token": TOKEN,
            **changed,
        }
        with pytest.raises(ConflictError, match="not what is being compared"):
            rolls.call("verdict", event)
    rolls.drive(plan, "restore")
    with pytest.raises(ConflictError, match="not what is being compared"):
        wait(rolls, plan, "canary", experiment)
    change_rollout(rolls.world.store, lambda found: found and replace(found, status="restored"))
    with pytest.raises(ConflictError, match="not what is being compared"):
        wait(rolls, plan, "canary", experiment)


def test_tokens_are_never_logged(rolls: RollOuts) -> None:
    plan, experiment = at(rolls, "canary")
    wait(rolls, plan, "canary", experiment)
    rolls.call("verdict", write_decision(rolls, experiment, "promote"))
    rolls.machine.refusal = "TaskTimedOut"
    wait(rolls, plan, "canary", experiment)
    lines = rolls.world.printed()
    assert any(line["message"] == "verdict passed on" for line in lines)
    assert TOKEN not in json.dumps(lines)
