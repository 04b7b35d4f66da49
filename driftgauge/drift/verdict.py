"""Verdicts: what driftgauge decided about a window, with the evidence.

``WindowVerdict`` is what ``verdicts.json`` holds, what metrics and alerts are made from, and what
the report draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from driftgauge.documents import decode_document, encode_document
from driftgauge.errors import StoreError
from driftgauge.profile.spec import Kind, Role

# ``seasonal``: a drift from the baseline that is none from the same season of an earlier period.
Outcome = Literal["ok", "drift", "seasonal", "insufficient_data"]
# How windows are judged: driftgauge's way, or SageMaker Model Monitor's.
Mode = Literal["sound", "strict"]
Test = Literal[
    "anderson_darling", "mood", "chi_squared", "novelty", "ks", "linf_simple", "linf_robust"
]
# Model Monitor's check type of a drifted column.
BASELINE_DRIFT: Final = "baseline_drift_check"
# Among the cells that moved: the rows without a value, as a share of all rows.
MISSING_LABEL: Final = "missing"


@dataclass(frozen=True, kw_only=True)
class CellShift:
    """One bin or category whose share of the rows moved. Shares are between 0 and 1."""

    label: str
    baseline_share: float
    window_share: float


@dataclass(frozen=True, kw_only=True)
class SegmentShift:
    """How much of a column's shift lies in one segment: the rows with one category of ``column``.

    Attributes
    ----------
    column, category : str
        The rows of the segment hold this category in this column.
    baseline_share, window_share : float
        The segment's share of all rows, between 0 and 1.
    inside, outside : float
        How far the judged column moved in the segment and in all other rows: difference of the
        means in the baseline's standard deviations; of a categorical column, the difference in
        the share of the category that moved furthest.
    """

    column: str
    category: str
    baseline_share: float
    window_share: float
    inside: float
    outside: float


@dataclass(frozen=True, kw_only=True)
class FeatureVerdict:
    """The decision on one column in one window.

    Attributes
    ----------
    distance : float or None
        Population stability index with half a count added to each cell, in nats. In strict mode
        Model Monitor's distance: L-infinity, between 0 and 1, or the p-value of chi-squared.
    effect : float or None
        ``distance`` less what sampling alone would give: PSI - (B - 1)(1/n + 1/m). Strict mode
        has none.
    threshold : float or None
        Strict mode only: what ``distance`` is compared with.
    statistic : float or None
        Of ``test``; for ``linf_robust`` the distance before it is reduced.
    p_value, adjusted_p_value : float or None
        Of ``test``, before and after the correction for the number of columns.
    rows : int
        Values present in the window (missing ones not counted).
    moved : tuple of CellShift
        Coarse bins or categories by how far their share moved, furthest first, at most five. Led by
        ``missing`` where a drift is that fewer values are missing.
    distance_interval : tuple of float, or None
        95 % confidence interval of the distance of the populations, in nats.
    missing_effect : float or None
        Population stability index of missing and present, less what sampling alone gives; None if
        no value is missing on either side.
    missing_p_value, novel_p_value : float or None
        How often missing values, and values the baseline does not have, are so unlike the
        baseline's by chance: two-sided, before correction.
    detectable_shift : float or None
        The smallest shift of the mean, in the baseline's standard deviations, that a window of so
        many rows shows nine times in ten; see ``detectable.detectable_shift`` for categories.
    dispersion : float
        How many times larger the variance between windows is than independent rows would give;
        the test's statistic is divided by it. 1 for independent rows.
    importance : float or None
        The column's weight for the model, as a share of all columns' weights.
    segments : tuple of SegmentShift
        The segments that carry the shift, strongest first, at most three.
    """

    name: str
    role: Role
    kind: Kind
    verdict: Outcome
    rows: int
    missing_share: float
    reason: str
    distance: float | None = None
    effect: float | None = None
    threshold: float | None = None
    test: Test | None = None
    statistic: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    moved: tuple[CellShift, ...] = ()
    distance_interval: tuple[float, float] | None = None
    missing_effect: float | None = None
    missing_p_value: float | None = None
    novel_p_value: float | None = None
    detectable_shift: float | None = None
    dispersion: float = 1.0
    importance: float | None = None
    segments: tuple[SegmentShift, ...] = ()

    @property
    def size(self) -> float | None:
        """How far the column is from its baseline, to order columns by: larger is further.

        The effect, or that of fewer missing values, if larger; in strict mode the distance, or one
        less the p-value.
        """
        if self.moved and self.moved[0].label == MISSING_LABEL and self.missing_effect is not None:
            return max(self.missing_effect, self.effect or 0.0)
        if self.effect is not None or self.distance is None:
            return self.effect
        return 1.0 - self.distance if self.test == "chi_squared" else self.distance


def weighted_sizes(features: Iterable[FeatureVerdict]) -> dict[str, float]:
    """Return how far each column moved, times its importance for the model.

    Importances are shares of all columns; they are divided by their mean, so that a column of
    average or unknown importance counts by its size alone.

    Returns
    -------
    dict of str to float
        By column name; minus infinity without a size.
    """
    known = list(features)
    shares = [f.importance for f in known if f.importance is not None]
    mean = sum(shares) / len(shares) if shares else 0.0
    sizes = {}
    for feature in known:
        weight = 1.0 if feature.importance is None or mean <= 0.0 else feature.importance / mean
        # Columns that did not move stay behind those that did, however unimportant these are.
        size = feature.size
        sizes[feature.name] = -math.inf if size is None else size * (weight if size > 0.0 else 1.0)
    return sizes


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A failed check, in the words of Model Monitor's ``constraint_violations.json``."""

    feature_name: str
    constraint_check_type: str
    description: str


