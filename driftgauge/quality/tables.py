"""Outcomes from tables: which column is the label, which the prediction, which the score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import QualityError
from driftgauge.profile.words import count_words
from driftgauge.quality.outcomes import Outcomes, Problem
from driftgauge.quality.spec import category_index

# An index that is none of the classes: the row has a label or prediction, but a strange one.
_STRANGE = -1.0


@dataclass(frozen=True, kw_only=True)
class OutcomeColumns:
    """Where a table holds its outcomes.

    Attributes
    ----------
    problem : {"regression", "binary", "multiclass"}
    label : str
        Column of the truth.
    prediction : str or None
        Column of the predicted number or class; None: it follows from the probabilities.
    probabilities : tuple of str
        Binary: one column, of the positive class. Multiclass: one for each class, in the order of
        ``classes``.
    classes : tuple of str
        Binary: (negative, positive). Empty: found by ``with_classes``.
    threshold : float
        Binary: the probability from which on the positive class is predicted, if no column says.
    segments : tuple of str
        Columns to slice by.
    """

    problem: Problem
    label: str
    prediction: str | None = None
    probabilities: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    segments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.problem == "regression" and (self.prediction is None or self.probabilities):
            raise QualityError("a regression has a column of predictions, and no probabilities")
        if self.prediction is None and not self.probabilities:
            raise QualityError("name the column of the predictions, or of the probabilities")
        if self.problem == "binary" and len(self.probabilities) > 1:
            raise QualityError("a binary problem has one probability, that of the positive class")
        many = self.problem == "multiclass" and self.probabilities
        if many and self.classes and len(self.classes) != len(self.probabilities):
            raise QualityError(
                f"{len(self.probabilities)} columns of probabilities, {len(self.classes)} classes"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that a table must have, without those to slice by."""
        prediction = (self.prediction,) if self.prediction is not None else ()
        return (self.label, *prediction, *self.probabilities)


def with_classes(columns: OutcomeColumns, tables: Iterable[Mapping[str, Column]]) -> OutcomeColumns:
    """Find the classes in the labels and predictions, if they are not given.

    Classes are in the order of their text, so that of 0 and 1, of no and yes, and of false and
    true the second is the positive one.

    Raises
    ------
    QualityError
        If a binary problem has not two classes, or probabilities leave the order of more open.
    """
    if columns.problem == "regression" or columns.classes:
        return columns
    if columns.problem == "multiclass" and columns.probabilities:
        raise QualityError("name the classes, in the order of the columns of probabilities")
    found: Counter[str] = Counter()
    for table in tables:
        for name in (columns.label, columns.prediction):
            if name is not None and name in table:
                found.update(count_words(table[name]))
    classes = tuple(sorted(found))
    if columns.problem == "binary" and len(classes) != 2:
        listed = ", ".join(map(repr, classes[:5]))
        raise QualityError(
            f"a binary problem has two classes, but labels and predictions hold {len(classes)} "
            f"({listed}); name the classes, the negative one first"
        )
    return replace(columns, classes=classes)


def outcomes_of_table(columns: OutcomeColumns, table: Mapping[str, Column]) -> Outcomes:
    """Return the outcomes of a table.

    Raises
    ------
    QualityError
        If a column is missing. Columns to slice by may be missing.

    Examples
    --------
    >>> from driftgauge.columns import TypeCounts
    >>> def column(*numbers):
    ...     return Column(numbers=np.array(numbers), types=TypeCounts(fractional=len(numbers)))
    >>> where = OutcomeColumns(
    ...     problem="binary", label="y", probabilities=("p",), classes=("0", "1"), threshold=0.4
    ... )
    >>> outcomes_of_table(where, {"y": column(0.0, 1.0), "p": column(0.1, 0.4)}).predictions
    array([0., 1.])
    """
    lacking = [name for name in columns.names if name not in table]
    if lacking:
        known = ", ".join(map(repr, list(table)[:20]))
        raise QualityError(f"the table has no column {lacking[0]!r}; it has {known}")
    scores = [table[name].numbers for name in columns.probabilities]
    probabilities = None
    if scores:
        probabilities = np.stack(scores, axis=1) if columns.problem == "multiclass" else scores[0]
    return Outcomes(
        problem=columns.problem,
        classes=columns.classes,
        labels=_values(columns, table[columns.label]),
        predictions=_predicted(columns, probabilities)
        if columns.prediction is None
        else _values(columns, table[columns.prediction]),
        probabilities=probabilities,
        segments={name: table[name] for name in columns.segments if name in table},
    )


def _values(columns: OutcomeColumns, column: Column) -> NDArray[np.float64]:
    """Return numbers, or indices of classes; NaN only where the cell is empty or no number."""
    if columns.problem == "regression":
        # Text where a number should be is no label that may still arrive.
        worded = np.zeros(column.rows, dtype=np.bool_)
        if column.codes is not None:
            worded = column.codes >= 0
        return np.where(worded, np.inf, column.numbers)
    index = category_index(column, columns.classes).astype(np.float64)
    empty = np.isnan(column.numbers)
    if column.codes is not None:
        empty &= column.codes < 0
    return np.where(empty, np.nan, np.where(index < 0, _STRANGE, index))


def _predicted(
    columns: OutcomeColumns, probabilities: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the class that the probabilities make, NaN where they are missing."""
    if probabilities is None:
        raise QualityError("name the column of the predictions, or of the probabilities")
    if columns.problem == "binary":
        chosen = (probabilities >= columns.threshold).astype(np.float64)
        return np.where(np.isnan(probabilities), np.nan, chosen)
    unknown: NDArray[np.bool_] = np.any(np.isnan(probabilities), axis=1)
    best = np.argmax(np.where(unknown[:, None], 0.0, probabilities), axis=1).astype(np.float64)
    return np.where(unknown, np.nan, best)
