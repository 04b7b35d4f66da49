"""Verdicts on attributions: what was decided about a window, with the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from driftgauge.documents import encode_document
from driftgauge.drift.verdict import Mode
from driftgauge.errors import AttributionError

AttributionOutcome = Literal["ok", "drift", "insufficient_data"]


@dataclass(frozen=True, kw_only=True)
class AttributionViolation:
    """A failed check, in the words of ``constraint_violations.json``."""

    label: str
    description: str
    metric_name: Literal["shap"] = "shap"
    constraint_check_type: Literal["feature_attribution_drift_check"] = (
        "feature_attribution_drift_check"
    )


@dataclass(frozen=True, kw_only=True)
class FeatureAttribution:
    """One feature's part.

    Attributes
    ----------
    baseline, window : float
        Global attributions.
    baseline_share, window_share : float
        Their parts of the total.
    baseline_rank, window_rank : int
        1 is the most important feature.
    p_value, adjusted_p_value : float
        That the shares are equal, before and after Holm's correction.
    """

    name: str
    baseline: float
    window: float
    baseline_share: float
    window_share: float
    baseline_rank: int
    window_rank: int
    p_value: float
    adjusted_p_value: float

    @property
    def moved(self) -> float:
        """How far the share moved, without sign."""
        return abs(self.window_share - self.baseline_share)


@dataclass(frozen=True, kw_only=True)
class AttributionVerdict:
    """Everything decided about the attributions of one output of the model.

    Attributes
    ----------
    rows : int
        Explained rows of the window.
    ndcg : float or None
        Of the window's ranking; None where it is not defined.
    distance : float or None
        Total variation distance of the shares.
    low, high : float or None
        Its 95 % interval by the delta method; None where nothing varies.
    min_distance : float or None
        A smaller distance is no drift. Strict mode has none.
    features : tuple of FeatureAttribution
        In the order of the baseline.
    violations : tuple of AttributionViolation
        What ``constraint_violations.json`` holds.
    expected_value : float or None
        The model's expected output in the window.
    """

    label: str
    mode: Mode
    verdict: AttributionOutcome
    reason: str
    rows: int
    ndcg: float | None
    ndcg_limit: float
    distance: float | None
    low: float | None = None
    high: float | None = None
    min_distance: float | None = None
    features: tuple[FeatureAttribution, ...] = ()
    violations: tuple[AttributionViolation, ...] = ()
    expected_value: float | None = None
    version: int = 1


def encode_attribution_verdicts(verdicts: tuple[AttributionVerdict, ...]) -> bytes:
    """Write ``attribution.json``: the verdict on each output of the model."""
    return encode_document(verdicts)


def decode_attribution_verdicts(data: bytes) -> tuple[AttributionVerdict, ...]:
    """Read ``attribution.json``.

    Raises
    ------
    AttributionError
        If the text holds no verdicts that this version can read.
    """
    try:
        verdicts = msgspec.json.decode(data, type=tuple[AttributionVerdict, ...])
    except msgspec.DecodeError as error:
        raise AttributionError(f"attribution.json cannot be read: {error}") from error
    for verdict in verdicts:
        if verdict.version != 1:
            raise AttributionError(
                f"attribution.json of version {verdict.version}: only 1 can be read"
            )
    return verdicts
