"""Receives labels as they are uploaded, and finds the predictions they belong to.

Trigger: an SQS queue of EventBridge "Object Created" events of ground truth. What it leaves
depends on the ground-truth objects and the predictions alone: an event that is delivered twice,
or again after a crash, changes nothing in the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.capture.ground_truth import read_ground_truth
from driftgauge.columns import Rejects
from driftgauge.config import MonitorConfig, OutcomeSettings
from driftgauge.errors import BaselineError, CaptureError, ConflictError, LabelError
from driftgauge.labels.codec import decode_labels, encode_labels
from driftgauge.labels.truth import Labels, labels_of
from driftgauge.store import MonitorStore
from lambdas.events import CreatedObject, process_batch, read_created, settle_key
from lambdas.label_matching import (
    add_matched,
    baselines_since,
    find_predictions,
    remove_received,
    search_window,
)
from lambdas.profile import encode_samples
from lambdas.runtime import Measure, Runtime, logger, publish_metrics, runtime

_WRITERS = 16
_YEARS = range(1970, 9000)
_HOUR_OF_KEY = re.compile(r"(\d{4})/(\d{2})/(\d{2})/(\d{2})/")


@dataclass(frozen=True, kw_only=True)
class GroundTruthObject:
    """One version of an object of labels.

    Attributes
    ----------
    created : CreatedObject
        Where it is.
    collected : datetime
        The hour in which its labels were collected.
    modified : datetime
        When it was written.
    digest : str
        Stands for this version of it.
    """

    created: CreatedObject
    collected: datetime
    modified: datetime
    digest: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Receive and match every object of the batch."""
    run = runtime()
    return process_batch(event, context, lambda body: match_message(run, body))


