"""Registration, failures and the way back: whatever happens, nothing is left half-way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3

from tests.workflow.endpoint import (
    GROUP,
)
from tests.workflow.rollout_paths import (
    BACK_FROM_SPLIT,
    FAILED,
    PATHS,
    REJECTED,
    RESTORED,
    told_once,
)
from tests.workflow.rollout_scene import Scene
from tests.workflow.test_retraining import BEGIN, PREPARED, current
from tests.workflow.test_retraining import PATHS as PATHS_WITHOUT


def test_an_approved_challenger_is_approved_in_the_registry_once_it_serves(
    scene: Callable[..., Any],
) -> None:
    with scene("direct", model_package_group=GROUP, retraining={"approval": True}) as seen:
        execution = seen.made.start()
        token = seen.inbox.wait_for_token()
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "PendingManualApproval"
        assert package["CustomerMetadataProperties"]["monitor"] == "loans"
        assert seen.served.serves_as_before()
        boto3.client("stepfunctions").send_task_success(taskToken=token, output="{}")
        seen.made.finish(execution)
        assert told_once(seen.made.path(execution)) == PATHS["registered"]
        seen.assert_promoted()
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "Approved"
        assert package["CustomerMetadataProperties"]["version"] == current(seen.world).model


def test_nobody_answering_rejects_the_challenger_in_the_registry(
    scene: Callable[..., Any],
) -> None:
    asked = {"approval": True, "approval_timeout": "1s"}
    with scene("direct", model_package_group=GROUP, retraining=asked) as seen:
        assert seen.run()[1] == PATHS["registered, no answer"]
        seen.assert_as_before("kept")
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "Rejected"
        assert package["ApprovalDescription"] == "Nobody approved the challenger in time."


def test_a_registry_that_takes_no_approval_does_not_undo_a_promotion(
    scene: Callable[..., Any],
) -> None:
    with scene("direct", model_package_group=GROUP) as seen:
        seen.served.replaced["update_model_package"] = lambda real, **arguments: real(
            **{**arguments, "ModelPackageArn": arguments["ModelPackageArn"] + "9"}
        )
        ended, path = seen.run()
        assert path[-4:] == ["WasRegistered", "ApproveModel", "TellPromoted", "Promoted"]
        seen.assert_promoted()
        assert "did not take the approval" in json.loads(ended["output"])["reason"]


def test_a_model_that_is_there_already_is_used(scene: Callable[..., Any]) -> None:
    def twice(real: Any, **arguments: Any) -> Any:
        real(**arguments)
        return real(**arguments)

    with scene("direct") as seen:
        seen.served.replaced["create_model"] = twice
        assert seen.run()[1] == PATHS["model is there"]
        seen.assert_promoted()


def test_a_model_that_cannot_be_made_changes_nothing(scene: Callable[..., Any]) -> None:
    def wrong(real: Any, **arguments: Any) -> Any:
        return real(**{**arguments, "ExecutionRoleArn": "nobody"})

    with scene("direct") as seen:
        seen.served.replaced["create_model"] = wrong
        ended, path = seen.run()
        assert path == PATHS["no model"]
        seen.assert_as_before("failed")
        assert ended["cause"].startswith("CreateModel: ")


def test_the_challengers_model_is_made_like_the_champions(scene: Callable[..., Any]) -> None:
    network = {"SecurityGroupIds": ["sg-12345678"], "Subnets": ["subnet-12345678"]}
    with scene("direct", environment={"LEVEL": "2"}) as seen:
        like_production(seen, VpcConfig=network, EnableNetworkIsolation=True)
        assert seen.run()[1] == PATHS["direct"]
        seen.assert_promoted()
        version = seen.record.challenger
        made = seen.served.sagemaker.describe_model(ModelName=f"driftgauge-loans-{version}")
        assert (made["VpcConfig"], made["EnableNetworkIsolation"]) == (network, True)
        assert made["ExecutionRoleArn"] == "arn:aws:iam::123456789012:role/serving"
        container = made["PrimaryContainer"]
        assert container["Environment"] == {"LEVEL": "2", "TZ": "UTC"}
        assert version in container["ModelDataUrl"]


def test_without_the_champions_model_nothing_is_changed(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        seen.served.sagemaker.delete_model(ModelName="champion")
        ended, path = seen.run()
        assert path == PATHS["champion's model is gone"]
        seen.assert_as_before("failed")
        assert "model champion, which the champion serves from" in ended["cause"]
        assert not {"create_model", "create_endpoint_config"} & set(seen.served.calls)


def like_production(seen: Scene, **settings: Any) -> None:
    """Give the champion's model settings that it did not have."""
    client = seen.served.sagemaker
    before = client.describe_model(ModelName="champion")
    client.delete_model(ModelName="champion")
    client.create_model(
        ModelName="champion",
        ExecutionRoleArn=before["ExecutionRoleArn"],
        PrimaryContainer={
            **before["PrimaryContainer"],
            "Environment": {"LEVEL": "1", "TZ": "UTC"},
        },
        **settings,
    )


