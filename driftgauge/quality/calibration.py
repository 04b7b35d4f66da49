"""What scores are worth: the share of events behind each score, learnt from the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from driftgauge.errors import QualityError
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.scores import BINS, EVENT, OTHER, centers


@dataclass(frozen=True, kw_only=True)
class Block:
    """Neighboring bins that share one value; ``first`` and ``last`` have rows."""

    first: int
    last: int
    rows: int
    events: int


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing step function of the score's bin: the isotonic regression of the events.

    It is fitted from counts, so baselines that are added need no rows to be fitted again.
    """

    blocks: tuple[Block, ...]

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The calibrated probability of each bin, shape (BINS,).

        Bins between two blocks had no rows: there the values change linearly.
        """
        ends = [end for block in self.blocks for end in (block.first, block.last)]
        shares = [block.events / block.rows for block in self.blocks for _ in range(2)]
        middle = centers()
        values: NDArray[np.float64] = np.interp(middle, middle[ends], shares)
        return values

    @cached_property
    def block_of_bin(self) -> NDArray[np.intp]:
        """The block each bin belongs to, or the next one below it, shape (BINS,)."""
        firsts = [block.first for block in self.blocks]
        return np.maximum(np.searchsorted(firsts, np.arange(BINS), side="right") - 1, 0)

    @cached_property
    def variances(self) -> NDArray[np.float64]:
        """Variance of each block's value, with half an event and half a miss added."""
        rows = np.array([block.rows for block in self.blocks], dtype=np.float64)
        share = (np.array([block.events for block in self.blocks]) + 0.5) / (rows + 1.0)
        variances: NDArray[np.float64] = share * (1.0 - share) / rows
        return variances


def fit_calibration(others: ArrayLike, events: ArrayLike) -> Calibration:
    """Fit the isotonic regression of events on scores, by pooling adjacent violators.

    Parameters
    ----------
    others, events : array_like of int, shape (BINS,)
        Labelled rows without and with the event by bin of the score.

    Raises
    ------
    QualityError
        Without any row.

    References
    ----------
    .. [1] Ayer et al. (1955), An empirical distribution function for sampling with incomplete
       information, Annals of Mathematical Statistics 26.

    Examples
    --------
    >>> others, events = np.zeros((2, BINS), dtype=np.int64)
    >>> others[[0, 5, 9]], events[[0, 5, 9]] = (3, 1, 1), (1, 0, 3)
    >>> [(b.first, b.last, b.events, b.rows) for b in fit_calibration(others, events).blocks]
    [(0, 5, 1, 5), (9, 9, 3, 4)]
    """
    happened = np.asarray(events, dtype=np.int64)
    rows = np.asarray(others, dtype=np.int64) + happened
    stack: list[Block] = []
    for place in np.flatnonzero(rows).tolist():
        block = Block(first=place, last=place, rows=int(rows[place]), events=int(happened[place]))
        # In whole numbers: equal shares must not be told apart by rounding.
        while stack and stack[-1].events * block.rows >= block.events * stack[-1].rows:
            below = stack.pop()
            block = Block(
                first=below.first,
                last=block.last,
                rows=below.rows + block.rows,
                events=below.events + block.events,
            )
        stack.append(block)
    if not stack:
        raise QualityError("a calibration needs labelled rows with scores, and there are none")
    return Calibration(tuple(stack))


def fit_calibrations(counts: OutcomeCounts) -> tuple[Calibration, ...]:
    """Fit one calibration for each score: of the positive class, or of every class.

    Raises
    ------
    QualityError
        If there are no labelled rows with scores.
    """
    by_label = counts.histogram.sum(axis=2)
    return tuple(fit_calibration(one[OTHER], one[EVENT]) for one in by_label)
