"""Batch transforms: manifests, and the files that they point to.

SageMaker does not copy what a transform read or wrote. It writes manifests,
``[{"prefix": "s3://bucket/path/"}, "name", ...]``; the name is empty for a single object.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, BinaryIO, Literal

import msgspec

from driftgauge.capture.calls import INFERENCE_ID, INFERENCE_TIME, Call, Side, Sides
from driftgauge.capture.calls import names_of_width as _names_of_width
from driftgauge.capture.documents import json_documents
from driftgauge.capture.envelope import Moments
from driftgauge.capture.lines import Lines
from driftgauge.capture.payload import PayloadError, looks_like_json
from driftgauge.capture.predictions import PredictionReader
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.settings import MappingSettings
from driftgauge.capture.tabular import CsvRows
from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import CaptureError
from driftgauge.windows import format_time

_MAX_MANIFEST_BYTES = 16 * 1024 * 1024


def parse_manifest(data: bytes, *, source: str) -> tuple[str, ...]:
    """Return the URIs of the objects that a manifest lists.

    Raises
    ------
    CaptureError
        If it is not a manifest, or lists anything but objects in S3.

    Examples
    --------
    >>> parse_manifest(b'[{"prefix": "s3://b/out/"}, "a.out", "b.out"]', source="m")
    ('s3://b/out/a.out', 's3://b/out/b.out')
    >>> parse_manifest(b'[{"prefix": "s3://b/in/a.csv"}, ""]', source="m")
    ('s3://b/in/a.csv',)
    """
    prefix, names = _entries(data, source=source)
    return tuple(dict.fromkeys(prefix + name for name in names))


def _entries(data: bytes, *, source: str) -> tuple[str, tuple[str, ...]]:
    """Return the prefix and the names in a manifest."""
    try:
        document: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    problem = CaptureError(
        f'{source}: not a manifest of a batch transform, [{{"prefix": "s3://..."}}, "name", ...]. '
        "Check that capture.prefix is the transform's DestinationS3Uri."
    )
    if not isinstance(document, list) or len(document) < 2 or not isinstance(document[0], dict):
        raise problem
    prefix, names = document[0].get("prefix"), document[1:]
    if not isinstance(prefix, str) or not prefix.startswith("s3://"):
        raise problem
    if not all(isinstance(name, str) for name in names):
        raise problem
    return prefix, tuple(dict.fromkeys(names))


def read_manifest(stream: BinaryIO, *, source: str) -> tuple[str, ...]:
    """Read a manifest from a stream; see ``parse_manifest``."""
    return parse_manifest(_bytes_of(stream, source), source=source)


def read_entries(stream: BinaryIO, *, source: str) -> tuple[str, tuple[str, ...]]:
    """Read the prefix and the names in a manifest from a stream.

    Raises
    ------
    CaptureError
        As ``parse_manifest``.
    """
    return _entries(_bytes_of(stream, source), source=source)


def _bytes_of(stream: BinaryIO, source: str) -> bytes:
    data = stream.read(_MAX_MANIFEST_BYTES + 1)
    if len(data) > _MAX_MANIFEST_BYTES:
        raise CaptureError(f"{source}: more than {_MAX_MANIFEST_BYTES} bytes is no manifest")
    return data


def is_json(chunks: Iterator[Lines]) -> tuple[bool, Iterator[Lines]]:
    """Tell JSON from CSV by the first line that is not blank; returns all lines again."""
    held = []
    for chunk in chunks:
        held.append(chunk)
        first = next((line for line in chunk.lines if line.strip()), None)
        if first is not None:
            text = first[:64].decode("utf-8", errors="replace")
            return looks_like_json(text), chain(held, chunks)
    return False, iter(held)


def calls_of_lines(
    chunks: Iterator[Lines],
    *,
    as_json: bool,
    side: Literal["input", "output"],
    hour: datetime,
    source: str,
    rejects: Rejects,
) -> Iterator[tuple[int, Call, int]]:
    """Read a file that a manifest lists, one call a line.

    Yields
    ------
    number : int
        The line.
    call : Call
        Its time and id are those that ``GenerateInferenceId`` adds, else the manifest's hour and
        none.
    size : int
        About how many bytes it takes.
    """
    if as_json:
        for number, value in json_documents(chunks, source=source, rejects=rejects):
            metadata = {"inferenceTime": format_time(hour)}
            if side == "output":
                metadata |= take_ids(value)
            payload = Side(data=value, encoding="JSON")
            yield number, Call(captureData=_on(side, payload), eventMetadata=metadata), 1000
        return
    moments = Moments()
    for chunk in chunks:
        for number, line in enumerate(chunk.lines, chunk.first):
            text = line.decode("utf-8", errors="replace").rstrip("\r")
            if not text:
                continue
            metadata = {"inferenceTime": format_time(hour)}
            if side == "output":
                text, ids = without_ids(text, moments)
                metadata |= ids
            payload = Side(data=text, encoding="CSV")
            call = Call(captureData=_on(side, payload), eventMetadata=metadata)
            yield number, call, len(line)


def _on(side: Literal["input", "output"], payload: Side) -> Sides:
    if side == "input":
        return Sides(batchTransformInput=payload)
    return Sides(batchTransformOutput=payload)


def take_ids(value: Any) -> dict[str, Any]:
    """Take the two keys off a JSON object that ``GenerateInferenceId`` adds, if they are there.

    Examples
    --------
    >>> value = {"SageMakerInferenceId": "a", "score": 0.5}
    >>> take_ids(value), value
    ({'eventId': 'a'}, {'score': 0.5})
    """
    if not isinstance(value, dict):
        return {}
    keys = {"eventId": INFERENCE_ID, "inferenceTime": INFERENCE_TIME}
    return {name: value.pop(key) for name, key in keys.items() if key in value}


def without_ids(text: str, moments: Moments) -> tuple[str, dict[str, Any]]:
    """Take the two columns off that ``GenerateInferenceId`` appends, if they are there.

    Examples
    --------
    >>> without_ids("0.5,a,2026-03-02T10:00:00Z", Moments())
    ('0.5', {'eventId': 'a', 'inferenceTime': '2026-03-02T10:00:00Z'})
    """
    parts = text.rsplit(",", 2)
    if len(parts) == 3 and is_time(parts[2], moments):
        return parts[0], {"eventId": parts[1].strip('"'), "inferenceTime": parts[2].strip('"')}
    return text, {}


def is_time(cell: str, moments: Moments) -> bool:
    """Tell an ISO 8601 time from the value of a column."""
    cell = cell.strip().strip('"')
    return "T" in cell and moments.read(cell) is not None


def read_csv_file(
    chunks: Iterator[Lines],
    *,
    side: Literal["input", "output"],
    schema: CaptureSchema,
    hour: datetime,
    variant: str,
    source: str,
    rejects: Rejects,
) -> Iterator[tuple[str, RowBatch]]:
    """Read CSV that a manifest lists, many rows at a time.

    Raises
    ------
    CaptureError
        If the first row has neither as many columns as the outputs, the inputs, nor both.
    """
    held = []
    first = None
    for chunk in chunks:
        held.append(chunk)
        first = next((line for line in chunk.lines if line.strip()), None)
        if first is not None:
            break
    if first is None:
        return
    cells = next(csv.reader([first.decode("utf-8", errors="replace").rstrip("\r")]))
    ids: tuple[str, ...] = ()
    if side == "output" and len(cells) > 2 and is_time(cells[-1], Moments()):
        ids = (INFERENCE_ID, INFERENCE_TIME)
    if side == "input":
        schema = replace(schema, outputs=None)
    try:
        names = _names_of_width(len(cells) - len(ids), schema)
    except PayloadError as error:
        raise CaptureError(
            f"{source}: {len(cells) - len(ids)} columns are neither the outputs, the inputs, nor "
            "both. Name the columns in capture.inputs and capture.outputs."
        ) from error
    mapping = MappingSettings(
        time=INFERENCE_TIME if ids else None, id=INFERENCE_ID if ids else None
    )
    rows = CsvRows(names=(*names, *ids), marks=ids, wanted=None, source=source, rejects=rejects)
    reader = PredictionReader(mapping, variants=(variant,))
    for part in rows.read(chain(held, chunks)):
        yield from reader.batches(part, hour=hour, source=source, rejects=rejects)
