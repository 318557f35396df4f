"""The model itself as operators: what it answers of numbers. One function and one row of FINALS each."""

from collections.abc import Callable, Sequence
from typing import Any

from taut.models.compiled.answers import Answered, classes_of, of_raw, plus
from taut.models.compiled.boosters import lightgbm, xgboost
from taut.models.compiled.graph import Column, Graph, Unsupported
from taut.models.compiled.steps import name_of, numbers, refuse_missing
from taut.models.compiled.trees import ensemble, of_histograms, of_sklearn

FLOAT_MAX = 3.4028234663852886e38  # The largest float32: scikit-learn's trees refuse what is past it.


Final = Callable[[Graph, Any, list[Column]], Answered]


def apply_final(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    """What a fitted model answers. Raises Unsupported for one that FINALS does not know."""
    name = name_of(model)
    if name not in FINALS:
        raise Unsupported(f"the model {name}")
    return FINALS[name](graph, model, columns)


def _histograms(graph: Graph, model: Any, columns: list[Column]) -> str:
    """Raw scores of histogram gradient boosting."""
    if getattr(model, "_preprocessor", None) is not None:
        raise Unsupported("histogram gradient boosting with categorical features")
    trees = of_histograms(model._predictors)  # Its trees stand nowhere else.
    targets = model.n_trees_per_iteration_
    rows = numbers(graph, columns)
    return plus(graph, ensemble(graph, rows, trees, targets=targets), model._baseline_prediction)


def _histogram_classifier(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    return of_raw(graph, _histograms(graph, model, columns), classes_of(model))


def _histogram_regressor(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    raw = _histograms(graph, model, columns)
    link = type(model._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise Unsupported(f"histogram gradient boosting with the {link}")
    return Answered(graph.op("Exp", raw) if link == "LogLink" else raw)


def _single_rows(graph: Graph, model: Any, columns: list[Column]) -> str:
    """Rows rounded to float32, as scikit-learn's own trees round them; thresholds stay float64."""
    import numpy as np
    from onnx import TensorProto

    rows = numbers(graph, columns)
    refuse_missing(graph, model, rows)
    large = graph.op("Greater", graph.op("Abs", rows), graph.constant(np.array(FLOAT_MAX)))
    graph.refuse_any(large, "Input X contains infinity or a value too large for dtype('float32').")
    return graph.op("Cast", graph.op("Cast", rows, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)


def _one_output(model: Any) -> None:
    if getattr(model, "n_outputs_", 1) != 1:
        raise Unsupported("a model of several outputs")


def _tree_classifier(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    return _voted(graph, model, [model], columns)


def _forest_classifier(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    return _voted(graph, model, model.estimators_, columns)


def _voted(graph: Graph, model: Any, trees: Sequence[Any], columns: list[Column]) -> Answered:
    import numpy as np

    _one_output(model)
    classes = classes_of(model)
    rows = _single_rows(graph, model, columns)
    targets = max(1, len(classes))
    sums = ensemble(graph, rows, of_sklearn(trees), targets=targets)
    shares = sums if len(trees) == 1 else graph.op("Div", sums, graph.constant(np.array(float(len(trees)))))
    return Answered(shares, classes)


def _tree_regressor(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    return _averaged(graph, model, [model], columns)


def _forest_regressor(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    return _averaged(graph, model, model.estimators_, columns)


def _averaged(graph: Graph, model: Any, trees: Sequence[Any], columns: list[Column]) -> Answered:
    import numpy as np

    _one_output(model)
    rows = _single_rows(graph, model, columns)
    sums = ensemble(graph, rows, of_sklearn(trees), targets=1)
    return Answered(sums if len(trees) == 1 else graph.op("Div", sums, graph.constant(np.array(float(len(trees))))))


def _boosted(graph: Graph, model: Any, columns: list[Column]) -> str:
    """Raw scores of gradient boosting over scikit-learn's own trees."""
    import numpy as np

    start = model.init_
    if not (isinstance(start, str) or type(start).__name__ in ("DummyClassifier", "DummyRegressor")):
        raise Unsupported(f"gradient boosting that starts from {type(start).__name__}")
    first = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
    rows = _single_rows(graph, model, columns)
    targets = model.estimators_.shape[1]
    trees = [
        tree
        for target in range(targets)
        for tree in of_sklearn(model.estimators_[:, target], weight=model.learning_rate, output=0, target=target)
    ]
    return plus(graph, ensemble(graph, rows, trees, targets=targets), first)


def _boosted_classifier(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    raw = _boosted(graph, model, columns)
    return of_raw(graph, raw, classes_of(model), factor=2.0 if model.loss == "exponential" else 1.0)


def _boosted_regressor(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    return Answered(_boosted(graph, model, columns))


def _linear(graph: Graph, model: Any, columns: list[Column]) -> str:
    import numpy as np

    rows = numbers(graph, columns)
    refuse_missing(graph, model, rows)
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    return plus(graph, graph.op("MatMul", rows, graph.constant(weights.T)), np.atleast_1d(model.intercept_))


def _linear_regressor(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    import numpy as np

    if np.size(model.intercept_) != 1:
        raise Unsupported("a model of several outputs")
    return Answered(_linear(graph, model, columns))


def _log_linear(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    link = type(model._base_loss.link).__name__
    raw = _linear(graph, model, columns)
    return Answered(graph.op("Exp", raw) if link == "LogLink" else raw)


def _logistic(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    classes = classes_of(model)
    if len(classes) > 2 and (getattr(model, "multi_class", "") == "ovr" or model.solver == "liblinear"):
        raise Unsupported("logistic regression of one class against the rest")
    return of_raw(graph, _linear(graph, model, columns), classes)


ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}


def _layers(graph: Graph, model: Any, columns: list[Column]) -> str:
    rows = numbers(graph, columns)
    refuse_missing(graph, model, rows)
    last = len(model.coefs_) - 1
    for place, (weights, shifts) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        rows = plus(graph, graph.op("MatMul", rows, graph.constant(weights.astype("float64"))), shifts)
        if place < last:
            rows = graph.op(ACTIVATIONS[model.activation], rows)
    return rows


def _layered_classifier(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    classes = classes_of(model)
    if model.out_activation_ not in ("logistic", "softmax") or (len(classes) > 2) != (
        model.out_activation_ == "softmax"
    ):
        raise Unsupported("a multi-layer perceptron of several labels")
    return of_raw(graph, _layers(graph, model, columns), classes)


def _layered_regressor(graph: Graph, model: Any, columns: list[Column]) -> Answered:
    if model.n_outputs_ != 1 or model.out_activation_ != "identity":
        raise Unsupported("a multi-layer perceptron of several outputs")
    return Answered(_layers(graph, model, columns))


LINEAR = (
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "Lasso", "LassoCV",
    "LassoLars", "LinearRegression", "OrthogonalMatchingPursuit", "QuantileRegressor", "Ridge", "RidgeCV",
    "SGDRegressor", "TheilSenRegressor",
)  # fmt: skip
FINALS: dict[str, Final] = {
    "lightgbm.sklearn.LGBMClassifier": lightgbm,
    "lightgbm.sklearn.LGBMRegressor": lightgbm,
    "sklearn.ensemble.ExtraTreesClassifier": _forest_classifier,
    "sklearn.ensemble.ExtraTreesRegressor": _forest_regressor,
    "sklearn.ensemble.GradientBoostingClassifier": _boosted_classifier,
    "sklearn.ensemble.GradientBoostingRegressor": _boosted_regressor,
    "sklearn.ensemble.HistGradientBoostingClassifier": _histogram_classifier,
    "sklearn.ensemble.HistGradientBoostingRegressor": _histogram_regressor,
    "sklearn.ensemble.RandomForestClassifier": _forest_classifier,
    "sklearn.ensemble.RandomForestRegressor": _forest_regressor,
    "sklearn.linear_model.LogisticRegression": _logistic,
    "sklearn.linear_model.LogisticRegressionCV": _logistic,
    "sklearn.linear_model.GammaRegressor": _log_linear,
    "sklearn.linear_model.PoissonRegressor": _log_linear,
    "sklearn.linear_model.TweedieRegressor": _log_linear,
    "sklearn.neural_network.MLPClassifier": _layered_classifier,
    "sklearn.neural_network.MLPRegressor": _layered_regressor,
    "sklearn.tree.DecisionTreeClassifier": _tree_classifier,
    "sklearn.tree.DecisionTreeRegressor": _tree_regressor,
    "sklearn.tree.ExtraTreeClassifier": _tree_classifier,
    "sklearn.tree.ExtraTreeRegressor": _tree_regressor,
    "xgboost.sklearn.XGBClassifier": xgboost,
    "xgboost.sklearn.XGBRegressor": xgboost,
    **{f"sklearn.linear_model.{name}": _linear_regressor for name in LINEAR},
}
