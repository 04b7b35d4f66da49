"""Champion against challenger."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from driftgauge.errors import TrainingError
from driftgauge.training.comparison import (
    area_under_curve,
    compare_scores,
    decode_comparison,
    encode_comparison,
    log_losses,
    measure_quality,
    student_quantile,
)

Array = NDArray[np.float64]


def days(rows: int, count: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(count, dtype=np.int64) * 86_400, rows // count)


def flips(rows: int, seed: int) -> tuple[Array, Array]:
    """Return true probabilities and labels drawn from them."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.05, 0.6, rows)
    return truth, (random.random(rows) < truth).astype(float)


def test_quality_of_four_rows_worked_by_hand() -> None:
    quality = measure_quality(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.8, 0.4, 0.4, 0.2]))
    assert quality.log_loss == pytest.approx(-np.log([0.8, 0.6, 0.4, 0.8]).mean())
    assert quality.brier == pytest.approx((0.04 + 0.16 + 0.36 + 0.04) / 4)
    assert quality.auc == pytest.approx(3.5 / 4)


def test_area_under_curve_is_the_mann_whitney_statistic() -> None:
    random = np.random.default_rng(3)
    labels = (random.random(200) < 0.3).astype(float)
    scores = random.integers(0, 20, 200).astype(float)
    statistic = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    expected = statistic / ((labels == 1).sum() * (labels == 0).sum())
    assert area_under_curve(labels, scores) == pytest.approx(expected)


def test_a_certain_score_that_is_wrong_costs_much_but_not_infinitely_much() -> None:
    losses = log_losses(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert np.isfinite(losses).all()
    assert (losses > 30).all()


@pytest.mark.parametrize("freedom", [9, 18, 60, 1000])
@pytest.mark.parametrize("probability", [0.05, 0.9, 0.95, 0.99])
def test_student_quantiles_agree_with_scipy(probability: float, freedom: int) -> None:
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=1e-3)


def test_a_better_challenger_wins() -> None:
    truth, labels = flips(4000, seed=1)
    champion = np.full(4000, truth.mean())
    comparison = compare_scores(labels, champion, truth, times=days(4000, 20))
    assert comparison.challenger_wins
    assert 0 < comparison.low < comparison.improvement < comparison.high
    assert comparison.improvement == pytest.approx(
        comparison.champion.log_loss - comparison.challenger.log_loss
    )
    assert (comparison.cluster, comparison.clusters) == ("day", 20)
    assert "is better" in comparison.reason


def test_the_champion_stays_against_its_equal() -> None:
    truth, labels = flips(1000, seed=2)
    comparison = compare_scores(labels, truth, truth, times=days(1000, 10))
    assert not comparison.challenger_wins
    assert (comparison.improvement, comparison.low, comparison.high) == (0.0, 0.0, 0.0)


def test_the_champion_stays_against_a_worse_challenger() -> None:
    truth, labels = flips(1000, seed=2)
    comparison = compare_scores(labels, truth, 1.0 - truth, times=days(1000, 10))
    assert not comparison.challenger_wins
    assert "not better" in comparison.reason


def test_an_improvement_below_the_required_one_does_not_win() -> None:
    truth, labels = flips(4000, seed=1)
    champion = np.full(4000, truth.mean())
    won = compare_scores(labels, champion, truth, times=days(4000, 20))
    lost = compare_scores(
        labels, champion, truth, times=days(4000, 20), min_improvement=won.low + 1e-9
    )
    assert not lost.challenger_wins
    assert "not surely better" in lost.reason


def test_a_challenger_no_better_than_the_champion_rarely_wins() -> None:
    wins = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        # Labels of one day move together; both models err by as much, in opposite directions.
        shift = np.repeat(random.normal(0.0, 0.4, 20), 30)
        odds = random.normal(-1.0, 0.5, 600)
        labels = (random.random(600) < 1 / (1 + np.exp(-odds - shift))).astype(float)
        champion, challenger = (1 / (1 + np.exp(-odds - bias)) for bias in (-0.2, 0.2))
        comparison = compare_scores(labels, champion, challenger, times=days(600, 20))
        wins += comparison.challenger_wins
    # The true difference is close to zero, so about 5 % may win; rows taken as independent
    # would let far more through.
    assert 0.01 * 400 < wins < 0.1 * 400


@pytest.mark.parametrize(("step", "unit"), [(3_600, "hour"), (60, "row")])
def test_a_short_holdout_is_clustered_by_shorter_units(step: int, unit: str) -> None:
    truth, labels = flips(60, seed=4)
    times = np.arange(60, dtype=np.int64) * step
    comparison = compare_scores(labels, truth, truth, times=times)
    assert comparison.cluster == unit
    assert comparison.clusters == 60


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0.0, 1.0], [0.5, 0.5], "too few"),
        ([0.0] * 20, [0.5] * 20, "both labels"),
        ([0.0, 1.0] * 10, [0.5, 1.5] * 10, "probabilities"),
        ([0.0, 1.0] * 10, [0.5, np.nan] * 10, "probabilities"),
        ([0.0, np.nan] * 10, [0.5, 0.5] * 10, "a label"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    labels: list[float], scores: list[float], message: str
) -> None:
    values = np.array(scores)
    with pytest.raises(TrainingError, match=message):
        compare_scores(
            np.array(labels), values, values, times=np.zeros(len(scores), dtype=np.int64)
        )


def test_a_comparison_survives_storage() -> None:
    truth, labels = flips(1000, seed=5)
    comparison = compare_scores(labels, truth, truth, times=days(1000, 10))
    assert decode_comparison(encode_comparison(comparison)) == comparison


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"rows": 1}'])
def test_a_comparison_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        decode_comparison(data)
