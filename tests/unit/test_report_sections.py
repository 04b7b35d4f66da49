"""Sections of the report about more than one column in one window, and the words they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.drift.verdict import (
    ClassShare,
    FeatureEvidence,
    FeatureVerdict,
    JointTest,
    JointVerdict,
    Outcome,
    PairShift,
    PersistentDrift,
    PredictionShift,
    ReferenceVerdict,
    SegmentShift,
    WindowVerdict,
)
from driftgauge.profile.profile import Profile
from driftgauge.report.cause import aspect_text, causes_of, segment_text, since_text
from driftgauge.report.summary import state_of, summarize
from tests.unit.test_report import HOSTILE, NOW, WEEK, Page, columns, judged, profile_of, rendered

DAY = timedelta(days=1)
SINCE = datetime(2015, 6, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = Table(rows=5_000, columns=columns(1, 5_000, merged=False))
    return build_baseline([table], version="v1", outputs=("late",), created=NOW)


@pytest.fixture(scope="module")
def drifted_profile(baseline: Baseline) -> Profile:
    return profile_of(baseline, 2, merged=True)


@pytest.fixture(scope="module")
def calm_profile(baseline: Baseline) -> Profile:
    return profile_of(baseline, 4, merged=False)


@pytest.fixture(scope="module")
def drifted(baseline: Baseline, drifted_profile: Profile) -> WindowVerdict:
    return judged(baseline, drifted_profile)


@pytest.fixture(scope="module")
def calm(baseline: Baseline, calm_profile: Profile) -> WindowVerdict:
    return judged(baseline, calm_profile)


def changed(window: WindowVerdict, name: str, /, **changes: Any) -> WindowVerdict:
    """Change the verdict on one column."""
    return replace(
        window,
        features=tuple(replace(f, **changes) if f.name == name else f for f in window.features),
    )


def evidence(name: str = "carrier", **changes: Any) -> FeatureEvidence:
    plain = FeatureEvidence(name=name, aspect="US", value=9_000.0, shift=-0.07, since=SINCE)
    return replace(plain, **changes)


def lasting(
    *features: FeatureEvidence, verdict: Outcome = "drift", value: float = 900.0, windows: int = 12
) -> PersistentDrift:
    return PersistentDrift(
        verdict=verdict, value=value, threshold=52.0, windows=windows, features=features
    )


def joint(verdict: Outcome = "drift", *, p: float = 1e-20, **changes: Any) -> JointVerdict:
    plain = JointVerdict(
        verdict=verdict,
        rows=2_000,
        reason="The correlation of late and distance went from 0.02 to 0.61.",
        tests=(
            JointTest(
                name="association", statistic=20.0, effect=0.59, p_value=p, adjusted_p_value=p
            ),
            JointTest(
                name="reconstruction",
                statistic=1.0,
                effect=-0.04,
                p_value=0.3,
                adjusted_p_value=0.3,
            ),
        ),
        pairs=(
            PairShift(first="late", second="distance", baseline=0.02, window=0.61),
            PairShift(first="weekday", second="distance", baseline=0.02, window=0.08),
        ),
    )
    return replace(plain, **changes)


def section(source: str, heading: str) -> str:
    """Return the part of a page under a heading."""
    found = re.search(rf"<h2>{heading}\b.*?(?=<h2>|</main>)", source, flags=re.DOTALL)
    assert found, f"no section {heading}"
    return found[0]


def words(source: str) -> str:
    return Page(f"<div>{source}</div>").text


def test_a_calm_window_without_further_decisions_has_none_of_the_sections(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    source = rendered(baseline, calm_profile, calm)
    for heading in ("Root cause", "Lasting", "How columns", "Other references", "Predictions"):
        assert f"<h2>{heading}" not in source


def test_the_root_cause_says_what_where_and_since_when(
    baseline: Baseline, drifted_profile: Profile, drifted: WindowVerdict
) -> None:
    segment = SegmentShift(
        column="weekday", category="6", baseline_share=0.14, window_share=0.15, inside=0.2,
        outside=0.01,
    )  # fmt: skip
    verdict = replace(
        changed(drifted, "carrier", segments=(segment,)), persistent=lasting(evidence())
    )
    source = rendered(baseline, drifted_profile, verdict)
    assert source.index("<h2>Root cause") < source.index("<h2>Features")
    text = words(section(source, "Root cause"))
    assert re.search(r"US from \d\d\.\d% to 0%", text)
    assert "within weekday = 6 (15.0% of the rows)" in text
    assert "the share that moved furthest went +20.0 pp, elsewhere +1.0 pp" in text
    assert "Since24 Jun 2015, 00:00 UTC, 14 days before the end of this window" in text


def test_causes_are_ordered_by_importance_times_effect_where_that_is_known(
    baseline: Baseline, drifted_profile: Profile, drifted: WindowVerdict
) -> None:
    both = changed(drifted, "distance", verdict="drift", effect=0.3)
    assert [cause.name for cause in causes_of(both)] == ["carrier", "distance"]
    assert "the importance of the columns is not known" in rendered(baseline, drifted_profile, both)
    weighed = changed(changed(both, "distance", importance=0.9), "carrier", importance=0.1)
    assert [cause.name for cause in causes_of(weighed)] == ["distance", "carrier"]
    text = words(section(rendered(baseline, drifted_profile, weighed), "Root cause"))
    assert "Ordered by effect times importance for the model." in text
    assert "importance 90.0%" in text


def test_weak_evidence_over_time_dates_no_drift(drifted: WindowVerdict) -> None:
    verdict = replace(drifted, persistent=lasting(evidence(value=3.0), verdict="ok", value=2.0))
    [cause] = causes_of(verdict)
    assert cause.drifted and cause.evidence is None


def test_a_drift_that_only_lasts_is_the_headline_and_a_cause(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    lead = evidence("distance", aspect="location", shift=0.08)
    verdict = replace(calm, persistent=lasting(lead, evidence("late", value=1.2)))
    assert state_of(verdict) == "drift"
    assert summarize(verdict).headline == (
        "All windows together show a lasting drift of distance since 24 Jun 2015, 00:00 UTC: "
        "values moved up (+0.08 sd of their ranks)."
    )
    source = rendered(baseline, calm_profile, verdict)
    text = words(section(source, "Root cause"))
    assert "distanceover all windows" in text
    # The other column's evidence is not what rings.
    assert "late" not in text


def test_a_lasting_drift_of_a_seasonal_column_is_no_cause(calm: WindowVerdict) -> None:
    verdict = changed(calm, "distance", verdict="seasonal")
    both = replace(verdict, persistent=lasting(evidence("distance"), evidence("late")))
    assert [cause.name for cause in causes_of(both)] == ["late"]
    assert "lasting drift of late since" in summarize(both).headline


def test_evidence_that_begins_in_this_window_is_not_called_lasting(calm: WindowVerdict) -> None:
    lead = evidence("distance", aspect="missing", shift=0.2, since=WEEK.start)
    summary = summarize(replace(calm, persistent=lasting(lead)))
    assert summary.headline == (
        "Beside all windows before, distance drifts in this one: share of missing values +20.0 pp."
    )
    assert not any("lasting drift is small" in line for line in summary.advice)


def over_time(verdict: WindowVerdict, values: Sequence[float]) -> list[WindowVerdict]:
    """Return earlier weeks with these values of the evidence; the first two only taught."""
    weeks = []
    for age, value in zip(range(len(values), 0, -1), values, strict=True):
        start = WEEK.start - age * 7 * DAY
        state: Outcome = "insufficient_data" if len(values) - age < 2 else "ok"
        weeks.append(
            replace(
                verdict,
                window_start=start,
                window_end=start + 7 * DAY,
                persistent=lasting(verdict=state, value=value),
            )
        )
    return weeks


def test_the_evidence_is_drawn_against_its_threshold_with_the_windows_that_taught(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    verdict = replace(calm, persistent=lasting(evidence("distance", aspect="scale", shift=0.2)))
    source = rendered(baseline, calm_profile, verdict, *over_time(calm, [0.5, 1.0, 2.0, 8.0, 40.0]))
    found = section(source, "Lasting drift")
    text = words(found)
    assert "The evidence of 12 windows together is 900, the alarm rings from 52" in text
    assert "6 windows from 27 May 2015, 00:00 to 8 Jul 2015, 00:00 UTC" in text
    assert "The newest value is 900, the threshold 52; 1 window with an alarm." in text
    assert found.count('class="learning"') == 1 and "rings from 52" in text
    assert "since 24 Jun" in text and 'class="since"' in found
    assert "values spread further (+0.20 sd of their ranks' squares)" in text
    heights = [float(y) for y in re.findall(r'class="dot s0[^>]*cy="([\d.]+)"', found)]
    assert len(heights) == 6 and heights == sorted(heights, reverse=True)


def test_evidence_beyond_every_measure_is_drawn_at_the_end_of_the_axis(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    verdict = replace(calm, persistent=lasting(evidence("distance", value=1e300), value=1e300))
    source = rendered(baseline, calm_profile, verdict, *over_time(calm, [0.0, 1e-9, 2.0, 1e250]))
    found = section(source, "Lasting drift")
    assert "over a million" in words(found)
    heights = [float(y) for y in re.findall(r'class="dot s0[^>]*cy="([\d.]+)"', found)]
    assert all(0 <= height <= 216 for height in heights)


def test_a_monitor_that_learns_says_how_long_still(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    state = lasting(evidence(), verdict="insufficient_data", windows=3)
    source = rendered(baseline, calm_profile, replace(calm, persistent=state))
    found = section(source, "Lasting drift")
    assert "Learning: 3 of 8 windows." in words(found)
    assert "<svg" not in found and "<table" not in found


def test_changed_pairs_are_drawn_and_named(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    verdict = replace(calm, joint=joint())
    assert summarize(verdict).headline == (
        "Columns go together otherwise than in the baseline: the correlation of late and distance "
        "went from +0.02 to +0.61."
    )
    source = rendered(baseline, calm_profile, verdict)
    found = section(source, "How columns go together")
    # The second pair's change is what chance makes of many.
    assert found.count('class="window-dot"') == 1
    text = words(found)
    assert "late and distance: +0.02 to +0.61" in text
    assert "Distance from the principal plane\u22124%growth0.3" in text


@pytest.mark.parametrize(
    "verdict", [joint("ok", p=0.4), joint(p=0.4)], ids=["no drift", "no pair for sure"]
)
def test_pairs_that_chance_explains_are_not_drawn(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict, verdict: JointVerdict
) -> None:
    source = rendered(baseline, calm_profile, replace(calm, joint=verdict))
    found = section(source, "How columns go together")
    assert "<table" in found and "<svg" not in found
    assert "+0.61" not in summarize(replace(calm, joint=verdict)).headline


def test_a_joint_distribution_that_moves_with_its_columns_adds_nothing_to_the_headline(
    drifted: WindowVerdict,
) -> None:
    alone = summarize(drifted).headline
    assert summarize(replace(drifted, joint=joint(p=0.4))).headline == alone
    assert summarize(replace(drifted, joint=joint())).headline.startswith(f"{alone} Columns go")


def reference(
    verdict: WindowVerdict, name: str, kind: Any, outcome: Outcome, column: str
) -> ReferenceVerdict:
    """Return a comparison in which only one column's verdict is given; the others are ok."""
    features = tuple(
        replace(f, verdict=outcome if f.name == column else "ok", effect=0.001)
        for f in verdict.features
    )
    return ReferenceVerdict(name=name, kind=kind, windows=4, rows=8_000, features=features)


