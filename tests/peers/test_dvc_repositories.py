"""Repositories that the real DVC made, in many states: taut calls them what DVC does, and data goes both ways."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from taut.data.workspace.repository import Repository
from taut.errors import TautError
from taut.faces.cli.entry import taut
from taut.ground.yaml import read_yaml
from tests.marks import some
from tests.peers.repositories import DVC
from tests.peers.scenes_dvc import DATA, IMPORTS, PIPELINES, Scene, make_other, other_repository, take
from tests.peers.warm_dvc import WarmDvc

pytestmark = [
    pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM"),
    pytest.mark.slow,
]
SCENES = {
    f"{kind}: {name}": scene
    for kind, table in {"data": DATA, "pipeline": PIPELINES, "import": IMPORTS}.items()
    for name, scene in table.items()
}
HIDDEN = (".dvc", ".git", ".taut")


@pytest.fixture(scope="module")
def dvc() -> Iterator[WarmDvc]:
    assert DVC is not None
    warm = WarmDvc(DVC)
    yield warm
    warm.close()


@pytest.fixture
def make(tmp_path: Path, dvc: WarmDvc, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a repository in a folder of its own, and says where it begins."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@t")

    def make(name: str) -> Path:
        scene = SCENES[name]
        folder = tmp_path / "r"
        folder.mkdir()
        for step in scene.init:
            take(step, folder, dvc)
        root = folder / scene.inside
        if name.startswith("import: "):
            make_other(dvc, root)
        for step in scene.steps:
            known = step.replace("../OTHER", str(other_repository(root))) if isinstance(step, str) else step
            take(known, root, dvc)
        return root

    return make


def told(folder: Path, *words: str) -> tuple[int, str]:
    """What taut prints, and its exit status."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(taut, list(words))
    finally:
        os.chdir(before)
    if done.exit_code == 1 and not isinstance(done.exception, TautError):
        raise AssertionError((words, done.output)) from done.exception
    return done.exit_code, done.output


def agreed(dvc: WarmDvc, folder: Path) -> Any:
    """What both say of a repository, from where it begins and from a folder in it; `refused` where both refuse."""
    found = None
    for place in (folder / "sub", folder) if (folder / "sub").is_dir() else (folder,):
        theirs, ours = dvc.run(place, "status", "--json"), _status(place)
        found = json.loads(theirs["out"]) if theirs["code"] == 0 else "refused"
        assert ours == found, theirs["err"]
    return found


def _status(place: Path) -> Any:
    code, text = told(place, "data", "status", "--json")
    return json.loads(text) if code == 0 else "refused"


def entries(root: Path) -> Iterator[tuple[Path, Path]]:
    """Every out that a pointer or a lock names, behind the file that names it; not those of repositories inside."""
    for at, folders, files in os.walk(root):
        folder = Path(at)
        folders[:] = [one for one in folders if one not in HIDDEN and not (folder / one / ".dvc").is_dir()]
        for name in files:
            if name.endswith(".dvc"):
                read = read_yaml(folder / name, dict[str, Any])
                places = [(read.get("wdir") or ".", out["path"]) for out in read.get("outs", [])]
            elif name == "dvc.lock":
                said = read_yaml(folder / "dvc.yaml", dict[str, Any])["stages"]
                stages = read_yaml(folder / name, dict[str, Any]).get("stages") or {}
                specs = {one: said.get(one) or said.get(one.partition("@")[0]) or {} for one in stages}
                places = [
                    (specs[one].get("do", specs[one]).get("wdir") or ".", out["path"])
                    for one, stage in stages.items()
                    for out in stage.get("outs", [])
                ]
            else:
                continue
            yield from ((folder / name, Path(os.path.normpath(folder / inner / path))) for inner, path in places)


def outs(root: Path) -> list[Path]:
    return [out for _, out in entries(root)]


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def touch(root: Path) -> None:
    for out in outs(root):
        if out.exists():
            os.utime(out)


