"""The data of a retraining: recent captured rows joined with their labels, split by time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO, TypeVar

import numpy as np
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.capture.ground_truth import GroundTruth, read_ground_truth
from driftgauge.capture.positions import schema_of
from driftgauge.capture.probes import without_probes
from driftgauge.capture.reader import read_capture
from driftgauge.capture.text_names import captured_names
from driftgauge.columns import Rejects, RowBatch
from driftgauge.config import MonitorConfig
from driftgauge.errors import CaptureError, ConfigError
from driftgauge.profile.spec import ProfileSpec
from driftgauge.store import MonitorStore, S3Objects
from driftgauge.training.dataset import (
    JoinCounts,
    ServedRows,
    encode_baseline_rows,
    encode_rows,
    join_labels,
    rows_since,
    split_by_time,
)
from driftgauge.windows import Window
from lambdas.retraining import Champion, Plan, Prepared, columns_of, plan_of, read_rows, to_payload
from lambdas.runtime import Runtime, logger, now, runtime

Read = TypeVar("Read")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Write an execution's data sets and say whether they are large enough."""
    run = runtime()
    plan = plan_of(event)
    config = run.monitors[plan.monitor]
    store = run.store(config.name)
    current, _ = run.current(store)
    spec = run.baseline(store, current.baseline).spec
    window = Window(plan.until - config.retraining.lookback, plan.until)
    prediction, _ = columns_of(config)
    objects = run.objects(capture_bucket(run, config))
    rejects = Rejects()
    rows, counts = join_labels(
        read_captures(objects, config, plan.variant, spec, window, rejects),
        read_labels(objects, config, window, rejects),
        # A text is kept as it was captured: its measures are made with the new baseline.
        inputs=captured_names(spec.inputs),
        prediction=prediction,
        window=window,
    )
    reason = shortage(config, counts) or incomparable(run, config, current.baseline)
    if not reason:
        write_rows(store, config, plan, rows)
    logger.info(
        "rows prepared",
        monitor=config.name,
        rows=counts.rows,
        labelled=counts.labelled,
        unusable_labels=counts.unusable_labels,
        unusable_scores=counts.unusable_scores,
        duplicate_labels=counts.duplicate_labels,
        rejected=rejects.counts,
        enough=not reason,
    )
    return to_payload(
        Prepared(
            enough=not reason,
            reason=reason,
            rows=counts.rows,
            labelled=counts.labelled,
            champion=Champion(baseline=current.baseline, model=current.model or ""),
        )
    )


def capture_bucket(run: Runtime, config: MonitorConfig) -> str:
    """Return the bucket that holds a monitor's captures and ground truth."""
    bucket = config.capture.bucket or run.settings.CAPTURE_BUCKET
    if not bucket:
        raise ConfigError(
            f"monitor {config.name} names no capture.bucket, and the function's environment has "
            "no CAPTURE_BUCKET"
        )
    return bucket


def read_captures(
    objects: S3Objects,
    config: MonitorConfig,
    variant: str,
    spec: ProfileSpec,
    window: Window,
    rejects: Rejects,
) -> Iterator[RowBatch]:
    """Read the captures whose folders overlap a window, and those of the hour after it."""
    columns = [feature.name for feature in spec.features]
    schema = schema_of(config.capture, columns=columns, outputs=spec.outputs)
    place = "/".join(filter(None, (config.capture.prefix, config.endpoint.name, variant)))

    def read(stream: BinaryIO, source: str) -> Iterator[RowBatch]:
        batches = read_capture(stream, schema=schema, source=source, rejects=rejects)
        return map(without_probes, batches)

    for day in days(window.start, window.end + timedelta(hours=1)):
        for info in objects.list(f"{place}/{day:%Y/%m/%d}/"):
            yield from read_whole(objects, info.key, read, rejects)


def read_labels(
    objects: S3Objects, config: MonitorConfig, window: Window, rejects: Rejects
) -> Iterator[GroundTruth]:
    """Read the ground truth that was collected since a window began, in order of collection."""
    prefix = config.capture.ground_truth_prefix

    def read(stream: BinaryIO, source: str) -> Iterator[GroundTruth]:
        return read_ground_truth(stream, source=source, rejects=rejects)

    for month in months(window.start, max(now(), window.end)):
        for info in objects.list(f"{prefix}/{month:%Y/%m}/"):
            if info.key < f"{prefix}/{window.start:%Y/%m/%d/%H}":
                continue
            yield from read_whole(objects, info.key, read, rejects)


def read_whole(
    objects: S3Objects,
    key: str,
    read: Callable[[BinaryIO, str], Iterator[Read]],
    rejects: Rejects,
) -> list[Read]:
    """Read an object, all of it or nothing: one that cannot be read is counted and left out.

    It is a dead letter of the profile function already, and no reason not to learn from others.
    """
    source = f"{objects.uri}{key}"
    try:
        with objects.open(key) as stream:
            return list(read(stream, source))
    except CaptureError as error:
        logger.warning("object left out", source=source, reason=str(error))
        rejects.add(reason="object cannot be read", source=source, line=0, excerpt="")
        return []


def days(first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the days that overlap ``[first, last]``."""
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= last:
        yield day
        day += timedelta(days=1)


def months(first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the months that overlap ``[first, last]``."""
    month = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= last:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)


def shortage(config: MonitorConfig, counts: JoinCounts) -> str:
    """Return what there is too little of, or an empty string."""
    settings = config.retraining
    if counts.labelled < settings.min_rows:
        return (
            f"{counts.labelled} labelled rows of {counts.rows}, but retraining.min_rows is "
            f"{settings.min_rows}"
        )
    if counts.coverage < settings.min_label_coverage:
        return (
            f"labels for {counts.coverage:.0%} of {counts.rows} rows, but "
            f"retraining.min_label_coverage is {settings.min_label_coverage:.0%}"
        )
    return ""


def incomparable(run: Runtime, config: MonitorConfig, baseline: str) -> str:
    """Return why a roll-out could never compare a challenger with the champion, or ''.

    Found here, before anything is trained: a stage would wait for its verdict till its limit.
    """
    if config.rolled_out is None:
        return ""
    found = run.outcome_baseline(run.store(config.name), baseline)
    if found is not None and found.spec is not None:
        return ""
    return (
        f"baseline {baseline} knows no outcomes, by which a roll-out compares a challenger with "
        "the champion: make it again from training data that has the columns "
        f"{config.prediction} and {config.label}"
    )


def write_rows(store: MonitorStore, config: MonitorConfig, plan: Plan, rows: ServedRows) -> None:
    """Split the rows and write the execution's data sets."""
    prediction, label = columns_of(config)
    split = split_by_time(rows, holdout_share=config.retraining.holdout_share)
    served = rows_since(rows, plan.drift_since)
    if served.rows < config.retraining.min_rows:
        # A baseline of fewer rows judges too coarsely: take the newest rows there are.
        served = rows.take(np.arange(max(0, rows.rows - config.retraining.min_rows), rows.rows))
    files = plan.files
    for key, part in (
        (files.train, split.train),
        (files.holdout, split.holdout),
        (files.served, served),
    ):
        data = encode_rows(part, prediction=prediction, label=label)
        store.objects.write(key, data, content_type="text/csv")
    scoring = read_rows(store, config, files.holdout, files.served)
    data = encode_baseline_rows(scoring, prediction=prediction, scores=scoring.scores)
    store.objects.write(files.scoring, data, content_type="text/csv")
