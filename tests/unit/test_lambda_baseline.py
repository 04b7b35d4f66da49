from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from driftgauge.baseline import build_baseline, write_baseline
from driftgauge.capture.table import read_table
from driftgauge.errors import ConflictError
from driftgauge.store import MonitorStore
from tests.unit.lambda_world import HOUR, STORE, World, batch, deployed, training_csv

PLACE = "loans/training-data"


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        yield world


def drop(world: World, *, rows: int = 500, seed: int = 1, name: str = "t.csv") -> dict[str, Any]:
    return world.put(STORE, f"{PLACE}/{name}", training_csv(rows, seed=seed))


def test_training_data_becomes_the_baseline_in_force(world: World) -> None:
    assert world.call("baseline", batch(drop(world))) == {"batchItemFailures": []}
    current, _ = world.store.read_current()
    assert (current.model, current.history) == (None, ())
    assert {key.rpartition("/")[2] for key in world.keys("loans/baseline/")} == {
        "baseline.json",
        "statistics.json",
        "constraints.json",
    }
    baseline = world.function("runtime").runtime().baseline(world.store, current.baseline)
    assert baseline.spec.outputs == ("score",)
    assert baseline.spec.inputs == ("amount", "region")
    assert baseline.profile.rows == 500
    assert set(baseline.importances) == {"amount", "region"}


def test_an_event_delivered_twice_makes_one_baseline(world: World) -> None:
    event = drop(world)
    world.call("baseline", batch(event))
    before = world.contents()
    assert world.call("baseline", batch(event, event)) == {"batchItemFailures": []}
    assert world.contents() == before


def test_a_late_event_does_not_revive_an_earlier_baseline(world: World) -> None:
    first = drop(world)
    world.call("baseline", batch(first))
    world.call("baseline", batch(drop(world, seed=2, name="second.csv")))
    before = world.store.read_current()
    world.call("baseline", batch(first))
    assert world.store.read_current() == before


def test_a_new_baseline_keeps_the_champion_unless_a_model_lies_beside_its_data(
    world: World,
) -> None:
    sidecar = world.put(STORE, f"{PLACE}/t.csv.model.json", b'{"weights": 1}')
    world.call("baseline", batch(sidecar, drop(world)))
    first, _ = world.store.read_current()
    assert first.model == first.baseline
    assert world.store.objects.read(world.store.model_key(first.baseline)) == b'{"weights": 1}'
    world.call("baseline", batch(drop(world, seed=2, name="second.csv")))
    second, _ = world.store.read_current()
    assert second.baseline != first.baseline
    assert second.model == first.model
    assert [earlier.baseline for earlier in second.history] == [first.baseline]


def test_a_baseline_of_a_retraining_is_built_but_not_put_in_force(world: World) -> None:
    world.call("baseline", batch(drop(world)))
    before = world.store.read_current()
    world.put(STORE, "loans/retraining/x/baseline.csv", training_csv(300, seed=4))
    event = {
        "monitor": "loans",
        "training_key": "loans/retraining/x/baseline.csv",
        "version": "v9",
        "created": "2026-03-02T10:00:00Z",
        "activate": False,
    }
    assert world.call("baseline", event) == {"monitor": "loans", "version": "v9"}
    files = world.contents("loans/baseline/v9/")
    assert len(files) == 3
    assert world.store.read_current() == before
    world.call("baseline", event)
    assert world.contents("loans/baseline/v9/") == files


def files_of(*, rows: int = 500, seed: int = 1) -> dict[str, bytes]:
    """Model Monitor's two files of training data, made aside."""
    table = read_table(
        BytesIO(training_csv(rows, seed=seed)), source="t", format="csv", header=True
    )
    stored: dict[str, bytes] = {}
    write_baseline(build_baseline(table, version="v", created=HOUR), stored.__setitem__)
    del stored["baseline.json"]
    return stored


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_model_monitors_two_files_become_the_baseline_when_both_are_there(
    world: World, order: tuple[int, int]
) -> None:
    files = list(files_of().items())
    first, second = (files[i] for i in order)
    event = world.put(STORE, f"{PLACE}/old/{first[0]}", first[1])
    assert world.call("baseline", batch(event)) == {"batchItemFailures": []}
    assert world.keys("loans/baseline/") == []
    both = [event, world.put(STORE, f"{PLACE}/old/{second[0]}", second[1])]
    assert world.call("baseline", batch(both[1])) == {"batchItemFailures": []}
    current, _ = world.store.read_current()
    baseline = world.function("runtime").runtime().baseline(world.store, current.baseline)
    assert baseline.version == current.baseline
    assert (baseline.spec.outputs, baseline.spec.inputs) == (("score",), ("amount", "region"))
    assert baseline.profile.rows == 500
    assert baseline.statistics == dict(files)["statistics.json"]
    # Both events again, in one batch and late: nothing changes.
    before = world.contents()
    assert world.call("baseline", batch(*both)) == {"batchItemFailures": []}
    assert world.contents() == before


