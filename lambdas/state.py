"""What a variant's evaluation remembers between invocations: one small object in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError
from driftgauge.store import MonitorStore
from driftgauge.windows import Window

_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class VariantState:
    """How far the evaluation of one variant has come.

    Attributes
    ----------
    newest_start, newest_end : datetime or None
        The newest window that was ever evaluated; None before the first.
    evaluated_at : datetime or None
        When that window was last evaluated.
    scheduled_through : datetime or None
        End of the last window that the schedule has dealt with.
    judged_end, explained_end : datetime or None
        End of the newest window that was judged with labels, and by its attributions.
    judged_baseline : str or None
        The baseline that the alarms on outcomes know of: labels have judged a window of it, or
        they were told that it is new.
    """

    newest_start: datetime | None = None
    newest_end: datetime | None = None
    evaluated_at: datetime | None = None
    scheduled_through: datetime | None = None
    judged_end: datetime | None = None
    explained_end: datetime | None = None
    judged_baseline: str | None = None
    version: int = 1

    @property
    def newest(self) -> Window | None:
        """The newest window that was ever evaluated."""
        if self.newest_start is None or self.newest_end is None:
            return None
        return Window(self.newest_start, self.newest_end)


def read_state(store: MonitorStore, variant: str) -> VariantState:
    """Return a variant's state, an empty one before the first evaluation."""
    return _read(store, variant)[0]


def _read(store: MonitorStore, variant: str) -> tuple[VariantState, str | None]:
    key = store.state_key(variant)
    try:
        data, tag = store.objects.read_tagged(key)
    except ObjectNotFoundError:
        return VariantState(), None
    try:
        return msgspec.json.decode(data, type=VariantState), tag
    except msgspec.ValidationError as error:
        raise StoreError(
            f"{store.objects.uri}{key} cannot be read ({error}): delete it; the next evaluation "
            "starts anew with the last closed window"
        ) from error


def change_state(
    store: MonitorStore, variant: str, change: Callable[[VariantState], VariantState]
) -> None:
    """Apply a change to a variant's state, again if someone else was faster.

    Raises
    ------
    ConflictError
        If others were faster every time.
    """
    for _ in range(_ATTEMPTS):
        before, tag = _read(store, variant)
        after = change(before)
        if after == before:
            return
        try:
            store.objects.write(
                store.state_key(variant),
                msgspec.json.encode(after),
                content_type="application/json",
                if_absent=tag is None,
                if_tag=tag,
            )
        except ConflictError:
            continue
        return
    raise ConflictError(
        f"{store.objects.uri}{store.state_key(variant)} was changed by others {_ATTEMPTS} times "
        "in a row: evaluate the window again"
    )
