"""From an alarm to a better model: one guarded state machine per monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from driftgauge.config import MonitorConfig, SageMakerTrainer
from driftgauge.retraining_settings import SageMakerPipeline
from stacks.buckets import Buckets
from stacks.constructs.acknowledgements import acknowledge, acknowledge_wildcards
from stacks.constructs.function import LOG_RETENTION, Function, FunctionDefaults
from stacks.constructs.queue import DeadLetterQueue
from stacks.constructs.retraining_alarm import starting_alarms
from stacks.deployment import Deployment
from stacks.limits import check_size
from stacks.rollout import (
    RollOutSteps,
    allow_pipeline,
    allow_rollout,
    machine_arns,
    recover_when_ended,
    rolled_out,
    see_executions,
)

DEFINITION = Path(__file__).parent / "statemachines" / "retraining.asl.json"


class RetrainingStack(cdk.Stack):
    """The steps' functions, and per monitor a state machine with the rules that start it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        buckets: Buckets,
        topic: sns.ITopic,
        notify: lambda_.IFunction,
        baseline: lambda_.IFunction,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=deployment.stack_name("retraining"),
            description="driftgauge: guarded retraining when a monitored model drifts",
            **kwargs,
        )
        self._deployment = deployment
        self._topic = topic
        self._store = buckets.store
        retrained = [monitor for monitor in deployment if monitor.retraining.enabled]
        defaults = FunctionDefaults.prepare(
            self, deployment=deployment, buckets=buckets, topic=topic
        )
        self._rollouts = RollOutSteps(self, defaults)
        self._step_arns = {
            **_make_steps(self, defaults, retrained),
            **self._rollouts.arns,
            "baseline": baseline.function_arn,
            "notify": notify.function_arn,
        }
        self._dead_letters = DeadLetterQueue(
            self,
            "DeadLetters",
            name=f"{deployment.name}-retraining",
            holds="alarm events that should have started a retraining",
            topic=topic,
        )
        for monitor in retrained:
            self._retraining(monitor)
        check_size(self, monitors=len(retrained))

    def _retraining(self, monitor: MonitorConfig) -> None:
        scope = Construct(self, monitor.name)
        name = self._deployment.retraining_name(monitor.name)
        log_group = logs.LogGroup(
            scope,
            "Log",
            # Step Functions may write to log groups of this prefix without a policy of their own.
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=LOG_RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        machine = stepfunctions.StateMachine(
            scope,
            "Machine",
            state_machine_name=name,
            state_machine_type=stepfunctions.StateMachineType.STANDARD,
            definition_body=stepfunctions.DefinitionBody.from_file(str(DEFINITION)),
            definition_substitutions={
                f"{verb.capitalize()}FunctionArn": arn for verb, arn in self._step_arns.items()
            },
            logs=stepfunctions.LogOptions(
                destination=log_group,
                level=stepfunctions.LogLevel.ALL,
                # What passes between the steps may hold paths of the data, and is in the history.
                include_execution_data=False,
            ),
        )
        acknowledge(
            machine,
            "AwsSolutions-IAM5[Resource::*]",
            "Setting up the delivery of a state machine's log has no resource-level permissions.",
        )
        acknowledge(
            machine,
            "AwsSolutions-SF2",
            "The functions are not traced either: the execution history shows the same steps.",
        )
        self._allow_steps(machine, monitor)
        self._start_on_alarm(scope, machine, monitor)
        if monitor.rollout is not None:
            self._rollouts.tell_decisions(scope, monitor)
            recover_when_ended(scope, machine, monitor, self._dead_letters)
        self._alarm_on_failure(scope, machine, name)
        cdk.CfnOutput(
            self, f"RetrainingArn{_pascal(monitor.name)}", value=machine.state_machine_arn
        )

    def _allow_steps(self, machine: stepfunctions.StateMachine, monitor: MonitorConfig) -> None:
        called = dict(self._step_arns)
        trainer = sagemaker_trainer(monitor)
        if isinstance(trainer, SageMakerTrainer):
            del called["train"]
            self._allow_training_jobs(machine, monitor, trainer)
        elif isinstance(trainer, SageMakerPipeline):
            del called["train"]
            allow_pipeline(machine, trainer.pipeline)
        elif monitor.retraining.trainer_function_arn is not None:
            called["train"] = monitor.retraining.trainer_function_arn
        if monitor.rollout is None:
            del called["rollout"]
        if monitor.rolled_out is None:
            del called["verdict"]
        machine.add_to_role_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=list(called.values()))
        )
        self._allow_managed_rule(machine)
        if monitor.rollout is not None:
            allow_rollout(machine, monitor, monitor.rollout, store=self._store)

    def _allow_managed_rule(self, machine: stepfunctions.StateMachine) -> None:
        """Allow the rule by which `.sync` learns that a training job has ended.

        Step Functions asks for this when the machine is created: the definition holds the
        integration whether or not the monitor trains on SageMaker.
        """
        machine.add_to_role_policy(
            iam.PolicyStatement(
                actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"],
                resources=[
                    self.format_arn(
                        service="events",
                        resource="rule",
                        resource_name="StepFunctionsGetEventsForSageMakerTrainingJobsRule",
                    )
                ],
            )
        )

    def _allow_training_jobs(
        self,
        machine: stepfunctions.StateMachine,
        monitor: MonitorConfig,
        trainer: SageMakerTrainer,
    ) -> None:
        jobs = self.format_arn(
            service="sagemaker",
            resource="training-job",
            # As the guard names them: a job's name has 63 characters at most.
            resource_name=f"driftgauge-{monitor.name[:25]}-*",
        )
        machine.add_to_role_policy(
            iam.PolicyStatement(
                actions=[
                    "sagemaker:CreateTrainingJob",
                    "sagemaker:DescribeTrainingJob",
                    "sagemaker:StopTrainingJob",
                    "sagemaker:AddTags",
                    "sagemaker:ListTags",
                ],
                resources=[jobs],
            )
        )
        acknowledge_wildcards(machine, [jobs], "The training jobs of this monitor.")
        machine.add_to_role_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[trainer.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )

    def _start_on_alarm(
        self, scope: Construct, machine: stepfunctions.StateMachine, monitor: MonitorConfig
    ) -> None:
        # One rule per variant: the names of all variants' alarms may not fit into one pattern.
        for variant in monitor.lasting_variants:
            events.Rule(
                scope,
                f"Drift-{variant}",
                description=f"Monitor {monitor.name}, variant {variant}, is unwell: retrain",
                event_pattern=events.EventPattern(
                    source=["aws.cloudwatch"],
                    detail_type=["CloudWatch Alarm State Change"],
                    detail={
                        "alarmName": starting_alarms(self._deployment, monitor, variant),
                        "state": {"value": ["ALARM"]},
                    },
                ),
                targets=[
                    targets.SfnStateMachine(
                        machine,
                        dead_letter_queue=self._dead_letters.target,
                        input=events.RuleTargetInput.from_object(
                            {
                                "monitor": monitor.name,
                                "variant": variant,
                                "alarm": events.EventField.from_path("$.detail.alarmName"),
                                "time": events.EventField.time,
                            }
                        ),
                    )
                ],
            )

    def _alarm_on_failure(
        self, scope: Construct, machine: stepfunctions.StateMachine, name: str
    ) -> None:
        alarm = cloudwatch.Alarm(
            scope,
            "Failed",
            alarm_name=f"{name}-failed",
            alarm_description=(
                f"An execution of the state machine {name} failed. Champion, baseline and endpoint "
                "are as they were, unless its error is RollBackFailed: then the message that was "
                "sent says what to put back. The execution's history names the step and the cause; "
                "start a new execution with the same input once it is repaired."
            ),
            metric=machine.metric_failed(
                statistic=cloudwatch.Stats.SUM, period=cdk.Duration.minutes(5)
            ),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            threshold=0,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self._topic))


