"""From a capture object to an alarm: profile on arrival, evaluate on demand."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from constructs import Construct

from driftgauge.config import MonitorConfig
from stacks.buckets import Buckets
from stacks.constructs.alarms import MonitorAlarms
from stacks.constructs.dashboard import DeploymentDashboard
from stacks.constructs.function import ONE_CPU_MB, Function, FunctionDefaults
from stacks.constructs.queue import (
    DeadLetterQueue,
    as_target,
    queue_objects,
    queue_with_dead_letters,
    read_queue,
    visibility_for,
)
from stacks.constructs.schedule import evaluation_times
from stacks.deployment import (
    Deployment,
    capture_folder,
    compatible_namespaces,
    hook_places,
    transform_places,
)
from stacks.experiments import add_experiments
from stacks.limits import check_size
from stacks.outcomes import (
    add_explain,
    add_labels,
    judged_rooms,
    let_judge_outcomes,
    model_places,
    written_rows,
)

# Keeps a backlog of captures from taking all the concurrency of the account.
PROFILE_CONCURRENCY = 20
EVALUATE_CONCURRENCY = 2


class MonitoringStack(cdk.Stack):
    """The functions that measure and judge, what calls them, and what rings."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        buckets: Buckets,
        topic: sns.ITopic,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=deployment.stack_name("monitoring"),
            description="driftgauge: profiles, verdicts, alarms and the dashboard",
            **kwargs,
        )
        self._deployment = deployment
        self._buckets = buckets
        self._topic = topic
        self._defaults = FunctionDefaults.prepare(
            self, deployment=deployment, buckets=buckets, topic=topic
        )
        self._profile()
        self.baseline = self._baseline()
        self._evaluate()
        add_labels(self, self._defaults)
        add_explain(self, self._defaults)
        add_experiments(self, self._defaults)
        self._watch()
        check_size(self, monitors=len(deployment.monitors.monitors))

    def _profile(self) -> None:
        profile = Function(
            self,
            "Profile",
            verb="profile",
            description="Reads a capture object and writes its mergeable profiles",
            defaults=self._defaults,
            memory_mb=ONE_CPU_MB,
            timeout=cdk.Duration.minutes(5),
        )
        profile.read_captures()
        profile.read_places(
            transform_places(self._deployment), reason="What batch transforms read or wrote."
        )
        profile.read_places(
            hook_places(monitor.capture.hooks.preprocess for monitor in self._deployment),
            reason="The preprocess hooks of the monitors.",
        )
        profile.read_store("current.json", "baseline/*")
        profile.write_store("profiles/*", "quarantine/*", *written_rows(self._deployment))
        dead_letters = self._dead_letters("profile", "capture objects that cannot be read")
        queue = queue_with_dead_letters(
            self,
            "Captured",
            dead_letters=dead_letters,
            visibility=visibility_for(profile.timeout),
        )
        target = as_target(self, "CapturedTarget", queue)
        # Two monitors may watch the same endpoint: its captures are queued once for both.
        folders = {
            (self._buckets.captures(monitor), capture_folder(monitor)): monitor
            for monitor in self._deployment
        }
        for (bucket, folder), monitor in folders.items():
            queue_objects(
                self,
                f"Captures-{monitor.name}",
                bucket=bucket,
                keys=[{"prefix": folder}],
                queue=target,
                dead_letters=dead_letters,
                description=f"Captures of endpoint {monitor.endpoint.name}: profile",
            )
        read_queue(profile.function, queue, batch_size=10, max_concurrency=PROFILE_CONCURRENCY)

    def _baseline(self) -> lambda_.IFunction:
        baseline = Function(
            self,
            "Baseline",
            verb="baseline",
            description="Turns training data into a baseline",
            defaults=self._defaults,
            memory_mb=2 * ONE_CPU_MB,
            timeout=cdk.Duration.minutes(15),
        )
        baseline.read_store("current.json", "training-data/*", "retraining/*")
        baseline.write_store("current.json", "baseline/*", "models/*")
        # Its attributions are those that later windows are compared with.
        baseline.read_places(
            model_places(self._deployment, self._buckets.store),
            reason="The models that monitors name.",
        )
        dead_letters = self._dead_letters("baseline", "training data that cannot be read")
        queue = queue_with_dead_letters(
            self,
            "TrainingData",
            dead_letters=dead_letters,
            # One message is one call: whoever dropped a bad file is told within the hour.
            visibility=cdk.Duration.minutes(16),
        )
        queue_objects(
            self,
            "TrainingDataDropped",
            bucket=self._buckets.store,
            keys=[{"wildcard": "*/training-data/*"}],
            queue=as_target(self, "TrainingDataTarget", queue),
            dead_letters=dead_letters,
            description="Training data was dropped: make it the baseline",
        )
        read_queue(baseline.function, queue, batch_size=1, max_concurrency=2)
        return baseline.function

    def _evaluate(self) -> None:
        evaluate = Function(
            self,
            "Evaluate",
            verb="evaluate",
            description="Merges a window's profiles, compares them with the baseline, decides",
            defaults=self._defaults,
            memory_mb=ONE_CPU_MB,
            timeout=cdk.Duration.minutes(5),
        )
        evaluate.read_store(
            "current.json",
            "baseline/*",
            "profiles/*",
            "rollups/*",
            "reports/*",
            "state/*",
            "evidence/*",
        )
        if any(monitor.rollout for monitor in self._defaults.deployment):
            evaluate.read_store("rollout.json")
        evaluate.write_store("rollups/*", "reports/*", "state/*", "evidence/*")
        let_judge_outcomes(evaluate, self._deployment)
        evaluate.read_places(
            hook_places(monitor.capture.hooks.postprocess for monitor in self._deployment),
            reason="The postprocess hooks of the monitors.",
        )
        namespaces = {name for one in self._deployment for name in compatible_namespaces(one)}
        if namespaces:
            evaluate.put_metrics(namespaces)
        dead_letters = self._dead_letters("evaluate", "windows that were not evaluated")
        role = self._scheduler_role(evaluate, dead_letters)
        for monitor in self._deployment:
            queue = queue_with_dead_letters(
                self,
                f"Arrivals-{monitor.name}",
                dead_letters=dead_letters,
                visibility=visibility_for(evaluate.timeout),
                delay=cdk.Duration.seconds(int(monitor.debounce.total_seconds())),
            )
            queue_objects(
                self,
                f"Profiles-{monitor.name}",
                bucket=self._buckets.store,
                keys=[{"prefix": f"{monitor.name}/{room}/"} for room in judged_rooms(monitor)],
                queue=as_target(self, f"ArrivalsTarget-{monitor.name}", queue),
                dead_letters=dead_letters,
                description=f"Profiles of monitor {monitor.name}: evaluate once it is quiet",
            )
            # Many profiles make one evaluation: the messages of a second are taken together.
            read_queue(
                evaluate.function,
                queue,
                batch_size=100,
                max_concurrency=EVALUATE_CONCURRENCY,
                max_batching_window=cdk.Duration.seconds(1),
            )
            self._schedule(monitor, evaluate, role=role, dead_letters=dead_letters)

    def _scheduler_role(self, evaluate: Function, dead_letters: DeadLetterQueue) -> iam.Role:
        role = iam.Role(
            self,
            "SchedulerRole",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            ),
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"], resources=[evaluate.function.function_arn]
            )
        )
        dead_letters.queue.grant_send_messages(role)
        return role

    def _schedule(
        self,
        monitor: MonitorConfig,
        evaluate: Function,
        *,
        role: iam.Role,
        dead_letters: DeadLetterQueue,
    ) -> None:
        # The L1: the L2's target grants its role every version of the function.
        scheduler.CfnSchedule(
            self,
            f"Windows-{monitor.name}",
            description=f"Windows of monitor {monitor.name} have closed: evaluate",
            schedule_expression=evaluation_times(monitor),
            schedule_expression_timezone="UTC",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=evaluate.function.function_arn,
                role_arn=role.role_arn,
                input=json.dumps({"monitor": monitor.name, "schedule": True}),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                    arn=dead_letters.queue.queue_arn
                ),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3600, maximum_retry_attempts=10
                ),
            ),
        )

    def _watch(self) -> None:
        board = DeploymentDashboard(
            self, "Board", deployment=self._deployment, store=self._buckets.store
        )
        for monitor in self._deployment:
            alarms = MonitorAlarms(
                self,
                f"Alarms-{monitor.name}",
                deployment=self._deployment,
                monitor=monitor,
                store=self._buckets.store,
            )
            board.add_monitor(monitor, alarms)
        cdk.CfnOutput(self, "DashboardName", value=board.dashboard.dashboard_name)

    def _dead_letters(self, verb: str, holds: str) -> DeadLetterQueue:
        return DeadLetterQueue(
            self,
            f"{verb.capitalize()}DeadLetters",
            name=self._deployment.function_name(verb),
            holds=holds,
            topic=self._topic,
        )
