"""Verdicts on outcomes for the tests of the report: weeks of a model of late flights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from driftgauge.attribution.drift import judge_attribution
from driftgauge.attribution.sums import AttributionSums, sum_attributions
from driftgauge.attribution.values import Attributions
from driftgauge.attribution.verdict import AttributionVerdict
from driftgauge.fairness.counts import count_outcome_bias
from driftgauge.fairness.decision import BiasSettings, judge_bias
from driftgauge.fairness.spec import BiasSpec, Criterion, FacetSpec
from driftgauge.fairness.verdict import BiasVerdict
from driftgauge.labels.standing import LabelCounts, delay_bins
from driftgauge.outcome_verdict import LabelStanding, OutcomesVerdict
from driftgauge.quality.counts import count_outcomes
from driftgauge.quality.decision import judge_quality
from driftgauge.quality.estimation import fit_estimator
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.spec import specify_outcomes
from driftgauge.quality.verdict import QualityVerdict
from tests.unit.quality_world import words

DAY = timedelta(days=1)
FEATURES = ("departure_hour", "distance", "carrier", "weekday", "temperature", "origin_traffic")
CARRIERS = ("AA", "DL", "UA", "WN")
BIAS = BiasSpec(
    label="late",
    positive=Criterion(values=("no",)),
    facets=(FacetSpec(column="carrier", sensitive=Criterion(values=("WN",))),),
)


def flights(
    rows: int,
    *,
    seed: int,
    decay: float = 0.0,
    segment_decay: float = 0.0,
    bias: float = 0.0,
    names: Sequence[str] = CARRIERS,
) -> Outcomes:
    """Return scored flights.

    ``decay`` moves the labels' log odds off the scores', ``segment_decay`` only those of the last
    carrier; ``bias`` moves the scores of that carrier.
    """
    rng = np.random.default_rng(seed)
    carrier = rng.choice(len(names), rows)
    last = carrier == len(names) - 1
    odds = rng.normal(-1.6, 1.25, rows)
    label = rng.random(rows) < 1 / (1 + np.exp(-odds - decay - segment_decay * last))
    score = 1 / (1 + np.exp(-odds - bias * last))
    return Outcomes(
        problem="binary",
        classes=("no", "yes"),
        labels=label.astype(np.float64),
        predictions=(score >= 0.5).astype(np.float64),
        probabilities=score,
        segments={"carrier": words([names[i] for i in carrier])},
    )


def keep_labels(outcomes: Outcomes, share: float, *, seed: int = 0) -> Outcomes:
    """Return the outcomes with the labels of only a share of the rows."""
    rng = np.random.default_rng(seed)
    return replace(
        outcomes, labels=np.where(rng.random(outcomes.rows) < share, outcomes.labels, np.nan)
    )


def judged_quality(outcomes: Outcomes, baseline: Outcomes, **settings: Any) -> QualityVerdict:
    spec = specify_outcomes(baseline)
    known = count_outcomes(spec, baseline)
    return judge_quality(
        count_outcomes(spec, outcomes),
        known,
        settings=QualitySettings(**settings),
        estimator=fit_estimator(known),
    )


def judged_bias(outcomes: Outcomes, baseline: Outcomes) -> BiasVerdict:
    return judge_bias(
        count_outcome_bias(BIAS, outcomes),
        count_outcome_bias(BIAS, baseline),
        settings=BiasSettings(),
    )


def attribution_sums(rows: int, *, seed: int, scales: Sequence[float]) -> AttributionSums:
    rng = np.random.default_rng(seed)
    return sum_attributions(
        Attributions(
            features=FEATURES,
            labels=("late",),
            values=rng.normal(size=(1, rows, len(scales))) * np.array(scales),
            expected=np.array([0.22]),
        )
    )


def judged_attributions(*scales: float, rows: int = 500) -> AttributionVerdict:
    """Compare attributions of these sizes with 1, 0.6, 0.45, 0.3, 0.2 and 0.1."""
    before = attribution_sums(2_000, seed=8, scales=(1.0, 0.6, 0.45, 0.3, 0.2, 0.1))
    return judge_attribution(before, attribution_sums(rows, seed=9, scales=scales), label="late")


def label_counts(rows: int, *, labelled: float) -> LabelCounts:
    """Return labels that took about 30 hours, a few of them much longer."""
    rng = np.random.default_rng(1)
    found = round(rows * labelled)
    return LabelCounts(
        rows=rows,
        records=rows,
        labelled=found,
        duplicates=round(0.02 * rows),
        corrected=round(0.005 * rows),
        delays=delay_bins((108_000 * rng.lognormal(0.0, 0.7, found)).astype(np.int64)),
    )


def standing(
    counts: LabelCounts, *, usual: float | None = 0.94, age: timedelta = 21 * DAY
) -> LabelStanding:
    return LabelStanding(
        counts=counts,
        coverage=counts.coverage or 0.0,
        usual_coverage=usual,
        median_delay_seconds=counts.median_delay,
        age_seconds=age.total_seconds(),
    )


def week_of(
    start: datetime,
    quality: QualityVerdict | None,
    *,
    labelled: float = 0.93,
    rows: int = 2_000,
    baseline: str = "v1",
    **changes: Any,
) -> OutcomesVerdict:
    """Return the verdict on the outcomes of a week."""
    plain = OutcomesVerdict(
        monitor="flight-delays",
        variant="AllTraffic",
        window_start=start,
        window_end=start + 7 * DAY,
        evaluated_at=start + 28 * DAY,
        baseline_version=baseline,
        labels=standing(label_counts(rows, labelled=labelled)),
        quality=quality,
        bias=None,
    )
    return replace(plain, **changes)


def season(
    reported: datetime, *, decays: Sequence[float], rows: int, bias: Sequence[float] = ()
) -> list[OutcomesVerdict]:
    """Return weeks up to the reported one, each with its decay and with its bias."""
    baseline = flights(6_000, seed=1)
    weeks = []
    for i, decay in enumerate(decays):
        outcomes = flights(rows, seed=100 + i, decay=decay, bias=bias[i] if i < len(bias) else 0.0)
        weeks.append(
            week_of(
                reported - (len(decays) - 1 - i) * 7 * DAY,
                judged_quality(keep_labels(outcomes, 0.93, seed=i), baseline),
                rows=rows,
                bias=judged_bias(outcomes, baseline),
            )
        )
    return weeks
