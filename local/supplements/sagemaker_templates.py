"""Templates may hold groups of model packages.

AWS documentation: ``AWS::SageMaker::ModelPackageGroup`` in the CloudFormation Template Reference.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services.cloudformation import provisioners

from local.supplements.sagemaker import service

Properties = dict[str, Any]
_PASSED_ON = ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags")


def install() -> None:
    """Register the resource type."""
    provisioners._RESOURCE_HANDLERS["AWS::SageMaker::ModelPackageGroup"] = {
        "create": _create,
        "delete": _delete,
    }


def _create(
    _logical_id: str, properties: Properties, _stack_name: str
) -> tuple[str, dict[str, str]]:
    request = {name: properties[name] for name in _PASSED_ON if name in properties}
    arn = json.loads(service().call("CreateModelPackageGroup", request))["ModelPackageGroupArn"]
    # CloudFormation's Ref of a group is its ARN.
    return arn, {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": "Completed"}


def _delete(physical_id: str, _properties: Properties) -> None:
    service().call("DeleteModelPackageGroup", {"ModelPackageGroupName": physical_id})
