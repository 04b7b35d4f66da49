"""When quality is said to be worse, and when not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from driftgauge.errors import QualityError
from driftgauge.quality.counts import OutcomeCounts, count_outcomes
from driftgauge.quality.decision import (
    interval_of,
    judge_quality,
    judge_quality_strictly,
    p_of_decay,
)
from driftgauge.quality.estimation import fit_estimator
from driftgauge.quality.files import (
    Limit,
    QualityConstraints,
    decode_quality_constraints,
    encode_quality_constraints,
    encode_quality_statistics,
    encode_quality_violations,
    suggest_quality_constraints,
)
from driftgauge.quality.metrics import Metric, measure
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.spec import specify_outcomes
from driftgauge.quality.verdict import (
    QualityVerdict,
    decode_quality_verdict,
    encode_quality_verdict,
)
from tests.unit.quality_world import binary, multiclass, regression, without_labels

BASELINE = binary(20_000, seed=100, segment=True)
SPEC = specify_outcomes(BASELINE)
KNOWN = count_outcomes(SPEC, BASELINE)


def counted(outcomes: Outcomes) -> OutcomeCounts:
    return count_outcomes(SPEC, outcomes)


def judged(outcomes: Outcomes, **settings: float) -> QualityVerdict:
    return judge_quality(counted(outcomes), KNOWN, settings=QualitySettings(**settings))  # type: ignore[arg-type]


def test_outcomes_like_the_baselines_rarely_alarm() -> None:
    verdicts = [judged(binary(400, seed=seed, segment=True)) for seed in range(200)]
    assert sum(verdict.verdict == "decay" for verdict in verdicts) <= 4
    assert all(verdict.verdict in ("ok", "decay") for verdict in verdicts)
    assert all(verdict.segments for verdict in verdicts)


def test_a_clear_loss_is_decay_and_is_described_as_a_violation() -> None:
    verdict = judged(binary(2000, seed=1, bias=-1.5, segment=True))
    assert verdict.verdict == "decay"
    assert "precision" in {metric.name for metric in verdict.decayed}
    [precision] = [m for m in verdict.metrics if m.name == "precision"]
    assert precision.value is not None
    assert precision.baseline is not None
    assert precision.low is not None
    assert precision.low < precision.value < precision.baseline - 0.02
    [violation] = [v for v in verdict.violations if v.metric_name == "precision"]
    assert violation.constraint_check_type == "LessThanThreshold"
    assert violation.description.startswith(f"Metric precision with {precision.value} +/- 0.0")
    assert violation.description.endswith(f"LessThanThreshold '{precision.baseline - 0.02}'")


def test_a_real_but_small_loss_is_no_alarm() -> None:
    there = binary(200_000, seed=2)
    spec = specify_outcomes(there)
    here = count_outcomes(spec, binary(200_000, seed=3, bias=-0.08))
    verdict = judge_quality(here, count_outcomes(spec, there))
    [precision] = [m for m in verdict.metrics if m.name == "precision"]
    assert precision.adjusted_p_value is not None
    assert precision.adjusted_p_value < 1e-6
    assert precision.reason == "Worse than the baseline, but too little for an alarm."
    assert verdict.verdict == "ok"
    assert verdict.violations == ()


def test_decay_of_one_segment_is_found_where_the_whole_looks_well() -> None:
    verdict = judged(binary(3000, seed=3, segment=True, segment_bias=-1.2))
    worst = verdict.segments[0]
    assert (worst.column, worst.category, worst.verdict) == ("plan", "b", "decay")
    assert [segment.verdict for segment in verdict.segments[1:]] == ["ok", "ok"]


def test_few_labels_are_insufficient() -> None:
    verdict = judged(without_labels(binary(500, seed=4, segment=True), keep=30))
    assert verdict.verdict == "insufficient_data"
    assert {metric.verdict for metric in verdict.metrics} == {"insufficient_data"}
    assert (verdict.rows, verdict.labelled, verdict.coverage) == (500, 30, 0.06)
    assert judged(without_labels(binary(50, seed=4))).verdict == "insufficient_data"


def test_labels_are_immature_below_the_usual_coverage_and_not_above() -> None:
    window = without_labels(binary(1000, seed=5, segment=True), keep=400)
    immature = judged(window, usual_coverage=0.8)
    assert immature.verdict == "labels_immature"
    assert "40.0% of the rows" in immature.reason
    assert all(metric.p_value is None for metric in immature.metrics)
    assert judged(window, usual_coverage=0.42).verdict == "ok"


def test_labels_of_one_class_only_are_immature() -> None:
    outcomes = binary(1000, seed=6, segment=True)
    labels = np.where(outcomes.labels == 0, 0.0, math.nan)
    window = Outcomes(
        problem="binary",
        classes=outcomes.classes,
        labels=labels,
        predictions=outcomes.predictions,
        probabilities=outcomes.probabilities,
        segments=outcomes.segments,
    )
    verdict = judge_quality(counted(window), KNOWN, estimator=fit_estimator(KNOWN))
    assert verdict.verdict == "labels_immature"
    assert verdict.gaps == ()
    assert "auc" in verdict.estimates


def test_clustered_rows_need_more_evidence() -> None:
    window = binary(300, seed=7, bias=-0.9, segment=True)
    assert judged(window).verdict == "decay"
    assert judged(window, design_effect=20.0).verdict != "decay"


@pytest.mark.parametrize(
    ("there", "worse", "name"),
    [
        (multiclass(8000, seed=8), multiclass(1500, seed=9, noise=0.4), "accuracy"),
        (regression(8000, seed=8), regression(1500, seed=9, scale=1.3), "mae"),
    ],
    ids=["multiclass", "regression"],
)
def test_other_problems_decay_as_well(there: Outcomes, worse: Outcomes, name: str) -> None:
    spec = specify_outcomes(there)
    baseline = count_outcomes(spec, there)
    verdict = judge_quality(count_outcomes(spec, worse), baseline)
    assert name in {metric.name for metric in verdict.decayed}
    same = judge_quality(count_outcomes(spec, there.take(slice(0, 2000))), baseline)
    assert same.verdict == "ok"


def test_thresholds_alone_can_be_a_baseline() -> None:
    limits = suggest_quality_constraints("binary", measure(KNOWN))
    worse = counted(binary(2000, seed=10, bias=-1.5, segment=True))
    verdict = judge_quality(worse, limits)
    assert verdict.verdict == "decay"
    assert verdict.segments == ()
    alarms = [
        judge_quality(counted(binary(500, seed=seed)), limits).verdict == "decay"
        for seed in range(100)
    ]
    assert sum(alarms) <= 4


def test_a_share_is_tested_exactly() -> None:
    special = pytest.importorskip("scipy.stats")
    here, there = Metric(value=0.88, rows=50, hits=44), Metric(value=0.97, rows=400, hits=388)
    expected = special.fisher_exact([[6, 44], [12, 388]], alternative="greater").pvalue
    assert p_of_decay("recall", here, there, 1.0) == pytest.approx(expected, rel=1e-9)
    assert p_of_decay("false_negative_rate", here, there, 1.0) == pytest.approx(1.0, abs=0.01)


def test_intervals_of_shares_are_wilsons() -> None:
    stats = pytest.importorskip("scipy.stats")
    low, high = stats.binomtest(44, 50).proportion_ci(method="wilson")
    interval = interval_of("recall", Metric(value=0.88, rows=50, hits=44), 1.0)
    assert interval == pytest.approx((low, high), rel=1e-9)


def test_strict_mode_compares_with_the_baselines_exact_values() -> None:
    limits = suggest_quality_constraints("binary", measure(KNOWN))
    assert judge_quality_strictly(KNOWN, limits).verdict == "ok"
    metrics = {name: limit.threshold for name, limit in limits.limits.items()}
    raised = {
        name: Limit(threshold=metrics[name] + (1e-9 if name == "recall" else 0.0), operator=o)
        for name, o in ((n, limit.operator) for n, limit in limits.limits.items())
    }
    verdict = judge_quality_strictly(KNOWN, QualityConstraints(problem="binary", limits=raised))
    assert [v.metric_name for v in verdict.violations] == ["recall"]
    assert verdict.verdict == "decay"
    assert verdict.mode == "strict"


def test_strict_mode_writes_no_standard_deviation_below_200_rows() -> None:
    limits = QualityConstraints(
        problem="binary", limits={"recall": Limit(threshold=1.5, operator="LessThanThreshold")}
    )
    few = judge_quality_strictly(counted(binary(199, seed=1)), limits).violations[0]
    many = judge_quality_strictly(counted(binary(200, seed=1)), limits).violations[0]
    assert " +/- NaN was LessThanThreshold '1.5'" in few.description
    assert " +/- 0.0" in many.description


def test_a_verdict_is_read_as_it_was_written() -> None:
    window = counted(binary(2000, seed=11, bias=-1.5, segment=True))
    verdict = judge_quality(window, KNOWN, estimator=fit_estimator(KNOWN))
    assert verdict.concept_drift
    assert decode_quality_verdict(encode_quality_verdict(verdict)) == verdict
    with pytest.raises(QualityError, match="cannot be read"):
        decode_quality_verdict(b"{}")
    other = encode_quality_verdict(verdict).replace(b'"version": 1', b'"version": 2')
    with pytest.raises(QualityError, match="version 2"):
        decode_quality_verdict(other)


def test_constraints_are_read_as_they_were_written() -> None:
    for problem, outcomes in (
        ("binary", binary(500, seed=1)),
        ("multiclass", multiclass(500, seed=1)),
        ("regression", regression(500, seed=1)),
    ):
        counts = count_outcomes(specify_outcomes(outcomes), outcomes)
        limits = suggest_quality_constraints(outcomes.problem, measure(counts))
        assert limits.problem == problem
        assert decode_quality_constraints(encode_quality_constraints(limits)) == limits


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{",
        b'{"features": []}',
        b'{"regression_constraints": {"mae": 1}}',
        b'{"regression_constraints": {"mae": {"threshold": 1, "comparison_operator": "Equal"}}}',
        b'{"regression_constraints": {"mae": {"threshold": "x", "comparison_operator": "Equal"}}}',
        b'{"regression_constraints": {"mae": {"threshold": true}}}',
    ],
)
def test_other_files_are_refused_as_constraints(text: bytes) -> None:
    with pytest.raises(QualityError, match=r"constraints\.json"):
        decode_quality_constraints(text)


def test_statistics_of_a_multiclass_window_have_model_monitors_keys() -> None:
    outcomes = multiclass(900, seed=1)
    counts = count_outcomes(specify_outcomes(outcomes), outcomes)
    document = json.loads(encode_quality_statistics(counts))
    metrics = document["multiclass_classification_metrics"]
    assert list(metrics) == [
        "confusion_matrix",
        *(
            name + suffix
            for name in (
                "accuracy",
                "weighted_recall",
                "weighted_precision",
                "weighted_f0_5",
                "weighted_f1",
                "weighted_f2",
            )
            for suffix in ("", "_best_constant_classifier")
        ),
    ]
    assert sum(sum(row.values()) for row in metrics["confusion_matrix"].values()) == 900
    assert set(document["calibration_metrics"]) == {
        *("brier_score", "log_loss", "expected_calibration_error", "reliability"),
    }
    assert sum(one["count"] for one in document["calibration_metrics"]["reliability"]) == 900


def test_no_violation_is_an_empty_list() -> None:
    assert json.loads(encode_quality_violations(())) == {"violations": []}


def test_another_baselines_counts_or_problem_are_refused() -> None:
    other = count_outcomes(specify_outcomes(binary(100, seed=1)), binary(100, seed=1))
    with pytest.raises(QualityError, match="another baseline"):
        judge_quality(other, KNOWN)
    limits = QualityConstraints(problem="regression", limits={})
    with pytest.raises(QualityError, match="of regression"):
        judge_quality_strictly(KNOWN, limits)
