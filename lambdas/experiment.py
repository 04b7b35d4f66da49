"""Judges experiments: whether a challenger is better than the champion, or a shadow agrees.

Trigger: an SQS queue of S3 events of ``{monitor}/reports/{variant}/*/inputs.json``, which an
evaluation writes last, of the variants that are compared. The decision that ends an experiment is
written once, to ``{monitor}/experiments/{name}/decision.json``; that event makes people be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConflictError, ObjectNotFoundError
from driftgauge.experiment_settings import AbMonitorSettings, ShadowMonitorSettings
from driftgauge.experiments.shadow_verdict import (
    ShadowVerdict,
    decode_shadow_verdict,
    encode_shadow_verdict,
)
from driftgauge.experiments.verdict import (
    ExperimentVerdict,
    decode_experiment_verdict,
    encode_experiment_verdict,
)
from driftgauge.report.experiment import render_experiment
from driftgauge.store import MonitorStore
from driftgauge.windows import Window
from lambdas.events import process_batch, read_created, settle_key
from lambdas.experiment_arms import judge_arms
from lambdas.experiment_pairs import judge_pairs
from lambdas.explain import place_of_report
from lambdas.runtime import Measure, Runtime, logger, now, publish_metrics, runtime

DECISION = "decision.json"


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Judge the experiments of the variants that were evaluated."""
    run = runtime()
    return process_batch(event, context, lambda body: judge_evaluated(run, body))


def judge_evaluated(run: Runtime, body: str) -> None:
    """Judge the experiments that a window's report is part of."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    config = run.monitors[created.key.partition("/")[0]]
    variant, start = place_of_report(created.key)
    window = config.grid.window_of(start)
    for settings in config.experiments:
        if variant in (settings.champion, settings.challenger) and window.end > settings.since:
            _judge(run, config, settings, window)


def _judge(
    run: Runtime,
    config: MonitorConfig,
    settings: AbMonitorSettings | ShadowMonitorSettings,
    window: Window,
) -> None:
    store = run.store(config.name)
    decided = read_decision(store, settings)
    if decided is not None:
        logger.info("experiment decided already", experiment=settings.name, monitor=config.name)
        if not is_stated(store, decided):
            state_verdict(store, config, decided)
        return
    verdict: ExperimentVerdict | ShadowVerdict | None
    if isinstance(settings, AbMonitorSettings):
        verdict = judge_arms(run, config, settings, window)
    else:
        verdict = judge_pairs(run, config, settings, window)
    if verdict is None:
        return
    if verdict.ended:
        # Before it is stated: of two looks at once, the slower one then states what was decided.
        write_decision(store, verdict)
        verdict = read_decision(store, settings) or verdict
    state_verdict(store, config, verdict)
    logger.info(
        "experiment judged",
        monitor=config.name,
        experiment=settings.name,
        decision=verdict.decision,
        reason=verdict.reason,
    )
    if verdict.ended:
        return
    decided = read_decision(store, settings)
    if decided is not None:
        # Another look came to an end meanwhile, and this one may have written over it.
        state_verdict(store, config, decided)


def read_decision(
    store: MonitorStore, settings: AbMonitorSettings | ShadowMonitorSettings
) -> ExperimentVerdict | ShadowVerdict | None:
    """Return what ended an experiment: what comes after may be no test any more."""
    try:
        data = store.objects.read(store.experiment_key(settings.name, DECISION))
    except ObjectNotFoundError:
        return None
    if isinstance(settings, AbMonitorSettings):
        return decode_experiment_verdict(data)
    return decode_shadow_verdict(data)


def is_stated(store: MonitorStore, verdict: ExperimentVerdict | ShadowVerdict) -> bool:
    """Tell whether a verdict was written with all that belongs to it."""
    try:
        data = store.objects.read(store.experiment_key(verdict.experiment, name_of(verdict)))
    except ObjectNotFoundError:
        return False
    return data == encode_verdict(verdict)


def state_verdict(
    store: MonitorStore, config: MonitorConfig, verdict: ExperimentVerdict | ShadowVerdict
) -> None:
    """Publish what is known at this look: the page, metrics, and last the verdict."""
    if isinstance(verdict, ShadowVerdict):
        challenger = verdict.shadow
        page = render_experiment(shadow=verdict, generated_at=now())
    else:
        challenger = verdict.challenger
        page = render_experiment(verdict=verdict, generated_at=now())
    store.objects.write(
        store.experiment_key(verdict.experiment, "report.html"),
        page.encode(),
        content_type="text/html; charset=utf-8",
    )
    publish_metrics(config=config, variant=challenger, measures=experiment_measures(verdict))
    store.objects.write(
        store.experiment_key(verdict.experiment, name_of(verdict)),
        encode_verdict(verdict),
        content_type="application/json",
    )


def name_of(verdict: ExperimentVerdict | ShadowVerdict) -> str:
    """Return what the file of the last look is called."""
    return "shadow.json" if isinstance(verdict, ShadowVerdict) else "experiment.json"


def write_decision(store: MonitorStore, verdict: ExperimentVerdict | ShadowVerdict) -> None:
    """Write the decision that ends an experiment, unless it has one."""
    try:
        store.objects.write(
            store.experiment_key(verdict.experiment, DECISION),
            encode_verdict(verdict),
            content_type="application/json",
            if_absent=True,
        )
    except ConflictError:
        logger.info("experiment decided already", experiment=verdict.experiment)


def encode_verdict(verdict: ExperimentVerdict | ShadowVerdict) -> bytes:
    """Write a verdict of either kind."""
    if isinstance(verdict, ShadowVerdict):
        return encode_shadow_verdict(verdict)
    return encode_experiment_verdict(verdict)


def experiment_measures(verdict: ExperimentVerdict | ShadowVerdict) -> Iterator[Measure]:
    """Return the metrics of an experiment."""
    yield Measure("ExperimentDecided", float(verdict.ended))
    yield Measure("ExperimentHarm", float(verdict.decision in ("stop", "stop: harm")))
    if isinstance(verdict, ShadowVerdict):
        if verdict.agreement.value is not None:
            yield Measure("ShadowAgreement", 100.0 * verdict.agreement.value, "Percent")
        if verdict.unpaired.value is not None:
            yield Measure("UnpairedShare", 100.0 * verdict.unpaired.value, "Percent")
        return
    yield Measure("SampleRatioMismatch", float(verdict.mismatch.mismatch))
    primary = verdict.primary
    if primary.difference is not None:
        sign = 1.0 if primary.better == "higher" else -1.0
        yield Measure("ExperimentGain", sign * primary.difference, "None")
