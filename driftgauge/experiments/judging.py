"""One metric of an experiment: the inference its plan asks for, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from driftgauge.experiments.arms import Segment
from driftgauge.experiments.bernstein import Bernstein
from driftgauge.experiments.blocks import Blocks, Floats, Series
from driftgauge.experiments.design import harm_scales
from driftgauge.experiments.fixed import Staged
from driftgauge.experiments.plan import ExperimentPlan, MetricRule
from driftgauge.experiments.sequential import Estimates, Inference, Msprt, Sign, estimate
from driftgauge.experiments.verdict import Look, MetricVerdict, Outcome
from driftgauge.experiments.wording import describe_metric

# Enough for a picture.
_MOST_LOOKS = 100


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What is known at the last block; all None if nothing is."""

    low: float | None = None
    high: float | None = None
    p_better: float | None = None
    p_safe: float | None = None
    p_worse: float | None = None
    p_no_gain: float | None = None


def infer(series: Series, rule: MetricRule, plan: ExperimentPlan) -> Inference:
    """Return what can be said about a metric's difference after each block."""
    estimates = estimate(series, plan.clustering)
    if plan.method in ("fixed", "obrien_fleming", "pocock"):
        return Staged(
            estimates=estimates,
            method=plan.method,
            stages=plan.stages,
            planned=rule.information,
        )
    if plan.method == "empirical_bernstein":
        low, high = rule.bounds or (0.0, 1.0)
        return Bernstein(estimates=estimates, series=series, low=low, high=high, guess=rule.mean)
    gains, harms = (rule.scale,), harm_scales(rule.scale)
    up, down = (gains, harms) if rule.better == "higher" else (harms, gains)
    return Msprt(estimates=estimates, scales_up=up, scales_down=down)


def judge_metric(
    blocks: Blocks, rule: MetricRule, plan: ExperimentPlan, segment: Segment | None = None
) -> MetricVerdict:
    """Judge one metric, of all rows or of one segment; a segment has no looks.

    Returns
    -------
    MetricVerdict
        ``insufficient_data`` below ``min_rows`` of either arm, without any variance, and with
        ``clustering: blocks`` below ten blocks.
    """
    champion = blocks.sums("champion", rule.name, segment)
    challenger = blocks.sums("challenger", rule.name, segment)
    series = blocks.series(rule.name, segment)
    evidence = _Evidence()
    looks: tuple[Look, ...] = ()
    difference, dispersion = None, 1.0
    known = False
    if series.blocks:
        inference = infer(series, rule, plan)
        estimates = inference.estimates
        difference = _finite(float(estimates.difference[-1]))
        known = bool(estimates.known[-1])
        known = known and min(champion.rows, challenger.rows) >= plan.min_rows
        bounds = _bounds(inference, rule)
        looks = _looks(blocks, estimates, bounds, plan) if segment is None else ()
        if known:
            evidence = _evidence(inference, rule, bounds)
            dispersion = float(estimates.dispersion[-1])
    outcome: Outcome = "insufficient_data"
    if known and difference is not None:
        outcome = _outcome(rule, evidence, difference)
    found = MetricVerdict(
        name=rule.name,
        role=rule.role,
        better=rule.better,
        outcome=outcome,
        reason="",
        champion=champion.mean,
        challenger=challenger.mean,
        champion_rows=champion.rows,
        challenger_rows=challenger.rows,
        difference=difference,
        low=evidence.low,
        high=evidence.high,
        p_better=evidence.p_better,
        p_safe=evidence.p_safe,
        p_worse=evidence.p_worse,
        p_no_gain=evidence.p_no_gain,
        alpha_better=rule.alpha_better,
        alpha_worse=rule.alpha_worse,
        alpha_no_gain=rule.alpha_no_gain,
        effect=rule.effect,
        margin=rule.margin,
        dispersion=dispersion,
        looks=looks,
    )
    return replace(found, reason=describe_metric(found))


def _direction(rule: MetricRule) -> tuple[Sign, Sign]:
    """Return the sign of a gain and that of a loss."""
    return (1, -1) if rule.better == "higher" else (-1, 1)


def _bounds(inference: Inference, rule: MetricRule) -> tuple[Floats, Floats]:
    """Return the lower and the upper bound after each block, each with its chance of error."""
    gain, loss = _direction(rule)
    against_gain = inference.bound(rule.alpha_better, gain)
    against_loss = inference.bound(rule.alpha_worse, loss)
    return (against_gain, against_loss) if gain == 1 else (against_loss, against_gain)


def _evidence(inference: Inference, rule: MetricRule, bounds: tuple[Floats, Floats]) -> _Evidence:
    gain, loss = _direction(rule)

    def p_value(limit: float, sign: Sign) -> float:
        return min(1.0, math.exp(-float(inference.log_evidence(limit, sign)[-1])))

    return _Evidence(
        low=_finite(float(bounds[0][-1])),
        high=_finite(float(bounds[1][-1])),
        p_better=p_value(0.0, gain),
        p_safe=p_value(-gain * rule.margin, gain),
        p_worse=p_value(0.0, loss),
        p_no_gain=None if rule.effect is None else p_value(gain * rule.effect, loss),
    )


def _outcome(rule: MetricRule, evidence: _Evidence, difference: float) -> Outcome:
    # Surely worse, and as far as can be seen by more than is tolerated: to wait until that is sure
    # as well would cost the traffic of the harm.
    loss = -difference if rule.better == "higher" else difference
    if _at_most(evidence.p_worse, rule.alpha_worse) and loss > rule.margin:
        return "harm"
    if _at_most(evidence.p_better, rule.alpha_better):
        return "better"
    if rule.role == "guardrail":
        return "safe" if _at_most(evidence.p_safe, rule.alpha_better) else "open"
    return "no_gain" if _at_most(evidence.p_no_gain, rule.alpha_no_gain) else "open"


def _at_most(p_value: float | None, alpha: float) -> bool:
    return p_value is not None and p_value <= alpha


def _looks(
    blocks: Blocks, estimates: Estimates, bounds: tuple[Floats, Floats], plan: ExperimentPlan
) -> tuple[Look, ...]:
    """Return the way to the last block, in at most a hundred steps."""
    starts = blocks.starts
    every = -(-len(starts) // _MOST_LOOKS)
    chosen = range(len(starts) - 1, -1, -every)
    looks = []
    for at in sorted(chosen):
        rows = int(estimates.champion_rows[at]), int(estimates.challenger_rows[at])
        enough = min(rows) >= plan.min_rows
        looks.append(
            Look(
                time=starts[at],
                champion_rows=rows[0],
                challenger_rows=rows[1],
                difference=_finite(float(estimates.difference[at])),
                low=_finite(float(bounds[0][at])) if enough else None,
                high=_finite(float(bounds[1][at])) if enough else None,
            )
        )
    return tuple(looks)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
