"""Clarify's files and metrics of attributions: analysis.json, violations, CloudWatch points."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from driftgauge.attribution.sums import AttributionSums
from driftgauge.attribution.values import Aggregation, Attributions
from driftgauge.attribution.verdict import AttributionViolation
from driftgauge.checks.clarify_analysis import (
    ClarifyAnalysis,
    Explanation,
    decode_analysis,
    encode_analysis,
)
from driftgauge.errors import AttributionError
from driftgauge.report.compatible_metrics import MetricPoint, Publisher, attribution_points

METHOD = "kernel_shap"


def explanations_of(sums: AttributionSums) -> tuple[Explanation, ...]:
    """Return what ``analysis.json`` says about sums: means of magnitudes.

    Raises
    ------
    AttributionError
        If no row was explained.
    """
    _check_rows(sums.rows)
    return tuple(
        Explanation(
            method=METHOD,
            label=label,
            global_values=dict(zip(sums.features, sums.means(label).tolist(), strict=True)),
            expected_value=sums.expected_value(label),
        )
        for label in sums.labels
    )


def aggregated_explanations(
    attributions: Attributions, aggregation: Aggregation
) -> tuple[Explanation, ...]:
    """Return the same of SHAP values, by any of Clarify's aggregations."""
    values = attributions.global_values(aggregation)
    expected = attributions.expected
    return tuple(
        Explanation(
            method=METHOD,
            label=label,
            global_values=dict(zip(attributions.features, values[k].tolist(), strict=True)),
            expected_value=None if expected is None else float(expected[k]),
        )
        for k, label in enumerate(attributions.labels)
    )


def encode_explanations(
    explanations: Iterable[Explanation], analysis: ClarifyAnalysis | None = None
) -> bytes:
    """Write ``analysis.json``.

    Parameters
    ----------
    explanations : iterable of Explanation
    analysis : ClarifyAnalysis or None
        What the file says otherwise, such as bias metrics.
    """
    return encode_analysis(replace(analysis or ClarifyAnalysis(), explanations=tuple(explanations)))


def read_baseline_explanations(data: bytes) -> dict[str, Mapping[str, float]]:
    """Read the global SHAP values of each label from ``analysis.json``.

    Raises
    ------
    BaselineError
        If the file cannot be read.
    AttributionError
        If it has no SHAP values, or one that is not finite.
    """
    found = {
        explanation.label: explanation.global_values
        for explanation in decode_analysis(data).explanations
        if explanation.method == METHOD and explanation.global_values
    }
    if not found:
        raise AttributionError("analysis.json has no explanations.kernel_shap")
    for label, values in found.items():
        if not np.isfinite(list(values.values())).all():
            raise AttributionError(f"analysis.json: {label}: a SHAP value is not finite")
    return found


def match_labels(baseline: Iterable[str], window: Iterable[str]) -> dict[str, str]:
    """Return the baseline's label for each label of the window: by name, else by order.

    Clarify names labels after headers, or what it takes for headers, such as a first score.

    Raises
    ------
    AttributionError
        If neither fits.

    Examples
    --------
    >>> match_labels(["0.7956783771514893"], ["label0"])
    {'label0': '0.7956783771514893'}
    """
    there, here = list(baseline), list(window)
    if set(here) <= set(there):
        return {label: label for label in here}
    if len(here) != len(there):
        raise AttributionError(
            f"the model has {len(here)} outputs, the baseline attributions of {len(there)}"
        )
    return dict(zip(here, there, strict=True))


def encode_attribution_violations(violations: Iterable[AttributionViolation]) -> bytes:
    """Write ``constraint_violations.json``."""
    document = {
        "version": "1.0",
        "violations": [
            {
                "label": violation.label,
                "metric_name": violation.metric_name,
                "constraint_check_type": violation.constraint_check_type,
                "description": violation.description,
            }
            for violation in violations
        ],
    }
    return (json.dumps(document, indent=2) + "\n").encode("ascii")


def attribution_metrics(publisher: Publisher, sums: AttributionSums) -> tuple[MetricPoint, ...]:
    """Return the CloudWatch metrics of a window: none if no row was explained."""
    if not sums.rows:
        return ()
    return tuple(
        point
        for label in sums.labels
        for point in attribution_points(
            publisher,
            label=label,
            global_shap_values=dict(zip(sums.features, sums.means(label).tolist(), strict=True)),
            expected_value=sums.expected_value(label),
        )
    )


def _check_rows(rows: int) -> None:
    if not rows:
        raise AttributionError("no row was explained: there is nothing to write")
