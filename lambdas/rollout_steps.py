"""What an endpoint needs next to reach a stage of a roll-out.

Decided from what AWS describes and from the record of the roll-out alone, so that the same question
gets the same answer however often it is asked, and after whatever interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import isclose
from typing import Any, Final, Literal

from driftgauge.errors import ConfigError, ConflictError
from driftgauge.rollout_settings import COMPARED, STAGES, RollOutSettings, Stage, experiment_name
from lambdas.retraining import Champion, Plan, Step
from lambdas.rollout_record import RollOut, Serving
from lambdas.rollout_refusals import model_refusal, refusal
from lambdas.rollout_requests import (
    Record,
    config_name,
    deployment_config,
    model_of,
    model_request,
    stage_config,
    update_request,
    weights_request,
)

_UNDER_WAY: Final = ("Creating", "Updating", "SystemUpdating", "RollingBack")
_MOST_REQUESTS: Final = 3
_MOST_ALARMS: Final = 10
# SageMaker keeps weights in single precision.
_TOLERANCE: Final = 1e-4

Decided = tuple[Step, RollOut | None]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Where a roll-out is to get to.

    Attributes
    ----------
    plan : Plan
    stage : str
        ``"restore"`` puts back what served before.
    settings : RollOutSettings or None
        None if the monitor has none any more.
    champion : Champion
        Baseline and model in force before.
    model_uri : str
        Where the training has put the challenger; empty for ``"restore"``.
    package : str
        ARN of its model package; empty if it is not registered.
    composite : str
        Name of the monitor's composite alarm.
    alarms : tuple of str
        Names that alarms of the champion's variant have, the most telling ones first.
    moment : datetime
        Now.
    """

    plan: Plan
    stage: Stage | Literal["restore"]
    settings: RollOutSettings | None
    champion: Champion
    model_uri: str
    package: str
    composite: str
    alarms: tuple[str, ...]
    moment: datetime


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What AWS describes.

    Attributes
    ----------
    endpoint : mapping or None
        As DescribeEndpoint shows it; None if there is none.
    configs : mapping of str to mapping
        Those endpoint configurations that were looked for and exist, as described.
    models : mapping of str to mapping
        The same of models: looked for while the configuration of the stage does not exist.
    alarms : mapping of str to str
        States of those alarms that exist.
    """

    endpoint: Mapping[str, Any] | None
    configs: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]
    alarms: Mapping[str, str]

    @property
    def config(self) -> str:
        """Name of the configuration that serves."""
        return "" if self.endpoint is None else str(self.endpoint["EndpointConfigName"])

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each production variant."""
        return {
            str(one["VariantName"]): float(one.get("CurrentWeight", 1.0)) for one in self._variants
        }

    @property
    def instances(self) -> dict[str, int]:
        """How many instances each production variant has."""
        return {
            one["VariantName"]: int(one.get("CurrentInstanceCount", 0)) for one in self._variants
        }

    @property
    def _variants(self) -> list[dict[str, Any]]:
        return [] if self.endpoint is None else list(self.endpoint.get("ProductionVariants", []))

    @property
    def modified(self) -> datetime | None:
        """When the endpoint last changed."""
        return None if self.endpoint is None else self.endpoint.get("LastModifiedTime")


def next_step(aim: Aim, record: RollOut | None, seen: Seen) -> Decided:
    """Return the one next thing to do, and what is to be remembered.

    Parameters
    ----------
    aim : Aim
    record : RollOut or None
        What is known of the monitor's newest roll-out.
    seen : Seen

    Raises
    ------
    ConflictError
        If the roll-out of another execution is not finished, or this one is further already.
    """
    if aim.stage == "restore":
        return _restored(aim, record, seen)
    mine = _own_record(aim, record)
    if aim.settings is None:
        reason = f"monitor {aim.plan.monitor} has no `retraining.rollout` any more"
        return _failed(aim, reason), record
    waiting = _wait_or_fail(aim, seen, aim.plan.rollout.endpoint)
    if waiting is not None:
        return waiting, record
    if mine is None:
        problem = refusal(
            aim.plan.rollout, seen.endpoint or {}, seen.configs.get(seen.config), aim.stage
        )
        if problem:
            return _failed(aim, problem), record
        mine = _begun(aim, seen)
    mine = _entered(aim, mine)
    if aim.stage == "withdraw":
        return _put_back(aim, mine, seen)
    target = config_name(aim.plan.monitor, mine.challenger, aim.stage)
    if seen.config != target:
        return _deploy(aim, mine, seen, target)
    return _compared(aim, mine, seen)


