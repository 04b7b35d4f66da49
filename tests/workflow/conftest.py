from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.rollout_scene import scenery


@pytest.fixture
def scene(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Any]:
    """Set up a monitor with a roll-out of a strategy, and what is to be different."""
    return partial(scenery, monkeypatch, capsys, tmp_path)
