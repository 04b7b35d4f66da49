"""How a retraining ends: pointer and record of the roll-out, also after crashes in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.errors import ConflictError, StoreError
from driftgauge.store import Promotion
from lambdas.retraining import read_last
from lambdas.rollout_record import change_rollout, read_rollout
from tests.unit.rollout_world import (
    IN_FORCE,
    STARTED,
    RollOuts,
    execution,
    rolled_out,
    rolling,
)


@pytest.fixture
def rolls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[RollOuts]:
    with rolled_out(monkeypatch, capsys, tmp_path, rolling("direct")) as rolls:
        yield rolls


def in_full(rolls: RollOuts) -> dict[str, Any]:
    """Roll a challenger out to the full; its plan."""
    plan = rolls.plan()
    rolls.model(plan)
    assert rolls.drive(plan, "full").then == "promote"
    return plan


def end(rolls: RollOuts, plan: dict[str, Any], outcome: str, **more: Any) -> dict[str, Any]:
    event = {"plan": plan, "outcome": outcome, "reason": "why", "champion": IN_FORCE, **more}
    return rolls.call("promote", event)


def test_what_serves_in_full_comes_into_force(rolls: RollOuts) -> None:
    plan = in_full(rolls)
    for _ in range(2):
        end(rolls, plan, "promoted")
        assert rolls.in_force == (plan["version"], plan["version"])
        assert rolls.record.status == "promoted"
    current, _ = rolls.world.store.read_current()
    assert [one.baseline for one in current.history] == ["v1"]
    last = read_last(rolls.world.store)
    assert last is not None
    assert (last.outcome, last.execution) == ("promoted", "mine")


def test_what_does_not_serve_in_full_does_not_come_into_force(rolls: RollOuts) -> None:
    plan = rolls.plan()
    with pytest.raises(ConflictError, match="is not rolled out to the full"):
        end(rolls, plan, "promoted")
    plan = in_full(rolls)
    rolls.drive(plan, "restore")
    with pytest.raises(ConflictError, match="is not rolled out to the full"):
        end(rolls, plan, "promoted")
    assert rolls.in_force == ("v1", "m1")


def test_a_late_promotion_does_not_undo_a_roll_back(rolls: RollOuts) -> None:
    plan = in_full(rolls)
    rolls.drive(plan, "restore")
    end(rolls, plan, "failed", restored=True)
    with pytest.raises(ConflictError):
        end(rolls, plan, "promoted")
    assert rolls.in_force == ("v1", "m1")


def test_another_champion_is_not_replaced(rolls: RollOuts) -> None:
    plan = in_full(rolls)
    with pytest.raises(ConflictError, match="no longer in force"):
        end(rolls, plan, "promoted", champion={"baseline": "v0", "model": "m0"})
    assert rolls.record.status == "running"


@pytest.mark.parametrize("outcome", ["kept", "failed"])
def test_a_roll_out_ends_only_once_the_endpoint_serves_as_before(
    rolls: RollOuts, outcome: str
) -> None:
    plan = in_full(rolls)
    statuses = []
    for more in ({}, {"restored": False}):
        end(rolls, plan, outcome, **more)
        statuses.append(rolls.record.status)
    rolls.drive(plan, "restore")
    for _ in range(2):
        end(rolls, plan, outcome, restored=True)
        statuses.append(rolls.record.status)
    assert statuses == ["running", "running", "restored", "restored"]
    assert rolls.in_force == ("v1", "m1")
    current, _ = rolls.world.store.read_current()
    assert current.history == ()


@pytest.mark.parametrize("outcome", ["kept", "failed"])
def test_without_a_change_of_the_endpoint_there_is_nothing_to_end(
    rolls: RollOuts, outcome: str
) -> None:
    end(rolls, rolls.plan(), outcome)
    assert read_rollout(rolls.world.store) is None
    last = read_last(rolls.world.store)
    assert last is not None
    assert last.outcome == outcome


def crash(
    rolls: RollOuts, monkeypatch: pytest.MonkeyPatch, name: str, event: dict[str, Any]
) -> None:
    """Let a function die where it would call another one."""

    def die(*_: Any, **__: Any) -> None:
        raise StoreError("the power went out")

    with monkeypatch.context() as patch:
        patch.setattr(rolls.world.function("promote"), name, die)
        with pytest.raises(StoreError):
            rolls.call("promote", event)


@pytest.mark.parametrize("at", ["move_pointer", "change_rollout", "LastRetraining"])
def test_a_promotion_that_died_is_finished_by_the_next_try(
    rolls: RollOuts, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    plan = in_full(rolls)
    event = {"plan": plan, "outcome": "promoted", "reason": "why", "champion": IN_FORCE}
    crash(rolls, monkeypatch, at, event)
    rolls.call("promote", event)
    assert rolls.in_force == (plan["version"], plan["version"])
    assert rolls.record.status == "promoted"
    current, _ = rolls.world.store.read_current()
    assert len(current.history) == 1


@pytest.mark.parametrize("at", ["move_pointer", "change_rollout", "LastRetraining"])
def test_a_promotion_that_died_for_good_is_taken_back_as_a_whole(
    rolls: RollOuts, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    plan = in_full(rolls)
    event = {"plan": plan, "outcome": "promoted", "reason": "why", "champion": IN_FORCE}
    crash(rolls, monkeypatch, at, event)
    assert rolls.drive(plan, "restore").then == "restored"
    end(rolls, plan, "failed", restored=True)
    assert rolls.in_force == ("v1", "m1")
    assert rolls.record.status == "restored"
    assert rolls.serving.config == "before"


def by_hand(rolls: RollOuts) -> tuple[dict[str, Any], str]:
    """Promote, and take it back by hand up to the endpoint; the plan, and what was promoted."""
    plan = in_full(rolls)
    end(rolls, plan, "promoted")
    rolls.machine.states[execution("mine")] = "SUCCEEDED"
    restoring = rolls.plan("by-hand", rollback=True)
    assert (restoring["go"], restoring["action"]) == (False, "restore")
    assert rolls.drive(restoring, "restore").then == "restored"
    return restoring, plan["version"]


def test_a_roll_back_by_hand_is_a_promotion_of_what_was_before(rolls: RollOuts) -> None:
    restoring, version = by_hand(rolls)
    rolls.world.set_clock(STARTED)
    for _ in range(2):
        end(rolls, restoring, "restored")
        assert rolls.in_force == ("v1", "m1")
        assert rolls.record.status == "restored"
    current, _ = rolls.world.store.read_current()
    assert [one.baseline for one in current.history] == ["v1", version]
    assert all(isinstance(one, Promotion) for one in current.history)
    assert current.since == STARTED
    last = read_last(rolls.world.store)
    assert last is not None
    assert last.outcome == "restored"


@pytest.mark.parametrize("at", ["move_pointer_back", "change_rollout", "LastRetraining"])
def test_a_roll_back_that_died_is_finished_by_the_next_try(
    rolls: RollOuts, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    restoring, _ = by_hand(rolls)
    event = {"plan": restoring, "outcome": "restored", "reason": "why"}
    crash(rolls, monkeypatch, at, event)
    rolls.call("promote", event)
    assert (rolls.in_force, rolls.record.status) == (("v1", "m1"), "restored")


def test_a_roll_back_that_died_for_good_is_finished_by_the_next_execution(
    rolls: RollOuts, monkeypatch: pytest.MonkeyPatch
) -> None:
    restoring, _ = by_hand(rolls)
    event = {"plan": restoring, "outcome": "restored", "reason": "why"}
    crash(rolls, monkeypatch, "change_rollout", event)
    rolls.machine.states[execution("by-hand")] = "FAILED"
    again = rolls.plan("recovery", recover=True)
    assert again["action"] == "restore"
    assert rolls.drive(again, "restore").then == "restored"
    end(rolls, again, "restored")
    assert (rolls.in_force, rolls.record.status) == (("v1", "m1"), "restored")
    current, _ = rolls.world.store.read_current()
    assert len(current.history) == 2


def test_a_pointer_that_moved_on_is_not_moved_back(rolls: RollOuts) -> None:
    restoring, _ = by_hand(rolls)
    current, tag = rolls.world.store.read_current()
    rolls.world.store.write_current(
        current.promoted(baseline="v3", model=None, since=STARTED), if_tag=tag
    )
    end(rolls, restoring, "restored")
    assert rolls.in_force == ("v3", None)
    assert rolls.record.status == "restored"


def test_the_roll_out_of_another_execution_is_not_ended(rolls: RollOuts) -> None:
    plan = in_full(rolls)
    change_rollout(
        rolls.world.store, lambda found: found and replace(found, execution=execution("other"))
    )
    end(rolls, plan, "failed", restored=True)
    assert (rolls.record.execution, rolls.record.status) == (execution("other"), "running")
