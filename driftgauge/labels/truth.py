"""Labels as a set of entries that merges in any order: nothing is resolved before the join."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.capture.joining import join_columns
from driftgauge.capture.types import Scalar, column_of_values
from driftgauge.columns import Column, TypeCounts
from driftgauge.labels.identity import ids_of, known_among, run_starts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_VALUES = Column(numbers=np.zeros(0), types=TypeCounts())


@dataclass(frozen=True, kw_only=True, order=True)
class LabelSource:
    """One version of a ground-truth object. Sources are ordered by collection.

    Attributes
    ----------
    collected : int
        When its labels were collected, seconds since 1970-01-01T00:00:00Z.
    modified : int
        When it was written, milliseconds since 1970-01-01T00:00:00Z.
    digest : str
        32 hexadecimal digits that stand for the version.
    """

    collected: int
    modified: int
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Entries of ground-truth objects, sorted by id, source and line.

    An entry is the line of an object that labels one record. All entries of an id are kept: the
    last one is its label (``driftgauge.labels.join``), and those before it are counted.

    Attributes
    ----------
    ids : ndarray of S16, shape (records,)
        Digest of the record's id.
    size : ndarray of uint32, shape (records,)
        Number of values of each entry: one for each row of the record.
    source : ndarray of int32, shape (records,)
        Index into ``sources``.
    line : ndarray of uint32, shape (records,)
        Place of the entry among those of its object.
    values : Column
        The values of all entries end to end.
    sources : tuple of LabelSource
        In ascending order; each has an entry at least.
    """

    ids: NDArray[np.bytes_]
    size: NDArray[np.uint32]
    source: NDArray[np.int32]
    line: NDArray[np.uint32]
    values: Column
    sources: tuple[LabelSource, ...]

    @property
    def records(self) -> int:
        """Number of entries."""
        return int(self.ids.shape[0])

    @property
    def distinct(self) -> int:
        """Number of ids that have an entry."""
        return int(run_starts(self.ids).shape[0])

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """Where the values of each entry start in ``values``, shape (records,)."""
        return np.cumsum(self.size, dtype=np.intp) - self.size.astype(np.intp)

    @property
    def collected(self) -> NDArray[np.int64]:
        """When each entry was collected, seconds since 1970, shape (records,)."""
        times = np.array([source.collected for source in self.sources], dtype=np.int64)
        return times[self.source]

    def matching(self, ids: NDArray[np.bytes_]) -> Labels:
        """Return the entries of some ids, which must be sorted (``Predictions.ids`` are).

        Examples
        --------
        >>> truths = [GroundTruth(event_id=name, labels=(1.0,)) for name in ("a", "b")]
        >>> labels = labels_of(truths, collected=_EPOCH, modified=_EPOCH, digest="0" * 32)
        >>> labels.matching(ids_of(["a"])).records, labels.without(ids_of(["a"])).records
        (1, 1)
        """
        return self._take(known_among(self.ids, ids))

    def without(self, ids: NDArray[np.bytes_]) -> Labels:
        """Return the entries of all other ids; ``ids`` must be sorted."""
        return self._take(~known_among(self.ids, ids))

    def _take(self, keep: NDArray[np.bool_]) -> Labels:
        if keep.all():
            return self
        used, source = np.unique(self.source[keep], return_inverse=True)
        return Labels(
            ids=self.ids[keep],
            size=self.size[keep],
            source=source.astype(np.int32),
            line=self.line[keep],
            values=self.values.take(np.repeat(keep, self.size)),
            sources=tuple(self.sources[index] for index in used.tolist()),
        )


def labels_of(
    truths: Iterable[GroundTruth], *, collected: datetime, modified: datetime, digest: str
) -> Labels:
    """Return the labels of one ground-truth object.

    Parameters
    ----------
    truths : iterable of GroundTruth
        In the order of the object's lines.
    collected : datetime
        When the labels were collected: the hour of the object's key.
    modified : datetime
        When the object was written.
    digest : str
        Stands for this version of the object: 32 hexadecimal digits.
    """
    names: list[str] = []
    size: list[int] = []
    values: list[Scalar] = []
    for truth in truths:
        names.append(truth.event_id)
        size.append(len(truth.labels))
        values.extend(truth.labels)
    source = LabelSource(
        collected=int((collected - _EPOCH).total_seconds()),
        modified=round((modified - _EPOCH).total_seconds() * 1000),
        digest=digest,
    )
    return _arranged(
        ids=ids_of(names),
        size=np.array(size, dtype=np.uint32),
        source=np.zeros(len(names), dtype=np.int32),
        line=np.arange(len(names), dtype=np.uint32),
        values=column_of_values(values),
        sources=(source,) if names else (),
    )


def merge_labels(parts: Iterable[Labels]) -> Labels:
    """Return the union of sets of entries.

    The result depends on nothing but the set of entries: an entry that several parts have counts
    once. An object that was written again without a change keeps its first time.
    """
    found = [part for part in parts if part.records]
    if len(found) == 1:
        return found[0]
    if not found:
        return labels_of([], collected=_EPOCH, modified=_EPOCH, digest="")
    earliest: dict[str, LabelSource] = {}
    for part in found:
        for source in part.sources:
            earliest[source.digest] = min(source, earliest.get(source.digest, source))
    sources = tuple(sorted(earliest.values()))
    rank = {source.digest: index for index, source in enumerate(sources)}
    renamed = [
        np.array([rank[source.digest] for source in part.sources], dtype=np.int32)[part.source]
        for part in found
    ]
    return _arranged(
        ids=np.concatenate([part.ids for part in found]),
        size=np.concatenate([part.size for part in found]),
        source=np.concatenate(renamed),
        line=np.concatenate([part.line for part in found]),
        values=join_columns([(part.values, part.values.rows) for part in found]),
        sources=sources,
    )


def _arranged(
    *,
    ids: NDArray[np.bytes_],
    size: NDArray[np.uint32],
    source: NDArray[np.int32],
    line: NDArray[np.uint32],
    values: Column,
    sources: tuple[LabelSource, ...],
) -> Labels:
    """Sort entries, and leave out all but one of those that are the same line of one object."""
    key = (source.astype(np.int64) << 32) | line
    order = np.lexsort((key, ids))
    again = (ids[order[1:]] == ids[order[:-1]]) & (key[order[1:]] == key[order[:-1]])
    if again.any():
        order = order[np.concatenate(([True], ~again))]
    starts = np.cumsum(size, dtype=np.intp) - size.astype(np.intp)
    return Labels(
        ids=ids[order],
        size=size[order],
        source=source[order],
        line=line[order],
        values=values.take(places_of_values(starts[order], size[order])),
        sources=sources,
    )


def places_of_values(starts: NDArray[np.intp], size: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the places of the values of some entries, end to end.

    Examples
    --------
    >>> places_of_values(np.array([7, 2]), np.array([2, 1], dtype=np.uint32)).tolist()
    [7, 8, 2]
    """
    if (size == 1).all():
        return starts
    ends = np.cumsum(size, dtype=np.intp)
    total = int(ends[-1]) if ends.size else 0
    return np.arange(total, dtype=np.intp) + np.repeat(starts - ends + size, size)
