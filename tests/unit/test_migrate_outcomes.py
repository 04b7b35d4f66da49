"""Monitors of quality, bias and explainability become blocks about outcomes."""

from __future__ import annotations

from typing import Any

from driftgauge.migrate import Migrated, read_documents
from tests.unit.model_monitor_answers import (
    as_printed,
    batch_input,
    definition,
    endpoint,
    endpoint_input,
    schedule,
)
from tests.unit.test_migrate import migrated, notes


def other(
    kind: Any, *analyses: dict[str, Any], watched: dict[str, Any] | None = None, **parts: Any
) -> Migrated:
    """A monitor of another type than data quality, with Clarify's configuration."""
    chosen = {"EndpointInput": endpoint_input(**(watched or {}))}
    answer = definition(kind=kind, watched=chosen, **parts)
    return migrated(schedule(kind=kind), answer, endpoint(), *analyses)


def test_a_model_quality_schedule_becomes_a_monitor_of_outcomes() -> None:
    one = other(
        "ModelQuality",
        watched={"ProbabilityAttribute": "0", "ProbabilityThresholdAttribute": 0.7},
        application={
            "ProblemType": "BinaryClassification",
            "Environment": {"ground_truth_attribute": "churned"},
        },
    )
    config = one.config
    assert (config.label, config.prediction) == ("churned", "_c0")
    assert config.outcomes is not None
    assert config.outcomes.threshold == 0.7
    # The captured column of that name is made by Model Monitor's own rule.
    assert config.outcome_names == ("predicted_label", "_c0")
    assert config.capture.ground_truth_prefix == "labels"
    assert "quality-decay" in config.window_alarms
    assert "concept-drift" not in config.window_alarms
    told = notes(one, "to do")
    assert "check outcomes.classes" in told
    assert "model-monitor/quality/constraints.json" in told


def test_a_regression_needs_one_column_and_several_classes_have_to_be_named() -> None:
    number = other(
        "ModelQuality",
        watched={"InferenceAttribute": "predictions[*].price"},
        application={"ProblemType": "Regression"},
    )
    assert number.config.primary_measure == "mae"
    assert number.config.outcome_names == ("price",)
    assert "set `label`" in notes(number, "to do")
    classes = other(
        "ModelQuality",
        watched={"InferenceAttribute": "1"},
        application={"ProblemType": "MulticlassClassification"},
    )
    assert classes.config.outcomes is None
    assert "classes: [...], prediction: _c1" in notes(classes, "to do")
    nothing = other("ModelQuality", application={"ProblemType": "Regression"})
    assert "add `outcomes`" in notes(nothing, "to do")


BIAS = {
    "headers": ["age", "sex", "income"],
    "label": 2,
    "label_values_or_threshold": [1],
    "facet": [
        {"name_or_index": "age", "value_or_threshold": [40.5]},
        {"name_or_index": 1, "value_or_threshold": [0]},
        {"name_or_index": "zip"},
    ],
    "group_variable": "age",
    "methods": {"post_training_bias": {"methods": "all"}},
}


def test_a_bias_schedule_takes_its_facets_from_clarifys_configuration() -> None:
    one = other("ModelBias", BIAS, watched={"InferenceAttribute": "0"})
    config = one.config
    assert config.label == "income"
    assert config.bias is not None
    assert config.bias.positive == ("1",)
    assert [(f.column, f.values, f.above) for f in config.bias.facets] == [
        ("age", (), 40.5),
        ("sex", ("0",), None),
    ]
    assert config.bias.group == "age"
    assert config.bias.label == "income"
    assert "bias-drift" in config.window_alarms
    assert "check the facet sex: 0 is taken for a value" in notes(one, "to do")
    assert "the facet zip without values" in notes(one, "no equivalent")
    assert "model-monitor/bias/analysis.json" in notes(one, "to do")


def test_without_clarifys_configuration_it_is_asked_for() -> None:
    one = other("ModelBias", watched={"InferenceAttribute": "0"})
    assert one.config.bias is None
    assert "aws s3 cp s3://b/analysis_config.json" in notes(one, "to do")


def test_wished_outcomes_say_which_problem_it_is() -> None:
    continuous = {**BIAS, "label_values_or_threshold": [2.5]}
    one = other("ModelBias", continuous, watched={"InferenceAttribute": "0"})
    assert one.config.outcomes is not None
    assert one.config.outcomes.problem == "regression"
    assert one.config.bias is not None
    assert one.config.bias.positive_above == 2.5
    named = {**BIAS, "label_values_or_threshold": ["approved"]}
    left = other("ModelBias", named, watched={"InferenceAttribute": "0"})
    assert left.config.bias is None
    assert "only approved is known" in notes(left, "to do")


def test_an_explainability_schedule_becomes_attributions_of_the_endpoint() -> None:
    shap = {"num_samples": 300, "agg_method": "median", "baseline": "s3://b/rows.csv", "seed": 1}
    analysis = {"methods": {"shap": shap, "pdp": {}}}
    one = other("ModelExplainability", BIAS, analysis)
    assert one.config.attribution is not None
    assert (one.config.attribution.source, one.config.attribution.samples) == ("endpoint", 300)
    assert one.config.window_alarms[-1] == "attribution-drift"
    told = notes(one, "no equivalent")
    for word in ("agg_method median", "reference rows", "seed", "method pdp"):
        assert word in told
    batch = definition(kind="ModelExplainability", watched={"BatchTransformInput": batch_input()})
    files = migrated(schedule(kind="ModelExplainability"), batch, analysis)
    assert files.config.attribution is not None
    assert files.config.attribution.source == "champion"
    assert "set attribution.model" in notes(files, "to do")


def test_a_configuration_is_found_by_its_name_among_several() -> None:
    documents = [
        ("a.json", as_printed(schedule(kind="ModelBias"))),
        ("b.json", as_printed(definition(kind="ModelBias"))),
        ("other.json", {**BIAS, "label": "wrong"}),
        ("folder/analysis_config.json", BIAS),
    ]
    (original,) = read_documents(documents)
    assert original.analysis == BIAS


def test_labels_in_another_bucket_are_to_be_moved() -> None:
    one = other("ModelQuality", ground_truth="s3://elsewhere/labels")
    assert "not to s3://elsewhere/labels" in notes(one, "to do")
