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
from driftgauge.errors import ProfileError
from driftgauge.profile.profile import Profile
from driftgauge.settings import DecisionSettings, FeatureSettings
from driftgauge.windows import Window

CHANCE: Final = 0.9
YEAR: Final = timedelta(days=365)
# Quiet windows that share a baseline, and baselines that moved windows take turns with.
WINDOWS_PER_BASELINE: Final = 20
_BASELINES = 20
# A few moved windows, more of them where the answer is close.
_MOVED_WINDOWS = (20, 60)
# Evidence over time: quiet windows before the change, sequences of windows for each size of shift,
# and how often a sequence is looked at.
_QUIET_BEFORE = 24
_SEQUENCES = 24
_LOOKS = 4
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

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are judged."""
        return judged_columns(self.baseline, self.features)

    def judge(
        self,
        baseline: Profile,
        window: Profile,
        *,
        limits: tuple[float, float],
        dispersions: Mapping[str, float] | None = None,
    ) -> tuple[FeatureVerdict, ...]:
        """Judge a window by other limits: alpha and smallest effect."""
        alpha, min_effect = limits
        known = self.dispersions if dispersions is None else dispersions
        return judge_features(
            baseline=baseline,
            profile=window,
            decision=self.decision.model_copy(update={"alpha": alpha, "min_effect": min_effect}),
            features=self.features,
            dispersions=known if self.decision.clustering == "windows" else None,
        )


def judged_columns(baseline: Profile, features: Mapping[str, FeatureSettings]) -> tuple[str, ...]:
    """Return the columns that are not ignored."""
    names = (feature.name for feature in baseline.spec.features)
    return tuple(name for name in names if not (name in features and features[name].ignore))


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


Limits = tuple[float, float]
# The drifted columns of each window, by limits.
Drifted = dict[Limits, list[tuple[str, ...]]]


class Trials:
    """Windows judged by several pairs of alpha and smallest effect.

    What does not drift by the loosest limits drifts by none of them, so only the others are
    judged again.
    """

    def __init__(self, bench: Bench, limits: Sequence[Limits]) -> None:
        self._bench = bench
        self._limits = limits
        self._loosest = (max(alpha for alpha, _ in limits), min(effect for _, effect in limits))

    def of_drawn(self, windows: int, advance: Callable[[int], None]) -> Drifted:
        """Judge windows in which nothing moved.

        Raises
        ------
        ProfileError
            If they are too small for any column to be judged.
        """
        bench = self._bench
        population = Population.of(bench.baseline)
        drifted: Drifted = {pair: [] for pair in self._limits}
        for i in range(windows):
            if i % WINDOWS_PER_BASELINE == 0:
                baseline = population.draw(bench.baseline.rows, bench.rng)
                advance(1)
            window = population.draw(
                bench.pace.rows, bench.rng, dispersions=bench.dispersions, known=baseline
            )
            verdicts = self._judge(drifted, baseline, window)
            if i == 0 and all(verdict.effect is None for verdict in verdicts):
                raise ProfileError(
                    f"no column can be judged in windows of {bench.pace.rows:,} rows: "
                    f"{bench.decision.min_rows:,} values are needed (decision.min_rows); choose "
                    "longer windows"
                )
        return drifted

    def of_past(self, past: Sequence[PastWindow]) -> Drifted:
        """Judge each past window against all others, with what windows before it taught."""
        if len(past) < 2:
            return {}
        bench = self._bench
        empty = Profile.empty(bench.baseline.spec)
        profiles = [one.profile for one in past]
        before = [empty, *accumulate(profiles)]
        after = [*reversed(list(accumulate(reversed(profiles)))), empty]
        state = EvidenceState.empty(bench.baseline.spec.version)
        drifted: Drifted = {pair: [] for pair in self._limits}
        for i, one in enumerate(past):
            known = dispersions(
                state,
                baseline=bench.baseline,
                before=one.window.start,
                settings=bench.decision.persistence,
            )
            self._judge(drifted, before[i] + after[i + 1], one.profile, known)
            scores = window_scores(one.profile, bench.baseline, window=one.window)
            state = add_window(state, scores)
        return drifted

    def _judge(
        self,
        drifted: Drifted,
        baseline: Profile,
        window: Profile,
        known: Mapping[str, float] | None = None,
    ) -> tuple[FeatureVerdict, ...]:
        def judge(limits: Limits) -> tuple[FeatureVerdict, ...]:
            return self._bench.judge(baseline, window, limits=limits, dispersions=known)

        first = judge(self._loosest)
        for limits, found in drifted.items():
            verdicts = judge(limits) if any(v.verdict == "drift" for v in first) else first
            found.append(tuple(v.name for v in verdicts if v.verdict == "drift"))
        return first


class Curve:
    """How often a column's shifts of different sizes are found in one window.

    The column is judged alone, with the error probability divided by the number of columns: so it
    is with Holm's and with Benjamini and Hochberg's correction while the others are quiet.
    """

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench = bench
        self.movement = Movement(population=Population.of(bench.baseline).only(name))
        self.movable = self.movement.largest > 0.0
        self.sizes = spread_of_sizes(self.movement.largest) if self.movable else []
        self._evidence: dict[int, list[tuple[float, float]]] = {}
        rows, rng = bench.baseline.rows, bench.rng
        quiet = self.movement.population
        self._baselines = [quiet.draw(rows, rng) for _ in range(_BASELINES)]

    @property
    def category(self) -> str | None:
        """The category that grows; None for an ordered column."""
        category = None if self.movement.ordered else self.movement.category
        return None if category is None else self.movement.feature.categories[category]

    def smallest(self, alpha: float, min_effect: float, chance: float) -> float | None:
        """Return the smallest shift that is found so often; None if the largest is not."""
        bench = self._bench
        decision = bench.decision.model_copy(update={"min_effect": min_effect})
        limit = smallest_effect(self.movement.feature.name, decision, bench.features)
        level = alpha / len(bench.names)

        def found(i: int) -> float:
            for windows in _MOVED_WINDOWS:
                evidence = self._measure(i, windows)[:windows]
                share = sum(p <= level and effect > limit for p, effect in evidence) / windows
                # Far from the chance that is looked for, few windows are enough.
                if abs(share - chance) > 4.0 * math.sqrt(chance * (1.0 - chance) / windows):
                    break
            return share

        return _first_above(self.sizes, found, chance)

    def _measure(self, i: int, windows: int) -> list[tuple[float, float]]:
        """Return p-value and effect of windows moved by the i-th size."""
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
        limits = (bench.decision.alpha / len(bench.names), bench.decision.min_effect)
        (verdict,) = bench.judge(baseline, window, limits=limits)
        if verdict.adjusted_p_value is None or verdict.effect is None:
            return 1.0, 0.0
        return verdict.adjusted_p_value, verdict.effect


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

    def __init__(self, bench: Bench, curve: Curve) -> None:
        self._bench = bench
        self._curve = curve
        persistence = bench.decision.persistence
        every = persistence.false_alarm_every * len(bench.names)
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
