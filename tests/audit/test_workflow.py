"""How a folder becomes a workflow: which files are read, what git says of them, what CI runs through others."""

import os
import subprocess
from pathlib import Path

import pytest

from taut.audit import audit_path
from taut.audit.configuration import Document, is_dockerfile, read_dockerfile, read_documents, read_taut_file
from taut.audit.files import DATA_TEXT_BYTES_MAX, SKIPPED_FOLDERS, File, list_folder, read_files
from taut.audit.history import read_history
from taut.audit.remember import remembered
from taut.audit.serving import predictors
from taut.audit.tree import Mapping, at, list_at, mapping_at, read_yaml, text_at
from taut.audit.workflow import Workflow, read_workflow
from tests.audit.repositories import LESSON, SERVE, TAUT_YAML, TRAIN, WORKFLOW, commit, write

GITHUB = ".github/workflows/a.yml"


def of(path: str, text: str) -> File:
    return File(path, len(text), True, text)


@pytest.mark.parametrize("folder", sorted(SKIPPED_FOLDERS))
def test_other_peoples_code_and_caches_are_not_entered(tmp_path: Path, folder: str):
    write(tmp_path, {f"{folder}/a.py": "", "src/a.py": "", f"src/{folder}/b.py": ""})
    assert list_folder(tmp_path) == ["src/a.py"]


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("a.py", True), ("A.PY", True), ("Dockerfile", True), ("dockerfile.gpu", True), ("LICENSE", True),
        (".env.production", True), ("a.tf", True), ("a.bin", False), ("photo.png", False), ("rows.csv", False),
        ("Snakefile", True), ("a.R", True), ("noending", False), (".gitignore", True), ("model.pkl", False),
    ],
)  # fmt: skip
def test_text_of_interest_is_told_by_its_name(tmp_path: Path, path: str, is_read: bool):
    files, _ = read_files(write(tmp_path, {path: "x = 1\n"}), [], [path])
    assert (files[0].text is not None) is is_read


@pytest.mark.parametrize(
    ("path", "name", "suffix"),
    [
        ("a/B.PY", "b.py", ".py"), (".env", ".env", ""),
        ("a.tar.gz", "a.tar.gz", ".gz"), ("a/Makefile", "makefile", ""),
        ("a.", "a.", ""), ("x/.hidden.yaml", ".hidden.yaml", ".yaml"), ("..b", "..b", ".b"),
    ],
)  # fmt: skip
def test_names_and_endings_are_in_small_letters(path: str, name: str, suffix: str):
    assert (of(path, "").name, of(path, "").suffix) == (name, suffix)


def test_large_json_is_data_and_no_gap_in_the_reading(tmp_path: Path):
    files, unread = read_files(write(tmp_path, {"a.json": " " * (DATA_TEXT_BYTES_MAX + 1)}), [], ["a.json"])
    assert (files[0].text, unread) == (None, ())


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path):
    write(tmp_path, {"out/secret.py": "password = 'hunter22'\n", "in/a.py": "x = 1\n"})
    (tmp_path / "in/link.py").symlink_to(tmp_path / "out/secret.py")
    (tmp_path / "in/folder").symlink_to(tmp_path / "out")
    files, _ = read_files(tmp_path / "in", ["link.py", "folder/secret.py", "a.py"], [])
    assert [file.path for file in files] == ["a.py"]


def test_lines_end_as_on_any_system(tmp_path: Path):
    files, _ = read_files(write(tmp_path, {"a.py": "\ufeffx = 1\r\ny = 2\r\n"}), [], ["a.py"])
    assert files[0].lines() == [(1, "x = 1"), (2, "y = 2"), (3, "")]


def test_git_tells_tracked_untracked_and_ignored_apart(tmp_path: Path):
    commit(write(tmp_path, {"a.py": "", ".gitignore": "*.log\n", "sub/ä b.py": ""}))
    write(tmp_path, {"new.py": "", "x.log": ""})
    history = read_history(tmp_path)
    assert sorted(history.tracked) == [".gitignore", "a.py", "sub/ä b.py"]
    assert (history.untracked, history.state, history.commits) == (("new.py",), "commits", 1)


def test_a_folder_below_the_root_of_a_repository_has_its_own_part_of_it(tmp_path: Path):
    commit(write(tmp_path, {"a.py": "", "sub/b.py": ""}))
    assert read_history(tmp_path / "sub").tracked == ("b.py",)


