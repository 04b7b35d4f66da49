"""Exact SHAP values of linear models, and of models that add up terms of single features.

With features taken from reference rows one by one, a sum of terms t_j(x_j) gives feature j exactly
``t_j(x_j) - mean of t_j over the reference rows``, whatever the features' dependence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.reference import Reference
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.values import Attributions, label_names
from driftgauge.errors import AttributionError
from driftgauge.training.logistic import CategoricalTerm, LogisticModel, NumericTerm


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel:
    """Coefficients: the output is ``intercept + coefficients @ x``, before any link function.

    Attributes
    ----------
    names : tuple of str or None
        The features; None: the file does not name them.
    coefficients : ndarray of float64, shape (outputs, features)
    intercept : ndarray of float64, shape (outputs,)
    """

    names: tuple[str, ...] | None
    coefficients: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @property
    def features(self) -> int:
        """Number of features."""
        return int(self.coefficients.shape[1])


def explain_linear(
    model: LinearModel,
    rows: FeatureRows,
    reference: Reference,
    *,
    labels: tuple[str, ...] | None = None,
) -> Attributions:
    """Explain the output of a linear model, before any link function.

    Raises
    ------
    AttributionError
        If the features are not the model's, or a cell is no number.

    Examples
    --------
    >>> from driftgauge.attribution.reference import reference_of
    >>> model = LinearModel(
    ...     names=("a", "b"), coefficients=np.array([[2.0, -1.0]]), intercept=np.array([1.0])
    ... )
    >>> def rows(*cells):
    ...     return FeatureRows(names=("a", "b"), numbers=np.array(cells))
    >>> found = explain_linear(model, rows([3.0, 1.0]), reference_of(rows([0.0, 0.0], [2.0, 2.0])))
    >>> found.values[0].tolist(), found.expected.tolist()
    ([[4.0, -0.0]], [2.0])
    """
    for part in (rows, reference.rows):
        if len(part.names) != model.features or model.names not in (None, part.names):
            raise AttributionError("the rows' features are not the model's in its order")
        bad: NDArray[np.bool_] = ~np.all(np.isfinite(part.numbers), axis=0)
        if bad.any():
            names = [name for name, is_bad in zip(part.names, bad.tolist(), strict=True) if is_bad]
            raise AttributionError(
                f"a linear model takes numbers, but {', '.join(map(repr, names[:5]))} has words, "
                "gaps or infinities: give the data as the model receives it"
            )
    weights = reference.weights / reference.weights.sum()
    mean = weights @ reference.rows.numbers
    return Attributions(
        features=rows.names,
        labels=labels or label_names(len(model.intercept)),
        values=model.coefficients[:, None, :] * (rows.numbers - mean)[None],
        expected=model.intercept + model.coefficients @ mean,
    )


_Term = NumericTerm | CategoricalTerm


def logistic_features(model: LogisticModel) -> tuple[str, ...]:
    """Return the columns that a logistic regression knows, numbers first."""
    return tuple(term.name for term in _terms_of(model))


def _terms_of(model: LogisticModel) -> tuple[_Term, ...]:
    return (*model.numeric, *model.categorical)


def explain_logistic(
    model: LogisticModel,
    rows: FeatureRows,
    reference: Reference,
    *,
    label: str | None = None,
) -> Attributions:
    """Explain the log odds of driftgauge's own logistic regression.

    Features that it does not know get 0. Gaps and unknown levels have weights of their own, so
    every cell counts.

    Raises
    ------
    AttributionError
        If the rows and the reference have different features.
    """
    if rows.names != reference.rows.names:
        raise AttributionError("rows and reference rows have different features")
    weights = reference.weights / reference.weights.sum()
    here, there = _terms(model, rows), _terms(model, reference.rows)
    mean = weights @ there
    absent = set(logistic_features(model)) - set(rows.names)
    # A column that nobody has is missing in every row: a constant.
    constant = sum(term.missing_weight for term in _terms_of(model) if term.name in absent)
    return Attributions(
        features=rows.names,
        labels=(label,) if label is not None else label_names(1),
        values=(here - mean)[None],
        expected=np.array([model.intercept + constant + mean.sum()]),
    )


def _terms(model: LogisticModel, rows: FeatureRows) -> NDArray[np.float64]:
    """Return what each cell adds to the log odds; shape (rows, features)."""
    columns = rows.columns()
    terms = np.zeros(rows.numbers.shape)
    place = {name: j for j, name in enumerate(rows.names)}
    for term in _terms_of(model):
        if term.name in place:
            alone = replace(
                model,
                intercept=0.0,
                numeric=tuple(other for other in model.numeric if other is term),
                categorical=tuple(other for other in model.categorical if other is term),
            )
            terms[:, place[term.name]] = alone.log_odds(columns, rows=rows.rows)
    return terms
