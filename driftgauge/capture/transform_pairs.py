"""What a batch transform was given and what it wrote, line by line, where it did not join them.

The manifest of the output names ``x.csv.out``; a manifest of the input, in the folder of the same
hour, names the ``x.csv`` it was made of. The lines of both belong together in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from driftgauge.capture.batch_transform import (
    is_json,
    read_entries,
    read_manifest,
    take_ids,
    without_ids,
)
from driftgauge.capture.calls import Call, Side, Sides, split_joined
from driftgauge.capture.documents import MAX_DOCUMENT_BYTES
from driftgauge.capture.envelope import Moments
from driftgauge.capture.lines import CHUNK_BYTES, Lines, read_lines
from driftgauge.capture.payload import PayloadError, json_value
from driftgauge.columns import Rejects
from driftgauge.errors import CaptureError
from driftgauge.windows import format_time

OpenObject = Callable[[str], AbstractContextManager[BinaryIO]]
ListObjects = Callable[[str], Iterable[str]]

_SUFFIX = ".out"
_FOLDERS = 5  # the hour's four, and the manifest itself


class Pair(NamedTuple):
    """A file that a transform wrote, and the files that may be what it was made of."""

    output: str
    inputs: tuple[str, ...]


def pairs_of(
    stream: BinaryIO, *, source: str, hour: datetime, list_objects: ListObjects, open_: OpenObject
) -> Iterator[Pair]:
    """Find the inputs of the files that a manifest of outputs lists.

    Parameters
    ----------
    stream : binary file
        The manifest.
    source : str
        Its URI, which ends with ``output/yyyy/mm/dd/hh/`` and a name.
    hour : datetime
        The hour in it.
    list_objects, open_ : callable
        List the URIs that start with one, and open the object at one.

    Raises
    ------
    CaptureError
        If a manifest is none, or no manifest of inputs of that hour lists the input of a file.
    """
    folder = _inputs_beside(source, hour)
    known: dict[str, None] = {}
    for uri in list_objects(folder):
        if uri.endswith(".json"):
            with open_(uri) as manifest:
                known.update(dict.fromkeys(read_manifest(manifest, source=uri)))
    prefix, names = read_entries(stream, source=source)
    for name in names:
        inputs = _inputs_of(name or prefix.rpartition("/")[2], known)
        if not inputs:
            raise CaptureError(
                f"{source}: no manifest in {folder} lists what {prefix}{name} was made of. It may "
                "still come; else set capture.manifests to output or input to read one side alone."
            )
        yield Pair(prefix + name, inputs)


def _inputs_beside(source: str, hour: datetime) -> str:
    root, *folders = source.rsplit("/", _FOLDERS)
    if len(folders) != _FOLDERS or root.rpartition("/")[2] != "output":
        raise CaptureError(
            f"{source}: where capture.manifests is both, a manifest is at output/yyyy/mm/dd/hh/, "
            "so that those of the inputs can be found beside it"
        )
    return f"{root.removesuffix('output')}input/{hour:%Y/%m/%d/%H}/"


def _inputs_of(output: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the inputs with the name of an output.

    Examples
    --------
    >>> _inputs_of("eu/x.csv.out", ["s3://b/in/eu/x.csv", "s3://b/in/us/x.csv"])
    ('s3://b/in/eu/x.csv',)
    """
    if not output.endswith(_SUFFIX):
        return ()
    name = f"/{output.removesuffix(_SUFFIX)}"
    return tuple(uri for uri in known if uri.endswith(name))


