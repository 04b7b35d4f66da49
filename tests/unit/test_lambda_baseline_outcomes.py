"""The outcomes of a baseline in the store: sidecars, retraining, and what comes before what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from driftgauge.baseline import build_baseline, write_baseline
from driftgauge.capture.table import read_table
from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import StoreError
from driftgauge.outcome_baseline import OutcomeBaseline, read_outcome_baseline
from driftgauge.quality.metrics import measure
from driftgauge.store import MonitorStore, S3Objects
from driftgauge.training.dataset import ServedRows, encode_rows
from lambdas.retraining import Plan, RetrainingFiles, SageMakerJob, to_payload
from tests.unit.lambda_world import (
    HOUR,
    STORE,
    VARIANT,
    World,
    batch,
    deployed,
    monitor,
    training_csv,
)

PLACE = "loans/training-data"
MODEL = b'{"intercept": 0.0, "coefficients": {"amount": 0.03}}'


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    config = monitor(
        outcomes={"segments": ["region"]},
        bias={"facets": [{"column": "region", "values": ["west"]}]},
        attribution={},
        retraining={"enabled": True},
    )
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        yield world


def outcomes(world: World, version: str | None = None) -> OutcomeBaseline | None:
    chosen = version or world.store.read_current()[0].baseline
    return read_outcome_baseline(
        lambda name: world.store.objects.read(world.store.baseline_key(chosen, name))
    )


def known(world: World, version: str | None = None) -> OutcomeBaseline:
    found = outcomes(world, version)
    assert found is not None
    return found


def names(world: World) -> set[str]:
    return {key.split("/", 3)[3] for key in world.keys("loans/baseline/")}


def test_training_data_with_labels_and_scores_becomes_the_baseline_of_outcomes(
    world: World,
) -> None:
    world.put(STORE, f"{PLACE}/t.csv.model.json", MODEL)
    event = world.put(STORE, f"{PLACE}/t.csv", training_csv(500))
    assert world.call("baseline", batch(event)) == {"batchItemFailures": []}
    assert names(world) == {
        *("baseline.json", "statistics.json", "constraints.json", "outcomes.msgpack"),
        *("quality/statistics.json", "quality/constraints.json"),
        *("bias/analysis.json", "explainability/analysis.json"),
    }
    found = known(world)
    assert found.notes == ()
    assert found.counts is not None
    # In these rows the score is above 0.5 where the label is 1.
    assert measure(found.counts)["accuracy"].value > 0.99
    assert found.sums is not None
    assert found.sums.features == ("amount",)


def test_labelled_rows_put_there_first_are_measured_instead(world: World) -> None:
    rows = b"late,score,region\n" + b"0,0.9,west\n1,0.8,north\n" * 60
    sidecar = world.put(STORE, f"{PLACE}/t.csv.outcomes.csv", rows)
    assert world.call("baseline", batch(sidecar)) == {"batchItemFailures": []}
    assert world.keys("loans/baseline/") == []
    world.call("baseline", batch(world.put(STORE, f"{PLACE}/t.csv", training_csv(500))))
    found = known(world)
    assert found.counts is not None
    assert found.counts.confusion.tolist() == [[0, 60], [0, 60]]
    assert "put NAME.model.json beside the training data" in found.notes[0]
    told = [line for line in world.printed() if line.get("level") == "WARNING"]
    assert [line["note"] for line in told] == list(found.notes)


def test_a_monitor_that_is_told_of_nothing_has_no_outcomes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path) as plain:
        plain.add_baseline(rows=300)
        assert outcomes(plain) is None


def test_outcomes_are_there_before_the_baseline_is_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: MonitorStore, current: Any, *, if_tag: str | None) -> None:
        raise StoreError("lost")

    event = world.put(STORE, f"{PLACE}/t.csv", training_csv(500))
    with monkeypatch.context() as patch:
        patch.setattr(MonitorStore, "write_current", lost)
        assert len(world.call("baseline", batch(event))["batchItemFailures"]) == 1
    assert "outcomes.msgpack" in names(world)
    assert world.keys("loans/current.json") == []
    before = world.contents("loans/baseline/")
    assert world.call("baseline", batch(event)) == {"batchItemFailures": []}
    assert world.contents("loans/baseline/") == before
    assert known(world).counts is not None


def test_no_pointer_moves_when_outcomes_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_baseline(rows=300)
    before = world.store.read_current()
    real = S3Objects.write

    def failing(self: S3Objects, key: str, data: bytes, **more: Any) -> None:
        if key.endswith("outcomes.msgpack"):
            raise StoreError("full")
        real(self, key, data, **more)

    monkeypatch.setattr(S3Objects, "write", failing)
    event = world.put(STORE, f"{PLACE}/second.csv", training_csv(300, seed=2))
    assert len(world.call("baseline", batch(event))["batchItemFailures"]) == 1
    assert world.store.read_current() == before


def test_files_of_the_other_monitors_lie_beside_those_of_data_quality(world: World) -> None:
    world.put(STORE, f"{PLACE}/t.csv.model.json", MODEL)
    world.call("baseline", batch(world.put(STORE, f"{PLACE}/t.csv", training_csv(500))))
    version = world.store.read_current()[0].baseline
    read = world.store.objects.read
    others = {
        name: read(world.store.baseline_key(version, name))
        for name in ("quality/constraints.json", "bias/analysis.json")
    }
    files: dict[str, bytes] = {}
    table = read_table(BytesIO(training_csv(400)), source="t", format="csv", header=True)
    write_baseline(build_baseline(table, version="v", created=HOUR), files.__setitem__)
    events = [world.put(STORE, f"{PLACE}/old/{name}", data) for name, data in others.items()]
    assert world.call("baseline", batch(*events)) == {"batchItemFailures": []}
    assert world.store.read_current()[0].baseline == version
    for name in ("statistics.json", "constraints.json"):
        world.call("baseline", batch(world.put(STORE, f"{PLACE}/old/{name}", files[name])))
    assert world.store.read_current()[0].baseline != version
    found = known(world)
    assert found.counts is None
    assert found.constraints is not None
    assert found.constraints.limits["recall"].threshold == 1.0
    assert found.analysis is not None


def served(rows: int, *, seed: int) -> ServedRows:
    chance = np.random.default_rng(seed)
    amounts = chance.normal(100.0, 15.0, rows).round(2)
    labels = (chance.random(rows) < 1 / (1 + np.exp(-(amounts - 100) / 5))).astype(float)
    region = Column(
        numbers=np.full(rows, np.nan),
        types=TypeCounts(text=rows),
        codes=chance.integers(0, 2, rows).astype(np.int32),
        words=("north", "west"),
    )
    return ServedRows(
        columns={
            "amount": Column(numbers=amounts, types=TypeCounts(fractional=rows)),
            "region": region,
        },
        labels=labels,
        scores=np.full(rows, 0.5),
        times=np.arange(rows, dtype=np.int64) + int(HOUR.timestamp()),
    )


def retraining(world: World) -> dict[str, Any]:
    """A plan whose rows are prepared: the champion says 0.5 of everything."""
    files = RetrainingFiles.of(world.store, "mine")
    for key, seed in ((files.train, 1), (files.holdout, 2), (files.served, 3)):
        data = encode_rows(served(600, seed=seed), prediction="score", label="late")
        world.store.objects.write(key, data, content_type="text/csv")
    return to_payload(
        Plan(
            go=True,
            notify=True,
            reason="",
            monitor="loans",
            variant=VARIANT,
            execution="mine",
            execution_arn="arn",
            started=HOUR,
            version="v2",
            drift_since=HOUR - timedelta(hours=1),
            until=HOUR,
            bucket=STORE,
            files=files,
            trainer="builtin",
            trainer_function_arn="",
            sagemaker=SageMakerJob(),
            approval=False,
            approval_timeout=60,
        )
    )


def test_a_retrained_model_is_measured_on_rows_it_has_not_learnt_from(world: World) -> None:
    plan = retraining(world)
    world.call("train", {"plan": plan})
    compared = world.call("compare", {"plan": plan})
    assert compared["challenger_wins"]
    # What the state machine hands on, with the plan's values in place of the expressions.
    states = json.loads(Path("stacks/statemachines/retraining.asl.json").read_text("utf-8"))
    payload = states["States"]["BuildBaseline"]["Arguments"]["Payload"]
    event = {name: filled(value, plan) for name, value in payload.items()}
    assert event["outcomes_key"] == plan["files"]["outcomes"]
    world.call("baseline", event)
    found = known(world, "v2")
    assert found.notes == ()
    assert found.counts is not None
    # The holdout has 600 labelled rows; the champion's scores would have been all alike.
    assert found.counts.labelled == 600
    assert np.count_nonzero(found.counts.histogram.sum(axis=(0, 1, 2))) > 50
    assert found.sums is not None
    assert set(found.sums.features) == {"amount", "region"}
    assert found.reference is not None
    assert world.keys("loans/current.json") == []


def filled(value: Any, plan: dict[str, Any]) -> Any:
    if not isinstance(value, str) or not value.startswith("{% $plan."):
        return value
    found: Any = plan
    for step in value.removeprefix("{% $plan.").removesuffix(" %}").split("."):
        found = found[step]
    return found


def test_a_plan_of_a_retraining_names_the_labelled_rows(world: World) -> None:
    plan = msgspec.convert(retraining(world), type=Plan)
    assert plan.files.outcomes == "loans/retraining/mine/outcomes.csv"


def test_a_model_file_of_the_users_own_is_read_from_where_it_is(world: World) -> None:
    module = world.function("baseline")
    run = world.function("runtime").runtime()
    world.put(STORE, "loans/models/own.json", MODEL)
    for place in (f"s3://{STORE}/loans/models/own.json", "loans/models/own.json"):
        config = monitor(attribution={"model": place})
        assert module.model_file(run, config, "loans/models/none.json") == MODEL
    captured = monitor(attribution={"source": "captured"})
    assert module.model_file(run, captured, "loans/models/own.json") is None
    assert module.model_file(run, monitor(attribution={}), "loans/models/none.json") is None
