"""Rows of the end-to-end tests of roll-outs.

A row is an amount, high or low, and a channel; it is late with a chance of 70 % if the amount is
high, of 30 % if it is low. A good model errs in 30 % of the rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.types import column_of_values
from driftgauge.columns import Column
from driftgauge.training.dataset import ServedRows
from driftgauge.training.logistic import LogisticModel

CHANNELS = np.array(["web", "phone", "shop"])
# Those of each request, by its inference id.
Labels = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows with their truth."""

    amount: NDArray[np.float64]
    channel: NDArray[np.str_]
    late: NDArray[np.float64]

    @property
    def columns(self) -> dict[str, Column]:
        """The rows as a model's input columns."""
        return {
            "amount": column_of_values(self.amount.tolist()),
            "channel": column_of_values(self.channel.tolist()),
        }

    @property
    def body(self) -> bytes:
        """The rows as the body of a request."""
        pairs = zip(self.amount.tolist(), self.channel.tolist(), strict=True)
        return "\n".join(f"{amount},{channel}" for amount, channel in pairs).encode()


def some_rows(seed: int, count: int, *, reversed_world: bool = False) -> Rows:
    """Return rows; in a reversed world high amounts are on time."""
    generator = np.random.default_rng((2028, seed))
    side = generator.choice(np.array([-1.0, 1.0]), count)
    late = generator.random(count) < np.where((side > 0) != reversed_world, 0.7, 0.3)
    return Rows(
        amount=np.round(50.0 + 10.0 * (side + generator.normal(0.0, 0.2, count)), 2),
        channel=generator.choice(CHANNELS, count, p=[0.55, 0.3, 0.15]),
        late=late.astype(np.float64),
    )


def truth_lines(labels: Labels) -> bytes:
    """Return the labels of requests of several rows as Model Monitor reads them."""
    lines = [
        {
            "groundTruthData": {"data": "\n".join(map("{:.0f}".format, some)), "encoding": "CSV"},
            "eventMetadata": {"eventId": name},
            "eventVersion": "0",
        }
        for name, some in labels.items()
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def served_rows(model: LogisticModel, rows: Rows) -> ServedRows:
    """Return rows with a model's scores."""
    count = rows.late.shape[0]
    return ServedRows(
        columns=rows.columns,
        labels=rows.late,
        scores=model.score(rows.columns, rows=count),
        times=np.arange(count),
    )
