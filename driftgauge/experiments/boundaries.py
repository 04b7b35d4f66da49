"""How often, and when, a sequence of tests crosses its boundaries: by numerical integration.

The estimate's sum at information I is Brownian motion: normal with mean drift * I and variance
I, with independent increments. Its density among the sequences that have not yet crossed is carried
from look to look (Armitage, McPherson and Rowe 1969).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from driftgauge.experiments.blocks import Floats

_NODES = 160
# Beyond so many standard deviations there is nothing to integrate.
_FAR = 9.0
_HALVINGS = 36
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Chances of the first crossing at each look, arrays of shape (looks,)."""

    above: Floats
    below: Floats

    def expected(self, information: Floats) -> float:
        """Return the mean information at the first crossing or, without one, at the last look."""
        stopped = self.above + self.below
        rest = 1.0 - float(stopped.sum())
        return float(stopped @ information) + rest * float(information[-1])


def first_crossing(upper: Floats, lower: Floats, information: Floats, drift: float) -> Crossing:
    """Return how often each look is the first at which the boundary is crossed.

    Parameters
    ----------
    upper, lower : ndarray of float64, shape (looks,)
        Boundaries in standard errors of the estimate; may be infinite.
    information : ndarray of float64, shape (looks,)
        Increasing: one over the variance of the estimate.
    drift : float
        True difference.

    Examples
    --------
    Five looks at the nominal 5 %: the chance of a false alarm is 14.2 %.

    >>> bound = np.full(5, 1.959964)
    >>> found = first_crossing(bound, -bound, np.arange(1.0, 6.0), 0.0)
    >>> round(float(found.above.sum() + found.below.sum()), 3)
    0.142
    """
    roots = np.sqrt(information)
    middle = drift * information
    high = np.clip(upper * roots, middle - _FAR * roots, middle + _FAR * roots)
    low = np.clip(lower * roots, middle - _FAR * roots, middle + _FAR * roots)
    steps = np.diff(information, prepend=0.0)
    nodes, weights = _rule()
    points, mass = np.zeros(1), np.ones(1)
    above, below = np.zeros(len(roots)), np.zeros(len(roots))
    for look, step in enumerate(steps):
        center, deviation = points + drift * step, math.sqrt(step)
        above[look] = mass @ _upper_tail((upper[look] * roots[look] - center) / deviation)
        below[look] = mass @ _upper_tail((center - lower[look] * roots[look]) / deviation)
        width = max(0.0, high[look] - low[look])
        points_next = low[look] + 0.5 * width * (nodes + 1.0)
        scaled = (points_next[:, None] - center[None, :]) / deviation
        density = np.exp(-0.5 * scaled * scaled) @ mass / (deviation * math.sqrt(2.0 * math.pi))
        points, mass = points_next, density * 0.5 * width * weights
    return Crossing(above=above, below=below)


@lru_cache(maxsize=1)
def _rule() -> tuple[Floats, Floats]:
    """Return nodes and weights of the Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def _upper_tail(z: Floats) -> Floats:
    found: Floats = 0.5 * _erfc(z / math.sqrt(2.0))
    return found


def stage_shape(method: str, stages: int) -> Floats:
    """Return the boundary's shape over equal stages, 1 at the last one.

    Pocock's is flat; O'Brien and Fleming's falls like one over the square root of information.
    """
    if method == "obrien_fleming":
        found: Floats = np.sqrt(stages / np.arange(1.0, stages + 1.0))
        return found
    return np.ones(stages)


@lru_cache(maxsize=256)
def chance_of_crossing(method: str, stages: int, constant: float) -> float:
    """Return the chance that an estimate of no difference leaves constant times the shape.

    On either side, at any of the stages.
    """
    bound = constant * stage_shape(method, stages)
    found = first_crossing(bound, -bound, np.arange(1.0, stages + 1.0), 0.0)
    return min(1.0, float(found.above.sum() + found.below.sum()))


@lru_cache(maxsize=64)
def stage_constant(method: str, stages: int, alpha: float) -> float:
    """Return the constant at which that chance is alpha.

    References
    ----------
    .. [1] Pocock, S. J. (1977), Group sequential methods in the design and analysis of clinical
       trials, Biometrika 64(2).
    .. [2] O'Brien, P. C. and Fleming, T. R. (1979), A multiple testing procedure for clinical
       trials, Biometrics 35(3).

    Examples
    --------
    >>> round(stage_constant("pocock", 5, 0.05), 3)
    2.413
    >>> round(stage_constant("obrien_fleming", 5, 0.05), 3)
    2.04
    """
    low, high = 0.0, 2.0 * _FAR
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        crossed = chance_of_crossing(method, stages, middle) > alpha
        low, high = (middle, high) if crossed else (low, middle)
    return high
