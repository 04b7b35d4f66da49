"""Evidence over time: what adds up, what is forgotten, what is found and what is not."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.edetector import differences, log_processes, log_sum
from driftgauge.drift.evidence import (
    EvidenceState,
    add_window,
    decode_evidence,
    dispersions,
    encode_evidence,
    judge_persistence,
)
from driftgauge.drift.scores import LOCATION, MISSING, RARE, SCALE, score_layout, window_scores
from driftgauge.drift.verdict import PersistentDrift
from driftgauge.errors import ProfileError, StoreError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.settings import FeatureSettings, PersistenceSettings
from driftgauge.windows import Window
from tests.columns import column_of

START = datetime(2015, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WORDS = ("a", "b", "c")


def rows_of(
    rng: np.random.Generator,
    rows: int,
    *,
    shift: float = 0.0,
    spread: float = 1.0,
    missing: float = 0.0,
) -> dict[str, Column]:
    numbers = rng.standard_normal(rows) * spread + shift
    absent = rng.random(rows) < missing
    codes = rng.choice(3, size=rows, p=(0.5, 0.3, 0.2)).astype(np.int32)
    return {
        "number": Column(
            numbers=np.where(absent, np.nan, numbers),
            types=TypeCounts(fractional=int(rows - absent.sum())),
            missing=absent,
        ),
        "word": Column(
            numbers=np.full(rows, np.nan),
            codes=codes,
            words=WORDS,
            types=TypeCounts(text=rows),
        ),
    }


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    rng = np.random.default_rng(1)
    return build_baseline(
        [Table(rows=5000, columns=rows_of(rng, 5000, missing=0.01))], version="v1", created=START
    )


def window_at(day: int) -> Window:
    return Window(START + day * DAY, START + (day + 1) * DAY)


def profile_of(baseline: Baseline, columns: dict[str, Column]) -> Profile:
    rows = next(iter(columns.values())).rows
    return profile_columns(baseline.spec, columns, rows=rows)


def healthy(baseline: Baseline, days: int, *, rows: int = 300, seed: int = 2) -> EvidenceState:
    rng = np.random.default_rng(seed)
    state = EvidenceState.empty("v1")
    for day in range(days):
        state = add(state, baseline, day, rows_of(rng, rows, missing=0.01))
    return state


def add(
    state: EvidenceState, baseline: Baseline, day: int, columns: dict[str, Column]
) -> EvidenceState:
    profile = profile_of(baseline, columns)
    return add_window(state, window_scores(profile, baseline.profile, window=window_at(day)))


def judge(
    state: EvidenceState,
    baseline: Baseline,
    *,
    features: dict[str, FeatureSettings] | None = None,
    settings: PersistenceSettings | None = None,
) -> PersistentDrift:
    return judge_persistence(
        state,
        baseline=baseline.profile,
        features=features or {},
        settings=settings or PersistenceSettings(),
        window_length=DAY,
    )


def test_scores_of_ordered_columns_have_mean_zero_and_variance_one(baseline: Baseline) -> None:
    layout = score_layout(baseline.profile)
    counts = baseline.profile.feature("number").counts
    scores = layout.cells[0][:-1, :2]
    assert counts @ scores == pytest.approx([0.0, 0.0], abs=1e-8)
    assert (scores.T * counts) @ scores / counts.sum() == pytest.approx(np.eye(2), abs=1e-9)


def test_rank_scores_are_legendre_polynomials_of_a_continuous_column(baseline: Baseline) -> None:
    counts = baseline.profile.feature("number").counts
    shares = counts / counts.sum()
    u = np.cumsum(shares) - shares / 2
    scores = score_layout(baseline.profile).cells[0][:-1]
    assert scores[:, 0] == pytest.approx(math.sqrt(12) * (u - 0.5), abs=1e-4)
    assert scores[:, 1] == pytest.approx(math.sqrt(5) * (6 * u * u - 6 * u + 1), abs=1e-3)


def test_a_column_has_the_aspects_of_its_kind(baseline: Baseline) -> None:
    found: dict[int, list[str]] = {}
    for aspect in score_layout(baseline.profile).aspects:
        found.setdefault(aspect.feature, []).append(aspect.name)
    assert found == {0: [LOCATION, SCALE, MISSING], 1: ["a", "b", "c", RARE, MISSING]}


@pytest.mark.parametrize(
    ("values", "aspects"),
    [
        ([7] * 100, [RARE, MISSING]),
        ([0] * 60 + [1] * 40, [LOCATION, MISSING]),
        (["x"] * 60 + ["y"] * 40, ["x", RARE, MISSING]),
        (["x"] * 100, [RARE, MISSING]),
        ([True] * 60 + [False] * 40, ["true", RARE, MISSING]),
        ([None] * 100, [RARE, MISSING]),
    ],
)
def test_narrow_columns_have_no_redundant_aspects(
    values: list[int | str | bool | None], aspects: list[str]
) -> None:
    narrow = build_baseline(
        [Table(rows=100, columns={"only": column_of(values)})], version="v2", created=START
    )
    layout = score_layout(narrow.profile)
    assert [aspect.name for aspect in layout.aspects] == aspects
    assert layout.weight.sum() == pytest.approx(1.0)
    state = EvidenceState.empty("v2")
    for day in range(10):
        profile = profile_columns(narrow.spec, {"only": column_of(values)}, rows=100)
        state = add_window(state, window_scores(profile, narrow.profile, window=window_at(day)))
    verdict = judge(state, narrow)
    assert verdict.verdict == "ok"
    assert verdict.value <= 10.0


def test_sums_of_an_unseen_category_count_as_other_values(baseline: Baseline) -> None:
    columns = {"number": column_of([0.5] * 4), "word": column_of(["a", "z", "z", "y"])}
    layout = score_layout(baseline.profile)
    sums = layout.sums(profile_of(baseline, columns))
    names = [(aspect.feature, aspect.name) for aspect in layout.aspects]
    assert sums[names.index((1, RARE))] == 3
    assert sums[names.index((1, "a"))] == 1


def test_a_profile_against_another_baseline_has_no_scores(baseline: Baseline) -> None:
    other = build_baseline(
        [Table(rows=3, columns={"only": column_of([1.0, 2.5, 3.0])})], version="v2", created=START
    )
    with pytest.raises(ProfileError, match="profile its capture again"):
        window_scores(other.profile, baseline.profile, window=window_at(0))
    state = EvidenceState.empty("v2")
    with pytest.raises(ProfileError, match=r"EvidenceState\.empty"):
        add(state, baseline, 0, rows_of(np.random.default_rng(1), 10))
    with pytest.raises(ProfileError, match=r"EvidenceState\.empty"):
        judge(state, baseline)


def test_the_first_windows_only_teach(baseline: Baseline) -> None:
    assert judge(EvidenceState.empty("v1"), baseline).verdict == "insufficient_data"
    assert judge(healthy(baseline, 7), baseline).verdict == "insufficient_data"
    assert judge(healthy(baseline, 8), baseline).verdict == "ok"


def test_unchanged_traffic_stays_quiet(baseline: Baseline) -> None:
    verdict = judge(healthy(baseline, 120, rows=100), baseline)
    assert verdict.verdict == "ok"
    assert verdict.windows == 120
    assert verdict.value < verdict.threshold / 4


def test_a_small_lasting_shift_is_found_named_and_dated(baseline: Baseline) -> None:
    state = healthy(baseline, 30)
    rng = np.random.default_rng(3)
    for day in range(30, 42):
        state = add(state, baseline, day, rows_of(rng, 300, shift=0.2, missing=0.01))
    verdict = judge(state, baseline)
    assert verdict.verdict == "drift"
    lead = verdict.features[0]
    assert (lead.name, lead.aspect) == ("number", LOCATION)
    assert lead.shift == pytest.approx(0.2, abs=0.06)
    assert abs(lead.since - (START + 30 * DAY)) <= 3 * DAY
    ignored = {"number": FeatureSettings(ignore=True)}
    without = judge(state, baseline, features=ignored)
    assert without.verdict == "ok"
    assert [feature.name for feature in without.features] == ["word"]


@pytest.mark.parametrize(
    ("change", "aspect"), [({"spread": 1.3}, SCALE), ({"missing": 0.04}, MISSING)]
)
def test_scale_and_missing_values_have_evidence_of_their_own(
    baseline: Baseline, change: dict[str, float], aspect: str
) -> None:
    state = healthy(baseline, 20)
    rng = np.random.default_rng(4)
    for day in range(20, 35):
        state = add(state, baseline, day, rows_of(rng, 300, **({"missing": 0.01} | change)))
    verdict = judge(state, baseline)
    assert verdict.verdict == "drift"
    assert verdict.features[0].aspect == aspect


def test_a_shift_nobody_cares_about_is_no_alarm(baseline: Baseline) -> None:
    state = healthy(baseline, 20)
    rng = np.random.default_rng(5)
    for day in range(20, 38):
        state = add(state, baseline, day, rows_of(rng, 300, shift=0.2, missing=0.01))
    careless = PersistenceSettings(min_shift=0.3)
    assert judge(state, baseline).verdict == "drift"
    assert judge(state, baseline, settings=careless).verdict == "ok"


def test_a_window_evaluated_again_replaces_itself(baseline: Baseline) -> None:
    rng = np.random.default_rng(6)
    late = rows_of(rng, 350)
    once = add(healthy(baseline, 12), baseline, 5, late)
    twice = add(once, baseline, 5, late)
    assert twice == once
    assert judge(once, baseline).windows == 12


def test_a_window_before_the_individual_ones_changes_nothing(baseline: Baseline) -> None:
    state = healthy(baseline, 45)
    assert state.blocks == 1
    rng = np.random.default_rng(7)
    assert add(state, baseline, 3, rows_of(rng, 300)) is state
    assert add(state, baseline, 9, rows_of(rng, 300)) != state


def test_a_window_without_rows_is_no_entry(baseline: Baseline) -> None:
    state = healthy(baseline, 10)
    empty = rows_of(np.random.default_rng(1), 0)
    assert add(state, baseline, 20, empty) == state
    assert add(state, baseline, 4, empty).windows == (1,) * 9


def test_old_windows_grow_into_ever_larger_blocks(baseline: Baseline) -> None:
    state = healthy(baseline, 400, rows=20)
    assert sum(state.windows) == 400
    assert sum(state.rows) == 8000
    assert list(state.windows) == sorted(state.windows, reverse=True)
    assert len(state.windows) < 50
    assert list(state.starts) == sorted(set(state.starts))


def test_the_state_of_thousands_of_windows_is_small() -> None:
    rng = np.random.default_rng(8)
    columns = {f"x{i}": column_of(list(rng.standard_normal(100))) for i in range(25)}
    wide = build_baseline([Table(rows=100, columns=columns)], version="v3", created=START)
    layout = score_layout(wide.profile)
    sums, aspects = layout.sums(wide.profile), layout.share.shape[0]
    state = EvidenceState.empty("v3")
    template = window_scores(wide.profile, wide.profile, window=window_at(0))
    for day in range(2000):
        noise = np.zeros(sums.shape[0])
        noise[:aspects] = np.where(layout.share, 0.0, rng.standard_normal(aspects))
        state = add_window(state, replace(template, window=window_at(day), sums=sums + noise))
    assert len(encode_evidence(state)) < 60_000


def test_a_state_survives_encoding(baseline: Baseline) -> None:
    state = healthy(baseline, 50, rows=50)
    assert decode_evidence(encode_evidence(state)) == state
    with pytest.raises(StoreError, match="cannot be read"):
        decode_evidence(b"no state")
    with pytest.raises(StoreError, match="damaged"):
        judge(replace(state, sums=state.sums[4:]), baseline)
    with pytest.raises(StoreError, match="version 2"):
        replace(state, version=2)


def test_independent_rows_have_no_dispersion_and_clustered_ones_do(baseline: Baseline) -> None:
    rng = np.random.default_rng(9)
    state = EvidenceState.empty("v1")
    for day in range(60):
        # Variance of the mean of 400 rows 1/400, of the cluster 9/400.
        shift = float(rng.normal(0.0, 0.15))
        state = add(state, baseline, day, rows_of(rng, 400, shift=shift, missing=0.01))
    settings = PersistenceSettings()
    later = START + 60 * DAY
    found = dispersions(state, baseline=baseline.profile, before=later, settings=settings)
    assert 2.0 < found["number"] < 12.0
    assert found["word"] < 2.0
    assert judge(state, baseline).verdict == "ok"
    early = dispersions(state, baseline=baseline.profile, before=START, settings=settings)
    assert early != found or state.blocks
    independent = dispersions(
        healthy(baseline, 60), baseline=baseline.profile, before=later, settings=settings
    )
    assert max(independent.values()) < 1.5


def test_dispersion_is_one_while_learning(baseline: Baseline) -> None:
    state = healthy(baseline, 20)
    found = dispersions(
        state,
        baseline=baseline.profile,
        before=START + 7 * DAY,
        settings=PersistenceSettings(),
    )
    assert found == {"number": 1.0, "word": 1.0}


def log_expectation(
    shift: NDArray[np.float64],
    log_weight: NDArray[np.float64],
    precision: float,
    **options: float,
) -> float:
    """Return the logarithm of the mean of M over a distribution of the difference."""
    logarithms = log_processes(
        shift[:, None],
        np.full((shift.shape[0], 1), precision),
        np.array([options.get("skewness", 0.0)]),
        freedom=np.full((shift.shape[0], 1), 1e12),
        min_shift=options.get("min_shift", 0.0),
    )
    return float(np.logaddexp.reduce(logarithms[:, 0] + log_weight))


@pytest.mark.parametrize("precision", [1.0, 50.0, 1000.0, 1e5])
@pytest.mark.parametrize("min_shift", [0.0, 0.01, 0.1])
def test_a_process_is_expected_to_stay_below_one(precision: float, min_shift: float) -> None:
    z = np.linspace(-600.0, 600.0, 48_001)
    log_weight = stats.norm.logpdf(z) + math.log(z[1] - z[0])
    for true in (0.0, min_shift):
        shift = true + z / math.sqrt(precision)
        assert log_expectation(shift, log_weight, precision, min_shift=min_shift) <= 1e-9


@pytest.mark.parametrize("expected", [0.01, 0.5, 3.0, 50.0])
def test_a_process_of_rare_events_is_expected_to_stay_below_one(expected: float) -> None:
    rows = 50.0
    share = expected / rows
    counts = np.arange(400.0)
    shift = (counts / rows - share) / math.sqrt(share)
    log_weight = stats.poisson(expected).logpmf(counts)
    options = {"skewness": 1.0 / math.sqrt(share)}
    assert log_expectation(shift, log_weight, rows, **options) <= 1e-9
    # The normal likelihood ratio would not do.
    if expected < 1.0:
        assert log_expectation(shift, log_weight, rows) > math.log(2.0)


def test_the_error_of_a_small_baseline_is_paid_for(baseline: Baseline) -> None:
    """SR_t - t has expectation 0 at most though all windows share the baseline's error."""
    layout = score_layout(baseline.profile)
    small = replace(layout, baseline=layout.baseline.copy(), baseline_rows=100)
    rng = np.random.default_rng(10)
    aspects, windows, repeats = len(layout.aspects), 100, 400
    place = int(layout.denominator[0])
    values = []
    for _ in range(repeats):
        small.baseline[:] = 0.0
        small.baseline[0], small.baseline[place] = rng.normal(0.0, 10.0), 100.0
        sums = np.zeros((windows, small.baseline.shape[0]))
        sums[:, 0], sums[:, place] = rng.normal(0.0, 10.0, windows), 100.0
        shift, precision = differences(small, sums, np.full(windows, 100.0))
        logs = log_processes(
            shift,
            precision,
            np.zeros(aspects),
            freedom=np.full(shift.shape, 1e12),
            min_shift=0.0,
        )
        values.append(math.exp(float(log_sum(logs)[0])))
    mean, error = np.mean(values), np.std(values) / math.sqrt(repeats)
    assert mean - 3 * error <= windows
    assert mean > 1.0
