"""Counting rows, splitting them by time, and the stored form of profiles."""

from __future__ import annotations

import dataclasses
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftgauge.columns import Column, RowBatch, TypeCounts
from driftgauge.errors import ProfileError
from driftgauge.profile.build import profile_batch, profile_columns, split_by_grain
from driftgauge.profile.cells import choose_feature
from driftgauge.profile.codec import decode_profile, encode_profile, merge_encoded
from driftgauge.profile.profile import Profile, merge_profiles
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from tests.columns import column_of

NUMERIC = FeatureSpec(
    name="x", role="input", kind="numeric", inferred_type="Fractional", edges=(0.0, 1.0, 2.0)
)
DISCRETE = FeatureSpec(
    name="d", role="input", kind="discrete", inferred_type="Integral", edges=(1.0, 2.0)
)
WORDS = FeatureSpec(
    name="w", role="input", kind="categorical", inferred_type="String", categories=("1", "2.5", "a")
)
TRUTH = FeatureSpec(
    name="t", role="output", kind="boolean", inferred_type="String", categories=("false", "true")
)
SPEC = ProfileSpec(version="v1", features=(NUMERIC, DISCRETE, WORDS, TRUTH))
NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())


def batch_of(columns: dict[str, Column], times: list[int]) -> RowBatch:
    return RowBatch(
        rows=len(times),
        records=len(times),
        columns=columns,
        inference_time=np.array(times, dtype=np.int64),
        event_ids=tuple(f"event-{i}" for i in range(len(times))),
        record_of_row=np.arange(len(times), dtype=np.int32),
    )


def test_numbers_are_counted_in_half_open_cells() -> None:
    column = column_of([-0.5, -0.0, 0.0, 0.999, 1.0, 2.0, 1e300])
    feature = profile_columns(SPEC, {"x": column}, rows=7).feature("x")
    assert feature.counts.tolist() == [1, 3, 1, 2]
    assert (feature.minimum, feature.maximum, feature.negative) == (-0.5, 1e300, 1)


def test_discrete_values_and_the_gaps_between_are_cells() -> None:
    column = column_of([0, 1, 1.5, 2, 2, 3])
    feature = profile_columns(SPEC, {"d": column}, rows=6).feature("d")
    assert feature.counts.tolist() == [1, 1, 1, 2, 1]


def test_a_number_in_a_categorical_column_is_its_text() -> None:
    column = column_of([1, 1.0, 2.5, "1", "a", "b", -0.0])
    feature = profile_columns(SPEC, {"w": column}, rows=7).feature("w")
    assert feature.counts.tolist() == [3, 1, 1]
    assert feature.unseen_rows == 2
    assert feature.unseen == {"b": 1, "0": 1}
    assert feature.unseen_distinct == 2
    assert feature.mean is None


def test_a_word_in_a_numeric_column_is_counted_in_no_cell() -> None:
    column = column_of([0.5, "?", True, None, float("nan"), float("-inf")])
    feature = profile_columns(SPEC, {"x": column}, rows=6).feature("x")
    assert feature.types == TypeCounts(fractional=3, boolean=1, text=1)
    assert (feature.present, feature.missing, feature.non_finite) == (5, 1, 2)
    assert feature.counts.tolist() == [0, 1, 0, 0]
    assert (feature.counted, feature.negative, feature.sum) == (1, 0, 0.5)


def test_booleans_are_counted_by_value() -> None:
    feature = profile_columns(SPEC, {"t": column_of([True, False, True, 1])}, rows=4).feature("t")
    assert feature.counts.tolist() == [1, 2]
    assert feature.unseen == {"1": 1}


def test_a_column_that_the_batch_lacks_is_absent() -> None:
    profile = profile_columns(SPEC, {"x": column_of([1.0, None])}, rows=2)
    assert (profile.feature("x").missing, profile.feature("x").absent) == (1, 0)
    assert (profile.feature("w").missing, profile.feature("w").absent) == (2, 2)


