"""Rows of scalars to columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from driftgauge.capture.payload import Row
from driftgauge.capture.types import Scalar, column_of_values
from driftgauge.columns import Column


def columns_of_rows(rows: Sequence[Row | None], *, names: tuple[str, ...]) -> dict[str, Column]:
    """Turn rows into columns; a row that has no value for a column is missing there.

    Parameters
    ----------
    rows : sequence of Row or None
        None stands for a row without values. ``cells`` are as many as ``names``.
    names : tuple of str
        Names of the positional cells; a named value of the same name wins.

    Examples
    --------
    >>> columns = columns_of_rows([Row([1], None), Row(None, {"b": "x"})], names=("a",))
    >>> {name: column.types.present for name, column in columns.items()}
    {'a': 1, 'b': 1}
    """
    full = [row for row in rows if row is not None]
    if len(full) == len(rows) and all(row.fields is None for row in full):
        cells = zip(*(row.cells or () for row in full), strict=True)
        return {
            name: column_of_values(list(values)) for name, values in zip(names, cells, strict=True)
        }
    objects = [_object_of(row, names) for row in rows]
    seen = dict.fromkeys(chain.from_iterable(objects))
    return {name: column_of_values([item.get(name) for item in objects]) for name in seen}


def _object_of(row: Row | None, names: tuple[str, ...]) -> dict[str, Scalar]:
    if row is None:
        return {}
    if row.cells is None:
        return row.fields or {}
    return {**dict(zip(names, row.cells, strict=True)), **(row.fields or {})}
