"""What ended an experiment: ``{monitor}/experiments/{name}/decision.json``, written once."""

from __future__ import annotations

import msgspec

from driftgauge.errors import ConflictError, ObjectNotFoundError
from driftgauge.experiments.shadow_verdict import (
    ShadowVerdict,
    decode_shadow_verdict,
    encode_shadow_verdict,
)
from driftgauge.experiments.verdict import (
    ExperimentVerdict,
    decode_experiment_verdict,
    encode_experiment_verdict,
)
from driftgauge.store import MonitorStore
from lambdas.runtime import logger

DECISION = "decision.json"
Verdict = ExperimentVerdict | ShadowVerdict


class _Kind(msgspec.Struct):
    shadow: str | None = None


def decode_decision(data: bytes) -> Verdict:
    """Read a verdict of either kind, which it tells by what it holds.

    Raises
    ------
    ExperimentError
        If it is no verdict that this version can read.
    """
    try:
        kind = msgspec.json.decode(data, type=_Kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The decoder of either kind says what is wrong.
        kind = _Kind()
    if kind.shadow is not None:
        return decode_shadow_verdict(data)
    return decode_experiment_verdict(data)


def encode_verdict(verdict: Verdict) -> bytes:
    """Write a verdict of either kind."""
    if isinstance(verdict, ShadowVerdict):
        return encode_shadow_verdict(verdict)
    return encode_experiment_verdict(verdict)


def read_decision(store: MonitorStore, experiment: str) -> Verdict | None:
    """Return what ended an experiment: what comes after may be no test any more.

    Raises
    ------
    ExperimentError
        If it cannot be read.
    """
    try:
        data = store.objects.read(store.experiment_key(experiment, DECISION))
    except ObjectNotFoundError:
        return None
    return decode_decision(data)


def write_decision(store: MonitorStore, verdict: Verdict) -> None:
    """Write the decision that ends an experiment, unless it has one."""
    try:
        store.objects.write(
            store.experiment_key(verdict.experiment, DECISION),
            encode_verdict(verdict),
            content_type="application/json",
            if_absent=True,
        )
    except ConflictError:
        logger.info("experiment decided already", experiment=verdict.experiment)
