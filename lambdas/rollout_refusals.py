"""Why an endpoint cannot take part in a roll-out: found before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftgauge.rollout_settings import COMPARED
from lambdas.retraining import RollOutPlan


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
    if not any(one in COMPARED for one in plan.stages):
        return ""
    return _cannot_compare(plan, config, variants)


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
