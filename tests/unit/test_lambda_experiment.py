"""A/B tests judged after evaluations, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError
from driftgauge.experiments.verdict import ExperimentVerdict, decode_experiment_verdict
from driftgauge.store import S3Objects
from lambdas.experiment_arms import past_windows
from tests.unit.experiment_store import (
    CHALLENGER,
    CHAMPION,
    NOTHING_FAILED,
    blocks,
    both,
    capture_variant,
    compared,
    counted,
    evaluate,
    evaluated,
    files,
    judge,
    label_variant,
    past,
    reports,
)
from tests.unit.lambda_world import STORE, World, created, deployed, monitor
from tests.unit.outcome_store import HOUR, HOURS, LATER, add_baseline, labelled_training
from tests.workflow.machine import Inbox

DECISION = "loans/experiments/june/decision.json"


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    """An A/B test of a champion that is right in 80 % of its rows, with a past."""
    with deployed(monkeypatch, capsys, tmp_path, compared("ab")) as world:
        add_baseline(world)
        past(world)
        world.printed()
        yield world


def verdict(world: World, name: str = "experiment.json") -> ExperimentVerdict:
    return decode_experiment_verdict(world.store.objects.read(f"loans/experiments/june/{name}"))


def messages(world: World) -> list[str]:
    return [line["message"] for line in world.printed() if "message" in line]


def published(world: World) -> dict[str, float]:
    """The experiment's metrics printed since the last call."""
    (line,) = world.metrics()
    assert (line["Monitor"], line["Variant"]) == ("loans", CHALLENGER)
    names = [one["Name"] for one in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    return {name: line[name][0] for name in names}


def test_a_better_challenger_is_to_be_promoted_and_what_comes_after_changes_nothing(
    world: World,
) -> None:
    event = both(world, range(5), right=0.9)
    assert judge(world, event) == NOTHING_FAILED
    metrics = published(world)
    assert metrics.pop("ExperimentGain") == pytest.approx(0.1)
    assert metrics == {"ExperimentDecided": 1, "ExperimentHarm": 0, "SampleRatioMismatch": 0}
    assert verdict(world).decision == "promote"
    assert verdict(world, "decision.json") == verdict(world)
    assert files(world) == {
        "blocks",
        "decision.json",
        "experiment.json",
        "plan.json",
        "report.html",
    }
    page = world.store.objects.read("loans/experiments/june/report.html").decode()
    assert verdict(world).reason.split(":")[0] in page
    before = world.contents("loans/experiments/")
    assert judge(world, both(world, [5], right=0.2)) == NOTHING_FAILED
    assert messages(world) == ["experiment decided already"]
    assert world.contents("loans/experiments/") == before


def test_a_harmful_challenger_is_stopped(world: World) -> None:
    judge(world, both(world, range(4), right=0.65))
    metrics = published(world)
    assert (metrics["ExperimentDecided"], metrics["ExperimentHarm"]) == (1, 1)
    assert metrics["ExperimentGain"] < 0
    assert verdict(world, "decision.json").decision == "stop: harm"


def test_an_undecided_experiment_goes_on_and_nobody_is_told(world: World) -> None:
    judge(world, both(world, range(2), right=0.82))
    assert published(world)["ExperimentDecided"] == 0
    assert verdict(world).decision == "continue"
    assert "decision.json" not in files(world)


def test_requests_that_are_not_assigned_as_planned_end_it(world: World) -> None:
    judge(world, both(world, range(2), right=0.9, share=0.3))
    metrics = published(world)
    assert (metrics["SampleRatioMismatch"], metrics["ExperimentDecided"]) == (1, 1)
    assert verdict(world).decision == "keep"


def test_a_variant_that_received_nothing_is_a_mismatch_and_an_unknown_one_is_waited_for(
    world: World,
) -> None:
    event = counted(world, CHAMPION, 0)
    judge(world, event)
    assert messages(world) == ["experiment planned", "experiment not judged"]
    # It has profiles, but its outcomes could not be counted.
    judge(world, evaluated(world, CHALLENGER, 0))
    assert messages(world) == ["experiment not judged"]
    judge(world, evaluated(world, CHALLENGER, 0, profiles=0))
    assert published(world)["SampleRatioMismatch"] == 1


def test_a_window_counts_once_it_has_settled(world: World) -> None:
    early = HOUR + HOURS + timedelta(minutes=5)
    judge(world, both(world, [0], right=0.8), moment=early)
    assert "experiment.json" not in files(world)
    # The next window has not settled either, but the one before it has by now.
    judge(world, both(world, [1], right=0.8), moment=HOUR + HOURS + timedelta(minutes=21))
    assert blocks(world).starts == (HOUR,)
    judge(world, both(world, [2], right=0.8), moment=LATER)
    assert blocks(world).starts == tuple(HOUR + i * HOURS for i in range(3))


def test_late_labels_replace_a_block_and_add_nothing_to_it(world: World) -> None:
    judge(world, both(world, range(2), right=0.8))
    assert blocks(world).sums("challenger", "accuracy").rows == 800
    judge(world, counted(world, CHALLENGER, 0, right=0.85))
    total = blocks(world).sums("challenger", "accuracy")
    assert total.rows == 800
    assert total.mean == pytest.approx(0.825)


def test_rows_before_the_beginning_do_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    since = HOUR + timedelta(minutes=30)
    with deployed(monkeypatch, capsys, tmp_path, compared("ab", since=since.isoformat())) as world:
        add_baseline(world)
        past(world)
        counted(world, CHAMPION, 0)
        judge(world, counted(world, CHALLENGER, 0, at=timedelta(minutes=30)))
        (block,) = blocks(world)
        assert (block.champion.requests, block.challenger.requests) == (0, 400)
        assert judge(world, counted(world, CHAMPION, -1)) == NOTHING_FAILED
        assert len(blocks(world)) == 1


def test_windows_keep_the_share_that_they_were_counted_with(world: World) -> None:
    config = world.monitors.monitors[0]
    judge(world, both(world, [0], right=0.8))
    run = world.function("runtime").runtime()
    changed = config.experiments[0].model_copy(update={"share": 0.25})
    both(world, [1], right=0.8, share=0.25)
    window = config.grid.window_of(HOUR + HOURS)
    found = world.function("experiment_arms").judge_arms(run, config, changed, window)
    assert [block.share for block in blocks(world)] == [0.5, 0.25]
    assert not found.mismatch.mismatch
    assert found.mismatch.expected_share == pytest.approx(0.375)


def test_without_a_past_of_the_champion_nothing_is_planned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, compared("ab")) as world:
        add_baseline(world)
        past(world, windows=1, rows=40)
        event = both(world, range(3), right=0.9)
        world.printed()
        assert judge(world, event) == NOTHING_FAILED
        (line,) = [one for one in world.printed() if one["level"] == "WARNING"]
        assert line["message"] == "experiment not planned"
        assert "blue has 40 rows with accuracy" in line["reason"]
        assert files(world) == set()
        past(world)
        judge(world, event)
        assert "plan.json" in files(world)


