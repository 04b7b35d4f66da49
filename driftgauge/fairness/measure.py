"""All bias metrics of a facet, each with its standard error and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.fairness import metrics
from driftgauge.fairness.counts import FacetCounts
from driftgauge.fairness.flips import FlipTest

Stage = Literal["pre_training", "post_training"]
# What a metric is a function of: outcomes by facet, or labels against predictions by facet.
Source = Literal["labels", "predictions", "both"]
Counts = NDArray[np.float64]

# Half a row more in every cell: rates of 0 and 1 are not certain. The gradient's step is relative
# to that half.
_SMOOTHING = 0.5
_STEP = 1e-3
# Rows of either outcome that a group needs before its disparity has a normal distribution, and
# the share of rows that must be in such groups.
_LEAST_OF_GROUP = 5
_SHARE_IN_GROUPS = 0.8

DESCRIPTIONS: dict[Stage, dict[str, str]] = {
    "pre_training": {
        "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
        "CI": "Class Imbalance (CI)",
        "DPL": "Difference in Positive Proportions in Labels (DPL)",
        "JS": "Jensen-Shannon Divergence (JS)",
        "KL": "Kullback-Liebler Divergence (KL)",
        "KS": "Kolmogorov-Smirnov Distance (KS)",
        "LP": "L-p Norm (LP)",
        "TVD": "Total Variation Distance (TVD)",
    },
    "post_training": {
        "AD": "Accuracy Difference (AD)",
        "CDDPL": "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
        "DAR": "Difference in Acceptance Rates (DAR)",
        "DCA": "Difference in Conditional Acceptance (DCA)",
        "DCR": "Difference in Conditional Rejection (DCR)",
        "DI": "Disparate Impact (DI)",
        "DPPL": "Difference in Positive Proportions in Predicted Labels (DPPL)",
        "DRR": "Difference in Rejection Rates (DRR)",
        "FT": "Flip Test (FT)",
        "GE": "Generalized Entropy (GE)",
        "RD": "Recall Difference (RD)",
        "SD": "Specificity Difference (SD)",
        "TE": "Treatment Equality (TE)",
    },
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One metric.

    Attributes
    ----------
    value : float or None
        May be infinite; None: it cannot be computed.
    error : str or None
        Why not.
    distance : float or None
        Signed distance from the fair value that is judged: the value itself; of DI the logarithm,
        with half a row added to each count, so that it is finite.
    standard_error : float or None
        Of the distance, for independent rows; None: not known.
    rows : int
        The smallest number of rows that a rate in it rests on.
    """

    value: float | None
    error: str | None = None
    distance: float | None = None
    standard_error: float | None = None
    rows: int = 0


@dataclass(frozen=True)
class _Formula:
    source: Source
    of: Callable[[Any, Any], float]  # of facet a and d: lists of counts
    rests_on: Callable[[Counts], float]


def _rows(side: Counts) -> float:
    return float(side.sum())


def _observed(outcome: int) -> Callable[[Counts], float]:
    return lambda side: float(side[outcome].sum())


def _predicted(outcome: int) -> Callable[[Counts], float]:
    return lambda side: float(side[:, outcome].sum())


def _imbalance(a: list[float], d: list[float]) -> float:
    return metrics.class_imbalance(sum(a), sum(d))


_LABELS: dict[str, Callable[[Any, Any], float]] = {
    "CI": _imbalance,
    "DPL": metrics.proportion_difference,
    "JS": metrics.jensen_shannon,
    "KL": metrics.kullback_leibler,
    "KS": metrics.kolmogorov_smirnov,
    "LP": metrics.lp_norm,
    "TVD": metrics.total_variation,
}
_FORMULAS: dict[Stage, dict[str, _Formula]] = {
    "pre_training": {name: _Formula("labels", of, _rows) for name, of in _LABELS.items()},
    "post_training": {
        "AD": _Formula("both", metrics.accuracy_difference, _rows),
        "DAR": _Formula("both", metrics.acceptance_rate_difference, _predicted(1)),
        "DCA": _Formula("both", metrics.conditional_acceptance, _predicted(1)),
        "DCR": _Formula("both", metrics.conditional_rejection, _predicted(0)),
        "DI": _Formula("predictions", metrics.disparate_impact, _rows),
        "DPPL": _Formula("predictions", metrics.proportion_difference, _rows),
        "DRR": _Formula("both", metrics.rejection_rate_difference, _predicted(0)),
        "GE": _Formula("both", metrics.generalized_entropy, _rows),
        "RD": _Formula("both", metrics.recall_difference, _observed(1)),
        "SD": _Formula("both", metrics.specificity_difference, _observed(0)),
        "TE": _Formula("both", metrics.treatment_equality, lambda side: float(side[0, 1])),
    },
}
_CONDITIONAL: dict[Stage, tuple[str, Source]] = {
    "pre_training": ("CDDL", "labels"),
    "post_training": ("CDDPL", "predictions"),
}


def stages_of(counts: FacetCounts) -> tuple[Stage, ...]:
    """Return the stages that the rows say something about."""
    cells = counts.cells
    found: list[Stage] = []
    if cells[:, :2].any():
        found.append("pre_training")
    if cells[:, :, :2].any():
        found.append("post_training")
    return tuple(found)


