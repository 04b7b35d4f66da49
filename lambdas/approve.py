"""Takes a human's answer to a request for approval: the function behind the message's links.

A public function URL (payload format 2.0). ``GET`` shows what is asked and changes nothing, since
mail scanners and previews of chats follow links; ``POST``, which the page's buttons send, answers.
The link's secret is all that entitles to answer. Neither it nor the task token is ever logged.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.errors import DriftgaugeError, ObjectNotFoundError, StoreError
from driftgauge.store import MonitorStore
from lambdas.approval_page import Page, closed, question, taken, undelivered, used
from lambdas.approvals import (
    ANSWERS,
    Answer,
    AnsweredError,
    Approval,
    Outcome,
    claim,
    read_approval,
    settle,
)
from lambdas.runtime import TOKEN_IS_OVER, Runtime, logger, now, runtime

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# A link's fields have some 150 characters; mail programs may add some of their own.
_LIMIT = 1024
_FIELDS = 8
# As secrets.token_urlsafe(32) makes them.
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")

_UNKNOWN = Page(
    status=404,
    look="plain",
    title="There is no such question",
    text="The link is not complete, or the question was asked very long ago.",
)
_MALFORMED = Page(
    status=400,
    look="plain",
    title="This link does not work",
    text="It is not as it was sent. Copy the whole link from the message.",
)
_NOT_ALLOWED = Page(
    status=405, look="plain", title="Not like this", text="Open the link in a browser."
)
_UNAVAILABLE = Page(
    status=503,
    look="bad",
    title="Try again in a moment",
    text="The question cannot be read or answered just now. Nothing was lost.",
)


class LinkError(DriftgaugeError):
    """A request is not what a link or the page's form sends."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """What a link, or the page's form, says."""

    monitor: str
    nonce: str = field(repr=False)
    answer: Answer


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, object]:
    """Answer one request of a browser."""
    return _page(event).response()


def _page(event: dict[str, Any]) -> Page:
    if event.get("rawPath", "/") != "/":
        return _UNKNOWN
    method = event["requestContext"]["http"]["method"]
    try:
        if method == "GET":
            return show(runtime(), parse_link(str(event.get("rawQueryString") or "")))
        if method == "POST":
            return take(runtime(), parse_link(form_of(event)))
    except LinkError:
        return _MALFORMED
    except ObjectNotFoundError:
        return _UNKNOWN
    except StoreError as error:
        logger.error("approval not available", error=str(error))
        return _UNAVAILABLE
    return _NOT_ALLOWED


def show(run: Runtime, link: Link) -> Page:
    """Return the page behind a link; nothing changes by it."""
    approval, _ = read_approval(store_of(run, link), link.nonce)
    permitted = approval.permitted(now())
    if not permitted:
        return used(approval)
    return question(approval, nonce=link.nonce, linked=link.answer, permitted=permitted)


def take(run: Runtime, link: Link) -> Page:
    """Take an answer: write it down, then tell the state machine."""
    store = store_of(run, link)
    approval, tag = read_approval(store, link.nonce)
    try:
        claimed = claim(store, link.nonce, approval, tag, answer=link.answer)
    except AnsweredError:
        return used(read_approval(store, link.nonce)[0])
    outcome = send(claimed)
    settle(store, link.nonce, claimed, outcome=outcome)
    logger.info(
        "approval answered",
        monitor=claimed.monitor,
        version=claimed.version,
        execution=claimed.execution,
        answer=claimed.answered,
        outcome=outcome or "to be sent again",
    )
    if outcome is None:
        return undelivered(claimed, nonce=link.nonce)
    return taken(claimed) if outcome == "sent" else closed(claimed)


def send(approval: Approval) -> Outcome | None:
    """Tell the state machine the answer; None if it may be tried again."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = step_functions()
    try:
        if approval.answered == "approved":
            client.send_task_success(taskToken=approval.token, output="{}")
        else:
            client.send_task_failure(
                taskToken=approval.token,
                error="Rejected",
                cause=f"by link at {approval.answered_at:%Y-%m-%d %H:%M} UTC",
            )
    except ClientError as error:
        # The message may quote the token.
        code = str(error.response["Error"]["Code"])
        if code in TOKEN_IS_OVER:
            return "closed"
        logger.error("answer not delivered", monitor=approval.monitor, error=code)
        return None
    except BotoCoreError as error:
        logger.error("answer not delivered", monitor=approval.monitor, error=type(error).__name__)
        return None
    return "sent"


def store_of(run: Runtime, link: Link) -> MonitorStore:
    """Return the store of the link's monitor.

    Raises
    ------
    ObjectNotFoundError
        If this deployment has no such monitor: to the outside that is no different from a question
        that was never asked.
    """
    if all(config.name != link.monitor for config in run.monitors.monitors):
        raise ObjectNotFoundError("a link names a monitor that this deployment does not have")
    return run.store(link.monitor)


def parse_link(text: str) -> Link:
    """Read the fields of a query string or form.

    Raises
    ------
    LinkError
        If they are not those of a link, each once.
    """
    if len(text) > _LIMIT:
        raise LinkError(f"more than {_LIMIT} characters")
    try:
        fields = parse_qs(
            text,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS,
        )
        # Fields that are not a link's own are those that mail programs add.
        (monitor,), (nonce,), (answer,) = (fields[name] for name in ("monitor", "id", "answer"))
    except (ValueError, KeyError):
        raise LinkError("not the fields of a link, each once") from None
    if not _NONCE.fullmatch(nonce) or answer not in ANSWERS:
        raise LinkError("not the values of a link")
    return Link(monitor=monitor, nonce=nonce, answer=ANSWERS[answer])


def form_of(event: dict[str, Any]) -> str:
    """Return the form that a request carries, as it was encoded.

    Raises
    ------
    LinkError
        If it carries none, or something else.
    """
    kind = str(event.get("headers", {}).get("content-type", "")).partition(";")[0].strip().lower()
    body = str(event.get("body") or "")
    if kind != "application/x-www-form-urlencoded" or len(body) > 2 * _LIMIT:
        raise LinkError("not the page's form")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode("ascii")
    except ValueError:
        raise LinkError("not the page's form") from None


@cache
def step_functions() -> SFNClient:
    """Return the client of Step Functions; it gives up before the function's time is over."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "stepfunctions",
        config=Config(
            connect_timeout=2, read_timeout=4, retries={"mode": "standard", "max_attempts": 2}
        ),
    )
