"""What one value is: Model Monitor's rules, which are Deequ's.

A value is looked at as text. ``1`` is integral, ``1.0`` and ``1e3`` are fractional, ``true`` and
``false`` are boolean, everything else is text; so ``.5``, ``5.``, ``NaN`` and ``inf`` are text.

Source: ``StatefulDataType`` of awslabs/deequ.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts

Type = Literal["integral", "fractional", "boolean", "text"]
Scalar = str | int | float | bool | None

INTEGRAL: Final = 0
FRACTIONAL: Final = 1
BOOLEAN: Final = 2
TEXT: Final = 3
MISSING: Final = 4
_TYPES: Final[tuple[Type, ...]] = ("integral", "fractional", "boolean", "text")

_INTEGRAL = re.compile(r"[-+]? ?[0-9]+")
_FRACTIONAL = re.compile(r"[-+]? ?[0-9]+(?:\.[0-9]+|(?:\.[0-9]+)?[Ee][-+]?[0-9]+)")


class Cell(NamedTuple):
    """One value: its kind, and the number or the word it stands for."""

    kind: int
    number: float
    word: str

    @property
    def is_missing(self) -> bool:
        """Whether there is no value."""
        return self.kind == MISSING


_NAN = float("nan")
_MISSING_CELL = Cell(MISSING, _NAN, "")


def read_text(text: str) -> Cell:
    """Read one value from its text; an empty text is a missing value.

    Examples
    --------
    >>> read_text("+ 5").number, read_text("1e3").number, read_text(".5").word
    (5.0, 1000.0, '.5')
    """
    if not text:
        return _MISSING_CELL
    if _INTEGRAL.fullmatch(text):
        return Cell(INTEGRAL, _number(text), "")
    if _FRACTIONAL.fullmatch(text):
        return Cell(FRACTIONAL, _number(text), "")
    return Cell(BOOLEAN if text in ("true", "false") else TEXT, _NAN, text)


def read_scalar(value: Scalar) -> Cell:
    """Read one value of a JSON payload; its texts follow the rules of ``read_text``.

    Examples
    --------
    >>> read_scalar(True).word, read_scalar(2).kind == INTEGRAL, read_scalar(2.0).kind == INTEGRAL
    ('true', True, False)
    """
    if value is None:
        return _MISSING_CELL
    if isinstance(value, str):
        return read_text(value)
    if isinstance(value, bool):
        return Cell(BOOLEAN, _NAN, "true" if value else "false")
    if isinstance(value, int):
        return Cell(INTEGRAL, _float_of(value), "")
    return Cell(FRACTIONAL, value + 0.0, "")


def classify(text: str) -> Type | None:
    """Name the type of a text; None for an empty one, which is a missing value.

    Examples
    --------
    >>> [classify(text) for text in ("1", "-1.5", "true", "True", "5.", "")]
    ['integral', 'fractional', 'boolean', 'text', 'text', None]
    """
    kind = read_text(text).kind
    return None if kind == MISSING else _TYPES[kind]


def column_of_codes(codes: NDArray[np.intp] | NDArray[np.int32], cells: list[Cell]) -> Column:
    """Make a column from an index into distinct values.

    Parameters
    ----------
    codes : ndarray of int, shape (rows,)
        Index into ``cells``.
    cells : list of Cell
        The distinct values in order of first appearance. Two may hold the same word (a JSON
        ``true`` and a text ``"true"``).
    """
    present = [0] * 5
    if len({cell.kind for cell in cells}) == 1:
        present[cells[0].kind] = codes.shape[0]
    else:
        for cell, count in zip(cells, np.bincount(codes).tolist(), strict=True):
            present[cell.kind] += count
    types = TypeCounts(
        integral=present[INTEGRAL],
        fractional=present[FRACTIONAL],
        boolean=present[BOOLEAN],
        text=present[TEXT],
    )
    missing = None
    if present[MISSING]:
        missing = np.array([cell.is_missing for cell in cells], dtype=np.bool_)[codes]
    if types.integral + types.fractional:
        numbers = np.array([cell.number for cell in cells], dtype=np.float64)[codes]
    else:
        numbers = np.full(codes.shape[0], np.nan)
    if not types.boolean + types.text:
        return Column(numbers=numbers, types=types, missing=missing)
    words: dict[str, int] = {}
    index = np.full(len(cells), -1, dtype=np.int32)
    for position, cell in enumerate(cells):
        if cell.kind in (BOOLEAN, TEXT):
            index[position] = words.setdefault(cell.word, len(words))
    # Often each value is a word of its own.
    alike = len(words) == len(cells)
    own = codes.astype(np.int32, copy=False) if alike else index[codes]
    return Column(numbers=numbers, types=types, codes=own, words=tuple(words), missing=missing)


def column_of_values(values: list[Scalar]) -> Column:
    """Make a column from Python values, one a row; None is missing.

    Examples
    --------
    >>> column = column_of_values([1, "2.5", "a", None])
    >>> column.numbers.tolist(), column.words
    ([1.0, 2.5, nan, nan], ('a',))
    """
    if None in values:
        return _scattered(values)
    types = list(map(type, values))
    if set(types) <= {int, float}:
        try:
            numbers = np.array(values, dtype=np.float64) + 0.0
        except OverflowError:
            pass
        else:
            whole = types.count(int)
            counts = TypeCounts(integral=whole, fractional=len(values) - whole)
            return Column(numbers=numbers, types=counts)
    # The type is part of the key because 1 == 1.0 == True.
    seen: dict[tuple[type, Scalar], int] = {}
    keys = zip(types, values, strict=True)
    codes = np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.intp)
    return column_of_codes(codes, [read_scalar(value) for _, value in seen])


def _scattered(values: list[Scalar]) -> Column:
    """Make a column of which some values are missing."""
    missing = np.array([value is None for value in values], dtype=np.bool_)
    column = column_of_values([value for value in values if value is not None])
    numbers = np.full(len(values), np.nan)
    numbers[~missing] = column.numbers
    codes = None
    if column.codes is not None:
        codes = np.full(len(values), -1, dtype=np.int32)
        codes[~missing] = column.codes
    if column.missing is not None:  # empty texts
        missing[~missing] = column.missing
    return Column(
        numbers=numbers, types=column.types, codes=codes, words=column.words, missing=missing
    )


def _number(text: str) -> float:
    # Adding zero turns -0.0 into 0.0: an integral "-0" has no sign to keep.
    return float(text.replace(" ", "")) + 0.0


def _float_of(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
