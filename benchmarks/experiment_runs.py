"""Runs of experiments: blocks drawn for both arms, and the looks at which the engine ends them.

What the engine says at a look follows from the blocks before it, so that one call says it of all
looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.decision_simulation import interval
from driftgauge.drift.special import normal_isf
from driftgauge.experiments.arms import Arm, sums_of_rate
from driftgauge.experiments.blocks import Floats, Series
from driftgauge.experiments.judging import infer
from driftgauge.experiments.plan import ExperimentPlan, MetricRule, plan_experiment
from driftgauge.experiments.sequential import Clustering, Sign, estimate
from driftgauge.experiments.settings import (
    ExperimentSettings,
    GuardrailSettings,
    PrimarySettings,
)
from driftgauge.experiments.verdict import Method

LOOKS = 100
ROWS = 200  # of either arm in a block: 20,000 at the last look
AT_ONCE = 1000
Draw = Callable[[np.random.Generator, int], Series]


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How runs ended: index of the first look that said so, or the number of looks.

    Arrays of shape (runs,). ``challenger`` are the challenger's rows after each look.
    """

    better: NDArray[np.intp]
    harm: NDArray[np.intp]
    no_gain: NDArray[np.intp]
    challenger: Floats

    @property
    def runs(self) -> int:
        """Number of runs."""
        return int(self.better.shape[0])

    @property
    def looks(self) -> int:
        """Number of looks."""
        return int(self.challenger.shape[-1])

    def won(self) -> int:
        """Count the runs in which the challenger is better before anything else."""
        before = (self.better < self.harm) & (self.better <= self.no_gain)
        return int((before & (self.better < self.looks)).sum())

    def harmed(self) -> int:
        """Count the runs in which it is found to be worse."""
        return int((self.harm < np.minimum(self.better, self.looks)).sum())

    def decided(self) -> int:
        """Count the runs with a winner, the challenger or the champion."""
        return int((np.minimum(self.better, self.harm) < self.looks).sum())

    def rows(self) -> Floats:
        """Return the challenger's rows when the run ends."""
        first = np.minimum(np.minimum(self.better, self.harm), self.no_gain)
        last = np.minimum(first, self.looks - 1)
        found: Floats = np.take_along_axis(self.challenger, last[:, None], axis=-1)[:, 0]
        return found


def rates(
    champion: float,
    challenger: float,
    *,
    rows: tuple[int, int] = (ROWS, ROWS),
    looks: int = LOOKS,
    design_effect: float = 1.0,
) -> Draw:
    """Return what draws rates; with a design effect, each arm's rate varies from block to block."""

    def draw(rng: np.random.Generator, runs: int) -> Series:
        hits = []
        for count, rate in zip(rows, (champion, challenger), strict=True):
            drawn = np.full((runs, looks), rate)
            if design_effect > 1.0:
                both = (count - 1) / (design_effect - 1.0) - 1.0
                drawn = rng.beta(rate * both, (1.0 - rate) * both, (runs, looks))
            hits.append(rng.binomial(count, drawn).astype(np.float64))
        return Series(
            center=0.0,
            champion_rows=np.full((runs, looks), float(rows[0])),
            challenger_rows=np.full((runs, looks), float(rows[1])),
            champion_sums=hits[0],
            challenger_sums=hits[1],
            champion_squares=hits[0],
            challenger_squares=hits[1],
        )

    return draw


def skewed(rows: tuple[int, int]) -> Draw:
    """Return what draws lognormal losses with skewness 6.2, the same in both arms."""

    def draw(rng: np.random.Generator, runs: int) -> Series:
        parts = [rng.lognormal(0.0, 1.0, (runs, LOOKS, count)) for count in rows]
        return Series(
            center=0.0,
            champion_rows=np.full((runs, LOOKS), float(rows[0])),
            challenger_rows=np.full((runs, LOOKS), float(rows[1])),
            champion_sums=parts[0].sum(axis=-1),
            challenger_sums=parts[1].sum(axis=-1),
            champion_squares=(parts[0] ** 2).sum(axis=-1),
            challenger_squares=(parts[1] ** 2).sum(axis=-1),
        )

    return draw


def planned(
    rate: float,
    effect: float,
    *,
    method: Method = "msprt",
    clustering: Clustering = "none",
    share: float = 0.5,
    information: float | None = None,
    guardrails: tuple[GuardrailSettings, ...] = (),
) -> ExperimentPlan:
    """Plan an experiment on a rate of which more is better, as a user would."""
    past = Arm(requests=1_000_000, metrics={"rate": sums_of_rate(round(rate * 1e6), 1_000_000)})
    plan = plan_experiment(
        ExperimentSettings(
            primary=PrimarySettings(name="rate", better="higher", low=0, high=1, effect=effect),
            guardrails=guardrails,
            method=method,
            clustering=clustering,
            share=share,
        ),
        past=past,
        period=timedelta(days=1),
    )
    if information is None:
        return plan
    rules = tuple(replace(rule, information=information) for rule in plan.rules)
    return replace(plan, rules=rules)


