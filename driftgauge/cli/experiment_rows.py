"""What ``driftgauge experiment`` reads: rows of an arm with their times, labels and columns."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from driftgauge.capture.ground_truth import read_ground_truth
from driftgauge.capture.predictions import PredictionReader
from driftgauge.capture.settings import MappingSettings
from driftgauge.capture.table import table_format_of
from driftgauge.cli import screen
from driftgauge.cli.places import CAPTURE_SUFFIXES, TABLE_SUFFIXES, find
from driftgauge.cli.sources import CaptureFiles, find_captures
from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import ExperimentError
from driftgauge.labels.join import join_labels
from driftgauge.labels.predictions import Predictions, merge_predictions, predictions_of
from driftgauge.labels.truth import Labels, labels_of, merge_labels
from driftgauge.report.wording import plural

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The label's column where ground truth is joined and nobody names one.
LABEL = "label"


def read_arm(
    paths: Sequence[str], arguments: argparse.Namespace, wanted: tuple[str, ...]
) -> Predictions:
    """Read one arm from tables.

    Parameters
    ----------
    paths : sequence of str
    arguments : Namespace
        Of the command; without ``time`` all rows are of 1970-01-01T00:00:00Z.
    wanted : tuple of str
        Columns that the tables must have.

    Raises
    ------
    ExperimentError
        If there is no row with a time, or a column is missing.
    """
    reader = PredictionReader(
        MappingSettings(time=arguments.time, columns={name: name for name in wanted}),
        variants=("all",),
    )
    rejects = Rejects()
    parts = _merge(_of_tables(paths, reader, rejects), wanted, paths)
    return _reported(parts, rejects, paths)


def _of_tables(
    paths: Sequence[str], reader: PredictionReader, rejects: Rejects
) -> Iterator[RowBatch]:
    sources = find(paths, suffixes=TABLE_SUFFIXES)
    with screen.progress(sum(source.size for source in sources), "Reading rows") as advance:
        for source in sources:
            form = table_format_of(source.key)
            opened = source.open_seekable if form == "parquet" else source.open
            with opened(advance) as stream:
                for _, batch in reader.read(
                    stream, form=form, hour=_EPOCH, source=source.name, rejects=rejects
                ):
                    yield batch


def read_captured_arm(
    paths: Sequence[str],
    arguments: argparse.Namespace,
    wanted: tuple[str, ...],
    labels: Labels | None,
) -> Predictions:
    """Read one arm from captured data, with a column of labels if there are any.

    Raises
    ------
    ExperimentError
        If there is no row, or a column is missing.
    """
    files = CaptureFiles(
        sources=find_captures(list(paths), None), config=None, config_path=None, variant=None
    )
    rejects = Rejects()
    outputs: tuple[str, ...] = arguments.outputs
    with screen.progress(sum(s.size for s in files.sources), "Reading captures") as advance:
        batches = files.rows(
            (*outputs, *arguments.features), outputs, advance=advance, rejects=rejects
        )
        found = _merge(batches, wanted, paths)
    found = _reported(found, rejects, paths)
    if labels is None:
        return found
    joined = join_labels(found, labels)
    counts = joined.counts
    screen.note(
        f"{', '.join(paths)}: {plural(counts.labelled, 'label')} for {plural(counts.rows, 'row')}"
    )
    return replace(found, columns={**found.columns, arguments.label or LABEL: joined.label})


def read_labels(paths: Sequence[str]) -> Labels:
    """Read ground truth; of several labels of an id the last one read wins."""
    sources = find(paths, suffixes=CAPTURE_SUFFIXES)
    rejects = Rejects()
    parts = []
    with screen.progress(sum(s.size for s in sources), "Reading ground truth") as advance:
        for at, source in enumerate(sources):
            with source.open(advance) as stream:
                parts.append(
                    labels_of(
                        read_ground_truth(stream, source=source.name, rejects=rejects),
                        # Entries are ordered by these: here, as the files are.
                        collected=_EPOCH + timedelta(seconds=at),
                        modified=_EPOCH,
                        digest=f"{at:032x}",
                    )
                )
    labels = merge_labels(parts)
    screen.report_rejects(rejects, rows=labels.records)
    if not labels.records:
        raise ExperimentError(f"{', '.join(paths)}: no label that could be read")
    return labels


def _merge(
    batches: Iterable[RowBatch], wanted: tuple[str, ...], paths: Sequence[str]
) -> Predictions:
    known: dict[str, None] = {}
    parts = []
    for batch in batches:
        known.update(dict.fromkeys(batch.columns))
        parts.append(predictions_of(batch, wanted))
    lacking = [name for name in wanted if name not in known]
    if parts and lacking:
        raise ExperimentError(f"{', '.join(paths)}: no column {', '.join(lacking)}")
    return merge_predictions(parts)


def _reported(found: Predictions, rejects: Rejects, paths: Sequence[str]) -> Predictions:
    screen.report_rejects(rejects, rows=found.rows)
    if not found.rows:
        raise ExperimentError(f"{', '.join(paths)}: no row that could be read")
    return found
