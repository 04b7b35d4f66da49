"""Shadow tests made up for tests: a model, and one that sometimes differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from driftgauge.experiments.latency import latency_of
from driftgauge.experiments.pairs import PairCounts
from driftgauge.experiments.shadow import (
    ShadowCounts,
    count_pairs,
)
from driftgauge.experiments.shadow_judging import Latencies, judge_shadow
from driftgauge.experiments.shadow_settings import ShadowSettings
from driftgauge.experiments.shadow_spec import (
    ShadowSpec,
)
from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.labels.identity import ids_of
from driftgauge.labels.predictions import Predictions
from driftgauge.quality.outcomes import Outcomes
from tests.unit.quality_world import words

START = datetime(2026, 3, 2, tzinfo=UTC)
SPEC = ShadowSpec(problem="binary", classes=("no", "yes"), segments={"country": ("FR", "NZ", "US")})
NUMBERS = ShadowSpec(problem="regression", tolerance=1.0)


def predicted(names: Sequence[str], *, times: Sequence[int] = (), sizes: Sequence[int] = ()) -> Any:
    """Return predictions of records with such names, of so many rows each."""
    sizes = list(sizes) or [1] * len(names)
    times = list(times) or [0] * len(names)
    records = list(zip(ids_of(names).tolist(), sizes, times, strict=True))
    rows = [(name, at, size, time) for name, size, time in records for at in range(size)]
    rows.sort()
    ids = np.array([name for name, *_ in rows], dtype="S16")
    numbers = np.array([one[1:] for one in rows], dtype=np.int64).reshape(-1, 3)
    return Predictions(
        ids=ids,
        row=numbers[:, 0].astype(np.uint32),
        size=numbers[:, 1].astype(np.uint32),
        times=numbers[:, 2],
        columns={},
    )


def pairing(rows: int, **others: int) -> PairCounts:
    """Return the pairing of records of one row."""
    return PairCounts(rows=rows, paired=rows, **others)


def models(
    rows: int,
    *,
    seed: int = 0,
    production_noise: float = 0.6,
    shadow_noise: float = 0.6,
    labelled: float = 1.0,
    apart: str | None = None,
) -> tuple[Outcomes, Outcomes]:
    """Return two noisy views of one truth; in the segment ``apart`` the shadow is much noisier."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0.0, 2.5, rows)
    country = rng.choice(["FR", "NZ", "US"], rows, p=[0.3, 0.2, 0.5])
    truth = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    truth[rng.random(rows) >= labelled] = np.nan
    noise = np.where(country == apart, 3.0, shadow_noise)

    def view(noise: Any) -> Outcomes:
        score = 1 / (1 + np.exp(-(odds + noise * rng.normal(0.0, 1.0, rows))))
        return Outcomes(
            problem="binary",
            classes=("no", "yes"),
            labels=truth,
            predictions=(score >= 0.5).astype(np.float64),
            probabilities=score,
            segments={"country": words(country.tolist())},
        )

    return view(production_noise), view(noise)


def numbers(
    rows: int, *, seed: int = 0, production_noise: float = 1.0, shadow_noise: float = 1.0
) -> tuple[Outcomes, Outcomes]:
    """Return two noisy views of one number."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(20.0, 5.0, rows)

    def view(noise: float) -> Outcomes:
        return Outcomes(
            problem="regression",
            classes=(),
            labels=truth,
            predictions=truth + noise * rng.normal(0.0, 1.0, rows),
            probabilities=None,
            segments={},
        )

    return view(production_noise), view(shadow_noise)


def counted(rows: int, *, missing: int = 0, **how: Any) -> ShadowCounts:
    """Count the pairs of two models."""
    production, shadow = models(rows, **how)
    return count_pairs(SPEC, production, shadow, pairing=pairing(rows, production_alone=missing))


def latencies(*, slowdown: float = 1.0, requests: int = 2_000) -> Latencies:
    """Return latencies around 8 ms."""
    rng = np.random.default_rng(5)
    one = rng.lognormal(np.log(8_000.0), 0.4, requests)
    return Latencies(production=latency_of(one), shadow=latency_of(one * slowdown))


def judged(
    counts: ShadowCounts,
    *,
    after: timedelta = timedelta(days=2),
    measured: Latencies | None = None,
    **settings: Any,
) -> ShadowVerdict:
    """Judge a shadow so long after its start."""
    return judge_shadow(
        counts,
        settings=ShadowSettings(**settings),
        experiment="flight-delays-shadow",
        production="blue",
        shadow="green",
        started=START,
        evaluated_at=START + after,
        latencies=measured,
    )
