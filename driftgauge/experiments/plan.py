"""The plan of an experiment: made from the champion's past before the first request is split.

It fixes what is compared, how sure the answer has to be and how much traffic that takes. Relative
effects and margins become numbers here, so that nothing of them depends on the experiment's data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from driftgauge.documents import decode_document, encode_document
from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm, Segment, Sums
from driftgauge.experiments.design import Design
from driftgauge.experiments.sequential import Clustering
from driftgauge.experiments.settings import (
    ExperimentSettings,
    GuardrailSettings,
    PrimarySettings,
)
from driftgauge.experiments.verdict import Better, Method, Role

_DAY = timedelta(days=1)
# Of the chance of missing the effect, what giving up early may take.
_SHARE_OF_GIVING_UP = 0.1


@dataclass(frozen=True, kw_only=True)
class MetricRule:
    """One metric, with all numbers in its own units.

    Attributes
    ----------
    effect : float or None
        Smallest improvement worth finding, above 0; None for a guardrail.
    margin : float
        Largest loss that is tolerated; 0 for the primary metric.
    bounds : tuple of float, or None
        Between which all values are.
    mean, deviation : float
        Of the champion's rows before the experiment.
    information : float
        That is planned: about half the rows of one of two equal arms.
    alpha_better, alpha_worse, alpha_no_gain : float
        One-sided chances of error.
    """

    name: str
    role: Role
    better: Better
    effect: float | None
    margin: float
    bounds: tuple[float, float] | None
    mean: float
    deviation: float
    information: float
    alpha_better: float
    alpha_worse: float
    alpha_no_gain: float

    @property
    def scale(self) -> float:
        """The difference to be found: the effect, or a guardrail's margin."""
        return self.effect or self.margin


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """The traffic that one metric needs, of all rows or of one segment.

    Attributes
    ----------
    column, category : str or None
        The segment; None: all rows.
    champion_rows, challenger_rows : int
        Rows that the metric rests on.
    requests : int
        Of both arms together.
    days : float
        With the traffic of the past.
    days_if_found, days_if_equal : float
        Mean time until this metric is decided if the difference is just the effect, and if there
        is none.
    power : float
        Chance of finding the effect, or that equal arms are within the margin, within the planned
        traffic.
    """

    metric: str
    column: str | None
    category: str | None
    champion_rows: int
    challenger_rows: int
    requests: int
    days: float
    days_if_found: float
    days_if_equal: float
    power: float


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What is fixed before an experiment starts.

    Attributes
    ----------
    rules : tuple of MetricRule
        The primary metric first.
    requirements : tuple of Requirement
        Of all metrics, then of the primary one in each segment.
    requests : int
        Planned for, of both arms together: what all metrics need, at most what ``max_duration``
        brings.
    days : float
        How long these take.
    min_seconds, max_seconds : float
        Earliest promotion, and the end.
    """

    method: Method
    stages: int
    alpha: float
    share: float
    min_rows: int
    min_seconds: float
    max_seconds: float
    mismatch_alpha: float
    clustering: Clustering
    rules: tuple[MetricRule, ...]
    requirements: tuple[Requirement, ...]
    requests: int
    days: float
    version: int = 1

    @property
    def primary(self) -> MetricRule:
        """The metric that decides."""
        return self.rules[0]


@dataclass(frozen=True, kw_only=True)
class _Traffic:
    """How fast a metric's rows come.

    Attributes
    ----------
    rows_per_request : float
    requests_per_day : float
    share : float
        The challenger's.
    """

    rows_per_request: float
    requests_per_day: float
    share: float

    def information(self, requests: float) -> float:
        return requests * self.rows_per_request * self.share * (1.0 - self.share)

    def requests(self, information: float) -> float:
        return information / self.information(1.0)

    def days(self, information: float) -> float:
        return self.requests(information) / self.requests_per_day


def plan_experiment(
    settings: ExperimentSettings, *, past: Arm, period: timedelta
) -> ExperimentPlan:
    """Plan an experiment.

    Parameters
    ----------
    settings : ExperimentSettings
    past : Arm
        What the champion did before, recently: means, variances, traffic and segments.
    period : timedelta
        How long that took.

    Raises
    ------
    ExperimentError
        If the past has no requests, or lacks a metric or its variance.

    Examples
    --------
    >>> from driftgauge.experiments.arms import sums_of_rate
    >>> past = Arm(requests=70_000, metrics={"accuracy": sums_of_rate(63_000, 70_000)})
    >>> settings = ExperimentSettings(
    ...     primary=PrimarySettings(name="accuracy", effect=0.01), method="fixed"
    ... )
    >>> plan = plan_experiment(settings, past=past, period=timedelta(days=7))
    >>> plan.requirements[0].challenger_rows, round(plan.days, 2)
    (18914, 3.78)
    """
    if past.requests <= 0 or period <= timedelta(0):
        raise ExperimentError(
            "the champion's past has no requests: an experiment is planned from recent traffic"
        )
    rules = _rules(settings, past)
    traffic = {rule.name: _traffic(settings, past, period, past.of(rule.name)) for rule in rules}
    needed = {rule.name: design_of(rule, settings).required(settings.power) for rule in rules}
    wanted = max(traffic[name].requests(needed[name]) for name in needed)
    per_day = past.requests / (period / _DAY)
    requests = min(wanted, per_day * (settings.max_duration / _DAY))
    planned = tuple(
        replace(rule, information=traffic[rule.name].information(requests)) for rule in rules
    )
    return ExperimentPlan(
        method=settings.method,
        stages=_stages(settings),
        alpha=settings.alpha,
        share=settings.share,
        min_rows=settings.min_rows,
        min_seconds=settings.min_duration.total_seconds(),
        max_seconds=settings.max_duration.total_seconds(),
        mismatch_alpha=settings.mismatch_alpha,
        clustering=settings.clustering,
        rules=planned,
        requirements=(
            *(_require(rule, settings, traffic[rule.name], requests) for rule in planned),
            *_require_segments(planned[0], settings, past, period, requests),
        ),
        requests=math.ceil(requests),
        days=requests / per_day,
    )


def _stages(settings: ExperimentSettings) -> int:
    return settings.stages if settings.method in ("obrien_fleming", "pocock") else 1


def _rules(settings: ExperimentSettings, past: Arm) -> tuple[MetricRule, ...]:
    """Turn settings into numbers; what is planned is not known yet."""
    one_sided = settings.alpha / 2.0
    rules = []
    metrics: tuple[PrimarySettings | GuardrailSettings, ...]
    metrics = (settings.primary, *settings.guardrails)
    for metric in metrics:
        mean, deviation = _moments(metric.name, past.of(metric.name))
        size = _size(metric, mean)
        primary = isinstance(metric, PrimarySettings)
        rules.append(
            MetricRule(
                name=metric.name,
                role="primary" if primary else "guardrail",
                better=metric.direction,
                effect=size if primary else None,
                margin=0.0 if primary else size,
                bounds=metric.bounds,
                mean=mean,
                deviation=deviation,
                information=0.0,
                alpha_better=one_sided,
                alpha_worse=one_sided / (1 + len(settings.guardrails)),
                alpha_no_gain=min(one_sided, _SHARE_OF_GIVING_UP * (1.0 - settings.power)),
            )
        )
    return tuple(rules)


def _moments(name: str, sums: Sums) -> tuple[float, float]:
    mean, variance = sums.mean, sums.variance
    if mean is None or not variance:
        raise ExperimentError(
            f"the champion's past has no {name}, or it never changes: name a metric that varies"
        )
    return mean, math.sqrt(variance)


def _size(metric: PrimarySettings | GuardrailSettings, mean: float) -> float:
    primary = isinstance(metric, PrimarySettings)
    absolute = metric.effect if isinstance(metric, PrimarySettings) else metric.margin
    if absolute is not None:
        return absolute
    relative = (
        metric.relative_effect if isinstance(metric, PrimarySettings) else metric.relative_margin
    )
    if mean == 0.0:
        raise ExperimentError(
            f"{metric.name}: the champion's mean is 0, so give the "
            f"{'effect' if primary else 'margin'} in units of the metric"
        )
    return relative * abs(mean)


def design_of(rule: MetricRule, settings: ExperimentSettings) -> Design:
    """Return the test of one metric."""
    low, high = rule.bounds or (0.0, 1.0)
    return Design(
        method=settings.method,
        stages=_stages(settings),
        alpha_better=rule.alpha_better,
        alpha_worse=rule.alpha_worse,
        alpha_no_gain=rule.alpha_no_gain,
        effect=rule.scale,
        deviation=rule.deviation,
        share=settings.share,
        width=high - low,
        guardrail=rule.role == "guardrail",
    )


def _traffic(settings: ExperimentSettings, past: Arm, period: timedelta, sums: Sums) -> _Traffic:
    return _Traffic(
        rows_per_request=sums.rows / past.requests,
        requests_per_day=past.requests / (period / _DAY),
        share=settings.share,
    )


def _require(
    rule: MetricRule,
    settings: ExperimentSettings,
    traffic: _Traffic,
    planned: float,
    segment: Segment | None = None,
) -> Requirement:
    design = design_of(rule, settings)
    information = design.required(settings.power)
    # Rounding must not ask for a row more.
    challenger = math.ceil(information / (1.0 - settings.share) * (1.0 - 1e-12))
    champion = math.ceil(information / settings.share * (1.0 - 1e-12))
    column, category = segment or (None, None)
    return Requirement(
        metric=rule.name,
        column=column,
        category=category,
        champion_rows=champion,
        challenger_rows=challenger,
        requests=math.ceil(traffic.requests(information)),
        days=traffic.days(information),
        days_if_found=traffic.days(design.expected(information, rule.scale)),
        # A guardrail's arms are equal a whole margin away from its limit.
        days_if_equal=traffic.days(
            design.expected(information, 0.0 if rule.effect else rule.margin)
        ),
        power=design.power(traffic.information(planned)),
    )


def _require_segments(
    rule: MetricRule, settings: ExperimentSettings, past: Arm, period: timedelta, planned: float
) -> list[Requirement]:
    """Plan the primary metric of each segment, with its part of the chance of error."""
    found = []
    for segment, sums in _usable(past.segments, rule.name).items():
        _, deviation = _moments(rule.name, sums)
        one = segment_rule(replace(rule, deviation=deviation), len(past.segments))
        traffic = _traffic(settings, past, period, sums)
        found.append(_require(one, settings, traffic, planned, segment))
    return found


def _usable(segments: Mapping[Segment, Mapping[str, Sums]], metric: str) -> dict[Segment, Sums]:
    found = {segment: sums[metric] for segment, sums in segments.items() if metric in sums}
    return {segment: found[segment] for segment in sorted(found) if found[segment].variance}


def segment_rule(rule: MetricRule, segments: int) -> MetricRule:
    """Return the rule for one of so many segments."""
    return replace(
        rule,
        alpha_better=rule.alpha_better / segments,
        alpha_worse=rule.alpha_worse / segments,
        alpha_no_gain=rule.alpha_no_gain / segments,
    )


def encode_plan(plan: ExperimentPlan) -> bytes:
    """Write ``plan.json``."""
    return encode_document(plan)


def decode_plan(data: bytes, *, name: str = "plan.json") -> ExperimentPlan:
    """Read a plan.

    Parameters
    ----------
    data : bytes
    name : str
        What messages call it.

    Raises
    ------
    ExperimentError
        If the text is not a plan this version can read.
    """
    plan = decode_document(data, ExperimentPlan, name=name, error=ExperimentError)
    if not plan.rules:
        raise ExperimentError(f"{name} cannot be read: it has no metric")
    return plan
