"""Whatever else MLflow saved: Python models with artifacts, code, params and type hints, by MLflow itself."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pydantic
import pytest
import scipy.sparse
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import (
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)

from taut.errors import Invalid, UsageError
from taut.models import load_model
from taut.models.tree import digest_of, tree_of_folder
from tests.models.flavours.peer import REQUIREMENTS, as_columns, loaded, mlflow_says, same

PythonModel: Any = mlflow.pyfunc.PythonModel
FRAME = pd.DataFrame({"a": [1.0, 2.5, -3.0], "b": ["x", "y", "x"]})


def saved(model: Any, folder: Path, signature: Any = None, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder), python_model=model, signature=signature, pip_requirements=REQUIREMENTS, **options
        )
    return folder


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Of a predict without type hints.

    class Answers(PythonModel):  # type: ignore[misc]  # It publishes no types.
        """Answers what a function makes of the input."""

        def __init__(self, make: Any) -> None:
            self.make = make

        def predict(self, context, model_input, params=None):
            return self.make(model_input)

    class Steered(PythonModel):  # type: ignore[misc]  # It publishes no types.
        """Adds the offset of an artifact, times a param."""

        def load_context(self, context):
            self.offset = float(Path(context.artifacts["offset"]).read_text())

        def predict(self, context, model_input, params=None):
            shift = self.offset * params["times"]
            return [f"{n} {shift} {params['since']}" for n in params["names"]] or model_input["a"] + shift


def test_artifacts_and_params_reach_a_python_model(tmp_path: Path):
    (tmp_path / "offset.txt").write_text("0.125")
    schema = ParamSchema([
        ParamSpec("times", DataType.double, 2.0), ParamSpec("names", DataType.string, [], (-1,)),
        ParamSpec("since", DataType.datetime, np.datetime64("2026-01-01")),
    ])  # fmt: skip
    signature = ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("string", "b")]), params=schema)
    folder = saved(Steered(), tmp_path / "model", signature, artifacts={"offset": str(tmp_path / "offset.txt")})
    predictor = loaded(folder)
    for params in (None, {}, {"times": 4.0}, {"times": 3}):
        assert same(predictor.arrays(as_columns(FRAME), params)["prediction"], mlflow_says(folder, FRAME, params))
    said = {"names": ["p", "q", "r"], "since": "2026-01-02T03:04:05"}
    assert predictor.predict(as_columns(FRAME), said)["prediction"] == mlflow_says(folder, FRAME, said)
    for wrong, words in (
        ({"times": "2"}, "param 'times' takes double; found str '2'"),
        ({"times": True}, "param 'times' takes double; found bool True"),
        ({"names": "p"}, "param 'names' takes list of string; found str 'p'"),
        ({"names": ["p", 1]}, r"param 'names' takes string at \[1\]; found int 1"),
        ({"since": "soon"}, "param 'since' takes a time in ISO 8601; found str 'soon'"),
        ({"time": 2.0}, r"no param 'time' \(did you mean 'times'\?\)"),
    ):
        with pytest.raises(Invalid, match=words):
            predictor.predict(as_columns(FRAME), wrong)


def test_a_model_without_params_refuses_them(tmp_path: Path):
    folder = saved(Answers(lambda rows: rows["a"]), tmp_path / "model", infer_signature(FRAME))
    with pytest.raises(Invalid, match="the model takes no params; the request has depth"):
        loaded(folder).predict(as_columns(FRAME), {"depth": 3})


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda rows: rows["a"], {"prediction": [1.0, 2.5, -3.0]}),
        (lambda rows: rows["a"].to_numpy() > 0, {"prediction": [True, True, False]}),
        (lambda rows: rows["b"].tolist(), {"prediction": ["x", "y", "x"]}),
        (lambda rows: [1, "two", None], {"prediction": [1, "two", None]}),
        (lambda rows: [2**60 + 1, 2, 3], {"prediction": [2**60 + 1, 2, 3]}),
        (lambda rows: np.arange(6).reshape(3, 2), {"prediction": [[0, 1], [2, 3], [4, 5]]}),
        (lambda rows: np.eye(4).reshape(4, 2, 2)[:3].tolist(), {"prediction": np.eye(4).reshape(4, 2, 2)[:3].tolist()}),
        (lambda rows: [[1.0], [1.0, 2.0], []], {"prediction": [[1.0], [1.0, 2.0], []]}),
        (lambda rows: rows.rename(columns={"a": "score"}), {"score": [1.0, 2.5, -3.0], "b": ["x", "y", "x"]}),
        (lambda rows: pd.DataFrame(np.eye(3)[:, :2]),
         {"prediction_0": [1.0, 0.0, 0.0], "prediction_1": [0.0, 1.0, 0.0]}),
        (lambda rows: pd.DataFrame(rows["a"].to_numpy()), {"prediction": [1.0, 2.5, -3.0]}),
        (lambda rows: {"low": rows["a"].to_numpy() - 1, "names": ["p", "q", "r"]},
         {"low": [0.0, 1.5, -4.0], "names": ["p", "q", "r"]}),
        (lambda rows: [{"label": "x", "score": 0.5}, {"label": "y"}, {"label": "z", "score": 1}],
         {"label": ["x", "y", "z"], "score": [0.5, None, 1]}),
        (lambda rows: scipy.sparse.csr_matrix(np.diag([1.0, 2.0, 0.0])),
         {"prediction": [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]}),
        (lambda rows: pd.to_datetime(pd.Series(["2026-01-02", "2026-01-02T03:04:05.5", None]), format="ISO8601"),
         {"prediction": ["2026-01-02T00:00:00", "2026-01-02T03:04:05.5", None]}),
        (lambda rows: [b"ab", b"", b"\xff"], {"prediction": ["YWI=", "", "/w=="]}),
        (lambda rows: pd.Series([1, None, 3], dtype="Int64"), {"prediction": [1, None, 3]}),
        (lambda rows: pd.Series(["a", "b", "a"], dtype="category"), {"prediction": ["a", "b", "a"]}),
        (lambda rows: [np.float32(0.5), np.int8(3), np.datetime64("2026-01-02")],
         {"prediction": [0.5, 3, "2026-01-02"]}),
        (lambda rows: [{"a": [1, {"b": None}]}] * 3, {"a": [[1, {"b": None}]] * 3}),
    ],
)  # fmt: skip
def test_any_container_becomes_columns_with_a_value_a_row(tmp_path: Path, make: Any, expected: dict[str, list]):
    folder = saved(Answers(make), tmp_path / "model", infer_signature(FRAME))
    assert loaded(folder).predict(as_columns(FRAME)) == expected


def test_columns_of_an_array_have_the_names_of_the_signatures_outputs(tmp_path: Path):
    signature = infer_signature(FRAME, pd.DataFrame({"low": [0.5], "high": [1.5]}))
    folder = saved(Answers(lambda rows: np.arange(6.0).reshape(3, 2)), tmp_path / "model", signature)
    assert loaded(folder).predict(as_columns(FRAME)) == {"low": [0.0, 2.0, 4.0], "high": [1.0, 3.0, 5.0]}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rows: [1, 2], r"answers 2 values of 'prediction' for 3 rows"),
        (lambda rows: {"mean": 1.5}, r"answers one value of 'mean' for 3 rows"),
        (lambda rows: "all well", "answers str; taut serves"),
        (lambda rows: [object()] * 3, "answers a object, which no protocol carries"),
        (lambda rows: pd.DataFrame(np.eye(3), columns=["a", "b", "a"]), "two columns called 'a'"),
        (lambda rows: {}, "answers nothing"),
        (lambda rows: np.array([1j] * 3), "complex"),
    ],
)
def test_what_is_no_value_a_row_is_no_answer(tmp_path: Path, make: Any, words: str):
    folder = saved(Answers(make), tmp_path / "model", infer_signature(FRAME))
    with pytest.raises(UsageError, match=words):
        loaded(folder).predict(as_columns(FRAME))


def test_one_row_may_be_answered_by_plain_values(tmp_path: Path):
    folder = saved(Answers(lambda rows: {"mean": 1.5, "text": "fine"}), tmp_path / "model", infer_signature(FRAME))
    assert loaded(folder).predict({"a": [1.0], "b": ["x"]}) == {"mean": [1.5], "text": ["fine"]}


def test_rows_that_a_python_model_refuses_are_invalid_and_its_defects_are_not_hidden(tmp_path: Path):
    def picky(rows):
        if (rows["a"] < 0).any():
            raise ValueError("a must not be negative\nand more")
        raise KeyError("gone")

    predictor = loaded(saved(Answers(picky), tmp_path / "model", infer_signature(FRAME)))
    with pytest.raises(Invalid, match=r"refused these rows: a must not be negative$"):
        predictor.predict({"a": [-1.0], "b": ["x"]})
    with pytest.raises(KeyError, match="gone"):
        predictor.predict({"a": [1.0], "b": ["x"]})


def test_an_optional_column_that_is_not_there_is_not_in_the_frame(tmp_path: Path):
    signature = ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("long", "n", required=False)]))
    folder = saved(Answers(lambda rows: [", ".join(rows.columns)] * len(rows)), tmp_path / "model", signature)
    predictor = loaded(folder)
    assert predictor.predict({"a": [1.0]})["prediction"] == mlflow_says(folder, pd.DataFrame({"a": [1.0]})) == ["a"]
    assert predictor.predict({"a": [1.0], "n": [1]}) == {"prediction": ["a, n"]}
    with pytest.raises(Invalid, match="refused these rows: Incompatible input types for column n"):
        predictor.predict({"a": [1.0], "n": [None]})


# Code of its own


def with_code(folder: Path, place: Path, factor: int) -> Path:
    """A model whose arithmetic stands in a module of its own."""
    place.mkdir()
    (place / "taut_test_arithmetic.py").write_text(f"def times(values):\n    return values * {factor}\n")
    sys.path.insert(0, str(place))
    try:
        import taut_test_arithmetic  # type: ignore[import-not-found]  # Written just now.

        def predict(rows):
            import taut_test_arithmetic as found

            return found.times(rows["a"])

        assert taut_test_arithmetic.times(1) == factor
        return saved(
            Answers(predict), folder, infer_signature(FRAME), code_paths=[str(place / "taut_test_arithmetic.py")]
        )
    finally:
        sys.path.remove(str(place))
        del sys.modules["taut_test_arithmetic"]


@pytest.fixture
def own_imports():
    """What a model changes in this process' imports is undone."""
    path, modules, writes = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    yield
    sys.path[:], sys.dont_write_bytecode = path, writes
    for name in set(sys.modules) - modules:
        if name.startswith("taut_test_"):
            del sys.modules[name]


