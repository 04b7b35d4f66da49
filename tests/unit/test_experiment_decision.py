"""What is decided about a challenger, and what is planned before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm, sums_of_rate, sums_of_values
from driftgauge.experiments.blocks import Blocks
from driftgauge.experiments.plan import decode_plan, encode_plan, plan_experiment
from driftgauge.experiments.settings import (
    ExperimentSettings,
    GuardrailSettings,
    MetricSettings,
    PrimarySettings,
)
from driftgauge.experiments.verdict import (
    decode_experiment_verdict,
    encode_experiment_verdict,
)
from tests.unit.experiment_world import HOUR, PAST, arm, blocks, judged, plan

EQUAL = {"accuracy": 0.9, "errors": 0.1}
GOOD = {"accuracy": 0.94, "errors": 0.1}
BAD = {"accuracy": 0.86, "errors": 0.1}


def test_a_better_challenger_is_promoted() -> None:
    verdict = judged(blocks(40, arm(200, EQUAL), arm(200, GOOD)), plan())
    assert verdict.decision == "promote"
    assert verdict.ended
    assert verdict.primary.outcome == "better"
    assert verdict.primary.difference == pytest.approx(0.04)
    assert verdict.primary.low is not None and verdict.primary.low > 0
    assert "accuracy is surely better: 0.94 against 0.9" in verdict.reason


def test_nothing_is_promoted_before_the_shortest_duration() -> None:
    found = blocks(40, arm(200, EQUAL), arm(200, GOOD))
    verdict = judged(found, plan(min_duration="7d"), after=timedelta(days=6))
    assert verdict.decision == "continue"
    assert "The shortest duration is not over yet" in verdict.reason
    assert judged(found, plan(min_duration="7d"), after=timedelta(days=7)).decision == "promote"


def test_an_equal_challenger_is_kept_out() -> None:
    found = blocks(60, arm(200, EQUAL), arm(200, EQUAL))
    verdict = judged(found, plan())
    assert verdict.decision == "keep"
    assert verdict.primary.outcome == "no_gain"
    assert "surely gains less than the effect of 0.02" in verdict.reason


def test_an_equal_challenger_is_watched_as_long_as_it_may_still_win() -> None:
    verdict = judged(blocks(12, arm(200, EQUAL), arm(200, EQUAL)), plan())
    assert verdict.decision == "continue"
    assert verdict.primary.outcome == "open"
    assert 0 < verdict.progress < 1


def test_a_harmful_challenger_is_stopped_at_once() -> None:
    verdict = judged(
        blocks(30, arm(200, EQUAL), arm(200, BAD)), plan(), after=timedelta(minutes=30)
    )
    assert verdict.decision == "stop: harm"
    assert verdict.primary.outcome == "harm"
    assert verdict.primary.high is not None and verdict.primary.high < 0


def test_a_broken_guardrail_stops_a_better_challenger() -> None:
    worse = {"accuracy": 0.94, "errors": 0.15}
    verdict = judged(blocks(40, arm(200, EQUAL), arm(200, worse)), plan(guarded=True))
    assert verdict.decision == "stop: harm"
    assert [metric.outcome for metric in verdict.metrics] == ["better", "harm"]
    assert verdict.reason.startswith("errors is surely worse, beyond the margin of 0.02")


def test_a_loss_within_the_margin_does_not_stop() -> None:
    slightly = {"accuracy": 0.94, "errors": 0.11}
    verdict = judged(blocks(400, arm(200, EQUAL), arm(200, slightly)), plan(guarded=True))
    guardrail = verdict.guardrails[0]
    assert guardrail.p_worse is not None and guardrail.p_worse <= guardrail.alpha_worse
    assert guardrail.outcome == "safe"
    assert verdict.decision == "promote"


def test_a_guardrail_that_is_not_sure_yet_delays_the_promotion() -> None:
    better = {"accuracy": 0.95, "errors": 0.1}
    verdict = judged(blocks(14, arm(200, EQUAL), arm(200, better)), plan(guarded=True))
    assert verdict.primary.outcome == "better"
    assert verdict.guardrails[0].outcome == "open"
    assert verdict.decision == "continue"


def test_the_champion_stays_when_the_traffic_is_used_up() -> None:
    slightly = {"accuracy": 0.912, "errors": 0.1}
    planned = plan()
    count = round(planned.requests / 400) + 1
    verdict = judged(blocks(count, arm(200, EQUAL), arm(200, slightly)), planned)
    assert verdict.progress >= 1
    assert verdict.decision == "keep"
    assert verdict.reason.startswith("The planned traffic is used up. accuracy is undecided")


def test_the_champion_stays_when_the_time_is_over() -> None:
    verdict = judged(Blocks(), plan(max_duration="3d"), after=timedelta(days=3))
    assert verdict.decision == "keep"
    assert verdict.reason.startswith("The planned time is used up. accuracy has too few rows")
    assert verdict.primary.difference is None
    assert verdict.progress == 0


def test_a_lower_loss_is_better() -> None:
    rng = np.random.default_rng(3)

    def losses(mean: float) -> Arm:
        values = rng.gamma(2.0, mean / 2.0, 300)
        return Arm(requests=300, metrics={"log_loss": sums_of_values(values)})

    by = plan_experiment(
        ExperimentSettings(primary=PrimarySettings(name="log_loss")),
        past=losses(0.5),
        period=timedelta(hours=1),
    )
    found = blocks(40, losses(0.5), losses(0.42))
    assert judged(found, by).decision == "promote"
    assert judged(blocks(40, losses(0.42), losses(0.5)), by).decision == "stop: harm"


def test_requests_that_are_assigned_wrongly_end_the_experiment() -> None:
    verdict = judged(blocks(40, arm(250, EQUAL), arm(200, GOOD)), plan())
    assert verdict.mismatch.mismatch
    assert verdict.decision == "keep"
    assert verdict.reason.startswith("The challenger received 44.44 % of the requests")


def test_a_harmed_segment_keeps_out_a_challenger_that_is_better_as_a_whole() -> None:
    champion = arm(200, EQUAL, segment=0.9)
    challenger = arm(200, GOOD, segment=0.7)
    verdict = judged(blocks(40, champion, challenger), plan())
    assert verdict.decision == "keep"
    assert verdict.segments[0].metric.outcome == "harm"
    assert verdict.segments[0].metric.looks == ()
    assert "But a segment is harmed. In country = NZ: accuracy is surely worse" in verdict.reason


def test_with_few_blocks_the_dispersion_is_not_known() -> None:
    found = blocks(9, arm(2000, EQUAL), arm(2000, GOOD))
    assert judged(found, plan()).primary.outcome == "insufficient_data"
    assert judged(found, plan()).decision == "continue"
    assert judged(found, plan(clustering="none")).decision == "promote"


def test_with_few_rows_nothing_is_judged() -> None:
    found = blocks(12, arm(8, EQUAL), arm(8, {"accuracy": 0.0, "errors": 1.0}))
    verdict = judged(found, plan())
    assert verdict.primary.outcome == "insufficient_data"
    assert (verdict.primary.low, verdict.primary.p_worse) == (None, None)
    assert verdict.decision == "continue"


def test_arms_without_any_variance_say_nothing() -> None:
    same = {"accuracy": 1.0, "errors": 0.0}
    verdict = judged(blocks(12, arm(200, same), arm(200, same)), plan())
    assert verdict.primary.outcome == "insufficient_data"


def test_the_way_to_the_decision_is_told_in_at_most_a_hundred_looks() -> None:
    verdict = judged(blocks(250, arm(20, EQUAL), arm(20, GOOD)), plan())
    looks = verdict.primary.looks
    assert 50 < len(looks) <= 100
    assert looks[-1].champion_rows == verdict.primary.champion_rows == 5000
    assert (looks[-1].low, looks[-1].high) == (verdict.primary.low, verdict.primary.high)
    assert [look.time for look in looks] == sorted(look.time for look in looks)
    widths = [look.high - look.low for look in looks if look.low is not None and look.high]
    assert widths == sorted(widths, reverse=True)
    assert looks[0].low is None


def test_a_verdict_is_read_as_it_was_written() -> None:
    found = blocks(40, arm(200, EQUAL, segment=0.9), arm(200, GOOD, segment=0.8))
    verdict = judged(found, plan(guarded=True))
    assert decode_experiment_verdict(encode_experiment_verdict(verdict)) == verdict
    empty = judged(Blocks(), plan())
    assert decode_experiment_verdict(encode_experiment_verdict(empty)) == empty


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"version": 2}'])
def test_what_is_no_verdict_is_refused(damage: bytes) -> None:
    with pytest.raises(ExperimentError, match=r"experiment\.json"):
        decode_experiment_verdict(damage)


def test_a_verdict_of_another_version_or_without_a_metric_is_refused() -> None:
    verdict = judged(Blocks(), plan())
    with pytest.raises(ExperimentError, match="version 2"):
        decode_experiment_verdict(encode_experiment_verdict(replace(verdict, version=2)))
    with pytest.raises(ExperimentError, match="no primary metric"):
        decode_experiment_verdict(encode_experiment_verdict(replace(verdict, metrics=())))


def test_a_plan_is_read_as_it_was_written() -> None:
    planned = plan(guarded=True)
    assert decode_plan(encode_plan(planned)) == planned
    with pytest.raises(ExperimentError, match="version 3"):
        decode_plan(encode_plan(replace(planned, version=3)))
    with pytest.raises(ExperimentError, match="no metric"):
        decode_plan(encode_plan(replace(planned, rules=())))
    with pytest.raises(ExperimentError, match="cannot be read"):
        decode_plan(b"[]")


def test_a_fixed_horizon_needs_the_rows_of_the_textbook() -> None:
    # 2 p (1 - p) (1.96 + 1.2816)^2 / effect^2, of each arm.
    expected = 2 * 0.09 * (1.959964 + 1.281552) ** 2 / 0.02**2
    (needed,) = plan(method="fixed").requirements
    assert needed.challenger_rows == pytest.approx(expected, rel=1e-3)
    assert needed.champion_rows == needed.challenger_rows
    assert needed.days == pytest.approx(2 * expected / 10_000, rel=1e-3)
    assert needed.power == pytest.approx(0.9, abs=1e-3)


def test_an_always_valid_test_needs_more_rows_but_ends_earlier() -> None:
    (fixed,) = plan(method="fixed").requirements
    (always,) = plan().requirements
    assert 1.3 < always.requests / fixed.requests < 1.9
    assert always.days_if_found < 0.9 * fixed.days
    assert always.days_if_equal < fixed.days


def test_a_small_share_of_traffic_takes_longer() -> None:
    (half,) = plan().requirements
    (tenth,) = plan(share=0.1).requirements
    assert tenth.requests == pytest.approx(half.requests * 0.25 / 0.09, rel=1e-3)
    assert tenth.champion_rows == pytest.approx(9 * tenth.challenger_rows, rel=1e-3)


def test_a_plan_is_cut_to_the_time_there_is_and_says_what_that_costs() -> None:
    small = plan_experiment(
        ExperimentSettings(
            primary=PrimarySettings(name="accuracy", effect=0.02), max_duration=timedelta(days=1)
        ),
        past=PAST,
        period=timedelta(days=20),
    )
    assert small.days == pytest.approx(1.0)
    assert small.requests == 5000
    assert 0.05 < small.requirements[0].power < 0.9


def test_segments_need_more_traffic_than_the_whole() -> None:
    segments = {
        ("country", "NZ"): {"accuracy": sums_of_rate(18_000, 20_000)},
        ("country", "AU"): {"accuracy": sums_of_rate(72_000, 80_000)},
        ("country", "TV"): {"accuracy": sums_of_rate(0, 0)},
    }
    past = replace(PAST, segments=segments)
    planned = plan_experiment(
        ExperimentSettings(primary=PrimarySettings(name="accuracy", effect=0.02)),
        past=past,
        period=timedelta(days=10),
    )
    whole, australia, zealand = planned.requirements
    assert (whole.column, australia.category, zealand.category) == (None, "AU", "NZ")
    assert whole.days < australia.days < zealand.days
    assert zealand.power < australia.power < whole.power


def test_relative_effects_become_numbers_before_the_experiment() -> None:
    settings = ExperimentSettings(
        primary=PrimarySettings(name="accuracy", relative_effect=0.01),
        guardrails=(GuardrailSettings(name="errors", better="lower", relative_margin=0.2),),
    )
    planned = plan_experiment(settings, past=PAST, period=timedelta(days=10))
    assert planned.primary.effect == pytest.approx(0.009)
    assert planned.rules[1].margin == pytest.approx(0.02)
    assert planned.rules[1].alpha_worse == planned.primary.alpha_worse == pytest.approx(0.0125)


def test_a_plan_needs_a_past() -> None:
    settings = ExperimentSettings(primary=PrimarySettings(name="accuracy"))
    day = timedelta(days=1)
    with pytest.raises(ExperimentError, match="no requests"):
        plan_experiment(settings, past=Arm(), period=day)
    with pytest.raises(ExperimentError, match="no accuracy"):
        plan_experiment(settings, past=Arm(requests=5), period=day)
    never = Arm(requests=50, metrics={"accuracy": sums_of_rate(50, 50)})
    with pytest.raises(ExperimentError, match="never changes"):
        plan_experiment(settings, past=never, period=day)
    centered = Arm(requests=2, metrics={"gain": sums_of_values(np.array([-1.0, 1.0]))})
    gain = ExperimentSettings(primary=PrimarySettings(name="gain", better="higher"))
    with pytest.raises(ExperimentError, match="give the effect in units"):
        plan_experiment(gain, past=centered, period=day)


def test_wrong_settings_are_named() -> None:
    primary = PrimarySettings(name="accuracy")
    with pytest.raises(ValidationError, match="is a higher or a lower 'latency' better"):
        MetricSettings(name="latency")
    with pytest.raises(ValidationError, match="low and high go together"):
        MetricSettings(name="accuracy", low=0.0)
    with pytest.raises(ValidationError, match="low must be below high"):
        MetricSettings(name="accuracy", low=1.0, high=0.0)
    with pytest.raises(ValidationError, match="'accuracy' is there already"):
        ExperimentSettings(primary=primary, guardrails=(GuardrailSettings(name="accuracy"),))
    with pytest.raises(ValidationError, match="min_duration must not exceed"):
        ExperimentSettings(primary=primary, max_duration=HOUR)
    with pytest.raises(ValidationError, match="log_loss: empirical_bernstein needs its bounds"):
        ExperimentSettings(primary=PrimarySettings(name="log_loss"), method="empirical_bernstein")


@pytest.mark.parametrize("method", ["empirical_bernstein", "fixed", "obrien_fleming", "pocock"])
def test_every_method_promotes_the_better_and_stops_the_harmful(method: str) -> None:
    by = plan(method=method)
    champion, good, bad = (arm(250, shares) for shares in (EQUAL, GOOD, BAD))
    count = round(by.requests / 500) + 1
    assert judged(blocks(count, champion, good), by).decision == "promote"
    assert judged(blocks(count, champion, bad), by).decision == "stop: harm"


def test_a_fixed_horizon_decides_nothing_before_its_end() -> None:
    by = plan(method="fixed")
    champion, good = arm(200, EQUAL), arm(200, GOOD)
    count = -(-by.requests // 400)
    verdict = judged(blocks(count - 1, champion, good), by)
    assert verdict.decision == "continue"
    assert (verdict.primary.low, verdict.primary.high) == (None, None)
    assert judged(blocks(count, champion, good), by).decision == "promote"
