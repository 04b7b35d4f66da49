"""Outcomes of windows whose monitor was promoted, migrated or configured anew since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.outcome_baseline import OutcomeBaseline, encode_outcome_baseline
from driftgauge.outcome_verdict import OutcomesVerdict
from tests.unit.lambda_world import STORE, World, deployed
from tests.unit.outcome_store import (
    HOUR,
    HOURS,
    LATER,
    add_baseline,
    arrive,
    capture,
    label,
    labelled_training,
    outcome_monitor,
    report,
    truth_of,
    verdict,
    wrong,
)

NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}
BIAS = {"facets": [{"column": "region", "values": ["south"]}]}
# More than a monitor looks back for windows of any age.
MANY_PROMOTIONS = 6


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path, outcome_monitor()) as world:
        add_baseline(world)
        yield world


def quality_of(found: OutcomesVerdict) -> str:
    assert found.quality is not None
    return found.quality.verdict


def test_labels_of_a_window_before_many_promotions_are_judged_by_its_own_baseline(
    world: World,
) -> None:
    first = world.store.read_current()[0].baseline
    scores = capture(world)
    arrive(world, at=LATER)
    before = report(world, "verdicts.json")
    for number in range(MANY_PROMOTIONS):
        add_baseline(world, labelled_training(rows=400, seed=9), name=f"later-{number}")
    assert arrive(world, label(world, wrong(truth_of(scores))), at=LATER) == NOTHING_FAILED
    assert report(world, "verdicts.json") == before
    found = verdict(world)
    assert (found.baseline_version, quality_of(found)) == (first, "decay")


def test_what_labels_said_of_the_old_model_falls_silent_with_the_new_one(world: World) -> None:
    label(world, wrong(truth_of(capture(world))))
    arrive(world, at=LATER)
    world.printed()
    second = add_baseline(world, labelled_training(seed=2), name="promoted")
    start = HOUR + HOURS
    scores = capture(world, hour=start)
    arrive(world, at=LATER + HOURS)
    told = [line for line in world.metrics() if "QualityDecay" in line]
    assert [line["QualityDecay"] for line in told] == [[0.0]]
    assert told[0]["_aws"]["Timestamp"] != (start + HOURS).timestamp() * 1000
    assert verdict(world, start).baseline_version == second

    arrive(world, at=LATER + HOURS)
    assert not any("QualityDecay" in line for line in world.metrics())
    arrive(world, label(world, wrong(truth_of(scores)), hour=start), at=LATER + 2 * HOURS)
    assert [line["QualityDecay"] for line in world.metrics() if "QualityDecay" in line][-1] != [0.0]


def test_alarms_that_labels_have_told_nothing_are_told_nothing_of_a_new_baseline(
    world: World,
) -> None:
    capture(world)
    arrive(world, at=LATER)
    assert not any("QualityDecay" in line for line in world.metrics())


@contextmanager
def configured(world: World, config: MonitorConfig) -> Iterator[None]:
    """Deploy another configuration of the monitor."""
    runtime = world.function("runtime").runtime()
    before, runtime.monitors = runtime.monitors, MonitorSet(monitors=(config,))
    try:
        yield
    finally:
        runtime.monitors = before


@pytest.mark.parametrize(
    "changes",
    [
        {"bias": {"facets": [{"column": "amount", "above": 100.0}]}},
        {"outcomes": {"segments": ["region"]}},
        {"outcomes": {"segments": ["region"]}, "bias": {**BIAS, "group": "amount"}},
    ],
)
def test_predictions_from_before_a_column_was_asked_for_are_judged_without_it(
    world: World, changes: dict[str, Any]
) -> None:
    scores = capture(world)
    arrive(world, at=LATER)
    event = label(world, wrong(truth_of(scores)))
    with configured(world, outcome_monitor(**changes)):
        assert arrive(world, event, at=LATER) == NOTHING_FAILED
    assert quality_of(verdict(world)) == "decay"


@pytest.mark.parametrize("mode", ["sound", "strict"])
def test_bias_rings_where_the_baseline_knows_of_bias_alone(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    mode: str,
) -> None:
    config = outcome_monitor(mode=mode, bias={**BIAS, "min_rows": 30})
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        version = add_baseline(world)
        store = world.store
        known = world.function("runtime").runtime().outcome_baseline(store, version)
        assert known is not None
        alone = OutcomeBaseline(spec=known.spec, analysis=known.analysis)
        world.put(
            STORE,
            store.baseline_key(version, "outcomes.msgpack"),
            encode_outcome_baseline(alone),
        )
        world.function("runtime").runtime()._outcomes.clear()
        label(world, wrong(truth_of(capture(world))))
        world.printed()
        arrive(world, at=LATER)
        found = verdict(world)
        assert found.quality is None
        assert found.bias is not None
        published = [line["BiasDrift"] for line in world.metrics() if "BiasDrift" in line]
        assert published == [[len(found.bias.drifted)]]
        if mode == "strict":
            assert found.bias_drift
