"""Bytes of a capture object to lines: gzip, long lines, bounded memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

from driftgauge.columns import Rejects
from driftgauge.errors import CaptureError

CHUNK_BYTES = 256 * 1024
# InvokeEndpoint takes at most 25 MB, 34 MB in base64, and answers with less.
MAX_LINE_BYTES = 48 * 1024 * 1024
# Captures shrink 5 to 30 times under gzip; deflate's limit is 1032 times.
MAX_RATIO = 400
RATIO_FREE_BYTES = 64 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Lines:
    """Consecutive lines, given one by one or as a block that is split when somebody asks.

    Attributes
    ----------
    first : int
        Number of the first line, from 1.
    block : bytes
        The lines, with a newline between them and none at the end.
    """

    def __init__(self, *, first: int, lines: list[bytes] | None = None, block: bytes = b"") -> None:
        self.first = first
        self.block = block
        if lines is not None:
            self.block = b"\n".join(lines)
            self.lines = lines

    @cached_property
    def lines(self) -> list[bytes]:
        """The lines without their line ends."""
        return self.block.split(b"\n")

    @cached_property
    def count(self) -> int:
        """Number of lines; may be set by who knows it without splitting the block."""
        return len(self.lines)


class _Rewound(io.RawIOBase):
    """A stream whose first bytes were already taken; counts what it hands out."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = len(buffer)
        data, self._head = self._head[:size], self._head[size:]
        if not data:
            data = self._stream.read(size)
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


def read_blocks(stream: BinaryIO, *, source: str, chunk_bytes: int) -> Iterator[bytes]:
    """Yield a stream's bytes in blocks, decompressed when they start like gzip.

    Raises
    ------
    CaptureError
        If the gzip data is corrupt or expands without measure.
    """
    head = stream.read(chunk_bytes)
    while len(head) < len(_BYTE_ORDER_MARK) and (more := stream.read(chunk_bytes)):
        head += more
    if not head.startswith(_GZIP_MAGIC):
        if head.startswith(_BYTE_ORDER_MARK):
            head = head[len(_BYTE_ORDER_MARK) :] or stream.read(chunk_bytes)
        while head:
            yield head
            head = stream.read(chunk_bytes)
        return
    raw = _Rewound(head, stream)
    expanded = 0
    try:
        with gzip.GzipFile(fileobj=io.BufferedReader(raw, chunk_bytes)) as file:
            while block := file.read(chunk_bytes):
                expanded += len(block)
                if expanded > RATIO_FREE_BYTES and expanded > MAX_RATIO * raw.taken:
                    raise CaptureError(
                        f"{source}: gzip data expands more than {MAX_RATIO} times; this is not a "
                        "capture file. Delete it, or unpack and check it by hand."
                    )
                yield block
    except (OSError, EOFError, zlib.error) as error:
        raise CaptureError(
            f"{source}: corrupt gzip data ({error}). Upload the object again."
        ) from error


def read_lines(
    stream: BinaryIO, *, source: str, rejects: Rejects, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Lines]:
    """Yield a stream's lines, about ``chunk_bytes`` at a time.

    A line longer than ``MAX_LINE_BYTES`` is skipped and counted as ``line too long``; memory
    never holds more than that.

    Raises
    ------
    CaptureError
        If the gzip data is corrupt or expands without measure.
    """
    number = 1
    # No line that starts and ends within a block is too long.
    chunk_bytes = min(chunk_bytes, MAX_LINE_BYTES)
    held: list[bytes] = []
    size = 0
    for block in read_blocks(stream, source=source, chunk_bytes=chunk_bytes):
        start = 0
        end = block.rfind(b"\n")
        if end >= 0:
            if size and size + (first := block.find(b"\n")) > MAX_LINE_BYTES:
                _too_long(held, rejects=rejects, source=source, line=number)
                number += 1
                held = []
                start = first + 1
            if start <= end:
                lines = Lines(first=number, block=b"".join([*held, memoryview(block)[start:end]]))
                yield lines
                number += lines.count
            held = []
            size = 0
            start = end + 1
        # What is beyond the limit is not kept, only its length.
        if start < len(block) and size <= MAX_LINE_BYTES:
            held.append(block[start:])
        size += len(block) - start
    if size > MAX_LINE_BYTES:
        _too_long(held, rejects=rejects, source=source, line=number)
    elif held:
        yield Lines(first=number, block=b"".join(held))


def _too_long(held: list[bytes], *, rejects: Rejects, source: str, line: int) -> None:
    excerpt = b"".join(held)[:500] if held else b""
    rejects.add(
        reason="line too long",
        source=source,
        line=line,
        excerpt=excerpt.decode("utf-8", errors="replace"),
    )
