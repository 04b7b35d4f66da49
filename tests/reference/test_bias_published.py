"""Bias metrics against published values: of Clarify's tests, and of files that AWS made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftgauge.capture.settings import SelectionSettings
from driftgauge.capture.table import read_table
from driftgauge.checks.clarify_analysis import ClarifyAnalysis, decode_analysis
from driftgauge.columns import Column, Rejects
from driftgauge.fairness import metrics
from driftgauge.fairness.counts import BiasCounts, count_bias
from driftgauge.fairness.decision import Flips, judge_bias, judge_bias_strictly
from driftgauge.fairness.files import analysis_of, encode_bias_violations
from driftgauge.fairness.flips import flip_test_of_columns
from driftgauge.fairness.measure import Measured, measure_bias
from driftgauge.fairness.rows import MergedReader, RowSample
from driftgauge.fairness.spec import BiasSpec, Criterion, FacetSpec, Marks
from driftgauge.fairness.verdict import BiasVerdict
from tests.columns import column_of
from tests.unit.bias_world import counted

DIGITS = 1e-14
FEATURES = (
    *("Age", "Workclass", "Fnlwgt", "Education", "Years", "Marital", "Occupation"),
    *("Relationship", "Race", "Sex", "Gain", "Loss", "Hours", "Country"),
)
ADULT = BiasSpec(
    label="Target",
    positive=Criterion(values=("1",)),
    facets=(FacetSpec(column="Sex", sensitive=Criterion(values=("0",))),),
    group="Age",
)
RUNS = "data/amazon-sagemaker-examples/extracted_from_notebooks"


@pytest.fixture(scope="module")
def answers(shared: Path) -> dict[str, Any]:
    path = shared / "known_answers/smclarify_bias.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def both_stages(counts: BiasCounts, *, grouped: bool = False) -> dict[str, Measured]:
    [facet] = counts.facets
    return {
        **measure_bias(facet, "pre_training", grouped=grouped),
        **measure_bias(facet, "post_training", grouped=grouped),
    }


def test_the_metrics_of_clarifys_own_tests_are_reproduced(answers: dict[str, Any]) -> None:
    rows = answers["input"]
    spec = BiasSpec(
        label="label",
        positive=Criterion(values=("1",)),
        facets=(FacetSpec(column="sex", sensitive=Criterion(values=("F",))),),
    )
    counts = counted(spec, labels=rows["label"], predictions=rows["predicted"], sex=rows["sex"])
    found = both_stages(counts)
    known = {
        name: answers["metrics"][name]["reproduced"]
        for name in ("CI", "DI", "DCA", "DCR", "RD", "SD", "DRR", "AD", "DAR", "TE", "GE", "DPPL")
    }
    for name, value in known.items():
        assert found[name].value == pytest.approx(value, abs=DIGITS), name


def test_conditional_disparity_is_that_of_clarifys_own_tests(answers: dict[str, Any]) -> None:
    rows = answers["metrics"]["CDDL_F"]["input"]
    for value in "FM":
        spec = BiasSpec(
            label="label",
            positive=Criterion(values=("1",)),
            facets=(FacetSpec(column="facet", sensitive=Criterion(values=(value,))),),
            group="group",
        )
        counts = counted(spec, labels=rows["label"], facet=rows["facet"], group=rows["group"])
        measured = measure_bias(counts.facets[0], "pre_training", grouped=True)["CDDL"]
        assert measured.value == pytest.approx(
            answers["metrics"][f"CDDL_{value}"]["expected"], abs=1e-10
        )


def test_distances_of_outcomes_are_those_of_clarifys_own_tests(answers: dict[str, Any]) -> None:
    known = answers["metrics"]
    p, q = known["KL_multi"]["Pa"], known["KL_multi"]["Pd"]
    functions = {
        "KL_multi": metrics.kullback_leibler,
        "JS_multi": metrics.jensen_shannon,
        "LP_multi": metrics.lp_norm,
        "KS_multi": metrics.kolmogorov_smirnov,
    }
    for name, function in functions.items():
        assert function(p, q) == pytest.approx(known[name]["reproduced"], abs=DIGITS)


def test_class_imbalance_is_one_facet_against_all_others(answers: dict[str, Any]) -> None:
    known = answers["metrics"]["CI_multi_one_vs_all"]
    for value, expected in known["expected"].items():
        spec = BiasSpec(
            label="y",
            positive=Criterion(values=("1",)),
            facets=(FacetSpec(column="facet", sensitive=Criterion(values=(value,))),),
        )
        counts = counted(spec, labels=[1] * len(known["facet"]), facet=known["facet"])
        found = measure_bias(counts.facets[0], "pre_training", grouped=False)
        assert found["CI"].value == pytest.approx(expected, abs=DIGITS)


def test_an_outcome_that_one_group_lacks_is_not_left_out(answers: dict[str, Any]) -> None:
    quirk = answers["metrics"]["QUIRK_KL_JS_LP_missing_label"]
    labels, facet = np.array(quirk["label"]), np.array(quirk["facet"])
    a, d = (np.bincount(labels[facet == side], minlength=2) for side in (0, 1))
    assert metrics.kullback_leibler(a, d) == math.inf
    assert metrics.jensen_shannon(a, d) == pytest.approx(0.274358, abs=1e-6)
    assert metrics.lp_norm(a, d) == pytest.approx(0.848528, abs=1e-6)


@pytest.mark.parametrize(
    "name", ["adult_bias_json/validation-dataset.json", "adult_bias_jsonl/validation-dataset.jsonl"]
)
def test_the_baseline_of_aws_is_reproduced_to_14_decimals(shared: Path, name: str) -> None:
    path = shared / "data/amazon-sagemaker-examples" / name
    counts = BiasCounts.empty(ADULT)
    with path.open("rb") as stream:
        for table in read_table(stream, source=name, format="jsonl", names=FEATURES):
            labels = ADULT.positive.marks(table.columns["label"])
            counts += count_bias(ADULT, columns=table.columns, labels=labels, predictions=None)
    found = analysis_of(counts).pre_training
    known = baseline(shared, "bias_endpoint_json").pre_training
    assert found is not None
    assert known is not None
    assert found.label_value_or_threshold == known.label_value_or_threshold == "1"
    [here], [there] = found.facets, known.facets
    assert (here.name, here.value_or_threshold) == (there.name, there.value_or_threshold)
    assert [(m.name, m.description) for m in here.metrics] == [
        (m.name, m.description) for m in there.metrics
    ]
    assert len(here.metrics) == 8
    for metric in here.metrics:
        assert metric.value == pytest.approx(there[metric.name].value, rel=0, abs=DIGITS)


def baseline(shared: Path, run: str) -> ClarifyAnalysis:
    return decode_analysis(
        (shared / RUNS / f"{run}.baseline_constraints.analysis.json").read_bytes()
    )


def merged_rows(shared: Path, run: str) -> Iterator[dict[str, Column]]:
    reader = MergedReader(
        SelectionSettings(
            features="instances[*].features", inference="predictions[*].predicted_label"
        ),
        label="Target",
        truth="instances[*].label",
        columns=FEATURES,
    )
    rejects = Rejects()
    with (shared / RUNS / f"{run}.merged_record.jsonl").open("rb") as stream:
        for columns in reader.read(stream, source=run, rejects=rejects):
            yield dict(columns)
    assert rejects.total == 0


def judged(shared: Path, run: str, *, repeats: int, mode: str = "strict") -> BiasVerdict:
    """Judge a run; AWS's schedule merged each record with all labels of its repeated id."""
    counts = BiasCounts.empty(ADULT)
    sample = RowSample()
    for _ in range(repeats):
        for columns in merged_rows(shared, run):
            marks = [ADULT.positive.marks(columns.pop(n)) for n in ("Target", "predicted_label")]
            counts += count_bias(ADULT, columns=columns, labels=marks[0], predictions=marks[1])
            sample.add({**columns, "predicted": _column(marks[1])})
    rows = sample.columns()
    predictions = rows.pop("predicted").numbers.astype(np.int8)
    sensitive = ADULT.facets[0].sensitive.marks(rows.pop("Sex"))
    flips: Flips = (flip_test_of_columns(rows, sensitive=sensitive, predictions=predictions),)
    if mode == "strict":
        return judge_bias_strictly(counts, baseline(shared, run), flips=flips)
    return judge_bias(counts, baseline(shared, run), flips=flips)


