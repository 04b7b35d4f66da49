"""From columns to profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, RowBatch
from driftgauge.profile.exact import UNIT_BITS, exact_row_sums, to_units
from driftgauge.profile.layout import ProfileLayout, layout_of
from driftgauge.profile.lookup import CellLookup
from driftgauge.profile.profile import (
    ABSENT,
    BOOLEAN,
    FRACTIONAL,
    INTEGRAL,
    MISSING,
    NEGATIVE,
    NON_FINITE,
    TALLIES,
    TEXT,
    UNSEEN,
    Profile,
    no_extremes,
)
from driftgauge.profile.spec import ProfileSpec
from driftgauge.profile.words import canonical_word, count_words, smallest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Values in one piece of work: its arrays stay in the processor's cache, and a numpy call costs
# little beside it.
_VALUES_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 1 << 13
# The square of a larger offset from the center might overflow: such values take the slow way.
_HUGE = 2.0**500


def profile_batch(spec: ProfileSpec, batch: RowBatch) -> Profile:
    """Count the rows of a capture object.

    Rejected input is not part of a batch; set it with ``dataclasses.replace(profile,
    rejected=...)``.
    """
    first, last = _extremes(batch.inference_time) if batch.rows else (None, None)
    return _profile(
        spec,
        batch.columns,
        rows=batch.rows,
        records=batch.records,
        first_time=first,
        last_time=last,
    )


def profile_columns(
    spec: ProfileSpec, columns: Mapping[str, Column], *, rows: int, records: int = 0
) -> Profile:
    """Count rows that have no time, such as training data.

    Parameters
    ----------
    spec : ProfileSpec
        How to count.
    columns : mapping of str to Column
        Each of ``rows`` positions. Columns the specification has and this mapping does not are
        missing in every row; the other way round they are ``extra_columns``.
    rows, records : int
        How many rows, from how many records.

    Examples
    --------
    >>> from driftgauge.columns import TypeCounts
    >>> from driftgauge.profile.spec import FeatureSpec
    >>> feature = FeatureSpec(
    ...     name="x", role="input", kind="numeric", inferred_type="Fractional", edges=(0.0, 1.0)
    ... )
    >>> spec = ProfileSpec(version="1", features=(feature,))
    >>> x = Column(numbers=np.array([-1.0, 0.0, 0.5, 1.0]), types=TypeCounts(fractional=4))
    >>> profile_columns(spec, {"x": x}, rows=4).feature("x").counts.tolist()
    [1, 2, 1]
    """
    return _profile(spec, columns, rows=rows, records=records, first_time=None, last_time=None)


def split_by_grain(batch: RowBatch, grain: timedelta) -> Iterator[tuple[datetime, RowBatch]]:
    """Split a batch into the intervals of inference time that profiles are stored by.

    Yields
    ------
    start : datetime
        Start of the interval ``[start, start + grain)``, a multiple of ``grain`` since
        1970-01-01T00:00:00Z.
    batch : RowBatch
        The rows of that interval, in their order.
    """
    if batch.rows == 0:
        return
    seconds = int(grain.total_seconds())
    first, last = (int(time) // seconds for time in _extremes(batch.inference_time))
    if first == last:
        yield _EPOCH + timedelta(seconds=first * seconds), batch
        return
    slots = batch.inference_time // seconds
    parts: list[slice | NDArray[np.intp]]
    if (slots[1:] >= slots[:-1]).all():
        # The rows of an interval stand together, as those of one instance of an endpoint do.
        cuts = [0, *(np.flatnonzero(slots[1:] > slots[:-1]) + 1).tolist(), batch.rows]
        parts = [slice(start, stop) for start, stop in pairwise(cuts)]
        found = slots[cuts[:-1]]
    else:
        order = np.argsort(slots, kind="stable")
        found, starts = np.unique(slots[order], return_index=True)
        parts = list(np.split(order, starts[1:]))
    for slot, part in zip(found.tolist(), parts, strict=True):
        yield _EPOCH + timedelta(seconds=slot * seconds), batch.take(part)


def _extremes(times: NDArray[np.int64]) -> tuple[int, int]:
    return int(times.min()), int(times.max())


def _profile(
    spec: ProfileSpec,
    columns: Mapping[str, Column],
    *,
    rows: int,
    records: int,
    first_time: int | None,
    last_time: int | None,
) -> Profile:
    layout = layout_of(spec)
    count = _Count(layout, columns, rows)
    counter = layout.joint_counter
    return Profile(
        spec=spec,
        rows=rows,
        records=records,
        first_time=first_time,
        last_time=last_time,
        extra_columns=_extra_columns(spec, columns),
        counts=count.counts,
        tallies=count.tallies,
        extremes=count.extremes,
        sums=tuple(count.sums),
        unseen=tuple(count.unseen),
        joint=np.empty(0, dtype=np.int64) if counter is None else counter.count(columns, rows),
    )


def _extra_columns(spec: ProfileSpec, columns: Mapping[str, Column]) -> dict[str, int]:
    index = layout_of(spec).index
    extra: dict[str, int] = {}
    for name, column in columns.items():
        present = column.types.present
        if name not in index and present:
            word = canonical_word(name)
            extra[word] = extra.get(word, 0) + present
    return smallest(extra) if extra else extra


class _Count:
    """The arrays of one profile while they are being filled."""

    def __init__(self, layout: ProfileLayout, columns: Mapping[str, Column], rows: int) -> None:
        features = layout.spec.features
        self.layout = layout
        self.counts = np.zeros(layout.cells, dtype=np.int64)
        self.extremes = no_extremes(len(features))
        self.sums = [0] * (2 * len(features))
        self.unseen: list[dict[str, int]] = [{} for _ in features]
        tallies = [[0] * TALLIES for _ in features]
        for i, feature in enumerate(features):
            column = columns.get(feature.name)
            if column is None:
                tallies[i][MISSING] = tallies[i][ABSENT] = rows
                continue
            types = column.types
            tallies[i][MISSING] = rows - types.present
            tallies[i][INTEGRAL] = types.integral
            tallies[i][FRACTIONAL] = types.fractional
            tallies[i][BOOLEAN] = types.boolean
            tallies[i][TEXT] = types.text
        self.tallies = np.array(tallies, dtype=np.int64).reshape(len(features), TALLIES)
        for lookup in layout.lookups:
            self._count_numbers(lookup, columns, rows)
        for i in layout.worded:
            column = columns.get(features[i].name)
            if column is not None:
                self._count_words(i, column)

    def _count_numbers(self, lookup: CellLookup, columns: Mapping[str, Column], rows: int) -> None:
        names = [self.layout.spec.features[c.feature].name for c in lookup.columns]
        here = [columns.get(name) for name in names]
        if all(column is None for column in here):
            return
        index = np.array([c.feature for c in lookup.columns])
        centers = np.array([c.center for c in lookup.columns])
        step = min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // len(names))
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            values = np.empty((len(names), stop - start))
            for row, column in enumerate(here):
                values[row] = np.nan if column is None else column.numbers[start:stop]
            self._count_block(lookup, index, centers, values)
        # What is neither a finite number nor missing nor a word is a number that is not finite.
        numbers = self.tallies[index, INTEGRAL] + self.tallies[index, FRACTIONAL]
        self.tallies[index, NON_FINITE] += numbers

    def _count_block(
        self,
        lookup: CellLookup,
        index: NDArray[np.intp],
        centers: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> None:
        """Count finite values; the rest of a row stands in as its center, and is taken off."""
        low, high = values.min(axis=1), values.max(axis=1)
        # What is not finite shows in an extreme.
        whole = bool(np.isfinite(low).all() and np.isfinite(high).all())
        holes = np.zeros(index.shape[0], dtype=np.int64)
        if not whole:
            finite = np.isfinite(values)
            low = values.min(axis=1, where=finite, initial=np.inf)
            high = values.max(axis=1, where=finite, initial=-np.inf)
            holes = values.shape[1] - np.count_nonzero(finite, axis=1)
            np.copyto(values, centers[:, None], where=~finite)
        # Adding zero turns -0.0 into 0.0: which of two zeros is kept must not depend on order.
        self.extremes[index, 0] = np.minimum(self.extremes[index, 0], low + 0.0)
        self.extremes[index, 1] = np.maximum(self.extremes[index, 1], high + 0.0)
        self.tallies[index, NON_FINITE] -= values.shape[1] - holes
        below = np.flatnonzero(low < 0)
        if below.size:
            negative = np.count_nonzero(values[below] < 0, axis=1)
            self.tallies[index[below], NEGATIVE] += negative - holes[below] * (centers[below] < 0)
        with np.errstate(over="ignore"):
            offsets = values - centers[:, None]
        lookup.count(values, offsets, self.counts)
        if not whole:
            self._take_off_holes(lookup, centers, holes)
            low, high = np.minimum(low, centers), np.maximum(high, centers)
        self._add_sums(index, centers, values, offsets, holes, low, high)

    def _take_off_holes(
        self, lookup: CellLookup, centers: NDArray[np.float64], holes: NDArray[np.int64]
    ) -> None:
        for column, center, n in zip(lookup.columns, centers, holes.tolist(), strict=True):
            cell = np.searchsorted(column.edges, center, side="right")
            self.counts[column.start + cell] -= n

    def _add_sums(
        self,
        index: NDArray[np.intp],
        centers: NDArray[np.float64],
        values: NDArray[np.float64],
        offsets: NDArray[np.float64],
        holes: NDArray[np.int64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> None:
        """Add the sums of values and squares; ``low`` and ``high`` are the rows' extremes."""
        if max(-low.min(), high.max()) > _HUGE or np.abs(centers).max() > _HUGE:
            self._add_huge(index, centers, values, offsets)
            low, high = values.min(axis=1), values.max(axis=1)
            nearest, farthest = offsets.min(axis=1), offsets.max(axis=1)
        else:
            # Subtraction rounds, and keeps the order.
            nearest, farthest = low - centers, high - centers
        value_sums = exact_row_sums(values, np.maximum(-low, high))
        reach = np.maximum(-nearest, farthest)
        np.multiply(offsets, offsets, out=offsets)
        square_sums = exact_row_sums(offsets, reach * reach)
        for row, i in enumerate(index.tolist()):
            self.sums[2 * i] += value_sums[row]
            self.sums[2 * i + 1] += square_sums[row]
            if holes[row]:
                self.sums[2 * i] -= int(holes[row]) * to_units(float(centers[row]))

    def _add_huge(
        self,
        index: NDArray[np.intp],
        centers: NDArray[np.float64],
        values: NDArray[np.float64],
        offsets: NDArray[np.float64],
    ) -> None:
        """Add values too large for float64 squares one by one, and leave zeros behind."""
        huge = (np.abs(values) > _HUGE) | (np.abs(centers) > _HUGE)[:, None]
        for row in np.flatnonzero(huge.any(axis=1)).tolist():
            i = int(index[row])
            center = to_units(float(centers[row]))
            for value in values[row, huge[row]].tolist():
                units = to_units(value)
                self.sums[2 * i] += units
                self.sums[2 * i + 1] += (units - center) ** 2 >> UNIT_BITS
        values[huge] = 0.0
        offsets[huge] = 0.0

    def _count_words(self, i: int, column: Column) -> None:
        """Count a categorical or boolean column; a number in it is counted as its text."""
        cells = self.layout.categories(i)
        unseen: dict[str, int] = {}
        words = count_words(column)
        for word, count in words.items():
            cell = cells.get(word)
            if cell is None:
                unseen[word] = count
            else:
                self.counts[cell] += count
        # What is neither a word nor a finite number is a number that is not finite.
        self.tallies[i, NON_FINITE] = column.types.present - sum(words.values())
        self.tallies[i, UNSEEN] = sum(unseen.values())
        self.unseen[i] = smallest(unseen) if unseen else unseen
