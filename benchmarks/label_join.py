"""A million predictions and their labels: `python -m benchmarks.label_join [--rows 1000000]`.

Labels arrive in random order in 200 ground-truth objects of ten days; some are late, doubled,
corrected, of nobody, or do not fit their record. The run fails unless every count is the one that
was generated.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.stages import measure
from driftgauge.capture.ground_truth import read_ground_truth
from driftgauge.columns import Column, Rejects, RowBatch, TypeCounts
from driftgauge.labels.codec import (
    decode_labels,
    decode_predictions,
    encode_labels,
    encode_predictions,
)
from driftgauge.labels.join import Joined, join_labels
from driftgauge.labels.predictions import Predictions, merge_predictions, predictions_of
from driftgauge.labels.standing import delay_bins
from driftgauge.labels.truth import Labels, labels_of, merge_labels
from driftgauge.quality.counts import OutcomeCounts, count_outcomes
from driftgauge.quality.spec import OutcomeSpec
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table

START = datetime(2026, 1, 1, tzinfo=UTC)
CARRIERS = ("AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN")
OBJECTS = 200
# Ten days in all.
SECONDS_OF_OBJECT = 4320
CAPTURES = 240
SHARE_OF_LONG_RECORDS = 0.01
ROWS_OF_LONG_RECORD = 5
SHARE_LABELLED = 0.9
SHARE_LATE = 0.1
SHARE_DUPLICATED = 0.03
SHARE_CORRECTED = 0.01
SHARE_ORPHANS = 0.02
SHARE_MISMATCHED = 0.001
NAMES = ("score", "carrier")


@dataclass(frozen=True)
class World:
    """Generated records, and what has to be found.

    Attributes
    ----------
    sizes, times : ndarray of int64, shape (records,)
        Rows and inference time of each record.
    labels : tuple of int
        Labelled rows of class 0 and of class 1.
    delays : tuple of int
        Labelled rows by their delay.
    expected : dict
        What the join must count.
    """

    sizes: NDArray[np.int64]
    times: NDArray[np.int64]
    labels: tuple[int, int]
    delays: tuple[int, ...]
    expected: dict[str, int]


class Stopwatch:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage."""
        started = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started


def write_world(folder: Path, rows: int) -> None:
    """Generate records and ground-truth objects, with the counts they must lead to."""
    generator = np.random.default_rng(20)
    sizes = _sizes(generator, rows)
    records = int(sizes.shape[0])
    times = int(START.timestamp()) + np.sort(generator.integers(0, 10 * 86_400, records))
    labelled = generator.random(records) < SHARE_LABELLED
    wrong = labelled & (generator.random(records) < SHARE_MISMATCHED)
    twice = labelled & ~wrong & (generator.random(records) < SHARE_DUPLICATED)
    corrected = labelled & ~wrong & ~twice & (generator.random(records) < SHARE_CORRECTED)
    orphans = round(records * SHARE_ORPHANS)
    first = generator.integers(0, 2, records)
    final = np.where(corrected, 1 - first, first)

    # Most labels are collected within hours, some only at the end; a second one comes later.
    late = generator.random(records) < SHARE_LATE
    wait = np.where(
        late, generator.integers(0, OBJECTS, records), generator.geometric(0.2, records)
    )
    slots = (times - int(START.timestamp())) // SECONDS_OF_OBJECT
    at = np.minimum(slots + wait, OBJECTS - 2)
    second = generator.integers(at + 1, OBJECTS)
    stray = generator.integers(0, OBJECTS, orphans).tolist()
    lines: list[list[str]] = [[] for _ in range(OBJECTS)]
    for record in generator.permutation(records + orphans).tolist():
        if record >= records:
            lines[stray[record - records]].append(_line(f"orphan-{record}", 1, 1))
        elif labelled[record]:
            size = int(sizes[record]) + int(wrong[record])
            lines[at[record]].append(_line(f"flight-{record}", int(first[record]), size))
            if twice[record] or corrected[record]:
                lines[second[record]].append(_line(f"flight-{record}", int(final[record]), size))
    for number, part in enumerate(lines):
        (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress("\n".join(part).encode(), 1))
    known = labelled & ~wrong
    expected = {
        "rows": rows,
        "records": records,
        "repeated": 0,
        "labelled": int(sizes[known].sum()),
        "mismatched": int(sizes[wrong].sum()),
        "duplicates": int(twice.sum()),
        "corrected": int(corrected.sum()),
        "orphans": orphans,
    }
    labels = np.bincount(final[known], sizes[known], minlength=2).astype(int).tolist()
    collected = int(START.timestamp()) + (at + 1) * SECONDS_OF_OBJECT
    delays = delay_bins(np.repeat((collected - times)[known], sizes[known]))
    np.savez(folder / "records.npz", sizes=sizes, times=times)
    (folder / "expected.json").write_text(
        json.dumps({"labels": labels, "delays": delays, "counts": expected})
    )