def _column(marks: Marks) -> Column:
    return column_of([int(mark) for mark in marks])


def test_the_violations_of_the_endpoint_run_are_reproduced(shared: Path) -> None:
    verdict = judged(shared, "bias_endpoint_json", repeats=10)
    file = shared / RUNS / "bias_endpoint_json.constraint_violations.json"
    known = json.loads(file.read_bytes())
    found = json.loads(encode_bias_violations(verdict.violations))
    assert found["version"] == known["version"]
    assert len(found["violations"]) == len(known["violations"]) == 9
    for here, there in zip(found["violations"], known["violations"], strict=True):
        assert list(here) == list(there)
        _assert_same_description(here.pop("description"), there.pop("description"))
        assert here == there


def _assert_same_description(here: str, there: str) -> None:
    words, expected = here.split(" "), there.split(" ")
    assert [w for i, w in enumerate(words) if i != 2] == [
        w for i, w in enumerate(expected) if i != 2
    ]
    assert float(words[2]) == pytest.approx(float(expected[2]), rel=0, abs=DIGITS)


def test_the_batch_record_violates_eight_constraints_of_its_baseline(shared: Path) -> None:
    verdict = judged(shared, "bias_batch_json", repeats=1)
    values = {v.metric_name: float(v.description.split(" ")[2]) for v in verdict.violations}
    assert values == pytest.approx(
        {
            "CDDPL": 0.3748947825295131,
            "DAR": -0.34693877551020413,
            "DCA": -36.69387755102041,
            "DCR": -0.07650793650793647,
            "GE": 0.9454985573866702,
            "RD": 0.17253086419753086,
            "SD": 0.27419354838709675,
            "TE": math.inf,
        },
        rel=0,
        abs=DIGITS,
    )
    assert all(f.verdict == "ok" for f in verdict.facets if f.stage == "pre_training")


