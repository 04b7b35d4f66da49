"""The law everything rests on: profiles add up exactly, in any order and grouping."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import ProfileError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.codec import decode_profile, encode_profile, merge_encoded
from driftgauge.profile.exact import UNIT_BITS, exact_row_sums, exact_sum, to_units
from driftgauge.profile.lookup import CellEdges, CellLookup, GridLookup, SortedLookup, grid_rounds
from driftgauge.profile.profile import Profile, merge_profiles
from driftgauge.profile.resolution import Resolution
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from tests.columns import Value, column_of

SPEC = ProfileSpec(
    version="test",
    features=(
        FeatureSpec(
            name="numeric",
            role="input",
            kind="numeric",
            inferred_type="Fractional",
            edges=(-10.0, -0.5, 0.0, 1e-300, 0.1, 2.0, 1e9),
            center=0.3,
            resolution=Resolution(middle=0.1, below=0.02, above=0.7, repeated=(0.1,)),
        ),
        FeatureSpec(
            name="far",
            role="input",
            kind="numeric",
            inferred_type="Fractional",
            edges=(-1e308, 1e300),
            center=1e300,
        ),
        FeatureSpec(
            name="discrete",
            role="input",
            kind="discrete",
            inferred_type="Integral",
            edges=(-1.0, 0.0, 5e-324, 2.0),
            center=0.5,
            resolution=Resolution(middle=0.0, below=1.0, above=1.0, unit=1, parts=10),
        ),
        FeatureSpec(
            name="categorical",
            role="input",
            kind="categorical",
            inferred_type="String",
            categories=("1", "AA", "b"),
        ),
        FeatureSpec(
            name="boolean",
            role="output",
            kind="boolean",
            inferred_type="String",
            categories=("false", "true"),
        ),
    ),
)
NAMES = ("numeric", "far", "discrete", "categorical", "boolean", "extra")
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0.1, -0.0, 0.0, 1e-300, 2.0, 1e9, 5e-324, 1.7e308, -1.7e308]),
    st.sampled_from(["AA", "b", "", "é", "\ud800", "1", "x" * 300]),
    st.text(max_size=3),
)
ROWS = st.lists(st.tuples(*[VALUES] * len(NAMES)), max_size=60)


def _profile(rows: list[tuple[Value, ...]], reason: str = "not json") -> Profile:
    columns = {name: column_of([row[i] for row in rows]) for i, name in enumerate(NAMES)}
    profile = profile_columns(SPEC, columns, rows=len(rows), records=len(rows))
    return dataclasses.replace(profile, rejected={reason: len(rows)} if rows else {})


@given(rows=ROWS, dice=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150)
def test_parts_add_up_to_the_whole_in_any_order_and_grouping(
    rows: list[tuple[Value, ...]], dice: Random
) -> None:
    whole = encode_profile(_profile(rows))
    shuffled = dice.sample(rows, len(rows))
    cuts = sorted(dice.choices(range(len(rows) + 1), k=4))
    parts = [
        _profile(shuffled[start:stop])
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True)
    ]
    assert encode_profile(merge_profiles(parts, SPEC)) == whole
    assert merge_encoded_bytes(parts) == whole
    while len(parts) > 1:
        dice.shuffle(parts)
        parts.append(parts.pop() + parts.pop())
    assert encode_profile(parts[0]) == whole


def merge_encoded_bytes(parts: list[Profile]) -> bytes:
    return encode_profile(merge_encoded([encode_profile(part) for part in parts], SPEC))


@given(
    rows=st.sampled_from([60, 70, 1_000, 1_200, 2_000, 4_000, 4_200, 9_000, 32_768, 32_769]),
    scale=st.sampled_from([0.0, 1e-9, 0.01, 1.0, 50.0, 1e200]),
    whole=st.sampled_from([0.0, 0.5, 1.0]),
    cuts=st.lists(st.floats(0, 1), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_where_values_lie_adds_up_at_every_level(
    rows: int, scale: float, whole: float, cuts: list[float], seed: int
) -> None:
    chance = np.random.default_rng(seed)
    columns = {}
    for name in ("numeric", "far", "discrete"):
        values = chance.standard_t(2, rows) * scale
        columns[name] = np.where(chance.random(rows) < whole, np.rint(values), values)

    def profile(part: slice) -> Profile:
        some = {
            name: Column(numbers=values[part], types=TypeCounts(fractional=values[part].shape[0]))
            for name, values in columns.items()
        }
        return profile_columns(SPEC, some, rows=some["far"].rows)

    at = sorted(round(rows * cut) for cut in cuts)
    bounds = zip([0, *at], [*at, rows], strict=True)
    parts = [profile(slice(start, stop)) for start, stop in bounds]
    whole_profile = encode_profile(profile(slice(0, rows)))
    assert encode_profile(merge_profiles(parts, SPEC)) == whole_profile
    assert merge_encoded_bytes(parts[::-1]) == whole_profile
    assert encode_profile(decode_profile(whole_profile, SPEC)) == whole_profile


@given(
    words=st.lists(st.integers(0, 400), max_size=600),
    cut=st.integers(0, 600),
)
@settings(deadline=None, max_examples=30)
def test_many_unseen_words_merge_exactly(words: list[int], cut: int) -> None:
    texts = [f"word {word}" for word in words]

    def profile(part: list[str]) -> Profile:
        return profile_columns(SPEC, {"categorical": column_of(part)}, rows=len(part))

    whole = profile(texts)
    merged = profile(texts[:cut]) + profile(texts[cut:])
    assert encode_profile(merged) == encode_profile(whole)
    unseen = whole.feature("categorical")
    assert unseen.unseen_rows == len(texts)
    assert all(texts.count(word) == count for word, count in unseen.unseen.items())


@given(rows=ROWS)
@settings(deadline=None, max_examples=50)
def test_a_profile_survives_being_stored(rows: list[tuple[Value, ...]]) -> None:
    stored = encode_profile(_profile(rows))
    assert encode_profile(decode_profile(stored, SPEC)) == stored


@given(rows=ROWS)
@settings(deadline=None, max_examples=50)
def test_every_value_is_counted_once(rows: list[tuple[Value, ...]]) -> None:
    profile = _profile(rows)
    for feature in profile.features:
        words = 0
        if feature.spec.kind in ("numeric", "discrete"):
            words = feature.types.text + feature.types.boolean
        assert feature.counted + feature.non_finite + words == feature.present
        assert feature.present + feature.missing == len(rows)
        assert (feature.counts >= 0).all()


@given(
    data=st.data(),
    edges=st.lists(
        st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40, unique=True
    ),
    center=st.floats(-1e3, 1e3),
)
@settings(deadline=None, max_examples=200)
def test_the_lookup_agrees_with_a_binary_search(
    data: st.DataObject, edges: list[float], center: float
) -> None:
    sorted_edges = np.unique(np.array(edges) + 0.0)
    with np.errstate(over="ignore"):
        above, below = np.nextafter(sorted_edges, np.inf), np.nextafter(sorted_edges, -np.inf)
    near = np.concatenate([sorted_edges, above, below])
    others = data.draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
    values = np.append(near[np.isfinite(near)], others)[None, :]
    cells = sorted_edges.shape[0] + 1
    expected = np.bincount(np.searchsorted(sorted_edges, values[0], "right"), minlength=cells)
    column = CellEdges(feature=0, edges=sorted_edges, center=center, start=2)
    with np.errstate(over="ignore"):
        offsets = values - center
    lookups: list[CellLookup] = [
        SortedLookup(column),
        *([GridLookup([column])] if grid_rounds(column) is not None else []),
    ]
    for lookup in lookups:
        counts = np.zeros(cells + 2, dtype=np.int64)
        tally = lookup.tally(values.size)
        tally.count(values, offsets, np.empty_like(values))
        tally.add_to(counts)
        assert counts[2:].tolist() == expected.tolist()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=200))
@settings(deadline=None)
def test_sums_are_exact(values: list[float]) -> None:
    expected = sum((Fraction(value) for value in values), Fraction(0))
    assert Fraction(exact_sum(np.array(values)), 1 << UNIT_BITS) == expected


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50), st.integers(1, 8))
@settings(deadline=None)
def test_rows_are_summed_each_by_itself(values: list[float], rows: int) -> None:
    table = np.array(values)[None, :] * np.arange(1.0, rows + 1)[:, None]
    sums = exact_row_sums(table.copy(), np.abs(table).max(axis=1))
    assert sums == [exact_sum(row) for row in table]


@given(
    exponents=st.lists(st.integers(-1070, 990), min_size=1, max_size=3),
    spread=st.integers(0, 120),
    count=st.sampled_from([1, 100, 4095, 4096, 10_000]),
    known=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_long_rows_are_summed_exactly_whether_or_not_their_least_value_is_known(
    exponents: list[int], spread: int, count: int, known: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    mantissas = random.choice([-1.0, 1.0], (len(exponents), count)) * random.uniform(
        0.5, 1.0, (len(exponents), count)
    )
    powers = np.array(exponents)[:, None] + random.integers(-spread, 1, mantissas.shape)
    table = np.ldexp(mantissas, powers)
    sizes = np.abs(table)
    least = sizes.min(axis=1) if known else None
    sums = exact_row_sums(table.copy(), sizes.max(axis=1), least)
    assert sums == [sum(map(to_units, row)) for row in table.tolist()]


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_a_grid_of_several_columns_agrees_with_a_binary_search_in_many_blocks(
    share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    columns, start = [], 0
    for feature, scale in enumerate((1.0, 1e-30, 1e30)):
        edges = np.sort(random.lognormal(0, 1, 300)) * scale
        edges[-45:] *= 100.0
        center = float(edges[150])
        columns.append(CellEdges(feature=feature, edges=edges, center=center, start=start))
        start += edges.shape[0] + 1
    lookup = GridLookup(columns)
    centers = np.array([[column.center] for column in columns])
    tally = lookup.tally(3 * 2000)
    expected = np.zeros(start, dtype=np.int64)
    for size in (2000, 2000, 700):
        values = random.lognormal(0, 1, (3, size)) * np.array([[1.0], [1e-30], [1e30]])
        # Beyond the grid, where values are set aside.
        values[random.random(values.shape) < share] *= 1e4
        tally.count(values, values - centers, np.empty_like(values))
        for column, row in zip(columns, values, strict=True):
            np.add.at(expected, column.start + np.searchsorted(column.edges, row, "right"), 1)
    counts = np.zeros(start, dtype=np.int64)
    tally.add_to(counts)
    assert counts.tolist() == expected.tolist()


@given(rows=ROWS, data=st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_bytes_are_refused_and_nothing_else(
    rows: list[tuple[Value, ...]], data: st.DataObject
) -> None:
    stored = bytearray(encode_profile(_profile(rows)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stored) - 1))
        how = data.draw(st.sampled_from(["change", "insert", "cut", "remove"]))
        if how == "change":
            stored[at] ^= data.draw(st.integers(1, 255))
        elif how == "insert":
            stored[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif how == "cut":
            del stored[at + 1 :]
        else:
            del stored[at : at + 1 if len(stored) > 1 else at]
    try:
        decode_profile(bytes(stored), SPEC)
    except ProfileError as error:
        assert "profile" in str(error)


@given(rows=ROWS, data=st.data())
@settings(deadline=None, max_examples=300)
def test_a_forged_payload_is_refused_and_nothing_else(
    rows: list[tuple[Value, ...]], data: st.DataObject
) -> None:
    import zlib

    stored = encode_profile(_profile(rows))
    inflater = zlib.decompressobj()
    streams = [bytearray(inflater.decompress(stored[5:]))]
    streams.append(bytearray(zlib.decompress(inflater.unused_data)))
    for _ in range(data.draw(st.integers(1, 4))):
        which = data.draw(st.integers(0, 1))
        at = data.draw(st.integers((8, 0)[which], len(streams[which]) - 1))
        streams[which][at] = data.draw(st.integers(0, 255))
    forged = stored[:5] + b"".join(zlib.compress(bytes(stream)) for stream in streams)
    try:
        profile = decode_profile(forged, SPEC)
    except ProfileError:
        return
    # What is let through is a usable profile.
    for feature in profile.features:
        assert feature.mean is None or isinstance(feature.mean, float)
        assert feature.std_dev is None or feature.std_dev >= 0
        if feature.spec.kind in ("numeric", "discrete"):
            assert feature.pieces.counts.sum() == feature.fine_counts.sum()
            assert (feature.pieces.lower <= feature.pieces.upper).all()
    assert encode_profile(decode_profile(encode_profile(profile), SPEC)) == encode_profile(profile)
