"""The flip test: how people of one group would be judged if they were of the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import FairnessError
from driftgauge.fairness.spec import NEGATIVE, POSITIVE, Marks

_NEIGHBOURS = 5
# With fewer rows of facet a only the nearest one is asked.
_LEAST_ROWS = 10
MOST_ROWS = 4000
_BLOCK = 1 << 21


@dataclass(frozen=True, kw_only=True)
class FlipTest:
    """How often neighbours of the other group are judged otherwise.

    Attributes
    ----------
    lost : int
        Rows of facet d predicted negative, though most of their neighbours are predicted positive.
    gained : int
        The other way round.
    rows, rows_a : int
        Compared rows of facet d, and rows of facet a they were compared with.
    """

    lost: int
    gained: int
    rows: int
    rows_a: int

    @property
    def value(self) -> float:
        """FT = (gained - lost) / rows: the sign of Clarify's code and files."""
        return (self.gained - self.lost) / self.rows

    @property
    def standard_error(self) -> float:
        """Of the value, for independent rows and given neighbours; half a row added to each side.

        Without the addition no flips at all would make it certain that there never are any.
        """
        rows = self.rows + 1.0
        up, down = (self.gained + 0.5) / rows, (self.lost + 0.5) / rows
        return math.sqrt(max(0.0, up + down - (up - down) ** 2) / rows)


def flip_test(
    features: NDArray[np.float64],
    *,
    sensitive: NDArray[np.bool_],
    positive: NDArray[np.bool_],
    most_rows: int = MOST_ROWS,
) -> FlipTest:
    """Compare each row of facet d with its nearest rows of facet a.

    A row of facet d is given the prediction that most of its 5 nearest rows of facet a have (of
    the nearest one, if facet a has fewer than 10 rows), by Euclidean distance of the features as
    they are. Of equally near rows the first ones count. Source: Black, Yeom and Fredrikson,
    "FlipTest: Fairness Testing via Optimal Transport", FAT* 2020, approximated by neighbours as in
    SageMaker Clarify.

    Parameters
    ----------
    features : ndarray of float64, shape (rows, features)
        Numeric columns without facet, label and predictions; rows that are not finite are left
        out.
    sensitive, positive : ndarray of bool, shape (rows,)
        Whether a row is of facet d, and whether it is predicted positive.
    most_rows : int
        Of more rows in a facet, so many are drawn; the same in every run.

    Raises
    ------
    FairnessError
        If a facet has no row, or there is no feature.

    Examples
    --------
    >>> test = flip_test(
    ...     np.array([[0.0], [1.0], [0.1], [1.1]]),
    ...     sensitive=np.array([False, False, True, True]),
    ...     positive=np.array([True, False, False, False]),
    ... )
    >>> test.lost, test.gained, test.value
    (1, 0, -0.5)
    """
    usable = np.isfinite(features).all(axis=1)
    theirs = _drawn(np.flatnonzero(usable & ~sensitive), most_rows)
    ours = _drawn(np.flatnonzero(usable & sensitive), most_rows)
    if not features.shape[1]:
        raise FairnessError("no numeric feature to find neighbours by")
    if not ours.shape[0]:
        raise FairnessError("facet d has no row")
    if not theirs.shape[0]:
        raise FairnessError("facet a has no row")
    k = _NEIGHBOURS if theirs.shape[0] >= _LEAST_ROWS else 1
    known = features[theirs]
    votes = positive[theirs]
    step = max(1, _BLOCK // known.size)
    expected = np.concatenate(
        [
            _vote(features[ours[at : at + step]], known, votes, k)
            for at in range(0, ours.shape[0], step)
        ]
    )
    predicted = positive[ours]
    return FlipTest(
        lost=int(np.count_nonzero(expected & ~predicted)),
        gained=int(np.count_nonzero(~expected & predicted)),
        rows=int(ours.shape[0]),
        rows_a=int(theirs.shape[0]),
    )


def flip_test_of_columns(
    columns: dict[str, Column], *, sensitive: Marks, predictions: Marks
) -> FlipTest:
    """Run the flip test on the numeric columns among the given ones.

    Rows whose facet or prediction is not known are left out. A column is numeric if none of its
    values is text.

    Raises
    ------
    FairnessError
        As ``flip_test``.
    """
    numeric = [c.numbers for c in columns.values() if not (c.types.text or c.types.boolean)]
    known = (sensitive <= POSITIVE) & (predictions <= POSITIVE)
    table = np.stack(numeric, axis=1) if numeric else np.empty((known.shape[0], 0))
    return flip_test(
        table[known],
        sensitive=sensitive[known] != NEGATIVE,
        positive=predictions[known] != NEGATIVE,
    )


def _vote(
    rows: NDArray[np.float64],
    known: NDArray[np.float64],
    votes: NDArray[np.bool_],
    k: int,
) -> NDArray[np.bool_]:
    # Differences first: the quicker product of sums loses the digits of large, close values.
    distances = np.sum((rows[:, None, :] - known[None, :, :]) ** 2, axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    majority: NDArray[np.bool_] = votes[nearest].sum(axis=1) * 2 > k
    return majority


def _drawn(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    if rows.shape[0] <= most:
        return rows
    drawn = np.random.default_rng(0).choice(rows.shape[0], size=most, replace=False)
    return rows[np.sort(drawn)]
