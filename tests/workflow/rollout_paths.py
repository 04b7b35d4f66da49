"""The states that the scenarios of roll-outs walk through."""

from __future__ import annotations

from tests.workflow.test_retraining import BEGIN, KEPT, PREPARED, WON

LOOK = ["Reconcile", "NextAction"]
WAIT = ["WaitForEndpoint", *LOOK]
DEPLOY = ["CreateEndpointConfig", *LOOK, "UpdateEndpoint", *WAIT]
TELL = ["TellStage", *LOOK]
VERDICT = ["AwaitVerdict", "VerdictGiven"]
TRAINED = [*PREPARED, "TrainOnSageMaker", *WON]
# The first stage is told, and asks for the challenger's model.
BEGUN = [*TRAINED, "RollsOut", *TELL, "CreateModel", *LOOK]
JUDGED = [*DEPLOY, "AwaitVerdict"]
SPLIT = [*DEPLOY, "SetWeights", *WAIT, "AwaitVerdict"]
FULL = [*TELL, "UpdateEndpoint", *WAIT, *TELL, *DEPLOY, "Promote"]
PROMOTED = ["WasRegistered", "TellPromoted", "Promoted"]
# The challenger loses its traffic first, in seconds.
BACK_FROM_SPLIT = [
    "RollBack",
    *LOOK,
    "SetWeights",
    *WAIT,
    "UpdateEndpoint",
    *WAIT,
    "DropChallenger",
]
BACK = ["RollBack", *LOOK, "UpdateEndpoint", *WAIT, "DropChallenger"]
NOTHING_BACK = ["RollBack", *LOOK, "DropChallenger"]
FAILED = ["RecordFailure", "TellFailure", "Failed"]
RESTORED = ["RecordRestored", "TellRestored", "Restored"]
REJECTED = ["RejectModel", "DropChallenger"]
STUCK = ["TellStuck", "Stuck"]
PIPELINE = [*PREPARED, "StartPipeline", "WaitForPipeline", "LookAtPipeline", "PipelineEnded"]
# What the scenarios below walk through; a wait that is repeated is written once.
PATHS = {
    "direct": [*BEGUN, *DEPLOY, "Promote", *PROMOTED],
    "shadow, canary": [
        *(*BEGUN, *JUDGED, "VerdictGiven", *TELL, *SPLIT, "VerdictGiven"),
        *(*FULL, *PROMOTED),
    ],
    "ab": [*BEGUN, *SPLIT, "VerdictGiven", *FULL, *PROMOTED],
    "ab lost": [*BEGUN, *SPLIT, "VerdictGiven", *BACK_FROM_SPLIT, *KEPT],
    "shadow lost": [*BEGUN, *JUDGED, "VerdictGiven", *BACK, *KEPT],
    "no verdict": [*BEGUN, *SPLIT, *BACK_FROM_SPLIT, *KEPT],
    "verdict fails": [*BEGUN, *SPLIT, *BACK_FROM_SPLIT, *FAILED],
    "rolled back by SageMaker": [*BEGUN, *DEPLOY, *NOTHING_BACK, *KEPT],
    "refused": [
        *BEGUN,
        *("CreateEndpointConfig", *LOOK),
        *("UpdateEndpoint", *WAIT),
        *("EndpointFailed", *NOTHING_BACK, *FAILED),
    ],
    "registered": [
        *(*TRAINED[:-1], "RegisterModel", "NeedsApproval", "AskApproval"),
        *(*BEGUN[len(TRAINED) :], *DEPLOY, "Promote", "WasRegistered", "ApproveModel"),
        *("TellPromoted", "Promoted"),
    ],
    "registered, no answer": [
        *(*TRAINED[:-1], "RegisterModel", "NeedsApproval", "AskApproval", "DropChallenger"),
        *(*REJECTED, *KEPT),
    ],
    "model is there": [*BEGUN[:-2], *WAIT, *DEPLOY, "Promote", *PROMOTED],
    "no model": [
        *(*BEGUN[:-2], *WAIT, "CreateModel", *WAIT, "CreateModel", *WAIT),
        *("EndpointFailed", *NOTHING_BACK, *FAILED),
    ],
    "champion's model is gone": [
        *(*TRAINED, "RollsOut", *TELL, "EndpointFailed"),
        *(*NOTHING_BACK, *FAILED),
    ],
    "promotion fails": [*BEGUN, *DEPLOY, "Promote", "PromotionFailed", *BACK, *FAILED],
    "stuck": [
        *(*BEGUN, *DEPLOY, "Promote", "PromotionFailed", "RollBack", "Reconcile"),
        *("EndpointFailed", *STUCK),
    ],
    "pointer stuck": [
        *(*BEGUN, *DEPLOY, "Promote", "PromotionFailed", *BACK, "RecordFailure"),
        *("FailureNotRecorded", *STUCK),
    ],
    "by hand": [*BEGIN, *BACK, *RESTORED],
    "by hand, registered": [*BEGIN, *BACK, *REJECTED, *RESTORED],
    "pipeline": [*PIPELINE, *WON, *BEGUN[len(TRAINED) :], *DEPLOY, "Promote", *PROMOTED],
    "pipeline fails": [*PIPELINE, *FAILED],
    "pipeline takes too long": [*PIPELINE, "StopPipeline", *FAILED],
}


def told_once(path: list[str]) -> list[str]:
    """Return a path in which each wait that is repeated right away is there once."""
    loops = (WAIT, ["WaitForPipeline", "LookAtPipeline", "PipelineEnded"])
    found: list[str] = []
    for state in path:
        found.append(state)
        for loop in loops:
            if found[-6:] == loop * 2:
                del found[-3:]
    return found
