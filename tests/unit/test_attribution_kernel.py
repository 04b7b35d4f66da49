from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.attribution.coalitions import choose_coalitions, default_samples
from driftgauge.attribution.kernel_shap import (
    KernelSettings,
    explain_by_kernel,
    plan_explanation,
)
from driftgauge.attribution.reference import cluster_reference, reference_of
from driftgauge.attribution.rows import FeatureRows, join_rows
from driftgauge.attribution.scorers import EndpointScorer, load_scorer, matrix_scorer, read_scores
from driftgauge.capture.probes import PROBE_PREFIX
from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import AttributionError, StoreError


def rows_of(numbers: NDArray[np.float64]) -> FeatureRows:
    return FeatureRows(names=tuple(f"f{i}" for i in range(numbers.shape[1])), numbers=numbers)


def interacting(rows: FeatureRows) -> NDArray[np.float64]:
    x = rows.numbers
    total: NDArray[np.float64] = x.sum(axis=1)
    return total + 2 * x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] * x[:, 4]


def test_values_are_exact_where_all_coalitions_fit() -> None:
    """f = x0 + x1 + 2 x0 x1 against 0: the interaction is split in half."""
    rows = rows_of(np.array([[1.0, 3.0], [0.0, 2.0]]))
    found = explain_by_kernel(
        lambda some: some.numbers.sum(axis=1) + 2 * some.numbers.prod(axis=1),
        rows,
        reference_of(rows_of(np.zeros((1, 2)))),
    )
    np.testing.assert_allclose(found.values[0], [[4.0, 6.0], [0.0, 2.0]], atol=1e-12)
    assert found.labels == ("label0",)


def test_sampled_values_are_close_and_add_up() -> None:
    rng = np.random.default_rng(0)
    rows, reference = rows_of(rng.normal(size=(6, 13))), reference_of(rows_of(np.zeros((1, 13))))
    exact = explain_by_kernel(
        interacting, rows, reference, settings=KernelSettings(num_samples=2**13)
    )
    found = explain_by_kernel(interacting, rows, reference)
    assert found.expected is not None
    total = found.values[0].sum(axis=1) + found.expected[0]
    np.testing.assert_allclose(total, interacting(rows), atol=1e-10)
    assert 0 < np.abs(found.values - exact.values).max() < 0.1


def test_the_seed_decides_whatever_the_batches() -> None:
    rows = rows_of(np.random.default_rng(0).normal(size=(3, 13)))
    reference = reference_of(rows_of(np.random.default_rng(1).normal(size=(2, 13))))

    def found(seed: int, batch: int) -> NDArray[np.float64]:
        settings = KernelSettings(seed=seed, batch_rows=batch, num_samples=200)
        return explain_by_kernel(interacting, rows, reference, settings=settings).values

    np.testing.assert_allclose(found(1, 7), found(1, 5000), atol=1e-12)
    assert not np.allclose(found(1, 500), found(2, 500))


def test_a_feature_that_never_varies_gets_nothing() -> None:
    reference = reference_of(rows_of(np.array([[5.0, 1.0, 2.0]])))
    found = explain_by_kernel(interacting_sum, rows_of(np.array([[5.0, 4.0, 2.0]])), reference)
    np.testing.assert_allclose(found.values[0], [[0.0, 3.0, 0.0]], atol=1e-12)


def interacting_sum(rows: FeatureRows) -> NDArray[np.float64]:
    total: NDArray[np.float64] = rows.numbers.sum(axis=1)
    return total


def test_coalitions_are_different_and_paired() -> None:
    for features, samples in ((12, 2072), (20, 500), (30, 2108), (11, 10), (100, 2248)):
        chosen = choose_coalitions(features, samples, np.random.default_rng(0))
        assert len(chosen.members) <= samples
        assert len(np.unique(chosen.members, axis=0)) == len(chosen.members)
        assert len(np.unique(np.sort(np.vstack((chosen.members, ~chosen.members)), axis=0), axis=0))
        members = {row.tobytes() for row in chosen.members}
        assert all((~row).tobytes() in members for row in chosen.members)
        assert chosen.weights.sum() == pytest.approx(1.0)
        sizes = chosen.members.sum(axis=1)
        assert sizes.min() >= 1
        assert sizes.max() <= features - 1


