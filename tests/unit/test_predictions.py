"""The prior-shift view of predictions, against hand computations and scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.config import FeatureSettings
from driftgauge.drift.predictions import mean_interval, prediction_shifts, wilson_interval
from driftgauge.drift.verdict import PredictionShift
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from tests.columns import Value, column_of


def baseline_of(values: Sequence[Value]) -> Baseline:
    return build_baseline(
        [Table(rows=len(values), columns={"answer": column_of(values)})],
        version="v1",
        outputs=("answer",),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def window_of(baseline: Baseline, values: Sequence[Value]) -> Profile:
    return profile_columns(baseline.spec, {"answer": column_of(values)}, rows=len(values))


def shift_of(
    baseline: Baseline, values: Sequence[Value], dispersion: float = 1.0
) -> PredictionShift:
    (shift,) = prediction_shifts(
        baseline=baseline.profile,
        profile=window_of(baseline, values),
        features={},
        dispersions={"answer": dispersion},
    )
    return shift


CLASSES = baseline_of(["a"] * 500 + ["b"] * 300 + ["c"] * 200)


def test_class_shares_come_with_wilsons_simultaneous_intervals() -> None:
    shift = shift_of(CLASSES, ["a"] * 40 + ["b"] * 30 + ["c"] * 30)
    assert [c.label for c in shift.classes] == ["a", "b", "c"]
    assert [c.baseline for c in shift.classes] == [0.5, 0.3, 0.2]
    assert [c.window for c in shift.classes] == [0.4, 0.3, 0.3]
    assert shift.total_variation == pytest.approx(0.1)
    for hits, found in zip((40, 30, 30), shift.classes, strict=True):
        interval = stats.binomtest(hits, 100).proportion_ci(1 - 0.05 / 3, method="wilson")
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert shift.mean_window is None
    assert shift.mean_interval is None


def test_a_class_that_the_baseline_lacks_has_its_own_line() -> None:
    shift = shift_of(CLASSES, ["a"] * 50 + ["d"] * 30 + ["e"] * 20)
    shares = {c.label: (c.baseline, c.window) for c in shift.classes}
    assert shares["not in the baseline"] == (0.0, 0.5)
    assert shares["b"] == (0.3, 0.0)
    assert shift.total_variation == pytest.approx(0.5)


def test_a_share_of_nothing_or_everything_has_an_exact_end() -> None:
    shift = shift_of(CLASSES, ["a"] * 60)
    shares = {c.label: (c.low, c.high) for c in shift.classes}
    assert shares["a"][1] == 1.0
    assert shares["b"][0] == 0.0
    assert 0.0 < shares["b"][1] < 0.1


def test_many_classes_are_twelve_and_all_others() -> None:
    words = [f"class {i:02}" for i in range(30) for _ in range(40 - i)]
    shift = shift_of(baseline_of(words), words[::2])
    assert len(shift.classes) == 13
    assert shift.classes[-1].label == "all other classes"
    assert sum(c.baseline for c in shift.classes) == pytest.approx(1.0)
    assert sum(c.window for c in shift.classes) == pytest.approx(1.0)


def test_expected_variation_is_the_average_of_unmoved_windows() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(300):
        counts = rng.multinomial(200, [0.5, 0.3, 0.2]).tolist()
        found.append(
            shift_of(CLASSES, [w for w, n in zip("abc", counts, strict=True) for _ in range(n)])
        )
    average = sum(shift.total_variation for shift in found) / len(found)
    # The baseline is one sample, so its own error is the same in all windows.
    assert found[0].expected_variation == pytest.approx(average, rel=0.2)


def test_simultaneous_intervals_cover_all_shares_in_95_of_100_windows() -> None:
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(400):
        counts = rng.multinomial(150, [0.5, 0.3, 0.2]).tolist()
        shift = shift_of(CLASSES, [w for w, n in zip("abc", counts, strict=True) for _ in range(n)])
        covered += all(c.low <= c.baseline <= c.high for c in shift.classes)
    assert covered >= 0.93 * 400


SCORES = [i / 1000 for i in range(1000)]


def test_a_score_is_shown_in_tenths_of_the_baseline() -> None:
    shift = shift_of(baseline_of(SCORES), [x * x for x in SCORES])
    assert len(shift.classes) == 10
    assert all(c.baseline == pytest.approx(0.1, abs=0.005) for c in shift.classes)
    # A square lies below a tenth if its root lies below 0.316.
    assert shift.classes[0].label.startswith("below 0.1")
    assert shift.classes[0].window == pytest.approx(math.sqrt(0.1), abs=0.01)
    assert shift.classes[-1].label.endswith("and above")
    assert shift.mean_baseline == pytest.approx(0.4995)
    assert shift.mean_window == pytest.approx(np.mean(np.square(SCORES)))


def test_scores_outside_the_baselines_range_belong_to_the_outermost_tenths() -> None:
    shift = shift_of(baseline_of(SCORES), [-5.0] * 30 + [5.0] * 70)
    assert shift.classes[0].window == 0.3
    assert shift.classes[-1].window == 0.7
    assert shift.total_variation == pytest.approx(0.8, abs=0.01)


def test_the_interval_of_the_mean_is_students() -> None:
    rng = np.random.default_rng(2)
    values = rng.random(80).tolist()
    shift = shift_of(baseline_of(SCORES), values)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert shift.mean_interval == pytest.approx((interval.low, interval.high), rel=1e-6)


@pytest.mark.parametrize("rows", [6, 20, 1000])
def test_the_interval_of_the_mean_holds_for_few_rows(rows: int) -> None:
    values = np.random.default_rng(rows).random(rows).tolist()
    baseline = baseline_of(SCORES)
    found = mean_interval(window_of(baseline, values).feature("answer"))
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found == pytest.approx((interval.low, interval.high), rel=2e-3)


def test_one_number_has_no_interval() -> None:
    baseline = baseline_of(SCORES)
    assert mean_interval(window_of(baseline, [0.5]).feature("answer")) is None


def test_clustered_traffic_widens_every_interval() -> None:
    baseline = baseline_of(SCORES)
    values = SCORES[::5]
    narrow, wide = shift_of(baseline, values), shift_of(baseline, values, dispersion=4.0)
    assert narrow.mean_interval is not None
    assert wide.mean_interval is not None
    width = narrow.mean_interval[1] - narrow.mean_interval[0]
    assert wide.mean_interval[1] - wide.mean_interval[0] == pytest.approx(2 * width)
    for a, b in zip(narrow.classes, wide.classes, strict=True):
        assert b.low < a.low < a.high < b.high
    assert wide.expected_variation > narrow.expected_variation
    # Never narrower than independent rows allow.
    assert shift_of(baseline, values, dispersion=0.2) == narrow


def test_a_score_of_few_values_is_shown_value_by_value() -> None:
    shift = shift_of(baseline_of([0, 1, 2] * 100), [0] * 10 + [1] * 20 + [7] * 10)
    assert [(c.label, c.window) for c in shift.classes] == [
        ("0", 0.25),
        ("1", 0.5),
        ("2", 0.0),
        ("not in the baseline", 0.25),
    ]


def test_a_score_of_more_values_is_shown_in_bands() -> None:
    values = [*range(20)] * 10
    shift = shift_of(baseline_of(values), [*values, -1, 3, 30])
    assert len(shift.classes) == 10
    assert [c.label for c in shift.classes][:2] == ["below 2", "[2, 4)"]
    assert all(c.baseline == pytest.approx(0.1) for c in shift.classes)
    assert shift.classes[0].window == pytest.approx(21 / 203)


def test_inputs_and_ignored_and_empty_columns_are_left_out() -> None:
    profile = window_of(CLASSES, ["a"] * 100)
    for features in ({"answer": FeatureSettings(ignore=True)},):
        found = prediction_shifts(baseline=CLASSES.profile, profile=profile, features=features)
        assert found == ()
    empty = window_of(CLASSES, [None] * 100)
    assert prediction_shifts(baseline=CLASSES.profile, profile=empty, features={}) == ()
    inputs = build_baseline(
        [Table(rows=3, columns={"answer": column_of(["a", "b", "c"])})],
        version="v2",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    found = prediction_shifts(baseline=inputs.profile, profile=inputs.profile, features={})
    assert found == ()


@pytest.mark.parametrize(("hits", "rows"), [(0, 30), (1, 30), (15, 30), (30, 30)])
def test_wilsons_interval_is_scipys(hits: int, rows: int) -> None:
    interval = stats.binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    found = wilson_interval(hits / rows, rows, z=float(stats.norm.isf(0.025)))
    assert found == pytest.approx((interval.low, interval.high))
