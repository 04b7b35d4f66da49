"""Verdicts on quality: what was decided about a window's outcomes, with the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from driftgauge.documents import decode_document, encode_document
from driftgauge.drift.verdict import Mode
from driftgauge.errors import QualityError
from driftgauge.quality.estimation import Estimate, QualityGap
from driftgauge.quality.files import QualityViolation
from driftgauge.quality.outcomes import Problem
from driftgauge.quality.pictures import QualityPictures

QualityOutcome = Literal["ok", "decay", "insufficient_data", "labels_immature"]


@dataclass(frozen=True, kw_only=True)
class MetricVerdict:
    """The decision on one measure.

    Attributes
    ----------
    value, baseline : float or None
        None where it is not defined.
    low, high : float or None
        95 % interval of the value.
    p_value, adjusted_p_value : float or None
        One-sided, of a change for the worse; before and after Holm's correction. Strict mode has
        none.
    tolerance : float or None
        A smaller change is not worth an alarm.
    rows : int
        Labelled rows that the value rests on.
    """

    name: str
    verdict: QualityOutcome
    reason: str
    value: float | None
    baseline: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    tolerance: float | None = None
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class SegmentVerdict:
    """The decision on the rows with one category of one column."""

    column: str
    category: str
    verdict: QualityOutcome
    rows: int
    labelled: int
    metrics: tuple[MetricVerdict, ...]


@dataclass(frozen=True, kw_only=True)
class QualityVerdict:
    """Everything decided about the quality of a window's predictions.

    Attributes
    ----------
    verdict : {"ok", "decay", "insufficient_data", "labels_immature"}
        ``decay`` if any measure, overall or of a segment, decays.
    rows, labelled, unusable : int
        Usable rows, those with a label, and rows that could not be used.
    metrics : tuple of MetricVerdict
        The judged measures.
    segments : tuple of SegmentVerdict
        The judged segments, worst first.
    violations : tuple of QualityViolation
        What ``constraint_violations.json`` holds.
    estimates : dict of str to Estimate
        Quality without labels, of all rows.
    gaps : tuple of QualityGap
        Realised less estimated quality.
    pictures, baseline_pictures : QualityPictures or None
        What is drawn of the labelled rows, and of the baseline's; None without any.
    """

    problem: Problem
    mode: Mode
    verdict: QualityOutcome
    reason: str
    rows: int
    labelled: int
    unusable: int
    metrics: tuple[MetricVerdict, ...]
    segments: tuple[SegmentVerdict, ...] = ()
    violations: tuple[QualityViolation, ...] = ()
    estimates: dict[str, Estimate] = field(default_factory=dict)
    gaps: tuple[QualityGap, ...] = ()
    pictures: QualityPictures | None = None
    baseline_pictures: QualityPictures | None = None
    version: int = 1

    @property
    def coverage(self) -> float:
        """Share of the usable rows that have a label."""
        return self.labelled / self.rows if self.rows else 0.0

    @property
    def decayed(self) -> tuple[MetricVerdict, ...]:
        """The measures of all rows that decayed."""
        return tuple(m for m in self.metrics if m.verdict == "decay")

    @property
    def concept_drift(self) -> bool:
        """Whether labels contradict the estimate."""
        return any(gap.verdict == "concept_drift" for gap in self.gaps)


def encode_quality_verdict(verdict: QualityVerdict) -> bytes:
    """Write ``quality.json``."""
    return encode_document(verdict)


def decode_quality_verdict(data: bytes) -> QualityVerdict:
    """Read ``quality.json``.

    Raises
    ------
    QualityError
        If the text is not a verdict this version can read.
    """
    return decode_document(data, QualityVerdict, name="quality.json", error=QualityError)
