"""The sample of all rows of a window, kept so that each sample is read once and not every time.

It says which samples, in which version, it is the sum of, is used only if all of them are still
there unchanged, and can be deleted at any time (see ``lambdas.rollup``, whose layout it shares).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftgauge.errors import LabelError, ObjectNotFoundError, StoreError
from driftgauge.labels.codec import decode_sampled_rows, encode_sampled_rows
from driftgauge.labels.sample import SampledRows, merge_sampled_rows
from driftgauge.store import MonitorStore, StoredPart
from driftgauge.windows import Window
from lambdas.rollup import open_sum, part_digest, seal_sum
from lambdas.runtime import logger, read_many

# So few samples are merged every time.
FEW_SAMPLES = 8
_MAGIC = b"DGSU"


def read_sample(
    store: MonitorStore, parts: Sequence[StoredPart], *, window: Window
) -> SampledRows | None:
    """Return the sample of all rows of a window; None if nothing was sampled.

    The result is that of merging all samples, whatever is kept of the window.

    Parameters
    ----------
    store : MonitorStore
    parts : sequence of StoredPart
        All samples of the window that were found, of one variant and baseline.
    window : Window

    Raises
    ------
    LabelError
        If a sample cannot be read; what is kept of the window may be damaged.
    """
    if not parts:
        return None
    wanted = {part_digest(one): one.key for one in sorted(parts, key=lambda one: one.key)}
    if len(parts) <= FEW_SAMPLES:
        return merge_sampled_rows(_read_parts(store, list(wanted.values())))
    key = store.sampled_key(baseline=parts[0].baseline, variant=parts[0].variant, window=window)
    kept = _read(store, key, frozenset(wanted))
    if kept is None:
        total = merge_sampled_rows(_read_parts(store, list(wanted.values())))
    else:
        sample, merged = kept
        new = _read_parts(store, [path for digest, path in wanted.items() if digest not in merged])
        if not new:
            return sample
        if _is_ordered(sample, new):
            total = merge_sampled_rows((sample, *new))
        else:
            total = merge_sampled_rows(_read_parts(store, list(wanted.values())))
    data = encode_sampled_rows(total)
    _write(store, key, seal_sum(_MAGIC, data, frozenset(wanted)))
    # As whoever looks next finds it.
    return decode_sampled_rows(data)


def _is_ordered(sample: SampledRows, new: Sequence[SampledRows]) -> bool:
    """Tell whether a sum with new samples has its rows and columns in the order of all samples.

    Rows of one hash, and columns that some samples lack, are in the order of the samples.
    """
    names = list(sample.columns)
    keys = np.concatenate([one.keys for one in new])
    return all(list(one.columns) == names for one in new) and not bool(
        np.isin(keys, sample.keys).any()
    )


def _read_parts(store: MonitorStore, keys: Sequence[str]) -> list[SampledRows]:
    return [decode_sampled_rows(data) for data in read_many(store, keys)]


def _read(
    store: MonitorStore, key: str, wanted: frozenset[bytes]
) -> tuple[SampledRows, frozenset[bytes]] | None:
    """Return what is kept, and of which samples; None if it cannot be used."""
    try:
        data, merged = open_sum(_MAGIC, store.objects.read(key))
        # A sample that was replaced or is gone cannot be taken out.
        return (decode_sampled_rows(data), merged) if merged <= wanted else None
    except ObjectNotFoundError:
        return None
    except (LabelError, StoreError) as error:
        logger.warning("sample of a window made anew", key=key, reason=str(error))
        return None


def _write(store: MonitorStore, key: str, data: bytes) -> None:
    # Without it the next look reads more, and is as right as this one.
    try:
        store.objects.write(key, data)
    except StoreError as error:
        logger.warning("sample of a window not kept", key=key, reason=str(error))
