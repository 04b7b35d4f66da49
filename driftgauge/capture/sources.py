"""One way into all captures: whatever a monitor reads, batches of columns come out.

A plain real-time capture goes straight through ``read_capture``. Everything else (selections,
hooks, target models, merged records, batch transforms, plain predictions) is read here and by the
modules this one puts together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import msgspec

from driftgauge.capture.batch_transform import (
    calls_of_lines,
    is_json,
    read_csv_file,
    read_manifest,
)
from driftgauge.capture.calls import (
    Call,
    CallTable,
    Exchange,
    Side,
    exchange_of,
    inference_record,
    sides_of,
)
from driftgauge.capture.envelope import Envelopes
from driftgauge.capture.hooks import HookRecordError, Preprocessor
from driftgauge.capture.lines import CHUNK_BYTES, read_lines
from driftgauge.capture.locations import Location, form_of
from driftgauge.capture.payload import PayloadError
from driftgauge.capture.positions import excluded_columns, schema_of
from driftgauge.capture.predictions import PredictionReader
from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.selection import Selector, target_model_of
from driftgauge.capture.settings import CaptureSettings
from driftgauge.capture.text import measure_texts
from driftgauge.capture.text_names import captured_names, text_names
from driftgauge.capture.transform_pairs import ListObjects, OpenObject, paired_calls, pairs_of
from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import CaptureError
from driftgauge.windows import format_time

Batches = Iterator[tuple[str, RowBatch]]


class SourceReader:
    """Reader of one monitor's captures.

    Parameters
    ----------
    capture : CaptureSettings
        How they are read.
    variants : sequence of str
        The monitor's variants.
    columns, outputs : sequence of str
        All columns of the baseline in its order, and those of them that are outputs.
    open_object : callable
        Opens the object at an ``s3://`` URI that a manifest names.
    list_objects : callable
        Lists the URIs that start with one: the manifests of inputs beside those of outputs.
    preprocess : bytes or None
        The script of ``capture.hooks.preprocess``.

    Raises
    ------
    HookError
        If the script cannot be loaded.
    """

    def __init__(
        self,
        *,
        capture: CaptureSettings,
        variants: Sequence[str],
        columns: Sequence[str],
        outputs: Sequence[str],
        open_object: OpenObject,
        list_objects: ListObjects,
        preprocess: bytes | None = None,
    ) -> None:
        self._capture = capture
        self._variants = tuple(variants)
        self._columns = frozenset(columns)
        self._excluded = excluded_columns(capture, columns=columns, outputs=outputs)
        self._has_outputs = bool(outputs)
        self._texts = text_names(columns)
        self._open = open_object
        self._list = list_objects
        self._schema = schema_of(capture, columns=columns, outputs=outputs)
        self._selector = (
            Selector(capture.select, schema=self._schema) if capture.select.has_attributes else None
        )
        self._hook = None
        if preprocess is not None:
            names = captured_names(columns)
            inputs = tuple(name for name in names if name not in captured_names(outputs))
            self._hook = Preprocessor(
                preprocess, name=capture.hooks.preprocess or "preprocess", columns=(names, inputs)
            )

    def read(
        self,
        stream: BinaryIO,
        *,
        key: str,
        location: Location,
        source: str,
        rejects: Rejects,
    ) -> Batches:
        """Read one object.

        Parameters
        ----------
        stream : binary file
            Its bytes.
        key : str
            Its key or file name: the name's end tells the format of plain predictions.
        location : Location
            What the key says.
        source : str
            Its name, for messages and samples.
        rejects : Rejects
            Is added what cannot be used, and counts what a hook drops.

        Yields
        ------
        variant : str
        batch : RowBatch

        Raises
        ------
        CaptureError
            If the object as a whole is unreadable.
        """
        for variant, batch in self._read(stream, key, location, source, rejects):
            yield variant, self._finished(batch)

    def _read(
        self, stream: BinaryIO, key: str, location: Location, source: str, rejects: Rejects
    ) -> Batches:
        capture = self._capture
        variant = location.variant or self._variants[0]
        if capture.format == "predictions":
            plain = PredictionReader(capture.mapping, variants=self._variants)
            yield from plain.read(
                stream, form=form_of(key), hour=location.hour, source=source, rejects=rejects
            )
        elif capture.format == "batch-transform":
            if location.hour is None:
                raise CaptureError(
                    f"{source}: the key of a manifest ends with yyyy/mm/dd/hh/ and a name"
                )
            if capture.manifests == "both":
                yield from self._paired(stream, variant, location, source, rejects)
                return
            for uri in read_manifest(stream, source=source):
                yield from self._transformed(uri, variant, location, rejects)
        elif capture.format == "sagemaker" and not (
            self._hook or self._selector or capture.target_model
        ):
            for batch in read_capture(stream, schema=self._schema, source=source, rejects=rejects):
                yield variant, batch
        else:
            calls = _calls(stream, source=source, rejects=rejects)
            yield from self._table_of(calls, variant, location, source, rejects)

    def _transformed(self, uri: str, variant: str, location: Location, rejects: Rejects) -> Batches:
        """Read one file that a manifest lists."""
        side = self._capture.manifest_side
        hour = location.hour
        if hour is None:
            return
        with self._open(uri) as stream:
            lines = read_lines(stream, source=uri, rejects=rejects, chunk_bytes=CHUNK_BYTES)
            as_json, chunks = is_json(lines)
            if not as_json and self._hook is None and self._selector is None:
                yield from read_csv_file(
                    chunks,
                    side=side,
                    schema=self._schema,
                    hour=hour,
                    variant=variant,
                    source=uri,
                    rejects=rejects,
                )
                return
            read = calls_of_lines(
                chunks, as_json=as_json, side=side, hour=hour, source=uri, rejects=rejects
            )
            calls = ((number, call, None, size) for number, call, size in read)
            yield from self._table_of(calls, variant, location, uri, rejects)

    def _paired(
        self, manifest: BinaryIO, variant: str, location: Location, source: str, rejects: Rejects
    ) -> Batches:
        """Read the files that a manifest lists together with what they were made of."""
        hour = location.hour
        if hour is None:
            return
        for pair in pairs_of(
            manifest, source=source, hour=hour, list_objects=self._list, open_=self._open
        ):
            read = paired_calls(pair, open_=self._open, hour=hour, rejects=rejects)
            calls = ((number, call, None, size) for number, call, size in read)
            yield from self._table_of(calls, variant, location, pair.output, rejects)

    def _table_of(
        self,
        calls: Iterator[tuple[int, Call, dict[str, Any] | None, int]],
        variant: str,
        location: Location,
        source: str,
        rejects: Rejects,
    ) -> Batches:
        """Turn calls into batches: hook, selection or as they are."""
        schema = CaptureSchema() if self._hook else self._schema
        table = CallTable(schema=schema, source=source, rejects=rejects)
        for number, call, raw, size in calls:
            metadata = dict(call.eventMetadata or {})
            if self._capture.format == "merged" and location.hour is not None:
                # Merged records of a batch transform have lost their time.
                metadata.setdefault("inferenceTime", format_time(location.hour))
            try:
                owner = self._variant_of(variant, raw)
                exchange = self._exchange_of(call)
            except HookRecordError as error:
                who = metadata.get("inferenceId") or metadata.get("eventId") or "without an id"
                rejects.add(
                    reason="preprocess hook failed",
                    source=source,
                    line=number,
                    excerpt=f"record {who}: {error}",
                )
            except PayloadError as error:
                rejects.add(reason=str(error), source=source, line=number, excerpt=_excerpt(call))
            else:
                if exchange is None:
                    rejects.dropped += 1
                else:
                    yield from table.add(owner, exchange, metadata, number=number, size=size)
        yield from table.batches()

    def _exchange_of(self, call: Call) -> Exchange | None:
        """Return the rows of a call; None if the hook drops it."""
        if self._hook is not None:
            rows = self._hook.rows(inference_record(call))
            return Exchange(given=Side(data=rows)) if rows else None
        exchange = exchange_of(call)
        if self._selector is not None:
            return self._selector.select(exchange)
        return sides_of(exchange, schema=self._schema)

    def _variant_of(self, variant: str, raw: dict[str, Any] | None) -> str:
        """Return the variant of a record, with its target model where there are several."""
        if self._capture.target_model is None or raw is None:
            return variant
        model = target_model_of(self._capture.target_model, raw)
        variant = variant.partition("--")[0]
        name = variant if model is None else f"{variant}--{model}"
        if name not in self._variants:
            raise PayloadError("unknown variant")
        return name

    def _finished(self, batch: RowBatch) -> RowBatch:
        """Measure texts, and leave out what was not asked for and the baseline does not know."""
        columns = dict(batch.columns)
        if self._texts:
            columns = measure_texts(columns, self._texts)
        select = self._capture.select
        optional = {*self._excluded, *([select.predicted_label] if select.probability else [])}
        columns = {
            name: column
            for name, column in columns.items()
            if name in self._columns or name not in optional
        }
        if not self._has_outputs and self._capture.format != "predictions":
            # Predictions that were not in the training data would only fail the check for
            # extra columns. They come first.
            names = list(columns)
            first = next((i for i, name in enumerate(names) if name in self._columns), 0)
            columns = {name: columns[name] for name in names[first:]}
        return replace(batch, columns=columns)


def _calls(
    stream: BinaryIO, *, source: str, rejects: Rejects
) -> Iterator[tuple[int, Call, dict[str, Any] | None, int]]:
    """Read records with everything they say."""
    envelopes = Envelopes(
        dict[str, Any], unlike="not a capture record", source=source, rejects=rejects
    )
    for chunk in read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES):
        records, numbers = envelopes.decode(chunk.lines, chunk.first)
        size = sum(map(len, chunk.lines)) // max(len(records), 1)
        for record, number in zip(records, numbers, strict=True):
            try:
                call = msgspec.convert(record, type=Call)
            except msgspec.ValidationError:
                rejects.add(
                    reason="not a capture record",
                    source=source,
                    line=number,
                    excerpt=str(record)[:500],
                )
            else:
                yield number, call, record, size
    envelopes.check()


def _excerpt(call: Call) -> str:
    exchange = exchange_of(call) if call.captureData is not None else Exchange()
    sides = (exchange.given, exchange.returned, exchange.joined)
    return " | ".join(str(side.data)[:250] for side in sides if side is not None)
