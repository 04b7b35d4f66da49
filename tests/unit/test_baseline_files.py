"""Baselines recovered from statistics.json and constraints.json alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.baseline import Baseline, build_baseline, read_baseline, write_baseline
from driftgauge.baseline_files import decode_files, open_baseline, recover_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.constraints import encode_constraints
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings, MonitorConfig
from driftgauge.drift.decision import judge_window
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import BaselineError, ObjectNotFoundError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.codec import encode_profile
from driftgauge.report.model_monitor import encode_statistics
from driftgauge.windows import Window
from tests.columns import Value, column_of

CREATED = datetime(2026, 3, 1, tzinfo=UTC)


def built(
    columns: dict[str, Column], overrides: dict[str, FeatureSettings] | None = None
) -> Baseline:
    rows = next(iter(columns.values())).rows
    table = Table(rows=rows, columns=columns)
    return build_baseline([table], version="v", created=CREATED, overrides=overrides)


def recovered(
    baseline: Baseline,
    change: Callable[[dict[str, Any]], None] | None = None,
    **arguments: Any,
) -> Baseline:
    """Keep nothing but the two files, after an edit of the statistics."""
    document = json.loads(baseline.statistics)
    if change is not None:
        change(document)
    files = decode_files(
        statistics=json.dumps(document).encode(),
        constraints=encode_constraints(baseline.constraints),
    )
    return recover_baseline(files, created=CREATED, **arguments)


def only(numbers: np.ndarray[Any, np.dtype[np.float64]], *, integral: bool = False) -> Baseline:
    n = int(numbers.shape[0])
    types = TypeCounts(integral=n) if integral else TypeCounts(fractional=n)
    return built({"x": Column(numbers=numbers, types=types)})


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    """Take a key out of every column's statistics."""

    def change(document: dict[str, Any]) -> None:
        for feature in document["features"]:
            place = feature
            for key in path[:-1]:
                place = place.get(key, {})
            place.pop(path[-1], None)

    return change


NO_SKETCH = without("numerical_statistics", "distribution", "kll", "sketch")
NO_DISTRIBUTION = without("numerical_statistics", "distribution")


def window_of(baseline: Baseline, columns: dict[str, Column]) -> WindowVerdict:
    rows = next(iter(columns.values())).rows
    return judge_window(
        baseline=baseline,
        profile=profile_columns(baseline.spec, columns, rows=rows),
        decision=DecisionSettings(),
        features={},
        monitor="m",
        variant="v",
        window=Window(CREATED, CREATED + timedelta(hours=1)),
        evaluated_at=CREATED,
    )


def written(baseline: Baseline) -> list[dict[str, Any]]:
    """What the profile alone says, without the distributions."""
    features = json.loads(encode_statistics(baseline.profile))["features"]
    for feature in features:
        feature.get("numerical_statistics", {}).pop("distribution", None)
    assert isinstance(features, list)
    return features


def assert_same_profile(ours: Baseline, theirs: Baseline) -> None:
    for feature, back in zip(theirs.profile.features, ours.profile.features, strict=True):
        assert back.spec == replace(feature.spec, scale=back.spec.scale)
        assert back.spec.scale == pytest.approx(feature.spec.scale, rel=1e-12)
        assert back.counts.tolist() == feature.counts.tolist()
        for name in ("rows", "missing", "negative", "non_finite", "unseen_rows", "minimum"):
            assert getattr(back, name) == getattr(feature, name), name
        for name in ("maximum", "mean", "sum", "std_dev", "counted", "unseen"):
            assert getattr(back, name) == getattr(feature, name), name
    assert written(ours) == written(theirs)


def test_small_training_data_comes_back_exactly() -> None:
    baseline = built(
        {
            "amount": column_of([1.5, -2.25, 3.0, None, 0.1, 0.2]),
            "zeros": column_of([0, 0, 0, 0, 0, 0]),
            "region": column_of(["b", "a", "a", None, "c", 7]),
            "truth": column_of([True, False, True, True, None, True]),
            "nothing": column_of([None] * 6),
        }
    )
    again = recovered(baseline, version="v")
    assert_same_profile(again, baseline)
    assert again.statistics == json.dumps(json.loads(baseline.statistics)).encode()
    assert again.constraints == baseline.constraints
    assert again.profile.feature("region").types == baseline.profile.feature("region").types
    assert again.profile.feature("truth").types == TypeCounts(boolean=5)


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.none(),
            st.floats(allow_nan=False, allow_infinity=False, width=64),
            st.integers(-5, 5).map(float),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_any_small_column_of_numbers_comes_back_exactly(values: list[Value]) -> None:
    baseline = built({"x": column_of(values), "y": column_of([1] * len(values))})
    again = recovered(baseline, version="v")
    for feature, back in zip(baseline.profile.features, again.profile.features, strict=True):
        assert back.counts.tolist() == feature.counts.tolist()
        assert (back.spec.kind, back.spec.edges) == (feature.spec.kind, feature.spec.edges)
        assert (back.minimum, back.maximum) == (feature.minimum, feature.maximum)
        assert (back.missing, back.negative) == (feature.missing, feature.negative)
    assert written(again) == written(baseline)
    assert encode_profile(again.profile)


