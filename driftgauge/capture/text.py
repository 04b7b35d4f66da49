"""Free text as numbers: what can be measured of a text without knowing its language.

A column of prompts or answers has no distribution that could be compared: no two values are
alike. Its length, its words and the kinds of its characters have. Baselines and captures go
through the same functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.text_names import TEXT_PARTS, text_parts
from driftgauge.columns import Column, TypeCounts

_LONG: Final = 40
_DISTINCT_SHARE: Final = 0.5
_FEWEST: Final = 10
_COUNTS: Final = 2  # the first parts are whole numbers, the others shares
_SPACE, _LETTER, _DIGIT, _PUNCTUATION, _OTHER = range(5)


def _classes() -> NDArray[np.int8]:
    """Return the class of each ASCII character; one more place stands for all beyond."""
    table = np.full(129, _OTHER, dtype=np.int8)
    for code in range(128):
        character = chr(code)
        if character.isspace():
            table[code] = _SPACE
        elif character.isalpha():
            table[code] = _LETTER
        elif character.isdigit():
            table[code] = _DIGIT
        elif character.isprintable():
            table[code] = _PUNCTUATION
    return table


_CLASS_OF: Final = _classes()


def measure_text(text: str) -> tuple[float, ...]:
    """Measure a text: one number for each of ``TEXT_PARTS``.

    ``length`` is the number of characters (code points) and ``words`` that of the pieces between
    white space. The shares are of all characters: ASCII letters, ASCII digits, other printable
    ASCII but white space, and everything beyond ASCII with the control characters; white space
    is the rest. ``unique_words_share`` is the share of different words among all; 0 without words.

    Examples
    --------
    >>> measure_text("ab 1!")
    (5.0, 2.0, 0.4, 0.2, 0.2, 0.0, 1.0)
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds = np.bincount(_CLASS_OF[np.minimum(codes, 128)], minlength=5)
    length = max(len(text), 1)
    words = text.split()
    return (
        float(len(text)),
        float(len(words)),
        int(kinds[_LETTER]) / length,
        int(kinds[_DIGIT]) / length,
        int(kinds[_PUNCTUATION]) / length,
        int(kinds[_OTHER]) / length,
        len(set(words)) / len(words) if words else 0.0,
    )


def looks_like_text(column: Column) -> bool:
    """Tell free text from categories, in training data.

    Free text is long, more than 40 characters on average, and hardly ever repeats: more than
    half of the values are different. Fewer than 10 values tell nothing.

    Examples
    --------
    >>> from driftgauge.capture.types import column_of_values
    >>> looks_like_text(column_of_values(["a", "b"]))
    False
    >>> looks_like_text(column_of_values([f"{i} to a text" * 5 for i in range(10)]))
    True
    """
    if column.codes is None or not column.types.text:
        return False
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.words))
    total = int(counts.sum())
    if total < _FEWEST or 2 * total < column.types.present:
        return False
    lengths = np.array([len(word) for word in column.words])
    distinct = int(np.count_nonzero(counts))
    return float(lengths @ counts) > _LONG * total and distinct > _DISTINCT_SHARE * total


def measure_column(name: str, column: Column) -> dict[str, Column]:
    """Return the numeric columns that stand for a text.

    A number in the column is measured as its text; where the text is missing, so is each of its
    measures.
    """
    rows = column.rows
    table = np.full((len(TEXT_PARTS), rows), np.nan)
    if column.codes is not None and column.words:
        worded = column.codes >= 0
        measured = np.array([measure_text(word) for word in column.words])
        table[:, worded] = measured[column.codes[worded]].T
    missing = np.zeros(rows, dtype=np.bool_) if column.missing is None else column.missing
    numeric = ~missing if column.codes is None else ~missing & (column.codes < 0)
    if numeric.any():
        values, index = np.unique(column.numbers[numeric], return_inverse=True)
        measured = np.array([measure_text(_text_of(value)) for value in values.tolist()])
        table[:, numeric] = measured[index].T
    present = rows - int(missing.sum())
    return {
        part: Column(
            numbers=table[i],
            types=TypeCounts(integral=present) if i < _COUNTS else TypeCounts(fractional=present),
            missing=column.missing,
        )
        for i, part in enumerate(text_parts(name))
    }


def measure_texts(columns: Mapping[str, Column], texts: Collection[str]) -> dict[str, Column]:
    """Return the columns with those that are texts measured, each in its place."""
    measured: dict[str, Column] = {}
    for name, column in columns.items():
        if name in texts:
            measured |= measure_column(name, column)
        else:
            measured[name] = column
    return measured


def _text_of(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
