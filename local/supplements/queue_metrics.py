"""Queues tell CloudWatch how many messages they hold.

AWS documentation: "Available CloudWatch metrics for Amazon SQS" in the Amazon SQS Developer
Guide. Alarms on dead-letter queues need ``ApproximateNumberOfMessagesVisible``, which ministack
does not publish. AWS publishes once a minute, and stops for a queue without activity for hours;
here every queue is counted every five seconds.
"""

from __future__ import annotations

import logging
import threading
import time

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, sqs

from local.supplements.alarm_evaluation import request_evaluation

_logger = logging.getLogger("queue-metrics")
_INTERVAL_SECONDS = 5.0


def install() -> None:
    """Start the thread that counts."""
    threading.Thread(target=_count_forever, name="queue-metrics", daemon=True).start()


def _count_forever() -> None:
    while True:
        time.sleep(_INTERVAL_SECONDS)
        try:
            _count()
        except Exception:
            _logger.exception("queues could not be counted")
        request_evaluation()


def _count() -> None:
    now = time.time()
    for scope, queue in list(sqs._queues._data.items()):
        account, region = scope[0], scope[1]
        with request_scope(account, region):
            visible = sum(1 for message in list(queue["messages"]) if message["visible_at"] <= now)
            cloudwatch.record_metric(
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                visible,
                "Count",
                {"QueueName": queue["attributes"]["QueueArn"].rsplit(":", 1)[-1]},
            )
