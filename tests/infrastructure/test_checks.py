"""The policy checks and the validator, on what is deployed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks

from tests.infrastructure.synthesized import ROOT, Synthesized, new_app

_REASONS = "aws:cdk:acknowledged-rules"


def findings(app: cdk.App) -> set[str]:
    report = AwsSolutionsChecks(app).validate_scope(app)
    return {violation.rule_name for violation in report.violations}


def test_the_checks_find_what_is_wrong() -> None:
    app = new_app()
    s3.Bucket(cdk.Stack(app, "Careless"), "Open")
    assert findings(app) == {"AwsSolutions-S1", "AwsSolutions-S10"}


def test_no_variety_of_deployment_has_an_unexplained_finding(varied: Synthesized) -> None:
    assert findings(varied.app) == set()


def test_every_acknowledged_finding_has_a_reason_and_names_what_it_is_about(
    varied: Synthesized,
) -> None:
    acknowledged: dict[str, str] = {}
    for construct in varied.app.node.find_all():
        for entry in construct.node.metadata:
            if entry.type == _REASONS:
                acknowledged |= entry.data
    rules = {rule.removeprefix("Annotation::").partition("[")[0] for rule in acknowledged}
    assert rules == {
        "AwsSolutions-IAM5",
        "AwsSolutions-L1",
        "AwsSolutions-SF2",
        "AwsSolutions-SQS3",
    }
    for rule, reason in acknowledged.items():
        assert len(reason) > 20, rule
        # A wildcard is acknowledged for one resource at a time, never for all of a policy.
        assert "IAM5" not in rule or "[Resource::" in rule


def synth(folder: Path, **context: str) -> subprocess.CompletedProcess[str]:
    """Run the app as `cdk synth` does, with the validator, without the dependency layer."""
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    environment = {name: os.environ[name] for name in os.environ if name != "CDK_VALIDATION"}
    environment |= {
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps({**flags, "aws:cdk:bundling-stacks": [], **context}),
    }
    return subprocess.run(  # noqa: S603  # this interpreter, this checkout's app
        [sys.executable, str(ROOT / "app.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_whole_app_synthesizes_without_a_finding_of_checks_or_validator(
    tmp_path: Path,
) -> None:
    done = synth(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "validation-report.json").read_text(encoding="utf-8"))
    assert report["pluginReports"] == []
    assert "[WARNING]" not in done.stdout + done.stderr
    assert {path.name.partition(".")[0] for path in tmp_path.glob("*.template.json")} == {
        "Storage",
        "Alerts",
        "Monitoring",
        "Retraining",
    }


def test_a_wrong_monitor_stops_the_synth_with_the_path_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "churn.yaml").write_text("name: churn\nendpoint: {nome: churn}\n")
    done = synth(tmp_path / "out", monitors=str(tmp_path))
    assert done.returncode == 1
    assert f"error: {tmp_path / 'churn.yaml'}: endpoint.name" in done.stderr
    assert "Traceback" not in done.stderr
