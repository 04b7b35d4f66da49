"""Capture objects to batches of columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import BinaryIO

import numpy as np

from driftgauge.capture.envelope import Envelopes, Moments, Record
from driftgauge.capture.joining import interleave, join_batches
from driftgauge.capture.lines import Lines, read_lines
from driftgauge.capture.records import Names, Reading, RecordReader, names_of
from driftgauge.capture.regular import RegularReader
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.skeleton import LONGEST_LINE, Sifted, Skeleton
from driftgauge.columns import Rejects, RowBatch

# Some thousand rows: enough to spread the cost of a numpy call, and not much beyond the caches.
BLOCK_BYTES = 4 * 1024 * 1024
# Decoded records are many small objects: this is how many are kept at once.
_BATCH_BYTES = 2 * 1024 * 1024
# Of the lines of a block, for which it pays to read them apart from the others.
_LEAST_ALIKE = 0.98
# Where too few lines are alike, so many blocks are not looked at as closely.
_BLOCKS_UNSIFTED = 8
# A block of a few huge lines gains nothing from a comparison with a skeleton.
_LONGEST_BLOCK = 2 * BLOCK_BYTES


def read_capture(
    stream: BinaryIO,
    *,
    schema: CaptureSchema,
    source: str,
    rejects: Rejects,
    chunk_bytes: int = BLOCK_BYTES,
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
    lines = read_lines(stream, source=source, rejects=rejects, chunk_bytes=chunk_bytes)
    reader = _ObjectReader(schema=schema, source=source, rejects=rejects)
    for some in lines:
        yield from reader.read(some)
    yield from reader.finish()


class _ObjectReader:
    """Reader of the lines of one object: in bulk where they are alike, else one by one."""

    def __init__(self, *, schema: CaptureSchema, source: str, rejects: Rejects) -> None:
        self._schema = schema
        moments = Moments()
        self._envelopes = Envelopes(
            Record, unlike="not a capture record", source=source, rejects=rejects
        )
        self._regular = RegularReader(moments=moments)
        self._tolerant = RecordReader(
            schema=schema, source=source, rejects=rejects, moments=moments
        )
        self._skeleton: Skeleton | None = None
        self._names: Names | None = None
        if schema.inputs is not None and schema.outputs is not None:
            self._names = Names(schema.inputs, schema.outputs)
        self._records: list[Record] = []
        self._numbers: list[int] = []
        self._size = 0
        self._unsifted = 0

    def read(self, some: Lines) -> Iterator[RowBatch]:
        """Read some lines; those that are not alike are kept until there are enough of them."""
        if self._names is not None and len(some.block) <= _LONGEST_BLOCK:
            batch = self._read_alike(some, self._names)
            if batch is not None:
                yield from self._flush()
                yield batch
                return
            mostly = self._read_mostly_alike(some, self._names)
            if mostly is not None:
                yield from self._flush()
                yield self._read_others(some, *mostly, self._names)
                return
        records, numbers = self._envelopes.decode(some.lines, some.first)
        self._records.extend(records)
        self._numbers.extend(numbers)
        self._size += len(some.block)
        if self._size >= _BATCH_BYTES:
            yield from self._flush()

    def finish(self) -> Iterator[RowBatch]:
        """Read the lines that are left.

        Raises
        ------
        CaptureError
            If the object is not a capture.
        """
        yield from self._flush()
        self._envelopes.check()

    def _read_alike(self, some: Lines, names: Names) -> RowBatch | None:
        """Read lines that differ in nothing but their texts; None if they do not."""
        match = None if self._skeleton is None else self._skeleton.match(some.block)
        if match is None:
            first, _, _ = some.block.partition(b"\n")
            learned = Skeleton.learn(first, self._envelopes.decode_line)
            if learned is not None and learned != self._skeleton:
                match = learned.match(some.block)
            # One odd line at the start of a block is no reason to forget.
            if match is not None or self._skeleton is None:
                self._skeleton = learned
        batch = None if match is None else self._regular.read_match(match, names)
        if match is not None and batch is not None:
            some.count = match.lines
            self._envelopes.add_records(match.lines)
        return batch

    def _read_mostly_alike(self, some: Lines, names: Names) -> tuple[RowBatch, Sifted] | None:
        """Read those lines that are alike, and tell which they are; None if they are too few."""
        if self._unsifted:
            self._unsifted -= 1
            return None
        for skeleton in self._skeletons(some.block):
            sifted = skeleton.sift(some.block)
            alike = int(np.count_nonzero(sifted.flags))
            if alike < _LEAST_ALIKE * sifted.flags.shape[0]:
                continue
            match = skeleton.match(sifted.alike())
            batch = None if match is None else self._regular.read_match(match, names)
            if batch is not None:
                self._skeleton = skeleton
                self._envelopes.add_records(alike)
                some.count = sifted.flags.shape[0]
                return batch, sifted
        self._unsifted = _BLOCKS_UNSIFTED
        return None

    def _skeletons(self, block: bytes) -> Iterator[Skeleton]:
        """Yield the skeleton that is known and, if it is another, that of a line in the middle."""
        if self._skeleton is not None:
            yield self._skeleton
        start = block.rfind(b"\n", 0, len(block) // 2) + 1
        middle, _, _ = block[start : start + LONGEST_LINE + 1].partition(b"\n")
        learned = Skeleton.learn(middle, self._envelopes.decode_line)
        if learned is not None and learned != self._skeleton:
            yield learned

    def _read_others(self, some: Lines, batch: RowBatch, sifted: Sifted, names: Names) -> RowBatch:
        """Read the lines that are not alike one by one, and put them between the others."""
        records: list[Record] = []
        places: list[int] = []
        others = np.flatnonzero(~sifted.flags).tolist()
        for place, line in zip(others, sifted.others(), strict=True):
            found, _ = self._envelopes.decode([line], some.first + place)
            records.extend(found)
            places.extend(place for _ in found)
        reading = self._tolerant.read(records, [some.first + place for place in places], names)
        alike = np.flatnonzero(sifted.flags).tolist()
        return _together(batch, reading, [*alike, *(places[i] for i in reading.kept)], names)

    def _flush(self) -> Iterator[RowBatch]:
        records, numbers = self._records, self._numbers
        if not records:
            return
        self._records, self._numbers, self._size = [], [], 0
        self._names = names_of(records, schema=self._schema, known=self._names)
        batch = _read(
            records, numbers, names=self._names, regular=self._regular, tolerant=self._tolerant
        )
        if batch is not None:
            yield batch


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
    if batch is None:
        return reading.batch
    places = [*compress(range(len(records)), flags), *(others[i] for i in reading.kept)]
    return _together(batch, reading, places, names)


def _together(batch: RowBatch, reading: Reading, places: list[int], names: Names) -> RowBatch:
    """Put what was read at once and one by one into one batch, records in order of places."""
    if reading.batch is None:
        return batch
    outputs = [name for name in batch.columns if name in (names.outputs or ())]
    first = [*outputs, *list(reading.batch.columns)[: reading.outputs]]
    both = join_batches([batch, reading.batch], first=first)
    return interleave(both, np.array(places, dtype=np.intp))
