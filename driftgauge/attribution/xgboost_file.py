"""Reads the JSON that XGBoost's ``save_model`` writes.

The layout is that of XGBoost's own schema (doc/model.schema): trees are parallel arrays, split
conditions of leaves hold their values, and the base score is stored after the link function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.ensembles import Missing, Tree, TreeEnsemble, check_tree
from driftgauge.attribution.linear import LinearModel
from driftgauge.attribution.model_json import items, member, names_of, real, reals, whole, wholes
from driftgauge.errors import AttributionError

_LOGISTIC = frozenset({"binary:logistic", "reg:logistic"})
_LOGARITHMIC = frozenset(
    {"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"}
)
_MOST_FEATURES = 100_000
_MOST_OUTPUTS = 10_000
# XGBoost's categories are below 2**24, the whole numbers of a float32.
_MOST_CATEGORY = 1 << 24


def is_xgboost(document: Any) -> bool:
    """Tell whether a JSON document is XGBoost's."""
    return isinstance(document, dict) and isinstance(document.get("learner"), dict)


def read_xgboost(document: Any) -> TreeEnsemble | LinearModel:
    """Read a model: ``gbtree``, ``dart`` or ``gblinear``.

    Raises
    ------
    AttributionError
        With the place in the file and what is wrong there.
    """
    learner = member(document, "learner")
    parameters = member(learner, "learner_model_param")
    features = whole(member(parameters, "num_feature"), "num_feature", most=_MOST_FEATURES)
    classes = whole(parameters.get("num_class", 0), "num_class", most=_MOST_OUTPUTS)
    targets = whole(parameters.get("num_target", 1), "num_target", most=_MOST_OUTPUTS)
    outputs = max(classes, targets, 1)
    base = _base(learner, parameters, outputs)
    names = names_of(learner.get("feature_names", []), "feature_names", length=features)
    booster = member(learner, "gradient_booster")
    name = member(booster, "name")
    if name == "gblinear":
        return _linear(booster, names, features, base)
    drops: Any = None
    if name == "dart":
        drops, booster = member(booster, "weight_drop"), member(booster, "gbtree")
    elif name != "gbtree":
        raise AttributionError(f"an XGBoost booster of the kind {str(name)[:40]!r} cannot be read")
    model = member(booster, "model")
    trees = items(member(model, "trees"), "trees")
    owners = wholes(member(model, "tree_info"), "tree_info", length=len(trees))
    scales = np.ones(len(trees)) if drops is None else reals(drops, "weight_drop")
    if len(scales) != len(trees) or not np.isfinite(scales).all():
        raise AttributionError("the model file: weight_drop: expected a number for each tree")
    return TreeEnsemble(
        names=names,
        features=features,
        base=base,
        trees=tuple(
            _tree(tree, i, int(owners[i]), float(scales[i]), features, outputs)
            for i, tree in enumerate(trees)
        ),
        inclusive=False,
        single=True,
        listed_left=False,
    )


def _base(
    learner: Mapping[str, Any], parameters: Mapping[str, Any], outputs: int
) -> NDArray[np.float64]:
    """Return the base score before the link function."""
    written = parameters.get("base_score", "0.5")
    # From version 3.1 on it is a list in a text: one value, or one for each output.
    parts = written.strip("[] ").split(",") if isinstance(written, str) else [written]
    scores = [real(part, "base_score") for part in parts]
    if len(scores) not in (1, outputs):
        raise AttributionError(f"the model file: base_score: {len(scores)} for {outputs} outputs")
    objective = member(learner, "objective").get("name")
    base = [_before_link(score, objective) for score in scores]
    return np.array(base * outputs if len(base) == 1 else base)


def _before_link(score: float, objective: Any) -> float:
    if objective in _LOGISTIC:
        if not 0.0 < score < 1.0:
            raise AttributionError("the model file: base_score: expected a probability")
        return -math.log(1.0 / score - 1.0)
    if objective in _LOGARITHMIC:
        if not 0.0 < score < math.inf:
            raise AttributionError("the model file: base_score: expected a number above 0")
        return math.log(score)
    if not math.isfinite(score):
        raise AttributionError("the model file: base_score: expected a finite number")
    return score


def _linear(
    booster: Mapping[str, Any],
    names: tuple[str, ...] | None,
    features: int,
    base: NDArray[np.float64],
) -> LinearModel:
    written = reals(member(booster, "model", "weights"), "weights")
    if len(written) != (features + 1) * len(base) or not np.isfinite(written).all():
        raise AttributionError(
            f"the model file: weights: expected {features + 1} finite numbers for each output"
        )
    weights = written.reshape(features + 1, len(base))
    return LinearModel(
        names=names, coefficients=weights[:-1].T.copy(), intercept=base + weights[-1]
    )


def _tree(
    document: Any, number: int, output: int, scale: float, features: int, outputs: int
) -> Tree:
    place = f"trees[{number}]"
    left = wholes(member(document, "left_children"), f"{place}.left_children")
    nodes = len(left)

    def numbers(key: str) -> NDArray[np.float64]:
        return reals(member(document, key), f"{place}.{key}", length=nodes)

    vector = document.get("tree_param", {})
    if isinstance(vector, dict) and str(vector.get("size_leaf_vector", "0")) not in ("0", "1"):
        raise AttributionError(
            f"{place}: leaves with several values (multi_strategy=multi_output_tree) cannot be "
            "read; train one tree for each output, or use a scorer"
        )
    # Written with the digits that tell float32 numbers apart.
    with np.errstate(over="ignore"):
        condition = numbers("split_conditions").astype(np.float32).astype(np.float64)
    tree = Tree(
        left=left,
        right=wholes(member(document, "right_children"), f"{place}.right_children", length=nodes),
        feature=wholes(member(document, "split_indices"), f"{place}.split_indices", length=nodes),
        threshold=condition,
        missing=np.full(nodes, Missing.NAN, dtype=np.int8),
        missing_left=numbers("default_left") != 0,
        cover=numbers("sum_hessian"),
        value=np.where(left < 0, condition * scale, 0.0),
        categories=_categories(document, place, nodes),
        output=output,
    )
    check_tree(tree, features=features, outputs=outputs, place=place)
    return tree


def _categories(document: Mapping[str, Any], place: str, nodes: int) -> dict[int, frozenset[int]]:
    owners = wholes(document.get("categories_nodes", []), f"{place}.categories_nodes")
    every = wholes(document.get("categories", []), f"{place}.categories")
    starts = wholes(document.get("categories_segments", []), f"{place}.categories_segments")
    sizes = wholes(document.get("categories_sizes", []), f"{place}.categories_sizes")
    if not len(owners) == len(starts) == len(sizes):
        owners, starts, sizes, every = owners[:0], starts[:0], sizes[:0], np.array([-1])
    ends = starts + sizes
    wrong = (owners < 0) | (owners >= nodes) | (starts < 0) | (sizes < 0) | (ends > len(every))
    if wrong.any() or ((every < 0) | (every >= _MOST_CATEGORY)).any():
        raise AttributionError(f"{place}: the categories of its splits do not fit together")
    return {
        int(owner): frozenset(every[start:end].tolist())
        for owner, start, end in zip(owners, starts, ends, strict=True)
    }
