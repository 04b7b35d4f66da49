"""SHAP values of some rows, and how they become one number for each feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import AttributionError

Aggregation = Literal["mean_abs", "median", "mean_sq"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Attributions:
    """SHAP values: what each feature adds to the model's output, row by row.

    ``expected[k] + values[k, i].sum()`` is the output k of row i.

    Attributes
    ----------
    features : tuple of str
    labels : tuple of str
        The model's outputs: ``label0``, ``label1``, ... unless they have names.
    values : ndarray of float64, shape (labels, rows, features)
    expected : ndarray of float64, shape (labels,), or None
        The model's output where nothing is known of a row; None: it is not known.
    """

    features: tuple[str, ...]
    labels: tuple[str, ...]
    values: NDArray[np.float64]
    expected: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        shape = self.values.shape
        if len(shape) != 3 or shape[::2] != (len(self.labels), len(self.features)):
            raise AttributionError(
                f"SHAP values of shape {shape} instead of ({len(self.labels)}, rows, "
                f"{len(self.features)})"
            )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[1])

    def global_values(self, aggregation: Aggregation = "mean_abs") -> NDArray[np.float64]:
        """Return the importance of each feature.

        Parameters
        ----------
        aggregation : {"mean_abs", "median", "mean_sq"}
            Mean of magnitudes, median of magnitudes, or mean of squares.

        Returns
        -------
        ndarray of float64, shape (labels, features)

        Raises
        ------
        AttributionError
            If there is no row.

        Examples
        --------
        >>> values = np.array([[[-1.0], [2.0], [6.0]]])
        >>> some = Attributions(features=("a",), labels=("y",), values=values, expected=None)
        >>> [float(some.global_values(how)[0, 0]) for how in ("mean_abs", "median")]
        [3.0, 2.0]
        """
        if not self.rows:
            raise AttributionError("no row was explained: there is nothing to aggregate")
        if aggregation == "mean_sq":
            squares: NDArray[np.float64] = np.mean(self.values**2, axis=1)
            return squares
        magnitudes = np.abs(self.values)
        if aggregation == "median":
            median: NDArray[np.float64] = np.median(magnitudes, axis=1)
            return median
        mean: NDArray[np.float64] = magnitudes.mean(axis=1)
        return mean


def label_names(outputs: int) -> tuple[str, ...]:
    """Name the outputs of a model as Clarify does.

    Examples
    --------
    >>> label_names(2)
    ('label0', 'label1')
    """
    return tuple(f"label{i}" for i in range(outputs))