def _own_record(aim: Aim, record: RollOut | None) -> RollOut | None:
    """Return the record of this execution's roll-out; None before its first stage."""
    if record is None:
        return None
    if record.execution != aim.plan.execution_arn:
        if record.status != "running":
            return None
        raise ConflictError(
            f"monitor {aim.plan.monitor}: the roll-out of {record.challenger} by execution "
            f"{_name(record.execution)} is not finished: start the state machine with "
            '{"monitor": ..., "rollback": true} to put back what served before it'
        )
    done = record.status != "running" or record.stage == "restore"
    if done or _place(aim, record.stage) > _place(aim, aim.stage):
        raise ConflictError(
            f"monitor {aim.plan.monitor}: the roll-out of {record.challenger} is at "
            f"{record.stage} ({record.status}) already, and does not go back to {aim.stage}"
        )
    return record


def _place(aim: Aim, stage: str) -> int:
    stages = aim.plan.rollout.stages
    if stage not in stages:
        raise ConfigError(f"{stage!r} is none of this roll-out's stages: {', '.join(stages)}")
    return stages.index(stage)


def _begun(aim: Aim, seen: Seen) -> RollOut:
    plan = aim.plan
    return RollOut(
        execution=plan.execution_arn,
        challenger=plan.version,
        endpoint=plan.rollout.endpoint,
        package=aim.package,
        champion=aim.champion,
        before=Serving(config=seen.config, weights=seen.weights),
        stage=aim.stage,
    )


def _entered(aim: Aim, record: RollOut) -> RollOut:
    """Return the record at the aimed stage, with nothing asked for yet if it is a new one."""
    if (record.stage, record.execution) == (aim.stage, aim.plan.execution_arn):
        return record
    return replace(
        record,
        execution=aim.plan.execution_arn,
        stage=aim.stage,
        experiment="",
        since=None,
        deploying="",
        asked={},
        modified=None,
        token="",
    )


def _wait_or_fail(aim: Aim, seen: Seen, name: str) -> Step | None:
    """Return what to do about an endpoint that cannot be changed now; None if it can."""
    if seen.endpoint is None:
        return _failed(
            aim,
            f"endpoint {name} does not exist: create it, or set endpoint.name of monitor "
            f"{aim.plan.monitor}",
        )
    status = str(seen.endpoint["EndpointStatus"])
    if status == "InService":
        return None
    if status in _UNDER_WAY:
        return _step(aim, "wait", f"endpoint {name} is {status}")
    said = seen.endpoint.get("FailureReason")
    return _failed(
        aim,
        f"endpoint {name} is {status}{f' ({said})' if said else ''}: SageMaker changes an endpoint "
        "only while it is InService; repair or recreate it",
    )


def _restored(aim: Aim, record: RollOut | None, seen: Seen) -> Decided:
    """Put back what served before a roll-out, at once if nothing of it is left."""
    plan = aim.plan
    mine = record is not None and record.execution == plan.execution_arn
    taken_over = plan.action == "restore"
    if record is None or record.status == "restored" or not (mine or taken_over):
        reason = "nothing was changed that has to be put back"
        return _step(aim, "reached", reason, then="restored"), record
    # Whoever restores answers for it from now on, also for a roll-out that had ended.
    taken = _entered(aim, replace(record, status="running"))
    waiting = _wait_or_fail(aim, seen, record.endpoint)
    if waiting is None and not mine and record.deploying and seen.modified == record.modified:
        # That execution was stopped as it asked for this, which may arrive all the same.
        waiting = _step(aim, "wait", f"the update to {record.deploying} may be on its way")
    step, after = _harm_ended(aim, taken, seen) if waiting is None else (waiting, taken)
    if record.status == "promoted" and step.action in ("wait", "failed"):
        # Nothing is asked for: what was promoted stays in force, and is no unfinished roll-out.
        return step, record
    return step, after


def _harm_ended(aim: Aim, record: RollOut, seen: Seen) -> Decided:
    """Take the challenger's traffic away, then put back what served before."""
    if seen.config != record.before.config:
        candidates = {
            name: 0.0
            for name, weight in seen.weights.items()
            if name not in record.before.weights and weight > 0
        }
        left = sum(weight for name, weight in seen.weights.items() if name not in candidates)
        if candidates and left > 0 and not _foreign(aim, record, seen):
            # Seconds, where another configuration takes minutes: harm ends here.
            reason = f"{', '.join(candidates)} gets no traffic any more"
            step, after = _weigh(aim, record, candidates, reason)
            # Weights that SageMaker does not take must not keep the configuration from coming.
            if step.action != "failed":
                return step, after
    return _put_back(aim, record, seen)


