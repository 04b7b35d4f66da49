"""Experiments made up for tests: two arms whose rates are known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from driftgauge.experiments.arms import Arm, sums_of_rate
from driftgauge.experiments.blocks import Block, Blocks, blocks_of
from driftgauge.experiments.decision import judge_experiment
from driftgauge.experiments.plan import ExperimentPlan, plan_experiment
from driftgauge.experiments.settings import (
    ExperimentSettings,
    GuardrailSettings,
    PrimarySettings,
)
from driftgauge.experiments.verdict import ExperimentVerdict

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAST = Arm(
    requests=100_000,
    metrics={"accuracy": sums_of_rate(90_000, 100_000), "errors": sums_of_rate(10_000, 100_000)},
)


def arm(requests: int, shares: Mapping[str, float], *, segment: float | None = None) -> Arm:
    """Return an arm with such rates; a segment of half the requests may have another accuracy."""
    metrics = {name: sums_of_rate(round(p * requests), requests) for name, p in shares.items()}
    segments = {}
    if segment is not None:
        half = requests // 2
        segments[("country", "NZ")] = {"accuracy": sums_of_rate(round(segment * half), half)}
    return Arm(requests=requests, metrics=metrics, segments=segments)


def drawn_arm(rng: np.random.Generator, requests: int, shares: Mapping[str, float]) -> Arm:
    """Draw an arm."""
    return Arm(
        requests=requests,
        metrics={
            name: sums_of_rate(int(rng.binomial(requests, p)), requests)
            for name, p in shares.items()
        },
    )


def blocks(
    count: int, champion: Arm, challenger: Arm, *, share: float = 0.5, every: timedelta = HOUR
) -> Blocks:
    """Repeat a block."""
    return blocks_of(
        Block(start=START + i * every, share=share, champion=champion, challenger=challenger)
        for i in range(count)
    )


def plan(*, guarded: bool = False, **settings: Any) -> ExperimentPlan:
    """Plan an experiment on the accuracy, 10,000 requests a day."""
    guardrails = (GuardrailSettings(name="errors", better="lower", margin=0.02),)
    return plan_experiment(
        ExperimentSettings(
            primary=PrimarySettings(name="accuracy", effect=0.02),
            guardrails=guardrails if guarded else (),
            **settings,
        ),
        past=PAST,
        period=timedelta(days=10),
    )


def judged(
    found: Blocks, by: ExperimentPlan, *, after: timedelta = timedelta(days=2)
) -> ExperimentVerdict:
    """Judge an experiment so long after its start."""
    return judge_experiment(
        found,
        by,
        experiment="accuracy-test",
        champion="blue",
        challenger="green",
        started=START,
        evaluated_at=START + after,
    )
