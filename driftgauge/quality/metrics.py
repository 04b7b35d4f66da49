"""Measures of quality, from counts, with the names of SageMaker Model Monitor.

Every measure comes with the standard error it has if rows are independent: by the delta method
from the very counts, so nothing is resampled and the same counts give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.exact import UNIT_BITS, ratio_to_float
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.curves import average_precision, roc_area
from driftgauge.quality.scores import EVENT, OTHER
from driftgauge.quality.sums import mean_of

Matrix = NDArray[np.float64]

# Larger is better, unless a name is here.
LOWER_IS_BETTER = frozenset(
    {
        *("mae", "mse", "rmse", "false_positive_rate", "false_negative_rate"),
        *("brier_score", "log_loss", "expected_calibration_error"),
    }
)
# Model Monitor has no such measures: they are written under keys of their own.
CALIBRATION = (
    "average_precision",
    "brier_score",
    "log_loss",
    "expected_calibration_error",
)
_BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
_CONSTANT = "_best_constant_classifier"
# Cells of a binary confusion matrix: rows are the label, columns the prediction.
_TN, _FP, _FN, _TP = np.eye(4).reshape(4, 2, 2)
_SHARES: dict[str, tuple[Matrix, Matrix]] = {
    "recall": (_TP, _TP + _FN),
    "precision": (_TP, _TP + _FP),
    "accuracy": (_TP + _TN, _TP + _FP + _FN + _TN),
    "true_positive_rate": (_TP, _TP + _FN),
    "true_negative_rate": (_TN, _TN + _FP),
    "false_positive_rate": (_FP, _TN + _FP),
    "false_negative_rate": (_FN, _TP + _FN),
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measure of quality.

    Attributes
    ----------
    value : float
        NaN where it is not defined, such as the precision without positive predictions.
    standard_error : float
        Of independent rows; NaN where it is not known.
    rows : int
        Labelled rows that the measure rests on: of a share, its denominator.
    hits : int or None
        Of a share of rows: its numerator.
    """

    value: float
    standard_error: float = math.nan
    rows: int = 0
    hits: int | None = None

    @property
    def standard_deviation(self) -> float:
        """Model Monitor's ``standard_deviation``; NaN below 200 rows of the whole.

        It is the deviation among random subsamples of 80 % of the rows. Drawn without replacement
        these have the variance (1 / 0.8 - 1) s^2 / n = s^2 / 4n: half the standard error.
        """
        return self.standard_error / 2


def measure(counts: OutcomeCounts) -> dict[str, Metric]:
    """Measure labelled outcomes.

    Regression: mae, mse, rmse, r2. Binary: those of the confusion matrix, their counterparts of a
    classifier that always says positive, auc. Multiclass: accuracy and the measures of each class
    weighted by its labels. With scores also ``CALIBRATION``.

    Examples
    --------
    >>> from driftgauge.quality.counts import count_outcomes
    >>> from driftgauge.quality.outcomes import Outcomes
    >>> from driftgauge.quality.spec import OutcomeSpec
    >>> outcomes = Outcomes(
    ...     problem="regression", classes=(), labels=np.array([1.0, 2.0]),
    ...     predictions=np.array([1.0, 4.0]), probabilities=None, segments={},
    ... )
    >>> metrics = measure(count_outcomes(OutcomeSpec(problem="regression", classes=()), outcomes))
    >>> {name: metric.value for name, metric in metrics.items()}
    {'mae': 1.0, 'mse': 2.0, 'rmse': 1.4142135623730951, 'r2': -7.0}
    """
    if counts.spec.problem == "regression":
        return _regression(counts)
    matrix = counts.confusion.astype(np.float64)
    if counts.spec.problem == "multiclass":
        return _multiclass(matrix) | _calibration(counts)
    metrics = binary_metrics(matrix)
    if counts.has_scores:
        histogram = counts.histogram[0].sum(axis=1)
        area = roc_area(histogram[OTHER], histogram[EVENT])
        metrics["auc"] = Metric(
            value=area.value, standard_error=area.standard_error, rows=counts.labelled
        )
    order = ("precision", "recall", "accuracy")
    constant = _always_positive(matrix)
    listed = {name: metrics[name] for name in ("recall", "precision", "accuracy")}
    listed |= {name + _CONSTANT: constant[name] for name in order}
    listed |= {name: m for name, m in metrics.items() if name not in _BETAS and name not in listed}
    for name in _BETAS:
        listed |= {name: metrics[name], name + _CONSTANT: constant[name]}
    return listed | _calibration(counts)


