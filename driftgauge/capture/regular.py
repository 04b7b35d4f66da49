"""Records to one batch of columns, all at once: for records that hold plain CSV.

Agrees with ``records`` on everything it accepts and gives up, without effect, on the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.cells import CellDecoder
from driftgauge.capture.envelope import Moments, Payload, Record
from driftgauge.capture.grid import (
    ESCAPED_NEWLINE,
    Grid,
    Index,
    grid_of_spans,
    grid_of_text,
    slices,
)
from driftgauge.capture.joining import join_columns
from driftgauge.capture.payload import PayloadError, looks_like_json, text_of_base64
from driftgauge.capture.records import Names
from driftgauge.capture.skeleton import INFERENCE_TIME, INPUT, OUTPUT, Match
from driftgauge.columns import Column, RowBatch

_PIECE_CHARACTERS = 4 * 1024 * 1024
# Longer payloads are put together one by one.
_LONG_PAYLOAD = 1000


class RegularReader:
    """Reader of records of one capture object whose payloads are plain CSV."""

    def __init__(self, *, moments: Moments) -> None:
        self._moments = moments
        self._inputs = CellDecoder()
        self._outputs = CellDecoder()

    def read(self, records: Sequence[Record], names: Names) -> RowBatch | None:
        """Read some records; None if any of them is not regular.

        Parameters
        ----------
        records : sequence of Record
            At least one.
        names : Names
            Names of positional columns.
        """
        metadata = [record.eventMetadata for record in records]
        data = [record.captureData for record in records]
        try:
            events = [meta.inferenceId or meta.eventId or "" for meta in metadata]  # type: ignore[union-attr]
            "".join(events)  # raises if one is not a text
            times = [self._moments[meta.inferenceTime] for meta in metadata]  # type: ignore[union-attr]
            inputs = [side.endpointInput for side in data]  # type: ignore[union-attr]
            outputs = [side.endpointOutput for side in data]  # type: ignore[union-attr]
        except (AttributeError, TypeError, ValueError, OverflowError):
            return None
        given = _Payloads.of(inputs)
        returned = _Payloads.of(outputs)
        if given is None or returned is None or not (given.texts or returned.texts):
            return None
        if given.texts and returned.texts and given.rows != returned.rows:
            return None
        columns: dict[str, Column] = {}
        for payloads, decoder, wanted in (
            (returned, self._outputs, names.outputs),
            (given, self._inputs, names.inputs),
        ):
            if not payloads.texts:
                continue
            decoded = payloads.decode(decoder, wanted)
            if decoded is None or columns.keys() & decoded.keys():
                return None
            columns.update(decoded)
        counts = np.array(given.rows or returned.rows)
        return _batch(columns, tuple(events), np.array(times, dtype=np.int64), counts)

    def read_match(self, match: Match, names: Names) -> RowBatch | None:
        """Read a block of lines that are alike; None if they are not plain CSV after all."""
        times = self._times(match)
        if times is None:
            return None
        columns: dict[str, Column] = {}
        rows: list[Index | None] = []
        for side, decoder, wanted in (
            (OUTPUT, self._outputs, names.outputs),
            (INPUT, self._inputs, names.inputs),
        ):
            if side not in match.spans:
                continue
            if not wanted or len(set(wanted)) != len(wanted) or columns.keys() & set(wanted):
                return None
            found = _grid_of(match, side, width=len(wanted))
            if found is None:
                return None
            grid, counts = found
            rows.append(counts)
            columns.update(zip(wanted, decoder.read(grid), strict=True))
        if not rows or not all(_agree(rows[0], counts) for counts in rows):
            return None
        return _batch(columns, match.event_ids(), times, rows[0])

    def _times(self, match: Match) -> NDArray[np.int64] | None:
        """Return the epoch seconds of each line; None if one has no usable time."""
        texts = match.table(INFERENCE_TIME)
        changes = np.flatnonzero((texts[1:] != texts[:-1]).any(axis=1)) + 1
        starts = np.append(0, changes)
        seconds = self._moments.read_all(texts[starts])
        if seconds is None:
            return None
        return np.repeat(seconds, np.diff(starts, append=match.lines))

    def flags(self, records: Sequence[Record], names: Names) -> list[bool]:
        """Tell for each record whether it looks regular by itself.

        Records whose sides differ from those of the first regular one count as irregular.
        """
        shapes = [self._shape(record, names) for record in records]
        wanted = next((shape for shape in shapes if shape is not None), None)
        return [shape is not None and shape == wanted for shape in shapes]

    def _shape(self, record: Record, names: Names) -> tuple[object, object] | None:
        """Return the encodings of a regular record's sides; None for an irregular one."""
        data, metadata = record.captureData, record.eventMetadata
        if data is None or metadata is None or self._moments.read(metadata.inferenceTime) is None:
            return None
        if not isinstance(metadata.inferenceId or metadata.eventId or "", str):
            return None
        given, returned = data.endpointInput, data.endpointOutput
        rows = {
            _rows_of(side, wanted)
            for side, wanted in ((given, names.inputs), (returned, names.outputs))
            if side is not None
        }
        if len(rows) != 1 or None in rows:
            return None
        return (
            None if given is None else given.encoding,
            None if returned is None else returned.encoding,
        )


def _rows_of(side: Payload, names: tuple[str, ...] | None) -> int | None:
    """Return how many rows a payload of plain CSV has; None if it is anything else."""
    text = side.data if side.encoding == "CSV" else _base64_csv(side)
    if not isinstance(text, str) or '"' in text:
        return None
    lines = _without_blank_lines(text).split("\n")
    commas = len(names or ()) - 1
    return len(lines) if all(line and line.count(",") == commas for line in lines) else None