def _put_back(aim: Aim, record: RollOut, seen: Seen) -> Decided:
    """Bring back the configuration and the weights from before the roll-out."""
    before = record.before
    if seen.config != before.config:
        return _deploy(aim, record, seen, before.config)
    if not _alike(seen.weights, before.weights):
        return _weigh(aim, record, before.weights, "the weights from before the roll-out")
    reason = f"endpoint {record.endpoint} serves {before.config} as before the roll-out"
    then: Literal["next", "restored"] = "restored" if aim.stage == "restore" else "next"
    return _step(aim, "reached", reason, then=then), record


def _deploy(aim: Aim, record: RollOut, seen: Seen, target: str) -> Decided:
    """Bring the endpoint to another configuration, made first if it has to be."""
    foreign = _foreign(aim, record, seen)
    if foreign:
        return _failed(aim, foreign), record
    changed = record.deploying == target and seen.modified != record.modified
    if changed and aim.stage != "restore":
        return _step(aim, "failed", _rolled_back(aim, record, seen), then="keep"), record
    if target not in seen.configs:
        return _create(aim, record, seen, target)
    deployment, remark = None, ""
    if aim.stage == "full" and aim.settings is not None:
        # Asked before, and the endpoint has not changed.
        refused = f"update {target}" in record.asked
        alarms = guarding_alarms(aim, seen, refused=refused)
        smallest = min(seen.instances.values(), default=1)
        deployment = deployment_config(aim.settings.traffic, alarms, instances=smallest)
        remark = (
            f", watched by {', '.join(alarms)}"
            if alarms
            else ", not watched: no alarm that could roll it back exists and is silent"
        )
    request = update_request(record.endpoint, target, deployment)
    record = replace(record, deploying=target, modified=seen.modified)
    reason = f"endpoint {record.endpoint} gets the configuration {target}{remark}"
    return _ask(aim, record, "update", target, request, reason, _said(seen))


def _create(aim: Aim, record: RollOut, seen: Seen, target: str) -> Decided:
    before = seen.configs.get(record.before.config)
    if before is None or target == record.before.config:
        reason = (
            f"endpoint configuration {record.before.config}, which served before the roll-out, "
            "does not exist any more: create it again under this name, with its models, and start "
            'the state machine with {"monitor": ..., "rollback": true}'
        )
        return _failed(aim, reason), record
    stage, settings = _forward(aim)
    if aim.plan.rollout.model not in seen.models:
        return _make_model(aim, record, seen, before)
    request = stage_config(
        before,
        name=target,
        stage=stage,
        champion=aim.plan.rollout.champion,
        model=aim.plan.rollout.model,
        settings=settings,
        weights=record.before.weights,
        instances=seen.instances,
    )
    return _ask(aim, record, "create", target, request, f"configuration of the stage {stage}")


def _make_model(aim: Aim, record: RollOut, seen: Seen, before: Mapping[str, Any]) -> Decided:
    """Make the challenger's model like the one that the champion serves from."""
    plan = aim.plan.rollout
    name = model_of(before, plan.champion)
    champion = seen.models.get(name)
    problem = model_refusal(name, champion)
    if problem or champion is None:
        return _failed(aim, problem), record
    request = model_request(plan, champion=champion, model_uri=aim.model_uri)
    return _ask(aim, record, "model", plan.model, request, f"{plan.model}, made like {name}")


def _forward(aim: Aim) -> tuple[Stage, RollOutSettings]:
    """Return the stage and its settings where something new is made."""
    if aim.stage == "restore" or aim.settings is None:
        raise ConfigError("what served before is put back as it was, and nothing new is made")
    return aim.stage, aim.settings


def _compared(aim: Aim, record: RollOut, seen: Seen) -> Decided:
    """Weigh the variants as the stage needs; then it is reached."""
    stage, settings = _forward(aim)
    champion, challenger = aim.plan.rollout.champion, settings.challenger
    if stage in ("canary", "ab"):
        judged = settings.canary if stage == "canary" else settings.ab
        if judged is None:
            reason = f"monitor {aim.plan.monitor} has no `retraining.rollout.{stage}` any more"
            return _failed(aim, reason), record
        wanted = {champion: round(1.0 - judged.share, 6), challenger: judged.share}
        if not _alike(_shares(seen.weights), wanted):
            reason = f"{judged.share:.0%} of the traffic for {challenger}"
            return _weigh(aim, record, wanted, reason)
    if stage not in COMPARED:
        reason = f"endpoint {record.endpoint} serves {seen.config}"
        return _step(aim, "reached", reason, then="promote"), record
    name = experiment_name(record.challenger, stage)
    since = record.since if record.experiment == name and record.since else aim.moment
    left = aim.plan.rollout.stage_limit - (aim.moment - since).total_seconds()
    reason = f"{champion} and {challenger} are compared as {name}"
    step = _step(aim, "reached", reason, then="compare")
    return (
        replace(step, experiment=name, seconds=max(1, int(left))),
        replace(record, experiment=name, since=since),
    )


