"""The deployment's buckets as the functions' stacks see them."""

from __future__ import annotations

import aws_cdk as cdk

from driftgauge.config import MonitorConfig
from stacks.deployment import Deployment

STORE_OUTPUT = "StoreBucketName"
CAPTURE_OUTPUT = "CaptureBucketName"


class Buckets:
    """The buckets' names, by the storage stack's outputs.

    Outputs rather than constructs, so that the references have names a person can read, and a
    bucket that somebody else made is referred to in the same way.
    """

    def __init__(self, *, deployment: Deployment) -> None:
        storage = deployment.stack_name("storage")
        self.store = cdk.Fn.get_stack_output(storage, STORE_OUTPUT)
        # None if all monitors name buckets that exist already.
        self.own_captures = (
            cdk.Fn.get_stack_output(storage, CAPTURE_OUTPUT)
            if any(monitor.capture.bucket is None for monitor in deployment)
            else None
        )

    def captures(self, monitor: MonitorConfig) -> str:
        """Return the name of the bucket that holds a monitor's captures."""
        name = monitor.capture.bucket or self.own_captures
        assert name is not None  # noqa: S101  # a monitor without a bucket makes the deployment's
        return name


def objects_arn(bucket: str, keys: str) -> str:
    """Return the ARN of objects in a bucket; ``*`` matches any run of characters."""
    return f"arn:{cdk.Aws.PARTITION}:s3:::{bucket}/{keys}"


def bucket_arn(bucket: str) -> str:
    """Return the ARN of a bucket."""
    return f"arn:{cdk.Aws.PARTITION}:s3:::{bucket}"