def test_edited_constraints_make_a_new_baseline_with_the_model_beside_the_folder(
    world: World,
) -> None:
    world.put(STORE, f"{PLACE}/old.model.json", b'{"weights": 1}')
    for name, data in files_of().items():
        world.call("baseline", batch(world.put(STORE, f"{PLACE}/old/{name}", data)))
    first, _ = world.store.read_current()
    assert first.model == first.baseline
    edited = files_of()["constraints.json"].replace(b'"Enabled"', b'"Disabled"', 1)
    world.call("baseline", batch(world.put(STORE, f"{PLACE}/old/constraints.json", edited)))
    second, _ = world.store.read_current()
    assert [earlier.baseline for earlier in second.history] == [first.baseline]
    baseline = world.function("runtime").runtime().baseline(world.store, second.baseline)
    assert baseline.constraints.settings.evaluate_constraints is False


def test_files_that_cannot_be_used_or_are_gone_come_back(world: World) -> None:
    files = files_of()
    world.put(STORE, f"{PLACE}/bad/constraints.json", files["constraints.json"])
    bad = world.put(STORE, f"{PLACE}/bad/statistics.json", b'{"features": 1}')
    gone = world.put(STORE, f"{PLACE}/gone/statistics.json", files["statistics.json"])
    world.s3.delete_object(Bucket=STORE, Key=f"{PLACE}/gone/statistics.json")
    answer = world.call("baseline", batch(bad, gone))
    assert len(answer["batchItemFailures"]) == 2
    reasons = json.dumps([line.get("reason") for line in world.printed()])
    assert "has no list `features`" in reasons
    assert "is gone" in reasons
    assert world.keys("loans/baseline/") == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("empty.csv", b""),
        ("binary.csv", bytes(range(256))),
        ("strange.txt", b"a,b\n1,2\n"),
        ("broken.csv.gz", b"\x1f\x8b\x08\x00broken"),
    ],
)
def test_unusable_training_data_comes_back_and_changes_nothing(
    name: str, body: bytes, world: World
) -> None:
    good = drop(world)
    world.call("baseline", batch(good))
    before = world.store.read_current()
    bad = world.put(STORE, f"{PLACE}/{name}", body)
    answer = world.call("baseline", batch(bad, good))
    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["message-0"]
    assert world.store.read_current() == before


def test_training_data_of_an_unknown_monitor_and_data_that_is_gone_come_back(world: World) -> None:
    unknown = world.put(STORE, "other/training-data/t.csv", training_csv(50))
    gone = drop(world)
    world.s3.delete_object(Bucket=STORE, Key=f"{PLACE}/t.csv")
    answer = world.call("baseline", batch(unknown, gone))
    assert len(answer["batchItemFailures"]) == 2
    reasons = json.dumps([line.get("reason") for line in world.printed()])
    assert "there is no monitor named 'other'" in reasons
    assert "is gone" in reasons


def test_a_baseline_is_put_in_force_again_when_another_was_faster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = world.function("baseline")
    module.activate(world.store, version="v1", model="m1")
    real = MonitorStore.write_current
    rivals = iter(["v2"])

    def race(self: MonitorStore, current: Any, *, if_tag: str | None) -> None:
        rival = next(rivals, None)
        if rival is not None:
            pointer, tag = self.read_current()
            real(self, pointer.promoted(baseline=rival, model=None, since=HOUR), if_tag=tag)
        real(self, current, if_tag=if_tag)

    monkeypatch.setattr(MonitorStore, "write_current", race)
    module.activate(world.store, version="v3", model="m3")
    current, _ = world.store.read_current()
    assert [p.baseline for p in current.history] == ["v1", "v2"]
    assert (current.baseline, current.model) == ("v3", "m3")

    def always_late(self: MonitorStore, current: Any, *, if_tag: str | None) -> None:
        raise ConflictError("late")

    monkeypatch.setattr(MonitorStore, "write_current", always_late)
    with pytest.raises(ConflictError, match="try again"):
        module.activate(world.store, version="v4", model=None)
