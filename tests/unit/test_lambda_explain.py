"""Windows explained after their evaluation, and judged again by what was found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from driftgauge.attribution import scorers
from driftgauge.config import MonitorConfig
from driftgauge.errors import AttributionError, StoreError
from driftgauge.training.logistic import encode_model, train_logistic
from lambdas.attribution_file import REFERENCE_FILE, StoredSums, decode_stored_sums
from tests.columns import column_of
from tests.unit.lambda_world import STORE, VARIANT, World, batch, deployed, monitor, values
from tests.unit.outcome_store import (
    HOUR,
    HOURS,
    LATER,
    WINDOW,
    add_baseline,
    arrive,
    capture,
    labelled_training,
    report,
    stored_events,
    verdict,
)

NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}


def model_file(*, upside_down: bool = False) -> bytes:
    """A model that looks at the amount, or else at the region."""
    amounts, regions = values(3000, seed=1)
    by_amount = np.array(amounts) > 100.0
    by_region = np.array(regions) == "south"
    chance = np.random.default_rng(1).random(3000) < 0.2
    columns = {"amount": column_of(amounts), "region": column_of(regions)}
    labels = (by_region if upside_down else by_amount) ^ chance
    model = train_logistic(columns, labels.astype(np.float64), version="m", created=HOUR)
    return encode_model(model)


@contextmanager
def explaining(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    config: MonitorConfig,
    *,
    model: bytes | None = None,
    training: bytes | None = None,
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, folder, config) as world:
        if model is not None:
            world.put(STORE, "loans/training-data/train.csv.model.json", model)
        add_baseline(world, training)
        yield world


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    """A monitor with a champion that is explained exactly."""
    config = monitor(attribution={}, model_monitor_metrics={"schedule": "loans-shap"})
    with explaining(monkeypatch, capsys, tmp_path, config, model=model_file()) as world:
        yield world


def explain(world: World, *, moment: datetime = LATER) -> Any:
    """Deliver the event of the window's inputs.json."""
    world.function("explain")
    world.set_clock(moment)
    events = [
        event
        for event in stored_events(world, "loans/reports/")
        if event["detail"]["object"]["key"].endswith("inputs.json")
    ]
    assert events
    return world.call("explain", batch(*events))


def explained(world: World) -> StoredSums:
    version = world.store.read_current()[0].baseline
    key = world.store.attributions_key(baseline=version, variant=VARIANT, window=WINDOW)
    return decode_stored_sums(world.store.objects.read(key))


def judge(world: World) -> Any:
    """Deliver the events of all attributions to the evaluation."""
    return arrive(world, *stored_events(world, "loans/attributions/"), at=LATER)


def lines(world: World) -> list[dict[str, Any]]:
    return [line for line in world.printed() if "message" in line]


def test_a_window_is_explained_and_judged_by_its_attributions(world: World) -> None:
    capture(world)
    arrive(world, at=LATER)
    assert verdict(world).attributions == ()
    assert explain(world) == NOTHING_FAILED
    assert explained(world).sums.rows == 500
    before = report(world, "verdicts.json")
    assert judge(world) == NOTHING_FAILED
    (found,) = verdict(world).attributions
    assert (found.verdict, found.rows) == ("ok", 500)
    assert [f.name for f in found.features if f.window_rank == 1] == ["amount"]
    assert report(world, "verdicts.json") == before
    assert json.loads(report(world, "explainability/analysis.json"))["explanations"]


def test_attributions_are_published_once(world: World) -> None:
    capture(world)
    arrive(world, at=LATER)
    explain(world)
    world.printed()
    judge(world)
    (line,) = [line for line in world.metrics() if "AttributionNdcg" in line]
    assert (line["AttributionDrift"], line["AttributionNdcg"]) == ([0.0], [1.0])
    judge(world)
    assert world.metrics() == []
    names = {
        (one["Namespace"], one["MetricName"])
        for one in boto3.client("cloudwatch").list_metrics()["Metrics"]
    }
    room = "aws/sagemaker/Endpoints/explainability-metrics"
    assert {(room, "feature_amount"), (room, "ExpectedValue")} <= names


def test_a_window_that_is_explained_already_is_left_alone(world: World) -> None:
    capture(world)
    arrive(world, at=LATER)
    explain(world)
    judge(world)
    before = world.contents("loans/attributions/")
    world.printed()
    assert explain(world) == NOTHING_FAILED
    assert [line["message"] for line in lines(world)] == ["window explained already"]
    assert world.contents("loans/attributions/") == before


def test_late_rows_make_a_window_be_explained_again(world: World) -> None:
    capture(world, 300)
    arrive(world, at=LATER)
    explain(world)
    first = explained(world)
    capture(world, 300, name="late", seed=12)
    arrive(world, at=LATER)
    explain(world)
    assert (first.sums.rows, explained(world).sums.rows) == (300, 500)
    assert first.source != explained(world).source


def test_damaged_attributions_are_made_anew(world: World) -> None:
    capture(world)
    arrive(world, at=LATER)
    explain(world)
    ((key, before),) = world.contents("loans/attributions/").items()
    event = world.put(STORE, key, before[:-4])
    assert len(arrive(world, event, at=LATER)["batchItemFailures"]) == 1
    explain(world)
    assert world.contents("loans/attributions/") == {key: before}
    assert judge(world) == NOTHING_FAILED


