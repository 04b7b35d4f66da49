"""Ground truth: the labels of earlier predictions, as Model Monitor's merge job reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from driftgauge.capture.envelope import Envelopes, Payload
from driftgauge.capture.lines import CHUNK_BYTES, read_lines
from driftgauge.capture.payload import PayloadError, Row, read_payload
from driftgauge.capture.types import Cell, read_scalar
from driftgauge.columns import Rejects


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


class _Metadata(msgspec.Struct, gc=False):
    eventId: Any = None  # noqa: N815


class _Line(msgspec.Struct, gc=False):
    groundTruthData: Payload | None = None  # noqa: N815
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
    envelopes = Envelopes(_Line, unlike="not ground truth", source=source, rejects=rejects)
    for chunk in read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES):
        for line, number in zip(*envelopes.decode(chunk.lines, chunk.first), strict=True):
            try:
                truth = _truth_of(line)
            except PayloadError as error:
                data = None if line.groundTruthData is None else line.groundTruthData.data
                rejects.add(reason=str(error), source=source, line=number, excerpt=str(data)[:500])
            else:
                yield truth
    envelopes.check()


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
