"""Verdicts on bias: what was decided about a window's facets, with the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from driftgauge.documents import decode_document, encode_document
from driftgauge.drift.verdict import Mode
from driftgauge.errors import FairnessError
from driftgauge.fairness.measure import Stage

BiasOutcome = Literal["ok", "drift", "insufficient_data"]
# JSON has no infinities; this is how Clarify writes them.
Value = float | Literal["Infinity", "-Infinity"] | None


@dataclass(frozen=True, kw_only=True)
class BiasViolation:
    """One entry of ``constraint_violations.json``."""

    facet: str
    facet_value: str
    metric_name: str
    description: str
    constraint_check_type: str = "bias_drift_check"


@dataclass(frozen=True, kw_only=True)
class MetricVerdict:
    """The decision on one metric of one facet.

    Attributes
    ----------
    value, baseline : number, "Infinity", "-Infinity" or None
        None where it could not be computed, or the baseline does not have it.
    low, high : float or None
        Confidence interval of the value; of a difference from the baseline's noise too, where the
        baseline is counts. Strict mode has none.
    allowed_low, allowed_high : float or None
        Values that are not worth an alarm: as biased as the baseline, in either direction, and
        the tolerance.
    rows : int
        The smallest number of rows that a rate in it rests on.
    """

    name: str
    verdict: BiasOutcome
    reason: str
    value: Value
    baseline: Value
    low: float | None = None
    high: float | None = None
    allowed_low: float | None = None
    allowed_high: float | None = None
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class FacetVerdict:
    """The decisions on one facet in one stage; rows of facet a and d, and those of neither."""

    stage: Stage
    facet: str
    facet_value: str
    verdict: BiasOutcome
    rows_a: int
    rows_d: int
    unusable: int
    metrics: tuple[MetricVerdict, ...]


@dataclass(frozen=True, kw_only=True)
class BiasVerdict:
    """Everything decided about bias in a window.

    Attributes
    ----------
    confidence : float or None
        Of each interval, so high that all of them together hold with the level of the settings.
    """

    mode: Mode
    verdict: BiasOutcome
    reason: str
    label: str
    label_value: str
    rows: int
    facets: tuple[FacetVerdict, ...]
    violations: tuple[BiasViolation, ...] = ()
    confidence: float | None = None
    version: int = 1

    @property
    def drifted(self) -> tuple[tuple[FacetVerdict, MetricVerdict], ...]:
        """The metrics that drifted, with their facets."""
        return tuple((f, m) for f in self.facets for m in f.metrics if m.verdict == "drift")


def encode_bias_verdict(verdict: BiasVerdict) -> bytes:
    """Write ``bias.json``."""
    return encode_document(verdict)


def decode_bias_verdict(data: bytes) -> BiasVerdict:
    """Read ``bias.json``.

    Raises
    ------
    FairnessError
        If the text is not a verdict this version can read.
    """
    return decode_document(data, BiasVerdict, name="bias.json", error=FairnessError)


def written(value: float | None) -> Value:
    """Return a number as a verdict holds it.

    Examples
    --------
    >>> written(-math.inf), written(0.5), written(None)
    ('-Infinity', 0.5, None)
    """
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
