"""The decision: from two profiles to a verdict on a window.

A column drifts when its difference from the baseline is significant after Holm's correction over
all judged columns (inputs and outputs together) *and* its effect, the population stability
index less what sampling alone adds, is worth an alarm. The first guards small windows, the second
large ones. Missing values are no part of either: ``checks.data_quality`` judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftgauge.checks.data_quality import check_profile, drift_violations
from driftgauge.checks.strict import judge_strictly
from driftgauge.drift.cells import Comparison, coarse_groups, compare, merge, moved_cells
from driftgauge.drift.distances import psi, psi_bias
from driftgauge.drift.significance import (
    Significance,
    anderson_darling,
    combine,
    independence,
)
from driftgauge.drift.special import holm
from driftgauge.drift.verdict import CellShift, FeatureVerdict, Mode, Violation, WindowVerdict
from driftgauge.errors import ProfileError
from driftgauge.profile.profile import FeatureProfile, Profile
from driftgauge.windows import Window

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.config import DecisionSettings, FeatureSettings


_SMALLEST_P = 1e-300
# Rows a coarse cell must expect for its emptiness to be part of the effect.
_EXPECTED = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Evidence:
    """What was measured on one column, before it is corrected for the other columns."""

    distance: float
    effect: float
    significance: Significance
    moved: tuple[CellShift, ...]


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
        verdicts, violations = _judge_soundly(baseline, profile, decision, features)
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
) -> tuple[tuple[FeatureVerdict, ...], tuple[Violation, ...]]:
    verdicts = judge_features(
        baseline=baseline.profile, profile=profile, decision=decision, features=features
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
) -> tuple[FeatureVerdict, ...]:
    """Compare two profiles column by column.

    Numeric and discrete columns are tested for order (Anderson-Darling) and for cells
    (chi-squared), all others for cells. A verdict names the test with the stronger evidence, and
    its ``p_value`` already pays for both (see ``significance.combine``).

    Returns
    -------
    tuple of FeatureVerdict
        One for each column that is not ignored, in the specification's order.
    """
    judged = [
        (there, here)
        for there, here in zip(baseline.features, profile.features, strict=True)
        if not (here.spec.name in features and features[here.spec.name].ignore)
    ]
    shortages = [_shortage(there, here, decision.min_rows) for there, here in judged]
    evidence = [
        _measure(compare(there, here)) if shortage is None else None
        for (there, here), shortage in zip(judged, shortages, strict=True)
    ]
    measured = [found for found in evidence if found is not None]
    adjusted = iter(holm(np.array([found.significance.p_value for found in measured])).tolist())
    verdicts = []
    for (_, here), shortage, found in zip(judged, shortages, evidence, strict=True):
        if found is None:
            verdicts.append(_insufficient(here, shortage or ""))
        else:
            limit = smallest_effect(here.spec.name, decision, features)
            verdicts.append(
                _decide(here, found, next(adjusted), len(measured), decision.alpha, limit)
            )
    return tuple(verdicts)


def smallest_effect(
    name: str, decision: DecisionSettings, features: Mapping[str, FeatureSettings]
) -> float:
    """Return the effect from which a column's drift is worth an alarm."""
    override = features[name].min_effect if name in features else None
    return decision.min_effect if override is None else override


def _shortage(baseline: FeatureProfile, window: FeatureProfile, min_rows: int) -> str | None:
    """Say why a column cannot be judged, or return None if it can."""
    if window.counted < min_rows:
        others = window.present - window.counted
        aside = f" (besides {others:,} of the wrong type)" if others else ""
        return f"The window has {window.counted:,} usable values{aside}; {min_rows:,} are needed."
    if baseline.counted < min_rows:
        return f"The baseline has only {baseline.counted:,} usable values; {min_rows:,} are needed."
    return None


def _measure(comparison: Comparison) -> _Evidence:
    groups = coarse_groups(comparison)
    distance, effect = _effect(comparison, groups)
    return _Evidence(
        distance=distance,
        effect=effect,
        significance=_test(comparison, groups),
        moved=moved_cells(comparison, groups),
    )


def _effect(comparison: Comparison, groups: NDArray[np.intp]) -> tuple[float, float]:
    """Return the smoothed PSI of the coarse cells, and the same less its sampling bias."""
    there, here = merge(comparison.left_out, groups), merge(comparison.window, groups)
    ratio = comparison.window_rows / comparison.baseline_rows
    # Where no row is and hardly any was to be expected, half a count would be a difference made up.
    used = (here > 0) | (there * ratio >= _EXPECTED) | (there == there.max())
    there, here = there[used], here[used]
    distance = psi(there, here)
    bias = psi_bias(there.shape[0], comparison.baseline_rows, comparison.window_rows)
    return distance, distance - bias


def _test(comparison: Comparison, groups: NDArray[np.intp]) -> Significance:
    """Test a column: ordered ones for order and for cells, others for cells."""
    there, here, novel = comparison.left_out, comparison.window, comparison.novel
    ordered = None
    if comparison.spec.kind in ("numeric", "discrete"):
        ordered = anderson_darling(there, here)
    if comparison.spec.kind == "numeric":
        # Every cell of a group is novel or none is.
        novel = merge(novel.astype(np.int64), groups) > 0
        there, here = merge(there, groups), merge(here, groups)
    return combine(ordered, independence(there, here, novel))


def _insufficient(window: FeatureProfile, reason: str) -> FeatureVerdict:
    return FeatureVerdict(
        name=window.spec.name,
        role=window.spec.role,
        kind=window.spec.kind,
        verdict="insufficient_data",
        rows=window.present,
        missing_share=_missing_share(window),
        reason=reason,
    )


def _decide(
    window: FeatureProfile,
    evidence: _Evidence,
    adjusted: float,
    columns: int,
    alpha: float,
    min_effect: float,
) -> FeatureVerdict:
    significant = adjusted <= alpha
    large = evidence.effect > min_effect
    return FeatureVerdict(
        name=window.spec.name,
        role=window.spec.role,
        kind=window.spec.kind,
        verdict="drift" if significant and large else "ok",
        rows=window.present,
        missing_share=_missing_share(window),
        reason=_explain(evidence, adjusted, columns, alpha, min_effect),
        distance=evidence.distance,
        effect=evidence.effect,
        test=evidence.significance.test,
        statistic=evidence.significance.statistic,
        p_value=evidence.significance.p_value,
        adjusted_p_value=adjusted,
        moved=evidence.moved,
    )


def _missing_share(window: FeatureProfile) -> float:
    return window.missing / window.rows if window.rows else 0.0


def _explain(
    evidence: _Evidence, adjusted: float, columns: int, alpha: float, min_effect: float
) -> str:
    corrected = f"p {f'= {adjusted:.2g}' if adjusted >= _SMALLEST_P else '< 1e-300'}"
    if columns > 1:
        corrected += f" after correction for {columns:,} columns"
    corrected += f", limit {alpha:g}"
    if adjusted > alpha:
        return f"No significant difference from the baseline: {corrected}."
    if evidence.effect <= min_effect:
        return (
            f"The difference is significant ({corrected}) but too small for an alarm: the effect "
            f"is {evidence.effect:.3g}, the limit {min_effect:g}."
        )
    return (
        f"The distribution moved: PSI is {evidence.distance:.3g}, {evidence.effect:.3g} more than "
        f"sampling alone gives (limit {min_effect:g}), and the difference is significant "
        f"({corrected})."
    )
