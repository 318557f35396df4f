"""What compiles of each flavour, and what says why it does not; a gate and a home with such versions."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import Schema, TensorSpec
from onnx import TensorProto

from taut.home import Home
from taut.models import CompiledPredictor, Predictor, compile_model, gate_model, load_served, register_folder
from taut.project import CheckSpec, GateSpec
from tests.models.flavours import test_onnx, test_pyfunc
from tests.models.flavours.peer import REQUIREMENTS, as_columns


def lightgbm_folder(rows: pd.DataFrame, inputs: pd.DataFrame, folder: Path, *, native: bool) -> Path:
    import lightgbm
    import mlflow.lightgbm

    label = (rows["late"] == "late").astype(int)
    model: Any = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(inputs, label)
    model = model.booster_ if native else model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(inputs, model.predict(inputs))
        mlflow.lightgbm.save_model(model, str(folder), signature=signature, pip_requirements=REQUIREMENTS)
    return folder


def test_an_estimator_of_lightgbm_compiles_in_its_own_flavour(home: Home, rows, inputs: pd.DataFrame, tmp_path: Path):
    version = register_folder(home, "late", lightgbm_folder(rows, inputs, tmp_path / "model", native=False))
    original = load_served(home, version)
    assert isinstance(original, Predictor)
    assert compile_model(home, "late@1").is_used
    served = load_served(home, version)
    assert isinstance(served, CompiledPredictor)
    said, answered = original.predict(as_columns(inputs)), served.predict(as_columns(inputs))
    assert answered["prediction"] == said["prediction"]
    assert answered["probability"] == pytest.approx(said["probability"], abs=1e-12)


def folder_of(kind: str, rows: pd.DataFrame, inputs: pd.DataFrame, folder: Path) -> Path:
    if kind == "booster":
        return lightgbm_folder(rows, inputs, folder, native=True)
    tensors = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 5))]))
    if kind == "onnx":
        return test_onnx.saved(test_onnx.linear(5, 3, TensorProto.FLOAT), tensors, folder)
    if kind == "python":
        return test_pyfunc.saved(test_pyfunc.Answers(lambda r: r["a"]), folder, infer_signature(test_pyfunc.FRAME))
    if kind == "unsigned":
        return test_pyfunc.saved(test_pyfunc.Answers(lambda r: r["a"]), folder)
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    targets = np.column_stack([rows["hour"], rows["delay"]])
    wide = kind == "wide"
    table = np.zeros((len(rows), 1500)) if wide else inputs.fillna(0.0)
    model = LinearRegression().fit(table, rows["hour"] if wide else targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(table, model.predict(table))
        mlflow.sklearn.save_model(model, str(folder), signature=signature, pip_requirements=REQUIREMENTS)
    return folder


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("booster", "Booster has no graph"),
        ("onnx", "it is a graph already, which ONNX Runtime answers by as it is"),
        ("python", "a model of mlflow.pyfunc.model has no graph"),
        ("unsigned", "a model of mlflow.pyfunc.model has no graph"),
        ("outputs", "several outputs"),
        ("wide", "a model that takes no table has no graph"),
    ],
)
def test_what_is_never_compiled_says_why_and_answers_itself(
    home: Home, rows, inputs, tmp_path: Path, kind: str, why: str
):
    version = register_folder(home, "late", folder_of(kind, rows, inputs, tmp_path / "model"))
    verdict = compile_model(home, "late@1")
    assert not verdict.is_used and why in verdict.reason
    served = load_served(home, version)
    assert isinstance(served, Predictor)
    assert served.in_process == (kind == "onnx")


@pytest.mark.parametrize(
    ("kind", "failed", "words"),
    [
        ("unsigned", "signature", "saved without a signature"),
        (
            "wide",
            "signature",
            "column 'input-0' of the model is no plain value, so rows for it cannot be read from CSV",
        ),
        ("python", "signature", "has no column 'a'"),
    ],
)
def test_a_gate_refuses_what_it_cannot_read_rows_for(home, rows, inputs, tmp_path: Path, kind, failed: str, words: str):
    register_folder(home, "late", folder_of(kind, rows, inputs, tmp_path / "model"))
    inputs.assign(late=(rows["late"] == "late").astype(int)).to_csv(tmp_path / "rows.csv", index=False)
    spec = GateSpec(data="rows.csv", target="late", checks=(CheckSpec(measure="roc_auc", at_least=0.7),))
    result = gate_model(home, "late", 1, spec=spec, folder=tmp_path)
    assert not result.passed
    assert result.checks[-1].name == failed and words in result.checks[-1].text
