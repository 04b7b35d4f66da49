"""Makes a baseline from training data, and puts it in force.

Triggers: an SQS queue of S3 events for ``{monitor}/training-data/``; and the retraining state
machine with ``{"monitor", "training_key", "outcomes_key", "model_key", "version", "created",
"activate": false}``.

Training data is a table, or a folder that holds Model Monitor's ``statistics.json`` and
``constraints.json``: whichever of the two arrives last makes the baseline. A folder of its own
for each baseline keeps files of different ones apart.

A file ``NAME.model.json`` beside the training data ``NAME``, put there first, is the model that
was trained on it: it becomes champion together with the baseline. A file ``NAME.outcomes.csv``,
put there first as well, holds labelled rows that the model has not learnt from: quality and bias of
the baseline are theirs, else those of the training data. Beside Model Monitor's files of data
quality those of the other monitors are taken from ``quality/``, ``bias/`` and ``explainability/``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.baseline import Baseline, build_baseline, write_baseline
from driftgauge.baseline_files import FILES, declared_roles, decode_files, recover_baseline
from driftgauge.capture.table import Table, read_table, table_format_of
from driftgauge.capture.text_names import captured_names
from driftgauge.columns import Column
from driftgauge.config import MonitorConfig
from driftgauge.errors import BaselineError, ConflictError, ObjectNotFoundError
from driftgauge.outcome_baseline import OutcomeBaseline, outcome_files
from driftgauge.outcome_building import (
    BIAS_FILE,
    EXPLAINABILITY_FILE,
    QUALITY_FILE,
    build_outcome_baseline,
    recover_outcome_baseline,
)
from driftgauge.store import Current, MonitorStore, ObjectInfo
from driftgauge.windows import parse_time
from lambdas.events import CreatedObject, process_batch, read_created, settle_key
from lambdas.runtime import Runtime, logger, now, runtime

_MODEL = ".model.json"
_OUTCOMES = ".outcomes.csv"
_OTHER_FILES = (QUALITY_FILE, BIAS_FILE, EXPLAINABILITY_FILE)
# Folders whose files belong to the baseline of the folder they are in.
_OTHER_FOLDERS = frozenset(name.partition("/")[0] for name in _OTHER_FILES)
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
    training_key = str(event["training_key"])
    build(
        run,
        config,
        training_key=training_key,
        outcomes_key=str(event.get("outcomes_key", "")) or training_key + _OUTCOMES,
        model_key=str(event.get("model_key", "")) or training_key + _MODEL,
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
    if is_sidecar(created.key):
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
    build(
        run,
        config,
        training_key=info.key,
        outcomes_key=info.key + _OUTCOMES,
        model_key=info.key + _MODEL,
        version=version,
        created=info.modified,
    )
    activate(store, version=version, model=adopt_model(store, info.key, version))


def is_sidecar(key: str) -> bool:
    """Return whether a file only goes with the training data that is put there after it.

    Examples
    --------
    >>> is_sidecar("m/training-data/a.csv.outcomes.csv"), is_sidecar("m/training-data/a.csv")
    (True, False)
    >>> is_sidecar("m/training-data/a/quality/constraints.json")
    True
    """
    if key.endswith((_MODEL, _OUTCOMES)):
        return True
    return key.endswith(".json") and key.split("/")[-2] in _OTHER_FOLDERS


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
    others = {
        name: store.objects.read(found[f"{folder}/{name}"].key)
        for name in _OTHER_FILES
        if f"{folder}/{name}" in found
    }
    write_outcomes(store, config, version, recover_outcome_baseline(config, others))
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
    run: Runtime,
    config: MonitorConfig,
    *,
    training_key: str,
    outcomes_key: str,
    model_key: str,
    version: str,
    created: datetime,
) -> None:
    """Build a baseline from a training table and write its files, those of outcomes first.

    Parameters
    ----------
    run : Runtime
    config : MonitorConfig
    training_key, outcomes_key, model_key : str
        The training table; labelled rows that the model has not learnt from, and the model's file,
        where they exist.
    version : str
        Name of the baseline.
    created : datetime
        Time of the training data.
    """
    store = run.store(config.name)
    with opened_tables(store, training_key) as opened:
        first, tables = _peek(opened)
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
    if config.outcomes is not None or config.attribution is not None:
        rows_key = outcomes_key if exists(store, outcomes_key) else training_key
        with opened_tables(store, rows_key) as rows, opened_tables(store, training_key) as training:
            outcomes = build_outcome_baseline(
                config=config,
                rows=_columns(rows),
                training=_columns(training),
                inputs=captured_names(baseline.spec.inputs),
                outputs=outputs,
                model=model_file(run, config, model_key),
            )
        write_outcomes(store, config, version, outcomes)
    write(store, config, baseline)


@contextmanager
def opened_tables(store: MonitorStore, key: str) -> Iterator[Iterator[Table]]:
    """Open a table of the store."""
    with store.objects.open(key) as stream:
        yield read_table(
            stream,
            source=f"{store.objects.uri}{key}",
            format=table_format_of(key),
            header=None,
        )


def exists(store: MonitorStore, key: str) -> bool:
    """Return whether there is an object of that name."""
    return any(info.key == key for info in store.objects.list(key))


def model_file(run: Runtime, config: MonitorConfig, model_key: str) -> bytes | None:
    """Return the file that predictions are explained by; None if there is none.

    Raises
    ------
    ObjectNotFoundError
        If the file that the monitor names does not exist.
    """
    settings = config.attribution
    if settings is None or settings.source != "champion":
        return None
    store = run.store(config.name)
    if settings.model is None:
        return store.objects.read(model_key) if exists(store, model_key) else None
    if settings.model.startswith("s3://"):
        bucket, _, key = settings.model.removeprefix("s3://").partition("/")
        return run.objects(bucket).read(key)
    return store.objects.read(settings.model)


def _columns(tables: Iterator[Table]) -> Iterator[Mapping[str, Column]]:
    return (table.columns for table in tables if table.rows)


def write_outcomes(
    store: MonitorStore, config: MonitorConfig, version: str, outcomes: OutcomeBaseline | None
) -> None:
    """Write a baseline's outcomes, before the baseline itself; and say what they lack."""
    if outcomes is None:
        logger.info("baseline has no outcomes", monitor=config.name, version=version)
        return
    for name, data in outcome_files(outcomes).items():
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        store.objects.write(store.baseline_key(version, name), data, content_type=kind)
    for note in outcomes.notes:
        logger.warning("outcomes of the baseline", monitor=config.name, version=version, note=note)
    logger.info(
        "outcomes of the baseline written",
        monitor=config.name,
        version=version,
        labelled=outcomes.counts.labelled if outcomes.counts is not None else 0,
        explained=outcomes.sums.rows if outcomes.sums is not None else 0,
        design_effect=outcomes.design_effect,
    )


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
        model = store.objects.read(training_key + _MODEL)
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
