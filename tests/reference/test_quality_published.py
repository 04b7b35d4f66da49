"""Published numbers on model quality: NannyML's estimates, Model Monitor's own files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.capture.table import read_table
from driftgauge.quality.counts import OutcomeCounts, count_outcomes, sum_counts
from driftgauge.quality.curves import placements
from driftgauge.quality.decision import judge_quality_strictly
from driftgauge.quality.estimation import Estimator, estimate_quality, fit_estimator
from driftgauge.quality.files import (
    decode_quality_constraints,
    encode_quality_constraints,
    encode_quality_statistics,
    suggest_quality_constraints,
)
from driftgauge.quality.metrics import measure
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.scores import EVENT, OTHER
from driftgauge.quality.spec import OutcomeSpec, specify_outcomes
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table

COUNTS = Path(__file__).with_name("nannyml_synthetic_counts.json")
SDK = "data/sagemaker-python-sdk@v2.257.6/tests/data"
QUALITY = f"{SDK}/pipeline/quality_check_step/model_quality"
CHURN = "data/amazon-sagemaker-examples/model_quality/validation_with_predictions.csv"
SPEC = OutcomeSpec(problem="binary", classes=("0", "1"))
OURS = {"roc_auc": "auc", "specificity": "true_negative_rate"}


@pytest.fixture(scope="module")
def nannyml() -> Any:
    return json.loads(COUNTS.read_text())


def counted(table: list[list[int]], *, threshold: float, labelled: bool = True) -> OutcomeCounts:
    """Count rows that are given by label and hundredths of the score."""
    rows = np.array(table)
    hundredths = np.broadcast_to(np.arange(101), rows.shape)
    score = np.repeat(hundredths.ravel(), rows.ravel()) / 100
    label = np.repeat(np.broadcast_to([[0.0], [1.0]], rows.shape).ravel(), rows.ravel())
    outcomes = Outcomes(
        problem="binary",
        classes=("0", "1"),
        labels=label if labelled else np.full_like(label, np.nan),
        predictions=(score >= threshold).astype(np.float64),
        probabilities=score,
        segments={},
    )
    return count_outcomes(SPEC, outcomes)


@pytest.fixture(scope="module")
def estimator(nannyml: Any) -> Estimator:
    return fit_estimator(counted(nannyml["reference"], threshold=0.48))


@pytest.mark.parametrize(("part", "chunks"), [("first_20000", (0, 4)), ("last_30000", (4, 10))])
def test_estimates_without_labels_are_nannymls(
    nannyml: Any, estimator: Estimator, part: str, chunks: tuple[int, int]
) -> None:
    window = sum_counts(
        SPEC,
        (
            counted(table, threshold=0.48, labelled=False)
            for table in nannyml["analysis_chunks"][slice(*chunks)]
        ),
    )
    assert window.labelled == 0
    estimates = estimate_quality(window, estimator)
    for name, expected in nannyml["estimated"][part].items():
        # NannyML's area depends on the order of rows with equal scores.
        tolerance = 1e-5 if name == "roc_auc" else 1e-9
        ours = estimates[OURS.get(name, name)].value
        assert ours == pytest.approx(expected, rel=tolerance, abs=tolerance), name


def test_realised_measures_are_nannymls(nannyml: Any) -> None:
    for i, table in enumerate(nannyml["analysis_chunks"]):
        metrics = measure(counted(table, threshold=0.8))
        for name, expected in nannyml["realised"].items():
            assert metrics[OURS.get(name, name)].value == pytest.approx(expected[i], abs=1.1e-5)


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "specificity"])
def test_standard_errors_of_shares_are_nannymls(nannyml: Any, name: str) -> None:
    reference = counted(nannyml["reference"], threshold=0.8)
    error = measure(reference)[OURS.get(name, name)].standard_error
    for rows, expected in zip(
        nannyml["analysis_rows_by_year"], nannyml["sampling_error"][name], strict=True
    ):
        assert error * math.sqrt(reference.rows / rows) == pytest.approx(expected, abs=1e-6)


def test_nannymls_error_of_the_area_is_the_positives_part_of_ours(nannyml: Any) -> None:
    reference = counted(nannyml["reference"], threshold=0.8)
    by_label: NDArray[np.float64] = reference.histogram[0].sum(axis=1).astype(np.float64)
    negatives, positives = by_label[OTHER], by_label[EVENT]
    if positives.sum() > negatives.sum():  # NannyML takes the rarer class
        negatives, positives = positives[::-1], negatives[::-1]
    _, below = placements(negatives, positives)
    mean = positives @ below / positives.sum()
    deviation = math.sqrt(positives @ (below - mean) ** 2 / positives.sum())
    share = positives.sum() / reference.rows
    whole = measure(reference)["auc"].standard_error
    # Ties count half here and in any order there, so theirs is a little larger.
    for rows, expected in zip(
        nannyml["analysis_rows_by_year"], nannyml["sampling_error"]["roc_auc"], strict=True
    ):
        assert deviation / math.sqrt(rows * share) == pytest.approx(expected, rel=5e-3)
        assert whole * math.sqrt(reference.rows / rows) > expected


def test_nannymls_error_of_f1_treats_its_denominator_as_fixed_and_ours_does_not(
    nannyml: Any,
) -> None:
    metric = measure(counted(nannyml["reference"], threshold=0.8))["f1"]
    rows, expected = nannyml["analysis_rows_by_year"][0], nannyml["sampling_error"]["f1"][0]
    matrix = counted(nannyml["reference"], threshold=0.8).confusion
    (_, fp), (fn, tp) = matrix.tolist()
    relevant = tp + fp + fn
    factor = relevant / (tp + (fp + fn) / 2)
    theirs = factor * math.sqrt(tp / relevant * (1 - tp / relevant))
    theirs /= math.sqrt(rows * relevant / matrix.sum())
    assert theirs == pytest.approx(expected, abs=1e-6)
    # Multinomial resampling of the matrix says whose is the spread of F1.
    draws = np.random.default_rng(5).multinomial(rows, matrix.ravel() / matrix.sum(), size=20_000)
    f1 = 2 * draws[:, 3] / (2 * draws[:, 3] + draws[:, 1] + draws[:, 2])
    ours = metric.standard_error * math.sqrt(matrix.sum() / rows)
    assert ours == pytest.approx(f1.std(), rel=0.02)
    assert theirs > 1.8 * f1.std()


def regression_of_the_sdk(shared: Path) -> OutcomeCounts:
    """Count the fixture's rows; its job had label and prediction swapped."""
    columns = OutcomeColumns(problem="regression", label="Prediction", prediction="Label")
    path = shared / QUALITY / "baseline_dataset.csv"
    with path.open("rb") as stream:
        [table] = read_table(stream, source=path.name, format="csv")
    outcomes = outcomes_of_table(columns, table.columns)
    spec = specify_outcomes(outcomes)
    return count_outcomes(spec, outcomes)


