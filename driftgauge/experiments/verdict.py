"""What is said about an experiment: the decision on a challenger, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftgauge.documents import decode_document, encode_document
from driftgauge.errors import ExperimentError

Decision = Literal["promote", "keep", "continue", "stop: harm"]
Method = Literal["msprt", "empirical_bernstein", "fixed", "obrien_fleming", "pocock"]
Better = Literal["higher", "lower"]
Role = Literal["primary", "guardrail"]
Outcome = Literal["better", "safe", "no_gain", "harm", "open", "insufficient_data"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was known of a metric once one more block had come.

    Attributes
    ----------
    time : datetime
        Start of the last block that is part of it.
    champion_rows, challenger_rows : int
        Rows so far.
    difference : float or None
        Challenger less champion; None without rows in both.
    low, high : float or None
        Confidence sequence of the difference; None where it is not bounded.
    """

    time: datetime
    champion_rows: int
    challenger_rows: int
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class MetricVerdict:
    """What is known about one metric.

    Attributes
    ----------
    role : {"primary", "guardrail"}
        The primary metric has to become better, a guardrail must not become worse.
    better : {"higher", "lower"}
        Which values are better.
    outcome : str
        ``better``: the challenger is surely better. ``safe``: it is surely not worse by more than
        the margin. ``harm``: it is surely worse, and its loss so far exceeds the margin.
        ``no_gain``: it surely gains less than the effect. ``open``: none of these.
        ``insufficient_data``: too few rows.
    champion, challenger : float or None
        Means of all rows.
    difference : float or None
        Challenger less champion, compared within blocks of time: it need not be the difference of
        the means, which also holds how the shares of traffic changed.
    low, high : float or None
        Confidence sequence of the difference: with the experiment's ``alpha`` it holds the truth
        at all looks together. None where it is not bounded.
    p_better, p_safe, p_worse, p_no_gain : float or None
        One-sided p-values, valid at any look: of "not better", of "worse by the margin", of "not
        worse", and of "better by the effect".
    alpha_better, alpha_worse, alpha_no_gain : float
        What these are compared with; ``p_safe`` with ``alpha_better``.
    effect : float or None
        Smallest improvement worth finding, above 0, in units of the metric; None: a guardrail.
    margin : float
        Largest loss that is tolerated, 0 or more, in units of the metric.
    dispersion : float
        How many times more blocks differ than independent rows would make them; at least 1.
    looks : tuple of Look
        The way here.
    """

    name: str
    role: Role
    better: Better
    outcome: Outcome
    reason: str
    champion: float | None
    challenger: float | None
    champion_rows: int
    challenger_rows: int
    difference: float | None
    low: float | None
    high: float | None
    p_better: float | None
    p_safe: float | None
    p_worse: float | None
    p_no_gain: float | None
    alpha_better: float
    alpha_worse: float
    alpha_no_gain: float
    effect: float | None
    margin: float
    dispersion: float = 1.0
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SegmentVerdict:
    """The primary metric in the rows with one category of one column."""

    column: str
    category: str
    metric: MetricVerdict


@dataclass(frozen=True, kw_only=True)
class MismatchVerdict:
    """Whether both arms received the share of the traffic that they should have.

    Attributes
    ----------
    champion_requests, challenger_requests : int
        What each arm received.
    expected_share, share : float or None
        The challenger's share as the weights have it and as it was; None without requests.
    p_value : float
        Valid at any look.
    mismatch : bool
        Whether the p-value is at most ``alpha``.
    """

    champion_requests: int
    challenger_requests: int
    expected_share: float | None
    share: float | None
    p_value: float
    alpha: float
    mismatch: bool


@dataclass(frozen=True, kw_only=True)
class ExperimentVerdict:
    """Everything decided about an experiment at one look.

    Attributes
    ----------
    experiment : str
        Its name.
    champion, challenger : str
        Names of the variants.
    started, evaluated_at : datetime
        Start of the experiment, and when it was judged.
    decision : {"promote", "keep", "continue", "stop: harm"}
        ``keep``: the champion stays, and the experiment has ended.
    reason : str
        The evidence in a sentence or two.
    method : str
        How the metrics were judged.
    alpha : float
        Chance of any wrong ``promote`` or ``stop: harm`` of a challenger that is the champion.
    metrics : tuple of MetricVerdict
        The primary one first.
    segments : tuple of SegmentVerdict
        Those in which the challenger does worst come first.
    progress : float
        How much of the planned information there is; may exceed 1.
    planned_champion_rows, planned_challenger_rows : int
        What the experiment was planned for.
    """

    experiment: str
    champion: str
    challenger: str
    started: datetime
    evaluated_at: datetime
    decision: Decision
    reason: str
    method: Method
    alpha: float
    metrics: tuple[MetricVerdict, ...]
    mismatch: MismatchVerdict
    segments: tuple[SegmentVerdict, ...] = ()
    progress: float
    planned_champion_rows: int
    planned_challenger_rows: int
    version: int = 1

    @property
    def primary(self) -> MetricVerdict:
        """The metric that decides."""
        return self.metrics[0]

    @property
    def guardrails(self) -> tuple[MetricVerdict, ...]:
        """The metrics that must not become worse."""
        return self.metrics[1:]

    @property
    def ended(self) -> bool:
        """Whether the experiment needs no more traffic."""
        return self.decision != "continue"


def encode_experiment_verdict(verdict: ExperimentVerdict) -> bytes:
    """Write ``experiment.json``."""
    return encode_document(verdict)


def decode_experiment_verdict(data: bytes) -> ExperimentVerdict:
    """Read ``experiment.json``.

    Raises
    ------
    ExperimentError
        If the text is not a verdict this version can read.
    """
    verdict = decode_document(
        data, ExperimentVerdict, name="experiment.json", error=ExperimentError
    )
    if not verdict.metrics:
        raise ExperimentError("experiment.json cannot be read: it has no primary metric")
    return verdict
