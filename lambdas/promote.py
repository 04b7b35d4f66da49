"""Ends a retraining: moves the pointer if the challenger won, and records the outcome.

Model and baseline change in one conditional write. Whatever fails before it leaves both as they
were; nothing that matters comes after it. A roll-out that was taken back takes the pointer with it.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.errors import ConflictError
from driftgauge.store import MonitorStore
from lambdas.retraining import (
    Champion,
    LastRetraining,
    Outcome,
    Plan,
    last_key,
    plan_of,
)
from lambdas.rollout_record import (
    RollOut,
    change_rollout,
    finished,
    names_challenger,
    read_rollout,
)
from lambdas.runtime import Runtime, logger, now, runtime
from lambdas.training_output import model_uri, trained_by_sagemaker

_ATTEMPTS = 4


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Conclude an execution as promoted, kept, failed or restored."""
    run = runtime()
    plan = plan_of(event)
    outcome = cast("Outcome", event["outcome"])
    store = run.store(run.monitors[plan.monitor].name)
    if outcome == "promoted":
        promote(run, store, plan, champion=msgspec.convert(event["champion"], type=Champion))
    else:
        put_back(store, plan, restored=outcome == "restored" or event.get("restored") is True)
    last = LastRetraining(
        execution=plan.execution, outcome=outcome, reason=str(event["reason"]), finished=now()
    )
    store.objects.write(last_key(store), msgspec.json.encode(last), content_type="application/json")
    logger.info("retraining ended", monitor=plan.monitor, outcome=outcome, version=plan.version)
    return {"outcome": outcome, "version": plan.version}


def promote(run: Runtime, store: MonitorStore, plan: Plan, *, champion: Champion) -> None:
    """Put the challenger in force; where it was rolled out, only at the end of that.

    Raises
    ------
    ConflictError
        If the endpoint is being brought back, or another champion is in force.
    """
    if plan.rollout.endpoint:
        record = read_rollout(store)
        if (
            record is None
            or (record.execution, record.stage) != (plan.execution_arn, "full")
            or record.status == "restored"
        ):
            raise ConflictError(
                f"monitor {plan.monitor}: {plan.version} is not rolled out to the full, so that it "
                "does not come into force"
            )
    store.objects.write(
        store.model_key(plan.version), challenger(run, store, plan), content_type="application/json"
    )
    move_pointer(store, champion=champion, version=plan.version)
    if plan.rollout.endpoint:
        change_rollout(store, lambda found: finished(found, plan.execution_arn, "promoted"))


def put_back(store: MonitorStore, plan: Plan, *, restored: bool) -> None:
    """Finish the roll-out of this execution if the endpoint serves as before; else leave it open.

    The pointer first: should the second write fail, the roll-out is still to be finished.
    """
    record = read_rollout(store)
    if record is None or record.execution != plan.execution_arn or record.status != "running":
        return
    if not restored:
        logger.warning(
            "the roll-out is not finished", monitor=plan.monitor, challenger=record.challenger
        )
        return
    move_pointer_back(store, record)
    change_rollout(store, lambda found: finished(found, plan.execution_arn, "restored"))


def challenger(run: Runtime, store: MonitorStore, plan: Plan) -> bytes:
    """Return the model's file: the model itself, or where SageMaker put it."""
    if not trained_by_sagemaker(plan):
        return run.objects(plan.bucket).read(plan.files.model)
    artifact = model_uri(store, plan)
    return msgspec.json.encode({"version": 1, "kind": "sagemaker", "artifact": artifact})


def move_pointer(store: MonitorStore, *, champion: Champion, version: str) -> None:
    """Make the challenger and its baseline the ones in force.

    Raises
    ------
    ConflictError
        If the champion is not the one that the challenger was compared with.
    """
    for _ in range(_ATTEMPTS):
        current, tag = store.read_current()
        if (current.baseline, current.model) == (version, version):
            return
        if (current.baseline, current.model or "") != (champion.baseline, champion.model):
            break
        try:
            after = current.promoted(baseline=version, model=version, since=now())
            store.write_current(after, if_tag=tag)
        except ConflictError:
            continue
        return
    raise ConflictError(
        f"monitor {store.monitor}: baseline or champion changed while the retraining ran, so the "
        "challenger was compared with a model that is no longer in force: start it again"
    )


def move_pointer_back(store: MonitorStore, record: RollOut) -> None:
    """Put in force what was before a roll-out, unless something else is already.

    Raises
    ------
    ConflictError
        If others were faster every time.
    """
    for _ in range(_ATTEMPTS):
        current, tag = store.read_current()
        if not names_challenger(current, record):
            return
        champion = record.champion
        try:
            after = current.promoted(
                baseline=champion.baseline, model=champion.model or None, since=now()
            )
            store.write_current(after, if_tag=tag)
        except ConflictError:
            continue
        return
    raise ConflictError(
        f"{store.objects.uri}{store.current_key} was changed by others {_ATTEMPTS} times in a row"
    )
