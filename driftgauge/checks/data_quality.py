"""Data-quality checks: types, completeness, columns, categories, signs.

Check names and wording are Model Monitor's (``non_negative_check`` is an extension), decisions are
not: where Model Monitor compares a share with a fixed threshold, a check here fails if the
window's share of bad values is significantly above the *baseline's own share* (Fisher's exact test,
Holm-corrected over all checks of the window) and the excess is worth mentioning. So a baseline that
always lacked 3 % of a column allows the window the same, one odd value in a million rows is no
violation, and twenty rows out of twenty without a value are one. ``constraints.json`` says which
checks are made; where it demands less than the baseline fulfils, that is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from driftgauge.drift.multiplicity import holm
from driftgauge.drift.special import hypergeometric_sf
from driftgauge.drift.verdict import (
    BASELINE_DRIFT,
    MISSING_LABEL,
    FeatureVerdict,
    Violation,
)
from driftgauge.profile.profile import FeatureProfile, Profile

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.config import DecisionSettings, FeatureSettings

DATA_TYPE: Final = "data_type_check"
COMPLETENESS: Final = "completeness_check"
MISSING_COLUMN: Final = "missing_column_check"
EXTRA_COLUMN: Final = "extra_column_check"
CATEGORICAL_VALUES: Final = "categorical_values_check"
NON_NEGATIVE: Final = "non_negative_check"

# However large the baseline, a single row is no evidence.
_FEWEST_BAD = 2


@dataclass(frozen=True, kw_only=True)
class _Rate:
    """How many of how many values fail one check, in the window and in the baseline.

    ``required`` is the share of good values that the constraints demand.
    """

    name: str
    check: str
    bad: int
    of: int
    baseline_bad: int
    baseline_of: int
    required: float
    description: str

    @property
    def excess(self) -> float:
        """The window's share of bad values less the baseline's."""
        if self.of == 0:
            return 0.0
        usual = self.baseline_bad / self.baseline_of if self.baseline_of else 0.0
        return self.bad / self.of - usual

    @property
    def p_value(self) -> float:
        """One-sided p-value of Fisher's exact test for a higher share than in the baseline."""
        if self.baseline_of == 0 or self.excess <= 0.0:
            return 1.0
        return hypergeometric_sf(
            self.bad, self.bad + self.baseline_bad, self.of, self.of + self.baseline_of
        )


def check_profile(
    *,
    baseline: Baseline,
    profile: Profile,
    settings: DecisionSettings,
    features: Mapping[str, FeatureSettings],
) -> tuple[Violation, ...]:
    """Check a window's values against the baseline's.

    Parameters
    ----------
    baseline : Baseline
        What is usual, and its constraints: which checks are made.
    profile : Profile
        The window's rows, counted against the baseline's specification.
    settings : DecisionSettings
        ``alpha``: chance of any false violation in the window. ``min_excess``: smallest excess
        over the baseline's share of bad values that is a violation.
    features : mapping of str to FeatureSettings
        Ignored columns, extra ones too, are not checked.

    Returns
    -------
    tuple of Violation
        In the order of the specification's columns, extra columns last. A column that every row
        lacks fails ``missing_column_check`` under its own name, besides ``completeness_check``.
    """
    if profile.rows == 0 or not baseline.constraints.settings.evaluate_constraints:
        return ()
    ignored = {name for name, feature in features.items() if feature.ignore}
    rates = [
        rate
        for rate in (*_column_rates(baseline, profile), *_extra_rates(baseline.profile, profile))
        if rate.name not in ignored
    ]
    adjusted = holm(np.array([rate.p_value for rate in rates])).tolist()
    violations: list[Violation] = []
    for rate, p_value in zip(rates, adjusted, strict=True):
        if not _fails(rate, p_value, settings):
            continue
        if rate.check == COMPLETENESS and profile.feature(rate.name).absent == profile.rows:
            description = f"There are missing columns in current dataset. {_columns(profile)}"
            violations.append(_violation(rate.name, MISSING_COLUMN, description))
        violations.append(_violation(rate.name, rate.check, rate.description))
    return tuple(violations)


def _fails(rate: _Rate, p_value: float, settings: DecisionSettings) -> bool:
    return (
        rate.bad >= _FEWEST_BAD
        and p_value <= settings.alpha
        and rate.excess > settings.min_excess
        and rate.of - rate.bad < rate.required * rate.of
    )


def drift_violations(
    verdicts: Sequence[FeatureVerdict],
    *,
    settings: DecisionSettings,
    features: Mapping[str, FeatureSettings],
) -> tuple[Violation, ...]:
    """Report each drifted column as Model Monitor's ``baseline_drift_check``.

    The distance in the description is the effect that was compared with the limit: of the values,
    or where they did not move, of the share of missing ones.
    """
    violations = []
    for verdict in verdicts:
        if verdict.verdict != "drift":
            continue
        word = "Numerical" if verdict.kind in ("numeric", "discrete") else "Categorical"
        override = features[verdict.name].min_effect if verdict.name in features else None
        limit = settings.min_effect if override is None else override
        effect, quantity = verdict.effect, f"{word} distance"
        if verdict.moved and verdict.moved[0].label == MISSING_LABEL and (effect or 0.0) <= limit:
            effect, quantity, word = verdict.missing_effect, "Distance of missing shares", "drift"
        violations.append(
            _violation(
                verdict.name,
                BASELINE_DRIFT,
                f"{quantity}: {effect} exceeds {word.lower()} threshold: {limit}",
            )
        )
    return tuple(violations)


