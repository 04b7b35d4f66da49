"""The stage of a roll-out judged like an experiment, and what people are told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.config import MonitorConfig
from driftgauge.errors import ExperimentError
from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.experiments.verdict import ExperimentVerdict
from lambdas.experiment_decision import decode_decision
from lambdas.retraining import Champion
from lambdas.rollout_record import RollOut, Serving, change_rollout
from tests.unit.experiment_store import (
    CHALLENGER,
    CHAMPION,
    NOTHING_FAILED,
    both,
    capture_variant,
    counted,
    evaluate,
    evaluated,
    judge,
    past,
)
from tests.unit.lambda_world import STORE, World, created, deployed
from tests.unit.outcome_store import HOUR, add_baseline, outcome_monitor
from tests.workflow.machine import ACCOUNT, Inbox

VERSION = "20260701T000000Z-0a1b2c3d"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"
RUNNING = RollOut(
    execution=f"arn:aws:states:us-east-1:{ACCOUNT}:execution:driftgauge-loans-retraining:x",
    challenger=VERSION,
    endpoint="loans-endpoint",
    champion=Champion(baseline="v1", model="m1"),
    before=Serving(config="loans-before", weights={CHAMPION: 1.0}),
    stage="canary",
    experiment=f"{VERSION.lower()}-canary",
    since=HOUR,
)


def rolled_out(**settings: Any) -> MonitorConfig:
    """A monitor whose challengers go from shadow to canary to all of the traffic."""
    judged = {"primary": {"name": "accuracy", "effect": 0.05}, "clustering": "none"}
    rollout = {
        "strategy": "shadow_canary",
        "role_arn": ROLE,
        "challenger": CHALLENGER,
        "shadow": {"min_pairs": 500},
        "canary": {**judged, "min_duration": "1h", "share": 0.5},
        **settings,
    }
    trainer = {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/trainer:1", "role_arn": ROLE}
    return outcome_monitor(
        endpoint={"name": "loans-endpoint", "variants": [CHAMPION, CHALLENGER]},
        retraining={"enabled": True, "trainer": trainer, "rollout": rollout},
    )


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    """A champion with a past, and a monitor that rolls challengers out."""
    with started(monkeypatch, capsys, tmp_path) as world:
        add_baseline(world)
        past(world)
        world.printed()
        yield world


def started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> AbstractContextManager[World]:
    return deployed(monkeypatch, capsys, tmp_path, rolled_out())


def remember(world: World, **changes: Any) -> RollOut:
    """Store what is known of the roll-out."""
    record = replace(RUNNING, **changes)
    change_rollout(world.store, lambda _: record)
    return record


def files(world: World, stage: str) -> set[str]:
    prefix = f"loans/experiments/{VERSION.lower()}-{stage}/"
    return {key.removeprefix(prefix) for key in world.keys(prefix)}


def decision(world: World, stage: str) -> ExperimentVerdict | ShadowVerdict:
    key = f"loans/experiments/{VERSION.lower()}-{stage}/decision.json"
    return decode_decision(world.store.objects.read(key))


def tell(world: World, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any]) -> tuple[str, str]:
    """Deliver an event to notify; return the mail's subject and its text on one line."""
    inbox = Inbox(monkeypatch)
    world.function("runtime").runtime.cache_clear()
    assert world.call("notify", event)["sent"]
    (mail,) = inbox.read()
    return mail["subject"], " ".join(mail["text"].split())


def test_a_canary_is_judged_while_its_stage_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world)
    assert judge(world, both(world, range(5), right=0.9)) == NOTHING_FAILED
    found = decision(world, "canary")
    assert isinstance(found, ExperimentVerdict)
    assert (found.decision, found.started) == ("promote", HOUR)
    assert (found.champion, found.challenger) == (CHAMPION, CHALLENGER)
    assert "plan.json" in files(world, "canary")
    key = f"loans/experiments/{VERSION.lower()}-canary/decision.json"
    subject, text = tell(world, monkeypatch, created(STORE, key, "tag"))
    assert subject == "INFO: loans: roll-out, canary: green is better than blue"
    assert f"The stage canary of the roll-out of {VERSION} has ended." in text
    assert "goes on with its next stage; nothing is to be done" in text
    assert f"new model {VERSION}" in text


def test_a_harmful_canary_is_told_as_an_alarm_that_needs_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world)
    judge(world, both(world, range(4), right=0.6))
    assert decision(world, "canary").decision == "stop: harm"
    key = f"loans/experiments/{VERSION.lower()}-canary/decision.json"
    subject, text = tell(world, monkeypatch, created(STORE, key, "tag"))
    assert subject == "ALARM: loans: roll-out, canary: green does harm"
    assert "the endpoint gets its configuration and weights from before back" in text


def test_a_shadow_is_judged_by_its_pairs(world: World) -> None:
    remember(world, stage="shadow", experiment=f"{VERSION.lower()}-shadow")
    for number in (0, 1):
        for variant in (CHAMPION, CHALLENGER):
            capture_variant(world, variant, number, scores=[0.9, 0.2] * 200)
    assert judge(world, evaluated(world, CHALLENGER, 1)) == NOTHING_FAILED
    found = decision(world, "shadow")
    assert isinstance(found, ShadowVerdict)
    assert (found.decision, found.production, found.shadow) == ("advance", CHAMPION, CHALLENGER)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "promoted"},
        {"status": "restored"},
        {"stage": "restore"},
        {"stage": "withdraw"},
        {"since": None, "experiment": ""},
        {"stage": "shadow"},
    ],
    ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()),
)
def test_nothing_is_judged_between_stages_and_after_the_last(
    changes: dict[str, Any], world: World
) -> None:
    remember(world, **changes)
    assert judge(world, both(world, range(5), right=0.9)) == NOTHING_FAILED
    assert world.keys("loans/experiments/") == []
    assert world.metrics() == []


