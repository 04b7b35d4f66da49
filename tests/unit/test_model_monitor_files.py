"""statistics.json and constraint_violations.json."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.verdict import Violation
from driftgauge.profile.build import profile_columns
from driftgauge.profile.cells import choose_feature
from driftgauge.profile.profile import Profile, merge_profiles
from driftgauge.profile.spec import Kind, ProfileSpec
from driftgauge.report.model_monitor import encode_statistics, encode_violations, sketch_values
from tests.columns import Value, column_of


def profile_of(
    column: Column, *, kind: Kind | None = None, window: Column | None = None
) -> Profile:
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", column, kind),))
    counted = column if window is None else window
    return profile_columns(spec, {"x": counted}, rows=counted.rows)


def floats(values: np.ndarray[Any, np.dtype[np.float64]]) -> Column:
    return Column(numbers=values, types=TypeCounts(fractional=int(values.shape[0])))


def wholes(values: np.ndarray[Any, np.dtype[np.float64]]) -> Column:
    return Column(numbers=values, types=TypeCounts(integral=int(values.shape[0])))


def statistics(profile: Profile, **known: Any) -> dict[str, Any]:
    feature = json.loads(encode_statistics(profile, values=known or None))["features"][0]
    assert isinstance(feature, dict)
    return feature


def kll(profile: Profile, **known: Any) -> tuple[list[float], list[list[float]]]:
    numbers = statistics(profile, **known)["numerical_statistics"]["distribution"]["kll"]
    return [bucket["count"] for bucket in numbers["buckets"]], numbers["sketch"]["data"]


def ranks(levels: list[list[float]], at: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Share of the sketched values that are not above each of ``at``."""
    items = np.concatenate([np.array(level) for level in levels])
    weights = np.concatenate([np.full(len(level), 2.0**i) for i, level in enumerate(levels)])
    order = np.argsort(items)
    cumulated = np.append(0.0, np.cumsum(weights[order]))
    shares: np.ndarray[Any, Any] = cumulated / cumulated[-1]
    return shares[np.searchsorted(items[order], at, side="right")]


def test_the_ten_buckets_are_equally_wide_and_the_last_holds_the_maximum() -> None:
    values = np.array([0.0, 0.1, 0.35, 0.999, 1.0])
    counts, levels = kll(profile_of(floats(values)), x=values)
    assert counts == [1, 1, 0, 1, 0, 0, 0, 0, 0, 2]
    assert levels == [values.tolist()]


@pytest.mark.parametrize("integral", [True, False])
def test_a_windows_buckets_agree_with_its_values(integral: bool) -> None:
    rng = np.random.default_rng(3)
    base, window = rng.gamma(2.0, 100.0, size=50_000), rng.gamma(3.0, 80.0, size=5_000)
    if integral:
        base, window = np.floor(base), np.floor(window)
    make = wholes if integral else floats
    profile = profile_of(make(base), window=make(window))
    estimated, levels = kll(profile)
    exact, _ = kll(profile, x=window)
    assert sum(estimated) == pytest.approx(5_000)
    # A bucket's edge falls into one cell of about 1/256 of the rows: at each end so much is open.
    assert np.abs(np.array(estimated) - exact).max() < 2 * 5_000 / 256
    assert sum(len(level) * 2**i for i, level in enumerate(levels)) == 5_000
    at = np.quantile(base, np.linspace(0.05, 0.95, 19))
    true = np.searchsorted(np.sort(window), at, side="right") / 5_000
    assert np.abs(ranks(levels, at) - true).max() < 0.02


def test_a_discrete_window_is_written_exactly() -> None:
    base = np.repeat(np.arange(5.0), 20)
    window = np.array([0.0, 1.0, 1.0, 4.0, 4.0, 4.0])
    profile = profile_of(wholes(base), window=wholes(window))
    estimated, levels = kll(profile)
    assert estimated == kll(profile, x=window)[0]
    assert sorted(levels[0]) == [0.0, 4.0]
    assert sorted(levels[1]) == [1.0, 4.0]


