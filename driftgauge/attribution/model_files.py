"""One way into all model files: which kind it is, and how it is explained exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from driftgauge.attribution.ensembles import TreeEnsemble
from driftgauge.attribution.lightgbm_file import (
    is_lightgbm,
    is_lightgbm_text,
    read_lightgbm,
    read_lightgbm_text,
)
from driftgauge.attribution.linear import (
    LinearModel,
    explain_linear,
    explain_logistic,
    logistic_features,
)
from driftgauge.attribution.model_json import items, json_of, member, real
from driftgauge.attribution.reference import Reference
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.tree import explain_by_trees
from driftgauge.attribution.values import Attributions
from driftgauge.attribution.xgboost_file import is_xgboost, read_xgboost
from driftgauge.errors import AttributionError, TrainingError
from driftgauge.training.logistic import LogisticModel, decode_model

Model = TreeEnsemble | LinearModel | LogisticModel

_KNOWN = (
    "XGBoost's JSON (save_model to a name that ends with .json), LightGBM's text (save_model) or "
    "JSON (dump_model), driftgauge's model.json, or "
    '{"intercept": 0.5, "coefficients": {"age": 0.1}}'
)


def read_model(data: bytes) -> Model:
    """Read a model file of any known kind.

    Raises
    ------
    AttributionError
        If the kind is not known, or with what is wrong in the file.

    Examples
    --------
    >>> read_model(b'{"intercept": 0.5, "coefficients": {"age": 2}}').coefficients.tolist()
    [[2.0]]
    """
    if is_lightgbm_text(data):
        return read_lightgbm_text(data)
    if data[:1] == b"{" and data[1:2] not in b' \t\r\n"}':
        raise AttributionError(
            "the model file looks like XGBoost's binary format (UBJSON): save the model to a name "
            "that ends with .json"
        )
    if data.lstrip()[:1] != b"{":
        raise AttributionError(f"the model file is of no known kind; known are {_KNOWN}")
    document = json_of(data)
    if is_xgboost(document):
        return read_xgboost(document)
    if is_lightgbm(document):
        return read_lightgbm(document)
    if isinstance(document, dict) and "coefficients" in document:
        return _coefficients(document)
    if isinstance(document, dict) and {"numeric", "categorical"} <= set(document):
        try:
            return decode_model(data)
        except TrainingError as error:
            raise AttributionError(str(error)) from error
    raise AttributionError(f"the model file is of no known kind; known are {_KNOWN}")


def _coefficients(document: Mapping[str, Any]) -> LinearModel:
    written = member(document, "coefficients")
    if not isinstance(written, dict) or not written:
        raise AttributionError("the model file: coefficients: expected names with numbers")
    lines = {
        name: items(value, f"coefficients.{name}") if isinstance(value, list) else [value]
        for name, value in written.items()
    }
    start = document.get("intercept", 0.0)
    starts = start if isinstance(start, list) else [start]
    if {len(line) for line in lines.values()} != {len(starts)}:
        raise AttributionError(
            "the model file: every feature has as many coefficients as there are intercepts"
        )
    table = [[real(v, f"coefficients.{name}") for v in line] for name, line in lines.items()]
    intercept = np.array([real(value, "intercept") for value in starts])
    coefficients = np.array(table).T
    if not (np.isfinite(coefficients).all() and np.isfinite(intercept).all()):
        raise AttributionError("the model file: a coefficient is not finite")
    return LinearModel(names=tuple(lines), coefficients=coefficients, intercept=intercept)


def model_features(model: Model) -> tuple[str, ...] | int:
    """Return the features of a model, or only their number if the file does not name them."""
    if isinstance(model, LogisticModel):
        return logistic_features(model)
    return model.names if model.names is not None else model.features


def explain_model(
    model: Model,
    rows: FeatureRows,
    reference: Reference | None,
    *,
    labels: tuple[str, ...] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Attributions:
    """Explain rows exactly; the output is the model's before any link function.

    Raises
    ------
    AttributionError
        If a linear model has no reference rows, or the rows do not fit the model.
    """
    if isinstance(model, TreeEnsemble):
        return explain_by_trees(model, rows, reference, labels=labels, progress=progress)
    if reference is None:
        raise AttributionError(
            "a linear model is explained against reference rows: give training data"
        )
    if isinstance(model, LinearModel):
        found = explain_linear(model, rows, reference, labels=labels)
    else:
        found = explain_logistic(model, rows, reference, label=labels[0] if labels else None)
    if progress is not None:
        progress(rows.rows)
    return found
