"""A queue loses no message, and hands out a failed one again soon.

AWS documentation: "Creating and configuring an Amazon SQS event source mapping" in the AWS Lambda
Developer Guide. Two things:

- Lambda leaves a message it could not process invisible until the queue's visibility timeout has
  passed, which AWS wants to be six times the function's timeout: with three attempts, a poison
  message takes a quarter of an hour to reach the dead-letter queue. Here it is visible again one
  second after the failure; number of attempts and dead-letter queue are the template's.
- ministack's rules add to a queue while a worker may be replacing the queue's list of messages,
  which can lose the added one. Here they take turns.
"""

from __future__ import annotations

import time
from typing import Any

from ministack.core.concurrency import esm_wake
from ministack.services import eventbridge, lambda_svc, sqs

_RETRY_SECONDS = 1.0


def install() -> None:
    """Wrap the two deliveries."""
    to_queue, run_batch = eventbridge._dispatch_to_sqs, lambda_svc._run_sqs_batch

    def deliver_in_turn(*arguments: Any) -> None:
        with sqs._queues_lock:
            to_queue(*arguments)

    def run_and_return_failures(
        mapping: dict[str, Any],
        function: dict[str, Any],
        event: dict[str, Any],
        batch: list[dict[str, Any]],
        *queue: str,
    ) -> None:
        handles = [message["receipt_handle"] for message in batch]
        run_batch(mapping, function, event, batch, *queue)
        with sqs._queues_lock:
            for message, handle in zip(batch, handles, strict=True):
                # Deleted messages have left the queue; one received again has a new handle.
                if message["receipt_handle"] == handle:
                    soon = time.time() + _RETRY_SECONDS
                    message["visible_at"] = min(message["visible_at"], soon)
        esm_wake.set()

    eventbridge._dispatch_to_sqs = deliver_in_turn
    lambda_svc._run_sqs_batch = run_and_return_failures
