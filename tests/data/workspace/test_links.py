"""A repository whose config names another kind of link or another cache: both are kept to, and nothing is writable."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_dataset, checkout_pointers, dataset_status, list_datasets
from taut.data.workspace.repository import repository_of
from taut.errors import Conflict, Invalid
from taut.ground.settings import make_folder
from taut.home import Home, open_home

FILES = {"a": "a1", "sub/b": "b1", "empty": "", "same": "a1"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A project in a folder that looks as `dvc init` leaves one."""
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))
    folder = tmp_path / "repository"
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").touch()
    make_folder(folder)
    with open_home(folder) as home:
        yield home


def configure(home: Home, text: str, file: str = "config") -> None:
    (home.project / ".dvc" / file).write_text(text)


def make(home: Home, files: dict[str, str] = FILES) -> Path:
    for path, text in files.items():
        (home.project / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (home.project / "tree" / path).write_text(text)
    return home.project / "tree"


def read(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink", "reflink,hardlink,copy", "symlink, copy"])
def test_whatever_the_kind_data_goes_in_and_comes_back(repository: Home, kind: str):
    configure(repository, f"[cache]\n    type = {kind}\n")
    tree = make(repository)
    add_dataset(repository, tree)
    assert read(tree) == FILES
    assert dataset_status(repository, repository.project)[0].state == "unchanged"
    shutil.rmtree(tree)
    assert dataset_status(repository, repository.project)[0].state == "deleted"
    checkout_dataset(repository, "tree")
    assert read(tree) == FILES
    assert dataset_status(repository, repository.project)[0].state == "unchanged"
    linked = [path for path in tree.rglob("*") if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1)]
    assert all(path.stat().st_mode & 0o222 == 0 for path in linked)
    assert bool(linked) == (kind != "copy")


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_a_version_beside_another_shares_its_files_and_neither_changes(repository: Home, kind: str):
    configure(repository, f"[cache]\n    type = {kind}\n")
    tree = make(repository)
    add_dataset(repository, tree)
    (tree / "a").unlink()  # It cannot be written into.
    (tree / "a").write_text("a2")
    assert add_dataset(repository, tree).number == 2
    checkout_dataset(repository, "tree", 1)
    assert read(tree) == FILES
    checkout_dataset(repository, "tree", 2)
    assert read(tree) == {**FILES, "a": "a2"}
    assert dataset_status(repository, repository.project)[0].state == "unchanged"


@pytest.mark.parametrize("file", ["config", "config.local"])
def test_the_cache_is_where_the_nearest_config_says_relative_to_itself(repository: Home, file: str):
    configure(repository, "[cache]\n    dir = first\n")
    configure(repository, "[cache]\n    dir = ../../shared\n", file)
    add_dataset(repository, make(repository))
    assert len([path for path in (repository.project.parent / "shared" / "files").rglob("*") if path.is_file()]) == 4
    assert not (repository.project / ".dvc" / "cache").exists()
    assert not (repository.project / ".taut" / "cache").exists()


@pytest.mark.parametrize(
    ("text", "said"), [("[cache]\ntype = magic\n", "'magic', not one of"), ("[cache\n", "config: ")]
)
def test_a_config_that_makes_no_sense_is_named(repository: Home, text: str, said: str):
    configure(repository, text)
    with pytest.raises(Invalid, match=said):
        add_dataset(repository, make(repository))


def test_what_is_missing_in_the_cache_is_told_as_dvc_tells_it(repository: Home):
    tree = make(repository)
    add_dataset(repository, tree)
    cached = [path for path in (repository.project / ".dvc" / "cache").rglob("*") if path.is_file()]
    assert dataset_status(repository, repository.project)[0].state == "unchanged"
    for path in cached:
        path.rename(path.with_suffix(".aside"))
        assert dataset_status(repository, repository.project)[0].state == "not in cache", path
        path.with_suffix(".aside").rename(path)
    assert dataset_status(repository, repository.project)[0].state == "unchanged"


def test_it_is_still_seen_long_after_nothing_else_happened(repository: Home):
    add_dataset(repository, make(repository))
    cached = next(path for path in (repository.project / ".dvc" / "cache").rglob("*") if path.is_file())
    ago = time.time() - 100
    for folder in (repository.project / ".dvc" / "cache" / "files" / "md5").iterdir():
        os.utime(folder, (ago, ago))
    for _ in range(2):  # The second time by the times of the folders alone.
        assert dataset_status(repository, repository.project)[0].state == "unchanged"
    cached.unlink()
    assert dataset_status(repository, repository.project)[0].state == "not in cache"


def test_beside_a_command_of_dvc_nothing_is_changed(repository: Home, monkeypatch: pytest.MonkeyPatch):
    import fcntl

    monkeypatch.setattr("taut.data.workspace.repository.LOCK_S", 0.1)
    tree = make(repository)
    with (repository.project / ".dvc" / "tmp" / "lock").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="DVC works in"):
            add_dataset(repository, tree)
    rwlock = repository.project / ".dvc" / "tmp" / "rwlock"
    for path, told in ((tree, True), (tree / "a", True), (tree.parent / "tree2", False)):
        rwlock.write_text(json.dumps({"write": {str(path): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}))
        if told:
            with pytest.raises(Conflict, match="is being written by 'dvc repro'"):
                add_dataset(repository, tree)
    assert list_datasets(repository) == []
    assert add_dataset(repository, tree).number == 1
    assert (repository.project / ".dvc" / "tmp" / "lock").read_text() == f" {os.getpid()}\n"


def test_what_git_keeps_is_staged_where_the_config_asks_for_it(repository: Home):
    import subprocess

    subprocess.run(["git", "init", "--quiet"], cwd=repository.project, check=True)
    configure(repository, "[core]\n    autostage = true\n")
    add_dataset(repository, make(repository))
    staged = subprocess.run(
        ["git", "diff", "--cached", "--name-only"], cwd=repository.project, capture_output=True, text=True
    )
    assert staged.stdout.split() == [".gitignore", "tree.dvc"]


def test_an_out_of_several_and_one_that_may_be_run_are_put_where_they_belong(repository: Home):
    (repository.project / "run").write_text("#!/bin/sh\n")
    (repository.project / "run").chmod(0o755)
    add_dataset(repository, repository.project / "run")
    add_dataset(repository, make(repository))
    both = [text.partition("meta:")[0] for text in (
        (repository.project / "run.dvc").read_text(), (repository.project / "tree.dvc").read_text(),
    )]  # fmt: skip
    (repository.project / "data").mkdir()
    (repository.project / "data" / "both.dvc").write_text("wdir: ..\n" + both[0] + both[1].removeprefix("outs:\n"))
    for name in ("run.dvc", "tree.dvc", "run"):
        (repository.project / name).unlink()
    shutil.rmtree(repository.project / "tree")
    assert [one.target.name for one in checkout_pointers(repository, repository.project)] == ["run", "tree"]
    assert os.access(repository.project / "run", os.X_OK)
    assert read(repository.project / "tree") == FILES
    assert [state.state for state in dataset_status(repository, repository.project)] == ["unchanged", "unchanged"]


def test_no_repository_is_found_above_the_root():
    assert repository_of("/") is None
