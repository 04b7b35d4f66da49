"""The lines of the bill."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.costs.experiments import experiment_alarms, experiment_items
from driftgauge.costs.outcomes import outcome_items
from driftgauge.costs.prices import Item, priced
from driftgauge.costs.quantities import (
    HOURS_PER_MONTH,
    SECONDS_PER_MONTH,
    Assumptions,
    Work,
    work_of,
)

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
# And in sound mode, unless `decision` switches them off.
PERSISTENCE_METRICS: Final = ("PersistentDrift",)
JOINT_METRICS: Final = ("JointDrift",)
# And where the monitor has the user's hooks.
PREPROCESS_METRICS: Final = ("DroppedRecords",)
POSTPROCESS_METRICS: Final = ("PostprocessFailures",)
# Alarms for each variant besides those on windows: those that look once per alarm period
# (rejected rows, evaluation failures), silence, and the endpoint's.
_PERIOD_ALARMS: Final = 2
_SILENCE_ALARMS: Final = 1
_ENDPOINT_ALARMS: Final = 4
# One alarm on errors for each function and one for each dead-letter queue.
_SHARED_ALARMS: Final = 4 + 4
_RETRAINING_SHARED_ALARMS: Final = 5 + 1
_APPROVAL_SHARED_ALARMS: Final = 1
# Of the functions rollout and verdict; the second has a queue of dead letters.
_ROLLOUT_SHARED_ALARMS: Final = 1
_VERDICT_SHARED_ALARMS: Final = 1 + 1
# Of the functions labels, explain and experiment, with a queue of dead letters each.
_LABELS_SHARED_ALARMS: Final = 1 + 1
_EXPLAIN_SHARED_ALARMS: Final = 1 + 1
_EXPERIMENT_SHARED_ALARMS: Final = 1 + 1
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
# Lambda polls a queue with five pollers at least, each of which waits 20 seconds.
_POLLS_PER_QUEUE = 5 * SECONDS_PER_MONTH / 20
_SHARED_QUEUES = 2
# Sizes, measured with 20 numeric and 5 categorical columns.
_FILE_LOG, _ARRIVAL_LOG, _EVALUATION_LOG, _FEATURE_LOG = 2000, 1500, 1500, 300
_PROFILE_BYTES, _PROFILE_FEATURE_BYTES = 300, 90
# Where values lie within the cells takes more with the rows of a file, up to some hundred rows.
_PLACE_BYTES, _MOST_PLACE_BYTES = 2.5, 450.0
_REPORT_FEATURE_BYTES = 16_000
_ROLLUP_FEATURE_BYTES, _ROLLUP_FILE_BYTES = 1000, 16
_EVIDENCE_FEATURE_BYTES = 500
_PROFILE_MONTHS, _REPORT_MONTHS, _LOG_MONTHS = 13.2, 12.0, 3.0
# How long the versions stay that a later evaluation replaced.
_REPLACED_REPORT_MONTHS, _REPLACED_ROLLUP_MONTHS = 30 / 30.4, 2 / 30.4
# Of a stage: while the endpoint changes, it is looked at once a minute.
_STAGE_TRANSITIONS = 150
_RETRAINING_TRANSITIONS, _RETRAINING_GB_SECONDS = 20, 300 * 3538 / 1024
_GB = 1e9
# Of one hourly run of Model Monitor.
_JOB_MINUTES = 5.0


def monitor_items(config: MonitorConfig, assumptions: Assumptions) -> Iterator[Item]:
    """Yield what one monitor adds to the bill of a month; items may be of nothing."""
    work = work_of(config, assumptions)
    yield from _metrics_and_alarms(config, work)
    yield from _compatible_items(config, work, assumptions)
    yield from _function_items(work, assumptions)
    yield from _object_items(work, assumptions)
    yield from _messages(config, work)
    yield from outcome_items(config, assumptions, work)
    yield from experiment_items(config, assumptions, work)
    yield from _retraining_items(config, assumptions)


def model_monitor_items(assumptions: Assumptions) -> Iterator[Item]:
    """Yield what hourly Model Monitor jobs for the same endpoint cost in a month."""
    yield priced(
        "SageMaker",
        f"an hourly job on an ml.m5.xlarge, {_JOB_MINUTES:g} billed minutes each",
        HOURS_PER_MONTH * _JOB_MINUTES / 60,
        "ml.m5.xlarge processing",
    )
    yield priced(
        "CloudWatch",
        "its metrics per feature",
        METRICS_PER_FEATURE * assumptions.features,
        "custom metric",
    )


def _metrics_and_alarms(config: MonitorConfig, work: Work) -> Iterator[Item]:
    variants, lasting = len(config.endpoint.variants), len(config.lasting_variants)
    file_hours = min(1.0, work.files / variants / HOURS_PER_MONTH)
    window_hours = min(1.0, work.evaluations / variants / HOURS_PER_MONTH)
    hooks = config.capture.hooks
    of_files = (*FILE_METRICS, *(PREPROCESS_METRICS if hooks.preprocess else ()))
    of_windows = (
        *WINDOW_METRICS,
        *(PERSISTENCE_METRICS if "persistent-drift" in config.window_alarms else ()),
        *(JOINT_METRICS if "joint-drift" in config.window_alarms else ()),
        *(POSTPROCESS_METRICS if hooks.postprocess else ()),
    )
    metrics = variants * (len(of_files) * file_hours + len(of_windows) * window_hours)
    yield priced("CloudWatch", "metrics of the monitor", metrics, "custom metric")
    fine = config.alarm_period < timedelta(minutes=1)
    # What a roll-out compares is judged by the champion: it has no alarms on windows or volume.
    window_alarms = (
        variants * _PERIOD_ALARMS + lasting * len(config.window_alarms) + experiment_alarms(config)
    )
    standard = (
        lasting * _SILENCE_ALARMS
        + (variants * _ENDPOINT_ALARMS if config.endpoint.alarms else 0)
        + (0 if fine else window_alarms)
    )
    yield priced("CloudWatch", "alarms", standard, "standard alarm")
    yield priced(
        "CloudWatch",
        "alarms that look more than once a minute",
        window_alarms if fine else 0,
        "high-resolution alarm",
    )
    yield priced(
        "CloudWatch",
        "alarm on unusual volume",
        lasting if config.endpoint.alarms else 0,
        "anomaly alarm",
    )
    yield priced("CloudWatch", "alarm that stands for all", 1, "composite alarm")
    several = any(len(kinds) > 1 for kinds in config.retraining_triggers)
    yield priced(
        "CloudWatch",
        "alarm that starts a retraining",
        lasting if config.retraining.enabled and several else 0,
        "composite alarm",
    )


def _compatible_items(
    config: MonitorConfig, work: Work, assumptions: Assumptions
) -> Iterator[Item]:
    if config.model_monitor_metrics is None:
        return
    windows = work.windows / len(config.endpoint.variants)
    hours = min(1.0, windows / HOURS_PER_MONTH)
    yield priced(
        "CloudWatch",
        "metrics per feature under Model Monitor's names",
        METRICS_PER_FEATURE * assumptions.features * hours,
        "custom metric",
        "compatible metrics",
    )
    yield priced(
        "CloudWatch",
        "their publication",
        windows * math.ceil(METRICS_PER_FEATURE * assumptions.features / 500),
        "PutMetricData",
        "compatible metrics",
    )


def _function_items(work: Work, assumptions: Assumptions) -> Iterator[Item]:
    rows = assumptions.rows_per_hour * HOURS_PER_MONTH
    for what, calls, seconds in (
        ("profile", work.files, work.files * _FILE_SECONDS + rows * _ROW_SECONDS),
        (
            "evaluate",
            work.arrivals + work.windows,
            work.arrivals * _ARRIVAL_SECONDS
            + work.evaluations * _EVALUATION_SECONDS
            + (work.profiles_read + work.references_read) * _PROFILE_SECONDS
            + work.rollups * _ROLLUP_SECONDS
            + work.lists * _PAGE_SECONDS,
        ),
    ):
        yield priced("Lambda", f"compute of {what}", seconds * _FUNCTION_GB, "Lambda compute")
        yield priced("Lambda", f"calls of {what}", calls, "Lambda request")
    megabytes = (
        work.files * _FILE_LOG
        + work.arrivals * _ARRIVAL_LOG
        + work.evaluations * (_EVALUATION_LOG + _FEATURE_LOG * assumptions.features)
    )
    yield priced("CloudWatch Logs", "ingested", megabytes / _GB, "log ingestion")
    yield priced("CloudWatch Logs", "kept", megabytes * _LOG_MONTHS / _GB, "log storage")


def _object_items(work: Work, assumptions: Assumptions) -> Iterator[Item]:
    puts = work.files + work.evaluations * _EVALUATION_PUTS + work.rollups + work.evidence
    yield priced("S3", "profiles and reports written", puts, "S3 PUT, LIST")
    yield priced("S3", "profiles listed", work.lists, "S3 PUT, LIST")
    gets = (
        3 * work.files
        + 2 * work.arrivals
        + work.profiles_read
        + work.rollups
        + work.evidence
        + work.references_read
        + work.evaluations * (_HISTORY_GETS + 4)
    )
    yield priced("S3", "captures and profiles read", gets, "S3 GET")
    features = assumptions.features
    file_rows = assumptions.rows_per_hour * HOURS_PER_MONTH / max(1.0, work.files)
    places = min(_PLACE_BYTES * file_rows, _MOST_PLACE_BYTES)
    profile = _PROFILE_BYTES + (_PROFILE_FEATURE_BYTES + places) * features
    report = _REPORT_FEATURE_BYTES * features
    rollup = _ROLLUP_FEATURE_BYTES * features + _ROLLUP_FILE_BYTES * work.window_files
    stored = (
        work.files * profile * _PROFILE_MONTHS
        + work.windows * report * _REPORT_MONTHS
        + min(work.windows, work.rollups) * rollup * _PROFILE_MONTHS
    )
    yield priced("S3", "profiles and a year of reports kept", stored / _GB, "S3 storage")
    replaced = max(0, work.evaluations - work.windows) * report * _REPLACED_REPORT_MONTHS
    replaced += max(0, work.rollups - work.windows) * rollup * _REPLACED_ROLLUP_MONTHS
    replaced += work.evidence * _EVIDENCE_FEATURE_BYTES * features * _REPLACED_REPORT_MONTHS
    yield priced("S3", "replaced reports, rollups and evidence", replaced / _GB, "S3 storage")
    captured = assumptions.rows_per_hour * assumptions.bytes_per_row * HOURS_PER_MONTH
    yield priced("S3", "a month of captures kept", captured / _GB, "S3 storage")


def _messages(config: MonitorConfig, work: Work) -> Iterator[Item]:
    # Sent and deleted, in two queues; receiving is the polling. What was evaluated is in a queue
    # of its own where it is explained, and where variants are compared.
    queues = 1 + int(config.attribution is not None) + int(bool(config.compared_kinds))
    polls = _POLLS_PER_QUEUE * queues
    yield priced("SQS", "messages, and polling for them", 4 * work.files + polls, "SQS request")
    events = 2 * work.files + work.evaluations * _EVALUATION_PUTS + work.rollups + work.evidence
    yield priced("EventBridge", "objects created", events, "EventBridge event")
    times = HOURS_PER_MONTH * timedelta(hours=1) / min(config.window, timedelta(days=1))
    yield priced("EventBridge", "schedule", times, "Scheduler invocation")


def _retraining_items(config: MonitorConfig, assumptions: Assumptions) -> Iterator[Item]:
    if not config.retraining.enabled:
        return
    times = assumptions.retrainings_per_month
    yield priced("CloudWatch", "alarm on failed retrainings", 1, "standard alarm")
    yield priced(
        "Step Functions",
        "retrainings",
        times * _RETRAINING_TRANSITIONS,
        "Step Functions transition",
    )
    stages = len(config.rollout.stages) if config.rollout is not None else 0
    yield priced(
        "Step Functions",
        "stages of roll-outs",
        times * stages * _STAGE_TRANSITIONS,
        "Step Functions transition",
    )
    yield priced(
        "Lambda",
        "retrainings with the built-in trainer",
        times * _RETRAINING_GB_SECONDS,
        "Lambda compute",
    )


def shared_items(monitors: MonitorSet) -> Iterator[Item]:
    """Yield what is there once per deployment."""
    yield priced("CloudWatch", "dashboard", 1, "dashboard")
    chosen = monitors.monitors
    alarms, queues = _SHARED_ALARMS, _SHARED_QUEUES
    if any(config.retraining.enabled for config in chosen):
        alarms += _RETRAINING_SHARED_ALARMS
    asking = (config.retraining for config in chosen if config.retraining.enabled)
    if any(settings.approval and settings.approval_links for settings in asking):
        alarms += _APPROVAL_SHARED_ALARMS
    if any(config.rollout is not None for config in chosen):
        alarms += _ROLLOUT_SHARED_ALARMS
    if any(config.rolled_out is not None for config in chosen):
        alarms += _VERDICT_SHARED_ALARMS
    if any(config.outcomes is not None for config in chosen):
        alarms, queues = alarms + _LABELS_SHARED_ALARMS, queues + 1
    if any(config.attribution is not None for config in chosen):
        alarms += _EXPLAIN_SHARED_ALARMS
    if any(config.compared_kinds for config in chosen):
        alarms += _EXPERIMENT_SHARED_ALARMS
    yield priced("CloudWatch", "alarms on functions and dead letters", alarms, "standard alarm")
    yield priced("SQS", "polling", queues * _POLLS_PER_QUEUE, "SQS request")
