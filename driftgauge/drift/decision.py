"""The decision: from two profiles to a verdict on a window.

A column drifts when its difference from the baseline is significant after correction over all
judged columns (inputs and outputs together) *and* its effect, the population stability
index less what sampling alone adds, is worth an alarm. The first guards small windows, the second
large ones.

Missing values are no part of a column's distribution. Their share is a test of its own in
the same correction, with a tenth of the weight: fewer missing values than the baseline has are a
drift by the same two conditions, more of them are judged by ``checks.data_quality`` and only named
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from driftgauge.checks.data_quality import check_profile, drift_violations
from driftgauge.checks.strict import judge_strictly
from driftgauge.drift.detectable import detectable_shift
from driftgauge.drift.importance import weigh
from driftgauge.drift.measures import ORDER_SHARE, Measured, Missing, measure, measure_missing
from driftgauge.drift.multiplicity import adjust
from driftgauge.drift.reasons import (
    Limits,
    explain_detectable,
    explain_missing,
    explain_shortage,
    explain_values,
)
from driftgauge.drift.verdict import (
    MISSING_LABEL,
    CellShift,
    FeatureVerdict,
    Mode,
    Violation,
    WindowVerdict,
)
from driftgauge.errors import ProfileError
from driftgauge.profile.profile import FeatureProfile, Profile
from driftgauge.windows import Window

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.config import DecisionSettings, FeatureSettings


# Of a test of missing values, beside one of a column's distribution.
_MISSING_WEIGHT = 0.1
# How many coarse cells a column has that is too small to be judged.
_CELLS = 10
_ROWS_PER_CELL = 10


@dataclass(kw_only=True, eq=False)
class _Column:
    """One column while it is judged; what is None does not apply."""

    reference: FeatureProfile
    window: FeatureProfile
    dispersion: float
    shortage: str | None
    measured: Measured | None
    missing: Missing | None
    adjusted: float = 1.0
    adjusted_missing: float = 1.0


def judge_window(
    *,
    baseline: Baseline,
    profile: Profile,
    decision: DecisionSettings,
    features: Mapping[str, FeatureSettings],
    monitor: str,
    variant: str,
    window: Window,
    evaluated_at: datetime,
    other_baseline_rows: int = 0,
    mode: Mode = "sound",
    dispersions: Mapping[str, float] | None = None,
) -> WindowVerdict:
    """Compare a window with its baseline, column by column, and check its data quality.

    Parameters
    ----------
    baseline : Baseline
        What the window is compared with.
    profile : Profile
        The window's rows, counted against the baseline's specification.
    decision : DecisionSettings
        Error probability, smallest effect, fewest rows; of no meaning in strict mode.
    features : mapping of str to FeatureSettings
        Overrides by column. An ignored column has no verdict and no part in the correction.
    monitor, variant : str
        Whose window it is.
    window : Window
        The interval of inference time.
    evaluated_at : datetime
        Now.
    other_baseline_rows : int, default 0
        Rows of the window that were counted against another baseline.
    mode : {"sound", "strict"}
        Strict: by the thresholds of ``constraints.json``, as Model Monitor decides.
    dispersions : mapping of str to float, optional
        By column, how many times more windows vary than independent rows would.

    Raises
    ------
    ProfileError
        If the profile was counted against another baseline's specification.
    """
    if profile.spec is not baseline.spec and profile.spec != baseline.spec:
        raise ProfileError(
            f"the window is counted against baseline {profile.spec.version!r}, not "
            f"{baseline.spec.version!r}: profile its capture again"
        )
    if mode == "strict":
        found = judge_strictly(baseline=baseline, profile=profile, features=features)
        verdicts, violations = found.features, found.violations
    else:
        verdicts, violations = _judge_soundly(baseline, profile, decision, features, dispersions)
    return WindowVerdict(
        monitor=monitor,
        variant=variant,
        baseline_version=baseline.spec.version,
        window_start=window.start,
        window_end=window.end,
        evaluated_at=evaluated_at,
        rows=profile.rows,
        records=profile.records,
        features=verdicts,
        violations=violations,
        rejected=dict(profile.rejected),
        other_baseline_rows=other_baseline_rows,
        mode=mode,
    )


def _judge_soundly(
    baseline: Baseline,
    profile: Profile,
    decision: DecisionSettings,
    features: Mapping[str, FeatureSettings],
    dispersions: Mapping[str, float] | None,
) -> tuple[tuple[FeatureVerdict, ...], tuple[Violation, ...]]:
    verdicts = judge_features(
        baseline=baseline.profile,
        profile=profile,
        decision=decision,
        features=features,
        dispersions=dispersions,
        importances=baseline.importances,
    )
    violations = check_profile(
        baseline=baseline, profile=profile, settings=decision, features=features
    )
    return verdicts, violations + drift_violations(verdicts, settings=decision, features=features)


def judge_features(
    *,
    baseline: Profile,
    profile: Profile,
    decision: DecisionSettings,
    features: Mapping[str, FeatureSettings],
    dispersions: Mapping[str, float] | None = None,
    importances: Mapping[str, float] | None = None,
    reference: str = "the baseline",
) -> tuple[FeatureVerdict, ...]:
    """Compare two profiles column by column.

    Numeric and discrete columns are tested for order and for cells, all others for cells. A verdict
    names the test with the strongest evidence, and its ``p_value`` already pays for all of them
    (see ``significance.combine``).

    Parameters
    ----------
    baseline : Profile
        The baseline's rows or any other reference's, counted as the window's.
    profile : Profile
        The window's rows.
    decision : DecisionSettings
        Error probability, correction, smallest effect, fewest rows.
    features : mapping of str to FeatureSettings
        Overrides by column. An ignored column has no verdict and no part in the correction.
    dispersions : mapping of str to float, optional
        By column, how many times more windows vary than independent rows would; 1 by default.
        Statistics, and what sampling adds to the effect, scale with it.
    importances : mapping of str to float, optional
        Weights of inputs by the training data; the user's own ones override them.
    reference : str, default "the baseline"
        What reasons call the other side.

    Returns
    -------
    tuple of FeatureVerdict
        One for each column that is not ignored, in the specification's order.
    """
    columns = [
        _look(there, here, decision, (dispersions or {}).get(here.spec.name, 1.0), reference)
        for there, here in zip(baseline.features, profile.features, strict=True)
        if not (here.spec.name in features and features[here.spec.name].ignore)
    ]
    weight = _correct(columns, decision)
    inputs = [c.window.spec.name for c in columns if c.window.spec.role == "input"]
    weights = weigh(inputs, features=features, importances=importances or {})
    judged = sum(column.measured is not None for column in columns)
    verdicts = []
    for column in columns:
        name = column.window.spec.name
        limits = Limits(
            alpha=decision.alpha,
            min_effect=smallest_effect(name, decision, features),
            columns=judged,
            reference=reference,
        )
        verdicts.append(_decide(column, limits, weight=weight, importance=weights.get(name)))
    return tuple(verdicts)


def smallest_effect(
    name: str, decision: DecisionSettings, features: Mapping[str, FeatureSettings]
) -> float:
    """Return the effect from which a column's drift is worth an alarm."""
    override = features[name].min_effect if name in features else None
    return decision.min_effect if override is None else override


