"""What ``driftgauge explain`` reads: rows from tables and captures, features, baselines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from driftgauge.attribution.captured import (
    attributions_of_columns,
    captured_features,
    read_captured,
)
from driftgauge.attribution.rows import FeatureRows, join_rows
from driftgauge.attribution.sums import AttributionSums, add_all, sum_attributions
from driftgauge.attribution.values import label_names
from driftgauge.capture.table import read_table, table_format_of
from driftgauge.cli import screen
from driftgauge.cli.places import TABLE_SUFFIXES, find
from driftgauge.cli.sources import CaptureFiles, find_captures
from driftgauge.columns import Column, Rejects
from driftgauge.errors import AttributionError

_Columns = Mapping[str, Column]


def read_columns(paths: Sequence[str], *, header: bool | None) -> list[_Columns]:
    """Read tables.

    Raises
    ------
    AttributionError
        If they hold no row.
    """
    sources = find(paths, suffixes=TABLE_SUFFIXES)
    parts: list[_Columns] = []
    with screen.progress(sum(source.size for source in sources), "Reading rows") as advance:
        for source in sources:
            form = table_format_of(source.key)
            opened = source.open_seekable if form == "parquet" else source.open
            with opened(advance) as stream:
                parts += [
                    table.columns
                    for table in read_table(stream, source=source.name, format=form, header=header)
                    if table.rows
                ]
    if not parts:
        raise AttributionError(f"{', '.join(paths)}: no rows")
    return parts


def read_data(arguments: argparse.Namespace, features: tuple[str, ...]) -> list[_Columns]:
    """Read the rows to explain.

    Parameters
    ----------
    arguments : Namespace
        Of the command.
    features : tuple of str
        The model's, if they are known: captured CSV does not name its columns.

    Raises
    ------
    AttributionError
        If there is no row.
    """
    if arguments.data:
        return read_columns(arguments.data, header=arguments.header)
    rejects = Rejects()
    parts = list(_captured_columns(arguments, features, rejects))
    rows = sum(next(iter(part.values())).rows for part in parts)
    screen.report_rejects(rejects, rows=rows)
    if not rows:
        raise AttributionError("the captures hold no row that could be read")
    return parts


def _captured_columns(
    arguments: argparse.Namespace, features: tuple[str, ...], rejects: Rejects
) -> Iterator[_Columns]:
    files = _captures(arguments)
    outputs: tuple[str, ...] = arguments.outputs
    with screen.progress(sum(s.size for s in files.sources), "Reading captures") as advance:
        for batch in files.rows((*outputs, *features), outputs, advance=advance, rejects=rejects):
            if batch.rows and batch.columns:
                yield batch.columns


def _captures(arguments: argparse.Namespace) -> CaptureFiles:
    # --variant of an endpoint to ask is not that of the captures.
    variant = None if arguments.endpoint else arguments.variant
    return CaptureFiles(
        sources=find_captures(arguments.capture, None),
        config=None,
        config_path=None,
        variant=variant,
    )


def choose_features(
    arguments: argparse.Namespace,
    known: tuple[str, ...] | int | None,
    parts: Sequence[_Columns] | None,
) -> tuple[str, ...]:
    """Return the model's features: those given, those its file names, or columns of a table.

    Parameters
    ----------
    arguments : Namespace
    known : tuple of str, int or None
        What the model file says: names, or how many.
    parts : sequence of mapping or None
        A table's columns.

    Raises
    ------
    AttributionError
        If there is no way to tell, or the number is another.
    """
    if arguments.features:
        names: tuple[str, ...] = arguments.features
    elif isinstance(known, tuple):
        return known
    elif parts is None:
        raise AttributionError(
            "captures do not tell the model's features: name them with --features, or give a "
            "--reference"
        )
    else:
        every = dict.fromkeys(name for part in parts for name in part)
        names = tuple(name for name in every if name not in arguments.exclude)
    if isinstance(known, int) and len(names) != known:
        raise AttributionError(
            f"the model has {known} features without names, the data {len(names)} columns: leave "
            "out the others with --exclude, or name them in order with --features"
        )
    if isinstance(known, tuple) and len(names) != len(known):
        raise AttributionError(f"the model has {len(known)} features, --features {len(names)}")
    return names


def rows_of(parts: Sequence[_Columns], names: tuple[str, ...]) -> FeatureRows:
    """Return the features of all parts as rows."""
    return join_rows([FeatureRows.of_columns(part, names) for part in parts])


def read_attributions(arguments: argparse.Namespace) -> AttributionSums:
    """Read attributions that the data holds already.

    Raises
    ------
    AttributionError
        If there are none.
    """
    if arguments.attribution_prefix:
        return prefixed_attributions(arguments, read_data(arguments, ()))
    if not arguments.capture or not arguments.features:
        raise AttributionError("--attribution-path needs --capture and --features")
    rejects = Rejects()
    sources = _captures(arguments).sources
    label = _label(arguments)
    sums = AttributionSums.empty(arguments.features, (label,))
    with screen.progress(sum(source.size for source in sources), "Reading captures") as advance:
        for source in sources:
            with source.open(advance) as stream:
                found = read_captured(
                    stream,
                    path=arguments.attribution_path,
                    features=arguments.features,
                    source=source.name,
                    rejects=rejects,
                    label=label,
                )
                sums = add_all(
                    (sums, *map(sum_attributions, found)),
                    features=arguments.features,
                    labels=(label,),
                )
    return _counted(sums, rejects)


def prefixed_attributions(
    arguments: argparse.Namespace, parts: Sequence[_Columns]
) -> AttributionSums:
    """Return the attributions that columns with the prefix hold.

    Raises
    ------
    AttributionError
        If there are none.
    """
    prefix, rejects = arguments.attribution_prefix, Rejects()
    features = arguments.features or captured_features(parts[0], prefix)
    label = _label(arguments)
    found = (
        attributions_of_columns(part, prefix, features, rejects=rejects, label=label)
        for part in parts
    )
    sums = add_all(map(sum_attributions, found), features=features, labels=(label,))
    return _counted(sums, rejects)


def _counted(sums: AttributionSums, rejects: Rejects) -> AttributionSums:
    screen.report_rejects(rejects, rows=sums.rows)
    if not sums.rows:
        raise AttributionError("no row has attributions that could be read")
    return sums


def _label(arguments: argparse.Namespace) -> str:
    labels: tuple[str, ...] = arguments.labels or label_names(1)
    if len(labels) > 1:
        raise AttributionError("attributions in the data are of one output: give one --labels")
    return labels[0]