@dataclass(frozen=True, kw_only=True)
class ReferenceVerdict:
    """The same window against something else than the baseline.

    Attributes
    ----------
    name : str
        As in the monitor's file, such as ``trailing 4`` or ``same week, 364d before``.
    kind : {"trailing", "season", "variant"}
        Preceding windows, the same window of earlier periods, or another variant.
    windows, rows : int
        What the reference consists of.
    features : tuple of FeatureVerdict
        One for each judged column; all ``insufficient_data`` if the reference has too few rows.
    """

    name: str
    kind: Literal["trailing", "season", "variant"]
    windows: int
    rows: int
    features: tuple[FeatureVerdict, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that differ from this reference."""
        return tuple(f.name for f in self.features if f.verdict == "drift")


@dataclass(frozen=True, kw_only=True)
class FeatureEvidence:
    """What all windows together say about one aspect of one column.

    Attributes
    ----------
    name : str
        The column.
    aspect : str
        ``location``, ``scale``, ``missing``, a category, or ``other values``.
    value : float
        The aspect's e-detector: it exceeds N once in N windows of unchanged traffic at most.
    shift : float
        Estimate since ``since``: in the baseline's standard deviations of the column's ranks, or
        a difference of shares.
    since : datetime
        Start of the window from which on the change is most likely.
    """

    name: str
    aspect: str
    value: float
    shift: float
    since: datetime


@dataclass(frozen=True, kw_only=True)
class PersistentDrift:
    """The decision over time: small shifts that last, at a guaranteed rate of false alarms.

    Attributes
    ----------
    verdict : {"ok", "drift", "insufficient_data"}
        Insufficient while the monitor learns how much windows differ without any drift.
    value : float
        The monitor's e-detector, in windows: the average over columns.
    threshold : float
        In windows: the promised average run length without drift.
    windows : int
        Windows of evidence, this one included.
    features : tuple of FeatureEvidence
        The strongest first, at most five.
    """

    verdict: Outcome
    value: float
    threshold: float
    windows: int
    features: tuple[FeatureEvidence, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PairShift:
    """Two columns whose association changed; correlations of clipped values."""

    first: str
    second: str
    baseline: float
    window: float


@dataclass(frozen=True, kw_only=True)
class JointTest:
    """One test of the joint distribution: ``association``, ``reconstruction`` or ``mmd``."""

    name: Literal["association", "reconstruction", "mmd"]
    statistic: float
    effect: float
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True, kw_only=True)
class JointVerdict:
    """The decision on how columns go together; ``pairs``: furthest first, at most five."""

    verdict: Outcome
    rows: int
    reason: str
    tests: tuple[JointTest, ...] = ()
    pairs: tuple[PairShift, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """Share of the predictions in one class or score band, with the window's 95 % interval."""

    label: str
    baseline: float
    window: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PredictionShift:
    """How the predictions' own distribution moved: the prior-shift view, without any label.

    Attributes
    ----------
    name : str
        The output column.
    classes : tuple of ClassShare
        Of a categorical prediction its classes; of a score its tenths by the baseline.
    total_variation : float
        Half the sum of the differences of shares: the share of predictions that changed class.
    expected_variation : float
        About what it would be by chance: two samples of one distribution always differ.
    mean_baseline, mean_window : float or None
        Means of a numeric prediction, in its own unit.
    mean_interval : tuple of float, or None
        95 % interval of the window's mean.
    """

    name: str
    classes: tuple[ClassShare, ...]
    total_variation: float
    expected_variation: float = 0.0
    mean_baseline: float | None = None
    mean_window: float | None = None
    mean_interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class WindowVerdict:
    """Everything decided about one window of one variant.

    ``rejected`` counts rejected records and rows by reason. ``other_baseline_rows`` are rows of
    the window that were profiled against another baseline and are not part of this verdict.
    ``mode`` is how it was judged. ``references`` are further comparisons, ``persistent`` the
    decision over all windows so far, ``joint`` that on how columns go together.
    """

    monitor: str
    variant: str
    baseline_version: str
    window_start: datetime
    window_end: datetime
    evaluated_at: datetime
    rows: int
    records: int
    features: tuple[FeatureVerdict, ...]
    violations: tuple[Violation, ...]
    rejected: dict[str, int] = field(default_factory=dict)
    other_baseline_rows: int = 0
    mode: Mode = "sound"
    references: tuple[ReferenceVerdict, ...] = ()
    persistent: PersistentDrift | None = None
    joint: JointVerdict | None = None
    predictions: tuple[PredictionShift, ...] = ()
    version: int = 1

    def __post_init__(self) -> None:
        if self.version != 1:
            raise StoreError(
                f"verdicts.json of version {self.version}: this driftgauge reads version 1"
            )

    @property
    def drifted_inputs(self) -> tuple[FeatureVerdict, ...]:
        """Drifted input columns: by size and importance, see ``weighted_sizes``."""
        return self._drifted("input")

    @property
    def drifted_outputs(self) -> tuple[FeatureVerdict, ...]:
        """Drifted prediction columns, furthest first."""
        return self._drifted("output")

    def _drifted(self, role: Role) -> tuple[FeatureVerdict, ...]:
        weighted = weighted_sizes(self.features)
        drifted = [f for f in self.features if f.role == role and f.verdict == "drift"]
        return tuple(sorted(drifted, key=lambda f: -weighted[f.name]))

    @property
    def quality_violations(self) -> tuple[Violation, ...]:
        """The failed checks that are about data quality, not about drift."""
        return tuple(v for v in self.violations if v.constraint_check_type != BASELINE_DRIFT)

    @property
    def rejected_total(self) -> int:
        """Rejected records and rows."""
        return sum(self.rejected.values())

    @property
    def rejected_share(self) -> float:
        """Rejected records and rows as a share of all that arrived, between 0 and 1."""
        arrived = self.rows + self.rejected_total
        return self.rejected_total / arrived if arrived else 0.0

    @property
    def insufficient(self) -> bool:
        """Whether the window has too few rows to judge any column."""
        return all(f.verdict == "insufficient_data" for f in self.features)

    @property
    def alarm(self) -> bool:
        """Whether anything drifted or any check failed."""
        decisions = (*self.features, self.persistent, self.joint)
        return bool(self.violations) or any(
            d is not None and d.verdict == "drift" for d in decisions
        )


def encode_verdict(verdict: WindowVerdict) -> bytes:
    """Write ``verdicts.json``."""
    return encode_document(verdict)


def decode_verdict(data: bytes) -> WindowVerdict:
    """Read ``verdicts.json``.

    Raises
    ------
    StoreError
        If the text is not a verdict this version can read.
    """
    return decode_document(data, WindowVerdict, name="verdicts.json", error=StoreError)
