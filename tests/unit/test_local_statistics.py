"""Statistics of values within a range, and shortened waits, of the embedded AWS."""

from __future__ import annotations

import pytest

from local.supplements.state_waits import shortened
from local.supplements.trimmed_statistics import is_range, range_statistic

POINTS = [{"Value": value} for value in (100.0, 200.0, 300.0)] + [{"Value": 400.0, "Count": 2.0}]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("TC(:200)", 2.0),  # the upper end is in it
        ("TC(200:)", 3.0),  # the lower end is not
        ("TC(500:)", 0.0),
        ("TS(100:300)", 500.0),
        ("TM(100:400)", 325.0),
        ("TM(500:)", None),
        ("PR(:300)", 60.0),
    ],
)
def test_ranges_leave_their_lower_end_out(statistic: str, expected: float | None) -> None:
    assert range_statistic(POINTS, statistic) == expected


def test_statistic_sets_of_unequal_values_have_no_ranges() -> None:
    unequal = {"SampleCount": 2.0, "Sum": 3.0, "Minimum": 1.0, "Maximum": 2.0}
    assert range_statistic([{"Value": 1.5, "_stat": unequal}], "TC(:2)") is None
    assert range_statistic([], "TC(:2)") is None


def test_ranges_of_percentiles_are_not_taken_for_ranges_of_values() -> None:
    assert [is_range(name) for name in ("TC(:1)", "TM(10%:90%)", "p90", "Average")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_wait_is_shortened_but_never_to_nothing() -> None:
    assert [shortened(s, haste=60) for s in (600, 60, 1, 0)] == [10.0, 1.0, 0.2, 0.0]
