"""The verdict on how columns go together, and the segments that carry a shift."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from driftgauge.baseline import (
    CONSTRAINTS_FILE,
    Baseline,
    build_baseline,
    encode_baseline,
    read_baseline,
    write_baseline,
)
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings
from driftgauge.drift.joint import judge_joint, normal_equivalent
from driftgauge.drift.segments import segment_shifts
from driftgauge.drift.verdict import JointVerdict
from driftgauge.errors import BaselineError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.joint import MOST_COMPONENTS
from driftgauge.profile.joint_choice import distance_cumulants, sample_joint

SETTINGS = DecisionSettings()
Drawn = dict[str, NDArray[Any]]


def _draw(rows: int, seed: int) -> Drawn:
    """Three numbers, and words given as integers."""
    generator = np.random.default_rng(seed)
    return {
        "a": generator.standard_normal(rows),
        "b": generator.lognormal(0.0, 1.0, rows),
        "c": generator.standard_normal(rows),
        "region": generator.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1]),
        "plan": generator.choice(2, rows, p=[0.75, 0.25]),
    }


def _columns(values: Drawn) -> dict[str, Column]:
    columns = {}
    for name, array in values.items():
        rows = array.shape[0]
        if array.dtype == np.int64:
            columns[name] = Column(
                numbers=np.full(rows, np.nan),
                codes=array.astype(np.int32),
                words=tuple(f"{name} {i}" for i in range(4)),
                types=TypeCounts(text=rows),
            )
        else:
            numbers = array.astype(np.float64)
            missing = np.isnan(numbers)
            columns[name] = Column(
                numbers=numbers,
                missing=missing if missing.any() else None,
                types=TypeCounts(fractional=int(rows - missing.sum())),
            )
    return columns


def _baseline(values: Drawn, **settings: FeatureSettings) -> Baseline:
    rows = next(iter(values.values())).shape[0]
    return build_baseline(
        [Table(rows=rows, columns=_columns(values))],
        version="v",
        outputs=("c",) if "c" in values else (),
        overrides=settings,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return _baseline(_draw(8000, 1))


def _judge(baseline: Baseline, values: Drawn, *, dispersion: float = 1.0) -> JointVerdict:
    rows = next(iter(values.values())).shape[0]
    return judge_joint(
        baseline=baseline,
        profile=profile_columns(baseline.spec, _columns(values), rows=rows),
        settings=SETTINGS,
        features={},
        dispersion=dispersion,
    )


def _correlated(values: Drawn) -> Drawn:
    return {**values, "c": 0.5 * values["a"] + np.sqrt(0.75) * values["c"]}


def _small(verdict: JointVerdict, name: str) -> bool:
    test = next(test for test in verdict.tests if test.name == name)
    return test.adjusted_p_value <= SETTINGS.alpha


def test_unchanged_rows_are_ok(baseline: Baseline) -> None:
    verdict = _judge(baseline, _draw(1000, 2))
    assert verdict.verdict == "ok"
    assert {test.name for test in verdict.tests} == {"association", "reconstruction", "mmd"}
    assert "No change" in verdict.reason


def test_a_correlation_out_of_nothing_is_found_and_named(baseline: Baseline) -> None:
    verdict = _judge(baseline, _correlated(_draw(1000, 3)))
    assert verdict.verdict == "drift"
    pair = verdict.pairs[0]
    assert {pair.first, pair.second} == {"a", "c"}
    assert pair.baseline == pytest.approx(0.0, abs=0.05)
    assert pair.window == pytest.approx(0.5, abs=0.1)
    assert "correlation of" in verdict.reason


def test_dependence_without_correlation_is_found(baseline: Baseline) -> None:
    values = _draw(1000, 4)
    values["c"] = values["a"] * np.random.default_rng(5).choice([-1.0, 1.0], 1000)
    verdict = _judge(baseline, values)
    assert verdict.verdict == "drift"
    assert {verdict.pairs[0].first, verdict.pairs[0].second} == {"spread of a", "spread of c"}


def test_dependence_of_three_columns_only_is_found_by_the_waves() -> None:
    def draw(rows: int, seed: int) -> Drawn:
        table = np.random.default_rng(seed).standard_normal((3, rows))
        return dict(zip("abc", table, strict=True))

    values = draw(2000, 7)
    values["c"] = np.abs(values["c"]) * np.sign(values["a"] * values["b"])
    verdict = _judge(_baseline(draw(8000, 6)), values)
    assert verdict.verdict == "drift"
    assert _small(verdict, "mmd")
    assert not _small(verdict, "association")


def test_a_shift_of_one_column_is_no_change_of_a_correlation(baseline: Baseline) -> None:
    values = _correlated(_draw(8000, 8))
    dependent = _baseline(values)
    moved = _correlated(_draw(3000, 9))
    moved["a"] = moved["a"] + 0.8
    assert not _small(_judge(dependent, moved), "association")
    far = _correlated(_draw(3000, 10))
    far["a"] = far["a"] + 5.0
    verdict = _judge(dependent, far)
    assert not _small(verdict, "association")
    assert _small(verdict, "mmd")
    assert "left aside" in verdict.reason
    assert "a shift of single columns shows here too" in verdict.reason


def test_new_gaps_in_a_column_are_no_change_of_a_correlation() -> None:
    dependent = _baseline(_correlated(_draw(8000, 8)))
    values = _correlated(_draw(3000, 11))
    values["a"] = np.where(np.arange(3000) % 2 == 0, np.nan, values["a"])
    assert not _small(_judge(dependent, values), "association")


def test_small_changes_are_not_worth_an_alarm(baseline: Baseline) -> None:
    values = _draw(40_000, 12)
    values["c"] = 0.1 * values["a"] + np.sqrt(0.99) * values["c"]
    verdict = _judge(baseline, values)
    assert verdict.verdict == "ok"
    assert _small(verdict, "association")
    assert "too little for an alarm" in verdict.reason


def test_dispersion_asks_for_more_evidence(baseline: Baseline) -> None:
    values = _correlated(_draw(400, 13))
    assert _judge(baseline, values).verdict == "drift"
    assert _judge(baseline, values, dispersion=40.0).verdict == "ok"


def test_a_window_with_too_few_rows_is_insufficient(baseline: Baseline) -> None:
    verdict = _judge(baseline, _draw(49, 14))
    assert verdict.verdict == "insufficient_data"
    assert "49 rows; 50 are needed" in verdict.reason


def test_fewer_than_two_columns_are_insufficient() -> None:
    values = _draw(500, 15)
    alone = _baseline({"a": values["a"], "constant": np.ones(500)})
    verdict = _judge(alone, {"a": values["a"], "constant": np.ones(500)})
    assert verdict.verdict == "insufficient_data"
    assert alone.spec.joint is None


def test_a_column_ignored_in_the_baseline_has_no_part(baseline: Baseline) -> None:
    without = _baseline(_draw(2000, 16), a=FeatureSettings(ignore=True))
    assert without.spec.joint is not None
    assert {c.column for c in without.spec.joint.components} == {"b", "c", "region", "plan"}


def test_a_column_ignored_later_is_left_out_of_the_correlations(baseline: Baseline) -> None:
    values = _correlated(_draw(1000, 17))
    verdict = judge_joint(
        baseline=baseline,
        profile=profile_columns(baseline.spec, _columns(values), rows=1000),
        settings=SETTINGS,
        features={"a": FeatureSettings(ignore=True)},
    )
    assert verdict.verdict == "ok"
    assert [test.name for test in verdict.tests] == ["association"]
    assert all("a" not in (pair.first, pair.second) for pair in verdict.pairs)


def test_a_window_without_a_column_is_judged(baseline: Baseline) -> None:
    values = {name: array for name, array in _draw(500, 18).items() if name != "b"}
    verdict = _judge(baseline, values)
    assert verdict.verdict in ("ok", "drift")
    assert all("b" not in (pair.first, pair.second) for pair in verdict.pairs)


def test_a_stored_baseline_decides_alike(baseline: Baseline) -> None:
    files: dict[str, bytes] = {}
    write_baseline(baseline, files.__setitem__)
    again = read_baseline(files.__getitem__)
    assert again.spec == baseline.spec
    values = _correlated(_draw(600, 19))
    first, second = _judge(baseline, values), _judge(again, values)
    assert first.verdict == second.verdict
    for there, here in zip(first.tests, second.tests, strict=True):
        assert here.p_value == pytest.approx(there.p_value, rel=1e-3)


@pytest.mark.parametrize("part", ["rarity", "axes", "residual", "wave_moments"])
def test_a_damaged_joint_distribution_is_refused(baseline: Baseline, part: str) -> None:
    files: dict[str, bytes] = {}
    write_baseline(baseline, files.__setitem__)
    text = files["baseline.json"].decode()
    at = text.index(f'"{part}":"') + len(part) + 4
    for damaged in (text[:at] + text[at + 8 :], text[:at] + "AADAfwAA" + text[at + 8 :]):
        with pytest.raises(BaselineError, match="build the baseline again"):
            read_baseline({**files, "baseline.json": damaged.encode()}.__getitem__)
    assert CONSTRAINTS_FILE in files


def test_the_same_data_give_the_same_baseline(baseline: Baseline) -> None:
    assert encode_baseline(_baseline(_draw(8000, 1))) == encode_baseline(baseline)


def test_outputs_and_important_columns_come_first_when_there_are_too_many() -> None:
    generator = np.random.default_rng(20)
    values: Drawn = {f"n{i}": generator.standard_normal(300) for i in range(60)}
    values["c"] = generator.standard_normal(300)
    spec = _baseline(values).spec.joint
    assert spec is not None
    assert len(spec.components) == MOST_COMPONENTS
    assert [c.column for c in spec.components[:2]] == ["c", "n0"]


def test_skewed_deviates_are_those_of_the_gamma_distribution() -> None:
    for degrees in (4, 8, 40):
        skewness = np.sqrt(8 / degrees)
        for p in (0.2, 0.01, 1e-4, 1e-7):
            z = (stats.chi2.isf(p, degrees) - degrees) / np.sqrt(2 * degrees)
            found = normal_equivalent(np.array([z, -z]), np.array([skewness, -skewness]))
            # Never too small, and not much too large.
            assert 0.97 * p <= stats.norm.sf(found[0]) <= 3 * p
            assert found[1] == pytest.approx(-found[0])


def test_the_cumulants_of_the_distance_are_those_of_simulated_windows(baseline: Baseline) -> None:
    spec, chance = baseline.spec.joint, baseline.joint
    assert spec is not None
    assert chance is not None
    _, waves = sample_joint(spec, _columns(_draw(8000, 1)), 8000)
    centered = waves - waves.mean(axis=0)
    generator = np.random.default_rng(21)
    for rows in (20, 100):
        means = np.stack(
            [centered[generator.integers(0, 8000, rows)].mean(axis=0) for _ in range(20_000)]
        )
        distances = rows * np.einsum("ij,jk,ik->i", means, chance.wave_weights, means)
        mean, variance, third = distance_cumulants(chance.wave_moments, rows)
        assert distances.mean() == pytest.approx(mean, rel=0.02)
        assert distances.var() == pytest.approx(variance, rel=0.05)
        assert ((distances - distances.mean()) ** 3).mean() == pytest.approx(third, rel=0.25)


def _shifted_in(values: Drawn, segment: NDArray[np.bool_], by: float) -> Drawn:
    return {**values, "a": values["a"] + by * segment}


def _segments(baseline: Baseline, values: Drawn, feature: str) -> list[tuple[str, str]]:
    rows = next(iter(values.values())).shape[0]
    profile = profile_columns(baseline.spec, _columns(values), rows=rows)
    found = segment_shifts(baseline=baseline.profile, profile=profile, feature=feature)
    return [(shift.column, shift.category) for shift in found]


def test_the_segment_that_carries_a_shift_is_named(baseline: Baseline) -> None:
    values = _draw(3000, 22)
    moved = _shifted_in(values, values["region"] == 1, 1.0)
    profile = profile_columns(baseline.spec, _columns(moved), rows=3000)
    (shift,) = segment_shifts(baseline=baseline.profile, profile=profile, feature="a")
    assert (shift.column, shift.category) == ("region", "region 1")
    assert shift.baseline_share == pytest.approx(0.3, abs=0.03)
    assert shift.inside == pytest.approx(1.0, abs=0.15)
    assert shift.outside == pytest.approx(0.0, abs=0.15)


def test_the_rows_of_the_last_category_are_a_segment_too(baseline: Baseline) -> None:
    values = _draw(3000, 23)
    assert _segments(baseline, _shifted_in(values, values["plan"] == 1, -1.0), "a") == [
        ("plan", "plan 1")
    ]
    assert _segments(baseline, _shifted_in(values, values["plan"] == 0, -1.0), "a") == [
        ("plan", "plan 0")
    ]


def test_a_shift_of_all_rows_has_no_segment(baseline: Baseline) -> None:
    values = _draw(3000, 24)
    assert _segments(baseline, {**values, "a": values["a"] + 1.0}, "a") == []
    assert _segments(baseline, values, "a") == []


def test_a_category_that_grew_in_one_segment_is_followed(baseline: Baseline) -> None:
    values = _draw(3000, 25)
    grown = np.where(values["plan"] == 1, 2, values["region"])
    profile = profile_columns(baseline.spec, _columns({**values, "region": grown}), rows=3000)
    (shift,) = segment_shifts(baseline=baseline.profile, profile=profile, feature="region")
    assert (shift.column, shift.category) == ("plan", "plan 1")
    assert shift.inside == pytest.approx(0.8, abs=0.06)
    assert abs(shift.outside) < 0.06


def test_without_sums_over_rows_there_are_no_segments_and_no_joint_verdict() -> None:
    values = _draw(500, 26)
    known = _baseline(values)
    bare = dataclasses.replace(known.profile, joint=np.zeros(0, dtype=np.int64))
    assert segment_shifts(baseline=known.profile, profile=bare, feature="a") == ()
    verdict = judge_joint(baseline=known, profile=bare, settings=SETTINGS, features={})
    assert verdict.verdict == "insufficient_data"
