"""What a verdict says besides its decision: missing and new values, intervals, dispersion."""

from __future__ import annotations

import numpy as np
import pytest

from driftgauge.baseline import Baseline
from driftgauge.columns import Column
from driftgauge.config import DecisionSettings
from driftgauge.drift.decision import judge_features
from tests.unit.test_drift_decision import (
    SETTINGS,
    baseline_of,
    integers,
    judge,
    judge_all,
    numbers,
    profile_of,
    quiet,
    words,
)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(quiet(np.random.default_rng(42), 10_000))


def test_benjamini_hochberg_lets_columns_that_drift_together_help_each_other(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(19)
    columns = quiet(rng, 150) | {"delay": numbers(rng.standard_normal(150) + 0.5)}
    columns["stops"] = integers(np.minimum(4, rng.integers(0, 5, 150) + (rng.random(150) < 0.4)))
    strict = judge(baseline, columns)
    lenient = judge(baseline, columns, decision=DecisionSettings(correction="benjamini_hochberg"))
    for name in columns:
        assert lenient[name].p_value == strict[name].p_value
        loose, tight = lenient[name].adjusted_p_value, strict[name].adjusted_p_value
        assert loose is not None
        assert tight is not None
        assert loose <= tight
    assert lenient["stops"].adjusted_p_value != strict["stops"].adjusted_p_value


def gaps(rng: np.random.Generator, rows: int, share: float) -> Column:
    return numbers(rng.standard_normal(rows), rng.random(rows) < share)


@pytest.fixture(scope="module")
def gappy() -> Baseline:
    rng = np.random.default_rng(20)
    return baseline_of({"x": gaps(rng, 10_000, 0.3), "y": numbers(rng.standard_normal(10_000))})


def test_fewer_missing_values_are_a_drift_that_names_them(gappy: Baseline) -> None:
    rng = np.random.default_rng(21)
    columns = {"x": gaps(rng, 400, 0.05), "y": numbers(rng.standard_normal(400))}
    verdict = judge(gappy, columns)["x"]
    assert verdict.verdict == "drift"
    assert verdict.missing_p_value is not None
    assert verdict.missing_p_value < 1e-20
    assert verdict.missing_effect is not None
    assert verdict.missing_effect > 0.2
    assert verdict.size == verdict.missing_effect
    assert verdict.moved[0].label == "missing"
    assert verdict.moved[0].baseline_share == pytest.approx(0.3, abs=0.02)
    assert verdict.adjusted_p_value is not None
    assert verdict.adjusted_p_value > 0.01
    assert "Fewer values are missing" in verdict.reason
    (violation,) = judge_all(gappy, columns).violations
    assert violation.constraint_check_type == "baseline_drift_check"
    assert violation.description == (
        f"Distance of missing shares: {verdict.missing_effect} exceeds drift threshold: 0.025"
    )


def test_more_missing_values_are_named_and_left_to_data_quality(gappy: Baseline) -> None:
    rng = np.random.default_rng(22)
    columns = {"x": gaps(rng, 400, 0.6), "y": numbers(rng.standard_normal(400))}
    verdict = judge(gappy, columns)["x"]
    assert verdict.verdict == "ok"
    assert verdict.missing_p_value is not None
    assert verdict.missing_p_value < 1e-20
    assert verdict.moved[0].label != "missing"
    assert "More values are missing" in verdict.reason
    assert "data quality judges that" in verdict.reason
    (violation,) = judge_all(gappy, columns).violations
    assert violation.constraint_check_type == "completeness_check"


def test_the_same_share_of_missing_values_is_no_evidence(gappy: Baseline) -> None:
    rng = np.random.default_rng(23)
    columns = {"x": gaps(rng, 400, 0.3), "y": numbers(rng.standard_normal(400))}
    verdicts = judge(gappy, columns)
    assert "missing" not in verdicts["x"].reason
    assert verdicts["y"].missing_p_value is None
    assert verdicts["y"].missing_effect is None


def test_a_column_of_missing_values_only_says_so_although_it_cannot_be_judged(
    gappy: Baseline,
) -> None:
    rng = np.random.default_rng(24)
    columns = {"x": gaps(rng, 400, 1.1), "y": numbers(rng.standard_normal(400))}
    verdict = judge(gappy, columns)["x"]
    assert verdict.verdict == "insufficient_data"
    assert verdict.detectable_shift is None
    assert "More values are missing: 100.0% of the rows" in verdict.reason


def test_new_values_have_a_p_value_of_their_own(baseline: Baseline) -> None:
    rng = np.random.default_rng(25)
    calm = judge(baseline, quiet(rng, 200))
    assert calm["carrier"].novel_p_value == 1.0
    columns = quiet(rng, 200) | {"carrier": words(["AA", "DL", "ZZ", "WN", "US"] * 40)}
    verdict = judge(baseline, columns)["carrier"]
    assert verdict.novel_p_value is not None
    assert verdict.novel_p_value < 1e-30
    assert "20.0% are values the baseline does not have" in verdict.reason


def test_new_values_are_expected_where_the_baseline_has_many_only_once() -> None:
    rng = np.random.default_rng(26)
    known = baseline_of({"id": words([f"id-{i}" for i in rng.integers(0, 900, 2000)])})
    p_values = []
    for _ in range(60):
        window = words([f"id-{i}" for i in rng.integers(0, 900, 200)])
        found = judge(known, {"id": window})["id"].novel_p_value
        assert found is not None
        p_values.append(found)
    assert sum(p <= 0.05 for p in p_values) <= 9


def test_a_few_impossible_values_are_found_as_new_ones(baseline: Baseline) -> None:
    rng = np.random.default_rng(27)
    values = rng.standard_normal(100)
    values[:4] = -999.0
    verdict = judge(baseline, quiet(rng, 100) | {"delay": numbers(values)})["delay"]
    assert verdict.verdict == "drift"
    assert verdict.test == "novelty"


def test_a_dispersion_weakens_evidence_widens_the_interval_and_is_reported(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(28)
    columns = quiet(rng, 400) | {"delay": numbers(rng.standard_normal(400) + 0.4)}
    profile = profile_of(baseline, columns)
    found = {}
    for dispersion in (1.0, 20.0):
        verdicts = judge_features(
            baseline=baseline.profile,
            profile=profile,
            decision=SETTINGS,
            features={},
            dispersions={"delay": dispersion},
        )
        found[dispersion] = {verdict.name: verdict for verdict in verdicts}
    independent, clustered = found[1.0]["delay"], found[20.0]["delay"]
    assert (independent.verdict, clustered.verdict) == ("drift", "ok")
    assert clustered.dispersion == 20.0
    assert independent.p_value is not None
    assert clustered.p_value is not None
    assert clustered.p_value > 0.001 > independent.p_value
    assert independent.detectable_shift is not None
    assert clustered.detectable_shift is not None
    assert clustered.detectable_shift > 3.5 * independent.detectable_shift
    assert independent.distance_interval is not None
    assert clustered.distance_interval is not None
    assert clustered.distance_interval[0] == 0.0 < independent.distance_interval[0]
    assert found[20.0]["carrier"].dispersion == 1.0


def test_an_interval_surrounds_the_effect(baseline: Baseline) -> None:
    rng = np.random.default_rng(29)
    columns = quiet(rng, 1000) | {"delay": numbers(rng.standard_normal(1000) + 0.5)}
    verdict = judge(baseline, columns)["delay"]
    assert verdict.distance_interval is not None
    assert verdict.effect is not None
    low, high = verdict.distance_interval
    assert low < verdict.effect < high
    # Of the populations in tenths of the baseline.
    assert low < 0.2377 < high


def test_reasons_call_another_reference_by_its_name(baseline: Baseline) -> None:
    rng = np.random.default_rng(30)
    verdicts = judge_features(
        baseline=profile_of(baseline, quiet(rng, 800)),
        profile=profile_of(baseline, quiet(rng, 300)),
        decision=SETTINGS,
        features={},
        reference="the 4 windows before",
    )
    assert all("from the 4 windows before" in verdict.reason for verdict in verdicts)
