"""How far labels have arrived, and how far they usually have."""

from __future__ import annotations

import numpy as np
import pytest

from driftgauge.labels.standing import (
    DELAY_EDGES,
    LabelCounts,
    delay_bins,
    sum_label_counts,
    usual_coverage,
)

HOUR, DAY = 3600.0, 86_400.0


def counts_of(delays: list[int], *, rows: int) -> LabelCounts:
    return LabelCounts(
        rows=rows,
        records=rows,
        labelled=len(delays),
        delays=delay_bins(np.array(delays, dtype=np.int64)),
    )


def test_counts_add_up() -> None:
    one, other = counts_of([10, 100], rows=3), counts_of([100_000], rows=1)
    total = sum_label_counts([one, other])
    assert total == counts_of([10, 100, 100_000], rows=4)
    assert sum_label_counts([]) == LabelCounts()


def test_every_delay_has_a_bin() -> None:
    delays = [-3600, 0, 59, 60, 10**9]
    found = delay_bins(np.array(delays, dtype=np.int64))
    assert sum(found) == len(delays)
    assert (found[0], found[1], found[-1]) == (3, 1, 1)


def test_no_delays_are_counted_as_none() -> None:
    assert sum(delay_bins(np.zeros(0, dtype=np.int64))) == 0


def test_the_median_delay_is_right_within_a_bin() -> None:
    generator = np.random.default_rng(3)
    delays = generator.lognormal(10, 1.5, 5001).astype(np.int64)
    found = counts_of(delays.tolist(), rows=9000).median_delay
    assert found == pytest.approx(float(np.median(delays)), rel=0.05)


def test_without_labels_there_is_no_median_delay() -> None:
    assert counts_of([], rows=5).median_delay is None
    assert counts_of([10**9], rows=1).median_delay == DELAY_EDGES[-1]


def test_coverage_at_an_age_grows_to_the_coverage() -> None:
    counts = counts_of([600] * 5 + [40_000] * 3, rows=10)
    shares = [counts.coverage_at(age) for age in (0.0, HOUR, DAY, 365 * DAY)]
    assert shares == pytest.approx([0.0, 0.5, 0.8, 0.8])
    assert counts.coverage == 0.8


def test_rows_of_a_long_window_are_older_than_its_end() -> None:
    generator = np.random.default_rng(5)
    moments = generator.uniform(0, DAY, 40_000)
    delays = generator.exponential(6 * HOUR, 40_000)
    counts = counts_of(delays.astype(np.int64).tolist(), rows=40_000)
    for age in (0.0, 2 * HOUR, 12 * HOUR):
        known = float((moments + delays <= DAY + age).mean())
        assert counts.coverage_at(age, span=DAY) == pytest.approx(known, abs=0.01)


def test_what_is_usual_is_the_median_of_windows_that_are_old_enough() -> None:
    earlier = [(counts_of([600] * labelled, rows=10), 10 * DAY) for labelled in (5, 9, 6)]
    assert usual_coverage(earlier, DAY) == pytest.approx(0.6)
    assert usual_coverage([*earlier, (counts_of([], rows=10), HOUR)], DAY) == pytest.approx(0.6)


def test_nothing_is_usual_after_two_windows() -> None:
    earlier = [(counts_of([600], rows=10), 10 * DAY)] * 2
    assert usual_coverage(earlier, DAY) is None
    assert usual_coverage([*earlier, (LabelCounts(), 10 * DAY)], DAY) is None
    assert usual_coverage([*earlier, (counts_of([600], rows=10), HOUR)], DAY) is None
