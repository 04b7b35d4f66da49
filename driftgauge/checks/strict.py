"""Strict mode: the data-quality checks of SageMaker Model Monitor, decided as it decides them.

Shares are compared with the fixed thresholds of ``constraints.json``, columns are counted, not
named, and any window with a row is judged. Names, wording and rules are taken from files its
container wrote, from AWS's integration tests and from the rules of awslabs/deequ it is built on;
``docs/migrating-from-model-monitor.md`` lists them, and every deliberate difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from driftgauge.checks.constraints import FeatureConstraints, MonitoringSettings
from driftgauge.checks.data_quality import (
    CATEGORICAL_VALUES,
    COMPLETENESS,
    DATA_TYPE,
    EXTRA_COLUMN,
    MISSING_COLUMN,
)
from driftgauge.checks.strict_distance import ModelMonitorDistance, model_monitor_distance
from driftgauge.drift.cells import coarse_groups, compare, moved_cells
from driftgauge.drift.verdict import BASELINE_DRIFT, FeatureVerdict, Violation
from driftgauge.profile.profile import FeatureProfile, Profile
from driftgauge.profile.words import canonical_word

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.config import FeatureSettings

# What Model Monitor writes as the name of a feature where the check is about the whole dataset.
MISSING_COLUMNS = "Missing columns"
EXTRA_COLUMNS = "Extra columns"


@dataclass(frozen=True, kw_only=True)
class StrictFindings:
    """What Model Monitor would find in a window.

    Attributes
    ----------
    features : tuple of FeatureVerdict
        One for each column that is not ignored, in the specification's order.
    violations : tuple of Violation
        Column by column, the counts of columns last.
    """

    features: tuple[FeatureVerdict, ...]
    violations: tuple[Violation, ...]


def judge_strictly(
    *, baseline: Baseline, profile: Profile, features: Mapping[str, FeatureSettings]
) -> StrictFindings:
    """Check a window as Model Monitor does.

    Parameters
    ----------
    baseline : Baseline
        Its constraints say what is checked, with which thresholds.
    profile : Profile
        The window's rows, counted against the baseline's specification.
    features : mapping of str to FeatureSettings
        Ignored columns are not checked, and not counted either.

    Returns
    -------
    StrictFindings
        Verdicts hold Model Monitor's distance and its threshold; a column drifts exactly if it
        violates ``baseline_drift_check``. A window without rows is insufficient data (Model
        Monitor's job would fail).
    """
    ignored = {name for name, settings in features.items() if settings.ignore}
    columns = [
        (there, here)
        for there, here in zip(baseline.profile.features, profile.features, strict=True)
        if here.spec.name not in ignored
    ]
    if profile.rows == 0:
        return StrictFindings(features=tuple(_empty(here) for _, here in columns), violations=())
    wanted = {feature.name: feature for feature in baseline.constraints.features}
    verdicts: list[FeatureVerdict] = []
    violations: list[Violation] = []
    for there, here in columns:
        constraints = wanted.get(here.spec.name)
        settings = baseline.constraints.settings_for(here.spec.name)
        distance = _distance(there, here, constraints, settings)
        if constraints is not None and settings.evaluate_constraints:
            violations += _failed_checks(here, constraints, settings)
        if isinstance(distance, ModelMonitorDistance) and distance.violated:
            violations.append(_violation(here.spec.name, BASELINE_DRIFT, distance.description))
        verdicts.append(_verdict(there, here, distance))
    if baseline.constraints.settings.evaluate_constraints:
        violations += _column_counts(baseline, profile, ignored)
    return StrictFindings(features=tuple(verdicts), violations=tuple(violations))


def _distance(
    baseline: FeatureProfile,
    window: FeatureProfile,
    constraints: FeatureConstraints | None,
    settings: MonitoringSettings,
) -> ModelMonitorDistance | str:
    if constraints is None:
        return "constraints.json does not name this column, so it is not checked."
    if not settings.evaluate_constraints:
        return "constraints.json switches the checks of this column off."
    if not settings.perform_comparison:
        return "constraints.json switches the comparison of this column off."
    return model_monitor_distance(baseline, window, settings)


def _empty(window: FeatureProfile) -> FeatureVerdict:
    return FeatureVerdict(
        name=window.spec.name,
        role=window.spec.role,
        kind=window.spec.kind,
        verdict="insufficient_data",
        rows=0,
        missing_share=0.0,
        reason="The window has no rows.",
    )


def _verdict(
    baseline: FeatureProfile, window: FeatureProfile, distance: ModelMonitorDistance | str
) -> FeatureVerdict:
    verdict = FeatureVerdict(
        name=window.spec.name,
        role=window.spec.role,
        kind=window.spec.kind,
        verdict="ok",
        rows=window.present,
        missing_share=window.missing / window.rows,
        reason=distance if isinstance(distance, str) else distance.reason,
    )
    if isinstance(distance, str):
        return verdict
    comparison = compare(baseline, window)
    return replace(
        verdict,
        verdict="drift" if distance.violated else "ok",
        distance=distance.value,
        threshold=distance.threshold,
        test=distance.test,
        statistic=distance.statistic,
        p_value=distance.value if distance.test == "chi_squared" else None,
        moved=moved_cells(comparison, coarse_groups(comparison)),
    )


def _failed_checks(
    window: FeatureProfile, constraints: FeatureConstraints, settings: MonitoringSettings
) -> Iterator[Violation]:
    name = window.spec.name
    share = matching_share(window, constraints.inferred_type)
    if share is not None and share < settings.datatype_check_threshold:
        wanted = constraints.inferred_type
        yield _violation(
            name,
            DATA_TYPE,
            f"Data type match requirement is not met. Expected data type: {wanted}, Expected "
            f"match: {settings.datatype_check_threshold * 100}%. Observed: Only {share * 100}% of "
            f"data is {wanted}.",
        )
    complete = window.present / window.rows
    if constraints.completeness is not None and complete < constraints.completeness:
        yield _violation(name, COMPLETENESS, _unmet(complete))
    known = domain_share(window, constraints.domains)
    if known is not None and known < settings.domain_content_threshold:
        yield _violation(name, CATEGORICAL_VALUES, _unmet(known))


def matching_share(window: FeatureProfile, wanted: str) -> float | None:
    """Return the share of a column's values that are of exactly the wanted type.

    As in Deequ's data type check, an integral number is not fractional and a number is no text;
    booleans, for which Model Monitor has no type, are.

    Parameters
    ----------
    window : FeatureProfile
        The column.
    wanted : str
        Integral, Fractional or String.

    Returns
    -------
    float or None
        Between 0 and 1; None if the type is another one or the column has no value.
    """
    types = window.types
    matching = {
        "Integral": types.integral,
        "Fractional": types.fractional,
        "String": types.text + types.boolean,
    }.get(wanted)
    if matching is None or not window.present:
        return None
    return matching / window.present


def domain_share(window: FeatureProfile, domains: tuple[str, ...] | None) -> float | None:
    """Return the share of rows whose value is in a domain; a missing value is no offence.

    Unseen values that the user added to the domain are known as far as they are sampled.

    Parameters
    ----------
    window : FeatureProfile
        The column.
    domains : tuple of str or None
        The allowed values.

    Returns
    -------
    float or None
        Between 0 and 1; None if there is no domain or the column is one of numbers.
    """
    if domains is None or window.spec.kind not in ("categorical", "boolean"):
        return None
    allowed = {canonical_word(word) for word in domains}
    counts = zip(window.spec.categories, window.counts.tolist(), strict=True)
    inside: int = sum(count for word, count in counts if word in allowed)
    inside += sum(count for word, count in window.unseen.items() if word in allowed)
    return (window.missing + inside) / window.rows


def _unmet(share: float) -> str:
    # The blank at the end is Model Monitor's.
    return f"Value: {share} does not meet the constraint requirement! "


def _column_counts(baseline: Baseline, profile: Profile, ignored: set[str]) -> Iterator[Violation]:
    named = {feature.name for feature in baseline.constraints.features}
    here = {column.spec.name for column in profile.features if column.absent < profile.rows}
    expected, current = len(named - ignored), len((here | set(profile.extra_columns)) - ignored)
    if current == expected:
        return
    name, check, word = (
        (MISSING_COLUMNS, MISSING_COLUMN, "missing")
        if current < expected
        else (EXTRA_COLUMNS, EXTRA_COLUMN, "extra")
    )
    yield _violation(
        name,
        check,
        f"There are {word} columns in current dataset. Number of columns in current dataset: "
        f"{current}, Number of columns in baseline constraints: {expected}",
    )


def _violation(name: str, check: str, description: str) -> Violation:
    return Violation(feature_name=name, constraint_check_type=check, description=description)
