"""InvokeEndpoint: which variant answers, what the shadow gets, what is captured and counted."""

from __future__ import annotations

import logging
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.sagemaker.capturing import Captures, Exchange
from local.sagemaker.endpoints import Endpoint, Endpoints
from local.sagemaker.errors import ApiError, refused_invocation
from local.sagemaker.fleets import Fleet, Variant
from local.sagemaker.images import ContainerError, Reply
from local.sagemaker.metering import Meter
from local.sagemaker.names import Names, now

_logger = logging.getLogger("sagemaker")
_SERVING = ("InService", "Updating", "RollingBack", "SystemUpdating")


@dataclass(frozen=True)
class Invoked:
    """What the caller of an endpoint gets."""

    reply: Reply
    variant: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, and when it came."""

    body: bytes
    content_type: str
    accept: str | None
    inference_id: str | None
    custom_attributes: str | None
    moment: datetime


class Invocations:
    """The runtime's side of the endpoints."""

    def __init__(
        self,
        *,
        endpoints: Endpoints,
        names: Names,
        captures: Captures,
        meter: Meter,
        dice: random.Random,
    ) -> None:
        self._endpoints = endpoints
        self._names = names
        self._captures = captures
        self._meter = meter
        self._dice = dice
        self._shadows = ThreadPoolExecutor(max_workers=2, thread_name_prefix="shadow")
        self._in_flight: set[Future[None]] = set()

    def invoke(self, request: dict[str, Any], *, moment: datetime | None = None) -> Invoked:
        """Answer InvokeEndpoint.

        Parameters
        ----------
        request : dict
            Members of the input shape.
        moment : datetime, optional
            Inference time of the capture; default: now.

        Raises
        ------
        ApiError
            ValidationError if nothing can answer, ModelError if the model's container refuses.
        """
        began = time.perf_counter()
        endpoint = self._serving(request["EndpointName"])
        fleet, variant = self._choose(endpoint, request.get("TargetVariant"))
        call = Call(
            body=request.get("Body", b""),
            content_type=request.get("ContentType", "application/octet-stream"),
            accept=request.get("Accept"),
            inference_id=request.get("InferenceId"),
            custom_attributes=request.get("CustomAttributes"),
            moment=moment or now(),
        )
        if fleet.shadows(variant, self._dice):
            self._send_to_shadow(endpoint, fleet, call)
        reply = self._serve(endpoint, fleet, variant, call, began=began)
        return Invoked(reply, variant.name)

    def settle(self) -> None:
        """Wait for the shadows' requests that are under way."""
        wait(set(self._in_flight))

    def _serving(self, name: str) -> Endpoint:
        endpoint = self._endpoints.find(name)
        if endpoint is None:
            raise refused_invocation(f"Endpoint {name} of account {self._names.account} not found.")
        if endpoint.status not in _SERVING or endpoint.fleet is None:
            raise refused_invocation(
                f"Endpoint {name} of account {self._names.account} is not in service: its status "
                f"is {endpoint.status}."
            )
        return endpoint

    def _choose(self, endpoint: Endpoint, target: str | None) -> tuple[Fleet, Variant]:
        with endpoint.lock:
            assert endpoint.fleet is not None  # noqa: S101 - _serving() has looked
            fleets = [endpoint.fleet]
            if endpoint.new_fleet is not None:
                first = self._dice.random() < endpoint.share
                fleets.insert(0 if first else 1, endpoint.new_fleet)
            if target is None:
                return fleets[0], fleets[0].choose(self._dice)
            for fleet in fleets:
                variant = fleet.variant(target)
                if variant is not None:
                    return fleet, variant
        raise refused_invocation(
            f"Variant {target} not found for endpoint {endpoint.name} of account "
            f"{self._names.account}."
        )

    def _send_to_shadow(self, endpoint: Endpoint, fleet: Fleet, call: Call) -> None:
        shadow = fleet.shadow
        assert shadow is not None  # noqa: S101 - Fleet.shadows() has looked

        def run() -> None:
            try:
                self._serve(endpoint, fleet, shadow, call, began=time.perf_counter())
            except ApiError as error:
                _logger.info("shadow %s of %s: %s", shadow.name, endpoint.name, error)

        future = self._shadows.submit(run)
        self._in_flight.add(future)
        future.add_done_callback(self._in_flight.discard)

    def _serve(
        self, endpoint: Endpoint, fleet: Fleet, variant: Variant, call: Call, *, began: float
    ) -> Reply:
        started = time.perf_counter()
        refusal: ContainerError | None = None
        try:
            reply = variant.serve(call.body, call.content_type, call.accept)
        except ContainerError as error:
            refusal = error
        except Exception as error:
            _logger.warning("variant %s of %s raised", variant.name, endpoint.name, exc_info=True)
            refusal = ContainerError(500, f"{type(error).__name__}: {error}")
        ended = time.perf_counter()
        self._meter.count(
            endpoint=endpoint.name,
            variant=variant.name,
            config=fleet.config,
            status=refusal.status if refusal else 200,
            model_seconds=ended - started,
            overhead_seconds=started - began,
        )
        if refusal is not None:
            raise self._model_error(endpoint, refusal)
        self._captures.add(
            fleet.capture,
            Exchange(
                endpoint=endpoint.name,
                variant=variant.name,
                moment=call.moment,
                request=call.body,
                request_type=call.content_type,
                response=reply.body,
                response_type=reply.content_type,
                inference_id=call.inference_id,
                custom_attributes=call.custom_attributes,
            ),
        )
        return reply

    def _model_error(self, endpoint: Endpoint, refusal: ContainerError) -> ApiError:
        kind = "server" if refusal.status >= 500 else "client"
        group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
        return ApiError(
            "ModelError",
            f'Received {kind} error ({refusal.status}) from primary with message "{refusal}".',
            status=424,
            members={
                "OriginalStatusCode": refusal.status,
                "OriginalMessage": str(refusal),
                "LogStreamArn": f"arn:aws:logs:{self._names.region}:{self._names.account}:"
                f"log-group:{group}",
            },
        )
