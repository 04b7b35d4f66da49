"""Whether a window is more biased than the baseline.

``judge_bias`` asks whether a confidence interval leaves the allowed range; ``judge_bias_strictly``
decides as the bias monitor of SageMaker does: by point estimates, without any allowance for noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from driftgauge.checks.clarify_analysis import BiasMetric, BiasStage, ClarifyAnalysis
from driftgauge.drift.special import normal_isf
from driftgauge.drift.verdict import Mode
from driftgauge.errors import FairnessError
from driftgauge.fairness.counts import BiasCounts
from driftgauge.fairness.flips import FlipTest
from driftgauge.fairness.measure import Measured, Stage, facet_rows, measure_bias, stages_of
from driftgauge.fairness.verdict import (
    BiasOutcome,
    BiasVerdict,
    BiasViolation,
    FacetVerdict,
    MetricVerdict,
    written,
)

# The flip test of each facet of the specification, or why there is none.
Flips = Sequence[FlipTest | str | None]

_ROUNDING = 1e-12
# Ratios of counts, without bound; and divergences, which are small where shares differ little.
_RATIOS = frozenset({"DCA", "DCR", "TE"})
_DIVERGENCES = frozenset({"GE", "JS", "KL"})
_NEVER_NEGATIVE = _DIVERGENCES | {"KS", "LP", "TVD"}


@dataclass(frozen=True, kw_only=True)
class BiasSettings:
    """How counts become verdicts.

    Attributes
    ----------
    alpha : float
        Chance of any false alarm in one window, whatever the number of metrics and facets.
    tolerance : float
        Bias beyond the baseline's that is not worth an alarm, for differences of shares.
    divergence_tolerance : float
        The same for JS, KL and GE.
    ratio_tolerance : float
        The same for DCA, DCR and TE; for DI it is relative: with 0.2 a ratio of 0.5 may fall to
        0.5 / 1.2.
    tolerances : mapping of str to float
        Of single metrics; they win.
    min_rows : int
        Rows that every rate in a metric must rest on.
    design_effect : float
        How many times larger variances are than independent rows would give.
    """

    alpha: float = 0.01
    tolerance: float = 0.05
    divergence_tolerance: float = 0.02
    ratio_tolerance: float = 0.2
    tolerances: Mapping[str, float] = field(default_factory=dict)
    min_rows: int = 30
    design_effect: float = 1.0

    def tolerance_of(self, name: str) -> float:
        """Return the tolerance of a metric, on the scale it is judged on.

        Examples
        --------
        >>> settings = BiasSettings()
        >>> settings.tolerance_of("RD"), round(settings.tolerance_of("DI"), 4)
        (0.05, 0.1823)
        """
        given = self.tolerances.get(name)
        if name == "DI":
            return math.log1p(self.ratio_tolerance if given is None else given)
        if given is not None:
            return given
        if name in _RATIOS:
            return self.ratio_tolerance
        return self.divergence_tolerance if name in _DIVERGENCES else self.tolerance


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """A metric of a facet and what it is compared with."""

    name: str
    here: Measured
    there: Measured | None

    def shortage(self, settings: BiasSettings) -> str | None:
        """Say why it cannot be judged; None if it can."""
        if self.here.value is None:
            return f"{self.here.error}."
        if self.there is None or self.there.distance is None:
            return "The baseline does not have it."
        needed = math.ceil(settings.min_rows * settings.design_effect)
        if self.here.rows < needed:
            return f"A rate in it rests on {self.here.rows} rows; at least {needed} are needed."
        known = self.here.standard_error is not None and self.there.standard_error is not None
        if not known:
            return "Too few rows in most groups of the group variable."
        return None


@dataclass(frozen=True, kw_only=True)
class _FacetComparison:
    stage: Stage
    index: int
    compared: tuple[_Comparison, ...]


def judge_bias(
    counts: BiasCounts,
    baseline: ClarifyAnalysis | BiasCounts,
    *,
    settings: BiasSettings | None = None,
    flips: Flips = (),
) -> BiasVerdict:
    """Judge a window: a metric drifts if its interval does not touch the allowed range.

    Allowed is what is at most as far from fair as the baseline, in either direction, plus a
    tolerance. Fair is 0, for DI a ratio of 1 on a logarithmic scale: ratios of 0.5 and 2 are
    equally biased, and of 0.18 and 0.08 the second is worse. Intervals are those of the delta
    method; their level is corrected for the number of judged metrics after Bonferroni. A metric
    with a rate that rests on too few rows is not judged.

    Parameters
    ----------
    counts : BiasCounts
        Of the window.
    baseline : ClarifyAnalysis or BiasCounts
        An ``analysis.json`` holds no numbers of rows, so its values are taken as exact. Counts
        bring their own noise.
    settings : BiasSettings, optional
    flips : sequence of FlipTest, str or None
        For each facet.

    Raises
    ------
    FairnessError
        If the baseline is of another outcome, or has none of the facets.
    """
    settings = settings or BiasSettings()
    facets = _compare(counts, baseline, flips)
    judged = sum(c.shortage(settings) is None for facet in facets for c in facet.compared)
    level = settings.alpha / max(1, judged)
    verdicts = tuple(
        _facet_verdict(counts, facet, tuple(_decide(c, settings, level) for c in facet.compared))
        for facet in facets
    )
    return _verdict(counts, verdicts, mode="sound", confidence=1 - level)


def judge_bias_strictly(
    counts: BiasCounts, baseline: ClarifyAnalysis, *, flips: Flips = ()
) -> BiasVerdict:
    """Judge as SageMaker does: a metric drifts if it is farther from 0 than the baseline's.

    Parameters
    ----------
    counts, baseline, flips
        As in ``judge_bias``.

    Raises
    ------
    FairnessError
        As ``judge_bias``.
    """
    facets = _compare(counts, baseline, flips)
    verdicts = tuple(
        _facet_verdict(counts, facet, tuple(map(_decide_strictly, facet.compared)))
        for facet in facets
    )
    return _verdict(counts, verdicts, mode="strict", confidence=None)


def measured_stages(
    counts: BiasCounts, flips: Flips = ()
) -> Iterator[tuple[Stage, int, dict[str, Measured]]]:
    """Yield all metrics of all facets: stage, index of the facet, metrics by name."""
    found = {stage for facet in counts.facets for stage in stages_of(facet)}
    stages: tuple[Stage, ...] = ("pre_training", "post_training")
    for stage in stages:
        if stage in found:
            for i, facet in enumerate(counts.facets):
                yield (
                    stage,
                    i,
                    measure_bias(
                        facet,
                        stage,
                        grouped=counts.spec.group is not None,
                        flips=flips[i] if i < len(flips) else None,
                    ),
                )


def _compare(
    counts: BiasCounts, baseline: ClarifyAnalysis | BiasCounts, flips: Flips
) -> tuple[_FacetComparison, ...]:
    if isinstance(baseline, BiasCounts):
        if baseline.spec != counts.spec:
            raise FairnessError("the baseline counts other outcomes or facets than the window")
        known = {(stage, i): found for stage, i, found in measured_stages(baseline)}
    else:
        known = _known_of(counts, baseline)
    facets = tuple(
        _FacetComparison(
            stage=stage,
            index=i,
            compared=tuple(
                _Comparison(name=name, here=here, there=known[stage, i].get(name))
                for name, here in found.items()
            ),
        )
        for stage, i, found in measured_stages(counts, flips)
        if (stage, i) in known
    )
    if not facets and counts.rows:
        listed = ", ".join(
            f"{facet.column} {counts.display(i)}" for i, facet in enumerate(counts.spec.facets)
        )
        raise FairnessError(
            f"the baseline has none of the facets {listed} in a stage that the rows are about"
        )
    return facets


def _known_of(
    counts: BiasCounts, analysis: ClarifyAnalysis
) -> dict[tuple[Stage, int], dict[str, Measured]]:
    known = {}
    stages: tuple[tuple[Stage, BiasStage | None], ...] = (
        ("pre_training", analysis.pre_training),
        ("post_training", analysis.post_training),
    )
    for stage, content in stages:
        if content is None:
            continue
        if not counts.spec.positive.shown_as(content.label_value_or_threshold):
            raise FairnessError(
                f"the baseline's positive outcome is {content.label_value_or_threshold!r}, that "
                f"of the rows {counts.spec.positive.display(counts.maximum)!r}"
            )
        for i, facet in enumerate(counts.spec.facets):
            for there in content.facets:
                if facet.column == there.name and facet.sensitive.shown_as(
                    there.value_or_threshold
                ):
                    known[stage, i] = {m.name: _fixed(m) for m in there.metrics}
    return known


def _fixed(metric: BiasMetric) -> Measured:
    """Return a value of the baseline, as exact as the file has it."""
    value = metric.value
    if value is None or math.isnan(value):
        return Measured(value=None, error=metric.error)
    distance = value
    if metric.name == "DI":
        distance = math.log(value) if 0 < value < math.inf else math.copysign(math.inf, value - 1)
    return Measured(value=value, distance=distance, standard_error=0.0)


def _decide(compared: _Comparison, settings: BiasSettings, level: float) -> MetricVerdict:
    here, there = compared.here, compared.there
    shortage = compared.shortage(settings)
    if shortage is not None or there is None:
        return _unjudged(compared, shortage or "")
    middle, limit = here.distance or 0.0, abs(there.distance or 0.0)
    error = math.hypot(here.standard_error or 0.0, there.standard_error or 0.0)
    half = normal_isf(level / 2) * error * math.sqrt(settings.design_effect)
    limit += settings.tolerance_of(compared.name)
    drift = abs(middle) - half > limit
    if drift:
        reason = "More biased than the baseline, beyond the tolerance and beyond chance."
    elif abs(middle) > limit:
        reason = "Looks more biased than the baseline, but chance may do that with so few rows."
    else:
        reason = "At most as biased as the baseline, within the tolerance."
    scale = _ratio_of if compared.name == "DI" else _as_it_is
    least = 0.0 if compared.name in _NEVER_NEGATIVE else -math.inf
    return replace(
        _unjudged(compared, reason),
        verdict="drift" if drift else "ok",
        low=scale(max(least, middle - half)),
        high=scale(middle + half),
        allowed_low=scale(max(least, -limit)),
        allowed_high=scale(limit),
    )


def _decide_strictly(compared: _Comparison) -> MetricVerdict:
    here = compared.here.value
    there = compared.there.value if compared.there else None
    if here is None or math.isnan(here):
        return _unjudged(compared, f"{compared.here.error}.")
    if there is None:
        return _unjudged(compared, "The baseline does not have it.")
    # Clarify adds in another order: the last digits of the same rows may differ.
    if abs(here) > abs(there) and not math.isclose(abs(here), abs(there), rel_tol=_ROUNDING):
        reason = (
            f"Metric value {clarify_text(here)} doesn't meet the baseline constraint requirement "
            f"{clarify_text(there)}"
        )
        return replace(_unjudged(compared, reason), verdict="drift")
    return replace(_unjudged(compared, "Not farther from 0 than the baseline."), verdict="ok")


def clarify_text(value: float) -> str:
    """Write a number as Clarify does.

    Examples
    --------
    >>> clarify_text(float("inf")), clarify_text(-0.25)
    ('Infinity', '-0.25')
    """
    return json.dumps(value)


def _unjudged(compared: _Comparison, reason: str) -> MetricVerdict:
    return MetricVerdict(
        name=compared.name,
        verdict="insufficient_data",
        reason=reason,
        value=written(compared.here.value),
        baseline=written(compared.there.value if compared.there else None),
        rows=compared.here.rows,
    )


def _ratio_of(distance: float) -> float | None:
    return math.exp(distance) if distance < 700 else None


def _as_it_is(distance: float) -> float | None:
    return distance if math.isfinite(distance) else None


def _facet_verdict(
    counts: BiasCounts, facet: _FacetComparison, metrics: tuple[MetricVerdict, ...]
) -> FacetVerdict:
    here = counts.facets[facet.index]
    rows = facet_rows(here)
    return FacetVerdict(
        stage=facet.stage,
        facet=counts.spec.facets[facet.index].column,
        facet_value=counts.display(facet.index),
        verdict=_worst([metric.verdict for metric in metrics]),
        rows_a=rows["a"],
        rows_d=rows["d"],
        unusable=here.unusable,
        metrics=metrics,
    )


def _worst(outcomes: Sequence[BiasOutcome]) -> BiasOutcome:
    if "drift" in outcomes:
        return "drift"
    return "ok" if "ok" in outcomes else "insufficient_data"


def _verdict(
    counts: BiasCounts,
    facets: tuple[FacetVerdict, ...],
    *,
    mode: Mode,
    confidence: float | None,
) -> BiasVerdict:
    outcome = _worst([facet.verdict for facet in facets])
    drifted = [(facet, m) for facet in facets for m in facet.metrics if m.verdict == "drift"]
    if drifted:
        listed = ", ".join(f"{m.name} of {f.facet} {f.facet_value}" for f, m in drifted[:5])
        reason = f"More biased than the baseline: {listed}"
        reason += f" and {len(drifted) - 5} more." if len(drifted) > 5 else "."
    elif outcome == "ok":
        reason = "At most as biased as the baseline."
    else:
        reason = "No metric could be compared with the baseline."
    return BiasVerdict(
        mode=mode,
        verdict=outcome,
        reason=reason,
        label=counts.spec.label,
        label_value=counts.spec.positive.display(counts.maximum),
        rows=counts.rows,
        facets=facets,
        violations=tuple(_violation(f, m, mode) for f, m in drifted),
        confidence=confidence,
    )


def _violation(facet: FacetVerdict, metric: MetricVerdict, mode: Mode) -> BiasViolation:
    text = metric.reason
    if mode == "sound":
        text = (
            f"Metric value {metric.value} with interval from {_short(metric.low)} to "
            f"{_short(metric.high)} is outside the allowed range from "
            f"{_short(metric.allowed_low)} to {_short(metric.allowed_high)} around the baseline "
            f"{metric.baseline}"
        )
    return BiasViolation(
        facet=facet.facet,
        facet_value=facet.facet_value,
        metric_name=metric.name,
        description=text,
    )


def _short(value: float | None) -> str:
    return "infinity" if value is None else f"{value:.4g}"
