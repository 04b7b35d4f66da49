"""Challengers come to serve an endpoint, or do not, and then everything is as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.workflow.endpoint import (
    CHALLENGER,
    CHAMPION,
    GROUP,
)
from tests.workflow.machine import substituted
from tests.workflow.rollout_paths import PATHS, WAIT, told_once
from tests.workflow.rollout_scene import ALARM, GUARDING, ring
from tests.workflow.test_retraining import PATHS as PATHS_WITHOUT


def test_the_paths_of_these_tests_visit_every_state() -> None:
    paths = [*PATHS.values(), *PATHS_WITHOUT.values()]
    assert {state for path in paths for state in path} == set(substituted()["States"])


def test_a_challenger_replaces_the_champion_at_once(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        _, path = seen.run()
        assert path == PATHS["direct"]
        seen.assert_promoted()
        subjects = [message["subject"] for message in seen.inbox.read()]
        assert len(subjects) == 3
        assert subjects[-1] == "INFO: loans: new model promoted"


def test_a_better_challenger_goes_from_shadow_over_canary_to_all_traffic(
    scene: Callable[..., Any],
) -> None:
    with scene("shadow_canary") as seen:
        seen.judge(shadow="advance", canary="promote")
        ended, path = seen.run()
        assert path == PATHS["shadow, canary"]
        seen.assert_promoted()
        reason = json.loads(ended["output"])["reason"]
        assert "Stage shadow: it is to advance" in reason
        assert "Stage canary: it is to promote" in reason
        version = seen.record.challenger
        configs = {
            stage: seen.served.sagemaker.describe_endpoint_config(
                EndpointConfigName=f"driftgauge-loans-{version}-{stage}"
            )
            for stage in ("shadow", "canary", "full")
        }
        (shadow,) = configs["shadow"]["ShadowProductionVariants"]
        assert shadow["VariantName"] == CHALLENGER
        assert len(configs["canary"]["ProductionVariants"]) == 2


def test_a_decision_that_comes_later_ends_an_equal_split(scene: Callable[..., Any]) -> None:
    with scene("ab") as seen:
        execution = seen.made.start()
        seen.wait_for_token(execution)
        assert seen.served.weights() == {CHAMPION: 0.5, CHALLENGER: 0.5}
        assert seen.made.functions["verdict"](seen.decide("ab", "promote")) == {"sent": True}
        seen.made.finish(execution)
        assert told_once(seen.made.path(execution)) == PATHS["ab"]
        seen.assert_promoted()


@pytest.mark.parametrize("decision", ["keep", "stop: harm"])
def test_a_challenger_that_does_not_win_is_kept_out(
    decision: str, scene: Callable[..., Any]
) -> None:
    with scene("ab", model_package_group=GROUP) as seen:
        seen.judge(ab=decision)
        ended, path = seen.run()
        kept = PATHS["ab lost"]
        at = kept.index("NeedsApproval"), kept.index("DropChallenger") + 1
        assert path == [
            *(*kept[: at[0]], "RegisterModel", *kept[at[0] : at[1]]),
            *("RejectModel", "DropChallenger", *kept[at[1] :]),
        ]
        seen.assert_as_before("kept")
        assert decision in json.loads(ended["output"])["reason"]
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "Rejected"
        assert decision in package["ApprovalDescription"]
        assert seen.inbox.read()[-1]["subject"] == "INFO: loans: champion kept"


def test_a_shadow_that_is_not_to_go_on_is_withdrawn(scene: Callable[..., Any]) -> None:
    with scene("shadow_canary") as seen:
        seen.judge(shadow="stop")
        assert seen.run()[1] == PATHS["shadow lost"]
        seen.assert_as_before("kept")


def test_an_alarm_of_the_challenger_takes_its_traffic_away_first(
    scene: Callable[..., Any],
) -> None:
    with scene("ab") as seen:
        execution = seen.made.start()
        seen.wait_for_token(execution)
        assert seen.made.functions["verdict"](ring(ALARM, "ALARM")) == {"sent": True}
        ended = seen.made.finish(execution)
        assert told_once(seen.made.path(execution)) == PATHS["ab lost"]
        seen.assert_as_before("kept")
        assert ALARM in json.loads(ended["output"])["reason"]


def test_a_stage_without_a_verdict_ends_with_the_time_limit(scene: Callable[..., Any]) -> None:
    with scene("ab", stage_limit="2s") as seen:
        ended, path = seen.run()
        assert path == PATHS["no verdict"]
        seen.assert_as_before("kept")
        assert "stage_limit" in json.loads(ended["output"])["reason"]


def test_a_verdict_that_cannot_be_waited_for_fails_the_retraining(
    scene: Callable[..., Any],
) -> None:
    def fail(event: dict[str, Any]) -> Any:
        raise RuntimeError("no such table")

    with scene("ab") as seen:
        seen.made.functions["verdict"] = fail
        assert seen.run()[1] == PATHS["verdict fails"]
        seen.assert_as_before("failed")
        assert "no such table" in seen.inbox.read()[-1]["text"]


def test_an_alarm_while_traffic_shifts_lets_sagemaker_roll_back(
    scene: Callable[..., Any],
) -> None:
    with scene("direct") as seen:
        ring(GUARDING, "OK")

        def harmful(real: Any, **arguments: Any) -> Any:
            alarms = arguments["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
            assert alarms == [{"AlarmName": GUARDING}]
            ring(GUARDING, "ALARM")
            return real(**arguments)

        seen.served.replaced["update_endpoint"] = harmful
        ended, path = seen.run()
        assert path == PATHS["rolled back by SageMaker"]
        seen.assert_as_before("kept")
        assert "rolled endpoint loans-endpoint back" in json.loads(ended["output"])["reason"]


def test_a_request_that_sagemaker_refuses_is_asked_again_and_then_fails(
    scene: Callable[..., Any],
) -> None:
    with scene("direct") as seen:

        def refused(real: Any, **arguments: Any) -> Any:
            return real(**{**arguments, "EndpointConfigName": "absent"})

        seen.served.replaced["update_endpoint"] = refused
        ended, path = seen.run()
        requests = seen.served.calls.count("update_endpoint")
        assert requests == 3
        again = ["UpdateEndpoint", *WAIT] * (requests - 1)
        at = PATHS["refused"].index("UpdateEndpoint")
        assert path == [*PATHS["refused"][:at], *again, *PATHS["refused"][at:]]
        seen.assert_as_before("failed")
        assert ended["cause"].startswith("UpdateEndpoint: ")


def test_an_endpoint_that_is_in_an_update_is_waited_for(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        refusals: list[Any] = []

        def busy(real: Any, **arguments: Any) -> Any:
            if not refusals:
                refusals.append(arguments)
                return real(**{**arguments, "EndpointName": "another"})
            return real(**arguments)

        seen.served.replaced["update_endpoint"] = busy
        assert seen.run()[0]["status"] == "SUCCEEDED"
        assert len(refusals) == 1
        seen.assert_promoted()
