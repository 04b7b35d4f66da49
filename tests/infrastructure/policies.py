"""What a role may do, and which events a rule takes: the parts of AWS's logic that tests need."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from tests.infrastructure.synthesized import Properties, Synthesized


def may(stacks: Synthesized, verb: str, action: str, resource: str) -> bool:
    """Return whether the role of a function allows an action on a resource."""
    role = stacks.function(verb).properties["Role"]
    return allows(stacks.statements(role.strip("<>").removesuffix(".Arn")), action, resource)


def allows(statements: list[Properties], action: str, resource: str) -> bool:
    """Return whether one of the statements allows an action on a resource."""
    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in _listed(statement["Action"]))
        and any(_like(resource, pattern) for pattern in _listed(statement["Resource"]))
        for statement in statements
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(text: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def matches(pattern: Properties, event: Properties) -> bool:
    """Return whether EventBridge would hand an event to a rule with this pattern."""
    return all(
        any(matches(one, event) for one in wanted)
        if key == "$or"
        else matches(wanted, event.get(key, {}))
        if isinstance(wanted, dict)
        else any(_value_matches(one, event.get(key)) for one in wanted)
        for key, wanted in pattern.items()
    )


def _value_matches(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    (operator, operand), *rest = wanted.items()
    assert not rest
    if not isinstance(value, str):
        return False
    if operator == "prefix":
        return value.startswith(operand)
    if operator == "wildcard":
        return _like(value, operand)
    raise NotImplementedError(f"this matcher does not know {operator!r}")


def object_created(bucket: str, key: str) -> Properties:
    """Return S3's event of a new object, as EventBridge delivers it."""
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "etag": "e"}},
    }


def alarm_changed(name: str, state: str, before: str) -> Properties:
    """Return CloudWatch's event of an alarm's change of state."""
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "time": "2026-07-01T00:00:00Z",
        "detail": {
            "alarmName": name,
            "state": {"value": state},
            "previousState": {"value": before},
        },
    }


def targets_of(stacks: Synthesized, event: Properties) -> list[str]:
    """Return the targets of all rules that take an event."""
    return [
        target["Arn"]
        for rule in stacks.all("AWS::Events::Rule")
        if matches(rule.properties["EventPattern"], event)
        for target in rule.properties["Targets"]
    ]
