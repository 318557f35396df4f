"""Push, fetch and pull killed at any moment, or on a full disk: cache, remote and workspace stay whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taut.data.exchange.transfer import pull, push
from taut.data.remotes.config import add_remote, places_of
from taut.data.remotes.folder import FolderRemote
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import HEX, file_digest, listing_bytes

PROGRAM = """
import os, pathlib, sys
from taut.data.exchange import transfer
name, after = sys.argv[1], int(sys.argv[2])
calls = [0]
def count(frame, event, function):
    if event == "c_call" and getattr(function, "__name__", "") in ("rename", "write", "open", "mkdir"):
        calls[0] += 1
        if calls[0] == after:
            os.kill(os.getpid(), 9)
import threading
threading.setprofile(count)
sys.setprofile(count)
getattr(transfer, name)(pathlib.Path.cwd())
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    folder = tmp_path / "repository"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("")
    add_remote(places_of(str(folder), ""), "store", str(tmp_path / "store"), default=True)
    cache = Cache(folder / ".dvc" / "cache")
    files = [(f"{at:02}.txt", cache.put_bytes(f"file {at}".encode() * 100)) for at in range(40)]
    md5 = cache.put_bytes(listing_bytes(files), ".dir")
    (folder / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  nfiles: 40\n  hash: md5\n  path: data\n")
    return folder


def require_whole(folder: Path) -> None:
    """Every name has the bytes that it promises."""
    names = Cache(folder)
    for digest in FolderRemote(folder).listed():
        assert file_digest(names.path_of(digest)).md5 == digest[:HEX]


def killed(folder: Path, name: str, after: int) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(after)], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode in (0, -9), done.stderr.decode()
    return done.returncode == -9


@pytest.mark.slow
def test_a_push_that_is_killed_anywhere_is_ended_by_the_next(repository, tmp_path):
    died = sum(killed(repository, "push", after) for after in (3, 60, 110, 150, 170))
    assert died >= 3
    require_whole(tmp_path / "store")
    push(repository)
    require_whole(tmp_path / "store")
    assert len(list(FolderRemote(tmp_path / "store").listed())) == 41
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["files"]


@pytest.mark.slow
def test_a_pull_that_is_killed_anywhere_is_ended_by_the_next(repository, tmp_path):
    push(repository)
    cache = repository / ".dvc" / "cache"
    subprocess.run(["rm", "-r", str(cache)], check=True)
    died = sum(killed(repository, "pull", after) for after in (3, 40, 60, 90, 110, 130))
    assert died >= 3
    require_whole(cache)
    pull(repository)
    require_whole(cache)
    assert len(list((repository / "data").iterdir())) == 40
    assert sorted(name for name in os.listdir(repository) if "taut" in name) == []


def test_a_disk_without_room_is_told_and_leaves_no_half(repository, tmp_path, monkeypatch):
    """Where the disk refuses a file, the push says so, names nothing half, and the next one ends it."""
    import errno

    from taut.errors import Unavailable

    real, calls = os.write, [0]

    def write(file: int, data: memoryview) -> int:
        calls[0] += 1
        if calls[0] > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(Unavailable):
            push(repository)
    require_whole(tmp_path / "store")
    assert [name for name in os.listdir(tmp_path / "store") if name.startswith(".taut")] == []
    push(repository)
    assert len(list(FolderRemote(tmp_path / "store").listed())) == 41
