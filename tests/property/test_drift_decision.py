"""A verdict exists, and is complete, for any two sets of rows."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftgauge.baseline import build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings
from driftgauge.drift.decision import judge_features
from driftgauge.profile.build import profile_columns

SETTINGS = DecisionSettings(min_rows=10)
NUMBERS = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-1e300, 1e300, allow_nan=False),
    st.sampled_from([0.0, -0.0, 5e-324, -999.0, 1e18]),
)


def numeric(values: list[float]) -> Column:
    return Column(numbers=np.array(values), types=TypeCounts(fractional=len(values)))


def worded(values: list[str]) -> Column:
    distinct = tuple(dict.fromkeys(values))
    codes = np.array([distinct.index(value) for value in values], dtype=np.int32)
    return Column(
        numbers=np.full(len(values), np.nan),
        codes=codes,
        words=distinct,
        types=TypeCounts(text=len(values)),
    )


def columns_of(values: list[tuple[float, str]]) -> dict[str, Column]:
    return {
        "number": numeric([number for number, _ in values]),
        "word": worded([word for _, word in values]),
    }


ROWS = st.lists(
    st.tuples(NUMBERS, st.text(alphabet="abcdefgh", min_size=1, max_size=2)),
    min_size=10,
    max_size=80,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=ROWS, now=ROWS)
def test_any_two_sets_of_rows_have_a_complete_verdict(
    before: list[tuple[float, str]], now: list[tuple[float, str]]
) -> None:
    baseline = build_baseline(
        [Table(rows=len(before), columns=columns_of(before))],
        version="1",
        created=datetime(2015, 7, 1, tzinfo=UTC),
    )
    profile = profile_columns(baseline.spec, columns_of(now), rows=len(now))
    verdicts = judge_features(
        baseline=baseline.profile, profile=profile, decision=SETTINGS, features={}
    )
    assert [verdict.name for verdict in verdicts] == ["number", "word"]
    for verdict in verdicts:
        assert verdict.verdict in ("ok", "drift")
        assert verdict.distance is not None
        assert verdict.effect is not None
        assert verdict.p_value is not None
        assert math.isfinite(verdict.distance)
        assert verdict.distance >= 0.0
        assert verdict.effect <= verdict.distance
        assert 0.0 <= verdict.p_value <= 1.0
        assert len(verdict.moved) <= 5
        labels = [shift.label for shift in verdict.moved]
        assert len(set(labels)) == len(labels)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS)
def test_the_baselines_own_rows_never_drift(rows: list[tuple[float, str]]) -> None:
    baseline = build_baseline(
        [Table(rows=len(rows), columns=columns_of(rows))],
        version="1",
        created=datetime(2015, 7, 1, tzinfo=UTC),
    )
    verdicts = judge_features(
        baseline=baseline.profile, profile=baseline.profile, decision=SETTINGS, features={}
    )
    assert {verdict.verdict for verdict in verdicts} == {"ok"}
