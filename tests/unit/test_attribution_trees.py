from __future__ import annotations

import json
from importlib import import_module
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.attribution.ensembles import TreeEnsemble
from driftgauge.attribution.kernel_shap import KernelSettings, explain_by_kernel
from driftgauge.attribution.linear import LinearModel, explain_linear, explain_logistic
from driftgauge.attribution.model_files import explain_model, model_features, read_model
from driftgauge.attribution.reference import reference_of
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.tree import explain_by_trees, model_numbers
from driftgauge.attribution.xgboost_file import read_xgboost
from driftgauge.errors import AttributionError
from driftgauge.training.logistic import CategoricalTerm, LogisticModel, NumericTerm
from driftgauge.windows import parse_time

DATA = Path(__file__).resolve().parents[1] / "data" / "attribution"
EXPECTED = json.loads((DATA / "expected.json").read_text())
CASES: dict[str, Any] = EXPECTED["cases"]


def numbers(rows: list[list[float | None]]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64)


def open_case(name: str) -> tuple[TreeEnsemble, FeatureRows, FeatureRows]:
    model = read_model((DATA / name).read_bytes())
    assert isinstance(model, TreeEnsemble)
    names = model_features(model)
    assert isinstance(names, tuple)
    rows = FeatureRows(names=names, numbers=numbers(EXPECTED["rows"]))
    return model, rows, FeatureRows(names=names, numbers=numbers(EXPECTED["background"]))