@settings(max_examples=100, deadline=None)
@given(words=st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1, max_size=40))
def test_any_small_column_of_texts_comes_back_exactly(words: list[Value]) -> None:
    words = [None if word == "" else word for word in words]
    texts = [word if word is None else f"x{word}" for word in words]
    baseline = built({"x": column_of(texts)})
    assert_same_profile(recovered(baseline, version="v"), baseline)


@pytest.mark.parametrize("integral", [True, False])
def test_a_compressed_sketch_gives_cells_with_nearly_the_true_counts(integral: bool) -> None:
    values = np.random.default_rng(5).gamma(2.0, 100.0, size=200_000)
    values = np.floor(values) if integral else values
    baseline = only(values, integral=integral)
    again = recovered(baseline, version="v")
    feature = again.profile.feature("x")
    assert feature.spec.cells <= 66 + 2
    assert int(feature.counts.sum()) == 200_000
    true = profile_columns(
        again.spec,
        {"x": Column(numbers=values, types=TypeCounts(fractional=200_000))},
        rows=200_000,
    ).feature("x")
    assert np.abs(np.cumsum(feature.counts) - np.cumsum(true.counts)).max() < 0.003 * 200_000
    assert (feature.minimum, feature.maximum) == (values.min(), values.max())
    assert written(again) == written(baseline)


def test_the_buckets_correct_the_weights_of_a_compressed_sketch() -> None:
    values = np.random.default_rng(6).permutation(np.repeat([0.0, 1.0, 9.0], [77_001, 5_003, 17]))
    baseline = only(values, integral=True)
    feature = recovered(baseline).profile.feature("x")
    assert feature.spec.edges == (0.0, 1.0, 9.0)
    assert feature.counts.tolist() == [0, 77_001, 0, 5_003, 0, 17, 0]


def test_without_a_sketch_the_buckets_are_the_cells() -> None:
    values = np.random.default_rng(7).normal(size=5_000)
    baseline = only(values)
    feature = recovered(baseline, NO_SKETCH).profile.feature("x")
    kll = json.loads(baseline.statistics)["features"][0]["numerical_statistics"]["distribution"]
    counts = [bucket["count"] for bucket in kll["kll"]["buckets"]]
    assert feature.counts.tolist() == [0, *counts, 0]
    assert feature.spec.kind == "numeric"
    assert feature.spec.edges[0] == values.min()
    assert feature.spec.edges[-1] == np.nextafter(values.max(), np.inf)
    # The bucket around zero is shared out evenly.
    assert feature.negative == pytest.approx((values < 0).sum(), rel=0.05)


def test_few_whole_numbers_come_back_from_the_buckets_alone() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 7.0], [40, 30, 20, 10])
    baseline = only(values, integral=True)
    feature = recovered(baseline, NO_SKETCH).profile.feature("x")
    assert (feature.spec.kind, feature.spec.edges) == ("discrete", (0.0, 1.0, 2.0, 7.0))
    assert feature.counts.tolist() == [0, 40, 0, 30, 0, 20, 0, 10, 0]
    # With eleven values a bucket may hold two.
    wide = only(np.repeat(np.arange(11.0), 10), integral=True)
    assert recovered(wide, NO_SKETCH).spec["x"].kind == "numeric"


def test_without_a_distribution_only_the_range_is_known() -> None:
    baseline = only(np.random.default_rng(8).normal(size=500))
    again = recovered(baseline, NO_DISTRIBUTION)
    feature = again.profile.feature("x")
    assert feature.counts.tolist() == [0, 500, 0]
    assert written(again) == written(baseline)
    inside = window_of(again, {"x": column_of([0.1, -0.2, 0.3] * 100)})
    assert not inside.alarm
    outside = window_of(again, {"x": column_of([0.1, -0.2, 30.0] * 100)})
    assert outside.features[0].verdict == "drift"