def assert_same_file(ours: Any, theirs: Any) -> None:
    """Equal, but for the last two digits of numbers: theirs were added up with rounding."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same_file(ours[key], theirs[key])
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=4e-16, abs=0)
    else:
        assert ours == theirs


def test_statistics_of_the_containers_regression_are_reproduced(shared: Path) -> None:
    theirs = json.loads((shared / QUALITY / "statistics.json").read_text())
    assert_same_file(json.loads(encode_quality_statistics(regression_of_the_sdk(shared))), theirs)


def test_constraints_of_the_containers_regression_are_reproduced(shared: Path) -> None:
    theirs = json.loads((shared / QUALITY / "good_cases/constraints.json").read_text())
    metrics = measure(regression_of_the_sdk(shared))
    ours = json.loads(
        encode_quality_constraints(suggest_quality_constraints("regression", metrics))
    )
    # The fixture's threshold of mse was edited by its authors: it is not the statistic's.
    del ours["regression_constraints"]["mse"], theirs["regression_constraints"]["mse"]
    assert_same_file(ours, theirs)


@pytest.mark.parametrize("case", ["good_cases", "bad_cases"])
def test_constraints_of_the_container_are_written_back_as_they_were(
    shared: Path, case: str
) -> None:
    data = (shared / QUALITY / case / "constraints.json").read_bytes()
    again = json.loads(encode_quality_constraints(decode_quality_constraints(data)))
    assert again == json.loads(data)


def test_the_edited_threshold_of_the_containers_constraints_is_violated(shared: Path) -> None:
    data = (shared / QUALITY / "bad_cases/constraints.json").read_bytes()
    verdict = judge_quality_strictly(
        regression_of_the_sdk(shared), decode_quality_constraints(data)
    )
    [mse] = verdict.violations
    assert mse.metric_name == "mse"
    assert mse.constraint_check_type == "GreaterThanThreshold"
    assert mse.description.endswith("was GreaterThanThreshold '0.03364933609800973'")
    assert mse.description.startswith("Metric mse with 0.3336493360980")


@pytest.mark.parametrize("kind", ["regression", "binary_classification"])
def test_statistics_have_the_keys_of_published_files(shared: Path, kind: str) -> None:
    folder = shared / SDK / "model_card/evaluation_metrics"
    theirs = json.loads((folder / f"model_monitor_model_quality_{kind}.json").read_text())
    if kind == "regression":
        counts = regression_of_the_sdk(shared)
    else:
        columns = OutcomeColumns(
            problem="binary", label="label", probabilities=("probability",), classes=("0", "1")
        )
        with (shared / CHURN).open("rb") as stream:
            [table] = read_table(stream, source="churn", format="csv")
        outcomes = outcomes_of_table(columns, table.columns)
        counts = count_outcomes(specify_outcomes(outcomes), outcomes)
    key = f"{kind}_metrics"
    ours = json.loads(encode_quality_statistics(counts))[key]
    assert set(ours) == set(theirs[key])
    for name, entry in theirs[key].items():
        assert set(ours[name]) == set(entry), name


def test_the_published_confusion_matrix_gives_the_published_measures(shared: Path) -> None:
    path = shared / SDK / "model_card/evaluation_metrics"
    path /= "model_monitor_model_quality_binary_classification.json"
    theirs = json.loads(path.read_text())["binary_classification_metrics"]
    outcomes = Outcomes(
        problem="binary",
        classes=("0", "1"),
        labels=np.array([0.0, 0.0, 0.0, 1.0]),
        predictions=np.array([0.0, 1.0, 1.0, 1.0]),
        probabilities=None,
        segments={},
    )
    counts = count_outcomes(SPEC, outcomes)
    ours = json.loads(encode_quality_statistics(counts))["binary_classification_metrics"]
    assert ours["confusion_matrix"] == theirs["confusion_matrix"]
    for name, metric in ours.items():
        if name != "confusion_matrix":
            assert metric["value"] == pytest.approx(theirs[name]["value"], abs=1e-13), name