@pytest.mark.parametrize("name", CASES)
def test_path_dependent_values_are_those_of_shap(name: str) -> None:
    model, rows, _ = open_case(name)
    found = explain_by_trees(model, rows)
    expected = np.array(CASES[name]["contributions"])
    assert found.expected is not None
    np.testing.assert_allclose(
        np.moveaxis(found.values, 0, 1), expected[:, :, :-1], rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(found.expected, expected[0, :, -1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if "interventional" in case])
def test_interventional_values_are_those_of_shap(name: str) -> None:
    model, rows, background = open_case(name)
    found = explain_by_trees(model, rows, reference_of(background))
    expected = np.array(CASES[name]["interventional"])
    assert found.expected is not None
    np.testing.assert_allclose(np.moveaxis(found.values, 0, 1), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.expected, CASES[name]["interventional_expected"], atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_reference", [False, True])
def test_values_add_up_to_the_output(name: str, by_reference: bool) -> None:
    model, rows, background = open_case(name)
    found = explain_by_trees(model, rows, reference_of(background) if by_reference else None)
    assert found.expected is not None
    total = found.values.sum(axis=2).T + found.expected
    np.testing.assert_allclose(total, model.score(rows.numbers), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["xgboost_multiclass.json", "lightgbm_categories.txt"])
def test_interventional_values_are_those_of_the_definition(name: str) -> None:
    """Shapley values by their sum over all coalitions, where shap has no answer."""
    model, rows, background = open_case(name)
    rows = rows.take(slice(0, 5))
    found = explain_by_trees(model, rows, reference_of(background))
    d = len(rows.names)
    worth = {}
    for size in range(d + 1):
        for members in combinations(range(d), size):
            mixed = np.tile(background.numbers, (rows.rows, 1, 1))
            mixed[:, :, list(members)] = rows.numbers[:, None, list(members)]
            scores = model.score(mixed.reshape(-1, d)).reshape(rows.rows, -1, model.outputs)
            worth[frozenset(members)] = scores.mean(axis=1)
    for j in range(d):
        phi = sum(
            (worth[members | {j}] - value) / (d * comb(d - 1, len(members)))
            for members, value in worth.items()
            if j not in members
        )
        np.testing.assert_allclose(found.values[:, :, j].T, phi, rtol=0, atol=1e-12)


def test_text_and_json_of_lightgbm_are_the_same_model() -> None:
    for name in ("regression", "multiclass", "categories"):
        text, rows, _ = open_case(f"lightgbm_{name}.txt")
        document, _, _ = open_case(f"lightgbm_{name}.json")
        assert (text.score(rows.numbers) == document.score(rows.numbers)).all()
        here, there = explain_by_trees(text, rows), explain_by_trees(document, rows)
        np.testing.assert_allclose(here.values, there.values, rtol=0, atol=1e-14)


def test_a_reference_weight_counts_like_repeated_rows() -> None:
    model, rows, background = open_case("xgboost_binary.json")
    twice = background.take(np.array([0, 1, 1]))
    reference = reference_of(background.take(slice(0, 2)))
    weighted = type(reference)(rows=reference.rows, weights=np.array([1.0, 2.0]))
    here = explain_by_trees(model, rows, weighted)
    there = explain_by_trees(model, rows, reference_of(twice))
    np.testing.assert_allclose(here.values, there.values, atol=1e-12)


def test_kernel_shap_of_trees_is_interventional_tree_shap() -> None:
    model, rows, background = open_case("xgboost_multiclass.json")
    reference = reference_of(background.take(slice(0, 3)))
    found = explain_by_kernel(
        lambda some: model.score(model_numbers(model, some)),
        rows,
        reference,
        settings=KernelSettings(),
    )
    exact = explain_by_trees(model, rows, reference)
    np.testing.assert_allclose(found.values, exact.values, atol=1e-9)


def test_words_in_a_column_that_the_trees_use_are_an_error() -> None:
    model, rows, _ = open_case("xgboost_binary.json")
    codes = np.full(rows.numbers.shape, -1, dtype=np.int32)
    codes[0, 0] = 0
    worded = FeatureRows(
        names=rows.names, numbers=rows.numbers, codes=codes, words=(("old",), (), (), (), ())
    )
    with pytest.raises(AttributionError, match="'age' has words"):
        explain_by_trees(model, worded)


def test_trees_without_counts_need_a_reference() -> None:
    document = json.loads((DATA / "xgboost_binary.json").read_text())
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        tree["sum_hessian"] = [0.0] * len(tree["sum_hessian"])
    model = read_model(json.dumps(document).encode())
    _, rows, background = open_case("xgboost_binary.json")
    with pytest.raises(AttributionError, match="give reference rows"):
        explain_model(model, rows, None)
    explain_model(model, rows, reference_of(background))


def _spoil(document: Any, path: tuple[Any, ...], value: Any) -> bytes:
    here = document
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return json.dumps(document).encode()


_TREE = ("learner", "gradient_booster", "model", "trees", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*_TREE, "left_children", 0), 900, "a child is none of its"),
        ((*_TREE, "left_children", 0), 2, "two parents"),
        ((*_TREE, "left_children", 0), 1.5, "whole numbers"),
        ((*_TREE, "right_children"), [1], r"trees\[0\].right_children: expected a plain list"),
        ((*_TREE, "split_indices", 0), 99, "beyond the model's 5"),
        ((*_TREE, "split_conditions", 0), None, "threshold is not a number"),
        ((*_TREE, "split_conditions"), "many", "expected a list"),
        ((*_TREE, "categories_nodes"), [0], "do not fit together"),
        ((*_TREE, "tree_param", "size_leaf_vector"), "3", "several values"),
        (("learner", "learner_model_param", "num_feature"), "many", "num_feature: expected"),
        (("learner", "learner_model_param", "base_score"), "[2E0]", "expected a probability"),
        (("learner", "feature_names"), ["a", "a", "b", "c", "d"], "5 different names"),
        (("learner", "gradient_booster", "name"), "forest", "'forest' cannot be read"),
        (("learner", "gradient_booster", "model", "tree_info", 0), 7, "adds to output 7 of 1"),
        (("learner", "gradient_booster", "model"), {}, "has no trees"),
    ],
)
def test_a_damaged_xgboost_file_says_what_is_wrong(
    path: tuple[Any, ...], value: Any, message: str
) -> None:
    document = json.loads((DATA / "xgboost_binary.json").read_text())
    with pytest.raises(AttributionError, match=message):
        read_model(_spoil(document, path, value))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("end of trees", "", "cut off"),
        ("max_feature_idx=4", "max_feature_idx=x", "max_feature_idx: expected"),
        ("num_leaves=8", "num_leaves=9", "values instead of 8"),
        ("is_linear=0", "is_linear=1", "linear leaves"),
        ("left_child=1 ", "left_child=0 ", "two parents|circle|child"),
        ("cat_boundaries=0 ", "cat_boundaries=9 ", "do not fit together"),
        ("decision_type=", "decision_type=300 ", "values instead"),
    ],
)
def test_a_damaged_lightgbm_text_says_what_is_wrong(old: str, new: str, message: str) -> None:
    text = (DATA / "lightgbm_categories.txt").read_text()
    assert old in text
    with pytest.raises(AttributionError, match=message):
        read_model(text.replace(old, new).encode())