@pytest.mark.usefixtures("own_imports")
def test_each_model_runs_its_own_code_and_leaves_its_folder_as_it_was(tmp_path: Path):
    first = with_code(tmp_path / "first", tmp_path / "one", 2)
    second = with_code(tmp_path / "second", tmp_path / "two", 3)
    digests = [digest_of(tree_of_folder(folder)) for folder in (first, second)]
    assert loaded(first).predict(as_columns(FRAME))["prediction"] == [2.0, 5.0, -6.0]
    assert loaded(second).predict(as_columns(FRAME))["prediction"] == [3.0, 7.5, -9.0]
    assert loaded(first).predict(as_columns(FRAME))["prediction"] == [2.0, 5.0, -6.0]
    assert [digest_of(tree_of_folder(folder)) for folder in (first, second)] == digests


@pytest.mark.usefixtures("own_imports")
def test_code_that_was_changed_does_not_run(tmp_path: Path):
    from taut.errors import Corrupt

    folder = with_code(tmp_path / "model", tmp_path / "one", 2)
    digest = digest_of(tree_of_folder(folder))
    code = next(folder.glob("code/*.py"))
    code.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n" + code.read_text())
    with pytest.raises(Corrupt):
        load_model(folder, digest)
    assert not (tmp_path / "ran").exists()


