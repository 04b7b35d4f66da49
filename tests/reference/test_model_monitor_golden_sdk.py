"""Files that are loaded with the SageMaker Python SDK itself (see requirements-compat.txt)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftgauge.baseline import build_baseline, write_baseline
from driftgauge.baseline_files import decode_files, recover_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.verdict import Violation
from driftgauge.profile.build import profile_columns
from driftgauge.report.model_monitor import encode_statistics, encode_violations
from driftgauge.store import MonitorStore, S3Objects
from driftgauge.windows import Window
from tests.columns import column_of

pytest.importorskip("sagemaker", reason="the SageMaker SDK is not installed: make test-sdk")
moto = pytest.importorskip("moto")

BUCKET = "baselines"
HOUR = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    from sagemaker.session import Session

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield Session(boto_session=boto3.Session(), default_bucket=BUCKET)


def training_data(rows: int) -> dict[str, Column]:
    chance = np.random.default_rng(1)
    words = chance.choice(["north", "south"], rows).tolist()
    return {
        "score": Column(numbers=chance.random(rows), types=TypeCounts(fractional=rows)),
        "age": Column(
            numbers=chance.poisson(40, rows).astype(np.float64), types=TypeCounts(integral=rows)
        ),
        "region": column_of(words),
    }


def baseline_files(rows: int) -> dict[str, bytes]:
    table = Table(rows=rows, columns=training_data(rows))
    files: dict[str, bytes] = {}
    write_baseline(build_baseline([table], version="v", created=HOUR), files.__setitem__)
    return files


@pytest.mark.parametrize("rows", [300, 30_000])
def test_the_sdk_loads_a_baselines_files(session: Any, rows: int) -> None:
    from sagemaker.model_monitor import Constraints, Statistics

    files = baseline_files(rows)
    statistics = Statistics.from_string(
        files["statistics.json"].decode(), sagemaker_session=session
    )
    assert statistics.body_dict == json.loads(files["statistics.json"])
    assert statistics.body_dict["dataset"]["item_count"] == rows
    constraints = Constraints.from_string(
        files["constraints.json"].decode(), sagemaker_session=session
    )
    assert constraints.body_dict == json.loads(files["constraints.json"])


def test_constraints_that_the_sdk_edited_and_saved_are_read(session: Any) -> None:
    from sagemaker.model_monitor import Constraints

    files = baseline_files(300)
    constraints = Constraints.from_string(
        files["constraints.json"].decode(), sagemaker_session=session
    )
    constraints.set_monitoring(enable_monitoring=False, feature_name="age")
    constraints.set_monitoring(enable_monitoring=False)
    constraints.save(f"s3://{BUCKET}/edited/constraints.json")
    edited = S3Objects(bucket=BUCKET).read("edited/constraints.json")
    baseline = recover_baseline(
        decode_files(statistics=files["statistics.json"], constraints=edited),
        outputs=("score",),
        created=HOUR,
    )
    assert baseline.constraints.settings.evaluate_constraints is False
    assert baseline.constraints["age"].overrides == {"evaluate_constraints": "Disabled"}
    assert baseline.spec.outputs == ("score",)


def test_the_sdk_reads_a_windows_report_as_that_of_a_monitoring_execution(session: Any) -> None:
    from sagemaker.model_monitor import MonitoringExecution
    from sagemaker.processing import ProcessingOutput

    table = Table(rows=5_000, columns=training_data(5_000))
    spec = build_baseline([table], version="v", created=HOUR).spec
    profile = profile_columns(spec, training_data(3_000), rows=3_000)
    violation = Violation(
        feature_name="age",
        constraint_check_type="baseline_drift_check",
        description="Numerical distance: 0.27 exceeds numerical threshold: 0.1",
    )
    store = MonitorStore(objects=S3Objects(bucket=BUCKET), monitor="loans")
    window = Window(HOUR, HOUR + timedelta(hours=1))
    for name, data in {
        "statistics.json": encode_statistics(profile),
        "constraint_violations.json": encode_violations((violation,)),
    }.items():
        store.objects.write(store.report_key(variant="AllTraffic", window=window, name=name), data)
    execution = MonitoringExecution(
        sagemaker_session=session,
        job_name="job",
        inputs=[],
        output=ProcessingOutput(
            source="/opt/ml/processing/output",
            destination=f"s3://{BUCKET}/loans/reports/AllTraffic/2026/03/02/10",
        ),
    )
    statistics = execution.statistics().body_dict
    assert [feature["name"] for feature in statistics["features"]] == ["score", "age", "region"]
    assert execution.constraint_violations().body_dict["violations"] == [
        {
            "feature_name": "age",
            "constraint_check_type": "baseline_drift_check",
            "description": "Numerical distance: 0.27 exceeds numerical threshold: 0.1",
        }
    ]
