"""Explaining by the champion's own file: the same way for the baseline and for every window.

Trees know their training rows themselves. Linear models are explained against reference rows,
which the baseline keeps, so that windows differ by their rows and not by what they are held
against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from driftgauge.attribution.kernel_shap import sample_rows
from driftgauge.attribution.linear import logistic_features
from driftgauge.attribution.model_files import Model, explain_model, model_features
from driftgauge.attribution.reference import Reference, cluster_reference
from driftgauge.attribution.reference import reference_of as equal_rows
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.sums import AttributionSums, sum_attributions
from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import AttributionError
from driftgauge.training.logistic import LogisticModel

_REFERENCE_ROWS = 200
_CENTRES = 8
_SEED = 0


def champion_features(model: Model, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return which captured columns a model takes, in its order.

    Parameters
    ----------
    model : Model
    inputs : sequence of str
        The endpoint's input columns, in order: those of a model that does not name its own.

    Raises
    ------
    AttributionError
        If the file names no features and their number is another.

    Examples
    --------
    >>> from driftgauge.attribution.model_files import read_model
    >>> model = read_model(b'{"coefficients": {"b": 1.0, "a": 2.0}}')
    >>> champion_features(model, ("a", "b", "c"))
    ('b', 'a')
    """
    if isinstance(model, LogisticModel):
        known = logistic_features(model)
        return tuple(name for name in inputs if name in known) or known
    features = model_features(model)
    if isinstance(features, tuple):
        return features
    if features != len(inputs):
        raise AttributionError(
            f"the model has {features} features without names, the endpoint {len(inputs)} inputs: "
            "save the model with names"
        )
    return tuple(inputs)


def feature_rows(columns: Mapping[str, Column], names: Sequence[str]) -> FeatureRows:
    """Take features out of columns; one that is absent is missing in every row.

    Raises
    ------
    AttributionError
        If none of the features has a column.
    """
    here = [name for name in names if name in columns]
    if not here:
        raise AttributionError(
            f"no column is a feature of the model ({', '.join(map(repr, list(names)[:5]))}); there "
            f"are {', '.join(map(repr, list(columns)[:20]))}"
        )
    rows = columns[here[0]].rows
    absent = Column(
        numbers=np.full(rows, np.nan), types=TypeCounts(), missing=np.ones(rows, dtype=np.bool_)
    )
    return FeatureRows.of_columns({name: columns.get(name, absent) for name in names}, names)


def reference_rows(rows: FeatureRows) -> Reference:
    """Draw the rows that a linear model is explained against."""
    return equal_rows(sample_rows(rows, _REFERENCE_ROWS, seed=_SEED))


def reference_centres(rows: FeatureRows) -> Reference:
    """Return the few rows that KernelSHAP replaces cells by; each costs calls of the endpoint."""
    return cluster_reference(rows, clusters=_CENTRES, seed=_SEED)


def explain_champion(
    model: Model,
    columns: Mapping[str, Column],
    *,
    inputs: Sequence[str],
    reference: Reference | None,
) -> AttributionSums:
    """Explain rows exactly and sum up.

    Parameters
    ----------
    model : Model
    columns : mapping of str to Column
        The rows, with more columns than the model takes.
    inputs : sequence of str
        The endpoint's input columns, in order.
    reference : Reference or None
        What linear models are held against: the baseline's.

    Raises
    ------
    AttributionError
        If the rows do not fit the model.
    """
    rows = feature_rows(columns, champion_features(model, inputs))
    return sum_attributions(explain_model(model, rows, reference))
