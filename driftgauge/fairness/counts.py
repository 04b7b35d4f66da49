"""Counts that all bias metrics but the flip test follow from; they add up exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import FairnessError
from driftgauge.fairness.spec import UNKNOWN, BiasSpec, FacetSpec, Marks
from driftgauge.profile.words import canonical_word, number_word
from driftgauge.quality.outcomes import Outcomes

_MAGIC = b"DGBC"
_VERSION = 1
# Facet (a, d), label and prediction (negative, positive, not known), row by row.
SHAPE = (2, 3, 3)
_CELLS = 18
_MOST_GROUPS = 100_000
# The group of rows where there is no group variable, or no value of it.
_NO_GROUP = ""

Cells = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FacetCounts:
    """Counts of one facet.

    Attributes
    ----------
    groups : mapping of str to tuple of 18 ints
        For each value of the group variable the rows by facet, label and prediction, flattened
        from ``SHAPE``. A group without rows is absent.
    unusable : int
        Rows without a value of the facet.
    maximum : float or None
        Of a continuous facet, over its rows.
    """

    groups: Mapping[str, Cells] = field(default_factory=dict)
    unusable: int = 0
    maximum: float | None = None

    def __add__(self, other: FacetCounts) -> FacetCounts:
        groups = dict(self.groups)
        for name, cells in other.groups.items():
            known = groups.get(name)
            groups[name] = (
                cells if known is None else tuple(x + y for x, y in zip(known, cells, strict=True))
            )
        _check_groups(len(groups))
        return FacetCounts(
            groups=groups,
            unusable=self.unusable + other.unusable,
            maximum=_larger(self.maximum, other.maximum),
        )

    @property
    def cells(self) -> NDArray[np.int64]:
        """The counts without groups: shape (2, 3, 3)."""
        total = np.zeros(_CELLS, dtype=np.int64)
        for cells in self.groups.values():
            total += np.array(cells, dtype=np.int64)
        return total.reshape(SHAPE)

    @property
    def by_group(self) -> NDArray[np.int64]:
        """The counts of each group: shape (groups, 2, 3, 3)."""
        flat = [self.groups[name] for name in sorted(self.groups)]
        return np.array(flat, dtype=np.int64).reshape((-1, *SHAPE))


@dataclass(frozen=True, kw_only=True)
class BiasCounts:
    """Counts of some rows; ``+`` is exact, associative and commutative.

    Attributes
    ----------
    spec : BiasSpec
        What was counted.
    rows : int
        All rows.
    facets : tuple of FacetCounts
        In the order of the specification.
    maximum : float or None
        Largest label or prediction, if the wished outcome is one above a threshold.
    """

    spec: BiasSpec
    rows: int
    facets: tuple[FacetCounts, ...]
    maximum: float | None = None

    @classmethod
    def empty(cls, spec: BiasSpec) -> BiasCounts:
        """Return the counts of no rows."""
        return cls(spec=spec, rows=0, facets=tuple(FacetCounts() for _ in spec.facets))

    def __add__(self, other: BiasCounts) -> BiasCounts:
        if self.spec != other.spec:
            raise FairnessError("counts of bias with different specifications do not add up")
        return BiasCounts(
            spec=self.spec,
            rows=self.rows + other.rows,
            facets=tuple(a + b for a, b in zip(self.facets, other.facets, strict=True)),
            maximum=_larger(self.maximum, other.maximum),
        )

    def display(self, index: int) -> str:
        """Return the value or interval of a facet as ``analysis.json`` writes it."""
        return self.spec.facets[index].sensitive.display(self.facets[index].maximum)


def count_bias(
    spec: BiasSpec,
    *,
    columns: Mapping[str, Column],
    labels: Marks | None,
    predictions: Marks | None,
    maximum: float | None = None,
) -> BiasCounts:
    """Count rows.

    Parameters
    ----------
    spec : BiasSpec
    columns : mapping of str to Column
        Those of facets and group. A group that is absent counts as missing.
    labels, predictions : ndarray of int8, shape (rows,), or None
        0 negative, 1 positive, 2 not known; None: not known in any row.
    maximum : float or None
        Largest value of them, where a threshold tells positives.

    Raises
    ------
    FairnessError
        If a facet's column is absent, or the group variable has too many values.
    """
    lacking = [facet.column for facet in spec.facets if facet.column not in columns]
    if lacking:
        raise FairnessError(f"no column {lacking[0]!r}; there are {', '.join(list(columns)[:20])}")
    rows = columns[spec.facets[0].column].rows
    outcome = 3 * _marks(labels, rows) + _marks(predictions, rows)
    names, group = _groups(columns.get(spec.group) if spec.group else None, rows)
    return BiasCounts(
        spec=spec,
        rows=rows,
        facets=tuple(
            _count_facet(facet, columns[facet.column], outcome, names, group)
            for facet in spec.facets
        ),
        maximum=maximum,
    )


def count_outcome_bias(spec: BiasSpec, outcomes: Outcomes) -> BiasCounts:
    """Count outcomes whose segments hold the columns of facets and group.

    Raises
    ------
    FairnessError
        As ``count_bias``; also if classes are judged by a threshold, or numbers by values.
    """
    if (outcomes.problem == "regression") != (spec.positive.threshold is not None):
        raise FairnessError(
            "the wished outcome of a regression is one above a threshold, that of a classifier "
            "one of its classes"
        )
    seen = np.concatenate([outcomes.labels, outcomes.predictions])
    seen = seen[np.isfinite(seen)]
    return count_bias(
        spec,
        columns=outcomes.segments,
        labels=outcome_marks(spec, outcomes.classes, outcomes.labels),
        predictions=outcome_marks(spec, outcomes.classes, outcomes.predictions),
        maximum=float(seen.max()) if spec.positive.threshold is not None and seen.size else None,
    )


def sum_bias_counts(spec: BiasSpec, parts: Iterable[BiasCounts]) -> BiasCounts:
    """Add counts; the sum of none is empty."""
    total = BiasCounts.empty(spec)
    for part in parts:
        total = total + part
    return total


def encode_bias_counts(counts: BiasCounts) -> bytes:
    """Write counts. Equal counts give equal bytes."""
    plain = {
        "spec": counts.spec,
        "rows": counts.rows,
        "facets": [
            (
                [(name, facet.groups[name]) for name in sorted(facet.groups)],
                facet.unusable,
                facet.maximum,
            )
            for facet in counts.facets
        ],
        "maximum": counts.maximum,
    }
    return _MAGIC + bytes([_VERSION]) + msgspec.msgpack.encode(plain)


def decode_bias_counts(data: bytes) -> BiasCounts:
    """Read counts.

    Raises
    ------
    FairnessError
        If the bytes are no counts that this version reads, or are damaged.
    """
    if data[:4] != _MAGIC:
        raise FairnessError("these bytes are no counts of bias")
    if data[4:5] != bytes([_VERSION]):
        raise FairnessError(
            f"counts of bias in another format than {_VERSION}: this driftgauge cannot read it"
        )
    try:
        stored = msgspec.msgpack.decode(data[5:], type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, FairnessError) as error:
        raise FairnessError(f"damaged counts of bias: {error}") from error
    facets = tuple(
        FacetCounts(groups=dict(groups), unusable=unusable, maximum=maximum)
        for groups, unusable, maximum in stored.facets
    )
    counts = [n for facet in facets for cells in facet.groups.values() for n in cells]
    fits = len(facets) == len(stored.spec.facets) and all(
        len(cells) == _CELLS for facet in facets for cells in facet.groups.values()
    )
    if not fits or min((*counts, stored.rows, 0)) < 0:
        raise FairnessError("damaged counts of bias: they do not fit their specification")
    return BiasCounts(spec=stored.spec, rows=stored.rows, facets=facets, maximum=stored.maximum)


class _Stored(msgspec.Struct):
    spec: BiasSpec
    rows: int
    facets: list[tuple[list[tuple[str, Cells]], int, float | None]]
    maximum: float | None


def _count_facet(
    facet: FacetSpec,
    column: Column,
    outcome: NDArray[np.intp],
    names: list[str],
    group: NDArray[np.intp],
) -> FacetCounts:
    marks = facet.sensitive.marks(column)
    known = marks != UNKNOWN
    keys = (group[known] * _CELLS + 9 * marks[known].astype(np.intp)) + outcome[known]
    flat = np.bincount(keys, minlength=len(names) * _CELLS).reshape(-1, _CELLS).tolist()
    return FacetCounts(
        groups={name: tuple(cells) for name, cells in zip(names, flat, strict=True) if any(cells)},
        unusable=int(np.count_nonzero(~known)),
        maximum=facet.sensitive.maximum(column),
    )


def _groups(column: Column | None, rows: int) -> tuple[list[str], NDArray[np.intp]]:
    """Return the names of the groups, and the position of each row's among them."""
    group = np.zeros(rows, dtype=np.intp)
    if column is None:
        return [_NO_GROUP], group
    index = {_NO_GROUP: 0}
    if column.codes is not None:
        seen = [index.setdefault(canonical_word(word), len(index)) for word in column.words]
        group = np.array([*seen, 0], dtype=np.intp)[column.codes]
    finite = np.isfinite(column.numbers)
    values, inverse = np.unique(column.numbers[finite], return_inverse=True)
    _check_groups(len(index) + values.shape[0])
    of_value = [index.setdefault(number_word(value), len(index)) for value in values.tolist()]
    group[finite] = np.array(of_value, dtype=np.intp)[inverse]
    return list(index), group


