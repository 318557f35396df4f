"""Trees as ONNX's TreeEnsemble, thresholds and leaves in float64, as scikit-learn, LightGBM and XGBoost grow them.

The operator of version 5 of `ai.onnx.ml` compares and adds in the type of its input; the older ones, which converters
write, round thresholds to float32 and send a value near one of them to the other side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from taut.models.compiled.graph import ML, Graph, Unsupported

LESS_OR_EQUAL, LESS = 0, 1  # Modes of a node, as the operator numbers them.


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree by its nodes, node 0 its root: arrays of one length.

    A row goes to `left` where its `feature` is at most `threshold` (below it, for `mode` LESS), a missing value where
    `missing_left` says. A node whose `left` is negative is a leaf, and adds `value` to output `target`.
    """

    feature: Any
    threshold: Any
    left: Any
    right: Any
    missing_left: Any
    value: Any
    target: int = 0
    mode: int = LESS_OR_EQUAL


def ensemble(graph: Graph, rows: str, trees: Sequence[Tree], *, targets: int) -> str:
    """The sums of all trees [rows, targets] over a tensor [rows, features] of float64."""
    import numpy as np
    from onnx import numpy_helper

    columns: dict[str, list[Any]] = {name: [] for name in (
        "features", "splits", "modes", "missing", "true", "false", "true_leaf", "false_leaf", "weights", "leaf_targets",
    )}  # fmt: skip
    roots: list[int] = []
    inner_count = leaf_count = 0
    for tree in map(_branched, trees):
        roots.append(inner_count)
        inner, leaf = np.asarray(tree.left) >= 0, np.asarray(tree.left) < 0
        places = np.where(inner, np.cumsum(inner) - 1 + inner_count, np.cumsum(leaf) - 1 + leaf_count)
        leaf_count += int(leaf.sum())
        columns["weights"].append(np.asarray(tree.value, dtype=np.float64)[leaf])
        columns["leaf_targets"].append(np.full(int(leaf.sum()), tree.target, dtype=np.int64))
        inner_count += int(inner.sum())
        left, right = np.asarray(tree.left)[inner], np.asarray(tree.right)[inner]
        columns["features"].append(np.asarray(tree.feature)[inner])
        columns["splits"].append(np.asarray(tree.threshold, dtype=np.float64)[inner])
        columns["modes"].append(np.full(len(left), tree.mode))
        columns["missing"].append(np.asarray(tree.missing_left)[inner])
        columns["true"].append(places[left])
        columns["false"].append(places[right])
        columns["true_leaf"].append(leaf[left])
        columns["false_leaf"].append(leaf[right])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    whole = {name: joined[name].astype(np.int64).tolist() for name in joined if name not in ("splits", "weights")}
    return graph.op(
        "TreeEnsemble", rows, domain=ML, n_targets=targets, aggregate_function=1, post_transform=0,
        tree_roots=roots, nodes_featureids=whole["features"],
        nodes_splits=numpy_helper.from_array(joined["splits"], "splits"),
        nodes_modes=numpy_helper.from_array(joined["modes"].astype(np.uint8), "modes"),
        nodes_truenodeids=whole["true"], nodes_falsenodeids=whole["false"], nodes_trueleafs=whole["true_leaf"],
        nodes_falseleafs=whole["false_leaf"], nodes_missing_value_tracks_true=whole["missing"],
        leaf_targetids=whole["leaf_targets"],
        leaf_weights=numpy_helper.from_array(joined["weights"], "weights"),
    )  # fmt: skip


def _branched(tree: Tree) -> Tree:
    """A tree whose root is a leaf with a node above it, both of whose ways lead there: the operator wants a node."""
    import numpy as np

    if len(tree.left) > 1:
        return tree
    nothing, leaves = np.zeros(3), np.array([1, -1, -1])
    value = np.repeat(np.asarray(tree.value), 3)
    return Tree(nothing, nothing, leaves, np.array([2, -1, -1]), nothing, value, tree.target, tree.mode)


def of_sklearn(
    estimators: Iterable[Any], *, weight: float = 1.0, output: int | None = None, target: int = 0
) -> list[Tree]:
    """scikit-learn's own trees: of one `output` that adds to `target`, or of all, a copy of the tree for each.

    A leaf of theirs holds a share for each class, one of the operator's adds to a single output.
    """
    import numpy as np

    trees: list[Tree] = []
    for estimator in estimators:
        grown = estimator.tree_
        values = grown.value[:, 0, :]
        missing = getattr(grown, "missing_go_to_left", None)
        sides = np.zeros(grown.node_count) if missing is None else missing
        wanted = range(values.shape[1]) if output is None else (output,)
        trees += [
            Tree(grown.feature, grown.threshold, grown.children_left, grown.children_right, sides,
                 values[:, place] * weight, place if output is None else target)
            for place in wanted
        ]  # fmt: skip
    return trees


def of_histograms(stages: Sequence[Sequence[Any]]) -> list[Tree]:
    """The trees of scikit-learn's histogram gradient boosting: stages of one tree an output."""
    import numpy as np

    trees = []
    for stage in stages:
        for target, predictor in enumerate(stage):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise Unsupported("histogram gradient boosting with categorical features")
            leaf = nodes["is_leaf"].astype(bool)
            left = np.where(leaf, -1, nodes["left"].astype(np.int64))
            right = nodes["right"].astype(np.int64)
            trees.append(
                Tree(nodes["feature_idx"], nodes["num_threshold"], left, right, nodes["missing_go_to_left"],
                     nodes["value"], target)
            )  # fmt: skip
    return trees
