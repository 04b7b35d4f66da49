"""One deployment: its name, its monitors, and the names of all that is found by name.

Everything else gets a generated name. Named are the resources that people type (functions, log
groups, state machines) and those that one stack's rules match in another stack's events (alarms).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from driftgauge.config import MonitorConfig, MonitorSet
from driftgauge.errors import ConfigError
from driftgauge.report.compatible_metrics import MonitorType, Publisher

# A state machine's name has 80 characters at most; "{deployment}-{monitor}-retraining" is ours.
_LONGEST_PAIR = 80 - len("--retraining")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A named set of monitors, deployed together as one group of stacks.

    Raises
    ------
    ConfigError
        If the name is not a short lower-case one, or too long together with a monitor's.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings
    >>> monitor = MonitorConfig(name="churn", endpoint=EndpointSettings(name="churn-v2"))
    >>> staging = Deployment(name="staging", monitors=MonitorSet(monitors=(monitor,)))
    >>> staging.alarm_name("churn", "AllTraffic", "feature-drift")
    'staging-churn-AllTraffic-feature-drift'
    """

    name: str
    monitors: MonitorSet

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", self.name):
            raise ConfigError(
                f"deployment {self.name!r}: a name is a letter and at most 29 more lower-case "
                "letters, digits and hyphens, as in: cdk deploy --all -c deployment=staging"
            )
        for monitor in self:
            if len(self.name) + len(monitor.name) > _LONGEST_PAIR:
                raise ConfigError(
                    f"monitor {monitor.name!r} in deployment {self.name!r}: the two names have "
                    f"more than {_LONGEST_PAIR} characters together; shorten one"
                )

    def __iter__(self) -> Iterator[MonitorConfig]:
        return iter(self.monitors.monitors)

    def stack_name(self, room: str) -> str:
        """Return the name of one of the deployment's stacks."""
        return f"{self.name}-{room}"

    def function_name(self, verb: str) -> str:
        """Return the name of the function that does one thing."""
        return f"{self.name}-{verb}"

    def log_group_name(self, verb: str) -> str:
        """Return the name of the log group of a function."""
        return f"/aws/lambda/{self.function_name(verb)}"

    def alarm_name(self, monitor: str, variant: str, kind: str) -> str:
        """Return the name of one alarm on one variant."""
        return f"{self.name}-{monitor}-{variant}-{kind}"

    def monitor_alarm_name(self, monitor: str) -> str:
        """Return the name of the composite alarm that stands for the whole monitor."""
        return f"{self.name}-{monitor}"

    def retraining_alarm_name(self, monitor: str, variant: str) -> str:
        """Return the name of the composite alarm that starts the retraining of a variant."""
        return self.alarm_name(monitor, variant, "retraining")

    def retraining_name(self, monitor: str) -> str:
        """Return the name of a monitor's retraining state machine."""
        return f"{self.name}-{monitor}-retraining"


def capture_folder(monitor: MonitorConfig) -> str:
    """Return the start of the keys of a monitor's capture objects.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings
    >>> capture_folder(MonitorConfig(name="churn", endpoint=EndpointSettings(name="churn-v2")))
    'captures/churn-v2/'
    """
    hosted = monitor.capture.is_hosted
    parts = (monitor.capture.prefix, monitor.endpoint.name if hosted else "")
    return "".join(f"{part}/" for part in parts if part)


def hook_places(scripts: Iterable[str | None]) -> list[str]:
    """Return the hooks that are read from S3; the others are part of the deployed code.

    Examples
    --------
    >>> hook_places(["s3://team/hooks/preprocess.py", "hooks/mine.py", None])
    ['s3://team/hooks/preprocess.py']
    """
    return sorted({script for script in scripts if script and script.startswith("s3://")})


def transform_places(deployment: Iterable[MonitorConfig]) -> list[str]:
    """Return the patterns of the objects that manifests of batch transforms point to."""
    return sorted({f"{place}*" for monitor in deployment for place in monitor.capture.data})


def ground_truth_folder(monitor: MonitorConfig) -> str:
    """Return the start of the keys of a monitor's ground-truth objects."""
    prefix = monitor.capture.ground_truth_prefix
    return f"{prefix}/" if prefix else ""


def compatible_namespaces(monitor: MonitorConfig) -> list[str]:
    """Return the namespaces of a monitor's metrics under Model Monitor's names; it may have none.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings, ModelMonitorMetricsSettings
    >>> settings = ModelMonitorMetricsSettings(schedule="churn-hourly")
    >>> endpoint = EndpointSettings(name="churn")
    >>> compatible_namespaces(
    ...     MonitorConfig(name="churn", endpoint=endpoint, model_monitor_metrics=settings)
    ... )
    ['aws/sagemaker/Endpoints/data-metrics']
    """
    settings = monitor.model_monitor_metrics
    if settings is None:
        return []
    endpoint = None if settings.batch else monitor.endpoint.name
    publisher = Publisher(
        schedule=settings.schedule, endpoint=endpoint, namespace=settings.namespace
    )
    kinds: dict[MonitorType, bool] = {
        "data": True,
        "model": monitor.outcomes is not None,
        "bias": monitor.bias is not None,
        "explainability": monitor.attribution is not None,
    }
    return sorted({publisher.namespace_of(kind) for kind, judged in kinds.items() if judged})
