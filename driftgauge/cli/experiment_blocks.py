"""Rows of an experiment counted: what an arm did, as a whole or in each block of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.experiments.arms import (
    Arm,
    Segment,
    Sums,
    arm_of_outcomes,
    sums_of_rate,
    sums_of_values,
)
from driftgauge.experiments.blocks import Block, Blocks, blocks_of
from driftgauge.labels.predictions import Predictions
from driftgauge.profile.words import count_words
from driftgauge.quality.counts import count_outcomes
from driftgauge.quality.spec import MOST_SEGMENTS, OutcomeSpec, category_index, specify_outcomes
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table, with_classes
from driftgauge.windows import DEFAULT_ANCHOR, WindowGrid

_KINDS = ("mean of ", "missing ")


def column_of_metric(metric: str) -> str | None:
    """Return the column that a metric is of; None: it is one of predictions and labels.

    Examples
    --------
    >>> column_of_metric("mean of latency"), column_of_metric("accuracy")
    ('latency', None)
    """
    kind = next((kind for kind in _KINDS if metric.startswith(kind)), None)
    return metric.removeprefix(kind) if kind else None


@dataclass(frozen=True, kw_only=True)
class ArmCounter:
    """Counts rows of an arm.

    Attributes
    ----------
    columns : OutcomeColumns or None
        With classes. None: all metrics are of columns.
    spec : OutcomeSpec or None
        What outcomes are counted by.
    metrics : tuple of str
        The metrics of columns among those compared.
    categories : mapping of str to tuple of str
        Those of each column to slice by.
    """

    columns: OutcomeColumns | None
    spec: OutcomeSpec | None
    metrics: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]

    def arm(self, rows: Predictions) -> Arm:
        """Return what an arm did; each record is a request."""
        table = rows.columns
        arm = Arm(requests=rows.records)
        if self.columns is not None and self.spec is not None:
            outcomes = outcomes_of_table(self.columns, table)
            arm = arm_of_outcomes(count_outcomes(self.spec, outcomes), requests=rows.records)
        if not self.metrics:
            return arm
        everywhere = np.arange(rows.rows)
        return replace(
            arm,
            metrics={**arm.metrics, **self._sums(table, everywhere)},
            segments={
                segment: {**arm.segments.get(segment, {}), **self._sums(table, index)}
                for segment, index in self._segments(table)
            },
        )

    def _sums(self, table: Mapping[str, Column], index: NDArray[np.intp]) -> dict[str, Sums]:
        found = {}
        for metric in self.metrics:
            column = table[column_of_metric(metric) or metric]
            if metric.startswith(_KINDS[0]):
                found[metric] = sums_of_values(column.numbers[index])
            else:
                missing = 0 if column.missing is None else int(column.missing[index].sum())
                found[metric] = sums_of_rate(missing, index.shape[0])
        return found

    def _segments(self, table: Mapping[str, Column]) -> Iterator[tuple[Segment, NDArray[np.intp]]]:
        for name, categories in self.categories.items():
            places = category_index(table[name], categories)
            for at, category in enumerate(categories):
                yield (name, category), np.flatnonzero(places == at)


def counter_of(
    columns: OutcomeColumns | None,
    metrics: Sequence[str],
    segments: Sequence[str],
    parts: Sequence[Predictions],
) -> ArmCounter:
    """Choose classes, bins and categories from all rows there are.

    Raises
    ------
    QualityError
        If the classes are not given and do not follow from labels and predictions.
    """
    own = tuple(metric for metric in metrics if column_of_metric(metric))
    tables = [part.columns for part in parts]
    if columns is None:
        return ArmCounter(
            columns=None, spec=None, metrics=own, categories=_categories(tables, segments)
        )
    columns = with_classes(columns, tables)
    first, *more = [outcomes_of_table(columns, table) for table in tables]
    spec = specify_outcomes(first, *more)
    return ArmCounter(columns=columns, spec=spec, metrics=own, categories=spec.segments)


def _categories(
    tables: Sequence[Mapping[str, Column]], segments: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the categories with most rows, as those of outcomes are chosen."""
    found = {}
    for name in segments:
        total: Counter[str] = Counter()
        for table in tables:
            total.update(count_words(table[name]))
        most = sorted(total, key=lambda word, total=total: (-total[word], word))  # type: ignore[misc]
        found[name] = tuple(sorted(most[:MOST_SEGMENTS]))
    return found


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How time is cut into blocks.

    Attributes
    ----------
    every : timedelta
        Length of a block.
    share : float
        The challenger's planned share of the traffic.
    changes : tuple of (datetime, float)
        Later shares and from when on they hold, in order; a block ends there.
    """

    every: timedelta
    share: float
    changes: tuple[tuple[datetime, float], ...] = ()

    def blocks(
        self, counter: ArmCounter, *, champion: Predictions, challenger: Predictions
    ) -> Blocks:
        """Count both arms block by block."""
        ours = {start: counter.arm(rows) for start, rows in self._cut(champion)}
        theirs = {start: counter.arm(rows) for start, rows in self._cut(challenger)}
        return blocks_of(
            Block(
                start=start,
                share=self._share_at(start),
                champion=ours.get(start, Arm()),
                challenger=theirs.get(start, Arm()),
            )
            for start in sorted({*ours, *theirs})
        )

    def span(self, *arms: Predictions) -> tuple[datetime, datetime]:
        """Return the start of the first block and the end of the last one."""
        times = [int(t) for arm in arms if arm.rows for t in (arm.times.min(), arm.times.max())]
        grid = WindowGrid(self.every)
        first, last = (datetime.fromtimestamp(t, UTC) for t in (min(times), max(times)))
        return grid.window_of(first).start, grid.window_of(last).end

    def _share_at(self, start: datetime) -> float:
        return next((s for since, s in reversed(self.changes) if since <= start), self.share)

    def _cut(self, rows: Predictions) -> Iterator[tuple[datetime, Predictions]]:
        length = int(self.every.total_seconds())
        anchor = int(DEFAULT_ANCHOR.timestamp())
        starts = rows.times - (rows.times - anchor) % length
        for since, _ in self.changes:
            at = int(np.ceil(since.timestamp()))
            starts = np.where(rows.times >= at, np.maximum(starts, at), starts)
        order = np.argsort(starts, kind="stable")
        values, begins = np.unique(starts[order], return_index=True)
        for value, index in zip(values.tolist(), np.split(order, begins[1:]), strict=True):
            yield datetime.fromtimestamp(value, UTC), take_rows(rows, index)


def take_rows(rows: Predictions, index: NDArray[np.intp] | NDArray[np.bool_]) -> Predictions:
    """Return some rows."""
    return Predictions(
        ids=rows.ids[index],
        row=rows.row[index],
        size=rows.size[index],
        times=rows.times[index],
        columns={name: column.take(index) for name, column in rows.columns.items()},
    )
