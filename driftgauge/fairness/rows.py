"""Rows with labels and predictions: from Model Monitor's merged records, and a sample of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.calls import Call, CallTable, Exchange, Side, exchange_of
from driftgauge.capture.envelope import Envelopes
from driftgauge.capture.joining import join_columns
from driftgauge.capture.lines import CHUNK_BYTES, read_lines
from driftgauge.capture.payload import PayloadError, Row, read_payload
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.selection import Selector
from driftgauge.capture.settings import SelectionSettings
from driftgauge.capture.types import Scalar
from driftgauge.columns import Column, Rejects

_ALL = "all"
# The time of a merged record does not matter here, and those of batch transforms have none.
_SOME_TIME = "1970-01-01T00:00:00Z"
_SAMPLED_ROWS = 20_000


class MergedReader:
    """Reader of the records that Model Monitor's merge job writes.

    Parameters
    ----------
    selection : SelectionSettings
        Where features and predictions are; ``inference`` or ``probability`` must be given.
    label : str
        Name of the column that the ground truth becomes.
    truth : str or None
        Where the label is in the ground truth: JMESPath or the index of a CSV column. None: the
        field ``label``, or the only value of a row.
    columns : tuple of str
        Names of the features by position; empty: ``_c0``, ``_c1``, ... after the predictions.
    """

    def __init__(
        self,
        selection: SelectionSettings,
        *,
        label: str,
        truth: str | None = None,
        columns: tuple[str, ...] = (),
    ) -> None:
        self._schema = CaptureSchema(inputs=columns or None)
        self._selector = Selector(selection, schema=self._schema)
        self._label = label
        self._truth = (
            Selector(SelectionSettings(inference=truth), schema=CaptureSchema()) if truth else None
        )

    def read(
        self, stream: BinaryIO, *, source: str, rejects: Rejects
    ) -> Iterator[Mapping[str, Column]]:
        """Read a file: JSON Lines, plain or gzip.

        Parameters
        ----------
        stream : binary file
        source : str
            Its name, for messages.
        rejects : Rejects
            Is added what cannot be used; the unit is a record.

        Yields
        ------
        mapping of str to Column
            Features, predictions and labels of some records.

        Raises
        ------
        CaptureError
            If the file as a whole is unreadable.
        """
        envelopes = Envelopes(Call, unlike="not a merged record", source=source, rejects=rejects)
        table = CallTable(schema=self._schema, source=source, rejects=rejects)
        for chunk in read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES):
            calls, numbers = envelopes.decode(chunk.lines, chunk.first)
            size = sum(map(len, chunk.lines)) // max(len(calls), 1)
            for call, number in zip(calls, numbers, strict=True):
                try:
                    exchange = self._exchange(call)
                except PayloadError as error:
                    rejects.add(reason=str(error), source=source, line=number, excerpt="")
                    continue
                metadata = {"inferenceTime": _SOME_TIME, **(call.eventMetadata or {})}
                for _, batch in table.add(_ALL, exchange, metadata, number=number, size=size):
                    yield batch.columns
        envelopes.check()
        for _, batch in table.batches():
            yield batch.columns

    def _exchange(self, call: Call) -> Exchange:
        """Return what was given and returned, with the label beside each prediction."""
        if call.groundTruthData is None or call.groundTruthData.data is None:
            raise PayloadError("no ground truth")
        selected = self._selector.select(exchange_of(call))
        labels = self._labels(call.groundTruthData)
        rows = selected.returned.data if selected.returned is not None else []
        if len(rows) != len(labels):
            raise PayloadError("labels and predictions disagree on rows")
        beside = [{**row, self._label: y} for row, y in zip(rows, labels, strict=True)]
        return Exchange(given=selected.given, returned=Side(data=beside))

    def _labels(self, side: Side) -> list[Scalar]:
        if self._truth is not None:
            found = self._truth.select(Exchange(returned=side)).returned
            rows = found.data if found is not None else []
            return [value for row in rows for value in row.values()]
        return [_only_value(row) for row in read_payload(side.data, side.encoding)]


class RowSample:
    """A sample of rows of bounded size: all of them up to 20,000, else drawn by chance.

    The same rows give the same sample. Rows keep their order.
    """

    def __init__(self, most: int = _SAMPLED_ROWS) -> None:
        self._most = most
        self._random = np.random.default_rng(0)
        self._parts: list[tuple[NDArray[np.float64], Mapping[str, Column]]] = []
        self._held = 0

    def add(self, columns: Mapping[str, Column]) -> None:
        """Add rows."""
        rows = next((column.rows for column in columns.values()), 0)
        self._parts.append((self._random.random(rows), columns))
        self._held += rows
        if self._held > 2 * self._most:
            self._shrink()

    def columns(self) -> dict[str, Column]:
        """Return the sampled rows; a part that lacks a column is missing there."""
        if self._held > self._most:
            self._shrink()
        names = dict.fromkeys(name for _, columns in self._parts for name in columns)
        return {
            name: join_columns([(columns.get(name), len(draws)) for draws, columns in self._parts])
            for name in names
        }

    def _shrink(self) -> None:
        """Keep the rows with the smallest draws."""
        limit = np.partition(np.concatenate([draws for draws, _ in self._parts]), self._most)[
            self._most
        ]
        self._parts = [
            (draws[draws < limit], {n: c.take(draws < limit) for n, c in columns.items()})
            for draws, columns in self._parts
        ]
        self._held = sum(len(draws) for draws, _ in self._parts)


def _only_value(row: Row) -> Scalar:
    fields = row.fields or {}
    if "label" in fields:
        label: Scalar = fields["label"]
        return label
    values = [*(row.cells or ()), *fields.values()]
    if len(values) != 1:
        raise PayloadError("not one label a row")
    only: Scalar = values[0]
    return only
