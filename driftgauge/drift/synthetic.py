"""Windows that never were: drawn from a profile's own counts, as they are or moved.

What a monitor finds, and how often it errs, depends on the columns it watches. Windows drawn from
the baseline's counts have these columns, and the engine judges them as it judges real ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.special import normal_isf, normal_sf
from driftgauge.profile.layout import layout_of
from driftgauge.profile.profile import MISSING, TALLIES, UNSEEN, Profile, no_extremes
from driftgauge.profile.spec import FeatureSpec, ProfileSpec

Floats = NDArray[np.float64]

# A sum of shares this close to 1 is 1.
_ROUNDING = 1e-12
# To move a column by more than this many standard deviations is to replace it.
_LARGEST_SHIFT = 4.0
_STEPS_PER_DOUBLING = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """The distribution of every column; columns are independent of each other.

    Attributes
    ----------
    spec : ProfileSpec
        How windows are counted.
    shares : tuple of ndarray of float64
        Of each column: shares of the rows in its cells, of unseen values, and of rows without a
        value that counts.
    """

    spec: ProfileSpec
    shares: tuple[Floats, ...]

    @classmethod
    def of(cls, profile: Profile) -> Population:
        """Return the distribution that a profile shows."""
        shares = []
        for feature in profile.features:
            counted = np.append(feature.fine_counts, feature.unseen_rows)
            without = max(0, profile.rows - int(counted.sum()))
            shares.append(np.append(counted, without) / max(1, profile.rows))
        return cls(spec=profile.spec, shares=tuple(shares))

    def only(self, name: str) -> Population:
        """Return the distribution of one column."""
        at = layout_of(self.spec).index[name]
        spec = ProfileSpec(version=self.spec.version, features=(self.spec.features[at],))
        return Population(spec=spec, shares=(self.shares[at],))

    def draw(
        self,
        rows: int,
        rng: np.random.Generator,
        *,
        dispersions: Mapping[str, float] | None = None,
        known: Profile | None = None,
    ) -> Profile:
        """Draw a window.

        Parameters
        ----------
        rows : int
            How many rows.
        rng : Generator
            Where chance comes from.
        dispersions : mapping of str to float, optional
            How many times the variance of independent rows, by column: the shares themselves
            vary from window to window, by Dirichlet's distribution.
        known : Profile, optional
            A baseline that was drawn itself: categories that it lacks are unseen values.
        """
        counts = []
        tallies = np.zeros((len(self.shares), TALLIES), dtype=np.int64)
        for i, (feature, shares) in enumerate(zip(self.spec.features, self.shares, strict=True)):
            dispersion = (dispersions or {}).get(feature.name, 1.0)
            found = rng.multinomial(rows, _vary(shares / shares.sum(), rows, dispersion, rng))
            cells, unseen, without = found[:-2], int(found[-2]), int(found[-1])
            if known is not None and feature.kind in ("categorical", "boolean"):
                lacked = known.feature(feature.name).counts == 0
                unseen += int(cells[lacked].sum())
                cells[lacked] = 0
            counts.append(cells)
            tallies[i, UNSEEN] = unseen
            tallies[i, MISSING] = without
        return Profile(
            spec=self.spec,
            rows=rows,
            counts=np.concatenate(counts).astype(np.int64) if counts else np.zeros(0, np.int64),
            tallies=tallies,
            extremes=no_extremes(len(self.shares)),
            sums=(0,) * (2 * len(self.shares)),
            unseen=tuple({} for _ in self.shares),
        )


def _vary(shares: Floats, rows: int, dispersion: float, rng: np.random.Generator) -> Floats:
    if dispersion <= 1.0 or rows <= dispersion:
        return shares
    # Counts of Dirichlet shares vary (rows + a) / (1 + a) times as much as multinomial ones.
    weight = (rows - dispersion) / (dispersion - 1.0)
    drawn = rng.standard_gamma(weight * shares)
    total = drawn.sum()
    return np.asarray(drawn / total if total > 0.0 else shares, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Movement:
    """How one column can move, without any value that the baseline does not have.

    Attributes
    ----------
    population : Population
        The column alone.
    """

    population: Population

    @property
    def feature(self) -> FeatureSpec:
        """The column."""
        return self.population.spec.features[0]

    @property
    def ordered(self) -> bool:
        """Whether it moves up rather than from category to category."""
        return self.feature.kind in ("numeric", "discrete")

    @cached_property
    def category(self) -> int | None:
        """The heaviest category with at most half of the values: the one that grows."""
        cells = self.population.shares[0][:-2]
        light = (cells > 0.0) & (cells <= cells.sum() / 2.0 + _ROUNDING)
        return int(np.argmax(np.where(light, cells, -1.0))) if light.any() else None

    @property
    def largest(self) -> float:
        """The largest size to try; 0 if the column cannot move."""
        cells = self.population.shares[0][:-2]
        if np.count_nonzero(cells) < 2:
            return 0.0
        if self.ordered:
            return _LARGEST_SHIFT
        return 0.0 if self.category is None else float(1.0 - cells[self.category] / cells.sum())

    def by(self, size: float) -> Population:
        r"""Return the column moved up.

        Ordered columns: each value's share of values below it, u, becomes
        :math:`\Phi(\Phi^{-1}(u) + s)`. A normally distributed column so moves by s of its standard
        deviations; any other moves among its own values as far. Categorical columns: the share
        of ``category`` grows by s at the expense of all others in proportion, so s is the total
        variation between before and after.

        Parameters
        ----------
        size : float
            s, up to ``largest``.
        """
        shares = self.population.shares[0].copy()
        cells = shares[:-2]
        total = cells.sum()
        if self.ordered:
            below = np.cumsum(cells) / total
            moved = np.array([_moved_down(u, size) for u in below.tolist()])
            cells[:] = np.diff(moved, prepend=0.0)
        elif self.category is not None:
            share = cells[self.category] / total
            cells *= 1.0 - size / (1.0 - share)
            cells[self.category] = (share + size) * total
        # Rounding must not leave a share outside of 0 and 1.
        np.maximum(cells, 0.0, out=cells)
        cells *= total / cells.sum()
        return replace(self.population, shares=(shares,))


def _moved_down(u: float, size: float) -> float:
    """Return the chance to lie below what a share of u lay below, after moving up."""
    if u <= 0.0 or u >= 1.0 - _ROUNDING:
        return float(u > 0.0)
    return normal_sf(normal_isf(u) + size)


def spread_of_sizes(largest: float) -> list[float]:
    """Return sizes to try, a 400th to the whole of ``largest``, evenly on a logarithmic scale.

    Examples
    --------
    >>> sizes = spread_of_sizes(1.0)
    >>> len(sizes), round(sizes[0], 4), sizes[-1]
    (36, 0.0023, 1.0)
    """
    count = math.ceil(_STEPS_PER_DOUBLING * math.log2(400.0)) + 1
    return [largest * 2.0 ** (-i / _STEPS_PER_DOUBLING) for i in reversed(range(count))]
