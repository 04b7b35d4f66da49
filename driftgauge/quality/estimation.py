"""Quality without labels, and how far it is from the quality that labels show later.

Classification: confidence-based performance estimation. If calibrated scores are probabilities,
they say how many predictions of each kind are right. Regression: the size of the error that the
baseline shows for predictions of this size. Both hold as long as only the inputs drift; labels
that disagree with the estimate show that the relation itself changed: concept drift.
Source of the idea: NannyML's CBPE (Kuberski et al., arXiv:2407.08649) and DLE; here from counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.multiplicity import holm
from driftgauge.drift.special import normal_isf, normal_sf
from driftgauge.errors import QualityError
from driftgauge.quality.calibration import Calibration, fit_calibrations
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.curves import expected_average_precision, placements
from driftgauge.quality.metrics import LOWER_IS_BETTER, binary_ratios, measure
from driftgauge.quality.scores import UNKNOWN
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.sums import mean_of

GapOutcome = Literal["ok", "concept_drift", "insufficient_data"]
# What of the estimates is compared with labels.
COMPARED = {
    "binary": ("accuracy", "recall", "precision", "f1", "auc"),
    "multiclass": ("accuracy", "weighted_precision", "weighted_f1"),
    "regression": ("mae", "rmse"),
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimated measure with its confidence band.

    ``standard_error`` holds both what chance does to the labels and what the baseline's limited
    number of rows does to the calibration; None where it is not known.
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class QualityGap:
    """Realised less estimated quality, on the rows that have labels.

    Attributes
    ----------
    gap : float
        ``realised`` - ``estimated``.
    low, high : float
        95 % interval of the gap.
    p_value, adjusted_p_value : float or None
        Two-sided; adjusted by Holm for the number of measures.
    tolerance : float
        A smaller gap is not worth an alarm.
    """

    name: str
    verdict: GapOutcome
    reason: str
    estimated: float | None = None
    realised: float | None = None
    gap: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimator:
    """What a baseline says about the quality to expect; made by ``fit_estimator``.

    Attributes
    ----------
    baseline : OutcomeCounts
    calibrations : tuple of Calibration
        One for binary, one a class for multiclass, none for regression.
    """

    baseline: OutcomeCounts
    calibrations: tuple[Calibration, ...]


def fit_estimator(baseline: OutcomeCounts) -> Estimator:
    """Learn from labelled outcomes what scores or predictions say about quality.

    Raises
    ------
    QualityError
        Without labelled rows, or of a classification without scores.
    """
    if not baseline.labelled or (
        baseline.spec.problem != "regression" and not baseline.reliability[0].any()
    ):
        raise QualityError(
            "quality can be estimated only from a baseline with labels, and of a classification "
            "with the probabilities of the classes"
        )
    return Estimator(baseline=baseline, calibrations=fit_calibrations(baseline))


def estimate_quality(
    counts: OutcomeCounts,
    estimator: Estimator,
    *,
    labelled_only: bool = False,
    design_effect: float = 1.0,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Estimate the quality of predictions without looking at their labels.

    Parameters
    ----------
    counts : OutcomeCounts
        Of the window; rows without scores are left out.
    estimator : Estimator
        The baseline's.
    labelled_only : bool
        Whether only rows that have a label count, to compare with what labels show.
    design_effect : float
        How many times larger variances are than independent rows would give.
    confidence : float
        Of the bands.

    Returns
    -------
    dict of str to Estimate
        Binary: the measures of the confusion matrix, auc, average_precision and the expected
        counts tp, fp, fn, tn. Multiclass: accuracy and the weighted measures, each class against
        the rest. Regression: mae, mse, rmse. Empty without rows.
    """
    if counts.spec.digest != estimator.baseline.spec.digest:
        raise QualityError("the counts of the window were made by another baseline")
    if counts.spec.problem == "regression":
        raw = _estimate_errors(counts, estimator.baseline, labelled_only)
    else:
        states = slice(0, UNKNOWN) if labelled_only else slice(None)
        chosen = counts.histogram[:, states].sum(axis=1).astype(np.float64)
        if not chosen.any():
            return {}
        if counts.spec.problem == "binary":
            raw = _estimate_binary(chosen[0], estimator.calibrations[0])
        else:
            raw = _estimate_multiclass(chosen, estimator.calibrations)
    z = normal_isf((1.0 - confidence) / 2)
    return {
        name: _band(name, value, math.sqrt(variance * design_effect), z)
        for name, (value, variance) in raw.items()
    }


def _band(name: str, value: float, error: float, z: float) -> Estimate:
    if math.isnan(error):
        return Estimate(value=value, standard_error=None, low=None, high=None)
    low, high = value - z * error, value + z * error
    bounded = name not in ("mae", "mse", "rmse", "tp", "fp", "fn", "tn")
    return Estimate(
        value=value,
        standard_error=error,
        low=max(0.0, low),
        high=min(1.0, high) if bounded else high,
    )


