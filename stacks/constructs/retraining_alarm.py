"""The alarm that starts a retraining where it takes several alarms at once."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConfigError
from stacks.deployment import Deployment

RULE_CHARACTERS = 10_240


def needs_retraining_alarm(monitor: MonitorConfig) -> bool:
    """Return whether one of the triggers of a monitor consists of several alarms."""
    return monitor.retraining.enabled and any(
        len(kinds) > 1 for kinds in monitor.retraining_triggers
    )


def starting_alarms(deployment: Deployment, monitor: MonitorConfig, variant: str) -> list[str]:
    """Return the names of the alarms of which each starts a retraining when it rings.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings, MonitorSet, RetrainingSettings
    >>> monitor = MonitorConfig(
    ...     name="churn",
    ...     endpoint=EndpointSettings(name="churn"),
    ...     prediction="score",
    ...     label="label",
    ...     retraining=RetrainingSettings(enabled=True),
    ... )
    >>> deployment = Deployment(name="staging", monitors=MonitorSet(monitors=(monitor,)))
    >>> starting_alarms(deployment, monitor, "AllTraffic")
    ['staging-churn-AllTraffic-retraining']
    """
    if needs_retraining_alarm(monitor):
        return [deployment.retraining_alarm_name(monitor.name, variant)]
    kinds = dict.fromkeys(kind for all_of in monitor.retraining_triggers for kind in all_of)
    return [deployment.alarm_name(monitor.name, variant, kind) for kind in kinds]


def retraining_alarm(
    scope: Construct,
    *,
    deployment: Deployment,
    monitor: MonitorConfig,
    variant: str,
    children: Sequence[cloudwatch.AlarmBase],
) -> cloudwatch.CompositeAlarm:
    """Make the alarm that rings when all alarms of any trigger do.

    It has no actions, and tells nobody: its children are in the monitor's own alarm, which does.

    Raises
    ------
    ConfigError
        If the triggers are longer than CloudWatch takes.
    """
    rule = " OR ".join(
        _all_of([deployment.alarm_name(monitor.name, variant, kind) for kind in kinds])
        for kinds in monitor.retraining_triggers
    )
    if len(rule) > RULE_CHARACTERS:
        raise ConfigError(
            f"monitor {monitor.name!r}: retraining.triggers make a rule of {len(rule)} characters, "
            f"more than the {RULE_CHARACTERS} of a composite alarm: shorten the names or the list"
        )
    words = "; or ".join(" and ".join(kinds) for kinds in monitor.retraining_triggers)
    alarm = cloudwatch.CompositeAlarm(
        scope,
        "retraining",
        composite_alarm_name=deployment.retraining_alarm_name(monitor.name, variant),
        alarm_description=(
            f"Monitor {monitor.name}, variant {variant}: what retraining.triggers ask for rings "
            f"({words}). Nobody is told by this alarm: going into ALARM, it starts the state "
            f"machine {deployment.retraining_name(monitor.name)}."
        )[:1024],
        alarm_rule=cloudwatch.AlarmRule.from_string(rule),
    )
    # The rule names them, so CloudFormation has to be told to make them first.
    alarm.node.add_dependency(*children)
    return alarm


def _all_of(names: Sequence[str]) -> str:
    term = " AND ".join(f'ALARM("{name}")' for name in names)
    return f"({term})" if len(names) > 1 else term
