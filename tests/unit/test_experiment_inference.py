"""Evidence that holds at all looks, by each method."""

from __future__ import annotations

import numpy as np
import pytest

from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm
from driftgauge.experiments.bernstein import Bernstein
from driftgauge.experiments.blocks import Block, Blocks, Series, blocks_of
from driftgauge.experiments.design import Design
from driftgauge.experiments.fixed import Staged
from driftgauge.experiments.mismatch import judge_mismatch
from driftgauge.experiments.sequential import Msprt, estimate, log_mixture, mixture_bound
from tests.unit.experiment_world import HOUR, START


def series(n: list[float], m: list[float], x: list[float], y: list[float]) -> Series:
    """Return rates: rows and hits of the champion and the challenger."""
    return Series(
        center=0.0,
        champion_rows=np.array(n),
        challenger_rows=np.array(m),
        champion_sums=np.array(x),
        challenger_sums=np.array(y),
        champion_squares=np.array(x),
        challenger_squares=np.array(y),
    )


def test_time_and_share_together_are_no_difference() -> None:
    # The rate falls from 50 % to 10 % while the challenger's share grows: Simpson's paradox.
    found = estimate(series([900, 100], [100, 900], [450, 10], [50, 90]), "none")
    assert found.difference.tolist() == pytest.approx([0.0, 0.0])


def test_blocks_without_rows_of_both_arms_say_nothing() -> None:
    found = estimate(series([0, 100, 100], [50, 0, 100], [0, 10, 10], [50, 0, 30]), "none")
    assert np.isnan(found.difference[:2]).all()
    assert found.difference[2] == pytest.approx(0.2)
    assert found.information.tolist() == [0.0, 0.0, 50.0]
    assert found.known.tolist() == [False, False, True]


def test_a_small_arm_without_events_has_the_variance_of_both() -> None:
    found = estimate(series([950], [50], [95], [0]), "none")
    pooled = 0.095 * 0.905 * 1000 / 999
    assert found.variance[0] == pytest.approx(pooled / 47.5)


def test_the_variance_of_equal_blocks_is_that_of_two_proportions() -> None:
    found = estimate(series([100] * 4, [100] * 4, [10] * 4, [30] * 4), "none")
    expected = 0.2 * 0.8 * 800 / 799 * (1 / 400 + 1 / 400)
    assert found.variance[-1] == pytest.approx(expected)


def test_the_dispersion_is_learnt_from_ten_blocks() -> None:
    rng = np.random.default_rng(1)
    rate = rng.beta(10, 90, 60)
    hits = rng.binomial(500, rate).astype(float)
    found = estimate(series([500] * 60, [500] * 60, [50] * 60, hits.tolist()), "blocks")
    assert np.isnan(found.dispersion[:9]).all()
    # Variance of a beta law with 100 rows: 500 rows vary about six times as much as independent
    # ones, and the champion's do not vary at all.
    assert 2.0 < found.dispersion[-1] < 4.5
    alone = estimate(series([500] * 60, [500] * 60, [50] * 60, hits.tolist()), "none")
    np.testing.assert_allclose(found.variance[9:], (alone.variance * found.dispersion)[9:])


def test_independent_rows_have_a_dispersion_of_one() -> None:
    rng = np.random.default_rng(2)
    hits = rng.binomial(100, 0.2, (2, 2000)).astype(float)
    found = estimate(
        series([100] * 2000, [100] * 2000, hits[0].tolist(), hits[1].tolist()), "blocks"
    )
    assert found.dispersion[-1] == pytest.approx(1.0, abs=0.08)


def test_the_mixture_is_a_martingale_without_a_difference() -> None:
    # Its mean under the standard normal law is 1 for any variance: integrated numerically.
    z, step = np.linspace(-80, 80, 16_001, retstep=True)
    for variance in (1e-3, 0.01, 1.0, 100.0):
        logs = log_mixture(z, np.full_like(z, variance), (0.05, 0.1)) - 0.5 * z * z
        mean = float(np.exp(logs).sum()) * step / np.sqrt(2 * np.pi)
        assert mean == pytest.approx(1.0, abs=1e-6)


