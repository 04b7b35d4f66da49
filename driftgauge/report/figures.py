"""The figures of a column as a report shows them, in the terms of the mode it was judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from driftgauge.drift.verdict import FeatureVerdict, Mode
from driftgauge.report.markup import escape, shorten
from driftgauge.report.summary import TEST_WORDS, measured_text
from driftgauge.report.svg import number
from driftgauge.report.wording import DASH, distance, p_value, quantity, share

_HEADINGS: dict[Mode, tuple[str, ...]] = {
    "sound": ("Effect", "", "PSI", "Corrected p", "Shift visible"),
    "strict": ("Distance", "Threshold", "Method"),
}
_INTERVAL_HEADING = '<th scope="col">95% interval</th>'
# What the first of them is called in a sentence.
MEASURES: dict[Mode, str] = {"sound": "effect", "strict": "distance"}
_WHISKER: Final = 104
# From where on p-values of missing and new values, and differences of windows, are worth a word.
_RARE_P: Final = 0.01
_DISPERSED: Final = 1.1


def headings(mode: Mode) -> str:
    """Return the table's headings of the figures."""
    heads = "".join(f'<th scope="col" class="n">{name}</th>' for name in _HEADINGS[mode])
    return heads.replace('<th scope="col" class="n"></th>', _INTERVAL_HEADING)


@dataclass(frozen=True, kw_only=True)
class EffectScale:
    """The common axis of the intervals in a table: a square root, as in the chart over time.

    Attributes
    ----------
    limit : float
        The smallest effect that is worth an alarm.
    top : float
        Where the axis ends.
    """

    limit: float
    top: float

    @classmethod
    def over(cls, features: Iterable[FeatureVerdict], *, limit: float) -> EffectScale:
        """Return the axis that all intervals fit."""
        ends = [f.distance_interval[1] for f in features if f.distance_interval is not None]
        return cls(limit=limit, top=max([4.0 * limit, *ends]) * 1.05)

    def picture(self, feature: FeatureVerdict) -> str:
        """Draw a column's effect and its interval beside the limit; empty without one."""
        interval = feature.distance_interval
        if interval is None or feature.effect is None:
            return ""
        low, high, middle, limit = (
            number(self._place(value)) for value in (*interval, feature.effect, self.limit)
        )
        title = (
            f"{feature.name}: effect {distance(feature.effect)}, 95% interval "
            f"{interval_text(interval)}, worth an alarm from {self.limit:g}"
        )
        tone = " hot" if feature.verdict == "drift" else ""
        return (
            f'<svg class="whisker" viewBox="0 0 {_WHISKER} 18" role="img">'
            f"<title>{escape(title)}</title>"
            f'<line class="threshold" x1="{limit}" x2="{limit}" y1="0" y2="18"/>'
            f'<path class="reach{tone}" d="M{low} 5v8m0-4H{high}m0-4v8"/>'
            f'<circle class="at{tone}" cx="{middle}" cy="9" r="3.4"/></svg>'
        )

    def _place(self, value: float) -> float:
        part = min(1.0, max(0.0, value) / self.top)
        return 4.0 + math.sqrt(part) * (_WHISKER - 8.0)


def interval_text(interval: tuple[float, float]) -> str:
    """Write an interval of a distance.

    Examples
    --------
    >>> interval_text((0.1988986, 0.5758))
    '0.199 to 0.576'
    """
    return f"{distance(interval[0])} to {distance(interval[1])}"


def weight_note(feature: FeatureVerdict) -> str:
    """Return a column's importance, to follow its kind; empty if it is not known."""
    if feature.importance is None:
        return ""
    return f"<br>importance {escape(share(feature.importance))}"


def chance_note(p: float | None, prefix: str = "") -> str:
    """Return a small p-value of missing or new values; empty unless it is small."""
    return f"<small>{prefix}p {escape(p_value(p))}</small>" if _rare(p) else ""


def _rare(p: float | None) -> bool:
    return p is not None and p <= _RARE_P


