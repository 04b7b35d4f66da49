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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product
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
    judge_past,
    learn_dispersions,
    quiet_windows,
)
from driftgauge.drift.verdict import FeatureVerdict
from driftgauge.errors import ProfileError
from driftgauge.profile.profile import Profile
from driftgauge.profile.spec import Kind
from driftgauge.settings import DecisionSettings, FeatureSettings
from driftgauge.windows import Window

DAY: Final = timedelta(days=1)
MIN_EFFECTS: Final = (0.01, 0.02, 0.05)
ALPHAS: Final = (0.01, 0.05)
# Sizes of windows, as multiples of the size they have.
FACTORS: Final = (1.0, 0.5, 2.0)
QUIET_WINDOWS: Final = 1000
_Z95 = 1.959963984540054
_MONTH = timedelta(days=30)
# Windows of the longest sequence that evidence over time is tried on.
_LONGEST_SEQUENCE = 120


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
        30 days, or fewer if that were more windows than are simulated.
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
    current : bool
        Whether these are the settings as they are.
    quiet : Alarms
        Of drawn windows: those with any drifted column.
    past : Alarms or None
        Of past windows, each against all others.
    past_columns : mapping of str to int
        In how many of these each column drifted.
    columns : tuple of Findable
        Every judged column that can move.
    lasting : tuple of Lasting
        An ordered and a categorical column, if the evidence over time is on.
    """

    pace: Pace
    alpha: float
    min_effect: float
    current: bool
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

    def typical(self, *, ordered: bool) -> Findable | None:
        """Return the column of middling sensitivity in one window; None if there is none."""
        return _typical([c for c in self.columns if (c.category is None) == ordered])


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All options; the dispersions are what past windows taught about clustering."""

    options: tuple[Option, ...]
    dispersions: Mapping[str, float] = field(default_factory=dict)

    @property
    def current(self) -> Option:
        """The settings as they are."""
        return next(option for option in self.options if option.current)


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
    learnt = {
        factor: learn_dispersions(baseline, past.get(factor, ()), decision) for factor in FACTORS
    }
    options: list[Option] = []
    for factor in FACTORS:
        bench = Bench(
            baseline=baseline,
            decision=decision,
            features=features,
            pace=pace.scaled(factor),
            dispersions=learnt[factor],
            rng=np.random.default_rng((seed, round(4 * factor))),
        )
        options.extend(_options_of(bench, past.get(factor, ()), windows, factor == 1.0, advance))
    return Calibration(options=tuple(options), dispersions=learnt[1.0])


def steps_of(baseline: Profile, features: Mapping[str, FeatureSettings], windows: int) -> int:
    """Return how many steps ``calibrate`` takes, for a progress bar."""
    columns = len(_judged(baseline, features))
    return len(FACTORS) * (windows // WINDOWS_PER_BASELINE + columns + 1)


def _judged(baseline: Profile, features: Mapping[str, FeatureSettings]) -> list[str]:
    names = (feature.name for feature in baseline.spec.features)
    return [name for name in names if not (name in features and features[name].ignore)]


def _options_of(
    bench: Bench,
    past: Sequence[PastWindow],
    windows: int,
    as_is: bool,
    advance: Callable[[int], None],
) -> list[Option]:
    """Return the options with one window size; the current one first."""
    quiet = quiet_windows(bench, windows, advance)
    if not any(verdict.effect is not None for verdict in quiet[0]):
        raise ProfileError(
            f"no column can be judged in windows of {bench.pace.rows:,} rows: "
            f"{bench.decision.min_rows:,} are needed (decision.min_rows); choose longer windows"
        )
    judged = judge_past(bench, past)
    now = (bench.decision.alpha, bench.decision.min_effect)
    limits = list(dict.fromkeys((now, *sorted(product(ALPHAS, MIN_EFFECTS)))))
    names = _judged(bench.baseline, bench.features)
    curves = []
    findable: dict[tuple[float, float], list[Findable]] = {pair: [] for pair in limits}
    for name in names:
        curve = Curve(bench, name, len(names))
        if curve.movable:
            curves.append(curve)
            for pair, found in findable.items():
                found.append(_findable(bench, curve, *pair))
        advance(1)
    options = [
        _option(bench, pair, quiet, judged, findable[pair], as_is and pair == now)
        for pair in limits
    ]
    lasting = _lasting(bench, options[0], curves, len(names))
    advance(1)
    return [replace(option, lasting=lasting) for option in options]


def _drifts(bench: Bench, verdict: FeatureVerdict, alpha: float, min_effect: float) -> bool:
    """Decide from a verdict's evidence by other limits than it was decided by."""
    if verdict.adjusted_p_value is None or verdict.effect is None:
        return False
    limit = bench.limit(verdict.name, min_effect)
    return verdict.adjusted_p_value <= alpha and verdict.effect > limit


def _option(
    bench: Bench,
    limits: tuple[float, float],
    quiet: Sequence[Sequence[FeatureVerdict]],
    judged: Sequence[Sequence[FeatureVerdict]],
    columns: Sequence[Findable],
    current: bool,
) -> Option:
    alpha, min_effect = limits
    drifted, past = (
        [[v.name for v in verdicts if _drifts(bench, v, alpha, min_effect)] for verdicts in windows]
        for windows in (quiet, judged)
    )
    moved = [name for names in past for name in names]
    return Option(
        pace=bench.pace,
        alpha=alpha,
        min_effect=min_effect,
        current=current,
        quiet=Alarms(windows=len(drifted), drifted=sum(map(bool, drifted))),
        past=Alarms(windows=len(past), drifted=sum(map(bool, past))) if past else None,
        past_columns={name: moved.count(name) for name in dict.fromkeys(moved)},
        columns=tuple(columns),
        lasting=(),
    )


def _findable(bench: Bench, curve: Curve, alpha: float, min_effect: float) -> Findable:
    a_day = int(DAY / bench.pace.length)
    movement = curve.movement
    category = None if movement.ordered else movement.category
    return Findable(
        name=movement.feature.name,
        kind=movement.feature.kind,
        category=None if category is None else movement.feature.categories[category],
        window=curve.smallest(alpha, min_effect, CHANCE),
        # Found in one of so many windows.
        day=curve.smallest(alpha, min_effect, 1.0 - (1.0 - CHANCE) ** (1.0 / a_day))
        if a_day
        else None,
    )


def _typical(columns: Sequence[Findable]) -> Findable | None:
    found = sorted((c for c in columns if c.window is not None), key=lambda c: c.window or 0.0)
    return found[(len(found) - 1) // 2] if found else None


def _lasting(
    bench: Bench, option: Option, curves: Sequence[Curve], columns: int
) -> tuple[Lasting, ...]:
    """Return what the evidence over time finds of the typical columns."""
    if not bench.decision.persistence.enabled:
        return ()
    month = min(_LONGEST_SEQUENCE, int(_MONTH / bench.pace.length))
    day = min(month, int(DAY / bench.pace.length))
    found = []
    for ordered in (True, False):
        column = option.typical(ordered=ordered)
        if column is None:
            continue
        curve = next(c for c in curves if c.movement.feature.name == column.name)
        sequences = Sequences(bench, curve, columns)
        found.append(
            Lasting(
                name=column.name,
                category=column.category,
                day=sequences.smallest(day),
                month=sequences.smallest(month),
                horizon=month * bench.pace.length,
            )
        )
    return tuple(found)


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
