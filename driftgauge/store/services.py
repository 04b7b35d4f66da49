"""The conversations with AWS that are not about objects.

``put_metric_data`` publishes metrics that the embedded metric format cannot carry;
``describe_schedule`` reads what is to be migrated; ``invoke_endpoint`` asks a model for scores;
``describe_endpoint`` and ``set_weights`` read and change how variants share the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from driftgauge.errors import ObjectNotFoundError, StoreError
from driftgauge.report.compatible_metrics import MetricPoint

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

# PutMetricData takes 1,000 metrics and 1 MB a request; with the longest names half as many fit.
_POINTS_PER_REQUEST = 500
# Which operation describes the job definition of a schedule that names one.
_DESCRIBE_DEFINITION = {
    "DataQuality": "describe_data_quality_job_definition",
    "ModelQuality": "describe_model_quality_job_definition",
    "ModelBias": "describe_model_bias_job_definition",
    "ModelExplainability": "describe_model_explainability_job_definition",
}


def put_metric_data(
    *,
    namespace: str,
    points: Sequence[MetricPoint],
    moment: datetime,
    client: CloudWatchClient | None = None,
) -> None:
    """Publish metrics with the API instead of in a log line.

    The embedded metric format has numbers and arrays of at most 100 numbers; a statistic set
    over thousands of values is none of these.

    Parameters
    ----------
    namespace : str
        Of the metrics.
    points : sequence of MetricPoint
        At most 500 go into one request. Nothing is sent for none.
    moment : datetime
        The time of all points; at most two weeks ago.
    client : CloudWatchClient, optional
        Default: one with the credentials of the process.

    Raises
    ------
    StoreError
        If CloudWatch refuses the request, or cannot be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if not points:
        return
    if client is None:
        import boto3

        client = boto3.client("cloudwatch")
    for first in range(0, len(points), _POINTS_PER_REQUEST):
        some = points[first : first + _POINTS_PER_REQUEST]
        try:
            client.put_metric_data(
                Namespace=namespace, MetricData=[_datum(point, moment) for point in some]
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreError(f"metrics of namespace {namespace!r} are refused: {error}") from error


def _datum(point: MetricPoint, moment: datetime) -> MetricDatumTypeDef:
    datum: MetricDatumTypeDef = {
        "MetricName": point.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in point.dimensions],
        "Timestamp": moment,
        "Unit": "None",
    }
    if isinstance(point.value, float):
        datum["Value"] = point.value
    else:
        datum["StatisticValues"] = {
            "SampleCount": point.value.count,
            "Sum": point.value.total,
            "Minimum": point.value.minimum,
            "Maximum": point.value.maximum,
        }
    return datum


