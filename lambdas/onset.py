"""Since when the traffic is what an alarm rings about.

A retraining makes its new baseline from the rows since then: older rows are what traffic no
longer looks like, and a baseline that holds them would keep the alarm ringing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from driftgauge.config import MonitorConfig
from driftgauge.errors import ObjectNotFoundError
from driftgauge.outcome_verdict import OutcomesVerdict, decode_outcomes_verdict
from driftgauge.store import MonitorStore
from driftgauge.windows import Window

# The kind of the composite alarm that stands for all triggers of a variant.
ALL_TRIGGERS: Final = "retraining"
_LONGEST_RUN = 26
# Windows without labels yet that are passed over on the way to the newest one that has some.
_MOST_WAITING = 400


def start_of_change(
    store: MonitorStore, config: MonitorConfig, *, variant: str, kind: str, window: Window
) -> datetime:
    """Return since when the traffic is what an alarm rings about.

    Parameters
    ----------
    kind : str
        That of the alarm. One on outcomes goes by what labels and attributions say about the
        windows; the composite of all triggers by drift and by the outcomes among the triggers,
        whichever reaches further back; any other, and none, by drift.
    window : Window
        The newest evaluated one.
    """
    kinds: set[str] = {kind}
    if kind == ALL_TRIGGERS:
        kinds = {one for all_of in config.retraining_triggers for one in all_of}
    found = [
        start_of_outcome(store, config, variant=variant, judge=judge, window=window)
        for name, judge in _OUTCOMES.items()
        if name in kinds
    ]
    starts = [start for start in found if start is not None]
    if kind == ALL_TRIGGERS or not starts:
        starts.append(start_of_drift(store, config, variant=variant, window=window))
    return min(starts)


def start_of_drift(
    store: MonitorStore, config: MonitorConfig, *, variant: str, window: Window
) -> datetime:
    """Return the start of the unbroken run of alarming windows that ends with ``window``."""
    start = window.start
    for _ in range(_LONGEST_RUN):
        before = Window(start - config.window, start)
        try:
            if not store.read_verdict(variant=variant, window=before).alarm:
                break
        except ObjectNotFoundError:
            break
        start = before.start
    return start


def start_of_outcome(
    store: MonitorStore,
    config: MonitorConfig,
    *,
    variant: str,
    judge: Callable[[OutcomesVerdict], bool | None],
    window: Window,
) -> datetime | None:
    """Return the start of the newest unbroken run of windows with an outcome; None: there is none.

    Windows whose labels have not come yet, or are too few, neither begin such a run nor break it,
    as the alarm keeps its state through them.

    Parameters
    ----------
    judge : callable
        Says whether a window has the outcome; None if it is not decided.
    """
    start, run = None, 0
    for _ in range(_windows_in_reach(config)):
        decided = _read_outcome(store, variant, window, judge)
        if decided is False or run == _LONGEST_RUN:
            break
        if decided:
            start, run = window.start, run + 1
        window = Window(window.start - config.window, window.start)
    return start


def _windows_in_reach(config: MonitorConfig) -> int:
    """Return how far back a run may end: labels come that late."""
    waiting = 0 if config.outcomes is None else config.outcomes.lookback // config.window
    return _LONGEST_RUN + min(waiting, _MOST_WAITING)


def _read_outcome(
    store: MonitorStore,
    variant: str,
    window: Window,
    judge: Callable[[OutcomesVerdict], bool | None],
) -> bool | None:
    key = store.report_key(variant=variant, window=window, name="outcomes.json")
    try:
        data = store.objects.read(key)
    except ObjectNotFoundError:
        return None
    return judge(decode_outcomes_verdict(data))


def _quality_decay(verdict: OutcomesVerdict) -> bool | None:
    return verdict.quality_decay if _is_judged(verdict) else None


def _concept_drift(verdict: OutcomesVerdict) -> bool | None:
    return verdict.concept_drift if _is_judged(verdict) else None


def _is_judged(verdict: OutcomesVerdict) -> bool:
    return verdict.quality is not None and verdict.quality.verdict in ("ok", "decay")


def _bias_drift(verdict: OutcomesVerdict) -> bool | None:
    if verdict.bias is None or verdict.bias.verdict == "insufficient_data":
        return None
    return verdict.bias_drift


def _attribution_drift(verdict: OutcomesVerdict) -> bool | None:
    if all(one.verdict == "insufficient_data" for one in verdict.attributions):
        return None
    return verdict.attribution_drift


_OUTCOMES: Final[Mapping[str, Callable[[OutcomesVerdict], bool | None]]] = {
    "quality-decay": _quality_decay,
    "concept-drift": _concept_drift,
    "bias-drift": _bias_drift,
    "attribution-drift": _attribution_drift,
}
