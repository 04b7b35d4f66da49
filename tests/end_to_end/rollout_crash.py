"""What the function ``promote`` is replaced by in the end-to-end tests: it dies when it is told to.

It is put into the function's code at its top level. An object ``crash`` in a monitor's part of the
store says how it dies, once: ``before`` it moves the pointer, or ``after`` that, when the roll-out
is not recorded as promoted yet. With ``, stopped`` the execution is stopped as well.
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
        moment, _, stopped = _take(f"{event['plan']['monitor']}/crash").partition(", ")
        execution = event["plan"]["execution_arn"] if stopped else ""

        def die(*_: object) -> None:
            if execution:
                boto3.client("stepfunctions").stop_execution(executionArn=execution)
            os._exit(1)

        if moment == "before":
            die()
        elif moment == "after":
            setattr(promote, "change_rollout", die)  # noqa: B010 - it is not promote's own
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
