"""Counts of outcomes add up exactly, however rows are divided, stored and ordered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from driftgauge.errors import QualityError
from driftgauge.profile.exact import to_units
from driftgauge.quality.codec import decode_counts, encode_counts, merge_encoded_counts
from driftgauge.quality.counts import OutcomeCounts, count_outcomes, sum_counts
from driftgauge.quality.outcomes import Outcomes, Problem
from driftgauge.quality.spec import OutcomeSpec
from driftgauge.quality.sums import grouped_sums
from tests.unit.quality_world import words

LABEL = st.sampled_from([0.0, 1.0, 2.0, -1.0, math.nan])
NUMBER = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(-1e6, 1e6), st.just(0.0)
)
SPECS: dict[Problem, OutcomeSpec] = {
    "regression": OutcomeSpec(
        problem="regression", classes=(), cuts=(-1.0, 0.5), center=0.1, segments={"s": ("u", "v")}
    ),
    "binary": OutcomeSpec(problem="binary", classes=("0", "1"), segments={"s": ("u", "v")}),
    "multiclass": OutcomeSpec(
        problem="multiclass", classes=("a", "b", "c"), segments={"s": ("u", "v"), "t": ("u",)}
    ),
}


@st.composite
def outcomes(draw: Any, problem: Problem) -> Outcomes:
    rows = draw(st.integers(0, 25))
    spec = SPECS[problem]
    cell = NUMBER if problem == "regression" else LABEL
    k = len(spec.classes)
    shape = (rows, k) if problem == "multiclass" else (rows,)
    given_scores = problem != "regression" and draw(st.booleans())
    score = st.one_of(st.floats(0, 1), st.just(math.nan), st.just(2.0))
    return Outcomes(
        problem=problem,
        classes=spec.classes,
        labels=draw(arrays.arrays(np.float64, rows, elements=cell)),
        predictions=draw(arrays.arrays(np.float64, rows, elements=cell)),
        probabilities=draw(arrays.arrays(np.float64, shape, elements=score))
        if given_scores
        else None,
        segments={
            name: words(draw(st.lists(st.sampled_from("uvw"), min_size=rows, max_size=rows)))
            for name in spec.segments
        },
    )


@pytest.mark.parametrize("problem", list(SPECS))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_counts_of_any_division_and_order_of_rows_are_the_same(
    problem: Problem, data: st.DataObject
) -> None:
    whole = data.draw(outcomes(problem))
    spec = SPECS[problem]
    order = data.draw(st.permutations(range(whole.rows)))
    cut = data.draw(st.integers(0, whole.rows))
    first = count_outcomes(spec, whole.take(np.array(order[:cut], dtype=np.intp)))
    second = count_outcomes(spec, whole.take(np.array(order[cut:], dtype=np.intp)))
    expected = count_outcomes(spec, whole)
    assert first + second == expected == second + first
    assert expected + OutcomeCounts.empty(spec) == expected
    assert expected.rows + expected.unusable == whole.rows
    assert sum_counts(spec, [first, second, first]) == first + (second + first)


@pytest.mark.parametrize("problem", list(SPECS))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_stored_counts_are_read_as_they_were(problem: Problem, data: st.DataObject) -> None:
    spec = SPECS[problem]
    parts = [count_outcomes(spec, data.draw(outcomes(problem))) for _ in range(2)]
    stored = [encode_counts(part) for part in parts]
    assert decode_counts(stored[0], spec) == parts[0]
    assert merge_encoded_counts(stored, spec) == parts[0] + parts[1]
    assert decode_counts(encode_counts(parts[1], with_spec=True)) == parts[1]
    assert encode_counts(decode_counts(stored[0], spec)) == stored[0]


@given(damage=st.binary(max_size=40), at=st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_damaged_counts_are_refused_or_read_never_crash(damage: bytes, at: int) -> None:
    spec = SPECS["binary"]
    rng = np.random.default_rng(0)
    scores = rng.random(40)
    data = encode_counts(
        count_outcomes(
            spec,
            Outcomes(
                problem="binary",
                classes=spec.classes,
                labels=(scores > 0.4).astype(np.float64),
                predictions=(scores > 0.5).astype(np.float64),
                probabilities=scores,
                segments={},
            ),
        )
    )
    at = min(at, len(data))
    damaged = data[:at] + damage + data[at + len(damage) :]
    try:
        counts = decode_counts(damaged, spec)
    except QualityError:
        return
    assert counts.rows >= 0


@given(
    values=arrays.arrays(
        np.float64, st.integers(0, 40), elements=st.floats(allow_nan=False, allow_infinity=False)
    ),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_grouped_sums_are_those_of_exact_fractions(
    values: np.ndarray[Any, np.dtype[np.float64]], data: st.DataObject
) -> None:
    groups = data.draw(arrays.arrays(np.intp, values.shape, elements=st.integers(-1, 3)))
    expected = [0] * 4
    for value, group in zip(values.tolist(), groups.tolist(), strict=True):
        if group >= 0:
            expected[group] += to_units(value)
    assert grouped_sums(values, groups, 4) == expected


def test_counts_of_two_baselines_cannot_be_added() -> None:
    other = OutcomeSpec(problem="binary", classes=("0", "1"), segments={"s": ("u",)})
    with pytest.raises(QualityError, match="two baselines"):
        OutcomeCounts.empty(SPECS["binary"]) + OutcomeCounts.empty(other)
    with pytest.raises(QualityError, match="another baseline"):
        decode_counts(encode_counts(OutcomeCounts.empty(other)), SPECS["binary"])
