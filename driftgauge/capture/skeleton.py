"""Capture records that differ in nothing but a few texts: found by comparing bytes.

An endpoint writes all its records alike. What one record's line holds besides its payloads, ids
and time, its skeleton, is learned from one line. Where all lines of a block have that skeleton,
the texts are at known places, and no line needs to be parsed: a text without quotes, backslashes
and control characters is the same JSON string wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.envelope import Payload, Record
from driftgauge.capture.grid import (
    ESCAPED_NEWLINE,
    Bytes,
    Index,
    is_plain,
    pieces,
    slices,
)

INPUT: Final = "input"
OUTPUT: Final = "output"
EVENT_ID: Final = "eventId"
INFERENCE_ID: Final = "inferenceId"
INFERENCE_TIME: Final = "inferenceTime"

# Larger records cost little each byte anyway, and looking for their texts would cost more.
LONGEST_LINE: Final = 256 * 1024
_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"')
# So many strings of a line are tried for one text.
_MOST_TRIALS: Final = 8
_SENTINEL: Final = "another text"
_BRACE: Final = ord("{")
# In longer lines a search for the next brace is faster than a look at each byte.
_SHORT_LINE: Final = 4096
_NEWLINE: Final = ord("\n")


@dataclass(frozen=True, kw_only=True, eq=False)
class Spans:
    """Where one text of each line is in a block: from ``starts`` to ``ends``, shape (lines,)."""

    starts: Index
    ends: Index


class FixedTexts(Sequence[str]):
    """Texts of equally many bytes, decoded when somebody asks for one.

    Examples
    --------
    >>> texts = FixedTexts(b"a1a2a3", length=2)
    >>> texts[1], texts[1:], len(texts)
    ('a2', ('a2', 'a3'), 3)
    """

    def __init__(self, data: bytes, *, length: int) -> None:
        self._data = data
        self._length = length

    def __len__(self) -> int:
        return len(self._data) // self._length

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        at = range(len(self))[index] * self._length
        return self._data[at : at + self._length].decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        places = range(0, len(self._data), self._length)
        if not self._data.isascii():
            return (self._data[at : at + self._length].decode("utf-8") for at in places)
        text = self._data.decode("ascii")
        return (text[at : at + self._length] for at in places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, FixedTexts)):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """A block of lines that all have the skeleton.

    Attributes
    ----------
    block : bytes
        The lines, with a newline between them.
    lines : int
        How many.
    spans : dict of str to Spans
        The texts by name. The payloads are not checked: a quote, a backslash or a control
        character in one of them means that the block does not match after all.
    """

    block: bytes
    lines: int
    spans: dict[str, Spans]

    def table(self, name: str) -> Bytes:
        """Return copies of texts that are all of one length, shape (lines, length)."""
        spans = self.spans[name]
        return pieces(self.block, spans.starts, int(spans.ends[0] - spans.starts[0]))

    def event_ids(self) -> Sequence[str]:
        """Return the id of each record: ``inferenceId``, or else ``eventId``, or else ``""``."""
        name = INFERENCE_ID if INFERENCE_ID in self.spans else EVENT_ID
        if name not in self.spans:
            return ("",) * self.lines
        lengths = self.spans[name].ends - self.spans[name].starts
        if (lengths == lengths[0]).all():
            return FixedTexts(self.table(name).tobytes(), length=int(lengths[0]))
        # There is no control character in an id.
        return tuple(b"\n".join(self.texts(name)).decode("utf-8").split("\n"))

    def texts(self, name: str) -> list[memoryview]:
        """Return texts, not copied."""
        return slices(self.block, self.spans[name].starts, self.spans[name].ends)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sifted:
    """A block of lines, and which of them have a skeleton.

    Attributes
    ----------
    block : bytes
        The lines, with a newline between them.
    starts, ends : ndarray of int, shape (lines,)
        Where each line is.
    flags : ndarray of bool, shape (lines,)
        Whether it has the skeleton.
    """

    block: bytes
    starts: Index
    ends: Index
    flags: NDArray[np.bool_]

    def alike(self) -> bytes:
        """Return the lines that have it, as a block."""
        # Neighbours are copied together.
        steps = np.diff(self.flags.astype(np.int8), prepend=0, append=0)
        firsts, lasts = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
        return b"\n".join(slices(self.block, self.starts[firsts], self.ends[lasts]))

    def others(self) -> list[bytes]:
        """Return the other lines."""
        return [*map(bytes, slices(self.block, self.starts[~self.flags], self.ends[~self.flags]))]


@dataclass(frozen=True, kw_only=True)
class _Text:
    """One text of a line and what comes before it.

    Attributes
    ----------
    name : str
        What it is.
    before : bytes
        The skeleton from the text before it.
    length : int or None
        Bytes in each line; None if that differs from line to line.
    """

    name: str
    before: bytes
    length: int | None


class Skeleton:
    """What the lines of an object have in common.

    Attributes
    ----------
    names : frozenset of str
        The texts that differ.
    """

    def __init__(self, texts: list[_Text], after: bytes) -> None:
        self._texts = texts
        self._after = after
        self.names = frozenset(text.name for text in texts)
        whole = b"".join(text.before for text in texts) + after
        self._braces = whole.count(b"{")
        self._first_brace = texts[0].before.find(b"{")

    @classmethod
    def learn(cls, line: bytes, decode: Callable[[bytes], Record]) -> Skeleton | None:
        """Learn the skeleton of a line; None if it holds anything but plain CSV.

        Parameters
        ----------
        line : bytes
        decode : callable
            Decodes a line to a record.
        """
        if len(line) > LONGEST_LINE or _SENTINEL.encode() in line:
            return None
        try:
            wanted = _texts_of(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if wanted is None:
            return None
        found: list[tuple[int, int, str]] = []
        for name, text in wanted.items():
            place = _place_of(name, text, line, decode)
            if place is None:
                return None
            found.append((*place, name))
        found.sort()
        texts = []
        at = 0
        for start, end, name in found:
            varies = name in (INPUT, OUTPUT) or (
                name == (INFERENCE_ID if INFERENCE_ID in wanted else EVENT_ID)
            )
            length = None if varies else end - start
            texts.append(_Text(name=name, before=line[at:start], length=length))
            at = end
        skeleton = cls(texts, line[at:])
        return skeleton if skeleton._is_tellable() else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Skeleton):
            return NotImplemented
        return (self._texts, self._after) == (other._texts, other._after)

    def __hash__(self) -> int:
        return hash((*self._texts, self._after))

    def _is_tellable(self) -> bool:
        """Tell whether there is a brace between any two texts of unknown length."""
        if self._first_brace < 0:
            return False
        unknown = False
        for text in self._texts:
            if b"{" in text.before:
                unknown = False
            if text.length is None:
                if unknown:
                    return False
                unknown = True
        return True

    def match(self, block: bytes) -> Match | None:
        """Find the texts of a block of lines; None if the lines are not all alike.

        Parameters
        ----------
        block : bytes
            Lines with newlines between them and none at the end.
        """
        view = np.frombuffer(block, dtype=np.uint8)
        braces = _braces_of(block)
        lines, others = divmod(braces.shape[0], self._braces)
        if others or not lines or not _is_utf8(block):
            return None
        braces = braces.reshape(lines, self._braces)
        starts = braces[:, 0] - self._first_brace
        line_ends = np.append(starts[1:] - 1, len(block))
        if starts[0] or not (view[line_ends[:-1]] == _NEWLINE).all():
            return None
        spans, alike = self._find(block, starts, line_ends, braces)
        if not alike.all():
            return None
        match = Match(block=block, lines=lines, spans=spans)
        return match if self._are_plain(match) else None

    def sift(self, block: bytes) -> Sifted:
        """Tell which lines of a block have the skeleton; their texts are not looked at.

        Parameters
        ----------
        block : bytes
            Lines with newlines between them and none at the end.
        """
        newlines = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE)
        starts, ends = np.append(0, newlines + 1), np.append(newlines, len(block))
        braces = _braces_of(block)
        first = np.searchsorted(braces, starts)
        places = np.flatnonzero(np.diff(first, append=braces.shape[0]) == self._braces)
        table = braces[first[places, None] + np.arange(self._braces)]
        _, alike = self._find(block, starts[places], ends[places], table)
        flags = np.zeros(starts.shape[0], dtype=np.bool_)
        flags[places] = alike
        return Sifted(block=block, starts=starts, ends=ends, flags=flags)

    def _find(
        self, block: bytes, starts: Index, line_ends: Index, braces: Index
    ) -> tuple[dict[str, Spans], NDArray[np.bool_]]:
        """Find the texts of lines, and tell which lines have the skeleton.

        Parameters
        ----------
        block : bytes
        starts, line_ends : ndarray of int, shape (lines,)
            Where each line is.
        braces : ndarray of int, shape (lines, braces of the skeleton)
            The opening braces of each line.
        """
        spans: dict[str, Spans] = {}
        alike = np.ones(starts.shape[0], dtype=np.bool_)
        cursor = starts
        for i, text in enumerate(self._texts):
            alike &= _hold(block, cursor, text.before)
            start = cursor + len(text.before)
            cursor = (
                start + text.length if text.length is not None else self._end(i, braces, line_ends)
            )
            alike &= start <= cursor
            spans[text.name] = Spans(starts=start, ends=cursor)
        alike &= _hold(block, cursor, self._after)
        alike &= cursor + len(self._after) == line_ends
        return spans, alike

    def _end(self, i: int, braces: Index, line_ends: Index) -> Index:
        """Return where texts of unknown length end: so much before the next brace or line end."""
        brace = sum(text.before.count(b"{") for text in self._texts[: i + 1])
        known = 0
        for text in self._texts[i + 1 :]:
            at = text.before.find(b"{")
            if at >= 0:
                return braces[:, brace] - (known + at)
            known += len(text.before) + (text.length or 0)
        at = self._after.find(b"{")
        if at >= 0:
            return braces[:, brace] - (known + at)
        return line_ends - (known + len(self._after))

    def _are_plain(self, match: Match) -> bool:
        """Tell whether ids and times are free of quotes, backslashes and control characters."""
        for name in self.names - {INPUT, OUTPUT}:
            lengths = match.spans[name].ends - match.spans[name].starts
            if not lengths.all():
                return False
            if (lengths == lengths[0]).all():
                texts = match.table(name).tobytes()
            else:
                texts = b"".join(match.texts(name))
            if b"\\" in texts or not is_plain(texts):
                return False
        return True


def _braces_of(block: bytes) -> Index:
    """Return where the opening braces are."""
    if 0 <= block.find(b"\n") < _SHORT_LINE:
        return np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _BRACE)
    # There are few of them.
    found = []
    at = block.find(b"{")
    while at >= 0:
        found.append(at)
        at = block.find(b"{", at + 1)
    return np.array(found, dtype=np.intp)


def _hold(block: bytes, starts: Index, wanted: bytes) -> NDArray[np.bool_] | bool:
    """Tell at which places of a block some bytes are found."""
    if not wanted or not starts.shape[0]:
        return True
    last = len(block) - len(wanted)
    inside = (starts >= 0) & (starts <= last)
    if not inside.all():
        starts = np.clip(starts, 0, max(0, last))
    found = pieces(block, starts, len(wanted))
    if found.tobytes() == wanted * starts.shape[0]:
        return inside
    same: NDArray[np.bool_] = (found == np.frombuffer(wanted, dtype=np.uint8)).all(axis=1)
    return same & inside


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _texts_of(record: Record) -> dict[str, str] | None:
    """Return the texts that may differ from record to record; None if it is not regular."""
    data, metadata = record.captureData, record.eventMetadata
    if data is None or metadata is None:
        return None
    texts = {
        INPUT: _csv_of(data.endpointInput),
        OUTPUT: _csv_of(data.endpointOutput),
        EVENT_ID: metadata.eventId or "",
        INFERENCE_ID: metadata.inferenceId or "",
        INFERENCE_TIME: metadata.inferenceTime or None,
    }
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    # What is not there, or empty, is a part of the skeleton.
    return {name: text for name, text in texts.items() if text}


def _csv_of(side: Payload | None) -> str | None:
    """Return a payload of plain CSV; "" if the side was not captured; None for anything else."""
    if side is None:
        return ""
    return side.data or None if side.encoding == "CSV" and isinstance(side.data, str) else None


def _place_of(
    name: str, text: str, line: bytes, decode: Callable[[bytes], Record]
) -> tuple[int, int] | None:
    """Find the JSON string of a line that a text comes from, by putting another in its place."""
    raw = text.encode("utf-8", "replace").replace(b"\n", ESCAPED_NEWLINE)
    alike = (found for found in _STRING.finditer(line) if found[1] == raw)
    for found in islice(alike, _MOST_TRIALS):
        start, end = found.span(1)
        texts = _texts_of(decode(line[:start] + _SENTINEL.encode() + line[end:]))
        if texts is not None and texts.get(name) == _SENTINEL:
            return start, end
    return None
