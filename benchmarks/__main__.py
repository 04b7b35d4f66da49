"""Measure everything the README quotes: `python -m benchmarks [--small]`."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import experiment_simulation
from benchmarks.captures import OUTPUTS, write_captures, write_training_data
from benchmarks.label_join import label_table
from benchmarks.stages import ROOT, measure

HANDLERS = (
    "profile",
    "evaluate",
    "baseline",
    "notify",
    "guard",
    "prepare",
    "train",
    "compare",
    "promote",
)

FUNCTION_ENVIRONMENT = {
    "STORE_BUCKET": "store",
    "CAPTURE_BUCKET": "captures",
    "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
    "DEPLOYMENT": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
}


_STAGES = {
    "scan": "limit: count the newlines",
    "whole": "bytes to verdicts",
    "count": "bytes to profiles",
    "decode": "of that: bytes to columns",
    "profile": "of that: columns to profile",
    "joint": "of that: sums over whole rows",
    "judge": "judge (one call)",
}


def main() -> None:
    """Generate captures, time each stage, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--small", action="store_true", help="100k rows only")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each stage (median shown)")
    options = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with console.status("baseline from 100,000 rows of training data"):
            _make_baseline(folder)
        sizes = (100_000,) if options.small else (100_000, 1_000_000)
        for rows in sizes:
            for rows_per_record in (1, 100):
                with console.status(f"{rows:,} rows, {rows_per_record} a record"):
                    write_captures(
                        folder / "capture.jsonl", rows=rows, rows_per_record=rows_per_record
                    )
                    console.print(_stage_table(folder, rows, rows_per_record, options.repeat))
        with console.status("merging 10,000 profiles"):
            console.print(_merge_line(folder, options.repeat))
    with console.status("joining labels"):
        console.print(label_table(sizes[-1]))
    with console.status("experiments"):
        runs = 1000 if options.small else experiment_simulation.RUNS
        console.print(experiment_simulation.methods(runs))
        console.print(experiment_simulation.harm(runs))
    console.print(_size_lines())
    with console.status("cold imports"):
        console.print(_import_table(options.repeat))
    console.print(_asset_line())


def _make_baseline(folder: Path) -> None:
    from driftgauge.baseline import build_baseline, write_baseline
    from driftgauge.capture.table import read_table

    data = folder / "training.csv"
    write_training_data(data, rows=100_000)
    with data.open("rb") as stream:
        baseline = build_baseline(
            read_table(stream, source=str(data), format="csv", header=True),
            version="bench",
            outputs=OUTPUTS,
            created=datetime(2026, 1, 1, tzinfo=UTC),
        )
    target = folder / "baseline"
    target.mkdir()
    write_baseline(baseline, lambda name, content: _write(target / name, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _median(stage: str, folder: Path, repeat: int) -> dict[str, Any]:
    runs = [measure(stage, folder) for _ in range(repeat)]
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _stage_table(folder: Path, rows: int, rows_per_record: int, repeat: int) -> Table:
    table = Table(title=f"{rows:,} rows, {rows_per_record} a record, 25 features and a score")
    headings = ("stage", "CPU s", "rows/s", "MB/s", "peak MB", "above imports", "profile bytes")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in ("scan", "whole", "count", "decode", "profile", "joint", "judge"):
        result = _median(stage, folder, repeat)
        seconds = result["seconds"]
        per_row = stage != "judge"
        table.add_row(
            _STAGES.get(stage, stage),
            f"{seconds:.3f}",
            f"{result['rows'] / seconds:,.0f}" if per_row else "",
            f"{result['bytes'] / seconds / 1e6:,.0f}" if "bytes" in result else "",
            f"{result['peak_mb']:,.0f}",
            f"{result['above_mb']:,.0f}" if "above_mb" in result else "",
            f"{result['profile_bytes']:,.0f}" if "profile_bytes" in result else "",
        )
    return table


def _merge_line(folder: Path, repeat: int) -> str:
    result = _median("merge", folder, repeat)
    return (
        f"merge of {result['profiles']:,.0f} profiles of 25 features and a score: "
        f"{result['seconds']:.2f} s ({result['profile_bytes']:,.0f} bytes each)"
    )


def _size_lines() -> str:
    """Return the bytes of a profile of 100 columns: 80 numeric, 20 categorical of 40 values."""
    from driftgauge.baseline import build_baseline
    from driftgauge.capture.table import Table
    from driftgauge.capture.types import column_of_values
    from driftgauge.profile.build import profile_columns
    from driftgauge.profile.codec import encode_profile

    generator = np.random.default_rng(5)

    def table(rows: int) -> Table:
        columns = {
            f"n{i}": column_of_values(generator.normal(size=rows).tolist()) for i in range(80)
        }
        for i in range(20):
            words = generator.zipf(1.6, rows) % 40
            columns[f"c{i}"] = column_of_values([f"level-{word}" for word in words.tolist()])
        return Table(rows=rows, columns=columns)

    created = datetime(2026, 1, 1, tzinfo=UTC)
    spec = build_baseline([table(20_000)], version="sizes", created=created).spec
    sizes = []
    for rows in (1_000, 20_000):
        some = table(rows)
        size = len(encode_profile(profile_columns(spec, some.columns, rows=rows)))
        sizes.append(f"{size:,} bytes for {rows:,} rows")
    return f"profile of 100 columns: {', '.join(sizes)}"


def _import_table(repeat: int) -> Table:
    table = Table(title="cold import of a handler, bare interpreter start subtracted")
    table.add_column("handler")
    table.add_column("seconds", justify="right")
    bare = statistics.median(_import_seconds("pass") for _ in range(repeat))
    for handler in HANDLERS:
        seconds = statistics.median(
            _import_seconds(f"import lambdas.{handler}") for _ in range(repeat)
        )
        table.add_row(handler, f"{seconds - bare:.2f}")
    return table


def _import_seconds(statement: str) -> float:
    code = (
        f"import time; t = time.perf_counter(); exec({statement!r}); print(time.perf_counter() - t)"
    )
    finished = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, **FUNCTION_ENVIRONMENT},
    )
    return float(finished.stdout)


def _asset_line() -> str:
    layers = sorted((ROOT / "cdk.out").glob("asset.*/python"))
    if not layers:
        return "dependency layer: not built yet (make synth)"
    size = sum(path.stat().st_size for path in layers[-1].rglob("*") if path.is_file())
    return f"dependency layer, unzipped: {size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
