"""What is known of a monitor's roll-out: ``{monitor}/rollout.json``.

It says which endpoint configuration and weights served before, so that they can be put back, and
at which stage the roll-out is. Every change is a conditional write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import msgspec

from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError
from driftgauge.rollout_settings import Stage
from driftgauge.store import Current, MonitorStore
from lambdas.retraining import Champion

Status = Literal["running", "promoted", "restored"]
_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How an endpoint serves: its configuration, and the weight of each production variant."""

    config: str
    weights: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class RollOut:
    """The roll-out that runs, or the last one.

    Attributes
    ----------
    execution : str
        ARN of the execution that rolls out.
    challenger : str
        Version of the model and of its baseline.
    endpoint : str
    package : str
        ARN of the challenger's model package; empty if it is not registered.
    champion : Champion
        Baseline and model in force before.
    before : Serving
        How the endpoint served before.
    status : str
        ``"running"`` until the challenger is promoted, or everything is as it was before.
    stage : str
        The newest stage; ``"restore"`` while everything is put back.
    experiment : str
        The comparison that runs now; empty if none does.
    since : datetime or None
        When the endpoint began to serve both variants of that comparison.
    deploying : str
        Endpoint configuration of the newest update that was asked for; empty if none was.
    asked : dict of str to int
        How often each thing was asked for at this stage.
    modified : datetime or None
        When the endpoint had last changed as that update was asked for: if it has not changed
        since, the request never reached it.
    token : str
        Of the task that waits for the verdict on the experiment; empty if none does.
    """

    execution: str
    challenger: str
    endpoint: str
    package: str = ""
    champion: Champion
    before: Serving
    status: Status = "running"
    stage: Stage | Literal["restore"]
    experiment: str = ""
    since: datetime | None = None
    deploying: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    modified: datetime | None = None
    token: str = ""
    version: int = 1


def rollout_key(store: MonitorStore) -> str:
    """Key of the record of a monitor's roll-out."""
    return f"{store.monitor}/rollout.json"


def names_challenger(current: Current, record: RollOut) -> bool:
    """Tell whether a pointer names the challenger of a roll-out."""
    return (current.baseline, current.model) == (record.challenger, record.challenger)


def read_rollout(store: MonitorStore) -> RollOut | None:
    """Return what is known of a monitor's roll-out; None before the first.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    return _read(store)[0]


def change_rollout(
    store: MonitorStore, change: Callable[[RollOut | None], RollOut | None]
) -> RollOut | None:
    """Apply a change to a monitor's roll-out, again if someone else was faster.

    Parameters
    ----------
    store : MonitorStore
    change : callable
        Takes what is known, None if nothing is, and returns what is to be known.

    Returns
    -------
    RollOut or None
        What is known now.

    Raises
    ------
    ConflictError
        If others were faster every time.
    """
    for _ in range(_ATTEMPTS):
        before, tag = _read(store)
        after = change(before)
        if after is None or after == before:
            return before
        try:
            store.objects.write(
                rollout_key(store),
                msgspec.json.format(msgspec.json.encode(after), indent=1),
                content_type="application/json",
                if_absent=tag is None,
                if_tag=tag,
            )
        except ConflictError:
            continue
        return after
    raise ConflictError(
        f"{store.objects.uri}{rollout_key(store)} was changed by others {_ATTEMPTS} times in a row"
    )


def finished(found: RollOut | None, execution: str, status: Status) -> RollOut | None:
    """Return the record of an execution's roll-out at its end; any other as it is."""
    if found is None or found.execution != execution:
        return found
    return replace(found, status=status, experiment="", token="")


def _read(store: MonitorStore) -> tuple[RollOut | None, str | None]:
    key = rollout_key(store)
    try:
        data, tag = store.objects.read_tagged(key)
    except ObjectNotFoundError:
        return None, None
    try:
        return msgspec.json.decode(data, type=RollOut), tag
    except msgspec.ValidationError as error:
        raise StoreError(f"{store.objects.uri}{key} cannot be read: {error}") from error
