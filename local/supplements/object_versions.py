"""An object's event names the version it is about.

AWS documentation: "EventBridge event message structure" in the Amazon S3 User Guide: in a bucket
with versioning, ``detail.object`` has a ``version-id``. ministack leaves it out.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.services import eventbridge, s3

_current = threading.local()


def install() -> None:
    """Carry the version from S3's event to the one EventBridge gets."""
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire_with_version(*arguments: Any, **named: Any) -> None:
        _current.version = named.get("version_id")  # the emulator names it at every call
        try:
            fire(*arguments, **named)
        finally:
            _current.version = None

    def dispatch_with_version(event: dict[str, Any], view: Any = None) -> None:
        version = getattr(_current, "version", None)
        if version and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event, view = event | {"Detail": json.dumps(detail)}, None
        dispatch(event, view)

    s3._fire_s3_event = fire_with_version
    eventbridge._dispatch_event = dispatch_with_version
