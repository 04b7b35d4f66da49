"""Reads and writes SageMaker Clarify's ``analysis.json``.

It is the report of a bias or explainability job, and the constraints of the monitors of both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from driftgauge.errors import BaselineError

_STAGES = ("pre_training_bias_metrics", "post_training_bias_metrics")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, kw_only=True)
class BiasMetric:
    """One metric; ``value`` is None where Clarify could not compute it, ``error`` says why."""

    name: str
    description: str = ""
    value: float | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A group of people: the rows whose column ``name`` has a value or is in an interval."""

    name: str
    value_or_threshold: str
    metrics: tuple[BiasMetric, ...]

    def __getitem__(self, name: str) -> BiasMetric:
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True)
class BiasStage:
    """The metrics before training (of labels) or after it (of predictions).

    Attributes
    ----------
    label : str
        The column of the outcome.
    label_value_or_threshold : str
        The outcome that counts as positive.
    facets : tuple of Facet
        In the order of the file.
    """

    label: str
    label_value_or_threshold: str
    facets: tuple[Facet, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The importance of features for one output of the model.

    Attributes
    ----------
    method : str
        ``kernel_shap`` and the like.
    label : str
        The output: ``label0``, or its header.
    global_values : mapping of str to float
        Importance of each feature.
    expected_value : float or None
        The model's mean output over the reference rows.
    """

    method: str
    label: str
    global_values: Mapping[str, float]
    expected_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClarifyAnalysis:
    """The content of ``analysis.json``; ``written`` is the JSON it was read from."""

    pre_training: BiasStage | None = None
    post_training: BiasStage | None = None
    explanations: tuple[Explanation, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def decode_analysis(data: bytes) -> ClarifyAnalysis:
    """Read ``analysis.json``. Parts that are not known, such as ``pdp``, are passed over.

    Raises
    ------
    BaselineError
        With the place in the file and what is wrong there.

    Examples
    --------
    >>> shap = '{"global_shap_values": {"age": 0.5}, "expected_value": 0.25}'
    >>> file = '{"explanations": {"kernel_shap": {"label0": %s}}}' % shap
    >>> decode_analysis(file.encode()).explanations[0].global_values
    {'age': 0.5}
    """
    try:
        # What JSON cannot hold becomes the text that Clarify writes for it.
        document = json.loads(data, parse_constant=str, parse_float=_finite_or_text)
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"analysis.json is not JSON: {error}") from error
    document = _mapping(document, "the file")
    if not any(key in document for key in (*_STAGES, "explanations")):
        raise BaselineError(
            "analysis.json has neither bias metrics nor explanations: is it Clarify's?"
        )
    before, after = (
        _read_stage(document[key], key) if document.get(key) is not None else None
        for key in _STAGES
    )
    return ClarifyAnalysis(
        pre_training=before,
        post_training=after,
        explanations=_read_explanations(document.get("explanations") or {}),
        written=document,
    )


def encode_analysis(analysis: ClarifyAnalysis) -> bytes:
    """Write ``analysis.json``.

    Parts of the file that was read and that nobody changed are written back as they were.
    """
    known = decode_analysis(json.dumps(analysis.written).encode()) if analysis.written else None
    document = dict(analysis.written) or {"version": "1.0"}
    for key, attribute in zip(_STAGES, ("pre_training", "post_training"), strict=True):
        stage: BiasStage | None = getattr(analysis, attribute)
        if known is not None and getattr(known, attribute) == stage:
            continue
        document.pop(key, None)
        if stage is not None:
            document[key] = _write_stage(stage)
    if known is None or known.explanations != analysis.explanations:
        document.pop("explanations", None)
        if analysis.explanations:
            document["explanations"] = _write_explanations(analysis.explanations)
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode("ascii")


def _read_stage(value: object, place: str) -> BiasStage:
    document = _mapping(value, place)
    facets = []
    for name, groups in _mapping(document.get("facets", {}), f"{place}.facets").items():
        inside = f"{place}.facets.{name}"
        for i, group in enumerate(_list(groups, inside)):
            facets.append(_read_facet(name, group, f"{inside}[{i}]"))
    return BiasStage(
        label=_text(document.get("label"), f"{place}.label"),
        label_value_or_threshold=_text(
            document.get("label_value_or_threshold"), f"{place}.label_value_or_threshold"
        ),
        facets=tuple(facets),
    )


def _read_facet(name: str, value: object, place: str) -> Facet:
    document = _mapping(value, place)
    metrics = _list(document.get("metrics", []), f"{place}.metrics")
    return Facet(
        name=name,
        value_or_threshold=_text(document.get("value_or_threshold"), f"{place}.value_or_threshold"),
        metrics=tuple(
            _read_metric(item, f"{place}.metrics[{i}]") for i, item in enumerate(metrics)
        ),
    )


def _read_metric(value: object, place: str) -> BiasMetric:
    document = _mapping(value, place)
    number, error = document.get("value"), document.get("error")
    return BiasMetric(
        name=_text(document.get("name"), f"{place}.name"),
        description=_text(document.get("description", ""), f"{place}.description"),
        value=None if number is None else _number(number, f"{place}.value"),
        error=None if error is None else _text(error, f"{place}.error"),
    )


def _read_explanations(value: object) -> tuple[Explanation, ...]:
    explanations = []
    for method, labels in _mapping(value, "explanations").items():
        if not isinstance(labels, dict):
            continue  # `pdp` is a list: partial dependence, not importance
        for label, item in labels.items():
            place = f"explanations.{method}.{label}"
            document = _mapping(item, place)
            values = _mapping(document.get("global_shap_values", {}), place)
            expected = document.get("expected_value")
            explanations.append(
                Explanation(
                    method=method,
                    label=label,
                    global_values={
                        name: _number(number, f"{place}.{name}") for name, number in values.items()
                    },
                    expected_value=None
                    if expected is None
                    else _number(expected, f"{place}.expected_value"),
                )
            )
    return tuple(explanations)


def _write_stage(stage: BiasStage) -> dict[str, Any]:
    facets: dict[str, list[dict[str, Any]]] = {}
    for facet in stage.facets:
        metrics = [
            {"name": metric.name, "description": metric.description, "value": _plain(metric.value)}
            | ({} if metric.error is None else {"error": metric.error})
            for metric in facet.metrics
        ]
        facets.setdefault(facet.name, []).append(
            {"value_or_threshold": facet.value_or_threshold, "metrics": metrics}
        )
    return {
        "label": stage.label,
        "facets": facets,
        "label_value_or_threshold": stage.label_value_or_threshold,
    }


def _write_explanations(explanations: tuple[Explanation, ...]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for explanation in explanations:
        values = {name: _plain(value) for name, value in explanation.global_values.items()}
        document: dict[str, Any] = {"global_shap_values": values}
        if explanation.expected_value is not None:
            document["expected_value"] = _plain(explanation.expected_value)
        written.setdefault(explanation.method, {})[explanation.label] = document
    return written


def _finite_or_text(digits: str) -> float | str | None:
    return _plain(float(digits))


def _plain(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return next(name for name, other in _NOT_FINITE.items() if str(other) == str(value))


def _mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(place, "expected an object in braces")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(place, "expected a list")
    return value


def _text(value: object, place: str) -> str:
    # Values and thresholds are texts in real files; a number would be meant likewise.
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _wrong(place, "expected a text")


def _number(value: object, place: str) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    raise _wrong(place, "expected a number")


def _wrong(place: str, problem: str) -> BaselineError:
    return BaselineError(f"analysis.json: {place}: {problem}")
