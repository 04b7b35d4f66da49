from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from driftgauge.errors import StoreError
from tests.unit.lambda_world import HOUR, World, deployed, monitor
from tests.workflow.machine import ACCOUNT, Inbox

URL = "https://abc.lambda-url.us-east-1.on.aws/"
TOKEN = "the-task-token"
EXECUTION = f"arn:aws:states:us-east-1:{ACCOUNT}:execution:driftgauge-loans-retraining:run-7"
COMPARISON = {
    "challenger_wins": True,
    "reason": "better",
    # As Step Functions may hand a number on.
    "rows": 1234.0,
    "champion_log_loss": 0.7,
    "challenger_log_loss": 0.5,
    "improvement": 0.2,
    "low": 0.1,
    "high": 0.3,
}


class StepFunctions:
    """What Step Functions was told, in place of the service."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.failure: Exception | None = None

    def send_task_success(self, **request: Any) -> None:
        self._send(request)

    def send_task_failure(self, **request: Any) -> None:
        self._send(request)

    def _send(self, request: dict[str, Any]) -> None:
        self.sent.append(request)
        if self.failure is not None:
            raise self.failure


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"about {TOKEN}"}}, "SendTaskSuccess")


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[World]:
    asks = {"enabled": True, "approval": True, "approval_timeout": "2h"}
    silent = {**asks, "approval_links": False}
    monkeypatch.setenv("APPROVAL_URL", URL)
    with deployed(
        monkeypatch,
        capsys,
        tmp_path,
        monitor(retraining=asks),
        monitor(name="other", retraining=asks),
        monitor(name="silent", retraining=silent),
    ) as world:
        for name in ("approve", "approvals", "notify"):
            world.function(name)
        world.set_clock(HOUR)
        yield world


@pytest.fixture
def inbox(world: World, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    made = Inbox(monkeypatch)
    world.function("runtime").runtime.cache_clear()
    return made


@pytest.fixture
def machines(world: World, monkeypatch: pytest.MonkeyPatch) -> StepFunctions:
    stub = StepFunctions()
    monkeypatch.setattr(world.function("approve"), "step_functions", lambda: stub)
    return stub


def ask(world: World, inbox: Inbox, **more: Any) -> dict[str, str]:
    """Let notify ask, and return the links of the mail by their label."""
    message = {
        "stage": "approval",
        "monitor": "loans",
        "alarm": "",
        "execution": EXECUTION,
        "reason": "better by 0.2",
        "version": "v2",
        "comparison": COMPARISON,
        "token": TOKEN,
        **more,
    }
    world.call("notify", {"retraining": message})
    (mail,) = inbox.read()
    return dict(re.findall(r"^  (Approve|Reject): (https://\S+)$", mail["text"], re.MULTILINE))


def request(method: str, **parts: Any) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "requestContext": {"http": {"method": method, "path": "/"}},
        "isBase64Encoded": False,
        **parts,
    }


def get(world: World, link: str, **parts: Any) -> dict[str, Any]:
    answer: dict[str, Any] = world.call(
        "approve", request("GET", rawQueryString=urlsplit(link).query, **parts)
    )
    return answer


def changed(link: str, changes: dict[str, str]) -> str:
    return f"{URL}?{urlencode({**dict(parse_qsl(urlsplit(link).query)), **changes})}"


def post(world: World, link: str, *, encoded: bool = True) -> dict[str, Any]:
    form = urlsplit(link).query
    body = base64.b64encode(form.encode()).decode() if encoded else form
    answer: dict[str, Any] = world.call(
        "approve", request("POST", body=body, isBase64Encoded=encoded)
    )
    return answer


def record(world: World) -> dict[str, Any]:
    (data,) = world.contents("loans/approvals/").values()
    found: dict[str, Any] = json.loads(data)
    return found


def test_following_a_link_shows_what_is_asked_and_changes_nothing(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    links = ask(world, inbox)
    assert set(links) == {"Approve", "Reject"}
    before = world.contents("loans/approvals/")
    for link in links.values():
        page = get(world, link)
        assert page["statusCode"] == 200
        for text in ("loans", "v2", "0.7000", "0.5000", "1,234", "better by 0.2", "run-7"):
            assert text in page["body"]
    assert world.contents("loans/approvals/") == before
    assert machines.sent == []
    # The linked answer comes first and stands out.
    assert re.findall(r'value="(approve|reject)" class="(\w+ main)', page["body"]) == [
        ("reject", "rejected main")
    ]


def test_pages_are_neither_kept_nor_framed_nor_run_anything(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    page = get(world, ask(world, inbox)["Approve"])
    headers = page["headers"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    for rule in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert rule in headers["Content-Security-Policy"]
    assert "<script" not in page["body"]


@pytest.mark.parametrize("encoded", [True, False], ids=["base64", "plain"])
def test_the_button_approves_once(
    world: World, inbox: Inbox, machines: StepFunctions, encoded: bool
) -> None:
    links = ask(world, inbox)
    assert post(world, links["Approve"], encoded=encoded)["statusCode"] == 200
    assert machines.sent == [{"taskToken": TOKEN, "output": "{}"}]
    assert (record(world)["answered"], record(world)["outcome"]) == ("approved", "sent")
    for link in links.values():
        again = post(world, link)
        assert again["statusCode"] == 410
        assert "approved at 2 Mar 2026" in again["body"]
        assert get(world, link)["statusCode"] == 410
    assert len(machines.sent) == 1


def test_a_rejection_says_when_it_came(world: World, inbox: Inbox, machines: StepFunctions) -> None:
    assert post(world, ask(world, inbox)["Reject"])["statusCode"] == 200
    (sent,) = machines.sent
    assert sent == {
        "taskToken": TOKEN,
        "error": "Rejected",
        "cause": "by link at 2026-03-02 10:00 UTC",
    }


def test_the_page_of_one_link_also_takes_the_other_answer(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    post(world, changed(ask(world, inbox)["Approve"], {"answer": "reject"}))
    assert machines.sent[0]["error"] == "Rejected"


def test_an_expired_link_answers_nothing(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    link = ask(world, inbox)["Approve"]
    world.set_clock(HOUR + timedelta(hours=2))
    for answer in (get(world, link), post(world, link)):
        assert answer["statusCode"] == 410
        assert "expired" in answer["body"]
        assert "<form" not in answer["body"]
    assert machines.sent == []
    assert record(world)["answered"] is None


@pytest.mark.parametrize(
    "changes",
    [{"id": "A" * 43}, {"monitor": "other"}, {"monitor": "unknown"}, {"monitor": "../loans"}],
    ids=["another secret", "another monitor", "no monitor", "a path"],
)
def test_a_link_that_was_never_sent_is_unknown(
    world: World, inbox: Inbox, machines: StepFunctions, changes: dict[str, str]
) -> None:
    link = changed(ask(world, inbox)["Approve"], changes)
    assert post(world, link)["statusCode"] == 404
    assert get(world, link)["statusCode"] == 404
    assert machines.sent == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "monitor=loans",
        "monitor=loans&id=short&answer=approve",
        f"monitor=loans&id={'A' * 43}&answer=maybe",
        f"monitor=loans&id={'A' * 43}&answer=approve&answer=reject",
        f"monitor=loans&id={'A' * 42}/&answer=approve",
        f"monitor=%ff&id={'A' * 43}&answer=approve",
        "&".join(f"x{i}=1" for i in range(50)),
        f"monitor=loans&id={'A' * 43}&answer=approve&utm={'x' * 2000}",
    ],
)
def test_what_is_no_link_is_malformed(
    world: World, inbox: Inbox, machines: StepFunctions, query: str
) -> None:
    ask(world, inbox)
    assert get(world, f"{URL}?{query}")["statusCode"] == 400
    kinds: list[dict[str, Any]] = [
        {"body": query},
        {"body": "&" * 9000},
        {"body": "%%%", "isBase64Encoded": True},
        {"body": base64.b64encode(b"\xff\xfe").decode(), "isBase64Encoded": True},
        {"body": "{}", "headers": {"content-type": "application/json"}},
        {},
    ]
    for parts in kinds:
        assert world.call("approve", request("POST", **parts))["statusCode"] == 400


def test_other_methods_and_paths_do_nothing(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    link = ask(world, inbox)["Approve"]
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = world.call("approve", request(method, rawQueryString=urlsplit(link).query))
        assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "GET, POST")
    assert get(world, link, rawPath="/favicon.ico")["statusCode"] == 404
    assert machines.sent == []


def test_what_comes_from_outside_is_escaped(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    attack = "\"><script>alert('x')</script>"
    links = ask(world, inbox, reason=attack, version=attack, execution=attack)
    for page in (get(world, links["Reject"]), post(world, links["Reject"])):
        assert page["body"].count("&lt;script&gt;") >= 3
        assert "<script" not in page["body"]
        assert '"&gt;' not in page["body"]


def test_of_two_answers_at_once_one_is_sent(
    world: World, inbox: Inbox, machines: StepFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = ask(world, inbox)
    module = world.function("approve")
    real, both = module.read_approval, Barrier(2)
    read: list[None] = []

    def read_together(*arguments: Any) -> Any:
        found = real(*arguments)
        read.append(None)
        if len(read) <= 2:
            both.wait(timeout=10)
        return found

    monkeypatch.setattr(module, "read_approval", read_together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda link: post(world, link), links.values()))
    assert sorted(answer["statusCode"] for answer in answers) == [200, 410]
    (sent,) = machines.sent
    assert ("error" in sent) is (record(world)["answered"] == "rejected")


@pytest.mark.parametrize(
    "failure",
    [refusal("ThrottlingException"), ConnectTimeoutError(endpoint_url="https://states")],
    ids=["throttled", "no connection"],
)
def test_an_answer_that_could_not_be_sent_can_be_sent_again_but_not_changed(
    world: World, inbox: Inbox, machines: StepFunctions, failure: Exception
) -> None:
    links = ask(world, inbox)
    machines.failure = failure
    answer = post(world, links["Approve"])
    assert answer["statusCode"] == 503
    assert re.findall(r'name="answer" value="(\w+)"', answer["body"]) == ["approve"]
    machines.failure = None
    assert post(world, links["Reject"])["statusCode"] == 410
    for link in links.values():
        page = get(world, link)
        assert page["statusCode"] == 200
        assert re.findall(r'name="answer" value="(\w+)"', page["body"]) == ["approve"]
    first = record(world)["answered_at"]
    world.set_clock(HOUR + timedelta(minutes=5))
    assert post(world, links["Approve"])["statusCode"] == 200
    assert post(world, links["Approve"])["statusCode"] == 410
    assert [list(sent) for sent in machines.sent] == [["taskToken", "output"]] * 2
    assert record(world)["answered_at"] == first


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_an_answer_to_a_task_that_is_over_says_that_the_question_is_closed(
    world: World, inbox: Inbox, machines: StepFunctions, code: str
) -> None:
    link = ask(world, inbox)["Approve"]
    machines.failure = refusal(code)
    answer = post(world, link)
    assert answer["statusCode"] == 410
    assert "closed" in answer["body"]
    machines.failure = None
    assert post(world, link)["statusCode"] == 410
    assert len(machines.sent) == 1


def test_an_answer_whose_sender_died_can_be_sent_again_after_a_while(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    link = ask(world, inbox)["Approve"]
    machines.failure = KeyboardInterrupt()  # type: ignore[assignment]  # nobody catches it
    with pytest.raises(KeyboardInterrupt):
        post(world, link)
    machines.failure = None
    assert post(world, link)["statusCode"] == 410
    world.set_clock(HOUR + timedelta(seconds=31))
    assert post(world, link)["statusCode"] == 200
    assert record(world)["outcome"] == "sent"


def test_neither_the_secret_nor_the_token_is_stored_with_the_link_or_logged(
    world: World, inbox: Inbox, machines: StepFunctions
) -> None:
    links = ask(world, inbox)
    nonce = dict(parse_qsl(urlsplit(links["Approve"]).query))["id"]
    assert len(nonce) == 43
    get(world, links["Approve"])
    machines.failure = refusal("AccessDeniedException")
    post(world, links["Approve"])
    machines.failure = None
    post(world, links["Approve"])
    get(world, f"{URL}?monitor=loans&id={nonce}&answer=maybe")
    printed = json.dumps(world.printed())
    assert "approval answered" in printed
    assert "AccessDeniedException" in printed
    for secret in (nonce, TOKEN):
        assert secret not in printed
    assert nonce not in json.dumps(record(world))
    assert nonce not in " ".join(world.keys())


def test_a_store_that_fails_asks_to_try_again(
    world: World, inbox: Inbox, machines: StepFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ask(world, inbox)["Approve"]

    def fail(*_: Any) -> Any:
        raise StoreError("s3://store-bucket cannot be read")

    monkeypatch.setattr(world.function("approve"), "read_approval", fail)
    assert post(world, link)["statusCode"] == 503
    assert machines.sent == []


def test_without_links_the_commands_remain(
    world: World, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(world, inbox, monitor="silent") == {}
    assert ask(world, inbox, monitor="unknown") == {}

    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("s3://store-bucket cannot be written")

    monkeypatch.setattr(world.function("approvals"), "_write", fail)
    assert ask(world, inbox) == {}
    assert world.keys("loans/approvals/") == []


def test_links_can_be_clicked_in_every_channel(
    world: World, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts: list[Any] = []
    monkeypatch.setattr(
        world.function("notify"), "deliver", lambda settings, config, alert: alerts.append(alert)
    )
    message = {"stage": "approval", "monitor": "loans", "execution": EXECUTION, "version": "v2"}
    world.call("notify", {"retraining": {**message, "token": TOKEN}})
    (alert,) = alerts
    target = next(link.target for link in alert.links if link.label == "Approve")
    assert f"\n  Approve: {target}\n" in alert.to_email().body
    escaped = target.replace("&", "&amp;")
    assert f"<{escaped}|Approve>" in alert.to_slack()["blocks"][-3]["text"]["text"]
    assert f"Approve: {escaped}" in alert.to_chat()["content"]["description"]
    assert "send-task-success" in alert.to_email().body
