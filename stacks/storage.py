"""What is kept: the store, the captures, and who accessed them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from driftgauge.config import MonitorConfig, OutcomeSettings
from stacks.buckets import CAPTURE_OUTPUT, STORE_OUTPUT
from stacks.deployment import Deployment

# How long each room of the store is kept, in days. Baselines, models, reports, attributions and
# the pointer are kept for good: they are small, and they are the record of what was decided.
ROOM_DAYS = {
    # A year and a month, so that a window can be compared with the same one a year before.
    "profiles": 400,
    # As long as what they are the sums of.
    "rollups": 400,
    # Both hold rows of the traffic itself: no longer than somebody may want to look.
    "quarantine": 30,
    "retraining": 90,
    # Links that nobody can use any more, and what was answered through them.
    "approvals": 90,
}
# What labels are joined with, and rows that are explained: for as long as labels may come.
OUTCOME_ROOMS = ("predictions", "labels", "samples")
# Somebody may have to redrive a queue whose messages live for two weeks.
OUTCOME_MARGIN_DAYS = 14
REPLACED_VERSION_DAYS = 30
# Rooms whose replaced versions nobody looks at: a rollup is written again at each evaluation, and
# made anew when it is not there; sums of predictions and the labels that still wait likewise.
WORTHLESS_VERSIONS = ("rollups", *OUTCOME_ROOMS)
ACCESS_LOG_DAYS = 90


class StorageStack(cdk.Stack):
    """The buckets. They outlive the deployment: deleting the stack keeps them.

    Encryption is with keys that S3 manages. A customer key would add a request to KMS for each of
    the thousands of small profiles that a window merges, and a key policy that every writer of
    captures must be in; the bucket policy already decides who reads.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: Deployment, **kwargs: Any
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=deployment.stack_name("storage"),
            description="driftgauge: what was captured, measured and decided",
            termination_protection=True,
            **kwargs,
        )
        self._access_logs = s3.Bucket(
            self,
            "AccessLogs",
            lifecycle_rules=[
                s3.LifecycleRule(id="old-logs", expiration=cdk.Duration.days(ACCESS_LOG_DAYS)),
                _clean(),
            ],
            **_PROTECTED,
        )
        store = self._bucket("Store", versioned=True)
        store.add_lifecycle_rule(
            id="replaced-versions",
            noncurrent_version_expiration=cdk.Duration.days(REPLACED_VERSION_DAYS),
            expired_object_delete_marker=True,
        )
        for monitor in deployment:
            for room, days in room_days(monitor).items():
                store.add_lifecycle_rule(
                    id=f"{monitor.name}-{room}",
                    prefix=f"{monitor.name}/{room}/",
                    expiration=cdk.Duration.days(days),
                    noncurrent_version_expiration=(
                        cdk.Duration.days(1) if room in WORTHLESS_VERSIONS else None
                    ),
                )
            if monitor.compared_kinds:
                # The last look stands, and is kept: it is the record of what was decided.
                store.add_lifecycle_rule(
                    id=f"{monitor.name}-experiments",
                    prefix=f"{monitor.name}/experiments/",
                    noncurrent_version_expiration=cdk.Duration.days(1),
                )
        cdk.CfnOutput(self, STORE_OUTPUT, value=store.bucket_name)
        if any(monitor.capture.bucket is None for monitor in deployment):
            # Captures never expire by themselves: they are the only raw record of the traffic,
            # and how long it may be kept is for its owner to say.
            captures = self._bucket("Captures", versioned=False)
            cdk.CfnOutput(self, CAPTURE_OUTPUT, value=captures.bucket_name)

    def _bucket(self, construct_id: str, *, versioned: bool) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            construct_id,
            versioned=versioned,
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            lifecycle_rules=[_clean()],
            **_PROTECTED,
        )
        # The plain property. The L2's event_bridge_enabled deploys a function to set it.
        cfn_bucket = bucket.node.default_child
        assert isinstance(cfn_bucket, s3.CfnBucket)  # noqa: S101  # for the type checker
        cfn_bucket.add_property_override(
            "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True
        )
        return bucket


def room_days(monitor: MonitorConfig) -> dict[str, int]:
    """Return how long the rooms of a monitor are kept that are not kept for good, in days.

    Rooms of outcomes are among them whether or not the monitor has outcomes now: rows that it
    kept when it had must go, too.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings
    >>> days = room_days(MonitorConfig(name="churn", endpoint=EndpointSettings(name="churn")))
    >>> days["retraining"], days["predictions"]
    (90, 105)
    """
    lookback = (monitor.outcomes or OutcomeSettings()).lookback
    needed = math.ceil((lookback + monitor.window) / timedelta(days=1)) + OUTCOME_MARGIN_DAYS
    # Working files of a retraining lie beside the record that its cool-down looks at.
    retraining = max(ROOM_DAYS["retraining"], monitor.retraining.cooldown.days + 1)
    approvals = max(ROOM_DAYS["approvals"], monitor.retraining.approval_timeout.days + 1)
    # A label makes its window be evaluated again, which starts from the window's profiles.
    summed = {room: max(ROOM_DAYS[room], needed) for room in ("profiles", "rollups")}
    outcomes = dict.fromkeys(OUTCOME_ROOMS, needed)
    waiting = {"retraining": retraining, "approvals": approvals}
    return {**ROOM_DAYS, **waiting, **summed, **outcomes}


_PROTECTED: dict[str, Any] = {
    "encryption": s3.BucketEncryption.S3_MANAGED,
    "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
    "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    "enforce_ssl": True,
    "removal_policy": cdk.RemovalPolicy.RETAIN,
}


def _clean() -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="unfinished-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(7)
    )
