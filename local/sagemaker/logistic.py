"""The image ``driftgauge-logistic``: driftgauge's built-in logistic regression as a container.

Model data: ``model.json`` as ``driftgauge.training.logistic.encode_model`` writes it, and
``features.json``, the names of the inputs in the order of a request's cells; the environment
variable ``FEATURES`` (names separated by commas) takes the place of the latter.

It serves ``text/csv`` (no header, one row a line; one score a line comes back), and, one row a
line or as ``instances``, ``application/jsonlines`` and ``application/json`` with ``features``.

It trains on the channel ``train`` (CSV with a header) with the hyperparameters ``label``,
``prediction`` (the champion's score, which is not learnt from) and optionally ``l2``, and scores
the channel ``scoring``, if there is one, into ``output/data/predictions.csv``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from driftgauge.capture.table import read_table
from driftgauge.capture.types import column_of_values
from driftgauge.columns import Column
from driftgauge.errors import DriftgaugeError
from driftgauge.training.dataset import concatenate_columns, decode_rows
from driftgauge.training.logistic import LogisticModel, decode_model, encode_model, train_logistic
from local.sagemaker.images import ContainerError, Reply, Serve


def load(folder: Path, environment: Mapping[str, str]) -> Serve:
    """Load a model for serving."""
    model = decode_model((folder / "model.json").read_bytes())
    if "FEATURES" in environment:
        features = tuple(environment["FEATURES"].split(","))
    else:
        features = tuple(json.loads((folder / "features.json").read_text(encoding="utf-8")))

    def serve(body: bytes, content_type: str, accept: str | None) -> Reply:
        kind = content_type.partition(";")[0].strip().lower()
        try:
            if kind == "text/csv":
                scores = _score_csv(model, features, body)
                return Reply("\n".join(map(repr, scores)).encode(), "text/csv; charset=utf-8")
            if kind == "application/json":
                rows = [row["features"] for row in json.loads(body)["instances"]]
                answer = {"predictions": [{"score": s} for s in _score(model, features, rows)]}
                return Reply(json.dumps(answer).encode(), "application/json")
            if kind == "application/jsonlines":
                rows = [json.loads(line)["features"] for line in body.splitlines() if line.strip()]
                lines = [json.dumps({"score": s}) for s in _score(model, features, rows)]
                return Reply("\n".join(lines).encode(), "application/jsonlines")
        except (DriftgaugeError, ValueError, KeyError, TypeError) as error:
            raise ContainerError(400, f"the request cannot be read: {error}") from error
        raise ContainerError(415, f"content type {content_type!r} is not supported")

    return serve


def _score_csv(model: LogisticModel, features: tuple[str, ...], body: bytes) -> list[float]:
    scores: list[float] = []
    stream = io.BytesIO(body)
    for table in read_table(stream, source="request", format="csv", header=False, names=features):
        scores += model.score(table.columns, rows=table.rows).tolist()
    return scores


def _score(
    model: LogisticModel, features: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> list[float]:
    uneven = [len(row) for row in rows if len(row) != len(features)]
    if uneven:
        raise ContainerError(400, f"a row has {uneven[0]} features, the model {len(features)}")
    columns = {
        name: column_of_values([row[place] for row in rows]) for place, name in enumerate(features)
    }
    scores: list[float] = model.score(columns, rows=len(rows)).tolist()
    return scores


def train(folder: Path) -> None:
    """Train a model and score the channel ``scoring``."""
    settings = json.loads((folder / "input/config/hyperparameters.json").read_text("utf-8"))
    tables = _tables(folder / "input/data/train")
    rows = decode_rows(tables, prediction=settings["prediction"], label=settings["label"])
    now = datetime.now(UTC)
    model = train_logistic(
        rows.columns,
        rows.labels,
        version=settings.get("version", f"{now:%Y%m%dT%H%M%SZ}"),
        created=now,
        l2=float(settings.get("l2", "1.0")),
    )
    (folder / "model/model.json").write_bytes(encode_model(model))
    (folder / "model/features.json").write_text(json.dumps(list(rows.columns)), "utf-8")
    scoring = folder / "input/data/scoring"
    if scoring.is_dir():
        columns, count = _columns(scoring)
        scores = model.score(columns, rows=count).tolist()
        lines = ["score", *map(repr, scores)]
        (folder / "output/data/predictions.csv").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"log loss of training: {model.log_loss:.6f} nats a row, {model.rows} rows")


def _tables(channel: Path) -> list[Any]:
    tables: list[Any] = []
    for path in sorted(channel.rglob("*.csv*")):
        with path.open("rb") as stream:
            tables += read_table(stream, source=path.name, format="csv", header=True)
    return tables


def _columns(channel: Path) -> tuple[dict[str, Column], int]:
    tables = _tables(channel)
    sizes = [table.rows for table in tables]
    columns = {
        name: concatenate_columns([table.columns.get(name) for table in tables], sizes=sizes)
        for name in (tables[0].columns if tables else {})
    }
    return columns, sum(sizes)