def paired_calls(
    pair: Pair, *, open_: OpenObject, hour: datetime, rejects: Rejects
) -> Iterator[tuple[int, Call, int]]:
    """Read a pair of files, one call a line; as ``batch_transform.calls_of_lines``.

    Nothing is read if it is not certain which lines belong together: all lines of the output are
    rejected then.

    Raises
    ------
    CaptureError
        If a file cannot be read, or the output holds its input already.
    """
    output, inputs = pair
    written = _count(output, open_)
    if len(inputs) > 1:
        reason, excerpt = "several inputs have the output's name", ", ".join(inputs)
    else:
        given = _count(inputs[0], open_)
        reason, excerpt = "input and output disagree on lines", f"{inputs[0]}: {given}: {written}"
        if given == written:
            yield from _calls(inputs[0], output, open_, hour, rejects)
            return
    rejects.add(reason=reason, source=output, line=1, excerpt=excerpt, count=max(written, 1))


def _count(uri: str, open_: OpenObject) -> int:
    rejects = Rejects()
    with open_(uri) as stream:
        count = sum(1 for _ in _units(stream, uri, rejects)[1])
    if rejects.total:
        raise CaptureError(f"{uri}: a line of it is too long, so that lines cannot be paired")
    return count


def _calls(
    given: str, output: str, open_: OpenObject, hour: datetime, rejects: Rejects
) -> Iterator[tuple[int, Call, int]]:
    moments = Moments()
    with open_(given) as first, open_(output) as second:
        given_json, inputs = _units(first, given, rejects)
        output_json, outputs = _units(second, output, rejects)
        for (_, line), (number, answer) in zip(inputs, outputs, strict=True):
            try:
                returned, metadata = _returned(answer, output_json, moments, output)
                side = Side(data=_text_of(line), encoding="JSON" if given_json else "CSV")
            except PayloadError as error:
                excerpt = answer[:500].decode("utf-8", errors="replace")
                rejects.add(reason=str(error), source=output, line=number, excerpt=excerpt)
                continue
            call = Call(
                captureData=Sides(batchTransformInput=side, batchTransformOutput=returned),
                eventMetadata={"inferenceTime": format_time(hour), **metadata},
            )
            yield number, call, len(line) + len(answer)


def _returned(
    answer: bytes, as_json: bool, moments: Moments, source: str
) -> tuple[Side, dict[str, Any]]:
    """Part an output's line from the id and the time that ``GenerateInferenceId`` adds."""
    text = _text_of(answer)
    if not as_json:
        text, metadata = without_ids(text, moments)
        return Side(data=text, encoding="CSV"), metadata
    value = json_value(text)
    metadata = take_ids(value)
    joined, returned = split_joined(value)
    if joined is not None:
        raise CaptureError(
            f"{source}: it holds its input already (JoinSource): set capture.manifests to output"
        )
    return Side(data=returned, encoding="JSON"), metadata


def _units(
    stream: BinaryIO, source: str, rejects: Rejects
) -> tuple[bool, Iterator[tuple[int, bytes]]]:
    """Return whether a file is JSON, and its lines that are not blank or its one document."""
    lines = read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES)
    as_json, chunks = is_json(lines)
    return as_json, _numbered(_whole(chunks) if as_json else chunks)


def _numbered(chunks: Iterable[Lines]) -> Iterator[tuple[int, bytes]]:
    for chunk in chunks:
        for number, line in enumerate(chunk.lines, chunk.first):
            if line.strip():
                yield number, line.rstrip(b"\r")


def _whole(chunks: Iterator[Lines]) -> Iterator[Lines]:
    """Put the lines of a JSON document that spans several together; JSON Lines stay as they are."""
    held: list[Lines] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk.block)
        first = next((line for line in held[0].lines if line.strip()), b"")
        if size > MAX_DOCUMENT_BYTES or _is_document(first):
            return chain(held, chunks)
    whole = b" ".join(line.rstrip(b"\r") for chunk in held for line in chunk.lines)
    if _is_document(whole):
        return iter([Lines(first=held[0].first, lines=[whole])])
    return iter(held)


def _is_document(text: bytes) -> bool:
    try:
        json_value(_text_of(text))
    except PayloadError:
        return False
    return True


def _text_of(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError("not utf-8") from error
