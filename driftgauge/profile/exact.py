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
# Of a float64, behind the leading one; and of an int64 without its sign.
_FRACTION_BITS = 52
_INTEGER_BITS = 63
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


def exact_row_sums(
    values: NDArray[np.float64],
    bound: NDArray[np.float64],
    least: NDArray[np.float64] | None = None,
    *,
    work: NDArray[np.float64] | None = None,
) -> list[int]:
    """Sum each row exactly; ``values`` is used as working space and overwritten.

    Each pass adds to every value a number so large that all results have one exponent. The bits
    of such results, read as integers, are the values rounded to a unit, plus a constant: they
    add up exactly in 64 bits. What rounding left over is for the next pass. Splitting by a large
    number is that of Rump, Ogita and Oishi, "Accurate floating-point summation I", SIAM J. Sci.
    Comput. 31(1), 2008, algorithm 3.2.

    Parameters
    ----------
    values : ndarray of float64, shape (rows, n)
        Finite, below 2**1003 in magnitude; n below 2**20.
    bound : ndarray of float64, shape (rows,)
        Not less than the magnitude of any value in the row.
    least : ndarray of float64, shape (rows,), optional
        Not more than the magnitude of any value in the row, zero where that is not known: where
        it is large enough, the last pass need not look for what is left over.
    work : ndarray of float64, shape (rows, n), optional
        Overwritten; saves the allocation of as much.

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
    # The sum of n results is below 2**63 in units of the last bit.
    spare = max(0, int(n).bit_length() - (_INTEGER_BITS - _FRACTION_BITS + 1))
    exponents = [math.frexp(most)[1] + (1 + spare) for most in bound.tolist()]
    # No value has a bit below this one.
    finest = [-UNIT_BITS] * rows
    if least is not None:
        finest = [_last_bit(value) for value in least.tolist()]
    raised = np.empty_like(values) if work is None else work
    sums = [0] * rows
    while True:
        exponents = [max(exponent, _LOWEST_EXPONENT) for exponent in exponents]
        sigma = np.array([[math.ldexp(1.5, exponent)] for exponent in exponents])
        np.add(values, sigma, out=raised)
        # Exact modulo 2**64, hence exact.
        counts = raised.view(np.int64).sum(axis=1) - sigma[:, 0].view(np.int64) * n
        units = [exponent - _FRACTION_BITS for exponent in exponents]
        for row, (count, unit) in enumerate(zip(counts.tolist(), units, strict=True)):
            sums[row] += count << (unit + UNIT_BITS)
        if all(unit <= last for unit, last in zip(units, finest, strict=True)):
            return sums
        np.subtract(raised, sigma, out=raised)
        np.subtract(values, raised, out=values)
        # All zero, whatever the sign: to look at the bits is several times faster than any().
        if not int(np.bitwise_or.reduce(values.view(np.uint64), axis=None)) & _ALL_BUT_SIGN:
            return sums
        # At most half a unit is left over.
        exponents = [unit + spare for unit in units]


def _last_bit(value: float) -> int:
    """Return the exponent of the last bit that a float64 not below ``value`` may have."""
    if value <= 0:
        return -UNIT_BITS
    return max(math.frexp(value)[1] - (_FRACTION_BITS + 1), -UNIT_BITS)


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
