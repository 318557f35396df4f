"""Where taut and MLflow's own schema check part ways: the table of docs/rooms/models.md, row by row.

The real client is asked twice: its `predict` with a frame of pandas, and its server's reading of JSON before that.
"""

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from taut.errors import Invalid
from taut.models import Predictor
from tests.models.flavours.peer import loaded
from tests.models.flavours.test_pyfunc import Answers, saved

OF_TEXT = pd.__version__ >= "3"  # Before, text was of the type object, which MLflow reads as it likes.
REFUSED = "refused"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that answers its only column, by that one's kind and whether it is required; saved when asked for."""
    place, made = tmp_path_factory.mktemp("rules"), {}

    def model_of(kind: str, required: bool) -> tuple[Path, Predictor]:
        if (kind, required) not in made:
            signature = ModelSignature(inputs=Schema([ColSpec(kind, "c", required=required)]))
            folder = saved(Answers(lambda rows: rows["c"]), place / f"{kind}{required}", signature)
            made[kind, required] = folder, loaded(folder)
        return made[kind, required]

    return model_of


def in_mlflow(folder: Path, frame: pd.DataFrame) -> Any:
    try:
        return plain(mlflow.pyfunc.load_model(str(folder), suppress_warnings=True).predict(frame).tolist())
    except MlflowException:
        return REFUSED


def in_its_server(folder: Path, values: list[Any]) -> Any:
    """What MLflow's server makes of the JSON of a column."""
    from mlflow.utils.proto_json_utils import dataframe_from_parsed_json

    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    parsed = json.loads(json.dumps({"columns": ["c"], "data": [[value] for value in values]}))
    try:
        frame = dataframe_from_parsed_json(parsed, pandas_orient="split", schema=model.metadata.get_input_schema())
        return plain(model.predict(frame).tolist())
    except MlflowException:
        return REFUSED


def in_taut(predictor: Predictor, values: list[Any]) -> Any:
    try:
        return plain(predictor.predict({"c": values})["prediction"])
    except Invalid:
        return REFUSED


def plain(values: list[Any]) -> list[Any]:
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values]


@pytest.mark.parametrize(
    ("kind", "values", "mlflow_frame", "mlflow_server", "taut"),
    [
        ("double", [7, 8], REFUSED, [7.0, 8.0], [7.0, 8.0]),
        ("double", [0, 1], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]),
        ("float", [0.1], REFUSED, [np.float32(0.1)], [np.float32(0.1)]),
        ("long", [9.0], REFUSED, [9], [9]),
        ("long", [9.5], REFUSED, [9], REFUSED),
        ("integer", [2**31], REFUSED, [-(2**31)], REFUSED),
        ("double", [1.0, None], [1.0, None], [1.0, None], [1.0, None]),
        ("long", [1, None], REFUSED, REFUSED, REFUSED),
        ("double", ["1"], REFUSED if OF_TEXT else [1], [1.0], REFUSED),
        ("double", [True], REFUSED, [1.0], REFUSED),
        ("boolean", ["no"], REFUSED if OF_TEXT else ["no"], [True], REFUSED),
        ("string", ["a", None], ["a", None], ["a", None], ["a", None]),
    ],
)
def test_the_table_of_the_docs_is_true_of_both(models, kind: str, values, mlflow_frame, mlflow_server, taut):
    folder, predictor = models(kind, True)
    assert in_mlflow(folder, pd.DataFrame({"c": values})) == mlflow_frame
    assert in_its_server(folder, values) == mlflow_server
    assert in_taut(predictor, values) == taut


def test_mlflow_passes_an_infinity_on_and_taut_does_not(models):
    folder, predictor = models("double", True)
    assert in_mlflow(folder, pd.DataFrame({"c": [np.inf]})) == [np.inf]
    assert in_taut(predictor, [np.inf]) == REFUSED


def test_mlflow_ignores_columns_that_nobody_asked_for_and_taut_does_not(models):
    folder, predictor = models("double", True)
    assert in_mlflow(folder, pd.DataFrame({"c": [1.0], "d": [2.0]})) == [1.0]
    with pytest.raises(Invalid, match="takes no column 'd'"):
        predictor.predict({"c": [1.0], "d": [2.0]})


def test_times_with_an_offset_are_read_by_taut_alone(models):
    folder, predictor = models("datetime", True)
    assert in_its_server(folder, ["2026-01-02T03:04:05+02:00"]) == REFUSED
    assert in_taut(predictor, ["2026-01-02T03:04:05+02:00"]) == ["2026-01-02T01:04:05"]
    assert in_its_server(folder, ["2026-01-02"]) == [pd.Timestamp("2026-01-02")]
