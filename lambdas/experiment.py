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
from driftgauge.experiments.shadow_verdict import ShadowVerdict, encode_shadow_verdict
from driftgauge.experiments.verdict import ExperimentVerdict, encode_experiment_verdict
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
    if is_decided(store, settings.name):
        logger.info("experiment decided already", experiment=settings.name, monitor=config.name)
        return
    verdict: ExperimentVerdict | ShadowVerdict | None
    if isinstance(settings, AbMonitorSettings):
        verdict = judge_arms(run, config, settings, window)
    else:
        verdict = judge_pairs(run, config, settings, window)
    if verdict is None:
        return
    write_verdict(store, verdict)
    publish_metrics(
        config=config, variant=settings.challenger, measures=experiment_measures(verdict)
    )
    logger.info(
        "experiment judged",
        monitor=config.name,
        experiment=settings.name,
        decision=verdict.decision,
        reason=verdict.reason,
    )
    if verdict.ended:
        # Last: whoever is told finds everything written, and what fails before is done again.
        write_decision(store, verdict)


def is_decided(store: MonitorStore, experiment: str) -> bool:
    """Tell whether an experiment has ended: what comes after may be no test any more."""
    try:
        store.objects.read(store.experiment_key(experiment, DECISION))
    except ObjectNotFoundError:
        return False
    return True


def write_verdict(store: MonitorStore, verdict: ExperimentVerdict | ShadowVerdict) -> None:
    """Write what is known at this look, and the page."""
    if isinstance(verdict, ShadowVerdict):
        name, page = "shadow.json", render_experiment(shadow=verdict, generated_at=now())
    else:
        name, page = "experiment.json", render_experiment(verdict=verdict, generated_at=now())
    store.objects.write(
        store.experiment_key(verdict.experiment, name),
        encode_verdict(verdict),
        content_type="application/json",
    )
    store.objects.write(
        store.experiment_key(verdict.experiment, "report.html"),
        page.encode(),
        content_type="text/html; charset=utf-8",
    )


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
