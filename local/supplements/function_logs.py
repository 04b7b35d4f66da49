"""What a function printed belongs to the invocation that printed it, completely.

AWS documentation: "Sending Lambda function logs to CloudWatch Logs" in the AWS Lambda Developer
Guide. ministack takes a function's output after the invocation for as long as lines come within
5 ms of each other, which on a busy machine leaves the rest to the next invocation. The rest may
hold metrics (see ``embedded_metrics``), so here the pipe is read until it is empty.
"""

from __future__ import annotations

import fcntl
import struct
import termios
import time
from typing import Any

from ministack.core import lambda_runtime

_SETTLE_SECONDS = 0.01
_LONGEST_SECONDS = 1.0
_STEP_SECONDS = 0.001


def install() -> None:
    """Replace the timed reading of a worker's output by a complete one."""
    lambda_runtime.Worker._drain_stderr_bounded = _drain


def _drain(worker: Any) -> str:
    """Return every line the worker wrote before it answered."""
    lines: list[str] = []
    quiet_since = started = time.monotonic()
    while time.monotonic() - started < _LONGEST_SECONDS:
        if not worker._stderr_queue.empty():
            lines.append(worker._stderr_queue.get_nowait())
            quiet_since = time.monotonic()
        elif _unread_bytes(worker) or time.monotonic() - quiet_since < _SETTLE_SECONDS:
            # Nothing in the pipe: the reading thread may still hold the last line in its hands.
            time.sleep(_STEP_SECONDS)
        else:
            break
    return "\n".join(lines)


def _unread_bytes(worker: Any) -> int:
    process = worker._proc
    if process is None or process.stderr is None:
        return 0
    try:
        answer = fcntl.ioctl(process.stderr.fileno(), termios.FIONREAD, b"\0\0\0\0")
    except (OSError, ValueError):  # the worker has just been ended
        return 0
    return int(struct.unpack("i", answer)[0])
