"""Errors and power of experiments, by simulation with fixed seeds.

Run it with ``python -m benchmarks.experiment_simulation [TABLE ...]``; ``python -m benchmarks``
prints the tables ``methods`` and ``harm`` of fewer runs.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.experiment_runs import (
    AT_ONCE,
    LOOKS,
    Draw,
    each_run,
    mean_rows,
    peeking,
    percent,
    planned,
    rates,
    run,
    skewed,
)
from driftgauge.experiments.arms import Arm, sums_of_rate
from driftgauge.experiments.blocks import Block, Series, blocks_of
from driftgauge.experiments.decision import judge_experiment
from driftgauge.experiments.design import harm_scales
from driftgauge.experiments.judging import infer
from driftgauge.experiments.mismatch import log_mismatch
from driftgauge.experiments.plan import ExperimentPlan, MetricRule, plan_experiment
from driftgauge.experiments.sequential import Clustering, Estimates, Msprt, estimate
from driftgauge.experiments.settings import (
    ExperimentSettings,
    GuardrailSettings,
    PrimarySettings,
)
from driftgauge.experiments.verdict import Method

RUNS = 10_000
METHODS: tuple[Method, ...] = (
    *("fixed", "obrien_fleming", "pocock", "msprt", "empirical_bernstein"),
)
CLUSTERINGS: tuple[Clustering, ...] = ("none", "blocks")


def methods(runs: int = RUNS) -> Table:
    """Return false winners and power of all methods: 20,000 rows an arm."""
    table = Table(title=f"Rates, 20,000 rows an arm, {runs:,} runs")
    for heading in (
        *("method", "looks", ".10 and .10: false winners", ".10 and .11: found"),
        *(".10 and .12: found", "rows an arm, .12"),
    ):
        table.add_column(heading)
    found = percent(peeking(rates(0.1, 0.1), seed=1, runs=runs), runs)
    table.add_row("z-test at each look", "100", found, "", "", "")
    cases: list[tuple[Method, Clustering, int]] = [(method, "none", 100) for method in METHODS]
    cases += [("msprt", "blocks", 100), ("msprt", "blocks", 400)]
    for method, clustering, looks in cases:
        name = f"{method}, dispersion learnt" if clustering == "blocks" else method
        size = 20_000 // looks
        cells = []
        # Each plan is for the effect that there is.
        for seed, rate, effect in ((1, 0.1, 0.02), (2, 0.11, 0.01), (3, 0.12, 0.02)):
            plan = planned(0.1, effect, method=method, clustering=clustering, information=1e4)
            draw = rates(0.1, rate, rows=(size, size), looks=looks)
            ends = run(draw, plan, seed=seed, runs=runs)
            cells.append(percent(ends.decided() if rate == 0.1 else ends.won(), runs))
        table.add_row(name, f"{looks}", *cells, mean_rows(ends.rows()))
    return table


def nulls(runs: int = RUNS) -> Table:
    """Return false winners of equal arms of many kinds."""
    table = Table(title=f"Equal arms, {LOOKS} looks: false winners")
    for heading in ("values", "rows in a block", "runs", "rows independent", "dispersion learnt"):
        table.add_column(heading)
    both, canary = (200, 200), (950, 50)
    cases: list[tuple[str, tuple[int, int], Draw, float]] = []
    for rate in (0.5, 0.01, 0.001):
        for rows in (both, canary):
            cases.append((f"rate {rate:g}", rows, rates(rate, rate, rows=rows), rate))
    for rows in ((50, 50), (190, 10)):
        cases.append(("lognormal, skewness 6.2", rows, skewed(rows), 0.1))
    many = rates(0.1, 0.1, rows=(10, 10), looks=2000)
    cases.append(("rate 0.1, 2,000 looks", (10, 10), many, 0.1))
    for effect in (1.5, 2.0, 5.0, 20.0):
        drawn = rates(0.1, 0.1, design_effect=effect)
        cases.append((f"rate 0.1, design effect {effect:g}", both, drawn, 0.1))
    for at, (name, rows, draw, rate) in enumerate(cases):
        worded = name.startswith("lognormal")
        count = min(runs, 2000) if worded else runs
        # A fifth of the rate, or a fifth of a lognormal's standard deviation.
        effect = 0.43 if worded else 0.2 * rate
        cells = []
        for clustering in CLUSTERINGS:
            plan = planned(rate, 0.2 * rate, clustering=clustering, information=1e4)
            plan = replace(plan, rules=(replace(plan.primary, effect=effect),))
            cells.append(percent(run(draw, plan, seed=100 + at, runs=count).decided(), count))
        table.add_row(name, f"{rows[0]} and {rows[1]}", f"{count:,}", *cells)
    return table


def harm(runs: int = RUNS) -> Table:
    """Return when a canary whose error rate is a fifth higher is stopped."""
    table = Table(title=f"Error rate .10, a canary with .12 and 10 % of the traffic, {runs:,} runs")
    for heading in (
        *("errors are", "planned canary rows", "found before 10 % of them"),
        *("rows until found, mean", "99 % found by", "equal canary stopped"),
    ):
        table.add_column(heading)
    for name, rule, plan in harm_plans():
        canary_rows = plan.requests * plan.share
        # A block is a thousandth of the plan: 40 minutes of four weeks.
        size = max(1, round(canary_rows / 1000))
        sizes = (9 * size, size)
        ends = run(rates(0.1, 0.12, rows=sizes, looks=400), plan, seed=7, runs=runs, rule=rule)
        equal = run(rates(0.1, 0.1, rows=sizes, looks=400), plan, seed=8, runs=runs, rule=rule)
        rows = np.minimum(ends.harm + 1.0, 400.0) * size
        late = float(np.quantile(rows, 0.99))
        table.add_row(
            name,
            f"{canary_rows:,.0f}",
            percent(int((ends.harm < 100).sum()), runs),
            f"{mean_rows(rows)} ({100 * rows.mean() / canary_rows:.1f} %)",
            f"{late:,.0f} ({100 * late / canary_rows:.1f} %)",
            percent(equal.harmed(), runs),
        )
    return table


def harm_plans() -> list[tuple[str, MetricRule, ExperimentPlan]]:
    """Return plans of a canary: errors as the primary metric, and as a guardrail."""
    past = Arm(
        requests=1_000_000,
        metrics={
            "errors": sums_of_rate(100_000, 1_000_000),
            "missed": sums_of_rate(300_000, 1_000_000),
        },
    )
    found = []
    for effect in (0.05, 0.04, 0.03):
        settings = ExperimentSettings(
            primary=PrimarySettings(name="errors", better="lower", relative_effect=effect),
            share=0.1,
            max_duration=timedelta(days=365),
        )
        plan = plan_experiment(settings, past=past, period=timedelta(days=1))
        found.append((f"primary, effect {100 * effect:.0f} %", plan.primary, plan))
    for margin in (0.05, 0.03):
        settings = ExperimentSettings(
            primary=PrimarySettings(name="missed", better="lower", relative_effect=0.05),
            guardrails=(GuardrailSettings(name="errors", better="lower", relative_margin=margin),),
            share=0.1,
            max_duration=timedelta(days=365),
        )
        plan = plan_experiment(settings, past=past, period=timedelta(days=1))
        found.append((f"guardrail, margin {100 * margin:.0f} %", plan.rules[1], plan))
    return found


def coverage(runs: int = 2000) -> Table:
    """Return how often the confidence sequence holds the true difference at all looks."""
    table = Table(title=f"95 % confidence sequences: truth inside at all {LOOKS} looks")
    for heading in ("difference", "msprt", "dispersion learnt", "empirical_bernstein"):
        table.add_column(heading)
    for at, rate in enumerate((0.1, 0.12, 0.2)):
        cells = []
        cases: list[tuple[Method, Clustering]] = [
            *(("msprt", "none"), ("msprt", "blocks"), ("empirical_bernstein", "none")),
        ]
        for method, clustering in cases:
            plan = planned(0.1, 0.02, method=method, clustering=clustering, information=1e4)
            series = rates(0.1, rate)(np.random.default_rng(200 + at), runs)
            held = 0
            for one in each_run(series):
                inference = infer(one, plan.primary, plan)
                enough = inference.estimates.champion_rows >= plan.min_rows
                low, high = inference.bound(0.025, 1), inference.bound(0.025, -1)
                inside = (low <= rate - 0.1) & (rate - 0.1 <= high)
                held += bool((inside | ~enough).all())
            cells.append(percent(held, runs))
        table.add_row(f"{rate - 0.1:.2f}", *cells)
    return table


def ramps(runs: int = RUNS) -> Table:
    """Return false winners while the canary's share grows and the rate rises with time."""
    table = Table(
        title=f"Equal arms, rate from .08 to .12, share from 5 % to 50 %, 100 looks, {runs:,} runs"
    )
    for heading in ("compared", "false winners"):
        table.add_column(heading)
    plan = planned(0.1, 0.02, information=1e4)
    rule = plan.primary
    rng = np.random.default_rng(9)
    found: Counter[str] = Counter()
    for start in range(0, runs, AT_ONCE):
        series = _ramp(rng, min(AT_ONCE, runs - start))
        for name, estimates in (
            ("all rows so far", _pooled(series)),
            ("within blocks", estimate(series, "none")),
        ):
            scales = (rule.scale,), harm_scales(rule.scale)
            test = Msprt(estimates=estimates, scales_up=scales[0], scales_down=scales[1])
            logs = np.maximum(test.log_evidence(0.0, 1), test.log_evidence(0.0, -1))
            enough = estimates.challenger_rows >= plan.min_rows
            won = ((logs >= -math.log(rule.alpha_better)) & enough).any(axis=-1)
            found[name] += int(won.sum())
    for name, hits in found.items():
        table.add_row(name, percent(hits, runs))
    return table


