"""A verdict stands with the version it judged: who may give one, what it must hold, and what serves by it."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taut.errors import Conflict, Corrupt, Invalid, NotFound
from taut.govern import check_home
from taut.ground.ledger import events
from taut.home import Home
from taut.models import (
    CompiledPredictor,
    Predictor,
    ServedForm,
    compile_model,
    find_compilation,
    find_model,
    load_served,
    record_compilation,
    register_folder,
    rename_model,
    served_form,
)
from tests.models.compiled.tables import columns_of
from tests.models.conftest import COLUMNS, Shelf, flights, saved

VERDICT: dict[str, Any] = {"reason": "", "rows": {"sample": 3}, "gap": 0.0, "tolerance": 1e-9, "versions": {}}


def asked(count: int = 50) -> dict[str, list[Any]]:
    return columns_of(flights(count, seed=5)[COLUMNS])


def test_a_version_is_compiled_verified_and_served_as_a_graph(home: Home, shelf: Shelf, rows_csv: Path):
    register_folder(home, "late", shelf.folders["good"])
    assert isinstance(load_served(home, find_model(home, "late@1")), Predictor)
    verdict = compile_model(home, "late@1", sample=rows_csv / "rows.csv")
    assert verdict.is_used and verdict.reason == "" and verdict.gap < 1e-12
    assert verdict.rows["sample"] == 2000 and {"boundary", "magnitude", "missing", "unseen"} <= set(verdict.rows)
    assert {"scikit-learn", "onnx", "onnxruntime"} <= set(verdict.versions)
    assert find_compilation(home, "late", 1) == verdict
    served = load_served(home, find_model(home, "late@1"))
    assert isinstance(served, CompiledPredictor)
    rows = asked()
    original = Predictor(served.signature, shelf.originals["good"]).predict(rows)
    answered = served.predict(rows)
    assert answered["prediction"] == original["prediction"]
    assert answered["probability"] == pytest.approx(original["probability"], abs=1e-12)
    assert check_home(home).problems == ()


@pytest.mark.parametrize("name", ["linear", "array", "three", "number"])
def test_each_kind_of_answer_comes_out_as_the_model_gives_it(home: Home, shelf: Shelf, name: str):
    version = register_folder(home, name, shelf.folders[name])
    assert compile_model(home, f"{name}@1").is_used
    served = load_served(home, version)
    rows = {column: asked()["hour"] for column in served.signature.names}
    rows = {column: [float(value) for value in values] for column, values in rows.items()}
    original = Predictor(served.signature, shelf.originals[name]).predict(rows)
    answered = served.predict(rows)
    assert answered.keys() == original.keys()
    for output, values in original.items():
        if isinstance(values[0], float):
            assert answered[output] == pytest.approx(values, rel=1e-12)
        else:
            assert answered[output] == values


def test_what_has_no_graph_answers_itself_and_says_why(home: Home, tmp_path: Path):
    from sklearn.svm import SVR

    rows = flights(100, seed=1)[["hour"]].astype("float64")
    register_folder(
        home, "svm", saved(SVR().fit(rows, rows["hour"]), rows, tmp_path / "svm", serialization_format="skops")
    )
    verdict = compile_model(home, "svm@1")
    assert not verdict.is_used and verdict.reason == "the model sklearn.svm.SVR has no graph"
    assert isinstance(load_served(home, find_model(home, "svm@1")), Predictor)


def test_a_graph_that_answers_otherwise_is_not_used(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["linear"])
    verdict = compile_model(home, "late@1", tolerance=0.0)
    assert not verdict.is_used and "the graph says" in verdict.reason and verdict.gap > 0.0
    assert compile_model(home, "late@1").is_used
    newest = find_compilation(home, "late", 1)
    assert newest is not None and newest.is_used


def test_the_input_example_of_the_model_is_part_of_the_sample(home: Home, shelf: Shelf, tmp_path: Path):
    rows = flights(70, seed=4)[["delay", "hour"]].fillna(0.0).astype("float64")
    folder = saved(shelf.originals["linear"], rows, tmp_path / "m", serialization_format="skops", input_example=rows)
    register_folder(home, "late", folder)
    assert compile_model(home, "late@1").rows["sample"] == 70 + 500


def test_a_verdict_needs_a_stored_graph_or_a_reason_and_the_very_version(home: Home, shelf: Shelf):
    version = register_folder(home, "late", shelf.folders["linear"])
    graph = home.objects.put(io.BytesIO(b"graph"))
    for wrong in ({"graph": "", "reason": ""}, {"graph": graph, "reason": "both"}, {"graph": "0" * 64, "reason": ""}):
        with pytest.raises(Invalid):
            record_compilation(home, "late", 1, digest=version.digest, **{**VERDICT, **wrong})
    with pytest.raises(Conflict):
        record_compilation(home, "late", 1, digest="f" * 64, graph=graph, **VERDICT)
    with pytest.raises(NotFound):
        record_compilation(home, "late", 2, digest=version.digest, graph=graph, **VERDICT)
    assert find_compilation(home, "late", 1) is None
    made = record_compilation(home, "late", 1, digest=version.digest, graph=graph, **VERDICT)
    assert find_compilation(home, "late", 1) == made
    with home.meta.read() as tx:
        assert [event.kind for event in events(tx)][-1] == "model.compiled"


def test_a_verdict_follows_its_model_to_another_name(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["linear"])
    compile_model(home, "late@1")
    rename_model(home, "late", "later")
    renamed = find_compilation(home, "later", 1)
    assert renamed is not None and renamed.is_used and renamed.model == "later"


@pytest.mark.parametrize("tolerance", [-1.0, 1.0, float("nan")])
def test_a_tolerance_that_proves_nothing_is_refused(home: Home, shelf: Shelf, tolerance: float):
    register_folder(home, "late", shelf.folders["linear"])
    with pytest.raises(Invalid, match="tolerance"):
        compile_model(home, "late@1", tolerance=tolerance)


def test_a_sample_that_does_not_fit_is_refused_by_its_column(home: Home, shelf: Shelf, tmp_path: Path):
    register_folder(home, "late", shelf.folders["linear"])
    sample = tmp_path / "rows.csv"
    sample.write_text("delay\n1.5\n")
    with pytest.raises(Invalid, match="hour"):
        compile_model(home, "late@1", sample=sample)
    sample.write_text("delay,hour\n")
    with pytest.raises(Invalid, match="no rows"):
        compile_model(home, "late@1", sample=sample)
    with pytest.raises(NotFound):
        compile_model(home, "late@1", sample=tmp_path / "none.csv")


def test_the_form_of_a_version_is_handed_to_another_process_and_loads_there(home: Home, shelf: Shelf, rows_csv: Path):
    version = register_folder(home, "late", shelf.folders["good"])
    itself = served_form(home, version)
    assert itself.graph == b"" and Path(itself.folder).is_dir() and itself.digest == version.digest
    assert isinstance(itself.load(), Predictor)
    compile_model(home, "late@1", sample=rows_csv / "rows.csv")
    graph = served_form(home, version)
    assert graph.graph and graph.folder == ""
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(graph), type=ServedForm)
    assert again == graph
    loaded = again.load(threads=1)
    assert isinstance(loaded, CompiledPredictor)
    assert loaded.predict(asked())["probability"] == pytest.approx(itself.load().predict(asked())["probability"])


def test_a_form_whose_folder_was_tampered_with_is_not_loaded(home: Home, shelf: Shelf):
    form = served_form(home, register_folder(home, "late", shelf.folders["good"]))
    (Path(form.folder) / "MLmodel").write_text("flavors: {}")
    with pytest.raises(Corrupt):
        form.load()
