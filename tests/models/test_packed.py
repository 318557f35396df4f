"""What an image holds: a model folder, and the graph beside it; both are what they were, or nothing is loaded."""

from hashlib import sha256
from pathlib import Path

import pytest

from taut.errors import Corrupt, Invalid, NotFound
from taut.ground.objects import read_object
from taut.home import Home
from taut.models import (
    CompiledPredictor,
    Predictor,
    compile_model,
    fetch_model,
    find_model,
    load_served,
    packed_form,
    register_folder,
    served_graph,
)
from taut.models.tree import digest_of, tree_of_folder
from tests.marks import slow_on_postgresql
from tests.models.conftest import Shelf
from tests.models.test_compilations import asked

pytestmark = slow_on_postgresql


@pytest.fixture
def packed(home: Home, shelf: Shelf, tmp_path: Path) -> tuple[Path, str, Path, str]:
    """A folder and its digest, a graph and its digest."""
    register_folder(home, "late", shelf.folders["good"])
    verdict = compile_model(home, "late@1")
    version = find_model(home, "late@1")
    graph = tmp_path / "model.onnx"
    graph.write_bytes(read_object(home.objects, verdict.graph))
    return fetch_model(home, version), version.digest, graph, verdict.graph


def test_the_graph_answers_as_it_does_at_home(home: Home, packed: tuple[Path, str, Path, str]):
    loaded, served = packed_form(*packed).load(), load_served(home, find_model(home, "late@1"))
    assert isinstance(loaded, CompiledPredictor)
    assert loaded.predict(asked()) == served.predict(asked())


def test_the_digest_of_a_graph_is_that_of_its_bytes(packed: tuple[Path, str, Path, str]):
    assert sha256(packed[2].read_bytes()).hexdigest() == packed[3]


def test_without_a_graph_the_model_answers_itself(packed: tuple[Path, str, Path, str]):
    folder, digest, _, _ = packed
    assert isinstance(packed_form(folder, digest, None, "").load(), Predictor)


def test_what_is_not_what_it_was_is_not_loaded(packed: tuple[Path, str, Path, str], tmp_path: Path):
    folder, digest, graph, graph_digest = packed
    (tmp_path / "other.onnx").write_bytes(graph.read_bytes() + b"\n")
    (tmp_path / "nonsense.onnx").write_bytes(b"not a graph")
    nonsense = sha256(b"not a graph").hexdigest()
    for file, claimed, kind, words in (
        ("other.onnx", graph_digest, Corrupt, "is not the graph that it was"),
        ("absent.onnx", graph_digest, NotFound, "there is no graph"),
        ("nonsense.onnx", nonsense, Corrupt, "cannot be read"),
    ):
        with pytest.raises(kind, match=words):
            packed_form(folder, digest, tmp_path / file, claimed).load()
    with pytest.raises(Corrupt):
        packed_form(folder, "0" * 64, graph, graph_digest).load()


def test_a_model_without_a_signature_has_no_graph_to_ask(packed: tuple[Path, str, Path, str], tmp_path: Path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}\n")
    digest = digest_of(tree_of_folder(tmp_path / "bare"))
    with pytest.raises(Invalid, match="no signature"):
        packed_form(tmp_path / "bare", digest, packed[2], packed[3]).load()


def test_a_verdict_serves_only_where_it_has_a_graph(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    assert served_graph(home, find_model(home, "late@1")) is None, "never compiled"
    assert not compile_model(home, "late@1", tolerance=0.0).is_used
    assert served_graph(home, find_model(home, "late@1")) is None, "refused"
    verdict = compile_model(home, "late@1")
    assert served_graph(home, find_model(home, "late@1")) == verdict
