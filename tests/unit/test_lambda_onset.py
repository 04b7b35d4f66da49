"""Since when the traffic is what an alarm rings about, by drift and by outcomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from driftgauge.attribution.verdict import AttributionVerdict
from driftgauge.config import MonitorConfig, MonitorSet, parse_monitor
from driftgauge.errors import QualityError
from driftgauge.fairness.verdict import BiasVerdict
from driftgauge.labels.standing import LabelCounts
from driftgauge.outcome_verdict import LabelStanding, OutcomesVerdict, encode_outcomes_verdict
from driftgauge.quality.estimation import QualityGap
from driftgauge.quality.verdict import QualityOutcome, QualityVerdict
from driftgauge.store import LocalObjects, MonitorStore
from driftgauge.windows import Window
from lambdas.guard import read_alarm
from lambdas.onset import start_of_change
from lambdas.runtime import Runtime, Settings

DAY = timedelta(days=1)
NEWEST = datetime(2026, 7, 20, tzinfo=UTC)
SETTINGS: dict[str, Any] = {
    "name": "churn",
    "endpoint": {"name": "churn"},
    "prediction": "score",
    "label": "label",
    "outcomes": {},
    "retraining": {"enabled": True},
}
Word = Literal["ok", "drift", "insufficient_data"]


@pytest.fixture
def store(tmp_path: Path) -> MonitorStore:
    return MonitorStore(objects=LocalObjects(tmp_path), monitor="churn")


def config(**settings: Any) -> MonitorConfig:
    return parse_monitor({**SETTINGS, **settings}, "churn.yaml")


def write(
    store: MonitorStore,
    days_ago: int,
    quality: QualityOutcome | None = None,
    *,
    gap: bool = False,
    bias: Word | None = None,
    attribution: Word | None = None,
) -> None:
    """Write what was decided about one window; only what guards look at is filled in."""
    start = NEWEST - days_ago * DAY
    gaps = (QualityGap(name="accuracy", verdict="concept_drift" if gap else "ok", reason=""),)
    verdict = OutcomesVerdict(
        monitor="churn",
        variant="AllTraffic",
        window_start=start,
        window_end=start + DAY,
        evaluated_at=NEWEST + DAY,
        baseline_version="v1",
        labels=LabelStanding(
            counts=LabelCounts(),
            coverage=1.0,
            usual_coverage=None,
            median_delay_seconds=None,
            age_seconds=0.0,
        ),
        quality=None
        if quality is None
        else QualityVerdict(
            problem="binary",
            mode="sound",
            verdict=quality,
            reason="",
            rows=100,
            labelled=100,
            unusable=0,
            metrics=(),
            gaps=gaps,
        ),
        bias=None
        if bias is None
        else BiasVerdict(
            mode="sound",
            verdict=bias,
            reason="",
            label="label",
            label_value="1",
            rows=100,
            facets=(),
        ),
        attributions=()
        if attribution is None
        else (
            AttributionVerdict(
                label="label0",
                mode="sound",
                verdict=attribution,
                reason="",
                rows=100,
                ndcg=None,
                ndcg_limit=0.9,
                distance=None,
            ),
        ),
    )
    window = Window(start, start + DAY)
    key = store.report_key(variant="AllTraffic", window=window, name="outcomes.json")
    store.objects.write(key, encode_outcomes_verdict(verdict))


def days_since(store: MonitorStore, kind: str, **settings: Any) -> int:
    start = start_of_change(
        store,
        config(**settings),
        variant="AllTraffic",
        kind=kind,
        window=Window(NEWEST, NEWEST + DAY),
    )
    return (NEWEST - start) // DAY


def test_decay_began_with_the_first_window_of_the_unbroken_run(store: MonitorStore) -> None:
    for days_ago, quality in enumerate(("decay", "decay", "decay", "ok", "decay")):
        write(store, days_ago, quality)  # type: ignore[arg-type]
    assert days_since(store, "quality-decay") == 2


def test_windows_whose_labels_have_not_come_yet_are_passed_over(store: MonitorStore) -> None:
    # The three newest have no verdict at all or immature labels; so has one inside the run.
    write(store, 1, "labels_immature")
    write(store, 2, "insufficient_data")
    write(store, 3, "decay")
    write(store, 4, "labels_immature")
    write(store, 5, "decay")
    write(store, 6, "ok")
    assert days_since(store, "quality-decay") == 5


def test_labels_may_come_as_late_as_the_lookback_says(store: MonitorStore) -> None:
    write(store, 80, "decay")
    assert days_since(store, "quality-decay") == 80
    assert days_since(store, "quality-decay", outcomes={"lookback": "30d"}) == 0


def test_a_run_of_decay_counts_as_far_as_a_run_of_drift_does(store: MonitorStore) -> None:
    for days_ago in range(40):
        write(store, days_ago, "decay")
    assert days_since(store, "quality-decay") == 25


def test_concept_drift_goes_by_the_gap_and_not_by_decay(store: MonitorStore) -> None:
    write(store, 0, "decay", gap=True)
    write(store, 1, "ok", gap=True)
    write(store, 2, "decay", gap=False)
    assert days_since(store, "concept-drift") == 1


def test_bias_and_attributions_have_runs_of_their_own(store: MonitorStore) -> None:
    words: tuple[tuple[Word, Word], ...] = (
        ("drift", "drift"),
        ("insufficient_data", "drift"),
        ("drift", "ok"),
        ("ok", "drift"),
    )
    for days_ago, (bias, attribution) in enumerate(words):
        write(store, days_ago, "ok", bias=bias, attribution=attribution)
    assert days_since(store, "bias-drift") == 2
    assert days_since(store, "attribution-drift") == 1


def test_any_other_alarm_and_none_go_by_drift(store: MonitorStore) -> None:
    for days_ago in range(4):
        write(store, days_ago, "decay", gap=True)
    # No window has a verdict on drift, so the newest one is all there is.
    for kind in ("feature-drift", "prediction-drift", ""):
        assert days_since(store, kind) == 0


def test_the_alarm_of_all_triggers_goes_by_whatever_reaches_further_back(
    store: MonitorStore,
) -> None:
    for days_ago in range(4):
        write(store, days_ago, "decay" if days_ago < 2 else "ok", gap=True)
    assert days_since(store, "retraining") == 1
    triggers = [["quality-decay", "concept-drift"], "feature-drift"]
    assert days_since(store, "retraining", retraining={"enabled": True, "triggers": triggers}) == 3
    only_drift = {"enabled": True, "triggers": [["feature-drift", "data-quality"]]}
    assert days_since(store, "retraining", retraining=only_drift) == 0


def test_an_alarm_on_outcomes_without_a_verdict_to_show_goes_by_drift(
    store: MonitorStore,
) -> None:
    assert days_since(store, "quality-decay") == 0


def test_a_verdict_that_cannot_be_read_stops_the_guard(store: MonitorStore) -> None:
    window = Window(NEWEST, NEWEST + DAY)
    key = store.report_key(variant="AllTraffic", window=window, name="outcomes.json")
    store.objects.write(key, b"{}")
    with pytest.raises(QualityError, match=r"outcomes\.json cannot be read"):
        days_since(store, "quality-decay")


@pytest.mark.parametrize(
    ("alarm", "expected"),
    [
        ("staging-churn-b-g-retraining", ("b-g", "retraining")),
        ("staging-churn-b-quality-decay", ("b", "quality-decay")),
        ("staging-churn-b-g-feature-drift", ("b-g", "feature-drift")),
        # Neither another monitor's, nor of an alarm that this monitor has not.
        ("staging-churn-eu-b-g-retraining", ("b", "")),
        ("staging-churn-b-g-bias-drift", ("b", "")),
        ("", ("b", "")),
    ],
)
def test_an_alarms_name_says_whose_traffic_to_learn_from(
    alarm: str, expected: tuple[str, str]
) -> None:
    churn = config(endpoint={"name": "churn", "variants": ["b", "b-g"]})
    run = Runtime(
        settings=Settings(STORE_BUCKET="store", DEPLOYMENT="staging"),
        monitors=MonitorSet(monitors=(churn,)),
    )
    assert read_alarm(run, churn, alarm) == expected
