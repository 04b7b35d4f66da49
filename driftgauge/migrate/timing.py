"""When a monitoring schedule runs and which data it looks at, as windows of a monitor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from driftgauge.errors import ConfigError
from driftgauge.windows import DEFAULT_ANCHOR, format_duration

DEFAULT_DELAY: Final = timedelta(minutes=20)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_CRON = re.compile(r"cron\(0 (\*|[0-9]{1,2})(?:/([0-9]{1,2}))? \? \* \* \*\)")
_OFFSET = re.compile(
    r"([-+]?)P(?:([0-9]{1,4})D)?(?:T(?:([0-9]{1,4})H)?(?:([0-9]{1,5})M)?(?:([0-9]{1,6})S)?)?"
)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The windows of a monitor.

    Attributes
    ----------
    window : timedelta
        Length.
    anchor : datetime
        A start of a window.
    delay : timedelta
        Between a window's end and its evaluation.
    differences : tuple of str
        What is otherwise than in the schedule.
    """

    window: timedelta = _HOUR
    anchor: datetime = DEFAULT_ANCHOR
    delay: timedelta = DEFAULT_DELAY
    differences: tuple[str, ...] = ()


def read_timing(
    expression: str | None, *, start: str | None = None, end: str | None = None
) -> Timing:
    """Translate a schedule.

    Parameters
    ----------
    expression : str or None
        ``ScheduleExpression``; None: the schedule is not known, only the job definition.
    start, end : str, optional
        Where the analysed data begin and end, relative to the run: ``-PT1H``, ``-P1D``.

    Raises
    ------
    ConfigError
        If an offset is not an ISO 8601 duration.

    Examples
    --------
    >>> timing = read_timing("cron(0 6/12 ? * * *)")
    >>> timing.window, timing.anchor.hour
    (datetime.timedelta(seconds=43200), 6)
    >>> read_timing("cron(0 * ? * * *)", start="-PT2H", end="-PT1H").delay
    datetime.timedelta(seconds=4800)
    """
    window, first_hour, differences = _read_expression(expression, start, end)
    behind = timedelta(0)
    if start is not None or end is not None:
        behind = -parse_offset(end) if end else timedelta(0)
        length = -parse_offset(start) - behind if start else window
        if length != window and expression != "NOW":
            differences.append(
                f"each run looked at {_words(length)} of data, {_words(window)} apart: windows "
                f"do not overlap here, so each is {_words(window)} long"
            )
    if behind < timedelta(0):
        differences.append("the end of the data lay after the run: it is the window's end here")
        behind = timedelta(0)
    return Timing(
        window=window,
        anchor=DEFAULT_ANCHOR + first_hour * _HOUR,
        delay=behind + DEFAULT_DELAY,
        differences=tuple(differences),
    )


def _read_expression(
    expression: str | None, start: str | None, end: str | None
) -> tuple[timedelta, int, list[str]]:
    """Return the window's length, the hour at which one starts, and what differs."""
    if expression is None:
        return _HOUR, 0, ["no schedule was given with the job definition: windows of an hour"]
    if expression == "NOW":
        return _read_single_run(start, end)
    match = _CRON.fullmatch(" ".join(expression.split()))
    if match is None:
        return _HOUR, 0, [f"the schedule {expression!r} is not one of SageMaker's: windows of 1h"]
    first, step = match.groups()
    if first == "*" and step in (None, "1", "01"):
        return _HOUR, 0, []
    hour = 0 if first == "*" else int(first)
    window = timedelta(hours=int(step)) if step else _DAY
    if hour > 23 or not _HOUR <= window <= _DAY:
        return _HOUR, 0, [f"the schedule {expression!r} names no hour of a day: windows of 1h"]
    if _DAY % window:
        return (
            window,
            hour % (window // _HOUR),
            [
                f"runs were {_words(window)} apart and began anew every day at {hour:02d}:00: "
                "windows here follow one another without that shorter last one"
            ],
        )
    return window, hour % (window // _HOUR), []


def _read_single_run(start: str | None, end: str | None) -> tuple[timedelta, int, list[str]]:
    note = "the schedule ran once, immediately: `driftgauge analyze` does that"
    length = -parse_offset(start) + (parse_offset(end) if end else timedelta(0)) if start else _HOUR
    if length < _HOUR or length % _HOUR:
        return _HOUR, 0, [note]
    return length, 0, [note]


def parse_offset(text: str) -> timedelta:
    """Read an offset such as ``-PT1H`` or ``-P1D``.

    Examples
    --------
    >>> parse_offset("-P1DT2H") == -timedelta(days=1, hours=2), parse_offset("PT0H")
    (True, datetime.timedelta(0))
    """
    match = _OFFSET.fullmatch(text.strip())
    if match is None or text.rstrip()[-1] in "PT":
        raise ConfigError(
            f"{text!r} is not an ISO 8601 duration of days and hours, such as -PT1H or -P1D"
        )
    sign, *parts = match.groups()
    days, hours, minutes, seconds = (int(part or 0) for part in parts)
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if sign == "-" else length


def _words(length: timedelta) -> str:
    return format_duration(length) if length > timedelta(0) else "nothing"
