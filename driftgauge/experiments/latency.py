"""How long a variant takes to answer: counts in fixed cells, which add up.

Percentiles do not add up, counts do. The cells are those for which CloudWatch returns counts as
well: of a metric such as ``ModelLatency`` in microseconds, statistic ``TC(:x)`` is the number of
requests of at most x.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ExperimentError

# From 0.1 ms to 100 s, each edge about a quarter above the one before.
_PER_DECADE = 10
_FIRST_DECADE, _LAST_DECADE = 2, 8
CELLS = (_LAST_DECADE - _FIRST_DECADE) * _PER_DECADE + 2


@cache
def latency_edges() -> tuple[int, ...]:
    """Return the edges of the cells in microseconds; a cell includes its upper edge.

    Examples
    --------
    >>> latency_edges()[:3], latency_edges()[-1], len(latency_edges()) == CELLS - 1
    ((100, 126, 158), 100000000, True)
    """
    steps = range(CELLS - 1)
    return tuple(round(10.0 ** (_FIRST_DECADE + step / _PER_DECADE)) for step in steps)


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """How long some requests took. ``a + b`` is exact.

    Attributes
    ----------
    counts : tuple of int
        Requests by cell: up to the first edge, then between edges, then beyond the last.
    total : int
        Sum over all requests, in whole microseconds.
    minimum, maximum : int or None
        In microseconds; None without requests.

    Raises
    ------
    ExperimentError
        If the parts do not fit together.
    """

    counts: tuple[int, ...] = (0,) * CELLS
    total: int = 0
    minimum: int | None = None
    maximum: int | None = None

    def __post_init__(self) -> None:
        if len(self.counts) != CELLS or min(self.counts) < 0 or self.total < 0:
            raise ExperimentError(
                f"a summary of latencies has {CELLS} counts, none of them below 0, and a sum that "
                "is not below 0"
            )
        low, high = self.minimum, self.maximum
        if self.requests == 0:
            fits = low is None and high is None and self.total == 0
        else:
            fits = low is not None and high is not None and 0 <= low <= high
        if not fits:
            raise ExperimentError(
                f"a summary of {self.requests:,} latencies with a minimum of {low} and a maximum "
                f"of {high} microseconds"
            )

    def __add__(self, other: LatencySummary) -> LatencySummary:
        return LatencySummary(
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            total=self.total + other.total,
            minimum=min((v for v in (self.minimum, other.minimum) if v is not None), default=None),
            maximum=max((v for v in (self.maximum, other.maximum) if v is not None), default=None),
        )

    @property
    def requests(self) -> int:
        """Number of requests."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Mean in microseconds; None without requests."""
        return self.total / self.requests if self.requests else None

    def quantile(self, part: float) -> float | None:
        """Return the latency that a part of the requests does not exceed, in microseconds.

        Between the edges of a cell it is interpolated geometrically: it errs by less than the
        width of a cell, 26 %. None without requests.

        Examples
        --------
        >>> summary = latency_of(np.arange(1, 1001) * 1000.0)
        >>> round(summary.quantile(0.5)), summary.quantile(1.0)
        (500068, 1000000.0)
        """
        if self.minimum is None or self.maximum is None:
            return None
        wanted = part * self.requests
        reached = list(itertools.accumulate(self.counts))
        cell = bisect.bisect_left(reached, wanted) if wanted > 0 else 0
        while not self.counts[cell]:
            cell += 1
        edges = latency_edges()
        low = float(max(self.minimum, edges[cell - 1] if cell else 0))
        high = float(min(self.maximum, edges[cell] if cell < len(edges) else self.maximum))
        inside = (wanted - (reached[cell] - self.counts[cell])) / self.counts[cell]
        inside = min(1.0, max(0.0, inside))
        if low <= 0.0 or inside in (0.0, 1.0):
            return low + inside * (high - low)
        return low * math.exp(inside * math.log(high / low))

    def quantile_bounds(self, part: float, alpha: float) -> tuple[float, float]:
        r"""Return bounds of a quantile in microseconds, which hold however often one looks.

        The distribution function of n independent values is never further from the true one than

        .. math:: 0.85 \sqrt{\frac{\log \log (e n) + 0.8 \log (1612 / \alpha)}{n}}

        at any n, but for a chance of alpha. 0 and infinity where that says nothing.

        Parameters
        ----------
        part : float
            Between 0 and 1.
        alpha : float
            Chance that the bounds ever miss.

        References
        ----------
        .. [1] Howard, S. R. and Ramdas, A. (2022), Sequential estimation of quantiles with
           applications to A/B testing and best-arm identification, Bernoulli 28(3).

        Examples
        --------
        >>> summary = latency_of(np.arange(1, 10_001) * 1000.0)
        >>> low, high = summary.quantile_bounds(0.5, 0.05)
        >>> round(low / 1e6, 1), round(high / 1e6, 1)
        (4.7, 5.3)
        """
        if not self.requests:
            return 0.0, math.inf
        width = 0.85 * math.sqrt(
            (math.log(1.0 + math.log(self.requests)) + 0.8 * math.log(1612.0 / alpha))
            / self.requests
        )
        low = self.quantile(part - width) if part > width else None
        high = self.quantile(part + width) if part + width < 1.0 else None
        return (0.0 if low is None else low, math.inf if high is None else high)


def latency_of(microseconds: NDArray[np.float64]) -> LatencySummary:
    """Return the summary of some latencies, shape (n,); each is rounded to a whole microsecond.

    Values that are negative, not finite or beyond a day are left out.

    Examples
    --------
    >>> summary = latency_of(np.array([1500.0, 2500.0, np.nan]))
    >>> summary.requests, summary.mean
    (2, 2000.0)
    """
    with np.errstate(invalid="ignore"):
        kept = microseconds[(microseconds >= 0) & (microseconds <= 86_400e6)]
    whole = np.rint(kept).astype(np.int64)
    cells = np.searchsorted(np.array(latency_edges()), whole, side="left")
    return LatencySummary(
        counts=tuple(np.bincount(cells, minlength=CELLS).tolist()),
        total=int(whole.sum()),
        minimum=int(whole.min()) if whole.size else None,
        maximum=int(whole.max()) if whole.size else None,
    )
