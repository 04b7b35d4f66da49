"""Cells finer than those decisions are made on, and the quantiles of windows made of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.columns import Column, TypeCounts
from driftgauge.profile.build import profile_columns
from driftgauge.profile.cells import choose_feature
from driftgauge.profile.codec import encode_profile
from driftgauge.profile.detail import MOST_ROWS
from driftgauge.profile.layout import decision_edges, fine_edges
from driftgauge.profile.profile import Profile, merge_profiles
from driftgauge.profile.resolution import Resolution, cut_points
from driftgauge.profile.spec import Kind, ProfileSpec
from driftgauge.report.model_monitor import encode_statistics

Values = np.ndarray[Any, Any]
Draw = Callable[[np.random.Generator, int], Values]

# Largest error of a KLL sketch with k = 2048 in 99 of 100 cases: 2.296 / 2048**0.9723, the fit of
# Apache DataSketches, kll_sketch::get_normalized_rank_error (kll_sketch_impl.hpp).
RANK_ERROR = 0.0014
# Two rows of a thousand: three values in one piece, of which a line knows no better.
ERROR_OF_ROWS = {100_000: RANK_ERROR, 10_000: 0.0019, 1_000: 0.0021, 100: 0.0101}


def normal(mean: float, deviation: float = 1.0) -> Draw:
    return lambda chance, n: chance.normal(mean, deviation, n)


def lognormal(mean: float) -> Draw:
    return lambda chance, n: chance.lognormal(mean, 1.0, n)


def pareto(smallest: float) -> Draw:
    return lambda chance, n: (chance.pareto(1.5, n) + 1) * smallest


def two_modes(chance: np.random.Generator, n: int) -> Values:
    return np.where(chance.random(n) < 0.5, -5.0, 5.0) + chance.normal(0.0, 0.5, n)


def poisson(mean: float) -> Draw:
    return lambda chance, n: chance.poisson(mean, n) + 0.0


def wholes(mean: float, deviation: float, most: float) -> Draw:
    return lambda chance, n: np.clip(np.rint(chance.normal(mean, deviation, n)), 0.0, most)


def rounded(mean: float, digits: int) -> Draw:
    return lambda chance, n: np.round(chance.normal(mean, 1.0, n), digits)


def zeros_and_more(share: float, mean: float) -> Draw:
    return lambda chance, n: np.where(chance.random(n) < share, 0.0, chance.exponential(mean, n))


def with_unknowns(chance: np.random.Generator, n: int) -> Values:
    return np.where(chance.random(n) < 0.05, -999.0, chance.normal(size=n))


MOVED: dict[str, tuple[Draw, Draw]] = {
    **{
        f"normal, moved by {shift}": (normal(0.0), normal(shift))
        for shift in (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
    },
    **{
        f"normal, scaled by {scale}": (normal(0.0), normal(0.0, scale))
        for scale in (0.3, 0.5, 2.0, 3.0)
    },
    "lognormal": (lognormal(0.0), lognormal(0.0)),
    "lognormal, x 1.6": (lognormal(0.0), lognormal(0.5)),
    "lognormal, x 2.7": (lognormal(0.0), lognormal(1.0)),
    "lognormal, + 1 sigma": (lognormal(0.0), lambda c, n: c.lognormal(0.0, 1.0, n) + 2.16),
    "Pareto": (pareto(1.0), pareto(1.0)),
    "Pareto, x 2": (pareto(1.0), pareto(2.0)),
    "Pareto, now normal": (pareto(1.0), normal(30.0, 3.0)),
    "two modes, in the gap": (two_modes, normal(0.0, 2.0)),
    "Poisson 400 to 440": (poisson(400.0), poisson(440.0)),
    "Poisson 1000 to 1100": (poisson(1000.0), poisson(1100.0)),
    "whole numbers to 2,000": (wholes(1000.0, 200.0, 2e3), wholes(1200.0, 200.0, 2e3)),
    "whole numbers to 1,000,000": (wholes(5e5, 1e5, 1e6), wholes(6e5, 1e5, 1e6)),
    "multiples of ten": (
        lambda c, n: 10.0 * c.poisson(200.0, n),
        lambda c, n: 10.0 * c.poisson(220.0, n),
    ),
    "one digit after the point": (rounded(0.0, 1), rounded(1.0, 1)),
    "two digits after the point": (rounded(0.0, 2), rounded(-1.0, 2)),
    "few values": (poisson(3.0), poisson(15.0)),
    "many zeros": (zeros_and_more(0.3, 1.0), zeros_and_more(0.5, 2.0)),
    "5 % are -999": (normal(0.0), with_unknowns),
    "normal, moved by 10": (normal(0.0), normal(10.0)),
    "normal, narrow": (normal(0.0), normal(0.0, 0.1)),
    "normal, cut off at 0.5": (normal(0.0), lambda c, n: np.minimum(c.normal(0.0, 1.0, n), 0.5)),
    "two modes, a third in the gap": (two_modes, normal(0.0, 0.5)),
    "two modes, an even gap": (two_modes, lambda c, n: c.uniform(-2.0, 2.0, n)),
    "whole numbers, many at the limit": (wholes(1000.0, 200.0, 2e3), wholes(1600.0, 300.0, 2e3)),
    "whole numbers, scaled": (wholes(1000.0, 200.0, 2e3), wholes(1000.0, 400.0, 2e3)),
}
# More rows than their pieces are kept of, see below.
LARGE = {"normal, moved by 10": 0.0025, "whole numbers, many at the limit": 0.0025}


def column(values: Values) -> Column:
    whole = int((values == np.rint(values)).all()) * values.shape[0]
    return Column(
        numbers=values, types=TypeCounts(integral=whole, fractional=values.shape[0] - whole)
    )


def spec_of(values: Values, kind: Kind | None = None) -> ProfileSpec:
    return ProfileSpec(version="1", features=(choose_feature("x", "input", column(values), kind),))


def count(spec: ProfileSpec, values: Values) -> Profile:
    return profile_columns(spec, {"x": column(values)}, rows=values.shape[0])


def rank_error(profile: Profile, values: Values) -> float:
    """Largest difference of a share of values from the share of the sketch, at any item."""
    document = json.loads(encode_statistics(profile))["features"][0]["numerical_statistics"]
    levels = document["distribution"]["kll"]["sketch"]["data"]
    items = np.concatenate([np.array(level) for level in levels])
    weights = np.concatenate([np.full(len(level), 2.0**i) for i, level in enumerate(levels)])
    order = np.argsort(items, kind="stable")
    below = np.append(0.0, np.cumsum(weights[order])) / weights.sum()
    at = np.unique(items)
    told = below[np.searchsorted(items[order], at, side="right")]
    true = np.searchsorted(np.sort(values), at, side="right") / values.shape[0]
    return float(np.abs(told - true).max())


@pytest.mark.parametrize("rows", ERROR_OF_ROWS)
@pytest.mark.parametrize("name", MOVED)
def test_the_sketch_of_a_window_keeps_its_rank_error(name: str, rows: int) -> None:
    chance = np.random.default_rng(7)
    base, window = MOVED[name]
    spec = spec_of(base(chance, 100_000))
    values = window(chance, rows)
    bound = LARGE.get(name, ERROR_OF_ROWS[rows]) if rows > MOST_ROWS else ERROR_OF_ROWS[rows]
    assert rank_error(count(spec, values), values) <= bound


@pytest.mark.parametrize("name", MOVED)
def test_every_quantile_of_a_small_window_is_within_a_few_rows(name: str) -> None:
    chance = np.random.default_rng(9)
    base, window = MOVED[name]
    spec = spec_of(base(chance, 50_000))
    values = window(chance, 1_000)
    profile = count(spec, values)
    levels = json.loads(encode_statistics(profile))["features"][0]["numerical_statistics"]
    levels = levels["distribution"]["kll"]["sketch"]["data"]
    items = np.sort(np.concatenate([np.repeat(level, 2**i) for i, level in enumerate(levels)]))
    ordered = np.sort(values)
    ranks = np.arange(1, 1_001)
    below, up_to = np.searchsorted(ordered, items), np.searchsorted(ordered, items, side="right")
    assert np.maximum(below + 1 - ranks, ranks - up_to).max() <= (3 if "narrow" in name else 2)


@pytest.mark.parametrize("window", [normal(2.0), two_modes, pareto(3.0), poisson(500.0)])
def test_a_window_in_many_profiles_has_the_sketch_of_one(window: Draw) -> None:
    chance = np.random.default_rng(5)
    spec = spec_of(normal(0.0)(chance, 20_000))
    for rows in (300, 3_000, 30_000, 40_000):
        values = window(chance, rows)
        parts = [count(spec, part) for part in np.array_split(chance.permutation(values), 70)]
        types = dataclasses.replace(
            merge_profiles(parts, spec), tallies=count(spec, values).tallies
        )
        assert encode_profile(types) == encode_profile(count(spec, values))


def test_few_numbers_that_repeat_are_found_again() -> None:
    chance = np.random.default_rng(5)
    spec = spec_of(normal(0.0)(chance, 20_000))
    values = chance.choice([0.0, 0.1, 0.37, -999.0, 12.5], 5_000)
    document = json.loads(encode_statistics(count(spec, values)))["features"][0]
    levels = document["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"]
    assert {item for level in levels for item in level} == {0.0, 0.1, 0.37, -999.0, 12.5}


def test_a_large_narrow_window_in_a_gap_is_off_by_the_share_of_a_cell() -> None:
    chance = np.random.default_rng(7)
    spec = spec_of(two_modes(chance, 100_000))
    narrow, narrower = normal(0.0, 0.5)(chance, 100_000), normal(0.0, 0.05)(chance, 100_000)
    assert rank_error(count(spec, narrow), narrow) <= 0.0025
    assert rank_error(count(spec, narrower), narrower) <= 0.02
    few = narrower[:10_000]
    assert rank_error(count(spec, few), few) <= 0.0019


def test_numbers_that_are_not_rounded_any_more_are_not_taken_for_rounded_ones() -> None:
    chance = np.random.default_rng(7)
    spec = spec_of(rounded(0.0, 1)(chance, 100_000))
    values = normal(0.0)(chance, 100_000)
    assert rank_error(count(spec, values), values) <= 0.003


SHAPES: dict[str, Draw] = {
    "normal": normal(0.0),
    "lognormal": lognormal(3.0),
    "Cauchy": lambda chance, n: chance.standard_cauchy(n),
    "Pareto": pareto(1.0),
    "two modes": two_modes,
    "rounded": rounded(0.0, 2),
    "whole": poisson(400.0),
    "few": poisson(1.0),
    "constant": lambda chance, n: np.full(n, 0.1),
    "huge": lambda chance, n: chance.normal(0.0, 1e307, n),
    "tiny": lambda chance, n: chance.random(n) * 1e-310,
}


@pytest.mark.parametrize("name", SHAPES)
def test_cut_cells_add_up_to_the_cells_of_decisions(name: str) -> None:
    chance = np.random.default_rng(11)
    spec = spec_of(SHAPES[name](chance, 20_000))
    values = np.concatenate([SHAPES[name](chance, 20_000) * 3, SHAPES[name](chance, 20_000)])
    values = values[np.isfinite(values)]
    feature = count(spec, values).feature("x")
    edges, _ = fine_edges(spec["x"])
    assert (np.diff(edges) >= 0).all()
    fine = np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.shape[0] + 1)
    assert feature.fine_counts.tolist() == fine.tolist()
    coarse = np.searchsorted(decision_edges(spec["x"]), values, side="right")
    assert feature.counts.tolist() == np.bincount(coarse, minlength=spec["x"].cells).tolist()
    assert json.loads(encode_statistics(count(spec, values)))


def test_cells_that_are_narrow_already_are_not_cut() -> None:
    spec = spec_of(np.random.default_rng(1).normal(size=100_000))
    resolution = spec["x"].resolution
    assert resolution is not None
    edges = np.array(spec["x"].edges)
    cuts = cut_points(resolution, edges)
    cell = np.searchsorted(edges, cuts)
    inside = (cell > 0) & (cell < edges.shape[0])
    widths = edges[cell[inside]] - edges[cell[inside] - 1]
    assert widths.min() >= resolution.above * 0.9
    assert len(set(cell[inside].tolist())) < 60


def test_a_profile_of_a_window_like_the_baseline_grows_little() -> None:
    chance = np.random.default_rng(2)
    values = {f"x{i}": column(chance.normal(size=20_000)) for i in range(20)}
    features = [choose_feature(name, "input", some) for name, some in values.items()]
    spec = ProfileSpec(version="1", features=tuple(features))
    # 256 counts of about 78 have 5.2 bits each: 166 bytes; the pieces are about as many bits.
    assert len(encode_profile(profile_columns(spec, values, rows=20_000))) / 20 < 560
    both = {name: column(np.concatenate([some.numbers] * 2)) for name, some in values.items()}
    assert len(encode_profile(profile_columns(spec, both, rows=40_000))) / 20 < 320


def test_whole_and_rounded_numbers_are_recognized() -> None:
    chance = np.random.default_rng(3)

    def unit(values: Values) -> tuple[int, int]:
        found = spec_of(values)["x"].resolution
        assert isinstance(found, Resolution)
        return found.unit, found.parts

    assert unit(poisson(400.0)(chance, 5_000)) == (1, 1)
    assert unit(50.0 * chance.poisson(400.0, 5_000)) == (50, 1)
    assert unit(rounded(0.0, 2)(chance, 5_000)) == (1, 100)
    assert unit(np.round(chance.normal(size=5_000) * 20) / 20) == (5, 100)
    assert unit(chance.normal(size=5_000)) == (0, 1)
    # So dense that rounding does not show.
    assert unit(rounded(0.0, 5)(chance, 5_000)) == (0, 1)


@settings(max_examples=60, deadline=None)
@given(
    base=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    window=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    kind=st.sampled_from(["numeric", "discrete"]),
)
def test_any_numbers_have_a_sketch_within_their_range(
    base: list[float], window: list[float], kind: Kind
) -> None:
    values = np.array(window) + 0.0
    profile = count(spec_of(np.array(base), kind), values)
    feature = profile.feature("x")
    assert int(feature.counts.sum()) == int(feature.fine_counts.sum()) == values.shape[0]
    kll = json.loads(encode_statistics(profile))["features"][0]["numerical_statistics"]
    kll = kll["distribution"]["kll"]
    assert sum(bucket["count"] for bucket in kll["buckets"]) == values.shape[0]
    levels = kll["sketch"]["data"]
    assert sum(len(level) * 2**i for i, level in enumerate(levels)) == values.shape[0]
    items = [item for level in levels for item in level]
    assert values.min() <= min(items) <= max(items) <= values.max()
