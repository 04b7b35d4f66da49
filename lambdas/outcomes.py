"""A window's predictions beside their labels, counted grain by grain.

The counts of every grain are kept with a digest of what they were made of, so that an evaluation
reads only the grains whose predictions or labels changed since the last one. They can be deleted
at any time, and of two evaluations that write at once either's may stay.

Layout of the kept counts, format version 1: ``b"DGOG"``, the version as one byte, 16 bytes of
checksum over the rest, and MessagePack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

import msgspec

from driftgauge.columns import Column
from driftgauge.config import MonitorConfig
from driftgauge.errors import DriftgaugeError, ObjectNotFoundError, StoreError
from driftgauge.fairness.counts import (
    BiasCounts,
    count_outcome_bias,
    decode_bias_counts,
    encode_bias_counts,
    sum_bias_counts,
)
from driftgauge.fairness.spec import BiasSpec
from driftgauge.labels.codec import decode_label_counts, decode_labels, encode_label_counts
from driftgauge.labels.join import join_labels
from driftgauge.labels.predictions import Predictions
from driftgauge.labels.standing import LabelCounts, sum_label_counts
from driftgauge.labels.truth import merge_labels
from driftgauge.outcome_baseline import OutcomeBaseline
from driftgauge.quality.codec import decode_counts, encode_counts
from driftgauge.quality.counts import OutcomeCounts, count_outcomes, sum_counts
from driftgauge.quality.spec import OutcomeSpec
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table
from driftgauge.store import MonitorStore, StoredLabels, StoredPart
from driftgauge.windows import Window
from lambdas.grains import batches_of, is_summed, read_grains, with_sum
from lambdas.inputs import WindowFiles
from lambdas.runtime import Runtime, logger, read_many
from lambdas.waiting_labels import WaitingLabels, find_waiting

_MAGIC = b"DGOG"
_VERSION = 1
_DIGEST_BYTES = 16
_HEAD = len(_MAGIC) + 1
_Stored = TypeVar("_Stored", StoredPart, StoredLabels)


@dataclass(frozen=True, kw_only=True)
class Counting:
    """How predictions and labels are counted.

    Attributes
    ----------
    columns : OutcomeColumns
        With the columns of facets and group among those to slice by.
    spec : OutcomeSpec or None
        The baseline's; None: labels are only joined.
    bias : BiasSpec or None
    """

    columns: OutcomeColumns
    spec: OutcomeSpec | None
    bias: BiasSpec | None

    @property
    def digest(self) -> bytes:
        """Bytes that differ for what is counted differently."""
        return _digest(msgspec.msgpack.encode((self.columns, self.spec, self.bias)))


@dataclass(frozen=True, kw_only=True)
class GrainCounts:
    """What was counted in one grain, and what of.

    Attributes
    ----------
    start : datetime
        Of the grain.
    predictions, labels : bytes
        Digests of the files.
    standing : LabelCounts
    counts : OutcomeCounts or None
    bias : BiasCounts or None
    """

    start: datetime
    predictions: bytes
    labels: bytes
    standing: LabelCounts
    counts: OutcomeCounts | None
    bias: BiasCounts | None


@dataclass(frozen=True, kw_only=True)
class CountedWindow:
    """What was counted in a window, and the files it was counted from."""

    files: WindowFiles
    standing: LabelCounts
    counts: OutcomeCounts | None
    bias: BiasCounts | None


def counting_of(config: MonitorConfig, baseline: OutcomeBaseline | None) -> Counting:
    """Return how a monitor's outcomes are counted under a baseline."""
    columns = config.outcome_columns
    spec = None if baseline is None else baseline.spec
    bias = None if config.bias is None or spec is None else config.bias.spec
    people = () if bias is None else bias.columns
    return Counting(
        columns=replace(
            columns,
            segments=tuple(dict.fromkeys((*columns.segments, *people))),
            classes=columns.classes if spec is None else spec.classes,
        ),
        spec=spec,
        bias=bias,
    )


