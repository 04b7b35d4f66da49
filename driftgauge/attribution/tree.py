r"""TreeSHAP: exact SHAP values of trees.

A row reaches a leaf if it passes the tests on every feature of the leaf's path. With some features
known the leaf counts as much as ``product of o_j over known * product of z_j over unknown``:
o_j is 1 if the row passes the tests on feature j, else 0; z_j is the share of training rows
that do (path-dependent), or 1 or 0 as a reference row does (interventional). The SHAP value of
such a product is

    phi_j = value (o_j - z_j) \int_0^1 \prod_{k \ne j} (t o_k + (1 - t) z_k) dt ,

for the Shapley weights s! (d - 1 - s)! / d! are Beta integrals of t**s (1 - t)**(d - 1 - s). The
integrand is a polynomial of degree d - 1 without cancellation, so Gauss-Legendre quadrature with
d / 2 points is exact. The game is that of Lundberg et al., "From local explanations to global
understanding with explainable AI for trees", Nature Machine Intelligence 2, 2020.

Rows that pass the same tests of a leaf share its contribution: it is computed once for each
pattern of passed tests, not for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.ensembles import Tree, TreeEnsemble
from driftgauge.attribution.reference import Reference
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.values import Attributions, label_names
from driftgauge.errors import AttributionError

_ROWS_AT_ONCE = 4096
# Patterns of up to so many features are bits of one integer.
_BITS = 62


def explain_by_trees(
    ensemble: TreeEnsemble,
    rows: FeatureRows,
    reference: Reference | None = None,
    *,
    labels: tuple[str, ...] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Attributions:
    """Explain the output of trees, before any link function: log odds of a classifier.

    Parameters
    ----------
    ensemble : TreeEnsemble
    rows : FeatureRows
        With the model's features in its order.
    reference : Reference or None
        Rows that unknown features are taken from ("interventional"); None: the distribution of
        training rows along each path ("path-dependent").
    labels : tuple of str or None
        Names of the outputs; None: ``label0``, ...
    progress : callable or None
        Is told the number of rows as they are explained.

    Raises
    ------
    AttributionError
        If the features are not the model's, a feature that it uses has words, or it holds no
        number of training rows.
    """
    numbers = model_numbers(ensemble, rows)
    known = None if reference is None else model_numbers(ensemble, reference.rows)
    labels = labels or label_names(ensemble.outputs)
    values = np.zeros((ensemble.outputs, rows.rows, ensemble.features))
    if known is None:
        paths = [(tree, _paths(tree)) for tree in ensemble.trees]
        _check_cover(ensemble)
        expected = ensemble.base.copy()
        for tree, leaves in paths:
            expected[tree.output] += sum(leaf.value * float(leaf.share.prod()) for leaf in leaves)
        weights = np.empty(0)
    else:
        paths = [(tree, _paths(tree)) for tree in ensemble.trees]
        weights = reference.weights / reference.weights.sum() if reference else np.empty(0)
        expected = weights @ ensemble.score(known)
    for start in range(0, rows.rows, _ROWS_AT_ONCE):
        part = numbers[start : start + _ROWS_AT_ONCE]
        for tree, leaves in paths:
            target = values[tree.output, start : start + len(part)]
            ways = ensemble.goes_left(tree, part)
            if known is None:
                for leaf in leaves:
                    _add_by_path(leaf, ways, target)
            else:
                there = ensemble.goes_left(tree, known)
                for leaf in leaves:
                    _add_by_reference(leaf, ways, there, weights, target)
        if progress is not None:
            progress(len(part))
    return Attributions(features=rows.names, labels=labels, values=values, expected=expected)


def model_numbers(ensemble: TreeEnsemble, rows: FeatureRows) -> NDArray[np.float64]:
    """Return the cells of rows as the model takes them.

    Raises
    ------
    AttributionError
        If the features are not the model's, or a feature that it uses has words.
    """
    if len(rows.names) != ensemble.features or ensemble.names not in (None, rows.names):
        raise AttributionError(
            f"the rows have {len(rows.names)} features that are not the model's "
            f"{ensemble.features} in its order"
        )
    worded = set(rows.worded)
    bad = [rows.names[j] for j in sorted(ensemble.used) if rows.names[j] in worded]
    if bad:
        raise AttributionError(
            f"the model takes numbers, but {', '.join(map(repr, bad[:5]))} has words: give the "
            "data as the model receives it, with categories as their codes"
        )
    return rows.numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class _Leaf:
    """A leaf and the tests on its path, by feature.

    Attributes
    ----------
    value : float
    features : ndarray of int, shape (d,)
        Each once.
    tests : tuple of tuple of (int, bool)
        For each feature the nodes and whether the path goes left there.
    share : ndarray of float64, shape (d,)
        Share of training rows that pass.
    """

    value: float
    features: NDArray[np.intp]
    tests: tuple[tuple[tuple[int, bool], ...], ...]
    share: NDArray[np.float64]

    def passed(self, ways: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which rows pass the tests on which features; shape (d, rows)."""
        passed = np.ones((len(self.tests), ways.shape[1]), dtype=np.bool_)
        for j, tests in enumerate(self.tests):
            for node, left in tests:
                passed[j] &= ways[node] if left else ~ways[node]
        return passed


