"""A block's share of the traffic, read from the endpoint's weights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.unit.experiment_store import (
    CHALLENGER,
    CHAMPION,
    NOTHING_FAILED,
    blocks,
    both,
    compared,
    counted,
    judge,
    past,
)
from tests.unit.lambda_world import World, deployed
from tests.unit.outcome_store import HOUR, HOURS, add_baseline

LONG_AGO = HOUR - timedelta(days=9)


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    """An A/B test that is planned with equal shares."""
    with deployed(monkeypatch, capsys, tmp_path, compared("ab")) as world:
        add_baseline(world)
        past(world)
        world.printed()
        yield world


class SageMaker:
    """DescribeEndpoint of an endpoint with weights."""

    def __init__(self, world: World, *, since: datetime = LONG_AGO, **weights: float) -> None:
        self.weights, self.since = weights, since
        self.asked: list[str] = []
        self.failure: Exception | None = None
        run = world.function("runtime").runtime()
        world.monkeypatch.setattr(run, "sagemaker", self, raising=False)

    def describe_endpoint(self, **request: str) -> dict[str, Any]:
        self.asked.append(request["EndpointName"])
        if self.failure is not None:
            raise self.failure
        return {
            "EndpointStatus": "InService",
            "LastModifiedTime": self.since,
            "ProductionVariants": [
                # The API's numbers are of single precision.
                {"VariantName": name, "CurrentWeight": weight * (1 + 2e-8)}
                for name, weight in self.weights.items()
            ],
        }


def shares(world: World) -> list[float]:
    return [block.share for block in blocks(world)]


def warnings(world: World) -> list[str]:
    return [one["message"] for one in world.printed() if one.get("level") == "WARNING"]


def test_weights_win_over_the_planned_share_and_the_log_says_so(world: World) -> None:
    service = SageMaker(world, blue=0.9, green=0.1)
    assert judge(world, both(world, range(3), right=0.8, share=0.1)) == NOTHING_FAILED
    assert shares(world) == [0.1] * 3
    assert service.asked == ["loans-endpoint"]
    (line,) = [one for one in world.printed() if one.get("message") == "weights differ from share"]
    assert (line["share"], line["served"]) == (0.5, 0.1)


def test_weights_that_are_the_planned_share_are_just_that(world: World) -> None:
    SageMaker(world, blue=7.0, green=7.0)
    judge(world, both(world, [0], right=0.8))
    assert shares(world) == [0.5]
    assert warnings(world) == []


def test_an_endpoint_is_asked_once_for_a_batch_and_not_for_windows_that_are_known(
    world: World,
) -> None:
    service = SageMaker(world, blue=1.0, green=1.0)
    both(world, range(3), right=0.8)
    events = [counted(world, CHALLENGER, number) for number in range(3)]
    judge(world, *events)
    assert service.asked == ["loans-endpoint"]
    judge(world, counted(world, CHALLENGER, 2, right=0.85))
    assert service.asked == ["loans-endpoint"]


def test_windows_after_a_change_of_weights_have_the_new_share_and_those_it_lies_in_are_left_out(
    world: World,
) -> None:
    SageMaker(world, blue=0.5, green=0.5)
    judge(world, both(world, [0], right=0.8))
    SageMaker(world, blue=0.75, green=0.25, since=HOUR + 1.5 * HOURS)
    world.printed()
    judge(world, both(world, [1], right=0.8, share=0.4))
    assert warnings(world) == ["window not counted"]
    judge(world, both(world, [2], right=0.8, share=0.25))
    assert blocks(world).starts == (HOUR, HOUR + 2 * HOURS)
    assert shares(world) == [0.5, 0.25]


def test_a_change_that_leaves_the_weights_alone_leaves_no_window_out(world: World) -> None:
    SageMaker(world, blue=0.5, green=0.5)
    judge(world, both(world, [0], right=0.8))
    # More instances, for example.
    SageMaker(world, blue=0.5, green=0.5, since=HOUR + 1.5 * HOURS)
    judge(world, both(world, [1], right=0.8))
    assert shares(world) == [0.5, 0.5]


def test_a_first_window_counts_from_the_beginning_of_the_test(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    since = HOUR + timedelta(minutes=30)
    with deployed(monkeypatch, capsys, tmp_path, compared("ab", since=since.isoformat())) as world:
        add_baseline(world)
        past(world)
        SageMaker(world, blue=3.0, green=1.0, since=since - timedelta(minutes=2))
        counted(world, CHAMPION, 0, at=timedelta(minutes=30))
        judge(world, counted(world, CHALLENGER, 0, at=timedelta(minutes=30)))
        assert shares(world) == [0.25]


@pytest.mark.parametrize("weights", [{"blue": 1.0}, {"blue": 1.0, "green": 0.0}], ids=str)
def test_an_endpoint_that_does_not_split_the_traffic_now_leaves_the_planned_share(
    weights: dict[str, float], world: World
) -> None:
    SageMaker(world, **weights)  # type: ignore[arg-type]  # since is no weight
    judge(world, both(world, [0], right=0.8))
    assert shares(world) == [0.5]
    assert warnings(world) == ["weights do not split the traffic"]


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException"])
def test_an_endpoint_that_cannot_be_asked_leaves_the_planned_share(code: str, world: World) -> None:
    service = SageMaker(world)
    error: Any = {"Error": {"Code": code, "Message": "no"}}
    service.failure = ClientError(error, "DescribeEndpoint")
    events = [both(world, [number], right=0.8) for number in range(3)]
    assert judge(world, *events) == NOTHING_FAILED
    assert shares(world) == [0.5] * 3
    assert warnings(world) == ["weights not read"]


def test_a_passing_failure_is_an_error_to_try_again(world: World) -> None:
    SageMaker(world).failure = EndpointConnectionError(endpoint_url="https://api.sagemaker")
    assert len(judge(world, both(world, [0], right=0.8))["batchItemFailures"]) == 1
    assert world.keys("loans/experiments/june/blocks") == []


def test_predictions_from_elsewhere_have_the_planned_share(world: World) -> None:
    service = SageMaker(world, blue=0.9, green=0.1)
    config = world.monitors.monitors[0]
    foreign = config.model_copy(
        update={"capture": config.capture.model_copy(update={"format": "predictions"})}
    )
    run = world.function("runtime").runtime()
    weights = world.function("experiment_weights").EndpointWeights(run)
    assert weights.share(foreign, config.experiments[0]) is None
    assert service.asked == []