@pytest.mark.parametrize(
    ("window", "most", "fewest"), [("1h", 168, 167), ("1d", 7, 6), ("5d", 2, 1), ("7d", 2, 1)]
)
def test_the_past_holds_a_whole_window_wherever_within_one_an_experiment_begins(
    window: str, most: int, fewest: int
) -> None:
    config = monitor(window=window)
    aligned = config.grid.window_of(HOUR).start
    found = past_windows(config, aligned)
    assert (len(found), found[-1].end) == (most, aligned)
    for part in (timedelta(minutes=1), config.window / 2, config.window - timedelta(minutes=1)):
        found = past_windows(config, aligned + part)
        assert (len(found), found[-1].end) == (fewest, aligned)


def test_the_plan_stays_whatever_the_champion_does_later(world: World) -> None:
    judge(world, both(world, [0], right=0.8))
    plan = world.store.objects.read("loans/experiments/june/plan.json")
    counted(world, CHAMPION, -1, right=0.5)
    judge(world, both(world, [1], right=0.8))
    assert world.store.objects.read("loans/experiments/june/plan.json") == plan


def test_a_window_of_two_baselines_is_not_counted_by_a_part_of_it(world: World) -> None:
    judge(world, both(world, range(2), right=0.8))
    before = blocks(world)
    first = profiled(world, CHALLENGER, 0)
    assert add_baseline(world, labelled_training(seed=2), name="more") != first
    # A straggler of the challenger, which the evaluation judges by the newer baseline alone.
    profiled(world, CHALLENGER, 0)
    judge(world, counted(world, CHALLENGER, 0, rows=5))
    assert blocks(world) == before
    assert not verdict(world).mismatch.mismatch


