"""Strict mode against what SageMaker Model Monitor is known to have found."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.baseline_files import decode_files, recover_baseline
from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.table import Table, read_table
from driftgauge.checks.constraints import (
    ComparisonMethod,
    MonitoringSettings,
    decode_constraints,
    encode_constraints,
)
from driftgauge.checks.strict import judge_strictly
from driftgauge.checks.strict_distance import ModelMonitorDistance, model_monitor_distance
from driftgauge.columns import Rejects
from driftgauge.config import DecisionSettings
from driftgauge.drift import deequ
from driftgauge.drift.decision import judge_window
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.profile.build import profile_batch, profile_columns
from driftgauge.profile.cells import choose_feature
from driftgauge.profile.profile import FeatureProfile, Profile, merge_profiles
from driftgauge.profile.spec import Kind, ProfileSpec
from driftgauge.windows import Window
from tests.columns import Value, column_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
# What AWS's introduction to Model Monitor prints of its violations.
PUBLISHED = (
    "Data type match requirement is not met. Expected data type: Integral, Expected match: 100.0%. "
    "Observed: Only 99.64592817400101% of data is Integral."
)


def baseline_of(path: Path, *, header: bool, outputs: tuple[str, ...] = ()) -> Baseline:
    with path.open("rb") as stream:
        tables = read_table(stream, source=path.name, format="csv", header=header)
        return build_baseline(tables, version="1", outputs=outputs, created=NOW)


def captured(rows: Sequence[str], predictions: Sequence[float]) -> bytes:
    """Write capture records of one CSV row each, a second apart."""

    def payload(mode: str, data: str) -> dict[str, str]:
        return {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}

    records = [
        {
            "captureData": {
                "endpointInput": payload("INPUT", row),
                "endpointOutput": payload("OUTPUT", repr(prediction)),
            },
            "eventMetadata": {
                "eventId": str(i),
                "inferenceTime": (NOW + timedelta(seconds=i)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "eventVersion": "0",
        }
        for i, (row, prediction) in enumerate(zip(rows, predictions, strict=True))
    ]
    return "\n".join(json.dumps(record) for record in records).encode()


def profile_of(baseline: Baseline, data: bytes) -> Profile:
    rejects = Rejects()
    schema = CaptureSchema(inputs=baseline.spec.inputs, outputs=baseline.spec.outputs)
    batches = read_capture(io.BytesIO(data), schema=schema, source="captures", rejects=rejects)
    profile = merge_profiles((profile_batch(baseline.spec, b) for b in batches), baseline.spec)
    assert rejects.total == 0
    return profile


def judged(baseline: Baseline, profile: Profile) -> WindowVerdict:
    return judge_window(
        baseline=baseline,
        profile=profile,
        decision=DecisionSettings(),
        features={},
        monitor="churn",
        variant="AllTraffic",
        window=Window(NOW, NOW + timedelta(hours=1)),
        evaluated_at=NOW,
        mode="strict",
    )


class Churn:
    """The traffic of AWS's introduction: a sample of the test rows, then all of them over and over.

    The first line of the test rows is a header that a tool has made numbers of (0.1, 0.2, ...).
    The published share is that of 7 such lines in 1,977 rows, which is what a sample of 180 rows
    and then 1,797 rows of the file repeated come to.
    """

    def __init__(self, shared: Path) -> None:
        folder = shared / "data" / "amazon-sagemaker-examples" / "churn_intro"
        training = folder / "training-dataset-with-header.csv"
        lines = (folder / "test-dataset-input-cols.csv").read_text("utf-8").splitlines()
        self.rows = [*lines[:180], *(lines * 6)[:1797]]
        source = random.Random(1)  # noqa: S311
        self.predictions = [source.betavariate(0.4, 2.2) for _ in self.rows]
        self.baseline = baseline_of(training, header=True, outputs=("Churn",))
        self.profile = profile_of(self.baseline, captured(self.rows, self.predictions))
        with training.open(encoding="utf-8", newline="") as stream:
            self.header, *self.training = csv.reader(stream)


@pytest.fixture(scope="module")
def churn(shared: Path) -> Churn:
    return Churn(shared)


def test_the_churn_endpoint_has_the_violations_of_aws_and_the_drift_that_deequ_misses(
    churn: Churn,
) -> None:
    verdict = judged(churn.baseline, churn.profile)
    assert verdict.rows == 1977
    checks = Counter(v.constraint_check_type for v in verdict.violations)
    assert checks == {"data_type_check": 60, "baseline_drift_check": 1}
    described = Counter(
        v.description for v in verdict.violations if v.constraint_check_type == "data_type_check"
    )
    assert described == {PUBLISHED: 59, PUBLISHED.replace("99.64592817400101", "0.0"): 1}
    drifted = [f for f in verdict.features if f.verdict == "drift"]
    assert [f.name for f in drifted] == ["Churn"]
    assert drifted[0].statistic == pytest.approx(0.8607, abs=5e-5)
    (wrong,) = (v for v in verdict.violations if "Only 0.0%" in v.description)
    assert wrong.feature_name == "Churn"


def test_the_duplicates_that_deequ_drops_are_all_the_difference_to_aws(churn: Churn) -> None:
    largest = 0.0
    for i, name in enumerate(churn.header):
        before = [float(row[i]) for row in churn.training]
        now = (
            churn.predictions
            if name == "Churn"
            else [float(row.split(",")[i - 1]) for row in churn.rows]
        )
        distance = deequ.numeric_distance(before, now)
        largest = max(largest, deequ.robust(distance, len(set(before)), len(set(now))))
    assert largest == 0.0


def test_the_distance_from_cells_is_that_of_the_values_within_one_cell(churn: Churn) -> None:
    verdict = {f.name: f for f in judged(churn.baseline, churn.profile).features}
    for i, name in enumerate(churn.header):
        if name == "Churn":
            continue
        before = np.sort([float(row[i]) for row in churn.training])
        now = np.sort([float(row.split(",")[i - 1]) for row in churn.rows])
        at = np.union1d(before, now)
        exact = np.abs(
            np.searchsorted(before, at, side="right") / before.shape[0]
            - np.searchsorted(now, at, side="right") / now.shape[0]
        ).max()
        found = verdict[name].statistic
        assert found is not None
        assert exact - 1 / 256 <= found <= exact + 1e-12


def features_of(
    kind: Kind, baseline: list[Value], window: list[Value]
) -> tuple[FeatureProfile, FeatureProfile]:
    before, now = column_of(baseline), column_of(window)
    spec = ProfileSpec(version="1", features=(choose_feature("x", "input", before, kind),))
    return (
        profile_columns(spec, {"x": before}, rows=len(baseline)).feature("x"),
        profile_columns(spec, {"x": now}, rows=len(window)).feature("x"),
    )


def spread_out(counts: dict[str, int]) -> list[Value]:
    return [word for word, count in counts.items() for _ in range(count)]


def deequ_cases(shared: Path) -> list[dict[str, Any]]:
    document = json.loads((shared / "known_answers" / "deequ_distance.json").read_text("utf-8"))
    return [dict(case) for case in document["cases"]]


def test_deequs_published_distances_come_out_of_profiles(shared: Path) -> None:
    checked = set()
    for case in deequ_cases(shared):
        if case["id"].startswith("deequ_linf") and case["alpha"] is None:
            pair = features_of("categorical", spread_out(case["a"]), spread_out(case["b"]))
        elif case["id"].startswith("deequ_numeric"):
            pair = features_of("discrete", list(case["a"]), list(case["b"]))
        else:
            continue
        method: ComparisonMethod = "Robust" if "robust" in case["stat"] else "Simple"
        found = model_monitor_distance(*pair, MonitoringSettings(comparison_method=method))
        assert isinstance(found, ModelMonitorDistance)
        assert found.value == pytest.approx(case["expected"], abs=1e-12), case["id"]
        checked.add(case["id"])
    assert len(checked) == 6


def test_deequs_published_chi_squared_tests_come_out_of_profiles(shared: Path) -> None:
    settings = MonitoringSettings(categorical_drift_method="ChiSquared")
    checked = 0
    for case in deequ_cases(shared):
        if "sample" not in case:
            continue
        sample, expected = spread_out(case["sample"]), spread_out(case["expected_counts"])
        found = model_monitor_distance(*features_of("categorical", expected, sample), settings)
        checked += 1
        if case["expected_is_nan"]:
            assert isinstance(found, str), case["id"]
            continue
        assert isinstance(found, ModelMonitorDistance)
        value = found.statistic if case["returns"] == "statistic" else found.value
        assert value == pytest.approx(case["expected"], rel=1e-9), case["id"]
    assert checked == 11


def test_a_dataset_passes_its_own_constraints_and_fails_those_of_another_type(
    shared: Path,
) -> None:
    # AWS's integration tests expect the first check to succeed and the second one to fail.
    folder = shared / "data" / "sagemaker-python-sdk@v2.257.6" / "tests" / "data" / "pipeline"
    folder = folder / "quality_check_step" / "data_quality"
    baseline = baseline_of(folder / "baseline_dataset.csv", header=False)
    found = {}
    for name in ("good_cases", "bad_cases"):
        constraints = decode_constraints((folder / name / "constraints.json").read_bytes())
        found[name] = judge_strictly(
            baseline=Baseline(
                spec=baseline.spec,
                profile=baseline.profile,
                constraints=constraints,
                statistics=baseline.statistics,
                created=NOW,
            ),
            profile=baseline.profile,
            features={},
        ).violations
    assert found["good_cases"] == ()
    assert [(v.feature_name, v.constraint_check_type) for v in found["bad_cases"]] == [
        ("_c5", "data_type_check")
    ]


def monitor_folder(shared: Path) -> Path:
    return shared / "data" / "sagemaker-python-sdk@v2.257.6" / "tests" / "data" / "monitor"


def test_the_baseline_of_2019_is_checked(shared: Path) -> None:
    folder = monitor_folder(shared)
    statistics = (folder / "statistics.json").read_bytes()
    constraints = (folder / "constraints.json").read_bytes()
    baseline = recover_baseline(
        decode_files(statistics=statistics, constraints=constraints), created=NOW
    )
    (message,) = json.loads(statistics)["features"]
    (bucket,) = message["string_statistics"]["distribution"]["categorical"]["buckets"]
    values: list[Value] = [bucket["value"]] * 100
    same = {"message": column_of(values), "second_message": column_of(values)}
    assert judged(baseline, profile_columns(baseline.spec, same, rows=100)).violations == ()
    changed: list[Value] = [*values[:99], "something else"]
    window = {"message": column_of(changed), "second_message": column_of(changed)}
    verdict = judged(baseline, profile_columns(baseline.spec, window, rows=100))
    # Its comparison_threshold of 1 lets any distance pass; one column has no statistics.
    text = "Value: 0.99 does not meet the constraint requirement! "
    assert [
        (v.feature_name, v.constraint_check_type, v.description) for v in verdict.violations
    ] == [
        ("message", "categorical_values_check", text),
        ("second_message", "categorical_values_check", text),
    ]
    assert [feature.distance for feature in verdict.features] == [0.0, None]


def test_a_baseline_of_model_monitors_files_alone_finds_the_same(
    churn: Churn,
) -> None:
    files = decode_files(
        statistics=churn.baseline.statistics,
        constraints=encode_constraints(churn.baseline.constraints),
    )
    recovered = recover_baseline(files, outputs=("Churn",), created=NOW)
    profile = profile_of(recovered, captured(churn.rows, churn.predictions))
    verdict, whole = judged(recovered, profile), judged(churn.baseline, churn.profile)
    assert Counter((v.feature_name, v.constraint_check_type) for v in verdict.violations) == (
        Counter((v.feature_name, v.constraint_check_type) for v in whole.violations)
    )
    for found, known in zip(verdict.features, whole.features, strict=True):
        # 64 cells of a compressed sketch instead of 256 of the values.
        assert found.statistic == pytest.approx(known.statistic, abs=1 / 64)


def test_the_violations_of_2019_come_out_for_the_shares_they_name(shared: Path) -> None:
    real = json.loads((monitor_folder(shared) / "constraint_violations.json").read_text("utf-8"))
    expected = {(v["feature_name"], v["constraint_check_type"]): v for v in real["violations"]}
    # 999 rows of taxi rides: the constraints' type, and how many values are of it.
    fractional = {
        "fare_amount": 499,
        "total_amount": 986,
        "extra": 985,
        "tip_amount": 497,
    }
    before: dict[str, list[Value]] = {name: [0.5, 1.5] * 50 for name in fractional}
    now: dict[str, list[Value]] = {
        name: [2.5 if i < count else 2 for i in range(999)] for name, count in fractional.items()
    }
    before["tolls_amount"], now["tolls_amount"] = [0, 1] * 50, [0] * 973 + [5.76] * 26
    before["congestion_surcharge"], now["congestion_surcharge"] = [0, 1] * 50, [None] * 999
    before["store_and_fwd_flag"] = spread_out({"Y": 100})
    now["store_and_fwd_flag"] = spread_out({"Y": 9, "N": 990})
    table = Table(rows=100, columns={name: column_of(v) for name, v in before.items()})
    baseline = build_baseline([table], version="1", created=NOW)
    window = {name: column_of(values) for name, values in now.items()}
    verdict = judged(baseline, profile_columns(baseline.spec, window, rows=999))
    found = {(v.feature_name, v.constraint_check_type): v for v in verdict.quality_violations}
    assert found.keys() == expected.keys()
    for key, violation in found.items():
        share = float(expected[key]["description"].split()[1])
        if key[1] == "data_type_check":
            # Model Monitor has written another sentence here since then.
            assert f"Only {share * 100}% of data" in violation.description
        else:
            assert violation.description == expected[key]["description"]
