"""Whether columns still go together as in the baseline.

Three tests look at the sums over whole rows that profiles keep (``profile.joint``):

- *association*: the correlation of any two components changed. Correlations are about the
  window's own means, so that a shift of single columns is none of their changes.
- *reconstruction*: rows lie farther from the baseline's principal plane.
- *mmd*: the mean of periodic functions of the whole row moved, which is a distance between joint
  distributions of any shape.

Each is compared with what the baseline's own rows do by chance, and Holm's correction pays for
the three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.joint_clusters import JointClusters
from driftgauge.drift.joint_moments import (
    LEAST_VARIANCE,
    correlation_matrix,
    residual,
    wave_distance,
)
from driftgauge.drift.multiplicity import holm
from driftgauge.drift.special import normal_sf
from driftgauge.drift.verdict import JointTest, JointVerdict, PairShift
from driftgauge.profile.joint import Component, JointMoments, joint_moments
from driftgauge.profile.joint_choice import JointChance, distance_cumulants

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.profile.profile import Profile
    from driftgauge.settings import DecisionSettings, FeatureSettings

# A correlation is tested where window and baseline expect so many rows off the commonest value of
# each component, and so many off both.
_ROWS_OFF = 20
_ROWS_OFF_BOTH = 5
# It is left aside where a component itself moved further than this: clipping, missing values and
# the shares of categories bound correlations.
_MOST_SHIFT = 1.0
# Around another middle a spread is another quantity: its score is to move by this at most, in
# standard deviations, and by twice its standard error more.
_MOST_SHIFT_OF_SPREAD = 0.1
_MOST_VARIANCE_RATIO = 2.0
_MOST_MISSING = 0.1
# Correlations nearer to one than this are all the same.
# Relative growth of the reconstruction error that is worth an alarm.
_LEAST_GROWTH = 0.1
_SHOWN = 5
# Columns get all of alpha for themselves. With half of it here, false alarms of either kind come in
# at most one and a half times alpha of the windows.
_SHARE_OF_ALPHA = 0.5
_SMALLEST_P = 1e-300


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """One test before correction; ``large``: its effect is worth an alarm."""

    name: Literal["association", "reconstruction", "mmd"]
    statistic: float
    effect: float
    p_value: float
    large: bool
    said: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """The tested pairs of components."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    before: NDArray[np.float64]
    now: NDArray[np.float64]
    z: NDArray[np.float64]

    @property
    def change(self) -> NDArray[np.float64]:
        return np.abs(self.now - self.before)


def judge_joint(
    *,
    baseline: Baseline,
    profile: Profile,
    settings: DecisionSettings,
    features: Mapping[str, FeatureSettings],
    dispersion: float = 1.0,
) -> JointVerdict:
    """Compare how columns go together in a window and in the baseline.

    Parameters
    ----------
    baseline : Baseline
        What the window is compared with.
    profile : Profile
        The window's rows, counted against the baseline's specification.
    settings : DecisionSettings
        Half of ``alpha`` for the three tests together, ``min_rows``; the smallest effects are
        ``joint.min_correlation_change`` (association), a tenth of the baseline's error
        (reconstruction) and ``min_effect`` (mmd).
    features : mapping of str to FeatureSettings
        Overrides by column. With an ignored column among the components only correlations of the
        others are tested: the other tests need all components.
    dispersion : float
        How many times larger the variance between windows is than independent rows would give.

    Returns
    -------
    JointVerdict
        ``insufficient_data`` if there are too few rows, or fewer than two columns to judge.
        The effects: the largest change of a correlation; the growth of the reconstruction error
        as a share; and the squared distance of the waves' means in units of their variance, less
        what sampling alone adds, which is about the PSI of a shift as visible.
    """
    spec, chance = baseline.spec.joint, baseline.joint
    if spec is None or chance is None or not profile.joint.shape[0]:
        return _insufficient(profile.rows, "The baseline has no sums over whole rows.")
    for rows, whose in ((profile.rows, "window"), (baseline.profile.rows, "baseline")):
        if rows < settings.min_rows:
            said = f"The {whose} has {rows:,} rows; {settings.min_rows:,} are needed."
            return _insufficient(profile.rows, said)
    components = spec.components
    judged = np.array([not _ignored(component, features) for component in components])
    if len({c.column for c, used in zip(components, judged, strict=True) if used}) < 2:
        return _insufficient(profile.rows, "Fewer than two columns that vary are judged.")
    before = joint_moments(spec, baseline.profile.joint)
    now = joint_moments(spec, profile.joint)
    steady = judged & _steady(components, baseline.profile, profile, before, now)
    association, reconstruction, mmd = _dispersions(baseline.clusters, dispersion, now)
    pairs = _compare_pairs(components, steady, chance, before, now, association)
    found = [_association(pairs, components, settings.joint.min_correlation_change)]
    if judged.all():
        found.append(_reconstruction(chance, before, now, reconstruction))
        found.append(_waves(chance, before, now, mmd, settings.min_effect))
    return _decide(
        [test for test in found if test is not None],
        rows=profile.rows,
        alpha=_SHARE_OF_ALPHA * settings.alpha,
        pairs=_shown_pairs(pairs, components),
        unsteady=len(
            {
                c.column
                for c, aside in zip(components, judged & ~steady, strict=True)
                if aside and c.kind != "spread"
            }
        ),
    )


