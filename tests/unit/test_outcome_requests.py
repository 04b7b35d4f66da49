"""What an evaluation of many grains asks the store for, and who may come in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from driftgauge.columns import RowBatch
from driftgauge.labels.codec import decode_labels, encode_sampled_rows
from driftgauge.labels.sample import SampledRows, merge_sampled_rows, sample_of
from driftgauge.labels.truth import Labels
from driftgauge.store import Current, LocalObjects, MonitorStore, ObjectInfo, StoredPart
from driftgauge.windows import Window
from lambdas import outcomes, sample_rollup
from lambdas import waiting_labels as waiting_module
from lambdas.events import CreatedObject
from lambdas.grains import FEW_PREDICTIONS, batches_of, read_grains
from lambdas.inputs import WindowFiles
from lambdas.labels import GroundTruthObject, match_received, receive
from lambdas.outcomes import CountedWindow, count_window
from lambdas.runtime import Runtime, read_many
from lambdas.sample_rollup import FEW_SAMPLES, read_sample
from tests.columns import column_of
from tests.unit.lambda_world import monitor
from tests.unit.test_label_matching import (
    DAYS,
    HOUR,
    HOURS,
    OLD,
    CountedObjects,
    digest_of,
    labels_for,
    put_predictions,
    put_received,
)

CONFIG = monitor(outcomes={}, window="7d")
WINDOW = CONFIG.grid.window_of(HOUR)
GRAINS = 20


class WatchedObjects(CountedObjects):
    """Counts listings, too, and lets somebody come before or after labels are looked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.listed: list[str] = []
        self.writes: list[str] = []
        self.before_listing: Callable[[], None] | None = None
        self.after_listing: Callable[[], None] | None = None

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        self.listed.append(prefix)
        if "/labels/received" not in prefix:
            return super().list(prefix, after=after)
        if self.before_listing is not None:
            come, self.before_listing = self.before_listing, None
            come()
        found = list(super().list(prefix, after=after))
        if self.after_listing is not None:
            come, self.after_listing = self.after_listing, None
            come()
        return iter(found)

    def write(self, key: str, data: bytes, **options: Any) -> None:
        self.writes.append(key)
        super().write(key, data, **options)


class Run:
    """What counting and receiving labels take of the runtime."""

    def __init__(self, objects: LocalObjects) -> None:
        self.objects = objects

    def store(self, monitor: str) -> MonitorStore:
        return MonitorStore(objects=self.objects, monitor=monitor)

    def current(self, store: MonitorStore) -> tuple[Current, str]:
        return OLD, ""


@pytest.fixture
def objects(tmp_path: Path) -> WatchedObjects:
    return WatchedObjects(tmp_path)


@pytest.fixture
def store(objects: WatchedObjects) -> MonitorStore:
    return MonitorStore(objects=objects, monitor="loans")


def count(store: MonitorStore) -> CountedWindow:
    variant = "AllTraffic"
    predictions = store.list_predictions(baseline="b1", variant=variant, window=WINDOW)
    labels = store.list_matched_labels(variant=variant, window=WINDOW)
    files = WindowFiles(baseline="b1", predictions=tuple(predictions), labels=tuple(labels))
    run = cast("Runtime", Run(cast("LocalObjects", store.objects)))
    return count_window(run, CONFIG, files, None, variant=variant, window=WINDOW)


def names_of(number: int, *, rows: int = 3) -> list[str]:
    return [f"g{number}-{row}" for row in range(rows)]


def fill(store: MonitorStore, *, files: int = 1, grains: int = GRAINS) -> list[str]:
    """Store predictions of several grains of the window; return their ids."""
    names = []
    for number in range(grains):
        for part in range(files):
            some = [f"{name}-{part}" for name in names_of(number)]
            put_predictions(store, some, WINDOW.start + number * HOURS, number=part)
            names += some
    return names


