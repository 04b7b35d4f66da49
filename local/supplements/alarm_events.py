"""Every state change of an alarm is an event on the default bus.

AWS documentation: "Alarm events and EventBridge" in the Amazon CloudWatch User Guide, whose
samples the event's detail follows, for metric alarms (one metric or metric math) and for
composite alarms. ministack tells SNS topics about a state change, but not EventBridge.

Left out: the events for an alarm's creation, update and deletion.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, eventbridge

from local.supplements.alarm_evaluation import event_time

_last_states: dict[tuple[str, str, str], dict[str, str]] = {}


def install() -> None:
    """Send the event wherever ministack records a state change in the alarm's history."""
    record = cloudwatch._record_history

    def record_and_send(
        alarm_name: str, old_state: str, new_state: str, reason: str, *more: Any, **named: Any
    ) -> None:
        record(alarm_name, old_state, new_state, reason, *more, **named)
        if old_state != new_state:
            _send(alarm_name, old_state)

    cloudwatch._record_history = record_and_send


def _send(name: str, old_state: str) -> None:
    alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name)
    if alarm is None:
        return
    key = (get_account_id(), get_region(), name)
    state = _state(alarm)
    previous = _last_states.get(key) or {
        "value": old_state,
        "reason": "Unchecked: Initial alarm creation",
        "timestamp": event_time(
            float(alarm.get("AlarmConfigurationUpdatedTimestamp") or time.time())
        ),
    }
    _last_states[key] = state
    detail = {
        "alarmName": name,
        "configuration": _configuration(alarm),
        "previousState": previous,
        "state": state,
    }
    entry = {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Resources": [alarm["AlarmArn"]],
        "Detail": json.dumps(detail),
        "EventBusName": "default",
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _state(alarm: dict[str, Any]) -> dict[str, str]:
    state = {
        "value": str(alarm["StateValue"]),
        "reason": str(alarm["StateReason"]),
        "timestamp": event_time(time.time()),
    }
    if alarm.get("StateReasonData"):
        state["reasonData"] = str(alarm["StateReasonData"])
    return state


def _configuration(alarm: dict[str, Any]) -> dict[str, Any]:
    described = {}
    if alarm.get("AlarmDescription"):
        described["description"] = alarm["AlarmDescription"]
    if "AlarmRule" in alarm:
        return described | {"alarmRule": alarm["AlarmRule"]}
    if alarm.get("Metrics"):
        return described | {"metrics": [_query(query) for query in alarm["Metrics"]]}
    stat = {
        "metric": _metric(alarm),
        "period": int(alarm.get("Period") or 60),
        "stat": alarm.get("ExtendedStatistic") or alarm.get("Statistic"),
    }
    # AWS makes up an id; a stable one lets two events of one alarm be compared.
    made_up = str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"]))
    return described | {"metrics": [{"id": made_up, "metricStat": stat, "returnData": True}]}


def _metric(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "namespace": source.get("Namespace"),
        "name": source.get("MetricName"),
        "dimensions": {pair["Name"]: pair["Value"] for pair in source.get("Dimensions") or []},
    }


def _query(query: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": query["Id"],
        "returnData": str(query.get("ReturnData", True)).lower() == "true",
    }
    if query.get("Label"):
        shown["label"] = query["Label"]
    if "MetricStat" not in query:
        return shown | {"expression": query.get("Expression")}
    wanted = query["MetricStat"]
    return shown | {
        "metricStat": {
            "metric": _metric(wanted["Metric"]),
            "period": int(wanted["Period"]),
            "stat": wanted["Stat"],
        }
    }
