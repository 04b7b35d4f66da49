"""What fits into one deployment, said before CloudFormation says it less clearly."""

from __future__ import annotations

import aws_cdk as cdk

from driftgauge.errors import ConfigError

# CloudFormation's limit; one is kept for the metadata resource that the CDK adds at synth.
RESOURCES_PER_STACK = 500 - 1
# What fits of the smallest: one variant each.
MONITORS_THAT_FIT = 22


def check_size(stack: cdk.Stack, *, monitors: int) -> None:
    """Fail if a stack has more resources than CloudFormation takes.

    Raises
    ------
    ConfigError
        With the number of resources and the way out: a second deployment.
    """
    resources = sum(isinstance(child, cdk.CfnResource) for child in stack.node.find_all())
    if resources > RESOURCES_PER_STACK:
        raise ConfigError(
            f"stack {stack.stack_name} would have {resources} resources for {monitors} monitors, "
            f"more than CloudFormation's {RESOURCES_PER_STACK} (about {MONITORS_THAT_FIT} monitors "
            "of one variant each fit, fewer with more variants): keep some of the monitors in "
            "another folder and deploy them as a second deployment, with "
            "cdk deploy --all -c deployment=NAME -c monitors=FOLDER"
        )