def received(store: MonitorStore, labels: Labels, *, number: int = 99) -> int:
    """Do what the function that receives labels does; return how many it could not match."""
    source = labels.sources[0]
    assert source.digest == digest_of(number)
    truth = GroundTruthObject(
        created=CreatedObject(bucket="captures", key="labels.jsonl", tag=""),
        collected=HOUR + DAYS,
        modified=HOUR + DAYS,
        digest=source.digest,
    )
    key, left = receive(store, truth, labels)
    assert CONFIG.outcomes is not None
    run = cast("Runtime", Run(cast("LocalObjects", store.objects)))
    _, waiting = match_received(run, CONFIG, CONFIG.outcomes, truth, key, left)
    return waiting


def waiting_labels(store: MonitorStore) -> int:
    files = store.objects.list("loans/labels/received/")
    return sum(decode_labels(store.objects.read(one.key)).records for one in files)


def test_labels_that_wait_are_listed_and_read_once_for_all_grains(
    store: MonitorStore, objects: WatchedObjects
) -> None:
    names = fill(store)
    for number in range(5):
        put_received(store, labels_for(names[number::5], number=number), number)
    objects.listed.clear()
    objects.of("received")
    counted = count(store)
    assert counted.standing.labelled == len(names)
    assert len([prefix for prefix in objects.listed if "/labels/received" in prefix]) == 1
    # Once to match it, once to take out what was matched, once to compare it when it is written.
    assert objects.of("received") == 3 * 5
    assert len([key for key in objects.writes if "/received/" in key]) == 5 + 5
    # Those of predictions and of labels before and after the match.
    assert len(objects.listed) == 4
    assert waiting_labels(store) == 0


@pytest.mark.parametrize("files", [1, FEW_PREDICTIONS + 3])
@pytest.mark.parametrize("most_bytes", [1, 1 << 30])
def test_labels_that_come_before_the_listing_are_matched_by_the_evaluation(
    files: int,
    most_bytes: int,
    store: MonitorStore,
    objects: WatchedObjects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "batches_of", partial(batches_of, most_bytes=most_bytes))
    names = fill(store, files=files, grains=3)

    def come() -> None:
        # Predictions were looked for before there were any: the labels only wait.
        put_received(store, labels_for(names))

    objects.before_listing = come
    assert count(store).standing.labelled == len(names)
    assert waiting_labels(store) == 0


@pytest.mark.parametrize("files", [1, FEW_PREDICTIONS + 3])
@pytest.mark.parametrize("most_bytes", [1, 1 << 30])
def test_whoever_receives_labels_after_the_listing_finds_all_predictions(
    files: int,
    most_bytes: int,
    store: MonitorStore,
    objects: WatchedObjects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "batches_of", partial(batches_of, most_bytes=most_bytes))
    names = fill(store, files=files, grains=3)
    left = []
    objects.after_listing = lambda: left.append(received(store, labels_for(names)))
    count(store)
    assert left == [0]
    assert waiting_labels(store) == 0
    assert count(store).standing.labelled == len(names)


@pytest.mark.parametrize("moment", ["before_listing", "after_listing"])
def test_labels_received_in_between_leave_the_same_files_as_before_it_all(
    moment: str, tmp_path: Path
) -> None:
    ends = []
    for when in ("first", moment):
        objects = WatchedObjects(tmp_path / when)
        store = MonitorStore(objects=objects, monitor="loans")
        names = fill(store, files=FEW_PREDICTIONS + 1, grains=3)
        labels = labels_for(names)
        if when == "first":
            put_received(store, labels)
        else:
            setattr(objects, when, partial(received, store, labels))
        count(store)
        counted = count(store)
        files = {one.key: objects.read(one.key) for one in objects.list("loans/labels/")}
        ends.append((files, counted.standing))
    assert ends[0] == ends[1]


