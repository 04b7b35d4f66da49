"""Rows and counts of bias, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftgauge.fairness.counts import BiasCounts, FacetCounts, count_bias
from driftgauge.fairness.spec import BiasSpec, Criterion, FacetSpec
from tests.columns import Value, column_of

SEX = FacetSpec(column="sex", sensitive=Criterion(values=("F",)))
SPEC = BiasSpec(label="y", positive=Criterion(values=("1",)), facets=(SEX,))


def counted(
    spec: BiasSpec,
    *,
    labels: Sequence[Value] | None = None,
    predictions: Sequence[Value] | None = None,
    **columns: Sequence[Value],
) -> BiasCounts:
    """Count rows given as plain values."""
    marks = [
        None if values is None else spec.positive.marks(column_of(values))
        for values in (labels, predictions)
    ]
    return count_bias(
        spec,
        columns={name: column_of(values) for name, values in columns.items()},
        labels=marks[0],
        predictions=marks[1],
    )


def of_cells(a: Sequence[Sequence[int]], d: Sequence[Sequence[int]]) -> BiasCounts:
    """Make counts of one facet from counts[label][prediction] of either group."""
    cells = np.zeros((2, 3, 3), dtype=np.int64)
    cells[:, :2, :2] = [a, d]
    facet = FacetCounts(groups={"": tuple(cells.ravel().tolist())})
    return BiasCounts(spec=SPEC, rows=int(cells.sum()), facets=(facet,))
