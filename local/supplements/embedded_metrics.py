"""Metrics written as log lines become CloudWatch metrics.

AWS documentation: "Specification: Embedded metric format" in the Amazon CloudWatch User Guide.
CloudWatch Logs extracts metrics from every log event that is such a JSON document, whether a
function printed it or PutLogEvents carried it; ministack stores the line and no more. Extraction
is immediate here, where AWS takes seconds.

A document that breaks the specification yields nothing, and is counted as AWS does in
``AWS/Logs`` ``EMFValidationErrors``. A time more than two weeks ago or two hours ahead is
refused. ``StorageResolution`` is checked and not needed: values keep their own second.

ministack also copies every metric anew at every request, to forget what is older than two weeks,
and loses a value that arrives in that moment. Nothing here lives that long, so it does not.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs

from local.supplements.alarm_evaluation import request_evaluation

_OLDEST_SECONDS = 14 * 24 * 3600
_FARTHEST_SECONDS = 2 * 3600
_MOST_VALUES = 100
_MOST_DIMENSIONS = 30
_storing = threading.Lock()


class InvalidDocumentError(ValueError):
    """A log event has an ``_aws`` member that breaks the specification."""


@dataclass(frozen=True)
class Datum:
    """All values of one metric in one log event, under one set of dimensions."""

    namespace: str
    name: str
    unit: str
    dimensions: Mapping[str, str]
    values: Sequence[float]
    timestamp: float


def install() -> None:
    """Read every log event on its way into a log stream."""
    append = cloudwatch_logs._append_log_events

    def append_and_extract(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        append(stream, events)
        documents = [event["message"] for event in events if '"_aws"' in event["message"]]
        for document in documents:
            _publish(document)
        if documents:
            request_evaluation()

    cloudwatch_logs._append_log_events = append_and_extract
    cloudwatch._evict_old_metrics = lambda: None


def _publish(message: str) -> None:
    try:
        data = list(extract(message))
    except InvalidDocumentError:
        cloudwatch.record_metric("AWS/Logs", "EMFValidationErrors", 1, "Count")
        return
    with _storing:  # two functions may be the first to write to one metric
        for datum in data:
            cloudwatch._store_datum(
                datum.namespace,
                datum.name,
                dict(datum.dimensions),
                datum.timestamp,
                datum.unit,
                None,
                list(datum.values),
                None,
                None,
            )


def extract(message: str, *, now: float | None = None) -> Iterator[Datum]:
    """Yield the metrics a log message carries; none if it is not in embedded metric format.

    Examples
    --------
    >>> line = json.dumps({
    ...     "_aws": {"Timestamp": 1000, "CloudWatchMetrics": [{
    ...         "Namespace": "driftgauge", "Dimensions": [["Monitor"]],
    ...         "Metrics": [{"Name": "WindowRows", "Unit": "Count"}]}]},
    ...     "Monitor": "flights", "WindowRows": [10, 20]})
    >>> [datum] = extract(line, now=2.0)
    >>> datum.name, datum.dimensions, datum.values, datum.timestamp
    ('WindowRows', {'Monitor': 'flights'}, [10.0, 20.0], 1.0)
    """
    try:
        document = json.loads(message)
    except ValueError:
        return
    if not isinstance(document, dict) or not isinstance(document.get("_aws"), dict):
        return
    metadata = document["_aws"]
    timestamp = _timestamp(metadata, time.time() if now is None else now)
    directives = metadata.get("CloudWatchMetrics")
    if not isinstance(directives, list):
        raise InvalidDocumentError("CloudWatchMetrics must be an array")
    for directive in directives:
        yield from _directive(document, directive, timestamp)


def _timestamp(metadata: Mapping[str, Any], now: float) -> float:
    milliseconds = metadata.get("Timestamp")
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise InvalidDocumentError("Timestamp must be milliseconds since 1970")
    seconds = milliseconds / 1000
    if not now - _OLDEST_SECONDS <= seconds <= now + _FARTHEST_SECONDS:
        raise InvalidDocumentError("Timestamp is too old or in the future")
    return seconds


def _directive(document: dict[str, Any], directive: Any, timestamp: float) -> Iterator[Datum]:
    try:
        namespace = str(directive["Namespace"])
        definitions = list(directive["Metrics"])
        sets = [_dimensions(document, names) for names in directive.get("Dimensions") or [[]]]
        for definition in definitions:
            if definition["Name"] not in document:
                continue  # the specification skips a metric without a target
            if int(definition.get("StorageResolution", 60)) not in (1, 60):
                raise InvalidDocumentError("StorageResolution must be 1 or 60")
            values = _values(document[definition["Name"]])
            for dimensions in sets:
                yield Datum(
                    namespace=namespace,
                    name=str(definition["Name"]),
                    unit=str(definition.get("Unit", "None")),
                    dimensions=dimensions,
                    values=values,
                    timestamp=timestamp,
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidDocumentError(str(error)) from error


def _dimensions(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    if len(names) > _MOST_DIMENSIONS:
        raise InvalidDocumentError("too many dimensions")
    found = {name: document[name] for name in names}
    if not all(isinstance(value, str) and value for value in found.values()):
        raise InvalidDocumentError("a dimension's value must be a string")
    return found


def _values(target: Any) -> list[float]:
    values = target if isinstance(target, list) else [target]
    if len(values) > _MOST_VALUES:
        raise InvalidDocumentError("a metric has more than 100 values")
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise InvalidDocumentError("a metric's value must be a finite number")
    return [float(value) for value in values]
