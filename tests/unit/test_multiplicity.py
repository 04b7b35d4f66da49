"""Corrections for many tests, with scipy and brute force as oracles."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from driftgauge.drift.multiplicity import adjust, benjamini_hochberg, holm


def closed(p_values: list[float], weights: list[float]) -> list[float]:
    """Adjust by the closure principle: weighted Bonferroni on every set of tests."""
    size = range(len(p_values))
    sets = [s for k in range(1, len(p_values) + 1) for s in combinations(size, k)]
    level = {
        s: min(1.0, min(p_values[i] / weights[i] for i in s) * sum(weights[i] for i in s))
        for s in sets
    }
    return [max(level[s] for s in sets if i in s) for i in size]


def test_holm_multiplies_the_smallest_most_and_stays_monotone() -> None:
    adjusted = holm(np.array([0.04, 0.001, 0.03, 0.5]))
    assert adjusted.tolist() == pytest.approx([0.09, 0.004, 0.09, 0.5])


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_the_closure_of_bonferroni_with_weights_and_without(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_values, weights = rng.uniform(size=6) ** 4, rng.uniform(0.05, 1.0, 6)
    plain = closed(p_values.tolist(), [1.0] * 6)
    assert holm(p_values).tolist() == pytest.approx(plain)
    weighted = closed(p_values.tolist(), weights.tolist())
    assert holm(p_values, weights=weights).tolist() == pytest.approx(weighted)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_benjamini_hochberg_agrees_with_scipy(size: int) -> None:
    p_values = np.random.default_rng(size).uniform(size=size) ** 3
    expected = stats.false_discovery_control(p_values, method="bh")
    assert benjamini_hochberg(p_values).tolist() == pytest.approx(expected.tolist())
    assert (benjamini_hochberg(p_values) <= holm(p_values) + 1e-15).all()


def test_weights_that_are_all_equal_change_nothing() -> None:
    p_values = np.array([0.2, 0.001, 0.04])
    for correction in (holm, benjamini_hochberg):
        same = correction(p_values, weights=np.full(3, 0.1))
        assert same.tolist() == pytest.approx(correction(p_values).tolist())


def test_no_test_needs_no_correction() -> None:
    assert holm(np.array([])).shape == (0,)
    assert benjamini_hochberg(np.array([])).shape == (0,)


def test_the_setting_chooses_the_method() -> None:
    p_values = np.array([0.01, 0.02])
    assert adjust(p_values, "holm").tolist() == [0.02, 0.02]
    assert adjust(p_values, "benjamini_hochberg").tolist() == [0.02, 0.02]
    assert adjust(np.array([0.02, 0.03]), "holm").tolist() == [0.04, 0.04]
    assert adjust(np.array([0.02, 0.03]), "benjamini_hochberg").tolist() == [0.03, 0.03]