def change(root: Path) -> None:
    """Other bytes, where it may be a read-only link, and a file more in folders."""
    for out in outs(root)[::2]:
        if out.is_dir():
            (out / "new one").write_text("n")
        elif out.exists():
            out.unlink()
            out.write_text("changed")


def let_run(root: Path) -> None:
    for out in outs(root):
        if out.is_file():
            out.chmod(0o755)


def delete_some(root: Path) -> None:
    for out in outs(root)[1::2]:
        remove(out)


def swap(root: Path) -> None:
    """A folder where a file was, and the reverse."""
    for out in outs(root)[:2]:
        was_folder = out.is_dir()
        remove(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        if was_folder:
            out.write_text("a file now")
        else:
            out.mkdir()
            (out / "x").write_text("in a folder")


def lose_cached(root: Path) -> None:
    for path in sorted(path for path in (root / ".dvc" / "cache").rglob("*") if path.is_file())[::2]:
        path.unlink()


def delete_all(root: Path) -> None:
    for out in outs(root):
        remove(out)


EDITS = (touch, change, let_run, delete_some, swap, lose_cached, delete_all)


@pytest.mark.parametrize("name", some(SCENES, 4))
def test_both_say_the_same_of_every_state(make: Callable[[str], Path], dvc: WarmDvc, name: str):
    root = make(name)
    agreed(dvc, root)
    for step in SCENES[name].then:
        take(step, root, dvc)
        agreed(dvc, root)
    for edit in EDITS:
        edit(root)
        agreed(dvc, root)


def found(root: Path) -> dict[str, tuple[bool, bytes | None, int]]:
    """Every file below: whether it is a link, what is in it, and who may run or write it."""
    seen = {}
    for at, folders, files in os.walk(root):
        folders[:] = [one for one in folders if one not in HIDDEN]
        for path in (Path(at, one) for one in (*files, *(f for f in folders if Path(at, f).is_symlink()))):
            if path.name != ".gitignore":
                data = path.read_bytes() if path.is_file() else None
                seen[str(path.relative_to(root))] = path.is_symlink(), data, path.stat().st_mode if path.exists() else 0
    return seen


NEVER_ADDED = {  # DVC fails for what nothing is known of yet; taut has nothing to do there.
    "data: nothing added yet", "pipeline: a stage that never ran", "pipeline: params that never ran",
    "pipeline: a lock in part", "pipeline: an out more", "import: not brought",
}  # fmt: skip


@pytest.mark.parametrize("name", some((name for name in SCENES if name not in NEVER_ADDED), 4))
def test_what_is_gone_both_put_back_alike(make: Callable[[str], Path], dvc: WarmDvc, tmp_path: Path, name: str):
    root, inside = make(name), SCENES[name].inside
    delete_all(root)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for copy in (theirs, ours):
        subprocess.run(["cp", "-a", tmp_path / "r", copy], check=True)
    there = dvc.run(theirs / inside, "checkout")
    code, text = told(ours / inside, "data", "checkout")
    assert (code == 0) == (there["code"] == 0), (text, there)
    assert found(ours / inside) == found(theirs / inside)
    agreed(dvc, ours / inside)


def pointed(root: Path) -> list[tuple[Path, Path]]:
    return [(file, out) for file, out in entries(root) if file.suffix == ".dvc"]


ADDED = [name for name in SCENES if name.startswith("data: ") and name != "data: a link that leads nowhere"]


@pytest.mark.parametrize("name", some(ADDED, 4))
def test_what_taut_adds_dvc_calls_up_to_date_and_puts_back(make: Callable[[str], Path], dvc: WarmDvc, name: str):
    root = make(name)
    told(root, "init")
    files = {file for file, _ in pointed(root)}
    for _, out in pointed(root):
        if out.is_dir():
            (out / "brand new").write_text("n")
        else:
            remove(out)
            out.write_text(f"changed {out.name}")
        assert told(root, "data", "add", "--", str(out.relative_to(root)))[0] == 0
    assert {file for file, _ in pointed(root)} == files  # The pointer that names it was changed, and none made beside.
    always = {"x.dvc": ["always changed"]} if name == "data: always changed" else {}
    assert agreed(dvc, root) == always
    texts = {file: file.read_bytes() for file in files}
    before = found(root)
    for _, out in pointed(root):
        if name != "data: not cached":
            remove(out)
    dvc.run(root, "checkout")
    after = found(root)
    kept = {path for path in before if path in after}
    assert {path: after[path][1] for path in kept} == {path: before[path][1] for path in kept}
    assert agreed(dvc, root) == always
    for _, out in pointed(root):
        if out.exists():
            assert told(root, "data", "add", "--", str(out.relative_to(root)))[0] == 0
    assert {file: file.read_bytes() for file in files} == texts  # What is said already is not written again.


def granular(root: Path) -> dict[str, list[str]]:
    """What `taut data status --granular` tells, in the words of `dvc data status`; folders themselves left out."""
    files: dict[str, list[str]] = {"modified": [], "added": [], "deleted": []}
    for one in json.loads(told(root, "data", "status", "--granular", "--json")[1]):
        if one["state"] == "deleted" and not one["removed"]:
            files["deleted"].append(one["path"])
        for ours, theirs in (("modified", "modified"), ("added", "added"), ("removed", "deleted")):
            files[theirs] += [one["path"] if path == "." else f"{one['path']}/{path}" for path in one[ours]]
    return {word: sorted(paths) for word, paths in files.items() if paths}


# DVC leaves out what is not cached, calls added what it does not know, and single files of DVC 2 are not told by taut.
ELSE = ("link that leads", "not cached", "nothing added", "folder of DVC 2", "one inside", "file of DVC 2", "binary of")


@pytest.mark.parametrize("name", some((name for name in ADDED if not any(word in name for word in ELSE)), 4))
def test_both_name_the_same_files(make: Callable[[str], Path], dvc: WarmDvc, name: str):
    root = make(name)
    told(root, "init")
    for edit in (touch, change, delete_some):
        edit(root)
        said = json.loads(dvc(root, "data", "status", "--granular", "--json")).get("uncommitted", {})
        files = {word: sorted(path for path in paths if not path.endswith("/")) for word, paths in said.items()}
        assert granular(root) == {word: paths for word, paths in files.items() if paths}


MOVED = ["data: several outs", "data: another working folder", "data: a folder", "import: a url", "import: a folder"]


@pytest.mark.parametrize("name", some(MOVED, 2))
def test_what_taut_moves_dvc_finds_in_its_new_place(make: Callable[[str], Path], dvc: WarmDvc, name: str):
    root = make(name)
    told(root, "init")
    for number, out in enumerate(outs(root)):
        assert told(root, "data", "move", "--", str(out.relative_to(root)), f"new/place{number}")[0] == 0
    assert agreed(dvc, root) == {}
    assert all(out.exists() and out.parent == root / "new" for out in outs(root))
    delete_all(root)
    dvc(root, "checkout")
    assert agreed(dvc, root) == {}


@pytest.mark.parametrize("links", [False, True])
def test_while_taut_holds_the_lock_dvc_waits_and_the_reverse(make: Callable[[str], Path], dvc: WarmDvc, links: bool):
    root = make("data: a file")
    if links:
        dvc(root, "config", "core.hardlink_lock", "true")
        for left in (root / ".dvc/tmp").glob("*lock"):  # Of the other kind, which this one takes for held.
            left.unlink()
    with Repository(str(root)).locked():
        refused = dvc.run(root, "status")
    assert (refused["code"] != 0, "Unable to acquire lock" in refused["err"]) == (True, True)
    assert agreed(dvc, root) == {}


def test_the_tables_are_of_over_a_hundred_repositories():
    assert len(SCENES) > 100
    assert all(isinstance(scene, Scene) for scene in SCENES.values())
