"""Evidence over time is a function of the set of windows, whatever these hold."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftgauge.baseline import build_baseline
from driftgauge.capture.table import Table
from driftgauge.drift.evidence import (
    EvidenceState,
    add_window,
    decode_evidence,
    dispersions,
    encode_evidence,
    judge_persistence,
)
from driftgauge.drift.scores import score_layout, window_scores
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.settings import PersistenceSettings
from driftgauge.windows import Window
from tests.columns import column_of

START = datetime(2015, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.0, 1.5])),
        st.one_of(st.none(), st.sampled_from(["a", "b", "z"])),
    ),
    min_size=1,
    max_size=12,
)
BASELINE = build_baseline(
    [
        Table(
            rows=60,
            columns={
                "number": column_of([float(i % 17) + 0.5 for i in range(60)]),
                "word": column_of(["a", "a", "b"] * 20),
            },
        )
    ],
    version="v1",
    created=START,
)


def profile_of(rows: list[tuple[float | None, str | None]]) -> Profile:
    columns = {
        "number": column_of([number for number, _ in rows]),
        "word": column_of([word for _, word in rows]),
    }
    return profile_columns(BASELINE.spec, columns, rows=len(rows))


def with_window(
    state: EvidenceState, hour: int, rows: list[tuple[float | None, str | None]]
) -> EvidenceState:
    window = Window(START + hour * HOUR, START + (hour + 1) * HOUR)
    return add_window(state, window_scores(profile_of(rows), BASELINE.profile, window=window))


@given(first=ROWS, second=ROWS)
def test_score_sums_add_up(
    first: list[tuple[float | None, str | None]], second: list[tuple[float | None, str | None]]
) -> None:
    layout = score_layout(BASELINE.profile)
    one, other = profile_of(first), profile_of(second)
    together = layout.sums(one + other)
    np.testing.assert_allclose(together, layout.sums(one) + layout.sums(other), atol=1e-9)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(windows=st.lists(ROWS, min_size=1, max_size=12), data=st.data())
def test_the_order_of_arrival_and_repeated_windows_make_no_difference(
    windows: list[list[tuple[float | None, str | None]]], data: st.DataObject
) -> None:
    ordered = EvidenceState.empty("v1")
    for hour, rows in enumerate(windows):
        ordered = with_window(ordered, hour, rows)
    arrivals = data.draw(st.permutations(range(len(windows))))
    again = data.draw(st.lists(st.sampled_from(arrivals), max_size=3))
    shuffled = EvidenceState.empty("v1")
    for hour in [*arrivals, *again]:
        shuffled = with_window(shuffled, hour, windows[hour])
    assert shuffled == ordered
    assert decode_evidence(encode_evidence(shuffled)) == ordered


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kinds=st.lists(ROWS, min_size=1, max_size=4), repeats=st.integers(1, 25))
def test_any_windows_have_finite_evidence(
    kinds: list[list[tuple[float | None, str | None]]], repeats: int
) -> None:
    state = EvidenceState.empty("v1")
    for hour in range(len(kinds) * repeats):
        state = with_window(state, hour, kinds[hour % len(kinds)])
    limits = PersistenceSettings(learning_windows=2)
    found = judge_persistence(
        state, baseline=BASELINE.profile, features={}, settings=limits, window_length=HOUR
    )
    assert found.windows == len(kinds) * repeats
    assert math.isfinite(found.value)
    assert found.value >= 0.0
    assert all(math.isfinite(feature.value + feature.shift) for feature in found.features)
    starts = [START + hour * HOUR for hour in range(found.windows)]
    assert all(feature.since in starts for feature in found.features)
    spreads = dispersions(
        state, baseline=BASELINE.profile, before=START + 1000 * HOUR, settings=limits
    )
    assert all(1.0 <= value < math.inf for value in spreads.values())