def _look(
    there: FeatureProfile,
    here: FeatureProfile,
    decision: DecisionSettings,
    dispersion: float,
    reference: str,
) -> _Column:
    dispersion = max(1.0, dispersion)
    shortage = explain_shortage(
        window=here.counted,
        reference=there.counted,
        mistyped=here.present - here.counted,
        min_rows=decision.min_rows,
        name=reference,
    )
    enough = min(here.rows, there.rows) >= decision.min_rows
    return _Column(
        reference=there,
        window=here,
        dispersion=dispersion,
        shortage=shortage,
        measured=measure(there, here, dispersion) if shortage is None else None,
        missing=measure_missing(there, here, dispersion) if enough else None,
    )


def _correct(columns: list[_Column], decision: DecisionSettings) -> float:
    """Correct all p-values together and return the weight of the tests that pay for each other.

    A test of missing values that could not be significant, whichever rows lacked them, takes
    no part (Tarone 1990).
    """
    values = [column for column in columns if column.measured is not None]
    missing = [
        column
        for column in columns
        if column.missing is not None
        and column.missing.least <= decision.alpha * _MISSING_WEIGHT / max(1, len(values))
    ]
    p_values = [c.measured.significance.p_value for c in values if c.measured]
    p_values += [c.missing.p_value for c in missing if c.missing]
    weights = np.array([1.0] * len(values) + [_MISSING_WEIGHT] * len(missing))
    adjusted = adjust(np.array(p_values), decision.correction, weights=weights).tolist()
    for column, p_value in zip(values, adjusted, strict=False):
        column.adjusted = p_value
    for column, p_value in zip(missing, adjusted[len(values) :], strict=True):
        column.adjusted_missing = p_value
    return float(weights.sum())


