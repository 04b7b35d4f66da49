"""Records to one batch of columns, one at a time: slow, and at home with anything.

This is the definition of what a record means; ``regular`` must agree with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from driftgauge.capture.envelope import Moments, Payload, Record, event_id_of
from driftgauge.capture.payload import MAX_COLUMNS, PayloadError, Row, read_payload
from driftgauge.capture.rows import columns_of_rows
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Column, Rejects, RowBatch

# A batch is a full table: rows that hardly share a column must not blow it up.
_MAX_CELLS = 2**23
_SAMPLE_RECORDS = 100
_SAMPLE_CHARACTERS = 65_536


class Names(NamedTuple):
    """Names of positional columns; None as long as no positional row was seen."""

    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None


def names_of(records: Sequence[Record], *, schema: CaptureSchema, known: Names | None) -> Names:
    """Name the positional columns that the schema leaves open.

    A side's width is the most common one among the first records.
    """
    known = known or Names(schema.inputs, schema.outputs)
    if known.inputs is not None and known.outputs is not None:
        return known
    inputs: Counter[int] = Counter()
    outputs: Counter[int] = Counter()
    for record in records[:_SAMPLE_RECORDS]:
        if record.captureData is not None:
            _count_widths(record.captureData.endpointInput, inputs)
            _count_widths(record.captureData.endpointOutput, outputs)
    given, returned = replace(schema, inputs=known.inputs, outputs=known.outputs).name_sides(
        inputs=inputs.most_common(1)[0][0] if inputs else None,
        outputs=outputs.most_common(1)[0][0] if outputs else None,
    )
    return Names(given, returned)


def _count_widths(side: Payload | None, widths: Counter[int]) -> None:
    if side is None or side.data is None:
        return
    data = side.data
    if isinstance(data, str) and side.encoding == "CSV" and len(data) > _SAMPLE_CHARACTERS:
        data = data[:_SAMPLE_CHARACTERS].rpartition("\n")[0] or data
    try:
        rows = read_payload(data, side.encoding)
    except PayloadError:
        return
    widths.update(
        len(row.cells) for row in rows if row.cells is not None and len(row.cells) <= MAX_COLUMNS
    )


_Pair = tuple[Row | None, Row | None]


class _Side:
    """The rows of one side."""

    def __init__(self, names: tuple[str, ...] | None) -> None:
        self._names = names or ()
        self._rows: list[Row | None] = []
        self._seen: set[str] = set()
        self._positional = False

    def width_with(self, row: Row | None) -> int:
        """Return how many columns there are once a row is added."""
        width = len(self._seen)
        if self._positional or (row is not None and row.cells is not None):
            width += len(self._names)
        if row is not None and row.fields:
            width += len(row.fields.keys() - self._seen)
        return width

    def why_not(self, row: Row) -> str | None:
        """Return why a row cannot be used, or None."""
        if row.cells is None and row.fields is None:
            return "no values"
        if len(row.cells or ()) + len(row.fields or ()) > MAX_COLUMNS:
            return "too many columns"
        if row.cells is not None and len(row.cells) != len(self._names):
            return "wrong number of columns"
        return None

    def add(self, row: Row | None) -> None:
        self._rows.append(row)
        if row is not None:
            self._positional |= row.cells is not None
            self._seen.update(row.fields or ())

    def columns(self) -> dict[str, Column]:
        """Return the columns; a row that has no value for one of them is missing there."""
        if not any(self._rows):
            return {}
        return columns_of_rows(self._rows, names=self._names)


class _Table:
    """The rows read so far."""

    def __init__(self, names: Names) -> None:
        self._inputs = _Side(names.inputs)
        self._outputs = _Side(names.outputs)
        self._times: list[int] = []
        self._events: list[str] = []
        self._record_of_row: list[int] = []

    def why_not(self, pair: _Pair) -> str | None:
        """Return why a row cannot be used, or None."""
        columns = 0
        for side, row in zip((self._inputs, self._outputs), pair, strict=True):
            reason = None if row is None else side.why_not(row)
            if reason is not None:
                return reason
            columns += side.width_with(row)
        rows = len(self._record_of_row) + 1
        return "too many columns" if columns * rows > _MAX_CELLS else None

    def add(self, pair: _Pair, moment: int) -> None:
        """Add a row of the current record."""
        given, returned = pair
        self._inputs.add(given)
        self._outputs.add(returned)
        self._record_of_row.append(len(self._events))
        self._times.append(moment)

    def end_record(self, event_id: str) -> bool:
        """End the current record; return whether it has any row."""
        if not self._record_of_row or self._record_of_row[-1] < len(self._events):
            return False
        self._events.append(event_id)
        return True

    def batch(self, schema: CaptureSchema) -> tuple[RowBatch, int]:
        """Return the rows as columns, and how many of these are outputs."""
        rows = len(self._record_of_row)
        outputs = self._outputs.columns()
        inputs = self._inputs.columns()
        batch = RowBatch(
            rows=rows,
            records=len(self._events),
            columns=_side_by_side(outputs, inputs, schema),
            inference_time=np.array(self._times, dtype=np.int64),
            event_ids=tuple(self._events),
            record_of_row=np.array(self._record_of_row, dtype=np.int32),
        )
        return batch, len(outputs)


def _side_by_side(
    outputs: dict[str, Column], inputs: dict[str, Column], schema: CaptureSchema
) -> dict[str, Column]:
    """Put outputs before inputs; a name that both have stays with the side it belongs to."""
    columns = {}
    for name, column in outputs.items():
        foreign = name in (schema.inputs or ())
        columns[f"output.{name}" if foreign else name] = column
    for name, column in inputs.items():
        foreign = name in columns or name in (schema.outputs or ())
        columns[f"input.{name}" if foreign else name] = column
    return columns


class Reading(NamedTuple):
    """What was read from some records.

    Attributes
    ----------
    batch : RowBatch or None
        None if no record has a usable row.
    kept : list of int
        Where among the records each record of the batch was.
    outputs : int
        How many columns of the batch are outputs; they come first.
    """

    batch: RowBatch | None
    kept: list[int]
    outputs: int


class RecordReader:
    """Reader of records of one capture object that keeps count of what it rejects."""

    def __init__(
        self, *, schema: CaptureSchema, source: str, rejects: Rejects, moments: Moments
    ) -> None:
        self._schema = schema
        self._source = source
        self._rejects = rejects
        self._moments = moments

    def read(self, records: Sequence[Record], numbers: Sequence[int], names: Names) -> Reading:
        """Read some records.

        Parameters
        ----------
        records, numbers : sequence
            The records and the numbers of the lines they stand on.
        names : Names
            Names of positional columns.
        """
        table = _Table(names)
        kept: list[int] = []
        for place, (record, number) in enumerate(zip(records, numbers, strict=True)):
            rows = self._rows(record, number, names)
            if rows is None:
                continue
            moment, pairs = rows
            for pair in pairs:
                reason = table.why_not(pair)
                if reason is None:
                    table.add(pair, moment)
                else:
                    self._reject(reason, number, _row_excerpt(pair))
            if table.end_record(event_id_of(record.eventMetadata)):
                kept.append(place)
        if not kept:
            return Reading(None, kept, 0)
        batch, outputs = table.batch(self._schema)
        return Reading(batch, kept, outputs)

    def _rows(self, record: Record, number: int, names: Names) -> tuple[int, list[_Pair]] | None:
        """Return a record's time and its rows, or None after counting it as rejected."""
        data = record.captureData
        given = None if data is None else _present(data.endpointInput)
        returned = None if data is None else _present(data.endpointOutput)
        try:
            moment = self._moment(record)
            inputs = None if given is None else read_payload(given.data, given.encoding)
            outputs = None if returned is None else read_payload(returned.data, returned.encoding)
            return moment, _paired(inputs, outputs, names)
        except PayloadError as error:
            self._reject(str(error), number, _excerpt(given, returned))
            return None

    def _moment(self, record: Record) -> int:
        if record.captureData is None:
            raise PayloadError("not a capture record")
        metadata = record.eventMetadata
        moment = None if metadata is None else self._moments.read(metadata.inferenceTime)
        if moment is None:
            raise PayloadError("no inference time")
        return moment

    def _reject(self, reason: str, number: int, excerpt: str) -> None:
        self._rejects.add(reason=reason, source=self._source, line=number, excerpt=excerpt)


