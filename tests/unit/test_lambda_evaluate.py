from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import BaselineError, ConfigError, ConflictError, DriftgaugeError
from driftgauge.store import MonitorStore, S3Objects
from driftgauge.windows import Window, format_time
from tests.unit.lambda_world import (
    HOUR,
    STORE,
    VARIANT,
    World,
    batch,
    created,
    deployed,
    monitor,
    training_csv,
)

WINDOW = Window(HOUR, HOUR + timedelta(hours=1))
MINUTE = timedelta(minutes=1)
NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        world.add_baseline()
        yield world


@pytest.fixture
def scheduled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(
        monkeypatch, capsys, tmp_path, monitor(evaluate="on_schedule", delay="20m")
    ) as world:
        world.add_baseline()
        yield world


def quiet(world: World) -> datetime:
    """A moment at which no profile is young any more."""
    newest = max(info.modified for info in world.store.objects.list("loans/profiles/"))
    return newest + 2 * MINUTE


def arrive(world: World, moment: datetime | None = None) -> Any:
    """Deliver the events of all stored profiles in one batch, as late as `moment`."""
    world.function("evaluate")
    world.set_clock(moment or quiet(world))
    return world.call("evaluate", batch(*world.profile_events()))


def by_hand(world: World, window: Window = WINDOW, **more: str) -> Any:
    event = {"monitor": "loans", "window_start": format_time(window.start), **more}
    return world.call("evaluate", event)


def run_schedule(world: World, moment: datetime) -> list[str]:
    world.function("evaluate")
    world.set_clock(moment)
    evaluated: list[str] = world.call("evaluate", {"monitor": "loans", "schedule": True})[
        "evaluated"
    ]
    return evaluated


def verdict(world: World, window: Window = WINDOW) -> WindowVerdict:
    return world.store.read_verdict(variant=VARIANT, window=window)


def reports(world: World) -> dict[str, bytes]:
    return world.contents("loans/reports/")


def test_a_quiet_window_is_evaluated_and_its_files_written(world: World) -> None:
    world.profile(world.capture(rows=300))
    assert arrive(world) == NOTHING_FAILED
    assert [key.rpartition("/")[2] for key in reports(world)] == [
        "constraint_violations.json",
        "constraints.json",
        "inputs.json",
        "report.html",
        "statistics.json",
        "verdicts.json",
    ]
    assert (verdict(world).rows, verdict(world).alarm) == (300, False)


def test_a_shift_is_found_and_published(world: World) -> None:
    world.profile(world.capture(rows=300, shift=25.0))
    world.printed()
    arrive(world)
    lines = world.printed()
    (metrics,) = [line for line in lines if "WindowRows" in line]
    assert metrics["DriftedFeatures"] == [1.0]
    assert metrics["DriftedPredictions"] == [1.0]
    assert len(metrics["FeatureDistance"]) == 2
    assert metrics["EvaluationFailures"] == [0.0]
    units = {m["Name"]: m["Unit"] for m in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert (units["FeatureDistance"], units["RejectedShare"]) == ("None", "Percent")
    (line,) = [line for line in lines if line.get("message") == "window evaluated"]
    assert line["alarm"] is True
    assert {f["name"]: f["verdict"] for f in line["features"]} == {
        "score": "drift",
        "amount": "drift",
        "region": "ok",
    }


def test_a_window_with_young_profiles_waits_for_the_last_message(world: World) -> None:
    world.profile(world.capture())
    newest = max(info.modified for info in world.store.objects.list("loans/profiles/"))
    assert arrive(world, newest + timedelta(seconds=30)) == NOTHING_FAILED
    assert reports(world) == {}
    arrive(world, newest + timedelta(seconds=60))
    assert verdict(world).rows == 200


def test_a_window_that_never_gets_quiet_is_evaluated_now_and_then(world: World) -> None:
    world.profile(world.capture())
    arrive(world)
    first = verdict(world).evaluated_at
    world.profile(world.capture(rows=30, name="b", prefix="f"))
    newest = max(info.modified for info in world.store.objects.list("loans/profiles/"))

    def profiles_of_age(age: timedelta, moment: datetime) -> None:
        real = MonitorStore.list_profiles

        def aged(self: MonitorStore, **arguments: Any) -> Iterator[Any]:
            for one in real(self, **arguments):
                yield replace(one, modified=moment - age)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MonitorStore, "list_profiles", aged)
            arrive(world, moment)

    profiles_of_age(timedelta(seconds=5), first + 9 * MINUTE)
    assert verdict(world).rows == 200
    profiles_of_age(timedelta(seconds=5), first + 10 * MINUTE)
    assert verdict(world).rows == 230
    assert newest < first + 9 * MINUTE


