"""The layout of keys, and the two spaces they live in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError
from driftgauge.store import (
    Current,
    LocalObjects,
    MonitorStore,
    ObjectInfo,
    Objects,
    S3Objects,
    parse_label_key,
    parse_part_key,
    parse_profile_key,
)
from driftgauge.windows import Window

START = datetime(2015, 7, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))


@pytest.fixture(params=["local", "s3"])
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Objects]:
    if request.param == "local":
        yield LocalObjects(tmp_path)
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="store")
        yield S3Objects(bucket="store", prefix="team/", client=client)


def test_what_is_written_is_read_and_listed(objects: Objects) -> None:
    objects.write("a/b.json", b"{}")
    objects.write("a/c.json", b"[]")
    objects.write("ab.json", b"1")
    assert objects.read("a/b.json") == b"{}"
    with objects.open("a/c.json") as stream:
        assert stream.read() == b"[]"
    assert [info.key for info in objects.list("a/")] == ["a/b.json", "a/c.json"]
    assert [info.key for info in objects.list("a/c")] == ["a/c.json"]
    assert next(iter(objects.list("a/b"))).size == 2


def test_a_missing_object_is_an_error_that_names_it(objects: Objects) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"nothing/here does not exist"):
        objects.read("nothing/here")


def test_a_conditional_write_loses_against_an_earlier_one(objects: Objects) -> None:
    objects.write("pointer", b"1", if_absent=True)
    with pytest.raises(ConflictError):
        objects.write("pointer", b"2", if_absent=True)
    data, tag = objects.read_tagged("pointer")
    assert data == b"1"
    objects.write("pointer", b"3", if_tag=tag)
    with pytest.raises(ConflictError):
        objects.write("pointer", b"4", if_tag=tag)
    assert objects.read("pointer") == b"3"


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="points outside"):
        LocalObjects(tmp_path / "inside").write("../outside", b"")


def test_the_pointer_keeps_its_history(objects: Objects) -> None:
    store = MonitorStore(objects=objects, monitor="flights")
    first = Current(baseline="b1", model="m1", since=START)
    store.write_current(first, if_tag=None)
    current, tag = store.read_current()
    assert current == first
    later = START + timedelta(days=7)
    store.write_current(current.promoted(baseline="b2", model="m2", since=later), if_tag=tag)
    promoted, _ = store.read_current()
    assert (promoted.baseline, promoted.model) == ("b2", "m2")
    assert [(past.baseline, past.model) for past in promoted.history] == [("b1", "m1")]
    with pytest.raises(ConflictError):
        store.write_current(first, if_tag=None)


def test_a_profile_key_says_what_it_holds(objects: Objects) -> None:
    store = MonitorStore(objects=objects, monitor="flights")
    digest = store.capture_digest(bucket="captures", key="x.jsonl", tag='"e1"')
    assert digest == store.capture_digest(bucket="captures", key="x.jsonl", tag="e1")
    for day in (-1, 0, 6, 7):
        key = store.profile_key(
            baseline="b1",
            variant="AllTraffic",
            grain_start=START + timedelta(days=day, hours=5),
            digest=digest,
        )
        objects.write(key, b"profile")
    listed = list(store.list_profiles(baseline="b1", variant="AllTraffic", window=WEEK))
    assert [stored.grain_start.day for stored in listed] == [1, 7]
    assert {(stored.baseline, stored.variant) for stored in listed} == {("b1", "AllTraffic")}


@pytest.mark.parametrize("start", [START, datetime(2014, 12, 28, tzinfo=UTC)])
def test_exactly_the_profiles_of_a_window_are_listed(objects: Objects, start: datetime) -> None:
    # The second one goes over the end of a month and a year.
    store = MonitorStore(objects=objects, monitor="flights")
    window = Window(start, start + timedelta(days=7))
    minute = timedelta(minutes=1)
    inside = [
        window.start,
        window.start + minute,
        window.end - timedelta(days=3),
        window.end - minute,
    ]
    for moment in (*inside, window.start - minute, window.end, window.end + timedelta(days=300)):
        for baseline, variant in (("b1", "blue"), ("b1", "blue2"), ("b10", "blue")):
            key = store.profile_key(
                baseline=baseline, variant=variant, grain_start=moment, digest="0f"
            )
            objects.write(key, b"profile")
    listed = list(store.list_profiles(baseline="b1", variant="blue", window=window))
    assert [stored.grain_start for stored in listed] == inside
    assert {(stored.baseline, stored.variant) for stored in listed} == {("b1", "blue")}


def test_a_listing_starts_above_a_key(objects: Objects) -> None:
    for name in ("a/1", "a/2", "a/3", "b/1"):
        objects.write(name, b"")
    assert [info.key for info in objects.list("a/", after="a/1")] == ["a/2", "a/3"]
    assert [info.key for info in objects.list("a/", after="a/15")] == ["a/2", "a/3"]
    assert list(objects.list("a/", after="b")) == []


def test_windows_shorter_than_an_hour_have_reports_of_their_own() -> None:
    store = MonitorStore(objects=LocalObjects(Path()), monitor="flights")
    quarter = timedelta(minutes=15)
    keys = {
        store.report_key(
            variant="AllTraffic",
            window=Window(START + i * quarter, START + (i + 1) * quarter),
            name="verdicts.json",
        )
        for i in range(4)
    }
    assert len(keys) == 4
    assert store.report_key(variant="AllTraffic", window=WEEK, name="verdicts.json") == (
        "flights/reports/AllTraffic/2015/07/01/00/verdicts.json"
    )


def info_of(key: str) -> ObjectInfo:
    return ObjectInfo(key=key, size=3, tag="t", modified=START)


def test_every_kind_of_part_has_a_key_that_can_be_read_back() -> None:
    store = MonitorStore(objects=LocalObjects(Path("nowhere")), monitor="flights")
    place = {"baseline": "b1", "variant": "blue"}
    grain = START + timedelta(hours=5)
    keys = {
        "profiles": store.profile_key(**place, grain_start=grain, digest="d"),
        "predictions": store.predictions_key(**place, grain_start=grain, digest="d"),
        "samples": store.sample_key(**place, grain_start=grain, digest="d"),
        "attributions": store.attributions_key(
            **place, window=Window(grain, grain + timedelta(hours=1))
        ),
    }
    for kind, key in keys.items():
        stored = parse_part_key(info_of(key))
        assert (stored.kind, stored.baseline, stored.variant) == (kind, "b1", "blue")
        assert (stored.grain_start, stored.tag, stored.size) == (grain, "t", 3)
        assert stored.digest == ("" if kind == "attributions" else "d")
    summed = parse_part_key(info_of(store.predictions_key(**place, grain_start=grain)))
    assert (summed.is_merged, stored.is_merged) == (True, False)


def test_keys_of_labels_can_be_read_back() -> None:
    store = MonitorStore(objects=LocalObjects(Path("nowhere")), monitor="flights")
    grain = START + timedelta(hours=5, minutes=30)
    received = parse_label_key(info_of(store.received_labels_key(collected=grain, digest="d")))
    assert (received.variant, received.grain_start) == (None, START + timedelta(hours=5))
    key = store.matched_labels_key(variant="blue", grain_start=grain, digest="d")
    matched = parse_label_key(info_of(key))
    assert (matched.variant, matched.grain_start, matched.digest) == ("blue", grain, "d")


@pytest.mark.parametrize(
    "key",
    [
        "flights/profiles/b1/blue/2015/07/01/05/00/d.predictions",
        "flights/profiles/b1/blue/2015/07/01/05/d.profile",
        "flights/predictions/b1/blue/2015/13/01/05/00/d.predictions",
        "flights/attributions/b1/blue/2015/07/01/05/x.sums",
        "flights/labels/lost/2015/07/01/05/d.labels",
        "flights/labels/matched/d.labels",
        "/labels/received/2015/07/01/05/d.labels",
        "flights",
    ],
)
def test_other_keys_are_no_parts_and_no_labels(key: str) -> None:
    for parse in (parse_part_key, parse_profile_key, parse_label_key):
        with pytest.raises(StoreError, match="is not the key of"):
            parse(info_of(key))


def test_predictions_are_no_profile() -> None:
    with pytest.raises(StoreError, match="is not the key of a profile"):
        parse_profile_key(info_of("flights/predictions/b1/blue/2015/07/01/05/00/d.predictions"))


def test_received_labels_are_listed_by_their_hour(objects: Objects) -> None:
    store = MonitorStore(objects=objects, monitor="flights")
    for hours in range(-2, 4):
        hour = START + timedelta(hours=hours)
        for digest in ("00", "ff"):
            objects.write(store.received_labels_key(collected=hour, digest=digest), b"labels")
            objects.write(
                store.matched_labels_key(variant="blue", grain_start=hour, digest=digest), b"labels"
            )
    half = timedelta(minutes=30)
    window = Window(START + half, START + timedelta(hours=2))
    listed = list(store.list_received_labels(window=window))
    assert [(one.grain_start.hour, one.digest) for one in listed] == [
        (0, "00"),
        (0, "ff"),
        (1, "00"),
        (1, "ff"),
    ]
    matched = list(store.list_matched_labels(variant="blue", window=window))
    assert [(one.grain_start.hour, one.digest) for one in matched] == [(1, "00"), (1, "ff")]
