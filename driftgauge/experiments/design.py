"""How many rows a test needs, how often it finds what is there, and how long it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from driftgauge.drift.special import normal_isf
from driftgauge.errors import ExperimentError
from driftgauge.experiments.bernstein import bernstein_bound
from driftgauge.experiments.blocks import Floats
from driftgauge.experiments.boundaries import (
    Crossing,
    first_crossing,
    stage_constant,
    stage_shape,
)
from driftgauge.experiments.sequential import mixture_bound
from driftgauge.experiments.verdict import Method

# Sizes of harm that are looked for, as multiples of the effect or margin: it has to be found early
# if it is large.
_HARM_SCALES = (1.0, 2.0, 4.0)
# Looks that an always valid test is planned with.
_LOOKS = 100
_STEPS = 20
_PRECISION = 1e-4
# No test that can be planned needs so many times the rows of one with a fixed horizon.
_MOST = 1e4


@dataclass(frozen=True, kw_only=True)
class Design:
    """One test of a difference. Its effect and deviation are in the same units.

    Attributes
    ----------
    method : str
    stages : int
        Of the group-sequential methods.
    alpha_better, alpha_worse, alpha_no_gain : float
        One-sided chances of error.
    effect : float
        Difference to be found, above 0.
    deviation : float
        Standard deviation of a row.
    share : float
        The challenger's share of the traffic.
    width : float
        Of the range of the values; ``empirical_bernstein`` alone needs it.
    guardrail : bool
        Whether the difference is that from the limit, which is the effect for equal arms.
    """

    method: Method
    stages: int
    alpha_better: float
    alpha_worse: float
    alpha_no_gain: float
    effect: float
    deviation: float
    share: float = 0.5
    width: float = 1.0
    guardrail: bool = False

    def power(self, information: float) -> float:
        """Return the chance of finding the effect within so much information."""
        return float(self._crossing(information, self.effect).above.sum())

    def expected(self, information: float, difference: float) -> float:
        """Return the mean information used, if so much is planned and the difference is true."""
        looks = self._looks(information)
        return self._crossing(information, difference).expected(looks)

    def required(self, power: float) -> float:
        """Return the information at which the effect is found with this chance."""
        if self.method == "empirical_bernstein":
            return _required(self, power)
        # Nothing but the ratio of effect and deviation counts.
        unit = replace(self, effect=1.0, deviation=1.0, share=0.5, width=1.0)
        return _required(unit, power) * (self.deviation / self.effect) ** 2

    def _looks(self, information: float) -> Floats:
        count = {"fixed": 1, "obrien_fleming": self.stages, "pocock": self.stages}
        looks = count.get(self.method, _LOOKS)
        found: Floats = information * np.arange(1.0, looks + 1.0) / looks
        return found

    def _crossing(self, information: float, difference: float) -> Crossing:
        looks = self._looks(information)
        upper, lower = self._bounds(looks)
        return first_crossing(upper, lower, looks / self.deviation**2, difference)

    def _bounds(self, looks: Floats) -> tuple[Floats, Floats]:
        """Return what ends the test, in standard errors: for the challenger, against it."""
        variance = self.deviation**2 / looks
        if self.method in ("fixed", "obrien_fleming", "pocock"):
            stages = looks.shape[0]
            shape = stage_shape(self.method, stages)
            upper = stage_constant(self.method, stages, 2.0 * self.alpha_better)
            lower = stage_constant(self.method, stages, 2.0 * self.alpha_worse)
            return upper * shape, -lower * shape
        scales = harm_scales(self.effect)
        up = self._width(self.alpha_better, looks, (self.effect,))
        worse = self._width(self.alpha_worse, looks, scales)
        equal = self.effect / np.sqrt(variance)
        if self.guardrail:
            return up, equal - worse
        # The test also ends where the difference is surely below the effect.
        return up, np.maximum(-worse, equal - self._width(self.alpha_no_gain, looks, scales))

    def _width(self, alpha: float, looks: Floats, scales: tuple[float, ...]) -> Floats:
        """Return by how many standard errors a limit has to be exceeded."""
        if self.method == "msprt":
            return mixture_bound(alpha, self.deviation**2 / looks, scales)
        return bernstein_bound(alpha, looks, self.deviation / self.width, self.share)


def harm_scales(effect: float) -> tuple[float, ...]:
    """Return the sizes of harm that are looked for where this improvement is."""
    return tuple(effect * scale for scale in _HARM_SCALES)


@lru_cache(maxsize=512)
def _required(design: Design, power: float) -> float:
    quantiles = normal_isf(design.alpha_better) - normal_isf(power)
    # Of a test with a fixed horizon; the others need more.
    least = (quantiles * design.deviation / design.effect) ** 2
    target = -normal_isf(power)

    def lacking(root: float) -> float:
        """Return what lacks of the power, as a normal quantile: nearly linear in the root."""
        found = min(max(design.power(root * root), 1e-12), 1.0 - 1e-12)
        return target + normal_isf(found)

    low = high = 0.9 * math.sqrt(least)
    short = excess = lacking(low)
    while excess > 0.0:
        low, short = high, excess
        high *= 1.5
        excess = lacking(high)
        if high * high > _MOST * least:
            raise ExperimentError(
                f"no number of rows finds a difference of {design.effect:g} between values with "
                f"standard deviation {design.deviation:g}: raise the effect or the margin"
            )
    for _ in range(_STEPS):
        if high < (1.0 + _PRECISION) * low or short == excess:
            break
        step = min(max(short / (short - excess), 0.01), 0.99)
        middle = low + step * (high - low)
        found = lacking(middle)
        if abs(found) < _PRECISION:
            return middle * middle
        low, short, high, excess = (
            (middle, found, high, excess) if found > 0.0 else (low, short, middle, found)
        )
    return high * high
