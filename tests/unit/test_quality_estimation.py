"""Quality without labels: right as long as only the inputs drift, and its bands hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from driftgauge.errors import QualityError
from driftgauge.quality.calibration import fit_calibration
from driftgauge.quality.counts import OutcomeCounts, count_outcomes
from driftgauge.quality.estimation import Estimator, estimate_quality, fit_estimator, judge_gap
from driftgauge.quality.metrics import measure
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.scores import BINS, centers
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.spec import specify_outcomes
from tests.unit.quality_world import binary, multiclass, regression, without_labels

SETTINGS = QualitySettings()


def world(outcomes: Outcomes) -> tuple[Estimator, OutcomeCounts]:
    counts = count_outcomes(specify_outcomes(outcomes), outcomes)
    return fit_estimator(counts), counts


@pytest.fixture(scope="module")
def of_binary() -> Estimator:
    return world(binary(20_000, seed=1))[0]


@pytest.fixture(scope="module")
def of_multiclass() -> Estimator:
    return world(multiclass(20_000, seed=1))[0]


@pytest.fixture(scope="module")
def of_regression() -> Estimator:
    return world(regression(20_000, seed=1))[0]


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_the_calibration_is_the_isotonic_regression_of_scipy(data: st.DataObject) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    places = data.draw(st.lists(st.integers(0, BINS - 1), min_size=1, max_size=30, unique=True))
    places.sort()
    rows = data.draw(arrays.arrays(np.int64, len(places), elements=st.integers(1, 50)))
    share = data.draw(arrays.arrays(np.float64, len(places), elements=st.floats(0, 1)))
    hits = np.round(rows * share).astype(np.int64)
    others, events = np.zeros((2, BINS), dtype=np.int64)
    others[places], events[places] = rows - hits, hits
    values = fit_calibration(others, events).values
    expected = optimize.isotonic_regression(hits / rows, weights=rows).x
    assert values[places] == pytest.approx(expected, abs=1e-12)
    assert (np.diff(values) >= -1e-15).all()


def test_a_calibration_between_its_blocks_is_linear() -> None:
    others, events = np.zeros((2, BINS), dtype=np.int64)
    others[600], events[1200] = 4, 5
    values = fit_calibration(others, events).values
    middle = centers()
    share = (middle[900] - middle[600]) / (middle[1200] - middle[600])
    assert values[900] == pytest.approx(share)
    assert (values[0], values[-1]) == (0.0, 1.0)


def test_calibrations_of_added_baselines_are_those_of_all_rows() -> None:
    whole = binary(3000, seed=5)
    spec = specify_outcomes(whole)
    parts = [count_outcomes(spec, whole.take(slice(i, None, 3))) for i in range(3)]
    together = fit_estimator(parts[2] + parts[0] + parts[1])
    assert together.calibrations == fit_estimator(count_outcomes(spec, whole)).calibrations


def test_estimates_follow_drift_of_the_inputs(of_binary: Estimator) -> None:
    easier = binary(20_000, seed=2, shift=3.0)
    counts = count_outcomes(of_binary.baseline.spec, without_labels(easier))
    estimates = estimate_quality(counts, of_binary)
    truth = measure(count_outcomes(of_binary.baseline.spec, easier))
    before = measure(of_binary.baseline)
    assert truth["accuracy"].value > before["accuracy"].value + 0.05
    for name in ("accuracy", "precision", "recall", "f1", "auc", "true_negative_rate"):
        band = estimates[name]
        assert band.standard_error is not None
        assert abs(band.value - truth[name].value) < 4 * band.standard_error, name


@pytest.mark.parametrize(
    ("problem", "names", "most"),
    [
        ("binary", ("accuracy", "recall", "precision", "f1", "auc"), 0.99),
        # The classes count as independent, which makes the bands a little too wide.
        ("multiclass", ("accuracy", "weighted_precision", "weighted_f1"), 1.0),
        ("regression", ("mae", "rmse"), 0.99),
    ],
)
def test_bands_of_95_percent_hold_what_labels_show_about_so_often(
    problem: str, names: tuple[str, ...], most: float, request: pytest.FixtureRequest
) -> None:
    estimator: Estimator = request.getfixturevalue(f"of_{problem}")
    inside = dict.fromkeys(names, 0)
    for seed in range(1000, 1200):
        counts = count_outcomes(estimator.baseline.spec, windows_of(problem, seed, drift=False))
        bands, realised = estimate_quality(counts, estimator), measure(counts)
        for name in names:
            band = bands[name]
            assert band.low is not None
            assert band.high is not None
            inside[name] += band.low <= realised[name].value <= band.high
    for name, count in inside.items():
        assert 0.90 <= count / 200 <= most, name


def test_multiclass_estimates_agree_with_probabilities_row_by_row(
    of_multiclass: Estimator,
) -> None:
    window = multiclass(5000, seed=3)
    scores = window.probabilities
    assert scores is not None
    counts = count_outcomes(of_multiclass.baseline.spec, without_labels(window))
    by_row = scores.max(axis=1).mean()
    assert estimate_quality(counts, of_multiclass)["accuracy"].value == pytest.approx(
        by_row, abs=0.01
    )


def test_larger_predictions_promise_larger_errors(of_regression: Estimator) -> None:
    spec = of_regression.baseline.spec
    window = regression(5000, seed=4)
    large = window.take(window.predictions > np.quantile(window.predictions, 0.8))
    estimates = estimate_quality(count_outcomes(spec, without_labels(large)), of_regression)
    truth = measure(count_outcomes(spec, large))
    assert truth["mae"].value > 1.4 * measure(of_regression.baseline)["mae"].value
    assert estimates["mae"].value == pytest.approx(truth["mae"].value, rel=0.07)
    assert estimates["rmse"].value == pytest.approx(truth["rmse"].value, rel=0.1)


def windows_of(problem: str, seed: int, *, drift: bool) -> Outcomes:
    if problem == "binary":
        return binary(600, seed=seed, bias=-1.5 if drift else 0.0, shift=1.0)
    if problem == "multiclass":
        return multiclass(600, seed=seed, noise=0.4 if drift else 0.0)
    return regression(600, seed=seed, scale=1.5 if drift else 1.0)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_labels_that_contradict_the_estimate_are_concept_drift_and_others_are_not(
    problem: str, request: pytest.FixtureRequest
) -> None:
    estimator: Estimator = request.getfixturevalue(f"of_{problem}")

    def alarms(drift: bool, seeds: range) -> int:
        found = 0
        for seed in seeds:
            outcomes = windows_of(problem, seed, drift=drift)
            gaps = judge_gap(count_outcomes(estimator.baseline.spec, outcomes), estimator, SETTINGS)
            found += any(gap.verdict == "concept_drift" for gap in gaps)
        return found

    assert alarms(False, range(2000, 2150)) <= 5
    assert alarms(True, range(3000, 3020)) == 20


def test_a_gap_is_of_the_rows_that_have_labels(of_binary: Estimator) -> None:
    spec = of_binary.baseline.spec
    labelled = binary(800, seed=6, shift=3.0)
    counts = count_outcomes(spec, labelled) + count_outcomes(
        spec, without_labels(binary(5000, seed=7, shift=-3.0))
    )
    gaps = {gap.name: gap for gap in judge_gap(counts, of_binary, SETTINGS)}
    alone = estimate_quality(count_outcomes(spec, labelled), of_binary)
    assert gaps["auc"].estimated == pytest.approx(alone["auc"].value)
    assert gaps["accuracy"].verdict == "ok"
    assert gaps["accuracy"].gap == pytest.approx(
        measure(count_outcomes(spec, labelled))["accuracy"].value - alone["accuracy"].value
    )


def test_rows_without_scores_do_not_enter_a_gap(of_binary: Estimator) -> None:
    spec = of_binary.baseline.spec
    scored = binary(500, seed=8)
    wrong = binary(500, seed=9)
    unscored = Outcomes(
        problem="binary",
        classes=wrong.classes,
        labels=1 - wrong.predictions,
        predictions=wrong.predictions,
        probabilities=None,
        segments={},
    )
    counts = count_outcomes(spec, scored) + count_outcomes(spec, unscored)
    gaps = judge_gap(counts, of_binary, SETTINGS)
    assert gaps == judge_gap(count_outcomes(spec, scored), of_binary, SETTINGS)


def test_a_gap_of_few_labels_is_insufficient(of_binary: Estimator) -> None:
    counts = count_outcomes(of_binary.baseline.spec, without_labels(binary(500, seed=8), keep=20))
    gaps = judge_gap(counts, of_binary, SETTINGS)
    assert {gap.verdict for gap in gaps} == {"insufficient_data"}
    assert all(gap.gap is None for gap in gaps)


def test_no_rows_have_no_estimate(of_binary: Estimator, of_regression: Estimator) -> None:
    for estimator in (of_binary, of_regression):
        assert estimate_quality(OutcomeCounts.empty(estimator.baseline.spec), estimator) == {}


def test_a_baseline_without_scores_cannot_estimate() -> None:
    outcomes = binary(100, seed=1)
    bare = Outcomes(
        problem="binary",
        classes=outcomes.classes,
        labels=outcomes.labels,
        predictions=outcomes.predictions,
        probabilities=None,
        segments={},
    )
    for baseline in (bare, without_labels(outcomes)):
        with pytest.raises(QualityError, match="can be estimated only"):
            world(baseline)


def test_variances_are_those_of_drawing_labels_again(of_binary: Estimator) -> None:
    window = binary(700, seed=10)
    spec = of_binary.baseline.spec
    counts = count_outcomes(spec, window)
    bins: NDArray[np.intp] = np.repeat(np.arange(BINS), counts.histogram[0].sum(axis=(0, 1)))
    order = np.argsort(window.probabilities)  # type: ignore[arg-type]
    chance = of_binary.calibrations[0].values[bins]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        labels = np.empty(window.rows)
        labels[order] = rng.random(window.rows) < chance
        drawn = Outcomes(
            problem="binary",
            classes=window.classes,
            labels=labels,
            predictions=window.predictions,
            probabilities=window.probabilities,
            segments={},
        )
        found.append(measure(count_outcomes(spec, drawn))["auc"].value)
    band = estimate_quality(counts, of_binary)["auc"]
    assert band.standard_error == pytest.approx(np.std(found), rel=0.12)
