"""Writing the monitor file that reproduces a monitor of Model Monitor."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from driftgauge.capture.settings import SelectionSettings
from driftgauge.config import MonitorConfig, parse_monitor
from driftgauge.errors import ConfigError
from driftgauge.migrate.documents import Original, member, text
from driftgauge.migrate.outcomes import outcome_blocks
from driftgauge.migrate.remarks import (
    Note,
    Topic,
    baseline_notes,
    differs,
    infrastructure_notes,
    kind_notes,
    missing,
    to_do,
)
from driftgauge.migrate.timing import DEFAULT_DELAY, read_timing
from driftgauge.windows import DEFAULT_ANCHOR, format_duration, format_time

_LONGEST_NAME: Final = 48
_MOST_VARIANTS: Final = 10
_WIDTH: Final = 100
# ExcludeFeaturesAttribute: entries between commas, a list in brackets, an entry that is counted.
_PARTS: Final = re.compile(r"(?:[^,\[\]]|\[[^\]]*\])+")
_LIST: Final = re.compile(r"(?:.*\.)?\[([^\[\]]+)\]")
_COUNTED: Final = re.compile(r"[0-9]{1,4}(?:\s*-\s*[0-9]{1,4})?")
_TOPICS: Final[tuple[tuple[Topic, str], ...]] = (
    ("to do", "To do before the first deployment:"),
    ("differs", "What is otherwise than it was:"),
    ("no equivalent", "What has no equivalent and is left out:"),
)


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """A monitor file and what to know about it.

    Attributes
    ----------
    original : str
        Name of the schedule or job definition.
    config : MonitorConfig
        The monitor.
    yaml : str
        The file's text, which reads back as ``config``; its comments hold the notes.
    notes : tuple of Note
        What is left to do, differs or has no equivalent.
    """

    original: str
    config: MonitorConfig
    yaml: str
    notes: tuple[Note, ...]

    @property
    def file_name(self) -> str:
        """Name of the monitor's file."""
        return f"{self.config.name}.yaml"


@dataclass
class _Draft:
    """The monitor's document while it is made, and the notes so far."""

    original: Original
    name: str
    document: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)


def migrate_all(
    originals: Sequence[Original], *, captures: str | None = None, metrics: bool = False
) -> tuple[Migrated, ...]:
    """Migrate several monitors; names that would be the same are numbered."""
    done: list[Migrated] = []
    for original in originals:
        taken = {one.config.name for one in done}
        done.append(migrate(original, captures=captures, metrics=metrics, taken=taken))
    return tuple(done)


def migrate(
    original: Original,
    *,
    captures: str | None = None,
    metrics: bool = False,
    taken: set[str] | frozenset[str] = frozenset(),
) -> Migrated:
    """Write the monitor that reproduces one of Model Monitor.

    Parameters
    ----------
    original : Original
        What SageMaker says about it.
    captures : str, optional
        Where the endpoint's data capture goes, ``s3://bucket/prefix``, if it is not described.
    metrics : bool, default False
        Publish its metrics per feature on, under the same names; they are billed one by one.
    taken : set of str
        Names that other monitors have.

    Raises
    ------
    ConfigError
        If the description contradicts what SageMaker returns.
    """
    draft = _Draft(original=original, name=_name(original.name, taken))
    origin = f"schedule {original.schedule}" if original.schedule else original.name
    draft.document = {
        "name": draft.name,
        "description": f"Migrated from Model Monitor: {origin}",
    }
    for note in kind_notes(original):
        draft.note(note)
    if "EndpointInput" in original.job_input:
        chosen = member(original.job_input, "EndpointInput", original.name)
        _watch_endpoint(draft, chosen, captures)
    else:
        chosen = member(original.job_input, "BatchTransformInput", original.name)
        _watch_batches(draft, chosen)
    _select(draft, chosen)
    _set_ground_truth(draft)
    blocks = outcome_blocks(
        original, chosen, batch=draft.document["capture"].get("format") == "batch-transform"
    )
    draft.document |= blocks.document
    for note in blocks.notes:
        draft.note(note)
    _set_timing(draft, chosen)
    draft.document |= {"evaluate": "on_schedule", "mode": "strict"}
    block = _metrics_block(draft, chosen)
    if metrics and block:
        draft.document |= block
    for note in (*baseline_notes(original, monitor=draft.name), *infrastructure_notes(original)):
        draft.note(note)
    config = parse_monitor(draft.document, f"{original.name}, migrated")
    return Migrated(
        original=original.name,
        config=config,
        yaml=_write(draft, None if metrics else block),
        notes=tuple(draft.notes),
    )


