from __future__ import annotations

from typing import Any

import pytest

from lambdas.approvals import CLAIM
from stacks.storage import room_days
from tests.infrastructure.policies import allows, may
from tests.infrastructure.synthesized import RETRAINED, Synthesized, monitor, synthesize
from tests.infrastructure.test_permissions import ROOMS, STORE

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:"
ROOM = f"{STORE}/m/approvals/0123.json"


def test_the_links_lead_to_a_public_url_of_one_function(varied: Synthesized) -> None:
    approve = varied.function("approve")
    url = varied.one("AWS::Lambda::Url")
    assert url.properties["AuthType"] == "NONE"
    assert url.properties["TargetFunctionArn"] == f"<{approve.logical_id}.Arn>"
    assert "Cors" not in url.properties
    variables = varied.function("notify").properties["Environment"]["Variables"]
    assert variables["APPROVAL_URL"] == f"<{url.logical_id}.FunctionUrl>"
    # Nobody may take over an answer that its function is still sending.
    assert approve.properties["Timeout"] < CLAIM.total_seconds()


def test_everybody_may_call_the_url_and_nobody_the_function_by_itself(
    varied: Synthesized,
) -> None:
    public = {
        permission.properties["Action"]: permission.properties
        for permission in varied.all("AWS::Lambda::Permission")
        if permission.properties["Principal"] == "*"
    }
    # AWS asks for both since October 2025.
    assert set(public) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert public["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert public["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True
    for properties in public.values():
        approve = varied.function("approve").logical_id
        assert properties["FunctionName"] == f"<{approve}.Arn>"


def test_an_answer_reaches_the_machines_that_ask_and_no_other(varied: Synthesized) -> None:
    for action in ("states:SendTaskSuccess", "states:SendTaskFailure"):
        assert may(varied, "approve", action, f"{MACHINE}staging-fraud-retraining")
        for other in ("staging-churn-retraining", "payments", "*"):
            assert not may(varied, "approve", action, f"{MACHINE}{other}")
    sending = [
        role.logical_id
        for role in varied.all("AWS::IAM::Role")
        if allows(
            varied.statements(role.logical_id),
            "states:SendTaskSuccess",
            f"{MACHINE}staging-fraud-retraining",
        )
    ]
    assert len(sending) == 1


def test_questions_are_written_by_notify_and_answered_by_approve_alone(
    varied: Synthesized,
) -> None:
    for verb in ("notify", "approve", "promote", "guard", "evaluate"):
        assert may(varied, verb, "s3:PutObject", ROOM) is (verb in ("notify", "approve"))
        assert may(varied, verb, "s3:GetObject", ROOM) is (verb == "approve")
    assert may(varied, "approve", "s3:ListBucket", STORE)
    for key in ROOMS.values():
        for action in ("s3:GetObject", "s3:PutObject"):
            assert not may(varied, "approve", action, f"{STORE}/{key}")


@pytest.mark.parametrize(
    "retraining",
    [
        {"enabled": True},
        {"enabled": True, "approval": True, "approval_links": False},
        {"enabled": False, "approval": True},
    ],
    ids=["no approval", "no links", "no retraining"],
)
def test_without_approval_by_link_nothing_is_public(retraining: dict[str, Any]) -> None:
    stacks = synthesize(monitor(**{**RETRAINED, "retraining": retraining}))
    assert stacks.all("AWS::Lambda::Url") == []
    handlers = {one.properties["Handler"] for one in stacks.all("AWS::Lambda::Function")}
    assert "lambdas.approve.handler" not in handlers
    assert "lambdas.notify.handler" in handlers
    for permission in stacks.all("AWS::Lambda::Permission"):
        assert permission.properties["Principal"] != "*"
    assert "APPROVAL_URL" not in stacks.function("notify").properties["Environment"]["Variables"]
    assert not may(stacks, "notify", "s3:PutObject", ROOM)


def test_questions_expire_after_their_time(varied: Synthesized) -> None:
    store = varied.templates["Storage"]["Resources"]["Store1D2A845B"]["Properties"]
    rules = {rule.get("Prefix"): rule for rule in store["LifecycleConfiguration"]["Rules"]}
    assert rules["fraud/approvals/"]["ExpirationInDays"] == 90
    patient = monitor(**{**RETRAINED, "retraining": {"enabled": True, "approval_timeout": "120d"}})
    assert room_days(patient)["approvals"] == 121
