"""The requests to SageMaker that a roll-out consists of.

New configurations are copies of the one that served before, so that encryption, network, capture
and scaling stay as they are; only variants are added, or get another model. That model is made
like the champion's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from driftgauge.rollout_settings import RollOutSettings, Stage, TrafficSettings
from lambdas.retraining import RollOutPlan

Record = dict[str, Any]

# What DescribeEndpointConfig tells besides what CreateEndpointConfig takes; and a role that only
# inference components use, which the state machine may not pass on.
_NOT_COPIED: Final = (
    *("EndpointConfigName", "EndpointConfigArn", "CreationTime", "ResponseMetadata"),
    "ExecutionRoleArn",
)
# What a challenger's model has of the champion's, besides the container's environment.
_OF_CHAMPION: Final = ("VpcConfig", "EnableNetworkIsolation")
# Time for new instances to start, in seconds, besides what the traffic is watched.
_START_UP: Final = 3600
_SHORTEST_LIMIT: Final = 600
_LONGEST_LIMIT: Final = 28_800


def config_name(monitor: str, version: str, stage: Stage) -> str:
    """Return what the endpoint configuration of a stage is called; at most 63 characters.

    Examples
    --------
    >>> config_name("loans", "20260701T000000Z-0a1b2c3d", "canary")
    'driftgauge-loans-20260701T000000Z-0a1b2c3d-canary'
    """
    return f"driftgauge-{monitor[:17]}-{version}-{stage}"


def containers_of(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the containers of a model as DescribeModel shows it."""
    if "PrimaryContainer" in model:
        return [model["PrimaryContainer"]]
    return list(model.get("Containers", []))


def model_of(config: Mapping[str, Any], variant: str) -> str:
    """Return the name of the model of a configuration's variant; empty if there is none."""
    variants = config["ProductionVariants"]
    return next(
        (str(one.get("ModelName", "")) for one in variants if one["VariantName"] == variant), ""
    )


def model_request(plan: RollOutPlan, *, champion: Mapping[str, Any], model_uri: str) -> Record:
    """Return the request for the challenger's model, which is reached as the champion's is.

    Parameters
    ----------
    plan : RollOutPlan
    champion : mapping
        The champion's model, of one container, as DescribeModel shows it.
    model_uri : str
        Where the training has put the challenger.

    Returns
    -------
    dict
        The request of CreateModel. Its environment is that of the champion's container, in
        which the roll-out's settings prevail.
    """
    (container,) = containers_of(champion)
    return {
        "ModelName": plan.model,
        "ExecutionRoleArn": plan.role_arn,
        "PrimaryContainer": {
            "Image": plan.image,
            "ModelDataUrl": model_uri,
            "Environment": {**container.get("Environment", {}), **plan.environment},
        },
        **{key: champion[key] for key in _OF_CHAMPION if key in champion},
    }


def stage_config(
    before: Mapping[str, Any],
    *,
    name: str,
    stage: Stage,
    champion: str,
    model: str,
    settings: RollOutSettings,
    weights: Mapping[str, float],
    instances: Mapping[str, int],
) -> Record:
    """Return the request for the endpoint configuration of a stage.

    Parameters
    ----------
    before : mapping
        The configuration that served before the roll-out, as DescribeEndpointConfig shows it.
    name : str
        Of the new configuration.
    stage : str
        Any but ``withdraw``, which needs no new one.
    champion : str
        The variant that serves.
    model : str
        The challenger's model.
    settings : RollOutSettings
    weights : mapping of str to float
        Of each production variant before the roll-out.
    instances : mapping of str to int
        How many instances each variant has now: scaling may have changed it.

    Returns
    -------
    dict
        The request of CreateEndpointConfig.
    """
    copied = {key: value for key, value in before.items() if key not in _NOT_COPIED}
    variants = [_as_it_serves(one, weights, instances) for one in before["ProductionVariants"]]
    served = next(one for one in variants if one["VariantName"] == champion)
    request: Record = {**copied, "EndpointConfigName": name, "ProductionVariants": variants}
    challenger = {**served, "VariantName": settings.challenger, "ModelName": model}
    if stage == "full":
        served["ModelName"] = model
        return request
    weight = served["InitialVariantWeight"]
    if stage == "shadow":
        # SageMaker copies the share of requests that is the quotient of the two weights.
        challenger["InitialVariantWeight"] = weight * settings.shadow.sampling
        request["ShadowProductionVariants"] = [challenger]
        return request
    challenger["InitialVariantWeight"] = 0.0
    request["ProductionVariants"] = [*variants, challenger]
    return request


def _as_it_serves(
    variant: Mapping[str, Any], weights: Mapping[str, float], instances: Mapping[str, int]
) -> Record:
    """Return a variant with the weight and the number of instances that it has now."""
    name = variant["VariantName"]
    changed: Record = {"InitialVariantWeight": weights.get(name, 1.0)}
    if instances.get(name, 0) > 0 and "InitialInstanceCount" in variant:
        changed["InitialInstanceCount"] = instances[name]
    return {**variant, **changed}


def update_request(endpoint: str, config: str, deployment: Record | None = None) -> Record:
    """Return the request of UpdateEndpoint.

    Variants keep their number of instances: that of an older configuration may be too small for
    today's traffic. Weights and capture are those of the configuration.
    """
    request: Record = {
        "EndpointName": endpoint,
        "EndpointConfigName": config,
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": [
            {"VariantPropertyType": "DesiredWeight"},
            {"VariantPropertyType": "DataCaptureConfig"},
        ],
    }
    return request if deployment is None else {**request, "DeploymentConfig": deployment}


def weights_request(endpoint: str, weights: Mapping[str, float]) -> Record:
    """Return the request of UpdateEndpointWeightsAndCapacities."""
    return {
        "EndpointName": endpoint,
        "DesiredWeightsAndCapacities": [
            {"VariantName": variant, "DesiredWeight": weight} for variant, weight in weights.items()
        ],
    }


def deployment_config(traffic: TrafficSettings, alarms: Sequence[str], *, instances: int) -> Record:
    """Return how the last stage shifts the traffic, and which alarms roll it back.

    Parameters
    ----------
    traffic : TrafficSettings
    alarms : sequence of str
        Their names.
    instances : int
        Of the smallest fleet. Traffic is shifted by turning on whole instances, half of them at
        most in the first step: one instance takes all at once, and ``bake`` watches it.

    Examples
    --------
    >>> deployment_config(TrafficSettings(shift="canary"), (), instances=1)[
    ...     "BlueGreenUpdatePolicy"
    ... ]["TrafficRoutingConfiguration"]
    {'Type': 'ALL_AT_ONCE', 'WaitIntervalInSeconds': 0}
    """
    routing: Record = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    if traffic.shift != "all_at_once" and instances > 1:
        size = "CanarySize" if traffic.shift == "canary" else "LinearStepSize"
        routing = {
            "Type": traffic.shift.upper(),
            "WaitIntervalInSeconds": int(traffic.wait.total_seconds()),
            size: {"Type": "CAPACITY_PERCENT", "Value": traffic.percent},
        }
    watched = int(traffic.watched.total_seconds())
    limit = min(max(watched + _START_UP, _SHORTEST_LIMIT), _LONGEST_LIMIT)
    deployment: Record = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": int(traffic.bake.total_seconds()),
            "MaximumExecutionTimeoutInSeconds": limit,
        }
    }
    if alarms:
        names = [{"AlarmName": alarm} for alarm in alarms]
        deployment["AutoRollbackConfiguration"] = {"Alarms": names}
    return deployment
