"""A loaded model answers as the fitted one does, refuses what it does not know, and never runs before its check."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import Corrupt, Invalid, UsageError
from taut.models import Predictor, load_model
from taut.models.tree import digest_of, tree_of_folder
from taut.models.trust import trusted_types
from tests.models.conftest import COLUMNS, Shelf, flights, saved


def loaded(folder: Path) -> Predictor:
    return load_model(folder, digest_of(tree_of_folder(folder)))


def as_columns(frame: pd.DataFrame) -> dict[str, list]:
    """What a JSON request would carry: plain values, null where nothing is known."""
    return {name: [None if pd.isna(v) else v for v in frame[name].tolist()] for name in frame.columns}


def numbers(values: list) -> list[float]:
    assert all(isinstance(value, float) for value in values), values
    return values


@pytest.fixture(scope="module")
def good(shelf: Shelf) -> Predictor:
    return loaded(shelf.folders["good"])


@pytest.mark.parametrize("name", ["good", "pickled"])
def test_it_answers_what_the_fitted_model_answers_missing_values_included(shelf: Shelf, name: str):
    frame = flights(300, seed=5)[COLUMNS]
    answer = loaded(shelf.folders[name]).predict(as_columns(frame))
    fitted = shelf.originals["good"]
    assert answer["prediction"] == fitted.predict(frame).tolist()
    assert answer["probability"] == fitted.predict_proba(frame)[:, 1].tolist()


def test_a_skops_model_answers_the_same(shelf: Shelf):
    frame = flights(50, seed=6)[["delay", "hour"]].fillna(0.0).astype("float64")
    answer = loaded(shelf.folders["linear"]).predict(as_columns(frame))
    assert answer["prediction"] == shelf.originals["linear"].predict(frame).tolist()
    assert answer["probability"] == shelf.originals["linear"].predict_proba(frame)[:, 1].tolist()


def test_a_model_of_arrays_calls_its_columns_by_their_places(shelf: Shelf):
    predictor = loaded(shelf.folders["array"])
    assert predictor.signature.names == ("0", "1")
    table = np.array([[0.5, 7.0], [-2.0, 9.0]])
    answer = predictor.predict({"0": [0.5, -2.0], "1": [7, 9]})
    assert answer["probability"] == shelf.originals["array"].predict_proba(table)[:, 1].tolist()


def test_more_than_two_classes_get_a_probability_each(shelf: Shelf):
    answer = loaded(shelf.folders["three"]).predict({"delay": [0.1], "hour": [7.0]})
    assert set(answer) == {"prediction", "probability_AA", "probability_B6", "probability_UA"}
    shares = {name: values[0] for name, values in answer.items() if name != "prediction"}
    assert f"probability_{answer['prediction'][0]}" == max(shares, key=lambda name: numbers([shares[name]])[0])


def test_a_regressor_answers_predictions_alone(shelf: Shelf):
    answer = loaded(shelf.folders["number"]).predict({"delay": [0.1, 0.2], "hour": [7.0, 8.0]})
    assert set(answer) == {"prediction"} and len(answer["prediction"]) == 2


def test_a_model_that_decides_apart_from_its_probabilities_is_asked(tmp_path: Path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import FixedThresholdClassifier

    frame = pd.DataFrame({"x": np.linspace(-2, 2, 80)})
    model = FixedThresholdClassifier(LogisticRegression(), threshold=0.9).fit(frame, (frame["x"] > 0).astype(int))
    predictor = loaded(saved(model, frame, tmp_path / "strict", serialization_format="cloudpickle"))
    answer = predictor.predict({"x": [0.1, 2.0]})
    assert answer["prediction"] == [0, 1]
    assert numbers(answer["probability"])[0] > 0.5


def test_equal_shares_are_decided_as_the_model_decides_them(tmp_path: Path):
    from sklearn.tree import DecisionTreeClassifier

    frame = pd.DataFrame({"x": [0.0, 0.0, 1.0, 1.0]})
    model = DecisionTreeClassifier(random_state=0).fit(frame, ["no", "yes", "yes", "yes"])
    predictor = loaded(saved(model, frame, tmp_path / "tie", serialization_format="cloudpickle"))
    assert predictor.predict({"x": [0.0, 1.0]})["prediction"] == model.predict(frame[1:3]).tolist()


# What is refused, by name


def row(**changed: object) -> dict[str, list]:
    values = {"delay": 0.5, "hour": 9, "carrier": "AA"} | changed
    return {name: [value] for name, value in values.items()}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"delay": [1.0], "carrier": ["AA"]}, "column 'hour' is missing"),
        (row(speed=3), "no column 'speed'"),
        ({"delay": [1.0], "hour": [9], "carier": ["AA"]}, r"no column 'carier' \(did you mean 'carrier'\?\)"),
        (row(delay="late"), "column 'delay' takes double; row 0 is str 'late'"),
        (row(delay=True), "column 'delay' takes double; row 0 is bool True"),
        (row(delay=float("inf")), "column 'delay' takes double; row 0 is float inf"),
        (row(delay=10**400), "column 'delay' takes double"),
        (row(hour=9.5), "column 'hour' takes long; row 0 is float 9.5"),
        (row(hour=None), "column 'hour' takes long; row 0 is null"),
        (row(hour=2**70), "column 'hour' takes long"),
        (row(hour=float("inf")), "column 'hour' takes long; row 0 is float inf"),
        (row(carrier=4), "column 'carrier' takes string; row 0 is int 4"),
        (row(carrier=4.5), "column 'carrier' takes string; row 0 is float 4.5"),
        (row(carrier=["AA"]), "column 'carrier' takes string; row 0 is list"),
        ({"delay": [1.0, 2.0], "hour": [9], "carrier": ["AA", "UA"]}, "column 'hour' has 1 rows, column 'delay' has 2"),
        ({"delay": [], "hour": [], "carrier": []}, "no rows"),
        ({}, "column 'delay' is missing"),
        (row(hour=[2**70]), "column 'hour' takes long; row 0 is list"),
    ],
)
def test_what_the_signature_does_not_take_is_refused_by_the_columns_name(good: Predictor, columns, words: str):
    with pytest.raises(Invalid, match=words):
        good.predict(columns)


def test_an_optional_column_that_is_not_there_is_a_column_of_missing_values(good: Predictor):
    assert [column.required for column in good.signature.inputs] == [False, True, False]
    assert good.predict({"hour": [9, 7]}) == good.predict({"delay": [None] * 2, "hour": [9, 7], "carrier": [None] * 2})


def test_the_row_that_is_wrong_is_named(good: Predictor):
    with pytest.raises(Invalid, match="row 2 is str 'x'"):
        good.predict({"delay": [0.1, None, "x"], "hour": [1, 2, 3], "carrier": ["AA"] * 3})


def test_whole_numbers_written_as_floats_are_whole_numbers(good: Predictor):
    assert good.predict(row(hour=9.0)) == good.predict(row(hour=9))


def test_what_the_model_itself_refuses_is_invalid_and_not_a_traceback(shelf: Shelf):
    with pytest.raises(Invalid, match="the model refused these rows: Input X contains NaN"):
        loaded(shelf.folders["linear"]).predict({"delay": [None], "hour": [3.0]})


cells = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["AA", "UA", 9, 0.5])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=80)
@given(
    columns=st.dictionaries(
        st.sampled_from([*COLUMNS, *COLUMNS, "other"]), st.lists(cells, max_size=3), min_size=2, max_size=4
    )
)
def test_whatever_arrives_is_answered_in_full_or_refused(good: Predictor, columns):
    try:
        answer = good.predict(columns)
    except Invalid:
        return
    rows = len(next(iter(columns.values())))
    assert {name: len(values) for name, values in answer.items()} == {"prediction": rows, "probability": rows}
    assert all(0.0 <= share <= 1.0 for share in numbers(answer["probability"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.floats(-1e6, 1e6), st.integers(0, 23), st.sampled_from(["AA", "UA", "B6", "new"]) | st.none()
        ),
        min_size=1,
        max_size=5,
    )
)
def test_rows_are_answered_alone_as_in_company(good: Predictor, rows):
    together = good.predict(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    for place, values in enumerate(rows):
        alone = good.predict({name: [value] for name, value in zip(COLUMNS, values, strict=True)})
        assert alone["probability"][0] == pytest.approx(together["probability"][place], abs=1e-12)


# What is never run


class Bomb:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def tampered(shelf: Shelf, tmp_path: Path, payload: bytes) -> tuple[Path, str]:
    """A copy of the good model whose pickle was exchanged after its digest was taken."""
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    digest = digest_of(tree_of_folder(folder))
    (folder / "model.pkl").write_bytes(payload)
    return folder, digest


def test_a_tampered_pickle_is_refused_before_it_runs(shelf: Shelf, tmp_path: Path):
    mark = tmp_path / "it-ran"
    payload = pickle.dumps(Bomb(mark))
    cloudpickle.loads(payload).close()
    assert mark.exists(), "the bomb must work, or the test says nothing"
    mark.unlink()
    folder, digest = tampered(shelf, tmp_path, payload)
    with pytest.raises(Corrupt, match="not the one that was registered"):
        load_model(folder, digest)
    assert not mark.exists()


@pytest.mark.parametrize("change", ["added", "removed", "flipped"])
def test_any_change_of_the_folder_is_found(shelf: Shelf, tmp_path: Path, change: str):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    digest = digest_of(tree_of_folder(folder))
    if change == "added":
        (folder / "sitecustomize.py").write_text("raise SystemExit")
    elif change == "removed":
        (folder / "requirements.txt").unlink()
    else:
        data = bytearray((folder / "model.pkl").read_bytes())
        data[len(data) // 2] ^= 1
        (folder / "model.pkl").write_bytes(data)
    with pytest.raises(Corrupt):
        load_model(folder, digest)


def test_a_pickle_that_is_none_is_explained(shelf: Shelf, tmp_path: Path):
    folder, _ = tampered(shelf, tmp_path, b"no pickle at all")
    with pytest.raises(Invalid, match=r"model\.pkl cannot be loaded"):
        loaded(folder)


def test_a_pickle_of_a_package_that_is_not_here_names_it(shelf: Shelf, tmp_path: Path):
    folder, _ = tampered(shelf, tmp_path, b"cnot_installed_anywhere.models\nForest\n.")
    with pytest.raises(UsageError, match="not_installed_anywhere"):
        loaded(folder)


def skops_of(schema: dict) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16.0", **schema}))
    return data.getvalue()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("os", "system"),
        ("numpy.testing._private.utils", "runstring"),
        ("pandas.io.pickle", "read_pickle"),
        ("sklearn.datasets", "load_files"),
    ],
)
def test_a_skops_file_may_not_bring_a_function_even_of_a_known_package(module: str, name: str):
    content = {"content": f"{module}.{name}", "module_path": module, "function": name}
    node = {"__class__": name, "__module__": module, "__loader__": "FunctionNode", "__id__": 1, "content": content}
    with pytest.raises(Invalid, match=f"not trusted: .*{name}"):
        trusted_types(skops_of(node))


def test_a_skops_file_may_build_classes_of_scikit_learn_and_what_is_listed(tmp_path: Path):
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier

    data = skops.io.dumps(HistGradientBoostingClassifier(max_iter=2).fit([[0.0], [1.0]] * 20, [0, 1] * 20))
    asked = skops.io.get_untrusted_types(data=data)
    assert trusted_types(data) == asked
    mine = skops.io.dumps(Bomb(tmp_path / "x").__class__)
    named = skops.io.get_untrusted_types(data=mine)
    assert named and trusted_types(mine, named) == named
    with pytest.raises(Invalid, match="Bomb"):
        trusted_types(mine)


def test_the_list_in_the_models_own_file_makes_nothing_trusted(shelf: Shelf, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["linear"], folder)
    node = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1}
    node["content"] = {"module_path": "os", "function": "system"}
    (folder / "model.skops").write_bytes(skops_of(node))
    text = (folder / "MLmodel").read_text().replace("skops_trusted_types: null", "skops_trusted_types: [os.system]")
    assert "os.system" in text
    (folder / "MLmodel").write_text(text)
    with pytest.raises(Invalid, match=r"not trusted: os\.system"):
        loaded(folder)


# What cannot be loaded, and says so


def test_a_model_without_a_signature_takes_what_comes_and_the_library_refuses_what_it_does_not_know(shelf: Shelf):
    predictor = loaded(shelf.folders["unsigned"])
    assert predictor.signature.form == "any" and not predictor.signature.inputs
    frame = flights(5, seed=6)[["delay", "hour"]].fillna(0.0).astype("float64")
    assert predictor.predict(as_columns(frame))["prediction"] == shelf.originals["linear"].predict(frame).tolist()
    with pytest.raises(Invalid, match="refused these rows: The feature names should match"):
        predictor.predict({"delay": [0.5], "hours": [7.0]})


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("serialization_format: cloudpickle", "serialization_format: dill", "saved as 'dill'"),
    ],
)
def test_a_model_that_is_saved_as_something_else_says_so(shelf: Shelf, tmp_path: Path, before, after, words: str):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    text = (folder / "MLmodel").read_text()
    assert before in text
    (folder / "MLmodel").write_text(text.replace(before, after))
    with pytest.raises(UsageError, match=words):
        loaded(folder)


def test_an_mlmodel_file_that_would_build_objects_is_refused(shelf: Shelf, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    (folder / "MLmodel").write_text(f"flavors: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with pytest.raises(Invalid):
        loaded(folder)
    assert not (tmp_path / "made").exists()


def test_a_model_of_no_flavour_that_predicts_says_which_it_has(shelf: Shelf, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    lines = (folder / "MLmodel").read_text().splitlines()
    end = next(place for place, line in enumerate(lines) if place and not line.startswith((" ", "flavors")))
    (folder / "MLmodel").write_text("\n".join(["flavors:", "  mleap:", "    mleap_version: '1'", *lines[end:]]))
    with pytest.raises(UsageError, match="its flavours are mleap, and none of them is python_function"):
        loaded(folder)


def test_a_model_of_one_library_alone_is_loaded_by_it(shelf: Shelf, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    text = (folder / "MLmodel").read_text()
    assert "  python_function:" in text
    (folder / "MLmodel").write_text(text.replace("  python_function:", "  another:"))
    assert loaded(folder).predict(row()) == loaded(shelf.folders["good"]).predict(row())


def test_code_that_is_named_and_not_there_is_told(shelf: Shelf, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(shelf.folders["good"], folder)
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("code: null", "code: code"))
    with pytest.raises(Invalid, match="names the folder 'code' of code, which the model does not hold"):
        loaded(folder)


def test_what_mlflow_would_call_is_what_predicts(shelf: Shelf, tmp_path: Path):
    """`pyfunc_predict_fn` of MLflow's client: the prediction is what that method answers."""
    frame = flights(30, seed=4)[["delay", "hour"]].fillna(0.0).astype("float64")
    model = shelf.originals["linear"]
    folder = saved(model, frame, tmp_path / "model", pyfunc_predict_fn="predict_proba")
    answer = loaded(folder).predict(as_columns(frame))
    assert answer["prediction"] == model.predict_proba(frame).tolist()
    assert answer["probability"] == model.predict_proba(frame)[:, 1].tolist()


def test_several_outputs_a_row_are_a_list_a_row(tmp_path: Path):
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeClassifier

    frame = pd.DataFrame({"x": np.linspace(-2, 2, 40)})
    for name, model in (("numbers", LinearRegression()), ("labels", DecisionTreeClassifier(random_state=0))):
        fitted = model.fit(frame, np.column_stack([frame["x"] > 0, frame["x"] > 1]).astype(int))
        predictor = loaded(saved(fitted, frame, tmp_path / name, serialization_format="cloudpickle"))
        assert predictor.predict(as_columns(frame)) == {"prediction": fitted.predict(frame).tolist()}
