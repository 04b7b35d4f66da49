"""Windows over captures that are already there: one profile per window, in time order.

The deployed functions profile each capture object once and add the profiles of a window up. Here
the same is done in one pass over local or stored captures, so what a replay says about a window
is what the monitor would have said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import RowBatch
from driftgauge.errors import CaptureError
from driftgauge.profile.build import profile_batch
from driftgauge.profile.profile import Profile, ProfileSum, merge_profiles
from driftgauge.profile.spec import ProfileSpec
from driftgauge.windows import DEFAULT_ANCHOR, Window, WindowGrid, parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_PARTS = 64
_PART_LENGTHS = tuple(parse_duration(text) for text in ("1h", "6h", "1d", "7d", "28d"))


@dataclass(frozen=True, kw_only=True)
class ProfiledWindow:
    """A window and the profile of its rows.

    ``complete`` is False for the last window of a fixed number of rows when fewer were left.
    """

    window: Window
    profile: Profile
    complete: bool = True


def parse_window(text: str) -> timedelta | int:
    """Read a window's length: a duration, or a number of rows.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> parse_window("1d"), parse_window("500rows")
    (datetime.timedelta(days=1), 500)
    """
    match = re.fullmatch(r"([1-9][0-9]{0,8})\s*rows?", text.strip())
    if match is not None:
        return int(match[1])
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a window: write a duration such as 15m, 1h, 1d, 1w, "
            "or a number of rows such as 500rows"
        ) from None


def profile_by_time(
    batches: Iterable[RowBatch], *, spec: ProfileSpec, grid: WindowGrid
) -> list[ProfiledWindow]:
    """Profile every window of a grid that has rows, in one pass.

    Holds one profile per window. Rows may come in any order.
    """
    parts = _Parts(spec=spec, lengths=(grid.length,), anchor=grid.anchor)
    for batch in batches:
        parts.add(batch)
    return parts.windows()


def profile_in_parts(
    batches: Iterable[RowBatch], *, spec: ProfileSpec, grid: WindowGrid | None
) -> list[ProfiledWindow]:
    """Profile captures in parts that show how they changed over time.

    With a grid the parts are its windows. Without one they are as short as possible, an hour at
    least, such that there are at most 64, so memory does not grow with the time covered.
    """
    parts = (
        _Parts(spec=spec, lengths=_PART_LENGTHS, anchor=DEFAULT_ANCHOR)
        if grid is None
        else _Parts(spec=spec, lengths=(grid.length,), anchor=grid.anchor)
    )
    for batch in batches:
        parts.add(batch)
    return parts.windows()


def covering_window(profile: Profile) -> Window:
    """Return the shortest window of whole seconds that holds every row of a profile.

    Raises
    ------
    ValueError
        If the profile has no row with a time.
    """
    if profile.first_time is None or profile.last_time is None:
        raise ValueError("a profile without rows covers no window")
    return Window(_moment(profile.first_time), _moment(profile.last_time + 1))


def profile_by_rows(
    read: Callable[[], Iterable[RowBatch]], *, spec: ProfileSpec, rows: int
) -> Iterator[ProfiledWindow]:
    """Profile windows of a fixed number of rows, in order of inference time.

    Rows of the same second keep the order they are read in. A window starts at the time of its
    first row and ends at that of the next window's first row.

    Parameters
    ----------
    read : callable
        Returns the batches, the same ones each time. It is called twice: once to put the times
        in order (16 bytes a row are held), once to profile.
    spec : ProfileSpec
        How to count.
    rows : int
        Rows a window.

    Raises
    ------
    CaptureError
        If the second reading yields more rows than the first.
    """
    times = [batch.inference_time for batch in read()]
    if not times:
        return
    all_times = np.concatenate(times)
    order = np.argsort(all_times, kind="stable")
    window_of_row = np.empty(order.shape[0], dtype=np.int64)
    window_of_row[order] = np.arange(order.shape[0]) // rows
    # A window that is over within a second still has a start of its own.
    starts = _increasing(all_times[order[::rows]].tolist())
    ends = [*starts[1:], max(starts[-1], int(all_times[order[-1]])) + 1]
    del times, all_times, order

    sums: dict[int, ProfileSum] = {}
    at = done = 0
    for batch in read():
        labels = window_of_row[at : at + batch.rows]
        at += batch.rows
        if labels.shape[0] != batch.rows:
            raise CaptureError("the captures changed while they were read: run the replay again")
        for index, part in _split(batch, labels):
            sums.setdefault(index, ProfileSum(spec)).add(profile_batch(spec, part))
        # Captures mostly come in time order, so windows fill up and leave memory on the way.
        while done in sums and (sums[done].rows == rows or at == window_of_row.shape[0]):
            profile = sums.pop(done).result()
            window = Window(_moment(starts[done]), _moment(ends[done]))
            yield ProfiledWindow(window=window, profile=profile, complete=profile.rows == rows)
            done += 1


class _Parts:
    """Profiles by window of a grid; the grid grows coarser when there are too many windows."""

    def __init__(
        self, *, spec: ProfileSpec, lengths: Sequence[timedelta], anchor: datetime
    ) -> None:
        self._spec = spec
        self._lengths = [int(length.total_seconds()) for length in lengths]
        self._anchor = int((anchor - _EPOCH).total_seconds())
        self._sums: dict[int, ProfileSum] = {}

    def add(self, batch: RowBatch) -> None:
        """Profile a batch into the windows its rows belong to."""
        slots = (batch.inference_time - self._anchor) // self._lengths[0]
        for slot, part in _split(batch, slots):
            profile = profile_batch(self._spec, part)
            self._sums.setdefault(slot, ProfileSum(self._spec)).add(profile)
        while len(self._sums) > _MOST_PARTS and len(self._lengths) > 1:
            self._coarsen()

    def _coarsen(self) -> None:
        shorter, longer = self._lengths[:2]
        coarse: dict[int, ProfileSum] = {}
        for slot, part in self._sums.items():
            target = slot * shorter // longer
            coarse.setdefault(target, ProfileSum(self._spec)).add(part.result())
        self._sums = coarse
        self._lengths = self._lengths[1:]

    def windows(self) -> list[ProfiledWindow]:
        """Return the windows that have rows, in time order."""
        length = self._lengths[0]
        return [
            ProfiledWindow(
                window=Window(
                    _moment(self._anchor + slot * length),
                    _moment(self._anchor + (slot + 1) * length),
                ),
                profile=self._sums[slot].result(),
            )
            for slot in sorted(self._sums)
        ]


def whole_of(parts: Sequence[ProfiledWindow], spec: ProfileSpec) -> Profile:
    """Return the profile of all parts together."""
    return merge_profiles((part.profile for part in parts), spec)


def _split(batch: RowBatch, labels: NDArray[np.int64]) -> Iterator[tuple[int, RowBatch]]:
    """Split a batch by a label of each row; a batch with one label comes as it is."""
    if batch.rows == 0:
        return
    if labels.min() == labels.max():
        yield int(labels[0]), batch
        return
    order = np.argsort(labels, kind="stable")
    found, first = np.unique(labels[order], return_index=True)
    for label, index in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        yield label, batch.take(index)


def _increasing(moments: list[int]) -> list[int]:
    """Return moments that increase, each as little later as that takes.

    Examples
    --------
    >>> _increasing([5, 5, 5, 9])
    [5, 6, 7, 9]
    """
    found: list[int] = []
    for moment in moments:
        found.append(max(moment, found[-1] + 1) if found else moment)
    return found


def _moment(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=int(seconds))
