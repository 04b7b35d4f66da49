"""Windows: half-open intervals of inference time on a regular grid, in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# A Monday, so that windows of a week start on Mondays unless the monitor says otherwise.
DEFAULT_ANCHOR = datetime(1970, 1, 5, tzinfo=UTC)


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``15m``, ``1h``, ``1d`` or ``2w``.

    Raises
    ------
    ValueError
        If the text is not a positive whole number followed by s, m, h, d or w.

    Examples
    --------
    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)
    """
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration: write a whole number and a unit, such as 15m, 1h, 1d, 2w"
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(duration: timedelta) -> str:
    """Write a duration in its largest whole unit.

    Examples
    --------
    >>> format_duration(timedelta(days=7)), format_duration(timedelta(minutes=90))
    ('1w', '90m')
    """
    seconds = int(duration.total_seconds())
    for unit, size in reversed(_UNITS.items()):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    raise ValueError(f"{duration} is not a whole number of seconds")


def format_time(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC with a ``Z``, to the second.

    Examples
    --------
    >>> format_time(datetime(2015, 7, 1, tzinfo=UTC))
    '2015-07-01T00:00:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 moment; one without an offset is UTC.

    Examples
    --------
    >>> parse_time("2015-07-01T02:00:00+02:00")
    datetime.datetime(2015, 7, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True, order=True)
class Window:
    """The half-open interval ``[start, end)`` of inference time."""

    start: datetime
    end: datetime

    def __contains__(self, moment: object) -> bool:
        return isinstance(moment, datetime) and self.start <= moment < self.end

    def __str__(self) -> str:
        return f"{format_time(self.start)}/{format_time(self.end)}"


@dataclass(frozen=True)
class WindowGrid:
    """All windows of one length, aligned to an anchor.

    Examples
    --------
    >>> grid = WindowGrid(length=timedelta(days=7), anchor=datetime(2015, 4, 1, tzinfo=UTC))
    >>> str(grid.window_of(datetime(2015, 7, 3, tzinfo=UTC)))
    '2015-07-01T00:00:00Z/2015-07-08T00:00:00Z'
    """

    length: timedelta
    anchor: datetime = DEFAULT_ANCHOR

    def window_of(self, moment: datetime) -> Window:
        """Return the window that contains a moment."""
        start = self.anchor + (moment - self.anchor) // self.length * self.length
        return Window(start, start + self.length)

    def between(self, first: datetime, last: datetime) -> list[Window]:
        """Return the windows that overlap ``[first, last)``, in time order."""
        windows = []
        window = self.window_of(first)
        while window.start < last:
            windows.append(window)
            window = Window(window.end, window.end + self.length)
        return windows

    @property
    def grain(self) -> timedelta:
        """Length of the interval that one stored profile covers.

        An hour, so that any later choice of window is a sum of stored profiles; shorter only
        where the window itself is shorter or is not made of whole hours.
        """
        hour = timedelta(hours=1)
        whole_hours = self.length % hour == timedelta(0)
        aligned = (self.anchor - DEFAULT_ANCHOR) % hour == timedelta(0)
        if whole_hours and aligned:
            return hour
        minute = timedelta(minutes=1)
        if self.length % minute or (self.anchor - DEFAULT_ANCHOR) % minute:
            raise ValueError("a window is made of whole minutes and starts on a whole minute")
        # The largest whole number of minutes that divides window, anchor offset and hour.
        for minutes in (30, 20, 15, 12, 10, 6, 5, 4, 3, 2):
            step = timedelta(minutes=minutes)
            if self.length % step == timedelta(0) and (
                self.anchor - DEFAULT_ANCHOR
            ) % step == timedelta(0):
                return step
        return minute