def _variance(
    slopes: NDArray[np.float64], chances: NDArray[np.float64], calibration: Calibration
) -> float:
    """Return the variance of a measure.

    Parameters
    ----------
    slopes : ndarray, shape (2, BINS)
        What each row that is an event changes, by prediction and bin; the rows of the bin ...
    chances : ndarray, shape (2, BINS)
        ... as counts.
    """
    values = calibration.values
    labels = float((chances * slopes**2 * (values * (1 - values))).sum())
    per_block = np.bincount(
        calibration.block_of_bin,
        weights=(chances * slopes).sum(axis=0),
        minlength=len(calibration.blocks),
    )
    return labels + float((per_block**2 * calibration.variances).sum())


def _estimate_binary(
    chosen: NDArray[np.float64], calibration: Calibration
) -> dict[str, tuple[float, float]]:
    """Return measures and their variances from rows by predicted class and bin."""
    values = calibration.values
    events, others = chosen * values, chosen * (1 - values)
    matrix = np.array([others.sum(axis=1), events.sum(axis=1)])
    raw: dict[str, tuple[float, float]] = {}
    for name, (above, below) in binary_ratios().items():
        total = float((matrix * below).sum())
        if total <= 0:
            continue
        value = float((matrix * above).sum()) / total
        gradient = (above - value * below) / total
        slopes = np.broadcast_to((gradient[1] - gradient[0])[:, None], chosen.shape)
        raw[name] = (value, _variance(slopes, chosen, calibration))
    for name, cell in {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}.items():
        here = np.zeros_like(chosen)
        here[cell[1]] = 1.0
        raw[name] = (float(matrix[cell]), _variance(here, chosen, calibration))
    p, n = events.sum(axis=0), others.sum(axis=0)
    if p.sum() > 0 and n.sum() > 0:
        above_bin, below_bin = placements(n, p)
        area = float(p @ below_bin) / float(p.sum())
        # One more event in a bin, and one row that is none less.
        slope = (below_bin - area) / p.sum() - (above_bin - area) / n.sum()
        slopes = np.broadcast_to(slope, chosen.shape)
        raw["auc"] = (area, _variance(slopes, chosen, calibration))
        raw["average_precision"] = (expected_average_precision(n, p), math.nan)
    return raw


def _estimate_multiclass(
    chosen: NDArray[np.float64], calibrations: tuple[Calibration, ...]
) -> dict[str, tuple[float, float]]:
    """Return measures and their variances from rows by class, whether it is predicted, and bin.

    Calibrated probabilities of the classes need not add up to 1: they are scaled until they do,
    over all rows together. Variances take the classes as independent.
    """
    rows = float(chosen[0].sum())
    values = np.array([calibration.values for calibration in calibrations])
    labels = (chosen.sum(axis=1) * values).sum(axis=1)
    scale = rows / labels.sum() if labels.sum() else 1.0
    labels = labels * scale
    hits = (chosen[:, 1] * values).sum(axis=1) * scale
    predicted = chosen[:, 1].sum(axis=1)
    raw: dict[str, tuple[float, float]] = {}
    measures = {"accuracy": None, "weighted_recall": None, "weighted_precision": 0.0}
    for name, beta in {
        **measures,
        "weighted_f0_5": 0.5,
        "weighted_f1": 1.0,
        "weighted_f2": 2.0,
    }.items():
        if beta is None:
            value = float(hits.sum()) / rows
            by_hit, by_label = np.full(len(hits), 1 / rows), np.zeros(len(hits))
        else:
            below = beta**2 * labels + predicted
            safe = np.where(below > 0, below, 1.0)
            ratio = (1 + beta**2) * hits / safe
            value = float((labels * ratio).sum()) / rows
            by_hit = (1 + beta**2) * labels / safe / rows
            by_label = (ratio - beta**2 * labels * ratio / safe) / rows
        variance = 0.0
        for k, calibration in enumerate(calibrations):
            slopes = np.empty_like(chosen[k])
            slopes[0], slopes[1] = by_label[k], by_label[k] + by_hit[k]
            variance += _variance(slopes * scale, chosen[k], calibration)
        raw[name] = (value, variance)
    return raw


