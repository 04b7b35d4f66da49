r"""Differences of two arms, with evidence and bounds that hold however often one looks.

For block k with n rows of the champion, m of the challenger and the difference d of their means,

.. math:: D = \sum_k h_k d_k / \sum_k h_k, \quad h_k = n_k m_k / (n_k + m_k)

estimates the difference with the smallest variance, about s^2 / H with the *information*
H = sum of h. Evidence for "the difference exceeds a limit" is an e-value: if it does not, the
chance that it ever reaches 1 / alpha is at most alpha (Ville's inequality). Bounds are the limits
that the evidence has not yet excluded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from driftgauge.experiments.blocks import Floats, Series

Sign = Literal[1, -1]
Clustering = Literal["blocks", "none"]
# With fewer blocks their dispersion is not known.
LEAST_BLOCKS = 10
_HALVINGS = 60
_LOG_2 = math.log(2.0)
_LOG_ROOT_2_PI = 0.5 * math.log(2.0 * math.pi)
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The difference of the arms after each block, arrays of shape (..., blocks).

    Attributes
    ----------
    champion_rows, challenger_rows : ndarray of float64
        Rows so far.
    information : ndarray of float64
        H: half the rows of one of two equal arms.
    difference : ndarray of float64
        D, challenger less champion; NaN without information.
    variance : ndarray of float64
        Of D, the dispersion included; NaN where it is not known.
    dispersion : ndarray of float64
        How many times more blocks differ than independent rows would make them, at least 1; NaN
        where it is not known.
    """

    champion_rows: Floats
    challenger_rows: Floats
    information: Floats
    difference: Floats
    variance: Floats
    dispersion: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a difference with a variance above 0."""
        with np.errstate(invalid="ignore"):
            known: NDArray[np.bool_] = self.variance > 0.0
        return known


class Inference(Protocol):
    """What can be said about a difference after each block."""

    @property
    def estimates(self) -> Estimates:
        """The difference after each block."""
        ...

    def log_evidence(self, limit: float, sign: Sign) -> Floats:
        """Return -log p of "sign times (difference - limit) is not above 0", after each block.

        0 where nothing is known; may be below 0 where the evidence is for the hypothesis.
        """
        ...

    def bound(self, alpha: float, sign: Sign) -> Floats:
        """Return the lower (sign 1) or upper bound of the difference, infinite if unknown."""
        ...


def estimate(series: Series, clustering: Clustering) -> Estimates:
    """Estimate the difference after each block.

    The variance is the larger one of two: with each arm's own variance, and with that of all rows
    together. A small arm that has not yet seen a rare event has no variance of its own. With
    ``clustering`` it is multiplied by the dispersion, the sum of h (d - D)^2 over its expectation
    for independent rows, at least 1, and is not known below ten blocks with rows of both arms.

    Examples
    --------
    >>> rates = Series(
    ...     center=0.0,
    ...     champion_rows=np.array([100.0, 100.0]), challenger_rows=np.array([100.0, 100.0]),
    ...     champion_sums=np.array([10.0, 10.0]), challenger_sums=np.array([12.0, 20.0]),
    ...     champion_squares=np.array([10.0, 10.0]), challenger_squares=np.array([12.0, 20.0]),
    ... )
    >>> found = estimate(rates, "none")
    >>> found.difference.round(3).tolist(), found.information.tolist()
    ([0.02, 0.06], [50.0, 100.0])
    """
    n, m = series.champion_rows, series.challenger_rows
    both = (n > 0) & (m > 0)
    n_, m_ = np.where(both, n, 1.0), np.where(both, m, 1.0)
    h = np.where(both, n_ * m_ / (n_ + m_), 0.0)
    d = np.where(both, series.challenger_sums / m_ - series.champion_sums / n_, 0.0)
    hd = np.cumsum(h * d, axis=-1)
    information = np.cumsum(h, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(information > 0, hd / information, np.nan)
        own, other, pooled = _variances(series)
        within = np.cumsum(h * h / n_, axis=-1) * own + np.cumsum(h * h / m_, axis=-1) * other
        within /= information**2
        variance = np.maximum(within, pooled / information)
        dispersion = np.ones_like(variance)
        if clustering == "blocks":
            spread = np.cumsum(h * d * d, axis=-1) - information * difference**2
            expected = np.cumsum(h / n_, axis=-1) * own + np.cumsum(h / m_, axis=-1) * other
            expected = expected - information * within
            enough = np.cumsum(both, axis=-1) >= LEAST_BLOCKS
            dispersion = np.where(enough, np.fmax(1.0, spread / expected), np.nan)
    return Estimates(
        champion_rows=np.cumsum(n, axis=-1),
        challenger_rows=np.cumsum(m, axis=-1),
        information=information,
        difference=difference,
        variance=variance * dispersion,
        dispersion=dispersion,
    )


def _variances(series: Series) -> tuple[Floats, Floats, Floats]:
    """Return the variance of a row of the champion, of the challenger and of both together."""
    parts = [
        [np.cumsum(values, axis=-1) for values in side]
        for side in (
            (series.champion_rows, series.champion_sums, series.champion_squares),
            (series.challenger_rows, series.challenger_sums, series.challenger_squares),
        )
    ]
    parts.append([mine + theirs for mine, theirs in zip(*parts, strict=True)])
    found = [
        np.where(n > 1, np.maximum(0.0, squares - sums * sums / n) / (n - 1.0), np.nan)
        for n, sums, squares in parts
    ]
    return found[0], found[1], found[2]


def log_mixture(z: Floats, variance: Floats, scales: tuple[float, ...]) -> Floats:
    r"""Return the logarithm of the mixture likelihood ratio of the mSPRT, one-sided.

    The likelihood ratio of a normal estimate, z standard errors above the limit, is averaged over
    true excesses with half-normal laws of the given scales (equal weights):

    .. math:: 2 \sqrt{\frac{V}{V + \tau^2}} \exp(y^2 / 2) \Phi(y),
              \quad y = z \sqrt{\frac{\tau^2}{V + \tau^2}}

    Without the factor 2 Phi(y) it is the two-sided mixture; both reach 2 / alpha and 1 / alpha,
    respectively, together.

    Parameters
    ----------
    z : ndarray of float64
        Excess over the limit in standard errors.
    variance : ndarray of float64, of the same shape
        V: squared standard error, above 0.
    scales : tuple of float
        tau: true excesses to look for, in units of the metric.

    References
    ----------
    .. [1] Robbins, H. (1970), Statistical methods related to the law of the iterated logarithm.
    .. [2] Johari, R., Koomen, P., Pekelis, L. and Walsh, D. (2022), Always valid inference,
       Operations Research 70(3).

    Examples
    --------
    >>> float(log_mixture(np.array([1.0]), np.array([1 / 100]), (0.2515722,))[0].round(6))
    -0.065024
    """
    logs = []
    for scale in scales:
        share = scale * scale / (variance + scale * scale)
        y = z * np.sqrt(share)
        logs.append(_LOG_2 + 0.5 * np.log1p(-share) + _log_raised_tail(y))
    stacked = np.stack(logs)
    most = stacked.max(axis=0)
    mean: Floats = most + np.log(np.exp(stacked - most).mean(axis=0))
    return mean


def _log_raised_tail(y: Floats) -> Floats:
    """Return the logarithm of exp(y^2 / 2) Phi(y)."""
    near = np.clip(y, -25.0, 8.0)
    phi = 0.5 * _erfc(-near / math.sqrt(2.0))
    # Phi(y) = exp(-y^2 / 2) / sqrt(2 pi) / -y far below 0, and 1 far above.
    far = -_LOG_ROOT_2_PI - np.log(np.maximum(-y, 1.0))
    found: Floats = np.where(y < -25.0, far, 0.5 * y * y + np.log(phi))
    return found


def mixture_bound(alpha: float, variance: Floats, scales: tuple[float, ...]) -> Floats:
    """Return how many standard errors the estimate must exceed a limit to exclude it.

    Parameters
    ----------
    alpha : float
        One-sided.
    variance : ndarray of float64
        Squared standard errors, above 0.
    scales : tuple of float
        As in ``log_mixture``.

    Examples
    --------
    One-sided bound of Howard et al. (2021) of a sum at V = 100, tuned for there: 27.66071.

    >>> z = mixture_bound(0.05, np.array([1 / 100]), (0.2515722,))
    >>> float((10 * z).round(4)[0])
    27.6607
    """
    threshold = -math.log(alpha)
    # One scale alone, with its share of the weight, would need no more than this.
    shares = [scale * scale / (variance + scale * scale) for scale in scales]
    needed = threshold + math.log(len(scales))
    high: Floats = np.min(
        [np.sqrt(2.0 * (needed - 0.5 * np.log1p(-r)) / r) for r in shares], axis=0
    )
    low = np.zeros_like(high)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        beyond = log_mixture(middle, variance, scales) >= threshold
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return high


@dataclass(frozen=True, kw_only=True)
class Msprt:
    """The mixture sequential probability ratio test, and its confidence sequence.

    It takes estimates as normal with known variances: asymptotic, unlike ``Bernstein``.

    Attributes
    ----------
    estimates : Estimates
    scales_up, scales_down : tuple of float
        Sizes of differences above and below a limit that are looked for.
    """

    estimates: Estimates
    scales_up: tuple[float, ...]
    scales_down: tuple[float, ...]

    def log_evidence(self, limit: float, sign: Sign) -> Floats:
        """Return the logarithm of the e-value, see ``Inference``."""
        known = self.estimates.known
        variance = np.where(known, self.estimates.variance, 1.0)
        excess = np.where(known, sign * (self.estimates.difference - limit), 0.0)
        logs = log_mixture(excess / np.sqrt(variance), variance, self._scales(sign))
        found: Floats = np.where(known, logs, 0.0)
        return found

    def bound(self, alpha: float, sign: Sign) -> Floats:
        """Return one side of the confidence sequence, see ``Inference``."""
        known = self.estimates.known
        variance = np.where(known, self.estimates.variance, 1.0)
        width = mixture_bound(alpha, variance, self._scales(sign)) * np.sqrt(variance)
        found: Floats = np.where(known, self.estimates.difference - sign * width, -sign * np.inf)
        return found

    def _scales(self, sign: Sign) -> tuple[float, ...]:
        return self.scales_up if sign == 1 else self.scales_down