def _ramp(rng: np.random.Generator, runs: int) -> Series:
    """Draw blocks of 400 requests."""
    challenger = rng.binomial(400, np.linspace(0.05, 0.5, LOOKS), (runs, LOOKS))
    rows = [np.asarray(part, dtype=np.float64) for part in (400 - challenger, challenger)]
    rate = np.linspace(0.08, 0.12, LOOKS)
    hits = [rng.binomial(part.astype(np.int64), rate).astype(np.float64) for part in rows]
    return Series(
        center=0.0,
        champion_rows=rows[0],
        challenger_rows=rows[1],
        champion_sums=hits[0],
        challenger_sums=hits[1],
        champion_squares=hits[0],
        challenger_squares=hits[1],
    )


def _pooled(series: Series) -> Estimates:
    """Estimate a difference of rates without regard to blocks, as is often done."""
    n, m, x, y = (
        np.cumsum(part, axis=-1)
        for part in (
            series.champion_rows,
            series.challenger_rows,
            series.champion_sums,
            series.challenger_sums,
        )
    )
    rate = (x + y) / (n + m)
    return Estimates(
        champion_rows=n,
        challenger_rows=m,
        information=n * m / (n + m),
        difference=y / m - x / n,
        variance=rate * (1.0 - rate) * (1.0 / n + 1.0 / m),
        dispersion=np.ones_like(n),
    )


