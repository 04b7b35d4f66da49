"""The bars and lines of the report: counts are kept, areas are true, labels are readable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from driftgauge.drift.verdict import FeatureVerdict, Outcome, WindowVerdict
from driftgauge.profile.build import profile_columns
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from driftgauge.report.bars import Bar, category_bars, interval_bars, value_bars
from driftgauge.report.history import history_chart, time_ticks, windows_to_draw
from driftgauge.report.svg import interval_chart, nice_ticks, spread
from tests.unit.test_report import words

START = datetime(2026, 1, 1, tzinfo=UTC)


def counted(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    cells = np.searchsorted(edges, values, side="right")
    return np.bincount(cells, minlength=len(edges) + 1)


@pytest.mark.parametrize("shape", ["normal", "lognormal", "spiked", "two values"])
def test_bars_are_unions_of_cells_and_add_up_to_all_values(shape: str) -> None:
    random = np.random.default_rng(1)
    values = {
        "normal": random.normal(size=20_000),
        "lognormal": random.lognormal(0, 3, 20_000),
        "spiked": np.where(random.random(20_000) < 0.5, 0.0, random.normal(size=20_000)),
        "two values": random.integers(0, 2, 20_000).astype(float),
    }[shape]
    edges = np.unique(np.quantile(values, np.arange(1, 256) / 256))
    bars = interval_bars(
        edges=edges.tolist(),
        baseline=counted(values, edges),
        window=counted(values[:500] * 2, edges),
    )
    assert sum(bar.baseline for bar in bars) == pytest.approx(1)
    assert sum(bar.window for bar in bars) == pytest.approx(1)
    assert len(bars) <= 32
    for bar in bars:
        low = -np.inf if bar.lower is None else bar.lower
        high = np.inf if bar.upper is None else bar.upper
        assert bar.baseline == pytest.approx(np.mean((values >= low) & (values < high)))


def test_far_tails_do_not_squeeze_the_bulk_of_a_skewed_column() -> None:
    values = np.random.default_rng(2).lognormal(0, 3, 50_000)
    edges = np.unique(np.quantile(values, np.arange(1, 256) / 256))
    counts = counted(values, edges)
    bars = interval_bars(edges=edges.tolist(), baseline=counts, window=counts)
    assert max(bar.baseline for bar in bars[:-1]) < 0.6
    assert bars[-1].upper is None and bars[-1].baseline > 0.05


def test_an_interval_without_values_is_drawn_flat() -> None:
    empty = np.zeros(4, dtype=np.int64)
    bars = interval_bars(edges=(0.0, 1.0, 2.0), baseline=empty, window=empty)
    assert [bar.baseline for bar in bars] == [0.0] * 4
    assert "<svg" in interval_chart(bars, key="k", title="t")


def test_the_area_of_a_bar_is_its_share() -> None:
    bars = [
        Bar(label="narrow", baseline=0.5, window=0.5, lower=0.0, upper=1.0),
        Bar(label="wide", baseline=0.5, window=0.5, lower=1.0, upper=4.0),
    ]
    chart = interval_chart(bars, key="k", title="t")
    [path] = [part for part in chart.split('d="')[1:] if part.startswith("M")][:1]
    tops = [float(piece.split("H")[0]) for piece in path.split('"')[0].split("V")[1:3]]
    bottom = float(path.split(" ")[1].split("V")[0])
    assert (bottom - tops[0]) / (bottom - tops[1]) == pytest.approx(3, rel=0.02)


def test_many_values_of_a_discrete_column_are_joined_with_their_neighbours() -> None:
    baseline = np.zeros(81, dtype=np.int64)
    baseline[1::2] = 10
    bars = value_bars(values=[float(i) for i in range(40)], baseline=baseline, window=baseline)
    assert len(bars) <= 16
    assert bars[0].label == "0 to 2"
    assert sum(bar.baseline for bar in bars) == pytest.approx(1)


def test_categories_come_by_shift_with_unseen_ones_marked_and_the_rest_joined() -> None:
    known = tuple(f"c{i:02d}" for i in range(30))
    spec = ProfileSpec(
        version="1",
        features=(
            FeatureSpec(
                name="c", role="input", kind="categorical", inferred_type="String", categories=known
            ),
        ),
    )
    before = profile_columns(spec, {"c": words(list(known) * 10)}, rows=300)
    now = profile_columns(spec, {"c": words(["new"] * 150 + ["c07"] * 50)}, rows=200)
    bars = category_bars(before.feature("c"), now.feature("c"))
    assert (bars[0].label, bars[0].novel, bars[0].window) == ("new", True, 0.75)
    assert bars[1].label == "c07" and not bars[1].novel
    assert len(bars) == 12
    assert bars[-1].label == "20 other"
    assert sum(bar.baseline for bar in bars) == pytest.approx(1)
    assert sum(bar.window for bar in bars) == pytest.approx(1)


def feature(name: str, effect: float | None, verdict: Outcome = "ok") -> FeatureVerdict:
    return FeatureVerdict(
        name=name,
        role="input",
        kind="numeric",
        verdict=verdict,
        rows=100,
        missing_share=0.0,
        reason="",
        effect=effect,
    )


def window(hour: int, *features: FeatureVerdict, hours: int = 1) -> WindowVerdict:
    start = START + timedelta(hours=hour)
    return WindowVerdict(
        monitor="m",
        variant="v",
        baseline_version="1",
        window_start=start,
        window_end=start + timedelta(hours=hours),
        evaluated_at=START,
        rows=100,
        records=100,
        features=features,
        violations=(),
    )


def test_windows_are_drawn_in_time_order_and_the_reported_one_once() -> None:
    now = window(3, feature("x", 0.5, "drift"))
    stale = window(3, feature("x", 0.1))
    drawn = windows_to_draw(
        now, [window(2, feature("x", 0.0)), stale, window(0, feature("x", 0.0))]
    )
    assert [w.window_start.hour for w in drawn] == [0, 2, 3]
    assert drawn[-1] is now


def test_parts_of_the_reported_window_are_drawn_in_its_place() -> None:
    whole = window(0, feature("x", 0.0), hours=24)
    parts = [window(hour, feature("x", 0.0)) for hour in (5, 9)]
    assert windows_to_draw(whole, parts) == parts


def test_a_window_without_a_verdict_interrupts_the_line() -> None:
    effects = [0.01, 0.02, None, 0.03, 0.01]
    windows = [window(i, feature("x", effect)) for i, effect in enumerate(effects)]
    chart = history_chart(windows[-1], windows, limit=0.02)
    assert chart.count('<path class="line') == 2


def test_at_most_five_lines_are_drawn_and_drifted_features_come_first() -> None:
    calm = [feature(f"calm{i}", 0.01) for i in range(10)]
    windows = [
        window(0, *calm, feature("once", 0.3, "drift"), feature("now", 0.0)),
        window(1, *calm, feature("once", 0.0), feature("now", 0.2, "drift")),
    ]
    chart = history_chart(windows[1], windows, limit=0.02)
    assert chart.count('<path class="line') == 5
    assert 'class="label s0"' in chart and 'class="label s1"' in chart
    assert chart.count('class="label quiet"') == 3


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(minutes=40), "1 Jan 2026, 00:00"),
        (timedelta(hours=30), "1 Jan 2026, 00:00"),
        (timedelta(days=20), "1 Jan 2026"),
        (timedelta(days=200), "Jan 2026"),
        (timedelta(days=4000), "2026"),
    ],
)
def test_time_axes_of_any_length_have_a_few_round_labels(length: timedelta, expected: str) -> None:
    ticks = time_ticks(START, START + length)
    assert 2 <= len(ticks) <= 9
    assert ticks[0][1] == expected


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(-0.37, 0.41, 4) == [-0.2, 0.0, 0.2, 0.4]
    assert nice_ticks(5, 5, 4) == [5]


def test_labels_never_overlap_and_stay_inside() -> None:
    placed = sorted(spread([95.0, 96.0, 97.0, 10.0], gap=16, low=0, high=100))
    assert placed[-1] <= 100
    assert all(b - a >= 16 for a, b in pairwise(placed))
