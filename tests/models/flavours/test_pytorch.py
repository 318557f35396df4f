"""PyTorch modules answer as MLflow's client has them answer: pickled, scripted, exported, of frames and of tensors."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from taut.errors import Corrupt, Invalid, UsageError
from taut.models import load_model
from taut.models.tree import digest_of, tree_of_folder
from tests.models.flavours.peer import REQUIREMENTS, as_columns, loaded, mlflow_says, same

torch = pytest.importorskip("torch", reason="a module needs PyTorch: pip install torch")
SINGLE = np.dtype("float32")
Module: Any = torch.nn.Module


@pytest.fixture(autouse=True)
def own_warnings():
    """PyTorch warns of its own insides as it saves and loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def net(width: int, outputs: int) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(width, 8), torch.nn.Dropout(0.5), torch.nn.ReLU(), torch.nn.Linear(8, outputs)
    )


def saved(model: Any, signature: Any, folder: Path, **options: Any) -> Path:
    import mlflow.pytorch

    options = {"serialization_format": "pickle", **options}
    mlflow.pytorch.save_model(model, str(folder), signature=signature, pip_requirements=REQUIREMENTS, **options)
    return folder


def frame(rows: int = 9) -> pd.DataFrame:
    chance = np.random.default_rng(1)
    return pd.DataFrame(
        {"a": chance.normal(size=rows), "b": chance.normal(size=rows), "n": chance.integers(0, 9, rows)}
    )


@pytest.mark.parametrize("outputs", [1, 3])
def test_columns_go_in_as_floats_of_a_data_frame(tmp_path: Path, outputs: int):
    folder = saved(net(3, outputs), infer_signature(frame()), tmp_path / "model")
    answer = loaded(folder).arrays(as_columns(frame()))
    theirs = mlflow_says(folder, frame())
    assert list(answer) == (["prediction"] if outputs == 1 else ["prediction_0", "prediction_1", "prediction_2"])
    assert all(same(values, theirs[place].to_numpy()) for place, values in enumerate(answer.values()))


def test_a_tensor_goes_in_as_it_is(tmp_path: Path):
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, 2))
    folder = saved(model, ModelSignature(inputs=Schema([TensorSpec(SINGLE, (-1, 2, 4, 4))])), tmp_path / "model")
    images = np.random.default_rng(2).normal(size=(5, 2, 4, 4)).astype(SINGLE)
    theirs = mlflow_says(folder, images)
    for given in (images, images.tolist(), images.astype("float64")):
        assert same(loaded(folder).arrays({"input-0": given})["prediction"], theirs)
    with pytest.raises(Invalid, match=r"'input-0' takes the shape \[2, 4, 4\]; row 0 has \[2, 4, 3\]"):
        loaded(folder).predict({"input-0": images[..., :3]})


@pytest.mark.parametrize("by", ["cloudpickle", "pickle"])
def test_the_module_that_pickled_it_is_no_matter(tmp_path: Path, by: str):
    module = __import__(by)
    folder = saved(net(3, 1), infer_signature(frame()), tmp_path / "model", pickle_module=module)
    assert (folder / "data/pickle_module_info.txt").read_text() == by
    assert len(loaded(folder).predict(as_columns(frame()))["prediction"]) == 9


def test_torchscript_answers_too(tmp_path: Path):
    folder = saved(torch.jit.script(net(3, 2)), infer_signature(frame()), tmp_path / "model")
    answer = loaded(folder).arrays(as_columns(frame()))
    assert same(answer["prediction_1"], mlflow_says(folder, frame())[1].to_numpy())


@pytest.mark.slow
def test_an_exported_program_answers_too(tmp_path: Path):
    rows = np.random.default_rng(3).normal(size=(4, 3)).astype(SINGLE)
    signature = ModelSignature(inputs=Schema([TensorSpec(SINGLE, (-1, 3))]))
    folder = saved(net(3, 2).eval(), signature, tmp_path / "model", serialization_format="pt2", input_example=rows)
    assert (folder / "data/model.pt2").is_file()
    assert same(loaded(folder).arrays({"input-0": rows})["prediction"], mlflow_says(folder, rows))


class Scaled(Module):  # type: ignore[misc]  # It publishes no types.
    def forward(self, rows, factor=1.0):
        return rows * factor


def test_params_go_to_the_module(tmp_path: Path):
    signature = ModelSignature(
        inputs=Schema([ColSpec("float", "a")]), params=ParamSchema([ParamSpec("factor", DataType.double, 2.0)])
    )
    folder = saved(Scaled(), signature, tmp_path / "model")
    assert loaded(folder).predict({"a": [1.5]}) == {"prediction": [3.0]}
    assert loaded(folder).predict({"a": [1.5]}, {"factor": 4}) == {"prediction": [6.0]}


class Both(Module):  # type: ignore[misc]  # It publishes no types.
    def forward(self, rows):
        return rows, rows


def test_a_module_that_answers_two_tensors_says_what_to_do(tmp_path: Path):
    folder = saved(Both(), infer_signature(frame()), tmp_path / "model")
    with pytest.raises(UsageError, match="answers tuple") as caught:
        loaded(folder).predict(as_columns(frame()))
    assert "PythonModel" in caught.value.hint


class Bomb(Module):  # type: ignore[misc]  # It publishes no types.
    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark

    def __reduce__(self):
        return (open, (self.mark, "w"))


def test_a_pickle_that_was_exchanged_does_not_run(tmp_path: Path):
    folder = saved(net(3, 1), infer_signature(frame()), tmp_path / "model")
    digest = digest_of(tree_of_folder(folder))
    torch.save(Bomb(str(tmp_path / "ran")), folder / "data/model.pth")
    with pytest.raises(Corrupt):
        load_model(folder, digest)
    assert not (tmp_path / "ran").exists()


def test_a_pickler_that_is_not_known_is_not_imported(tmp_path: Path):
    folder = saved(net(3, 1), infer_signature(frame()), tmp_path / "model")
    (folder / "data/pickle_module_info.txt").write_text("antigravity")
    with pytest.raises(UsageError, match="pickled by 'antigravity'"):
        loaded(folder)
