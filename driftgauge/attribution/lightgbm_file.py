"""Reads the models that LightGBM writes: ``save_model`` as text, ``dump_model`` as JSON.

In both a model is a list of trees in rounds, one tree for each output a round. Text holds each
tree as parallel arrays, in which a negative child is a leaf; JSON nests the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from driftgauge.attribution.ensembles import Missing, Tree, TreeEnsemble, check_tree
from driftgauge.attribution.model_json import items, member, names_of, real, whole
from driftgauge.errors import AttributionError

_MOST_FEATURES = 100_000
_MOST_OUTPUTS = 10_000
_MOST_NODES = 10_000_000
_MOST_CATEGORY = (1 << 31) - 1
_MISSING_WORDS = {"None": Missing.NOTHING, "Zero": Missing.ZERO, "NaN": Missing.NAN}
_WORD_BITS = 32


@dataclass(frozen=True, kw_only=True)
class _Node:
    """One node as it is read; children are places in the list of nodes, -1 in a leaf."""

    cover: float
    value: float = 0.0
    feature: int = 0
    threshold: float = 0.0
    missing: Missing = Missing.NOTHING
    missing_left: bool = False
    categories: frozenset[int] | None = None
    left: int = -1
    right: int = -1


def is_lightgbm(document: Any) -> bool:
    """Tell whether a JSON document is LightGBM's."""
    return isinstance(document, dict) and "tree_info" in document


def is_lightgbm_text(data: bytes) -> bool:
    """Tell whether bytes are LightGBM's text."""
    return data[:5] in (b"tree\n", b"tree\r")


def read_lightgbm(document: Any) -> TreeEnsemble:
    """Read what ``dump_model`` returns.

    Raises
    ------
    AttributionError
        With the place in the file and what is wrong there.
    """
    features = 1 + whole(
        member(document, "max_feature_idx"), "max_feature_idx", least=-1, most=_MOST_FEATURES
    )
    trees = []
    for number, entry in enumerate(items(member(document, "tree_info"), "tree_info")):
        place = f"tree_info[{number}]"
        trees.append(_flattened(member(entry, "tree_structure"), place))
    return _ensemble(
        names=names_of(document.get("feature_names", []), "feature_names", length=features),
        features=features,
        outputs=whole(
            document.get("num_tree_per_iteration", 1),
            "num_tree_per_iteration",
            least=1,
            most=_MOST_OUTPUTS,
        ),
        averaged=document.get("average_output") is True,
        trees=trees,
    )


def read_lightgbm_text(data: bytes) -> TreeEnsemble:
    """Read what ``save_model`` writes.

    Raises
    ------
    AttributionError
        With the place in the file and what is wrong there.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AttributionError(f"the LightGBM model is not UTF-8: {error}") from error
    head, blocks = _blocks(text)
    features = 1 + whole(
        head.get("max_feature_idx"), "max_feature_idx", least=-1, most=_MOST_FEATURES
    )
    return _ensemble(
        names=names_of(head.get("feature_names", "").split(), "feature_names", length=features),
        features=features,
        outputs=whole(
            head.get("num_tree_per_iteration", 1),
            "num_tree_per_iteration",
            least=1,
            most=_MOST_OUTPUTS,
        ),
        averaged="average_output" in head,
        trees=[_nodes_of_text(block, f"Tree={i}") for i, block in enumerate(blocks)],
    )


def _blocks(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Split the text into the head and one block for each tree."""
    head: dict[str, str] = {}
    blocks: list[dict[str, str]] = []
    here = head
    for line in text.splitlines():
        if line.strip() == "end of trees":
            return head, blocks
        key, _, value = line.partition("=")
        if key == "Tree":
            blocks.append(here := {})
        elif key.strip():
            here[key.strip()] = value.strip()
    raise AttributionError("the LightGBM model is cut off: it has no line 'end of trees'")


def _ensemble(
    *,
    names: tuple[str, ...] | None,
    features: int,
    outputs: int,
    averaged: bool,
    trees: Sequence[list[_Node]],
) -> TreeEnsemble:
    if len(trees) % outputs:
        raise AttributionError(f"the model file: {len(trees)} trees for {outputs} outputs a round")
    # A random forest's output is the mean of its rounds.
    scale = outputs / len(trees) if averaged and trees else 1.0
    built = []
    for number, nodes in enumerate(trees):
        tree = _arrays(nodes, output=number % outputs, scale=scale)
        check_tree(tree, features=features, outputs=outputs, place=f"tree {number}")
        built.append(tree)
    return TreeEnsemble(
        names=names,
        features=features,
        base=np.zeros(outputs),
        trees=tuple(built),
        inclusive=True,
        single=False,
        listed_left=True,
    )


def _arrays(nodes: list[_Node], *, output: int, scale: float) -> Tree:
    return Tree(
        left=np.array([node.left for node in nodes], dtype=np.int64),
        right=np.array([node.right for node in nodes], dtype=np.int64),
        feature=np.array([node.feature for node in nodes], dtype=np.int64),
        threshold=np.array([node.threshold for node in nodes]),
        missing=np.array([node.missing for node in nodes], dtype=np.int8),
        missing_left=np.array([node.missing_left for node in nodes], dtype=np.bool_),
        cover=np.array([node.cover for node in nodes]),
        value=np.array([node.value * scale for node in nodes]),
        categories={
            i: node.categories for i, node in enumerate(nodes) if node.categories is not None
        },
        output=output,
    )


