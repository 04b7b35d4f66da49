"""Ends a retraining: moves the pointer if the challenger won, and records the outcome.

Model and baseline change in one conditional write. Whatever fails before it leaves both as they
were; nothing that matters comes after it.
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
from lambdas.runtime import Runtime, logger, now, runtime

_ATTEMPTS = 4


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Conclude an execution as promoted, kept or failed."""
    run = runtime()
    plan = plan_of(event)
    outcome = cast("Outcome", event["outcome"])
    store = run.store(run.monitors[plan.monitor].name)
    if outcome == "promoted":
        store.objects.write(
            store.model_key(plan.version), challenger(run, plan), content_type="application/json"
        )
        champion = msgspec.convert(event["champion"], type=Champion)
        move_pointer(store, champion=champion, version=plan.version)
    last = LastRetraining(
        execution=plan.execution, outcome=outcome, reason=str(event["reason"]), finished=now()
    )
    store.objects.write(last_key(store), msgspec.json.encode(last), content_type="application/json")
    logger.info("retraining ended", monitor=plan.monitor, outcome=outcome, version=plan.version)
    return {"outcome": outcome, "version": plan.version}


def challenger(run: Runtime, plan: Plan) -> bytes:
    """Return the model's file: the model itself, or where SageMaker put it."""
    if plan.trainer != "sagemaker":
        return run.objects(plan.bucket).read(plan.files.model)
    job = plan.sagemaker
    artifact = f"{job.output_uri}/{job.name}/output/model.tar.gz"
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
