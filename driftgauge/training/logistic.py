"""The built-in trainer: logistic regression, fitted by Newton's method, stored as JSON.

Small on purpose: no randomness, no dependency but numpy, a model a human can read. Categories are
one-hot with a level for rare and unseen ones; numbers are standardised, with a weight for their
absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import TrainingError

_MAX_STEPS = 100
# Newton's steps shrink quadratically: one this small is followed by nothing.
_SMALLEST_STEP = 1e-9


@dataclass(frozen=True, kw_only=True)
class NumericTerm:
    """The contribution of a numeric column to the log odds.

    ``weight * (x - mean) / scale`` where there is a finite number x, ``missing_weight`` where not.
    """

    name: str
    mean: float
    scale: float
    weight: float
    missing_weight: float


@dataclass(frozen=True, kw_only=True)
class CategoricalTerm:
    """The contribution of a categorical column to the log odds.

    One weight for each level that training saw often enough; ``other_weight`` for any other
    value, ``missing_weight`` where there is none.
    """

    name: str
    weights: dict[str, float]
    other_weight: float
    missing_weight: float


@dataclass(frozen=True, kw_only=True)
class LogisticModel:
    """A fitted logistic regression.

    ``rows``, ``positives`` and ``log_loss`` (nats per row) are those of training.
    """

    version: str
    created: datetime
    l2: float
    rows: int
    positives: int
    log_loss: float
    intercept: float
    numeric: tuple[NumericTerm, ...]
    categorical: tuple[CategoricalTerm, ...]
    format: int = 1

    def score(self, columns: Mapping[str, Column], *, rows: int) -> NDArray[np.float64]:
        """Return each row's probability of the label 1.

        A column that is absent is missing in every row; columns the model does not know are
        ignored.

        Returns
        -------
        ndarray of float64, shape (rows,)
        """
        return _probability(self.log_odds(columns, rows=rows))

    def log_odds(self, columns: Mapping[str, Column], *, rows: int) -> NDArray[np.float64]:
        """Return the logarithm of each row's odds of the label 1: what the terms add up to.

        Returns
        -------
        ndarray of float64, shape (rows,)
        """
        odds = np.full(rows, self.intercept)
        for number in self.numeric:
            column = columns.get(number.name)
            if column is None:
                odds += number.missing_weight
                continue
            known = np.isfinite(column.numbers)
            scaled = (np.where(known, column.numbers, number.mean) - number.mean) / number.scale
            odds += np.where(known, number.weight * scaled, number.missing_weight)
        for category in self.categorical:
            column = columns.get(category.name)
            if column is None:
                odds += category.missing_weight
                continue
            texts, level_of_row = _levels(column)
            weights = [category.weights.get(text, category.other_weight) for text in texts]
            odds += np.array([*weights, category.missing_weight])[level_of_row]
        return odds


def _probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-odds)) without overflow."""
    small = np.exp(-np.abs(odds))
    probability: NDArray[np.float64] = np.where(odds >= 0, 1.0, small) / (1.0 + small)
    return probability


def _levels(column: Column) -> tuple[list[str], NDArray[np.intp]]:
    """Return the distinct values as text, and each row's index; -1 stands for missing.

    A number in a column of words (``7`` among ``7A``, ``7B``) is a level like any other.
    """
    texts = list(column.words)
    codes = np.full(column.rows, -1, dtype=np.intp)
    if column.codes is not None:
        codes[:] = column.codes
    known = np.isfinite(column.numbers)
    if known.any():
        values, inverse = np.unique(column.numbers[known], return_inverse=True)
        codes[known] = inverse + len(texts)
        texts.extend(f"{value:.17g}" for value in values.tolist())
    return texts, codes


