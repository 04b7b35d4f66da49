"""Tells people: an alarm changed its state, an experiment ended, a retraining came to a point.

Triggers: EventBridge "CloudWatch Alarm State Change" of the monitors' composite alarms, and "Object
Created" of ``{monitor}/experiments/*/decision.json``; and the retraining state machine with
``{"retraining": {"stage": ..., "monitor": ..., ...}}``.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import ConfigError, ObjectNotFoundError, QualityError, StoreError
from driftgauge.outcome_verdict import OutcomesVerdict, decode_outcomes_verdict
from driftgauge.report.alert import Alert, AlertLink, alert_from_verdicts
from driftgauge.report.experiment_alert import RolledStage, experiment_alert
from driftgauge.report.wording import moment
from driftgauge.rollout_settings import COMPARED, experiment_name
from driftgauge.store import MonitorStore
from driftgauge.windows import Window
from lambdas.approvals import answer_links
from lambdas.delivery import deliver
from lambdas.experiment_decision import decode_decision
from lambdas.retraining_alert import retraining_alert
from lambdas.rollout_record import RollOut, read_rollout
from lambdas.runtime import Runtime, logger, runtime
from lambdas.state import read_state

# Windows before the newest judged one that are read to say since when quality has decayed.
_OUTCOME_HISTORY = 26


@logger.inject_lambda_context(clear_state=True, correlation_id_path="id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send the alert that the event calls for, if any."""
    run = runtime()
    if "retraining" in event:
        message = event["retraining"]
        # Also a failure to find the monitor is told, so an unknown one is no error here.
        config = next((m for m in run.monitors.monitors if m.name == message["monitor"]), None)
        asked = message["stage"] == "approval"
        alert: Alert | None = retraining_alert(
            message,
            region=run.settings.AWS_REGION,
            answers=answer_links(run, config, message) if asked else (),
            settings=config.rollout if config else None,
            record=known_rollout(run, config, str(message.get("version", ""))),
        )
    elif event.get("detail-type") == "Object Created":
        config, alert = decision_alert(run, str(event["detail"]["object"]["key"]))
    else:
        config = monitor_of_alarm(run, str(event["detail"]["alarmName"]))
        alert = alarm_alert(run, config, event["detail"])
    if alert is None:
        return {"sent": False}
    deliver(run.settings, config, alert)
    logger.info("alert sent", monitor=alert.monitor, tone=alert.tone)
    return {"sent": True, "title": alert.title}


def monitor_of_alarm(run: Runtime, alarm: str) -> MonitorConfig:
    """Return the monitor whose composite alarm, or one of whose alarms, has a name.

    Raises
    ------
    ConfigError
        If no monitor of this deployment has such an alarm.
    """
    by_length = sorted(run.monitors.monitors, key=lambda config: -len(config.name))
    for config in by_length:
        name = f"{run.settings.DEPLOYMENT}-{config.name}"
        if alarm == name or alarm.startswith(f"{name}-"):
            return config
    raise ConfigError(f"the alarm {alarm!r} belongs to no monitor of {run.settings.DEPLOYMENT}")


def alarm_alert(run: Runtime, config: MonitorConfig, detail: dict[str, Any]) -> Alert | None:
    """Describe a change of an alarm's state; None where nobody needs to know.

    The first OK of a new alarm is not a recovery, and missing data is told by the silence alarm.
    """
    state = str(detail["state"]["value"])
    before = str(detail.get("previousState", {}).get("value", ""))
    if state not in ("ALARM", "OK") or (state == "OK" and before != "ALARM"):
        return None
    verdicts = newest_verdicts(run, config)
    outcomes, history = newest_outcomes(run, config)
    return alert_from_verdicts(
        monitor=config.name,
        ringing=state == "ALARM",
        reason=str(detail["state"].get("reason", "no reason given")),
        verdicts=verdicts,
        links=links(run, config, verdicts, outcomes),
        outcomes=outcomes,
        outcome_history=history,
    )


def decision_alert(run: Runtime, key: str) -> tuple[MonitorConfig, Alert]:
    """Describe the decision that ended an experiment, or a stage of a roll-out.

    Raises
    ------
    ConfigError
        If there is no such monitor in this deployment.
    ExperimentError
        If the decision cannot be read.
    """
    monitor, _, experiment, _ = key.split("/")
    config = run.monitors[monitor]
    store = run.store(monitor)
    verdict = decode_decision(store.objects.read(key))
    page = store.objects.uri + store.experiment_key(experiment, "report.html")
    links = [AlertLink(label="Report of the experiment", target=page), *_dashboard(run)]
    return config, experiment_alert(
        monitor, verdict, links=links, stage=rolled_stage(run, config, experiment)
    )


