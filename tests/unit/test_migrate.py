"""Monitors of Model Monitor become monitor files; what has no equivalent is said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from driftgauge.config import MonitorConfig, parse_monitor
from driftgauge.errors import ConfigError
from driftgauge.migrate import Migrated, migrate_all, read_documents
from driftgauge.migrate.timing import parse_offset, read_timing
from driftgauge.windows import format_duration
from tests.unit.model_monitor_answers import (
    as_printed,
    batch_input,
    checked,
    definition,
    endpoint,
    endpoint_input,
    inline_definition,
    schedule,
)


def migrated(*answers: dict[str, Any], **options: Any) -> Migrated:
    (one,) = migrate_all(
        read_documents([(f"{n}.json", as_printed(answer)) for n, answer in enumerate(answers)]),
        **options,
    )
    # Whatever is written reads back as the monitor.
    assert parse_monitor(yaml.safe_load(one.yaml), one.file_name) == one.config
    return one


def usual(**changes: Any) -> Migrated:
    return migrated(schedule(), definition(**changes), endpoint())


def notes(one: Migrated, topic: str) -> str:
    return "\n".join(note.text for note in one.notes if note.topic == topic)


def test_a_data_quality_schedule_becomes_a_strict_monitor() -> None:
    config = usual().config
    assert config == MonitorConfig.model_validate(
        {
            "name": "churn-hourly",
            "description": "Migrated from Model Monitor: schedule Churn-Hourly",
            "endpoint": {"name": "churn-prod", "variants": ["AllTraffic"]},
            "capture": {"bucket": "captures", "prefix": "datacapture"},
            "window": "1h",
            "evaluate": "on_schedule",
            "mode": "strict",
        }
    )


def test_the_order_of_the_documents_does_not_matter() -> None:
    expected = usual().yaml
    assert migrated(endpoint(), definition(), schedule()).yaml == expected
    both: Any = [as_printed(definition()), as_printed(schedule())]
    (one,) = migrate_all(read_documents([("both.json", both), ("e.json", as_printed(endpoint()))]))
    assert one.yaml == expected


def test_a_definition_inside_its_schedule_is_read_as_well() -> None:
    one = migrated(schedule(inline=inline_definition()), endpoint())
    assert one.config == usual().config


def test_an_endpoint_configuration_describes_the_endpoint_too() -> None:
    configuration = checked(
        "DescribeEndpointConfig",
        {
            "EndpointConfigName": "churn-3",
            "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/churn-3",
            "ProductionVariants": [{"VariantName": "blue"}, {"VariantName": "green"}],
            "DataCaptureConfig": {
                "EnableCapture": True,
                "InitialSamplingPercentage": 20,
                "DestinationS3Uri": "s3://captures/dc",
                "CaptureOptions": [{"CaptureMode": "Input"}],
            },
            "CreationTime": "2026-01-05T10:00:00Z",
        },
    )
    one = migrated(schedule(), definition(), configuration)
    assert one.config.endpoint.variants == ("blue", "green")
    assert one.config.capture.prefix == "dc"
    assert "samples 20 %" in notes(one, "differs")


def test_without_the_endpoint_it_is_said_what_to_look_up() -> None:
    one = migrated(schedule(), definition())
    assert "set capture.bucket and capture.prefix" in notes(one, "to do")
    assert "check endpoint.variants" in notes(one, "to do")
    given = migrated(schedule(), definition(), captures="s3://other/place/")
    assert (given.config.capture.bucket, given.config.capture.prefix) == ("other", "place")


def test_a_capture_that_is_off_or_encrypted_is_said() -> None:
    stopped = endpoint(EnableCapture=False, CaptureStatus="Stopped", KmsKeyId="alias/key")
    one = migrated(schedule(), definition(), stopped)
    assert "data capture of the endpoint is off" in notes(one, "to do")
    assert "KMS key" in notes(one, "to do")


@pytest.mark.parametrize(
    ("expression", "window", "hour"),
    [
        ("cron(0 * ? * * *)", "1h", 0),
        ("cron(0 0 ? * * *)", "1d", 0),
        ("cron(0 5 ? * * *)", "1d", 5),
        ("cron(0 0/6 ? * * *)", "6h", 0),
        ("cron(0 17/12 ? * * *)", "12h", 5),
        ("cron(0 0/01 ? * * *)", "1h", 0),
    ],
)
def test_a_schedule_becomes_windows_that_end_when_it_ran(
    expression: str, window: str, hour: int
) -> None:
    timing = read_timing(expression)
    assert (format_duration(timing.window), timing.anchor.hour) == (window, hour)
    assert (format_duration(timing.delay), timing.differences) == ("20m", ())


@pytest.mark.parametrize(
    ("expression", "difference"),
    [
        ("cron(0 0/5 ? * * *)", "began anew every day"),
        ("NOW", "ran once"),
        ("cron(15 3 * * MON *)", "not one of SageMaker's"),
        ("cron(0 25 ? * * *)", "names no hour"),
        (None, "no schedule was given"),
    ],
)
def test_a_schedule_without_an_equivalent_is_named(expression: str | None, difference: str) -> None:
    (told,) = read_timing(expression).differences
    assert difference in told


def test_data_that_ended_before_the_run_is_a_delay() -> None:
    timing = read_timing("cron(0 0 ? * * *)", start="-P2D", end="-P1D")
    assert (format_duration(timing.delay), timing.differences) == ("1460m", ())
    overlapping = read_timing("cron(0 * ? * * *)", start="-PT5H", end="-PT1H")
    assert "looked at 4h of data, 1h apart" in overlapping.differences[0]
    assert format_duration(overlapping.delay) == "80m"


def test_offsets_of_the_input_and_of_the_schedule_both_count() -> None:
    shifted = {"EndpointInput": endpoint_input(StartTimeOffset="-PT2H", EndTimeOffset="-PT1H")}
    by_input = usual(watched=shifted).config
    by_schedule = migrated(
        schedule(DataAnalysisStartTime="-PT2H", DataAnalysisEndTime="-PT1H"),
        definition(),
        endpoint(),
    ).config
    assert format_duration(by_input.delay) == format_duration(by_schedule.delay) == "80m"


@pytest.mark.parametrize("text", ["", "1H", "-PT", "P", "-P1W2D", "PT1.5H", "-P1DT"])
def test_an_offset_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ISO 8601"):
        parse_offset(text)


@given(
    st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 99999), st.sampled_from(["", "-"])
)
def test_offsets_are_sums_of_their_parts(days: int, hours: int, minutes: int, sign: str) -> None:
    seconds = parse_offset(f"{sign}P{days}DT{hours}H{minutes}M").total_seconds()
    assert abs(seconds) == days * 86400 + hours * 3600 + minutes * 60
    assert seconds == 0 or (seconds < 0) == (sign == "-")


def test_attributes_and_exclusions_select_columns() -> None:
    chosen = endpoint_input(
        FeaturesAttribute="instances[*].features",
        ProbabilityAttribute="predictions[*].score",
        ProbabilityThresholdAttribute=0.7,
        ExcludeFeaturesAttribute="id, when,",
    )
    select = usual(watched={"EndpointInput": chosen}).config.capture.select
    assert select.features == "instances[*].features"
    assert (select.probability, select.threshold) == ("predictions[*].score", 0.7)
    assert select.exclude == ("id", "when")


@pytest.mark.parametrize(
    ("attribute", "entries", "counted"),
    [
        ("0", ("0",), True),
        ("0, 3-5 ,12", ("0", "3-5", "12"), True),
        ("[0, 1]", ("0", "1"), True),
        ("id,'when'", ("id", "when"), False),
        ("instances[*].[age, zip]", ("age", "zip"), False),
        ("features[0]", ("features[0]",), False),
    ],
)
def test_exclusions_keep_what_they_mean(
    attribute: str, entries: tuple[str, ...], *, counted: bool
) -> None:
    chosen = {"EndpointInput": endpoint_input(ExcludeFeaturesAttribute=attribute)}
    one = usual(watched=chosen)
    assert one.config.capture.select.exclude == entries
    assert ("check capture.select.exclude" in notes(one, "to do")) is counted


def test_a_migrated_index_excludes_the_column_of_the_baseline_at_that_place() -> None:
    chosen = {"EndpointInput": endpoint_input(ExcludeFeaturesAttribute="0,2-3")}
    config = usual(watched=chosen).config
    columns = ("Churn", "State", "Area", "Phone", "Plan")
    settings = config.column_settings(columns, outputs=())
    assert [name for name in columns if name in settings] == ["Churn", "Area", "Phone"]
    assert all(one.ignore for one in settings.values())


def test_an_attribute_that_is_no_expression_is_left_out_and_named() -> None:
    one = usual(watched={"EndpointInput": endpoint_input(FeaturesAttribute="[[[")})
    assert one.config.capture.select.features is None
    assert "the attribute features '[[['" in notes(one, "no equivalent")


def test_hooks_keep_their_place_and_select_alone() -> None:
    one = usual(
        watched={"EndpointInput": endpoint_input(FeaturesAttribute="features")},
        application={
            "RecordPreprocessorSourceUri": "s3://b/code/pre.py",
            "PostAnalyticsProcessorSourceUri": "s3://b/code/post.py",
        },
    )
    assert one.config.capture.hooks.preprocess == "s3://b/code/pre.py"
    assert one.config.capture.hooks.postprocess == "s3://b/code/post.py"
    assert one.config.capture.select.features is None
    assert "the attributes are left out" in notes(one, "differs")


def test_the_position_of_output_columns_is_kept() -> None:
    dataset = json.dumps({"csv": {"header": True, "output_columns_position": "END"}})
    one = usual(application={"Environment": {"dataset_format": dataset}})
    assert one.config.capture.order == "input-first"
    assert usual().config.capture.order == "output-first"


def test_the_baselines_files_are_to_be_copied_into_one_folder() -> None:
    told = notes(usual(), "to do")
    place = "s3://{StoreBucketName}/churn-hourly/training-data/model-monitor"
    assert f"aws s3 cp s3://b/baseline/statistics.json {place}/statistics.json" in told
    assert f"aws s3 cp s3://b/baseline/constraints.json {place}/constraints.json" in told


def test_a_baseline_without_statistics_asks_for_training_data() -> None:
    one = usual(baseline={"BaseliningJobName": "baseline-7"})
    assert "names no statistics (baselining job baseline-7)" in notes(one, "to do")


def test_a_batch_transform_becomes_a_monitor_of_manifests() -> None:
    answer = definition(watched={"BatchTransformInput": batch_input(InferenceAttribute="0")})
    one = migrated(schedule(), answer, metrics=True)
    capture = one.config.capture
    assert (capture.format, capture.bucket, capture.prefix) == (
        "batch-transform",
        "captures",
        "batch",
    )
    assert capture.select.inference == "0"
    assert one.config.endpoint.alarms is False
    assert "list in capture.data" in notes(one, "to do")
    assert one.config.model_monitor_metrics is not None
    assert one.config.model_monitor_metrics.batch


def test_the_metrics_per_feature_are_offered_and_on_demand_switched_on() -> None:
    one = usual()
    assert one.config.model_monitor_metrics is None
    offered = re.findall(r"(?m)^# (model_monitor_metrics:|  schedule: .*)$", one.yaml)
    assert offered == ["model_monitor_metrics:", "  schedule: Churn-Hourly"]
    on = migrated(schedule(), definition(), endpoint(), metrics=True).config
    assert on.model_monitor_metrics is not None
    assert on.model_monitor_metrics.schedule == "Churn-Hourly"
    off = usual(application={"Environment": {"publish_cloudwatch_metrics": "Disabled"}})
    assert "model_monitor_metrics" not in off.yaml


def test_everything_about_machines_and_containers_is_listed() -> None:
    one = usual(
        application={
            "ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/our-checks",
            "ContainerEntrypoint": ["python3"],
            "ContainerArguments": ["--fast"],
            "Environment": {
                "API_TOKEN": "hunter2",
                "categorical_drift_method": "ChiSquared",
            },
        },
        NetworkConfig={
            "EnableNetworkIsolation": True,
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        },
        StoppingCondition={"MaxRuntimeInSeconds": 1800},
    )
    told = notes(one, "no equivalent")
    for word in (
        "our-checks",
        "ContainerEntrypoint",
        "ContainerArguments",
        "API_TOKEN",
        "1 x ml.m5.xlarge, 20 GB",
        "the VPC",
        "network isolation",
        "1800 seconds",
        "role/monitoring",
    ):
        assert word in told
    # The values of variables may be secrets.
    assert "hunter2" not in one.yaml
    assert '"categorical_drift_method": "ChiSquared"' in notes(one, "to do")
    assert "no longer written to s3://reports/churn" in notes(one, "differs")


def test_a_stopped_schedule_and_several_variants_are_said() -> None:
    answers = (schedule(status="Stopped"), definition(), endpoint(variants=("blue", "green")))
    told = notes(migrated(*answers), "differs")
    assert "the schedule is stopped" in told
    assert "every variant has windows" in told
    many = endpoint(variants=tuple(f"v{n}" for n in range(12)))
    one = migrated(schedule(), definition(), many)
    assert len(one.config.endpoint.variants) == 10
    assert "the variant v11" in notes(one, "no equivalent")


def test_notes_stay_inside_the_comments() -> None:
    answer = definition(application={"Environment": {"A\nname: evil\n#": "x"}})
    one = migrated(schedule("churn\nname: evil"), answer, endpoint())
    assert one.config.name == "churn-name-evil"
    assert "\nname: evil" not in one.yaml


def test_names_that_would_be_the_same_are_numbered() -> None:
    answers = [schedule("Churn", definition="a"), schedule("churn", definition="b")]
    answers += [definition("a"), definition("b")]
    done = migrate_all(read_documents([("x.json", as_printed(one)) for one in answers]))
    assert [one.config.name for one in done] == ["churn", "churn-2"]


def test_a_definition_without_a_schedule_is_migrated_too() -> None:
    one = migrated(definition("My-Definition"), endpoint())
    assert one.config.name == "my-definition"
    assert "no schedule was given" in notes(one, "differs")
    assert one.config.model_monitor_metrics is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1], "expected the JSON object"),
        ({"Name": "x"}, "neither a monitoring schedule"),
        ({"EndpointName": "x", "ProductionVariants": []}, "an endpoint alone"),
        ({"MonitoringScheduleConfig": {}}, "MonitoringScheduleName is missing"),
        (
            {"MonitoringScheduleName": "s", "MonitoringScheduleConfig": {}},
            "neither MonitoringJobDefinition nor",
        ),
        (
            {
                "MonitoringScheduleName": "s",
                "MonitoringScheduleConfig": {
                    "MonitoringJobDefinitionName": "d",
                    "MonitoringType": "ModelBias",
                },
            },
            "describe-model-bias-job-definition --job-definition-name d",
        ),
        (
            {
                "MonitoringScheduleName": "s",
                "MonitoringScheduleConfig": {
                    "MonitoringType": "Weather",
                    "MonitoringJobDefinition": {"MonitoringInputs": [{}]},
                },
            },
            "'Weather' is none of",
        ),
        (
            {
                "MonitoringScheduleName": "s",
                "MonitoringScheduleConfig": {"MonitoringJobDefinition": {"RoleArn": "r"}},
            },
            "MonitoringInputs: expected a list",
        ),
        ({"DataQualityJobInput": {}}, "JobDefinitionName is missing"),
        (
            {"JobDefinitionName": "d", "DataQualityJobInput": "x"},
            "DataQualityJobInput: expected an object",
        ),
        (
            {"JobDefinitionName": "d", "DataQualityJobInput": {"EndpointInput": {}}},
            "names no endpoint",
        ),
        ({"JobDefinitionName": "d", "DataQualityJobInput": {}}, "neither EndpointInput"),
        (
            {
                "JobDefinitionName": "d",
                "DataQualityJobInput": {"EndpointInput": {"EndpointName": 7}},
            },
            "EndpointName: expected a text",
        ),
        (
            {
                "JobDefinitionName": "d",
                "DataQualityJobInput": {
                    "BatchTransformInput": {"DataCapturedDestinationS3Uri": "/data"}
                },
            },
            "is not s3://bucket/prefix",
        ),
    ],
)
def test_a_document_that_is_something_else_is_explained(document: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        migrate_all(read_documents([("x.json", document)]))
