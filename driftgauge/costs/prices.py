"""List prices, and a line of the bill: a quantity at a price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

PRICES_AS_OF: Final = "November 2026"
PRICES_SOURCE: Final = (
    "list prices of us-east-1, without free tiers, re-check before relying on them"
)

Share = Literal["monitoring", "outcomes", "compatible metrics"]


@dataclass(frozen=True)
class Price:
    """One list price in US dollars, and the unit it is for."""

    dollars: float
    unit: str


PRICES: Final[Mapping[str, Price]] = {
    "custom metric": Price(0.30, "metric and month, by the hours that have data"),
    "standard alarm": Price(0.10, "alarm and month"),
    "high-resolution alarm": Price(0.30, "alarm and month"),
    "anomaly alarm": Price(0.30, "alarm and month (three metrics)"),
    "composite alarm": Price(0.50, "alarm and month"),
    "dashboard": Price(3.00, "dashboard and month"),
    "GetMetricData": Price(0.01 / 1e3, "metric asked for"),
    "PutMetricData": Price(0.01 / 1e3, "request"),
    "Lambda compute": Price(1.33334e-5, "GB-second on arm64"),
    "Lambda request": Price(0.20 / 1e6, "request"),
    "S3 PUT, LIST": Price(0.005 / 1e3, "request"),
    "S3 GET": Price(0.0004 / 1e3, "request"),
    "S3 storage": Price(0.023, "GB and month"),
    "log ingestion": Price(0.50, "GB"),
    "log storage": Price(0.03, "GB and month"),
    "SQS request": Price(0.40 / 1e6, "request"),
    # AWS's own events are free, and whether those of S3 count as such is told both ways.
    "EventBridge event": Price(1.00 / 1e6, "event"),
    "Scheduler invocation": Price(1.00 / 1e6, "invocation"),
    "Step Functions transition": Price(0.025 / 1e3, "transition"),
    "ml.m5.xlarge processing": Price(0.23, "instance-hour"),
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the bill: a quantity at a price."""

    service: str
    what: str
    quantity: float
    price: Price
    share: Share = "monitoring"

    @property
    def cost(self) -> float:
        """US dollars a month."""
        return self.quantity * self.price.dollars


def priced(
    service: str, what: str, quantity: float, price: str, share: Share = "monitoring"
) -> Item:
    """Return a line of the bill at one of ``PRICES``.

    Examples
    --------
    >>> round(priced("S3", "captures kept", 100, "S3 storage").cost, 2)
    2.3
    """
    return Item(service=service, what=what, quantity=quantity, price=PRICES[price], share=share)