def test_a_training_that_fails_leaves_the_endpoint_alone(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        seen.served.replaced["create_training_job"] = lambda real, **arguments: real(
            **{**arguments, "RoleArn": "nobody"}
        )
        _, path = seen.run()
        assert path == [*PREPARED, "TrainOnSageMaker", *FAILED]
        assert set(seen.served.calls) == {"create_training_job"}
        seen.assert_as_before("failed")


def failing_promotion(seen: Scene, *, at: tuple[str, ...] = ("promoted",)) -> None:
    promote = seen.made.functions["promote"]

    def fail(event: dict[str, Any]) -> Any:
        if event["outcome"] in at:
            raise RuntimeError("the pointer did not move")
        return promote(event)

    seen.made.functions["promote"] = fail


def test_a_promotion_that_fails_brings_the_endpoint_back(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        failing_promotion(seen)
        ended, path = seen.run()
        assert path == PATHS["promotion fails"]
        assert "the pointer did not move" in ended["cause"]
        seen.assert_as_before("failed")


def test_a_roll_back_that_fails_is_told_and_the_next_execution_tries_again(
    scene: Callable[..., Any],
) -> None:
    with scene("direct") as seen:
        failing_promotion(seen)
        rollout = seen.made.functions["rollout"]

        def fail(event: dict[str, Any]) -> Any:
            if event["stage"] == "restore":
                raise RuntimeError("no access to the endpoint")
            return rollout(event)

        seen.made.functions["rollout"] = fail
        ended, path = seen.run()
        assert path == PATHS["stuck"]
        assert (ended["status"], ended["error"]) == ("FAILED", "RollBackFailed")
        message = seen.inbox.read()[-1]
        assert message["subject"].startswith("FAILED: loans: roll-out could not be taken back")
        assert "no access to the endpoint" in " ".join(message["text"].split())
        assert seen.record.status == "running"
        seen.made.functions["rollout"] = rollout
        assert seen.run("two")[1] == PATHS["by hand"]
        seen.assert_as_before("restored")


def test_a_pointer_that_cannot_be_put_back_is_told(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        failing_promotion(seen, at=("promoted", "failed"))
        assert seen.run()[1] == PATHS["pointer stuck"]
        assert "could not be taken back" in seen.inbox.read()[-1]["subject"]
        assert seen.record.status == "running"


def test_a_promotion_is_taken_back_by_hand(scene: Callable[..., Any]) -> None:
    with scene("direct") as seen:
        seen.run()
        seen.assert_promoted()
        ended, path = seen.run("two", rollback=True)
        assert path == PATHS["by hand"]
        assert json.loads(ended["output"])["outcome"] == "restored"
        seen.assert_as_before("restored")
        assert seen.inbox.read()[-1]["subject"] == "INFO: loans: roll-out taken back"
        assert seen.run("three", rollback=True)[1] == PATHS_WITHOUT["cooling down"]


def test_a_promotion_that_is_taken_back_is_rejected_in_the_registry(
    scene: Callable[..., Any],
) -> None:
    with scene("direct", model_package_group=GROUP) as seen:
        seen.run()
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "Approved"
        assert seen.run("two", rollback=True)[1] == PATHS["by hand, registered"]
        seen.assert_as_before("restored")
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "Rejected"
        assert "is taken back by hand" in package["ApprovalDescription"]


def test_a_roll_out_that_is_recovered_from_is_rejected_in_the_registry(
    scene: Callable[..., Any],
) -> None:
    with scene("ab", model_package_group=GROUP) as seen:
        execution = seen.made.start()
        seen.wait_for_token(execution)
        (package,) = seen.served.packages()
        assert seen.record.package == package["ModelPackageArn"]
        seen.made.stop(execution, token=seen.record.token)
        seen.made.finish(execution)
        path = seen.run("two", recover=True)[1]
        assert path == [*BEGIN, *BACK_FROM_SPLIT, *REJECTED, *RESTORED]
        seen.assert_as_before("restored")
        (package,) = seen.served.packages()
        assert package["ModelApprovalStatus"] == "Rejected"
        assert "ended half-way" in package["ApprovalDescription"]


def test_an_aborted_roll_out_is_recovered_from_and_only_once(scene: Callable[..., Any]) -> None:
    with scene("ab") as seen:
        execution = seen.made.start()
        seen.wait_for_token(execution)
        assert seen.run("two", recover=True)[1] == PATHS_WITHOUT["refused"]
        seen.made.stop(execution, token=seen.record.token)
        assert seen.made.finish(execution)["status"] == "ABORTED"
        assert not seen.served.serves_as_before()
        assert seen.run("three", recover=True)[1] == [
            *(*BEGIN, *BACK_FROM_SPLIT),
            *RESTORED,
        ]
        seen.assert_as_before("restored")
        assert seen.run("four", recover=True)[1] == PATHS_WITHOUT["refused"]
