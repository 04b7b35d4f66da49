"""What SageMaker's bias monitor writes: analysis.json, violations and CloudWatch metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator

from driftgauge.checks.clarify_analysis import (
    BiasMetric,
    BiasStage,
    ClarifyAnalysis,
    Facet,
)
from driftgauge.fairness.counts import BiasCounts
from driftgauge.fairness.decision import Flips, measured_stages
from driftgauge.fairness.measure import DESCRIPTIONS, Stage
from driftgauge.fairness.verdict import BiasViolation
from driftgauge.report import compatible_metrics
from driftgauge.report.compatible_metrics import MetricPoint, Publisher, bias_points

_PUBLISHED: dict[Stage, compatible_metrics.BiasStage] = {
    "pre_training": "Pre-training",
    "post_training": "Post-Training",
}


def analysis_of(counts: BiasCounts, *, flips: Flips = ()) -> ClarifyAnalysis:
    """Return all metrics as ``analysis.json`` holds them; ``encode_analysis`` writes it.

    Parameters
    ----------
    counts : BiasCounts
    flips : sequence of FlipTest, str or None
        For each facet the flip test, or why there is none.

    Notes
    -----
    Facets of one column are next to each other, as the file has them.
    """
    found: dict[Stage, list[Facet]] = {}
    for stage, i, metrics in measured_stages(counts, flips):
        found.setdefault(stage, []).append(
            Facet(
                name=counts.spec.facets[i].column,
                value_or_threshold=counts.display(i),
                metrics=tuple(
                    BiasMetric(
                        name=name,
                        description=DESCRIPTIONS[stage][name],
                        value=metric.value,
                        error=metric.error,
                    )
                    for name, metric in metrics.items()
                ),
            )
        )
    order = list(dict.fromkeys(facet.column for facet in counts.spec.facets))
    stages = {
        stage: BiasStage(
            label=counts.spec.label,
            label_value_or_threshold=counts.spec.positive.display(counts.maximum),
            facets=tuple(sorted(facets, key=lambda facet: order.index(facet.name))),
        )
        for stage, facets in found.items()
    }
    return ClarifyAnalysis(
        pre_training=stages.get("pre_training"), post_training=stages.get("post_training")
    )


def encode_bias_violations(violations: tuple[BiasViolation, ...]) -> bytes:
    """Write ``constraint_violations.json`` of a bias monitor.

    Examples
    --------
    >>> json.loads(encode_bias_violations(()))
    {'version': '1.0', 'violations': []}
    """
    listed = [
        {
            "constraint_check_type": violation.constraint_check_type,
            "description": violation.description,
            "facet": violation.facet,
            "facet_value": violation.facet_value,
            "metric_name": violation.metric_name,
        }
        for violation in violations
    ]
    return (json.dumps({"version": "1.0", "violations": listed}, indent=4) + "\n").encode("ascii")


def bias_metric_points(publisher: Publisher, analysis: ClarifyAnalysis) -> tuple[MetricPoint, ...]:
    """Return the CloudWatch metrics ``bias_metric_{X}`` of an analysis.

    Infinities become the ends of CloudWatch's range; what could not be computed is left out.
    """
    return bias_points(publisher, _published(analysis))


def _published(analysis: ClarifyAnalysis) -> Iterator[compatible_metrics.BiasMetric]:
    stages: tuple[tuple[Stage, BiasStage | None], ...] = (
        ("pre_training", analysis.pre_training),
        ("post_training", analysis.post_training),
    )
    for stage, content in stages:
        for facet in content.facets if content else ():
            for metric in facet.metrics:
                yield compatible_metrics.BiasMetric(
                    name=metric.name,
                    value=metric.value,
                    stage=_PUBLISHED[stage],
                    label=content.label if content else "",
                    label_value=content.label_value_or_threshold if content else "",
                    facet=facet.name,
                    facet_value=facet.value_or_threshold,
                )
