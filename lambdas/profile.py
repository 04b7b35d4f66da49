"""Profiles captured traffic as it arrives: one small mergeable profile per object and grain.

Trigger: an SQS queue of EventBridge "Object Created" events of the capture buckets. Every object
that this function writes has a key and bytes that depend on the capture object alone, so an
event that is delivered twice changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.capture.keys import CaptureKey, parse_capture_key
from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import RejectedSample, Rejects
from driftgauge.config import MonitorConfig
from driftgauge.errors import CaptureError
from driftgauge.profile.build import profile_batch, split_by_grain
from driftgauge.profile.codec import encode_profile
from driftgauge.profile.profile import Profile, ProfileSum
from driftgauge.profile.spec import ProfileSpec
from driftgauge.windows import WindowGrid
from lambdas.events import CreatedObject, process_batch, read_created, settle_key
from lambdas.runtime import Measure, Runtime, logger, publish_metrics, runtime


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Profile every capture object of the batch."""
    run = runtime()
    return process_batch(event, context, lambda body: profile_message(run, body))


def profile_message(run: Runtime, body: str) -> None:
    """Profile the object that one message names, for every monitor that watches it."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    watched = [m for m in run.monitors.monitors if m.capture.bucket in (None, created.bucket)]
    if any(created.key.startswith(f"{m.capture.ground_truth_prefix}/") for m in watched):
        return
    found = [(m, key) for m in watched if (key := match_key(m, created.key)) is not None]
    if not found:
        raise CaptureError(
            f"{created.uri} belongs to no monitor: its key must be "
            "{capture.prefix}/{endpoint.name}/{variant}/yyyy/mm/dd/hh/... of one of "
            + ", ".join(m.name for m in run.monitors.monitors)
        )
    for config, key in found:
        profile_object(run, config, key, created)


def match_key(config: MonitorConfig, key: str) -> CaptureKey | None:
    """Return what a key says if it is a capture of the monitor's endpoint, else None."""
    parsed = parse_capture_key(key, prefix=config.capture.prefix)
    return parsed if parsed is not None and parsed.endpoint == config.endpoint.name else None


def profile_object(
    run: Runtime, config: MonitorConfig, key: CaptureKey, created: CreatedObject
) -> None:
    """Read one capture object and write its profiles and a sample of what was rejected."""
    store = run.store(config.name)
    current, _ = run.current(store)
    spec = run.baseline(store, current.baseline).spec
    digest = store.capture_digest(bucket=created.bucket, key=created.key, tag=created.tag)
    rejects = Rejects()
    parts = read_profiles(run, config, spec, created, rejects)
    if rejects.total:
        # Rejected input has no reliable time: it counts where the object's rows begin.
        start = min(parts, default=_grain_start(config.grid, key.hour))
        part = parts.get(start, Profile.empty(spec))
        parts[start] = replace(part, rejected=dict(sorted(rejects.counts.items())))
        samples = store.quarantine_key(variant=key.variant, moment=key.hour, digest=digest)
        store.objects.write(
            samples, encode_samples(rejects.samples), content_type="application/x-ndjson"
        )
    for start, part in sorted(parts.items(), key=lambda item: item[0]):
        name = store.profile_key(
            baseline=current.baseline, variant=key.variant, grain_start=start, digest=digest
        )
        store.objects.write(name, encode_profile(part))
    rows = sum(part.rows for part in parts.values())
    publish_metrics(
        config=config,
        variant=key.variant,
        measures=[Measure("CapturedRows", rows), Measure("RejectedRows", rejects.total)],
    )
    logger.info(
        "capture profiled",
        monitor=config.name,
        variant=key.variant,
        object=created.uri,
        baseline=current.baseline,
        rows=rows,
        rejected=rejects.counts,
        profiles=len(parts),
    )


def read_profiles(
    run: Runtime,
    config: MonitorConfig,
    spec: ProfileSpec,
    created: CreatedObject,
    rejects: Rejects,
) -> dict[datetime, Profile]:
    """Stream an object into one profile per grain of inference time."""
    schema = CaptureSchema(
        inputs=config.capture.inputs or spec.inputs, outputs=config.capture.outputs or spec.outputs
    )
    sums: dict[datetime, ProfileSum] = {}
    with run.objects(created.bucket).open(created.key) as stream:
        for batch in read_capture(stream, schema=schema, source=created.uri, rejects=rejects):
            for start, rows in split_by_grain(batch, config.grid.grain):
                sums.setdefault(start, ProfileSum(spec)).add(profile_batch(spec, rows))
    return {start: total.result() for start, total in sums.items()}


def _grain_start(grid: WindowGrid, moment: datetime) -> datetime:
    return WindowGrid(length=grid.grain).window_of(moment).start


def encode_samples(samples: list[RejectedSample]) -> bytes:
    """Write rejected samples as JSON Lines."""
    lines = [msgspec.json.encode({"version": 1, **asdict(sample)}) for sample in samples]
    return b"\n".join(lines) + b"\n"
