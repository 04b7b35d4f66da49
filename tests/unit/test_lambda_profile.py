from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from driftgauge.errors import ConfigError
from driftgauge.profile.codec import decode_profile
from driftgauge.profile.profile import Profile
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    STORE,
    World,
    batch,
    capture_lines,
    created,
    deployed,
    monitor,
)

PLACE = "captures/loans-endpoint/AllTraffic/2026/03/02/10"


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    with deployed(monkeypatch, capsys, tmp_path) as world:
        yield world


def stored_profiles(world: World) -> dict[str, Profile]:
    """Stored profiles by hour and minute of their grain."""
    run = world.function("runtime").runtime()
    spec = run.baseline(world.store, world.store.read_current()[0].baseline).spec
    return {
        "/".join(key.split("/")[-3:-1]): decode_profile(data, spec)
        for key, data in world.contents("loans/profiles/").items()
    }


def test_a_capture_becomes_a_profile_of_its_rows(world: World) -> None:
    world.add_baseline()
    assert world.profile(world.capture(rows=200)) == {"batchItemFailures": []}
    (profile,) = stored_profiles(world).values()
    assert (profile.rows, profile.records) == (200, 200)
    assert profile.feature("amount").present == 200


def test_an_event_delivered_twice_changes_no_byte(world: World) -> None:
    world.add_baseline()
    body = b'not json\n{"captureData": 3}\n' + capture_lines(50)
    event = world.put(CAPTURES, f"{PLACE}/a.jsonl", body)
    world.profile(event)
    before = world.contents()
    world.profile(event, event)
    assert world.contents() == before
    assert any("/quarantine/" in key for key in before)


def test_rows_go_to_the_hour_they_were_inferred_in(world: World) -> None:
    world.add_baseline()
    body = capture_lines(30) + capture_lines(12, hour=HOUR - timedelta(hours=1))
    world.profile(world.put(CAPTURES, f"{PLACE}/a.jsonl", body))
    assert {place: p.rows for place, p in stored_profiles(world).items()} == {
        "10/00": 30,
        "09/00": 12,
    }


def test_only_the_broken_message_of_a_batch_comes_back(world: World) -> None:
    world.add_baseline()
    good = world.capture(name="good")
    broken = world.put(CAPTURES, f"{PLACE}/broken.jsonl", b"\x1f\x8b\x08\x00broken gzip")
    gone = created(CAPTURES, f"{PLACE}/gone.jsonl", "0" * 32)
    answer = world.call("profile", batch(broken, good, gone, "no json"))
    failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert failed == ["message-0", "message-2", "message-3"]
    assert len(world.keys("loans/profiles/")) == 1


def test_the_whole_batch_comes_back_when_every_message_is_broken(world: World) -> None:
    world.add_baseline()
    answer = world.call("profile", batch("1", "{}"))
    assert len(answer["batchItemFailures"]) == 2


def test_traffic_before_the_first_baseline_fails_and_says_where_training_data_goes(
    world: World,
) -> None:
    answer = world.profile(world.capture())
    assert len(answer["batchItemFailures"]) == 1
    (line,) = [x for x in world.printed() if x.get("message") == "message failed"]
    assert f"s3://{STORE}/loans/training-data/" in line["reason"]


def test_a_capture_of_an_unknown_endpoint_is_an_error_that_names_the_key(world: World) -> None:
    key = "captures/other/AllTraffic/2026/03/02/10/a.jsonl"
    answer = world.profile(world.put(CAPTURES, key, capture_lines(3)))
    assert len(answer["batchItemFailures"]) == 1
    (line,) = [x for x in world.printed() if x.get("message") == "message failed"]
    assert key in line["reason"]


def test_ground_truth_in_the_same_bucket_is_left_alone(world: World) -> None:
    event = world.put(CAPTURES, "ground-truth/2026/03/02/10/labels.jsonl", b"{}")
    assert world.profile(event) == {"batchItemFailures": []}
    assert world.keys() == []