def run(
    draw: Draw, plan: ExperimentPlan, *, seed: int, runs: int, rule: MetricRule | None = None
) -> Ends:
    """Draw and judge runs."""
    rng = np.random.default_rng(seed)
    chosen = rule or plan.primary
    parts = [
        judge_series(draw(rng, min(AT_ONCE, runs - start)), chosen, plan)
        for start in range(0, runs, AT_ONCE)
    ]
    return Ends(
        better=np.concatenate([part.better for part in parts]),
        harm=np.concatenate([part.harm for part in parts]),
        no_gain=np.concatenate([part.no_gain for part in parts]),
        challenger=np.concatenate([part.challenger for part in parts]),
    )


def judge_series(series: Series, rule: MetricRule, plan: ExperimentPlan) -> Ends:
    """Find the first look at which each run, shape (runs, looks), ends one way or the other."""
    # The mSPRT takes all runs at once; the others are made for one.
    parts = [series] if plan.method == "msprt" else list(each_run(series))
    found = [_first_looks(part, rule, plan) for part in parts]
    better, harm, no_gain = (np.concatenate(one) for one in zip(*found, strict=True))
    return Ends(
        better=better,
        harm=harm,
        no_gain=no_gain,
        challenger=np.cumsum(series.challenger_rows, axis=-1),
    )


def each_run(series: Series) -> Iterator[Series]:
    """Take the runs of a series of shape (runs, looks) apart."""
    for at in range(series.champion_rows.shape[0]):
        yield Series(
            center=series.center,
            champion_rows=series.champion_rows[at],
            challenger_rows=series.challenger_rows[at],
            champion_sums=series.champion_sums[at],
            challenger_sums=series.challenger_sums[at],
            champion_squares=series.champion_squares[at],
            challenger_squares=series.challenger_squares[at],
        )


def _first_looks(
    series: Series, rule: MetricRule, plan: ExperimentPlan
) -> tuple[NDArray[np.intp], ...]:
    inference = infer(series, rule, plan)
    estimates = inference.estimates
    enough = np.minimum(estimates.champion_rows, estimates.challenger_rows) >= plan.min_rows
    gain: Sign = 1 if rule.better == "higher" else -1
    loss: Sign = -1 if gain == 1 else 1

    def first(
        limit: float, sign: Sign, alpha: float, also: NDArray[np.bool_] | bool = True
    ) -> NDArray[np.intp]:
        if plan.method in ("msprt", "empirical_bernstein"):
            shown = inference.log_evidence(limit, sign) >= -math.log(alpha)
        else:
            # The same as p <= alpha, and quicker.
            shown = sign * (inference.bound(alpha, sign) - limit) >= 0.0
        shown = np.atleast_2d(shown & enough & also)
        found: NDArray[np.intp] = np.where(
            shown.any(axis=-1), shown.argmax(axis=-1), shown.shape[-1]
        )
        return found

    better = first(0.0 if rule.effect else -gain * rule.margin, gain, rule.alpha_better)
    beyond = -gain * estimates.difference > rule.margin
    harm = first(0.0, loss, rule.alpha_worse, beyond)
    if rule.effect is None:
        return better, harm, np.full_like(harm, series.blocks)
    return better, harm, first(gain * rule.effect, loss, rule.alpha_no_gain)


def percent(hits: int, runs: int) -> str:
    """Write a share with its 95 % interval."""
    low, high = interval(hits, runs)
    return f"{100 * hits / runs:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def mean_rows(rows: Floats) -> str:
    """Write a mean with its 95 % interval."""
    half = 1.96 * float(rows.std()) / math.sqrt(rows.shape[0])
    return f"{rows.mean():,.0f} ± {half:,.0f}"


def peeking(draw: Draw, *, seed: int, runs: int) -> int:
    """Count the runs in which a z-test at each look finds a winner at least once."""
    rng = np.random.default_rng(seed)
    found = 0
    for start in range(0, runs, AT_ONCE):
        estimates = estimate(draw(rng, min(AT_ONCE, runs - start)), "none")
        z = np.abs(estimates.difference) / np.sqrt(estimates.variance)
        found += int((z >= normal_isf(0.025)).any(axis=-1).sum())
    return found
