"""Every step and every model that has a graph answers by it as it does itself: sample, edges, refusals."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from taut.errors import Invalid
from taut.models.compilations import verify
from taut.models.compiled.convert import convert
from taut.models.compiled.finals import FINALS
from taut.models.compiled.graph import Unsupported
from taut.models.compiled.steps import STEPS
from tests.models.compiled.tables import NUMBERS, SIGNATURE, TEXTS, both, columns_of, score_of, table

Build = Callable[[], Any]


def filled(numbers: Any = None, texts: Any = None) -> Any:
    """The steps before a model: numbers filled and scaled, texts as columns of 0 and 1."""
    numbers = numbers if numbers is not None else make_pipeline(SimpleImputer(), StandardScaler())
    texts = texts if texts is not None else OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer((numbers, NUMBERS), (texts, TEXTS))


TWO: list[Any] = [
    HistGradientBoostingClassifier(max_iter=8), RandomForestClassifier(5), GradientBoostingClassifier(n_estimators=5),
    GradientBoostingClassifier(n_estimators=5, loss="exponential"), LogisticRegression(),
    MLPClassifier((6,), max_iter=5), DecisionTreeClassifier(max_depth=4), ExtraTreeClassifier(max_depth=4),
]  # fmt: skip
THREE: list[Any] = [
    HistGradientBoostingClassifier(max_iter=4), RandomForestClassifier(4), ExtraTreesClassifier(4),
    GradientBoostingClassifier(n_estimators=3), LogisticRegression(),
    MLPClassifier((6,), max_iter=5, activation="tanh"),
]  # fmt: skip
VALUES: list[Any] = [
    HistGradientBoostingRegressor(max_iter=8), HistGradientBoostingRegressor(max_iter=4, loss="poisson"),
    RandomForestRegressor(4), ExtraTreesRegressor(4), GradientBoostingRegressor(n_estimators=5),
    DecisionTreeRegressor(max_depth=5), ExtraTreeRegressor(max_depth=5), LinearRegression(), Ridge(), Lasso(alpha=0.01),
    PoissonRegressor(), TweedieRegressor(power=1.5), TweedieRegressor(power=0),
    MLPRegressor(hidden_layer_sizes=(6,), max_iter=5, activation="logistic"),
]  # fmt: skip
STEPS_TRIED: dict[str, Build] = {
    "median, robust, first dropped": lambda: filled(
        make_pipeline(SimpleImputer(strategy="median"), RobustScaler()), OneHotEncoder(drop="first")
    ),
    "constant, clipped, ordinal": lambda: filled(
        make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), MinMaxScaler(clip=True)),
        make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        ),
    ),
    "largest, missing texts, ordinal": lambda: filled(
        make_pipeline(SimpleImputer(), MaxAbsScaler()),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    ),
    "unknown refused": lambda: filled(None, OrdinalEncoder()),
    "components": lambda: filled(make_pipeline(SimpleImputer(), StandardScaler(), PCA(2, whiten=True))),
    "svd": lambda: filled(make_pipeline(SimpleImputer(), TruncatedSVD(2))),
    "side by side": lambda: filled(make_pipeline(SimpleImputer(), make_union(StandardScaler(), FunctionTransformer()))),
    "filled with a text": lambda: filled(
        None,
        make_pipeline(
            SimpleImputer(strategy="constant", fill_value="none"),
            OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
        ),
    ),
}


def targets() -> dict[str, Any]:
    score = score_of(table())
    return {"two": (score > 0.5).astype(int), "three": np.array(["x", "y", "z"])[np.digitize(score, [0, 1])],
            "value": score - score.min()}  # fmt: skip


def agrees(model: Any) -> None:
    """Fitted to the table, the model and its graph agree on it and on its edges."""
    original, compiled = both(model)
    compared = verify(original, compiled, columns_of(table(1).iloc[:60]), tolerance=1e-12)
    assert compared.agree, compared.difference
    assert compared.rows["sample"] == 60 and compared.rows["missing"] + compared.rows.get("refused", 0) > 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "kind"),
    [*((m, "two") for m in TWO), *((m, "three") for m in THREE), *((m, "value") for m in VALUES)],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_model_and_its_graph_agree(model: Any, kind: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agrees(make_pipeline(filled(), model).fit(table(), targets()[kind]))


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS_TRIED)
def test_the_steps_before_a_model_agree(name: str):
    model = DecisionTreeRegressor(max_depth=6, random_state=0)
    agrees(make_pipeline(STEPS_TRIED[name](), model).fit(table(), targets()["value"]))


def test_a_boosted_pipeline_and_its_graph_agree():
    agrees(make_pipeline(filled(), HistGradientBoostingClassifier(max_iter=5)).fit(table(), targets()["two"]))


def test_every_row_of_both_tables_is_tried():
    models = {f"sklearn.{type(m).__module__.split('.')[1]}.{type(m).__name__}" for m in (*TWO, *THREE, *VALUES)}
    others = {name for name in FINALS if name.startswith(("sklearn.linear_model.", "lightgbm.", "xgboost."))}
    assert set(FINALS) - others <= models
    steps = {"sklearn.pipeline.Pipeline", "sklearn.compose.ColumnTransformer", "sklearn.pipeline.FeatureUnion"}
    tried = [SimpleImputer, StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, OneHotEncoder, OrdinalEncoder,
             FunctionTransformer, PCA, TruncatedSVD]  # fmt: skip
    assert set(STEPS) == steps | {f"sklearn.{t.__module__.split('.')[1]}.{t.__name__}" for t in tried}


def test_missing_values_are_refused_where_the_model_refuses_them():
    model = make_pipeline(make_column_transformer((StandardScaler(), ["n0", "n2"])), LogisticRegression())
    original, compiled = both(model.fit(table(), targets()["two"]))
    rows = columns_of(table().iloc[:2])
    assert compiled.predict(rows) == original.predict(rows)
    for asked in (original, compiled):
        with pytest.raises(Invalid, match="NaN"):
            asked.predict(rows | {"n2": [0.5, None]})


def test_an_unknown_text_is_refused_by_its_column():
    original, compiled = both(make_pipeline(filled(None, OneHotEncoder()), Ridge()).fit(table(), targets()["value"]))
    rows = columns_of(table().iloc[:1])
    with pytest.raises(Invalid):
        original.predict(rows | {"c1": ["zz"]})
    with pytest.raises(Invalid, match="'c1'"):
        compiled.predict(rows | {"c1": ["zz"]})


def test_what_a_column_does_not_take_is_refused_in_the_same_words():
    original, compiled = both(make_pipeline(filled(), Ridge()).fit(table(), targets()["value"]))
    rows = columns_of(table().iloc[:2])
    wrong = [
        rows | {"n0": ["a", 1.0]}, rows | {"c0": ["a", 2.5]}, rows | {"n0": [1.0]}, rows | {"more": [1, 2]},
        {name: [] for name in rows},
        rows | {"n0": [1.0, float("inf")]},
    ]  # fmt: skip
    for columns in wrong:
        said = []
        for asked in (original, compiled):
            with pytest.raises(Invalid) as refused:
                asked.predict(columns)
            said.append(refused.value.message)
        assert said[0] == said[1]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (SVC(), "SVC"),
        (make_pipeline(KBinsDiscretizer(3, strategy="uniform"), Ridge()), "KBinsDiscretizer"),
        (make_pipeline(FunctionTransformer(np.log1p), Ridge()), "function of its own"),
        (make_pipeline(SimpleImputer(add_indicator=True), Ridge()), "indicator"),
        (make_pipeline(FeatureUnion([("a", StandardScaler())], transformer_weights={"a": 2.0}), Ridge()), "weights"),
        (GradientBoostingRegressor(n_estimators=2, init=Ridge()), "starts from Ridge"),
        (HistGradientBoostingRegressor(max_iter=2, categorical_features=[0]), "categorical"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_has_no_graph_says_so(model: Any, why: str):
    rows = table()[["n0", "n2"]].abs().round(1)
    signature = type(SIGNATURE)(SIGNATURE.inputs[:1] + SIGNATURE.inputs[2:3])
    fitted = model.fit(rows, targets()["value" if not isinstance(model, SVC) else "two"])
    with pytest.raises(Unsupported, match=why):
        convert(fitted, signature)
