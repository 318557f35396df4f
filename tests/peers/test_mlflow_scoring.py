"""MLflow's own scoring server, unchanged, asked the same: it takes what taut takes, and predicts the same."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from taut.errors import TautError
from taut.models import Predictor, load_model
from taut.models.tree import digest_of, tree_of_folder
from taut.records import Prediction
from taut.serve.requests import invocation_body, read_invocation
from tests.peers.scenes_scoring import COLUMNS, NUMBERS, Asked, asked

pytest.importorskip("mlflow.sklearn", reason="mlflow-skinny is not installed")
scoring_server = pytest.importorskip("mlflow.pyfunc.scoring_server", reason="this MLflow brings no scoring server")

pytestmark = pytest.mark.filterwarnings("ignore")
ALL = {one.name: one for one in asked()}


@dataclass(frozen=True)
class Both:
    """One saved model, loaded by MLflow and by taut."""

    theirs: Any
    ours: Predictor


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Both]:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    frame = pd.concat([pd.DataFrame(COLUMNS)] * 5, ignore_index=True)
    frame["delay"] += np.arange(15.0)
    table = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame, (frame["seats"] > 5).to_numpy())
    array = LinearRegression().fit(np.array(NUMBERS * 3), np.arange(6.0))
    single = LinearRegression().fit(frame[["delay"]], frame["seats"])
    made = {}
    for name, model, given in (
        ("table", table, frame),
        ("array", array, np.array(NUMBERS)),
        ("single", single, frame[["delay"]]),
    ):
        folder = tmp_path_factory.mktemp("scoring") / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            signature = infer_signature(given, model.predict(given))
            mlflow.sklearn.save_model(
                model,
                folder,
                signature=signature,
                pip_requirements=["scikit-learn"],
                serialization_format="cloudpickle",
            )
            theirs = mlflow.pyfunc.load_model(str(folder))
        made[name] = Both(theirs, load_model(folder, digest_of(tree_of_folder(folder))))
    return made


def mlflow_says(one: Asked, both: Both) -> tuple[int, Any]:
    """The status and the predictions of its handler; what it does not catch is a 500, as its framework makes it."""
    from mlflow.exceptions import MlflowException

    try:
        answer = scoring_server.invocations(
            one.body, one.content_type, both.theirs, both.theirs.metadata.get_input_schema()
        )
    except MlflowException as problem:
        return problem.get_http_status_code(), None
    except Exception:  # noqa: BLE001
        return 500, None
    return answer.status, json.loads(answer.response)["predictions"] if answer.status == 200 else None


def taut_says(one: Asked, both: Both) -> tuple[int, Any]:
    try:
        request = read_invocation(one.body, both.ours.signature, content_type=one.content_type)
        outputs = both.ours.predict(request.columns)
    except TautError as problem:
        assert "Traceback" not in problem.message
        return problem.http_status, None
    body = invocation_body(Prediction("late", "an-id", 1, "late", 1, 0, 0, 1, {}, outputs))
    return 200, json.loads(body)["predictions"]


def test_there_are_enough_bodies_good_and_bad(models: Mapping[str, Both]):
    good = [one for one in ALL.values() if mlflow_says(one, models[one.model])[0] == 200]
    assert len(ALL) == len(list(asked()))
    assert len(good) > 60
    assert len(ALL) - len(good) > 100


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_body_is_taken_as_by_mlflow_and_answered_the_same(models: Mapping[str, Both], name: str):
    one = ALL[name]
    (theirs, predicted), (ours, said) = mlflow_says(one, models[one.model]), taut_says(one, models[one.model])
    if one.taken is None:
        assert said == predicted
        assert ours in ({200} if theirs == 200 else {415} if theirs == 415 else {400}), (theirs, ours)
    else:
        assert (theirs == 200, ours) == (not one.taken, 200 if one.taken else 400)