def binary_ratios() -> Mapping[str, tuple[Matrix, Matrix]]:
    """Return each binary measure as a ratio: weights of the confusion matrix above and below."""
    ratios = dict(_SHARES)
    for name, beta in _BETAS.items():
        hits = (1 + beta**2) * _TP
        ratios[name] = (hits, hits + beta**2 * _FN + _FP)
    return ratios


def binary_metrics(matrix: Matrix) -> dict[str, Metric]:
    """Return the measures of a binary confusion matrix, [[tn, fp], [fn, tp]].

    Examples
    --------
    >>> metrics = binary_metrics(np.array([[1.0, 2.0], [0.0, 1.0]]))
    >>> metrics["recall"].value, metrics["f1"].value
    (1.0, 0.5)
    """
    metrics = {}
    for name, (above, below) in binary_ratios().items():
        total = float((matrix * below).sum())
        if total <= 0:
            metrics[name] = Metric(value=math.nan)
            continue
        hits = float((matrix * above).sum())
        value = hits / total
        gradient = (above - value * below) / total
        share = name in _SHARES
        metrics[name] = Metric(
            value=value,
            standard_error=math.sqrt(float((matrix * gradient**2).sum())),
            rows=round(total) if share else round(float(matrix[below > 0].sum())),
            hits=round(hits) if share else None,
        )
    return metrics


def _always_positive(matrix: Matrix) -> dict[str, Metric]:
    """Measure the classifier that always predicts the positive class, as Model Monitor's does."""
    constant = np.zeros((2, 2))
    constant[:, 1] = matrix.sum(axis=1)
    return binary_metrics(constant)


def _multiclass(matrix: Matrix) -> dict[str, Metric]:
    metrics = weighted_metrics(matrix)
    constant = np.zeros_like(matrix)
    constant[:, int(np.argmax(matrix.sum(axis=1)))] = matrix.sum(axis=1)
    fixed = weighted_metrics(constant)
    listed: dict[str, Metric] = {}
    for name, metric in metrics.items():
        listed |= {name: metric, name + _CONSTANT: fixed[name]}
    return listed


def weighted_metrics(matrix: Matrix) -> dict[str, Metric]:
    r"""Return accuracy and the measures of each class, weighted by its share of the labels.

    .. math:: W = \sum_k \frac{n_k}{n} F_k, \quad
              n \frac{\partial W}{\partial n_{ij}} = F_i - W
              + \sum_k n_k \frac{a^k_{ij} - F_k b^k_{ij}}{B_k}

    where F_k = A_k / B_k is the ratio of two sums of cells. A class without predictions has a
    precision of 0.

    Parameters
    ----------
    matrix : ndarray of float64, shape (classes, classes)
        Rows are labels, columns predictions.
    """
    total = float(matrix.sum())
    names = ("accuracy", "weighted_recall", "weighted_precision")
    if total <= 0:
        return {
            name: Metric(value=math.nan) for name in (*names, *map("weighted_{}".format, _BETAS))
        }
    rows = round(total)
    right = float(np.trace(matrix))
    share = right / total
    error = math.sqrt(share * (1 - share) / total)
    accuracy = Metric(value=share, standard_error=error, rows=rows, hits=round(right))
    metrics = {"accuracy": accuracy, "weighted_recall": accuracy}
    # Precision is the limit of beta = 0: the labels do not count below.
    for name, beta in {"precision": 0.0, **_BETAS}.items():
        value, deviation = _weighted(matrix, beta)
        metrics[f"weighted_{name}"] = Metric(value=value, standard_error=deviation, rows=rows)
    return metrics


