"""Concept drift of a stream of windows: which detectors fire on the windows' error rates.

All detectors of ``driftgauge.drift.detectors`` get each window's error rate with its number of
labelled rows, divided by the design effect. The first windows only teach: the usual error rate,
and how much more windows differ than independent rows would. Few windows know the latter badly,
and taken too small it makes false alarms, so its upper confidence bound is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from driftgauge.drift.detectors import (
    Adwin,
    Ddm,
    Detector,
    HddmA,
    HddmW,
    PageHinkley,
    run_detector,
)
from driftgauge.drift.special import chi_squared_sf

Direction: TypeAlias = Literal["rise", "fall"]

DETECTOR_NAMES: Final = {
    "adwin": "ADWIN",
    "page_hinkley": "Page-Hinkley",
    "ddm": "DDM",
    "hddm_a": "HDDM_A",
    "hddm_w": "HDDM_W",
}
# One-sided confidence of the design effect's upper bound.
CONFIDENCE: Final = 0.9
# Page and Hinkley's test, in standard deviations of one outcome: rises that do not count, and
# the sum of deviations that fires. A stationary sum passes it with probability exp(-12).
_TOLERANCE: Final = 0.1
_SUM: Final = 60.0
# DDM's own 3 fires on one quiet stream in five when windows are clustered.
_DDM_LEVEL: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class DesignEffect:
    """How many times more windows' error rates vary than those of independent rows would.

    Attributes
    ----------
    windows : int
        Windows it was learnt from.
    error_rate : float
        Of all their rows.
    measured : float
        Pearson's statistic over its degrees of freedom; below 1 by chance only.
    used : float
        Its upper 90 % confidence bound, at least 1: what the detectors are given.
    """

    windows: int
    error_rate: float
    measured: float
    used: float


@dataclass(frozen=True, kw_only=True)
class OutcomeWatch:
    """What the detectors say of a stream of windows.

    Attributes
    ----------
    design_effect : DesignEffect or None
        None if there are too few windows with labels to learn it from.
    learning : tuple of bool
        For each window, whether it only taught; also those without labels before the last one
        that did.
    fired : tuple of dict of str to {"rise", "fall"}
        For each window, the detectors that fire there and which way the error rate went. Only
        ADWIN fires on a fall.
    """

    design_effect: DesignEffect | None
    learning: tuple[bool, ...]
    fired: tuple[dict[str, Direction], ...]


def learn_design_effect(windows: Sequence[tuple[float, int]]) -> DesignEffect:
    r"""Learn from windows' error rates how much more they differ than by chance.

    .. math:: \hat\varphi = \frac{1}{k - 1}
        \sum_{i=1}^k \frac{n_i (p_i - \bar p)^2}{\bar p (1 - \bar p)}, \qquad
        \varphi = \max\Bigl(1, \frac{(k - 1) \hat\varphi}{\chi^2_{k-1;\,0.1}}\Bigr)

    That windows near each other are alike is not seen by it.

    Parameters
    ----------
    windows : sequence of (float, int)
        Error rate and number of labelled rows, above 0, of at least two windows.

    Examples
    --------
    >>> learnt = learn_design_effect([(0.2, 400), (0.3, 400)] * 4)
    >>> round(learnt.measured, 2), round(learnt.used, 2)
    (6.1, 15.06)
    """
    rows = sum(n for _, n in windows)
    rate = sum(p * n for p, n in windows) / rows
    freedom = len(windows) - 1
    variance = rate * (1.0 - rate)
    statistic = sum(n * (p - rate) ** 2 for p, n in windows) / variance if variance else 0.0
    return DesignEffect(
        windows=len(windows),
        error_rate=rate,
        measured=statistic / freedom,
        used=max(1.0, statistic / _chi_squared_quantile(1.0 - CONFIDENCE, freedom)),
    )


def _chi_squared_quantile(probability: float, freedom: int) -> float:
    low, high = 0.0, float(freedom)  # The median is below the mean, and so is what is below it.
    for _ in range(60):
        middle = (low + high) / 2.0
        if 1.0 - chi_squared_sf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def make_detectors(error_rate: float, *, min_windows: int) -> dict[str, Detector]:
    """Return all detectors, set for windows and for few false alarms.

    Parameters
    ----------
    error_rate : float
        The usual one, strictly between 0 and 1: Page and Hinkley's test is in the unit of the
        outcomes.
    min_windows : int
        Windows before Page and Hinkley's test may fire, also after it fired.
    """
    deviation = math.sqrt(error_rate * (1.0 - error_rate))
    return {
        "adwin": Adwin(clock=1),
        "page_hinkley": PageHinkley(
            delta=_TOLERANCE * deviation, threshold=_SUM * deviation, min_updates=min_windows
        ),
        "ddm": Ddm(drift_level=_DDM_LEVEL),
        "hddm_a": HddmA(),
        "hddm_w": HddmW(),
    }


def watch_outcomes(windows: Iterable[tuple[float, int]], *, learning_windows: int) -> OutcomeWatch:
    """Tell in which windows which detectors fire.

    The learning windows are given to the detectors as well, so that a change right after them is
    found, but what fires there is not told. Windows without labelled rows are passed over.

    Parameters
    ----------
    windows : iterable of (float, int)
        Error rate and number of labelled rows of each window, in time order; the rate of a
        window without labelled rows does not matter.
    learning_windows : int
        How many windows with labelled rows only teach; at least 2.

    Examples
    --------
    >>> quiet = [(0.19, 500), (0.21, 500)] * 10
    >>> watch = watch_outcomes([*quiet, *[(0.4, 500)] * 5], learning_windows=8)
    >>> [i for i, fired in enumerate(watch.fired) if "adwin" in fired]
    [20]
    """
    stream = list(windows)
    labelled = [i for i, (_, rows) in enumerate(stream) if rows]
    fired: tuple[dict[str, Direction], ...] = tuple({} for _ in stream)
    if len(labelled) < learning_windows:
        return OutcomeWatch(design_effect=None, learning=(True,) * len(stream), fired=fired)
    taught = labelled[:learning_windows]
    effect = learn_design_effect([stream[i] for i in taught])
    rows = sum(stream[i][1] for i in taught)
    # Without a single error (or success) so far the next row may still be one.
    rate = (effect.error_rate * rows + 0.5) / (rows + 1.0)
    learning = tuple(i <= taught[-1] for i in range(len(stream)))
    for name, detector in make_detectors(rate, min_windows=learning_windows).items():
        for i, window in enumerate(stream):
            before = detector.mean if isinstance(detector, Adwin) else None
            if not run_detector(detector, (window,), design_effect=effect.used) or learning[i]:
                continue
            fired[i][name] = _direction(detector, before)
    return OutcomeWatch(design_effect=effect, learning=learning, fired=fired)


def _direction(detector: Detector, before: float | None) -> Direction:
    """Return which way the mean went; only ADWIN fires on falls, and its window tells."""
    if not isinstance(detector, Adwin) or before is None:
        return "rise"
    after = detector.mean
    return "fall" if after is not None and after < before else "rise"