def profiled(world: World, variant: str, number: int) -> str:
    """Store a profile by the baseline in force, and return its version."""
    version = world.store.read_current()[0].baseline
    start = HOUR + number * HOURS
    digest = f"{number:032x}"
    world.put(
        STORE,
        world.store.profile_key(
            baseline=version, variant=variant, grain_start=start, digest=digest
        ),
        b"",
    )
    return version


def test_damaged_counts_are_made_anew(world: World) -> None:
    judge(world, both(world, range(3), right=0.8))
    before = blocks(world)
    world.put(STORE, "loans/experiments/june/blocks", b"DGXB\x01damaged")
    world.printed()
    assert judge(world, counted(world, CHALLENGER, 2, right=0.8)) == NOTHING_FAILED
    assert "experiment counted anew" in messages(world)
    assert blocks(world) == before


def test_of_two_that_count_at_once_the_slower_one_counts_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = both(world, [0], right=0.8)
    write = S3Objects.write
    failed: list[str] = []

    def slower(self: S3Objects, key: str, data: bytes, **options: Any) -> None:
        if key.endswith("/blocks") and not failed:
            failed.append(key)
            write(self, key, data)
            # What arrived between counting and writing.
            counted(world, CHALLENGER, 0, right=0.9)
            raise ConflictError("someone else was faster")
        write(self, key, data, **options)

    monkeypatch.setattr(S3Objects, "write", slower)
    assert judge(world, event) == NOTHING_FAILED
    assert blocks(world).sums("challenger", "accuracy").mean == pytest.approx(0.9)


@pytest.mark.parametrize("right", [0.78, 0.82])
def test_a_slower_look_does_not_hide_what_was_decided_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, right: float
) -> None:
    event = both(world, range(2), right=right)
    write = S3Objects.write
    passed: list[str] = []

    def slower(self: S3Objects, key: str, data: bytes, **options: Any) -> None:
        if key.endswith(("/decision.json", "/report.html")) and not passed:
            passed.append(key)
            judge(world, both(world, range(2, 5), right=0.6))
        write(self, key, data, **options)

    monkeypatch.setattr(S3Objects, "write", slower)
    assert judge(world, event) == NOTHING_FAILED
    assert verdict(world, "decision.json").decision == "stop: harm"
    assert verdict(world) == verdict(world, "decision.json")
    page = world.store.objects.read("loans/experiments/june/report.html").decode()
    assert verdict(world).reason.split(":")[0] in page
    # The alarm goes by the newest value.
    assert world.metrics()[-1]["ExperimentHarm"] == [1.0]


def test_a_decision_that_was_not_stated_is_stated_with_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = both(world, range(5), right=0.65)
    write = S3Objects.write

    def failing(self: S3Objects, key: str, data: bytes, **options: Any) -> None:
        if key.endswith("/report.html"):
            raise StoreError("no page today")
        write(self, key, data, **options)

    with monkeypatch.context() as patched:
        patched.setattr(S3Objects, "write", failing)
        assert len(judge(world, event)["batchItemFailures"]) == 1
    assert "experiment.json" not in files(world)
    world.printed()
    assert judge(world, event) == NOTHING_FAILED
    assert published(world)["ExperimentHarm"] == 1
    assert verdict(world) == verdict(world, "decision.json")
    assert "report.html" in files(world)