def _is_categorical(column: Column) -> bool:
    return column.codes is not None and bool((column.codes >= 0).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Design:
    """One column's part of the design matrix, and how its fitted weights become a term."""

    name: str
    matrix: NDArray[np.float64]
    levels: tuple[str, ...] | None = None
    mean: float = 0.0
    scale: float = 1.0


def _numeric_design(name: str, column: Column) -> _Design:
    known = np.isfinite(column.numbers)
    values = column.numbers[known]
    mean = float(values.mean()) if values.size else 0.0
    scale = float(values.std()) if values.size else 1.0
    scale = scale if scale > 0.0 else 1.0
    scaled = np.where(known, (np.where(known, column.numbers, mean) - mean) / scale, 0.0)
    return _Design(
        name=name, matrix=np.column_stack((scaled, ~known)).astype(float), mean=mean, scale=scale
    )


def _categorical_design(name: str, column: Column, *, min_rows: int) -> _Design:
    texts, codes = _levels(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    kept = sorted(
        text for text, count in zip(texts, counts.tolist(), strict=True) if count >= min_rows
    )
    position = {text: i for i, text in enumerate(kept)}
    other, missing = len(kept), len(kept) + 1
    place = np.array([*(position.get(text, other) for text in texts), missing], dtype=np.intp)
    matrix = np.zeros((column.rows, len(kept) + 2))
    matrix[np.arange(column.rows), place[codes]] = 1.0
    return _Design(name=name, matrix=matrix, levels=tuple(kept))


def train_logistic(
    columns: Mapping[str, Column],
    labels: NDArray[np.float64],
    *,
    version: str,
    created: datetime,
    l2: float = 1.0,
    min_category_rows: int = 20,
) -> LogisticModel:
    """Fit a logistic regression.

    Minimises ``sum of log losses + l2 / 2 * sum of squared weights`` (the intercept is free) by
    Newton's method with step halving, which is iteratively reweighted least squares. The optimum
    is unique, so the same rows give the same model.

    Parameters
    ----------
    columns : mapping of str to Column
        Input columns, each with ``rows`` positions. A column with any word is categorical.
    labels : ndarray of float64, shape (rows,)
        0 or 1.
    version : str
        Name of the model.
    created : datetime
        When the model was made, as the caller sees it.
    l2 : float
        Strength of the penalty on weights of standardised columns; above 0.
    min_category_rows : int
        Levels with fewer rows share one weight, which unseen levels get too.

    Raises
    ------
    TrainingError
        If there is no column, not both labels, a label that is not 0 or 1, or no convergence.
    """
    _check(columns, labels, l2)
    parts = [
        _categorical_design(name, column, min_rows=min_category_rows)
        if _is_categorical(column)
        else _numeric_design(name, column)
        for name, column in columns.items()
    ]
    design = np.column_stack([np.ones(labels.shape[0]), *(part.matrix for part in parts)])
    weights = _fit(design, labels, l2)
    numeric, categorical = _terms(parts, weights[1:])
    return LogisticModel(
        version=version,
        created=created,
        l2=l2,
        rows=int(labels.shape[0]),
        positives=int(labels.sum()),
        log_loss=_loss(design @ weights, labels) / labels.shape[0],
        intercept=float(weights[0]),
        numeric=numeric,
        categorical=categorical,
    )


def _check(columns: Mapping[str, Column], labels: NDArray[np.float64], l2: float) -> None:
    if not columns:
        raise TrainingError("there is no input column to learn from")
    uneven = [name for name, column in columns.items() if column.rows != labels.shape[0]]
    if uneven:
        raise TrainingError(
            f"columns {', '.join(uneven)} do not have one value per label ({labels.shape[0]})"
        )
    if not np.isin(labels, (0.0, 1.0)).all():
        raise TrainingError("labels must be 0 or 1 in every row")
    if np.unique(labels).size < 2:
        raise TrainingError(f"all {labels.shape[0]} labels are the same: nothing to learn")
    if not l2 > 0.0:
        raise TrainingError(f"l2 is {l2:g} but must be above 0, or the weights are not unique")


def _loss(odds: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0.0, odds) - labels * odds).sum())


def _fit(
    design: NDArray[np.float64], labels: NDArray[np.float64], l2: float
) -> NDArray[np.float64]:
    penalty = np.full(design.shape[1], l2)
    penalty[0] = 0.0
    weights = np.zeros(design.shape[1])
    share = float(labels.mean())
    weights[0] = np.log(share / (1.0 - share))
    objective = _loss(design @ weights, labels) + 0.5 * float(penalty @ weights**2)
    for _ in range(_MAX_STEPS):
        probability = _probability(design @ weights)
        gradient = design.T @ (probability - labels) + penalty * weights
        curvature = design.T @ (design * (probability * (1.0 - probability))[:, None])
        curvature[np.diag_indices_from(curvature)] += penalty
        step = np.linalg.solve(curvature, gradient)
        if float(np.abs(step).max()) < _SMALLEST_STEP:
            return weights
        length = 1.0
        while True:
            trial = weights - length * step
            value = _loss(design @ trial, labels) + 0.5 * float(penalty @ trial**2)
            # Close to the optimum the difference drowns in rounding: take the full step.
            if value <= objective + 1e-12 * abs(objective) or length < 1e-6:
                break
            length /= 2.0
        weights, objective = trial, value
    raise TrainingError(
        f"the logistic regression did not converge in {_MAX_STEPS} steps: raise l2, or look for "
        "columns with extreme values"
    )


def _terms(
    parts: list[_Design], weights: NDArray[np.float64]
) -> tuple[tuple[NumericTerm, ...], tuple[CategoricalTerm, ...]]:
    numeric: list[NumericTerm] = []
    categorical: list[CategoricalTerm] = []
    start = 0
    for part in parts:
        *own, last = weights[start : start + part.matrix.shape[1]].tolist()
        start += part.matrix.shape[1]
        if part.levels is not None:
            categorical.append(
                CategoricalTerm(
                    name=part.name,
                    weights=dict(zip(part.levels, own[:-1], strict=True)),
                    other_weight=own[-1],
                    missing_weight=last,
                )
            )
        else:
            numeric.append(
                NumericTerm(
                    name=part.name,
                    mean=part.mean,
                    scale=part.scale,
                    weight=own[0],
                    missing_weight=last,
                )
            )
    return tuple(numeric), tuple(categorical)


def encode_model(model: LogisticModel) -> bytes:
    """Write ``model.json``."""
    return msgspec.json.format(msgspec.json.encode(model), indent=1)


def decode_model(data: bytes) -> LogisticModel:
    """Read ``model.json``.

    Raises
    ------
    TrainingError
        If the text is not a model this version can read.
    """
    try:
        model = msgspec.json.decode(data, type=LogisticModel)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise TrainingError(f"model.json cannot be read: {error}") from error
    if model.format != 1:
        raise TrainingError(f"model.json has format {model.format}: this driftgauge reads 1")
    return model
