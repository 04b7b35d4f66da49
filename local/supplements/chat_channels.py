"""Templates may hold a Slack channel; nothing is sent to it.

AWS documentation: ``AWS::Chatbot::SlackChannelConfiguration`` in the CloudFormation Template
Reference. The resource is accepted so that the very template of a real deployment can be
deployed; messages for Slack go nowhere, since a chat service is no part of an AWS account.
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Register the resource type."""
    provisioners._RESOURCE_HANDLERS["AWS::Chatbot::SlackChannelConfiguration"] = {
        "create": _create,
        "delete": lambda _physical_id, _properties: None,
    }


def _create(
    logical_id: str, properties: dict[str, Any], _stack_name: str
) -> tuple[str, dict[str, str]]:
    name = properties.get("ConfigurationName") or logical_id
    arn = f"arn:aws:chatbot::{get_account_id()}:chat-configuration/slack-channel/{name}"
    return arn, {"Arn": arn}
