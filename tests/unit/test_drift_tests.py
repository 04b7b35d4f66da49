"""The tests of one column: calibrated where cells are sparse, skewed or clustered."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.drift.ordered import order_tests
from driftgauge.drift.significance import (
    Significance,
    combine,
    independence,
    novelty,
    share_p_value,
)
from driftgauge.drift.special import hypergeometric_pmf, normal_sf

Counts = NDArray[np.int64]
Shares = tuple[float, ...]
P_VALUE = Callable[[Counts, Counts], float]
SHARES: dict[str, Shares] = {
    "even": (0.05,) * 20,
    "mostly one": (0.95, 0.03, 0.02),
    "one and a tail": (0.9, *(0.005,) * 20),
    "falling": tuple(
        (np.arange(1.0, 11.0) ** -1.2 / (np.arange(1.0, 11.0) ** -1.2).sum()).tolist()
    ),
}


def cells(b: Counts, a: Counts) -> float:
    return independence(b, a, np.zeros(b.shape[0], dtype=np.bool_)).p_value


def location(b: Counts, a: Counts) -> float:
    found = order_tests(b, a)
    assert found is not None
    return found[0].p_value


def scale(b: Counts, a: Counts) -> float:
    found = order_tests(b, a)
    assert found is not None
    return found[1].p_value


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("test", [cells, location, scale])
def test_p_values_are_as_rare_as_they_say(name: str, test: P_VALUE) -> None:
    rng = np.random.default_rng(len(name))
    shares, trials = np.array(SHARES[name]), 800
    found = []
    for i in range(trials):
        if i % 50 == 0:
            baseline = rng.multinomial(10_000, shares)
        found.append(test(baseline, rng.multinomial(200, shares)))
    for level in (0.002, 0.01, 0.05):
        most = trials * level + 4.0 * math.sqrt(trials * level)
        assert sum(p <= level for p in found) <= most
    # Sparse cells may be conservative, but not without any power.
    assert sum(p <= 0.05 for p in found) >= trials * 0.05 / 3.0


def test_a_score_that_hangs_on_few_rows_has_its_exact_permutation_law() -> None:
    # Three cells, of which the last two hold 4 and 3 rows of 60; 20 rows are drawn.
    pooled, drawn = np.array([53, 4, 3]), 20
    outcomes = {
        (x, y): hypergeometric_pmf(x, 4, drawn, 60) * hypergeometric_pmf(y, 3, drawn - x, 56)
        for x, y in product(range(5), range(4))
    }
    assert sum(outcomes.values()) == pytest.approx(1.0)
    statistics = {}
    for x, y in outcomes:
        window = np.array([drawn - x - y, x, y])
        found = order_tests(pooled - window, window, dispersion=0.3)
        assert found is not None
        statistics[x, y] = found[1].statistic * 0.3
    for (x, y), value in statistics.items():
        exact = sum(p for key, p in outcomes.items() if statistics[key] > value + 1e-9)
        mid = exact + sum(p for k, p in outcomes.items() if abs(statistics[k] - value) <= 1e-9) / 2
        if 1e-4 < mid < 0.1:
            # The normal law alone would be off by factors up to a hundred.
            assert 0.5 * mid < 2.0 * normal_sf(math.sqrt(value)) < 2.5 * mid, (x, y)


def test_clustered_rows_alarm_as_rarely_once_their_dispersion_is_known() -> None:
    rng = np.random.default_rng(3)
    shares, cluster = np.full(10, 0.1), 5
    naive, corrected = [], []
    for _ in range(300):
        b = rng.multinomial(2000, shares) * cluster
        a = rng.multinomial(60, shares) * cluster
        naive.append(min(location(b, a), cells(b, a)))
        ordered = order_tests(b, a, dispersion=float(cluster))
        assert ordered is not None
        plain = independence(b, a, np.zeros(10, dtype=np.bool_), dispersion=float(cluster))
        corrected.append((ordered[0].p_value, ordered[1].p_value, plain.p_value))
    assert sum(p <= 0.01 for p in naive) > 100
    for k in range(3):
        assert sum(p[k] <= 0.01 for p in corrected) <= 10  # 3 are expected


def test_a_rare_cluster_is_as_rare_as_a_single_row() -> None:
    # Clusters of 8 rows that are alike: 2 clusters of 50 against 3 of 5,000.
    known = share_p_value(16, 400, 24, 40_000, dispersion=8.0)
    single = share_p_value(2, 50, 3, 5000)
    assert share_p_value(16, 400, 24, 40_000) < 1e-9
    assert 0.2 * single < known < 2.0 * single


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_shares_differ_by_chance_as_often_as_their_p_value_says(share: float) -> None:
    rng = np.random.default_rng(5)
    trials = 2000
    here, there = rng.binomial(500, share, trials), rng.binomial(10_000, share, trials)
    found = [share_p_value(int(a), 500, int(b), 10_000) for a, b in zip(here, there, strict=True)]
    for level in (0.01, 0.05, 0.2):
        assert sum(p <= level for p in found) <= trials * level + 3.5 * math.sqrt(trials * level)
    assert sum(p <= 0.2 for p in found) >= trials * 0.2 / 2.0


def test_a_few_new_values_are_found_though_all_other_cells_are_as_before() -> None:
    baseline = np.array([*(1000,) * 10, 1])
    window = np.array([*(10,) * 9, 7, 3])
    novel = np.arange(11) == 10
    found = novelty(baseline, window, novel)
    assert found is not None
    assert found.p_value < 1e-5 < independence(baseline, window, novel).p_value
    assert novelty(baseline, np.append(window[:-1], 0), novel) is None


def test_tests_that_agree_weigh_more_than_one_alone() -> None:
    def outcome(p_value: float) -> Significance:
        return Significance(test="chi_squared", statistic=1.0, p_value=p_value)

    together = combine([(0.5, outcome(0.001)), (0.5, outcome(0.001))]).p_value
    alone = combine([(0.5, outcome(0.001)), (0.5, outcome(0.5))]).p_value
    assert together == pytest.approx(0.001)
    assert alone == pytest.approx(0.002, rel=0.01)
    assert combine([(0.5, outcome(0.0)), (0.5, outcome(1.0))]).p_value < 1e-290
    assert combine([(0.9, outcome(1.0)), (0.1, outcome(1.0))]).p_value == 1.0
