"""Exact sums of floats: the same integer whatever the order and grouping of the values.

A finite float64 is a whole multiple of 2**-1074. A sum is therefore kept as a Python integer
that counts this unit, so adding partial sums is associative and commutative to the last bit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# 2**-UNIT_BITS is the smallest positive float64; every finite float64 is a multiple of it.
UNIT_BITS = 1074
_MANTISSA_BITS = 53
_ALL_BUT_SIGN = 2**63 - 1
# Numbers from here to twice as much are a whole number of the unit apart, as subnormal ones are.
_LOWEST_EXPONENT = -1022


def to_units(value: float) -> int:
    """Return a finite float as a whole number of 2**-1074.

    Examples
    --------
    >>> to_units(1.5) == 3 << 1073
    True
    """
    numerator, denominator = value.as_integer_ratio()
    return numerator << (UNIT_BITS + 1 - denominator.bit_length())


def ratio_to_float(numerator: int, denominator: int) -> float:
    """Return the float nearest to a ratio; +-inf where it exceeds the range of a float64.

    Examples
    --------
    >>> ratio_to_float(1, 4), ratio_to_float(-(10**400), 1)
    (0.25, -inf)
    """
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def square_root(numerator: int, denominator: int) -> float:
    """Return the square root of a non-negative ratio, without under- or overflow on the way.

    Examples
    --------
    >>> square_root(9, 4), square_root(10**800, 10**400) == 1e200
    (1.5, True)
    """
    if numerator <= 0:
        return 0.0
    # A quotient of at least 128 bits has a root of at least 64: more than a float64 holds.
    shift = max(0, 128 + denominator.bit_length() - numerator.bit_length())
    shift += shift % 2
    root = math.isqrt((numerator << shift) // denominator)
    return ratio_to_float(root, 1 << (shift // 2))


def exact_row_sums(values: NDArray[np.float64], bound: NDArray[np.float64]) -> list[int]:
    """Sum each row exactly; ``values`` is used as working space and overwritten.

    Each pass splits every value into a multiple of a unit that is coarse enough for float64 to
    add all of them without rounding, and a remainder for the next pass: Rump, Ogita and Oishi,
    "Accurate floating-point summation I", SIAM J. Sci. Comput. 31(1), 2008, algorithm 3.2.

    Parameters
    ----------
    values : ndarray of float64, shape (rows, n)
        Finite, below 2**1000 in magnitude; n below 2**20.
    bound : ndarray of float64, shape (rows,)
        Not less than the magnitude of any value in the row.

    Returns
    -------
    list of int
        One sum per row, in units of 2**-1074.

    Examples
    --------
    >>> sums = exact_row_sums(np.array([[1e100, 1.0, -1e100]]), np.array([1e100]))
    >>> sums[0] == to_units(1.0)
    True
    """
    rows, n = values.shape
    spread = int(n).bit_length()
    exponent = np.frexp(bound)[1] + spread
    taken = np.empty_like(values)
    partial: list[NDArray[np.float64]] = []
    while True:
        np.maximum(exponent, _LOWEST_EXPONENT, out=exponent)
        sigma = np.ldexp(1.0, exponent)[:, None]
        np.add(values, sigma, out=taken)
        np.subtract(taken, sigma, out=taken)
        partial.append(taken.sum(axis=1))
        np.subtract(values, taken, out=values)
        # All zero, whatever the sign: to look at the bits is several times faster than any().
        if not int(np.bitwise_or.reduce(values.view(np.uint64), axis=None)) & _ALL_BUT_SIGN:
            break
        exponent = exponent - (_MANTISSA_BITS - spread)
    mantissas, exponents = np.frexp(np.array(partial))
    whole = np.ldexp(mantissas, _MANTISSA_BITS).astype(np.int64).tolist()
    shifts = (exponents + (UNIT_BITS - _MANTISSA_BITS)).tolist()
    sums = [0] * rows
    for mantissa_row, shift_row in zip(whole, shifts, strict=True):
        for row, (mantissa, shift) in enumerate(zip(mantissa_row, shift_row, strict=True)):
            sums[row] += mantissa << shift if shift >= 0 else mantissa >> -shift
    return sums


def exact_sum(values: NDArray[np.float64]) -> int:
    """Sum finite values of any magnitude exactly, in units of 2**-1074.

    Examples
    --------
    >>> ratio_to_float(exact_sum(np.full(10, 0.1)), 1 << UNIT_BITS)
    1.0
    """
    huge = np.abs(values) > 2.0**900
    total = sum(to_units(value) for value in values[huge].tolist()) if huge.any() else 0
    rest = values[~huge]
    for start in range(0, rest.shape[0], 1 << 16):
        part = rest[None, start : start + (1 << 16)].copy()
        total += exact_row_sums(part, np.abs(part).max(axis=1))[0]
    return total
