"""Windows against other windows: which ones, what they say, and what a season excuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings, ReferenceSettings
from driftgauge.drift.assessment import Occasion, Rules, assess_window
from driftgauge.drift.evidence import EvidenceState
from driftgauge.drift.references import StoredWindows, reference_windows, thinned
from driftgauge.drift.verdict import FeatureVerdict, ReferenceVerdict, WindowVerdict
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.windows import Window

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
# Persistence and dispersion have their own tests.
ALONE = DecisionSettings.model_validate(
    {"clustering": "none", "persistence": {"enabled": False}, "joint": {"enabled": False}}
)
WEEKLY = ReferenceSettings(kind="season", period=timedelta(days=7))


def day(number: int) -> Window:
    return Window(START + number * DAY, START + (number + 1) * DAY)


def columns(rows: int, *, seed: int, shift: float = 0.0) -> dict[str, Column]:
    values = np.random.default_rng(seed).standard_normal(rows) + shift
    other = np.random.default_rng(seed + 10_000).standard_normal(rows)
    return {
        "amount": Column(numbers=values, types=TypeCounts(fractional=rows)),
        "age": Column(numbers=other, types=TypeCounts(fractional=rows)),
    }


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = Table(rows=5000, columns=columns(5000, seed=1))
    return build_baseline([table], version="1", created=START)


@dataclass
class Traffic:
    """Profiles by day and variant, and which of them were asked for."""

    baseline: Baseline
    profiles: dict[tuple[Window, str], Profile] = field(default_factory=dict)
    asked: list[tuple[Window, str]] = field(default_factory=list)

    def add(
        self, number: int, *, shift: float = 0.0, rows: int = 500, variant: str = "blue"
    ) -> None:
        seed = 100 * number + len(variant)
        found = columns(rows, seed=seed, shift=shift)
        profile = profile_columns(self.baseline.spec, found, rows=rows)
        self.profiles[day(number), variant] = profile

    def find(self, window: Window, variant: str) -> Profile | None:
        self.asked.append((window, variant))
        return self.profiles.get((window, variant))

    def judge(
        self,
        number: int,
        references: Sequence[ReferenceSettings],
        *,
        features: Mapping[str, FeatureSettings] | None = None,
    ) -> WindowVerdict:
        window = day(number)
        return assess_window(
            baseline=self.baseline,
            profile=self.profiles[window, "blue"],
            rules=Rules(decision=ALONE, features=features or {}, references=references),
            occasion=Occasion(
                monitor="m",
                variant="blue",
                window=window,
                evaluated_at=window.end,
                window_length=DAY,
            ),
            evidence=EvidenceState.empty("1"),
            past=StoredWindows(self.find),
        ).verdict


@pytest.fixture
def traffic(baseline: Baseline) -> Traffic:
    return Traffic(baseline)


def amount(verdict: WindowVerdict | ReferenceVerdict) -> FeatureVerdict:
    (found,) = [f for f in verdict.features if f.name == "amount"]
    return found


def windows_of(settings: ReferenceSettings, number: int) -> list[tuple[Window, str]]:
    past = StoredWindows(lambda window, variant: None)
    return list(reference_windows(settings, window=day(number), variant="blue", past=past))


def test_trailing_windows_are_the_ones_just_before() -> None:
    found = windows_of(ReferenceSettings(kind="trailing", windows=3), 10)
    assert found == [(day(7), "blue"), (day(8), "blue"), (day(9), "blue")]
    assert len(windows_of(ReferenceSettings(kind="trailing"), 10)) == 4


def test_a_season_is_the_same_window_of_earlier_periods() -> None:
    season = ReferenceSettings(kind="season", period=timedelta(days=7), windows=2)
    assert windows_of(season, 20) == [(day(6), "blue"), (day(13), "blue")]


def test_another_variant_is_looked_at_in_the_same_window() -> None:
    assert windows_of(ReferenceSettings(kind="variant", variant="green"), 3) == [(day(3), "green")]


def test_a_reference_is_the_sum_of_its_windows(traffic: Traffic) -> None:
    for number in range(5):
        traffic.add(number, shift=0.8)
    verdict = traffic.judge(4, [ReferenceSettings(kind="trailing", windows=3)])
    (reference,) = verdict.references
    assert (reference.name, reference.kind) == ("trailing 3", "trailing")
    assert (reference.windows, reference.rows) == (3, 1500)
    # A trailing reference follows the traffic; the baseline does not.
    assert amount(verdict).verdict == "drift"
    assert amount(reference).verdict == "ok"
    assert "the reference" in amount(reference).reason


def test_trailing_windows_excuse_nothing(traffic: Traffic) -> None:
    for number in range(5):
        traffic.add(number, shift=0.8)
    verdict = traffic.judge(4, [ReferenceSettings(kind="trailing")])
    assert amount(verdict).verdict == "drift"
    assert verdict.alarm


def test_windows_that_are_not_there_leave_the_reference_insufficient(traffic: Traffic) -> None:
    traffic.add(8, shift=0.8)
    traffic.add(1, shift=0.8, rows=20)
    verdict = traffic.judge(8, [WEEKLY, ReferenceSettings(kind="trailing")])
    season, trailing = verdict.references
    assert (season.windows, season.rows) == (1, 20)
    assert (trailing.windows, trailing.rows) == (0, 0)
    for reference in verdict.references:
        assert {f.verdict for f in reference.features} == {"insufficient_data"}
    assert "The reference has only 20 usable values; 50 are needed." in amount(season).reason
    assert amount(verdict).verdict == "drift"


def test_a_drift_that_the_same_day_of_last_week_had_is_seasonal(traffic: Traffic) -> None:
    for number in range(9):
        traffic.add(number, shift=0.8 if number % 7 == 1 else 0.0)
    verdict = traffic.judge(8, [WEEKLY])
    found = amount(verdict)
    assert found.verdict == "seasonal"
    assert "same season (1 x 1w before)" in found.reason
    assert found.effect is not None and found.effect > 0.02
    assert not verdict.alarm
    assert verdict.violations == ()
    assert verdict.drifted_inputs == ()


def test_a_drift_that_last_week_did_not_have_is_a_drift(traffic: Traffic) -> None:
    for number in range(9):
        traffic.add(number, shift=0.8 if number == 8 else 0.0)
    verdict = traffic.judge(8, [WEEKLY])
    assert amount(verdict).verdict == "drift"
    assert [v.feature_name for v in verdict.violations] == ["amount"]


def test_a_change_that_stays_does_not_become_a_season_after_one_period(traffic: Traffic) -> None:
    for number in range(12):
        traffic.add(number, shift=0.8 if number >= 1 else 0.0)
    verdict = traffic.judge(8, [WEEKLY])
    # Last week's same day was shifted already, but so was every day in between.
    assert amount(verdict.references[0]).verdict == "ok"
    assert amount(verdict).verdict == "drift"


def test_a_season_with_nothing_to_look_at_in_between_is_believed(traffic: Traffic) -> None:
    for number in (1, 8):
        traffic.add(number, shift=0.8)
    assert amount(traffic.judge(8, [WEEKLY])).verdict == "seasonal"


def test_every_season_that_can_tell_must_agree(traffic: Traffic) -> None:
    fortnight = ReferenceSettings(kind="season", period=timedelta(days=14))
    for number in (8, 15):
        traffic.add(number, shift=0.8)
    assert amount(traffic.judge(15, [WEEKLY, fortnight])).verdict == "seasonal"
    traffic.add(1)
    assert amount(traffic.judge(15, [WEEKLY, fortnight])).verdict == "drift"


def test_a_reference_too_small_to_show_the_drift_excuses_nothing(traffic: Traffic) -> None:
    # 0.35 standard deviations are plain in 400 rows against 5,000, and not against 60.
    traffic.add(8, shift=0.35, rows=400)
    traffic.add(1, shift=0.35, rows=60)
    verdict = traffic.judge(8, [WEEKLY])
    assert amount(verdict).verdict == "drift"
    (reference,) = verdict.references
    assert amount(reference).verdict == "insufficient_data"
    assert "too few rows to show one as large" in amount(reference).reason
    # The other column did not drift, so there is nothing the reference fails to show.
    assert reference.features[1].verdict == "ok"


def test_variants_are_compared_with_each_other_and_not_with_themselves(traffic: Traffic) -> None:
    traffic.add(3, shift=0.8)
    traffic.add(3, variant="green")
    green = ReferenceSettings(kind="variant", variant="green")
    blue = ReferenceSettings(kind="variant", variant="blue")
    verdict = traffic.judge(3, [green, blue])
    (reference,) = verdict.references
    assert reference.name == "variant green"
    assert reference.drifted == ("amount",)
    assert amount(verdict).verdict == "drift"


def test_ignored_columns_have_no_verdict_against_a_reference_either(traffic: Traffic) -> None:
    traffic.add(1)
    traffic.add(2)
    verdict = traffic.judge(
        2,
        [ReferenceSettings(kind="trailing")],
        features={"amount": FeatureSettings(ignore=True)},
    )
    assert [f.name for f in verdict.references[0].features] == ["age"]


def test_windows_in_between_are_read_only_for_a_season_in_question(traffic: Traffic) -> None:
    for number in range(9):
        traffic.add(number)
    traffic.judge(8, [WEEKLY])
    assert traffic.asked == [(day(1), "blue")]


def test_thinning_keeps_the_shares_even_of_cells_that_come_to_less_than_one(
    baseline: Baseline,
) -> None:
    small = thinned(baseline.profile, 100)
    assert small.rows == 100
    for whole, part in zip(baseline.profile.features, small.features, strict=True):
        assert int(part.counts.sum()) == 100
        apart = np.cumsum(whole.counts) / 5000 - np.cumsum(part.counts) / 100
        assert float(np.abs(apart).max()) <= 0.5 / 100 + 1e-12