def test_messages_without_news_change_no_byte_and_publish_nothing(world: World) -> None:
    world.profile(world.capture(), world.capture(name="b", prefix="f"))
    arrive(world)
    before = world.contents()
    world.printed()
    arrive(world, quiet(world) + 5 * MINUTE)
    assert world.contents() == before
    assert world.metrics() == []


def test_late_data_replaces_the_report(world: World) -> None:
    world.profile(world.capture(rows=200))
    arrive(world)
    keys = set(reports(world))
    world.profile(world.capture(rows=80, name="late", prefix="late"))
    arrive(world)
    assert verdict(world).rows == 280
    assert set(reports(world)) == keys


def test_a_window_of_many_profiles_reads_each_of_them_once(world: World) -> None:
    before = world.store.read_current()[0].baseline
    world.profile(*(world.capture(rows=20, name=f"a{i}", prefix=f"a{i}") for i in range(10)))
    arrive(world)
    world.profile(world.capture(rows=30, name="late", prefix="late"))
    read: list[str] = []
    real = S3Objects.read

    def noted(self: S3Objects, key: str) -> bytes:
        read.append(key)
        return real(self, key)

    world.monkeypatch.setattr(S3Objects, "read", noted)
    arrive(world)
    assert verdict(world).rows == 230
    assert len([key for key in read if key.endswith(".profile")]) == 1
    statistics = reports(world)["loans/reports/AllTraffic/2026/03/02/10/statistics.json"]
    (rollup,) = world.keys("loans/rollups/")
    world.store.objects.write(rollup, b"damaged")
    by_hand(world)
    assert reports(world)["loans/reports/AllTraffic/2026/03/02/10/statistics.json"] == statistics

    # Profiles of an earlier baseline are counted, from the same rollup.
    event = world.put(STORE, "loans/training-data/second.csv", training_csv(900, seed=5))
    world.call("baseline", batch(event))
    assert world.store.read_current()[0].baseline != before
    world.profile(world.capture(rows=60, name="b", prefix="b"))
    read.clear()
    arrive(world)
    assert (verdict(world).rows, verdict(world).other_baseline_rows) == (60, 230)
    assert len([key for key in read if key.endswith(".profile")]) == 1
    assert rollup in read


def test_a_window_under_schedule_is_left_to_it_until_it_has_a_report(scheduled: World) -> None:
    scheduled.profile(scheduled.capture(rows=200))
    assert arrive(scheduled) == NOTHING_FAILED
    assert reports(scheduled) == {}
    by_hand(scheduled)
    scheduled.profile(scheduled.capture(rows=80, name="late", prefix="late"))
    arrive(scheduled)
    assert verdict(scheduled).rows == 280


def test_the_first_run_of_the_schedule_takes_the_last_closed_window(scheduled: World) -> None:
    scheduled.profile(scheduled.capture())
    assert run_schedule(scheduled, WINDOW.end + 19 * MINUTE) == [
        str(Window(HOUR - timedelta(hours=1), HOUR))
    ]
    assert run_schedule(scheduled, WINDOW.end + 20 * MINUTE) == [str(WINDOW)]
    assert run_schedule(scheduled, WINDOW.end + 21 * MINUTE) == []
    assert verdict(scheduled).rows == 200