def test_the_default_is_clarifys() -> None:
    assert [default_samples(d) for d in (2, 10, 11, 12, 50)] == [2, 1022, 2046, 2072, 2148]


def test_a_budget_bounds_the_invocations() -> None:
    calls: list[int] = []

    def counted(rows: FeatureRows) -> NDArray[np.float64]:
        calls.append(rows.rows)
        return interacting(rows)

    rng = np.random.default_rng(0)
    for budget, batch in ((30, 100), (11, 500), (400, 37)):
        calls.clear()
        rows = rows_of(rng.normal(size=(50, 8)))
        reference = reference_of(rows_of(rng.normal(size=(3, 8))))
        settings = KernelSettings(budget=budget, batch_rows=batch)
        steps: list[int] = []
        found = explain_by_kernel(
            counted, rows, reference, settings=settings, progress=steps.append
        )
        plan = plan_explanation(features=8, rows=50, reference_rows=3, settings=settings)
        assert len(calls) == plan.invocations <= budget
        assert max(calls) <= batch
        assert found.rows == plan.rows == sum(steps) < 50


def test_a_budget_for_no_row_is_an_error() -> None:
    settings = KernelSettings(budget=2, batch_rows=100)
    with pytest.raises(AttributionError, match="does not suffice to explain one row"):
        plan_explanation(features=20, rows=5, reference_rows=3, settings=settings)


def test_log_odds_are_explained_on_demand() -> None:
    weights = np.array([1.0, -2.0, 0.5])
    rows = rows_of(np.array([[1.0, 1.0, 2.0]]))
    found = explain_by_kernel(
        lambda some: 1 / (1 + np.exp(-some.numbers @ weights)),
        rows,
        reference_of(rows_of(np.zeros((1, 3)))),
        settings=KernelSettings(use_logit=True),
    )
    np.testing.assert_allclose(found.values[0], [[1.0, -2.0, 1.0]], atol=1e-9)
    with pytest.raises(AttributionError, match="needs probabilities"):
        explain_by_kernel(
            lambda some: some.numbers.sum(axis=1),
            rows,
            reference_of(rows_of(np.zeros((1, 3)))),
            settings=KernelSettings(use_logit=True),
        )


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.array(["a"]), "not numbers"),
        (np.zeros(3), "shape"),
        (np.array([np.nan]), "not finite"),
        (np.zeros((1, 1, 1)), "shape"),
    ],
)
def test_a_scorer_that_returns_something_else_is_an_error(
    scores: NDArray[Any], message: str
) -> None:
    one = rows_of(np.ones((1, 2)))
    with pytest.raises(AttributionError, match=message):
        explain_by_kernel(lambda _: scores, one, reference_of(rows_of(np.zeros((1, 2)))))


def test_words_reach_the_scorer_as_words() -> None:
    def column(*cells: str | float | None) -> Column:
        words = tuple(dict.fromkeys(cell for cell in cells if isinstance(cell, str)))
        return Column(
            numbers=np.array([c if isinstance(c, float) else np.nan for c in cells]),
            types=TypeCounts(),
            codes=np.array([words.index(c) if isinstance(c, str) else -1 for c in cells], np.int32)
            if words
            else None,
            words=words,
        )

    names = ("plan", "age")
    rows = FeatureRows.of_columns({"plan": column("gold", None), "age": column(1.0, 2.0)}, names)
    other = FeatureRows.of_columns({"plan": column("free", "gold"), "age": column(0.0, 0.0)}, names)

    def score(cells: NDArray[Any]) -> list[float]:
        worth = {"gold": 10.0, "free": 2.0, None: 0.0}
        return [worth[plan] + age for plan, age in cells.tolist()]

    found = explain_by_kernel(matrix_scorer(score), rows, reference_of(other))
    np.testing.assert_allclose(found.values[0], [[4.0, 1.0], [-6.0, 2.0]], atol=1e-12)
    joined = join_rows([rows, other])
    assert joined.cells().tolist() == [["gold", 1.0], [None, 2.0], ["free", 0.0], ["gold", 0.0]]
    assert joined.worded == ("plan",)


