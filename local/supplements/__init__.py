"""What AWS does and ministack does not: one file for each behaviour.

Every file names the AWS documentation page it stands for. Those named below have one function,
``install``, which puts the behaviour in place through ministack's registries and module
functions; ``metric_math`` and ``missing_data`` are rules that they use. ministack's own files are
never changed.
"""

from __future__ import annotations

from importlib import import_module

_SUPPLEMENTS = (
    "alarm_evaluation",
    "alarm_events",
    "alarm_templates",
    "asynchronous_invocation",
    "chat_channels",
    "embedded_metrics",
    "execution_endings",
    "function_errors",
    "function_logs",
    "function_templates",
    "function_urls",
    "function_workers",
    "native_layers",
    "object_versions",
    "queue_delivery",
    "queue_metrics",
    "sagemaker",
    "sagemaker_tasks",
    "sagemaker_templates",
    "state_expressions",
    "state_waits",
    "timers",
    "trimmed_statistics",
)


def install() -> None:
    """Install every supplement; once, before the server takes its first request."""
    for name in _SUPPLEMENTS:
        import_module(f"{__name__}.{name}").install()
