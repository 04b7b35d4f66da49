"""How much each column matters to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column

if TYPE_CHECKING:
    from driftgauge.config import FeatureSettings

# Classes of a column: tenths of its numbers, or its most frequent values.
_TENTHS = 10
_CLASSES = 20
# Numbers with so few distinct values are classes themselves.
_FEW = 20


def mutual_information(table: NDArray[np.int64]) -> float:
    r"""Return the mutual information of two classifications, corrected for bias, in nats.

    .. math:: \sum_{ij} p_{ij} \ln \frac{p_{ij}}{p_i p_j} - \frac{K_{xy} - K_x - K_y + 1}{2 N}

    The second term, with the numbers of occupied cells, rows and columns, is what sampling alone
    adds to the first; the difference is cut at 0.

    Parameters
    ----------
    table : ndarray of int64, shape (X, Y)
        How often each pair of classes occurs.

    References
    ----------
    .. [1] Miller, G. (1955), Note on the bias of information estimates, in Information Theory
       in Psychology.

    Examples
    --------
    A fair coin and its copy share one bit, ln 2 nats.

    >>> round(mutual_information(np.array([[5000, 0], [0, 5000]])), 4)
    0.6932
    >>> mutual_information(np.array([[25, 25], [25, 25]]))
    0.0
    """
    total = int(table.sum())
    if total == 0:
        return 0.0
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    x, y = np.nonzero(table)
    pairs = table[x, y].astype(np.float64)
    expected = rows[x].astype(np.float64) * columns[y] / total
    plain = float((pairs * np.log(pairs / expected)).sum()) / total
    occupied = x.shape[0] - int(np.count_nonzero(rows)) - int(np.count_nonzero(columns)) + 1
    return max(0.0, plain - float(occupied) / (2.0 * total))


def label_associations(
    columns: Mapping[str, Column], label: Column, names: Sequence[str]
) -> dict[str, float]:
    """Return how much of the columns' information on the label each column has.

    Parameters
    ----------
    columns : mapping of str to Column
        Of the training data.
    label : Column
        The truth, row by row beside them. Rows without one do not count.
    names : sequence of str
        The model's inputs.

    Returns
    -------
    dict of str to float
        Mutual information with the label in coarse classes, as shares of its sum over all
        inputs. Empty if no input tells anything about the label.
    """
    truth = classes_of(label)
    known = ~_absent(label)
    truth = truth[known]
    found = {}
    for name in names:
        here = classes_of(columns[name])[known]
        size = int(truth.max(initial=0)) + 1
        pairs = np.bincount(here * size + truth, minlength=(int(here.max(initial=0)) + 1) * size)
        found[name] = mutual_information(pairs.reshape(-1, size))
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0.0 else {}


def classes_of(column: Column) -> NDArray[np.int64]:
    """Sort a column's rows into coarse classes.

    Missing values are one class, words the 20 most frequent ones and all others, numbers tenths;
    few distinct numbers are classes themselves.

    Returns
    -------
    ndarray of int64, shape (rows,)
        Small numbers, 0 for rows without a value.
    """
    classes = np.zeros(column.rows, dtype=np.int64)
    finite = np.isfinite(column.numbers)
    numbers = column.numbers[finite]
    if numbers.shape[0]:
        distinct = np.unique(numbers)
        if distinct.shape[0] > _FEW:
            ranks = numbers.shape[0] * np.arange(1, _TENTHS) // _TENTHS
            distinct = np.unique(np.partition(numbers, ranks)[ranks])
            classes[finite] = 1 + np.searchsorted(distinct, numbers, side="right")
        else:
            classes[finite] = 1 + np.searchsorted(distinct, numbers)
    # Numbers that are none, such as infinity, beside missing ones.
    classes[~finite & ~_absent(column)] = _FEW + 2
    if column.codes is not None:
        worded = column.codes >= 0
        often = np.bincount(column.codes[worded], minlength=len(column.words))
        rank = np.argsort(np.argsort(-often, kind="stable"), kind="stable")
        classes[worded] = _FEW + 3 + np.minimum(rank, _CLASSES)[column.codes[worded]]
    return classes


def _absent(column: Column) -> NDArray[np.bool_]:
    return np.zeros(column.rows, dtype=np.bool_) if column.missing is None else column.missing


def weigh(
    names: Sequence[str],
    *,
    features: Mapping[str, FeatureSettings],
    importances: Mapping[str, float],
) -> dict[str, float]:
    """Return the columns' weights as shares of all weights.

    The user's weights may have any scale: the others are brought to it so that the columns with
    both have the same sum by both.

    Parameters
    ----------
    names : sequence of str
        The judged inputs.
    features : mapping of str to FeatureSettings
        The user's weights: ``importance``.
    importances : mapping of str to float
        Weights by the training data.

    Returns
    -------
    dict of str to float
        Without the columns whose weight is unknown.

    Examples
    --------
    >>> weigh(["a", "b"], features={}, importances={"a": 0.75, "b": 0.25, "c": 3.0})
    {'a': 0.75, 'b': 0.25}
    """
    stated = {
        name: features[name].importance
        for name in names
        if name in features and features[name].importance is not None
    }
    own = {name: float(weight) for name, weight in stated.items() if weight is not None}
    known = {name: importances[name] for name in names if name in importances}
    if own:
        shared = sum(known.get(name, 0.0) for name in own)
        scale = sum(own[name] for name in own if name in known) / shared if shared > 0.0 else 0.0
        known = {name: weight * scale for name, weight in known.items()} if scale > 0.0 else {}
    weights = {**known, **own}
    total = sum(weights.values())
    return {n: weights[n] / total for n in names if n in weights} if total > 0.0 else {}
