"""Keys of capture objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from driftgauge.capture.keys import CaptureKey, capture_key, parse_capture_key


def test_a_key_says_where_and_when() -> None:
    key = "a/b/churn/AllTraffic/2022/04/18/00/20-48-871-0b7bfd33-c1b5.jsonl"
    expected = CaptureKey(
        endpoint="churn", variant="AllTraffic", hour=datetime(2022, 4, 18, tzinfo=UTC)
    )
    assert parse_capture_key(key, prefix="a/b") == expected
    assert parse_capture_key(key, prefix="/a/b/") == expected


def test_a_bucket_may_hold_captures_at_its_root() -> None:
    parsed = parse_capture_key("e/v/2022/04/18/23/00-00-000-x.jsonl.gz", prefix="")
    assert parsed is not None
    assert parsed.hour.hour == 23


@pytest.mark.parametrize(
    "key",
    [
        "c/e/v/2022/04/18/00/readme.txt",
        "c/e/v/2022/13/18/00/x.jsonl",
        "c/e/v/2022/04/18/24/x.jsonl",
        "c/e/2022/04/18/00/x.jsonl",
        "cc/e/v/2022/04/18/00/x.jsonl",
        "c/e/v/2022/04/18/00/deeper/x.jsonl",
        "c/e/v/2022/04/18/00/.jsonl",
        "",
    ],
)
def test_other_keys_are_not_captures(key: str) -> None:
    assert parse_capture_key(key, prefix="c") is None


def test_a_made_key_is_parsed_back() -> None:
    moment = datetime(2015, 7, 1, 1, 2, 3, 4567, tzinfo=timezone(timedelta(hours=2)))
    key = capture_key(prefix="c/", endpoint="e", variant="v", moment=moment, unique="u")
    assert key == "c/e/v/2015/06/30/23/02-03-004-u.jsonl"
    parsed = parse_capture_key(key, prefix="c")
    assert parsed == CaptureKey(
        endpoint="e", variant="v", hour=datetime(2015, 6, 30, 23, tzinfo=UTC)
    )