def test_a_repository_without_commits_is_empty(tmp_path: Path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    write(tmp_path, {"a.py": ""})
    assert (read_history(tmp_path).state, read_history(tmp_path).untracked) == ("empty", ("a.py",))


def test_a_shallow_clone_of_one_commit_is_known_as_one(tmp_path: Path):
    write(tmp_path / "whole", {"a.py": ""})
    commit(tmp_path / "whole")
    commit(write(tmp_path / "whole", {"b.py": ""}), "More")
    clone = ["git", "clone", "-q", "--depth", "1", f"file://{tmp_path / 'whole'}", os.fspath(tmp_path / "part")]
    subprocess.run(clone, check=True)
    assert read_history(tmp_path / "part").shallow and not read_history(tmp_path / "whole").shallow


def test_no_folder_above_with_a_repository_is_none(tmp_path: Path):
    assert read_history(tmp_path).state == "none"


@pytest.mark.parametrize(
    ("command", "files", "reached"),
    [
        ("make check", {"Makefile": "check: a b\na:\n\tone\nb:\n\ttwo\nc:\n\tthree\n"}, {"one", "two"}),
        ("make -j4 check", {"Makefile": "check:\n\tone\n"}, {"one"}),
        ("just all", {"justfile": "all:\n    one\n\nother:\n    two\n"}, {"one"}),
        ("mise run a", {"mise.toml": "[tasks.a]\nrun = 'one'\n\n[tasks.b]\nrun = 'two'\n"}, {"run = 'one'"}),
        ("poe a", {"pyproject.toml": "[tool.poe.tasks]\na = 'one'\nb = 'two'\n"}, set()),
        ("bash ci/a.sh", {"ci/a.sh": "one\n# two\n", "ci/b.sh": "three\n"}, {"one"}),
        ("tox", {"tox.ini": "[testenv]\ncommands = one\n"}, {"commands = one"}),
        ("nox", {"noxfile.py": "session.run('one')\n"}, {"session.run('one')"}),
        ("make absent", {"Makefile": "check:\n\tone\n"}, set()),
    ],
)
def test_what_ci_runs_is_followed_one_step(tmp_path: Path, command: str, files: dict[str, str], reached: set[str]):
    text = WORKFLOW.replace("pip install pytest && pytest", command)
    found = {one.text for one in read_workflow(write(tmp_path, {GITHUB: text, **files})).ci_runs if one.path in files}
    assert found >= reached
    assert not found & {"two", "three", "run = 'two'", "b = 'two'"} - reached


@pytest.mark.parametrize(
    ("name", "is_recipe"),
    [
        ("Dockerfile", True), ("dockerfile", True), ("Dockerfile.gpu", True), ("late.dockerfile", True),
        ("Containerfile", True), ("Dockerfile.md", False), ("dockerfile.py", False), ("Dockerfile.dockerignore", False),
        (".devcontainer/Dockerfile", False), ("docker/notes.txt", False),
    ],
)  # fmt: skip
def test_a_recipe_of_an_image_is_told_in_any_spelling(name: str, is_recipe: bool):
    assert is_dockerfile(of(name, "FROM a\n")) is is_recipe


def test_instructions_join_continued_lines_and_keep_the_first_line():
    found = read_dockerfile(of("Dockerfile", 'from a:1\n\n# note\nRUN one \\\n  # inside\n  && two\ncmd ["x"]\n'))
    assert [(one.word, one.rest, one.line) for one in found.instructions] == [
        ("FROM", "a:1", 1), ("RUN", "one  && two", 4), ("CMD", '["x"]', 7),
    ]  # fmt: skip


def test_a_stage_is_what_stands_behind_the_last_base():
    found = read_dockerfile(of("Dockerfile", "FROM a AS b\nRUN x\nFROM c\nCMD y\n"))
    assert [one.word for one in found.last_stage()] == ["FROM", "CMD"]
    assert read_dockerfile(of("Dockerfile", "# nothing\n")).last_stage() == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Job\n", ["Pod", "Job"]),
        ("kind: Pod\n", [""]),
        ("apiVersion: v1\nkind: {{ .kind }}\n", ["template"]),
        ("{{ if .a }}\napiVersion: v1\nkind: Pod\n{{ end }}\n", ["Pod"]),
        ("- a\n- b\n", [""]),
    ],
)
def test_objects_of_a_cluster_are_told_by_their_kind_templates_included(text: str, kinds: list[str]):
    documents = read_documents(of("a.yaml", text))
    assert isinstance(documents, list) and [one.kind for one in documents] == kinds


def test_keys_of_yaml_know_their_lines_and_merged_ones_those_of_the_merge():
    [tree] = read_yaml("base: &b\n  image: a\nlate:\n  <<: *b\n  ports: [1]\n")
    late = mapping_at(tree, "late")
    assert late["image"] == "a" and late.key_lines == {"<<": 4, "image": 4, "ports": 5}


def test_looking_below_what_is_not_there_finds_nothing():
    [tree] = read_yaml("a: [x]\nb: {c: d}\n")
    assert (at(tree, "a", "z"), list_at(tree, "b"), text_at(tree, "a")) == ("", [], "")
    assert isinstance(mapping_at(tree, "a"), Mapping) and text_at(tree, "b", "c") == "d"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (TAUT_YAML, {"gate", "deployments", "monitors"}),
        ("monitors: {}\n", {"monitors"}),
        ("monitors: null\ngate: ~\n", set()),
        ("stages: {train: {cmd: a}}\n", {"stages"}),
        ("other: 1\n", set()),
    ],
)
def test_parts_of_taut_yaml_count_where_something_stands(text: str, parts: set[str]):
    found = read_taut_file([Document("late/taut.yaml", tree) for tree in read_yaml(text)])
    assert {part for part in ("gate", "deployments", "monitors", "stages") if getattr(found, part)} == parts


def test_a_fact_is_found_once_and_kept_with_its_workflow(tmp_path: Path):
    workflow = read_workflow(write(tmp_path, {"app.py": SERVE}))
    other = read_workflow(write(tmp_path, {"app.py": SERVE}))
    assert predictors(workflow) is predictors(workflow)
    assert predictors(workflow) is not predictors(other)
    asked: list[str] = []

    @remembered
    def root(one: Workflow) -> None:
        asked.append(one.root)

    root(workflow), root(workflow), root(other)
    assert asked == [workflow.root, other.root]


def test_an_audit_changes_nothing_in_the_folder_and_asks_again_what_changed(tmp_path: Path):
    commit(write(tmp_path, LESSON))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    first = audit_path(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert audit_path(tmp_path) == first
    write(tmp_path, {"train.py": TRAIN.replace("import pickle", "import mlflow, pickle")})
    assert audit_path(tmp_path) != first
