"""Concept-drift detectors against the first detections of published test suites."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.drift.detectors import Adwin, Ddm, Detector, HddmA, HddmW, PageHinkley


def first_detection(detector: Detector, values: Sequence[float]) -> int:
    return next(i for i, value in enumerate(values) if detector.update(float(value)))


def random_integers() -> Sequence[float]:
    rng = np.random.RandomState(12345)
    return [*rng.randint(2, size=1000).tolist(), *rng.randint(8, size=1000).tolist()]


def bernoulli() -> Sequence[float]:
    rng = np.random.RandomState(12345)
    return [float(rng.binomial(1, p)) for p in [0.2] * 1000 + [0.8] * 1000]


def signs() -> Sequence[float]:
    rng = np.random.RandomState(12345)
    return [float(x > 0) for mean in (0, 0.25, 0, 0.25) for x in rng.normal(mean, 0.1, 500)]


def signs_once() -> Sequence[float]:
    rng = np.random.RandomState(1)
    return [float(x > 0) for mean in (0, 0.5) for x in rng.normal(mean, 0.1, 1000)]


def normals() -> Sequence[float]:
    rng = np.random.RandomState(31)
    parts = [rng.normal(mean, sd, 100) for mean, sd in ((0, 0.5), (4, 0.2), (6, 0.5))]
    return [float(x) for part in parts for x in part]


def choices() -> Sequence[float]:
    rng = random.Random(42)  # noqa: S311
    few, many = [0, 1], range(4, 8)
    return [float(x) for pool in (few, many, few, many) for x in rng.choices(pool, k=1000)]


Case = tuple[str, str, Callable[[], Detector], Callable[[], Sequence[float]]]

# The names in the document of the detector (how it begins) and of the stream (how it begins).
PUBLISHED: list[Case] = [
    ("ADWIN same", "s1", Adwin, random_integers),
    ("ADWIN", "rng=random", Adwin, choices),
    ("DDM", "s2", Ddm, bernoulli),
    ("DDM", "s4", Ddm, signs_once),
    ("HDDM_A(", "s2", HddmA, bernoulli),
    ("HDDM_A two_sided", "s3", lambda: HddmA(two_sided=True), signs),
    ("HDDM_A two-sided", "s4", lambda: HddmA(two_sided=True), signs_once),
    ("HDDM_W(", "s2", HddmW, bernoulli),
    ("HDDM_W two-sided", "s4", lambda: HddmW(two_sided=True), signs_once),
    ("PageHinkley", "s1", PageHinkley, random_integers),
    ("PageHinkley", "frouros", lambda: PageHinkley(min_updates=1), normals),
]
MEASURED: list[tuple[str, Callable[[], Detector], Callable[[], Sequence[float]]]] = [
    ("ADWIN(delta=0.002) s1", Adwin, random_integers),
    ("ADWIN s4", Adwin, signs_once),
    ("ADWIN frouros_stream", Adwin, normals),
    ("PageHinkley() s1", PageHinkley, random_integers),
    ("PH frouros_stream", lambda: PageHinkley(min_updates=1), normals),
    ("DDM s2", Ddm, bernoulli),
    ("DDM s4", Ddm, signs_once),
    ("HDDM_A s2", HddmA, bernoulli),
    ("HDDM_A two s3", lambda: HddmA(two_sided=True), signs),
    ("HDDM_W s2", HddmW, bernoulli),
    ("HDDM_W two s3", lambda: HddmW(two_sided=True), signs),
]


@pytest.fixture(scope="module")
def answers(shared: Path) -> Any:
    path = shared / "known_answers" / "concept_drift_detectors.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("method", "place", "make", "stream"), PUBLISHED)
def test_first_detections_are_those_of_published_suites(
    answers: Any,
    method: str,
    place: str,
    make: Callable[[], Detector],
    stream: Callable[[], Sequence[float]],
) -> None:
    (published,) = [
        case["expected"]
        for case in answers["published"]
        if case["detector"].startswith(method) and case["stream"].startswith(place)
    ]
    assert first_detection(make(), stream()) == published[0]


@pytest.mark.parametrize(("label", "make", "stream"), MEASURED, ids=[c[0] for c in MEASURED])
def test_first_detections_are_those_measured_with_river(
    answers: Any, label: str, make: Callable[[], Detector], stream: Callable[[], Sequence[float]]
) -> None:
    assert first_detection(make(), stream()) == answers["river_0_26_1_measured"][label][0]


@pytest.mark.parametrize(
    ("label", "make"), [("ADWIN skm drift_stream", Adwin), ("PH skm drift_stream", PageHinkley)]
)
def test_first_detections_on_a_recorded_stream(
    answers: Any, label: str, make: Callable[[], Detector]
) -> None:
    # A recording of the suite of scikit-multiflow.
    values = answers["streams"]["skm"]["values"]
    assert first_detection(make(), values) == answers["river_0_26_1_measured"][label][0]
