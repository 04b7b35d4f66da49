"""A function of a template keeps its dead-letter queue and its reserved concurrency.

AWS documentation: ``AWS::Lambda::Function``, properties ``DeadLetterConfig`` and
``ReservedConcurrentExecutions``, in the CloudFormation Template Reference. ministack honours both
when a function is made through Lambda's API, and drops them from templates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]


def install() -> None:
    """Wrap the creation and the update of the resource type."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create: Callable[..., Created] = handlers["create"]
    update: Callable[..., Created] = handlers["update"]

    def create_whole(logical_id: str, properties: Properties, stack_name: str) -> Created:
        return _completed(create(logical_id, properties, stack_name), properties)

    def update_whole(
        physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str
    ) -> Created:
        return _completed(update(physical_id, old, new, stack_name, logical_id), new)

    handlers["create"], handlers["update"] = create_whole, update_whole


def _completed(created: Created, properties: Properties) -> Created:
    function = lambda_svc._functions[created[0]]
    reserved = properties.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)
    if properties.get("DeadLetterConfig"):
        function["config"]["DeadLetterConfig"] = properties["DeadLetterConfig"]
    return created
