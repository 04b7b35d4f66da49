"""Laws of experiments: sums add up exactly, and a verdict does not depend on how they came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm, Sums, sums_of_rate, sums_of_values
from driftgauge.experiments.blocks import Block, Blocks, Series, blocks_of
from driftgauge.experiments.codec import decode_blocks, encode_blocks
from driftgauge.experiments.sequential import Msprt, Sign, estimate
from driftgauge.experiments.verdict import (
    decode_experiment_verdict,
    encode_experiment_verdict,
)
from tests.unit.experiment_world import START, arm, judged, plan

VALUES = arrays.arrays(
    np.float64, st.integers(0, 30), elements=st.floats(allow_nan=True, allow_infinity=True)
)
SHARES = {0: 0.5, 1: 0.1, 2: 0.25, 3: 0.9}
PLAN = plan(clustering="none")


@st.composite
def sums(draw: Any) -> Sums:
    if draw(st.booleans()):
        trials = draw(st.integers(0, 400))
        return sums_of_rate(draw(st.integers(0, trials)), trials)
    return sums_of_values(draw(VALUES))


@st.composite
def arms(draw: Any) -> Arm:
    metrics = st.dictionaries(st.sampled_from(["accuracy", "errors", "latency"]), sums())
    segments = st.dictionaries(
        st.sampled_from([("country", "NZ"), ("country", "AU"), ("age", "40")]), metrics
    )
    return Arm(requests=draw(st.integers(0, 500)), metrics=draw(metrics), segments=draw(segments))


@st.composite
def parts(draw: Any) -> Blocks:
    at = draw(st.integers(0, 3))
    block = Block(
        start=START + at * timedelta(hours=1),
        share=SHARES[at],
        champion=draw(arms()),
        challenger=draw(arms()),
    )
    return blocks_of([block])


@given(values=VALUES, others=VALUES)
def test_sums_of_two_parts_are_the_sums_of_all_values(values: Any, others: Any) -> None:
    whole = sums_of_values(np.concatenate([values, others]))
    assert sums_of_values(values) + sums_of_values(others) == whole


@given(values=VALUES)
def test_the_sum_of_squares_is_exact(values: Any) -> None:
    tame = values[np.isfinite(values) & (np.abs(values) < 1e100) & (np.abs(values) > 1e-100)]
    exact = sum(
        (int(n) * int(n) << 2148) // (int(d) * int(d))
        for n, d in (float(value).as_integer_ratio() for value in tame)
    )
    assert sums_of_values(tame).squares << 1074 == exact


@settings(max_examples=50)
@given(found=st.lists(parts(), max_size=5), data=st.data())
def test_blocks_add_up_in_any_order_and_grouping(found: list[Blocks], data: Any) -> None:
    forward, backward = Blocks(), Blocks()
    for part in found:
        forward = forward + part
    shuffled = data.draw(st.permutations(found))
    cut = data.draw(st.integers(0, len(found)))
    for part in shuffled[cut:]:
        backward = backward + part
    grouped = Blocks()
    for part in shuffled[:cut]:
        grouped = grouped + part
    assert forward == grouped + backward
    assert encode_blocks(forward) == encode_blocks(grouped + backward)


@settings(max_examples=50)
@given(found=st.lists(parts(), max_size=4))
def test_stored_blocks_are_the_same_blocks(found: list[Blocks]) -> None:
    whole = blocks_of(block for part in found for block in part)
    assert decode_blocks(encode_blocks(whole)) == whole


@given(data=st.binary(max_size=60))
def test_any_bytes_are_blocks_or_an_error(data: bytes) -> None:
    for start in (b"", b"DGXB\x01"):
        with pytest.raises(ExperimentError):
            decode_blocks(start + data)


@settings(max_examples=40, deadline=None)
@given(found=st.lists(parts(), max_size=4))
def test_any_blocks_have_a_verdict_that_can_be_stored(found: list[Blocks]) -> None:
    verdict = judged(blocks_of(block for part in found for block in part), PLAN)
    assert decode_experiment_verdict(encode_experiment_verdict(verdict)) == verdict


RATES = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1)),
    min_size=1,
    max_size=12,
)


def _series(rows: list[tuple[int, int, float, float]], *, swapped: bool = False) -> Series:
    n, m = (np.array([float(row[i]) for row in rows]) for i in (0, 1))
    x, y = np.round(n * [row[2] for row in rows]), np.round(m * [row[3] for row in rows])
    first, second = ((m, y), (n, x)) if swapped else ((n, x), (m, y))
    return Series(
        center=0.0,
        champion_rows=first[0],
        challenger_rows=second[0],
        champion_sums=first[1],
        challenger_sums=second[1],
        champion_squares=first[1],
        challenger_squares=second[1],
    )


@given(rows=RATES)
def test_swapping_the_arms_turns_the_difference_around(
    rows: list[tuple[int, int, float, float]],
) -> None:
    here, there = estimate(_series(rows), "none"), estimate(_series(rows, swapped=True), "none")
    np.testing.assert_allclose(here.difference, -there.difference, atol=1e-12)
    np.testing.assert_allclose(here.variance, there.variance, atol=1e-12)
    tests = [Msprt(estimates=one, scales_up=(0.02,), scales_down=(0.02,)) for one in (here, there)]
    up: Sign = 1
    down: Sign = -1
    np.testing.assert_allclose(tests[0].bound(0.025, up), -tests[1].bound(0.025, down), atol=1e-9)


@given(rows=RATES, limit=st.floats(-0.5, 0.5), further=st.floats(0, 0.5))
def test_evidence_for_a_higher_limit_is_never_larger(
    rows: list[tuple[int, int, float, float]], limit: float, further: float
) -> None:
    test = Msprt(
        estimates=estimate(_series(rows), "none"), scales_up=(0.02,), scales_down=(0.02, 0.04)
    )
    assert (test.log_evidence(limit, 1) >= test.log_evidence(limit + further, 1) - 1e-9).all()
    assert (test.log_evidence(limit, -1) <= test.log_evidence(limit + further, -1) + 1e-9).all()


@given(rows=RATES, cut=st.integers(1, 12))
def test_what_is_known_at_a_look_does_not_depend_on_later_blocks(
    rows: list[tuple[int, int, float, float]], cut: int
) -> None:
    whole, early = estimate(_series(rows), "blocks"), estimate(_series(rows[:cut]), "blocks")
    for name in ("difference", "variance", "dispersion", "information"):
        np.testing.assert_array_equal(getattr(whole, name)[:cut], getattr(early, name))


@settings(max_examples=25, deadline=None)
@given(champion=st.floats(0.5, 0.99), challenger=st.floats(0.5, 0.99), count=st.integers(10, 60))
def test_a_verdict_never_promotes_what_looks_worse_or_stops_what_looks_better(
    champion: float, challenger: float, count: int
) -> None:
    there, here = ({"accuracy": round(p, 2)} for p in (champion, challenger))
    found = blocks_of(
        Block(
            start=START + i * timedelta(hours=1),
            share=0.5,
            champion=arm(100, there),
            challenger=arm(100, here),
        )
        for i in range(count)
    )
    verdict = judged(found, PLAN)
    gained = here["accuracy"] - there["accuracy"]
    assert verdict.decision != "promote" or gained > 0
    assert verdict.decision != "stop: harm" or gained < 0
