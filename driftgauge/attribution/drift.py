"""Whether features matter for predictions as they did in training.

Clarify compares rankings: NDCG, an alarm below 0.90. It does not see magnitudes that change within
an order. So shares of the total attribution are compared as well: their total variation distance
is the part of the attribution that moved from some features to others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.sums import AttributionSums
from driftgauge.attribution.verdict import (
    AttributionOutcome,
    AttributionVerdict,
    AttributionViolation,
    FeatureAttribution,
)
from driftgauge.drift.multiplicity import holm
from driftgauge.drift.special import normal_sf
from driftgauge.drift.verdict import Mode
from driftgauge.errors import AttributionError

NDCG_LIMIT = 0.90
_Z95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """How attributions become verdicts.

    Attributes
    ----------
    ndcg_limit : float
        Strict: drift below it.
    alpha : float
        Sound: chance of any false alarm in one window.
    min_distance : float
        Sound: smallest share of the attribution whose move is worth an alarm.
    min_rows : int
        Sound: below this many explained rows nothing is judged.
    design_effect : float
        How many times larger variances are than independent rows would give.
    """

    ndcg_limit: float = NDCG_LIMIT
    alpha: float = 0.01
    min_distance: float = 0.1
    min_rows: int = 30
    design_effect: float = 1.0


def ndcg(baseline: Mapping[str, float], window: Mapping[str, float]) -> float:
    """Return the normalised discounted cumulative gain of the window's ranking.

    ``sum a(f'_i) / log2(i + 1) / sum a(f_i) / log2(i + 1)``, where f is the order of the features
    by the baseline's attribution a, and f' that by the window's.

    Parameters
    ----------
    baseline, window : mapping of str to float
        Global attributions. Only magnitudes count. Features that tie in the window rank as in the
        baseline; those that the window lacks rank last, those that the baseline lacks gain 0.

    Returns
    -------
    float
        At most 1, the same order; NaN if no feature of the baseline has an attribution.

    Raises
    ------
    AttributionError
        If a value is not finite.

    Examples
    --------
    >>> training = {"SAT": 0.7, "GPA": 0.5, "rank": 0.05}
    >>> round(ndcg(training, {"SAT": 0.1, "GPA": 0.2, "rank": 0.7}), 4)
    0.6876
    """
    for values in (baseline, window):
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise AttributionError(f"the attribution of {bad[0]!r} is not a finite number")
    gain = {name: abs(value) for name, value in baseline.items()}
    order = sorted(gain, key=lambda name: -gain[name])
    known = [*order, *(name for name in window if name not in gain)]
    live = sorted(known, key=lambda name: -abs(window.get(name, 0.0)))
    best = _discounted(gain, order)
    return _discounted(gain, live) / best if best > 0.0 else math.nan


def _discounted(gain: Mapping[str, float], order: list[str]) -> float:
    return math.fsum(gain.get(name, 0.0) / math.log2(i + 2) for i, name in enumerate(order))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """Global attributions with what is known of their errors."""

    values: NDArray[np.float64]
    shares: NDArray[np.float64]
    # Covariance of the shares; zero for a baseline of which only the values are known.
    covariance: NDArray[np.float64]


def _known(values: NDArray[np.float64]) -> _Side:
    total = float(values.sum())
    shares = values / total if total > 0.0 else np.zeros_like(values)
    return _Side(values=values, shares=shares, covariance=np.zeros((len(values), len(values))))


def _estimated(sums: AttributionSums, label: str, effect: float) -> _Side:
    """Return shares S_j / sum S with the delta method's covariance.

    The influence of a row on share j is (x_j - p_j t) / mean of t, where x_j are its magnitudes and
    t their sum: the covariance of that over rows, divided by their number.
    """
    side = _known(sums.means(label))
    total = float(side.values.sum())
    if total <= 0.0 or sums.rows < 2:
        return side
    center = np.eye(len(side.shares)) - side.shares[:, None]
    second = center @ sums.mean_products(label) @ center.T / total**2
    # The mean influence is 0. Rounding must not make a variance negative.
    covariance = second * (effect / (sums.rows - 1))
    np.fill_diagonal(covariance, np.maximum(np.diag(covariance), 0.0))
    return _Side(values=side.values, shares=side.shares, covariance=covariance)


def judge_attribution(
    baseline: AttributionSums | Mapping[str, float],
    window: AttributionSums,
    *,
    label: str,
    baseline_label: str | None = None,
    mode: Mode = "sound",
    settings: AttributionSettings | None = None,
) -> AttributionVerdict:
    """Compare a window's global attribution with the baseline's.

    Strict mode decides as Clarify does: drift if NDCG is below the limit. Sound mode asks for
    significance (some feature's share differs, z-tests with Holm's correction) and for effect
    (total variation distance of the shares at least ``min_distance``).

    Parameters
    ----------
    baseline : AttributionSums or mapping of str to float
        Sums of explained training rows, or values as ``analysis.json`` holds them, which count as
        exact.
    window : AttributionSums
    label : str
        The output of the model, in the window.
    baseline_label : str or None
        Its name in the baseline; None: the same.
    mode : {"sound", "strict"}
    settings : AttributionSettings or None

    Raises
    ------
    AttributionError
        If an attribution is not finite, or the baseline has another output.
    """
    settings = settings or AttributionSettings()
    there = _values_of(baseline, baseline_label or label)
    here = dict(zip(window.features, window.means(label).tolist(), strict=True))
    names = tuple(dict.fromkeys((*there, *here)))
    if not window.rows:
        return _nothing(label, mode, settings, names, there)
    score = ndcg(there, here)
    sides = _aligned(baseline, window, names, label, baseline_label or label, settings)
    features, distance, error = _compared(names, *sides)
    outcome, reason = _decided(mode, settings, score, window.rows, features, distance)
    failed = outcome == "drift" and score < settings.ndcg_limit
    return AttributionVerdict(
        label=label,
        mode=mode,
        verdict=outcome,
        reason=reason,
        rows=window.rows,
        ndcg=None if math.isnan(score) else score,
        ndcg_limit=settings.ndcg_limit,
        distance=distance,
        low=None if error is None else max(0.0, distance - _Z95 * error),
        high=None if error is None else min(1.0, distance + _Z95 * error),
        min_distance=settings.min_distance if mode == "sound" else None,
        features=features,
        violations=(describe_violation(label, score, settings.ndcg_limit),) if failed else (),
        expected_value=window.expected_value(label),
    )


def describe_violation(label: str, score: float, limit: float) -> AttributionViolation:
    """Describe a violation in Clarify's words.

    Examples
    --------
    >>> describe_violation("label0", 0.7639720923277322, 0.9).description
    'Feature attribution drift 0.7639720923277322 exceeds threshold 0.9'
    """
    return AttributionViolation(
        label=label, description=f"Feature attribution drift {score} exceeds threshold {limit}"
    )


def _values_of(baseline: AttributionSums | Mapping[str, float], label: str) -> dict[str, float]:
    if isinstance(baseline, AttributionSums):
        if not baseline.rows:
            raise AttributionError("no row of the baseline was explained")
        return dict(zip(baseline.features, baseline.means(label).tolist(), strict=True))
    if not baseline:
        raise AttributionError("the baseline has no attribution of any feature")
    return {name: abs(value) for name, value in baseline.items()}


def _aligned(
    baseline: AttributionSums | Mapping[str, float],
    window: AttributionSums,
    names: tuple[str, ...],
    label: str,
    baseline_label: str,
    settings: AttributionSettings,
) -> tuple[_Side, _Side]:
    def spread(side: _Side, own: tuple[str, ...]) -> _Side:
        place = [names.index(name) for name in own]
        values, shares = np.zeros(len(names)), np.zeros(len(names))
        covariance = np.zeros((len(names), len(names)))
        values[place], shares[place] = side.values, side.shares
        covariance[np.ix_(place, place)] = side.covariance
        return _Side(values=values, shares=shares, covariance=covariance)

    here = spread(_estimated(window, label, settings.design_effect), window.features)
    if isinstance(baseline, AttributionSums):
        known = _estimated(baseline, baseline_label, settings.design_effect)
        return spread(known, baseline.features), here
    return spread(_known(np.abs(np.array(list(baseline.values())))), tuple(baseline)), here


def _compared(
    names: tuple[str, ...], there: _Side, here: _Side
) -> tuple[tuple[FeatureAttribution, ...], float, float | None]:
    """Return the features, the distance of the shares and its standard error."""
    moved = here.shares - there.shares
    covariance = here.covariance + there.covariance
    errors = np.sqrt(np.diag(covariance))
    tested = errors > 0.0
    p_values = np.ones(len(names))
    p_values[tested] = [
        min(1.0, 2.0 * normal_sf(abs(z))) for z in (moved[tested] / errors[tested]).tolist()
    ]
    # A share that cannot vary and still differs, such as that of a feature that is gone.
    p_values[~tested & (np.abs(moved) > 1e-9)] = 0.0
    adjusted = holm(p_values)
    ranks_there, ranks_here = _ranks(there.values), _ranks(here.values)
    features = tuple(
        FeatureAttribution(
            name=name,
            baseline=float(there.values[j]),
            window=float(here.values[j]),
            baseline_share=float(there.shares[j]),
            window_share=float(here.shares[j]),
            baseline_rank=int(ranks_there[j]),
            window_rank=int(ranks_here[j]),
            p_value=float(p_values[j]),
            adjusted_p_value=float(adjusted[j]),
        )
        for j, name in enumerate(names)
    )
    distance = 0.5 * float(np.abs(moved).sum())
    # Total variation is what the growing features gain.
    sign = np.sign(moved)
    variance = 0.25 * float(sign @ covariance @ sign)
    return features, distance, math.sqrt(variance) if variance > 0.0 else None


def _ranks(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return ranks from 1 on, ties in order."""
    ranks = np.empty(len(values), dtype=np.intp)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


def _decided(
    mode: Mode,
    settings: AttributionSettings,
    score: float,
    rows: int,
    features: tuple[FeatureAttribution, ...],
    distance: float,
) -> tuple[AttributionOutcome, str]:
    if math.isnan(score):
        return "insufficient_data", "No feature of the baseline has an attribution."
    if not any(feature.window for feature in features):
        return "insufficient_data", "No feature has an attribution in this window."
    if mode == "strict":
        if score < settings.ndcg_limit:
            return "drift", f"NDCG {score:.3f} is below {settings.ndcg_limit:g}."
        return "ok", f"NDCG {score:.3f} is not below {settings.ndcg_limit:g}."
    if rows < settings.min_rows:
        return (
            "insufficient_data",
            f"{rows} rows were explained, at least {settings.min_rows} are needed.",
        )
    surest = min(features, key=lambda feature: (feature.adjusted_p_value, -feature.moved))
    moved = f"{distance:.1%} of the attribution moved to other features"
    if surest.adjusted_p_value > settings.alpha:
        return "ok", f"No feature's share differs significantly ({moved})."
    if distance < settings.min_distance:
        return "ok", f"{moved}, less than {settings.min_distance:.0%} is no drift."
    return "drift", f"{moved}, surest for {surest.name}."


def _nothing(
    label: str,
    mode: Mode,
    settings: AttributionSettings,
    names: tuple[str, ...],
    there: Mapping[str, float],
) -> AttributionVerdict:
    values = np.array([there.get(name, 0.0) for name in names])
    side = _known(values)
    ranks = _ranks(values)
    return AttributionVerdict(
        label=label,
        mode=mode,
        verdict="insufficient_data",
        reason="No row was explained.",
        rows=0,
        ndcg=None,
        ndcg_limit=settings.ndcg_limit,
        distance=None,
        min_distance=settings.min_distance if mode == "sound" else None,
        features=tuple(
            FeatureAttribution(
                name=name,
                baseline=float(values[j]),
                window=0.0,
                baseline_share=float(side.shares[j]),
                window_share=0.0,
                baseline_rank=int(ranks[j]),
                window_rank=int(ranks[j]),
                p_value=1.0,
                adjusted_p_value=1.0,
            )
            for j, name in enumerate(names)
        ),
    )
