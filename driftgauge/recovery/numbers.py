"""Columns of numbers, recovered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import BaselineError
from driftgauge.profile import profile as tally
from driftgauge.profile.cells import QUANTILE_CELLS, numeric_feature
from driftgauge.profile.spec import FeatureSpec, InferredType, Kind, Role
from driftgauge.profile.words import number_word
from driftgauge.recovery.feature import TALLY_OF_TYPE, TYPES, RecoveredFeature, base_tallies
from driftgauge.recovery.spread import (
    Spread,
    bucket_edges,
    count_in_cells,
    count_negative,
    exact_sums,
    extremes_of,
    is_compressed,
    number_of_values,
    spread_of_buckets,
    spread_of_values,
)
from driftgauge.recovery.words import count_named
from driftgauge.report.statistics import FeatureStatistics, NumberStatistics

# A compressed sketch is wrong by up to 0.2 % of all rows: little in a cell of 1.6 %.
CELLS_OF_SKETCH = 64


def recover_numbers(
    known: FeatureStatistics,
    numbers: NumberStatistics,
    *,
    role: Role,
    rows: int,
    kind: Kind | None,
) -> RecoveredFeature:
    """Recover a column that ``statistics.json`` describes as numbers.

    Parameters and errors are those of ``driftgauge.baseline_files.recover_feature``.
    """
    inferred = TYPES.get(known.inferred_type, "Fractional")
    n = number_of_values(numbers, known.present)
    exact = spread_of_values(numbers, n, integral=inferred == "Integral")
    if exact is None and kind not in (None, "numeric") and n:
        raise BaselineError(
            f"column {known.name!r} is set to {kind} but statistics.json has no sketch of its "
            "values: leave its kind out"
        )
    if kind in ("categorical", "boolean"):
        return _numbers_as_words(known, exact, role=role, rows=rows, kind=kind)
    spread = exact or spread_of_buckets(numbers, n)
    low, high = extremes_of(known.name, numbers, spread)
    sums, center = exact_sums(numbers, spread, n)
    scale = numbers.std_dev or 1.0
    if exact is None:
        spec = FeatureSpec(
            name=known.name,
            role=role,
            kind="numeric",
            inferred_type=inferred,
            edges=bucket_edges(numbers, low, high),
            center=center,
            scale=scale,
        )
    else:
        spec = numeric_feature(
            known.name,
            role,
            inferred,
            kind,
            values=exact.values,
            counts=exact.counts,
            center=center,
            scale=scale,
            cells=CELLS_OF_SKETCH if is_compressed(numbers) else QUANTILE_CELLS,
        )
    counts = count_in_cells(spec, spread)
    # Without any sketch, bucket or extreme there is one cell, and all numbers are in it.
    counts[0] += n - int(counts.sum())
    tallies = _tallies(known, inferred, rows=rows, n=n)
    tallies[tally.NEGATIVE] = count_negative(numbers, spread, n)
    return RecoveredFeature(
        spec=spec, counts=counts, tallies=tallies, extremes=(low, high), sums=sums
    )


def _tallies(
    known: FeatureStatistics, inferred: InferredType, *, rows: int, n: int
) -> NDArray[np.int64]:
    if inferred in ("Integral", "Fractional"):
        tallies = base_tallies(known, rows, TALLY_OF_TYPE[inferred])
        # Of a column without any number nothing says that its values are infinite.
        tallies[tally.NON_FINITE] = known.present - n if n else 0
    else:
        # A column that the user set to numeric: what is in no cell is text.
        tallies = base_tallies(known, rows, tally.TEXT)
        tallies[[tally.TEXT, tally.FRACTIONAL]] = known.present - n, n
    return tallies


def _numbers_as_words(
    known: FeatureStatistics,
    exact: Spread | None,
    *,
    role: Role,
    rows: int,
    kind: Kind,
) -> RecoveredFeature:
    """Count numbers by their texts, as the user wants."""
    if kind == "boolean" and known.present:
        raise BaselineError(
            f"column {known.name!r} is set to boolean but holds no true or false: "
            "leave its kind out, or set it to discrete or categorical"
        )
    counts: dict[str, int] = {}
    if exact is not None:
        pairs = zip(exact.values.tolist(), exact.counts.tolist(), strict=True)
        counts = {number_word(value): count for value, count in pairs}
    inferred = TYPES.get(known.inferred_type, "Fractional")
    tallies = _tallies(known, inferred, rows=rows, n=sum(counts.values()))
    categories = ("false", "true") if kind == "boolean" else None
    return count_named(known, counts, tallies, role=role, kind=kind, categories=categories)