def _decide(
    column: _Column, limits: Limits, *, weight: float, importance: float | None
) -> FeatureVerdict:
    window, measured, missing = column.window, column.measured, column.missing
    shift = _detectable(column, limits, weight)
    about_missing = explain_missing(missing, column.adjusted_missing, limits) if missing else ""
    unjudged = FeatureVerdict(
        name=window.spec.name,
        role=window.spec.role,
        kind=window.spec.kind,
        verdict="insufficient_data",
        rows=window.present,
        missing_share=window.missing / window.rows if window.rows else 0.0,
        reason=_join(column.shortage or "", explain_detectable(shift), about_missing),
        missing_effect=missing.effect if missing else None,
        missing_p_value=missing.p_value if missing else None,
        detectable_shift=shift,
        dispersion=column.dispersion,
        importance=importance,
    )
    if measured is None:
        return unjudged
    fewer = missing is not None and missing.fewer and bool(about_missing)
    moved = column.adjusted <= limits.alpha and measured.effect > limits.min_effect
    return replace(
        unjudged,
        verdict="drift" if moved or fewer else "ok",
        reason=_join(explain_values(measured, column.adjusted, limits), about_missing),
        distance=measured.distance,
        effect=measured.effect,
        test=measured.significance.test,
        statistic=measured.significance.statistic,
        p_value=measured.significance.p_value,
        adjusted_p_value=column.adjusted,
        moved=_moved(measured, missing if fewer else None),
        distance_interval=measured.interval,
        novel_p_value=measured.novel_p_value,
    )


def _moved(measured: Measured, missing: Missing | None) -> tuple[CellShift, ...]:
    if missing is None:
        return measured.moved
    lead = CellShift(label=MISSING_LABEL, baseline_share=missing.usual, window_share=missing.share)
    return (lead, *measured.moved[:-1])


def _detectable(column: _Column, limits: Limits, weight: float) -> float | None:
    """Return the smallest shift that so many values show; None if there is none on one side."""
    n, m = column.window.counted, column.reference.counted
    if n == 0 or m == 0:
        return None
    measured = column.measured
    ordered = column.window.spec.kind in ("numeric", "discrete")
    cells = min(_CELLS, max(2, min(n, m) // _ROWS_PER_CELL))
    if measured is not None:
        ordered, cells = measured.ordered, measured.cells
    share = ORDER_SHARE if ordered else 1.0
    return detectable_shift(
        baseline_rows=m,
        window_rows=n,
        cells=cells,
        ordered=ordered,
        level=limits.alpha * share / max(1.0, weight),
        min_effect=limits.min_effect,
        dispersion=column.dispersion,
    )


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
