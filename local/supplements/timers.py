"""Delayed messages and schedules come when they are due.

AWS documentation: "Amazon SQS delay queues" in the Amazon SQS Developer Guide and "Schedule
types in EventBridge Scheduler" in its User Guide. ministack looks for delayed messages once a
second and for due schedules every ten; both keep time here to a fifth of a second and to one
second. (AWS itself promises schedules to the minute.)
"""

from __future__ import annotations

import threading
import time

from ministack.core.concurrency import esm_wake
from ministack.services import eventbridge, scheduler

_QUEUE_SECONDS = 0.2
_SCHEDULE_SECONDS = 1


def install() -> None:
    """Shorten the intervals."""
    scheduler._SCHEDULE_TICK_INTERVAL = _SCHEDULE_SECONDS
    eventbridge._SCHEDULER_TICK_INTERVAL = _SCHEDULE_SECONDS
    threading.Thread(target=_wake_forever, name="delayed-messages", daemon=True).start()


def _wake_forever() -> None:
    while True:
        time.sleep(_QUEUE_SECONDS)
        esm_wake.set()
