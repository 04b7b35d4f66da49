"""The first step of a retraining: decides whether it may run, and with which settings.

Refuses while another execution of the same monitor is running or the cool-down of the last one is
not over. Whether there are enough rows and labels is for ``prepare`` to say, which counts them.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig, SageMakerTrainer
from driftgauge.store import MonitorStore
from driftgauge.windows import format_duration, parse_time
from lambdas.onset import ALL_TRIGGERS, start_of_change
from lambdas.retraining import (
    Plan,
    RetrainingFiles,
    SageMakerJob,
    Trainer,
    read_last,
    to_payload,
)
from lambdas.runtime import Runtime, logger, now, runtime
from lambdas.state import read_state


@logger.inject_lambda_context(clear_state=True, correlation_id_path="execution")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the plan of an execution."""
    run = runtime()
    config = run.monitors[str(event.get("monitor", ""))]
    plan = make_plan(run, config, event)
    logger.info("retraining planned", monitor=config.name, go=plan.go, reason=plan.reason)
    return to_payload(plan)


def make_plan(run: Runtime, config: MonitorConfig, event: dict[str, Any]) -> Plan:
    """Decide, and gather what the steps need."""
    store = run.store(config.name)
    started = parse_time(str(event["started"]))
    arn = str(event["execution"])
    variant, kind = read_alarm(run, config, str(event.get("alarm", "")))
    newest = read_state(store, variant).newest
    in_flight = earlier_execution(str(event["state_machine"]), arn, started)
    reason = ""
    if in_flight:
        reason = f"execution {in_flight} was started earlier and is still running"
    elif not event.get("force"):
        reason = cooling_down(store, config)
    if not reason and newest is None:
        reason = f"no window of variant {variant} has been evaluated yet"
    retraining = config.retraining
    digest = hashlib.sha256(arn.encode()).hexdigest()[:8]
    version = f"{started:%Y%m%dT%H%M%SZ}-{digest}"
    files = RetrainingFiles.of(store, str(event["name"]))
    window = newest or config.grid.window_of(started)
    return Plan(
        go=not reason,
        # Two alarms of one drift start two executions: nobody needs to hear of the second.
        notify=not in_flight,
        reason=reason,
        monitor=config.name,
        variant=variant,
        execution=str(event["name"]),
        execution_arn=arn,
        started=started,
        version=version,
        drift_since=start_of_change(store, config, variant=variant, kind=kind, window=window),
        until=window.end,
        bucket=run.settings.STORE_BUCKET,
        files=files,
        trainer=trainer_of(config),
        trainer_function_arn=retraining.trainer_function_arn or "",
        sagemaker=training_job(run, config, store, files=files, version=version),
        approval=retraining.approval,
        approval_timeout=int(retraining.approval_timeout.total_seconds()),
    )


def read_alarm(run: Runtime, config: MonitorConfig, alarm: str) -> tuple[str, str]:
    """Return the variant and the kind that an alarm's name names.

    Of any other name, such as none, the monitor's first variant and an empty kind.
    """
    prefix = f"{run.settings.DEPLOYMENT}-{config.name}-"
    for variant in config.endpoint.variants:
        for kind in (*config.window_alarms, ALL_TRIGGERS):
            if alarm == f"{prefix}{variant}-{kind}":
                return variant, kind
    return config.endpoint.variants[0], ""


def earlier_execution(state_machine: str, execution: str, started: datetime) -> str | None:
    """Return the name of a running execution that was started before this one, if any.

    Of executions that run at once exactly one has none before it, so one and only one goes on;
    names break ties. Step Functions lists executions with a short delay: should two miss each
    other, the promotion's conditional write still lets only one of them through.
    """
    import boto3

    running = boto3.client("stepfunctions").get_paginator("list_executions")
    others = [
        (one["startDate"], one["executionArn"])
        for page in running.paginate(stateMachineArn=state_machine, statusFilter="RUNNING")
        for one in page["executions"]
    ]
    mine = next((one for one in others if one[1] == execution), (started, execution))
    earlier = min((one for one in others if one < mine), default=None)
    return None if earlier is None else earlier[1].rpartition(":")[2]


def cooling_down(store: MonitorStore, config: MonitorConfig) -> str:
    """Return why it is too early for another retraining, or an empty string."""
    last = read_last(store)
    if last is None or now() - last.finished >= config.retraining.cooldown:
        return ""
    return (
        f"the last retraining ended at {last.finished:%Y-%m-%d %H:%M} UTC ({last.outcome}) and the "
        f"cool-down is {format_duration(config.retraining.cooldown)}"
    )


def trainer_of(config: MonitorConfig) -> Trainer:
    """Return which step trains."""
    if config.retraining.trainer_function_arn is not None:
        return "function"
    return "sagemaker" if isinstance(config.retraining.trainer, SageMakerTrainer) else "builtin"


def training_job(
    run: Runtime,
    config: MonitorConfig,
    store: MonitorStore,
    *,
    files: RetrainingFiles,
    version: str,
) -> SageMakerJob:
    """Return the training job's arguments, empty ones where another step trains."""
    trainer = config.retraining.trainer
    if not isinstance(trainer, SageMakerTrainer) or trainer_of(config) != "sagemaker":
        return SageMakerJob()
    place = f"s3://{run.settings.STORE_BUCKET}/"
    return SageMakerJob(
        # At most 63 characters: 11, up to 25, 1 and 25 of the version.
        name=f"driftgauge-{config.name[:25]}-{version}",
        image=trainer.image,
        role_arn=trainer.role_arn,
        instance_type=trainer.instance_type,
        instance_count=trainer.instance_count,
        volume_gb=trainer.volume_gb,
        max_runtime=int(trainer.max_runtime.total_seconds()),
        hyperparameters=dict(trainer.hyperparameters),
        train_uri=place + files.train,
        scoring_uri=place + files.scoring,
        # With the models, which are kept: what a retraining works on expires.
        output_uri=place + store.model_key(version).rpartition("/")[0],
    )
