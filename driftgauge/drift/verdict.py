"""Verdicts: what driftgauge decided about a window, with the evidence.

``WindowVerdict`` is what ``verdicts.json`` holds, what metrics and alerts are made from, and what
the report draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import msgspec

from driftgauge.errors import StoreError
from driftgauge.profile.spec import Kind, Role

Outcome = Literal["ok", "drift", "insufficient_data"]
# How windows are judged: driftgauge's way, or SageMaker Model Monitor's.
Mode = Literal["sound", "strict"]
Test = Literal["anderson_darling", "ks", "chi_squared", "linf_simple", "linf_robust"]
# Model Monitor's check type of a drifted column.
BASELINE_DRIFT: Final = "baseline_drift_check"


@dataclass(frozen=True, kw_only=True)
class CellShift:
    """One bin or category whose share of the rows moved. Shares are between 0 and 1."""

    label: str
    baseline_share: float
    window_share: float


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
        Coarse bins or categories by how far their share moved, furthest first, at most five.
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

    @property
    def size(self) -> float | None:
        """How far the column is from its baseline, to order columns by: larger is further.

        The effect; in strict mode the distance, or one less the p-value.
        """
        if self.effect is not None or self.distance is None:
            return self.effect
        return 1.0 - self.distance if self.test == "chi_squared" else self.distance


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A failed check, in the words of Model Monitor's ``constraint_violations.json``."""

    feature_name: str
    constraint_check_type: str
    description: str


@dataclass(frozen=True, kw_only=True)
class WindowVerdict:
    """Everything decided about one window of one variant.

    ``rejected`` counts rejected records and rows by reason. ``other_baseline_rows`` are rows of
    the window that were profiled against another baseline and are not part of this verdict.
    ``mode`` is how it was judged.
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
    version: int = 1

    def __post_init__(self) -> None:
        if self.version != 1:
            raise StoreError(
                f"verdicts.json of version {self.version}: this driftgauge reads version 1"
            )

    @property
    def drifted_inputs(self) -> tuple[FeatureVerdict, ...]:
        """Drifted input columns, furthest first."""
        return self._drifted("input")

    @property
    def drifted_outputs(self) -> tuple[FeatureVerdict, ...]:
        """Drifted prediction columns, furthest first."""
        return self._drifted("output")

    def _drifted(self, role: Role) -> tuple[FeatureVerdict, ...]:
        drifted = [f for f in self.features if f.role == role and f.verdict == "drift"]
        return tuple(sorted(drifted, key=lambda f: -(f.size or 0.0)))

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
        """Whether any column drifted or any check failed."""
        return bool(self.violations) or any(f.verdict == "drift" for f in self.features)


def encode_verdict(verdict: WindowVerdict) -> bytes:
    """Write ``verdicts.json``."""
    return msgspec.json.format(msgspec.json.encode(verdict), indent=1)


def decode_verdict(data: bytes) -> WindowVerdict:
    """Read ``verdicts.json``.

    Raises
    ------
    StoreError
        If the text is not a verdict this version can read.
    """
    try:
        return msgspec.json.decode(data, type=WindowVerdict)
    except msgspec.ValidationError as error:
        raise StoreError(f"verdicts.json cannot be read: {error}") from error
