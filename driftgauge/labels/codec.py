"""Predictions, labels, samples and their counts as bytes: checked, compressed, version by version.

A file is four letters that say what it is, a byte for the version, a checksum of the rest, and
MessagePack. Ids are random bits and stand as they are; all else is split into planes of bytes and
compressed. Equal contents give equal bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import fields
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import LabelError
from driftgauge.labels.blocks import (
    MOST_ROWS,
    Damaged,
    PackedColumn,
    pack_column,
    pack_integers,
    unpack_column,
    unpack_integers,
)
from driftgauge.labels.identity import ID_BYTES, ID_TYPE, run_starts
from driftgauge.labels.predictions import Predictions
from driftgauge.labels.sample import SampledRows
from driftgauge.labels.standing import DELAY_BINS, LabelCounts
from driftgauge.labels.truth import Labels, LabelSource

_VERSION = 1
_CHECK_BYTES = 8
_DIGEST_BYTES = 16
_COMPRESSION = 6
_MOST_BYTES = 1 << 30
_LATEST = 1 << 40
_PREDICTIONS, _LABELS, _SAMPLE, _COUNTS = b"DGPS", b"DGLS", b"DGSR", b"DGLC"
_REMEDY = {
    _PREDICTIONS: ("predictions", "delete the object and profile its capture again"),
    _LABELS: ("labels", "delete the object and upload its ground truth again"),
    _SAMPLE: ("a sample of rows", "delete the object and profile its capture again"),
    _COUNTS: ("counts of labels", "evaluate the window again"),
}
T = TypeVar("T")


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    body: bytes
    ids: bytes = b""
    parts: bytes = b""


class _Predictions(msgspec.Struct, array_like=True, gc=False):
    runs: bytes
    row: bytes
    size: bytes
    first_time: int
    times: bytes
    columns: dict[str, PackedColumn]


class _Labels(msgspec.Struct, array_like=True, gc=False):
    runs: bytes
    size: bytes
    source: bytes
    line: bytes
    values: PackedColumn
    sources: list[tuple[int, int, str]]


class _Sample(msgspec.Struct, array_like=True, gc=False):
    rows: int
    keys: bytes
    population: int
    most: int
    threshold: int | None
    columns: dict[str, PackedColumn]


class _Counts(msgspec.Struct, array_like=True, gc=False):
    numbers: list[int]
    delays: list[int]


def encode_predictions(predictions: Predictions, *, parts: Iterable[str] = ()) -> bytes:
    """Write predictions.

    Parameters
    ----------
    predictions : Predictions
    parts : iterable of str
        Digests, of 32 hexadecimal digits, of the capture objects whose predictions these are the
        sum of, if they are one.
    """
    starts = run_starts(predictions.ids)
    first = int(predictions.times.min(initial=2**62)) if predictions.rows else 0
    body = _Predictions(
        runs=_pack_runs(starts, predictions.rows),
        row=pack_integers(predictions.row),
        size=pack_integers(predictions.size),
        first_time=first,
        times=pack_integers(predictions.times - first),
        columns={name: pack_column(column) for name, column in predictions.columns.items()},
    )
    merged = b"".join(map(bytes.fromhex, sorted(set(parts))))
    return _sealed(_PREDICTIONS, body, ids=predictions.ids[starts].tobytes(), parts=merged)


def decode_predictions(data: bytes) -> Predictions:
    """Read predictions.

    Raises
    ------
    LabelError
        If the bytes are no predictions that this version reads, or are damaged.
    """
    try:
        envelope = _opened(_PREDICTIONS, data)
        stored = _body(envelope, _Predictions)
        ids = _unpack_ids(envelope.ids, stored.runs)
        row = unpack_integers(stored.row, ids.shape[0]).astype(np.uint32)
        size = unpack_integers(stored.size, ids.shape[0]).astype(np.uint32)
        if (row >= size).any():
            raise Damaged("a row behind the end of its record")
        times = unpack_integers(stored.times, ids.shape[0]) + stored.first_time
        rows = ids.shape[0]
        columns = {name: unpack_column(one, rows) for name, one in stored.columns.items()}
    except (Damaged, OverflowError) as error:
        raise _damaged(_PREDICTIONS, error) from error
    return Predictions(ids=ids, row=row, size=size, times=times, columns=columns)


def decode_record_ids(data: bytes) -> NDArray[np.bytes_]:
    """Read the ids of stored predictions alone: sorted, each once.

    Raises
    ------
    LabelError
        As ``decode_predictions``, as far as the ids are concerned.
    """
    try:
        return _distinct_ids(_opened(_PREDICTIONS, data).ids)
    except Damaged as error:
        raise _damaged(_PREDICTIONS, error) from error


def decode_parts(data: bytes) -> frozenset[str]:
    """Read which capture objects stored predictions are the sum of; empty if of one.

    Raises
    ------
    LabelError
        As ``decode_predictions``.
    """
    try:
        parts = _opened(_PREDICTIONS, data).parts
        if len(parts) % _DIGEST_BYTES:
            raise Damaged("no whole number of digests")
    except Damaged as error:
        raise _damaged(_PREDICTIONS, error) from error
    return frozenset(
        parts[at : at + _DIGEST_BYTES].hex() for at in range(0, len(parts), _DIGEST_BYTES)
    )


def encode_labels(labels: Labels) -> bytes:
    """Write labels."""
    starts = run_starts(labels.ids)
    body = _Labels(
        runs=_pack_runs(starts, labels.records),
        size=pack_integers(labels.size),
        source=pack_integers(labels.source),
        line=pack_integers(labels.line),
        values=pack_column(labels.values),
        sources=[(one.collected, one.modified, one.digest) for one in labels.sources],
    )
    return _sealed(_LABELS, body, ids=labels.ids[starts].tobytes())


def decode_labels(data: bytes) -> Labels:
    """Read labels.

    Raises
    ------
    LabelError
        If the bytes are no labels that this version reads, or are damaged.
    """
    try:
        envelope = _opened(_LABELS, data)
        stored = _body(envelope, _Labels)
        ids = _unpack_ids(envelope.ids, stored.runs)
        size = unpack_integers(stored.size, ids.shape[0])
        total = int(size.sum())
        if total > MOST_ROWS:
            raise Damaged("more values than a file can hold")
        source = unpack_integers(stored.source, ids.shape[0])
        if (source >= len(stored.sources)).any():
            raise Damaged("an entry of no object")
        sources = tuple(
            LabelSource(collected=collected, modified=modified, digest=digest)
            for collected, modified, digest in stored.sources
        )
        if list(sources) != sorted(set(sources)):
            raise Damaged("objects out of order")
        if any(abs(one.collected) > _LATEST for one in sources):
            raise Damaged("an impossible time")
        line = unpack_integers(stored.line, ids.shape[0])
        _check_entries(ids, (source << 32) | line)
        values = unpack_column(stored.values, total)
    except (Damaged, OverflowError) as error:
        raise _damaged(_LABELS, error) from error
    return Labels(
        ids=ids,
        size=size.astype(np.uint32),
        source=source.astype(np.int32),
        line=line.astype(np.uint32),
        values=values,
        sources=sources,
    )


def encode_sampled_rows(sample: SampledRows) -> bytes:
    """Write a sample of rows."""
    body = _Sample(
        rows=sample.rows,
        keys=sample.keys.astype("<u8").tobytes(),
        population=sample.population,
        most=sample.most,
        threshold=sample.threshold,
        columns={name: pack_column(column) for name, column in sample.columns.items()},
    )
    return _sealed(_SAMPLE, body)


def decode_sampled_rows(data: bytes) -> SampledRows:
    """Read a sample of rows.

    Raises
    ------
    LabelError
        If the bytes are no sample that this version reads, or are damaged.
    """
    try:
        stored = _body(_opened(_SAMPLE, data), _Sample)
        if not 0 <= stored.rows <= min(stored.most, stored.population):
            raise Damaged("an impossible number of rows")
        if len(stored.keys) != 8 * stored.rows:
            raise Damaged("not one hash a row")
        keys = np.frombuffer(stored.keys, dtype="<u8").astype(np.uint64)
        limit = 2**64 if stored.threshold is None else stored.threshold
        if not 0 <= limit <= 2**64 or (keys[1:] < keys[:-1]).any():
            raise Damaged("hashes out of order")
        if stored.rows and int(keys[-1]) >= limit:
            raise Damaged("a hash above the threshold")
        columns = {name: unpack_column(one, stored.rows) for name, one in stored.columns.items()}
    except Damaged as error:
        raise _damaged(_SAMPLE, error) from error
    return SampledRows(
        keys=keys,
        columns=columns,
        population=stored.population,
        most=stored.most,
        threshold=stored.threshold,
    )


def encode_label_counts(counts: LabelCounts) -> bytes:
    """Write counts."""
    numbers = [getattr(counts, name) for name in _NUMBERS]
    return _sealed(_COUNTS, _Counts(numbers=numbers, delays=list(counts.delays)))


def decode_label_counts(data: bytes) -> LabelCounts:
    """Read counts.

    Raises
    ------
    LabelError
        If the bytes are no counts that this version reads, or are damaged.
    """
    try:
        stored = _body(_opened(_COUNTS, data), _Counts)
        if len(stored.numbers) != len(_NUMBERS) or len(stored.delays) != DELAY_BINS:
            raise Damaged("another number of counts")
        if min(*stored.numbers, *stored.delays) < 0:
            raise Damaged("a count below zero")
    except Damaged as error:
        raise _damaged(_COUNTS, error) from error
    numbers = dict(zip(_NUMBERS, stored.numbers, strict=True))
    return LabelCounts(**numbers, delays=tuple(stored.delays))


_NUMBERS = tuple(field.name for field in fields(LabelCounts) if field.name != "delays")


def _sealed(kind: bytes, body: msgspec.Struct, *, ids: bytes = b"", parts: bytes = b"") -> bytes:
    packed = zlib.compress(msgspec.msgpack.encode(body), _COMPRESSION)
    rest = msgspec.msgpack.encode(_Envelope(body=packed, ids=ids, parts=parts))
    return kind + bytes([_VERSION]) + _checksum(rest) + rest


def _checksum(data: bytes | memoryview) -> bytes:
    return blake2b(data, digest_size=_CHECK_BYTES).digest()


def _opened(kind: bytes, data: bytes) -> _Envelope:
    what, _ = _REMEDY[kind]
    head = len(kind) + 1
    if data[: len(kind)] != kind or len(data) < head + _CHECK_BYTES:
        raise LabelError(f"these bytes are not {what}: is this the right object?")
    if data[len(kind)] != _VERSION:
        raise LabelError(
            f"{what} in format {data[len(kind)]}, this driftgauge reads format {_VERSION}: "
            "install the driftgauge that wrote it"
        )
    rest = memoryview(data)[head + _CHECK_BYTES :]
    if _checksum(rest) != data[head : head + _CHECK_BYTES]:
        raise Damaged("the checksum is another one")
    return _decoded(rest, _Envelope)


def _body(envelope: _Envelope, kind: type[T]) -> T:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(envelope.body, _MOST_BYTES)
    except zlib.error as error:
        raise Damaged(str(error)) from error
    if not inflater.eof or inflater.unused_data:
        raise Damaged("it is cut off, or goes on after its end")
    return _decoded(body, kind)


def _decoded(data: Any, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(str(error)) from error


def _damaged(kind: bytes, error: Exception) -> LabelError:
    what, remedy = _REMEDY[kind]
    return LabelError(f"{what}: the stored bytes are damaged ({error}): {remedy}")


def _pack_runs(starts: NDArray[np.intp], total: int) -> bytes:
    return pack_integers(np.diff(starts, append=total))


def _unpack_ids(distinct: bytes, packed: bytes) -> NDArray[np.bytes_]:
    """Return sorted ids from the distinct ones and how often each stands."""
    ids = _distinct_ids(distinct)
    runs = unpack_integers(packed, ids.shape[0])
    if (runs < 1).any() or int(runs.sum()) > MOST_ROWS:
        raise Damaged("an impossible number of rows")
    return np.repeat(ids, runs)


def _distinct_ids(data: bytes) -> NDArray[np.bytes_]:
    if len(data) % ID_BYTES:
        raise Damaged("no whole number of ids")
    ids = np.frombuffer(data, dtype=ID_TYPE)
    if (ids[1:] <= ids[:-1]).any():
        raise Damaged("ids out of order")
    return ids


def _check_entries(ids: NDArray[np.bytes_], key: NDArray[np.int64]) -> None:
    if ((ids[1:] == ids[:-1]) & (key[1:] <= key[:-1])).any():
        raise Damaged("entries out of order")
