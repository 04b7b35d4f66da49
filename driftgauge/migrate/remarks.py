"""What a migration has to say: what is left to do, what differs, what has no equivalent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from driftgauge.migrate.documents import Kind, Original, member, text

Topic = Literal["to do", "differs", "no equivalent"]

_OWN_IMAGES: Final = ("sagemaker-model-monitor-analyzer", "sagemaker-clarify-processing")
# Variables of Model Monitor's containers that say the same as a part of the definition, or that
# the migration reads.
KNOWN_VARIABLES: Final = frozenset(
    {
        "analysis_type",
        "baseline_constraints",
        "baseline_statistics",
        "categorical_drift_method",
        "dataset_format",
        "dataset_source",
        "end_time",
        "ground_truth_attribute",
        "inference_attribute",
        "monitoring_input_type",
        "output_path",
        "post_analytics_processor_script",
        "probability_attribute",
        "probability_threshold_attribute",
        "problem_type",
        "publish_cloudwatch_metrics",
        "record_preprocessor_script",
        "sagemaker_endpoint_datacapture_prefix",
        "sagemaker_endpoint_name",
        "sagemaker_monitoring_schedule_name",
        "start_time",
    }
)
# Where a baseline's constraints of another type go, beside those of data quality.
_PLACES: Final[Mapping[Kind, str]] = {
    "ModelQuality": "quality/constraints.json",
    "ModelBias": "bias/analysis.json",
    "ModelExplainability": "explainability/analysis.json",
}


@dataclass(frozen=True, kw_only=True)
class Note:
    """One remark on a migrated monitor."""

    topic: Topic
    text: str


def missing(what: str) -> Note:
    """Return the note on something that has no equivalent."""
    return Note(topic="no equivalent", text=what)


def differs(what: str) -> Note:
    """Return the note on something that works otherwise."""
    return Note(topic="differs", text=what)


def to_do(what: str) -> Note:
    """Return the note on something that a person has to do."""
    return Note(topic="to do", text=what)


def kind_notes(original: Original) -> Iterator[Note]:
    """Say what the type and status of a monitor mean here."""
    if original.kind != "DataQuality":
        yield differs(
            "the monitor also watches data quality and drift of the same traffic; one file can "
            "hold all types of an endpoint's schedules: join their blocks"
        )
    if original.status == "Stopped":
        yield differs("the schedule is stopped; the monitor runs once it is deployed")


def baseline_notes(original: Original, *, monitor: str) -> Iterator[Note]:
    """Say which files of the baseline to copy where."""
    place = f"s3://{{StoreBucketName}}/{monitor}/training-data/"
    baseline = original.baseline
    job = text(baseline, "BaseliningJobName", original.name)
    files = {
        name: text(member(baseline, f"{name}Resource", original.name), "S3Uri", original.name)
        for name in ("Statistics", "Constraints")
    }
    if original.kind != "DataQuality":
        yield from _other_baseline_notes(original, files["Constraints"], place)
        return
    method = member(original.application, "Environment", original.name).get(
        "categorical_drift_method"
    )
    if method is not None:
        yield to_do(
            f'set "categorical_drift_method": "{method}" in monitoring_config of constraints.json, '
            "below distribution_constraints, if it is not there"
        )
    for name, uri in files.items():
        if uri is not None:
            # A folder of their own: whichever arrives last makes the baseline of both.
            yield to_do(f"aws s3 cp {uri} {place}model-monitor/{name.lower()}.json")
    if files["Statistics"] is None:
        origin = f" (baselining job {job})" if job else ""
        yield to_do(
            f"the definition names no statistics{origin}: put the training data itself, or "
            f"statistics.json and constraints.json in one folder, under {place}"
        )


def _other_baseline_notes(original: Original, uri: str | None, place: str) -> Iterator[Note]:
    if uri is not None:
        yield to_do(
            f"aws s3 cp {uri} {place}model-monitor/{_PLACES[original.kind]}, and then statistics."
            "json and constraints.json of the endpoint's data quality into the same folder"
        )
    measured = "rows with labels and predictions that the model has not learnt from, as a table,"
    if original.kind == "ModelExplainability":
        measured = "training data, as a table,"
    instead = "or instead, to measure the baseline anew: " if uri is not None else ""
    yield to_do(f"{instead}put {measured} under {place}")


def infrastructure_notes(original: Original) -> Iterator[Note]:
    """List what a definition says about machines, networks, roles and containers."""
    yield from _container_notes(original)
    cluster = member(original.resources, "ClusterConfig", original.name)
    if cluster:
        yield missing(
            f"instances: {cluster.get('InstanceCount')} x {cluster.get('InstanceType')}, "
            f"{cluster.get('VolumeSizeInGB')} GB: functions of AWS Lambda need none"
        )
    for name, what in (
        ("VpcConfig", "the VPC: functions talk to S3 and CloudWatch over AWS's own endpoints"),
        ("EnableNetworkIsolation", "network isolation of the container"),
        ("EnableInterContainerTrafficEncryption", "encryption between containers"),
    ):
        if original.network.get(name):
            yield missing(what)
    if original.role is not None:
        yield missing(f"the role {original.role}: every function gets one of its own")
    seconds = original.stopping.get("MaxRuntimeInSeconds")
    if seconds is not None:
        yield missing(f"the limit of {seconds} seconds a run: functions have their own")
    if text(original.output, "KmsKeyId", original.name):
        yield missing("the KMS key of the reports: the store is encrypted with keys of S3")
    for uri in _output_places(original.output):
        yield differs(
            f"reports are no longer written to {uri}, but to "
            "s3://{StoreBucketName}/{monitor}/reports/: point notebooks there"
        )


def _container_notes(original: Original) -> Iterator[Note]:
    image = text(original.application, "ImageUri", original.name)
    if image is not None and not any(own in image for own in _OWN_IMAGES):
        yield missing(f"the container of your own, and whatever it checks: {image}")
    for name in ("ContainerEntrypoint", "ContainerArguments"):
        if original.application.get(name):
            yield missing(f"{name} of the container")
    variables = member(original.application, "Environment", original.name)
    for name in sorted(set(variables) - KNOWN_VARIABLES):
        # The value may be a secret.
        yield missing(f"the container's variable {name}")


def _output_places(output: Mapping[str, Any]) -> Iterator[str]:
    listed = output.get("MonitoringOutputs")
    for one in listed if isinstance(listed, list) else []:
        place = member(one, "S3Output", "MonitoringOutputs") if isinstance(one, dict) else {}
        if isinstance(place.get("S3Uri"), str):
            yield place["S3Uri"]