def count_window(
    run: Runtime,
    config: MonitorConfig,
    files: WindowFiles,
    baseline: OutcomeBaseline | None,
    *,
    variant: str,
    window: Window,
) -> CountedWindow:
    """Join a window's predictions with their labels, and count both.

    Only grains that changed are read, a bounded number of bytes at a time. Labels that came before
    the predictions of a grain, or while it had too many files to be searched, are matched here.

    Raises
    ------
    LabelError
        If a file of predictions or labels cannot be read.
    """
    store = run.store(config.name)
    counting = counting_of(config, baseline)
    key = store.outcomes_key(baseline=files.baseline, variant=variant, window=window)
    kept = _read(store, key, counting)
    labels = _by_grain(files.labels)
    grains: dict[datetime, GrainCounts] = {}
    stale: dict[datetime, _Grain] = {}
    for start, parts in _by_grain(files.predictions).items():
        known = kept.get(start)
        grain = _Grain.of(parts, labels.get(start, []), known)
        if known is None or grain.is_new or known.labels != _digest_of(grain.labels):
            stale[start] = grain
        else:
            grains[start] = known
    counter = _Counter(store=store, config=config, counting=counting, variant=variant)
    for one, used in counter.count(stale):
        grains[one.start], labels[one.start] = one, used
    ordered = [grains[start] for start in sorted(grains)]
    if stale:
        _write(store, key, counting, ordered)
    # The files that were counted: what arrived meanwhile makes an evaluation of its own.
    used_labels = tuple(one for start in sorted(labels) for one in labels[start])
    return _sum(replace(files, labels=used_labels), counting, ordered)


@dataclass(frozen=True, kw_only=True)
class _Grain:
    """The files of a grain that is counted, and whether there are new ones of predictions."""

    parts: list[StoredPart]
    labels: list[StoredLabels]
    digest: bytes
    is_new: bool

    @staticmethod
    def of(
        parts: list[StoredPart], labels: list[StoredLabels], known: GrainCounts | None
    ) -> _Grain:
        digest = _digest_of(one for one in parts if not one.is_merged)
        is_new = known is None or known.predictions != digest
        return _Grain(parts=parts, labels=labels, digest=digest, is_new=is_new)

    @property
    def size(self) -> int:
        """Bytes of the files, as they are listed."""
        return sum(one.size for one in self.parts) + sum(one.size for one in self.labels)


@dataclass(frozen=True, kw_only=True)
class _Counter:
    """Counts grains of a variant."""

    store: MonitorStore
    config: MonitorConfig
    counting: Counting
    variant: str

    def count(
        self, grains: Mapping[datetime, _Grain]
    ) -> Iterator[tuple[GrainCounts, list[StoredLabels]]]:
        """Count grains that changed; return the files of labels that were used, too."""
        sizes = {start: grain.size for start, grain in grains.items()}
        batches = list(batches_of(sizes))
        # Sums are stored before labels are looked for: who receives a label after that finds it
        # there.
        held, grains = self._sum_up(grains, sizes, is_kept=len(batches) == 1)
        new = [start for start, grain in grains.items() if grain.is_new]
        waiting = find_waiting(self.store, self.config, variant=self.variant, grains=new)
        for batch in batches:
            unread = {start: grains[start].parts for start in batch if start not in held}
            # Nothing here keeps a batch while the next one is read.
            yield from self._count_batch(
                {start: grains[start] for start in batch},
                {**held, **read_grains(self.store, unread)},
                waiting,
            )

    def _sum_up(
        self, grains: Mapping[datetime, _Grain], sizes: Mapping[datetime, int], *, is_kept: bool
    ) -> tuple[dict[datetime, Predictions], dict[datetime, _Grain]]:
        """Sum up the new predictions of many files; return them if asked, and the grains."""
        many = {
            start: grain.parts
            for start, grain in grains.items()
            if grain.is_new and is_summed(grain.parts)
        }
        held: dict[datetime, Predictions] = {}
        summed = dict(grains)
        for batch in batches_of({start: sizes[start] for start in many}):
            held.update(read_grains(self.store, {start: many[start] for start in batch}))
            if not is_kept:
                held.clear()
            for start in batch:
                summed[start] = replace(grains[start], parts=with_sum(self.store, many[start]))
        return held, summed

    def _count_batch(
        self,
        grains: Mapping[datetime, _Grain],
        predictions: Mapping[datetime, Predictions],
        waiting: WaitingLabels,
    ) -> Iterator[tuple[GrainCounts, list[StoredLabels]]]:
        labels = {start: grain.labels for start, grain in grains.items()}
        if waiting.match({start: predictions[start] for start in grains if grains[start].is_new}):
            span = Window(min(grains), max(grains) + self.config.grid.grain)
            listed = _by_grain(self.store.list_matched_labels(variant=self.variant, window=span))
            labels = {start: listed.get(start, []) for start in grains}
        data = read_many(self.store, [one.key for some in labels.values() for one in some])
        for start, grain in grains.items():
            used = labels[start]
            merged = merge_labels(map(decode_labels, islice(data, len(used))))
            joined = join_labels(predictions[start], merged)
            counts, bias = _count(self.counting, predictions[start], joined.label)
            counted = GrainCounts(
                start=start,
                predictions=grain.digest,
                labels=_digest_of(used),
                standing=joined.counts,
                counts=counts,
                bias=bias,
            )
            yield counted, used