# Of a KLL sketch with k = 2048, in 99 of 100 cases: 2.296 / 2048**0.9723 (Apache DataSketches).
RANK_ERROR = 0.0014
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, float, int], Any]] = {
    "normal": lambda chance, moved, n: chance.normal(moved, 1.0, n),
    "gamma": lambda chance, moved, n: chance.gamma(2.0 + moved, 1.0, n),
    "lognormal": lambda chance, moved, n: chance.lognormal(moved, 1.0, n),
    "exponential": lambda chance, moved, n: chance.exponential(1.0 + moved, n),
    "counts": lambda chance, moved, n: chance.poisson(400 * (1 + moved / 10), n) + 0.0,
}


def rank_error(levels: list[list[float]], values: np.ndarray[Any, Any]) -> float:
    """Largest difference of a share of values from the share of the sketch, at any item."""
    at = np.unique(np.concatenate([np.array(level) for level in levels]))
    true = np.searchsorted(np.sort(values), at, side="right") / values.shape[0]
    return float(np.abs(ranks(levels, at) - true).max())


def merged_window(name: str, *, moved: float) -> tuple[list[list[float]], np.ndarray[Any, Any]]:
    """A window of a million rows in ten profiles, against a baseline of 100,000 rows."""
    chance = np.random.default_rng(len(name))
    draw = DISTRIBUTIONS[name]
    make = wholes if name == "counts" else floats
    spec = profile_of(make(draw(chance, 0.0, 100_000))).spec
    values = draw(chance, moved, 1_000_000)
    parts = np.array_split(values, 10)
    profiles = [profile_columns(spec, {"x": make(part)}, rows=100_000) for part in parts]
    return kll(merge_profiles(profiles, spec))[1], values


@pytest.mark.parametrize("moved", [0.0, 1.0])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_sketch_of_a_million_merged_rows_has_the_rank_error_of_its_size(
    name: str, moved: float
) -> None:
    levels, values = merged_window(name, moved=moved)
    assert sum(len(level) * 2**i for i, level in enumerate(levels)) == 1_000_000
    assert rank_error(levels, values) <= RANK_ERROR


@settings(max_examples=60, deadline=None)
@given(
    base=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    window=st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=400),
    copies=st.sampled_from([1, 7, 100]),
)
def test_a_rank_is_wrong_by_no_more_than_a_step_and_the_share_of_a_cell(
    base: list[float], window: list[float], copies: int
) -> None:
    values = np.repeat(np.array(window), copies)
    profile = profile_of(floats(np.array(base)), kind="numeric", window=floats(values))
    levels = kll(profile)[1]
    n = values.shape[0]
    assert sum(len(level) * 2**i for i, level in enumerate(levels)) == n
    room = [2 * (math.ceil(2048 * 0.64**i / 2) + 1) for i in range(len(levels))]
    assert sum(map(len, levels)) <= sum(room)
    assert values.min() <= min(map(min, filter(None, levels)))
    assert max(map(max, filter(None, levels))) <= values.max()
    fullest = int(profile.feature("x").fine_counts.max())
    assert rank_error(levels, values) <= (fullest + 2 ** (len(levels) - 1)) / n


def test_the_buckets_of_a_window_are_whole_and_add_up() -> None:
    chance = np.random.default_rng(4)
    values = chance.normal(0.7, 1.0, 3_333)
    counts, _ = kll(profile_of(floats(chance.normal(size=9_000)), window=floats(values)))
    assert all(count.is_integer() and count >= 0 for count in counts)
    assert sum(counts) == 3_333


def test_values_beyond_the_baseline_stay_within_the_windows_own_range() -> None:
    base = np.random.default_rng(0).normal(size=10_000)
    window = np.concatenate([base[:1_000], np.full(500, 50.0), np.full(500, -80.0)])
    counts, levels = kll(profile_of(floats(base), window=floats(window)))
    assert sum(counts) == pytest.approx(2_000)
    items = np.concatenate([np.array(level) for level in levels])
    assert items.min() >= -80.0
    assert items.max() <= 50.0


def test_a_large_sketch_holds_every_value_in_weight_and_keeps_the_ranks() -> None:
    values = np.random.default_rng(1).permutation(200_000).astype(float)
    levels = [level.tolist() for level in sketch_values(values)]
    assert sum(len(level) * 2**i for i, level in enumerate(levels)) == 200_000
    capacity = [2 * (math.ceil(2048 * 0.64**i / 2) + 1) for i in range(len(levels))]
    assert capacity[:3] == [2050, 1314, 842]
    assert sum(len(level) for level in levels) <= sum(capacity)
    at = np.linspace(5_000, 195_000, 39)
    assert np.abs(ranks(levels, at) - (at + 1) / 200_000).max() < 0.005


