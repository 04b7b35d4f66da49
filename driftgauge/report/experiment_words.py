"""What an experiment comes down to, in words and figures."""

from __future__ import annotations

from typing import Final

from driftgauge.experiments.shadow_verdict import ShadowDecision, ShadowVerdict
from driftgauge.experiments.verdict import Decision, ExperimentVerdict, Method, Outcome
from driftgauge.report.markup import escape, shorten
from driftgauge.report.wording import DASH, MINUS, quantity

DECISION_WORDS: Final[dict[Decision, str]] = {
    "promote": "Promote",
    "keep": "Keep the champion",
    "continue": "Continue",
    "stop: harm": "Stop: harm",
}
DECISION_STYLES: Final[dict[Decision, str]] = {
    "promote": "ok",
    "keep": "wait",
    "continue": "insufficient",
    "stop: harm": "drift",
}
SHADOW_WORDS: Final[dict[ShadowDecision, str]] = {
    "advance": "Shadow may go on",
    "continue": "Shadow continues",
    "stop": "Stop the shadow",
}
SHADOW_STYLES: Final[dict[ShadowDecision, str]] = {
    "advance": "ok",
    "continue": "insufficient",
    "stop": "drift",
}
_OUTCOMES: Final[dict[Outcome, tuple[str, str]]] = {
    "better": ("ok", "better"),
    "safe": ("ok", "within margin"),
    "no_gain": ("wait", "no gain"),
    "harm": ("drift", "harm"),
    "open": ("insufficient", "open"),
    "insufficient_data": ("insufficient", "too few rows"),
}
METHOD_WORDS: Final[dict[Method, str]] = {
    "msprt": "mSPRT, valid at any look",
    "empirical_bernstein": "empirical Bernstein, valid at any look",
    "fixed": "one test at the end",
    "obrien_fleming": "O'Brien-Fleming stages",
    "pocock": "Pocock stages",
}
_LONGEST = 60


def badge(style: str, words: str) -> str:
    """Return a badge (markup)."""
    return f'<span class="badge {style}">{escape(words)}</span>'


def outcome_badge(outcome: Outcome) -> str:
    """Return the badge of a metric's outcome (markup)."""
    return badge(*_OUTCOMES[outcome])


def bdi(name: str) -> str:
    """Return a name from outside, its writing direction its own (markup)."""
    return f"<bdi>{escape(shorten(name, _LONGEST))}</bdi>"


def figure_of(value: float | None) -> str:
    """Write a value with four significant digits.

    Examples
    --------
    >>> figure_of(0.93214), figure_of(None) == DASH
    ('0.9321', True)
    """
    return DASH if value is None else quantity(value)


def change_of(value: float | None) -> str:
    """Write a difference with three significant digits and its sign.

    Examples
    --------
    >>> change_of(0.03016), change_of(-0.5) == MINUS + "0.5", change_of(0.0)
    ('+0.0302', True, '0')
    """
    if value is None:
        return DASH
    text = quantity(float(f"{abs(value):.3g}"))
    return text if value == 0 else f"{'+' if value > 0 else MINUS}{text}"


def bounds_of(low: float | None, high: float | None) -> str:
    """Write a confidence sequence of a difference; open where it is not bounded.

    Examples
    --------
    >>> bounds_of(0.01, None), bounds_of(None, None) == DASH
    ('above +0.01', True)
    """
    if low is None and high is None:
        return DASH
    if high is None:
        return f"above {change_of(low)}"
    if low is None:
        return f"below {change_of(high)}"
    return f"{change_of(low)} to {change_of(high)}"


def milliseconds(microseconds: float) -> str:
    """Write a latency.

    Examples
    --------
    >>> milliseconds(8123.4), milliseconds(2_500_000.0)
    ('8.12 ms', '2.5 s')
    """
    if microseconds >= 1e6:
        return f"{quantity(float(f'{microseconds / 1e6:.3g}'))} s"
    return f"{quantity(float(f'{microseconds / 1e3:.3g}'))} ms"


def headline(verdict: ExperimentVerdict) -> str:
    """Say what follows from the decision on a challenger (markup)."""
    champion, challenger = bdi(verdict.champion), bdi(verdict.challenger)
    if verdict.decision == "keep" and verdict.mismatch.mismatch:
        return f"{champion} stays: requests were not assigned as planned, so nothing can be said."
    return {
        "promote": f"{challenger} is better than {champion} and may take all traffic.",
        "keep": f"{champion} stays: there is no reason to replace it by {challenger}.",
        "continue": f"Not decided yet: {champion} and {challenger} keep their shares of the "
        "traffic.",
        "stop: harm": f"{challenger} does harm and must not receive more traffic.",
    }[verdict.decision]


def shadow_headline(verdict: ShadowVerdict) -> str:
    """Say what follows from the decision on a shadow (markup)."""
    production, shadow = bdi(verdict.production), bdi(verdict.shadow)
    return {
        "advance": f"{shadow} has shown enough beside {production}: it may receive requests whose "
        "answers are used.",
        "continue": f"Not decided yet: {shadow} goes on beside {production}.",
        "stop": f"{shadow} must not receive requests whose answers are used.",
    }[verdict.decision]
