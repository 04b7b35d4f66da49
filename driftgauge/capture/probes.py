"""Calls that driftgauge itself makes to explain a model: captured like traffic, but none."""

from __future__ import annotations

from uuid import uuid4

import numpy as np

from driftgauge.columns import RowBatch

PROBE_PREFIX = "driftgauge-explain-"


def probe_id() -> str:
    """Return a new InferenceId that tells a call of driftgauge's own from traffic.

    Examples
    --------
    >>> len(probe_id()) <= 64  # SageMaker's limit
    True
    """
    return f"{PROBE_PREFIX}{uuid4().hex}"


def without_probes(batch: RowBatch) -> RowBatch:
    """Return a batch without the rows of driftgauge's own calls.

    Examples
    --------
    >>> batch = RowBatch(
    ...     rows=2, records=2, columns={}, inference_time=np.array([0, 0]),
    ...     event_ids=("order-1", probe_id()), record_of_row=np.array([0, 1], dtype=np.int32),
    ... )
    >>> without_probes(batch).rows
    1
    """
    probes = [name.startswith(PROBE_PREFIX) for name in batch.event_ids]
    if not any(probes):
        return batch
    return batch.take(~np.array(probes)[batch.record_of_row])
