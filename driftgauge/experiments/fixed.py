"""Tests at planned amounts of information: one at the end, or several on the way.

The stages are found in the blocks themselves: stage k is the first block that completes k / K of
the planned information. However often one looks, each stage is tested once, on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.special import normal_sf
from driftgauge.experiments.blocks import Floats
from driftgauge.experiments.boundaries import chance_of_crossing, stage_constant, stage_shape
from driftgauge.experiments.sequential import Estimates, Sign

StagedMethod = Literal["fixed", "obrien_fleming", "pocock"]
# Rounding must not make a stage wait for one more block.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A fixed-horizon test (one stage) or a group-sequential one.

    Bounds are repeated confidence intervals (Jennison and Turnbull 1989) of the stages so far,
    intersected.

    Attributes
    ----------
    estimates : Estimates
        One series, shape (blocks,).
    method : {"fixed", "obrien_fleming", "pocock"}
    stages : int
        K; 1 for ``fixed``.
    planned : float
        Information at the last stage.
    """

    estimates: Estimates
    method: StagedMethod
    stages: int
    planned: float

    @cached_property
    def ends(self) -> NDArray[np.intp]:
        """Index of the block that completes each stage; stages to come are left out."""
        wanted = self.planned * np.arange(1, self.stages + 1) / self.stages
        # Tested only where there is something to test.
        reached = np.where(self.estimates.known, self.estimates.information, -np.inf)
        reached = np.maximum.accumulate(reached) * (1.0 + _ROUNDING)
        found = np.searchsorted(reached, wanted)
        ended: NDArray[np.intp] = found[found < reached.shape[0]]
        return ended

    def log_evidence(self, limit: float, sign: Sign) -> Floats:
        """Return -log of the one-sided p-value of the stages so far, see ``Inference``."""

        def surprise(stage: int) -> float:
            end = self.ends[stage]
            excess = sign * (float(self.estimates.difference[end]) - limit)
            z = excess / math.sqrt(float(self.estimates.variance[end]))
            return z / float(self._shape[stage])

        return self._carried(surprise, 0.0, self._log_inverse_p)

    def bound(self, alpha: float, sign: Sign) -> Floats:
        """Return one side of the repeated confidence interval, see ``Inference``."""
        constant = stage_constant(self.method, self.stages, 2.0 * alpha)

        def limit(stage: int) -> float:
            end = self.ends[stage]
            width = constant * float(self._shape[stage])
            width *= math.sqrt(float(self.estimates.variance[end]))
            return sign * float(self.estimates.difference[end]) - width

        return sign * self._carried(limit, -math.inf, lambda most: most)

    @cached_property
    def _shape(self) -> Floats:
        return stage_shape(self.method, self.stages)

    def _log_inverse_p(self, most: float) -> float:
        """Turn the largest scaled z into -log p, half of the two-sided chance."""
        if self.stages == 1:
            p = normal_sf(most)
        elif most <= 0.0:
            return 0.0
        else:
            p = 0.5 * chance_of_crossing(self.method, self.stages, most)
        return -math.log(max(p, 1e-300))

    def _carried(
        self, of_stage: Callable[[int], float], before: float, finish: Callable[[float], float]
    ) -> Floats:
        """Return, for each block, what the largest value of the stages so far amounts to."""
        found = np.full(self.estimates.information.shape, before)
        most = -math.inf
        for stage, end in enumerate(self.ends):
            most = max(most, of_stage(stage))
            found[end:] = finish(most)
        return found
