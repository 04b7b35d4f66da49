"""Captured calls with everything they say, and their way to batches of columns.

``reader`` reads what profiles need and nothing more. Hooks, selections, merged records and
batch transforms need the rest of a record: this is their, slower, way. Both end in the same
``RecordReader``, so they agree on what a row is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from driftgauge.capture.documents import documents_of, inline_rows
from driftgauge.capture.envelope import CaptureData, EventMetadata, Moments, Payload, Record
from driftgauge.capture.hooks import EventMetadata as HookMetadata
from driftgauge.capture.hooks import InferenceRecord, RecordSide
from driftgauge.capture.payload import PayloadError, rows_of_json
from driftgauge.capture.records import Names, RecordReader, names_of
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Rejects, RowBatch

INFERENCE_ID = "SageMakerInferenceId"
INFERENCE_TIME = "SageMakerInferenceTime"
INPUT = "SageMakerInput"
OUTPUT = "SageMakerOutput"

_BATCH_BYTES = 2 * 1024 * 1024


class Side(msgspec.Struct, gc=False):
    """One side of a call."""

    data: Any = None
    encoding: Any = None
    observedContentType: Any = None  # noqa: N815
    mode: Any = None


class Sides(msgspec.Struct, gc=False):
    """What went in and what came out, of an endpoint or of a batch transform."""

    endpointInput: Side | None = None  # noqa: N815
    endpointOutput: Side | None = None  # noqa: N815
    batchTransformInput: Side | None = None  # noqa: N815
    batchTransformOutput: Side | None = None  # noqa: N815


class Call(msgspec.Struct, gc=False):
    """One line of a capture, of merged records or of a transform's output."""

    captureData: Sides | None = None  # noqa: N815
    eventMetadata: dict[str, Any] | None = None  # noqa: N815
    groundTruthData: Side | None = None  # noqa: N815
    eventVersion: Any = None  # noqa: N815


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The two sides of a call; ``joined`` is a transform's output that may hold both."""

    given: Side | None = None
    returned: Side | None = None
    joined: Side | None = None


def exchange_of(call: Call) -> Exchange:
    """Return the sides of a call, whatever made it.

    Raises
    ------
    PayloadError
        If it has no capture data.
    """
    sides = call.captureData
    if sides is None:
        raise PayloadError("not a capture record")
    given = _present(sides.endpointInput) or _present(sides.batchTransformInput)
    transformed = _present(sides.batchTransformOutput)
    if transformed is not None and given is None:
        return Exchange(joined=transformed)
    return Exchange(given=given, returned=_present(sides.endpointOutput) or transformed)


def _present(side: Side | None) -> Side | None:
    return None if side is None or side.data is None else side


def split_joined(value: Any) -> tuple[Any, Any]:
    """Part a document of a transform's output into what was given and what was returned.

    Where input was joined (``JoinSource``), the output is below ``SageMakerOutput`` beside the
    input's own keys, or the input is below ``SageMakerInput`` if it has none. None stands for
    nothing.

    Examples
    --------
    >>> split_joined({"SageMakerOutput": {"score": 0.5}, "features": [1, 2]})
    ({'features': [1, 2]}, {'score': 0.5})
    >>> split_joined({"score": 0.5})
    (None, {'score': 0.5})
    """
    if not isinstance(value, dict):
        return None, value
    rest = {k: v for k, v in value.items() if k not in (INFERENCE_ID, INFERENCE_TIME, OUTPUT)}
    if OUTPUT not in value:
        return None, rest
    if list(rest) == [INPUT]:
        return rest[INPUT], value[OUTPUT]
    return rest or None, value[OUTPUT]


def sides_of(exchange: Exchange, *, schema: CaptureSchema) -> Exchange:
    """Return an exchange with a joined output parted into its two sides."""
    if exchange.joined is None:
        return exchange
    documents = documents_of(exchange.joined.data, exchange.joined.encoding)
    if documents.rows is not None:
        rows = [
            dict(zip(names_of_width(len(row), schema), row, strict=True)) for row in documents.rows
        ]
        outputs = set(schema.outputs or ())
        given_rows = [{k: v for k, v in row.items() if k not in outputs} for row in rows]
        returned_rows = [{k: v for k, v in row.items() if k in outputs} for row in rows]
        return Exchange(
            given=Side(data=given_rows) if any(given_rows) else None,
            returned=Side(data=returned_rows) if any(returned_rows) else None,
        )
    parts = [split_joined(value) for value in documents.values or ()]
    given = [inline_rows(rows_of_json(part)) for part, _ in parts if part is not None]
    returned = [inline_rows(rows_of_json(part)) for _, part in parts if part is not None]
    return Exchange(
        given=Side(data=[row for rows in given for row in rows]) if given else None,
        returned=Side(data=[row for rows in returned for row in rows]) if returned else None,
    )


