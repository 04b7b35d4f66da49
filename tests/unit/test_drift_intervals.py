"""Confidence intervals of distances, and the smallest shift a window shows, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from driftgauge.drift.detectable import detectable_shift
from driftgauge.drift.distances import psi, psi_bias
from driftgauge.drift.intervals import psi_interval
from driftgauge.drift.ordered import order_tests
from driftgauge.drift.significance import independence

DECILES = stats.norm.ppf(np.arange(11) / 10)
FINE = stats.norm.ppf(np.arange(257) / 256)


@pytest.mark.parametrize("rows", [50, 200, 2000])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 1.0])
def test_an_interval_holds_the_distance_of_the_populations_nineteen_times_in_twenty(
    rows: int, shift: float
) -> None:
    rng = np.random.default_rng(rows)
    p, q = np.full(10, 0.1), np.diff(stats.norm.cdf(DECILES - shift))
    truth = psi(p, q, smoothing=0.0)
    held = 0
    for _ in range(300):
        b, a = rng.multinomial(10_000, p), rng.multinomial(rows, q)
        low, high = psi_interval(b, a, baseline_rows=10_000, window_rows=rows)
        held += low <= truth <= high
    # 285 are expected; 271 are 3.7 standard deviations below.
    assert held >= 271


def test_the_interval_of_clustered_rows_holds_the_distance_once_their_dispersion_is_known() -> None:
    rng = np.random.default_rng(1)
    p, q, cluster = np.full(10, 0.1), np.diff(stats.norm.cdf(DECILES - 0.5)), 4
    truth, held, blind = psi(p, q, smoothing=0.0), 0, 0
    for _ in range(300):
        b, a = rng.multinomial(2500, p) * cluster, rng.multinomial(100, q) * cluster
        rows = {"baseline_rows": 10_000, "window_rows": 400}
        low, high = psi_interval(b, a, dispersion=float(cluster), **rows)
        held += low <= truth <= high
        low, high = psi_interval(b, a, **rows)
        blind += low <= truth <= high
    assert blind < 240
    assert held >= 270


def test_an_interval_of_one_cell_is_a_point() -> None:
    assert psi_interval([100], [10], baseline_rows=100, window_rows=10) == (0.0, 0.0)


def test_an_interval_of_equal_samples_starts_at_zero() -> None:
    low, high = psi_interval([500, 500], [50, 50], baseline_rows=1000, window_rows=100)
    assert low == 0.0
    assert high >= 0.0


@pytest.mark.parametrize("rows", [50, 100, 500, 2000])
def test_nine_windows_in_ten_show_the_detectable_shift(rows: int) -> None:
    rng = np.random.default_rng(rows)
    level = 0.01 / 20
    shift = detectable_shift(
        baseline_rows=10_000,
        window_rows=rows,
        cells=min(10, rows // 10),
        ordered=True,
        level=level,
        min_effect=0.02,
    )
    groups = min(10, rows // 10)
    coarse = np.arange(256) * groups // 256
    # A tenth less is found clearly less often than nine times in ten, a tenth more clearly oftener.
    found = {}
    for factor in (0.9, 1.0, 1.1):
        q = np.diff(stats.norm.cdf(FINE - factor * shift))
        hits = 0
        for _ in range(200):
            b, a = rng.multinomial(10_000, np.full(256, 1 / 256)), rng.multinomial(rows, q)
            ordered = order_tests(b, a)
            assert ordered is not None
            index = psi(*(np.bincount(coarse, weights=side) for side in (b, a)))
            effect = index - psi_bias(groups, 10_000, rows)
            hits += ordered[0].p_value <= level and effect > 0.02
        found[factor] = hits / 200
    assert found[0.9] < 0.9 < found[1.1]
    assert found[1.0] == pytest.approx(0.9, abs=0.07)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_detectable_shift_of_a_share_is_right_to_about_a_tenth(share: float) -> None:
    rng = np.random.default_rng(7)
    rows, level = 400, 0.001
    shift = detectable_shift(
        baseline_rows=20_000,
        window_rows=rows,
        cells=2,
        ordered=False,
        level=level,
        min_effect=0.02,
    )
    found = {}
    for factor in (0.85, 1.15):
        moved = share + factor * shift * math.sqrt(share * (1.0 - share))
        hits = 0
        for _ in range(400):
            there, here = int(rng.binomial(20_000, share)), int(rng.binomial(rows, moved))
            b, a = np.array([there, 20_000 - there]), np.array([here, rows - here])
            significant = independence(b, a, np.zeros(2, dtype=np.bool_)).p_value <= level
            hits += significant and psi(b, a) - psi_bias(2, 20_000, rows) > 0.02
        found[factor] = hits / 400
    assert found[0.85] < 0.9 < found[1.15] + 0.03


def test_more_rows_fewer_columns_and_less_clustering_show_smaller_shifts() -> None:
    def shift(*, rows: int = 200, level: float = 5e-4, dispersion: float = 1.0) -> float:
        return detectable_shift(
            baseline_rows=10_000,
            window_rows=rows,
            cells=10,
            ordered=True,
            level=level,
            min_effect=0.02,
            dispersion=dispersion,
        )

    assert shift(rows=400) < shift() < shift(rows=100)
    assert shift(level=0.01) < shift()
    assert shift(dispersion=4.0) == pytest.approx(2.0 * shift(), rel=0.02)
    # However large the window: an effect of 0.02 nats is 0.14 standard deviations.
    assert shift(rows=10_000_000) == pytest.approx(0.145, abs=0.02)
