"""Templates may hold composite alarms, alarms on metric math, and anomaly detectors.

AWS documentation: ``AWS::CloudWatch::CompositeAlarm``, ``AWS::CloudWatch::Alarm`` (property
``Metrics``) and ``AWS::CloudWatch::AnomalyDetector`` in the CloudFormation Template Reference.

ministack knows composite alarms through its API, not in templates, and refuses a template with
metric math. Anomaly detectors are accepted and do nothing. Action suppression of composite
alarms is stored and not acted upon.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions")
_COPIED = (
    "AlarmDescription",
    "AlarmRule",
    "AlarmActions",
    "OKActions",
    "InsufficientDataActions",
    "ActionsSuppressor",
    "Tags",
)


def install() -> None:
    """Register the two resource types, and let metric math pass."""
    registry = provisioners._RESOURCE_HANDLERS
    registry["AWS::CloudWatch::CompositeAlarm"] = {
        "create": _create_composite,
        "update": _update_composite,
        "update_with_logical_id": True,
        "delete": _delete_composite,
    }
    registry["AWS::CloudWatch::AnomalyDetector"] = {
        "create": _create_detector,
        "delete": lambda _physical_id, _properties: None,
    }
    provisioners._cw_metric_alarm_record = _accept_metric_math(provisioners._cw_metric_alarm_record)


def _create_composite(logical_id: str, properties: Properties, stack_name: str) -> Created:
    name = properties.get("AlarmName") or provisioners._physical_name(
        stack_name, logical_id, max_len=255
    )
    return _put_composite(name, properties)


def _put_composite(name: str, properties: Properties) -> Created:
    request = {key: properties[key] for key in _COPIED if key in properties}
    request["AlarmName"] = name
    request["ActionsEnabled"] = str(properties.get("ActionsEnabled", True)).lower() == "true"
    _checked(cloudwatch._put_composite_alarm({}, request, False, True))
    arn = f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"
    return name, {"Arn": arn}


def _update_composite(
    physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
) -> Created:
    created = (
        _create_composite(logical_id, new, stack_name)
        if new.get("AlarmName") != old.get("AlarmName")
        else _put_composite(physical_id, new)
    )
    if created[0] != physical_id:  # a new name means replacement: the new one first
        _delete_composite(physical_id, old)
    return created


def _delete_composite(physical_id: str, _properties: Properties) -> None:
    _checked(cloudwatch._delete_alarms({}, {"AlarmNames": [physical_id]}, False, True))


def _checked(response: tuple[int, dict[str, str], bytes]) -> None:
    status, _, body = response
    if status >= 400:
        raise ValueError(json.loads(body).get("message", f"CloudWatch answered {status}"))


def _create_detector(logical_id: str, _properties: Properties, stack_name: str) -> Created:
    identifier = provisioners._physical_name(stack_name, logical_id)
    return identifier, {"Id": identifier}


def _accept_metric_math(
    record: Callable[[str, Properties], dict[str, Any]],
) -> Callable[[str, Properties], dict[str, Any]]:
    def accept(name: str, properties: Properties) -> dict[str, Any]:
        queries = properties.get("Metrics")
        if not queries:
            return record(name, properties)
        # ministack insists on one metric and a threshold; anomaly alarms have neither.
        stand_in = {"MetricName": "-", "Namespace": "-", "Threshold": 0}
        alarm = record(name, stand_in | {k: v for k, v in properties.items() if k != "Metrics"})
        for key in _ONE_METRIC:
            alarm[key] = None
        alarm["Metrics"] = queries
        if "ThresholdMetricId" in properties:
            alarm["ThresholdMetricId"] = properties["ThresholdMetricId"]
            alarm["Threshold"] = None
        return alarm

    return accept