def rolled_stage(run: Runtime, config: MonitorConfig, experiment: str) -> RolledStage | None:
    """Return the stage of a roll-out that an experiment is; None if it is none."""
    record = known_rollout(run, config)
    if record is None:
        return None
    for stage in COMPARED:
        if experiment_name(record.challenger, stage) == experiment:
            return RolledStage(stage=stage, challenger=record.challenger)
    return None


def known_rollout(run: Runtime, config: MonitorConfig | None, version: str = "") -> RollOut | None:
    """Return what is known of a monitor's roll-out, of one version only if it is given."""
    if config is None or config.rollout is None:
        return None
    try:
        record = read_rollout(run.store(config.name))
    except StoreError as error:
        # What happened must be told all the same.
        logger.warning("roll-out cannot be read", monitor=config.name, error=str(error))
        return None
    return record if record is not None and version in ("", record.challenger) else None


def newest_verdicts(run: Runtime, config: MonitorConfig) -> list[WindowVerdict]:
    """Return the newest verdict of every variant that has one."""
    store = run.store(config.name)
    verdicts = []
    for variant in config.lasting_variants:
        newest = read_state(store, variant).newest
        if newest is None:
            continue
        try:
            verdicts.append(store.read_verdict(variant=variant, window=newest))
        except ObjectNotFoundError:
            logger.warning("no verdict", monitor=config.name, variant=variant, window=str(newest))
    return verdicts


def newest_outcomes(
    run: Runtime, config: MonitorConfig
) -> tuple[list[OutcomesVerdict], list[OutcomesVerdict]]:
    """Return what is known of outcomes: the newest judged windows, and the windows before them.

    Of every variant these are the newest window that labels have judged and, if it is another,
    the newest that attributions have judged: labels come later.
    """
    store = run.store(config.name)
    found: list[OutcomesVerdict] = []
    history: list[OutcomesVerdict] = []
    for variant in config.lasting_variants:
        state = read_state(store, variant)
        ends = dict.fromkeys(end for end in (state.judged_end, state.explained_end) if end)
        windows = [Window(end - config.window, end) for end in ends]
        found += [one for w in windows if (one := read_outcomes(store, variant, w)) is not None]
        if state.judged_end is None:
            continue
        start = state.judged_end - config.window
        for _ in range(_OUTCOME_HISTORY):
            before = read_outcomes(store, variant, Window(start - config.window, start))
            start -= config.window
            if before is not None:
                history.append(before)
    return found, history


def read_outcomes(store: MonitorStore, variant: str, window: Window) -> OutcomesVerdict | None:
    """Return what was decided about a window's outcomes; None if it was never judged."""
    key = store.report_key(variant=variant, window=window, name="outcomes.json")
    try:
        return decode_outcomes_verdict(store.objects.read(key))
    except ObjectNotFoundError:
        return None
    except QualityError as error:
        # The alarm must be told all the same.
        logger.warning("outcomes cannot be read", key=key, error=str(error))
        return None


def links(
    run: Runtime,
    config: MonitorConfig,
    verdicts: list[WindowVerdict],
    outcomes: list[OutcomesVerdict],
) -> list[AlertLink]:
    """Return where to look: reports, dashboard, log."""
    store = run.store(config.name)
    found = [
        AlertLink(
            label=label,
            target=store.objects.uri
            + store.report_key(
                variant=verdict.variant,
                window=Window(verdict.window_start, verdict.window_end),
                name="report.html",
            ),
        )
        for label, verdict in _reports(verdicts, outcomes)
    ]
    found += _dashboard(run)
    group = run.settings.EVALUATE_LOG_GROUP
    query = f"filter message = 'window evaluated' and monitor = {json.dumps(config.name)}"
    found.append(
        AlertLink(
            label=f"Logs Insights{f' on {group}' if group else ', log group of evaluate'}",
            target=f"fields @timestamp, window_start, rows, alarm | {query} | sort @timestamp desc",
        )
    )
    return found


def _dashboard(run: Runtime) -> list[AlertLink]:
    if not run.settings.DASHBOARD_NAME:
        return []
    region = run.settings.AWS_REGION
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    name = quote(run.settings.DASHBOARD_NAME, safe="")
    return [AlertLink(label="Dashboard", target=f"{console}#dashboards/dashboard/{name}")]


def _reports(
    verdicts: list[WindowVerdict], outcomes: list[OutcomesVerdict]
) -> list[tuple[str, WindowVerdict | OutcomesVerdict]]:
    """Return the windows with a report worth a look, each once, with what to call it."""
    found: dict[tuple[str, datetime], tuple[str, WindowVerdict | OutcomesVerdict]] = {
        (verdict.variant, verdict.window_start): (f"Report of {verdict.variant}", verdict)
        for verdict in verdicts
    }
    for one in outcomes:
        label = f"Report of {one.variant}, {moment(one.window_start)} UTC"
        found.setdefault((one.variant, one.window_start), (label, one))
    return list(found.values())
