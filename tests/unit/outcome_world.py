"""Monitors, baselines and windows for the tests of outcomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from driftgauge.config import MonitorConfig
from driftgauge.drift.assessment import Occasion
from driftgauge.labels.standing import LabelCounts, delay_bins
from driftgauge.outcome_assessment import WindowOutcomes, assess_outcomes
from driftgauge.outcome_baseline import OutcomeBaseline
from driftgauge.outcome_verdict import LabelStanding, OutcomesVerdict
from driftgauge.quality.counts import OutcomeCounts, count_outcomes
from driftgauge.quality.files import suggest_quality_constraints
from driftgauge.quality.metrics import measure
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.spec import specify_outcomes
from driftgauge.windows import Window
from tests.unit.quality_world import binary

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
VERSION = "v1"
TRAINING = binary(20_000, seed=1)
SPEC = specify_outcomes(TRAINING)


def monitor(**changes: Any) -> MonitorConfig:
    """A monitor of daily windows whose score is a probability."""
    document = {
        "name": "loans",
        "endpoint": {"name": "loans-endpoint"},
        "prediction": "score",
        "label": "late",
        "window": "1d",
        "outcomes": {"classes": ["no", "yes"]},
        **changes,
    }
    return MonitorConfig.model_validate(document)


def occasion(number: int = 0, *, age: timedelta = timedelta(days=2)) -> Occasion:
    """The evaluation of one window, some time after its end."""
    start = START + number * DAY
    return Occasion(
        monitor="loans",
        variant="AllTraffic",
        window=Window(start, start + DAY),
        evaluated_at=start + DAY + age,
        window_length=DAY,
    )


def baseline(training: Outcomes = TRAINING, **changes: Any) -> OutcomeBaseline:
    """The outcomes of training data."""
    counts = counted(training)
    known = OutcomeBaseline(
        spec=SPEC,
        counts=counts,
        constraints=suggest_quality_constraints("binary", measure(counts)),
    )
    return replace(known, **changes)


def counted(outcomes: Outcomes) -> OutcomeCounts:
    """Count outcomes by the specification of the training data."""
    return count_outcomes(SPEC, outcomes)


def unlabelled(outcomes: Outcomes, share: float, *, seed: int = 5) -> Outcomes:
    """Take the labels of a share of the rows away."""
    gone = np.random.default_rng(seed).random(outcomes.rows) < share
    return replace(outcomes, labels=np.where(gone, np.nan, outcomes.labels))


def standing(outcomes: Outcomes, *, usual: float | None = None) -> LabelStanding:
    """The standing of labels that came after an hour each."""
    labelled = int(np.isfinite(outcomes.labels).sum())
    counts = LabelCounts(
        rows=outcomes.rows,
        records=outcomes.rows,
        labelled=labelled,
        delays=delay_bins(np.full(labelled, 3600)),
    )
    return LabelStanding(
        counts=counts,
        coverage=labelled / outcomes.rows,
        usual_coverage=usual,
        median_delay_seconds=counts.median_delay,
        age_seconds=172_800.0,
    )


def judged(
    outcomes: Outcomes,
    *,
    config: MonitorConfig | None = None,
    known: OutcomeBaseline | None = None,
    usual: float | None = None,
    number: int = 0,
    **changes: Any,
) -> OutcomesVerdict:
    """Judge a window of outcomes."""
    window = WindowOutcomes(labels=standing(outcomes, usual=usual), counts=counted(outcomes))
    arguments: dict[str, Any] = {
        "config": config or monitor(),
        "baseline": known or baseline(),
        "baseline_version": VERSION,
        "window": window,
        "occasion": occasion(number),
        **changes,
    }
    return assess_outcomes(**arguments)
