"""Blocks of an experiment as bytes: what is stored by grain, and added up when it is judged."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import UTC

import msgspec

from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm, Segment, Sums
from driftgauge.experiments.blocks import Block, Blocks, blocks_of
from driftgauge.windows import parse_time

_MAGIC = b"DGXB"
_VERSION = 1
_COMPRESSION = 6
_MOST_BYTES = 1 << 28
# Larger sums come from no number of rows that fits on earth.
_LONGEST_SUM = 512
_MOST_SHIFT = 4096


class _StoredSums(msgspec.Struct, array_like=True, gc=False):
    rows: int
    total: tuple[int, bytes]
    squares: tuple[int, bytes]


class _StoredArm(msgspec.Struct, array_like=True, gc=False):
    requests: int
    metrics: dict[str, _StoredSums]
    segments: list[tuple[str, str, dict[str, _StoredSums]]]


class _StoredBlock(msgspec.Struct, array_like=True, gc=False):
    start: str
    share: float
    champion: _StoredArm
    challenger: _StoredArm


_DECODER = msgspec.msgpack.Decoder(list[_StoredBlock])


def encode_blocks(blocks: Blocks) -> bytes:
    """Write blocks. Equal blocks give equal bytes.

    Examples
    --------
    >>> decode_blocks(encode_blocks(Blocks())) == Blocks()
    True
    """
    stored = [
        _StoredBlock(
            start=block.start.astimezone(UTC).isoformat(),
            share=block.share,
            champion=_store_arm(block.champion),
            challenger=_store_arm(block.challenger),
        )
        for block in blocks
    ]
    payload = zlib.compress(msgspec.msgpack.encode(stored), _COMPRESSION)
    return _MAGIC + bytes([_VERSION]) + payload


def decode_blocks(data: bytes) -> Blocks:
    """Read blocks.

    Raises
    ------
    ExperimentError
        If the bytes are no blocks that this version reads, or are damaged.
    """
    if data[:4] != _MAGIC or data[4:5] != bytes([_VERSION]):
        raise ExperimentError("these bytes are no blocks of an experiment that this version reads")
    try:
        inflating = zlib.decompressobj()
        payload = inflating.decompress(data[5:], _MOST_BYTES)
        if not inflating.eof:
            raise ExperimentError("damaged blocks of an experiment: cut off, or far too large")
        stored = _DECODER.decode(payload)
        return blocks_of(
            Block(
                start=parse_time(block.start),
                share=block.share,
                champion=_read_arm(block.champion),
                challenger=_read_arm(block.challenger),
            )
            for block in stored
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise ExperimentError(f"damaged blocks of an experiment: {error}") from error


def _store_arm(arm: Arm) -> _StoredArm:
    return _StoredArm(
        requests=arm.requests,
        metrics=_store_metrics(arm.metrics),
        segments=[
            (column, category, _store_metrics(arm.segments[column, category]))
            for column, category in sorted(arm.segments)
        ],
    )


def _store_metrics(metrics: Mapping[str, Sums]) -> dict[str, _StoredSums]:
    return {
        name: _StoredSums(
            rows=metrics[name].rows,
            total=_pack(metrics[name].total),
            squares=_pack(metrics[name].squares),
        )
        for name in sorted(metrics)
    }


def _pack(value: int) -> tuple[int, bytes]:
    """Write an integer without the zeros at its end."""
    shift = (value & -value).bit_length() - 1 if value else 0
    value >>= shift
    return shift, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _read_arm(stored: _StoredArm) -> Arm:
    segments: dict[Segment, dict[str, Sums]] = {
        (column, category): _read_metrics(metrics) for column, category, metrics in stored.segments
    }
    if stored.requests < 0:
        raise ExperimentError("damaged blocks of an experiment: fewer than no requests")
    return Arm(requests=stored.requests, metrics=_read_metrics(stored.metrics), segments=segments)


def _read_metrics(stored: dict[str, _StoredSums]) -> dict[str, Sums]:
    return {name: _read_sums(one) for name, one in stored.items()}


def _read_sums(stored: _StoredSums) -> Sums:
    if stored.rows < 0:
        raise ExperimentError("damaged blocks of an experiment: fewer than no rows")
    return Sums(rows=stored.rows, total=_unpack(*stored.total), squares=_unpack(*stored.squares))


def _unpack(shift: int, mantissa: bytes) -> int:
    if not 0 <= shift <= _MOST_SHIFT or len(mantissa) > _LONGEST_SUM:
        raise ExperimentError("damaged blocks of an experiment: a sum is far too large")
    return int.from_bytes(mantissa, "little", signed=True) << shift
