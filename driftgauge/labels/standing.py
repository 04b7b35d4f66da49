"""How far the labels of some predictions have arrived, in counts that add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

# Below this many earlier windows nothing is usual.
_FEWEST_WINDOWS = 3
_SHORTEST_DELAY = 60.0
_STEPS_A_DOUBLING = 4
# One minute to two years.
_STEPS = 81
# The first bin ends at the shortest delay, the last one holds all that is longer.
DELAY_EDGES: tuple[float, ...] = (
    0.0,
    *(_SHORTEST_DELAY * 2.0 ** (step / _STEPS_A_DOUBLING) for step in range(_STEPS)),
)
DELAY_BINS = len(DELAY_EDGES)
_NO_DELAYS = (0,) * DELAY_BINS


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """Counts of predictions and of the labels found for them. ``a + b`` is exact.

    Attributes
    ----------
    rows, records : int
        Predicted rows, and the records they came in.
    repeated : int
        Records whose id another record has already.
    labelled : int
        Rows whose label is known.
    mismatched : int
        Rows whose record has labels, but not as many as it has rows.
    duplicates : int
        Entries that a later entry of the same id repeats.
    corrected : int
        Entries that a later entry of the same id replaces by another value.
    delays : tuple of int
        Labelled rows by the time from inference to the first collection of a label; bin ``i``
        starts at ``DELAY_EDGES[i]`` seconds.
    """

    rows: int = 0
    records: int = 0
    repeated: int = 0
    labelled: int = 0
    mismatched: int = 0
    duplicates: int = 0
    corrected: int = 0
    delays: tuple[int, ...] = _NO_DELAYS

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(
            rows=self.rows + other.rows,
            records=self.records + other.records,
            repeated=self.repeated + other.repeated,
            labelled=self.labelled + other.labelled,
            mismatched=self.mismatched + other.mismatched,
            duplicates=self.duplicates + other.duplicates,
            corrected=self.corrected + other.corrected,
            delays=tuple(map(sum, zip(self.delays, other.delays, strict=True))),
        )

    @property
    def coverage(self) -> float | None:
        """Share of the rows whose label is known; None without rows."""
        return self.labelled / self.rows if self.rows else None

    @property
    def median_delay(self) -> float | None:
        """Seconds from inference to label that half of the labelled rows needed at most.

        Interpolated within a bin, whose edges are 19 % apart; None without labels.
        """
        wanted = self.labelled / 2
        if not self.labelled:
            return None
        reached = 0
        for (low, high), count in zip(pairwise(DELAY_EDGES), self.delays, strict=False):
            if reached + count >= wanted:
                return low + (high - low) * (wanted - reached) / count
            reached += count
        return DELAY_EDGES[-1]

    def coverage_at(self, age: float, *, span: float = 0.0) -> float | None:
        """Return the share of rows whose label had been collected at an age; None without rows.

        Parameters
        ----------
        age : float
            Seconds since the youngest row was predicted, such as since the end of a window.
        span : float
            Seconds between the oldest and the youngest row: the length of the window. Rows are
            taken to be spread evenly over it, so that the result is the mean over ages from
            ``age`` to ``age + span``.

        Examples
        --------
        >>> counts = LabelCounts(rows=4, labelled=2, delays=delay_bins(np.array([30, 7200])))
        >>> counts.coverage_at(3600), counts.coverage_at(86400)
        (0.25, 0.5)
        """
        if not self.rows:
            return None
        if span <= 0:
            return self._arrived(age) / self.rows
        low = max(age, 0.0)
        within = [edge for edge in DELAY_EDGES if low < edge < age + span]
        # Labelled rows grow linearly between the edges, so the trapezoids are exact.
        area = sum(
            (b - a) * (self._arrived(a) + self._arrived(b)) / 2
            for a, b in pairwise([low, *within, max(low, age + span)])
        )
        return area / span / self.rows

    def _arrived(self, age: float) -> float:
        """Return the number of rows labelled within an age, linear inside of a bin."""
        reached = (0, *accumulate(self.delays))
        return float(np.interp(age, DELAY_EDGES, reached[: len(DELAY_EDGES)]))


def delay_bins(delays: NDArray[np.int64]) -> tuple[int, ...]:
    """Count delays in seconds by the fixed bins; one below zero counts as zero.

    Examples
    --------
    >>> delay_bins(np.array([-5, 0, 59, 60]))[:2]
    (3, 1)
    """
    bins = np.searchsorted(DELAY_EDGES, np.maximum(delays, 0), side="right") - 1
    return tuple(np.bincount(bins, minlength=DELAY_BINS).tolist())


def sum_label_counts(parts: Iterable[LabelCounts]) -> LabelCounts:
    """Add counts; the sum of none is zero."""
    return sum(parts, LabelCounts())


def usual_coverage(
    earlier: Sequence[tuple[LabelCounts, float]], age: float, *, span: float = 0.0
) -> float | None:
    """Return the share of labels that earlier windows had when they were as old.

    Parameters
    ----------
    earlier : sequence of (LabelCounts, float)
        Earlier windows, each with its age in seconds. One that is not as old yet says nothing.
    age : float
        Age of the window in question, in seconds since its end.
    span : float
        Length of a window in seconds, see ``LabelCounts.coverage_at``.

    Returns
    -------
    float or None
        The median; None if fewer than three earlier windows are old enough.

    Examples
    --------
    >>> day = LabelCounts(rows=10, labelled=8, delays=delay_bins(np.full(8, 3600)))
    >>> usual_coverage([(day, 1e6)] * 3, 86400.0)
    0.8
    >>> usual_coverage([(day, 1e6)] * 2, 86400.0) is None
    True
    """
    found = [counts.coverage_at(age, span=span) for counts, old in earlier if old >= age]
    known = [share for share in found if share is not None]
    return median(known) if len(known) >= _FEWEST_WINDOWS else None
