"""Endpoints: create, update with guardrails, shift weights, delete."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.sagemaker.catalogue import Catalogue, Record
from local.sagemaker.deployment import Plan, Step, plan_of
from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.fleets import Fleet, Variant, start_fleet
from local.sagemaker.images import ImageError, Images
from local.sagemaker.names import now
from local.sagemaker.pace import Pace
from local.sagemaker.surroundings import Surroundings

_logger = logging.getLogger("sagemaker")
_STABLE = ("InService",)
_EVENT_STATUS = {
    "Creating": "CREATING",
    "Updating": "UPDATING",
    "RollingBack": "ROLLING_BACK",
    "InService": "IN_SERVICE",
    "Deleting": "DELETING",
    "Failed": "FAILED",
}


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """An endpoint: the fleet that serves, and during a deployment the one that is to serve.

    ``share`` is the share of the traffic that the new fleet gets. ``lock`` guards all of it.
    """

    name: str
    arn: str
    config: str
    status: str = "Creating"
    fleet: Fleet | None = None
    new_fleet: Fleet | None = None
    share: float = 0.0
    pending: Record | None = None
    deployment: Record | None = None
    failure: str | None = None
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    lock: threading.RLock = field(default_factory=threading.RLock)


class DeploymentError(Exception):
    """The new fleet is not to serve; the message says why."""


class Endpoints:
    """The account's endpoints."""

    def __init__(
        self, *, catalogue: Catalogue, images: Images, around: Surroundings, pace: Pace
    ) -> None:
        self._catalogue = catalogue
        self._images = images
        self._around = around
        self._pace = pace
        self._endpoints: dict[str, Endpoint] = {}

    def find(self, name: str) -> Endpoint | None:
        """Return an endpoint by name; None if there is none."""
        return self._endpoints.get(name)

    def create(self, request: Record) -> Record:
        """Answer CreateEndpoint."""
        name = request["EndpointName"]
        self._catalogue.names.refuse_existing("endpoint", self._endpoints, name)
        config = self._catalogue.config(request["EndpointConfigName"])
        self._check_deployment(request.get("DeploymentConfig"), config)
        endpoint = Endpoint(
            name=name,
            arn=self._catalogue.names.arn("endpoint", name),
            config=config["EndpointConfigName"],
            deployment=request.get("DeploymentConfig"),
        )
        self._endpoints[name] = endpoint
        self._announce(endpoint)
        self._in_background(self._bring_up, endpoint, config)
        return {"EndpointArn": endpoint.arn}

    def _bring_up(self, endpoint: Endpoint, config: Record) -> None:
        try:
            endpoint.fleet = self._provision(config)
        except (ImageError, ApiError) as error:
            endpoint.failure = str(error)
            self._set_status(endpoint, "Failed")
            self._log(endpoint, f"the endpoint cannot be created: {error}")
        else:
            self._set_status(endpoint, "InService")

    def _provision(self, config: Record) -> Fleet:
        time.sleep(self._pace.provisioning)
        return start_fleet(
            config, catalogue=self._catalogue, images=self._images, around=self._around
        )

    def update(self, request: Record) -> Record:
        """Answer UpdateEndpoint: a deployment of another configuration."""
        endpoint = self._found(request["EndpointName"])
        config = self._catalogue.config(request["EndpointConfigName"])
        # AWS looks the present configuration up, too: one that is deleted cannot be left.
        self._catalogue.config(endpoint.config)
        retained = request.get("RetainDeploymentConfig", False)
        deployment = endpoint.deployment if retained else request.get("DeploymentConfig")
        plan = self._check_deployment(deployment, config)
        with endpoint.lock:
            self._require_stable(endpoint)
            if deployment is not None and endpoint.fleet is not None:
                _require_same_variants(endpoint.fleet, config)
            endpoint.deployment = deployment
            endpoint.failure = None
            endpoint.pending = {
                "EndpointConfigName": config["EndpointConfigName"],
                "StartTime": now(),
            }
            self._set_status(endpoint, "Updating")
        self._in_background(self._deploy, endpoint, config, plan, request)
        return {"EndpointArn": endpoint.arn}

    def _check_deployment(self, deployment: Record | None, config: Record) -> Plan:
        instances = sum(v["InitialInstanceCount"] for v in config["ProductionVariants"])
        plan = plan_of(deployment, instances=instances)
        if plan.alarms:
            unknown = set(plan.alarms) - self._around.alarm_states(plan.alarms).keys()
            if unknown:
                raise invalid(
                    f"Alarms of AutoRollbackConfiguration do not exist: {sorted(unknown)}"
                )
        return plan

    def _deploy(self, endpoint: Endpoint, config: Record, plan: Plan, request: Record) -> None:
        # What baking periods are longer than their share of the time is no reason to roll back.
        longer = sum(
            self._pace.baking(step.seconds) - self._pace.shortened(step.seconds)
            for step in plan.steps
        )
        deadline = time.monotonic() + self._pace.shortened(plan.limit) + longer
        try:
            fleet = self._provision(config)
            self._retain(endpoint, fleet, request)
            endpoint.new_fleet = fleet
            for step in plan.steps:
                self._shift(endpoint, fleet, step)
                self._bake(plan, step, deadline)
        except (DeploymentError, ImageError, ApiError) as error:
            self._roll_back(endpoint, str(error))
            return
        with endpoint.lock:
            endpoint.fleet, endpoint.config = fleet, fleet.config
            endpoint.new_fleet, endpoint.share, endpoint.pending = None, 0.0, None
            fleet.settle()
            self._set_status(endpoint, "InService")
        self._log(endpoint, f"serves {fleet.config}")

    def _retain(self, endpoint: Endpoint, fleet: Fleet, request: Record) -> None:
        """Keep weights, counts and capture of the old fleet, where the request says so."""
        if not request.get("RetainAllVariantProperties", False) or endpoint.fleet is None:
            return
        left_out = {
            one["VariantPropertyType"]
            for one in request.get("ExcludeRetainedVariantProperties", [])
        }
        for variant in fleet.variants:
            old = endpoint.fleet.variant(variant.name)
            if old is not None and "DesiredWeight" not in left_out:
                variant.weight, variant.desired_weight = old.weight, old.desired_weight
            if old is not None and "DesiredInstanceCount" not in left_out:
                variant.instances = old.instances
        if "DataCaptureConfig" not in left_out:
            fleet.capture = endpoint.fleet.capture

    def _shift(self, endpoint: Endpoint, fleet: Fleet, step: Step) -> None:
        with endpoint.lock:
            endpoint.share = step.share
            part = "full capacity" if step.share == 1.0 else f"{step.share:.0%} of the capacity"
            fleet.set_status(
                "Baking",
                f"Baking for {step.seconds:g} seconds ({step.setting}) with traffic enabled on "
                f"{part} of {fleet.instances} instance(s).",
            )
        self._log(endpoint, f"{fleet.config} gets {step.share:.0%} of the traffic")
        self._announce(endpoint, "SageMaker Endpoint Deployment State Change")

    def _bake(self, plan: Plan, step: Step, deadline: float) -> None:
        """Wait out a step's baking period.

        Raises
        ------
        DeploymentError
            If an alarm is in ALARM, or the deployment takes longer than it may.
        """
        end = time.monotonic() + self._pace.baking(step.seconds)
        while True:
            states = self._around.alarm_states(plan.alarms) if plan.alarms else {}
            ringing = sorted(name for name, state in states.items() if state == "ALARM")
            if ringing:
                raise DeploymentError(f"these alarms are in ALARM: {', '.join(ringing)}")
            left = end - time.monotonic()
            if left <= 0:
                return
            if time.monotonic() > deadline:
                raise DeploymentError(f"it takes longer than {plan.limit:g} seconds")
            time.sleep(min(left, self._pace.polling))

    def _roll_back(self, endpoint: Endpoint, reason: str) -> None:
        self._log(endpoint, f"the deployment is rolled back: {reason}")
        with endpoint.lock:
            endpoint.new_fleet, endpoint.share, endpoint.pending = None, 0.0, None
            self._set_status(endpoint, "RollingBack")
        time.sleep(self._pace.provisioning)
        self._set_status(endpoint, "InService")

    def update_weights(self, request: Record) -> Record:
        """Answer UpdateEndpointWeightsAndCapacities."""
        endpoint = self._found(request["EndpointName"])
        with endpoint.lock:
            self._require_stable(endpoint)
            changes: list[tuple[Variant, Record]] = []
            for desired in request["DesiredWeightsAndCapacities"]:
                variant = endpoint.fleet and endpoint.fleet.any_variant(desired["VariantName"])
                if not variant:
                    raise invalid(
                        f'Variant "{desired["VariantName"]}" does not exist on endpoint '
                        f'"{endpoint.arn}".'
                    )
                changes.append((variant, desired))
            for variant, desired in changes:
                variant.desired_weight = desired.get("DesiredWeight", variant.desired_weight)
            self._set_status(endpoint, "Updating")
        self._in_background(self._apply_weights, endpoint, changes)
        return {"EndpointArn": endpoint.arn}

    def _apply_weights(self, endpoint: Endpoint, changes: Sequence[tuple[Variant, Record]]) -> None:
        time.sleep(self._pace.provisioning)
        with endpoint.lock:
            for variant, desired in changes:
                variant.weight = variant.desired_weight
                variant.instances = desired.get("DesiredInstanceCount", variant.instances)
            self._set_status(endpoint, "InService")

    def delete(self, request: Record) -> Record:
        """Answer DeleteEndpoint."""
        endpoint = self._found(request["EndpointName"])
        with endpoint.lock:
            if endpoint.status != "Failed":
                self._require_stable(endpoint)
            self._set_status(endpoint, "Deleting")
        self._in_background(self._take_down, endpoint)
        return {}

    def _take_down(self, endpoint: Endpoint) -> None:
        time.sleep(self._pace.provisioning)
        del self._endpoints[endpoint.name]

    def describe(self, request: Record) -> Record:
        """Answer DescribeEndpoint."""
        return self._described(self._found(request["EndpointName"]))

    def _described(self, endpoint: Endpoint) -> Record:
        with endpoint.lock:
            shown: Record = {
                "EndpointName": endpoint.name,
                "EndpointArn": endpoint.arn,
                "EndpointConfigName": endpoint.config,
                "EndpointStatus": endpoint.status,
                "CreationTime": endpoint.created,
                "LastModifiedTime": endpoint.modified,
                "FailureReason": endpoint.failure,
                "LastDeploymentConfig": endpoint.deployment,
            }
            fleet = endpoint.fleet
            if fleet is not None:
                shown |= _variants_of(fleet)
                if fleet.capture is not None:
                    shown["DataCaptureConfig"] = {
                        "EnableCapture": fleet.capture.get("EnableCapture", False),
                        "CaptureStatus": "Started"
                        if fleet.capture.get("EnableCapture", False)
                        else "Stopped",
                        "CurrentSamplingPercentage": fleet.capture["InitialSamplingPercentage"],
                        "DestinationS3Uri": fleet.capture["DestinationS3Uri"],
                        "KmsKeyId": fleet.capture.get("KmsKeyId", ""),
                    }
            if endpoint.pending is not None:
                new = endpoint.new_fleet
                shown["PendingDeploymentSummary"] = endpoint.pending | (
                    {} if new is None else _variants_of(new)
                )
            return shown

    def _found(self, name: str) -> Endpoint:
        return self._catalogue.names.found("endpoint", self._endpoints, name)

    def _require_stable(self, endpoint: Endpoint) -> None:
        if endpoint.status == "Failed":
            raise invalid(f'Cannot update failed endpoint "{endpoint.arn}".')
        if endpoint.status not in _STABLE:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')

    def _set_status(self, endpoint: Endpoint, status: str) -> None:
        with endpoint.lock:
            endpoint.status = status
            endpoint.modified = now()
        self._announce(endpoint)

    def _announce(self, endpoint: Endpoint, kind: str = "SageMaker Endpoint State Change") -> None:
        detail = _in_milliseconds(self._described(endpoint))
        detail["EndpointStatus"] = _EVENT_STATUS[endpoint.status]
        detail["Tags"] = {}
        self._around.send_event(kind=kind, resources=[endpoint.arn], detail=detail)

    def _log(self, endpoint: Endpoint, text: str) -> None:
        _logger.info("endpoint %s: %s", endpoint.name, text)

    def _in_background(self, work: Callable[..., None], endpoint: Endpoint, *more: Any) -> None:
        def run() -> None:
            try:
                work(endpoint, *more)
            except Exception:
                _logger.exception("endpoint %s: %s failed", endpoint.name, work.__name__)
                endpoint.failure = "InternalFailure"
                endpoint.status = "Failed"

        threading.Thread(target=run, name=f"endpoint-{endpoint.name}", daemon=True).start()


def _require_same_variants(fleet: Fleet, config: Record) -> None:
    """Refuse what deployment guardrails exclude: a configuration with other variant names.

    AWS documentation: "Exclusions" of "Deployment guardrails for updating models in production".
    """
    old = sorted(variant.name for variant in fleet.variants)
    new = sorted(variant["VariantName"] for variant in config["ProductionVariants"])
    if old != new:
        raise invalid(
            "With a DeploymentConfig, the new endpoint configuration must have the same variant "
            f"names as the old one: {old} are to become {new}."
        )


def _variants_of(fleet: Fleet) -> Record:
    shown: Record = {"ProductionVariants": [variant.summary() for variant in fleet.variants]}
    if fleet.shadow is not None:
        shown["ShadowProductionVariants"] = [fleet.shadow.summary()]
    return shown


def _in_milliseconds(value: Any) -> Any:
    """Return a description as an event's detail shows it: no nulls, moments as milliseconds."""
    if isinstance(value, dict):
        return {name: _in_milliseconds(v) for name, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_in_milliseconds(item) for item in value]
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else value
