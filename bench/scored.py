"""The model that serving and batch scoring are measured with, and requests for it in the forms of each protocol."""

from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bench.load import post

NUMERIC = [f"n{place}" for place in range(14)]
CATEGORICAL = [f"c{place}" for place in range(6)]
TRAINED_ON = 20_000
SEED = 7


def make_table(chance: np.random.Generator, rows: int) -> pd.DataFrame:
    """Columns of numbers and of words."""
    numbers = {name: chance.normal(size=rows) for name in NUMERIC}
    words = {name: chance.choice(list("abcdefgh"), size=rows) for name in CATEGORICAL}
    return pd.DataFrame({**numbers, **words})


def train(table: pd.DataFrame) -> Any:
    """Imputed and scaled numbers, one-hot words, a hundred boosted trees."""
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMERIC),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORICAL),
    )
    target = (table["n0"] + (table["c0"] == "a") > 0).to_numpy(dtype="int64")
    return make_pipeline(prepared, HistGradientBoostingClassifier(max_iter=100, random_state=SEED)).fit(table, target)


def save(folder: Path, model: Any, table: pd.DataFrame) -> Path:
    """A model directory in MLflow's format that its own client reads too."""
    folder.mkdir()
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    inputs = [
        {"type": "double" if name in NUMERIC else "string", "name": name, "required": True} for name in table.columns
    ]
    sklearn = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "sklearn_version": "1"}
    file = {
        "flavors": {
            "sklearn": sklearn,
            "python_function": {
                "loader_module": "mlflow.sklearn", "model_path": "model.pkl", "predict_fn": "predict",
                "python_version": "3.11",
            },
        },
        "signature": {
            "inputs": msgspec.json.encode(inputs).decode(),
            "outputs": msgspec.json.encode([{"type": "long", "required": True}]).decode(),
        },
    }  # fmt: skip
    (folder / "MLmodel").write_bytes(msgspec.json.encode(file))
    return folder


def tensors(table: pd.DataFrame, rows: int) -> list[dict[str, Any]]:
    """The first rows as Open Inference tensors, one a column."""
    return [
        {
            "name": name,
            "shape": [rows],
            "datatype": "FP64" if name in NUMERIC else "BYTES",
            "data": table[name][:rows].tolist(),
        }
        for name in table.columns
    ]


def infer(path: str, table: pd.DataFrame, rows: int = 1) -> bytes:
    """A whole Open Inference request."""
    return post(path, {"inputs": tensors(table, rows)})


def invocation(table: pd.DataFrame, rows: int = 1) -> bytes:
    """A whole request of MLflow's scoring protocol, in the form that its documentation names first."""
    split = {"columns": list(table.columns), "data": table[:rows].to_numpy().tolist()}
    return post("/invocations", {"dataframe_split": split})


def records(path: str, table: pd.DataFrame, rows: int = 1) -> bytes:
    """A whole request whose body is the row as an object, for servers without a protocol of their own."""
    row = table[:rows].to_dict(orient="records")
    return post(path, {"rows": row})