def measure_bias(
    counts: FacetCounts,
    stage: Stage,
    *,
    grouped: bool,
    flips: FlipTest | str | None = None,
) -> dict[str, Measured]:
    """Compute all metrics of a stage, by name in alphabetical order.

    Metrics of labels use the rows with a label, those of predictions the rows with a prediction,
    and all others the rows with both.

    Parameters
    ----------
    counts : FacetCounts
    stage : {"pre_training", "post_training"}
    grouped : bool
        Whether there is a group variable: without one there are no conditional metrics.
    flips : FlipTest, str or None
        The flip test of the rows, or why there is none; None: it was not asked for.
    """
    cells = counts.cells.astype(np.float64)
    found = {
        name: _measure(name, formula, _reduced(cells, formula.source))
        for name, formula in _FORMULAS[stage].items()
    }
    name, source = _CONDITIONAL[stage]
    found[name] = _conditional(counts, source) if grouped else _none("There is no group variable")
    if stage == "post_training" and flips is not None:
        found["FT"] = _none(flips) if isinstance(flips, str) else _of_flips(flips)
    return {name: found[name] for name in sorted(found)}


def _reduced(cells: Counts, source: Source) -> Counts:
    """Return what a metric is computed from: the facet is the first axis."""
    table: Counts = cells[:, :2, :2]
    if source == "labels":
        table = cells[:, :2].sum(axis=2)
    elif source == "predictions":
        table = cells[:, :, :2].sum(axis=1)
    return table


def _measure(name: str, formula: _Formula, table: Counts) -> Measured:
    empty = _emptiness(table)
    if empty is not None:
        return _none(empty)

    def of(counts: Counts) -> float:
        a, d = counts.tolist()
        return formula.of(a, d)

    rows = [formula.rests_on(side) for side in table]
    value, smooth = of(table), table + _SMOOTHING
    logarithmic = name == "DI"
    judged = (lambda counts: math.log(of(counts))) if logarithmic else of
    return Measured(
        value=value,
        distance=judged(smooth) if logarithmic else value,
        standard_error=_error_of(judged, smooth),
        # These two describe all rows together.
        rows=int(sum(rows) if name in ("CI", "GE") else min(rows)),
    )


def _emptiness(table: Counts) -> str | None:
    for side, name in zip(table, ("a", "d"), strict=True):
        if not side.sum():
            return f"Facet {name} has no row"
    return None


def _error_of(of: Callable[[Counts], float], table: Counts) -> float | None:
    """Return the standard error of a function of counts by the delta method.

    The metrics do not change when all counts are multiplied, so that the variance of independent
    Poisson counts, the sum of n_c (df / dn_c)^2, is that of multinomial ones as well.
    """
    variance = 0.0
    for cell in np.ndindex(table.shape):
        count = float(table[cell])
        step = _STEP * count
        up, down = table.copy(), table.copy()
        up[cell] += step
        down[cell] -= step
        variance += count * ((of(up) - of(down)) / (2 * step)) ** 2
    return math.sqrt(variance) if math.isfinite(variance) else None


def _conditional(counts: FacetCounts, source: Source) -> Measured:
    by_group = counts.by_group.astype(np.float64)
    tables = by_group[:, :, :2].sum(axis=3) if source == "labels" else by_group[..., :2].sum(axis=2)
    total = tables.sum(axis=0)
    empty = _emptiness(total)
    if empty is not None:
        return _none(empty)
    for outcome, name in ((1, "positive"), (0, "negative")):
        if not total[:, outcome].sum():
            return _none(f"There is no {name} outcome")
    value = metrics.conditional_disparity(tables)
    outcomes = tables.sum(axis=1)
    sizes = outcomes.sum(axis=1)
    full = (outcomes >= _LEAST_OF_GROUP).all(axis=1)
    filled = sizes[full].sum() >= _SHARE_IN_GROUPS * sizes.sum()
    return Measured(
        value=value,
        distance=value,
        standard_error=_error_of_disparity(tables, value) if filled else None,
        rows=int(total.sum(axis=1).min()),
    )


def _error_of_disparity(tables: Counts, value: float) -> float:
    """Return the standard error of a conditional disparity by the delta method."""
    rows = tables.sum()
    outcomes = tables.sum(axis=1)
    present = outcomes > 0
    divisor = np.where(present, outcomes, 1.0)
    shares = np.where(present, tables[:, 1] / divisor, 0.0)
    disparity = shares[:, 0] - shares[:, 1]
    sizes = outcomes.sum(axis=1)
    signs = np.array([1.0, -1.0])
    slope = sizes[:, None] * signs / divisor
    # By facet d the share rises with what is missing to 1, by facet a it falls with itself.
    gradient = (
        np.stack([-slope * shares, slope * (1 - shares)], axis=1) + disparity[:, None, None] - value
    )
    return float(np.sqrt(np.sum(tables * (gradient / rows) ** 2)))


def _of_flips(flips: FlipTest) -> Measured:
    return Measured(
        value=flips.value,
        distance=flips.value,
        standard_error=flips.standard_error,
        rows=min(flips.rows, flips.rows_a),
    )


def _none(error: str) -> Measured:
    return Measured(value=None, error=error)


def facet_rows(counts: FacetCounts) -> Mapping[str, int]:
    """Return the rows of each facet: ``{"a": ..., "d": ...}``."""
    of_side = counts.cells.sum(axis=(1, 2))
    return {"a": int(of_side[0]), "d": int(of_side[1])}
