"""What the links in a request for approval stand for, and that each request is answered once.

A link holds 32 random bytes. The store knows them only by their digest: whoever reads it cannot
make the link again. Its record is answered by one conditional write, before Step Functions hears
of it, so of any number of clicks one decides, and an answer that did not get through can be sent
again but not changed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConflictError, DriftgaugeError, StoreError
from driftgauge.report.alert import AlertLink
from driftgauge.report.markup import shorten
from driftgauge.store import MonitorStore
from lambdas.runtime import Runtime, logger, now

Answer = Literal["approved", "rejected"]
Outcome = Literal["sent", "closed"]

ANSWERS: dict[str, Answer] = {"approve": "approved", "reject": "rejected"}
# Longer than a function that sends an answer may run: whoever claimed it is then gone.
CLAIM = timedelta(seconds=30)
_REASON_LIMIT = 1000


class AnsweredError(DriftgaugeError):
    """An approval takes this answer no more."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How the challenger did against the champion, on held-back rows."""

    rows: int
    champion_log_loss: float
    challenger_log_loss: float
    improvement: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One request for approval, as it is stored.

    Attributes
    ----------
    token : str
        The task token of the state machine's task that waits.
    execution : str
        ARN of the execution.
    comparison : Figures or None
        What the page shows of champion and challenger.
    answered, answered_at
        The answer, once there is one; it never changes.
    claimed_at : datetime or None
        Since when somebody sends the answer to Step Functions; None if nobody does.
    outcome : {"sent", "closed"} or None
        Whether Step Functions took the answer, or no longer waited for one.
    """

    token: str = field(repr=False)
    monitor: str
    version: str
    execution: str
    reason: str
    comparison: Figures | None
    created: datetime
    expires: datetime
    answered: Answer | None = None
    answered_at: datetime | None = None
    claimed_at: datetime | None = None
    outcome: Outcome | None = None
    format: int = 1

    def permitted(self, moment: datetime) -> tuple[Answer, ...]:
        """Return the answers that may be given now.

        None after the end of the time, and none after an answer, but the same once more when it
        did not get through.
        """
        if moment >= self.expires or self.outcome is not None:
            return ()
        if self.answered is None:
            return ("approved", "rejected")
        if self.claimed_at is not None and moment - self.claimed_at < CLAIM:
            return ()
        return (self.answered,)


def answer_links(
    run: Runtime, config: MonitorConfig | None, message: dict[str, Any]
) -> tuple[AlertLink, ...]:
    """Return the links that answer a request for approval; none where they are not wanted.

    Parameters
    ----------
    message : dict
        What the state machine says: ``version``, ``execution``, ``reason``, ``comparison`` and
        ``token``.
    """
    url = run.settings.APPROVAL_URL
    if url is None or config is None or not config.retraining.approval_links:
        return ()
    try:
        nonce = _ask(run.store(config.name), config, message)
    except StoreError as error:
        # The commands in the message answer, too.
        logger.warning("no links for the approval", monitor=config.name, error=str(error))
        return ()
    return tuple(
        AlertLink(
            label=answer.capitalize(),
            target=f"{url}?{urlencode({'monitor': config.name, 'id': nonce, 'answer': answer})}",
        )
        for answer in ANSWERS
    )


def _ask(store: MonitorStore, config: MonitorConfig, message: dict[str, Any]) -> str:
    """Store what is asked, and return the nonce of its links."""
    nonce = secrets.token_urlsafe(32)
    moment = now()
    comparison = message.get("comparison")
    approval = Approval(
        token=str(message["token"]),
        monitor=config.name,
        version=str(message.get("version", "")),
        execution=str(message["execution"]),
        reason=shorten(str(message.get("reason", "")), _REASON_LIMIT),
        comparison=msgspec.convert(comparison, Figures, strict=False) if comparison else None,
        created=moment,
        expires=moment + config.retraining.approval_timeout,
    )
    _write(store, nonce, approval, if_tag=None)
    return nonce


def read_approval(store: MonitorStore, nonce: str) -> tuple[Approval, str]:
    """Return the approval that a link stands for, and its tag.

    Raises
    ------
    ObjectNotFoundError
        If there is none: never asked, or long ago.
    StoreError
        If it cannot be read.
    """
    key = store.approval_key(nonce)
    data, tag = store.objects.read_tagged(key)
    try:
        return msgspec.json.decode(data, type=Approval), tag
    except msgspec.MsgspecError as error:
        raise StoreError(f"{store.objects.uri}{key}: {error}") from None


def claim(
    store: MonitorStore, nonce: str, approval: Approval, tag: str, *, answer: Answer
) -> Approval:
    """Write an answer down before it is sent; of several at once, one succeeds.

    Raises
    ------
    AnsweredError
        If the approval does not take this answer, or somebody else was faster.
    """
    moment = now()
    if answer not in approval.permitted(moment):
        raise AnsweredError(f"the approval of {approval.version} takes this answer no more")
    claimed = replace(
        approval, answered=answer, answered_at=approval.answered_at or moment, claimed_at=moment
    )
    try:
        _write(store, nonce, claimed, if_tag=tag)
    except ConflictError as error:
        raise AnsweredError(f"the approval of {approval.version} was just answered") from error
    return claimed


def settle(store: MonitorStore, nonce: str, claimed: Approval, *, outcome: Outcome | None) -> None:
    """Write down how the sending of an answer ended; None: it may be sent again at once.

    A failure to do so is logged only. The claim then runs out by itself, and Step Functions
    refuses an answer that it had before.
    """
    try:
        present, tag = read_approval(store, nonce)
        if present == claimed:
            _write(store, nonce, replace(claimed, claimed_at=None, outcome=outcome), if_tag=tag)
    except StoreError as error:
        logger.warning("approval not settled", monitor=claimed.monitor, error=str(error))


def _write(store: MonitorStore, nonce: str, approval: Approval, *, if_tag: str | None) -> None:
    store.objects.write(
        store.approval_key(nonce),
        msgspec.json.format(msgspec.json.encode(approval), indent=1),
        content_type="application/json",
        if_absent=if_tag is None,
        if_tag=if_tag,
    )
