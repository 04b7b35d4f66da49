"""Lets a roll-out go on, or ends it, once its comparison is decided.

The state machine hands over the token of the task that waits, with the stage it waits for. What
ends the wait is the experiment's ``decision.json`` or an alarm of the challenger; either may come
before the token or after it, and more than once, so that both are looked for when the token
arrives. The first one counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConflictError, StoreError
from driftgauge.rollout_settings import HARM_ALARMS
from driftgauge.store import MonitorStore
from lambdas.experiment_decision import read_decision
from lambdas.retraining import plan_of
from lambdas.rollout_record import RollOut, change_rollout, read_rollout
from lambdas.runtime import TOKEN_IS_OVER, Runtime, logger, runtime


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What ends a comparison, as the state machine gets it."""

    decision: str
    reason: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Keep a token and look for what ends the wait, or pass on what has just happened."""
    run = runtime()
    if "token" in event:
        return {"sent": wait_for(run, event)}
    if event.get("detail-type") == "Object Created":
        return {"sent": on_decision(run, str(event["detail"]["object"]["key"]))}
    return {"sent": on_alarm(run, event["detail"])}


def wait_for(run: Runtime, event: Mapping[str, Any]) -> bool:
    """Remember who waits for which comparison; tell at once what has ended it already.

    Returns
    -------
    bool
        Whether the state machine was told.

    Raises
    ------
    ConflictError
        If the roll-out is another execution's, or at another comparison.
    """
    plan = plan_of(dict(event))
    config = run.monitors[plan.monitor]
    store = run.store(config.name)
    token = str(event["token"])

    def keep(record: RollOut | None) -> RollOut:
        awaited = (plan.execution_arn, str(event["stage"]), str(event["experiment"]))
        if (
            record is None
            or record.status != "running"
            or (record.execution, record.stage, record.experiment) != awaited
        ):
            raise ConflictError(
                f"monitor {plan.monitor}: {awaited[2]} is not what is being compared: the roll-out "
                "is another execution's or at another stage"
            )
        return replace(record, token=token)

    record = change_rollout(store, keep)
    if record is None:
        return False
    # After the token is there: what happens from now on finds it.
    ending = decided(store, record) or ringing(run, config, record)
    return ending is not None and tell(store, record, ending)


def on_decision(run: Runtime, key: str) -> bool:
    """Pass an experiment's decision on, if a roll-out waits for it."""
    monitor, _, experiment, _ = key.split("/")
    store = run.store(run.monitors[monitor].name)
    record = read_rollout(store)
    if record is None or not record.token or record.experiment != experiment:
        return False
    ending = decided(store, record)
    return ending is not None and tell(store, record, ending)


def on_alarm(run: Runtime, detail: Mapping[str, Any]) -> bool:
    """Pass an alarm of a challenger on, if its roll-out waits for a verdict."""
    name, state = str(detail["alarmName"]), detail["state"]
    if state.get("value") != "ALARM":
        return False
    config = next((one for one in run.monitors.monitors if name in alarms_of(run, one)), None)
    if config is None:
        return False
    store = run.store(config.name)
    record = read_rollout(store)
    if record is None or not record.token:
        return False
    reason = str(state.get("reason", "no reason given"))
    return tell(store, record, _alarm_ending(name, reason))


def decided(store: MonitorStore, record: RollOut) -> Ending | None:
    """Return what the running comparison was decided to; None if it is not."""
    verdict = read_decision(store, record.experiment)
    if verdict is None:
        return None
    return Ending(decision=verdict.decision, reason=verdict.reason)


def alarms_of(run: Runtime, config: MonitorConfig) -> tuple[str, ...]:
    """Return the names of the alarms that end a monitor's roll-out."""
    if config.rollout is None:
        return ()
    prefix = f"{run.settings.DEPLOYMENT}-{config.name}-{config.rollout.challenger}"
    return tuple(f"{prefix}-{kind}" for kind in HARM_ALARMS)


def ringing(run: Runtime, config: MonitorConfig, record: RollOut) -> Ending | None:
    """Return the most telling alarm of the challenger that rings already; None if none does.

    Raises
    ------
    StoreError
        If CloudWatch cannot be asked now.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    names = alarms_of(run, config)
    if not names:
        return None
    try:
        answer = run.cloudwatch.describe_alarms(
            AlarmNames=list(names), StateValue="ALARM", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
    except (BotoCoreError, ClientError) as error:
        # The state machine tries that again, and gives the roll-out up for anything else.
        raise StoreError(f"CloudWatch does not tell which alarms ring: {error}") from error
    found: dict[str, Mapping[str, Any]] = {
        str(alarm["AlarmName"]): alarm
        for alarm in [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
    }
    for name in names:
        if name in found and _is_about(record, name, found[name]):
            return _alarm_ending(name, str(found[name].get("StateReason", "no reason given")))
    return None


def _is_about(record: RollOut, name: str, alarm: Mapping[str, Any]) -> bool:
    """Tell whether an alarm that rings is about the comparison that runs.

    Harm is measured once in a while, and its alarm rings on until it is measured again: it may
    still be about an earlier challenger. All others fall silent without traffic.
    """
    if not name.endswith("experiment-harm"):
        return True
    changed = alarm.get("StateTransitionedTimestamp") or alarm.get("StateUpdatedTimestamp")
    return record.since is None or not isinstance(changed, datetime) or changed >= record.since


def _alarm_ending(name: str, reason: str) -> Ending:
    return Ending(decision="alarm", reason=f"the alarm {name} rings: {reason}")


def tell(store: MonitorStore, record: RollOut, ending: Ending) -> bool:
    """Let the state machine go on, and forget the token.

    Returns
    -------
    bool
        False if it does not wait any more.

    Raises
    ------
    StoreError
        If Step Functions does not take it now.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    output = json.dumps({"decision": ending.decision, "reason": ending.reason})
    sent = True
    try:
        boto3.client("stepfunctions").send_task_success(taskToken=record.token, output=output)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in TOKEN_IS_OVER:
            # Its message may quote the token.
            raise StoreError(f"Step Functions does not take the verdict: {code}") from None
        sent = False
        logger.info("nobody waits for the verdict any more", monitor=store.monitor, answer=code)
    except BotoCoreError as error:
        reason = type(error).__name__
        raise StoreError(f"Step Functions does not take the verdict: {reason}") from None
    else:
        logger.info(
            "verdict passed on",
            monitor=store.monitor,
            experiment=record.experiment,
            decision=ending.decision,
        )
    change_rollout(store, lambda found: _without_token(found, record.token))
    return sent


def _without_token(found: RollOut | None, token: str) -> RollOut | None:
    """Return the record without a token that is used up; a newer one stays."""
    if found is None or found.token != token:
        return found
    return replace(found, token="")