def _count(
    counting: Counting, predictions: Predictions, label: Column
) -> tuple[OutcomeCounts | None, BiasCounts | None]:
    if counting.spec is None:
        return None, None
    where = counting.columns
    # Files from before a column was asked for do not have it.
    names = (*where.names, *where.segments)
    table = {**{name: predictions.column(name) for name in names}, where.label: label}
    outcomes = outcomes_of_table(where, table)
    counts = count_outcomes(counting.spec, outcomes)
    if counting.bias is None:
        return counts, None
    return counts, count_outcome_bias(counting.bias, outcomes)


def _sum(files: WindowFiles, counting: Counting, grains: Iterable[GrainCounts]) -> CountedWindow:
    some = list(grains)
    counts = bias = None
    if counting.spec is not None:
        counts = sum_counts(counting.spec, (one.counts for one in some if one.counts is not None))
    if counting.bias is not None:
        bias = sum_bias_counts(counting.bias, (one.bias for one in some if one.bias is not None))
    return CountedWindow(
        files=files,
        standing=sum_label_counts(one.standing for one in some),
        counts=counts,
        bias=bias,
    )


def _by_grain(some: Iterable[_Stored]) -> dict[datetime, list[_Stored]]:
    grains: defaultdict[datetime, list[_Stored]] = defaultdict(list)
    for one in some:
        grains[one.grain_start].append(one)
    return dict(grains)


class _KeptGrain(msgspec.Struct, array_like=True, gc=False):
    start: datetime
    predictions: bytes
    labels: bytes
    standing: bytes
    counts: bytes | None
    bias: bytes | None


class _Kept(msgspec.Struct, array_like=True, gc=False):
    counting: bytes
    grains: list[_KeptGrain]


def encode_grains(counting: Counting, grains: Iterable[GrainCounts]) -> bytes:
    """Write the counts of a window's grains."""
    kept = _Kept(
        counting=counting.digest,
        grains=[
            _KeptGrain(
                start=one.start,
                predictions=one.predictions,
                labels=one.labels,
                standing=encode_label_counts(one.standing),
                counts=None if one.counts is None else encode_counts(one.counts),
                bias=None if one.bias is None else encode_bias_counts(one.bias),
            )
            for one in grains
        ],
    )
    body = msgspec.msgpack.encode(kept)
    return _MAGIC + bytes([_VERSION]) + _digest(body) + body


def decode_grains(data: bytes, counting: Counting) -> dict[datetime, GrainCounts]:
    """Read the counts of a window's grains; none if they were counted differently.

    Raises
    ------
    StoreError, LabelError, QualityError, FairnessError
        If the bytes are of another format, or damaged.
    """
    if data[:_HEAD] != _MAGIC + bytes([_VERSION]):
        raise StoreError("it does not start as kept counts of this version do")
    body = data[_HEAD + _DIGEST_BYTES :]
    if data[_HEAD : _HEAD + _DIGEST_BYTES] != _digest(body):
        raise StoreError("its checksum is wrong: it is damaged or cut off")
    try:
        kept = msgspec.msgpack.decode(body, type=_Kept)
    except msgspec.DecodeError as error:
        raise StoreError(f"it cannot be read: {error}") from error
    if kept.counting != counting.digest:
        return {}
    return {
        one.start: GrainCounts(
            start=one.start,
            predictions=one.predictions,
            labels=one.labels,
            standing=decode_label_counts(one.standing),
            counts=None if one.counts is None else decode_counts(one.counts, counting.spec),
            bias=None if one.bias is None else decode_bias_counts(one.bias),
        )
        for one in kept.grains
    }


def _read(store: MonitorStore, key: str, counting: Counting) -> dict[datetime, GrainCounts]:
    try:
        return decode_grains(store.objects.read(key), counting)
    except ObjectNotFoundError:
        return {}
    except DriftgaugeError as error:
        logger.warning("counts of outcomes made anew", key=key, reason=str(error))
        return {}


def _write(
    store: MonitorStore, key: str, counting: Counting, grains: Iterable[GrainCounts]
) -> None:
    # Without it the next evaluation reads more, and is as right as this one.
    try:
        store.objects.write(key, encode_grains(counting, grains))
    except StoreError as error:
        logger.warning("counts of outcomes not kept", key=key, reason=str(error))


def _digest_of(some: Iterable[StoredPart | StoredLabels]) -> bytes:
    lines = sorted(f"{one.key} {one.tag}" for one in some)
    return _digest("\n".join(lines).encode())


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
