"""Cells finer than those that decisions are made on, so that quantiles of any window are known.

Decisions compare the counts of cells that the baseline fills equally. Such cells are narrow where
the baseline is dense and wide elsewhere: a window that moved into a tail or a gap would lie in few
of them. Wide cells are therefore cut by a grid around the median. On each side its lines are
equally far apart, as far as a shifted window reaches, and farther and farther apart beyond; in a
gap between modes they are closer. A value that the baseline repeats is cut off from what follows
it.

Cuts never change a decision: the cells between two edges add up to the cell they were cut from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Lines of the grid in a standard deviation, for a normal distribution. A window as wide as the
# baseline has at most 2.5 % of its values between two lines.
_LINES = 16
_REACH = 7
_GROWING = 40
# A cell of the body at least so many lines wide is a gap between modes. A window in it may be
# narrower than all of the baseline, and cells that stay empty cost nothing to store.
_GAP = 8
_LINES_IN_GAP = 128
_LINES_IN_GAPS = 512
# Exact in binary, like every product and sum below up to its rounding: the same on any machine.
_GROWTH = 1.125
# Of a normal distribution, from the median to the quantile of 97.5 %.
_DEVIATIONS = 1.96
# Repeats of less than this, the rank error of the sketch, need no cell of their own.
_REPEATED_SHARE = 0.0014
# Rounding to so many digits is recognized, unless values are so dense that it does not matter.
_MOST_DIGITS = 6
_DENSE = 32
_MOST_EXACT = 2.0**53


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Where the cells of a column are cut.

    Attributes
    ----------
    middle : float
        A line of the grid, near the baseline's median.
    below, above : float
        Distance of the lines on either side; 0 for no lines.
    unit, parts : int
        All numbers of the baseline are multiples of ``unit / parts``, ``parts`` a power of ten;
        unit 0: not all are, or they are too dense for it to matter. Then lines are multiples, too.
    repeated : tuple of float
        Increasing; values that the baseline repeats, to be counted alone.
    """

    middle: float
    below: float
    above: float
    unit: int = 0
    parts: int = 1
    repeated: tuple[float, ...] = ()

    def rounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the multiples of the unit nearest to values."""
        multiples: NDArray[np.float64] = values
        if self.unit:
            # The quotient of two whole numbers is the float that the decimal number is read as.
            multiples = np.rint(values * self.parts / self.unit) * self.unit / self.parts
        return multiples


def choose_resolution(
    values: NDArray[np.float64], counts: NDArray[np.int64], *, scale: float
) -> Resolution:
    """Choose where to cut the cells of a column.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The distinct numbers of the baseline, finite, in increasing order, n >= 1.
    counts : ndarray of int64, shape (n,)
        How often each occurs.
    scale : float
        Standard deviation, for a column whose quantiles are all the same.

    Examples
    --------
    >>> found = choose_resolution(
    ...     np.arange(1001) / 10, np.ones(1001, dtype=np.int64), scale=28.9
    ... )
    >>> found.middle, round(found.below, 2), found.unit, found.parts, found.repeated
    (50.0, 1.51, 1, 10, ())
    """
    below = np.cumsum(counts)
    total = int(below[-1])
    ranks = [total // 40, total // 2, total - 1 - total // 40]
    low, middle, high = values[np.searchsorted(below, ranks, side="right")].tolist()
    with np.errstate(over="ignore"):
        distances = [
            (middle - low) / _DEVIATIONS / _LINES,
            (high - middle) / _DEVIATIONS / _LINES,
        ]
    known = [distance for distance in distances if 0 < distance < np.inf]
    fallback = min(known, default=scale / _LINES)
    steps = [distance if 0 < distance < np.inf else fallback for distance in distances]
    unit, parts = _common_unit(values)
    if unit * _DENSE < min(steps) * parts:
        unit, parts = 0, 1
    steps = [max(step, unit / parts) for step in steps]
    repeated = values[counts > _REPEATED_SHARE * total]
    return Resolution(
        middle=middle,
        below=steps[0],
        above=steps[1],
        unit=unit,
        parts=parts,
        repeated=tuple((repeated + 0.0).tolist()),
    )


def _common_unit(values: NDArray[np.float64]) -> tuple[int, int]:
    """Return the largest unit and parts that all values are multiples of; (0, 1) if none."""
    for digits in range(_MOST_DIGITS + 1):
        parts = 10**digits
        if max(-values[0], values[-1]) * parts >= _MOST_EXACT:
            break
        # Most columns show in a few values that they are not rounded.
        for some in (values[:: 1 + values.shape[0] // 64], values):
            whole = np.rint(some * parts)
            if (whole / parts != some).any():
                break
        else:
            return int(np.gcd.reduce(whole.astype(np.int64))), parts
    return 0, 1


def cut_points(resolution: Resolution, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower bounds of the cells that cuts add to those between ``edges``.

    A line is left out where a cell would become narrower than half the distance of lines there.

    Parameters
    ----------
    resolution : Resolution
        Where to cut.
    edges : ndarray of float64, shape (n,)
        Not decreasing.

    Returns
    -------
    ndarray of float64
        Finite, strictly increasing, none of ``edges``.

    Examples
    --------
    >>> halves = Resolution(middle=0.0, below=0.0, above=0.5, repeated=(3.0,))
    >>> cut_points(halves, np.array([0.0, 0.6, 2.0, 3.0, 3.5]))[:4].tolist()
    [1.0, 1.5, 2.5, 3.0000000000000004]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        after = np.setdiff1d(_after_repeated(resolution), edges)
        edges = np.sort(np.concatenate([edges, after]))
        lines = np.union1d(_lines(resolution), _gap_lines(resolution, edges))
        bounded = np.concatenate([[-np.inf], edges, [np.inf]])
        cell = np.searchsorted(edges, lines, side="right")
        room = np.diff(lines, append=np.inf)
        room = np.minimum(room, np.diff(lines, prepend=-np.inf)) / 2
        wide = (lines - bounded[cell] >= room) & (bounded[cell + 1] - lines >= room)
    return np.union1d(after, lines[wide & (room > 0)])


def expected_order(resolution: Resolution, lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a number for each cut cell, close together where similar counts are expected.

    Parameters
    ----------
    resolution : Resolution
        Where cells are cut.
    lower : ndarray of float64, shape (n,)
        Lower bounds of cells.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 1: groups of four lines by distance from the middle; 0 for what follows a repeated
        value.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        away = lower - resolution.middle
        lines = np.maximum(away / resolution.above, -away / resolution.below)
    group = 1.0 + np.floor(np.nan_to_num(lines) / 4)
    group[np.isin(lower, _after_repeated(resolution))] = 0.0
    return group


def _after_repeated(resolution: Resolution) -> NDArray[np.float64]:
    repeated = np.array(resolution.repeated)
    with np.errstate(over="ignore"):
        if resolution.unit:
            after = resolution.rounded(repeated + resolution.unit / resolution.parts)
        else:
            after = np.nextafter(repeated, np.inf)
    return after[np.isfinite(after)]


def _lines(resolution: Resolution) -> NDArray[np.float64]:
    even = np.arange(1.0, _REACH * _LINES + 1)
    growing = np.cumsum(np.cumprod(np.full(_GROWING, _GROWTH)))
    away = np.concatenate([even, even[-1] + growing])
    lines = np.concatenate(
        [
            resolution.middle - away * resolution.below,
            [resolution.middle],
            resolution.middle + away * resolution.above,
        ]
    )
    lines = resolution.rounded(lines)
    return np.unique(lines[np.isfinite(lines)])


def _gap_lines(resolution: Resolution, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    n = edges.shape[0]
    body = edges[n // 20 : n - n // 20]
    width = np.diff(body)
    apart = np.where(body[:-1] < resolution.middle, resolution.below, resolution.above)
    gaps = np.flatnonzero((width >= _GAP * apart) & (apart > 0))
    pieces = min(_LINES_IN_GAP, _LINES_IN_GAPS // max(1, gaps.shape[0]))
    parts = np.arange(1, pieces) / max(1, pieces)
    lines = resolution.rounded((body[gaps, None] + width[gaps, None] * parts).ravel())
    return lines[np.isfinite(lines)]
