"""What the function ``promote`` is replaced by in the end-to-end tests: it dies when it is told to.

It is put into the function's code at its top level. An object ``crash`` in a monitor's part of the
store says how it dies, once: ``before`` it moves the pointer, with the execution stopped as well;
or ``after`` that, before the roll-out is recorded as promoted.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import promote


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Promote, or die on the way."""
    if event["outcome"] == "promoted":
        moment = _take(f"{event['plan']['monitor']}/crash")
        if moment == "before":
            execution = event["plan"]["execution_arn"]
            boto3.client("stepfunctions").stop_execution(executionArn=execution)
            _die()
        elif moment == "after":
            setattr(promote, "change_rollout", _die)  # noqa: B010 - it is not promote's own
    concluded: dict[str, Any] = promote.handler(event, context)
    return concluded


def _take(key: str) -> str:
    """Return an object's text and delete it; empty if there is none."""
    s3, bucket = boto3.client("s3"), os.environ["STORE_BUCKET"]
    try:
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except s3.exceptions.NoSuchKey:
        return ""
    s3.delete_object(Bucket=bucket, Key=key)
    return text


def _die(*_: object) -> None:
    os._exit(1)
