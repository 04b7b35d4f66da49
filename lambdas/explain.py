"""Explains windows: which features made a sample of a window's predictions what they are.

Trigger: an SQS queue of S3 events of ``{monitor}/reports/*/inputs.json``, which an evaluation
writes last. The attributions that are written here make the window be evaluated once more, which
then finds the same sample explained: that ends the circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.attribution.captured import attributions_of_columns, captured_features
from driftgauge.attribution.champion import explain_champion, feature_rows
from driftgauge.attribution.kernel_shap import KernelSettings, explain_by_kernel, plan_explanation
from driftgauge.attribution.model_files import read_model
from driftgauge.attribution.scorers import EndpointScorer
from driftgauge.attribution.sums import AttributionSums, sum_attributions
from driftgauge.capture.text_names import captured_names
from driftgauge.columns import Column, Rejects
from driftgauge.config import AttributionMonitorSettings, MonitorConfig
from driftgauge.errors import AttributionError, ConflictError, StoreError
from driftgauge.outcome_baseline import OutcomeBaseline
from driftgauge.store import Current, MonitorStore, StoredPart
from driftgauge.windows import Window
from lambdas.attribution_file import (
    REFERENCE_FILE,
    StoredSums,
    encode_stored_sums,
    read_stored_sums,
)
from lambdas.baseline import model_file
from lambdas.events import process_batch, read_created, settle_key
from lambdas.inputs import recent_baselines
from lambdas.runtime import Runtime, logger, now, runtime
from lambdas.sample_rollup import read_sample

_SOURCE_BYTES = 16
# A window of fewer explained rows is nothing to compare later ones with.
_REFERENCE_ROWS = 30
# Rows between two lines about progress.
_PROGRESS = 50


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Explain the windows that were evaluated."""
    run = runtime()
    return process_batch(event, context, lambda body: explain_evaluated(run, body))


@dataclass(frozen=True, kw_only=True)
class _Sampled:
    """A window's row sample under the baseline that judges the window."""

    baseline: str
    parts: tuple[StoredPart, ...]


def explain_evaluated(run: Runtime, body: str) -> None:
    """Explain one window, if it asks for it and has not been explained as it is."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    config = run.monitors[created.key.partition("/")[0]]
    settings = config.attribution
    if settings is None:
        return
    variant, start = place_of_report(created.key)
    window = config.grid.window_of(start)
    store = run.store(config.name)
    current, _ = run.current(store)
    sampled = _find_samples(store, current, variant=variant, window=window)
    reason = _reason_to_skip(config, settings, current, sampled, window)
    if sampled is None or reason is not None:
        logger.info("window not explained", monitor=config.name, window=str(window), reason=reason)
        return
    source = _source_of(settings, current, sampled)
    key = store.attributions_key(baseline=sampled.baseline, variant=variant, window=window)
    if _is_explained(store, key, source):
        logger.info("window explained already", monitor=config.name, window=str(window))
        return
    sums = _explain(run, config, settings, current, sampled, variant=variant, window=window)
    if sums is None:
        return
    stored = StoredSums(sums=sums, source=source, window_start=window.start)
    data = encode_stored_sums(stored)
    _keep_reference(run, store, sampled.baseline, sums, data)
    store.objects.write(key, data)
    logger.info(
        "window explained",
        monitor=config.name,
        variant=variant,
        window=str(window),
        baseline=sampled.baseline,
        source=settings.source,
        rows=sums.rows,
    )


def place_of_report(key: str) -> tuple[str, datetime]:
    """Return variant and start of the window that a report's key names.

    Raises
    ------
    StoreError
        If it is not the key of a report.

    Examples
    --------
    >>> place_of_report("loans/reports/AllTraffic/2026/03/02/10/inputs.json")[1].hour
    10
    """
    try:
        _, room, variant, *parts, _ = key.split("/")
        numbers = [int(part) for part in parts]
        if room != "reports" or len(numbers) not in (4, 5):
            raise ValueError("not a report")
        year, month, day, hour, minute = (*numbers, 0)[:5]
        return variant, datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError as error:
        raise StoreError(f"{key} is not the key of a window's report") from error


def _find_samples(
    store: MonitorStore, current: Current, *, variant: str, window: Window
) -> _Sampled | None:
    for version in recent_baselines(current):
        parts = tuple(store.list_samples(baseline=version, variant=variant, window=window))
        if parts:
            return _Sampled(baseline=version, parts=parts)
    return None


def _reason_to_skip(
    config: MonitorConfig,
    settings: AttributionMonitorSettings,
    current: Current,
    sampled: _Sampled | None,
    window: Window,
) -> str | None:
    """Say why a window is not explained now; None if it is.

    A window that still changes is evaluated again, and then looked at again.
    """
    if sampled is None:
        return "no rows were sampled"
    moment = now()
    closed = window.end <= moment
    young = moment - max(one.modified for one in sampled.parts)
    quiet = young + timedelta(seconds=1) >= config.debounce
    if settings.source == "endpoint":
        if sampled.baseline != current.baseline:
            return "the endpoint has another model by now"
        return None if closed and quiet else "the window is not complete"
    return None if closed or quiet else "rows are still arriving"


def _source_of(settings: AttributionMonitorSettings, current: Current, sampled: _Sampled) -> bytes:
    """Return what stands for everything that a window's attributions depend on."""
    lines = sorted(f"{one.key} {one.tag}" for one in sampled.parts)
    model = _model_version(current, sampled.baseline)
    asked = (settings.source, settings.model, settings.prefix, settings.rows)
    costs = (settings.samples, settings.invocations)
    text = msgspec.json.encode((lines, model, asked, costs))
    return blake2b(text, digest_size=_SOURCE_BYTES).digest()


