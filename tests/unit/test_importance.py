"""How much a column tells about the label, and whose weight counts."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.baseline import Baseline, build_baseline, decode_baseline, encode_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.constraints import encode_constraints
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings
from driftgauge.drift.decision import judge_features
from driftgauge.drift.importance import (
    classes_of,
    label_associations,
    mutual_information,
    weigh,
)
from driftgauge.drift.verdict import FeatureVerdict, weighted_sizes
from driftgauge.errors import BaselineError
from driftgauge.profile.build import profile_columns
from driftgauge.report.summary import worst_first

NOW = datetime(2015, 7, 1, tzinfo=UTC)
ROWS = 4000


def numbers(values: NDArray[np.float64]) -> Column:
    missing = np.isnan(values)
    types = TypeCounts(fractional=values.size - int(missing.sum()))
    return Column(numbers=values, types=types, missing=missing if missing.any() else None)


def words(values: list[str]) -> Column:
    distinct = sorted(set(values))
    codes = np.array([distinct.index(value) for value in values], dtype=np.int32)
    return Column(
        numbers=np.full(len(values), np.nan),
        codes=codes,
        words=tuple(distinct),
        types=TypeCounts(text=len(values)),
    )


def training() -> dict[str, Column]:
    rng = np.random.default_rng(1)
    strong, weak, noise = (rng.standard_normal(ROWS) for _ in range(3))
    late = strong * 2.0 + weak * 0.5 + rng.standard_normal(ROWS) > 0
    return {
        "strong": numbers(strong),
        "weak": numbers(weak),
        "noise": numbers(noise),
        "late": words(["yes" if flag else "no" for flag in late]),
    }


def known_baseline() -> Baseline:
    return build_baseline(
        [Table(rows=ROWS, columns=training())],
        version="1",
        exclude=("late",),
        label="late",
        created=NOW,
    )


def test_mutual_information_matches_the_worked_example_of_cover_and_thomas() -> None:
    # Elements of Information Theory, example 2.2.1: I(X; Y) = 0.375 bits.
    joint = np.array([[4, 2, 1, 1], [2, 4, 1, 1], [2, 2, 2, 2], [8, 0, 0, 0]]) * 1_000_000
    assert mutual_information(joint) / math.log(2.0) == pytest.approx(0.375, abs=1e-6)


def test_mutual_information_is_corrected_for_what_sampling_adds() -> None:
    rng = np.random.default_rng(2)
    found, plain = [], []
    for _ in range(200):
        table = np.zeros((10, 5), dtype=np.int64)
        np.add.at(table, (rng.integers(0, 10, 500), rng.integers(0, 5, 500)), 1)
        found.append(mutual_information(table))
        share = table / 500
        expected = share.sum(axis=1, keepdims=True) * share.sum(axis=0)
        used = share > 0
        plain.append(float((share[used] * np.log(share[used] / expected[used])).sum()))
    assert np.mean(plain) == pytest.approx(9 * 4 / (2 * 500), rel=0.1)
    # Cut at 0, the mean stays a little above it.
    assert np.mean(found) < 0.2 * np.mean(plain)


def test_mutual_information_of_a_table_by_hand() -> None:
    # Both margins are even: 0.4 ln 1.6 + 0.1 ln 0.4, twice, less 1 / 2000.
    table = np.array([[400, 100], [100, 400]])
    by_hand = 2.0 * (0.4 * math.log(1.6) + 0.1 * math.log(0.4)) - 1.0 / 2000.0
    assert mutual_information(table) == pytest.approx(by_hand, rel=1e-12)
    assert mutual_information(np.zeros((2, 2), dtype=np.int64)) == 0.0


def test_numbers_are_tenths_words_the_most_frequent_ones_and_missing_values_a_class() -> None:
    values = np.append(np.arange(1000.0), [np.nan])
    classes = classes_of(numbers(values))
    assert np.bincount(classes).tolist() == [1, *(100,) * 10]
    few = classes_of(numbers(np.array([1.0, 2.0, 2.0, 7.0])))
    assert few.tolist() == [1, 2, 2, 3]
    common = [f"w{i}" for i in range(20) for _ in range(3)]
    rare = [f"x{i}" for i in range(30)]
    assert np.unique(classes_of(words(common + rare))).shape == (21,)


def test_what_tells_more_about_the_label_weighs_more() -> None:
    columns = training()
    found = label_associations(columns, columns["late"], ["strong", "weak", "noise"])
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["strong"] > 0.8
    assert found["strong"] > found["weak"] > found["noise"]


def test_a_numeric_label_is_cut_into_tenths() -> None:
    columns = training()
    score = numbers(columns["weak"].numbers * 3.0)
    found = label_associations(columns, score, ["strong", "weak"])
    assert found["weak"] > 0.98


def test_rows_without_a_label_do_not_count() -> None:
    columns = training()
    label = columns["strong"].numbers.copy()
    label[::2] = np.nan
    # Where there is no label, another column seems to know.
    columns["noise"] = numbers(np.where(np.isnan(label), 9.0, columns["noise"].numbers))
    found = label_associations(columns, numbers(label), ["strong", "noise"])
    assert found["strong"] > 0.95


def test_a_label_that_nothing_tells_about_gives_no_weights() -> None:
    constant = words(["same"] * ROWS)
    assert label_associations(training(), constant, ["strong", "weak"]) == {}


def test_the_users_weights_go_before_those_of_the_training_data() -> None:
    features = {"a": FeatureSettings(importance=30.0), "b": FeatureSettings(importance=10.0)}
    known = {"a": 0.4, "b": 0.4, "c": 0.2}
    found = weigh(["a", "b", "c"], features=features, importances=known)
    # 40 for a and b, which have four fifths: ten for c.
    assert found == pytest.approx({"a": 0.6, "b": 0.2, "c": 0.2})
    assert weigh(["a", "b"], features=features, importances={}) == {"a": 0.75, "b": 0.25}
    assert weigh(["c"], features={}, importances={}) == {}


def test_a_baseline_keeps_the_weights_of_its_inputs() -> None:
    built = known_baseline()
    assert set(built.importances) == {"strong", "weak", "noise"}
    read = decode_baseline(
        encode_baseline(built),
        constraints=encode_constraints(built.constraints),
        statistics=built.statistics,
    )
    assert read.importances == built.importances


def test_a_baseline_without_the_label_has_no_weights() -> None:
    table = Table(rows=ROWS, columns={"x": training()["strong"]})
    assert build_baseline([table], version="1", label="late", created=NOW).importances == {}


def test_a_baseline_with_a_negative_weight_is_refused() -> None:
    built = known_baseline()
    data = encode_baseline(built).replace(b'"noise":', b'"noise":-', 1)
    with pytest.raises(BaselineError, match="importance"):
        decode_baseline(
            data, constraints=encode_constraints(built.constraints), statistics=built.statistics
        )


def test_the_important_column_leads_though_another_moved_further() -> None:
    built, rng = known_baseline(), np.random.default_rng(3)
    window = {
        "strong": numbers(rng.standard_normal(1000) + 0.6),
        "weak": numbers(rng.standard_normal(1000)),
        "noise": numbers(rng.standard_normal(1000) + 1.0),
    }
    profile = profile_columns(built.spec, window, rows=1000)
    judged = {}
    for known, weights in (("unknown", None), ("known", built.importances)):
        judged[known] = judge_features(
            baseline=built.profile,
            profile=profile,
            decision=DecisionSettings(),
            features={},
            importances=weights,
        )
    assert [f.name for f in worst_first(judged["unknown"])] == ["noise", "strong", "weak"]
    assert [f.name for f in worst_first(judged["known"])] == ["strong", "noise", "weak"]
    assert {f.name: f.importance for f in judged["known"]} == pytest.approx(built.importances)


def test_columns_of_unknown_importance_count_by_their_size() -> None:
    def verdict(name: str, effect: float | None, importance: float | None) -> FeatureVerdict:
        return FeatureVerdict(
            name=name,
            role="input",
            kind="numeric",
            verdict="drift",
            rows=1,
            missing_share=0.0,
            reason="",
            distance=effect,
            effect=effect,
            importance=importance,
        )

    found = weighted_sizes(
        [verdict("a", 0.2, 0.75), verdict("b", 0.4, 0.25), verdict("c", 0.3, None)]
    )
    assert found == pytest.approx({"a": 0.3, "b": 0.2, "c": 0.3})
    assert weighted_sizes([verdict("d", None, None)]) == {"d": -math.inf}