def _weighted(matrix: Matrix, beta: float) -> tuple[float, float]:
    """Return a weighted F measure and its standard error."""
    total = float(matrix.sum())
    labels, predictions, hits = matrix.sum(axis=1), matrix.sum(axis=0), np.diagonal(matrix)
    above = (1 + beta**2) * hits
    below = beta**2 * labels + predictions
    some = below > 0
    ratio = np.where(some, above / np.where(some, below, 1.0), 0.0)
    weighted = float((labels * ratio).sum() / total)
    # A row of label i and prediction j adds to B_i, to B_j and, if i = j, to A_i.
    per_below = np.where(some, labels / np.where(some, below, 1.0), 0.0)
    lost = per_below * ratio
    gradient = (ratio - weighted - beta**2 * lost)[:, None] - lost[None, :]
    gradient[np.diag_indices_from(gradient)] += (1 + beta**2) * per_below
    return weighted, math.sqrt(float((matrix * gradient**2).sum())) / total


def _calibration(counts: OutcomeCounts) -> dict[str, Metric]:
    """Return the measures of scores as probabilities, of labelled rows with scores."""
    rows, events = counts.reliability
    total = int(rows.sum())
    if not total:
        return {}
    losses = counts.losses
    gaps = [
        abs(mean_of(score, total) - event / total)
        for score, event in zip(counts.score_sums, events.tolist(), strict=True)
    ]
    metrics = {
        "brier_score": _mean(losses.squared, losses.squared_2, total),
        "log_loss": _mean(losses.log, losses.log_2, total),
        "expected_calibration_error": Metric(value=math.fsum(gaps), rows=total),
    }
    if counts.spec.problem == "binary" and counts.has_scores:
        histogram = counts.histogram[0].sum(axis=1)
        value = average_precision(histogram[OTHER], histogram[EVENT])
        metrics = {"average_precision": Metric(value=value, rows=total)} | metrics
    return metrics


def _mean(total: int, squares: int, rows: int) -> Metric:
    """Return the mean of losses whose exact sums are given."""
    mean = mean_of(total, rows)
    variance = max(0.0, mean_of(squares, rows) - mean * mean)
    return Metric(value=mean, standard_error=math.sqrt(variance / rows), rows=rows)


def _regression(counts: OutcomeCounts) -> dict[str, Metric]:
    n = counts.labelled
    if not n:
        return {name: Metric(value=math.nan) for name in ("mae", "mse", "rmse", "r2")}
    absolute, squares, fourths = (sum(power) for power in counts.powers)
    mae = _mean(absolute, squares, n)
    mse = _mean(squares, fourths, n)
    rmse = math.sqrt(mse.value)
    slope = mse.standard_error / (2 * rmse) if rmse else 0.0
    return {
        "mae": mae,
        "mse": mse,
        "rmse": Metric(value=rmse, standard_error=slope, rows=n),
        "r2": _determination(counts, squares, fourths, n),
    }


def _determination(counts: OutcomeCounts, squares: int, fourths: int, n: int) -> Metric:
    """Return r2 = 1 - SSE / SST with SST = sum (y - mean)^2.

    A row changes it by -(e^2 - q (y - mean)^2) / SST, with q = SSE / SST.
    """
    moments = counts.moments
    spread = mean_of(moments.d2, n) - mean_of(moments.d, n) ** 2
    exact = (n * moments.d2 << UNIT_BITS) - moments.d * moments.d
    if exact <= 0 or spread <= 0:
        return Metric(value=math.nan, rows=n)
    value = ratio_to_float(exact - (n * squares << UNIT_BITS), exact)
    lost = 1.0 - value
    m = mean_of(moments.d, n)
    d2, d3, d4 = (mean_of(total, n) for total in (moments.d2, moments.d3, moments.d4))
    e2, e4 = mean_of(squares, n), mean_of(fourths, n)
    e2d, e2d2 = mean_of(moments.e2d, n), mean_of(moments.e2d2, n)
    crossed = e2d2 - 2 * m * e2d + m * m * e2
    fourth = d4 - 4 * m * d3 + 6 * m * m * d2 - 3 * m**4
    variance = max(0.0, e4 - 2 * lost * crossed + lost * lost * fourth)
    return Metric(value=value, standard_error=math.sqrt(variance / n) / spread, rows=n)
