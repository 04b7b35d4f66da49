"""Training data to columns: CSV, JSON Lines, JSON and, where a reader is installed, Parquet."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO, Literal

import numpy as np

from driftgauge.capture.cells import CellDecoder
from driftgauge.capture.lines import Lines, read_lines
from driftgauge.capture.payload import PayloadError, Row, json_value, rows_of_json
from driftgauge.capture.rows import columns_of_rows
from driftgauge.capture.types import FRACTIONAL, INTEGRAL, Scalar, column_of_values, read_text
from driftgauge.columns import Column, Rejects, TypeCounts
from driftgauge.errors import BaselineError, CaptureError

TableFormat = Literal["csv", "jsonl", "parquet"]

_CHUNK_BYTES = 1024 * 1024
_SNIFFED_ROWS = 100
_TABLE_ROWS = 10_000
_MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
_SUFFIXES: dict[str, TableFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Some rows of training data, by column."""

    rows: int
    columns: Mapping[str, Column]


def table_format_of(name: str) -> TableFormat:
    """Tell the format of training data from a file's name.

    Raises
    ------
    BaselineError
        If the name says nothing.

    Examples
    --------
    >>> table_format_of("2015/flights.csv.gz"), table_format_of("train.json")
    ('csv', 'jsonl')
    """
    stem = name.lower().removesuffix(".gz")
    for suffix, format_ in _SUFFIXES.items():
        if stem.endswith(suffix):
            return format_
    raise BaselineError(
        f"{name}: unknown kind of training data; name the file .csv, .jsonl, .json or .parquet "
        "(the first three may end in .gz)"
    )


def read_table(
    stream: BinaryIO,
    *,
    source: str,
    format: TableFormat,
    header: bool | None = None,
    names: tuple[str, ...] | None = None,
) -> Iterator[Table]:
    r"""Read training data in chunks.

    Parameters
    ----------
    stream : binary file
        Plain or gzip; Parquet needs a seekable one.
    source : str
        Its name, for messages.
    format : {"csv", "jsonl", "parquet"}
        ``jsonl`` is one object or array a line, or a whole JSON document: an array of them, or
        ``{"instances": [...]}``.
    header : bool or None
        Whether the first row of a CSV file names the columns. None: it does if none of its cells
        is a number and later rows have numbers.
    names : tuple of str or None
        Names of the columns of CSV rows and JSON arrays; they win over a header. None, and
        nothing else names the columns: ``_c0``, ``_c1``, ...

    Yields
    ------
    Table
        Some thousand rows.

    Raises
    ------
    BaselineError
        If the data cannot be read, or a row has another number of columns than the first.

    Examples
    --------
    >>> import io
    >>> [table] = read_table(io.BytesIO(b"age,plan\n31,gold\n"), source="s", format="csv")
    >>> table.rows, list(table.columns)
    (1, ['age', 'plan'])
    """
    if format == "parquet":
        yield from _read_parquet(stream, source)
        return
    rejects = Rejects()
    chunks = read_lines(stream, source=source, rejects=rejects, chunk_bytes=_CHUNK_BYTES)
    read = (
        _CsvTable(source, header, names).read if format == "csv" else _JsonTable(source, names).read
    )
    try:
        yield from read(chunks)
    except (CaptureError, PayloadError, UnicodeDecodeError, csv.Error) as error:
        raise BaselineError(f"{source}: {error}") from error
    if rejects.total:
        raise BaselineError(
            f"{source}: line {rejects.samples[0].line} is too long; write one row a line"
        )


class _CsvTable:
    """Reader of one CSV file."""

    def __init__(self, source: str, header: bool | None, names: tuple[str, ...] | None) -> None:
        self._source = source
        self._header = header
        self._names = names or ()
        self._decoder = CellDecoder()

    def read(self, chunks: Iterator[Lines]) -> Iterator[Table]:
        chunks = self._after_header(chunks)
        for chunk in chunks:
            text = b"\n".join(chunk.lines).decode("utf-8")
            if '"' not in text:
                table = self._plain(text, chunk.first)
            elif (table := self._simply_quoted(text)) is None:
                yield from self._quoted(chain([chunk], chunks))
                return
            if table is not None:
                yield table

    def _after_header(self, chunks: Iterator[Lines]) -> Iterator[Lines]:
        """Take the header off and settle the names."""
        chunk = next(chunks, None)
        while chunk is not None and not any(line.strip() for line in chunk.lines):
            chunk = next(chunks, None)
        if chunk is None:
            return iter(())
        reader = csv.reader(_texts([chunk]))
        sample = []
        taken = 0
        for row in islice((row for row in reader if row), _SNIFFED_ROWS):
            taken = taken or reader.line_num
            sample.append(row)
        header = _looks_like_header(sample) if self._header is None else self._header
        self._names = self._names or (
            self._header_names(sample[0])
            if header
            else tuple(f"_c{i}" for i in range(len(sample[0])))
        )
        if header:
            chunk = Lines(first=chunk.first + taken, lines=chunk.lines[taken:])
        return chain([chunk], chunks)

    def _header_names(self, row: list[str]) -> tuple[str, ...]:
        names = tuple(name.strip() or f"_c{i}" for i, name in enumerate(row))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BaselineError(
                f"{self._source}: the header names {', '.join(map(repr, twice))} twice; give every "
                "column a name of its own"
            )
        return names

    def _plain(self, text: str, first: int) -> Table | None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for number, line in enumerate(lines, first):
            if line and line.count(",") != len(self._names) - 1:
                self._wrong_width(number, line.count(",") + 1)
        lines = [line for line in lines if line]
        if not lines:
            return None
        columns = self._decoder.decode("\n".join(lines), rows=len(lines), width=len(self._names))
        if columns is None:
            raise BaselineError(f"{self._source}: rows from line {first} on cannot be read")
        return Table(rows=len(lines), columns=dict(zip(self._names, columns, strict=True)))

    def _simply_quoted(self, text: str) -> Table | None:
        """Read rows with quoted cells; None if there is more to them."""
        text = text.removesuffix("\n")
        if text.count('"') % 2 or "\r" in text or "\n\n" in text:
            return None
        rows = text.count("\n") + 1
        columns = self._decoder.decode(text, rows=rows, width=len(self._names))
        if columns is None:
            return None
        return Table(rows=rows, columns=dict(zip(self._names, columns, strict=True)))

    def _quoted(self, chunks: Iterable[Lines]) -> Iterator[Table]:
        chunks = iter(chunks)
        start = next(chunks)
        reader = csv.reader(_texts(chain([start], chunks)))
        rows: list[Row] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(self._names):
                self._wrong_width(start.first + reader.line_num - 1, len(row))
            rows.append(Row([*row], None))
            if len(rows) >= _TABLE_ROWS:
                yield _table_of(rows, self._names)
                rows = []
        if rows:
            yield _table_of(rows, self._names)

    def _wrong_width(self, line: int, found: int) -> None:
        raise BaselineError(
            f"{self._source}: line {line} has {found} columns instead of {len(self._names)}"
        )


