"""The predictions of one grain: those of each capture object, and the sum of many."""

from __future__ import annotations

from collections.abc import Sequence

from driftgauge.errors import LabelError
from driftgauge.labels.codec import decode_parts, decode_predictions, encode_predictions
from driftgauge.labels.predictions import Predictions, merge_predictions
from driftgauge.store import MonitorStore, StoredPart
from lambdas.runtime import logger, read_many

# So many files are read one by one; a sum of more is stored, and they are left out from then on.
FEW_PREDICTIONS = 8


def merge_grain(store: MonitorStore, parts: Sequence[StoredPart]) -> Predictions:
    """Read the predictions of one grain, and store their sum if that saves requests.

    Parameters
    ----------
    store : MonitorStore
    parts : sequence of StoredPart
        All files of predictions of one grain, its sum included.

    Raises
    ------
    LabelError
        If a file cannot be read; a sum that cannot be is made anew.
    """
    merged = next((one for one in parts if one.is_merged), None)
    total, known = _read_sum(store, merged)
    new = sorted(
        (one for one in parts if not one.is_merged and one.digest not in known),
        key=lambda one: one.digest,
    )
    if not new:
        return total or merge_predictions(())
    some = [decode_predictions(data) for data in read_many(store, (one.key for one in new))]
    predictions = merge_predictions([*([total] if total else []), *some])
    if len(new) > FEW_PREDICTIONS:
        key = store.predictions_key(
            baseline=new[0].baseline, variant=new[0].variant, grain_start=new[0].grain_start
        )
        digests = {*known, *(one.digest for one in new)}
        store.objects.write(key, encode_predictions(predictions, parts=digests))
    return predictions


def _read_sum(
    store: MonitorStore, merged: StoredPart | None
) -> tuple[Predictions | None, frozenset[str]]:
    if merged is None:
        return None, frozenset()
    try:
        data = store.objects.read(merged.key)
        return decode_predictions(data), decode_parts(data)
    except LabelError as error:
        logger.warning("sum of predictions made anew", key=merged.key, reason=str(error))
        return None, frozenset()
