"""Deployments with guardrails: which share of the traffic goes where, for how long.

AWS documentation: "Deployment guardrails for updating models in production" in the Amazon
SageMaker AI Developer Guide: blue/green with all traffic at once, canary or linear, and rolling;
baking periods, automatic rollback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import invalid

Record = dict[str, Any]
_LARGEST_SHARE = 0.5
_SMALLEST_STEP = 0.1


@dataclass(frozen=True)
class Step:
    """From now on the new fleet gets ``share`` of the traffic; look after it for ``seconds``.

    ``setting`` names what the wait comes from.
    """

    share: float
    seconds: float
    setting: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a deployment goes: its steps, the alarms that end it, and its time limit in seconds."""

    steps: tuple[Step, ...]
    alarms: tuple[str, ...] = ()
    limit: float = 28_800.0


def plan_of(config: Record | None, *, instances: int) -> Plan:
    """Return the plan of a ``DeploymentConfig``; without one, all traffic at once.

    Parameters
    ----------
    config : mapping or None
    instances : int
        Instances of the new fleet, which sizes may be given in.

    Raises
    ------
    ApiError
        If the configuration contradicts itself.

    Examples
    --------
    >>> policy = {"TrafficRoutingConfiguration": {
    ...     "Type": "CANARY", "WaitIntervalInSeconds": 600,
    ...     "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25}},
    ...     "TerminationWaitInSeconds": 300}
    >>> plan = plan_of({"BlueGreenUpdatePolicy": policy}, instances=2)
    >>> [(step.share, step.seconds) for step in plan.steps]
    [(0.25, 600), (1.0, 300)]
    """
    config = config or {}
    if "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        raise invalid("Only one update policy can be used in a DeploymentConfig.")
    alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    names = tuple(alarm["AlarmName"] for alarm in alarms if "AlarmName" in alarm)
    if "RollingUpdatePolicy" in config:
        policy = config["RollingUpdatePolicy"]
        size = _share(policy["MaximumBatchSize"], instances, "MaximumBatchSize")
        steps = _linear(size, policy["WaitIntervalInSeconds"], last=None)
    else:
        policy = config.get("BlueGreenUpdatePolicy", {})
        steps = _blue_green(policy, instances)
    limit = policy.get("MaximumExecutionTimeoutInSeconds", 28_800)
    return Plan(steps=steps, alarms=names, limit=limit)


def _blue_green(policy: Record, instances: int) -> tuple[Step, ...]:
    last = Step(1.0, policy.get("TerminationWaitInSeconds", 0), "TerminationWaitInSeconds")
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    wait = routing.get("WaitIntervalInSeconds", 0)
    if routing["Type"] == "CANARY":
        if "CanarySize" not in routing:
            raise invalid("Traffic routing of type CANARY needs CanarySize.")
        size = _share(routing["CanarySize"], instances, "CanarySize")
        return (Step(size, wait, "WaitIntervalInSeconds"), last)
    if routing["Type"] == "LINEAR":
        if "LinearStepSize" not in routing:
            raise invalid("Traffic routing of type LINEAR needs LinearStepSize.")
        size = _share(routing["LinearStepSize"], instances, "LinearStepSize")
        if size < _SMALLEST_STEP:
            raise invalid("LinearStepSize has to be at least 10 % of the new fleet's capacity.")
        return _linear(size, wait, last=last)
    return (last,)


def _linear(size: float, wait: float, *, last: Step | None) -> tuple[Step, ...]:
    steps = []
    share = size
    while share < 1.0 - 1e-9:
        steps.append(Step(round(share, 6), wait, "WaitIntervalInSeconds"))
        share += size
    return (*steps, last or Step(1.0, wait, "WaitIntervalInSeconds"))


def _share(size: Record, instances: int, name: str) -> float:
    """Return a capacity size as a share of the new fleet."""
    share = size["Value"] / (100 if size["Type"] == "CAPACITY_PERCENT" else instances)
    if not 0 < share <= _LARGEST_SHARE:
        raise invalid(f"{name} has to be at most 50 % of the new fleet's capacity.")
    return float(share)
