"""Production and shadow records are paired by id; what cannot be is counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.columns import Column, RowBatch, TypeCounts
from driftgauge.errors import ExperimentError
from driftgauge.experiments.pairs import PairCounts, outcomes_of_pairs, pair_predictions
from driftgauge.experiments.shadow import PRODUCTION, SHADOW, count_pairs
from driftgauge.experiments.shadow_spec import ShadowSpec
from driftgauge.labels.predictions import predictions_of
from driftgauge.labels.truth import labels_of, merge_labels
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.windows import Window
from tests.unit.quality_world import words
from tests.unit.shadow_world import START, predicted

NOW = int(START.timestamp())
HOUR = Window(START, START + timedelta(hours=1))


def test_records_with_the_same_id_are_paired_row_by_row() -> None:
    pairs = pair_predictions(
        predicted(["a", "b", "c"], sizes=[2, 1, 1]), predicted(["c", "a"], sizes=[1, 2])
    )
    assert pairs.production.ids.tolist() == pairs.shadow.ids.tolist()
    assert pairs.production.row.tolist() == pairs.shadow.row.tolist()
    assert pairs.counts == PairCounts(rows=3, paired=2, production_alone=1)


def test_records_with_other_numbers_of_rows_are_no_pair() -> None:
    pairs = pair_predictions(
        predicted(["a", "b"], sizes=[2, 1]), predicted(["a", "b"], sizes=[3, 1])
    )
    assert pairs.counts == PairCounts(rows=1, paired=1, mismatched=1)


def test_records_that_share_an_id_are_left_out() -> None:
    pairs = pair_predictions(predicted(["a", "a", "b", "c", "c"]), predicted(["a", "b", "b"]))
    assert pairs.production.rows == pairs.shadow.rows == 0
    assert pairs.counts == PairCounts(
        production_alone=2, production_ambiguous=3, shadow_ambiguous=3
    )


def test_nothing_is_paired_with_nothing() -> None:
    assert pair_predictions(predicted([]), predicted([])).counts == PairCounts()
    assert pair_predictions(predicted(["a"]), predicted([])).counts.production_alone == 1
    assert pair_predictions(predicted([]), predicted(["a"])).counts.shadow_alone == 1


def test_a_pair_belongs_to_the_window_in_which_production_answered() -> None:
    production = predicted(["a", "b"], times=[NOW + 3599, NOW + 3601])
    shadow = predicted(["a", "b", "d"], times=[NOW + 3601, NOW + 3599, NOW - 1])
    pairs = pair_predictions(production, shadow, window=HOUR)
    assert pairs.counts == PairCounts(rows=1, paired=1)
    assert pairs.shadow.times.tolist() == [NOW + 3601]


def test_expected_pairs_are_those_sampled_and_no_fewer_than_reached_the_shadow() -> None:
    counts = PairCounts(rows=10, paired=10, production_alone=90)
    assert counts.expected(1.0) == 100
    assert counts.expected(0.1) == 10
    assert counts.expected(0.01) == 10
    with pytest.raises(ExperimentError, match="above 0"):
        counts.expected(0.0)


def batch(names: Sequence[str], scores: Sequence[float], country: Sequence[str]) -> RowBatch:
    """Return captured records of one row."""
    return RowBatch(
        rows=len(names),
        records=len(names),
        columns={
            "score": Column(numbers=np.array(scores), types=TypeCounts(fractional=len(scores))),
            "country": words(list(country)),
        },
        inference_time=np.full(len(names), NOW),
        event_ids=tuple(names),
        record_of_row=np.arange(len(names), dtype=np.int32),
    )


def test_captures_of_both_and_labels_become_counts() -> None:
    production = predictions_of(
        batch("abcd", (0.1, 0.4, 0.9, 0.8), ("NZ", "US", "NZ", "FR")), ["score", "country"]
    )
    shadow = predictions_of(batch("dbca", (0.2, 0.7, 0.8, 0.3), ("??",) * 4), ["score"])
    labels = labels_of(
        [GroundTruth(event_id=name, labels=(1.0,)) for name in "bd"],
        collected=START,
        modified=START,
        digest="0" * 32,
    )
    columns = OutcomeColumns(
        problem="binary",
        label="truth",
        probabilities=("score",),
        classes=("0", "1"),
        segments=("country",),
    )
    pairs = pair_predictions(production, shadow)
    spec = ShadowSpec(problem="binary", classes=("0", "1"), segments={"country": ("NZ", "US")})
    ours, theirs = outcomes_of_pairs(pairs, columns, labels)
    counts = count_pairs(spec, ours, theirs, pairing=pairs.counts)
    whole = counts.whole
    # b: the shadow is right; d: production is; a and c have no label and agree.
    assert (whole.rows, whole.agreed, whole.labelled) == (4, 2, 2)
    assert (whole.differing[PRODUCTION], whole.differing[SHADOW]) == (1, 1)
    assert counts.segments["country", "NZ"].agreed == 2
    unlabelled = count_pairs(
        spec, *outcomes_of_pairs(pairs, columns, merge_labels([])), pairing=pairs.counts
    )
    assert (unlabelled.whole.labelled, unlabelled.whole.agreed) == (0, 2)
