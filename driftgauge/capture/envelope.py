"""SageMaker's capture record: one JSON object a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Rejects
from driftgauge.errors import CaptureError


class Payload(msgspec.Struct, gc=False):
    """One side of a call. The content type is not read: payloads are told by their looks."""

    data: Any = None
    encoding: Any = None


class CaptureData(msgspec.Struct, gc=False):
    """What went in and what came out; a side that is not captured is absent."""

    endpointInput: Payload | None = None  # noqa: N815
    endpointOutput: Payload | None = None  # noqa: N815


class EventMetadata(msgspec.Struct, gc=False):
    """When the call was made, and its ids."""

    eventId: Any = None  # noqa: N815
    inferenceId: Any = None  # noqa: N815
    inferenceTime: Any = None  # noqa: N815


class Record(msgspec.Struct, gc=False):
    """One InvokeEndpoint call."""

    captureData: CaptureData | None = None  # noqa: N815
    eventMetadata: EventMetadata | None = None  # noqa: N815


T = TypeVar("T")


class Envelopes(Generic[T]):
    """Decoder of the lines of one object.

    Parameters
    ----------
    kind : type
        The struct a line holds.
    unlike : str
        Reason to count for JSON that is something else.
    source : str
        The object's name, for messages and samples.
    rejects : Rejects
        Is added the lines that cannot be used.

    Attributes
    ----------
    lines : int
        Lines seen that are not blank.
    json_lines : int
        Lines that are JSON, whatever they say.
    """

    def __init__(self, kind: type[T], *, unlike: str, source: str, rejects: Rejects) -> None:
        self._unlike = unlike
        self._source = source
        self._rejects = rejects
        self._decode = msgspec.json.Decoder(kind).decode
        self.lines = 0
        self.json_lines = 0
        self._rejected_before = rejects.total

    def decode(self, lines: list[bytes], first: int) -> tuple[list[T], Sequence[int]]:
        """Decode lines; return the records and their line numbers, and count the bad lines."""
        try:
            records = list(map(self._decode, lines))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_one_by_one(lines, first)
        self.lines += len(records)
        self.json_lines += len(records)
        return records, range(first, first + len(records))

    def decode_line(self, line: bytes) -> T:
        """Decode one line, and count nothing."""
        return self._decode(line)

    def add_records(self, count: int) -> None:
        """Count lines that were found to be records without decoding them."""
        self.lines += count
        self.json_lines += count

    def _decode_one_by_one(self, lines: list[bytes], first: int) -> tuple[list[T], Sequence[int]]:
        records = []
        numbers = []
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            self.lines += 1
            try:
                records.append(self._decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._reject(line, number, error)
            else:
                self.json_lines += 1
                numbers.append(number)
        return records, numbers

    def check(self) -> None:
        """Raise if none of the lines was JSON.

        Raises
        ------
        CaptureError
            If there were lines (too long ones included), and not one of them was JSON.
        """
        found = self.lines or self._rejects.total > self._rejected_before
        if found and not self.json_lines:
            raise CaptureError(
                f"{self._source}: not a single line is JSON, so this is not an object of JSON "
                "Lines. Check the prefix that the monitor reads."
            )

    def _reject(self, line: bytes, number: int, error: Exception) -> None:
        reason = _reason_of(error)
        if reason is None:
            # The decoder stops at the first wrong type: what follows may not be JSON.
            try:
                msgspec.json.decode(line)
                self.json_lines += 1
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as second:
                reason = _reason_of(second) or "not json"
        self._rejects.add(
            reason=reason or self._unlike,
            source=self._source,
            line=number,
            excerpt=line[:500].decode("utf-8", errors="replace"),
        )


class Moments(dict[str, int]):
    """Epoch seconds of ISO 8601 texts, remembered: a capture file spans minutes.

    Examples
    --------
    >>> Moments()["2022-04-18T00:21:48Z"]
    1650241308
    """

    _LIMIT = 100_000

    def __missing__(self, text: str) -> int:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if len(self) >= self._LIMIT:
            self.clear()
        seconds = (moment - _EPOCH) // _SECOND
        self[text] = seconds
        return seconds

    def read(self, value: object) -> int | None:
        """Return the epoch seconds of a value of ``inferenceTime``; None if it is unusable."""
        if not isinstance(value, str):
            return None
        try:
            return self[value]
        except (ValueError, OverflowError):
            return None

    def read_all(self, texts: NDArray[np.uint8]) -> NDArray[np.int64] | None:
        """Return the epoch seconds of many values; None if one of them is unusable.

        Parameters
        ----------
        texts : ndarray of uint8, shape (texts, length)
            UTF-8.

        Examples
        --------
        >>> texts = np.frombuffer(b"2022-04-18T00:21:48Z2022-04-18T00:21:49Z", dtype=np.uint8)
        >>> Moments().read_all(texts.reshape(2, 20)).tolist()
        [1650241308, 1650241309]
        """
        day = texts[0, :11].tobytes()
        if texts.shape[0] > 1 and _DAY.fullmatch(day) and (texts[:, :11] == texts[0, :11]).all():
            midnight = self.read(day.decode("ascii") + "00:00:00Z")
            after = _seconds_of_clocks(texts[:, 11:])
            if midnight is not None and after is not None:
                return midnight + after
        seconds = [self.read(text.tobytes().decode("utf-8")) for text in texts]
        return None if None in seconds else np.array(seconds, dtype=np.int64)


def _seconds_of_clocks(texts: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Return the seconds since midnight of texts ``hh:mm:ssZ``; None unless all look like it."""
    if texts.shape[1] != 9 or not (texts[:, [2, 5, 8]] == np.frombuffer(b"::Z", np.uint8)).all():
        return None
    digits = texts[:, [0, 1, 3, 4, 6, 7]] - np.uint8(ord("0"))  # what is below "0" becomes large
    if not (digits <= np.array([2, 9, 5, 9, 5, 9], dtype=np.uint8)).all():
        return None
    clock = 10 * digits[:, ::2].astype(np.int64) + digits[:, 1::2]
    if (clock[:, 0] >= 24).any():
        return None
    seconds: NDArray[np.int64] = clock @ np.array([3600, 60, 1])
    return seconds


_DAY = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = datetime(1970, 1, 1, second=1, tzinfo=UTC) - _EPOCH


def event_id_of(metadata: EventMetadata | None) -> str:
    """Return the caller's ``inferenceId`` if there is one, else ``eventId``, else ``""``."""
    if metadata is None:
        return ""
    for value in (metadata.inferenceId, metadata.eventId):
        if isinstance(value, str) and value:
            return value
    return ""


def _reason_of(error: Exception) -> str | None:
    """Return the reason to count; None if the line is JSON of another kind."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "not utf-8"
    return None if isinstance(error, msgspec.ValidationError) else "not json"