def test_a_column_of_many_texts_is_unseen_altogether() -> None:
    baseline = built({"x": column_of([f"word {i}" for i in range(500)])})
    feature = recovered(baseline).profile.feature("x")
    assert feature.spec.categories == ()
    assert (feature.present, feature.unseen_rows) == (500, 500)


def test_the_domain_gives_the_categories_of_texts_that_are_not_listed() -> None:
    baseline = built({"x": column_of(["a", "b"] * 50)})
    change = without("string_statistics", "distribution")
    again = recovered(baseline, change)
    feature = again.profile.feature("x")
    assert feature.spec.categories == ("a", "b")
    assert feature.counts.tolist() == [0, 0]
    assert (feature.present, feature.unseen_rows) == (100, 0)
    verdict = window_of(again, {"x": column_of(["a", "z"] * 50)})
    assert verdict.features[0].verdict == "insufficient_data"
    assert [v.constraint_check_type for v in verdict.violations] == ["categorical_values_check"]


def test_columns_of_only_one_of_the_files_are_kept() -> None:
    baseline = built(
        {
            "a": column_of([1.5, 2.5] * 50),
            "b": column_of(["x", None] * 50),
            "c": column_of([1, 2] * 50),
        }
    )

    def drop_two(document: dict[str, Any]) -> None:
        del document["features"][1:]

    again = recovered(baseline, drop_two)
    assert [feature.name for feature in again.spec.features] == ["a", "b", "c"]
    text, number = again.profile.feature("b"), again.profile.feature("c")
    # The constraints demand what 50 of 100 values allow with confidence: 40.
    assert (text.spec.kind, text.spec.inferred_type, text.present) == ("categorical", "String", 40)
    assert (number.spec.kind, number.spec.inferred_type) == ("numeric", "Integral")
    assert (number.counted, number.missing, number.non_finite) == (0, 0, 0)
    constraints = replace(baseline.constraints, features=baseline.constraints.features[:1])
    files = decode_files(
        statistics=baseline.statistics, constraints=encode_constraints(constraints)
    )
    kept = recover_baseline(files, created=CREATED)
    assert len(kept.spec.features) == 3
    window = {name: column_of([None] * 50) for name in "abc"}
    checks = {v.feature_name for v in window_of(kept, window).violations}
    assert checks == {"a"}


def test_a_recovered_baseline_tells_drift_from_its_own_rows() -> None:
    chance = np.random.default_rng(9)
    values = chance.lognormal(size=300_000)
    again = recovered(only(values))
    for _ in range(20):
        sample = chance.choice(values, 5_000)
        assert not window_of(again, {"x": column_of(sample.tolist())}).alarm
    moved = window_of(again, {"x": column_of((chance.choice(values, 5_000) * 1.5).tolist())})
    assert moved.features[0].verdict == "drift"


def test_roles_and_exclusions_are_the_users() -> None:
    baseline = built({name: column_of([1, 2, 3]) for name in ("label", "score", "x")})
    again = recovered(baseline, outputs=("score",), exclude=("label",))
    assert (again.spec.outputs, again.spec.inputs) == (("score",), ("x",))


