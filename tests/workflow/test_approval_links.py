"""A human answers the waiting state machine by the links of the message."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from tests.unit.lambda_world import World
from tests.workflow.machine import Inbox, machine
from tests.workflow.test_retraining import PATHS, drifted

URL = "https://abc.lambda-url.us-east-1.on.aws/"


def links(inbox: Inbox, *, seconds: float = 30) -> dict[str, str]:
    """Return the query strings of the links once the request for approval has come."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for message in inbox.read():
            found = re.findall(r"^  (Approve|Reject): (\S+)$", message["text"], re.MULTILINE)
            if found:
                return {label: urlsplit(link).query for label, link in found}
        time.sleep(0.02)
    raise TimeoutError("nobody was asked for approval by links")


def press(world: World, form: str) -> int:
    """Press the button of the page behind a link, and return the answer's status."""
    event = {
        "rawPath": "/",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "requestContext": {"http": {"method": "POST"}},
        "body": form,
        "isBase64Encoded": False,
    }
    status: int = world.call("approve", event)["statusCode"]
    return status


@pytest.mark.parametrize("pressed", ["Approve", "Reject"])
def test_the_pressed_button_decides_and_no_later_one(
    pressed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("APPROVAL_URL", URL)
    with (
        drifted(monkeypatch, capsys, tmp_path, approval=True) as (world, inbox),
        machine(monkeypatch) as made,
    ):
        execution = made.start()
        forms = links(inbox)
        assert press(world, forms[pressed]) == 200
        ended = made.finish(execution)
        assert [press(world, form) for form in forms.values()] == [410, 410]
        approved = pressed == "Approve"
        assert made.path(execution) == PATHS["approved" if approved else "not approved"]
        assert (world.store.read_current()[0].model is not None) is approved
        assert json.loads(ended["output"])["outcome"] == ("promoted" if approved else "kept")


def test_a_link_finds_the_question_closed_after_an_answer_by_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("APPROVAL_URL", URL)
    with (
        drifted(monkeypatch, capsys, tmp_path, approval=True) as (world, inbox),
        machine(monkeypatch) as made,
    ):
        execution = made.start()
        forms = links(inbox)
        (record,) = world.contents("loans/approvals/").values()
        boto3.client("stepfunctions").send_task_failure(
            taskToken=json.loads(record)["token"], error="Rejected", cause="not this quarter"
        )
        made.finish(execution)
        assert press(world, forms["Approve"]) == 410
        assert world.store.read_current()[0].model is None
