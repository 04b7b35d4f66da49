"""Sorting what SageMaker's Describe operations return: which answers belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from driftgauge.errors import ConfigError

Kind = Literal["DataQuality", "ModelQuality", "ModelBias", "ModelExplainability"]
KINDS: Final[tuple[Kind, ...]] = (
    "DataQuality",
    "ModelQuality",
    "ModelBias",
    "ModelExplainability",
)
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Original:
    """One monitor of Model Monitor, in the same form wherever it was described.

    Attributes
    ----------
    name : str
        Of the schedule, else of the job definition.
    schedule : str or None
        Name of the monitoring schedule, if there is one.
    kind : str
        DataQuality, ModelQuality, ModelBias or ModelExplainability.
    status : str or None
        Of the schedule: Scheduled, Stopped, ...
    timing : mapping
        ``ScheduleConfig``.
    job_input : mapping
        ``EndpointInput`` or ``BatchTransformInput``, with ``GroundTruthS3Input`` where the kind
        has it.
    baseline, application, output, resources, network, stopping : mapping
        The parts of the job definition.
    role : str or None
        ``RoleArn``.
    endpoint : mapping
        What DescribeEndpoint or DescribeEndpointConfig returned; empty if not given.
    analysis : mapping
        The analysis configuration of Clarify that ``ConfigUri`` names; empty if not given.
    """

    name: str
    schedule: str | None
    kind: Kind
    status: str | None
    timing: Mapping[str, Any]
    job_input: Mapping[str, Any]
    baseline: Mapping[str, Any]
    application: Mapping[str, Any]
    output: Mapping[str, Any]
    resources: Mapping[str, Any]
    network: Mapping[str, Any]
    stopping: Mapping[str, Any]
    role: str | None
    endpoint: Mapping[str, Any]
    analysis: Mapping[str, Any] = field(default_factory=dict)


def read_documents(documents: Sequence[tuple[str, Any]]) -> tuple[Original, ...]:
    """Sort answers of Describe operations.

    Parameters
    ----------
    documents : sequence of (str, object)
        Where each comes from, for messages, and the answer itself: of a monitoring schedule, one
        of the four job definitions, an endpoint or an endpoint configuration, or a list of them;
        also Clarify's analysis configurations, which definitions name.

    Returns
    -------
    tuple of Original
        One for each schedule, and for each job definition that no schedule names.

    Raises
    ------
    ConfigError
        If an answer is none of these, or lacks what SageMaker always returns.
    """
    flat = [
        (source, one)
        for source, document in documents
        for one in (document if isinstance(document, list) else [document])
    ]
    schedules: list[tuple[str, Mapping[str, Any]]] = []
    definitions: dict[str, tuple[str, Mapping[str, Any]]] = {}
    endpoints: list[Mapping[str, Any]] = []
    analyses: list[tuple[str, Mapping[str, Any]]] = []
    for source, document in flat:
        kind = definition_kind(document)
        if not isinstance(document, dict):
            raise ConfigError(f"{source}: expected the JSON object that a describe command prints")
        if "MonitoringScheduleConfig" in document:
            schedules.append((source, document))
        elif kind is not None:
            definitions[str(document.get("JobDefinitionName", source))] = (source, document)
        elif "ProductionVariants" in document or "DataCaptureConfig" in document:
            endpoints.append(document)
        elif "methods" in document or "facet" in document:
            analyses.append((source, document))
        else:
            raise ConfigError(
                f"{source}: neither a monitoring schedule, a job definition nor an endpoint: give "
                "what aws sagemaker describe-monitoring-schedule, describe-*-job-definition or "
                "describe-endpoint prints, or Clarify's analysis configuration"
            )
    originals = [_of_schedule(*one, definitions) for one in schedules]
    # What a schedule names is no longer among the definitions.
    originals += [_of_definition(source, one) for source, one in definitions.values()]
    if not originals:
        raise ConfigError(
            f"{', '.join(source for source, _ in flat) or 'nothing'}: an endpoint alone has no "
            "monitor: add its monitoring schedule or job definition"
        )
    return tuple(
        _with_analysis(_with_endpoint(original, endpoints), analyses) for original in originals
    )


def definition_kind(document: Any) -> Kind | None:
    """Return which job definition a document is; None if it is none."""
    for kind in KINDS:
        if isinstance(document, dict) and f"{kind}JobInput" in document:
            return kind
    return None


def member(document: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    """Return an object inside an object, an empty one if it is not there.

    Raises
    ------
    ConfigError
        If there is something else.
    """
    value = document.get(name)
    if value is None:
        return _NOTHING
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: {name}: expected an object in braces")
    return value


def text(document: Mapping[str, Any], name: str, place: str) -> str | None:
    """Return a text inside an object; None if it is not there.

    Raises
    ------
    ConfigError
        If there is something else.
    """
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{place}: {name}: expected a text")
    return value or None


def _of_schedule(
    source: str,
    document: Mapping[str, Any],
    definitions: dict[str, tuple[str, Mapping[str, Any]]],
) -> Original:
    name = text(document, "MonitoringScheduleName", source)
    if name is None:
        raise ConfigError(f"{source}: MonitoringScheduleName is missing")
    config = member(document, "MonitoringScheduleConfig", source)
    timing: dict[str, Any] = {
        "name": name,
        "schedule": name,
        "status": text(document, "MonitoringScheduleStatus", source),
        "timing": member(config, "ScheduleConfig", source),
    }
    reference = text(config, "MonitoringJobDefinitionName", source)
    if reference is None:
        inline = member(config, "MonitoringJobDefinition", source)
        if not inline:
            raise ConfigError(
                f"{source}: MonitoringScheduleConfig has neither MonitoringJobDefinition nor "
                "MonitoringJobDefinitionName"
            )
        kind = text(config, "MonitoringType", source) or text(document, "MonitoringType", source)
        return Original(**timing, **_inline_parts(inline, kind, source))
    if reference not in definitions:
        kind = text(config, "MonitoringType", source) or "DataQuality"
        words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind)
        raise ConfigError(
            f"{source}: the schedule names the job definition {reference!r}: give its description "
            f"as well (aws sagemaker describe{words}-job-definition --job-definition-name "
            f"{reference})"
        )
    return Original(**timing, **_definition_parts(*definitions.pop(reference)))


def _of_definition(source: str, document: Mapping[str, Any]) -> Original:
    name = text(document, "JobDefinitionName", source)
    if name is None:
        raise ConfigError(f"{source}: JobDefinitionName is missing")
    return Original(
        name=name,
        schedule=None,
        status=None,
        timing=_NOTHING,
        **_definition_parts(source, document),
    )


def _definition_parts(source: str, document: Mapping[str, Any]) -> dict[str, Any]:
    kind = definition_kind(document)
    return {
        "kind": kind,
        "job_input": member(document, f"{kind}JobInput", source),
        "baseline": member(document, f"{kind}BaselineConfig", source),
        "application": member(document, f"{kind}AppSpecification", source),
        "output": member(document, f"{kind}JobOutputConfig", source),
        "resources": member(document, "JobResources", source),
        "network": member(document, "NetworkConfig", source),
        "stopping": member(document, "StoppingCondition", source),
        "role": text(document, "RoleArn", source),
        "endpoint": _NOTHING,
    }


def _inline_parts(document: Mapping[str, Any], kind: str | None, source: str) -> dict[str, Any]:
    """Read the definition inside a schedule, the form before job definitions had names."""
    if kind not in (None, *KINDS):
        raise ConfigError(f"{source}: MonitoringType: {kind!r} is none of {', '.join(KINDS)}")
    inputs = document.get("MonitoringInputs")
    if not isinstance(inputs, list) or not inputs or not isinstance(inputs[0], dict):
        raise ConfigError(f"{source}: MonitoringInputs: expected a list with one input")
    application = dict(member(document, "MonitoringAppSpecification", source))
    application["Environment"] = member(document, "Environment", source)
    return {
        "kind": kind or "DataQuality",
        "job_input": inputs[0],
        "baseline": member(document, "BaselineConfig", source),
        "application": application,
        "output": member(document, "MonitoringOutputConfig", source),
        "resources": member(document, "MonitoringResources", source),
        "network": member(document, "NetworkConfig", source),
        "stopping": member(document, "StoppingCondition", source),
        "role": text(document, "RoleArn", source),
        "endpoint": _NOTHING,
    }


def _with_endpoint(original: Original, endpoints: Sequence[Mapping[str, Any]]) -> Original:
    """Add the description of the endpoint that is watched, by name; a lone configuration fits."""
    name = member(original.job_input, "EndpointInput", original.name).get("EndpointName")
    named = [one for one in endpoints if one.get("EndpointName") == name]
    configurations = [one for one in endpoints if "EndpointName" not in one]
    chosen = named or (configurations if name is not None and len(configurations) == 1 else [])
    return replace(original, endpoint=chosen[0]) if chosen else original


def _with_analysis(
    original: Original, analyses: Sequence[tuple[str, Mapping[str, Any]]]
) -> Original:
    """Add the analysis configuration: the file of that name, else the only one that fits."""
    uri = text(original.application, "ConfigUri", original.name)
    if uri is None:
        return original
    file = uri.rpartition("/")[2]
    of_kind = [one for _, one in analyses if ("facet" in one) == (original.kind == "ModelBias")]
    named = [one for source, one in analyses if source.endswith(file) and one in of_kind]
    chosen = named if len(named) == 1 else of_kind
    return replace(original, analysis=chosen[0]) if len(chosen) == 1 else original
