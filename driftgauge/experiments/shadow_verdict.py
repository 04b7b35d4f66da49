"""What is said about a shadow: the decision, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftgauge.documents import decode_document, encode_document
from driftgauge.errors import ExperimentError
from driftgauge.experiments.pairs import PairCounts
from driftgauge.quality.outcomes import Problem

ShadowDecision = Literal["advance", "continue", "stop"]
LossName = Literal["brier_score", "mae"]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its confidence sequence.

    Attributes
    ----------
    hits, trials : int
    low, high : float
        Hold the truth at all looks together; 0 and 1 without trials.
    """

    hits: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share; None without trials."""
        return self.hits / self.trials if self.trials else None


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Pairs for which production says one class and the shadow another.

    Attributes
    ----------
    production, shadow : str
        The classes.
    rows, labelled : int
        All pairs, and those with a label.
    production_right, shadow_right : int
        Of those with a label.
    """

    production: str
    shadow: str
    rows: int
    labelled: int
    production_right: int
    shadow_right: int


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """The scores of the pairs, shadow less production.

    Attributes
    ----------
    rows : int
        Pairs that both have scores.
    mean, low, high : float or None
        Mean difference and its confidence sequence.
    distance : float
        Mean size of the difference.
    edges : tuple of float
        Between the bins; those at the ends are open.
    differing, agreeing : tuple of int
        Pairs by bin.
    """

    rows: int
    mean: float
    low: float | None
    high: float | None
    distance: float
    edges: tuple[float, ...]
    differing: tuple[int, ...]
    agreeing: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LossChange:
    """The mean loss of the pairs with a label.

    Attributes
    ----------
    name : {"brier_score", "mae"}
    rows : int
    production, shadow : float
        Mean losses.
    low, high : float or None
        Confidence sequence of the shadow's less production's.
    """

    name: LossName
    rows: int
    production: float
    shadow: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class WhoWasRight:
    """What labels say about the pairs.

    Attributes
    ----------
    labelled, differing : int
        Pairs with a label; of these, those that do not agree.
    production_right, shadow_right, both, neither : int
        Pairs with a label by who is right. Regression: who is closer to the label, or both alike.
    wins : Share
        Of the pairs in which just one is right (regression: closer), those in which it is the
        shadow.
    p_value : float
        Two-sided, valid at any look: of "each is right as often as the other".
    error_production, error_shadow : float or None
        Error rates; None for regression.
    loss : LossChange or None
    outcome : {"better", "worse", "open"}
        Whether the shadow is surely right more often or, for regression, surely has a smaller
        mean error; ``worse`` only beyond the margin.
    """

    labelled: int
    differing: int
    production_right: int
    shadow_right: int
    both: int
    neither: int
    wins: Share
    p_value: float
    error_production: float | None
    error_shadow: float | None
    loss: LossChange | None
    outcome: Literal["better", "worse", "open"]


@dataclass(frozen=True, kw_only=True)
class ShadowSegment:
    """The pairs with one category of one column.

    Attributes
    ----------
    column, category : str
    agreement : Share
        Its confidence sequence allows for the number of segments.
    labelled, production_right, shadow_right : int
        As in ``WhoWasRight``.
    mean_difference : float or None
        Of the scores.
    apart : bool
        Whether the pairs surely agree less often than those of all segments together.
    """

    column: str
    category: str
    agreement: Share
    labelled: int
    production_right: int
    shadow_right: int
    mean_difference: float | None
    apart: bool


@dataclass(frozen=True, kw_only=True)
class LatencyFigures:
    """How long one variant takes, in microseconds."""

    requests: int
    mean: float
    p50: float
    p90: float
    p99: float
    maximum: float
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LatencyVerdict:
    """The latencies side by side.

    Attributes
    ----------
    production, shadow : LatencyFigures or None
        None without requests.
    ratio : float or None
        Of the 90% latencies, shadow to production.
    limit : float or None
        The largest ratio that is tolerated; None: any.
    slower : bool
        Whether the ratio surely exceeds the limit, by bounds that hold however often one looks.
    """

    production: LatencyFigures | None
    shadow: LatencyFigures | None
    ratio: float | None
    limit: float | None
    slower: bool

    @property
    def too_long(self) -> bool:
        """Whether the ratio that was measured exceeds the limit."""
        return self.ratio is not None and self.limit is not None and self.ratio > self.limit


@dataclass(frozen=True, kw_only=True)
class ShadowVerdict:
    """Everything decided about a shadow at one look.

    Attributes
    ----------
    experiment : str
        Its name.
    production, shadow : str
        Names of the variants.
    started, evaluated_at : datetime
        Start of the shadow test, and when it was judged.
    decision : {"advance", "continue", "stop"}
        Whether the shadow may receive requests whose answers are used.
    reason : str
        The evidence in a sentence or two.
    alpha : float
        Chance that any of the bounds that decide ever misses.
    pairing : PairCounts
        What became of the records.
    unpaired : Share
        Expected pairs that are missing: a shadow that failed or was not captured, or requests
        without an id.
    max_unpaired, min_agreement : float
        The limits.
    unusable : int
        Pairs in which a prediction is missing or strange.
    agreement : Share
        Of the pairs with usable predictions.
    kappa : float or None
        Agreement beyond that of chance.
    tolerance : float or None
        Up to which numbers agree.
    transitions : tuple of Transition
        The most frequent disagreements first; at most ten.
    difference : ScoreDifference or None
        None without scores.
    right : WhoWasRight or None
        None without labels.
    segments : tuple of ShadowSegment
        The least agreement first.
    latency : LatencyVerdict or None
        None if it was not measured.
    """

    experiment: str
    production: str
    shadow: str
    started: datetime
    evaluated_at: datetime
    decision: ShadowDecision
    reason: str
    problem: Problem
    alpha: float
    pairing: PairCounts
    unpaired: Share
    max_unpaired: float
    min_agreement: float
    unusable: int
    agreement: Share
    kappa: float | None
    tolerance: float | None
    transitions: tuple[Transition, ...]
    difference: ScoreDifference | None
    right: WhoWasRight | None
    segments: tuple[ShadowSegment, ...]
    latency: LatencyVerdict | None
    version: int = 1

    @property
    def ended(self) -> bool:
        """Whether the shadow needs no more traffic."""
        return self.decision != "continue"


def encode_shadow_verdict(verdict: ShadowVerdict) -> bytes:
    """Write ``shadow.json``."""
    return encode_document(verdict)


def decode_shadow_verdict(data: bytes) -> ShadowVerdict:
    """Read ``shadow.json``.

    Raises
    ------
    ExperimentError
        If the text is not a verdict this version can read.
    """
    return decode_document(data, ShadowVerdict, name="shadow.json", error=ExperimentError)
