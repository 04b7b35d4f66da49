"""A rule invokes a function asynchronously: with retries, then the dead-letter queue.

AWS documentation: "How Lambda handles errors and retries with asynchronous invocation" in the
AWS Lambda Developer Guide. ministack honours ``EventInvokeConfig`` and the function's dead-letter
queue for the Invoke API, SNS and S3, but a rule's invocation that fails is forgotten. AWS waits
one, then two minutes between attempts; here it is one, then two seconds.
"""

from __future__ import annotations

import json
import logging

from ministack.services import eventbridge, lambda_svc

_logger = logging.getLogger("asynchronous-invocation")


def install() -> None:
    """Send what a rule has for a function through the asynchronous path."""
    eventbridge._dispatch_to_lambda = _invoke


def _invoke(arn: str, payload: str) -> None:
    function, configuration, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not configuration:
        _logger.warning("a rule's target %s does not exist", name)
        return
    record = lambda_svc._execution_record_for_config(function, configuration)
    lambda_svc.invoke_async_with_retry(record, json.loads(payload))
