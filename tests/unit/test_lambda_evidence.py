"""Evidence over time and references in the deployed evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from driftgauge.drift.assessment import Assessment
from driftgauge.drift.evidence import EvidenceState, decode_evidence
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import ConflictError, StoreError
from driftgauge.store import S3Objects
from driftgauge.windows import Window, format_time
from tests.unit.lambda_world import (
    HOUR,
    STORE,
    VARIANT,
    World,
    batch,
    deployed,
    monitor,
    training_csv,
)

LENGTH = timedelta(hours=1)


def window(number: int) -> Window:
    return Window(HOUR + number * LENGTH, HOUR + (number + 1) * LENGTH)


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    references = [{"kind": "trailing", "windows": 2}, {"kind": "season", "period": "3h"}]
    with deployed(monkeypatch, capsys, tmp_path, monitor(references=references)) as world:
        world.add_baseline()
        yield world


def traffic(world: World, *numbers: int, rows: int = 200, shift: float = 0.0) -> None:
    for number in numbers:
        one = window(number)
        world.profile(
            world.capture(
                rows, hour=one.start, seed=50 + number, shift=shift, prefix=f"w{number}-{rows}"
            )
        )


def evaluate(world: World, *numbers: int) -> None:
    for number in numbers:
        event = {"monitor": "loans", "window_start": format_time(window(number).start)}
        world.call("evaluate", event)


def verdict(world: World, number: int) -> WindowVerdict:
    return world.store.read_verdict(variant=VARIANT, window=window(number))


def evidence(world: World) -> EvidenceState:
    (key,) = world.keys("loans/evidence/")
    version = world.store.read_current()[0].baseline
    assert key == f"loans/evidence/{version}/{VARIANT}.evidence"
    return decode_evidence(world.store.objects.read(key))


def test_every_window_is_in_the_evidence_once_however_often_it_is_evaluated(world: World) -> None:
    traffic(world, 0, 1)
    evaluate(world, 0, 1)
    before = world.contents("loans/evidence/")
    evaluate(world, 1, 0, 1)
    assert world.contents("loans/evidence/") == before
    assert evidence(world).windows == (1, 1)


def test_late_rows_of_an_older_window_join_its_entry(world: World) -> None:
    traffic(world, 0, 1)
    evaluate(world, 0, 1)
    world.profile(world.capture(70, name="late", seed=9, prefix="late"))
    evaluate(world, 0)
    assert evidence(world).rows == (270, 200)
    assert verdict(world, 0).persistent is not None
    # Of the older window the evidence up to it is judged, of the newer one both.
    counted = [verdict(world, n).persistent for n in (0, 1)]
    assert [one.windows for one in counted if one] == [1, 2]


def test_two_evaluations_at_once_both_end_up_in_the_evidence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic(world, 0, 1)
    real = S3Objects.write
    rivals = iter([1])

    def write(self: S3Objects, key: str, data: bytes, **options: Any) -> None:
        if key.startswith("loans/evidence/") and next(rivals, None):
            # Another evaluation stores its window just before this one does.
            evaluate(world, 1)
        real(self, key, data, **options)

    monkeypatch.setattr(S3Objects, "write", write)
    evaluate(world, 0)
    assert evidence(world).windows == (1, 1)
    assert verdict(world, 0).rows == verdict(world, 1).rows == 200


def test_evidence_that_others_always_change_first_is_an_error(world: World) -> None:
    from lambdas.evidence import assess_with_evidence

    version = world.store.read_current()[0].baseline
    traffic(world, 0)
    evaluate(world, 0)
    found = verdict(world, 0)
    attempts: list[int] = []

    def assess(state: EvidenceState) -> Assessment:
        attempts.append(len(attempts))
        stored = replace(state, rows=tuple(1000 + len(attempts) for _ in state.rows))
        world.store.objects.write(
            world.store.evidence_key(baseline=version, variant=VARIANT),
            _encoded(stored),
        )
        return Assessment(verdict=found, evidence=replace(state, rows=(1,)))

    with pytest.raises(ConflictError, match="8 times in a row"):
        assess_with_evidence(world.store, baseline=version, variant=VARIANT, assess=assess)
    assert len(attempts) == 8


def _encoded(state: EvidenceState) -> bytes:
    from driftgauge.drift.evidence import encode_evidence

    return encode_evidence(state)


def test_damaged_evidence_says_what_to_do(world: World) -> None:
    traffic(world, 0)
    evaluate(world, 0)
    (key,) = world.keys("loans/evidence/")
    world.store.objects.write(key, b"damaged")
    with pytest.raises(StoreError, match="delete it, and the evidence starts anew"):
        evaluate(world, 0)


def test_a_shift_that_no_window_shows_rings_after_some_windows(world: World) -> None:
    # 0.3 deviations in windows of 40 rows, which are too few to be judged one by one.
    traffic(world, *range(10), rows=40)
    traffic(world, *range(10, 40), rows=40, shift=6.0)
    world.printed()
    evaluate(world, *range(40))
    lines = world.printed()
    ratios = [line["PersistentDrift"][0] for line in lines if "PersistentDrift" in line]
    assert len(ratios) == 40
    assert ratios[:7] == [0.0] * 7
    assert max(ratios[7:10]) < 0.5
    assert ratios[-1] > ratios[9]
    units = {
        one["Name"]: one["Unit"]
        for line in lines
        if "_aws" in line
        for one in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert units["PersistentDrift"] == "None"
    said = [line["persistent"] for line in lines if line.get("message") == "window evaluated"]
    assert said[-1]["windows"] == 40
    assert "aspect" not in str(said[-1])


def test_a_window_says_whether_its_columns_go_together_as_before(world: World) -> None:
    traffic(world, 0)
    world.printed()
    evaluate(world, 0)
    (metrics,) = [line for line in world.metrics() if "WindowRows" in line]
    assert metrics["JointDrift"] == [0.0]


def test_references_are_made_of_the_stored_profiles(world: World) -> None:
    traffic(world, 0, 1, 2, shift=25.0)
    traffic(world, 3)
    evaluate(world, 3)
    trailing, season = verdict(world, 3).references
    assert (trailing.windows, trailing.rows) == (2, 400)
    assert (season.windows, season.rows) == (1, 200)
    assert "amount" in trailing.drifted and "amount" in season.drifted
    (line,) = [line for line in world.printed() if line.get("message") == "window evaluated"]
    assert [one["name"] for one in line["references"]] == ["trailing 2", "1 x 3h before"]


def test_a_seasonal_column_is_reported_and_rings_nothing(world: World) -> None:
    traffic(world, 0, 3, shift=25.0)
    traffic(world, 1, 2)
    world.printed()
    evaluate(world, 3)
    lines = world.printed()
    (metrics,) = [line for line in lines if "DriftedFeatures" in line]
    assert metrics["DriftedFeatures"] == metrics["DriftedPredictions"] == [0.0]
    assert metrics["Violations"] == [0.0]
    (line,) = [line for line in lines if line.get("message") == "window evaluated"]
    assert line["seasonal"] == ["score", "amount"]
    assert line["alarm"] is False
    page = world.store.objects.read("loans/reports/AllTraffic/2026/03/02/13/report.html")
    assert b"seasonal" in page


def test_a_new_baseline_starts_its_own_evidence(world: World) -> None:
    traffic(world, 0)
    evaluate(world, 0)
    event = world.put(STORE, "loans/training-data/second.csv", training_csv(900, seed=5))
    world.call("baseline", batch(event))
    traffic(world, 1)
    evaluate(world, 1)
    assert len(world.keys("loans/evidence/")) == 2
    found = verdict(world, 1)
    assert found.persistent is not None and found.persistent.windows == 1
    assert [one.windows for one in found.references] == [0, 0]


def test_strict_mode_keeps_no_evidence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, monitor(mode="strict")) as world:
        world.add_baseline()
        traffic(world, 0)
        world.printed()
        evaluate(world, 0)
        assert world.keys("loans/evidence/") == []
        names = {name for line in world.metrics() for name in line}
        assert not {"PersistentDrift", "JointDrift"} & names