def _base64_csv(side: Payload) -> str | None:
    """Return the CSV text in base64; None if it is anything else."""
    if side.encoding != "BASE64":
        return None
    try:
        text = text_of_base64(side.data)
    except PayloadError:
        return None
    return None if looks_like_json(text) else text


class _Payloads:
    """The texts of one side of some records, and how many rows each has."""

    def __init__(self, texts: list[str], joined: str, rows: list[int]) -> None:
        self.texts = texts
        self.rows = rows
        self._joined = joined

    @classmethod
    def of(cls, sides: list[Payload | None]) -> _Payloads | None:
        """Collect the texts; none if the side is absent everywhere; None if not plain CSV."""
        if sides[0] is None:
            return cls([], "", []) if not any(side is not None for side in sides) else None
        try:
            texts = [side.data for side in sides]  # type: ignore[union-attr]
            encodings = [side.encoding for side in sides]  # type: ignore[union-attr]
            if encodings.count("CSV") != len(sides):
                texts = [_base64_csv(side) for side in sides]  # type: ignore[arg-type]
            joined = "\n".join(texts)
        except (AttributeError, TypeError):
            return None
        if '"' in joined and not _self_contained(texts):
            return None
        if "\r" not in joined and joined.count("\n") == len(texts) - 1 and all(texts):
            return cls(texts, joined, [1] * len(texts))
        if "\r" in joined or "\n\n" in joined or joined[:1] == "\n" or joined[-1:] == "\n":
            texts = [_without_blank_lines(text) for text in texts]
            joined = "\n".join(texts)
        if not all(texts):
            return None
        return cls(texts, joined, [text.count("\n") + 1 for text in texts])

    def decode(
        self, decoder: CellDecoder, names: tuple[str, ...] | None
    ) -> dict[str, Column] | None:
        """Return the columns; None if the text is not regular."""
        if not names or len(set(names)) != len(names):
            return None
        pieces = []
        for text in _split(self._joined):
            rows = text.count("\n") + 1
            columns = decoder.decode(text, rows=rows, width=len(names))
            if columns is None:
                return None
            pieces.append((columns, rows))
        if sum(rows for _, rows in pieces) != sum(self.rows):
            return None
        return {
            name: join_columns([(columns[i], rows) for columns, rows in pieces])
            for i, name in enumerate(names)
        }


def _split(text: str) -> Iterator[str]:
    """Split a text between lines, so that a huge record takes little more memory than itself."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        end = text.find("\n", start + _PIECE_CHARACTERS)
        if end < 0:
            break
        yield text[start:end]
        start = end + 1
    yield text[start:] if start else text


def _self_contained(texts: list[str]) -> bool:
    """Tell whether texts with quotes can be joined, and their lines be told from each other."""
    return not any(text.count('"') % 2 or "\r" in text or "\n\n" in text for text in texts)


def _without_blank_lines(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line for line in text.split("\n") if line) if "\n" in text else text


def _grid_of(match: Match, side: str, *, width: int) -> tuple[Grid, Index | None] | None:
    """Find the cells of one side's payloads.

    Returns
    -------
    tuple of Grid and (ndarray of int, shape (lines,), or None), or None
        The cells and how many rows each record has, None for one each; None if the payloads are
        not plain CSV.
    """
    starts, ends = match.spans[side].starts, match.spans[side].ends
    view = np.frombuffer(match.block, dtype=np.uint8)
    # There is a quote before a payload, so what is looked at is within the block.
    closed = (view[ends - 2] == ESCAPED_NEWLINE[0]) & (view[ends - 1] == ESCAPED_NEWLINE[1])
    ends = ends - 2 * closed
    if not (ends > starts).all():
        return None
    first = match.block[int(starts[0]) : int(ends[0])]
    if len(first) <= _LONG_PAYLOAD and ESCAPED_NEWLINE not in first:
        grid = grid_of_spans(match.block, starts, ends, width=width)
        if grid is not None:
            return grid, None
    texts = slices(match.block, starts, ends)
    grid = grid_of_text(texts, width=width, newline=ESCAPED_NEWLINE)
    # A blank line is no row.
    if grid is None or not (grid.ends[:, -1] > grid.row_starts).all():
        return None
    lengths = ends - starts + len(ESCAPED_NEWLINE)
    first_rows = np.searchsorted(grid.row_starts - grid.row_starts[0], np.cumsum(lengths) - lengths)
    return grid, np.diff(first_rows, append=grid.rows)


def _agree(left: Index | None, right: Index | None) -> bool:
    """Tell whether two sides have equally many rows in each record."""
    if left is None or right is None:
        counts = right if left is None else left
        return counts is None or bool((counts == 1).all())
    return np.array_equal(left, right)


def _batch(
    columns: dict[str, Column],
    events: Sequence[str],
    times: NDArray[np.int64],
    rows: Index | None,
) -> RowBatch:
    """Put a batch together; ``rows`` is how many each record has, None for one each."""
    record_of_row: NDArray[np.int32] = np.arange(len(events), dtype=np.int32)
    if rows is not None and not (rows == 1).all():
        record_of_row = np.repeat(record_of_row, rows)
        times = np.repeat(times, rows)
    return RowBatch(
        rows=record_of_row.shape[0],
        records=len(events),
        columns=columns,
        inference_time=times,
        event_ids=events,
        record_of_row=record_of_row,
    )
