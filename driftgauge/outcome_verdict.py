"""What is said about a window once labels arrive: its quality, its bias, its attributions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftgauge.attribution.verdict import AttributionVerdict
from driftgauge.documents import decode_document, encode_document
from driftgauge.errors import QualityError
from driftgauge.fairness.verdict import BiasVerdict
from driftgauge.labels.standing import LabelCounts
from driftgauge.quality.verdict import QualityVerdict


@dataclass(frozen=True, kw_only=True)
class LabelStanding:
    """How far a window's labels have come.

    Attributes
    ----------
    counts : LabelCounts
        What the join of predictions with labels found.
    coverage : float
        Share of the predictions that have a label.
    usual_coverage : float or None
        What earlier windows had at this age; None as long as too few of them tell.
    median_delay_seconds : float or None
        From inference to the arrival of the label; None without labels.
    age_seconds : float
        Time since the end of the window, 0 while it is open.
    """

    counts: LabelCounts
    coverage: float
    usual_coverage: float | None
    median_delay_seconds: float | None
    age_seconds: float


@dataclass(frozen=True, kw_only=True)
class OutcomesVerdict:
    """Everything decided about a window's outcomes and attributions.

    Attributes
    ----------
    monitor, variant : str
        Whose window it is.
    window_start, window_end : datetime
        The interval of inference time.
    evaluated_at : datetime
        When it was judged.
    baseline_version : str
        The baseline it was judged against.
    labels : LabelStanding
        How many labels there are, and how many are usual.
    quality : QualityVerdict or None
        None if nothing says what to compare with; ``reason`` does.
    bias : BiasVerdict or None
        None if it is not monitored, or there is nothing to compare with.
    attributions : tuple of AttributionVerdict
        One for each output of the model; empty before the window has been explained.
    design_effect : float
        How many times larger variances were taken than independent rows would give.
    primary : str or None
        Name of the measure that the dashboard shows.
    reason : str
        Why quality or bias are not judged at all; empty if they are.
    """

    monitor: str
    variant: str
    window_start: datetime
    window_end: datetime
    evaluated_at: datetime
    baseline_version: str
    labels: LabelStanding
    quality: QualityVerdict | None
    bias: BiasVerdict | None
    attributions: tuple[AttributionVerdict, ...] = ()
    design_effect: float = 1.0
    primary: str | None = None
    reason: str = ""
    version: int = 1

    @property
    def quality_decay(self) -> bool:
        """Whether a measure, of all rows or of a segment, decayed."""
        return self.quality is not None and self.quality.verdict == "decay"

    @property
    def concept_drift(self) -> bool:
        """Whether labels contradict the estimate that was made without them."""
        return self.quality is not None and self.quality.concept_drift

    @property
    def bias_drift(self) -> bool:
        """Whether a bias metric drifted."""
        return self.bias is not None and self.bias.verdict == "drift"

    @property
    def attribution_drift(self) -> bool:
        """Whether the attributions of an output drifted."""
        return any(one.verdict == "drift" for one in self.attributions)


def encode_outcomes_verdict(verdict: OutcomesVerdict) -> bytes:
    """Write ``outcomes.json``."""
    return encode_document(verdict)


def decode_outcomes_verdict(data: bytes) -> OutcomesVerdict:
    """Read ``outcomes.json``.

    Raises
    ------
    QualityError
        If the text is not a verdict this version can read.
    """
    return decode_document(data, OutcomesVerdict, name="outcomes.json", error=QualityError)