def sagemaker_trainer(monitor: MonitorConfig) -> SageMakerTrainer | SageMakerPipeline | None:
    """Return the job or the pipeline that trains a monitor's model; None if a function does."""
    settings = monitor.retraining
    if settings.trainer_function_arn is None and isinstance(
        settings.trainer, SageMakerTrainer | SageMakerPipeline
    ):
        return settings.trainer
    return None


def _make_steps(
    scope: Construct, defaults: FunctionDefaults, retrained: list[MonitorConfig]
) -> dict[str, str]:
    """Make the steps' functions, each with what its step touches; return their ARNs."""

    def step(verb: str, description: str, memory_mb: int, minutes: int) -> Function:
        return Function(
            scope,
            verb.capitalize(),
            verb=verb,
            description=description,
            defaults=defaults,
            memory_mb=memory_mb,
            timeout=cdk.Duration.minutes(minutes),
        )

    guard = step("guard", "Decides whether a retraining may start", 512, 1)
    # A roll-out that ended half-way comes before anything else, also one of former settings.
    guard.read_store("reports/*", "retraining/last.json", "rollout.json", "state/*")
    machines = machine_arns(scope, defaults.deployment, (one.name for one in retrained))
    guard.role.add_to_policy(
        iam.PolicyStatement(actions=["states:ListExecutions"], resources=machines)
    )
    see_executions(guard, defaults.deployment, [one.name for one in retrained])
    prepare = step("prepare", "Collects recent rows with their labels", 3538, 15)
    prepare.read_captures()
    prepare.read_labels(defaults.deployment)
    prepare.read_store("current.json", "baseline/*", "retraining/*")
    prepare.write_store("retraining/*")
    train = step("train", "Trains the built-in logistic regression", 3538, 15)
    train.read_store("retraining/*")
    train.write_store("retraining/*")
    compare = step("compare", "Compares challenger and champion on held-back rows", 1769, 5)
    compare.read_store("models/*", "retraining/*")
    compare.write_store("retraining/*")
    promote = step("promote", "Makes the challenger the champion, with its baseline", 512, 1)
    promote.read_store("current.json", "retraining/*", "rollout.json")
    promote.write_store("current.json", "models/*", "retraining/last.json")
    if rolled_out(retrained):
        guard.read_store("current.json")
        guard.write_store("rollout.json")
        promote.write_store("rollout.json")
    return {
        "guard": guard.function.function_arn,
        "prepare": prepare.function.function_arn,
        "train": train.function.function_arn,
        "compare": compare.function.function_arn,
        "promote": promote.function.function_arn,
    }


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))
