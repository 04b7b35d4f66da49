"""What a deployment costs in a month, item by item, before it is deployed.

An estimate of AWS's bill from the monitors' configuration and a few assumptions about the
traffic. It is meant to be above the bill rather than below: free tiers are left out, and where
the code can do something in one request or in two, it is two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from driftgauge.config import MonitorConfig, MonitorSet

HOURS_PER_MONTH: Final = 730.0
_SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600
PRICES_AS_OF: Final = "November 2026"
PRICES_SOURCE: Final = (
    "list prices of us-east-1, without free tiers, re-check before relying on them"
)


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

# What the functions publish for each variant: those of each capture file, those of each window.
FILE_METRICS: Final = ("CapturedRows", "RejectedRows")
WINDOW_METRICS: Final = (
    "FeatureDistance",
    "PredictionDistance",
    "DriftedFeatures",
    "DriftedPredictions",
    "Violations",
    "WindowRows",
    "RejectedShare",
    "EvaluationFailures",
)
# And where the monitor has the user's hooks.
PREPROCESS_METRICS: Final = ("DroppedRecords",)
POSTPROCESS_METRICS: Final = ("PostprocessFailures",)
# Alarms for each variant: those that look once per alarm period, silence, and the endpoint's.
_PERIOD_ALARMS: Final = 5
_SILENCE_ALARMS: Final = 1
_ENDPOINT_ALARMS: Final = 4
# One alarm on errors for each function and one for each dead-letter queue.
_SHARED_ALARMS: Final = 4 + 4
_RETRAINING_SHARED_ALARMS: Final = 5 + 1
# Model Monitor's names: feature_data, feature_non_null, feature_baseline_drift.
METRICS_PER_FEATURE: Final = 3

# How the functions work. A row takes twice what the decoder takes on one core (see benchmarks/);
# the other times are assumptions, on the long side.
_FUNCTION_GB = 1769 / 1024
_FILE_SECONDS, _ROW_SECONDS = 0.25, 3.5e-6
_ARRIVAL_SECONDS = 0.2
_EVALUATION_SECONDS, _PROFILE_SECONDS = 1.0, 0.002
_ROLLUP_SECONDS, _PAGE_SECONDS = 0.1, 0.1
_HISTORY_GETS = 26
_EVALUATION_PUTS = 7
_LIST_PAGE = 1000
# A window of more files has a rollup; as the evaluate function has it.
ROLLUP_ABOVE: Final = 8
# Where models are retrained, an evaluation looks for profiles of this many earlier baselines.
_EARLIER_BASELINES = 4
# Lambda polls a queue with five pollers at least, each of which waits 20 seconds.
_POLLS_PER_QUEUE = 5 * _SECONDS_PER_MONTH / 20
_SHARED_QUEUES = 2
_UNENDING = 10  # evaluation on arrival waits ten debounces at most
# Sizes, measured with 20 numeric and 5 categorical columns.
_FILE_LOG, _ARRIVAL_LOG, _EVALUATION_LOG, _FEATURE_LOG = 2000, 1500, 1500, 300
_PROFILE_BYTES, _PROFILE_FEATURE_BYTES = 300, 150
_REPORT_FEATURE_BYTES = 16_000
_ROLLUP_FEATURE_BYTES, _ROLLUP_FILE_BYTES = 400, 16
_PROFILE_MONTHS, _REPORT_MONTHS, _LOG_MONTHS = 13.2, 12.0, 3.0
# How long the versions stay that a later evaluation replaced.
_REPLACED_REPORT_MONTHS, _REPLACED_ROLLUP_MONTHS = 30 / 30.4, 2 / 30.4
_RETRAINING_TRANSITIONS, _RETRAINING_GB_SECONDS = 20, 300 * 3538 / 1024
_GB = 1e9
_JOB_MINUTES = 5.0

Share = Literal["monitoring", "compatible metrics"]


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What the configuration does not say about a monitor.

    Attributes
    ----------
    rows_per_hour : float
        Captured rows, over all variants.
    bytes_per_row : float
        Captured bytes of a row, input and output with their envelope.
    files_per_hour : float
        Capture files, over all variants: SageMaker writes about one a minute and instance.
    features : int
        Columns of the baseline, inputs and outputs.
    retrainings_per_month : float
        Where retraining is enabled.
    """

    rows_per_hour: float = 1000.0
    bytes_per_row: float = 500.0
    files_per_hour: float = 60.0
    features: int = 25
    retrainings_per_month: float = 1.0


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


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What a monitor does in a month."""

    files: float
    windows: float
    arrivals: float
    evaluations: float
    profiles_read: float
    rollups: float
    window_files: float
    lists: float


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
    return DeploymentEstimate(monitors=tuple(estimates), shared=tuple(_shared_items(monitors)))


def default_assumptions(config: MonitorConfig, *, features: int | None = None) -> Assumptions:
    """Return the assumptions on a monitor of which no more is known than its configuration.

    Parameters
    ----------
    config : MonitorConfig
        The monitor; if it names its input columns, they are counted.
    features : int, optional
        Columns of its baseline.
    """
    if features is None and config.capture.inputs is not None:
        features = len(config.capture.inputs) + len(config.capture.outputs or ("output",))
    return Assumptions() if features is None else Assumptions(features=features)


def estimate_monitor(config: MonitorConfig, assumptions: Assumptions) -> MonitorEstimate:
    """Estimate what one monitor adds to the bill of a month."""
    work = _work(config, assumptions)
    items = (
        *_metrics_and_alarms(config, work),
        *_compatible_items(config, work, assumptions),
        *_function_items(work, assumptions),
        *_object_items(work, assumptions),
        *_messages(config, work),
        *_retraining_items(config, assumptions),
    )
    alternative = (
        _item(
            "SageMaker",
            f"an hourly job on an ml.m5.xlarge, {_JOB_MINUTES:g} billed minutes each",
            HOURS_PER_MONTH * _JOB_MINUTES / 60,
            "ml.m5.xlarge processing",
        ),
        _item(
            "CloudWatch",
            "its metrics per feature",
            METRICS_PER_FEATURE * assumptions.features,
            "custom metric",
        ),
    )
    return MonitorEstimate(
        monitor=config.name,
        assumptions=assumptions,
        items=tuple(item for item in items if item.quantity),
        alternative=alternative,
    )


def _item(
    service: str, what: str, quantity: float, price: str, share: Share = "monitoring"
) -> Item:
    return Item(service=service, what=what, quantity=quantity, price=PRICES[price], share=share)


def _work(config: MonitorConfig, assumptions: Assumptions) -> _Work:
    variants = len(config.endpoint.variants)
    per_hour = assumptions.files_per_hour / variants  # of one variant
    window_hours = config.window / timedelta(hours=1)
    windows = variants * HOURS_PER_MONTH / window_hours
    files_in_window = per_hour * window_hours
    files = assumptions.files_per_hour * HOURS_PER_MONTH
    # Messages of one second are taken together.
    arrivals = min(files, _SECONDS_PER_MONTH)
    profiles = files
    if config.evaluate == "on_schedule":
        evaluations = windows
        listings, pages = windows, math.ceil(files_in_window / _LIST_PAGE)
    else:
        debounce = config.debounce.total_seconds()
        busiest = 3600 / (_UNENDING * debounce)
        often = per_hour if per_hour * debounce <= 3600 else min(per_hour, busiest)
        evaluations = variants * HOURS_PER_MONTH * often
        # Each profile is read once, but the first few again until there is a rollup.
        few = min(files_in_window, ROLLUP_ABOVE)
        profiles += windows * few * (few + 1) / 2
        # At each arrival, evaluated or not, of a window that is half full on average; and the
        # schedule looks at each window once more.
        listings, pages = arrivals + windows, math.ceil(files_in_window / 2 / _LIST_PAGE + 0.5)
        if config.model_monitor_metrics is not None:
            evaluations, profiles = evaluations + windows, profiles + windows * few
    earlier = _EARLIER_BASELINES if config.retraining.enabled else 0
    return _Work(
        files=files,
        windows=windows,
        arrivals=arrivals,
        evaluations=evaluations,
        profiles_read=profiles,
        rollups=evaluations if files_in_window > ROLLUP_ABOVE else 0,
        window_files=files_in_window,
        lists=listings * (max(1, pages) + earlier),
    )


def _metrics_and_alarms(config: MonitorConfig, work: _Work) -> Iterator[Item]:
    variants = len(config.endpoint.variants)
    file_hours = min(1.0, work.files / variants / HOURS_PER_MONTH)
    window_hours = min(1.0, work.evaluations / variants / HOURS_PER_MONTH)
    hooks = config.capture.hooks
    of_files = (*FILE_METRICS, *(PREPROCESS_METRICS if hooks.preprocess else ()))
    of_windows = (*WINDOW_METRICS, *(POSTPROCESS_METRICS if hooks.postprocess else ()))
    metrics = variants * (len(of_files) * file_hours + len(of_windows) * window_hours)
    yield _item("CloudWatch", "metrics of the monitor", metrics, "custom metric")
    fine = config.alarm_period < timedelta(minutes=1)
    standard = variants * (
        _SILENCE_ALARMS
        + (0 if fine else _PERIOD_ALARMS)
        + (_ENDPOINT_ALARMS if config.endpoint.alarms else 0)
    )
    yield _item("CloudWatch", "alarms", standard, "standard alarm")
    yield _item(
        "CloudWatch",
        "alarms that look more than once a minute",
        variants * _PERIOD_ALARMS if fine else 0,
        "high-resolution alarm",
    )
    yield _item(
        "CloudWatch",
        "alarm on unusual volume",
        variants if config.endpoint.alarms else 0,
        "anomaly alarm",
    )
    yield _item("CloudWatch", "alarm that stands for all", 1, "composite alarm")


def _compatible_items(
    config: MonitorConfig, work: _Work, assumptions: Assumptions
) -> Iterator[Item]:
    if config.model_monitor_metrics is None:
        return
    windows = work.windows / len(config.endpoint.variants)
    hours = min(1.0, windows / HOURS_PER_MONTH)
    yield _item(
        "CloudWatch",
        "metrics per feature under Model Monitor's names",
        METRICS_PER_FEATURE * assumptions.features * hours,
        "custom metric",
        "compatible metrics",
    )
    yield _item(
        "CloudWatch",
        "their publication",
        windows * math.ceil(METRICS_PER_FEATURE * assumptions.features / 500),
        "PutMetricData",
        "compatible metrics",
    )


def _function_items(work: _Work, assumptions: Assumptions) -> Iterator[Item]:
    rows = assumptions.rows_per_hour * HOURS_PER_MONTH
    for what, calls, seconds in (
        ("profile", work.files, work.files * _FILE_SECONDS + rows * _ROW_SECONDS),
        (
            "evaluate",
            work.arrivals + work.windows,
            work.arrivals * _ARRIVAL_SECONDS
            + work.evaluations * _EVALUATION_SECONDS
            + work.profiles_read * _PROFILE_SECONDS
            + work.rollups * _ROLLUP_SECONDS
            + work.lists * _PAGE_SECONDS,
        ),
    ):
        yield _item("Lambda", f"compute of {what}", seconds * _FUNCTION_GB, "Lambda compute")
        yield _item("Lambda", f"calls of {what}", calls, "Lambda request")
    megabytes = (
        work.files * _FILE_LOG
        + work.arrivals * _ARRIVAL_LOG
        + work.evaluations * (_EVALUATION_LOG + _FEATURE_LOG * assumptions.features)
    )
    yield _item("CloudWatch Logs", "ingested", megabytes / _GB, "log ingestion")
    yield _item("CloudWatch Logs", "kept", megabytes * _LOG_MONTHS / _GB, "log storage")


def _object_items(work: _Work, assumptions: Assumptions) -> Iterator[Item]:
    puts = work.files + work.evaluations * _EVALUATION_PUTS + work.rollups
    yield _item("S3", "profiles and reports written", puts, "S3 PUT, LIST")
    yield _item("S3", "profiles listed", work.lists, "S3 PUT, LIST")
    gets = (
        3 * work.files
        + 2 * work.arrivals
        + work.profiles_read
        + work.rollups
        + work.evaluations * (_HISTORY_GETS + 4)
    )
    yield _item("S3", "captures and profiles read", gets, "S3 GET")
    features = assumptions.features
    profile = _PROFILE_BYTES + _PROFILE_FEATURE_BYTES * features
    report = _REPORT_FEATURE_BYTES * features
    rollup = _ROLLUP_FEATURE_BYTES * features + _ROLLUP_FILE_BYTES * work.window_files
    stored = (
        work.files * profile * _PROFILE_MONTHS
        + work.windows * report * _REPORT_MONTHS
        + min(work.windows, work.rollups) * rollup * _PROFILE_MONTHS
    )
    yield _item("S3", "profiles and a year of reports kept", stored / _GB, "S3 storage")
    replaced = max(0, work.evaluations - work.windows) * report * _REPLACED_REPORT_MONTHS
    replaced += max(0, work.rollups - work.windows) * rollup * _REPLACED_ROLLUP_MONTHS
    yield _item("S3", "replaced reports and rollups", replaced / _GB, "S3 storage")
    captured = assumptions.rows_per_hour * assumptions.bytes_per_row * HOURS_PER_MONTH
    yield _item("S3", "a month of captures kept", captured / _GB, "S3 storage")


def _messages(config: MonitorConfig, work: _Work) -> Iterator[Item]:
    # Sent and deleted, in two queues; receiving is the polling.
    yield _item(
        "SQS", "messages, and polling for them", 4 * work.files + _POLLS_PER_QUEUE, "SQS request"
    )
    events = 2 * work.files + work.evaluations * _EVALUATION_PUTS + work.rollups
    yield _item("EventBridge", "objects created", events, "EventBridge event")
    times = HOURS_PER_MONTH * timedelta(hours=1) / min(config.window, timedelta(days=1))
    yield _item("EventBridge", "schedule", times, "Scheduler invocation")


def _retraining_items(config: MonitorConfig, assumptions: Assumptions) -> Iterator[Item]:
    if not config.retraining.enabled:
        return
    times = assumptions.retrainings_per_month
    yield _item("CloudWatch", "alarm on failed retrainings", 1, "standard alarm")
    yield _item(
        "Step Functions",
        "retrainings",
        times * _RETRAINING_TRANSITIONS,
        "Step Functions transition",
    )
    yield _item(
        "Lambda",
        "retrainings with the built-in trainer",
        times * _RETRAINING_GB_SECONDS,
        "Lambda compute",
    )


def _shared_items(monitors: MonitorSet) -> Iterator[Item]:
    yield _item("CloudWatch", "dashboard", 1, "dashboard")
    retrained = any(config.retraining.enabled for config in monitors.monitors)
    alarms = _SHARED_ALARMS + (_RETRAINING_SHARED_ALARMS if retrained else 0)
    yield _item("CloudWatch", "alarms on functions and dead letters", alarms, "standard alarm")
    yield _item("SQS", "polling", _SHARED_QUEUES * _POLLS_PER_QUEUE, "SQS request")


def summary_line(estimate: MonitorEstimate) -> str:
    """Say in one line what a monitor costs, as ``cdk synth`` prints it.

    Examples
    --------
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
    return line
