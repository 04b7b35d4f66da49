"""A function's failure carries the name of the exception.

AWS documentation: "Lambda function errors in Python" in the AWS Lambda Developer Guide, and
"Error names" of "Handling errors in Step Functions workflows" in the AWS Step Functions Developer
Guide: ``errorType`` is the class of the exception, and what ``Retry`` and ``Catch`` compare with.
ministack answers ``Runtime.HandlerError`` for every one. The class stands in the traceback that
the worker sends along.
"""

from __future__ import annotations

import re
from typing import Any

from ministack.services import lambda_svc

_UNNAMED = "Runtime.HandlerError"
_CLASS = re.compile(r"^[\w.<>]*?(?P<name>\w+)$")


def install() -> None:
    """Name the exception in what a worker answers."""
    execute = lambda_svc._execute_function_warm

    def execute_and_name(*arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(*arguments)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == _UNNAMED:
            body["errorType"] = exception_name(result.get("log", ""), body["errorMessage"])
        return result

    lambda_svc._execute_function_warm = execute_and_name


def exception_name(log: str, message: str) -> str:
    r"""Return the class named at the end of a traceback.

    Examples
    --------
    >>> exception_name("Traceback ...\ndriftgauge.errors.StoreError: no such key", "no such key")
    'StoreError'
    >>> exception_name("Traceback ...\nValueError", "")
    'ValueError'
    >>> exception_name("nothing like a traceback at all", "no such key")
    'Runtime.HandlerError'
    """
    lines = log.rstrip().removesuffix(message.rstrip()).rstrip(": \n").splitlines()
    found = _CLASS.match(lines[-1]) if lines else None
    return found["name"] if found else _UNNAMED