def test_the_schedule_evaluates_every_window_since_its_last_run_also_empty_ones(
    scheduled: World,
) -> None:
    scheduled.profile(scheduled.capture())
    run_schedule(scheduled, WINDOW.end + 20 * MINUTE)
    scheduled.printed()
    later = run_schedule(scheduled, WINDOW.end + timedelta(hours=3, minutes=20))
    assert len(later) == 3
    empty = verdict(scheduled, Window(HOUR + timedelta(hours=3), HOUR + timedelta(hours=4)))
    assert (empty.rows, empty.insufficient) == (0, True)
    published = scheduled.metrics()
    assert [metrics["WindowRows"] for metrics in published] == [[0.0]] * 3
    assert "DriftedFeatures" not in published[0]


def test_a_long_standstill_ends_with_a_bounded_number_of_windows(scheduled: World) -> None:
    evaluate = scheduled.function("evaluate")
    scheduled.monkeypatch.setattr(evaluate, "_MOST_WINDOWS", 2)
    run_schedule(scheduled, WINDOW.end + 20 * MINUTE)
    scheduled.printed()
    assert run_schedule(scheduled, WINDOW.end + timedelta(hours=5, minutes=20)) == [
        str(Window(HOUR + timedelta(hours=i), HOUR + timedelta(hours=i + 1))) for i in (4, 5)
    ]
    (line,) = [x for x in scheduled.printed() if x.get("message") == "windows given up"]
    assert line["last"] == str(Window(HOUR + timedelta(hours=3), HOUR + timedelta(hours=4)))


def test_a_window_that_fails_stays_due_and_does_not_stop_the_others(scheduled: World) -> None:
    scheduled.profile(scheduled.capture())
    run_schedule(scheduled, HOUR + 20 * MINUTE)
    (key,) = scheduled.keys("loans/profiles/")
    whole = scheduled.store.objects.read(key)
    scheduled.store.objects.write(key, b"damaged")
    scheduled.printed()
    with pytest.raises(DriftgaugeError, match="1 of 2 windows"):
        run_schedule(scheduled, WINDOW.end + timedelta(hours=1, minutes=20))
    failures = [m["EvaluationFailures"] for m in scheduled.metrics()]
    assert sorted(failures) == [[0.0], [1.0]]
    scheduled.store.objects.write(key, whole)
    assert run_schedule(scheduled, WINDOW.end + timedelta(hours=1, minutes=21)) == [
        str(WINDOW),
        str(Window(WINDOW.end, WINDOW.end + timedelta(hours=1))),
    ]
    assert verdict(scheduled).rows == 200


def test_a_schedule_before_the_first_baseline_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        assert run_schedule(world, WINDOW.end + timedelta(hours=2)) == []
        with pytest.raises(BaselineError, match="training-data/"):
            by_hand(world)


def test_a_given_window_is_evaluated_whether_anything_is_new_or_not(world: World) -> None:
    world.profile(world.capture())
    arrive(world)
    world.set_clock(quiet(world) + timedelta(hours=1))
    assert by_hand(world, variant=VARIANT)["evaluated"] == [str(WINDOW)]
    assert verdict(world).evaluated_at == quiet(world) + timedelta(hours=1)


def test_an_event_without_a_window_is_refused(world: World) -> None:
    for event in ({"monitor": "loans"}, {"monitor": "loans", "window_start": "yesterday"}):
        with pytest.raises(ConfigError, match="window_start"):
            world.call("evaluate", event)
    with pytest.raises(ConfigError, match="there is no monitor"):
        world.call("evaluate", {"schedule": True})


