"""What is said about a window's outcomes: soundly, strictly, and while labels are on their way."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from driftgauge.attribution.sums import AttributionSums, sum_attributions
from driftgauge.attribution.values import Attributions
from driftgauge.errors import QualityError
from driftgauge.fairness.counts import BiasCounts
from driftgauge.fairness.files import analysis_of
from driftgauge.fairness.flips import FlipTest
from driftgauge.outcome_assessment import (
    AttributionReference,
    WindowOutcomes,
    bias_files,
    explainability_files,
    flip_tests,
    learnt_design_effect,
    quality_files,
)
from driftgauge.outcome_baseline import OutcomeBaseline
from driftgauge.outcome_verdict import (
    OutcomesVerdict,
    decode_outcomes_verdict,
    encode_outcomes_verdict,
)
from tests.columns import column_of
from tests.unit.bias_world import counted as counted_bias
from tests.unit.outcome_world import (
    SPEC,
    TRAINING,
    VERSION,
    baseline,
    counted,
    judged,
    monitor,
    occasion,
    standing,
    unlabelled,
)
from tests.unit.quality_world import binary

BIAS = {
    "positive": ["yes"],
    "facets": [{"column": "sex", "values": ["F"]}],
}
GOOD = binary(3000, seed=2)
DECAYED = binary(3000, seed=2, bias=1.5)


def test_a_window_like_the_training_data_is_ok() -> None:
    verdict = judged(GOOD)
    assert verdict.quality is not None
    assert (verdict.quality.verdict, verdict.concept_drift) == ("ok", False)
    assert verdict.primary == "accuracy"
    assert (verdict.baseline_version, verdict.reason) == (VERSION, "")


def test_labels_that_contradict_the_scores_are_decay_and_concept_drift() -> None:
    verdict = judged(DECAYED)
    assert (verdict.quality_decay, verdict.concept_drift) == (True, True)


def test_without_estimates_there_is_no_concept_drift() -> None:
    verdict = judged(DECAYED, config=monitor(quality={"estimate": False}))
    assert verdict.quality is not None
    assert (verdict.quality_decay, verdict.quality.estimates, verdict.quality.gaps) == (
        True,
        {},
        (),
    )


def test_labels_below_the_usual_coverage_are_immature_whatever_they_say() -> None:
    few = unlabelled(DECAYED, 0.5)
    verdict = judged(few, usual=0.9)
    assert verdict.quality is not None
    assert verdict.quality.verdict == "labels_immature"
    assert "at this age 90.0% usually have" in verdict.quality.reason
    assert not verdict.concept_drift
    assert judged(few, usual=0.5).quality_decay


def test_the_least_coverage_of_the_settings_replaces_what_is_usual() -> None:
    few = unlabelled(DECAYED, 0.5)
    demanding = judged(few, config=monitor(quality={"min_coverage": 0.8}), usual=0.1)
    assert demanding.quality is not None
    assert demanding.quality.verdict == "labels_immature"
    assert "at least 80.0% are needed" in demanding.quality.reason
    content = judged(few, config=monitor(quality={"min_coverage": 0.2}), usual=0.99)
    assert content.quality_decay


def test_labels_of_one_class_are_immature() -> None:
    positives = replace(GOOD, labels=np.where(GOOD.labels == 1.0, 1.0, np.nan))
    verdict = judged(positives)
    assert verdict.quality is not None
    assert verdict.quality.verdict == "labels_immature"


def test_no_labels_are_insufficient_data_but_quality_is_estimated() -> None:
    verdict = judged(unlabelled(GOOD, 1.1))
    assert verdict.quality is not None
    assert verdict.quality.verdict == "insufficient_data"
    assert verdict.quality.estimates["accuracy"].value == pytest.approx(0.8, abs=0.1)


def test_a_larger_design_effect_asks_for_more_evidence() -> None:
    slightly = binary(1500, seed=3, bias=0.9)
    assert judged(slightly).quality_decay
    held = judged(slightly, design_effect=20.0)
    assert (held.quality_decay, held.design_effect) == (False, 20.0)
    of_baseline = judged(slightly, known=baseline(design_effect=20.0))
    assert (of_baseline.quality_decay, of_baseline.design_effect) == (False, 20.0)


def test_strict_mode_judges_by_the_constraints_alone() -> None:
    strict = monitor(mode="strict")
    few = unlabelled(binary(200, seed=4, bias=0.3), 0.5)
    verdict = judged(few, config=strict, usual=0.99)
    assert verdict.quality is not None
    assert (verdict.quality.mode, verdict.quality_decay) == ("strict", True)
    patient = monitor(mode="strict", quality={"min_coverage": 0.9})
    held = judged(few, config=patient)
    assert held.quality is not None
    assert (held.quality.verdict, held.quality.violations) == ("labels_immature", ())


def test_without_a_baseline_only_the_standing_of_labels_is_known() -> None:
    verdict = judged(GOOD, known=OutcomeBaseline(notes=("It lacks the label.",)))
    assert (verdict.quality, verdict.bias, verdict.reason) == (None, None, "It lacks the label.")
    nothing = judged(GOOD, baseline=None)
    assert nothing.labels.coverage == 1.0
    assert "without outcomes" in nothing.reason


def test_a_baseline_of_constraints_alone_still_judges() -> None:
    verdict = judged(DECAYED, known=baseline(counts=None))
    assert verdict.quality_decay


def biased(labels: int, rows: int = 2000, *, seed: int = 1) -> BiasCounts:
    """Count rows of which women get the wished prediction less often."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], rows)
    wished = rng.random(rows) < np.where(sex == "F", labels / 100, 0.6)
    predicted = ["yes" if one else "no" for one in wished]
    spec = monitor(bias=BIAS).bias
    assert spec is not None
    return counted_bias(spec.spec, labels=predicted, predictions=predicted, sex=sex.tolist())


