"""The search for the predictions of labels: how far it goes, what it reads, who else writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.columns import RowBatch
from driftgauge.errors import ConflictError
from driftgauge.labels.codec import decode_labels, encode_labels, encode_predictions
from driftgauge.labels.identity import ids_of
from driftgauge.labels.predictions import Predictions, merge_predictions, predictions_of
from driftgauge.labels.truth import Labels, labels_of, merge_labels
from driftgauge.store import Current, LocalObjects, MonitorStore, Promotion
from driftgauge.windows import Window
from lambdas.grains import FEW_PREDICTIONS, read_grains
from lambdas.label_matching import (
    FoundLabels,
    Recent,
    add_matched,
    baselines_since,
    find_predictions,
    remove_received,
)
from lambdas.waiting_labels import find_waiting
from tests.columns import column_of
from tests.unit.lambda_world import monitor

HOUR = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOURS = timedelta(hours=1)
DAYS = timedelta(days=1)
CONFIG = monitor(outcomes={})
OLD = Current(baseline="b1", model=None, since=HOUR - 400 * DAYS)


class CountedObjects(LocalObjects):
    """Counts what is read, and lets somebody else come first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: Counter[str] = Counter()
        self.before_write: Callable[[], None] | None = None

    def open(self, key: str) -> BinaryIO:
        self.reads[key] += 1
        return super().open(key)

    def write(self, key: str, data: bytes, **options: Any) -> None:
        if self.before_write is not None:
            come, self.before_write = self.before_write, None
            come()
        super().write(key, data, **options)

    def of(self, kind: str) -> int:
        """Number of objects of a kind that were read since the last call."""
        found = sum(count for key, count in self.reads.items() if f"/{kind}/" in key)
        self.reads.clear()
        return found


@pytest.fixture
def objects(tmp_path: Path) -> CountedObjects:
    return CountedObjects(tmp_path)


@pytest.fixture
def store(objects: CountedObjects) -> MonitorStore:
    return MonitorStore(objects=objects, monitor="loans")


def predicted(names: list[str], start: datetime = HOUR) -> Predictions:
    return predictions_of(
        RowBatch(
            rows=len(names),
            records=len(names),
            columns={"score": column_of([0.5] * len(names))},
            inference_time=np.full(len(names), int(start.timestamp())),
            event_ids=names,
            record_of_row=np.arange(len(names), dtype=np.int32),
        ),
        ["score"],
    )


def digest_of(number: int) -> str:
    return f"{number:032x}"


def put_predictions(
    store: MonitorStore, names: list[str], start: datetime = HOUR, *, number: int = 1
) -> str:
    key = store.predictions_key(
        baseline="b1", variant="AllTraffic", grain_start=start, digest=digest_of(number)
    )
    store.objects.write(key, encode_predictions(predicted(names, start)))
    return key


def labels_for(names: list[str], *, number: int = 99) -> Labels:
    return labels_of(
        [GroundTruth(event_id=name, labels=(1.0,)) for name in names],
        collected=HOUR + DAYS,
        modified=HOUR + DAYS,
        digest=digest_of(number),
    )


def search(store: MonitorStore, names: list[str], *, days: int = 90) -> list[tuple[datetime, int]]:
    window = Window(HOUR - days * DAYS, HOUR + DAYS)
    found = find_predictions(store, CONFIG, labels_for(names), baselines=["b1"], window=window)
    return [(one.grain_start, one.labels.records) for one in found]


def parts_of(store: MonitorStore, start: datetime = HOUR) -> list[Any]:
    window = Window(start, start + HOURS)
    return list(store.list_predictions(baseline="b1", variant="AllTraffic", window=window))


def test_the_newest_grains_are_searched_first_and_no_more_than_needed(
    store: MonitorStore, objects: CountedObjects
) -> None:
    for hours in range(200):
        put_predictions(store, [f"h{hours}"], HOUR - hours * HOURS)
    assert search(store, ["h0"]) == [(HOUR, 1)]
    assert objects.of("predictions") <= 2
    assert search(store, ["h150", "h20"]) == [(HOUR - 20 * HOURS, 1), (HOUR - 150 * HOURS, 1)]
    assert objects.of("predictions") < 200


def test_what_was_read_once_is_kept(store: MonitorStore, objects: CountedObjects) -> None:
    for hours in range(50):
        put_predictions(store, [f"h{hours}"], HOUR - hours * HOURS)
    assert search(store, ["h49"]) == [(HOUR - 49 * HOURS, 1)]
    assert objects.of("predictions") == 50
    assert search(store, ["h48"]) == [(HOUR - 48 * HOURS, 1)]
    assert objects.of("predictions") == 0
    # Another version is read anew.
    put_predictions(store, ["other", "more"], HOUR)
    assert search(store, ["more"]) == [(HOUR, 1)]
    assert objects.of("predictions") == 1


def test_a_reused_id_is_looked_up_in_its_newest_grain(store: MonitorStore) -> None:
    put_predictions(store, ["a"], HOUR - 3 * HOURS)
    put_predictions(store, ["a"], HOUR)
    assert search(store, ["a"]) == [(HOUR, 1)]


def test_the_sum_of_a_grain_saves_reading_what_it_is_the_sum_of(
    store: MonitorStore, objects: CountedObjects
) -> None:
    for number in range(FEW_PREDICTIONS + 4):
        put_predictions(store, [f"n{number}"], number=number)
    read_grains(store, {HOUR: parts_of(store)})
    put_predictions(store, ["new"], number=1000)
    objects.of("predictions")
    assert search(store, ["n0", "n5", "new", "nobody"]) == [(HOUR, 3)]
    assert objects.of("predictions") == 2