class _JsonTable:
    """Reader of one file of JSON Lines, or of one JSON document."""

    def __init__(self, source: str, names: tuple[str, ...] | None) -> None:
        self._source = source
        self._names = names

    def read(self, chunks: Iterator[Lines]) -> Iterator[Table]:
        rows: list[Row] = []
        started = False
        for chunk in chunks:
            for number, line in enumerate(chunk.lines, chunk.first):
                if not line.strip():
                    continue
                try:
                    value = json_value(line.decode("utf-8"))
                except PayloadError as error:
                    if started:
                        raise BaselineError(f"{self._source}: line {number}: {error}") from error
                    value = self._document(chunk, chunks)
                    yield from self._tables(rows_of_json(value))
                    return
                started = True
                rows.extend(rows_of_json(value))
            if len(rows) >= _TABLE_ROWS:
                yield from self._tables(rows)
                rows = []
        yield from self._tables(rows)

    def _document(self, chunk: Lines, chunks: Iterator[Lines]) -> Any:
        """Read everything as one JSON document that spans lines."""
        parts = []
        size = 0
        for part in chain([chunk], chunks):
            parts.append(b"\n".join(part.lines))
            size += len(parts[-1])
            if size > _MAX_DOCUMENT_BYTES:
                raise BaselineError(
                    f"{self._source}: a JSON document of more than {_MAX_DOCUMENT_BYTES} bytes; "
                    "write JSON Lines, one row a line"
                )
        return json_value(b"\n".join(parts).decode("utf-8"))

    def _tables(self, rows: list[Row]) -> Iterator[Table]:
        for first in range(0, len(rows), _TABLE_ROWS):
            some = rows[first : first + _TABLE_ROWS]
            if self._names is None:
                width = next((len(row.cells) for row in some if row.cells is not None), None)
                if width is not None:
                    self._names = tuple(f"_c{i}" for i in range(width))
            names = self._names or ()
            for row in some:
                if row.cells is not None and len(row.cells) != len(names):
                    raise BaselineError(
                        f"{self._source}: a row has {len(row.cells)} columns instead of "
                        f"{len(names)}"
                    )
            yield _table_of(some, names)


def _texts(chunks: Iterable[Lines]) -> Iterator[str]:
    """Yield lines as the csv module wants them, with their ends."""
    for chunk in chunks:
        for line in chunk.lines:
            yield line.decode("utf-8") + "\n"


def _table_of(rows: list[Row], names: tuple[str, ...]) -> Table:
    return Table(rows=len(rows), columns=columns_of_rows(rows, names=names))


def _looks_like_header(sample: list[list[str]]) -> bool:
    def has_number(row: list[str]) -> bool:
        return any(read_text(cell).kind in (INTEGRAL, FRACTIONAL) for cell in row)

    return not has_number(sample[0]) and any(map(has_number, sample[1:]))


def _read_parquet(stream: BinaryIO, source: str) -> Iterator[Table]:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise BaselineError(
            f"{source}: reading Parquet needs the package pyarrow; install it, or write the "
            "training data as CSV or JSON Lines"
        ) from error
    try:
        for batch in parquet.ParquetFile(stream).iter_batches(batch_size=_TABLE_ROWS):
            names = batch.schema.names
            columns = {name: _arrow_column(arrow, batch.column(i)) for i, name in enumerate(names)}
            yield Table(rows=batch.num_rows, columns=columns)
    except (arrow.ArrowException, OSError) as error:
        raise BaselineError(f"{source}: not a readable Parquet file ({error})") from error


def _arrow_column(arrow: Any, array: Any) -> Column:
    kind = array.type
    whole = arrow.types.is_integer(kind)
    if not whole and not arrow.types.is_floating(kind):
        return column_of_values([_scalar_of(value) for value in array.to_pylist()])
    missing = np.asarray(array.is_null()) if array.null_count else None
    numbers = np.asarray(array.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False))
    present = len(array) - array.null_count
    return Column(
        numbers=numbers + 0.0,
        types=TypeCounts(integral=present if whole else 0, fractional=0 if whole else present),
        missing=missing,
    )


def _scalar_of(value: object) -> Scalar:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
