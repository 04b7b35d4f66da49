"""What the stand-in endpoint needs to know of rows: inputs, labels, and when each is known."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts
from driftgauge.training.dataset import ServedRows
from driftgauge.training.logistic import LogisticModel


class Traffic(Protocol):
    """Rows in order of time, each of which one invocation of the endpoint scores."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def times(self) -> NDArray[np.int64]:
        """When each row is scored, seconds since 1970-01-01T00:00:00Z; shape (rows,)."""

    @property
    def late(self) -> NDArray[np.bool_]:
        """The label of each row; shape (rows,)."""

    def take(self, index: NDArray[np.bool_]) -> Self:
        """Return some of the rows."""

    def columns(self) -> dict[str, Column]:
        """Return the model's input columns."""

    def payloads(self) -> list[str]:
        """Return each row as the endpoint receives it: the input columns as CSV."""

    def inference_ids(self) -> list[str]:
        """Return the InferenceId that the caller of the endpoint passes for each row."""

    def labelled_at(self) -> NDArray[np.int64]:
        """Return when each label is collected, seconds since 1970-01-01T00:00:00Z."""


def word_column(values: NDArray[np.str_]) -> Column:
    """Return words as a column.

    Examples
    --------
    >>> word_column(np.array(["b", "a", "b"])).codes.tolist()
    [1, 0, 1]
    """
    words, codes = np.unique(values, return_inverse=True)
    return Column(
        numbers=np.full(values.shape[0], np.nan),
        types=TypeCounts(text=int(values.shape[0])),
        codes=codes.astype(np.int32),
        words=tuple(words.tolist()),
    )


def whole_column(values: NDArray[np.int64]) -> Column:
    """Return whole numbers as a column.

    Examples
    --------
    >>> whole_column(np.array([3, 4])).types.integral
    2
    """
    return Column(
        numbers=values.astype(np.float64), types=TypeCounts(integral=int(values.shape[0]))
    )


def served_rows(traffic: Traffic, model: LogisticModel) -> ServedRows:
    """Return rows with their labels and a model's scores, as training data."""
    columns = traffic.columns()
    return ServedRows(
        columns=columns,
        labels=traffic.late.astype(np.float64),
        scores=model.score(columns, rows=traffic.rows),
        times=traffic.times,
    )
