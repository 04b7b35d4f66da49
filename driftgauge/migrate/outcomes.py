"""What monitors of model quality, bias and explainability become: blocks about outcomes.

Clarify's analysis configuration is a file of its own, which the definition only names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from driftgauge.capture.settings import SelectionSettings, is_index
from driftgauge.migrate.documents import Original, member, text
from driftgauge.migrate.remarks import Note, differs, missing, to_do
from driftgauge.profile.words import number_word

_PROBLEMS: Final[Mapping[str, str]] = {
    "Regression": "regression",
    "BinaryClassification": "binary",
    "MulticlassClassification": "multiclass",
}
_CLASSES: Final = ("0", "1")
_LEAST_SAMPLES: Final = 4
_MOST_FACETS: Final = 10
# What of Clarify's shap method has no setting here.
_SHAP_ELSEWHERE: Final[Mapping[str, str]] = {
    "baseline": "the reference rows of shap: centres of the training data are taken",
    "use_logit": "use_logit of shap: the endpoint's scores are explained as they are",
    "seed": "the seed of shap",
    "save_local_shap_values": "local SHAP values: only global ones are kept",
    "text_config": "text_config of shap",
    "image_config": "image_config of shap",
}
_COMMAND: Final = "aws s3 cp {uri} analysis_config.json, and give driftgauge migrate that file too"


@dataclass
class Blocks:
    """Settings to add to a monitor file, and what to say about them."""

    document: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def outcome_blocks(original: Original, chosen: Mapping[str, Any], *, batch: bool) -> Blocks:
    """Return the blocks ``outcomes``, ``bias`` and ``attribution`` of a monitor.

    Parameters
    ----------
    original : Original
    chosen : mapping
        Its ``EndpointInput`` or ``BatchTransformInput``.
    batch : bool
        Whether it watches batch transforms: then there is no endpoint to ask.
    """
    blocks = Blocks()
    if original.kind == "ModelQuality":
        _add_label(blocks, original)
        _add_outcomes(blocks, original, chosen, _problem(original))
    elif original.kind == "ModelBias":
        _add_bias(blocks, original, chosen)
    elif original.kind == "ModelExplainability":
        _add_attribution(blocks, original, batch=batch)
    return blocks


def _problem(original: Original) -> str | None:
    name = text(original.application, "ProblemType", original.name)
    variables = member(original.application, "Environment", original.name)
    return _PROBLEMS.get(name or text(variables, "problem_type", original.name) or "")


def _add_label(blocks: Blocks, original: Original) -> None:
    variables = member(original.application, "Environment", original.name)
    label = text(variables, "ground_truth_attribute", original.name)
    if label is not None:
        blocks.document["label"] = label
    else:
        blocks.notes.append(
            to_do("set `label` to the label's column in the training data: the baseline needs it")
        )


def _add_outcomes(
    blocks: Blocks, original: Original, chosen: Mapping[str, Any], problem: str | None
) -> None:
    """Add where predictions are; say what to add if it cannot be known."""
    place = original.name
    inference = text(chosen, "InferenceAttribute", place)
    probability = text(chosen, "ProbabilityAttribute", place)
    if problem is None or (inference is None and probability is None):
        blocks.notes.append(
            to_do(
                "add `outcomes`: the definition does not say which problem it is, or where the "
                "predictions are (docs/configuration.md)"
            )
        )
        return
    prediction = None if inference is None else column_name(inference)
    if problem == "multiclass":
        blocks.notes.append(
            to_do(
                "add `outcomes` with the names of the classes, which no definition holds: "
                f"{{problem: multiclass, classes: [...], prediction: {prediction or '...'}}}"
            )
        )
        return
    score = prediction if probability is None else column_name(probability)
    outcomes: dict[str, Any] = {"problem": problem}
    if problem == "binary":
        # The captured column that the threshold makes, exactly as Model Monitor made it.
        made = SelectionSettings().predicted_label
        outcomes["prediction"] = prediction or made
        if probability is not None:
            outcomes["probabilities"] = [column_name(probability)]
        threshold = chosen.get("ProbabilityThresholdAttribute")
        if threshold is not None:
            outcomes["threshold"] = threshold
        blocks.notes.append(
            to_do(
                "check outcomes.classes: labels are taken to be 0 and 1; name others, the negative "
                "one first"
            )
        )
    else:
        outcomes["prediction"] = score
    blocks.document |= {"prediction": score, "outcomes": outcomes}


def column_name(attribute: str) -> str:
    """Return the captured column that an attribute selects.

    Examples
    --------
    >>> column_name("0"), column_name("predictions[*].score")
    ('_c0', 'score')
    """
    if is_index(attribute):
        return f"_c{int(attribute)}"
    return attribute.rsplit(".", 1)[-1].strip('"')


def _analysis(blocks: Blocks, original: Original) -> Mapping[str, Any] | None:
    uri = text(original.application, "ConfigUri", original.name)
    if original.analysis:
        return original.analysis
    if uri is not None:
        command = _COMMAND.format(uri=uri)
        blocks.notes.append(to_do(f"Clarify's analysis configuration was not given: {command}"))
    return None


def _add_bias(blocks: Blocks, original: Original, chosen: Mapping[str, Any]) -> None:
    analysis = _analysis(blocks, original)
    if analysis is None:
        return
    label = _column(analysis.get("label"), analysis)
    if label is not None:
        blocks.document["label"] = label
    positive = _texts(analysis.get("label_values_or_threshold"))
    facets, notes = _facets(analysis)
    blocks.notes += notes
    problem = _problem_of(positive, chosen)
    if not facets or problem is None:
        blocks.notes.append(
            to_do(
                "add `outcomes` and `bias`: the analysis configuration names "
                + ("no facet with its values" if not facets else "classes other than 0 and 1, of ")
                + ("" if not facets else f"which only {', '.join(positive) or 'none'} is known")
            )
        )
        return
    _add_outcomes(blocks, original, chosen, problem)
    if "outcomes" not in blocks.document:
        return
    bias: dict[str, Any] = {"facets": facets}
    if problem == "regression":
        bias["positive_above"] = float(positive[0])
    elif positive:
        bias["positive"] = positive
    group = _column(analysis.get("group_variable"), analysis)
    if group is not None:
        bias["group"] = group
    blocks.document["bias"] = bias


def _problem_of(positive: list[str], chosen: Mapping[str, Any]) -> str | None:
    """Return the problem that the wished outcomes belong to; None if its classes are not known."""
    if set(positive) <= set(_CLASSES):
        return "binary"
    scored = "ProbabilityAttribute" in chosen
    if len(positive) == 1 and _number(positive[0]) is not None and not scored:
        return "regression"
    return None


def _facets(analysis: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Note]]:
    facets: list[dict[str, Any]] = []
    notes: list[Note] = []
    listed = analysis.get("facet")
    for one in listed if isinstance(listed, list) else []:
        name = _column(one.get("name_or_index"), analysis) if isinstance(one, dict) else None
        values = _texts(one.get("value_or_threshold")) if isinstance(one, dict) else []
        if name is None or not values:
            notes.append(
                missing(
                    f"the facet {name or '(without a known name)'} without values: name those "
                    "whose rows are compared with the others in bias.facets"
                )
            )
            continue
        number = _number(values[0])
        above = len(values) == 1 and number is not None and not number.is_integer()
        facets.append({"column": name, **({"above": number} if above else {"values": values})})
        if len(values) == 1 and number is not None and not above:
            notes.append(
                to_do(
                    f"check the facet {name}: {values[0]} is taken for a value; write `above: "
                    f"{values[0]}` if the column is a quantity, whose threshold it is to Clarify"
                )
            )
    for one in facets[_MOST_FACETS:]:
        notes.append(missing(f"the facet {one['column']}: a monitor has at most {_MOST_FACETS}"))
    return facets[:_MOST_FACETS], notes


def _add_attribution(blocks: Blocks, original: Original, *, batch: bool) -> None:
    settings: dict[str, Any] = {"source": "champion" if batch else "endpoint"}
    if batch:
        blocks.notes.append(
            to_do(
                "set attribution.model to the model's file: batch transforms have no endpoint that "
                "could be asked"
            )
        )
    else:
        blocks.notes.append(
            differs(
                "explanations call the endpoint itself, at most attribution.invocations times a "
                "window; Clarify started one of its own. With the model's file (XGBoost, "
                "LightGBM, coefficients) source: champion is exact and calls nothing"
            )
        )
    analysis = _analysis(blocks, original) or {}
    shap = member(member(analysis, "methods", original.name), "shap", original.name)
    samples = shap.get("num_samples")
    if isinstance(samples, int) and samples >= _LEAST_SAMPLES and not batch:
        settings["samples"] = samples
    blocks.notes += [missing(said) for name, said in _SHAP_ELSEWHERE.items() if shap.get(name)]
    if shap.get("agg_method", "mean_abs") != "mean_abs":
        blocks.notes.append(missing(f"agg_method {shap['agg_method']}: means of magnitudes it is"))
    blocks.notes += list(_other_methods(analysis, original))
    blocks.document["attribution"] = settings


def _other_methods(analysis: Mapping[str, Any], original: Original) -> Iterator[Note]:
    for name in member(analysis, "methods", original.name):
        if name not in ("shap", "report", "pre_training_bias", "post_training_bias"):
            yield missing(f"the method {name} of the analysis configuration")


def _column(name_or_index: object, analysis: Mapping[str, Any]) -> str | None:
    """Return a column's name; of an index by the configured headers."""
    headers = analysis.get("headers")
    if isinstance(name_or_index, str) and name_or_index:
        return name_or_index
    if isinstance(name_or_index, int) and not isinstance(name_or_index, bool):
        if isinstance(headers, list) and 0 <= name_or_index < len(headers):
            return str(headers[name_or_index])
        return f"_c{name_or_index}"
    return None


def _texts(values: object) -> list[str]:
    """Return listed values as columns hold them: 1.0 is ``"1"``."""
    listed = values if isinstance(values, list) else [values]
    found = []
    for one in listed:
        if isinstance(one, bool):
            found.append(str(one).lower())
        elif isinstance(one, int | float):
            found.append(number_word(float(one)))
        elif isinstance(one, str) and one:
            found.append(one)
    return found


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
