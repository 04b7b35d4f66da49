"""Approve and reject links: a public URL that takes a human's answer to a retraining's question."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from driftgauge.config import MonitorConfig
from stacks.constructs.function import Function, FunctionDefaults
from stacks.deployment import Deployment
from stacks.rollout import machine_arns


def asking(deployment: Deployment) -> list[MonitorConfig]:
    """Return the monitors whose retraining asks for approval with links in the message."""
    return [
        monitor
        for monitor in deployment
        if monitor.retraining.enabled
        and monitor.retraining.approval
        and monitor.retraining.approval_links
    ]


def add_approval_links(notify: Function, *, defaults: FunctionDefaults) -> None:
    """Make the function behind the links, and let ``notify`` write links to it."""
    stack = cdk.Stack.of(notify)
    approve = Function(
        stack,
        "Approve",
        verb="approve",
        description="Takes the answer of whoever approves or rejects a new model by a link",
        defaults=defaults,
        memory_mb=512,
        # Shorter than the claim on an answer, see lambdas/approvals.py.
        timeout=cdk.Duration.seconds(20),
    )
    approve.read_store("approvals/*")
    approve.write_store("approvals/*")
    names = [monitor.name for monitor in asking(defaults.deployment)]
    machines = machine_arns(stack, defaults.deployment, names)
    approve.role.add_to_policy(
        iam.PolicyStatement(
            actions=["states:SendTaskSuccess", "states:SendTaskFailure"], resources=machines
        )
    )
    # Who holds a link may answer: people who read mail and chats have no AWS credentials. This
    # also grants the two permissions that AWS asks for since October 2025.
    url = approve.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)
    notify.write_store("approvals/*")
    notify.function.add_environment("APPROVAL_URL", url.url)
