"""From a challenger that won to one that serves: what roll-outs add to the Retraining stack.

Nothing of it is there for a deployment whose monitors have no ``retraining.rollout``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from driftgauge.config import MonitorConfig
from driftgauge.rollout_settings import HARM_ALARMS, RollOutSettings
from stacks.buckets import objects_arn
from stacks.constructs.acknowledgements import acknowledge_wildcards
from stacks.constructs.function import Function, FunctionDefaults
from stacks.constructs.queue import DeadLetterQueue
from stacks.deployment import Deployment

_REPOSITORY: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<name>[a-z0-9._/-]+)(?:[:@].*)?"
)
_DESCRIBE_ALARMS: Final = "To see composite alarms, DescribeAlarms has to be allowed on all alarms."


def rolled_out(monitors: Iterable[MonitorConfig]) -> list[MonitorConfig]:
    """Return the monitors whose challengers come to serve an endpoint by a roll-out."""
    return [monitor for monitor in monitors if monitor.rollout is not None]


def compared_in_stages(monitors: Iterable[MonitorConfig]) -> list[MonitorConfig]:
    """Return the monitors whose roll-outs wait for a verdict before they go on."""
    return [monitor for monitor in monitors if monitor.rolled_out is not None]


class RollOutSteps:
    """The functions of roll-outs, as far as the deployment's monitors need them.

    Attributes
    ----------
    arns : dict of str to str
        ARNs of ``rollout`` and ``verdict``: the definition of the state machine names both. One
        that is not made has the ARN it would have; no state of the deployment's machines gets
        there, and none of them may invoke it.
    """

    def __init__(self, scope: Construct, defaults: FunctionDefaults) -> None:
        self._defaults = defaults
        deployment = defaults.deployment
        stack = cdk.Stack.of(scope)
        self.arns = {
            verb: stack.format_arn(
                service="lambda",
                resource="function",
                resource_name=deployment.function_name(verb),
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            for verb in ("rollout", "verdict")
        }
        self._verdict: Function | None = None
        self._undelivered: DeadLetterQueue | None = None
        if rolled_out(deployment):
            self.arns["rollout"] = _make_rollout(scope, defaults).function.function_arn
        if compared_in_stages(deployment):
            self._undelivered = DeadLetterQueue(
                scope,
                "VerdictDeadLetters",
                name=deployment.function_name("verdict"),
                holds="decisions and alarms that a waiting roll-out was not told of",
                topic=defaults.topic,
            )
            self._verdict = _make_verdict(scope, defaults, self._undelivered)
            self.arns["verdict"] = self._verdict.function.function_arn

    def tell_decisions(self, scope: Construct, monitor: MonitorConfig) -> None:
        """Let decisions on a monitor's stages, and alarms of its challenger, end the wait."""
        challenger, rollout = monitor.rolled_out, monitor.rollout
        if self._verdict is None or self._undelivered is None or challenger is None or not rollout:
            return
        deployment = self._defaults.deployment
        target = targets.LambdaFunction(
            self._verdict.function, dead_letter_queue=self._undelivered.target
        )
        events.Rule(
            scope,
            "StageDecided",
            description=f"A stage of a roll-out of monitor {monitor.name} was decided: go on",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self._defaults.buckets.store]},
                    "object": {"key": stage_decisions(monitor, rollout)},
                },
            ),
            targets=[target],
        )
        events.Rule(
            scope,
            "ChallengerHarms",
            description=f"The challenger of monitor {monitor.name} does harm: roll it back",
            event_pattern=events.EventPattern(
                source=["aws.cloudwatch"],
                detail_type=["CloudWatch Alarm State Change"],
                detail={
                    "alarmName": [
                        deployment.alarm_name(monitor.name, challenger, kind)
                        for kind in HARM_ALARMS
                    ],
                    "state": {"value": ["ALARM"]},
                },
            ),
            targets=[target],
        )


def stage_decisions(monitor: MonitorConfig, rollout: RollOutSettings) -> list[dict[str, str]]:
    """Return EventBridge's matchers of the keys of decisions on the stages of roll-outs."""
    return [
        {"wildcard": f"{monitor.name}/experiments/*-{stage}/decision.json"}
        for stage in rollout.compared
    ]


