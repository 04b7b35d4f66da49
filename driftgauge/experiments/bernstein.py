r"""Empirical-Bernstein confidence sequences of the difference of two bounded means.

Exact for any number of rows, whatever the law of the values, so long as they are bounded. For x
in [0, 1] and a guess g of its mean that was made before, with psi(l) = -log(1 - l) - l,

.. math:: E \exp(l (x - \mu) - \psi(l) (x - g)^2) \le 1, \quad 0 \le l < 1

(Fan, Grama and Liu 2015; Howard, Ramdas, McAuliffe and Sekhon 2021). In block k the challenger's
rows have l m / (n + m) on the champion's side and the reverse, so that the product over all rows
depends on the arms' means through their difference alone:

.. math:: \exp(l H (D - \delta) - V(l))

The guess for the champion is the mean of the blocks before, that for the challenger is the
champion's up to this block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from driftgauge.errors import ExperimentError
from driftgauge.experiments.blocks import Floats, Series
from driftgauge.experiments.sequential import Estimates, Sign

# Tilts l of the mixture, for information of a few rows to a few millions.
_TILTS: Floats = 0.9 * 0.5 ** np.arange(12.0)
_HALVINGS = 60
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Bernstein:
    """Evidence and bounds for values between ``low`` and ``high``.

    Attributes
    ----------
    estimates : Estimates
        Of the series; only their dispersion counts here: rows weigh 1 / dispersion.
    series : Series
    low, high : float
        All values are between these.
    guess : float or None
        The champion's mean as it is known before the first block; None: the middle.
    """

    estimates: Estimates
    series: Series
    low: float
    high: float
    guess: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ExperimentError(f"values cannot be between {self.low} and {self.high}")
        means = [self.low, self.high]
        for rows, sums in (
            (self.series.champion_rows, self.series.champion_sums),
            (self.series.challenger_rows, self.series.challenger_sums),
        ):
            some = rows > 0
            means += (self.series.center + sums[some] / rows[some]).tolist()
        slack = _SLACK * (self.high - self.low)
        if min(means) < self.low - slack or max(means) > self.high + slack:
            raise ExperimentError(
                f"some values are not between {self.low} and {self.high}: widen the metric's "
                "`low` and `high`"
            )

    def log_evidence(self, limit: float, sign: Sign) -> Floats:
        """Return the logarithm of the e-value, see ``Inference``."""
        found: Floats = self._log_mean((sign * limit / self._width), sign)
        return np.where(self.estimates.known, found, 0.0)

    def bound(self, alpha: float, sign: Sign) -> Floats:
        """Return one side of the confidence sequence, see ``Inference``."""
        threshold = -math.log(alpha)
        # The evidence falls as the limit rises; a difference is between -1 and 1.
        below, above = np.full(self._information.shape, -1.0), np.ones(self._information.shape)
        for _ in range(_HALVINGS):
            middle = 0.5 * (below + above)
            excluded = self._log_mean(middle, sign) >= threshold
            below, above = np.where(excluded, middle, below), np.where(excluded, above, middle)
        return np.where(self.estimates.known, sign * below * self._width, -sign * np.inf)

    def _log_mean(self, limit: Floats | float, sign: Sign) -> Floats:
        gain = self._information * (sign * self._difference - limit)
        logs = _TILTS[:, None] * gain - self._costs
        most = logs.max(axis=0)
        mean: Floats = most + np.log(np.exp(logs - most).mean(axis=0))
        return mean

    @property
    def _width(self) -> float:
        return self.high - self.low

    @cached_property
    def _difference(self) -> Floats:
        return np.nan_to_num(self.estimates.difference) / self._width

    @cached_property
    def _weight(self) -> Floats:
        """What a row counts."""
        return 1.0 / np.nan_to_num(self.estimates.dispersion, nan=1.0)

    @cached_property
    def _information(self) -> Floats:
        return self.estimates.information * self._weight

    @cached_property
    def _costs(self) -> Floats:
        """V(l) of each tilt, shape (tilts, blocks)."""
        n, m = self.series.champion_rows, self.series.challenger_rows
        both = (n > 0) & (m > 0)
        total = np.where(both, n + m, 1.0)
        champion, challenger = self._squares()
        costs = _psi(_TILTS[:, None] * m / total) * champion
        costs += _psi(_TILTS[:, None] * n / total) * challenger
        found: Floats = np.cumsum(np.where(both, costs, 0.0), axis=-1) * self._weight
        return found

    def _squares(self) -> tuple[Floats, Floats]:
        """Return the sums of squared distances from the guess by block, of each arm."""
        series, width = self.series, self._width
        rows, sums = np.cumsum(series.champion_rows), np.cumsum(series.champion_sums)
        first = 0.5 * (self.low + self.high) if self.guess is None else self.guess
        first = min(max(first, self.low), self.high) - series.center
        after = np.where(rows > 0, sums / np.maximum(rows, 1.0), first)
        before = np.concatenate([[first], after[:-1]])
        found = [
            np.maximum(0.0, squares - 2.0 * guess * part + count * guess * guess) / width**2
            for guess, count, part, squares in (
                (before, series.champion_rows, series.champion_sums, series.champion_squares),
                (
                    after,
                    series.challenger_rows,
                    series.challenger_sums,
                    series.challenger_squares,
                ),
            )
        ]
        return found[0], found[1]


def bernstein_bound(alpha: float, information: Floats, deviation: float, share: float) -> Floats:
    """Return how many standard errors a difference must exceed a limit to exclude it.

    Parameters
    ----------
    alpha : float
        One-sided.
    information : ndarray of float64, shape (looks,)
    deviation : float
        Standard deviation of a row, as a share of the range of the values.
    share : float
        The challenger's share of the traffic.
    """
    tilts = _TILTS[:, None]
    costs = _psi(tilts * share) / share + _psi(tilts * (1.0 - share)) / (1.0 - share)
    costs = costs * deviation**2 * information
    # One tilt alone, with its share of the weight, would need no more than this.
    needed = -math.log(alpha) + math.log(len(_TILTS))
    high = ((needed + costs) / tilts).min(axis=0)
    low = np.zeros_like(high)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        logs = tilts * middle - costs
        most = logs.max(axis=0)
        beyond = most + np.log(np.exp(logs - most).mean(axis=0)) >= -math.log(alpha)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    found: Floats = high / (deviation * np.sqrt(information))
    return found


def _psi(tilt: Floats) -> Floats:
    found: Floats = -np.log1p(-tilt) - tilt
    return found
