"""Mutated files either make a baseline that can be stored and used, or raise BaselineError."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from driftgauge.baseline import build_baseline, read_baseline, write_baseline
from driftgauge.baseline_files import decode_files, recover_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.clarify_analysis import decode_analysis, encode_analysis
from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import BaselineError
from driftgauge.profile.build import profile_columns
from driftgauge.report.model_monitor import encode_statistics
from tests.columns import column_of

CREATED = datetime(2026, 3, 1, tzinfo=UTC)
_STRANGE: tuple[Any, ...] = (
    *(None, True, [], {}, "", "NaN", "Infinity", "x", "\ud800", "1e999"),
    *(0, -1, 1, 0.5, -0.0, 5e-324, 1.7e308, -1.7e308, 2**48, 2**63, 10**400, float("nan")),
)


def files(rows: int) -> dict[str, bytes]:
    chance = np.random.default_rng(rows)
    numbers = chance.normal(size=rows).round(3)
    columns = {
        "x": Column(numbers=numbers, types=TypeCounts(fractional=rows)),
        "n": Column(numbers=np.floor(numbers * 2), types=TypeCounts(integral=rows)),
        "w": column_of(chance.choice(["a", "b", "1"], rows).tolist()),
        "t": column_of([True, None] * (rows // 2)),
    }
    stored: dict[str, bytes] = {}
    table = Table(rows=rows, columns=columns)
    write_baseline(build_baseline([table], version="v", created=CREATED), stored.__setitem__)
    return stored


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every value in a document, as what holds it and its key."""
    found = []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((document, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def mutate(document: Any, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 5])):
        spots = places(document)
        if not spots:
            return
        # A sketch has most values; it is not the most interesting part.
        wanted = chance.random()
        holder, key = chance.choice(
            [spot for spot in spots if isinstance(spot[0], dict)] if wanted < 0.7 else spots
        )
        if wanted < 0.15:
            del holder[key]
        elif wanted < 0.25 and isinstance(holder[key], float):
            holder[key] = holder[key] * chance.choice([-1, 0.5, 3, 1e6])
        else:
            holder[key] = chance.choice(_STRANGE)


@pytest.mark.parametrize(("rows", "rounds"), [(20, 1500), (3_000, 150)])
def test_mutated_files_never_fail_otherwise(rows: int, rounds: int) -> None:
    chance = random.Random(rows)  # noqa: S311
    original = files(rows)
    used = 0
    for _ in range(rounds):
        documents = {
            name: json.loads(original[f"{name}.json"]) for name in ("statistics", "constraints")
        }
        mutate(documents["statistics"], chance)
        if chance.random() < 0.3:
            mutate(documents["constraints"], chance)
        data = {name: json.dumps(document).encode() for name, document in documents.items()}
        if chance.random() < 0.05:
            cut = chance.randrange(len(data["statistics"]))
            data["statistics"] = data["statistics"][:cut]
        try:
            baseline = recover_baseline(
                decode_files(statistics=data["statistics"], constraints=data["constraints"]),
                created=CREATED,
            )
        except BaselineError:
            continue
        used += 1
        stored: dict[str, bytes] = {}
        write_baseline(baseline, stored.__setitem__)
        again = read_baseline(stored.__getitem__)
        for feature in again.profile.features:
            assert 0 <= int(feature.counts.sum()) + feature.unseen_rows <= feature.present
            assert feature.counts.min(initial=0) >= 0
        json.loads(encode_statistics(again.profile))
        window = {"x": column_of([0.5] * 20), "w": column_of(["a"] * 20)}
        json.loads(encode_statistics(profile_columns(again.spec, window, rows=20)))
    # The loop is of use only if it gets far enough often enough.
    assert used > rounds // 10


def test_mutated_analyses_of_clarify_never_fail_otherwise() -> None:
    chance = random.Random(1)  # noqa: S311
    metric = {"name": "CI", "description": "Class Imbalance (CI)", "value": 0.25}
    stage = {
        "label": "y",
        "label_value_or_threshold": "1",
        "facets": {"Sex": [{"value_or_threshold": "0", "metrics": [metric, metric]}]},
    }
    shap = {"label0": {"global_shap_values": {"a": 0.5, "b": 0.1}, "expected_value": 0.2}}
    whole = {
        "version": "1.0",
        "pre_training_bias_metrics": stage,
        "post_training_bias_metrics": stage,
        "explanations": {"kernel_shap": shap},
    }
    used = 0
    for _ in range(2_000):
        document = json.loads(json.dumps(whole))
        mutate(document, chance)
        try:
            analysis = decode_analysis(json.dumps(document).encode())
        except BaselineError:
            continue
        used += 1
        assert decode_analysis(encode_analysis(analysis)) is not None
    assert used > 200
