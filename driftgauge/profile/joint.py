"""How columns go together: sums of products over rows, which add up exactly.

Each row becomes a vector of small integers: the clipped standardised value of numeric columns, its
distance from the median, and whether a categorical column holds one of its heavy categories. A
profile keeps the sums of all products of two components, and the sums of some periodic functions
of the whole vector. The first give correlations, principal components, and means by category; the
second a distance between joint distributions.

All products and sums are of integers that a float32 holds exactly, and the periodic function is a
triangle wave at frequencies with a fixed number of binary digits. So the result is the same on any
machine, whatever the order of a matrix product's additions. Source of the idea: Rahimi and Recht,
"Random features for large-scale kernel machines", NIPS 2007, with a triangle wave for the cosine
(Schellekens and Jacques, "Breaking the waves: asymmetric random periodic features for
low-bitrate kernel machines", 2020): its harmonics fall with the fourth power of their number, so
that the kernel hardly changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.profile.words import canonical_word, number_word

# A score counts eighths of the baseline's spread, up to three spreads.
STEPS: Final = 8
HIGHEST: Final = 3 * STEPS
MOST_COMPONENTS: Final = 48
MOST_WAVES: Final = 64
# Frequencies are whole multiples of one turn in so many parts.
TURN: Final = 1 << 13
# No row adds more than this to a sum: half a turn, which exceeds any product.
LARGEST_TERM: Final = TURN // 2
# So many rows at a time: few enough for sums of their products to be exact in float32.
_ROWS_AT_ONCE = 1 << 14
# Matrix products of so many rows and components need no rearrangement of their operands, which
# takes longer than the product. Sums of so many waves are exact in float32.
_PIECE = 1024
_BAND = 16
# Up to this ratio of middle to spread, and within this range, float32 is precise enough.
_NEAR = 2.0**10
_RANGE = 2.0**60
_FLOAT32_WHOLE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Component:
    """One number of a row's vector.

    Attributes
    ----------
    column : str
        The column it is about.
    kind : {"score", "category", "spread"}
        ``score``: (value - middle) / spread in eighths, rounded, at most 24 either way; a missing
        value is 0. ``category``: 1 where the column holds ``category``, else 0. ``spread``: the
        score without its sign.
    category : str
        Of a ``category``.
    middle, spread : float
        Of a ``score`` or ``spread``, in the column's unit; ``spread`` is positive.
    """

    column: str
    kind: Literal["score", "category", "spread"]
    category: str = ""
    middle: float = 0.0
    spread: float = 1.0

    @property
    def label(self) -> str:
        """What reports call it."""
        if self.kind == "category":
            return f"{self.column} = {self.category}"
        return self.column if self.kind == "score" else f"spread of {self.column}"


@dataclass(frozen=True, kw_only=True)
class JointSpec:
    """Which sums a profile keeps over whole rows.

    Attributes
    ----------
    components : tuple of Component
        Scores first, then categories, then spreads; at most 48.
    waves : tuple of tuple of int
        For each wave its frequency along every score and category and, last, its phase; in turns
        of 1 / 8192 per unit of the component.
    """

    components: tuple[Component, ...]
    waves: tuple[tuple[int, ...], ...]

    @property
    def base(self) -> int:
        """Number of components that are no spreads."""
        return sum(component.kind != "spread" for component in self.components)

    @property
    def size(self) -> int:
        """Number of sums that a profile keeps."""
        side = len(self.components) + 1
        return side * (side + 1) // 2 + len(self.waves)


def check_joint(spec: JointSpec, names: Collection[str]) -> None:
    """Check that a specification that was read can be counted by, in columns of these names.

    Raises
    ------
    ValueError
        If it cannot.
    """
    kinds = ["score", "category", "spread"]
    order = [kinds.index(component.kind) for component in spec.components]
    if not 2 <= len(order) <= MOST_COMPONENTS or order != sorted(order):
        raise ValueError("the joint components are too few, too many or out of order")
    scored = {component.column for component in spec.components if component.kind == "score"}
    for component in spec.components:
        if component.column not in names:
            raise ValueError(f"the joint component of {component.column!r} has no column")
        if not (np.isfinite(component.middle) and 0 < component.spread < np.inf):
            raise ValueError(f"the joint component of {component.column!r} has no finite scale")
        if component.kind == "spread" and component.column not in scored:
            raise ValueError(f"the spread of {component.column!r} has no score")
    reach = [HIGHEST if kind == 0 else 1 for kind in order if kind < 2] + [1]
    if len(spec.waves) > MOST_WAVES or any(
        len(wave) != len(reach)
        or sum(abs(w) * r for w, r in zip(wave, reach, strict=True)) >= _FLOAT32_WHOLE
        for wave in spec.waves
    ):
        raise ValueError("the joint waves do not fit the joint components")


@dataclass(frozen=True, kw_only=True, eq=False)
class JointMoments:
    """The sums over whole rows, unpacked.

    Attributes
    ----------
    rows : int
        Number of rows.
    sums : ndarray of float64, shape (components,)
        Of each component.
    products : ndarray of float64, shape (components, components)
        Of each pair of components.
    waves : ndarray of float64, shape (waves,)
        Of each wave; a row adds between 0 and 0.5.
    """

    rows: int
    sums: NDArray[np.float64]
    products: NDArray[np.float64]
    waves: NDArray[np.float64]

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean of each component, shape (components,)."""
        return self.sums / max(1, self.rows)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Population covariance of the components, shape (components, components)."""
        means = self.means
        return self.products / max(1, self.rows) - means[:, None] * means

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Population standard deviation of each component; 1 where it is zero."""
        variances = np.diag(self.covariance)
        return np.sqrt(np.where(variances > 0, variances, 1.0))


