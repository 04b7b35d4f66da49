"""Model Monitor's constraints.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.checks.constraints import (
    Constraints,
    FeatureConstraints,
    MonitoringSettings,
    decode_constraints,
    encode_constraints,
    suggest_constraints,
)
from driftgauge.errors import BaselineError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.cells import choose_feature
from driftgauge.profile.spec import ProfileSpec
from driftgauge.report.model_monitor import encode_statistics
from tests.columns import Value, column_of

SDK = "data/sagemaker-python-sdk@v2.257.6/tests/data"
REAL_FILES = (
    f"{SDK}/monitor/constraints.json",
    f"{SDK}/pipeline/quality_check_step/data_quality/good_cases/constraints.json",
    f"{SDK}/pipeline/quality_check_step/data_quality/bad_cases/constraints.json",
)


def suggested(values: Sequence[Value]) -> FeatureConstraints:
    column = column_of(values)
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", column),))
    return suggest_constraints(profile_columns(spec, {"x": column}, rows=len(values)))["x"]


def decoded(**document: Any) -> Constraints:
    return decode_constraints(json.dumps(document).encode())


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_survive_a_round_trip(shared: Path, name: str) -> None:
    data = (shared / name).read_bytes()
    constraints = decode_constraints(data)
    assert json.loads(encode_constraints(constraints)) == json.loads(data)


def test_the_keys_of_2019_are_understood(shared: Path) -> None:
    constraints = decode_constraints((shared / REAL_FILES[0]).read_bytes())
    assert constraints.settings.perform_comparison
    assert constraints.settings.domain_content_threshold == 1.0
    assert constraints.settings.comparison_threshold == 1.0
    assert constraints["message"].domains == ("preproc-not-YET-supported-for-csv-json",)
    assert constraints.settings_for("message").evaluate_constraints


def test_a_changed_file_is_written_in_todays_keys(shared: Path) -> None:
    constraints = decode_constraints((shared / REAL_FILES[0]).read_bytes())
    settings = replace(constraints.settings, perform_comparison=False)
    changed = replace(
        constraints,
        settings=settings,
        features=(replace(constraints["message"], completeness=0.5), constraints["second_message"]),
    )
    written = encode_constraints(changed)
    assert decode_constraints(written) == changed
    document = json.loads(written)
    comparison = document["monitoring_config"]["distribution_constraints"]
    assert comparison["perform_comparison"] == "Disabled"
    assert "enable_comparisons" not in comparison
    assert document["features"][0]["completeness"] == 0.5
    assert document["features"][1] == constraints["second_message"].written


def test_constraints_made_here_survive_a_round_trip() -> None:
    constraints = Constraints(
        features=(
            FeatureConstraints(
                name="x", inferred_type="Integral", completeness=0.25, is_non_negative=False
            ),
            FeatureConstraints(
                name="é",
                inferred_type="String",
                domains=("a", "é"),
                overrides={"domain_content_threshold": 0.5},
            ),
        ),
        settings=MonitoringSettings(
            emit_metrics=False,
            categorical_comparison_threshold=0.2,
            categorical_drift_method="ChiSquared",
            comparison_method="Simple",
        ),
    )
    assert decode_constraints(encode_constraints(constraints)) == constraints


@pytest.mark.parametrize("key", ["monitoringConfigOverrides", "monitoring_config_overrides"])
@pytest.mark.parametrize("inside", [False, True])
def test_overrides_are_found_under_both_names_in_both_places(key: str, inside: bool) -> None:
    overrides = {
        "datatype_check_threshold": 0.9,
        "distribution_constraints": {"comparison_threshold": 0.3},
    }
    holder = {"string_constraints": {key: overrides}} if inside else {key: overrides}
    constraints = decoded(
        features=[{"name": "x", "inferred_type": "String", **holder}, {"name": "y"}],
        monitoring_config={"domain_content_threshold": 0.7, "comparison_threshold": 0.2},
    )
    settings = constraints.settings_for("x")
    assert settings.datatype_check_threshold == 0.9
    assert settings.comparison_threshold == 0.3
    assert settings.domain_content_threshold == 0.7
    assert constraints.settings_for("y") == constraints.settings
    assert constraints.settings.comparison_threshold == 0.2


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("comparison_method", "linf_simple", "Simple"),
        ("comparison_method", "linf_robust", "Robust"),
        ("comparion_method", "Simple", "Simple"),
        ("comparison_method", "Robust", "Robust"),
    ],
)
def test_every_spelling_of_the_method_is_read(key: str, value: str, expected: str) -> None:
    config = {"distribution_constraints": {key: value}}
    settings = decoded(features=[], monitoring_config=config).settings
    assert settings.comparison_method == expected


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"regression_constraints": {}}, "no list `features`"),
        ({"features": [{"name": 3}]}, r"features\[0\]"),
        ({"features": [{"name": "x", "completeness": 2}]}, "completeness.*between 0 and 1"),
        ({"features": [{"name": "x"}, {"name": "x"}]}, "two features"),
        ({"features": [{"name": "x", "num_constraints": {"is_non_negative": "yes"}}]}, "Enabled"),
        ({"features": [{"name": "x", "string_constraints": {"domains": "a"}}]}, "list of texts"),
        ({"features": [{"name": "x", "string_constraints": []}, "y"]}, r"features\[1\]"),
        ({"features": [], "monitoring_config": []}, "monitoring_config"),
        ({"features": [], "monitoring_config": {"comparison_threshold": -1}}, "at least 0"),
        ({"features": [], "monitoring_config": {"comparison_method": "best"}}, "Simple or Robust"),
        (
            {"features": [], "monitoring_config": {"categorical_drift_method": 1}},
            "LInfinity or ChiSquared",
        ),
        (
            {"features": [{"name": "x", "monitoringConfigOverrides": {"emit_metrics": "perhaps"}}]},
            "overrides.emit_metrics",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(document: dict[str, Any], message: str) -> None:
    with pytest.raises(BaselineError, match=message):
        decoded(**document)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff", b"[]"])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(BaselineError, match=r"constraints\.json"):
        decode_constraints(data)


@pytest.mark.parametrize(
    ("present", "rows", "expected"),
    [
        (100, 100, 1.0),
        (90, 100, 0.84),  # .9 - 1.96 * .03 = .8412
        (5_000, 10_000, 0.49),  # .5 - .0098 = .4902
        (20, 100, None),
        (3, 10, 0.01),  # .3 - .284 = .016
        (0, 10, None),
    ],
)
def test_completeness_is_suggested_with_room_for_chance(
    present: int, rows: int, expected: float | None
) -> None:
    values: list[Value] = [1] * present + [None] * (rows - present)
    assert suggested(values).completeness == expected


def test_numbers_that_are_never_negative_are_to_stay_so() -> None:
    assert suggested([0.0, 1.5]).is_non_negative is True
    assert suggested([-0.5, 1.5]).is_non_negative is False
    assert suggested(["a"]).is_non_negative is None
    assert suggested([None]).is_non_negative is None


def test_a_domain_is_suggested_where_values_repeat() -> None:
    assert suggested(["b", "a", "b", "b", "a"]).domains == ("b", "a")
    assert suggested(["a", "a", "b"]).domains is None, "half of the values occur once"
    assert suggested([True, True]).domains == ("true",)
    assert suggested([1, 1, 2, 2]).domains is None, "numbers have no domain"
    tenth = [f"w{i}" for i in range(9)] * 2 + ["once"]
    assert suggested(tenth).domains is not None, "a tenth of the values occurs once"
    assert suggested([f"w{i}" for i in range(120)] * 2).domains is not None
    assert suggested([f"w{i}" for i in range(121)] * 2).domains is None


def test_a_missing_value_counts_as_a_value_for_the_domain_as_in_deequ() -> None:
    words: list[Value] = [*(f"w{i % 9}" for i in range(18)), "once"]
    # One of ten values occurs once; with a value missing once it is two of eleven.
    assert suggested(words).domains is not None
    assert suggested([*words, None]).domains is None
    assert suggested([*words, None, None]).domains is not None


def test_a_threshold_too_large_for_a_float_is_refused() -> None:
    settings = {"distribution_constraints": {"comparison_threshold": 10**400}}
    with pytest.raises(BaselineError, match="comparison_threshold"):
        decoded(features=[], monitoring_config=settings)


@pytest.mark.parametrize(
    ("window", "constrained", "described"),
    [
        ([1, 2, 3], "Integral", "Integral"),
        ([1, 2.5], "Fractional", "Fractional"),
        ([1.5, "x"], "String", "String"),
        ([None, None], "Unknown", "Unknown"),
    ],
)
def test_a_windows_types_are_those_of_its_own_values(
    window: list[Value], constrained: str, described: str
) -> None:
    baseline = column_of([0.5, 1.0, 1.5, 2.5])
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", baseline),))
    assert spec["x"].inferred_type == "Fractional"
    profile = profile_columns(spec, {"x": column_of(window)}, rows=len(window))
    assert suggest_constraints(profile)["x"].inferred_type == constrained
    (feature,) = json.loads(encode_statistics(profile))["features"]
    assert feature["inferred_type"] == described
    assert "numerical_statistics" in feature


@pytest.mark.parametrize(
    ("window", "constrained", "described"),
    [
        (["a", "c"], "String", "String"),
        ([1, 2], "Integral", "String"),
        ([None], "Unknown", "Unknown"),
    ],
)
def test_a_column_that_is_counted_as_words_is_described_as_words(
    window: list[Value], constrained: str, described: str
) -> None:
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", column_of(["a", "b"])),))
    profile = profile_columns(spec, {"x": column_of(window)}, rows=len(window))
    assert suggest_constraints(profile)["x"].inferred_type == constrained
    (feature,) = json.loads(encode_statistics(profile))["features"]
    assert feature["inferred_type"] == described
    assert "string_statistics" in feature
