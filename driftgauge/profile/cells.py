"""Choosing how a column is counted, from its values in the training data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import BaselineError
from driftgauge.profile.exact import UNIT_BITS, exact_sum, ratio_to_float
from driftgauge.profile.resolution import choose_resolution
from driftgauge.profile.spec import FeatureSpec, InferredType, Kind, Role
from driftgauge.profile.words import count_words

QUANTILE_CELLS = 256
MOST_DISCRETE_VALUES = 32
# A numeric column is discrete only if its values repeat: at least so many rows per value.
_ROWS_PER_DISCRETE_VALUE = 5
MOST_CATEGORIES = 1000


def infer_type(types: TypeCounts) -> InferredType:
    """Return Model Monitor's type of a column.

    Any text makes a column String, and so do booleans, alone or beside numbers; any fractional
    number makes a numeric column Fractional; a column without values is Unknown. Source: the
    data type analyzer of awslabs/deequ; Model Monitor reports booleans as String.

    Examples
    --------
    >>> infer_type(TypeCounts(integral=9, fractional=1)), infer_type(TypeCounts())
    ('Fractional', 'Unknown')
    """
    if types.text or types.boolean:
        return "String"
    if types.fractional:
        return "Fractional"
    return "Integral" if types.integral else "Unknown"


def quantile_edges(
    values: NDArray[np.float64], counts: NDArray[np.int64], cells: int = QUANTILE_CELLS
) -> tuple[float, ...]:
    """Return edges that split numbers into cells of equal weight, as far as repeats allow.

    The first edge is the smallest value and the last lies just above the largest, so the
    outermost cells hold what the training data never reached. A value that is heavier than a
    cell gets a cell of its own.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite, strictly increasing, n >= 1.
    counts : ndarray of int64, shape (n,)
        How often each occurs, at least once; fewer than 2**55 in all.
    cells : int
        How many cells between the outermost two.

    Examples
    --------
    >>> quantile_edges(np.array([1.0, 2.0, 3.0]), np.array([4, 1, 1]), cells=3)[:-1]
    (1.0, 2.0)
    """
    below = np.cumsum(counts)
    ranks = np.arange(cells) * int(below[-1]) // cells
    picked, repeats = np.unique(np.searchsorted(below, ranks, side="right"), return_counts=True)
    after = picked[repeats > 1] + 1
    with np.errstate(over="ignore"):
        top = np.nextafter(values[-1], np.inf)
    found = np.concatenate(
        [
            values[picked],
            values[after[after < values.shape[0]]],
            [top] if np.isfinite(top) else [],
        ]
    )
    return tuple(np.unique(found).tolist())


def choose_feature(name: str, role: Role, column: Column, kind: Kind | None = None) -> FeatureSpec:
    """Choose the cells of one column.

    Parameters
    ----------
    name, role : str
        Of the column.
    column : Column
        All its values in the training data.
    kind : {"numeric", "discrete", "categorical", "boolean"}, optional
        What the user says; by default text is categorical, text of only true and false boolean,
        numbers with at most 32 values that repeat discrete, other numbers numeric. A column
        without values is categorical without categories: whatever comes is unseen.

    Raises
    ------
    BaselineError
        If the column cannot be counted as the kind the user says.
    """
    types = column.types
    inferred = infer_type(types)
    if kind is None and inferred in ("String", "Unknown"):
        kind = "boolean" if types.boolean and types.boolean == types.present else "categorical"
    if kind == "boolean":
        if types.present and not types.boolean:
            raise BaselineError(
                f"column {name!r} is set to boolean but holds no true or false: "
                "leave its kind out, or set it to discrete or categorical"
            )
        categories: tuple[str, ...] = ("false", "true")
        return FeatureSpec(
            name=name, role=role, kind=kind, inferred_type=inferred, categories=categories
        )
    if kind == "categorical":
        categories = _categories(column)
        return FeatureSpec(
            name=name, role=role, kind=kind, inferred_type=inferred, categories=categories
        )
    return _numeric_feature(name, role, column, inferred, kind)


def finite_numbers(column: Column) -> NDArray[np.float64]:
    """Return the finite numbers of a column in row order."""
    return column.numbers[np.isfinite(column.numbers)]


def _categories(column: Column) -> tuple[str, ...]:
    words = count_words(column)
    heaviest = sorted(words, key=lambda word: (-words[word], word))[:MOST_CATEGORIES]
    return tuple(sorted(heaviest))


def _numeric_feature(
    name: str, role: Role, column: Column, inferred: InferredType, kind: Kind | None
) -> FeatureSpec:
    ordered = np.sort(finite_numbers(column))
    if ordered.shape[0] == 0:
        if kind is not None and column.types.present:
            raise BaselineError(
                f"column {name!r} is set to {kind} but holds no finite number: "
                "leave its kind out, or set it to categorical"
            )
        return FeatureSpec(name=name, role=role, kind="numeric", inferred_type=inferred)
    first = np.flatnonzero(np.append(True, ordered[1:] > ordered[:-1]))
    center = ratio_to_float(exact_sum(ordered), ordered.shape[0] << UNIT_BITS)
    return numeric_feature(
        name,
        role,
        inferred,
        kind,
        values=ordered[first],
        counts=np.diff(first, append=ordered.shape[0]),
        center=center,
        scale=_spread(ordered, center),
    )


def numeric_feature(
    name: str,
    role: Role,
    inferred: InferredType,
    kind: Kind | None,
    *,
    values: NDArray[np.float64],
    counts: NDArray[np.int64],
    center: float,
    scale: float,
    cells: int = QUANTILE_CELLS,
) -> FeatureSpec:
    """Choose the cells of a column of numbers.

    Parameters
    ----------
    name, role, inferred : str
        Of the column.
    kind : {"numeric", "discrete"}, optional
        What the user says.
    values : ndarray of float64, shape (n,)
        The distinct numbers, finite, in increasing order, n >= 1.
    counts : ndarray of int64, shape (n,)
        How often each occurs, at least once.
    center, scale : float
        Mean and population standard deviation (1.0 if that is zero).
    cells : int
        How many cells of equal weight a numeric column has.

    Raises
    ------
    BaselineError
        If the column is to be discrete and has too many values.
    """
    distinct = values.shape[0]
    if kind is None:
        few = distinct <= MOST_DISCRETE_VALUES
        repeated = int(counts.sum()) >= _ROWS_PER_DISCRETE_VALUE * distinct
        kind = "discrete" if few and repeated else "numeric"
    if kind == "discrete" and distinct > MOST_CATEGORIES:
        raise BaselineError(
            f"column {name!r} is set to discrete but has {distinct} different values; "
            f"at most {MOST_CATEGORIES} can be counted one by one: set it to numeric"
        )
    discrete = tuple((values + 0.0).tolist())
    return FeatureSpec(
        name=name,
        role=role,
        kind=kind,
        inferred_type=inferred,
        edges=discrete if kind == "discrete" else quantile_edges(values, counts, cells),
        center=center,
        scale=scale,
        resolution=choose_resolution(values, counts, scale=scale),
    )


def _spread(values: NDArray[np.float64], center: float) -> float:
    """Return the population standard deviation; 1.0 if it is zero or beyond a float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        offsets = values - center
        reach = np.abs(offsets).max()
        spread = reach * np.sqrt(np.mean((offsets / reach) ** 2)) if reach > 0 else 0.0
    return float(spread) if 0 < spread < np.inf else 1.0
