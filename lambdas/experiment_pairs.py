"""A shadow test: predictions of both variants in pairs, grain by grain, and what they say.

The counts of every grain are kept with a digest of what they were made of, so that a look reads
only the grains whose predictions or labels changed. They can be deleted at any time before the
decision.

Layout of the kept counts, format version 1: ``b"DGPG"``, the version as one byte, 16 bytes of
checksum over the rest, and MessagePack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b

import msgspec

from driftgauge.columns import Column
from driftgauge.config import MonitorConfig
from driftgauge.errors import StoreError
from driftgauge.experiment_settings import ShadowMonitorSettings
from driftgauge.experiments.pairs import pair_predictions
from driftgauge.experiments.shadow import ShadowCounts, count_pairs, sum_shadow_counts
from driftgauge.experiments.shadow_codec import decode_shadow_counts, encode_shadow_counts
from driftgauge.experiments.shadow_judging import judge_shadow
from driftgauge.experiments.shadow_spec import ShadowSpec, shadow_spec
from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.labels.codec import decode_labels
from driftgauge.labels.join import join_labels
from driftgauge.labels.predictions import Predictions, merge_predictions
from driftgauge.labels.truth import merge_labels
from driftgauge.quality.tables import outcomes_of_table
from driftgauge.store import Current, MonitorStore, StoredLabels, StoredPart
from driftgauge.windows import Window
from lambdas.experiment_latency import read_latencies
from lambdas.experiment_windows import change_counts, windows_to_count
from lambdas.grains import read_grains
from lambdas.inputs import recent_baselines
from lambdas.runtime import Runtime, logger, now, read_many

_MAGIC = b"DGPG\x01"
_DIGEST_BYTES = 16
_Files = dict[datetime, tuple[StoredPart, ...]]


def judge_pairs(
    run: Runtime, config: MonitorConfig, settings: ShadowMonitorSettings, window: Window
) -> ShadowVerdict | None:
    """Judge a shadow test after a window was evaluated; None if it cannot be judged yet.

    Raises
    ------
    DriftgaugeError
        If predictions, labels or latencies cannot be read.
    """
    store = run.store(config.name)
    current, _ = run.current(store)
    baseline = run.outcome_baseline(store, current.baseline)
    if baseline is None or baseline.spec is None:
        logger.warning(
            "experiment not judged",
            experiment=settings.name,
            reason="the baseline knows no outcomes: its training data lacks label or prediction",
        )
        return None
    spec = shadow_spec(baseline.spec, tolerance=settings.tolerance)
    pairing = _Pairing(store=store, config=config, settings=settings, current=current)
    grains = change_counts(
        store,
        settings.name,
        decode=decode_paired,
        encode=encode_paired,
        count=partial(pairing.count, spec, window),
    )
    if not grains:
        logger.info("experiment not judged", experiment=settings.name, reason="no window settled")
        return None
    parts = [one.counts for one in grains.values()]
    moment = now()
    return judge_shadow(
        sum_shadow_counts(parts[0].spec, parts),
        settings=settings,
        experiment=settings.name,
        production=settings.champion,
        shadow=settings.challenger,
        started=settings.since,
        evaluated_at=moment,
        latencies=read_latencies(run, config, settings, until=moment),
    )


@dataclass(frozen=True, kw_only=True)
class PairedGrain:
    """What was counted in one grain, and a digest of what it was counted from."""

    start: datetime
    source: bytes
    counts: ShadowCounts


Paired = Mapping[datetime, PairedGrain]


@dataclass(frozen=True, kw_only=True)
class _Pairing:
    """Pairs the predictions of two variants."""

    store: MonitorStore
    config: MonitorConfig
    settings: ShadowMonitorSettings
    current: Current

    def count(self, spec: ShadowSpec, window: Window, kept: Paired | None) -> Paired:
        """Count the grains that changed. All are counted as the first one was."""
        grains = dict(kept or {})
        spec = next((one.counts.spec for one in grains.values()), spec)
        windows = windows_to_count(self.config, self.settings, window, is_first=not grains)
        if not windows:
            return grains
        span = Window(windows[0].start, windows[-1].end)
        files = _GrainFiles.find(self, span)
        reader = _Neighbours(store=self.store, files=files, step=self.config.grid.grain)
        for start in files.starts:
            if not span.start <= start < span.end or start < self.settings.since:
                continue
            source = files.source(start, reader.step)
            known = grains.get(start)
            if known is None or known.source != source:
                counts = self._count_grain(spec, reader, start)
                grains[start] = PairedGrain(start=start, source=source, counts=counts)
        return grains

    def _count_grain(self, spec: ShadowSpec, reader: _Neighbours, start: datetime) -> ShadowCounts:
        production, shadow = reader.read(start)
        columns = replace(
            self.config.outcome_columns,
            classes=spec.classes,
            segments=tuple(spec.segments),
        )
        label = reader.labels(start, production)
        pairs = pair_predictions(
            replace(production, columns={**production.columns, columns.label: label}),
            shadow,
            window=Window(start, start + reader.step),
        )
        if not pairs.counts.rows:
            return replace(ShadowCounts.empty(spec), pairing=pairs.counts)
        table = pairs.production.columns
        return count_pairs(
            spec,
            outcomes_of_table(columns, table),
            outcomes_of_table(
                columns, {**pairs.shadow.columns, columns.label: table[columns.label]}
            ),
            pairing=pairs.counts,
        )


@dataclass(frozen=True, kw_only=True)
class _GrainFiles:
    """What is stored of some grains."""

    production: _Files
    shadow: _Files
    labels: dict[datetime, tuple[StoredLabels, ...]]

    @classmethod
    def find(cls, pairing: _Pairing, span: Window) -> _GrainFiles:
        """Find what is stored of a span of time, and predictions of a grain more at its ends."""
        step, settings = pairing.config.grid.grain, pairing.settings
        wider = Window(span.start - step, span.end + step)
        found = pairing.store.list_matched_labels(variant=settings.champion, window=span)
        labels: defaultdict[datetime, list[StoredLabels]] = defaultdict(list)
        for one in found:
            labels[one.grain_start].append(one)
        return cls(
            production=_find_predictions(pairing, settings.champion, wider),
            shadow=_find_predictions(pairing, settings.challenger, wider),
            labels={start: tuple(some) for start, some in labels.items()},
        )

    @property
    def starts(self) -> list[datetime]:
        """Grains with predictions, in the order of time."""
        return sorted({*self.production, *self.shadow})

    def source(self, start: datetime, step: timedelta) -> bytes:
        """Return what stands for all that the pairs of a grain depend on."""
        parts = [
            one
            for moment in (start - step, start, start + step)
            for files in (self.production, self.shadow)
            for one in files.get(moment, ())
            if not one.is_merged
        ]
        lines = [f"{one.key} {one.tag}" for one in parts]
        lines += [f"{one.key} {one.tag}" for one in self.labels.get(start, ())]
        return _digest("\n".join(sorted(lines)).encode())


def _find_predictions(pairing: _Pairing, variant: str, span: Window) -> _Files:
    """Find predictions by grain: of each those of the newest baseline that has any."""
    found: _Files = {}
    for version in recent_baselines(pairing.current):
        own: defaultdict[datetime, list[StoredPart]] = defaultdict(list)
        listed = pairing.store.list_predictions(baseline=version, variant=variant, window=span)
        for one in listed:
            own[one.grain_start].append(one)
        for start, parts in own.items():
            found.setdefault(start, tuple(parts))
    return found


class _Neighbours:
    """Reads grains in the order of time, with those before and after, each once."""

    def __init__(self, *, store: MonitorStore, files: _GrainFiles, step: timedelta) -> None:
        self._store = store
        self._files = files
        self.step = step
        self._held: dict[tuple[int, datetime], Predictions] = {}

    def read(self, start: datetime) -> tuple[Predictions, Predictions]:
        """Return production's and the shadow's predictions of a grain and its neighbours.

        The two variants of a request may answer on different sides of a grain's end.
        """
        moments = (start - self.step, start, start + self.step)
        wanted = {(side, moment) for side in (0, 1) for moment in moments}
        self._held = {key: held for key, held in self._held.items() if key in wanted}
        sides = (self._files.production, self._files.shadow)
        return (self._side(0, sides[0], moments), self._side(1, sides[1], moments))

    def _side(self, side: int, files: _Files, moments: Sequence[datetime]) -> Predictions:
        unread = {
            moment: files[moment]
            for moment in moments
            if moment in files and (side, moment) not in self._held
        }
        for moment, found in read_grains(self._store, unread).items():
            self._held[side, moment] = found
        return merge_predictions(
            self._held[side, moment] for moment in moments if (side, moment) in self._held
        )

    def labels(self, start: datetime, production: Predictions) -> Column:
        """Return the labels of production's rows, as far as they are in the grain."""
        keys = [one.key for one in self._files.labels.get(start, ())]
        merged = merge_labels(map(decode_labels, read_many(self._store, keys)))
        return join_labels(production, merged).label


class _Stored(msgspec.Struct, array_like=True, gc=False):
    start: datetime
    source: bytes
    counts: bytes


def encode_paired(grains: Paired) -> bytes:
    """Write the counts of grains. Equal counts give equal bytes."""
    body = msgspec.msgpack.encode(
        [
            _Stored(start=start, source=one.source, counts=encode_shadow_counts(one.counts))
            for start, one in sorted(grains.items())
        ]
    )
    return _MAGIC + _digest(body) + body


def decode_paired(data: bytes) -> Paired:
    """Read the counts of grains.

    Raises
    ------
    StoreError, ExperimentError
        If the bytes are of another format, or damaged.
    """
    head = len(_MAGIC)
    body = data[head + _DIGEST_BYTES :]
    if data[:head] != _MAGIC or data[head : head + _DIGEST_BYTES] != _digest(body):
        raise StoreError("it is no counts of pairs of this version, or damaged")
    return dict(_read_grains(body))


def _read_grains(body: bytes) -> Iterator[tuple[datetime, PairedGrain]]:
    for one in msgspec.msgpack.decode(body, type=list[_Stored]):
        counts = decode_shadow_counts(one.counts)
        yield one.start, PairedGrain(start=one.start, source=one.source, counts=counts)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