def joint_moments(spec: JointSpec, packed: NDArray[np.int64]) -> JointMoments:
    """Unpack the sums of a profile.

    Parameters
    ----------
    spec : JointSpec
        How they were counted.
    packed : ndarray of int64, shape (spec.size,)
        As ``JointCounter.count`` returns them.
    """
    side = len(spec.components) + 1
    square = np.zeros((side, side))
    upper = np.triu_indices(side)
    triangle = upper[0].shape[0]
    square[upper] = packed[:triangle]
    square += np.triu(square, 1).T
    others = np.delete(np.arange(side), spec.base)
    return JointMoments(
        rows=int(square[spec.base, spec.base]),
        sums=square[spec.base, others],
        products=square[np.ix_(others, others)],
        waves=packed[triangle:] / TURN,
    )


class JointCounter:
    """Counts rows by a joint specification: what is the same for all batches is done once."""

    def __init__(self, spec: JointSpec) -> None:
        self.spec = spec
        self._scores = [c for c in spec.components if c.kind == "score"]
        self._base = spec.base
        self._side = len(spec.components) + 1
        self._upper = np.triu_indices(self._side)
        self._far = [_far(component) for component in self._scores]
        near = [(0.0, 1.0) if _far(c) else (c.middle, STEPS / c.spread) for c in self._scores]
        scale = np.array(near, dtype=np.float32).reshape(-1, 2, 1)
        self._middles, self._slopes = scale[:, 0], scale[:, 1]
        position = {c.column: i for i, c in enumerate(self._scores)}
        self._folded = np.array(
            [position[c.column] for c in spec.components if c.kind == "spread"], dtype=np.intp
        )
        self._categories: dict[str, dict[str, int]] = {}
        for row, component in enumerate(spec.components):
            if component.kind == "category":
                known = self._categories.setdefault(component.column, {})
                known[component.category] = row
        self._frequencies = np.array(spec.waves, dtype=np.float32).reshape(-1, self._base + 1)
        self._frequencies /= TURN

    def count(self, columns: Mapping[str, Column], rows: int) -> NDArray[np.int64]:
        """Add up the rows of a batch.

        Parameters
        ----------
        columns : mapping of str to Column
            Each of ``rows`` positions; a column that is absent is missing in every row.
        rows : int
            How many.

        Returns
        -------
        ndarray of int64, shape (spec.size,)
            Sums of products of two components, the constant 1 among them after the scores and
            categories: the upper triangle by rows. Then the waves, in 1 / 8192.
        """
        products = np.zeros((self._side, self._side))
        waves = np.zeros(len(self.spec.waves))
        blocks = self.blocks(columns, rows)
        for _ in blocks:
            pieces = blocks.pieces
            for low in range(0, self._side, _BAND):
                band = pieces[:, low : low + _BAND] @ pieces[:, low:].transpose(0, 2, 1)
                products[low : low + _BAND, low:] += band.sum(axis=0, dtype=np.float64)
            for piece in pieces:
                waves += self.waves(piece) @ piece[self._base]
        packed = np.concatenate([products[self._upper], waves * TURN])
        return packed.astype(np.int64)

    def waves(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each wave of each row of a block, shape (waves, rows), between 0 and 0.5."""
        turns: NDArray[np.float32] = self._frequencies @ block[: self._base + 1]
        turns -= np.rint(turns)
        return np.abs(turns, out=turns)

    def blocks(self, columns: Mapping[str, Column], rows: int, step: int = 1) -> _Blocks:
        """Yield the vectors of rows 0, step, 2 step, ..., as columns of a block.

        Yields
        ------
        ndarray of float32, shape (components + 1, at most 16384)
            Whole numbers; the constant 1 stands after the scores and categories. The next block
            overwrites it.
        """
        return _Blocks(self, columns, rows, step)

    def words_of(self, columns: Mapping[str, Column]) -> list[_CategoryRows]:
        """Return where the categories of each column are found in a batch."""
        found = []
        for name, rows in self._categories.items():
            column = columns.get(name)
            if column is not None:
                found.append(_CategoryRows(column, rows))
        return found

    def fill(
        self,
        block: NDArray[np.float32],
        columns: list[Column | None],
        words: list[_CategoryRows],
        part: slice,
    ) -> None:
        """Write the vectors of some rows into a block that holds zeros or earlier vectors."""
        scores = block[: len(columns)]
        with np.errstate(over="ignore", invalid="ignore"):
            for row, (column, component) in enumerate(zip(columns, self._scores, strict=True)):
                if column is None:
                    scores[row] = np.nan
                elif self._far[row]:
                    scores[row] = (column.numbers[part] - component.middle) / component.spread
                    scores[row] *= STEPS
                else:
                    scores[row] = column.numbers[part]
            scores -= self._middles
            scores *= self._slopes
            np.clip(scores, -HIGHEST, HIGHEST, out=scores)
        np.rint(scores, out=scores)
        # The largest shows whether anything is missing, at a fraction of the cost of a mask.
        for row in np.flatnonzero(np.isnan(scores.max(axis=1))).tolist():
            np.nan_to_num(scores[row], copy=False, nan=0.0)
        block[self._base + 1 :] = np.abs(scores[self._folded])
        for categories in words:
            categories.fill(block, part)

    @property
    def scored(self) -> tuple[str, ...]:
        """Names of the columns that have scores, in order."""
        return tuple(component.column for component in self._scores)


def _far(component: Component) -> bool:
    """Return whether a column is standardised in float64."""
    middle, spread = abs(component.middle), component.spread
    return middle > _NEAR * spread or not (1 / _RANGE < spread < _RANGE)


class _Blocks:
    """Iterates over a batch in blocks that share one array."""

    def __init__(
        self, counter: JointCounter, columns: Mapping[str, Column], rows: int, step: int
    ) -> None:
        self._counter = counter
        self._columns = [columns.get(name) for name in counter.scored]
        self._words = counter.words_of(columns)
        # As many in each block, but for one: what is short costs as many calls.
        taken = -(-rows // step)
        width = -(-taken // -(-taken // _ROWS_AT_ONCE)) if taken else 0
        self._parts = [
            slice(start, min(rows, start + step * width), step)
            for start in range(0, rows, max(1, step * width))
        ]
        spec = counter.spec
        self._base = spec.base
        count = max(1, -(-width // _PIECE))
        piece = -(-width // count)
        self._block = np.zeros((len(spec.components) + 1, count * piece), dtype=np.float32)
        self._pieces = self._block.reshape(len(self._block), count, piece).transpose(1, 0, 2)
        self._at = 0

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> NDArray[np.float32]:
        if self._at == len(self._parts):
            raise StopIteration
        part = self._parts[self._at]
        self._at += 1
        width = -(-(part.stop - part.start) // part.step)
        block = self._block[:, :width]
        block[self._base] = 1.0
        self._counter.fill(block, self._columns, self._words, part)
        # Vectors of zeros, without the constant, add nothing to any sum.
        self._block[:, width:] = 0.0
        return block

    @property
    def pieces(self) -> NDArray[np.float32]:
        """The last block in pieces of equal width, shape (pieces, components + 1, width).

        Zeros fill it up.
        """
        return self._pieces


class _CategoryRows:
    """Where one column of a batch holds the categories that are components."""

    def __init__(self, column: Column, rows: Mapping[str, int]) -> None:
        self._column = column
        self._rows = tuple(rows.values())
        # A category's number, and what neither is a word nor one of the categories.
        self._codes: NDArray[np.int8] | None = None
        if column.codes is not None:
            order = {word: i for i, word in enumerate(rows)}
            known = [order.get(canonical_word(word), -1) for word in column.words]
            self._codes = np.array([*known, -1], dtype=np.int8)
        self._numbers: list[tuple[int, float]] = []
        if column.types.integral or column.types.fractional:
            values = ((row, _number_of(word)) for word, row in rows.items())
            self._numbers = [(row, value) for row, value in values if value is not None]

    def fill(self, block: NDArray[np.float32], part: slice) -> None:
        """Write ones and zeros into the rows of the components."""
        codes = self._column.codes
        if codes is not None and self._codes is not None:
            found = self._codes.take(codes[part])
            for i, row in enumerate(self._rows):
                block[row] = found == i
        else:
            block[self._rows, :] = 0.0
        for row, value in self._numbers:
            block[row] += self._column.numbers[part] == value


def _number_of(word: str) -> float | None:
    """Return the number that is counted under a word, if any is."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) and number_word(value) == word else None
