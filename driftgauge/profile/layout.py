"""Where the counts of each column stand in a profile's flat arrays."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.profile.lookup import (
    CellEdges,
    CellLookup,
    GridLookup,
    SortedLookup,
    grid_rounds,
)
from driftgauge.profile.spec import FeatureSpec, ProfileSpec

# Columns counted in one go: wide enough to spread the cost of a numpy call over many values,
# narrow enough for the working space to stay in the processor's cache.
_COLUMNS_AT_ONCE = 8


def cell_edges(feature: FeatureSpec) -> NDArray[np.float64]:
    """Return the lower bounds of the cells 1, 2, ... of a numeric or discrete column.

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


class ProfileLayout:
    """The parts of a specification that counting, merging and reading need again and again.

    Attributes
    ----------
    starts : tuple of int
        First cell of each column in the flat counts; one more entry for the end.
    numeric, worded : tuple of int
        Positions of the columns that are counted by number and by word.
    digest : bytes
        Eight bytes that identify the specification.
    """

    def __init__(self, spec: ProfileSpec) -> None:
        self.spec = spec
        starts = [0]
        for feature in spec.features:
            starts.append(starts[-1] + feature.cells)
        self.starts = tuple(starts)
        self.cells = starts[-1]
        self.index = {feature.name: i for i, feature in enumerate(spec.features)}
        kinds = [feature.kind in ("numeric", "discrete") for feature in spec.features]
        self.numeric = tuple(i for i, numeric in enumerate(kinds) if numeric)
        self.worded = tuple(i for i, numeric in enumerate(kinds) if not numeric)
        self.digest = blake2b(msgspec.msgpack.encode(spec), digest_size=8).digest()
        self._lookups: tuple[CellLookup, ...] | None = None
        self._categories: dict[int, dict[str, int]] = {}

    @property
    def lookups(self) -> tuple[CellLookup, ...]:
        """How the numeric columns are counted, in groups of columns alike."""
        if self._lookups is None:
            self._lookups = self._group()
        return self._lookups

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
                edges=cell_edges(feature),
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
