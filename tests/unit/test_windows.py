"""Windows of inference time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftgauge.windows import Window, WindowGrid, format_duration, parse_duration, parse_time

MOMENTS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(MOMENTS, st.integers(1, 60 * 24 * 40))
def test_every_moment_is_in_exactly_one_window(moment: datetime, minutes: int) -> None:
    grid = WindowGrid(length=timedelta(minutes=minutes))
    window = grid.window_of(moment)
    assert moment in window
    assert grid.window_of(window.start) == window
    assert grid.window_of(window.end).start == window.end


@given(MOMENTS, st.integers(1, 60 * 24 * 40), st.integers(0, 59))
def test_a_window_is_a_whole_number_of_grains(moment: datetime, minutes: int, offset: int) -> None:
    anchor = datetime(2024, 1, 1, 0, offset, tzinfo=UTC)
    grid = WindowGrid(length=timedelta(minutes=minutes), anchor=anchor)
    grains = WindowGrid(length=grid.grain)
    window = grid.window_of(moment)
    assert window.start == grains.window_of(window.start).start
    assert window.end == grains.window_of(window.end).start


def test_windows_of_a_week_start_on_mondays_by_default() -> None:
    grid = WindowGrid(length=timedelta(days=7))
    assert grid.window_of(datetime(2015, 7, 1, tzinfo=UTC)).start.strftime("%A") == "Monday"


def test_between_lists_the_windows_that_overlap() -> None:
    grid = WindowGrid(length=timedelta(hours=1))
    first = datetime(2024, 1, 1, 0, 30, tzinfo=UTC)
    windows = grid.between(first, first + timedelta(hours=1))
    assert [window.start.hour for window in windows] == [0, 1]
    assert Window(first, first) not in windows


@pytest.mark.parametrize("text", ["", "0h", "-1d", "1", "h", "1.5h", "1y", "99999999d"])
def test_what_is_not_a_duration_is_refused_with_the_form_to_use(text: str) -> None:
    with pytest.raises(ValueError, match="15m, 1h, 1d, 2w"):
        parse_duration(text)


@given(st.integers(1, 10**6))
def test_a_duration_reads_back_as_written(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


def test_a_moment_without_offset_is_utc() -> None:
    assert parse_time("2015-07-01T00:00:00") == datetime(2015, 7, 1, tzinfo=UTC)
