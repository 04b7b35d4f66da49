"""Predictions beside their labels: what the measures of quality, bias and decay start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import QualityError

Problem = Literal["regression", "binary", "multiclass"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """Some rows of predictions, each with its label as far as it has arrived.

    Attributes
    ----------
    problem : {"regression", "binary", "multiclass"}
        What the model predicts.
    classes : tuple of str
        Names of the classes; (negative, positive) for binary, empty for regression.
    labels : ndarray of float64, shape (rows,)
        The truth: a number, or an index into ``classes``. NaN where no label has arrived.
    predictions : ndarray of float64, shape (rows,)
        The predicted number, or an index into ``classes``. NaN where there is none.
    probabilities : ndarray of float64, or None
        Binary: shape (rows,), of the positive class. Multiclass: shape (rows, classes).
        NaN where there is none.
    segments : mapping of str to Column
        Columns of the same rows to slice by, facets among them.

    Raises
    ------
    QualityError
        If the parts do not fit together.
    """

    problem: Problem
    classes: tuple[str, ...]
    labels: NDArray[np.float64]
    predictions: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None
    segments: Mapping[str, Column]

    def __post_init__(self) -> None:
        check_classes(self.problem, self.classes)
        rows = self.rows
        if self.predictions.shape != (rows,):
            raise QualityError(
                f"{rows} labels but predictions of shape {self.predictions.shape}: "
                "give one prediction per row, NaN where there is none"
            )
        if self.probabilities is not None:
            shape = (rows, len(self.classes)) if self.problem == "multiclass" else (rows,)
            if self.probabilities.shape != shape:
                raise QualityError(
                    f"probabilities of shape {self.probabilities.shape} instead of {shape}"
                )
        for name, column in self.segments.items():
            if column.rows != rows:
                raise QualityError(f"column {name!r} has {column.rows} rows instead of {rows}")

    @property
    def rows(self) -> int:
        """Number of rows, those without a label included."""
        return int(self.labels.shape[0])

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Outcomes:
        """Return the outcomes of some rows."""
        return Outcomes(
            problem=self.problem,
            classes=self.classes,
            labels=self.labels[index],
            predictions=self.predictions[index],
            probabilities=None if self.probabilities is None else self.probabilities[index],
            segments={name: column.take(index) for name, column in self.segments.items()},
        )


def check_classes(problem: Problem, classes: tuple[str, ...]) -> None:
    """Raise QualityError where the classes do not suit the problem.

    Examples
    --------
    >>> check_classes("binary", ("no", "yes"))
    """
    suits = {
        "regression": len(classes) == 0,
        "binary": len(classes) == 2,
        "multiclass": len(classes) >= 2,
    }
    if not suits[problem]:
        raise QualityError(
            f"{problem} with {len(classes)} classes: regression has none, binary has "
            "(negative, positive), multiclass at least two"
        )
    if len(set(classes)) != len(classes):
        raise QualityError(f"the classes {classes} name one class twice")
