"""Makes a baseline from training data, and puts it in force.

Triggers: an SQS queue of S3 events for ``{monitor}/training-data/``; and the retraining state
machine with ``{"monitor", "training_key", "version", "created", "activate": false}``.

Training data is a table, or a folder that holds Model Monitor's ``statistics.json`` and
``constraints.json``: whichever of the two arrives last makes the baseline. A folder of its own
for each baseline keeps files of different ones apart.

A file ``NAME.model.json`` beside the training data ``NAME``, put there first, is the model that
was trained on it: it becomes champion together with the baseline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.baseline import Baseline, build_baseline, write_baseline
from driftgauge.baseline_files import FILES, declared_roles, decode_files, recover_baseline
from driftgauge.capture.table import Table, read_table, table_format_of
from driftgauge.config import MonitorConfig
from driftgauge.errors import BaselineError, ConflictError, ObjectNotFoundError
from driftgauge.store import Current, MonitorStore, ObjectInfo
from driftgauge.windows import parse_time
from lambdas.events import CreatedObject, process_batch, read_created, settle_key
from lambdas.runtime import Runtime, logger, now, runtime

_SIDECAR = ".model.json"
_ATTEMPTS = 8


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Build the baselines that the event asks for."""
    run = runtime()
    if "Records" in event:
        return process_batch(event, context, lambda body: baseline_from_message(run, body))
    config = run.monitors[str(event.get("monitor", ""))]
    store = run.store(config.name)
    version = str(event["version"])
    build(
        store,
        config,
        training_key=str(event["training_key"]),
        version=version,
        created=parse_time(str(event["created"])),
    )
    if event.get("activate", False):
        activate(store, version=version, model=None)
    return {"monitor": config.name, "version": version}


def baseline_from_message(run: Runtime, body: str) -> None:
    """Build and activate the baseline of training data that was dropped into the store."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    if created.key.endswith(_SIDECAR):
        return
    config = run.monitors[created.key.partition("/")[0]]
    store = run.store(config.name)
    if created.key.endswith(tuple(f"/{name}" for name in FILES)):
        baseline_from_files(store, config, created)
        return
    info = next(iter(store.objects.list(created.key)), None)
    if info is None or info.key != created.key:
        raise BaselineError(f"{created.uri} is gone: put the training data there again")
    version = version_of(info)
    if is_known(store, version):
        logger.info("baseline known", monitor=config.name, version=version)
        return
    build(store, config, training_key=info.key, version=version, created=info.modified)
    activate(store, version=version, model=adopt_model(store, info.key, version))


def baseline_from_files(store: MonitorStore, config: MonitorConfig, created: CreatedObject) -> None:
    """Make and activate the baseline of Model Monitor's two files, once both are there."""
    folder, _, name = created.key.rpartition("/")
    found = {info.key: info for info in store.objects.list(f"{folder}/")}
    statistics, constraints = (found.get(f"{folder}/{file}") for file in FILES)
    if created.key not in found:
        raise BaselineError(f"{created.uri} is gone: put it there again")
    if statistics is None or constraints is None:
        logger.info("baseline waits for its other file", monitor=config.name, file=name)
        return
    version = version_of(statistics, constraints)
    if is_known(store, version):
        logger.info("baseline known", monitor=config.name, version=version)
        return
    files = decode_files(
        statistics=store.objects.read(statistics.key),
        constraints=store.objects.read(constraints.key),
    )
    outputs, exclude = declared_roles(config, files.names)
    baseline = recover_baseline(
        files,
        version=version,
        outputs=outputs,
        exclude=exclude,
        overrides=config.features,
        created=max(statistics.modified, constraints.modified),
    )
    write(store, config, baseline)
    activate(store, version=version, model=adopt_model(store, folder, version))


def version_of(*infos: ObjectInfo) -> str:
    """Name a baseline after its training data: the same objects always give the same name."""
    content = "\n".join(part for info in infos for part in (info.key, info.tag))
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    modified = max(info.modified for info in infos)
    return f"{modified.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"


def is_known(store: MonitorStore, version: str) -> bool:
    """Return whether a baseline is or was in force: an event delivered late must not revive it."""
    try:
        current, _ = store.read_current()
    except ObjectNotFoundError:
        return False
    return version in {current.baseline, *(earlier.baseline for earlier in current.history)}


def build(
    store: MonitorStore,
    config: MonitorConfig,
    *,
    training_key: str,
    version: str,
    created: datetime,
) -> None:
    """Build a baseline from a training table and write its files."""
    with store.objects.open(training_key) as stream:
        tables = read_table(
            stream,
            source=f"{store.objects.uri}{training_key}",
            format=table_format_of(training_key),
            header=None,
        )
        first, tables = _peek(tables)
        outputs, exclude = declared_roles(config, first.columns)
        baseline = build_baseline(
            tables,
            version=version,
            outputs=outputs,
            exclude=exclude,
            overrides=config.features,
            label=config.label,
            created=created,
        )
    write(store, config, baseline)


def write(store: MonitorStore, config: MonitorConfig, baseline: Baseline) -> None:
    """Write a baseline's files."""
    version = baseline.version
    write_baseline(
        baseline,
        lambda name, data: store.objects.write(
            store.baseline_key(version, name), data, content_type="application/json"
        ),
    )
    logger.info(
        "baseline built",
        monitor=config.name,
        version=version,
        rows=baseline.profile.rows,
        columns=len(baseline.spec.features),
    )


def _peek(tables: Iterator[Table]) -> tuple[Table, Iterator[Table]]:
    first = next(tables, None)
    if first is None:
        raise BaselineError("the training data holds no row")
    return first, chain([first], tables)


def adopt_model(store: MonitorStore, training_key: str, version: str) -> str | None:
    """Copy the model that lies beside the training data; None if there is none."""
    try:
        model = store.objects.read(training_key + _SIDECAR)
    except ObjectNotFoundError:
        return None
    store.objects.write(store.model_key(version), model, content_type="application/json")
    return version


def activate(store: MonitorStore, *, version: str, model: str | None) -> None:
    """Put a baseline in force, with its model or with the champion as it is.

    Raises
    ------
    ConflictError
        If others changed the pointer every time.
    """
    for _ in range(_ATTEMPTS):
        try:
            current, tag = store.read_current()
        except ObjectNotFoundError:
            after, tag = Current(baseline=version, model=model, since=now()), None
        else:
            if current.baseline == version:
                return
            after = current.promoted(baseline=version, model=model or current.model, since=now())
        try:
            store.write_current(after, if_tag=tag)
        except ConflictError:
            continue
        logger.info("baseline in force", monitor=store.monitor, version=version, model=after.model)
        return
    raise ConflictError(f"{store.objects.uri}{store.current_key} keeps changing: try again")
