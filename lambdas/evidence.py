"""What the windows of a variant say together: one small object, changed conditionally."""

from __future__ import annotations

from collections.abc import Callable

from driftgauge.drift.assessment import Assessment
from driftgauge.drift.evidence import EvidenceState, decode_evidence, encode_evidence
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError
from driftgauge.store import MonitorStore

_ATTEMPTS = 8


def assess_with_evidence(
    store: MonitorStore,
    *,
    baseline: str,
    variant: str,
    assess: Callable[[EvidenceState], Assessment],
) -> WindowVerdict:
    """Judge a window with the evidence so far, and store the evidence with the window.

    If someone else stored other evidence meanwhile, the window is judged again with theirs: no
    window is lost, and the verdict is always that of the evidence that was stored. A window that
    is in the evidence replaces its entry, so judging it twice does not count it twice.

    Raises
    ------
    ConflictError
        If others were faster every time.
    StoreError
        If the stored evidence cannot be read.
    """
    key = store.evidence_key(baseline=baseline, variant=variant)
    for _ in range(_ATTEMPTS):
        before, tag = read_evidence(store, baseline=baseline, variant=variant)
        found = assess(before)
        if found.evidence == before:
            return found.verdict
        try:
            store.objects.write(
                key, encode_evidence(found.evidence), if_absent=tag is None, if_tag=tag
            )
        except ConflictError:
            continue
        return found.verdict
    raise ConflictError(
        f"{store.objects.uri}{key} was changed by others {_ATTEMPTS} times in a row: evaluate the "
        "window again"
    )


def read_evidence(
    store: MonitorStore, *, baseline: str, variant: str
) -> tuple[EvidenceState, str | None]:
    """Return a variant's evidence and its tag; empty and None before the first window.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    key = store.evidence_key(baseline=baseline, variant=variant)
    try:
        data, tag = store.objects.read_tagged(key)
    except ObjectNotFoundError:
        return EvidenceState.empty(baseline), None
    try:
        state = decode_evidence(data)
    except StoreError as error:
        raise StoreError(
            f"{store.objects.uri}{key}: {error}; delete it, and the evidence starts anew with the "
            "next window"
        ) from error
    return state, tag
