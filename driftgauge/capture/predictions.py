"""Plain prediction files to batches: JSON Lines, CSV or Parquet, whoever wrote them."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, BinaryIO

import numpy as np

from driftgauge.capture.envelope import Moments
from driftgauge.capture.lines import CHUNK_BYTES, read_lines
from driftgauge.capture.settings import MappingSettings
from driftgauge.capture.table import TableFormat, read_table
from driftgauge.capture.tabular import CsvRows, Part, kept_columns, read_json_rows
from driftgauge.capture.types import Scalar
from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import BaselineError, CaptureError

# 1e11 seconds are the year 5138, 1e11 milliseconds 1973.
_FIRST_MILLISECONDS = 1e11
_END_OF_TIME = 253_402_300_800
_EPOCH_TEXT = re.compile(r"[0-9]{9,13}(?:\.[0-9]+)?")


def epoch_seconds(value: Scalar, moments: Moments) -> int | None:
    """Return the epoch seconds of a time; None if it is unusable.

    Parameters
    ----------
    value : scalar
        ISO 8601 text, or seconds or milliseconds since 1970 as number or text.
    moments : Moments
        Remembers texts.

    Examples
    --------
    >>> moments = Moments()
    >>> [epoch_seconds(v, moments) for v in ("2022-04-18T00:21:48Z", 1650241308.5, 1650241308500)]
    [1650241308, 1650241308, 1650241308]
    >>> epoch_seconds("yesterday", moments) is None
    True
    """
    if isinstance(value, str):
        value = value.strip()
        if _EPOCH_TEXT.fullmatch(value) is None:
            return moments.read(value)
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    seconds = value / 1000 if value >= _FIRST_MILLISECONDS else value
    return int(seconds) if 0 <= seconds < _END_OF_TIME else None


class PredictionReader:
    """Reader of the prediction files of one monitor.

    Parameters
    ----------
    mapping : MappingSettings
        What the columns mean.
    variants : sequence of str
        The variants there are. A row of another one is rejected.
    """

    def __init__(self, mapping: MappingSettings, *, variants: Sequence[str]) -> None:
        self._mapping = mapping
        self._variants = tuple(variants)
        self._moments = Moments()
        self._marks = tuple(
            name for name in (mapping.time, mapping.id, mapping.variant) if name is not None
        )
        self._wanted = tuple(mapping.columns) or None

    def read(
        self,
        stream: BinaryIO,
        *,
        form: TableFormat,
        hour: datetime | None,
        source: str,
        rejects: Rejects,
    ) -> Iterator[tuple[str, RowBatch]]:
        """Read a file; yields batches with the variant they belong to.

        Parameters
        ----------
        stream : binary file
            Plain or gzip; Parquet is read into memory.
        form : {"csv", "jsonl", "parquet"}
            Of the file.
        hour : datetime or None
            The time that counts where the mapping names no column of it.
        source : str
            The file's name, for messages and samples.
        rejects : Rejects
            Is added the rows that cannot be used.

        Raises
        ------
        CaptureError
            If the file as a whole is unreadable.
        """
        for part in self._parts(stream, form, source, rejects):
            yield from self.batches(part, hour=hour, source=source, rejects=rejects)

    def _parts(
        self, stream: BinaryIO, form: TableFormat, source: str, rejects: Rejects
    ) -> Iterator[Part]:
        names = self._mapping.names
        if form == "parquet":
            yield from self._parquet(stream, source)
            return
        chunks = read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES)
        if form == "csv":
            reader = CsvRows(
                names=names or None,
                marks=self._marks,
                wanted=self._wanted,
                source=source,
                rejects=rejects,
            )
            yield from reader.read(chunks)
        else:
            yield from read_json_rows(
                chunks,
                names=names,
                marks=self._marks,
                wanted=self._wanted,
                source=source,
                rejects=rejects,
            )

    def _parquet(self, stream: BinaryIO, source: str) -> Iterator[Part]:
        data = stream.read()
        marked: dict[str, list[Scalar]] | None = None
        done = 0
        try:
            for table in read_table(io.BytesIO(data), source=source, format="parquet"):
                if marked is None:
                    marked = _parquet_marks(data, self._marks)
                end = done + table.rows
                yield Part(
                    kept_columns(dict(table.columns), marks=self._marks, wanted=self._wanted),
                    {mark: values[done:end] for mark, values in marked.items()},
                    list(range(done + 1, end + 1)),
                )
                done = end
        except BaselineError as error:
            raise CaptureError(str(error)) from error

    def batches(
        self, part: Part, *, hour: datetime | None, source: str, rejects: Rejects
    ) -> Iterator[tuple[str, RowBatch]]:
        """Turn the rows of a file into batches, one a variant; rejects rows without a time."""
        mapping = self._mapping
        rows = len(part.lines)
        times = self._times(part, hour)
        variants: Sequence[Scalar] = [self._variants[0]] * rows
        if mapping.variant is not None:
            variants = part.marks[mapping.variant]
        ids = part.marks[mapping.id] if mapping.id is not None else [None] * rows
        chosen: dict[str, list[int]] = {}
        for row, (moment, variant) in enumerate(zip(times, variants, strict=True)):
            name = "" if variant is None else _text_of(variant)
            if moment is None:
                self._reject("no inference time", part.lines[row], "", source, rejects)
            elif name not in self._variants:
                self._reject("unknown variant", part.lines[row], name, source, rejects)
            else:
                chosen.setdefault(name, []).append(row)
        columns = {mapping.columns.get(name, name): column for name, column in part.columns.items()}
        for name, some in chosen.items():
            batch = RowBatch(
                rows=rows,
                records=rows,
                columns=columns,
                inference_time=np.array([moment or 0 for moment in times], dtype=np.int64),
                event_ids=tuple("" if key is None else _text_of(key) for key in ids),
                record_of_row=np.arange(rows, dtype=np.int32),
            )
            index = np.array(some, dtype=np.intp)
            yield name, batch if len(some) == rows else _renumbered(batch.take(index))

    def _times(self, part: Part, hour: datetime | None) -> list[int | None]:
        if self._mapping.time is None:
            return [None if hour is None else int(hour.timestamp())] * len(part.lines)
        return [epoch_seconds(v, self._moments) for v in part.marks[self._mapping.time]]

    @staticmethod
    def _reject(reason: str, line: int, excerpt: str, source: str, rejects: Rejects) -> None:
        rejects.add(reason=reason, source=source, line=line, excerpt=excerpt)


def _renumbered(batch: RowBatch) -> RowBatch:
    """Return a batch of one-row records without the ids of rows that were left out."""
    return RowBatch(
        rows=batch.rows,
        records=batch.rows,
        columns=batch.columns,
        inference_time=batch.inference_time,
        event_ids=tuple(batch.event_ids[i] for i in batch.record_of_row.tolist()),
        record_of_row=np.arange(batch.rows, dtype=np.int32),
    )


def _parquet_marks(data: bytes, marks: Sequence[str]) -> dict[str, list[Scalar]]:
    """Return columns of a Parquet file as they stand there: the id ``007`` is not the number 7."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    file = parquet.ParquetFile(io.BytesIO(data))
    found = [mark for mark in marks if mark in file.schema_arrow.names]
    values = file.read(columns=found).to_pydict()
    rows = file.metadata.num_rows
    return {
        mark: [_scalar_of(value) for value in values[mark]] if mark in found else [None] * rows
        for mark in marks
    }


def _scalar_of(value: object) -> Scalar:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _text_of(value: Scalar) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
