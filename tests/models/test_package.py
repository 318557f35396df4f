"""A fetched model is whole and what was registered, or it is not there; whatever dies in between."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from taut.errors import Corrupt, Invalid
from taut.home import Home
from taut.models import fetch_model, load_model, register_folder
from taut.models.package import cache_folder
from taut.models.tree import digest_of, tree_of_folder
from taut.records import ModelVersion
from tests.models.conftest import Shelf, damage, object_file


@pytest.fixture
def version(home: Home, shelf: Shelf) -> ModelVersion:
    return register_folder(home, "late", shelf.folders["good"])


def test_it_is_the_registered_folder_byte_for_byte(home: Home, version: ModelVersion, shelf: Shelf):
    folder = fetch_model(home, version)
    assert tree_of_folder(folder) == tree_of_folder(shelf.folders["good"])
    assert folder == cache_folder(home) / version.digest
    assert load_model(folder, version.digest).predict({"delay": [0.0], "hour": [9], "carrier": ["AA"]})


def test_it_is_fetched_once(home: Home, version: ModelVersion):
    folder = fetch_model(home, version)
    inode = folder.stat().st_ino
    assert fetch_model(home, version).stat().st_ino == inode


def test_a_cache_that_was_tampered_with_is_fetched_again(home: Home, version: ModelVersion):
    folder = fetch_model(home, version)
    damage(folder / "model.pkl")
    assert digest_of(tree_of_folder(fetch_model(home, version))) == version.digest


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_broken_object_is_named_and_nothing_is_left(home: Home, version: ModelVersion, shelf: Shelf, how: str):
    oid = next(file.oid for file in tree_of_folder(shelf.folders["good"]) if file.path == "model.pkl")
    if how == "damaged":
        damage(object_file(home, oid))
    else:
        object_file(home, oid).unlink()
    with pytest.raises(Corrupt, match=rf"model\.pkl of late@1.*{oid[:12]}"):
        fetch_model(home, version)
    assert [entry for entry in cache_folder(home).iterdir() if entry.suffix != ".lock"] == []


def test_a_damaged_list_of_files_is_found(home: Home, version: ModelVersion):
    damage(object_file(home, version.digest))
    with pytest.raises((Corrupt, Invalid)):
        fetch_model(home, version)


def test_many_who_fetch_at_once_get_the_same_whole_model(home: Home, version: ModelVersion):
    start = threading.Barrier(4)
    found: list[str] = []

    def fetch() -> None:
        start.wait()
        found.append(digest_of(tree_of_folder(fetch_model(home, version))))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [version.digest] * 4


KILLED = """
import os, signal, sys
from pathlib import Path
from taut.home import open_home
from taut.models import fetch_model, find_model

def die(self, target):
    os.kill(os.getpid(), signal.SIGKILL)

Path.rename = die
with open_home(sys.argv[1]) as home:
    fetch_model(home, find_model(home, "late"))
"""


def test_killed_between_fetch_and_rename_the_next_one_starts_clean(home: Home, version: ModelVersion):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(home.project)], env=dict(os.environ), timeout=120)
    assert killed.returncode == -signal.SIGKILL
    left = {entry.name for entry in cache_folder(home).iterdir()}
    assert f"{version.digest}.part" in left and version.digest not in left
    folder = fetch_model(home, version)
    assert digest_of(tree_of_folder(folder)) == version.digest
    assert {entry.name for entry in cache_folder(home).iterdir()} == {version.digest, f"{version.digest}.lock"}


def test_without_a_folder_of_its_own_a_home_caches_with_the_user(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from dataclasses import replace

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    far = replace(home, folder=None, place="http://127.0.0.1:1")
    assert cache_folder(far).is_relative_to(tmp_path / "cache" / "taut")
    assert cache_folder(far) != cache_folder(replace(far, place="http://127.0.0.1:2"))