def test_references_are_a_table_and_seasonal_columns_are_explained(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    seasonal = changed(calm, "distance", verdict="seasonal", effect=0.2)
    verdict = replace(
        seasonal,
        references=(
            reference(calm, "trailing 4", "trailing", "drift", "distance"),
            reference(calm, "1 x 52w before", "season", "ok", "distance"),
        ),
    )
    source = rendered(baseline, calm_profile, verdict)
    found = section(source, "Other references")
    text = words(found)
    assert "distance drifts from the baseline, not from 1 x 52w before: seasonal, no alarm." in text
    assert "trailing 44 windows, 8,000 rows" in text
    assert "distanceseasonal 0.200drift 0.001no drift 0.001" in text
    assert found.count('<th scope="row">') == 1
    assert '<span class="badge big ok">No drift</span>' in source
    assert "distance moved as in the same season before." in summarize(verdict).headline


def test_a_drift_that_the_preceding_windows_show_already_is_told_from_a_new_one(
    baseline: Baseline, drifted_profile: Profile, drifted: WindowVerdict
) -> None:
    same = reference(drifted, "trailing 4", "trailing", "ok", "carrier")
    source = rendered(baseline, drifted_profile, replace(drifted, references=(same,)))
    assert "carrier drifts from the baseline, not from trailing 4: this window looks like" in source


def test_references_without_any_difference_take_one_line_each(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    same = reference(calm, "trailing 4", "trailing", "ok", "carrier")
    few = replace(
        same,
        name="1 x 1w before",
        windows=0,
        rows=0,
        features=tuple(replace(f, verdict="insufficient_data") for f in same.features),
    )
    source = rendered(baseline, calm_profile, replace(calm, references=(same, few)))
    found = section(source, "Other references")
    assert "<table" not in found
    text = words(found)
    assert "trailing 4 (4 windows, 8,000 rows): none of 4 judged features differs." in text
    assert "1 x 1w before (0 windows, 0 rows): too few rows." in text


def prediction(name: str = "late", label: str = "below 0.1") -> PredictionShift:
    return PredictionShift(
        name=name,
        classes=(
            ClassShare(label=label, baseline=0.1, window=0.2, low=0.17, high=0.24),
            ClassShare(label="0.1 and above", baseline=0.9, window=0.8, low=0.76, high=0.83),
        ),
        total_variation=0.1,
        expected_variation=0.02,
        mean_baseline=0.25,
        mean_window=0.21,
        mean_interval=(0.2, 0.22),
    )


def test_predictions_are_shares_with_intervals_and_the_mean_with_its_own(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    source = rendered(baseline, calm_profile, replace(calm, predictions=(prediction(),)))
    found = section(source, "Predictions")
    text = words(found)
    assert "Mean0.25 → 0.21" in text and "0.2 to 0.22" in text
    assert "Share that moved (by chance alone)10.0% (2.0%)" in text
    assert "below 0.1: 10.0% to 20.0% (17.0% to 24.0%)" in text
    assert found.count('class="interval"') == 2
    # It has a chart here, so it gets none among the columns that did not drift.
    assert "<bdi>late</bdi>" not in section(source, "Not drifted")


def test_a_class_without_mean_is_described_all_the_same(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    classes = replace(prediction(), mean_baseline=None, mean_window=None, mean_interval=None)
    source = rendered(baseline, calm_profile, replace(calm, predictions=(classes, prediction())))
    assert section(source, "Predictions").count("<dt>Mean</dt>") == 1


def test_columns_show_their_interval_and_what_the_window_could_have_shown(
    baseline: Baseline, drifted_profile: Profile, drifted: WindowVerdict
) -> None:
    verdict = changed(
        drifted,
        "carrier",
        distance_interval=(0.2, 0.6),
        detectable_shift=0.18,
        dispersion=3.2,
        missing_p_value=1e-9,
        novel_p_value=0.4,
    )
    source = rendered(baseline, drifted_profile, verdict)
    table = section(source, "Features")
    assert "0.200 to 0.600" in table and "0.18 sd" in table and 'class="reach hot"' in table
    assert "Windows differ more than independent rows would: 3.2 times in <bdi>carrier" in table
    text = words(section(source, "What moved"))
    for fact in (
        "95% interval of the effect0.200 to 0.600",
        "Smallest shift this window shows0.18 sd",
        "Variance between windows3.2 times that of rows",
        "Missing values, p<0.0001",
    ):
        assert fact in text
    assert "New values, p" not in text


def test_strict_mode_has_none_of_it(
    baseline: Baseline, drifted_profile: Profile, drifted: WindowVerdict
) -> None:
    source = rendered(baseline, drifted_profile, replace(drifted, mode="strict"))
    for part in ("Root cause</h2>", "95% interval", "Shift visible", 'class="whisker"'):
        assert part not in source


def test_hostile_names_reach_every_section_only_as_text(
    baseline: Baseline, drifted_profile: Profile, drifted: WindowVerdict
) -> None:
    for bad in HOSTILE:
        segment = SegmentShift(
            column=bad, category=bad, baseline_share=0.1, window_share=0.4, inside=1.0, outside=0.0
        )
        named = changed(drifted, "carrier", segments=(segment,), distance_interval=(0.1, 0.2))
        features = (*named.features, replace(named.features[0], name=bad, verdict="seasonal"))
        verdict = replace(
            named,
            features=features,
            persistent=lasting(evidence(bad, aspect=bad), evidence(aspect=bad)),
            joint=joint(
                reason=bad, pairs=(PairShift(first=bad, second=bad, baseline=-1.0, window=1.0),)
            ),
            references=(reference(replace(named, features=features), bad, "season", "ok", bad),),
            predictions=(prediction(bad, bad),),
        )
        source = rendered(baseline, drifted_profile, verdict, *over_time(verdict, [1.0, 2.0]))
        page = Page(source)
        assert page.unclosed == []
        assert not {tag for tag, _ in page.elements} & {"script", "img", "b"}
        assert not [n for _, attributes in page.elements for n in attributes if n.startswith("on")]
        assert "\u202e" not in source and "\x1b" not in source and "\x00" not in source
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        source.encode("utf-8")


def test_a_segment_that_grew_says_from_what() -> None:
    segment = SegmentShift(
        column="c", category="x", baseline_share=0.1, window_share=0.3, inside=-0.5, outside=0.0
    )
    assert segment_text(segment, counts_shares=False) == (
        "within c = x (30.0% of the rows, 10.0% in the baseline) the mean moved \u22120.50 sd, "
        "elsewhere 0.00 sd"
    )


@pytest.mark.parametrize(
    ("aspect", "shift", "kind", "said"),
    [
        ("location", -0.1, "numeric", "values moved down (\u22120.10 sd of their ranks)"),
        ("scale", -0.1, "discrete", "values drew together (\u22120.10 sd of their ranks' squares)"),
        ("missing", 0.05, "numeric", "share of missing values +5.0 pp"),
        ("other values", 0.05, "categorical", "share of all other values +5.0 pp"),
        # A category may be called as an aspect of numbers is.
        ("location", 0.05, "categorical", "share of location +5.0 pp"),
    ],
)
def test_what_lasts_is_said_in_the_units_of_its_aspect(
    aspect: str, shift: float, kind: Any, said: str
) -> None:
    feature = FeatureVerdict(
        name="c", role="input", kind=kind, verdict="ok", rows=1, missing_share=0.0, reason=""
    )
    assert aspect_text(evidence("c", aspect=aspect, shift=shift), feature) == said


def test_moments_are_told_in_utc_whatever_zone_they_come_in(calm: WindowVerdict) -> None:
    from zoneinfo import ZoneInfo

    local = WEEK.start.astimezone(ZoneInfo("America/New_York"))
    assert since_text(local, calm) == "1 Jul 2015, 00:00 UTC: this window is the first"
