"""Why an endpoint, or the model it serves, cannot take part in a roll-out.

Found before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftgauge.rollout_settings import COMPARED
from lambdas.retraining import RollOutPlan
from lambdas.rollout_requests import containers_of


def refusal(
    plan: RollOutPlan, endpoint: Mapping[str, Any], config: Mapping[str, Any] | None, stage: str
) -> str:
    """Return what is wrong with an endpoint and what to do about it; empty if nothing is.

    Parameters
    ----------
    plan : RollOutPlan
        Its stages are all looked at, so that the last one is not refused after weeks.
    endpoint : mapping
        As DescribeEndpoint shows it.
    config : mapping or None
        Its configuration, as described; None if it was deleted.
    stage : str
        The first one.
    """
    if stage != plan.stages[0]:
        return (
            f"the record of this roll-out is gone, so that {stage} cannot follow on what came "
            "before: look at the endpoint, then start the retraining again"
        )
    name = plan.endpoint
    if config is None:
        return (
            f"endpoint configuration {endpoint.get('EndpointConfigName')} of endpoint {name} does "
            "not exist any more, and SageMaker updates no endpoint without: create it again"
        )
    variants = [str(one["VariantName"]) for one in config["ProductionVariants"]]
    if plan.champion not in variants:
        return (
            f"endpoint {name} has no variant {plan.champion}, only {', '.join(variants)}: set "
            "retraining.rollout.champion"
        )
    if "AsyncInferenceConfig" in config:
        return f"endpoint {name} is asynchronous: roll-outs need a real-time endpoint on instances"
    if any("ServerlessConfig" in one for one in config["ProductionVariants"]):
        return f"endpoint {name} is serverless: roll-outs need a real-time endpoint on instances"
    if any("ModelName" not in one for one in config["ProductionVariants"]):
        return (
            f"endpoint {name} serves inference components: roll-outs need variants that name their "
            "model"
        )
    if any(
        "ModelNameOverride" in pool
        for one in config["ProductionVariants"]
        for pool in one.get("InstancePools", [])
    ):
        return (
            f"endpoint {name} has instance pools with models of their own (ModelNameOverride), "
            "which would go on serving: give each variant one model for all its pools"
        )
    if not any(one in COMPARED for one in plan.stages):
        return ""
    return _cannot_compare(plan, config, variants)


def model_refusal(name: str, model: Mapping[str, Any] | None) -> str:
    """Return why no challenger can be made like the champion's model; empty if one can.

    Parameters
    ----------
    name : str
        Of the champion's model.
    model : mapping or None
        As DescribeModel shows it; None if it was deleted.
    """
    if model is None:
        return (
            f"model {name}, which the champion serves from, does not exist any more, so that the "
            "challenger's cannot be made like it (network, environment): create it again under "
            "this name, then start the retraining again"
        )
    containers = containers_of(model)
    if len(containers) != 1:
        return (
            f"model {name} is a pipeline of {len(containers)} containers: inference pipelines are "
            "not supported by roll-outs, which need a model of one container"
        )
    if containers[0].get("Mode") == "MultiModel":
        return (
            f"model {name} is a container of many models, which a single one cannot take the "
            "place of: multi-model endpoints are not supported by roll-outs"
        )
    return ""


def _cannot_compare(plan: RollOutPlan, config: Mapping[str, Any], variants: list[str]) -> str:
    """Return why a challenger cannot be compared with the champion; empty if it can."""
    name = plan.endpoint
    if len(variants) > 1:
        return (
            f"endpoint {name} has the production variants {', '.join(variants)}, but a challenger "
            "can be compared only where the champion serves alone: remove the others, or set "
            "retraining.rollout.strategy: direct"
        )
    if config.get("ShadowProductionVariants"):
        return (
            f"endpoint {name} has a shadow variant already: end that shadow test first, or set "
            "retraining.rollout.strategy: direct"
        )
    capture = config.get("DataCaptureConfig") or {}
    if not capture.get("EnableCapture", False):
        return (
            f"endpoint {name} captures nothing, so that nothing could be compared: turn on data "
            "capture of input and output"
        )
    sampled = capture.get("InitialSamplingPercentage", 0)
    if "shadow" in plan.stages and sampled != 100:
        return (
            f"endpoint {name} captures {sampled} % of the requests, and of the shadow's others, so "
            "that few pairs would be found: set InitialSamplingPercentage to 100"
        )
    return ""