def _estimate_errors(
    counts: OutcomeCounts, baseline: OutcomeCounts, labelled_only: bool
) -> dict[str, tuple[float, float]]:
    """Return the mean errors to expect from predictions of these sizes, and their variances."""
    rows = (counts.bins[1] if labelled_only else counts.bins.sum(axis=0)).astype(np.float64)
    if not rows.any():
        return {}
    weights = rows / rows.sum()
    known = baseline.bins[1].tolist()
    totals = [sum(power) for power in baseline.powers]
    raw: dict[str, tuple[float, float]] = {}
    for name, power in (("mae", 0), ("mse", 1)):
        value = variance = 0.0
        for place, weight in enumerate(weights.tolist()):
            if not weight:
                continue
            # A bin without labelled rows in the baseline: all of its rows are the best guess.
            inside = known[place] > 0
            n = known[place] if inside else baseline.labelled
            first, second = (
                mean_of(baseline.powers[i][place] if inside else totals[i], n)
                for i in (power, power + 1)
            )
            value += weight * first
            spread = max(0.0, second - first * first)
            variance += weight**2 * spread * (1 / n + 1 / rows[place])
        raw[name] = (value, variance)
    root = math.sqrt(raw["mse"][0])
    raw["rmse"] = (root, raw["mse"][1] / (4 * root * root) if root else 0.0)
    return raw


def judge_gap(
    counts: OutcomeCounts, estimator: Estimator, settings: QualitySettings
) -> tuple[QualityGap, ...]:
    """Compare the quality that labels show with the estimate, on the very same rows.

    A gap is concept drift if it is significant after Holm's correction and larger than the
    tolerance. Given the scores only the labels are random, so small gaps show.

    Parameters
    ----------
    counts : OutcomeCounts
        Of the window, as far as labels have arrived.
    estimator : Estimator
    settings : QualitySettings
        ``alpha``, ``min_rows``, the tolerances and the design effect.
    """
    names = COMPARED[counts.spec.problem]
    scored = counts.labelled
    if counts.spec.problem != "regression":
        scored = int(counts.reliability[0].sum())
    if scored < settings.min_rows:
        reason = (
            f"{scored} rows have both a label and an estimate; at least {settings.min_rows} are "
            "needed."
        )
        return tuple(
            QualityGap(name=name, verdict="insufficient_data", reason=reason) for name in names
        )
    estimates = estimate_quality(
        counts, estimator, labelled_only=True, design_effect=settings.design_effect
    )
    realised = {name: m.value for name, m in measure(_scored_rows(counts)).items()}
    found = [
        name for name in names if name in estimates and not math.isnan(realised.get(name, math.nan))
    ]
    p_values = np.array([_two_sided(realised[name], estimates[name]) for name in found])
    adjusted = dict(zip(found, holm(p_values).tolist(), strict=True))
    raw = dict(zip(found, p_values.tolist(), strict=True))
    return tuple(
        _gap(name, realised[name], estimates[name], raw[name], adjusted[name], settings)
        if name in adjusted
        else QualityGap(
            name=name,
            verdict="insufficient_data",
            reason="No labelled row has what this measure is about.",
        )
        for name in names
    )


def _scored_rows(counts: OutcomeCounts) -> OutcomeCounts:
    """Return the counts with a confusion matrix of the rows that have scores, if it has others.

    Only a binary histogram says what the matrix of its rows is.
    """
    if counts.spec.problem != "binary" or not counts.unscored:
        return counts
    tallies = counts.tallies.copy()
    scored = OutcomeCounts(
        spec=counts.spec, tallies=tallies, sums=counts.sums, histogram=counts.histogram
    )
    scored.confusion[:] = counts.histogram[0, :UNKNOWN].sum(axis=2)
    return scored


def _two_sided(realised: float, estimate: Estimate) -> float:
    difference = abs(realised - estimate.value)
    if not estimate.standard_error:
        return 0.0 if difference > 0 else 1.0
    return min(1.0, 2 * normal_sf(difference / estimate.standard_error))


def _gap(
    name: str,
    realised: float,
    estimate: Estimate,
    p_value: float,
    adjusted: float,
    settings: QualitySettings,
) -> QualityGap:
    gap = realised - estimate.value
    margin = normal_isf(0.025) * (estimate.standard_error or 0.0)
    tolerance = settings.tolerance_of(name, estimate.value)
    significant, large = adjusted <= settings.alpha, abs(gap) > tolerance
    worse = (gap > 0) == (name in LOWER_IS_BETTER)
    if significant and large:
        reason = f"Labels show {'worse' if worse else 'better'} than the scores promise."
    elif significant:
        reason = "The difference from the estimate is real, but too small for an alarm."
    else:
        reason = "What labels show agrees with the estimate."
    return QualityGap(
        name=name,
        verdict="concept_drift" if significant and large else "ok",
        reason=reason,
        estimated=estimate.value,
        realised=realised,
        gap=gap,
        low=gap - margin,
        high=gap + margin,
        p_value=p_value,
        adjusted_p_value=adjusted,
        tolerance=tolerance,
    )
