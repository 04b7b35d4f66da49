"""The decision on a shadow: let it go on, wait, or stop it.

A pure function of the counts so far and the time. All bounds hold however often one looks.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple

from driftgauge.experiments.latency import LatencySummary
from driftgauge.experiments.pairs import PairCounts
from driftgauge.experiments.proportion import log_evidence, mean_bounds, proportion_bounds
from driftgauge.experiments.shadow import (
    BOTH,
    NEITHER,
    PRODUCTION,
    SHADOW,
    UNLABELLED,
    PairedRows,
    ShadowCounts,
)
from driftgauge.experiments.shadow_settings import ShadowSettings
from driftgauge.experiments.shadow_verdict import (
    LatencyFigures,
    LatencyVerdict,
    LossChange,
    ScoreDifference,
    ShadowDecision,
    ShadowSegment,
    ShadowVerdict,
    Share,
    Transition,
    WhoWasRight,
)

# Unpaired records, agreement, who is right, latency: what is decided by.
_BOUNDS = 4
_MOST_TRANSITIONS = 10
_LEAST_REQUESTS = 100


class Latencies(NamedTuple):
    """How long the requests of both variants took."""

    production: LatencySummary
    shadow: LatencySummary


def judge_shadow(
    counts: ShadowCounts,
    *,
    settings: ShadowSettings,
    experiment: str,
    production: str,
    shadow: str,
    started: datetime,
    evaluated_at: datetime,
    latencies: Latencies | None = None,
) -> ShadowVerdict:
    """Judge a shadow at one look.

    Parameters
    ----------
    counts : ShadowCounts
        Of all pairs so far.
    settings : ShadowSettings
    experiment, production, shadow : str
        Names.
    started, evaluated_at : datetime
        The time between counts for the shortest duration.
    latencies : Latencies, optional

    Returns
    -------
    ShadowVerdict
        ``stop`` if too many pairs are surely missing, labels surely show that the shadow is worse
        by more than the margin, predictions surely agree too seldom (and labels do not show that
        the shadow is better), or the shadow is too slow. Else ``continue`` until there are enough
        pairs, labels and time, and it is sure that enough pairs are there and agree. Else
        ``advance``. That pairs are independent of each other is assumed.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> from driftgauge.experiments.shadow_spec import ShadowSpec
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> judge_shadow(
    ...     ShadowCounts.empty(ShadowSpec(problem="binary", classes=("no", "yes"))),
    ...     settings=ShadowSettings(), experiment="demo", production="blue", shadow="green",
    ...     started=start, evaluated_at=start + timedelta(days=1),
    ... ).reason
    '0 pairs of the 1,000 that it takes to go on.'
    """
    whole, alpha = counts.whole, settings.alpha / _BOUNDS
    verdict_of = _State(
        pairs=whole.rows,
        labelled=whole.labelled,
        elapsed=(evaluated_at - started).total_seconds(),
        unpaired=_unpaired(counts.pairing, settings.sampling, alpha),
        agreement=_share(whole.agreed, whole.rows, alpha),
        right=_who_was_right(whole, counts, settings),
        latency=None if latencies is None else _latency(latencies, settings),
    )
    decision, reason = _decide(verdict_of, settings)
    return ShadowVerdict(
        experiment=experiment,
        production=production,
        shadow=shadow,
        started=started,
        evaluated_at=evaluated_at,
        decision=decision,
        reason=reason,
        problem=counts.spec.problem,
        alpha=settings.alpha,
        pairing=counts.pairing,
        unpaired=verdict_of.unpaired,
        max_unpaired=settings.max_unpaired,
        min_agreement=settings.min_agreement,
        unusable=whole.unusable,
        agreement=verdict_of.agreement,
        kappa=counts.kappa,
        tolerance=counts.spec.tolerance,
        transitions=_transitions(counts),
        difference=_difference(whole, counts, settings),
        right=verdict_of.right,
        segments=_segments(counts, settings),
        latency=verdict_of.latency,
    )


class _State(NamedTuple):
    """All that a decision is made of."""

    pairs: int
    labelled: int
    elapsed: float
    unpaired: Share
    agreement: Share
    right: WhoWasRight | None
    latency: LatencyVerdict | None

    @property
    def outcome(self) -> str:
        return "open" if self.right is None else self.right.outcome


def _share(hits: int, trials: int, alpha: float) -> Share:
    low, high = proportion_bounds(hits, trials, alpha)
    return Share(hits=hits, trials=trials, low=low, high=high)


def _unpaired(pairing: PairCounts, sampling: float, alpha: float) -> Share:
    """Return the share of the expected pairs that are missing.

    Where only some requests are copied, how many should have been is chance: the bounds are those
    of the share of production's records that have a partner, relative to the sampling, and of the
    shadow's records that have none; the larger share counts.
    """
    expected = pairing.expected(sampling)
    whole = _share(max(0, expected - pairing.paired), expected, alpha)
    if sampling == 1.0:
        return whole
    alone = pairing.shadow_records - pairing.paired
    least, most = proportion_bounds(pairing.paired, pairing.production_records, alpha / 2.0)
    low, high = proportion_bounds(alone, pairing.shadow_records, alpha / 2.0)
    return replace(
        whole, low=max(low, 1.0 - most / sampling), high=max(high, 1.0 - least / sampling)
    )


def _decide(state: _State, settings: ShadowSettings) -> tuple[ShadowDecision, str]:
    stopped = _problems(state, settings)
    if stopped:
        return "stop", " ".join(stopped)
    waiting = _waiting(state, settings)
    if waiting:
        return "continue", " ".join(waiting)
    found = [_agreement_text(state.agreement)]
    if state.right is not None:
        found.append(_right_text(state.right))
    return "advance", " ".join(found)


def _problems(state: _State, settings: ShadowSettings) -> list[str]:
    found = []
    unpaired, agreement, latency = state.unpaired, state.agreement, state.latency
    if unpaired.low > settings.max_unpaired:
        found.append(
            f"{unpaired.hits:,} of {unpaired.trials:,} expected pairs are missing "
            f"({_percent(unpaired.value)}, limit {_percent(settings.max_unpaired)}): the shadow "
            "fails, is not captured, or requests come without an inference id."
        )
    if state.outcome == "worse" and state.right is not None:
        found.append(f"The shadow is surely worse. {_right_text(state.right)}")
    if agreement.high < settings.min_agreement and state.outcome != "better":
        found.append(
            f"{_agreement_text(agreement)} That is surely below {_percent(settings.min_agreement)}."
        )
    if latency is not None and latency.slower and latency.ratio is not None:
        found.append(f"The shadow's 90% latency is surely too long: {_latency_text(latency)}")
    return found


def _latency_text(latency: LatencyVerdict) -> str:
    return f"{latency.ratio:.2f} times production's, where the limit is {latency.limit:g}."


def _waiting(state: _State, settings: ShadowSettings) -> list[str]:
    found = []
    latency = state.latency
    if latency is not None and latency.too_long:
        found.append(f"The shadow's 90% latency may be too long: {_latency_text(latency)}")
    if state.pairs < settings.min_pairs:
        found.append(f"{state.pairs:,} pairs of the {settings.min_pairs:,} that it takes to go on.")
    if state.labelled < settings.min_labelled:
        found.append(
            f"{state.labelled:,} pairs with a label of the {settings.min_labelled:,} that it "
            "takes to go on."
        )
    if state.elapsed < settings.min_duration.total_seconds():
        found.append("The shortest duration is not over yet.")
    if found:
        return found
    if state.unpaired.high > settings.max_unpaired:
        found.append(
            f"Whether at most {_percent(settings.max_unpaired)} of the pairs are missing is not "
            f"sure yet: {_percent(state.unpaired.value)} so far."
        )
    if state.agreement.low < settings.min_agreement and state.outcome != "better":
        found.append(
            f"{_agreement_text(state.agreement)} Whether that is at least "
            f"{_percent(settings.min_agreement)} is not sure yet."
        )
    return found


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100.0 * value:.4g}%"


def _agreement_text(agreement: Share) -> str:
    return (
        f"The predictions agree in {_percent(agreement.value)} of {agreement.trials:,} pairs "
        f"({_percent(agreement.low)} to {_percent(agreement.high)})."
    )


def _right_text(right: WhoWasRight) -> str:
    if right.error_production is None and right.loss is not None:
        return (
            f"Its mean absolute error is {right.loss.shadow:.4g}, production's "
            f"{right.loss.production:.4g}, over {right.labelled:,} labelled pairs."
        )
    return (
        f"Of {right.differing:,} labelled disagreements the shadow was right in "
        f"{right.shadow_right:,}, production in {right.production_right:,}."
    )


def _who_was_right(
    whole: PairedRows, counts: ShadowCounts, settings: ShadowSettings
) -> WhoWasRight | None:
    labelled = whole.labelled
    if not labelled:
        return None
    alpha = settings.alpha / _BOUNDS
    ours, theirs = whole.won_by(PRODUCTION), whole.won_by(SHADOW)
    wins = _share(theirs, ours + theirs, alpha)
    loss = _loss(whole, counts, settings)
    outcome: Literal["better", "worse", "open"] = "open"
    classes = counts.spec.problem != "regression"
    if classes:
        excess, low, high = (ours - theirs) / labelled, 0.5 - wins.high, 0.5 - wins.low
    else:
        excess, low, high = _excess(loss)
    if low > 0.0 and excess > settings.margin:
        outcome = "worse"
    elif high < 0.0:
        outcome = "better"
    both, neither = whole.won_by(BOTH), whole.won_by(NEITHER)
    return WhoWasRight(
        labelled=labelled,
        differing=whole.labelled_differing,
        production_right=ours,
        shadow_right=theirs,
        both=both,
        neither=neither,
        wins=wins,
        p_value=min(1.0, math.exp(-log_evidence(theirs, ours + theirs, 0.5))),
        error_production=(theirs + neither) / labelled if classes else None,
        error_shadow=(ours + neither) / labelled if classes else None,
        loss=loss,
        outcome=outcome,
    )


def _excess(loss: LossChange | None) -> tuple[float, float, float]:
    """Return by how much the shadow's loss exceeds production's, and its bounds."""
    if loss is None or loss.low is None or loss.high is None:
        return 0.0, -math.inf, math.inf
    return loss.shadow - loss.production, loss.low, loss.high


def _loss(whole: PairedRows, counts: ShadowCounts, settings: ShadowSettings) -> LossChange | None:
    production, shadow = whole.mean("production_loss"), whole.mean("shadow_loss")
    if production is None or shadow is None:
        return None
    low, high = _mean_bounds(whole, "excess", settings)
    return LossChange(
        name="mae" if counts.spec.problem == "regression" else "brier_score",
        rows=whole.compared,
        production=production,
        shadow=shadow,
        low=low,
        high=high,
    )


def _mean_bounds(
    whole: PairedRows, name: str, settings: ShadowSettings
) -> tuple[float | None, float | None]:
    rows, total, squares = whole.moments(name)
    found = mean_bounds(
        total=total,
        squares=squares,
        rows=rows,
        alpha=settings.alpha / _BOUNDS,
        tuned_for=settings.min_pairs,
    )
    # With few values their variance is not known well enough.
    return (None, None) if found is None or rows < _LEAST_REQUESTS else found


def _difference(
    whole: PairedRows, counts: ShadowCounts, settings: ShadowSettings
) -> ScoreDifference | None:
    mean, distance = whole.mean("difference"), whole.mean("distance")
    if mean is None or distance is None:
        return None
    low, high = _mean_bounds(whole, "difference", settings)
    return ScoreDifference(
        rows=whole.scored,
        mean=mean,
        low=low,
        high=high,
        distance=distance,
        edges=tuple(counts.spec.edges.tolist()),
        differing=tuple(counts.histogram[0].tolist()),
        agreeing=tuple(counts.histogram[1].tolist()),
    )


def _transitions(counts: ShadowCounts) -> tuple[Transition, ...]:
    classes, table = counts.spec.classes, counts.transitions
    rows = table.sum(axis=0)
    found = [
        (int(rows[p, s]), p, s)
        for p in range(len(classes))
        for s in range(len(classes))
        if p != s and rows[p, s]
    ]
    return tuple(
        Transition(
            production=classes[p],
            shadow=classes[s],
            rows=number,
            labelled=number - int(table[UNLABELLED, p, s]),
            production_right=int(table[PRODUCTION, p, s]),
            shadow_right=int(table[SHADOW, p, s]),
        )
        for number, p, s in sorted(found, key=lambda one: (-one[0], one[1:]))[:_MOST_TRANSITIONS]
    )


def _segments(counts: ShadowCounts, settings: ShadowSettings) -> tuple[ShadowSegment, ...]:
    known = {name: line for name, line in counts.segments.items() if line.rows}
    overall = counts.whole.agreed / counts.whole.rows if counts.whole.rows else 0.0
    found = []
    for (column, category), line in known.items():
        agreement = _share(line.agreed, line.rows, settings.alpha / len(known))
        found.append(
            ShadowSegment(
                column=column,
                category=category,
                agreement=agreement,
                labelled=line.labelled,
                production_right=line.won_by(PRODUCTION),
                shadow_right=line.won_by(SHADOW),
                mean_difference=line.mean("difference"),
                apart=agreement.high < overall,
            )
        )
    return tuple(
        sorted(found, key=lambda s: (not s.apart, s.agreement.value or 0.0, s.column, s.category))
    )


def _latency(latencies: Latencies, settings: ShadowSettings) -> LatencyVerdict:
    ours, theirs = (_figures(one) for one in latencies)
    ratio = None
    if ours is not None and theirs is not None and ours.p90 > 0:
        ratio = theirs.p90 / ours.p90
    alpha, limit = settings.alpha / _BOUNDS / 2.0, settings.max_latency_ratio
    _, most = latencies.production.quantile_bounds(0.9, alpha)
    least, _ = latencies.shadow.quantile_bounds(0.9, alpha)
    return LatencyVerdict(
        production=ours,
        shadow=theirs,
        ratio=ratio,
        limit=limit,
        slower=limit is not None and least > limit * most,
    )


def _figures(summary: LatencySummary) -> LatencyFigures | None:
    p50, p90, p99 = (summary.quantile(part) for part in (0.5, 0.9, 0.99))
    if p50 is None or p90 is None or p99 is None or summary.mean is None:
        return None
    return LatencyFigures(
        requests=summary.requests,
        mean=summary.mean,
        p50=p50,
        p90=p90,
        p99=p99,
        maximum=float(summary.maximum or 0),
        counts=summary.counts,
    )
