"""Retraining where a column is free text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from driftgauge.capture.text_names import text_parts
from driftgauge.errors import TrainingError
from driftgauge.training.logistic import decode_model
from driftgauge.windows import format_time
from lambdas.retraining import RetrainingFiles
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    STORE,
    VARIANT,
    World,
    batch,
    deployed,
    ground_truth_lines,
    monitor,
    scores_of,
    values,
)

ROWS = 200


def note(i: int) -> str:
    """A text of its own for each row, with what CSV has to quote."""
    return f'Customer {i} says: "the parcel, number {i * 7},\ncame {i % 13} days late"'


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[World]:
    config = monitor(
        retraining={"enabled": True, "lookback": "2d", "min_rows": 100, "min_label_coverage": 0.1},
        **getattr(request, "param", {}),
    )
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        yield world


def prepared(world: World, *, amounts: bool = True) -> dict[str, Any]:
    """Training data, captures and labels with a text; returns the plan after ``prepare``."""
    numbers, _ = values(ROWS, seed=3)
    scores = scores_of(numbers)
    train, captured = [], []
    for i, (amount, score) in enumerate(zip(numbers, scores, strict=True)):
        inputs = {**({"amount": amount} if amounts else {}), "note": note(i)}
        train.append(json.dumps({"late": int(score > 0.5), "score": score, **inputs}))
        record = {
            "captureData": {
                "endpointInput": {"data": json.dumps(inputs), "encoding": "JSON"},
                # A champion that is wrong, so that any challenger wins.
                "endpointOutput": {"data": json.dumps({"score": 1 - score}), "encoding": "JSON"},
            },
            "eventMetadata": {
                "eventId": f"e-{i}",
                "inferenceTime": format_time(HOUR + timedelta(seconds=10 * i)),
            },
        }
        captured.append(json.dumps(record))
    event = world.put(STORE, "loans/training-data/train.jsonl", "\n".join(train).encode())
    assert world.call("baseline", batch(event)) == {"batchItemFailures": []}
    place = f"{HOUR:%Y/%m/%d/%H}"
    key = f"captures/loans-endpoint/{VARIANT}/{place}/a.jsonl"
    world.put(CAPTURES, key, "\n".join(captured).encode())
    labels = ground_truth_lines([int(score > 0.5) for score in scores])
    world.put(CAPTURES, f"ground-truth/{place}/a.jsonl", labels)
    files = RetrainingFiles.of(world.store, "mine")
    plan = {
        "go": True,
        "notify": True,
        "reason": "",
        "monitor": "loans",
        "variant": VARIANT,
        "execution": "mine",
        "execution_arn": "arn",
        "started": format_time(HOUR + timedelta(hours=1)),
        "version": "v2",
        "drift_since": format_time(HOUR),
        "until": format_time(HOUR + timedelta(hours=1)),
        "bucket": STORE,
        "files": {name: getattr(files, name) for name in files.__dataclass_fields__},
        "trainer": "builtin",
        "trainer_function_arn": "",
        "sagemaker": {},
        "approval": False,
        "approval_timeout": 60,
    }
    found = world.call("prepare", {"plan": plan})
    assert (found["enough"], found["rows"], found["labelled"]) == (True, ROWS, ROWS)
    return plan


@pytest.mark.parametrize(
    "world", [{}, {"features": {"note": {"kind": "text"}}}], indirect=True, ids=["seen", "said"]
)
def test_the_built_in_trainer_leaves_texts_out_and_says_so(world: World) -> None:
    plan = prepared(world)
    world.printed()
    trained = world.call("train", {"plan": plan})
    assert trained["left_out"] == ["note"]
    (warning,) = [line for line in world.printed() if line.get("level") == "WARNING"]
    assert warning["columns"] == ["note"]
    model = decode_model(world.store.objects.read(plan["files"]["model"]))
    assert ([term.name for term in model.numeric], model.categorical) == (["amount"], ())


@pytest.mark.parametrize("world", [{"features": {"note": {"kind": "text"}}}], indirect=True)
def test_trainers_get_the_texts_and_the_new_baseline_measures_them(world: World) -> None:
    plan = prepared(world)
    train = world.store.objects.read(plan["files"]["train"]).decode()
    assert 'says: ""the parcel, number 7,\ncame 1 days late""' in train
    world.call("train", {"plan": plan})
    world.call("compare", {"plan": plan})
    run = world.function("runtime").runtime()
    old = run.baseline(world.store, world.store.read_current()[0].baseline)
    key = plan["files"]["baseline"]
    assert world.store.objects.read(key).count(b"Customer ") == ROWS
    module = world.function("baseline")
    config = world.monitors.monitors[0]
    module.build(
        run,
        config,
        training_key=key,
        outcomes_key=plan["files"]["outcomes"],
        model_key=plan["files"]["model"],
        version="v2",
        created=HOUR,
    )
    new = run.baseline(world.store, "v2")
    assert set(text_parts("note")) <= set(new.spec.inputs)
    assert new.spec.inputs == old.spec.inputs
    for part in text_parts("note"):
        assert new.profile.feature(part).mean == pytest.approx(old.profile.feature(part).mean)


@pytest.mark.parametrize("world", [{"features": {"note": {"kind": "categorical"}}}], indirect=True)
def test_a_text_that_is_set_to_be_a_category_is_learned_from(world: World) -> None:
    plan = prepared(world)
    assert world.call("train", {"plan": plan})["left_out"] == []


def test_nothing_but_texts_is_a_failure_that_says_what_to_set(world: World) -> None:
    plan = prepared(world, amounts=False)
    with pytest.raises(TrainingError, match=r"free text \(note\).*retraining\.trainer"):
        world.call("train", {"plan": plan})
