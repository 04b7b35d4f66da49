"""Captures to measure with: 20 numeric and 5 categorical features, one score, in CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NUMERIC = 20
CATEGORICAL = 5
DISTINCT = 20_000
SECONDS_PER_DAY = 86_400
INPUTS = tuple(f"n{i}" for i in range(NUMERIC)) + tuple(f"c{i}" for i in range(CATEGORICAL))
OUTPUTS = ("score",)


def input_rows(*, rows: int, seed: int) -> list[str]:
    """Return CSV rows of the 25 features."""
    generator = np.random.default_rng(seed)
    numbers = generator.lognormal(3.0, 1.0, (rows, NUMERIC))
    words = generator.zipf(1.6, (rows, CATEGORICAL)) % 40
    return [
        ",".join([*(f"{value:.5g}" for value in row), *(f"level-{word}" for word in levels)])
        for row, levels in zip(numbers.tolist(), words.tolist(), strict=True)
    ]


def scores(*, rows: int, seed: int) -> list[str]:
    """Return CSV rows of the one output."""
    return [f"{value:.6f}" for value in np.random.default_rng(seed).beta(2, 5, rows).tolist()]


def write_training_data(path: Path, *, rows: int) -> None:
    """Write training data with a header and the model's predictions."""
    lines = [
        f"{score},{features}"
        for score, features in zip(
            scores(rows=rows, seed=1), input_rows(rows=rows, seed=2), strict=True
        )
    ]
    header = ",".join((*OUTPUTS, *INPUTS))
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def write_captures(path: Path, *, rows: int, rows_per_record: int) -> None:
    """Write one day of captured traffic; payloads repeat after ``DISTINCT`` rows, ids never."""
    distinct = min(rows, DISTINCT)
    inputs = input_rows(rows=distinct, seed=3)
    outputs = scores(rows=distinct, seed=4)
    records = rows // rows_per_record
    with path.open("w", encoding="utf-8") as stream:
        for record in range(records):
            first = record * rows_per_record % distinct
            chosen = slice(first, first + rows_per_record)
            second = record * SECONDS_PER_DAY // records
            clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
            stream.write(
                '{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT",'
                '"data":"'
                + "\\n".join(inputs[chosen])
                + '","encoding":"CSV"},"endpointOutput":{"observedContentType":'
                '"text/csv; charset=utf-8","mode":"OUTPUT","data":"'
                + "\\n".join(outputs[chosen])
                + '","encoding":"CSV"}},"eventMetadata":{"eventId":'
                f'"{record:08x}-0000-4000-8000-000000000000",'
                f'"inferenceTime":"2026-01-01T{clock}Z"}},"eventVersion":"0"}}\n'
            )
