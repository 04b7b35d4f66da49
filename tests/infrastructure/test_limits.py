from __future__ import annotations

import pytest

import app as cdk_app
from driftgauge.config import MonitorSet
from driftgauge.errors import ConfigError
from stacks.deployment import Deployment
from stacks.limits import MONITORS_THAT_FIT
from tests.infrastructure.synthesized import RETRAINED, Synthesized, monitor, new_app


def compose(count: int) -> None:
    monitors = tuple(monitor(f"model-{n}", **RETRAINED) for n in range(count))
    deployment = Deployment(name="driftgauge", monitors=MonitorSet(monitors=monitors))
    cdk_app.compose(new_app(), deployment)


def test_the_default_deployment_is_small(default: Synthesized) -> None:
    counts = {room: len(one["Resources"]) for room, one in default.templates.items()}
    assert counts == {"Storage": 6, "Alerts": 13, "Monitoring": 55, "Retraining": 37}


def test_as_many_monitors_fit_into_a_deployment_as_the_message_says() -> None:
    compose(MONITORS_THAT_FIT)


def test_too_many_monitors_are_refused_with_a_way_out() -> None:
    count = MONITORS_THAT_FIT + 1
    with pytest.raises(
        ConfigError, match=rf"\d{{3}} resources for {count} monitors.*-c monitors=FOLDER"
    ):
        compose(count)


@pytest.mark.parametrize("name", ["", "Drift", "9lives", "under_score", "d" * 31])
def test_a_deployment_needs_a_short_lower_case_name(name: str) -> None:
    with pytest.raises(ConfigError, match="a name is a letter"):
        Deployment(name=name, monitors=MonitorSet(monitors=(monitor(),)))


def test_names_that_are_too_long_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="characters together; shorten one"):
        Deployment(name="d" * 30, monitors=MonitorSet(monitors=(monitor("m" * 40),)))
