"""What the profile function keeps of rows besides profiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.labels.codec import decode_predictions, decode_sampled_rows
from driftgauge.labels.identity import ids_of
from driftgauge.store import S3Objects
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    VARIANT,
    World,
    capture_lines,
    deployed,
    monitor,
)

BIAS = {"facets": [{"column": "region", "values": ["south"]}]}


@contextmanager
def watching(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    **changes: Any,
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, folder, monitor(**changes)) as world:
        world.add_baseline(rows=300)
        yield world


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    asked: dict[str, Any] = {"outcomes": {"segments": ["region"]}, "attribution": {"rows": 30}}
    with watching(monkeypatch, capsys, tmp_path, **asked) as world:
        yield world


def test_predictions_and_a_sample_lie_beside_the_profile(world: World) -> None:
    body = capture_lines(50) + capture_lines(7, hour=HOUR - timedelta(hours=1), prefix="f")
    key = f"captures/loans-endpoint/{VARIANT}/{HOUR:%Y/%m/%d/%H}/a.jsonl"
    world.profile(world.put(CAPTURES, key, body))
    profiles = world.keys("loans/profiles/")
    for kind, ending in (("predictions", ".predictions"), ("samples", ".sample")):
        expected = [
            key.replace("/profiles/", f"/{kind}/").replace(".profile", ending) for key in profiles
        ]
        assert world.keys(f"loans/{kind}/") == expected
    early, late = map(decode_predictions, world.contents("loans/predictions/").values())
    assert (early.rows, late.rows) == (7, 50)
    assert set(late.columns) == {"score", "region"}
    np.testing.assert_array_equal(late.ids, np.sort(ids_of(f"e-{i}" for i in range(50))))
    small, large = map(decode_sampled_rows, world.contents("loans/samples/").values())
    assert (small.rows, small.population, large.rows, large.population) == (7, 7, 30, 50)
    assert set(large.columns) == {"score", "amount", "region"}


def test_they_are_written_before_the_profile_that_makes_the_window_be_evaluated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write = S3Objects.write

    def watched(self: S3Objects, key: str, data: bytes, **options: Any) -> None:
        order.append(key.split("/")[1])
        write(self, key, data, **options)

    monkeypatch.setattr(S3Objects, "write", watched)
    world.profile(world.capture(rows=5))
    assert order == ["predictions", "samples", "profiles"]


def test_an_event_delivered_twice_changes_no_byte_of_them(world: World) -> None:
    event = world.capture(rows=50)
    world.profile(event)
    before = world.contents("loans/")
    world.profile(event, event)
    assert world.contents("loans/") == before


def test_a_new_baseline_keeps_its_own(world: World) -> None:
    event = world.capture(rows=50)
    world.profile(event)
    (first,) = world.contents("loans/predictions/").values()
    world.add_baseline(rows=400, seed=2)
    world.profile(event)
    assert list(world.contents("loans/predictions/").values()) == [first, first]


def test_a_capture_of_rejected_rows_alone_keeps_no_rows(world: World) -> None:
    body = capture_lines(4).replace(b'"eventMetadata"', b'"metadata"')
    key = f"captures/loans-endpoint/{VARIANT}/{HOUR:%Y/%m/%d/%H}/a.jsonl"
    assert world.profile(world.put(CAPTURES, key, body)) == {"batchItemFailures": []}
    assert len(world.keys("loans/profiles/")) == 1
    assert not world.keys("loans/predictions/") + world.keys("loans/samples/")


def test_a_monitor_keeps_only_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cases: list[tuple[dict[str, Any], int, int]] = [
        ({}, 0, 0),
        ({"outcomes": {}}, 1, 0),
        ({"attribution": {}}, 0, 1),
        ({"outcomes": {}, "bias": BIAS}, 1, 1),
    ]
    for changes, predictions, samples in cases:
        with watching(monkeypatch, capsys, tmp_path, **changes) as world:
            world.profile(world.capture(rows=5))
            assert len(world.keys("loans/predictions/")) == predictions
            assert len(world.keys("loans/samples/")) == samples


def test_captured_attributions_are_sampled_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capture = {"prefix": "captures", "outputs": ["score", "shap_amount", "shap_region", "shape"]}
    asked: dict[str, Any] = {"capture": capture, "attribution": {"source": "captured"}}
    with watching(monkeypatch, capsys, tmp_path, **asked) as world:
        scores: list[Any] = ["0.4,0.1,-0.2,7"] * 5
        world.profile(world.capture(rows=5, scores=scores))
        (sample,) = map(decode_sampled_rows, world.contents("loans/samples/").values())
        assert set(sample.columns) == {"score", "amount", "region", "shap_amount", "shap_region"}
