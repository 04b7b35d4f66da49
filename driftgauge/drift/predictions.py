"""The predictions' own distribution: the prior-shift view, without any label.

If the mix of cases changes, and not what each of them leads to, the shares of the predicted classes
and the distribution of the score move with it. How far is worth knowing beside the decision, and
how sure that is in a window of so many rows. Whether it is drift, ``decision`` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.special import normal_isf
from driftgauge.drift.verdict import ClassShare, PredictionShift
from driftgauge.profile.profile import FeatureProfile, Profile

if TYPE_CHECKING:
    from driftgauge.settings import FeatureSettings

_ERROR = 0.05
_TENTHS = 10
# Classes shown by name; all others are one more.
_MOST_CLASSES = 12
_OTHERS = "all other classes"
_UNSEEN = "not in the baseline"
_LONGEST_LABEL = 80


@dataclass(frozen=True, kw_only=True, eq=False)
class _Classes:
    """Counts of one column by class; ``labels`` for those that are shown, the rest at the end."""

    labels: tuple[str, ...]
    baseline: NDArray[np.int64]
    window: NDArray[np.int64]


def prediction_shifts(
    *,
    baseline: Profile,
    profile: Profile,
    features: Mapping[str, FeatureSettings],
    dispersions: Mapping[str, float] | None = None,
) -> tuple[PredictionShift, ...]:
    """Describe how each prediction's distribution differs from the baseline's.

    Parameters
    ----------
    baseline, profile : Profile
        Both sides, counted against one specification.
    features : mapping of str to FeatureSettings
        Overrides by column; ignored columns are left out.
    dispersions : mapping of str to float, optional
        How many times larger the variance between windows is than independent rows would give, by
        column; default 1. A window counts as its rows divided by it.

    Returns
    -------
    tuple of PredictionShift
        One for each output column with values on both sides, in the specification's order. The
        intervals of a column's shares hold together: Wilson's, with Bonferroni's correction.
    """
    shifts = []
    for there, here in zip(baseline.features, profile.features, strict=True):
        name = here.spec.name
        ignored = name in features and features[name].ignore
        if here.spec.role != "output" or ignored or not (there.counted and here.counted):
            continue
        dispersion = max(1.0, (dispersions or {}).get(name, 1.0))
        shifts.append(_shift(there, here, dispersion))
    return tuple(shifts)


def _shift(there: FeatureProfile, here: FeatureProfile, dispersion: float) -> PredictionShift:
    classes = _classes_of(there, here)
    before, now = (counts / counts.sum() for counts in (classes.baseline, classes.window))
    rows = here.counted / dispersion
    return PredictionShift(
        name=here.spec.name,
        classes=_shares(classes, rows),
        total_variation=float(np.abs(now - before).sum() / 2.0),
        expected_variation=_expected_variation(
            (classes.baseline + classes.window) / (there.counted + here.counted),
            rows,
            there.counted,
        ),
        mean_baseline=there.mean,
        mean_window=here.mean,
        mean_interval=mean_interval(here, dispersion=dispersion),
    )


def _classes_of(there: FeatureProfile, here: FeatureProfile) -> _Classes:
    spec = here.spec
    if spec.kind == "numeric" or (spec.kind == "discrete" and len(spec.edges) > _TENTHS):
        return _tenths(there, here)
    if spec.kind == "discrete":
        labels: tuple[str, ...] = tuple(f"{value:.6g}" for value in spec.edges)
        known, novel = slice(1, None, 2), slice(0, None, 2)
        return _Classes(
            labels=(*labels, _UNSEEN),
            baseline=np.append(there.counts[known], there.counts[novel].sum()),
            window=np.append(here.counts[known], here.counts[novel].sum()),
        )
    before = np.append(there.counts, there.unseen_rows)
    now = np.append(here.counts, here.unseen_rows)
    labels = (*(_shorten(word) for word in spec.categories), _UNSEEN)
    heavy = np.maximum(before / before.sum(), now / now.sum())
    order = np.argsort(-heavy, kind="stable")
    shown = order[:_MOST_CLASSES]
    # Those that are shown stay in the baseline's order.
    order = np.concatenate([np.sort(shown), order[_MOST_CLASSES:]])
    return _Classes(
        labels=tuple(labels[i] for i in order[:_MOST_CLASSES]),
        baseline=before[order],
        window=now[order],
    )


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _tenths(there: FeatureProfile, here: FeatureProfile) -> _Classes:
    """Group an ordered column's cells such that each group has about a tenth of the baseline."""
    total = there.counts.sum()
    # A cell belongs where the middle of its mass lies.
    middle = np.cumsum(there.counts) - there.counts / 2.0
    groups = np.minimum((middle * _TENTHS / total).astype(np.intp), _TENTHS - 1)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    if here.spec.kind == "numeric":
        bounds = [here.spec.edges[cell - 1] for cell in starts[1:].tolist()]
    else:
        # Odd cells are values, even ones the gaps below them, which go with what precedes.
        starts = np.unique(np.append(0, starts[1:] | 1))
        bounds = [here.spec.edges[cell // 2] for cell in starts[1:].tolist()]
    return _Classes(
        labels=_band_labels([f"{bound:.6g}" for bound in bounds]),
        baseline=np.add.reduceat(there.counts, starts),
        window=np.add.reduceat(here.counts, starts),
    )


def _band_labels(bounds: list[str]) -> tuple[str, ...]:
    if not bounds:
        return ("all values",)
    inner = [f"[{low}, {high})" for low, high in pairwise(bounds)]
    return (f"below {bounds[0]}", *inner, f"{bounds[-1]} and above")


def _shares(classes: _Classes, rows: float) -> tuple[ClassShare, ...]:
    """Return the shares of the classes that occur, the unnamed ones together."""
    named = len(classes.labels)
    labels = [*classes.labels, _OTHERS]
    before, now = (
        np.append(counts[:named], counts[named:].sum()) / counts.sum()
        for counts in (classes.baseline, classes.window)
    )
    shown = np.flatnonzero(before + now > 0.0).tolist()
    z = normal_isf(_ERROR / 2.0 / len(shown))
    shares = []
    for i in shown:
        low, high = wilson_interval(float(now[i]), rows, z=z)
        shares.append(
            ClassShare(
                label=labels[i],
                baseline=float(before[i]),
                window=float(now[i]),
                low=low,
                high=high,
            )
        )
    return tuple(shares)


def _expected_variation(pooled: NDArray[np.float64], rows: float, baseline_rows: int) -> float:
    r"""Return about what total variation two samples of one distribution would have.

    Half the sum over classes of the mean absolute difference of two shares, which for
    adequate counts is normal: sqrt(2 p (1 - p) (1/n + 1/m) / pi).
    """
    variance = pooled * (1.0 - pooled) * (1.0 / rows + 1.0 / baseline_rows)
    return float(np.sqrt(2.0 / math.pi * variance).sum() / 2.0)


def wilson_interval(share: float, rows: float, *, z: float) -> tuple[float, float]:
    """Return Wilson's interval of a share.

    Parameters
    ----------
    share : float
        Observed, between 0 and 1.
    rows : float
        What it is a share of, above 0; need not be whole.
    z : float
        Quantile of the standard normal distribution, such as 1.96 for 95 %.

    References
    ----------
    .. [1] Wilson, E. B. (1927), Probable inference, the law of succession, and statistical
       inference, Journal of the American Statistical Association.

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson_interval(0.1, 100, z=1.96)]
    [0.0552, 0.1744]
    """
    square = z * z / rows
    middle = (share + square / 2.0) / (1.0 + square)
    half = math.sqrt(share * (1.0 - share) * square + square * square / 4.0) / (1.0 + square)
    # At the ends the exact bounds are 0 and 1; rounding must not move them.
    low = 0.0 if share == 0.0 else max(0.0, middle - half)
    return low, 1.0 if share == 1.0 else min(1.0, middle + half)


def mean_interval(
    feature: FeatureProfile, *, dispersion: float = 1.0
) -> tuple[float, float] | None:
    """Return the 95 % interval of a column's mean, from its exact moments.

    Student's t, its quantile by the Cornish-Fisher expansion (within 0.1 % from 5 degrees of
    freedom on).

    Parameters
    ----------
    feature : FeatureProfile
        The window's.
    dispersion : float
        Factor of the mean's variance.

    Returns
    -------
    tuple of float, or None
        None if the column is not numeric, has fewer than two numbers, or has moments beyond a
        float64.
    """
    mean, std_dev, n = feature.mean, feature.std_dev, int(feature.counts.sum())
    if mean is None or std_dev is None or n < 2:
        return None
    half = _student_quantile(n - 1) * std_dev * math.sqrt(dispersion / (n - 1))
    if not (math.isfinite(mean - half) and math.isfinite(mean + half)):
        return None
    return mean - half, mean + half


def _student_quantile(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5)."""
    z = normal_isf(_ERROR / 2.0)
    s = z * z
    terms = (
        z * (s + 1) / 4,
        z * ((5 * s + 16) * s + 3) / 96,
        z * (((3 * s + 19) * s + 17) * s - 15) / 384,
        z * ((((79 * s + 776) * s + 1482) * s - 1920) * s - 945) / 92160,
    )
    return z + math.fsum(term / float(degrees) ** (i + 1) for i, term in enumerate(terms))
