"""From columns to profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, RowBatch
from driftgauge.profile.detail import MOST_ROWS, DetailSource
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
        detail=_detail(layout, columns, rows, count.counts),
        joint=np.empty(0, dtype=np.int64) if counter is None else counter.count(columns, rows),
    )


def _detail(
    layout: ProfileLayout, columns: Mapping[str, Column], rows: int, counts: NDArray[np.int64]
) -> DetailSource | None:
    if rows > MOST_ROWS:
        return None
    here = [columns.get(layout.spec.features[i].name) for i in layout.numeric]
    values = [np.empty(0) if column is None else column.numbers for column in here]
    return DetailSource(layout.detail_grid, values=values, counts=counts)


def _extra_columns(spec: ProfileSpec, columns: Mapping[str, Column]) -> dict[str, int]:
    index = layout_of(spec).index
    extra: dict[str, int] = {}
    for name, column in columns.items():
        present = column.types.present
        if name not in index and present:
            word = canonical_word(name)
            extra[word] = extra.get(word, 0) + present
    return smallest(extra) if extra else extra


class _Group:
    """Columns that are counted together, and arrays for a block of their rows.

    The arrays are made once: the system hands out new memory page by page, which takes as long
    as counting does.
    """

    def __init__(self, lookup: CellLookup, rows: int) -> None:
        self.lookup = lookup
        self.index = np.array([column.feature for column in lookup.columns])
        self.centers = np.array([column.center for column in lookup.columns])
        most = min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // len(lookup.columns))
        # As many rows in each block, but for one: what is short costs as many calls.
        self.step = -(-rows // -(-rows // most)) if rows else 1
        self.tally = lookup.tally(self.step * len(lookup.columns))
        self._arrays = np.empty((3, self.step * len(lookup.columns)))

    def values(self, rows: int) -> NDArray[np.float64]:
        """Return an array of shape (columns, rows), not written yet."""
        return self._array(0, rows)

    def offsets(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values less the centers."""
        offsets = self._array(1, values.shape[1])
        with np.errstate(over="ignore"):
            np.subtract(values, self.centers[:, None], out=offsets)
        return offsets

    def work(self, rows: int) -> NDArray[np.float64]:
        """Return one more array of shape (columns, rows)."""
        return self._array(2, rows)

    def _array(self, which: int, rows: int) -> NDArray[np.float64]:
        columns = self.index.shape[0]
        return self._arrays[which, : columns * rows].reshape(columns, rows)


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
        group = _Group(lookup, rows)
        for start in range(0, rows, group.step):
            part = slice(start, min(rows, start + group.step))
            values = group.values(part.stop - part.start)
            for row, column in enumerate(here):
                values[row] = np.nan if column is None else column.numbers[part]
            self._count_block(group, values)
        group.tally.add_to(self.counts)
        index = group.index
        # What is neither a finite number nor missing nor a word is a number that is not finite.
        numbers = self.tallies[index, INTEGRAL] + self.tallies[index, FRACTIONAL]
        self.tallies[index, NON_FINITE] += numbers

    def _count_block(self, group: _Group, values: NDArray[np.float64]) -> None:
        """Count finite values; the rest of a row stands in as its center, and is taken off."""
        index, centers = group.index, group.centers
        low, high = values.min(axis=1), values.max(axis=1)
        holes = np.zeros(index.shape[0], dtype=np.int64)
        # What is not finite shows in an extreme.
        holed = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))
        for row in holed.tolist():
            finite = np.isfinite(values[row])
            present = values[row][finite]
            low[row], high[row] = present.min(initial=np.inf), present.max(initial=-np.inf)
            holes[row] = values.shape[1] - present.shape[0]
            np.copyto(values[row], centers[row], where=~finite)
        # Adding zero turns -0.0 into 0.0: which of two zeros is kept must not depend on order.
        self.extremes[index, 0] = np.minimum(self.extremes[index, 0], low + 0.0)
        self.extremes[index, 1] = np.maximum(self.extremes[index, 1], high + 0.0)
        self.tallies[index, NON_FINITE] -= values.shape[1] - holes
        below = np.flatnonzero(low < 0)
        if below.size:
            negative = np.count_nonzero(values[below] < 0, axis=1)
            self.tallies[index[below], NEGATIVE] += negative - holes[below] * (centers[below] < 0)
        offsets, work = group.offsets(values), group.work(values.shape[1])
        group.tally.count(values, offsets, work)
        if holed.size:
            self._take_off_holes(group, holes)
            low[holed] = np.minimum(low[holed], centers[holed])
            high[holed] = np.maximum(high[holed], centers[holed])
        self._add_sums(group, values, offsets, holes, low, high)

    def _take_off_holes(self, group: _Group, holes: NDArray[np.int64]) -> None:
        columns = group.lookup.columns
        for column, center, n in zip(columns, group.centers, holes.tolist(), strict=True):
            if n:
                cell = np.searchsorted(column.edges, center, side="right")
                self.counts[column.start + cell] -= n

    def _add_sums(
        self,
        group: _Group,
        values: NDArray[np.float64],
        offsets: NDArray[np.float64],
        holes: NDArray[np.int64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> None:
        """Add the sums of values and squares; ``low`` and ``high`` are the rows' extremes."""
        index, centers = group.index, group.centers
        if max(-low.min(), high.max()) > _HUGE or np.abs(centers).max() > _HUGE:
            self._add_huge(index, centers, values, offsets)
            low, high = values.min(axis=1), values.max(axis=1)
            nearest, farthest = offsets.min(axis=1), offsets.max(axis=1)
        else:
            # Subtraction rounds, and keeps the order.
            nearest, farthest = low - centers, high - centers
        work = group.work(values.shape[1])
        # Where all values have one sign.
        least = np.maximum(np.maximum(low, -high), 0.0)
        value_sums = exact_row_sums(values, np.maximum(-low, high), least, work=work)
        reach = np.maximum(-nearest, farthest)
        np.multiply(offsets, offsets, out=offsets)
        square_sums = exact_row_sums(offsets, reach * reach, offsets.min(axis=1), work=work)
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
