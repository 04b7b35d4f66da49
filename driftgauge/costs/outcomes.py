"""What labels, bias and attributions add to the bill of a monitor: work and lines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from driftgauge.config import MonitorConfig
from driftgauge.costs.prices import Item, priced
from driftgauge.costs.quantities import (
    HOURS_PER_MONTH,
    LIST_PAGE,
    ROLLUP_ABOVE,
    Assumptions,
    Work,
)
from driftgauge.fairness.measure import DESCRIPTIONS

# What the functions publish for each variant: those of each ground-truth object (the second two
# for the first variant alone), and those of each judged window.
LABEL_METRICS: Final = ("MatchedLabels", "UnmatchedLabels", "RejectedLabels")
OUTCOME_METRICS: Final = ("LabelCoverage", "LabelDelay", "RealisedQuality", "QualityDecay")
ESTIMATE_METRICS: Final = ("EstimatedQuality", "QualityGap", "ConceptDrift")
BIAS_METRICS: Final = ("BiasDrift",)
ATTRIBUTION_METRICS: Final = ("AttributionNdcg", "AttributionDrift")
# Under Model Monitor's names, with those that say how much a value varies.
_QUALITY_METRICS: Final = {"regression": 8, "binary": 34, "multiclass": 20}

# A row takes about twice what benchmarks/label_join.py measures on one core; the times of a call
# and of a grain are assumptions, on the long side.
_FUNCTION_GB, _LARGE_GB = 1769 / 1024, 3538 / 1024
_PREDICTION_FILE_SECONDS, _PREDICTION_ROW_SECONDS = 0.02, 3e-6
_LABEL_FILE_SECONDS, _LABEL_SECONDS = 0.3, 15e-6
_SEARCHED_GRAIN_SECONDS, _SEARCHED_ROW_SECONDS = 0.02, 0.5e-6
_JUDGEMENT_SECONDS, _GRAIN_SECONDS, _JOINED_ROW_SECONDS = 1.0, 0.03, 8e-6
# A large ensemble; KernelSHAP waits for the endpoint, whose instances are billed anyway.
_EXPLAIN_SECONDS, _EXPLAINED_ROW_SECONDS, _INVOCATION_SECONDS = 1.0, 0.02, 0.05
# Sizes as measured: of a row with two columns besides its id, and of a label.
_FILE_BYTES, _PREDICTION_BYTES, _LABEL_BYTES, _CELL_BYTES = 300, 30, 20, 8
_LABEL_LOG, _JUDGEMENT_LOG, _EXPLAIN_LOG = 1500, 4000, 1500
# Written at each judgement: outcomes.json, three files of quality, the rollup, the state, the
# page and the inputs; then two files each of bias and of attributions.
_JUDGEMENT_PUTS, _BIAS_PUTS, _ATTRIBUTION_PUTS = 8, 2, 2
# Read at each: the windows before it twice, the verdict, rollups, inputs, state, labels.
_JUDGEMENT_GETS = 2 * 26 + 6
# As long as the store keeps them, see stacks/storage.py.
KEPT_MARGIN_DAYS: Final = 14
_DAYS_PER_MONTH = HOURS_PER_MONTH / 24
_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class OutcomeWork:
    """What a monitor does in a month because it judges outcomes or attributions.

    Attributes
    ----------
    label_files : float
        Ground-truth objects.
    searched : float
        Grains that are looked through for the predictions of their labels.
    matched : float
        Files of matched labels.
    rejudged : float
        Evaluations that labels or attributions cause.
    judged : float
        All evaluations.
    sums : float
        Files that hold the sum of a grain's predictions.
    prediction_reads, label_reads : float
        Files that evaluations read.
    joined_rows : float
        Rows joined, each time they are.
    lists : float
        Pages of keys that are listed.
    sampled_rows : float
        Whole rows that are kept.
    sample_reads, sample_sums : float
        Files of them that are read, and that hold the sample of a window.
    explained : float
        Windows that are explained, each time they are.
    """

    label_files: float = 0
    searched: float = 0
    matched: float = 0
    rejudged: float = 0
    judged: float = 0
    sums: float = 0
    prediction_reads: float = 0
    label_reads: float = 0
    joined_rows: float = 0
    lists: float = 0
    sampled_rows: float = 0
    sample_reads: float = 0
    sample_sums: float = 0
    explained: float = 0


def has_outcomes(config: MonitorConfig) -> bool:
    """Return whether a monitor judges anything besides drift."""
    return config.outcomes is not None or config.attribution is not None


def outcome_work_of(config: MonitorConfig, assumed: Assumptions, work: Work) -> OutcomeWork:
    """Return what a monitor does in a month for its outcomes, given its labels and traffic.

    Assumed is that every row gets a label, all of them equally late.
    """
    variants = len(config.endpoint.variants)
    grain = config.grid.grain / timedelta(hours=1)
    window = config.window / timedelta(hours=1)
    grains = variants * HOURS_PER_MONTH / grain
    explains = config.attribution is not None
    # The same window is explained again when it grew, as when it was evaluated on arrival.
    explained = work.evaluations if explains else 0
    sampled = 0.0
    if explains or config.bias is not None:
        most = config.attribution.rows if config.attribution is not None else 500
        sampled = min(assumed.rows_per_hour * HOURS_PER_MONTH, work.files * most)
    pages = math.ceil(work.window_files / LIST_PAGE)
    # Of predictions and labels, of samples, of attributions: at each look at a window.
    listed = (pages + 1 if config.outcomes is not None else 0) + int(explains)
    listed += pages if config.bias is not None else 0
    # A window is looked at when it is due, and when something arrives.
    looks = work.windows + (work.arrivals if config.evaluate == "on_arrival" else 0)
    if config.outcomes is None:
        judged = work.evaluations + explained
        return OutcomeWork(
            rejudged=explained,
            judged=judged,
            lists=(looks + explained) * listed + judged * pages,
            sampled_rows=sampled,
            sample_reads=_sample_reads(work, explained),
            sample_sums=_sample_sums(work),
            explained=explained,
        )
    label_files = assumed.label_files_per_hour * HOURS_PER_MONTH
    # An object holds the labels of as long a time as there is between two of them, begun and
    # ended within a grain.
    spanned = math.ceil(1 / (assumed.label_files_per_hour * grain)) + 1
    touched = min(spanned, math.ceil(1 / (assumed.label_files_per_hour * window)) + 1)
    delayed = min(assumed.label_delay_hours, config.outcomes.lookback / timedelta(hours=1))
    searched = label_files * variants * (math.ceil(delayed / grain) + spanned)
    matched = label_files * variants * spanned
    # Predictions are listed by day, from the day after the labels were collected.
    days = math.ceil(delayed / 24) + 2
    rounds = min(label_files, HOURS_PER_MONTH * 3600 / config.debounce.total_seconds())
    rejudged = rounds * variants * touched + explained
    judged = work.evaluations + rejudged
    # In one grain: its files, evaluations while it grows, files of its labels.
    files = work.files / grains
    growing = work.evaluations / grains if config.evaluate == "on_arrival" else 1.0
    few = min(files, ROLLUP_ABOVE)
    labels = matched / grains
    relabelled = rounds * variants * spanned / grains
    has_samples = explains or config.bias is not None
    return OutcomeWork(
        label_files=label_files,
        searched=searched,
        matched=matched,
        rejudged=rejudged,
        judged=judged,
        sums=grains * math.ceil(growing / (ROLLUP_ABOVE + 1)) if files > ROLLUP_ABOVE else 0,
        # Few files are read again and again until there is a sum of more.
        prediction_reads=work.files + grains * (growing * few + relabelled * (few + 1)),
        label_reads=grains * labels * (labels + 1) / 2,
        joined_rows=assumed.rows_per_hour * HOURS_PER_MONTH * (1 + relabelled)
        + (work.evaluations * assumed.rows_per_hour / variants * grain if growing > 1 else 0),
        # It is looked at for each file of matched labels, too; new predictions ask for labels that
        # wait, an object of labels for grains, and what explains for samples.
        lists=(looks + matched + explained) * listed
        + (judged * pages if explains else 0)
        + work.evaluations
        + label_files * (1 + variants * days * math.ceil(24 / grain * files / LIST_PAGE)),
        sampled_rows=sampled,
        sample_reads=_sample_reads(work, explained + (judged if config.bias is not None else 0))
        if has_samples
        else 0,
        sample_sums=_sample_sums(work) if has_samples else 0,
        explained=explained,
    )


def _sample_reads(work: Work, looks: float) -> float:
    """Return the samples that are read: each once, and that of the window at each look."""
    return work.files + looks if _has_window_sample(work) else looks * work.window_files


def _sample_sums(work: Work) -> float:
    return work.evaluations if _has_window_sample(work) else 0


def _has_window_sample(work: Work) -> bool:
    return work.window_files > ROLLUP_ABOVE


def outcome_items(config: MonitorConfig, assumed: Assumptions, work: Work) -> Iterator[Item]:
    """Yield what outcomes and attributions add to the bill of a month, but the alarms."""
    if not has_outcomes(config):
        return
    more = outcome_work_of(config, assumed, work)
    yield from _metric_items(config, work, more)
    yield from _compatible_items(config, work, assumed)
    yield from _function_items(config, assumed, work, more)
    yield from _object_items(config, assumed, work, more)


def _metric_items(config: MonitorConfig, work: Work, more: OutcomeWork) -> Iterator[Item]:
    variants = len(config.endpoint.variants)
    metrics = 0.0
    if config.outcomes is not None:
        of_labels = variants + len(LABEL_METRICS) - 1
        metrics += of_labels * min(1.0, more.label_files / HOURS_PER_MONTH)
    of_windows = (
        *(OUTCOME_METRICS if config.outcomes is not None else ()),
        *(ESTIMATE_METRICS if config.estimates_quality else ()),
        *(BIAS_METRICS if config.bias is not None else ()),
        *(ATTRIBUTION_METRICS if config.attribution is not None else ()),
    )
    hours = min(1.0, more.judged / variants / HOURS_PER_MONTH)
    metrics += variants * len(of_windows) * hours
    yield _line("CloudWatch", "metrics of labels and what they say", metrics, "custom metric")


def _compatible_items(config: MonitorConfig, work: Work, assumed: Assumptions) -> Iterator[Item]:
    """Yield the metrics that Model Monitor's and Clarify's other jobs published."""
    if config.model_monitor_metrics is None:
        return
    count = 0
    if config.outcomes is not None:
        count += _QUALITY_METRICS[config.outcomes.problem]
    if config.bias is not None:
        count += len(config.bias.facets) * sum(map(len, DESCRIPTIONS.values()))
    if config.attribution is not None:
        count += assumed.features + 1
    hours = min(1.0, work.windows / len(config.endpoint.variants) / HOURS_PER_MONTH)
    yield priced(
        "CloudWatch",
        "metrics of quality, bias and attributions under Model Monitor's names",
        count * hours,
        "custom metric",
        "compatible metrics",
    )


def _function_items(
    config: MonitorConfig, assumed: Assumptions, work: Work, more: OutcomeWork
) -> Iterator[Item]:
    rows = assumed.rows_per_hour * HOURS_PER_MONTH
    grain_rows = assumed.rows_per_hour * (config.grid.grain / timedelta(hours=1))
    if config.outcomes is not None:
        predicted = work.files * _PREDICTION_FILE_SECONDS + rows * _PREDICTION_ROW_SECONDS
        yield _line("Lambda", "predictions kept", predicted * _FUNCTION_GB, "Lambda compute")
        seconds = (
            more.label_files * _LABEL_FILE_SECONDS
            + rows * _LABEL_SECONDS
            + more.searched
            * (
                _SEARCHED_GRAIN_SECONDS
                + grain_rows / len(config.endpoint.variants) * _SEARCHED_ROW_SECONDS
            )
        )
        yield _line("Lambda", "compute of labels", seconds * _LARGE_GB, "Lambda compute")
        yield _line("Lambda", "calls of labels", more.label_files, "Lambda request")
    judging = (
        more.judged * _JUDGEMENT_SECONDS
        + (more.prediction_reads + more.label_reads) * _GRAIN_SECONDS / ROLLUP_ABOVE
        + more.matched * _GRAIN_SECONDS
        + more.joined_rows * _JOINED_ROW_SECONDS
    )
    yield _line("Lambda", "windows judged by labels", judging * _FUNCTION_GB, "Lambda compute")
    yield _line("Lambda", "calls for that", more.matched + more.explained, "Lambda request")
    if config.attribution is not None:
        each = _EXPLAIN_SECONDS + config.attribution.rows * _EXPLAINED_ROW_SECONDS
        if config.attribution.source == "endpoint":
            each += config.attribution.invocations * _INVOCATION_SECONDS
        # Windows that were only judged again have been explained.
        seconds = more.explained * each + (more.judged - more.explained) * _EXPLAIN_SECONDS
        yield _line("Lambda", "compute of explain", seconds * _LARGE_GB, "Lambda compute")
        yield _line("Lambda", "calls of explain", more.judged, "Lambda request")
    logged = more.label_files * _LABEL_LOG + more.judged * _JUDGEMENT_LOG
    if config.attribution is not None:
        logged += more.judged * _EXPLAIN_LOG
    yield _line("CloudWatch Logs", "of labels and judgements", logged / _GB, "log ingestion")


def _object_items(
    config: MonitorConfig, assumed: Assumptions, work: Work, more: OutcomeWork
) -> Iterator[Item]:
    labelled, sampled = config.outcomes is not None, more.sampled_rows > 0
    each = _JUDGEMENT_PUTS
    each += _BIAS_PUTS if config.bias is not None else 0
    each += _ATTRIBUTION_PUTS if config.attribution is not None else 0
    puts = (
        work.files * (labelled + sampled)
        # Received, and written again without what was matched.
        + 2 * more.label_files
        + more.matched
        + more.sums
        + more.sample_sums
        + more.judged * each
        + more.explained
    )
    yield _line("S3", "predictions, labels and verdicts written", puts, "S3 PUT, LIST")
    yield _line("S3", "predictions and labels listed", more.lists, "S3 PUT, LIST")
    gets = (
        3 * more.label_files
        + 2 * more.searched
        + more.prediction_reads
        + more.label_reads
        + more.judged * _JUDGEMENT_GETS
        # To explain a window or to test it for bias.
        + more.sample_reads
        + more.explained * 4
    )
    yield _line("S3", "predictions, labels and verdicts read", gets, "S3 GET")
    rows = assumed.rows_per_hour * HOURS_PER_MONTH
    stored = 0.0
    if labelled:
        # Each prediction by itself and in the sum of its grain, each label once.
        sums = 2 if more.sums else 1
        stored += work.files * _FILE_BYTES + rows * (sums * _PREDICTION_BYTES + _LABEL_BYTES)
        stored += more.matched * _FILE_BYTES
    if sampled:
        stored += work.files * _FILE_BYTES + more.sampled_rows * assumed.features * _CELL_BYTES
    yield _line(
        "S3", "predictions, labels and samples kept", stored * _months(config) / _GB, "S3 storage"
    )
    messages = 2 * (more.label_files + more.matched + more.explained)
    if config.attribution is not None:
        messages += 2 * more.judged
    yield _line("SQS", "messages of labels and judgements", messages, "SQS request")
    yield _line("EventBridge", "their objects", puts + more.label_files, "EventBridge event")


def _months(config: MonitorConfig) -> float:
    lookback = timedelta(days=90) if config.outcomes is None else config.outcomes.lookback
    return ((lookback + config.window) / timedelta(days=1) + KEPT_MARGIN_DAYS) / _DAYS_PER_MONTH


def _line(service: str, what: str, quantity: float, price: str) -> Item:
    return priced(service, what, quantity, price, "outcomes")
