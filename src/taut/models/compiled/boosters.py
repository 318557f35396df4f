"""LightGBM and XGBoost as operators: their own description of their trees, read as JSON."""

import json
from typing import Any

from taut.models.compiled.answers import Answered, classes_of, of_raw, plus
from taut.models.compiled.graph import Column, Graph, Unsupported
from taut.models.compiled.steps import numbers
from taut.models.compiled.trees import LESS, Tree, ensemble

LIGHTGBM_LINKS = {"regression": "", "regression_l1": "", "huber": "", "quantile": "", "mape": "", "fair": "",
                  "poisson": "Exp", "gamma": "Exp", "tweedie": "Exp"}  # fmt: skip
XGBOOST_LINKS = {"reg:squarederror": "", "reg:absoluteerror": "", "reg:pseudohubererror": "",
                 "reg:squaredlogerror": "", "count:poisson": "Exp", "reg:gamma": "Exp", "reg:tweedie": "Exp",
                 "reg:logistic": "Sigmoid"}  # fmt: skip


def lightgbm(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    """A LightGBM classifier or regressor: thresholds and leaves are doubles, as it compares and adds them itself."""
    told = model.booster_.dump_model()
    objective, *settings = str(told.get("objective", "")).split()
    if told.get("average_output"):
        raise Unsupported("LightGBM that averages its trees")
    targets = int(told["num_tree_per_iteration"])
    trees = [_lightgbm_tree(tree["tree_structure"], place % targets) for place, tree in enumerate(told["tree_info"])]
    if not trees:
        raise Unsupported("LightGBM without a tree")
    raw = ensemble(graph, numbers(graph, columns), trees, targets=targets)
    if hasattr(model, "classes_"):
        factor = {"binary": 1.0, "multiclass": 1.0}.get(objective)
        if factor is None or (objective == "binary") != (len(model.classes_) == 2):
            raise Unsupported(f"LightGBM with the objective {objective!r}")
        given = [setting.partition(":")[2] for setting in settings if setting.startswith("sigmoid:")]
        return of_raw(graph, raw, classes_of(model), factor=float(given[0]) if given else factor)
    if objective not in LIGHTGBM_LINKS or "sqrt" in settings:
        raise Unsupported(f"LightGBM with the objective {' '.join([objective, *settings])!r}")
    link = LIGHTGBM_LINKS[objective]
    return Answered(graph.op(link, raw) if link else raw)


def xgboost(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    """An XGBoost classifier or regressor: rows and thresholds are float32 there, and so is the sum of its leaves."""
    import numpy as np
    from onnx import TensorProto

    learner = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree" or not np.isnan(model.missing):
        raise Unsupported(f"XGBoost with {booster['name']}, or with missing values that are not NaN")
    parts = booster["model"]
    targets = max(1, int(learner["learner_model_param"]["num_class"]))
    best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
    kept = len(parts["trees"]) if best is None else parts["iteration_indptr"][best + 1]
    trees = [_xgboost_tree(tree, parts["tree_info"][place]) for place, tree in enumerate(parts["trees"][:kept])]
    rows = numbers(graph, columns)
    single = graph.op("Cast", graph.op("Cast", rows, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    raw = ensemble(graph, single, trees, targets=targets)
    start = np.array(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64).reshape(-1)
    if hasattr(model, "classes_"):
        if objective == "binary:logistic":
            raw = plus(graph, raw, np.log(start) - np.log1p(-start))
        elif objective == "multi:softprob":
            raw = plus(graph, raw, start)
        else:
            raise Unsupported(f"XGBoost with the objective {objective!r}")
        answered = of_raw(graph, raw, classes_of(model))
        return Answered(answered.tensor, answered.classes, single=True)
    if objective not in XGBOOST_LINKS:
        raise Unsupported(f"XGBoost with the objective {objective!r}")
    link = XGBOOST_LINKS[objective]
    if link:
        start = np.log(start) if link == "Exp" else np.log(start) - np.log1p(-start)
    raw = plus(graph, raw, start)
    return Answered(graph.op(link, raw) if link else raw, single=True)


def _lightgbm_tree(root: dict[str, Any], target: int) -> Tree:
    """A tree of dictionaries as arrays, the root first."""
    import numpy as np

    nodes: list[tuple[int, float, int, int, bool, float]] = []
    waiting: list[tuple[dict[str, Any], int, int]] = [(root, -1, 0)]  # A node, its parent's place, which side of it.
    links: dict[tuple[int, int], int] = {}
    while waiting:
        node, parent, side = waiting.pop()
        place = len(nodes)
        links[parent, side] = place
        if "leaf_value" in node:
            nodes.append((0, 0.0, -1, -1, False, float(node["leaf_value"])))
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise Unsupported("LightGBM with categories, or with zeros for missing values")
        threshold = float(node["threshold"])
        # Where training saw no missing value, one is a zero to LightGBM.
        goes_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
        nodes.append((int(node["split_feature"]), threshold, 0, 0, goes_left, 0.0))
        waiting += [(node["right_child"], place, 1), (node["left_child"], place, 0)]
    feature, threshold_of, left, _, missing, value = (np.array(each) for each in zip(*nodes, strict=True))
    lefts = np.array([links.get((place, 0), -1) for place in range(len(nodes))])
    rights = np.array([links.get((place, 1), -1) for place in range(len(nodes))])
    return Tree(feature, threshold_of, np.where(left < 0, -1, lefts), rights, missing, value, target)


def _xgboost_tree(tree: dict[str, Any], target: int) -> Tree:
    import numpy as np

    if tree.get("categories_nodes") or any(tree.get("split_type", ())):
        raise Unsupported("XGBoost with categories")
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    return Tree(
        np.array(tree["split_indices"]), conditions, left, np.array(tree["right_children"]),
        np.array(tree["default_left"]), conditions, target, LESS,
    )  # fmt: skip
