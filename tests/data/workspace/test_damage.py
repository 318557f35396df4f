"""Whatever of a workspace is damaged, cache, pointers, locks, index or home: no wrong byte comes back, no traceback."""

import hashlib
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_pointers
from taut.data.workspace.overview import workspace_states
from taut.errors import Corrupt, TautError
from taut.govern import check_home
from taut.ground.settings import make_folder
from taut.home import open_home
from tests.data.store.damages import Damager, cut, double, empty, exchange, flip, remove, splice

pytest.importorskip("blake3", reason="the ways to damage are those of taut's own store, which takes taut[data]")

MEMORY = "/dev/shm"  # Where a sync costs nothing: what is under test is not the disk.
KINDS = (flip, flip, flip, cut, empty, splice, exchange, double, remove)
FILES = {"rows.csv": b"a,b\n1,2\n" * 40, "made.bin": bytes(range(250)), "tree/x": b"x" * 90, "tree/sub/y": b"y\n" * 70}
LOCK = """schema: '2.0'
stages:
  make:
    cmd: python make.py
    outs:
    - path: made.bin
      hash: md5
      md5: {md5}
      size: 250
"""
STORED = (".taut/cache/", ".taut/objects/")
DAMAGED = ("rows.csv.dvc", "tree.dvc", "dvc.lock", ".taut/index.db", ".taut/meta.db", *STORED)
TRIES = 18


class Project(Damager):
    """A project with a file, a folder and the out of a stage, and its files as they are damaged and put back."""

    def __init__(self, root: Path, source: Path) -> None:
        shutil.copytree(source, root, dirs_exist_ok=True)
        for name, data in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        with open_home(root) as home:
            for name in ("rows.csv", "tree", "made.bin"):
                add_dataset(home, root / name)
        (root / "made.bin.dvc").unlink()
        (root / "dvc.lock").write_text(LOCK.format(md5=hashlib.md5(FILES["made.bin"]).hexdigest()))
        (root / "dvc.yaml").write_text("stages:\n  make:\n    cmd: python make.py\n    outs:\n    - made.bin\n")
        super().__init__(root, {})
        self.keys = [key for key in self.keys if key.startswith(DAMAGED) and self.whole[key]]

    def forget(self) -> None:
        """Have nothing in the workspace that came from the cache, and whatever stands there otherwise."""
        for path in self.root.iterdir():
            if path.name == ".taut" or (self.key_of(path) in self.whole and path.suffix in (".dvc", ".lock", ".yaml")):
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def placed(self) -> Iterator[tuple[str, bytes]]:
        """What lies in the workspace."""
        for path in self.root.rglob("*"):
            key = self.key_of(path)
            is_ours = key.startswith(".taut/") or path.suffix in (".dvc", ".lock", ".yaml") or path.name == ".gitignore"
            if path.is_file() and not is_ours:
                yield key, path.read_bytes()


def check(project: Project, touched: tuple[str, ...], chance: random.Random) -> None:
    """Status, checkout and fsck of a damaged project."""
    is_pointed = any(key.endswith((".dvc", ".lock")) for key in touched)
    if chance.random() < 0.5:
        project.forget()
    edited = project.root / "rows.csv"
    if is_edited := edited.exists() and chance.random() < 0.3:
        edited.write_bytes(edited.read_bytes()[::-1])
    try:
        states = [out for file in workspace_states(project.root) for out in file.outs]
        if is_edited and not is_pointed:
            assert [out.state for out in states if out.out.target == str(edited)] != ["unchanged"], touched
    except TautError as told:
        assert "\n" not in told.message
    try:
        with open_home(project.root) as home:
            checkout_pointers(home, project.root, force=True)
    except TautError as told:
        assert "\n" not in told.message
    for key, data in project.placed():
        if not (is_edited and key == "rows.csv" and data == FILES[key][::-1]):
            assert data in FILES.values(), (touched, key)
            assert is_pointed or data == FILES[key], (touched, key)
    # What a checkout did not write again. The list of a folder need not be there, for the home has what it says.
    there = {key for key in touched if project.path(key).exists()}
    left = {
        key
        for key in touched
        if (key not in there and not key.endswith(".dir")) or (key in there and not project.is_same(key))
    }
    if any(key.startswith(STORED) for key in left):
        try:
            with open_home(project.root) as home:
                assert check_home(home).problems, touched
        except Corrupt:
            assert ".taut/meta.db" in touched


def run(tries: int, migrated: Path, seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as name:
        source, root = Path(name) / "source", Path(name) / "project"
        source.mkdir()
        shutil.copy(migrated, make_folder(source))
        project = Project(root, source)
        for turn in range(tries):
            kind = KINDS[turn % len(KINDS)]
            changed = [
                key for key in kind(project, chance) if not project.path(key).exists() or not project.is_same(key)
            ]
            if changed:
                check(project, tuple(changed), chance)
            project.forget()
            project.undo()
        with open_home(root) as home:
            assert check_home(home).problems == ()
            checkout_pointers(home, root, force=True)
        assert {key: data for key, data in project.placed() if key in ("rows.csv", "tree/x", "tree/sub/y")} == {
            key: FILES[key] for key in ("rows.csv", "tree/x", "tree/sub/y")
        }


def test_no_wrong_byte_comes_back(migrated_sqlite):
    run(TRIES, migrated_sqlite, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_wrong_byte_comes_back_in_as_many_tries_as_are_asked_for(migrated_sqlite):
    """DAMAGE_TRIES=10000."""
    run(int(os.environ.get("DAMAGE_TRIES", "150")), migrated_sqlite, 2)


def test_an_index_that_is_damaged_in_the_middle_is_begun_anew(project):
    (project / "rows.csv").write_bytes(FILES["rows.csv"])
    with open_home(project) as home:
        add_dataset(home, project / "rows.csv")
    index = project / ".taut" / "index.db"
    data = bytearray(index.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    index.write_bytes(data)
    (state,) = workspace_states(project)
    assert state.outs[0].state == "unchanged"
    with closing(sqlite3.connect(index)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("name", ["meta.db", "index.db"])
def test_a_schema_that_is_no_text_is_told_or_begun_anew(project, name):
    (project / "rows.csv").write_bytes(FILES["rows.csv"])
    with open_home(project) as home:
        add_dataset(home, project / "rows.csv")
    with closing(sqlite3.connect(project / ".taut" / name)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (project / ".taut" / name).read_bytes()
    damaged = data.replace(b"CREATE TABLE", b"CREATE T\xcf\xffBLE")
    assert damaged != data
    (project / ".taut" / name).write_bytes(damaged)
    if name == "index.db":
        (state,) = workspace_states(project)
        assert state.outs[0].state == "unchanged"
    else:
        with pytest.raises(Corrupt, match="the metadata is damaged"):
            open_home(project)
