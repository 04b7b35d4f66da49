"""A function runs at most as often at once as this machine has cores.

AWS documentation: "Configuring maximum concurrency for Amazon SQS event sources" in the AWS
Lambda Developer Guide. On AWS every concurrent batch has a machine of its own. Here they share
one, and each starts a Python process that imports numpy: five for two cores only wait for each
other. ``ScalingConfig.MaximumConcurrency`` is honoured where a template sets less.
"""

from __future__ import annotations

import os

from ministack.services import lambda_svc


def install() -> None:
    """Lower the number of batches an event source mapping has in flight."""
    cores = max(1, os.cpu_count() or 1)
    allowed = lambda_svc._sqs_esm_concurrency

    def within_cores(*arguments: object, **named: object) -> int:
        return min(cores, int(allowed(*arguments, **named)))

    lambda_svc._sqs_esm_concurrency = within_cores
