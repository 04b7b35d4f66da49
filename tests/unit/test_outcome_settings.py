"""Blocks of a monitor file about outcomes: what they mean, and how a mistake is explained."""

from __future__ import annotations

from typing import Any

import pytest

from driftgauge.config import MonitorConfig, MonitorSet, parse_monitor, read_monitor_set
from driftgauge.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "name": "churn",
    "endpoint": {"name": "churn-prod"},
    "prediction": "score",
    "label": "churned",
}
FACETS = [{"column": "sex", "values": ["0"]}, {"column": "age", "above": 40}]


def config(**changes: Any) -> MonitorConfig:
    return parse_monitor({**MINIMAL, **changes}, "churn.yaml")


def test_a_binary_problem_needs_nothing_but_the_score() -> None:
    columns = config(outcomes={}).outcome_columns
    assert (columns.problem, columns.label, columns.classes) == ("binary", "churned", ("0", "1"))
    assert (columns.prediction, columns.probabilities) == (None, ("score",))
    assert config(outcomes={}).primary_measure == "accuracy"


def test_a_regression_predicts_in_the_column_of_the_score() -> None:
    regression = config(outcomes={"problem": "regression"})
    assert regression.outcome_columns.prediction == "score"
    assert regression.outcome_columns.classes == ()
    assert regression.primary_measure == "mae"


def test_several_classes_have_a_probability_each_or_a_predicted_class() -> None:
    classes = {"problem": "multiclass", "classes": ["a", "b", "c"]}
    known = config(outcomes={**classes, "probabilities": ["pa", "pb", "pc"]})
    assert known.outcome_columns.probabilities == ("pa", "pb", "pc")
    predicted = config(outcomes={**classes, "prediction": "class"}, prediction=None)
    assert predicted.outcome_columns.probabilities == ()
    assert predicted.outcome_names == ("class",)
    assert not predicted.estimates_quality


def test_a_prediction_file_holds_predictions_segments_facets_and_group_but_no_label() -> None:
    bias = {"facets": FACETS, "group": "region"}
    outcomes = {"prediction": "class", "segments": ["region", "age"]}
    assert config(outcomes=outcomes, bias=bias).outcome_names == (
        *("class", "score", "region", "age", "sex"),
    )


def test_bias_takes_label_and_wished_outcome_from_the_other_blocks() -> None:
    spec = config(outcomes={"classes": ["stays", "leaves"]}, bias={"facets": FACETS}).bias
    assert spec is not None
    assert (spec.label, spec.positive) == ("churned", ("leaves",))
    assert [facet.sensitive.threshold for facet in spec.spec.facets] == [None, 40]
    own = config(
        outcomes={"problem": "regression"},
        bias={"facets": FACETS, "positive_above": 2, "label": "y"},
    ).bias
    assert own is not None
    assert (own.label, own.spec.positive.threshold) == ("y", 2)


def test_alarms_exist_where_there_is_something_to_judge() -> None:
    assert config().window_alarms[-1] == "joint-drift"
    full = config(outcomes={}, bias={"facets": FACETS}, attribution={})
    assert full.window_alarms[-4:] == (
        *("quality-decay", "concept-drift", "bias-drift", "attribution-drift"),
    )
    for without in ({"mode": "strict"}, {"quality": {"estimate": False}}):
        assert "concept-drift" not in config(outcomes={}, **without).window_alarms


def test_drift_of_predictions_counts_together_with_that_of_features() -> None:
    both = ("prediction-drift", "feature-drift")
    assert config().retraining_triggers == (both,)
    assert config(outcomes={}).retraining_triggers == (("quality-decay",), both)
    given = {"triggers": ["data-quality", ["concept-drift", "feature-drift"]]}
    assert config(outcomes={}, retraining=given).retraining_triggers == (
        ("data-quality",),
        ("concept-drift", "feature-drift"),
    )


def test_the_functions_read_back_what_was_validated() -> None:
    full = config(
        outcomes={"segments": ["region"]},
        quality={"tolerances": {"recall": 0.1}, "min_coverage": 0.5},
        bias={"facets": FACETS},
        attribution={"source": "captured", "prefix": "phi_"},
        retraining={"enabled": True, "triggers": ["quality-decay", ["bias-drift", "data-quality"]]},
    )
    for one in (full, config(), config(outcomes={"problem": "regression"})):
        monitors = MonitorSet(monitors=(one,))
        assert read_monitor_set(monitors.model_dump_json()) == monitors