def names_of_width(width: int, schema: CaptureSchema) -> tuple[str, ...]:
    """Name the columns of a transform's CSV output by how many there are.

    It holds what was returned, or the input and then what was returned (``JoinSource``).

    Raises
    ------
    PayloadError
        If columns are known, and there are neither so many outputs, nor inputs, nor both.

    Examples
    --------
    >>> names_of_width(3, CaptureSchema(inputs=("age", "plan"), outputs=("score",)))
    ('age', 'plan', 'score')
    """
    inputs, outputs = schema.inputs or (), schema.outputs or ()
    known = [names for names in (outputs, inputs, (*inputs, *outputs), schema.columns) if names]
    if not known:
        return tuple(f"_c{i}" for i in range(width))
    for names in known:
        if len(names) == width:
            return names
    raise PayloadError("wrong number of columns")


def inference_record(call: Call) -> InferenceRecord:
    """Return a call as hooks are given it."""
    sides = call.captureData or Sides()
    metadata = call.eventMetadata or {}
    attributes = metadata.get("customAttributes")
    return InferenceRecord(
        endpoint_input=_hook_side(sides.endpointInput),
        endpoint_output=_hook_side(sides.endpointOutput),
        batch_transform_input=_hook_side(sides.batchTransformInput),
        batch_transform_output=_hook_side(sides.batchTransformOutput),
        ground_truth=_hook_side(call.groundTruthData),
        event_metadata=HookMetadata(
            event_id=metadata.get("eventId"),
            inference_id=metadata.get("inferenceId"),
            inference_time=metadata.get("inferenceTime"),
            custom_attributes=attributes,
        ),
        event_version=call.eventVersion,
    )


def _hook_side(side: Side | None) -> RecordSide | None:
    if side is None:
        return None
    return RecordSide(
        data=side.data,
        encoding=side.encoding,
        observed_content_type=side.observedContentType,
        mode=side.mode,
    )


@dataclass(kw_only=True)
class _Waiting:
    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class CallTable:
    """Calls on their way to batches, by variant."""

    def __init__(self, *, schema: CaptureSchema, source: str, rejects: Rejects) -> None:
        self._schema = schema
        self._reader = RecordReader(
            schema=schema, source=source, rejects=rejects, moments=Moments()
        )
        self._waiting: dict[str, _Waiting] = {}
        self._names: dict[str, Names] = {}
        self._size = 0

    def add(
        self, variant: str, exchange: Exchange, metadata: dict[str, Any], *, number: int, size: int
    ) -> Iterator[tuple[str, RowBatch]]:
        """Add a call; yields batches when enough has come together."""
        waiting = self._waiting.setdefault(variant, _Waiting())
        waiting.records.append(
            Record(
                captureData=CaptureData(
                    endpointInput=_payload(exchange.given),
                    endpointOutput=_payload(exchange.returned),
                ),
                eventMetadata=EventMetadata(
                    eventId=metadata.get("eventId"),
                    inferenceId=metadata.get("inferenceId"),
                    inferenceTime=metadata.get("inferenceTime"),
                ),
            )
        )
        waiting.numbers.append(number)
        self._size += size
        if self._size >= _BATCH_BYTES:
            yield from self.batches()

    def batches(self) -> Iterator[tuple[str, RowBatch]]:
        """Yield all that is waiting."""
        waiting, self._waiting, self._size = self._waiting, {}, 0
        for variant, some in waiting.items():
            names = names_of(some.records, schema=self._schema, known=self._names.get(variant))
            self._names[variant] = names
            reading = self._reader.read(some.records, some.numbers, names)
            if reading.batch is not None:
                yield variant, reading.batch


def _payload(side: Side | None) -> Payload | None:
    return None if side is None else Payload(data=side.data, encoding=side.encoding)
