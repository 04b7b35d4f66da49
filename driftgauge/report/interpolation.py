"""Where the values of a profile's cells lie: quantiles of a window that is known by counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.profile import FeatureProfile

# A cubic is monotone if its slope at either end is at most three times the mean slope.
_STEEPEST = 3.0
# Straight pieces that stand for a cell's cubic: off by less than 1 % of the cell's values.
_PIECES = 8
# A narrow piece with so many times the values of those beside it is one number, repeated.
_REPEATS = 8
# Of a thousand intervals one holds a decimal number that is shorter than its width by so much.
_SPARED_DIGITS = 3


class CellValues:
    """The values of a numeric or discrete column, as far as a profile's cells and pieces tell.

    The cumulative distribution is known exactly at the edges of pieces, called cells from here on;
    between them it is the monotone cubic of F. N. Fritsch and J. Butland, "A method for
    constructing local monotone piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5(2),
    1984. A cell of a single value is exact. Where all numbers are multiples of a unit u, as whole
    or rounded ones are, a number k has ``[k, k + u)`` to itself; a window is taken to be such if
    its extremes are. A first or last cell that is far from all others, or holds many more values
    than its neighbor lets expect, is taken for a single value, the extreme: most often it stands
    for "unknown" or for a limit.

    Parameters
    ----------
    feature : FeatureProfile
        With at least one finite number.
    low, high : float
        Its extremes.
    """

    def __init__(self, feature: FeatureProfile, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._unit, self._parts = _unit_of(feature, low, high)
        pieces = feature.pieces
        lower, upper, self.counts = pieces.lower, pieces.upper, pieces.counts
        with np.errstate(over="ignore"):
            single = upper == np.nextafter(lower, np.inf)
        joined = lower[1:] == upper[:-1]
        endless = np.isinf(lower[0]), np.isinf(upper[-1])
        beyond = upper > high
        low, high = self._multiple(low), self._multiple(high)
        self._lower = np.maximum(self._multiple(lower), low)
        self._upper = np.minimum(self._multiple(upper), high)
        if self._unit:
            self._upper = np.where(beyond, high + 1, self._upper)
        self._upper[single] = self._lower[single] + (1 if self._unit else 0)
        self._upper = np.maximum(self._upper, self._lower)
        if pieces.fine and not self._unit:
            self._gather_repeats(joined, all_of_them=pieces.narrow)
        self._gather_ends(joined, endless, low, high)
        self._shares = self._shares_within(joined)

    def _multiple(self, values: Any) -> Any:
        """Return values as multiples of the unit, rounded up to whole ones."""
        if not self._unit:
            return values
        with np.errstate(over="ignore"):
            nearest = np.rint(values * self._parts / self._unit)
            return nearest + (nearest * self._unit / self._parts < values)

    def _gather_repeats(self, joined: NDArray[np.bool_], *, all_of_them: bool) -> None:
        """Take narrow pieces for single numbers where next to nothing is beside them."""
        beside = np.ones(self.counts.shape[0])
        beside[1:][joined] = self.counts[:-1][joined]
        beside[:-1][joined] = np.maximum(beside[:-1], self.counts[1:])[joined]
        for at in np.flatnonzero(all_of_them | (self.counts >= _REPEATS * beside)).tolist():
            value = _plainest(float(self._lower[at]), float(self._upper[at]))
            self._lower[at] = self._upper[at] = value

    def _gather_ends(
        self, joined: NDArray[np.bool_], endless: tuple[bool, bool], low: float, high: float
    ) -> None:
        if self.counts.shape[0] < 2:
            return
        one = 1 if self._unit else 0
        # Half of each, so that no difference of the largest numbers overflows.
        width = self._upper / 2 - self._lower / 2
        for end, beside, gap in (
            (0, 1, self._lower[1] / 2 - self._upper[0] / 2),
            (-1, -2, self._lower[-1] / 2 - self._upper[-2] / 2),
        ):
            far = not joined[end] and (gap > width[end] or endless[end])
            if far or self._is_crowded(end, beside):
                self._lower[end] = high if end else low
                self._upper[end] = self._lower[end] + one

    def _is_crowded(self, end: int, beside: int) -> bool:
        """Return whether many more values are in an end than its neighbor lets expect."""
        width, other = (float(self._upper[at] / 2 - self._lower[at] / 2) for at in (end, beside))
        wider = width / other if other > 0 else math.inf
        usual = int(self.counts[beside]) * wider if width > 0 else 0.0
        return int(self.counts[end]) >= _REPEATS * max(1.0, usual)

    def _shares_within(self, joined: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the share of each cell's values below each eighth of its width."""
        # Half of each, so that no difference of the largest numbers overflows.
        width = self._upper / 2 - self._lower / 2
        beside = joined & (width[1:] > 0) & (width[:-1] > 0)
        with np.errstate(all="ignore"):
            wider = width[1:] / width[:-1]
            denser = self.counts[1:] / self.counts[:-1] / wider
        left, right = np.full(joined.shape[0] + 1, np.nan), np.full(joined.shape[0] + 1, np.nan)
        left[1:][beside] = _inner_slope(1 / wider[beside], 1 / denser[beside])
        right[:-1][beside] = _inner_slope(wider[beside], denser[beside])
        # At the end of a run of cells the slope goes on as it was between the last two.
        ends, starts = np.full(joined.shape[0] + 1, np.nan), np.full(joined.shape[0] + 1, np.nan)
        ends[1:][beside] = _outer_slope(1 / wider[beside], 1 / denser[beside])
        starts[:-1][beside] = _outer_slope(wider[beside], denser[beside])
        left = _known(np.where(np.isnan(left), starts, left))[:, None]
        right = _known(np.where(np.isnan(right), ends, right))[:, None]
        at = np.arange(_PIECES + 1) / _PIECES
        shares: NDArray[np.float64] = at * (
            left + at * (3 - 2 * left - right + at * (left + right - 2))
        )
        return np.maximum.accumulate(np.clip(shares, 0.0, 1.0), axis=1)

    def below(self, value: float) -> float:
        """Return how many values are below a value."""
        bound = self._multiple(value)
        half_width = self._upper / 2 - self._lower / 2
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            part = (bound / 2 - self._lower / 2) / half_width
        part = np.clip(np.where(half_width > 0, part, self._lower < bound), 0.0, 1.0) * _PIECES
        piece = np.minimum(part.astype(np.intp), _PIECES - 1)
        row = np.arange(part.shape[0])
        first, last = self._shares[row, piece], self._shares[row, piece + 1]
        return float(((first + (last - first) * (part - piece)) * self.counts).sum())

    def at_rank(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the least numbers that so many values are not above.

        Parameters
        ----------
        ranks : ndarray of float64
            Above zero, not above the number of values.
        """
        after = np.cumsum(self.counts)
        cell = np.searchsorted(after, ranks, side="left")
        share = (ranks - (after - self.counts)[cell]) / self.counts[cell]
        shares = self._shares[cell]
        piece = np.clip((shares < share[:, None]).sum(axis=1) - 1, 0, _PIECES - 1)
        row = np.arange(cell.shape[0])
        first, last = shares[row, piece], shares[row, piece + 1]
        rise = np.where(last > first, last - first, 1.0)
        part = (piece + (share - first) / rise) / _PIECES
        lower, upper = self._lower[cell], self._upper[cell]
        values = lower * (1 - part) + upper * part
        if self._unit:
            values, upper = np.ceil(values) - 1, upper - 1
        else:
            upper = np.nextafter(upper, lower)
        inside: NDArray[np.float64] = np.clip(values, lower, np.maximum(lower, upper))
        if not self._unit:
            return inside
        # Multiples beyond 2**53 units do not come back to the number they were made of.
        return np.clip(inside * self._unit / self._parts, self._low, self._high)


def _plainest(lower: float, upper: float) -> float:
    """Return the number that ``[lower, upper)`` most likely stands for, if it is of one number.

    A decimal number that is shorter than there is one in most such intervals; otherwise the
    largest, which all values of the interval are below.

    Examples
    --------
    >>> _plainest(0.36999999, 0.37000001), _plainest(0.5, 0.50000001) == 0.5
    (0.37, True)
    """
    if lower <= 0 < upper:
        return 0.0
    middle, width = lower / 2 + upper / 2, upper - lower
    if not 0 < width < abs(middle):
        return math.nextafter(upper, lower)
    digits = math.floor(math.log10(abs(middle) / width)) - _SPARED_DIGITS
    short = float(f"{middle:.{digits}g}") if digits > 0 else math.nan
    return short if lower <= short < upper else math.nextafter(upper, lower)


def _unit_of(feature: FeatureProfile, low: float, high: float) -> tuple[int, int]:
    """Return the unit that all values are multiples of, in parts; (0, 1) if there is none."""
    cuts = feature.spec.resolution
    whole = feature.spec.inferred_type == "Integral" and not feature.types.fractional
    if cuts is not None and cuts.unit:
        extremes = np.array([low, high])
        if (cuts.rounded(extremes) == extremes).all():
            return cuts.unit, cuts.parts
    return (1, 1) if whole else (0, 1)


def _inner_slope(wider: NDArray[np.float64], denser: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slope at an edge, as a multiple of the mean slope of the cell on one side of it.

    ``wider`` and ``denser``: width and density of the other cell as multiples of this one's.
    """
    with np.errstate(all="ignore"):
        slope: NDArray[np.float64] = 3 * (1 + wider) / ((2 + wider) / denser + 1 + 2 * wider)
    return _known(slope)


def _outer_slope(wider: NDArray[np.float64], denser: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slope at a cell's far end, from the cell on its other side."""
    with np.errstate(all="ignore"):
        slope: NDArray[np.float64] = (2 + wider - denser) / (1 + wider)
    return _known(slope)


def _known(slope: NDArray[np.float64]) -> NDArray[np.float64]:
    slope = np.where(np.isnan(slope), 1.0, slope)
    return np.clip(slope, 0.0, _STEEPEST)
