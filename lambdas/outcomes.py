"""A window's predictions beside their labels, counted grain by grain.

The counts of every grain are kept with a digest of what they were made of, so that an evaluation
reads only the grains whose predictions or labels changed since the last one. They can be deleted
at any time, and of two evaluations that write at once either's may stay.

Layout of the kept counts, format version 1: ``b"DGOG"``, the version as one byte, 16 bytes of
checksum over the rest, and MessagePack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
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
from lambdas.grains import merge_grain
from lambdas.inputs import WindowFiles, WindowProfiles, find_files
from lambdas.label_matching import match_waiting
from lambdas.runtime import Runtime, logger, read_many

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
    found: WindowProfiles,
    baseline: OutcomeBaseline | None,
    *,
    variant: str,
    window: Window,
) -> CountedWindow:
    """Join a window's predictions with their labels, and count both.

    One grain at a time is in memory. Labels that came before the predictions of a grain, or while
    it had too many files to be searched, are matched here.

    Raises
    ------
    LabelError
        If a file of predictions or labels cannot be read.
    """
    store = run.store(config.name)
    counting = counting_of(config, baseline)
    key = store.outcomes_key(baseline=found.baseline, variant=variant, window=window)
    kept = _read(store, key, counting)
    files = find_files(store, config, found, variant=variant, window=window)
    labels = _by_grain(files.labels)
    counter = _Counter(run=run, config=config, counting=counting, variant=variant)
    grains: list[GrainCounts] = []
    for start, parts in sorted(_by_grain(files.predictions).items()):
        one, used = counter.count(start, parts, labels.get(start, []), kept.get(start))
        grains.append(one)
        labels[start] = used
    if any(one is not kept.get(one.start) for one in grains):
        _write(store, key, counting, grains)
    # The files that were counted: what arrived meanwhile makes an evaluation of its own.
    used_labels = tuple(one for start in sorted(labels) for one in labels[start])
    return _sum(replace(files, labels=used_labels), counting, grains)


@dataclass(frozen=True, kw_only=True)
class _Counter:
    """Counts single grains of a variant."""

    run: Runtime
    config: MonitorConfig
    counting: Counting
    variant: str

    def count(
        self,
        start: datetime,
        parts: list[StoredPart],
        labels: list[StoredLabels],
        known: GrainCounts | None,
    ) -> tuple[GrainCounts, list[StoredLabels]]:
        """Count one grain, if it has changed; return the files of labels that were used, too."""
        store = self.run.store(self.config.name)
        of_parts = _digest_of(one for one in parts if not one.is_merged)
        predictions: Predictions | None = None
        if known is None or known.predictions != of_parts:
            # The sum is stored before labels are looked for: who receives a label after that
            # finds it there.
            predictions = merge_grain(store, parts)
            labels = self._match(start, predictions, labels)
        of_labels = _digest_of(labels)
        if known is not None and (known.predictions, known.labels) == (of_parts, of_labels):
            return known, labels
        if predictions is None:
            predictions = merge_grain(store, parts)
        data = read_many(store, sorted(one.key for one in labels))
        joined = join_labels(predictions, merge_labels(map(decode_labels, data)))
        counts, bias = _count(self.counting, predictions, joined.label)
        counted = GrainCounts(
            start=start,
            predictions=of_parts,
            labels=of_labels,
            standing=joined.counts,
            counts=counts,
            bias=bias,
        )
        return counted, labels

    def _match(
        self, start: datetime, predictions: Predictions, labels: list[StoredLabels]
    ) -> list[StoredLabels]:
        """Match waiting labels with new predictions; return all files of labels of the grain."""
        store = self.run.store(self.config.name)
        matched = match_waiting(
            store, self.config, variant=self.variant, grain_start=start, predictions=predictions
        )
        if not matched:
            return labels
        grain = Window(start, start + self.config.grid.grain)
        return list(store.list_matched_labels(variant=self.variant, window=grain))


def _count(
    counting: Counting, predictions: Predictions, label: Column
) -> tuple[OutcomeCounts | None, BiasCounts | None]:
    if counting.spec is None:
        return None, None
    table = {**predictions.columns, counting.columns.label: label}
    outcomes = outcomes_of_table(counting.columns, table)
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