def test_keys_may_be_url_encoded_or_not(world: World) -> None:
    world.add_baseline()
    for name in ("a b.jsonl", "a+b.jsonl", "a%2Fb.jsonl", "日本.jsonl", "..jsonl"):
        event = world.put(CAPTURES, f"{PLACE}/{name}", capture_lines(5))
        known = set(world.keys("loans/profiles/"))
        assert world.profile(event) == {"batchItemFailures": []}
        before = world.contents("loans/profiles/")
        assert len(set(before) - known) == 1
        event["detail"]["object"]["key"] = quote_plus(f"{PLACE}/{name}", safe="/")
        assert world.profile(event) == {"batchItemFailures": []}
        assert world.contents("loans/profiles/") == before


def test_rejected_input_is_counted_and_a_sample_is_quarantined(world: World) -> None:
    world.add_baseline()
    body = capture_lines(20) + b'not json\n{"captureData": 3}\n'
    world.profile(world.put(CAPTURES, f"{PLACE}/a.jsonl", body))
    (profile,) = stored_profiles(world).values()
    assert (profile.rows, sum(profile.rejected.values())) == (20, 2)
    (sample_file,) = world.contents("loans/quarantine/").values()
    samples = [json.loads(line) for line in sample_file.splitlines()]
    assert [sample["line"] for sample in samples] == [21, 22]
    assert {sample["reason"] for sample in samples} == set(profile.rejected)
    counted = {m["Monitor"]: m for m in world.metrics() if "CapturedRows" in m}["loans"]
    assert (counted["CapturedRows"], counted["RejectedRows"]) == ([20.0], [2.0])


def test_an_object_of_rejected_rows_alone_still_has_a_profile_in_the_hour_of_its_key(
    world: World,
) -> None:
    world.add_baseline()
    body = capture_lines(4).replace(b'"eventMetadata"', b'"metadata"')
    assert world.profile(world.put(CAPTURES, f"{PLACE}/a.jsonl", body)) == {"batchItemFailures": []}
    ((place, profile),) = stored_profiles(world).items()
    assert (place, profile.rows, sum(profile.rejected.values())) == ("10/00", 0, 4)


def test_metrics_have_the_dimensions_monitor_and_variant_alone(world: World) -> None:
    world.add_baseline()
    world.profile(world.capture())
    (document,) = world.metrics()
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "driftgauge"
    assert directive["Dimensions"] == [["Monitor", "Variant"]]
    assert "service" not in document
    assert all("StorageResolution" not in metric for metric in directive["Metrics"])


def test_alarms_of_a_few_seconds_get_metrics_of_high_resolution(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with deployed(monkeypatch, capsys, tmp_path, monitor(alarms={"period": "10s"})) as world:
        world.add_baseline()
        world.profile(world.capture())
        (directive,) = world.metrics()[0]["_aws"]["CloudWatchMetrics"]
        assert {metric["StorageResolution"] for metric in directive["Metrics"]} == {1}


def test_no_payload_value_is_logged(world: World) -> None:
    world.add_baseline()
    secret = b"4111-1111-1111-1111"
    body = capture_lines(3) + secret + b"\n" + capture_lines(1).replace(b"north", secret)
    world.profile(world.put(CAPTURES, f"{PLACE}/a.jsonl", body))
    world.profile(world.put(CAPTURES, f"{PLACE}/b.jsonl", secret * 100))
    assert secret.decode() not in json.dumps(world.printed())


def test_two_monitors_may_watch_one_endpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    daily = monitor(name="daily", window="1d")
    with deployed(monkeypatch, capsys, tmp_path, monitor(), daily) as world:
        world.add_baseline()
        body = world.s3.get_object(Bucket=STORE, Key="loans/training-data/train.csv")["Body"].read()
        event = world.put(STORE, "daily/training-data/train.csv", body)
        world.call("baseline", batch(event))
        assert world.profile(world.capture()) == {"batchItemFailures": []}
        assert len(world.keys("loans/profiles/")) == len(world.keys("daily/profiles/")) == 1


def test_a_missing_environment_variable_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORE_BUCKET")
    world.function("runtime").runtime.cache_clear()
    with pytest.raises(ConfigError, match="STORE_BUCKET"):
        world.call("profile", batch())
