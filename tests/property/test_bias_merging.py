"""Counts of bias add up exactly, however rows are divided, stored and ordered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.columns import Column
from driftgauge.errors import FairnessError
from driftgauge.fairness import metrics
from driftgauge.fairness.counts import (
    BiasCounts,
    count_bias,
    decode_bias_counts,
    encode_bias_counts,
    sum_bias_counts,
)
from driftgauge.fairness.decision import judge_bias, judge_bias_strictly
from driftgauge.fairness.files import analysis_of
from driftgauge.fairness.spec import BiasSpec, Criterion, FacetSpec
from tests.columns import column_of
from tests.unit.bias_world import of_cells

SPEC = BiasSpec(
    label="y",
    positive=Criterion(values=("1",)),
    facets=(
        FacetSpec(column="sex", sensitive=Criterion(values=("F", "2"))),
        FacetSpec(column="age", sensitive=Criterion(threshold=40.0)),
    ),
    group="town",
)
CELLS = {
    "sex": st.sampled_from(["F", "M", 2, None]),
    "age": st.one_of(st.none(), st.integers(0, 90), st.just("old")),
    "town": st.sampled_from(["a", "b", 3, 3.0, None]),
}
MARK = st.integers(0, 2)
Rows = tuple[dict[str, Column], np.ndarray[Any, Any], np.ndarray[Any, Any]]


@st.composite
def rows(draw: Any) -> Rows:
    n = draw(st.integers(0, 30))
    columns = {
        name: column_of(draw(st.lists(cell, min_size=n, max_size=n)))
        for name, cell in CELLS.items()
    }
    labels, predictions = (
        np.array(draw(st.lists(MARK, min_size=n, max_size=n)), dtype=np.int8) for _ in range(2)
    )
    return columns, labels, predictions


def counted(some: Rows, index: Any = slice(None)) -> BiasCounts:
    columns, labels, predictions = some
    return count_bias(
        SPEC,
        columns={name: column.take(index) for name, column in columns.items()},
        labels=labels[index],
        predictions=predictions[index],
    )


@given(some=rows(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_counts_of_any_division_and_order_of_rows_are_the_same(
    some: Rows, data: st.DataObject
) -> None:
    n = some[1].shape[0]
    order = np.array(data.draw(st.permutations(range(n))), dtype=np.intp)
    cut = data.draw(st.integers(0, n))
    first, second = counted(some, order[:cut]), counted(some, order[cut:])
    whole = counted(some)
    assert first + second == whole == second + first
    assert whole + BiasCounts.empty(SPEC) == whole
    assert sum_bias_counts(SPEC, [first, second, first]) == first + (second + first)
    for facet in whole.facets:
        assert facet.cells.sum() + facet.unusable == whole.rows == n


@given(some=rows())
@settings(max_examples=100, deadline=None)
def test_counts_are_read_as_they_were_written(some: Rows) -> None:
    counts = counted(some)
    assert decode_bias_counts(encode_bias_counts(counts)) == counts


@given(some=rows(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_counts_are_refused_or_read_as_counts(some: Rows, data: st.DataObject) -> None:
    stored = bytearray(encode_bias_counts(counted(some)))
    for _ in range(data.draw(st.integers(1, 3))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    try:
        counts = decode_bias_counts(bytes(stored))
    except FairnessError:
        return
    assert counts.rows >= 0


TABLE = st.lists(st.integers(0, 400), min_size=4, max_size=4).map(lambda v: [v[:2], v[2:]])


@given(a=TABLE, d=TABLE)
@settings(max_examples=300, deadline=None)
def test_the_same_counts_never_drift_from_themselves(
    a: list[list[int]], d: list[list[int]]
) -> None:
    counts = of_cells(a, d)
    if not counts.rows:
        return
    analysis = analysis_of(counts)
    for verdict in (
        judge_bias_strictly(counts, analysis),
        judge_bias(counts, analysis),
        judge_bias(counts, counts),
    ):
        assert not verdict.drifted


@given(a=TABLE, d=TABLE)
@settings(max_examples=300, deadline=None)
def test_swapping_the_groups_turns_differences_round(
    a: list[list[int]], d: list[list[int]]
) -> None:
    for function in (
        metrics.recall_difference,
        metrics.specificity_difference,
        metrics.acceptance_rate_difference,
        metrics.rejection_rate_difference,
        metrics.accuracy_difference,
        metrics.treatment_equality,
        metrics.conditional_acceptance,
        metrics.conditional_rejection,
    ):
        assert function(a, d) == -function(d, a)
        assert not math.isnan(function(a, d))
    assert metrics.generalized_entropy(a, d) == pytest.approx(metrics.generalized_entropy(d, a))
    for distance in (metrics.jensen_shannon, metrics.lp_norm, metrics.total_variation):
        assert distance(a[0], d[0]) == pytest.approx(distance(d[0], a[0]))