def _present(side: Payload | None) -> Payload | None:
    return None if side is None or side.data is None else side


def _paired(inputs: list[Row] | None, outputs: list[Row] | None, names: Names) -> list[_Pair]:
    """Put the rows of both sides side by side."""
    if inputs is None or outputs is None:
        rows = inputs if inputs is not None else outputs
        if rows is None:
            raise PayloadError("no payload")
        pairs: list[_Pair] = [(row, None) if outputs is None else (None, row) for row in rows]
    else:
        outputs = _one_each(inputs, outputs, names)
        if len(inputs) != len(outputs):
            raise PayloadError("input and output disagree on rows")
        pairs = list(zip(inputs, outputs, strict=True))
    if not pairs:
        raise PayloadError("no rows")
    return pairs


def _one_each(inputs: list[Row], outputs: list[Row], names: Names) -> list[Row]:
    """Read one output row of n values as n rows of one, where that is what is expected.

    Some containers answer n rows with one line ``0.1,0.9,0.4``.
    """
    if len(outputs) != 1 or len(inputs) < 2 or len(names.outputs or ()) != 1:
        return outputs
    cells = outputs[0].cells
    if cells is None or len(cells) != len(inputs):
        return outputs
    return [Row([cell], None) for cell in cells]


def _row_excerpt(pair: _Pair) -> str:
    shown = [row.cells or row.fields for row in pair if row is not None]
    return " | ".join(str(values)[:250] for values in shown)


def _excerpt(*sides: Payload | None) -> str:
    return " | ".join(str(side.data)[:250] for side in sides if side is not None)
