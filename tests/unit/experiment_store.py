"""Experiments in the store of a deployment in miniature."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.config import MonitorConfig
from driftgauge.experiments.blocks import Blocks
from driftgauge.experiments.codec import decode_blocks
from driftgauge.labels.codec import encode_labels
from driftgauge.labels.standing import LabelCounts
from driftgauge.labels.truth import labels_of
from driftgauge.quality.counts import count_outcomes
from driftgauge.quality.outcomes import Outcomes
from driftgauge.windows import Window
from lambdas.inputs import EvaluatedInputs
from lambdas.outcomes import GrainCounts, counting_of, encode_grains
from tests.unit.lambda_world import CAPTURES, World, batch, capture_lines
from tests.unit.outcome_store import HOUR, HOURS, LATER, outcome_monitor, stored_events

CHAMPION, CHALLENGER = "blue", "green"
NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}


def compared(kind: str, *, window: str = "1h", **settings: Any) -> MonitorConfig:
    """A monitor of two variants with one experiment, since HOUR."""
    experiment: dict[str, Any] = {
        "name": "june",
        "kind": kind,
        "champion": CHAMPION,
        "challenger": CHALLENGER,
        "since": HOUR.isoformat(),
        **settings,
    }
    if kind == "ab":
        experiment = {
            "primary": {"name": "accuracy", "effect": 0.05},
            "clustering": "none",
            "min_duration": "1h",
            **experiment,
        }
    endpoint = {"name": "loans-endpoint", "variants": [CHAMPION, CHALLENGER]}
    return outcome_monitor(endpoint=endpoint, experiments=[experiment], window=window)


def counted(
    world: World,
    variant: str,
    number: int,
    *,
    right: float = 0.8,
    rows: int = 400,
    at: timedelta = timedelta(0),
    grains: int = 1,
) -> dict[str, Any]:
    """Write what an evaluation would of a window, HOUR's and number after it; return its event.

    Each grain of an hour has those rows.
    """
    config = world.monitors.monitors[0]
    window = window_of(config, number)
    run = world.function("runtime").runtime()
    version = world.store.read_current()[0].baseline
    counting = counting_of(config, run.outcome_baseline(world.store, version))
    predicted = (np.arange(rows) % 2).astype(np.float64)
    wrong = np.arange(rows) >= round(right * rows)
    outcomes = Outcomes(
        problem="binary",
        classes=counting.spec.classes if counting.spec else (),
        labels=np.where(wrong, 1.0 - predicted, predicted),
        predictions=predicted,
        probabilities=None,
        segments={},
    )
    assert counting.spec is not None
    counts = [
        GrainCounts(
            start=window.start + at + place * HOURS,
            predictions=b"",
            labels=b"",
            standing=LabelCounts(rows=rows, records=rows, labelled=rows),
            counts=count_outcomes(counting.spec, outcomes),
            bias=None,
        )
        for place in range(grains)
    ]
    key = world.store.outcomes_key(baseline=version, variant=variant, window=window)
    world.put("store-bucket", key, encode_grains(counting, counts))
    return evaluated(world, variant, number)


def window_of(config: MonitorConfig, number: int) -> Window:
    """The window of HOUR, or the one that many after it."""
    return config.grid.window_of(HOUR + number * config.window)


def evaluated(
    world: World, variant: str, number: int, *, profiles: int = 1, when: datetime = LATER
) -> dict[str, Any]:
    """Write a window's inputs.json; return its event."""
    window = window_of(world.monitors.monitors[0], number)
    key = world.store.report_key(variant=variant, window=window, name="inputs.json")
    inputs = EvaluatedInputs(digest="d", profiles=profiles, evaluated_at=when)
    return world.put("store-bucket", key, msgspec.json.encode(inputs))


def judge(world: World, *events: dict[str, Any], moment: datetime = LATER) -> Any:
    """Deliver events of reports to the experiment function."""
    world.function("experiment")
    world.set_clock(moment)
    return world.call("experiment", batch(*events))


def past(world: World, *, windows: int = 3, rows: int = 400) -> None:
    """Let the champion have a past."""
    for number in range(-windows, 0):
        counted(world, CHAMPION, number, rows=rows)


def both(
    world: World, numbers: Sequence[int], *, right: float, share: float = 0.5, rows: int = 800
) -> dict[str, Any]:
    """Count windows of both variants; return the last event."""
    event: dict[str, Any] = {}
    for number in numbers:
        counted(world, CHAMPION, number, rows=round(rows * (1 - share)))
        event = counted(world, CHALLENGER, number, rows=round(rows * share), right=right)
    return event


def blocks(world: World) -> Blocks:
    """What is kept of the experiment."""
    return decode_blocks(world.store.objects.read("loans/experiments/june/blocks"))


def files(world: World) -> set[str]:
    """Names of the experiment's files."""
    return {key.rpartition("/")[2] for key in world.keys("loans/experiments/june/")}


def capture_variant(
    world: World, variant: str, number: int, *, rows: int = 400, **options: Any
) -> None:
    """Capture and profile requests of one hour; both variants have the same ids."""
    hour = HOUR + number * HOURS
    key = f"captures/loans-endpoint/{variant}/{hour:%Y/%m/%d/%H}/a.jsonl"
    body = capture_lines(rows, hour=hour, prefix=f"a-{hour:%d%H}", **options)
    world.profile(world.put(CAPTURES, key, body))


def label_variant(world: World, variant: str, number: int, labels: Sequence[int]) -> None:
    """Store labels of the captured requests of one hour."""
    hour = HOUR + number * HOURS
    truths = [
        GroundTruth(event_id=f"a-{hour:%d%H}-{i}", labels=(float(value),))
        for i, value in enumerate(labels)
    ]
    digest = sha256(f"{variant} {hour}".encode()).hexdigest()[:32]
    collected = hour + HOURS
    found = labels_of(truths, collected=collected, modified=collected, digest=digest)
    key = world.store.matched_labels_key(variant=variant, grain_start=hour, digest=digest)
    world.put("store-bucket", key, encode_labels(found))


def evaluate(world: World, number: int) -> None:
    """Evaluate the window HOUR + number hours of both variants."""
    world.function("evaluate")
    world.set_clock(LATER)
    start = HOUR + number * HOURS
    world.call("evaluate", {"monitor": "loans", "window_start": start.isoformat()})


def reports(world: World) -> list[dict[str, Any]]:
    """The events of all inputs.json."""
    return [
        event
        for event in stored_events(world, "loans/reports/")
        if event["detail"]["object"]["key"].endswith("inputs.json")
    ]
