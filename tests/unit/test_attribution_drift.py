from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.attribution.captured import (
    attributions_of_columns,
    captured_features,
    read_captured,
)
from driftgauge.attribution.drift import (
    AttributionSettings,
    describe_violation,
    judge_attribution,
    ndcg,
)
from driftgauge.attribution.files import (
    attribution_metrics,
    encode_attribution_violations,
    encode_explanations,
    explanations_of,
    match_labels,
    read_baseline_explanations,
)
from driftgauge.attribution.sums import (
    AttributionSums,
    add_all,
    decode_sums,
    encode_sums,
    sum_attributions,
)
from driftgauge.attribution.values import Attributions
from driftgauge.attribution.verdict import (
    decode_attribution_verdicts,
    encode_attribution_verdicts,
)
from driftgauge.checks.clarify_analysis import decode_analysis
from driftgauge.columns import Column, Rejects, TypeCounts
from driftgauge.errors import AttributionError, BaselineError
from driftgauge.report.compatible_metrics import Publisher

FEATURES = ("a", "b", "c", "d")


def sums_of(values: NDArray[np.float64], expected: float | None = 0.25) -> AttributionSums:
    return sum_attributions(
        Attributions(
            features=FEATURES[: values.shape[1]],
            labels=("label0",),
            values=values[None],
            expected=None if expected is None else np.array([expected]),
        )
    )


def window(rng: np.random.Generator, rows: int, *scales: float) -> AttributionSums:
    common = rng.gamma(2.0, size=(rows, 1))
    return sums_of(rng.normal(size=(rows, len(scales))) * common * np.array(scales))


def test_ndcg_is_that_of_the_documentation(shared: Path) -> None:
    known = json.loads((shared / "known_answers" / "ndcg_attribution.json").read_text())
    assert ndcg(known["training"], known["live"]) == pytest.approx(known["exact"], abs=1e-15)
    verdict = judge_attribution(
        known["training"],
        sum_attributions(
            Attributions(
                features=tuple(known["live"]),
                labels=("label0",),
                values=np.array([[list(known["live"].values())]]),
                expected=None,
            )
        ),
        label="label0",
        mode="strict",
    )
    assert verdict.verdict == "drift"
    assert verdict.violations[0].description == (
        f"Feature attribution drift {verdict.ndcg} exceeds threshold 0.9"
    )


def test_ndcg_of_the_same_order_is_one_whatever_the_magnitudes() -> None:
    assert ndcg({"a": 0.5, "b": 0.4}, {"a": 100.0, "b": 1e-9}) == 1.0
    assert ndcg({"a": -0.5, "b": 0.4}, {"a": 0.3, "b": -0.2}) == 1.0


def test_ndcg_ranks_missing_features_last_and_unknown_ones_without_gain() -> None:
    best = 0.5 + 0.4 / math.log2(3)
    assert ndcg({"a": 0.5, "b": 0.4}, {"b": 0.1}) == pytest.approx(
        (0.4 + 0.5 / math.log2(3)) / best
    )
    assert ndcg({"a": 0.5, "b": 0.4}, {"new": 9.0, "a": 2.0, "b": 1.0}) == pytest.approx(
        (0.5 / math.log2(3) + 0.4 / 2) / best
    )
    assert ndcg({"a": 0.5, "b": 0.4}, {"b": 0.1, "a": 0.1}) == 1.0
    assert math.isnan(ndcg({"a": 0.0}, {"a": 1.0}))
    with pytest.raises(AttributionError, match="'a' is not a finite"):
        ndcg({"a": math.nan}, {"a": 1.0})


def test_parts_add_up_to_the_same_bytes_in_any_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 4)) * 10.0 ** rng.integers(-200, 100, size=(500, 1))
    whole = sums_of(values)
    order = rng.permutation(500)
    parts = [sums_of(values[piece]) for piece in np.array_split(order, 7)]
    merged = add_all(reversed(parts), features=FEATURES, labels=("label0",))
    assert merged == whole
    assert encode_sums(merged) == encode_sums(whole)
    assert decode_sums(encode_sums(whole)) == whole
    assert whole.expected_value("label0") == 0.25


def test_sums_are_means_of_magnitudes_and_of_products() -> None:
    values = np.array([[1.0, -2.0], [3.0, 4.0]])
    sums = sums_of(values)
    assert sums.means("label0").tolist() == [2.0, 3.0]
    assert sums.mean_products("label0").tolist() == [[5.0, 7.0], [7.0, 10.0]]
    assert (sums + sums_of(values, expected=None)).expected_value("label0") is None


def test_damaged_sums_are_refused() -> None:
    data = encode_sums(sums_of(np.ones((2, 2))))
    for spoiled, message in (
        (b"", "no attributions"),
        (data[:4] + b"\x09" + data[5:], "another format"),
        (data[:-3], "damaged"),
        (data[:9] + b"xxx" + data[12:], "damaged"),
    ):
        with pytest.raises(AttributionError, match=message):
            decode_sums(spoiled)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(AttributionError, match="not a finite"):
        sums_of(np.array([[np.inf]]))