def test_soundly_only_the_entropy_of_the_batch_record_is_beyond_doubt(shared: Path) -> None:
    verdict = judged(shared, "bias_batch_json", repeats=1, mode="sound")
    assert [metric.name for _, metric in verdict.drifted] == ["GE"]
    after = next(f for f in verdict.facets if f.stage == "post_training")
    undecided = [m.name for m in after.metrics if m.verdict == "insufficient_data"]
    assert undecided == ["CDDPL", "DAR", "DCA", "TE"]


def test_the_files_of_the_pipeline_step_are_reproduced_and_the_bad_one_is_violated(
    shared: Path,
) -> None:
    folder = shared / "data/sagemaker-python-sdk@v2.257.6/tests/data/pipeline/clarify_check_step"
    spec = BiasSpec(
        label="Label",
        positive=Criterion(values=("1",)),
        facets=(FacetSpec(column="F1", sensitive=Criterion(threshold=0.5)),),
        group="F2",
    )
    names = ("Label", "F1", "F2", "F3", "F4")
    with (folder / "dataset.csv").open("rb") as stream:
        [table] = read_table(stream, source="s", format="csv", header=False, names=names)
    labels = spec.positive.marks(table.columns["Label"])
    counts = count_bias(spec, columns=table.columns, labels=labels, predictions=None)
    good = decode_analysis((folder / "data_bias/good_cases/analysis.json").read_bytes())
    bad = decode_analysis((folder / "data_bias/bad_cases/analysis.json").read_bytes())
    found = analysis_of(counts)
    assert found.pre_training is not None
    assert good.pre_training is not None
    [here], [there] = found.pre_training.facets, good.pre_training.facets
    assert here.value_or_threshold == there.value_or_threshold == "(0.5, 0.9936148802477393]"
    assert {m.name: m.value for m in here.metrics} == pytest.approx(
        {m.name: m.value for m in there.metrics}, rel=0, abs=DIGITS
    )
    assert judge_bias_strictly(counts, good).violations == ()
    violated = judge_bias_strictly(counts, bad).violations
    assert [violation.metric_name for violation in violated] == ["KS"]
    # A difference of 0.015 among 100 rows says nothing.
    assert judge_bias(counts, bad).verdict == "ok"
