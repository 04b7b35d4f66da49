"""Makes the outcomes of a baseline, from labelled rows or from files of Model Monitor and Clarify.

Labelled rows are those the model has not learnt from, where there are such; of rows it has learnt
from it knows the labels better than it ever will in service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.captured import attributions_of_columns, captured_features
from driftgauge.attribution.champion import (
    champion_features,
    explain_champion,
    feature_rows,
    reference_centres,
    reference_rows,
)
from driftgauge.attribution.files import read_baseline_explanations
from driftgauge.attribution.linear import LinearModel
from driftgauge.attribution.model_files import read_model
from driftgauge.attribution.reference import Reference
from driftgauge.attribution.sums import AttributionSums, sum_attributions
from driftgauge.checks.clarify_analysis import ClarifyAnalysis, decode_analysis
from driftgauge.columns import Column, Rejects
from driftgauge.config import AttributionMonitorSettings, MonitorConfig
from driftgauge.errors import AttributionError, BaselineError, FairnessError
from driftgauge.fairness.counts import BiasCounts, count_outcome_bias, sum_bias_counts
from driftgauge.fairness.files import analysis_of
from driftgauge.fairness.rows import RowSample
from driftgauge.outcome_assessment import flip_tests
from driftgauge.outcome_baseline import OutcomeBaseline
from driftgauge.quality.counts import count_outcomes, sum_counts
from driftgauge.quality.files import decode_quality_constraints, suggest_quality_constraints
from driftgauge.quality.metrics import measure
from driftgauge.quality.outcomes import Outcomes
from driftgauge.quality.spec import OutcomeSpec, specify_outcomes
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table
from driftgauge.training.logistic import LogisticModel

Columns = Mapping[str, Column]

# Model Monitor's and Clarify's files of a baseline, beside those of data quality.
QUALITY_FILE = "quality/constraints.json"
BIAS_FILE = "bias/analysis.json"
EXPLAINABILITY_FILE = "explainability/analysis.json"
# Rows that the baseline's attributions and flip tests rest on, at most.
_SAMPLED_ROWS = 2000
_BLOCKS = 20
_LEAST_ROWS_OF_A_BLOCK = 50
# A squared difference counts at most so many times what is usual, and the estimate is held back as
# if so many more blocks had varied as independent rows do.
_LARGEST_RATIO = 9.0
_PRIOR_BLOCKS = 4.0
_MEDIAN_OF_CHI_SQUARED = 0.4549364231195724


def build_outcome_baseline(
    *,
    config: MonitorConfig,
    rows: Iterable[Columns],
    training: Iterable[Columns],
    inputs: Sequence[str],
    outputs: Sequence[str] = (),
    model: bytes | None = None,
) -> OutcomeBaseline | None:
    """Build the outcomes of a baseline.

    Parameters
    ----------
    config : MonitorConfig
    rows : iterable of mapping of str to Column
        Labelled rows with predictions, in parts, in the order of time if that is known. Of other
        rows only features are needed.
    training : iterable of mapping of str to Column
        Rows that attributions are explained of, and against: the training table.
    inputs, outputs : sequence of str
        Columns that the endpoint receives and returns, in order.
    model : bytes or None
        The champion's file.

    Returns
    -------
    OutcomeBaseline or None
        None if the monitor asks for nothing, or nothing can be had of these rows.

    Raises
    ------
    QualityError
        If labels and predictions contradict the monitor's settings.
    """
    built = OutcomeBaseline()
    if config.outcomes is not None:
        built = _measured(built, config, rows, outputs)
    if config.attribution is not None:
        sample = RowSample(_SAMPLED_ROWS)
        for part in training:
            sample.add(part)
        built = _explained(built, config.attribution, sample.columns(), tuple(inputs), model)
    return None if built.is_empty and not built.notes else built


def recover_outcome_baseline(
    config: MonitorConfig, files: Mapping[str, bytes]
) -> OutcomeBaseline | None:
    """Make the outcomes of a baseline from Model Monitor's and Clarify's files.

    Parameters
    ----------
    config : MonitorConfig
    files : mapping of str to bytes
        Some of ``quality/constraints.json``, ``bias/analysis.json`` and
        ``explainability/analysis.json``.

    Raises
    ------
    BaselineError
        If a file is of another problem than the monitor.
    DriftgaugeError
        If it cannot be read.
    """
    spec = constraints = analysis = explanations = None
    if config.outcomes is not None and (QUALITY_FILE in files or BIAS_FILE in files):
        columns = config.outcome_columns
        spec = OutcomeSpec(problem=columns.problem, classes=columns.classes)
    if config.outcomes is not None and QUALITY_FILE in files:
        constraints = decode_quality_constraints(files[QUALITY_FILE])
        if constraints.problem != config.outcomes.problem:
            raise BaselineError(
                f"{QUALITY_FILE} is of a {constraints.problem} problem, but outcomes.problem is "
                f"{config.outcomes.problem}"
            )
    if config.bias is not None and BIAS_FILE in files:
        analysis = decode_analysis(files[BIAS_FILE])
    if config.attribution is not None and EXPLAINABILITY_FILE in files:
        explanations = read_baseline_explanations(files[EXPLAINABILITY_FILE])
    recovered = OutcomeBaseline(
        spec=spec, constraints=constraints, analysis=analysis, explanations=explanations
    )
    return None if recovered.is_empty else recovered


def block_effect(losses: NDArray[np.float64]) -> float:
    """Say how many times more blocks of rows vary than blocks of independent rows would.

    The rows are cut into 20 blocks as they follow each other. Each block's mean is compared with
    the median of all in units of its variance; a block far from the others counts at most nine
    times what is usual among them.

    Parameters
    ----------
    losses : ndarray of float64, shape (rows,)
        In the order of the rows.

    Returns
    -------
    float
        At least 1; 1 with less than 1000 rows.

    Examples
    --------
    >>> good, bad = np.zeros(100), np.ones(100)
    >>> round(block_effect(np.concatenate([good, bad] * 10)))
    84
    >>> block_effect(np.tile([0.0, 1.0], 1000))
    1.0
    """
    size = losses.shape[0] // _BLOCKS
    variance = float(losses.var())
    if size < _LEAST_ROWS_OF_A_BLOCK or variance <= 0.0:
        return 1.0
    means = losses[: size * _BLOCKS].reshape(_BLOCKS, size).mean(axis=1)
    ratios = (means - np.median(means)) ** 2 / (variance / size)
    usual = max(1.0, float(np.median(ratios)) / _MEDIAN_OF_CHI_SQUARED)
    total = float(np.minimum(ratios, _LARGEST_RATIO * usual).sum())
    return max(1.0, (total + _PRIOR_BLOCKS) / (_BLOCKS + _PRIOR_BLOCKS))


@dataclass(kw_only=True, eq=False)
class _Found:
    """The usable parts of labelled rows."""

    parts: list[Outcomes] = field(default_factory=list)
    sample: RowSample = field(default_factory=lambda: RowSample(_SAMPLED_ROWS))
    lacking: str = ""


def _measured(
    built: OutcomeBaseline, config: MonitorConfig, rows: Iterable[Columns], outputs: Sequence[str]
) -> OutcomeBaseline:
    """Add quality and bias."""
    found = _outcomes(config, rows)
    if not found.parts:
        note = f"no quality and no bias: the labelled rows have no column {found.lacking!r}"
        return _with_notes(built, note if found.lacking else "no quality: there is no labelled row")
    first, *more = found.parts
    segments = config.outcome_columns.segments
    spec = specify_outcomes(*(_sliced(part, segments) for part in (first, *more)))
    counts = sum_counts(spec, (count_outcomes(spec, part) for part in found.parts))
    if not counts.labelled:
        return _with_notes(
            built,
            f"no quality and no bias: none of {counts.rows + counts.unusable} rows has a usable "
            "label and prediction; are the classes and columns of `outcomes` theirs?",
        )
    constraints = suggest_quality_constraints(spec.problem, measure(counts))
    effect = block_effect(np.concatenate([_losses(part) for part in found.parts]))
    built = replace(built, spec=spec, counts=counts, constraints=constraints, design_effect=effect)
    return _compared(built, config, found, outputs)


def _outcomes(config: MonitorConfig, rows: Iterable[Columns]) -> _Found:
    found = _Found()
    people = config.bias.spec.columns if config.bias is not None else ()
    for table in rows:
        columns = _of_table(config.outcome_columns, table)
        absent = [name for name in columns.names if name not in table]
        if absent:
            return _Found(lacking=absent[0])
        several = tuple(dict.fromkeys((*columns.segments, *people)))
        found.parts.append(outcomes_of_table(replace(columns, segments=several), table))
        if config.bias is not None:
            found.sample.add(table)
    return found


def _of_table(columns: OutcomeColumns, table: Columns) -> OutcomeColumns:
    """Let the class follow from the probabilities where rows have only these."""
    if columns.prediction is None or columns.prediction in table or not columns.probabilities:
        return columns
    return replace(columns, prediction=None)


def _sliced(outcomes: Outcomes, names: Sequence[str]) -> Outcomes:
    segments = {name: outcomes.segments[name] for name in names if name in outcomes.segments}
    return replace(outcomes, segments=segments)


def _losses(outcomes: Outcomes) -> NDArray[np.float64]:
    """Return the absolute error of each labelled row; of classes 0 or 1."""
    labels, predictions = outcomes.labels, outcomes.predictions
    known = np.isfinite(labels) & np.isfinite(predictions)
    if outcomes.problem == "regression":
        apart: NDArray[np.float64] = np.abs(labels[known] - predictions[known])
        return apart
    wrong: NDArray[np.float64] = (labels[known] != predictions[known]).astype(np.float64)
    return wrong


def _compared(
    built: OutcomeBaseline, config: MonitorConfig, found: _Found, outputs: Sequence[str]
) -> OutcomeBaseline:
    """Add bias."""
    if config.bias is None:
        return built
    spec = config.bias.spec
    try:
        counts = sum_bias_counts(spec, (count_outcome_bias(spec, part) for part in found.parts))
        analysis = _analysis(config, counts, found.sample.columns(), outputs)
    except FairnessError as error:
        return _with_notes(built, f"no bias: {error}")
    return replace(built, bias=counts, analysis=analysis)


def _analysis(
    config: MonitorConfig, counts: BiasCounts, sample: Columns, outputs: Sequence[str]
) -> ClarifyAnalysis:
    label = config.outcome_columns.label
    features = {name: column for name, column in sample.items() if name != label}
    return analysis_of(counts, flips=flip_tests(config, features, outputs=outputs))


def _explained(
    built: OutcomeBaseline,
    settings: AttributionMonitorSettings,
    columns: Columns,
    inputs: tuple[str, ...],
    model: bytes | None,
) -> OutcomeBaseline:
    """Add attributions, or the rows that they will be explained against."""
    try:
        sums, reference = _attributions(settings, columns, inputs, model)
    except AttributionError as error:
        return _with_notes(built, f"no attributions: {error}")
    return replace(built, sums=sums, reference=reference)


def _attributions(
    settings: AttributionMonitorSettings,
    columns: Columns,
    inputs: tuple[str, ...],
    data: bytes | None,
) -> tuple[AttributionSums | None, Reference | None]:
    if settings.source == "captured":
        features = captured_features(columns, settings.prefix)
        found = attributions_of_columns(columns, settings.prefix, features, rejects=Rejects())
        return sum_attributions(found), None
    if settings.source == "endpoint":
        return None, reference_centres(feature_rows(columns, inputs))
    if data is None:
        raise AttributionError(
            "no model file: put NAME.model.json beside the training data NAME first, or name the "
            "file in attribution.model"
        )
    model = read_model(data)
    reference = None
    if isinstance(model, LinearModel | LogisticModel):
        reference = reference_rows(feature_rows(columns, champion_features(model, inputs)))
    return explain_champion(model, columns, inputs=inputs, reference=reference), reference


def _with_notes(built: OutcomeBaseline, *notes: str) -> OutcomeBaseline:
    return replace(built, notes=(*built.notes, *notes))
