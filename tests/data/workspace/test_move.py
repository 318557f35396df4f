"""Data and pointers that move and go, wherever the pointer stands; and the locks of DVC beside which nothing moves."""

# ruff: noqa: E501  # Pointers in one line each.

import json
import os
import socket
import time
from pathlib import Path

import pytest

from taut.data import add_dataset, move_data, remove_pointer
from taut.data.workspace.pointers import read_pointer
from taut.data.workspace.repository import Repository
from taut.errors import Conflict, NotFound
from taut.ground.settings import make_folder
from taut.home import Home, open_home

A = "0cc175b9c0f1b6a831c399e269772661"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "r"
    for name, text in {".dvc/config": "", "a": "a", "b": "b", "d/c": "c", "src": "a"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    both = f"# of two\nouts:\n- {{md5: {A}, hash: md5, path: ../a}}\n- {{md5: {A}, hash: md5, path: c, desc: it}}\nwdir: ../d\n"
    (folder / "p").mkdir()
    (folder / "p/both.dvc").write_text(both)
    make_folder(folder)
    monkeypatch.chdir(folder)
    with open_home(folder) as home:
        yield home


def test_one_of_several_moves_and_its_pointer_stays(home: Home):
    moved = move_data(home, Path("a"), Path("d"))
    assert [out.target for out in moved.outs] == [f"{home.project}/d/a", f"{home.project}/d/c"]
    assert (home.project / "p/both.dvc").read_text().startswith("# of two\n")
    assert move_data(home, Path("d/c"), Path("new/place")).outs[1].path == "../new/place"
    assert (home.project / "new/place").read_text() == "c"
    assert (home.project / "new/.gitignore").read_text() == "/place\n"
    assert not (home.project / "a").exists()


def test_an_import_that_moves_is_told_from_there_and_was_not_edited(home: Home):
    home.project.joinpath("in").write_text("a")
    text = f"md5: x\nfrozen: true\ndeps:\n- {{md5: {A}, size: 1, hash: md5, path: src}}\nouts:\n- {{md5: {A}, size: 1, hash: md5, path: in}}\n"
    (home.project / "in.dvc").write_text(text)
    assert read_pointer(home.project / "in.dvc").is_changed
    moved = move_data(home, Path("in"), Path("d/there"))
    assert (moved.file, moved.deps[0]["path"], moved.is_changed) == (home.project / "d/there.dvc", "../src", False)
    assert not (home.project / "in.dvc").exists()


def test_a_pointer_of_several_goes_as_a_whole_and_by_its_own_name(home: Home):
    with pytest.raises(Conflict, match="names 2 pieces of data, not a alone"):
        remove_pointer(home, Path("a"))
    remove_pointer(home, Path("p/both.dvc"), outs=True)
    assert [(home.project / name).exists() for name in ("a", "d/c", "p/both.dvc", "b")] == [False, False, False, True]
    with pytest.raises(NotFound, match="nor one elsewhere"):
        remove_pointer(home, Path("b"))


def test_what_a_stage_makes_is_moved_in_its_pipeline(home: Home):
    (home.project / "dvc.yaml").write_text("stages: {s: {cmd: x, outs: [b]}}\n")
    for act in (lambda: move_data(home, Path("b"), Path("c")), lambda: remove_pointer(home, Path("b"))):
        with pytest.raises(Conflict, match="made by the stage 's'"):
            act()


@pytest.mark.parametrize(("mode", "word"), [("write", "written"), ("read", "read")])
def test_what_a_running_stage_reads_or_writes_stays(home: Home, mode: str, word: str):
    holder = {"pid": os.getpid(), "cmd": "dvc repro"}
    held = {"write": {}, "read": {}, mode: {str(home.project / "a"): [holder] if mode == "read" else holder}}
    (home.project / ".dvc/tmp").mkdir(exist_ok=True)
    (home.project / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    with pytest.raises(Conflict, match=f"a is being {word} by 'dvc repro'"):
        move_data(home, Path("a"), Path("z"))
    assert (home.project / "a").exists()
    assert add_dataset(home, home.project / "b").number == 1


def test_a_lock_made_of_links_is_honoured_and_made(home: Home, monkeypatch: pytest.MonkeyPatch):
    (home.project / ".dvc/config").write_text("[core]\n    hardlink_lock = true\n")
    lock = home.project / ".dvc/tmp/lock"
    lock.unlink(missing_ok=True)
    with Repository(str(home.project)).locked():
        host, process = lock.read_text().split("|")[1:3]
        assert (host, process, lock.stat().st_nlink) == (socket.gethostname(), str(os.getpid()), 2)
        assert lock.stat().st_mtime > time.time() + 86_400
        monkeypatch.setattr("taut.data.workspace.repository.LOCK_S", 0.1)
        with pytest.raises(Conflict, match="it holds"):
            move_data(home, Path("a"), Path("z"))
    assert [path.name for path in lock.parent.glob("*lock*")] == []
    assert move_data(home, Path("a"), Path("z")).outs[0].path == "../z"
