"""Rows of features as a model receives them: numbers, words and gaps, cell by cell.

SHAP never computes with the cells. It only puts cells of one row and cells of another together,
so words need no encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import AttributionError


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureRows:
    """Some rows, by feature.

    Attributes
    ----------
    names : tuple of str
        The features, in the order in which the model receives them.
    numbers : ndarray of float64, shape (rows, features)
        NaN where a cell is a word or missing.
    codes : ndarray of int32, shape (rows, features), or None
        Index into the feature's words; -1 where a cell is no word. None: there are no words.
    words : tuple of tuple of str
        The words of each feature; empty if there are none at all.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.float64]
    codes: NDArray[np.int32] | None = None
    words: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.numbers.ndim != 2 or self.numbers.shape[1] != len(self.names):
            raise AttributionError(
                f"cells of shape {self.numbers.shape} instead of (rows, {len(self.names)})"
            )

    @classmethod
    def of_columns(cls, columns: Mapping[str, Column], names: Sequence[str]) -> FeatureRows:
        """Take features out of columns.

        Raises
        ------
        AttributionError
            If a feature has no column.
        """
        absent = [name for name in names if name not in columns]
        if absent:
            raise AttributionError(
                f"no column {', '.join(map(repr, absent[:5]))}; there are "
                f"{', '.join(map(repr, list(columns)[:20]))}"
            )
        chosen = [columns[name] for name in names]
        rows = chosen[0].rows if chosen else 0
        numbers = np.empty((rows, len(chosen)))
        for j, column in enumerate(chosen):
            numbers[:, j] = column.numbers
        if all(column.codes is None for column in chosen):
            return cls(names=tuple(names), numbers=numbers)
        codes = np.full(numbers.shape, -1, dtype=np.int32)
        for j, column in enumerate(chosen):
            if column.codes is not None:
                codes[:, j] = column.codes
        return cls(
            names=tuple(names),
            numbers=numbers,
            codes=codes,
            words=tuple(column.words for column in chosen),
        )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.numbers.shape[0])

    @property
    def worded(self) -> tuple[str, ...]:
        """The features that have a word in some row."""
        if self.codes is None:
            return ()
        some: NDArray[np.bool_] = np.any(self.codes >= 0, axis=0)
        return tuple(name for name, has in zip(self.names, some.tolist(), strict=True) if has)

    def take(self, index: NDArray[np.intp] | slice) -> FeatureRows:
        """Return some of the rows."""
        return FeatureRows(
            names=self.names,
            numbers=self.numbers[index],
            codes=None if self.codes is None else self.codes[index],
            words=self.words,
        )

    def compose(self, source: NDArray[np.intp]) -> FeatureRows:
        """Return rows whose cells come from different rows.

        Parameters
        ----------
        source : ndarray of int, shape (n, features)
            The row each cell is taken from.

        Examples
        --------
        >>> rows = FeatureRows(names=("a", "b"), numbers=np.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> rows.compose(np.array([[0, 1]])).numbers.tolist()
        [[1.0, 4.0]]
        """
        feature = np.arange(len(self.names))
        return FeatureRows(
            names=self.names,
            numbers=self.numbers[source, feature],
            codes=None if self.codes is None else self.codes[source, feature],
            words=self.words,
        )

    def columns(self) -> dict[str, Column]:
        """Return the rows as columns."""
        columns = {}
        for j, name in enumerate(self.names):
            codes = None if self.codes is None else self.codes[:, j]
            worded = np.zeros(self.rows, dtype=np.bool_) if codes is None else codes >= 0
            missing = np.isnan(self.numbers[:, j]) & ~worded
            text = int(worded.sum())
            columns[name] = Column(
                numbers=self.numbers[:, j],
                types=TypeCounts(
                    fractional=self.rows - text - int(missing.sum()),
                    text=text,
                ),
                codes=codes if text else None,
                words=self.words[j] if text else (),
                missing=missing if missing.any() else None,
            )
        return columns

    def cells(self) -> NDArray[np.object_]:
        """Return every cell as a float, a str or None; shape (rows, features)."""
        cells: NDArray[np.object_] = self.numbers.astype(object)
        cells[np.isnan(self.numbers)] = None
        if self.codes is not None:
            for j, words in enumerate(self.words):
                worded = self.codes[:, j] >= 0
                cells[worded, j] = np.array(words, dtype=object)[self.codes[worded, j]]
        return cells

    def same_cells(self, row: int, others: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which features have the same cell in one row as in all the others.

        Returns
        -------
        ndarray of bool, shape (features,)
        """
        one, many = self.numbers[row], self.numbers[others]
        same = (many == one) | (np.isnan(many) & np.isnan(one))
        if self.codes is not None:
            same &= self.codes[others] == self.codes[row]
        together: NDArray[np.bool_] = same.all(axis=0)
        return together


def join_rows(parts: Sequence[FeatureRows]) -> FeatureRows:
    """Return the rows of all parts, one after the other.

    Raises
    ------
    AttributionError
        If there is none, or their features differ.

    Examples
    --------
    >>> part = FeatureRows(names=("a",), numbers=np.array([[1.0]]))
    >>> join_rows([part, part]).rows
    2
    """
    if not parts:
        raise AttributionError("there are no rows")
    names = parts[0].names
    if any(part.names != names for part in parts):
        raise AttributionError("rows of different features cannot be joined")
    numbers = np.concatenate([part.numbers for part in parts])
    if all(part.codes is None for part in parts):
        return FeatureRows(names=names, numbers=numbers)
    words: list[dict[str, int]] = [{} for _ in names]
    codes = [_recoded(part, words) for part in parts]
    return FeatureRows(
        names=names,
        numbers=numbers,
        codes=np.concatenate(codes),
        words=tuple(tuple(known) for known in words),
    )


def _recoded(part: FeatureRows, words: list[dict[str, int]]) -> NDArray[np.int32]:
    """Return the codes of a part in a common vocabulary, which grows."""
    codes = np.full(part.numbers.shape, -1, dtype=np.int32)
    if part.codes is not None:
        for j, own in enumerate(part.words):
            known = words[j]
            place = [known.setdefault(word, len(known)) for word in own]
            codes[:, j] = np.array([*place, -1], dtype=np.int32)[part.codes[:, j]]
    return codes
