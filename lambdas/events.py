"""The events that functions receive, reduced to what they need."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.errors import CaptureError, DriftgaugeError
from driftgauge.store import S3Objects
from lambdas.runtime import logger


@dataclass(frozen=True, kw_only=True)
class CreatedObject:
    """A new object in S3. ``tag`` tells contents apart: the ETag, else the version."""

    bucket: str
    key: str
    tag: str

    @property
    def uri(self) -> str:
        """Where the object is, for messages."""
        return f"s3://{self.bucket}/{self.key}"


def read_created(body: str) -> CreatedObject:
    """Read EventBridge's "Object Created" event of S3 from the body of an SQS message.

    Raises
    ------
    CaptureError
        If the message is anything else.
    """
    try:
        detail = json.loads(body)["detail"]
        item = detail["object"]
        return CreatedObject(
            bucket=str(detail["bucket"]["name"]),
            key=str(item["key"]),
            tag=str(item.get("etag") or item["version-id"]).strip('"'),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaptureError(
            "the message is not an S3 event 'Object Created' as EventBridge sends it "
            f"({type(error).__name__}): send S3 events through an EventBridge rule"
        ) from error


def settle_key(created: CreatedObject, objects: S3Objects) -> CreatedObject:
    """Return the event with the key as the bucket has it.

    S3 puts the plain key into EventBridge events but URL-encodes it elsewhere, and replayed or
    forwarded events may have either form. Only keys that read differently are looked up.
    """
    decoded = unquote_plus(created.key)
    if decoded == created.key:
        return created
    first = next(iter(objects.list(created.key)), None)
    if first is not None and first.key == created.key:
        return created
    return CreatedObject(bucket=created.bucket, key=decoded, tag=created.tag)


def process_batch(
    event: Mapping[str, Any], context: LambdaContext, process: Callable[[str], None]
) -> dict[str, Any]:
    """Process the messages of an SQS batch one by one; only the failed ones come back.

    Returns
    -------
    dict
        ``batchItemFailures``. When every message fails, too: Lambda treats an exception and a
        full list alike, and the list keeps each message's own count of receives.
    """
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def record_handler(record: SQSRecord) -> None:
        logger.set_correlation_id(record.message_id)
        try:
            process(record.body)
        except DriftgaugeError as error:
            logger.error("message failed", error=type(error).__name__, reason=str(error))
            raise
        except Exception:
            # The text of an unforeseen error may quote the payload; its place in the code may not.
            logger.error("message failed", extra=place_of_failure())
            raise

    with processor(
        records=event["Records"], handler=record_handler, lambda_context=context
    ) as batch:
        batch.process()
    return cast("dict[str, Any]", processor.response())


def place_of_failure() -> dict[str, str]:
    """Return the type and the place of the exception being handled, without its text."""
    import sys
    import traceback

    kind, _, trace = sys.exc_info()
    frames = traceback.extract_tb(trace)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    return {"error": kind.__name__ if kind else "unknown", "place": place}
