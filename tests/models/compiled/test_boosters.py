"""LightGBM's and XGBoost's models, where they are installed, answer by their graphs as they do themselves."""

from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from taut.models.compilations import SINGLE_TOLERANCE, verify
from taut.models.compiled.comparing import TOLERANCE
from taut.models.compiled.convert import convert
from taut.models.compiled.graph import Unsupported
from tests.models.compiled.tables import NUMBERS, SIGNATURE, TEXTS, both, columns_of, score_of, table

CASES = [
    ("lightgbm", "LGBMClassifier", "two", {}),
    ("lightgbm", "LGBMClassifier", "three", {}),
    ("lightgbm", "LGBMRegressor", "value", {}),
    ("lightgbm", "LGBMRegressor", "value", {"objective": "poisson"}),
    ("xgboost", "XGBClassifier", "two", {}),
    ("xgboost", "XGBClassifier", "three", {}),
    ("xgboost", "XGBRegressor", "value", {}),
    ("xgboost", "XGBRegressor", "value", {"objective": "count:poisson"}),
]


def fitted(library: str, name: str, kind: str, settings: dict[str, Any]) -> Any:
    module = pytest.importorskip(library)
    quiet = {"verbose": -1} if library == "lightgbm" else {}
    model = getattr(module, name)(n_estimators=8, **quiet, **settings)
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    score = score_of(table())
    target = {"two": (score > 0.5).astype(int), "three": np.digitize(score, [0, 1]), "value": score - score.min()}[kind]
    steps = make_column_transformer(("passthrough", NUMBERS), (texts, TEXTS))
    return make_pipeline(steps, model).fit(table(), target)


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name", "kind", "settings"), CASES)
def test_a_booster_and_its_graph_agree(library: str, name: str, kind: str, settings: dict[str, Any]):
    model = fitted(library, name, kind, settings)
    single = convert(model, SIGNATURE).single
    assert single == (library == "xgboost")
    original, compiled = both(model)
    tolerance = SINGLE_TOLERANCE if single else TOLERANCE
    compared = verify(original, compiled, columns_of(table(1).iloc[:60]), tolerance=tolerance)
    assert compared.agree, compared.difference
    assert compared.rows["boundary"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "name", "settings", "why"),
    [
        ("lightgbm", "LGBMRegressor", {"zero_as_missing": True}, "zeros for missing"),
        ("lightgbm", "LGBMRegressor", {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averages"),
        ("xgboost", "XGBRegressor", {"booster": "gblinear"}, "gblinear"),
        ("xgboost", "XGBRegressor", {"missing": -1.0}, "not NaN"),
    ],
)
def test_what_a_booster_does_otherwise_has_no_graph(library: str, name: str, settings: dict[str, Any], why: str):
    with pytest.raises(Unsupported, match=why):
        convert(fitted(library, name, "value", settings), SIGNATURE)