@pytest.mark.parametrize("name", CASES)
def test_a_file_with_any_line_or_byte_changed_is_read_or_refused(name: str) -> None:
    data = (DATA / name).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        place = int(rng.integers(len(data)))
        spoiled = data[:place] + bytes([int(rng.integers(32, 127))]) + data[place + 1 :]
        if rng.random() < 0.3:
            spoiled = data[:place]
        try:
            model = read_model(spoiled)
            assert isinstance(model, TreeEnsemble)
            model.score(np.zeros((1, model.features)))
        except AttributionError:
            continue


def test_nodes_in_a_circle_are_refused() -> None:
    document = json.loads((DATA / "xgboost_binary.json").read_text())
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    # Node 0 is a leaf; 1 and 2 are each other's children, as well as leaves 3 and 4.
    tree |= {
        "left_children": [-1, 2, 1, -1, -1],
        "right_children": [-1, 3, 4, -1, -1],
        **{
            key: [0] * 5
            for key in ("split_indices", "split_conditions", "default_left", "sum_hessian")
        },
    }
    with pytest.raises(AttributionError, match="not a tree"):
        read_model(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no known kind"),
        (b"{L\x00\x00\x00", "UBJSON"),
        (b"{}", "no known kind"),
        (b'{"a": ', "not JSON"),
        (b"[" * 100_000, "no known kind"),
        (b'{"coefficients": {"a": []}}', "as many coefficients"),
        (b'{"coefficients": {"a": 1e999}}', "finite|JSON"),
        (b'{"coefficients": {"a": "x"}}', "coefficients.a: expected a number"),
        (b'{"numeric": 1, "categorical": 2}', "model.json cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        read_model(data)


def test_linear_values_are_exact() -> None:
    model = read_model(b'{"intercept": [1, 0], "coefficients": {"a": [2, 1], "b": [-1, 0]}}')
    assert isinstance(model, LinearModel)
    rng = np.random.default_rng(3)
    rows = FeatureRows(names=("a", "b"), numbers=rng.normal(size=(4, 2)))
    reference = reference_of(FeatureRows(names=("a", "b"), numbers=rng.normal(size=(9, 2))))
    exact = explain_linear(model, rows, reference)
    kernel = explain_by_kernel(
        lambda some: some.numbers @ model.coefficients.T + model.intercept, rows, reference
    )
    assert exact.expected is not None
    np.testing.assert_allclose(exact.values, kernel.values, atol=1e-12)
    assert kernel.expected is not None
    np.testing.assert_allclose(exact.expected, kernel.expected, atol=1e-12)


def test_logistic_values_are_exact_with_words_and_gaps() -> None:
    model = LogisticModel(
        version="1",
        created=parse_time("2026-01-01T00:00:00Z"),
        l2=1.0,
        rows=1,
        positives=1,
        log_loss=0.0,
        intercept=0.3,
        numeric=(
            NumericTerm(name="age", mean=30.0, scale=10.0, weight=0.7, missing_weight=-0.4),
            NumericTerm(name="gone", mean=0.0, scale=1.0, weight=1.0, missing_weight=0.2),
        ),
        categorical=(
            CategoricalTerm(
                name="plan",
                weights={"gold": 1.1, "free": -0.6},
                other_weight=0.1,
                missing_weight=0.05,
            ),
        ),
    )
    names = ("plan", "age")
    codes = np.array([[0, -1], [1, -1], [2, -1], [-1, -1]], dtype=np.int32)
    ages = np.array([20.0, np.nan, 44.0, 31.0])
    every = FeatureRows(
        names=names,
        numbers=np.column_stack((np.full(4, np.nan), ages)),
        codes=codes,
        words=(("gold", "free", "other"), ()),
    )
    reference = reference_of(every.take(slice(1, 4)))
    exact = explain_logistic(model, every, reference)
    kernel = explain_by_kernel(
        lambda some: model.score(some.columns(), rows=some.rows),
        every,
        reference_of(every.take(slice(1, 2))),
        settings=KernelSettings(use_logit=True),
    )
    alone = explain_logistic(model, every, reference_of(every.take(slice(1, 2))))
    np.testing.assert_allclose(alone.values, kernel.values, atol=1e-9)
    odds = model.log_odds(every.columns(), rows=4)
    assert exact.expected is not None
    np.testing.assert_allclose(exact.values[0].sum(axis=1) + exact.expected[0], odds, atol=1e-12)


@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "count:poisson"])
def test_fresh_xgboost_models_agree_with_shap(objective: str) -> None:
    shap: Any = pytest.importorskip("shap")
    xgboost: Any = pytest.importorskip("xgboost")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 6)).astype(np.float32).astype(float)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = (rng.random(300) < 1 / (1 + np.exp(-np.nan_to_num(x[:, 0] * x[:, 1])))).astype(float)
    model = xgboost.train({"objective": objective, "max_depth": 5}, xgboost.DMatrix(x, y), 20)
    ensemble = read_xgboost(json.loads(bytes(model.save_raw("json"))))
    assert isinstance(ensemble, TreeEnsemble)
    rows = FeatureRows(names=tuple("abcdef"), numbers=x[:50])
    background = x[100:150]
    found = explain_by_trees(
        ensemble,
        rows,
        reference_of(FeatureRows(names=rows.names, numbers=background)),
    )
    expected = shap.TreeExplainer(model, background).shap_values(x[:50])
    np.testing.assert_allclose(found.values[0], expected, rtol=0, atol=1e-6)
    expected = shap.TreeExplainer(model).shap_values(x[:50])
    np.testing.assert_allclose(
        explain_by_trees(ensemble, rows).values[0], expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["linear", "trees", "logistic"])
