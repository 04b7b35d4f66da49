"""What a deployment costs in a month, item by item, before it is deployed.

An estimate of AWS's bill from the monitors' configuration and a few assumptions about the
traffic. It is meant to be above the bill rather than below: free tiers are left out, and where
the code can do something in one request or in two, it is two.

``prices`` lists what units cost, ``quantities`` works out how much a monitor does, ``items`` makes
the lines of the bill of both, ``outcomes`` those of labels and attributions, ``experiments`` those
of compared variants, and ``estimate`` adds them up.
"""

from driftgauge.costs.estimate import (
    DeploymentEstimate,
    MonitorEstimate,
    estimate_deployment,
    estimate_monitor,
    summary_line,
)
from driftgauge.costs.experiments import EXPERIMENT_METRICS
from driftgauge.costs.items import (
    FILE_METRICS,
    JOINT_METRICS,
    METRICS_PER_FEATURE,
    PERSISTENCE_METRICS,
    POSTPROCESS_METRICS,
    PREPROCESS_METRICS,
    WINDOW_METRICS,
)
from driftgauge.costs.outcomes import (
    ATTRIBUTION_METRICS,
    BIAS_METRICS,
    ESTIMATE_METRICS,
    KEPT_MARGIN_DAYS,
    LABEL_METRICS,
    OUTCOME_METRICS,
)
from driftgauge.costs.prices import PRICES, PRICES_AS_OF, PRICES_SOURCE, Item, Price, Share
from driftgauge.costs.quantities import (
    HOURS_PER_MONTH,
    ROLLUP_ABOVE,
    Assumptions,
    default_assumptions,
)

__all__ = [
    "ATTRIBUTION_METRICS",
    "BIAS_METRICS",
    "ESTIMATE_METRICS",
    "EXPERIMENT_METRICS",
    "FILE_METRICS",
    "HOURS_PER_MONTH",
    "JOINT_METRICS",
    "KEPT_MARGIN_DAYS",
    "LABEL_METRICS",
    "METRICS_PER_FEATURE",
    "OUTCOME_METRICS",
    "PERSISTENCE_METRICS",
    "POSTPROCESS_METRICS",
    "PREPROCESS_METRICS",
    "PRICES",
    "PRICES_AS_OF",
    "PRICES_SOURCE",
    "ROLLUP_ABOVE",
    "WINDOW_METRICS",
    "Assumptions",
    "DeploymentEstimate",
    "Item",
    "MonitorEstimate",
    "Price",
    "Share",
    "default_assumptions",
    "estimate_deployment",
    "estimate_monitor",
    "summary_line",
]