def judged_bias(counts: BiasCounts, known: OutcomeBaseline, **changes: object) -> OutcomesVerdict:
    config = monitor(bias=BIAS, mode=changes.pop("mode", "sound"))
    outcomes = changes.pop("outcomes", GOOD)
    window = WindowOutcomes(
        labels=standing(outcomes, usual=changes.pop("usual", None)),  # type: ignore[arg-type]
        counts=counted(outcomes),  # type: ignore[arg-type]
        bias=counts,
    )
    return judged(GOOD, config=config, known=known, window=window)


def test_more_bias_than_the_baseline_is_drift() -> None:
    known = baseline(bias=biased(60), analysis=analysis_of(biased(60)))
    assert judged_bias(biased(20, seed=2), known).bias_drift
    assert not judged_bias(biased(60, seed=2), known).bias_drift
    assert judged_bias(biased(20, seed=2), known, mode="strict").bias_drift


def test_bias_is_not_judged_by_immature_labels() -> None:
    known = baseline(bias=biased(60))
    few = unlabelled(GOOD, 0.5)
    verdict = judged_bias(biased(20, seed=2), known, outcomes=few, usual=1.0)
    assert verdict.bias is not None
    assert (verdict.bias.verdict, verdict.bias.violations) == ("insufficient_data", ())
    assert {m.verdict for f in verdict.bias.facets for m in f.metrics} == {"insufficient_data"}
    assert "usually have" in verdict.bias.reason


def test_other_groups_than_the_baseline_counts_are_said_and_not_judged() -> None:
    known = baseline(bias=biased(60))
    config = monitor(bias={**BIAS, "facets": [{"column": "age", "above": 40}]})
    assert config.bias is not None
    counts = counted_bias(config.bias.spec, labels=["yes"], predictions=["no"], age=[50])
    window = WindowOutcomes(labels=standing(GOOD), counts=counted(GOOD), bias=counts)
    verdict = judged(GOOD, config=config, known=known, window=window)
    assert (verdict.bias, "other groups" in verdict.reason) == (None, True)