def test_sums_of_other_features_do_not_add() -> None:
    with pytest.raises(AttributionError, match="cannot be added"):
        sums_of(np.ones((1, 2))) + sums_of(np.ones((1, 3)))


def test_a_move_within_the_order_is_seen_by_the_distance_only() -> None:
    rng = np.random.default_rng(1)
    baseline = window(rng, 2000, 1.0, 0.9, 0.3, 0.1)
    here = window(rng, 500, 3.0, 0.9, 0.3, 0.1)
    sound = judge_attribution(baseline, here, label="label0")
    strict = judge_attribution(baseline, here, label="label0", mode="strict")
    assert sound.ndcg is not None
    assert sound.ndcg > 0.99
    assert (sound.verdict, strict.verdict) == ("drift", "ok")
    assert sound.distance is not None
    assert sound.low is not None
    assert sound.high is not None
    assert 0.1 < sound.low < sound.distance < sound.high < 0.5
    assert sound.violations == strict.violations == ()


def test_a_few_rows_are_too_few_and_noise_is_no_drift() -> None:
    rng = np.random.default_rng(2)
    baseline = window(rng, 1000, 1.0, 0.9, 0.3, 0.1)
    assert judge_attribution(baseline, window(rng, 29, 1, 1, 1, 1), label="label0").verdict == (
        "insufficient_data"
    )
    empty = AttributionSums.empty(FEATURES, ("label0",))
    assert judge_attribution(baseline, empty, label="label0").verdict == "insufficient_data"
    settings = AttributionSettings(min_distance=1e-9, alpha=0.05)
    alarms = sum(
        judge_attribution(
            baseline, window(rng, 200, 1.0, 0.9, 0.3, 0.1), label="label0", settings=settings
        ).verdict
        == "drift"
        for _ in range(200)
    )
    # 5 % false alarms are allowed; of 200 more than 21 have a chance below 0.1 %.
    assert alarms <= 21


def test_the_interval_of_the_distance_holds_the_truth() -> None:
    rng = np.random.default_rng(3)
    scales = (1.0, 1.5, 0.5, 0.1)
    truth = np.array(scales) / sum(scales)
    baseline = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
    distance = 0.5 * float(np.abs(truth - list(baseline.values())).sum())
    inside = 0
    for _ in range(300):
        found = judge_attribution(baseline, window(rng, 300, *scales), label="label0")
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= distance <= found.high
    assert 0.91 <= inside / 300 <= 0.985


def test_a_feature_that_is_gone_drifts() -> None:
    rng = np.random.default_rng(4)
    baseline = window(rng, 500, 1.0, 1.0, 1.0)
    found = judge_attribution(baseline, window(rng, 500, 1.0, 1.0), label="label0")
    assert found.verdict == "drift"
    assert [feature.name for feature in found.features] == ["a", "b", "c"]
    assert found.features[2].window_rank == 3


def test_verdicts_survive_their_file() -> None:
    rng = np.random.default_rng(5)
    verdict = judge_attribution(
        window(rng, 100, 1, 0.1), window(rng, 100, 0.1, 1), label="label0", mode="strict"
    )
    assert verdict.verdict == "drift"
    data = encode_attribution_verdicts((verdict,))
    assert decode_attribution_verdicts(data) == (verdict,)
    for spoiled in (b"{", data.replace(b'"version": 1', b'"version": 2')):
        with pytest.raises(AttributionError):
            decode_attribution_verdicts(spoiled)
    violations = json.loads(encode_attribution_violations(verdict.violations))
    assert violations == {
        "version": "1.0",
        "violations": [
            {
                "label": "label0",
                "metric_name": "shap",
                "constraint_check_type": "feature_attribution_drift_check",
                "description": f"Feature attribution drift {verdict.ndcg} exceeds threshold 0.9",
            }
        ],
    }


def test_a_violation_has_clarifys_words() -> None:
    assert describe_violation("label0", 0.7639720923277322, 0.9).description == (
        "Feature attribution drift 0.7639720923277322 exceeds threshold 0.9"
    )


def test_analysis_json_is_as_clarify_writes_it(shared: Path) -> None:
    folder = shared / "data" / "amazon-sagemaker-examples" / "extracted_from_notebooks"
    data = (folder / "explain_endpoint_jsonl.baseline_constraints.analysis.json").read_bytes()
    [(label, values)] = read_baseline_explanations(data).items()
    assert (label, len(values)) == ("label0", 14)
    assert json.loads(encode_explanations(decode_analysis(data).explanations)) == json.loads(data)
    other = (folder / "explain_batch_json.baseline_constraints.analysis.json").read_bytes()
    [(odd, there)] = read_baseline_explanations(other).items()
    assert match_labels([odd], ["label0"]) == {"label0": odd}
    assert ndcg(values, there) == 1.0