def test_what_evaluations_counted_is_what_is_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = compared("ab", min_rows=20)
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        add_baseline(world)
        for number in (-1, 0):
            for variant in (CHAMPION, CHALLENGER):
                capture_variant(world, variant, number, rows=200, scores=[0.9] * 200)
                label_variant(world, variant, number, [1] * 150 + [0] * 50)
            evaluate(world, number)
        assert judge(world, *reports(world)) == NOTHING_FAILED
        (block,) = blocks(world)
        for arm in (block.champion, block.challenger):
            assert (arm.requests, arm.of("accuracy").rows) == (200, 200)
            assert arm.of("accuracy").mean == 0.75
        assert verdict(world).mismatch.share == 0.5


def test_a_report_of_another_variant_or_time_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, compared("ab"), monitor(name="plain")) as world:
        other = world.put(STORE, "plain/reports/AllTraffic/2026/03/02/10/inputs.json", b"{}")
        assert judge(world, other, evaluated(world, CHAMPION, -1)) == NOTHING_FAILED
        assert world.metrics() == []
        strange = world.put(STORE, "loans/reports/inputs.json", b"{}")
        assert len(judge(world, strange)["batchItemFailures"]) == 1


def test_people_are_told_the_decision_with_its_evidence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(world, both(world, range(5), right=0.9))
    inbox = Inbox(monkeypatch)
    world.function("runtime").runtime.cache_clear()
    answer = world.call("notify", created(STORE, DECISION, "tag"))
    assert answer["sent"]
    (mail,) = inbox.read()
    assert mail["subject"] == "INFO: loans: experiment june: green is better than blue: promote it"
    text = " ".join(mail["text"].split())
    assert "accuracy is surely better: 0.9 against 0.8" in text
    assert "requests of green 2,000" in text
    assert f"s3://{STORE}/loans/experiments/june/report.html" in text


def test_a_decision_on_an_experiment_that_left_the_file_is_told_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(world, both(world, range(5), right=0.9))
    world.put(STORE, "loans/experiments/may/decision.json", world.store.objects.read(DECISION))
    inbox = Inbox(monkeypatch)
    world.function("runtime").runtime.cache_clear()
    assert world.call("notify", created(STORE, "loans/experiments/may/decision.json", "tag"))
    assert "green is better than blue" in inbox.read()[0]["subject"]


def test_a_decision_that_is_gone_is_an_error(world: World) -> None:
    with pytest.raises(ObjectNotFoundError, match="may/decision"):
        world.call("notify", created(STORE, "loans/experiments/may/decision.json", "tag"))


def test_windows_of_a_day_are_counted_by_the_hour_so_that_harm_shows_after_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = compared("ab", window="1d", clustering="blocks")
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        add_baseline(world)
        counted(world, CHAMPION, -1, grains=24)
        # The test began at 10 o'clock: earlier hours of that day do not count.
        counted(world, CHAMPION, 0, grains=24)
        event = counted(world, CHALLENGER, 0, grains=24, right=0.5)
        assert judge(world, event, moment=HOUR + timedelta(days=2)) == NOTHING_FAILED
        starts = blocks(world).starts
        assert starts == tuple(HOUR + hour * HOURS for hour in range(24 - HOUR.hour))
        assert verdict(world).decision == "stop: harm"


def test_what_was_counted_by_the_window_is_counted_by_its_grains_when_it_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = compared("ab", window="2h")
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        add_baseline(world)
        counted(world, CHAMPION, -1, grains=2)
        for grains in (1, 2):
            counted(world, CHAMPION, 0, grains=grains)
            event = counted(world, CHALLENGER, 0, grains=grains)
            judge(world, event)
            assert len(blocks(world)) == grains
