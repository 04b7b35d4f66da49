"""Calibration: what a monitor's settings will find, and how often they will err.

Windows are drawn from the baseline's own counts and judged by the engine. Each baseline they are
compared with is drawn from the same counts as well, so both sides vary as samples of one
population do. Nothing moves in these windows, or one column does. While all others are quiet, a
correction for k columns multiplies that one's p-value by k, so it can be judged by itself.

Past windows, where there are any, say how much more windows differ than independent rows would
(the drawn ones differ as much), and each is judged against all the others.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, product
from typing import Final

import numpy as np

from driftgauge.drift.predictions import wilson_interval
from driftgauge.drift.trials import (
    CHANCE,
    WINDOWS_PER_BASELINE,
    Bench,
    Curve,
    Pace,
    PastWindow,
    Sequences,
    Trials,
    judged_columns,
    learn_dispersions,
)
from driftgauge.profile.profile import Profile
from driftgauge.profile.spec import Kind
from driftgauge.settings import DecisionSettings, FeatureSettings
from driftgauge.windows import Window

DAY: Final = timedelta(days=1)
MIN_EFFECTS: Final = (0.01, 0.025, 0.05)
ALPHAS: Final = (0.01, 0.05)
# Sizes of windows, as multiples of the size they have.
FACTORS: Final = (1.0, 0.5, 2.0)
QUIET_WINDOWS: Final = 500
_Z95 = 1.959963984540054
_MONTH = timedelta(days=30)
# Windows of the longest sequence that evidence over time is tried on, windows as they are.
_LONGEST_SEQUENCE = 96


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """How many of some windows in which nothing moved were taken for drift."""

    windows: int
    drifted: int

    @property
    def share(self) -> float:
        """Of the windows."""
        return self.drifted / self.windows

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson_interval(self.share, self.windows, z=_Z95)


@dataclass(frozen=True, kw_only=True)
class Findable:
    """The smallest shift of one column that is found nine times in ten.

    Shifts of an ordered column are in standard deviations of the column made normal, those of any
    other the growth of one category's share, and so the total variation (``Movement.by``).

    Attributes
    ----------
    name, kind : str
        The column.
    category : str or None
        The one that grows; None for an ordered column.
    window : float or None
        Found in the first window; None if not even the largest shift is.
    day : float or None
        Found in one of the windows of a day; None if none is, or a window is longer.
    """

    name: str
    kind: Kind
    category: str | None
    window: float | None
    day: float | None


@dataclass(frozen=True, kw_only=True)
class Lasting:
    """The smallest shift that the evidence over time finds nine times in ten.

    Attributes
    ----------
    name : str
        The column: of its kind the one of middling sensitivity.
    category : str or None
        As in ``Findable``.
    day, month : float or None
        Found within a day, and within ``horizon``; None if not even the largest shift is.
    horizon : timedelta
        The same for all options: about 30 days, or fewer if that were too many windows.
    """

    name: str
    category: str | None
    day: float | None
    month: float | None
    horizon: timedelta


@dataclass(frozen=True, kw_only=True)
class Option:
    """Settings, and what they lead to.

    Attributes
    ----------
    pace : Pace
        Window size.
    alpha, min_effect : float
        As in ``DecisionSettings``.
    quiet : Alarms
        Of drawn windows: those with any drifted column.
    past : Alarms or None
        Of past windows, each against all others.
    past_columns : mapping of str to int
        In how many of these each column drifted.
    columns : tuple of Findable
        With the settings as they are every judged column that can move, else the typical ones.
    lasting : tuple of Lasting
        The typical columns, if the evidence over time is on.
    """

    pace: Pace
    alpha: float
    min_effect: float
    quiet: Alarms
    past: Alarms | None
    past_columns: Mapping[str, int]
    columns: tuple[Findable, ...]
    lasting: tuple[Lasting, ...]

    @property
    def alarms_a_year(self) -> float:
        """Expected false alarms a year."""
        return self.quiet.share * self.pace.per_year

    @property
    def alarms_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of ``alarms_a_year``."""
        low, high = self.quiet.interval
        return low * self.pace.per_year, high * self.pace.per_year


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was found out.

    Attributes
    ----------
    options : tuple of Option
        The settings as they are, then the alternatives.
    typical : tuple of str
        The ordered and the categorical column of middling sensitivity, as far as there are any.
    dispersions : mapping of str to float
        What past windows taught about clustering, by column.
    """

    options: tuple[Option, ...]
    typical: tuple[str, ...]
    dispersions: Mapping[str, float] = field(default_factory=dict)

    @property
    def current(self) -> Option:
        """The settings as they are."""
        return self.options[0]


def calibrate(
    *,
    baseline: Profile,
    decision: DecisionSettings,
    features: Mapping[str, FeatureSettings],
    pace: Pace,
    past: Mapping[float, Sequence[PastWindow]] | None = None,
    windows: int = QUIET_WINDOWS,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """Simulate what the settings lead to, and alternatives to them.

    Alternatives are windows of half and twice the size, ``MIN_EFFECTS`` and ``ALPHAS``.

    Parameters
    ----------
    baseline : Profile
        The baseline's.
    decision : DecisionSettings
        The settings as they are.
    features : mapping of str to FeatureSettings
        Overrides by column; a column's own ``min_effect`` stays in all alternatives.
    pace : Pace
        The windows.
    past : mapping of float to sequence of PastWindow, optional
        Past windows in time order, by their length as a multiple of the pace's: 0.5, 1 and 2.
    windows : int
        How many quiet windows of each size are drawn.
    seed : int
        The same seed gives the same figures.
    advance : callable
        Told of each step done, of ``steps_of``.

    Raises
    ------
    ProfileError
        If a window is too small for any column to be judged.
    """
    past = past or {}
    options: list[Option] = []
    typical: tuple[str, ...] = ()
    for factor in FACTORS:
        known = past.get(factor, ())
        bench = Bench(
            baseline=baseline,
            decision=decision,
            features=features,
            pace=pace.scaled(factor),
            dispersions=learn_dispersions(baseline, known, decision),
            rng=np.random.default_rng((seed, round(4 * factor))),
        )
        table = _Table(bench, known, windows, _horizon(pace), advance)
        curves = table.curves(typical if options else bench.names)
        if not options:
            learnt = bench.dispersions
            typical = _typical([table.findable(curve, table.limits[0]) for curve in curves])
        options.extend(table.options(curves, typical))
    return Calibration(options=tuple(options), typical=typical, dispersions=learnt)


def steps_of(baseline: Profile, features: Mapping[str, FeatureSettings], windows: int) -> int:
    """Return about how many steps ``calibrate`` takes, for a progress bar."""
    columns = len(judged_columns(baseline, features))
    typical = 2
    drawn = len(FACTORS) * (windows // WINDOWS_PER_BASELINE)
    moved = columns + (len(FACTORS) - 1) * typical
    return drawn + moved + len(FACTORS) * typical


def _horizon(pace: Pace) -> timedelta:
    """Return a span of whole windows, whether as they are, halved or doubled."""
    windows = min(_LONGEST_SEQUENCE, int(_MONTH / pace.length))
    return max(1, windows // 2) * 2 * pace.length


def _typical(columns: Sequence[Findable]) -> tuple[str, ...]:
    names = []
    for ordered in (True, False):
        found = [
            (column.window, column.name)
            for column in columns
            if column.window is not None and (column.category is None) == ordered
        ]
        names += [name for _, name in sorted(found)[(len(found) - 1) // 2 :][:1]]
    return tuple(names)


class _Table:
    """All options with one window size."""

    def __init__(
        self,
        bench: Bench,
        past: Sequence[PastWindow],
        windows: int,
        horizon: timedelta,
        advance: Callable[[int], None],
    ) -> None:
        self._bench = bench
        self._horizon = horizon
        self._advance = advance
        now = (bench.decision.alpha, bench.decision.min_effect)
        self.limits = list(dict.fromkeys((now, *sorted(product(ALPHAS, MIN_EFFECTS)))))
        trials = Trials(bench, self.limits)
        self._quiet = trials.of_drawn(windows, advance)
        self._past = trials.of_past(past)

    def curves(self, names: Sequence[str]) -> list[Curve]:
        """Return the columns that can move."""
        curves = [Curve(self._bench, name) for name in names]
        return [curve for curve in curves if curve.movable]

    def options(self, curves: Sequence[Curve], typical: Sequence[str]) -> list[Option]:
        """Return the options; the first has the limits as they are."""
        columns: dict[tuple[float, float], list[Findable]] = {pair: [] for pair in self.limits}
        for curve in curves:
            # Alternatives are compared by the typical columns alone.
            known = self.limits if curve.movement.feature.name in typical else self.limits[:1]
            for pair in known:
                columns[pair].append(self.findable(curve, pair))
            self._advance(1)
        enabled = self._bench.decision.persistence.enabled
        lasting = tuple(
            self._lasting(curve)
            for curve in curves
            if enabled and curve.movement.feature.name in typical
        )
        return [
            Option(
                pace=self._bench.pace,
                alpha=pair[0],
                min_effect=pair[1],
                quiet=_alarms(self._quiet[pair]),
                past=_alarms(self._past[pair]) if self._past else None,
                past_columns=dict(Counter(chain.from_iterable(self._past.get(pair, ())))),
                columns=tuple(columns[pair]),
                lasting=lasting,
            )
            for pair in self.limits
        ]

    def findable(self, curve: Curve, limits: tuple[float, float]) -> Findable:
        """Return the smallest shift of a column that single windows find."""
        a_day = int(DAY / self._bench.pace.length)
        # Found in one of so many windows.
        each = 1.0 - (1.0 - CHANCE) ** (1.0 / max(1, a_day))
        return Findable(
            name=curve.movement.feature.name,
            kind=curve.movement.feature.kind,
            category=curve.category,
            window=curve.smallest(*limits, CHANCE),
            day=curve.smallest(*limits, each) if a_day else None,
        )

    def _lasting(self, curve: Curve) -> Lasting:
        length = self._bench.pace.length
        sequences = Sequences(self._bench, curve)
        self._advance(1)
        return Lasting(
            name=curve.movement.feature.name,
            category=curve.category,
            day=sequences.smallest(int(DAY / length)) if length <= DAY < self._horizon else None,
            month=sequences.smallest(round(self._horizon / length)),
            horizon=self._horizon,
        )


def _alarms(drifted: Sequence[Sequence[str]]) -> Alarms:
    return Alarms(windows=len(drifted), drifted=sum(map(bool, drifted)))


def group_past(
    halves: Sequence[PastWindow], *, length: timedelta, anchor: datetime
) -> dict[float, list[PastWindow]]:
    """Add windows of half the length up to the sizes that ``calibrate`` tries.

    Parameters
    ----------
    halves : sequence of PastWindow
        Windows of half the length, in time order.
    length : timedelta
        Of the monitor's windows.
    anchor : datetime
        A moment at which one of them starts.
    """
    grouped: dict[float, list[PastWindow]] = {0.5: list(halves)}
    for factor in (1.0, 2.0):
        longer: dict[int, PastWindow] = {}
        for one in halves:
            slot = (one.window.start - anchor) // (length * factor)
            start = anchor + slot * length * factor
            profile = longer[slot].profile + one.profile if slot in longer else one.profile
            longer[slot] = PastWindow(
                window=Window(start, start + length * factor), profile=profile
            )
        grouped[factor] = list(longer.values())
    return grouped


def typical_rows(past: Sequence[PastWindow]) -> int:
    """Return the median of the windows' rows."""
    return round(statistics.median(one.profile.rows for one in past))