def test_columns_nobody_knows_are_counted_by_name() -> None:
    columns = {"x": column_of([1.0, 2.0]), "new": column_of(["a", None]), "\ud800": column_of([1])}
    profile = profile_columns(SPEC, columns, rows=2)
    assert profile.extra_columns == {"new": 1, "\\ud800": 1}
    many = {f"extra {i}": column_of([1]) for i in range(1_000)}
    assert len(profile_columns(SPEC, many, rows=1).extra_columns) == 64


def test_moments_are_right_where_naive_sums_are_not() -> None:
    values = np.random.default_rng(0).normal(loc=1e9, scale=1e-3, size=50_000)
    column = Column(numbers=values, types=TypeCounts(fractional=50_000))
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", column),))
    feature = profile_columns(spec, {"x": column}, rows=50_000).feature("x")
    assert feature.mean == pytest.approx(values.mean(), rel=1e-15)
    assert feature.std_dev == pytest.approx(np.std(values - 1e9), rel=1e-9)
    assert feature.std_dev == pytest.approx(1e-3, rel=0.02)


def test_columns_whose_edges_crowd_are_counted_right() -> None:
    rng = np.random.default_rng(5)
    values = np.exp(rng.normal(scale=8.0, size=30_000)) * rng.choice([-1.0, 1.0], size=30_000)
    column = Column(numbers=values, types=TypeCounts(fractional=30_000))
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", column),))
    counts = profile_columns(spec, {"x": column}, rows=30_000).feature("x").counts
    cells = np.searchsorted(spec["x"].edges, values, side="right")
    assert counts.tolist() == np.bincount(cells, minlength=spec["x"].cells).tolist()


def test_a_batch_knows_when_it_is_from() -> None:
    profile = profile_batch(SPEC, batch_of({"x": column_of([1.0, 2.0])}, [NOON + 5, NOON]))
    assert (profile.first_time, profile.last_time) == (NOON, NOON + 5)
    assert (profile.rows, profile.records) == (2, 2)
    empty = profile_batch(SPEC, batch_of({}, []))
    assert (empty.rows, empty.first_time) == (0, None)
    assert (empty + profile).first_time == NOON


def test_rows_are_split_by_their_own_time() -> None:
    times = [NOON + 3600, NOON - 1, NOON, NOON + 3599, NOON - 1]
    batch = batch_of({"x": column_of([1.0, 2.0, 3.0, 4.0, 5.0])}, times)
    parts = dict(split_by_grain(batch, timedelta(hours=1)))
    start = datetime(2026, 3, 1, 11, tzinfo=UTC)
    found = [(moment - start, part.columns["x"].numbers.tolist()) for moment, part in parts.items()]
    assert found == [
        (timedelta(hours=0), [2.0, 5.0]),
        (timedelta(hours=1), [3.0, 4.0]),
        (timedelta(hours=2), [1.0]),
    ]
    merged = merge_profiles((profile_batch(SPEC, part) for part in parts.values()), SPEC)
    assert encode_profile(merged) == encode_profile(profile_batch(SPEC, batch))


def test_a_batch_of_one_interval_is_not_copied() -> None:
    batch = batch_of({}, [NOON, NOON + 59])
    [(_, part)] = split_by_grain(batch, timedelta(minutes=1))
    assert part is batch
    assert list(split_by_grain(batch_of({}, []), timedelta(minutes=1))) == []


def test_a_batch_in_the_order_of_time_is_split_like_any_other() -> None:
    column = column_of([1.0, 2.0, 3.0, "a", None])
    batch = batch_of({"x": column}, [NOON, NOON, NOON + 60, NOON + 60, NOON + 180])
    shuffled = batch.take(np.array([4, 2, 0, 3, 1], dtype=np.intp))
    parts = dict(split_by_grain(batch, timedelta(minutes=1)))
    assert [part.rows for part in parts.values()] == [2, 2, 1]
    for start, part in split_by_grain(shuffled, timedelta(minutes=1)):
        left, right = (profile_batch(SPEC, some) for some in (part, parts[start]))
        assert encode_profile(left) == encode_profile(right)


