"""Findings of the policy checks that are right about the fact and wrong about the conclusion."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Acknowledge one finding on a construct and all below it."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def acknowledge_wildcards(construct: IConstruct, resources: Iterable[str], reason: str) -> None:
    """Acknowledge the wildcards in exactly these resources of a policy, and in no others."""
    stack = cdk.Stack.of(construct)
    for resource in resources:
        flat = _flatten(stack.resolve(resource))
        if "*" in flat:
            acknowledge(construct, f"AwsSolutions-IAM5[Resource::{flat}]", reason)


def _flatten(value: Any) -> str:
    """Write a CloudFormation expression as cdk-nag does in the id of a finding."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        delimiter, items = value["Fn::Join"]
        return str(delimiter).join(_flatten(item) for item in items)
    if "Fn::GetAtt" in value:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if "Ref" in value:
        return f"<{value['Ref']}>"
    return json.dumps(value, separators=(",", ":"))