def dispersion_note(features: Iterable[FeatureVerdict]) -> str:
    """Return a sentence (markup) on the columns whose windows vary more than rows explain."""
    spread = sorted(
        (f for f in features if f.dispersion >= _DISPERSED), key=lambda f: -f.dispersion
    )
    if not spread:
        return ""
    named = ", ".join(
        f"{f.dispersion:.1f} times in <bdi>{escape(shorten(f.name, 40))}</bdi>" for f in spread[:5]
    )
    more = f" and {len(spread) - 5:,} others" if len(spread) > 5 else ""
    return (
        f"Windows differ more than independent rows would: {named}{more}. The tests allow for it."
    )


def cells(feature: FeatureVerdict, mode: Mode, scale: EffectScale) -> str:
    """Return the table's cells under ``headings``."""
    strong = f'<td class="n strong">{escape(measured_text(feature))}</td>'
    if mode == "strict":
        limit = DASH if feature.threshold is None else f"{feature.threshold:g}"
        return f'{strong}<td class="n">{limit}</td><td class="n">{_method(feature)}</td>'
    interval = feature.distance_interval
    statistic = ""
    if feature.test and feature.statistic is not None:
        statistic = f"<small>{TEST_WORDS[feature.test]} {feature.statistic:.3g}</small>"
    visible = DASH
    if feature.detectable_shift is not None:
        visible = f"{feature.detectable_shift:.2g} sd"
    return (
        f"{strong}<td>{scale.picture(feature)}"
        + (f'<small class="under">{interval_text(interval)}</small>' if interval else "")
        + f'</td><td class="n">{distance(feature.distance)}</td>'
        f'<td class="n">{escape(p_value(feature.adjusted_p_value))}{statistic}</td>'
        f'<td class="n">{visible}</td>'
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
    listed = [("Effect (corrected PSI)", strong)]
    if feature.distance_interval is not None:
        listed.append(("95% interval of the effect", interval_text(feature.distance_interval)))
    listed.append(("PSI", distance(feature.distance)))
    if feature.test and feature.statistic is not None:
        listed.append((TEST_WORDS[feature.test], quantity(feature.statistic)))
        listed.append(
            (
                "p, corrected (raw)",
                f"{escape(p_value(feature.adjusted_p_value))} ({escape(p_value(feature.p_value))})",
            )
        )
    return listed + _background(feature)


def _background(feature: FeatureVerdict) -> list[tuple[str, str]]:
    """Return what the window could have shown, and what else is unlike the baseline."""
    listed = []
    if feature.detectable_shift is not None:
        listed.append(
            (
                "Smallest shift this window shows",
                f"{quantity(round(feature.detectable_shift, 2))} sd",
            )
        )
    if feature.dispersion >= _DISPERSED:
        listed.append(("Variance between windows", f"{feature.dispersion:.1f} times that of rows"))
    if feature.importance is not None:
        listed.append(("Importance for the model", escape(share(feature.importance))))
    for label, p in (
        ("Missing values, p", feature.missing_p_value),
        ("New values, p", feature.novel_p_value),
    ):
        if _rare(p):
            listed.append((label, escape(p_value(p))))
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
    if feature.verdict == "seasonal":
        return escape(feature.reason)
    interval = feature.distance_interval
    between = f" (95% interval {interval_text(interval)})" if interval else ""
    return (
        f'Effect <span class="strong">{distance(feature.effect)}</span>{between}, PSI '
        f"{distance(feature.distance)}, corrected p {escape(p_value(feature.adjusted_p_value))}"
    )


def terms(mode: Mode, limit: float, *, correction: str) -> tuple[tuple[str, str], ...]:
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
            "column, 0.1 is a shift of the mean by about a third of a standard deviation. The "
            "interval holds the distance of the populations in 95 of 100 windows.",
        ),
        (
            "Corrected p",
            "Chance of a difference at least this large if nothing had changed, corrected for "
            f"the number of features judged ({correction}).",
        ),
        (
            "Shift visible",
            "The smallest shift of the mean, in the baseline's standard deviations (sd), that a "
            "window of so many rows shows nine times in ten.",
        ),
        (
            "Drift",
            "The difference is significant after correction and its effect exceeds "
            f"{limit:g}, or the limit set for that feature. With too few values the verdict "
            "is insufficient data, never no drift.",
        ),
    )