def test_the_flip_test_takes_features_and_leaves_outputs_aside() -> None:
    config = monitor(bias=BIAS)
    rng = np.random.default_rng(3)
    amount = rng.normal(size=200)
    sex = rng.choice(["F", "M"], 200)
    columns = {
        "score": column_of(np.where((amount > 0) & (sex == "M"), 0.9, 0.1).tolist()),
        "other": column_of(rng.random(200).tolist()),
        "amount": column_of(amount.tolist()),
        "sex": column_of(sex.tolist()),
    }
    (found,) = flip_tests(config, columns, outputs=("score", "other"))
    assert isinstance(found, FlipTest)
    assert (found.lost > 30, found.gained) == (True, 0)
    (absent,) = flip_tests(config, {"sex": columns["sex"]}, outputs=())
    assert absent == "The row sample has no column score"
    (alone,) = flip_tests(config, {n: columns[n] for n in ("sex", "score")}, outputs=())
    assert alone == "No numeric feature to find neighbours by"


def explained(weight: float, *, rows: int = 400, seed: int = 1) -> AttributionSums:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1, rows, 2)) * np.array([weight, 1.0])
    return sum_attributions(
        Attributions(features=("a", "b"), labels=("label0",), values=values, expected=None)
    )


def with_sums(sums: AttributionSums | None) -> WindowOutcomes:
    return WindowOutcomes(labels=standing(GOOD), sums=sums)


def test_attributions_are_judged_against_sums_or_what_analysis_json_says() -> None:
    config = monitor(attribution={})
    known = baseline(sums=explained(3.0))
    same = judged(GOOD, config=config, known=known, window=with_sums(explained(3.0, seed=2)))
    assert [one.verdict for one in same.attributions] == ["ok"]
    other = with_sums(explained(0.3, seed=2))
    assert judged(GOOD, config=config, known=known, window=other).attribution_drift
    values = baseline(explanations={"0.79": {"a": 2.4, "b": 0.8}})
    assert judged(GOOD, config=config, known=values, window=other).attribution_drift


def test_without_attributions_of_the_baseline_a_reference_is_used_and_named() -> None:
    config = monitor(attribution={})
    window = with_sums(explained(0.3, seed=2))
    assert judged(GOOD, config=config, window=window).attributions == ()
    reference = AttributionReference(sums=explained(3.0), note="Compared with another window.")
    verdict = judged(GOOD, config=config, window=window, reference=reference)
    assert verdict.attribution_drift
    assert verdict.attributions[0].reason.endswith("Compared with another window.")


def test_the_verdict_is_read_back_as_it_was_written() -> None:
    known = baseline(bias=biased(60), sums=explained(3.0))
    window = WindowOutcomes(
        labels=standing(GOOD), counts=counted(GOOD), bias=biased(20), sums=explained(1.0)
    )
    verdict = judged(GOOD, config=monitor(bias=BIAS, attribution={}), known=known, window=window)
    assert decode_outcomes_verdict(encode_outcomes_verdict(verdict)) == verdict


def test_a_verdict_of_another_version_or_no_verdict_is_refused() -> None:
    text = encode_outcomes_verdict(judged(GOOD))
    with pytest.raises(QualityError, match="only 1 can be read"):
        decode_outcomes_verdict(text.replace(b'"version": 1\n}', b'"version": 9\n}'))
    with pytest.raises(QualityError, match="cannot be read"):
        decode_outcomes_verdict(text[:100])