def mismatches(runs: int = RUNS) -> Table:
    """Return how often sample-ratio mismatch is found, at alpha .001 and 100 looks."""
    table = Table(title=f"Sample-ratio mismatch, alpha .001, 100 looks of 1,000 requests, {runs:,}")
    for heading in ("planned share", "true share", "found", "requests until found, median"):
        table.add_column(heading)
    cases = ((0.5, 0.5), (0.5, 0.49), (0.5, 0.48), (0.1, 0.1), (0.1, 0.11), (0.1, 0.09))
    for at, (planned_share, share) in enumerate(cases):
        rng = np.random.default_rng(300 + at)
        received = np.cumsum(rng.binomial(1000, share, (runs, LOOKS)), axis=-1)
        requests = np.cumsum(np.full(LOOKS, 1000.0))
        logs = log_mismatch(received.astype(np.float64), requests, planned_share)
        found = logs >= math.log(1000.0)
        hits = found.any(axis=-1)
        first = requests[found.argmax(axis=-1)][hits]
        when = f"{np.median(first):,.0f}" if hits.mean() > 0.5 else ""
        table.add_row(f"{planned_share:g}", f"{share:g}", percent(int(hits.sum()), runs), when)
    return table


def decisions(runs: int = 200) -> Table:
    """Return what the engine decides after each day, and when."""
    table = Table(title=f"Whole experiments: a canary of 20 %, a look a day, {runs} runs")
    for heading in ("challenger", "promote", "keep", "stop: harm", "days, mean", "planned"):
        table.add_column(heading)
    hour = timedelta(hours=1)
    settings = ExperimentSettings(
        primary=PrimarySettings(name="hits", better="higher", relative_effect=0.1),
        guardrails=(GuardrailSettings(name="errors", better="lower", relative_margin=0.2),),
        share=0.2,
    )
    past = Arm(
        requests=48_000,
        metrics={"hits": sums_of_rate(14_400, 48_000), "errors": sums_of_rate(4800, 48_000)},
    )
    plan = plan_experiment(settings, past=past, period=timedelta(days=10))
    kinds = {
        "equal": (0.3, 0.1),
        "better by the effect": (0.33, 0.1),
        "better by twice the effect": (0.36, 0.1),
        "better, but twice the errors": (0.33, 0.2),
        "worse by the effect": (0.27, 0.1),
    }
    for at, (name, challenger) in enumerate(kinds.items()):
        rng = np.random.default_rng(400 + at)
        counted: Counter[str] = Counter()
        days = []
        for _ in range(runs):
            decision, day = _experiment(rng, plan, challenger, hour)
            counted[decision] += 1
            days.append(float(day))
        cells = [f"{counted[found]}" for found in ("promote", "keep", "stop: harm")]
        table.add_row(name, *cells, f"{np.mean(days):.1f}", f"{plan.days:.1f}")
    return table