def _name(original: str, taken: set[str] | frozenset[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", original.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    name = name or "monitor"
    numbers = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbers) if one not in taken)


def _watch_endpoint(draft: _Draft, chosen: Mapping[str, Any], captures: str | None) -> None:
    endpoint = text(chosen, "EndpointName", draft.original.name)
    if endpoint is None:
        raise ConfigError(f"{draft.original.name}: EndpointInput names no endpoint")
    draft.document["endpoint"] = {"name": endpoint, "variants": _variants(draft)}
    capture = member(draft.original.endpoint, "DataCaptureConfig", draft.original.name)
    place = captures or text(capture, "DestinationS3Uri", draft.original.name)
    if place is None:
        draft.note(
            to_do(
                "set capture.bucket and capture.prefix to the DestinationS3Uri of the endpoint's "
                "DataCaptureConfig, which was not given (aws sagemaker describe-endpoint "
                f"--endpoint-name {endpoint})"
            )
        )
        draft.document["capture"] = {}
    else:
        draft.document["capture"] = _bucket_and_prefix(draft, place)
    for note in _capture_notes(capture):
        draft.note(note)


def _variants(draft: _Draft) -> list[str]:
    listed = draft.original.endpoint.get("ProductionVariants")
    names = [
        one["VariantName"]
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict) and isinstance(one.get("VariantName"), str)
    ]
    if not names:
        draft.note(
            to_do(
                "check endpoint.variants: the endpoint was not described, and AllTraffic is "
                "SageMaker's default name"
            )
        )
        return ["AllTraffic"]
    if len(names) > 1:
        draft.note(
            differs("every variant has windows and alarms of its own; Model Monitor joined them")
        )
    for name in names[_MOST_VARIANTS:]:
        draft.note(missing(f"the variant {name}: a monitor has at most {_MOST_VARIANTS}"))
    return names[:_MOST_VARIANTS]


def _capture_notes(capture: Mapping[str, Any]) -> Iterator[Note]:
    enabled = capture.get("EnableCapture", True)
    if not enabled or capture.get("CaptureStatus") == "Stopped":
        yield to_do("data capture of the endpoint is off: turn it on")
    share = capture.get("CurrentSamplingPercentage", capture.get("InitialSamplingPercentage", 100))
    if isinstance(share, int | float) and share < 100:
        yield differs(f"data capture samples {share} % of the calls: windows hold that many rows")
    if capture.get("KmsKeyId"):
        yield to_do(
            "captures are encrypted with a KMS key: let the profile function's role decrypt with it"
        )


def _bucket_and_prefix(draft: _Draft, uri: str) -> dict[str, Any]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigError(f"{draft.original.name}: {uri!r} is not s3://bucket/prefix")
    draft.note(
        to_do(f"turn on EventBridge notifications of the bucket {bucket}: new captures start work")
    )
    return {"bucket": bucket, "prefix": prefix.strip("/")}


def _watch_batches(draft: _Draft, chosen: Mapping[str, Any]) -> None:
    place = text(chosen, "DataCapturedDestinationS3Uri", draft.original.name)
    if place is None:
        raise ConfigError(
            f"{draft.original.name}: the job's input is neither EndpointInput nor a "
            "BatchTransformInput with DataCapturedDestinationS3Uri"
        )
    draft.document["endpoint"] = {"name": draft.name, "alarms": False}
    draft.document["capture"] = {
        **_bucket_and_prefix(draft, place),
        "format": "batch-transform",
    }
    draft.note(
        to_do(
            "list in capture.data the S3 prefixes that the batch transforms write to: the "
            "captures are manifests that point there. If the transforms do not join their input "
            "(JoinSource), list those of the input as well and set capture.manifests to both"
        )
    )


def _select(draft: _Draft, chosen: Mapping[str, Any]) -> None:
    """Translate attributes, exclusions, hooks and the order of columns."""
    place, application = draft.original.name, draft.original.application
    hooks = {
        key: uri
        for key, name in (
            ("preprocess", "RecordPreprocessorSourceUri"),
            ("postprocess", "PostAnalyticsProcessorSourceUri"),
        )
        if (uri := text(application, name, place)) is not None
    }
    attributes: dict[str, Any] = {
        key: value
        for key, name in (
            ("features", "FeaturesAttribute"),
            ("inference", "InferenceAttribute"),
            ("probability", "ProbabilityAttribute"),
        )
        if (value := text(chosen, name, place)) is not None
    }
    for key, value in list(attributes.items()):
        try:
            SelectionSettings.model_validate({key: value})
        except ValidationError:
            draft.note(missing(f"the attribute {key} {value!r}, which is no JMESPath expression"))
            del attributes[key]
    if "preprocess" in hooks and attributes:
        draft.note(differs("the preprocess hook selects what is read: the attributes are left out"))
        attributes = {}
    threshold = chosen.get("ProbabilityThresholdAttribute")
    if threshold is not None and "probability" in attributes:
        attributes["threshold"] = threshold
    excluded = text(chosen, "ExcludeFeaturesAttribute", place)
    if excluded is not None:
        attributes["exclude"] = _excluded(excluded)
        if any(_COUNTED.fullmatch(entry) for entry in attributes["exclude"]):
            draft.note(
                to_do(
                    "check capture.select.exclude: it counts the baseline's columns from 0, in the "
                    "order of capture.order; AWS documents indices and not what they count"
                )
            )
    if attributes:
        draft.document["capture"]["select"] = attributes
    if hooks:
        draft.document["capture"]["hooks"] = hooks
    if _columns_are_input_first(member(application, "Environment", place)):
        draft.document["capture"]["order"] = "input-first"