def test_settings_become_what_windows_are_judged_by() -> None:
    full = config(
        outcomes={},
        quality={"tolerance": 0.07, "min_coverage": 0.5},
        bias={"facets": FACETS, "tolerances": {"DI": 0.5}, "min_rows": 5},
        attribution={"min_distance": 0.3},
    )
    quality = full.quality.decision(design_effect=2.0)
    assert (quality.tolerance, quality.min_coverage, quality.design_effect) == (0.07, 0.5, 2.0)
    assert full.bias is not None
    assert full.attribution is not None
    bias = full.bias.decision(design_effect=3.0)
    assert (bias.tolerances["DI"], bias.min_rows, bias.design_effect) == (0.5, 5, 3.0)
    attribution = full.attribution.decision(design_effect=4.0)
    assert (attribution.min_distance, attribution.design_effect) == (0.3, 4.0)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"bias": {"facets": FACETS, "positive": ["1"]}}, "bias needs `outcomes`"),
        ({"quality": {"alpha": 0.05}}, "quality needs `outcomes`"),
        ({"outcomes": {}, "prediction": None}, "name the output column of the score"),
        ({"outcomes": {"segments": ["churned"]}}, "'churned' is a column of predictions as well"),
        ({"outcomes": {"classes": ["a"]}}, "two, the negative one first, not 1"),
        ({"outcomes": {"classes": ["a", "a"]}}, "classes names 'a' twice"),
        ({"outcomes": {"probabilities": ["p", "q"]}}, "problem: multiclass"),
        ({"outcomes": {"problem": "regression", "classes": ["a", "b"]}}, "neither classes nor"),
        ({"outcomes": {"problem": "multiclass"}}, "name the classes of a multiclass problem"),
        (
            {"outcomes": {"problem": "multiclass", "classes": ["a", "b"]}},
            "one column for each class",
        ),
        (
            {
                "outcomes": {
                    "problem": "multiclass",
                    "classes": ["a", "b", "c"],
                    "probabilities": ["p", "q"],
                }
            },
            "2 columns for 3 classes",
        ),
        ({"outcomes": {}, "quality": {"primary": "mae"}}, "quality.primary: 'mae' is none"),
        ({"outcomes": {}, "quality": {"tolerances": {"x": 1}}}, "quality.tolerances: 'x' is none"),
        ({"outcomes": {}, "bias": {"facets": []}}, "at least 1"),
        ({"outcomes": {}, "bias": {"facets": FACETS[:1] * 2}}, "facets names one facet twice"),
        (
            {"outcomes": {}, "bias": {"facets": FACETS, "tolerances": {"XY": 1}}},
            "tolerances: 'XY' is none",
        ),
        ({"outcomes": {}, "bias": {"facets": [{"column": "a"}]}}, "sensitive `values`, or `above`"),
        (
            {"outcomes": {"problem": "regression"}, "bias": {"facets": FACETS}},
            "`positive`, or `positive_above`",
        ),
        ({"attribution": {"source": "captured", "model": "m.json"}}, "belongs to source: champion"),
        ({"attribution": {"samples": 100}}, "samples belongs to source: endpoint"),
        (
            {"outcomes": {"problem": "regression"}, "retraining": {"enabled": True}},
            "must be binary with the classes 0 and 1",
        ),
        (
            {"outcomes": {"classes": ["no", "yes"]}, "retraining": {"enabled": True}},
            "must be binary with the classes 0 and 1",
        ),
        (
            {"outcomes": {"probabilities": ["p"]}, "retraining": {"enabled": True}},
            "outcomes.probabilities must be it",
        ),
    ],
)
def test_a_mistake_is_explained(change: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**change)
    assert advice in str(caught.value)


def test_without_outcomes_their_columns_are_no_question() -> None:
    plain = config()
    for name in ("outcome_columns", "outcome_names", "primary_measure"):
        with pytest.raises(ConfigError, match="'churn' has no outcomes"):
            getattr(plain, name)
