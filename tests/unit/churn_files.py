"""A small world in files: training data, captures that stay as they were, and ones that move."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from driftgauge.cli import main

START = datetime(2026, 3, 1, tzinfo=UTC)


def row(source: random.Random, *, moved: bool) -> tuple[str, str, float]:
    plan = source.choices(["basic", "plus", "pro"], [1, 1, 8] if moved else [5, 3, 2])[0]
    age = source.gauss(40, 10)
    return f"{age:.2f}", plan, age / 100


def record(
    moment: datetime, age: str, plan: str, score: float, *, event: str = "e"
) -> dict[str, Any]:
    def payload(mode: str, data: str) -> dict[str, str]:
        return {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}

    return {
        "captureData": {
            "endpointInput": payload("INPUT", f"{age},{plan}"),
            "endpointOutput": payload("OUTPUT", f"{score:.4f}"),
        },
        "eventMetadata": {
            "eventId": event,
            "inferenceTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "eventVersion": "0",
    }


def write_captures(
    folder: Path, *, days: int, rows: int, moved_from: int | None = None, seed: int = 1
) -> Path:
    """Write a file a day in SageMaker's layout, every second one gzipped."""
    source = random.Random(seed)  # noqa: S311
    for day in range(days):
        at = START + timedelta(days=day)
        place = folder / f"churn/AllTraffic/{at:%Y/%m/%d/%H}"
        place.mkdir(parents=True)
        lines = [
            json.dumps(
                record(
                    at + timedelta(seconds=60 * i),
                    *row(source, moved=moved_from is not None and day >= moved_from),
                )
            )
            for i in range(rows)
        ]
        data = "\n".join(lines).encode()
        if day % 2:
            (place / "00-00-000-a.jsonl.gz").write_bytes(gzip.compress(data))
        else:
            (place / "00-00-000-a.jsonl").write_bytes(data)
    return folder


def write_training_data(path: Path, *, header: bool = True) -> Path:
    source = random.Random(99)  # noqa: S311
    lines = ["label,score,age,plan"] if header else []
    for _ in range(4000):
        age, plan, score = row(source, moved=False)
        lines.append(f"{int(source.random() < 0.3)},{score:.4f},{age},{plan}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_world(folder: Path) -> Path:
    """Write training data, its baseline, quiet captures and captures that move on day 4."""
    train = write_training_data(folder / "train.csv")
    out = str(folder / "baseline")
    arguments = ["--data", str(train), "--label", "label", "--outputs", "score"]
    assert main(["baseline", *arguments, "--out", out]) == 0
    write_captures(folder / "quiet", days=4, rows=200)
    write_captures(folder / "moved", days=6, rows=200, moved_from=3)
    return folder
