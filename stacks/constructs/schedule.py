"""When a monitor's windows have closed, as an expression of EventBridge Scheduler."""

from __future__ import annotations

from datetime import timedelta
from math import gcd

from driftgauge.config import MonitorConfig

_DAY = 24 * 60
_HOUR = 60


def evaluation_times(monitor: MonitorConfig) -> str:
    """Return the cron expression that fires ``delay`` after the end of every window, in UTC.

    It fires at other moments too where cron cannot say exactly when windows end (a window of two
    days: every day). A rate would not do: it counts from the moment of deployment, and a start
    date in the past, which would align it, is refused.

    Examples
    --------
    >>> from driftgauge.config import EndpointSettings
    >>> endpoint = EndpointSettings(name="churn")
    >>> evaluation_times(MonitorConfig(name="churn", endpoint=endpoint, window="1d"))
    'cron(20 0 * * ? *)'
    >>> evaluation_times(MonitorConfig(name="churn", endpoint=endpoint, window="6h", delay="1h"))
    'cron(0 1,7,13,19 * * ? *)'
    """
    window = monitor.window // timedelta(minutes=1)
    anchor = monitor.window_anchor
    first = anchor.hour * _HOUR + anchor.minute + -(-monitor.delay // timedelta(minutes=1))
    step = gcd(window, _DAY)
    if step % _HOUR:
        step = gcd(step, _HOUR)
        minutes = sorted({(first + n * step) % _HOUR for n in range(_HOUR // step)})
        return f"cron({_numbers(minutes)} * * * ? *)"
    hours = sorted({(first + n * step) // _HOUR % 24 for n in range(_DAY // step)})
    every = "*" if len(hours) == 24 else _numbers(hours)
    return f"cron({first % _HOUR} {every} * * ? *)"


def _numbers(values: list[int]) -> str:
    return ",".join(str(value) for value in values)
