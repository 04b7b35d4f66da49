"""Labels that arrive: received, matched with predictions in any order, and left to wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.errors import StoreError
from driftgauge.labels.codec import decode_labels, decode_predictions
from driftgauge.labels.identity import ids_of
from driftgauge.labels.join import Joined, join_labels
from driftgauge.labels.predictions import Predictions, merge_predictions
from driftgauge.labels.truth import Labels, merge_labels
from driftgauge.store import S3Objects
from driftgauge.windows import Window
from lambdas.labels import hour_of_key
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    STORE,
    VARIANT,
    World,
    batch,
    capture_lines,
    created,
    deployed,
    ground_truth_lines,
    monitor,
)

LATER = HOUR + timedelta(hours=30)
HOURS = timedelta(hours=1)
SPLIT = {"name": "loans-endpoint", "variants": ["blue", "green"]}


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path, monitor(outcomes={})) as world:
        world.add_baseline(rows=300)
        yield world


@pytest.fixture
def split(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path, monitor(outcomes={}, endpoint=SPLIT)) as world:
        world.add_baseline(rows=300)
        yield world


def truth(
    world: World, labels: list[int], *, prefix: str = "e", hour: datetime = LATER, name: str = "l"
) -> dict[str, Any]:
    """Put labels of records ``{prefix}-0``, ``{prefix}-1``, ...; return the event."""
    body = ground_truth_lines(labels, prefix=prefix)
    return world.put(CAPTURES, f"ground-truth/{hour:%Y/%m/%d/%H}/{name}.jsonl", body)


def capture_of(
    world: World, variant: str, rows: int, *, hour: datetime = HOUR, prefix: str = "e"
) -> dict[str, Any]:
    key = f"captures/loans-endpoint/{variant}/{hour:%Y/%m/%d/%H}/{prefix}.jsonl"
    return world.put(CAPTURES, key, capture_lines(rows, hour=hour, prefix=prefix))


def receive(world: World, *events: dict[str, Any]) -> None:
    assert world.call("labels", batch(*events)) == {"batchItemFailures": []}


def predictions(
    world: World, hour: datetime = HOUR, variant: str = VARIANT, baseline: str = "*"
) -> Predictions:
    """All predictions of one hour."""
    files = world.contents("loans/predictions/")
    place = f"/{variant}/{hour:%Y/%m/%d/%H}/"
    chosen = [data for key, data in files.items() if place in key and "_merged" not in key]
    return merge_predictions(map(decode_predictions, chosen))


def evaluate_grain(world: World, hour: datetime = HOUR, variant: str = VARIANT) -> int:
    """Do what evaluating an hour does: sum up its predictions, match the labels that wait."""
    store = world.store
    baseline = store.read_current()[0].baseline
    window = Window(hour, hour + HOURS)
    parts = list(store.list_predictions(baseline=baseline, variant=variant, window=window))
    merged = world.function("grains").read_grains(store, {hour: parts})
    waiting = world.function("waiting_labels").find_waiting(
        store, world.monitors.monitors[0], variant=variant, grains=[hour]
    )
    count: int = waiting.match(merged)
    return count


def matched(world: World, variant: str = VARIANT) -> dict[str, int]:
    """Number of matched labels by day and hour of the grain."""
    found: dict[str, int] = {}
    for key, data in world.contents(f"loans/labels/matched/{variant}/").items():
        place = "/".join(key.split("/")[-4:-2])
        found[place] = found.get(place, 0) + decode_labels(data).records
    return found


def matched_labels(world: World, variant: str = VARIANT) -> Labels:
    files = world.contents(f"loans/labels/matched/{variant}/")
    return merge_labels(map(decode_labels, files.values()))


def waiting(world: World) -> int:
    files = world.contents("loans/labels/received/")
    return sum(decode_labels(data).records for data in files.values())


def joined(world: World) -> Joined:
    return join_labels(predictions(world), matched_labels(world))


def counted(world: World) -> dict[str, Any]:
    """The metrics of labels since the last call, by name; those of variants by both names."""
    found: dict[str, Any] = {}
    for document in world.metrics():
        for name in ("MatchedLabels", "UnmatchedLabels", "RejectedLabels"):
            if name in document:
                found.setdefault(name, {})[document["Variant"]] = sum(document[name])
    return found


def test_labels_find_their_predictions(world: World) -> None:
    world.profile(world.capture(rows=20))
    receive(world, truth(world, [1, 0] * 10))
    assert matched(world) == {"02/10": 20}
    assert waiting(world) == 0
    found = joined(world)
    assert found.counts.labelled == 20
    expected = dict(zip(ids_of(f"e-{i}" for i in range(20)).tolist(), [1, 0] * 10, strict=True))
    of_rows = [expected[name] for name in predictions(world).ids.tolist()]
    np.testing.assert_array_equal(found.label.numbers, of_rows)


def test_what_was_matched_and_what_was_not_is_counted(world: World) -> None:
    world.profile(world.capture(rows=20))
    world.metrics()
    receive(world, truth(world, [1] * 25))
    assert counted(world) == {
        "MatchedLabels": {VARIANT: 20.0},
        "UnmatchedLabels": {VARIANT: 5.0},
        "RejectedLabels": {VARIANT: 0.0},
    }
    assert waiting(world) == 5


def test_labels_that_come_first_wait_for_their_predictions(world: World) -> None:
    receive(world, truth(world, [1] * 20))
    assert waiting(world) == 20
    world.profile(world.capture(rows=20))
    assert evaluate_grain(world) == 20
    assert (matched(world), waiting(world)) == ({"02/10": 20}, 0)
    assert evaluate_grain(world) == 0


def test_labels_that_come_before_the_first_baseline_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, monitor(outcomes={})) as world:
        receive(world, truth(world, [1] * 5))
        assert waiting(world) == 5
        world.add_baseline(rows=300)
        world.profile(world.capture(rows=5))
        assert evaluate_grain(world) == 5


def test_the_labels_of_a_redelivered_capture_are_not_lost(world: World) -> None:
    # Half of an hour's predictions come, then the labels of all, then the other half.
    world.profile(world.capture(rows=10, name="a", prefix="a"))
    body = ground_truth_lines([1] * 10, prefix="a") + ground_truth_lines([0] * 10, prefix="b")
    place = f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl"
    receive(world, world.put(CAPTURES, place, body))
    assert (matched(world), waiting(world)) == ({"02/10": 10}, 10)
    world.profile(world.capture(rows=10, name="b", prefix="b"))
    assert evaluate_grain(world) == 10
    assert (matched(world), waiting(world)) == ({"02/10": 20}, 0)
    assert len(world.keys("loans/labels/matched/")) == 1


def test_a_label_waits_as_long_as_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = monitor(outcomes={"wait": "2d"}, evaluate="on_arrival")
    with deployed(monkeypatch, capsys, tmp_path, asked) as world:
        world.add_baseline(rows=300)
        receive(world, truth(world, [1] * 5))
        world.profile(world.capture(rows=5))
        moment = datetime.now(UTC)
        world.function("waiting_labels")
        world.set_clock(moment + timedelta(days=3))
        assert evaluate_grain(world) == 0
        world.set_clock(moment + timedelta(days=1))
        assert evaluate_grain(world) == 5


def test_labels_may_come_months_later(world: World) -> None:
    for day in range(0, 60, 7):
        hour = HOUR + timedelta(days=day)
        world.profile(world.capture(rows=3, hour=hour, prefix=f"d{day}"))
    receive(world, truth(world, [1] * 3, prefix="d0", hour=HOUR + timedelta(days=80)))
    assert matched(world) == {"02/10": 3}


def test_labels_later_than_the_lookback_stay_unmatched(world: World) -> None:
    world.profile(world.capture(rows=3))
    receive(world, truth(world, [1] * 3, hour=HOUR + timedelta(days=91)))
    assert (matched(world), waiting(world)) == ({}, 3)


def test_a_correction_wins_in_whichever_order_it_comes(world: World) -> None:
    world.profile(world.capture(rows=4))
    first = truth(world, [0, 0, 0, 0], name="first")
    second = truth(world, [0, 1, 0, 1], hour=LATER + HOURS, name="second")
    receive(world, second, first)
    found = joined(world)
    expected = dict(zip(ids_of(f"e-{i}" for i in range(4)).tolist(), [0, 1, 0, 1], strict=True))
    of_rows = [expected[name] for name in predictions(world).ids.tolist()]
    np.testing.assert_array_equal(found.label.numbers, of_rows)
    assert (found.counts.duplicates, found.counts.corrected) == (2, 2)


def test_labels_twice_in_one_object_are_kept_and_counted(world: World) -> None:
    world.profile(world.capture(rows=4))
    body = ground_truth_lines([1] * 4) + ground_truth_lines([1, 1, 0, 1])
    receive(world, world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl", body))
    found = joined(world)
    assert (found.counts.duplicates, found.counts.corrected) == (3, 1)
    assert found.counts.labelled == 4


def test_a_record_of_several_rows_has_as_many_labels(world: World) -> None:
    lines = [json.loads(line) for line in capture_lines(2).splitlines()]
    for line in lines:
        line["captureData"]["endpointInput"]["data"] = "100.0,north\n90.0,south"
        line["captureData"]["endpointOutput"].update(data="0.4\n0.6", encoding="CSV")
    body = "\n".join(map(json.dumps, lines)).encode()
    key = f"captures/loans-endpoint/{VARIANT}/{HOUR:%Y/%m/%d/%H}/a.jsonl"
    world.profile(world.put(CAPTURES, key, body))
    labels = ground_truth_lines([1, 0]).replace(b'"data": "1"', b'"data": "1\\n0"')
    receive(world, world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl", labels))
    found = joined(world)
    # The second record has one label for two rows.
    assert (found.counts.rows, found.counts.labelled, found.counts.mismatched) == (4, 2, 2)


def test_each_variant_gets_the_labels_of_its_requests(split: World) -> None:
    split.profile(capture_of(split, "blue", 6, prefix="b"), capture_of(split, "green", 4))
    split.metrics()
    receive(split, truth(split, [1] * 6, prefix="b"), truth(split, [0] * 5, name="m"))
    assert matched(split, "blue") == {"02/10": 6}
    assert matched(split, "green") == {"02/10": 4}
    assert counted(split)["UnmatchedLabels"] == {"blue": 1.0}


def test_a_shadow_variant_gets_the_labels_too_even_across_an_hour(split: World) -> None:
    split.profile(capture_of(split, "blue", 6))
    split.profile(capture_of(split, "green", 6, hour=HOUR - HOURS))
    receive(split, truth(split, [1] * 6))
    assert matched(split, "blue") == {"02/10": 6}
    assert matched(split, "green") == {"02/09": 6}
    assert waiting(split) == 0


def test_a_shadow_variant_whose_captures_come_later_gets_the_labels_too(split: World) -> None:
    split.profile(capture_of(split, "blue", 6))
    receive(split, truth(split, [1] * 6))
    assert waiting(split) == 0
    split.profile(capture_of(split, "green", 6))
    assert evaluate_grain(split, variant="green") == 6
    assert matched(split, "blue") == matched(split, "green") == {"02/10": 6}


def test_predictions_under_earlier_baselines_are_found(world: World) -> None:
    world.profile(world.capture(rows=4, prefix="a", name="a"))
    before = world.store.read_current()[0].baseline
    assert world.add_baseline(rows=400, seed=2) != before
    world.profile(world.capture(rows=5, prefix="b", name="b"))
    body = ground_truth_lines([1] * 4, prefix="a") + ground_truth_lines([1] * 5, prefix="b")
    receive(world, world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl", body))
    assert (matched(world), waiting(world)) == ({"02/10": 9}, 0)


def test_an_event_delivered_twice_changes_no_byte(world: World) -> None:
    world.profile(world.capture(rows=20))
    body = b"not json\n" + ground_truth_lines([1] * 25)
    event = world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl", body)
    receive(world, event)
    before = world.contents()
    receive(world, event, event)
    assert world.contents() == before


def test_damaged_lines_are_counted_and_a_sample_is_quarantined(world: World) -> None:
    world.profile(world.capture(rows=20))
    world.metrics()
    secret = b"4111-1111-1111-1111"
    body = ground_truth_lines([1] * 20) + b'{"x": "' + secret + b'"}\n' + secret + b" no json\n"
    receive(world, world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl", body))
    printed = world.printed()
    assert secret.decode() not in json.dumps(printed)
    rejected = [line["RejectedLabels"] for line in printed if "RejectedLabels" in line]
    assert rejected == [[2.0]]
    ((key, data),) = world.contents("loans/quarantine/").items()
    assert key.startswith(f"loans/quarantine/{VARIANT}/{LATER:%Y/%m/%d/%H}/")
    assert {json.loads(line)["line"] for line in data.splitlines()} == {21, 22}
    assert matched(world) == {"02/10": 20}


def test_only_the_unreadable_object_of_a_batch_comes_back(world: World) -> None:
    world.profile(world.capture(rows=3))
    broken = world.put(CAPTURES, "ground-truth/2026/03/02/10/x.jsonl", b"\x1f\x8b\x08\x00broken")
    gone = created(CAPTURES, "ground-truth/2026/03/02/10/gone.jsonl", "0" * 32)
    answer = world.call("labels", batch(broken, truth(world, [1] * 3), gone))
    failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert failed == ["message-0", "message-2"]
    assert matched(world) == {"02/10": 3}


def test_labels_of_a_monitor_without_outcomes_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        world.add_baseline(rows=300)
        world.profile(world.capture(rows=3))
        world.printed()
        receive(world, truth(world, [1] * 3))
        assert not world.keys("loans/labels/") + world.keys("loans/predictions/")
        assert not world.printed()


def test_monitors_that_share_labels_each_match_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    daily = monitor(name="daily", window="1d", outcomes={})
    with deployed(monkeypatch, capsys, tmp_path, monitor(outcomes={}), daily) as world:
        world.add_baseline(rows=300)
        body = world.s3.get_object(Bucket=STORE, Key="loans/training-data/train.csv")["Body"].read()
        world.call("baseline", batch(world.put(STORE, "daily/training-data/train.csv", body)))
        world.profile(world.capture(rows=3))
        receive(world, truth(world, [1] * 3))
        for name in ("loans", "daily"):
            (data,) = world.contents(f"{name}/labels/matched/").values()
            assert decode_labels(data).records == 3


def test_labels_without_an_hour_in_their_key_count_from_when_they_were_written(
    world: World,
) -> None:
    assert hour_of_key("upload/labels.jsonl") is None
    assert hour_of_key("2026/13/01/00/labels.jsonl") is None
    assert hour_of_key("0001/01/01/00/labels.jsonl") is None
    assert hour_of_key("9999/12/31/23/labels.jsonl") is None
    recent = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    world.profile(world.capture(rows=3, hour=recent))
    event = world.put(CAPTURES, "ground-truth/upload.jsonl", ground_truth_lines([1] * 3))
    receive(world, event, world.put(CAPTURES, "ground-truth/_SUCCESS", b""))
    assert list(matched(world).values()) == [3]


def test_the_files_are_the_same_in_whichever_order_objects_come(world: World) -> None:
    hours = [HOUR, HOUR + HOURS]
    captures = [
        world.capture(rows=4, hour=h, name=f"c{i}", prefix=f"c{i}") for i, h in enumerate(hours)
    ]
    both = ground_truth_lines([1] * 4, prefix="c0") + ground_truth_lines([0] * 5, prefix="c1")
    labels = [
        world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/both.jsonl", both),
        truth(world, [1, 0, 1, 0], prefix="c1", name="again"),
    ]
    ends = []
    for order in permutations([*captures, *labels]):
        for key in world.keys("loans/labels/") + world.keys("loans/predictions/"):
            world.s3.delete_object(Bucket=STORE, Key=key)
        for event in order:
            verb = "profile" if event in captures else "labels"
            assert world.call(verb, batch(event)) == {"batchItemFailures": []}
            for hour in hours if event in captures else []:
                evaluate_grain(world, hour)
        ends.append(world.contents("loans/labels/"))
    assert all(end == ends[0] for end in ends)
    assert (matched(world), waiting(world)) == ({"02/10": 4, "02/11": 8}, 1)


def test_a_crash_at_any_write_changes_nothing_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = ground_truth_lines([1] * 4, prefix="a") + ground_truth_lines([0] * 5, prefix="b")
    event = world.put(CAPTURES, f"ground-truth/{LATER:%Y/%m/%d/%H}/l.jsonl", b"not json\n" + body)
    world.profile(world.capture(rows=4, prefix="a", name="a"))
    world.profile(world.capture(rows=4, prefix="b", name="b", hour=HOUR + HOURS))
    receive(world, event)
    expected = world.contents("loans/")
    write = S3Objects.write
    for broken in range(5):
        for key in world.keys("loans/labels/") + world.keys("loans/quarantine/"):
            world.s3.delete_object(Bucket=STORE, Key=key)
        left = [broken]

        def failing(self: S3Objects, key: str, data: bytes, **options: Any) -> None:
            left[0] -= 1  # noqa: B023
            if left[0] < 0:  # noqa: B023
                raise StoreError("the connection broke")
            write(self, key, data, **options)

        monkeypatch.setattr(S3Objects, "write", failing)
        assert len(world.call("labels", batch(event))["batchItemFailures"]) == 1
        assert world.contents("loans/") != expected
        monkeypatch.setattr(S3Objects, "write", write)
        receive(world, event)
        assert world.contents("loans/") == expected