# Types inside types, and type hints


def test_arrays_objects_and_maps_are_checked_and_passed_on(tmp_path: Path):
    schema = Schema([
        ColSpec(Array(DataType.double), "sizes"),
        ColSpec(Object([Property("name", DataType.string), Property("age", DataType.long, required=False)]), "who"),
        ColSpec(Map(Array(DataType.string)), "tags", required=False),
    ])  # fmt: skip

    def told(rows):
        return [
            f"{sum(s)} {w['name']} {w.get('age')} {sorted(t) if isinstance(t, dict) else None}"
            for s, w, t in zip(rows["sizes"], rows["who"], rows["tags"], strict=True)
        ]

    predictor = loaded(saved(Answers(told), tmp_path / "model", ModelSignature(inputs=schema)))
    good = {"sizes": [[1, 2.5], []], "who": [{"name": "a", "age": 4}, {"name": "b"}], "tags": [{"x": ["y"]}, None]}
    assert predictor.predict(good)["prediction"] == ["3.5 a 4 ['x']", "0 b None None"]
    for name, value, words in (
        ("sizes", [[1.0], ["2"]], r"column 'sizes' takes array; row 1, \[0\]: expected double, found str '2'"),
        ("sizes", [[1.0], 2.0], "row 1: expected array, found float 2.0"),
        ("who", [{"name": "a"}, {"age": 3}], "row 1, name: expected string, found null"),
        ("who", [{"name": "a", "agee": 3}, {"name": "b"}], "row 0, agee: expected one of age, name, found int 3"),
        ("who", [{"name": "a", "age": 3.5}, {"name": "b"}], "row 0, age: expected long, found float 3.5"),
        ("tags", [{"x": ["y"]}, {"x": [1]}], r"row 1, x\[0\]: expected string, found int 1"),
    ):
        with pytest.raises(Invalid, match=words):
            predictor.predict(good | {name: value})


