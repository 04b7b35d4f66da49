"""The running sum of a window's profiles, against merging all of them each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftgauge.errors import ProfileError, StoreError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.codec import encode_profile, merge_encoded
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from driftgauge.store import LocalObjects, MonitorStore, StoredProfile
from driftgauge.windows import Window
from lambdas.rollup import FEW_PROFILES, decode_rollup, encode_rollup, merge_stored, part_digest
from tests.columns import column_of

START = datetime(2026, 7, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))
MANY = FEW_PROFILES + 12


def specification(version: str) -> ProfileSpec:
    return ProfileSpec(
        version=version,
        features=(
            FeatureSpec(
                name="amount",
                role="input",
                kind="numeric",
                inferred_type="Fractional",
                edges=(-1.0, 0.0, 0.5, 1e6),
                center=0.3,
            ),
            FeatureSpec(
                name="region",
                role="input",
                kind="categorical",
                inferred_type="String",
                categories=("north", "south"),
            ),
        ),
    )


SPEC = specification("v1")


@cache
def stored_bytes(number: int) -> bytes:
    """A profile of rows whose sum depends on the order in which floats are added."""
    chance = np.random.default_rng(number)
    rows = 5 + number % 7
    amounts = (chance.normal(size=rows) * 10.0 ** chance.integers(-9, 9, rows)).tolist()
    regions = [f"region {i}" for i in chance.integers(0, 500, rows)]
    columns = {"amount": column_of(amounts), "region": column_of(regions)}
    return encode_profile(profile_columns(SPEC, columns, rows=rows, records=1))


class CountingObjects(LocalObjects):
    """Files that remember which were read, and call before a write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read_keys: list[str] = []
        self.before_write: Callable[[str], None] = lambda key: None

    def read(self, key: str) -> bytes:
        self.read_keys.append(key)
        return super().read(key)

    def write(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_tag: str | None = None,
    ) -> None:
        self.before_write(key)
        super().write(key, data, content_type=content_type, if_absent=if_absent, if_tag=if_tag)


class Place:
    """A store with the profiles of one window."""

    def __init__(self, folder: Path) -> None:
        self.objects = CountingObjects(folder)
        self.store = MonitorStore(objects=self.objects, monitor="loans")
        self.rollup = self.store.rollup_key(baseline="v1", variant="blue", window=WEEK)

    def key(self, number: int) -> str:
        return self.store.profile_key(
            baseline="v1",
            variant="blue",
            grain_start=START + timedelta(hours=number % 168),
            digest=f"{number:032x}",
        )

    def add(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.objects.write(self.key(number), stored_bytes(number))

    def found(self) -> list[StoredProfile]:
        return list(self.store.list_profiles(baseline="v1", variant="blue", window=WEEK))

    def merge(self, some: list[StoredProfile] | None = None) -> bytes:
        """Merge what is found, note what is read, and return the encoded sum."""
        found = self.found() if some is None else some
        self.objects.read_keys.clear()
        return encode_profile(merge_stored(self.store, found, SPEC, window=WEEK))

    def full(self, some: list[StoredProfile] | None = None) -> bytes:
        """The encoded sum of all, without any rollup."""
        found = self.found() if some is None else some
        data = [LocalObjects.read(self.objects, one.key) for one in found]
        return encode_profile(merge_encoded(data, SPEC))

    @property
    def profiles_read(self) -> list[str]:
        return [key for key in self.objects.read_keys if key.endswith(".profile")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), dice=st.randoms())
@settings(deadline=None, max_examples=30)
def test_the_sum_is_that_of_all_profiles_in_whatever_order_they_arrive(
    sizes: list[int], dice: Random
) -> None:
    numbers = list(range(sum(sizes)))
    dice.shuffle(numbers)
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for size in sizes:
            arriving, numbers = numbers[:size], numbers[size:]
            place.add(arriving)
            had_rollup = (Path(folder) / place.rollup).exists()
            assert place.merge() == place.full()
            if had_rollup:
                assert sorted(place.profiles_read) == sorted(map(place.key, arriving))


def test_each_profile_of_a_long_window_is_read_once(place: Place) -> None:
    reads = 0
    place.add(range(MANY))
    place.merge()
    for number in range(MANY, MANY + 10):
        place.add([number])
        assert place.merge() == place.full()
        reads += len(place.profiles_read)
    assert reads == 10


