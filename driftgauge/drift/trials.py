"""Trials: windows of one size, drawn or past, judged by the engine as it is deployed.

``calibration`` makes figures of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

import numpy as np

from driftgauge.drift.decision import judge_features, smallest_effect
from driftgauge.drift.evidence import (
    EvidenceState,
    add_window,
    dispersions,
    judge_persistence,
)
from driftgauge.drift.scores import window_scores
from driftgauge.drift.synthetic import Movement, Population, spread_of_sizes
from driftgauge.drift.verdict import FeatureVerdict
from driftgauge.profile.profile import Profile
from driftgauge.settings import DecisionSettings, FeatureSettings
from driftgauge.windows import Window

CHANCE: Final = 0.9
YEAR: Final = timedelta(days=365)
# Quiet windows that share a baseline, and baselines that moved windows take turns with.
WINDOWS_PER_BASELINE: Final = 20
_BASELINES = 20
# A few moved windows, more of them where the answer is close.
_MOVED_WINDOWS = (20, 100)
# Evidence over time: quiet windows before the change, sequences of windows for each size of shift,
# and how often a sequence is looked at.
_QUIET_BEFORE = 24
_SEQUENCES = 30
_LOOKS = 10
_START = datetime(2015, 4, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How windows come.

    Attributes
    ----------
    rows : int
        Rows of a window.
    length : timedelta
        From one window to the next.
    """

    rows: int
    length: timedelta

    @property
    def per_year(self) -> float:
        """Windows a year."""
        return YEAR / self.length

    def scaled(self, factor: float) -> Pace:
        """Return longer or shorter windows of the same traffic."""
        return Pace(rows=max(1, round(self.rows * factor)), length=self.length * factor)


@dataclass(frozen=True, kw_only=True, eq=False)
class PastWindow:
    """A window of the past."""

    window: Window
    profile: Profile


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """Everything that windows of one size are drawn and judged with."""

    baseline: Profile
    decision: DecisionSettings
    features: Mapping[str, FeatureSettings]
    pace: Pace
    dispersions: Mapping[str, float]
    rng: np.random.Generator

    def judge(
        self, baseline: Profile, window: Profile, given: Mapping[str, float] | None = None
    ) -> tuple[FeatureVerdict, ...]:
        """Judge a window with the settings as they are."""
        known = self.dispersions if given is None else given
        return judge_features(
            baseline=baseline,
            profile=window,
            decision=self.decision,
            features=self.features,
            dispersions=known if self.decision.clustering == "windows" else None,
        )

    def limit(self, name: str, min_effect: float) -> float:
        """Return the smallest effect of a column that is worth an alarm."""
        decision = self.decision.model_copy(update={"min_effect": min_effect})
        return smallest_effect(name, decision, self.features)


def learn_dispersions(
    baseline: Profile, past: Sequence[PastWindow], decision: DecisionSettings
) -> dict[str, float]:
    """Return how many times more the past windows vary than independent rows would."""
    if not past:
        return {}
    state = EvidenceState.empty(baseline.spec.version)
    for one in past:
        state = add_window(state, window_scores(one.profile, baseline, window=one.window))
    end = past[-1].window.end
    return dispersions(state, baseline=baseline, before=end, settings=decision.persistence)


def quiet_windows(
    bench: Bench, windows: int, advance: Callable[[int], None]
) -> list[tuple[FeatureVerdict, ...]]:
    """Judge windows in which nothing moved."""
    population = Population.of(bench.baseline)
    verdicts = []
    for i in range(windows):
        if i % WINDOWS_PER_BASELINE == 0:
            baseline = population.draw(bench.baseline.rows, bench.rng)
            advance(1)
        window = population.draw(
            bench.pace.rows, bench.rng, dispersions=bench.dispersions, known=baseline
        )
        verdicts.append(bench.judge(baseline, window))
    return verdicts


def judge_past(bench: Bench, past: Sequence[PastWindow]) -> list[tuple[FeatureVerdict, ...]]:
    """Judge each past window against all others, with what windows before it taught."""
    if len(past) < 2:
        return []
    empty = Profile.empty(bench.baseline.spec)
    profiles = [one.profile for one in past]
    before = [empty, *accumulate(profiles)]
    after = [*reversed(list(accumulate(reversed(profiles)))), empty]
    state = EvidenceState.empty(bench.baseline.spec.version)
    verdicts = []
    for i, one in enumerate(past):
        known = dispersions(
            state,
            baseline=bench.baseline,
            before=one.window.start,
            settings=bench.decision.persistence,
        )
        verdicts.append(bench.judge(before[i] + after[i + 1], one.profile, known))
        scores = window_scores(one.profile, bench.baseline, window=one.window)
        state = add_window(state, scores)
    return verdicts