class Person(pydantic.BaseModel):
    name: str
    age: int = 0


class Greets(PythonModel):  # type: ignore[misc]  # It publishes no types.
    def predict(self, model_input: list[Person], params=None) -> list[str]:
        return [f"{person.name} is {person.age}" for person in model_input]


class Lengths(PythonModel):  # type: ignore[misc]  # It publishes no types.
    def predict(self, model_input: list[str], params=None) -> list[int]:
        return [len(text) for text in model_input]


def test_models_with_type_hints_are_given_what_they_ask_for(tmp_path: Path):
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    greets = loaded(saved(Greets(), tmp_path / "greets"))
    assert greets.predict({"0": [{"name": "Ada", "age": 36}, {"name": "Bo"}]}) == {
        "prediction": ["Ada is 36", "Bo is 0"]
    }
    lengths = loaded(saved(Lengths(), tmp_path / "lengths"))
    assert lengths.predict({"0": ["a", "", "abc"]}) == {"prediction": [1, 0, 3]}
    with pytest.raises(Invalid, match="column '0' takes string; row 1 is int 4"):
        lengths.predict({"0": ["a", 4]})


def test_tensors_reach_a_python_model_as_arrays_of_their_type(tmp_path: Path):
    schema = Schema([TensorSpec(np.dtype("uint8"), (-1, 2, 2), "image"), TensorSpec(np.dtype("bool"), (-1,), "flag")])
    seen = []

    def light(tensors):
        seen.append({name: (array.dtype.name, array.shape) for name, array in tensors.items()})
        return tensors["image"].reshape(len(tensors["flag"]), -1).sum(axis=1) * tensors["flag"]

    Answers.seen = seen
    predictor = loaded(saved(Answers(light), tmp_path / "model", ModelSignature(inputs=schema)))
    answer = predictor.predict({"image": [[[1, 2], [3, 255]], [[0, 0], [0, 1]]], "flag": [True, False]})
    assert answer == {"prediction": [261, 0]}
    with pytest.raises(Invalid, match=r"'image' takes uint8 of shape \[2, 2\]; row 1 has int 256"):
        predictor.predict({"image": [[[1, 2], [3, 255]], [[0, 0], [0, 256]]], "flag": [True, False]})
    with pytest.raises(Invalid, match=r"'image' takes uint8 of shape \[2, 2\]; row 0 has str '1'"):
        predictor.predict({"image": [[["1", 2], [3, 4]]], "flag": [True]})


# Without a signature


def test_a_model_without_a_signature_is_given_what_comes(tmp_path: Path):
    predictor = loaded(saved(Answers(lambda rows: rows.dtypes.astype(str).tolist()[: len(rows)]), tmp_path / "model"))
    assert predictor.signature.form == "any" and predictor.signature.names == ()
    assert predictor.predict({"n": [1, 2], "x": [0.5, None]}) == {"prediction": ["int64", "float64"]}
    for wrong, words in (
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        ({"a": [1], "b": [1, 2]}, "column 'b' has 2 rows"),
    ):
        with pytest.raises(Invalid, match=words):
            predictor.predict(wrong)
    shape = loaded(saved(Answers(lambda rows: [list(rows.shape)] * len(rows)), tmp_path / "shape"))
    assert shape.predict({"input-0": [[1.0, 2.0, 3.0]] * 2}) == {"prediction": [[2, 3], [2, 3]]}


def test_a_model_whose_package_is_missing_says_what_to_install(tmp_path: Path):
    folder = saved(Answers(lambda rows: rows["a"]), tmp_path / "model", infer_signature(FRAME))
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("mlflow.pyfunc.model", "not_installed_anywhere.loader"))
    with pytest.raises(UsageError, match="needs the package 'not_installed_anywhere'") as caught:
        loaded(folder)
    assert caught.value.hint == "pip install not_installed_anywhere"
    (folder / "requirements.txt").write_text("mlflow\nNot.Installed-anywhere==1.2  \n")
    with pytest.raises(UsageError) as caught:
        loaded(folder)
    assert caught.value.hint == "pip install 'Not.Installed-anywhere==1.2'"