def test_times_before_1970_belong_to_the_interval_they_are_in() -> None:
    [(moment, _)] = split_by_grain(batch_of({}, [-1]), timedelta(hours=1))
    assert moment == datetime(1969, 12, 31, 23, tzinfo=UTC)


def test_profiles_of_different_baselines_do_not_add_up() -> None:
    other = dataclasses.replace(SPEC, version="v2")
    with pytest.raises(ProfileError, match="'v2' cannot be added"):
        Profile.empty(SPEC) + Profile.empty(other)
    with pytest.raises(ProfileError, match="another baseline than 'v2'"):
        decode_profile(encode_profile(Profile.empty(SPEC)), other)


def test_adding_leaves_the_parts_as_they_were() -> None:
    one = profile_columns(SPEC, {"x": column_of([1.0]), "w": column_of(["z"])}, rows=1)
    before = encode_profile(one)
    both = one + one
    assert encode_profile(one) == before
    assert both.feature("w").unseen == {"z": 2}


def test_no_profiles_add_up_to_the_empty_one() -> None:
    assert encode_profile(merge_encoded([], SPEC)) == encode_profile(Profile.empty(SPEC))


def test_rejects_are_added_by_reason() -> None:
    one = dataclasses.replace(Profile.empty(SPEC), rejected={"not json": 2, "no time": 1})
    assert (one + one).rejected == {"no time": 2, "not json": 4}
    many = dataclasses.replace(one, rejected={f"reason {i}": 1 for i in range(201)})
    with pytest.raises(ProfileError, match="201 reasons"):
        encode_profile(many)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "does not start"),
        (lambda data: b"PAR1" + data[4:], "does not start"),
        (lambda data: data[:4] + b"\x07" + data[5:], "version 7"),
        (lambda data: data[:-3], "cut off"),
        (lambda data: data + b"x", "after its end"),
    ],
)
def test_bytes_that_are_no_profile_are_refused(damage: object, message: str) -> None:
    assert callable(damage)
    good = encode_profile(profile_columns(SPEC, {"x": column_of([1.0])}, rows=1))
    with pytest.raises(ProfileError, match=f"profile 1: .*{message}"):
        merge_encoded([good, damage(good)], SPEC)


def test_a_bomb_is_not_unpacked() -> None:
    good = encode_profile(Profile.empty(SPEC))
    bomb = good[:5] + zlib.compress(bytes(200_000_000), 9)
    with pytest.raises(ProfileError, match="after its end"):
        decode_profile(bomb, SPEC)


def test_a_profile_of_a_hundred_columns_is_small() -> None:
    rng = np.random.default_rng(0)
    base = {f"x{i}": rng.normal(size=20_000) for i in range(100)}
    columns = {
        name: Column(numbers=values, types=TypeCounts(fractional=20_000))
        for name, values in base.items()
    }
    features = tuple(choose_feature(name, "input", column) for name, column in columns.items())
    spec = ProfileSpec(version="1", features=features)
    few = {name: column.take(np.arange(1_000)) for name, column in columns.items()}
    assert len(encode_profile(profile_columns(spec, few, rows=1_000))) < 100_000
    assert len(encode_profile(profile_columns(spec, columns, rows=20_000))) < 60_000
    many = {name: column.take(np.arange(40_000) % 20_000) for name, column in columns.items()}
    assert len(encode_profile(profile_columns(spec, many, rows=40_000))) < 40_000


def test_a_profile_of_format_version_2_is_read_without_its_pieces() -> None:
    profile = profile_columns(SPEC, {"x": column_of([1.0, 2.5])}, rows=2)
    stored = encode_profile(profile)
    inflater = zlib.decompressobj()
    inflater.decompress(stored[5:])
    older = stored[:4] + b"\x02" + stored[5 : len(stored) - len(inflater.unused_data)]
    read = decode_profile(older, SPEC)
    assert read.counts.tolist() == profile.counts.tolist()
    assert read.detail is None
    assert (read + profile).detail is None
    assert encode_profile(read)[5:] == older[5:]
    with pytest.raises(ProfileError, match="after its end"):
        decode_profile(stored[:4] + b"\x02" + stored[5:], SPEC)
