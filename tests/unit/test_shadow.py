"""What is said about a shadow: agreement, who was right, and whether it may go on."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from driftgauge.errors import ExperimentError
from driftgauge.experiments.latency import CELLS, LatencySummary, latency_of
from driftgauge.experiments.pairs import PairCounts
from driftgauge.experiments.proportion import log_evidence, mean_bounds, proportion_bounds
from driftgauge.experiments.shadow import (
    BOTH,
    NEITHER,
    PRODUCTION,
    SHADOW,
    ShadowCounts,
    count_pairs,
)
from driftgauge.experiments.shadow_codec import decode_shadow_counts, encode_shadow_counts
from driftgauge.experiments.shadow_judging import Latencies
from driftgauge.experiments.shadow_settings import ShadowSettings
from driftgauge.experiments.shadow_spec import (
    ShadowSpec,
    shadow_spec,
)
from driftgauge.experiments.shadow_verdict import decode_shadow_verdict, encode_shadow_verdict
from driftgauge.profile.exact import exact_sum
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.spec import specify_outcomes
from tests.unit.quality_world import multiclass
from tests.unit.shadow_world import (
    NUMBERS,
    SPEC,
    counted,
    judged,
    latencies,
    models,
    numbers,
    pairing,
)


def test_agreement_and_who_was_right_are_counted_as_by_hand() -> None:
    production, shadow = models(3_000, shadow_noise=1.5, labelled=0.7)
    counts = count_pairs(SPEC, production, shadow, pairing=pairing(3_000))
    p, s, y = production.predictions, shadow.predictions, production.labels
    known = ~np.isnan(y)
    whole = counts.whole
    assert whole.agreed == int((p == s).sum())
    assert whole.labelled == int(known.sum())
    assert whole.differing[PRODUCTION] == int((known & (p == y) & (s != y)).sum())
    assert whole.differing[SHADOW] == int((known & (p != y) & (s == y)).sum())
    assert whole.agreeing[BOTH] == int((known & (p == y) & (s == y)).sum())
    assert whole.agreeing[NEITHER] == int((known & (p != y) & (s != y)).sum())
    assert production.probabilities is not None and shadow.probabilities is not None
    d = shadow.probabilities - production.probabilities
    assert whole.mean("difference") == pytest.approx(d.mean(), rel=1e-9)
    assert whole.mean("distance") == pytest.approx(np.abs(d).mean(), rel=1e-9)
    brier = (shadow.probabilities - y)[known] ** 2
    assert whole.mean("shadow_loss") == pytest.approx(brier.mean(), rel=1e-9)
    column = production.segments["country"]
    assert column.codes is not None
    in_nz = column.codes == column.words.index("NZ")
    assert counts.segments["country", "NZ"].agreed == int(((p == s) & in_nz).sum())
    assert sum(line.rows for line in counts.segments.values()) == whole.rows


def test_kappa_is_agreement_beyond_that_of_chance() -> None:
    table = [(0.0, 0.0)] * 20 + [(0.0, 1.0)] * 5 + [(1.0, 0.0)] * 10 + [(1.0, 1.0)] * 15

    def side(at: int) -> Outcomes:
        values = np.array([pair[at] for pair in table])
        return Outcomes(
            problem="binary",
            classes=("no", "yes"),
            labels=np.full(50, np.nan),
            predictions=values,
            probabilities=None,
            segments={},
        )

    counts = count_pairs(SPEC, side(0), side(1), pairing=pairing(50))
    assert counts.kappa == pytest.approx(0.4)
    assert counts.whole.mean("difference") is None
    assert judged(counts).difference is None and judged(counts).right is None
    same = count_pairs(
        SPEC, side(0).take(slice(0, 20)), side(0).take(slice(0, 20)), pairing=pairing(20)
    )
    assert same.kappa is None


def test_more_classes_have_transitions_and_a_loss() -> None:
    production, shadow = multiclass(800, seed=1), multiclass(800, seed=1, noise=1.0)
    shadow = replace(shadow, labels=production.labels)
    spec = shadow_spec(specify_outcomes(production))
    verdict = judged(count_pairs(spec, production, shadow, pairing=pairing(800)))
    listed = verdict.transitions
    assert [one.rows for one in listed] == sorted((one.rows for one in listed), reverse=True)
    assert all(one.production != one.shadow for one in listed)
    assert verdict.right is not None and verdict.right.loss is not None
    assert verdict.right.loss.name == "brier_score"


def test_numbers_agree_within_the_tolerance_and_the_closer_one_is_right() -> None:
    production, shadow = numbers(4, seed=3)
    truth = production.labels
    production = replace(production, predictions=truth + np.array([0.0, 0.5, -2.0, np.nan]))
    shadow = replace(shadow, predictions=truth + np.array([0.5, -0.25, -2.0, 1.0]))
    whole = count_pairs(NUMBERS, production, shadow, pairing=pairing(4)).whole
    assert (whole.unusable, whole.agreed) == (1, 3)
    assert (whole.won_by(PRODUCTION), whole.won_by(SHADOW), whole.won_by(BOTH)) == (1, 1, 1)


def test_strange_predictions_are_unusable_and_strange_labels_none() -> None:
    production, shadow = models(6)
    production = replace(production, predictions=np.array([0.0, np.nan, 7.0, -1.0, 0.5, 1.0]))
    production = replace(production, labels=np.array([0.0, 1.0, 1.0, 1.0, 1.0, -1.0]))
    shadow = replace(shadow, predictions=np.ones(6))
    whole = count_pairs(SPEC, production, shadow, pairing=pairing(6)).whole
    assert (whole.unusable, whole.rows, whole.labelled) == (4, 2, 1)


def test_counts_of_different_things_are_refused() -> None:
    production, shadow = models(10)
    with pytest.raises(ExperimentError, match="not those of the same pairs"):
        count_pairs(SPEC, production, shadow, pairing=pairing(9))
    with pytest.raises(ExperimentError, match="are to be compared as"):
        count_pairs(NUMBERS, production, shadow, pairing=pairing(10))
    with pytest.raises(ExperimentError, match="tolerance"):
        ShadowSpec(problem="regression")
    with pytest.raises(ExperimentError, match="regression only"):
        ShadowSpec(problem="binary", classes=("a", "b"), tolerance=1.0)
    other = ShadowSpec(problem="binary", classes=("no", "yes"))
    with pytest.raises(ExperimentError, match="count the older ones again"):
        ShadowCounts.empty(SPEC) + ShadowCounts.empty(other)


def test_a_shadow_like_production_goes_on() -> None:
    verdict = judged(counted(5_000), measured=latencies())
    assert verdict.decision == "advance"
    assert verdict.agreement.low > 0.8
    assert verdict.right is not None and verdict.right.outcome == "open"
    assert verdict.latency is not None and verdict.latency.ratio == 1.0
    assert verdict.ended


def test_a_shadow_waits_for_pairs_labels_and_time() -> None:
    few = judged(counted(500))
    assert few.decision == "continue" and "500 pairs of the 1,000" in few.reason
    unlabelled = judged(counted(2_000, labelled=0.0), min_labelled=100)
    assert unlabelled.decision == "continue" and "0 pairs with a label" in unlabelled.reason
    early = judged(counted(2_000), after=timedelta(minutes=30))
    assert early.decision == "continue" and "shortest duration" in early.reason


def test_a_shadow_whose_agreement_is_near_the_limit_waits() -> None:
    counts = counted(3_000)
    limit = counts.whole.agreed / counts.whole.rows
    verdict = judged(counts, min_agreement=limit)
    assert verdict.decision == "continue" and "is not sure yet" in verdict.reason


def test_a_worse_shadow_is_stopped_by_its_labels() -> None:
    verdict = judged(counted(6_000, shadow_noise=4.0), min_agreement=0.5)
    assert verdict.decision == "stop" and "surely worse" in verdict.reason
    assert verdict.right is not None
    assert verdict.right.p_value < 1e-6
    tolerated = judged(counted(6_000, shadow_noise=4.0), min_agreement=0.5, margin=0.5)
    assert tolerated.decision == "advance"


def test_a_shadow_that_differs_is_stopped_unless_labels_show_that_it_is_better() -> None:
    blind = judged(counted(6_000, production_noise=4.0, labelled=0.0))
    assert blind.decision == "stop" and "surely below 80%" in blind.reason
    seen = judged(counted(6_000, production_noise=4.0))
    assert seen.decision == "advance"
    assert seen.right is not None and seen.right.outcome == "better"


def test_a_shadow_that_fails_to_answer_is_stopped() -> None:
    verdict = judged(counted(3_000, missing=400))
    assert verdict.decision == "stop" and "expected pairs are missing" in verdict.reason
    assert verdict.unpaired.hits == 400
    sampled = judged(counted(3_000, missing=9_000), sampling=0.25, max_unpaired=0.1)
    assert sampled.decision == "advance"


@pytest.mark.parametrize("sampling", [0.1, 0.5])
def test_which_requests_are_copied_is_chance_and_stops_no_sound_shadow(sampling: float) -> None:
    rng = np.random.default_rng(11)
    stopped = 0
    for _ in range(60):
        records = paired = 0
        for _ in range(20):
            records, paired = records + 50, paired + int(rng.binomial(50, sampling))
            verdict = judged(sampled_counts(records, paired), sampling=sampling)
            assert verdict.unpaired.low <= (verdict.unpaired.value or 0.0) <= verdict.unpaired.high
            if verdict.decision == "stop":
                stopped += 1
                break
    assert stopped <= 2


def test_copies_that_are_missing_are_found_whatever_share_is_copied() -> None:
    assert judged(sampled_counts(100_000, 8_000), sampling=0.1).decision == "stop"
    # A fifth of what the shadow answers is not captured of production.
    uncaptured = judged(sampled_counts(80_000, 8_000, shadow_alone=2_000), sampling=0.1)
    assert uncaptured.decision == "stop"
    assert 0.18 < uncaptured.unpaired.low < 0.2 < uncaptured.unpaired.high < 0.26


def sampled_counts(records: int, paired: int, *, shadow_alone: int = 0) -> ShadowCounts:
    """Nothing but the pairing of so many records of production."""
    return replace(
        ShadowCounts.empty(SPEC),
        pairing=PairCounts(
            paired=paired, production_alone=records - paired, shadow_alone=shadow_alone
        ),
    )


def test_a_slow_shadow_is_stopped() -> None:
    measured = latencies(slowdown=2.0, requests=10_000)
    verdict = judged(counted(3_000), measured=measured)
    assert verdict.decision == "stop" and "90% latency" in verdict.reason
    any_ratio = judged(counted(3_000), measured=measured, max_latency_ratio=None)
    assert any_ratio.decision == "advance"


def test_a_shadow_that_may_be_slow_is_looked_at_again() -> None:
    verdict = judged(counted(3_000), measured=latencies(slowdown=2.0, requests=50))
    assert verdict.decision == "continue"
    assert verdict.reason.startswith("The shadow's 90% latency may be too long: 2.0")


@pytest.mark.parametrize("requests", [100, 1_000, 10_000])
def test_equal_latencies_with_heavy_tails_never_stop_a_shadow(requests: int) -> None:
    dice = np.random.default_rng(requests)
    for _ in range(200):
        both = [latency_of(20_000.0 * dice.lognormal(0.0, 1.5, requests)) for _ in range(2)]
        verdict = judged(counted(3_000), measured=Latencies(*both))
        assert verdict.decision != "stop", verdict.reason


def test_numbers_are_judged_by_their_mean_error() -> None:
    def outcome(ours: float, theirs: float) -> str:
        production, shadow = numbers(4_000, production_noise=ours, shadow_noise=theirs)
        spec = replace(NUMBERS, tolerance=4.0)
        counts = count_pairs(spec, production, shadow, pairing=pairing(4_000))
        verdict = judged(counts, min_agreement=0.3)
        return "no labels" if verdict.right is None else verdict.right.outcome

    assert outcome(1.0, 1.5) == "worse"
    assert outcome(1.5, 1.0) == "better"
    assert outcome(1.0, 1.0) == "open"


def test_the_segment_that_agrees_least_comes_first() -> None:
    verdict = judged(counted(8_000, apart="NZ"))
    first, *others = verdict.segments
    assert (first.category, first.apart) == ("NZ", True)
    assert not any(segment.apart for segment in others)


def test_nothing_is_known_of_no_pairs() -> None:
    verdict = judged(ShadowCounts.empty(SPEC))
    assert verdict.decision == "continue"
    assert verdict.agreement.value is None and verdict.segments == ()
    assert decode_shadow_verdict(encode_shadow_verdict(verdict)) == verdict


def test_a_verdict_is_read_as_it_was_written() -> None:
    verdict = judged(counted(4_000, apart="NZ"), measured=latencies())
    assert decode_shadow_verdict(encode_shadow_verdict(verdict)) == verdict
    with pytest.raises(ExperimentError, match="cannot be read"):
        decode_shadow_verdict(b"{}")
    newer = encode_shadow_verdict(replace(verdict, version=2))
    with pytest.raises(ExperimentError, match="version 2"):
        decode_shadow_verdict(newer)


def test_stored_counts_of_other_things_are_refused() -> None:
    data = encode_shadow_counts(counted(50))
    assert decode_shadow_counts(data) == counted(50)
    for wrong in (b"", b"DGQC" + data[4:], data[:4] + b"\x09" + data[5:]):
        with pytest.raises(ExperimentError, match="no counts of a shadow's pairs"):
            decode_shadow_counts(wrong)
    with pytest.raises(ExperimentError, match="pair its window again"):
        decode_shadow_counts(data[:-5])


def test_settings_that_ask_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="nothing is asked"):
        ShadowSettings(min_agreement=0.0, max_unpaired=1.0)


def test_percentiles_of_summaries_are_within_a_cell_of_those_of_the_values() -> None:
    values = np.random.default_rng(2).lognormal(np.log(5_000.0), 0.8, 5_000)
    summary = latency_of(values)
    assert len(summary.counts) == CELLS
    for part in (0.01, 0.5, 0.9, 0.99):
        found = summary.quantile(part)
        assert found is not None
        assert abs(math.log(found / np.quantile(values, part))) < math.log(1.06)
    assert summary.quantile(1.0) == summary.maximum
    assert latency_of(np.zeros(3)).quantile(0.5) == 0.0
    assert LatencySummary().quantile(0.5) is None
    with pytest.raises(ExperimentError, match="latencies with a minimum"):
        LatencySummary(minimum=3, maximum=2)
    with pytest.raises(ExperimentError, match="a summary of latencies has"):
        LatencySummary(counts=(1,))


def test_evidence_against_a_share_is_the_mixture_of_likelihoods() -> None:
    q = (np.arange(200_000) + 0.5) / 200_000
    for hits, trials, p in ((3, 10, 0.5), (90, 100, 0.8), (0, 7, 0.2)):
        mixed = np.mean(q**hits * (1 - q) ** (trials - hits))
        expected = math.log(mixed) - hits * math.log(p) - (trials - hits) * math.log(1 - p)
        assert log_evidence(hits, trials, p) == pytest.approx(expected, abs=1e-6)
    assert log_evidence(1, 2, 0.0) == log_evidence(1, 2, 1.0) == math.inf
    assert proportion_bounds(0, 50, 0.05)[0] == 0.0
    assert proportion_bounds(50, 50, 0.05)[1] == 1.0


def test_bounds_of_a_share_and_of_a_mean_hold_at_all_looks_together() -> None:
    rng = np.random.default_rng(11)
    missed = missed_mean = 0
    for _ in range(300):
        hits = np.cumsum(rng.random(2_000) < 0.3)
        looks = range(20, 2_001, 60)
        missed += any(log_evidence(int(hits[n - 1]), n, 0.3) >= math.log(20.0) for n in looks)
        values = rng.exponential(1.0, 2_000)
        missed_mean += any(
            not low <= 1.0 <= high
            for n in range(100, 2_001, 100)
            for low, high in [
                mean_bounds(
                    total=exact_sum(values[:n]),
                    squares=exact_sum(values[:n] ** 2),
                    rows=n,
                    alpha=0.05,
                    tuned_for=1_000,
                )
                or (0.0, 0.0)
            ]
        )
    assert missed <= 15
    assert missed_mean <= 15
    assert mean_bounds(total=0, squares=0, rows=1, alpha=0.05, tuned_for=10) is None
