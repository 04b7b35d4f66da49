"""Requests of another day: what a caller says to have its traffic captured in the past.

SageMaker has no such thing. It is there for demos and tests that serve last year's traffic: the
time goes into the capture's ``inferenceTime`` and into the key of the capture's object.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from driftgauge.windows import format_time

TIME_HEADER = "x-embedded-aws-time"


def replay(client: Any, clock: Callable[[], datetime]) -> None:
    """Make a client of the SageMaker runtime say what time it is with every request.

    Parameters
    ----------
    client : SageMaker runtime client of boto3
    clock : callable
        Returns the inference time of the request that is about to be sent.
    """

    def say_time(params: dict[str, Any], **_: Any) -> None:
        params["headers"][TIME_HEADER] = format_time(clock())

    client.meta.events.register("before-call.sagemaker-runtime.InvokeEndpoint", say_time)
