"""Requests and answers against botocore's model of the service.

SageMaker's own front end checks requests against the same model: members that are missing or not
known, types, lengths, ranges, patterns and enumerations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StructureShape,
)
from botocore.validate import ParamValidator

from local.sagemaker.errors import invalid


@cache
def service_model(name: str) -> ServiceModel:
    """Return the model of ``sagemaker`` or ``sagemaker-runtime``."""
    return botocore.session.get_session().get_service_model(name)


def checked_request(operation: OperationModel, request: Any) -> dict[str, Any]:
    """Return a request without its nulls.

    Raises
    ------
    ApiError
        ValidationException, if the operation's input shape forbids anything in it.
    """
    if not isinstance(request, dict):
        raise invalid("the request is not a JSON object")
    known: dict[str, Any] = _without_nulls(request)
    shape = operation.input_shape
    if shape is None:
        return known
    report = ParamValidator().validate(known, shape)
    if report.has_errors():
        raise invalid(report.generate_report())
    broken = list(_broken_constraints(shape, known, ""))
    if broken:
        plural = "" if len(broken) == 1 else "s"
        raise invalid(f"{len(broken)} validation error{plural} detected: " + "; ".join(broken))
    return known


def answer_of(operation: OperationModel, answer: Mapping[str, Any]) -> bytes:
    """Encode an answer as JSON: only members of the output shape, moments as epoch seconds."""
    shape = operation.output_shape
    return b"" if shape is None else json.dumps(_encoded(shape, dict(answer))).encode()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _encoded(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return {
            name: _encoded(shape.members[name], item)
            for name, item in value.items()
            if name in shape.members and item is not None
        }
    if isinstance(shape, ListShape):
        return [_encoded(shape.member, item) for item in value]
    if shape.type_name == "timestamp" and isinstance(value, datetime):
        return round(value.timestamp(), 3)
    return value


def _broken_constraints(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Yield what botocore leaves to the service, in the service's words."""
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            own = f"{path}.{name[0].lower()}{name[1:]}".lstrip(".")
            yield from _broken_constraints(shape.members[name], item, own)
        return
    broken = _broken_constraint(shape, value)
    if broken:
        shown = value if isinstance(value, str | int | float) else json.dumps(value)
        yield f"Value '{shown}' at '{path}' failed to satisfy constraint: Member must {broken}"
    if isinstance(shape, ListShape):
        for place, item in enumerate(value, start=1):
            yield from _broken_constraints(shape.member, item, f"{path}.{place}.member")
    elif isinstance(shape, MapShape):
        for name, item in value.items():
            yield from _broken_constraints(shape.value, item, f"{path}.{name}.member")


def _broken_constraint(shape: Shape, value: Any) -> str | None:
    limits = shape.metadata
    if "enum" in limits and value not in limits["enum"]:
        return f"satisfy enum value set: [{', '.join(limits['enum'])}]"
    if shape.type_name in ("string", "list", "map", "blob"):
        measured, what = len(value), "have length"
    elif shape.type_name in ("integer", "long", "float", "double"):
        measured, what = value, "have value"
    else:
        return None
    if "min" in limits and measured < limits["min"]:
        return f"{what} greater than or equal to {limits['min']}"
    if "max" in limits and measured > limits["max"]:
        return f"{what} less than or equal to {limits['max']}"
    if "pattern" in limits and isinstance(value, str) and _differs(limits["pattern"], value):
        return f"satisfy regular expression pattern: {limits['pattern']}"
    return None


def _differs(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is not None and compiled.fullmatch(value) is None


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # Java's \p{L} and the like, which Python does not know
        return None
