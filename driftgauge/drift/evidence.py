"""Evidence over time: small shifts that last, with a promised rate of false alarms.

One small object per monitor and variant, the ``EvidenceState``, holds the score sums of every
window: the latest ones one by one, older ones in blocks that grow with their age. From it follows
everything: the e-detector (``edetector``), since when there is a shift, and how much more windows
differ than independent rows would (dispersion).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.dispersion import (
    LARGEST_RATIO,
    SPANS,
    Dispersion,
    Past,
    cautious,
    estimate_dispersion,
    neighbor_ratios,
)
from driftgauge.drift.edetector import (
    differences,
    log_processes,
    log_sum,
    pooled_deviation,
)
from driftgauge.drift.scores import MISSING, ScoreLayout, WindowScores, score_layout
from driftgauge.drift.verdict import FeatureEvidence, Outcome, PersistentDrift
from driftgauge.errors import ProfileError, StoreError
from driftgauge.profile.profile import Profile

if TYPE_CHECKING:
    from driftgauge.settings import FeatureSettings, PersistenceSettings

Floats = NDArray[np.float64]

# Windows that become a block together, and those that stay individual at least.
_GROUP: Final = 8
_RECENT: Final = 32
# Blocks of one size; a third one makes the two oldest one.
_BLOCKS_PER_SIZE: Final = 2
# Pairs remembered of windows that are in blocks; older ones fade.
_MOST_PAIRS: Final = 512.0
_MOST_FEATURES: Final = 5


@dataclass(frozen=True, kw_only=True)
class EvidenceState:
    """Score sums of all windows so far.

    Attributes
    ----------
    baseline_version : str
        The baseline the scores belong to.
    starts : tuple of int
        Start of each entry's first window, seconds since 1970-01-01T00:00:00Z, increasing.
    windows : tuple of int
        Windows of each entry: blocks first, then entries of a single window.
    rows : tuple of int
        Rows of each entry.
    sums : bytes
        Score sums by entry, little-endian float32.
    ratios, pairs : bytes
        Of the windows in blocks: sum of the squared differences of neighbors, divided by what
        independent rows would give, and how many there are; by span and aspect, float32.
    """

    baseline_version: str
    starts: tuple[int, ...] = ()
    windows: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    sums: bytes = b""
    ratios: bytes = b""
    pairs: bytes = b""
    version: int = 1

    def __post_init__(self) -> None:
        if self.version != 1:
            raise StoreError(f"evidence of version {self.version}: this driftgauge reads version 1")
        if not len(self.starts) == len(self.windows) == len(self.rows):
            raise StoreError("evidence is damaged: its entries differ in number")

    @classmethod
    def empty(cls, version: str) -> EvidenceState:
        """Return the state before the first window against a baseline."""
        return cls(baseline_version=version)

    @property
    def blocks(self) -> int:
        """How many entries hold more than one window."""
        return sum(count > 1 for count in self.windows)

    def before(self, moment: datetime) -> EvidenceState:
        """Return the state without the windows from a moment on; blocks stay."""
        seconds = int(moment.timestamp())
        keep = sum(start < seconds for start in self.starts)
        keep = max(keep, self.blocks)
        return _cut(self, keep)


def encode_evidence(state: EvidenceState) -> bytes:
    """Write a state: MessagePack, compressed."""
    return zlib.compress(msgspec.msgpack.encode(state), 6)


def decode_evidence(data: bytes) -> EvidenceState:
    """Read a state.

    Raises
    ------
    StoreError
        If the data is not a state this version can read.
    """
    try:
        return msgspec.msgpack.decode(zlib.decompress(data), type=EvidenceState)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"the evidence over time cannot be read: {error}") from error


def add_window(state: EvidenceState, scores: WindowScores) -> EvidenceState:
    """Add a window, or replace it if it is there already.

    A window older than the individually kept ones is too late: the state is returned unchanged.
    So is it for a window without rows that is not there yet.

    Raises
    ------
    ProfileError
        If state and window belong to different baselines.
    """
    layout = scores.layout
    if layout.baseline_version != state.baseline_version:
        raise ProfileError(
            f"evidence against baseline {state.baseline_version!r} cannot take a window counted "
            f"against {layout.baseline_version!r}: start from EvidenceState.empty"
        )
    start = int(scores.window.start.timestamp())
    blocks = state.blocks
    if blocks and start < state.starts[blocks]:
        return state
    sums = _matrix(state, layout)
    place = sum(known < start for known in state.starts)
    same = place < len(state.starts) and state.starts[place] == start
    after = place + same
    new = (start,) if scores.rows else ()
    added = scores.sums[None] if scores.rows else scores.sums[None][:0]
    grown = replace(
        state,
        starts=(*state.starts[:place], *new, *state.starts[after:]),
        windows=(*state.windows[:place], *(1 for _ in new), *state.windows[after:]),
        rows=(*state.rows[:place], *(scores.rows for _ in new), *state.rows[after:]),
        sums=_pack(np.concatenate([sums[:place], added, sums[after:]])),
    )
    return _retire(grown, layout) if len(grown.starts) - blocks >= _RECENT + _GROUP else grown


def judge_persistence(
    state: EvidenceState,
    *,
    baseline: Profile,
    features: Mapping[str, FeatureSettings],
    settings: PersistenceSettings,
    window_length: timedelta,
) -> PersistentDrift:
    """Decide on all windows so far.

    Parameters
    ----------
    state : EvidenceState
        The windows.
    baseline : Profile
        What they are compared with.
    features : mapping of str to FeatureSettings
        Overrides by column. Ignored columns have no part in the evidence.
    settings : PersistenceSettings
        How rarely unchanged traffic may alarm, and how long to learn.
    window_length : timedelta
        Turns ``false_alarm_every`` into a number of windows.

    Raises
    ------
    ProfileError
        If the state belongs to another baseline.
    """
    layout = _layout(state, baseline)
    threshold = max(1.0, settings.false_alarm_every / window_length)
    windows = sum(state.windows)
    used = np.array([not (name in features and features[name].ignore) for name in layout.features])
    if not state.starts or not used.any():
        return PersistentDrift(
            verdict="insufficient_data", value=0.0, threshold=threshold, windows=windows
        )
    sums, rows = _matrix(state, layout), np.array(state.rows, dtype=np.float64)
    deviation, skewness = pooled_deviation(layout, sums, rows)
    spread = _dispersion(state, layout, deviation)
    shift, precision = differences(layout, sums, rows)
    processes = log_processes(
        shift / deviation,
        precision / spread.factor,
        skewness,
        freedom=spread.freedom,
        min_shift=settings.min_shift,
    )
    detectors = log_sum(processes)
    shares = np.where(used[layout.feature_of], layout.weight, 0.0) / used.sum()
    value = _bounded(float(log_sum(detectors, shares)))
    verdict: Outcome = "drift" if value >= threshold else "ok"
    if windows < settings.learning_windows:
        verdict = "insufficient_data"
    return PersistentDrift(
        verdict=verdict,
        value=value,
        threshold=threshold,
        windows=windows,
        features=_strongest(layout, state, processes, detectors, shares, shift),
    )


def dispersions(
    state: EvidenceState,
    *,
    baseline: Profile,
    before: datetime,
    settings: PersistenceSettings,
    training: tuple[Floats, Floats] | None = None,
) -> dict[str, float]:
    """Return how many times more windows vary than independent rows would, by column.

    Learnt from the windows before a moment; while there are fewer than
    ``settings.learning_windows``, from blocks of the training data. Of a column's aspects the
    average, missing left out; larger than the estimate by what an estimate may be wrong.

    Parameters
    ----------
    state : EvidenceState
        The windows.
    baseline : Profile
        What they are compared with.
    before : datetime
        Windows from here on are not learnt from.
    settings : PersistenceSettings
        How long to learn.
    training : pair of ndarray of float64, shapes (W, S) and (W,), optional
        Score sums and rows of the training data in windows' sizes, see ``TrainingBlocks``;
        without them columns have dispersion 1 in the beginning.

    Raises
    ------
    ProfileError
        If the state belongs to another baseline.
    """
    layout = _layout(state, baseline)
    known = state.before(before)
    if sum(known.windows) >= settings.learning_windows:
        sums, rows = _matrix(known, layout), np.array(known.rows, dtype=np.float64)
        deviation, _ = pooled_deviation(layout, sums, rows)
        found = _dispersion(known, layout, deviation)
    elif training is not None:
        sums, rows = training
        deviation, _ = pooled_deviation(layout, sums, rows)
        nothing = np.zeros((len(SPANS), len(layout.aspects)))
        found = estimate_dispersion(
            layout,
            sums,
            rows,
            deviation,
            past=Past(ratios=nothing, pairs=nothing),
            changes=np.zeros(1, dtype=np.intp),
        )
    else:
        return dict.fromkeys(layout.features, 1.0)
    means = cautious(found.single[0], found.freedom[0])
    counted = np.array([aspect.name != MISSING for aspect in layout.aspects], dtype=np.float64)
    columns = len(layout.features)
    total = np.bincount(layout.feature_of, means * counted, minlength=columns)
    aspects = np.bincount(layout.feature_of, counted, minlength=columns)
    averages = np.maximum(1.0, total / np.maximum(1.0, aspects))
    return dict(zip(layout.features, averages.tolist(), strict=True))


def _dispersion(state: EvidenceState, layout: ScoreLayout, deviation: Floats) -> Dispersion:
    first = state.blocks
    return estimate_dispersion(
        layout,
        _matrix(state, layout)[first:],
        np.array(state.rows[first:], dtype=np.float64),
        deviation,
        past=_past(state, len(layout.aspects)),
        changes=np.arange(len(state.starts)) - first,
    )


def _retire(state: EvidenceState, layout: ScoreLayout) -> EvidenceState:
    """Make the oldest individual windows a block, and remember how they differed."""
    first = state.blocks
    sums = _matrix(state, layout)
    rows = np.array(state.rows, dtype=np.float64)
    deviation, _ = pooled_deviation(layout, sums, rows)
    bound = LARGEST_RATIO * _dispersion(state, layout, deviation).factor[first]
    past = _past(state, len(layout.aspects))
    for level, span in enumerate(SPANS):
        # The differences within the group and to its successor.
        part = slice(first, first + _GROUP + span)
        ratios = neighbor_ratios(layout, sums[part], rows[part], deviation, span=span)
        past.ratios[level] += np.nansum(np.minimum(ratios, bound), axis=0)
        past.pairs[level] += np.count_nonzero(~np.isnan(ratios), axis=0)
    fade = np.minimum(1.0, _MOST_PAIRS / np.maximum(1.0, past.pairs))
    entries = [
        (state.starts[i], state.windows[i], state.rows[i], sums[i]) for i in range(len(rows))
    ]
    blocks = [*entries[:first], _joined(entries[first : first + _GROUP])]
    _merge_blocks(blocks)
    entries = [*blocks, *entries[first + _GROUP :]]
    return replace(
        state,
        starts=tuple(entry[0] for entry in entries),
        windows=tuple(entry[1] for entry in entries),
        rows=tuple(entry[2] for entry in entries),
        sums=_pack(np.stack([entry[3] for entry in entries])),
        ratios=_pack(past.ratios * fade),
        pairs=_pack(past.pairs * fade),
    )


_Entry = tuple[int, int, int, Floats]


def _merge_blocks(blocks: list[_Entry]) -> None:
    """Join the two oldest blocks of a size as long as there are too many of it, in place."""
    size = _GROUP
    while True:
        same = [i for i, block in enumerate(blocks) if block[1] == size]
        if len(same) <= _BLOCKS_PER_SIZE:
            return
        blocks[same[0] : same[0] + 2] = [_joined(blocks[same[0] : same[0] + 2])]
        size *= 2


def _joined(entries: list[_Entry]) -> _Entry:
    return (
        entries[0][0],
        sum(entry[1] for entry in entries),
        sum(entry[2] for entry in entries),
        np.sum([entry[3] for entry in entries], axis=0),
    )


def _strongest(
    layout: ScoreLayout,
    state: EvidenceState,
    processes: Floats,
    detectors: Floats,
    shares: Floats,
    shift: Floats,
) -> tuple[FeatureEvidence, ...]:
    """Describe the columns with the most evidence by their leading aspects."""
    found = []
    with np.errstate(divide="ignore"):
        parts = detectors + np.log(shares)
    for feature in range(len(layout.features)):
        own = np.flatnonzero(layout.feature_of == feature)
        lead = int(own[np.argmax(parts[own])])
        if np.isfinite(parts[lead]):
            found.append((float(log_sum(parts[own])), lead))
    evidence = []
    for _, lead in sorted(found, key=lambda pair: (-pair[0], pair[1]))[:_MOST_FEATURES]:
        change = int(np.argmax(processes[:, lead]))
        evidence.append(
            FeatureEvidence(
                name=layout.features[layout.aspects[lead].feature],
                aspect=layout.aspects[lead].name,
                value=_bounded(float(detectors[lead])),
                shift=float(shift[change, lead]),
                since=datetime.fromtimestamp(state.starts[change], tz=UTC),
            )
        )
    return tuple(evidence)


def _bounded(logarithm: float) -> float:
    """Return e to the given power, as far as a float64 and JSON reach."""
    return math.exp(min(logarithm, 700.0))


def _layout(state: EvidenceState, baseline: Profile) -> ScoreLayout:
    layout = score_layout(baseline)
    if layout.baseline_version != state.baseline_version:
        raise ProfileError(
            f"the evidence belongs to baseline {state.baseline_version!r}, not "
            f"{layout.baseline_version!r}: start from EvidenceState.empty"
        )
    return layout


def _matrix(state: EvidenceState, layout: ScoreLayout) -> Floats:
    """Return the sums by entry, shape (E, S)."""
    slots = layout.baseline.shape[0]
    if len(state.sums) != 4 * slots * len(state.starts):
        raise StoreError("evidence is damaged: its sums do not fit the baseline")
    values = np.frombuffer(state.sums, dtype="<f4").astype(np.float64)
    return values.reshape(len(state.starts), slots)


def _past(state: EvidenceState, aspects: int) -> Past:
    shape = (len(SPANS), aspects)
    if not state.ratios:
        return Past(ratios=np.zeros(shape), pairs=np.zeros(shape))
    if not len(state.ratios) == len(state.pairs) == 4 * math.prod(shape):
        raise StoreError("evidence is damaged: its dispersions do not fit the baseline")
    ratios, pairs = (
        np.frombuffer(data, dtype="<f4").astype(np.float64).reshape(shape)
        for data in (state.ratios, state.pairs)
    )
    return Past(ratios=ratios, pairs=pairs)


def _cut(state: EvidenceState, keep: int) -> EvidenceState:
    if keep == len(state.starts):
        return state
    return replace(
        state,
        starts=state.starts[:keep],
        windows=state.windows[:keep],
        rows=state.rows[:keep],
        sums=state.sums[: keep * (len(state.sums) // len(state.starts))],
    )


def _pack(values: Floats) -> bytes:
    return values.astype("<f4").tobytes()