def test_a_grain_of_many_files_is_left_to_its_evaluation(
    store: MonitorStore, objects: CountedObjects
) -> None:
    names = [f"n{number}" for number in range(FEW_PREDICTIONS + 1)]
    for number, name in enumerate(names):
        put_predictions(store, [name], number=number)
    put_received(store, labels_for(names))
    assert search(store, names) == []
    assert objects.of("predictions") == 0
    assert wait(store, read_grains(store, {HOUR: parts_of(store)})[HOUR]) == len(names)


def test_a_damaged_file_does_not_keep_other_labels_from_being_matched(store: MonitorStore) -> None:
    put_predictions(store, ["a"], HOUR - HOURS)
    store.objects.write(put_predictions(store, ["b"], number=2), b"damaged")
    put_predictions(store, ["c"], number=3)
    assert search(store, ["a", "b", "c"]) == [(HOUR, 1), (HOUR - HOURS, 1)]


def test_baselines_that_were_in_force_are_searched() -> None:
    history = tuple(
        Promotion(baseline=f"b{number}", model=None, since=HOUR - (50 - 10 * number) * DAYS)
        for number in range(4)
    )
    current = Current(baseline="b4", model=None, since=HOUR - 10 * DAYS, history=history)
    assert baselines_since(current, HOUR - 35 * DAYS) == ["b4", "b3", "b2", "b1"]
    assert baselines_since(current, HOUR) == ["b4"]
    assert baselines_since(OLD, HOUR) == ["b1"]


def test_kept_values_are_bounded_by_their_bytes() -> None:
    recent: Recent[int] = Recent(most_bytes=100)
    for number in range(10):
        recent.put(("space", str(number), "tag"), number, 30)
        recent.get(("space", "0", "tag"))
    kept = [n for n in range(10) if recent.get(("space", str(n), "tag")) is not None]
    assert kept == [0, 8, 9]
    recent.put(("space", "huge", "tag"), 1, 1000)
    assert recent.get(("space", "huge", "tag")) is None


def put_received(store: MonitorStore, labels: Labels, number: int = 99) -> str:
    key = store.received_labels_key(collected=HOUR + DAYS, digest=digest_of(number))
    store.objects.write(key, encode_labels(labels))
    return key


def wait(store: MonitorStore, predictions: Predictions, start: datetime = HOUR) -> int:
    waiting = find_waiting(store, CONFIG, variant="AllTraffic", grains=[start])
    return waiting.match({start: predictions})


def matched(store: MonitorStore) -> Labels:
    files = store.list_matched_labels(variant="AllTraffic", window=Window(HOUR, HOUR + HOURS))
    return merge_labels(decode_labels(store.objects.read(one.key)) for one in files)


def test_labels_that_were_all_matched_are_not_read_again(
    store: MonitorStore, objects: CountedObjects
) -> None:
    key = put_received(store, labels_for(["a", "b"]))
    assert wait(store, predicted(["a", "b", "c"])) == 2
    left = next(iter(objects.list(key)))
    assert left.size == len(encode_labels(merge_labels(())))
    objects.of("labels")
    assert wait(store, predicted(["a", "b", "c"])) == 0
    assert objects.of("labels") == 0


def test_two_functions_that_match_at_once_lose_nothing(
    store: MonitorStore, objects: CountedObjects
) -> None:
    key = put_received(store, labels_for(["a", "b", "c", "d"]))

    def place(names: list[str]) -> FoundLabels:
        labels = labels_for(["a", "b", "c", "d"]).matching(np.sort(ids_of(names)))
        return FoundLabels(variant="AllTraffic", grain_start=HOUR, labels=labels)

    objects.before_write = lambda: add_matched(store, place(["a", "b"]), digest=digest_of(99))
    add_matched(store, place(["c"]), digest=digest_of(99))
    objects.before_write = lambda: add_matched(store, place(["d"]), digest=digest_of(99))
    add_matched(store, place(["a", "c", "d"]), digest=digest_of(99))
    assert matched(store).distinct == 4
    objects.before_write = lambda: remove_received(store, key, np.sort(ids_of(["a"])))
    remove_received(store, key, np.sort(ids_of(["b", "c"])))
    left = decode_labels(store.objects.read(key))
    assert left.ids.tolist() == ids_of(["d"]).tolist()


def test_whoever_is_always_beaten_gives_up_and_says_so(
    store: MonitorStore, objects: CountedObjects
) -> None:
    key = put_received(store, labels_for(["z"]))
    numbers = iter(range(100))

    def beat() -> None:
        LocalObjects.write(objects, key, encode_labels(labels_for(["z", f"n{next(numbers)}"])))
        objects.before_write = beat

    objects.before_write = beat
    with pytest.raises(ConflictError):
        remove_received(store, key, ids_of(["z"]))


def test_nothing_is_received_twice_where_nothing_is_left(store: MonitorStore) -> None:
    remove_received(store, "loans/labels/received/2026/03/02/10/nothing.labels", ids_of(["a"]))
    assert list(store.objects.list("loans/")) == []
    assert wait(store, merge_predictions(())) == 0


def test_labels_of_other_days_are_not_looked_at(
    store: MonitorStore, objects: CountedObjects
) -> None:
    put_received(store, labels_for(["a"]))
    assert wait(store, predicted(["a"], HOUR + 5 * DAYS), HOUR + 5 * DAYS) == 0
    assert wait(store, predicted(["a"], HOUR - 120 * DAYS), HOUR - 120 * DAYS) == 0
    assert objects.of("labels") == 0
