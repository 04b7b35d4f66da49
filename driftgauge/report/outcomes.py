"""The sections of the report about outcomes: quality, estimates, bias, attributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from driftgauge.report.outcome_attributions import attributions_section
from driftgauge.report.outcome_bias import bias_section
from driftgauge.report.outcome_quality import estimate_section, quality_section

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict


def outcome_sections(verdict: OutcomesVerdict, history: Sequence[OutcomesVerdict] = ()) -> str:
    """Return everything about a window's outcomes, as HTML.

    Parameters
    ----------
    verdict : OutcomesVerdict
        What was decided.
    history : sequence of OutcomesVerdict
        Other windows of the variant, in any order, for the charts over time.
    """
    others = [w for w in history if w.window_start != verdict.window_start]
    return (
        quality_section(verdict, others)
        + estimate_section(verdict)
        + bias_section(verdict, others)
        + attributions_section(verdict)
    )


def outcome_terms(verdict: OutcomesVerdict) -> tuple[tuple[str, str], ...]:
    """Return what the figures mean: terms and their explanations."""
    terms: list[tuple[str, str]] = []
    quality = verdict.quality
    if quality is not None and quality.mode == "strict":
        terms.append(("Decay", "A measure is beyond its threshold in constraints.json."))
    elif quality is not None:
        terms.append(
            (
                "Decay",
                "A measure is significantly worse than the baseline's, after Holm's correction "
                "for the number of measures, and by more than the tolerance. Variances allow for "
                "windows that differ more than independent rows would.",
            )
        )
        terms.append(
            (
                "Labels immature",
                "Fewer labels have arrived than usually have at this age. Nothing is judged, and "
                "alarms keep their state, until enough are there.",
            )
        )
    if quality is not None and quality.estimates:
        terms.append(
            (
                "Concept drift",
                "Labels contradict what was estimated for the very same rows, significantly and "
                "by more than the tolerance: the same inputs lead to other outcomes.",
            )
        )
    if verdict.attributions:
        terms.append(
            (
                "NDCG",
                "How alike the rankings of the features are: 1 is the same order. It does not see "
                "magnitudes; the part of the attribution that moved does.",
            )
        )
    return tuple(terms)
