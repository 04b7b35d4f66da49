"""The first step of a retraining: decides whether it may run, and with which settings.

Refuses while another execution of the same monitor is running or the cool-down of the last one is
not over. Whether there are enough rows and labels is for ``prepare`` to say, which counts them.

A roll-out whose execution ended half-way comes first: what served before it is put back. The same
is done by hand, with ``{"rollback": true}``, also after a promotion.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.errors import StoreError
from driftgauge.retraining_settings import SageMakerPipeline, SageMakerTrainer
from driftgauge.store import MonitorStore
from driftgauge.windows import format_duration, parse_time
from lambdas.onset import ALL_TRIGGERS, start_of_change
from lambdas.retraining import (
    Action,
    PipelineRun,
    Plan,
    RetrainingFiles,
    RollOutPlan,
    SageMakerJob,
    Trainer,
    read_last,
    to_payload,
)
from lambdas.rollout_record import (
    RollOut,
    change_rollout,
    finished,
    names_challenger,
    read_rollout,
    rollout_key,
)
from lambdas.runtime import Runtime, logger, now, runtime
from lambdas.state import read_state
from lambdas.training_output import output_folder


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
    decision = decide(store, config, event, started=started)
    if decision.go and newest is None:
        reason = f"no window of variant {variant} has been evaluated yet"
        decision = replace(decision, go=False, reason=reason)
    retraining = config.retraining
    digest = hashlib.sha256(arn.encode()).hexdigest()[:8]
    version = f"{started:%Y%m%dT%H%M%SZ}-{digest}"
    files = RetrainingFiles.of(store, str(event["name"]))
    window = newest or config.grid.window_of(started)
    return Plan(
        go=decision.go,
        action=decision.action,
        notify=decision.notify,
        reason=decision.reason,
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
        pipeline=pipeline_run(run, config, store, files=files, version=version),
        rollout=replace(rollout_plan(config, version=version), package=decision.package),
        approval=retraining.approval,
        approval_timeout=int(retraining.approval_timeout.total_seconds()),
    )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an execution is to do: ``go`` and retrain, restore, or nothing.

    ``package`` is the model package of the challenger that is taken back, if it has one.
    """

    go: bool = False
    action: Action = "retrain"
    notify: bool = True
    reason: str = ""
    package: str = ""


def decide(
    store: MonitorStore,
    config: MonitorConfig,
    event: dict[str, Any],
    *,
    started: datetime,
) -> Decision:
    """Decide whether to retrain, or to put back what served before a roll-out.

    Parameters
    ----------
    store : MonitorStore
    config : MonitorConfig
    event : dict
        ``rollback`` by hand; ``recover`` after an execution ended against its will; ``force``.
    started : datetime
        When this execution was started.
    """
    by_hand, recover = event.get("rollback") is True, event.get("recover") is True
    in_flight = earlier_execution(str(event["state_machine"]), str(event["execution"]), started)
    if in_flight:
        # Two alarms of one drift start two executions: nobody needs to hear of the second.
        reason = f"execution {in_flight} was started earlier and is still running"
        return Decision(notify=by_hand, reason=reason)
    record = read_rollout(store)
    if record is not None and record.status == "running":
        unfinished = _unfinished(store, config, record, execution=str(event["execution"]))
        if unfinished is not None:
            return unfinished
        record = read_rollout(store)
    if by_hand:
        return _taken_back(store, config, record)
    if recover:
        return Decision(notify=False, reason="there is no roll-out that ended half-way")
    reason = "" if event.get("force") else cooling_down(store, config)
    return Decision(go=not reason, reason=reason)


def _unfinished(
    store: MonitorStore, config: MonitorConfig, record: RollOut, *, execution: str
) -> Decision | None:
    """Decide about a roll-out that is not finished; None if it turns out that it is."""
    name = record.execution.rpartition(":")[2]
    if record.execution != execution and not has_ended(record.execution):
        reason = f"execution {name} still rolls {record.challenger} out"
        return Decision(notify=False, reason=reason)
    if record.stage == "full" and names_challenger(store.read_current()[0], record):
        # It ended between the two writes of its promotion, and all else was done.
        change_rollout(store, lambda found: finished(found, record.execution, "promoted"))
        if record.package:
            logger.warning(
                "the model package of a promotion that was interrupted is pending: approve it",
                monitor=config.name,
                package=record.package,
            )
        return None
    reason = f"the roll-out of {record.challenger} by execution {name} ended half-way"
    return _restoring(store, config, record, reason)


