"""What people are told about a roll-out: what the endpoint serves now, and what comes next."""

from __future__ import annotations

import json

from driftgauge.rollout_settings import RollOutSettings
from driftgauge.windows import format_duration
from lambdas.rollout_record import RollOut

# What follows is said after the summary of a retraining that ends.
_ENDS = {
    "promoted": "It serves the endpoint now.",
    "kept": "The endpoint serves as it did before.",
    "failed": "The endpoint serves as it did before.",
}
_TITLES = {
    "shadow": "roll-out: the challenger becomes a shadow",
    "canary": "roll-out: the challenger gets a small share of the traffic",
    "ab": "roll-out: challenger and champion share the traffic",
    "withdraw": "roll-out: the challenger has won and makes room",
    "full": "roll-out: all traffic moves to the new model",
}
_SHIFTS = {
    "canary": "{percent} percent of the new fleet first, then all",
    "linear": "in steps of {percent} percent",
    "all_at_once": "all at once",
}


def stage_title(stage: str) -> str:
    """Return the title of the message that a stage begins."""
    return _TITLES.get(stage, f"roll-out: stage {stage}")


def stage_summary(stage: str, settings: RollOutSettings | None) -> str:
    """Say what happens to the traffic in a stage, and what is waited for.

    Parameters
    ----------
    stage : str
    settings : RollOutSettings or None
        None if the monitor has none any more.
    """
    if stage == "shadow":
        share = _percent(settings.shadow.sampling) if settings else "some"
        return (
            f"The challenger gets copies of {share} of the requests, and its answers are compared "
            f"but not used: all of the traffic stays with the champion. {_waiting(settings)}"
        )
    if stage in ("canary", "ab"):
        judged = None if settings is None else settings.canary if stage == "canary" else settings.ab
        share = "a share" if judged is None else _percent(judged.share)
        return (
            f"The challenger serves {share} of the requests, the champion all others. "
            + _waiting(settings)
        )
    if stage == "withdraw":
        return (
            "The endpoint goes back to its configuration from before, in which the champion serves "
            "alone: SageMaker's guarded update starts from there. The last stage follows at once."
        )
    if stage == "full":
        return (
            f"SageMaker moves the traffic to the new model, {_shift(settings)}, and back by itself "
            "if an alarm that it watches rings. Then its baseline comes into force."
        )
    return ""


def end_summary(stage: str, record: RollOut | None = None) -> str:
    """Say what the endpoint serves after a retraining that could roll out; empty if nothing."""
    if is_unfinished(stage, record) and record is not None:
        return f"The roll-out of {record.challenger} is not finished: it is at {record.stage}."
    return _ENDS.get(stage, "")


def is_unfinished(stage: str, record: RollOut | None) -> bool:
    """Tell whether an execution failed while a roll-out, its own or another's, was under way.

    Of its own it has put back what served before, unless it failed before it could look.
    """
    return stage == "failed" and record is not None and record.status == "running"


def stage_facts(settings: RollOutSettings | None, record: RollOut | None) -> list[tuple[str, str]]:
    """Return what is known of a roll-out, for a list."""
    facts = []
    if record is not None:
        facts += [
            ("endpoint", record.endpoint),
            ("configuration before", record.before.config),
            ("weights before", _weights(record)),
        ]
    if settings is not None:
        facts.append(("stages", ", then ".join(settings.stages)))
    return facts


def by_hand(monitor: str, record: RollOut | None) -> tuple[str, ...]:
    """Return what people have to do when an endpoint could not be put back."""
    last = (
        f"Then run the retraining's state machine with the input {recovery(monitor, record)}: it "
        "sees that all is as before, and closes the roll-out."
    )
    if record is None:
        return ("Put the endpoint's configuration from before the roll-out back.", last)
    endpoint, before = record.endpoint, record.before
    steps = [
        "Put the configuration back: aws sagemaker update-endpoint "
        f"--endpoint-name {endpoint} --endpoint-config-name {before.config}"
    ]
    if before.weights:
        weights = " ".join(
            f"VariantName={name},DesiredWeight={weight:g}"
            for name, weight in before.weights.items()
        )
        steps.append(
            "Once it is InService, its weights: aws sagemaker "
            f"update-endpoint-weights-and-capacities --endpoint-name {endpoint} "
            f"--desired-weights-and-capacities {weights}"
        )
    return (*steps, last)


def recovery(monitor: str, record: RollOut | None) -> str:
    """Return the input by which a state machine puts back what served before a roll-out."""
    # Of a promotion nothing is unfinished: only a person takes it back.
    promoted = record is not None and record.status == "promoted"
    return json.dumps({"monitor": monitor, "rollback" if promoted else "recover": True})


def _waiting(settings: RollOutSettings | None) -> str:
    limit = "the time limit"
    if settings is not None:
        limit = format_duration(settings.stage_limit)
    return (
        f"It goes on once the comparison decides; after {limit} without a decision, or if an alarm "
        "of the challenger rings, the champion stays."
    )


def _shift(settings: RollOutSettings | None) -> str:
    if settings is None:
        return "step by step"
    return _SHIFTS[settings.traffic.shift].format(percent=settings.traffic.percent)


def _weights(record: RollOut) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in record.before.weights.items())


def _percent(share: float) -> str:
    return f"{100.0 * share:g} percent"
