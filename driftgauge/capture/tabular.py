"""Plain files of rows to columns, tolerant of single bad rows.

``table`` reads training data, where a bad row is an error. In traffic it is counted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from driftgauge.capture.cells import CellDecoder
from driftgauge.capture.documents import json_documents
from driftgauge.capture.lines import Lines
from driftgauge.capture.payload import MAX_COLUMNS, Row, rows_of_json
from driftgauge.capture.rows import columns_of_rows
from driftgauge.capture.types import Scalar
from driftgauge.columns import Column, Rejects
from driftgauge.errors import CaptureError

_ROWS_AT_ONCE = 10_000


class Part(NamedTuple):
    """Some rows of a file.

    Attributes
    ----------
    columns : dict of str to Column
        Without the marks.
    marks : dict of str to list
        The columns that say something on the row itself (its time, id, variant), as they stand
        in the file: an id ``007`` is not the number 7.
    lines : list of int
        The line that each row stands on, from 1.
    """

    columns: dict[str, Column]
    marks: dict[str, list[Scalar]]
    lines: list[int]


class CsvRows:
    """Reader of a CSV file.

    Parameters
    ----------
    names : sequence of str or None
        Names of the columns; None: the first line holds them.
    marks : sequence of str
        Columns to return as they stand in the file.
    wanted : sequence of str or None
        Columns to read beside the marks; None: all.
    source : str
        The file's name, for messages and samples.
    rejects : Rejects
        Is added the rows that cannot be used.
    """

    def __init__(
        self,
        *,
        names: Sequence[str] | None,
        marks: Sequence[str],
        wanted: Sequence[str] | None,
        source: str,
        rejects: Rejects,
    ) -> None:
        self._names: tuple[str, ...] | None = None
        self._marks = tuple(marks)
        self._wanted = wanted
        self._source = source
        self._rejects = rejects
        self._decoder = CellDecoder()
        if names is not None:
            self._settle_names(tuple(names), "capture.mapping.names")

    def read(self, chunks: Iterator[Lines]) -> Iterator[Part]:
        """Yield the rows, some thousand at a time.

        Raises
        ------
        CaptureError
            If the header's names are not different, or lack one of the marks.
        """
        for chunk in chunks:
            body = chunk if self._names is not None else self._after_header(chunk)
            if body is None:
                continue
            if any(b'"' in line for line in body.lines):
                # A quoted cell may hold a line end: from here on rows are no lines.
                yield from self._quoted(chain([body], chunks))
                return
            yield from self._plain(body)

    def _after_header(self, chunk: Lines) -> Lines | None:
        for index, line in enumerate(chunk.lines):
            if line.strip():
                text = line.decode("utf-8", errors="replace").rstrip("\r")
                names = tuple(name.strip() for name in next(csv.reader([text])))
                self._settle_names(names, "the first line")
                return Lines(first=chunk.first + index + 1, lines=chunk.lines[index + 1 :])
        return None

    def _settle_names(self, names: tuple[str, ...], where: str) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        lacking = [mark for mark in self._marks if mark not in names]
        if twice:
            problem = f"names {twice[0]!r} twice"
        elif lacking:
            problem = f"has no column {lacking[0]!r}"
        elif len(names) > MAX_COLUMNS:
            problem = f"names more than {MAX_COLUMNS} columns"
        else:
            self._names = names
            return
        raise CaptureError(
            f"{self._source}: {where} {problem}. Files without a header need their columns named "
            "in capture.mapping.names."
        )

    def _plain(self, chunk: Lines) -> Iterator[Part]:
        names = self._names or ()
        commas = len(names) - 1
        texts: list[str] = []
        lines: list[int] = []
        for number, ended in enumerate(chunk.lines, chunk.first):
            line = ended.rstrip(b"\r")
            if not line:
                continue
            if line.count(b",") != commas or b"\r" in line:
                self._reject("wrong number of columns", number, line)
                continue
            try:
                texts.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                self._reject("not utf-8", number, line)
                continue
            lines.append(number)
        if not texts:
            return
        decoded = self._decoder.decode("\n".join(texts), rows=len(texts), width=len(names))
        if decoded is None:
            yield self._part([list(text.split(",")) for text in texts], lines)
            return
        columns = dict(zip(names, decoded, strict=True))
        marks: dict[str, list[Scalar]] = {}
        if self._marks:
            places = [names.index(mark) for mark in self._marks]
            cells = [text.split(",") for text in texts]
            for mark, place in zip(self._marks, places, strict=True):
                marks[mark] = [row[place] or None for row in cells]
        yield Part(self._kept(columns), marks, lines)

    def _quoted(self, chunks: Iterator[Lines]) -> Iterator[Part]:
        names = self._names or ()
        first = next(chunks)
        reader = csv.reader(self._texts(chain([first], chunks)))
        rows: list[list[str]] = []
        lines: list[int] = []
        while True:
            number = first.first + reader.line_num
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error:
                self._reject("payload is not csv", number, b"")
                continue
            if not row:
                continue
            if len(row) != len(names):
                self._reject("wrong number of columns", number, ",".join(row)[:500].encode())
                continue
            rows.append(row)
            lines.append(number)
            if len(rows) >= _ROWS_AT_ONCE:
                yield self._part(rows, lines)
                rows, lines = [], []
        if rows:
            yield self._part(rows, lines)

    def _texts(self, chunks: Iterable[Lines]) -> Iterator[str]:
        for chunk in chunks:
            for line in chunk.lines:
                # A broken character spoils its cell, and where rows end stays known.
                yield line.decode("utf-8", errors="replace") + "\n"

    def _part(self, cells: list[list[str]], lines: list[int]) -> Part:
        names = self._names or ()
        columns = columns_of_rows([Row([*row], None) for row in cells], names=names)
        places = {mark: names.index(mark) for mark in self._marks}
        marks: dict[str, list[Scalar]] = {
            mark: [row[place] or None for row in cells] for mark, place in places.items()
        }
        return Part(self._kept(columns), marks, lines)

    def _kept(self, columns: dict[str, Column]) -> dict[str, Column]:
        return kept_columns(columns, marks=self._marks, wanted=self._wanted)

    def _reject(self, reason: str, line: int, data: bytes) -> None:
        excerpt = data[:500].decode("utf-8", errors="replace")
        self._rejects.add(reason=reason, source=self._source, line=line, excerpt=excerpt)


def kept_columns(
    columns: dict[str, Column], *, marks: Sequence[str], wanted: Sequence[str] | None
) -> dict[str, Column]:
    """Return the wanted columns without the marks."""
    return {
        name: column
        for name, column in columns.items()
        if (name not in marks if wanted is None else name in wanted)
    }


def read_json_rows(
    chunks: Iterator[Lines],
    *,
    names: Sequence[str],
    marks: Sequence[str],
    wanted: Sequence[str] | None,
    source: str,
    rejects: Rejects,
) -> Iterator[Part]:
    """Read JSON Lines, or one JSON document, of objects or arrays.

    Parameters are those of ``CsvRows``; ``names`` name the values of arrays.

    Raises
    ------
    CaptureError
        If nothing in the file is JSON.
    """
    before = rejects.total
    rows: list[Row] = []
    lines: list[int] = []
    found = False
    for number, value in json_documents(chunks, source=source, rejects=rejects):
        found = True
        for row in rows_of_json(value):
            reason = _why_not(row, names)
            if reason is None:
                rows.append(row)
                lines.append(number)
            else:
                rejects.add(reason=reason, source=source, line=number, excerpt=str(value)[:500])
        if len(rows) >= _ROWS_AT_ONCE:
            yield _json_part(rows, lines, names=names, marks=marks, wanted=wanted)
            rows, lines = [], []
    if rows:
        yield _json_part(rows, lines, names=names, marks=marks, wanted=wanted)
    if not found and rejects.total > before:
        raise CaptureError(
            f"{source}: nothing in it is JSON. Check the prefix and capture.format of the monitor."
        )


def _why_not(row: Row, names: Sequence[str]) -> str | None:
    if row.cells is None and not row.fields:
        return "no values"
    if len(row.cells or ()) + len(row.fields or ()) > MAX_COLUMNS:
        return "too many columns"
    if row.cells is not None and len(row.cells) != len(names):
        return "wrong number of columns"
    return None


def _json_part(
    rows: list[Row],
    lines: list[int],
    *,
    names: Sequence[str],
    marks: Sequence[str],
    wanted: Sequence[str] | None,
) -> Part:
    objects = [
        {**dict(zip(names, row.cells or (), strict=False)), **(row.fields or {})} for row in rows
    ]
    marked = {mark: [item.pop(mark, None) for item in objects] for mark in marks}
    if wanted is not None:
        objects = [{k: v for k, v in item.items() if k in wanted} for item in objects]
    # An object without a column left still is a row.
    columns = columns_of_rows([Row(None, item) for item in objects], names=())
    return Part(columns, marked, lines)
