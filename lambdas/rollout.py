"""Brings an endpoint to the next stage of a roll-out, or back, one request at a time.

The state machine asks what comes next, does it, and asks again. Everything is read anew each time,
so that an answer that got lost, or came twice, does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.rollout_settings import Stage
from lambdas.retraining import Champion, Step, plan_of, to_payload
from lambdas.rollout_record import RollOut, change_rollout, read_rollout
from lambdas.rollout_requests import config_name, model_of
from lambdas.rollout_steps import Aim, Seen, next_step
from lambdas.runtime import Runtime, logger, now, runtime

# Alarms of the champion's variant that tell whether a new model does harm, most telling first.
WATCHED: Final = (
    *("errors-5xx", "model-latency", "errors-4xx", "overhead-latency"),
    *("rejected-rows", "data-quality"),
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the payload of the next ``Step``.

    The event is ``{"plan", "stage", "champion", "model_uri", "package"}``; the last two are empty
    where nothing was trained, or it is not registered.
    """
    run = runtime()
    plan = plan_of(event)
    config = run.monitors[plan.monitor]
    champion = event.get("champion") or {"baseline": "", "model": ""}
    prefix = f"{run.settings.DEPLOYMENT}-{config.name}"
    aim = Aim(
        plan=plan,
        stage=event["stage"],
        settings=config.rollout,
        champion=Champion(baseline=champion["baseline"], model=champion["model"]),
        model_uri=str(event.get("model_uri", "")),
        package=str(event.get("package", "")),
        composite=prefix,
        alarms=tuple(f"{prefix}-{plan.rollout.champion}-{kind}" for kind in WATCHED),
        moment=now(),
    )
    step = reconcile(run, config, aim)
    logger.info(
        "roll-out",
        monitor=config.name,
        stage=step.stage,
        action=step.action,
        then=step.then,
        reason=step.reason,
    )
    return to_payload(step)


def reconcile(run: Runtime, config: MonitorConfig, aim: Aim) -> Step:
    """Look at the endpoint, decide what comes next, and remember it."""
    store = run.store(config.name)
    seen = look(run, aim, read_rollout(store))
    steps: list[Step] = []

    def change(record: RollOut | None) -> RollOut | None:
        step, after = next_step(aim, record, seen)
        steps.append(step)
        return after

    change_rollout(store, change)
    return steps[-1]


def look(run: Runtime, aim: Aim, record: RollOut | None) -> Seen:
    """Return what AWS says of the endpoint, of configurations and models that matter, of alarms."""
    name = aim.plan.rollout.endpoint
    if aim.stage == "restore" and record is not None:
        name = record.endpoint
    client = sagemaker_client()
    endpoint = describe_endpoint(client, name) if name else None
    wanted = set() if endpoint is None else {str(endpoint["EndpointConfigName"])}
    if record is not None:
        wanted.add(record.before.config)
    target = ""
    if aim.stage not in ("restore", "withdraw"):
        target = config_name(aim.plan.monitor, aim.plan.version, cast("Stage", aim.stage))
    configs = _existing(describe_config, client, wanted | {target})
    models = {}
    if target and target not in configs:
        served = {model_of(config, aim.plan.rollout.champion) for config in configs.values()}
        models = _existing(describe_model, client, served | {aim.plan.rollout.model})
    names = () if aim.stage == "restore" else (aim.composite, *aim.alarms)
    return Seen(endpoint=endpoint, configs=configs, models=models, alarms=alarm_states(run, names))


def _existing(
    describe: Callable[[Any, str], Mapping[str, Any] | None], client: Any, names: Iterable[str]
) -> dict[str, Mapping[str, Any]]:
    """Return those of some things that exist, as described; an empty name is of none."""
    found = {name: describe(client, name) for name in sorted(names) if name}
    return {name: thing for name, thing in found.items() if thing is not None}


def sagemaker_client() -> Any:
    """Return a client of SageMaker that is patient with throttling."""
    import boto3
    from botocore.config import Config

    return boto3.client("sagemaker", config=Config(retries={"max_attempts": 8}))


def describe_endpoint(client: Any, name: str) -> Mapping[str, Any] | None:
    """Return an endpoint as SageMaker describes it; None if there is none."""
    return _described(client.describe_endpoint, EndpointName=name)


def describe_config(client: Any, name: str) -> Mapping[str, Any] | None:
    """Return an endpoint configuration as SageMaker describes it; None if there is none."""
    return _described(client.describe_endpoint_config, EndpointConfigName=name)


def describe_model(client: Any, name: str) -> Mapping[str, Any] | None:
    """Return a model as SageMaker describes it; None if there is none."""
    return _described(client.describe_model, ModelName=name)


def _described(describe: Callable[..., Any], **name: str) -> Mapping[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        return cast("Mapping[str, Any]", describe(**name))
    except ClientError as error:
        if _is_absent(error.response):
            return None
        raise


def _is_absent(response: Mapping[str, Any]) -> bool:
    """Tell whether SageMaker says that there is no such thing: it has no code of its own."""
    error = response["Error"]
    return error["Code"] == "ValidationException" and "could not find" in error["Message"].lower()


def alarm_states(run: Runtime, names: Iterable[str]) -> dict[str, str]:
    """Return the states of those alarms that exist, metric and composite ones."""
    asked = list(names)
    if not asked:
        return {}
    found = run.cloudwatch.describe_alarms(
        AlarmNames=asked, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    alarms = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
    return {str(alarm["AlarmName"]): str(alarm["StateValue"]) for alarm in alarms}
