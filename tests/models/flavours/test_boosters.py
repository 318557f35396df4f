"""LightGBM and XGBoost models answer as MLflow's client has them answer, in each way they are saved."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from taut.errors import Corrupt, Invalid, UsageError
from taut.models.tree import digest_of, tree_of_folder
from tests.models.flavours.peer import REQUIREMENTS, as_columns, loaded, mlflow_says, same


def signature_of(inputs: pd.DataFrame, outputs: Any) -> Any:
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of whole numbers that may be missing one day.
        return infer_signature(inputs, outputs)


def saved_lightgbm(model: Any, inputs: pd.DataFrame, folder: Path, **options: Any) -> Path:
    import mlflow.lightgbm

    signature = signature_of(inputs, model.predict(inputs))
    mlflow.lightgbm.save_model(model, str(folder), signature=signature, pip_requirements=REQUIREMENTS, **options)
    return folder


def saved_xgboost(model: Any, inputs: pd.DataFrame, outputs: Any, folder: Path, **options: Any) -> Path:
    import mlflow.xgboost

    options = {"signature": signature_of(inputs, outputs), "pip_requirements": REQUIREMENTS, **options}
    mlflow.xgboost.save_model(model, str(folder), **options)
    return folder


def booster(rows: pd.DataFrame, inputs: pd.DataFrame, classes: int = 2) -> Any:
    import lightgbm

    label = (rows["late"] == "late").astype(int) + (rows["hour"] > 20 if classes > 2 else 0)
    settings: dict[str, Any] = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}
    if classes > 2:
        settings |= {"objective": "multiclass", "num_class": classes}
    return lightgbm.train(settings, lightgbm.Dataset(inputs, label), 6)


def test_a_lightgbm_booster_answers_its_raw_numbers(rows: pd.DataFrame, inputs: pd.DataFrame, tmp_path: Path):
    folder = saved_lightgbm(booster(rows, inputs), inputs, tmp_path / "model")
    answer = loaded(folder).arrays(as_columns(inputs))
    assert set(answer) == {"prediction"}
    assert same(answer["prediction"], mlflow_says(folder, inputs))


def test_a_booster_of_three_classes_answers_a_row_of_shares(rows: pd.DataFrame, inputs: pd.DataFrame, tmp_path: Path):
    folder = saved_lightgbm(booster(rows, inputs, 3), inputs, tmp_path / "model")
    answer = loaded(folder).predict(as_columns(inputs))
    theirs = mlflow_says(folder, inputs)
    assert theirs.shape == (len(inputs), 3)
    assert answer == {"prediction": theirs.tolist()}


@pytest.mark.parametrize("written_as", ["skops", "cloudpickle", "pickle"])
def test_a_lightgbm_classifier_gives_its_shares_too(rows, inputs: pd.DataFrame, tmp_path: Path, written_as: str):
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=6, verbose=-1, n_jobs=1).fit(inputs, rows["late"])
    folder = saved_lightgbm(model, inputs, tmp_path / "model", serialization_format=written_as)
    predictor = loaded(folder)
    answer = predictor.arrays(as_columns(inputs))
    shares: Any = model.predict_proba(inputs)
    assert answer["prediction"].tolist() == mlflow_says(folder, inputs).tolist()
    assert same(answer["probability"], shares[:, 1])
    assert predictor.classes == ("late", "not")


def test_a_lightgbm_regressor_answers_predictions_alone(rows, inputs: pd.DataFrame, tmp_path: Path):
    import lightgbm

    model = lightgbm.LGBMRegressor(n_estimators=6, verbose=-1, n_jobs=1).fit(inputs, rows["hour"])
    folder = saved_lightgbm(model, inputs, tmp_path / "model")
    answer = loaded(folder).arrays(as_columns(inputs))
    assert set(answer) == {"prediction"}
    assert same(answer["prediction"], mlflow_says(folder, inputs))


def test_a_booster_whose_text_was_changed_is_not_read(rows, inputs: pd.DataFrame, tmp_path: Path):
    from taut.models import load_model

    folder = saved_lightgbm(booster(rows, inputs), inputs, tmp_path / "model")
    digest = digest_of(tree_of_folder(folder))
    text = (folder / "model.lgb").read_text()
    (folder / "model.lgb").write_text(text.replace("num_leaves=", "num_leaves=1", 1))
    with pytest.raises(Corrupt, match="not the one that was registered"):
        load_model(folder, digest)


def test_a_booster_that_is_no_text_of_lightgbm_is_explained(rows, inputs: pd.DataFrame, tmp_path: Path):
    folder = saved_lightgbm(booster(rows, inputs), inputs, tmp_path / "model")
    (folder / "model.lgb").write_text("no trees\n")
    with pytest.raises(Invalid, match=r"model\.lgb cannot be loaded") as caught:
        loaded(folder)
    assert "saved with lgb " in caught.value.hint


# XGBoost


@pytest.mark.parametrize("written_as", ["ubj", "json"])
def test_an_xgboost_classifier_gives_its_shares_too(rows, inputs: pd.DataFrame, tmp_path: Path, written_as: str):
    xgboost = pytest.importorskip("xgboost")
    late = (rows["late"] == "late").astype(int)
    model = xgboost.XGBClassifier(n_estimators=6, n_jobs=1).fit(inputs, late)
    folder = saved_xgboost(model, inputs, model.predict(inputs), tmp_path / "model", model_format=written_as)
    predictor = loaded(folder)
    answer = predictor.arrays(as_columns(inputs))
    assert same(answer["prediction"], mlflow_says(folder, inputs))
    assert same(answer["probability"], model.predict_proba(inputs)[:, 1])
    assert predictor.classes == (0, 1)


def test_an_xgboost_booster_takes_the_params_that_it_knows(rows, inputs: pd.DataFrame, tmp_path: Path):
    xgboost = pytest.importorskip("xgboost")
    from mlflow.models import infer_signature

    label = (rows["late"] == "late").astype(int)
    model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(inputs, label), 5)
    outputs = model.predict(xgboost.DMatrix(inputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(inputs, outputs, {"output_margin": False})
    folder = saved_xgboost(model, inputs, outputs, tmp_path / "model", signature=signature)
    predictor = loaded(folder)
    assert same(predictor.arrays(as_columns(inputs))["prediction"], outputs)
    margin = predictor.arrays(as_columns(inputs), {"output_margin": True})["prediction"]
    assert same(margin, mlflow_says(folder, inputs, {"output_margin": True}))
    assert not np.array_equal(margin, outputs)
    with pytest.raises(Invalid, match=r"no param 'output_margn' \(did you mean 'output_margin'\?\)"):
        predictor.predict(as_columns(inputs), {"output_margn": True})


def test_a_class_that_is_not_xgboosts_is_not_imported(rows, inputs: pd.DataFrame, tmp_path: Path):
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(inputs, rows["hour"])
    folder = saved_xgboost(model, inputs, model.predict(inputs), tmp_path / "model")
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("xgboost.sklearn.XGBRegressor", "subprocess.Popen"))
    with pytest.raises(UsageError, match=r"'subprocess\.Popen', which is no class of XGBoost"):
        loaded(folder)


def test_mlflow_is_not_imported_for_a_flavour_that_taut_loads(rows, inputs: pd.DataFrame, tmp_path: Path):
    folder = saved_lightgbm(booster(rows, inputs), inputs, tmp_path / "model")
    program = (
        "import sys; from pathlib import Path; from taut.models import load_model\n"
        f"p = load_model(Path({str(folder)!r}), {digest_of(tree_of_folder(folder))!r})\n"
        "p.predict({'delay': [1.0], 'wind': [None], 'hour': [2]})\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