def test_the_mixture_is_finite_far_from_its_limit() -> None:
    logs = log_mixture(np.array([-1e4, -30.0, 0.0, 30.0, 1e4]), np.full(5, 1e-6), (0.1,))
    assert np.isfinite(logs).all()
    assert (np.diff(logs) > 0).all()


def test_a_bound_is_where_the_evidence_reaches_its_threshold() -> None:
    variance = np.array([1e-5, 1e-3, 0.1])
    for scales in ((0.02,), (0.02, 0.04, 0.08)):
        z = mixture_bound(0.01, variance, scales)
        np.testing.assert_allclose(log_mixture(z, variance, scales), -np.log(0.01), rtol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_bounds_and_evidence_of_the_msprt_agree(sign: int) -> None:
    found = estimate(series([100] * 4, [80] * 4, [10, 12, 9, 11], [20, 14, 18, 9]), "none")
    test = Msprt(estimates=found, scales_up=(0.05,), scales_down=(0.05, 0.1, 0.2))
    bound = test.bound(0.02, sign)  # type: ignore[arg-type]
    for look, limit in enumerate(bound.tolist()):
        logs = test.log_evidence(limit, sign)  # type: ignore[arg-type]
        assert logs[look] == pytest.approx(-np.log(0.02))


def test_bounds_and_evidence_of_bernstein_agree() -> None:
    values = series([100] * 4, [80] * 4, [10, 12, 9, 11], [20, 14, 18, 9])
    test = Bernstein(
        estimates=estimate(values, "none"), series=values, low=0.0, high=1.0, guess=0.1
    )
    for sign in (1, -1):
        bound = test.bound(0.02, sign)
        for look, limit in enumerate(bound.tolist()):
            logs = test.log_evidence(limit, sign)
            assert logs[look] == pytest.approx(-np.log(0.02), abs=1e-6)
    low, high = test.bound(0.02, 1), test.bound(0.02, -1)
    assert (low < test.estimates.difference).all() and (test.estimates.difference < high).all()


def test_bernstein_scales_with_the_range() -> None:
    values = series([100.0] * 3, [100.0] * 3, [10, 12, 9], [20, 14, 18])
    one = Bernstein(estimates=estimate(values, "none"), series=values, low=0.0, high=1.0)
    stretched = Series(
        center=0.0,
        champion_rows=values.champion_rows,
        challenger_rows=values.challenger_rows,
        champion_sums=5 * values.champion_sums,
        challenger_sums=5 * values.challenger_sums,
        champion_squares=25 * values.champion_squares,
        challenger_squares=25 * values.challenger_squares,
    )
    five = Bernstein(estimates=estimate(stretched, "none"), series=stretched, low=0.0, high=5.0)
    np.testing.assert_allclose(five.bound(0.05, 1), 5 * one.bound(0.05, 1))
    np.testing.assert_allclose(five.log_evidence(0.1, 1), one.log_evidence(0.02, 1))


def test_bernstein_refuses_values_outside_their_bounds() -> None:
    values = series([100], [100], [10], [20])
    found = estimate(values, "none")
    with pytest.raises(ExperimentError, match="widen the metric's"):
        Bernstein(estimates=found, series=values, low=0.0, high=0.15)
    with pytest.raises(ExperimentError, match="cannot be between"):
        Bernstein(estimates=found, series=values, low=1.0, high=1.0)


def test_bernstein_errs_less_often_than_it_may() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(300):
        hits = rng.binomial(40, 0.02, (2, 100)).astype(float)
        values = series([40] * 100, [40] * 100, hits[0].tolist(), hits[1].tolist())
        test = Bernstein(
            estimates=estimate(values, "none"), series=values, low=0.0, high=1.0, guess=0.02
        )
        wrong += bool((test.bound(0.025, 1) > 0).any() or (test.bound(0.025, -1) < 0).any())
    assert wrong <= 15


def test_stages_are_tested_once_however_often_one_looks() -> None:
    rng = np.random.default_rng(5)
    hits = rng.binomial(20, 0.3, (2, 100)).astype(float)
    values = series([20] * 100, [20] * 100, hits[0].tolist(), hits[1].tolist())
    found = estimate(values, "none")
    test = Staged(estimates=found, method="pocock", stages=5, planned=1000.0)
    assert test.ends.tolist() == [19, 39, 59, 79, 99]
    low = test.bound(0.025, 1)
    assert np.isneginf(low[:19]).all()
    assert len(set(low[19:].tolist())) <= 5
    assert (np.diff(low[19:]) >= 0).all()


def test_a_p_value_of_stages_is_where_their_bound_excludes_the_limit() -> None:
    values = series([100] * 10, [100] * 10, [10] * 10, [14] * 10)
    found = estimate(values, "none")
    for method in ("pocock", "obrien_fleming", "fixed"):
        stages = 1 if method == "fixed" else 5
        test = Staged(estimates=found, method=method, stages=stages, planned=500.0)
        p = float(np.exp(-test.log_evidence(0.0, 1)[-1]))
        assert 0 < p < 0.05
        assert test.bound(p, 1)[-1] == pytest.approx(0.0, abs=1e-6)
        assert np.exp(-test.log_evidence(0.0, -1)[-1]) >= 0.5


def test_a_plan_with_more_power_needs_more_information() -> None:
    design = Design(
        method="msprt",
        stages=1,
        alpha_better=0.025,
        alpha_worse=0.025,
        alpha_no_gain=0.01,
        effect=0.02,
        deviation=0.3,
    )
    needed = [design.required(power) for power in (0.6, 0.8, 0.9)]
    assert needed == sorted(needed)
    assert design.power(needed[1]) == pytest.approx(0.8, abs=1e-3)
    assert design.expected(needed[2], 0.02) < 0.6 * needed[2]
    assert design.expected(needed[2], 0.04) < 0.3 * needed[2]


def test_bernstein_is_planned_with_more_traffic_than_the_msprt() -> None:
    needed = [
        Design(
            method=method,
            stages=1,
            alpha_better=0.025,
            alpha_worse=0.025,
            alpha_no_gain=0.01,
            effect=0.02,
            deviation=0.3,
        ).required(0.9)
        for method in ("fixed", "msprt", "empirical_bernstein")
    ]
    assert needed == sorted(needed)
    tiny = Design(
        method="empirical_bernstein",
        stages=1,
        alpha_better=0.025,
        alpha_worse=0.025,
        alpha_no_gain=0.01,
        effect=1e-7,
        deviation=0.3,
    )
    with pytest.raises(ExperimentError, match="no number of rows finds a difference of 1e-07"):
        tiny.required(0.9)


def requests(*pairs: tuple[float, int, int]) -> Blocks:
    """Return blocks of a share and the requests of both arms."""
    return blocks_of(
        Block(
            start=START + i * HOUR,
            share=share,
            champion=Arm(requests=champion),
            challenger=Arm(requests=challenger),
        )
        for i, (share, champion, challenger) in enumerate(pairs)
    )


def test_shares_that_change_between_blocks_are_no_mismatch() -> None:
    found = judge_mismatch(
        requests((0.05, 9500, 500), (0.5, 5010, 4990), (0.1, 8990, 1010)), alpha=0.001
    )
    assert not found.mismatch
    assert found.p_value == 1.0
    assert found.expected_share == pytest.approx(6500 / 30_000)


def test_a_share_that_is_never_the_planned_one_is_a_mismatch() -> None:
    assert judge_mismatch(requests(*[(0.1, 880, 120)] * 10), alpha=0.001).mismatch
    without = judge_mismatch(Blocks(), alpha=0.001)
    assert (without.share, without.expected_share, without.p_value) == (None, None, 1.0)
