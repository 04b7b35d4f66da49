"""Real files of Model Monitor and Clarify: reproduced, recovered, written back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.baseline_files import decode_files, recover_baseline
from driftgauge.capture.table import read_table
from driftgauge.checks.clarify_analysis import decode_analysis
from driftgauge.checks.constraints import decode_constraints, encode_constraints
from driftgauge.errors import BaselineError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.codec import decode_profile, encode_profile
from driftgauge.profile.spec import ProfileSpec
from driftgauge.report.model_monitor import encode_statistics
from driftgauge.report.statistics import decode_statistics

CREATED = datetime(2026, 3, 1, tzinfo=UTC)
SDK = "data/sagemaker-python-sdk@v2.257.6/tests/data"
QUALITY = f"{SDK}/pipeline/quality_check_step/data_quality"


def from_csv(path: Path, *, header: bool, outputs: tuple[str, ...] = ()) -> Baseline:
    with path.open("rb") as stream:
        tables = read_table(stream, source=path.name, format="csv", header=header)
        return build_baseline(tables, version="v", created=CREATED, outputs=outputs)


def assert_alike(theirs: Any, ours: Any, place: str = "") -> None:
    """Equal, but for the last digit of standard deviations: theirs are not correctly rounded."""
    if isinstance(theirs, dict):
        assert theirs.keys() == ours.keys(), place
        for key in theirs:
            assert_alike(theirs[key], ours[key], f"{place}.{key}")
    elif isinstance(theirs, list):
        assert len(theirs) == len(ours), place
        for i, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            assert_alike(one, other, f"{place}[{i}]")
    elif place.endswith(".std_dev"):
        assert ours == pytest.approx(theirs, rel=3e-16), place
    else:
        assert ours == theirs, place


def test_the_statistics_of_six_columns_are_reproduced_from_their_csv(shared: Path) -> None:
    theirs = json.loads((shared / QUALITY / "statistics.json").read_text())
    ours = json.loads(from_csv(shared / QUALITY / "baseline_dataset.csv", header=False).statistics)
    assert len(theirs["features"]) == 6
    assert_alike(theirs, ours)


def test_six_columns_are_recovered_from_their_statistics(shared: Path) -> None:
    folder = shared / QUALITY
    files = decode_files(
        statistics=(folder / "statistics.json").read_bytes(),
        constraints=(folder / "good_cases/constraints.json").read_bytes(),
    )
    recovered = recover_baseline(files, version="v", created=CREATED)
    direct = from_csv(folder / "baseline_dataset.csv", header=False)
    for ours, theirs in zip(recovered.profile.features, direct.profile.features, strict=True):
        assert (ours.spec.kind, ours.spec.edges) == (theirs.spec.kind, theirs.spec.edges)
        assert ours.counts.tolist() == theirs.counts.tolist()
        assert (ours.mean, ours.sum, ours.negative) == (theirs.mean, theirs.sum, theirs.negative)
        assert (ours.minimum, ours.maximum) == (theirs.minimum, theirs.maximum)
    assert recovered.statistics == (folder / "statistics.json").read_bytes()
    # What the profile alone says is what was read, to the last digit.
    said = json.loads(encode_statistics(recovered.profile))["features"]
    read = json.loads(recovered.statistics)["features"]
    for ours_written, theirs_written in zip(said, read, strict=True):
        ours_numbers = ours_written["numerical_statistics"]
        theirs_numbers = theirs_written["numerical_statistics"]
        sketch = ours_numbers["distribution"]["kll"].pop("sketch")
        items = theirs_numbers["distribution"]["kll"].pop("sketch")["data"][0]
        weighed = [v for i, level in enumerate(sketch["data"]) for v in level * 2**i]
        assert recovered.spec[ours_written["name"]].kind == "discrete"
        assert sorted(weighed) == sorted(items)
        assert ours_numbers == theirs_numbers
    stored = decode_profile(encode_profile(recovered.profile), recovered.spec)
    assert encode_profile(stored) == encode_profile(recovered.profile)


def test_all_columns_of_the_churn_data_are_recovered(shared: Path) -> None:
    path = shared / "data/amazon-sagemaker-examples/churn_intro/training-dataset-with-header.csv"
    direct = from_csv(path, header=True, outputs=("Churn",))
    files = decode_files(
        statistics=direct.statistics, constraints=encode_constraints(direct.constraints)
    )
    recovered = recover_baseline(files, outputs=("Churn",), created=CREATED)
    with path.open("rb") as stream:
        tables = list(read_table(stream, source=path.name, format="csv", header=True))
    columns = tables[0].columns
    assert len(tables) == 1
    assert recovered.spec.inputs == direct.spec.inputs
    for ours, theirs in zip(recovered.profile.features, direct.profile.features, strict=True):
        assert (ours.spec.kind, ours.spec.inferred_type) == (
            theirs.spec.kind,
            theirs.spec.inferred_type,
        )
        for name in ("missing", "minimum", "maximum", "mean", "sum", "std_dev", "counted"):
            assert getattr(ours, name) == getattr(theirs, name), (ours.spec.name, name)
        # 2,333 rows: the sketch was compressed once. What it lost is rare.
        spec = ProfileSpec(version="v", features=(ours.spec,))
        true = profile_columns(spec, columns, rows=theirs.rows).features[0]
        ranks = np.cumsum(ours.counts) - np.cumsum(true.counts)
        assert np.abs(ranks).max() <= (2 if ours.spec.kind != "categorical" else 0)


def test_the_files_of_2019_are_a_baseline(shared: Path) -> None:
    folder = shared / SDK / "monitor"
    files = decode_files(
        statistics=(folder / "statistics.json").read_bytes(),
        constraints=(folder / "constraints.json").read_bytes(),
    )
    baseline = recover_baseline(files, created=CREATED)
    message, second = baseline.profile.features
    assert message.spec.categories == ("preproc-not-YET-supported-for-csv-json",)
    assert message.counts.tolist() == [418]
    # Only constraints.json has the second column.
    assert second.spec.categories == message.spec.categories
    assert (second.present, second.counted) == (418, 0)
    assert baseline.constraints.settings.perform_comparison is True
    assert baseline.constraints.settings.domain_content_threshold == 1.0
    assert (
        json.loads(encode_statistics(baseline.profile))["features"][0]
        == (json.loads(baseline.statistics)["features"][0])
    )


def test_constraints_are_suggested_as_the_real_job_does(shared: Path) -> None:
    direct = from_csv(shared / QUALITY / "baseline_dataset.csv", header=False)
    theirs = json.loads((shared / QUALITY / "good_cases/constraints.json").read_text())
    assert json.loads(encode_constraints(direct.constraints)) == theirs


@pytest.mark.parametrize("name", ["statistics.json", "good_cases/constraints.json"])
def test_files_of_model_quality_are_told_apart(name: str, shared: Path) -> None:
    data = (shared / SDK / f"pipeline/quality_check_step/model_quality/{name}").read_bytes()
    read = decode_statistics if name == "statistics.json" else decode_constraints
    with pytest.raises(BaselineError, match="is it the data-quality file"):
        read(data)


def test_every_real_analysis_of_clarify_is_read(shared: Path) -> None:
    folders = [shared / SDK, shared / "data/amazon-sagemaker-examples/extracted_from_notebooks"]
    files = [path for folder in folders for path in folder.rglob("*analysis.json")]
    assert len(files) == 8
    for path in files:
        analysis = decode_analysis(path.read_bytes())
        if path.name.startswith("bias"):
            assert analysis.pre_training is not None
            assert analysis.post_training is not None
            assert len(analysis.pre_training.facets[0].metrics) == 8
            assert len(analysis.post_training.facets[0].metrics) == 13
            assert analysis.post_training.label == "Target"
        elif path.name.startswith("explain"):
            assert len(analysis.explanations[0].global_values) == 14
            assert analysis.explanations[0].method == "kernel_shap"
        else:
            assert analysis.pre_training is not None
            assert analysis.pre_training.facets[0].value_or_threshold.startswith("(0.5, ")