def _paths(tree: Tree) -> list[_Leaf]:
    """Return the leaves below the root; a tree that is one leaf has none that explain."""
    leaves = []
    stack: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(0, ())]
    while stack:
        node, path = stack.pop()
        if tree.left[node] >= 0:
            stack.append((int(tree.right[node]), (*path, (node, False))))
            stack.append((int(tree.left[node]), (*path, (node, True))))
        else:
            leaves.append(_leaf(tree, node, path))
    return leaves


def _leaf(tree: Tree, node: int, path: tuple[tuple[int, bool], ...]) -> _Leaf:
    tests: dict[int, list[tuple[int, bool]]] = {}
    share: dict[int, float] = {}
    for parent, left in path:
        feature = int(tree.feature[parent])
        tests.setdefault(feature, []).append((parent, left))
        child = tree.left[parent] if left else tree.right[parent]
        cover = float(tree.cover[parent])
        part = float(tree.cover[child]) / cover if cover > 0.0 else 0.0
        share[feature] = share.get(feature, 1.0) * part
    return _Leaf(
        value=float(tree.value[node]),
        features=np.array(list(tests), dtype=np.intp),
        tests=tuple(map(tuple, tests.values())),
        share=np.array(list(share.values())),
    )


def _check_cover(ensemble: TreeEnsemble) -> None:
    for number, tree in enumerate(ensemble.trees):
        cover = tree.cover[tree.left >= 0]
        if not (np.isfinite(tree.cover).all() and (cover > 0.0).all()):
            raise AttributionError(
                f"tree {number} does not say how many training rows came by its nodes; give "
                "reference rows, which need no such counts"
            )


def _patterns(passed: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return the different columns, shape (patterns, d), and the one of each row."""
    if len(passed) <= _BITS:
        keys = (1 << np.arange(len(passed), dtype=np.int64)) @ passed
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return passed[:, first].T, inverse
    distinct, inverse = np.unique(passed, axis=1, return_inverse=True)
    return distinct.T, inverse.ravel()


def _add_by_path(leaf: _Leaf, ways: NDArray[np.bool_], target: NDArray[np.float64]) -> None:
    """Add what a leaf contributes; ``target`` has the shape (rows, features)."""
    if not len(leaf.features):
        return
    patterns, pattern_of_row = _patterns(leaf.passed(ways))
    ones = patterns.astype(np.float64)
    points, weights = _quadrature((len(leaf.features) + 1) // 2)
    factors = ones[:, :, None] * points + leaf.share[:, None] * (1.0 - points)
    rest = _products_of_others(factors) @ weights
    phi = leaf.value * (ones - leaf.share) * rest
    target[:, leaf.features] += phi[pattern_of_row]


def _products_of_others(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, along axis 1, the product of all factors but one, for each."""
    before = np.ones_like(factors)
    np.cumprod(factors[:, :-1], axis=1, out=before[:, 1:])
    after = np.ones_like(factors)
    after[:, :-1] = np.cumprod(factors[:, :0:-1], axis=1)[:, ::-1]
    return before * after


@cache
def _quadrature(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Gauss-Legendre points and weights on (0, 1)."""
    x, weights = np.polynomial.legendre.leggauss(points)
    return (x + 1.0) / 2.0, weights / 2.0


def _add_by_reference(
    leaf: _Leaf,
    ways: NDArray[np.bool_],
    there: NDArray[np.bool_],
    weights: NDArray[np.float64],
    target: NDArray[np.float64],
) -> None:
    """Add what a leaf contributes, as the mean over reference rows.

    With z of 0 and 1 the integral is a Beta function: of a features that only the row passes and b
    that only the reference row passes, the former get (a - 1)! b! / (a + b)!, the latter
    -a! (b - 1)! / (a + b)!; nothing if there is a feature that neither passes.
    """
    if not len(leaf.features):
        return
    own, pattern_of_row = _patterns(leaf.passed(ways))
    other, pattern_of_reference = _patterns(leaf.passed(there))
    share = np.bincount(pattern_of_reference, weights=weights, minlength=len(other))
    table = _beta(len(leaf.features))
    phi = np.zeros(own.shape)
    for pattern, part in zip(other, share.tolist(), strict=True):
        gained = own & ~pattern
        lost = ~own & pattern
        reached = (own | pattern).all(axis=1)
        a, b = gained.sum(axis=1), lost.sum(axis=1)
        up = np.where(reached, table[a, b], 0.0)[:, None]
        down = np.where(reached, table[b, a], 0.0)[:, None]
        phi += part * (gained * up - lost * down)
    target[:, leaf.features] += leaf.value * phi[pattern_of_row]


@cache
def _beta(most: int) -> NDArray[np.float64]:
    """Return (a - 1)! b! / (a + b)! for a, b up to ``most``; 0 for a = 0."""
    table = np.zeros((most + 1, most + 1))
    for b in range(most + 1):
        term = 1.0 / (b + 1)
        for a in range(1, most + 1 - b):
            table[a, b] = term
            term *= a / (a + b + 1)
    return table
