"""Capture objects to batches of columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import compress
from typing import BinaryIO

import numpy as np

from driftgauge.capture.envelope import Envelopes, Moments, Record
from driftgauge.capture.joining import interleave, join_batches
from driftgauge.capture.lines import CHUNK_BYTES, Lines, read_lines
from driftgauge.capture.records import Names, RecordReader, names_of
from driftgauge.capture.regular import RegularReader
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Rejects, RowBatch

# Large enough to spread the cost of a numpy call over many rows, small enough for the caches.
_BATCH_BYTES = 2 * 1024 * 1024


def read_capture(
    stream: BinaryIO,
    *,
    schema: CaptureSchema,
    source: str,
    rejects: Rejects,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[RowBatch]:
    r"""Read a capture object of a real-time endpoint.

    Parameters
    ----------
    stream : binary file
        JSON Lines as SageMaker's data capture writes them, plain or gzip. It is read once,
        front to back, in bounded memory.
    schema : CaptureSchema
        Names of positional columns.
    source : str
        The object's name, for messages and samples.
    rejects : Rejects
        Is added what cannot be used: records and rows, by reason.
    chunk_bytes : int
        How much is read at a time.

    Yields
    ------
    RowBatch
        Some thousand rows, in the order of the object. Output columns come first. If an input
        and an output share a name, the one that the schema does not list there gets the prefix
        ``input.`` or ``output.``.

    Raises
    ------
    CaptureError
        If the object as a whole is unreadable: corrupt gzip, or not a single line of JSON.

    Examples
    --------
    >>> import io
    >>> line = (
    ...     b'{"captureData":{"endpointInput":{"data":"1,a","encoding":"CSV"}},'
    ...     b'"eventMetadata":{"eventId":"e","inferenceTime":"2022-04-18T00:21:48Z"}}'
    ... )
    >>> schema = CaptureSchema(inputs=("age", "plan"))
    >>> rejects = Rejects()
    >>> [batch] = read_capture(io.BytesIO(line), schema=schema, source="s", rejects=rejects)
    >>> batch.rows, list(batch.columns), batch.columns["plan"].words
    (1, ['age', 'plan'], ('a',))
    """
    if schema.outputs == ():
        everything = replace(schema, outputs=None)
        for both_sides in read_capture(
            stream, schema=everything, source=source, rejects=rejects, chunk_bytes=chunk_bytes
        ):
            yield _inputs_only(both_sides, schema.inputs or ())
        return
    envelopes = Envelopes(Record, unlike="not a capture record", source=source, rejects=rejects)
    moments = Moments()
    regular = RegularReader(moments=moments)
    tolerant = RecordReader(schema=schema, source=source, rejects=rejects, moments=moments)
    names: Names | None = None
    lines = read_lines(stream, source=source, rejects=rejects, chunk_bytes=chunk_bytes)
    for records, numbers in _gather(lines, envelopes):
        names = names_of(records, schema=schema, known=names)
        batch = _read(records, numbers, names=names, regular=regular, tolerant=tolerant)
        if batch is not None:
            yield batch
    envelopes.check()


def _inputs_only(batch: RowBatch, inputs: tuple[str, ...]) -> RowBatch:
    """Leave out the output columns, which come before the first known input."""
    names = list(batch.columns)
    first = next((i for i, name in enumerate(names) if name in inputs), 0)
    return replace(batch, columns={name: batch.columns[name] for name in names[first:]})


def _gather(
    lines: Iterable[Lines], envelopes: Envelopes[Record]
) -> Iterator[tuple[list[Record], list[int]]]:
    """Decode lines until there is enough for a batch."""
    records: list[Record] = []
    numbers: list[int] = []
    size = 0
    for some in lines:
        decoded, their_numbers = envelopes.decode(some.lines, some.first)
        records.extend(decoded)
        numbers.extend(their_numbers)
        size += sum(map(len, some.lines))
        if size >= _BATCH_BYTES and records:
            yield records, numbers
            records, numbers, size = [], [], 0
    if records:
        yield records, numbers


def _read(
    records: list[Record],
    numbers: list[int],
    *,
    names: Names,
    regular: RegularReader,
    tolerant: RecordReader,
) -> RowBatch | None:
    """Read records, as many as possible at once and the others one by one."""
    batch = regular.read(records, names)
    if batch is not None:
        return batch
    flags = regular.flags(records, names)
    chosen = list(compress(records, flags))
    batch = regular.read(chosen, names) if chosen else None
    if batch is None:
        flags = [False] * len(records)
    others = [i for i, flag in enumerate(flags) if not flag]
    reading = tolerant.read([records[i] for i in others], [numbers[i] for i in others], names)
    rest = reading.batch
    if batch is None or rest is None:
        return batch or rest
    outputs = [name for name in batch.columns if name in (names.outputs or ())]
    both = join_batches([batch, rest], first=[*outputs, *list(rest.columns)[: reading.outputs]])
    places = [*compress(range(len(records)), flags), *(others[i] for i in reading.kept)]
    return interleave(both, np.array(places, dtype=np.intp))