def test_kernel_shap_agrees_with_shap_within_sampling_error(kind: str) -> None:
    shap: Any = pytest.importorskip("shap")
    ensemble: Any = pytest.importorskip("sklearn.ensemble")
    import_module("warnings").simplefilter("ignore")
    rng = np.random.default_rng(0)
    d = 14
    x = rng.normal(size=(300, d))
    weights = rng.normal(size=d)

    def linear(cells: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = cells @ weights
        return product + 2 * cells[:, 0] * cells[:, 1] + cells[:, 2] * cells[:, 3] * cells[:, 4]

    def logistic(cells: NDArray[np.float64]) -> NDArray[np.float64]:
        odds: NDArray[np.float64] = cells @ weights
        return 1.0 / (1.0 + np.exp(-odds))

    trees = ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0)
    trees.fit(x, linear(x) > 0)
    score = {
        "linear": linear,
        "trees": lambda cells: trees.predict_proba(cells)[:, 1],
        "logistic": logistic,
    }[kind]
    names = tuple(f"f{i}" for i in range(d))
    rows = FeatureRows(names=names, numbers=x[:5])
    reference = reference_of(FeatureRows(names=names, numbers=x[200:203]))

    def explained(settings: KernelSettings) -> NDArray[np.float64]:
        found = explain_by_kernel(
            lambda some: score(some.numbers), rows, reference, settings=settings
        )
        values: NDArray[np.float64] = found.values[0]
        return values

    exact = explained(KernelSettings(num_samples=2**d, batch_rows=50_000))
    np.random.seed(0)
    theirs = shap.KernelExplainer(score, x[200:203]).shap_values(x[:5], silent=True, l1_reg=False)
    their_error = np.sqrt(np.mean((theirs - exact) ** 2))
    our_error = np.sqrt(np.mean((explained(KernelSettings(batch_rows=50_000)) - exact) ** 2))
    # Both draw as many coalitions: the errors are of one size, and small.
    assert our_error < 2 * their_error
    assert our_error < 0.05 * np.abs(exact).mean()
