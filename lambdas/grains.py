"""The predictions of grains: those of each capture object, and the sum of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import islice

from driftgauge.errors import LabelError
from driftgauge.labels.codec import decode_parts, decode_predictions, encode_predictions
from driftgauge.labels.predictions import Predictions, merge_predictions
from driftgauge.store import MERGED, MonitorStore, StoredPart
from lambdas.runtime import logger, read_many

# So many files are read one by one; a sum of more is stored, and they are left out from then on.
FEW_PREDICTIONS = 8
# Of files that are read together, as they are listed.
BATCH_BYTES = 32 << 20
_WRITERS = 16


def batches_of(
    sizes: Mapping[datetime, int], *, most_bytes: int = BATCH_BYTES
) -> Iterator[list[datetime]]:
    """Put grains together, in the order of time, that are read at once.

    Parameters
    ----------
    sizes : mapping of datetime to int
        Bytes of the files of each grain.
    most_bytes : int
        Of the grains of a batch together. A grain that is larger is a batch by itself.

    Examples
    --------
    >>> hours = [datetime(2026, 3, 2, hour) for hour in range(4)]
    >>> sizes = dict(zip(hours, (2, 3, 9, 1), strict=True))
    >>> [[hour.hour for hour in batch] for batch in batches_of(sizes, most_bytes=5)]
    [[0, 1], [2], [3]]
    """
    batch: list[datetime] = []
    total = 0
    for start, size in sorted(sizes.items()):
        if batch and total + size > most_bytes:
            yield batch
            batch, total = [], 0
        batch.append(start)
        total += size
    if batch:
        yield batch


def is_summed(parts: Sequence[StoredPart]) -> bool:
    """Tell whether a grain has so many files of predictions that there is a sum of them."""
    return sum(not one.is_merged for one in parts) > FEW_PREDICTIONS


def with_sum(store: MonitorStore, parts: Sequence[StoredPart]) -> list[StoredPart]:
    """Return the files of a grain that were summed up after they were listed, the sum included."""
    one = parts[0]
    key = store.predictions_key(
        baseline=one.baseline, variant=one.variant, grain_start=one.grain_start
    )
    total = replace(one, key=key, digest=MERGED, tag="", size=0)
    return [total, *(one for one in parts if not one.is_merged)]


def read_grains(
    store: MonitorStore, grains: Mapping[datetime, Sequence[StoredPart]]
) -> dict[datetime, Predictions]:
    """Read the predictions of some grains, and store their sums where that saves requests.

    Parameters
    ----------
    store : MonitorStore
    grains : mapping of datetime to sequence of StoredPart
        All files of predictions of each grain, its sum included.

    Raises
    ------
    LabelError
        If a file cannot be read; a sum that cannot be is made anew.
    """
    sums = _read_sums(store, [one for parts in grains.values() for one in parts if one.is_merged])
    nothing: tuple[None, frozenset[str]] = (None, frozenset())
    new = {
        start: sorted(
            (p for p in parts if not p.is_merged and p.digest not in sums.get(start, nothing)[1]),
            key=lambda one: one.digest,
        )
        for start, parts in grains.items()
    }
    data = read_many(store, [one.key for some in new.values() for one in some])
    found: dict[datetime, Predictions] = {}
    with ThreadPoolExecutor(max_workers=_WRITERS) as pool:
        writing = []
        for start, some in new.items():
            total, known = sums.get(start, nothing)
            read = [decode_predictions(one) for one in islice(data, len(some))]
            found[start] = merge_predictions([*([total] if total else []), *read])
            if len(some) > FEW_PREDICTIONS:
                (merged, *_) = with_sum(store, some)
                body = encode_predictions(
                    found[start], parts={*known, *(one.digest for one in some)}
                )
                writing.append(pool.submit(store.objects.write, merged.key, body))
        for one in writing:
            one.result()
    return found


def _read_sums(
    store: MonitorStore, merged: Sequence[StoredPart]
) -> dict[datetime, tuple[Predictions, frozenset[str]]]:
    """Return the sums of grains, and the digests of what they are the sums of."""
    sums = {}
    for one, data in zip(merged, read_many(store, [one.key for one in merged]), strict=True):
        try:
            sums[one.grain_start] = decode_predictions(data), decode_parts(data)
        except LabelError as error:
            logger.warning("sum of predictions made anew", key=one.key, reason=str(error))
    return sums
