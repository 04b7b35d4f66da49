"""The decision on a challenger: promote it, keep the champion, wait, or stop because of harm.

A pure function of the plan, the blocks so far and the time: it may be called after every block, or
every minute, and the chances of error are those of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftgauge.experiments.blocks import Blocks
from driftgauge.experiments.judging import judge_metric
from driftgauge.experiments.mismatch import judge_mismatch
from driftgauge.experiments.plan import ExperimentPlan, segment_rule
from driftgauge.experiments.sequential import estimate
from driftgauge.experiments.verdict import (
    Decision,
    ExperimentVerdict,
    MetricVerdict,
    MismatchVerdict,
    SegmentVerdict,
)
from driftgauge.experiments.wording import describe_mismatch, listed


@dataclass(frozen=True, kw_only=True)
class _State:
    """All that a decision is made of."""

    metrics: tuple[MetricVerdict, ...]
    segments: tuple[SegmentVerdict, ...]
    mismatch: MismatchVerdict
    elapsed: float
    progress: float


def judge_experiment(
    blocks: Blocks,
    plan: ExperimentPlan,
    *,
    experiment: str,
    champion: str,
    challenger: str,
    started: datetime,
    evaluated_at: datetime,
) -> ExperimentVerdict:
    """Judge an experiment at one look.

    Parameters
    ----------
    blocks : Blocks
        All of its traffic so far.
    plan : ExperimentPlan
        Made before it started.
    experiment, champion, challenger : str
        Names.
    started, evaluated_at : datetime
        The time between counts for the plan's earliest promotion and for its end.

    Returns
    -------
    ExperimentVerdict
        In this order: ``stop: harm`` if any metric is surely worse, and by more than its margin;
        ``keep`` if requests are not assigned as planned; ``promote`` if the primary metric is
        surely better, all guardrails are surely within their margins and no segment is surely
        worse (else ``keep``); ``keep`` if the primary metric surely gains less than the effect,
        or the planned traffic or time is used up; else ``continue``.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> from driftgauge.experiments.arms import Arm, sums_of_rate
    >>> from driftgauge.experiments.blocks import Block, blocks_of
    >>> from driftgauge.experiments.plan import plan_experiment
    >>> from driftgauge.experiments.settings import ExperimentSettings, PrimarySettings
    >>> def arm(right: int) -> Arm:
    ...     return Arm(requests=500, metrics={"accuracy": sums_of_rate(right, 500)})
    >>> plan = plan_experiment(
    ...     ExperimentSettings(primary=PrimarySettings(name="accuracy", effect=0.02)),
    ...     past=arm(450), period=timedelta(hours=1),
    ... )
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> blocks = blocks_of(
    ...     Block(start=start + i * timedelta(hours=2), share=0.5,
    ...           champion=arm(450), challenger=arm(465))
    ...     for i in range(12)
    ... )
    >>> verdict = judge_experiment(
    ...     blocks, plan, experiment="demo", champion="a", challenger="b",
    ...     started=start, evaluated_at=start + timedelta(days=1),
    ... )
    >>> verdict.decision
    'promote'
    >>> print(verdict.reason)
    accuracy is surely better: 0.93 against 0.9, a difference of +0.03 (+0.01442 to +0.04629).
    """
    metrics = tuple(judge_metric(blocks, rule, plan) for rule in plan.rules)
    state = _State(
        metrics=metrics,
        segments=_judge_segments(blocks, plan),
        mismatch=judge_mismatch(blocks, alpha=plan.mismatch_alpha),
        elapsed=(evaluated_at - started).total_seconds(),
        progress=_progress(blocks, plan),
    )
    decision, reason = _decide(state, plan)
    return ExperimentVerdict(
        experiment=experiment,
        champion=champion,
        challenger=challenger,
        started=started,
        evaluated_at=evaluated_at,
        decision=decision,
        reason=reason,
        method=plan.method,
        alpha=plan.alpha,
        metrics=metrics,
        mismatch=state.mismatch,
        segments=state.segments,
        progress=state.progress,
        planned_champion_rows=round(plan.primary.information / plan.share),
        planned_challenger_rows=round(plan.primary.information / (1.0 - plan.share)),
    )


def _judge_segments(blocks: Blocks, plan: ExperimentPlan) -> tuple[SegmentVerdict, ...]:
    """Judge the primary metric in each segment, those that do worst first."""
    names = [s for s in blocks.segments if blocks.sums("champion", plan.primary.name, s).rows]
    found = [
        SegmentVerdict(
            column=name[0],
            category=name[1],
            metric=judge_metric(blocks, segment_rule(plan.primary, len(names)), plan, name),
        )
        for name in names
    ]
    return tuple(sorted(found, key=lambda one: 1.0 if (p := one.metric.p_worse) is None else p))


def _progress(blocks: Blocks, plan: ExperimentPlan) -> float:
    """Return the share of the planned information of the metric that has least of it."""
    if not len(blocks):
        return 0.0
    found = []
    for rule in plan.rules:
        estimates = estimate(blocks.series(rule.name), plan.clustering)
        found.append(float(estimates.information[-1]) / rule.information)
    return min(found)


def _decide(state: _State, plan: ExperimentPlan) -> tuple[Decision, str]:
    metrics, primary = state.metrics, state.metrics[0]
    if harmed := [metric for metric in metrics if metric.outcome == "harm"]:
        return "stop: harm", listed(harmed)
    if state.mismatch.mismatch:
        return "keep", f"{describe_mismatch(state.mismatch)} Nothing can be concluded."
    undecided = [m for m in metrics[1:] if m.outcome not in ("better", "safe")]
    early = state.elapsed < plan.min_seconds
    if primary.outcome == "better" and not undecided:
        return _promote(state, early)
    if primary.outcome == "no_gain" and not early:
        return "keep", primary.reason
    known = all(metric.outcome != "insufficient_data" for metric in metrics)
    over = state.elapsed >= plan.max_seconds
    waiting = listed([primary, *undecided])
    if over or (known and state.progress >= 1.0):
        used = "time" if over else "traffic"
        return "keep", f"The planned {used} is used up. {waiting}"
    return "continue", waiting


def _promote(state: _State, early: bool) -> tuple[Decision, str]:
    """Decide on a challenger that is better as a whole."""
    worse = [one for one in state.segments if one.metric.outcome == "harm"]
    if worse:
        named = " ".join(f"In {s.column} = {s.category}: {s.metric.reason}" for s in worse)
        return "keep", f"{listed([state.metrics[0]])} But a segment is harmed. {named}"
    if early:
        return "continue", f"{listed(list(state.metrics))} The shortest duration is not over yet."
    return "promote", listed(list(state.metrics))
