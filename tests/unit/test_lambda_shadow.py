"""Shadow tests judged after evaluations: predictions in pairs, grain by grain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.experiments.shadow_verdict import ShadowVerdict, decode_shadow_verdict
from tests.unit.experiment_store import (
    CHALLENGER,
    CHAMPION,
    NOTHING_FAILED,
    capture_variant,
    compared,
    evaluated,
    judge,
    label_variant,
)
from tests.unit.lambda_world import CAPTURES, STORE, World, capture_lines, created, deployed
from tests.unit.outcome_store import HOUR, HOURS, add_baseline
from tests.workflow.machine import Inbox


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    """A shadow that gets every request of production."""
    with deployed(monkeypatch, capsys, tmp_path, compared("shadow", min_pairs=500)) as world:
        add_baseline(world)
        yield world


def scores(rows: int, *, turned: float = 0.0) -> list[float]:
    """Scores of both classes; a share of them is turned around."""
    found = np.where(np.arange(rows) % 2, 0.9, 0.2)
    found[: round(turned * rows)] = 1.0 - found[: round(turned * rows)]
    listed: list[float] = found.round(6).tolist()
    return listed


def capture_both(world: World, number: int, *, turned: float = 0.0, rows: int = 400) -> None:
    capture_variant(world, CHAMPION, number, rows=rows, scores=scores(rows))
    capture_variant(world, CHALLENGER, number, rows=rows, scores=scores(rows, turned=turned))


def verdict(world: World, name: str = "shadow.json") -> ShadowVerdict:
    return decode_shadow_verdict(world.store.objects.read(f"loans/experiments/june/{name}"))


def look(world: World, number: int = 0) -> None:
    world.printed()
    assert judge(world, evaluated(world, CHALLENGER, number)) == NOTHING_FAILED


def test_a_shadow_that_agrees_may_go_on(world: World) -> None:
    for number in (0, 1):
        capture_both(world, number, turned=0.05)
    look(world, 1)
    (line,) = world.metrics()
    assert (line["Monitor"], line["Variant"]) == ("loans", CHALLENGER)
    assert (line["ShadowAgreement"], line["UnpairedShare"]) == ([95.0], [0.0])
    assert (line["ExperimentDecided"], line["ExperimentHarm"]) == ([1.0], [0.0])
    assert "ExperimentGain" not in line
    found = verdict(world)
    assert (found.decision, found.pairing.paired) == ("advance", 800)
    assert verdict(world, "decision.json") == found
    page = world.store.objects.read("loans/experiments/june/report.html").decode()
    assert "95.0" in page


def test_a_shadow_that_disagrees_is_stopped_and_people_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        capture_both(world, number, turned=0.5)
    look(world, 1)
    (line,) = world.metrics()
    assert (line["ExperimentDecided"], line["ExperimentHarm"]) == ([1.0], [1.0])
    inbox = Inbox(monkeypatch)
    world.function("runtime").runtime.cache_clear()
    world.call("notify", created(STORE, "loans/experiments/june/decision.json", "tag"))
    (mail,) = inbox.read()
    assert mail["subject"] == "ALARM: loans: experiment june: shadow green must not go on"
    assert "50.0%" in mail["text"]


def test_labels_say_who_was_right(world: World) -> None:
    capture_both(world, 0, turned=0.25)
    look(world)
    assert verdict(world).right is None
    # Production is right in all rows, and so the shadow is wrong where it disagrees.
    label_variant(world, CHAMPION, 0, [int(score > 0.5) for score in scores(400)])
    look(world)
    right = verdict(world).right
    assert right is not None
    assert (right.labelled, right.production_right, right.shadow_right) == (400, 100, 0)
    assert verdict(world).pairing.paired == 400


def test_requests_that_the_shadow_never_answered_are_counted(world: World) -> None:
    capture_variant(world, CHAMPION, 0, scores=scores(400))
    look(world)
    found = verdict(world)
    assert (found.pairing.production_alone, found.unpaired.value) == (400, 1.0)


def test_answers_on_either_side_of_an_hours_end_are_pairs(world: World) -> None:
    capture_variant(world, CHAMPION, 0, rows=10, scores=scores(10))
    # The same requests, answered in the next hour.
    later = HOUR + HOURS
    key = f"captures/loans-endpoint/{CHALLENGER}/{later:%Y/%m/%d/%H}/a.jsonl"
    body = capture_lines(10, hour=later, prefix=f"a-{HOUR:%d%H}", scores=scores(10))
    world.profile(world.put(CAPTURES, key, body))
    look(world, 1)
    found = verdict(world)
    assert (found.pairing.paired, found.unpaired.value) == (10, 0.0)


def test_only_grains_that_changed_are_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        capture_both(world, number, rows=40)
    look(world, 5)
    assert verdict(world).pairing.paired == 240
    module = world.function("experiment_pairs")
    read: list[Any] = []
    known = module.read_grains

    def noted(store: Any, grains: Any) -> Any:
        read.extend(grains)
        return known(store, grains)

    monkeypatch.setattr(module, "read_grains", noted)
    look(world, 5)
    assert read == []
    capture_both(world, 6, rows=40)
    look(world, 6)
    assert verdict(world).pairing.paired == 280
    # The new hour, the one before it, which may share pairs with it, and its neighbour.
    assert set(read) == {HOUR + number * HOURS for number in (4, 5, 6)}
    # Each of either variant once.
    assert len(read) == 6


def test_rows_before_the_beginning_are_no_pairs(world: World) -> None:
    capture_both(world, -1)
    capture_both(world, 0, rows=40)
    look(world)
    assert verdict(world).pairing.paired == 40


def test_damaged_counts_are_made_anew(world: World) -> None:
    capture_both(world, 0, rows=40)
    look(world)
    before = world.store.objects.read("loans/experiments/june/blocks")
    for damaged in (before[:-5], b"DGXX" + before[4:], b""):
        world.put(STORE, "loans/experiments/june/blocks", damaged)
        look(world)
        assert "experiment counted anew" in [line.get("message") for line in world.printed()]
        assert world.store.objects.read("loans/experiments/june/blocks") == before


def test_pairs_wait_until_their_window_has_settled(world: World) -> None:
    capture_both(world, 0, rows=40)
    world.printed()
    event = evaluated(world, CHAMPION, 0)
    judge(world, event, moment=HOUR + HOURS + timedelta(minutes=5))
    assert world.metrics() == []
    assert "loans/experiments/june/shadow.json" not in world.keys("loans/")


def test_without_outcomes_in_the_baseline_nothing_is_paired(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, compared("shadow")) as world:
        add_baseline(world, b"amount,region\n" + b"1.5,north\n2.5,south\n" * 200)
        look(world)
        (line,) = [one for one in world.printed() if one["level"] == "WARNING"]
        assert line["message"] == "experiment not judged"
        assert "the baseline knows no outcomes" in line["reason"]
