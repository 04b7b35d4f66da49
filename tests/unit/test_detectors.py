"""Concept-drift detectors: state, weights, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from driftgauge.drift.detectors import (
    Adwin,
    Ddm,
    Detector,
    DetectorError,
    HddmA,
    HddmW,
    PageHinkley,
    decode_detector,
    encode_detector,
    run_detector,
)

MAKERS: list[Callable[[], Detector]] = [Adwin, PageHinkley, Ddm, HddmA, HddmW]


def rising(rows: int = 3000, at: int = 1500) -> list[float]:
    rng = np.random.default_rng(3)
    values = rng.random(rows) < np.where(np.arange(rows) < at, 0.2, 0.5)
    return [float(value) for value in values]


def fired(detector: Detector, values: list[float]) -> list[int]:
    return [i for i, value in enumerate(values) if detector.update(value)]


@pytest.mark.parametrize("make", MAKERS)
def test_a_detector_read_back_goes_on_as_if_it_had_not_been_written(
    make: Callable[[], Detector],
) -> None:
    values = rising()
    whole = fired(make(), values)
    assert whole
    detector = make()
    early = fired(detector, values[:1490])
    restored = decode_detector(encode_detector(detector))
    assert restored == detector
    assert early + [1490 + i for i in fired(restored, values[1490:])] == whole


@pytest.mark.parametrize("make", MAKERS)
def test_the_state_does_not_grow_with_the_stream(make: Callable[[], Detector]) -> None:
    rng = np.random.default_rng(5)
    detector = make()
    fired(detector, (rng.random(20_000) < 0.2).astype(float).tolist())
    assert len(encode_detector(detector)) < 4000


@pytest.mark.parametrize("make", [PageHinkley, Ddm, HddmA, HddmW])
def test_an_increase_fires_and_a_decrease_does_not(make: Callable[[], Detector]) -> None:
    values = [float(i % 5 == 0) for i in range(1000)] + [0.0] * 1000
    assert fired(make(), values) == []


@pytest.mark.parametrize(
    "make", [Adwin, lambda: HddmA(two_sided=True), lambda: HddmW(two_sided=True)]
)
def test_two_sided_detectors_find_a_decrease(make: Callable[[], Detector]) -> None:
    values = [float(i % 2 == 0) for i in range(1000)] + [0.0] * 1000
    assert 1000 < fired(make(), values)[0] < 1100


def test_a_weight_is_as_many_outcomes_of_the_same_mean() -> None:
    # Sums of outcomes are all that these two keep, whatever the order within the weight.
    one_by_one, at_once = HddmA(), HddmA()
    for values in ([0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]):
        for value in values:
            one_by_one.update(value)
        at_once.update(sum(values) / 4, 4)
    assert (one_by_one.count, one_by_one.total) == (at_once.count, at_once.total) == (8.0, 2.0)
    single, weighted = Ddm(), Ddm()
    for value in [0.0, 1.0, 1.0, 0.0] * 10:
        single.update(value)
    weighted.update(0.5, 40)
    assert single.rate == pytest.approx(weighted.rate)
    assert single.count == weighted.count


def test_adwin_knows_the_variance_inside_a_weighted_value() -> None:
    detector = Adwin(clock=1)
    outcomes = np.repeat([0.0, 1.0], [30, 10])
    detector.update(0.25, 40)
    (bucket,) = detector.rows[0]
    assert bucket.squares == pytest.approx(40 * outcomes.var())
    assert detector.mean == 0.25


def test_adwin_keeps_the_mean_of_what_is_left_after_a_cut() -> None:
    detector = Adwin(clock=1)
    fired(detector, [0.0] * 500 + [1.0] * 500)
    assert detector.mean is not None
    assert detector.mean > 0.99


def test_adwin_merges_buckets_without_losing_count_mean_or_variance() -> None:
    rng = np.random.default_rng(8)
    values = rng.random(777)
    detector = Adwin()
    assert fired(detector, values.tolist()) == []
    buckets = [bucket for row in detector.rows for bucket in row]
    assert sum(bucket.count for bucket in buckets) == 777
    assert sum(bucket.total for bucket in buckets) == pytest.approx(values.sum())
    assert len(buckets) < 60
    # Deviations between buckets make up the rest of the variance.
    between = sum(b.count * (b.total / b.count - values.mean()) ** 2 for b in buckets)
    assert sum(b.squares for b in buckets) + between == pytest.approx(777 * values.var())


def test_hddm_w_bounds_the_mean_of_many_outcomes_more_tightly() -> None:
    windows = [0.2] * 30 + [0.4] * 30
    light, heavy = HddmW(), HddmW()
    assert [light.update(rate, 1) for rate in windows].count(True) == 0
    assert [heavy.update(rate, 1000) for rate in windows].index(True) == 30


def test_windows_without_rows_are_passed_over_and_clusters_count_less() -> None:
    windows = [(0.2, 500), (0.9, 0)] * 10 + [(0.3, 500)] * 20
    assert run_detector(HddmA(), windows) == (20,)
    assert run_detector(HddmA(), windows, design_effect=500.0) == ()


@pytest.mark.parametrize("make", [Ddm, HddmA, HddmW])
def test_outcomes_beyond_zero_and_one_are_refused_where_the_bound_needs_them(
    make: Callable[[], Detector],
) -> None:
    with pytest.raises(DetectorError, match="between 0 and 1"):
        make().update(1.5)


def test_a_mean_of_losses_beyond_one_cannot_be_weighted_in_adwin() -> None:
    detector = Adwin()
    assert not detector.update(7.0)
    with pytest.raises(DetectorError, match="between 0 and 1"):
        detector.update(7.0, 20)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("value", "weight"), [(float("nan"), 1.0), (0.5, 0.0), (0.5, -1.0), (0.5, float("inf"))]
)
def test_values_that_are_no_numbers_and_weights_of_nothing_are_refused(
    make: Callable[[], Detector], value: float, weight: float
) -> None:
    detector = make()
    with pytest.raises(DetectorError, match="finite"):
        detector.update(value, weight)
    assert detector == make()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type": "eddm"}', b'{"type": "ddm", "rate": "x"}'])
def test_a_state_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(DetectorError, match="cannot be read"):
        decode_detector(data)


def test_a_design_effect_is_a_positive_number() -> None:
    with pytest.raises(DetectorError, match="above 0"):
        run_detector(Ddm(), [(0.2, 10)], design_effect=0.0)
