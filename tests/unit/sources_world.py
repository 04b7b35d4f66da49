"""Small monitors and readers for tests of the capture sources."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

from driftgauge.capture.joining import join_batches
from driftgauge.capture.locations import Location
from driftgauge.capture.settings import CaptureSettings
from driftgauge.capture.sources import SourceReader
from driftgauge.columns import Rejects, RowBatch

HOUR = datetime(2026, 3, 2, 10, tzinfo=UTC)


def read_all(
    data: bytes,
    *,
    capture: Mapping[str, Any] | None = None,
    variants: Sequence[str] = ("AllTraffic",),
    columns: Sequence[str] = (),
    outputs: Sequence[str] = (),
    key: str = "a.jsonl",
    location: Location | None = None,
    bucket: Mapping[str, bytes] | None = None,
    source: str | None = None,
    preprocess: str | None = None,
    rejects: Rejects | None = None,
) -> dict[str, RowBatch]:
    """Read one object; returns all rows by variant."""

    @contextmanager
    def open_object(uri: str) -> Iterator[BinaryIO]:
        yield io.BytesIO((bucket or {})[uri])

    reader = SourceReader(
        capture=CaptureSettings.model_validate(capture or {}),
        variants=variants,
        columns=columns,
        outputs=outputs,
        open_object=open_object,
        list_objects=lambda start: [uri for uri in bucket or {} if uri.startswith(start)],
        preprocess=None if preprocess is None else preprocess.encode(),
    )
    found: dict[str, list[RowBatch]] = {}
    for variant, batch in reader.read(
        io.BytesIO(data),
        key=key,
        location=location or Location(hour=HOUR),
        source=source or key,
        rejects=rejects if rejects is not None else Rejects(),
    ):
        found.setdefault(variant, []).append(batch)
    return {variant: join_batches(batches) for variant, batches in found.items()}


def values_of(batch: RowBatch, name: str) -> list[Any]:
    """The values of one column: numbers, words or None."""
    column = batch.columns[name]
    values: list[Any] = [None if number != number else number for number in column.numbers.tolist()]
    if column.codes is not None:
        for row, code in enumerate(column.codes.tolist()):
            if code >= 0:
                values[row] = column.words[code]
    return values