def _dispersions(
    clusters: JointClusters | None, dispersion: float, now: JointMoments
) -> tuple[NDArray[np.float64], float, float]:
    """Return the larger of what single columns and what the training data's blocks show."""
    size = now.means.shape[0]
    if clusters is None:
        return np.full((size, size), dispersion), dispersion, dispersion
    association, reconstruction, mmd = clusters.at(now.rows)
    return (
        np.maximum(association, dispersion),
        max(reconstruction, dispersion),
        max(mmd, dispersion),
    )


def normal_equivalent(z: NDArray[np.float64], skewness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal deviates that are as unlikely as deviates of a skewed distribution.

    The distribution is Pearson's type III, a shifted gamma distribution, and the deviates are
    those of Wilson and Hilferty's cube root. Its three moments are all that is needed for sums of
    weighted chi-squared variables (Imhof 1961) and for means of independent rows.

    Parameters
    ----------
    z : ndarray of float64
        Standardised deviates.
    skewness : ndarray of float64
        Of their distribution, of the same shape; beyond 2 either way it counts as 2.

    References
    ----------
    .. [1] Wilson, E. B. and Hilferty, M. M. (1931), The distribution of chi-square, PNAS.
    .. [2] Imhof, J. P. (1961), Computing the distribution of quadratic forms in normal variables,
       Biometrika.

    Examples
    --------
    Of chi-squared with 8 degrees of freedom, 20.09 has the upper tail 0.01.

    >>> found = normal_equivalent(np.array([(20.09 - 8) / 4]), np.array([1.0]))
    >>> round(float(found[0]), 2)
    2.32
    """
    g = np.clip(np.abs(skewness), 1e-6, 2.0)
    shape = 4.0 / g**2
    turned = np.where(skewness < 0, -z, z)
    root = np.cbrt(np.maximum(0.0, 1.0 + g * turned / 2.0))
    equivalent = 3.0 * np.sqrt(shape) * (root - 1.0 + 1.0 / (9.0 * shape))
    result = np.where(skewness < 0, -equivalent, equivalent)
    return np.where(np.abs(skewness) < 1e-3, z, result)


def _ignored(component: Component, features: Mapping[str, FeatureSettings]) -> bool:
    return component.column in features and features[component.column].ignore


def _steady(
    components: tuple[Component, ...],
    there: Profile,
    here: Profile,
    before: JointMoments,
    now: JointMoments,
) -> NDArray[np.bool_]:
    """Return which components moved so little that their correlations can be compared."""
    old, new = np.diag(before.covariance), np.diag(now.covariance)
    missing = np.array(
        [
            here.feature(c.column).missing / here.rows
            - there.feature(c.column).missing / there.rows
            for c in components
        ]
    )
    apart = np.abs(now.means - before.means) / before.deviations
    score = {c.column: i for i, c in enumerate(components) if c.kind == "score"}
    limit = _MOST_SHIFT_OF_SPREAD + 2.0 / math.sqrt(min(now.rows, before.rows))
    folded = np.array([c.kind == "spread" and apart[score[c.column]] > limit for c in components])
    steady: NDArray[np.bool_] = (
        (old > 0)
        & (new * _MOST_VARIANCE_RATIO >= old)
        & (new <= old * _MOST_VARIANCE_RATIO)
        & (apart <= _MOST_SHIFT)
        & ~folded
        & (np.abs(missing) <= _MOST_MISSING)
    )
    return steady


def _sampling(n: float, m: float) -> tuple[float, float]:
    """Return variance and skewness of the difference of two means, for a row's of one."""
    variance = 1.0 / n + 1.0 / m
    return variance, (n**-2.0 - m**-2.0) / variance**1.5


def _compare_pairs(
    components: tuple[Component, ...],
    steady: NDArray[np.bool_],
    chance: JointChance,
    before: JointMoments,
    now: JointMoments,
    dispersion: NDArray[np.float64],
) -> _Pairs:
    """Compare the correlations of all pairs that can be."""
    columns = np.unique([c.column for c in components], return_inverse=True)[1]
    first, second = np.triu_indices(len(components), 1)
    rows = min(before.rows, now.rows)
    common = steady & (rows * chance.rarity >= _ROWS_OFF)
    both = rows * chance.rarity[first] * chance.rarity[second] >= _ROWS_OFF_BOTH
    used = common[first] & common[second] & both & (columns[first] != columns[second])
    first, second = first[used], second[used]
    old = correlation_matrix(before)[first, second]
    new = correlation_matrix(now)[first, second]
    # Fisher's transformation, with its sample size less three: what is left of the skewness is
    # that of the rows' influence.
    variance, asymmetry = _sampling(now.rows - 3, before.rows - 3)
    influence = np.maximum(chance.variances[first, second], LEAST_VARIANCE) / (1 - old**2) ** 2
    z = (np.arctanh(new) - np.arctanh(old)) / np.sqrt(
        influence * variance * dispersion[first, second]
    )
    skewness = chance.skewnesses[first, second] * asymmetry
    z = normal_equivalent(z, skewness)
    # The transformed correlation of n rows has an excess kurtosis of 2 / (n - 1) (Hotelling 1953).
    z /= 1.0 + np.maximum(0.0, z**2 - 3.0) / (12.0 * (rows - 1))
    return _Pairs(first=first, second=second, before=old, now=new, z=z)


def _association(pairs: _Pairs, components: tuple[Component, ...], least: float) -> _Found | None:
    """Test the pair with the strongest evidence, of those with a large change if there are any."""
    count = pairs.z.shape[0]
    if count == 0:
        return None
    change = pairs.change
    large = change >= least
    strength = np.abs(pairs.z)
    best = int(np.argmax(np.where(large, strength, -1.0) if large.any() else strength))
    names = components[pairs.first[best]].label, components[pairs.second[best]].label
    return _Found(
        name="association",
        statistic=float(strength[best]),
        effect=float(change[best]),
        p_value=min(1.0, 2.0 * normal_sf(float(strength[best])) * count),
        large=bool(large[best]),
        said=(
            f"the correlation of {names[0]} and {names[1]} went from {pairs.before[best]:.2f} to "
            f"{pairs.now[best]:.2f} (about the window's own means; a change of {least:g} is worth "
            "an alarm)"
        ),
    )


def _reconstruction(
    chance: JointChance, before: JointMoments, now: JointMoments, dispersion: float
) -> _Found | None:
    held, error, row_variance, row_skewness = chance.residual.tolist()
    if row_variance <= 0 or error <= 0:
        return None
    difference = residual(chance, before, now) - error
    variance, asymmetry = _sampling(now.rows, held)
    z = difference / math.sqrt(row_variance * variance * dispersion)
    deviate = normal_equivalent(np.array([z]), np.array([row_skewness * asymmetry]))
    growth = difference / error
    return _Found(
        name="reconstruction",
        statistic=z,
        effect=growth,
        p_value=min(1.0, 2.0 * normal_sf(abs(float(deviate[0])))),
        large=abs(growth) >= _LEAST_GROWTH,
        said=(
            f"rows lie {abs(growth):.0%} {'farther from' if growth > 0 else 'nearer to'} the "
            f"baseline's principal plane ({_LEAST_GROWTH:.0%} is worth an alarm; a shift of single "
            "columns shows here too)"
        ),
    )


def _waves(
    chance: JointChance,
    before: JointMoments,
    now: JointMoments,
    dispersion: float,
    least: float,
) -> _Found | None:
    """Compare the means of the waves: the squared discrepancy in units of their variance."""
    distance = wave_distance(chance, before, now)
    mean, spread, third = distance_cumulants(chance.wave_moments, min(now.rows, before.rows))
    if spread <= 0:
        return None
    variance = (1.0 / now.rows + 1.0 / before.rows) * dispersion
    z = (distance / variance - mean) / math.sqrt(spread)
    deviate = normal_equivalent(np.array([z]), np.array([third / spread**1.5]))
    effect = distance - variance * mean
    return _Found(
        name="mmd",
        statistic=distance / variance,
        effect=effect,
        p_value=normal_sf(float(deviate[0])),
        large=effect >= least,
        said=(
            f"the joint distribution is {effect:.3g} from the baseline's, as a squared distance in "
            f"standard deviations ({least:g} is worth an alarm; a shift of single columns shows "
            "here too)"
        ),
    )


def _decide(
    found: list[_Found], *, rows: int, alpha: float, pairs: tuple[PairShift, ...], unsteady: int
) -> JointVerdict:
    if not found:
        return _insufficient(rows, "No two columns can be compared.")
    adjusted = holm(np.array([test.p_value for test in found])).tolist()
    tests = tuple(
        JointTest(
            name=test.name,
            statistic=test.statistic,
            effect=test.effect,
            p_value=test.p_value,
            adjusted_p_value=p,
        )
        for test, p in zip(found, adjusted, strict=True)
    )
    alarms = [
        f"{test.said}, {_corrected(p, len(found), alpha)}"
        for test, p in zip(found, adjusted, strict=True)
        if p <= alpha and test.large
    ]
    if alarms:
        said = "; ".join(alarms)
        reason = f"{said[0].upper()}{said[1:]}."
    else:
        smallest = min(range(len(found)), key=lambda i: adjusted[i])
        how = _corrected(adjusted[smallest], len(found), alpha)
        reason = f"No change of how columns go together that is worth an alarm: {how}."
        if adjusted[smallest] <= alpha:
            reason = (
                f"How columns go together changed significantly ({how}), but too little for an "
                f"alarm: {found[smallest].said}."
            )
    if unsteady:
        reason += (
            f" Correlations with {unsteady:,} {'column' if unsteady == 1 else 'columns'} were left "
            "aside, as those moved far themselves."
        )
    return JointVerdict(
        verdict="drift" if alarms else "ok", rows=rows, reason=reason, tests=tests, pairs=pairs
    )


def _corrected(adjusted: float, tests: int, alpha: float) -> str:
    value = f"= {adjusted:.2g}" if adjusted >= _SMALLEST_P else "< 1e-300"
    return f"p {value} after correction for {tests} tests, limit {alpha:g}"


def _insufficient(rows: int, reason: str) -> JointVerdict:
    return JointVerdict(verdict="insufficient_data", rows=rows, reason=reason)


def _shown_pairs(pairs: _Pairs, components: tuple[Component, ...]) -> tuple[PairShift, ...]:
    """Return the correlations that changed most, one for each two columns."""
    shown: dict[frozenset[str], PairShift] = {}
    for i in np.argsort(-pairs.change, kind="stable").tolist():
        first, second = components[pairs.first[i]], components[pairs.second[i]]
        both = frozenset((first.column, second.column))
        if both not in shown:
            shown[both] = PairShift(
                first=first.label,
                second=second.label,
                baseline=float(pairs.before[i]),
                window=float(pairs.now[i]),
            )
        if len(shown) == _SHOWN:
            break
    return tuple(shown.values())
