"""Labels in a deployed monitor: joined, counted, judged, written and published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from driftgauge.config import MonitorConfig
from driftgauge.errors import StoreError
from driftgauge.outcome_verdict import OutcomesVerdict
from driftgauge.store import MonitorStore
from driftgauge.windows import format_time
from tests.unit.lambda_world import STORE, VARIANT, World, batch, deployed
from tests.unit.outcome_store import (
    HOUR,
    HOURS,
    LATER,
    WINDOW,
    add_baseline,
    arrive,
    at,
    capture,
    label,
    labelled_training,
    outcome_monitor,
    put_predictions,
    report,
    stored_events,
    truth_of,
    verdict,
    wrong,
)

NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}
ALARMED = ("QualityDecay", "ConceptDrift", "BiasDrift")


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    yield from deploy(monkeypatch, capsys, tmp_path, outcome_monitor())


@pytest.fixture
def published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    config = outcome_monitor(
        bias={"facets": [{"column": "region", "values": ["south"]}]},
        model_monitor_metrics={"schedule": "loans-schedule"},
    )
    yield from deploy(monkeypatch, capsys, tmp_path, config)


@pytest.fixture
def scheduled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    config = outcome_monitor(evaluate="on_schedule", delay="20m")
    yield from deploy(monkeypatch, capsys, tmp_path, config)


def deploy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    config: MonitorConfig,
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, folder, config) as world:
        add_baseline(world)
        yield world


def metrics(world: World) -> dict[str, dict[str, Any]]:
    """The documents printed since the last call, by each metric in them."""
    return {
        metric["Name"]: line
        for line in world.metrics()
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }


def quality_of(found: OutcomesVerdict) -> str:
    assert found.quality is not None
    return found.quality.verdict


def test_a_labelled_window_is_judged_and_its_files_are_written(world: World) -> None:
    scores = capture(world)
    label(world, truth_of(scores))
    assert arrive(world) == NOTHING_FAILED
    found = verdict(world)
    assert (quality_of(found), found.labels.coverage) == ("ok", 1.0)
    assert found.labels.counts.rows == 600
    names = [key.split("/10/", 1)[1] for key in world.keys("loans/reports/")]
    assert names == [
        "constraint_violations.json",
        "constraints.json",
        "inputs.json",
        "outcomes.json",
        "quality/constraint_violations.json",
        "quality/constraints.json",
        "quality/statistics.json",
        "report.html",
        "statistics.json",
        "verdicts.json",
    ]
    dataset = json.loads(report(world, "quality/statistics.json"))["dataset"]
    assert dataset["start_time"] == format_time(HOUR)


def test_a_window_without_labels_is_estimated_and_publishes_nothing_that_rings(
    world: World,
) -> None:
    capture(world)
    world.printed()
    arrive(world)
    assert quality_of(verdict(world)) == "insufficient_data"
    found = metrics(world)
    assert found["LabelCoverage"]["LabelCoverage"] == [0.0]
    assert 0.4 < found["EstimatedQuality"]["EstimatedQuality"][0] < 0.8
    assert not {*ALARMED, "RealisedQuality", "LabelDelay"} & found.keys()


def test_labels_that_arrive_later_change_nothing_about_drift(world: World) -> None:
    scores = capture(world)
    arrive(world)
    before = report(world, "verdicts.json"), report(world, "report.html")
    event = label(world, wrong(truth_of(scores)))
    world.printed()
    assert arrive(world, event, at=LATER) == NOTHING_FAILED
    assert quality_of(verdict(world)) == "decay"
    assert report(world, "verdicts.json") == before[0]
    assert report(world, "report.html") != before[1]
    found = metrics(world)
    assert not {"FeatureDistance", "WindowRows", "DriftedFeatures"} & found.keys()
    decay = found["QualityDecay"]
    assert (decay["QualityDecay"][0] >= 1, decay["ConceptDrift"]) == (True, [1.0])
    assert found["LabelDelay"]["LabelDelay"][0] == pytest.approx(1800, rel=0.2)
    units = {
        metric["Name"]: metric["Unit"]
        for metric in decay["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert (units["LabelCoverage"], units["LabelDelay"]) == ("Percent", "Seconds")
    assert units["RealisedQuality"] == "None"


def test_the_same_files_give_the_same_bytes_however_often_they_are_evaluated(
    world: World,
) -> None:
    scores = capture(world)
    label(world, truth_of(scores))
    arrive(world, at=LATER)
    before = world.contents("loans/reports/")
    event = {"monitor": "loans", "window_start": format_time(HOUR)}
    world.call("evaluate", event)
    world.call("evaluate", event)
    assert world.contents("loans/reports/") == before


def test_messages_without_news_publish_nothing(world: World) -> None:
    scores = capture(world)
    event = label(world, truth_of(scores))
    arrive(world)
    world.printed()
    arrive(world, event)
    assert metrics(world) == {}


def test_the_order_in_which_labels_arrive_does_not_matter(world: World) -> None:
    scores = capture(world)
    truth = truth_of(scores)
    objects = {
        "early": (wrong(truth)[:400], timedelta(hours=1)),
        "late": (truth[:300], timedelta(hours=5)),
    }
    found = []
    for order in (("early", "late"), ("late", "early")):
        for name in order:
            labels, delay = objects[name]
            event = label(world, labels, name=name, delay=delay)
            arrive(world, event, at=LATER)
        found.append(report(world, "outcomes.json"))
        for key in world.keys("loans/labels/"):
            world.s3.delete_object(Bucket=STORE, Key=key)
    assert found[0] == found[1]
    counts = verdict(world).labels.counts
    assert counts.labelled == 400
    assert counts.duplicates + counts.corrected == 300


def test_a_correction_changes_the_verdict(world: World) -> None:
    scores = capture(world)
    truth = truth_of(scores)
    label(world, wrong(truth), name="mistaken")
    arrive(world)
    assert quality_of(verdict(world)) == "decay"
    event = label(world, truth, name="corrected", delay=timedelta(hours=9))
    arrive(world, event, at=LATER)
    assert quality_of(verdict(world)) == "ok"
    assert verdict(world).labels.counts.corrected == 600


def test_labels_mature_and_a_window_goes_from_immature_to_ok_to_decay(world: World) -> None:
    for number in range(4):
        hour = HOUR + number * HOURS
        scores = capture(world, hour=hour, seed=20 + number)
        label(world, truth_of(scores, seed=number), hour=hour)
    arrive(world, at=LATER)
    hour = HOUR + 4 * HOURS
    truth = truth_of(capture(world, hour=hour, seed=30))
    label(world, truth[:200], hour=hour, name="some")
    world.printed()
    arrive(world, *stored_events(world, "loans/labels/"), at=LATER)
    found = verdict(world, hour)
    assert (quality_of(found), found.labels.usual_coverage) == ("labels_immature", 1.0)
    published = metrics(world)
    assert published["LabelCoverage"]["LabelCoverage"] == [pytest.approx(100 / 3)]
    assert not {*ALARMED, "RealisedQuality"} & published.keys()
    event = label(world, truth[200:], hour=hour, name="rest", first=200)
    arrive(world, event, at=LATER)
    assert quality_of(verdict(world, hour)) == "ok"
    assert metrics(world)["QualityDecay"]["QualityDecay"] == [0.0]
    event = label(world, wrong(truth), hour=hour, name="truth", delay=timedelta(hours=3))
    arrive(world, event, at=LATER)
    assert quality_of(verdict(world, hour)) == "decay"
    assert metrics(world)["QualityDecay"]["QualityDecay"][0] >= 1


def test_only_the_newest_judged_window_speaks_of_the_present(world: World) -> None:
    hours = [HOUR + number * HOURS for number in range(2)]
    truth = [truth_of(capture(world, hour=h, seed=20 + i)) for i, h in enumerate(hours)]
    arrive(world, at=LATER)
    world.printed()
    events = [label(world, truth[i], hour=hours[i]) for i in (1, 0)]
    arrive(world, events[0], at=LATER)
    assert metrics(world)["QualityDecay"]["_aws"]["Timestamp"] != at(hours[1] + HOURS)
    arrive(world, events[1], at=LATER)
    assert metrics(world)["QualityDecay"]["_aws"]["Timestamp"] == at(hours[0] + HOURS)
    late = label(world, wrong(truth[0]), hour=hours[0], name="late", delay=timedelta(hours=9))
    arrive(world, late, at=LATER + timedelta(days=20))
    assert quality_of(verdict(world, hours[0])) == "decay"
    assert "QualityDecay" not in metrics(world)


def test_windows_of_an_earlier_baseline_carry_their_own_end(world: World) -> None:
    first = world.store.read_current()[0].baseline
    scores = capture(world)
    arrive(world, at=LATER)
    second = add_baseline(world, labelled_training(seed=2), name="again")
    event = label(world, wrong(truth_of(scores)))
    world.printed()
    arrive(world, event, at=LATER)
    assert (verdict(world).baseline_version, first != second) == (first, True)
    assert metrics(world)["QualityDecay"]["_aws"]["Timestamp"] == at(HOUR + HOURS)


def test_a_window_under_schedule_takes_labels_once_it_has_a_report(scheduled: World) -> None:
    scores = capture(scheduled)
    event = label(scheduled, truth_of(scores))
    arrive(scheduled, event, at=LATER)
    assert scheduled.keys("loans/reports/") == []
    run = {"monitor": "loans", "schedule": True}
    scheduled.set_clock(HOUR + HOURS + timedelta(minutes=21))
    scheduled.call("evaluate", run)
    assert quality_of(verdict(scheduled)) == "ok"
    event = label(scheduled, wrong(truth_of(scores)), name="corrected", delay=timedelta(hours=9))
    arrive(scheduled, event, at=LATER)
    assert quality_of(verdict(scheduled)) == "decay"


def test_labels_that_are_still_arriving_are_waited_for(world: World) -> None:
    scores = capture(world)
    arrive(world)
    event = label(world, truth_of(scores))
    newest = max(info.modified for info in world.store.objects.list("loans/labels/"))
    arrive(world, event, at=newest + timedelta(seconds=10))
    assert verdict(world).labels.counts.labelled == 0
    arrive(world, event, at=newest + timedelta(seconds=61))
    assert verdict(world).labels.counts.labelled == 600


def test_labels_that_wait_are_matched_when_their_predictions_are_evaluated(world: World) -> None:
    event = label(world, [1] * 200)
    matched = event["detail"]["object"]["key"]
    digest = matched.rpartition("/")[2].removesuffix(".labels")
    received = world.store.received_labels_key(collected=HOUR + HOURS, digest=digest)
    world.put(STORE, received, world.store.objects.read(matched))
    world.s3.delete_object(Bucket=STORE, Key=matched)
    capture(world)
    arrive(world)
    assert verdict(world).labels.counts.labelled == 200
    assert world.keys("loans/labels/matched/") == [matched]
    world.printed()
    arrive(world, *stored_events(world, "loans/labels/matched/"))
    assert metrics(world) == {}


def test_labels_that_were_only_received_belong_to_no_window(world: World) -> None:
    key = world.store.received_labels_key(collected=HOUR, digest="0" * 32)
    event = world.put(STORE, key, b"")
    assert len(arrive(world, event)["batchItemFailures"]) == 1


def test_only_grains_that_changed_are_read_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, outcome_monitor(window="6h")) as world:
        add_baseline(world)
        hours = [HOUR + number * HOURS for number in range(2)]
        truth = [truth_of(capture(world, hour=h, seed=20 + i)) for i, h in enumerate(hours)]
        arrive(world, at=LATER)
        read: list[str] = []
        module = world.function("outcomes")
        read_grains = module.read_grains

        def remember(store: MonitorStore, grains: Any) -> Any:
            read.extend(part.key for parts in grains.values() for part in parts)
            return read_grains(store, grains)

        monkeypatch.setattr(module, "read_grains", remember)
        event = label(world, truth[1], hour=hours[1])
        arrive(world, event, at=LATER)
        assert [key.split("/")[-3] for key in read] == ["11"] * len(read)
        assert read
        key = next(k for k in world.keys("loans/reports/") if k.endswith("outcomes.json"))
        before = world.store.objects.read(key)
        (kept,) = [k for k in world.keys("loans/rollups/") if k.endswith(".outcomes")]
        by_hand = {"monitor": "loans", "window_start": format_time(HOUR)}
        for damage in (b"", b"DGOG\x01" + bytes(40), world.store.objects.read(kept)[:-3]):
            world.put(STORE, kept, damage)
            world.call("evaluate", by_hand)
            assert world.store.objects.read(key) == before


def test_many_files_of_a_grain_are_merged_once(world: World) -> None:
    capture(world, 100)
    for number in range(9):
        put_predictions(world, 100, name=f"part{number}", seed=number)
    label(world, [1] * 50, of="part3")
    arrive(world, at=LATER)
    (merged,) = [key for key in world.keys("loans/predictions/") if "_merged" in key]
    first = verdict(world).labels.counts
    assert (first.rows >= 900, first.labelled) == (True, 50)
    put_predictions(world, 100, name="last", seed=30)
    for key in world.keys("loans/predictions/"):
        if key != merged and "last" not in key:
            body = world.store.objects.read(key)
            assert body
    event = label(world, [1] * 10, of="last", name="b")
    arrive(world, event, at=LATER)
    counts = verdict(world).labels.counts
    assert (counts.rows, counts.labelled) == (first.rows + 100, 60)
    world.put(STORE, merged, b"damaged")
    world.call("evaluate", {"monitor": "loans", "window_start": format_time(HOUR)})
    assert verdict(world).labels.counts == counts


def test_damaged_labels_fail_without_harm_to_the_verdict_on_drift(world: World) -> None:
    scores = capture(world)
    event = label(world, truth_of(scores))
    key = event["detail"]["object"]["key"]
    body = world.store.objects.read(key)
    event = world.put(STORE, key, body[:-5])
    world.printed()
    assert len(arrive(world, event)["batchItemFailures"]) == 1
    assert world.store.read_verdict(variant=VARIANT, window=WINDOW).rows == 600
    printed = metrics(world)
    assert ("WindowRows" in printed, "QualityDecay" in printed) == (True, False)
    world.printed()
    assert len(arrive(world, event)["batchItemFailures"]) == 1
    assert "WindowRows" not in metrics(world)
    event = world.put(STORE, key, body)
    assert arrive(world, event) == NOTHING_FAILED
    assert quality_of(verdict(world)) == "ok"


def test_without_outcomes_in_the_training_data_only_labels_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    unlabelled = b"\n".join(line.partition(b",")[2] for line in labelled_training().splitlines())
    with deployed(monkeypatch, capsys, tmp_path, outcome_monitor()) as world:
        add_baseline(world, unlabelled + b"\n")
        scores = capture(world)
        label(world, truth_of(scores))
        arrive(world)
        found = verdict(world)
        assert (found.quality, found.labels.coverage) == (None, 1.0)
        assert found.reason


def test_model_monitor_finds_its_metrics_under_its_names(published: World) -> None:
    scores = capture(published)
    label(published, truth_of(scores))
    arrive(published, at=LATER)
    assert verdict(published).bias is not None
    cloudwatch = boto3.client("cloudwatch")
    found = {
        (metric["Namespace"], metric["MetricName"])
        for metric in cloudwatch.list_metrics()["Metrics"]
    }
    rooms = {name: [m for n, m in found if n == name] for name, _ in found}
    assert {"accuracy", "auc", "f2"} <= set(rooms["aws/sagemaker/Endpoints/model-metrics"])
    assert "brier_score" not in rooms["aws/sagemaker/Endpoints/model-metrics"]
    assert "bias_metric_DPPL" in rooms["aws/sagemaker/Endpoints/bias-metrics"]
    assert json.loads(report(published, "bias/analysis.json"))
    # A window that is open is not published: Model Monitor's jobs run once it has closed.


def test_the_state_remembers_the_newest_window_that_was_judged(world: World) -> None:
    from lambdas.state import read_state

    scores = capture(world)
    arrive(world, at=LATER)
    assert read_state(world.store, VARIANT).judged_end is None
    arrive(world, label(world, truth_of(scores)), at=LATER)
    assert read_state(world.store, VARIANT).judged_end == HOUR + HOURS


def test_kept_counts_that_cannot_be_written_are_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = capture(world)
    label(world, truth_of(scores))

    def refuse(*_: Any) -> bytes:
        raise StoreError("no room")

    monkeypatch.setattr(world.function("outcomes"), "encode_grains", refuse)
    assert arrive(world) == NOTHING_FAILED
    assert quality_of(verdict(world)) == "ok"


@pytest.mark.parametrize("mode", ["sound", "strict"])
def test_an_empty_window_says_nothing_and_holds_all_alarms(
    mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bias = {"facets": [{"column": "region", "values": ["south"]}]}
    config = outcome_monitor(mode=mode, bias=bias, evaluate="on_schedule")
    with deployed(monkeypatch, capsys, tmp_path, config) as world:
        add_baseline(world)
        world.function("evaluate")
        world.set_clock(LATER)
        world.printed()
        world.call("evaluate", {"monitor": "loans", "window_start": format_time(HOUR)})
        assert quality_of(verdict(world)) == "insufficient_data"
        found = metrics(world)
        assert "WindowRows" in found
        assert not {*ALARMED, "LabelCoverage"} & found.keys()


def test_strict_mode_counts_the_measures_beyond_the_constraints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bias = {"facets": [{"column": "region", "values": ["south"]}]}
    with deployed(
        monkeypatch, capsys, tmp_path, outcome_monitor(mode="strict", bias=bias)
    ) as world:
        add_baseline(world)
        label(world, wrong(truth_of(capture(world))))
        world.printed()
        arrive(world, at=LATER)
        found = metrics(world)
        assert found["QualityDecay"]["QualityDecay"][0] >= 3
        assert "ConceptDrift" not in found
        assert found["BiasDrift"]["BiasDrift"][0] >= 1
        violations = json.loads(report(world, "quality/constraint_violations.json"))["violations"]
        assert {one["metric_name"] for one in violations} >= {"accuracy", "auc"}


def test_the_batch_of_an_unknown_room_comes_back(world: World) -> None:
    event = world.put(STORE, "loans/quarantine/x.labels", b"")
    assert len(world.call("evaluate", batch(event))["batchItemFailures"]) == 1
