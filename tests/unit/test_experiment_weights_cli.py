"""``driftgauge experiment weights``: on the local SageMaker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from driftgauge.cli import main
from tests.unit.sagemaker_world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An endpoint of two variants, and a client that finds it."""
    world = World()
    world.create_model("champion")
    world.create_model("challenger")
    world.create_config("both", {"champion": 0.9, "challenger": 0.1})
    world.create_endpoint("both")
    clients = {"sagemaker": world.sagemaker}
    monkeypatch.setattr(boto3, "client", lambda name, **_: clients[name])
    monkeypatch.setattr("driftgauge.cli.experiment_weights._SECONDS", 0.01)
    yield world


def run(*arguments: str) -> int:
    return main(["experiment", "weights", *arguments])


def line_of(text: str, variant: str) -> list[str]:
    (line,) = [line.split() for line in text.splitlines() if line.split()[:1] == [variant]]
    return line


def weights(world: World) -> dict[str, Any]:
    variants = world.describe()["ProductionVariants"]
    return {one["VariantName"]: one["CurrentWeight"] for one in variants}


def test_weights_are_shown_with_the_shares_they_give(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flights") == 0
    out = capsys.readouterr().out
    assert line_of(out, "champion") == ["champion", "requests", "0.9", "0.9", "90.0%"]
    assert line_of(out, "challenger") == ["challenger", "requests", "0.1", "0.1", "10.0%"]
    assert "Endpoint flights is InService, with the configuration both." in out


def test_a_shadow_gets_copies(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.create_config("shadowed", {"champion": 1.0}, shadow="challenger")
    world.sagemaker.update_endpoint(EndpointName="flights", EndpointConfigName="shadowed")
    world.wait("InService")
    assert run("flights") == 0
    out = capsys.readouterr().out
    assert line_of(out, "challenger") == ["challenger", "copies", "1", "1", "100%"]


def test_weights_are_set_and_waited_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flights", "--set", "champion=3", "--set", "challenger=1") == 0
    assert weights(world) == {"champion": 3.0, "challenger": 1.0}
    captured = capsys.readouterr()
    assert line_of(captured.out, "challenger")[-1] == "25.0%"
    assert "an experiment leaves out the windows" in captured.err


def test_a_challenger_loses_its_traffic(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flights", "--set", "challenger=0") == 0
    assert weights(world) == {"champion": 0.9, "challenger": 0.0}
    assert line_of(capsys.readouterr().out, "champion")[-1] == "100%"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "there is no endpoint 'nowhere'"),
        (("flights", "--set", "grey=1"), "no production variant 'grey'; there are champion"),
        (("flights", "--set", "champion=0", "--set", "challenger=0"), "no variant would get any"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str, ...],
    words: str,
    world: World,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*arguments) == 2
    assert words in capsys.readouterr().err
    assert weights(world) == {"champion": 0.9, "challenger": 0.1}


@pytest.mark.parametrize("text", ["challenger", "challenger=", "=1", "challenger=-1", "a=nan"])
def test_what_is_no_weight_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("flights", "--set", text)
    assert "is not VARIANT=WEIGHT" in capsys.readouterr().err


class Changing:
    """An endpoint that goes from one status to the next with each look."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        variant = {"VariantName": "champion", "CurrentWeight": 1.0, "DesiredWeight": 1.0}
        return {
            "EndpointName": "flights",
            "EndpointStatus": status,
            "EndpointConfigName": "both",
            "ProductionVariants": [variant],
        }

    def update_endpoint_weights_and_capacities(self, **_: Any) -> None:
        """Take what is asked for."""


@pytest.fixture
def changing(monkeypatch: pytest.MonkeyPatch) -> Changing:
    service = Changing("InService")
    monkeypatch.setattr(boto3, "client", lambda name, **_: service)
    monkeypatch.setattr("driftgauge.cli.experiment_weights._SECONDS", 0.0)
    monkeypatch.setattr("driftgauge.cli.experiment_weights._LOOKS", 4)
    return service


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (("Updating",), "is Updating: weights can be set once it is InService"),
        (("InService", "Updating"), "endpoint flights is Updating still"),
        (("InService", "Updating", "Failed"), "endpoint flights is Failed still"),
    ],
)
def test_an_endpoint_that_does_not_come_to_rest_is_an_error(
    statuses: tuple[str, ...],
    words: str,
    changing: Changing,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changing.statuses = list(statuses)
    assert run("flights", "--set", "champion=2") == 2
    assert words in capsys.readouterr().err


def test_what_is_waited_for_is_said_once(
    changing: Changing, capsys: pytest.CaptureFixture[str]
) -> None:
    changing.statuses = ["InService", "Updating", "Updating", "InService"]
    assert run("flights", "--set", "champion=2") == 0
    assert capsys.readouterr().err.count("endpoint flights is Updating") == 1
