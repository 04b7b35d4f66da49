"""Tells people: an alarm changed its state, or a retraining came to a point worth knowing.

Triggers: EventBridge "CloudWatch Alarm State Change" of the monitors' composite alarms; and the
retraining state machine with ``{"retraining": {"stage": ..., "monitor": ..., ...}}``.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.errors import ConfigError, ObjectNotFoundError
from driftgauge.report.alert import Alert, AlertLink, alert_from_verdicts
from driftgauge.windows import Window
from lambdas.delivery import deliver
from lambdas.retraining_alert import retraining_alert
from lambdas.runtime import Runtime, logger, runtime
from lambdas.state import read_state


@logger.inject_lambda_context(clear_state=True, correlation_id_path="id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send the alert that the event calls for, if any."""
    run = runtime()
    if "retraining" in event:
        message = event["retraining"]
        # Also a failure to find the monitor is told, so an unknown one is no error here.
        config = next((m for m in run.monitors.monitors if m.name == message["monitor"]), None)
        alert: Alert | None = retraining_alert(message, region=run.settings.AWS_REGION)
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
    return alert_from_verdicts(
        monitor=config.name,
        ringing=state == "ALARM",
        reason=str(detail["state"].get("reason", "no reason given")),
        verdicts=verdicts,
        links=links(run, config, verdicts),
    )


def newest_verdicts(run: Runtime, config: MonitorConfig) -> list[WindowVerdict]:
    """Return the newest verdict of every variant that has one."""
    store = run.store(config.name)
    verdicts = []
    for variant in config.endpoint.variants:
        newest = read_state(store, variant).newest
        if newest is None:
            continue
        try:
            verdicts.append(store.read_verdict(variant=variant, window=newest))
        except ObjectNotFoundError:
            logger.warning("no verdict", monitor=config.name, variant=variant, window=str(newest))
    return verdicts


def links(run: Runtime, config: MonitorConfig, verdicts: list[WindowVerdict]) -> list[AlertLink]:
    """Return where to look: report, dashboard, log."""
    store = run.store(config.name)
    found = [
        AlertLink(
            label=f"Report of {verdict.variant}",
            target=store.objects.uri
            + store.report_key(
                variant=verdict.variant,
                window=Window(verdict.window_start, verdict.window_end),
                name="report.html",
            ),
        )
        for verdict in verdicts
    ]
    region = run.settings.AWS_REGION
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    if run.settings.DASHBOARD_NAME:
        name = quote(run.settings.DASHBOARD_NAME, safe="")
        found.append(AlertLink(label="Dashboard", target=f"{console}#dashboards/dashboard/{name}"))
    group = run.settings.EVALUATE_LOG_GROUP
    query = f"filter message = 'window evaluated' and monitor = {json.dumps(config.name)}"
    found.append(
        AlertLink(
            label=f"Logs Insights{f' on {group}' if group else ', log group of evaluate'}",
            target=f"fields @timestamp, window_start, rows, alarm | {query} | sort @timestamp desc",
        )
    )
    return found
