"""Columns of a batch of rows: what flows from capture to profile.

From the decoder on, nothing in driftgauge handles a row as an object. A batch holds one
``Column`` per feature, and a column holds arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TypeCounts:
    """How many values of a column look like which type (Model Monitor's rules).

    The four counts add up to the number of values that are present.
    ``1`` is integral, ``1.0`` and ``1e3`` are fractional, ``true``/``false`` are boolean and
    everything else is text; see ``driftgauge.capture.types``.
    """

    integral: int = 0
    fractional: int = 0
    boolean: int = 0
    text: int = 0

    def __add__(self, other: TypeCounts) -> TypeCounts:
        return TypeCounts(
            integral=self.integral + other.integral,
            fractional=self.fractional + other.fractional,
            boolean=self.boolean + other.boolean,
            text=self.text + other.text,
        )

    @property
    def present(self) -> int:
        """Number of values that are present."""
        return self.integral + self.fractional + self.boolean + self.text


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """The values of one column in a batch.

    Each of the ``rows`` positions is exactly one of: a number, a word, or missing.

    Attributes
    ----------
    numbers : ndarray of float64, shape (rows,)
        The value where it is a number (also ``inf``/``nan`` if the payload said so as a JSON
        number); NaN where it is a word or missing.
    types : TypeCounts
        Counts over the whole column.
    codes : ndarray of int32, shape (rows,), or None
        Index into ``words`` where the value is text or a boolean (``"true"``/``"false"``),
        -1 elsewhere. None if the column has no words at all.
    words : tuple of str
        The distinct words, in order of first appearance.
    missing : ndarray of bool, shape (rows,), or None
        True where there is no value (null, empty cell, absent key). None if nothing is missing.
    """

    numbers: NDArray[np.float64]
    types: TypeCounts
    codes: NDArray[np.int32] | None = None
    words: tuple[str, ...] = ()
    missing: NDArray[np.bool_] | None = None

    @property
    def rows(self) -> int:
        """Number of positions, missing ones included."""
        return int(self.numbers.shape[0])

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Column:
        """Return the column restricted to some rows.

        ``types`` is recounted from the values, since a column does not keep how each number was
        written. The counts of texts and booleans are exact. Those of numbers are exact if the
        column's numbers are all integral or all fractional, or if those written as fractions are
        those that have a fractional part (``1`` and ``2.5``). Where ``1`` and ``1.0`` stand in
        one column, whole numbers count as integral and all others as fractional: ``fractional``
        then misses the whole numbers that were written as fractions, and gains the integers that
        are too large for a float. ``integral + fractional`` is exact in any case.

        Examples
        --------
        >>> written_1_and_1_0 = Column(
        ...     numbers=np.array([1.0, 1.0]), types=TypeCounts(integral=1, fractional=1)
        ... )
        >>> written_1_and_1_0.take(slice(0, 2)).types.integral
        2
        """
        numbers = self.numbers[index]
        codes = None if self.codes is None else self.codes[index]
        missing = None if self.missing is None else self.missing[index]
        absent = 0 if missing is None else int(missing.sum())
        worded = 0 if codes is None else int((codes >= 0).sum())
        booleans = 0
        if codes is not None and worded:
            flags = [i for i, word in enumerate(self.words) if word in ("true", "false")]
            booleans = int(np.isin(codes, flags).sum()) if self.types.boolean and flags else 0
        numeric = int(numbers.shape[0]) - absent - worded
        if self.types.fractional == 0:
            integral = numeric
        elif self.types.integral == 0:
            integral = 0
        else:
            whole = np.isfinite(numbers) & (numbers == np.floor(numbers))
            integral = int(whole.sum())
        return Column(
            numbers=numbers,
            types=TypeCounts(
                integral=integral,
                fractional=numeric - integral,
                boolean=booleans,
                text=worded - booleans,
            ),
            codes=codes,
            words=self.words,
            missing=missing,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RowBatch:
    """Some rows of one capture object, by column.

    Attributes
    ----------
    rows : int
        Number of rows.
    records : int
        Number of capture records (InvokeEndpoint calls) the rows came from.
    columns : mapping of str to Column
        Feature and prediction columns by name, output columns first. A column that no row of
        the batch has is absent.
    inference_time : ndarray of int64, shape (rows,)
        Seconds since 1970-01-01T00:00:00Z.
    event_ids : sequence of str
        One per record: ``inferenceId`` where the caller gave one, else ``eventId``.
    record_of_row : ndarray of int32, shape (rows,)
        Index into ``event_ids``. Rows of one record are contiguous and keep their order.
    """

    rows: int
    records: int
    columns: Mapping[str, Column]
    inference_time: NDArray[np.int64]
    event_ids: Sequence[str]
    record_of_row: NDArray[np.int32]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> RowBatch:
        """Return the batch restricted to some rows, without renumbering its records."""
        record_of_row = self.record_of_row[index]
        return RowBatch(
            rows=int(record_of_row.shape[0]),
            records=int(np.unique(record_of_row).shape[0]),
            columns={name: column.take(index) for name, column in self.columns.items()},
            inference_time=self.inference_time[index],
            event_ids=self.event_ids,
            record_of_row=record_of_row,
        )


@dataclass(frozen=True, kw_only=True)
class RejectedSample:
    """One rejected piece of input, kept for the quarantine."""

    source: str
    line: int
    reason: str
    excerpt: str


@dataclass(kw_only=True)
class Rejects:
    """Input that could not be used: counted by reason, with a few samples.

    A reason is a short constant such as ``"not json"`` or ``"wrong number of columns"``. The unit
    of a count is a record when the record as a whole is unusable, else a row. ``dropped`` counts
    the records that the user's preprocess hook left out on purpose: they are not rejected.
    """

    counts: dict[str, int] = field(default_factory=dict)
    samples: list[RejectedSample] = field(default_factory=list)
    max_samples: int = 20
    dropped: int = 0

    def add(self, *, reason: str, source: str, line: int, excerpt: str, count: int = 1) -> None:
        """Count a rejection and keep it as a sample while there is room."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        if len(self.samples) < self.max_samples:
            self.samples.append(
                RejectedSample(source=source, line=line, reason=reason, excerpt=excerpt[:500])
            )

    @property
    def total(self) -> int:
        """Number of rejected records and rows."""
        return sum(self.counts.values())
