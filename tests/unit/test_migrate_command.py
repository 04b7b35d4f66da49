"""`driftgauge migrate` as a command, and what it asks of SageMaker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from driftgauge.cli import main
from driftgauge.config import load_monitors
from driftgauge.errors import ObjectNotFoundError, StoreError
from driftgauge.migrate import migrate_all, read_documents
from driftgauge.store.services import describe_schedule
from tests.unit.model_monitor_answers import (
    as_printed,
    definition,
    endpoint,
    inline_definition,
    schedule,
)
from tests.unit.test_migrate import usual

# Through the API


def stubbed_client() -> tuple[Any, Stubber]:
    client = boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    return client, Stubber(client)


def test_a_schedule_is_described_with_its_definition_and_its_endpoint() -> None:
    client, stub = stubbed_client()
    stub.add_response(
        "describe_monitoring_schedule", schedule(), {"MonitoringScheduleName": "Churn-Hourly"}
    )
    stub.add_response(
        "describe_data_quality_job_definition",
        definition(),
        {"JobDefinitionName": "churn-definition"},
    )
    stub.add_response("describe_endpoint", endpoint(), {"EndpointName": "churn-prod"})
    with stub:
        answers = describe_schedule("Churn-Hourly", client=client)
        stub.assert_no_pending_responses()
    (one,) = migrate_all(read_documents([("live", answers)]))
    assert one.yaml == usual().yaml


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("ModelQuality", "describe_model_quality_job_definition"),
        ("ModelBias", "describe_model_bias_job_definition"),
        ("ModelExplainability", "describe_model_explainability_job_definition"),
    ],
)
def test_each_type_has_a_definition_of_its_own(kind: Any, operation: str) -> None:
    client, stub = stubbed_client()
    stub.add_response("describe_monitoring_schedule", schedule(kind=kind))
    stub.add_response(operation, definition(kind=kind))
    stub.add_client_error("describe_endpoint", "ValidationException")
    with stub:
        answers = describe_schedule("x", client=client)
    assert len(answers) == 2


def test_a_definition_inside_the_schedule_is_not_asked_for() -> None:
    client, stub = stubbed_client()
    stub.add_response("describe_monitoring_schedule", schedule(inline=inline_definition()))
    stub.add_response("describe_endpoint", endpoint())
    with stub:
        assert len(describe_schedule("x", client=client)) == 2


@pytest.mark.parametrize(
    ("code", "error"), [("ResourceNotFound", ObjectNotFoundError), ("AccessDenied", StoreError)]
)
def test_a_schedule_that_cannot_be_described_is_named(code: str, error: type[Exception]) -> None:
    client, stub = stubbed_client()
    stub.add_client_error("describe_monitoring_schedule", code)
    with stub, pytest.raises(error, match="'gone'"):
        describe_schedule("gone", client=client)


def test_an_endpoint_that_may_not_be_described_is_an_error() -> None:
    client, stub = stubbed_client()
    stub.add_response("describe_monitoring_schedule", schedule(inline=inline_definition()))
    stub.add_client_error("describe_endpoint", "AccessDeniedException")
    with stub, pytest.raises(StoreError, match="AccessDenied"):
        describe_schedule("x", client=client)


# The command


def write(folder: Path, *answers: dict[str, Any]) -> list[str]:
    paths = []
    for number, answer in enumerate(answers):
        path = folder / f"{number}.json"
        path.write_text(json.dumps(as_printed(answer)), encoding="utf-8")
        paths.append(str(path))
    return paths


def test_the_command_writes_files_and_prints_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, schedule(), definition(), endpoint())
    out = tmp_path / "monitors"
    assert main(["migrate", *files, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {out / 'churn-hourly.yaml'}" in printed
    assert "aws s3 cp s3://b/baseline/statistics.json" in printed
    assert "no equivalent:" in printed
    assert load_monitors(out)["churn-hourly"] == usual().config


def test_the_command_replaces_no_file_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, schedule(), definition(), endpoint())
    out = tmp_path / "monitors"
    assert main(["migrate", *files, "--out", str(out)]) == 0
    (out / "churn-hourly.yaml").write_text("mine", encoding="utf-8")
    assert main(["migrate", *files, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (out / "churn-hourly.yaml").read_text() == "mine"
    assert main(["migrate", *files, "--out", str(out), "--force"]) == 0
    assert load_monitors(out)["churn-hourly"] == usual().config


def test_the_command_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 2
    assert "nothing to migrate" in capsys.readouterr().err
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    assert main(["migrate", str(broken), "--out", str(tmp_path)]) == 2
    assert f"{broken}: not JSON" in capsys.readouterr().err
    assert main(["migrate", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_the_command_asks_sagemaker_for_schedules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def describe(name: str, *, region: str | None = None) -> list[Any]:
        asked.append((name, region))
        return [schedule(name, inline=inline_definition()), endpoint()]

    monkeypatch.setattr("driftgauge.store.services.describe_schedule", describe)
    arguments = ["--schedule", "a", "--schedule", "b", "--region", "eu-west-1"]
    assert main(["migrate", *arguments, "--out", str(tmp_path), "--metrics"]) == 0
    assert asked == [("a", "eu-west-1"), ("b", "eu-west-1")]
    loaded = load_monitors(tmp_path)
    assert [one.name for one in loaded.monitors] == ["a", "b"]
    assert loaded["b"].model_monitor_metrics is not None
