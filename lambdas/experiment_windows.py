"""Which windows of an experiment are counted at a look, and how what was counted is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConflictError, DriftgaugeError, ObjectNotFoundError
from driftgauge.experiment_settings import ComparedVariants
from driftgauge.store import MonitorStore
from driftgauge.windows import Window
from lambdas.runtime import logger, now

# All that was counted of an experiment, in one object.
BLOCKS = "blocks"
_ATTEMPTS = 8
_Counted = TypeVar("_Counted")


def windows_to_count(
    config: MonitorConfig, settings: ComparedVariants, window: Window, *, is_first: bool
) -> list[Window]:
    """Return the settled windows whose counts may have changed with the report of one window.

    A window has settled ``delay`` after its end: until then one variant's captures may be further
    than the other's. Those that were reported too early are looked at again with later ones.

    Parameters
    ----------
    config : MonitorConfig
    settings : ComparedVariants
    window : Window
        The one that was evaluated.
    is_first : bool
        Whether nothing is counted yet: then all windows since the beginning are.
    """
    moment = now()
    first, last = settings.since, moment
    if not is_first:
        behind = math.ceil((config.delay + config.debounce) / config.window) + 1
        first, last = max(first, window.start - behind * config.window), window.end
    return [one for one in config.grid.between(first, last) if is_settled(config, one, moment)]


def is_settled(config: MonitorConfig, window: Window, moment: datetime) -> bool:
    """Tell whether the captures of all variants should have come."""
    return window.end + config.delay <= moment


def change_counts(
    store: MonitorStore,
    experiment: str,
    *,
    decode: Callable[[bytes], _Counted],
    encode: Callable[[_Counted], bytes],
    count: Callable[[_Counted | None], _Counted],
) -> _Counted:
    """Count anew what changed, and keep it; all again if someone else was faster.

    Parameters
    ----------
    store : MonitorStore
    experiment : str
    decode, encode : callable
        Of what is kept; if that cannot be read, everything is counted anew.
    count : callable
        Takes what is kept, None if nothing is, and returns what there is now.

    Raises
    ------
    ConflictError
        If others were faster every time.
    """
    key = store.experiment_key(experiment, BLOCKS)
    for _ in range(_ATTEMPTS):
        kept: _Counted | None = None
        data, tag = _read(store, key)
        if data is not None:
            try:
                kept = decode(data)
            except DriftgaugeError as error:
                logger.warning("experiment counted anew", key=key, reason=str(error))
        counted = count(kept)
        body = encode(counted)
        if body == data:
            return counted
        try:
            store.objects.write(key, body, if_absent=tag is None, if_tag=tag)
        except ConflictError:
            continue
        return counted
    raise ConflictError(
        f"{store.objects.uri}{key} was changed by others {_ATTEMPTS} times in a row: redrive"
    )


def _read(store: MonitorStore, key: str) -> tuple[bytes | None, str | None]:
    try:
        return store.objects.read_tagged(key)
    except ObjectNotFoundError:
        return None, None
