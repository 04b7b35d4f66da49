"""Metrics of invocations, in the namespace ``AWS/SageMaker``."""

from __future__ import annotations

import logging
import threading

from local.sagemaker.surroundings import MetricValues, Surroundings

_logger = logging.getLogger("sagemaker")


class Meter:
    """Collects what invocations measure until it is published.

    Each metric is there by endpoint and variant, and by endpoint configuration besides, which is
    how the fleets of a deployment are told apart.
    """

    def __init__(self, *, around: Surroundings) -> None:
        self._around = around
        self._waiting: dict[tuple[str, tuple[tuple[str, str], ...], str], list[float]] = {}
        self._lock = threading.Lock()

    def count(
        self,
        *,
        endpoint: str,
        variant: str,
        config: str,
        status: int,
        model_seconds: float,
        overhead_seconds: float,
    ) -> None:
        """Count one invocation; latencies are published in microseconds."""
        plain = (("EndpointName", endpoint), ("VariantName", variant))
        measured = (
            ("Invocations", "Count", 1.0),
            ("Invocation4XXErrors", "Count", float(400 <= status < 500)),
            ("Invocation5XXErrors", "Count", float(status >= 500)),
            ("InvocationModelErrors", "Count", float(status >= 400)),
            ("ModelLatency", "Microseconds", model_seconds * 1e6),
            ("OverheadLatency", "Microseconds", overhead_seconds * 1e6),
        )
        with self._lock:
            for dimensions in (plain, (*plain, ("EndpointConfigName", config))):
                for name, unit, value in measured:
                    self._waiting.setdefault((name, dimensions, unit), []).append(value)

    def publish(self) -> None:
        """Publish what has been collected."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            self._around.publish(
                [
                    MetricValues(name=name, dimensions=dims, unit=unit, values=tuple(values))
                    for (name, dims, unit), values in waiting.items()
                ]
            )
        except Exception:
            _logger.exception("metrics of invocations cannot be published")
