"""The model registry: groups of model packages, their versions and their approval."""

from __future__ import annotations

import threading
from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.names import Names, now
from local.sagemaker.surroundings import Surroundings

Record = dict[str, Any]


class Registry:
    """The account's model packages."""

    def __init__(self, *, around: Surroundings) -> None:
        self._names = Names(around.account, around.region)
        self._around = around
        self._groups: dict[str, Record] = {}
        self._packages: dict[str, Record] = {}
        self._lock = threading.Lock()

    def create_group(self, request: Record) -> Record:
        """Answer CreateModelPackageGroup."""
        arn = self._names.arn("model-package-group", request["ModelPackageGroupName"])
        if arn in self._groups:
            raise invalid(f"Model Package Group already exists: {arn}")
        self._groups[arn] = request | {
            "ModelPackageGroupArn": arn,
            "CreationTime": now(),
            "ModelPackageGroupStatus": "Completed",
            "CreatedBy": {},
        }
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, request: Record) -> Record:
        """Answer DescribeModelPackageGroup, by name or ARN."""
        name = request["ModelPackageGroupName"].rpartition("/")[2]
        arn = self._names.arn("model-package-group", name)
        if arn not in self._groups:
            raise invalid(f"ModelPackageGroup {arn} does not exist.")
        return self._groups[arn]

    def delete_group(self, request: Record) -> Record:
        """Answer DeleteModelPackageGroup; a group with versions stays."""
        group = self.describe_group(request)
        if any(
            p.get("ModelPackageGroupName") == group["ModelPackageGroupName"]
            for p in self._packages.values()
        ):
            raise ApiError(
                "ConflictException",
                f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted: it has "
                "model packages",
            )
        del self._groups[group["ModelPackageGroupArn"]]
        return {}

    def create(self, request: Record) -> Record:
        """Answer CreateModelPackage: a version of a group, or a package with a name."""
        if ("ModelPackageName" in request) == ("ModelPackageGroupName" in request):
            raise invalid("Exactly one of ModelPackageName and ModelPackageGroupName is needed.")
        containers = request.get("InferenceSpecification", {}).get("Containers", [])
        if any("Image" not in container for container in containers):
            raise invalid("Each container of an InferenceSpecification needs an Image.")
        package = (
            {"ModelApprovalStatus": "PendingManualApproval"}
            | request
            | {
                "CreationTime": now(),
                "LastModifiedTime": now(),
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            }
        )
        with self._lock:
            if "ModelPackageGroupName" in request:
                group = self.describe_group(request)
                name = group["ModelPackageGroupName"]
                version = 1 + group.get("versions", 0)
                group["versions"] = version
                arn = self._names.arn("model-package", f"{name}/{version}")
                package |= {
                    "ModelPackageGroupName": name,
                    "ModelPackageVersion": version,
                    "ModelPackageName": f"{name}/{version}",
                }
            else:
                arn = self._names.arn("model-package", request["ModelPackageName"])
                package.pop("ModelApprovalStatus")
                if arn in self._packages:
                    raise invalid(f"Model Package already exists: {arn}")
            package["ModelPackageArn"] = arn
            self._packages[arn] = package
        self._announce(package)
        return {"ModelPackageArn": arn}

    def describe(self, request: Record) -> Record:
        """Answer DescribeModelPackage, by name or ARN."""
        return self._found(request["ModelPackageName"])

    def update(self, request: Record) -> Record:
        """Answer UpdateModelPackage: approval, and the customer's metadata."""
        package = self._found(request["ModelPackageArn"])
        with self._lock:
            metadata = dict(package.get("CustomerMetadataProperties", {}))
            metadata |= request.get("CustomerMetadataProperties", {})
            for name in request.get("CustomerMetadataPropertiesToRemove", []):
                metadata.pop(name, None)
            for name in ("ModelApprovalStatus", "ApprovalDescription", "ModelLifeCycle"):
                if name in request:
                    package[name] = request[name]
            package["CustomerMetadataProperties"] = metadata
            package["LastModifiedTime"] = now()
        self._announce(package)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def list_packages(self, request: Record) -> Record:
        """Answer ListModelPackages, the newest first, in one page."""
        group = None
        if "ModelPackageGroupName" in request:
            group = self.describe_group(request)["ModelPackageGroupName"]
        status = request.get("ModelApprovalStatus")
        found = [
            package
            for package in self._packages.values()
            if package.get("ModelPackageGroupName") == group
            and status in (None, package.get("ModelApprovalStatus"))
        ]
        found.sort(key=lambda package: package["CreationTime"])
        if request.get("SortOrder") != "Ascending":
            found.reverse()
        return {"ModelPackageSummaryList": found[: request.get("MaxResults", 100)]}

    def delete(self, request: Record) -> Record:
        """Answer DeleteModelPackage."""
        del self._packages[self._found(request["ModelPackageName"])["ModelPackageArn"]]
        return {}

    def containers(self, package: str) -> list[Record]:
        """Return the container definitions of a package, by name or ARN."""
        found = self._found(package).get("InferenceSpecification", {}).get("Containers", [])
        if not found:
            raise invalid(f"ModelPackage {package} has no InferenceSpecification.")
        return list(found)

    def _found(self, name: str) -> Record:
        arn = name if name.startswith("arn:") else self._names.arn("model-package", name)
        if arn not in self._packages:
            raise invalid(f"ModelPackage {arn} does not exist.")
        return self._packages[arn]

    def _announce(self, package: Record) -> None:
        shown = (
            "ModelPackageName",
            "ModelPackageGroupName",
            "ModelPackageVersion",
            "ModelPackageArn",
            "ModelPackageStatus",
            "ModelApprovalStatus",
            "InferenceSpecification",
            "CustomerMetadataProperties",
        )
        detail = {name: package[name] for name in shown if name in package}
        for name in ("CreationTime", "LastModifiedTime"):
            detail[name] = f"{package[name]:%Y-%m-%dT%H:%M:%SZ}"
        self._around.send_event(
            kind="SageMaker Model Package State Change",
            resources=[package["ModelPackageArn"]],
            detail=detail,
        )