def _flattened(root: Any, place: str) -> list[_Node]:
    """Turn nested nodes into a list, the root first."""
    nodes: list[_Node] = []
    waiting: list[tuple[Any, str]] = [(root, f"{place}.tree_structure")]
    total = 1
    while waiting:
        if total > _MOST_NODES:
            raise AttributionError(f"{place}: more than {_MOST_NODES} nodes")
        following: list[tuple[Any, str]] = []
        for item, where in waiting:
            if not isinstance(item, dict):
                raise AttributionError(f"{where}: expected an object in braces")
            if "split_feature" not in item:
                nodes.append(_leaf_of_json(item, where))
                continue
            nodes.append(_split_of_json(item, where, left=total))
            total += 2
            following += [(item.get(side), f"{where}.{side}") for side in _SIDES]
        waiting = following
    return nodes


_SIDES = ("left_child", "right_child")


def _leaf_of_json(item: Mapping[str, Any], place: str) -> _Node:
    if "leaf_coeff" in item:
        raise _linear_leaves(place)
    return _Node(
        cover=real(item.get("leaf_count", 0), f"{place}.leaf_count"),
        value=real(member(item, "leaf_value"), f"{place}.leaf_value"),
    )


def _split_of_json(item: Mapping[str, Any], place: str, *, left: int) -> _Node:
    limit = member(item, "threshold")
    kind = item.get("decision_type")
    if kind not in ("<=", "=="):
        raise AttributionError(f"{place}: decision_type: expected '<=' or '=='")
    word = item.get("missing_type", "None")
    if word not in _MISSING_WORDS:
        raise AttributionError(f"{place}: missing_type: expected None, Zero or NaN")
    chosen = None
    if kind == "==":
        chosen = frozenset(
            whole(part, f"{place}.threshold", most=_MOST_CATEGORY)
            for part in str(limit).split("||")
        )
    return _Node(
        cover=real(item.get("internal_count", 0), f"{place}.internal_count"),
        feature=whole(item["split_feature"], f"{place}.split_feature", most=_MOST_FEATURES),
        threshold=0.0 if chosen is not None else real(limit, f"{place}.threshold"),
        missing=_MISSING_WORDS[word],
        # A gap is never one of the listed categories.
        missing_left=item.get("default_left") is True and chosen is None,
        categories=chosen,
        left=left,
        right=left + 1,
    )


def _nodes_of_text(block: Mapping[str, str], place: str) -> list[_Node]:
    """Return the inner nodes, the root first, and then the leaves."""
    if block.get("is_linear", "0") != "0":
        raise _linear_leaves(place)
    leaves = whole(block.get("num_leaves"), f"{place}.num_leaves", least=1, most=_MOST_NODES)
    inner = leaves - 1

    def line(key: str, length: int, *, needed: bool = True) -> list[str]:
        parts = block.get(key, "").split()
        if not parts and not needed:
            return ["0"] * length
        if len(parts) != length:
            raise AttributionError(f"{place}: {key}: {len(parts)} values instead of {length}")
        return parts

    def child(text: str, key: str) -> int:
        number = whole(text, f"{place}.{key}", least=-leaves, most=inner)
        return number if number >= 0 else inner + ~number

    columns = [
        line(key, inner)
        for key in ("split_feature", "threshold", "decision_type", "left_child", "right_child")
    ]
    came = line("internal_count", inner, needed=False)
    sets = _category_sets(block, place)
    nodes = []
    for i, (feature, limit, kind, left, right) in enumerate(zip(*columns, strict=True)):
        bits = whole(kind, f"{place}.decision_type", most=255)
        missing = (bits >> 2) & 3
        if missing == len(Missing):
            raise AttributionError(f"{place}: decision_type: {bits} is none")
        nodes.append(
            _Node(
                cover=real(came[i], f"{place}.internal_count"),
                feature=whole(feature, f"{place}.split_feature", most=_MOST_FEATURES),
                threshold=0.0 if bits & 1 else real(limit, f"{place}.threshold"),
                missing=Missing(missing),
                missing_left=bits & 3 == 2,
                categories=_chosen(sets, limit, place) if bits & 1 else None,
                left=child(left, "left_child"),
                right=child(right, "right_child"),
            )
        )
    values = line("leaf_value", leaves)
    stayed = line("leaf_count", leaves, needed=False)
    nodes += [
        _Node(cover=real(n, f"{place}.leaf_count"), value=real(v, f"{place}.leaf_value"))
        for v, n in zip(values, stayed, strict=True)
    ]
    return nodes


def _category_sets(block: Mapping[str, str], place: str) -> list[frozenset[int]]:
    """Return the sets of categories: bits of 32-bit words, between boundaries."""
    bounds = [
        whole(part, f"{place}.cat_boundaries") for part in block.get("cat_boundaries", "").split()
    ]
    words = [
        whole(part, f"{place}.cat_threshold", most=2**_WORD_BITS - 1)
        for part in block.get("cat_threshold", "").split()
    ]
    if bounds != sorted(bounds) or (bounds and bounds[-1] > len(words)):
        raise AttributionError(f"{place}: cat_boundaries and cat_threshold do not fit together")
    return [
        frozenset(
            _WORD_BITS * i + bit
            for i, word in enumerate(words[start:end])
            for bit in range(_WORD_BITS)
            if word >> bit & 1
        )
        for start, end in pairwise(bounds)
    ]


def _chosen(sets: list[frozenset[int]], text: str, place: str) -> frozenset[int]:
    number = real(text, f"{place}.threshold")
    if not (math.isfinite(number) and 0 <= number < len(sets) and number == int(number)):
        raise AttributionError(f"{place}: threshold: names a set of categories that is not there")
    return sets[int(number)]


def _linear_leaves(place: str) -> AttributionError:
    return AttributionError(
        f"{place}: trees with linear leaves (linear_tree=true) have no exact tree attribution; use "
        "a scorer"
    )