def _model_version(current: Current, baseline: str) -> str | None:
    """Return the model that belongs to a baseline."""
    if current.baseline == baseline:
        return current.model
    return next((one.model for one in current.history if one.baseline == baseline), None)


def _is_explained(store: MonitorStore, key: str, source: bytes) -> bool:
    try:
        stored = read_stored_sums(store, key)
    except AttributionError as error:
        logger.warning("attributions made anew", key=key, reason=str(error))
        return False
    return stored is not None and stored.source == source


def _explain(
    run: Runtime,
    config: MonitorConfig,
    settings: AttributionMonitorSettings,
    current: Current,
    sampled: _Sampled,
    *,
    variant: str,
    window: Window,
) -> AttributionSums | None:
    """Explain a window's sample; None if the baseline lacks what it takes."""
    store = run.store(config.name)
    columns = _columns(store, settings, sampled, window)
    if settings.source == "captured":
        return _read_captured(columns, settings.prefix)
    known = run.outcome_baseline(store, sampled.baseline) or OutcomeBaseline()
    inputs = captured_names(run.baseline(store, sampled.baseline).spec.inputs)
    if settings.source == "endpoint":
        return _ask_endpoint(config, settings, known, columns, inputs=inputs, variant=variant)
    version = _model_version(current, sampled.baseline)
    data = None
    if settings.model is not None or version is not None:
        data = model_file(run, config, store.model_key(version or ""))
    if data is None:
        logger.warning(
            "window not explained",
            monitor=config.name,
            reason="there is no model file: put NAME.model.json beside the training data NAME, or "
            "name a file in attribution.model",
        )
        return None
    model = read_model(data)
    return explain_champion(model, columns, inputs=inputs, reference=known.reference)


def _columns(
    store: MonitorStore, settings: AttributionMonitorSettings, sampled: _Sampled, window: Window
) -> Mapping[str, Column]:
    """Return the sampled rows, as many as are to be explained."""
    sample = read_sample(store, sampled.parts, window=window)
    if sample is None:
        return {}
    # Rows are in the order of their hashes: the first ones are a sample, too.
    return {name: column.take(slice(0, settings.rows)) for name, column in sample.columns.items()}


def _read_captured(columns: Mapping[str, Column], prefix: str) -> AttributionSums:
    features = tuple(sorted(captured_features(columns, prefix)))
    rejects = Rejects()
    found = attributions_of_columns(columns, prefix, features, rejects=rejects)
    if rejects.total:
        logger.warning("rows without usable attributions", rejected=rejects.counts)
    return sum_attributions(found)


def _ask_endpoint(
    config: MonitorConfig,
    settings: AttributionMonitorSettings,
    baseline: OutcomeBaseline,
    columns: Mapping[str, Column],
    *,
    inputs: tuple[str, ...],
    variant: str,
) -> AttributionSums | None:
    """Explain rows by KernelSHAP, within the budget of calls."""
    if baseline.reference is None:
        logger.warning(
            "window not explained",
            monitor=config.name,
            reason="the baseline keeps no rows to replace features by: put the training data there "
            "again",
        )
        return None
    rows = feature_rows(columns, inputs)
    asked = KernelSettings(num_samples=settings.samples, budget=settings.invocations)
    plan = plan_explanation(
        features=len(inputs),
        rows=rows.rows,
        reference_rows=baseline.reference.rows.rows,
        settings=asked,
    )
    scorer = EndpointScorer(endpoint=config.endpoint.name, variant=variant)
    progress = _Progress(monitor=config.name, rows=plan.rows, scorer=scorer)
    found = explain_by_kernel(
        scorer, rows, baseline.reference, settings=asked, progress=progress.advance
    )
    logger.info("endpoint asked", monitor=config.name, invocations=scorer.invocations)
    return sum_attributions(found)


@dataclass(kw_only=True)
class _Progress:
    """Tells the log how far an explanation has come."""

    monitor: str
    rows: int
    scorer: EndpointScorer
    done: int = 0

    def advance(self, rows: int) -> None:
        """Count explained rows."""
        before = self.done
        self.done += rows
        if self.done // _PROGRESS > before // _PROGRESS:
            logger.info(
                "rows explained",
                monitor=self.monitor,
                explained=self.done,
                rows=self.rows,
                invocations=self.scorer.invocations,
            )


def _keep_reference(
    run: Runtime, store: MonitorStore, version: str, sums: AttributionSums, data: bytes
) -> None:
    """Keep the first window's attributions under a baseline that has none of its own."""
    known = run.outcome_baseline(store, version)
    if known is not None and (known.sums is not None or known.explanations is not None):
        return
    if sums.rows < _REFERENCE_ROWS:
        return
    try:
        store.objects.write(store.baseline_key(version, REFERENCE_FILE), data, if_absent=True)
    except ConflictError:
        return
    logger.info("reference of attributions kept", monitor=store.monitor, baseline=version)
