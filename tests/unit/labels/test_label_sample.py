"""The sample of rows that attributions are computed for."""

from __future__ import annotations

import numpy as np
import pytest

from driftgauge.errors import LabelError
from driftgauge.labels.sample import merge_sampled_rows, sample_of
from tests.unit.labels.world import Record, batch_of, values_of


def test_a_small_batch_is_sampled_whole() -> None:
    batch = batch_of([Record("a", 0, (0.1, 0.2)), Record("b", 0, (0.3,))])
    sample = sample_of(batch, ["p"], most=3)
    assert sorted(map(str, values_of(sample.columns["p"]))) == ["0.1", "0.2", "0.3"]
    assert (sample.rows, sample.population, sample.threshold) == (3, 3, None)


def test_the_sample_of_a_union_is_the_sample_of_the_samples() -> None:
    records = [Record(f"id-{i}", 0, (i / 1000, -i / 1000)) for i in range(1, 900)]
    whole = sample_of(batch_of(records), ["p"], most=50)
    parts = [sample_of(batch_of(records[i::7]), ["p"], most=50) for i in range(7)]
    merged = merge_sampled_rows(parts)
    assert whole.rows == 50
    assert merged.keys.tolist() == whole.keys.tolist()
    assert values_of(merged.columns["p"]) == values_of(whole.columns["p"])
    assert (merged.population, merged.threshold) == (whole.population, whole.threshold)


def test_the_sample_is_uniform_over_rows_and_places() -> None:
    records = [Record(f"id-{i}", 0, tuple(float(row) for row in range(10))) for i in range(4000)]
    sample = sample_of(batch_of(records), ["p"], most=5000)
    counts = np.bincount(sample.columns["p"].numbers.astype(np.intp), minlength=10)
    expected = 500.0
    # Nine degrees of freedom: 27.9 is the 99.9th percentile.
    assert float(((counts - expected) ** 2 / expected).sum()) < 27.9


def test_rows_of_a_repeated_record_stay_or_go_together() -> None:
    records = [Record("a", time, (0.5,)) for time in range(5)]
    assert sample_of(batch_of(records), ["p"], most=5).rows == 5
    cut = sample_of(batch_of(records), ["p"], most=3)
    assert (cut.rows, cut.population) == (0, 5)


def test_an_empty_batch_has_an_empty_sample() -> None:
    nothing = sample_of(batch_of([]), ["p"], most=5)
    some = sample_of(batch_of([Record("a", 0, (0.5,))]), ["p"], most=5)
    assert (nothing.rows, nothing.population) == (0, 0)
    assert (nothing + some).keys.tolist() == some.keys.tolist()


def test_a_sample_of_no_rows_is_refused() -> None:
    with pytest.raises(LabelError, match="one row at least"):
        sample_of(batch_of([]), ["p"], most=0)
    with pytest.raises(LabelError, match="give one"):
        merge_sampled_rows([])
