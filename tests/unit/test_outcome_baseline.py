"""The outcomes of a baseline: what is measured, what is kept, and what is said to be absent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from driftgauge.attribution.champion import champion_features, explain_champion, feature_rows
from driftgauge.attribution.model_files import read_model
from driftgauge.capture.table import read_table
from driftgauge.columns import Column
from driftgauge.config import MonitorConfig
from driftgauge.errors import AttributionError, BaselineError, ObjectNotFoundError
from driftgauge.outcome_baseline import (
    OUTCOMES_FILE,
    OutcomeBaseline,
    decode_outcome_baseline,
    encode_outcome_baseline,
    outcome_files,
    read_outcome_baseline,
)
from driftgauge.outcome_building import (
    block_effect,
    build_outcome_baseline,
    recover_outcome_baseline,
)
from driftgauge.quality.files import decode_quality_constraints
from driftgauge.quality.metrics import measure

COEFFICIENTS = b'{"intercept": 0.5, "coefficients": {"amount": 2.0, "age": -1.0}}'
FACETS = [{"column": "sex", "values": ["1"]}]


def config(**changes: Any) -> MonitorConfig:
    return MonitorConfig.model_validate(
        {
            "name": "loans",
            "endpoint": {"name": "loans"},
            "prediction": "score",
            "label": "late",
            **changes,
        }
    )


def table(rows: int = 2000, *, seed: int = 1, leave_out: str = "") -> list[Mapping[str, Column]]:
    """Rows whose score is the probability of the label."""
    chance = np.random.default_rng(seed)
    score = chance.random(rows)
    columns = {
        "late": (chance.random(rows) < score).astype(int),
        "score": score,
        "amount": chance.normal(size=rows),
        "age": chance.normal(size=rows),
        "sex": chance.integers(0, 2, rows),
    }
    columns.pop(leave_out, None)
    cells = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in cells)]
    return list(parts("\n".join(lines).encode()))


def parts(data: bytes) -> Iterator[Mapping[str, Column]]:
    for part in read_table(BytesIO(data), source="t.csv", format="csv", header=True):
        yield part.columns


def built(
    settings: MonitorConfig,
    rows: Sequence[Mapping[str, Column]] | None = None,
    *,
    training: Sequence[Mapping[str, Column]] | None = None,
    model: bytes | None = COEFFICIENTS,
) -> OutcomeBaseline:
    rows = table() if rows is None else rows
    found = build_outcome_baseline(
        config=settings,
        rows=rows,
        training=rows if training is None else training,
        inputs=("amount", "age", "sex"),
        outputs=("score",),
        model=model,
    )
    assert found is not None
    return found


FULL = config(
    outcomes={"segments": ["sex"]}, bias={"facets": FACETS}, attribution={"source": "champion"}
)


def test_a_baseline_measures_quality_bias_and_attributions() -> None:
    baseline = built(FULL)
    assert baseline.notes == ()
    assert baseline.counts is not None
    assert baseline.spec is not None
    assert baseline.spec.segment_names == (("sex", "0"), ("sex", "1"))
    assert (baseline.counts.labelled, baseline.counts.coverage) == (2000, 1.0)
    # Labels are 1 as often as the score says: accuracy is the mean of max(p, 1 - p).
    assert measure(baseline.counts)["accuracy"].value == pytest.approx(0.75, abs=0.04)
    assert baseline.bias is not None
    assert baseline.bias.rows == 2000
    assert baseline.sums is not None
    assert baseline.sums.features == ("amount", "age")
    # Coefficients times the mean distance of normal numbers from their mean.
    means = baseline.sums.means("label0")
    assert means == pytest.approx([2 * 0.798, 0.798], rel=0.1)
    assert 1.0 <= baseline.design_effect < 2.0


def test_the_flip_test_is_part_of_the_baselines_analysis() -> None:
    analysis = built(FULL).analysis
    assert analysis is not None
    assert analysis.post_training is not None
    assert analysis.post_training.facets[0]["FT"].value is not None


def test_rows_the_model_has_not_learnt_from_are_measured_but_training_data_explained() -> None:
    labelled = [
        {name: part[name] for name in ("late", "score")} for part in table(rows=300, seed=2)
    ]
    baseline = built(config(outcomes={}, attribution={}), labelled, training=table())
    assert baseline.counts is not None
    assert baseline.counts.labelled == 300
    assert baseline.sums is not None
    assert baseline.sums.rows == 2000


@pytest.mark.parametrize("source", ["champion", "captured", "endpoint"])
def test_what_is_written_reads_back_as_it_was(source: str) -> None:
    settings: dict[str, Any] = {"source": source}
    if source == "captured":
        settings["prefix"] = "a"
    baseline = built(
        config(outcomes={"segments": ["sex"]}, bias={"facets": FACETS}, attribution=settings)
    )
    data = encode_outcome_baseline(baseline)
    again = decode_outcome_baseline(data)
    assert encode_outcome_baseline(again) == data
    assert again.counts == baseline.counts
    assert again.bias == baseline.bias
    assert again.analysis == baseline.analysis
    assert again.constraints == baseline.constraints
    assert again.sums == baseline.sums
    assert (again.sums is None) == (source == "endpoint")
    assert (again.reference is None) == (source == "captured")
    if again.reference is not None and baseline.reference is not None:
        assert np.array_equal(again.reference.rows.numbers, baseline.reference.rows.numbers)
        assert np.array_equal(again.reference.weights, baseline.reference.weights)


def test_words_of_reference_rows_survive() -> None:
    rows = list(parts(b"score,region\n" + b"0.5,north\n0.2,\n0.1,south\n" * 20))
    settings = config(attribution={"source": "endpoint"})
    baseline = build_outcome_baseline(
        config=settings, rows=rows, training=rows, inputs=("region",), outputs=("score",)
    )
    assert baseline is not None
    again = decode_outcome_baseline(encode_outcome_baseline(baseline))
    assert baseline.reference is not None
    assert again.reference is not None
    assert sorted(map(str, again.reference.rows.cells()[:, 0])) == ["None", "north", "south"]


def test_files_for_people_are_those_of_model_monitor_and_clarify() -> None:
    files = outcome_files(built(FULL))
    assert set(files) == {
        OUTCOMES_FILE,
        "quality/statistics.json",
        "quality/constraints.json",
        "bias/analysis.json",
        "explainability/analysis.json",
    }
    limits = decode_quality_constraints(files["quality/constraints.json"]).limits
    assert limits["accuracy"].operator == "LessThanThreshold"
    assert "kernel_shap" in json.loads(files["explainability/analysis.json"])["explanations"]


def test_without_labels_there_is_no_outcome_but_it_is_said_why() -> None:
    baseline = built(config(outcomes={}), table(leave_out="late"))
    assert baseline.spec is None
    assert baseline.notes == ("no quality and no bias: the labelled rows have no column 'late'",)
    strange = built(config(outcomes={"classes": ["no", "yes"]}))
    assert strange.counts is None
    assert "are the classes and columns of `outcomes` theirs" in strange.notes[0]
    nothing = build_outcome_baseline(config=config(), rows=[], training=[], inputs=())
    assert nothing is None


def test_what_cannot_be_explained_leaves_the_rest() -> None:
    no_model = built(FULL, model=None)
    assert no_model.counts is not None
    assert no_model.sums is None
    assert "put NAME.model.json beside" in no_model.notes[0]
    pointer = built(FULL, model=b'{"version": 1, "kind": "sagemaker", "artifact": "s3://b/m"}')
    assert "of no known kind" in pointer.notes[0]
    facets = config(outcomes={}, bias={"facets": [{"column": "zip", "values": ["1"]}]})
    assert "no bias: no column 'zip'" in built(facets).notes[0]


def test_a_class_follows_from_the_score_where_rows_lack_the_predicted_class() -> None:
    baseline = built(config(outcomes={"prediction": "class", "threshold": 0.9}))
    assert baseline.counts is not None
    predicted = baseline.counts.confusion.sum(axis=0)
    assert predicted[1] / predicted.sum() == pytest.approx(0.1, abs=0.03)


def test_rows_that_come_in_clusters_have_a_design_effect() -> None:
    days = np.repeat(np.random.default_rng(3).choice([0.1, 0.5], 40), 100)
    losses = (np.random.default_rng(4).random(4000) < days).astype(float)
    assert block_effect(losses) > 5
    assert block_effect(np.random.default_rng(5).permutation(losses)) < 2
    assert block_effect(losses[:999]) == 1.0
    assert block_effect(np.zeros(5000)) == 1.0


def test_one_extreme_block_does_not_decide() -> None:
    losses = (np.random.default_rng(6).random(20_000) < 0.2).astype(float)
    quiet = block_effect(losses)
    losses[:1000] = 1.0
    assert block_effect(losses) < quiet + 1


def test_independent_rows_hardly_ever_look_clustered() -> None:
    chance = np.random.default_rng(7)
    effects = [block_effect((chance.random(2000) < 0.2).astype(float)) for _ in range(200)]
    assert np.mean(effects) < 1.2
    assert max(effects) < 2.5


def test_model_monitors_files_stand_in_for_labelled_rows() -> None:
    files = outcome_files(built(FULL))
    given = {name: files[name] for name in files if name.endswith(("ints.json", "analysis.json"))}
    recovered = recover_outcome_baseline(FULL, given)
    assert recovered is not None
    assert recovered.counts is None
    assert recovered.spec is not None
    assert recovered.spec.classes == ("0", "1")
    assert recovered.constraints is not None
    assert recovered.analysis is not None
    assert recovered.explanations is not None
    assert set(recovered.explanations["label0"]) == {"amount", "age"}
    again = decode_outcome_baseline(encode_outcome_baseline(recovered))
    assert again.explanations == recovered.explanations
    assert recover_outcome_baseline(config(), given) is None
    regression = config(outcomes={"problem": "regression"})
    with pytest.raises(BaselineError, match="is of a binary problem"):
        recover_outcome_baseline(regression, given)


def test_damaged_bytes_are_refused() -> None:
    data = encode_outcome_baseline(built(FULL))
    for broken in (b"", b"DGOB\x02", data[:-9], data[:60] + b"x" + data[61:], b"DGOB\x01junk"):
        with pytest.raises(BaselineError):
            decode_outcome_baseline(broken)


def test_a_baseline_without_the_file_has_no_outcomes() -> None:
    def absent(name: str) -> bytes:
        raise ObjectNotFoundError(name)

    assert read_outcome_baseline(absent) is None
    data = encode_outcome_baseline(built(config(outcomes={})))
    found = read_outcome_baseline({OUTCOMES_FILE: data}.__getitem__)
    assert found is not None
    assert found.counts is not None


def test_a_window_without_a_feature_of_trees_is_explained_with_gaps() -> None:
    (first, *_) = table(rows=50)
    rows = feature_rows({"amount": first["amount"]}, ("amount", "age"))
    assert np.isnan(rows.numbers[:, 1]).all()
    with pytest.raises(AttributionError, match="no column is a feature"):
        feature_rows({"other": first["amount"]}, ("amount", "age"))


def test_a_model_is_explained_against_the_rows_that_the_baseline_keeps() -> None:
    baseline = built(FULL)
    model = read_model(COEFFICIENTS)
    assert champion_features(model, ("age", "amount")) == ("amount", "age")
    (first, *_) = table(rows=100, seed=9)
    sums = explain_champion(model, first, inputs=(), reference=baseline.reference)
    assert baseline.sums is not None
    assert sums.features == baseline.sums.features
    assert sums.expected_value("label0") == baseline.sums.expected_value("label0")
