"""Baselines from training data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from driftgauge.baseline import (
    Baseline,
    build_baseline,
    encode_baseline,
    read_baseline,
    write_baseline,
)
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import FeatureSettings
from driftgauge.errors import BaselineError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.codec import encode_profile
from tests.columns import Value, column_of

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATA_QUALITY = Path(
    "data/sagemaker-python-sdk@v2.257.6/tests/data/pipeline/quality_check_step/data_quality"
)


def table_of(**columns: Sequence[Value]) -> Table:
    rows = len(next(iter(columns.values()))) if columns else 0
    return Table(rows=rows, columns={name: column_of(values) for name, values in columns.items()})


def baseline_of(*tables: Table, **kwargs: object) -> Baseline:
    return build_baseline(tables, version="v1", created=CREATED, **kwargs)  # type: ignore[arg-type]


def numbers(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Table:
    count = int(values.shape[0])
    return Table(
        rows=count, columns={"x": Column(numbers=values, types=TypeCounts(fractional=count))}
    )


def real_table(shared: Path) -> Table:
    lines = (shared / DATA_QUALITY / "baseline_dataset.csv").read_text().split()
    values = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    return Table(
        rows=len(lines),
        columns={
            f"_c{i}": Column(numbers=values[:, i], types=TypeCounts(fractional=len(lines)))
            for i in range(values.shape[1])
        },
    )


def test_statistics_are_those_that_model_monitor_computed(shared: Path) -> None:
    theirs = json.loads((shared / DATA_QUALITY / "statistics.json").read_text())
    ours = json.loads(baseline_of(real_table(shared)).statistics)
    assert ours["version"] == theirs["version"]
    assert ours["dataset"] == theirs["dataset"]
    assert len(ours["features"]) == len(theirs["features"])
    for our, their in zip(ours["features"], theirs["features"], strict=True):
        our_numbers = our.pop("numerical_statistics")
        their_numbers = their.pop("numerical_statistics")
        assert our == their
        assert our_numbers.pop("std_dev") == pytest.approx(their_numbers.pop("std_dev"), rel=1e-14)
        assert our_numbers.pop("mean") == pytest.approx(their_numbers.pop("mean"), rel=1e-15)
        # Everything else, the sketch and the edges of the buckets included, to the last bit.
        assert our_numbers == their_numbers


def test_suggested_constraints_are_those_that_model_monitor_suggested(shared: Path) -> None:
    written: dict[str, bytes] = {}
    write_baseline(baseline_of(real_table(shared)), written.__setitem__)
    theirs = json.loads((shared / DATA_QUALITY / "good_cases/constraints.json").read_text())
    assert json.loads(written["constraints.json"]) == theirs


def test_types_are_inferred_as_model_monitor_does() -> None:
    baseline = baseline_of(
        table_of(
            whole=[1, 2, None, 3],
            broken=[1, 2.5, 3, None],
            text=["a", 1, 2, None],
            truth=[True, False, None, True],
            truth_and_numbers=[True, 1, 2, 3],
            nothing=[None, None, None, None],
        )
    )
    types = {f.name: (f.inferred_type, f.kind) for f in baseline.spec.features}
    assert types == {
        "whole": ("Integral", "numeric"),
        "broken": ("Fractional", "numeric"),
        "text": ("String", "categorical"),
        "truth": ("String", "boolean"),
        "truth_and_numbers": ("String", "categorical"),
        "nothing": ("Unknown", "categorical"),
    }


def test_a_numeric_column_with_few_values_that_repeat_is_discrete() -> None:
    baseline = baseline_of(table_of(x=[0, 1, 5] * 10, y=list(range(30))))
    assert baseline.spec["x"].kind == "discrete"
    assert baseline.spec["x"].edges == (0.0, 1.0, 5.0)
    assert baseline.profile.feature("x").counts.tolist() == [0, 10, 0, 10, 0, 10, 0]
    assert baseline.spec["y"].kind == "numeric"


def test_a_numeric_column_is_split_into_256_equal_cells() -> None:
    values = np.random.default_rng(0).normal(size=25_600)
    baseline = baseline_of(numbers(values))
    counts = baseline.profile.feature("x").counts
    assert counts[0] == counts[-1] == 0
    assert counts[1:-1].tolist() == [100] * 256
    assert baseline.spec["x"].center == pytest.approx(values.mean())
    assert baseline.spec["x"].scale == pytest.approx(values.std())


def test_a_value_heavier_than_a_cell_gets_its_own() -> None:
    values = np.random.default_rng(0).exponential(size=10_000)
    values[:4_000] = 0.0
    baseline = baseline_of(numbers(values))
    assert 4_000 in baseline.profile.feature("x").counts.tolist()


def test_a_column_that_one_table_lacks_is_missing_there() -> None:
    baseline = baseline_of(
        table_of(a=["x", "y"], b=[1, 2]), table_of(a=["y", "z"]), table_of(b=[3], a=[None])
    )
    assert baseline.profile.rows == 5
    assert baseline.profile.feature("b").missing == 2
    assert baseline.profile.feature("a").missing == 1
    assert baseline.spec["a"].categories == ("x", "y", "z")
    assert baseline.profile.feature("a").counts.tolist() == [1, 2, 1]


def test_tables_join_to_what_one_table_gives() -> None:
    one = baseline_of(table_of(a=["x", "y", "x", None], b=[1, 2.5, None, "?"]))
    two = baseline_of(table_of(a=["x", "y"], b=[1, 2.5]), table_of(a=["x", None], b=[None, "?"]))
    assert encode_baseline(one) == encode_baseline(two)
    assert one.statistics == two.statistics


def test_outputs_are_marked_and_excluded_columns_left_out() -> None:
    baseline = baseline_of(
        table_of(score=[0.1, 0.2], x=[1, 2], label=[0, 1]), outputs=("score",), exclude=("label",)
    )
    assert baseline.spec.outputs == ("score",)
    assert baseline.spec.inputs == ("x",)


def test_the_user_can_say_what_a_column_is() -> None:
    overrides = {
        "zip": FeatureSettings(kind="categorical"),
        "age": FeatureSettings(kind="discrete"),
        "dirty": FeatureSettings(kind="numeric"),
    }
    baseline = baseline_of(
        table_of(zip=[94110, 94110, 10001], age=[31, 32, 33], dirty=[1.5, "?", 2.5]),
        overrides=overrides,
    )
    assert baseline.spec["zip"].categories == ("10001", "94110")
    assert baseline.spec["age"].edges == (31.0, 32.0, 33.0)
    assert baseline.spec["dirty"].edges[0] == 1.5
    assert baseline.profile.feature("dirty").types.text == 1


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        ({}, {}, "has no column"),
        ({"x": []}, {}, "has no row"),
        ({"x": [1]}, {"exclude": ("x",)}, "every column"),
        ({"x": [1]}, {"outputs": ("score",)}, "outputs names 'score'"),
        ({"x": [1]}, {"exclude": ("label",)}, "exclude names 'label'"),
        ({"x": [1]}, {"overrides": {"y": FeatureSettings()}}, "features names 'y'"),
        ({"x": ["a"]}, {"overrides": {"x": FeatureSettings(kind="numeric")}}, "no finite number"),
        ({"x": [0, 1]}, {"overrides": {"x": FeatureSettings(kind="boolean")}}, "no true or false"),
        (
            {"x": [i / 7 for i in range(1001)]},
            {"overrides": {"x": FeatureSettings(kind="discrete")}},
            "1001 different values",
        ),
        ({"\ud800": [1]}, {}, "rename it"),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_what_to_do(
    columns: dict[str, list[Value]], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(BaselineError, match=message):
        baseline_of(table_of(**columns), **arguments)


@pytest.mark.parametrize(
    "values",
    [
        [None] * 10,
        [4.25] * 10,
        [7],
        [float("inf"), 1.0, 2.0, float("-inf"), float("nan")],
        [float("inf"), float("-inf")],
        [10**300, -(10**300), 2**63, 1],
        [1.7976931348623157e308, -1.7976931348623157e308, 1.0],
        [5e-324, -5e-324, 0.0, -0.0] * 20,
        [f"category {i}" for i in range(5_000)],
        ["x" * 100_000, "\ud800", "", "\x00", "<script>"],
    ],
)
def test_odd_columns_make_a_baseline_that_can_be_stored_and_read(values: list[Value]) -> None:
    baseline = baseline_of(table_of(x=values))
    stored: dict[str, bytes] = {}
    write_baseline(baseline, stored.__setitem__)
    again = read_baseline(stored.__getitem__)
    assert again.spec == baseline.spec
    assert again.created == CREATED
    assert again.constraints == baseline.constraints
    assert again.statistics == baseline.statistics
    assert encode_profile(again.profile) == encode_profile(baseline.profile)
    json.loads(baseline.statistics)
    # A window of the very same rows has the baseline's own profile.
    window = profile_columns(again.spec, {"x": column_of(values)}, rows=len(values))
    assert encode_profile(replace(window, detail=None)) == encode_profile(baseline.profile)


def test_rare_categories_of_a_wide_column_are_honestly_unseen() -> None:
    words = [f"w{i:04}" for i in range(1_500) for _ in range(2 if i < 1_000 else 1)]
    feature = baseline_of(table_of(x=words)).profile.feature("x")
    assert feature.spec.cells == 1_000
    assert int(feature.counts.sum()) == 2_000
    assert feature.unseen_rows == 500
    assert feature.unseen_distinct == pytest.approx(500, rel=0.4)


def test_infinite_numbers_are_counted_apart() -> None:
    feature = baseline_of(table_of(x=[1.0, 2.0, float("inf"), float("nan")])).profile.feature("x")
    assert (feature.non_finite, feature.counted, feature.present) == (2, 2, 4)
    assert (feature.minimum, feature.maximum, feature.mean) == (1.0, 2.0, 1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-2], "cannot be read"),
        (lambda text: text.replace('"version":2', '"version":1', 1), "version 1"),
        (lambda text: text.replace('"edges":[', '"edges":[9e99,', 1), "do not increase"),
        (lambda text: text.replace('"kind":"numeric"', '"kind":"odd"', 1), "cannot be read"),
        (lambda text: text.replace('"profile":"', '"profile":"AAAA', 1), "cannot be read"),
        (lambda text: text.replace('"center":', '"center":7', 1), "another baseline"),
    ],
)
def test_a_damaged_baseline_is_refused(change: object, message: str) -> None:
    stored: dict[str, bytes] = {}
    write_baseline(baseline_of(table_of(x=[1.5, 2.5, 4.0])), stored.__setitem__)
    assert callable(change)
    stored["baseline.json"] = change(stored["baseline.json"].decode()).encode()
    with pytest.raises(BaselineError, match=message):
        read_baseline(stored.__getitem__)


def test_the_order_of_files_lets_a_reader_trust_baseline_json() -> None:
    names: list[str] = []
    write_baseline(baseline_of(table_of(x=[1])), lambda name, _: names.append(name))
    assert names == ["statistics.json", "constraints.json", "baseline.json"]
