"""Payloads and files as JSON documents or CSV rows, before they are rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from driftgauge.capture.lines import Lines
from driftgauge.capture.payload import (
    PayloadError,
    Row,
    json_value,
    looks_like_json,
    read_csv,
    text_of_base64,
)
from driftgauge.capture.types import Scalar
from driftgauge.columns import Rejects

MAX_DOCUMENT_BYTES = 48 * 1024 * 1024


class Documents(NamedTuple):
    """What a payload holds: CSV rows, or JSON documents (one, or one a line)."""

    rows: list[list[Scalar]] | None
    values: list[Any] | None


def documents_of(data: Any, encoding: Any) -> Documents:
    r"""Read a payload of any encoding.

    Raises
    ------
    PayloadError
        With the reason to count, if nothing can be made of the payload.

    Examples
    --------
    >>> documents_of("1,2\n3,4", "CSV").rows
    [['1', '2'], ['3', '4']]
    >>> documents_of('{"a": 1}\n{"a": 2}\n', "JSON").values
    [{'a': 1}, {'a': 2}]
    """
    if not isinstance(data, str):
        return Documents(None, [data])
    name = encoding.upper() if isinstance(encoding, str) else ""
    if name == "BASE64":
        data = text_of_base64(data)
    if name == "CSV" or (name != "JSON" and not looks_like_json(data)):
        return Documents(read_csv(data), None)
    try:
        return Documents(None, [json_value(data)])
    except PayloadError:
        lines = [line for line in data.split("\n") if line.strip()]
        if len(lines) < 2:
            raise
        return Documents(None, [json_value(line) for line in lines])


def inline_rows(rows: Iterable[Row]) -> list[Any]:
    """Return rows as JSON that ``rows_of_json`` turns into the same rows.

    Examples
    --------
    >>> inline_rows([Row([1, 2], None), Row(None, {"a": 1})])
    [[1, 2], {'a': 1}]
    """
    return [
        row.cells
        if row.cells is not None and not row.fields
        else {**({} if row.cells is None else {"features": row.cells}), **(row.fields or {})}
        for row in rows
    ]


def json_documents(
    chunks: Iterator[Lines], *, source: str, rejects: Rejects
) -> Iterator[tuple[int, Any]]:
    """Yield the JSON values of a file and the number of the line each starts on.

    The file is JSON Lines, or one document that spans lines. A line that is not JSON is counted.
    """
    for chunk in chunks:
        for index, line in enumerate(chunk.lines):
            if not line.strip():
                continue
            number = chunk.first + index
            rest = Lines(first=number, lines=chunk.lines[index:])
            yield from _with_document(chain([rest], chunks), source=source, rejects=rejects)
            return


def _with_document(
    chunks: Iterator[Lines], *, source: str, rejects: Rejects
) -> Iterator[tuple[int, Any]]:
    """Read on from the first line that is not blank, which tells lines from a document."""
    first = next(chunks)
    try:
        json_value(_text_of(first.lines[0]))
    except PayloadError:
        held, size = [first], sum(map(len, first.lines))
        for chunk in chunks:
            held.append(chunk)
            size += sum(map(len, chunk.lines))
            if size > MAX_DOCUMENT_BYTES:
                break
        else:
            try:
                whole = b"\n".join(line for chunk in held for line in chunk.lines)
                yield first.first, json_value(_text_of(whole))
                return
            except PayloadError:
                pass
        chunks = chain(held, chunks)
    else:
        chunks = chain([first], chunks)
    for chunk in chunks:
        for number, line in enumerate(chunk.lines, chunk.first):
            if not line.strip():
                continue
            try:
                value = json_value(_text_of(line))
            except PayloadError as error:
                reason = str(error).replace("payload is", "").strip()
                excerpt = line[:500].decode("utf-8", errors="replace")
                rejects.add(reason=reason, source=source, line=number, excerpt=excerpt)
            else:
                yield number, value


def _text_of(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError("not utf-8") from error
