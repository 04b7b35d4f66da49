"""Predictions, labels and row samples in the store of a deployment in miniature."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.columns import RowBatch
from driftgauge.config import MonitorConfig
from driftgauge.labels.codec import encode_labels, encode_predictions
from driftgauge.labels.predictions import predictions_of
from driftgauge.labels.truth import labels_of
from driftgauge.outcome_verdict import OutcomesVerdict, decode_outcomes_verdict
from driftgauge.windows import Window
from tests.columns import column_of
from tests.unit.lambda_world import (
    STORE,
    VARIANT,
    World,
    batch,
    created,
    monitor,
    scores_of,
    values,
)

# Objects are written at the present time, and CloudWatch takes no metrics older than two weeks.
HOUR = (datetime.now(UTC) - timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
HOURS = timedelta(hours=1)
WINDOW = Window(HOUR, HOUR + HOURS)
LATER = HOUR + timedelta(days=3)


def outcome_monitor(**changes: Any) -> MonitorConfig:
    """A monitor of hourly windows that is told of labels; its alarms take large changes only."""
    quality = {"tolerance": 0.1, "relative_tolerance": 0.2}
    return monitor(**{"outcomes": {}, "quality": quality, **changes})


def labelled_training(rows: int = 4000, *, seed: int = 1) -> bytes:
    """Training data whose labels are as probable as the scores say."""
    amounts, regions = values(rows, seed=seed)
    scores = scores_of(amounts)
    late = truth_of(scores, seed=seed)
    lines = ["late,score,amount,region"]
    for label, score, amount, region in zip(late, scores, amounts, regions, strict=True):
        lines.append(f"{label},{score},{amount},{region}")
    return ("\n".join(lines) + "\n").encode()


def truth_of(scores: Sequence[float], *, seed: int = 3) -> list[int]:
    """Labels that the scores predict."""
    chance = np.random.default_rng(seed + 1000).random(len(scores))
    labels: list[int] = (chance < np.array(scores)).astype(int).tolist()
    return labels


def wrong(labels: Sequence[int]) -> list[int]:
    """The opposite of each label."""
    return [1 - label for label in labels]


def add_baseline(world: World, data: bytes | None = None, *, name: str = "train") -> str:
    """Drop labelled training data, and return the version of its baseline."""
    key = f"loans/training-data/{name}.csv"
    event = world.put(STORE, key, labelled_training() if data is None else data)
    assert world.call("baseline", batch(event)) == {"batchItemFailures": []}
    return world.store.read_current()[0].baseline


def capture(
    world: World,
    rows: int = 600,
    *,
    hour: datetime = HOUR,
    name: str = "a",
    seed: int = 11,
    **options: Any,
) -> list[float]:
    """Profile a capture object with its predictions and row sample; return its scores."""
    prefix = f"{name}-{hour:%d%H}"
    world.profile(world.capture(rows, hour=hour, name=name, seed=seed, prefix=prefix, **options))
    amounts, _ = values(rows, seed=seed)
    return scores_of(amounts)


def label(
    world: World,
    labels: Sequence[int],
    *,
    hour: datetime = HOUR,
    name: str = "a",
    of: str = "a",
    first: int = 0,
    delay: timedelta = HOURS,
) -> dict[str, Any]:
    """Store matched labels of one ground-truth object, and return the event of the file.

    ``of`` is the capture object that is labelled, from its row ``first`` on.
    """
    truths = [
        GroundTruth(event_id=f"{of}-{hour:%d%H}-{first + i}", labels=(float(value),))
        for i, value in enumerate(labels)
    ]
    digest = sha256(f"{name} {hour}".encode()).hexdigest()[:32]
    collected = hour + delay
    found = labels_of(truths, collected=collected, modified=collected, digest=digest)
    key = world.store.matched_labels_key(variant=VARIANT, grain_start=hour, digest=digest)
    return world.put(STORE, key, encode_labels(found))


def verdict(world: World, hour: datetime = HOUR) -> OutcomesVerdict:
    """The verdict on a window's outcomes."""
    return decode_outcomes_verdict(report(world, "outcomes.json", hour=hour))


def report(world: World, name: str, *, hour: datetime = HOUR) -> bytes:
    """One file of a window's report."""
    window = Window(hour, hour + HOURS)
    return world.store.objects.read(
        world.store.report_key(variant=VARIANT, window=window, name=name)
    )


def arrive(world: World, *events: dict[str, Any], at: datetime | None = None) -> Any:
    """Deliver events to the evaluation once nothing is young any more; default: all profiles."""
    world.function("evaluate")
    infos = world.store.objects.list("loans/")
    newest = max(info.modified for info in infos)
    world.set_clock(at or newest + timedelta(minutes=2))
    return world.call("evaluate", batch(*(events or world.profile_events())))


def stored_events(world: World, prefix: str) -> list[dict[str, Any]]:
    """The events of all objects below a prefix."""
    return [created(STORE, info.key, info.tag) for info in world.store.objects.list(prefix)]


def batch_of(rows: int, *, hour: datetime = HOUR, seed: int = 11, prefix: str = "a") -> RowBatch:
    """The rows that a capture object of the same seed holds."""
    amounts, regions = values(rows, seed=seed)
    moments = [int((hour + timedelta(seconds=3599 * i // rows)).timestamp()) for i in range(rows)]
    return RowBatch(
        rows=rows,
        records=rows,
        columns={
            "score": column_of(scores_of(amounts)),
            "amount": column_of(amounts),
            "region": column_of(regions),
        },
        inference_time=np.array(moments, dtype=np.int64),
        event_ids=[f"{prefix}-{hour:%d%H}-{i}" for i in range(rows)],
        record_of_row=np.arange(rows, dtype=np.int32),
    )


def put_predictions(
    world: World, rows: int, *, hour: datetime = HOUR, name: str = "a", seed: int = 11
) -> list[float]:
    """Store a file of predictions without any capture; return the scores."""
    version = world.store.read_current()[0].baseline
    digest = sha256(f"{name} {hour}".encode()).hexdigest()[:32]
    some = predictions_of(batch_of(rows, hour=hour, seed=seed, prefix=name), ("score", "region"))
    key = world.store.predictions_key(
        baseline=version, variant=VARIANT, grain_start=hour, digest=digest
    )
    world.put(STORE, key, encode_predictions(some))
    return scores_of(values(rows, seed=seed)[0])


def at(moment: datetime) -> int:
    """A time as CloudWatch's embedded metric format has it."""
    return int(moment.astimezone(UTC).timestamp() * 1000)