def test_centres_keep_words_and_weigh_rows() -> None:
    numbers = np.array([[0.0, np.nan]] * 6 + [[10.0, np.nan]] * 3)
    codes = np.array([[-1, 0]] * 5 + [[-1, 1]] + [[-1, 1]] * 3, dtype=np.int32)
    rows = FeatureRows(names=("n", "w"), numbers=numbers, codes=codes, words=((), ("a", "b")))
    reference = cluster_reference(rows, clusters=2, seed=0)
    cells = reference.rows.cells().tolist()
    assert sorted(zip(cells, reference.weights.tolist(), strict=True)) == [
        ([0.0, "a"], 6.0),
        ([10.0, "b"], 3.0),
    ]
    with pytest.raises(AttributionError, match="choose 1 to 12"):
        cluster_reference(rows, clusters=13, seed=0)


def test_more_clusters_than_different_rows_are_fewer() -> None:
    rows = rows_of(np.array([[1.0], [1.0], [2.0]]))
    assert cluster_reference(rows, clusters=5, seed=0).rows.rows == 2


class FakeRuntime:
    """A SageMaker runtime that adds up features."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self._answer = answer

    def invoke_endpoint(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        lines = call["Body"].decode().splitlines()
        sums = "".join(f"{sum(map(float, line.split(',')))}\n" for line in lines)
        return {"Body": io.BytesIO(self._answer if self._answer is not None else sums.encode())}


def test_an_endpoint_is_asked_row_by_row_of_its_variant() -> None:
    runtime = FakeRuntime()
    scorer = EndpointScorer(endpoint="churn", variant="challenger", client=runtime)
    found = explain_by_kernel(
        scorer, rows_of(np.array([[1.0, 2.0]])), reference_of(rows_of(np.zeros((1, 2))))
    )
    assert found.values.round(9).tolist() == [[[1.0, 2.0]]]
    assert scorer.invocations == len(runtime.calls) == 2
    # By their names the captures of these calls are told from traffic.
    names = [call.pop("InferenceId") for call in runtime.calls]
    assert len(set(names)) == 2
    assert all(name.startswith(PROBE_PREFIX) for name in names)
    assert runtime.calls[0] == {
        "EndpointName": "churn",
        "Body": b"0,0\n",
        "ContentType": "text/csv",
        "Accept": "text/csv",
        "TargetVariant": "challenger",
    }


@pytest.mark.parametrize("answer", [b"", b"1\n2\n", b"word\n", b"\xff", b"{"])
def test_an_answer_without_scores_is_an_error(answer: bytes) -> None:
    scorer = EndpointScorer(endpoint="churn", client=FakeRuntime(answer))
    with pytest.raises(AttributionError):
        explain_by_kernel(
            scorer, rows_of(np.array([[1.0, 2.0]])), reference_of(rows_of(np.zeros((1, 2))))
        )


def test_an_endpoint_that_fails_is_named() -> None:
    from botocore.exceptions import ClientError

    class Failing:
        def invoke_endpoint(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "ModelError", "Message": "boom"}}, "Invoke")

    scorer = EndpointScorer(endpoint="churn", variant="b", client=Failing())
    with pytest.raises(StoreError, match=r"endpoint 'churn', variant 'b', does not answer.*boom"):
        scorer(rows_of(np.zeros((1, 1))))


def test_scores_of_several_outputs_are_read() -> None:
    answer = b'{"p": [0.1, 0.9]}\n{"p": [0.2, 0.8]}\n'
    with pytest.raises(AttributionError):
        read_scores(answer, "0")
    whole = b'{"predictions": [{"p": [0.1, 0.9]}, {"p": [0.2, 0.8]}]}'
    assert read_scores(whole, "predictions[*].p").tolist() == [[0.1, 0.9], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("math", "write module:function"),
        ("no_such_module_here:f", "cannot be imported"),
        ("math:no_such", "cannot be imported"),
        ("math:pi", "not a function"),
    ],
)
def test_a_scorer_that_is_not_there_is_an_error(place: str, message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        load_scorer(place)


def test_a_scorer_that_fails_is_named() -> None:
    scorer = load_scorer("math:sqrt")
    with pytest.raises(AttributionError, match="math:sqrt fails on 2 rows: TypeError"):
        scorer(rows_of(np.zeros((2, 2))))