def test_the_user_can_say_what_a_recovered_column_is() -> None:
    baseline = built(
        {
            "zip": column_of([94110, 94110, 10001]),
            "age": column_of([31, 32, 33]),
            "dirty": column_of([1.5, "?", 2.5]),
            "count": column_of([0, 1, 1]),
        }
    )
    kinds = {"zip": "categorical", "age": "discrete", "dirty": "numeric", "count": "numeric"}
    overrides = {name: FeatureSettings.model_validate({"kind": k}) for name, k in kinds.items()}
    again = recovered(baseline, overrides=overrides, version="v")
    direct = built(
        {
            "zip": column_of([94110, 94110, 10001]),
            "age": column_of([31, 32, 33]),
            "dirty": column_of([1.5, "?", 2.5]),
            "count": column_of([0, 1, 1]),
        },
        overrides,
    )
    for ours, theirs in zip(again.profile.features, direct.profile.features, strict=True):
        assert (ours.spec.kind, ours.spec.edges) == (theirs.spec.kind, theirs.spec.edges)
        assert ours.spec.categories == theirs.spec.categories
        assert ours.counts.tolist() == theirs.counts.tolist()
    assert again.profile.feature("dirty").types.text == 1
    # Our own files of such a column have numbers under the type String.
    assert recovered(direct).profile.feature("dirty").types.text == 1


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (NO_SKETCH, {"overrides": {"x": FeatureSettings(kind="discrete")}}, "no sketch"),
        (None, {"overrides": {"x": FeatureSettings(kind="boolean")}}, "no true or false"),
        (None, {"overrides": {"w": FeatureSettings(kind="boolean")}}, "no true or false"),
        (None, {"overrides": {"w": FeatureSettings(kind="numeric")}}, "lists no number"),
        (None, {"overrides": {"w": FeatureSettings(kind="text")}}, "do not measure texts"),
        (None, {"overrides": {"z": FeatureSettings()}}, "'z', which is not a column"),
        (None, {"outputs": ("score",)}, "outputs names 'score'"),
        (None, {"exclude": ("x", "w")}, "every column"),
        (lambda d: d["dataset"].update(item_count=0), {}, "3 values in 0 rows"),
        (lambda d: d.update(dataset={"item_count": 1e300}), {}, "item_count"),
        (lambda d: d.pop("features"), {}, "no list `features`"),
        (lambda d: d["features"].append(d["features"][0]), {}, "two are named 'x'"),
        (lambda d: d["features"][0].update(name="\ud800"), {}, "rename it"),
        (
            lambda d: d["features"][0]["numerical_statistics"].update(min=9.0),
            {},
            "`min` 9.0 is above",
        ),
        (
            lambda d: d["features"][0]["numerical_statistics"].update(max=2.0),
            {},
            "reaches beyond",
        ),
        (lambda d: d["features"][0]["numerical_statistics"].update(std_dev=-1), {}, "negative"),
        (lambda d: d["features"][0]["numerical_statistics"].update(mean="x"), {}, "a number"),
        (
            lambda d: d["features"][1]["string_statistics"]["common"].update(num_present=1),
            {},
            "more values than",
        ),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_the_place(
    change: Callable[[dict[str, Any]], None] | None, arguments: dict[str, Any], message: str
) -> None:
    baseline = built({"x": column_of([1.5, 2.5, 4.0]), "w": column_of(["a", "b", "a"])})
    with pytest.raises(BaselineError, match=message):
        recovered(baseline, change, **arguments)


def test_unlikely_but_possible_files_are_read() -> None:
    baseline = only(np.random.default_rng(0).normal(size=4_000))

    def odd(document: dict[str, Any]) -> None:
        document.pop("dataset")
        document["new"] = {"key": 1}
        numbers = document["features"][0]["numerical_statistics"]
        numbers["sum"], numbers["std_dev"] = "Infinity", "NaN"
        # Buckets of other data than the sketch's are not taken for its correction.
        numbers["distribution"]["kll"]["buckets"][0]["count"] += 2_000
        document["features"].append({"name": "bare"})

    again = recovered(baseline, odd)
    feature = again.profile.feature("x")
    assert feature.rows == 4_000
    assert feature.mean == pytest.approx(baseline.profile.feature("x").mean)
    assert feature.std_dev == pytest.approx(baseline.profile.feature("x").std_dev, rel=0.02)
    assert again.profile.feature("bare").missing == 4_000


# Reading a folder


def test_a_folder_with_only_the_two_files_is_a_baseline() -> None:
    baseline = built({"label": column_of([0, 1]), "s": column_of([0.5, 1.5])})
    stored: dict[str, bytes] = {}
    write_baseline(baseline, stored.__setitem__)

    def read(name: str) -> bytes:
        if name not in stored:
            raise ObjectNotFoundError(f"{name} does not exist")
        return stored[name]

    config = MonitorConfig.model_validate(
        {
            "name": "m",
            "endpoint": {"name": "e"},
            "prediction": "s",
            "label": "label",
            "features": {"elsewhere": {"ignore": True}},
        }
    )
    own = open_baseline(read, created=CREATED)
    assert own.version == "v"
    del stored["baseline.json"]
    again = open_baseline(read, config=config, created=CREATED)
    assert again.version.startswith("files-")
    assert (again.spec.outputs, again.spec.inputs) == (("s",), ())
    named = open_baseline(read, outputs=("label",), created=CREATED)
    assert (named.spec.outputs, named.spec.inputs) == (("label",), ("s",))
    # A recovered baseline is stored and read like any other.
    write_baseline(again, stored.__setitem__)
    assert read_baseline(read).spec == again.spec
    del stored["baseline.json"], stored["constraints.json"]
    with pytest.raises(BaselineError, match=r"baseline\.json .* constraints\.json does not exist"):
        open_baseline(read, created=CREATED)
