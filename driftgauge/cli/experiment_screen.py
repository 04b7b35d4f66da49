"""What ``driftgauge experiment`` shows: tables of a plan and of a verdict."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.cli import screen
from driftgauge.experiments.plan import ExperimentPlan, MetricRule, Requirement
from driftgauge.experiments.verdict import ExperimentVerdict, MetricVerdict
from driftgauge.experiments.wording import describe_mismatch
from driftgauge.report.markup import shorten
from driftgauge.report.wording import DASH, count, moment, p_value, plural, share

_WORDS = {
    "better": "better",
    "safe": "within margin",
    "no_gain": "no gain",
    "harm": "harm",
    "open": "undecided",
    "insufficient_data": "too few rows",
}
_STYLES = {"better": "green", "safe": "green", "harm": "bold red"}
_DECISION_STYLES = {"promote": "bold green", "stop: harm": "bold red"}
_LONGEST = 40
# Those with most evidence of harm come first; experiment.json has them all.
_MOST_SEGMENTS = 10


def show_plan(plan: ExperimentPlan) -> None:
    """Print what each metric needs, and what is planned."""
    out = screen.console()
    rules = {rule.name: rule for rule in plan.rules}
    out.print(
        _table(
            ("Metric", "In"),
            *("Mean", "Effect or margin", "Champion rows", "Challenger rows"),
            *("Requests", "Days", "If found", "If equal", "Power"),
            lines=[_plan_cells(one, rules[one.metric]) for one in plan.requirements],
        )
    )
    out.print(
        "If found, if equal: mean days until the metric is decided if the difference is the "
        "effect, and if there is none. Power: chance of finding the effect within the plan.",
        style="dim",
        soft_wrap=True,
    )
    text = f"Planned: {plural(plan.requests, 'request')} of both arms in {_days(plan.days)}, "
    text += f"{share(plan.share)} of them to the challenger, judged by {plan.method}."
    out.print(Text(text, style="bold"), soft_wrap=True)
    overall = [one for one in plan.requirements if one.column is None]
    needed = max(overall, key=lambda one: one.requests)
    if needed.requests > plan.requests:
        text = f"{needed.metric} needs {plural(needed.requests, 'request')}, {_days(needed.days)}: "
        text += f"the longest duration leaves a power of {share(needed.power)}."
        out.print(Text(text, style="yellow"), soft_wrap=True)


def _plan_cells(one: Requirement, rule: MetricRule) -> tuple[str | Text, ...]:
    where = "all rows" if one.column is None else f"{one.column} = {one.category}"
    sign = "+" if (rule.better == "higher") == (rule.role == "primary") else "-"
    return (
        Text(shorten(one.metric, _LONGEST)),
        Text(shorten(where, _LONGEST)),
        f"{rule.mean:.4g}" if one.column is None else "",
        f"{sign}{rule.scale:.4g}",
        count(one.champion_rows),
        count(one.challenger_rows),
        count(one.requests),
        _number_of_days(one.days),
        _number_of_days(one.days_if_found),
        _number_of_days(one.days_if_equal),
        share(one.power),
    )


def show_verdict(verdict: ExperimentVerdict) -> None:
    """Print the evidence on all metrics and segments, and the decision with its reason."""
    out = screen.console()
    segments = [
        (f"{one.metric.name} in {one.column} = {one.category}", one.metric)
        for one in verdict.segments[:_MOST_SEGMENTS]
    ]
    out.print(
        _table(
            ("Metric",),
            *("Champion", "Challenger", "Difference", "Confidence sequence"),
            *("p better", "p worse", "Rows", "Verdict"),
            lines=[
                _metric_cells(name, metric)
                for name, metric in [*((m.name, m) for m in verdict.metrics), *segments]
            ],
        )
    )
    for text in _standing(verdict):
        out.print(Text(text, style="dim"), soft_wrap=True)
    if verdict.mismatch.mismatch:
        text = f"Sample-ratio mismatch. {describe_mismatch(verdict.mismatch)}"
        out.print(Text(text, style="bold red"), soft_wrap=True)
    decision = verdict.decision
    out.print(
        Text(
            f"{decision.capitalize()}. {verdict.reason}",
            style=_DECISION_STYLES.get(decision, "bold"),
        ),
        soft_wrap=True,
    )


def _metric_cells(name: str, metric: MetricVerdict) -> tuple[str | Text, ...]:
    bounds = f"{_signed(metric.low)} to {_signed(metric.high)}"
    return (
        Text(shorten(name, 2 * _LONGEST)),
        _number(metric.champion),
        _number(metric.challenger),
        _signed(metric.difference),
        DASH if metric.low is metric.high is None else bounds,
        p_value(metric.p_better),
        p_value(metric.p_worse),
        f"{count(metric.champion_rows)} / {count(metric.challenger_rows)}",
        Text(_WORDS[metric.outcome], style=_STYLES.get(metric.outcome, "dim")),
    )


def _standing(verdict: ExperimentVerdict) -> Iterator[str]:
    mismatch = verdict.mismatch
    yield (
        f"{verdict.challenger} (challenger) against {verdict.champion} (champion), "
        f"{moment(verdict.started)} to {moment(verdict.evaluated_at)} UTC: "
        f"{count(mismatch.challenger_requests)} and {count(mismatch.champion_requests)} requests, "
        f"{verdict.progress:.0%} of what is planned."
    )
    if (more := len(verdict.segments) - _MOST_SEGMENTS) > 0:
        yield f"Not shown: {plural(more, 'segment')} with no more evidence of harm than these."
    dispersion = verdict.primary.dispersion
    if dispersion > 1.0:
        yield (
            f"Blocks vary {dispersion:.2f} times as much as independent rows would in "
            f"{verdict.primary.name}; its limits are that much wider."
        )


def _table(left: tuple[str, ...], *right: str, lines: list[tuple[str | Text, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="left" if name == "Verdict" else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def _days(value: float) -> str:
    return f"{_number_of_days(value)} {'day' if value == 1 else 'days'}"


def _number_of_days(value: float) -> str:
    return f"{value:,.1f}" if value >= 0.1 else f"{value:.2g}"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.4g}"


def _signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.4g}"