def test_grains_are_read_in_batches_of_bounded_size(
    store: MonitorStore, objects: WatchedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fill(store)
    put_received(store, labels_for(names[::2]))
    one = next(objects.list("loans/predictions/")).size
    batches: list[int] = []

    def remember(store: MonitorStore, grains: Any) -> Any:
        if grains:
            batches.append(sum(part.size for parts in grains.values() for part in parts))
        return read_grains(store, grains)

    monkeypatch.setattr(outcomes, "read_grains", remember)
    monkeypatch.setattr(outcomes, "batches_of", partial(batches_of, most_bytes=5 * one))
    counted = count(store)
    assert 4 <= len(batches) <= GRAINS // 2
    assert max(batches) <= 5 * one
    assert objects.of("predictions") == GRAINS
    assert counted.standing.labelled == len(names[::2])
    kept = next(objects.list("loans/rollups/")).key
    before = objects.read(kept)
    # All at once, and from the start: the same bytes.
    monkeypatch.setattr(outcomes, "batches_of", batches_of)
    (Path(objects.uri) / kept).unlink()
    assert count(store).standing == counted.standing
    assert objects.read(kept) == before


def test_labels_that_wait_are_read_a_bounded_number_of_bytes_at_a_time(
    store: MonitorStore, objects: WatchedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = fill(store)
    for number in range(12):
        put_received(store, labels_for(names[number::12], number=number), number)
    sizes = {one.key: one.size for one in objects.list("loans/labels/received/")}
    most = 3 * max(sizes.values())
    batches: list[int] = []

    def remember(store: MonitorStore, keys: Iterable[str]) -> Iterator[bytes]:
        some = list(keys)
        batches.append(sum(sizes[key] for key in some))
        return read_many(store, some)

    monkeypatch.setattr(waiting_module, "read_many", remember)
    monkeypatch.setattr(waiting_module, "BATCH_BYTES", most)
    assert count(store).standing.labelled == len(names)
    assert 4 <= len(batches) <= 12
    assert max(batches) <= most


def test_a_grain_that_is_larger_than_a_batch_is_read_by_itself() -> None:
    hours = [HOUR + number * HOURS for number in range(3)]
    sizes = dict(zip(hours, (10, 1, 1), strict=True))
    assert list(batches_of(sizes, most_bytes=3)) == [hours[:1], hours[1:]]
    assert list(batches_of({}, most_bytes=3)) == []


@pytest.mark.parametrize("most_bytes", [1, 1 << 30])
def test_an_id_that_several_grains_have_is_labelled_in_one(
    most_bytes: int, store: MonitorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "batches_of", partial(batches_of, most_bytes=most_bytes))
    for number in range(3):
        put_predictions(store, ["again", f"g{number}"], WINDOW.start + number * HOURS)
    put_received(store, labels_for(["again", "g2"]))
    assert count(store).standing.labelled == 2


def test_nothing_is_read_where_nothing_changed(
    store: MonitorStore, objects: WatchedObjects
) -> None:
    put_received(store, labels_for(fill(store)))
    count(store)
    objects.reads.clear()
    objects.listed.clear()
    objects.writes.clear()
    count(store)
    assert [key.rpartition(".")[2] for key in objects.reads] == ["outcomes"]
    assert (len(objects.listed), objects.writes) == (2, [])


def sampled(names: list[str], columns: tuple[str, ...] = ("score", "region")) -> SampledRows:
    rows = len(names)
    chance = np.random.default_rng(rows + len(names[0]))
    every = {
        "score": column_of(chance.random(rows).round(3).tolist()),
        "region": column_of([f"r{one}" for one in chance.integers(0, 4, rows)]),
        "extra": column_of(chance.random(rows).tolist()),
    }
    batch = RowBatch(
        rows=rows,
        records=rows,
        columns={name: every[name] for name in columns},
        inference_time=np.zeros(rows, dtype=np.int64),
        event_ids=names,
        record_of_row=np.arange(rows, dtype=np.int32),
    )
    return sample_of(batch, columns, most=40)


def put_sample(
    store: MonitorStore, number: int, sample: SampledRows, start: datetime = HOUR
) -> None:
    key = store.sample_key(
        baseline="b1", variant="AllTraffic", grain_start=start, digest=digest_of(number)
    )
    store.objects.write(key, encode_sampled_rows(sample))


def samples_of(store: MonitorStore) -> list[StoredPart]:
    return list(store.list_samples(baseline="b1", variant="AllTraffic", window=WINDOW))


def sample_bytes(store: MonitorStore) -> bytes:
    found = read_sample(store, samples_of(store), window=WINDOW)
    assert found is not None
    return encode_sampled_rows(found)


def merged_bytes(store: MonitorStore) -> bytes:
    """Merge all samples, without what is kept."""
    some = sample_rollup._read_parts(store, sorted(one.key for one in samples_of(store)))
    return encode_sampled_rows(merge_sampled_rows(some))


def test_the_sample_of_a_window_is_one_object(store: MonitorStore, objects: WatchedObjects) -> None:
    for number in range(GRAINS):
        put_sample(store, number, sampled(names_of(number, rows=5 + number)))
    assert sample_bytes(store) == merged_bytes(store)
    objects.reads.clear()
    assert sample_bytes(store) == merged_bytes(store)
    objects.reads.clear()
    objects.writes.clear()
    sample_bytes(store)
    assert (len(objects.reads), objects.writes) == (1, [])


@pytest.mark.parametrize(
    ("new", "read"),
    [
        (sampled([f"late{row}" for row in range(30)]), 2),
        # Rows that are there already, and a column that only some have: all are read again.
        (sampled(names_of(3, rows=8)), GRAINS + 2 + 1),
        (sampled(["other"], ("extra", "score", "region")), GRAINS + 2 + 1),
    ],
    ids=["late rows", "repeated rows", "another column"],
)
def test_a_late_sample_gives_the_sample_of_all(
    new: SampledRows, read: int, store: MonitorStore, objects: WatchedObjects
) -> None:
    for number in range(GRAINS):
        put_sample(store, 100 + number, sampled(names_of(number, rows=8)))
    sample_bytes(store)
    # Before all others in the order of keys.
    put_sample(store, 1, new)
    objects.reads.clear()
    found = sample_bytes(store)
    assert sum(objects.reads.values()) == read
    assert found == merged_bytes(store)


def test_few_samples_are_merged_every_time(store: MonitorStore, objects: WatchedObjects) -> None:
    for number in range(FEW_SAMPLES):
        put_sample(store, number, sampled(names_of(number)))
    assert sample_bytes(store) == merged_bytes(store)
    assert list(objects.list("loans/rollups/")) == []
    assert read_sample(store, [], window=WINDOW) is None


@pytest.mark.parametrize("damage", [b"", b"DGSU\x01" + bytes(60), None])
def test_a_kept_sample_that_cannot_be_used_is_made_anew(
    damage: bytes | None, store: MonitorStore, objects: WatchedObjects
) -> None:
    for number in range(GRAINS):
        put_sample(store, number, sampled(names_of(number)))
    before = sample_bytes(store)
    kept = next(objects.list("loans/rollups/")).key
    whole = objects.read(kept)
    objects.write(kept, whole[:-3] if damage is None else damage)
    assert sample_bytes(store) == before
    assert objects.read(kept) == whole
    # Another version of a sample cannot be taken out of the sum.
    put_sample(store, 0, sampled(names_of(77, rows=9)))
    assert sample_bytes(store) == merged_bytes(store) != before


def test_windows_of_other_lengths_do_not_take_each_others_sample(store: MonitorStore) -> None:
    for number in range(GRAINS):
        put_sample(store, number, sampled(names_of(number)), WINDOW.start + number * HOURS)
    sample_bytes(store)
    short = Window(WINDOW.start, WINDOW.start + timedelta(hours=10))
    parts = [one for one in samples_of(store) if one.grain_start < short.end]
    found = read_sample(store, parts, window=short)
    assert found is not None
    assert found.population == 10 * 3
    assert found.rows == 30
