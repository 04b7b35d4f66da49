"""Profiles: summaries of rows that add up exactly.

``profile(A) + profile(B) == profile(A + B)`` holds to the last bit, in any order and grouping:
counts are integers, sums are exact (``driftgauge.profile.exact``), extremes are extremes, and
samples of unseen words merge without loss (``driftgauge.profile.words``). One count is about the
batches rather than the rows: ``absent``, the rows whose batch has no such column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import TypeCounts
from driftgauge.errors import ProfileError
from driftgauge.profile.detail import DetailSource, DetailSum, Pieces
from driftgauge.profile.exact import UNIT_BITS, ratio_to_float, square_root
from driftgauge.profile.layout import layout_of
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from driftgauge.profile.words import estimate_distinct, merge_samples

# Columns of Profile.tallies.
MISSING: Final = 0
ABSENT: Final = 1
NON_FINITE: Final = 2
NEGATIVE: Final = 3
INTEGRAL: Final = 4
FRACTIONAL: Final = 5
BOOLEAN: Final = 6
TEXT: Final = 7
UNSEEN: Final = 8
TALLIES: Final = 9


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureProfile:
    """What a profile knows about one column.

    Attributes
    ----------
    spec : FeatureSpec
        How the column is counted.
    rows : int
        Rows of the profile.
    counts : ndarray of int64, shape (spec.cells,)
        Values in each cell that decisions are made on.
    fine_counts : ndarray of int64
        Values in each of the cells that those are cut into, see ``Resolution``.
    fine_edges : ndarray of float64
        Lower bounds of the cells 1, 2, ... of ``fine_counts``, not decreasing.
    missing : int
        Rows without a value.
    absent : int
        Those of ``missing`` in batches that do not have the column at all.
    non_finite : int
        Numbers that are infinite or not a number; they are in no cell and in no sum.
    negative : int
        Finite numbers below zero (numeric and discrete columns only).
    types : TypeCounts
        What the values look like. A word in a numeric column is counted here and in no cell.
    unseen_rows : int
        Values of a categorical or boolean column that are none of its categories.
    unseen : mapping of str to int
        At most 64 of those values, the ones with the smallest hashes, with exact counts.
    minimum, maximum : float or None
        Of the finite numbers in a numeric or discrete column; None if there is none.
    """

    spec: FeatureSpec
    rows: int
    counts: NDArray[np.int64]
    fine_counts: NDArray[np.int64] = field(repr=False)
    fine_edges: NDArray[np.float64] = field(repr=False)
    missing: int
    absent: int
    non_finite: int
    negative: int
    types: TypeCounts
    unseen_rows: int
    unseen: Mapping[str, int]
    minimum: float | None
    maximum: float | None
    sum_units: int = field(repr=False)
    square_units: int = field(repr=False)
    _pieces: Callable[[], Pieces] = field(repr=False)

    @property
    def pieces(self) -> Pieces:
        """Where the values of a numeric or discrete column lie, as far as the profile tells."""
        return self._pieces()

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def counted(self) -> int:
        """Values in cells, and unseen ones."""
        return int(self.counts.sum()) + self.unseen_rows

    @property
    def unseen_distinct(self) -> int:
        """Estimate of how many distinct values are unseen; exact below 64."""
        return estimate_distinct(self.unseen)

    @property
    def sum(self) -> float | None:
        """Correctly rounded sum of the finite numbers; None if there is none."""
        if self.minimum is None:
            return None
        return ratio_to_float(self.sum_units, 1 << UNIT_BITS)

    @property
    def mean(self) -> float | None:
        """Correctly rounded mean of the finite numbers; None if there is none."""
        n = int(self.counts.sum())
        if self.minimum is None or n == 0:
            return None
        return ratio_to_float(self.sum_units, n << UNIT_BITS)

    @property
    def std_dev(self) -> float | None:
        """Population standard deviation of the finite numbers; None if there is none."""
        n = int(self.counts.sum())
        if self.minimum is None or n == 0:
            return None
        if self.minimum == self.maximum:
            return 0.0
        mean = Fraction(self.sum_units, n << UNIT_BITS)
        squares = Fraction(self.square_units, n << UNIT_BITS)
        variance = squares - (mean - Fraction(self.spec.center)) ** 2
        return square_root(variance.numerator, variance.denominator)


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """A summary of rows, in flat arrays over all columns of a specification.

    Attributes
    ----------
    spec : ProfileSpec
        How rows are counted.
    rows, records : int
        How many rows, from how many capture records.
    first_time, last_time : int or None
        Earliest and latest inference time, seconds since 1970-01-01T00:00:00Z.
    rejected : dict of str to int
        Rejected records and rows by reason.
    extra_columns : dict of str to int
        Values in columns that the specification does not have: at most 64 such columns, the
        ones with the smallest hashes, with exact counts.
    counts : ndarray of int64, shape (cells,)
        All columns' cells one after the other.
    tallies : ndarray of int64, shape (columns, 9)
        Missing, absent, non-finite, negative, integral, fractional, boolean, text, unseen.
    extremes : ndarray of float64, shape (columns, 2)
        Minimum and maximum; ``inf`` and ``-inf`` where there is no finite number.
    sums : tuple of int, two per column
        Sum of the values, and of the squares of (value - center), in units of 2**-1074.
    unseen : tuple of dict of str to int, one per column
        See ``FeatureProfile.unseen``.
    detail : DetailSource or None
        Where values lie within the cells, see ``driftgauge.profile.detail``; None if there are
        too many rows, or if it was never known.
    joint : ndarray of int64, shape (spec.joint.size,)
        Sums over whole rows, see ``driftgauge.profile.joint``; empty if there are none.
    """

    spec: ProfileSpec
    rows: int
    records: int = 0
    first_time: int | None = None
    last_time: int | None = None
    rejected: dict[str, int] = field(default_factory=dict)
    extra_columns: dict[str, int] = field(default_factory=dict)
    counts: NDArray[np.int64] = field(repr=False)
    tallies: NDArray[np.int64] = field(repr=False)
    extremes: NDArray[np.float64] = field(repr=False)
    sums: tuple[int, ...] = field(repr=False)
    unseen: tuple[dict[str, int], ...] = field(repr=False)
    detail: DetailSource | None = field(repr=False, default=None)
    joint: NDArray[np.int64] = field(
        repr=False, default_factory=lambda: np.zeros(0, dtype=np.int64)
    )

    @classmethod
    def empty(cls, spec: ProfileSpec) -> Profile:
        """Return the profile of no rows."""
        columns = len(spec.features)
        grid = layout_of(spec).detail_grid
        return cls(
            spec=spec,
            rows=0,
            counts=np.zeros(layout_of(spec).cells, dtype=np.int64),
            tallies=np.zeros((columns, TALLIES), dtype=np.int64),
            extremes=no_extremes(columns),
            sums=(0,) * (2 * columns),
            unseen=tuple({} for _ in range(columns)),
            detail=DetailSource(grid, detail=grid.empty()),
            joint=np.zeros(layout_of(spec).joint, dtype=np.int64),
        )

    def __add__(self, other: Profile) -> Profile:
        return merge_profiles((self, other), self.spec)

    def feature(self, name: str) -> FeatureProfile:
        """Return what is known about a column.

        Raises
        ------
        KeyError
            If the specification has no such column.
        """
        return self._feature(layout_of(self.spec).index[name])

    @property
    def features(self) -> tuple[FeatureProfile, ...]:
        """What is known about every column, in the order of the specification."""
        return tuple(self._feature(i) for i in range(len(self.spec.features)))

    def _feature(self, i: int) -> FeatureProfile:
        layout = layout_of(self.spec)
        fine, firsts = self.counts[layout.starts[i] : layout.starts[i + 1]], layout.firsts[i]
        uncut = firsts.shape[0] == fine.shape[0]
        tally = self.tallies[i].tolist()
        minimum, maximum = self.extremes[i].tolist()
        some = minimum <= maximum
        return FeatureProfile(
            spec=self.spec.features[i],
            rows=self.rows,
            counts=fine if uncut else np.add.reduceat(fine, firsts),
            fine_counts=fine,
            fine_edges=layout.edges[i],
            missing=tally[MISSING],
            absent=tally[ABSENT],
            non_finite=tally[NON_FINITE],
            negative=tally[NEGATIVE],
            types=TypeCounts(
                integral=tally[INTEGRAL],
                fractional=tally[FRACTIONAL],
                boolean=tally[BOOLEAN],
                text=tally[TEXT],
            ),
            unseen_rows=tally[UNSEEN],
            unseen=self.unseen[i],
            minimum=minimum if some else None,
            maximum=maximum if some else None,
            sum_units=self.sums[2 * i],
            square_units=self.sums[2 * i + 1],
            _pieces=partial(self._pieces, i, fine),
        )

    def _pieces(self, i: int, counts: NDArray[np.int64]) -> Pieces:
        layout = layout_of(self.spec)
        detail = None if self.detail is None else self.detail.get()
        return layout.detail_grid.pieces(detail, layout.numeric.index(i), counts)


def no_extremes(columns: int) -> NDArray[np.float64]:
    """Return the extremes of columns without any number, shape (columns, 2)."""
    extremes = np.full((columns, 2), np.inf)
    extremes[:, 1] = -np.inf
    return extremes


class ProfileSum:
    """Adds profiles of one specification in place: what ``+`` and merging files are made of."""

    def __init__(self, spec: ProfileSpec) -> None:
        empty = Profile.empty(spec)
        self.spec = spec
        self.counts = empty.counts
        self.tallies = empty.tallies
        self.extremes = empty.extremes
        self.sums = list(empty.sums)
        self.joint = empty.joint
        self.detail = DetailSum(layout_of(spec).detail_grid)
        self.rows = 0
        self.records = 0
        self.first_time: int | None = None
        self.last_time: int | None = None
        self._rejected: dict[str, int] = {}
        self._extra: list[Mapping[str, int]] = []
        self._unseen: dict[int, list[Mapping[str, int]]] = {}

    def add_scope(
        self, *, rows: int, records: int, first_time: int | None, last_time: int | None
    ) -> None:
        """Add how many rows, and from when."""
        self.rows += rows
        self.records += records
        if first_time is not None:
            earlier = self.first_time is None or first_time < self.first_time
            self.first_time = first_time if earlier else self.first_time
        if last_time is not None:
            later = self.last_time is None or last_time > self.last_time
            self.last_time = last_time if later else self.last_time

    def add_extremes(self, extremes: NDArray[np.float64]) -> None:
        """Widen the extremes, shape (columns, 2)."""
        np.minimum(self.extremes[:, 0], extremes[:, 0], out=self.extremes[:, 0])
        np.maximum(self.extremes[:, 1], extremes[:, 1], out=self.extremes[:, 1])

    def add_rejected(self, rejected: Mapping[str, int]) -> None:
        """Add rejected records and rows by reason."""
        for reason, count in rejected.items():
            self._rejected[reason] = self._rejected.get(reason, 0) + count

    def add_extra(self, extra: Mapping[str, int]) -> None:
        """Add a sample of extra columns."""
        if extra:
            self._extra = self._shorten([*self._extra, extra])

    def add_unseen(self, feature: int, sample: Mapping[str, int]) -> None:
        """Add a column's sample of unseen words."""
        if sample:
            self._unseen[feature] = self._shorten([*self._unseen.get(feature, ()), sample])

    def add(self, profile: Profile) -> None:
        """Add a profile."""
        self.add_scope(
            rows=profile.rows,
            records=profile.records,
            first_time=profile.first_time,
            last_time=profile.last_time,
        )
        self.counts += profile.counts
        self.tallies += profile.tallies
        if profile.joint.shape[0]:
            self.joint += profile.joint
        self.detail.add(profile.detail, rows=profile.rows)
        self.add_extremes(profile.extremes)
        self.sums = [a + b for a, b in zip(self.sums, profile.sums, strict=True)]
        self.add_rejected(profile.rejected)
        self.add_extra(profile.extra_columns)
        for i, sample in enumerate(profile.unseen):
            self.add_unseen(i, sample)

    def result(self) -> Profile:
        """Return the sum."""
        return Profile(
            spec=self.spec,
            rows=self.rows,
            records=self.records,
            first_time=self.first_time,
            last_time=self.last_time,
            rejected=dict(sorted(self._rejected.items())),
            extra_columns=merge_samples(self._extra),
            counts=self.counts,
            tallies=self.tallies,
            extremes=self.extremes,
            sums=tuple(self.sums),
            unseen=tuple(
                merge_samples(self._unseen.get(i, ())) for i in range(len(self.spec.features))
            ),
            detail=self.detail.result(),
            joint=self.joint,
        )

    @staticmethod
    def _shorten(samples: list[Mapping[str, int]]) -> list[Mapping[str, int]]:
        # Merged in groups, so that ten thousand full samples are not all kept until the end.
        return samples if len(samples) < 100 else [merge_samples(samples)]


def merge_profiles(profiles: Iterable[Profile], spec: ProfileSpec) -> Profile:
    """Add profiles of one specification; the sum of none is the empty profile.

    Raises
    ------
    ProfileError
        If a profile was counted against another specification.
    """
    total = ProfileSum(spec)
    for profile in profiles:
        if profile.spec is not spec and profile.spec != spec:
            raise ProfileError(
                f"a profile counted against baseline {profile.spec.version!r} cannot be added to "
                f"one counted against {spec.version!r}: profile the capture again"
            )
        total.add(profile)
    return total.result()
