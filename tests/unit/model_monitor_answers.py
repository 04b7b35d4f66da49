"""Answers of SageMaker's Describe operations, checked against the shapes of its API."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from driftgauge.migrate.documents import Kind

TIME = "2026-01-05T10:00:00+00:00"
IMAGE = "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer"
ROLE = "arn:aws:iam::123456789012:role/monitoring"
_MODEL = botocore.session.get_session().get_service_model("sagemaker")
_OPERATIONS = {
    "DataQuality": "DescribeDataQualityJobDefinition",
    "ModelQuality": "DescribeModelQualityJobDefinition",
    "ModelBias": "DescribeModelBiasJobDefinition",
    "ModelExplainability": "DescribeModelExplainabilityJobDefinition",
}


def checked(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that has the shape of the operation's output."""
    shape = _MODEL.operation_model(operation).output_shape
    assert shape is not None
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()
    return answer


def as_printed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as the AWS CLI prints it."""
    printed: dict[str, Any] = json.loads(json.dumps(answer, default=str))
    return printed


def schedule(
    name: str = "Churn-Hourly",
    *,
    definition: str | None = "churn-definition",
    kind: Kind = "DataQuality",
    expression: str = "cron(0 * ? * * *)",
    status: str = "Scheduled",
    inline: dict[str, Any] | None = None,
    **timing: str,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "ScheduleConfig": {"ScheduleExpression": expression, **timing},
        "MonitoringType": kind,
    }
    if inline is not None:
        config["MonitoringJobDefinition"] = inline
    elif definition is not None:
        config["MonitoringJobDefinitionName"] = definition
    answer = {
        "MonitoringScheduleArn": "arn:aws:sagemaker:us-east-1:123456789012:monitoring-schedule/x",
        "MonitoringScheduleName": name,
        "MonitoringScheduleStatus": status,
        "MonitoringType": kind,
        "CreationTime": datetime.fromisoformat(TIME),
        "LastModifiedTime": datetime.fromisoformat(TIME),
        "MonitoringScheduleConfig": config,
        "EndpointName": "churn-prod",
    }
    return checked("DescribeMonitoringSchedule", answer)


def definition(
    name: str = "churn-definition",
    *,
    kind: Kind = "DataQuality",
    watched: dict[str, Any] | None = None,
    application: dict[str, Any] | None = None,
    baseline: dict[str, Any] | None = None,
    ground_truth: str | None = None,
    **parts: Any,
) -> dict[str, Any]:
    job_input: dict[str, Any] = watched or {"EndpointInput": endpoint_input()}
    if kind in ("ModelQuality", "ModelBias"):
        place = ground_truth or "s3://captures/labels"
        job_input = {**job_input, "GroundTruthS3Input": {"S3Uri": place}}
    usual: dict[str, Any] = {"ImageUri": IMAGE}
    if kind in ("ModelBias", "ModelExplainability"):
        usual["ConfigUri"] = "s3://b/analysis_config.json"
    answer = {
        "JobDefinitionArn": "arn:aws:sagemaker:us-east-1:123456789012:job-definition/x",
        "JobDefinitionName": name,
        "CreationTime": datetime.fromisoformat(TIME),
        f"{kind}BaselineConfig": baseline or constraints_only(kind),
        f"{kind}AppSpecification": {**usual, **(application or {})},
        f"{kind}JobInput": job_input,
        f"{kind}JobOutputConfig": output(),
        "JobResources": resources(),
        "RoleArn": ROLE,
        **parts,
    }
    return checked(_OPERATIONS[kind], answer)


def constraints_only(kind: Kind) -> dict[str, Any]:
    files: dict[str, Any] = {"ConstraintsResource": {"S3Uri": "s3://b/baseline/constraints.json"}}
    if kind == "DataQuality":
        files["StatisticsResource"] = {"S3Uri": "s3://b/baseline/statistics.json"}
    return files


def endpoint_input(**changes: Any) -> dict[str, Any]:
    return {
        "EndpointName": "churn-prod",
        "LocalPath": "/opt/ml/processing/input/endpoint",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        **changes,
    }


def batch_input(**changes: Any) -> dict[str, Any]:
    return {
        "DataCapturedDestinationS3Uri": "s3://captures/batch",
        "DatasetFormat": {"Csv": {"Header": False}},
        "LocalPath": "/opt/ml/processing/input",
        **changes,
    }


def output() -> dict[str, Any]:
    place = {"S3Uri": "s3://reports/churn", "LocalPath": "/opt/ml/processing/output"}
    return {"MonitoringOutputs": [{"S3Output": place}]}


def resources() -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 20}
    return {"ClusterConfig": cluster}


def inline_definition(**changes: Any) -> dict[str, Any]:
    """A definition inside its schedule, the form of 2019."""
    return {
        "BaselineConfig": constraints_only("DataQuality"),
        "MonitoringInputs": [{"EndpointInput": endpoint_input()}],
        "MonitoringOutputConfig": output(),
        "MonitoringResources": resources(),
        "MonitoringAppSpecification": {"ImageUri": IMAGE},
        "RoleArn": ROLE,
        **changes,
    }


def endpoint(*, variants: tuple[str, ...] = ("AllTraffic",), **capture: Any) -> dict[str, Any]:
    answer = {
        "EndpointName": "churn-prod",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/churn-prod",
        "EndpointStatus": "InService",
        "CreationTime": datetime.fromisoformat(TIME),
        "LastModifiedTime": datetime.fromisoformat(TIME),
        "ProductionVariants": [{"VariantName": name} for name in variants],
        "DataCaptureConfig": {
            "EnableCapture": True,
            "CaptureStatus": "Started",
            "CurrentSamplingPercentage": 100,
            "DestinationS3Uri": "s3://captures/datacapture/",
            "KmsKeyId": "",
            **capture,
        },
    }
    return checked("DescribeEndpoint", answer)
