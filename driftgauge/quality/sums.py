"""Exact sums by group: one pass over the values, one Python integer for each group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.exact import UNIT_BITS, ratio_to_float

_MANTISSA_BITS = 53
_LOW_BITS = 27
# Sums of so many 27-bit integers are whole float64 numbers.
_ROWS_AT_ONCE = 1 << 25


def grouped_sums(values: NDArray[np.float64], groups: NDArray[np.intp], count: int) -> list[int]:
    """Sum finite values exactly by group, in units of 2**-1074.

    Mantissas are added as integers, separately for each exponent, in two halves that float64
    adds without rounding.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite.
    groups : ndarray of int, shape (n,)
        From 0 to ``count`` - 1; values with a negative group are left out.
    count : int
        Number of groups.

    Returns
    -------
    list of int, length count

    Examples
    --------
    >>> sums = grouped_sums(np.array([0.1] * 10 + [7.0]), np.array([0] * 10 + [1]), 2)
    >>> mean_of(sums[0], 1), mean_of(sums[1], 2)
    (1.0, 3.5)
    """
    totals = [0] * count
    inside = (groups >= 0) & (values != 0)
    values, groups = values[inside], groups[inside]
    for start in range(0, values.shape[0], _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        _add(values[part], groups[part], totals)
    return totals


def _add(values: NDArray[np.float64], groups: NDArray[np.intp], totals: list[int]) -> None:
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
    lowest = int(exponents.min())
    span = int(exponents.max()) - lowest + 1
    keys, where = np.unique(
        groups.astype(np.int64) * span + (exponents - lowest), return_inverse=True
    )
    high = np.bincount(where, weights=mantissas >> _LOW_BITS).astype(np.int64).tolist()
    low = np.bincount(where, weights=mantissas & ((1 << _LOW_BITS) - 1)).astype(np.int64).tolist()
    for key, upper, lower in zip(keys.tolist(), high, low, strict=True):
        group, exponent = divmod(key, span)
        shift = exponent + lowest + UNIT_BITS - _MANTISSA_BITS
        total = (upper << _LOW_BITS) + lower
        # A subnormal number has trailing zeros in its mantissa: nothing is shifted out.
        totals[group] += total << shift if shift >= 0 else total >> -shift


def mean_of(total: int, count: int) -> float:
    """Return the float nearest to an exact sum divided by a count; NaN for a count of zero.

    Examples
    --------
    >>> mean_of(3 << UNIT_BITS, 2), mean_of(0, 0)
    (1.5, nan)
    """
    return ratio_to_float(total, count << UNIT_BITS) if count else float("nan")
