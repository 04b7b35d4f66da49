"""Judges experiments: whether a challenger is better than the champion, or a shadow agrees.

Trigger: an SQS queue of S3 events of ``{monitor}/reports/{variant}/*/inputs.json``, which an
evaluation writes last, of the variants that are compared. The decision that ends an experiment is
written once, to ``{monitor}/experiments/{name}/decision.json``; that event makes people be told,
and a roll-out go on. Its running stage is an experiment as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.errors import ObjectNotFoundError
from driftgauge.experiment_settings import AbMonitorSettings, ShadowMonitorSettings
from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.report.experiment import render_experiment
from driftgauge.store import MonitorStore
from driftgauge.windows import Window
from lambdas.events import process_batch, read_created, settle_key
from lambdas.experiment_arms import judge_arms
from lambdas.experiment_decision import (
    Verdict,
    encode_verdict,
    read_decision,
    write_decision,
)
from lambdas.experiment_pairs import judge_pairs
from lambdas.experiment_weights import EndpointWeights
from lambdas.explain import place_of_report
from lambdas.rollout_record import read_rollout
from lambdas.runtime import Measure, Runtime, logger, now, publish_metrics, runtime


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Judge the experiments of the variants that were evaluated."""
    run = runtime()
    weights = EndpointWeights(run)
    return process_batch(event, context, lambda body: judge_evaluated(run, body, weights))


def judge_evaluated(run: Runtime, body: str, weights: EndpointWeights) -> None:
    """Judge the experiments that a window's report is part of."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    config = run.monitors[created.key.partition("/")[0]]
    variant, start = place_of_report(created.key)
    window = config.grid.window_of(start)
    for settings in experiments_of(run.store(config.name), config):
        if variant in (settings.champion, settings.challenger) and window.end > settings.since:
            _judge(run, config, settings, window, weights)


def experiments_of(
    store: MonitorStore, config: MonitorConfig
) -> Iterator[AbMonitorSettings | ShadowMonitorSettings]:
    """Return a monitor's experiments: those of its settings, and the stage of its roll-out."""
    yield from config.experiments
    running = running_stage(store, config)
    if running is not None:
        yield running


def running_stage(
    store: MonitorStore, config: MonitorConfig
) -> AbMonitorSettings | ShadowMonitorSettings | None:
    """Return the experiment of the stage that a roll-out is at; None if it compares nothing now.

    Raises
    ------
    StoreError
        If what is known of the roll-out cannot be read.
    """
    settings = config.rollout
    if settings is None or not settings.compared:
        return None
    record = read_rollout(store)
    if record is None or record.status != "running" or record.since is None:
        return None
    stage = next((one for one in settings.compared if one == record.stage), None)
    if stage is None:
        return None
    champion, _ = settings.sides(config.endpoint.variants)
    found = settings.experiment(
        stage,
        champion=champion,
        version=record.challenger,
        since=record.since,
    )
    # The record names it once both variants serve.
    return found if found.name == record.experiment else None


def _judge(
    run: Runtime,
    config: MonitorConfig,
    settings: AbMonitorSettings | ShadowMonitorSettings,
    window: Window,
    weights: EndpointWeights,
) -> None:
    store = run.store(config.name)
    decided = read_decision(store, settings.name)
    if decided is not None:
        logger.info("experiment decided already", experiment=settings.name, monitor=config.name)
        if not is_stated(store, decided):
            state_verdict(store, config, decided)
        return
    verdict: Verdict | None
    if isinstance(settings, AbMonitorSettings):
        # A roll-out sets the weights by its own settings.
        own = weights if settings in config.experiments else None
        verdict = judge_arms(run, config, settings, window, weights=own)
    else:
        verdict = judge_pairs(run, config, settings, window)
    if verdict is None:
        return
    if verdict.ended:
        # Before it is stated: of two looks at once, the slower one then states what was decided.
        write_decision(store, verdict)
        verdict = read_decision(store, settings.name) or verdict
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
    decided = read_decision(store, settings.name)
    if decided is not None:
        # Another look came to an end meanwhile, and this one may have written over it.
        state_verdict(store, config, decided)


def is_stated(store: MonitorStore, verdict: Verdict) -> bool:
    """Tell whether a verdict was written with all that belongs to it."""
    try:
        data = store.objects.read(store.experiment_key(verdict.experiment, name_of(verdict)))
    except ObjectNotFoundError:
        return False
    return data == encode_verdict(verdict)


def state_verdict(store: MonitorStore, config: MonitorConfig, verdict: Verdict) -> None:
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


def name_of(verdict: Verdict) -> str:
    """Return what the file of the last look is called."""
    return "shadow.json" if isinstance(verdict, ShadowVerdict) else "experiment.json"


def experiment_measures(verdict: Verdict) -> Iterator[Measure]:
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
