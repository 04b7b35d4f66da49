"""Sums over whole rows add up exactly, and are those of the definition."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from driftgauge.errors import ProfileError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.codec import decode_profile, encode_profile, merge_encoded
from driftgauge.profile.joint import TURN, Component, JointSpec, check_joint, joint_moments
from driftgauge.profile.profile import Profile
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from tests.columns import Value, column_of

JOINT = JointSpec(
    components=(
        Component(column="near", kind="score", middle=0.25, spread=0.5),
        Component(column="far", kind="score", middle=1.6e9, spread=3600.0),
        Component(column="word", kind="category", category="AA"),
        Component(column="word", kind="category", category="1"),
        Component(column="near", kind="spread", middle=0.25, spread=0.5),
    ),
    waves=((31, -17, 900, -411, 5), (-204, 77, 0, 1333, 4096), (0, 0, 0, 0, 1)),
)
SPEC = ProfileSpec(
    version="test",
    features=(
        FeatureSpec(
            name="near", role="input", kind="numeric", inferred_type="Fractional", edges=(0.0,)
        ),
        FeatureSpec(
            name="far", role="output", kind="numeric", inferred_type="Integral", edges=(1.6e9,)
        ),
        FeatureSpec(
            name="word",
            role="input",
            kind="categorical",
            inferred_type="String",
            categories=("1", "AA", "b"),
        ),
    ),
    joint=JOINT,
)
NUMBERS: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.floats(-3, 3),
    st.floats(),
    st.sampled_from([0.25, 0.3125, -0.0, 1e308, -1e308, float("inf"), "text", True]),
)
TIMES: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.integers(1_599_990_000, 1_600_010_000), st.integers(-(2**70), 2**70)
)
WORDS: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.sampled_from(["AA", "1", "b", "", "x" * 300]), st.sampled_from([1, 1.0, 2.5])
)
ROWS = st.lists(st.tuples(NUMBERS, TIMES, WORDS), max_size=40)


def _profile(rows: list[tuple[Value, ...]]) -> Profile:
    names = ("near", "far", "word")
    columns = {name: column_of([row[i] for row in rows]) for i, name in enumerate(names)}
    return profile_columns(SPEC, columns, rows=len(rows))


def _score(value: Value, middle: float, spread: float, *, single: bool) -> int:
    if value is None or isinstance(value, str | bool) or np.isnan(float(value)):
        return 0
    with np.errstate(over="ignore"):
        if single:
            steps = (np.float32(value) - np.float32(middle)) * np.float32(8 / spread)
        else:
            steps = np.float32(np.float32((float(value) - middle) / spread) * np.float32(8))
    return int(np.rint(np.clip(steps, -24, 24)))


def _vectors(rows: list[tuple[Value, ...]]) -> NDArray[np.int64]:
    """The components of each row, computed one by one; the constant stands before the spread."""
    found = []
    for near, far, word in rows:
        score = _score(near, 0.25, 0.5, single=True)
        number = isinstance(word, int | float) and word == 1
        found.append(
            [
                score,
                _score(far, 1.6e9, 3600.0, single=False),
                int(word == "AA"),
                int(word == "1" or number),
                1,
                abs(score),
            ]
        )
    return np.array(found, dtype=np.int64).reshape(-1, 6)


def test_the_specification_of_these_tests_is_sound() -> None:
    check_joint(JOINT, ["near", "far", "word"])


@given(rows=ROWS)
@settings(deadline=None, max_examples=150)
def test_the_sums_are_those_of_the_definition(rows: list[tuple[Value, ...]]) -> None:
    vectors = _vectors(rows)
    products = vectors.T @ vectors
    turns = (vectors[:, :5] @ np.array(JOINT.waves).T) % TURN
    waves = np.minimum(turns, TURN - turns).sum(axis=0)
    packed = _profile(rows).joint
    assert packed.tolist() == [*products[np.triu_indices(6)].tolist(), *waves.tolist()]
    moments = joint_moments(JOINT, packed)
    assert moments.rows == len(rows)
    assert moments.sums.tolist() == vectors.sum(axis=0)[[0, 1, 2, 3, 5]].tolist()
    assert moments.products.tolist() == np.delete(np.delete(products, 4, 0), 4, 1).tolist()
    assert moments.waves.tolist() == (waves / TURN).tolist()


@given(rows=ROWS, dice=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_parts_add_up_to_the_whole_in_any_order_and_grouping(
    rows: list[tuple[Value, ...]], dice: Random
) -> None:
    whole = encode_profile(_profile(rows))
    shuffled = dice.sample(rows, len(rows))
    cuts = sorted(dice.choices(range(len(rows) + 1), k=3))
    bounds = zip([0, *cuts], [*cuts, len(rows)], strict=True)
    parts = [_profile(shuffled[start:stop]) for start, stop in bounds]
    stored = [encode_profile(part) for part in parts]
    assert encode_profile(merge_encoded(stored, SPEC)) == whole
    while len(parts) > 1:
        dice.shuffle(parts)
        parts.append(parts.pop() + parts.pop())
    assert encode_profile(parts[0]) == whole


def test_blocks_do_not_change_the_sums() -> None:
    generator = np.random.default_rng(4)
    near: list[Value] = generator.normal(0.25, 1.0, 33_001).tolist()
    times: list[Value] = generator.integers(1_599_990_000, 1_600_010_000, 33_001).tolist()
    words: list[Value] = generator.choice(["AA", "1", "b"], 33_001).tolist()
    rows: list[tuple[Value, ...]] = list(zip(near, times, words, strict=True))
    whole = _profile(rows)
    cuts = (0, 1, 1000, 5097, 22_000, 33_001)
    parts = [_profile(rows[a:b]) for a, b in pairwise(cuts)]
    merged = merge_encoded([encode_profile(part) for part in parts], SPEC)
    assert merged.joint.tolist() == whole.joint.tolist()
    vectors = _vectors(rows)
    assert whole.joint[:21].tolist() == (vectors.T @ vectors)[np.triu_indices(6)].tolist()


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_forged_sums_are_refused_or_usable(data: st.DataObject) -> None:
    import zlib

    stored = encode_profile(_profile([(0.5, 1_600_000_000, "AA"), (None, None, "b")] * 30))
    payload = bytearray(zlib.decompress(stored[5:]))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(8, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        profile = decode_profile(stored[:5] + zlib.compress(bytes(payload)), SPEC)
    except ProfileError:
        return
    moments = joint_moments(JOINT, profile.joint)
    assert np.isfinite(moments.deviations).all()
    assert (moments.deviations > 0).all()