def match_message(run: Runtime, body: str) -> None:
    """Match the labels of the object that one message names, for every monitor that has them."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    # Folders, and what other tools leave beside the files they write.
    name = created.key.rpartition("/")[2]
    if not name or name.startswith(("_", ".")):
        return
    for config in run.monitors.monitors:
        path = path_of_truth(config, created, captures=run.settings.CAPTURE_BUCKET)
        if config.outcomes is not None and path is not None:
            match_object(run, config, config.outcomes, find_object(run, created, path))


def path_of_truth(
    config: MonitorConfig, created: CreatedObject, *, captures: str | None
) -> str | None:
    """Return what follows a monitor's prefix of ground truth; None if the object is none.

    ``captures`` is the bucket of monitors that name none, if it is known.
    """
    bucket = config.capture.bucket or captures
    prefix = config.capture.ground_truth_prefix
    folder = f"{prefix}/" if prefix else ""
    if bucket not in (None, created.bucket) or not created.key.startswith(folder):
        return None
    path = created.key.removeprefix(folder)
    # Without a prefix, only the hours tell labels from all else in the bucket.
    return path if prefix or hour_of_key(path) else None


def find_object(run: Runtime, created: CreatedObject, path: str) -> GroundTruthObject:
    """Return what is known of an object besides its contents; ``path`` follows its prefix.

    Raises
    ------
    CaptureError
        If it is gone.
    """
    infos = run.objects(created.bucket).list(created.key)
    found = next((info for info in infos if info.key == created.key), None)
    if found is None:
        raise CaptureError(f"{created.uri} is gone: put it there again")
    # What is read now may be newer than the event: it is known by its own tag.
    created = replace(created, tag=found.tag.strip('"'))
    return GroundTruthObject(
        created=created,
        collected=hour_of_key(path) or found.modified,
        modified=found.modified,
        digest=MonitorStore.capture_digest(bucket=created.bucket, key=created.key, tag=created.tag),
    )


def hour_of_key(path: str) -> datetime | None:
    """Return the hour that a key names behind its prefix; None if it names none.

    Examples
    --------
    >>> hour_of_key("2022/04/18/07/labels.jsonl")
    datetime.datetime(2022, 4, 18, 7, 0, tzinfo=datetime.timezone.utc)
    """
    match = _HOUR_OF_KEY.match(path)
    if match is None:
        return None
    try:
        year, month, day, hour = map(int, match.groups())
        # Others are numbers of another kind, and too near to the ends of the calendar.
        if year not in _YEARS:
            return None
        return datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None


def match_object(
    run: Runtime, config: MonitorConfig, outcomes: OutcomeSettings, truth: GroundTruthObject
) -> None:
    """Read one object, store its labels, and match them with the predictions there are."""
    store = run.store(config.name)
    first = config.endpoint.variants[0]
    rejects = Rejects()
    labels = read_labels(run, truth, rejects)
    if rejects.total:
        key = store.quarantine_key(variant=first, moment=truth.collected, digest=truth.digest)
        store.objects.write(
            key, encode_samples(rejects.samples), content_type="application/x-ndjson"
        )
    matched: Mapping[str, int] = {}
    unmatched = 0
    if labels.records:
        # Before predictions are listed: those that come later find the labels there.
        key, labels = receive(store, truth, labels)
        matched, unmatched = match_received(run, config, outcomes, truth, key, labels)
    for variant in config.endpoint.variants:
        measures = [Measure("MatchedLabels", matched.get(variant, 0))]
        if variant == first:
            measures.append(Measure("UnmatchedLabels", unmatched))
            measures.append(Measure("RejectedLabels", rejects.total))
        publish_metrics(config=config, variant=variant, measures=measures)
    logger.info(
        "labels matched",
        monitor=config.name,
        object=truth.created.uri,
        matched=dict(matched),
        unmatched=unmatched,
        rejected=rejects.counts,
    )


def read_labels(run: Runtime, truth: GroundTruthObject, rejects: Rejects) -> Labels:
    """Read the labels of an object."""
    with run.objects(truth.created.bucket).open(truth.created.key) as stream:
        return labels_of(
            read_ground_truth(stream, source=truth.created.uri, rejects=rejects),
            collected=truth.collected,
            modified=truth.modified,
            digest=truth.digest,
        )


def receive(store: MonitorStore, truth: GroundTruthObject, labels: Labels) -> tuple[str, Labels]:
    """Store labels as received; return the key, and what of them is not matched yet."""
    key = store.received_labels_key(collected=truth.collected, digest=truth.digest)
    try:
        store.objects.write(key, encode_labels(labels), if_absent=True)
    except ConflictError:
        try:
            return key, decode_labels(store.objects.read(key))
        except LabelError as error:
            logger.warning("received labels stored anew", key=key, reason=str(error))
            store.objects.write(key, encode_labels(labels))
    return key, labels


def match_received(
    run: Runtime,
    config: MonitorConfig,
    outcomes: OutcomeSettings,
    truth: GroundTruthObject,
    key: str,
    labels: Labels,
) -> tuple[Mapping[str, int], int]:
    """Match labels that are stored as received; return how many by variant, and how many wait."""
    store = run.store(config.name)
    window = search_window(outcomes, truth.collected)
    try:
        current, _ = run.current(store)
    except BaselineError as error:
        # Nothing was predicted yet that is known: the labels wait.
        logger.warning("nothing to match with", monitor=config.name, reason=str(error))
        return {}, labels.records
    baselines = baselines_since(current, window.start)
    matched: Counter[str] = Counter()
    ids = [np.zeros(0, dtype=labels.ids.dtype)]
    with ThreadPoolExecutor(max_workers=_WRITERS) as pool:
        writing = []
        for found in find_predictions(store, config, labels, baselines=baselines, window=window):
            writing.append(pool.submit(add_matched, store, found, digest=truth.digest))
            matched[found.variant] += found.labels.records
            ids.append(found.labels.ids)
        for one in writing:
            one.result()
    claimed = np.unique(np.concatenate(ids))
    # Only once all are stored as matched: a crash before repeats what is done already.
    remove_received(store, key, claimed)
    return matched, labels.without(claimed).records