def machine_arns(scope: Construct, deployment: Deployment, names: Iterable[str]) -> list[str]:
    """Return the ARNs of the retraining state machines of monitors, which are made elsewhere."""
    return [
        cdk.Stack.of(scope).format_arn(
            service="states",
            resource="stateMachine",
            resource_name=deployment.retraining_name(name),
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        for name in names
    ]


def see_executions(function: Function, deployment: Deployment, names: Sequence[str]) -> None:
    """Let a function see whether an execution of monitors' machines still runs."""
    executions = [
        cdk.Stack.of(function).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{deployment.retraining_name(name)}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        for name in names
    ]
    function.role.add_to_policy(
        iam.PolicyStatement(actions=["states:DescribeExecution"], resources=executions)
    )
    acknowledge_wildcards(function, executions, "Executions of the retraining, of any name.")


def recover_when_ended(
    scope: Construct,
    machine: stepfunctions.StateMachine,
    monitor: MonitorConfig,
    dead_letters: DeadLetterQueue,
) -> None:
    """Start the machine after an execution that was ended from outside, to tidy up.

    One that fails has put back what it changed, or has told people that it could not.
    """
    events.Rule(
        scope,
        "Interrupted",
        description=f"A retraining of monitor {monitor.name} was interrupted: put back what served",
        event_pattern=events.EventPattern(
            source=["aws.states"],
            detail_type=["Step Functions Execution Status Change"],
            detail={
                "stateMachineArn": [machine.state_machine_arn],
                "status": ["ABORTED", "TIMED_OUT"],
            },
        ),
        targets=[
            targets.SfnStateMachine(
                machine,
                dead_letter_queue=dead_letters.target,
                input=events.RuleTargetInput.from_object(
                    {"monitor": monitor.name, "recover": True}
                ),
            )
        ],
    )


def allow_rollout(
    machine: stepfunctions.StateMachine,
    monitor: MonitorConfig,
    rollout: RollOutSettings,
    *,
    store: str,
) -> None:
    """Let a state machine do what the steps of a roll-out ask for, on this monitor's endpoint.

    ``store`` is the name of the bucket that models lie in.
    """
    models = [_sagemaker(machine, "model", f"driftgauge-{monitor.name[:25]}-*")]
    _allow(machine, ["sagemaker:CreateModel"], models)
    acknowledge_wildcards(machine, models, "The models of this monitor, one for each version.")
    machine.add_to_role_policy(
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[rollout.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
    )
    made = [_sagemaker(machine, "endpoint-config", f"driftgauge-{monitor.name[:17]}-*")]
    _allow(machine, ["sagemaker:CreateEndpointConfig"], made)
    acknowledge_wildcards(machine, made, "The configurations of this monitor's stages.")
    endpoints = _spelled(machine, "endpoint", monitor.endpoint.name)
    _allow(machine, ["sagemaker:UpdateEndpointWeightsAndCapacities"], endpoints)
    # The configuration from before a roll-out has any name.
    configs = [_sagemaker(machine, "endpoint-config", "*")]
    _allow(machine, ["sagemaker:UpdateEndpoint"], [*endpoints, *configs])
    acknowledge_wildcards(
        machine, configs, "What served before a roll-out has any name; the endpoint is this one."
    )
    # UpdateEndpoint asks it of whoever names alarms that roll back.
    _allow(machine, ["cloudwatch:DescribeAlarms"], ["*"])
    acknowledge_wildcards(machine, ["*"], _DESCRIBE_ALARMS)
    _allow_encrypted_volumes(machine)
    if rollout.model_package_group is not None:
        _allow_registry(machine, rollout.model_package_group)
        _allow_packaged(machine, monitor, store=store)


def _allow_encrypted_volumes(machine: stepfunctions.StateMachine) -> None:
    """Let SageMaker encrypt an endpoint's volumes on the machine's behalf, where a key is named.

    The key is in the endpoint's configuration, which is not known here.
    """
    stack = cdk.Stack.of(machine)
    keys = [stack.format_arn(service="kms", resource="key", resource_name="*")]
    through = {"kms:ViaService": f"sagemaker.{stack.region}.amazonaws.com"}
    machine.add_to_role_policy(
        iam.PolicyStatement(
            actions=["kms:DescribeKey"], resources=keys, conditions={"StringEquals": through}
        )
    )
    machine.add_to_role_policy(
        iam.PolicyStatement(
            actions=["kms:CreateGrant"],
            resources=keys,
            conditions={"StringEquals": through, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        )
    )
    acknowledge_wildcards(
        machine, keys, "Through SageMaker alone, for the key that the endpoint's volumes have."
    )


def _allow_packaged(
    machine: stepfunctions.StateMachine, monitor: MonitorConfig, *, store: str
) -> None:
    """Let a state machine see what a model package names: SageMaker looks with its rights."""
    models = [objects_arn(store, f"{monitor.name}/models/*")]
    _allow(machine, ["s3:GetObject"], models)
    acknowledge_wildcards(machine, models, "The models of this monitor, one for each version.")
    repository = _REPOSITORY.fullmatch(monitor.retraining.serving_image or "")
    if repository is not None:
        image = cdk.Stack.of(machine).format_arn(
            service="ecr",
            account=repository["account"],
            region=repository["region"],
            resource="repository",
            resource_name=repository["name"],
        )
        _allow(machine, ["ecr:BatchGetImage", "ecr:DescribeImages"], [image])


def _allow_registry(machine: stepfunctions.StateMachine, group: str) -> None:
    packages = _spelled(machine, "model-package", f"{group}/*", fixed=group)
    groups = _spelled(machine, "model-package-group", group)
    _allow(machine, ["sagemaker:CreateModelPackage"], [*packages, *groups])
    _allow(machine, ["sagemaker:UpdateModelPackage"], packages)
    acknowledge_wildcards(machine, packages, "The versions in this group of the model registry.")


def allow_pipeline(machine: stepfunctions.StateMachine, pipeline: str) -> None:
    """Let a state machine start a SageMaker pipeline, look at its executions and stop them."""
    _allow(machine, ["sagemaker:StartPipelineExecution"], _spelled(machine, "pipeline", pipeline))
    executions = _spelled(machine, "pipeline", f"{pipeline}/execution/*", fixed=pipeline)
    _allow(
        machine,
        ["sagemaker:DescribePipelineExecution", "sagemaker:StopPipelineExecution"],
        executions,
    )
    acknowledge_wildcards(machine, executions, "The executions of this one pipeline.")


def _allow(machine: stepfunctions.StateMachine, actions: list[str], resources: list[str]) -> None:
    machine.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=resources))


def _sagemaker(scope: Construct, resource: str, name: str) -> str:
    return cdk.Stack.of(scope).format_arn(
        service="sagemaker", resource=resource, resource_name=name
    )


def _spelled(scope: Construct, resource: str, name: str, *, fixed: str | None = None) -> list[str]:
    """Return an ARN as it is written, and in lower case as SageMaker writes most names in ARNs."""
    known = name if fixed is None else fixed
    return [
        _sagemaker(scope, resource, spelling)
        for spelling in dict.fromkeys((name, name.replace(known, known.lower())))
    ]


def _make_rollout(scope: Construct, defaults: FunctionDefaults) -> Function:
    rollout = Function(
        scope,
        "Rollout",
        verb="rollout",
        description="Says what an endpoint needs next to reach a stage of a roll-out",
        defaults=defaults,
        memory_mb=512,
        timeout=cdk.Duration.minutes(1),
    )
    rollout.read_store("rollout.json")
    rollout.write_store("rollout.json")
    rollout.describe_endpoints(one.endpoint.name for one in rolled_out(defaults.deployment))
    # Those from before a roll-out have any name.
    configs = [_sagemaker(scope, "endpoint-config", "*")]
    rollout.role.add_to_policy(
        iam.PolicyStatement(actions=["sagemaker:DescribeEndpointConfig"], resources=configs)
    )
    acknowledge_wildcards(rollout, configs, "What served before a roll-out has any name.")
    models = [_sagemaker(scope, "model", "*")]
    rollout.role.add_to_policy(
        iam.PolicyStatement(actions=["sagemaker:DescribeModel"], resources=models)
    )
    acknowledge_wildcards(rollout, models, "The champion's model, which is copied, has any name.")
    _see_alarms(rollout)
    return rollout


def _make_verdict(
    scope: Construct, defaults: FunctionDefaults, undelivered: DeadLetterQueue
) -> Function:
    verdict = Function(
        scope,
        "Verdict",
        verb="verdict",
        description="Tells a waiting roll-out how its stage was decided",
        defaults=defaults,
        memory_mb=512,
        timeout=cdk.Duration.minutes(1),
        dead_letters=undelivered.queue,
    )
    verdict.read_store("rollout.json", "experiments/*/decision.json")
    verdict.write_store("rollout.json")
    _see_alarms(verdict)
    names = [monitor.name for monitor in compared_in_stages(defaults.deployment)]
    verdict.role.add_to_policy(
        iam.PolicyStatement(
            actions=["states:SendTaskSuccess"],
            resources=machine_arns(scope, defaults.deployment, names),
        )
    )
    return verdict


def _see_alarms(function: Function) -> None:
    function.role.add_to_policy(
        iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=["*"])
    )
    acknowledge_wildcards(function, ["*"], _DESCRIBE_ALARMS)
