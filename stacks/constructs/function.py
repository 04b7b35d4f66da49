"""One way to make a function: its own role, its own log group, an alarm when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from driftgauge.config import MonitorConfig
from stacks.buckets import Buckets, bucket_arn, objects_arn
from stacks.bundling import ARCHITECTURE, RUNTIME, code_asset, layer_asset
from stacks.constructs.acknowledgements import acknowledge, acknowledge_wildcards
from stacks.deployment import Deployment, capture_folder, ground_truth_folder

NAMESPACE = "driftgauge"
# One full virtual CPU; more does not help a function that computes in one thread.
ONE_CPU_MB = 1769
LOG_RETENTION = logs.RetentionDays.THREE_MONTHS


@dataclass(frozen=True, kw_only=True)
class FunctionDefaults:
    """What all functions of one stack share."""

    deployment: Deployment
    buckets: Buckets
    topic: sns.ITopic
    code: lambda_.Code
    layer: lambda_.ILayerVersion

    @classmethod
    def prepare(
        cls, scope: Construct, *, deployment: Deployment, buckets: Buckets, topic: sns.ITopic
    ) -> FunctionDefaults:
        """Prepare code and layer for a stack.

        Each stack has its own version of the layer (the file is uploaded once): a reference into
        another stack would keep the old version from being replaced.
        """
        return cls(
            deployment=deployment,
            buckets=buckets,
            topic=topic,
            code=code_asset(deployment.monitors),
            layer=lambda_.LayerVersion(
                scope,
                "Dependencies",
                code=layer_asset(scope),
                description="numpy, pydantic, Powertools and the decoders",
                compatible_runtimes=[RUNTIME],
                compatible_architectures=[ARCHITECTURE],
            ),
        )


class Function(Construct):
    """The function of one verb: ``lambdas/{verb}.py``.

    Its role may write its own log and nothing else until one of the methods says so. There is no
    X-Ray tracing: it needs a permission on ``*``, and every step here is one function and S3.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        verb: str,
        description: str,
        defaults: FunctionDefaults,
        memory_mb: int,
        timeout: cdk.Duration,
        environment: Mapping[str, str] | None = None,
        dead_letters: sqs.IQueue | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._defaults = defaults
        deployment = defaults.deployment
        self.timeout = timeout
        self.log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=deployment.log_group_name(verb),
            retention=LOG_RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=deployment.function_name(verb),
            description=description,
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            handler=f"lambdas.{verb}.handler",
            code=defaults.code,
            layers=[defaults.layer],
            role=self.role,
            memory_size=memory_mb,
            timeout=timeout,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            dead_letter_queue=dead_letters,
            environment={
                "DEPLOYMENT": deployment.name,
                "STORE_BUCKET": defaults.buckets.store,
                "POWERTOOLS_SERVICE_NAME": verb,
                "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **(environment or {}),
            },
        )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            "pysimdjson, which reads the captures, has no wheel for Python 3.14 on arm64 yet.",
        )
        self._alarm_on_errors(verb)

    def _alarm_on_errors(self, verb: str) -> None:
        name = self._defaults.deployment.function_name(verb)
        alarm = cloudwatch.Alarm(
            self,
            "Errors",
            alarm_name=f"{name}-errors",
            alarm_description=(
                f"The function {name} keeps failing: errors in 2 of the last 3 periods of 5 "
                "minutes. Single failures are retried and never get here. The reason is in the "
                f"log group {self._defaults.deployment.log_group_name(verb)}, in entries of level "
                "ERROR."
            ),
            metric=self.function.metric_errors(
                statistic=cloudwatch.Stats.SUM, period=cdk.Duration.minutes(5)
            ),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            threshold=0,
            evaluation_periods=3,
            datapoints_to_alarm=2,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self._defaults.topic))

    def read_store(self, *keys: str) -> None:
        """Let the function read objects of the store: ``current.json``, ``profiles/*``, ...

        Listing comes with it, for the whole bucket: without it, S3 answers 403 instead of 404 for
        an object that does not exist, and a condition on the prefix does not apply to that answer.
        """
        self._allow_on_store("s3:GetObject", keys)
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"], resources=[bucket_arn(self._defaults.buckets.store)]
            )
        )

    def write_store(self, *keys: str) -> None:
        """Let the function write objects of the store. No function may delete any."""
        self._allow_on_store("s3:PutObject", keys)

    def _allow_on_store(self, action: str, keys: Iterable[str]) -> None:
        # One pattern for all monitors: every function serves every monitor of the deployment,
        # and a policy that grew with their number would meet IAM's size limit.
        resources = [objects_arn(self._defaults.buckets.store, f"*/{key}") for key in keys]
        self._allow(action, resources, "The objects that this function handles, of any monitor.")

    def read_captures(self) -> None:
        """Let the function read what endpoints captured."""
        captures = self._defaults.buckets.captures
        self._read_folders(
            [(captures(monitor), capture_folder(monitor)) for monitor in self._defaults.deployment],
            "The captures of the monitored endpoints.",
        )

    def read_labels(self, monitors: Iterable[MonitorConfig]) -> None:
        """Let the function read the ground truth of some monitors."""
        captures = self._defaults.buckets.captures
        self._read_folders(
            [(captures(monitor), ground_truth_folder(monitor)) for monitor in monitors],
            "The labels of the monitored endpoints.",
        )

    def _read_folders(self, folders: Iterable[tuple[str, str]], reason: str) -> None:
        """Let the function list buckets of captures, and read folders in them."""
        if self._defaults.buckets.own_captures:
            self.function.add_environment("CAPTURE_BUCKET", self._defaults.buckets.own_captures)
        unique = list(dict.fromkeys(folders))
        self._allow(
            "s3:GetObject", [objects_arn(bucket, f"{folder}*") for bucket, folder in unique], reason
        )
        names = dict.fromkeys(bucket for bucket, _ in unique)
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"], resources=[bucket_arn(name) for name in names]
            )
        )

    def read_places(self, places: Iterable[str], *, reason: str) -> None:
        """Let the function read objects that the monitors name as ``s3://bucket/key``."""
        resources = []
        for place in places:
            bucket, _, key = place.removeprefix("s3://").partition("/")
            resources.append(objects_arn(bucket, key))
        if resources:
            self._allow("s3:GetObject", resources, reason)

    def invoke_endpoints(self, names: Iterable[str]) -> None:
        """Let the function ask these SageMaker endpoints for predictions."""
        self._allow_on_endpoints("sagemaker:InvokeEndpoint", names)

    def describe_endpoints(self, names: Iterable[str]) -> None:
        """Let the function see how these SageMaker endpoints serve."""
        self._allow_on_endpoints("sagemaker:DescribeEndpoint", names)

    def _allow_on_endpoints(self, action: str, names: Iterable[str]) -> None:
        # SageMaker writes the names in lower case in ARNs; no two endpoints differ in case alone.
        spellings = sorted({spelling for name in names for spelling in (name, name.lower())})
        if spellings:
            stack = cdk.Stack.of(self)
            arns = [
                stack.format_arn(service="sagemaker", resource="endpoint", resource_name=spelling)
                for spelling in spellings
            ]
            self.role.add_to_policy(iam.PolicyStatement(actions=[action], resources=arns))

    def get_metrics(self) -> None:
        """Let the function read metrics. GetMetricData knows neither resources nor conditions."""
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["cloudwatch:GetMetricData"], resources=["*"])
        )
        acknowledge_wildcards(
            self, ["*"], "GetMetricData, which only reads, knows no resources and no conditions."
        )

    def put_metrics(self, namespaces: Iterable[str]) -> None:
        """Let the function publish metrics in these namespaces through the API.

        PutMetricData knows no resources; the condition on the namespace is what limits it.
        """
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": sorted(namespaces)}},
            )
        )
        acknowledge_wildcards(
            self, ["*"], "PutMetricData knows no resources; a condition limits the namespaces."
        )

    def _allow(self, action: str, resources: list[str], reason: str) -> None:
        self.role.add_to_policy(iam.PolicyStatement(actions=[action], resources=resources))
        acknowledge_wildcards(self, resources, reason)
