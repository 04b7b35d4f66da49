"""What experiments, and roll-outs that compare, add to the bill of a monitor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from driftgauge.config import MonitorConfig
from driftgauge.costs.outcomes import outcome_work_of
from driftgauge.costs.prices import Item, priced
from driftgauge.costs.quantities import HOURS_PER_MONTH, Assumptions, Work
from driftgauge.experiments.latency import latency_edges
from driftgauge.rollout_settings import ComparedKind

# What the function publishes for each challenger, by the experiment's kind, and how many of it
# have an alarm.
EXPERIMENT_METRICS: Final[dict[ComparedKind, tuple[str, ...]]] = {
    "ab": ("ExperimentDecided", "ExperimentHarm", "SampleRatioMismatch", "ExperimentGain"),
    "shadow": ("ExperimentDecided", "ExperimentHarm", "ShadowAgreement", "UnpairedShare"),
}
_EXPERIMENT_ALARMS: Final[dict[ComparedKind, tuple[str, ...]]] = {
    "ab": ("experiment-harm", "sample-ratio"),
    "shadow": ("experiment-harm",),
}
# Assumptions, on the long side: of a look, and of a row that is paired again when a label of its
# grain arrives or its neighbours grow.
_LOOK_SECONDS, _PAIRED_ROW_SECONDS, _TIMES_PAIRED = 2.0, 3e-6, 4
_FUNCTION_GB = 3538 / 1024
# Of a look: its counts, verdict and page are written; windows around it and the plan are read.
_PUTS, _GETS, _LISTS = 3, 20, 4
# What a look at a shadow asks CloudWatch for: of either variant the requests up to each latency,
# with their number, sum, minimum and maximum. Each is taken to be billed as a metric.
_LATENCIES = 2 * (len(latency_edges()) + 4)
_LOG_BYTES = 1500
_GB = 1e9


def experiment_alarms(config: MonitorConfig) -> int:
    """Return how many alarms a monitor's challengers have, each at the monitor's period."""
    return sum(
        len({name for kind in kinds for name in _EXPERIMENT_ALARMS[kind]})
        for kinds in _comparisons(config)
    )


def _comparisons(config: MonitorConfig) -> list[tuple[ComparedKind, ...]]:
    """Return the kinds of each comparison that may run at the same time as the others.

    A roll-out is one, of the kinds of its stages: they have the same challenger.
    """
    found: list[tuple[ComparedKind, ...]] = [(one.kind,) for one in config.experiments]
    if config.rollout is not None and config.rolled_out is not None:
        found.append(config.rollout.kinds)
    return found


def experiment_items(config: MonitorConfig, assumed: Assumptions, work: Work) -> Iterator[Item]:
    """Yield what experiments and roll-outs add to the bill of a month, but the alarms.

    Assumed is that each lasts the whole month, in a roll-out each kind of stage for itself. The
    counts that are kept are too small to count.
    """
    comparisons = _comparisons(config)
    if not comparisons:
        return
    variants = len(config.endpoint.variants)
    judged = outcome_work_of(config, assumed, work).judged / variants
    # After each evaluation of either variant.
    looks = 2 * judged * len(comparisons)
    hours = min(1.0, 2 * judged / HOURS_PER_MONTH)
    metrics = sum(
        len({name for kind in kinds for name in EXPERIMENT_METRICS[kind]}) for kinds in comparisons
    )
    yield priced("CloudWatch", "metrics of experiments", metrics * hours, "custom metric")
    shadows = sum("shadow" in kinds for kinds in comparisons)
    read = 2 * judged * shadows * _LATENCIES
    yield priced("CloudWatch", "latencies of shadows", read, "GetMetricData")
    rows = shadows * 2 * assumed.rows_per_hour / variants * HOURS_PER_MONTH
    seconds = looks * _LOOK_SECONDS + rows * _TIMES_PAIRED * _PAIRED_ROW_SECONDS
    yield priced("Lambda", "compute of experiment", seconds * _FUNCTION_GB, "Lambda compute")
    yield priced("Lambda", "calls of experiment", looks, "Lambda request")
    logged = looks * _LOG_BYTES / _GB
    yield priced("CloudWatch Logs", "of experiments", logged, "log ingestion")
    yield priced("S3", "experiments written", looks * (_PUTS + _LISTS), "S3 PUT, LIST")
    paired = shadows * work.files / variants * 2 * _TIMES_PAIRED
    yield priced("S3", "experiments read", looks * _GETS + paired, "S3 GET")
    yield priced("SQS", "messages of experiments", 2 * looks, "SQS request")
    yield priced("EventBridge", "objects of experiments", looks * _PUTS, "EventBridge event")