def _sizes(generator: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Return the rows of each record: mostly one, and as many rows as asked for in all."""
    long = round(rows * SHARE_OF_LONG_RECORDS / ROWS_OF_LONG_RECORD)
    sizes = np.ones(rows - long * (ROWS_OF_LONG_RECORD - 1), dtype=np.int64)
    sizes[:long] = ROWS_OF_LONG_RECORD
    generator.shuffle(sizes)
    return sizes


def _line(name: str, label: int, size: int) -> str:
    data = "\n".join([str(label)] * size)
    return json.dumps(
        {
            "groundTruthData": {"data": data, "encoding": "CSV"},
            "eventMetadata": {"eventId": name},
            "eventVersion": "0",
        }
    )


def _read_world(folder: Path) -> World:
    records = np.load(folder / "records.npz")
    expected = json.loads((folder / "expected.json").read_text())
    low, high = expected["labels"]
    return World(
        sizes=records["sizes"],
        times=records["times"],
        labels=(low, high),
        delays=tuple(expected["delays"]),
        expected=expected["counts"],
    )


def batches(world: World) -> Iterator[RowBatch]:
    """Yield the captured rows, one batch for each capture object."""
    generator = np.random.default_rng(21)
    for part in np.array_split(np.arange(world.sizes.shape[0]), CAPTURES):
        sizes = world.sizes[part]
        rows = int(sizes.sum())
        yield RowBatch(
            rows=rows,
            records=part.shape[0],
            columns={
                "score": Column(numbers=generator.random(rows), types=TypeCounts(fractional=rows)),
                "carrier": Column(
                    numbers=np.full(rows, np.nan),
                    types=TypeCounts(text=rows),
                    codes=generator.integers(0, len(CARRIERS), rows).astype(np.int32),
                    words=CARRIERS,
                ),
            },
            inference_time=np.repeat(world.times[part], sizes),
            event_ids=[f"flight-{record}" for record in part.tolist()],
            record_of_row=np.repeat(np.arange(part.shape[0], dtype=np.int32), sizes),
        )


def _encode(folder: Path, world: World, watch: Stopwatch) -> None:
    """Write prediction and label files, one object after the other, as the functions do."""
    for number, batch in enumerate(batches(world)):
        with watch.stage("predictions: digest, sort, encode"):
            data = encode_predictions(predictions_of(batch, NAMES))
        (folder / f"{number}.predictions").write_bytes(data)
    for number in range(OBJECTS):
        with watch.stage("labels: read ground truth"):
            stream = BytesIO((folder / f"{number}.jsonl.gz").read_bytes())
            truths = list(read_ground_truth(stream, source=str(number), rejects=Rejects()))
        with watch.stage("labels: digest, sort, encode"):
            hour = START + timedelta(seconds=SECONDS_OF_OBJECT * (number + 1))
            labels = labels_of(truths, collected=hour, modified=hour, digest=f"{number:032x}")
            data = encode_labels(labels)
        (folder / f"{number}.labels").write_bytes(data)


def _join(folder: Path, watch: Stopwatch) -> tuple[Predictions, Labels, Joined, int]:
    """Join everything at once; the last value is the number of labels of no prediction."""
    files = (folder / f"{number}.predictions" for number in range(CAPTURES))
    with watch.stage("decode and merge predictions"):
        predictions = merge_predictions(decode_predictions(file.read_bytes()) for file in files)
    matched: list[Labels] = []
    unmatched = 0
    for number in range(OBJECTS):
        with watch.stage("decode and match labels"):
            labels = decode_labels((folder / f"{number}.labels").read_bytes())
            matched.append(labels.matching(predictions.ids))
            unmatched += labels.without(predictions.ids).records
    with watch.stage("merge labels"):
        whole = merge_labels(matched)
    matched.clear()
    with watch.stage("join"):
        joined = join_labels(predictions, whole)
    return predictions, whole, joined, unmatched


def _count(predictions: Predictions, joined: Joined, watch: Stopwatch) -> OutcomeCounts:
    """Count the joined rows as an evaluation does."""
    columns = OutcomeColumns(
        problem="binary",
        label="label",
        probabilities=("score",),
        classes=("0", "1"),
        segments=("carrier",),
    )
    spec = OutcomeSpec(problem="binary", classes=("0", "1"), segments={"carrier": CARRIERS})
    with watch.stage("count outcomes"):
        table = {**predictions.columns, "label": joined.label}
        return count_outcomes(spec, outcomes_of_table(columns, table))


def _check(world: World, joined: Joined, unmatched: int) -> None:
    """Fail unless every count and every label is the one that was generated."""
    found = {name: getattr(joined.counts, name) for name in world.expected if name != "orphans"}
    found["orphans"] = unmatched
    if found != world.expected:
        raise SystemExit(f"the join found {found}, but {world.expected} was generated")
    numbers = joined.label.numbers
    labels = np.bincount(numbers[~np.isnan(numbers)].astype(np.intp), minlength=2).tolist()
    if tuple(labels) != world.labels or joined.counts.delays != world.delays:
        raise SystemExit(
            f"the join found {labels} labels of 0 and 1, not {world.labels}, or delays"
        )


def run_stages(
    folder: Path, *, resident_mb: Callable[[], float], peak_mb: Callable[[], float]
) -> dict[str, Any]:
    """Encode, join and count what is in a folder, and check it; CPU seconds, memory and sizes."""
    world, watch = _read_world(folder), Stopwatch()
    before = resident_mb()
    _encode(folder, world, watch)
    encoded = peak_mb() - before
    predictions, whole, joined, unmatched = _join(folder, watch)
    above = peak_mb() - before
    _count(predictions, joined, watch)
    _check(world, joined, unmatched)
    files = {kind: folder.glob(f"*.{kind}") for kind in ("predictions", "labels")}
    return {
        "seconds": watch.seconds,
        "expected": world.expected,
        "encode_mb": encoded,
        "join_mb": above,
        "count_mb": peak_mb() - before,
        "bytes": {
            "prediction files": sum(file.stat().st_size for file in files["predictions"]),
            "label files": sum(file.stat().st_size for file in files["labels"]),
            "predictions, merged": len(encode_predictions(predictions)),
            "labels, merged": len(encode_labels(whole)),
        },
    }


def label_table(rows: int) -> Table:
    """Generate, measure in a process of its own, and return what it took."""
    with tempfile.TemporaryDirectory() as scratch:
        write_world(Path(scratch), rows)
        result = measure("labels", Path(scratch))
    counts = ", ".join(f"{count:,} {name}" for name, count in result["expected"].items())
    table = Table(
        title=f"{rows:,} predictions joined with the labels of {OBJECTS} ground-truth objects",
        caption=f"as generated: {counts}",
    )
    table.add_column("stage")
    table.add_column("CPU s", justify="right")
    for name, seconds in result["seconds"].items():
        table.add_row(name, f"{seconds:.2f}")
    table.add_row("all", f"{sum(result['seconds'].values()):.2f}", end_section=True)
    for name, size in result["bytes"].items():
        table.add_row(f"{name}: bytes a predicted row", f"{size / rows:.1f}")
    for name in ("encode", "join", "count"):
        table.add_row(f"peak MB above imports, until {name}", f"{result[f'{name}_mb']:,.0f}")
    return table


def main() -> None:
    """Measure the join, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_join", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    Console(width=120).print(label_table(options.rows))


if __name__ == "__main__":
    main()