class Curve:
    """How often a column's shifts of different sizes are found in one window."""

    def __init__(self, bench: Bench, name: str, columns: int) -> None:
        self._bench = bench
        self._columns = columns
        self.movement = Movement(population=Population.of(bench.baseline).only(name))
        self.movable = self.movement.largest > 0.0
        self.sizes = spread_of_sizes(self.movement.largest) if self.movable else []
        self._evidence: dict[int, list[tuple[float, float]]] = {}
        rows, rng = bench.baseline.rows, bench.rng
        quiet = self.movement.population
        self._baselines = [quiet.draw(rows, rng) for _ in range(_BASELINES)]

    def smallest(self, alpha: float, min_effect: float, chance: float) -> float | None:
        """Return the smallest shift that is found so often; None if the largest is not."""
        limit = self._bench.limit(self.movement.feature.name, min_effect)

        def found(i: int) -> float:
            for windows in _MOVED_WINDOWS:
                evidence = self._measure(i, windows)[:windows]
                share = sum(p <= alpha and effect > limit for p, effect in evidence) / windows
                # Far from the chance that is looked for, few windows are enough.
                if abs(share - chance) > 4.0 * math.sqrt(chance * (1.0 - chance) / windows):
                    break
            return share

        return _first_above(self.sizes, found, chance)

    def _measure(self, i: int, windows: int) -> list[tuple[float, float]]:
        """Return corrected p-value and effect of windows moved by the i-th size."""
        evidence = self._evidence.setdefault(i, [])
        if len(evidence) < windows:
            moved = self.movement.by(self.sizes[i])
            for j in range(len(evidence), windows):
                evidence.append(self._judge(moved, self._baselines[j % _BASELINES]))
        return evidence

    def _judge(self, moved: Population, baseline: Profile) -> tuple[float, float]:
        bench = self._bench
        window = moved.draw(
            bench.pace.rows, bench.rng, dispersions=bench.dispersions, known=baseline
        )
        (verdict,) = bench.judge(baseline, window)
        if verdict.p_value is None or verdict.effect is None:
            return 1.0, 0.0
        return min(1.0, self._columns * verdict.p_value), verdict.effect


def _first_above(
    sizes: Sequence[float], share: Callable[[int], float], chance: float
) -> float | None:
    """Return where a rising curve first reaches a height, between the sizes it is known at."""
    last = len(sizes) - 1
    if share(last) < chance:
        return None
    below, above = -1, last
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if share(middle) >= chance else (middle, above)
    if below < 0:
        return sizes[above]
    low, high = share(below), share(above)
    weight = (chance - low) / (high - low)
    return float(sizes[below] * (sizes[above] / sizes[below]) ** weight)


class Sequences:
    """Windows of one column over time: quiet ones, then moved ones.

    The monitor's evidence is the average over its columns. With all but one column quiet it
    alarms when that column's evidence exceeds the threshold as many times as there are columns.
    """

    def __init__(self, bench: Bench, curve: Curve, columns: int) -> None:
        self._bench = bench
        self._curve = curve
        persistence = bench.decision.persistence
        every = persistence.false_alarm_every * columns
        self._settings = persistence.model_copy(update={"false_alarm_every": every})
        quiet = curve.movement.population
        before = max(_QUIET_BEFORE, persistence.learning_windows)
        self._starts = []
        for _ in range(_SEQUENCES):
            baseline = quiet.draw(bench.baseline.rows, bench.rng)
            state = EvidenceState.empty(baseline.spec.version)
            for i in range(before):
                state = self._add(state, baseline, quiet, i)
            self._starts.append((baseline, state, before))

    def smallest(self, windows: int) -> float | None:
        """Return the smallest shift that nine in ten sequences find within so many windows."""
        if not windows:
            return None
        sizes = self._curve.sizes
        known: dict[int, float] = {}

        def found(i: int) -> float:
            if i not in known:
                moved = self._curve.movement.by(sizes[i])
                hits = sum(self._finds(moved, at, windows) for at in range(_SEQUENCES))
                known[i] = hits / _SEQUENCES
            return known[i]

        return _first_above(sizes, found, CHANCE)

    def _finds(self, moved: Population, at: int, windows: int) -> bool:
        baseline, state, before = self._starts[at]
        every = -(-windows // _LOOKS)
        for i in range(windows):
            state = self._add(state, baseline, moved, before + i)
            if (i + 1) % every and i + 1 < windows:
                continue
            verdict = judge_persistence(
                state,
                baseline=baseline,
                features={},
                settings=self._settings,
                window_length=self._bench.pace.length,
            )
            if verdict.verdict == "drift":
                return True
        return False

    def _add(
        self, state: EvidenceState, baseline: Profile, population: Population, i: int
    ) -> EvidenceState:
        length = self._bench.pace.length
        start = _START + i * length
        profile = population.draw(
            self._bench.pace.rows, self._bench.rng, dispersions=self._bench.dispersions
        )
        scores = window_scores(profile, baseline, window=Window(start, start + length))
        return add_window(state, scores)
