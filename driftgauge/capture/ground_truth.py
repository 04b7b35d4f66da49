"""Ground truth: the labels of earlier predictions, as Model Monitor's merge job reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from driftgauge.capture.lines import CHUNK_BYTES, read_lines
from driftgauge.capture.payload import PayloadError, Row, read_payload
from driftgauge.capture.types import Cell, read_scalar
from driftgauge.columns import Rejects
from driftgauge.errors import CaptureError


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """The labels of one record.

    Attributes
    ----------
    event_id : str
        The ``inferenceId`` of the call if the caller gave one, else its ``eventId``.
    labels : tuple of str or float
        One per row of the record, in order.
    """

    event_id: str
    labels: tuple[str | float, ...]


class _Data(msgspec.Struct, gc=False):
    data: Any = None
    encoding: Any = None


class _Metadata(msgspec.Struct, gc=False):
    eventId: Any = None  # noqa: N815


class _Line(msgspec.Struct, gc=False):
    groundTruthData: _Data | None = None  # noqa: N815
    eventMetadata: _Metadata | None = None  # noqa: N815


def read_ground_truth(stream: BinaryIO, *, source: str, rejects: Rejects) -> Iterator[GroundTruth]:
    r"""Read labels: JSON Lines, plain or gzip.

    Parameters
    ----------
    stream : binary file
        One object a line; the label's payload is CSV, JSON or JSON Lines, with one row for each
        row of the record it belongs to.
    source : str
        The object's name, for messages and samples.
    rejects : Rejects
        Is added what cannot be used, by reason; the unit is a record.

    Raises
    ------
    CaptureError
        If the object as a whole is unreadable: corrupt gzip, or not a single line of JSON.

    Examples
    --------
    >>> import io
    >>> line = (
    ...     b'{"groundTruthData":{"data":"1\\n0","encoding":"CSV"},'
    ...     b'"eventMetadata":{"eventId":"a"}}'
    ... )
    >>> list(read_ground_truth(io.BytesIO(line), source="s", rejects=Rejects()))
    [GroundTruth(event_id='a', labels=(1.0, 0.0))]
    """
    decoder = msgspec.json.Decoder(_Line)
    seen = usable = 0
    for chunk in read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES):
        for number, line in enumerate(chunk.lines, chunk.first):
            if not line.strip():
                continue
            seen += 1
            try:
                decoded = decoder.decode(line)
                usable += 1
                truth = _truth_of(decoded)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, PayloadError) as error:
                rejects.add(
                    reason=str(error) if isinstance(error, PayloadError) else "not json",
                    source=source,
                    line=number,
                    excerpt=line[:500].decode("utf-8", errors="replace"),
                )
            else:
                yield truth
    if seen and not usable:
        raise CaptureError(
            f"{source}: not a single line is JSON, so these are no labels. Check the prefix that "
            "the monitor reads."
        )


def _truth_of(line: _Line) -> GroundTruth:
    if line.groundTruthData is None or line.groundTruthData.data is None:
        raise PayloadError("not ground truth")
    event_id = None if line.eventMetadata is None else line.eventMetadata.eventId
    if not isinstance(event_id, str) or not event_id:
        raise PayloadError("no event id")
    rows = read_payload(line.groundTruthData.data, line.groundTruthData.encoding)
    if not rows:
        raise PayloadError("no rows")
    return GroundTruth(event_id=event_id, labels=tuple(_label_of(row) for row in rows))


def _label_of(row: Row) -> str | float:
    values = [*(row.cells or ()), *(row.fields or {}).values()]
    if row.fields and "label" in row.fields:
        values = [row.fields["label"]]
    if len(values) != 1:
        raise PayloadError("not one label a row")
    cell: Cell = read_scalar(values[0])
    if cell.is_missing:
        raise PayloadError("label is missing")
    return cell.word or cell.number
