"""Scores: what evidence over time is made of, fixed functions of a column's cells.

The baseline chooses for each column a few functions of the value, its *aspects*: where the value
stands among the baseline's (location), how far from the middle (scale), whether it is one of the
heavy categories, whether it is missing. The sum of an aspect over a window's rows follows from the
window's counts, so sums add up over windows as profiles do, and need no row again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ProfileError
from driftgauge.profile.profile import FeatureProfile, Profile
from driftgauge.windows import Window

LOCATION: Final = "location"
SCALE: Final = "scale"
MISSING: Final = "missing"
# Categories without an aspect of their own, and values the baseline does not have.
RARE: Final = "other values"
_MOST_CATEGORIES = 8
# Share and rows of the baseline from which a category has an aspect of its own.
_HEAVY_SHARE = 0.01
_HEAVY_ROWS = 20
# Below this part of its length, a polynomial is what earlier ones leave of rounding.
_DEGENERATE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """One score of one column.

    Attributes
    ----------
    feature : int
        The column's position in the specification.
    name : str
        ``location``, ``scale``, ``missing``, ``other values`` or a category.
    share : bool
        Whether the score is 0 or 1, so that its mean is a share. Otherwise it has mean 0 and
        variance 1 over the baseline's values.
    of_rows : bool
        Whether its mean is over all rows, as that of ``missing``, or over the values in cells.
    weight : float
        Of the column's evidence; a column's weights add up to 1.
    skewness : float
        Third standardised moment over the baseline; 0 for a share, whose skewness follows from it.
    """

    feature: int
    name: str
    share: bool
    of_rows: bool
    weight: float
    skewness: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreLayout:
    """Which aspects a baseline has, and where their sums stand in a window's vector.

    Attributes
    ----------
    baseline_version : str
        The baseline it follows from.
    features : tuple of str
        Column names.
    aspects : tuple of Aspect
        A columns' aspects one after the other; A in all.
    cells : tuple of ndarray of float64, each shape (cells + 1, aspects of the column)
        Score of a value in each cell, and of an unseen one; zero for ``missing``.
    baseline : ndarray of float64, shape (S,)
        The baseline's own vector; S = A + columns: sums by aspect, then values in cells by column.
    baseline_rows : int
        The baseline's rows.
    feature_of, denominator : ndarray of intp, shape (A,)
        The column of an aspect; position in the vector, with the rows appended, of what its mean
        is over.
    share : ndarray of bool, shape (A,)
    weight, skewness : ndarray of float64, shape (A,)
        The aspects' attributes.
    """

    baseline_version: str
    features: tuple[str, ...]
    aspects: tuple[Aspect, ...]
    cells: tuple[NDArray[np.float64], ...]
    baseline: NDArray[np.float64]
    baseline_rows: int
    feature_of: NDArray[np.intp]
    denominator: NDArray[np.intp]
    share: NDArray[np.bool_]
    weight: NDArray[np.float64]
    skewness: NDArray[np.float64]

    def sums(self, profile: Profile) -> NDArray[np.float64]:
        """Return a profile's vector, shape (S,).

        Raises
        ------
        ProfileError
            If the profile was counted against another baseline's specification.
        """
        if profile.spec.version != self.baseline_version:
            raise ProfileError(
                f"the window is counted against baseline {profile.spec.version!r}, not "
                f"{self.baseline_version!r}: profile its capture again"
            )
        parts, counted = [], []
        for feature, cells in zip(profile.features, self.cells, strict=True):
            counts = np.append(feature.counts, feature.unseen_rows)
            found = counts @ cells
            found[-1] = feature.missing
            parts.append(found)
            counted.append(feature.counted)
        return np.concatenate([*parts, np.array(counted, dtype=np.float64)])

    def denominators(
        self, sums: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how many values each aspect's mean is over.

        Parameters
        ----------
        sums : ndarray of float64, shape (E, S)
            Vectors of E windows.
        rows : ndarray of float64, shape (E,)
            Their rows.

        Returns
        -------
        ndarray of float64, shape (E, A)
        """
        return np.concatenate([sums, rows[:, None]], axis=1)[:, self.denominator]


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowScores:
    """What evidence over time keeps of a window: its rows and the sums of its scores.

    Attributes
    ----------
    layout : ScoreLayout
        What the sums are of.
    window : Window
        The interval of inference time.
    rows : int
        Rows of the window.
    sums : ndarray of float64, shape (S,)
        See ``ScoreLayout.baseline``.
    """

    layout: ScoreLayout
    window: Window
    rows: int
    sums: NDArray[np.float64]


def window_scores(profile: Profile, baseline: Profile, *, window: Window) -> WindowScores:
    """Sum a window's scores.

    Parameters
    ----------
    profile : Profile
        The window's rows, counted against the baseline's specification.
    baseline : Profile
        The baseline's rows; they fix the scores.
    window : Window
        The interval of inference time.

    Raises
    ------
    ProfileError
        If the profile was counted against another baseline's specification.
    """
    layout = score_layout(baseline)
    return WindowScores(layout=layout, window=window, rows=profile.rows, sums=layout.sums(profile))


