"""How the service refuses: a code and a message, as SageMaker words them."""

from __future__ import annotations

from typing import Any

from driftgauge.errors import DriftgaugeError


class ApiError(DriftgaugeError):
    """A request that SageMaker refuses.

    Parameters
    ----------
    code : str
        The error's code, such as ``ValidationException``.
    message : str
    status : int
        HTTP status.
    members : mapping, optional
        Further members of the error's shape.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, members: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


def invalid(message: str) -> ApiError:
    """Return the error that SageMaker's control plane answers most often."""
    return ApiError("ValidationException", message)


def refused_invocation(message: str) -> ApiError:
    """Return the runtime's error for a request that no variant can take."""
    return ApiError("ValidationError", message)
