"""The figures of a column as a report shows them, in the terms of the mode it was judged by."""

from __future__ import annotations

from collections.abc import Iterable

from driftgauge.drift.verdict import FeatureVerdict, Mode
from driftgauge.report.markup import escape
from driftgauge.report.summary import TEST_WORDS, measured_text
from driftgauge.report.wording import DASH, distance, p_value, quantity

_HEADINGS: dict[Mode, tuple[str, ...]] = {
    "sound": ("Effect", "PSI", "Test statistic", "Corrected p"),
    "strict": ("Distance", "Threshold", "Method"),
}
# What the first of them is called in a sentence.
MEASURES: dict[Mode, str] = {"sound": "effect", "strict": "distance"}


def headings(mode: Mode) -> str:
    """Return the table's headings of the figures."""
    return "".join(f'<th scope="col" class="n">{name}</th>' for name in _HEADINGS[mode])


def cells(feature: FeatureVerdict, mode: Mode) -> str:
    """Return the table's cells under ``headings``."""
    strong = f'<td class="n strong">{escape(measured_text(feature))}</td>'
    if mode == "strict":
        limit = DASH if feature.threshold is None else f"{feature.threshold:g}"
        return f'{strong}<td class="n">{limit}</td><td class="n">{_method(feature)}</td>'
    statistic = DASH
    if feature.test and feature.statistic is not None:
        statistic = f"{quantity(feature.statistic)}<small>{TEST_WORDS[feature.test]}</small>"
    return (
        f'{strong}<td class="n">{distance(feature.distance)}</td><td class="n">{statistic}</td>'
        f'<td class="n">{escape(p_value(feature.adjusted_p_value))}</td>'
    )


def _method(feature: FeatureVerdict) -> str:
    if feature.test is None or feature.statistic is None:
        return DASH
    text = TEST_WORDS[feature.test]
    if feature.test == "linf_robust":
        return f"{text}<small>{distance(feature.statistic)} unreduced</small>"
    if feature.test == "chi_squared":
        return f"{text}<small>statistic {quantity(feature.statistic)}</small>"
    return text


def facts(feature: FeatureVerdict, mode: Mode) -> list[tuple[str, str]]:
    """Return labels and figures (markup) for the card of a column."""
    strong = f'<span class="strong">{escape(measured_text(feature))}</span>'
    if mode == "strict":
        listed = [("Distance", strong)]
        if feature.threshold is not None:
            listed.append(("Threshold", f"{feature.threshold:g}"))
        if feature.test and feature.statistic is not None:
            listed.append(("Method", TEST_WORDS[feature.test]))
            if feature.test == "linf_robust":
                listed.append(("Distance before Robust", distance(feature.statistic)))
            if feature.test == "chi_squared":
                listed.append(("Statistic", quantity(feature.statistic)))
        return listed
    listed = [("Effect (corrected PSI)", strong), ("PSI", distance(feature.distance))]
    if feature.test and feature.statistic is not None:
        listed.append((TEST_WORDS[feature.test], quantity(feature.statistic)))
        listed.append(
            (
                "p, corrected (raw)",
                f"{escape(p_value(feature.adjusted_p_value))} ({escape(p_value(feature.p_value))})",
            )
        )
    return listed


def history_note(features: Iterable[FeatureVerdict], mode: Mode) -> str:
    """Return how to read the chart over time, to follow its number of windows."""
    if mode == "sound":
        return ", on a square-root scale"
    if any(feature.test == "chi_squared" for feature in features):
        return "; columns under the chi-squared test have a p-value, which is no distance"
    return ""


def one_line(feature: FeatureVerdict, mode: Mode) -> str:
    """Return the figures (markup) of a column that did not drift."""
    if mode == "strict":
        return escape(feature.reason)
    return (
        f'Effect <span class="strong">{distance(feature.effect)}</span>, PSI '
        f"{distance(feature.distance)}, corrected p {escape(p_value(feature.adjusted_p_value))}"
    )


def terms(mode: Mode, limit: float) -> tuple[tuple[str, str], ...]:
    """Return what the figures mean: terms and their explanations."""
    if mode == "strict":
        return (
            (
                "Strict mode",
                "This window was judged as SageMaker Model Monitor judges: by the thresholds of "
                "constraints.json, whatever the number of columns, and however few the rows.",
            ),
            (
                "Distance",
                "For numbers the largest difference of the cumulative shares, for words the "
                "largest difference of a share: 0 means identical, 1 that nothing is shared. "
                "Robust is less what two samples of these sizes may differ by. Of the chi-squared "
                "test it is the p-value, and small is far.",
            ),
            (
                "Drift",
                "The distance exceeds the column's threshold, or the p-value is below it. A "
                "column without a distance is not compared; its badge says why.",
            ),
        )
    return (
        (
            "PSI",
            "Population stability index between baseline and window over the baseline's cells, "
            "with half a count added to each cell, in nats. 0 means identical.",
        ),
        (
            "Effect",
            "PSI less what sampling alone would give at these numbers of rows. For a normal "
            "column, 0.1 is a shift of the mean by about a third of a standard deviation.",
        ),
        (
            "Corrected p",
            "Chance of a difference at least this large if nothing had changed, corrected for "
            "the number of features judged (Holm).",
        ),
        (
            "Drift",
            "The difference is significant after correction and its effect exceeds "
            f"{limit:g}, or the limit set for that feature. With too few values the verdict "
            "is insufficient data, never no drift.",
        ),
    )
