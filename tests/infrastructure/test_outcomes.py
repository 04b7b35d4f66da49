"""What is deployed where labels are joined and predictions are explained, and only there."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.infrastructure.policies import alarm_changed, may, object_created, targets_of
from tests.infrastructure.synthesized import ROOT, Synthesized, monitor, synthesize
from tests.infrastructure.test_checks import findings
from tests.infrastructure.test_permissions import ROOMS
from tests.infrastructure.test_wiring import queue_arn

STORE_NAME = "<Store1D2A845B>"
STORE = f"arn:aws:s3:::{STORE_NAME}"
TRUTH = "truth/2026/07/01/13/labels.jsonl"
GRAIN = "2026/07/01/13/00"
OUTCOME_KINDS = {
    "quality-decay": "QualityDecay",
    "concept-drift": "ConceptDrift",
    "bias-drift": "BiasDrift",
    "attribution-drift": "AttributionDrift",
}
# What each function may do besides what it may without outcomes.
READS = {
    "profile": set(),
    "labels": {"current", "predictions", "received", "matched"},
    "evaluate": {"predictions", "received", "matched", "samples", "attributions"},
    "explain": {"current", "baseline", "reference", "models", "samples", "attributions"},
}
WRITES = {
    "profile": {"predictions", "samples"},
    "labels": {"received", "matched", "quarantine"},
    "evaluate": {"predictions", "received", "matched"},
    "explain": {"attributions", "reference"},
}


def grants(stacks: Synthesized, verb: str, action: str) -> set[str]:
    return {room for room, key in ROOMS.items() if may(stacks, verb, action, f"{STORE}/{key}")}


@pytest.mark.parametrize("verb", ["labels", "explain"])
def test_the_new_functions_read_and_write_the_rooms_of_their_step_only(
    judged: Synthesized, verb: str
) -> None:
    assert grants(judged, verb, "s3:GetObject") == READS[verb]
    assert grants(judged, verb, "s3:PutObject") == WRITES[verb]
    # Without permission to list, S3 answers 403 for an object that does not exist.
    assert may(judged, verb, "s3:ListBucket", STORE)


@pytest.mark.parametrize("verb", ["profile", "evaluate", "baseline", "notify"])
def test_outcomes_widen_what_the_other_functions_may_do_by_their_own_rooms_alone(
    judged: Synthesized, varied: Synthesized, verb: str
) -> None:
    for action, more in (("s3:GetObject", READS), ("s3:PutObject", WRITES)):
        before = grants(varied, verb, action)
        assert grants(judged, verb, action) == before | more.get(verb, set())


def test_only_labels_reads_the_ground_truth_and_nothing_else_of_the_bucket(
    judged: Synthesized,
) -> None:
    for verb in ("profile", "evaluate", "baseline", "notify", "explain", "labels"):
        reads = may(judged, verb, "s3:GetObject", f"arn:aws:s3:::existing-captures/{TRUTH}")
        assert reads == (verb == "labels")
    assert may(judged, "labels", "s3:ListBucket", "arn:aws:s3:::existing-captures")
    capture = "captures/churn/AllTraffic/2026/07/01/13/1.jsonl"
    assert not may(judged, "labels", "s3:GetObject", f"arn:aws:s3:::existing-captures/{capture}")
    assert not may(judged, "labels", "s3:PutObject", f"arn:aws:s3:::existing-captures/{TRUTH}")


def test_labels_that_two_monitors_share_are_queued_once(judged: Synthesized) -> None:
    event = object_created("existing-captures", TRUTH)
    assert targets_of(judged, event) == [queue_arn(judged, "GroundTruth")]
    elsewhere = object_created("existing-captures", "truths/2026/07/01/13/labels.jsonl")
    assert targets_of(judged, elsewhere) == []


def test_labels_in_the_deployments_own_bucket_are_found() -> None:
    own = synthesize(monitor("churn", prediction="score", outcomes={}))
    (captures,) = [
        one.logical_id
        for one in own.all("AWS::S3::Bucket")
        if one.logical_id.startswith("Captures")
    ]
    event = object_created(f"<{captures}>", "ground-truth/2026/07/01/13/labels.jsonl")
    assert targets_of(own, event) == [queue_arn(own, "GroundTruth")]
    variables = own.function("labels").properties["Environment"]["Variables"]
    assert variables["CAPTURE_BUCKET"] == f"<{captures}>"


def test_labels_are_read_one_object_at_a_time_by_few_calls_at_once(judged: Synthesized) -> None:
    mapping = judged.one(
        "AWS::Lambda::EventSourceMapping", EventSourceArn=queue_arn(judged, "GroundTruth")
    ).properties
    assert mapping["FunctionName"] == f"<{judged.function('labels').logical_id}>"
    assert mapping["BatchSize"] == 1
    assert mapping["ScalingConfig"]["MaximumConcurrency"] <= 5
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize(
    ("name", "queued"), [("churn", "Arrivalschurn"), ("churn-by-region", "Arrivalschurnbyregion")]
)
def test_matched_labels_make_their_window_be_evaluated_again(
    judged: Synthesized, name: str, queued: str
) -> None:
    arrivals = [
        f"<{queue.logical_id}.Arn>"
        for queue in judged.all("AWS::SQS::Queue")
        if queue.logical_id.rstrip("0123456789ABCDEF") == queued
    ]
    matched = object_created(STORE_NAME, f"{name}/labels/matched/blue/{GRAIN}/0123.labels")
    assert targets_of(judged, matched) == arrivals
    # Each would only start what it came from.
    for key in (
        f"{name}/labels/received/2026/07/01/13/0123.labels",
        f"{name}/predictions/v1/blue/{GRAIN}/0123.predictions",
        f"{name}/samples/v1/blue/{GRAIN}/0123.sample",
        f"{name}/rollups/v1/blue/{GRAIN}.outcomes",
        f"{name}/reports/blue/2026/07/01/13/outcomes.json",
    ):
        assert targets_of(judged, object_created(STORE_NAME, key)) == []


@pytest.mark.parametrize("name", ["churn-by-region", "fraud"])
def test_an_evaluated_window_is_explained_once_it_is_quiet_and_then_evaluated(
    judged: Synthesized, name: str
) -> None:
    short = name.replace("-", "")
    evaluated = object_created(STORE_NAME, f"{name}/reports/blue/2026/07/01/13/inputs.json")
    queue = queue_arn(judged, f"Evaluated{short}")
    assert targets_of(judged, evaluated) == [queue]
    (properties,) = [
        one.properties
        for one in judged.all("AWS::SQS::Queue")
        if f"<{one.logical_id}.Arn>" == queue
    ]
    assert properties["DelaySeconds"] == {"churn-by-region": 30, "fraud": 60}[name]
    explained = object_created(STORE_NAME, f"{name}/attributions/v1/blue/{GRAIN}.sums")
    assert targets_of(judged, explained) == [queue_arn(judged, f"Arrivals{short}")]


@pytest.mark.parametrize(
    "key",
    [
        "churn/reports/blue/2026/07/01/13/inputs.json",
        "plain/reports/AllTraffic/2026/07/01/13/inputs.json",
        f"plain/labels/matched/AllTraffic/{GRAIN}/0123.labels",
        f"churn/attributions/v1/AllTraffic/{GRAIN}.sums",
        f"fraud/labels/matched/AllTraffic/{GRAIN}/0123.labels",
    ],
)
def test_a_monitor_without_the_block_is_left_alone(judged: Synthesized, key: str) -> None:
    assert targets_of(judged, object_created(STORE_NAME, key)) == []


@pytest.mark.parametrize("verb", ["labels", "explain"])
def test_the_handler_exists(judged: Synthesized, verb: str) -> None:
    source = (ROOT / "lambdas" / f"{verb}.py").read_text(encoding="utf-8")
    defined = {one.name for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)}
    assert judged.function(verb).properties["Handler"] == f"lambdas.{verb}.handler"
    assert "handler" in defined


@pytest.mark.parametrize("verb", ["labels", "explain"])
def test_what_fails_becomes_a_dead_letter_that_rings(judged: Synthesized, verb: str) -> None:
    assert judged.alarm(f"staging-{verb}-errors")["MetricName"] == "Errors"
    alarm = judged.alarm(f"staging-{verb}-dead-letters")
    (dimension,) = alarm["Dimensions"]
    dead = judged.logical_id("AWS::SQS::Queue", f"{verb.capitalize()}DeadLetters")
    assert dimension["Value"] == f"<{dead}.QueueName>"
    fed = [
        queue.logical_id
        for queue in judged.all("AWS::SQS::Queue")
        if queue.properties.get("RedrivePolicy", {}).get("deadLetterTargetArn") == f"<{dead}.Arn>"
    ]
    assert len(fed) == {"labels": 1, "explain": 2}[verb]


def test_no_message_returns_while_it_is_being_processed(judged: Synthesized) -> None:
    queues = {f"<{queue.logical_id}.Arn>": queue for queue in judged.all("AWS::SQS::Queue")}
    functions = {f"<{one.logical_id}>": one for one in judged.all("AWS::Lambda::Function")}
    for mapping in judged.all("AWS::Lambda::EventSourceMapping"):
        queue = queues[mapping.properties["EventSourceArn"]]
        function = functions[mapping.properties["FunctionName"]]
        assert queue.properties["VisibilityTimeout"] > function.properties["Timeout"]


def test_explain_has_a_quarter_of_an_hour(judged: Synthesized) -> None:
    assert judged.function("explain").properties["Timeout"] == 900


def test_explain_asks_exactly_the_endpoints_it_is_told_to(judged: Synthesized) -> None:
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/"
    # SageMaker writes names in lower case in ARNs.
    for name in ("Churn-EU", "churn-eu"):
        assert may(judged, "explain", "sagemaker:InvokeEndpoint", arn + name)
    for name in ("churn", "fraud", "plain", "churn-eu-2"):
        assert not may(judged, "explain", "sagemaker:InvokeEndpoint", arn + name)
    for verb in ("profile", "labels", "evaluate", "baseline", "notify"):
        assert not may(judged, verb, "sagemaker:InvokeEndpoint", arn + "churn-eu")


@pytest.mark.parametrize("verb", ["explain", "baseline", "evaluate", "profile", "labels"])
def test_the_model_that_a_monitor_names_is_read_by_what_explains(
    judged: Synthesized, verb: str
) -> None:
    named, other = (f"arn:aws:s3:::team-models/{name}.json" for name in ("fraud", "other"))
    assert may(judged, verb, "s3:GetObject", named) == (verb in ("explain", "baseline"))
    assert not may(judged, verb, "s3:GetObject", other)


def test_a_models_name_without_a_bucket_is_a_key_of_the_store() -> None:
    stacks = synthesize(monitor("fraud", attribution={"model": "shared/fraud.json"}))
    for verb in ("explain", "baseline"):
        assert may(stacks, verb, "s3:GetObject", f"{STORE}/shared/fraud.json")
        assert not may(stacks, verb, "s3:GetObject", f"{STORE}/shared/other.json")
    assert "sagemaker:InvokeEndpoint" not in json.dumps(stacks.templates)


def test_without_outcomes_and_attributions_nothing_of_this_is_deployed(
    varied: Synthesized, default: Synthesized
) -> None:
    for stacks in (varied, default):
        handlers = {one.properties["Handler"] for one in stacks.all("AWS::Lambda::Function")}
        assert not handlers & {"lambdas.labels.handler", "lambdas.explain.handler"}
        for room in ("predictions", "samples", "received", "matched", "attributions"):
            for verb in ("profile", "evaluate", "baseline", "notify"):
                for action in ("s3:GetObject", "s3:PutObject"):
                    assert not may(stacks, verb, action, f"{STORE}/{ROOMS[room]}")
        text = json.dumps([stacks.templates["Monitoring"], stacks.templates["Alerts"]])
        for word in ("GroundTruth", "Evaluated", "InvokeEndpoint", "QualityDecay", "LabelCoverage"):
            assert word not in text


@pytest.mark.parametrize(
    ("settings", "deployed", "written"),
    [
        ({"prediction": "score", "outcomes": {}}, {"labels"}, {"predictions"}),
        ({"attribution": {}}, {"explain"}, {"samples"}),
        (
            {
                "prediction": "score",
                "outcomes": {},
                "bias": {"facets": [{"column": "sex", "values": ["f"]}]},
            },
            {"labels"},
            {"predictions", "samples"},
        ),
    ],
)
def test_each_block_brings_its_own_part_only(
    settings: dict[str, Any], deployed: set[str], written: set[str]
) -> None:
    stacks = synthesize(monitor(**settings))
    verbs = {one.properties["Handler"].split(".")[1] for one in stacks.all("AWS::Lambda::Function")}
    assert verbs == {"profile", "baseline", "evaluate", "notify"} | deployed
    assert grants(stacks, "profile", "s3:PutObject") == {"profiles", "quarantine"} | written
    read = grants(stacks, "evaluate", "s3:GetObject")
    assert ("predictions" in read) == ("labels" in deployed)
    assert ("samples" in read) == ("samples" in written)
    assert ("attributions" in read) == ("explain" in deployed)


@pytest.mark.parametrize(
    ("variant", "kinds"),
    [
        ("churn-AllTraffic", {"quality-decay", "concept-drift"}),
        ("churn-by-region-green", set(OUTCOME_KINDS)),
        ("fraud-AllTraffic", {"attribution-drift"}),
        ("plain-AllTraffic", set()),
    ],
)
def test_what_is_decided_about_outcomes_rings_and_is_part_of_the_monitors_alarm(
    judged: Synthesized, variant: str, kinds: set[str]
) -> None:
    names = {one.properties["AlarmName"] for one in judged.all("AWS::CloudWatch::Alarm")}
    found = {kind for kind in OUTCOME_KINDS if f"staging-{variant}-{kind}" in names}
    assert found == kinds
    composite = judged.one(
        "AWS::CloudWatch::CompositeAlarm", AlarmName=f"staging-{variant.rpartition('-')[0]}"
    )
    for kind in kinds:
        alarm = judged.alarm(f"staging-{variant}-{kind}")
        assert (alarm["Namespace"], alarm["MetricName"]) == ("driftgauge", OUTCOME_KINDS[kind])
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 1)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        # Until the labels are complete enough a window says nothing.
        assert alarm["TreatMissingData"] == "ignore"
        assert 80 < len(alarm["AlarmDescription"]) <= 1024
        assert f'ALARM("staging-{variant}-{kind}")' in composite.properties["AlarmRule"]


def test_strict_mode_estimates_nothing_and_has_no_alarm_on_the_gap() -> None:
    stacks = synthesize(monitor(prediction="score", outcomes={}, mode="strict"))
    names = {one.properties["AlarmName"] for one in stacks.all("AWS::CloudWatch::Alarm")}
    assert "driftgauge-churn-AllTraffic-quality-decay" in names
    assert "driftgauge-churn-AllTraffic-concept-drift" not in names
    (board,) = stacks.all("AWS::CloudWatch::Dashboard")
    assert "EstimatedQuality" not in board.properties["DashboardBody"]
    assert "QualityGap" not in board.properties["DashboardBody"]


def test_triggers_of_several_alarms_have_an_alarm_of_their_own_that_tells_nobody(
    judged: Synthesized,
) -> None:
    name = "staging-churn-AllTraffic-retraining"
    alarm = judged.one("AWS::CloudWatch::CompositeAlarm", AlarmName=name)
    own = "staging-churn-AllTraffic-"
    assert alarm.properties["AlarmRule"] == (
        f'ALARM("{own}quality-decay") OR '
        f'(ALARM("{own}prediction-drift") AND ALARM("{own}feature-drift"))'
    )
    assert "AlarmActions" not in alarm.properties
    assert 80 < len(alarm.properties["AlarmDescription"]) <= 1024
    # The rule names them, so CloudFormation has to be told to make them first.
    resources = judged.templates["Monitoring"]["Resources"]
    before = {resources[one]["Properties"]["AlarmName"] for one in alarm.attributes["DependsOn"]}
    assert before >= {f"{own}quality-decay", f"{own}prediction-drift", f"{own}feature-drift"}
    for composite in judged.all("AWS::CloudWatch::CompositeAlarm"):
        assert name not in composite.properties["AlarmRule"]


def machine(stacks: Synthesized, name: str) -> str:
    found = stacks.one("AWS::StepFunctions::StateMachine", StateMachineName=name)
    return f"<{found.logical_id}>"


def test_that_alarm_and_none_of_its_parts_starts_the_retraining(judged: Synthesized) -> None:
    own = "staging-churn-AllTraffic-"
    started = [machine(judged, "staging-churn-retraining")]
    assert targets_of(judged, alarm_changed(f"{own}retraining", "ALARM", "OK")) == started
    assert targets_of(judged, alarm_changed(f"{own}retraining", "OK", "ALARM")) == []
    for kind in ("quality-decay", "prediction-drift", "feature-drift"):
        assert targets_of(judged, alarm_changed(own + kind, "ALARM", "OK")) == []


def test_triggers_of_one_alarm_each_start_the_retraining_themselves(judged: Synthesized) -> None:
    started = [machine(judged, "staging-churn-by-region-retraining")]
    for kind in ("bias-drift", "quality-decay"):
        name = f"staging-churn-by-region-green-{kind}"
        assert targets_of(judged, alarm_changed(name, "ALARM", "OK")) == started
    names = {one.properties["AlarmName"] for one in judged.all("AWS::CloudWatch::CompositeAlarm")}
    assert names == {
        "staging-churn",
        "staging-churn-by-region",
        "staging-fraud",
        "staging-plain",
        "staging-churn-AllTraffic-retraining",
    }


@pytest.fixture(scope="module")
def rows(judged: Synthesized) -> dict[str, list[dict[str, Any]]]:
    """The graphs of the dashboard by monitor."""
    board = judged.one("AWS::CloudWatch::Dashboard", DashboardName="staging")
    found: dict[str, list[dict[str, Any]]] = {}
    for widget in json.loads(board.properties["DashboardBody"])["widgets"]:
        if widget["type"] == "text":
            name = widget["properties"]["markdown"].split("\n")[0].removeprefix("## ")
        found.setdefault(name, []).append(widget)
    return found


def drawn(widgets: list[dict[str, Any]]) -> set[str]:
    return {
        metric[1] for one in widgets for metric in one["properties"].get("metrics", []) if metric
    }


LABEL_METRICS = {
    "RealisedQuality",
    "EstimatedQuality",
    "QualityGap",
    "LabelCoverage",
    "LabelDelay",
    "MatchedLabels",
    "UnmatchedLabels",
    "RejectedLabels",
}


def test_the_dashboard_draws_what_is_monitored_and_no_more(
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    attributions = {"AttributionNdcg", "AttributionDrift"}
    base = drawn(rows["plain"])
    assert drawn(rows["churn"]) - base == LABEL_METRICS
    assert drawn(rows["fraud"]) - base == attributions
    # The monitor without alarms on its endpoint has the same graphs.
    assert drawn(rows["churn-by-region"]) - base == {*LABEL_METRICS, *attributions, "BiasDrift"}


def test_quality_is_drawn_with_its_name_estimated_and_by_labels_with_the_gap_beside(
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    (quality,) = [one for one in rows["churn"] if "Quality" in one["properties"].get("title", "")]
    assert quality["properties"]["title"] == "Quality: accuracy"
    sides = {m[1]: m[-1].get("yAxis", "left") for m in quality["properties"]["metrics"]}
    assert sides == {"RealisedQuality": "left", "EstimatedQuality": "left", "QualityGap": "right"}


def test_no_two_widgets_of_the_wider_dashboard_overlap(
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    cells: set[tuple[int, int]] = set()
    for widget in (one for row in rows.values() for one in row):
        own = {
            (widget["x"] + column, widget["y"] + line)
            for column in range(widget["width"])
            for line in range(widget["height"])
        }
        assert not cells & own
        assert widget["x"] + widget["width"] <= 24
        cells |= own


def test_the_alarm_that_starts_a_retraining_is_shown(
    judged: Synthesized, rows: dict[str, list[dict[str, Any]]]
) -> None:
    alarm = judged.one(
        "AWS::CloudWatch::CompositeAlarm", AlarmName="staging-churn-AllTraffic-retraining"
    )
    (widget,) = [one for one in rows["churn"] if one["type"] == "alarm"]
    assert f"<{alarm.logical_id}.Arn>" in widget["properties"]["alarms"]


def test_a_deployment_with_outcomes_has_no_unexplained_finding(judged: Synthesized) -> None:
    assert findings(judged.app) == set()
