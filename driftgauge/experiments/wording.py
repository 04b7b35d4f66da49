"""The evidence of an experiment in plain sentences."""

from __future__ import annotations

from driftgauge.experiments.verdict import MetricVerdict, MismatchVerdict

_PHRASES = {
    "better": "surely better",
    "safe": "surely within its margin",
    "no_gain": "surely gains less than the effect",
    "harm": "surely worse",
    "open": "undecided",
    "insufficient_data": "too few rows",
}


def describe_metric(metric: MetricVerdict) -> str:
    """Say what is known about one metric.

    Examples
    --------
    >>> describe_metric(MetricVerdict(
    ...     name="accuracy", role="primary", better="higher", outcome="better", reason="",
    ...     champion=0.9, challenger=0.92, champion_rows=5000, challenger_rows=5000,
    ...     difference=0.02, low=0.004, high=0.036, p_better=0.001, p_safe=0.001, p_worse=1.0,
    ...     p_no_gain=1.0, alpha_better=0.025, alpha_worse=0.025, alpha_no_gain=0.01,
    ...     effect=0.01, margin=0.0,
    ... ))
    'accuracy is surely better: 0.92 against 0.9, a difference of +0.02 (+0.004 to +0.036).'
    """
    text = f"{metric.name} is {_PHRASES[metric.outcome]}"
    if metric.outcome == "no_gain":
        text = f"{metric.name} {_PHRASES[metric.outcome]} of {metric.effect:.4g}"
    if metric.outcome == "harm" and metric.margin:
        text += f", beyond the margin of {metric.margin:.4g}"
    if metric.outcome == "insufficient_data":
        return (
            f"{metric.name} has too few rows or blocks: {metric.champion_rows:,} of the "
            f"champion, {metric.challenger_rows:,} of the challenger."
        )
    return f"{text}: {_numbers(metric)}."


def _numbers(metric: MetricVerdict) -> str:
    return (
        f"{_number(metric.challenger)} against {_number(metric.champion)}, a difference of "
        f"{_signed(metric.difference)} ({_signed(metric.low)} to {_signed(metric.high)})"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4g}"


def describe_mismatch(mismatch: MismatchVerdict) -> str:
    """Say how requests were assigned.

    Examples
    --------
    >>> describe_mismatch(MismatchVerdict(
    ...     champion_requests=5300, challenger_requests=4700, expected_share=0.5, share=0.47,
    ...     p_value=1e-6, alpha=0.001, mismatch=True,
    ... ))
    'The challenger received 47.00 % of the requests instead of 50.00 % (p = 1e-06).'
    """
    share = 100.0 * (mismatch.share or 0.0)
    expected = 100.0 * (mismatch.expected_share or 0.0)
    return (
        f"The challenger received {share:.2f} % of the requests instead of {expected:.2f} % "
        f"(p = {mismatch.p_value:.2g})."
    )


def listed(metrics: list[MetricVerdict]) -> str:
    """Describe several metrics, one sentence each."""
    return " ".join(describe_metric(metric) for metric in metrics)
