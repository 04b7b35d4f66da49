"""Strict mode: Model Monitor's checks, thresholds and words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.constraints import MonitoringSettings, decode_constraints
from driftgauge.checks.strict import domain_share, judge_strictly, matching_share
from driftgauge.config import DecisionSettings, FeatureSettings
from driftgauge.drift.decision import judge_window
from driftgauge.drift.verdict import (
    FeatureVerdict,
    Violation,
    WindowVerdict,
    decode_verdict,
    encode_verdict,
)
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.windows import Window
from tests.columns import Value, column_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = Window(NOW, datetime(2026, 3, 1, 1, tzinfo=UTC))
TRAINING: dict[str, list[Value]] = {
    "age": [20, 30, 40, 50] * 50,
    "fare": [0.5, 1.5, 2.5, 3.5] * 50,
    "plan": ["basic", "basic", "plus", "pro"] * 50,
}


def baseline_of(columns: Mapping[str, Sequence[Value]], **edits: Any) -> Baseline:
    """Make a baseline; ``edits`` change the monitoring_config of its constraints."""
    rows = len(next(iter(columns.values())))
    table = Table(rows=rows, columns={name: column_of(v) for name, v in columns.items()})
    built = build_baseline([table], version="1", created=NOW)
    return with_settings(built, **edits)


def with_settings(baseline: Baseline, **edits: Any) -> Baseline:
    settings = replace(baseline.constraints.settings, **edits)
    return replace(baseline, constraints=replace(baseline.constraints, settings=settings))


def with_overrides(baseline: Baseline, key: str, **overrides: Any) -> Baseline:
    """Override settings of the column `plan` under a key of the file."""
    document = {
        "features": [
            {"name": "age", "inferred_type": "Integral", "completeness": 1.0},
            {"name": "fare", "inferred_type": "Fractional", "completeness": 1.0},
            {
                "name": "plan",
                "inferred_type": "String",
                "completeness": 1.0,
                "string_constraints": {"domains": ["basic", "plus", "pro"], key: overrides},
            },
        ]
    }
    return replace(baseline, constraints=decode_constraints(json.dumps(document).encode()))


def window_of(baseline: Baseline, columns: Mapping[str, Sequence[Value]]) -> Profile:
    rows = len(next(iter(columns.values())))
    counted = {name: column_of(values) for name, values in columns.items()}
    return profile_columns(baseline.spec, counted, rows=rows)


def found(
    baseline: Baseline,
    columns: Mapping[str, Sequence[Value]],
    features: Mapping[str, FeatureSettings] | None = None,
) -> dict[tuple[str, str], str]:
    """Return the descriptions of violations by column and check."""
    profile = window_of(baseline, columns)
    result = judge_strictly(baseline=baseline, profile=profile, features=features or {})
    return {(v.feature_name, v.constraint_check_type): v.description for v in result.violations}


def verdicts(
    baseline: Baseline, columns: Mapping[str, Sequence[Value]]
) -> dict[str, FeatureVerdict]:
    profile = window_of(baseline, columns)
    result = judge_strictly(baseline=baseline, profile=profile, features={})
    return {verdict.name: verdict for verdict in result.features}


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(TRAINING)


def test_the_training_data_violates_nothing(baseline: Baseline) -> None:
    assert found(baseline, TRAINING) == {}


def test_one_value_of_another_type_is_a_violation(baseline: Baseline) -> None:
    window = TRAINING | {"age": [20.5, *TRAINING["age"][1:]]}
    assert found(baseline, window) == {
        ("age", "data_type_check"): "Data type match requirement is not met. Expected data type: "
        "Integral, Expected match: 100.0%. Observed: Only 99.5% of data is Integral."
    }


def test_the_threshold_of_the_type_check_lets_other_values_pass(baseline: Baseline) -> None:
    window = TRAINING | {"age": [20.5, *TRAINING["age"][1:]]}
    assert found(with_settings(baseline, datatype_check_threshold=0.995), window) == {}
    (text,) = found(with_settings(baseline, datatype_check_threshold=0.996), window).values()
    assert "Expected match: 99.6%. Observed: Only 99.5% of data" in text


@pytest.mark.parametrize(
    ("wanted", "values", "share"),
    [
        ("Integral", [1, 2, 2.5, "a"], 0.5),
        ("Fractional", [1, 2, 2.5, "a"], 0.25),
        ("String", [1, True, "a", "b"], 0.75),
        ("Integral", [1, None, None, None], 1.0),
        ("Integral", [None, None], None),
        ("Unknown", ["a"], None),
    ],
)
def test_the_matching_share_counts_values_of_exactly_the_type(
    wanted: str, values: list[Value], share: float | None
) -> None:
    baseline = baseline_of({"x": values if any(v is not None for v in values) else [1]})
    window = window_of(baseline, {"x": values}).feature("x")
    assert matching_share(window, wanted) == share


def test_a_column_less_complete_than_demanded_is_a_violation(baseline: Baseline) -> None:
    window = TRAINING | {"fare": [None, *TRAINING["fare"][1:]]}
    assert found(baseline, window) == {
        ("fare", "completeness_check"): "Value: 0.995 does not meet the constraint requirement! "
    }


def test_a_value_outside_the_domain_is_a_violation(baseline: Baseline) -> None:
    window = TRAINING | {"plan": ["gold", *TRAINING["plan"][1:]]}
    text = "Value: 0.995 does not meet the constraint requirement! "
    assert found(baseline, window) == {("plan", "categorical_values_check"): text}
    assert found(with_settings(baseline, domain_content_threshold=0.99), window) == {}


def test_missing_values_and_values_the_user_added_are_in_the_domain(baseline: Baseline) -> None:
    values: list[Value] = ["basic", "gold", "silver", None]
    window = window_of(baseline, {"plan": values}).feature("plan")
    assert domain_share(window, ("basic",)) == 0.5
    assert domain_share(window, ("basic", "gold")) == 0.75
    assert domain_share(window, None) is None


def test_columns_are_counted_and_not_named(baseline: Baseline) -> None:
    renamed = {"years": TRAINING["age"], "fare": TRAINING["fare"], "plan": TRAINING["plan"]}
    assert set(found(baseline, renamed)) == {("age", "completeness_check")}


def test_too_few_columns_are_a_violation(baseline: Baseline) -> None:
    window = {"fare": TRAINING["fare"], "plan": TRAINING["plan"]}
    assert found(baseline, window)[("Missing columns", "missing_column_check")] == (
        "There are missing columns in current dataset. Number of columns in current dataset: 2, "
        "Number of columns in baseline constraints: 3"
    )


def test_too_many_columns_are_a_violation_unless_ignored(baseline: Baseline) -> None:
    window = TRAINING | {"new": [1] * 200}
    assert found(baseline, window) == {
        ("Extra columns", "extra_column_check"): "There are extra columns in current dataset. "
        "Number of columns in current dataset: 4, Number of columns in baseline constraints: 3"
    }
    assert found(baseline, window, {"new": FeatureSettings(ignore=True)}) == {}


def test_negative_numbers_violate_nothing(baseline: Baseline) -> None:
    assert baseline.constraints["age"].is_non_negative
    settings = with_settings(baseline, comparison_threshold=1.0)
    assert found(settings, TRAINING | {"age": [-20, -30, -40, -50] * 50}) == {}


def test_robust_takes_off_what_samples_of_these_sizes_may_differ_by(baseline: Baseline) -> None:
    window = TRAINING | {"age": [20] * 200}
    robust = verdicts(baseline, window)["age"]
    assert robust.test == "linf_robust"
    assert robust.statistic == pytest.approx(0.75)
    assert robust.distance == pytest.approx(0.75 - 1.8 * (400 / 200**2) ** 0.5)
    assert (robust.verdict, robust.threshold) == ("drift", 0.1)
    assert robust.effect is None and robust.adjusted_p_value is None
    simple = verdicts(with_settings(baseline, comparison_method="Simple"), window)["age"]
    assert simple.test == "linf_simple"
    assert simple.distance == pytest.approx(0.75)


def test_a_drifted_number_is_described_as_model_monitor_does(baseline: Baseline) -> None:
    settings = with_settings(baseline, comparison_method="Simple", comparison_threshold=0.0)
    window = TRAINING | {"age": [20] * 200}
    assert found(settings, window) == {
        ("age", "baseline_drift_check"): "Numerical distance: 0.75 exceeds numerical threshold: 0"
    }


def test_a_distance_of_exactly_the_threshold_is_no_drift(baseline: Baseline) -> None:
    settings = with_settings(baseline, comparison_method="Simple", comparison_threshold=0.75)
    assert verdicts(settings, TRAINING | {"age": [20] * 200})["age"].verdict == "ok"


def test_words_have_a_threshold_of_their_own(baseline: Baseline) -> None:
    window = TRAINING | {"plan": ["pro"] * 200}
    settings = with_settings(
        baseline, comparison_method="Simple", categorical_comparison_threshold=0.75
    )
    assert verdicts(settings, window)["plan"].distance == pytest.approx(0.75)
    assert found(settings, window) == {}
    lower = with_settings(
        baseline, comparison_method="Simple", categorical_comparison_threshold=0.7
    )
    assert found(lower, window) == {
        (
            "plan",
            "baseline_drift_check",
        ): "Categorical distance: 0.75 exceeds categorical threshold: 0.7"
    }


def test_an_unseen_value_is_part_of_the_distance(baseline: Baseline) -> None:
    window = TRAINING | {"plan": ["gold"] * 120 + ["silver"] * 80}
    settings = with_settings(baseline, comparison_method="Simple")
    assert verdicts(settings, window)["plan"].distance == pytest.approx(0.6)


def test_a_small_p_value_is_drift_under_chi_squared(baseline: Baseline) -> None:
    settings = with_settings(baseline, categorical_drift_method="ChiSquared")
    calm = verdicts(settings, TRAINING)["plan"]
    assert (calm.test, calm.verdict, calm.p_value) == ("chi_squared", "ok", 1.0)
    moved = verdicts(settings, TRAINING | {"plan": ["basic", "pro"] * 100})["plan"]
    assert moved.verdict == "drift"
    assert moved.p_value == moved.distance
    assert moved.size is not None and calm.size is not None and moved.size > calm.size
    (text,) = found(settings, TRAINING | {"plan": ["basic", "pro"] * 100}).values()
    assert text == (
        f"Categorical chi-squared p-value: {moved.distance} is below categorical threshold: 0.1"
    )


def test_columns_of_many_words_are_not_compared(baseline: Baseline) -> None:
    many: list[Value] = [f"word {i:03}" for i in range(200)]
    known = verdicts(baseline_of({"x": many[:121] * 2}), {"x": many[:50]})["x"]
    assert known.distance is None and "more than 120 different values" in known.reason
    window = TRAINING | {"plan": many}
    assert verdicts(baseline, window)["plan"].distance is None


@pytest.mark.parametrize("key", ["monitoringConfigOverrides", "monitoring_config_overrides"])
def test_overrides_of_one_column_are_heard(baseline: Baseline, key: str) -> None:
    window = TRAINING | {"plan": ["gold"] * 200}
    both = {("plan", "categorical_values_check"), ("plan", "baseline_drift_check")}
    assert set(found(with_overrides(baseline, key), window)) == both
    off = with_overrides(baseline, key, evaluate_constraints="Disabled")
    assert found(off, window) == {}
    lax = with_overrides(baseline, key, domain_content_threshold=0.0)
    assert set(found(lax, window)) == {("plan", "baseline_drift_check")}
    alone = {"distribution_constraints": {"perform_comparison": "Disabled"}}
    uncompared = with_overrides(baseline, key, **alone)
    assert set(found(uncompared, window)) == {("plan", "categorical_values_check")}


def test_switched_off_constraints_find_nothing(baseline: Baseline) -> None:
    window: dict[str, list[Value]] = {"age": [None] * 10, "plan": ["gold"] * 10}
    off = with_settings(baseline, evaluate_constraints=False)
    assert found(off, window) == {}
    assert {v.verdict for v in verdicts(off, window).values()} == {"ok"}


def test_a_switched_off_comparison_leaves_the_other_checks(baseline: Baseline) -> None:
    window = TRAINING | {"age": [20.5] * 200}
    off = with_settings(baseline, perform_comparison=False)
    assert set(found(off, window)) == {("age", "data_type_check")}


def test_a_column_that_the_constraints_do_not_name_is_not_checked(baseline: Baseline) -> None:
    kept = tuple(f for f in baseline.constraints.features if f.name != "age")
    less = replace(baseline, constraints=replace(baseline.constraints, features=kept))
    window = TRAINING | {"age": ["x"] * 200}
    assert set(found(less, window)) == {("Extra columns", "extra_column_check")}
    assert "does not name this column" in verdicts(less, window)["age"].reason


def test_an_ignored_column_has_no_verdict_and_no_violation(baseline: Baseline) -> None:
    profile = window_of(baseline, TRAINING | {"age": ["x"] * 200})
    ignore = {"age": FeatureSettings(ignore=True)}
    result = judge_strictly(baseline=baseline, profile=profile, features=ignore)
    assert [verdict.name for verdict in result.features] == ["fare", "plan"]
    assert result.violations == ()


def test_one_row_is_judged_and_none_is_insufficient(baseline: Baseline) -> None:
    one = verdicts(baseline, {name: values[:1] for name, values in TRAINING.items()})
    assert {verdict.verdict for verdict in one.values()} == {"ok"}
    none = judge_strictly(baseline=baseline, profile=Profile.empty(baseline.spec), features={})
    assert {verdict.verdict for verdict in none.features} == {"insufficient_data"}
    assert none.violations == ()


def test_an_empty_column_is_incomplete_but_of_no_wrong_type(baseline: Baseline) -> None:
    window = TRAINING | {"age": [None] * 200}
    assert set(found(baseline, window)) == {("age", "completeness_check")}
    assert verdicts(baseline, window)["age"].reason == "The window has no value to compare."


def judged(baseline: Baseline, columns: Mapping[str, Sequence[Value]]) -> WindowVerdict:
    return judge_window(
        baseline=baseline,
        profile=window_of(baseline, columns),
        decision=DecisionSettings(),
        features={},
        monitor="m",
        variant="v",
        window=HOUR,
        evaluated_at=NOW,
        mode="strict",
    )


def test_a_column_drifts_exactly_if_it_violates_the_baseline_drift_check(
    baseline: Baseline,
) -> None:
    verdict = judged(baseline, TRAINING | {"age": [20] * 200, "plan": ["pro"] * 200})
    violated = {
        v.feature_name for v in verdict.violations if v.constraint_check_type.startswith("baseline")
    }
    assert {f.name for f in verdict.features if f.verdict == "drift"} == violated == {"age", "plan"}
    assert [f.name for f in verdict.drifted_inputs] == ["age", "plan"]


def test_a_strict_verdict_survives_a_round_trip_and_an_old_one_is_sound(
    baseline: Baseline,
) -> None:
    verdict = judged(baseline, TRAINING | {"age": [20] * 200})
    assert decode_verdict(encode_verdict(verdict)) == verdict
    document = json.loads(encode_verdict(verdict))
    del document["mode"]
    for feature in document["features"]:
        del feature["threshold"]
    assert decode_verdict(json.dumps(document).encode()).mode == "sound"


def test_violations_are_of_the_types_model_monitor_has(baseline: Baseline) -> None:
    window: dict[str, list[Value]] = {
        "age": [20.5, None] * 100,
        "plan": ["gold"] * 200,
    }
    profile = window_of(baseline, window)
    result = judge_strictly(baseline=baseline, profile=profile, features={})
    assert all(isinstance(violation, Violation) for violation in result.violations)
    assert {v.constraint_check_type for v in result.violations} == {
        "data_type_check",
        "completeness_check",
        "categorical_values_check",
        "baseline_drift_check",
        "missing_column_check",
    }


def test_the_default_settings_are_those_of_generated_files() -> None:
    settings = MonitoringSettings()
    assert (settings.datatype_check_threshold, settings.domain_content_threshold) == (1.0, 1.0)
    assert (settings.comparison_threshold, settings.comparison_method) == (0.1, "Robust")