def test_what_is_written_is_read_again() -> None:
    sums = sums_of(np.array([[1.0, -2.0], [3.0, 4.0]]))
    data = encode_explanations(explanations_of(sums))
    assert read_baseline_explanations(data) == {"label0": {"a": 2.0, "b": 3.0}}
    assert json.loads(data)["explanations"]["kernel_shap"]["label0"]["expected_value"] == 0.25


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"explanations": {"pdp": []}}',
        b'{"explanations": {"kernel_shap": {"y": {"global_shap_values": {"a": "NaN"}}}}}',
    ],
)
def test_an_analysis_without_attributions_is_refused(data: bytes) -> None:
    with pytest.raises((AttributionError, BaselineError)):
        read_baseline_explanations(data)


def test_metrics_are_those_of_clarify() -> None:
    points = attribution_metrics(
        Publisher(schedule="hourly", endpoint="churn"), sums_of(np.array([[1.0, -2.0]]))
    )
    assert [(point.name, point.value) for point in points] == [
        ("feature_a", 1.0),
        ("feature_b", 2.0),
        ("ExpectedValue", 0.25),
    ]
    assert dict(points[0].dimensions) == {
        "Endpoint": "churn",
        "MonitoringSchedule": "hourly",
        "ExplainabilityMethod": "KernelShap",
        "Label": "label0",
        "ValueType": "GlobalShapValues",
    }


def test_attributions_in_columns_are_read() -> None:
    def column(*numbers: float) -> Column:
        return Column(numbers=np.array(numbers), types=TypeCounts(fractional=len(numbers)))

    columns = {
        "score": column(0.5, 0.6, 0.7),
        "shap_age": column(0.1, np.nan, -0.3),
        "shap_plan": column(0.2, 0.0, 0.4),
    }
    rejects = Rejects()
    features = captured_features(columns, "shap_")
    found = attributions_of_columns(columns, "shap_", features, rejects=rejects)
    assert found.features == ("age", "plan")
    assert found.values.tolist() == [[[0.1, 0.2], [-0.3, 0.4]]]
    assert rejects.counts == {"attributions are not finite numbers": 1}
    with pytest.raises(AttributionError, match="no column begins with 'phi_'"):
        captured_features(columns, "phi_")


def capture(output: object, encoding: str = "JSON") -> bytes:
    data = output if isinstance(output, str) else json.dumps(output)
    record = {
        "captureData": {"endpointOutput": {"data": data, "encoding": encoding}},
        "eventMetadata": {"eventId": "1", "inferenceTime": "2026-01-01T00:00:00Z"},
        "eventVersion": "0",
    }
    return json.dumps(record).encode() + b"\n"


def test_attributions_at_a_path_of_the_output_are_read() -> None:
    def clarify(*rows: list[float]) -> dict[str, object]:
        shap = [[{"attributions": [{"attribution": [v]}]} for v in row] for row in rows]
        return {"predictions": {"data": "0.5"}, "explanations": {"kernel_shap": shap}}

    stream = io.BytesIO(
        capture(clarify([0.1, -0.2], [0.3, 0.4]))
        + capture(clarify([0.5]))
        + capture({"explanations": {}})
        + capture("1,2", "CSV")
        + capture(clarify([0.1, 1e300]))
    )
    rejects = Rejects()
    found = list(
        read_captured(
            stream,
            path="explanations.kernel_shap[*][*].attributions[0].attribution[0]",
            features=("age", "plan"),
            source="s",
            rejects=rejects,
        )
    )
    # The nested projection yields one list for each row.
    assert [part.values.tolist() for part in found] == [[[[0.1, -0.2], [0.3, 0.4]]]]
    assert rejects.counts == {
        "wrong number of attributions": 1,
        "no attributions in the output": 2,
        "attributions are not finite numbers": 1,
    }


def test_attributions_by_name_and_as_one_list_are_read() -> None:
    for output, path in (
        ({"shap": {"plan": 2, "age": 1}}, "shap"),
        ({"rows": [{"age": 1, "plan": 2}]}, "rows"),
        ({"shap": [1, 2]}, "shap"),
    ):
        found = read_captured(
            io.BytesIO(capture(output)),
            path=path,
            features=("age", "plan"),
            source="s",
            rejects=Rejects(),
        )
        assert [part.values.tolist() for part in found] == [[[[1.0, 2.0]]]]


def test_a_path_that_is_none_is_an_error() -> None:
    with pytest.raises(AttributionError, match="no JMESPath"):
        list(
            read_captured(
                io.BytesIO(b""), path="a[", features=("a",), source="s", rejects=Rejects()
            )
        )
