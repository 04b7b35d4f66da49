"""Wait states and retries go by as fast as SageMaker's deployments do here.

AWS documentation: "Wait workflow state" and "Retrying after an error" in the AWS Step Functions
Developer Guide. A roll-out looks at its endpoint once a minute, and the endpoint's own minutes are
shortened by ``EMBEDDED_AWS_HASTE``, so these waits are divided by it, too. A wait for a moment
(``Timestamp``) is as long as it says, and so are time limits.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from ministack.services import stepfunctions

from local.supplements.execution_endings import pause

_SHORTEST_SECONDS = 0.2


def install() -> None:
    """Shorten waits; the end of an execution ends them."""
    haste = float(os.environ.get("EMBEDDED_AWS_HASTE", "60"))

    def sleep(seconds: float) -> None:
        pause(shortened(seconds, haste=haste))

    def sleep_until(moment: str) -> None:
        target = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        pause((target - datetime.now(UTC)).total_seconds())

    stepfunctions._scaled_sleep = sleep
    stepfunctions._sleep_until = sleep_until


def shortened(seconds: float, *, haste: float) -> float:
    """Return how long a wait of ``seconds`` lasts here; never 0, unless it is 0.

    Examples
    --------
    >>> [shortened(seconds, haste=60) for seconds in (60, 3, 0)]
    [1.0, 0.2, 0.0]
    """
    return max(_SHORTEST_SECONDS, seconds / haste) if seconds > 0 else 0.0
