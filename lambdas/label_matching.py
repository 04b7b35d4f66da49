"""Which labels belong to which predictions: the search for them, and the files it leaves.

Labels are stored as received before predictions are listed, and predictions are stored before
received labels are listed. So of two functions that run at once, one that receives labels and one
that evaluates new predictions, at least one sees what the other has. Both may match the same
labels: files only ever gain labels, and received files only ever lose those that are stored as
matched, by conditional writes, so that it ends the same in any order and after any crash.

A label goes to the newest grain that has its id, in every variant: a shadow variant sees the
same requests.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftgauge.config import MonitorConfig, OutcomeSettings
from driftgauge.errors import ConflictError, LabelError, ObjectNotFoundError
from driftgauge.labels.codec import decode_labels, decode_parts, decode_record_ids, encode_labels
from driftgauge.labels.identity import known_among, run_starts
from driftgauge.labels.truth import Labels, merge_labels
from driftgauge.store import Current, MonitorStore, StoredPart
from driftgauge.windows import Window
from lambdas.grains import FEW_PREDICTIONS
from lambdas.runtime import logger, read_many

_MOST_BYTES = 256 << 20
_LISTERS = 16
_MOST_DAYS = 16
_MOST_GRAINS = 32
_ATTEMPTS = 10
# Labels are collected after the prediction, but hours of keys may be those of a local clock.
CLOCKS_DIFFER = timedelta(days=1)
HOUR = timedelta(hours=1)

Ids = NDArray[np.bytes_]
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class FoundLabels:
    """Labels of one ground-truth object that belong to predictions of one grain."""

    variant: str
    grain_start: datetime
    labels: Labels


@dataclass(kw_only=True)
class Recent(Generic[_Value]):
    """What was read last from objects that do not change, up to a number of bytes."""

    most_bytes: int
    _values: OrderedDict[tuple[str, str, str], tuple[_Value, int]] = field(
        default_factory=OrderedDict
    )
    _bytes: int = 0

    def get(self, place: tuple[str, str, str]) -> _Value | None:
        """Return what is kept of an object: its space, key and tag."""
        if place not in self._values:
            return None
        self._values.move_to_end(place)
        return self._values[place][0]

    def put(self, place: tuple[str, str, str], value: _Value, size: int) -> None:
        """Keep a value, and forget those that were not asked for the longest."""
        self._bytes += size - self._values.pop(place, (value, 0))[1]
        self._values[place] = (value, size)
        while self._bytes > self.most_bytes:
            _, (_, freed) = self._values.popitem(last=False)
            self._bytes -= freed


@dataclass(frozen=True, kw_only=True)
class _PartIds:
    """The ids in a file of predictions, and the capture objects it is the sum of."""

    ids: Ids
    parts: frozenset[str]


_recent_ids: Recent[_PartIds] = Recent(most_bytes=_MOST_BYTES)
# The files of a grain by variant and baseline.
_Files = dict[tuple[str, str], list[StoredPart]]


def search_window(outcomes: OutcomeSettings, collected: datetime) -> Window:
    """Return the inference times that labels collected in an hour may belong to."""
    return Window(collected - outcomes.lookback - HOUR, collected + CLOCKS_DIFFER)


def baselines_since(current: Current, moment: datetime) -> list[str]:
    """Return the baselines in force at a moment or later, the newest first."""
    versions, until = [current.baseline], current.since
    for promotion in reversed(current.history):
        if until >= moment and promotion.baseline not in versions:
            versions.append(promotion.baseline)
        until = promotion.since
    return versions


def find_predictions(
    store: MonitorStore,
    config: MonitorConfig,
    labels: Labels,
    *,
    baselines: Sequence[str],
    window: Window,
) -> Iterator[FoundLabels]:
    """Look for the predictions of labels, the newest grain first, until all are found.

    Grains that have many files not yet summed up are searched as far as they are: evaluating
    them sums them up, and matches the labels that wait.

    Parameters
    ----------
    store : MonitorStore
    config : MonitorConfig
    labels : Labels
        Of one ground-truth object.
    baselines : sequence of str
        Those whose predictions are searched.
    window : Window
        The inference times to search.
    """
    several = len(config.endpoint.variants) > 1
    remaining = _Remaining(labels)
    # Variants that see the same requests may see them on both sides of an hour: with several,
    # what was found in a grain is looked for in the one before it as well.
    held: list[Ids] = []
    above = window.end
    for chunk in _growing_chunks(_grains_back(store, config, baselines, window)):
        for start, known in _read_grains(store, chunk):
            if above - start > config.grid.grain:
                remaining.remove(held)
                held = []
            if not remaining.count:
                return
            claimed = []
            for variant, ids in sorted(known.items()):
                found = remaining.among(ids)
                if found.size:
                    claimed.append(found)
                    yield FoundLabels(
                        variant=variant, grain_start=start, labels=labels.matching(found)
                    )
            remaining.remove(held if several else claimed)
            held, above = claimed if several else [], start
            if not remaining.count:
                return


class _Remaining:
    """The ids of labels that are still looked for."""

    def __init__(self, labels: Labels) -> None:
        self._ids = labels.ids[run_starts(labels.ids)]
        self._wanted = np.ones(self._ids.shape[0], dtype=np.bool_)

    @property
    def count(self) -> int:
        """Number of ids."""
        return int(self._wanted.sum())

    def among(self, ids: Ids) -> Ids:
        """Return those that are among sorted ids. The fewer of both are looked up in the others."""
        if ids.shape[0] > self._ids.shape[0]:
            return self._ids[self._wanted & known_among(self._ids, ids)]
        found = np.zeros(self._ids.shape[0], dtype=np.bool_)
        found[np.searchsorted(self._ids, ids[known_among(ids, self._ids)])] = True
        return self._ids[self._wanted & found]

    def remove(self, some: Iterable[Ids]) -> None:
        """Look for some ids no longer."""
        for ids in some:
            self._wanted[np.searchsorted(self._ids, ids)] = False


def add_matched(store: MonitorStore, found: FoundLabels, *, digest: str) -> None:
    """Store labels as those of a grain, beside those of the same object that are there.

    Raises
    ------
    LabelError
        If what is there cannot be read.
    ConflictError
        If others keep changing it.
    """
    key = store.matched_labels_key(
        variant=found.variant, grain_start=found.grain_start, digest=digest
    )
    _change_labels(
        store,
        key,
        lambda before: found.labels if before is None else merge_labels((before, found.labels)),
    )


def remove_received(store: MonitorStore, key: str, ids: Ids) -> None:
    """Take labels that are stored as matched out of those received; ``ids`` must be sorted.

    Raises
    ------
    LabelError
        If the file cannot be read.
    ConflictError
        If others keep changing it.
    """
    _change_labels(store, key, lambda before: None if before is None else before.without(ids))


def _change_labels(
    store: MonitorStore, key: str, change: Callable[[Labels | None], Labels | None]
) -> None:
    """Change a file of labels, again if someone else was faster; None and no news write nothing."""
    for last in (*[False] * (_ATTEMPTS - 1), True):
        before: Labels | None = None
        tag: str | None = None
        try:
            data, tag = store.objects.read_tagged(key)
            before = decode_labels(data)
        except ObjectNotFoundError:
            pass
        after = change(before)
        if after is None or (before is not None and after.records == before.records):
            return
        try:
            store.objects.write(key, encode_labels(after), if_absent=tag is None, if_tag=tag)
        except ConflictError:
            if last:
                raise
        else:
            return


def _grains_back(
    store: MonitorStore, config: MonitorConfig, baselines: Sequence[str], window: Window
) -> Iterator[list[tuple[datetime, _Files]]]:
    """List predictions from the end of a window backwards, more days at once the further back."""

    def listed(place: tuple[str, str, Window]) -> list[StoredPart]:
        variant, baseline, day = place
        return list(store.list_predictions(baseline=baseline, variant=variant, window=day))

    day = timedelta(days=1)
    end, days = window.end, 1
    with ThreadPoolExecutor(max_workers=_LISTERS) as pool:
        while end > window.start:
            starts = [max(window.start, end - (i + 1) * day) for i in range(days)]
            places = [
                (variant, baseline, Window(start, min(end, start + day)))
                for start in dict.fromkeys(starts)
                for variant in config.endpoint.variants
                for baseline in baselines
            ]
            grains: defaultdict[datetime, _Files] = defaultdict(dict)
            for parts in pool.map(listed, places):
                for part in parts:
                    files = grains[part.grain_start]
                    files.setdefault((part.variant, part.baseline), []).append(part)
            yield sorted(grains.items(), key=lambda item: item[0], reverse=True)
            end, days = starts[-1], min(2 * days, _MOST_DAYS)


def _growing_chunks(
    listed: Iterator[list[tuple[datetime, _Files]]],
) -> Iterator[list[tuple[datetime, _Files]]]:
    """Most labels belong to the newest grains: the further back, the more are read at once.

    What was listed is read before more is.
    """
    size = 2
    for grains in listed:
        waiting = iter(grains)
        while chunk := list(islice(waiting, size)):
            yield chunk
            size = min(2 * size, _MOST_GRAINS)


def _read_grains(
    store: MonitorStore, chunk: Sequence[tuple[datetime, _Files]]
) -> Iterator[tuple[datetime, dict[str, Ids]]]:
    """Read the ids of some grains by variant, sorted."""
    every = [parts for _, files in chunk for parts in files.values()]
    sums = _read_ids(store, [part for parts in every for part in parts if part.is_merged])
    chosen = {id(parts): _not_summed(parts, sums) for parts in every}
    known = {**sums, **_read_ids(store, [part for new in chosen.values() for part in new])}
    for start, files in chunk:
        by_variant: defaultdict[str, list[Ids]] = defaultdict(list)
        for (variant, _), parts in files.items():
            merged = [part for part in parts if part.is_merged]
            for part in (*merged, *chosen[id(parts)]):
                if part.key in known:
                    by_variant[variant].append(known[part.key].ids)
        yield start, {variant: _together(some) for variant, some in by_variant.items()}


def _not_summed(parts: Sequence[StoredPart], sums: dict[str, _PartIds]) -> list[StoredPart]:
    """Return the files that the sum does not contain; none if they are many."""
    summed = frozenset[str]().union(*(sums[one.key].parts for one in parts if one.key in sums))
    new = [one for one in parts if not one.is_merged and one.digest not in summed]
    return new if len(new) <= FEW_PREDICTIONS else []


def _read_ids(store: MonitorStore, parts: Sequence[StoredPart]) -> dict[str, _PartIds]:
    """Return the ids of files of predictions by key, without those that cannot be read."""
    known: dict[str, _PartIds] = {}
    missing = []
    for part in parts:
        kept = _recent_ids.get((store.objects.uri, part.key, part.tag))
        if kept is None:
            missing.append(part)
        else:
            known[part.key] = kept
    for part, data in zip(missing, read_many(store, [one.key for one in missing]), strict=True):
        try:
            parts_of_sum = decode_parts(data) if part.is_merged else frozenset[str]()
            read = _PartIds(ids=decode_record_ids(data), parts=parts_of_sum)
        except LabelError as error:
            # The evaluation of its window fails and says so; labels of other windows go on.
            logger.error("predictions not searched", key=part.key, reason=str(error))
            continue
        known[part.key] = read
        size = read.ids.nbytes + 100 * len(read.parts)
        _recent_ids.put((store.objects.uri, part.key, part.tag), read, size)
    return known


def _together(some: Iterable[Ids]) -> Ids:
    arrays = list(some)
    if len(arrays) == 1:
        return arrays[0]
    return np.sort(np.concatenate([np.zeros(0, dtype="S16"), *arrays]))
