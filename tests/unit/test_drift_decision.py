"""The decision on a window, from real baselines and profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings
from driftgauge.drift.decision import judge_features, judge_window
from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.errors import ProfileError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.windows import Window

START = datetime(2015, 7, 1, tzinfo=UTC)
WINDOW = Window(START, datetime(2015, 7, 8, tzinfo=UTC))
SETTINGS = DecisionSettings()


def numbers(values: NDArray[np.float64], missing: NDArray[np.bool_] | None = None) -> Column:
    absent = 0 if missing is None else int(missing.sum())
    kept = values if missing is None else np.where(missing, np.nan, values)
    return Column(numbers=kept, types=TypeCounts(fractional=values.size - absent), missing=missing)


def integers(values: Sequence[int] | NDArray[np.int64]) -> Column:
    array = np.asarray(values, dtype=np.float64)
    return Column(numbers=array, types=TypeCounts(integral=array.size))


def words(values: Sequence[str]) -> Column:
    distinct = tuple(dict.fromkeys(values))
    index = {word: i for i, word in enumerate(distinct)}
    return Column(
        numbers=np.full(len(values), np.nan),
        codes=np.array([index[word] for word in values], dtype=np.int32),
        words=distinct,
        types=TypeCounts(text=len(values)),
    )


def rows_of(columns: Mapping[str, Column]) -> int:
    return next(iter(columns.values())).rows


def baseline_of(columns: Mapping[str, Column], outputs: tuple[str, ...] = ()) -> Baseline:
    table = Table(rows=rows_of(columns), columns=dict(columns))
    return build_baseline([table], version="1", outputs=outputs, created=START)


def profile_of(baseline: Baseline, columns: Mapping[str, Column]) -> Profile:
    return profile_columns(baseline.spec, columns, rows=rows_of(columns))


def judge(
    baseline: Baseline,
    columns: Mapping[str, Column],
    features: Mapping[str, FeatureSettings] | None = None,
    decision: DecisionSettings = SETTINGS,
) -> dict[str, FeatureVerdict]:
    verdicts = judge_features(
        baseline=baseline.profile,
        profile=profile_of(baseline, columns),
        decision=decision,
        features=features or {},
    )
    return {verdict.name: verdict for verdict in verdicts}


def judge_all(baseline: Baseline, columns: Mapping[str, Column]) -> WindowVerdict:
    return judge_window(
        baseline=baseline,
        profile=profile_of(baseline, columns),
        decision=SETTINGS,
        features={},
        monitor="flights",
        variant="AllTraffic",
        window=WINDOW,
        evaluated_at=WINDOW.end,
        other_baseline_rows=7,
    )


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(42)


@pytest.fixture(scope="module")
def training(rng: np.random.Generator) -> dict[str, Column]:
    carriers = rng.choice(["AA", "DL", "US", "WN"], size=10_000, p=[0.2, 0.3, 0.2, 0.3])
    return {
        "delay": numbers(rng.standard_normal(10_000)),
        "stops": integers(rng.integers(0, 5, 10_000)),
        "carrier": words(carriers.tolist()),
    }


@pytest.fixture(scope="module")
def baseline(training: dict[str, Column]) -> Baseline:
    return baseline_of(training)


def quiet(rng: np.random.Generator, rows: int) -> dict[str, Column]:
    carriers = rng.choice(["AA", "DL", "US", "WN"], size=rows, p=[0.2, 0.3, 0.2, 0.3])
    return {
        "delay": numbers(rng.standard_normal(rows)),
        "stops": integers(rng.integers(0, 5, rows)),
        "carrier": words(carriers.tolist()),
    }


def test_an_unchanged_window_is_ok_with_its_evidence(
    baseline: Baseline, rng: np.random.Generator
) -> None:
    verdicts = judge(baseline, quiet(rng, 500))
    assert [v.verdict for v in verdicts.values()] == ["ok"] * 3
    for verdict in verdicts.values():
        assert verdict.rows == 500
        assert verdict.distance is not None
        assert verdict.effect is not None
        assert verdict.p_value is not None
        assert verdict.adjusted_p_value is not None
        assert verdict.p_value <= verdict.adjusted_p_value
        assert verdict.reason.startswith("No significant difference")


def test_a_shifted_number_drifts_and_the_others_do_not(
    baseline: Baseline, rng: np.random.Generator
) -> None:
    columns = quiet(rng, 400) | {"delay": numbers(rng.standard_normal(400) + 0.6)}
    verdicts = judge(baseline, columns)
    assert verdicts["delay"].verdict == "drift"
    assert verdicts["delay"].test == "anderson_darling"
    assert verdicts["stops"].verdict == verdicts["carrier"].verdict == "ok"


def test_a_merged_carrier_drifts_and_names_the_categories(baseline: Baseline) -> None:
    rng = np.random.default_rng(1)
    carriers = rng.choice(["AA", "DL", "US", "WN"], size=300, p=[0.2, 0.3, 0.2, 0.3])
    merged = ["AA" if carrier == "US" else str(carrier) for carrier in carriers]
    verdict = judge(baseline, quiet(rng, 300) | {"carrier": words(merged)})["carrier"]
    assert verdict.verdict == "drift"
    assert {shift.label for shift in verdict.moved[:2]} == {"AA", "US"}
    vanished = next(shift for shift in verdict.moved if shift.label == "US")
    assert vanished.window_share == 0.0
    assert vanished.baseline_share == pytest.approx(0.2, abs=0.02)
    assert "PSI is" in verdict.reason


def test_a_new_category_is_named_among_what_moved(baseline: Baseline) -> None:
    rng = np.random.default_rng(2)
    columns = quiet(rng, 200) | {"carrier": words(["AA", "DL", "ZZ", "WN", "US"] * 40)}
    verdict = judge(baseline, columns)["carrier"]
    assert verdict.verdict == "drift"
    assert verdict.moved[0].label == "unseen: ZZ"
    assert verdict.moved[0].baseline_share == 0.0
    assert verdict.moved[0].window_share == pytest.approx(0.2)


def test_a_new_value_of_a_discrete_column_is_named_by_its_gap(baseline: Baseline) -> None:
    rng = np.random.default_rng(2)
    columns = quiet(rng, 200) | {"stops": integers([0, 1, 2, 3, 4, 9, 9, 9, 9, 9] * 20)}
    verdict = judge(baseline, columns)["stops"]
    assert verdict.verdict == "drift"
    assert verdict.moved[0].label == "above 4"
    assert verdict.moved[0].window_share == pytest.approx(0.5)


def test_numbers_outside_the_range_of_the_baseline_are_cells_of_their_own(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal(500)
    values[:40] = -999.0
    verdict = judge(baseline, quiet(rng, 500) | {"delay": numbers(values)})["delay"]
    assert verdict.verdict == "drift"
    assert verdict.moved[0].label.startswith("below -")
    assert verdict.moved[0].window_share == pytest.approx(0.08, abs=0.001)


def test_a_window_with_too_few_rows_is_insufficient(
    baseline: Baseline, rng: np.random.Generator
) -> None:
    verdicts = judge(baseline, quiet(rng, 49))
    assert {v.verdict for v in verdicts.values()} == {"insufficient_data"}
    assert verdicts["delay"].reason == (
        "The window has 49 usable values; 50 are needed. "
        "With so few, a shift of 0.56 standard deviations is found nine times in ten."
    )
    assert verdicts["delay"].detectable_shift == pytest.approx(0.56, abs=0.005)
    assert verdicts["delay"].p_value is None


def test_a_column_with_too_few_values_is_insufficient_and_no_part_of_the_correction(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(4)
    missing = np.arange(200) >= 20
    columns = quiet(rng, 200) | {"delay": numbers(rng.standard_normal(200), missing)}
    verdicts = judge(baseline, columns)
    assert verdicts["delay"].verdict == "insufficient_data"
    assert verdicts["delay"].rows == 20
    assert verdicts["delay"].missing_share == pytest.approx(0.9)
    assert "2 columns" in verdicts["carrier"].reason


def test_words_in_a_numeric_column_do_not_count_as_values(baseline: Baseline) -> None:
    rng = np.random.default_rng(5)
    verdict = judge(baseline, quiet(rng, 100) | {"delay": words(["late"] * 100)})["delay"]
    assert verdict.verdict == "insufficient_data"
    assert verdict.rows == 100
    assert "besides 100 of the wrong type" in verdict.reason


def test_a_baseline_with_too_few_values_is_insufficient() -> None:
    rng = np.random.default_rng(6)
    small = baseline_of({"x": numbers(rng.standard_normal(30))})
    verdict = judge(small, {"x": numbers(rng.standard_normal(500))})["x"]
    assert verdict.verdict == "insufficient_data"
    assert verdict.reason.startswith("The baseline has only 30 usable values; 50 are needed. With")


def test_missing_values_are_no_part_of_the_distance(baseline: Baseline) -> None:
    rng = np.random.default_rng(7)
    values = rng.standard_normal(2000)
    missing = np.arange(2000) % 2 == 0
    columns = quiet(rng, 2000) | {"delay": numbers(values, missing)}
    verdict = judge(baseline, columns)["delay"]
    assert verdict.verdict == "ok"
    assert verdict.missing_share == 0.5
    assert verdict.rows == 1000


def test_an_ignored_column_has_no_verdict_and_no_part_in_the_correction(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(8)
    columns = quiet(rng, 400) | {"delay": numbers(rng.standard_normal(400) + 5.0)}
    verdicts = judge(baseline, columns, {"delay": FeatureSettings(ignore=True)})
    assert set(verdicts) == {"stops", "carrier"}
    assert "2 columns" in verdicts["stops"].reason


def test_a_significant_but_small_effect_is_ok_and_says_so() -> None:
    rng = np.random.default_rng(9)
    known = baseline_of({"x": numbers(rng.standard_normal(100_000))})
    shifted = {"x": numbers(rng.standard_normal(100_000) + 0.05)}
    verdict = judge(known, shifted)["x"]
    assert verdict.verdict == "ok"
    assert verdict.p_value is not None
    assert verdict.p_value < 1e-6
    assert "too small for an alarm" in verdict.reason
    overridden = judge(known, shifted, {"x": FeatureSettings(min_effect=0.0005)})["x"]
    assert overridden.verdict == "drift"


def test_scale_alone_is_found(baseline: Baseline) -> None:
    rng = np.random.default_rng(10)
    columns = quiet(rng, 400) | {"delay": numbers(rng.standard_normal(400) * 1.6)}
    assert judge(baseline, columns)["delay"].verdict == "drift"


def test_a_spike_at_the_median_is_found(baseline: Baseline) -> None:
    rng = np.random.default_rng(11)
    values = rng.standard_normal(600)
    values[:150] = 0.0
    verdict = judge(baseline, quiet(rng, 600) | {"delay": numbers(values)})["delay"]
    assert verdict.verdict == "drift"
    assert verdict.test == "chi_squared"


def test_new_values_are_no_drift_where_the_baseline_is_full_of_single_values() -> None:
    rng = np.random.default_rng(12)
    ids = [f"id-{i}" for i in range(900)] + ["guest"] * 1100
    known = baseline_of({"customer": words(rng.permutation(ids).tolist())})
    fresh = [f"new-{i}" for i in range(180)] + ["guest"] * 220
    assert judge(known, {"customer": words(fresh)})["customer"].verdict == "ok"


def test_the_order_of_columns_does_not_change_a_verdict(training: dict[str, Column]) -> None:
    rng = np.random.default_rng(13)
    columns = quiet(rng, 300) | {"delay": numbers(rng.standard_normal(300) + 0.4)}
    reversed_training = dict(reversed(training.items()))
    forward = judge(baseline_of(training), columns)
    backward = judge(baseline_of(reversed_training), columns)
    assert forward == backward


def test_a_constant_column_that_stays_constant_is_ok() -> None:
    known = baseline_of({"x": numbers(np.full(1000, 7.5))})
    verdict = judge(known, {"x": numbers(np.full(100, 7.5))})["x"]
    assert (verdict.verdict, verdict.distance, verdict.p_value) == ("ok", 0.0, 1.0)
    assert verdict.moved == ()
    changed = judge(known, {"x": numbers(np.full(100, 8.5))})["x"]
    assert changed.verdict == "drift"


def test_a_boolean_column_drifts_when_its_share_moves() -> None:
    def flags(true: int, false: int) -> Column:
        column = words(["true"] * true + ["false"] * false)
        return Column(
            numbers=column.numbers,
            codes=column.codes,
            words=column.words,
            types=TypeCounts(boolean=true + false),
        )

    known = baseline_of({"late": flags(2000, 8000)})
    assert judge(known, {"late": flags(20, 80)})["late"].verdict == "ok"
    moved = judge(known, {"late": flags(50, 50)})["late"]
    assert moved.verdict == "drift"
    assert {shift.label for shift in moved.moved} == {"true", "false"}


def test_shares_of_what_moved_are_furthest_first_and_at_most_five(baseline: Baseline) -> None:
    rng = np.random.default_rng(14)
    columns = quiet(rng, 500) | {"delay": numbers(rng.standard_normal(500) + 1.0)}
    moved = judge(baseline, columns)["delay"].moved
    apart = [abs(shift.window_share - shift.baseline_share) for shift in moved]
    assert len(moved) == 5
    assert apart == sorted(apart, reverse=True)
    assert moved[0].label.startswith(("[", "below", "above"))


def test_the_labels_of_a_numeric_column_cover_it_without_overlap() -> None:
    rng = np.random.default_rng(15)
    known = baseline_of({"x": numbers(rng.uniform(0.0, 100.0, 5000))})
    moved = judge(known, {"x": numbers(np.full(50, 99.0))})["x"].moved
    assert moved[0].window_share == 1.0
    assert moved[0].label.startswith("[")
    assert moved[0].label.endswith("]")


def test_a_window_verdict_carries_whose_window_it_is_and_its_violations(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(16)
    columns = quiet(rng, 400) | {"delay": numbers(rng.standard_normal(400) + 0.8)}
    verdict = judge_all(baseline, columns)
    assert (verdict.monitor, verdict.variant) == ("flights", "AllTraffic")
    assert (verdict.window_start, verdict.window_end) == (WINDOW.start, WINDOW.end)
    assert verdict.baseline_version == "1"
    assert verdict.rows == 400
    assert verdict.other_baseline_rows == 7
    assert [f.name for f in verdict.drifted_inputs] == ["delay"]
    (violation,) = verdict.violations
    assert violation.constraint_check_type == "baseline_drift_check"
    effect = verdict.drifted_inputs[0].effect
    expected = f"Numerical distance: {effect} exceeds numerical threshold: 0.025"
    assert violation.description == expected


def test_an_empty_window_is_insufficient_and_violates_nothing(baseline: Baseline) -> None:
    verdict = judge_window(
        baseline=baseline,
        profile=Profile.empty(baseline.spec),
        decision=SETTINGS,
        features={},
        monitor="flights",
        variant="AllTraffic",
        window=WINDOW,
        evaluated_at=WINDOW.end,
    )
    assert verdict.insufficient
    assert not verdict.alarm


def test_a_profile_of_another_baseline_is_refused(
    baseline: Baseline, rng: np.random.Generator
) -> None:
    other = baseline_of({"x": numbers(rng.standard_normal(100))})
    with pytest.raises(ProfileError, match="profile its capture again"):
        judge_window(
            baseline=baseline,
            profile=profile_of(other, {"x": numbers(rng.standard_normal(60))}),
            decision=SETTINGS,
            features={},
            monitor="flights",
            variant="AllTraffic",
            window=WINDOW,
            evaluated_at=WINDOW.end,
        )


def test_outputs_are_corrected_together_with_inputs() -> None:
    rng = np.random.default_rng(17)
    known = baseline_of(
        {"x": numbers(rng.standard_normal(2000)), "score": numbers(rng.uniform(0, 1, 2000))},
        outputs=("score",),
    )
    verdicts = judge(
        known, {"x": numbers(rng.standard_normal(200)), "score": numbers(rng.uniform(0, 1, 200))}
    )
    assert verdicts["score"].role == "output"
    assert all("2 columns" in verdict.reason for verdict in verdicts.values())


def test_false_alarms_stay_below_the_chance_the_settings_name() -> None:
    rng = np.random.default_rng(18)
    known = [baseline_of(quiet(rng, 5000)) for _ in range(4)]
    alarms = sum(
        any(v.verdict == "drift" for v in judge(known[i % 4], quiet(rng, 60)).values())
        for i in range(400)
    )
    # 1 % of 400 windows is 4; 11 or more have a chance of 1 in 400.
    assert alarms <= 10