def test_metrics_of_an_older_window_carry_its_end_unless_cloudwatch_refuses_it(
    world: World,
) -> None:
    world.profile(world.capture(), world.capture(hour=HOUR + timedelta(hours=2), name="c"))
    by_hand(world)
    by_hand(world, Window(HOUR + timedelta(hours=2), HOUR + timedelta(hours=3)))
    world.set_clock(HOUR + timedelta(days=13))
    world.printed()
    by_hand(world)
    (metrics,) = world.metrics()
    stamp = datetime.fromtimestamp(metrics["_aws"]["Timestamp"] / 1000, UTC)
    assert stamp == WINDOW.end
    world.set_clock(HOUR + timedelta(days=15))
    by_hand(world)
    lines = world.printed()
    assert [line["message"] for line in lines if "_aws" not in line] == ["window evaluated"]
    assert [line for line in lines if "_aws" in line] == []


def test_a_window_falls_back_to_the_newest_baseline_it_has_profiles_of(world: World) -> None:
    before = world.store.read_current()[0].baseline
    world.profile(world.capture(rows=200))
    event = world.put(STORE, "loans/training-data/second.csv", training_csv(900, seed=5))
    world.call("baseline", batch(event))
    after = world.store.read_current()[0].baseline
    arrive(world)
    assert (verdict(world).baseline_version, verdict(world).rows) == (before, 200)
    world.profile(world.capture(rows=60, name="b", prefix="f"))
    arrive(world)
    assert before != after == verdict(world).baseline_version
    assert (verdict(world).rows, verdict(world).other_baseline_rows) == (60, 200)


def test_a_failed_evaluation_comes_back_and_is_counted(world: World) -> None:
    world.profile(world.capture())
    (key,) = world.keys("loans/profiles/")
    world.store.objects.write(key, b"damaged")
    world.printed()
    assert len(arrive(world)["batchItemFailures"]) == 1
    (metrics,) = world.metrics()
    assert metrics["EvaluationFailures"] == [1.0]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Monitor", "Variant"]]


def test_a_message_about_something_else_comes_back(world: World) -> None:
    world.function("evaluate")
    answer = world.call("evaluate", batch(created(STORE, "loans/profiles/strange", "1")))
    assert len(answer["batchItemFailures"]) == 1


def test_state_is_written_again_when_another_evaluation_was_faster(world: World) -> None:
    state = world.function("state")
    end = WINDOW.end
    rivals = iter([end + timedelta(hours=1), end + timedelta(hours=2)])

    def change(before: Any) -> Any:
        rival = next(rivals, None)
        if rival is not None:
            data = json.dumps({"version": 1, "newest_end": format_time(rival)}).encode()
            world.store.objects.write(world.store.state_key(VARIANT), data)
        return replace(before, scheduled_through=end)

    state.change_state(world.store, VARIANT, change)
    after = state.read_state(world.store, VARIANT)
    assert (after.newest_end, after.scheduled_through) == (end + timedelta(hours=2), end)


def test_endless_conflicts_end_in_an_error(world: World) -> None:
    state = world.function("state")
    numbers = iter(range(100))

    def change(before: Any) -> Any:
        moment = HOUR + timedelta(hours=next(numbers))
        data = json.dumps({"version": 1, "newest_end": format_time(moment)}).encode()
        world.store.objects.write(world.store.state_key(VARIANT), data)
        return state.VariantState(scheduled_through=HOUR)

    with pytest.raises(ConflictError, match="evaluate the window again"):
        state.change_state(world.store, VARIANT, change)


def test_a_hundred_features_and_more_are_values_of_one_metric(world: World) -> None:
    runtime = world.function("runtime")
    world.printed()
    runtime.publish_metrics(
        config=monitor(),
        variant=VARIANT,
        measures=[runtime.Measure("FeatureDistance", i / 250, "None") for i in range(250)],
    )
    published = world.metrics()
    assert sum(len(m["FeatureDistance"]) for m in published) == 250
    assert max(len(m["FeatureDistance"]) for m in published) <= 100
    assert all((m["Monitor"], m["Variant"]) == ("loans", VARIANT) for m in published)
