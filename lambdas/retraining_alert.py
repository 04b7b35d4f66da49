"""What people are told about a retraining."""

from __future__ import annotations

import json
from typing import Any

from driftgauge.report.alert import Alert, AlertLink, AlertSection, Tone

_STAGES: dict[str, tuple[Tone, str, str]] = {
    "started": ("notice", "retraining started", "A retraining of {monitor} has started."),
    "skipped": ("notice", "retraining skipped", "{monitor} is not retrained."),
    "approval": (
        "question",
        "a new model waits for approval",
        "A challenger for {monitor} is better than the champion and waits for a human's word.",
    ),
    "promoted": (
        "notice",
        "new model promoted",
        "{monitor} has a new champion, with a baseline of its own.",
    ),
    "kept": ("notice", "champion kept", "The retraining of {monitor} keeps the champion."),
    "failed": (
        "failure",
        "retraining failed",
        "The retraining of {monitor} failed; it changed neither champion nor baseline.",
    ),
}


def retraining_alert(message: dict[str, Any], *, region: str) -> Alert:
    """Describe one stage of a retraining.

    Parameters
    ----------
    message : dict
        ``stage``, ``monitor``, ``reason`` and ``execution`` (the ARN); where it applies
        ``version``, ``comparison`` and ``token`` (for the approval).
    region : str
        Of the links.
    """
    tone, title, summary = _STAGES[str(message["stage"])]
    monitor = str(message["monitor"]) or "(no monitor named)"
    reason = readable_reason(str(message.get("reason", "")))
    sections = []
    facts = [(name, str(message[name])) for name in ("version", "alarm") if message.get(name)]
    if facts:
        sections.append(AlertSection(heading="Retraining", facts=tuple(facts)))
    comparison = message.get("comparison") or {}
    if comparison:
        sections.append(_comparison_section(comparison))
    execution = str(message["execution"])
    console = f"https://{region}.console.aws.amazon.com/states/home?region={region}"
    return Alert(
        monitor=monitor,
        tone=tone,
        title=title,
        summary=" ".join(filter(None, (summary.format(monitor=monitor), reason))),
        sections=tuple(sections),
        links=(
            AlertLink(label="Execution", target=f"{console}#/v2/executions/details/{execution}"),
        ),
        steps=_steps(message, monitor),
    )


def readable_reason(cause: str) -> str:
    """Return the message inside the JSON that Step Functions gives as a Lambda error's cause."""
    try:
        detail = json.loads(cause)
    except ValueError:
        return cause
    if isinstance(detail, dict) and "errorMessage" in detail:
        return f"{detail.get('errorType', 'Error')}: {detail['errorMessage']}"
    return cause


def _comparison_section(comparison: dict[str, Any]) -> AlertSection:
    return AlertSection(
        heading="Champion and challenger on held-back rows",
        facts=(
            ("rows", f"{comparison['rows']:,}"),
            ("champion's log loss", f"{comparison['champion_log_loss']:.4f}"),
            ("challenger's log loss", f"{comparison['challenger_log_loss']:.4f}"),
            (
                "improvement",
                f"{comparison['improvement']:.4f} "
                f"({comparison['low']:.4f} to {comparison['high']:.4f})",
            ),
        ),
    )


def _steps(message: dict[str, Any], monitor: str) -> tuple[str, ...]:
    if message["stage"] == "approval":
        token = str(message["token"])
        return (
            "Approve: aws stepfunctions send-task-success "
            f"--task-token '{token}' --task-output '{{}}'",
            "Reject: aws stepfunctions send-task-failure "
            f"--task-token '{token}' --error Rejected --cause 'why'",
        )
    if message["stage"] in ("skipped", "failed"):
        again = json.dumps({"monitor": monitor, "force": True})
        return (
            f"To start it by hand, run the state machine with the input {again}: "
            "`force` skips the cool-down.",
        )
    return ()