def test_nothing_is_judged_before_the_first_roll_out(world: World) -> None:
    assert judge(world, both(world, range(2), right=0.9)) == NOTHING_FAILED
    assert world.keys("loans/experiments/") == []


def test_looks_after_the_decision_change_nothing(world: World) -> None:
    remember(world)
    judge(world, both(world, range(5), right=0.9))
    before = world.contents("loans/experiments/")
    assert judge(world, both(world, [5], right=0.2)) == NOTHING_FAILED
    assert world.contents("loans/experiments/") == before


def test_a_champion_with_too_short_a_past_makes_no_plan_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with started(monkeypatch, capsys, tmp_path) as world:
        add_baseline(world)
        past(world, windows=1, rows=40)
        remember(world)
        event = both(world, range(3), right=0.9)
        world.printed()
        assert judge(world, event) == NOTHING_FAILED
        (line,) = [one for one in world.printed() if one.get("level") == "WARNING"]
        assert (line["message"], line["experiment"]) == (
            "experiment not planned",
            f"{VERSION.lower()}-canary",
        )
        assert files(world, "canary") == set()


def test_a_record_that_cannot_be_read_is_an_error_to_try_again(world: World) -> None:
    world.put(STORE, "loans/rollout.json", b"{}")
    assert len(judge(world, counted(world, CHALLENGER, 0))["batchItemFailures"]) == 1


def message(stage: str, **more: Any) -> dict[str, Any]:
    found = {"stage": stage, "monitor": "loans", "execution": RUNNING.execution, "reason": "so"}
    return {"retraining": found | {"version": VERSION} | more}


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("shadow", "copies of 100 percent of the requests"),
        ("canary", "serves 50 percent of the requests"),
        ("withdraw", "in which the champion serves alone"),
        ("full", "10 percent of the new fleet first, then all"),
    ],
)
def test_each_stage_says_what_happens_to_the_traffic(
    stage: str, words: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world)
    subject, text = tell(world, monkeypatch, message("rollout", rollout_stage=stage))
    assert subject.startswith("INFO: loans: roll-out: ")
    assert words in text
    assert "configuration before loans-before" in text
    assert "shadow, then canary, then withdraw, then full" in text
    assert ("after 30d without a decision" in text) is (stage in ("shadow", "canary"))


def test_what_another_roll_out_was_is_not_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world, challenger="20260101T000000Z-00000000", status="promoted")
    _, text = tell(world, monkeypatch, message("rollout", rollout_stage="shadow"))
    assert "loans-before" not in text


def test_a_roll_out_taken_back_says_what_is_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world, status="restored", stage="restore")
    subject, text = tell(world, monkeypatch, message("restored"))
    assert subject == "INFO: loans: roll-out taken back"
    assert "has its configuration and weights from before" in text
    assert "weights before blue 1" in text


def test_an_endpoint_that_cannot_be_put_back_says_what_to_do_by_hand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world, stage="restore")
    subject, text = tell(world, monkeypatch, message("stuck"))
    assert subject == "FAILED: loans: roll-out could not be taken back"
    assert (
        "aws sagemaker update-endpoint --endpoint-name loans-endpoint "
        "--endpoint-config-name loans-before"
    ) in text
    assert "VariantName=blue,DesiredWeight=1" in text
    assert '{"monitor": "loans", "recover": true}' in text
    # A promotion that could not be taken back is still one.
    remember(world, stage="full", status="promoted")
    _, text = tell(world, monkeypatch, message("stuck"))
    assert '{"monitor": "loans", "rollback": true}' in text


def test_without_a_record_people_are_told_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(STORE, "loans/rollout.json", b"{}")
    _, text = tell(world, monkeypatch, message("stuck"))
    assert "Put the endpoint's configuration from before the roll-out back." in text
    assert "roll-out cannot be read" in [line.get("message") for line in world.printed()]


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("promoted", "It serves the endpoint now."),
        ("kept", "The endpoint serves as it did before."),
        ("failed", "The endpoint serves as it did before."),
    ],
)
def test_the_end_of_a_retraining_says_what_the_endpoint_serves(
    stage: str, words: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = tell(world, monkeypatch, message(stage))
    assert words in text


def test_a_failure_while_a_roll_out_is_under_way_does_not_say_that_all_is_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(world)
    _, text = tell(world, monkeypatch, message("failed", step="Guard", version=""))
    assert "The endpoint serves as it did before." not in text
    assert f"The roll-out of {VERSION} is not finished: it is at canary." in text
    assert '{"monitor": "loans", "recover": true}' in text
    remember(world, status="restored")
    _, text = tell(world, monkeypatch, message("failed", step="Guard", version=""))
    assert "The endpoint serves as it did before." in text
    assert '{"monitor": "loans", "force": true}' in text


def test_a_decision_file_that_is_none_is_refused() -> None:
    with pytest.raises(ExperimentError, match="cannot be read"):
        decode_decision(b"[]")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stage": "canary"}, True),
        ({"stage": "full"}, False),
        ({"stage": "full", "status": "promoted"}, True),
    ],
)
def test_a_model_that_takes_the_champions_place_is_not_rolled_back_for_predicting_otherwise(
    world: World, changes: dict[str, Any], told: bool
) -> None:
    remember(world, **changes)
    capture_variant(world, CHAMPION, 0, scores=[0.95] * 400)
    world.printed()
    evaluate(world, 0)
    published = world.metrics()
    assert any("DriftedPredictions" in line for line in published) is told
    assert any("DriftedFeatures" in line for line in published)
    assert any("Violations" in line for line in published)
