"""The URL of a function leads to this machine, so that a browser here can open it.

AWS documentation: "Creating and managing Lambda function URLs" and "Invoking Lambda function URLs"
in the AWS Lambda Developer Guide. ministack answers requests to function URLs with events of
payload format 2.0, found by the host name or by a path of its own; but the URL that it gives to
templates and callers of the API has AWS's host name, which no name server knows. Here it is the
path, on the loopback interface.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ministack.core.responses import json_response
from ministack.services import lambda_svc

Answer = tuple[int, dict[str, str], bytes]
# As `_parse_lambda_url` of ministack's gateway reads it.
_PATH = "/_aws/lambda-url/"


def install() -> None:
    """Wrap the creation of function URLs, and how they are recognized."""
    lambda_svc._create_function_url_config = _reachable(lambda_svc._create_function_url_config)
    lambda_svc._function_url_id = _identifier_of(lambda_svc._function_url_id)


def _reachable(create: Callable[..., Answer]) -> Callable[..., Answer]:
    def create_reachable(name: str, request: dict[str, Any], qualifier: str | None) -> Answer:
        answer = create(name, request, qualifier)
        if answer[0] >= 400:
            return answer
        config = lambda_svc._function_urls[lambda_svc._url_config_key(name, qualifier)]
        here = f"http://{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"
        identifier = lambda_svc._function_url_id(config["FunctionUrl"])
        config["FunctionUrl"] = f"{here}{_PATH}{identifier}/"
        return json_response(config, status=answer[0])  # type: ignore[no-any-return]

    return create_reachable


def _identifier_of(identifier: Callable[[str], str]) -> Callable[[str], str]:
    def identifier_of(url: str) -> str:
        path = urlsplit(url).path
        return path.removeprefix(_PATH).strip("/") if path.startswith(_PATH) else identifier(url)

    return identifier_of