def guarding_alarms(aim: Aim, seen: Seen, *, refused: bool) -> tuple[str, ...]:
    """Return the alarms that roll the last stage back.

    The monitor's composite alarm, unless it rings already, as it does while the drift that
    started the retraining goes on: SageMaker would roll back at once. Then those of the
    champion's alarms that are silent. They are also asked for once a request was ``refused``:
    CloudWatch describes composite alarms only to whoever asks for them, and SageMaker's
    documentation does not say that it does.
    """
    silent = tuple(name for name in aim.alarms if seen.alarms.get(name, "ALARM") != "ALARM")
    silent = silent[:_MOST_ALARMS]
    if seen.alarms.get(aim.composite, "ALARM") == "ALARM":
        return silent
    return silent if refused and silent else (aim.composite,)


def _foreign(aim: Aim, record: RollOut, seen: Seen) -> str:
    """Return what is wrong if the endpoint serves what this roll-out has not brought; else ''."""
    stages = dict.fromkeys(stage for strategy in STAGES.values() for stage in strategy)
    ours = {config_name(aim.plan.monitor, record.challenger, stage) for stage in stages}
    if seen.config in {record.before.config, *ours}:
        return ""
    return (
        f"endpoint {record.endpoint} serves {seen.config}, which is not part of the roll-out of "
        f"{record.challenger}: someone else has changed it. Bring it back to "
        f"{record.before.config}; or, if it is to stay, delete {aim.plan.monitor}/rollout.json"
    )


def _rolled_back(aim: Aim, record: RollOut, seen: Seen) -> str:
    names = (aim.composite, *aim.alarms)
    ringing = [name for name in names if seen.alarms.get(name) == "ALARM"]
    rings = f"these alarms ring: {', '.join(ringing)}" if ringing else "no alarm rings now"
    return (
        f"SageMaker has rolled endpoint {record.endpoint} back from {record.deploying} to "
        f"{seen.config}; {rings}{_said(seen)}"
    )


def _said(seen: Seen) -> str:
    said = None if seen.endpoint is None else seen.endpoint.get("FailureReason")
    return f"; SageMaker says: {said}" if said else ""


def _weigh(aim: Aim, record: RollOut, weights: Mapping[str, float], reason: str) -> Decided:
    thing = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    request = weights_request(record.endpoint, weights)
    return _ask(aim, record, "weigh", thing, request, reason)


def _ask(
    aim: Aim,
    record: RollOut,
    action: Literal["model", "create", "update", "weigh"],
    thing: str,
    request: Record,
    reason: str,
    said: str = "",
) -> Decided:
    """Ask SageMaker for something, unless it was asked for often enough."""
    what = f"make model {thing}" if action == "model" else f"{action} {thing}"
    times = record.asked.get(what, 0) + 1
    if times > _MOST_REQUESTS:
        problem = (
            f"SageMaker was asked {_MOST_REQUESTS} times without effect to {what} for endpoint "
            f"{record.endpoint}{said}: the history of the execution shows what it answered; do the "
            "configurations and their models still exist?"
        )
        return _failed(aim, problem), record
    step = replace(_step(aim, action, reason), request=request)
    return step, replace(record, asked={**record.asked, what: times})


def _failed(aim: Aim, reason: str) -> Step:
    return _step(aim, "failed", reason)


def _step(
    aim: Aim,
    action: Literal["wait", "model", "create", "update", "weigh", "reached", "failed"],
    reason: str,
    *,
    then: Literal["", "compare", "next", "promote", "restored", "keep"] = "",
) -> Step:
    stages = aim.plan.rollout.stages
    after = ""
    if aim.stage != "restore":
        after = next(iter(stages[_place(aim, aim.stage) + 1 :]), "")
    return Step(action=action, then=then, stage=aim.stage, next=after, reason=reason)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def _alike(some: Mapping[str, float], others: Mapping[str, float]) -> bool:
    return some.keys() == others.keys() and all(
        isclose(some[name], others[name], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) for name in some
    )


def _name(execution: str) -> str:
    return execution.rpartition(":")[2]
