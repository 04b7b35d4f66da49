"""Bias in the report: the metrics of each facet against what is allowed, and over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from driftgauge.drift.verdict import Mode
from driftgauge.fairness.measure import DESCRIPTIONS
from driftgauge.fairness.verdict import (
    BiasOutcome,
    BiasVerdict,
    FacetVerdict,
    MetricVerdict,
)
from driftgauge.report.markup import escape, shorten
from driftgauge.report.outcome_bias_chart import WORDS, bias_chart, finite
from driftgauge.report.outcome_labels import legend
from driftgauge.report.outcome_words import MAIN_BIAS_METRICS, value_text
from driftgauge.report.whisker import Whisker
from driftgauge.report.wording import DASH, count, distance, plural

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

_BADGES: dict[BiasOutcome, str] = {
    "drift": "drift",
    "ok": "ok",
    "insufficient_data": "insufficient",
}
_RANK: dict[BiasOutcome, int] = {"drift": 0, "ok": 1, "insufficient_data": 2}
_STAGES = {"pre_training": "labels", "post_training": "predictions"}
_MOST_FACETS: Final = 12
# Ends of the small pictures, in multiples of what is allowed.
_LEAST_REACH: Final = 2.0
_FARTHEST: Final = 12.0
_LEGEND: Final = (
    ("this window, with its interval", '<path class="line realised" d="M0 5H14"/>'),
    ("baseline", '<path class="base-level" d="M0 5H14"/>'),
    ("allowed", '<rect class="allowed" width="14" height="10"/>'),
    ("drift", '<circle class="outcome-dot hot" cx="7" cy="5" r="3.6"/>'),
    ("not judged", '<circle class="outcome-dot hollow" cx="7" cy="5" r="3.6"/>'),
)


def bias_badge(outcome: BiasOutcome, reason: str = "") -> str:
    """Return a verdict on bias as a badge; its title is the reason."""
    title = f' title="{escape(reason)}"' if reason else ""
    return f'<span class="badge {_BADGES[outcome]}"{title}>{WORDS[outcome]}</span>'


def bias_section(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict]) -> str:
    """Return a card for each facet; empty if bias is not monitored."""
    bias = verdict.bias
    if bias is None:
        return ""
    facets = sorted(bias.facets, key=lambda facet: _RANK[facet.verdict])
    cards = "".join(
        _card(facet, bias, verdict, history, key=f"bias{i}")
        for i, facet in enumerate(facets[:_MOST_FACETS])
    )
    return (
        f"<h2>Bias {bias_badge(bias.verdict, bias.reason)}</h2>"
        f'<p class="note">{escape(bias.reason)} {_how(bias)}</p>{cards}'
    )


def _how(bias: BiasVerdict) -> str:
    outcome = (
        f"The favorable outcome is <bdi>{escape(shorten(bias.label, 60))}</bdi> "
        f"<bdi>{escape(shorten(bias.label_value, 60))}</bdi>. "
    )
    if bias.mode == "strict":
        return outcome + "Strict mode: a metric farther from 0 than the baseline's drifts."
    text = (
        "A metric drifts if its interval lies wholly outside what is allowed: at most as far from "
        "fair as the baseline, in either direction, and the tolerance."
    )
    if bias.confidence is not None:
        level = f"{bias.confidence * 100:.4g}%"
        text += f" Each interval has a level of {level}, so high that all of them hold together."
    return outcome + text


def _card(
    facet: FacetVerdict,
    bias: BiasVerdict,
    verdict: OutcomesVerdict,
    history: Sequence[OutcomesVerdict],
    *,
    key: str,
) -> str:
    unusable = f", {count(facet.unusable)} in neither group" if facet.unusable else ""
    rows = "".join(_row(metric, facet, bias) for metric in _ordered(facet.metrics))
    main = main_metric(facet)
    chart = bias_chart(verdict, history, facet, main.name, key=key) if main is not None else ""
    over_time = ""
    if chart and main is not None:
        over_time = (
            f'<p class="sub">{escape(_metric_name(facet, main.name))} over time</p>'
            f'{legend(_LEGEND)}<div class="scroll">{chart}</div>'
        )
    return (
        f'<article class="card"><header><h3><bdi>{escape(shorten(facet.facet, 60))}</bdi> '
        f"<bdi>{escape(shorten(facet.facet_value, 60))}</bdi></h3>{bias_badge(facet.verdict)}"
        f'<span class="kind">bias in {_STAGES[facet.stage]}: '
        f"{plural(facet.rows_d, 'row')} of this group, {count(facet.rows_a)} of the others"
        f"{unusable}</span></header>{over_time}"
        '<div class="scroll"><table class="features bias"><thead><tr><th scope="col">Metric</th>'
        '<th scope="col">Verdict</th><th scope="col" class="n">Value</th>'
        '<th scope="col">Against what is allowed</th>'
        '<th scope="col" class="n">Baseline</th><th scope="col" class="n">Allowed</th>'
        f'<th scope="col" class="n">Rows</th></tr></thead><tbody>{rows}</tbody></table></div>'
        "</article>"
    )


def _ordered(metrics: Sequence[MetricVerdict]) -> list[MetricVerdict]:
    return sorted(metrics, key=lambda metric: _RANK[metric.verdict])


def main_metric(facet: FacetVerdict) -> MetricVerdict | None:
    """Return the metric that stands for a facet: DPPL, DI or DPL, else the first judged."""
    judged = [m for m in facet.metrics if m.verdict != "insufficient_data"]
    candidates = [m for name in MAIN_BIAS_METRICS for m in judged if m.name == name]
    drifted = [m for m in judged if m.verdict == "drift"]
    if drifted and candidates and candidates[0].verdict != "drift":
        return drifted[0]
    return next(iter([*candidates, *judged]), None)


def _metric_name(facet: FacetVerdict, name: str) -> str:
    return DESCRIPTIONS[facet.stage].get(name, name)


def _row(metric: MetricVerdict, facet: FacetVerdict, bias: BiasVerdict) -> str:
    words, _, short = _metric_name(facet, metric.name).rpartition(" (")
    interval = ""
    if metric.low is not None or metric.high is not None:
        interval = f'<small class="under">{_number(metric.low)} to {_number(metric.high)}</small>'
    unjudged = metric.verdict == "insufficient_data"
    picture = f"<small>{escape(metric.reason)}</small>" if unjudged else _picture(metric, bias.mode)
    return (
        f'<tr><th scope="row">{escape(metric.name)}<small>{escape(words or short)}</small></th>'
        f"<td>{bias_badge(metric.verdict, metric.reason)}</td>"
        f'<td class="n strong">{value_text(metric.value)}</td><td>{picture}{interval}</td>'
        f'<td class="n">{value_text(metric.baseline)}</td><td class="n">{_allowed(metric)}</td>'
        f'<td class="n">{count(metric.rows)}</td></tr>'
    )


def _number(value: float | None) -> str:
    return "∞" if value is None else distance(value)


def _allowed(metric: MetricVerdict) -> str:
    if metric.allowed_low is None and metric.allowed_high is None:
        return DASH
    return f"{_number(metric.allowed_low)} to {_number(metric.allowed_high)}"


def scale_of(name: str) -> Callable[[float], float]:
    """Return what a metric is drawn on: ratios of rates on a logarithmic scale."""
    return _log if name == "DI" else float


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _picture(metric: MetricVerdict, mode: Mode) -> str:
    """Draw a metric in multiples of what is allowed, with what is fair in the middle."""
    value, baseline = finite(metric.value), finite(metric.baseline)
    if value is None:
        return ""
    low, high = metric.allowed_low, metric.allowed_high
    if mode == "strict" and baseline is not None:
        low, high = -abs(baseline), abs(baseline)
    if high is None:
        return ""
    scale = scale_of(metric.name)
    limit = scale(high) or 1e-9
    interval = None
    if metric.low is not None and metric.high is not None:
        interval = (scale(metric.low) / limit, scale(metric.high) / limit)
    at = scale(value) / limit
    reach = min(_FARTHEST, max(_LEAST_REACH, *(1.1 * abs(end) for end in (at, *(interval or ())))))
    return Whisker(
        value=at,
        interval=interval,
        baseline=None if baseline is None else scale(baseline) / limit,
        allowed=(-1.0 if low is None else scale(low) / limit, 1.0),
        hot=metric.verdict == "drift",
    ).picture(
        -reach,
        reach,
        f"{metric.name} {value_text(metric.value)}, allowed {_allowed(metric)}, baseline "
        f"{value_text(metric.baseline)}",
    )