@lru_cache(maxsize=8)
def score_layout(baseline: Profile) -> ScoreLayout:
    """Choose the aspects of every column from the baseline's counts.

    Ordered columns: location and scale, the first two orthonormal polynomials of the baseline's
    midrank (for a continuous column sqrt(12) (u - 1/2) and sqrt(5) (6 u^2 - 6 u + 1), u uniform),
    and missing; weights 1/2, 1/4, 1/4. One of a single value has no order: its aspects are other
    values and missing. Categorical and boolean columns: each of the at most 8 heaviest categories
    that has 1 % of the baseline and 20 rows, all other values together, and missing; equal weights.
    """
    aspects: list[Aspect] = []
    cells = []
    for i, feature in enumerate(baseline.features):
        scores, chosen = _choose(i, feature)
        cells.append(scores)
        aspects += chosen
    count = len(aspects)
    feature_of = np.array([aspect.feature for aspect in aspects], dtype=np.intp)
    of_rows = np.array([aspect.of_rows for aspect in aspects], dtype=np.bool_)
    layout = ScoreLayout(
        baseline_version=baseline.spec.version,
        features=tuple(feature.name for feature in baseline.spec.features),
        aspects=tuple(aspects),
        cells=tuple(cells),
        baseline=np.zeros(count + len(cells)),
        baseline_rows=baseline.rows,
        feature_of=feature_of,
        denominator=np.where(of_rows, count + len(cells), count + feature_of),
        share=np.array([aspect.share for aspect in aspects], dtype=np.bool_),
        weight=np.array([aspect.weight for aspect in aspects]),
        skewness=np.array([aspect.skewness for aspect in aspects]),
    )
    layout.baseline[:] = layout.sums(baseline)
    return layout


def _choose(index: int, feature: FeatureProfile) -> tuple[NDArray[np.float64], list[Aspect]]:
    """Return a column's scores by cell and its aspects; the last is missing."""
    if feature.spec.kind in ("numeric", "discrete") and np.count_nonzero(feature.counts) > 1:
        scores, skewness = _rank_scores(feature.counts)
        names = [LOCATION, SCALE][: scores.shape[1]]
        weights = [0.5, 0.25, 0.25] if len(names) > 1 else [0.75, 0.25]
    else:
        scores, names = _category_scores(feature)
        skewness = np.zeros(len(names))
        weights = [1.0 / (len(names) + 1)] * (len(names) + 1)
    ordered = names[:1] == [LOCATION]
    aspects = [
        Aspect(
            feature=index,
            name=name,
            share=not ordered,
            of_rows=False,
            weight=weight,
            skewness=float(skew),
        )
        for name, weight, skew in zip(names, weights, skewness, strict=False)
    ]
    missing = Aspect(
        feature=index, name=MISSING, share=True, of_rows=True, weight=weights[-1], skewness=0.0
    )
    padded = np.zeros((feature.counts.shape[0] + 1, len(names) + 1))
    padded[: scores.shape[0], :-1] = scores
    return padded, [*aspects, missing]


def _rank_scores(
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return one or two orthonormal polynomials of the midrank, by cell, and their skewness."""
    shares = counts / counts.sum()
    rank = 2.0 * np.cumsum(shares) - shares - 1.0
    basis = [np.ones(counts.shape[0])]
    for power in (1, 2):
        # Twice, since once leaves what rounding makes of nearly parallel vectors.
        found = rank**power
        length = float(np.sqrt(shares @ found**2))
        for _ in range(2):
            for other in basis:
                found = found - (shares @ (found * other)) * other
        rest = float(np.sqrt(shares @ found**2))
        if rest <= _DEGENERATE * length:
            break
        basis.append(found / rest)
    scores = np.stack(basis[1:], axis=1)
    return scores, shares @ scores**3


def _category_scores(feature: FeatureProfile) -> tuple[NDArray[np.float64], list[str]]:
    """Return an indicator of each heavy category and of all others, by cell and for unseen."""
    counts = feature.counts
    known = feature.spec.categories
    total = feature.counted
    least = max(_HEAVY_ROWS, _HEAVY_SHARE * total)
    order = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
    heavy = [int(cell) for cell in order if counts[cell] >= least]
    scores = np.zeros((counts.shape[0] + 1, len(heavy) + 1))
    scores[:, -1] = 1.0
    for column, cell in enumerate(heavy):
        scores[cell, column] = 1.0
        scores[cell, -1] = 0.0
    # One category less is enough: where two make up the column, the second mirrors the first.
    # Cells of numbers have no category's name, and the only one that is filled needs none.
    kept = heavy if len(heavy) > 2 and known else heavy[: 1 if len(heavy) == 2 and known else 0]
    columns = [*range(len(kept)), len(heavy)]
    return scores[:, columns], [*(known[cell] for cell in kept), RARE]
