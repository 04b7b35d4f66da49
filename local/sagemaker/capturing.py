"""Data capture: records in SageMaker's format, written to S3 about once a minute."""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from driftgauge.capture.keys import capture_key
from driftgauge.windows import format_time
from local.sagemaker.surroundings import Location, Surroundings

_logger = logging.getLogger("sagemaker")
_MODES = {"INPUT": ("Input", "InputAndOutput"), "OUTPUT": ("Output", "InputAndOutput")}


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and its answer."""

    endpoint: str
    variant: str
    moment: datetime
    request: bytes
    request_type: str
    response: bytes
    response_type: str
    inference_id: str | None
    custom_attributes: str | None


class Captures:
    """Collects records and writes them in files, one for each variant and hour."""

    def __init__(self, *, around: Surroundings, dice: random.Random) -> None:
        self._around = around
        self._dice = dice
        self._waiting: dict[tuple[str, str, str, str], list[tuple[datetime, str]]] = {}
        self._lock = threading.Lock()

    def add(self, settings: Mapping[str, Any] | None, exchange: Exchange) -> None:
        """Keep an exchange, if it is to be captured and the sample includes it.

        Parameters
        ----------
        settings : mapping or None
            The endpoint configuration's ``DataCaptureConfig``.
        exchange : Exchange
        """
        if settings is None or not settings.get("EnableCapture", False):
            return
        if self._dice.random() * 100 >= settings["InitialSamplingPercentage"]:
            return
        hour = f"{exchange.moment.astimezone(UTC):%Y%m%d%H}"
        group = (settings["DestinationS3Uri"], exchange.endpoint, exchange.variant, hour)
        line = json.dumps(_record(settings, exchange), separators=(",", ":"))
        with self._lock:
            self._waiting.setdefault(group, []).append((exchange.moment, line))

    def write(self) -> None:
        """Write what has been kept; what cannot be written is logged and lost, as on AWS."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for (destination, endpoint, variant, _), records in waiting.items():
            folder = Location.parse(destination)
            key = capture_key(
                prefix=folder.key,
                endpoint=endpoint,
                variant=variant,
                moment=max(moment for moment, _ in records),
                unique=str(uuid.uuid4()),
            )
            data = "".join(f"{line}\n" for _, line in records).encode()
            try:
                self._around.write(
                    Location(folder.bucket, key), data, content_type="application/jsonlines"
                )
            except Exception:
                _logger.exception("%d captured records cannot be written", len(records))


def _record(settings: Mapping[str, Any], exchange: Exchange) -> dict[str, Any]:
    captured = {}
    wanted = {option["CaptureMode"] for option in settings["CaptureOptions"]}
    if wanted.intersection(_MODES["INPUT"]):
        captured["endpointInput"] = _payload(
            settings, "INPUT", exchange.request, exchange.request_type
        )
    if wanted.intersection(_MODES["OUTPUT"]):
        captured["endpointOutput"] = _payload(
            settings, "OUTPUT", exchange.response, exchange.response_type
        )
    metadata: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if exchange.custom_attributes is not None:
        metadata["customAttributes"] = [exchange.custom_attributes]
    if exchange.inference_id is not None:
        metadata["inferenceId"] = exchange.inference_id
    metadata["inferenceTime"] = format_time(exchange.moment.replace(microsecond=0))
    return {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}


def _payload(
    settings: Mapping[str, Any], mode: str, body: bytes, content_type: str
) -> dict[str, str]:
    encoding = _encoding(settings, content_type)
    if encoding != "BASE64":
        try:
            text = body.decode()
        except UnicodeDecodeError:
            encoding = "BASE64"
    if encoding == "BASE64":
        text = base64.b64encode(body).decode()
    return {
        "observedContentType": content_type,
        "mode": mode,
        "data": text,
        "encoding": encoding,
    }


def _encoding(settings: Mapping[str, Any], content_type: str) -> str:
    """Return the encoding of a payload: BASE64 unless its content type is listed."""
    kind = content_type.partition(";")[0].strip().lower()
    headers = settings.get("CaptureContentTypeHeader", {})
    for name, encoding in (("CsvContentTypes", "CSV"), ("JsonContentTypes", "JSON")):
        if kind in (one.lower() for one in headers.get(name, [])):
            return encoding
    return "BASE64"
