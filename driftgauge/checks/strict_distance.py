"""Model Monitor's distance of one column, from two profiles.

Numbers are compared by the largest difference of their cumulative shares (Kolmogorov-Smirnov),
words by the largest difference of a share (L-infinity) or by Deequ's chi-squared test. What Deequ
does with sketches is done here with cells. Their edges are the same on both sides and their
counts exact, so the result is never too large; what it can miss is a difference inside one cell,
whose share of the baseline is 1/256 unless a value repeats. One thing is deliberately not
reproduced: up to version 2.0 Deequ ranks distinct values, so that repeats count once (see
``deequ.numeric_distance``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from driftgauge.checks.constraints import MonitoringSettings
from driftgauge.drift.deequ import categorical_distance, chi_squared_test, robust
from driftgauge.drift.distances import ks
from driftgauge.drift.verdict import Test
from driftgauge.profile.profile import FeatureProfile
from driftgauge.report.model_monitor import MOST_LISTED_VALUES


@dataclass(frozen=True, kw_only=True)
class ModelMonitorDistance:
    """A column's distance and what it is compared with.

    Attributes
    ----------
    test : {"linf_simple", "linf_robust", "chi_squared"}
        What the distance is.
    value : float
        The distance; for ``chi_squared`` the p-value.
    threshold : float
        The constraints' threshold: a distance above it, or a p-value below it, is a violation.
    statistic : float
        The distance before Robust reduces it, or the chi-squared statistic.
    categorical : bool
        Whether words were compared.
    """

    test: Test
    value: float
    threshold: float
    statistic: float
    categorical: bool

    @property
    def violated(self) -> bool:
        """Whether the constraint is violated."""
        if self.test == "chi_squared":
            return self.value < self.threshold
        return self.value > self.threshold

    @property
    def description(self) -> str:
        """The violation in Model Monitor's words; for ``chi_squared``, which has none, in ours."""
        word = "Categorical" if self.categorical else "Numerical"
        threshold = f"{word.lower()} threshold: {_plain(self.threshold)}"
        if self.test == "chi_squared":
            return f"{word} chi-squared p-value: {self.value} is below {threshold}"
        return f"{word} distance: {self.value} exceeds {threshold}"

    @property
    def reason(self) -> str:
        """The finding in a sentence, for the report."""
        if self.test == "chi_squared":
            relation = "below" if self.violated else "not below"
            return (
                f"The chi-squared test gives p = {self.value:.3g}, {relation} the threshold "
                f"{self.threshold:g}."
            )
        relation = "above" if self.violated else "not above"
        what = "a category's share" if self.categorical else "the cumulative shares"
        text = f"The distance is {self.value:.3g}, {relation} the threshold {self.threshold:g}"
        if self.test == "linf_simple":
            return f"{text}: the largest difference of {what}."
        return (
            f"{text}: the largest difference of {what} is {self.statistic:.3g}, less what two "
            "samples of these sizes may differ by (Robust)."
        )


def model_monitor_distance(
    baseline: FeatureProfile, window: FeatureProfile, settings: MonitoringSettings
) -> ModelMonitorDistance | str:
    """Compare a column as Model Monitor does.

    Parameters
    ----------
    baseline, window : FeatureProfile
        The column on both sides, counted in the same cells.
    settings : MonitoringSettings
        The column's: method and threshold.

    Returns
    -------
    ModelMonitorDistance or str
        The distance, or a sentence that says why Model Monitor computes none.
    """
    if not window.counted:
        return "The window has no value to compare."
    if not baseline.counted:
        return "The baseline has no value to compare with."
    if window.spec.kind in ("numeric", "discrete"):
        distance = ks(baseline.counts, window.counts)
        return _linf(distance, baseline, window, settings, categorical=False)
    for side, feature in (("baseline", baseline), ("window", window)):
        if _distinct(feature) > MOST_LISTED_VALUES:
            return (
                f"The {side} has more than {MOST_LISTED_VALUES} different values: Model Monitor "
                "does not compare such a column."
            )
    if settings.categorical_drift_method == "ChiSquared":
        return _chi_squared(baseline, window, settings)
    distance = categorical_distance(
        _words(baseline),
        _words(window),
        baseline_rows=baseline.counted,
        window_rows=window.counted,
    )
    return _linf(distance, baseline, window, settings, categorical=True)


def _linf(
    distance: float,
    baseline: FeatureProfile,
    window: FeatureProfile,
    settings: MonitoringSettings,
    *,
    categorical: bool,
) -> ModelMonitorDistance:
    reduced = settings.comparison_method == "Robust"
    return ModelMonitorDistance(
        test="linf_robust" if reduced else "linf_simple",
        value=robust(distance, baseline.counted, window.counted) if reduced else distance,
        threshold=_categorical_threshold(settings)
        if categorical
        else settings.comparison_threshold,
        statistic=distance,
        categorical=categorical,
    )


def _chi_squared(
    baseline: FeatureProfile, window: FeatureProfile, settings: MonitoringSettings
) -> ModelMonitorDistance | str:
    statistic, p_value = chi_squared_test(_words(window), _words(baseline))
    if math.isnan(p_value):
        return "The chi-squared test needs two categories with enough expected values."
    return ModelMonitorDistance(
        test="chi_squared",
        value=p_value,
        threshold=_categorical_threshold(settings),
        statistic=statistic,
        categorical=True,
    )


def _categorical_threshold(settings: MonitoringSettings) -> float:
    own = settings.categorical_comparison_threshold
    return settings.comparison_threshold if own is None else own


def _distinct(feature: FeatureProfile) -> int:
    return int((feature.counts > 0).sum()) + feature.unseen_distinct


def _words(feature: FeatureProfile) -> Mapping[str, int]:
    """Return the counted words: the baseline's, and those of the others that are sampled."""
    counts = zip(feature.spec.categories, feature.counts.tolist(), strict=True)
    return {word: count for word, count in counts if count} | dict(feature.unseen)


def _plain(value: float) -> str:
    """Write a threshold as Model Monitor does: 0, not 0.0."""
    return str(int(value)) if value.is_integer() else str(value)
