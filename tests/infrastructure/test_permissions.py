from __future__ import annotations

import json

import pytest

from tests.infrastructure.policies import may
from tests.infrastructure.synthesized import Synthesized

STORE = "arn:aws:s3:::<Store1D2A845B>"
CAPTURES = "arn:aws:s3:::<CapturesDE857D5D>"
VERBS = (
    "profile",
    "evaluate",
    "baseline",
    "notify",
    "guard",
    "prepare",
    "train",
    "compare",
    "promote",
)
ROOMS = {
    "current": "m/current.json",
    "baseline": "m/baseline/v1/baseline.json",
    "profiles": "m/profiles/v1/blue/2026/07/01/13/00/0123.profile",
    "rollups": "m/rollups/v1/blue/2026/07/01/13/00.rollup",
    "reports": "m/reports/blue/2026/07/01/13/verdicts.json",
    "state": "m/state/blue.json",
    "evidence": "m/evidence/v1/blue.evidence",
    "models": "m/models/v1/model.json",
    "quarantine": "m/quarantine/blue/2026/07/01/13/0123.jsonl",
    "training-data": "m/training-data/june.csv",
    "retraining": "m/retraining/run-1/train.csv",
    "last": "m/retraining/last.json",
    "predictions": "m/predictions/v1/blue/2026/07/01/13/00/0123.predictions",
    "samples": "m/samples/v1/blue/2026/07/01/13/00/0123.sample",
    "received": "m/labels/received/2026/07/01/13/0123.labels",
    "matched": "m/labels/matched/blue/2026/07/01/13/00/0123.labels",
    "attributions": "m/attributions/v1/blue/2026/07/01/13/00.sums",
    "reference": "m/baseline/v1/explainability/reference.sums",
}
READS = {
    "profile": {"current", "baseline"},
    "evaluate": {"current", "baseline", "profiles", "rollups", "reports", "state", "evidence"},
    "baseline": {"current", "training-data", "retraining", "last"},
    "notify": {"reports", "state"},
    "guard": {"reports", "state", "last"},
    "prepare": {"current", "baseline", "retraining", "last"},
    "train": {"retraining", "last"},
    "compare": {"models", "retraining", "last"},
    "promote": {"current", "retraining", "last"},
}
WRITES = {
    "profile": {"profiles", "quarantine"},
    "evaluate": {"rollups", "reports", "state", "evidence"},
    "baseline": {"current", "baseline", "models"},
    "notify": set(),
    "guard": set(),
    "prepare": {"retraining", "last"},
    "train": {"retraining", "last"},
    "compare": {"retraining", "last"},
    "promote": {"current", "models", "last"},
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_function_reads_and_writes_the_rooms_of_its_step_only(
    default: Synthesized, verb: str
) -> None:
    def allowed(action: str) -> set[str]:
        return {room for room, key in ROOMS.items() if may(default, verb, action, f"{STORE}/{key}")}

    # What lies in the folder of a baseline goes with it.
    assert allowed("s3:GetObject") - {"reference"} == READS[verb]
    assert allowed("s3:PutObject") - {"reference"} == WRITES[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_only_profile_and_prepare_see_the_traffic(default: Synthesized, verb: str) -> None:
    capture = f"{CAPTURES}/captures/flight-delays/AllTraffic/2026/07/01/13/1.jsonl"
    labels = f"{CAPTURES}/ground-truth/2026/07/01/13/labels.jsonl"
    foreign = f"{CAPTURES}/captures/another-endpoint/AllTraffic/2026/07/01/13/1.jsonl"
    assert may(default, verb, "s3:GetObject", capture) == (verb in ("profile", "prepare"))
    assert may(default, verb, "s3:GetObject", labels) == (verb == "prepare")
    assert not may(default, verb, "s3:GetObject", foreign)
    assert not may(default, verb, "s3:PutObject", capture)


def test_functions_read_the_captures_in_buckets_of_others(varied: Synthesized) -> None:
    for verb in ("profile", "prepare"):
        for bucket, folder in (
            ("existing-captures", "prod/capture/churn"),
            ("other-captures", "fraud"),
        ):
            key = f"arn:aws:s3:::{bucket}/{folder}/blue/2026/07/01/13/1.jsonl"
            assert may(varied, verb, "s3:GetObject", key)
            assert may(varied, verb, "s3:ListBucket", f"arn:aws:s3:::{bucket}")
    assert not may(varied, "profile", "s3:GetObject", "arn:aws:s3:::existing-captures/other/1")


def test_what_a_function_may_look_for_it_may_also_find_missing(default: Synthesized) -> None:
    # Without permission to list, S3 answers 403 for an object that does not exist.
    for verb in VERBS:
        assert may(default, verb, "s3:ListBucket", STORE)


def test_nobody_may_delete_anything_or_everything(
    varied: Synthesized, default: Synthesized
) -> None:
    for stacks in (varied, default):
        for policy in stacks.all("AWS::IAM::Policy"):
            for statement in policy.properties["PolicyDocument"]["Statement"]:
                text = json.dumps(statement["Action"])
                assert "*" not in text
                assert "s3:Delete" not in text
                if statement["Resource"] == "*":
                    # The one API of the deployment that knows no resources.
                    assert "logs:CreateLogDelivery" in statement["Action"]


def test_every_function_has_a_role_of_its_own_without_managed_policies(
    default: Synthesized,
) -> None:
    roles = [one.properties["Role"] for one in default.all("AWS::Lambda::Function")]
    assert len(set(roles)) == len(roles) == len(VERBS)
    for role in default.all("AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role.properties


def test_a_function_writes_its_own_log_only(default: Synthesized) -> None:
    for verb in VERBS:
        own = default.one("AWS::Logs::LogGroup", LogGroupName=f"/aws/lambda/driftgauge-{verb}")
        for group in default.all("AWS::Logs::LogGroup"):
            allowed = may(default, verb, "logs:PutLogEvents", f"<{group.logical_id}.Arn>")
            assert allowed == (group.logical_id == own.logical_id)


def test_the_guard_lists_the_executions_of_this_deployments_machines_only(
    varied: Synthesized,
) -> None:
    machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:"
    for name in ("staging-churn-retraining", "staging-fraud-retraining"):
        assert may(varied, "guard", "states:ListExecutions", machine + name)
    assert not may(varied, "guard", "states:ListExecutions", f"{machine}payments")