def _check_groups(number: int) -> None:
    if number > _MOST_GROUPS:
        raise FairnessError(
            f"the group variable has more than {_MOST_GROUPS:,} values; choose one with fewer"
        )


def _marks(marks: Marks | None, rows: int) -> NDArray[np.intp]:
    if marks is None:
        return np.full(rows, UNKNOWN, dtype=np.intp)
    if marks.shape != (rows,):
        raise FairnessError(f"{marks.shape[0]} outcomes for {rows} rows")
    return marks.astype(np.intp)


def outcome_marks(spec: BiasSpec, classes: tuple[str, ...], values: NDArray[np.float64]) -> Marks:
    """Return what labels or predictions are: 0 negative, 1 positive, 2 not known.

    Parameters
    ----------
    spec : BiasSpec
    classes : tuple of str
        Of the outcomes.
    values : ndarray of float64, shape (rows,)
        Numbers of a regression, else indices of classes; NaN where there is none.
    """
    known = np.isfinite(values)
    if spec.positive.threshold is not None:
        return np.where(known, values > spec.positive.threshold, UNKNOWN).astype(np.int8)
    of_class = [int(canonical_word(name) in spec.positive.listed) for name in classes]
    inside = known & (values >= 0) & (values < len(classes))
    index = np.where(inside, values, len(classes)).astype(np.intp)
    return np.array([*of_class, UNKNOWN], dtype=np.int8)[index]


def _larger(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
