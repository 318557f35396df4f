"""Stages of a dvc.yaml beside their lock, and imports, in a DVC repository that no DVC is needed for."""

# ruff: noqa: E501  # Rows of a table read best whole.

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from taut.data import add_dataset
from taut.data.workspace.origins import is_outdated
from taut.data.workspace.pointers import find_files, read_pointer
from taut.data.workspace.stages import read_lock
from taut.errors import Conflict, Invalid, TautError, Unavailable
from taut.faces.cli.entry import taut
from taut.ground.settings import make_folder
from taut.home import open_home


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def entry(path: str, data: bytes) -> str:
    return f"    - {{path: {path}, hash: md5, md5: {md5(data)}, size: {len(data)}}}\n"


PIPELINE = """
stages:
  copy:
    cmd: cp raw ${to}
    deps: [./raw]
    params: [lr, other.json: [a.b]]
    outs:
    - ${to}: {cache: true, push: false, desc: d}
  shout:
    frozen: true
    cmd: [echo 1, echo 2]
    deps: [raw]
    outs: [gone]
  always: {cmd: date}
"""
LOCK = f"""
schema: '2.0'
stages:
  copy:
    cmd: cp raw out
    deps:
{entry("raw", b"1")}    params: {{params.yaml: {{lr: 0.001}}, other.json: {{a.b: [1]}}}}
    outs:
{entry("out", b"1")}  shout:
    cmd: [echo 1, echo 2]
    deps:
{entry("raw", b"other")}    outs:
{entry("gone", b"g")}  always: {{cmd: date}}
"""
FILES = {
    "dvc.yaml": PIPELINE, "dvc.lock": LOCK, "params.yaml": "to: out\nlr: 1e-3\n", "other.json": '{"a": {"b": [1]}}',
    "raw": "1", "out": "1", "gone": "g",
}  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "r"
    for name, text in {".dvc/config": "", ".dvc/tmp/x": "", **FILES}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for data in (b"1", b"g"):
        keep(folder, data)
    monkeypatch.chdir(folder)
    return folder


def keep(folder: Path, data: bytes) -> None:
    """Have content in the cache."""
    cached = folder / ".dvc/cache/files/md5" / md5(data)[:2] / md5(data)[2:]
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(data)


def status(*words: str) -> Any:
    done = CliRunner().invoke(taut, ["data", "status", "--json", *words])
    if isinstance(done.exception, TautError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


ALWAYS = {"always": ["always changed"]}


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        ({}, {}),
        ({"raw": "2"}, {"copy": [{"changed deps": {"raw": "modified"}}]}),
        ({"raw": None}, {"copy": [{"changed deps": {"raw": "deleted"}}]}),
        ({"out": "2"}, {"copy": [{"changed outs": {"out": "modified"}}]}),
        ({"gone": None}, {"shout": [{"changed outs": {"gone": "deleted"}}]}),
        ({"params.yaml": "to: out\nlr: 1.0e-3\n"}, {}),
        ({"params.yaml": "to: out\nlr: 2\n"}, {"copy": [{"changed deps": {"params.yaml": {"lr": "modified"}}}]}),
        ({"params.yaml": "to: out\n"}, {"copy": [{"changed deps": {"params.yaml": {"lr": "deleted"}}}]}),
        ({"other.json": None}, {"copy": [{"changed deps": {"other.json": "deleted"}}]}),
        ({"dvc.yaml": PIPELINE.replace("cp raw", "cp  raw")}, {"copy": ["changed command"]}),
        ({"dvc.yaml": PIPELINE.replace("echo 2", "echo 3")}, {"shout": ["changed command"]}),
        (
            {
                "dvc.yaml": PIPELINE.replace(
                    "date}", "date, always_changed: true}\n  new: {cmd: x, deps: [raw], outs: [n]}"
                )
            },
            {"new": [{"changed deps": {"raw": "modified"}}, {"changed outs": {"n": "deleted"}}]},
        ),
        (
            {"params.yaml": "to: elsewhere\nlr: 1e-3\n"},
            {"copy": [{"changed outs": {"elsewhere": "deleted"}}, "changed command"]},
        ),
        (
            {"dvc.yaml": PIPELINE.replace("frozen: true", "frozen: false")},
            {"shout": [{"changed deps": {"raw": "modified"}}]},
        ),
        ({"dvc.lock": LOCK.replace("schema: '2.0'\nstages:\n", "").replace("\n  ", "\n")}, {}),
    ],
)
def test_a_stage_is_told_as_dvc_tells_it(repository: Path, edits: dict[str, str | None], told: dict[str, Any]):
    for name, text in edits.items():
        if text is None:
            (repository / name).unlink()
        else:
            (repository / name).write_text(text)
    assert status() == told | ALWAYS