def _excluded(attribute: str) -> list[str]:
    """Part the attribute at its commas, and lists in brackets into their elements."""
    found: list[str] = []
    for part in _PARTS.findall(attribute):
        several = _LIST.fullmatch(part.strip())
        found += several[1].split(",") if several else [part]
    return [entry for one in found if (entry := one.strip(" \t\n'\""))]


def _columns_are_input_first(variables: Mapping[str, Any]) -> bool:
    try:
        dataset = json.loads(str(variables.get("dataset_format", "{}")))
        return bool(dataset["csv"]["output_columns_position"] == "END")
    except (ValueError, KeyError, TypeError):
        return False


def _set_ground_truth(draft: _Draft) -> None:
    place = draft.original.name
    uri = text(member(draft.original.job_input, "GroundTruthS3Input", place), "S3Uri", place)
    if uri is not None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if bucket == draft.document["capture"].get("bucket"):
            draft.document["capture"]["ground_truth_prefix"] = prefix.strip("/")
        else:
            draft.note(
                to_do(f"labels are read from the capture bucket: write them there, not to {uri}")
            )


def _set_timing(draft: _Draft, chosen: Mapping[str, Any]) -> None:
    place, given = draft.original.name, draft.original.timing
    timing = read_timing(
        text(given, "ScheduleExpression", place),
        start=text(given, "DataAnalysisStartTime", place) or text(chosen, "StartTimeOffset", place),
        end=text(given, "DataAnalysisEndTime", place) or text(chosen, "EndTimeOffset", place),
    )
    draft.document["window"] = format_duration(timing.window)
    if timing.anchor != DEFAULT_ANCHOR:
        draft.document["window_anchor"] = format_time(timing.anchor)
    if timing.delay != DEFAULT_DELAY:
        draft.document["delay"] = format_duration(timing.delay)
    for difference in timing.differences:
        draft.note(differs(difference))


def _metrics_block(draft: _Draft, chosen: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the setting that publishes the metrics on; None if they were off or cannot be."""
    original = draft.original
    variables = member(original.application, "Environment", original.name)
    if original.schedule is None or variables.get("publish_cloudwatch_metrics") == "Disabled":
        return None
    block: dict[str, Any] = {"schedule": original.schedule}
    if "DataCapturedDestinationS3Uri" in chosen:
        block["batch"] = True
    return {"model_monitor_metrics": block}


def _write(draft: _Draft, offered: dict[str, Any] | None) -> str:
    import yaml  # only where YAML is written

    lines = [
        "# yaml-language-server: $schema=../docs/monitor.schema.json",
        f"# Written by `driftgauge migrate` from {draft.original.kind} monitor "
        f"{_one_line(draft.original.name)}.",
    ]
    for topic, title in _TOPICS:
        listed = [note.text for note in draft.notes if note.topic == topic]
        if listed:
            lines += ["#", f"# {title}"]
            lines += [f"# - {_one_line(text)}" for text in listed]
    body = yaml.safe_dump(draft.document, sort_keys=False, width=_WIDTH, allow_unicode=True)
    lines.append(body.rstrip("\n"))
    if offered:
        lines += [
            "# To publish the metrics per feature as Model Monitor did, for dashboards and alarms",
            "# that exist (about $0.90 a month and feature with hourly windows: docs/costs.md):",
        ]
        listed_lines = yaml.safe_dump(offered, sort_keys=False).rstrip("\n").split("\n")
        lines += [f"# {line}" for line in listed_lines]
    return "\n".join(lines) + "\n"


def _one_line(remark: str) -> str:
    """Write a remark such that nothing in it can leave its comment."""
    return "".join(letter if letter.isprintable() else " " for letter in remark)