def _experiment(
    rng: np.random.Generator,
    plan: ExperimentPlan,
    challenger: tuple[float, float],
    hour: timedelta,
) -> tuple[str, int]:
    """Play one experiment, 200 requests an hour, judged once a day; return its end."""
    start = datetime(2026, 1, 5, tzinfo=UTC)
    blocks: list[Block] = []
    for day in range(1, 29):
        for _ in range(24):
            there = int(rng.binomial(200, plan.share))
            blocks.append(
                Block(
                    start=start + len(blocks) * hour,
                    share=plan.share,
                    champion=_arm(rng, 200 - there, (0.3, 0.1)),
                    challenger=_arm(rng, there, challenger),
                )
            )
        verdict = judge_experiment(
            blocks_of(blocks),
            plan,
            experiment="simulated",
            champion="champion",
            challenger="challenger",
            started=start,
            evaluated_at=start + day * 24 * hour,
        )
        if verdict.ended:
            return verdict.decision, day
    return verdict.decision, day


def _arm(rng: np.random.Generator, requests: int, rates_of: tuple[float, float]) -> Arm:
    hits, errors = (int(rng.binomial(requests, rate)) for rate in rates_of)
    return Arm(
        requests=requests,
        metrics={"hits": sums_of_rate(hits, requests), "errors": sums_of_rate(errors, requests)},
    )


TABLES: dict[str, Callable[..., Table]] = {
    "methods": methods,
    "nulls": nulls,
    "harm": harm,
    "coverage": coverage,
    "ramps": ramps,
    "mismatches": mismatches,
    "decisions": decisions,
}


def main(names: Sequence[str]) -> None:
    """Print the named tables, or all."""
    console = Console(width=150)
    for name in names or TABLES:
        console.print(TABLES[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
