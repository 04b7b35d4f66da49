"""Traffic of the end-to-end test: orders whose amount and channel say whether they will be late.

The first champion has learned from another world than the one it serves in, so that any model
trained on the served rows is better; and from one day on, the amounts are larger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.types import column_of_values
from driftgauge.columns import Column
from driftgauge.training.dataset import ServedRows
from driftgauge.training.logistic import LogisticModel, train_logistic
from driftgauge.windows import format_time

FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)
CHANNELS = np.array(["web", "phone", "shop"])


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Some orders, by column; ``times`` in seconds since 1970, increasing."""

    amount: NDArray[np.float64]
    channel: NDArray[np.str_]
    late: NDArray[np.float64]
    times: NDArray[np.int64]

    @property
    def columns(self) -> dict[str, Column]:
        """The orders as a model's input columns."""
        return {
            "amount": column_of_values(self.amount.tolist()),
            "channel": column_of_values(self.channel.tolist()),
        }


def orders_of_day(day: int, *, rows: int, larger: float = 0.0, slope: float = 2.0) -> Orders:
    """Return one day's orders; ``larger`` is the shift of the amounts in standard deviations."""
    generator = np.random.default_rng((2026, day + 1))
    standard = generator.normal(larger, 1.0, rows)
    late = generator.random(rows) < 1.0 / (1.0 + np.exp(-slope * standard))
    start = int((FIRST_DAY + timedelta(days=day)).timestamp())
    return Orders(
        amount=np.round(50.0 + 10.0 * standard, 2),
        channel=generator.choice(CHANNELS, rows, p=[0.6, 0.3, 0.1]),
        late=late.astype(np.float64),
        times=start + np.sort(generator.integers(0, 86_400, rows)),
    )


def first_champion() -> tuple[LogisticModel, ServedRows]:
    """Return a model of a world in which large orders are on time, and its training rows."""
    orders = orders_of_day(-1, rows=4000, slope=-1.0)
    model = train_logistic(orders.columns, orders.late, version="first", created=FIRST_DAY)
    scores = model.score(orders.columns, rows=orders.late.shape[0])
    return model, ServedRows(
        columns=orders.columns, labels=orders.late, scores=scores, times=orders.times
    )


def capture_lines(orders: Orders, model: LogisticModel) -> bytes:
    """Return the orders as a SageMaker capture file."""
    scores = model.score(orders.columns, rows=orders.late.shape[0])
    lines = [
        {
            "captureData": {
                "endpointInput": _side("INPUT", f"{amount},{channel}"),
                "endpointOutput": _side("OUTPUT", f"{score:.6f}"),
            },
            "eventMetadata": _metadata(moment, number),
            "eventVersion": "0",
        }
        for number, (amount, channel, score, moment) in enumerate(
            zip(orders.amount, orders.channel, scores, orders.times.tolist(), strict=True)
        )
    ]
    return _jsonl(lines)


def ground_truth_lines(orders: Orders) -> bytes:
    """Return the orders' labels as Model Monitor reads them."""
    lines = [
        {
            "groundTruthData": {"data": str(int(late)), "encoding": "CSV"},
            "eventMetadata": {"eventId": f"order-{moment}-{number}"},
            "eventVersion": "0",
        }
        for number, (late, moment) in enumerate(
            zip(orders.late, orders.times.tolist(), strict=True)
        )
    ]
    return _jsonl(lines)


def _side(mode: str, data: str) -> dict[str, str]:
    return {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}


def _metadata(moment: int, number: int) -> dict[str, str]:
    return {
        "eventId": f"event-{moment}-{number}",
        "inferenceId": f"order-{moment}-{number}",
        "inferenceTime": format_time(datetime.fromtimestamp(moment, UTC)),
    }


def _jsonl(lines: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