def test_an_open_window_is_explained_once_it_is_quiet(world: World) -> None:
    capture(world)
    arrive(world, at=LATER)
    newest = max(info.modified for info in world.store.objects.list("loans/samples/"))
    module = world.function("explain")
    config = world.monitors.monitors[0]
    parts = tuple(
        world.store.list_samples(
            baseline=world.store.read_current()[0].baseline, variant=VARIANT, window=WINDOW
        )
    )
    sampled = module._Sampled(baseline="v", parts=parts)
    open_window = type(WINDOW)(WINDOW.start, newest + HOURS)

    def reason(age: timedelta, window: Any = open_window) -> str | None:
        world.set_clock(newest + age)
        current, _ = world.store.read_current()
        found: str | None = module._reason_to_skip(
            config, config.attribution, current, sampled, window
        )
        return found

    assert reason(timedelta(seconds=10)) == "rows are still arriving"
    assert reason(timedelta(seconds=60)) is None
    assert reason(timedelta(seconds=10), WINDOW) is None


def test_another_model_than_the_baseline_was_explained_by_is_drift(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = monitor(attribution={"model": "loans/models/mine.json"})
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        world.put(STORE, "loans/models/mine.json", model_file())
        add_baseline(world)
        world.put(STORE, "loans/models/mine.json", model_file(upside_down=True))
        capture(world)
        arrive(world, at=LATER)
        explain(world)
        world.printed()
        judge(world)
        (line,) = [line for line in world.metrics() if "AttributionDrift" in line]
        assert line["AttributionDrift"] == [1.0]
        assert verdict(world).attribution_drift


def test_without_a_model_file_the_log_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with explaining(monkeypatch, capsys, tmp_path, monitor(attribution={})) as world:
        capture(world)
        arrive(world, at=LATER)
        world.printed()
        assert explain(world) == NOTHING_FAILED
        (line,) = [line for line in lines(world) if line["level"] == "WARNING"]
        assert "NAME.model.json" in line["reason"]
        assert world.keys("loans/attributions/") == []


def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answer for the endpoint: the score is a function of the amount."""
    calls: list[dict[str, Any]] = []

    def answer(endpoint: str, body: bytes, **options: Any) -> bytes:
        calls.append({"endpoint": endpoint, **options})
        scores = [1 / (1 + np.exp(-(float(row.split(b",")[0]) - 100) / 30)) for row in body.split()]
        return "".join(f"{score}\n" for score in scores).encode()

    monkeypatch.setattr(scorers, "invoke_endpoint", answer)
    return calls


def test_an_endpoint_is_asked_within_its_budget_and_the_first_window_is_the_reference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = monitor(attribution={"source": "endpoint", "invocations": 20, "rows": 100})
    calls = asked(monkeypatch)
    with explaining(monkeypatch, capsys, tmp_path, config) as world:
        capture(world)
        arrive(world, at=LATER)
        assert explain(world, moment=HOUR + timedelta(minutes=5)) == NOTHING_FAILED
        assert calls == []
        world.printed()
        assert explain(world) == NOTHING_FAILED
        assert 0 < len(calls) <= 20
        assert calls[0]["endpoint"] == "loans-endpoint"
        assert {call["variant"] for call in calls} == {VARIANT}
        assert "rows explained" in [line["message"] for line in lines(world)]
        judge(world)
        (found,) = verdict(world).attributions
        assert (found.verdict, found.distance) == ("ok", 0.0)
        assert found.reason.endswith("the first that was explained.")
        reference = world.store.baseline_key(verdict(world).baseline_version, REFERENCE_FILE)
        known = world.store.objects.read(reference)
        capture(world, hour=HOUR + HOURS, seed=12)
        arrive(world, at=LATER)
        explain(world)
        judge(world)
        assert world.store.objects.read(reference) == known
        (later,) = verdict(world, HOUR + HOURS).attributions
        assert "no attributions of its own" in later.reason


def test_windows_of_an_earlier_baseline_are_not_asked_of_the_present_endpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls = asked(monkeypatch)
    config = monitor(attribution={"source": "endpoint"})
    with explaining(monkeypatch, capsys, tmp_path, config) as world:
        capture(world)
        add_baseline(world, labelled_training(seed=2), name="again")
        arrive(world, at=LATER)
        world.printed()
        explain(world)
        assert "the endpoint has another model by now" in [
            line.get("reason") for line in lines(world)
        ]
        assert calls == []


def test_a_key_that_is_no_report_comes_back(world: World) -> None:
    event = world.put(STORE, "loans/reports/inputs.json", b"{}")
    assert len(world.call("explain", batch(event))["batchItemFailures"]) == 1


def test_a_report_without_sampled_rows_is_left_alone(world: World) -> None:
    event = world.put(STORE, "loans/reports/AllTraffic/2026/03/02/10/30/inputs.json", b"{}")
    world.printed()
    assert world.call("explain", batch(event)) == NOTHING_FAILED
    assert [line.get("reason") for line in lines(world)] == ["no rows were sampled"]


def test_places_of_reports_are_read_from_their_keys(world: World) -> None:
    place = world.function("explain").place_of_report
    variant, start = place("m/reports/v/2026/03/02/10/30/inputs.json")
    assert (variant, start.minute) == ("v", 30)
    with pytest.raises(StoreError, match="not the key of a window's report"):
        place("m/reports/v/2026/03/02/inputs.json")


def test_bytes_that_are_no_attributions_are_refused() -> None:
    with pytest.raises(AttributionError, match="known format"):
        decode_stored_sums(b"DGWA\x02")
    with pytest.raises(AttributionError):
        decode_stored_sums(b"DGWA\x01" + b"\x7f" * 30)