def test_stages_are_named_and_shown_to_people(repository: Path):
    (repository / "raw").write_text("2")
    (repository / "params.yaml").write_text("to: out\nlr: 2\n")
    assert set(status("copy")) == {"copy"}
    assert set(status("out")) == {"copy"}
    assert set(status("dvc.yaml")) == {"copy", "always"}
    done = CliRunner().invoke(taut, ["data", "status"])
    assert "params.yaml:lr" in done.output
    assert "always changed" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PIPELINE.replace("${to}", "${nothing}"), "dvc.yaml: copy.cmd: nothing is known of 'nothing'"),
        (PIPELINE.replace("cmd: date", "deps: [raw]"), "'always': Object missing required field `cmd`"),
        (PIPELINE.replace("[./raw]", "raw"), "'copy': Expected `array | null`"),
        ("stages: [", r"dvc\.yaml:"),
        ("stages: 7", r"dvc\.yaml:1:"),
        ("vars: [gone.yaml]\nstages: {}", "gone.yaml"),
    ],
)
def test_a_pipeline_that_dvc_refuses_is_refused(repository: Path, text: str, said: str):
    (repository / "dvc.yaml").write_text(text)
    with pytest.raises(TautError, match=said):
        status()


def test_a_broken_lock_is_named(repository: Path):
    (repository / "dvc.lock").write_text("schema: '2.0'\nstages: {copy: 7}\n")
    with pytest.raises(Invalid, match=r"dvc\.lock: Expected `object`"):
        read_lock(repository / "dvc.lock")
    (repository / "dvc.lock").unlink()
    assert [stage.is_changed for stage in read_lock(repository / "dvc.lock")] == [False, False, False]


def test_without_taut_s_own_folder_what_stages_made_comes_back(repository: Path):
    for name in ("out", "gone"):
        (repository / name).unlink()
    done = CliRunner().invoke(taut, ["data", "checkout", "shout"])
    assert (done.exit_code, (repository / "gone").read_text(), (repository / "out").exists()) == (0, "g", False)
    done = CliRunner().invoke(taut, ["data", "checkout", "--json"])
    assert [one["path"] for one in json.loads(done.output)] == [f"{repository}/out", f"{repository}/gone"]
    assert (repository / "out").read_text() == "1"
    assert status() == ALWAYS


def test_what_is_missing_keeps_nothing_else_from_its_place(repository: Path):
    for name in ("out", "gone"):
        (repository / name).unlink()
    shutil.rmtree(repository / ".dvc/cache/files/md5" / md5(b"1")[:2])
    done = CliRunner().invoke(taut, ["data", "checkout"])
    assert "out are not in the cache" in str(done.exception)
    assert (repository / "gone").read_text() == "g"


def test_files_that_stand_in_the_pointer_are_the_folder(repository: Path):
    listing = f'[{{"md5": "{md5(b"1")}", "relpath": "a"}}, {{"md5": "{md5(b"g")}", "relpath": "s/b"}}]'.encode()
    (repository / "t.dvc").write_text(
        f"outs:\n- path: t\n  hash: md5\n  files:\n  - {{relpath: s/b, md5: {md5(b'g')}}}\n  - {{relpath: a, md5: {md5(b'1')}}}\n"
    )
    assert status("t.dvc") == {"t.dvc": [{"changed outs": {"t": "not in cache"}}]}
    assert read_pointer(repository / "t.dvc").md5 == f"{md5(listing)}.dir"
    assert CliRunner().invoke(taut, ["data", "checkout", "t"]).exit_code == 0
    assert ((repository / "t/a").read_text(), (repository / "t/s/b").read_text()) == ("1", "g")
    assert status("t.dvc") == {}
    (repository / "t.dvc").write_text(
        "outs:\n- path: t\n  hash: md5\n  files:\n  - {relpath: ../b, md5: " + md5(b"g") + "}\n"
    )
    with pytest.raises(Invalid, match="not inside the folder"):
        status("t.dvc")


def pointed(folder: Path, name: str) -> str:
    data = (folder / name).read_bytes()
    return f"- {{md5: {md5(data)}, size: {len(data)}, hash: md5, path: {name}}}\n"