def _violation(name: str, check: str, description: str) -> Violation:
    return Violation(feature_name=name, constraint_check_type=check, description=description)


def _columns(profile: Profile) -> str:
    expected = len(profile.spec.features)
    here = sum(feature.absent < profile.rows for feature in profile.features)
    return (
        f"Number of columns in current dataset: {here + len(profile.extra_columns)}, "
        f"Number of columns in baseline constraints: {expected}"
    )


def _column_rates(baseline: Baseline, profile: Profile) -> Iterator[_Rate]:
    constraints = {feature.name: feature for feature in baseline.constraints.features}
    for there, here in zip(baseline.profile.features, profile.features, strict=True):
        wanted = constraints.get(here.spec.name)
        if wanted is None:
            continue
        settings = baseline.constraints.settings_for(here.spec.name)
        if wanted.completeness is not None:
            yield _completeness(there, here, required=wanted.completeness)
        if wanted.inferred_type != "Unknown":
            yield _data_type(
                there,
                here,
                wanted=wanted.inferred_type,
                required=settings.datatype_check_threshold,
            )
        if wanted.domains is not None and here.spec.kind in ("categorical", "boolean"):
            yield _categorical_values(
                there,
                here,
                domains=wanted.domains,
                required=settings.domain_content_threshold,
            )
        if wanted.is_non_negative and here.spec.kind in ("numeric", "discrete"):
            yield _non_negative(there, here)


def _extra_rates(baseline: Profile, profile: Profile) -> Iterator[_Rate]:
    description = f"There are extra columns in current dataset. {_columns(profile)}"
    for name, count in sorted(profile.extra_columns.items()):
        yield _Rate(
            name=name,
            check=EXTRA_COLUMN,
            bad=min(count, profile.rows),
            of=profile.rows,
            baseline_bad=min(baseline.extra_columns.get(name, 0), baseline.rows),
            baseline_of=baseline.rows,
            required=1.0,
            description=description,
        )


def _completeness(baseline: FeatureProfile, window: FeatureProfile, *, required: float) -> _Rate:
    return _Rate(
        name=window.spec.name,
        check=COMPLETENESS,
        bad=window.missing,
        of=window.rows,
        baseline_bad=baseline.missing,
        baseline_of=baseline.rows,
        required=required,
        # The blank at the end is Model Monitor's.
        description=f"Value: {_share(window.present, window.rows)} "
        "does not meet the constraint requirement! ",
    )


def _data_type(
    baseline: FeatureProfile, window: FeatureProfile, *, wanted: str, required: float
) -> _Rate:
    bad, usual = _mistyped(window, wanted), _mistyped(baseline, wanted)
    expected = _share(baseline.present - usual, baseline.present)
    observed = _share(window.present - bad, window.present)
    return _Rate(
        name=window.spec.name,
        check=DATA_TYPE,
        bad=bad,
        of=window.present,
        baseline_bad=usual,
        baseline_of=baseline.present,
        required=required,
        description=f"Data type match requirement is not met. Expected data type: {wanted}, "
        f"Expected match: {min(expected, required) * 100}%. "
        f"Observed: Only {observed * 100}% of data is {wanted}.",
    )


def _mistyped(feature: FeatureProfile, wanted: str) -> int:
    """Count the values that are not of a type; infinities are of no numeric type."""
    types = feature.types
    if wanted == "String":
        return types.integral + types.fractional
    if wanted == "Integral":
        return types.boolean + types.text + types.fractional
    return types.boolean + types.text + feature.non_finite


def _categorical_values(
    baseline: FeatureProfile,
    window: FeatureProfile,
    *,
    domains: tuple[str, ...],
    required: float,
) -> _Rate:
    # As many values as the baseline has once will be new in as many further rows (Good-Turing).
    seen_once = int((baseline.counts == 1).sum())
    # A user may have added values to the domain that the training data did not have.
    allowed = sum(window.unseen.get(word, 0) for word in set(domains))
    bad = window.unseen_rows - allowed
    known = _share(window.counted - bad, window.counted)
    return _Rate(
        name=window.spec.name,
        check=CATEGORICAL_VALUES,
        bad=bad,
        of=window.counted,
        baseline_bad=baseline.unseen_rows + seen_once,
        baseline_of=_countable(baseline),
        required=required,
        description=f"Value: {known} does not meet the constraint requirement! ",
    )


def _non_negative(baseline: FeatureProfile, window: FeatureProfile) -> _Rate:
    fine = _share(window.counted - window.negative, window.counted)
    return _Rate(
        name=window.spec.name,
        check=NON_NEGATIVE,
        bad=window.negative,
        of=window.counted,
        baseline_bad=baseline.negative,
        baseline_of=_countable(baseline),
        required=1.0,
        description="Non-negative requirement is not met. Expected match: 100.0%. "
        f"Observed: Only {fine * 100}% of data is non-negative.",
    )


def _countable(baseline: FeatureProfile) -> int:
    """Return the baseline's values; of a column recovered without its counts, those present."""
    return baseline.counted or baseline.present


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
