"""Repositories that the real DVC made, in many states: taut calls them what DVC does, and data goes both ways."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taut.data import add_dataset, checkout_pointers
from taut.ground.settings import make_folder
from taut.home import open_home

DVC = os.environ.get("DVC_PROGRAM") or shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))
pytestmark = [
    pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM"),
    pytest.mark.slow,
]


def dvc(folder: Path, *arguments: str) -> str:
    assert DVC is not None
    done = subprocess.run([DVC, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(folder: Path, tool: str) -> Any:
    """What `status --json` of either says, in a process of its own."""
    if tool == "dvc":
        return json.loads(dvc(folder, "status", "--json"))
    command = [sys.executable, "-m", "taut", "data", "status", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data.encode() if isinstance(data, str) else data)


def cached(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / ".dvc" / "cache").rglob("*") if path.is_file())


def one_file(folder: Path) -> None:
    write(folder, {"x.csv": "a\n1\n"})
    dvc(folder, "add", "-q", "x.csv")


def tree(folder: Path) -> None:
    write(folder, {"tree/b": "b", "tree/sub/deep/ü 雪.txt": "u", "tree/a-b": "", "tree/a/b": "2", "tree/.hidden": "h"})
    (folder / "tree" / "empty").mkdir()
    dvc(folder, "add", "-q", "tree")


def nested(folder: Path) -> None:
    write(folder, {"deep/down/x": "x", "deep/down/t/y": "y"})
    dvc(folder, "add", "-q", "deep/down/x", "deep/down/t")


def ignored(folder: Path) -> None:
    write(
        folder, {".dvcignore": "*.log\n/tree/tmp/\n!keep.log\n", "tree/a": "a", "tree/b.log": "b", "tree/keep.log": "k"}
    )
    write(folder, {"tree/tmp/c": "c", "tree/sub/tmp/d": "d"})
    dvc(folder, "add", "-q", "tree")


def executable(folder: Path) -> None:
    write(folder, {"tool": "#!/bin/sh\n"})
    (folder / "tool").chmod(0o755)
    dvc(folder, "add", "-q", "tool")


def hardlinks(folder: Path) -> None:
    dvc(folder, "config", "cache.type", "hardlink,copy")
    tree(folder)


def symlinks(folder: Path) -> None:
    dvc(folder, "config", "cache.type", "symlink")
    tree(folder)


def elsewhere(folder: Path) -> None:
    dvc(folder, "cache", "dir", "--local", "../shared-cache")
    tree(folder)


def pipeline(folder: Path) -> None:
    write(folder, {"raw": "1\n", "sub/raw": "2\n"})
    dvc(folder, "add", "-q", "raw")
    dvc(
        folder,
        "stage",
        "add",
        "-q",
        "-n",
        "copy",
        "-d",
        "raw",
        "-o",
        "out",
        "-M",
        "m.json",
        "cp raw out; echo {} > m.json",
    )
    dvc(folder, "stage", "add", "-q", "-n", "fold", "-d", "out", "-o", "dir", "mkdir -p dir; cp out dir/x")
    dvc(folder / "sub", "stage", "add", "-q", "-n", "inner", "-d", "raw", "-o", "out", "cp raw out")
    dvc(folder, "repro", "-q", "-P")


def working_folder(folder: Path) -> None:
    one_file(folder)
    (folder / "pointers").mkdir()
    text = (folder / "x.csv.dvc").read_text()
    (folder / "x.csv.dvc").unlink()
    (folder / "pointers" / "x.dvc").write_text("wdir: ..\n" + text)


def empty_folder(folder: Path) -> None:
    (folder / "none").mkdir()
    dvc(folder, "add", "-q", "none")


def imported(folder: Path) -> None:
    write(folder, {"source/x": "x"})
    dvc(folder, "import-url", "-q", str(folder / "source" / "x"), "x.in")


def legacy(folder: Path) -> None:
    """As DVC 2 left it: no `hash`, the digest of text with line ends changed, the cache without `files/md5`."""
    import hashlib

    data, digest = b"a\r\nb\r\n", hashlib.md5(b"a\nb\n").hexdigest()
    write(folder, {"old.txt": data, f".dvc/cache/{digest[:2]}/{digest[2:]}": data})
    write(folder, {"old.txt.dvc": f"outs:\n- md5: {digest}\n  size: 6\n  path: old.txt\n"})


def sub_repository(folder: Path) -> None:
    tree(folder)
    (folder / "other").mkdir()
    dvc(folder / "other", "init", "-q", "--subdir")
    write(folder / "other", {"inner": "i"})
    dvc(folder / "other", "add", "-q", "inner")
    (folder / "other" / "inner").unlink()


MADE: list[Callable[[Path], None]] = [
    one_file, tree, nested, ignored, executable, hardlinks, symlinks, elsewhere, pipeline, working_folder,
    empty_folder, imported, legacy, sub_repository,
]  # fmt: skip


def targets(folder: Path) -> list[Path]:
    """What the pointers there name, largest path first."""
    import yaml

    found = []
    for file in sorted(folder.rglob("*.dvc")):
        if file.is_file() and ".dvc/" not in str(file) and not file.is_relative_to(folder / "other"):
            read = yaml.safe_load(file.read_text())
            found += [(file.parent / read.get("wdir", ".") / out["path"]).resolve(strict=False) for out in read["outs"]]
    return found


def change(path: Path) -> None:
    """Other bytes, where it may be a read-only link."""
    if path.is_dir():
        write(path, {"a new one": "n"})
    else:
        path.unlink()
        path.write_text("changed")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    return folder


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_both_say_the_same_of_every_state(repository: Path, make: Callable[[Path], None]):
    make(repository)
    told = [status(repository, "taut"), status(repository, "dvc")]
    assert told[0] == told[1]
    links = {path: os.path.islink(path) for path in targets(repository)}
    for number, path in enumerate(targets(repository)):
        if number % 2 == 0:
            change(path)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    assert status(repository, "taut") == status(repository, "dvc"), links
    for path in targets(repository):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    assert status(repository, "taut") == status(repository, "dvc")
    for path in cached(repository)[::2]:
        path.unlink()
    assert status(repository, "taut") == status(repository, "dvc")


RESTORED = [make for make in MADE if make not in (legacy, sub_repository)]


@pytest.mark.parametrize("make", RESTORED, ids=lambda make: make.__name__)
def test_what_dvc_added_taut_checks_out_and_dvc_calls_it_clean(repository: Path, make: Callable[[Path], None]):
    make(repository)
    before = status(repository, "dvc")
    make_folder(repository)
    for path in targets(repository):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    with open_home(repository) as home:
        checkout_pointers(home, repository)
    assert status(repository, "taut") == status(repository, "dvc") == before
    if make is executable:
        assert os.access(repository / "tool", os.X_OK)


@pytest.mark.parametrize("make", [one_file, tree, nested, ignored, executable, hardlinks, symlinks, elsewhere])
def test_what_taut_adds_dvc_calls_clean_and_checks_out(repository: Path, make: Callable[[Path], None]):
    make(repository)
    make_folder(repository)
    with open_home(repository) as home:
        for path in targets(repository):
            change(path)
            add_dataset(home, path)
        assert status(repository, "dvc") == status(repository, "taut") == {}
        for path in targets(repository):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        dvc(repository, "checkout", "-q")
        assert status(repository, "dvc") == status(repository, "taut") == {}
        for path in targets(repository):
            assert (path / "a new one").read_text() == "n" if path.is_dir() else path.read_text() == "changed"
