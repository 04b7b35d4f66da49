from __future__ import annotations

import ast

import pytest

from tests.infrastructure.synthesized import ROOT, Synthesized


def test_every_function_runs_on_arm_with_the_one_runtime_and_logs_json(
    default: Synthesized,
) -> None:
    functions = default.all("AWS::Lambda::Function")
    assert len(functions) == 9
    for function in functions:
        assert function.properties["Architectures"] == ["arm64"]
        assert function.properties["Runtime"] == "python3.13"
        assert function.properties["LoggingConfig"]["LogFormat"] == "JSON"
        assert len(function.properties["Layers"]) == 1


def test_every_handler_exists(default: Synthesized) -> None:
    for function in default.all("AWS::Lambda::Function"):
        package, module, name = function.properties["Handler"].split(".")
        source = (ROOT / package / f"{module}.py").read_text(encoding="utf-8")
        defined = {
            node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
        }
        assert name in defined, function.properties["Handler"]


def test_all_functions_share_one_code_and_one_layer(default: Synthesized) -> None:
    code = {str(one.properties["Code"]) for one in default.all("AWS::Lambda::Function")}
    layers = {str(one.properties["Content"]) for one in default.all("AWS::Lambda::LayerVersion")}
    assert len(code) == len(layers) == 1


def test_every_function_writes_to_a_log_group_that_forgets(varied: Synthesized) -> None:
    groups = {f"<{one.logical_id}>": one for one in varied.all("AWS::Logs::LogGroup")}
    for group in groups.values():
        assert group.properties["RetentionInDays"] == 90
    for function in varied.all("AWS::Lambda::Function"):
        group = groups[function.properties["LoggingConfig"]["LogGroup"]]
        name = function.properties["FunctionName"]
        assert group.properties["LogGroupName"] == f"/aws/lambda/{name}"


@pytest.mark.parametrize("verb", ["profile", "evaluate", "baseline", "notify", "guard", "promote"])
def test_a_function_knows_its_deployment_and_store(varied: Synthesized, verb: str) -> None:
    function = varied.function(verb).properties
    assert function["FunctionName"] == f"staging-{verb}"
    assert (
        function["Environment"]["Variables"].items()
        >= {
            "DEPLOYMENT": "staging",
            "STORE_BUCKET": "<Store1D2A845B>",
            "POWERTOOLS_SERVICE_NAME": verb,
            "POWERTOOLS_METRICS_NAMESPACE": "driftgauge",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }.items()
    )


def test_notify_knows_where_alerts_go_and_where_to_look(default: Synthesized) -> None:
    variables = default.function("notify").properties["Environment"]["Variables"]
    topic = default.logical_id("AWS::SNS::Topic", "Topic")
    assert variables["ALERT_TOPIC_ARN"] == f"<{topic}>"
    assert variables["DASHBOARD_NAME"] == "driftgauge"
    assert variables["EVALUATE_LOG_GROUP"] == "/aws/lambda/driftgauge-evaluate"


def test_prepare_finds_the_captures_of_monitors_without_a_bucket(default: Synthesized) -> None:
    variables = default.function("prepare").properties["Environment"]["Variables"]
    assert variables["CAPTURE_BUCKET"] == "<CapturesDE857D5D>"
