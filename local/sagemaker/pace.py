"""How fast time goes by in this SageMaker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What takes minutes on AWS, in seconds here.

    Attributes
    ----------
    haste : float
        What the waits of a deployment (baking periods, termination, its time limit) and the
        minute after which captures are written are divided by.
    provisioning : float
        Seconds until instances are there, or gone.
    polling : float
        Seconds between two looks at the alarms of a deployment.
    shortest_baking : float
        Seconds that a baking period lasts at least, if there is one: an alarm needs them to ring.

    Examples
    --------
    >>> Pace(haste=60).shortened(600)
    10.0
    >>> [Pace(haste=600).baking(seconds) for seconds in (0, 300, 1800)]
    [0.0, 1.5, 3.0]
    """

    haste: float = 60.0
    provisioning: float = 0.2
    polling: float = 0.1
    shortest_baking: float = 1.5

    def shortened(self, seconds: float) -> float:
        """Return how long something takes here that takes ``seconds`` on AWS."""
        return seconds / self.haste

    def baking(self, seconds: float) -> float:
        """Return how long a baking period of ``seconds`` lasts here."""
        return max(self.shortest_baking, self.shortened(seconds)) if seconds > 0 else 0.0
