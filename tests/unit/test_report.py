"""The report of a window: what it says, that it is safe to open, and that it stays small."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings
from driftgauge.drift.decision import judge_window
from driftgauge.drift.verdict import Violation, WindowVerdict
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.report.html import render_report
from driftgauge.windows import Window

WEEK = Window(datetime(2015, 7, 1, tzinfo=UTC), datetime(2015, 7, 8, tzinfo=UTC))
NOW = datetime(2015, 7, 8, 0, 20, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>",
    "__proto__",
    "\"><img src=x onerror='alert(1)'>",
    "\u202egnp.exe\x1b[31m\x00",
    "</title></svg></style><script>alert(2)</script>",
    "constructor",
    "javascript:alert(3)",
    "a" * 5_000,
)


def numbers(values: np.ndarray) -> Column:
    return Column(numbers=values.astype(float), types=TypeCounts(fractional=values.shape[0]))


def words(values: list[str]) -> Column:
    known = tuple(dict.fromkeys(values))
    return Column(
        numbers=np.full(len(values), np.nan),
        types=TypeCounts(text=len(values)),
        codes=np.array([known.index(value) for value in values], dtype=np.int32),
        words=known,
    )


def columns(seed: int, rows: int, *, merged: bool) -> dict[str, Column]:
    random = np.random.default_rng(seed)
    carriers = random.choice(
        ["WN", "AA", "US"], rows, p=[0.4, 0.6, 0] if merged else [0.4, 0.4, 0.2]
    )
    return {
        "late": numbers(random.beta(2, 6, rows)),
        "carrier": words(carriers.tolist()),
        "distance": numbers(random.lognormal(6.4, 0.6, rows)),
        "weekday": numbers(random.integers(1, 8, rows)),
    }


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = Table(rows=5_000, columns=columns(1, 5_000, merged=False))
    return build_baseline([table], version="v1", outputs=("late",), created=NOW)


def profile_of(baseline: Baseline, seed: int, *, rows: int = 2_000, merged: bool) -> Profile:
    return profile_columns(
        baseline.spec, columns(seed, rows, merged=merged), rows=rows, records=rows
    )


def judged(baseline: Baseline, profile: Profile, window: Window = WEEK) -> WindowVerdict:
    return judge_window(
        baseline=baseline,
        profile=profile,
        decision=DecisionSettings(),
        features={},
        monitor="flight-delays",
        variant="AllTraffic",
        window=window,
        evaluated_at=NOW,
    )


def rendered(
    baseline: Baseline, profile: Profile, verdict: WindowVerdict, *history: WindowVerdict
) -> str:
    return render_report(
        verdict=verdict,
        baseline=baseline,
        profile=profile,
        history=history,
        generated_at=NOW,
        decision=DecisionSettings(),
    )


class Page(HTMLParser):
    """What a browser would make of a page: elements, their attributes, and the text."""

    VOID = frozenset({"meta"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.unclosed: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def drifted(baseline: Baseline) -> str:
    earlier = [
        judged(
            baseline,
            profile_of(baseline, 10 + week, merged=False),
            Window(WEEK.start - timedelta(weeks=week), WEEK.start - timedelta(weeks=week - 1)),
        )
        for week in (1, 2, 3)
    ]
    profile = replace(
        profile_of(baseline, 2, merged=True),
        rejected={"not json": 12, "wrong number of columns": 8},
    )
    return rendered(baseline, profile, judged(baseline, profile), *earlier)


def test_every_element_is_closed_and_every_id_is_unique(drifted: str) -> None:
    page = Page(drifted)
    assert page.unclosed == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_loads_nothing_and_runs_nothing(drifted: str) -> None:
    page = Page(drifted)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"}
    assert not re.search(r"url\(|@import|https?:", drifted)
    policies = [meta.get("content") for meta in page.tags("meta")]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policies


def test_the_header_names_monitor_variant_window_baseline_and_state(drifted: str) -> None:
    text = Page(drifted).text
    for part in ("flight-delays", "AllTraffic", "1 Jul 2015, 00:00 to 8 Jul 2015, 00:00 UTC"):
        assert part in text
    assert "(7 days)" in text
    assert "baseline v1, 5,000 rows" in text
    assert '<span class="badge big drift">Drift</span>' in drifted


def test_the_summary_says_what_drifted_and_by_how_much(drifted: str) -> None:
    [lead] = re.findall(r'<p class="lead">(.*?)</p>', drifted)
    assert re.match(r"The feature carrier drifted \(effect \d\.\d{3}, PSI \d\.\d{3}, ", lead)
    assert re.search(r"US from 2\d\.\d% to 0%|AA from \d\d\.\d% to \d\d\.\d%", lead)


def test_key_figures_carry_their_units(drifted: str) -> None:
    text = Page(drifted).text
    assert "2,000predictions in this window" in text
    assert "1.0%20 records or rows" in text
    assert "1of 4 judged" in text


def test_the_table_lists_every_feature_worst_first(drifted: str) -> None:
    [table] = re.findall(r'<table class="features">(.*?)</table>', drifted)
    names = re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', table)
    assert names[0] == "carrier"
    assert sorted(names) == ["carrier", "distance", "late", "weekday"]
    assert table.count('<svg class="spark"') == 4


def test_charts_have_names_and_descriptions_for_screen_readers(drifted: str) -> None:
    page = Page(drifted)
    charts = [svg for svg in page.tags("svg") if svg.get("role") == "img"]
    assert len(charts) >= 7
    ids = {attributes.get("id") for _, attributes in page.elements}
    for chart in charts:
        for name in (chart.get("aria-labelledby") or "").split():
            assert name in ids


def test_drift_over_time_shows_the_windows_the_threshold_and_the_alarm(drifted: str) -> None:
    [chart] = re.findall(r'<svg class="history".*?</svg>', drifted)
    assert "4 windows from 10 Jun 2015, 00:00 to 8 Jul 2015, 00:00 UTC" in chart
    assert 'class="threshold"' in chart
    assert "worth an alarm: 0.025 PSI" in chart
    assert chart.count('class="alarm-band"') == 1
    assert "this window" in chart


def test_rejected_input_is_listed_by_reason(drifted: str) -> None:
    text = Page(drifted).text
    assert "20 records or rows, 1.0% of what arrived" in text
    assert "not json1260.0%" in text


def test_violations_are_listed_in_the_words_of_model_monitor(baseline: Baseline) -> None:
    profile = profile_of(baseline, 3, merged=False)
    violation = Violation(
        feature_name="distance",
        constraint_check_type="completeness_check",
        description="Data completeness: 91.0% does not meet the requirement",
    )
    verdict = replace(judged(baseline, profile), violations=(violation,))
    source = rendered(baseline, profile, verdict)
    assert "completeness_check" in source
    assert violation.description in Page(source).text
    assert '<span class="badge big violations">Checks failed</span>' in source


def test_a_quiet_window_says_so_and_names_the_largest_effect(baseline: Baseline) -> None:
    profile = profile_of(baseline, 4, merged=False)
    source = rendered(baseline, profile, judged(baseline, profile))
    assert '<span class="badge big ok">No drift</span>' in source
    assert "No feature drifted and no check failed over 4 judged features." in source
    assert "What moved</h2>" not in source
    assert "Drift over time" not in source


def test_a_window_with_too_few_rows_is_reported_as_insufficient(baseline: Baseline) -> None:
    profile = profile_of(baseline, 5, rows=12, merged=False)
    source = rendered(baseline, profile, judged(baseline, profile))
    assert '<span class="badge big insufficient">Insufficient data</span>' in source
    assert "12 rows arrived in this window, too few to judge any feature" in source


def test_a_window_without_rows_can_be_reported(baseline: Baseline) -> None:
    profile = Profile.empty(baseline.spec)
    source = rendered(baseline, profile, judged(baseline, profile))
    assert "No usable row arrived" in source
    assert Page(source).unclosed == []


def test_parts_that_alarm_inside_a_quiet_window_are_pointed_out(baseline: Baseline) -> None:
    parts = [
        judged(
            baseline,
            profile_of(baseline, 20 + day, merged=day == 6),
            Window(WEEK.start + timedelta(days=day), WEEK.start + timedelta(days=day + 1)),
        )
        for day in range(7)
    ]
    profile = profile_of(baseline, 6, merged=False)
    source = rendered(baseline, profile, judged(baseline, profile), *parts)
    assert "1 of the 7 shorter windows within this one would have alarmed" in source
    assert "Effect of the worst features over 7 windows" in source


def test_hostile_names_and_categories_reach_the_page_only_as_text() -> None:
    random = np.random.default_rng(7)
    rows = 3_000
    table = {name: numbers(random.normal(size=rows)) for name in HOSTILE[:4]}
    table |= {name: words(random.choice(HOSTILE[:3], rows).tolist()) for name in HOSTILE[4:]}
    baseline = build_baseline([Table(rows=rows, columns=table)], version="<b>", created=NOW)
    moved = {name: numbers(random.normal(1, 1, 500)) for name in HOSTILE[:4]}
    moved |= {name: words(random.choice(HOSTILE[2:], 500).tolist()) for name in HOSTILE[4:]}
    profile = replace(
        profile_columns(baseline.spec, moved, rows=500),
        rejected={HOSTILE[0]: 3, "lone \ud800 surrogate": 1},
    )
    verdict = replace(
        judged(baseline, profile), monitor=HOSTILE[0], variant=HOSTILE[2], baseline_version="<b>"
    )
    earlier = replace(verdict, window_start=WEEK.start - timedelta(days=7), window_end=WEEK.start)
    source = rendered(baseline, profile, verdict, earlier)
    page = Page(source)
    assert page.unclosed == []
    assert not {tag for tag, _ in page.elements} & {"script", "img", "b"}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source
    assert "__proto__" in page.text
    assert "\u202e" not in source and "\x1b" not in source and "\x00" not in source
    source.encode("utf-8")
    assert len(source) < 400_000


def test_five_hundred_features_stay_a_page_one_can_open() -> None:
    random = np.random.default_rng(8)
    names = [f"feature_{i:03d}" for i in range(500)]
    table = {name: numbers(random.normal(size=600)) for name in names}
    baseline = build_baseline([Table(rows=600, columns=table)], version="v1", created=NOW)
    window = {name: numbers(random.normal(i % 25 == 0, 1, 300)) for i, name in enumerate(names)}
    profile = profile_columns(baseline.spec, window, rows=300)
    source = rendered(baseline, profile, judged(baseline, profile))
    assert len(source.encode()) < 1_000_000
    assert set(re.findall(r'<th scope="row"><bdi>(feature_\d+)</bdi>', source)) == set(names)
    assert "The 12 furthest of 20 drifted features." in source
    assert "The other 460 features are listed at the end of this page." in source


def test_dark_mode_and_print_have_their_own_styles(drifted: str) -> None:
    assert "prefers-color-scheme: dark" in drifted
    assert "@media print" in drifted
    assert "size: A4" in drifted
