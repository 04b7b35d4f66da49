#!/usr/bin/env python3
"""The CDK app: reads the monitors, composes the stacks. Nothing here calls AWS.

Context: ``-c deployment=NAME`` (default driftgauge) and ``-c monitors=FOLDER`` (default monitors).
"""

from __future__ import annotations

import sys
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from driftgauge.config import MonitorSet, load_monitors
from driftgauge.costs import estimate_deployment, summary_line
from driftgauge.errors import DriftgaugeError
from stacks.alerts import AlertsStack
from stacks.buckets import Buckets
from stacks.deployment import Deployment
from stacks.monitoring import MonitoringStack
from stacks.retraining import RetrainingStack
from stacks.storage import StorageStack


def compose(app: cdk.App, deployment: Deployment) -> None:
    """Add the stacks of a deployment to the app, in the order in which they are deployed."""
    buckets = Buckets(deployment=deployment)
    storage = StorageStack(app, "Storage", deployment=deployment)
    alerts = AlertsStack(app, "Alerts", deployment=deployment, buckets=buckets)
    monitoring = MonitoringStack(
        app, "Monitoring", deployment=deployment, buckets=buckets, topic=alerts.topic
    )
    stacks = [alerts, monitoring]
    if any(monitor.retraining.enabled for monitor in deployment):
        stacks.append(
            RetrainingStack(
                app,
                "Retraining",
                deployment=deployment,
                buckets=buckets,
                topic=alerts.topic,
                notify=alerts.notify,
                baseline=monitoring.baseline,
            )
        )
    for stack in stacks:
        stack.add_stack_dependency(storage)


def print_costs(monitors: MonitorSet) -> None:
    """Say on standard error what each monitor will cost; standard output is the CDK CLI's.

    Plain lines rather than annotations of the CDK, which end in the validation's report.
    """
    for estimate in estimate_deployment(monitors).monitors:
        print(f"cost: {summary_line(estimate)} (driftgauge cost)", file=sys.stderr)


def main() -> None:
    """Synthesize the deployment that the context names."""
    app = cdk.App()
    folder = app.node.try_get_context("monitors") or Path(__file__).parent / "monitors"
    name = app.node.try_get_context("deployment") or "driftgauge"
    try:
        monitors = load_monitors(Path(folder))
        compose(app, Deployment(name=name, monitors=monitors))
    except DriftgaugeError as error:
        sys.exit(f"error: {error}")
    print_costs(monitors)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()


if __name__ == "__main__":
    main()
