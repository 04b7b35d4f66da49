"""Roll-outs on the embedded AWS: from a retraining to a new champion, or back to the old one.

The templates are those of ``cdk deploy``; nothing here calls a handler. One deployment has a
monitor with an endpoint for each story; the stories with live traffic go on by the minute, since
a comparison counts whole windows only, while the shorter ones are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from driftgauge.config import load_monitors
from local.aws import EmbeddedAws
from local.deploy import deploy
from local.observation import Observer, Resources
from local.toolchain import ROOT, synthesize
from tests.end_to_end.rollout_monitors import write_monitors
from tests.end_to_end.rollout_world import LIVE, Story, Traffic, let_promote_crash

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

DEPLOYMENT = "rollout"
Stories = dict[str, Story]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    """Every story, with its past; those with live traffic have begun."""
    folder = tmp_path_factory.mktemp("rollout")
    monitors = folder / "monitors"
    write_monitors(monitors)
    assembly = synthesize(
        ROOT,
        assembly=folder / "cdk.out",
        context={"deployment": DEPLOYMENT, "monitors": str(monitors)},
        log=folder / "cdk-synth.log",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "EMBEDDED_AWS_IMAGES", json.dumps({"spoiled": "tests.end_to_end.rollout_images"})
        )
        with EmbeddedAws(folder=folder / "aws") as aws:
            outputs = deploy(assembly, aws)
            told = {}
            for config in load_monitors(monitors).monitors:
                resources = Resources.from_outputs(outputs, config)
                observer = Observer(
                    aws=aws, resources=resources, config=config, deployment=DEPLOYMENT
                )
                told[config.name] = Story(aws=aws, observer=observer, config=config)
            # Those that take longest first.
            order = sorted(told.values(), key=lambda story: story.name not in LIVE)
            with ThreadPoolExecutor(max_workers=2) as pool:
                list(pool.map(Story.begin, order))
            traffic = [Traffic(told[name], requests=requests) for name, requests in LIVE.items()]
            for one in traffic:
                one.start()
            yield told
            for one in traffic:
                one.stop()


def test_a_training_that_fails_leaves_everything_as_it_was(stories: Stories) -> None:
    story = stories["untrained"]
    execution = story.ended(story.start(force=True))
    assert story.steps(execution)[-4:] == [
        *("TrainOnSageMaker", "RecordFailure", "TellFailure", "Failed")
    ], execution
    assert execution.status == "FAILED"
    assert story.state() == story.before
    assert story.packages() == []
    assert story.rollout() is None
    assert story.told("retraining failed", "could not convert string to float")


def test_an_approval_that_nobody_gives_ends_with_the_champion(stories: Stories) -> None:
    story = stories["unapproved"]
    execution = story.ended(story.start(force=True))
    steps = story.steps(execution)
    assert steps[-9:] == [
        *("RegisterModel", "NeedsApproval", "AskApproval", "DropChallenger", "RejectModel"),
        *("DropChallenger", "KeepChampion", "TellKept", "Kept"),
    ], execution
    assert story.state() == story.before
    assert story.packages() == ["Rejected"]
    assert story.rollout() is None
    assert story.told("a new model waits for approval", "")
    assert story.told("champion kept", "Nobody approved the challenger in time.")


def test_a_new_fleet_that_answers_nonsense_is_rolled_back_by_its_alarm(stories: Stories) -> None:
    story = stories["garbled"]
    arn = story.start(force=True)
    story.serve_while_deploying(arn)
    execution = story.ended(arn)
    # SageMaker itself has put the old fleet back: there is nothing to be updated.
    assert story.deeds(execution) == [
        *("CreateEndpointConfig", "UpdateEndpoint", "RollBack", "RejectModel")
    ], execution
    assert story.rings()
    assert story.watched_alarms() == [story.alarm]
    assert story.is_restored()
    assert story.told("champion kept", "The endpoint serves as it did before.")


def test_a_crash_before_the_pointer_moves_is_recovered_from(stories: Stories) -> None:
    story = stories["crashed"]
    let_promote_crash(story, DEPLOYMENT)
    story.crash("before, stopped")
    execution = story.ended(story.start(force=True))
    assert (execution.status, story.steps(execution)[-1]) == ("ABORTED", "Promote"), execution
    # Nobody starts it: the end of the execution does.
    recovery = story.next_execution(after=execution)
    assert (recovery.status, story.steps(recovery)[-1]) == ("SUCCEEDED", "Restored"), recovery
    assert story.deeds(recovery) == ["RollBack", "UpdateEndpoint", "RejectModel"]
    assert story.is_restored()
    assert story.told("roll-out taken back", "ended half-way")


def test_a_crash_between_pointer_and_record_is_taken_back(stories: Stories) -> None:
    story = stories["crashed"]
    story.crash("after")
    execution = story.ended(story.start(force=True))
    assert story.deeds(execution) == [
        *("CreateEndpointConfig", "UpdateEndpoint", "Promote"),
        *("RollBack", "UpdateEndpoint", "RejectModel"),
    ], execution
    assert story.is_restored()
    assert story.told("retraining failed", "")


def test_an_execution_that_ends_with_its_pointer_moved_has_promoted(stories: Stories) -> None:
    story = stories["crashed"]
    story.crash("after, stopped")
    execution = story.ended(story.start(force=True))
    assert (execution.status, story.steps(execution)[-1]) == ("ABORTED", "Promote"), execution
    recovery = story.next_execution(after=execution)
    assert story.deeds(recovery) == [], recovery
    assert story.serves_challenger()


def test_a_promotion_is_taken_back_by_hand(stories: Stories) -> None:
    story = stories["crashed"]
    execution = story.ended(story.start(rollback=True))
    assert story.steps(execution)[-1] == "Restored", execution
    assert story.deeds(execution) == ["RollBack", "UpdateEndpoint", "RejectModel"]
    assert story.is_restored()
    assert story.told("roll-out taken back", "by hand")


def test_a_harmful_challenger_is_found_in_a_tenth_of_the_canary(stories: Stories) -> None:
    story = stories["harmful"]
    execution = story.ended(story.executions()[0].arn)
    assert story.deeds(execution) == [
        *("CreateEndpointConfig", "UpdateEndpoint", "AwaitVerdict"),
        *("CreateEndpointConfig", "UpdateEndpoint", "SetWeights", "AwaitVerdict"),
        # Its traffic first, which takes seconds.
        *("RollBack", "SetWeights", "UpdateEndpoint", "RejectModel"),
    ], execution
    assert story.steps(execution)[-1] == "Kept"
    assert story.is_restored()
    assert story.experiment("shadow").decision == "advance"
    assert story.experiment("canary").decision == "stop: harm"
    assert story.rang("experiment-harm")
    harm = story.harm()
    print(f"harm: {harm}")
    assert 0 < harm.counted < 0.1 * harm.planned
    assert harm.counted <= harm.sent < 0.1 * harm.planned
    assert story.told("canary: challenger does harm", "accuracy is surely worse")
    assert story.told("champion kept", "stop: harm")


def test_an_equal_challenger_is_kept_out(stories: Stories) -> None:
    story = stories["equal"]
    execution = story.ended(story.executions()[0].arn)
    assert story.deeds(execution) == [
        *("CreateEndpointConfig", "UpdateEndpoint", "SetWeights", "AwaitVerdict"),
        *("RollBack", "SetWeights", "UpdateEndpoint", "RejectModel"),
    ], execution
    assert story.steps(execution)[-1] == "Kept"
    assert story.is_restored()
    assert story.experiment("ab").decision == "keep"
    assert story.told("ab: champion stays", "")
    assert story.told("champion kept", "")


def test_a_better_challenger_goes_from_shadow_to_canary_to_champion(stories: Stories) -> None:
    story = stories["better"]
    execution = story.ended(story.executions()[0].arn)
    assert story.deeds(execution) == [
        *("CreateEndpointConfig", "UpdateEndpoint", "AwaitVerdict"),
        *("CreateEndpointConfig", "UpdateEndpoint", "SetWeights", "AwaitVerdict"),
        # Back to the champion alone, and from there to the challenger alone.
        *("UpdateEndpoint", "CreateEndpointConfig", "UpdateEndpoint"),
        *("Promote", "ApproveModel"),
    ], execution
    assert story.steps(execution)[-1] == "Promoted"
    assert story.serves_challenger()
    assert story.packages() == ["Approved"]
    assert story.experiment("shadow").decision == "advance"
    assert story.experiment("canary").decision == "promote"
    assert story.told("retraining started", "better-champion-quality-decay")
    assert story.told("shadow: shadow challenger goes on", "")
    assert story.told("canary: challenger is better than champion", "accuracy is surely better")
    assert story.told("new model promoted", "")
