"""Fixtures every suite shares."""

from __future__ import annotations

from pathlib import Path

import pytest

_SLOWEST = Path(__file__).parent / "end_to_end" / "test_rollout.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those tests begin first that go by the minute, and so wait while others work."""
    items.sort(key=lambda item: item.path != _SLOWEST)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no shared folder with reference data beside the checkout")
    return folder