def test_a_window_without_news_reads_its_rollup_alone_and_writes_nothing(place: Place) -> None:
    place.add(range(MANY))
    place.merge()
    written: list[str] = []
    place.objects.before_write = written.append
    assert place.merge() == place.full()
    assert place.objects.read_keys == [place.rollup]
    assert written == []


def test_a_window_of_few_profiles_has_no_rollup(place: Place) -> None:
    place.add(range(FEW_PROFILES))
    assert place.merge() == place.full()
    assert not list(place.objects.list("loans/rollups/"))
    assert place.rollup not in place.objects.read_keys


def test_a_replaced_profile_makes_the_sum_anew(place: Place) -> None:
    place.add(range(MANY))
    before = place.merge()
    place.objects.write(place.key(3), stored_bytes(1003))
    after = place.merge()
    assert after == place.full() != before
    assert len(place.profiles_read) == MANY
    place.merge()
    assert place.profiles_read == []


def test_a_profile_that_is_gone_makes_the_sum_anew(place: Place) -> None:
    place.add(range(MANY))
    place.merge()
    found = place.found()[:-1]
    assert place.merge(found) == place.full(found)
    assert len(place.profiles_read) == MANY - 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:4] + bytes([99]) + data[5:],
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
        lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        lambda data: b"another thing altogether",
    ],
    ids=["empty", "cut off", "other version", "digests", "profile", "other thing"],
)
def test_a_rollup_that_cannot_be_read_is_made_anew(
    place: Place, damage: Callable[[bytes], bytes]
) -> None:
    place.add(range(MANY))
    expected = place.merge()
    whole = place.objects.read(place.rollup)
    place.objects.write(place.rollup, damage(whole))
    assert place.merge() == expected
    assert len(place.profiles_read) == MANY
    assert place.objects.read(place.rollup) == whole


def test_a_rollup_of_another_specification_is_made_anew(place: Place) -> None:
    place.add(range(MANY))
    expected = place.merge()
    other = profile_columns(specification("v2"), {}, rows=3)
    digests = frozenset(part_digest(one) for one in place.found())
    place.objects.write(place.rollup, encode_rollup(other, digests))
    assert place.merge() == expected
    assert len(place.profiles_read) == MANY


def test_two_evaluations_at_once_are_right_each_by_itself(place: Place) -> None:
    place.add(range(MANY))
    place.merge()
    place.add([MANY])
    early = place.found()
    place.add([MANY + 1, MANY + 2])
    late = place.found()
    results: list[bytes] = []

    def rival(key: str) -> None:
        # The later evaluation comes and goes between the earlier one's reading and writing.
        if key == place.rollup:
            place.objects.before_write = lambda key: None
            results.append(place.merge(late))

    place.objects.before_write = rival
    results.append(place.merge(early))
    assert results == [place.full(late), place.full(early)]
    # The earlier one's rollup stayed; the next evaluation reads what that does not hold.
    assert place.merge() == place.full()
    assert len(place.profiles_read) == 2
    # And one that found less than the rollup holds does not use it.
    assert place.merge(early) == place.full(early)


def test_a_rollup_that_cannot_be_written_does_not_fail_the_evaluation(place: Place) -> None:
    place.add(range(MANY))

    def refuse(key: str) -> None:
        raise StoreError(f"{key} cannot be written: access denied")

    place.objects.before_write = refuse
    assert place.merge() == place.full()


def test_a_damaged_profile_fails_although_there_is_a_rollup(place: Place) -> None:
    place.add(range(MANY))
    place.merge()
    place.objects.write(place.key(MANY), b"damaged")
    with pytest.raises(ProfileError):
        place.merge()


def test_a_rollup_takes_sixteen_bytes_for_each_profile(place: Place) -> None:
    place.add(range(MANY))
    sum_of_all = place.merge()
    data = place.objects.read(place.rollup)
    assert len(data) - len(sum_of_all) == 16 * MANY + 25
    profile, digests = decode_rollup(data, SPEC)
    assert encode_profile(profile) == sum_of_all
    assert digests == {part_digest(one) for one in place.found()}


def test_a_rollup_that_claims_more_profiles_than_it_has_bytes_for_is_refused() -> None:
    profile = profile_columns(SPEC, {}, rows=1)
    whole = encode_rollup(profile, frozenset())
    body = (2**31).to_bytes(4, "little") + whole[25:]
    forged = whole[:5] + blake2b(body, digest_size=16).digest() + body
    with pytest.raises(ProfileError, match="too short"):
        decode_rollup(forged, SPEC)
