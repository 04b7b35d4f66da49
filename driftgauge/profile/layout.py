"""Where the counts of each column stand in a profile's flat arrays."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.detail import DetailGrid
from driftgauge.profile.joint import JointCounter
from driftgauge.profile.lookup import (
    CellEdges,
    CellLookup,
    GridLookup,
    SortedLookup,
    grid_rounds,
)
from driftgauge.profile.resolution import cut_points, expected_order
from driftgauge.profile.spec import FeatureSpec, ProfileSpec

# Columns counted in one go: wide enough to spread the cost of a numpy call over many values,
# narrow enough for the working space to stay in the processor's cache.
_COLUMNS_AT_ONCE = 8


def decision_edges(feature: FeatureSpec) -> NDArray[np.float64]:
    """Return the lower bounds of the cells 1, 2, ... that decisions are made on.

    A discrete value v is the cell ``[v, next float)``, so both kinds are counted alike.
    """
    edges = np.array(feature.edges, dtype=np.float64)
    if feature.kind == "numeric":
        return edges
    pairs = np.empty(2 * edges.shape[0])
    pairs[0::2] = edges
    with np.errstate(over="ignore"):
        pairs[1::2] = np.nextafter(edges, np.inf)
    return pairs


def fine_edges(feature: FeatureSpec) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return how a numeric or discrete column is counted.

    Returns
    -------
    edges : ndarray of float64, shape (n,)
        Lower bounds of the cells 1, 2, ..., not decreasing.
    firsts : ndarray of intp, shape (feature.cells,)
        The first of the cells that each cell of a decision was cut into.
    """
    edges = decision_edges(feature)
    cuts = np.empty(0)
    if feature.resolution is not None:
        cuts = cut_points(feature.resolution, edges)
    firsts = np.arange(1, edges.shape[0] + 1) + np.searchsorted(cuts, edges)
    return np.sort(np.concatenate([edges, cuts])), np.append(0, firsts)


def _storage_key(
    feature: FeatureSpec, edges: NDArray[np.float64], firsts: NDArray[np.intp]
) -> NDArray[np.float64]:
    pieces = np.diff(firsts, append=edges.shape[0] + 1)
    key = np.full(edges.shape[0] + 1, -1.0)
    if feature.resolution is not None:
        lower = np.append(edges[:1], edges)
        cut = np.repeat(pieces > 1, pieces)
        key[cut] = expected_order(feature.resolution, lower[cut])
    return key


class ProfileLayout:
    """The parts of a specification that counting, merging and reading need again and again.

    Attributes
    ----------
    starts : tuple of int
        First cell of each column in the flat counts; one more entry for the end.
    edges : tuple of ndarray of float64
        Lower bounds of the cells 1, 2, ... of each column; none for a column of words.
    firsts : tuple of ndarray of intp
        The first of the cells that each cell of a decision was cut into, for each column.
    numeric, worded : tuple of int
        Positions of the columns that are counted by number and by word.
    joint : int
        Number of sums over whole rows.
    digest : bytes
        Eight bytes that identify the specification.
    stored : ndarray of intp, shape (cells,)
        The order in which counts are stored: those that are likely to be similar together.
    """

    def __init__(self, spec: ProfileSpec) -> None:
        self.spec = spec
        kinds = [feature.kind in ("numeric", "discrete") for feature in spec.features]
        cut = [
            fine_edges(feature) if numeric else (np.empty(0), np.arange(feature.cells))
            for feature, numeric in zip(spec.features, kinds, strict=True)
        ]
        self.edges = tuple(edges for edges, _ in cut)
        self.firsts = tuple(firsts for _, firsts in cut)
        starts = [0]
        for feature, numeric, edges in zip(spec.features, kinds, self.edges, strict=True):
            starts.append(starts[-1] + (edges.shape[0] + 1 if numeric else feature.cells))
        self.starts = tuple(starts)
        self.cells = starts[-1]
        self.index = {feature.name: i for i, feature in enumerate(spec.features)}
        self.numeric = tuple(i for i, numeric in enumerate(kinds) if numeric)
        self.worded = tuple(i for i, numeric in enumerate(kinds) if not numeric)
        self.joint = 0 if spec.joint is None else spec.joint.size
        self.digest = blake2b(msgspec.msgpack.encode(spec), digest_size=8).digest()
        keys = [
            _storage_key(feature, edges, firsts) if numeric else np.full(feature.cells, -2.0)
            for feature, numeric, edges, firsts in zip(
                spec.features, kinds, self.edges, self.firsts, strict=True
            )
        ]
        self.stored = np.argsort(np.concatenate([*keys, np.empty(0)]), kind="stable")
        self._lookups: tuple[CellLookup, ...] | None = None
        self._categories: dict[int, dict[str, int]] = {}
        self._joint_counter: JointCounter | None = None
        self._detail_grid: DetailGrid | None = None

    @property
    def lookups(self) -> tuple[CellLookup, ...]:
        """How the numeric columns are counted, in groups of columns alike."""
        if self._lookups is None:
            self._lookups = self._group()
        return self._lookups

    @property
    def joint_counter(self) -> JointCounter | None:
        """What counts whole rows, if they are counted."""
        if self._joint_counter is None and self.spec.joint is not None:
            self._joint_counter = JointCounter(self.spec.joint)
        return self._joint_counter

    @property
    def detail_grid(self) -> DetailGrid:
        """Where values of small profiles are told apart within the cells."""
        if self._detail_grid is None:
            self._detail_grid = DetailGrid(
                resolutions=[self.spec.features[i].resolution for i in self.numeric],
                edges=[self.edges[i] for i in self.numeric],
                starts=[self.starts[i] for i in self.numeric],
                cells=self.cells,
            )
        return self._detail_grid

    def categories(self, feature: int) -> dict[str, int]:
        """Return the cell of each category of a column, as a position in the flat counts."""
        known = self._categories.get(feature)
        if known is None:
            start = self.starts[feature]
            words = self.spec.features[feature].categories
            known = {word: start + i for i, word in enumerate(words)}
            self._categories[feature] = known
        return known

    def _group(self) -> tuple[CellLookup, ...]:
        lookups: list[CellLookup] = []
        regular = []
        for i in self.numeric:
            feature = self.spec.features[i]
            column = CellEdges(
                feature=i,
                edges=self.edges[i],
                center=feature.center,
                start=self.starts[i],
            )
            rounds = grid_rounds(column)
            if rounds is None:
                lookups.append(SortedLookup(column))
            else:
                regular.append((rounds, i, column))
        # Columns that need equally many comparisons go together.
        alike = [column for _, _, column in sorted(regular, key=lambda item: item[:2])]
        for at in range(0, len(alike), _COLUMNS_AT_ONCE):
            lookups.append(GridLookup(alike[at : at + _COLUMNS_AT_ONCE]))
        return tuple(lookups)


_RECENT: dict[int, ProfileLayout] = {}
_MOST_RECENT = 16


def layout_of(spec: ProfileSpec) -> ProfileLayout:
    """Return the layout of a specification, kept for the specifications used last.

    The cache goes by identity: hashing a specification means hashing thousands of edges. An
    entry keeps its specification alive, so an identity cannot be used twice.
    """
    layout = _RECENT.get(id(spec))
    if layout is None:
        layout = ProfileLayout(spec)
        while len(_RECENT) >= _MOST_RECENT:
            _RECENT.pop(next(iter(_RECENT)), None)
        _RECENT[id(spec)] = layout
    return layout
