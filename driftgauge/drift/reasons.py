"""Verdicts in words: what was compared with which limit."""

from __future__ import annotations

from dataclasses import dataclass

from driftgauge.drift.measures import Measured, Missing

_SMALLEST_P = 1e-300


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a column is judged by.

    Attributes
    ----------
    alpha : float
        Largest corrected p-value that is significant.
    min_effect : float
        Smallest effect that is worth an alarm.
    columns : int
        How many columns the p-values pay for.
    reference : str
        What the window is compared with, such as ``the baseline``.
    """

    alpha: float
    min_effect: float
    columns: int
    reference: str


def explain_values(measured: Measured, adjusted: float, limits: Limits) -> str:
    """Say how the column's values compare."""
    corrected = chance(adjusted)
    if limits.columns > 1:
        corrected += f" after correction for {limits.columns:,} columns"
    corrected += f", limit {limits.alpha:g}"
    if adjusted > limits.alpha:
        return f"No significant difference from {limits.reference}: {corrected}."
    if measured.effect <= limits.min_effect:
        return (
            f"The difference is significant ({corrected}) but too small for an alarm: the effect "
            f"is {measured.effect:.3g}, the limit {limits.min_effect:g}."
        )
    text = (
        f"The distribution moved: PSI is {measured.distance:.3g}, {measured.effect:.3g} more than "
        f"sampling alone gives (limit {limits.min_effect:g}), and the difference is significant "
        f"({corrected})."
    )
    novel = measured.novel_p_value
    if novel is not None and novel <= limits.alpha and measured.novel_share > 0.0:
        owner = limits.reference
        text += f" {measured.novel_share:.1%} are values {owner} does not have ({chance(novel)})."
    return text


def explain_missing(missing: Missing, adjusted: float, limits: Limits) -> str:
    """Say how the share of missing values changed; empty unless that is worth an alarm."""
    if adjusted > limits.alpha or missing.effect <= limits.min_effect:
        return ""
    text = (
        f"{'Fewer' if missing.fewer else 'More'} values are missing: {missing.share:.1%} of the "
        f"rows, {missing.usual:.1%} in {limits.reference} ({chance(adjusted)} after correction)"
    )
    return f"{text}." if missing.fewer else f"{text}; data quality judges that."


def explain_shortage(
    *, window: int, reference: int, mistyped: int, min_rows: int, name: str
) -> str | None:
    """Say why a column cannot be judged, or return None if it can.

    Parameters
    ----------
    window, reference : int
        Usable values on both sides.
    mistyped : int
        Values of the window that are of the wrong type.
    min_rows : int
        How many are needed.
    name : str
        What the reference is called.
    """
    if window < min_rows:
        aside = f" (besides {mistyped:,} of the wrong type)" if mistyped else ""
        return f"The window has {window:,} usable values{aside}; {min_rows:,} are needed."
    if reference < min_rows:
        who = name[:1].upper() + name[1:]
        return f"{who} has only {reference:,} usable values; {min_rows:,} are needed."
    return None


def explain_detectable(shift: float | None) -> str:
    """Say which shift so few rows would show."""
    if shift is None:
        return ""
    return f"With so few, a shift of {shift:.2g} standard deviations is found nine times in ten."


def chance(p_value: float) -> str:
    """Write a p-value.

    Examples
    --------
    >>> chance(0.0123), chance(0.0)
    ('p = 0.012', 'p < 1e-300')
    """
    return f"p {f'= {p_value:.2g}' if p_value >= _SMALLEST_P else '< 1e-300'}"
