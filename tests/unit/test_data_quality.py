"""Data-quality checks against real baselines and profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.data_quality import check_profile, drift_violations
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings
from driftgauge.drift.verdict import FeatureVerdict, Violation
from driftgauge.profile.build import profile_columns

SETTINGS = DecisionSettings()


def amounts(rows: int, *, missing: int = 0, negative: int = 0, text: int = 0) -> Column:
    values = np.linspace(0.5, 99.5, rows)
    gone = np.arange(rows) < missing
    values[gone] = np.nan
    values[missing : missing + negative] = -1.0
    codes = np.full(rows, -1, dtype=np.int32)
    if text:
        codes[-text:] = 0
        values[-text:] = np.nan
    return Column(
        numbers=values,
        codes=codes if text else None,
        words=("unknown",) if text else (),
        missing=gone if missing else None,
        types=TypeCounts(fractional=rows - missing - text, text=text),
    )


def colors(rows: int, *, unseen: int = 0) -> Column:
    codes = (np.arange(rows) % 3).astype(np.int32)
    codes[:unseen] = 3
    return Column(
        numbers=np.full(rows, np.nan),
        codes=codes,
        words=("blue", "green", "red", "mauve"),
        types=TypeCounts(text=rows),
    )


def whole(rows: int, *, fractional: int = 0) -> Column:
    return Column(
        numbers=(np.arange(rows) % 7).astype(np.float64),
        types=TypeCounts(integral=rows - fractional, fractional=fractional),
    )


def table(rows: int, **changes: Column) -> dict[str, Column]:
    columns = {"amount": amounts(rows), "color": colors(rows), "weekday": whole(rows)}
    return columns | changes


def baseline_of(columns: Mapping[str, Column]) -> Baseline:
    rows = next(iter(columns.values())).rows
    # A domain is suggested from real words only: the last word is left to windows.
    return build_baseline(
        [Table(rows=rows, columns=dict(columns))],
        version="1",
        created=datetime(2015, 4, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(table(10_000))


def check(
    baseline: Baseline,
    columns: Mapping[str, Column],
    features: Mapping[str, FeatureSettings] | None = None,
    rows: int | None = None,
) -> tuple[Violation, ...]:
    size = next(iter(columns.values())).rows if rows is None else rows
    return check_profile(
        baseline=baseline,
        profile=profile_columns(baseline.spec, columns, rows=size),
        settings=SETTINGS,
        features=features or {},
    )


def found(violations: tuple[Violation, ...]) -> list[tuple[str, str]]:
    return [(v.feature_name, v.constraint_check_type) for v in violations]


def test_a_window_like_the_baseline_violates_nothing(baseline: Baseline) -> None:
    assert check(baseline, table(500)) == ()


def test_missing_values_violate_completeness(baseline: Baseline) -> None:
    violations = check(baseline, table(500, amount=amounts(500, missing=25)))
    assert found(violations) == [("amount", "completeness_check")]
    assert violations[0].description == "Value: 0.95 does not meet the constraint requirement! "


def test_a_share_of_missing_values_as_in_the_baseline_is_no_violation() -> None:
    usual = baseline_of(table(10_000, amount=amounts(10_000, missing=500)))
    assert check(usual, table(400, amount=amounts(400, missing=22))) == ()
    assert found(check(usual, table(400, amount=amounts(400, missing=60)))) == [
        ("amount", "completeness_check")
    ]


def test_one_missing_value_in_a_small_window_is_no_violation(baseline: Baseline) -> None:
    assert check(baseline, table(60, amount=amounts(60, missing=1))) == ()


def test_a_few_missing_values_in_a_large_window_are_below_the_smallest_excess(
    baseline: Baseline,
) -> None:
    assert check(baseline, table(20_000, amount=amounts(20_000, missing=60))) == ()


def test_twenty_rows_without_any_value_are_a_violation(baseline: Baseline) -> None:
    violations = check(baseline, table(20, amount=amounts(20, missing=20)))
    assert ("amount", "completeness_check") in found(violations)
    assert ("amount", "missing_column_check") not in found(violations)


def test_a_missing_column_is_named_and_counted(baseline: Baseline) -> None:
    columns = table(20)
    del columns["color"]
    violations = check(baseline, columns)
    assert found(violations) == [
        ("color", "missing_column_check"),
        ("color", "completeness_check"),
    ]
    assert violations[0].description == (
        "There are missing columns in current dataset. Number of columns in current dataset: 2, "
        "Number of columns in baseline constraints: 3"
    )


def test_a_renamed_column_is_both_missing_and_extra(baseline: Baseline) -> None:
    columns = table(100)
    columns["colour"] = columns.pop("color")
    violations = check(baseline, columns)
    assert found(violations) == [
        ("color", "missing_column_check"),
        ("color", "completeness_check"),
        ("colour", "extra_column_check"),
    ]
    assert violations[2].description == (
        "There are extra columns in current dataset. Number of columns in current dataset: 3, "
        "Number of columns in baseline constraints: 3"
    )


def test_text_among_numbers_violates_the_type_in_model_monitors_words(baseline: Baseline) -> None:
    violations = check(baseline, table(1000, amount=amounts(1000, text=125)))
    assert found(violations) == [("amount", "data_type_check")]
    assert violations[0].description == (
        "Data type match requirement is not met. Expected data type: Fractional, "
        "Expected match: 100.0%. Observed: Only 87.5% of data is Fractional."
    )


def test_fractions_in_an_integral_column_violate_the_type(baseline: Baseline) -> None:
    violations = check(baseline, table(1000, weekday=whole(1000, fractional=500)))
    assert found(violations) == [("weekday", "data_type_check")]


def test_whole_numbers_in_a_fractional_column_are_fine(baseline: Baseline) -> None:
    column = amounts(1000)
    integral = Column(numbers=np.floor(column.numbers), types=TypeCounts(integral=1000))
    assert check(baseline, table(1000, amount=integral)) == ()


def test_numbers_in_a_text_column_violate_the_type(baseline: Baseline) -> None:
    violations = check(baseline, table(200, color=whole(200)))
    assert ("color", "data_type_check") in found(violations)


def test_infinite_numbers_are_of_no_type(baseline: Baseline) -> None:
    column = amounts(200)
    column.numbers[:50] = np.inf
    assert found(check(baseline, table(200, amount=column))) == [("amount", "data_type_check")]


def test_unseen_categories_violate_the_domain(baseline: Baseline) -> None:
    violations = check(baseline, table(200, color=colors(200, unseen=50)))
    assert found(violations) == [("color", "categorical_values_check")]
    assert violations[0].description == "Value: 0.75 does not meet the constraint requirement! "


def test_a_value_the_user_added_to_the_domain_is_allowed(baseline: Baseline) -> None:
    constraints = baseline.constraints
    wider = tuple(
        replace(feature, domains=(*feature.domains, "mauve")) if feature.domains else feature
        for feature in constraints.features
    )
    edited = replace(baseline, constraints=replace(constraints, features=wider))
    assert check(edited, table(200, color=colors(200, unseen=50))) == ()


def test_a_lower_completeness_in_the_constraints_is_enough(baseline: Baseline) -> None:
    constraints = baseline.constraints
    lower = tuple(replace(feature, completeness=0.5) for feature in constraints.features)
    edited = replace(baseline, constraints=replace(constraints, features=lower))
    assert check(edited, table(500, amount=amounts(500, missing=200))) == ()
    assert found(check(edited, table(500, amount=amounts(500, missing=300)))) == [
        ("amount", "completeness_check")
    ]


def test_a_column_that_the_constraints_do_not_name_is_not_checked(baseline: Baseline) -> None:
    constraints = baseline.constraints
    fewer = tuple(feature for feature in constraints.features if feature.name != "amount")
    edited = replace(baseline, constraints=replace(constraints, features=fewer))
    assert check(edited, table(500, amount=amounts(500, missing=200))) == ()


def test_switched_off_constraints_are_not_checked(baseline: Baseline) -> None:
    off = replace(baseline.constraints.settings, evaluate_constraints=False)
    edited = replace(baseline, constraints=replace(baseline.constraints, settings=off))
    assert check(edited, table(500, amount=amounts(500, missing=200))) == ()


def test_negative_numbers_violate_a_column_that_had_none(baseline: Baseline) -> None:
    violations = check(baseline, table(200, amount=amounts(200, negative=25)))
    assert found(violations) == [("amount", "non_negative_check")]
    assert violations[0].description == (
        "Non-negative requirement is not met. Expected match: 100.0%. "
        "Observed: Only 87.5% of data is non-negative."
    )


def test_negative_numbers_are_fine_where_the_baseline_has_them() -> None:
    usual = baseline_of(table(10_000, amount=amounts(10_000, negative=1000)))
    assert check(usual, table(200, amount=amounts(200, negative=100))) == ()


def test_an_ignored_column_is_not_checked(baseline: Baseline) -> None:
    columns = table(200, color=colors(200, unseen=50))
    columns["surprise"] = whole(200)
    ignored = {
        "color": FeatureSettings(ignore=True),
        "surprise": FeatureSettings(ignore=True),
    }
    assert check(baseline, columns, ignored) == ()


def test_a_window_without_rows_violates_nothing(baseline: Baseline) -> None:
    assert check(baseline, {}, rows=0) == ()


def test_chance_alone_hardly_ever_violates() -> None:
    rng = np.random.default_rng(1)
    usual = baseline_of(table(5000, amount=amounts(5000, missing=250)))
    alarms = 0
    for _ in range(300):
        missing = int(rng.binomial(100, 0.05))
        alarms += bool(check(usual, table(100, amount=amounts(100, missing=missing))))
    assert alarms <= 3


def test_drifted_columns_are_reported_by_kind_and_with_their_own_limit() -> None:
    def verdict(name: str, kind: str, outcome: str) -> FeatureVerdict:
        return FeatureVerdict(
            name=name,
            role="input",
            kind=kind,  # type: ignore[arg-type]
            verdict=outcome,  # type: ignore[arg-type]
            rows=100,
            missing_share=0.0,
            reason="",
            effect=0.25,
        )

    violations = drift_violations(
        (
            verdict("amount", "numeric", "drift"),
            verdict("color", "categorical", "drift"),
            verdict("weekday", "discrete", "ok"),
        ),
        settings=SETTINGS,
        features={"color": FeatureSettings(min_effect=0.1)},
    )
    assert [(v.feature_name, v.description) for v in violations] == [
        ("amount", "Numerical distance: 0.25 exceeds numerical threshold: 0.025"),
        ("color", "Categorical distance: 0.25 exceeds categorical threshold: 0.1"),
    ]
    assert {v.constraint_check_type for v in violations} == {"baseline_drift_check"}
