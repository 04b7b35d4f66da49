"""Measures of quality from counts agree with definitions, other packages and resampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.errors import QualityError
from driftgauge.quality.counts import count_outcomes
from driftgauge.quality.curves import (
    average_precision,
    expected_average_precision,
    precision_recall_curve,
    roc_area,
    roc_curve,
)
from driftgauge.quality.metrics import Metric, measure
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.scores import BINS, bins_of
from driftgauge.quality.spec import OutcomeSpec, decode_spec, encode_spec, specify_outcomes
from tests.unit.quality_world import binary, multiclass, regression, without_labels, words


def measured(outcomes: Outcomes) -> dict[str, Metric]:
    return measure(count_outcomes(specify_outcomes(outcomes), outcomes))


@pytest.fixture(scope="module")
def sklearn() -> Any:
    return pytest.importorskip("sklearn.metrics")


def test_binary_measures_are_those_of_scikit_learn(sklearn: Any) -> None:
    outcomes = binary(5000, seed=1, bias=0.4)
    assert outcomes.probabilities is not None
    scores = np.asarray(np.round(outcomes.probabilities, 3), dtype=np.float64)
    outcomes = Outcomes(
        problem="binary",
        classes=outcomes.classes,
        labels=outcomes.labels,
        predictions=outcomes.predictions,
        probabilities=scores,
        segments={},
    )
    ours = {name: metric.value for name, metric in measured(outcomes).items()}
    y, p = outcomes.labels, outcomes.predictions
    theirs = {
        "recall": sklearn.recall_score(y, p),
        "precision": sklearn.precision_score(y, p),
        "accuracy": sklearn.accuracy_score(y, p),
        "true_negative_rate": sklearn.recall_score(y, p, pos_label=0),
        "f0_5": sklearn.fbeta_score(y, p, beta=0.5),
        "f1": sklearn.f1_score(y, p),
        "f2": sklearn.fbeta_score(y, p, beta=2),
        "f2_best_constant_classifier": sklearn.fbeta_score(y, np.ones_like(y), beta=2),
        "auc": sklearn.roc_auc_score(y, scores),
        "average_precision": sklearn.average_precision_score(y, scores),
        "brier_score": sklearn.brier_score_loss(y, scores),
        "log_loss": sklearn.log_loss(y, scores),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-12), name


def test_multiclass_measures_are_those_of_scikit_learn(sklearn: Any) -> None:
    outcomes = multiclass(4000, seed=2, noise=0.2)
    ours = {name: metric.value for name, metric in measured(outcomes).items()}
    y, p = outcomes.labels, outcomes.predictions
    assert ours["accuracy"] == pytest.approx(sklearn.accuracy_score(y, p))
    for name, beta in {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}.items():
        precision, recall, score, _ = sklearn.precision_recall_fscore_support(
            y, p, beta=beta, average="weighted"
        )
        assert ours[f"weighted_{name}"] == pytest.approx(score, rel=1e-12)
        assert ours["weighted_precision"] == pytest.approx(precision, rel=1e-12)
        assert ours["weighted_recall"] == pytest.approx(recall, rel=1e-12)
    assert ours["log_loss"] == pytest.approx(sklearn.log_loss(y, outcomes.probabilities))


def test_regression_measures_are_those_of_scikit_learn(sklearn: Any) -> None:
    outcomes = regression(3000, seed=3)
    ours = {name: metric.value for name, metric in measured(outcomes).items()}
    y, p = outcomes.labels, outcomes.predictions
    assert ours["mae"] == pytest.approx(sklearn.mean_absolute_error(y, p), rel=1e-13)
    assert ours["mse"] == pytest.approx(sklearn.mean_squared_error(y, p), rel=1e-13)
    assert ours["r2"] == pytest.approx(sklearn.r2_score(y, p), rel=1e-12)


def test_the_calibration_error_is_the_mean_gap_of_ten_equal_bins() -> None:
    outcomes = binary(2000, seed=4, bias=0.5)
    score, label = outcomes.probabilities, outcomes.labels
    assert score is not None
    place = np.minimum((score * 10).astype(int), 9)
    gaps = [abs((score - label)[place == i].sum()) for i in range(10)]
    value = measured(outcomes)["expected_calibration_error"].value
    assert value == pytest.approx(sum(gaps) / 2000, rel=1e-12)


def test_the_area_is_within_its_stated_bin_error_of_that_of_the_scores() -> None:
    for shift in (0.0, -8.0):
        outcomes = binary(4000, seed=5, shift=shift)
        score, label = outcomes.probabilities, outcomes.labels
        assert score is not None
        counts = count_outcomes(specify_outcomes(outcomes), outcomes).histogram[0].sum(axis=1)
        area = roc_area(counts[0], counts[1])
        above = score[label == 1][:, None] - score[label == 0][None, :]
        exact = ((above > 0) + 0.5 * (above == 0)).mean()
        assert 0 < abs(area.value - exact) <= area.bin_error < 1e-3


def test_moments_about_a_center_keep_r2_of_numbers_far_from_zero() -> None:
    near = measured(regression(500, seed=6))["r2"].value
    far = measured(regression(500, seed=6, center=2.0**33))["r2"].value
    assert far == pytest.approx(near, rel=1e-6)


def resampled(outcomes: Outcomes, repetitions: int = 300) -> dict[str, float]:
    rng = np.random.default_rng(0)
    spec = specify_outcomes(outcomes)
    found: dict[str, list[float]] = {}
    for _ in range(repetitions):
        part = outcomes.take(rng.integers(0, outcomes.rows, outcomes.rows))
        for name, metric in measure(count_outcomes(spec, part)).items():
            found.setdefault(name, []).append(metric.value)
    return {name: float(np.std(values)) for name, values in found.items()}


@pytest.mark.parametrize(
    "outcomes",
    [binary(800, seed=7, bias=0.3), multiclass(800, seed=8, noise=0.3), regression(800, seed=9)],
    ids=["binary", "multiclass", "regression"],
)
def test_standard_errors_are_those_of_resampling(outcomes: Outcomes) -> None:
    known = {
        name: metric.standard_error
        for name, metric in measured(outcomes).items()
        if math.isfinite(metric.standard_error) and metric.standard_error > 0
    }
    assert len(known) >= 4
    spread = resampled(outcomes)
    for name, error in known.items():
        assert error == pytest.approx(spread[name], rel=0.15), name


def test_the_standard_deviation_is_that_of_random_subsamples_of_four_fifths() -> None:
    outcomes = regression(1000, seed=10)
    spec = specify_outcomes(outcomes)
    rng = np.random.default_rng(0)
    values = [
        measure(count_outcomes(spec, outcomes.take(rng.permutation(1000)[:800])))["mae"].value
        for _ in range(300)
    ]
    assert measured(outcomes)["mae"].standard_deviation == pytest.approx(np.std(values), rel=0.12)


def test_measures_without_the_rows_they_are_about_are_not_numbers() -> None:
    outcomes = Outcomes(
        problem="binary",
        classes=("no", "yes"),
        labels=np.zeros(5),
        predictions=np.zeros(5),
        probabilities=np.full(5, 0.1),
        segments={},
    )
    metrics = measured(outcomes)
    for name in ("recall", "precision", "auc", "f1", "average_precision"):
        assert math.isnan(metrics[name].value)
    assert metrics["accuracy"].value == 1.0
    assert math.isnan(measured(without_labels(regression(9, seed=1)))["r2"].value)


def test_strange_cells_are_unusable_and_missing_labels_are_not() -> None:
    outcomes = Outcomes(
        problem="binary",
        classes=("no", "yes"),
        labels=np.array([0.0, 1.0, math.nan, -1.0, 0.5, 1.0, 0.0]),
        predictions=np.array([0.0, 1.0, 1.0, 1.0, 1.0, math.nan, 1.0]),
        probabilities=np.array([0.1, 0.9, 0.8, 0.8, 0.8, 0.8, 1.5]),
        segments={},
    )
    counts = count_outcomes(OutcomeSpec(problem="binary", classes=("no", "yes")), outcomes)
    assert (counts.rows, counts.labelled, counts.unusable, counts.unscored) == (4, 3, 3, 1)
    assert counts.coverage == 0.75
    assert counts.confusion.tolist() == [[1, 1], [0, 1]]
    assert counts.histogram.sum() == 3


def test_numbers_too_large_to_square_twice_are_unusable() -> None:
    outcomes = Outcomes(
        problem="regression",
        classes=(),
        labels=np.array([1.0, 1e80, math.inf, math.nan]),
        predictions=np.array([2.0, 1.0, 1.0, -math.inf]),
        probabilities=None,
        segments={},
    )
    counts = count_outcomes(OutcomeSpec(problem="regression", classes=()), outcomes)
    assert (counts.rows, counts.labelled, counts.unusable) == (1, 1, 3)


def test_the_heaviest_categories_become_segments_that_count_their_rows() -> None:
    plans = [f"p{math.isqrt(i)}" for i in range(601)]
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 2, (2, 601)).astype(np.float64)
    outcomes = Outcomes(
        problem="binary",
        classes=("no", "yes"),
        labels=labels,
        predictions=predictions,
        probabilities=rng.random(601),
        segments={"plan": words(plans)},
    )
    named = np.array(plans)
    sizes = {name: int((named == name).sum()) for name in set(named.tolist())}
    spec = specify_outcomes(outcomes)
    kept = spec.segments["plan"]
    assert len(kept) == 20 < len(sizes)
    assert min(sizes[name] for name in kept) >= max(
        n for name, n in sizes.items() if name not in kept
    )
    for (_, category), part in count_outcomes(spec, outcomes).segments.items():
        alone = count_outcomes(spec.whole, outcomes.take(named == category))
        assert part.rows == sizes[category]
        assert np.array_equal(part.tallies, alone.tallies)
        assert part.sums == alone.sums


def test_scores_with_three_decimals_have_bins_of_their_own() -> None:
    bins = bins_of(np.arange(1001) / 1000)
    assert np.unique(bins).size == 1001
    assert (np.diff(bins) > 0).all()
    assert bins[-1] == BINS - 1


def test_curves_begin_above_all_scores_and_have_at_most_200_points() -> None:
    rng = np.random.default_rng(0)
    negatives, positives = rng.integers(0, 9, (2, BINS))
    roc = roc_curve(negatives, positives)
    pr = precision_recall_curve(negatives, positives)
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (pr.x[0], pr.y[0], pr.x[-1]) == (0.0, 1.0, 1.0)
    assert len(roc.x) <= 200
    assert len(pr.x) <= 200
    area = np.trapezoid(roc.y, roc.x)
    assert area == pytest.approx(roc_area(negatives, positives).value, abs=1e-3)


def test_average_precision_with_ties_in_random_order_is_the_mean_over_orders() -> None:
    negatives, positives = np.array([3, 1, 2]), np.array([1, 2, 2])
    bins = np.repeat([2, 2, 1, 1, 0, 0], [2, 2, 1, 2, 3, 1])
    share: NDArray[np.float64] = (positives / (negatives + positives))[bins]
    total, at = positives.sum(), np.cumsum(share)
    by_rows = float((share / total * at / np.arange(1, len(share) + 1)).sum())
    assert expected_average_precision(negatives, positives) == pytest.approx(by_rows, rel=1e-12)
    assert average_precision([1, 1], [0, 1]) == 0.5 == average_precision([1, 0], [0, 0.5]) / 2


def test_a_specification_is_read_as_it_was_written() -> None:
    spec = specify_outcomes(regression(5000, seed=1), regression(5000, seed=2))
    assert len(spec.cuts) == 31
    assert decode_spec(encode_spec(spec)).digest == spec.digest
    for damaged in (b"", encode_spec(spec)[:-3], b"\x80"):
        with pytest.raises(QualityError):
            decode_spec(damaged)


def test_parts_of_outcomes_must_fit_together() -> None:
    good = {"labels": np.zeros(3), "predictions": np.zeros(3), "probabilities": None}
    with pytest.raises(QualityError, match="negative, positive"):
        Outcomes(problem="binary", classes=("a",), segments={}, **good)  # type: ignore[arg-type]
    with pytest.raises(QualityError, match="instead of"):
        Outcomes(
            problem="multiclass",
            classes=("a", "b"),
            labels=np.zeros(3),
            predictions=np.zeros(3),
            probabilities=np.zeros(3),
            segments={},
        )
    with pytest.raises(QualityError, match="of binary with classes"):
        count_outcomes(OutcomeSpec(problem="binary", classes=("0", "1")), regression(3, seed=0))
