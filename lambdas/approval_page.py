"""The pages behind an approval's links: self-contained HTML, without scripts.

Everything that is shown of a model comes from outside and is escaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftgauge.report.markup import escape, shorten
from driftgauge.report.wording import count, moment
from lambdas.approvals import ANSWERS, Answer, Approval, Figures, Outcome

Look = Literal["ask", "good", "bad", "plain"]

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
_VERB: dict[Answer, str] = {given: verb for verb, given in ANSWERS.items()}
_CLOSED = (
    "The state machine no longer waited for it: its time was over, it was stopped, or it had "
    "an answer before. The execution shows which."
)
_AFTERWARDS: dict[Outcome | None, str] = {
    "sent": "",
    "closed": _CLOSED,
    None: "Whether the answer reached the state machine, the execution shows.",
}
_EXECUTION = re.compile(r"arn:[a-z-]+:states:([a-z0-9-]+):\d{12}:execution:[\w.-]+:([\w.-]+)")
_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f2f4f7; --card: #fff; --line: #e1e4e9; --text: #161a20; --muted: #59616e;
  --link: #0b5cad; --yes: #1d6b52; --no: #a83210; --soft: #f5f6f8; --on: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #171c23; --line: #2b333e; --text: #e8ebf0; --muted: #9aa5b4;
    --link: #7cb8f2; --yes: #6cd0ad; --no: #ffa866; --soft: #1d242d; --on: #0f1216;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 48px 16px; background: var(--page); color: var(--text);
  font: 16px/1.5 Inter, -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue",
    "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main {
  max-width: 600px; margin: 0 auto; padding: 32px 36px 28px; background: var(--card);
  border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: 14px;
}
.ask { --mark: var(--link); } .good { --mark: var(--yes); } .bad { --mark: var(--no); }
.plain { --mark: var(--muted); }
.eyebrow {
  margin: 0; color: var(--muted); font-size: 12px; font-weight: 600; letter-spacing: .06em;
  text-transform: uppercase;
}
h1 { margin: 6px 0 10px; font-size: 26px; line-height: 1.25; letter-spacing: -.015em; }
p { margin: 10px 0; }
.reason { color: var(--muted); }
.losses { display: flex; margin: 22px 0 0; border: 1px solid var(--line); border-radius: 10px; }
.losses > div { flex: 1; padding: 12px 16px; }
.losses > div + div { border-left: 1px solid var(--line); }
dt { color: var(--muted); font-size: 13px; }
dd { margin: 0; }
.losses dd { font-size: 24px; font-weight: 620; letter-spacing: -.02em; }
.losses .new dd { color: var(--yes); }
.note { margin: 8px 0 0; color: var(--muted); font-size: 14px; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 22px 0 0; }
.facts dt { font-size: 14px; line-height: 1.7; }
a { color: var(--link); }
form { display: flex; flex-wrap: wrap; gap: 12px; margin: 28px 0 0; }
button {
  padding: 11px 22px; border: 1.5px solid var(--tone); border-radius: 9px; font: inherit;
  font-weight: 600; cursor: pointer; background: transparent; color: var(--tone);
}
button.main { flex: 1; background: var(--tone); color: var(--on); }
button:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.approved { --tone: var(--yes); } .rejected { --tone: var(--no); }
"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """An answer to a browser: a status and what to say."""

    status: int
    look: Look
    title: str
    text: str
    body: str = ""

    def response(self) -> dict[str, object]:
        """Return the page as a function URL wants it (payload format 2.0)."""
        allowed = {"Allow": "GET, POST"} if self.status == 405 else {}
        retry = {"Retry-After": "5"} if self.status == 503 else {}
        return {"statusCode": self.status, "headers": HEADERS | allowed | retry, "body": self.html}

    @property
    def html(self) -> str:
        """The whole document."""
        title = escape(self.title)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body>"
            f'<main class="{self.look}"><p class="eyebrow">driftgauge</p><h1>{title}</h1>'
            f"<p>{escape(self.text)}</p>{self.body}</main></body></html>"
        )


def question(
    approval: Approval, *, nonce: str, linked: Answer, permitted: tuple[Answer, ...]
) -> Page:
    """Ask for an answer; a button for each one that is permitted, the linked one first."""
    again = approval.answered is not None
    text = (
        "The answer was taken but did not reach the state machine. It can be sent again."
        if again
        else f"The challenger {shorten(approval.version, 120)} beat the champion and waits for "
        "your word. Nothing has happened yet."
    )
    first = linked if linked in permitted else permitted[0]
    buttons = "".join(
        f'<button name="answer" value="{_VERB[answer]}" '
        f'class="{answer}{" main" if answer == first else ""}">'
        f"{'Send again: ' if again else ''}{_VERB[answer].capitalize()}</button>"
        for answer in sorted(permitted, key=lambda answer: answer != first)
    )
    form = (
        '<form method="post" action="?">'
        f'<input type="hidden" name="monitor" value="{escape(approval.monitor)}">'
        f'<input type="hidden" name="id" value="{escape(nonce)}">{buttons}</form>'
    )
    return Page(
        status=200,
        look="ask",
        title=f"A new model for {approval.monitor}?",
        text=text,
        body=_details(approval) + form,
    )


def taken(approval: Approval) -> Page:
    """Say that an answer was taken and has reached the state machine."""
    approved = approval.answered == "approved"
    return Page(
        status=200,
        look="good" if approved else "bad",
        title=f"{approval.monitor}: the new model is {approval.answered}",
        text=(
            "The retraining goes on with the new model."
            if approved
            else "The champion stays, with its baseline."
        ),
        body=_details(approval),
    )


def used(approval: Approval) -> Page:
    """Say that the question has its answer, or had its time."""
    if approval.answered is None:
        title = "This link has expired"
        text = f"Nobody answered until {_time(approval.expires)}. The champion stays."
    else:
        title = "This question is answered"
        at = f" at {_time(approval.answered_at)}" if approval.answered_at else ""
        text = f"The model was {approval.answered}{at}. A link works once."
        text = f"{text} {_AFTERWARDS[approval.outcome]}".strip()
    return Page(status=410, look="plain", title=title, text=text, body=_details(approval))


def closed(approval: Approval) -> Page:
    """Say that the answer came, and the state machine waits for none any more."""
    return Page(
        status=410,
        look="plain",
        title="This question is closed",
        text=_CLOSED,
        body=_details(approval),
    )


def undelivered(approval: Approval, *, nonce: str) -> Page:
    """Say that the answer is noted and could not be sent; offer to send it again."""
    answer = approval.answered or "approved"
    again = question(approval, nonce=nonce, linked=answer, permitted=(answer,))
    return Page(
        status=503,
        look="bad",
        title="The answer could not be delivered",
        text="It is noted, and can be sent again now or later. It cannot be changed.",
        body=again.body,
    )


def _details(approval: Approval) -> str:
    found = _EXECUTION.fullmatch(approval.execution)
    execution = escape(shorten(approval.execution, 300))
    if found:
        region, name = found.groups()
        console = f"https://{region}.console.aws.amazon.com/states/home?region={region}"
        target = escape(f"{console}#/v2/executions/details/{approval.execution}")
        execution = f'<a href="{target}" rel="noreferrer noopener">{escape(name)}</a>'
    facts = {
        "Monitor": escape(approval.monitor),
        "Version": escape(shorten(approval.version, 200)),
        "Execution": execution,
        "Asked": escape(_time(approval.created)),
        "Answer until": escape(_time(approval.expires)),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    reason = f'<p class="reason">{escape(approval.reason)}</p>' if approval.reason else ""
    figures = _figures(approval.comparison) if approval.comparison else ""
    return f'{reason}{figures}<dl class="facts">{rows}</dl>'


def _figures(figures: Figures) -> str:
    return (
        f'<dl class="losses"><div><dt>Champion\'s log loss</dt>'
        f"<dd>{figures.champion_log_loss:.4f}</dd></div>"
        f'<div class="new"><dt>Challenger\'s log loss</dt>'
        f"<dd>{figures.challenger_log_loss:.4f}</dd></div></dl>"
        f'<p class="note">Lower by {figures.improvement:.4f} ({figures.low:.4f} to '
        f"{figures.high:.4f}) on {escape(count(figures.rows))} held-back rows.</p>"
    )


def _time(value: datetime) -> str:
    return f"{moment(value)} UTC"