def test_data_is_added_where_it_is_tracked_and_nowhere_else(repository: Path):
    make_folder(repository)
    for name in ("a", "b"):
        (repository / name).write_text(name)
    (repository / "both.dvc").write_text("# ours\nouts:\n" + pointed(repository, "a") + pointed(repository, "b"))
    with open_home(repository) as home:
        for name in ("a", "b"):
            (repository / name).write_text(f"{name} now")
            add_dataset(home, repository / name)
        assert status("both.dvc") == {}
        assert (repository / "both.dvc").read_text().startswith("# ours\n")
        assert sorted(path.name for path in repository.glob("*.dvc")) == [".dvc", "both.dvc"]
        (repository / "d").mkdir()
        (repository / "d/x").write_text("x")
        add_dataset(home, repository / "d/x")
        (repository / "t").mkdir()
        (repository / "t/x").write_text("x")
        add_dataset(home, repository / "t")
        for path, said in {"out": "made by the stage 'copy'", "d": "is inside", "t/x": "is inside"}.items():
            with pytest.raises(Conflict, match=said):
                add_dataset(home, repository / path)
        (repository / "in.dvc").write_text("deps:\n- {path: raw}\nouts:\n- {path: in}\n")
        (repository / "in").write_text("i")
        with pytest.raises(Conflict, match="was imported"):
            add_dataset(home, repository / "in")


def git(folder: Path, *words: str) -> str:
    environment = {
        **os.environ,
        **{f"GIT_{role}_{what}": "t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_git_ignores_is_not_searched(repository: Path):
    for name in ("build/x.dvc", "z/y.dvc", "kept/k.dvc", "kept/not.dvc"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("outs:\n- path: x\n")
    (repository / ".gitignore").write_text("/build\n*/not.dvc\nz/*\n!z/y.dvc\n")
    names = lambda: [os.path.relpath(file, repository) for file in find_files(str(repository))]  # noqa: E731
    everything = ["build/x.dvc", "dvc.lock", "kept/k.dvc", "kept/not.dvc", "z/y.dvc"]
    assert names() == everything
    git(repository, "init", "-q")
    assert names() == ["dvc.lock", "kept/k.dvc"]
    (repository / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    assert names() == everything


def test_an_import_is_outdated_where_its_branch_moved_on(tmp_path: Path):
    git(tmp_path, "init", "-q", "-b", "main", "other")
    other = tmp_path / "other"
    for number in range(2):
        git(other, "commit", "-q", "--allow-empty", "-m", str(number))
        if number == 0:
            first = git(other, "rev-parse", "HEAD")
            git(other, "tag", "-a", "v1", "-m", "v1")
            git(other, "branch", "old")
    newest = git(other, "rev-parse", "HEAD")
    for url in ("other", f"file://{other}"):
        for rev, locked, is_old in (
            ("", first, True), ("", newest, False), ("main", first, True), ("v1", first, False), ("old", first, False),
            (first, first, False), (first[:8], first, False), ("", "", False), ("nowhere", first, False),
        ):  # fmt: skip
            assert is_outdated({"url": url, "rev": rev, "rev_lock": locked}, str(tmp_path)) is is_old, (rev, locked)
    with pytest.raises(Unavailable, match="cannot be read"):
        is_outdated({"url": str(tmp_path / "gone"), "rev_lock": first}, str(tmp_path))


def test_imports_are_told_with_what_changed(repository: Path):
    git(repository.parent, "init", "-q", "-b", "main", "other")
    git(repository.parent / "other", "commit", "-q", "--allow-empty", "-m", "one")
    url = str(repository.parent / "other")
    (repository / "x.dvc").write_text(
        f"frozen: true\ndeps:\n- path: x\n  repo: {{url: {url}, rev_lock: {'a' * 40}}}\nouts:\n- {{md5: {md5(b'1')}, hash: md5, path: raw}}\n"
    )
    (repository / "y.dvc").write_text(
        f"deps:\n- {{md5: {md5(b'2')}, hash: md5, path: raw}}\nouts:\n- {{md5: {md5(b'1')}, hash: md5, path: out}}\nalways_changed: true\n"
    )
    assert status("x.dvc") == {"x.dvc": [{"changed deps": {f"x ({url})": "update available"}}, "changed checksum"]}
    text = (repository / "y.dvc").read_text().replace("path: out", "path: d/out")
    (repository / "d.dvc").write_text(text.replace(md5(b"2"), md5(b"1")))  # Both begin where the pointer stands.
    assert status("d.dvc")["d.dvc"][0] == {"changed outs": {"d/out": "deleted"}}
    (repository / "d.dvc").write_text("deps: [{path: raw, size: many}]\nouts: [{path: out}]\n")
    with pytest.raises(Invalid, match=r"d\.dvc: deps: "):
        status("d.dvc")
    assert status("x.dvc", "--no-updates") == {"x.dvc": ["changed checksum"]}
    assert status("y.dvc") == {"y.dvc": [{"changed deps": {"raw": "modified"}}, "always changed", "changed checksum"]}
