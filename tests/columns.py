"""Columns from plain Python values, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftgauge.columns import Column, TypeCounts

Value = float | int | bool | str | None


def column_of(values: Sequence[Value]) -> Column:
    """Make a column: int is integral, float fractional, bool boolean, str text, None missing."""
    numbers = np.full(len(values), np.nan)
    codes = np.full(len(values), -1, dtype=np.int32)
    missing = np.zeros(len(values), dtype=np.bool_)
    words: dict[str, int] = {}
    seen = {"integral": 0, "fractional": 0, "boolean": 0, "text": 0}
    for i, value in enumerate(values):
        if value is None:
            missing[i] = True
        elif isinstance(value, bool | str):
            word = value if isinstance(value, str) else str(value).lower()
            codes[i] = words.setdefault(word, len(words))
            seen["text" if isinstance(value, str) else "boolean"] += 1
        else:
            numbers[i] = value
            seen["integral" if isinstance(value, int) else "fractional"] += 1
    return Column(
        numbers=numbers,
        types=TypeCounts(**seen),
        codes=codes if words else None,
        words=tuple(words),
        missing=missing if missing.any() else None,
    )