def test_the_sketch_is_that_of_adding_one_value_after_the_other() -> None:
    values = np.random.default_rng(2).normal(size=9_000)
    levels: list[list[float]] = [[]]
    flips, starts = [0], [0]

    def capacity(i: int) -> int:
        return 2 * (math.ceil(2048 * 0.64**i / 2) + 1)

    for value in values.tolist():
        levels[0].append(value)
        room = sum(capacity(i) for i in range(len(levels)))
        if sum(map(len, levels)) <= room:
            continue
        full = next(i for i, level in enumerate(levels) if len(level) >= capacity(i))
        if full + 1 == len(levels):
            levels.append([])
            flips.append(0)
            starts.append(0)
        if flips[full] % 2:
            starts[full] = 1 - starts[full]
        flips[full] += 1
        even = len(levels[full]) // 2 * 2
        levels[full + 1] += sorted(levels[full][:even])[starts[full] :: 2]
        levels[full] = levels[full][even:]
    assert [level.tolist() for level in sketch_values(values)] == levels


def test_text_is_listed_with_its_counts_by_weight() -> None:
    feature = statistics(profile_of(column_of(["b", "a", "b", None, "c"])))
    assert feature == {
        "name": "x",
        "inferred_type": "String",
        "string_statistics": {
            "common": {"num_present": 4, "num_missing": 1},
            "distinct_count": 3.0,
            "distribution": {
                "categorical": {
                    "buckets": [
                        {"value": "b", "count": 2},
                        {"value": "a", "count": 1},
                        {"value": "c", "count": 1},
                    ]
                }
            },
        },
    }


def test_unseen_text_of_a_window_is_listed_too() -> None:
    profile = profile_of(column_of(["a", "b"]), window=column_of(["a", "new", "new"]))
    text = statistics(profile)["string_statistics"]
    assert text["distinct_count"] == 2.0
    assert text["distribution"]["categorical"]["buckets"][0] == {"value": "new", "count": 2}


def test_text_of_more_than_120_values_is_counted_but_not_listed() -> None:
    text = statistics(profile_of(column_of([f"w{i}" for i in range(121)])))["string_statistics"]
    assert text["distinct_count"] == 121.0
    assert "distribution" not in text


def test_a_column_without_values_is_unknown() -> None:
    feature = statistics(profile_of(column_of([None, None])))
    assert feature["inferred_type"] == "Unknown"
    assert feature["string_statistics"]["common"] == {"num_present": 0, "num_missing": 2}


def test_an_empty_window_has_no_distribution() -> None:
    base = column_of([1.5, 2.5, 3.5])
    feature = statistics(profile_of(base, window=column_of([None, float("inf")])))
    assert feature["numerical_statistics"] == {"common": {"num_present": 1, "num_missing": 1}}


@pytest.mark.parametrize(
    "values", [[1.7e308, -1.7e308, 1e308], [5e-324, -5e-324], [3.0, 3.0], [1.7e308] * 20]
)
def test_extreme_numbers_are_still_json(values: list[Value]) -> None:
    column = column_of(values)
    for known in ({}, {"x": column.numbers}):
        numbers = statistics(profile_of(column), **known)["numerical_statistics"]
        kll_of = numbers["distribution"]["kll"]
        assert sum(bucket["count"] for bucket in kll_of["buckets"]) == len(values)
        assert kll_of["buckets"][0]["lower_bound"] == numbers["min"]
        assert kll_of["buckets"][-1]["upper_bound"] == numbers["max"]
    if len(values) == 20:
        assert numbers["sum"] == "Infinity"


def test_violations_are_written_as_model_monitor_does(shared: Path) -> None:
    folder = shared / "data/sagemaker-python-sdk@v2.257.6/tests/data/monitor"
    theirs = json.loads((folder / "constraint_violations.json").read_text())
    violations = tuple(Violation(**violation) for violation in theirs["violations"])
    assert json.loads(encode_violations(violations)) == theirs
