"""Profiles captured traffic as it arrives: one small mergeable profile per object and grain.

Beside it go the predictions that labels are joined to, and a sample of the rows, for monitors
that have outcomes, bias or attributions.

Trigger: an SQS queue of EventBridge "Object Created" events of the capture buckets. Every object
that this function writes has a key and bytes that depend on the capture object alone, so an
event that is delivered twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, BinaryIO

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.capture.locations import Location, is_manifest, locate
from driftgauge.capture.probes import without_probes
from driftgauge.capture.sources import SourceReader
from driftgauge.columns import RejectedSample, Rejects
from driftgauge.config import MonitorConfig
from driftgauge.errors import CaptureError
from driftgauge.profile.build import profile_batch, split_by_grain
from driftgauge.profile.codec import encode_profile
from driftgauge.profile.profile import Profile, ProfileSum
from driftgauge.profile.spec import ProfileSpec
from driftgauge.windows import WindowGrid
from lambdas.events import CreatedObject, process_batch, read_created, settle_key
from lambdas.hooks import read_preprocess
from lambdas.kept_rows import KeptRows, kept_rows
from lambdas.runtime import Measure, Runtime, logger, publish_metrics, runtime

_Parts = dict[datetime, Profile]


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
    found = [(m, place) for m in watched if (place := locate_capture(m, created.key)) is not None]
    if not found and any(is_left_alone(m, created.key) for m in watched):
        return
    if not found:
        raise CaptureError(
            f"{created.uri} belongs to no monitor: its key must be "
            "{capture.prefix}/{endpoint.name}/{variant}/yyyy/mm/dd/hh/..., or what the format of "
            "its captures asks for, of one of " + ", ".join(m.name for m in run.monitors.monitors)
        )
    for config, place in found:
        profile_object(run, config, place, created)


def is_left_alone(config: MonitorConfig, key: str) -> bool:
    """Tell what lies beside captures: manifests of the side not read, markers of other tools."""
    capture = config.capture
    if capture.format == "batch-transform":
        return is_manifest(key, prefix=capture.prefix)
    name = key.rpartition("/")[2]
    return capture.format == "predictions" and (not name or name.startswith(("_", ".")))


def locate_capture(config: MonitorConfig, key: str) -> Location | None:
    """Return what a key says if it is a capture of the monitor's, else None."""
    return locate(
        key,
        format=config.capture.format,
        prefix=config.capture.prefix,
        endpoint=config.endpoint.name,
        manifests=config.capture.manifest_side,
    )


def profile_object(
    run: Runtime, config: MonitorConfig, place: Location, created: CreatedObject
) -> None:
    """Read one capture object and write its profiles and a sample of what was rejected."""
    store = run.store(config.name)
    current, _ = run.current(store)
    spec = run.baseline(store, current.baseline).spec
    digest = store.capture_digest(bucket=created.bucket, key=created.key, tag=created.tag)
    rejects = Rejects()
    kept = kept_rows(config, spec)
    parts = read_profiles(run, config, spec, place, created, rejects, kept)
    home = place.variant or config.endpoint.variants[0]
    if rejects.total:
        hour = place.hour or modified(run, created)
        # Rejected input has no reliable time: it counts where the object's rows begin.
        own = parts.setdefault(home, {})
        start = min(own, default=_grain_start(config.grid, hour))
        own[start] = replace(
            own.get(start, Profile.empty(spec)), rejected=dict(sorted(rejects.counts.items()))
        )
        samples = store.quarantine_key(variant=home, moment=hour, digest=digest)
        store.objects.write(
            samples, encode_samples(rejects.samples), content_type="application/x-ndjson"
        )
    # Before the profiles: each of those makes its window be evaluated with all there is.
    for key, data in kept.files(store, baseline=current.baseline, digest=digest):
        store.objects.write(key, data)
    for variant, own in sorted(parts.items()):
        for start, part in sorted(own.items(), key=lambda item: item[0]):
            name = store.profile_key(
                baseline=current.baseline, variant=variant, grain_start=start, digest=digest
            )
            store.objects.write(name, encode_profile(part))
    publish(config, parts, rejects, home=home)
    logger.info(
        "capture profiled",
        monitor=config.name,
        variant=", ".join(sorted(parts)) or home,
        object=created.uri,
        baseline=current.baseline,
        rows=sum(part.rows for own in parts.values() for part in own.values()),
        rejected=rejects.counts,
        dropped=rejects.dropped,
        profiles=sum(map(len, parts.values())),
    )


def publish(
    config: MonitorConfig, parts: dict[str, _Parts], rejects: Rejects, *, home: str
) -> None:
    """Publish how much was read, by variant; rejects and what a hook dropped count for one."""
    for variant in sorted({*parts, home}):
        rows = sum(part.rows for part in parts.get(variant, {}).values())
        mine = variant == home
        measures = [
            Measure("CapturedRows", rows),
            Measure("RejectedRows", rejects.total if mine else 0),
        ]
        if config.capture.hooks.preprocess and mine:
            measures.append(Measure("DroppedRecords", rejects.dropped))
        publish_metrics(config=config, variant=variant, measures=measures)


def read_profiles(
    run: Runtime,
    config: MonitorConfig,
    spec: ProfileSpec,
    place: Location,
    created: CreatedObject,
    rejects: Rejects,
    kept: KeptRows,
) -> dict[str, _Parts]:
    """Stream an object into one profile per variant and grain of inference time.

    What the monitor keeps of rows besides is collected in ``kept``.
    """
    reader = SourceReader(
        capture=config.capture,
        variants=config.endpoint.variants,
        columns=tuple(feature.name for feature in spec.features),
        outputs=spec.outputs,
        open_object=lambda uri: _open_object(run, uri),
        list_objects=lambda uri: _list_objects(run, uri),
        preprocess=read_preprocess(run, config),
    )
    sums: dict[str, dict[datetime, ProfileSum]] = {}
    with run.objects(created.bucket).open(created.key) as stream:
        batches = reader.read(
            stream, key=created.key, location=place, source=created.uri, rejects=rejects
        )
        for variant, batch in batches:
            own = sums.setdefault(variant, {})
            for start, rows in split_by_grain(without_probes(batch), config.grid.grain):
                own.setdefault(start, ProfileSum(spec)).add(profile_batch(spec, rows))
                kept.add(variant, start, rows)
    return {
        variant: {start: total.result() for start, total in own.items()}
        for variant, own in sums.items()
    }


@contextmanager
def _open_object(run: Runtime, uri: str) -> Iterator[BinaryIO]:
    """Open an object that a manifest names."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with run.objects(bucket).open(key) as stream:
        yield stream


def _list_objects(run: Runtime, uri: str) -> Iterator[str]:
    """List the objects whose URI starts with one."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    for info in run.objects(bucket).list(key):
        yield f"s3://{bucket}/{info.key}"


def modified(run: Runtime, created: CreatedObject) -> datetime:
    """Return when an object was written: the same for every delivery of its event."""
    infos = run.objects(created.bucket).list(created.key)
    found = next((info for info in infos if info.key == created.key), None)
    if found is None:
        raise CaptureError(f"{created.uri} is gone: put it there again")
    return found.modified


def _grain_start(grid: WindowGrid, moment: datetime) -> datetime:
    return WindowGrid(length=grid.grain).window_of(moment).start


def encode_samples(samples: list[RejectedSample]) -> bytes:
    """Write rejected samples as JSON Lines."""
    lines = [msgspec.json.encode({"version": 1, **asdict(sample)}) for sample in samples]
    return b"\n".join(lines) + b"\n"
