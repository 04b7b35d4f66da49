"""Reference rows: what a feature is replaced by when it counts as unknown.

The user's own rows, or centres of the training data, as Clarify chooses them: k-means, and
k-prototypes where there are words. Z. Huang, "Extensions to the k-means algorithm for clustering
large data sets with categorical values", Data Mining and Knowledge Discovery 2, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.rows import FeatureRows
from driftgauge.errors import AttributionError

MOST_CLUSTERS = 12
_MOST_ROUNDS = 100
_MOST_ROWS = 20_000
# What a different word adds to a squared distance, where every number has variance 1.
_MISMATCH = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Rows with weights.

    Attributes
    ----------
    rows : FeatureRows
        At least one.
    weights : ndarray of float64, shape (rows,)
        Not negative, not all 0.
    """

    rows: FeatureRows
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not self.rows.rows or self.weights.shape != (self.rows.rows,):
            raise AttributionError("a reference is at least one row, with one weight each")


def reference_of(rows: FeatureRows) -> Reference:
    """Return rows as they are, all of the same weight."""
    return Reference(rows=rows, weights=np.ones(rows.rows))


def cluster_reference(rows: FeatureRows, *, clusters: int, seed: int) -> Reference:
    """Return the centres of clusters, weighted by the rows of each.

    A centre has the mean of each number, the commonest word, or a gap where most cells are gaps.
    Numbers are standardised for the distance, and of many rows 20,000 are drawn.

    Parameters
    ----------
    rows : FeatureRows
        Training data.
    clusters : int
        1 to 12; fewer are made if there are fewer different rows.
    seed : int

    Raises
    ------
    AttributionError
        If there are no rows, or the number of clusters is another.

    Examples
    --------
    >>> rows = FeatureRows(names=("a",), numbers=np.array([[0.0], [1.0], [9.0], [10.0], [11.0]]))
    >>> centres = cluster_reference(rows, clusters=2, seed=1)
    >>> sorted(zip(centres.rows.numbers[:, 0].tolist(), centres.weights.tolist()))
    [(0.5, 2.0), (10.0, 3.0)]
    """
    if not 1 <= clusters <= MOST_CLUSTERS:
        raise AttributionError(f"{clusters} clusters: choose 1 to {MOST_CLUSTERS}")
    if not rows.rows:
        raise AttributionError("there is no training row to make a reference of")
    rng = np.random.default_rng(seed)
    if rows.rows > _MOST_ROWS:
        rows = rows.take(np.sort(rng.choice(rows.rows, size=_MOST_ROWS, replace=False)))
    space = _Space(rows)
    group = space.grouped(clusters, rng)
    used, group = np.unique(group, return_inverse=True)
    weights = np.bincount(group, minlength=len(used)).astype(np.float64)
    return Reference(rows=_centres(rows, group, len(used)), weights=weights)


class _Space:
    """The space in which rows are close to each other: standardised numbers, and words."""

    def __init__(self, rows: FeatureRows) -> None:
        numbers = np.where(np.isfinite(rows.numbers), rows.numbers, np.nan)
        present = ~np.isnan(numbers)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, numbers, 0.0).sum(axis=0) / count
        offset = np.where(present, numbers - mean, 0.0)
        scale = np.sqrt((offset**2).sum(axis=0) / count)
        self._points = offset / np.where(scale > 0.0, scale, 1.0)
        # A gap is a category of its own, so that gaps attract each other.
        self._codes = np.where(present, -1, -2)
        if rows.codes is not None:
            self._codes = np.where(rows.codes >= 0, rows.codes, self._codes)
        varies = (self._codes != self._codes[:1]).any(axis=0)
        self._codes = self._codes[:, varies]

    def grouped(self, clusters: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return the cluster of each row (Lloyd's algorithm from a k-means++ start)."""
        points, codes = self._start(clusters, rng)
        group = self._nearest(points, codes)
        for _ in range(_MOST_ROUNDS):
            for k in range(len(points)):
                own = group == k
                if own.any():
                    points[k] = self._points[own].mean(axis=0)
                    codes[k] = [_commonest(column) for column in self._codes[own].T]
            moved = self._nearest(points, codes)
            if (moved == group).all():
                break
            group = moved
        return group

    def _start(
        self, clusters: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
        chosen = [int(rng.integers(len(self._points)))]
        while len(chosen) < clusters:
            distance = self._distances(self._points[chosen], self._codes[chosen]).min(axis=1)
            total = float(distance.sum())
            if total <= 0.0:
                break
            chosen.append(int(rng.choice(len(self._points), p=distance / total)))
        return self._points[chosen].copy(), self._codes[chosen].copy()

    def _nearest(self, points: NDArray[np.float64], codes: NDArray[np.int_]) -> NDArray[np.intp]:
        nearest: NDArray[np.intp] = np.argmin(self._distances(points, codes), axis=1)
        return nearest

    def _distances(
        self, points: NDArray[np.float64], codes: NDArray[np.int_]
    ) -> NDArray[np.float64]:
        """Return squared distances of shape (rows, centres)."""
        distances = np.empty((len(self._points), len(points)))
        for k, (point, words) in enumerate(zip(points, codes, strict=True)):
            apart = ((self._points - point) ** 2).sum(axis=1)
            distances[:, k] = apart + _MISMATCH * (self._codes != words).sum(axis=1)
        return distances


def _centres(rows: FeatureRows, group: NDArray[np.intp], count: int) -> FeatureRows:
    width = len(rows.names)
    numbers = np.full((count, width), np.nan)
    codes = np.full((count, width), -1, dtype=np.int32)
    for k in range(count):
        own = rows.take(np.flatnonzero(group == k))
        for j in range(width):
            values = own.numbers[:, j]
            finite = values[np.isfinite(values)]
            words = own.codes[:, j] if own.codes is not None else np.empty(0, dtype=np.int32)
            words = words[words >= 0]
            gaps = own.rows - len(finite) - len(words)
            if len(words) >= max(len(finite), gaps, 1):
                codes[k, j] = _commonest(words)
            elif len(finite) >= max(gaps, 1):
                numbers[k, j] = finite.mean()
    worded = rows.codes is not None
    return FeatureRows(
        names=rows.names, numbers=numbers, codes=codes if worded else None, words=rows.words
    )


def _commonest(codes: NDArray[np.int_] | NDArray[np.int32]) -> int:
    values, counts = np.unique(codes, return_counts=True)
    return int(values[counts.argmax()])
