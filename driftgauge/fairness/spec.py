"""Which outcome is the wished one, and which groups of people are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import FairnessError
from driftgauge.profile.words import canonical_word, number_word

# What a row is: 0 negative or advantaged, 1 positive or disadvantaged, 2 not known.
Marks = NDArray[np.int8]
NEGATIVE, POSITIVE, UNKNOWN = 0, 1, 2

_INTERVAL = re.compile(r"\(\s*([^,]+?)\s*,[^,]*\]")


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What makes a value belong: it is listed, or it is above a threshold.

    Attributes
    ----------
    values : tuple of str
        Listed values as text; a number is its shortest text, ``"1"`` for 1.0.
    threshold : float or None
        Values in ``(threshold, maximum]`` belong. Exactly one of the two is given.

    Raises
    ------
    FairnessError
        If none or both are given, or the threshold is not finite.

    Examples
    --------
    >>> from driftgauge.columns import TypeCounts
    >>> ages = Column(numbers=np.array([40.0, 41.0, np.nan]), types=TypeCounts(integral=2))
    >>> [c.marks(ages).tolist() for c in (Criterion(threshold=40.0), Criterion(values=("40",)))]
    [[0, 1, 2], [1, 0, 2]]
    """

    values: tuple[str, ...] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        if bool(self.values) == (self.threshold is not None):
            raise FairnessError("give either the values that belong, or a threshold")
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise FairnessError("a threshold is a finite number")

    @property
    def listed(self) -> frozenset[str]:
        """The listed values as columns are counted: ``"1.0"`` is ``"1"``."""
        return frozenset(
            text for value in self.values for text in (canonical_word(value), _canonical(value))
        )

    def marks(self, column: Column) -> Marks:
        """Return 1 for each value that belongs, 0 for any other, 2 where there is none.

        With a threshold, text is no value.
        """
        numbers = np.nan_to_num(column.numbers, nan=0.0)
        known = np.isfinite(column.numbers)
        if self.threshold is not None:
            return np.where(known, numbers > self.threshold, UNKNOWN).astype(np.int8)
        listed = self.listed
        marks = np.full(column.rows, UNKNOWN, dtype=np.int8)
        if column.codes is not None:
            of_code = [int(canonical_word(word) in listed) for word in column.words]
            marks = np.array([*of_code, UNKNOWN], dtype=np.int8)[column.codes]
        values, inverse = np.unique(numbers[known], return_inverse=True)
        of_value = np.array([number_word(v) in listed for v in values.tolist()], dtype=np.int8)
        marks[known] = of_value[inverse]
        return marks

    def maximum(self, column: Column) -> float | None:
        """Return the largest number, which ends the interval; None without threshold or number."""
        finite = column.numbers[np.isfinite(column.numbers)]
        return float(finite.max()) if self.threshold is not None and finite.size else None

    def display(self, maximum: float | None) -> str:
        """Return the text that ``analysis.json`` has for it.

        Examples
        --------
        >>> Criterion(threshold=0.5).display(0.99), Criterion(values=("0", "2")).display(None)
        ('(0.5, 0.99]', '0,2')
        """
        if self.threshold is None:
            return ",".join(self.values)
        end = self.threshold if maximum is None else max(maximum, self.threshold)
        return f"({number_word(self.threshold)}, {number_word(end)}]"

    def shown_as(self, text: str) -> bool:
        """Say whether a text of ``analysis.json`` means this; an interval may end elsewhere.

        Examples
        --------
        >>> Criterion(threshold=40.0).shown_as("(40, 90]"), Criterion(values=("1",)).shown_as("1.0")
        (True, True)
        """
        if self.threshold is not None:
            found = _INTERVAL.fullmatch(text.strip())
            return found is not None and _number(found[1]) == self.threshold
        return sorted(map(_canonical, text.split(","))) == sorted(map(_canonical, self.values))


@dataclass(frozen=True, kw_only=True)
class FacetSpec:
    """A column, and what in it makes a person one of the disadvantaged group (facet d)."""

    column: str
    sensitive: Criterion


@dataclass(frozen=True, kw_only=True)
class BiasSpec:
    """What is counted.

    Attributes
    ----------
    label : str
        Name of the outcome.
    positive : Criterion
        The wished outcome, of labels and predictions.
    facets : tuple of FacetSpec
        At least one.
    group : str or None
        Column whose values the conditional metrics condition on.
    """

    label: str
    positive: Criterion
    facets: tuple[FacetSpec, ...]
    group: str | None = None

    def __post_init__(self) -> None:
        if not self.facets:
            raise FairnessError("name at least one facet: a column and its sensitive values")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of facets and group, each once."""
        group = () if self.group is None else (self.group,)
        return tuple(dict.fromkeys((*(facet.column for facet in self.facets), *group)))


def _canonical(text: str) -> str:
    number = _number(text)
    return text.strip() if number is None or not np.isfinite(number) else number_word(number)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
