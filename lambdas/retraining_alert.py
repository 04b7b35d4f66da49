"""What people are told about a retraining."""

from __future__ import annotations

import json
from typing import Any

from driftgauge.report.alert import Alert, AlertLink, AlertSection, Tone
from driftgauge.rollout_settings import RollOutSettings
from lambdas.rollout_alert import (
    by_hand,
    end_summary,
    is_unfinished,
    recovery,
    stage_facts,
    stage_summary,
    stage_title,
)
from lambdas.rollout_record import RollOut

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
    "rollout": ("notice", "roll-out", "A challenger for {monitor} is rolled out."),
    "restored": (
        "notice",
        "roll-out taken back",
        "The endpoint of {monitor} has its configuration and weights from before the roll-out "
        "again, and the monitor its champion and baseline.",
    ),
    "stuck": (
        "failure",
        "roll-out could not be taken back",
        "The endpoint of {monitor} may still serve the challenger: its configuration from before "
        "the roll-out could not be put back.",
    ),
}


def retraining_alert(
    message: dict[str, Any],
    *,
    region: str,
    answers: tuple[AlertLink, ...] = (),
    settings: RollOutSettings | None = None,
    record: RollOut | None = None,
) -> Alert:
    """Describe one stage of a retraining.

    Parameters
    ----------
    message : dict
        ``stage``, ``monitor``, ``reason`` and ``execution`` (the ARN); where it applies
        ``version``, ``comparison``, ``token`` (for the approval) and ``rollout_stage`` (of the
        stage ``rollout``).
    region : str
        Of the links.
    answers : tuple of AlertLink
        The links by which people approve or reject, if there are any.
    settings : RollOutSettings, optional
        How the monitor's challengers come to serve.
    record : RollOut, optional
        What is known of the roll-out that the message is about.
    """
    stage = str(message["stage"])
    tone, title, summary = _STAGES[stage]
    told = end_summary(stage, record) if settings is not None else ""
    if stage == "rollout":
        rolled = str(message.get("rollout_stage", ""))
        title, told = stage_title(rolled), stage_summary(rolled, settings)
    monitor = str(message["monitor"]) or "(no monitor named)"
    reason = readable_reason(str(message.get("reason", "")))
    sections = []
    facts = [(name, str(message[name])) for name in ("version", "alarm") if message.get(name)]
    if facts:
        sections.append(AlertSection(heading="Retraining", facts=tuple(facts)))
    if stage in ("rollout", "restored", "stuck") and (settings or record):
        rollout = tuple(stage_facts(settings, record))
        sections.append(AlertSection(heading="Roll-out", facts=rollout))
    comparison = message.get("comparison") or {}
    if comparison:
        sections.append(_comparison_section(comparison))
    execution = str(message["execution"])
    console = f"https://{region}.console.aws.amazon.com/states/home?region={region}"
    return Alert(
        monitor=monitor,
        tone=tone,
        title=title,
        summary=" ".join(filter(None, (summary.format(monitor=monitor), told, reason))),
        sections=tuple(sections),
        links=(
            *answers,
            AlertLink(label="Execution", target=f"{console}#/v2/executions/details/{execution}"),
        ),
        steps=by_hand(monitor, record) if stage == "stuck" else _steps(message, monitor, record),
    )


def readable_reason(cause: str) -> str:
    """Return the message inside the JSON that Step Functions gives as the cause of an error.

    Of a Lambda function it is the error's, of a training job the whole of its description.
    """
    try:
        detail = json.loads(cause)
    except ValueError:
        return cause
    if isinstance(detail, dict) and "errorMessage" in detail:
        return f"{detail.get('errorType', 'Error')}: {detail['errorMessage']}"
    if isinstance(detail, dict) and "FailureReason" in detail:
        return str(detail["FailureReason"])
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


def _steps(message: dict[str, Any], monitor: str, record: RollOut | None) -> tuple[str, ...]:
    if message["stage"] == "approval":
        token = str(message["token"])
        return (
            "Approve: aws stepfunctions send-task-success "
            f"--task-token '{token}' --task-output '{{}}'",
            "Reject: aws stepfunctions send-task-failure "
            f"--task-token '{token}' --error Rejected --cause 'why'",
        )
    if is_unfinished(str(message["stage"]), record):
        return (
            "Unless another execution goes on with the roll-out, run the state machine with the "
            f"input {recovery(monitor, record)}: it puts back what served before.",
        )
    if message["stage"] in ("skipped", "failed"):
        again = json.dumps({"monitor": monitor, "force": True})
        return (
            f"To start it by hand, run the state machine with the input {again}: "
            "`force` skips the cool-down.",
        )
    return ()