def _taken_back(store: MonitorStore, config: MonitorConfig, record: RollOut | None) -> Decision:
    """Decide about a roll-back by hand of a roll-out that has come to its end."""
    if record is None or record.status != "promoted":
        return Decision(reason="there is no promoted roll-out to take back")
    current, _ = store.read_current()
    if not names_challenger(current, record):
        return Decision(
            reason=f"the roll-out of {record.challenger} is not the newest promotion: baseline "
            f"{current.baseline} is in force since {current.since:%Y-%m-%d %H:%M} UTC"
        )
    reason = f"the roll-out of {record.challenger} is taken back by hand"
    return _restoring(store, config, record, reason)


def _restoring(
    store: MonitorStore, config: MonitorConfig, record: RollOut, reason: str
) -> Decision:
    if config.rollout is not None:
        return Decision(action="restore", reason=reason, package=record.package)
    return Decision(
        reason=f"{reason}, but monitor {config.name} has no `retraining.rollout` any more: put it "
        f"back and start this again; or, if the endpoint serves as it should, delete "
        f"{store.objects.uri}{rollout_key(store)}"
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
    names break ties. Step Functions lists executions with a short delay. Should two miss each
    other, the promotion's conditional write still lets only one of them through; and those that
    are listed but have ended meanwhile do not count.

    Raises
    ------
    StoreError
        If Step Functions cannot be asked now: the state machine tries that again.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    running = boto3.client("stepfunctions").get_paginator("list_executions")
    try:
        others = [
            (one["startDate"], one["executionArn"])
            for page in running.paginate(stateMachineArn=state_machine, statusFilter="RUNNING")
            for one in page["executions"]
        ]
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"Step Functions does not list executions: {error}") from error
    mine = next((one for one in others if one[1] == execution), (started, execution))
    earlier = (arn for _, arn in sorted(one for one in others if one < mine))
    still = next((arn for arn in earlier if not has_ended(arn)), None)
    return None if still is None else still.rpartition(":")[2]


def has_ended(execution: str) -> bool:
    """Tell whether an execution has ended, or is so old that Step Functions knows it no more.

    Raises
    ------
    StoreError
        If Step Functions cannot be asked now.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = boto3.client("stepfunctions").describe_execution(executionArn=execution)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return True
        raise StoreError(f"execution {execution} cannot be described: {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"execution {execution} cannot be described: {error}") from error
    return found["status"] not in ("RUNNING", "PENDING_REDRIVE")


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
    if isinstance(config.retraining.trainer, SageMakerPipeline):
        return "pipeline"
    return "sagemaker" if isinstance(config.retraining.trainer, SageMakerTrainer) else "builtin"


def pipeline_run(
    run: Runtime,
    config: MonitorConfig,
    store: MonitorStore,
    *,
    files: RetrainingFiles,
    version: str,
) -> PipelineRun:
    """Return the arguments of a pipeline's execution, empty ones where another step trains."""
    trainer = config.retraining.trainer
    if not isinstance(trainer, SageMakerPipeline) or trainer_of(config) != "pipeline":
        return PipelineRun()
    place = f"s3://{run.settings.STORE_BUCKET}/"
    parameters = {
        "TrainUri": place + files.train,
        "ScoringUri": place + files.scoring,
        "OutputUri": place + output_folder(store, version),
        **trainer.parameters,
    }
    return PipelineRun(
        name=trainer.pipeline,
        parameters=tuple({"Name": name, "Value": value} for name, value in parameters.items()),
        max_runtime=int(trainer.max_runtime.total_seconds()),
    )


def rollout_plan(config: MonitorConfig, *, version: str) -> RollOutPlan:
    """Return how a challenger comes to serve, all empty where only the pointer moves."""
    rollout, image = config.rollout, config.retraining.serving_image
    if rollout is None or image is None:
        return RollOutPlan()
    champion, _ = rollout.sides(config.endpoint.variants)
    return RollOutPlan(
        endpoint=config.endpoint.name,
        champion=champion,
        stages=rollout.stages,
        model=sagemaker_name(config, version),
        image=image,
        role_arn=rollout.role_arn,
        environment=dict(rollout.environment),
        group=rollout.model_package_group or "",
        stage_limit=int(rollout.stage_limit.total_seconds()),
    )


def sagemaker_name(config: MonitorConfig, version: str) -> str:
    """Return what a version's training job and model are called."""
    # At most 63 characters: 11, up to 25, 1 and 25 of the version.
    return f"driftgauge-{config.name[:25]}-{version}"


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
        name=sagemaker_name(config, version),
        image=trainer.image,
        role_arn=trainer.role_arn,
        instance_type=trainer.instance_type,
        instance_count=trainer.instance_count,
        volume_gb=trainer.volume_gb,
        max_runtime=int(trainer.max_runtime.total_seconds()),
        hyperparameters=dict(trainer.hyperparameters),
        train_uri=place + files.train,
        scoring_uri=place + files.scoring,
        output_uri=place + output_folder(store, version),
    )