def test_the_files_of_a_window_are_those_of_model_monitor_and_clarify() -> None:
    known = baseline(bias=biased(60), sums=explained(3.0))
    window = WindowOutcomes(
        labels=standing(DECAYED), counts=counted(DECAYED), bias=biased(20), sums=explained(0.3)
    )
    config = monitor(bias=BIAS, attribution={})
    verdict = judged(DECAYED, config=config, known=known, window=window)
    quality = quality_files(window, verdict, occasion())
    assert json.loads(quality["statistics.json"])["dataset"]["item_count"] == 3000
    assert "recall" in json.loads(quality["constraints.json"])["binary_classification_constraints"]
    assert json.loads(quality["constraint_violations.json"])["violations"]
    bias = bias_files(window, verdict)
    assert json.loads(bias["analysis.json"])["post_training_bias_metrics"]["facets"]["sex"]
    assert json.loads(bias["constraint_violations.json"])["violations"]
    shap = explainability_files(window, verdict)
    assert json.loads(shap["analysis.json"])["explanations"]["kernel_shap"]["label0"]
    assert sorted(shap) == ["analysis.json", "constraint_violations.json"]


def test_what_was_not_counted_has_no_files() -> None:
    window = WindowOutcomes(labels=standing(GOOD))
    verdict = judged(GOOD, window=window)
    assert quality_files(window, verdict, occasion()) == {}
    assert (bias_files(window, verdict), explainability_files(window, verdict)) == ({}, {})


def earlier(windows: int, *, spread: float, seed: int = 7) -> list[OutcomesVerdict]:
    """Judge windows whose labels' log odds are off by a random amount each."""
    rng = np.random.default_rng(seed)
    return [
        judged(binary(1000, seed=100 + i, shift=rng.normal(0.0, spread)), number=i)
        for i in range(windows)
    ]


def test_windows_that_vary_as_independent_rows_do_teach_nothing() -> None:
    found = earlier(12, spread=0.0)
    effect = learnt_design_effect(found, primary="accuracy", baseline_version=VERSION)
    assert 1.0 <= effect < 1.6


def test_windows_that_vary_more_make_variances_larger() -> None:
    config = monitor(quality={"tolerance": 0.5, "relative_tolerance": 9.0})
    rng = np.random.default_rng(7)
    found = [
        judged(binary(1000, seed=100 + i, bias=rng.normal(0, 1.5)), config=config, number=i)
        for i in range(12)
    ]
    effect = learnt_design_effect(found, primary="accuracy", baseline_version=VERSION)
    assert effect > 2.0
    # What was learnt before is taken out of the standard errors again.
    told = [judged(GOOD, design_effect=4.0), judged(GOOD)]
    half = [
        (m.high or 0.0) - (m.low or 0.0)
        for v in told
        if v.quality
        for m in v.quality.metrics
        if m.name == "accuracy"
    ]
    assert half[0] == pytest.approx(2 * half[1], rel=0.02)


def test_few_windows_other_baselines_and_decayed_windows_do_not_count() -> None:
    config = monitor(quality={"tolerance": 0.5, "relative_tolerance": 9.0})
    wild = [
        judged(binary(1000, seed=i, bias=3.0 * (i % 2)), config=config, number=i) for i in range(6)
    ]
    assert learnt_design_effect(wild, primary="accuracy", baseline_version=VERSION) > 10.0
    assert learnt_design_effect(wild[:3], primary="accuracy", baseline_version=VERSION) == 1.0
    assert learnt_design_effect(wild, primary="accuracy", baseline_version="v2") == 1.0
    assert learnt_design_effect(wild, primary=None, baseline_version=VERSION) == 1.0
    decayed = [judged(binary(1000, seed=i, bias=2.0 * (i % 2)), number=i) for i in range(6)]
    assert [v.quality_decay for v in decayed] == [False, True] * 3
    assert learnt_design_effect(decayed, primary="accuracy", baseline_version=VERSION) == 1.0


def test_training_data_is_as_good_as_itself() -> None:
    verdict = judged(TRAINING)
    assert verdict.quality is not None
    assert all(m.value == m.baseline for m in verdict.quality.metrics)
    assert SPEC.problem == verdict.quality.problem
