"""Pairs and their counts add up exactly, however records are divided, stored and ordered."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from driftgauge.errors import ExperimentError
from driftgauge.experiments.latency import LatencySummary, latency_of
from driftgauge.experiments.pairs import PairCounts, pair_predictions
from driftgauge.experiments.proportion import proportion_bounds
from driftgauge.experiments.shadow import (
    ShadowCounts,
    count_pairs,
    sum_shadow_counts,
)
from driftgauge.experiments.shadow_codec import (
    decode_shadow_counts,
    encode_shadow_counts,
    merge_encoded_shadow_counts,
)
from driftgauge.experiments.shadow_spec import (
    ShadowSpec,
)
from driftgauge.experiments.shadow_verdict import decode_shadow_verdict, encode_shadow_verdict
from driftgauge.quality.outcomes import Outcomes, Problem
from driftgauge.windows import Window
from tests.unit.quality_world import words
from tests.unit.shadow_world import START, counted, judged, predicted

LABEL = st.sampled_from([0.0, 1.0, 2.0, -1.0, math.nan])
NUMBER = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(-1e6, 1e6), st.just(0.0)
)
SPECS: dict[Problem, ShadowSpec] = {
    "regression": ShadowSpec(problem="regression", tolerance=0.5, segments={"s": ("u", "v")}),
    "binary": ShadowSpec(problem="binary", classes=("0", "1"), segments={"s": ("u", "v")}),
    "multiclass": ShadowSpec(
        problem="multiclass", classes=("a", "b", "c"), segments={"s": ("u", "v"), "t": ("u",)}
    ),
}
RECORDS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 3), st.integers(0, 3)), max_size=12
)


@st.composite
def sides(draw: Any, problem: Problem) -> tuple[Outcomes, Outcomes]:
    rows, spec = draw(st.integers(0, 20)), SPECS[problem]
    cell = NUMBER if problem == "regression" else LABEL
    shape = (rows, len(spec.classes)) if problem == "multiclass" else (rows,)
    score = st.one_of(st.floats(0, 1), st.just(math.nan), st.just(2.0))
    labels = draw(arrays.arrays(np.float64, rows, elements=cell))

    def side() -> Outcomes:
        scored = problem != "regression" and draw(st.booleans())
        return Outcomes(
            problem=problem,
            classes=spec.classes,
            labels=labels,
            predictions=draw(arrays.arrays(np.float64, rows, elements=cell)),
            probabilities=draw(arrays.arrays(np.float64, shape, elements=score))
            if scored
            else None,
            segments={
                name: words(draw(st.lists(st.sampled_from("uvw"), min_size=rows, max_size=rows)))
                for name in spec.segments
            },
        )

    return side(), side()


def counts_of(spec: ShadowSpec, pair: tuple[Outcomes, Outcomes], index: Any) -> ShadowCounts:
    production, shadow = (side.take(index) for side in pair)
    rows = production.rows
    return count_pairs(spec, production, shadow, pairing=PairCounts(rows=rows, paired=rows))


@pytest.mark.parametrize("problem", list(SPECS))
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_counts_of_any_division_and_order_of_pairs_are_the_same(
    problem: Problem, data: st.DataObject
) -> None:
    pair, spec = data.draw(sides(problem)), SPECS[problem]
    rows = pair[0].rows
    order = data.draw(st.permutations(range(rows)))
    cut = data.draw(st.integers(0, rows))
    first = counts_of(spec, pair, np.array(order[:cut], dtype=np.intp))
    second = counts_of(spec, pair, np.array(order[cut:], dtype=np.intp))
    expected = counts_of(spec, pair, slice(None))
    assert first + second == expected == second + first
    assert expected + ShadowCounts.empty(spec) == expected
    assert sum_shadow_counts(spec, [first, second, first]) == first + (second + first)
    whole = expected.whole
    assert whole.rows + whole.unusable == rows
    assert whole.compared <= whole.scored <= whole.rows
    assert expected.histogram.sum() == whole.scored
    if spec.classes:
        assert expected.transitions.sum() == whole.rows
        assert np.trace(expected.transitions.sum(axis=0)) == whole.agreed


@pytest.mark.parametrize("problem", list(SPECS))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_to_swap_the_models_swaps_what_is_counted(problem: Problem, data: st.DataObject) -> None:
    pair, spec = data.draw(sides(problem)), SPECS[problem]
    there = counts_of(spec, pair, slice(None))
    back = counts_of(spec, (pair[1], pair[0]), slice(None))
    assert there.whole.agreed == back.whole.agreed
    assert there.whole.labelled == back.whole.labelled
    swapped = [0, 2, 1, 3, 4]
    assert [there.whole.differing[i] for i in swapped] == list(back.whole.differing)
    assert there.whole.sums[3:5] == back.whole.sums[4:2:-1]
    if spec.classes:
        mirrored = there.transitions[swapped].transpose(0, 2, 1)
        assert np.array_equal(mirrored, back.transitions)
    if problem != "multiclass":
        assert there.whole.sums[0] == -back.whole.sums[0]


@pytest.mark.parametrize("problem", list(SPECS))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_stored_counts_are_read_as_they_were(problem: Problem, data: st.DataObject) -> None:
    spec = SPECS[problem]
    parts = [counts_of(spec, data.draw(sides(problem)), slice(None)) for _ in range(2)]
    stored = [encode_shadow_counts(part) for part in parts]
    assert [decode_shadow_counts(one) for one in stored] == parts
    assert merge_encoded_shadow_counts(stored, spec) == parts[0] + parts[1]
    assert encode_shadow_counts(decode_shadow_counts(stored[0])) == stored[0]


@given(damage=st.binary(max_size=40), at=st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_damaged_counts_are_refused_or_read_never_crash(damage: bytes, at: int) -> None:
    data = encode_shadow_counts(counted(40))
    at = min(at, len(data))
    try:
        counts = decode_shadow_counts(data[:at] + damage + data[at + len(damage) :])
    except ExperimentError:
        return
    assert counts.whole.rows >= 0


@given(production=RECORDS, shadow=RECORDS, cut=st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_pairs_of_adjoining_windows_are_those_of_both(
    production: list[tuple[str, int, int]], shadow: list[tuple[str, int, int]], cut: int
) -> None:
    ours, theirs = (
        predicted(
            [name for name, *_ in records],
            sizes=[size for _, size, _ in records],
            times=[int(START.timestamp()) + at for *_, at in records],
        )
        for records in (production, shadow)
    )
    at = [START + timedelta(seconds=second) for second in (0, cut, 4)]
    parts = [
        pair_predictions(ours, theirs, window=Window(a, b))
        for a, b in ((at[0], at[1]), (at[1], at[2]))
    ]
    whole = pair_predictions(ours, theirs)
    assert parts[0].counts + parts[1].counts == whole.counts
    assert whole.counts.production_records == len(production)
    assert whole.counts.shadow_records == len(shadow)
    assert whole.production.ids.tolist() == whole.shadow.ids.tolist()
    assert whole.production.row.tolist() == whole.shadow.row.tolist()
    swapped = pair_predictions(theirs, ours).counts
    assert (swapped.paired, swapped.mismatched, swapped.shadow_alone) == (
        whole.counts.paired,
        whole.counts.mismatched,
        whole.counts.production_alone,
    )


@given(
    values=st.lists(st.floats(0, 1e9), max_size=30),
    cut=st.integers(0, 30),
    part=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_latencies_add_up_and_percentiles_lie_between_the_extremes(
    values: list[float], cut: int, part: float
) -> None:
    whole = latency_of(np.array(values))
    first, second = latency_of(np.array(values[:cut])), latency_of(np.array(values[cut:]))
    assert first + second == whole == second + first
    assert whole + LatencySummary() == whole
    found = whole.quantile(part)
    if found is not None and whole.minimum is not None and whole.maximum is not None:
        assert whole.minimum <= found <= whole.maximum * (1 + 1e-12)


@given(trials=st.integers(0, 5_000), part=st.floats(0, 1), alpha=st.floats(1e-6, 0.4))
@settings(max_examples=100, deadline=None)
def test_bounds_of_a_share_hold_it_and_mirror(trials: int, part: float, alpha: float) -> None:
    hits = round(part * trials)
    low, high = proportion_bounds(hits, trials, alpha)
    assert 0.0 <= low <= (hits / trials if trials else 0.5) <= high <= 1.0
    mirrored = proportion_bounds(trials - hits, trials, alpha)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)


@given(rows=st.integers(0, 300), seed=st.integers(0, 50), labelled=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_any_verdict_is_read_as_it_was_written(rows: int, seed: int, labelled: float) -> None:
    verdict = judged(counted(rows, seed=seed, labelled=labelled), min_pairs=20)
    assert decode_shadow_verdict(encode_shadow_verdict(verdict)) == verdict
    assert verdict.decision in ("advance", "continue", "stop")
