"""Makes the model files and expected values of this folder; see README.md."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

shap: Any = import_module("shap")
xgboost: Any = import_module("xgboost")
lightgbm: Any = import_module("lightgbm")

HERE = Path(__file__).parent
ROWS = 400


def data() -> tuple[Any, dict[str, Any]]:
    """Return features (the fourth a category, a tenth of the cells missing) and labels."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 5))
    x[:, 3] = rng.integers(0, 40, ROWS)
    signal = 2 * x[:, 0] + x[:, 1] * x[:, 2] + 3 * (x[:, 3] % 3 == 1)
    x[rng.random(x.shape) < 0.1] = np.nan
    noisy = signal + rng.normal(size=ROWS)
    labels = {
        "regression": noisy,
        "binary": (noisy > 0).astype(int),
        "multiclass": np.digitize(noisy, [-1.0, 1.5]),
    }
    # Few digits, and numbers that float32 and float64 have in common: multiples of 1/1024.
    return np.round(x * 1024) / 1024, labels


def xgboost_case(x: Any, y: Any, name: str, categories: bool, **parameters: Any) -> Any:
    """Train, write the file, return the model and its matrix of the explained rows."""
    kinds = ["q", "q", "q", "c", "q"] if categories else None
    names = ["age", "income", "debt", "region", "tenure"]

    def matrix(rows: Any, **more: Any) -> Any:
        return xgboost.DMatrix(
            rows, feature_names=names, feature_types=kinds, enable_categorical=categories, **more
        )

    model = xgboost.train({"max_depth": 3, "seed": 1, **parameters}, matrix(x, label=y), 6)
    model.save_model(HERE / f"{name}.json")
    return model, matrix


def main() -> None:
    """Write everything."""
    x, labels = data()
    rows, background = x[:16], x[100:130]
    cases: dict[str, Any] = {}
    for name, label, categories, more in (
        ("xgboost_binary", "binary", False, {"objective": "binary:logistic"}),
        ("xgboost_multiclass", "multiclass", True, {"objective": "multi:softprob", "num_class": 3}),
        ("xgboost_dart", "regression", True, {"booster": "dart", "rate_drop": 0.3}),
    ):
        model, matrix = xgboost_case(x, labels[label], name, categories, **more)
        values = model.predict(matrix(rows), pred_contribs=True, strict_shape=True)
        case = {"contributions": values.astype(float).tolist()}
        if not categories:
            explainer = shap.TreeExplainer(model, background)
            case["interventional"] = explainer.shap_values(rows)[:, None, :].tolist()
            case["interventional_expected"] = [float(explainer.expected_value)]
        cases[f"{name}.json"] = case
    for name, label, more in (
        ("lightgbm_regression", "regression", {"objective": "regression"}),
        ("lightgbm_multiclass", "multiclass", {"objective": "multiclass", "num_class": 3}),
        ("lightgbm_categories", "binary", {"objective": "binary", "zero_as_missing": True}),
        (
            "lightgbm_forest",
            "regression",
            {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
        ),
    ):
        parameters = {
            "num_leaves": 8,
            "min_data_in_leaf": 5,
            "verbose": -1,
            "seed": 1,
            "deterministic": True,
            "num_threads": 1,
            "min_data_per_group": 5,
            "cat_smooth": 1.0,
            "cat_l2": 0.1,
            **more,
        }
        chosen = [3] if name == "lightgbm_categories" else []
        model = lightgbm.train(
            parameters, lightgbm.Dataset(x, labels[label], categorical_feature=chosen), 6
        )
        outputs = 3 if label == "multiclass" else 1
        values = model.predict(rows, pred_contrib=True).reshape(len(rows), outputs, -1)
        case = {"contributions": values.tolist()}
        if more.get("boosting") == "rf":
            # LightGBM's contributions are of the sum of its trees, its predictions their mean.
            case = {"contributions": (values / model.num_trees()).tolist()}
        if name == "lightgbm_regression":
            explainer = shap.TreeExplainer(model, background)
            case["interventional"] = explainer.shap_values(rows)[:, None, :].tolist()
            case["interventional_expected"] = [float(explainer.expected_value)]
        model.save_model(HERE / f"{name}.txt")
        cases[f"{name}.txt"] = case
        if name != "lightgbm_forest":
            (HERE / f"{name}.json").write_text(json.dumps(model.dump_model()) + "\n")
            cases[f"{name}.json"] = case
    plain = json.dumps(
        {"rows": rows.tolist(), "background": background.tolist(), "cases": cases}
    ).replace("NaN", "null")
    (HERE / "expected.json").write_text(plain + "\n")


if __name__ == "__main__":
    main()