def describe_schedule(name: str, *, region: str | None = None, client: Any = None) -> list[Any]:
    """Describe a monitoring schedule of SageMaker, its job definition and its endpoint.

    Parameters
    ----------
    name : str
        The monitoring schedule.
    region : str, optional
        Default: that of the process.
    client : SageMaker client, optional
        Default: one with the credentials of the process.

    Returns
    -------
    list of dict
        The answers of DescribeMonitoringSchedule, of the job definition's Describe operation if
        the schedule names one, and of DescribeEndpoint if the endpoint still exists.

    Raises
    ------
    ObjectNotFoundError
        If there is no such schedule.
    StoreError
        If SageMaker cannot be asked.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if client is None:
            import boto3

            client = boto3.client("sagemaker", region_name=region)
        schedule = client.describe_monitoring_schedule(MonitoringScheduleName=name)
        answers = [schedule]
        config = schedule["MonitoringScheduleConfig"]
        definition = config.get("MonitoringJobDefinitionName")
        kind = config.get("MonitoringType") or schedule.get("MonitoringType") or "DataQuality"
        if definition is not None:
            describe = getattr(client, _DESCRIBE_DEFINITION[kind])
            answers.append(describe(JobDefinitionName=definition))
        endpoint = next(_named_endpoints(answers), None)
        if endpoint is not None:
            answers += _describe_endpoint(client, endpoint)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFound":
            raise ObjectNotFoundError(
                f"there is no monitoring schedule {name!r} in this account and region, or its job "
                f"definition is gone: {error}"
            ) from error
        raise StoreError(f"monitoring schedule {name!r} cannot be described: {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"monitoring schedule {name!r} cannot be described: {error}") from error
    return answers


def _describe_endpoint(client: Any, name: str) -> list[Any]:
    from botocore.exceptions import ClientError

    try:
        return [client.describe_endpoint(EndpointName=name)]
    except ClientError as error:
        # SageMaker's answer for an endpoint that does not exist; then the definition has to do.
        if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
            return []
        raise


def describe_endpoint(name: str, *, region: str | None = None, client: Any = None) -> Any:
    """Describe an endpoint of SageMaker.

    Parameters
    ----------
    name : str
        The endpoint.
    region : str, optional
        Default: that of the process.
    client : SageMaker client, optional
        Default: one with the credentials of the process.

    Returns
    -------
    dict
        The answer of DescribeEndpoint.

    Raises
    ------
    ObjectNotFoundError
        If there is no such endpoint.
    StoreError
        If SageMaker cannot be asked.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if client is None:
            import boto3

            client = boto3.client("sagemaker", region_name=region)
        return client.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationException":
            raise ObjectNotFoundError(
                f"there is no endpoint {name!r} in this account and region: {error}"
            ) from error
        raise StoreError(f"endpoint {name!r} cannot be described: {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"endpoint {name!r} cannot be described: {error}") from error


def set_weights(
    name: str, weights: Mapping[str, float], *, region: str | None = None, client: Any = None
) -> None:
    """Ask an endpoint of SageMaker to share its traffic by other weights.

    It is done when the endpoint is ``InService`` again.

    Parameters
    ----------
    name : str
        The endpoint.
    weights : mapping of str to float
        Of some of its production variants; the others keep theirs.
    region, client
        As of ``describe_endpoint``.

    Raises
    ------
    StoreError
        If SageMaker refuses it, or cannot be asked.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if client is None:
            import boto3

            client = boto3.client("sagemaker", region_name=region)
        client.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[
                {"VariantName": variant, "DesiredWeight": weight}
                for variant, weight in weights.items()
            ],
        )
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"endpoint {name!r} does not take the weights: {error}") from error


def _named_endpoints(answer: Any) -> Iterator[str]:
    """Find the endpoint's name, which the answers hold at one place or another."""
    if isinstance(answer, dict):
        if isinstance(answer.get("EndpointName"), str):
            yield answer["EndpointName"]
        answer = list(answer.values())
    if isinstance(answer, list):
        for part in answer:
            yield from _named_endpoints(part)


def invoke_endpoint(
    endpoint: str,
    body: bytes,
    *,
    content_type: str,
    accept: str,
    inference_id: str,
    variant: str | None = None,
    region: str | None = None,
    client: Any = None,
) -> bytes:
    """Ask an endpoint of SageMaker for the scores of some rows.

    Parameters
    ----------
    endpoint : str
    body : bytes
        At most 6 MB.
    content_type, accept : str
        Of the request and of the answer.
    inference_id : str
        What the call is captured under, at most 64 characters.
    variant : str, optional
        The variant that answers, such as one that gets no traffic; default: by their weights.
    region : str, optional
        Default: that of the process.
    client : SageMaker runtime client, optional
        Default: one with the credentials of the process.

    Returns
    -------
    bytes

    Raises
    ------
    StoreError
        If the endpoint cannot be asked, or its model fails.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    asked = f"endpoint {endpoint!r}" + (f", variant {variant!r}," if variant else "")
    try:
        if client is None:
            client = _runtime(region)
        answer = client.invoke_endpoint(
            EndpointName=endpoint,
            Body=body,
            ContentType=content_type,
            Accept=accept,
            InferenceId=inference_id,
            **({"TargetVariant": variant} if variant else {}),
        )
        return bytes(answer["Body"].read())
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"{asked} does not answer: {error}") from error


@cache
def _runtime(region: str | None) -> Any:
    import boto3

    return boto3.client("sagemaker-runtime", region_name=region)
