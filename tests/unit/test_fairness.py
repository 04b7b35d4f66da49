"""Bias: criteria, counts, metrics at their edges, the flip test and the decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from driftgauge.checks.clarify_analysis import (
    ClarifyAnalysis,
    decode_analysis,
    encode_analysis,
)
from driftgauge.errors import FairnessError
from driftgauge.fairness.counts import (
    BiasCounts,
    count_bias,
    count_outcome_bias,
    decode_bias_counts,
    encode_bias_counts,
)
from driftgauge.fairness.decision import BiasSettings, judge_bias, judge_bias_strictly
from driftgauge.fairness.files import analysis_of, bias_metric_points
from driftgauge.fairness.flips import FlipTest, flip_test, flip_test_of_columns
from driftgauge.fairness.measure import Measured, measure_bias
from driftgauge.fairness.rows import RowSample
from driftgauge.fairness.spec import BiasSpec, Criterion, FacetSpec
from driftgauge.fairness.verdict import BiasVerdict, decode_bias_verdict, encode_bias_verdict
from driftgauge.quality.outcomes import Outcomes
from driftgauge.report.compatible_metrics import LARGEST_VALUE, Publisher
from tests.columns import column_of
from tests.unit.bias_world import SPEC, counted, of_cells

FAIR = [[400, 100], [100, 400]]


def metric_of(verdict: BiasVerdict, name: str) -> Any:
    return next(m for facet in verdict.facets for m in facet.metrics if m.name == name)


def post(counts: BiasCounts) -> dict[str, Measured]:
    return measure_bias(counts.facets[0], "post_training", grouped=False)


def test_a_criterion_is_either_a_list_or_a_threshold() -> None:
    for values, threshold in (((), None), (("1",), 1.0), ((), math.inf)):
        with pytest.raises(FairnessError):
            Criterion(values=values, threshold=threshold)


def test_numbers_and_texts_of_a_facet_are_recognised_by_their_text() -> None:
    column = column_of([1, 1.0, "1", True, None, "F", 2.5])
    assert Criterion(values=("1.0", "2.5")).marks(column).tolist() == [1, 1, 1, 0, 2, 0, 1]
    assert Criterion(values=("true",)).marks(column).tolist() == [0, 0, 0, 1, 2, 0, 0]


def test_an_interval_of_a_file_is_recognised_by_its_lower_end() -> None:
    forty = Criterion(threshold=40.0)
    assert forty.shown_as("(40, 90]")
    assert forty.shown_as("(40.0, 71.5]")
    assert not forty.shown_as("(41, 90]")
    assert not forty.shown_as("40")
    assert Criterion(values=("b", "a")).shown_as("a,b")


def test_the_interval_ends_at_the_largest_value_of_all_parts() -> None:
    spec = replace(SPEC, facets=(FacetSpec(column="age", sensitive=Criterion(threshold=40.0)),))
    parts = [counted(spec, labels=[1, 0], age=ages) for ages in ([30, 50], [90, None])]
    total = parts[0] + parts[1]
    assert total.display(0) == "(40, 90]"
    assert total.facets[0].unusable == 1
    assert counted(spec, labels=[1], age=[20]).display(0) == "(40, 40]"


def test_counts_of_different_things_do_not_add_up() -> None:
    other = replace(SPEC, label="z")
    with pytest.raises(FairnessError, match="specifications"):
        BiasCounts.empty(SPEC) + BiasCounts.empty(other)


def test_a_facet_without_its_column_is_an_error() -> None:
    with pytest.raises(FairnessError, match="'sex'"):
        count_bias(SPEC, columns={"age": column_of([1])}, labels=None, predictions=None)


def test_foreign_bytes_and_other_versions_are_no_counts() -> None:
    stored = encode_bias_counts(of_cells(FAIR, FAIR))
    with pytest.raises(FairnessError, match="no counts"):
        decode_bias_counts(b"{}")
    with pytest.raises(FairnessError, match="another format"):
        decode_bias_counts(stored[:4] + b"\xff" + stored[5:])
    with pytest.raises(FairnessError, match="damaged"):
        decode_bias_counts(stored[:-3])


def test_outcomes_of_a_classifier_are_counted_by_their_classes() -> None:
    outcomes = Outcomes(
        problem="binary",
        classes=("0", "1"),
        labels=np.array([1.0, 0.0, math.nan, -1.0]),
        predictions=np.array([1.0, 1.0, 0.0, 0.0]),
        probabilities=None,
        segments={"sex": column_of(["F", "M", "F", "M"])},
    )
    found = count_outcome_bias(SPEC, outcomes)
    expected = counted(
        SPEC, labels=[1, 0, None, None], predictions=[1, 1, 0, 0], sex=["F", "M", "F", "M"]
    )
    assert found == expected
    by_threshold = replace(SPEC, positive=Criterion(threshold=0.5))
    with pytest.raises(FairnessError, match="regression"):
        count_outcome_bias(by_threshold, outcomes)


def test_outcomes_of_a_regression_are_counted_by_a_threshold() -> None:
    spec = replace(SPEC, positive=Criterion(threshold=10.0))
    outcomes = Outcomes(
        problem="regression",
        classes=(),
        labels=np.array([11.0, 10.0, math.nan]),
        predictions=np.array([5.0, 25.0, 12.0]),
        probabilities=None,
        segments={"sex": column_of(["F", "M", "F"])},
    )
    counts = count_outcome_bias(spec, outcomes)
    assert counts.facets[0].cells[1].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert counts.spec.positive.display(counts.maximum) == "(10, 25]"


def test_rows_without_a_label_count_for_predictions_only() -> None:
    counts = counted(
        SPEC,
        labels=[1, None, 0, None],
        predictions=[1, 1, 0, None],
        sex=["F", "F", "M", "M"],
    )
    found = post(counts)
    assert found["DPPL"].value == -1.0
    assert found["DPPL"].rows == 1
    assert found["AD"].value == 0.0
    assert measure_bias(counts.facets[0], "pre_training", grouped=False)["CI"].value == 0.0


def test_zero_denominators_follow_clarifys_rules() -> None:
    nobody = post(of_cells([[5, 0], [5, 0]], [[5, 0], [5, 0]]))
    assert nobody["DI"].value == 0.0
    assert nobody["TE"].value == 0.0  # infinity less infinity
    assert nobody["DAR"].value == 0.0
    only_d = post(of_cells([[5, 0], [5, 0]], [[5, 5], [5, 0]]))
    assert only_d["DI"].value == math.inf
    assert only_d["TE"].value == -math.inf
    assert only_d["DCA"].value == math.inf


def test_a_metric_that_cannot_be_computed_says_why() -> None:
    lonely = analysis_of(of_cells(FAIR, [[0, 0], [0, 0]]))
    assert lonely.post_training is not None
    assert lonely.pre_training is not None
    metric = lonely.post_training.facets[0]["AD"]
    assert (metric.value, metric.error) == (None, "Facet d has no row")
    assert lonely.pre_training.facets[0]["CDDL"].error == "There is no group variable"
    assert decode_analysis(encode_analysis(lonely)) == lonely
    grouped = replace(SPEC, group="town")
    counts = counted(grouped, labels=[1, 1], sex=["F", "M"], town=["x", "x"])
    found = measure_bias(counts.facets[0], "pre_training", grouped=True)
    assert found["CDDL"].error == "There is no negative outcome"


def test_standard_errors_are_those_of_the_textbook() -> None:
    a, d = [[4000, 1000], [1000, 4000]], [[3000, 2000], [2000, 1000]]
    found = post(of_cells(a, d))
    recall = math.sqrt(0.8 * 0.2 / 5000 + (1 / 3) * (2 / 3) / 3000)
    assert found["RD"].standard_error == pytest.approx(recall, rel=1e-3)
    # Katz et al. (1978): the variance of the logarithm of a ratio of shares.
    ratio = math.sqrt(1 / 3000 - 1 / 8000 + 1 / 5000 - 1 / 10000)
    assert found["DI"].standard_error == pytest.approx(ratio, rel=1e-3)


def test_the_standard_error_of_conditional_disparity_is_that_of_resampling() -> None:
    random = np.random.default_rng(3)
    shares = random.dirichlet(np.full(12, 5.0)).reshape(3, 2, 2)
    spec = replace(SPEC, group="town")

    def draw(rows: int) -> BiasCounts:
        cells = random.multinomial(rows, shares.ravel()).reshape(3, 2, 2)
        groups = {}
        for i, table in enumerate(cells):
            full = np.zeros((2, 3, 3), dtype=np.int64)
            full[:, :2, 2] = table
            groups[f"t{i}"] = tuple(full.ravel().tolist())
        empty = BiasCounts.empty(spec)
        return replace(empty, rows=rows, facets=(replace(empty.facets[0], groups=groups),))

    def measured(counts: BiasCounts) -> Measured:
        return measure_bias(counts.facets[0], "pre_training", grouped=True)["CDDL"]

    seen = np.array([measured(draw(2000)).value for _ in range(800)])
    error = measured(draw(2000)).standard_error
    assert error == pytest.approx(seen.std(), rel=0.12)


def test_disparate_impact_that_falls_drifts_only_in_sound_mode() -> None:
    base = analysis_of(of_cells([[2000, 0], [0, 2000]], [[3200, 0], [0, 800]]))
    worse = of_cells([[2000, 0], [0, 2000]], [[3600, 0], [0, 400]])
    strict = judge_bias_strictly(worse, base)
    assert metric_of(strict, "DI").verdict == "ok"
    sound = metric_of(judge_bias(worse, base), "DI")
    assert sound.verdict == "drift"
    assert sound.value == pytest.approx(0.2)
    assert sound.high < sound.allowed_low < 0.4
    # Twice as often is as unfair as half as often.
    better = judge_bias(of_cells([[3200, 0], [0, 800]], [[2000, 0], [0, 2000]]), base)
    assert metric_of(better, "DI").verdict == "ok"


def test_no_positive_prediction_at_all_is_judged_by_half_a_row() -> None:
    base = analysis_of(of_cells(FAIR, FAIR))
    found = metric_of(judge_bias(of_cells(FAIR, [[500, 0], [500, 0]]), base), "DI")
    assert (found.value, found.verdict) == (0.0, "drift")
    assert 0.0 < found.high < found.allowed_low


def test_what_chance_may_do_is_no_drift_in_sound_mode() -> None:
    base = analysis_of(of_cells(FAIR, FAIR))
    few = of_cells([[40, 10], [10, 40]], [[40, 10], [15, 35]])
    assert metric_of(judge_bias_strictly(few, base), "RD").verdict == "drift"
    found = metric_of(judge_bias(few, base), "RD")
    assert found.verdict == "ok"
    assert "chance" in found.reason
    many = of_cells([[4000, 1000], [1000, 4000]], [[4000, 1000], [1500, 3500]])
    assert metric_of(judge_bias(many, base), "RD").verdict == "drift"


def test_a_change_within_the_tolerance_is_no_drift() -> None:
    base = analysis_of(of_cells(FAIR, FAIR))
    window = of_cells([[40000, 10000], [10000, 40000]], [[40000, 10000], [12000, 38000]])
    assert metric_of(judge_bias(window, base), "RD").verdict == "ok"
    settings = BiasSettings(tolerances={"RD": 0.01})
    assert metric_of(judge_bias(window, base, settings=settings), "RD").verdict == "drift"


def test_a_rate_that_rests_on_few_rows_is_insufficient() -> None:
    base = analysis_of(of_cells(FAIR, FAIR))
    window = of_cells(FAIR, [[400, 100], [29, 0]])
    found = metric_of(judge_bias(window, base), "RD")
    assert (found.verdict, found.rows) == ("insufficient_data", 29)
    assert "29 rows; at least 30" in found.reason
    doubled = judge_bias(of_cells(FAIR, FAIR), base, settings=BiasSettings(design_effect=20.0))
    assert metric_of(doubled, "RD").verdict == "insufficient_data"


def test_a_baseline_of_counts_brings_its_own_noise() -> None:
    base = of_cells([[40, 10], [10, 40]], [[40, 10], [10, 40]])
    window = of_cells([[4000, 1000], [1000, 4000]], [[4000, 1000], [2000, 3000]])
    exact = judge_bias(window, analysis_of(base))
    assert metric_of(exact, "RD").verdict == "drift"
    assert metric_of(judge_bias(window, base), "RD").verdict == "ok"


def test_a_baseline_of_another_outcome_or_facet_is_an_error() -> None:
    base = analysis_of(of_cells(FAIR, FAIR))
    yes = replace(SPEC, positive=Criterion(values=("yes",)))
    rows: dict[str, Any] = {"labels": ["yes", "no"], "sex": ["F", "M"]}
    with pytest.raises(FairnessError, match="positive outcome is '1'"):
        judge_bias(counted(yes, **rows), base)
    men = replace(SPEC, facets=(FacetSpec(column="sex", sensitive=Criterion(values=("M",))),))
    with pytest.raises(FairnessError, match="none of the facets sex M"):
        judge_bias(counted(men, labels=[1, 0], sex=["F", "M"]), base)
    with pytest.raises(FairnessError, match="other outcomes"):
        judge_bias(counted(men, labels=[1, 0], sex=["F", "M"]), of_cells(FAIR, FAIR))


def test_an_infinite_baseline_allows_everything() -> None:
    base = analysis_of(of_cells([[500, 0], [500, 0]], FAIR))
    found = metric_of(judge_bias(of_cells(FAIR, [[900, 10], [50, 40]]), base), "DI")
    assert (found.baseline, found.verdict) == ("Infinity", "ok")
    assert (found.allowed_low, found.allowed_high) == (0.0, None)


def test_a_verdict_is_read_as_it_was_written() -> None:
    base = analysis_of(of_cells(FAIR, FAIR))
    window = of_cells(FAIR, [[500, 0], [400, 100]])
    for verdict in (judge_bias(window, base), judge_bias_strictly(window, base)):
        data = encode_bias_verdict(verdict)
        assert decode_bias_verdict(data) == verdict
        assert metric_of(verdict, "TE").value == "Infinity"
    with pytest.raises(FairnessError, match="version 2"):
        decode_bias_verdict(data.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(FairnessError, match="cannot be read"):
        decode_bias_verdict(b"{}")


def test_cloudwatch_is_given_finite_values_with_what_they_are_about() -> None:
    analysis = analysis_of(of_cells(FAIR, [[500, 0], [400, 100]]))
    publisher = Publisher(schedule="fair", endpoint="income")
    points = {point.name: point for point in bias_metric_points(publisher, analysis)}
    assert points["bias_metric_TE"].value == LARGEST_VALUE
    assert "bias_metric_CDDL" not in points
    assert points["bias_metric_CI"].dimensions == (
        ("Endpoint", "income"),
        ("MonitoringSchedule", "fair"),
        ("BiasStage", "Pre-training"),
        ("Label", "y"),
        ("LabelValue", "1"),
        ("Facet", "sex"),
        ("FacetValue", "F"),
    )
    assert dict(points["bias_metric_DI"].dimensions)["BiasStage"] == "Post-Training"


def test_facets_of_one_column_stand_together_in_the_file() -> None:
    facets = [("sex", "F"), ("town", "x"), ("sex", "M")]
    spec = BiasSpec(
        label="y",
        positive=Criterion(values=("1",)),
        facets=tuple(
            FacetSpec(column=name, sensitive=Criterion(values=(value,))) for name, value in facets
        ),
    )
    analysis = analysis_of(counted(spec, labels=[1, 0], sex=["F", "M"], town=["x", "y"]))
    assert decode_analysis(encode_analysis(analysis)) == analysis
    assert isinstance(analysis, ClarifyAnalysis)
    assert analysis.post_training is None


def test_the_flip_test_asks_five_neighbours_or_one() -> None:
    points = np.arange(12.0)[:, None]
    sensitive = np.zeros(12, dtype=np.bool_)
    sensitive[0] = True
    positive = np.zeros(12, dtype=np.bool_)
    positive[1] = True
    few = flip_test(points[:10], sensitive=sensitive[:10], positive=positive[:10])
    assert few == FlipTest(lost=1, gained=0, rows=1, rows_a=9)
    many = flip_test(points, sensitive=sensitive, positive=positive)
    assert many == FlipTest(lost=0, gained=0, rows=1, rows_a=11)


def test_the_flip_test_draws_the_same_rows_every_time() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(3000, 3))
    sensitive = random.random(3000) < 0.4
    positive = features[:, 0] + 0.5 * ~sensitive > 0.5
    whole = flip_test(features, sensitive=sensitive, positive=positive)
    first, second = (
        flip_test(features, sensitive=sensitive, positive=positive, most_rows=400) for _ in range(2)
    )
    assert first == second
    assert (first.rows, first.rows_a) == (400, 400)
    assert first.value == pytest.approx(whole.value, abs=4 * first.standard_error)


def test_the_flip_test_leaves_out_what_has_no_place_in_space() -> None:
    columns = {
        "x": column_of([0, 1, None, 1]),
        "name": column_of(["a", "b", "c", "d"]),
    }
    marks = [np.array(m, dtype=np.int8) for m in ([0, 1, 1, 2], [1, 0, 0, 0])]
    found = flip_test_of_columns(columns, sensitive=marks[0], predictions=marks[1])
    assert found == FlipTest(lost=1, gained=0, rows=1, rows_a=1)
    with pytest.raises(FairnessError, match="no numeric feature"):
        flip_test_of_columns({"name": columns["name"]}, sensitive=marks[0], predictions=marks[1])
    with pytest.raises(FairnessError, match="facet d has no row"):
        flip_test_of_columns(
            {"x": columns["x"]}, sensitive=np.zeros(4, dtype=np.int8), predictions=marks[1]
        )


def test_a_sample_of_rows_is_bounded_and_keeps_rows_whole() -> None:
    sample = RowSample(most=50)
    for start in range(0, 1000, 40):
        values = list(range(start, start + 40))
        sample.add({"x": column_of(values), "y": column_of([2 * v for v in values])})
    found = sample.columns()
    assert found["x"].rows == 50
    assert np.array_equal(found["y"].numbers, 2 * found["x"].numbers)
    assert np.all(np.diff(found["x"].numbers) > 0)
    assert found["x"].numbers.max() > 500
