"""A uniform sample of rows that merges exactly: the rows with the smallest hashes.

The hash of a row is a function of its id and place alone, so the sample of a union is the sample
of the samples. Source: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.joining import join_columns
from driftgauge.columns import Column, RowBatch
from driftgauge.errors import LabelError
from driftgauge.labels.identity import ID_BYTES
from driftgauge.labels.predictions import predictions_of

# Odd constants of the finalizer of MurmurHash3 and of the golden ratio.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT = np.uint64(33)


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledRows:
    """A uniform sample of rows. ``a + b`` is the sample of both populations.

    Attributes
    ----------
    keys : ndarray of uint64, shape (rows,)
        Hash of each sampled row, ascending.
    columns : mapping of str to Column
        The sampled rows.
    population : int
        Number of rows that the sample stands for.
    most : int
        The largest number of sampled rows.
    threshold : int or None
        All rows of the population whose hash is below this are in the sample, and no others.
        None: all rows are.
    """

    keys: NDArray[np.uint64]
    columns: Mapping[str, Column]
    population: int
    most: int
    threshold: int | None = None

    @property
    def rows(self) -> int:
        """Number of sampled rows."""
        return int(self.keys.shape[0])

    def __add__(self, other: SampledRows) -> SampledRows:
        return merge_sampled_rows((self, other))


def sample_of(batch: RowBatch, names: Sequence[str], *, most: int) -> SampledRows:
    """Sample the rows of a batch.

    Parameters
    ----------
    batch : RowBatch
        Captured rows; all rows of a record are in one batch.
    names : sequence of str
        The columns to keep. One that the batch lacks is missing in every row.
    most : int
        The largest number of rows to keep, at least 1.

    Examples
    --------
    >>> batch = RowBatch(
    ...     rows=3,
    ...     records=3,
    ...     columns={},
    ...     inference_time=np.zeros(3, dtype=np.int64),
    ...     event_ids=("a", "b", "c"),
    ...     record_of_row=np.arange(3, dtype=np.int32),
    ... )
    >>> sample = sample_of(batch, [], most=2)
    >>> sample.rows, sample.population
    (2, 3)
    """
    if most < 1:
        raise LabelError(f"a sample of at most {most} rows: sample one row at least")
    found = predictions_of(batch, names)
    halves = np.frombuffer(found.ids.tobytes(), dtype="<u8").reshape(-1, ID_BYTES // 8)
    whole = SampledRows(
        keys=_mixed(halves[:, 0] + (found.row.astype(np.uint64) + np.uint64(1)) * _GOLDEN),
        columns=found.columns,
        population=found.rows,
        most=most,
    )
    return _cut(whole)


def merge_sampled_rows(parts: Iterable[SampledRows]) -> SampledRows:
    """Add samples; there must be at least one.

    The smallest of their limits holds for the result. A column that a part lacks is missing in
    its rows.

    Raises
    ------
    LabelError
        If there is no sample.
    """
    found = list(parts)
    if not found:
        raise LabelError("no sample to merge: give one at least")
    names = dict.fromkeys(name for part in found for name in part.columns)
    thresholds = [part.threshold for part in found if part.threshold is not None]
    return _cut(
        SampledRows(
            keys=np.concatenate([part.keys for part in found]),
            columns={
                name: join_columns([(part.columns.get(name), part.rows) for part in found])
                for name in names
            },
            population=sum(part.population for part in found),
            most=min(part.most for part in found),
            threshold=min(thresholds, default=None),
        )
    )


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for factor in _MIX:
        values = (values ^ (values >> _SHIFT)) * factor
    return values ^ (values >> _SHIFT)


def _cut(whole: SampledRows) -> SampledRows:
    """Sort rows by their hash, and keep those below the threshold, lowered to fit the limit."""
    order = np.argsort(whole.keys, kind="stable")
    keys = whole.keys[order]
    threshold = whole.threshold
    below = keys.shape[0]
    if threshold is not None:
        below = int(np.searchsorted(keys, np.uint64(threshold)))
    if below > whole.most:
        # Rows of one hash, such as those of a repeated record, stay or go together.
        threshold = int(keys[whole.most])
        below = int(np.searchsorted(keys, np.uint64(threshold)))
    kept = order[:below]
    return replace(
        whole,
        keys=keys[:below],
        columns={name: column.take(kept) for name, column in whole.columns.items()},
        threshold=threshold,
    )
