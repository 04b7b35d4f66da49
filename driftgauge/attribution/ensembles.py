"""Decision trees as arrays: what the readers of model files make, and what TreeSHAP walks.

Values and decisions are those of XGBoost and LightGBM, which differ in what is compared, in what
counts as missing, and in how categories are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import AttributionError

# Numbers closer to 0 than this count as zero where zero means missing (LightGBM).
_ZERO = 1e-35


class Missing(IntEnum):
    """What a split takes for missing."""

    NOTHING = 0  # a gap is 0
    ZERO = 1
    NAN = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """One tree; node 0 is the root.

    Attributes
    ----------
    left, right : ndarray of int64, shape (nodes,)
        The children; -1 for a leaf.
    feature : ndarray of int64, shape (nodes,)
        What is split on.
    threshold : ndarray of float64, shape (nodes,)
        Numbers below it, with ``TreeEnsemble.inclusive`` also those equal to it, go left.
    missing : ndarray of int8, shape (nodes,)
        A ``Missing``.
    missing_left : ndarray of bool, shape (nodes,)
        Where missing values go.
    cover : ndarray of float64, shape (nodes,)
        Training rows, or their weight, that came by.
    value : ndarray of float64, shape (nodes,)
        What a leaf adds to the output.
    categories : mapping of int to frozenset of int
        Nodes that split on a category: those that are told.
    output : int
        The output that the tree adds to.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing: NDArray[np.int8]
    missing_left: NDArray[np.bool_]
    cover: NDArray[np.float64]
    value: NDArray[np.float64]
    categories: Mapping[int, frozenset[int]]
    output: int

    @property
    def nodes(self) -> int:
        """Number of nodes, leaves included."""
        return int(self.left.shape[0])

    @property
    def leaves(self) -> NDArray[np.intp]:
        """The leaves."""
        return np.flatnonzero(self.left < 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeEnsemble:
    """A boosted model: the output is ``base`` and the sum of one leaf of every tree.

    Attributes
    ----------
    names : tuple of str or None
        The features; None: the file does not name them.
    features : int
        Number of features.
    base : ndarray of float64, shape (outputs,)
    trees : tuple of Tree
    inclusive : bool
        LightGBM's ``<=`` instead of XGBoost's ``<``.
    single : bool
        Numbers are rounded to float32 first, as XGBoost does.
    listed_left : bool
        Listed categories go left (LightGBM), or right (XGBoost).
    """

    names: tuple[str, ...] | None
    features: int
    base: NDArray[np.float64]
    trees: tuple[Tree, ...]
    inclusive: bool
    single: bool
    listed_left: bool

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self.base.shape[0])

    @property
    def used(self) -> frozenset[int]:
        """The features that some tree splits on."""
        return frozenset(
            int(feature)
            for tree in self.trees
            for feature in np.unique(tree.feature[tree.left >= 0]).tolist()
        )

    def goes_left(self, tree: Tree, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which way each row would take at each node; shape (nodes, rows)."""
        rows = self.rounded(rows)
        ways = np.zeros((tree.nodes, rows.shape[0]), dtype=np.bool_)
        for node in np.flatnonzero(tree.left >= 0).tolist():
            values = rows[:, tree.feature[node]]
            ways[node] = (
                self._by_category(tree, node, values)
                if node in tree.categories
                else self._by_number(tree, node, values)
            )
        return ways

    def rounded(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return numbers with the precision in which they are compared."""
        if not self.single:
            return rows
        with np.errstate(over="ignore"):
            return rows.astype(np.float32).astype(np.float64)

    def _by_number(self, tree: Tree, node: int, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        absent = np.isnan(values)
        kind = tree.missing[node]
        if kind != Missing.NAN and absent.any():
            values = np.where(absent, 0.0, values)
        if kind == Missing.ZERO:
            absent = np.abs(values) <= _ZERO
        elif kind == Missing.NOTHING:
            absent = np.zeros_like(absent)
        limit = tree.threshold[node]
        below = values <= limit if self.inclusive else values < limit
        left: NDArray[np.bool_] = np.where(absent, tree.missing_left[node], below)
        return left

    def _by_category(self, tree: Tree, node: int, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        absent = np.isnan(values)
        # Categories are whole numbers: fractions are cut off, as both libraries do.
        whole = np.trunc(np.where(absent, -1.0, values))
        listed = np.isin(whole, list(tree.categories[node]))
        left: NDArray[np.bool_] = np.where(
            absent, tree.missing_left[node], listed == self.listed_left
        )
        return left

    def score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs before any link function.

        Parameters
        ----------
        rows : ndarray of float64, shape (rows, features)

        Returns
        -------
        ndarray of float64, shape (rows, outputs)
        """
        scores = np.tile(self.base, (rows.shape[0], 1))
        every = np.arange(rows.shape[0])
        for tree in self.trees:
            ways = self.goes_left(tree, rows)
            place = np.zeros(rows.shape[0], dtype=np.int64)
            while True:
                inner = tree.left[place] >= 0
                if not inner.any():
                    break
                child = np.where(ways[place, every], tree.left[place], tree.right[place])
                place = np.where(inner, child, place)
            scores[:, tree.output] += tree.value[place]
        return scores


def check_tree(tree: Tree, *, features: int, outputs: int, place: str) -> None:
    """Check that arrays of a file are a tree.

    Raises
    ------
    AttributionError
        If a child does not exist, a node has two parents or none, a feature does not exist, or a
        number is not finite.
    """
    nodes = tree.nodes
    inner = np.flatnonzero(tree.left >= 0)
    children = np.concatenate((tree.left[inner], tree.right[inner]))
    if not nodes or (tree.right[tree.left < 0] >= 0).any():
        raise AttributionError(f"{place}: not a tree: a node with one child, or none at all")
    if ((children < 1) | (children >= nodes)).any():
        raise AttributionError(f"{place}: not a tree: a child is none of its {nodes} nodes")
    if len(np.unique(children)) != len(children) or len(children) != nodes - 1:
        raise AttributionError(f"{place}: not a tree: a node has two parents, or none")
    _check_reach(tree, place)
    asked = tree.feature[inner]
    if ((asked < 0) | (asked >= features)).any():
        raise AttributionError(f"{place}: a split on a feature beyond the model's {features}")
    if not 0 <= tree.output < outputs:
        raise AttributionError(f"{place}: adds to output {tree.output} of {outputs}")
    if not np.isfinite(tree.value[tree.left < 0]).all():
        raise AttributionError(f"{place}: a leaf's value is not finite")
    plain = [node for node in inner.tolist() if node not in tree.categories]
    if np.isnan(tree.threshold[plain]).any():
        raise AttributionError(f"{place}: a split's threshold is not a number")


def _check_reach(tree: Tree, place: str) -> None:
    """Check that the root leads to every node: a circle apart from it has one parent a node."""
    level = np.array([0], dtype=np.int64)
    reached = 0
    while len(level):
        reached += len(level)
        if reached > tree.nodes:
            break
        inner = level[tree.left[level] >= 0]
        level = np.concatenate((tree.left[inner], tree.right[inner]))
    if reached != tree.nodes:
        raise AttributionError(f"{place}: not a tree: nodes go round in a circle")
