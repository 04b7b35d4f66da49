"""Labels that wait for their predictions: listed once, and matched with grains as they are read.

Whoever looks for them has stored the predictions before: labels that come after the listing are
matched by the function that receives them (see ``lambdas.label_matching``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

import numpy as np

from driftgauge.config import MonitorConfig
from driftgauge.labels.codec import decode_labels, encode_labels
from driftgauge.labels.predictions import Predictions
from driftgauge.labels.truth import Labels, merge_labels
from driftgauge.store import MonitorStore, StoredLabels
from driftgauge.windows import Window
from lambdas.grains import BATCH_BYTES
from lambdas.label_matching import (
    CLOCKS_DIFFER,
    HOUR,
    FoundLabels,
    Ids,
    Recent,
    add_matched,
    remove_received,
)
from lambdas.runtime import now, read_many

_MOST_BYTES = 64 << 20
_BYTES_PER_LABEL = 48
_WRITERS = 16

_recent_labels: Recent[Labels] = Recent(most_bytes=_MOST_BYTES)


@dataclass(frozen=True, kw_only=True)
class WaitingLabels:
    """The files of labels that may belong to predictions of some grains of a variant.

    Attributes
    ----------
    grain : timedelta
        Length of a grain.
    lookback : timedelta
        How long after their predictions labels may be collected.
    received : tuple of StoredLabels
        Labels that no prediction has claimed.
    claimed : tuple of StoredLabels
        Labels that predictions of other variants have.
    """

    store: MonitorStore
    variant: str
    grain: timedelta
    lookback: timedelta
    received: tuple[StoredLabels, ...] = ()
    claimed: tuple[StoredLabels, ...] = ()
    # What was matched since the files were listed, by key.
    _taken: dict[str, Ids] = field(default_factory=dict)

    def match(self, grains: Mapping[datetime, Predictions]) -> int:
        """Match labels with the predictions of some grains, which must be stored already.

        A label that several grains have an id of goes to the earliest of them.

        Parameters
        ----------
        grains : mapping of datetime to Predictions
            All predictions of each grain.

        Returns
        -------
        int
            How many labels were waiting; they are stored as matched now.

        Raises
        ------
        LabelError
            If a file of labels cannot be read.
        ConflictError
            If others keep changing one.
        """
        matched: defaultdict[tuple[datetime, str], list[Labels]] = defaultdict(list)
        taken: defaultdict[str, list[Ids]] = defaultdict(list)
        count = 0
        for stored, labels in _read_labels(self.store, self._files(grains)):
            left = labels
            if stored.key in self._taken:
                left = labels.without(self._taken[stored.key])
            for start, predictions in sorted(grains.items(), key=lambda item: item[0]):
                if not self._may_belong(stored, start):
                    continue
                found = left.matching(predictions.ids)
                if not found.records:
                    continue
                count += found.records
                matched[start, stored.digest].append(found)
                if stored.variant is None:
                    left = left.without(found.ids)
                    taken[stored.key].append(found.ids)
        self._store(matched, taken)
        return count

    def _store(
        self,
        matched: Mapping[tuple[datetime, str], Sequence[Labels]],
        taken: Mapping[str, Sequence[Ids]],
    ) -> None:
        """Store labels as matched, and only then take them out of those received."""
        ids = {key: np.unique(np.concatenate(some)) for key, some in taken.items()}
        with ThreadPoolExecutor(max_workers=_WRITERS) as pool:
            writing = [
                pool.submit(
                    add_matched,
                    self.store,
                    FoundLabels(
                        variant=self.variant, grain_start=start, labels=merge_labels(found)
                    ),
                    digest=digest,
                )
                for (start, digest), found in matched.items()
            ]
            for one in writing:
                one.result()
            removing = [
                pool.submit(remove_received, self.store, key, some) for key, some in ids.items()
            ]
            for one in removing:
                one.result()
        for key, some in ids.items():
            known = self._taken.get(key)
            self._taken[key] = some if known is None else np.union1d(known, some)

    def _files(self, starts: Iterable[datetime]) -> list[StoredLabels]:
        some = list(starts)
        return [
            one
            for one in (*self.received, *self.claimed)
            if any(self._may_belong(one, start) for start in some)
        ]

    def _may_belong(self, stored: StoredLabels, start: datetime) -> bool:
        if stored.variant is None:
            window = _collected_within(self.lookback, start)
            return window.start <= stored.grain_start < window.end
        window = _around(self.grain, start)
        return window.start <= stored.grain_start < window.end


def find_waiting(
    store: MonitorStore, config: MonitorConfig, *, variant: str, grains: Sequence[datetime]
) -> WaitingLabels:
    """List the labels that wait for the predictions of some grains, which must be stored already.

    Labels that come before their predictions wait for ``outcomes.wait`` after they were received;
    a monitor that is evaluated on schedule gives them until then in addition. Labels that other
    variants' predictions have claimed are found too.
    """
    outcomes = config.outcomes
    grain = config.grid.grain
    if outcomes is None or not grains:
        return WaitingLabels(store=store, variant=variant, grain=grain, lookback=timedelta(0))
    first, last = min(grains), max(grains)
    patience = outcomes.wait
    if config.evaluate == "on_schedule":
        patience += config.window + config.delay
    oldest = now() - patience
    lookback = outcomes.lookback
    collected = Window(
        _collected_within(lookback, first).start, _collected_within(lookback, last).end
    )
    # In this order: labels are stored as matched before they leave those received.
    received = tuple(
        one
        for one in store.list_received_labels(window=collected)
        if one.modified >= oldest and one.size > _size_of_nothing()
    )
    around = Window(_around(grain, first).start, _around(grain, last).end)
    claimed = tuple(
        one
        for other in config.endpoint.variants
        if other != variant
        for one in store.list_matched_labels(variant=other, window=around)
    )
    return WaitingLabels(
        store=store,
        variant=variant,
        grain=grain,
        lookback=lookback,
        received=received,
        claimed=claimed,
    )


def _collected_within(lookback: timedelta, start: datetime) -> Window:
    """Return the hours in which the labels of a grain may have been collected."""
    since = (start - CLOCKS_DIFFER).replace(minute=0, second=0, microsecond=0)
    return Window(since, start + lookback + HOUR)


def _around(grain: timedelta, start: datetime) -> Window:
    """Return the grains in which another variant may have seen the requests of one."""
    return Window(start - grain, start + 2 * grain)


def _read_labels(
    store: MonitorStore, some: Sequence[StoredLabels]
) -> Iterator[tuple[StoredLabels, Labels]]:
    """Read files of labels, a bounded number of bytes at a time.

    Where few requests are captured most labels never find a prediction, and wait in large files.
    """
    at_once: list[StoredLabels] = []
    size = 0
    for one in some:
        if at_once and size + one.size > BATCH_BYTES:
            yield from _read_together(store, at_once)
            at_once, size = [], 0
        at_once.append(one)
        size += one.size
    yield from _read_together(store, at_once)


def _read_together(
    store: MonitorStore, some: Sequence[StoredLabels]
) -> Iterator[tuple[StoredLabels, Labels]]:
    places = {one.key: (store.objects.uri, one.key, one.tag) for one in some}
    kept = {key: _recent_labels.get(place) for key, place in places.items()}
    data = read_many(store, [one.key for one in some if kept[one.key] is None])
    for one in some:
        labels = kept[one.key]
        if labels is None:
            labels = decode_labels(next(data))
            _recent_labels.put(places[one.key], labels, labels.records * _BYTES_PER_LABEL)
        yield one, labels


@cache
def _size_of_nothing() -> int:
    """Return the size of a file of labels that has none left."""
    return len(encode_labels(merge_labels(())))
