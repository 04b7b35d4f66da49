"""The bill of a month, by monitor and of a whole deployment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.costs.items import model_monitor_items, monitor_items, shared_items
from driftgauge.costs.prices import Item
from driftgauge.costs.quantities import Assumptions, default_assumptions


@dataclass(frozen=True, kw_only=True)
class MonitorEstimate:
    """The items of one monitor, and what hourly Model Monitor jobs would cost instead."""

    monitor: str
    assumptions: Assumptions
    items: tuple[Item, ...]
    alternative: tuple[Item, ...] = field(default=())

    @property
    def total(self) -> float:
        """US dollars a month."""
        return math.fsum(item.cost for item in self.items)

    @property
    def compatible_metrics(self) -> float:
        """The part of the total that metrics under Model Monitor's names make."""
        return math.fsum(i.cost for i in self.items if i.share == "compatible metrics")

    @property
    def outcomes(self) -> float:
        """The part of the total that labels, bias and attributions make, without their alarms."""
        return math.fsum(i.cost for i in self.items if i.share == "outcomes")

    @property
    def model_monitor(self) -> float:
        """US dollars a month of hourly Model Monitor jobs for the same endpoint."""
        return math.fsum(item.cost for item in self.alternative)


@dataclass(frozen=True, kw_only=True)
class DeploymentEstimate:
    """The estimates of all monitors, and what they share."""

    monitors: tuple[MonitorEstimate, ...]
    shared: tuple[Item, ...]

    @property
    def shared_total(self) -> float:
        """US dollars a month for what is there once per deployment."""
        return math.fsum(item.cost for item in self.shared)

    @property
    def total(self) -> float:
        """US dollars a month."""
        return self.shared_total + math.fsum(one.total for one in self.monitors)


def estimate_deployment(
    monitors: MonitorSet,
    assumptions: Assumptions | Mapping[str, Assumptions] | None = None,
) -> DeploymentEstimate:
    """Estimate what a deployment costs in a month.

    Parameters
    ----------
    monitors : MonitorSet
        The monitors, deployed together.
    assumptions : Assumptions or mapping of str to Assumptions, optional
        For all monitors, or by monitor; default: those of ``Assumptions()``, with the columns
        that the monitor names.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings
    >>> config = MonitorConfig(name="churn", endpoint=EndpointSettings(name="churn"))
    >>> estimate = estimate_deployment(MonitorSet(monitors=(config,)))
    >>> round(estimate.monitors[0].model_monitor, 2)
    36.49
    """
    estimates = []
    for config in monitors.monitors:
        if isinstance(assumptions, Assumptions):
            chosen = assumptions
        else:
            chosen = (assumptions or {}).get(config.name) or default_assumptions(config)
        estimates.append(estimate_monitor(config, chosen))
    return DeploymentEstimate(monitors=tuple(estimates), shared=tuple(shared_items(monitors)))


def estimate_monitor(config: MonitorConfig, assumptions: Assumptions) -> MonitorEstimate:
    """Estimate what one monitor adds to the bill of a month."""
    return MonitorEstimate(
        monitor=config.name,
        assumptions=assumptions,
        items=tuple(item for item in monitor_items(config, assumptions) if item.quantity),
        alternative=tuple(model_monitor_items(assumptions)),
    )


def summary_line(estimate: MonitorEstimate) -> str:
    """Say in one line what a monitor costs, as ``cdk synth`` prints it.

    Examples
    --------
    >>> from driftgauge.costs.prices import Price
    >>> item = Item(service="S3", what="x", quantity=2, price=Price(1.5, "thing"))
    >>> summary_line(MonitorEstimate(monitor="churn", assumptions=Assumptions(), items=(item,)))
    'churn: about $3.00 a month at 1,000 rows an hour and 25 features'
    """
    assumed = estimate.assumptions
    line = (
        f"{estimate.monitor}: about ${estimate.total:,.2f} a month at "
        f"{assumed.rows_per_hour:,.0f} rows an hour and {assumed.features} features"
    )
    if estimate.compatible_metrics:
        line += f", ${estimate.compatible_metrics:,.2f} of it for model_monitor_metrics"
    if estimate.outcomes:
        line += f", ${estimate.outcomes:,.2f} of it for labels and attributions"
    return line
