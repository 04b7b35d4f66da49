"""Predictions and ground truth from plain Python values, and a join of them by dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from driftgauge.capture.ground_truth import GroundTruth
from driftgauge.columns import Column, RowBatch
from driftgauge.labels.predictions import Predictions, predictions_of
from driftgauge.labels.standing import DELAY_EDGES
from driftgauge.labels.truth import Labels, labels_of
from tests.columns import column_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Label = str | float


@dataclass(frozen=True)
class Record:
    """One call: its id, its time in seconds and its scores."""

    name: str
    time: int
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Entry:
    """One line of a ground-truth object."""

    name: str
    values: tuple[Label, ...]
    collected: int
    modified: int
    digest: str
    line: int

    @property
    def order(self) -> tuple[int, int, str, int]:
        return self.collected, self.modified, self.digest, self.line


def batch_of(records: Sequence[Record]) -> RowBatch:
    of_row = [i for i, record in enumerate(records) for _ in record.scores]
    scores: list[float | int | bool | str | None] = [
        score for record in records for score in record.scores
    ]
    return RowBatch(
        rows=len(of_row),
        records=len(records),
        columns={"p": column_of(scores), "carrier": column_of(["AA"] * len(of_row))},
        inference_time=np.array([records[i].time for i in of_row], dtype=np.int64),
        event_ids=tuple(record.name for record in records),
        record_of_row=np.array(of_row, dtype=np.int32),
    )


def predicted(records: Sequence[Record]) -> Predictions:
    return predictions_of(batch_of(records), ["p", "carrier"])


def labels_from(
    truths: Sequence[tuple[str, tuple[Label, ...]]],
    *,
    collected: int = 3600,
    modified: int | None = None,
    digest: str = "00" * 16,
) -> Labels:
    written = collected if modified is None else modified
    return labels_of(
        [GroundTruth(event_id=name, labels=values) for name, values in truths],
        collected=EPOCH + timedelta(seconds=collected),
        modified=EPOCH + timedelta(seconds=written),
        digest=digest,
    )


def values_of(column: Column) -> list[Label | None]:
    """Return what a column says in each row; None where it says nothing."""
    found: list[Label | None] = []
    for i, number in enumerate(column.numbers.tolist()):
        if column.missing is not None and column.missing[i]:
            found.append(None)
        elif column.codes is not None and column.codes[i] >= 0:
            found.append(column.words[column.codes[i]])
        else:
            found.append(number)
    return found


@dataclass
class NaiveJoin:
    """What the join should say, one record after the other."""

    labels: dict[tuple[str, int, int], Label]
    rows: int = 0
    repeated: int = 0
    labelled: int = 0
    mismatched: int = 0
    duplicates: int = 0
    corrected: int = 0
    delays: tuple[int, ...] = ()


def naive_join(records: Sequence[Record], entries: Sequence[Entry]) -> NaiveJoin:
    by_name: dict[str, list[Entry]] = {}
    for entry in set(entries):
        by_name.setdefault(entry.name, []).append(entry)
    result = NaiveJoin(labels={})
    delays = [0] * len(DELAY_EDGES)
    seen: set[str] = set()
    for record in records:
        result.rows += len(record.scores)
        mine = sorted(by_name.get(record.name, ()), key=lambda entry: entry.order)
        if record.name in seen:
            result.repeated += 1
        elif mine:
            _count_superseded(result, mine)
        seen.add(record.name)
        if not mine:
            continue
        last = mine[-1]
        if len(last.values) != len(record.scores):
            result.mismatched += len(record.scores)
            continue
        first = next(entry for entry in mine if len(entry.values) == len(last.values))
        waited = max(0, first.collected - record.time)
        for row, value in enumerate(last.values):
            result.labelled += 1
            result.labels[record.name, len(record.scores), row] = value
            delays[sum(edge <= waited for edge in DELAY_EDGES) - 1] += 1
    result.delays = tuple(delays)
    return result


def _count_superseded(result: NaiveJoin, mine: Sequence[Entry]) -> None:
    for before, after in pairwise(mine):
        if before.values == after.values:
            result.duplicates += 1
        else:
            result.corrected += 1


def counted(result: NaiveJoin) -> Mapping[str, object]:
    return {name: value for name, value in vars(result).items() if name != "labels"}
