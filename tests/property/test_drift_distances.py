"""Laws that distances and tests obey for any counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from driftgauge.drift.distances import (
    chi_squared,
    hellinger,
    jensen_shannon_distance,
    jensen_shannon_divergence,
    ks,
    l_infinity,
    psi,
    wasserstein_1,
)
from driftgauge.drift.ordered import merge_adjacent, order_tests
from driftgauge.drift.significance import independence
from driftgauge.drift.special import chi_squared_sf, hypergeometric_sf

Counts = NDArray[np.int64]
Distance = Callable[[Counts, Counts], float]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Counts, Counts]:
    cells = draw(st.integers(1, 40))
    count = st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 10**9))
    sides = []
    for _ in range(2):
        counts = draw(st.lists(count, min_size=cells, max_size=cells))
        if not any(counts):
            counts[draw(st.integers(0, cells - 1))] = 1
        sides.append(np.array(counts, dtype=np.int64))
    return sides[0], sides[1]


def psi_smoothed(p: Counts, q: Counts) -> float:
    return psi(p, q)


def w1(p: Counts, q: Counts) -> float:
    return wasserstein_1(p, q, np.arange(p.shape[0]) ** 1.5)


def chi_squared_statistic(p: Counts, q: Counts) -> float:
    return chi_squared(p, q)[0]


SYMMETRIC: list[Distance] = [
    psi_smoothed,
    ks,
    jensen_shannon_divergence,
    jensen_shannon_distance,
    w1,
    l_infinity,
    hellinger,
    chi_squared_statistic,
]
BOUNDED: list[Distance] = [
    ks,
    jensen_shannon_divergence,
    jensen_shannon_distance,
    l_infinity,
    hellinger,
]
UNORDERED: list[Distance] = [
    psi_smoothed,
    jensen_shannon_divergence,
    l_infinity,
    hellinger,
    chi_squared_statistic,
]


@pytest.mark.parametrize("distance", SYMMETRIC)
@settings(max_examples=40)
@given(pair=pairs())
def test_a_distance_is_symmetric(distance: Distance, pair: tuple[Counts, Counts]) -> None:
    p, q = pair
    assert distance(p, q) == pytest.approx(distance(q, p), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("distance", SYMMETRIC)
@settings(max_examples=40)
@given(pair=pairs())
def test_a_distance_is_finite_and_not_negative(
    distance: Distance, pair: tuple[Counts, Counts]
) -> None:
    value = distance(*pair)
    assert math.isfinite(value)
    assert value >= 0.0


@pytest.mark.parametrize("distance", SYMMETRIC)
@settings(max_examples=40)
@given(pair=pairs())
def test_a_distribution_has_no_distance_from_itself(
    distance: Distance, pair: tuple[Counts, Counts]
) -> None:
    p, _ = pair
    assert distance(p, p) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("distance", BOUNDED)
@settings(max_examples=40)
@given(pair=pairs())
def test_a_bounded_distance_ends_at_one(distance: Distance, pair: tuple[Counts, Counts]) -> None:
    assert distance(*pair) <= 1.0 + 1e-12


@pytest.mark.parametrize("distance", UNORDERED)
@settings(max_examples=40)
@given(pair=pairs(), seed=st.integers(0, 1000))
def test_the_order_of_categories_does_not_matter(
    distance: Distance, pair: tuple[Counts, Counts], seed: int
) -> None:
    p, q = pair
    order = np.random.default_rng(seed).permutation(p.shape[0])
    assert distance(p[order], q[order]) == pytest.approx(distance(p, q), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("distance", [ks, jensen_shannon_divergence, hellinger])
@settings(max_examples=40)
@given(pair=pairs(), at=st.integers(0, 39))
def test_merging_neighbors_never_increases_a_distance(
    distance: Distance, pair: tuple[Counts, Counts], at: int
) -> None:
    p, q = pair
    if p.shape[0] < 2:
        return
    starts = np.delete(np.arange(p.shape[0]), 1 + at % (p.shape[0] - 1))
    merged = distance(np.add.reduceat(p, starts), np.add.reduceat(q, starts))
    assert merged <= distance(p, q) + 1e-9


@settings(max_examples=40)
@given(pair=pairs())
def test_psi_without_smoothing_is_never_nan(pair: tuple[Counts, Counts]) -> None:
    value = psi(*pair, smoothing=0.0)
    assert value >= 0.0
    assert not math.isnan(value)


@settings(max_examples=40)
@given(pair=pairs(), mask=st.integers(0, 2**40 - 1))
def test_the_chi_squared_test_gives_a_probability_for_any_counts(
    pair: tuple[Counts, Counts], mask: int
) -> None:
    p, q = pair
    novel = np.array([bool(mask >> i & 1) for i in range(p.shape[0])])
    found = independence(p, q, novel)
    assert 0.0 <= found.p_value <= 1.0
    assert math.isfinite(found.statistic)


@settings(max_examples=40)
@given(pair=pairs())
def test_the_ordered_test_gives_a_probability_for_any_counts(pair: tuple[Counts, Counts]) -> None:
    both = order_tests(*pair)
    if both is not None:
        swapped = order_tests(pair[1], pair[0])
        assert swapped is not None
        for found, mirrored in zip(both, swapped, strict=True):
            assert 0.0 <= found.p_value <= 1.0
            assert math.isfinite(found.statistic)
            assert mirrored.statistic == pytest.approx(found.statistic, rel=1e-4, abs=1e-6)


@settings(max_examples=40)
@given(pair=pairs())
def test_the_ordered_test_does_not_care_which_end_is_first(pair: tuple[Counts, Counts]) -> None:
    # Merging starts at one end, so it must have nothing to merge.
    p, q = (side + 10**9 for side in pair)
    first, second = order_tests(p, q), order_tests(p[::-1], q[::-1])
    if first is None or second is None:
        assert first is second
    else:
        for forward, backward in zip(first, second, strict=True):
            assert backward.statistic == pytest.approx(forward.statistic, rel=1e-4, abs=1e-6)


@settings(max_examples=40)
@given(pair=pairs())
def test_merging_neighbors_keeps_every_row(pair: tuple[Counts, Counts]) -> None:
    b, a = merge_adjacent(*pair, expected=1.5)
    assert b.sum() == pair[0].sum()
    assert a.sum() == pair[1].sum()
    assert 1 <= b.shape[0] <= 64


@settings(max_examples=50)
@given(degrees=st.integers(1, 300), x=st.floats(0.0, 2000.0), step=st.floats(0.01, 100.0))
def test_the_chi_squared_tail_falls(degrees: int, x: float, step: float) -> None:
    assert chi_squared_sf(x + step, degrees) <= chi_squared_sf(x, degrees) + 1e-13


@settings(max_examples=50)
@given(
    marked=st.integers(0, 200),
    plain=st.integers(0, 200),
    drawn=st.integers(0, 400),
    k=st.integers(0, 200),
)
def test_the_two_hypergeometric_tails_cover_everything(
    marked: int, plain: int, drawn: int, k: int
) -> None:
    total = marked + plain
    drawn = min(drawn, total)
    upper = hypergeometric_sf(k, marked, drawn, total)
    lower = hypergeometric_sf(drawn - k + 1, plain, drawn, total)
    assert upper + lower == pytest.approx(1.0, abs=1e-9)
