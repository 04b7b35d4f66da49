"""Outcomes by window: captured scores against the labels that came true.

Labels are held by event id, rows are not: each batch is joined and counted into the window of
its inference time, however late its label came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from driftgauge.columns import RowBatch
from driftgauge.training.comparison import log_losses
from driftgauge.training.dataset import labels_of_rows, scores_of_rows
from driftgauge.windows import Window, WindowGrid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class WindowOutcomes:
    """How the predictions of one window turned out.

    Attributes
    ----------
    rows : int
        Captured rows.
    labelled : int
        Rows with a score and a 0/1 label: all figures are theirs.
    unusable_labels : int
        Rows with ground truth that is no 0/1 label, or not one for each row of its record.
    unusable_scores : int
        Rows whose prediction is missing or no number.
    errors : int
        Labelled rows on the wrong side of the threshold.
    outside : int
        Labelled rows whose score is no probability: below 0 or above 1.
    losses : float
        Sum of the log losses of the other labelled rows, nats.
    """

    rows: int = 0
    labelled: int = 0
    unusable_labels: int = 0
    unusable_scores: int = 0
    errors: int = 0
    outside: int = 0
    losses: float = 0.0

    @property
    def coverage(self) -> float:
        """Labelled share of the rows; 0 without rows."""
        return self.labelled / self.rows if self.rows else 0.0

    @property
    def error_rate(self) -> float | None:
        """Wrong share of the labelled rows; None without any."""
        return self.errors / self.labelled if self.labelled else None

    @property
    def log_loss(self) -> float | None:
        """Mean log loss in nats; None without labelled rows, or if a score is no probability."""
        return self.losses / self.labelled if self.labelled and not self.outside else None

    def __add__(self, other: WindowOutcomes) -> WindowOutcomes:
        """Return the outcomes of both."""
        return replace(
            self,
            **{name: value + getattr(other, name) for name, value in vars(self).items()},
        )


class OutcomeCounts:
    """Counts outcomes by window, batch by batch, in any order.

    Parameters
    ----------
    labels : mapping of str to tuple of float
        Labels by event id, as ``driftgauge.training.dataset.collect_labels`` returns them.
    prediction : str
        The column that holds the score.
    threshold : float
        A score of at least this predicts 1.
    grid : WindowGrid
        The windows.
    """

    def __init__(
        self,
        *,
        labels: Mapping[str, tuple[float, ...]],
        prediction: str,
        threshold: float,
        grid: WindowGrid,
    ) -> None:
        self._labels = labels
        self._prediction = prediction
        self._threshold = threshold
        self._anchor = int((grid.anchor - _EPOCH).total_seconds())
        self._length = int(grid.length.total_seconds())
        self._by_slot: dict[int, WindowOutcomes] = {}
        self._matched: set[str] = set()

    @property
    def matched(self) -> int:
        """Number of event ids with a label and a captured row."""
        return len(self._matched)

    def add(self, batch: RowBatch) -> None:
        """Join a batch with its labels and count how its rows turned out."""
        labels, unusable, found = labels_of_rows(batch, self._labels)
        self._matched.update(found.values())
        scores = scores_of_rows(batch, self._prediction)
        scored = np.isfinite(scores)
        known = scored & ~np.isnan(labels)
        wrong = known & ((scores >= self._threshold) != (labels == 1.0))
        proper = known & (scores >= 0.0) & (scores <= 1.0)
        losses = np.zeros(batch.rows)
        losses[proper] = log_losses(labels[proper], scores[proper])
        slots = (batch.inference_time - self._anchor) // self._length
        for slot in np.unique(slots).tolist():
            inside = slots == slot
            part = WindowOutcomes(
                rows=int(inside.sum()),
                labelled=int(known[inside].sum()),
                unusable_labels=int(unusable[inside].sum()),
                unusable_scores=int((~scored[inside]).sum()),
                errors=int(wrong[inside].sum()),
                outside=int((known & ~proper)[inside].sum()),
                losses=float(losses[inside].sum()),
            )
            self._by_slot[slot] = self._by_slot.get(slot, WindowOutcomes()) + part

    def by_window(self) -> dict[Window, WindowOutcomes]:
        """Return the outcomes of each window that has rows, in time order."""
        found = {}
        for slot, outcomes in sorted(self._by_slot.items()):
            start = _EPOCH + timedelta(seconds=self._anchor + slot * self._length)
            found[Window(start, start + timedelta(seconds=self._length))] = outcomes
        return found
