"""Tail probabilities, with scipy as the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from driftgauge.drift.special import (
    binomial_log_pmf,
    chi_squared_sf,
    fisher_p_value,
    hypergeometric_pmf,
    hypergeometric_sf,
    kolmogorov_sf,
    ks_p_value,
    noncentral_chi_squared_sf,
    noncentrality_for,
    normal_isf,
    normal_sf,
    weighted_chi_squared_sf,
)

TAILS = [1e-300, 1e-100, 1e-20, 1e-6, 1e-3, 0.01, 0.05, 0.3, 0.5, 0.9, 0.999]
WEIGHTS = tuple(1.0 / (k * (k + 1)) for k in range(1, 9))


@pytest.mark.parametrize("degrees", [1, 2, 3, 9, 49, 200, 1000])
@pytest.mark.parametrize("p", TAILS)
def test_the_chi_squared_tail_agrees_with_scipy(degrees: int, p: float) -> None:
    x = float(stats.chi2.isf(p, degrees))
    assert chi_squared_sf(x, degrees) == pytest.approx(float(stats.chi2.sf(x, degrees)), rel=1e-10)


def test_the_chi_squared_tail_is_one_at_zero_and_zero_far_out() -> None:
    assert chi_squared_sf(0.0, 3) == 1.0
    assert chi_squared_sf(5e-324, 3) == 1.0
    assert chi_squared_sf(-1.0, 3) == 1.0
    assert chi_squared_sf(1e6, 3) == 0.0


@pytest.mark.parametrize("p", TAILS)
def test_the_normal_quantile_undoes_the_normal_tail(p: float) -> None:
    assert normal_sf(normal_isf(p)) == pytest.approx(p, rel=1e-10)
    assert normal_isf(p) == pytest.approx(float(stats.norm.isf(p)), rel=1e-10)


@pytest.mark.parametrize("t", [0.1, 0.3, 0.6, 0.99, 1.0, 1.36, 2.0, 5.0, 15.0])
def test_the_kolmogorov_tail_agrees_with_scipy(t: float) -> None:
    assert kolmogorov_sf(t) == pytest.approx(float(special.kolmogorov(t)), rel=1e-10)


def test_the_kolmogorov_tail_is_one_at_zero() -> None:
    assert kolmogorov_sf(0.0) == 1.0


@pytest.mark.parametrize("n", [20, 50, 500])
def test_the_ks_p_value_is_close_to_the_exact_one(n: int) -> None:
    # Against a baseline so large that the test is a one-sample test.
    for statistic in (1.0 / math.sqrt(n), 1.5 / math.sqrt(n), 2.0 / math.sqrt(n)):
        exact = float(stats.kstwo.sf(statistic, n))
        assert ks_p_value(statistic, n, 10**9) == pytest.approx(exact, rel=0.1)


def test_hypergeometric_tails_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        total = int(10 ** rng.uniform(0.5, 6))
        drawn, marked = (int(rng.integers(1, total + 1)) for _ in range(2))
        mean = drawn * marked / total
        sd = math.sqrt(mean * (1 - drawn / total) * (1 - marked / total))
        k = int(mean + rng.normal() * 4 * sd)
        expected = float(stats.hypergeom.sf(k - 1, total, marked, drawn))
        found = hypergeometric_sf(k, marked, drawn, total)
        # The oracle itself loses digits with a million rows.
        assert found == pytest.approx(expected, rel=2e-9, abs=1e-280)


def test_a_hypergeometric_tail_beyond_the_support_is_one_or_zero() -> None:
    assert hypergeometric_sf(0, 5, 5, 10) == 1.0
    assert hypergeometric_sf(6, 5, 5, 10) == 0.0
    assert hypergeometric_sf(5, 5, 10, 10) == 1.0


def test_a_hypergeometric_tail_over_a_hundred_million_rows_is_finite_and_small() -> None:
    p = hypergeometric_sf(51_500, 100_000, 50_000_000, 100_000_000)
    assert 0.0 < p < 1e-15
    assert hypergeometric_sf(50_000, 100_000, 50_000_000, 100_000_000) == pytest.approx(
        0.5, abs=0.01
    )


@pytest.mark.parametrize(
    ("n", "p"), [(10, 0.3), (1000, 0.01), (1_000_000, 0.5), (5, 0.0), (5, 1.0)]
)
def test_binomial_probabilities_agree_with_scipy(n: int, p: float) -> None:
    for k in {0, 1, int(n * p), n}:
        expected = float(stats.binom.logpmf(k, n, p))
        assert binomial_log_pmf(k, n, p) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_tail_of_a_weighted_chi_squared_sum_agrees_with_simulation() -> None:
    rng = np.random.default_rng(3)
    draws = (rng.standard_normal((400_000, 8)) ** 2) @ np.array(WEIGHTS)
    for x in (0.2, 0.8, 1.5, 2.4, 3.9):
        expected = float((draws > x).mean())
        error = 4.0 * math.sqrt(expected * (1 - expected) / draws.size)
        assert weighted_chi_squared_sf(x, WEIGHTS) == pytest.approx(expected, abs=error)


def test_the_far_tail_of_a_weighted_chi_squared_sum_follows_its_heaviest_weight() -> None:
    # Zolotarev (1961): P(Q > x) ~ prod (1 - w_j / w_1)^(-1/2) P(w_1 Z^2 > x).
    factor = math.prod(1.0 - w / WEIGHTS[0] for w in WEIGHTS[1:]) ** -0.5
    for x in (100.0, 300.0):
        expected = factor * float(stats.chi2.sf(x / WEIGHTS[0], 1))
        assert weighted_chi_squared_sf(x, WEIGHTS) == pytest.approx(expected, rel=0.01)


def test_the_tail_of_two_weights_agrees_with_numerical_integration() -> None:
    w1, w2 = 0.5, 1.0 / 6.0
    for x in (0.5, 2.0, 6.0):
        angle = np.linspace(0.0, math.pi / 2, 20_001)
        # In polar coordinates the radius has an exponential tail for each angle.
        tail = np.exp(-x / 2.0 / (w1 * np.cos(angle) ** 2 + w2 * np.sin(angle) ** 2))
        expected = float(np.trapezoid(tail, angle)) * 2.0 / math.pi
        assert weighted_chi_squared_sf(x, (w1, w2)) == pytest.approx(expected, rel=1e-10)


def test_a_weighted_chi_squared_sum_is_certain_to_exceed_zero() -> None:
    assert weighted_chi_squared_sf(0.0, WEIGHTS) == 1.0


@pytest.mark.parametrize("degrees", [1, 2, 9, 60])
@pytest.mark.parametrize("noncentrality", [0.0, 1e-3, 0.5, 7.0, 120.0, 30_000.0])
def test_the_noncentral_chi_squared_tail_agrees_with_scipy(
    degrees: int, noncentrality: float
) -> None:
    law = stats.ncx2(degrees, noncentrality) if noncentrality else stats.chi2(degrees)
    for p in (1e-6, 0.025, 0.1, 0.5, 0.9, 0.975, 1.0 - 1e-6):
        x = float(law.isf(p))
        found = noncentral_chi_squared_sf(x, degrees, noncentrality)
        assert found == pytest.approx(float(law.sf(x)), abs=1e-10)


def test_the_noncentral_chi_squared_tail_is_one_at_zero_and_zero_far_out() -> None:
    assert noncentral_chi_squared_sf(0.0, 3, 5.0) == 1.0
    assert noncentral_chi_squared_sf(1e6, 3, 5.0) == 0.0
    assert noncentral_chi_squared_sf(1e4, 9, 1e6) == pytest.approx(1.0)


@pytest.mark.parametrize("degrees", [1, 9, 19])
@pytest.mark.parametrize("probability", [0.025, 0.9, 0.975])
def test_a_noncentrality_gives_the_probability_it_was_asked_for(
    degrees: int, probability: float
) -> None:
    for x in (0.5, 5.0, 40.0, 900.0, 1e5):
        found = noncentrality_for(x, degrees, probability)
        if found == 0.0:
            assert chi_squared_sf(x, degrees) >= probability
        else:
            tail = float(stats.ncx2.sf(x, degrees, found))
            assert tail == pytest.approx(probability, abs=1e-7)


def test_two_sided_exact_p_values_agree_with_scipy() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        n, m = (int(10 ** rng.uniform(0.3, 3.5)) for _ in range(2))
        share = rng.uniform() ** 3
        here, there = int(rng.binomial(n, share)), int(rng.binomial(m, share * rng.uniform(0.4, 1)))
        expected = float(stats.fisher_exact([[here, there], [n - here, m - there]]).pvalue)
        found = fisher_p_value(here, here + there, n, n + m)
        assert found == pytest.approx(expected, rel=1e-8)


def test_a_two_sided_p_value_over_a_hundred_million_rows_is_that_of_the_normal_law() -> None:
    # 50,000 are expected, and the standard deviation is 158.
    p = fisher_p_value(50_316, 100_000, 50_000_000, 100_000_000)
    assert p == pytest.approx(2.0 * float(stats.norm.sf(315.5 / 158.03)), rel=0.01)


def test_hypergeometric_probabilities_add_up_to_one() -> None:
    chances = [hypergeometric_pmf(k, 7, 9, 20) for k in range(-1, 9)]
    assert sum(chances) == pytest.approx(1.0)
    assert chances[0] == chances[-1] == 0.0
